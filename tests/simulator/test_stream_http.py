"""The stream arrives whatever the receiver does, over real HTTP; or as files; and it follows the simulator's clock."""

import csv
import gzip
import json
import logging
import os
import signal
import socket
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from resources.once.stream_records import parse_record
from services.ingest.stream_files import _records
from simulator.account import SimCards
from simulator.fleet import Fleet
from simulator.server import SimulatorServer
from simulator.stream_feed import Feed, records
from simulator.stream_files import Folder, write_files
from simulator.stream_http import Disturbance, Streamer, StreamFailedError
from tests.conftest import LOCAL
from tests.forked import Forked

BEGIN = datetime(2026, 6, 19, 23, 59, 59, tzinfo=UTC)
END = BEGIN + timedelta(days=2)
SECRET = "a-secret-that-nobody-should-see"


@pytest.fixture(scope="module")
def cards() -> SimCards:
    return SimCards(Fleet(seed=12, sims=60, start=date(2026, 3, 1)))


@pytest.fixture(scope="module")
def sent(cards: SimCards) -> list[dict[str, Any]]:
    return records(cards, BEGIN, END)


class Receiver(ThreadingHTTPServer):
    """Keeps what it is sent, and answers as it is told to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/streams/1nce/s"
        self.answers: list[int] = []  # of the next POSTs; 200 afterwards. 0 drops the connection, 1 waits until `go_on`
        self.go_on = Event()
        self.bodies: list[list[dict[str, Any]]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []

    @property
    def arrived(self) -> list[dict[str, Any]]:
        return [record for body in self.bodies for record in body]


class _Handler(BaseHTTPRequestHandler):
    server: Receiver
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        status = self.server.answers.pop(0) if self.server.answers else 200
        self.server.headers.append(dict(self.headers))
        self.server.paths.append(self.path)
        if status < 100:
            if status == 1:
                self.server.go_on.wait(10)
            self.close_connection = True
            return
        if status == 200:
            self.server.bodies.append(json.loads(body))
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.go_on.set()
        server.shutdown()
        thread.join()


Opens = Callable[..., Streamer]


@pytest.fixture
def stream(cards: SimCards, receiver: Receiver) -> Iterator[Opens]:
    """Opens a stream to the receiver."""
    opened = []

    def open_one(types: tuple[str, ...] = ("usage", "events"), **more: Any) -> Streamer:
        options: dict[str, Any] = {"url": receiver.url, "place": BEGIN, "backoff_s": 0.001} | more
        opened.append(Streamer(Feed(cards, types), user="user", secret=SecretStr(SECRET), **options))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


def until(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def test_everything_arrives_in_order_with_basic_auth(
    stream: Opens, receiver: Receiver, sent: list[dict[str, Any]]
) -> None:
    streamer = stream(batch=150)
    assert streamer.send_until(END) == len(sent) == streamer.acknowledged
    assert receiver.arrived == sent
    assert streamer.place == END
    assert streamer.send_until(END) == 0
    expected = "Basic " + b64encode(f"user:{SECRET}".encode()).decode()
    assert {headers["Authorization"] for headers in receiver.headers} == {expected}
    assert max(len(body) for body in receiver.bodies) == 150


@pytest.mark.parametrize("compressed", [True, False])
def test_a_body_is_packed_or_not(
    stream: Opens, receiver: Receiver, compressed: bool, sent: list[dict[str, Any]]
) -> None:
    stream(compressed=compressed, batch=3000).send_until(END)
    assert receiver.arrived == sent
    assert {headers.get("Content-Encoding") for headers in receiver.headers} == {"gzip" if compressed else None}
    assert {headers["Content-Type"] for headers in receiver.headers} == {"application/json"}


def test_what_is_not_answered_200_is_sent_again_and_no_redirect_is_followed(
    stream: Opens, receiver: Receiver, sent: list[dict[str, Any]]
) -> None:
    receiver.answers = [500, 503, 204, 307, 0, 200, 202, 401, 429]
    streamer = stream()
    streamer.send_until(END)
    assert receiver.arrived == sent
    assert streamer.repeats == 8
    assert streamer.posts == len(receiver.headers) == len(receiver.bodies) + 8
    assert set(receiver.paths) == {"/streams/1nce/s"}


def test_what_is_not_answered_in_time_is_sent_again(stream: Opens, receiver: Receiver) -> None:
    receiver.answers = [1]
    streamer = stream(timeout_s=0.2)
    assert streamer.send_until(BEGIN + timedelta(hours=6)) == len(receiver.arrived) > 0
    assert streamer.repeats == 1


def test_a_receiver_that_is_away_is_tried_again_until_it_is_back(cards: SimCards) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        streamer = Streamer(
            Feed(cards),
            f"http://127.0.0.1:{port}/",
            "user",
            SecretStr(SECRET),
            place=BEGIN,
            attempts=3,
            backoff_s=0.001,
        )
        with pytest.raises(StreamFailedError, match="3 tries"):
            streamer.send_until(END)
    assert (streamer.posts, streamer.repeats, streamer.acknowledged) == (3, 2, 0)
    assert streamer.place == BEGIN
    streamer.close()


def test_a_stream_that_is_refused_too_often_has_failed_until_a_person_restarts_it(
    stream: Opens, receiver: Receiver, sent: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    receiver.answers = [200, 200, *[500] * 4]
    streamer = stream(attempts=4)
    with pytest.raises(StreamFailedError, match="FAILED") as failed:
        streamer.send_until(END)
    assert streamer.acknowledged == len(receiver.arrived) > 0
    assert len(receiver.bodies) == 2
    posts = streamer.posts
    with pytest.raises(StreamFailedError, match="restart"):
        streamer.send_until(END)
    assert streamer.posts == posts  # nothing is sent meanwhile
    streamer.restart()
    streamer.send_until(END)
    assert receiver.arrived == sent  # it went on with the batch that was refused
    assert SECRET not in caplog.text + str(failed.value) + repr(streamer) + repr(vars(streamer))


def test_waits_grow_and_are_jittered(stream: Opens, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    receiver.answers = [500] * 6
    streamer, waits = stream(attempts=7, backoff_s=0.004, max_backoff_s=0.016), []
    monkeypatch.setattr(streamer, "_pause", waits.append)
    streamer.send_until(BEGIN + timedelta(hours=6))
    longest = [0.004, 0.008, 0.016, 0.016, 0.016, 0.016]
    assert all(most / 2 <= wait <= most for wait, most in zip(waits, longest, strict=True))
    assert len(set(waits[2:])) == 4


def test_a_replay_sends_the_last_seven_days_again_and_not_more(stream: Opens, receiver: Receiver) -> None:
    streamer = stream(("usage",), place=END - timedelta(days=1))
    streamer.send_until(END)
    once = receiver.arrived
    streamer.replay(END - timedelta(days=1))
    streamer.send_until(END)
    assert receiver.arrived == once * 2
    streamer.replay(END - timedelta(days=7))
    for wrong in (END, END - timedelta(days=15)):
        with pytest.raises(ValueError, match="at most 7 days"):
            streamer.replay(wrong)


def test_a_new_streamer_goes_on_at_the_place_of_the_old_one(
    stream: Opens, receiver: Receiver, sent: list[dict[str, Any]]
) -> None:
    receiver.answers = [*[200] * 5, *[500] * 2]
    old = stream(attempts=2)
    with pytest.raises(StreamFailedError):
        old.send_until(END)
    stream(place=old.place).send_until(END)
    assert {record["id"] for record in receiver.arrived} == {record["id"] for record in sent}


def test_disturbed_records_all_arrive(stream: Opens, receiver: Receiver, sent: list[dict[str, Any]]) -> None:
    streamer = stream(disturbance=Disturbance(duplicates=0.2, late=0.3, shuffled=10, reversed=True))
    streamer.send_until(END)
    assert {record["id"] for record in receiver.arrived} == {record["id"] for record in sent}
    assert len(receiver.arrived) == streamer.acknowledged > len(sent) * 1.1


def test_a_rate_is_kept(stream: Opens, receiver: Receiver, sent: list[dict[str, Any]]) -> None:
    streamer, rate = stream(batch=50, records_per_second=2_000), 2_000
    began = time.monotonic()
    streamer.send_until(BEGIN + timedelta(hours=12))
    assert len(receiver.arrived) > 200
    assert time.monotonic() - began >= (len(receiver.arrived) - 50) / rate


@pytest.mark.parametrize("size", [0, 3001])
def test_a_batch_that_1nce_does_not_send_is_refused(stream: Opens, size: int) -> None:
    with pytest.raises(ValueError, match="1 to 3000"):
        stream(batch=size)


@pytest.mark.parametrize("url", ["ftp://host/x", "host/x", f"http://user:{SECRET}@host/x"])
def test_a_url_that_is_none_or_has_a_password_in_it_is_refused_without_showing_it(stream: Opens, url: str) -> None:
    with pytest.raises(ValueError, match="without a user name") as refused:
        stream(url=url)
    assert SECRET not in str(refused.value)


# --- files
# -----------------------------------------------------------------------------------------------------------------


def read(path: Path) -> list[Any]:
    with path.open("rb") as opened:
        return list(_records(opened))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("form", ["json", "csv"])
def test_files_hold_what_a_stream_sends(
    cards: SimCards, sent: list[dict[str, Any]], tmp_path: Path, form: Any, packed: bool
) -> None:
    written = write_files(Feed(cards), tmp_path / "new", BEGIN, END, form=form, packed=packed)
    assert sorted((tmp_path / "new").iterdir()) == sorted(written)
    assert all(path.name.endswith(f".{form}" + ".gz" * packed) for path in written)
    found = [parse_record(record, received_at=END) for path in written for record in read(path)]
    assert sorted(found) == sorted(parse_record(record, received_at=END) for record in sent)
    before = {path: path.read_bytes() for path in written}
    write_files(Feed(cards), tmp_path / "new", BEGIN, END, form=form, packed=packed)
    assert {path: path.read_bytes() for path in written} == before


def test_a_csv_has_dotted_names_and_leaves_null_empty(cards: SimCards, tmp_path: Path) -> None:
    path = write_files(Feed(cards, ("usage",)), tmp_path, BEGIN, END, form="csv")[0]
    with path.open(newline="", encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    assert {"id", "sim.iccid", "volume.total", "operator.country.mcc", "tariff.ratezone.name"} <= set(rows[0])
    assert "" in {row["endpoint.imei"] for row in rows}
    assert len({row["endpoint.imei"] for row in rows}) > 10


def test_a_folder_gets_each_quarter_of_an_hour_when_it_is_over(cards: SimCards, tmp_path: Path) -> None:
    start = datetime(2026, 6, 20, 8, 7, tzinfo=UTC)
    folder = Folder(Feed(cards), tmp_path, place=start)
    assert folder.send_until(start + timedelta(minutes=7, seconds=59)) == 0
    assert folder.send_until(start + timedelta(minutes=8)) > 0
    folder.send_until(start + timedelta(hours=20))
    folder.send_until(start)
    found = [record["id"] for path in tmp_path.iterdir() for record in read(path)]
    expected = records(cards, start - timedelta(minutes=7), datetime(2026, 6, 21, 4, 0, tzinfo=UTC))
    assert sorted(found) == sorted(record["id"] for record in expected)


# --- the clock
# -------------------------------------------------------------------------------------------------------------


def test_moving_the_clock_sends_what_happened_meanwhile(receiver: Receiver, cards: SimCards) -> None:
    def opened(of: SimCards) -> Streamer:
        options: dict[str, Any] = {"place": BEGIN, "attempts": 2, "backoff_s": 0.001}
        return Streamer(Feed(of), receiver.url, "user", SecretStr(SECRET), **options)

    with SimulatorServer(cards.fleet, now=BEGIN, stream=opened) as server:
        ours = server.base_url.replace("/management-api", "/simulator")

        def state() -> Any:
            return httpx.get(f"{ours}/stream", **LOCAL).json()

        def move(now: datetime) -> None:
            httpx.post(f"{ours}/clock", json={"now": now.isoformat()}, **LOCAL).raise_for_status()
            until(lambda: state()["place"] == now.isoformat() or state()["state"] == "FAILED")

        middle = BEGIN + timedelta(hours=30)
        move(middle)
        assert receiver.arrived == records(cards, BEGIN, middle)
        receiver.answers = [500, 500]
        move(END)
        assert state()["state"] == "FAILED"
        assert httpx.post(f"{ours}/stream", json={"restart": True}, **LOCAL).json()["state"] == "RUNNING"
        until(lambda: state()["place"] == END.isoformat())
        assert receiver.arrived == records(cards, BEGIN, END)
        assert state()["acknowledged"] == len(receiver.arrived)

        assert httpx.post(f"{ours}/stream", json={"replay": BEGIN.isoformat()}, **LOCAL).status_code == 200
        until(lambda: state()["acknowledged"] == 2 * len(records(cards, BEGIN, END)))
        for wrong in ({"replay": "2020-01-01T00:00:00Z"}, {"replay": 5}, {}, [], {"replay": "2026-06-20T00:00:00"}):
            answer = httpx.post(f"{ours}/stream", json=wrong, **LOCAL)
            assert answer.status_code == 400, wrong
            assert "restart" in answer.json()["message"]


def test_leaving_does_not_wait_for_a_receiver_that_is_away(cards: SimCards) -> None:
    def opened(of: SimCards) -> Streamer:
        return Streamer(Feed(of), "http://127.0.0.1:9/", "user", SecretStr(SECRET), place=BEGIN, backoff_s=60)

    with SimulatorServer(cards.fleet, now=END, stream=opened):
        time.sleep(0.2)
        left = time.monotonic()
    assert time.monotonic() - left < 4


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def run_simulator(arguments: list[str], **environment: str) -> Forked:
    known = {name: value for name, value in os.environ.items() if not name.startswith(("SIMSIGHT_", "ONCE_"))}
    command = ["simsight", "simulate", "--sims", "40", "--port", "0", *arguments]
    return Forked(command, known | {"SIMSIGHT_NOW": "2026-06-22T12:00:00Z"} | environment, Path.cwd())


def test_the_command_sends_history_and_goes_on_live_and_never_shows_the_secret(receiver: Receiver) -> None:
    options = ["--live", "--stream-url", receiver.url, "--stream-user", "user", "--stream-history", "2"]
    process = run_simulator(options, SIMSIGHT_STREAM_SECRET=SECRET)
    fleet = Fleet(seed=7, sims=40, start=date(2026, 6, 22) - timedelta(days=180))
    now = datetime(2026, 6, 22, 12, tzinfo=UTC)
    expected = records(SimCards(fleet), now - timedelta(days=2), now)
    try:
        until(lambda: len(receiver.arrived) >= len(expected) or process.poll() is not None, 60)
    finally:
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=20)
    assert receiver.arrived[: len(expected)] == expected
    assert SECRET not in said
    assert all("end_timestamp" in r or "timestamp" in r for r in receiver.arrived[len(expected) :])


def test_the_command_writes_files(tmp_path: Path) -> None:
    process = run_simulator(["--stream-folder", str(tmp_path), "--stream-history", "1"])
    fleet = Fleet(seed=7, sims=40, start=date(2026, 6, 22) - timedelta(days=180))
    now = datetime(2026, 6, 22, 12, tzinfo=UTC)
    expected = {record["id"] for record in records(SimCards(fleet), now - timedelta(days=1), now)}

    def found() -> set[int]:
        return {record["id"] for path in tmp_path.glob("*.json.gz") for record in read(path)}

    try:
        until(lambda: found() == expected or process.poll() is not None, 60)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert found() == expected


def test_the_command_serves_a_hybrid_account(tmp_path: Path) -> None:
    port = free_port()
    options = ["--stream-folder", str(tmp_path), "--stream-history", "1", "--stream-shape", "mixed"]
    options += ["--platform2-share", "0.5", "--v1-until", "2026-06-22", "--port", str(port)]
    process = run_simulator(options)
    fleet = Fleet(seed=7, sims=40, start=date(2026, 6, 22) - timedelta(days=180), platform2_share=0.5)
    now = datetime(2026, 6, 22, 12, tzinfo=UTC)
    sent = records(SimCards(fleet), now - timedelta(days=1), now, stream="mixed")

    def found() -> list[dict[str, Any]]:
        return [record for path in tmp_path.glob("*.json.gz") for record in read(path)]

    try:
        until(lambda: len(found()) >= len(sent) or process.poll() is not None, 60)
        about = httpx.get(f"http://127.0.0.1:{port}/simulator", timeout=20).json()
        gone = httpx.get(f"http://127.0.0.1:{port}/management-api/v1/sims", timeout=20).status_code
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert (about["platform2_share"], about["v1_until"], about["stream"], gone) == (0.5, "2026-06-22", "mixed", 410)
    flat = {record["id"] for record in sent if "endpoint_name" in record}
    assert flat
    assert {record["id"] for record in found() if "endpoint_name" in record} == flat
    assert {record["id"] for record in found()} == {record["id"] for record in sent}


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["--stream-url", "http://127.0.0.1:9/"], {"SIMSIGHT_STREAM_SECRET": SECRET}),
        (["--stream-url", "http://127.0.0.1:9/", "--stream-user", "user"], {}),
        (["--stream-url", "http://127.0.0.1:9/", "--stream-user", "u", "--stream-folder", "x"], {}),
    ],
)
def test_the_command_says_what_a_stream_lacks(arguments: list[str], environment: dict[str, str]) -> None:
    process = run_simulator(arguments, **environment)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "--stream-url" in said
    assert SECRET not in said
