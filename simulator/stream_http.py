"""The sending side of 1NCE's Data Streamer: batches over HTTP that are repeated until they are answered 200, and files.

    stream = Streamer(Feed(cards), url, user, secret, place=NOW - timedelta(days=7))
    stream.send_until(NOW)

Source of the rules: 1NCE help, "Data Streamer".
"""

import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from gzip import compress as gzip

import httpx
import numpy as np
import orjson
from pydantic import SecretStr

from resources.errors import SimsightError
from simulator.account import Json, SimCards
from simulator.hashing import Ints, bits
from simulator.stream_feed import Feed, Records, chance

MAX_RECORDS = 3_000
REPLAY = timedelta(days=7)
INTERVAL = timedelta(hours=6)  # what is worked out, and disturbed, at once
BROKEN_ID = 1 << 52  # set in the id of a broken record


@dataclass(frozen=True)
class Disturbance:
    """What happens to records on their way.

    Shares are between 0 and 1; which records are hit follows from the fleet's seed.

    duplicates  share that is sent a second time, after all others of the interval
    late        share that is held back until all others of the interval are sent
    shuffled    by how many places, at most, others overtake a record
    reversed    whether each interval is sent last record first
    broken      share that is sent once more with an id of its own and a broken field: these must not be counted
    """

    duplicates: float = 0.0
    late: float = 0.0
    shuffled: int = 0
    reversed: bool = False
    broken: float = 0.0

    def __post_init__(self) -> None:
        for name in ("duplicates", "late", "broken"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"Disturbance.{name} is {getattr(self, name)}; give a share between 0 and 1")
        if self.shuffled < 0:
            raise ValueError(f"Disturbance.shuffled is {self.shuffled}; give a number of places, 0 or more")

    def order(self, cards: SimCards, found: Records) -> tuple[Ints, Ints]:
        """In which order records are sent, as positions in `found`, and of each how it is broken: 0 not, 1 to 4 see
        `_spoilt`."""
        words = chance(cards, found.id)
        shares = (self.duplicates, self.late, self.broken)
        hit = [bits(words, 14 * k, 14) < share * 2**14 for k, share in enumerate(shares)]
        places = np.arange(len(found))
        # positions and jitter in thousandths of a place
        jittered = places * 1000 + bits(words, 42, 16) * self.shuffled * 1000 // 2**16
        turn = np.argsort(jittered, kind="stable")
        twice, late, broken = (turn[some[turn]] for some in hit)
        order = np.concatenate([turn[~hit[1][turn]], broken, late, twice])
        how = np.zeros(len(order), dtype=np.int64)
        begin = len(found) - len(late)
        how[begin : begin + len(broken)] = 1 + bits(words[broken], 20, 2)
        return (order[::-1], how[::-1]) if self.reversed else (order, how)


def _spoilt(record: Json, how: int) -> Json:
    """A copy with an id of its own that breaks a rule: no SIM, no id, a time in words, or a volume or kind that is
    none."""
    record = record | {"id": record["id"] | BROKEN_ID}
    event, flat = "timestamp" in record, "sim_id" in record
    if how == 1:
        nobody = {name: None for name in record if name.startswith(("endpoint_", "sim_", "imsi_"))}
        return record | ({**nobody, "endpoint_name": "unknown"} if flat else {"sim": {"iccid": "unknown"}})
    if how == 2:
        return record | {"id": None}
    if how == 3:
        return record | {"timestamp" if event else "start_timestamp": "yesterday"}
    if event:
        nameless = {"event_type_id": None} if flat else {"event_type": {"description": None}}
        return record | nameless | {"description": None}
    return record | ({"volume_total": "n/a"} if flat else {"volume": {"total": "n/a"}})


class StreamFailedError(SimsightError):
    """The receiver has refused too often: nothing is sent until a person restarts the stream."""


class Streamer:
    """Posts the records of a simulated account to a URL, at least once, and keeps its place.

    feed                what there is to send
    url, user, secret   where to, and the Basic auth of the stream
    place               everything up to here is sent and acknowledged; of what comes after, `acknowledged` may hold a
                        part
    batch               records a POST, at most 3,000
    records_per_second  the most that is sent, on average; None for as fast as the receiver answers
    attempts            how often a batch is tried before the stream is FAILED, as 1NCE does it; only 200 counts
    backoff_s           the first wait before a repetition, at most; each later one up to twice as long, up to
                        `max_backoff_s`

    `acknowledged` counts records whose POST was answered 200, `posts` all POSTs and `repeats` those that were
    repetitions.
    Raises ValueError for a batch size that 1NCE does not send, or a URL that is not http(s) or has a user name in it.
    """

    def __init__(
        self,
        feed: Feed,
        url: str,
        user: str,
        secret: SecretStr,
        *,
        place: datetime,
        batch: int = 100,
        compressed: bool = True,
        disturbance: Disturbance | None = None,
        records_per_second: float | None = None,
        attempts: int = 10,
        backoff_s: float = 0.2,
        max_backoff_s: float = 30.0,
        timeout_s: float = 30.0,
    ) -> None:
        if not 1 <= batch <= MAX_RECORDS:
            raise ValueError(f"a batch of {batch} records: 1NCE sends 1 to {MAX_RECORDS} in a POST")
        target = httpx.URL(url)
        if target.scheme not in ("http", "https") or not target.host or target.userinfo:
            raise ValueError("the stream's URL: expected http(s)://host/path without a user name in it")
        self.url, self.place, self.failed, self.shape = url, place, False, feed.stream
        self.acknowledged = self.posts = self.repeats = 0
        self._feed, self._batch, self._compressed = feed, batch, compressed
        self._disturbance, self._rate = disturbance or Disturbance(), records_per_second
        self._attempts, self._backoff, self._max_backoff = attempts, backoff_s, max_backoff_s
        self._turn = 0.0  # when the next batch may leave, on the monotonic clock
        self._ready = place  # end of the interval that is being sent
        self._rest: Iterator[list[Json]] = iter(())  # its batches that were not sent yet
        self._waiting: list[Json] = []  # the batch that is not acknowledged
        self._lock = threading.Lock()  # of place and the three above
        self._closing = threading.Event()
        self._rng = random.Random(feed.cards.fleet.seed)  # noqa: S311 - chance, not secrecy
        self._http = httpx.Client(
            auth=httpx.BasicAuth(user, secret.get_secret_value()),
            headers={"Content-Type": "application/json"} | ({"Content-Encoding": "gzip"} if compressed else {}),
            timeout=timeout_s,
            follow_redirects=False,
            trust_env=False,
        )

    def send_until(self, until: datetime) -> int:
        """Send what happened since `place`; returns how many records were acknowledged.

        Interrupted, it can be called again.

        Raises StreamFailedError when a batch is refused too often, and then until `restart`.
        """
        if self.failed:
            raise StreamFailedError(f"the stream to {self.url} is FAILED: find out why, then restart it")
        before = self.acknowledged
        while batch := self._next(until):
            if not self._post(batch):
                break
            with self._lock:
                self.acknowledged += len(batch)
                if self._waiting is batch:  # else a replay was asked for meanwhile
                    self._waiting = []
        return self.acknowledged - before

    def restart(self) -> None:
        """What a person does in 1NCE's portal after a stream has FAILED: it goes on with the batch that was refused."""
        self.failed = False

    def replay(self, since: datetime) -> None:
        """Send everything since then once more.

        Raises ValueError when that is more than seven days before `place`, or after it.
        """
        with self._lock:
            if not self.place - REPLAY <= since <= self.place:
                raise ValueError(f"a replay from {since}: expected at most {REPLAY.days} days before {self.place}")
            self.place = self._ready = since
            self._rest, self._waiting = iter(()), []

    def interrupt(self) -> None:
        """Send nothing more: a `send_until` in another thread returns as soon as its POST has ended."""
        self._closing.set()

    def close(self) -> None:
        """Give the connection back."""
        self._http.close()

    def _next(self, until: datetime) -> list[Json]:
        """The batch that is not acknowledged, or else the next one; empty when everything up to `until` is."""
        with self._lock:
            while not self._waiting:
                self._waiting = next(self._rest, [])
                if self._waiting:
                    break
                self.place = self._ready
                if self.place >= until:
                    break
                self._ready = min(self.place + INTERVAL, until)
                found = self._feed.between(self.place, self._ready)
                self._rest = batches(self._feed, found, self._disturbance, self._batch)
            return self._waiting

    def _post(self, batch: list[Json]) -> bool:
        """Send one batch until it is acknowledged; false when it was interrupted."""
        if self._rate is not None:
            self._pause(self._turn - time.monotonic())
            self._turn = max(self._turn, time.monotonic()) + len(batch) / self._rate
        body = orjson.dumps(batch)
        content = gzip(body, 1) if self._compressed else body
        for attempt in range(self._attempts):
            if attempt:
                longest = min(self._max_backoff, self._backoff * 2 ** (attempt - 1))
                self._pause(longest * (0.5 + self._rng.random() / 2))
                self.repeats += 1
            if self._closing.is_set():
                return False
            self.posts += 1
            try:
                if self._http.post(self.url, content=content).status_code == httpx.codes.OK:
                    return True
            except httpx.RequestError:
                pass  # refused, cut or too slow: whether it was stored is not known, so it is sent again
        self.failed = True
        raise StreamFailedError(
            f"the stream to {self.url} is FAILED: {self._attempts} tries in a row were not answered 200; restart it"
        )

    def _pause(self, seconds: float) -> None:
        if seconds > 0:
            self._closing.wait(seconds)


def batches(feed: Feed, found: Records, disturbance: Disturbance, size: int) -> Iterator[list[Json]]:
    """The records of an interval as they are sent, made batch by batch."""
    order, how = disturbance.order(feed.cards, found)
    for begin in range(0, len(order), size):
        each = feed.json(found.take(order[begin : begin + size]))
        spoilt = how[begin : begin + size].tolist()
        yield [_spoilt(record, kind) if kind else record for record, kind in zip(each, spoilt, strict=True)]
