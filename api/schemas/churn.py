"""Answers and requests about churn."""

from __future__ import annotations

import base64
from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.common import LearntFrom, MlflowRun
from ml.enums import ChurnCause, ChurnLevel


class Contribution(BaseModel):
    """How far one thing that the model knows of a SIM moves its risk."""

    value: float | str | None = Field(description="Its value for this SIM; null: not known", examples=[0.8])
    feature: str = Field(description="What the model looks at", examples=["gap_share"])
    log_odds: float = Field(
        description="What it adds to the log odds of the likeliest cause, on the mean of the months within 90 days; "
        "above 0 it raises the risk",
        examples=[0.93],
    )


class ChurnRisk(BaseModel):
    """The risk that a SIM leaves: its device dies, it is switched off, or its device goes on with another SIM."""

    iccid: str = Field(examples=["8988228066033969969"])
    label: str | None = Field(examples=["pump-001"])
    as_of: date = Field(description="Last complete day that was known")
    p_30: float = Field(description="Probability that it leaves within 30 days", examples=[0.21])
    p_60: float = Field(description="Within 60 days", examples=[0.36])
    p_90: float = Field(description="Within 90 days", examples=[0.48])
    p_180: float = Field(description="Within 180 days", examples=[0.7])
    p_dead_device: float = Field(description="Of p_90: its device falls silent for good", examples=[0.3])
    p_switched_off: float = Field(description="Of p_90: it is disabled or leaves the SIM list", examples=[0.15])
    p_swapped: float = Field(description="Of p_90: its device goes on with another SIM", examples=[0.03])
    p_exhausted: float = Field(description="Its data volume ends it first, within 90 days", examples=[0.1])
    p_expired: float = Field(description="Its validity ends it first, within 90 days", examples=[0.0])
    any_end: float = Field(description="It ends within 90 days, by whatever cause", examples=[0.58])
    risk_level: ChurnLevel = Field(description="By p_90 and the settings", examples=["medium"])
    cause: ChurnCause = Field(description="The likeliest of the causes for which it leaves", examples=["dead_device"])
    reasons: str = Field(
        description="What raises its risk most", examples=["its silence is at 80 % of the longest usual one"]
    )
    contributions: list[Contribution] = Field(
        description="What moves its risk most, either way: five at most, the largest first; empty for a SIM that is "
        "silent already"
    )
    action: str = Field(
        description="What could be done. No effect is claimed",
        examples=["check power, antenna and network from afar, and restart the connection"],
    )
    held_out: bool = Field(description="In the hold-out: nothing is to be done, so that the effect can be measured")
    value_minor: int | None = Field(
        description="Value at stake in minor units of the currency: what was invoiced for it; null: not known",
        examples=[1000],
    )
    currency: str | None = Field(description="ISO 4217 code", examples=["EUR"])
    worth: float = Field(description="Risk x value x what can be done: actions are ranked by it", examples=[264.0])
    decision: Literal["accepted", "dismissed"] | None = Field(description="Newest decision on an action for this SIM")
    decision_reason: str | None
    decided_by: str | None = Field(examples=["API key desk by ann"])
    decided_at: datetime | None
    model_name: str = Field(examples=["churn-model"])
    model_version: int = Field(examples=[1])
    learnt_from: LearntFrom
    run_id: str = Field(description="Pipeline run that scored", examples=["4f1c2d"])
    created_at: datetime


class ChurnRiskOfSim(ChurnRisk):
    """The risk that one SIM leaves, with the training of the model that says so."""

    mlflow_run: MlflowRun


class ChurnRiskPage(BaseModel):
    items: list[ChurnRisk]
    next: str | None = Field(description="Pass as `after` for the next page; null on the last")


class ChurnCursor(BaseModel):
    """The last risk of a page; its as_of keeps a walk on one day while a newer one arrives."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    as_of: date
    p_90: float = Field(ge=0, le=1)
    iccid: str = Field(pattern=r"^[0-9]{19}$")

    def encode(self) -> str:
        return base64.urlsafe_b64encode(self.model_dump_json().encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> ChurnCursor:
        """Raises ValueError for a text that `encode` did not make."""
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            return cls.model_validate_json(raw)
        except ValueError as error:
            raise ValueError("not a cursor of this list") from error


class ChurnDecision(BaseModel):
    """What a person decided on the retention action of a SIM."""

    model_config = ConfigDict(extra="forbid", strict=True)

    decision: Literal["accepted", "dismissed"] = Field(examples=["accepted"])
    reason: str = Field(
        min_length=1, max_length=2000, pattern=r"^[^\x00]*$", description="Why", examples=["the pump is being replaced"]
    )
    by: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00]*$",
        description="Who says so, beside the API key's name",
        examples=["ann"],
    )
