"""Churn: which SIMs are likely to leave, why, and what people decided to do about it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.answers import answer, page, shaped, with_runs
from api.dependencies import READ_ONLY, Asking, AsOf, Caller, Iccid, Label, Limit, link
from api.errors import LOST, PROBLEMS, ProblemError, no_sim, problems, wrong_parameter
from api.kept import ASKED_EACH_TIME
from api.schemas.churn import ChurnCursor, ChurnDecision, ChurnRisk, ChurnRiskOfSim, ChurnRiskPage
from ml.enums import ChurnCause, ChurnLevel

router = APIRouter(tags=["predictions"])
FIRST = {"p_90": 2, "iccid": ""}  # before the first risk of a day


@router.get(
    "/v1/sims/{iccid}/churn-risk", summary="The risk that a SIM leaves", response_model=ChurnRiskOfSim, responses=LOST
)
async def get_churn_risk(request: Request, asking: Asking, iccid: Iccid, as_of: AsOf = None) -> Response:
    """By horizon and, at 90 days, by cause, with reasons and a retention action. 404 when there is none: the SIM is out
    of service, or the fleet is too young for a model."""
    found = await asking.rows("api_churn_risk", {"iccid": iccid, "as_of": as_of})
    if not found:
        if not await asking.rows("api_sim", {"iccid": iccid}):
            raise no_sim(iccid)
        when = f" as of {as_of}; leave out as_of for the latest" if as_of else ""
        raise ProblemError(404, f"There is no churn risk for SIM {iccid}{when}.")
    return answer(with_runs(request, shaped(ChurnRiskOfSim, found))[0], kept=ASKED_EACH_TIME)


@router.get(
    "/v1/churn-risks", summary="Which SIMs are likely to leave", response_model=ChurnRiskPage, responses=PROBLEMS
)
async def list_churn_risks(
    request: Request,
    asking: Asking,
    limit: Limit = 100,
    after: Annotated[str, Query(max_length=500, description="`next` of the page before")] = "",
    level: Annotated[ChurnLevel | None, Query(description="Only SIMs at this level of risk")] = None,
    cause: Annotated[ChurnCause | None, Query(description="Only SIMs whose likeliest cause is this")] = None,
    label: Label = None,
    as_of: AsOf = None,
) -> Response:
    """As of the latest day, the highest risk within 90 days first, then the SIM that was first seen earlier. A walk
    stays on the day it began with."""
    try:
        cursor = ChurnCursor.decode(after) if after else None
    except ValueError:
        raise wrong_parameter(
            "after", "is not a cursor of this list: pass `next` of the page before, or leave it out"
        ) from None
    if cursor and as_of and cursor.as_of != as_of:
        raise wrong_parameter("as_of", f"this walk began as of {cursor.as_of}: leave as_of or after out")
    place = cursor.model_dump() if cursor else FIRST | {"as_of": as_of}
    chosen = {"level": level, "cause": cause, "label": label}
    found = await asking.rows("api_churn_risks", place | chosen | {"rows": limit + 1})
    items = found[:limit]
    following = None
    if len(found) > limit:
        final = items[-1]
        following = ChurnCursor(as_of=final["as_of"], p_90=final["p_90"], iccid=final["iccid"]).encode()
    return page(ChurnRisk, items, following, link(request, following), kept=ASKED_EACH_TIME)


@router.post(
    "/v1/sims/{iccid}/churn-actions",
    summary="Accept or dismiss the retention action of a SIM",
    responses=problems(400, 401, 403, 404, 413, 422, 503),
)
def decide(caller: Caller, iccid: Iccid, decision: ChurnDecision) -> ChurnRisk:
    """Say whether the action of the SIM's latest risk is taken, and why. It is kept with the risk of then, so that the
    effect of actions can be measured; the newest decision counts."""
    said = {"decision": decision.decision, "reason": decision.reason, "by": decision.by}
    values = {"iccid": iccid, "now": caller.now, **said}
    outcome = caller.writers.outcome("api_decide_churn_action", caller.key, values)
    if outcome == "read-only":
        raise ProblemError(403, READ_ONLY)
    if outcome != "done":
        raise ProblemError(404, f"There is no churn risk for SIM {iccid} in this organization.")
    with caller.store.session(caller.key) as session:
        return ChurnRisk.model_validate(session.row("api_churn_risk", {"iccid": iccid, "as_of": None}))
