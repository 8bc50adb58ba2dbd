"""The sender of the outbox: plans messages, claims each before it sends it, and records the outcome.

A message is committed as `sending`, with a lease, before anything goes out. A sender that dies leaves it in that state.
When the lease is over, the message is sent again on a channel whose receiver knows repeats by their key. On any other
channel it becomes `unknown` and is shown as that.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import datetime, timedelta
from typing import Literal

from resources.channels import ChannelBrokenError, DeliveryError, Message, RefusedError, open_channel
from resources.database.session import Database, Row
from resources.tracing import is_on, span
from services.notifications.messages import MAX_ATTEMPTS, compose, report_message, retry_after

LEASE = timedelta(minutes=2)  # longer than any sending takes
RETRY_DISABLED = timedelta(hours=1)
MAX_PARALLEL_CHANNELS = 4  # fewer than the database has connections
MAX_MESSAGES_PER_PASS = 100
MAX_ALERTS_IN_MESSAGE = 100
SENDER = "sender"  # in the log of writes

Clock = Callable[[], datetime]


def environment() -> dict[str, str]:
    """Return the variables that hold URLs and secrets of channels: the environment's, else those of .env."""
    from dotenv import dotenv_values

    return {name: value for name, value in dotenv_values(".env").items() if value is not None} | dict(os.environ)


def plan(database: Database, *, now: datetime) -> dict[str, int]:
    """Put due messages into the outbox and clean it up; returns counts."""
    with database.transaction() as transaction:
        transaction.rows("outbox_lock")
        unsnoozed = transaction.execute("unsnooze_alerts", {"now": now})
        planned = (transaction.row("plan_notifications", {"now": now}) or {"planned": 0})["planned"]
        digests = (transaction.row("plan_digests", {"now": now}) or {"planned": 0})["planned"]
        cleaned = transaction.row("cleanup_outbox", {"now": now}) or {}
    return {"snoozes over": unsnoozed, "planned": planned + digests, **cleaned}


def due(database: Database, *, now: datetime) -> int:
    """Count the messages that a pass could send now."""
    return int((database.row("outbox_due", {"now": now}) or {"due": 0})["due"])


def notify(
    database: Database,
    *,
    clock: Clock,
    environ: Mapping[str, str],
    data_note: str = "",
    seed: int | None = None,
    api_url: str = "",
) -> dict[str, int]:
    """Run one pass: plan, then send due messages, each channel in a thread of its own; returns counts.

    A channel that fails holds up no other.

    api_url  where the HTTP service is reached, for links in the messages
    seed   fixes the jitter of retries
    """
    done: Counter[str] = Counter(plan(database, now=clock()))
    channels = database.rows("channels_list")
    chance = random.Random(seed)  # noqa: S311  # jitter
    with ThreadPoolExecutor(MAX_PARALLEL_CHANNELS) as pool:
        # in a copy of the context: what is logged and traced there belongs to this pass
        begun = [
            pool.submit(copy_context().run, _drain, database, row, clock, environ, data_note, api_url, chance.random)
            for row in channels
        ]
        for one in begun:
            done.update(one.result())
    return dict(done)


def _drain(
    database: Database,
    channel: Row,
    clock: Clock,
    environ: Mapping[str, str],
    data_note: str,
    api_url: str,
    chance: Callable[[], float],
) -> Counter[str]:
    """Send a channel's due messages until none is left or the channel fails."""
    done: Counter[str] = Counter()
    if not channel["pending"]:
        return done
    try:
        with open_channel(channel, environ) as opened:
            for _ in range(MAX_MESSAGES_PER_PASS):
                claimed = _claim(database, channel, clock())
                if claimed is None:
                    break
                facts = {"simsight.channel": channel["name"], "simsight.stage": claimed["stage"]}
                with span("deliver message", facts, follows=_traces(database, claimed)) as delivery:
                    message = _message(database, channel, claimed, data_note, api_url)
                    try:
                        opened.send(message, clock())
                    except DeliveryError as error:
                        outcome = _failed(database, channel, claimed, error, clock(), chance())
                        delivery.fail(outcome)
                        done[outcome] += 1
                        if not isinstance(error, RefusedError):
                            break
                    else:
                        _finish(database, claimed, "sent", clock())
                        enable_channel(database, channel, clock())
                        done["sent"] += 1
    except ChannelBrokenError as error:  # it could not even be opened
        disable_channel(database, channel, str(error), clock())
        done["disabled"] += 1
    return done


def _claim(database: Database, channel: Row, now: datetime) -> Row | None:
    values = {
        "channel_id": channel["channel_id"],
        "now": now,
        "lease_until": now + LEASE,
        "retry_disabled": now - RETRY_DISABLED,
    }
    return database.row("claim_notification", values)


def _traces(database: Database, claimed: Row) -> list[str]:
    """The traces in which the alerts of a message were opened."""
    if not is_on():
        return []
    found = database.rows("traces_of_notification", {"notification_id": claimed["notification_id"]})
    return [row["traceparent"] for row in found]


def _message(database: Database, channel: Row, claimed: Row, data_note: str, api_url: str) -> Message:
    with database.transaction() as transaction:
        if claimed["report_id"] is not None:
            of = {"report_id": claimed["report_id"]}
            report, files = transaction.row("report_of_notification", of), transaction.rows("files_of_report", of)
            assert report is not None, "one that waits to be sent is not deleted"
            return report_message(claimed, report, files, organization=database.organization, api_url=api_url)
        if claimed["digest_day"] is None:
            counts = None
            alerts = transaction.rows(
                "notified_alerts", {"notification_id": claimed["notification_id"], "rows": MAX_ALERTS_IN_MESSAGE}
            )
        else:
            about = {
                "since": claimed["digest_since"],
                "min_severity": channel["min_severity"],
                "rows": MAX_ALERTS_IN_MESSAGE,
            }
            counts = transaction.row("digest_counts", about)
            alerts = transaction.rows("digest_alerts", about)
    return compose(
        claimed, alerts, organization=database.organization, data_note=data_note, counts=counts, api_url=api_url
    )


def _failed(
    database: Database, channel: Row, claimed: Row, error: DeliveryError, now: datetime, chance: float
) -> Literal["retried", "dead", "disabled"]:
    if isinstance(
        error, ChannelBrokenError
    ):  # not the message's fault: it stays pending, and the attempt does not count
        _finish(database, claimed, "pending", now, error=str(error), counts=False)
        disable_channel(database, channel, str(error), now)
        return "disabled"
    if isinstance(error, RefusedError):
        _finish(database, claimed, "dead", now, error=str(error))
        return "dead"
    if claimed["attempts"] >= MAX_ATTEMPTS:
        _finish(database, claimed, "dead", now, error=f"given up after {MAX_ATTEMPTS} attempts: {error}")
        disable_channel(database, channel, f"{MAX_ATTEMPTS} attempts in a row failed: {error}", now)
        return "dead"
    wait = retry_after(claimed["attempts"], chance)
    if error.after_s is not None:
        wait = max(wait, timedelta(seconds=error.after_s))
    _finish(database, claimed, "pending", now, error=str(error), again=now + wait)
    return "retried"


def _finish(
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
            "finish_notification", values | {"next_attempt_at": again or now, "error": error, "counts": counts}
        )


def disable_channel(database: Database, channel: Row, reason: str, now: datetime, *, by: str = SENDER) -> None:
    """Send nothing to a channel but one trial an hour. The database calls such a channel parked.

    by   who found that it does not work
    """
    _switch_channel(database, channel, reason, now, by=by)


def enable_channel(database: Database, channel: Row, now: datetime, *, by: str = SENDER) -> None:
    """Send to a channel again; does nothing to one that is enabled."""
    _switch_channel(database, channel, None, now, by=by)


def _switch_channel(database: Database, channel: Row, reason: str | None, now: datetime, *, by: str) -> None:
    with database.transaction() as transaction:
        transaction.row("act_as", {"by": by})
        transaction.execute("switch_channel", {"channel_id": channel["channel_id"], "reason": reason, "now": now})
