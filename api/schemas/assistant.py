"""Short answers for apps and assistants: one question, plain numbers in MB, a date, a word."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel, Field

from api.schemas.common import LearntFrom, MlflowRun, Probability
from ml.enums import ChurnCause, ChurnLevel, QuotaAction, Severity, TicketCategory, TicketPriority

ICCID = "8988228066033969969"


class Answered(BaseModel):
    """About which SIM, as of which day and by which model."""

    iccid: str = Field(examples=[ICCID])
    as_of: date = Field(description="Last complete day that was known")
    model_name: str = Field(examples=["usage-forecaster"])
    model_version: int = Field(description="Version in the model registry", examples=[3])
    mlflow_run: MlflowRun
    generated_at: datetime = Field(description="When the prediction was made")


class PredictedDay(BaseModel):
    """The usage of a day ahead in MB, between bounds that hold in eight of ten cases."""

    date: date
    predicted_mb: float = Field(description="Expected usage", examples=[1.5])
    lower_mb: float = Field(description="10 % quantile", examples=[0.2])
    upper_mb: float = Field(description="90 % quantile", examples=[3.0])


class AssistantForecast(Answered):
    """What a SIM will use, and when its quota is used up."""

    forecast_days: int = Field(examples=[30])
    predictions: list[PredictedDay] = Field(description="Nearest day first")
    total_predicted_mb: float = Field(description="Expected usage of these days together", examples=[45.0])
    quota_remaining_mb: float | None = Field(description="Data volume left at the end of as_of", examples=[41.5])
    quota_exhaustion_date: date | None = Field(
        description="Median day on which its volume or its time runs out; null: not within what can be seen"
    )
    quota_exhaustion_status: str | None = Field(
        description="ok, extrapolated, exhausted, expired or not_enough_evidence; null: no prediction", examples=["ok"]
    )
    quota_exhaustion_probability_7d: Probability = Field(description="Within 7 days after as_of", examples=[0.1])
    quota_exhaustion_probability_30d: Probability = Field(description="Within 30 days", examples=[0.97])


class AssistantAnomaly(Answered):
    """Whether a SIM behaves unlike itself or its peers."""

    is_anomaly: bool = Field(description="On as_of or on a day still under way")
    anomaly_score: float = Field(
        description="Minus the decimal logarithm of the share of ordinary SIM-days at least as anomalous: 3 is one in "
        "1,000; 0 without an anomaly",
        examples=[4.2],
    )
    severity: Severity | None = Field(description="The worst; null without an anomaly", examples=["warning"])
    anomaly_types: list[str] = Field(description="Kinds, the highest score first", examples=[["spike"]])
    reasons: list[str] = Field(examples=[["412.0 MB on 3 June, 38 times its usual 10.8 MB of a Tuesday."]])


class AssistantChurn(Answered):
    """The risk that a SIM leaves."""

    churn_probability: float = Field(description="Within horizon_days", examples=[0.48])
    horizon_days: Literal[90]
    churn_probability_30d: float = Field(examples=[0.21])
    risk_level: ChurnLevel = Field(examples=["medium"])
    cause: ChurnCause = Field(description="The likeliest", examples=["dead_device"])
    reasons: list[str] = Field(examples=[["its silence is at 80 % of the longest usual one"]])
    learnt_from: LearntFrom
    recommended_actions: list[str] = Field(
        description="What could be done; empty for a SIM of the hold-out, of which nothing is to be done",
        examples=[["check power, antenna and network from afar, and restart the connection"]],
    )


class AssistantRecommendation(Answered):
    """What to do about a SIM's quota."""

    recommended_action: QuotaAction = Field(examples=["top_up"])
    reason: str
    packs: int | None = Field(description="Top-ups to buy; null for other actions", examples=[1])
    estimated_savings: float = Field(
        description="Expected saving over a year against doing nothing, in the currency", examples=[26.97]
    )
    currency: str = Field(examples=["EUR"])
    confidence: float = Field(description="Probability that it saves anything", examples=[0.9])
    valid_until: date
    recommendation_id: int = Field(description="For /v1/recommendations/{id}/accept and /dismiss", examples=[12])


class AssistantTicket(BaseModel):
    """What a support ticket is about."""

    ticket_id: str = Field(examples=["00012345"])
    category: TicketCategory = Field(examples=["connectivity_issue"])
    confidence: float = Field(description="Calibrated probability that the category is right", examples=[0.91])
    priority: TicketPriority = Field(examples=["high"])
    needs_human: bool = Field(description="A person is to decide: the classifier is not sure enough")
    reasons: list[str] = Field(examples=[["It reads like tickets about connections: offline, no signal."]])
    iccid: str | None = Field(description="The SIM named in the text; null: none, or several", examples=[ICCID])
    decided_by: Literal["model", "person"] = Field(description="Who chose the category")
    as_of: date | None = Field(description="Last complete day that was known; this and the rest null: never classified")
    model_name: str | None = Field(examples=["ticket-classifier"])
    model_version: int | None = Field(examples=[1])
    mlflow_run: MlflowRun
    classified_at: datetime | None
