"""A read of many SIMs at once."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from api.schemas.churn import ChurnRisk
from api.schemas.common import Amount
from api.schemas.predictions import Exhaustion
from api.schemas.quota import Recommendation
from api.schemas.sims import Sim
from ml.enums import AnomalyKind, Severity
from resources.once.values import without_check_digit

MAX_SIMS = 1000
Part = Literal["state", "usage", "forecast", "exhaustion", "anomaly", "churn", "recommendation"]


class Batch(BaseModel):
    """Which SIMs, and what of them."""

    model_config = ConfigDict(extra="forbid")

    iccids: list[Annotated[str, Field(pattern="^[0-9]{19,20}$"), AfterValidator(without_check_digit)]] = Field(
        min_length=1,
        max_length=MAX_SIMS,
        description="19 digits, or 20 with the check digit",
        examples=[["8988228066033969969", "8988228066033969970"]],
    )
    include: list[Part] = Field(["state"], min_length=1, max_length=20, examples=[["state", "exhaustion"]])


class UsageSums(BaseModel):
    """What a SIM used lately. Days without a record count as nothing."""

    last_day: date = Field(description="Its last UTC day with a record")
    of_last_day: Amount = Field(description="Used on that day")
    of_7_days: Amount = Field(description="On the 7 days that end with it")
    of_30_days: Amount = Field(description="On the 30 days that end with it")


class ForecastSums(BaseModel):
    """What a SIM is expected to use."""

    as_of: date
    model_name: str = Field(examples=["usage-forecaster"])
    model_version: int = Field(examples=[3])
    next_7_days: Amount
    next_30_days: Amount


class AnomalySums(BaseModel):
    """Whether a SIM is unlike itself or its peers now, as /v1/sims/{iccid}/anomaly-score says."""

    as_of: date
    model_name: str = Field(examples=["anomaly-detector"])
    model_version: int = Field(examples=[3])
    is_anomaly: bool
    score: float = Field(examples=[4.2])
    severity: Severity | None
    kinds: list[AnomalyKind]


class SimOfBatch(BaseModel):
    """The parts that were asked for; a part that is null is not known of this SIM, one not asked for is left out."""

    iccid: str = Field(examples=["8988228066033969969"])
    state: Sim | None = None
    usage: UsageSums | None = None
    forecast: ForecastSums | None = None
    exhaustion: Exhaustion | None = None
    anomaly: AnomalySums | None = None
    churn: ChurnRisk | None = None
    recommendation: Recommendation | None = None


class BatchAnswer(BaseModel):
    items: list[SimOfBatch] = Field(description="SIMs of the organization, in the order asked for, each once")
    unknown: list[str] = Field(description="Not in the organization", examples=[["8988228066033960000"]])
