"""Ends of SIMs that give signs before, and others that give none: fleets of the scenario "signs" alone. Synthetic.

No public record says how ends of cellular devices announce themselves, so this is an assumption, fixed before any model
was scored on it. A SIM's life is made of courses and chances that know nothing of each other, day by day:

battery   a battery-powered device (meters, sensors, rare reporters, panels) begins to decline, the older the likelier
          and twice as likely under bad coverage, where it repeats what it sends. Within four months it comes to miss
          most of its reports, retries and opens sessions that carry nothing. After 60 to 180 days it is dead, or, three
          times in ten, somebody has put in a new battery and all is well.
fade      one use comes to its end: volume falls to a fifth within 40 days, and after 20 to 50 the SIM is switched
          off; one in five goes on as before.
season    three customer sites in ten are seasonal: at some time the use of all their SIMs falls to less than a third
          within two months, and after 45 to 90 days all are switched off within two weeks, or, as often, all go on.
contract  sites have terms of one, two or three years from a SIM's activation. In the 45 days after each term's end
          one SIM in 50 gives its device to another SIM.
ticket    one SIM in seven a year, and more than twice as many under bad coverage, has a support ticket. Of the SIMs
          with one, one in 25 gives its device to another SIM within 60 days.
chance    devices die (more often under bad coverage), are switched off and are swapped with nothing before it: about
          half of all ends. Of failed disks, the best recorded machines there are, more than half had shown none of the
          four strong signs (Pinheiro, Weber and Barroso 2007).

That coverage costs battery is measured for NB-IoT (Michelinakis et al. 2020; Sorensen et al. 2021). How bad the signs
are depends on how long a course has lasted, and on nothing that is still to come, so `true_risks` is the best that
anybody could say of a day.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.catalog import CODE
from simulator.hashing import NEVER, Ints, bits, draw

SIGNS = "signs"
STREAM = 60  # the first of this module's streams of the hash
BEFORE = 240  # days before the fleet's start at which courses may begin, so that some are under way from the first day
LIVED = 1100  # days from the start after which nothing more ends
KNOWN = 60  # days before the start in which nothing ends yet
CAUSES = ("dead_device", "switched_off", "swapped")
BATTERY_POWERED = ("fixed_payload_meter", "seasonal_sensor", "rare_reporter", "alarm_panel")
BAD_SITES, BAD_THERE, BAD_ELSEWHERE = 205, 819, 51  # of 1024: sites with bad coverage, and SIMs that have it
SEASONAL_SITES = 307  # of 1024
TERMS = (365, 730, 1095)
TERM_DAYS, TICKET_DAYS = 45, 60
EPISODES = 4  # of one course that a SIM may live through
CHANCE = {"dead_device": 0.02, "switched_off": 0.03, "swapped": 0.02}  # a year
BAD_DEATHS = 2.5  # times as many under bad coverage
TERM_SWAPS, TICKET_SWAPS = 0.02, 0.04  # of the SIMs
TICKETS, BAD_TICKETS = 0.15, 0.40  # a year
_UNIT = 1 << 30

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Course:
    """What begins at random and lasts for some days.

    stream    of the hash
    a_year    how often it begins
    shortest, longest  days; ends, the share of 1024 in which it is the SIM's end
    spread    days over which the SIMs that it befalls together end
    """

    stream: int
    a_year: float
    shortest: int
    longest: int
    ends: int
    spread: int = 1

    def table(self, days: int) -> Floats:
        """Probability that a SIM ends within h days by a course that has lasted d days, (longest, days + 1)."""
        length = np.zeros(self.longest + 1)
        length[self.shortest :] = 1 / (self.longest - self.shortest + 1)
        found = np.zeros((self.longest, days + 1))
        after = np.clip((np.arange(days + self.longest + 1) + 1) / self.spread, 0, 1)
        for lasted in range(self.longest):
            for whole in range(max(lasted + 1, self.shortest), min(self.longest, lasted + days) + 1):
                found[lasted, whole - lasted :] += length[whole] * after[: days + 1 - (whole - lasted)]
            found[lasted] *= self.ends / 1024 / length[lasted + 1 :].sum()
        return found


BATTERY = Course(STREAM, 0.06, 60, 180, 717)
FADE = Course(STREAM + 1, 0.011, 20, 50, 819)
SEASON = Course(STREAM + 2, 0.14, 45, 90, 512, spread=14)
_BATTERY_AGES = np.array([0.5, 1.0, 2.0])  # times as often in the first, the second and later years


class Signs:
    """What becomes of each SIM of a fleet. Days are ordinals; NEVER where a thing does not come.

    bad       (sims,) whether its coverage is bad
    death, off, swap  (sims,) the first day without it, one of them at most; courses are `first` and `last` days (sims,
              EPISODES) of BATTERY, FADE and SEASON
    tickets   (sims, days) whether a ticket is opened on a day from `begin` on
    """

    def __init__(self, seed: int, start: int, site: Ints, archetype: Ints, activation: Ints) -> None:
        self.seed, self.begin, self.days = seed, start - BEFORE, np.arange(start - BEFORE, start + LIVED)
        self._activation, everyone = activation, np.arange(len(site), dtype=np.int64)
        self._everyone, self._site = everyone, site
        own = draw(seed, STREAM + 3, everyone, np.arange(1))[:, 0]
        of_site = draw(seed, STREAM + 4, site, np.arange(1))[:, 0]
        self.bad = bits(own, 0, 10) < np.where(bits(of_site, 0, 10) < BAD_SITES, BAD_THERE, BAD_ELSEWHERE)
        self.powered = np.isin(archetype, [CODE[name] for name in BATTERY_POWERED])
        self.seasonal = bits(of_site, 10, 10) < SEASONAL_SITES
        self.term = np.array(TERMS)[bits(of_site, 20, 16) % len(TERMS)]
        self.jitter = bits(own, 10, 16) % SEASON.spread
        # a SIM is left alone for its first 60 days
        self.ready = activation + 60
        earliest = np.maximum(start - KNOWN, self.ready)
        courses = {"battery": (BATTERY, everyone), "fade": (FADE, everyone), "season": (SEASON, site)}
        self.first, self.last, ends = {}, {}, {}
        for name, (course, who) in courses.items():
            self.first[name], self.last[name], ends[name] = self._episodes(name, course, who, earliest)
        rates = np.where(self.bad, BAD_TICKETS, TICKETS)[:, None] / 365
        self.tickets = self._hits(STREAM + 5, everyone, np.broadcast_to(rates, (len(site), self.days.size)))
        self.tickets &= self.days >= activation[:, None]
        chance = {name: self._first(STREAM + 6 + at, name, earliest) for at, name in enumerate(CAUSES)}
        death = np.minimum(chance["dead_device"], ends["battery"])
        off = np.minimum.reduce([chance["switched_off"], ends["fade"], ends["season"]])
        swap = chance["swapped"]
        gone = np.minimum.reduce([death, off, swap])
        self.death = np.where(death == gone, death, NEVER)
        self.off = np.where((off == gone) & (death > gone), off, NEVER)
        self.swap = np.where((swap == gone) & (death > gone) & (off > gone), swap, NEVER)
        self.gone = gone

    def rates(self, name: str, rows: Ints, days: Ints) -> Floats:
        """Chance of a day that a course begins, or that a SIM ends so (name of a cause) with nothing but a term's end
        or a ticket before: rows (n,), days (n, d) or (d,)."""
        days = np.broadcast_to(days, (len(rows), days.shape[-1]))
        if name == "battery":
            age = np.clip((days - self._activation[rows, None]) // 365, 0, 2)
            rate = BATTERY.a_year * _BATTERY_AGES[age] * np.where(self.bad, 2, 1)[rows, None]
            rate = rate * self.powered[rows, None]
        elif name == "season":
            rate = np.broadcast_to(SEASON.a_year * self.seasonal[rows, None], days.shape)
        elif name == "fade":
            rate = np.full(days.shape, FADE.a_year)
        else:
            rate = np.full(days.shape, CHANCE[name])
            if name == "dead_device":
                rate = rate * np.where(self.bad, BAD_DEATHS, 1.0)[rows, None]
            if name == "swapped":
                age = days - self._activation[rows, None]
                after = (age >= self.term[rows, None]) & (age % self.term[rows, None] < TERM_DAYS)
                rate = rate + after * TERM_SWAPS * 365 / TERM_DAYS
        return np.asarray(rate / 365, dtype=np.float64)

    def _hits(self, stream: int, who: Ints, rates: Floats) -> NDArray[np.bool_]:
        found = np.empty((len(who), self.days.size), dtype=bool)
        for part in range(0, len(who), 1000):
            rows = slice(part, part + 1000)
            word = draw(self.seed, stream, who[rows], self.days)
            found[rows] = bits(word, 0, 30) < (rates[rows] * _UNIT).astype(np.int64)
        return found

    def _episodes(self, name: str, course: Course, who: Ints, earliest: Ints) -> tuple[Ints, Ints, Ints]:
        """First and last day of each episode of a course, and the day on which one is the SIM's end; SIMs with the same
        `who` live through it together."""
        hits = self._hits(course.stream, who, self.rates(name, self._everyone, self.days))
        first, last = np.full((2, len(who), EPISODES), NEVER)
        end, free = np.full((2, len(who)), NEVER)
        free[:] = self.begin
        for episode in range(EPISODES):
            begins = hits & (self.days >= free[:, None])
            some = begins.any(axis=1) & (end == NEVER)
            at = np.where(some, self.begin + begins.argmax(axis=1), 0)
            word = draw(self.seed, course.stream, NEVER + who, at[:, None])[:, 0]
            until = at + course.shortest + bits(word, 0, 16) % (course.longest - course.shortest + 1)
            first[some, episode], last[some, episode] = at[some], until[some]
            gone = until + (self.jitter if course.spread > 1 else 0)
            ended = some & (bits(word, 16, 10) < course.ends) & (gone >= earliest)
            # a SIM that is too young goes on
            end = np.where(ended, gone, end)
            free = np.where(some, until, free)
        return first, last, end

    def _first(self, stream: int, name: str, earliest: Ints) -> Ints:
        """The first day on which a SIM ends by a cause without a course."""
        rates = self.rates(name, self._everyone, self.days)
        if name == "swapped":
            rates = rates + self._open(self.tickets) * (TICKET_SWAPS / TICKET_DAYS)
        hits = self._hits(stream, self._everyone, rates) & (self.days >= earliest[:, None])
        return np.where(hits.any(axis=1), self.begin + hits.argmax(axis=1), NEVER)

    @staticmethod
    def _open(tickets: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether a ticket was opened within TICKET_DAYS before each day."""
        summed = np.concatenate([np.zeros((len(tickets), 1), np.int32), tickets.cumsum(axis=1, dtype=np.int32)], axis=1)
        first = np.maximum(np.arange(tickets.shape[1]) - TICKET_DAYS, 0)
        return np.asarray(summed[:, :-1] - summed[:, first] > 0)

    def lasted(self, name: str, rows: Ints, days: Ints) -> Ints:
        """For how many days a course has lasted on each day, (n, d); -1 where none does."""
        found = np.full((len(rows), days.shape[-1]), -1)
        for episode in range(EPISODES):
            first, last = self.first[name][rows, episode, None], self.last[name][rows, episode, None]
            if name == "season":  # those that close stay low until they are switched off
                last = last + self.jitter[rows, None] * (self.off[rows, None] == last + self.jitter[rows, None])
            found = np.where((days >= first) & (days < last), days - first, found)
        return found

    def worn(self, rows: Ints, days: Ints) -> Floats:
        """How far batteries are gone on each day, 0 to 1, (n, d)."""
        return np.clip((self.lasted("battery", rows, days) + 1) / 120, 0, 1)

    def applied(self, rows: Ints, days: Ints, volume: Ints) -> Ints:
        """The volume (n, d) with the signs in it."""
        fade, season = (self.lasted(name, rows, days) + 1 for name in ("fade", "season"))
        left = 4096 - 3277 * np.minimum(fade, 40) // 40
        left = left * (4096 - 2949 * np.minimum(season, 60) // 60) >> 12
        lost = (self.worn(rows, days) * 717).astype(np.int64) + np.where(self.bad, 102, 0)[rows, None]
        heard = bits(draw(self.seed, STREAM + 10, rows, days), 0, 10) >= lost
        return np.where(heard, volume * left >> 12, 0)

    def connection(
        self, rows: Ints, days: Ints, used: NDArray[np.bool_], missed: NDArray[np.bool_]
    ) -> tuple[Ints, ...]:
        """Sessions of each day, those of them that carried nothing, and what a look at the SIM's status said: 1 in
        reach, 0 not, -1 where nobody looked, (n, d) each. Each SIM is looked at once a week.

        used  days with volume; missed  days on which it would have had some
        """
        word = draw(self.seed, STREAM + 11, rows, days)
        worn = (self.worn(rows, days) * 614).astype(np.int64)
        bad = self.bad[rows, None]
        retries = (bits(word, 0, 10) < np.where(bad, 256, 31)).astype(np.int64)
        for at in (10, 20, 30):
            retries += bits(word, at, 10) < worn
        empty = np.where(missed, np.maximum(retries, 1), np.where(used, retries, 0))
        sessions = empty + np.where(used, 1 + bits(word, 40, 10) % 3, 0)
        away = np.where(bad, 205, 31) + worn // 2
        reached = (bits(word, 50, 10) >= away).astype(np.int64)
        looked = (days[None, :] + rows[:, None]) % 7 == 0
        return sessions, empty, np.where(looked, reached, -1)

    def true_risks(self, rows: Ints, days: Ints, ahead: Ints) -> Floats:
        """The probability of ending by each of CAUSES within so many days after a day, of all that had happened up to
        that day and was known to nobody: rows (n,), days (n,), ahead (n, h) at least 0; (n, h, 3). 1 for a SIM that
        had ended. SIMs end by what comes first; here each cause is by itself."""
        most = int(ahead.max(initial=1))
        future = days[:, None] + np.arange(1, most + 1)
        by_cause = np.ones((3, len(rows), most + 1))
        for at, name in enumerate(CAUSES):
            rates = self.rates(name, rows, future)
            if name == "swapped":
                rates = rates + self._ticket_risk(rows, days, future) * (TICKET_SWAPS / TICKET_DAYS)
            rates = rates * (future >= self.ready[rows, None])
            by_cause[at, :, 1:] *= np.cumprod(1 - rates, axis=1)
        for at, name, course in ((0, "battery", BATTERY), (1, "fade", FADE), (1, "season", SEASON)):
            by_cause[at] *= 1 - self._of_course(name, course, rows, days, future)
        risk = np.take_along_axis(1 - np.moveaxis(by_cause, 0, 2), ahead[:, :, None], axis=1)
        gone = np.stack([day[rows] <= days for day in (self.death, self.off, self.swap)], axis=1)
        ended = np.asarray(gone.any(axis=1))
        return np.where(ended[:, None, None], gone[:, None, :].astype(np.float64), risk)

    def _of_course(self, name: str, course: Course, rows: Ints, days: Ints, future: Ints) -> Floats:
        """Probability of an end by a course within 0, 1, ... days, (n, d + 1)."""
        most = future.shape[1]
        table = course.table(most)
        rates = self.rates(name, rows, future)
        begins = rates * np.cumprod(np.concatenate([np.ones((len(rows), 1)), 1 - rates[:, :-1]], axis=1), axis=1)
        # one that begins on the s-th day has lasted 0 days at that day's end
        found = np.zeros((len(rows), most + 1))
        for day in range(1, most + 1):
            found[:, day:] += begins[:, day - 1, None] * table[0, : most + 1 - day]
        for episode in range(EPISODES):
            first, last = self.first[name][rows, episode], self.last[name][rows, episode]
            under_way = (first <= days) & (days < last)
            found[under_way] = table[(days - first)[under_way]]
            if course.spread > 1:  # its site is being switched off, and its own day has not come
                since = np.clip(days - last, 0, NEVER)
                closing = (self.off[rows] == last + self.jitter[rows]) & (days >= last) & (self.off[rows] > days)
                left = course.spread - 1 - since[closing, None]
                found[closing] = np.clip(np.arange(most + 1) / np.maximum(left, 1), 0, 1)
        return found

    def _ticket_risk(self, rows: Ints, days: Ints, future: Ints) -> Floats:
        """Probability that a ticket was opened within TICKET_DAYS before each day to come, (n, d)."""
        rate = np.where(self.bad, BAD_TICKETS, TICKETS)[rows, None] / 365
        nth = future - days[:, None]
        place = np.clip(days - self.begin, 0, self.days.size - 1)
        upto = np.where(self.tickets, np.arange(self.days.size), -NEVER)
        last = np.array([upto[row, : at + 1].max() for row, at in zip(rows.tolist(), place.tolist(), strict=True)])
        known = (place - last)[:, None] + nth <= TICKET_DAYS
        return np.where(known, 1.0, 1 - (1 - rate) ** np.minimum(nth - 1, TICKET_DAYS))
