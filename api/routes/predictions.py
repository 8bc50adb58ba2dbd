"""Forecasts and exhaustion dates."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from api.database import Session
from api.dependencies import AsOf, Iccid, Label, Limit, Opened, link
from api.errors import LOST, PROBLEMS, ProblemError, no_sim, wrong_parameter
from api.schemas.predictions import Exhaustion, ExhaustionCursor, ExhaustionPage, Forecast

router = APIRouter()
ExhaustionChoice = Literal["live", "ended", "all", "ok", "extrapolated", "not_enough_evidence", "exhausted", "expired"]
LIVE, ENDED = ["ok", "extrapolated", "not_enough_evidence"], ["exhausted", "expired"]
STATUSES_OF = {"live": LIVE, "ended": ENDED, "all": LIVE + ENDED}


@router.get(
    "/v1/sims/{iccid}/forecast", tags=["predictions"], summary="Forecast of a SIM's daily usage", responses=LOST
)
def get_forecast(session: Opened, iccid: Iccid, as_of: AsOf = None) -> Forecast:
    """One item a day ahead, each with the model that made it. 404 when there is none."""
    items = session.rows("api_forecast", {"iccid": iccid, "as_of": as_of})
    if not items:
        raise _no_prediction(session, iccid, as_of, "forecast")
    return Forecast.model_validate({"iccid": iccid, "items": items})


@router.get("/v1/sims/{iccid}/exhaustion", tags=["predictions"], summary="When a SIM runs out", responses=LOST)
def get_exhaustion(session: Opened, iccid: Iccid, as_of: AsOf = None) -> Exhaustion:
    """404 when there is no prediction for it."""
    found = session.row("api_exhaustion", {"iccid": iccid, "as_of": as_of})
    if found is None:
        raise _no_prediction(session, iccid, as_of, "exhaustion prediction")
    return Exhaustion.model_validate(found)


@router.get("/v1/exhaustions", tags=["predictions"], summary="Which SIMs run out first", responses=PROBLEMS)
def list_exhaustions(
    request: Request,
    response: Response,
    session: Opened,
    limit: Limit = 100,
    after: Annotated[str, Query(max_length=500, description="`next` of the page before")] = "",
    status: Annotated[
        ExhaustionChoice,
        Query(
            description="Which SIMs: live, those that can still run out; ended, those that did (exhausted, expired); "
            "all, live ones first; or those of one status"
        ),
    ] = "live",
    cause: Annotated[
        Literal["volume", "expiry"] | None, Query(description="Only SIMs whose end comes first by this cause")
    ] = None,
    label: Label = None,
    as_of: AsOf = None,
) -> ExhaustionPage:
    """As of the latest day, the soonest median end first; where two end on one day, the one that is likelier to end
    within 14 days, then by ICCID. Live SIMs without a date come after those with one, ended SIMs (on request) last. A
    walk stays on the day it began with."""
    try:
        cursor = ExhaustionCursor.decode(after) if after else None
    except ValueError:
        raise wrong_parameter(
            "after", "is not a cursor of this list: pass `next` of the page before, or leave it out"
        ) from None
    if cursor and as_of and cursor.as_of != as_of:
        raise wrong_parameter("as_of", f"this walk began as of {cursor.as_of}: leave as_of or after out")
    day = cursor.as_of if cursor else as_of or _latest(session)
    if day is None:
        return ExhaustionPage(items=[], next=None)
    place = cursor or ExhaustionCursor.first(day)
    chosen = {"statuses": STATUSES_OF.get(status, [status]), "cause": cause, "label": label}
    found = session.rows("api_exhaustions", place.model_dump() | chosen | {"rows": limit + 1})
    items = found[:limit]
    following = None
    if len(found) > limit:
        final = items[-1]
        following = ExhaustionCursor(
            as_of=day,
            ended=final["ended"],
            ends_on=final["ends_on"],
            p_14=-1 if final["p_14"] is None else final["p_14"],
            iccid=final["iccid"],
        ).encode()
    link(request, response, following)
    return ExhaustionPage.model_validate({"items": items, "next": following})


def _latest(session: Session) -> date | None:
    latest: date | None = (session.row("api_exhaustions_as_of") or {"as_of": None})["as_of"]
    return latest


def _no_prediction(session: Session, iccid: str, as_of: date | None, what: str) -> ProblemError:
    if session.row("api_sim", {"iccid": iccid}) is None:
        return no_sim(iccid)
    when = (
        f" as of {as_of}; leave out as_of for the latest"
        if as_of
        else " yet; the pipeline writes one when it next scores"
    )
    return ProblemError(404, f"There is no {what} for SIM {iccid}{when}.")
