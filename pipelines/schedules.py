"""What runs by the clock."""

from datetime import date, timedelta

import dagster as dg

from pipelines.common import RUNNING, as_of_day
from pipelines.jobs import alert_rules, ingest, score, tidy, train
from resources.runtime import Runtime
from services.known_models import specs

RETRAIN = timedelta(days=7)


@dg.schedule(
    job=alert_rules,
    cron_schedule="35 * * * *",
    execution_timezone="UTC",
    default_status=RUNNING,
    description="Evaluate the alert rules every hour as of the last complete day: late data and new rules count the "
    "same day.",
)
def hourly_rules(context: dg.ScheduleEvaluationContext, runtime: dg.ResourceParam[Runtime]) -> dg.RunRequest:
    return dg.RunRequest(partition_key=as_of_day(runtime, context.scheduled_execution_time).isoformat())


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
    description="Train every week: at 01:00 UTC when the newest version of a model is a week old, or when there is "
    "none yet.",
)
def weekly_training(
    context: dg.ScheduleEvaluationContext, runtime: dg.ResourceParam[Runtime]
) -> dg.RunRequest | dg.SkipReason:
    as_of = as_of_day(runtime, context.scheduled_execution_time)
    newest = min(
        max(
            (row["as_of"] for row in runtime.database.rows("model_versions", {"model_name": spec.name})),
            default=date.min,
        )
        for spec in specs()
    )
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
def daily_predictions(context: dg.ScheduleEvaluationContext, runtime: dg.ResourceParam[Runtime]) -> dg.RunRequest:
    as_of = as_of_day(runtime, context.scheduled_execution_time)
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
