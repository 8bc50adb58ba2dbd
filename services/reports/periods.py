"""Of which periods schedules make reports and when they are due; what a schedule must be. Knows no database."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from resources.errors import UsageError
from resources.files.formats import ReportFormat
from services.reports.formats import check_formats

Every = Literal["daily", "weekly", "monthly"]
NAME_FORM = "[A-Za-z0-9][A-Za-z0-9._-]{0,62}"


class ReportError(UsageError):
    """No report can be made as asked; the message says why."""


@dataclass(frozen=True)
class Due:
    """A period whose report is due, from a moment on."""

    first_day: date
    last_day: date
    since: datetime


def newest_period(every: Every, last_complete: date) -> tuple[date, date]:
    """The newest day, week (from Monday) or month that is over, as far as the usage is complete."""
    if every == "daily":
        return last_complete, last_complete
    if every == "weekly":
        last = last_complete - timedelta(days=last_complete.isoweekday() % 7)
        return last - timedelta(days=6), last
    after = last_complete + timedelta(days=1)
    last = after.replace(day=1) - timedelta(days=1)
    return last.replace(day=1), last


def due_period(every: Every, at: time, zone: str, *, now: datetime, lateness_days: int) -> Due:
    """The newest period whose usage is complete, and from when its report is due."""
    last_complete = now.astimezone(UTC).date() - timedelta(days=1 + lateness_days)
    return _due(newest_period(every, last_complete), at, zone, lateness_days)


def _due(period: tuple[date, date], at: time, zone: str, lateness_days: int) -> Due:
    """From when the report of a period is due: the first moment, once its last day is complete, at which clocks in the
    time zone show `at`."""
    first, last = period
    complete = datetime.combine(last + timedelta(days=1 + lateness_days), time(), UTC)
    local = complete.astimezone(ZoneInfo(zone))
    moment = datetime.combine(local.date(), at, ZoneInfo(zone))
    if moment.astimezone(UTC) < complete:
        moment = datetime.combine(local.date() + timedelta(days=1), at, ZoneInfo(zone))
    return Due(first, last, moment.astimezone(UTC))


def next_due(schedule: Mapping[str, Any], *, now: datetime, lateness_days: int) -> Due | None:
    """The period whose report a schedule makes next, which may be due already; None while it is paused.

    schedule  its row of `report_schedules`
    """
    if schedule["paused_at"] is not None:
        return None
    every, at, zone = schedule["every"], schedule["at_time"], schedule["time_zone"]
    newest = due_period(every, at, zone, now=now, lateness_days=lateness_days)
    made = schedule["made_to"] is not None and schedule["made_to"] >= newest.last_day
    if not made and newest.since >= schedule["runs_from"]:
        return newest
    first = newest.last_day + timedelta(days=1)
    last = {
        "daily": first,
        "weekly": first + timedelta(days=6),
        "monthly": (first + timedelta(days=31)).replace(day=1) - timedelta(days=1),
    }
    return _due((first, last[every]), at, zone, lateness_days)


def zone_named(text: str) -> str:
    """A time zone as it is known; capitals do not matter. Raises ReportError."""
    for zone in available_timezones():
        if zone.casefold() == text.casefold():
            return zone
    raise ReportError(f"there is no time zone {text!r}: write one such as Europe/Berlin")


def check_schedule(name: str, *, formats: Sequence[ReportFormat], zone: str) -> None:
    """Check what needs no database. Raises ReportError, MissingPartError."""
    if not re.fullmatch(NAME_FORM, name):
        raise ReportError("a schedule's name is a letter or a digit, then up to 62 letters, digits, points, - and _")
    if not formats:
        raise ReportError("a schedule needs a format, such as pdf")
    zone_named(zone)
    check_formats(formats)
