"""What runs by the clock."""

from collections.abc import Iterable
from datetime import date

import dagster as dg

from pipelines.common import RUNNING, as_of_day, described
from pipelines.jobs import alert_rules, ingest, make_reports, measure_savings, score, tidy, train
from resources.runtime import Runtime
from services.known_models import specs
from services.model_specs import ModelSpec
from services.reports.schedules import what_is_due


@dg.schedule(
    job=alert_rules,
    cron_schedule="35 * * * *",
    execution_timezone="UTC",
    default_status=RUNNING,
    description=described(
        "Evaluate the alert rules every hour as of the last complete day: late data and new rules count the same day."
    ),
)
def hourly_rules(context: dg.ScheduleEvaluationContext, runtime: dg.ResourceParam[Runtime]) -> dg.RunRequest:
    return dg.RunRequest(partition_key=as_of_day(runtime, context.scheduled_execution_time).isoformat())


@dg.schedule(
    job=ingest,
    cron_schedule="5 * * * *",
    execution_timezone="UTC",
    default_status=RUNNING,
    description=described(
        "Ask 1NCE every hour; the usage of the last days is asked for again, since it may have been corrected."
    ),
)
def hourly_ingest(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    return dg.RunRequest(partition_key=context.scheduled_execution_time.date().isoformat())


def _training(as_of: date, models: Iterable[ModelSpec]) -> dg.RunRequest:
    """A run that trains some models, and nothing else, as of a day."""
    assets = [dg.AssetKey("usage_history"), *(dg.AssetKey(spec.asset) for spec in models)]
    return dg.RunRequest(partition_key=as_of.isoformat(), asset_selection=assets)


@dg.schedule(
    job=train,
    cron_schedule="0 1 * * *",
    execution_timezone="UTC",
    default_status=RUNNING,
    description=described(
        "Look at 01:00 UTC which models are due, and train these: of which there is none yet, and whose newest "
        "version is too old (a week; a month for what is trained monthly)."
    ),
)
def due_training(
    context: dg.ScheduleEvaluationContext, runtime: dg.ResourceParam[Runtime]
) -> dg.RunRequest | dg.SkipReason:
    as_of = as_of_day(runtime, context.scheduled_execution_time)
    due, known = [], {}
    for spec in specs():
        versions = runtime.database.rows("model_versions", {"model_name": spec.name})
        known[spec.name] = max((row["as_of"] for row in versions), default=date.min)
        if (as_of - known[spec.name]).days >= spec.retrain_days:
            due.append(spec)
    if not due:
        newest = ", ".join(f"{name} knows the days up to {day}" for name, day in known.items())
        return dg.SkipReason(f"no model is due: {newest}")
    return _training(as_of, due)


def _training_at(cron: str) -> dg.ScheduleDefinition:
    """A schedule that trains the models whose time this is."""
    models = [spec for spec in specs() if spec.cron == cron]

    @dg.schedule(
        name="_and_".join(spec.asset for spec in models) + "_training",
        job=train,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=RUNNING,
        description=described(f"Train {' and '.join(spec.name for spec in models)}, whatever its age."),
    )
    def training(context: dg.ScheduleEvaluationContext, runtime: dg.ResourceParam[Runtime]) -> dg.RunRequest:
        return _training(as_of_day(runtime, context.scheduled_execution_time), models)

    return training


timed_trainings = [_training_at(cron) for cron in sorted({spec.cron for spec in specs() if spec.cron})]


@dg.schedule(
    job=score,
    cron_schedule="0 2 * * *",
    execution_timezone="UTC",
    default_status=RUNNING,
    description=described("Score, alert and report every day at 02:00 UTC, as of the last complete day."),
)
def daily_predictions(context: dg.ScheduleEvaluationContext, runtime: dg.ResourceParam[Runtime]) -> dg.RunRequest:
    as_of = as_of_day(runtime, context.scheduled_execution_time)
    return dg.RunRequest(partition_key=as_of.isoformat())


@dg.schedule(
    job=make_reports,
    cron_schedule="*/15 * * * *",
    execution_timezone="UTC",
    default_status=RUNNING,
    description=described(
        "Make the reports of periods that are due (simsight reports schedule); looked at every 15 minutes."
    ),
)
def due_reports(
    context: dg.ScheduleEvaluationContext, runtime: dg.ResourceParam[Runtime]
) -> dg.RunRequest | dg.SkipReason:
    due = what_is_due(runtime)
    return dg.RunRequest() if due else dg.SkipReason("no report is due")


@dg.schedule(
    job=tidy,
    cron_schedule="30 3 * * *",
    execution_timezone="UTC",
    default_status=RUNNING,
    description=described("Delete what is kept long enough and compress what is final, every day."),
)
def daily_tidying(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    return dg.RunRequest()


@dg.schedule(
    job=measure_savings,
    cron_schedule="30 4 2 * *",
    execution_timezone="UTC",
    default_status=RUNNING,
    description=described("Hold the recommendations of the month before against what came, on the 2nd of each month."),
)
def monthly_savings(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    return dg.RunRequest()
