"""The simulated account as 1NCE's Data Streamer: usage and event records of a stretch of time, and a sender that posts them.

Of a closed day, the usage records of a SIM sum up to exactly what the daily usage call says. Records, ids and their order follow
from the fleet alone: however time is cut into stretches, each record is made once, with the same id.
Source of shapes and rules: 1NCE help, "Data Streamer". What the help leaves open is our choice: a session's volume flows evenly, and
a record is written every 15 minutes of a session of more than 100 kB and at its end.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from gzip import compress as gzip
from itertools import islice
from typing import Any

import httpx
import numpy as np
import orjson
from pydantic import SecretStr

from simulator.account import EVENT_KINDS, Json, SimCards, stamp
from simulator.demand import SMS_SLOTS, Ints
from simulator.ledger import DAY_SECONDS, tick

log = logging.getLogger(__name__)

MOST_RECORDS = 3_000
REPORT_SECONDS = 900
LONG_SESSION = 100_000  # accounting bytes: 100 kB
REPLAY = timedelta(days=7)
_GROUP = 256  # SIMs whose records are worked out at once
_EPOCH = date(1999, 1, 1).toordinal()
_USAGE, _SMS, _EVENT = range(3)
_EVENT_TYPES = (3, 5, 1, 11, 11, 12, 12, 12, 12, 12, 12)  # 1NCE's ids of what EVENT_KINDS says
_SEVERITIES = {"Info": (0, "INFO"), "Warn": (1, "WARN"), "Critical": (2, "CRITICAL")}


def records(
    cards: SimCards, after: datetime, until: datetime, *, usage: bool = True, events: bool = True
) -> list[Json]:
    """All records that end (usage) or happen (events) later than `after` and not later than `until`, by time.

    Raises ValueError when the times have no zone.
    """
    begin, end = tick(after), tick(until)
    everyone = np.arange(cards.fleet.sims)
    first, last = begin // DAY_SECONDS, end // DAY_SECONDS
    found: list[tuple[int, Json]] = []
    for rows in np.split(everyone, range(_GROUP, len(everyone), _GROUP)):
        if usage:
            found += _data_records(cards, rows, first, last, begin, end)
            found += _sms_records(cards, rows, first, last, begin, end)
        if events:
            found += _event_records(cards, rows, first, last, begin, end)
    found.sort(key=lambda one: (one[0], one[1]["id"]))
    return [record for _, record in found]


def _data_records(
    cards: SimCards, rows: Ints, first: int, last: int, begin: int, end: int
) -> Iterator[tuple[int, Json]]:
    which, started, ended = cards.sessions_of(rows, first, last)
    if not len(which):
        return
    used = cards.fleet.usage(rows, date.fromordinal(first), date.fromordinal(last))
    day = started // DAY_SECONDS - first
    # a day's volume is shared out among its sessions by their length, each share cut at a whole unit of the running sum
    group = which * (last - first + 1) + day
    opening = np.flatnonzero(np.diff(group, prepend=-1))
    at = np.searchsorted(opening, np.arange(len(group)), side="right") - 1
    length = ended - started
    through = np.cumsum(length) - (np.cumsum(length) - length)[opening][at]
    whole = np.add.reduceat(length, opening)[at]
    volume, rx = used.volume[which, day], used.rx[which, day]
    upto = volume * through // whole
    below = volume * (through - length) // whole
    parts = np.where(upto - below > LONG_SESSION, -(-length // REPORT_SECONDS), 1)
    # one row a record: its session, and its number within the session and within the SIM's day
    session = np.repeat(np.arange(len(parts)), parts)
    number = np.arange(len(session)) - (np.cumsum(parts) - parts)[session]
    in_day = np.arange(len(session)) - (np.cumsum(parts) - parts)[opening[at]][session]
    start = started[session] + np.minimum(number * REPORT_SECONDS, length[session])
    stop = np.where(number + 1 == parts[session], ended[session], start + REPORT_SECONDS)
    span = upto - below
    high = below[session] + span[session] * (stop - started[session]) // length[session]
    low = below[session] + span[session] * (start - started[session]) // length[session]
    total_rx = rx[session]
    received = total_rx * high // volume[session] - total_rx * low // volume[session]
    shown = (stop > begin) & (stop <= end)
    columns = (which[session], start, stop, high - low, received, in_day)
    for i, a, b, total, got, n in zip(*(column[shown].tolist() for column in columns), strict=True):
        sim = int(rows[i])
        amounts = {"total": total / 1e6, "rx": got / 1e6, "tx": (total - got) / 1e6}
        yield b, _usage_record(cards, sim, _number(sim, a // DAY_SECONDS, _USAGE, n), a, b, amounts, (5, "Data"))


def _sms_records(
    cards: SimCards, rows: Ints, first: int, last: int, begin: int, end: int
) -> Iterator[tuple[int, Json]]:
    days = np.arange(first, last + 1)
    used = cards.fleet.usage(rows, date.fromordinal(first), date.fromordinal(last))
    sent = used.sms_mo + used.sms_mt
    which, day = np.nonzero(sent)
    if not len(which):
        return
    wanted = cards.fleet.demand.wanted(rows, days)
    count = (wanted.sms_mo + wanted.sms_mt)[which, day]
    seconds = cards.fleet.message_seconds(rows[which], days[day], count)
    ticks = days[day][:, None] * DAY_SECONDS + seconds
    slot = np.arange(SMS_SLOTS)
    shown = (slot < sent[which, day][:, None]) & (ticks > begin) & (ticks <= end)
    for k, n in zip(*(where.tolist() for where in np.nonzero(shown)), strict=True):
        sim, at = int(rows[which[k]]), int(ticks[k, n])
        originated = n < int(used.sms_mo[which[k], day[k]])
        amounts = {"total": 1, "rx": int(originated), "tx": int(not originated)}
        yield at, _usage_record(cards, sim, _number(sim, at // DAY_SECONDS, _SMS, n), at, at, amounts, (6, "SMS"))


def _event_records(
    cards: SimCards, rows: Ints, first: int, last: int, begin: int, end: int
) -> Iterator[tuple[int, Json]]:
    which, ticks, kinds = cards.events_of(rows, first, last + 1)  # a day's first event may lie just before it
    day = ticks // DAY_SECONDS
    fits = (day >= first) & (day <= last)
    which, ticks, kinds, day = which[fits], ticks[fits], kinds[fits], day[fits]
    if not len(which):
        return
    group = which * (last - first + 1) + day - first
    opening = np.flatnonzero(np.diff(group, prepend=-1))
    in_day = np.arange(len(group)) - opening[np.searchsorted(opening, np.arange(len(group)), side="right") - 1]
    shown = (ticks > begin) & (ticks <= end)
    for i, at, kind, n in zip(*(c[shown].tolist() for c in (which, ticks, kinds, in_day)), strict=True):
        sim = int(rows[i])
        yield at, _event_record(cards, sim, _number(sim, at // DAY_SECONDS, _EVENT, n), at, kind)


def _number(sim: int, day: int, kind: int, n: int) -> int:
    """The id of the n-th record of a kind of a SIM's day: below 2**53 for a million SIMs until 2043."""
    return ((sim << 14 | (day - _EPOCH)) << 2 | kind) << 8 | n


def _usage_record(
    cards: SimCards, i: int, number: int, start: int, stop: int, volume: Json, kind: tuple[int, str]
) -> Json:
    country, operator = _place(cards, i, stop // DAY_SECONDS)
    return {
        "id": number,
        "start_timestamp": stamp(start),
        "end_timestamp": stamp(stop),
        "volume": volume,
        "traffic_type": {"id": kind[0], "description": kind[1]},
        "sim": _sim(cards, i),
        "imsi": cards.imsi(i),
        "imsi_id": 1_610_000 + i,
        "endpoint": _endpoint(cards, i),
        "operator": {
            "id": int(operator[0]),
            "name": operator[1],
            "mnc": operator[2],
            "country": {"id": int(country[2]), "mcc": country[4], "name": country[0]},
        },
        "tariff": {"id": 442, "name": "1NCE Lifetime", "ratezone": {"id": 2171, "name": "Zone 1"}},
        "organisation": _organisation(cards),
        "cost": volume["total"],
        "currency": {"id": 1, "code": "EUR", "symbol": "€"},
    }


def _event_record(cards: SimCards, i: int, number: int, at: int, kind: int) -> Json:
    text, severity, alert = EVENT_KINDS[kind]
    record: Json = {
        "id": number,
        "timestamp": stamp(at),
        "event_type": {"id": _EVENT_TYPES[kind], "description": text},
        "event_severity": dict(zip(("id", "description"), _SEVERITIES[severity], strict=True)),
        "event_source": {"id": 0, "description": "Network"},
        "organisation": _organisation(cards),
        "alert": alert,
        "description": text,
        "sim": _sim(cards, i),
        "imsi": None,
        "endpoint": None,
        "detail": None,
        "user": None,
    }
    if kind < 3:  # what the network tells, it tells with the place and the device
        country, operator = _place(cards, i, at // DAY_SECONDS)
        record |= {
            "imsi": {"id": 1_610_000 + i, "imsi": cards.imsi(i)},
            "endpoint": _endpoint(cards, i),
            "detail": {
                "country": {"id": int(country[2]), "name": country[0], "mcc": country[4], "iso_code": country[1]},
                "operator": {"id": int(operator[0]), "name": operator[1], "mnc": operator[2]},
                "pdp_context": {"pdp_context_id": at % 10**9, "apn": "iot.1nce.net"} if kind < 2 else None,
            },
        }
    return record


@lru_cache(100_000)
def _place(cards: SimCards, i: int, day: int) -> tuple[Any, tuple[str, str, str]]:
    return cards.location(i, day)


def _sim(cards: SimCards, i: int) -> Json:
    return {
        "id": 901_000 + i,
        "iccid": cards.fleet.iccids[i],
        "msisdn": cards.msisdn(i),
        "production_date": "2019-05-01T00:00:00.000Z",
    }


def _endpoint(cards: SimCards, i: int) -> Json:
    return {
        "id": 10_000_000 + int(cards.fleet.serial[i]),
        "name": cards.label(i),
        "imei": cards.imei(i),
        "ip_address": cards.ip_address(i),
        "balance": None,
        "tags": None,
    }


def _organisation(cards: SimCards) -> Json:
    return {"id": 26_000 + cards.fleet.seed % 1000, "name": "A synthetic fleet"}


@dataclass(frozen=True)
class Disturbance:
    """What happens to records on their way. Shares are between 0 and 1; which records are hit follows from `seed`.

    duplicates  sent a second time, in a later batch
    late        held back until the end of the stretch
    reversed    whether each stretch is sent last record first
    broken      sent a second time under another id, with text for a volume or a time: these must not be counted
    """

    duplicates: float = 0.0
    late: float = 0.0
    reversed: bool = False
    broken: float = 0.0
    seed: int = 7

    def __call__(self, found: list[Json]) -> list[Json]:
        rng = random.Random(self.seed)  # noqa: S311 - chance, not secrecy
        on_time: list[Json] = []
        late: list[Json] = []
        for record in found:
            (late if rng.random() < self.late else on_time).append(record)
        again = [record for record in found if rng.random() < self.duplicates]
        field = {True: "timestamp", False: "start_timestamp"}
        broken = [
            record | {"id": record["id"] | 1 << 52, field["timestamp" in record]: "yesterday"}
            for record in found
            if rng.random() < self.broken
        ]
        sent = [*on_time, *broken, *late, *again]
        return sent[::-1] if self.reversed else sent


class StreamFailedError(Exception):
    """The receiver has refused too often: nothing is sent until a person restarts the stream."""


class Streamer:
    """Posts the records of a simulated account to a URL, at least once, in order of time, and keeps its place.

    url, user, secret   where to, and the Basic auth of the stream
    place               sent and acknowledged up to here
    batch               records a POST, at most 3,000
    types               "usage", "events" or both
    attempts            how often a batch is tried before the stream is FAILED, as 1NCE does it; only 200 counts
    Raises ValueError for a batch size that 1NCE does not send.
    """

    def __init__(
        self,
        cards: SimCards,
        url: str,
        user: str,
        secret: SecretStr,
        *,
        place: datetime,
        batch: int = 100,
        types: tuple[str, ...] = ("usage", "events"),
        compressed: bool = True,
        disturbance: Disturbance | None = None,
        attempts: int = 10,
        backoff_s: float = 0.2,
        most_backoff_s: float = 30.0,
        timeout_s: float = 30.0,
    ) -> None:
        if not 1 <= batch <= MOST_RECORDS:
            raise ValueError(f"a batch of {batch} records: 1NCE sends 1 to {MOST_RECORDS} in a POST")
        self.cards, self.url, self.place, self.batch, self.types = cards, url, place, batch, types
        self.failed = False
        self.acknowledged = self.posts = self.repeats = 0
        self._disturbance, self._compressed = disturbance or Disturbance(), compressed
        self._attempts, self._backoff, self._most_backoff = attempts, backoff_s, most_backoff_s
        self._waiting: list[bytes] = []  # of the stretch up to `_ready`, what is not acknowledged yet
        self._ready = place
        self._rng = random.Random(cards.fleet.seed)  # noqa: S311 - chance, not secrecy
        self._http = httpx.Client(
            auth=(user, secret.get_secret_value()), timeout=timeout_s, follow_redirects=False, trust_env=False
        )

    def close(self) -> None:
        self._http.close()

    def send_until(self, until: datetime, *, stretch: timedelta = timedelta(hours=6)) -> int:
        """Send what happened since `place`; returns how many records were acknowledged. Interrupted, it can be called again.

        Raises StreamFailedError when a batch is refused too often, and then until `restart`.
        """
        if self.failed:
            raise StreamFailedError(f"the stream to {self.url} is FAILED: find out why, then restart it")
        before = self.acknowledged
        while self._waiting or self.place < until:
            if not self._waiting:
                self._ready = min(self.place + stretch, until)
                found = records(
                    self.cards, self.place, self._ready, usage="usage" in self.types, events="events" in self.types
                )
                self._waiting = [orjson.dumps(some) for some in _batches(self._disturbance(found), self.batch)]
            while self._waiting:
                self._post(self._waiting[0])
                self.acknowledged += len(orjson.loads(self._waiting.pop(0)))
            self.place = self._ready
        return self.acknowledged - before

    def restart(self) -> None:
        """What a person does in 1NCE's portal after a stream has FAILED."""
        self.failed = False

    def replay(self, since: datetime) -> None:
        """Send everything since then once more. Raises ValueError when that is more than seven days back."""
        if since < self._ready - REPLAY:
            raise ValueError(f"a replay from {since} reaches back more than {REPLAY.days} days from {self._ready}")
        self.place, self._waiting = since, []

    def _post(self, body: bytes) -> None:
        headers = {"Content-Type": "application/json"} | ({"Content-Encoding": "gzip"} if self._compressed else {})
        content = gzip(body, 1) if self._compressed else body
        for attempt in range(self._attempts):
            self.posts += 1
            try:
                if self._http.post(self.url, content=content, headers=headers).status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                pass  # refused, cut or too slow: whether it was stored is not known, so it is sent again
            self.repeats += 1
            longest = min(self._most_backoff, self._backoff * 2**attempt)
            time.sleep(longest * (0.5 + self._rng.random() / 2))
        self.failed = True
        raise StreamFailedError(
            f"the stream to {self.url} is FAILED: {self._attempts} tries in a row were not answered 200; restart it"
        )


def deliver(streamer: Streamer, now: Callable[[], datetime], stop: threading.Event, *, every_s: float = 1.0) -> None:
    """Send what has happened by the account's time `now`, again and again until `stop`; a FAILED stream stays so."""
    while not stop.wait(every_s):
        try:
            streamer.send_until(now())
        except StreamFailedError as error:
            log.error("%s", error)
            return


def _batches(found: list[Json], size: int) -> Iterator[list[Json]]:
    each = iter(found)
    while some := list(islice(each, size)):
        yield some


def book(cards: SimCards, first: date, last: date) -> dict[tuple[str, date], int]:
    """What the daily usage call says of closed days, in accounting bytes by (ICCID, day); days without bytes are left out."""
    rows = np.arange(cards.fleet.sims)
    volume = cards.fleet.usage(rows, first, last).volume
    return {
        (cards.fleet.iccids[i], first + timedelta(days=d)): int(volume[i, d])
        for i, d in zip(*(where.tolist() for where in np.nonzero(volume)), strict=True)
    }
