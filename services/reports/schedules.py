"""Reports that are made again and again, and sent: every day, week or month, once its last day is complete."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import time, timedelta

from resources.errors import SimsightError
from resources.files.formats import ReportFormat
from resources.runtime import Runtime
from services.notifications.oncall import channel_named
from services.reports.kept import files_of, keep, make
from services.reports.periods import Due, Every, ReportError, check_schedule, next_due, zone_named
from services.reports.sections.asking import Wanted

WAITS = timedelta(hours=6)  # for the predictions of the last day; then it is made with those there are
TITLES = {"daily": "Daily fleet report", "weekly": "Weekly fleet report", "monthly": "Monthly fleet report"}


class ReportsFailedError(SimsightError):
    """Some reports that were due could not be made; the others were. The message says which and why."""


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


def pause_schedule(runtime: Runtime, name: str, *, paused: bool, by: str) -> None:
    """Pause a schedule, or let it run again: what was due meanwhile is not made. Raises ReportError."""
    with runtime.database.transaction() as transaction:
        transaction.row("act_as", {"by": by})
        values = {"name": name, "paused": paused, "now": runtime.clock()}
        if transaction.row("pause_report_schedule", values) is None:
            raise _unknown(runtime, name)


def remove_schedule(runtime: Runtime, name: str, *, by: str) -> None:
    """Remove a schedule; what it made stays. Raises ReportError."""
    with runtime.database.transaction() as transaction:
        transaction.row("act_as", {"by": by})
        if transaction.row("remove_report_schedule", {"name": name}) is None:
            raise _unknown(runtime, name)


def _unknown(runtime: Runtime, name: str) -> ReportError:
    there = ", ".join(row["name"] for row in runtime.database.rows("report_schedules")) or "none yet"
    return ReportError(f"there is no schedule named {name!r}; there are: {there}")


def what_is_due(runtime: Runtime) -> list[tuple[dict[str, object], Due]]:
    """The schedules whose newest period is to be made now."""
    now, found = runtime.clock(), []
    for row in runtime.database.rows("report_schedules"):
        due = next_due(row, now=now, lateness_days=runtime.settings.lateness_days)
        if due is None or due.since > now:
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
