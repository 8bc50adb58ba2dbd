"""Blocks of SIMs on Celery workers: a real Redis, PostgreSQL and worker processes, of which some are killed; in the end
every SIM has its rows once, as scored in one process. Skipped where redis-server or the extra celery is missing.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import sleep
from typing import Any

import psutil
import psycopg
import pytest
from end_to_end.conftest import free_port, said_by, until
from sqlalchemy import URL

from resources.database.server import driver_url
from resources.runtime import Runtime
from tests.fleet import AS_OF, PASSWORD, USERNAME, Truth
from tests.forked import Process, forked_code

pytest.importorskip("dagster_celery", reason="needs the extra celery (requirements-celery.txt)")
REDIS = shutil.which("redis-server")
pytestmark = pytest.mark.skipif(REDIS is None, reason="needs redis-server")

SECRET = "kept-to-ourselves"
FORECASTS = "SELECT sim_key, day, mean, q025, q10, q50, q90, q975 FROM predictions.usage_forecasts ORDER BY 1, 2"
ENDS = """
SELECT sim_key, status, cause, p_7, p_14, p_30, p10_date, p50_date, p90_date FROM predictions.exhaustions ORDER BY 1
"""
# the process that programs are forked from has made the code location with other settings
CODE_LOCATION = """
import pipelines.definitions
from resources.runtime import Runtime
from resources.settings import load_settings

pipelines.definitions.defs = pipelines.definitions.code_location(Runtime(load_settings()))
"""
WORKER = f"{CODE_LOCATION}\nfrom pipelines.cli import main\nmain()"
RUN = f"""{CODE_LOCATION}
import sys
import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableRepository

job = ReconstructableRepository.for_module("pipelines.definitions", "defs").get_reconstructable_job("score")
with dg.DagsterInstance.get() as instance:
    done = dg.execute_job(
        job, instance, asset_selection=[dg.AssetKey(name) for name in sys.argv[2:]],
        tags={{"dagster/partition": sys.argv[1]}}, raise_on_error=False,
    )
print("ended well" if done.success else "failed")
for event in done.all_events:
    if event.is_failure:
        print(event.step_key, event.message, event.event_specific_data)
"""


class RedisServer:
    """A Redis of its own, with a password, that finds what it had when it is started again."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.url = f"redis://:{SECRET}@127.0.0.1:{port}/0"
        self._command = [str(REDIS), "--port", str(port), "--bind", "127.0.0.1", "--requirepass", SECRET]
        self._command += ["--dir", str(folder), "--save", "", "--appendonly", "yes"]
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert self._process.stdout is not None
        while b"ready to accept connections" not in (line := self._process.stdout.readline()).lower():
            assert line, "redis-server has ended"

    def stop(self) -> None:
        self._process.terminate()
        self._process.communicate()


@dataclass
class Machines:
    """Workers over one database and one Redis.

    said  by name, what a worker has said so far
    """

    runtime: Runtime
    truth: Truth
    variables: dict[str, str]
    redis: RedisServer
    started: list[Process] = field(default_factory=list)
    said: dict[str, Callable[[str], str]] = field(default_factory=dict)

    def worker(self, name: str, *options: str, steps: int = 1) -> Process:
        process = forked_code(WORKER, "worker", "--name", name, "--steps", str(steps), *options, **self.variables)
        self.started.append(process)
        self.said[name] = said_by(process)
        return process

    def run(self, *assets: str) -> Process:
        process = forked_code(RUN, AS_OF.isoformat(), *assets, **self.variables)
        self.started.append(process)
        return process

    def at_work(self, worker: Process) -> list[int]:
        """The processes of a worker that hold the lease of a block they have not finished."""
        held = self.truth.column("SELECT split_part(holder, ':', 2)::int FROM ops.block_leases WHERE outcome IS NULL")
        with suppress(psutil.NoSuchProcess):
            return [child.pid for child in psutil.Process(worker.pid).children() if child.pid in held]
        return []

    @contextmanager
    def held_up(self) -> Iterator[None]:
        """Let nobody see what SIMs were scored from while this lasts: workers stand in the middle of a block."""
        url = self.runtime.settings.database_url
        assert url is not None
        address = driver_url(url.get_secret_value(), "").render_as_string(hide_password=False)
        with psycopg.connect(address) as connection:
            connection.execute("LOCK TABLE ops.scored_sims IN ACCESS EXCLUSIVE MODE")
            yield

    def rows(self) -> tuple[Any, Any]:
        return self.truth.rows(FORECASTS), self.truth.rows(ENDS)

    def forget(self, *parts: str) -> None:
        for part in parts:
            self.truth.run(f"DELETE FROM predictions.{part}")
            self.truth.rows("DELETE FROM ops.scored_sims WHERE part = %s", (part,))

    def dagster(self, query: str) -> Any:
        address = driver_url(self.variables["SIMSIGHT_DAGSTER_DATABASE_URL"], "")
        with psycopg.connect(address.render_as_string(hide_password=False)) as connection:
            found = connection.execute(query.encode()).fetchone()
        assert found is not None
        return found[0]

    def kill_step(self, worker: Process) -> None:
        """What the kernel does to a step that takes too much memory; then its lease runs out."""
        (step,) = self.at_work(worker)
        psutil.Process(step).kill()
        until(lambda: not self.at_work(worker), "it is gone")
        self.truth.run("UPDATE ops.block_leases SET held_until = now() WHERE outcome IS NULL")

    def answers(self, name: str) -> bool:
        return forked_code(WORKER, "worker", "--check", "--name", name, **self.variables).wait(60) == 0

    def close(self) -> None:
        for process in self.started:
            kill_all(process)
            process.wait(30)


def kill_all(worker: Process) -> None:
    """What the loss of its machine does to a worker: it and its steps end at once."""
    with suppress(ProcessLookupError):
        os.killpg(worker.pid, signal.SIGKILL)


@pytest.fixture
def machines(filled: tuple[Runtime, Truth], empty_url: URL, tmp_path: Path) -> Iterator[Machines]:
    runtime, truth = filled
    settings = runtime.settings
    assert settings.database_url is not None
    assert settings.mlflow_tracking_uri is not None
    home = tmp_path / "workers"
    dagster = home / "dagster"
    dagster.mkdir(parents=True)
    shutil.copy("dagster.yaml", dagster)
    redis = RedisServer(tmp_path)
    variables = {
        "SIMSIGHT_HOME": str(home),
        "SIMSIGHT_DATABASE_URL": settings.database_url.get_secret_value(),
        "SIMSIGHT_DAGSTER_DATABASE_URL": driver_url(empty_url, "psycopg2").render_as_string(hide_password=False),
        "SIMSIGHT_MLFLOW_TRACKING_URI": settings.mlflow_tracking_uri.get_secret_value(),
        "SIMSIGHT_NOW": runtime.clock().isoformat(),
        "SIMSIGHT_BLOCK_SIMS": "15",
        "SIMSIGHT_EXECUTOR": "celery",
        "SIMSIGHT_CELERY_BROKER_URL": redis.url,
        "SIMSIGHT_CELERY_VISIBILITY_SECONDS": "5",
        "SIMSIGHT_DAGSTER_FOLDER": str(dagster),
        "DAGSTER_HOME": str(dagster),
        "ONCE_BASE_URL": settings.once_base_url,
        "ONCE_USERNAME": USERNAME,
        "ONCE_PASSWORD": PASSWORD,
    }
    made = Machines(runtime, truth, variables, redis)
    try:
        yield made
    finally:
        made.close()
        redis.stop()


def ends_well(machines: Machines, run: Process, whole: tuple[Any, Any]) -> None:
    said, _ = run.communicate(timeout=280)
    assert "ended well" in said, (said, [tell("") for tell in machines.said.values()])
    assert machines.rows() == whole
    assert machines.truth.one("SELECT count(*) FROM ops.block_leases") == 0
    for tell in machines.said.values():
        assert SECRET not in tell("")


def test_the_block_of_a_process_that_is_killed_goes_to_another_and_every_sim_is_scored_once(machines: Machines) -> None:
    whole = machines.rows()
    machines.forget("usage_forecasts")
    one, _ = machines.worker("one"), machines.worker("two", "--only-blocks")
    run = machines.run("usage_forecasts")
    with machines.held_up():
        until(lambda: bool(machines.at_work(one)), "worker one is at a block")
        machines.kill_step(one)
    ends_well(machines, run, whole)
    assert machines.answers("one")
    assert not machines.answers("nobody")


@pytest.mark.nightly
def test_the_blocks_of_a_machine_that_is_lost_go_to_another(machines: Machines) -> None:
    whole = machines.rows()
    machines.forget("usage_forecasts", "exhaustions")
    one, _ = machines.worker("one", steps=2), machines.worker("two")
    run = machines.run("usage_forecasts", "quota_exhaustions")
    with machines.held_up():
        until(lambda: len(machines.at_work(one)) == 2, "worker one is at two blocks")
        kill_all(one)
    ends_well(machines, run, whole)


@pytest.mark.nightly
def test_a_step_that_takes_longer_than_the_broker_waits_is_done_once(machines: Machines) -> None:
    whole = machines.rows()
    machines.forget("usage_forecasts")
    machines.worker("one", "--only-blocks")
    machines.worker("two")
    run = machines.run("usage_forecasts")
    done = "SELECT count(*) FROM ops.block_leases"
    with machines.held_up():
        until(lambda: machines.truth.one(done) == 2, "both are at a block")
        # the first look of a new worker for steps to hand out again
        machines.worker("three", steps=2)
        machines.said["three"]("ready")
        sleep(20)
    ends_well(machines, run, whole)
    starts = "SELECT count(*) FROM event_logs WHERE dagster_event_type = 'STEP_START' AND step_key LIKE '%score_%'"
    assert machines.dagster(starts) == machines.dagster(starts.replace("count(*)", "count(DISTINCT step_key)"))


@pytest.mark.nightly
def test_a_redis_that_starts_again_costs_time_and_nothing_else(machines: Machines) -> None:
    whole = machines.rows()
    machines.forget("usage_forecasts")
    one, _ = machines.worker("one"), machines.worker("two")
    run = machines.run("usage_forecasts")
    with machines.held_up():
        until(lambda: bool(machines.at_work(one)), "worker one is at a block")
        machines.redis.stop()
        sleep(20)
        machines.redis.start()
    ends_well(machines, run, whole)
    one.terminate()
    assert one.wait(60) == 0, "a worker that is told to stop ends well"


@pytest.mark.nightly
def test_a_run_fails_whose_step_kills_every_worker(machines: Machines) -> None:
    machines.forget("usage_forecasts")
    machines.variables["SIMSIGHT_BLOCK_SIMS"] = "100"  # one block: what is killed is always the same step
    one = machines.worker("one")
    run = machines.run("usage_forecasts")
    with machines.held_up():
        for _ in range(3):
            until(lambda: bool(machines.at_work(one)), "the worker is at a block")
            machines.kill_step(one)
    said, _ = run.communicate(timeout=280)
    assert "failed" in said
    assert "3 workers were lost at this step" in said
