"""The Dagster code location: all assets, checks, jobs, schedules and sensors, and the runtime they share."""

from collections.abc import Iterator
from datetime import date, timedelta

import dagster as dg

from assets.alerts import alert_rules_evaluated, alerts
from assets.anomalies import anomalies, anomaly_detector
from assets.common import DAYS
from assets.exhaustion import exhaustion_backtested, quota_exhaustions
from assets.forecasting import (
    aggregate_forecasts,
    forecast_drift,
    forecasts_hold,
    usage_forecaster,
    usage_forecasts,
    usage_history,
)
from assets.imports import imported_files
from assets.ingest import INGEST, sim_usage
from assets.lifecycle import sim_lifecycle
from assets.maintenance import raw_landings
from assets.quality import checks
from assets.report import fleet_report
from assets.stream import stream_file_batches, stream_records
from pipelines.alerting import alert_outbox, alert_rules, critical_alerts, hourly_rules, notify, refresh_sims
from pipelines.common import RUNNING, SENSING, SETTINGS, as_of_day, under_way
from pipelines.progress import terminal
from pipelines.runs import day_range
from resources.registry import DETECTOR, FORECASTER
from resources.runtime import Runtime
from services.ingest.stream import watch_stream
from services.ingest.stream_files import new_files
from services.scoring import stale_days

FORECAST = [
    usage_history,
    usage_forecaster,
    usage_forecasts,
    exhaustion_backtested,
    quota_exhaustions,
    forecast_drift,
    aggregate_forecasts,
]
ANOMALY = [anomaly_detector, anomalies]
RETRAIN = timedelta(days=7)

ingest_assets = dg.AssetSelection.assets(*INGEST)
prediction_assets = dg.AssetSelection.assets(
    *FORECAST, *ANOMALY, sim_lifecycle, alerts, alert_rules_evaluated, fleet_report
)

ingest = dg.define_asset_job(
    "ingest",
    ingest_assets,
    partitions_def=DAYS,
    description="Everything 1NCE says about the fleet, with checks. The partition is the usage day; ranges are one run.",
)
# the checks of what is stored run first: a blocking one that fails stops the predictions that rest on it. Those of
# sim_usage belong to its own days; usage_history is checked in their stead
predict_assets = prediction_assets | dg.AssetSelection.checks_for_assets(
    *(asset for asset in INGEST if asset is not sim_usage), stream_records
)
predict = dg.define_asset_job(
    "predict",
    predict_assets,
    partitions_def=DAYS,
    description="Train, score, alert and report as of a day (the partition), after checking the data they rest on.",
)
train = dg.define_asset_job(
    "train",
    dg.AssetSelection.assets(usage_history, usage_forecaster, anomaly_detector),
    partitions_def=DAYS,
    description="Train forecaster and anomaly detector as of a day (the partition) and decide whether each becomes champion.",
)
score = dg.define_asset_job(
    "score",
    predict_assets - dg.AssetSelection.assets(usage_forecaster, anomaly_detector),
    partitions_def=DAYS,
    description="Score, alert and report as of a day (the partition) with the champion there is, after checking the data.",
)
rescore = dg.define_asset_job(
    "rescore",
    # totals hardly move by a correction, and the next day's run takes it in: they are not worth minutes a day
    prediction_assets
    - dg.AssetSelection.assets(
        usage_history, usage_forecaster, anomaly_detector, exhaustion_backtested, sim_lifecycle, aggregate_forecasts
    ),
    partitions_def=DAYS,
    description="Score, alert and report again as of a day or a range of days (one run), with the champion there is.",
)
import_file = dg.define_asset_job(
    "import_file",
    dg.AssetSelection.assets(imported_files),
    description="Import one file of usage, SIMs, labels or tickets from the landing folder.",
)
tidy = dg.define_asset_job(
    "tidy", dg.AssetSelection.assets(raw_landings), description="Delete what is kept long enough."
)
# its check compares whole days with the book: that is for the daily job, not for every batch. One process: that of a step would load
# everything first, and alerts wait for it
process_stream = dg.define_asset_job(
    "process_stream",
    dg.AssetSelection.assets(stream_records).without_checks(),
    executor_def=dg.in_process_executor,
    description="Turn the Data Streamer's records that wait into rows.",
)
read_stream_files = dg.define_asset_job(
    "read_stream_files",
    dg.AssetSelection.assets(stream_file_batches),
    description="Take stream records from the files of SIMSIGHT_STREAM_FILES that are new.",
)


@dg.schedule(
    job=ingest,
    cron_schedule="5 * * * *",
    execution_timezone="UTC",
    default_status=RUNNING,
    description="Ask 1NCE every hour; the usage of the last days is asked for again, since it may have been corrected.",
)
def hourly_ingest(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    return dg.RunRequest(partition_key=context.scheduled_execution_time.date().isoformat())


@dg.schedule(
    job=train,
    cron_schedule="0 1 * * *",
    execution_timezone="UTC",
    default_status=RUNNING,
    description="Train every week: at 01:00 UTC when the newest version of either model is a week old, or when there is none yet.",
)
def weekly_training(
    context: dg.ScheduleEvaluationContext, runtime: dg.ResourceParam[Runtime]
) -> dg.RunRequest | dg.SkipReason:
    as_of = as_of_day(context.scheduled_execution_time)
    learnt = [
        max((row["as_of"] for row in runtime.database.rows("model_versions", {"model_name": model})), default=date.min)
        for model in (FORECASTER, DETECTOR)
    ]
    newest = min(learnt)
    if as_of - newest < RETRAIN:
        return dg.SkipReason(f"the newest version knows the days up to {newest}")
    return dg.RunRequest(partition_key=as_of.isoformat())


@dg.schedule(
    job=score,
    cron_schedule="0 2 * * *",
    execution_timezone="UTC",
    default_status=RUNNING,
    description="Score, alert and report every day at 02:00 UTC, as of the last complete day.",
)
def daily_predictions(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    as_of = as_of_day(context.scheduled_execution_time)
    return dg.RunRequest(partition_key=as_of.isoformat())


@dg.schedule(
    job=tidy,
    cron_schedule="30 3 * * *",
    execution_timezone="UTC",
    default_status=RUNNING,
    description="Delete raw answers that are older than SIMSIGHT_RAW_DAYS, every day.",
)
def daily_tidying(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    return dg.RunRequest()


@dg.sensor(
    job=import_file,
    minimum_interval_seconds=30,
    default_status=SENSING,
    description="Start an import for every CSV, XLSX or Parquet file that arrives in the landing folder; a changed one is imported again.",
)
def landing_folder(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
    folder = SETTINGS.landing_folder
    found = False
    for path in sorted(path for ending in ("csv", "xlsx", "parquet") for path in folder.glob(f"[!~.]*.{ending}")):
        about = path.stat()
        # a file still being written changes its size: it is then another run key, and merging twice changes nothing
        found = True
        yield dg.RunRequest(
            run_key=f"{path.name}:{about.st_size}:{about.st_mtime_ns}",
            run_config=dg.RunConfig({"imported_files": {"config": {"path": path.name}}}),
        )
    if not found:
        yield dg.SkipReason(f"no CSV, XLSX or Parquet file in {folder}")


@dg.sensor(
    job=rescore,
    minimum_interval_seconds=300,
    default_status=SENSING,
    description="Compute again the as-of days whose predictions late corrections made stale, and only those; days in a row are one run.",
)
def stale_predictions(
    context: dg.SensorEvaluationContext, runtime: dg.ResourceParam[Runtime]
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    stale = stale_days(runtime)
    if not stale:
        yield dg.SkipReason("no prediction of the days looked at is stale")
    for first, last, mark in stale:
        yield dg.RunRequest(run_key=f"{first} {last} {mark.isoformat()}", tags=day_range(first, last))


@dg.sensor(
    job=process_stream,
    minimum_interval_seconds=15,
    default_status=SENSING,
    description="Process the Data Streamer's records when some wait, or when a SIM they waited for is listed; one run at a time.",
)
def stream_arrivals(
    context: dg.SensorEvaluationContext, runtime: dg.ResourceParam[Runtime]
) -> dg.RunRequest | dg.SkipReason:
    if under_way(context, "process_stream"):
        return dg.SkipReason("a run is under way")
    work = runtime.database.row("stream_work") or {}
    if any(work.values()):
        return dg.RunRequest()
    return dg.SkipReason("nothing waits")


@dg.sensor(
    job=read_stream_files,
    minimum_interval_seconds=60,
    default_status=SENSING,
    description="Read files of stream records that are new in SIMSIGHT_STREAM_FILES, a folder or bucket; one run at a time.",
)
def stream_files(
    context: dg.SensorEvaluationContext, runtime: dg.ResourceParam[Runtime]
) -> dg.RunRequest | dg.SkipReason:
    where = runtime.settings.stream_files
    if where is None:
        return dg.SkipReason("SIMSIGHT_STREAM_FILES is not set")
    if under_way(context, "read_stream_files"):
        return dg.SkipReason("a run is under way")
    if new_files(runtime.database, where):
        return dg.RunRequest()
    return dg.SkipReason(f"no new file in {where}")


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=SENSING,
    description="Open an incident when a stream that used to deliver delivers nothing, and close it when it does again.",
)
def stream_outage(context: dg.SensorEvaluationContext, runtime: dg.ResourceParam[Runtime]) -> dg.SkipReason:
    return dg.SkipReason(watch_stream(runtime.database, now=runtime.clock()) or "no stream is out")


@dg.run_failure_sensor(
    default_status=SENSING,
    description="Write every failed run to ops.run_failures, where `simsight status` and downstream apps see it.",
)
def run_failures(context: dg.RunFailureSensorContext, runtime: dg.ResourceParam[Runtime]) -> None:
    runtime.database.rows(
        "record_run_failure",
        {
            "run_id": context.dagster_run.run_id,
            "job": context.dagster_run.job_name,
            "now": runtime.clock(),
            "message": _why(context)[:500],
        },
    )


def _why(context: dg.RunFailureSensorContext) -> str:
    """What went wrong in each step that failed, or else what Dagster says of the run."""
    causes = []
    for event in context.get_step_failure_events():
        error = event.step_failure_data.error
        while error is not None and error.cause is not None:
            error = error.cause
        if error is not None:
            causes.append(f"{event.step_key}: {error.message.strip().splitlines()[0]}")
    return "; ".join(causes) or (context.failure_event.message or "no message").splitlines()[0]


def code_location(runtime: Runtime) -> dg.Definitions:
    """Everything of the code location, working with a given runtime."""
    return dg.Definitions(
        assets=[
            *INGEST,
            imported_files,
            stream_records,
            stream_file_batches,
            *FORECAST,
            *ANOMALY,
            sim_lifecycle,
            alerts,
            alert_rules_evaluated,
            fleet_report,
            raw_landings,
        ],
        asset_checks=[*checks(), forecasts_hold],
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
            alert_rules,
            notify,
            refresh_sims,
        ],
        schedules=[hourly_ingest, weekly_training, daily_predictions, daily_tidying, hourly_rules],
        sensors=[
            landing_folder,
            stale_predictions,
            stream_arrivals,
            stream_files,
            stream_outage,
            run_failures,
            alert_outbox,
            critical_alerts,
        ],
        # a step is a process: forked from one that has imported everything, it need not import it again
        executor=dg.multiprocess_executor.configured(
            {
                "start_method": {
                    "forkserver": {
                        "preload_modules": ["pipelines.definitions", "mlflow", "matplotlib.figure", "lightgbm"]
                    }
                }
            }
        ),
        loggers={"console": dg.colored_console_logger, "terminal": terminal},
        resources={"runtime": runtime},
    )


defs = code_location(Runtime(SETTINGS))
