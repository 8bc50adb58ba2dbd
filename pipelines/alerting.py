"""Jobs, schedule and sensors that see to alerts: rules every hour, messages as they are due, fresh data for what is critical."""

import dagster as dg

from assets.alerts import alert_rules_evaluated
from assets.common import DAYS, RuntimeParam
from assets.ingest import POOL
from pipelines.common import RUNNING, SENSING, as_of_day, under_way
from resources.runtime import Runtime
from services.ingest.endpoints import EVENTS, QUOTA, STATUS, USAGE
from services.ingest.ingest_run import land_fleet
from services.notifications import outbox as notifier

MOST_REFRESHED = 200  # SIMs a run: under two minutes at 10 requests/s

alert_rules = dg.define_asset_job(
    "alert_rules",
    dg.AssetSelection.assets(alert_rules_evaluated),
    partitions_def=DAYS,
    description="Evaluate the alert rules as of a day (the partition), without scoring anything.",
)


@dg.op(description="Send the messages that are due; a channel that fails holds up no other.")
def send_due(context: dg.OpExecutionContext, runtime: RuntimeParam) -> None:
    done = notifier.notify(
        runtime.database, clock=runtime.clock, environ=notifier.environment(), data_note=runtime.data_note
    )
    context.log.info(", ".join(f"{name}: {count}" for name, count in done.items() if count) or "nothing was due")


@dg.job(
    description="Tell people and programs of alerts: one pass of the outbox, as `simsight notify`.",
    executor_def=dg.in_process_executor,  # a step of its own process would load everything first, and people wait
)
def notify() -> None:
    send_due()


class Sims(dg.Config):
    """Whom to ask about."""

    sim_keys: list[int]


@dg.op(pool=POOL, description="Ask 1NCE about some SIMs now: usage, quota, status and events.")
def ask_now(context: dg.OpExecutionContext, config: Sims, runtime: RuntimeParam) -> None:
    today = runtime.clock().date()
    for source in (USAGE, QUOTA, STATUS, EVENTS):
        landed = land_fleet(
            runtime.database,
            runtime.once,
            source,
            first_day=today,
            last_day=today,
            clock=runtime.clock,
            only=set(config.sim_keys),
        )
        context.log.info(f"{source.name}: {landed.metadata()}")


@dg.job(description="Ask 1NCE about the SIMs of new critical alerts at once, in place of waiting for the next pass.")
def refresh_sims() -> None:
    ask_now()


@dg.schedule(
    job=alert_rules,
    cron_schedule="35 * * * *",
    execution_timezone="UTC",
    default_status=RUNNING,
    description="Evaluate the alert rules every hour as of the last complete day: late data and new rules count the same day.",
)
def hourly_rules(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    return dg.RunRequest(partition_key=as_of_day(context.scheduled_execution_time).isoformat())


@dg.sensor(
    job=notify,
    minimum_interval_seconds=10,
    default_status=SENSING,
    description="Put new messages into the outbox and start a sender when some are due; one run at a time.",
)
def alert_outbox(
    context: dg.SensorEvaluationContext, runtime: dg.ResourceParam[Runtime]
) -> dg.RunRequest | dg.SkipReason:
    if under_way(context, "notify"):
        return dg.SkipReason("a sender is under way")
    notifier.plan(runtime.database, now=runtime.clock())
    due = notifier.due(runtime.database, now=runtime.clock())
    return dg.RunRequest() if due else dg.SkipReason("nothing is due")


@dg.sensor(
    job=refresh_sims,
    minimum_interval_seconds=60,
    default_status=SENSING,
    description="When an alert of a SIM becomes critical and its data is older than ten minutes, ask 1NCE about the SIM now.",
)
def critical_alerts(
    context: dg.SensorEvaluationContext, runtime: dg.ResourceParam[Runtime]
) -> dg.SensorResult | dg.SkipReason:
    if runtime.settings.once_username is None:
        return dg.SkipReason("no 1NCE account is set")
    found = runtime.database.row(
        "critical_sims", {"after": int(context.cursor or 0), "now": runtime.clock(), "rows": MOST_REFRESHED}
    )
    assert found is not None
    requests = []
    if found["sim_keys"]:
        config = dg.RunConfig({"ask_now": Sims(sim_keys=found["sim_keys"])})
        requests.append(dg.RunRequest(run_key=f"critical up to {found['last']}", run_config=config))
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests else dg.SkipReason("no new critical alert of a SIM"),
        cursor=str(found["last"]),
    )
