"""The Dagster code location: everything the other modules of this room define, and the runtime it shares."""

from datetime import timedelta

import dagster as dg

from assets.alerts import alert_rules_evaluated, alerts
from assets.common import AS_OF_DAYS
from assets.forecasting import (
    forecasts_hold,
)
from assets.imports import imported_files
from assets.ingest import INGEST
from assets.lifecycle import sim_lifecycle
from assets.maintenance import compressed_days, kept_days, raw_landings, run_history
from assets.quality import checks
from assets.quota import realized_savings
from assets.report import fleet_report, period_reports
from assets.scoring_ops import IO_MANAGER, StagedValues
from assets.stream import stream_file_batches, stream_records
from assets.usage_book import usage_book
from pipelines.common import SETTINGS
from pipelines.customers import runtime_resource
from pipelines.executors import executor
from pipelines.jobs import (
    ANOMALY,
    CHURN,
    FORECAST,
    MONEY,
    TICKETS,
    alert_rules,
    import_file,
    ingest,
    make_reports,
    measure_savings,
    notify,
    predict,
    process_stream,
    read_stream_files,
    refresh_sims,
    rescore,
    score,
    send_actions,
    tidy,
    train,
)
from pipelines.run_logs import write_lines_as_set
from pipelines.schedules import (
    daily_predictions,
    daily_tidying,
    due_reports,
    due_training,
    hourly_ingest,
    hourly_rules,
    monthly_savings,
    timed_trainings,
)
from pipelines.sensors import (
    alert_outbox,
    critical_alerts,
    landing_folder,
    pipeline_watch,
    run_failures,
    stale_predictions,
    stream_arrivals,
    stream_files,
    stream_outage,
    waiting_actions,
)
from pipelines.steps import watch
from pipelines.terminal_logger import terminal
from resources.runtime import Runtime
from services.known_models import specs
from sql.columns import table_columns

# the daily run begins at 02:00 UTC: an hour or two late is worth a look, more is a fault
DAILY = dg.FreshnessPolicy.time_window(warn_window=timedelta(hours=26), fail_window=timedelta(hours=30))
# 1NCE is asked every hour: a pass or two that 1NCE did not answer are made up for by the next
HOURLY = dg.FreshnessPolicy.time_window(warn_window=timedelta(hours=4), fail_window=timedelta(hours=26))
MONTHLY = dg.FreshnessPolicy.time_window(warn_window=timedelta(days=33), fail_window=timedelta(days=40))
RETRAINED = {
    spec.asset: dg.FreshnessPolicy.time_window(
        warn_window=timedelta(days=spec.retrain_days + 2), fail_window=timedelta(days=spec.retrain_days + 9)
    )
    for spec in specs()
}
FRESH: dict[str, dg.FreshnessPolicy] = {
    **{asset.key.to_user_string(): HOURLY for asset in (*INGEST, usage_book)},
    **RETRAINED,
    realized_savings.key.to_user_string(): MONTHLY,
    raw_landings.key.to_user_string(): DAILY,
    kept_days.key.to_user_string(): DAILY,
    compressed_days.key.to_user_string(): DAILY,
    run_history.key.to_user_string(): DAILY,
}


def _as_shown(spec: dg.AssetSpec) -> dg.AssetSpec:
    """An asset with what the UI shows beside it: the columns of its table, and until when it counts as fresh.

    What comes when somebody sends it, files and records of the Data Streamer, is never late.
    """
    columns = table_columns(spec.metadata.get("dagster/table_name", ""))
    if columns:
        shown = [dg.TableColumn(one.name, type=one.type, description=one.comment) for one in columns]
        spec = spec.merge_attributes(metadata={"dagster/column_schema": dg.TableSchema(columns=shown)})
    policy = FRESH.get(spec.key.to_user_string()) or (DAILY if spec.partitions_def == AS_OF_DAYS else None)
    return dg.apply_freshness_policy(spec, policy) if policy else spec


ASSETS = dg.map_asset_specs(
    _as_shown,
    [
        *INGEST,
        imported_files,
        stream_records,
        stream_file_batches,
        usage_book,
        *FORECAST,
        *ANOMALY,
        *TICKETS,
        *CHURN,
        *MONEY,
        sim_lifecycle,
        alerts,
        alert_rules_evaluated,
        fleet_report,
        realized_savings,
        raw_landings,
        kept_days,
        compressed_days,
        run_history,
        period_reports,
    ],
)


def code_location(runtime: Runtime) -> dg.Definitions:
    """Everything of the code location, working with a given runtime."""
    asset_checks = [*checks(), forecasts_hold]
    watch(made.node_def for made in (*ASSETS, *asset_checks) if isinstance(made, dg.AssetsDefinition))
    watch(job.graph for job in (notify, refresh_sims, send_actions))
    return dg.Definitions(
        assets=ASSETS,
        asset_checks=asset_checks,
        jobs=[
            ingest,
            predict,
            train,
            score,
            rescore,
            import_file,
            process_stream,
            read_stream_files,
            tidy,
            measure_savings,
            make_reports,
            alert_rules,
            notify,
            refresh_sims,
            send_actions,
        ],
        schedules=[
            hourly_ingest,
            due_training,
            *timed_trainings,
            daily_predictions,
            daily_tidying,
            due_reports,
            hourly_rules,
            monthly_savings,
        ],
        sensors=[
            landing_folder,
            stale_predictions,
            stream_arrivals,
            stream_files,
            stream_outage,
            run_failures,
            pipeline_watch,
            alert_outbox,
            critical_alerts,
            waiting_actions,
        ],
        executor=executor(runtime.settings),
        loggers={"console": dg.colored_console_logger, "terminal": terminal},
        resources={
            "runtime": runtime_resource(runtime),
            IO_MANAGER: dg.IOManagerDefinition(
                lambda context: StagedValues(context.resources.runtime), required_resource_keys={"runtime"}
            ),
        },
    )


write_lines_as_set(SETTINGS)
defs = code_location(Runtime(SETTINGS))
