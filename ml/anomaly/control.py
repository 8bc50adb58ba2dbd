"""The control loop of the budget: what a device type did lately, against what its past had said it would.

The tails of a channel say how rare a statistic was. Days to come are not those of the past, and device types differ in
how far they are not. So the last days are scored by the tails of the days before: where a device type has more alarms
in a channel than these tails promise, and the limits of the whole allow for, its scores in that channel are lowered
until it has not.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ml.anomaly.places import Bools, Floats, Types, of_type
from ml.anomaly.signals import CHANNELS
from ml.anomaly.tails import anomaly_scores, tails_of

CHECKED_SHARE = 1 / 3  # of the days, the last ones, are scored by the tails of those before
MIN_CHECKED_DAYS = 14
CHECKED_DECADES = 3.0  # decades: alarms of this rarity are counted
EPISODE_DAYS = 7  # days without an alarm before one make it another
OF_OTHERS = 2.0  # alarms expected that the fleet counts for beside the device type's own
ALLOWED = 2.0  # times the promise
LOWERED = 1.5  # decades, at most


def corrections(
    channels: dict[str, Floats], classes: dict[str, Any], kept: Bools, judged: Bools, types: Types
) -> dict[str, dict[str, float]]:
    """Decades to take off the scores of each channel, by device type, and "" for SIMs of other types.

    kept    days that say how rare a statistic is
    judged  days whose alarms count: a known fault in common is none
    """
    days = kept.shape[1]
    checked = int(days * CHECKED_SHARE)
    if checked < MIN_CHECKED_DAYS or not kept[:, :-checked].any():
        return {}
    earlier, later = slice(None, days - checked), slice(days - checked, None)
    judged = judged[:, later]
    promised = ALLOWED * judged.sum(axis=1) * 10**-CHECKED_DECADES
    found: dict[str, dict[str, float]] = {}
    for name in CHANNELS:
        alarms, values = np.zeros(judged.shape, dtype=bool), channels[name]
        known = kept[:, earlier] & ~np.isnan(values[:, earlier])
        if known.any():
            tails = tails_of(name, values[:, earlier], classes[name][:, earlier], known, types)
            scores = anomaly_scores(name, tails, values[:, later], classes[name][:, later], types)
            alarms = judged & (scores >= CHECKED_DECADES)
        by_sim = _episodes(alarms).sum(axis=1)
        of_fleet = (by_sim.sum() + 1) / (promised.sum() + 1)
        ratios = {"": of_fleet} | {
            kind: (by_sim[rows].sum() + OF_OTHERS * of_fleet) / (promised[rows].sum() + OF_OTHERS)
            for kind, rows in of_type(types)
        }
        found[name] = {kind: float(np.clip(np.log10(ratio), 0, LOWERED)) for kind, ratio in ratios.items()}
    return found


def corrected(scores: Floats, by_type: dict[str, float], types: Types) -> Floats:
    """The scores of a channel less what `corrections` says of each device type; 0 stays 0."""
    if not by_type:
        return scores
    less = np.full(len(types), by_type[""], np.float32)
    for kind, rows in of_type(types, by_type.keys() - {""}):
        less[rows] = by_type[kind]
    return np.where(scores > 0, np.maximum(scores - less[:, None], 0), 0).astype(np.float32)


def combine(
    tails: dict[str, dict[str, list[float]]],
    by_channel: dict[str, dict[str, float]],
    channels: dict[str, Floats],
    classes: dict[str, Any],
    types: Types,
) -> Floats:
    """The most anomalous channel of each SIM-day: minus the decimal logarithm of its share in its class, carried on
    beyond the counts, corrected."""
    combined = np.zeros_like(channels["high"])
    for name in CHANNELS:
        scores = anomaly_scores(name, tails[name], channels[name], classes[name], types)
        np.maximum(combined, corrected(scores, by_channel.get(name, {}), types), out=combined)
    return combined


def _episodes(alarms: Bools) -> Bools:
    """The first day of each run of alarms, runs being EPISODE_DAYS apart."""
    sums = np.pad(np.cumsum(alarms, axis=1, dtype=np.int32), ((0, 0), (1, 0)))
    at = np.arange(alarms.shape[1])
    before = sums[:, at] - sums[:, np.maximum(at - EPISODE_DAYS, 0)]
    return np.asarray(alarms & (before == 0))
