"""What people decide: recommendations and tickets."""

from __future__ import annotations

from typing import Literal, get_args

from fastapi import Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from api.dashboard.routing import PAGE, fields, router
from api.dashboard.signing import Changing, SignedIn
from api.dashboard.web import page
from api.errors import ProblemError
from ml.enums import TicketCategory

CATEGORIES: tuple[TicketCategory, ...] = get_args(TicketCategory)


@router.get("/money")
async def money(request: Request, asked: SignedIn) -> Response:
    rows, advice = await asked.read(
        ("dashboard_fleet", {}),
        (
            "api_recommendations",
            {
                "as_of": None,
                "action": None,
                "label": None,
                "decision": None,
                "acting": True,
                "saving": None,
                "recommendation_id": 0,
                "rows": PAGE,
            },
        ),
    )
    content = rows[0]["content"]
    return page(
        request,
        "money.html",
        as_of=rows[0]["as_of"],
        money=content["money"] if content else None,
        policy=content["policy"] if content else "",
        advice=advice,
    )


@router.post("/recommendations/{recommendation_id}/{verdict}")
async def decide(
    request: Request,
    session: Changing,
    recommendation_id: int,
    verdict: Literal["accepted", "dismissed"],
    card: bool = False,
) -> Response:
    """Accept or dismiss a recommendation and return its row, or its card on the page of its SIM, as it is now."""
    values = {
        "recommendation_id": recommendation_id,
        "decision": verdict,
        "reason": "",
        "by": None,
        "now": request.app.state.clock(),
    }
    outcome = await run_in_threadpool(request.app.state.writers.outcome, "api_decide_recommendation", session, values)
    rows = await request.app.state.readers.read(
        session, ("api_recommendation_by_id", {"recommendation_id": recommendation_id})
    )
    template = "advice_card.html" if card else "advice_row.html"
    return page(request, template, row=rows[0][0] if rows[0] else None, outcome=outcome)


@router.get("/tickets")
async def tickets(request: Request, asked: SignedIn, category: TicketCategory | None = None) -> Response:
    found, counts = await asked.read(
        ("dashboard_tickets", {"category": category, "rows": PAGE}), ("dashboard_ticket_counts", {})
    )
    total = sum(row["tickets"] for row in counts)
    return page(
        request, "tickets.html", tickets=found, counts=counts, total=total, category=category, categories=CATEGORIES
    )


@router.post("/tickets/{case_id}")
async def correct_ticket(request: Request, session: Changing, case_id: str) -> Response:
    """Say what a ticket is about and return its row as it is now."""
    category = (await fields(request)).get("category", "")
    if category not in CATEGORIES:
        raise ProblemError(422, f"There is no category {category[:60]!r}.")
    values = {"case_id": case_id, "category": category, "note": None, "by": None, "now": request.app.state.clock()}
    outcome = await run_in_threadpool(request.app.state.writers.outcome, "api_correct_ticket", session, values)
    rows = await request.app.state.readers.read(session, ("api_ticket", {"case_id": case_id}))
    row = rows[0][0] | {"label": None} if rows[0] else None
    return page(request, "ticket_row.html", row=row, outcome=outcome, categories=CATEGORIES)
