"""What to do about SIMs' quotas, decisions on that, and the fleet's money."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request, Response

from api.answers import answer, page, shaped, with_runs
from api.dependencies import READ_ONLY, Asking, AsOf, Caller, Iccid, Label, Limit, RowId, WriteAccess, link
from api.errors import LOST, PROBLEMS, ProblemError, no_sim, problems, wrong_parameter
from api.kept import ASKED_EACH_TIME, LIST
from api.schemas.quota import (
    Decision,
    Recommendation,
    RecommendationCursor,
    RecommendationOfSim,
    RecommendationPage,
    Savings,
)
from ml.enums import QuotaAction

router = APIRouter(tags=["predictions"])
RecommendationId = Annotated[RowId, Path(description="As the lists give it", examples=[1])]
WRITING = problems(400, 401, 403, 404, 413, 422, 503)


@router.get(
    "/v1/sims/{iccid}/quota-recommendation",
    summary="What to do about a SIM's quota",
    response_model=RecommendationOfSim,
    responses=LOST,
)
async def get_recommendation(request: Request, asking: Asking, iccid: Iccid, as_of: AsOf = None) -> Response:
    """404 when there is none for it."""
    found = await asking.rows("api_recommendation", {"iccid": iccid, "as_of": as_of})
    if not found:
        if not await asking.rows("api_sim", {"iccid": iccid}):
            raise no_sim(iccid)
        raise ProblemError(404, f"There is no recommendation for SIM {iccid}{f' as of {as_of}' if as_of else ' yet'}.")
    return answer(with_runs(request, shaped(RecommendationOfSim, found))[0], kept=ASKED_EACH_TIME)


@router.get(
    "/v1/recommendations",
    summary="What to do about quotas, the highest saving first",
    response_model=RecommendationPage,
    responses=PROBLEMS,
)
async def list_recommendations(
    request: Request,
    asking: Asking,
    limit: Limit = 100,
    after: Annotated[str, Query(max_length=500, description="`next` of the page before")] = "",
    action: Annotated[QuotaAction | None, Query(description="Only this action; default: all but nothing")] = None,
    decision: Annotated[
        Literal["open", "accepted", "dismissed"] | None, Query(description="Only with this decision")
    ] = None,
    label: Label = None,
    as_of: AsOf = None,
) -> Response:
    """As of the latest day; a walk stays on the day it began with."""
    try:
        cursor = RecommendationCursor.decode(after) if after else None
    except ValueError:
        raise wrong_parameter(
            "after", "is not a cursor of this list: pass `next` of the page before, or leave it out"
        ) from None
    if cursor and as_of and cursor.as_of != as_of:
        raise wrong_parameter("as_of", f"this walk began as of {cursor.as_of}: leave as_of or after out")
    place = cursor.model_dump() if cursor else {"as_of": as_of, "saving": None, "recommendation_id": 0}
    chosen = {"action": action, "acting": action is None, "decision": decision, "label": label}
    found = await asking.rows("api_recommendations", place | chosen | {"rows": limit + 1})
    items = found[:limit]
    following = None
    if len(found) > limit:
        last = items[-1]
        following = RecommendationCursor(
            as_of=last["as_of"], saving=last["saving_minor"], recommendation_id=last["recommendation_id"]
        ).encode()
    return page(Recommendation, items, following, link(request, following), kept=ASKED_EACH_TIME)


@router.get(
    "/v1/savings",
    summary="The fleet's money",
    response_model=Savings,
    responses=problems(401, 404, 422, 503),
)
async def get_savings(asking: Asking, as_of: AsOf = None) -> Response:
    """What is at stake and what recommendations save, zombie SIMs, expiries, the next year's budget; and what came of
    earlier months' recommendations."""
    found = await asking.rows("api_savings", {"as_of": as_of})
    if not found:
        raise ProblemError(404, f"Nothing is known of the fleet's money{f' as of {as_of}' if as_of else ' yet'}.")
    return answer(shaped(Savings, found)[0], kept=LIST)


@router.post("/v1/recommendations/{recommendation_id}/accept", summary="Accept a recommendation", responses=WRITING)
def accept(caller: Caller, recommendation_id: RecommendationId, said: Decision) -> Recommendation:
    """Say that it is or will be done. Nothing is ordered by that. The newest decision counts."""
    return _decided(caller, recommendation_id, "accepted", said)


@router.post("/v1/recommendations/{recommendation_id}/dismiss", summary="Dismiss a recommendation", responses=WRITING)
def dismiss(caller: Caller, recommendation_id: RecommendationId, said: Decision) -> Recommendation:
    """The same action for the same SIM is not recommended again for 30 days, unless its saving doubles. The newest
    decision counts."""
    return _decided(caller, recommendation_id, "dismissed", said)


def _decided(caller: WriteAccess, recommendation_id: int, decision: str, said: Decision) -> Recommendation:
    which = {"recommendation_id": recommendation_id}
    values = {"decision": decision, "reason": said.reason, "by": said.by, "now": caller.now}
    outcome = caller.writers.outcome("api_decide_recommendation", caller.key, which | values)
    if outcome == "read-only":
        raise ProblemError(403, READ_ONLY)
    if outcome != "done":
        raise ProblemError(404, f"There is no recommendation {recommendation_id} in this organization.")
    with caller.store.session(caller.key) as session:
        return Recommendation.model_validate(session.row("api_recommendation_by_id", which))
