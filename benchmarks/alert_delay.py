"""How long it takes from a POST of the Data Streamer until people and programs know that a SIM runs away, floods SMS or
is abroad.

    python -m benchmarks.alert_delay [--sims 2000] [--rounds 9] [--rate 100]

What runs is what runs in production, each in processes of its own: `simsight serve`, Dagster's daemon with its sensors
switched on (SIMSIGHT_SCHEDULES) and embedded PostgreSQL; around them a receiver of signed webhooks and a listener of
/v1/alerts/stream. All SIMs send ordinary records at a steady rate, and every round one SIM does something odd at a
moment of its own. Seconds count from just before the POST is sent. When a run was started, began and ended is what
Dagster itself notes. All data are synthetic. Uses a home of its own in a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import numpy as np
import psycopg
from psycopg.rows import dict_row

from benchmarks.fleet import copy_usage
from benchmarks.stream import record
from pipelines.demo import prepare
from pipelines.runs import WORKSPACE, environment
from pipelines.sensors import alert_outbox, stream_arrivals
from resources.channels import sign
from resources.database.server import driver_url
from resources.runtime import Runtime
from resources.settings import Settings
from services.access.api_keys import create_key
from services.access.stream_credentials import NewStream, create_stream
from services.anomalies.detection import ANOMALIES, train
from services.lifecycle import evaluate_lifecycle
from services.notifications import oncall
from services.scoring import score_day

DAYS = 90
SECRET = "secret-of-the-benchmark"
PATIENCE_S = 300.0
LOOP_S = 5  # Dagster's daemon looks at its sensors so often
KINDS = ("runaway", "SMS flood", "country")
STAGES = ("answered", "found", "live event", "message")
# ordinary SIMs of one device type, in Germany every day
FILL = """
INSERT INTO core.sims
    (organization_id, iccid, imei, label, status, activated_at, quota_status, first_seen_at, changed_at)
SELECT 1, lpad(n::text, 19, '0'), '35000001' || lpad(n::text, 6, '0') || '00', 'meter-' || n,
       'Enabled', %(first)s::date, 0, %(first)s::date,
       %(first)s::date FROM generate_series(1, %(sims)s) AS n;
INSERT INTO core.sim_events (organization_id, sim_key, occurred_at, event_type, imei, country, operator)
SELECT 1, s.sim_key, d + interval '6 hours', 'Create PDP Context', s.imei, 'Germany', 'Telekom'
FROM core.sims AS s, generate_series(%(last)s::date - 29, %(last)s::date, interval '1 day') AS d
"""


def fill(connection: psycopg.Connection[Any], sims: int, last: date) -> None:
    first = last - timedelta(days=DAYS - 1)
    for statement in FILL.split(";\n"):
        psycopg.ClientCursor(connection).execute(statement.encode(), {"sims": sims, "first": first, "last": last})
    copy_usage(connection, sims, first, last)


class Heard:
    """When something about a SIM was first heard of, by ICCID."""

    def __init__(self) -> None:
        self.at: dict[str, float] = {}

    def note(self, iccid: str) -> None:
        self.at.setdefault(iccid, time.time())

    def wait(self, iccid: str) -> float:
        end = time.monotonic() + PATIENCE_S
        while iccid not in self.at:
            if time.monotonic() > end:
                raise TimeoutError(f"nothing was heard of {iccid} in {PATIENCE_S:.0f} s")
            time.sleep(0.01)
        return self.at[iccid]


@contextmanager
def receiver(heard: Heard) -> Iterator[str]:
    """A receiver of webhooks that looks at their signatures; gives its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            right = f"v1={sign(SECRET, int(self.headers['x-simsight-timestamp']), body)}"
            signed = self.headers["x-simsight-signature"] == right
            for alert in json.loads(body)["alerts"] if signed else ():
                heard.note(alert["iccid"])
            self.send_response(204 if signed else 401)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/alerts"
    server.shutdown()


def listen(client: httpx.Client, key: str, heard: Heard) -> None:
    """Note every alert that is opened, as the live stream tells it."""

    def follow() -> None:
        with (
            suppress(httpx.TransportError),  # the service has ended
            client.stream("GET", "/v1/alerts/stream", headers={"X-API-Key": key}, timeout=None) as answer,
        ):
            for line in answer.iter_lines():
                if line.startswith("data: ") and (iccid := json.loads(line[6:]).get("iccid")):
                    heard.note(iccid)

    threading.Thread(target=follow, daemon=True).start()


def watch(address: str, heard: Heard) -> None:
    """Note every live anomaly as soon as another connection can see it."""

    def follow() -> None:
        newest = 0
        query = "SELECT anomaly_id, iccid FROM predictions.anomalies_v1 WHERE live AND anomaly_id > %s ORDER BY 1"
        with suppress(psycopg.OperationalError), psycopg.connect(address, autocommit=True) as connection:
            while True:  # until the server has ended
                for number, iccid in connection.execute(query, (newest,)).fetchall():
                    heard.note(iccid)
                    newest = number
                time.sleep(0.02)

    threading.Thread(target=follow, daemon=True).start()


@dataclass
class Fleet:
    """Posts records of all SIMs, ordinary ones in a thread of its own."""

    client: httpx.Client
    stream: NewStream
    sims: int
    sent: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def numbered(self, **about: Any) -> dict[str, Any]:
        with self.lock:
            self.sent += 1
            return record(self.sent, self.sims) | about

    def post(self, records: list[dict[str, Any]]) -> None:
        answer = self.client.post(self.stream.path, json=records, auth=(self.stream.stream_id, self.stream.secret))
        answer.raise_for_status()

    def ordinary(self, rate: int, stop: threading.Event) -> None:
        """A POST a second with so many small records of this moment."""
        while not stop.wait(1.0):
            now = datetime.now(UTC)
            volume = {"total": 0.0002, "rx": 0.0001, "tx": 0.0001}
            self.post([self.numbered(volume=volume, **_at(now)) for _ in range(rate)])

    def odd(self, sim: int, kind: str, limits: dict[str, Any]) -> None:
        """What one SIM does that it should not."""
        now = datetime.now(UTC)
        who = record(sim - 1, self.sims)["sim"]
        if kind == "country":
            detail = {"country": {"id": 1, "name": "Morocco"}, "operator": {"id": 9, "name": "Inwi"}}
            kinds = {"event_type": {"id": 3, "description": "Update location"}, "timestamp": _stamp(now)}
            self.post([{"id": self.numbered()["id"], "sim": who, "detail": detail, "alert": False, **kinds}])
            return
        total = 20 * limits["bytes_limits"][now.weekday()] / 1e6 if kind == "runaway" else 20 * limits["sms_limit"]
        volume = {"total": round(total, 6), "rx": 0, "tx": round(total, 6)}
        traffic = {"id": 5, "description": "Data"} if kind == "runaway" else {"id": 6, "description": "SMS"}
        self.post([self.numbered(sim=who, volume=volume, traffic_type=traffic, **_at(now))])


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _at(now: datetime) -> dict[str, str]:
    return {"start_timestamp": _stamp(now - timedelta(seconds=1)), "end_timestamp": _stamp(now)}


@contextmanager
def running(name: str, *arguments: str, variables: dict[str, str], log: Path) -> Iterator[None]:
    """A command of this environment in a process group of its own, until the block ends."""
    command = [str(Path(sys.executable).with_name(name)), *arguments]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=os.environ | variables, cwd=log.parent, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        with suppress(ProcessLookupError):  # the daemon leaves its code server behind
            os.killpg(process.pid, signal.SIGKILL)


def ready(client: httpx.Client) -> None:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        try:
            if client.get("/health").is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise TimeoutError("the service did not start")


def runs(instance: dg.DagsterInstance, job: str, since: float) -> np.ndarray:
    """(runs, 3) seconds of the successful runs of a job: from launch to its process, in it before the work, and the
    work.
    """
    wanted = dg.RunsFilter(job_name=job, statuses=[dg.DagsterRunStatus.SUCCESS])
    rows = []
    for found in instance.get_run_records(wanted, limit=1000):
        steps = instance.get_run_step_stats(found.dagster_run.run_id)
        created = found.create_timestamp.timestamp()
        if created < since or not steps or found.start_time is None:
            continue
        begun, ended = min(s.start_time or 0 for s in steps), max(s.end_time or 0 for s in steps)
        rows.append((found.start_time - created, begun - found.start_time, ended - begun))
    return np.array(rows or [(np.nan,) * 3])


def learnt(runtime: Runtime, sims: int) -> list[dict[str, Any]]:
    """A fleet whose detector has learnt what is ordinary: the SIMs that have a limit, with it."""
    prepare(runtime)
    as_of = runtime.last_complete_day()
    with psycopg.connect(_address(runtime), autocommit=True, row_factory=dict_row) as connection:
        fill(connection, sims, as_of)
        evaluate_lifecycle(runtime, as_of)
        train(runtime, as_of - timedelta(days=1))
        score_day(runtime, ANOMALIES, as_of, run_id="benchmark")
        return connection.execute(
            "SELECT sim_key, bytes_limits, sms_limit FROM predictions.anomaly_state WHERE bytes_limits[1] < 10^9"
        ).fetchall()


def _address(runtime: Runtime) -> str:
    return driver_url(runtime.server.simsight, "").render_as_string(hide_password=False)


def go_odd(
    fleet: Fleet, odd: list[dict[str, Any]], heard: list[Heard], chosen: random.Random
) -> tuple[np.ndarray, float]:
    """(rounds, stages) seconds, a SIM a round, and when the counted rounds began: the first one only warms up."""
    rows, began = [], 0.0
    print("seconds after the POST    " + ", ".join(STAGES))
    for number, about in enumerate(odd):
        time.sleep(chosen.uniform(0, 15))
        kind, sent = KINDS[number % len(KINDS)], time.time()
        fleet.odd(about["sim_key"], kind, about)
        answered = time.time()
        seconds = [answered - sent, *(one.wait(f"{about['sim_key']:019d}") - sent for one in heard)]
        if number:
            rows.append(seconds)
        else:
            kind, began = "(warming up)", time.time()
        print(f"{kind:24s}  " + ", ".join(f"{one:.2f}" for one in seconds), flush=True)
    return np.array(rows), began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sims", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--rate", type=int, default=100, help="ordinary records a second")
    given = parser.parse_args()
    found, live, message = Heard(), Heard(), Heard()
    chosen = random.Random(1)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ss-", ignore_cleanup_errors=True)))
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        settings = Settings(home=folder / "home", _env_file=None)
        runtime = stack.enter_context(Runtime(settings))
        odd = chosen.sample(learnt(runtime, given.sims), given.rounds + 1)
        database, now = runtime.database, runtime.clock()
        stream = create_stream(database, "benchmark", now=now)
        key = create_key(database, "benchmark", now=now, valid_for=None)
        oncall.add_channel(database, "hook", url_variable="HOOK_URL", secret_variable="HOOK_SECRET", now=now)

        variables = environment(runtime) | {"SIMSIGHT_SCHEDULES": "true", "SIMSIGHT_API_PORT": str(port)}
        variables |= {"HOOK_URL": stack.enter_context(receiver(message)), "HOOK_SECRET": SECRET}
        daemon = ("dagster-daemon", "run", "-w", str(WORKSPACE))
        stack.enter_context(running("simsight", "serve", variables=variables, log=folder / "serve.log"))
        stack.enter_context(running(*daemon, variables=variables, log=folder / "daemon.log"))
        client = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30))
        ready(client)
        listen(client, key, live)
        watch(_address(runtime), found)
        fleet, stop = Fleet(client, stream, given.sims), threading.Event()
        sender = threading.Thread(target=fleet.ordinary, args=(given.rate, stop))
        sender.start()
        stack.callback(sender.join)
        stack.callback(stop.set)

        table, began = go_odd(fleet, odd, [found, live, message], chosen)
        os.environ.update(variables)
        waits, spans = {"process_stream": stream_arrivals, "notify": alert_outbox}, []
        with dg.DagsterInstance.get() as instance:
            for job, sensor in waits.items():
                spent = runs(instance, job, began)
                spans.append(np.array([np.median(spent, axis=0), spent.max(axis=0)]))
                middle, most = (" ".join(f"{one:.1f}" for one in row) for row in spans[-1])
                print(
                    f"{job}: sensor every {sensor.minimum_interval_seconds} s; {len(spent)} runs, seconds until the "
                    f"process, until the work, "
                    f"of the work: median {middle}, most {most}"
                )
    # just missed: a whole interval and a turn of the daemon's loop, then a run, twice
    waited = np.array([(sensor.minimum_interval_seconds or 0) + LOOP_S for sensor in waits.values()])
    for name, at in (("median", 0), ("slowest", 1)):
        found_s, message_s = np.cumsum(waited + [span[at].sum() for span in spans])
        print(f"worst case with the {name} runs: found {found_s:.0f}, message {message_s:.0f}")
    for name, row in (("median", np.median(table, axis=0)), ("most", table.max(axis=0))):
        print(f"{name}: " + ", ".join(f"{stage} {one:.1f}" for stage, one in zip(STAGES, row, strict=True)))


if __name__ == "__main__":
    main()
