"""Answers about predictions."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel, Field, field_validator

from api.schemas.common import Amount, Cursor, MlflowRun, Probability


class Prediction(BaseModel):
    """Which model said it, and knowing what."""

    model_name: str = Field(examples=["usage-forecaster"])
    model_version: int = Field(description="Version in the model registry", examples=[3])
    run_id: str = Field(description="Pipeline run that scored", examples=["4f1c2d"])
    as_of: date = Field(description="Last complete day the prediction knew")
    created_at: datetime = Field(description="When it was made")
    data_age_hours: int | None = Field(
        description="Hours by which the last usage answer lies before the end of as_of; 0 when it came after; null: "
        "never asked"
    )
    data_grade: Literal["A", "B", "C", "D"] | None = Field(
        description="A: usage known to the end of as_of, quota seen no more than two days before it; B: usage known, "
        "quota older or none; C: one or two last days not known; D: more"
    )


class ForecastDay(Prediction):
    """A day ahead: the expected usage and quantiles. q10 to q90 is the 80 % interval, q025 to q975 the 95 % one."""

    day: date
    mean: Amount
    q025: Amount
    q10: Amount
    q50: Amount
    q90: Amount
    q975: Amount


class Forecast(BaseModel):
    iccid: str = Field(examples=["8988228066033969969"])
    items: list[ForecastDay] = Field(description="Nearest day first")


class ForecastQuantiles(BaseModel):
    """A day ahead: the expected usage and quantiles. q10 to q90 is the 80 % interval, q025 to q975 the 95 % one."""

    day: date
    mean: Amount
    q025: Amount
    q10: Amount
    q50: Amount
    q90: Amount
    q975: Amount


class UsageForecast(Prediction):
    """What a SIM is expected to use on the next days."""

    iccid: str = Field(examples=["8988228066033969969"])
    days: int = Field(description="Days ahead in this answer", examples=[7])
    total_mean: Amount = Field(description="Expected usage of these days together")
    items: list[ForecastQuantiles] = Field(description="Nearest day first")
    mlflow_run: MlflowRun


class Exhaustion(Prediction):
    """When a SIM's data volume or its time runs out, whichever is first."""

    iccid: str = Field(examples=["8988228066033969969"])
    label: str | None = Field(examples=["pump-001"])
    status: str = Field(
        description="ok: dates within the forecast horizon; extrapolated: the median lies beyond it; exhausted or "
        "expired: already; not_enough_evidence: no guess",
        examples=["ok"],
    )
    cause: str | None = Field(description="What ends it first at the median: volume or expiry", examples=["volume"])
    p_7: Probability = Field(description="Probability of the end within 7 days after as_of", examples=[0.1])
    p_14: Probability = Field(description="Within 14 days", examples=[0.62])
    p_30: Probability = Field(description="Within 30 days", examples=[0.97])
    p10_date: date | None = Field(description="Early date: 10 % chance that the end comes on or before it")
    p50_date: date | None = Field(description="Median date of the end")
    p90_date: date | None = Field(description="Late date: 90 %")
    remaining: Amount | None = Field(description="Data volume left at the end of as_of; may be negative")
    expires_on: date | None = Field(description="Day the SIM expires")
    p_90: Probability = Field(description="Within 90 days", examples=[1.0])
    topup_date: date | None = Field(
        description="Median day of the next automatic top-up; null for SIMs whose last top-up did not come by itself"
    )
    topups_30: float | None = Field(description="Automatic top-ups expected within 30 days", examples=[0.4])
    p_limit: Probability = Field(
        description="Probability that the monthly limit stops the SIM in the month of as_of + 1; null without a limit",
        examples=[0.2],
    )
    limit_date: date | None = Field(description="Median day of that, where it is at least as likely as not")
    sms_remaining: int | None = Field(description="SMS left at the end of as_of", examples=[231])
    sms_status: str | None = Field(
        description="As status, for the SMS quota: ok, exhausted, expired or not_enough_evidence", examples=["ok"]
    )
    sms_p_7: Probability = Field(
        description="Probability that the SMS are used up or the SIM expires within 7 days after as_of", examples=[0.0]
    )
    sms_p_14: Probability = Field(description="Within 14 days", examples=[0.0])
    sms_p_30: Probability = Field(description="Within 30 days", examples=[0.01])
    sms_p_90: Probability = Field(description="Within 90 days", examples=[0.2])
    sms_p10_date: date | None = Field(description="Early date of the end of the SMS quota: 10 %")
    sms_p50_date: date | None = Field(description="Median date of the end of the SMS quota")
    sms_p90_date: date | None = Field(description="Late date of the end of the SMS quota: 90 %")


class ExhaustionOfSim(Exhaustion):
    """When one SIM runs out, with the training of the model that says so."""

    mlflow_run: MlflowRun


class ExhaustionPage(BaseModel):
    items: list[Exhaustion]
    next: str | None = Field(description="Pass as `after` for the next page; null on the last")


class ExhaustionCursor(Cursor):
    """The last exhaustion of a page; its as_of keeps a walk on one scoring while a newer one arrives."""

    as_of: date
    ended: bool
    ends_on: str = Field(pattern=r"^(-?infinity|[0-9]{4}-[0-9]{2}-[0-9]{2})$")
    p_14: float = Field(ge=-1, le=2)
    iccid: str = Field(pattern=r"^([0-9]{19})?$")

    @field_validator("ends_on")
    @classmethod
    def _is_a_day(cls, text: str) -> str:
        if not text.endswith("infinity"):
            date.fromisoformat(text)
        return text
