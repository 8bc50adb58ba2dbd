"""Forecasts and exhaustion dates."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.database import Row, Session
from api.dependencies import AsOf, Iccid, Limit, Opened, link
from api.errors import LOST, PROBLEMS, ProblemError, no_sim, wrong_parameter
from api.schemas.predictions import Exhaustion, ExhaustionCursor, ExhaustionPage, Forecast

router = APIRouter()


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
) -> ExhaustionPage:
    """As of the latest day, most likely to end within 14 days first, then by median date and ICCID. SIMs whose history
    gives no probability come last. A walk stays on the day it began with."""
    try:
        cursor = ExhaustionCursor.decode(after) if after else _most_urgent(session)
    except ValueError:
        raise wrong_parameter(
            "after", "is not a cursor of this list: pass `next` of the page before, or leave it out"
        ) from None
    found = _exhaustions(session, cursor, limit + 1) if cursor else []
    items = found[:limit]
    following = None
    if len(found) > limit:
        final = items[-1]
        following = ExhaustionCursor(
            as_of=final["as_of"], p_14=final["p_14"], p50_date=final["p50_date"], iccid=final["iccid"]
        ).encode()
    link(request, response, following)
    return ExhaustionPage.model_validate({"items": items, "next": following})


def _most_urgent(session: Session) -> ExhaustionCursor | None:
    latest = session.row("api_exhaustions_as_of")
    if latest is None or latest["as_of"] is None:
        return None
    return ExhaustionCursor(as_of=latest["as_of"], p_14=1, p50_date=date.min, iccid="")


def _exhaustions(session: Session, cursor: ExhaustionCursor, rows: int) -> list[Row]:
    """The exhaustions after the cursor: those with a probability, then those without."""
    found: list[Row] = []
    where = {"as_of": cursor.as_of, "iccid": cursor.iccid}
    if cursor.p_14 is not None:
        place = {"p_14": cursor.p_14, "p50_date": str(cursor.p50_date or "infinity"), "rows": rows}
        found = session.rows("api_exhaustions", {**where, **place})
        where["iccid"] = ""
    if len(found) < rows:
        found += session.rows("api_exhaustions_unsure", {**where, "rows": rows - len(found)})
    return found


def _no_prediction(session: Session, iccid: str, as_of: date | None, what: str) -> ProblemError:
    if session.row("api_sim", {"iccid": iccid}) is None:
        return no_sim(iccid)
    when = (
        f" as of {as_of}; leave out as_of for the latest"
        if as_of
        else " yet; the pipeline writes one when it next scores"
    )
    return ProblemError(404, f"There is no {what} for SIM {iccid}{when}.")
