"""The Dagster code location: all assets, checks, jobs, schedules and sensors, and the runtime they share."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta

import dagster as dg

from assets.alerts import alerts
from assets.common import DAYS
from assets.files import imported_usage
from assets.forecast import FORECAST
from assets.ingest import INGEST, sim_usage
from assets.lifecycle import sim_lifecycle
from assets.maintenance import raw_landings
from assets.quality import checks
from assets.report import fleet_report
from pipelines.progress import terminal
from resources.runtime import Runtime
from resources.settings import load_settings

SETTINGS = load_settings()
RUNNING = dg.DefaultScheduleStatus.RUNNING if SETTINGS.schedules else dg.DefaultScheduleStatus.STOPPED
SENSING = dg.DefaultSensorStatus.RUNNING if SETTINGS.schedules else dg.DefaultSensorStatus.STOPPED

ingest_assets = dg.AssetSelection.assets(*INGEST)
prediction_assets = dg.AssetSelection.assets(*FORECAST, alerts, sim_lifecycle, fleet_report)

ingest = dg.define_asset_job(
    "ingest",
    ingest_assets,
    partitions_def=DAYS,
    description="Everything 1NCE says about the fleet, with checks. The partition is the usage day; ranges are one run.",
)
predict = dg.define_asset_job(
    "predict",
    # the checks of what is stored run first: a blocking one that fails stops the predictions that rest on it. Those of
    # sim_usage belong to its own days; usage_history is checked in their stead
    prediction_assets | dg.AssetSelection.checks_for_assets(*(asset for asset in INGEST if asset is not sim_usage)),
    partitions_def=DAYS,
    description="Train, score, alert and report as of a day (the partition), after checking the data they rest on.",
)
import_file = dg.define_asset_job(
    "import_file",
    dg.AssetSelection.assets(imported_usage),
    description="Import one usage file from the landing folder.",
)
tidy = dg.define_asset_job(
    "tidy", dg.AssetSelection.assets(raw_landings), description="Delete what is kept long enough."
)


def as_of_day(now: datetime, lateness_days: int) -> date:
    """The last complete day at a time."""
    return now.date() - timedelta(days=1 + lateness_days)


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
    job=predict,
    cron_schedule="0 2 * * *",
    execution_timezone="UTC",
    default_status=RUNNING,
    description="Train, score, alert and report every day at 02:00 UTC, as of the last complete day.",
)
def daily_predictions(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    as_of = as_of_day(context.scheduled_execution_time, SETTINGS.lateness_days)
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
    description="Start an import for every CSV file that arrives in the landing folder; a file that changes is imported again.",
)
def landing_folder(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
    folder = SETTINGS.landing_folder
    found = False
    for path in sorted(folder.glob("*.csv")):
        about = path.stat()
        # a file still being written changes its size: it is then another run key, and merging twice changes nothing
        found = True
        yield dg.RunRequest(
            run_key=f"{path.name}:{about.st_size}:{about.st_mtime_ns}",
            run_config=dg.RunConfig({"imported_usage": {"config": {"path": path.name}}}),
        )
    if not found:
        yield dg.SkipReason(f"no CSV file in {folder}")


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
        assets=[*INGEST, imported_usage, *FORECAST, alerts, sim_lifecycle, fleet_report, raw_landings],
        asset_checks=list(checks()),
        jobs=[ingest, predict, import_file, tidy],
        schedules=[hourly_ingest, daily_predictions, daily_tidying],
        sensors=[landing_folder, run_failures],
        loggers={"console": dg.colored_console_logger, "terminal": terminal},
        resources={"runtime": runtime},
    )


defs = code_location(Runtime(SETTINGS))
