"""Failed runs are counted in the storage that Dagster itself writes, whatever started them."""

from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import URL, make_url

from pipelines.runs import _dagster_home, _instance, job_origin
from resources.database.run_storage import failed_runs
from resources.database.server import driver_url

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
        instance.create_run_for_job(work)

    assert failed_runs(empty_url, WEEK) == 3
    assert failed_runs(empty_url, timedelta(0)) == 0, "they are past"


def test_storage_out_of_reach_is_no_error() -> None:
    assert failed_runs(make_url("postgresql://nobody@127.0.0.1:1/unused"), WEEK) is None
