"""Churn: the training of the model, and every day's risk of each SIM."""

from typing import Any

import dagster as dg

from assets.common import AS_OF_DAYS, OWNERS, RuntimeParam, as_metadata, as_of_day
from assets.scoring_ops import scoring_ops
from services.churn import CHURN_RISKS, train


@dg.asset(
    deps=["usage_history", "sim_lifecycle", "sim_connectivity", "sim_quota"],
    group_name="churn",
    kinds={"python", "mlflow", "lightgbm"},
    owners=OWNERS,
    metadata={"dagster/table_name": "predictions.backtests"},
)
def churn_model(context: dg.AssetExecutionContext, runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """The registered model `churn-model`: which SIMs leave, when and why, learnt as of a day.

    The day is the partition of the run, or else the last complete day. Tested on later months of SIMs that the tested
    training did not see, beside simpler ways. Trained on the 1st of each month. A fleet with too few ends trains
    nothing: the metadata say what lacks, and the champion stays.

    If it is red: the last champion stays in use. Open the failed run and mend what its last message says; too short
    a history does not turn it red. It is trained again on the 1st of the month, or by `simsight run`.
    """
    return dg.MaterializeResult(
        metadata=as_metadata(context, train(runtime, as_of_day(context, runtime), log=context.log.info))
    )


AFTER = ("usage_history", "sim_lifecycle", "quota_exhaustions", "anomalies", "ticket_classes", "orders", "churn_model")
_plan, _score_block, _publish = scoring_ops(CHURN_RISKS, AFTER)


@dg.graph_asset(
    ins={name: dg.AssetIn(name, dagster_type=dg.Nothing) for name in AFTER},
    partitions_def=AS_OF_DAYS,
    group_name="churn",
    kinds={"python", "postgres"},
    owners=OWNERS,
    metadata={"dagster/table_name": "predictions.churn_risks"},
)
def churn_risks(
    usage_history: Any,
    sim_lifecycle: Any,
    quota_exhaustions: Any,
    anomalies: Any,
    ticket_classes: Any,
    orders: Any,
    churn_model: Any,
) -> Any:
    """The risk that each SIM in service leaves within 30, 60, 90 and 180 days of a day (the partition), at 90 days by
    cause, with reasons in words, a retention action and the value at stake; over blocks of SIMs.

    Empty while the fleet is too young for a model. Read it through `predictions.churn_risks_v1`.

    If it is red: the risks of the day before stay, and recommendations wait. Open the failed run and use
    "Re-execute from failure": blocks that were scored are not scored again.
    """
    blocks = _plan(
        usage_history=usage_history,
        sim_lifecycle=sim_lifecycle,
        quota_exhaustions=quota_exhaustions,
        anomalies=anomalies,
        ticket_classes=ticket_classes,
        orders=orders,
        churn_model=churn_model,
    )
    return _publish(blocks.map(_score_block).collect())
