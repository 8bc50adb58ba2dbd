"""Answers that a client may keep for a while, and how it asks whether one is still so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b

from fastapi import Response
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

# seconds for which an answer may be used again without asking
LIST, ONE_SIM, USAGE, QUOTA = 300, 120, 600, 60
ASKED_EACH_TIME = 0  # what people decide on: kept, and asked about at each use
OF_BODY = (b"content-length", b"content-type", b"content-encoding")
OPENED_BY = "Authorization, X-API-Key"  # another key may open another organization


class OfMoment(Response):
    """An answer that rests on rows, its request and the day alone: it may be given again (api/reuse.py)."""


class Kept(Response):
    """JSON, or a file, that its client, and nobody between, may keep; 304 without a body to one that has it already.

    The ETag is weak: the same rows may come compressed or not. What may be kept without asking is OfMoment too.
    """

    def __init__(
        self,
        body: bytes,
        seconds: int,
        headers: Mapping[str, str] | None = None,
        media_type: str = "application/json",
    ) -> None:
        super().__init__(body, media_type=media_type, headers=headers)
        self.seconds = seconds
        self.headers["Cache-Control"] = f"private, max-age={seconds}" if seconds else "private, no-cache"
        self.headers["ETag"] = f'W/"{blake2b(body, digest_size=12).hexdigest()}"'
        self.headers["Vary"] = OPENED_BY

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if is_had(scope, self.headers["ETag"]):
            await unchanged(self.raw_headers)(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def is_had(scope: Scope, etag: str) -> bool:
    """Whether If-None-Match names an ETag, by weak comparison."""
    asked = Headers(scope=scope).getlist("if-none-match")
    known = {text.strip().removeprefix("W/") for text in ",".join(asked).split(",")}
    return "*" in known or etag.removeprefix("W/") in known


def unchanged(headers: Iterable[tuple[bytes, bytes]]) -> Response:
    """The answer 304 in place of one with these headers."""
    response = Response(status_code=304)
    response.raw_headers = [header for header in headers if header[0] not in OF_BODY]
    return response


def is_of_moment(response: Response) -> bool:
    """Whether an answer may be given again at the same moment of the database, day and request."""
    return isinstance(response, OfMoment) or (isinstance(response, Kept) and response.seconds > 0)
