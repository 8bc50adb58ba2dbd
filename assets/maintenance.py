"""What keeps the database from growing without end."""

import time
from datetime import datetime, timedelta

import dagster as dg

from assets.common import OWNERS, RuntimeParam
from services.models import purge_runs
from services.reports.kept import forget_old
from services.retention import purge_days

RETRIED_WITHIN_S = 86_400
RUNS_A_NIGHT = 5_000
FINISHED_STATUSES = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


@dg.asset(group_name="maintenance", kinds={"postgres"}, owners=OWNERS, metadata={"dagster/table_name": "raw.landings"})
def raw_landings(context: dg.AssetExecutionContext, runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """Raw responses and files, kept for SIMSIGHT_RAW_DAYS; older ones are deleted here.

    What they said stays in the core tables. Quarantined records are kept until they are resolved, and as long after.
    What scoring left staged is deleted a day after its run ended without publishing it; until then the run can be
    retried from where it failed. Reports of periods are kept for SIMSIGHT_REPORT_DAYS.

    If it is red: nothing is lost, the database only grows. Look at free disk space with `simsight doctor` and at
    the failed run; it is tried again the next night.
    """
    before = runtime.clock() - timedelta(days=runtime.settings.raw_days)
    gone = runtime.database.row("purge_raw", {"before": before}) or {}
    works = [row["work_id"] for row in runtime.database.rows("staged_works")]
    over = [work_id for work_id in works if _is_over(context.instance, work_id)]
    gone |= runtime.database.row("unstage_works", {"work_ids": over}) or {}
    gone |= forget_old(runtime)
    return dg.MaterializeResult(metadata={f"{name} deleted": count for name, count in gone.items()})


@dg.asset(
    group_name="maintenance", kinds={"postgres"}, owners=OWNERS, metadata={"dagster/table_name": "core.sim_usage"}
)
def compressed_days(runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """Daily usage, quotas, connections and forecasts older than SIMSIGHT_COMPRESS_DAYS, compressed where the server is
    TimescaleDB Community; elsewhere they stay as they are.

    Readers and late corrections see no difference. Pieces of 30 days are compressed in a transaction each, the oldest
    first; one that got rows since is compressed anew.

    If it is red: nothing is lost, older days only take more room. Look at the failed run; it is tried again the next
    night.
    """
    before = (runtime.clock() - timedelta(days=runtime.settings.compress_days)).date()
    done: list[str] = []
    while chunk := (runtime.database.row("compress_next", {"before": before, "done": done}) or {})["chunk"]:
        done.append(chunk)
    return dg.MaterializeResult(metadata={"chunks compressed": len(done)})


@dg.asset(
    group_name="maintenance", kinds={"postgres"}, owners=OWNERS, metadata={"dagster/table_name": "core.sim_usage"}
)
def kept_days(runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """Usage older than SIMSIGHT_USAGE_DAYS and predictions older than SIMSIGHT_PREDICTION_DAYS, deleted here; nothing
    where these are not set.

    On TimescaleDB whole chunks of 30 days are dropped, elsewhere rows are deleted in batches; each is a transaction.

    If it is red: nothing is lost, the database only grows. Look at the failed run; it is tried again the next night.
    """
    return dg.MaterializeResult(metadata={f"{table} deleted": rows for table, rows in purge_days(runtime).items()})


@dg.asset(group_name="maintenance", kinds={"dagster", "mlflow"}, owners=OWNERS)
def run_history(context: dg.AssetExecutionContext, runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """Dagster's runs with their events, and MLflow's runs of no version, kept for SIMSIGHT_RUN_DAYS.

    A run that made the newest of an asset, or of a day of one, stays, so that no day looks as if it had never been
    computed. Registered versions stay with their runs. Some thousand runs a night are deleted, the oldest first.

    If it is red: nothing is lost, Dagster's and MLflow's databases only grow. Look at the failed run and at MLflow
    (`simsight doctor`); it is tried again the next night.
    """
    before = runtime.clock() - timedelta(days=runtime.settings.run_days)
    gone = _delete_runs(context.instance, before)
    return dg.MaterializeResult(
        metadata={"Dagster runs deleted": gone, "MLflow runs deleted": purge_runs(runtime, before)}
    )


def _delete_runs(instance: dg.DagsterInstance, before: datetime) -> int:
    """Delete runs that were begun before a time and have ended, but for those that made the newest of something."""
    ended = dg.RunsFilter(statuses=FINISHED_STATUSES, created_before=before)
    newest: dict[dg.AssetKey, set[int]] = {}
    gone = 0
    for record in instance.get_run_records(ended, limit=RUNS_A_NIGHT, ascending=True):
        run_id = record.dagster_run.run_id
        if not _made_newest(instance, run_id, newest):
            instance.delete_run(run_id)
            gone += 1
    return gone


def _made_newest(instance: dg.DagsterInstance, run_id: str, newest: dict[dg.AssetKey, set[int]]) -> bool:
    """Whether a run made the newest of an asset or of a day of one.

    newest  by asset, the events that made these; filled here
    """
    made = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION).records
    for event in made:
        key = event.asset_key
        if key is None:
            continue
        if key not in newest:
            days = instance.event_log_storage.get_latest_storage_id_by_partition(
                key, dg.DagsterEventType.ASSET_MATERIALIZATION
            )
            last = instance.fetch_materializations(key, limit=1).records
            newest[key] = {*days.values(), *(record.storage_id for record in last)}
        if event.storage_id in newest[key]:
            return True
    return False


def _is_over(instance: dg.DagsterInstance, work_id: str) -> bool:
    """Whether the run that staged something is gone or has ended, and no retry of it goes on or was begun of late."""
    record = instance.get_run_record_by_id(work_id)
    if record is None:
        return True
    _, family = instance.get_run_group(work_id) or (work_id, [record.dagster_run])
    ended = [instance.get_run_record_by_id(run.run_id) for run in family if run.is_finished]
    last = max((found.end_time or 0.0 for found in ended if found), default=0.0)
    return len(ended) == len(list(family)) and last < time.time() - RETRIED_WITHIN_S
