"""Answers and requests about alerts and alert rules."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from ml.enums import AlertState, Severity
from resources.once.values import without_check_digit
from services.alerts.rules import METRICS, OPERATORS


class Alert(BaseModel):
    """An alert, from its opening to its end."""

    alert_id: int = Field(description="Rises with time", examples=[41])
    iccid: str | None = Field(
        description="null: about the fleet or an incident, which only kinds rule and incident are",
        examples=["8988228066033969969"],
    )
    label: str | None = Field(examples=["pump-001"])
    kind: str = Field(
        description="exhaustion: will run out soon; quota_80: that share of the quota is used; silent: not heard of "
        "for unusually long; rule: a rule of yours; incident: many SIMs, one cause",
        examples=["exhaustion"],
    )
    severity: str = Field(description="info, warning or critical", examples=["warning"])
    value: float | None = Field(
        description="What was measured: probability, share used, days silent, or the metric of the rule",
        examples=[0.62],
    )
    threshold: float | None = Field(description="What it was held against, same unit", examples=[0.5])
    message: str = Field(examples=["pump-001 runs out within 14 days with a probability of 62 %"])
    opened_as_of: date
    opened_at: datetime
    seen_as_of: date = Field(description="Last as-of day on which it held")
    closed_as_of: date | None = Field(description="null while open")
    closed_at: datetime | None = Field(description="null while open")
    model_name: str | None = Field(
        description="Model it rests on; null for a plain rule", examples=["usage-forecaster"]
    )
    model_version: int | None = Field(examples=[3])
    run_id: str | None = Field(examples=["4f1c2d"])
    state: AlertState = Field(description="open; acknowledged: somebody sees to it; snoozed; resolved: closed")
    rule_id: int | None = Field(description="Rule that opened it", examples=[3])
    rule: str | None = Field(description="Its name", examples=["heavy pumps"])
    incident_id: int | None = Field(description="Incident it is about")
    snoozed_until: datetime | None
    acted_by: str | None = Field(
        description="Who last acknowledged, snoozed, reopened or resolved it", examples=["API key ops by ann"]
    )
    acted_at: datetime | None
    note: str | None = Field(examples=["new firmware on Monday"])


class AlertPage(BaseModel):
    items: list[Alert]
    next: int | None = Field(description="Pass as `after` for the next page; null on the last", examples=[41])


class Action(BaseModel):
    """Something a person did about an alert."""

    model_config = ConfigDict(extra="forbid", strict=True)

    note: str | None = Field(None, max_length=2000, pattern=r"^[^\x00]*$", examples=["new firmware on Monday"])
    by: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00]*$",
        description="Who does it, beside the API key's name",
        examples=["ann"],
    )


def as_written(value: Any) -> Any:
    """Refuse a number, which pydantic would take for seconds since 1970."""
    if not (isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\d[Tt ]", value, re.ASCII)):
        raise ValueError("a time is written as 2026-01-12T08:00:00Z")
    return value


class Snooze(Action):
    until: Annotated[datetime, Field(strict=False), BeforeValidator(as_written)] = Field(
        description="When it is open again, still to come; with a zone", examples=["2099-01-12T08:00:00Z"]
    )


class AlertEvent(BaseModel):
    """Something that happened in the life of an alert, with the alert as it is."""

    id: int = Field(
        description="Rises with time: pass it as `after` or Last-Event-ID to go on from there", examples=[512]
    )
    event: Literal["opened", "severity", "acknowledged", "snoozed", "reopened", "resolved"] = Field(
        description="severity: it grew louder or quieter; reopened: by hand, or because its snooze is over"
    )
    at: datetime
    who: str | None = Field(description="null: the pipeline", examples=["API key ops by ann"])
    note: str | None
    alert_id: int = Field(examples=[41])
    state: AlertState = Field(description="After the event")
    severity: Severity = Field(description="After the event")
    value: float | None = Field(description="What was measured last by then")
    as_of: date = Field(description="Last as-of day on which the alert had held by then")
    iccid: str | None = Field(examples=["8988228066033969969"])
    label: str | None = Field(examples=["pump-001"])
    kind: str = Field(examples=["rule"])
    rule_id: int | None
    rule: str | None
    incident_id: int | None
    threshold: float | None
    message: str
    opened_at: datetime
    snoozed_until: datetime | None


class AlertHistory(BaseModel):
    items: list[AlertEvent] = Field(description="Oldest first")


def _short(iccid: Any) -> Any:
    try:
        return without_check_digit(iccid)
    except (TypeError, ValueError):
        return iccid


class NewRule(BaseModel):
    """Alert when a metric crosses a threshold on some as-of days in a row, for each SIM in the scope."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(min_length=1, max_length=100, pattern=r"^[^\x00]*$", examples=["heavy pumps"])
    metric: str = Field(max_length=100, examples=["usage_day_mb"], json_schema_extra={"enum": list(METRICS)})
    operator: str = Field(max_length=2, examples=[">"], json_schema_extra={"enum": list(OPERATORS)})
    threshold: Annotated[float, Field(allow_inf_nan=False)] | str = Field(
        description='In the unit of the metric, or a text with the unit: 0.8 or "80 %"', examples=[100]
    )
    for_days: int = Field(1, ge=1, le=90, description="As-of days in a row on which it must hold")
    scope: dict[str, Any] = Field(
        default_factory=dict,
        description='{} all SIMs; {"label_prefix": "pump-"}; {"iccids": ["8988228066033969969"]}',
        examples=[{}],
    )
    severity: Severity = "warning"

    @field_validator("threshold", mode="before")
    @classmethod
    def _with_its_unit(cls, threshold: object) -> object:
        """A text that is no more than a number is a mistake of who wrote the body."""
        if isinstance(threshold, str) and threshold.rstrip()[-1:].isdigit():
            raise ValueError('a text names the unit, such as "80 %"; a number is written without quotes')
        return threshold

    @field_validator("scope")
    @classmethod
    def _without_check_digits(cls, scope: dict[str, Any]) -> dict[str, Any]:
        """ICCIDs as they are stored. Whatever else is wrong with a scope is said where the rule is checked."""
        iccids = scope.get("iccids")
        return scope | {"iccids": [_short(one) for one in iccids]} if isinstance(iccids, list) else scope


class RuleToAdd(NewRule):
    enabled: bool = Field(False, description="Switch it on at once")
    force: bool = Field(False, description="Also when it would page for more than a quarter of its SIMs at once")


class RuleToReplay(NewRule):
    name: str = Field("replay", min_length=1, max_length=100, pattern=r"^[^\x00]*$")
    days: int = Field(30, ge=1, le=90, description="Days of the past to try it on")


class StoredRule(NewRule):
    model_config = ConfigDict(extra="ignore", strict=False)

    threshold: float = Field(description="In the unit of the metric; a share as 0 to 1", examples=[100])
    rule_id: int = Field(examples=[3])
    enabled: bool
    version: int = Field(description="Rises with every change", examples=[1])
    created_by: str
    created_at: datetime
    changed_at: datetime
    evaluated_as_of: date | None = Field(description="Last as-of day it was evaluated for")
    evaluated_at: datetime | None
    holding: int | None = Field(description="SIMs for which it held then")
    error: str | None = Field(description="Why the last evaluation came to nothing")
    open_alerts: int


class RuleList(BaseModel):
    items: list[StoredRule]


class Fired(BaseModel):
    day: date
    iccid: str | None
    label: str | None
    value: float


class Replayed(BaseModel):
    """What a rule would have done on past days."""

    sims: int = Field(description="SIMs in the scope; 1 for a metric of the fleet", examples=[120])
    days: int = Field(description="As-of days of those asked for on which the metric is known", examples=[30])
    fired: int = Field(description="Alerts it would have opened", examples=[14])
    most: int = Field(description="Most SIMs for which it held on one day", examples=[3])
    examples: list[Fired] = Field(description="The first of these alerts")


class AddedRule(BaseModel):
    rule_id: int = Field(examples=[3])
    replay: Replayed


class RuleSwitch(BaseModel):
    """Whether a rule is to be evaluated."""

    model_config = ConfigDict(extra="forbid", strict=True)

    enabled: bool = Field(examples=[True])
    force: bool = Field(
        False, description="Switch it on also when it would page for more than a quarter of its SIMs at once"
    )


class SwitchedRule(BaseModel):
    rule: StoredRule = Field(description="As it is now")
    closed_alerts: int = Field(description="Open alerts of it that switching it off closed", examples=[0])
    replay: Replayed | None = Field(description="What it would have done; null where it was switched off")
