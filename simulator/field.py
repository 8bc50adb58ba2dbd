"""Fleets of the kinds of `simulator.field_kinds`, as tables: usage, events and peers, and what was done to them.

What is ordinary in them is odd often enough: companies close, containers are at sea, updates reach a whole device type,
cells go bad. A clean fleet has all of that and no fault. Days are numbered from the fleet's first.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from simulator.field_kinds import FIELD_KINDS, FieldKind, drawn_kinds
from simulator.hashing import Ints, draw

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

STREAM = 40  # the first of this module's streams of the hash; each draw has one of its own
COMPANY = 24  # SIMs
CELLS = 6  # of an operator, for each kind
TYPES = 2  # device types of a kind
HOLIDAYS = ((1, 1), (5, 1), (10, 3), (11, 1), (12, 24), (12, 25), (12, 26), (12, 31))
SHUTDOWN = ((12, 27), (12, 28), (12, 29), (12, 30), (1, 2))  # of companies that close at all
OPERATORS = ("T-Mobile", "Vodafone", "O2")
COUNTRIES = ("Germany", "Austria", "Netherlands", "France", "Italy")
EVENTS = (
    *("spike", "silence", "half_silent", "battery", "dead", "drift", "runaway"),
    *("flapping", "sms_flood", "imei_change", "unexpected_country", "unusual_hours"),
)
LENGTHS = {
    **{"half_silent": 21, "battery": 45, "dead": 10_000, "drift": 40, "runaway": 45, "flapping": 6},
    **{"sms_flood": 3, "imei_change": 1, "unexpected_country": 5, "unusual_hours": 21},
}
FIRST_EVENT = 0.5  # no event is before that share of the days
EVENT_SHARE = 0.4  # of the SIMs meet one
LOOP_SHARE = 0.7  # of the SIMs of a device type
OUTAGE_HOURS = (9, 15)


@dataclass(frozen=True, eq=False)
class FieldFleet:
    """A fleet, the same for the same arguments.

    half    of FIELD_KINDS, or D, that it is made of; faulty, whether anything is done to it
    first   its first day; days, how many
    """

    seed: int
    sims: int
    half: str
    faulty: bool
    first: date
    days: int = 180

    @property
    def last(self) -> date:
        """Its last day."""
        return self.first + timedelta(days=self.days - 1)

    @property
    def kinds(self) -> list[FieldKind]:
        """The kinds that it is made of; of half D, those that its seed draws."""
        if self.half == "D":
            return list(drawn_kinds(self.seed))
        return [kind for kind in FIELD_KINDS if kind.half == self.half]

    @cached_property
    def of_kind(self) -> Ints:
        """Number of the kind of each SIM."""
        return np.arange(self.sims, dtype=np.int64) * len(self.kinds) // self.sims

    @cached_property
    def company(self) -> Ints:
        """Number of the company of each SIM; the SIMs of a company are of one kind."""
        first = np.searchsorted(self.of_kind, self.of_kind)
        return self.of_kind * 1000 + (np.arange(self.sims) - first) // COMPANY

    @cached_property
    def operator(self) -> Ints:
        """Number of the home operator of each SIM."""
        return (self._unit(1, np.arange(self.sims), np.arange(1))[:, 0] * 3).astype(np.int64)

    @cached_property
    def types(self) -> list[str]:
        """Type allocation code of each SIM's device."""
        which = (self._unit(2, np.arange(self.sims), np.arange(1))[:, 0] * TYPES).astype(int)
        return [f"35{ord(self.half)}{k:02d}{t:02d}" for k, t in zip(self.of_kind, which, strict=True)]

    def _unit(self, stream: int, rows: Ints, columns: Ints) -> Floats:
        words = draw(self.seed, STREAM + stream, rows, columns)
        return np.asarray((words >> np.uint64(11)).astype(np.float64) / 2**53)

    def _normal(self, stream: int, rows: Ints, columns: Ints) -> Floats:
        one, other = self._unit(stream, rows, columns), self._unit(stream + 500, rows, columns)
        return np.asarray(np.sqrt(-2 * np.log1p(-one)) * np.cos(2 * np.pi * other))

    @cached_property
    def _dates(self) -> list[date]:
        return [self.first + timedelta(days=day) for day in range(self.days)]

    @cached_property
    def _made(self) -> dict[str, NDArray[Any]]:
        """Volume, messages, sessions, hours, abroad (number of a country), device: (SIMs, days) each."""
        parts = []
        for number, kind in enumerate(self.kinds):
            parts.append(self._of_kind(np.flatnonzero(self.of_kind == number), kind))
        made = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        made["device"] = np.zeros((self.sims, self.days), np.int64)
        made["odd_hours"] = np.zeros((self.sims, self.days), bool)
        if self.faulty:
            self._do(made)
        made["volume"] = made["volume"].astype(np.int64)
        made["sessions"] = np.where(made["volume"] > 0, np.maximum(made["sessions"], 1), 0).astype(np.int64)
        return made

    def _of_kind(self, rows: Ints, kind: FieldKind) -> dict[str, NDArray[Any]]:
        days = np.arange(self.days, dtype=np.int64)
        own = self._unit(3, rows, np.arange(6))
        low, high = np.log(kind.level)
        noise = kind.noise[0] + own[:, 1:2] * (kind.noise[1] - kind.noise[0])
        log = low + own[:, :1] * (high - low) + noise * self._normal(4, rows, days)
        week = np.array([kind.week[day.weekday()] for day in self._dates])
        chance = kind.reports[0] + own[:, 2:3] * (kind.reports[1] - kind.reports[0])
        course = kind.season * (days / self.days - 0.5)
        log += course
        if kind.wintry:  # with the season it falls silent on more days
            chance = chance * np.clip(1 - 0.5 * (days / self.days), 0, 1)
        if kind.weather:
            region = self._normal(5, self.operator[rows] + 10 * self.of_kind[rows], days // 3)
            log += kind.weather * region
        due = self._unit(6, rows, days) < chance
        due &= ((days + rows[:, None]) % kind.every == 0) & (week > 0)
        sessions = kind.sessions * np.exp(0.3 * self._normal(7, rows, days)) * np.where(week > 0, week, 1) ** 0.5
        messages = (self._unit(8, rows, days) < kind.messages).astype(float)
        volume = np.exp(log) * np.where(week > 0, week, 1)
        if kind.rests:
            moving, resting, at_rest = kind.rests
            rest = self._turns(rows, moving * (0.5 + own[:, 3]), resting * (0.5 + own[:, 4]))
            volume = np.where(rest, volume * at_rest, volume)
            sessions = np.where(rest, sessions * 0.25, sessions)
        if kind.bursts:
            chance_of, least, most, extra, texts = kind.bursts
            burst = self._unit(9, rows, days) < chance_of * (0.3 + 1.4 * own[:, 5:6])
            factor = least * (most / least) ** self._unit(10, rows, days)
            volume = np.where(burst, volume * factor, volume)
            sessions = np.where(burst, sessions + extra * (1 + self._unit(11, rows, days)), sessions)
            messages += np.where(burst, texts, 0)
        if kind.updates:
            volume += np.where(due, self._updates(rows, kind.updates, float(np.median(volume))), 0)
        volume = volume * self._campaigns(rows, kind)
        closed = self._closed(rows, kind)
        due &= ~closed
        if kind.cells:
            cell = self.operator[rows] * 10 + self.of_kind[rows] * 100 + rows % CELLS
            spell = self._unit(14, cell, days // 2) < kind.cells * 2
            fails = spell & (self._unit(15, rows, days) < 0.5)
            volume = np.where(spell, volume * (1 + 2 * self._unit(16, rows, days)), volume)
            sessions = np.where(spell, sessions + 4 * self._unit(17, rows, days), sessions)
            due &= ~fails
        if kind.at_sea:
            away, kept = self._voyages(rows, kind.at_sea, own[:, 3])
            volume, due = volume * kept, due & ~away
        joined = np.where(own[:, 0] * 97 % 1 < 0.1, self._unit(18, rows, np.arange(1))[:, 0] * self.days * 0.4, 0)
        due &= days >= joined[:, None]
        place = (self._unit(19, rows, days // 9) * kind.roams).astype(np.int64) if kind.roams > 1 else np.zeros_like(
            due, dtype=np.int64
        )  # fmt: skip
        return {
            "volume": np.where(due, np.clip(volume, 200, 3e8), 0),
            "messages": messages * due,
            "sessions": np.round(sessions),
            "place": place,
        }

    def _updates(self, rows: Ints, size: float, usual: float) -> Floats:
        """Bytes of two updates of each device type in 180 days, each rolled out over three days."""
        days, found = np.arange(self.days), np.zeros((len(rows), self.days))
        numbers = np.array([int(self.types[row]) % 997 for row in rows])
        begin = self._unit(12, numbers, np.arange(2)) * self.days
        lag = self._unit(13, rows, np.arange(2)) * 3
        for nth in range(2):
            found += (days == (begin + lag)[:, nth : nth + 1].astype(int)) * min(size * 1e6, 12 * usual)
        return found

    def _campaigns(self, rows: Ints, kind: FieldKind) -> Floats:
        """How many times as much each SIM takes on each day: content that its company sends to all of its SIMs."""
        days, found = np.arange(self.days), np.ones((len(rows), self.days))
        number, least, most, length = kind.campaigns or (0, 1, 1, 0)
        unit = self._unit(23, self.company[rows], np.arange(2 * number))
        for nth in range(number):
            begin = (unit[:, 2 * nth] * self.days).astype(int)[:, None]
            factor = least * (most / least) ** unit[:, 2 * nth + 1 : 2 * nth + 2]
            found *= np.where((days >= begin) & (days < begin + length), factor, 1)
        return found

    def _voyages(self, rows: Ints, at_sea: tuple[float, int, int], own: Floats) -> tuple[Bools, Floats]:
        """When each SIM is at sea, and how many times as much it sends: what was kept comes with the day after."""
        between, least, most = at_sea
        away = self._turns(rows, np.full(len(rows), between), least + own * (most - least))
        kept, run = np.ones((len(rows), self.days)), np.zeros(len(rows))
        for day in range(self.days):
            kept[:, day] = np.where(~away[:, day], 1 + 0.7 * run, 1)
            run = np.where(away[:, day], run + 1, 0)
        return away, kept

    def _turns(self, rows: Ints, first: Floats, second: Floats) -> Bools:
        """Whether each SIM is in its second state on each day: a chain with mean lengths of two states."""
        chance = self._unit(20, rows, np.arange(self.days))
        state = self._unit(21, rows, np.arange(1))[:, 0] < second / (first + second)
        found = np.zeros((len(rows), self.days), bool)
        for day in range(self.days):
            leaves = chance[:, day] < 1 / np.where(state, second, first)
            state = state ^ leaves
            found[:, day] = state
        return found

    def _closed(self, rows: Ints, kind: FieldKind) -> Bools:
        """When the company of each SIM is closed, or the weather keeps its device from being used."""
        closed = np.zeros((len(rows), self.days), bool)
        if kind.closes:
            share, least, most = kind.closes
            unit = self._unit(22, self.company[rows], np.arange(4))
            begin, length = unit[:, 1] * self.days, least + unit[:, 2] * (most - least)
            days = np.arange(self.days)
            closed |= (unit[:, :1] < share) & (days >= begin[:, None]) & (days < (begin + length)[:, None])
            if kind.holidays:
                still = np.array([(day.month, day.day) in SHUTDOWN for day in self._dates])
                closed |= (unit[:, 3:4] < share) & still
        if kind.holidays:
            closed |= np.array([(day.month, day.day) in HOLIDAYS for day in self._dates])
        if kind.idle:
            region = self.operator[rows] + 10 * self.of_kind[rows]
            closed |= self._unit(24, region, np.arange(self.days, dtype=np.int64) // 2) < kind.idle
        return closed

    @cached_property
    def events_done(self) -> list[tuple[int, str, int, int]]:
        """SIM, kind, first and last day of what was done; of the loop and the outage, one for each SIM."""
        if not self.faulty:
            return []
        unit = self._unit(30, np.arange(self.sims), np.arange(4))
        loop, begin, length = self.loop
        outage_sims, outage_day = self.outage
        done = [(int(sim), "firmware_loop", begin, begin + length - 1) for sim in loop]
        done += [(int(sim), "outage", outage_day, outage_day) for sim in outage_sims]
        for sim in np.flatnonzero((unit[:, 0] < EVENT_SHARE) & ~np.isin(np.arange(self.sims), loop)):
            kind = EVENTS[int(unit[sim, 1] * len(EVENTS))]
            if kind == "unusual_hours" and self.kinds[self.of_kind[sim]].hours == 24:
                kind = "drift"  # who is active at all hours has no unusual ones
            short = {"spike": 1 + int(unit[sim, 3] * 2), "silence": 1 + int(unit[sim, 3] * 4)}
            days = LENGTHS.get(kind) or short[kind]
            room = max(self.days * (1 - FIRST_EVENT) - min(days, 20) - 4, 1)
            first = int(self.days * FIRST_EVENT + 2 + unit[sim, 2] * room)
            done.append((int(sim), kind, first, min(first + days - 1, self.days - 1)))
        return done

    @cached_property
    def loop(self) -> tuple[Ints, int, int]:
        """The SIMs of one device type whose firmware loops, the first day and how many."""
        names = sorted(set(self.types))
        name = names[int(self._unit(31, np.arange(1), np.arange(1))[0, 0] * len(names))]
        of_type = np.flatnonzero(np.array(self.types) == name)
        unit = self._unit(32, of_type, np.arange(1))[:, 0]
        return of_type[unit < LOOP_SHARE], int(self.days * 0.7), 12

    @cached_property
    def outage(self) -> tuple[Ints, int]:
        """The SIMs of the operator that is out for OUTAGE_HOURS, and on which day."""
        return np.flatnonzero(self.operator == 0), int(self.days * 0.6)

    def _do(self, made: dict[str, NDArray[Any]]) -> None:
        volume, sessions, days = made["volume"], made["sessions"], np.arange(self.days)
        for sim, kind, first, last in self.events_done:
            now = (days >= first) & (days <= last)
            since = days[now] - first
            own = volume[sim][volume[sim] > 0]
            usual = float(np.median(own)) if len(own) else 1e4
            unit = float(self._unit(33, np.array([sim]), np.array([0]))[0, 0])
            if kind in ("spike", "drift", "runaway", "flapping", "firmware_loop", "imei_change"):
                factor = {
                    "spike": 6 + 24 * unit,
                    "drift": 1.75 + 2.25 * unit,
                    "runaway": (1.04 + 0.06 * unit) ** since,
                    "flapping": 1.3,
                    "firmware_loop": 2 + 2 * unit,
                    "imei_change": 3 + 5 * unit,
                }[kind]
                volume[sim, now] = (
                    np.maximum(volume[sim, now], usual) if kind == "spike" else volume[sim, now]
                ) * factor
            elif kind == "outage":
                self._cut_off(made, sim, first)
            elif kind in ("silence", "dead", "half_silent", "battery"):
                sent = np.cumsum(1 + np.arange(20) // 2)  # gaps of no day, of one, up to eight
                left = {"half_silent": since % 2 == 1, "battery": np.isin(since, sent)}
                volume[sim, now] *= left.get(kind, 0)
            more = {"flapping": (3, 12 + 20 * unit), "firmware_loop": (2.5, 2)}
            if kind in more:
                sessions[sim, now] = sessions[sim, now] * more[kind][0] + more[kind][1]
            made["messages"][sim, now] += 6 + int(20 * unit) if kind == "sms_flood" else 0
            made["odd_hours"][sim, now] |= kind == "unusual_hours"
            made["place"][sim, now] = 9 if kind == "unexpected_country" else made["place"][sim, now]
            made["device"][sim, first:] = 1 if kind == "imei_change" else made["device"][sim, first:]

    def _cut_off(self, made: dict[str, NDArray[Any]], sim: int, day: int) -> None:
        """Take away what the SIM would have sent in OUTAGE_HOURS of a day."""
        hours = self.kinds[self.of_kind[sim]].hours
        begin, end = OUTAGE_HOURS
        opens = int(self._opens[sim])
        lost = max(0, min(end, opens + hours) - max(begin, opens)) / hours
        made["volume"][sim, day] *= 1 - lost
        made["sessions"][sim, day] = np.floor(made["sessions"][sim, day] * (1 - lost))

    @cached_property
    def _opens(self) -> Ints:
        hours = np.array([kind.hours for kind in self.kinds])[self.of_kind]
        opens: Ints = (self._unit(34, np.arange(self.sims), np.arange(1))[:, 0] * (25 - hours)).astype(np.int64)
        return opens

    @cached_property
    def history(self) -> pl.DataFrame:
        """Usage: sim_key, day, bytes, sms of days with traffic."""
        made = self._made
        sim, day = np.nonzero((made["volume"] > 0) | (made["messages"] > 0))
        origin = np.datetime64(self.first, "D")
        return pl.DataFrame(
            {
                "sim_key": sim.astype(np.int32),
                "day": origin + day,
                "bytes": made["volume"][sim, day],
                "sms": made["messages"][sim, day].astype(np.int32),
            }
        )

    @cached_property
    def events(self) -> pl.DataFrame:
        """Sessions a day with device, country, operator and hours, as the detector takes them."""
        made = self._made
        sim, day = np.nonzero(made["sessions"] > 0)
        count, place = made["sessions"][sim, day], made["place"][sim, day]
        opens, hours = self._opens[sim], np.array([kind.hours for kind in self.kinds])[self.of_kind[sim]]
        odd = made["odd_hours"][sim, day]
        opens, hours = np.where(odd, (opens + hours + 2) % 20, opens), np.where(odd, 4, hours)
        seen = np.zeros(len(sim), np.int64)
        for nth in range(24):
            unit = self._unit(50 + nth, sim, day[:, None])[:, 0]
            seen |= np.where(nth < count, 1 << ((opens + (unit * hours).astype(np.int64)) % 24), 0)
        other = np.array([f"99{number:06d}" for number in range(self.sims)])  # a type that no other SIM is in
        types = np.where(made["device"][sim, day] > 0, other[sim], np.array(self.types)[sim])
        return pl.DataFrame(
            {
                "sim_key": sim.astype(np.int32),
                "day": np.datetime64(self.first, "D") + day,
                "imei": pl.Series(types.astype(str)) + pl.Series(sim).cast(pl.String).str.zfill(6) + "00",
                "country": np.where(place == 9, "Morocco", np.array(COUNTRIES)[np.minimum(place, 4)]),
                "operator": np.array(OPERATORS)[self.operator[sim]],
                "sessions": count.astype(np.int32),
                "hours": seen.astype(np.int32),
            }
        ).with_columns(operator=pl.when(pl.col("country") == "Morocco").then(pl.lit("Inwi")).otherwise("operator"))

    @cached_property
    def peers(self) -> pl.DataFrame:
        """What SIMs have in common, by SIM."""
        return pl.DataFrame(
            {
                "sim_key": np.arange(self.sims, dtype=np.int32),
                "device_type": self.types,
                "label_prefix": [f"C{number}" for number in self.company.tolist()],
                "country": ["Germany"] * self.sims,
                "operator": np.array(OPERATORS)[self.operator].tolist(),
                "batch": [f"2024-{1 + number % 12:02d}" for number in self.company.tolist()],
            }
        )

    @cached_property
    def clean(self) -> set[int]:
        """SIMs to which nothing was done."""
        return set(range(self.sims)) - {sim for sim, *_ in self.events_done}
