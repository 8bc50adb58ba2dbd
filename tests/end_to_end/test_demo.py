"""The demo: one command from nothing to a report, the same again when it is run again, only the new day on the next
day.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest
from end_to_end.conftest import Home, every_row, free_port, interrupt, new_home, said_by, until

from resources.database.server import driver_url, running_server
from resources.settings import Settings

YESTERDAY = "2026-06-29"
TODAY = "2026-06-30"
TOMORROW = "2026-07-01"
FLEET = ("--sims", "25", "--days", "60")
MOMENTS = ("done sim_connectivity ", "backtest over")  # while it polls, and while it trains


@dataclass
class Interrupted:
    """What a demo that got Ctrl-C came to."""

    code: int
    said: str
    left: list[psutil.Process]  # what of it still ran 10 seconds after its end


@dataclass
class Demo:
    """A home in which the demo has run to its end, after it was stopped by Ctrl-C at each of MOMENTS.

    So all that is asserted about the demo holds for one that takes up what interrupted ones have left; one that
    nothing disturbs is run from the wheel.
    """

    home: Home
    interrupted: list[Interrupted]
    code: int
    said: str
    peak: int  # bytes held by the demo and all its processes at the fullest moment
    url: str

    def report(self) -> str:
        return Path(self.said.split("Report: ")[1].splitlines()[0]).read_text()

    def status(self) -> dict[str, Any]:
        code, said = self.home.run("status", "--json")
        assert code == 0, said
        found: dict[str, Any] = json.loads(said)
        return found


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with new_home(SIMSIGHT_NOW=TODAY) as home:
        peaks = [0]
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(1):  # looking through all processes takes 50 ms
                peaks.append(sum(_resident(process) for process in home.processes()))

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            interrupted = [_interrupt_at(moment, home) for moment in MOMENTS]
            code, said = home.run("demo", *FLEET)
        finally:
            ended.set()
            watcher.join()
        left = home.processes()
        assert not left, left
        # a handle of our own keeps the server running between the commands, which share it
        with running_server(Settings(home=home.folder, _env_file=None)) as server:
            url = driver_url(server.simsight, "").render_as_string(hide_password=False)
            yield Demo(home, interrupted, code, said, max(peaks), url)


def _interrupt_at(moment: str, home: Home) -> Interrupted:
    process = home.start("demo", *FLEET)
    wait_for = said_by(process)
    wait_for(moment)
    interrupt(process)
    code = process.wait(60)
    deadline = time.monotonic() + 10
    while (left := home.processes()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return Interrupted(code, wait_for(moment), left)


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def test_the_demo_ends_well_and_sums_up_what_there_is(demo: Demo) -> None:
    assert demo.code == 0, demo.said
    status = demo.status()
    assert f"{status['sims']} SIMs" in demo.said
    assert f"{status['usage_rows']:,} usage rows up to {YESTERDAY}" in demo.said
    assert "Who runs out first" in demo.said
    assert "Open alerts: " in demo.said
    assert "Checks: " in demo.said
    assert "Dagster UI: " in demo.said
    assert "API: " in demo.said
    assert demo.report().startswith("<!DOCTYPE html>")


def test_ctrl_c_stops_the_demo_wherever_it_is_and_leaves_no_process(demo: Demo) -> None:
    for moment, stopped in zip(MOMENTS, demo.interrupted, strict=True):
        assert moment in stopped.said
        assert stopped.code == 130, stopped.said
        assert "simsight: interrupted; what was stored stays" in stopped.said
        assert "Traceback" not in stopped.said
        assert not stopped.left


def test_the_demo_says_that_its_data_is_synthetic(demo: Demo) -> None:
    assert "synthetic data" in demo.said
    assert demo.status()["data"] == "synthetic data"
    assert "synthetic data" in demo.report()


def test_the_dagster_ui_counts_the_demos_runs_among_those_of_its_code_location(demo: Demo) -> None:
    with running_server(Settings(home=demo.home.folder, _env_file=None)) as server:
        url = driver_url(server.dagster, "").render_as_string(hide_password=False)
        with psycopg.connect(url) as connection:
            found = connection.execute(
                "SELECT r.pipeline_name, t.value, r.run_body FROM runs AS r "
                "LEFT JOIN run_tags AS t ON t.run_id = r.run_id AND t.key = '.dagster/repository'"
            ).fetchall()

    assert {job for job, _, _ in found} == {"ingest", "read_stream_files", "process_stream", "predict"}
    assert {label for _, label, _ in found} == {"__repository__@simsight"}  # the location's name in workspace.yaml
    for job, _, body in found:
        origin = json.loads(body)["external_pipeline_origin"]
        assert (origin["pipeline_name"], origin["external_repository_origin"]["repository_name"]) == (
            job,
            "__repository__",
        )


def test_the_demo_leaves_no_secret_and_no_traceback_on_the_terminal(demo: Demo) -> None:
    assert "Traceback" not in demo.said
    assert "postgresql" not in demo.said.replace("PostgreSQL", "")


def test_the_demo_needs_less_than_two_gigabytes(demo: Demo) -> None:
    assert 0 < demo.peak < 2e9


def test_status_tells_counts_champion_storage_and_freshness(demo: Demo) -> None:
    status = demo.status()
    rows = every_row(demo.url)
    assert status["sims"] == len(rows["core.sims"]) > 0
    assert status["usage_rows"] == len(rows["core.sim_usage"]) > 0
    assert status["forecasts"] == len(rows["predictions.usage_forecasts"]) > 0
    assert status["exhaustions"] == len(rows["predictions.exhaustions"]) > 0
    assert status["open_alerts"] == sum(status["open_alerts_by_kind"].values())
    assert status["quarantined_rows"] == 0
    assert status["champion"]["model_version"] == 1
    assert status["champion"]["as_of"] == "2026-06-28"
    assert 0 < status["champion"]["backtest"]["rmase"] < 1.5
    assert status["storage"]["grade"] == "plain PostgreSQL"
    assert status["storage"]["embedded"] is True
    for table in ("core.sims", "core.sim_quota", "core.sim_connectivity"):
        assert status["freshness"][table]["asked_at"].startswith(TODAY), table
    # the usage call answered for the last time five days ago; the days since come from the stream
    assert status["calls"]["usage"]["last_success_at"].startswith("2026-06-24")
    assert status["calls"]["usage"]["v1_gone_since"].startswith(TODAY)
    assert status["freshness"]["core.sim_usage"]["changed_at"].startswith(TODAY)
    sources = {
        (row.split('"day": "')[1][:10], row.split('"source": "')[1].split('"')[0]) for row in rows["core.sim_usage"]
    }
    assert {source for day, source in sources if "2026-06-01" < day < "2026-06-23"} <= {"c", "q"}
    assert {source for day, source in sources if day >= "2026-06-25"} == {"s"}
    assert status["freshness"]["predictions.reports"]["changed_at"].startswith(TODAY)
    code, said = demo.home.run("status")
    assert code == 0
    assert f"usage rows: {status['usage_rows']}" in said


def test_the_demo_again_changes_nothing_and_on_the_next_day_brings_that_day(demo: Demo) -> None:
    first = every_row(demo.url, versions=True)
    code, said = demo.home.run("demo", *FLEET)
    assert code == 0, said
    again = every_row(demo.url, versions=True)
    assert {table for table, rows in again.items() if rows != first[table]} == set()

    code, said = demo.home.run("demo", *FLEET, SIMSIGHT_NOW=TOMORROW)
    assert code == 0, said
    next_day = every_row(demo.url, versions=True)
    written = {table: set(rows) - set(first[table]) for table, rows in next_day.items()}
    days = {row.split('"day": "')[1][:10] for row in written["core.sim_usage"]}
    assert days == {TODAY}
    assert '"source": "s"' in next(iter(written["core.sim_usage"]))
    for table in ("core.sim_usage_replaced", "core.products"):
        assert not written[table], table
    for table in ("predictions.usage_forecasts", "predictions.exhaustions", "predictions.reports"):
        assert written[table], table
        assert all('"as_of": "2026-06-29"' in row for row in written[table]), table


def _ask(port: int, query: str) -> Any:
    # the UI says that it is serving a moment before it listens
    with httpx.Client(transport=httpx.HTTPTransport(retries=6), timeout=30) as client:
        answer = client.post(f"http://127.0.0.1:{port}/graphql", json={"query": query}).json()
    assert "errors" not in answer, answer
    return answer["data"]


def test_the_dagster_ui_lists_assets_schedules_and_the_demos_runs_and_ctrl_c_stops_all_of_it(demo: Demo) -> None:
    port = free_port()
    ui = demo.home.start("dev", SIMSIGHT_UI_PORT=str(port))
    wait_for = said_by(ui)
    wait_for("Serving dagster-webserver")
    found = _ask(
        port,
        "{ assetNodes { assetKey { path } } runsOrError { ... on Runs { results { jobName status } } } "
        "repositoriesOrError { ... on RepositoryConnection { nodes { schedules { name } sensors { name } } } } }",
    )
    assets = {node["assetKey"]["path"][0] for node in found["assetNodes"]}
    assert {"sims", "sim_usage", "usage_forecasts", "quota_exhaustions", "alerts", "fleet_report"} <= assets
    repository = found["repositoriesOrError"]["nodes"][0]
    assert {"hourly_ingest", "daily_predictions"} <= {schedule["name"] for schedule in repository["schedules"]}
    assert {"landing_folder", "run_failures"} <= {sensor["name"] for sensor in repository["sensors"]}
    runs = found["runsOrError"]["results"]
    assert {"jobName": "ingest", "status": "SUCCESS"} in runs
    assert {"jobName": "predict", "status": "SUCCESS"} in runs
    interrupt(ui)
    assert ui.wait(60) == 130
    assert "Traceback" not in wait_for("simsight: interrupted")
    until(
        lambda: {left.name() for left in demo.home.processes()} <= {"postgres"}, "only the server held here is left", 20
    )
