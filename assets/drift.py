"""How forecasts did: what was forecast held against what then happened, day by day, and a check that warns when they no longer hold."""

from datetime import date, timedelta
from typing import Any

import dagster as dg

from assets.common import DAYS, OWNERS, RuntimeParam, as_of_days, picture
from ml.forecasting.drift import SCORES_SCHEMA, drift
from ml.plots.forecasting import plot_drift
from resources.registry import FORECASTER
from resources.runtime import Runtime

# every day of the next week; of the weeks after it one day each: forecasts of one as-of day lie together, each costs a scan of them
LEADS = [1, 2, 3, 4, 5, 6, 7, 14, 21, 28]
LOOK_BACK_DAYS = 10
SHOWN_DAYS = 90


@dg.asset(
    deps=["usage_history"],
    partitions_def=DAYS,
    group_name="forecast",
    kinds={"python", "timescaledb"},
    owners=OWNERS,
    metadata={"dagster/table_name": "predictions.forecast_scores"},
)
def forecast_drift(context: dg.AssetExecutionContext, runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """Error and coverage of earlier forecasts, tracked against what then happened; one row a closed usage day and part of the horizon.

    Scored are the last ten closed days up to the partition that are not scored yet, or whose usage came or was corrected since. Only
    forecasts count whose model knew nothing after their as-of day. Read it through `predictions.forecast_scores_v1`.
    """
    metadata: dict[str, Any] = {}
    days = as_of_days(context)
    for as_of in days:
        metadata = score_drift(runtime, as_of, show=as_of == days[-1])
    return dg.MaterializeResult(metadata=metadata)


def score_drift(runtime: Runtime, as_of: date, *, show: bool = True) -> dict[str, Any]:
    """Hold forecasts of closed days up to `as_of` against what happened; returns metadata, with a plot if `show`."""
    last = min(as_of, runtime.last_complete_day())
    which = {"model_name": FORECASTER, "first": last - timedelta(days=LOOK_BACK_DAYS - 1), "last": last}
    days = [row["day"] for row in runtime.database.rows("unscored_days", which)]
    rows = 0
    for day in days:
        what = {"model_name": FORECASTER, "day": day, "leads": LEADS, "now": runtime.clock()}
        rows += (runtime.database.row("score_forecasts", what) or {"rows": 0})["rows"]
    metadata: dict[str, Any] = {"days scored": len(days), "rows written": rows}
    if not show:
        return metadata
    scores = runtime.database.frame(
        "forecast_scores", SCORES_SCHEMA, {"model_name": FORECASTER, "as_of": last, "days": SHOWN_DAYS}
    )
    metadata["dagster/row_count"] = scores.height
    newest = scores.filter(horizon="1-7").tail(1)
    for name in ("rmase", "coverage_80", "coverage_95", "bias"):
        if newest.height and newest[name].item() is not None:
            metadata[name] = round(newest[name].item(), 4)
    return metadata | {"over time": picture(plot_drift(scores, note=runtime.data_note))}


@dg.asset_check(
    name="forecasts_hold",
    asset="forecast_drift",
    description="Over the last three closed days, forecasts of the next week covered what they promised, beat repeating last week, and did "
    "not lie to one side. A model that goes bad fails it within three days: `simsight models`, `simsight rollback`.",
)
def forecasts_hold(runtime: RuntimeParam) -> dg.AssetCheckResult:
    last = runtime.last_complete_day()
    scores = runtime.database.frame(
        "forecast_scores", SCORES_SCHEMA, {"model_name": FORECASTER, "as_of": last, "days": LOOK_BACK_DAYS}
    )
    said = drift(scores, as_of=last)
    return dg.AssetCheckResult(
        passed=not said,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(said) or None,
        metadata={"days looked at": scores["day"].n_unique()},
    )
