"""Alerts: the built-in kinds, and the rules of the users."""

from typing import Any

import dagster as dg

from assets.common import DAYS, OWNERS, RuntimeParam, as_of_days
from services.alerts.builtin import evaluate_alerts
from services.alerts.evaluation import evaluate_rules


@dg.asset(
    deps=["alerts", "usage_forecasts", "forecast_drift", "anomalies"],
    partitions_def=DAYS,
    group_name="alerts",
    kinds={"python", "postgres"},
    owners=OWNERS,
    metadata={"dagster/table_name": "predictions.alert_rules"},
)
def alert_rules_evaluated(context: dg.AssetExecutionContext, runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """The rules of `simsight rules` as of a day (the partition): one query a rule, over all SIMs at once; and one alert an incident.

    A rule that fails says why in predictions.alert_rules_v1 and in this asset's metadata, and stops no other. Alerts move forward in
    time only: a day before a rule's last one changes nothing.
    """
    metadata: dict[str, Any] = {}
    for as_of in as_of_days(context):
        metadata = evaluate_rules(runtime.database, as_of=as_of, now=runtime.clock())
    for name, why in metadata.get("rules that failed", {}).items():
        context.log.warning(f"rule {name}: {why}")
    return dg.MaterializeResult(metadata=metadata)


@dg.asset(
    deps=["quota_exhaustions", "usage_history", "sim_quota"],
    partitions_def=DAYS,
    group_name="alerts",
    kinds={"python", "postgres"},
    owners=OWNERS,
    metadata={"dagster/table_name": "predictions.alerts"},
)
def alerts(context: dg.AssetExecutionContext, runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """Alerts as of a day (the partition): will run out within 14 days, 80 % of the quota used, silent for unusually long.

    An alert is one row from its opening to its end: it is not written again every day, and it is closed when what it says
    no longer holds. A day before the last evaluated one changes nothing: alerts move forward in time only.
    """
    metadata: dict[str, Any] = {}
    for as_of in as_of_days(context):
        metadata = evaluate_alerts(runtime, as_of)
    return dg.MaterializeResult(metadata=metadata)
