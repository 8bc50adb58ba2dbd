"""How long a day's predictions take over a whole fleet, step by step, with the memory they hold.

    python -m benchmarks.fleet [--sims 100000] [--days 365] [--processes 2] [--database-url postgresql://...]

The simulated fleet's daily usage (synthetic), a data quota a SIM, no events. Blocks of SIMs are scored by `--processes`
at a time, as Dagster's executor does. Training learns from at most 20,000 SIMs. Then the same day again, where nothing
is new: forecasts and exhaustion dates leave SIMs as they are, anomalies are looked for again. Last the recommendations
for quotas, in one process. Uses a database of its own, which it drops.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, date, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import psycopg
from pydantic import SecretStr

from benchmarks.ingest import _text, server
from resources.database.migrations import ensure_organization, migrate, storage_grade
from resources.runtime import Runtime
from resources.settings import Settings
from services.anomalies.detection import ANOMALIES
from services.anomalies.detection import train as train_detector
from services.exhaustion import EXHAUSTIONS
from services.forecasting import USAGE_FORECASTS, train
from services.lifecycle import evaluate_lifecycle
from services.quota.recommending import RECOMMENDATIONS
from services.scoring import Block, Staged, plan, publish, score_block
from simulator.fleet import Fleet

AS_OF = date(2026, 6, 1)
CHUNK = 5_000
# as Dagster starts its steps here: forked from a process that has imported everything
FORKSERVER = get_context("forkserver")
PARTS = {"forecasts": USAGE_FORECASTS, "exhaustion dates": EXHAUSTIONS, "anomalies": ANOMALIES}
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
    connection.execute("VACUUM ANALYZE")


def _in_a_process(settings: Settings, part: str, block: Block) -> tuple[Staged, int]:
    with Runtime(settings) as runtime:
        return score_block(runtime, PARTS[part], block), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def scored(settings: Settings, part: str, processes: int) -> str:
    """One part of an as-of day; returns what was done."""
    with Runtime(settings) as runtime:
        blocks = plan(runtime, PARTS[part], AS_OF, work_id="benchmark")
        with ProcessPoolExecutor(processes, mp_context=FORKSERVER) as pool:
            parts = [part] * len(blocks)
            done = list(pool.map(_in_a_process, [settings] * len(blocks), parts, blocks))
        publish(runtime, PARTS[part], AS_OF, [one for one, _ in done], run_id="benchmark", show=False)
    held = max(memory for _, memory in done) / 1024
    return f"{sum(one.scored for one, _ in done)} SIMs in {len(blocks)} blocks, {held:.0f} MB a process"


def _recommended(runtime: Runtime) -> str:
    done = recommend(runtime, AS_OF, run_id="benchmark")
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return f"{done['state']}, {done['SIMs with an action']} SIMs with an action, {held:.0f} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sims", type=int, default=100_000)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--database-url", help="a server where databases can be made")
    given = parser.parse_args()
    FORKSERVER.set_forkserver_preload(["pipelines.definitions", "mlflow"])
    with server(given.database_url) as url, tempfile.TemporaryDirectory() as home:
        migrate(url)
        ensure_organization(url, "default")
        with psycopg.connect(_text(url), autocommit=True) as connection:
            print(f"{given.sims} SIMs, {given.days} days, {storage_grade(connection).name}", flush=True)
            fill(connection, given.sims, given.days)
        now = datetime(AS_OF.year, AS_OF.month, AS_OF.day, 3, tzinfo=UTC) + timedelta(days=2)
        settings = Settings(
            home=Path(home),
            now=now,
            database_url=SecretStr(_text(url)),
            mlflow_tracking_uri=SecretStr(f"sqlite:///{home}/mlflow.db"),
            _env_file=None,
        )

        def timed(what: str, step: Callable[[Runtime], object]) -> None:
            began = time.perf_counter()
            with Runtime(settings) as runtime:
                said = step(runtime)
            held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            note = said if isinstance(said, str) else f"{held:.0f} MB"
            print(f"{what}: {time.perf_counter() - began:.1f} s ({note})", flush=True)

        timed("training of the forecaster, with its backtest", lambda runtime: train(runtime, AS_OF))
        for part in PARTS:
            if part == "anomalies":
                timed("lifecycle", lambda runtime: evaluate_lifecycle(runtime, AS_OF))
                timed(
                    "training of the anomaly detector, with its trial", lambda runtime: train_detector(runtime, AS_OF)
                )
            for when in ("", ", the same day again"):
                timed(part + when, lambda _, part=part: scored(settings, part, given.processes))
        timed("recommendations for quotas", _recommended)


if __name__ == "__main__":
    main()
