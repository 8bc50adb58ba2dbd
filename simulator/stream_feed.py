"""What 1NCE's Data Streamer would send of a simulated account: usage and event records of an interval of time.

Of a closed day, the usage records of a SIM add up to exactly what the daily usage call says, and events are those of
the events call. Records, their ids and their order follow from the fleet alone: however time is cut into intervals,
each is made once and is the same. Records are worked out as columns, a day at a time for many SIMs at once, and become
JSON only when they are asked for. Source of shapes and rules: 1NCE help, "Data Streamer". What the help leaves open is
our choice: a session's volume flows evenly, and a record is written every 15 minutes of a session of more than 100 kB
and at its end.

A stream is "nested", as Platform 1.0 sends it, "flat", as Data Streamer 2.0 names its fields, or "mixed": flat for the
SIMs on Platform 2.0 and nested for the others. A flat record gives the ICCID as the name of the endpoint.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache, partial
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from simulator.account import Json, SimCards
from simulator.catalog import COUNTRIES, SMS_SLOTS
from simulator.events import events_of, sessions_of
from simulator.hashing import STREAM, Ints, Words, draw
from simulator.ledger import DAY_SECONDS, tick
from simulator.record_ids import DATA, EVENT, SMS, record_ids, session_ids
from simulator.sessions import Sessions, rounded_shares, shares
from simulator.stream_json import flat_event, flat_usage, nested_event, nested_usage, who_is

Shape = Literal["nested", "flat", "mixed"]
TYPES = ("usage", "events")
REPORT_SECONDS = 900
LONG_SESSION = 100_000  # accounting bytes: 100 kB
_GROUP = 1024  # SIMs whose records are worked out at once: the bound on working memory
_CHUNK = 1024  # records whose texts are made at once
_UNIX = date(1970, 1, 1).toordinal() * DAY_SECONDS


@dataclass(frozen=True)
class Records:
    """Records as columns of one length, in order of time, then of id.

    at, begun    ticks: when a usage record ends and begins; when an SMS was sent or an event happened, twice
    id           below 2**53: SIM, day, kind, and the number of the record within these
    sim, kind    position in the fleet; DATA, SMS or EVENT
    amount, rx   accounting bytes or messages, and how much of it was received; 0 for events
    event        position in `EVENT_KINDS`; 0 for usage
    session      id of the data session that it belongs to; 0 for SMS and events of no session
    """

    at: Ints
    begun: Ints
    id: Ints
    sim: Ints
    kind: Ints
    amount: Ints
    rx: Ints
    event: Ints
    session: Ints

    def __len__(self) -> int:
        return len(self.at)

    def take(self, rows: Ints) -> "Records":
        return Records(**{name: column[rows] for name, column in vars(self).items()})


class Feed:
    """What an account has to send, of `types` "usage", "events" or both; days once worked out are kept for the next
    interval. `stream` says in which shape its records are sent.

    Raises ValueError for another type, or none, and for another shape.
    """

    def __init__(self, cards: SimCards, types: tuple[str, ...] = TYPES, stream: Shape = "nested") -> None:
        if not types or set(types) - set(TYPES):
            raise ValueError(f"a stream of {types}: expected some of {', '.join(TYPES)}")
        if stream not in get_args(Shape):
            raise ValueError(f"a stream that is {stream!r}: expected one of {', '.join(get_args(Shape))}")
        self.cards, self.types, self.stream = cards, types, stream
        self._days: dict[int, Records] = {}
        self._who = lru_cache(100_000)(partial(who_is, cards))

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
        """Each record as 1NCE sends it. One in 64 comes without its nested `endpoint` or `detail`, which may be null; a
        flat one without the fields of these, but for the endpoint's id and name.

        Records of one SIM share their nested objects: copy before changing one.
        """
        for begin in range(0, len(found), _CHUNK):
            some = found.take(np.arange(begin, min(begin + _CHUNK, len(found))))
            country, operator = self.cards.locations(some.sim, some.at // DAY_SECONDS)
            bare = chance(self.cards, some.id) >> np.uint64(58) == 0
            flat = self._flat(some.sim)
            numbers = (
                some.id,
                some.kind,
                some.amount,
                some.rx,
                some.event,
                some.session,
                country,
                operator,
                bare,
                flat,
            )
            imeis = self.cards.imeis_on(some.sim, some.at // DAY_SECONDS)
            who = [self._who(sim, imei) for sim, imei in zip(some.sim.tolist(), imeis.tolist(), strict=True)]
            columns = zip(
                _stamps(some.begun), _stamps(some.at), who, *(column.tolist() for column in numbers), strict=True
            )
            for begun, at, whom, number, kind, amount, rx, event, session, where, whose, without, is_flat in columns:
                place = (COUNTRIES[where], COUNTRIES[where][7][whose])
                if kind == EVENT and is_flat:
                    yield flat_event(whom, number, at, event, session, place, without)
                elif kind == EVENT:
                    yield nested_event(whom, number, at, event, place, without)
                elif is_flat:
                    yield flat_usage(whom, number, (begun, at), (kind, amount, rx), session, place, without)
                else:
                    yield nested_usage(whom, number, (begun, at), (kind, amount, rx), place, without)

    def _flat(self, sims: Ints) -> NDArray[np.bool_]:
        if self.stream == "mixed":
            newer: NDArray[np.bool_] = self.cards.fleet.platform2[sims]
            return newer
        return np.full(len(sims), self.stream == "flat")

    def _of_day(self, day: int) -> Records:
        if day not in self._days:
            while len(self._days) > 1:
                del self._days[next(iter(self._days))]
            self._days[day] = _day(self.cards, day, self.types)
        return self._days[day]


def records(
    cards: SimCards, after: datetime, until: datetime, types: tuple[str, ...] = TYPES, stream: Shape = "nested"
) -> list[Json]:
    """The records of an interval of time as 1NCE sends them, in order of time; see `Feed.between` for what belongs to
    it."""
    feed = Feed(cards, types, stream)
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
            session = _sessions_of_events(rows[which], at, event)
            parts.append(_numbered(EVENT, rows[which], (at, at), (none, none), event, session))
    found = _joined(parts)
    return found.take(np.lexsort((found.id, found.at)))


def _usage(cards: SimCards, rows: Ints, day: int, sessions: Sessions) -> Iterator[Records]:
    """A day's data and SMS records of `rows`, whose sessions of that day are known."""
    fleet = cards.fleet
    used = fleet.usage(rows, date.fromordinal(day), date.fromordinal(day))
    low, high = shares(sessions.which, sessions, used.volume[sessions.which, 0])
    newer = np.flatnonzero(fleet.platform2[rows[sessions.which]])
    if len(newer):
        theirs = Sessions(*(column[newer] for column in sessions))
        asked = fleet.demand.wanted(rows, np.array([day])).volume[theirs.which, 0]
        upto = used.volume[theirs.which, 0]  # a quota that is gone cuts the day short
        low[newer], high[newer] = (np.minimum(ends, upto) for ends in rounded_shares(theirs.which, theirs, asked))
    of, begun, at, amount, rx = _shared_out(used.volume[:, 0], used.rx[:, 0], sessions, low, high)
    which = sessions.which
    session = session_ids(rows[which], sessions.begin)
    yield _numbered(DATA, rows[which[of]], (begun, at), (amount, rx), np.zeros_like(at), session[of])

    sent = (used.sms_mo + used.sms_mt)[:, 0]
    some = np.flatnonzero(sent)
    wanted = fleet.demand.wanted(rows[some], np.array([day]))
    seconds = fleet.message_seconds(rows[some], np.full(len(some), day), (wanted.sms_mo + wanted.sms_mt)[:, 0])
    who, slot = np.nonzero(np.arange(SMS_SLOTS) < sent[some, None])
    at = day * DAY_SECONDS + seconds[who, slot]
    received = (slot < used.sms_mo[some[who], 0]).astype(np.int64)
    none = np.zeros_like(at)
    yield _numbered(SMS, rows[some[who]], (at, at), (np.ones_like(at), received), none, none)


def _sessions_of_events(sims: Ints, at: Ints, event: Ints) -> Ints:
    """The session of each event of a day, given by SIM, then time; 0 where it has none.

    A session is deleted before the next is created, so an event belongs to the one created last.
    """
    created, deleted = event == 0, event == 1
    if not created.any():
        return np.zeros_like(at)
    session = session_ids(sims[created], at[created])
    return np.where(created | deleted, session[np.maximum(np.cumsum(created) - 1, 0)], 0)


def _shared_out(
    volume: Ints, rx: Ints, sessions: Sessions, low: Ints, high: Ints
) -> tuple[Ints, Ints, Ints, Ints, Ints]:
    """A day's volume (SIMs,) as records of its sessions: which session, ticks of begin and end, volume, received; sums
    are exact.

    low, high   how much of the day's volume was used when each session began and ended
    Each share is the difference of two running sums, cut to whole units: of a session's volume by time, and of the
    received part by volume.
    """
    which, begun, ended = sessions
    length, total = ended - begun, volume[which]
    parts = np.where(high - low > LONG_SESSION, -(-length // REPORT_SECONDS), 1)
    of = np.repeat(np.arange(len(parts)), parts)  # the session of each record
    nth = np.arange(len(of)) - np.repeat(np.cumsum(parts) - parts, parts)
    start = begun[of] + nth * REPORT_SECONDS
    stop = np.where(nth + 1 == parts[of], ended[of], start + REPORT_SECONDS)
    before, after = (low[of] + (high - low)[of] * (time - begun[of]) // length[of] for time in (start, stop))
    received = rx[which[of]] * after // total[of] - rx[which[of]] * before // total[of]
    return of, start, stop, after - before, received


def _numbered(
    kind: int, sim: Ints, times: tuple[Ints, Ints], amounts: tuple[Ints, Ints], event: Ints, session: Ints
) -> Records:
    """Records of one kind and day, given by SIM and then in order, with their ids."""
    begun, at = times
    number = record_ids(kind, sim, at)
    return Records(at, begun, number, sim, np.full(len(sim), kind), *amounts, event, session)


def _joined(parts: list[Records]) -> Records:
    none = [np.empty(0, dtype=np.int64)]
    names = Records.__dataclass_fields__
    return Records(**{name: np.concatenate(none + [getattr(part, name) for part in parts]) for name in names})


def _stamps(ticks: Ints) -> list[str]:
    """Times as 2029-01-01T00:00:00.000Z."""
    texts: list[str] = np.datetime_as_string((ticks - _UNIX).astype("M8[s]"), unit="ms").tolist()
    return [text + "Z" for text in texts]
