"""The jobs: which assets run together, and why."""

import dagster as dg

from assets.alerts import alert_rules_evaluated, alerts
from assets.anomalies import anomalies, anomaly_detector
from assets.churn import churn_model, churn_risks
from assets.common import AS_OF_DAYS, DAYS, RuntimeParam
from assets.exhaustion import exhaustion_backtested, quota_exhaustions
from assets.forecasting import aggregate_forecasts, forecast_drift, usage_forecaster, usage_forecasts, usage_history
from assets.imports import imported_files
from assets.ingest import INGEST, sim_usage
from assets.lifecycle import sim_lifecycle
from assets.maintenance import compressed_days, kept_days, raw_landings, run_history
from assets.quota import quota_policy, quota_recommendations, realized_savings
from assets.report import fleet_report, period_reports
from assets.stream import stream_file_batches, stream_records
from assets.tickets import ticket_classes, ticket_classifier
from assets.usage_book import usage_book
from services.actions.sending import send
from services.ingest.endpoints import EVENTS, QUOTA, STATUS, USAGE
from services.ingest.ingest_run import ingest_fleet
from services.known_models import specs
from services.notifications import outbox

alert_rules = dg.define_asset_job(
    "alert_rules",
    dg.AssetSelection.assets(alert_rules_evaluated),
    partitions_def=AS_OF_DAYS,
    description="Evaluate the alert rules as of a day (the partition), without scoring anything.",
)


@dg.op(description="Send the messages that are due; a channel that fails holds up no other.")
def send_due(context: dg.OpExecutionContext, runtime: RuntimeParam) -> None:
    done = outbox.notify(
        runtime.database,
        clock=runtime.clock,
        environ=outbox.environment(),
        data_note=runtime.data_note,
        api_url=runtime.settings.api_url,
    )
    context.log.info(", ".join(f"{name}: {count}" for name, count in done.items() if count) or "nothing was due")


@dg.job(
    description="Send the messages of alerts: one pass of the outbox, as `simsight notify`.",
    executor_def=dg.in_process_executor,  # a step of its own process would load everything first, and people wait
)
def notify() -> None:
    send_due()


@dg.op(
    description="Look for actions whose answer was lost, then send what is switched on, approved and within the caps.",
)
def send_what_waits(context: dg.OpExecutionContext, runtime: RuntimeParam) -> None:
    with runtime.account_turn():
        done = send(runtime.database, runtime.acting, runtime.settings, runtime.clock)
    context.log.info(", ".join(f"{name}: {count}" for name, count in done.items()) or "nothing was to be sent")
    if done.get("unclear"):  # a failed run is seen, and kept for downstream apps
        raise dg.Failure(
            f"{done['unclear']} actions are unclear: `simsight status` says what to do", allow_retries=False
        )


@dg.job(
    description="Send actions to 1NCE that people requested: one pass, as `simsight actions send`.",
    executor_def=dg.in_process_executor,
)
def send_actions() -> None:
    send_what_waits()


class Sims(dg.Config):
    """Whom to ask about."""

    sim_keys: list[int]


@dg.op(description="Ask 1NCE about some SIMs now: usage, quota, status and events.")
def ask_now(context: dg.OpExecutionContext, config: Sims, runtime: RuntimeParam) -> None:
    today = runtime.clock().date()
    for source in (USAGE, QUOTA, STATUS, EVENTS):
        with runtime.account_turn():
            result = ingest_fleet(
                runtime.database,
                runtime.once,
                source,
                first_day=today,
                last_day=today,
                clock=runtime.clock,
                only=set(config.sim_keys),
            )
        context.log.info(f"{source.name}: {result.metadata()}")


@dg.job(description="Ask 1NCE about the SIMs of new critical alerts at once, in place of waiting for the next pass.")
def refresh_sims() -> None:
    ask_now()


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
TICKETS = [ticket_classifier, ticket_classes]
CHURN = [churn_model, churn_risks]
QUOTA_DAILY = [quota_recommendations]
MONEY = [quota_policy, *QUOTA_DAILY]
TRAINING = dg.AssetSelection.assets(*(spec.asset for spec in specs()))

ingest_assets = dg.AssetSelection.assets(*INGEST, usage_book)
prediction_assets = dg.AssetSelection.assets(
    *FORECAST,
    *ANOMALY,
    *TICKETS,
    *CHURN,
    *MONEY,
    sim_lifecycle,
    alerts,
    alert_rules_evaluated,
    fleet_report,
)

ingest = dg.define_asset_job(
    "ingest",
    ingest_assets,
    partitions_def=DAYS,
    # what asks 1NCE goes one after the other in any case: a process a step would only load everything 23 times
    executor_def=dg.in_process_executor,
    description="Store everything 1NCE says about the fleet, with checks. The partition is the usage day; ranges are "
    "one run.",
)
# the checks of what is stored run first: a blocking one that fails stops the predictions that rest on it. Those of
# sim_usage belong to its own days; usage_history is checked in their stead
predict_assets = prediction_assets | dg.AssetSelection.checks_for_assets(
    *(asset for asset in INGEST if asset is not sim_usage), stream_records, usage_book
)
predict = dg.define_asset_job(
    "predict",
    predict_assets,
    partitions_def=AS_OF_DAYS,
    description="Train, score, alert and report as of a day (the partition), after checking the data they rest on.",
)
train = dg.define_asset_job(
    "train",
    dg.AssetSelection.assets(usage_history) | TRAINING,
    partitions_def=AS_OF_DAYS,
    description="Train every model as of a day (the partition) and decide whether each new version becomes champion.",
)
score = dg.define_asset_job(
    "score",
    predict_assets - TRAINING,
    partitions_def=AS_OF_DAYS,
    description="Score, alert and report as of a day (the partition) with the champion there is, after checking the "
    "data.",
)
rescore = dg.define_asset_job(
    "rescore",
    # totals and risks hardly move by a correction, and the next day's run takes it in: they are not worth minutes a day
    prediction_assets
    - TRAINING
    - dg.AssetSelection.assets(
        usage_history,
        exhaustion_backtested,
        sim_lifecycle,
        aggregate_forecasts,
        ticket_classes,
        churn_risks,
        # nobody acts on what was recommended as of a past day
        *QUOTA_DAILY,
    ),
    partitions_def=AS_OF_DAYS,
    description="Score, alert and report again as of a day or a range of days (one run), with the champion there is.",
)
measure_savings = dg.define_asset_job(
    "measure_savings",
    dg.AssetSelection.assets(realized_savings),
    description="Hold the recommendations of the month before against what came.",
)
make_reports = dg.define_asset_job(
    "make_reports",
    dg.AssetSelection.assets(period_reports),
    executor_def=dg.in_process_executor,
    description="Make the reports of periods that are due, and put them into the outbox.",
)
import_file = dg.define_asset_job(
    "import_file",
    dg.AssetSelection.assets(imported_files),
    description="Import one file of usage, SIMs, labels or tickets from the landing folder.",
)
tidy = dg.define_asset_job(
    "tidy",
    dg.AssetSelection.assets(raw_landings, kept_days, compressed_days, run_history),
    description="Delete what is kept long enough, and compress what is final where the server can.",
)
# without checks: they compare whole days with the system of record, which is for the daily job, not for every batch.
# In one process: that of a step would load everything first, and alerts wait for the records
process_stream = dg.define_asset_job(
    "process_stream",
    dg.AssetSelection.assets(stream_records, usage_book).without_checks(),
    executor_def=dg.in_process_executor,
    description="Turn pending records of the Data Streamer into rows, and into days of usage when a day has ended.",
)
read_stream_files = dg.define_asset_job(
    "read_stream_files",
    dg.AssetSelection.assets(stream_file_batches),
    description="Take stream records from the files of SIMSIGHT_STREAM_FILES that are new.",
)
