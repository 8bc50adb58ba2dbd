"""What the devices of a synthetic fleet want to send, day by day, before any quota stops them.

Every number is a hash of (seed, stream, SIM, day), so any day of any SIM is found without the days before it, and
integer arithmetic with small tables makes the same bytes on every platform and NumPy version (NumPy promises no stable
stream for its distributions).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from simulator.catalog import ARCHETYPES, CODE, FIRMWARE_LOOP_DEVICE, SMS_RATES, STEADY
from simulator.hashing import (
    _ONE,
    DAY,
    HOURS,
    INJECT,
    LIFE,
    NEVER,
    RUN,
    SITES,
    TRAITS,
    WANDER,
    WINDOW,
    Ints,
    Words,
    bits,
    draw,
)
from simulator.signs import SIGNS, Signs
from simulator.swaps import ENDS, givers, swap_days

RUNAWAY_DAYS = 60
LIFETIME_MONTHS = 120
_MAX_DAY = 300_000_000  # no device sends more than 300 MB a day

# factors for Monday to Sunday: flat, workdays, weekend trade, five and a half days
_WEEKS = np.array(
    [
        [4096] * 7,
        [4500, 4600, 4600, 4500, 4200, 500, 250],
        [3300, 3300, 3500, 3900, 4900, 5400, 4300],
        [4300, 4400, 4400, 4300, 4300, 2400, 900],
    ],
    dtype=np.int64,
)


def _noise_tables() -> Ints:
    """Five tables of 4096 factors, each with mean one: a fixed payload with retries, then four log-normal spreads."""
    fixed = [_ONE] * 3700 + [_ONE + 170] * 260 + [_ONE - 170] * 90 + [_ONE * 3 // 2] * 30 + [_ONE // 2] * 16
    normal = NormalDist()
    tables = [fixed]
    for sigma in (0.10, 0.22, 0.38, 0.60):
        quantiles = (normal.inv_cdf((i + 0.5) / _ONE) for i in range(_ONE))
        tables.append([round(_ONE * math.exp(sigma * z - sigma * sigma / 2)) for z in quantiles])
    return np.array(tables, dtype=np.int64)


def _poisson_tails() -> Ints:
    """P(at least k) for k = 1 to 4, of 65536, one row a rate."""
    rows = []
    for rate in SMS_RATES:
        below = [sum(math.exp(-rate) * rate**j / math.factorial(j) for j in range(k)) for k in range(1, 5)]
        rows.append([round(65536 * (1 - p)) for p in below])
    return np.array(rows, dtype=np.int64)


_NOISE = _noise_tables()
_POISSON = _poisson_tails()
_YEAR = np.array([round(_ONE * math.cos(2 * math.pi * (i - 196) / 365.25)) for i in range(1461)], dtype=np.int64)
_LEVELS = np.array(
    [[round(a.low * (a.high / a.low) ** (i / 255)) for i in range(256)] for a in ARCHETYPES], dtype=np.int64
)
_GROWTH = np.array([[min(round(_ONE * g**d), 60 * _ONE) for d in range(RUNAWAY_DAYS)] for g in (1.04, 1.06, 1.08, 1.1)])


@dataclass(frozen=True)
class Wanted:
    """Demand of SIMs x days: volume in accounting bytes, message counts, and the received share in per mille."""

    volume: Ints
    sms_mo: Ints
    sms_mt: Ints
    rx_share: Ints


@dataclass(frozen=True)
class Injection:
    """One passing anomaly a SIM in one window: kind 0 none, 1 spike, 2 silence, 3 runaway; days are ordinals,
    inclusive."""

    kind: Ints
    first: Ints
    last: Ints
    strength: Ints


Disturb = Callable[["Demand", Ints, Ints, Ints, Ints, Ints], tuple[Ints, Ints, Ints]]


class Demand:
    """The traits of every SIM, and what each wants to send on any day. Days are proleptic ordinals (`date.toordinal`).

    disturb   (demand, SIMs, days, volume, MO, MT) -> volume, MO and MT with the scenario's anomalies in them
    """

    def __init__(self, seed: int, sims: int, start: date, scenario: str, disturb: Disturb) -> None:
        self._disturb = disturb
        self.seed, self.start, self.scenario = seed, start.toordinal(), scenario
        everyone = np.arange(sims, dtype=np.int64)
        traits, life = draw(seed, TRAITS, everyone, np.arange(2)), draw(seed, LIFE, everyone, np.arange(2))
        shares = np.cumsum([a.share for a in ARCHETYPES])
        self.archetype = np.searchsorted(shares, bits(traits[:, 0], 0, 20) * 1000 >> 20, side="right").astype(np.int64)
        kinds = self.archetype
        self.base = _LEVELS[kinds, bits(traits[:, 0], 20, 8)]
        self.device = kinds * 2 + bits(traits[:, 0], 28, 1)
        self.noise = np.array([a.noise for a in ARCHETYPES])[kinds]
        width = np.array([len(a.weeks) for a in ARCHETYPES])[kinds]
        padded = np.array([(a.weeks * 6)[:6] for a in ARCHETYPES])
        self.week = padded[kinds, bits(traits[:, 0], 29, 8) % width]
        self.season = np.array([a.season for a in ARCHETYPES])[kinds]
        self.growth = np.array([a.growth for a in ARCHETYPES])[kinds] * (50 + bits(traits[:, 0], 37, 7)) // 100
        longest = np.array([a.period for a in ARCHETYPES])[kinds]
        self.period = np.where(longest > 1, 3 + bits(traits[:, 1], 0, 10) % np.maximum(longest - 2, 1), 1)
        self.phase = bits(traits[:, 1], 10, 10)
        self.run = 6 + bits(traits[:, 1], 20, 4)
        self.on = np.array([a.on for a in ARCHETYPES])[kinds]
        self.rx = np.array([a.rx for a in ARCHETYPES])[kinds] + bits(traits[:, 1], 24, 5)
        self.sms_rate = np.array([a.sms_rate for a in ARCHETYPES])[kinds]
        self._days(everyone)
        self._lives(sims, everyone, life, scenario)
        if scenario == "clean":
            self.churn_first = self.churn_last = self.death = np.full(sims, NEVER)
            self.loop_first = self.loop_last = np.full(sims, NEVER)
            self.ends = self.expiry

    def _days(self, everyone: Ints) -> None:
        """When in the day each SIM is active: `hours` from the hour `opens` on, on a few days (`off_hours`, of 1,024)
        at any hour."""
        word = draw(self.seed, HOURS, everyone, np.arange(1))[:, 0]
        self.hours = np.array([a.hours for a in ARCHETYPES])[self.archetype]
        first, last = np.array([a.opens for a in ARCHETYPES])[self.archetype].T
        self.opens = first + bits(word, 0, 16) % (last - first + 1)
        self.off_hours = np.array([3, 3, 10, 40])[bits(word, 16, 2)]
        self.always_active = bits(word, 18, 1) == 1  # its unusual hours are all hours, instead of some others

    def _lives(self, sims: int, everyone: Ints, life: Words, scenario: str) -> None:
        """Activation, expiry, churn, death and swap of every SIM; sites are rolled out, and leave, together."""
        sites = max(4, sims // 40)
        site = draw(self.seed, SITES, np.arange(sites, dtype=np.int64), np.arange(1))[:, 0]
        self.site = bits(life[:, 0], 0, 20) % sites
        early = bits(site, 0, 10) < 880
        rollout = self.start - np.where(early, 100 + bits(site, 10, 12) % 420, 40 - bits(site, 10, 12) % 260)
        added = self.start + bits(life[:, 1], 59, 5) * 9 + bits(life[:, 0], 20, 3)  # a few join a running site
        first = rollout[self.site] + bits(life[:, 0], 20, 7)
        self.activation = np.where(bits(life[:, 1], 52, 7) < 5, np.maximum(added, first), first)
        modest = np.isin(self.archetype, [CODE["fixed_payload_meter"], CODE["rare_reporter"], CODE["seasonal_sensor"]])
        self.old = modest & (bits(life[:, 0], 27, 10) < 52)
        veteran = self.start - 3652 - 30 + bits(life[:, 0], 37, 10) % 560
        self.activation = np.where(self.old, veteran, self.activation)
        months = (self.activation - 719_163).astype("M8[D]").astype("M8[M]")
        inside = (self.activation - 719_163).astype("M8[D]") - months.astype("M8[D]")
        expiry = (months + np.timedelta64(LIFETIME_MONTHS, "M")).astype("M8[D]") + inside
        self.expiry = expiry.astype(np.int64) + 719_163

        leaving_site = (bits(site, 22, 10) < 70)[self.site]
        leaves = (bits(life[:, 1], 0, 10) < 100) | (leaving_site & (bits(life[:, 1], 10, 10) < 850))
        site_day = 60 + bits(site, 32, 10) % 480
        own_day = np.where(
            leaving_site, site_day[self.site] + bits(life[:, 1], 20, 5), 25 + bits(life[:, 1], 20, 12) % 520
        )
        ready = self.activation + 60
        self.churn_first = np.where(leaves, np.maximum(self.start + own_day, ready), NEVER)
        self.churn_last = np.where(leaves, self.churn_first + 20 + bits(life[:, 1], 32, 5), NEVER)
        dies = ~leaves & (bits(life[:, 1], 37, 10) < 90)
        self.death = np.where(dies, np.maximum(self.start + 20 + bits(life[:, 1], 47, 12) % 700, ready), NEVER)
        stays = ~leaves & ~dies & (scenario == ENDS)
        self.swap = swap_days(self.seed, self.start, ready, stays) if stays.any() else np.full(sims, NEVER)
        self.signs: Signs | None = None
        if scenario == SIGNS:
            self.signs = Signs(self.seed, self.start, self.site, self.archetype, self.activation)
            self.death, self.swap = self.signs.death, self.signs.swap
            # use declines before it as `signs` says
            self.churn_first = self.churn_last = self.signs.off
        self.giver, self.given = givers(self.site, self.archetype, self.swap)
        # a faulty firmware of one device type restarts its session over and over, from a roll-out of ten days
        looping = (self.device == FIRMWARE_LOOP_DEVICE) & (bits(life[:, 0], 47, 10) < 700) & ~self.old
        self.loop_first = np.where(looping, self.start + 110 + bits(life[:, 0], 57, 7) % 10, NEVER)
        looping &= (self.activation < self.loop_first - 21) & (
            np.minimum(self.churn_first, self.death) > self.loop_first + 40
        )
        self.loop_first = np.where(looping, self.loop_first, NEVER)
        self.loop_last = np.where(looping, self.loop_first + 14 + everyone % 8, NEVER)
        self.ends = np.minimum.reduce([self.churn_first, self.death, self.swap, self.expiry])

    def injections(self, rows: Ints, window: int) -> Injection:
        """The passing anomaly of each SIM in the window-th 180 days from the start; windows before the start are
        clean."""
        h = draw(self.seed, INJECT, rows, np.array([max(window, 0)]))[:, 0]
        chance = bits(h, 0, 12)
        steady = STEADY[self.archetype[rows]]
        kind = np.select([chance < 110, (chance < 250) & steady, (chance >= 250) & (chance < 315)], [1, 2, 3], 0)
        first = self.start + window * WINDOW + 25 + bits(h, 12, 16) % 145
        length = np.select([kind == 1, kind == 2], [1 + bits(h, 28, 8) % 3, 4 + bits(h, 28, 8) % 20], RUNAWAY_DAYS)
        last = first + length - 1
        looping = (first <= self.loop_last[rows]) & (last >= self.loop_first[rows])
        fits = (first >= self.activation[rows] + 21) & (last < self.ends[rows]) & ~looping & (window >= 0)
        fits &= self.scenario != "clean"
        return Injection(np.where(fits, kind, 0), first, last, bits(h, 40, 8))

    def wanted(self, rows: Ints, days: Ints) -> Wanted:
        """Demand of `rows` (n,) on consecutive `days` (d,); zero before activation and from the day of expiry."""
        h = draw(self.seed, DAY, rows, days)
        volume = self.base[rows, None] * self._level(rows, days) >> 12
        volume = volume * _NOISE.ravel()[(self.noise[rows] * _ONE)[:, None] + bits(h, 0, 12)] >> 12
        due = (days + self.phase[rows, None]) % self.period[rows, None] == 0
        turn = (days + self.phase[rows, None]) // self.run[rows, None]
        due &= bits(draw(self.seed, RUN, rows, turn), 0, 10) * 1000 >> 10 < self.on[rows, None]
        due &= bits(h, 12, 16) >= 130
        volume = np.where(due, volume, 0)
        mo, mt = (self._messages(rows, bits(h, low, 16)) for low in (28, 44))
        volume, mo, mt = self._disturb(self, rows, days, volume, mo, mt)
        share = np.repeat((self.rx[rows] + 0)[:, None], len(days), axis=1) + bits(h, 7, 5)
        volume, alive = self._disturbed(rows, days, volume)
        if self.signs is not None:
            volume = self.signs.applied(rows, days, volume)
        lives = (days >= self.activation[rows, None]) & (days < self.expiry[rows, None]) & alive
        loops = (days >= self.loop_first[rows, None]) & (days <= self.loop_last[rows, None])
        share = np.where(loops, 500, share)
        return Wanted(
            np.where(lives, np.minimum(volume, _MAX_DAY), 0), np.where(lives, mo, 0), np.where(lives, mt, 0), share
        )

    def _level(self, rows: Ints, days: Ints) -> Ints:
        """Weekday, season, growth and a slow wander, as one factor in 1/4096."""
        level = _WEEKS[self.week[rows][:, None], (days + 6) % 7]
        wave = _ONE + (self.season[rows, None] * _YEAR[days % 1461] >> 12)
        level = level * np.maximum(wave, 60) >> 12
        age = np.clip(days - self.activation[rows, None], 0, 900)
        level = level * (_ONE + np.minimum(self.growth[rows, None] * age, 5 * _ONE)) >> 12
        weeks = np.arange(days[0] // 7, days[-1] // 7 + 2)
        knots = _NOISE[1 + (self.noise[rows] > 0)[:, None], bits(draw(self.seed, WANDER, rows, weeks), 0, 12)]
        knots = np.where((self.noise[rows] > 0)[:, None], knots, _ONE)  # a fixed payload does not wander
        at, into = days // 7 - weeks[0], days % 7
        wander = (knots[:, at] * (7 - into) + knots[:, at + 1] * into) // 7
        factor: Ints = level * wander >> 12
        return factor

    def _messages(self, rows: Ints, uniform: Ints) -> Ints:
        tails = _POISSON[self.sms_rate[rows]]
        count = np.zeros_like(uniform)
        for k in range(4):
            count += uniform < tails[:, k, None]
        return count

    def _disturbed(self, rows: Ints, days: Ints, volume: Ints) -> tuple[Ints, NDArray[np.bool_]]:
        """The volume with spikes, runaways, the firmware loop and churn in it, and whether the device is alive each
        day."""
        gone = np.minimum.reduce([self.death[rows], self.churn_last[rows], self.swap[rows]])
        alive = days < gone[:, None]
        for window in range(
            (int(days[0]) - self.start - RUNAWAY_DAYS) // WINDOW, (int(days[-1]) - self.start) // WINDOW + 1
        ):
            if window < 0:
                continue
            injected = self.injections(rows, window)
            hit = np.flatnonzero((injected.kind > 0) & (injected.last >= days[0]) & (injected.first <= days[-1]))
            if not hit.size:
                continue
            kind, strength = injected.kind[hit, None], injected.strength[hit, None]
            since = days - injected.first[hit, None]
            during = (since >= 0) & (days <= injected.last[hit, None])
            usual = np.maximum(volume[hit], self.base[rows[hit], None] >> 1)
            rising = usual * _GROWTH[strength % 4, np.clip(since, 0, RUNAWAY_DAYS - 1)] >> 12
            changed = np.select([kind == 1, kind == 3], [usual * (8 + strength % 32), rising], volume[hit])
            volume[hit] = np.where(during, changed, volume[hit])
            alive[hit] &= ~(during & (kind == 2))
        loops = (days >= self.loop_first[rows, None]) & (days <= self.loop_last[rows, None])
        volume = np.where(loops, np.maximum(volume, self.base[rows, None]) * 4, volume)
        leaving = days >= self.churn_first[rows, None]
        left = np.clip(self.churn_last[rows, None] - days, 0, 100)
        fading = volume * left // np.maximum(self.churn_last - self.churn_first, 1)[rows, None]
        return np.where(leaving, fading, volume), alive
