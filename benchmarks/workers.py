"""Two Celery workers share the forecast of a fleet, and one is killed in the middle of a block.

    python -m benchmarks.workers [--sims 20000] [--days 180] [--block-sims 1000] [--visibility-seconds 20]

Needs redis-server and the extra celery. A simulated fleet's daily usage (synthetic) is forecast in this process first.
Then the same day again as a run of Dagster on two workers with one step each: once undisturbed, and once where all
processes of one worker are killed (SIGKILL) when a quarter of the blocks is done; it is not replaced. Each run must end
with the rows of this process, every SIM's once. Prints seconds by the clock, from the start of the run to its end, the
largest gap in which no block was finished, and how often blocks were begun.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
from pydantic import SecretStr

from benchmarks.fleet import AS_OF, fill
from benchmarks.ingest import _text, server
from pipelines.runs import INSTANCE
from resources.database.migrations import ensure_organization, migrate
from resources.database.server import driver_url
from resources.runtime import Runtime
from resources.settings import Settings
from services.forecasting import USAGE_FORECASTS, train
from services.scoring import score_day

DAGSTER = "simsight_benchmark_dagster"
ROWS = """
SELECT
    count(*),
    count(DISTINCT sim_key),
    sum(hashtextextended(concat_ws(' ', sim_key, day, mean, q025, q10, q50, q90, q975), 0))
FROM predictions.usage_forecasts
"""
RUN = """
import sys
import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableRepository

job = ReconstructableRepository.for_module("pipelines.definitions", "defs").get_reconstructable_job("score")
with dg.DagsterInstance.get() as instance:
    done = dg.execute_job(
        job, instance, asset_selection=[dg.AssetKey("usage_forecasts")], tags={"dagster/partition": sys.argv[1]}
    )
    sys.exit(not done.success)
"""
STEPS = """
SELECT dagster_event_type, timestamp FROM event_logs
WHERE step_key LIKE '%%score_usage_forecasts%%' AND dagster_event_type IN ('STEP_START', 'STEP_SUCCESS') ORDER BY id
"""


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@contextmanager
def _started(*command: str | Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that leads a session of its own; all of it is killed in the end."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([*command], env=os.environ | variables, start_new_session=True, **quiet)
    try:
        yield process
    finally:
        _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _is_of(pid: int, worker: subprocess.Popen[bytes]) -> bool:
    try:
        return os.getpgid(pid) == worker.pid
    except ProcessLookupError:
        return False


def _shared(database: psycopg.Connection[Any], variables: dict[str, str], blocks: int, *, loses_one: bool) -> None:
    """One run on two workers; what it took."""
    for table in ("predictions.usage_forecasts", "ops.scored_sims"):
        database.execute(f"DELETE FROM {table}".encode())
    simsight = Path(sys.executable).with_name("simsight")
    with ExitStack() as stack:
        workers = [
            stack.enter_context(_started(simsight, "worker", "--name", name, "--steps", "1", **variables))
            for name in ("one", "two")
        ]
        for name in ("one", "two"):
            asked = [simsight, "worker", "--check", "--name", name]
            while subprocess.run(asked, env=os.environ | variables, check=False, capture_output=True).returncode:
                time.sleep(1)
        began = time.time()
        run = stack.enter_context(_started(sys.executable, "-c", RUN, AS_OF.isoformat(), **variables))
        while loses_one and run.poll() is None:
            held = "SELECT split_part(holder, ':', 2)::int FROM ops.block_leases WHERE outcome IS NULL"
            done = "SELECT count(*) FROM ops.block_leases WHERE outcome IS NOT NULL"
            at_work = [pid for (pid,) in database.execute(held.encode()) if _is_of(pid, workers[0])]
            if at_work and database.execute(done.encode()).fetchone()[0] >= blocks / 4:  # type: ignore[index]
                _kill(workers[0])
                print(f"killed {time.time() - began:.0f} s after the start", flush=True)
                break
            time.sleep(0.05)
        code = run.wait()
        took = time.time() - began
    with psycopg.connect(driver_url(variables["SIMSIGHT_DAGSTER_DATABASE_URL"], "").render_as_string(False)) as log:
        events = log.execute(STEPS.encode()).fetchall()
        log.execute("DELETE FROM event_logs")
    ends = [at for kind, at in events if kind == "STEP_SUCCESS"]
    gap = max((later - at for at, later in pairwise(ends)), default=timedelta()).total_seconds()
    what = "one of two workers killed" if loses_one else "two workers"
    begun = len(events) - len(ends)
    print(f"{what}: {took:.0f} s, code {code}, {len(ends)} blocks, begun {begun} times, largest gap {gap:.0f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sims", type=int, default=20_000)
    parser.add_argument("--days", type=int, default=180)
    parser.add_argument("--block-sims", type=int, default=1_000)
    parser.add_argument("--visibility-seconds", type=int, default=20)
    given = parser.parse_args()
    with server(None) as url, tempfile.TemporaryDirectory() as folder:
        migrate(url)
        ensure_organization(url, "default")
        database = psycopg.connect(_text(url), autocommit=True)
        database.execute(f"CREATE DATABASE {DAGSTER}".encode())
        fill(database, given.sims, given.days)
        now = datetime(AS_OF.year, AS_OF.month, AS_OF.day, 3, tzinfo=UTC) + timedelta(days=2)
        mlflow, port = f"sqlite:///{folder}/mlflow.db", _free_port()
        settings = Settings(
            home=Path(folder),
            now=now,
            database_url=SecretStr(_text(url)),
            mlflow_tracking_uri=SecretStr(mlflow),
            block_sims=given.block_sims,
            _env_file=None,
        )
        with Runtime(settings) as runtime:
            train(runtime, AS_OF)
            began = time.time()
            done = score_day(runtime, USAGE_FORECASTS, AS_OF, run_id="benchmark")
            print(
                f"{given.sims} SIMs, {done['blocks']} blocks, in one process: {time.time() - began:.0f} s", flush=True
            )
        alone = database.execute(ROWS.encode()).fetchone()
        shutil.copy(INSTANCE, folder)
        variables = {
            "SIMSIGHT_HOME": folder,
            "SIMSIGHT_DATABASE_URL": _text(url),
            "SIMSIGHT_DAGSTER_DATABASE_URL": driver_url(url.set(database=DAGSTER), "psycopg2").render_as_string(False),
            "SIMSIGHT_MLFLOW_TRACKING_URI": mlflow,
            "SIMSIGHT_DAGSTER_FOLDER": folder,
            "DAGSTER_HOME": folder,
            "SIMSIGHT_NOW": now.isoformat(),
            "SIMSIGHT_BLOCK_SIMS": str(given.block_sims),
            "SIMSIGHT_EXECUTOR": "celery",
            "SIMSIGHT_CELERY_BROKER_URL": f"redis://127.0.0.1:{port}/0",
            "SIMSIGHT_CELERY_VISIBILITY_SECONDS": str(given.visibility_seconds),
        }
        with _started("redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder):
            for loses_one in (False, True):
                _shared(database, variables, done["blocks"], loses_one=loses_one)
                rows = database.execute(ROWS.encode()).fetchone()
                print(f"rows, SIMs, digest: {rows}, in one process: {alone}", flush=True)
                assert rows == alone
        database.execute(f"DROP DATABASE {DAGSTER} WITH (FORCE)".encode())
        database.close()


if __name__ == "__main__":
    main()
