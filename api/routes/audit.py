"""The log of writes and the use of keys, for administrators."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from api.answers import page
from api.connections import Row
from api.database import Store
from api.dependencies import DIGITS, AskingAsAdmin, Day, Limit, PresentedAdminKey, RowId, link
from api.errors import PROBLEMS, problems, wrong_parameter
from api.schemas.audit import AuditLine, AuditPage, KeyUseCount, KeyUsePage
from services.access.api_keys import MAX_NAME, Credential
from services.audit import LogFormat, Wanted, blocks

router = APIRouter(tags=["access"])
MEDIA_TYPES: dict[LogFormat, str] = {"ndjson": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}
TEXT = r"^[^\x00]+$"
First = Annotated[Day | None, Query(alias="from", description="First UTC day")]
Last = Annotated[Day | None, Query(alias="to", description="Last UTC day")]
After = Annotated[RowId | None, DIGITS, Query(description="`next` of the page before")]
OfEvent = Annotated[
    str | None,
    Query(max_length=100, pattern=TEXT, description="Only this event, or events of this first word", examples=["key"]),
]
OfWhom = Annotated[
    str | None,
    Query(max_length=300, pattern=TEXT, description="Only what this key or person did", examples=["API key admin"]),
]
OfSubject = Annotated[
    str | None,
    Query(max_length=300, pattern=TEXT, description="Only this kind of subject, or kind:id", examples=["key:7"]),
]
OfKey = Annotated[
    str | None, Query(max_length=MAX_NAME, pattern=TEXT, description="Only this key, by its name", examples=["app"])
]


@router.get("/v1/audit", summary="Who wrote what", response_model=AuditPage, responses=PROBLEMS)
async def list_audit(
    request: Request,
    asking: AskingAsAdmin,
    limit: Limit = 100,
    after: After = None,
    first: First = None,
    last: Last = None,
    event: OfEvent = None,
    who: OfWhom = None,
    subject: OfSubject = None,
) -> Response:
    """Lines of the log of writes, the newest first. Each is hashed together with the line before, and `simsight audit
    verify` finds what was changed."""
    wanted = _wanted(first, last, event, who, subject)
    found = await asking.rows("audit_lines", asdict(wanted) | {"before": after, "rows": limit + 1})
    items = found[:limit]
    following = items[-1]["number"] if len(found) > limit else None
    return page(AuditLine, items, following, link(request, following), kept=None)


@router.get(
    "/v1/audit/export",
    summary="The log of writes as a file",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "The lines, as an attachment",
            "content": {kind: {"schema": {"type": "string"}} for kind in MEDIA_TYPES.values()},
        },
        **problems(401, 403, 422, 503),
    },
)
def export_audit(
    request: Request,
    key: PresentedAdminKey,
    format: Annotated[LogFormat, Query(description="ndjson or csv")] = "ndjson",
    first: First = None,
    last: Last = None,
    event: OfEvent = None,
    who: OfWhom = None,
    subject: OfSubject = None,
) -> StreamingResponse:
    """All lines chosen, the newest first, sent while they are read. A stream that breaks off later has no end: the
    connection closes without the last chunk. In CSV, text that a spreadsheet would run as a formula has an apostrophe
    before it."""
    store: Store = request.app.state.store
    wanted = _wanted(first, last, event, who, subject)
    pieces = blocks(_EachAlone(store, key), wanted, format)
    begun = next(pieces) + next(pieces, "")  # a wrong key is refused here
    return StreamingResponse(
        _all(begun, pieces),
        media_type=MEDIA_TYPES[format],
        headers={"Content-Disposition": f'attachment; filename="audit.{format}"'},
    )


@router.get("/v1/key-use", summary="Use of the keys", response_model=KeyUsePage, responses=PROBLEMS)
async def list_key_use(
    request: Request,
    asking: AskingAsAdmin,
    limit: Limit = 100,
    after: After = None,
    first: First = None,
    last: Last = None,
    key: OfKey = None,
) -> Response:
    """How often each key was used, by day, address and group of routes, the newest first; also keys that are expired or
    revoked. Requests of the last minute may be missing. Keys that nobody knows are counted in the database alone."""
    _in_order(first, last)
    which = {"first": first, "last": last, "key": key, "before": after, "rows": limit + 1}
    found = await asking.rows("api_key_use", which)
    items = found[:limit]
    following = items[-1]["key_use_id"] if len(found) > limit else None
    return page(KeyUseCount, items, following, link(request, following), kept=None)


class _EachAlone:
    """Queries in a transaction each: lines are only ever added, so none is needed over all, and a slow client holds no
    connection."""

    def __init__(self, store: Store, key: Credential) -> None:
        self._store, self._key = store, key

    def rows(self, name: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        with self._store.session(self._key) as session:
            return session.rows(name, parameters)


def _all(begun: str, pieces: Iterator[str]) -> Iterator[str]:
    yield begun
    yield from pieces


def _wanted(first: First, last: Last, event: str | None, who: str | None, subject: str | None) -> Wanted:
    _in_order(first, last)
    return Wanted(first, last, event, who, subject)


def _in_order(first: First, last: Last) -> None:
    if first and last and first > last:
        raise wrong_parameter("from", f"{first} is after to, {last}")
