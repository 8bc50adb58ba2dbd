"""Reports that are made again and again, and sent: every day, week or month, once its last day is complete."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo, available_timezones

from resources.errors import SimsightError
from resources.files.formats import ReportFormat
from resources.runtime import Runtime
from services.notifications.oncall import channel_named
from services.reports.formats import check_formats
from services.reports.kept import files_of, keep, make
from services.reports.sections.asking import ReportError, Wanted

Every = Literal["daily", "weekly", "monthly"]
NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
WAITS = timedelta(hours=6)  # for the predictions of the last day; then it is made with those there are
TITLES = {"daily": "Daily fleet report", "weekly": "Weekly fleet report", "monthly": "Monthly fleet report"}


class ReportsFailedError(SimsightError):
    """Some reports that were due could not be made; the others were. The message says which and why."""


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
    """The newest period whose usage is complete, and from when its report is due.

    That is the first moment, once the last day is complete, at which clocks in the time zone show `at`.
    """
    first, last = newest_period(every, now.astimezone(UTC).date() - timedelta(days=1 + lateness_days))
    complete = datetime.combine(last + timedelta(days=1 + lateness_days), time(), UTC)
    local = complete.astimezone(ZoneInfo(zone))
    moment = datetime.combine(local.date(), at, ZoneInfo(zone))
    if moment.astimezone(UTC) < complete:
        moment = datetime.combine(local.date() + timedelta(days=1), at, ZoneInfo(zone))
    return Due(first, last, moment.astimezone(UTC))


def zone_named(text: str) -> str:
    """A time zone as it is known; capitals do not matter. Raises ReportError."""
    for zone in available_timezones():
        if zone.casefold() == text.casefold():
            return zone
    raise ReportError(f"there is no time zone {text!r}: write one such as Europe/Berlin")


def check_schedule(name: str, *, formats: Sequence[ReportFormat], zone: str) -> None:
    """Check what needs no database. Raises ReportError, MissingPartError."""
    if not NAME.fullmatch(name):
        raise ReportError("a schedule's name is a letter or a digit, then up to 62 letters, digits, points, - and _")
    if not formats:
        raise ReportError("a schedule needs a format, such as pdf")
    zone_named(zone)
    check_formats(formats)


def add_schedule(
    runtime: Runtime,
    name: str,
    *,
    every: Every,
    formats: Sequence[ReportFormat],
    channels: Sequence[str],
    at: time,
    zone: str,
    by: str,
    label: str | None = None,
    country: str | None = None,
) -> None:
    """Write a schedule. Raises ReportError, AlertError (an unknown channel), MissingPartError.

    channels  names of those that get it; none: it is kept only
    at, zone  local time from which it is made
    """
    check_schedule(name, formats=formats, zone=zone)
    database = runtime.database
    values = {
        "name": name,
        "every": every,
        "label": label,
        "country": country,
        "formats": list(dict.fromkeys(formats)),
        "channel_ids": [channel_named(database, channel)["channel_id"] for channel in dict.fromkeys(channels)],
        "at": at,
        "time_zone": zone_named(zone),
        "now": runtime.clock(),
        "by": by,
    }
    if database.row("add_report_schedule", values) is None:
        raise ReportError(f"there is a schedule named {name!r}: choose another name, or remove it first")


def remove_schedule(runtime: Runtime, name: str) -> None:
    """Remove a schedule; what it made stays. Raises ReportError."""
    if runtime.database.row("remove_report_schedule", {"name": name}) is None:
        there = ", ".join(row["name"] for row in runtime.database.rows("report_schedules")) or "none yet"
        raise ReportError(f"there is no schedule named {name!r}; there are: {there}")


def what_is_due(runtime: Runtime) -> list[tuple[dict[str, object], Due]]:
    """The schedules whose newest period is to be made now."""
    now, found = runtime.clock(), []
    for row in runtime.database.rows("report_schedules"):
        due = due_period(
            row["every"], row["at_time"], row["time_zone"], now=now, lateness_days=runtime.settings.lateness_days
        )
        made = row["made_to"] is not None and row["made_to"] >= due.last_day
        if made or not row["created_at"] <= due.since <= now:
            continue
        known = runtime.database.row("report_as_of", {"last": due.last_day}) or {}
        if known.get("as_of") == due.last_day or now >= due.since + WAITS:
            found.append((row, due))
    return found


def make_due(runtime: Runtime) -> dict[str, int]:
    """Make, keep and send what is due, each once however often this runs; returns counts.

    One that fails holds up no other. Raises ReportsFailedError when all were tried.
    """
    done, failed = {"made": 0, "messages": 0}, []
    for row, due in what_is_due(runtime):
        try:
            wanted = Wanted(due.first_day, due.last_day, row["label"], row["country"])  # type: ignore[arg-type]
            report = make(runtime, wanted, TITLES[str(row["every"])])
            files = files_of(report, row["formats"])  # type: ignore[arg-type]
        except SimsightError as error:
            failed.append(f"{row['name']}: {error}")
            continue
        with runtime.database.transaction() as transaction:
            values = {"schedule_id": row["schedule_id"], "now": runtime.clock()}
            kept = keep(transaction, report, files, name=str(row["name"]), **values)  # type: ignore[arg-type]
            if kept is None:  # another process was faster
                continue
            # in the same transaction: a report that is kept is in the outbox, and never twice
            done["messages"] += transaction.execute("send_report", values | {"report_id": kept})
        done["made"] += 1
    if failed:
        raise ReportsFailedError("; ".join(failed))
    return done
