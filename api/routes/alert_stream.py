"""A live stream of what happens to alerts, as Server-Sent Events and as a WebSocket."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Annotated, Any, cast

import orjson
from fastapi import APIRouter, Header, Query, Request, Response, WebSocket
from fastapi.responses import JSONResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect, WebSocketState

from api.alert_hub import MAX_STREAMS, MAX_STREAMS_PER_ORGANIZATION, UNAVAILABLE, Hub, TooManyStreamsError
from api.connections import Row
from api.database import InvalidKeyError
from api.dependencies import PresentedKey, RowId, one_key
from api.errors import ProblemError, problems, wrong_parameter
from api.schemas.alerts import AlertEvent
from api.schemas.common import Problem
from services.access.api_keys import Credential, NotAllowedError

SEND_S = 30.0  # a client that takes nothing for so long is disconnected; it can come back with its last id
RETRY_MS = 3000
router = APIRouter(tags=["alerts"])


def _event(row: Row) -> dict[str, Any]:
    return AlertEvent.model_validate(row).model_dump(mode="json")


# --- Server-Sent Events ---------------------------------------------------------------------------------------------


class _EventStream(Response):
    """Sends frames until the client goes, takes none for SEND_S, or the events end; then frees its place."""

    media_type = "text/event-stream"

    def __init__(self, hub: Hub, organization: int, key: Credential, after: int) -> None:
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
    RowId | None,
    Query(description="The last event id seen: what came after it comes first. Default: from now on"),
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
        **problems(401, 403, 422, 429, 503),
    },
)
async def stream(
    request: Request,
    key: PresentedKey,
    after: After = None,
    last_event_id: Annotated[
        str | None,
        Header(pattern="^[0-9]{1,18}$", description="As browsers send it when they come back; wins over `after`"),
    ] = None,
) -> Response:
    """Send one event for each change of an alert: opened, severity, acknowledged, snoozed, reopened, resolved. The
    first event is `ready`. A comment every 15 seconds keeps the connection. After a break go on with the last id: no
    event is missed or repeated."""
    return await follow(request, key, after=int(last_event_id) if last_event_id else after)


async def follow(request: Request, key: Credential, *, after: int | None) -> Response:
    """The events that come after one; None: from now on. Raises InvalidKeyError, and ProblemError 429."""
    hub: Hub = request.app.state.live
    organization = await hub.organization(key)
    begin = await hub.latest(organization) if after is None else after
    try:
        return _EventStream(hub, organization, key, begin)
    except TooManyStreamsError:
        raise _too_many() from None


def _too_many() -> ProblemError:
    return ProblemError(
        429,
        f"Too many live streams: {MAX_STREAMS_PER_ORGANIZATION} of an organization and {MAX_STREAMS} in all can be "
        "open. Close one.",
        headers={"Retry-After": "30"},
    )


# --- WebSocket ------------------------------------------------------------------------------------------------------


@router.websocket("/v1/alerts/ws")
async def follow_by_websocket(websocket: WebSocket) -> None:
    """Send the same events as JSON messages: {"type": "ready" | "event" | "heartbeat", ...}.

    What the client sends is ignored.
    """
    hub: Hub = websocket.app.state.live
    try:
        key = one_key(websocket)
        organization = await hub.organization(key)
        unknown = [name for name in websocket.query_params if name != "after"]
        if unknown:
            raise wrong_parameter(unknown[0][:100], "is no parameter here: there is after")
        asked = websocket.query_params.get("after")
        if asked is not None and not (asked.isascii() and asked.isdigit() and len(asked) <= 18):
            raise ProblemError(422, "after: must be the id of an event")
        after = int(asked) if asked is not None else await hub.latest(organization)
        place = hub.place(organization)
        place.__enter__()
    except (ProblemError, InvalidKeyError, NotAllowedError, TooManyStreamsError, *UNAVAILABLE) as error:
        await websocket.send_denial_response(_denial(error))
        return
    try:
        await _serve(websocket, hub, organization, key, after)
    finally:
        place.__exit__(None, None, None)


async def _serve(websocket: WebSocket, hub: Hub, organization: int, key: Credential, after: int) -> None:
    await websocket.accept()
    gone = asyncio.create_task(_until(cast(Receive, websocket.receive), "websocket.disconnect"))
    sending = asyncio.create_task(_send_events(websocket, hub, organization, key, after))
    try:
        await asyncio.wait({gone, sending}, return_when=asyncio.FIRST_COMPLETED)
        if not gone.done() and websocket.application_state == WebSocketState.CONNECTED:
            with suppress(RuntimeError, OSError):
                await websocket.close(1001 if hub.closed else 1008)
    finally:
        for task in (gone, sending):
            task.cancel()
        await asyncio.gather(gone, sending, return_exceptions=True)


async def _send_events(websocket: WebSocket, hub: Hub, organization: int, key: Credential, after: int) -> None:
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


def _denial(error: Exception) -> JSONResponse:
    if isinstance(error, TooManyStreamsError):
        error = _too_many()
    elif isinstance(error, InvalidKeyError):
        error = ProblemError(401, "The API key is unknown, expired or revoked: ask for a new one where you got it.")
    elif isinstance(error, NotAllowedError):
        error = ProblemError(403, str(error))
    elif not isinstance(error, ProblemError):
        error = ProblemError(503, "The database does not answer. Try again in a moment.", headers={"Retry-After": "5"})
    body = Problem(title="", status=error.status, detail=error.detail, errors=error.errors).model_dump()
    return JSONResponse(body, error.status, error.headers, media_type="application/problem+json")
