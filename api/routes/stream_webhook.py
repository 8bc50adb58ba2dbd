"""The webhook of 1NCE's Data Streamer: each POST is kept as it came and committed before it is answered with 200.

What is in it is looked at later, by the asset stream_records; a POST that comes again changes nothing.
"""

from __future__ import annotations

import hmac
import zlib
from asyncio import timeout
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import orjson
from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Path, Request
from fastapi.security import HTTPBasic, HTTPBasicCredentials
from pydantic import BaseModel, Field
from starlette.requests import ClientDisconnect

from api.database import STREAM_POOL_SIZE, Streams
from api.errors import ProblemError
from api.schemas.common import Problem
from resources.database.server import DatabaseUnavailableError
from resources.once.stream_records import is_of_sms_forwarder
from services.access.stream_credentials import secret_sha256

T = TypeVar("T")

MAX_RECORDS = 3_000
MAX_STREAM_BODY_BYTES = 10_000_000
READ_SECONDS = 30
STORE_SECONDS = 15
FOR_STREAM_ONLY = (
    "This URL takes usage and event records of 1NCE's Data Streamer, and this is of 1NCE's SMS forwarder. "
    "In 1NCE's portal, set this URL for the Data Streamer only, and give the SMS forwarder a URL of your own or none."
)
NO_STREAM = bytes(32)  # compared with where there is no stream, so that both cases take the same way

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
        _413="More than 3,000 records or 10 MB",
        _415="A content encoding other than gzip",
        _422="The path names no stream",
        _503="The database does not answer: send it again",
    ),
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "Usage and event records, at most 3,000 and 10 MB; Content-Encoding gzip is understood",
            "content": {"application/json": {"schema": {"type": "array", "items": {"type": "object"}}}},
        }
    },
)
async def take_records(
    request: Request, stream_id: StreamId, credentials: Annotated[HTTPBasicCredentials | None, Depends(_basic)]
) -> Received:
    """Store records of 1NCE's Data Streamer. 200: they are stored. Anything else: send them again, without harm."""
    streams: Streams = request.app.state.streams
    limiter: CapacityLimiter = request.app.state.stream_limiter
    presented = secret_sha256(credentials.password if credentials else "")
    known = await _in_thread(limiter, lambda: streams.secret_sha256(stream_id))
    right = hmac.compare_digest(known or NO_STREAM, presented)
    if not (right and credentials and credentials.username == stream_id):
        raise _unauthorized()
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding not in ("identity", "gzip"):
        raise ProblemError(415, f"Content-Encoding {encoding[:40]!r} is not understood: send gzip, or none.")
    sent = await _read(request)

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


def limiter() -> CapacityLimiter:
    """Threads of the webhook's own, one a connection: requests of readers cannot take them."""
    return CapacityLimiter(STREAM_POOL_SIZE)


async def _in_thread(limiter: CapacityLimiter, work: Callable[[], T]) -> T:
    """Run work that waits for the database in a thread. The sender gets an answer even when the database hangs."""
    try:
        async with timeout(STORE_SECONDS):
            return await to_thread.run_sync(work, limiter=limiter, abandon_on_cancel=True)
    except TimeoutError as error:
        raise DatabaseUnavailableError(f"the database took longer than {STORE_SECONDS} s") from error


async def _read(request: Request) -> bytes:
    """The body as sent. Reading stops at the limit, whatever the headers say."""
    parts, size = [], 0
    try:
        async with timeout(READ_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size > MAX_STREAM_BODY_BYTES:
                    raise _too_large()
                parts.append(part)
    except TimeoutError:
        raise ProblemError(408, f"The body did not come within {READ_SECONDS} seconds: send it again.") from None
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
    """Records in a body; a single object counts as an array of one."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ProblemError(400, f"The body is not JSON ({error}): send a JSON array of records.") from None
    if not isinstance(document, list | dict):
        raise ProblemError(400, "The body is JSON, but neither an array nor an object: send a JSON array of records.")
    found = document if isinstance(document, list) else [document]
    if found and all(map(is_of_sms_forwarder, found)):
        raise ProblemError(400, FOR_STREAM_ONLY)
    records = len(found)
    if records > MAX_RECORDS:
        raise ProblemError(413, f"The body has {records} records: send at most {MAX_RECORDS} in a POST.")
    return records


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
