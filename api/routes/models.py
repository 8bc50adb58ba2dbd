"""Models and their backtests, and how fresh the data is."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from api.answers import answer, with_runs
from api.connections import Row
from api.dependencies import Asking, Limit, cursor_of, link
from api.errors import PROBLEMS
from api.kept import LIST
from api.schemas.models import BacktestCursor, BacktestPage, Freshness, ModelList, Role

router = APIRouter(tags=["service"])
FIRST = {"after_model": "", "after_version": 0}
CHALLENGERS = 10


@router.get("/v1/models", summary="Which models score, and which wait", response_model=ModelList, responses=PROBLEMS)
async def list_models(request: Request, asking: Asking) -> Response:
    """By name: the champion with its backtest, and its challengers."""
    found = _described(request, await asking.rows("api_models", {"challengers": CHALLENGERS}))
    models: dict[str, dict[str, Any]] = {}
    for row in found:
        model = models.setdefault(
            row["model_name"], {"model_name": row["model_name"], "champion": None, "challengers": []}
        )
        if row["role"] == "champion":
            model["champion"] = row
        else:
            model["challengers"].append(row)
    return answer({"items": list(models.values())}, kept=LIST)


@router.get(
    "/v1/backtests", summary="How good each trained version was", response_model=BacktestPage, responses=PROBLEMS
)
async def list_backtests(
    request: Request,
    asking: Asking,
    limit: Limit = 100,
    after: Annotated[str, Query(max_length=500, description="`next` of the page before")] = "",
    model: Annotated[
        str | None,
        Query(max_length=200, pattern=r"^[^\x00]*$", description="Only this model", examples=["churn-model"]),
    ] = None,
    role: Annotated[Role | None, Query(description="Only versions in this role")] = None,
) -> Response:
    """By model, the newest version first, on days they had not seen."""
    cursor = cursor_of(BacktestCursor, after)
    place = {"after_model": cursor.model_name, "after_version": cursor.model_version} if cursor else FIRST
    chosen = {"model": model, "role": role, "rows": limit + 1}
    found = _described(request, await asking.rows("api_backtests", place | chosen))
    items = found[:limit]
    following = None
    if len(found) > limit:
        final = items[-1]
        following = BacktestCursor(model_name=final["model_name"], model_version=final["model_version"]).encode()
    return answer({"items": items, "next": following}, link(request, following), kept=LIST)


@router.get("/v1/freshness", summary="How fresh the data is", response_model=Freshness, responses=PROBLEMS)
async def get_freshness(request: Request, asking: Asking) -> Response:
    """When 1NCE was last asked, by call; from where the usage of the last day is known, and how well."""
    (newest,), grades, usage, sources = await asking.read(
        ("api_newest_predictions", {}), ("api_data_grades", {}), ("api_usage_sources", {}), ("api_source_passes", {})
    )
    now = request.app.state.clock()
    for row in sources:
        row["age_hours"] = None if row["asked_at"] is None else _hours(now - row["asked_at"])
    return answer(
        {
            **newest,
            "age_hours": None if newest["as_of"] is None else _hours(now - _end_of(newest["as_of"])),
            "grades": {row["grade"]: row["sims"] for row in grades},
            "usage": usage,
            "sources": [
                {name: row[name] for name in ("source", "asked_at", "age_hours", "under_way_since", "gone_since")}
                for row in sources
            ],
        }
    )


def _described(request: Request, rows: list[Row]) -> list[Row]:
    """Versions with the addresses of their runs and cards."""
    address = request.app.state.mlflow_url
    for row in with_runs(request, rows):
        registered = row.pop("registered")
        row["card"] = f"{address}/#/models/{registered}/versions/{row['model_version']}" if address else None
    return rows


def _end_of(day: date) -> datetime:
    return datetime.combine(day + timedelta(1), time(), UTC)


def _hours(age: timedelta) -> float:
    return round(age / timedelta(hours=1), 2)
