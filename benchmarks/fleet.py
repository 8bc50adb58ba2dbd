"""How long a day's predictions take over a whole fleet, step by step, with the memory they hold.

    python -m benchmarks.fleet [--sims 100000] [--days 365] [--processes 2] [--database-url postgresql://...]

The simulated fleet's daily usage (synthetic), a data quota a SIM, no events. Blocks of SIMs are scored by `--processes`
at a time, as Dagster's executor does. Training learns from at most 20,000 SIMs. Then the same day again, where nothing
is new: forecasts and exhaustion dates leave SIMs as they are, anomalies are looked for again. Then what came later to
the daily run: tickets, churn (with a model trained on another simulated fleet, whose SIMs leave) and recommendations
for quotas. The last line holds the daily run with these three against the one without: seconds by the clock, seconds of
CPU (those of PostgreSQL's processes included where it runs on this machine), and the largest memory of a process. On a
machine with other work only the CPU seconds say something. Uses a database of its own, which it drops.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import psutil
import psycopg
from pydantic import SecretStr
from sqlalchemy import URL

from benchmarks.churn import histories_of
from benchmarks.ingest import _text, server
from ml.tickets import starter_tickets
from pipelines.executors import PRELOADED
from resources.database.migrations import ensure_organization, migrate, storage_grade
from resources.runtime import Runtime
from resources.settings import Settings
from services.anomalies.detection import ANOMALIES
from services.anomalies.detection import train as train_detector
from services.churn import CHURN_RISKS
from services.churn import SPEC as CHURN_SPEC
from services.exhaustion import EXHAUSTIONS
from services.forecasting import USAGE_FORECASTS, train
from services.lifecycle import evaluate_lifecycle
from services.model_specs import TrainingInputs
from services.models import train_and_register
from services.quota.recommending import RECOMMENDATIONS
from services.scoring import Block, Staged, plan, publish, score_block
from services.tickets import classify_tickets
from services.tickets import train as train_classifier
from simulator.fleet import Fleet
from simulator.swaps import ENDS

AS_OF = date(2026, 6, 1)
CHUNK = 5_000
# as Dagster starts its steps here: forked from a process that has imported everything
FORKSERVER = get_context("forkserver")
PARTS = {
    "forecasts": USAGE_FORECASTS,
    "exhaustion dates": EXHAUSTIONS,
    "anomalies": ANOMALIES,
    "churn risks": CHURN_RISKS,
    "recommendations for quotas": RECOMMENDATIONS,
}
AGAIN = ", the same day again"
CHURN_DAYS = 640
FILL = """
INSERT INTO core.sims (organization_id, iccid, status, activated_at, quota_status, first_seen_at, changed_at)
SELECT 1, lpad(n::text, 19, '0'), 'Enabled', %(first)s::date, 0, %(first)s::date, %(first)s::date FROM
    generate_series(1, %(sims)s) AS n;
INSERT INTO core.sim_quota (organization_id, sim_key, kind, day, observed_at, amount_left, amount_total, expires_at)
SELECT 1, n, 'data', d::date, d + interval '1 hour', 5000000 + n * 4000::bigint, 500000000, '2034-01-01Z'
FROM generate_series(1, %(sims)s) AS n, generate_series(%(last)s::date, %(last)s::date + 2, interval '1 day') AS d;
INSERT INTO ops.polls (organization_id, sim_key, source, sweep_id, polled_at, covered_to)
SELECT 1, n, s, 1, %(last)s::date + interval '50 hours', CASE WHEN s = 'usage' THEN %(last)s::date + 1 END
FROM generate_series(1, %(sims)s) AS n, unnest(ARRAY['usage', 'quota', 'status', 'events']) AS s;
INSERT INTO core.products (organization_id, product_id, name, one_time_minor, currency, changed_at)
VALUES (1, 1, 'IoT SIM 500 MB, 10 years', 1000, 'EUR', now()), (1, 2, 'Top-up 500 MB', 1000, 'EUR', now())
"""
COPY = (
    "COPY core.sim_usage (organization_id, sim_key, day, bytes, bytes_rx, sms_mt, sms_mo, known_at) "
    "FROM STDIN (FORMAT csv)"
)


def fill(connection: psycopg.Connection[Any], sims: int, days: int) -> None:
    """The fleet with its usage up to AS_OF."""
    first = AS_OF - timedelta(days=days - 1)
    for statement in FILL.split(";\n"):
        psycopg.ClientCursor(connection).execute(statement.encode(), {"sims": sims, "first": first, "last": AS_OF})
    copy_usage(connection, sims, first, AS_OF)


def copy_usage(connection: psycopg.Connection[Any], sims: int, first: date, last: date) -> None:
    """The daily usage of SIMs 1 to `sims` of the simulated fleet."""
    fleet = Fleet(seed=901, sims=sims, start=first)
    dates = pl.date_range(first, last, "1d", eager=True)
    for start in range(0, sims, CHUNK):
        which = np.arange(start, min(start + CHUNK, sims))
        volume = fleet.usage(which, first, last).volume
        frame = pl.DataFrame(
            {
                "organization_id": 1,
                "sim_key": np.repeat(which + 1, len(dates)),
                "day": dates[np.tile(np.arange(len(dates)), which.size)],
                "bytes": volume.ravel(),
                "bytes_rx": volume.ravel() // 3,
                "sms_mt": 0,
                "sms_mo": 0,
            }
        ).with_columns(known_at=pl.col("day"))
        with connection.cursor().copy(COPY) as copy:
            copy.write(frame.write_csv(include_header=False))
    connection.execute("SELECT ops.add_up_days()")
    connection.execute(
        "VACUUM ANALYZE core.sims, core.sim_usage, core.sim_quota, ops.polls"
    )  # the rest is new and empty


@dataclass(frozen=True)
class Cost:
    """What a step took: seconds by the clock, seconds of CPU, and the largest memory of a process in MB."""

    seconds: float = 0.0
    cpu: float = 0.0
    held: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        """Both, one after the other."""
        return Cost(self.seconds + other.seconds, self.cpu + other.cpu, max(self.held, other.held))


def _costing(settings: Settings, step: Callable[[Runtime], Any]) -> tuple[Any, Cost]:
    """What a step returns and costs this process."""
    began = time.process_time()
    with Runtime(settings) as runtime:
        done = step(runtime)
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return done, Cost(0.0, time.process_time() - began, held)


def _planned(settings: Settings, part: str) -> tuple[list[Block], Cost]:
    return _costing(settings, lambda runtime: plan(runtime, PARTS[part], AS_OF, work_id="benchmark"))


def _scored(settings: Settings, part: str, block: Block) -> tuple[Staged, Cost]:
    return _costing(settings, lambda runtime: score_block(runtime, PARTS[part], block))


def _published(settings: Settings, part: str, staged: list[Staged]) -> Cost:
    """Its metadata stay there: they may hold pictures."""
    task = PARTS[part]
    return _costing(settings, lambda runtime: publish(runtime, task, AS_OF, staged, run_id="benchmark", show=False))[1]


def _done(settings: Settings, step: Callable[[Runtime, date], object]) -> Cost:
    return _costing(settings, lambda runtime: step(runtime, AS_OF))[1]


def _alone(settings: Settings, step: Callable[[Runtime, date], object]) -> tuple[str, Cost]:
    """A step in a process of its own, as Dagster runs it; returns what was done, and what it cost there."""
    with ProcessPoolExecutor(1, mp_context=FORKSERVER) as pool:
        return "", pool.submit(_done, settings, step).result()


def _in_blocks(settings: Settings, part: str, processes: int) -> tuple[str, Cost]:
    """One part of an as-of day; returns what was done, and what it cost the processes."""
    with ProcessPoolExecutor(1, mp_context=FORKSERVER) as pool:
        blocks, planning = pool.submit(_planned, settings, part).result()
    with ProcessPoolExecutor(processes, mp_context=FORKSERVER) as pool:
        done = list(pool.map(_scored, [settings] * len(blocks), [part] * len(blocks), blocks))
    scoring = sum((cost for _, cost in done), Cost())
    with ProcessPoolExecutor(1, mp_context=FORKSERVER) as pool:
        writing = pool.submit(_published, settings, part, [staged for staged, _ in done]).result()
    sims = sum(staged.scored for staged, _ in done)
    each = ", ".join(
        f"{cost.cpu:.1f} CPU s and {cost.held:.0f} MB to {what}"
        for what, cost in (("plan", planning), ("score", scoring), ("write", writing))
    )
    return f"{sims} SIMs in {len(blocks)} blocks, {each}; ", planning + scoring + writing


class Server:
    """The CPU that PostgreSQL's processes have used, where they run on this machine."""

    def __init__(self, url: URL) -> None:
        self._postmaster: psutil.Process | None = None
        with psycopg.connect(_text(url)) as connection, suppress(psutil.Error):
            backend = psutil.Process(connection.info.backend_pid)
            if backend.name() == "postgres":
                self._postmaster = backend.parent()

    def cpu(self) -> float:
        """Seconds so far: of the server, of its processes that have ended, and of those that run."""
        if self._postmaster is None:
            return 0.0
        times = self._postmaster.cpu_times()
        seconds = times.user + times.system + times.children_user + times.children_system
        for process in self._postmaster.children():
            with suppress(psutil.Error):
                seconds += sum(process.cpu_times()[:2])
        return float(seconds)


def timed(postgres: Server, what: str, step: Callable[[], tuple[str, Cost]]) -> Cost:
    """What a step costs, by all processes and the server; it is printed too."""
    began, before = time.perf_counter(), postgres.cpu()
    said, cost = step()
    seconds, served = time.perf_counter() - began, postgres.cpu() - before
    print(
        f"{what}: {seconds:.1f} s ({said}{cost.cpu:.1f} CPU s, {served:.1f} of PostgreSQL, {cost.held:.0f} MB)",
        flush=True,
    )
    return Cost(seconds, cost.cpu + served, cost.held)


def _train_churn(runtime: Runtime, as_of: date) -> None:
    """A champion of the churn model, from another fleet: this one's SIMs stay."""
    fleet = Fleet(seed=31, sims=2_000, start=as_of - timedelta(days=CHURN_DAYS - 1), scenario=ENDS)
    histories = histories_of(fleet, CHURN_DAYS)
    inputs = TrainingInputs({name: frame for name, frame in vars(histories).items() if frame is not None})
    train_and_register(runtime, replace(CHURN_SPEC, inputs=lambda *_: inputs), as_of)


def _classify(runtime: Runtime, as_of: date) -> None:
    classify_tickets(runtime, as_of, run_id="benchmark")


def _add_tickets(connection: psycopg.Connection[Any], sims: int) -> None:
    """One ticket for a hundred SIMs, each names one: the starter tickets over and over (synthetic)."""
    texts = starter_tickets()["text"]
    rows = [(f"case {n}", f"{texts[n % len(texts)]} ICCID {100 * n + 1:019}") for n in range(sims // 100)]
    connection.cursor().executemany(
        "INSERT INTO core.tickets (organization_id, case_id, body, status, created_at, communications, changed_at) "
        "VALUES (1, %s, %s, 'OPEN', now(), '[]', now())",
        rows,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sims", type=int, default=100_000)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--database-url", help="a server where databases can be made")
    given = parser.parse_args()
    FORKSERVER.set_forkserver_preload(PRELOADED)
    with server(given.database_url) as url, tempfile.TemporaryDirectory() as home:
        migrate(url)
        ensure_organization(url, "default")
        with psycopg.connect(_text(url), autocommit=True) as connection:
            print(f"{given.sims} SIMs, {given.days} days, {storage_grade(connection).name}", flush=True)
            fill(connection, given.sims, given.days)
            _add_tickets(connection, given.sims)
        now = datetime(AS_OF.year, AS_OF.month, AS_OF.day, 3, tzinfo=UTC) + timedelta(days=2)
        settings = Settings(
            home=Path(home),
            now=now,
            database_url=SecretStr(_text(url)),
            mlflow_tracking_uri=SecretStr(f"sqlite:///{home}/mlflow.db"),
            _env_file=None,
        )

        postgres = Server(url)

        def alone(what: str, step: Callable[[Runtime, date], object]) -> Cost:
            return timed(postgres, what, lambda: _alone(settings, step))

        def in_blocks(part: str, when: str = "") -> Cost:
            return timed(postgres, part + when, lambda: _in_blocks(settings, part, given.processes))

        alone("training of the forecaster, with its backtest", train)
        before = []
        for part in ("forecasts", "exhaustion dates"):
            before.append(in_blocks(part))
            in_blocks(part, AGAIN)
        before.append(alone("lifecycle", evaluate_lifecycle))
        alone("training of the anomaly detector, with its trial", train_detector)
        before.append(in_blocks("anomalies"))
        in_blocks("anomalies", AGAIN)
        alone("training of the ticket classifier", train_classifier)
        alone("training of the churn model, on another fleet", _train_churn)
        added = [alone("tickets", _classify), in_blocks("churn risks"), in_blocks("recommendations for quotas")]
        without = sum(before, Cost())
        whole = without + sum(added, Cost())
        print(
            f"daily before={without.seconds:.0f}s,{without.cpu:.0f}cpu,{without.held:.0f}MB "
            f"with={whole.seconds:.0f}s,{whole.cpu:.0f}cpu,{whole.held:.0f}MB "
            f"time={whole.seconds / without.seconds:.2f} cpu={whole.cpu / without.cpu:.2f} "
            f"memory={whole.held / without.held:.2f}"
        )


if __name__ == "__main__":
    main()
