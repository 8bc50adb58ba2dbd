"""Counts the use of keys: in memory at each request, in the database once a minute and when the service stops."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import date, timedelta
from time import time
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.routing import Route

from resources.errors import SimsightError

FLUSH_SECONDS = 60.0
MAX_COUNTS = 10_000  # of a minute; more are counted without their address
EPOCH = date(1970, 1, 1)
DAY_SECONDS = 86_400
MANY = "*"

log = logging.getLogger(__name__)
Count = tuple[int, bytes, str, str, bool]  # day since 1970, SHA-256 of the key, address, group of routes, refused


class KeyUse:
    """What was counted and is not in the database yet.

    store    adds counts to the database, in a thread
    """

    def __init__(self, store: Callable[[dict[str, Any]], None]) -> None:
        self._store, self._groups = store, {"/mcp"}
        self._counts: dict[Count, int] = {}

    def know(self, router: APIRouter) -> None:
        """Count requests for the routes of a router by the first segments of their paths; all others are together."""
        self._groups |= {group_of(route.path) for route in router.routes if isinstance(route, Route)}

    def count(self, key_sha256: bytes, address: str, path: str, *, refused: bool) -> None:
        """Count one request."""
        group = group_of(path)
        if group not in self._groups:
            group = MANY
        which = (int(time()) // DAY_SECONDS, key_sha256, address, group, refused)
        counts = self._counts
        if which not in counts and len(counts) >= MAX_COUNTS:
            # of keys that nobody knows there can be any number
            which = (which[0], b"" if refused else key_sha256, MANY, group, refused)
        counts[which] = counts.get(which, 0) + 1

    @asynccontextmanager
    async def flushing(self) -> AsyncIterator[None]:
        """Flush once a minute, and at the end what is left."""
        always = asyncio.create_task(self._flush_always())
        try:
            yield
        finally:
            always.cancel()
            with suppress(asyncio.CancelledError):
                await always
            if self._counts:
                await self.flush()

    async def flush(self) -> None:
        """Add the counts to the database; what it does not take is kept for the next time."""
        counts, self._counts = self._counts, {}
        try:
            # also without counts: days that are over are sealed
            await asyncio.shield(run_in_threadpool(self._store, _columns(counts)))
        except SimsightError as error:
            log.warning("the use of keys is not stored yet: %s", error)
            for which, uses in counts.items():
                if which in self._counts or len(self._counts) < 2 * MAX_COUNTS:
                    self._counts[which] = self._counts.get(which, 0) + uses

    async def _flush_always(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            try:
                await self.flush()
            except Exception:
                log.exception("the use of keys was not stored")


def group_of(path: str) -> str:
    """The first segments of a path: /v1/sims of /v1/sims/8988; of a page of the dashboard /sims of /sims/8988."""
    return "/".join(path.split("/", 3)[: 3 if path.startswith(("/v1/", "/ai/")) else 2])


def _columns(counts: dict[Count, int]) -> dict[str, Any]:
    return {
        "days": [EPOCH + timedelta(which[0]) for which in counts],
        "keys": [which[1] for which in counts],
        "addresses": [which[2] for which in counts],
        "routes": [which[3] for which in counts],
        "failed": [which[4] for which in counts],
        "uses": list(counts.values()),
    }
