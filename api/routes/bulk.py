"""Whole sets of predictions, sent while they are read: memory does not grow with the rows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator
from datetime import date, timedelta
from threading import BoundedSemaphore
from typing import Annotated, Literal

import anyio
from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool

from api.database import Session, Store
from api.dependencies import AsOf, Day, Label, PresentedKey
from api.errors import ProblemError, problems, wrong_parameter
from resources.files.formats import ExportError, StreamFormat
from services.access.api_keys import Credential
from services.exports import Export

router = APIRouter(tags=["exports"])
STREAMS_AT_ONCE = 2
USAGE_DAYS = 30
Dataset = Literal["forecasts", "exhaustions", "anomalies", "churn-risks", "recommendations", "usage"]
VIEWS: dict[Dataset, str] = {
    "forecasts": "usage_forecasts",
    "exhaustions": "exhaustions",
    "anomalies": "anomalies",
    "churn-risks": "churn_risks",
    "recommendations": "quota_recommendations",
    "usage": "sim_usage",
}
BY_DAY: tuple[Dataset, ...] = ("anomalies", "usage")
MEDIA_TYPES: dict[StreamFormat, str] = {
    "ndjson": "application/x-ndjson",
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
}
BINARY = {"schema": {"type": "string", "format": "binary"}}


@router.get(
    "/v1/bulk/{dataset}",
    summary="A whole set of predictions as a stream",
    response_class=StreamingResponse,
    responses={
        200: {"description": "All rows", "content": dict.fromkeys(MEDIA_TYPES.values(), BINARY)},
        **problems(401, 404, 406, 422, 503),
    },
)
def read_bulk(
    request: Request,
    key: PresentedKey,
    dataset: Annotated[Dataset, Path(examples=["exhaustions"])],
    format: Annotated[
        StreamFormat | None, Query(description="Default: what Accept asks for, or else ndjson", examples=["arrow"])
    ] = None,
    as_of: AsOf = None,
    first: Annotated[
        Day | None, Query(alias="from", description=f"Of usage and anomalies; usage: default {USAGE_DAYS} days")
    ] = None,
    last: Annotated[Day | None, Query(alias="to", description="Of usage and anomalies: last day")] = None,
    label: Label = None,
) -> StreamingResponse:
    """All rows as of one moment of the database, in no particular order: predictions as of one day (X-As-Of), usage and
    anomalies of a period. The columns are those of the documented views; /v1/export makes files of any view.

    What goes wrong before the first rows is a problem as everywhere. A stream that breaks off later has no end: the
    connection closes without the last chunk (curl says so with exit code 18), Parquet has no footer. It lasts 15
    minutes at most, and two are sent at once; a third is told to come later."""
    chosen = format or _accepted(request.headers.get("accept", ""))
    by_day = dataset in BY_DAY
    if by_day and as_of:
        raise wrong_parameter("as_of", f"is nothing of {dataset}: choose days with from and to")
    if not by_day and (first or last):
        raise wrong_parameter("from" if first else "to", f"is nothing of {dataset}: choose the day with as_of")
    if first and last and first > last:
        raise wrong_parameter("from", f"{first} is after to, {last}")
    sent = _Sent(request.app.state.store, request.app.state.bulk_places, key, dataset, chosen)
    pieces = sent.pieces(as_of, first, last, label)
    try:
        begun = next(pieces, b"")
    except ExportError as error:
        raise ProblemError(422, f"{error}.") from None
    headers = {"X-As-Of": sent.as_of.isoformat()} if sent.as_of else {}
    return StreamingResponse(_all(begun, pieces), media_type=MEDIA_TYPES[chosen], headers=headers)


class _Sent:
    """A stream that is sent: it holds one of the places and a connection of the store until it ends."""

    as_of: date | None = None

    def __init__(
        self, store: Store, places: BoundedSemaphore, key: Credential, dataset: Dataset, format: StreamFormat
    ) -> None:
        self._store, self._places, self._key, self._dataset, self._format = store, places, key, dataset, format

    def pieces(self, as_of: date | None, first: date | None, last: date | None, label: str | None) -> Generator[bytes]:
        if not self._places.acquire(blocking=False):
            with self._store.session(self._key):  # a wrong key comes first
                pass
            busy = f"{STREAMS_AT_ONCE} streams are being sent: try again when one has ended."
            raise ProblemError(503, busy, headers={"Retry-After": "30"})
        try:
            yield from self._store.pieces(self._key, lambda session: self._rows(session, as_of, first, last, label))
        finally:
            self._places.release()

    def _rows(
        self, session: Session, as_of: date | None, first: date | None, last: date | None, label: str | None
    ) -> Generator[bytes]:
        found = session.row("api_bulk_as_of", {"dataset": self._dataset}) or {"as_of": None}
        self.as_of = as_of or found["as_of"]
        where = list(self._conditions(first, last))
        where += [] if label is None else [f"label={label}"]
        yield from session.stream(Export(VIEWS[self._dataset], "parquet", where), self._format)

    def _conditions(self, first: date | None, last: date | None) -> Iterator[str]:
        if self._dataset not in BY_DAY:
            yield f"as_of={self.as_of or ''}"
            return
        if self._dataset == "usage" and first is None:
            last = last or self.as_of
            first = last and max(last, date.min + timedelta(USAGE_DAYS)) - timedelta(USAGE_DAYS - 1)
        if first:
            yield f"day>={first}"
        if last:
            yield f"day<={last}"


def _accepted(accept: str) -> StreamFormat:
    """The format that a header Accept likes best; ndjson where any will do. Raises ProblemError where none will."""
    best: tuple[float, StreamFormat] | None = None
    for part in accept.lower().split(","):
        name, *parameters = (text.strip() for text in part.split(";"))
        weight = next((text[2:] for text in parameters if text.startswith("q=")), "1")
        try:
            liked = float(weight)
        except ValueError:
            liked = 0.0
        for format, media_type in MEDIA_TYPES.items():
            if name in ("", "*/*", "application/*", media_type) and liked > (best[0] if best else 0):
                best = liked, format
    if best is None:
        raise ProblemError(406, f"Accept names none of {', '.join(MEDIA_TYPES.values())}: name one, or pass format=.")
    return best[1]


async def _all(begun: bytes, pieces: Generator[bytes]) -> AsyncIterator[bytes]:
    try:
        yield begun
        async for piece in iterate_in_threadpool(pieces):
            yield piece
    finally:  # also when the client has gone: the connection goes back
        with anyio.CancelScope(shield=True):
            await run_in_threadpool(pieces.close)
