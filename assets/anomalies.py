"""Anomalies over the whole fleet: the detector's training, what it finds every day, and the incidents behind it."""

from typing import Any

import dagster as dg

from assets.common import AS_OF_DAYS, OWNERS, RuntimeParam, as_metadata, as_of_day
from assets.scoring_ops import scoring_ops
from services.anomalies.detection import ANOMALIES, train


@dg.asset(
    deps=["usage_history", "sim_lifecycle", "sim_events"],
    group_name="anomalies",
    kinds={"python", "mlflow", "scikitlearn"},
    owners=OWNERS,
    metadata={"dagster/table_name": "predictions.backtests"},
)
def anomaly_detector(context: dg.AssetExecutionContext, runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """The registered model `anomaly-detector`: what is ordinary in this fleet, fitted as of a day.

    The day is the partition of the run, or else the last complete day.

    Control charts, Isolation Forest and surprise at places and hours, made comparable by the share of the fleet's own
    past days that were as odd. Tested by anomalies injected into the last two weeks. Trained anew every week; within a
    week the version there is stays.

    If it is red: the last champion stays in use and anomalies are still found. Open the failed run; most often too
    little usage is stored, which `simsight status` shows. It is trained again on Monday, or by `simsight run`.
    """
    return dg.MaterializeResult(metadata=as_metadata(context, train(runtime, as_of_day(context, runtime))))


AFTER = ("usage_history", "sim_lifecycle", "usage_forecasts", "anomaly_detector")
_plan, _score_block, _publish = scoring_ops(ANOMALIES, AFTER)


@dg.graph_asset(
    ins={name: dg.AssetIn(name, dagster_type=dg.Nothing) for name in AFTER},
    partitions_def=AS_OF_DAYS,
    group_name="anomalies",
    kinds={"python", "postgres"},
    owners=OWNERS,
    metadata={"dagster/table_name": "predictions.anomalies"},
)
def anomalies(usage_history: Any, sim_lifecycle: Any, usage_forecasts: Any, anomaly_detector: Any) -> Any:
    """What is unlike itself or its peers on a closed day (the partition): kind, severity, and the reason in a sentence
    with numbers; looked for over blocks of SIMs.

    Anomalies with a cause in common are members of one incident. At most SIMSIGHT_FALSE_ALARMS of 1,000 SIM-days of a
    fleet with nothing wrong are flagged. The limits of the days under way are prepared too, for what the Data Streamer
    brings. The same day again writes the same. Read it through `predictions.anomalies_v1` and
    `predictions.incidents_v1`.

    If it is red: this day's anomalies are missing, older ones stay. Open the failed run; a block that failed can be
    tried again alone with "Re-execute from failure". Without a champion run `simsight run`, which trains one.
    """
    blocks = _plan(
        usage_history=usage_history,
        sim_lifecycle=sim_lifecycle,
        usage_forecasts=usage_forecasts,
        anomaly_detector=anomaly_detector,
    )
    return _publish(blocks.map(_score_block).collect())
