"""Shifts: days that lie, together, above or below what the SIM used in each of its two states, as on the move and at
rest.

A tracker in the yard sends a sign of life, and one on the road a hundred times as much: no usual level and no noise
around it describe both. The days of a SIM before are parted in two (Otsu, "A threshold selection method from gray-level
histograms", 1979) where they are two, and each day since is held against the nearer of both: as it is, and as both
would be if use had grown, or fallen, by one of FACTORS. The evidence of days in a row adds up
(`ml.anomaly.counts.largest_sum`). A departure is no shift, for it is far from either.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml.anomaly.counts import largest_sum, weeks_of
from ml.anomaly.fleet import FleetStatistics
from ml.anomaly.places import Bools, Floats, Types, middle_of_peers, of_type

FACTORS = (1.6, 2.2, 3.3, 6.0)  # by which use may have grown or fallen
WINDOW = 28  # days that evidence is summed over, at most
LEAST_WINDOW = 4  # and at least: one day is no level
FORTNIGHT = 2  # calendar weeks for which states are looked for together
PAST_DAYS, LAG = 112, 21  # that end LAG days before a day's fortnight: what has shifted is not in them
MIN_PAST_DAYS = 21  # days with use among them that are needed
MIN_OF_STATE = 5  # days with use of each of two states
APART = 3.5, 1.2  # deviations, log units: two states are at least as far from each other
MIN_DEVIATION = 0.1  # log units
FARTHEST = 2.5  # deviations: a day further off says no more
OF_WEEKDAY = 10.0  # SIM-days for which no difference between weekdays counts
SEASON = 0.35  # log units by which the season may have shifted a SIM that has no peers to tell
BLOCK = 8192  # SIMs parted at once


@dataclass(frozen=True, eq=False)
class States:
    """What each SIM uses in its two states, (sims, days) each, NaN where too little is known.

    low, high  levels, log units, the same twice for a SIM that has one; deviation, from the nearer
    values     log volumes without what the weekday does to them in the device type
    """

    low: Floats
    high: Floats
    deviation: Floats
    values: Floats


def shifts(
    states: States, types: Types, within_types: tuple[Types, ...], days: int, fleet: FleetStatistics
) -> tuple[Floats, Floats, Floats]:
    """Decades of evidence on each of the last `days` that use has grown, and that it has fallen, 0 on a day that is not
    itself so, NaN where states are not known; and how many times as much it is, by the likeliest of FACTORS, 1 where
    there is no evidence.

    states        of `states_of`, of at least WINDOW days more where so many are known
    within_types  other groups whose SIMs may be up or down together: a label, a device type at one operator
    """
    sims, width = states.values.shape
    span = min(width, days + WINDOW)
    low, high, deviation, values = (
        of_all[:, -span:] for of_all in (states.low, states.high, states.deviation, states.values)
    )
    far = np.stack([values - low, values - high])
    nearer = np.where(np.abs(far[0]) <= np.abs(far[1]), far[0], far[1])
    common = np.clip(np.nan_to_num(nearer), -SEASON, SEASON)
    for name, rows in of_type(types, of_types := fleet.of("shifts", _shifts_of_groups, nearer, types)):
        common[rows] = np.where(np.isnan(of_types[name]), common[rows], of_types[name])
    for number, groups in enumerate(within_types):
        of_groups = fleet.of(f"shifts of groups {number}", _shifts_of_groups, nearer - common, groups)
        for name, rows in of_type(groups, of_groups):
            common[rows] += np.nan_to_num(of_groups[name])
    far -= common

    def unlike(shift: float) -> Floats:
        """Half the squared distance from the nearer state, both shifted, in deviations."""
        apart = np.minimum(np.abs(far - np.float32(shift)).min(axis=0) / deviation, FARTHEST)
        return np.asarray(0.5 * apart**2, np.float32)

    grown, fallen = np.zeros((2, sims, days), np.float32)
    factor = np.ones((sims, days), np.float32)
    as_before = unlike(0.0)
    for times in (*FACTORS, *(1 / times for times in FACTORS)):
        each = np.nan_to_num(as_before - unlike(np.log(times)))
        total = np.where(each[:, -days:] > 0, largest_sum(each, days, WINDOW, LEAST_WINDOW) / np.log(10), 0)
        factor[total > np.maximum(grown, fallen)] = times
        found = grown if times > 1 else fallen
        np.maximum(found, total, out=found)
    grown[unknown := np.isnan(deviation[:, -days:])] = np.nan
    fallen[unknown] = np.nan
    return grown, fallen, factor


def states_of(logs: Floats, types: Types, span: int, last_day: int, fleet: FleetStatistics) -> States:
    """The states of each SIM by the days before each of the last `span`.

    logs  (sims, days known) log volumes, NaN on days without; last_day  of them, days since 1970
    """
    sims, width = logs.shape
    low, high, deviation = np.full((3, sims, span), np.nan, np.float32)
    values = logs[:, -span:].copy()
    fortnights = list(weeks_of(width, span, last_day, FORTNIGHT))
    of_types = fleet.of("weekdays", _weekdays, logs, types, [monday for monday, _ in fortnights])
    for number, (monday, here) in enumerate(fortnights):
        past = _past(logs, monday)
        if past.shape[1] < MIN_PAST_DAYS:
            continue
        weekday = np.zeros((sims, 7), np.float32)
        for name, rows in of_type(types, of_types):
            weekday[rows] = of_types[name][number]
        values[:, here] -= weekday[:, (here + width - span - monday) % 7]
        of_past = (np.arange(past.shape[1]) - past.shape[1]) % 7  # it ends with a Sunday
        for first in range(0, sims, BLOCK):
            block = slice(first, first + BLOCK)
            parted = _parted(past[block] - weekday[block][:, of_past])
            for into, of_block in zip((low, high, deviation), parted, strict=True):
                into[block, here] = of_block[:, None]
    return States(low, high, deviation, values)


def _past(logs: Floats, monday: int) -> Floats:
    until = max(monday - LAG, 0)
    return logs[:, max(until - PAST_DAYS, 0) : until]


def _weekdays(logs: Floats, types: Types, mondays: list[int]) -> dict[str, Floats]:
    """How far each weekday lies from the mean of the week in each device type, by the days before each Monday,
    (fortnights, 7): Monday first, log units."""
    found = {name: np.zeros((len(mondays), 7), np.float32) for name, _ in of_type(types)}
    for number, monday in enumerate(mondays):
        past = _past(logs, monday)
        known = ~np.isnan(past)
        far = np.nan_to_num(past - np.nansum(past, axis=1, keepdims=True) / np.maximum(known.sum(axis=1), 1)[:, None])
        weekday = (np.arange(past.shape[1]) - past.shape[1]) % 7
        for name, rows in of_type(types):
            total, count = far[rows].sum(axis=0), known[rows].sum(axis=0)
            sums = np.bincount(weekday, total, 7) / (np.bincount(weekday, count, 7) + OF_WEEKDAY)
            found[name][number] = sums
    return found


def _parted(past: Floats) -> tuple[Floats, Floats, Floats]:
    """Lower and upper level of each row, and the deviation from the nearer; the same level twice where the row is not
    two, NaN with fewer than MIN_PAST_DAYS values."""
    ordered = np.nan_to_num(np.sort(past, axis=1)).astype(np.float64)  # NaN last
    number = (~np.isnan(past)).sum(axis=1)
    sums, squares = np.cumsum(ordered, axis=1), np.cumsum(ordered**2, axis=1)
    total, squared = sums[:, -1:], squares[:, -1:]
    below = np.arange(1, past.shape[1] + 1)[None]
    above = number[:, None] - below
    within = squared - sums**2 / below - (total - sums) ** 2 / np.maximum(above, 1)
    within = np.where((below >= MIN_OF_STATE) & (above >= MIN_OF_STATE), within, np.inf)
    at = np.arange(len(past)), np.argmin(within, axis=1)
    count, below_sum = at[1] + 1, sums[at]
    low, high = below_sum / count, (total[:, 0] - below_sum) / np.maximum(number - count, 1)
    mean = total[:, 0] / np.maximum(number, 1)
    one = np.sqrt(np.maximum(squared[:, 0] - number * mean**2, 0) / np.maximum(number - 1, 1))
    two = np.sqrt(np.maximum(np.where(np.isinf(within[at]), 0, within[at]), 0) / np.maximum(number - 2, 1))
    parted: Bools = ~np.isinf(within[at])
    parted &= high - low > np.maximum(APART[0] * np.maximum(two, MIN_DEVIATION), APART[1])
    enough = number >= MIN_PAST_DAYS
    found = (np.where(parted, low, mean), np.where(parted, high, mean), np.where(parted, two, one))
    low, high, deviation = (np.where(enough, values, np.nan).astype(np.float32) for values in found)
    return low, high, np.maximum(deviation, np.float32(MIN_DEVIATION))


def _shifts_of_groups(nearer: Floats, groups: Types) -> dict[str, Floats]:
    """The median of each day of each group, for a season shifts all of it; NaN where fewer are known than a median
    needs."""
    return {name: middle_of_peers(nearer[rows]) for name, rows in of_type(groups)}
