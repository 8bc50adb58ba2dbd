"""What 1NCE's Data Streamer would send of a simulated account: usage and event records of an interval of time.

Of a closed day, the usage records of a SIM add up to exactly what the daily usage call says, and events are those of
the events call. Records, their ids and their order follow from the fleet alone: however time is cut into intervals,
each is made once and is the same. Records are worked out as columns, a day at a time for many SIMs at once, and become
JSON only when they are asked for. Source of shapes and rules: 1NCE help, "Data Streamer". What the help leaves open is
our choice: a session's volume flows evenly, and a record is written every 15 minutes of a session of more than 100 kB
and at its end.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np

from simulator.account import Json, SimCards
from simulator.catalog import COUNTRIES, SMS_SLOTS
from simulator.events import EVENT_KINDS, Sessions, events_of, sessions_of
from simulator.hashing import STREAM, Ints, Words, draw
from simulator.ledger import DAY_SECONDS, tick

TYPES = ("usage", "events")
REPORT_SECONDS = 900
LONG_SESSION = 100_000  # accounting bytes: 100 kB
DATA, SMS, EVENT = range(3)
_GROUP = 1024  # SIMs whose records are worked out at once: the bound on working memory
_CHUNK = 1024  # records whose texts are made at once
_EPOCH = date(1999, 1, 1).toordinal()  # ids hold 14 bits of days from here: until 2043
_UNIX = date(1970, 1, 1).toordinal() * DAY_SECONDS
_SEVERITIES = {"Info": (0, "INFO"), "Warn": (1, "WARN"), "Critical": (2, "CRITICAL")}


@dataclass(frozen=True)
class Records:
    """Records as columns of one length, in order of time, then of id.

    at, begun    ticks: when a usage record ends and begins; when an SMS was sent or an event happened, twice
    id           below 2**53: SIM, day, kind, and the number of the record within these
    sim, kind    position in the fleet; DATA, SMS or EVENT
    amount, rx   accounting bytes or messages, and how much of it was received; 0 for events
    event        position in `EVENT_KINDS`; 0 for usage
    """

    at: Ints
    begun: Ints
    id: Ints
    sim: Ints
    kind: Ints
    amount: Ints
    rx: Ints
    event: Ints

    def __len__(self) -> int:
        return len(self.at)

    def take(self, rows: Ints) -> "Records":
        return Records(**{name: column[rows] for name, column in vars(self).items()})


class Feed:
    """What an account has to send, of `types` "usage", "events" or both; days once worked out are kept for the next
    interval.

    Raises ValueError for another type, or none.
    """

    def __init__(self, cards: SimCards, types: tuple[str, ...] = TYPES) -> None:
        if not types or set(types) - set(TYPES):
            raise ValueError(f"a stream of {types}: expected some of {', '.join(TYPES)}")
        self.cards, self.types = cards, types
        self._days: dict[int, Records] = {}
        self._who = lru_cache(100_000)(partial(_who, cards))

    def between(self, after: datetime, until: datetime) -> Records:
        """All records that end (usage) or happen (events) later than `after` and not later than `until`, in whole
        seconds.

        Raises ValueError when a time has no zone.
        """
        begin, end = tick(after), tick(until)
        days = range(begin // DAY_SECONDS, end // DAY_SECONDS + 1) if end > begin else range(0)
        parts = [_joined([])]
        for day in days:
            known = self._of_day(day)
            low, high = np.searchsorted(known.at, [begin, end], side="right")
            parts.append(known.take(np.arange(low, high)))
        return _joined(parts)

    def json(self, found: Records) -> Iterator[Json]:
        """Each record as 1NCE sends it. One in 64 comes without its nested `endpoint` or `detail`, which may be null.

        Records of one SIM share their nested objects: copy before changing one.
        """
        for begin in range(0, len(found), _CHUNK):
            some = found.take(np.arange(begin, min(begin + _CHUNK, len(found))))
            country, operator = self.cards.locations(some.sim, some.at // DAY_SECONDS)
            bare = chance(self.cards, some.id) >> np.uint64(58) == 0
            numbers = (some.id, some.kind, some.amount, some.rx, some.event, country, operator, bare)
            imeis = self.cards.imeis_on(some.sim, some.at // DAY_SECONDS)
            who = [self._who(sim, imei) for sim, imei in zip(some.sim.tolist(), imeis.tolist(), strict=True)]
            columns = zip(
                _stamps(some.begun), _stamps(some.at), who, *(column.tolist() for column in numbers), strict=True
            )
            for begun, at, whom, number, kind, amount, rx, event, where, whose, without in columns:
                place = (COUNTRIES[where], COUNTRIES[where][7][whose])
                if kind == EVENT:
                    yield _event_json(whom, number, at, event, place, without)
                else:
                    yield _usage_json(whom, number, (begun, at), (kind, amount, rx), place, without)

    def _of_day(self, day: int) -> Records:
        if day not in self._days:
            while len(self._days) > 1:
                del self._days[next(iter(self._days))]
            self._days[day] = _day(self.cards, day, self.types)
        return self._days[day]


def records(cards: SimCards, after: datetime, until: datetime, types: tuple[str, ...] = TYPES) -> list[Json]:
    """The records of an interval of time as 1NCE sends them, in order of time; see `Feed.between` for what belongs to
    it."""
    feed = Feed(cards, types)
    return list(feed.json(feed.between(after, until)))


def chance(cards: SimCards, ids: Ints) -> Words:
    """64 random bits for each record, the same whenever it is sent; the six highest are taken by `Feed.json`."""
    return draw(cards.fleet.seed, STREAM, ids, np.arange(1))[:, 0]


def _day(cards: SimCards, day: int, types: tuple[str, ...]) -> Records:
    """All records of a day of the whole fleet."""
    parts: list[Records] = []
    for rows in np.split(np.arange(cards.fleet.sims), range(_GROUP, cards.fleet.sims, _GROUP)):
        # the network tells where a device is 2 s before its first session: perhaps on the day before
        sessions = sessions_of(cards.fleet, rows, day, day + 1)
        if "usage" in types:
            today = sessions.begin < (day + 1) * DAY_SECONDS
            parts += _usage(cards, rows, day, Sessions(*(column[today] for column in sessions)))
        if "events" in types:
            which, at, event = events_of(cards.fleet, rows, sessions, day + 1)
            today = at // DAY_SECONDS == day
            which, at, event = which[today], at[today], event[today]
            none = np.zeros_like(at)
            parts.append(_numbered(EVENT, rows[which], (at, at), (none, none), event))
    found = _joined(parts)
    return found.take(np.lexsort((found.id, found.at)))


def _usage(cards: SimCards, rows: Ints, day: int, sessions: Sessions) -> Iterator[Records]:
    """A day's data and SMS records of `rows`, whose sessions of that day are known."""
    fleet = cards.fleet
    used = fleet.usage(rows, date.fromordinal(day), date.fromordinal(day))
    which, begun, at, amount, rx = _shared_out(used.volume[:, 0], used.rx[:, 0], sessions)
    yield _numbered(DATA, rows[which], (begun, at), (amount, rx), np.zeros_like(at))

    sent = (used.sms_mo + used.sms_mt)[:, 0]
    some = np.flatnonzero(sent)
    wanted = fleet.demand.wanted(rows[some], np.array([day]))
    seconds = fleet.message_seconds(rows[some], np.full(len(some), day), (wanted.sms_mo + wanted.sms_mt)[:, 0])
    who, slot = np.nonzero(np.arange(SMS_SLOTS) < sent[some, None])
    at = day * DAY_SECONDS + seconds[who, slot]
    received = (slot < used.sms_mo[some[who], 0]).astype(np.int64)
    yield _numbered(SMS, rows[some[who]], (at, at), (np.ones_like(at), received), np.zeros_like(at))


def _shared_out(volume: Ints, rx: Ints, sessions: Sessions) -> tuple[Ints, Ints, Ints, Ints, Ints]:
    """A day's volume (SIMs,) as records of its sessions: SIM, ticks of begin and end, volume, received; sums are exact.

    Each share is the difference of two running sums, cut to whole units: of the day's volume by session length, of a
    session's volume by time, and of the received part by volume.
    """
    which, begun, ended = sessions
    length, total = ended - begun, volume[which]
    opening = np.flatnonzero(np.diff(which, prepend=-1))
    sizes = np.diff(np.append(opening, len(which)))
    elapsed = np.cumsum(length)
    upto = elapsed - np.repeat(elapsed[opening] - length[opening], sizes)
    online = np.repeat(upto[opening + sizes - 1], sizes)
    low, high = total * (upto - length) // online, total * upto // online

    parts = np.where(high - low > LONG_SESSION, -(-length // REPORT_SECONDS), 1)
    of = np.repeat(np.arange(len(parts)), parts)  # the session of each record
    nth = np.arange(len(of)) - np.repeat(np.cumsum(parts) - parts, parts)
    start = begun[of] + nth * REPORT_SECONDS
    stop = np.where(nth + 1 == parts[of], ended[of], start + REPORT_SECONDS)
    before, after = (low[of] + (high - low)[of] * (time - begun[of]) // length[of] for time in (start, stop))
    received = rx[which[of]] * after // total[of] - rx[which[of]] * before // total[of]
    return which[of], start, stop, after - before, received


def _numbered(kind: int, sim: Ints, times: tuple[Ints, Ints], amounts: tuple[Ints, Ints], event: Ints) -> Records:
    """Records of one kind and day, given by SIM and then in order, with their ids."""
    begun, at = times
    size = np.diff(np.flatnonzero(np.append(np.diff(sim, prepend=-1), 1)))
    nth = np.arange(len(sim)) - np.repeat(np.cumsum(size) - size, size)
    number = ((sim << 14 | (at // DAY_SECONDS - _EPOCH)) << 2 | kind) << 8 | nth
    return Records(at, begun, number, sim, np.full(len(sim), kind), *amounts, event)


def _joined(parts: list[Records]) -> Records:
    none = [np.empty(0, dtype=np.int64)]
    names = Records.__dataclass_fields__
    return Records(**{name: np.concatenate(none + [getattr(part, name) for part in parts]) for name in names})


def _stamps(ticks: Ints) -> list[str]:
    """Times as 2029-01-01T00:00:00.000Z."""
    texts: list[str] = np.datetime_as_string((ticks - _UNIX).astype("M8[s]"), unit="ms").tolist()
    return [text + "Z" for text in texts]


class _Who(NamedTuple):
    """A SIM as its records name it."""

    sim: Json
    imsi: str
    imsi_id: int
    endpoint: Json
    organisation: Json


def _who(cards: SimCards, i: int, imei: int) -> _Who:
    sim = {
        "id": 901_000 + i,
        "iccid": cards.fleet.iccids[i],
        "msisdn": cards.msisdn(i),
        "production_date": "2019-05-01T00:00:00.000Z",
    }
    endpoint = {
        "id": 10_000_000 + int(cards.fleet.serial[i]),
        "name": cards.label(i),
        "imei": f"{imei:016d}",
        "ip_address": cards.ip_address(i),
        "balance": None,
        "tags": None,
    }
    organisation = {"id": 26_000 + cards.fleet.seed % 1000, "name": "A synthetic fleet"}
    return _Who(sim, cards.imsi(i), 1_610_000 + i, endpoint, organisation)


def _usage_json(
    who: _Who,
    number: int,
    times: tuple[str, str],
    used: tuple[int, int, int],
    place: tuple[Any, tuple[str, str, str]],
    bare: bool,
) -> Json:
    kind, amount, rx = used
    country, operator = place
    volume: Json = {"total": amount, "rx": rx, "tx": amount - rx}
    if kind == DATA:
        volume = {name: units / 1e6 for name, units in volume.items()}
    return {
        "id": number,
        "start_timestamp": times[0],
        "end_timestamp": times[1],
        "volume": volume,
        "traffic_type": {"id": 5, "description": "Data"} if kind == DATA else {"id": 6, "description": "SMS"},
        "sim": who.sim,
        "imsi": who.imsi,
        "imsi_id": who.imsi_id,
        "endpoint": None if bare else who.endpoint,
        "operator": {
            "id": int(operator[0]),
            "name": operator[1],
            "mnc": operator[2],
            "country": {"id": int(country[2]), "mcc": country[4], "name": country[0]},
        },
        "tariff": {"id": 442, "name": "1NCE Lifetime", "ratezone": {"id": 2171, "name": "Zone 1"}},
        "organisation": who.organisation,
        "cost": volume["total"],
        "currency": {"id": 1, "code": "EUR", "symbol": "€"},
    }


def _event_json(
    who: _Who, number: int, at: str, event: int, place: tuple[Any, tuple[str, str, str]], bare: bool
) -> Json:
    told = EVENT_KINDS[event]
    level, word = _SEVERITIES[told.severity]
    record: Json = {
        "id": number,
        "timestamp": at,
        "event_type": {"id": told.type_id, "description": told.type_name},
        "event_severity": {"id": level, "description": word},
        "event_source": {"id": 1, "description": "System"},
        "organisation": who.organisation,
        "alert": told.alert,
        "description": told.sentence.format(imsi=who.imsi),
        "sim": who.sim,
        "imsi": None,
        "endpoint": None,
        "detail": None,
        "user": None,
    }
    if event < 3:  # what the network tells, it tells with the place and the device
        country, operator = place
        detail = {
            "id": int(operator[0]),
            "name": operator[1],
            "country": {"id": int(country[2]), "name": country[0], "mcc": country[4], "iso_code": country[1]},
            "pdp_context": {"pdp_context_id": number, "apn": "iot.1nce.net"} if event < 2 else None,
        }
        record["event_source"] = {"id": 0, "description": "Network"}
        record["imsi"] = {"id": who.imsi_id, "imsi": who.imsi}
        record["endpoint"] = who.endpoint
        record["detail"] = None if bare else detail
    return record
