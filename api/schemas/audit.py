"""Answers about the log of writes and the use of keys."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from pydantic import BaseModel, Field


class AuditLine(BaseModel):
    """One write, never changed afterwards."""

    number: int = Field(description="1, 2, 3 ... without a gap", examples=[41])
    at: datetime
    event: str = Field(
        description="alert.acknowledged, rule.added, ticket.corrected, key.made, action.approved, login.revoked ...",
        examples=["key.made"],
    )
    who: str = Field(description="API key, person, or login of the database", examples=["API key admin"])
    subject: str = Field(description="Kind of what was written", examples=["key"])
    subject_id: str = Field(description="Which of them; of a retention action the ICCID", examples=["7"])
    facts: dict[str, Any] = Field(description="What else is told: neither keys nor texts", examples=[{"name": "app"}])
    sha256: str = Field(description="Hash of the line together with the line before", examples=["5f2c..."])


class AuditPage(BaseModel):
    items: list[AuditLine]
    next: int | None = Field(description="Pass as `after` for the next page; null on the last", examples=[40])


class KeyUseCount(BaseModel):
    """How often a key was used on a day, from an address, for a group of routes."""

    key_use_id: int = Field(description="Rises with the first use", examples=[12])
    day: date = Field(description="UTC")
    key: str = Field(description="Name of the key", examples=["dashboard"])
    key_id: int = Field(examples=[7])
    address: str = Field(description="* where there were too many to tell apart", examples=["203.0.113.9"])
    routes: str = Field(description="First segments of the path", examples=["/v1/sims"])
    failed: bool = Field(description="Whether it was refused: it was expired or revoked")
    uses: int = Field(description="Requests", examples=[1440])
    sealed: bool = Field(description="Whether the day is over and its hash a line of the log")


class KeyUsePage(BaseModel):
    items: list[KeyUseCount]
    next: int | None = Field(description="Pass as `after` for the next page; null on the last", examples=[11])
