"""Reading from a replica of the database (SIMSIGHT_READ_DATABASE_URL), and from the primary whenever that is safer.

The primary looks at every key, so that a revoked one opens nothing from the next request on. It also says how far it
is: the replica's rows count only where the replica is not too far behind, and has all that people wrote in the
organization (ops.last_write). So who has written sees it, by whatever process the next request is answered.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Literal

import psycopg
from sqlalchemy import URL

from api.connections import STATEMENT_SECONDS, Connections, Query, Row
from resources.database.replica import Position, lag_of
from resources.database.server import describe, reason

REST_SECONDS = 5.0  # for which a replica that failed is not asked
# for an answer: a server that hangs does not stop its own statements either
ANSWER_SECONDS = STATEMENT_SECONDS + 1.0
# a machine that is gone is given up soon: the primary can answer
LIMITS = {"connect_timeout": 2, "tcp_user_timeout": 2000, "keepalives_idle": 5, "keepalives_interval": 2}
# where queries were answered: by the replica, or by the primary because of what the replica did
Outcome = Literal["replica", "unreachable", "not_a_replica", "behind", "write_missing", "cancelled"]
OUTCOMES: tuple[Outcome, ...] = ("replica", "unreachable", "not_a_replica", "behind", "write_missing", "cancelled")
POSITION: Query = ("api_position", {})

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReplicaSettings:
    """Where the replica is, and how many seconds it may be behind."""

    url: URL | str
    max_lag_s: float


class Replica:
    """One replica: whether it is to be asked, what it answers, and how often it was passed over.

    The event loop and threads may ask for it; `read` is the event loop's.
    """

    def __init__(self, settings: ReplicaSettings, clock: Callable[[], float] = monotonic) -> None:
        self.settings = settings
        self.outcomes: Counter[Outcome] = Counter()
        self._connections = Connections(settings.url, **LIMITS)
        self._clock, self._changing = clock, threading.Lock()
        self._failed, self._rests_until = False, 0.0
        self._level_at: datetime | None = None  # by the primary's clock: when it last had all that the primary had

    async def close(self) -> None:
        await self._connections.close()

    def is_wanted(self) -> bool:
        """Whether it is to be asked now: after it failed, by one request each REST_SECONDS, until it is fit again."""
        now = self._clock()
        with self._changing:
            if self._failed and now < self._rests_until:
                return False
            self._rests_until = now + REST_SECONDS
            return True

    async def read(
        self, primary: Connections, entering: list[Query], asked: list[Query]
    ) -> tuple[list[list[Row]], bool]:
        """Return the rows of the queries that look at a key, of the primary, and of those after it; and whether the
        primary answered these too. Raises psycopg.Error.
        """
        # the first of `entering` chooses the organization
        own = asyncio.create_task(self._ask([entering[0], POSITION, *asked]))
        try:
            *entered, at = await primary.ask([*entering, POSITION])
        except BaseException:
            own.cancel()
            await asyncio.gather(own, return_exceptions=True)
            raise
        try:
            _, there, *found = await own
        except psycopg.errors.QueryCanceled:  # it took too long, and would there too
            raise
        except (psycopg.Error, OSError) as error:
            outcome, why = outcome_of(error), reason(error)
        else:
            outcome, why = self.judged(Position(**at[0]), Position(**there[0])), ""
        self.note(outcome, why)
        if outcome == "replica":
            return [*entered, *found], False
        return await primary.ask([*entering, *asked]), True

    async def _ask(self, asked: list[Query]) -> list[list[Row]]:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await self._connections.ask_once(asked)

    def judged(self, primary: Position, own: Position) -> Outcome:
        """Whether it may answer, as far as it is now."""
        if not own.is_replica_of(primary):
            return "not_a_replica"
        lag = lag_of(primary, own, self._level_at)
        if lag == 0:
            self._level_at = primary.now
        if lag is None or lag > self.settings.max_lag_s:
            return "behind"
        return "replica" if (own.last_write or 0) >= (primary.last_write or 0) else "write_missing"

    def note(self, outcome: Outcome, why: str = "") -> None:
        """Count where something was answered; log when that changes."""
        failed = outcome in ("unreachable", "not_a_replica", "behind")
        with self._changing:
            self.outcomes[outcome] += 1
            before, self._failed = self._failed, failed
        if failed and not before:
            address = describe(self.settings.url)
            log.warning("the primary answers for the replica %s: %s", address, why or outcome.replace("_", " "))
        elif before and not failed:
            log.warning("the replica %s answers again", describe(self.settings.url))


def outcome_of(error: BaseException | None) -> Outcome:
    """What an error of the replica means."""
    # of class 40: what it replays stood against the query. That says nothing of the next one
    cancelled = isinstance(error, psycopg.errors.SerializationFailure | psycopg.errors.DeadlockDetected)
    return "cancelled" if cancelled else "unreachable"
