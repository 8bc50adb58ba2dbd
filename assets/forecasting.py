"""Forecasts of usage: what they rest on, the forecaster's training, every SIM's days ahead, totals, and how forecasts
did.
"""

from typing import Any

import dagster as dg

from assets.common import AS_OF_DAYS, OWNERS, RuntimeParam, as_metadata, as_of_day, as_of_days
from assets.scoring_ops import scoring_ops
from ml.forecasting.drift import SCORES_SCHEMA, drift
from services.forecasting import (
    LOOK_BACK_DAYS,
    USAGE_FORECASTS,
    forecast_totals,
    score_drift,
    train,
)
from services.inputs import HISTORY_DAYS, NoUsageError
from services.model_specs import FORECASTER


@dg.asset(
    deps=["usage_history"],
    partitions_def=AS_OF_DAYS,
    group_name="usage_forecasts",
    kinds={"python", "postgres"},
    owners=OWNERS,
    metadata={"dagster/table_name": "predictions.aggregate_forecasts"},
)
def aggregate_forecasts(context: dg.AssetExecutionContext, runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """The total use of the fleet, of labels that begin alike and of countries, 30 days ahead, each forecast as one
    series.

    By Prophet, by the usage forecaster or by the mean of both: what missed least from earlier days. A total of many
    SIMs swings by what hits all of them at once, which no sum of their own forecasts knows. Read it through
    `predictions.aggregate_forecasts_v1`.

    If it is red: the fleet's forecast of the day before stays in the report. Open the failed run and mend what its
    last message says; `simsight run` makes it anew.
    """
    metadata: dict[str, Any] = {}
    for as_of in as_of_days(context):
        metadata = forecast_totals(runtime, as_of)
    return dg.MaterializeResult(metadata=as_metadata(context, metadata))


@dg.asset(
    deps=["usage_history"],
    partitions_def=AS_OF_DAYS,
    group_name="usage_forecasts",
    kinds={"python", "postgres"},
    owners=OWNERS,
    metadata={"dagster/table_name": "predictions.forecast_scores"},
)
def forecast_drift(context: dg.AssetExecutionContext, runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """Error and coverage of earlier forecasts, tracked against what then happened; one row a closed usage day and part
    of the horizon.

    Scored are the last ten closed days up to the partition that are not scored yet, or whose usage came or was
    corrected since. Only forecasts count whose model knew nothing after their as-of day. Read it through
    `predictions.forecast_scores_v1`.

    If it is red: forecasts go on being made, but nobody watches how good they are. Open the failed run; the next
    daily run scores the last ten days again.
    """
    metadata: dict[str, Any] = {}
    days = as_of_days(context)
    for as_of in days:
        metadata = score_drift(runtime, as_of, show=as_of == days[-1])
    return dg.MaterializeResult(metadata=as_metadata(context, metadata))


@dg.asset_check(
    name="forecasts_hold",
    asset="forecast_drift",
    description="Over the last three closed days, forecasts of the next week covered what they promised, beat "
    "repeating last week, and did not lie to one side. A model that goes bad fails it within three days.\n\nIf it is "
    "red: compare versions with `simsight models`, and go back to a better one with `simsight rollback`.",
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


@dg.asset(
    deps=["sim_usage", "usage_book"],
    partitions_def=AS_OF_DAYS,
    group_name="usage",
    kinds={"python", "postgres"},
    owners=OWNERS,
    metadata={"dagster/table_name": "core.sim_usage"},
)
def usage_history(context: dg.AssetExecutionContext, runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """The daily usage that models and alerts see as of a day (the partition): all complete days up to it.

    It stores nothing of its own: it says what there is, and its blocking check stops predictions on incomplete usage.

    If it is red: no usage is stored up to this day, or its check found it incomplete. Run `simsight status` to see
    which source is late and `simsight ingest` to ask for it; then `simsight run`.
    """
    as_of = as_of_days(context)[-1]
    found = runtime.database.row("usage_extent", {"as_of": as_of, "days": HISTORY_DAYS})
    if not found or not found["rows"]:
        raise NoUsageError(
            f"no usage is stored up to {as_of}: run `simsight ingest` first, or choose a later as-of day"
        )
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": found["rows"],
            "sims": found["sims"],
            "first day": str(found["first_day"]),
            "last day": str(found["last_day"]),
            "MB": round(int(found["bytes"]) / 1e6, 1),
        }
    )


_plan, _score_block, _publish = scoring_ops(USAGE_FORECASTS, ("usage_forecaster", "usage_history"))


@dg.graph_asset(
    ins={name: dg.AssetIn(name, dagster_type=dg.Nothing) for name in ("usage_forecaster", "usage_history")},
    partitions_def=AS_OF_DAYS,
    group_name="usage_forecasts",
    kinds={"python", "postgres"},
    owners=OWNERS,
    metadata={"dagster/table_name": "predictions.usage_forecasts"},
)
def usage_forecasts(usage_forecaster: Any, usage_history: Any) -> Any:
    """Daily usage of every SIM, 30 days ahead, with quantiles, by the champion model; scored over blocks of SIMs.

    One row a SIM, as-of day (the partition) and day ahead; read it through `predictions.usage_forecasts_v1`. SIMs
    without new or corrected data since they were scored as of that day by the same version are left as they are.

    If it is red: the forecasts of the day before stay, and all that rests on them waits. Open the failed run and
    use "Re-execute from failure": blocks that were scored are not scored again.
    """
    blocks = _plan(usage_forecaster=usage_forecaster, usage_history=usage_history)
    return _publish(blocks.map(_score_block).collect())


@dg.asset(
    deps=["usage_history"],
    group_name="usage_forecasts",
    kinds={"python", "mlflow"},
    owners=OWNERS,
    metadata={"dagster/table_name": "predictions.backtests"},
)
def usage_forecaster(context: dg.AssetExecutionContext, runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """The registered model `usage-forecaster`, trained on what was known on the as-of day.

    The day is the partition of the run, or else the last complete day.

    Backtested from several past days against seasonal naive (repeating last week), and compared with the champion on
    days that neither had seen. It becomes the champion, which scores, when it beats the baseline, its 80 % interval
    covers about 80 % and it is not worse than the champion; otherwise it is kept as challenger. Figures and decision
    are recorded either way.

    If it is red: the last champion stays in use and forecasts go on. Open the failed run and mend what its last
    message says; with less than some weeks of usage no model can be trained yet. `simsight run` trains again.
    """
    as_of = as_of_day(context, runtime)
    return dg.MaterializeResult(metadata=as_metadata(context, train(runtime, as_of, log=context.log.info)))
