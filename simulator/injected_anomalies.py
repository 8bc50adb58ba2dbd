"""Further anomalies of a synthetic fleet, beside spikes, silences, runaways and the firmware loop of every fleet.

They have hash streams of their own, so that a fleet with them is in all else the same as the usual one, and a clean
fleet is the usual one without anything done to it on purpose.
"""

from typing import NamedTuple

import numpy as np

from simulator.demand import Demand
from simulator.hashing import NEVER, WINDOW, Ints, Words, bits, draw
from simulator.signs import SIGNS
from simulator.swaps import ENDS

# what is done to a fleet: nothing; what has always been; that and the further kinds; that and devices that are swapped;
# what has always been, with ends that give signs before
CLEAN, USUAL, ALL = "clean", "usual", "all"
SCENARIOS = (CLEAN, USUAL, ALL, ENDS, SIGNS)
STREAM = 16
DRIFT, SMS_FLOOD, FLAPPING, IMEI_CHANGE, COUNTRY, OPERATOR, UNUSUAL_HOURS = range(1, 8)
NAMES = {
    DRIFT: "drift",
    SMS_FLOOD: "sms_flood",
    FLAPPING: "flapping",
    IMEI_CHANGE: "imei_change",
    COUNTRY: "unexpected_country",
    OPERATOR: "unexpected_operator",
    UNUSUAL_HOURS: "unusual_hours",
}
# of 4096 windows of 180 days; kinds that need a daily device only befall one
_CHANCES = (
    (DRIFT, 60),
    (SMS_FLOOD, 40),
    (FLAPPING, 50),
    (IMEI_CHANGE, 40),
    (COUNTRY, 30),
    (OPERATOR, 30),
    (UNUSUAL_HOURS, 60),
)
_DAYS = {DRIFT: 60, SMS_FLOOD: 3, FLAPPING: 6, IMEI_CHANGE: 1, COUNTRY: 5, OPERATOR: 7, UNUSUAL_HOURS: 21}
FLOOD_MESSAGES = 4  # each way and day: as many as a day has slots for


class InjectedAnomaly(NamedTuple):
    """One further anomaly a SIM in one window: kind 0 none, else as above; days are ordinals, inclusive."""

    kind: Ints
    first: Ints
    last: Ints
    strength: Ints


def injected_anomalies(demand: Demand, rows: Ints, window: int) -> InjectedAnomaly:
    """The further anomaly of each SIM in the window-th 180 days from the start; never beside another one."""
    if demand.scenario != ALL or window < 0:
        none = np.zeros(len(rows), dtype=np.int64)
        return InjectedAnomaly(none, none + NEVER, none + NEVER, none)
    h: Words = draw(demand.seed, STREAM, rows, np.array([window]))[:, 0]
    edges = np.cumsum([chance for _, chance in _CHANCES])
    place = np.searchsorted(edges, bits(h, 0, 12), side="right")
    kind = np.append([k for k, _ in _CHANCES], 0)[place]
    first = demand.start + window * WINDOW + 25 + bits(h, 12, 16) % 145
    last = first + np.array([0, *(_DAYS[k] for k in NAMES)])[kind] - 1
    alone = (demand.injections(rows, window).kind == 0) & (demand.injections(rows, window - 1).kind != 3)
    alone &= (first > demand.loop_last[rows]) | (last < demand.loop_first[rows])
    alone &= (kind != UNUSUAL_HOURS) | (demand.hours[rows] < 24)  # who is active at all hours has no unusual ones
    # the device that another SIM's session count, operator or place is seen by reports daily
    fits = alone & (first >= demand.activation[rows] + 21) & (last < demand.ends[rows])
    return InjectedAnomaly(np.where(fits, kind, 0), first, last, bits(h, 28, 8))


def during(demand: Demand, rows: Ints, days: Ints, kind: int) -> np.ndarray:
    """Where SIMs x days are inside a further anomaly of a kind: rows (n,), days (d,) ascending; boolean (n, d)."""
    found = np.zeros((len(rows), len(days)), dtype=bool)
    if demand.scenario != ALL:
        return found
    for window in range((int(days[0]) - demand.start) // WINDOW - 1, (int(days[-1]) - demand.start) // WINDOW + 1):
        injected = injected_anomalies(demand, rows, window)
        inside = (injected.first[:, None] <= days) & (days <= injected.last[:, None])
        found |= (injected.kind == kind)[:, None] & inside
    return found


def on(demand: Demand, rows: Ints, days: Ints, kind: int) -> np.ndarray:
    """The same for each SIM on its own day: rows (n,), days (n,); boolean (n,)."""
    found = np.zeros(len(rows), dtype=bool)
    if demand.scenario != ALL or not len(rows):
        return found
    which = (days - demand.start) // WINDOW
    for window in range(int(which.min()) - 1, int(which.max()) + 1):
        injected = injected_anomalies(demand, rows, window)
        found |= (injected.kind == kind) & (injected.first <= days) & (days <= injected.last)
    return found


def changed_device(demand: Demand, rows: Ints, days: Ints) -> np.ndarray:
    """Whether each SIM, on its own day, is in another device than it began in; boolean (n,)."""
    found = np.zeros(len(rows), dtype=bool)
    if demand.scenario != ALL or not len(rows):
        return found
    for window in range((int(days.max()) - demand.start) // WINDOW + 1):
        injected = injected_anomalies(demand, rows, window)
        found |= (injected.kind == IMEI_CHANGE) & (injected.first <= days)
    return found


def disturbed(demand: Demand, rows: Ints, days: Ints, volume: Ints, mo: Ints, mt: Ints) -> tuple[Ints, Ints, Ints]:
    """Volume and messages with drifts (1.75 to 4 times as much) and floods of SMS in them."""
    if demand.scenario != ALL:
        return volume, mo, mt
    leak = during(demand, rows, days, DRIFT)
    factor = 7 + demand.base[rows] % 10
    volume = np.where(leak, volume * factor[:, None] // 4, volume)
    flood = during(demand, rows, days, SMS_FLOOD)
    return volume, np.where(flood, FLOOD_MESSAGES, mo), np.where(flood, FLOOD_MESSAGES, mt)
