"""What runs because something happened."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluation
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from pipelines.common import SENSING, UNDER_WAY, cause, day_range, described
from pipelines.customers import Requested, for_each, one_by_one, organization_of, under_way
from pipelines.jobs import (
    Sims,
    import_file,
    notify,
    process_stream,
    read_stream_files,
    refresh_sims,
    rescore,
    send_actions,
)
from resources.files.formats import FORMATS
from resources.runtime import Runtime
from services.actions.sending import waits
from services.ingest.file_schemas import FILE_SCHEMAS
from services.ingest.stream import watch_stream
from services.ingest.stream_files import new_files
from services.notifications import outbox
from services.pipeline_watch import note_pipeline
from services.scoring import invalidated_days

MAX_REFRESHED_SIMS = 200  # SIMs a run: under two minutes at 10 requests/s


@dg.sensor(
    job=notify,
    minimum_interval_seconds=10,
    default_status=SENSING,
    description=described("Put new messages into the outbox and start a sender when some are due; one run at a time."),
)
def alert_outbox(context: dg.SensorEvaluationContext, runtime: dg.ResourceParam[Runtime]) -> Requested:
    def asked(customer: Runtime) -> Iterator[dg.RunRequest | dg.SkipReason]:
        if under_way(context, "notify", customer, runtime):
            yield dg.SkipReason("a sender is under way")
            return
        outbox.plan(customer.database, now=customer.clock())
        due = outbox.due(customer.database, now=customer.clock())
        yield dg.RunRequest() if due else dg.SkipReason("nothing is due")

    return for_each(context, runtime, asked)


@dg.sensor(
    job=send_actions,
    minimum_interval_seconds=60,
    default_status=SENSING,
    description=described(
        "Start a sender when an action may be sent, or the answer to one was lost; one run at a time."
    ),
)
def waiting_actions(context: dg.SensorEvaluationContext, runtime: dg.ResourceParam[Runtime]) -> Requested:
    def asked(customer: Runtime) -> Iterator[dg.RunRequest | dg.SkipReason]:
        if under_way(context, "send_actions", customer, runtime):
            yield dg.SkipReason("a sender is under way")
            return
        due = waits(customer.database, customer.settings, customer.clock())
        yield dg.RunRequest() if due else dg.SkipReason("nothing is to be sent")

    return for_each(context, runtime, asked)


@dg.sensor(
    job=refresh_sims,
    minimum_interval_seconds=60,
    default_status=SENSING,
    description=described(
        "Ask 1NCE about a SIM now when an alert of it becomes critical and its data is older than ten minutes."
    ),
)
def critical_alerts(
    context: dg.SensorEvaluationContext, runtime: dg.ResourceParam[Runtime]
) -> dg.SensorResult | dg.SkipReason:
    seen = _last_seen(context.cursor, runtime.settings.organization)
    looked: list[str] = []

    def asked(customer: Runtime) -> Iterator[dg.RunRequest | dg.SkipReason]:
        if customer.settings.once_username is None:
            yield dg.SkipReason("no 1NCE account is set")
            return
        name = customer.settings.organization
        values = {"after": seen.get(name, 0), "now": customer.clock(), "rows": MAX_REFRESHED_SIMS}
        found = customer.database.row("critical_sims", values)
        assert found is not None
        seen[name] = found["last"]
        looked.append(name)
        if not found["sim_keys"]:
            yield dg.SkipReason("no new critical alert of a SIM")
            return
        config = dg.RunConfig({"ask_now": Sims(sim_keys=found["sim_keys"])})
        yield dg.RunRequest(run_key=f"critical up to {found['last']}", run_config=config)

    said = for_each(context, runtime, asked)
    if isinstance(said, dg.SkipReason) and not looked:
        return said
    return dg.SensorResult(
        run_requests=[one for one in one_by_one(said) if isinstance(one, dg.RunRequest)],
        skip_reason=said if isinstance(said, dg.SkipReason) else None,
        cursor=json.dumps(seen),
    )


def _last_seen(cursor: str | None, organization: str) -> dict[str, int]:
    """The last alert of each organization that was looked at; a number alone is of a deployment of one organization."""
    found = json.loads(cursor or "{}")
    return found if isinstance(found, dict) else {organization: int(found)}


@dg.sensor(
    job=import_file,
    minimum_interval_seconds=30,
    default_status=SENSING,
    description=described(
        "Start an import for every CSV, XLSX or Parquet file that arrives in the landing folder; a changed one "
        "is imported again."
    ),
)
def landing_folder(
    context: dg.SensorEvaluationContext, runtime: dg.ResourceParam[Runtime]
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    said: list[str] = []

    def asked(customer: Runtime) -> Iterator[dg.RunRequest | dg.SkipReason]:
        folder = customer.settings.landing_folder
        files = sorted(path for path in folder.glob("[!~.]*") if path.is_file()) if folder.is_dir() else []
        tables = [path for path in files if path.suffix.lower().removeprefix(".") in FORMATS]
        for path in tables:
            about = path.stat()
            # a file still being written changes its size: it is then another run key, and merging twice changes nothing
            yield dg.RunRequest(
                run_key=f"{path.name}:{about.st_size}:{about.st_mtime_ns}",
                run_config=dg.RunConfig({"imported_files": {"config": {"path": path.name}}}),
            )
        of_it = [
            f"{path.name} is not imported: its name does not end with .csv, .xlsx or .parquet"
            for path in files
            if path not in tables
        ] + [
            f"{path.name} is imported as usage: its name begins with none of {', '.join(FILE_SCHEMAS)}"
            for path in tables
            if not path.name.lower().startswith(tuple(FILE_SCHEMAS))
        ]
        said.extend(of_it)
        if not tables:
            yield dg.SkipReason("; ".join([f"no CSV, XLSX or Parquet file in {folder}", *of_it]))

    requested = for_each(context, runtime, asked)
    before = set(json.loads(context.cursor)) if context.cursor else set()
    for message in said:
        if message not in before:  # once, not every 30 seconds
            context.log.warning(message)
    if set(said) != before:
        context.update_cursor(json.dumps(said))
    yield from one_by_one(requested)


@dg.sensor(
    job=rescore,
    minimum_interval_seconds=300,
    default_status=SENSING,
    description=described(
        "Compute again the as-of days whose predictions late corrections made stale, and only those; days in a "
        "row are one run."
    ),
)
def stale_predictions(
    context: dg.SensorEvaluationContext, runtime: dg.ResourceParam[Runtime]
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    def asked(customer: Runtime) -> Iterator[dg.RunRequest | dg.SkipReason]:
        stale = invalidated_days(customer)
        if not stale:
            yield dg.SkipReason("no prediction of the days looked at is stale")
        for first, last, mark in stale:
            yield dg.RunRequest(run_key=f"{first} {last} {mark.isoformat()}", tags=day_range(first, last))

    yield from one_by_one(for_each(context, runtime, asked))


@dg.sensor(
    job=process_stream,
    minimum_interval_seconds=15,
    default_status=SENSING,
    description=described(
        "Process pending records of the Data Streamer, also when a SIM they were kept for is listed; one run at a time."
    ),
)
def stream_arrivals(context: dg.SensorEvaluationContext, runtime: dg.ResourceParam[Runtime]) -> Requested:
    def asked(customer: Runtime) -> Iterator[dg.RunRequest | dg.SkipReason]:
        if under_way(context, "process_stream", customer, runtime):
            yield dg.SkipReason("a run is under way")
            return
        work = customer.database.row("stream_work") or {}
        yield dg.RunRequest() if any(work.values()) else dg.SkipReason("nothing is pending")

    return for_each(context, runtime, asked)


@dg.sensor(
    job=read_stream_files,
    minimum_interval_seconds=60,
    default_status=SENSING,
    description=described(
        "Read new files of stream records in SIMSIGHT_STREAM_FILES, a folder or bucket; one run at a time."
    ),
)
def stream_files(context: dg.SensorEvaluationContext, runtime: dg.ResourceParam[Runtime]) -> Requested:
    def asked(customer: Runtime) -> Iterator[dg.RunRequest | dg.SkipReason]:
        where = customer.settings.stream_files
        if where is None:
            yield dg.SkipReason("SIMSIGHT_STREAM_FILES is not set")
        elif under_way(context, "read_stream_files", customer, runtime):
            yield dg.SkipReason("a run is under way")
        else:
            is_new = new_files(customer.database, where)
            yield dg.RunRequest() if is_new else dg.SkipReason(f"no new file in {where}")

    return for_each(context, runtime, asked)


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=SENSING,
    description=described(
        "Open an incident when a stream that used to deliver delivers nothing; close it when it does again."
    ),
)
def stream_outage(context: dg.SensorEvaluationContext, runtime: dg.ResourceParam[Runtime]) -> Requested:
    return for_each(
        context,
        runtime,
        lambda customer: [dg.SkipReason(watch_stream(customer.database, now=customer.clock()) or "no stream is out")],
    )


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=SENSING,
    description=described(
        "Write runs under way and failed checks to ops.pipeline_watch, where the HTTP service's /metrics finds them."
    ),
)
def pipeline_watch(context: dg.SensorEvaluationContext, runtime: dg.ResourceParam[Runtime]) -> Requested:
    records = context.instance.get_run_records(dg.RunsFilter(statuses=UNDER_WAY))
    failed = Counter(_failed_checks(context, runtime))

    def asked(customer: Runtime) -> Iterator[dg.SkipReason]:
        name = customer.settings.organization
        runs = [
            (record.dagster_run.job_name, record.create_timestamp.replace(tzinfo=UTC))
            for record in records
            if organization_of(record.dagster_run, runtime) == name
        ]
        blocking, other = failed[name, True], failed[name, False]
        note_pipeline(customer, runs, other, blocking)
        yield dg.SkipReason(f"{len(runs)} runs under way; failed checks: {blocking} blocking, {other} other")

    return for_each(context, runtime, asked)


def _failed_checks(context: dg.SensorEvaluationContext, base: Runtime) -> Iterator[tuple[str, bool]]:
    """Of each check whose last execution failed: for which organization, and whether it stops what follows."""
    if context.repository_def is None:
        return
    keys = sorted(context.repository_def.asset_graph.asset_check_keys)
    for found in context.instance.event_log_storage.get_latest_asset_check_execution_by_key(keys).values():
        if found.status == AssetCheckExecutionRecordStatus.FAILED:
            run = context.instance.get_run_by_id(found.run_id)
            whose = organization_of(run, base) if run else base.settings.organization
            seen = found.event.dagster_event.event_specific_data if found.event and found.event.dagster_event else None
            if isinstance(seen, AssetCheckEvaluation):
                yield whose, bool(seen.blocking) and seen.severity == dg.AssetCheckSeverity.ERROR
            else:  # it came to no result, which stops what follows too
                yield whose, True


@dg.run_failure_sensor(
    default_status=SENSING,
    description=described(
        "Write every failed run, with what went wrong, to ops.run_failures, where downstream apps see it."
    ),
)
def run_failures(context: dg.RunFailureSensorContext, runtime: dg.ResourceParam[Runtime]) -> None:
    customer = runtime.plain_for(organization_of(context.dagster_run, runtime))
    customer.database.rows(
        "record_run_failure",
        {
            "run_id": context.dagster_run.run_id,
            "job": context.dagster_run.job_name,
            "now": runtime.clock(),
            "message": _why(context)[:500],
        },
    )
    if customer is not runtime:
        customer.close()


def _why(context: dg.RunFailureSensorContext) -> str:
    """Return the cause of each step's failure, or else Dagster's message about the run."""
    causes = [
        f"{event.step_key}: {cause(error).splitlines()[0]}"
        for event in context.get_step_failure_events()
        if (error := event.step_failure_data.error)
    ]
    return "; ".join(causes) or (context.failure_event.message or "no message").splitlines()[0]
