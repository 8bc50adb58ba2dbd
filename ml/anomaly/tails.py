"""How rare a statistic is: its tail, counted on the fleet's own past by classes of like SIMs, and scores by it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ml.anomaly import typical
from ml.anomaly.places import UNKNOWN_TYPE, Bools, Floats, Types, of_type
from ml.history import FloatArray

LEVELS = np.array([1e-1, 5e-2, 2e-2, 1e-2, 5e-3, 2e-3, 1e-3, 5e-4, 2e-4, 1e-4, 5e-5, 2e-5, 1e-5])
# the least step on a statistic's scale that counts as a step of its tail
STEPS = dict.fromkeys(("growth", "fall", "missed", "rarer", "messages", "sessions"), 0.5)
STEPS |= {"high": 0.4, "busy": 0.4, "turns": 1.0, "hours": 1.0, "pattern": 0.01}
# channels in which a type alone counts, for one moves or pauses and another does not; and those in which only the
# fleet does
BY_TYPE, BY_FLEET = ("high", "busy", "country", "missed", "rarer", "turns", "growth", "fall"), ("device", "operator")
OF_TYPE = "type "  # before a device type where its own counts are kept
CLASS_GROUP = 100  # classes whose numbers differ in the last two digits only may share their counts
MIN_CLASS_DAYS = (
    3_000  # SIM-days that a class must have for counts of its own, and MIN_COUNTED_DAYS for related classes to have any
)
MIN_COUNTED_DAYS = 300
MIN_TYPE_DAYS = 1_500  # SIM-days that a device type must have for counts of its own
NORMAL_95 = 1.645
# decades by which a channel, from a statistic on, counts as more anomalous than it is rare. A SIM where or when it has
# no business to be matters; use that falls costs nothing. The others are spent where one false alarm more finds most
# faults: high use with more sessions than usual hardly ever is one. The limits are counted with it
PRIORS = {
    "device": (UNKNOWN_TYPE, 1.0),
    **dict.fromkeys(("country", "operator"), (2.5, 1.0)),
    "hours": (0.0, 0.5),
    "silence": (0.0, 0.6),
    "messages": (0.0, 0.5),
    "rarer": (0.0, -0.1),
    "growth": (0.0, -0.2),
    "missed": (0.0, -0.7),
    "turns": (0.0, -0.8),
    "busy": (0.0, -2.2),
    "fall": (0.0, -2.5),
    "pattern": (0.0, -0.6),
}


def tails_of(name: str, values: Floats, classes: Any, kept: Bools, types: Types) -> dict[str, list[float]]:
    """The statistic of a channel at each share of LEVELS, of the fleet ("all"), of each class and of each device type
    that counts in the channel. A small class shares with its nearest related classes."""
    if name in BY_FLEET:
        types = types[:0]
    sims = np.broadcast_to(np.arange(len(values))[:, None], values.shape)
    found = {"all": _tail(values[kept], sims[kept])}
    numbers, sizes = np.unique(classes[kept], return_counts=True)
    for related in np.unique(numbers // CLASS_GROUP):
        group: list[int] = []
        groups = [group]
        for number in numbers[numbers // CLASS_GROUP == related]:
            if group and sizes[np.isin(numbers, group)].sum() >= MIN_CLASS_DAYS:
                groups.append(group := [])
            group.append(int(number))
        if len(groups) > 1 and sizes[np.isin(numbers, groups[-1])].sum() < MIN_CLASS_DAYS:
            last = groups.pop()
            groups[-1] += last
        for group in groups:
            part = kept & np.isin(classes, group)
            if part.sum() >= MIN_COUNTED_DAYS:
                found |= {str(number): _tail(values[part], sims[part]) for number in group}
    for kind, rows in of_type(types):
        part = kept[rows]
        if part.sum() >= MIN_TYPE_DAYS:
            found[OF_TYPE + kind] = _tail(values[rows][part], sims[rows][part])
    return found


def _tail(values: Floats, sims: Any) -> list[float]:
    found, known = bounded(values, sims, LEVELS)
    return [float(value) for value in found[known]] or [0.0]


def bounded(values: Floats, sims: Any, shares: FloatArray) -> tuple[FloatArray, Bools]:
    """The value above which at most each share lies, with 95 % confidence; whether so small a share can be estimated at
    all.

    The days of a SIM are anomalous together: the bound is that of a mean over SIMs.
    """
    if not len(values):
        return np.zeros(len(shares)), np.zeros(len(shares), dtype=bool)
    days = len(values)
    most = int(days * float(shares.max())) + 1  # no more can be allowed
    if most < days:
        upper = np.flatnonzero(values >= np.partition(values, days - most)[days - most])
        values, sims = values[upper], sims[upper]
    order = np.argsort(-values, kind="stable")
    values, sims = values[order], sims[order]
    # after each day taken in: how many, and the sum of squares of how many a SIM
    bound = (np.arange(1, len(values) + 1) + NORMAL_95 * np.sqrt(np.cumsum(2 * _so_often(sims) + 1)) + 1) / days
    allowed = np.searchsorted(bound, shares, side="right")
    return values[np.minimum(allowed, len(values) - 1)].astype(np.float64), np.asarray(allowed > 0)


def _so_often(values: Any) -> Any:
    """How often each value stood before it, (n,)."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    first = np.flatnonzero(np.diff(ordered, prepend=ordered[:1] - 1))
    found = np.empty(len(values), np.int64)
    found[order] = np.arange(len(values)) - np.repeat(first, np.diff(first, append=len(values)))
    return found


def drawn_to_typical(name: str, tails: dict[str, list[float]], lacking: float) -> dict[str, list[float]]:
    """The counts of a fleet of which too little is known, drawn to those of typical devices."""
    logs, found = -np.log10(typical.SHARES), {}
    for group, tail in tails.items():
        own_logs, slope = -np.log10(LEVELS[: len(tail)]), slope_of(np.array(tail), STEPS.get(name, 0.5))
        own = np.interp(logs, own_logs, tail) + np.maximum(logs - own_logs[-1], 0) * slope
        found[group] = typical.drawn_to(own, name, lacking).tolist()
    return found


def anomaly_scores(name: str, tails: dict[str, list[float]], values: Floats, classes: Any, types: Types) -> Floats:
    """Minus the decimal logarithm of the share of a class that is at least as anomalous; 0 for a share above a
    tenth. Of a device type with counts of its own, the lesser score of both; of BY_TYPE, the type's alone."""
    found = np.zeros(values.shape, np.float32)
    values = np.nan_to_num(values)
    for number in np.unique(classes):
        tail = tails.get(str(int(number))) or _nearest(tails, int(number))
        here = classes == number
        found[here] = _tail_scores(np.array(tail), values[here], STEPS.get(name, 0.5))
    for kind, rows in of_type(types, {key.removeprefix(OF_TYPE) for key in tails if key.startswith(OF_TYPE)}):
        of_kind = _tail_scores(np.array(tails[OF_TYPE + kind]), values[rows], STEPS.get(name, 0.5))
        lesser = np.minimum(found[rows], of_kind)
        found[rows] = of_kind if name in BY_TYPE else lesser
    if name in PRIORS:
        lowest, decades = PRIORS[name]
        found = np.where((values >= lowest) & (found > 0), found + np.float32(decades), found)
    return found


def _nearest(tails: dict[str, list[float]], number: int) -> list[float]:
    """The counts of the nearest related class, else of the fleet."""
    numbers = [int(name) for name in tails if name.isdigit()]
    related = [other for other in numbers if other // CLASS_GROUP == number // CLASS_GROUP]
    return tails[str(min(related, key=lambda other: abs(other - number)))] if related else tails["all"]


def _tail_scores(tail: Floats, values: Floats, step: float) -> Floats:
    logs = -np.log10(LEVELS[: len(tail)])
    # of equal statistics the commonest share counts: a share may not fall without the statistic rising
    rising, first = np.unique(tail, return_index=True)
    if not len(rising):
        return np.zeros_like(values)
    scores = np.interp(values, rising, logs[first])
    scores = np.where(values > tail[-1], logs[-1] + (values - tail[-1]) / slope_of(tail, step), scores)
    return np.where((values <= tail[0]) | (values <= 0), 0, scores)


def slope_of(tail: Floats, step: float) -> float:
    """By how much the statistic rises from the end of a tail on while its share falls to a tenth."""
    last = -np.log10(LEVELS[len(tail) - 1])
    return float(max((tail[-1] - tail[min(3, len(tail) - 1)]) / max(last - 2, 1), 2 * step))
