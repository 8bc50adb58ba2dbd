"""Answers about anomalies and incidents."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from pydantic import BaseModel, Field

from api.schemas.common import MlflowRun


class Anomaly(BaseModel):
    """A SIM that was unlike itself or its peers on a UTC day."""

    anomaly_id: int = Field(description="Rises with time", examples=[41])
    iccid: str = Field(examples=["8988228066033969969"])
    label: str | None = Field(examples=["pump-001"])
    day: date
    kind: str = Field(
        description="spike; runaway: keeps rising; drift: a lasting new level; silence; dead: a silence not expected "
        "to end; new_pattern: an unusual mix; sms_flood; flapping: connects again and again; "
        "unusual_hours: active at hours (UTC) at which it never was; imei_change; unexpected_country; "
        "unexpected_operator",
        examples=["spike"],
    )
    score: float = Field(
        description="Minus the decimal logarithm of the share of ordinary SIM-days at least as anomalous: 3 is one in "
        "1,000",
        examples=[4.2],
    )
    severity: str = Field(
        description="info, warning or critical, from size, cost at risk and persistence", examples=["warning"]
    )
    reasons: str = Field(examples=["412.0 MB on 3 June, 38 times its usual 10.8 MB of a Tuesday; peers unchanged."])
    value: float | None = Field(description="What was measured, in the unit", examples=[412000000])
    expected: float | None = Field(description="What was usual, in the unit", examples=[10800000])
    unit: str | None = Field(
        description="bytes (millionths of a MB), messages, sessions, hours or days", examples=["bytes"]
    )
    first_day: date = Field(description="When it began")
    incident_id: int | None = Field(description="Incident it belongs to; null: this SIM alone", examples=[7])
    model_version: int = Field(examples=[3])
    as_of: date
    detected_at: datetime
    live: bool = Field(description="Found on a day still under way, not confirmed yet")


class AnomalyScore(BaseModel):
    """Whether a SIM is unlike itself or its peers now."""

    model_name: str = Field(examples=["anomaly-detector"])
    model_version: int = Field(examples=[3])
    as_of: date = Field(description="Last closed day the detector looked at")
    created_at: datetime = Field(description="When it did")
    iccid: str = Field(examples=["8988228066033969969"])
    is_anomaly: bool = Field(description="Whether there is any anomaly on as_of or on a day still under way")
    score: float = Field(
        description="The highest score of these anomalies; 0 without one: scores of ordinary days are not kept",
        examples=[4.2],
    )
    severity: str | None = Field(description="The worst of them; null without one", examples=["warning"])
    items: list[Anomaly] = Field(description="These anomalies, the highest score first")
    mlflow_run: MlflowRun


class AnomalyPage(BaseModel):
    items: list[Anomaly]
    next: int | None = Field(description="Pass as `after` for the next page; null on the last", examples=[41])


class Incident(BaseModel):
    """One cause that many SIMs share."""

    incident_id: int = Field(description="Rises with time", examples=[7])
    kind: str = Field(description="Kind of its anomalies; fleet_event: of the whole fleet", examples=["flapping"])
    title: str = Field(examples=["Flapping in 105 of 202 SIMs of device type 86492305, since 19 June"])
    scope: dict[str, Any] = Field(
        description="What its SIMs have in common: device_type, label_prefix, country, operator, batch; {} is the "
        "whole fleet",
        examples=[{"device_type": "86492305"}],
    )
    first_day: date
    last_day: date = Field(description="Last day so far")
    severity: str = Field(examples=["critical"])
    sims: int = Field(description="SIMs with an anomaly that belongs to it", examples=[105])
    model_version: int = Field(examples=[3])
    created_at: datetime
    updated_at: datetime


class IncidentPage(BaseModel):
    items: list[Incident]
    next: int | None = Field(description="Pass as `after` for the next page; null on the last", examples=[7])
