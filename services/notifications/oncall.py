"""Channels, escalation policies, quiet hours and maintenance windows: who gets which messages when."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, time
from typing import Any
from zoneinfo import available_timezones

import psycopg

from resources.channels import ChannelBrokenError, open_channel
from resources.database.session import Database, Row
from services.alerts.evaluation import AlertError
from services.alerts.rules import SEVERITIES, scope_problem
from services.notifications.messages import channel_test_message
from services.notifications.outbox import disable_channel, enable_channel

CHANNEL_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
VARIABLE = re.compile("[A-Z][A-Z0-9_]{0,62}")
MAX_AFTER_MINUTES = 60 * 24 * 30
MAX_STEPS = 20


def check_channel(name: str, *, url_variable: str, secret_variable: str | None = None, time_zone: str = "UTC") -> None:
    """Check what needs no database. Raises AlertError."""
    if not CHANNEL_NAME.fullmatch(name):
        raise AlertError("a channel's name is a letter or a digit, then up to 62 letters, digits, points, - and _")
    for variable in (url_variable, secret_variable):
        if variable is not None and not VARIABLE.fullmatch(variable):
            raise AlertError(  # it may be the URL or the secret itself: it is not shown
                "expected the name of an environment variable, in capitals such as MAIL_URL, and not what it holds"
            )
    _check_zone(time_zone)


def check_policy(name: str, steps: Sequence[tuple[float, str]], *, min_severity: str = "critical") -> None:
    """Check what needs no database. Raises AlertError."""
    _check_name(name)
    if min_severity not in SEVERITIES:
        raise AlertError(f"{min_severity!r} is none of {', '.join(SEVERITIES)}")
    if not 1 <= len(steps) <= MAX_STEPS or any(not 0 <= minutes <= MAX_AFTER_MINUTES for minutes, _ in steps):
        raise AlertError(
            f"a policy needs steps of 0 to {MAX_AFTER_MINUTES} minutes, at most {MAX_STEPS}, such as 30:boss"
        )


def check_quiet_hours(name: str, begin: time, end: time, *, time_zone: str, days: Sequence[int]) -> None:
    """Check what needs no database. Raises AlertError."""
    _check_name(name)
    if begin == end:
        raise AlertError(f"quiet hours begin and end at {begin:%H:%M}: give two different times")
    if not days or any(not 1 <= day <= 7 for day in days):
        raise AlertError("quiet hours need days from 1 (Monday) to 7, such as 6,7")
    _check_zone(time_zone)


def check_maintenance(name: str, begin: datetime, end: datetime, *, scope: dict[str, Any]) -> None:
    """Check what needs no database. Raises AlertError."""
    _check_name(name)
    if begin >= end:
        raise AlertError(f"maintenance from {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}: the end must come later")
    if problem := scope_problem(scope):
        raise AlertError(problem)


def _check_name(name: str) -> None:
    if not 1 <= len(name) <= 100:
        raise AlertError("give it a name of 1 to 100 characters")


def _check_zone(name: str) -> None:
    """Capitals do not matter, as in PostgreSQL. Raises AlertError."""
    if name.casefold() not in {zone.casefold() for zone in available_timezones()}:
        raise AlertError(f"there is no time zone {name!r}: write one such as Europe/Berlin")


def channel_named(database: Database, name: str) -> Row:
    """Return the row of a channel. Raises AlertError for an unknown name."""
    channels = database.rows("channels_list")
    for row in channels:
        if row["name"] == name:
            return row
    there = ", ".join(row["name"] for row in channels) or "none yet"
    raise AlertError(f"there is no channel named {name!r}; there are: {there}")


def add_channel(
    database: Database,
    name: str,
    *,
    url_variable: str,
    now: datetime,
    secret_variable: str | None = None,
    min_severity: str = "info",
    direct: bool = True,
    resolved: bool = True,
    digest_at: time | None = None,
    time_zone: str = "UTC",
    after_crash: str | None = None,
    open_too: bool = False,
    by: str = "",
) -> int:
    """Add a channel: a webhook where it has a secret to sign with, else by Apprise. Raises AlertError.

    by            who does it, here and below; empty: the login of the database
    open_too      the next pass also sends the alerts that are open now; else only what is opened from now on
    after_crash   default: `resend` for a webhook, whose receiver knows repeats by Idempotency-Key, else `park`
    """
    check_channel(name, url_variable=url_variable, secret_variable=secret_variable, time_zone=time_zone)
    webhook = secret_variable is not None
    values = {
        "name": name,
        "kind": "webhook" if webhook else "apprise",
        "url_variable": url_variable,
        "secret_variable": secret_variable,
        "min_severity": min_severity,
        "direct": direct,
        "resolved": resolved,
        "digest_at": digest_at,
        "time_zone": time_zone,
        "after_crash": after_crash or ("resend" if webhook else "park"),
        "now": now,
        "open_too": open_too,
    }
    made = _write(database, "add_channel", values, by=by)
    if made is None:
        raise AlertError(f"there is a channel named {name!r}: choose another name, or delete it first")
    return int(made["channel_id"])


def open_alerts(database: Database, min_severity: str) -> int:
    """Count the alerts of at least a severity that are open, and neither acknowledged nor snoozed."""
    return int((database.row("open_alerts", {"min_severity": min_severity}) or {"alerts": 0})["alerts"])


def delete_channel(database: Database, name: str, *, now: datetime, by: str = "") -> int:
    """Delete a channel; returns how many of its messages were pending. Raises AlertError."""
    channel_named(database, name)
    return int((_write(database, "delete_channel", {"name": name, "now": now}, by=by) or {"dropped": 0})["dropped"])


def try_channel(database: Database, name: str, *, now: datetime, environ: Mapping[str, str], by: str = "") -> None:
    """Send a test message at once, past the outbox. Success enables a disabled channel.

    Raises AlertError, DeliveryError.
    """
    channel = channel_named(database, name)
    key = str(uuid.uuid4())
    try:
        with open_channel(channel, environ) as opened:
            opened.send(channel_test_message(key, organization=database.organization, channel=name, now=now), now)
    except ChannelBrokenError as error:
        disable_channel(database, channel, str(error), now, by=by)
        raise
    enable_channel(database, channel, now, by=by)


def add_policy(
    database: Database,
    name: str,
    steps: Sequence[tuple[float, str]],
    *,
    now: datetime,
    min_severity: str = "critical",
    rule: str | None = None,
    by: str = "",
) -> None:
    """Write an escalation policy: (minutes after opening, channel) in order. Raises AlertError."""
    check_policy(name, steps, min_severity=min_severity)
    written = [{"after_minutes": m, "channel_id": channel_named(database, c)["channel_id"]} for m, c in sorted(steps)]
    rule_id = None
    if rule is not None:
        found = {row["name"]: row["rule_id"] for row in database.rows("rules_list")}
        if rule not in found:
            raise AlertError(f"there is no rule named {rule!r}")
        rule_id = found[rule]
    values = {"name": name, "min_severity": min_severity, "rule_id": rule_id, "steps": json.dumps(written), "now": now}
    _write(database, "add_policy", values, by=by)


def add_quiet_hours(
    database: Database,
    name: str,
    begin: time,
    end: time,
    *,
    time_zone: str,
    days: Sequence[int],
    channel: str | None = None,
    by: str = "",
) -> None:
    """Write quiet hours: only critical messages are sent from `begin` to `end`. Raises AlertError.

    days   days of the week on which they begin, 1 (Monday) to 7
    """
    check_quiet_hours(name, begin, end, time_zone=time_zone, days=days)
    channel_id = None if channel is None else channel_named(database, channel)["channel_id"]
    values = {"name": name, "channel_id": channel_id, "days": list(days), "from_time": begin, "to_time": end}
    _write(database, "add_quiet_hours", values | {"time_zone": time_zone}, by=by)


def add_maintenance(
    database: Database, name: str, begin: datetime, end: datetime, *, scope: dict[str, Any], by: str
) -> None:
    """Write a maintenance window: before its end no message about alerts in the scope is sent. Raises AlertError."""
    check_maintenance(name, begin, end, scope=scope)
    values = {"name": name, "scope": json.dumps(scope), "starts_at": begin, "ends_at": end, "by": by}
    _write(database, "add_maintenance", values, by=by)


def delete_oncall(database: Database, what: str, name: str, *, by: str = "") -> None:
    """Delete what people set up. Raises AlertError for an unknown name.

    what   "escalation", "quiet" (hours) or "maintenance" (window)
    """
    if not (_write(database, "delete_oncall", {"what": what, "name": name}, by=by) or {"deleted": 0})["deleted"]:
        raise AlertError(f"there is no {what} named {name!r}")


def _write(database: Database, name: str, values: dict[str, Any], *, by: str) -> Row | None:
    """Run a query that writes. Raises AlertError with the database's words where it rejects the values."""
    try:
        with database.transaction() as transaction:
            transaction.row("act_as", {"by": by})
            return transaction.row(name, values)
    except (psycopg.errors.CheckViolation, psycopg.errors.InvalidParameterValue, psycopg.DataError) as error:
        raise AlertError(f"refused: {error.diag.message_primary}") from error
