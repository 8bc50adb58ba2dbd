"""Answers about what happened to a SIM."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, Field

from api.schemas.common import Cursor

TimelineKind = Literal["event", "anomaly", "alert", "top_up", "order", "ticket", "action", "exhaustion", "state"]


class SimEvent(BaseModel):
    """Something that 1NCE told of a SIM."""

    occurred_at: datetime
    event_type: str = Field(description="1NCE's sentence for the kind of event", examples=["Update location received."])
    severity: str | None = Field(description="INFO, WARN or CRITICAL", examples=["INFO"])
    alert: bool | None = Field(description="1NCE's alert flag", examples=[False])
    imei: str | None = Field(examples=["353500720000001"])
    country: str | None = Field(description="Visited country", examples=["Germany"])
    operator: str | None = Field(description="Visited operator", examples=["Telekom"])


class SimEventPage(BaseModel):
    items: list[SimEvent] = Field(description="Newest first")
    next: str | None = Field(description="Pass as `after` for the next page; null on the last")


class SimEventCursor(Cursor):
    """The last event of a page."""

    at: AwareDatetime
    event_type: str = Field(max_length=1000, pattern=r"^[^\x00]*$")


class FleetEvent(BaseModel):
    """Something that 1NCE told of a SIM of the fleet."""

    occurred_at: datetime
    iccid: str = Field(examples=["8988228066033969969"])
    event_type: str = Field(description="1NCE's sentence for the kind of event", examples=["Update location received."])
    severity: str | None = Field(description="INFO, WARN or CRITICAL", examples=["INFO"])
    alert: bool | None = Field(description="1NCE's alert flag", examples=[False])
    imei: str | None = Field(examples=["353500720000001"])
    country: str | None = Field(description="Visited country", examples=["Germany"])
    operator: str | None = Field(description="Visited operator", examples=["Telekom"])


class FleetEventPage(BaseModel):
    items: list[FleetEvent] = Field(description="Newest first")
    next: str | None = Field(description="Pass as `after` for the next page; null on the last")


class FleetEventCursor(SimEventCursor):
    """The last event of a page."""

    iccid: str = Field(pattern="^[0-9]{19}$")


class TimelineEntry(BaseModel):
    """Something in the history of a SIM, of whatever kind."""

    at: datetime = Field(description="When; the beginning of the UTC day for what is known by its day alone")
    kind: TimelineKind = Field(
        description="event: of 1NCE; anomaly; alert: its opening; top_up; order that names the SIM; ticket about it; "
        "action at 1NCE; exhaustion: its status changed or its median date moved by three days or more; state: of its "
        "life, or a change of device or country",
        examples=["alert"],
    )
    id: str = Field(description="Of the entry among those of its kind and time", examples=["41"])
    title: str = Field(examples=["pump-001 runs out within 14 days with a probability of 62 %"])
    severity: str | None = Field(description="info, warning or critical, or as 1NCE says it", examples=["warning"])
    details: dict[str, Any] = Field(description="By kind", examples=[{"kind": "exhaustion", "state": "open"}])


class Timeline(BaseModel):
    iccid: str = Field(examples=["8988228066033969969"])
    as_of: date | None = Field(description="Day of the newest prediction of when it runs out; null: none yet")
    items: list[TimelineEntry] = Field(description="Newest first")
    next: str | None = Field(description="Pass as `after` for the next page; null on the last")


class TimelineCursor(Cursor):
    """The last entry of a page."""

    at: AwareDatetime
    kind: TimelineKind
    id: str = Field(max_length=1000, pattern=r"^[^\x00]*$")
