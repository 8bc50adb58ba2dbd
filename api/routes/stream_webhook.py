"""The webhook of 1NCE's Data Streamer: each POST is kept as it came and committed before it is answered with 200.

What is in it is looked at later, by the asset stream_records; a POST that comes again changes nothing.
"""

from __future__ import annotations

import hmac
import zlib
from asyncio import timeout
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, TypeVar

import orjson
from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Path, Request
from fastapi.security import HTTPBasic, HTTPBasicCredentials
from pydantic import BaseModel, Field
from starlette.requests import ClientDisconnect

from api.errors import ProblemError
from api.schemas.common import Problem
from api.writing import STREAM_POOL_SIZE, Streams
from resources.bounded_json import at_most, size_within
from resources.database.server import DatabaseUnavailableError
from resources.once.stream_records import is_of_sms_forwarder
from services.access.stream_credentials import secret_sha256

T = TypeVar("T")

MAX_RECORDS = 3_000
MAX_STREAM_BODY_BYTES = 10_000_000
MAX_FIELDS = 1_000  # in one record, at all levels; 1NCE's have up to 60
MAX_DEPTH = 20  # 1NCE's have up to 4
MAX_VALUES = 300_000  # in one body
READ_SECONDS = 30
MAX_POSTS = 100  # under way at once, and of one stream
MAX_POSTS_OF_A_STREAM = 50
MAX_HELD_BYTES = 200_000_000  # of all bodies that are not stored yet
BUSY_SECONDS = 5  # after which a sender is asked to come again
STORE_SECONDS = 15
FOR_STREAM_ONLY = (
    "This URL takes usage and event records of 1NCE's Data Streamer, and this is of 1NCE's SMS forwarder. "
    "In 1NCE's portal, set this URL for the Data Streamer only, and give the SMS forwarder a URL of your own or none."
)
# or the rest of a slow body would keep coming
HANG_UP = {"Connection": "close"}
NO_STREAM = bytes(32)  # compared with where there is no stream, so that both cases take the same way

EVENT = {
    "id": 1,
    "timestamp": "2026-01-10T08:00:00.000+0000",
    "alert": False,
    "description": "Update location received.",
    "event_type": {"id": 1, "description": "Update location"},
    "event_severity": {"id": 0, "description": "INFO"},
    "sim": {"iccid": "8988228066033969969"},
}

router = APIRouter(tags=["service"])
_basic = HTTPBasic(
    auto_error=False, scheme_name="Stream", description="The stream's id as user name, its secret as password"
)
StreamId = Annotated[
    str,
    Path(pattern="^[A-Za-z0-9_-]{8,64}$", description="As `simsight stream create` gave it", examples=["jUv3T0aXq9-k"]),
]


class Received(BaseModel):
    """What was stored of a POST."""

    records: int = Field(description="Records in it", examples=[100])


def _problems(**words: str) -> dict[int | str, dict[str, Any]]:
    content = {"application/problem+json": {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}}
    return {int(status[1:]): {"description": text, "content": content} for status, text in words.items()}


@router.post("/streams/1nce/{stream_id}/", include_in_schema=False)  # answered as well: 1NCE follows no redirect
@router.post(
    "/streams/1nce/{stream_id}",
    summary="Take records from 1NCE's Data Streamer",
    responses=_problems(
        _400="The body is not a JSON array of records, or they are of 1NCE's SMS forwarder",
        _401="Unknown stream or wrong secret",
        _408="The body did not come in time",
        _413="More than 3,000 records, 10 MB, 300,000 values, or 1,000 values or 20 levels in a record",
        _415="A content encoding other than gzip",
        _422="The path names no stream",
        _503="The database does not answer, or too many POSTs are under way: send it again",
    ),
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "Usage and event records, at most 3,000 and 10 MB; Content-Encoding gzip is understood",
            "content": {
                "application/json": {
                    "schema": {"type": "array", "items": {"type": "object"}, "examples": [[EVENT]]},
                }
            },
        }
    },
)
async def take_records(
    request: Request, stream_id: StreamId, credentials: Annotated[HTTPBasicCredentials | None, Depends(_basic)]
) -> Received:
    """Store records of 1NCE's Data Streamer. 200: they are stored. Anything else: send them again, without harm."""
    streams: Streams = request.app.state.streams
    gate: Gate = request.app.state.stream_gate
    with gate.enter("", MAX_POSTS):
        return await _take(request, stream_id, credentials, streams, gate)


async def _take(
    request: Request, stream_id: str, credentials: HTTPBasicCredentials | None, streams: Streams, gate: Gate
) -> Received:
    limiter = gate.threads
    presented = secret_sha256(credentials.password if credentials else "")
    known = await _in_thread(limiter, lambda: streams.secret_sha256(stream_id))
    right = hmac.compare_digest(known or NO_STREAM, presented)
    if not (right and credentials and credentials.username == stream_id):
        raise _unauthorized()
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding not in ("identity", "gzip"):
        raise ProblemError(415, f"Content-Encoding {encoding[:40]!r} is not understood: send gzip, or none.")
    with gate.enter(stream_id, MAX_POSTS_OF_A_STREAM), gate.holding() as hold:
        sent = await _read(request, hold)

        def store() -> int | None:
            body = _inflate(sent) if encoding == "gzip" else sent
            records = _count(body)
            return records if streams.land(stream_id, presented, body, records, request.app.state.clock()) else None

        records = await _in_thread(limiter, store)
    if records is None:  # revoked meanwhile
        raise _unauthorized()
    return Received(records=records)


@router.patch("/streams/1nce/{stream_id}", include_in_schema=False)
@router.patch("/streams/1nce/{stream_id}/", include_in_schema=False)
def refuse_delivery_reports() -> None:
    """Answer the delivery reports of 1NCE's SMS forwarder: they do not belong here."""
    raise ProblemError(405, FOR_STREAM_ONLY, headers={"Allow": "POST"})


class Gate:
    """How much the webhook does at once. Made in the event loop.

    threads   the webhook's own, one a connection: requests of readers cannot take them
    """

    def __init__(self) -> None:
        self.threads = CapacityLimiter(STREAM_POOL_SIZE)
        self._inside: Counter[str] = Counter()
        self._held = 0

    @contextmanager
    def enter(self, who: str, most: int) -> Iterator[None]:
        """Count a POST as under way. Raises ProblemError 503 when there are as many of `who` as may be."""
        if self._inside[who] >= most:
            raise _busy(f"{most} POSTs are under way already")
        self._inside[who] += 1
        try:
            yield
        finally:
            self._inside[who] -= 1
            if not self._inside[who]:
                del self._inside[who]

    @contextmanager
    def holding(self) -> Iterator[Callable[[int], None]]:
        """A function that counts bytes as held while the block lasts. It raises ProblemError 503 when all are taken."""
        mine = 0

        def hold(size: int) -> None:
            nonlocal mine
            mine, self._held = mine + size, self._held + size
            if self._held > MAX_HELD_BYTES:
                raise _busy(f"{MAX_HELD_BYTES // 1_000_000} MB are being received already")

        try:
            yield hold
        finally:
            self._held -= mine


async def _in_thread(limiter: CapacityLimiter, work: Callable[[], T]) -> T:
    """Run work that waits for the database in a thread. The sender gets an answer even when the database hangs."""
    try:
        async with timeout(STORE_SECONDS):
            return await to_thread.run_sync(work, limiter=limiter, abandon_on_cancel=True)
    except TimeoutError as error:
        raise DatabaseUnavailableError(f"the database took longer than {STORE_SECONDS} s") from error


async def _read(request: Request, hold: Callable[[int], None]) -> bytes:
    """The body as sent. Reading stops at the limit, whatever the headers say. `hold` is told of each part's bytes."""
    parts, size = [], 0
    try:
        async with timeout(READ_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size > MAX_STREAM_BODY_BYTES:
                    raise _too_large()
                hold(len(part))
                parts.append(part)
    except TimeoutError:
        raise ProblemError(
            408, f"The body did not come within {READ_SECONDS} seconds: send it again.", headers=HANG_UP
        ) from None
    except ClientDisconnect:
        raise ProblemError(400, "The connection ended before the body did.") from None
    return b"".join(parts)


def _inflate(sent: bytes) -> bytes:
    """The body without its gzip. It is never inflated further than the limit, however much is in it."""
    stream = zlib.decompressobj(wbits=31)
    try:
        body = stream.decompress(sent, MAX_STREAM_BODY_BYTES + 1)
    except zlib.error:
        raise ProblemError(400, "The body is not gzip, though Content-Encoding says so.") from None
    if len(body) > MAX_STREAM_BODY_BYTES:
        raise _too_large()
    if not stream.eof or stream.unused_data:
        raise ProblemError(400, "The body's gzip is cut off, or something follows it: send one whole gzip stream.")
    return body


def _count(body: bytes) -> int:
    """Records in a body; a single object counts as an array of one. What is too much is refused before it is built."""
    if not at_most(body, MAX_VALUES):
        raise ProblemError(413, f"The body holds more than {MAX_VALUES:,} values: send fewer records in a POST.")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ProblemError(400, f"The body is not JSON ({error}): send a JSON array of records.") from None
    if not isinstance(document, list | dict):
        raise ProblemError(400, "The body is JSON, but neither an array nor an object: send a JSON array of records.")
    found = document if isinstance(document, list) else [document]
    records = len(found)
    if records > MAX_RECORDS:
        raise ProblemError(413, f"The body has {records} records: send at most {MAX_RECORDS} in a POST.")
    if found and all(map(is_of_sms_forwarder, found)):
        raise ProblemError(400, FOR_STREAM_ONLY)
    for record in found:
        size = size_within(record, MAX_DEPTH)
        if size is None or size > MAX_FIELDS:
            much = f"is nested deeper than {MAX_DEPTH} levels" if size is None else f"holds {size:,} values"
            raise ProblemError(
                413, f"A record {much}: at most {MAX_FIELDS:,} values and {MAX_DEPTH} levels are taken in one."
            )
    return records


def _busy(why: str) -> ProblemError:
    return ProblemError(
        503, f"{why}: send it again in {BUSY_SECONDS} seconds.", headers=HANG_UP | {"Retry-After": str(BUSY_SECONDS)}
    )


def _too_large() -> ProblemError:
    return ProblemError(
        413, f"The body is larger than {MAX_STREAM_BODY_BYTES // 1_000_000} MB: send fewer records in a POST."
    )


def _unauthorized() -> ProblemError:
    return ProblemError(
        401,
        "Unknown stream or wrong secret: send the stream's id as user name and its secret as password (Basic). "
        "`simsight stream create` makes a new pair.",
        headers={"WWW-Authenticate": 'Basic realm="Simsight stream", charset="UTF-8"'},
    )
