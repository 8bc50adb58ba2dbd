"""Headers on every answer, and a limit on every body."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 1_000_000  # of what is posted, which is read before the key is looked at
READ_SECONDS = 30.0  # until such a body is whole
EXPOSED = (  # headers that a page of another origin may read
    "Link",
    "Retry-After",
    "RateLimit-Limit",
    "RateLimit-Remaining",
    "RateLimit-Reset",
    "X-Data-Note",
    "X-Request-ID",
    "Content-Disposition",
)
MAX_BODIES = 100  # of them on their way at once


class Headers:
    """Puts headers on every answer that does not set them itself."""

    def __init__(self, app: ASGIApp, headers: dict[str, str]) -> None:
        self._app, self._headers = app, headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


class Heads:
    """Answers HEAD wherever GET is: as GET would, without its body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b""})  # the end: a live stream sees the client go

        await self._app({**scope, "method": "GET"}, receive, without_body)


class SmallBodies:
    """Stops reading a body at its limits, whatever the headers say: bytes, time, bodies at once.

    The webhook of the Data Streamer has limits of its own.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app, self._on_their_way = app, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/streams/"):
            await self._app(scope, receive, send)
            return
        until = asyncio.get_running_loop().time() + READ_SECONDS
        size, whole, counts = 0, False, False

        async def limited() -> Message:
            nonlocal size, whole, counts
            if whole:  # what comes now is that the client has gone, and may take as long as an answer
                return await receive()
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(
                    408, f"The body did not come within {READ_SECONDS:g} seconds", {"Connection": "close"}
                ) from None
            size += len(message.get("body", b""))
            if size > MAX_BODY_BYTES:
                raise HTTPException(413, f"The body is larger than {MAX_BODY_BYTES // 1_000_000} MB")
            whole = not message.get("more_body", False)
            if not whole and not counts:
                if self._on_their_way >= MAX_BODIES:
                    busy = {"Connection": "close", "Retry-After": "5"}
                    raise HTTPException(503, f"{MAX_BODIES} bodies are on their way already: send it again", busy)
                counts = True
                self._on_their_way += 1
            if whole and counts:
                counts = False
                self._on_their_way -= 1
            return message

        try:
            await self._app(scope, limited, send)
        finally:
            self._on_their_way -= counts


def cross_origin(app: ASGIApp, origins: Iterable[str]) -> ASGIApp:
    """Let pages of these origins call the service from a browser: with a key that they hold, never with a cookie."""
    return CORSMiddleware(
        app,
        allow_origins=list(origins),
        allow_methods=["GET", "POST", "PATCH", "DELETE"],
        allow_headers=["Authorization", "X-API-Key", "Content-Type", "Last-Event-ID", "X-Request-ID"],
        expose_headers=EXPOSED,
        max_age=600,
    )


def header_text(text: str) -> str:
    return " ".join(text.encode("ascii", "replace").decode().split())
