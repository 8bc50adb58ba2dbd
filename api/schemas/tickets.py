"""Answers and requests about support tickets."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ml.enums import TicketCategory


class Ticket(BaseModel):
    """A support ticket, sorted by the ticket classifier or by a person."""

    case_id: str = Field(description="1NCE's id", examples=["00012345"])
    subject: str | None = Field(examples=["SIM has no connection since Monday"])
    status: str = Field(description="OPEN, IN_PROGRESS or CLOSED", examples=["OPEN"])
    opened_at: datetime | None
    solved_at: datetime | None
    category: str | None = Field(
        description="connectivity_issue, billing_question, quota_exhausted, activation_problem, technical_support or "
        "account_management; null: not classified yet, or without a text",
        examples=["connectivity_issue"],
    )
    confidence: float | None = Field(description="Calibrated probability that the category is right", examples=[0.91])
    priority: str | None = Field(description="high, medium or low", examples=["high"])
    to_person: bool = Field(description="A person is to decide: the classifier is not sure enough")
    reasons: str | None = Field(examples=["It reads like tickets about connections: offline, no signal."])
    iccid: str | None = Field(description="The SIM named in the text; null: none, or several")
    decided_by: Literal["model", "person"] | None = Field(description="Who chose the category")
    corrected_by: str | None = Field(description="The person who did", examples=["API key desk by ann"])
    model_name: str | None = Field(examples=["ticket-classifier"])
    model_version: int | None = Field(examples=[1])
    run_id: str | None = Field(description="Pipeline run that classified", examples=["4f1c2d"])
    as_of: date | None
    classified_at: datetime | None


class TicketPage(BaseModel):
    items: list[Ticket]
    next: str | None = Field(description="Pass as `after` for the next page; null on the last", examples=["00012345"])


class Correction(BaseModel):
    """The right category of a ticket."""

    model_config = ConfigDict(extra="forbid", strict=True)

    category: TicketCategory = Field(examples=["billing_question"])
    note: str | None = Field(None, max_length=2000, pattern=r"^[^\x00]*$", examples=["asks for an invoice"])
    by: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00]*$",
        description="Who says so, beside the API key's name",
        examples=["ann"],
    )
