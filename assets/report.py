"""The fleet report, one HTML page a day for people who never open the Dagster UI, and the reports of periods."""

from typing import Any

import dagster as dg

from assets.common import AS_OF_DAYS, OWNERS, RuntimeParam, as_metadata, as_of_days
from services.reports.publish import make_report
from services.reports.schedules import make_due


@dg.asset(
    deps=[
        "usage_forecasts",
        "aggregate_forecasts",
        "quota_recommendations",
        "quota_exhaustions",
        "alerts",
        "alert_rules_evaluated",
        "sim_lifecycle",
        "anomalies",
        "churn_risks",
    ],
    partitions_def=AS_OF_DAYS,
    group_name="reports",
    kinds={"python", "html"},
    owners=OWNERS,
    metadata={"dagster/table_name": "predictions.reports"},
)
def fleet_report(context: dg.AssetExecutionContext, runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """The fleet report as of a day (the partition).

    The page shows usage, forecast, SIMs that run out first, incidents and anomalies, silent SIMs, alerts and data
    quality. This one HTML file needs no network and no script. It is stored in predictions.reports, served by the API
    and written to the report folder as `fleet-<day>.html`; `fleet-latest.html` is the newest. The same data give the
    same bytes.

    If it is red: the report of the day before stays. Open the failed run; where the report folder cannot be
    written, free or mend it; then start `simsight run` again.
    """
    metadata: dict[str, Any] = {}
    for as_of in as_of_days(context):
        metadata = make_report(runtime, as_of)
        metadata["open it"] = dg.MetadataValue.url(metadata["report"].as_uri())
    return dg.MaterializeResult(metadata=as_metadata(context, metadata))


@dg.asset(
    deps=[fleet_report],
    group_name="reports",
    kinds={"python", "postgres"},
    owners=OWNERS,
    metadata={"dagster/table_name": "predictions.period_reports"},
)
def period_reports(context: dg.AssetExecutionContext, runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """The reports that schedules (`simsight reports schedule`) ask for: of a day, a week or a month, once it is over.

    Each is kept with its files, and put into the outbox for the channels that get it, in one transaction: it is made
    and sent once, however often this runs. A report of which a format cannot be made holds up no other.

    If it is red: the reports that are due were not made and not sent. Open the failed run; every quarter of an hour
    it is tried again, and a report is sent once only.
    """
    return dg.MaterializeResult(metadata=as_metadata(context, make_due(runtime)))
