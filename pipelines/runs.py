"""Run the code location's jobs from a terminal: real Dagster runs, in this process, stored where the UI shows them."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from pipelines.common import cause, day_range
from resources.database.server import driver_url
from resources.runtime import Runtime
from resources.settings import Settings, SettingsError

if TYPE_CHECKING:
    import dagster as dg
    from dagster._core.remote_origin import RemoteJobOrigin


# Dagster's settings of a deployment and the code location it loads; in a checkout, links to the files at its root
INSTANCE = Path(__file__).with_name("dagster.yaml")
WORKSPACE = Path(__file__).with_name("workspace.yaml")
ALIVE = 7_465_002  # any number: the first half of the advisory lock that a terminal's run holds
TERMINAL = "simsight/terminal"
USAGE_KEPT_DAYS = 180  # 1NCE answers for the usage of six months


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended: its id, whether all went well, the checks that did not hold, why steps failed."""

    run_id: str
    success: bool
    checks: int
    failed_checks: list[tuple[str, str, bool]]  # (check, what was found, whether it blocks)
    errors: list[str]

    @property
    def blocked(self) -> bool:
        """A blocking check failed: what depends on it was not run."""
        return any(blocking for _, _, blocking in self.failed_checks)


def environment(runtime: Runtime) -> dict[str, str]:
    """What Dagster, its child processes and the code location need to find. Holds secrets: never print it.

    DAGSTER_HOME is `dagster` in Simsight's home; it is made, and holds the dagster.yaml of this code.
    """
    settings = runtime.settings
    home = settings.home.resolve()
    dagster = _dagster_home(home / "dagster")
    variables = runtime.server.environment() | {
        "SIMSIGHT_HOME": str(home),
        "SIMSIGHT_ORGANIZATION": settings.organization,
        "SIMSIGHT_DAGSTER_FOLDER": str(dagster),
        "DAGSTER_HOME": str(dagster),
        # a package `api` or `ml` in the folder where the command is run is not ours: nothing is imported from there
        "PYTHONSAFEPATH": "1",
        "DAGSTER_EMPTY_WORKING_DIRECTORY": "true",
        "DAGSTER_DISABLE_TELEMETRY": "true",
        "GX_ANALYTICS_ENABLED": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "ONCE_BASE_URL": settings.once_base_url,
        "ONCE_UNLIMITED": str(settings.once_unlimited).lower(),
    }
    if settings.once_username and settings.once_password:
        variables |= {
            "ONCE_USERNAME": settings.once_username,
            "ONCE_PASSWORD": settings.once_password.get_secret_value(),
        }
    if settings.log_format != "text":
        variables["SIMSIGHT_LOG_FORMAT"] = settings.log_format
    if settings.now:
        variables["SIMSIGHT_NOW"] = settings.now.isoformat()
    if settings.stream_files:
        variables["SIMSIGHT_STREAM_FILES"] = settings.stream_files
    return variables


def refuse_future(settings: Settings) -> None:
    """Raise SettingsError when the pretended time lies on a day to come: Dagster has no partition of it."""
    today = datetime.now(UTC).date()
    if settings.now and settings.now.date() > today:
        raise SettingsError(
            f"SIMSIGHT_NOW: {settings.now:%Y-%m-%d} is a day to come, and only days up to today, {today}, can be "
            "worked on. Set an earlier one, or unset it"
        )


def days_shown(runtime: Runtime) -> dict[str, str]:
    """The variables that let the UI's partitions begin where the data begins: a day without any would count as missing.

    Usage begins with the first day that was asked for, or as far back as 1NCE knows it; predictions with the first
    day that was reported, or the last complete one. What is set stays.
    """
    found = runtime.database.row("first_days") or {"usage": None, "as_of": None}
    first = found["usage"] or runtime.clock().date() - timedelta(days=USAGE_KEPT_DAYS)
    as_of = found["as_of"] or runtime.last_complete_day()
    is_set = runtime.settings.model_fields_set
    shown = {"first_day": first, "first_as_of": as_of}
    return {f"SIMSIGHT_{name.upper()}": day.isoformat() for name, day in shown.items() if name not in is_set}


def _dagster_home(folder: Path) -> Path:
    """Make `folder` a home for Dagster; several processes may do so at once, and none sees half a file."""
    folder.mkdir(parents=True, exist_ok=True)
    path, text = folder / INSTANCE.name, INSTANCE.read_bytes()
    if not path.exists() or path.read_bytes() != text:
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(text)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    return folder


def run_job(
    runtime: Runtime,
    name: str,
    *,
    first: date | None = None,
    last: date | None = None,
    assets: Sequence[str] | None = None,
) -> RunOutcome:
    """Run a job, with a line a step on the terminal.

    first, last  the day, or the days in one run, of a job that has days
    assets       only these of its assets, with their checks
    Raises KeyboardInterrupt when it was interrupted; a run that had not ended has been marked as failed.
    """
    variables = environment(runtime)
    os.environ.update(variables)

    import dagster as dg

    from pipelines.customers import ORGANIZATION
    from pipelines.definitions import code_location
    from pipelines.terminal_logger import noting_ctrl_c

    defs = code_location(runtime)
    partition_key = None if first is None else first.isoformat()
    tags = {TERMINAL: "true", ORGANIZATION: runtime.settings.organization}
    if first is not None and last is not None and last != first:
        partition_key = None
        tags |= day_range(first, last)
    with (
        _instance(variables["DAGSTER_HOME"], job_origin(defs, name)) as instance,
        _alive(runtime, instance) as run_id,
        noting_ctrl_c() as pressed,
    ):
        result = defs.resolve_job_def(name).execute_in_process(
            run_id=run_id,
            instance=instance,
            # JSON lines are for programs: what Dagster writes by itself, then
            run_config={} if runtime.settings.log_format == "json" else {"loggers": {"terminal": {}}},
            raise_on_error=False,
            partition_key=partition_key,
            tags=tags,
            asset_selection=None if assets is None else [dg.AssetKey(name) for name in assets],
        )
        stopped = pressed()
    if stopped or any(_interrupted(event) for event in result.all_events):
        raise KeyboardInterrupt
    evaluations = result.get_asset_check_evaluations()
    failed = [
        (
            f"{check.asset_key.to_user_string()}: {check.check_name}",
            check.description or "did not hold",
            bool(check.blocking),
        )
        for check in evaluations
        if not check.passed
    ]
    errors = [
        f"{event.step_key}: {cause(event.step_failure_data.error)}"
        for event in result.all_events
        if event.is_step_failure and event.step_failure_data.error
    ]
    return RunOutcome(result.run_id, result.success, len(evaluations), failed, errors)


def job_origin(defs: dg.Definitions, name: str) -> RemoteJobOrigin:
    """Where a job of the code location comes from, as the UI knows it: the location of workspace.yaml."""
    from dagster._core.remote_origin import RemoteJobOrigin, RemoteRepositoryOrigin
    from dagster._core.workspace.load import location_origins_from_yaml_paths

    (location,) = location_origins_from_yaml_paths([str(WORKSPACE)])
    return RemoteJobOrigin(RemoteRepositoryOrigin(location, defs.get_repository_def().name), name)


def _instance(home: str, origin: RemoteJobOrigin) -> dg.DagsterInstance:
    """The instance of dagster.yaml in `home`, whose runs have an origin; what steps print goes to this terminal alone.

    Compute logs would be written by child processes that Ctrl-C at the terminal hits as well. Connections stay open:
    Dagster would make one for each event that it stores, which takes longer than storing it.
    """
    import dagster as dg
    from dagster._core.instance.ref import InstanceRef

    quiet = {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
    instance = dg.DagsterInstance.from_ref(InstanceRef.from_dir(home, overrides={"compute_logs": quiet}))
    instance.optimize_for_webserver(statement_timeout=0, pool_recycle=300, max_overflow=20)
    # execute_in_process names no origin; a run without one is not in the UI's timeline, nor on the page of its job
    create = partial(instance.create_run_for_job, remote_job_origin=origin)
    instance.create_run_for_job = create  # type: ignore[method-assign]
    return instance


@contextmanager
def _alive(runtime: Runtime, instance: dg.DagsterInstance) -> Iterator[str]:
    """The id of a new run, with a lock on the server that lasts as long as this process; ends runs whose process died.

    The run of a process that was killed would be under way for ever.
    """
    import dagster as dg

    going = [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
    run_id = str(uuid.uuid4())
    address = driver_url(runtime.server.dagster, "").render_as_string(hide_password=False)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s, hashtext(%s))", (ALIVE, run_id))
        for run in instance.get_runs(dg.RunsFilter(tags={TERMINAL: "true"}, statuses=going)):
            free = connection.execute("SELECT pg_try_advisory_lock(%s, hashtext(%s))", (ALIVE, run.run_id)).fetchone()
            if free and free[0]:
                instance.report_run_failed(run, "The process of this run was killed.")
        yield run_id


def _interrupted(event: dg.DagsterEvent) -> bool:
    from dagster._core.events import RunFailureReason

    return event.is_job_failure and event.job_failure_data.failure_reason == RunFailureReason.UNEXPECTED_TERMINATION
