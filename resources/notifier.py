"""The sender of the outbox: plans messages, takes each from the table before it sends it, and writes down how it went.

A message is committed as `sending`, with a lease, before anything goes out. A sender that dies leaves it so; when the lease is over, a
channel whose receiver knows repeats by their key gets it again, any other does not: it is `unknown`, and shown as that.
"""

from __future__ import annotations

import json
import os
import random
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, time, timedelta
from typing import Any, Literal

import psycopg

from resources.alerting import AlertError
from resources.channels import ChannelBrokenError, DeliveryError, RefusedError, open_channel
from resources.database.session import Database, Row
from resources.notices import MOST_ATTEMPTS, Notice, compose, retry_after, trial_notice
from resources.rules import SEVERITIES, scope_problem

LEASE = timedelta(minutes=2)  # longer than any sending takes
RETRY_PARKED = timedelta(hours=1)
CHANNELS_AT_ONCE = 4  # fewer than the database has connections
MOST_A_PASS = 100
LISTED = 100

Clock = Callable[[], datetime]


def environment() -> dict[str, str]:
    """Where URLs and secrets of channels stand: the environment, or else .env."""
    from dotenv import dotenv_values

    return {name: value for name, value in dotenv_values(".env").items() if value is not None} | dict(os.environ)


def plan(database: Database, *, now: datetime) -> dict[str, int]:
    """Put what is due into the outbox and tidy it; returns counts."""
    with database.transaction() as transaction:
        transaction.rows("outbox_lock")
        woken = transaction.execute("wake_alerts", {"now": now})
        planned = (transaction.row("plan_notifications", {"now": now}) or {"planned": 0})["planned"]
        digests = (transaction.row("plan_digests", {"now": now}) or {"planned": 0})["planned"]
        tidied = transaction.row("tidy_outbox", {"now": now}) or {}
    return {"snoozes over": woken, "planned": planned + digests, **tidied}


def due(database: Database, *, now: datetime) -> int:
    """How many messages a pass could send now."""
    return int((database.row("outbox_due", {"now": now}) or {"due": 0})["due"])


def notify(
    database: Database, *, clock: Clock, environ: Mapping[str, str], data_note: str = "", seed: int | None = None
) -> dict[str, int]:
    """One pass: plan, then send what is due, each channel in a thread of its own; returns counts.

    A channel that fails waits; the others are not held up. `seed` fixes the jitter of retries.
    """
    done: Counter[str] = Counter(plan(database, now=clock()))
    channels = database.rows("channels_list")
    chance = random.Random(seed)  # noqa: S311  # jitter
    with ThreadPoolExecutor(CHANNELS_AT_ONCE) as pool:
        for counts in pool.map(lambda row: _drain(database, row, clock, environ, data_note, chance.random), channels):
            done.update(counts)
    return dict(done)


def _drain(
    database: Database,
    channel: Row,
    clock: Clock,
    environ: Mapping[str, str],
    data_note: str,
    chance: Callable[[], float],
) -> Counter[str]:
    """Send what is due on a channel until there is no more, or until it fails."""
    done: Counter[str] = Counter()
    if not channel["pending"]:
        return done
    try:
        with open_channel(channel, environ) as opened:
            for _ in range(MOST_A_PASS):
                claimed = _claim(database, channel, clock())
                if claimed is None:
                    break
                notice = _notice(database, channel, claimed, data_note)
                try:
                    opened.send(notice, clock())
                except DeliveryError as error:
                    done[_failed(database, channel, claimed, error, clock(), chance())] += 1
                    if not isinstance(error, RefusedError):
                        break
                else:
                    _settle(database, claimed, "sent", clock())
                    _park(database, channel, None, clock())
                    done["sent"] += 1
    except ChannelBrokenError as error:  # it could not even be opened
        _park(database, channel, str(error), clock())
        done["parked"] += 1
    return done


def _claim(database: Database, channel: Row, now: datetime) -> Row | None:
    values = {
        "channel_id": channel["channel_id"],
        "now": now,
        "lease_until": now + LEASE,
        "retry_parked": now - RETRY_PARKED,
    }
    return database.row("claim_notification", values)


def _notice(database: Database, channel: Row, claimed: Row, data_note: str) -> Notice:
    with database.transaction() as transaction:
        if claimed["digest_day"] is None:
            counts = None
            alerts = transaction.rows(
                "notified_alerts", {"notification_id": claimed["notification_id"], "rows": LISTED}
            )
        else:
            about = {"since": claimed["digest_since"], "min_severity": channel["min_severity"], "rows": LISTED}
            counts = transaction.row("digest_counts", about)
            alerts = transaction.rows("digest_alerts", about)
    return compose(claimed, alerts, organization=database.organization, data_note=data_note, counts=counts)


def _failed(
    database: Database, channel: Row, claimed: Row, error: DeliveryError, now: datetime, chance: float
) -> Literal["retried", "dead", "parked"]:
    if isinstance(error, ChannelBrokenError):  # not the message's fault: it waits, and the attempt does not count
        _settle(database, claimed, "pending", now, error=str(error), counts=False)
        _park(database, channel, str(error), now)
        return "parked"
    if isinstance(error, RefusedError):
        _settle(database, claimed, "dead", now, error=str(error))
        return "dead"
    if claimed["attempts"] >= MOST_ATTEMPTS:
        _settle(database, claimed, "dead", now, error=f"given up after {MOST_ATTEMPTS} attempts: {error}")
        _park(database, channel, f"{MOST_ATTEMPTS} attempts in a row failed: {error}", now)
        return "dead"
    wait = retry_after(claimed["attempts"], chance)
    if error.after_s is not None:
        wait = max(wait, timedelta(seconds=error.after_s))
    _settle(database, claimed, "pending", now, error=str(error), again=now + wait)
    return "retried"


def _settle(
    database: Database,
    claimed: Row,
    state: str,
    now: datetime,
    *,
    error: str | None = None,
    again: datetime | None = None,
    counts: bool = True,
) -> None:
    values = {
        "notification_id": claimed["notification_id"],
        "attempts": claimed["attempts"],
        "state": state,
        "now": now,
    }
    with database.transaction() as transaction:
        transaction.execute(
            "settle_notification", values | {"next_attempt_at": again or now, "error": error, "counts": counts}
        )


def _park(database: Database, channel: Row, reason: str | None, now: datetime) -> None:
    with database.transaction() as transaction:
        transaction.execute("park_channel", {"channel_id": channel["channel_id"], "reason": reason, "now": now})


# --- what people set up -------------------------------------------------------------------------------------------------


def channel_named(database: Database, name: str) -> Row:
    """The row of a channel. Raises AlertError."""
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
) -> int:
    """Add a channel: a webhook where it has a secret to sign with, else by Apprise. Raises AlertError.

    after_crash   default: `resend` for a webhook, whose receiver knows repeats by Idempotency-Key, else `park`
    """
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
    }
    made = _write(database, "add_channel", values)
    if made is None:
        raise AlertError(f"there is a channel named {name!r}: choose another name, or delete it first")
    return int(made["channel_id"])


def delete_channel(database: Database, name: str, *, now: datetime) -> int:
    """Delete a channel; returns how many messages were waiting for it. Raises AlertError."""
    channel_named(database, name)
    return int((database.row("delete_channel", {"name": name, "now": now}) or {"dropped": 0})["dropped"])


def try_channel(database: Database, name: str, *, now: datetime, environ: Mapping[str, str]) -> None:
    """Send a test notice at once, past the outbox; a channel that was parked works again. Raises AlertError, DeliveryError."""
    channel = channel_named(database, name)
    key = str(uuid.uuid4())
    try:
        with open_channel(channel, environ) as opened:
            opened.send(trial_notice(key, organization=database.organization, channel=name, now=now), now)
    except ChannelBrokenError as error:
        _park(database, channel, str(error), now)
        raise
    _park(database, channel, None, now)


def add_policy(
    database: Database,
    name: str,
    steps: Sequence[tuple[float, str]],
    *,
    now: datetime,
    min_severity: str = "critical",
    rule: str | None = None,
) -> None:
    """Write an escalation policy: (minutes after opening, channel) in order. Raises AlertError."""
    if min_severity not in SEVERITIES:
        raise AlertError(f"{min_severity!r} is none of {', '.join(SEVERITIES)}")
    if not steps or any(not 0 <= minutes <= 60 * 24 * 30 for minutes, _ in steps):
        raise AlertError("a policy needs steps of 0 to 43200 minutes, such as 30:boss")
    written = [{"after_minutes": m, "channel_id": channel_named(database, c)["channel_id"]} for m, c in sorted(steps)]
    rule_id = None
    if rule is not None:
        found = {row["name"]: row["rule_id"] for row in database.rows("rules_list")}
        if rule not in found:
            raise AlertError(f"there is no rule named {rule!r}")
        rule_id = found[rule]
    values = {"name": name, "min_severity": min_severity, "rule_id": rule_id, "steps": json.dumps(written), "now": now}
    _write(database, "add_policy", values)


def add_quiet_hours(
    database: Database,
    name: str,
    begin: time,
    end: time,
    *,
    time_zone: str,
    days: Sequence[int],
    channel: str | None = None,
) -> None:
    """Write quiet hours: only what is critical is sent from `begin` to `end` on days 1 (Monday) to 7. Raises AlertError."""
    channel_id = None if channel is None else channel_named(database, channel)["channel_id"]
    values = {"name": name, "channel_id": channel_id, "days": list(days), "from_time": begin, "to_time": end}
    _write(database, "add_quiet_hours", values | {"time_zone": time_zone})


def add_maintenance(
    database: Database, name: str, begin: datetime, end: datetime, *, scope: dict[str, Any], by: str
) -> None:
    """Write a maintenance window: nobody is told of alerts in the scope before it ends. Raises AlertError."""
    if problem := scope_problem(scope):
        raise AlertError(problem)
    values = {"name": name, "scope": json.dumps(scope), "starts_at": begin, "ends_at": end, "by": by}
    _write(database, "add_maintenance", values)


def delete_oncall(database: Database, what: str, name: str) -> None:
    """Delete an escalation policy ("escalation"), quiet hours ("quiet") or a maintenance window ("maintenance"). Raises AlertError."""
    if not (database.row("delete_oncall", {"what": what, "name": name}) or {"deleted": 0})["deleted"]:
        raise AlertError(f"there is no {what} named {name!r}")


def _write(database: Database, name: str, values: dict[str, Any]) -> Row | None:
    """Run an insert; what the database refuses is said in its words."""
    try:
        return database.row(name, values)
    except (psycopg.errors.CheckViolation, psycopg.errors.InvalidParameterValue, psycopg.DataError) as error:
        raise AlertError(f"refused: {error.diag.message_primary}") from error
