"""Answers and requests about actions at 1NCE."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ml.enums import ActionKind, ActionState
from resources.once.values import without_check_digit


class ActionRequest(BaseModel):
    """An action to be done at 1NCE."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: ActionKind = Field(examples=["reset"])
    iccid: Annotated[str, Field(pattern="^[0-9]{19,20}$"), AfterValidator(without_check_digit)] | None = Field(
        None, description="The SIM; null: all SIMs at once (limits)", examples=["8988228066033969969"]
    )
    parameters: dict[str, Any] = Field(
        default_factory=dict,
        description="top_up: payment_method; auto_top_up: enabled; limits: data_limit_id, sms_mt_limit_id, "
        "sms_mo_limit_id; none else",
        examples=[{}],
    )
    idempotency_key: str = Field(
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00]*$",
        description="Chosen by you: the same key again is the same request, and does nothing more",
        examples=["reset-2026-03-pump-001"],
    )
    recommendation_id: int | None = Field(None, ge=1, le=2**63 - 1, description="Recommendation that it follows")
    dry_run: bool = Field(True, description="Only say what would be sent and what it may cost")


class PlannedAction(BaseModel):
    """What a request would send, or will when its turn comes."""

    action_id: int | None = Field(description="null: a dry run", examples=[None])
    dry_run: bool
    method: str = Field(examples=["POST"])
    path: str = Field(description="Below 1NCE's base URL", examples=["/v2/sims/8988228066033969969/topup"])
    query: dict[str, str]
    body: dict[str, Any] | None = Field(
        description="What is sent; with a status also the label and IMEI lock that the SIM has by then"
    )
    cost_minor: int = Field(description="What it may cost, in minor units, without tax", examples=[1000])
    currency: str | None = Field(examples=["EUR"])
    switched_on: bool = Field(description="Whether this kind of action is switched on here")
    needs_approval: bool = Field(description="Whether a second API key or person must approve it")


class Action(BaseModel):
    """An action that was requested, and what became of it."""

    action_id: int = Field(description="Rises with time", examples=[7])
    kind: ActionKind = Field(examples=["reset"])
    iccid: str | None = Field(description="null: all SIMs", examples=["8988228066033969969"])
    parameters: dict[str, Any]
    idempotency_key: str
    recommendation_id: int | None
    cost_minor: int = Field(examples=[1000])
    currency: str | None = Field(examples=["EUR"])
    requested_by: str = Field(examples=["API key planner"])
    requested_at: datetime
    decided_by: str | None = Field(description="Who approved or refused it", examples=["API key boss"])
    decided_at: datetime | None
    state: ActionState = Field(
        description="sending: what became of it is not known yet; unclear: 1NCE does not show it, a person is to look"
    )
    attempts: int = Field(description="More than one only where 1NCE showed that it had no effect", examples=[1])
    sent_at: datetime | None
    order_number: int | None = Field(description="1NCE's order", examples=[2000000001])
    message: str = Field(examples=["1NCE took it"])
    changed_at: datetime


class ActionPage(BaseModel):
    items: list[Action]
    next: int | None = Field(description="Pass as `after` for the next page; null on the last", examples=[6])
