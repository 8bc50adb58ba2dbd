"""Run the code location's jobs from a terminal: real Dagster runs, in this process, stored where the UI shows them."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from resources.runtime import Runtime

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended: its id, whether all went well, the checks that did not hold, the steps that failed."""

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
    """What Dagster, its child processes and the code location need to find. Holds secrets: never print it."""
    settings = runtime.settings
    home = settings.home.resolve()
    (home / "dagster").mkdir(parents=True, exist_ok=True)
    variables = runtime.server.environment() | {
        "SIMSIGHT_HOME": str(home),
        "SIMSIGHT_ORGANIZATION": settings.organization,
        "SIMSIGHT_DAGSTER_FOLDER": str(home / "dagster"),
        "DAGSTER_HOME": str(ROOT),
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
    if settings.now:
        variables["SIMSIGHT_NOW"] = settings.now.isoformat()
    return variables


def run_job(runtime: Runtime, name: str, *, first: date, last: date | None = None) -> RunOutcome:
    """Run a job for a day, or for the days from `first` to `last` in one run, with a line a step on the terminal."""
    os.environ.update(environment(runtime))
    warnings.filterwarnings("ignore", message=".*is currently in (beta|preview)")
    import dagster as dg

    from pipelines.definitions import code_location

    defs = code_location(runtime)
    days: dict[str, Any] = {"partition_key": first.isoformat()}
    if last is not None and last != first:
        days = {
            "tags": {
                "dagster/asset_partition_range_start": first.isoformat(),
                "dagster/asset_partition_range_end": last.isoformat(),
            }
        }
    with dg.DagsterInstance.get() as instance:
        result = defs.resolve_job_def(name).execute_in_process(
            instance=instance, run_config={"loggers": {"terminal": {}}}, raise_on_error=False, **days
        )
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
    errors = []
    for event in result.all_events:
        if event.is_step_failure and event.step_failure_data.error:
            cause = event.step_failure_data.error
            while cause.cause is not None:
                cause = cause.cause
            errors.append(f"{event.step_key}: {cause.message.strip()}")
    return RunOutcome(result.run_id, result.success, len(evaluations), failed, errors)
