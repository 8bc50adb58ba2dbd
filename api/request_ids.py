"""An id of every request: in its answer, in what is logged meanwhile, and in the audit log."""

from __future__ import annotations

import re
from uuid import uuid4

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from resources.log_lines import about
from services.access.api_keys import PREFIX

HEADER = "X-Request-ID"
# what looks like a key is none: ids stand in logs
WELL_FORMED = re.compile(rf"(?!{PREFIX})[A-Za-z0-9._-]{{8,64}}")


def request_id() -> str:
    """The id of the request under way; empty outside of one."""
    return about.get().get("request_id", "")


class Identified:
    """Takes the id that a caller gives, if it is well formed, or makes one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        its_id = given if WELL_FORMED.fullmatch(given) else uuid4().hex
        # left set at the end: the server logs an error of this request afterwards, in the request's own task
        about.set({**about.get(), "request_id": its_id})
        header = (b"x-request-id", its_id.encode())

        async def with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], header]
            await send(message)

        await self._app(scope, receive, with_id)
