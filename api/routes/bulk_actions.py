"""Acts on many things at once: prepared, looked at, confirmed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from api.answers import page
from api.database import Session
from api.dependencies import DIGITS, Asking, BulkCaller, Limit, RowId, Trying, WriteAccess, link
from api.errors import PROBLEMS, ProblemError, problems
from api.kept import ASKED_EACH_TIME
from api.schemas.bulk_actions import BulkConfirmation, BulkDetail, BulkListed, BulkPage, BulkRequest
from ml.enums import BulkState
from services.bulk import BulkError, Wanted, cancel, confirm, listing, one, prepare

router = APIRouter(tags=["alerts"])
BulkId = Annotated[RowId, Path(description="As POST /v1/bulk-actions gave it", examples=[1])]
STATUS = {"read-only": 403, "unknown": 404, "too-many": 422, "past": 422, "phrase": 422}


@router.post(
    "/v1/bulk-actions", summary="Prepare an act on many things", responses=problems(400, 401, 403, 409, 413, 422, 503)
)
def prepare_bulk_action(caller: BulkCaller, wanted: BulkRequest) -> BulkDetail:
    """Say what it would change; nothing is changed yet. It is pending for 15 minutes, and may be confirmed or cancelled
    by any key of the organization with the scope."""
    which = wanted.filter.model_dump() if wanted.filter else {}
    said = wanted.model_dump(include={"note", "until", "reason", "label", "by"})
    with _answering(caller) as session:
        made = prepare(session, caller.key, Wanted(wanted.action, wanted.ids, which, said), now=caller.now)
        return BulkDetail.model_validate(made)


@router.get("/v1/bulk-actions", summary="Bulk actions", response_model=BulkPage, responses=PROBLEMS)
async def list_bulk_actions(
    request: Request,
    asking: Asking,
    limit: Limit = 100,
    after: Annotated[RowId | None, DIGITS, Query(description="`next` of the page before")] = None,
    state: Annotated[BulkState | None, Query(description="Only bulk actions in this state")] = None,
) -> Response:
    """The newest first: pending, and what became of others."""
    which = listing(now=request.app.state.clock(), state=state, before=after, rows=limit + 1)
    found = await asking.rows("bulk_actions", which)
    items = found[:limit]
    following = items[-1]["bulk_id"] if len(found) > limit else None
    return page(BulkListed, items, following, link(request, following), kept=ASKED_EACH_TIME)


@router.get("/v1/bulk-actions/{bulk_id}", summary="One bulk action", responses=problems(401, 404, 422, 503))
def get_bulk_action(caller: Trying, bulk_id: BulkId) -> BulkDetail:
    """With the first of its things while it is pending."""
    with caller.store.session(caller.key) as session, _refusing():
        return BulkDetail.model_validate(one(session, bulk_id, now=caller.now))


@router.post(
    "/v1/bulk-actions/{bulk_id}/confirm",
    summary="Confirm a bulk action",
    responses=problems(400, 401, 403, 404, 409, 413, 422, 503),
)
def confirm_bulk_action(caller: BulkCaller, bulk_id: BulkId, said: BulkConfirmation | None = None) -> BulkDetail:
    """Do it: all of it, in one transaction, or nothing. Confirmed again, the answer is that of the first time. It
    changes the things that it was prepared for and no other; where one of them is no longer as it was, it is refused,
    and `detail` says how many. The log of writes gets a line for each thing."""
    said = said or BulkConfirmation.model_validate({})
    digest = bytes.fromhex(said.digest) if said.digest else None
    with _answering(caller) as session:
        done = confirm(session, caller.key, bulk_id, phrase=said.phrase, digest=digest, now=caller.now)
        return BulkDetail.model_validate(done)


@router.delete(
    "/v1/bulk-actions/{bulk_id}", summary="Cancel a bulk action", responses=problems(401, 403, 404, 409, 422, 503)
)
def cancel_bulk_action(caller: BulkCaller, bulk_id: BulkId) -> BulkDetail:
    """End it without doing it. Again is the same."""
    with _answering(caller) as session:
        return BulkDetail.model_validate(cancel(session, caller.key, bulk_id, now=caller.now))


@contextmanager
def _answering(caller: WriteAccess) -> Iterator[Session]:
    with _refusing(), caller.writers.bulk(caller.key) as session:
        yield session


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except BulkError as error:
        raise ProblemError(STATUS.get(error.outcome, 409), str(error)) from None
