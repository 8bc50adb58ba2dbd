"""What many SIMs do together: companies that close, and faults that strike a device type or an operator.

A company's SIMs that fall silent within days of each other rest together: that is told, and no anomaly of each. Where
more SIMs of a device type are restless, or more of an operator's send less than usual, than chance and the rest of the
fleet would have it, the evidence is the group's: each SIM that takes part is anomalous with it, as long as it lasts.
"""

from __future__ import annotations

import math

import numpy as np

from ml.anomaly.fleet import FleetStatistics
from ml.anomaly.places import MIN_PEERS, Bools, Floats, Types, of_type
from ml.history import IntArray

MIN_COMPANY = 3  # SIMs of a label that are a company, and that rest together
RESTING_SHARE, RESTING_EXCESS = 0.6, 0.3  # of a company's SIMs, and above what is usual on the weekday: it rests
LONGEST_REST = 28  # days; a longer silence is no rest
FIRST_DAYS = 7  # days since the first sign of a company: they do not say yet what is usual
LAST_SIGN = 7  # days before the company rests within which a SIM that rests with it was active
WEEKS = 8
PAST, LAG = 56, 14  # days that tell how many are usual, and how long before a day these end
SHARED = 0.15, 6.0  # share of the group above the usual, and evidence, that make it shared
# the same of the mean share of MOST_RESTLESS, and the variance of such a share, relative to that of a yes or no
OF_MEAN = 0.25, 6.0, 0.5
MOST_RESTLESS = 2.0  # on the Anscombe scale: what a single SIM may add to its group's mean
OF_OPERATOR = 0.08, 6.0  # the same of an operator's SIMs, of which an outage of hours leaves many unharmed
SHARED_BY_OTHERS = 0.06, 4.0  # the same of a group's device types but the LEFT_OUT of which the most take part
LEFT_OUT = 0.3  # share of the device types
MIN_GROUPS = 4  # with so many, the one in which the most take part does not say what is usual in the fleet
SAME_DAYS = 40  # SIM-days for which what is usual on all weekdays counts beside what is on the same
MOST_DECADES = 12.0
MIN_HEARD_SHARE = 0.5  # of the usual number of SIMs heard of; less is an outage of ours


def outages(volume: Floats) -> Bools:
    """Days on which far fewer SIMs were heard of than in the four weeks around: of 20 SIMs or more."""
    heard = np.nansum(volume > 0, axis=0).astype(np.float64)
    out = np.zeros(len(heard), dtype=bool)
    for day in range(7, len(heard)):
        usual = np.median(heard[max(0, day - 28) : day])
        out[day] = usual >= 20 and heard[day] < MIN_HEARD_SHARE * min(
            usual, heard[day - 7] if not out[day - 7] else usual
        )
    return out


def resting(volume: Floats, labels: Types, fleet: FleetStatistics) -> Bools:
    """Where SIMs are silent with most others of their label; volume as the panel (SIMs, days), NaN unknown."""
    found = np.zeros(volume.shape, dtype=bool)
    width = volume.shape[1]
    days = np.arange(width)
    last = np.maximum.accumulate(np.where(volume > 0, days, -1), axis=1)  # day on which each was last active
    idle = (volume == 0) & (last >= 0)
    since = fleet.of("resting", _resting_since, idle, last, labels)
    for name, rows in of_type(labels, since):
        begun = since[name][-width:]
        here = (begun >= 0) & idle[rows] & (last[rows] >= begun - LAST_SIGN) & (days - last[rows] <= LONGEST_REST)
        found[rows] = here
    return found


def _resting_since(idle: Bools, last: IntArray, labels: Types) -> dict[str, IntArray]:
    """The day on which each label began to rest, -1 on days on which it does not; only labels that ever rest."""
    names, number = np.unique(labels, return_inverse=True)
    width = idle.shape[1]
    known = (last >= 0) & (np.arange(width) - last <= LONGEST_REST)
    paused, all_of = (_by_group(values, number, len(names)) for values in (idle & known, known))
    share = paused / np.maximum(all_of, 1)
    found = {}
    for place in np.flatnonzero((all_of.max(axis=1, initial=0) >= MIN_COMPANY) & (names != "")):
        begun, now = np.full(width, -1), -1
        first = int(np.argmax(all_of[place] > 0)) + FIRST_DAYS
        for day in range(first + 7, width):
            at = day - 7 * min(WEEKS, (day - first) // 7)
            same = share[place, at:day:7]
            most = paused[place, day] >= MIN_COMPANY and share[place, day] >= RESTING_SHARE
            if not most:
                now = -1
            elif now < 0 and share[place, day] >= np.median(same) + RESTING_EXCESS:
                now = day
            begun[day] = now
        if (begun >= 0).any():
            found[str(names[place])] = begun
    return found


def _by_group(values: Bools | Floats, number: IntArray, groups: int) -> Floats:
    counts = np.zeros((groups, values.shape[1]), np.float32)
    order = np.argsort(number, kind="stable")
    if len(order):
        opening = np.flatnonzero(np.diff(number[order], prepend=-1))
        counts[number[order][opening]] = np.add.reduceat(values[order], opening, axis=0, dtype=np.float32)
    return counts


def until_next_report(taking_part: Bools, idle: Bools, days: int) -> Bools:
    """Who takes part: one that reports rarely does so until its next report says otherwise, for `days` at most."""
    found = taking_part
    for _ in range(days):
        found = taking_part | (idle & np.pad(found, ((0, 0), (1, 0)))[:, : idle.shape[1]])
    return found


def shared(
    taking_part: Bools | Floats,
    known: Bools,
    groups: Types,
    days: int,
    fleet: FleetStatistics,
    name: str,
    *,
    kinds: Types | None = None,
    limits: tuple[float, ...] = SHARED,
    lasting: int = 0,
    members: Bools | None = None,
    window: int = 1,
    unless: str = "",
) -> Floats:
    """Decades of evidence that the group of a SIM has a cause of its own, on the last `days`, where the SIM takes part;
    else 0.

    taking_part, known  (SIMs, at least days + lasting + PAST + LAG); how much each takes part, from 0 to 1, or whether
    kinds    device types: something of it must show without those of which the most take part, where others are enough
    limits   share of the group, above the usual, that must take part, the least evidence, and the variance (1)
    lasting  days before a day whose evidence holds for it, too
    window   days up to each that are counted together as well, for what comes to few of the group on each
    members  (SIMs, days), those whom the group's evidence is about, where they are more than say what it is
    unless   name of evidence asked for before: a group that has it needs no other
    """
    span = days + lasting
    pad = ((0, 0), (max(span + PAST + LAG - known.shape[1], 0), 0))
    part = np.pad(np.where(known, taking_part, 0).astype(np.float32), pad)
    evidence = fleet.of(f"shared {name}", _decades, part, np.pad(known, pad), groups, span, kinds, limits, window)
    better = fleet.fitted.get(f"shared {unless}", {})
    found = np.zeros((len(groups), days), np.float32)
    members = taking_part[:, -days:] > 0 if members is None else members
    for group, rows in of_type(groups, evidence):
        longest, beside = (
            np.maximum.reduce([values[lasting - back : span - back] for back in range(lasting + 1)])
            for values in (evidence[group], better.get(group, np.zeros(span)))
        )
        found[rows] = np.where(members[rows] & (beside == 0), longest, 0)
    return found


def _decades(
    taking_part: Floats,
    known: Bools,
    groups: Types,
    days: int,
    kinds: Types | None,
    limits: tuple[float, ...],
    window: int,
) -> dict[str, Floats]:
    """By group, the evidence on each of the last `days`; only groups with a cause."""
    names, number = np.unique(groups, return_inverse=True)
    hits, sims = (_by_group(values, number, len(names)) for values in (taking_part, known))
    decades = np.zeros((len(names), days))
    for span in {1, window}:
        k, n = (_over(values, span) for values in (hits, sims))
        expected, enough = _expected(k, n, days)
        found = _evidence(k[:, -days:], n[:, -days:], expected, *limits)
        decades = np.maximum(decades, np.where(enough, found, 0))
    if kinds is not None:
        hits, sims = _without_the_most(taking_part, known, number, kinds)
        expected, _ = _expected(hits, sims, days)
        most = _evidence(hits[:, -days:], sims[:, -days:], expected, *SHARED_BY_OTHERS) == 0
        decades = np.where((sims[:, -days:] >= MIN_PEERS) & most, 0, decades)
    decades = decades.astype(np.float32)
    return {str(name): decades[place] for place, name in enumerate(names) if name and decades[place].any()}


def _over(values: Floats, days: int) -> Floats:
    """The sum of the `days` days up to each."""
    sums = np.cumsum(np.pad(values, ((0, 0), (days, 0))), axis=1, dtype=np.float64)
    return np.asarray(sums[:, days:] - sums[:, :-days], np.float32)


def _expected(hits: Floats, sims: Floats, days: int) -> tuple[Floats, Bools]:
    """The share of each group that is expected to take part on each of the last `days`: as usual, as usual on the same
    weekday, or as in the rest of the fleet, whichever is largest; and whether enough of its past is known."""
    sums = [np.pad(np.cumsum(values, axis=1, dtype=np.float64), ((0, 0), (1, 0))) for values in (hits, sims)]
    end = sums[0].shape[1] - 1 - LAG
    of_past = [
        values[:, end - days + 1 : end + 1] - values[:, end - days + 1 - PAST : end + 1 - PAST] for values in sums
    ]
    usual = (of_past[0] + 1) / (of_past[1] + 20)
    at = np.arange(hits.shape[1] - days, hits.shape[1])
    same = [sum(values[:, at - 7 * k] for k in range(LAG // 7, (PAST + LAG) // 7 + 1)) for values in (hits, sims)]
    on_weekday = (same[0] + SAME_DAYS * usual) / (same[1] + SAME_DAYS)
    k, n = hits[:, -days:], sims[:, -days:]
    most = _largest_other(k) if len(k) >= MIN_GROUPS else 0  # another group's cause is none of the fleet's
    others = (k.sum(axis=0) - k - most + 1) / (n.sum(axis=0) - n + 20)
    expected = np.clip(np.maximum(np.maximum(usual, on_weekday), others), 0.01, 0.99)
    return np.asarray(expected, np.float32), np.asarray(of_past[1] >= n * 7)


def _largest_other(values: Floats) -> Floats:
    """The largest value of each day among the other groups."""
    ordered = np.sort(values, axis=0)
    return np.asarray(np.where(values == ordered[-1], ordered[-2], ordered[-1]), np.float32)


def _evidence(
    k: Floats, n: Floats, expected: Floats, least: float, least_decades: float, variance: float = 1.0
) -> Floats:
    """Decades of evidence that more than expected take part, 0 where they are too few."""
    z = (k - n * expected) / np.sqrt(variance * (n * expected * (1 - expected) + 1))
    decades = np.minimum(z**2 / (2 * np.log(10)), MOST_DECADES)
    fits = (k / np.maximum(n, 1) - expected >= least) & (decades >= least_decades) & (z > 0) & (n >= MIN_PEERS)
    return np.where(fits, decades, 0)


def _without_the_most(
    taking_part: Bools | Floats, known: Bools, number: IntArray, kinds: Types
) -> tuple[Floats, Floats]:
    """How many SIMs of each group take part, and how many there are, without the LEFT_OUT device types of which the
    most do."""
    types, of_kind = np.unique(kinds, return_inverse=True)
    groups, days = int(number.max(initial=-1)) + 1, known.shape[1]
    k, n = (
        _by_group(values, number * len(types) + of_kind, groups * len(types)).reshape(groups, len(types), days)
        for values in (taking_part, known)
    )
    rest = np.argsort(-k, axis=1, kind="stable")[:, math.ceil(LEFT_OUT * len(types)) :]
    return np.take_along_axis(k, rest, axis=1).sum(axis=1), np.take_along_axis(n, rest, axis=1).sum(axis=1)
