"""A live stream of what happens to alerts, as Server-Sent Events and as a WebSocket.

The database tells of every change (NOTIFY simsight_alerts, which names the organization and nothing else); whoever follows that
organization then reads on from the event it sent last, in the database, where row-level security holds. So a slow client has
nothing waiting for it here but the page it is at, and one that comes back with the last id it saw misses nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, Any, cast

import orjson
import psycopg
from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Header, Query, Request, Response, WebSocket
from fastapi.responses import JSONResponse
from sqlalchemy import URL
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect, WebSocketState

from api.models import AlertEvent, Problem
from api.routes import KEY_NEEDED, LONGEST_KEY, ProblemError, presented_key, problems, unauthorized
from api.store import (
    CONNECT_SECONDS,
    FOLLOWER_POOL_SIZE,
    Followers,
    InvalidKeyError,
    Row,
    SchemaOutdatedError,
    Store,
    TooSlowError,
)
from resources.database.server import DatabaseUnavailableError, driver_url

MOST_STREAMS = 200
MOST_STREAMS_OF_ONE = 20  # of an organization
HEARTBEAT_S = 15.0
SEND_S = 30.0  # a client that takes nothing for so long is let go; it can come back with its last id
PAGE = 100
PAGES_KEPT = 16
RETRY_MS = 3000
AWAY = (DatabaseUnavailableError, TooSlowError, SchemaOutdatedError)

log = logging.getLogger(__name__)
router = APIRouter(tags=["alerts"])


class TooManyStreamsError(Exception):
    """There is no place for another live stream."""


class Hub:
    """Everyone who follows alerts. `start` and `stop` belong to the event loop; `close` ends all streams."""

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
        self._changes: Counter[int] = Counter()
        self._told: defaultdict[int, asyncio.Event] = defaultdict(asyncio.Event)
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
            self._wake(organization)

    async def stop(self) -> None:
        self.close()
        if self._listening is not None:
            self._listening.cancel()
            with suppress(asyncio.CancelledError):
                await self._listening
        self._followers.close()

    @property
    def streams(self) -> int:
        """How many follow."""
        return self._places.total()

    @contextmanager
    def place(self, organization: int) -> Iterator[None]:
        """A place for a stream. Raises TooManyStreamsError."""
        if self.streams >= MOST_STREAMS or self._places[organization] >= MOST_STREAMS_OF_ONE:
            raise TooManyStreamsError
        self._places[organization] += 1
        try:
            yield
        finally:
            self._places[organization] -= 1
            if not self._places[organization]:
                for kept in (self._places, self._changes, self._told, self._pages):
                    kept.pop(organization, None)

    async def organization(self, key: str) -> int:
        """The organization a key opens. Raises as Store.session does."""
        return await to_thread.run_sync(self._store.organization, key)

    async def latest(self, organization: int) -> int:
        return await to_thread.run_sync(self._followers.latest, organization, limiter=self._threads)

    async def follow(self, organization: int, key: str, after: int) -> AsyncIterator[list[Row]]:
        """Events after a given one, as they come, in pages; an empty page is a heartbeat.

        Ends when the service does, or when the key does not work any more.
        """
        beat = False
        while not self.closed:
            seen = self._changes[organization]
            try:
                if beat:
                    await self.organization(key)
                rows = await self._page(organization, after, fresh=beat)
            except InvalidKeyError:
                return
            except AWAY as error:  # it comes back, and then nothing was missed
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
        """A page of events; those who stand at the same place share one query."""
        pages = self._pages.setdefault(organization, {})
        if fresh or len(pages) >= PAGES_KEPT:
            pages.clear()
        if after not in pages:
            pages[after] = asyncio.ensure_future(
                to_thread.run_sync(self._followers.events, organization, after, PAGE, limiter=self._threads)
            )
        page = pages[after]
        try:
            return await asyncio.shield(page)
        except BaseException:
            pages.pop(after, None)
            raise

    async def _changed(self, organization: int, seen: int) -> bool:
        """Whether something has changed since `seen`, waiting for it up to a heartbeat."""
        if self._changes[organization] != seen or self.closed:
            return True
        try:
            async with asyncio.timeout(self.heartbeat_s):
                await self._told[organization].wait()
        except TimeoutError:
            return False
        return True

    def _wake(self, organization: int) -> None:
        if organization in self._places:
            self._changes[organization] += 1
            self._pages.pop(organization, None)
            self._told.pop(organization, asyncio.Event()).set()

    async def _listen(self) -> None:
        """Hear of changes for ever; after a lost connection everyone looks once, since something may have been missed."""
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
                        self._wake(organization)
                    wait = 0.5
                    while True:
                        async for notice in connection.notifies(timeout=self.heartbeat_s):
                            if notice.payload.isdigit():
                                self._wake(int(notice.payload))
                        await connection.execute("SELECT 1")  # a connection that died in silence shows it here
            except (psycopg.Error, OSError) as error:
                log.warning("not listening for alerts (%s); trying again", type(error).__name__)
                await asyncio.sleep(wait)
                wait = min(2 * wait, 10.0)


def _event(row: Row) -> dict[str, Any]:
    return AlertEvent.model_validate(row).model_dump(mode="json")


# --- Server-Sent Events -------------------------------------------------------------------------------------------------


class _EventStream(Response):
    """Sends frames until the client goes, does not take them, or there are no more; then gives its place back."""

    media_type = "text/event-stream"

    def __init__(self, hub: Hub, organization: int, key: str, after: int) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._hub, self._organization, self._key, self._after = hub, organization, key, after
        self._place = hub.place(organization)
        self._place.__enter__()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone = asyncio.create_task(_until(receive, "http.disconnect"))
        sending = asyncio.create_task(self._send(send))
        try:
            await asyncio.wait({gone, sending}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                with suppress(TimeoutError, OSError):
                    sending.result()
        finally:
            for task in (gone, sending):
                task.cancel()
            await asyncio.gather(gone, sending, return_exceptions=True)
            self._place.__exit__(None, None, None)

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        ready = orjson.dumps({"after": self._after, "data_note": self._hub.data_note}).decode()
        await self._frame(send, f"retry: {RETRY_MS}\nid: {self._after}\nevent: ready\ndata: {ready}\n\n")
        async for rows in self._hub.follow(self._organization, self._key, self._after):
            frames = [
                f"id: {row['id']}\nevent: {row['event']}\ndata: {orjson.dumps(_event(row)).decode()}\n\n"
                for row in rows
            ]
            await self._frame(send, "".join(frames) or ": still here\n\n")
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _frame(self, send: Send, text: str) -> None:
        async with asyncio.timeout(SEND_S):
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})


async def _until(receive: Receive, what: str) -> None:
    while (await receive())["type"] != what:
        pass


After = Annotated[
    int | None,
    Query(
        ge=0, le=2**63 - 1, description="The last event id seen: what came after it comes first. Default: from now on"
    ),
]


@router.get(
    "/v1/alerts/stream",
    summary="Follow alerts as Server-Sent Events",
    response_class=Response,
    responses={
        200: {
            "description": "Events for as long as the client listens; `data` is an AlertEvent",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **problems(401, 422, 429, 503),
    },
)
async def stream(
    request: Request,
    key: Annotated[str, Depends(presented_key)],
    after: After = None,
    last_event_id: Annotated[
        str | None,
        Header(pattern="^[0-9]{1,18}$", description="As browsers send it when they come back; wins over `after`"),
    ] = None,
) -> Response:
    """One event for each thing that happens to an alert: opened, severity, acknowledged, snoozed, reopened, resolved; the first is
    `ready`. A comment every 15 seconds keeps the connection. After a break go on with the last id: nothing is missed or repeated."""
    hub: Hub = request.app.state.live
    organization = await hub.organization(key)
    begin = int(last_event_id) if last_event_id else after
    if begin is None:
        begin = await hub.latest(organization)
    try:
        return _EventStream(hub, organization, key, begin)
    except TooManyStreamsError:
        raise _too_many() from None


def _too_many() -> ProblemError:
    return ProblemError(
        429,
        f"Too many live streams: {MOST_STREAMS_OF_ONE} of an organization and {MOST_STREAMS} in all can be open. Close one.",
        headers={"Retry-After": "30"},
    )


# --- WebSocket ----------------------------------------------------------------------------------------------------------


@router.websocket("/v1/alerts/ws")
async def follow_by_websocket(websocket: WebSocket) -> None:
    """The same events as JSON messages: {"type": "ready" | "event" | "heartbeat", ...}. What the client sends is not looked at."""
    hub: Hub = websocket.app.state.live
    try:
        key = _key_of(websocket)
        organization = await hub.organization(key)
        asked = websocket.query_params.get("after")
        if asked is not None and not (asked.isascii() and asked.isdigit() and len(asked) <= 18):
            raise ProblemError(422, "after: must be the id of an event")
        after = int(asked) if asked is not None else await hub.latest(organization)
        place = hub.place(organization)
        place.__enter__()
    except (ProblemError, InvalidKeyError, TooManyStreamsError, *AWAY) as error:
        await websocket.send_denial_response(_denial(error))
        return
    try:
        await _serve(websocket, hub, organization, key, after)
    finally:
        place.__exit__(None, None, None)


async def _serve(websocket: WebSocket, hub: Hub, organization: int, key: str, after: int) -> None:
    await websocket.accept()
    gone = asyncio.create_task(_until(cast(Receive, websocket.receive), "websocket.disconnect"))
    sending = asyncio.create_task(_tell(websocket, hub, organization, key, after))
    try:
        await asyncio.wait({gone, sending}, return_when=asyncio.FIRST_COMPLETED)
        if not gone.done() and websocket.application_state == WebSocketState.CONNECTED:
            with suppress(RuntimeError, OSError):
                await websocket.close(1001 if hub.closed else 1008)
    finally:
        for task in (gone, sending):
            task.cancel()
        await asyncio.gather(gone, sending, return_exceptions=True)


async def _tell(websocket: WebSocket, hub: Hub, organization: int, key: str, after: int) -> None:
    async def send(message: dict[str, Any]) -> None:
        async with asyncio.timeout(SEND_S):
            await websocket.send_text(orjson.dumps(message).decode())

    with suppress(TimeoutError, WebSocketDisconnect):
        await send({"type": "ready", "id": after, "data_note": hub.data_note})
        async for rows in hub.follow(organization, key, after):
            for row in rows:
                await send({"type": "event", **_event(row)})
            if not rows:
                await send({"type": "heartbeat"})


def _key_of(websocket: WebSocket) -> str:
    scheme, _, bearer = websocket.headers.get("authorization", "").partition(" ")
    key = bearer.strip() if scheme.lower() == "bearer" else websocket.headers.get("x-api-key", "")
    if not key:
        raise unauthorized(websocket.url.path, KEY_NEEDED)
    return key[:LONGEST_KEY]


def _denial(error: Exception) -> JSONResponse:
    if isinstance(error, TooManyStreamsError):
        error = _too_many()
    elif isinstance(error, InvalidKeyError):
        error = ProblemError(401, "The API key is unknown, expired or revoked: ask for a new one where you got it.")
    elif not isinstance(error, ProblemError):
        error = ProblemError(503, "The database does not answer. Try again in a moment.", headers={"Retry-After": "5"})
    body = Problem(title="", status=error.status, detail=error.detail, errors=error.errors).model_dump()
    return JSONResponse(body, error.status, error.headers, media_type="application/problem+json")
