"""Alerts: the built-in kinds, and the rules of the users."""

from typing import Any

import dagster as dg

from assets.common import AS_OF_DAYS, OWNERS, RuntimeParam, as_of_days
from services.alerts.builtin import evaluate_alerts
from services.alerts.evaluation import evaluate_rules


@dg.asset(
    deps=["alerts", "usage_forecasts", "forecast_drift", "anomalies", "churn_risks"],
    partitions_def=AS_OF_DAYS,
    group_name="alerts",
    kinds={"python", "postgres"},
    owners=OWNERS,
    metadata={"dagster/table_name": "predictions.alert_rules"},
)
def alert_rules_evaluated(context: dg.AssetExecutionContext, runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """The rules of `simsight rules`, evaluated as of a day (the partition), and the alerts of incidents and anomalies.

    Each rule is one query over all SIMs. The error of a rule that fails is in predictions.alert_rules_v1 and in this
    asset's metadata; the other rules are evaluated all the same. Alerts are about the present: a day before the last
    complete one changes nothing.

    If it is red: the database could not be read or written, for the rules that fail by themselves do not turn it
    red. Open the failed run, mend what its last message says, and start `simsight run` again. Alerts that are open
    stay open until then.
    """
    metadata: dict[str, Any] = {}
    for as_of in as_of_days(context):
        metadata = evaluate_rules(runtime, as_of)
    for name, why in metadata.get("rules that failed", {}).items():
        context.log.warning(f"rule {name}: {why}")
    return dg.MaterializeResult(metadata=metadata)


@dg.asset(
    deps=["quota_exhaustions", "usage_history", "sim_quota"],
    partitions_def=AS_OF_DAYS,
    group_name="alerts",
    kinds={"python", "postgres"},
    owners=OWNERS,
    metadata={"dagster/table_name": "predictions.alerts"},
)
def alerts(context: dg.AssetExecutionContext, runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """Built-in alerts as of a day (the partition): an end within 14 days, 80 % of the quota used, an unusual silence.

    An alert is one row from its opening to its end. It is closed when its condition no longer holds. Alerts are about
    the present: a day before the last complete one changes nothing.

    If it is red: no alert of this day was opened or closed. Open the failed run: where an asset before it is red,
    mend that one first; then start `simsight run` again.
    """
    metadata: dict[str, Any] = {}
    for as_of in as_of_days(context):
        metadata = evaluate_alerts(runtime, as_of)
    return dg.MaterializeResult(metadata=metadata)
