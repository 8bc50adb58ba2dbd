"""Answers that a client may keep for a while, and how it asks whether one is still so."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

from fastapi import Response
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

# seconds for which an answer may be used again without asking
LIST, ONE_SIM, USAGE, QUOTA = 300, 120, 600, 60
ASKED_EACH_TIME = 0  # what people decide on: kept, and asked about at each use
OPENED_BY = "Authorization, X-API-Key"  # another key may open another organization


class Kept(Response):
    """JSON, or a file, that its client, and nobody between, may keep; 304 without a body to one that has it already.

    The ETag is weak: the same rows may come compressed or not.
    """

    def __init__(
        self,
        body: bytes,
        seconds: int,
        headers: Mapping[str, str] | None = None,
        media_type: str = "application/json",
    ) -> None:
        super().__init__(body, media_type=media_type, headers=headers)
        self.headers["Cache-Control"] = f"private, max-age={seconds}" if seconds else "private, no-cache"
        self.headers["ETag"] = f'W/"{blake2b(body, digest_size=12).hexdigest()}"'
        self.headers["Vary"] = OPENED_BY

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _has(Headers(scope=scope), self.headers["ETag"]):
            self.status_code, self.body = 304, b""
            del self.headers["Content-Length"], self.headers["Content-Type"]
        await super().__call__(scope, receive, send)


def _has(headers: Headers, etag: str) -> bool:
    """Whether If-None-Match names an ETag, by weak comparison."""
    known = {text.strip().removeprefix("W/") for text in ",".join(headers.getlist("if-none-match")).split(",")}
    return "*" in known or etag.removeprefix("W/") in known
