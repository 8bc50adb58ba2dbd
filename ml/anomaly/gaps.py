"""Days between the days of use of each SIM: how long it has been silent, and how long its usual gaps are."""

from __future__ import annotations

import numpy as np

from ml.anomaly.fleet import FleetStatistics
from ml.anomaly.places import MIN_PEERS, Floats, Types, of_type

LONG_DAYS = 56
MIN_ACTIVE = 14  # active days before a gap is called usual
MIN_OWN_GAPS = 5  # gaps of a SIM that speak for themselves


def gaps_of(volume: Floats, days: int) -> tuple[Floats, Floats, Floats]:
    """Days without data up to each day; the longest usual gap; how many gaps there were so far; each (sims, days).

    volume  (sims, days known) bytes, NaN unknown; days, how many of the last ones are wanted
    The longest usual gap is that of all but one in a hundred, 0 where habits are not known.
    A day that is not known neither lengthens a silence nor ends it.
    """
    sims, width = volume.shape
    run, active = np.zeros(sims, np.float32), np.zeros(sims, np.int32)
    longest = np.zeros((3, sims), np.float32)
    silent, gap, gaps = (np.zeros((sims, days), np.float32) for _ in range(3))
    number = np.zeros(sims, np.int32)
    for day in range(width):
        used, idle = volume[:, day] > 0, volume[:, day] == 0
        ended = np.where(used & (active > 0), run + 1, 0)
        for place in range(3):  # keeps the three longest
            larger = np.maximum(longest[place], ended)
            ended = np.minimum(longest[place], ended)
            longest[place] = larger
        number += used & (run > 0) & (active > 0)
        active += used
        run = np.where(used, 0, np.where(idle & (active > 0), run + 1, run))
        if day >= width - days:
            place = day - (width - days)
            silent[:, place], gaps[:, place] = run, number
            rank = np.minimum(active // 100, 2)
            gap[:, place] = np.where(active >= MIN_ACTIVE, longest[rank, np.arange(sims)], 0)
    return silent, gap, gaps


def usual_gaps(gap: Floats, gaps: Floats, volume: Floats, types: Types, fleet: FleetStatistics) -> Floats:
    """Usual gaps: at least the median of their device type, for what most of it did at times the others may do; of SIMs
    with fewer than MIN_OWN_GAPS gaps at least the 95 % quantile.

    Without peers a SIM that is known for less than LONG_DAYS days has no usual gap.
    """
    known = np.cumsum(~np.isnan(volume), axis=1, dtype=np.int32)[:, -gap.shape[1] :]
    usual = np.where((known < LONG_DAYS) & (gaps < MIN_OWN_GAPS), 0, gap)
    least = fleet.of("gaps", _gaps_of_types, gap, types)
    for name, rows in of_type(types, least):
        middle, most = least[name]
        of_peers = np.where(gaps[rows] < MIN_OWN_GAPS, most, middle)
        usual[rows] = np.where(gap[rows] > 0, np.maximum(gap[rows], of_peers), 0)
    return usual


def _gaps_of_types(gap: Floats, types: Types) -> dict[str, Floats]:
    """The median and the 95 % quantile of the usual gaps of each device type on each day, (2, days); 0 where it has not
    peers enough."""
    found = {}
    for name, rows in of_type(types):
        ordered = np.sort(gap[rows], axis=0)  # SIMs without a usual gap first
        known = (ordered > 0).sum(axis=0)
        at = len(rows) - known + np.ceil(np.array([[0.5], [0.95]]) * np.maximum(known - 1, 0)).astype(np.int64)
        quantiles = np.take_along_axis(ordered, np.minimum(at, len(rows) - 1), 0)
        found[name] = np.where(known >= MIN_PEERS, quantiles, 0).astype(np.float32)
    return found
