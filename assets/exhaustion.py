"""When every SIM ends, by volume or by expiry; and the backtest that such dates must pass."""

from typing import Any

import dagster as dg
import polars as pl

from assets.common import AS_OF_DAYS, OWNERS, RuntimeParam, as_of_days, picture
from assets.scoring_ops import scoring_ops
from ml.plots.exhaustion import plot_reliability
from services.exhaustion import EXHAUSTIONS, save_backtest
from services.inputs import load_sample

_plan, _score_block, _publish = scoring_ops(EXHAUSTIONS, ("usage_forecasts", "sim_quota", "exhaustion_backtest"))


@dg.graph_asset(
    ins={
        name: dg.AssetIn(name, dagster_type=dg.Nothing)
        for name in ("usage_forecasts", "sim_quota", "exhaustion_backtest")
    },
    partitions_def=AS_OF_DAYS,
    group_name="running_out",
    kinds={"python", "postgres"},
    owners=OWNERS,
    metadata={"dagster/table_name": "predictions.exhaustions"},
)
def quota_exhaustions(usage_forecasts: Any, sim_quota: Any, exhaustion_backtest: Any) -> Any:
    """When every SIM ends, by volume or by expiry, whichever comes first: probabilities and dates; over blocks of SIMs.
    And when its SMS are used up, its monthly limit stops it, and its next automatic top-up comes.

    One row a SIM and as-of day (the partition), from sampled futures of the usage forecast, gone on beyond its horizon
    as SIMs of the same kind did and calibrated by `exhaustion_backtest`; read it through `predictions.exhaustions_v1`.
    SIMs whose usage, quota and model version are those they were scored from are left as they are.

    If it is red: no date of this day is published, and alerts and recommendations wait. If the check of
    `exhaustion_backtest` is red, begin there; otherwise open the failed run and use "Re-execute from failure".
    """
    blocks = _plan(usage_forecasts=usage_forecasts, sim_quota=sim_quota, exhaustion_backtest=exhaustion_backtest)
    return _publish(blocks.map(_score_block).collect())


CHECK = "exhaustion_dates_are_calibrated"
PLOT = "stated and achieved probability"


@dg.asset(
    name="exhaustion_backtest",
    deps=["usage_history"],
    partitions_def=AS_OF_DAYS,
    group_name="running_out",
    kinds={"python", "postgres"},
    owners=OWNERS,
    metadata={"dagster/table_name": "predictions.exhaustion_backtests"},
    check_specs=[
        dg.AssetCheckSpec(
            CHECK,
            asset="exhaustion_backtest",
            blocking=True,
            description="P10 to P90 of hypothetical exhaustion dates, from days in the fleet's own past, covered "
            "about 80 % of what then came: 72 to 88 %, and more room the fewer SIMs there are.\n\nIf it is red: look "
            "at the plot and at days with odd usage, correct them or wait for more days, and run `simsight run` again; "
            "until then no exhaustion date is published.",
        )
    ],
)
# with a check among its outputs Dagster takes the bare class only
def exhaustion_backtested(context: dg.AssetExecutionContext, runtime: RuntimeParam) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """How honest exhaustion dates are: from past days, when would each SIM have run out had it had little left, and
    when did it?

    One row an as-of day (the partition), with the calibration that the day's dates are made with. When too few or too
    many dates lie between P10 and P90, the blocking check stops `quota_exhaustions`: no date is published that cannot
    be relied on.

    If it is red: open the failed run. If only its check is red, the check says what to do; if the asset is, usage
    of the past could not be read: see `usage_history`.
    """
    as_of = as_of_days(context)[-1]
    tested = save_backtest(runtime, as_of, load_sample(runtime, as_of))
    metadata: dict[str, Any] = {"tested": tested.note}
    if tested.scores is not None:
        whole = tested.scores.frame.row(by_predicate=pl.col("group") == "all", named=True)
        metadata |= {
            "P10 to P90 covered": round(tested.scores.coverage, 4),
            "came before P10": round(whole["early"], 4),
            "came after P90": round(whole["late"], 4),
            "allowed from": round(tested.low, 4),
            "allowed to": round(tested.high, 4),
            "SIM-windows": whole["n"],
            PLOT: picture(context, PLOT, plot_reliability(tested.scores.calibration, note=runtime.data_note)),
        }
    result = dg.AssetCheckResult(passed=tested.calibrated, check_name=CHECK, metadata=metadata, description=tested.note)
    return dg.MaterializeResult(metadata=metadata, check_results=[result])
