"""Answers and requests about quotas and money."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.common import Cursor, MlflowRun
from ml.enums import QuotaAction


class Recommendation(BaseModel):
    """The action on a SIM's quota with the least expected cost. Amounts are minor units (hundredths) of `currency`."""

    recommendation_id: int = Field(examples=[12])
    iccid: str = Field(examples=["8988228066033969969"])
    label: str | None = Field(examples=["HAM01-MCH-0001"])
    as_of: date
    action: QuotaAction = Field(examples=["top_up"])
    month: int | None = Field(description="In which of the next months it is done; null for nothing", examples=[1])
    packs: int | None = Field(description="Top-ups to buy; null for other actions", examples=[1])
    cost_minor: int = Field(description="Expected cost over a year with it done, outage days included")
    spend_minor: int = Field(description="Money it is expected to take in three months")
    saving_minor: int = Field(description="Expected saving over a year against doing nothing", examples=[2697])
    saving_p10_minor: int
    saving_p90_minor: int
    outage_days: float = Field(description="Outage days expected in three months with it done")
    outage_p: float = Field(description="Probability of any outage in three months with it done")
    probability: float = Field(description="Probability that it saves anything")
    currency: str = Field(examples=["EUR"])
    reason: str
    valid_until: date = Field(description="Last day on which it should be done as it is")
    rule_action: str = Field(
        description="What the plain rules say: upgrade, downgrade, keep, not_enough_history or no_quota"
    )
    rule_saving_minor: int | None = Field(description="What they say it saves a month; negative where it costs")
    decision: Literal["accepted", "dismissed"] | None = Field(description="The newest of a person; null: open")
    decision_reason: str | None
    decided_by: str | None = Field(examples=["API key desk by ann"])
    decided_at: datetime | None
    model_name: str = Field(description="The forecaster whose futures it rests on", examples=["usage-forecaster"])
    model_version: int = Field(examples=[1])
    run_id: str
    created_at: datetime


class RecommendationOfSim(Recommendation):
    """What to do about one SIM's quota, with the training of the forecaster it rests on."""

    mlflow_run: MlflowRun


class RecommendationPage(BaseModel):
    items: list[Recommendation]
    next: str | None = Field(description="Pass as `after` for the next page; null on the last")


class RecommendationCursor(Cursor):
    """The last row of a page: its day, saving and id."""

    as_of: date
    saving: int = Field(ge=-(2**63), le=2**63 - 1)
    recommendation_id: int = Field(ge=0, le=2**63 - 1)


class Decision(BaseModel):
    """Why a recommendation is accepted or dismissed."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: str | None = Field(None, max_length=2000, pattern=r"^[^\x00]*$", examples=["the device is replaced"])
    by: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00]*$",
        description="Who says so, beside the API key's name",
        examples=["ann"],
    )


class Realized(BaseModel):
    """What the recommendations of a month promised and came to."""

    month: date = Field(description="First day of the month")
    scope: Literal["accepted", "all"] = Field(description="Those a person accepted, or the first of every SIM")
    sims: int
    predicted_minor: int
    realized_minor: int
    currency: str


class Savings(BaseModel):
    """Money of the fleet as a whole. Amounts are minor units (hundredths)."""

    as_of: date
    state: Literal["ok", "over_budget", "no_prices"] = Field(
        description="over_budget: the budget does not hold every limit of risk; no_prices: the price list has holes"
    )
    note: str = Field(description="The state in a sentence")
    run_id: str
    content: dict[str, Any] = Field(
        description="currency, at_stake_minor (cost if nothing is done), cost_minor, bound_minor, saving_minor, "
        "budget_minor, spend_minor and shadow_price of each month, actions, zombies, groups, expiries, next_year, "
        "plans, prices, notes; where prices are missing only notes"
    )
    computed_at: datetime
    realized: list[Realized]
