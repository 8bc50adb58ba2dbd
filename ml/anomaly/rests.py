"""States of rest of a SIM's own: days of little use that it comes back from again and again.

A tracker that stands in the yard sends a sign of life, one on the road a hundred times as much. What is usual of the
one says nothing of the other: days of rest neither are low nor say what is usual on the others.
Source: Otsu, "A threshold selection method from gray-level histograms" (1979).
"""

from __future__ import annotations

import numpy as np

from ml.anomaly.fleet import FleetStatistics
from ml.anomaly.places import Bools, Floats, Types, of_type
from ml.history import IntArray

BLOCK_DAYS = 28  # days of the calendar for which a SIM's past says what rest is
PAST_DAYS = 112  # days before these that say it
MIN_DAYS = 28  # days with use among them that are needed
KNOWN_DAYS = 56  # of them after which a SIM without a state of rest has none
LEAST_SHARE, MOST_SHARE = 0.1, 0.85  # of these that are of rest
LEAST_APART = 1.4  # log units, four times, between the means of both states
LEAST_EXPLAINED = 0.75  # of the variance, by the two states
MIN_RETURNS = 2  # times that it came back from rest: a lasting fall is none
OF_TYPE = 0.3  # of a device type's SIMs, who rest so: of the others one return is enough
SAME_WEEKDAY = 20.0  # SIM-days for which the mean of all weekdays counts beside those of the same


def own_rests(logs: Floats, types: Types, days: int, last_day: int, fleet: FleetStatistics) -> Bools:
    """Where SIMs are in a state of rest of their own, on the last `days`; False on the days before.

    logs      log volume (SIMs, all days), NaN without use
    last_day  the last of them, days since 1970
    """
    width = logs.shape[1]
    found = np.zeros(logs.shape, dtype=bool)
    level = logs.copy()  # without what the weekday does
    for name, profile in fleet.of("weekdays of types", _profiles, logs, types).items():
        rows = np.flatnonzero(types == name)
        level[rows] -= profile[-width:]
    block = (last_day - (width - 1 - np.arange(width))) // BLOCK_DAYS
    limit = np.full(len(logs), -np.inf, np.float32)
    for number in np.unique(block[-days:])[::-1]:  # what is known later says it of the days before as well
        here = np.flatnonzero(block == number)
        past = level[:, max(here[0] - PAST_DAYS, 0) : here[0]]
        if past.shape[1] > MIN_DAYS:
            rows, limits, returns = _limits(past)
            often = fleet.of(f"types with rests {number}", _types_with_rests, types, rows[returns >= MIN_RETURNS])
            rested = returns >= np.where(np.isin(types[rows], often), 1, MIN_RETURNS)
            known = (~np.isnan(past)).sum(axis=1) >= KNOWN_DAYS
            limit[known] = -np.inf
            limit[rows[rested]] = limits[rested]
        found[:, here] = level[:, here] < limit[:, None]
    return found


def _types_with_rests(types: Types, rows: IntArray) -> list[str]:
    """The device types of which at least OF_TYPE are among the rows."""
    return [name for name, of in of_type(types) if np.isin(of, rows).mean() >= OF_TYPE]


def _limits(past: Floats) -> tuple[IntArray, Floats, IntArray]:
    """The SIMs whose past knows two states, the level below which it is the lower one, and how often each came back
    from it."""
    ordered = np.sort(past, axis=1)  # NaN last
    count = (~np.isnan(ordered)).sum(axis=1)
    rows = np.flatnonzero(count >= MIN_DAYS)
    low, high = (ordered[rows, (count[rows] * share).astype(np.int64)] for share in (LEAST_SHARE / 2, MOST_SHARE))
    rows = rows[high - low >= LEAST_APART]
    ordered, count = np.nan_to_num(ordered[rows]), count[rows, None]
    at = np.arange(1, past.shape[1] + 1)
    below = np.cumsum(ordered, axis=1, dtype=np.float64)
    total, squares = below[:, -1:], (ordered.astype(np.float64) ** 2).sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = (total - below) / (count - at) - below / at
        between = at * (count - at) / count**2 * apart**2
    fits = (at >= LEAST_SHARE * count) & (at <= MOST_SHARE * count)
    between = np.where(fits, between, 0)
    best = between.argmax(axis=1)[:, None]
    variance = squares / count - (total / count) ** 2
    apart, between = (np.take_along_axis(values, best, axis=1) for values in (apart, between))
    two = ((apart >= LEAST_APART) & (between >= LEAST_EXPLAINED * variance))[:, 0]
    limits = (np.take_along_axis(ordered, best, 1) + np.take_along_axis(ordered, best + 1, 1))[:, 0] / 2
    rows, limits = rows[two], limits[two]
    return rows, limits, _returns(past[rows], limits)


def _returns(past: Floats, limits: Floats) -> IntArray:
    """How often each SIM came back above its limit."""
    days = np.arange(past.shape[1])
    above, below = past >= limits[:, None], past < limits[:, None]
    last_above, last_below = (np.maximum.accumulate(np.where(state, days, -1), axis=1) for state in (above, below))
    before = np.pad(last_above, ((0, 0), (1, 0)), constant_values=-1)[:, :-1]
    return np.asarray((above & (last_below > before)).sum(axis=1))


def _profiles(logs: Floats, types: Types) -> dict[str, Floats]:
    """How far the mean of each day's weekday lies from that of all, on the days before it, (days,), by device type."""
    found = {}
    for name, rows in of_type(types):
        known = ~np.isnan(logs[rows])
        total, number = np.nan_to_num(logs[rows]).sum(axis=0, dtype=np.float64), known.sum(axis=0)
        sums, counts = (np.pad(np.cumsum(values), (1, 0))[:-1] for values in (total, number))
        mean = sums / np.maximum(counts, 1)
        profile = np.zeros(len(mean), np.float32)
        for weekday in range(7):
            here = slice(weekday, None, 7)
            of_same = np.pad(np.cumsum(number[here]), (1, 0))[:-1]
            same = np.pad(np.cumsum(total[here]), (1, 0))[:-1]
            profile[here] = (same + SAME_WEEKDAY * mean[here]) / (of_same + SAME_WEEKDAY) - mean[here]
        found[name] = profile
    return found
