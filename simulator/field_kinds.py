"""Kinds of devices as the field's literature describes them, with what is odd about them though nothing is wrong.

They are no part of the fleets that the simulator serves: `simulator.field` makes fleets of them to test a detector on.
Half of the kinds ("A") may be looked at while a detector is made; the other half ("B") says how it does on fleets of
which nobody thought. What makes kinds of B odd (weeks at sea, weather over a city, tests every third day, bad cells)
is in no kind of A. Half C was written after the detector had been measured on B, with oddities that neither has:
content that a company sends to all its screens, machines that stand still while it rains, solar power that fails.
Kinds of "D" are nobody's thought: each seed draws its own, of the oddities that the others have in any mixture.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

FLAT = (1.0,) * 7
WORKDAYS = (1.05, 1.1, 1.1, 1.05, 1.0, 0.12, 0.06)
SHOPS = (0.8, 0.8, 0.9, 1.0, 1.3, 1.5, 0.0)
LEISURE = (0.8, 0.8, 0.9, 0.9, 1.0, 1.5, 1.4)


@dataclass(frozen=True)
class FieldKind:
    """One kind of device. Volumes are bytes of a day, chances are of a day, lengths are days.

    level      least and most usual volume; noise, least and most standard deviation of its logarithm, by SIM
    reports    least and most chance of a report on a day on which one is due, by SIM; every, days between due ones
    sessions   data sessions of a usual day; hours, how many of the day's it is active in, from one of its own on
    rests      mean days on the move, mean days of rest, volume at rest (0: silent), or none
    bursts     chance, least and most factor, sessions and messages added: events that it is there to tell of
    closes     share of the companies that close once in 180 days, least and most days; holidays, whether all close then
    season     logarithm by which the volume falls or rises over 180 days, with the chance of a report if `wintry`
    weather    standard deviation of what the weather over its region does to the logarithm of the volume
    updates    megabytes of an update of the whole device type, which is rolled out over three days, or 0
    cells      chance that its cell is bad on a day: reports fail, and retries cost bytes and sessions
    at_sea     mean days between voyages, least and most length: no coverage, then what was kept is sent at once
    roams      how many countries it goes to
    campaigns  how many a company has in 180 days, least and most factor of their volume, days that each lasts
    idle       chance that nobody in its region uses it for two days in a row (bad weather): silent
    """

    name: str
    half: str
    level: tuple[float, float]
    noise: tuple[float, float]
    sessions: float
    week: tuple[float, ...] = FLAT
    reports: tuple[float, float] = (0.985, 1.0)
    every: int = 1
    hours: int = 24
    rests: tuple[float, float, float] | None = None
    bursts: tuple[float, float, float, int, int] | None = None
    closes: tuple[float, int, int] | None = None
    holidays: bool = False
    season: float = 0.0
    wintry: bool = False
    weather: float = 0.0
    updates: float = 0.0
    cells: float = 0.0
    at_sea: tuple[float, int, int] | None = None
    roams: int = 1
    campaigns: tuple[int, float, float, int] | None = None
    idle: float = 0.0
    messages: float = 0.005


FIELD_KINDS = (
    # half A
    FieldKind("smart_meter", "A", (8e3, 6e4), (0.03, 0.12), 1.2, reports=(0.95, 1.0), hours=3, cells=0.004),
    FieldKind(
        "asset_tracker",
        "A",
        (1e5, 8e5),
        (0.25, 0.6),
        6,
        rests=(9, 6, 0.04),
        reports=(0.9, 0.99),
        hours=14,
        roams=3,
    ),
    FieldKind(
        "payment_terminal",
        "A",
        (5e4, 9e5),
        (0.15, 0.35),
        5,
        week=SHOPS,
        hours=11,
        closes=(0.5, 5, 18),
        holidays=True,
    ),
    FieldKind("camera", "A", (8e5, 6e6), (0.3, 0.6), 8, bursts=(0.03, 4, 18, 3, 0)),
    FieldKind("alarm_panel", "A", (1e4, 9e4), (0.04, 0.1), 1.5, bursts=(0.006, 6, 40, 5, 2), messages=0.04),
    FieldKind("agricultural_sensor", "A", (2e4, 2e5), (0.1, 0.3), 2.5, reports=(0.85, 0.98), season=0.9, hours=6),
    FieldKind(
        "industrial_router",
        "A",
        (2e6, 3e7),
        (0.15, 0.4),
        3,
        week=WORKDAYS,
        updates=60.0,
        closes=(0.4, 7, 21),
        holidays=True,
    ),
    # half B
    FieldKind(
        "container",
        "B",
        (1e4, 1.2e5),
        (0.15, 0.5),
        2,
        reports=(0.85, 0.99),
        at_sea=(35, 6, 28),
        hours=24,
        roams=4,
    ),
    FieldKind(
        "e_bike",
        "B",
        (3e4, 5e5),
        (0.3, 0.7),
        4,
        week=LEISURE,
        rests=(12, 4, 0.0),
        weather=0.4,
        season=-1.6,
        wintry=True,
        hours=15,
    ),
    FieldKind(
        "vending_machine",
        "B",
        (6e4, 8e5),
        (0.12, 0.35),
        4,
        week=WORKDAYS,
        closes=(0.6, 6, 16),
        holidays=True,
        updates=8.0,
        hours=16,
    ),
    FieldKind(
        "elevator",
        "B",
        (1e4, 1.5e5),
        (0.08, 0.25),
        2,
        every=3,
        bursts=(0.01, 3, 15, 3, 1),
        hours=5,
        messages=0.02,
    ),
    FieldKind("gateway", "B", (5e5, 2e7), (0.1, 0.3), 4, updates=30.0, weather=0.15, season=0.5),
    FieldKind(
        "cellar_sensor",
        "B",
        (5e3, 6e4),
        (0.08, 0.3),
        1.5,
        reports=(0.75, 0.97),
        cells=0.03,
        hours=4,
    ),
    FieldKind(
        "waste_bin",
        "B",
        (4e3, 5e4),
        (0.2, 0.5),
        1.3,
        reports=(0.5, 0.9),
        bursts=(0.01, 3, 8, 1, 0),
        closes=(0.2, 4, 9),
        holidays=True,
        hours=12,
    ),
    # half C
    FieldKind(
        "ev_charger",
        "C",
        (4e4, 4e5),
        (0.3, 0.55),
        6,
        week=(1.0, 1.0, 1.0, 1.05, 1.15, 1.1, 0.8),
        reports=(0.93, 1.0),
        updates=4.0,
        cells=0.01,
        season=0.3,
    ),
    FieldKind(
        "digital_signage",
        "C",
        (1e6, 1.5e7),
        (0.08, 0.25),
        3,
        reports=(0.97, 1.0),
        campaigns=(4, 3.0, 12.0, 2),
        closes=(0.3, 4, 12),
        holidays=True,
        hours=17,
    ),
    FieldKind(
        "construction_machine",
        "C",
        (8e4, 6e5),
        (0.25, 0.5),
        5,
        week=(1.0, 1.05, 1.05, 1.05, 0.9, 0.25, 0.0),
        reports=(0.8, 0.97),
        rests=(20, 8, 0.0),
        idle=0.06,
        closes=(0.6, 8, 20),
        holidays=True,
        hours=12,
        roams=2,
    ),
    FieldKind(
        "river_gauge",
        "C",
        (6e3, 5e4),
        (0.05, 0.2),
        2,
        reports=(0.9, 0.99),
        idle=0.01,
        weather=0.25,
        bursts=(0.008, 3, 20, 4, 1),
        hours=24,
        messages=0.02,
    ),
)

DRAWN = 7  # kinds of a fleet of half D


@lru_cache
def drawn_kinds(seed: int) -> tuple[FieldKind, ...]:
    """The kinds of half D of a seed, each with the oddities of other kinds by chance."""
    rng = np.random.default_rng(seed)
    return tuple(_drawn(f"drawn_{number}", rng) for number in range(DRAWN))


def _drawn(name: str, rng: np.random.Generator) -> FieldKind:
    def between(low: float, high: float) -> float:
        return float(low + (high - low) * rng.random())

    def happens(chance: float) -> bool:
        return bool(rng.random() < chance)

    least = float(10 ** between(3.7, 6.5))
    calm = between(0.03, 0.3)
    reports = ((0.985, 1.0), (0.985, 1.0), (0.9, 0.99), (0.75, 0.95))[int(rng.integers(4))]
    week = (FLAT, FLAT, FLAT, WORKDAYS, SHOPS, LEISURE)[int(rng.integers(6))]
    closed = happens(0.3)
    season = between(-1.6, 1.0) if happens(0.3) else 0.0
    return FieldKind(
        name,
        "D",
        (least, least * between(4, 12)),
        (calm, calm + between(0.05, 0.35)),
        float(10 ** between(0.1, 0.9)),
        week=week,
        reports=reports,
        every=int(rng.integers(2, 4)) if happens(0.15) else 1,
        hours=24 if happens(0.5) else int(rng.integers(3, 17)),
        rests=(between(8, 30), between(3, 10), 0.04 if happens(0.5) else 0.0) if happens(0.25) else None,
        bursts=(between(0.004, 0.03), between(3, 6), between(8, 40), int(rng.integers(1, 6)), int(rng.integers(3)))
        if happens(0.3)
        else None,
        closes=(between(0.2, 0.6), int(rng.integers(4, 8)), int(rng.integers(10, 22))) if closed else None,
        holidays=closed and happens(0.7),
        season=season,
        wintry=season < 0 and happens(0.5),
        weather=between(0.1, 0.4) if happens(0.25) else 0.0,
        updates=between(4, 60) if happens(0.3) else 0.0,
        cells=between(0.004, 0.03) if happens(0.25) else 0.0,
        at_sea=(between(25, 50), int(rng.integers(3, 7)), int(rng.integers(10, 29))) if happens(0.1) else None,
        roams=int(rng.integers(2, 5)) if happens(0.25) else 1,
        campaigns=(int(rng.integers(2, 5)), between(2, 4), between(5, 12), int(rng.integers(1, 4)))
        if happens(0.1)
        else None,
        idle=between(0.005, 0.05) if happens(0.1) else 0.0,
        messages=between(0.0, 0.03),
    )
