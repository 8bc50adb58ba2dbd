"""Forecasts and exhaustion dates."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from api.answers import answer, page, shaped, volume, with_runs
from api.dependencies import DIGITS, Asked, Asking, AsOf, Iccid, Label, Limit, link
from api.errors import LOST, PROBLEMS, ProblemError, no_sim, wrong_parameter
from api.kept import ONE_SIM, QUOTA
from api.schemas.predictions import (
    Exhaustion,
    ExhaustionCursor,
    ExhaustionOfSim,
    ExhaustionPage,
    Forecast,
    ForecastDay,
    ForecastQuantiles,
    Prediction,
    UsageForecast,
)

router = APIRouter()
ForecastDays = Annotated[
    int, Field(ge=1, le=30), DIGITS, Query(description="The first so many days of the forecast", examples=[7])
]
PREDICTION = tuple(Prediction.model_fields)
ExhaustionChoice = Literal["live", "ended", "all", "ok", "extrapolated", "not_enough_evidence", "exhausted", "expired"]
LIVE, ENDED = ["ok", "extrapolated", "not_enough_evidence"], ["exhausted", "expired"]
FIRST = {"ended": False, "ends_on": "-infinity", "p_14": 2, "iccid": ""}  # before the first exhaustion of a day
STATUSES_OF = {"live": LIVE, "ended": ENDED, "all": LIVE + ENDED}


@router.get(
    "/v1/sims/{iccid}/forecast",
    tags=["predictions"],
    summary="Forecast of a SIM's daily usage",
    response_model=Forecast,
    responses=LOST,
)
async def get_forecast(asking: Asking, iccid: Iccid, as_of: AsOf = None) -> Response:
    """One item a day ahead, each with the model that made it. 404 when there is none."""
    items = await asking.rows("api_forecast", {"iccid": iccid, "as_of": as_of})
    if not items:
        raise await no_prediction(asking, iccid, as_of, "forecast")
    return answer({"iccid": iccid, "items": shaped(ForecastDay, items)}, kept=ONE_SIM)


@router.get(
    "/v1/sims/{iccid}/usage-forecast",
    tags=["predictions"],
    summary="What a SIM is expected to use on the next days",
    response_model=UsageForecast,
    responses=LOST,
)
async def get_usage_forecast(
    request: Request, asking: Asking, iccid: Iccid, days: ForecastDays = 30, as_of: AsOf = None
) -> Response:
    """The next 7, 30 or other days, with their sum and the model that made it. 404 when there is no forecast."""
    found = await asking.rows("api_usage_forecast", {"iccid": iccid, "as_of": as_of, "days": days})
    if not found:
        raise await no_prediction(asking, iccid, as_of, "forecast")
    first = with_runs(request, found[:1])[0]
    run, total = first["mlflow_run"], volume(sum(row["mean"] for row in found))
    common = {name: first[name] for name in PREDICTION}
    items = shaped(ForecastQuantiles, found)
    return answer(
        {**common, "iccid": iccid, "days": len(found), "total_mean": total, "items": items, "mlflow_run": run},
        kept=ONE_SIM,
    )


@router.get(
    "/v1/sims/{iccid}/exhaustion",
    tags=["predictions"],
    summary="When a SIM runs out",
    response_model=ExhaustionOfSim,
    responses=LOST,
)
async def get_exhaustion(request: Request, asking: Asking, iccid: Iccid, as_of: AsOf = None) -> Response:
    """404 when there is no prediction for it."""
    found = await asking.rows("api_exhaustion", {"iccid": iccid, "as_of": as_of})
    if not found:
        raise await no_prediction(asking, iccid, as_of, "exhaustion prediction")
    return answer(with_runs(request, shaped(ExhaustionOfSim, found))[0], kept=QUOTA)


@router.get(
    "/v1/exhaustions",
    tags=["predictions"],
    summary="Which SIMs run out first",
    response_model=ExhaustionPage,
    responses=PROBLEMS,
)
async def list_exhaustions(
    request: Request,
    asking: Asking,
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
) -> Response:
    """As of the latest day, the soonest median end first; where two end on one day, the one that is likelier to end
    within 14 days, then the one that was first seen earlier. Live SIMs without a date come after those with one, ended
    SIMs (on request) last. A walk stays on the day it began with."""
    try:
        cursor = ExhaustionCursor.decode(after) if after else None
    except ValueError:
        raise wrong_parameter(
            "after", "is not a cursor of this list: pass `next` of the page before, or leave it out"
        ) from None
    if cursor and as_of and cursor.as_of != as_of:
        raise wrong_parameter("as_of", f"this walk began as of {cursor.as_of}: leave as_of or after out")
    place = cursor.model_dump() if cursor else FIRST | {"as_of": as_of}
    chosen = {"statuses": STATUSES_OF.get(status, [status]), "cause": cause, "label": label}
    found = await asking.rows("api_exhaustions", place | chosen | {"rows": limit + 1})
    items = found[:limit]
    following = None
    if len(found) > limit:
        final = items[-1]
        following = ExhaustionCursor(
            as_of=final["as_of"],
            ended=final["ended"],
            ends_on=final["ends_on"],
            p_14=-1 if final["p_14"] is None else final["p_14"],
            iccid=final["iccid"],
        ).encode()
    return page(Exhaustion, items, following, link(request, following))


async def no_prediction(asking: Asked, iccid: str, as_of: date | None, what: str) -> ProblemError:
    """The answer where a SIM, known or not, has no prediction."""
    if not await asking.rows("api_sim", {"iccid": iccid}):
        return no_sim(iccid)
    when = (
        f" as of {as_of}; leave out as_of for the latest"
        if as_of
        else " yet; the pipeline writes one when it next scores"
    )
    return ProblemError(404, f"There is no {what} for SIM {iccid}{when}.")
