"""The sender of the outbox: plans messages, takes each from the table before it sends it, and writes down how it went.

A message is committed as `sending`, with a lease, before anything goes out. A sender that dies leaves it so; when the lease is over, a
channel whose receiver knows repeats by their key gets it again, any other does not: it is `unknown`, and shown as that.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Literal

from resources.channels import ChannelBrokenError, DeliveryError, Notice, RefusedError, open_channel
from resources.database.session import Database, Row
from services.notifications.messages import MOST_ATTEMPTS, compose, retry_after

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
