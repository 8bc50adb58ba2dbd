"""Forecasts of totals: the fleet, the SIMs whose labels begin alike, and the countries with the most SIMs."""

from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from assets.blocks import NoUsageError
from assets.common import DAYS, OWNERS, RuntimeParam, as_of_days, picture
from assets.forecast import COLUMNS, HISTORY_DAYS, HORIZON
from ml.forecasting.aggregates import forecast_aggregate
from ml.plots.forecasting import plot_total_forecast
from resources.runtime import Runtime

# with the fleet at most 20 series: each is forecast several times
LABELS, COUNTRIES = 12, 7
TOTALS_SCHEMA = {"kind": pl.String, "name": pl.String, "sims": pl.Int32, "day": pl.Date, "bytes": pl.Int64}


@dg.asset(
    deps=["usage_history"],
    partitions_def=DAYS,
    group_name="forecast",
    kinds={"python", "postgres"},
    owners=OWNERS,
    metadata={"dagster/table_name": "predictions.aggregate_forecasts"},
)
def aggregate_forecasts(context: dg.AssetExecutionContext, runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """The total use of the fleet, of labels that begin alike and of countries, 30 days ahead, each forecast as one series.

    By Prophet, by the usage forecaster or by the mean of both: what missed least from earlier days. A total of many SIMs swings by what
    hits all of them at once, which no sum of their own forecasts knows. Read it through `predictions.aggregate_forecasts_v1`.
    """
    metadata: dict[str, Any] = {}
    for as_of in as_of_days(context):
        metadata = forecast_totals(runtime, as_of)
    return dg.MaterializeResult(metadata=metadata)


def forecast_totals(runtime: Runtime, as_of: date) -> dict[str, Any]:
    """Forecast the totals as of a day and store them; returns metadata. Raises NoUsageError when there is no usage."""
    which = {"as_of": as_of, "days": HISTORY_DAYS, "labels": LABELS, "countries": COUNTRIES}
    totals = runtime.database.frame("aggregate_usage", TOTALS_SCHEMA, which)
    if totals.is_empty():
        raise NoUsageError(
            f"no usage is stored up to {as_of}: run `simsight ingest` first, or choose a later as-of day"
        )
    totals = totals.with_columns(group=pl.format("{} {}", "kind", "name"))
    forecast = forecast_aggregate(totals, as_of, HORIZON, seed=runtime.settings.seed)
    groups = totals.group_by("group").agg(pl.col("kind", "name", "sims").first())
    rows = forecast.frame.join(groups, on="group", maintain_order="left").select(
        pl.lit(as_of).alias("as_of"),
        *("kind", "name", "day", "method", "sims"),
        *(pl.col(name).round().cast(pl.Int64).alias(column) for name, column in COLUMNS.items()),
        pl.lit(runtime.clock()).alias("created_at"),
    )
    with runtime.database.transaction() as transaction:
        merged = transaction.merge("merge_aggregate_forecasts", rows)
    fleet = pl.col("group") == "fleet fleet"
    plot = plot_total_forecast(
        totals.filter(fleet), forecast.frame.filter(fleet), of="the fleet", note=runtime.data_note
    )
    chosen = forecast.choices.group_by("method").len().sort("method")
    return {
        "dagster/row_count": merged.rows,
        "rows new": merged.new,
        "rows changed": merged.changed,
        "series": groups.height,
        **{f"series by {method}": count for method, count in chosen.iter_rows()},
        "fleet": picture(plot),
    }
