"""Live streams of alert events: one listener on the database, and a page of events at a time for each stream.

The database signals every change by NOTIFY simsight_alerts, which names the organization and nothing else. Each stream
of that organization then reads on from its last event, in the database, where row-level security holds. So a slow
client keeps no more than one page in memory, and one that comes back with its last event id misses nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress

import psycopg
from anyio import CapacityLimiter, to_thread
from sqlalchemy import URL

from api.connections import CONNECT_SECONDS, Row
from api.database import FOLLOWER_POOL_SIZE, Followers, InvalidKeyError, SchemaOutdatedError, Store, TooSlowError
from resources.database.server import DatabaseUnavailableError, driver_url
from services.access.api_keys import Credential, NotAllowedError

MAX_STREAMS = 200
MAX_STREAMS_PER_ORGANIZATION = 20  # of an organization
HEARTBEAT_S = 15.0
PAGE_EVENTS = 100
MAX_CACHED_PAGES = 16
UNAVAILABLE = (DatabaseUnavailableError, TooSlowError, SchemaOutdatedError)

log = logging.getLogger(__name__)


class TooManyStreamsError(Exception):
    """As many live streams are open as may be."""


class Hub:
    """The live streams of alerts. `start` and `stop` belong to the event loop; `close` ends all streams."""

    def __init__(
        self,
        url: URL | str,
        followers: Followers,
        store: Store,
        *,
        data_note: str = "",
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self._url, self._followers, self._store = url, followers, store
        self.data_note, self.heartbeat_s = data_note, heartbeat_s
        self._places: Counter[int] = Counter()
        self._secrets: dict[int, str] = {}  # by which its events are read
        self._changes: Counter[int] = Counter()
        self._signals: defaultdict[int, asyncio.Event] = defaultdict(asyncio.Event)
        self._pages: dict[int, dict[int, asyncio.Task[list[Row]]]] = {}
        self._listening: asyncio.Task[None] | None = None
        self.closed = False

    def start(self) -> None:
        self.closed = False
        self._threads = CapacityLimiter(FOLLOWER_POOL_SIZE)
        self._listening = asyncio.create_task(self._listen())

    def close(self) -> None:
        """Ask every stream to end."""
        self.closed = True
        for organization in list(self._places):
            self._signal(organization)

    async def stop(self) -> None:
        self.close()
        if self._listening is not None:
            self._listening.cancel()
            with suppress(asyncio.CancelledError):
                await self._listening
        self._followers.close()

    @property
    def streams(self) -> int:
        """Count the open streams."""
        return self._places.total()

    @contextmanager
    def place(self, organization: int) -> Iterator[None]:
        """Hold a place for a stream inside a `with` block. Raises TooManyStreamsError."""
        if self.streams >= MAX_STREAMS or self._places[organization] >= MAX_STREAMS_PER_ORGANIZATION:
            raise TooManyStreamsError
        self._places[organization] += 1
        try:
            yield
        finally:
            self._places[organization] -= 1
            if not self._places[organization]:
                for kept in (self._places, self._changes, self._signals, self._pages):
                    kept.pop(organization, None)

    async def organization(self, key: Credential) -> int:
        """Return the organization that a key opens. Raises as Store.session does."""
        organization, self._secrets[organization] = await to_thread.run_sync(self._store.organization, key)
        return organization

    async def latest(self, organization: int) -> int:
        return await to_thread.run_sync(self._followers.latest, self._secrets[organization], limiter=self._threads)

    async def follow(self, organization: int, key: Credential, after: int) -> AsyncIterator[list[Row]]:
        """Yield events after a given one, as they come, in pages; an empty page is a heartbeat.

        The pages end when the service does, or when the key does not work any more.
        """
        beat = False
        while not self.closed:
            seen = self._changes[organization]
            try:
                if beat:
                    await self.organization(key)
                rows = await self._page(organization, after, fresh=beat)
            except (InvalidKeyError, NotAllowedError):
                return
            except UNAVAILABLE as error:  # when it is back, nothing was missed
                log.warning("a live stream waits for the database (%s)", type(error).__name__)
                rows = []
            if rows:
                after = int(rows[-1]["id"])
                yield rows
                beat = False
                continue
            if beat:
                yield []
            beat = not await self._changed(organization, seen)

    async def _page(self, organization: int, after: int, *, fresh: bool) -> list[Row]:
        """Return a page of events; streams at the same event share one query."""
        pages = self._pages.setdefault(organization, {})
        if fresh or len(pages) >= MAX_CACHED_PAGES:
            pages.clear()
        if after not in pages:
            asked = (self._secrets[organization], after, PAGE_EVENTS)
            pages[after] = asyncio.ensure_future(
                to_thread.run_sync(self._followers.events, *asked, limiter=self._threads)
            )
        page = pages[after]
        try:
            return await asyncio.shield(page)
        except BaseException:
            pages.pop(after, None)
            raise

    async def _changed(self, organization: int, seen: int) -> bool:
        """Wait up to a heartbeat for a change since `seen`; returns whether there is one."""
        if self._changes[organization] != seen or self.closed:
            return True
        try:
            async with asyncio.timeout(self.heartbeat_s):
                await self._signals[organization].wait()
        except TimeoutError:
            return False
        return True

    def _signal(self, organization: int) -> None:
        if organization in self._places:
            self._changes[organization] += 1
            self._pages.pop(organization, None)
            self._signals.pop(organization, asyncio.Event()).set()

    async def _listen(self) -> None:
        """Listen for changes for ever.

        After a lost connection every stream reads once, since a signal may have been missed.
        """
        address = driver_url(self._url, "").render_as_string(hide_password=False)
        wait = 0.5
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    address, autocommit=True, connect_timeout=CONNECT_SECONDS
                ) as connection:
                    await connection.execute("SET ROLE simsight_api")
                    await connection.execute("LISTEN simsight_alerts")
                    for organization in list(self._places):
                        self._signal(organization)
                    wait = 0.5
                    while True:
                        async for notice in connection.notifies(timeout=self.heartbeat_s):
                            if notice.payload.isdigit():
                                self._signal(int(notice.payload))
                        await connection.execute("SELECT 1")  # fails on a connection that died without a signal
            except (psycopg.Error, OSError) as error:
                log.warning("not listening for alerts (%s); trying again", type(error).__name__)
                await asyncio.sleep(wait)
                wait = min(2 * wait, 10.0)
