"""How honest exhaustion dates are as of a day, tested on the fleet's own past before any is published; and what they rest on."""

from dataclasses import dataclass
from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from assets.common import DAYS, OWNERS, RuntimeParam, as_of_days, picture
from assets.forecast import HORIZON, load_sample
from ml.exhaustion.backtest import ExhaustionBacktest, exhaustion_backtest
from ml.exhaustion.extrapolation import Outlook, learn_outlook
from ml.exhaustion.model import Calibration
from ml.plots.exhaustion import plot_reliability
from resources.runtime import Runtime

CHECK = "exhaustion_dates_are_calibrated"


@dataclass(frozen=True, eq=False)
class Basis:
    """What the fleet's past says about the dates of one as-of day: how use goes on, and how stated probabilities turned out."""

    outlook: Outlook
    calibration: Calibration | None


@dg.asset(
    name="exhaustion_backtest",
    deps=["usage_history"],
    partitions_def=DAYS,
    group_name="forecast",
    kinds={"python", "postgres"},
    owners=OWNERS,
    metadata={"dagster/table_name": "predictions.exhaustion_backtests"},
    check_specs=[
        dg.AssetCheckSpec(
            CHECK,
            asset="exhaustion_backtest",
            blocking=True,
            description="P10 to P90 of hypothetical exhaustion dates, from days in the fleet's own past, covered about 80 % of "
            "what then came: 72 to 88 %, and more room the fewer SIMs there are.",
        )
    ],
)
# with a check among its outputs Dagster takes the bare class only
def exhaustion_backtested(context: dg.AssetExecutionContext, runtime: RuntimeParam) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """How honest exhaustion dates are: from past days, when would each SIM have run out had it had little left, and when did it?

    One row an as-of day (the partition), with the calibration that the day's dates are made with. When too few or too many dates
    lie between P10 and P90, the blocking check stops `quota_exhaustions`: no date is published that cannot be relied on.
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
            "stated and achieved probability": picture(
                plot_reliability(tested.scores.calibration, note=runtime.data_note)
            ),
        }
    result = dg.AssetCheckResult(passed=tested.calibrated, check_name=CHECK, metadata=metadata, description=tested.note)
    return dg.MaterializeResult(metadata=metadata, check_results=[result])


def save_backtest(runtime: Runtime, as_of: date, history: pl.DataFrame) -> ExhaustionBacktest:
    """Test the dates of an as-of day on the history known by then, and store the outcome."""
    tested = exhaustion_backtest(history, as_of=as_of, horizon=HORIZON, seed=runtime.settings.seed)
    with runtime.database.transaction() as transaction:
        transaction.execute(
            "save_exhaustion_backtest",
            {
                "as_of": as_of,
                "status": tested.status,
                "coverage_80": None if tested.scores is None else tested.scores.coverage,
                "lowest": tested.low,
                "highest": tested.high,
                "achieved": None if tested.calibration is None else list(tested.calibration.achieved),
                "note": tested.note,
                "now": runtime.clock(),
            },
        )
    return tested


def load_basis(runtime: Runtime, as_of: date, history: pl.DataFrame) -> Basis:
    """What the dates of an as-of day rest on. Where the day was never tested, as in a backfill, it is now."""
    outlook = learn_outlook(history, as_of=as_of, horizon=HORIZON, seed=runtime.settings.seed)
    stored = runtime.database.row("exhaustion_backtest", {"as_of": as_of})
    if stored is None:
        return Basis(outlook, save_backtest(runtime, as_of, history).calibration)
    return Basis(outlook, None if stored["achieved"] is None else Calibration(tuple(stored["achieved"])))
