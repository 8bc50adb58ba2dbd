"""What the devices of a synthetic fleet want to send, day by day, before any quota stops them.

Every number is a hash of (seed, stream, SIM, day), so any day of any SIM is found without the days before it, and integer
arithmetic with small tables makes the same bytes on every platform and NumPy version (NumPy promises no stable stream for its
distributions).
Source of the hash: SplitMix64's finalizer (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
"""

import math
from dataclasses import dataclass
from datetime import date
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]

NEVER = 1 << 60  # a day, or a second, that does not come
WINDOW = 180  # days in which a SIM meets at most one passing anomaly
RUNAWAY_DAYS = 60
LIFETIME_MONTHS = 120
_ONE = 4096  # fixed-point one of all factors
_WORD = (1 << 64) - 1
_MAX_DAY = 300_000_000  # no device sends more than 300 MB a day

# streams of the hash
DAY, WANDER, RUN, INJECT, TRAITS, IDENTITY, SITES, LIFE = range(1, 9)
MESSAGES, SESSIONS, QUOTA, PLACE, REPORT, TICKETS, STREAM = range(9, 16)
HOURS = 17


@dataclass(frozen=True)
class Archetype:
    """One kind of device. Volumes are accounting bytes on an active day; chances and shares are per mille.

    Its data sessions lie within `hours` hours of the UTC day, which begin for each SIM at an hour of its own from `opens` on.
    """

    name: str
    share: int
    low: int
    high: int
    noise: int
    weeks: tuple[int, ...]
    rx: int
    sms_rate: int  # index into SMS_RATES
    season: int = 0  # amplitude of the yearly wave, in 1/4096
    growth: int = 0  # added to the level each day, in 1/4096
    period: int = 1  # longest number of days between reports
    on: int = 1000  # chance that a run of days is an active one
    auto_topup: int = 40
    refill: int = 250  # chance that somebody tops it up after exhaustion
    hours: int = 24
    opens: tuple[int, int] = (0, 0)  # first and last hour


ARCHETYPES = (
    Archetype("fixed_payload_meter", 300, 10_000, 80_000, 0, (0,), 180, 0, hours=2, opens=(0, 4)),
    Archetype("workday_tracker", 180, 120_000, 1_400_000, 2, (1,), 220, 1, hours=12, opens=(4, 6)),
    Archetype("camera", 40, 1_200_000, 7_000_000, 4, (0, 2), 60, 0, auto_topup=450, refill=700),
    Archetype("vending_machine", 130, 80_000, 1_100_000, 2, (1, 2, 3), 350, 1, season=900, hours=15, opens=(5, 7)),
    Archetype("seasonal_sensor", 90, 40_000, 260_000, 1, (0,), 150, 0, season=4600, hours=3, opens=(0, 20)),
    Archetype("on_off_machine", 90, 150_000, 1_800_000, 3, (0, 3), 300, 0, on=550, hours=10, opens=(5, 7)),
    Archetype("rare_reporter", 100, 4_000, 60_000, 1, (0,), 250, 2, period=14, hours=2, opens=(0, 21)),
    Archetype("growing_gateway", 40, 450_000, 1_300_000, 1, (0, 3), 420, 1, growth=14, auto_topup=450, refill=600),
    Archetype("alarm_panel", 30, 20_000, 90_000, 1, (0,), 400, 4),
)
CODE = {archetype.name: code for code, archetype in enumerate(ARCHETYPES)}
FIRMWARE_LOOP_DEVICE = CODE["workday_tracker"] * 2 + 1  # device types are numbered two to an archetype
# two device types an archetype: name, type allocation code of the IMEI, radio
DEVICES = (
    *(("Hydra W1", "86357604", "NB-IoT"), ("Hydra W2", "01456700", "NB-IoT")),
    *(("Trailmark T100", "35298110", "2G"), ("Trailmark T210", "86492305", "4G")),
    *(("Sentria Cam 4", "35673808", "4G"), ("Sentria Cam 5", "35673912", "5G")),
    *(("Vendo V3", "86106503", "4G"), ("Vendo V3 lite", "86106511", "2G")),
    *(("Agrilog S", "86732103", "NB-IoT"), ("Agrilog M", "86732145", "4G")),
    *(("Baustrom B1", "35940510", "2G"), ("Baustrom B2", "35940528", "4G")),
    *(("Silentio R", "86881203", "NB-IoT"), ("Silentio R+", "86881229", "NB-IoT")),
    *(("Gatewise 400", "35176209", "4G"), ("Gatewise 500", "35176225", "5G")),
    *(("Alertis P", "86004104", "2G"), ("Alertis P2", "86004120", "4G")),
)
# name, ISO code, id, dialling code, MCC, latitude, longitude, operators (id, name, MNC)
COUNTRIES = (
    (
        "Germany",
        "de",
        "74",
        "49",
        "262",
        "51",
        "9",
        (("2", "T-Mobile", "01"), ("3", "Vodafone", "02"), ("4", "O2", "03")),
    ),
    ("Austria", "at", "12", "43", "232", "47", "13", (("31", "A1", "01"), ("32", "Magenta", "03"))),
    ("Netherlands", "nl", "142", "31", "204", "52", "5", (("51", "KPN", "08"), ("52", "Vodafone", "04"))),
    ("France", "fr", "69", "33", "208", "46", "2", (("61", "Orange", "01"), ("62", "Bouygues Telecom", "20"))),
    ("Italy", "it", "98", "39", "222", "42", "12", (("71", "TIM", "01"), ("72", "WindTre", "88"))),
    # where no SIM of a fleet belongs
    ("Morocco", "ma", "130", "212", "604", "32", "-5", (("81", "Maroc Telecom", "01"), ("82", "Inwi", "02"))),
)
CITIES = (
    ("HAM", 0),
    ("VIE", 1),
    ("AMS", 2),
    ("MUC", 0),
    ("LYO", 3),
    ("MIL", 4),
    ("CGN", 0),
    ("BER", 0),
    ("GRZ", 1),
    ("LEJ", 0),
)
STEADY = np.array([a.period == 1 and a.on == 1000 and a.season < _ONE for a in ARCHETYPES])

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
SMS_RATES = (0.002, 0.006, 0.03, 0.1, 0.28)  # messages a day and direction
SMS_SLOTS = 8  # at most four a day in each direction


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


def _mix(x: Words) -> Words:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def draw(seed: int, stream: int, rows: Ints, columns: Ints) -> Words:
    """64 random bits for each (row, column): rows (n,), columns (d,) or (n, d); returns (n, d)."""
    key = np.array([(seed * 0x9E3779B97F4A7C15 + stream * 0xD1B54A32D192ED03) & _WORD], dtype=np.uint64)
    row_key = _mix(_mix(key) + rows.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    return _mix(row_key[:, None] + columns.astype(np.uint64) * np.uint64(0xD6E8FEB86659FD93))


def bits(words: Words, low: int, count: int) -> Ints:
    """`count` bits of each word from bit `low` upward, as numbers from 0 to 2**count - 1."""
    return ((words >> np.uint64(low)) & np.uint64((1 << count) - 1)).astype(np.int64)


@dataclass(frozen=True)
class Wanted:
    """Demand of SIMs x days: volume in accounting bytes, message counts, and the received share in per mille."""

    volume: Ints
    sms_mo: Ints
    sms_mt: Ints
    rx_share: Ints


@dataclass(frozen=True)
class Injection:
    """One passing anomaly a SIM in one window: kind 0 none, 1 spike, 2 silence, 3 runaway; days are ordinals, inclusive."""

    kind: Ints
    first: Ints
    last: Ints
    strength: Ints


class Demand:
    """The traits of every SIM, and what each wants to send on any day. Days are proleptic ordinals (`date.toordinal`)."""

    def __init__(self, seed: int, sims: int, start: date, scenario: str = "usual") -> None:
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
        self._lives(sims, everyone, life)
        if scenario == "clean":
            self.churn_first = self.churn_last = self.death = np.full(sims, NEVER)
            self.loop_first = self.loop_last = np.full(sims, NEVER)
            self.ends = self.expiry

    def _days(self, everyone: Ints) -> None:
        """When in the day each SIM is active: `hours` from the hour `opens` on, on a few days (`stray`, of 1,024) at any time."""
        word = draw(self.seed, HOURS, everyone, np.arange(1))[:, 0]
        self.hours = np.array([a.hours for a in ARCHETYPES])[self.archetype]
        first, last = np.array([a.opens for a in ARCHETYPES])[self.archetype].T
        self.opens = first + bits(word, 0, 16) % (last - first + 1)
        self.stray = np.array([3, 3, 10, 40])[bits(word, 16, 2)]
        self.sleepless = bits(word, 18, 1) == 1  # its unusual hours are all hours, instead of some others

    def _lives(self, sims: int, everyone: Ints, life: Words) -> None:
        """Activation, expiry, churn and death of every SIM; sites are rolled out, and leave, together."""
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
        # a faulty firmware of one device type restarts its session over and over, from a roll-out of ten days
        looping = (self.device == FIRMWARE_LOOP_DEVICE) & (bits(life[:, 0], 47, 10) < 700) & ~self.old
        self.loop_first = np.where(looping, self.start + 110 + bits(life[:, 0], 57, 7) % 10, NEVER)
        looping &= (self.activation < self.loop_first - 21) & (
            np.minimum(self.churn_first, self.death) > self.loop_first + 40
        )
        self.loop_first = np.where(looping, self.loop_first, NEVER)
        self.loop_last = np.where(looping, self.loop_first + 14 + everyone % 8, NEVER)
        self.ends = np.minimum(np.minimum(self.churn_first, self.death), self.expiry)

    def injections(self, rows: Ints, window: int) -> Injection:
        """The passing anomaly of each SIM in the window-th 180 days from the start; windows before the start are clean."""
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
        from simulator.oddities import disturbed

        h = draw(self.seed, DAY, rows, days)
        volume = self.base[rows, None] * self._level(rows, days) >> 12
        volume = volume * _NOISE.ravel()[(self.noise[rows] * _ONE)[:, None] + bits(h, 0, 12)] >> 12
        due = (days + self.phase[rows, None]) % self.period[rows, None] == 0
        turn = (days + self.phase[rows, None]) // self.run[rows, None]
        due &= bits(draw(self.seed, RUN, rows, turn), 0, 10) * 1000 >> 10 < self.on[rows, None]
        due &= bits(h, 12, 16) >= 130
        volume = np.where(due, volume, 0)
        mo, mt = (self._messages(rows, bits(h, low, 16)) for low in (28, 44))
        volume, mo, mt = disturbed(self, rows, days, volume, mo, mt)
        share = np.repeat((self.rx[rows] + 0)[:, None], len(days), axis=1) + bits(h, 7, 5)
        volume, alive = self._disturbed(rows, days, volume)
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
        """The volume with spikes, runaways, the firmware loop and churn in it, and whether the device is alive each day."""
        alive = (days < self.death[rows, None]) & (days < self.churn_last[rows, None])
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
