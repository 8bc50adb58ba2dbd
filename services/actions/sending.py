"""The sender of actions: it commits `sending` before each call, sends once, and never again blindly.

An attempt whose answer was lost (a time-out, a cut connection, a sender that died) stays in `sending`. When it is old
enough that nothing of it can be under way any more, 1NCE is read: the action is done, or had no effect and may be sent
again, or is unclear, which a person settles.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

from resources.database.session import Database, Row
from resources.errors import UsageError
from resources.once.acting import ActingClient
from resources.once.acts import STATUS_SET, Act, act
from resources.once.client import (
    OnceCallGoneError,
    OnceCredentialsError,
    OnceError,
    OnceUnavailableError,
)
from resources.settings import Settings

log = logging.getLogger(__name__)

MAX_PER_PASS = 100
MAX_ATTEMPTS = 3
GIVE_UP = timedelta(hours=24)  # 1NCE could not be read for so long: a person is to look
CLOCKS = timedelta(hours=1)  # how far 1NCE's clock may be from ours for an order to be found at all
EXACT = timedelta(minutes=1)  # an order from before that may be another's
_LIMIT_NAMES = {"data_limit_id": "data", "sms_mt_limit_id": "smsMt", "sms_mo_limit_id": "smsMo"}


class Evidence(NamedTuple):
    """What 1NCE shows of an attempt whose answer was lost: it had its effect, had none, or nobody can tell."""

    effect: Literal["yes", "no", "unclear"]
    said: str
    order: int | None = None


class Sender:
    """One pass over what waits. See `send`."""

    def __init__(
        self, database: Database, once: ActingClient, settings: Settings, clock: Callable[[], datetime]
    ) -> None:
        self.database, self.once, self.settings, self.clock = database, once, settings, clock
        self.allowed = {"switched_on": sorted(settings.actions_on), "to_approve": sorted(settings.actions_to_approve)}
        self.done: Counter[str] = Counter()

    async def settle(self, row: Row) -> None:
        """Find out what became of an attempt."""
        try:
            found = await self._evidence(row)
        except (OnceCredentialsError, OnceUnavailableError):
            raise
        except OnceError as error:
            if self.clock() - row["sent_at"] < GIVE_UP:
                log.warning("action %s: 1NCE cannot be read: %s", row["action_id"], error)
                return
            found = Evidence("unclear", f"its answer was lost, and 1NCE cannot be read: {error}")
        self._finish(row, {"yes": "done", "no": "again", "unclear": "unclear"}[found.effect], found.said, found.order)

    async def send(self, row: Row) -> bool:
        """Send an action; False when nothing more is to be sent in this pass."""
        kind, iccid = row["kind"], row["iccid"]
        try:
            act(kind, self.settings.once_api, iccid, row["parameters"])  # before anything is asked
            known, kept = await self._known(kind, iccid)
        except (OnceCredentialsError, OnceUnavailableError):
            raise
        except (OnceError, UsageError) as error:
            log.warning("action %s waits: %s", row["action_id"], error)
            self.done["held back"] += 1
            return True
        call = act(kind, self.settings.once_api, iccid, row["parameters"], kept)
        attempts = self._claim(row, known)
        if attempts is None:
            self.done["held back"] += 1
            return True
        return await self._call(row | {"attempts": attempts}, call)

    async def _call(self, row: Row, call: Act) -> bool:
        outcome = await self.once.act(call)
        match outcome.effect:
            case "yes":
                self._finish(row, "done", "1NCE took it", outcome.order)
            case "no":
                self._finish(row, "failed", f"1NCE refused it: {outcome.said}")
            case "not sent":
                self._finish(row, "again", f"not sent: {outcome.said}")
                return False
            case "unknown":
                log.warning("action %s: its answer was lost (%s)", row["action_id"], outcome.said)
                self.done["answer lost"] += 1
        return True

    def _claim(self, row: Row, known: dict[str, Any]) -> int | None:
        """Commit `sending`; None where a switch, a cap or another sender is in the way."""
        limits = {
            "sims_per_hour": self.settings.actions_sims_per_hour,
            "minor_per_day": round(self.settings.actions_money_per_day * 100),
        }
        about = {"action_id": row["action_id"], "known_before": json.dumps(known), "now": self.clock()}
        with self.database.transaction() as transaction:
            transaction.rows("lock_actions")
            claimed = transaction.row("claim_action", about | limits | self.allowed)
        return None if claimed is None else claimed["attempts"]

    def _finish(self, row: Row, state: str, message: str, order: int | None = None) -> None:
        if state == "again" and row["attempts"] >= MAX_ATTEMPTS:
            state, message = "failed", f"{message}; given up after {MAX_ATTEMPTS} attempts"
        what = {"action_id": row["action_id"], "attempts": row["attempts"], "order_number": order}
        with self.database.transaction() as transaction:
            about = what | {"state": state, "message": message[:500], "now": self.clock()}
            if transaction.execute("finish_action", about):
                self.done["to be sent again" if state == "again" else state] += 1

    async def _known(self, kind: str, iccid: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
        """What 1NCE says before an action, to compare with afterwards, and what the call itself must repeat."""
        if kind == "limits":
            return await self.once.set_limits(), {}
        assert iccid is not None
        if kind == "top_up":
            return await self._quota(iccid), {}
        if kind in STATUS_SET:
            card = _only(await self.once.sim(iccid), iccid)
            kept = {"label": card.label, "imei_lock": card.imei_lock}
            return {"status": card.status}, {name: value for name, value in kept.items() if value is not None}
        return {}, {}

    async def _quota(self, iccid: str) -> dict[str, Any]:
        quota = _only(await self.once.quota(iccid, "data"), iccid)
        return {"accumulated": quota.accumulated, "total": quota.total}

    async def _evidence(self, row: Row) -> Evidence:
        kind, iccid, parameters = row["kind"], row["iccid"], row["parameters"]
        if kind == "limits":
            limits = await self.once.set_limits()
            holds = all(limits.get(_LIMIT_NAMES[name]) == value for name, value in parameters.items())
            return Evidence("yes" if holds else "no", "1NCE shows these limits" if holds else "1NCE shows other limits")
        if kind in STATUS_SET:
            status = _only(await self.once.sim(iccid), iccid).status
            return Evidence("yes" if status == STATUS_SET[kind] else "no", f"1NCE shows the SIM as {status}")
        if kind == "top_up":
            return await self._evidence_of_top_up(row)
        if kind == "reset":
            began = _only(await self.once.status(iccid), iccid).session_started_at
            if began is not None and began > row["sent_at"]:
                return Evidence("yes", f"a data session began at {began:%Y-%m-%d %H:%M:%S} UTC")
            return Evidence("unclear", "its answer was lost, and no data session has begun since")
        return Evidence("unclear", "its answer was lost, and 1NCE has no call that shows whether auto top-up is on")

    async def _evidence_of_top_up(self, row: Row) -> Evidence:
        iccid, sent_at, before = row["iccid"], row["sent_at"], row["known_before"]
        near, readable = [], True
        try:
            async for page in self.once.orders():
                readable = readable and not page.rejected
                for order in page.items:
                    if iccid in order.iccids and "TOPUP" in order.order_type:
                        readable = readable and order.ordered_at is not None
                        if order.ordered_at is not None and order.ordered_at >= sent_at - CLOCKS:
                            near.append(order)
        except OnceCallGoneError:
            readable = False
        numbers = {"order_numbers": [order.order_number for order in near]}
        others = {known["order_number"] for known in self.database.rows("orders_of_actions", numbers)}
        near = [order for order in near if order.order_number not in others]
        since = [order for order in near if order.ordered_at and order.ordered_at >= sent_at - EXACT]
        if len(since) == 1:
            return Evidence("yes", "its order is found at 1NCE", since[0].order_number)
        if near:
            return Evidence("unclear", f"its answer was lost, and any of {len(near)} orders may be its")
        now = await self._quota(iccid)
        which = "total" if None in (now["accumulated"], before["accumulated"]) else "accumulated"
        if now[which] != before[which]:
            return Evidence("yes", "the SIM's quota has grown since")
        if not readable:
            return Evidence("unclear", "its answer was lost, and 1NCE's orders cannot all be read")
        return Evidence("no", "1NCE has no order of it, and the SIM's quota is as before")


def _only(answer: Any, iccid: str) -> Any:
    if len(answer.items) != 1:
        raise OnceError(f"SIM {iccid}: 1NCE's answer cannot be read")
    return answer.items[0]


def waits(database: Database, settings: Settings, now: datetime) -> bool:
    """Whether a pass would have something to do."""
    before = now - timedelta(minutes=settings.actions_settle_minutes)
    return bool(
        database.rows("actions_sending", {"sent_before": before})
        or (not _stopped(database, settings) and database.rows("actions_waiting", _waiting(settings, 1)))
    )


def send(
    database: Database, make_client: Callable[[], ActingClient], settings: Settings, clock: Callable[[], datetime]
) -> dict[str, int]:
    """Settle attempts whose answer was lost, then send what is switched on, approved and within the caps; returns
    counts. Raises OnceCredentialsError, OnceUnavailableError.

    Nothing is sent while the kill switch is set, in the settings or the database; what was sent is still looked for.
    """
    before = clock() - timedelta(minutes=settings.actions_settle_minutes)
    lost = database.rows("actions_sending", {"sent_before": before})
    if not lost and not waits(database, settings, clock()):
        return {}

    async def one_pass() -> Counter[str]:
        async with make_client() as once:
            sender = Sender(database, once, settings, clock)
            for row in lost:
                await sender.settle(row)
            if not settings.actions_stop:
                for row in database.rows("actions_waiting", _waiting(settings, MAX_PER_PASS)):
                    if _stopped(database, settings) or not await sender.send(row):
                        break
            return sender.done

    try:
        return dict(asyncio.run(one_pass()))
    finally:
        with database.transaction() as transaction:
            transaction.execute("watch_actions", {"now": clock()})


def _waiting(settings: Settings, rows: int) -> dict[str, Any]:
    return {
        "switched_on": sorted(settings.actions_on),
        "to_approve": sorted(settings.actions_to_approve),
        "rows": rows,
    }


def _stopped(database: Database, settings: Settings) -> bool:
    return settings.actions_stop or bool((database.row("actions_stopped") or {})["stopped"])
