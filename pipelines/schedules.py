"""What runs by the clock."""

from collections.abc import Iterable, Iterator
from datetime import date

import dagster as dg

from pipelines.common import RUNNING, as_of_day, described
from pipelines.customers import INGEST, Requested, for_each
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
def hourly_rules(context: dg.ScheduleEvaluationContext, runtime: dg.ResourceParam[Runtime]) -> Requested:
    as_of = as_of_day(runtime, context.scheduled_execution_time)
    return for_each(context, runtime, lambda _: [dg.RunRequest(partition_key=as_of.isoformat())])


@dg.schedule(
    job=ingest,
    cron_schedule="5 * * * *",
    execution_timezone="UTC",
    default_status=RUNNING,
    description=described(
        "Ask 1NCE every hour; the usage of the last days is asked for again, since it may have been corrected."
    ),
)
def hourly_ingest(context: dg.ScheduleEvaluationContext, runtime: dg.ResourceParam[Runtime]) -> Requested:
    day = context.scheduled_execution_time.date().isoformat()
    return for_each(
        context,
        runtime,
        lambda customer: [dg.RunRequest(partition_key=day, tags={INGEST: customer.settings.organization})],
    )


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
def due_training(context: dg.ScheduleEvaluationContext, runtime: dg.ResourceParam[Runtime]) -> Requested:
    as_of = as_of_day(runtime, context.scheduled_execution_time)
    return for_each(context, runtime, lambda customer: [_due_training(customer, as_of)])


def _due_training(runtime: Runtime, as_of: date) -> dg.RunRequest | dg.SkipReason:
    """A run that trains the models of an organization that are due."""
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
    def training(context: dg.ScheduleEvaluationContext, runtime: dg.ResourceParam[Runtime]) -> Requested:
        wanted = _training(as_of_day(runtime, context.scheduled_execution_time), models)
        return for_each(context, runtime, lambda _: [wanted])

    return training


timed_trainings = [_training_at(cron) for cron in sorted({spec.cron for spec in specs() if spec.cron})]


@dg.schedule(
    job=score,
    cron_schedule="0 2 * * *",
    execution_timezone="UTC",
    default_status=RUNNING,
    description=described("Score, alert and report every day at 02:00 UTC, as of the last complete day."),
)
def daily_predictions(context: dg.ScheduleEvaluationContext, runtime: dg.ResourceParam[Runtime]) -> Requested:
    as_of = as_of_day(runtime, context.scheduled_execution_time)
    return for_each(context, runtime, lambda _: [dg.RunRequest(partition_key=as_of.isoformat())])


@dg.schedule(
    job=make_reports,
    cron_schedule="*/15 * * * *",
    execution_timezone="UTC",
    default_status=RUNNING,
    description=described(
        "Make the reports of periods that are due (simsight reports schedule); looked at every 15 minutes."
    ),
)
def due_reports(context: dg.ScheduleEvaluationContext, runtime: dg.ResourceParam[Runtime]) -> Requested:
    def asked(customer: Runtime) -> Iterator[dg.RunRequest | dg.SkipReason]:
        yield dg.RunRequest() if what_is_due(customer) else dg.SkipReason("no report is due")

    return for_each(context, runtime, asked)


@dg.schedule(
    job=tidy,
    cron_schedule="30 3 * * *",
    execution_timezone="UTC",
    default_status=RUNNING,
    description=described("Delete what is kept long enough and compress what is final, every day."),
)
def daily_tidying(context: dg.ScheduleEvaluationContext, runtime: dg.ResourceParam[Runtime]) -> Requested:
    return for_each(context, runtime, lambda _: [dg.RunRequest()])


@dg.schedule(
    job=measure_savings,
    cron_schedule="30 4 2 * *",
    execution_timezone="UTC",
    default_status=RUNNING,
    description=described("Hold the recommendations of the month before against what came, on the 2nd of each month."),
)
def monthly_savings(context: dg.ScheduleEvaluationContext, runtime: dg.ResourceParam[Runtime]) -> Requested:
    return for_each(context, runtime, lambda _: [dg.RunRequest()])
