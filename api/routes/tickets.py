"""Support tickets: what they are about, who is to answer, and corrections by people."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request, Response

from api.answers import answer, page, shaped
from api.dependencies import READ_ONLY, Asking, Caller, Limit, OfSim, link
from api.errors import PROBLEMS, ProblemError, problems
from api.kept import ASKED_EACH_TIME
from api.schemas.tickets import Correction, Ticket, TicketPage
from ml.enums import TicketCategory, TicketPriority

router = APIRouter(tags=["predictions"])
CaseId = Annotated[str, Path(max_length=200, pattern=r"^[^\x00]+$", description="1NCE's id", examples=["10001"])]


@router.get("/v1/tickets", summary="Support tickets", response_model=TicketPage, responses=PROBLEMS)
async def list_tickets(
    request: Request,
    asking: Asking,
    limit: Limit = 100,
    after: Annotated[str, Query(max_length=200, pattern=r"^[^\x00]*$", description="`next` of the page before")] = "",
    category: Annotated[TicketCategory | None, Query(description="Only tickets of this category")] = None,
    priority: Annotated[TicketPriority | None, Query(description="Only tickets of this priority")] = None,
    status: Annotated[
        Literal["OPEN", "IN_PROGRESS", "CLOSED"] | None, Query(description="Only tickets of this status")
    ] = None,
    to_person: Annotated[bool | None, Query(description="Only tickets that a person is to decide, or no such")] = None,
    iccid: OfSim = None,
) -> Response:
    """In the order of their ids, sorted by the classifier or, where one said so, by a person."""
    chosen = {"category": category, "priority": priority, "status": status, "to_person": to_person, "iccid": iccid}
    found = await asking.rows("api_tickets", {"after": after, **chosen, "rows": limit + 1})
    items = found[:limit]
    following = items[-1]["case_id"] if len(found) > limit else None
    return page(Ticket, items, following, link(request, following), kept=ASKED_EACH_TIME)


@router.get(
    "/v1/tickets/{case_id}", summary="One support ticket", response_model=Ticket, responses=problems(401, 404, 422, 503)
)
async def get_ticket(asking: Asking, case_id: CaseId) -> Response:
    found = await asking.rows("api_ticket", {"case_id": case_id})
    if not found:
        raise no_ticket(case_id)
    return answer(shaped(Ticket, found)[0], kept=ASKED_EACH_TIME)


@router.post(
    "/v1/tickets/{case_id}/correction",
    summary="Give a ticket its right category",
    responses=problems(400, 401, 403, 404, 413, 422, 503),
)
def correct(caller: Caller, case_id: CaseId, correction: Correction) -> Ticket:
    """Say what the ticket is about. It holds at once, and the classifier learns from it at its next training. The
    newest correction counts."""
    said = {"category": correction.category, "note": correction.note, "by": correction.by}
    values = {"case_id": case_id, "now": caller.now, **said}
    outcome = caller.writers.outcome("api_correct_ticket", caller.key, values)
    if outcome == "read-only":
        raise ProblemError(403, READ_ONLY)
    if outcome != "done":
        raise no_ticket(case_id)
    with caller.store.session(caller.key) as session:
        return Ticket.model_validate(session.row("api_ticket", {"case_id": case_id}))


def no_ticket(case_id: str) -> ProblemError:
    """The answer where there is no such ticket."""
    return ProblemError(404, f"There is no ticket {case_id} in this organization.")
