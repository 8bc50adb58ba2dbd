"""The simulator as 1NCE's Data Streamer: what it sends agrees with the account, and arrives whatever the receiver does."""

import gzip
import json
import logging
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from threading import Thread
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from resources.once_stream import parse_record
from simulator.account import EVENT_KINDS, SimCards
from simulator.fleet import Fleet
from simulator.ledger import moment
from simulator.streamer import Disturbance, Streamer, StreamFailedError, book, records

FIRST, LAST = date(2026, 6, 20), date(2026, 6, 22)
BEGIN = datetime(2026, 6, 19, 23, 59, 59, tzinfo=UTC)
END = BEGIN + timedelta(days=3)
SECRET = "a-secret-that-nobody-should-see"


@pytest.fixture(scope="module")
def cards() -> SimCards:
    """60 SIMs; some are in the firmware loop, whose sessions are many."""
    return SimCards(Fleet(seed=12, sims=60, start=date(2026, 3, 1)))


@pytest.fixture(scope="module")
def sent(cards: SimCards) -> list[dict[str, Any]]:
    return records(cards, BEGIN, END)


def volumes(found: list[dict[str, Any]], kind: int = 5) -> Counter[tuple[str, date]]:
    total: Counter[tuple[str, date]] = Counter()
    for record in found:
        if record.get("traffic_type", {}).get("id") == kind:
            unit = 1_000_000 if kind == 5 else 1
            day = datetime.fromisoformat(record["end_timestamp"]).date()
            total[record["sim"]["iccid"], day] += round(record["volume"]["total"] * unit)
    return total


def test_the_usage_records_of_closed_days_add_up_to_the_book(cards: SimCards, sent: list[dict[str, Any]]) -> None:
    assert volumes(sent) == Counter(book(cards, FIRST, LAST))
    used = cards.fleet.usage(range(cards.fleet.sims), FIRST, LAST)
    assert sum(volumes(sent, 6).values()) == int((used.sms_mo + used.sms_mt).sum())
    assert any(record["volume"]["rx"] for record in sent if "volume" in record)


def test_every_record_is_one_that_the_pipeline_takes(sent: list[dict[str, Any]]) -> None:
    for record in sent:
        parse_record(json.loads(json.dumps(record)), received_at=END)
        if "volume" in record:
            amounts = {name: round(value * 1_000_000) for name, value in record["volume"].items()}
            assert amounts["rx"] + amounts["tx"] == amounts["total"]
            assert min(amounts.values()) >= 0


def test_a_long_session_reports_every_quarter_of_an_hour_and_a_small_one_only_at_its_end(
    sent: list[dict[str, Any]],
) -> None:
    data = [record for record in sent if record.get("traffic_type", {}).get("id") == 5]
    spans = [
        datetime.fromisoformat(r["end_timestamp"]) - datetime.fromisoformat(r["start_timestamp"])
        for r in data
        if r["volume"]["total"] > 0.1
    ]
    assert max(spans) <= timedelta(minutes=15)
    assert len(data) > sum(record.get("event_type", {}).get("id") == 5 for record in sent) > 0


def test_events_are_those_of_the_events_call(cards: SimCards, sent: list[dict[str, Any]]) -> None:
    streamed = {
        (r["sim"]["iccid"], datetime.fromisoformat(r["timestamp"]), r["event_type"]["description"])
        for r in sent
        if "event_type" in r
    }
    listed = set()
    for i in range(cards.fleet.sims):
        ticks, kinds = cards.events(i, END)
        listed |= {(cards.fleet.iccids[i], moment(t), EVENT_KINDS[k][0]) for t, k in zip(ticks, kinds, strict=True)}
    assert streamed == {event for event in listed if BEGIN < event[1] <= END}


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 3 * 86_400 - 1), min_size=1, max_size=3, unique=True))
def test_however_time_is_cut_each_record_is_made_once(cuts: list[int]) -> None:
    few = SimCards(Fleet(seed=3, sims=12, start=date(2026, 3, 1)))
    whole = records(few, BEGIN, END)
    borders = [BEGIN, *(BEGIN + timedelta(seconds=cut) for cut in sorted(cuts)), END]
    parts = [record for a, b in pairwise(borders) for record in records(few, a, b)]
    assert sorted(parts, key=lambda r: r["id"]) == sorted(whole, key=lambda r: r["id"])


def test_ids_are_unique_and_exact_in_every_json_parser(sent: list[dict[str, Any]]) -> None:
    ids = [record["id"] for record in sent]
    assert len(set(ids)) == len(ids)
    assert max(ids) < 2**53


def test_a_disturbance_repeats_reorders_and_breaks_but_loses_nothing(sent: list[dict[str, Any]]) -> None:
    disturbed = Disturbance(duplicates=0.3, late=0.2, reversed=True, broken=0.05)(sent)
    ids = Counter(record["id"] for record in disturbed)
    assert {record["id"] for record in sent} <= ids.keys()
    assert sum(count == 2 for count in ids.values()) > len(sent) * 0.2
    broken = [record for record in disturbed if record["id"] >= 1 << 52]
    assert broken
    for record in broken:
        with pytest.raises(ValueError, match="timestamp: got 'yesterday'"):
            parse_record(record, received_at=END)


# --- the sender --------------------------------------------------------------------------------------------------------


class Receiver(ThreadingHTTPServer):
    """Keeps what it is sent, and answers as it is told to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/streams/1nce/s"
        self.answers: list[int] = []  # of the next POSTs; 200 afterwards
        self.bodies: list[list[dict[str, Any]]] = []
        self.headers: list[dict[str, str]] = []


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        status = self.server.answers.pop(0) if self.server.answers else 200
        if status == 200:
            self.server.bodies.append(json.loads(body))
        self.server.headers.append(dict(self.headers))
        self.send_response(status)
        if status == 307:
            self.send_header("Location", self.server.url)
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
        server.shutdown()
        thread.join()


def streamer(cards: SimCards, receiver: Receiver, **more: Any) -> Streamer:
    options: dict[str, Any] = {"place": BEGIN, "backoff_s": 0.001} | more
    return Streamer(cards, receiver.url, "user", SecretStr(SECRET), **options)


def arrived(receiver: Receiver) -> list[dict[str, Any]]:
    return [record for body in receiver.bodies for record in body]


def test_everything_arrives_in_order_with_basic_auth(
    cards: SimCards, receiver: Receiver, sent: list[dict[str, Any]]
) -> None:
    stream = streamer(cards, receiver, batch=3000)
    assert stream.send_until(END) == len(sent)
    assert arrived(receiver) == sent
    assert stream.place == END
    assert stream.send_until(END) == 0
    expected = "Basic " + b64encode(f"user:{SECRET}".encode()).decode()
    assert {headers["Authorization"] for headers in receiver.headers} == {expected}


@pytest.mark.parametrize("compressed", [True, False])
def test_a_batch_that_is_not_answered_200_is_sent_again(
    cards: SimCards, receiver: Receiver, sent: list[dict[str, Any]], compressed: bool
) -> None:
    receiver.answers = [500, 503, 204, 307, 200, 429]
    stream = streamer(cards, receiver, compressed=compressed)
    stream.send_until(END)
    assert arrived(receiver) == sent
    assert stream.repeats == 5


def test_a_stream_that_is_refused_too_often_has_failed_until_a_person_restarts_it(
    cards: SimCards, receiver: Receiver, sent: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    receiver.answers = [200, 200, *[500] * 4]
    stream = streamer(cards, receiver, attempts=4)
    with pytest.raises(StreamFailedError, match="FAILED") as failed:
        stream.send_until(END)
    with pytest.raises(StreamFailedError, match="restart"):
        stream.send_until(END)
    stream.restart()
    stream.send_until(END)
    assert arrived(receiver) == sent  # it went on where it had stopped
    assert SECRET not in caplog.text + str(failed.value) + repr(vars(stream))


def test_a_receiver_that_is_away_is_tried_again(cards: SimCards, receiver: Receiver) -> None:
    stream = streamer(cards, receiver, attempts=2)
    stream.url = "http://127.0.0.1:9/"
    with pytest.raises(StreamFailedError):
        stream.send_until(END)
    assert stream.posts == 2


def test_a_replay_reaches_back_seven_days(cards: SimCards, receiver: Receiver) -> None:
    stream = streamer(cards, receiver, place=END - timedelta(days=1), types=("usage",))
    stream.send_until(END)
    first = arrived(receiver)
    stream.replay(END - timedelta(days=1))
    stream.send_until(END)
    assert arrived(receiver) == first * 2
    with pytest.raises(ValueError, match="more than 7 days"):
        stream.replay(END - timedelta(days=8))


def test_a_batch_larger_than_1nce_sends_is_refused(cards: SimCards, receiver: Receiver) -> None:
    with pytest.raises(ValueError, match="1 to 3000"):
        streamer(cards, receiver, batch=3001)
