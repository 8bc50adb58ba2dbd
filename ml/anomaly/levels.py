"""Levels: how far a week or four lie, together, from what was usual before and from the device type."""

from __future__ import annotations

import numpy as np

from ml.anomaly.counts import wide, within
from ml.anomaly.fleet import FleetStatistics
from ml.anomaly.places import MIN_PEERS, Floats, Types, of_type

MIN_DAYS = 4  # days with use that a level rests on
MAX_RESIDUAL = 3.0  # log units: a day further off counts no more for a level
USUAL_DAYS = 28  # known days that what was usual before a lasting change rests on
HELD = 0.5  # of a level that the day itself must have
LEVEL_NOISE = 0.3  # spread above which a SIM's levels count the less the more it is restless


def levels(
    own: Floats, usual: Floats, age: Floats, calm: Floats, types: Types, fleet: FleetStatistics
) -> dict[str, Floats]:
    """The SLOW channels: levels over a week and over four, which count the less the more restless a SIM is."""
    found: dict[str, Floats] = {}
    days = calm.shape[1]
    for window in (7, 28):
        level = _level(own, usual, age[:, -own.shape[1] :], types, window, days, fleet)
        level /= np.maximum(calm / LEVEL_NOISE, 1)
        found |= {f"rise_{window}": np.maximum(level, 0), f"fall_{window}": np.maximum(-level, 0)}
    return found


def _level(
    own: Floats, usual: Floats, age: Floats, types: Types, window: int, days: int, fleet: FleetStatistics
) -> Floats:
    """How far the days with use among the last `window` lie, together, from what was usual before them and from their
    device type; 0 on a day that is not itself HELD of that way off.

    The mean of their logarithms against the usual of `window` days ago, without the day that says the most for it (one
    day is no level), weighed down by half a window of days on which nothing is anomalous; 0 with fewer than MIN_DAYS
    such days, or where what was usual then rests on fewer than USUAL_DAYS known ones. Of the two, own past and peers,
    the smaller.
    """
    span = min(days + window - 1, own.shape[1] - window)
    if span < MIN_DAYS:
        return np.zeros((len(own), days), np.float32)
    now, before = slice(own.shape[1] - span, None), slice(own.shape[1] - span - window, own.shape[1] - window)
    far = np.where(age[:, before] >= USUAL_DAYS, own[:, now] + usual[:, now] - usual[:, before], np.nan)
    values = np.nan_to_num(np.clip(far, -MAX_RESIDUAL, MAX_RESIDUAL))
    total = within(values, window, days)
    count = within((~np.isnan(far)).astype(np.float32), window, days)
    each = np.lib.stride_tricks.sliding_window_view(wide(values, window + days - 1), window, axis=1)
    total -= np.where(total > 0, each.max(axis=2), each.min(axis=2))
    level = np.where(count >= MIN_DAYS, total / (count - 1 + window / 2), np.nan).astype(np.float32)
    apart = level.copy()
    middles = fleet.of(f"level of {window} days", _middles, level, types)
    for name, rows in of_type(types, middles):
        apart[rows] -= middles[name]
    today = wide(values, days) * np.sign(level)
    return np.where(today >= HELD * np.abs(level), np.nan_to_num(both(level, apart)), 0).astype(np.float32)


def _middles(values: Floats, types: Types) -> dict[str, Floats]:
    """The median of each day, of each device type; 0 where fewer than MIN_PEERS are known."""
    return {name: np.nan_to_num(middle_of_peers(values[rows])) for name, rows in of_type(types)}


def middle_of_peers(values: Floats) -> Floats:
    """The median of each day, NaN where fewer than MIN_PEERS are known."""
    ordered = np.sort(values, axis=0)  # NaN last
    count = (~np.isnan(ordered)).sum(axis=0)
    middle = np.take_along_axis(ordered, np.maximum((count - 1) // 2, 0)[None], 0)[0]
    return np.where(count >= MIN_PEERS, middle, np.nan).astype(np.float32)


def both(own: Floats, relative: Floats) -> Floats:
    """What is anomalous against the SIM's own past and against its peers: the smaller of the two where they agree in
    sign, else 0."""
    smaller = np.minimum(np.abs(own), np.abs(relative)) * np.sign(own)
    return np.where(np.isnan(own) | (np.sign(own) == np.sign(relative)), smaller, 0).astype(np.float32)
