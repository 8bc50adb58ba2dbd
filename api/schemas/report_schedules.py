"""Schedules of reports, as administrators see and write them."""

from __future__ import annotations

import re
from datetime import date, datetime, time
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from resources.files.formats import ReportFormat
from services.reports.periods import NAME_FORM, Every

Name = Annotated[str, Field(max_length=63, pattern=f"^{NAME_FORM}$", examples=["weekly-ops"])]
TIME_FORM = "([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?"


def _as_written(value: Any) -> Any:
    if isinstance(value, time) or (isinstance(value, str) and re.fullmatch(TIME_FORM, value, re.ASCII)):
        return value
    raise ValueError("a time is written HH:MM")


# a local time: OpenAPI's format `time` has a zone
LocalTime = Annotated[
    time, BeforeValidator(_as_written), WithJsonSchema({"type": "string", "pattern": f"^{TIME_FORM}$"})
]
LABEL = Field(None, min_length=1, max_length=500, pattern=r"^[^\x00]*$", description="Only SIMs whose label begins so")
COUNTRY = Field(None, min_length=1, max_length=100, pattern=r"^[^\x00]*$", description="Only SIMs last seen there")


class NewReportSchedule(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Name
    every: Every = Field(
        description="Of which periods: each complete UTC day, each week from Monday, each month", examples=["weekly"]
    )
    formats: list[ReportFormat] = Field(
        ["pdf"], min_length=1, max_length=5, description="csv is a zip of one file a table", examples=[["pdf", "xlsx"]]
    )
    channels: list[Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[^\x00]*$")]] = Field(
        [], max_length=20, description="Who gets it; none: it is kept only", examples=[["ops-mail"]]
    )
    at: LocalTime = Field(time(7), description="Local time from which it is made", examples=["07:00"])
    time_zone: str = Field(
        "UTC", max_length=60, pattern=r"^[^\x00]*$", description="Of `at`", examples=["Europe/Berlin"]
    )
    label: str | None = LABEL
    country: str | None = COUNTRY


class NextReport(BaseModel):
    """The report that a schedule makes next."""

    first_day: date
    last_day: date
    due_at: datetime = Field(
        description="From when it is made (UTC); it waits up to six hours for the predictions of its last day"
    )


class ReportSchedule(BaseModel):
    name: str = Field(examples=["weekly-ops"])
    every: Every
    formats: list[ReportFormat]
    channels: list[str]
    at: LocalTime = Field(validation_alias="at_time")
    time_zone: str
    label: str | None
    country: str | None
    created_at: datetime
    created_by: str
    paused_at: datetime | None = Field(description="Since when nothing is made; null: it runs")
    next: NextReport | None = Field(description="null while it is paused")
    report_id: int | None = Field(description="The newest report it made, see /v1/reports/kept; null: none yet")
    made_to: date | None = Field(description="Last day of that report")
    made_at: datetime | None
    sent: int = Field(description="Channels that report was sent to")
    pending: int = Field(description="Channels it waits to be sent to")
    failed: int = Field(description="Channels it was not sent to, or perhaps not")


class ReportChannel(BaseModel):
    name: str = Field(examples=["ops-mail"])
    works: bool = Field(description="Whether messages are sent to it now")


class ReportScheduleList(BaseModel):
    items: list[ReportSchedule]
    channels: list[ReportChannel] = Field(description="Channels there are; `simsight channels add` adds one")


class ReportScheduleSwitch(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    paused: bool = Field(examples=[True])
