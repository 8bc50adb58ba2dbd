"""Answers about SIMs."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.common import Amount, Cursor
from ml.enums import SimState

STATE_WORDS = (
    "ordered: not in the SIM list yet; issued: listed, not activated; activated: not heard of yet; active; silent: not "
    "heard of for unusually long; suspended: disabled, not in the SIM list any more, or quota used up; expired; "
    "deactivated: disabled or gone for long, inferred"
)


class Sim(BaseModel):
    """A SIM card, as the 1NCE SIM list last gave it, and the state of its life."""

    iccid: str = Field(description="19 digits, without the Luhn digit", examples=["8988228066033969969"])
    imei: str | None = Field(examples=["353500720000001"])
    msisdn: str | None = Field(examples=["882285000000001"])
    ip_address: str | None = Field(examples=["10.20.0.1"])
    label: str | None = Field(description="The customer's name for it", examples=["pump-001"])
    status: str | None = Field(description="Enabled or Disabled", examples=["Enabled"])
    activated_at: datetime | None
    quota_status: int | None = Field(
        description="0: more than 20 % of the data quota left, 1: less, 2: none", examples=[0]
    )
    quota_total: Amount | None = Field(description="The whole data quota")
    changed_at: datetime = Field(description="When anything the SIM list says of it last changed")
    state: SimState | None = Field(description=f"{STATE_WORDS}. null until it is first evaluated", examples=["active"])
    state_since: date | None = Field(description="UTC day from which it is in this state", examples=["2026-01-04"])
    remaining: Amount | None = Field(description="Data volume left when 1NCE was last asked")
    last_used_on: date | None = Field(description="Last UTC day with data or SMS", examples=["2026-01-10"])
    country: str | None = Field(description="Where it was last seen", examples=["Germany"])
    ends_on: date | None = Field(
        description="Median day on which its volume or its time runs out, by the latest prediction; "
        "/v1/sims/{iccid}/exhaustion says how sure that is",
        examples=["2026-03-01"],
    )


SimSort = Literal["iccid", "remaining", "ends_on", "last_used"]


class SimCursor(Cursor):
    """The last SIM of a page that is sorted by more than ICCIDs."""

    sort: SimSort
    place: float | None = Field(description="What it is sorted by, as a number; null: it has none")
    iccid: str = Field(pattern="^[0-9]{19}$")


class SimPage(BaseModel):
    items: list[Sim]
    next: str | None = Field(
        description="Pass as `after` for the next page; null on the last", examples=["8988228066033969969"]
    )


class LifecycleEntry(BaseModel):
    """A state that a SIM entered, or something that happened to it."""

    occurred_on: date = Field(description="UTC day on which it happened; for a state, from which it holds")
    kind: Literal["state", "imei_change", "country_change", "top_up"]
    from_value: str | None = Field(
        description="State, IMEI or country before; null for the first known and for a top-up", examples=["active"]
    )
    to_value: str = Field(description="State, IMEI or country after; of a top-up data or sms", examples=["silent"])
    evidence: str = Field(
        examples=["Last sign of life on 2026-03-27, 4 days up to 2026-03-31; its longest usual gap is 1 d."]
    )
    as_of: date = Field(description="Last complete usage day known when it was decided")
    decided_by: str = Field(description="The state machine, or a person", examples=["state machine 1"])
    decided_at: datetime


class Lifecycle(BaseModel):
    """The state of a SIM and a page of the history that led there."""

    iccid: str = Field(examples=["8988228066033969969"])
    state: SimState | None = Field(description=f"{STATE_WORDS}. null until it is first evaluated", examples=["silent"])
    since: date | None = Field(description="UTC day from which it is in this state")
    cause: str | None = Field(
        description="Why, where a state has several causes: expiry_date, refused; disabled, unlisted, unknown, "
        "exhausted; off"
    )
    evidence: str | None = Field(description="On what it was decided, with numbers")
    items: list[LifecycleEntry] = Field(description="Newest last")
    next: str | None = Field(
        description="Pass as `after` for the next page; null on the last", examples=["2026-03-31.41"]
    )


class UsageDay(BaseModel):
    """A UTC day's usage. A day that is missing has no record yet."""

    day: date
    total: Amount = Field(description="Received and sent")
    received: Amount | None = Field(description="Received by the device; null: not known")
    sent: Amount | None = Field(description="Sent by the device; null: not known")
    sms_mt: int | None = Field(description="SMS to the device; null: not known")
    sms_mo: int | None = Field(description="SMS from the device; null: not known")
    known_at: datetime = Field(description="Since when this value is known; a correction moves it")


class Usage(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    iccid: str = Field(examples=["8988228066033969969"])
    first_day: date | None = Field(alias="from", description="First day asked for; null for a SIM without usage")
    last_day: date | None = Field(alias="to", description="Last day asked for")
    items: list[UsageDay] = Field(description="Oldest day first")


class VolumeBand(BaseModel):
    """About how much of its data volume a SIM has left, and nothing finer."""

    iccid: str = Field(examples=["8988228066033969969"])
    as_of: date | None = Field(
        description="UTC day of the look at the quota; null: only the SIM list's status is known"
    )
    band: Literal["empty", "low", "half", "plenty", "unknown"] = Field(
        description="empty: nothing left; low: at most a fifth; half: at most three fifths; plenty: more",
        examples=["half"],
    )
