"""Failed runs are counted in the storage that Dagster itself writes, whatever started them."""

import time
from datetime import timedelta
from pathlib import Path

import dagster as dg
import psycopg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import RemoteInstigatorOrigin
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, ScheduleInstigatorData
from dagster._daemon.types import DaemonHeartbeat
from pydantic import SecretStr
from sqlalchemy import URL, make_url

from pipelines.runs import _dagster_home, _instance, job_origin
from resources.database.run_storage import failed_runs
from resources.database.server import driver_url
from resources.runtime import Runtime
from resources.settings import Settings
from services.doctor.pipeline import dagster

WEEK = timedelta(days=7)


def test_failed_runs_of_the_last_week_are_counted_and_no_others(
    empty_url: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert failed_runs(empty_url, WEEK) == 0, "Dagster has run nothing yet"
    address = driver_url(empty_url, "psycopg2").render_as_string(hide_password=False)
    monkeypatch.setenv("SIMSIGHT_DAGSTER_DATABASE_URL", address)
    monkeypatch.setenv("SIMSIGHT_DAGSTER_FOLDER", str(tmp_path))

    @dg.op
    def step(context: dg.OpExecutionContext) -> None:
        if context.run_tags.get("fails"):
            raise ValueError("as asked")

    @dg.job
    def work() -> None:
        step()

    origin = job_origin(dg.Definitions(jobs=[work]), "work")
    with _instance(str(_dagster_home(tmp_path / "dagster")), origin) as instance:
        for tags in ({"fails": "yes"}, {"fails": "yes"}, {}):
            work.execute_in_process(instance=instance, raise_on_error=False, tags=tags)
        killed = instance.create_run_for_job(work)  # launched, as from the UI, and then never heard of
        instance.report_run_failed(killed)
        waiting = instance.create_run_for_job(work)
        for kind, age in (("SENSOR", 0), ("SCHEDULER", 4000)):
            instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - age, kind, "it", []))
        schedule = RemoteInstigatorOrigin(origin.repository_origin, "hourly_ingest")
        about = ScheduleInstigatorData("0 * * * *", 0.0)
        instance.add_instigator_state(
            InstigatorState(schedule, InstigatorType.SCHEDULE, InstigatorStatus.STOPPED, about)
        )

    assert failed_runs(empty_url, WEEK) == 3
    with psycopg.connect(driver_url(empty_url, "").render_as_string(hide_password=False)) as connection:
        connection.execute("UPDATE runs SET create_timestamp = create_timestamp - interval '2 hours'")
    settings = Settings(home=tmp_path, database_url=SecretStr(str(address)), dagster_database_url=SecretStr(address))
    with Runtime(settings) as runtime:
        said = {check.name: check for check in dagster(runtime)}
    assert (said["daemon"].level, said["runs"].level) == ("failed", "warning")
    assert "SCHEDULER" in said["daemon"].found
    assert "SENSOR" not in said["daemon"].found
    assert f"stuck: work {waiting.run_id[:8]} NOT_STARTED for 2 h" in said["runs"].found
    assert "hourly_ingest" in said["schedules and sensors"].found
    assert failed_runs(empty_url, timedelta(0)) == 0, "they are past"


def test_storage_out_of_reach_is_no_error() -> None:
    assert failed_runs(make_url("postgresql://nobody@127.0.0.1:1/unused"), WEEK) is None
