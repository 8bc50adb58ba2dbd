"""How wide intervals and sampled futures must be: what forecasts made the same way from earlier days missed by.

Errors are in units of a SIM's own usual error and pooled over SIMs of a segment and over weeks ahead. Of several
origins the median counts, so that what once befell the fleet as a whole is not forecast again; that alone would be too
narrow, since every month has something that most others have not. So each origin is held against the others' median,
and the spread is widened until days, and sums over the horizon, are covered as often as they should be, on average over
origins.

Sources: split-conformal calibration over rolling origins (Vovk et al. 2005; Stankeviciute et al. 2021), left out origin
by origin (Barber et al. 2021, the jackknife+); bootstrap of whole residual windows for the paths (Hyndman and
Athanasopoulos, Forecasting: Principles and Practice, 5.5), which keeps the dependence between days.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from ml.forecasting.candidates import STEP
from ml.forecasting.segments import SEASON
from ml.history import FloatArray, IntArray

TEMPLATES = 300
MIN_WINDOWS = 20
# Quantiles are tabulated at evenly spaced normal scores: fine in the middle, and reaching 0.13 % and 99.87 %.
SCORES = np.arange(-3.0, 3.01, 0.25)
LEVELS = np.array([NormalDist().cdf(float(z)) for z in SCORES])
# Without any residual: a wide normal error, in units of the SIM's own mean absolute error.
DEFAULT_TABLE = 2.0 * SCORES
TAIL, FAR_TAIL = 0.1, 0.025
SURE_MONTHS, FAR = 3, 10.0
# Sums spread by this more than the months known show: months differ by more than a few of them do.
WIDER_SUMS = 1.06
WIDTH_FACTORS = np.arange(0.7, 2.51, 0.02)


@dataclass(frozen=True, eq=False)
class Spread:
    """How far a segment's forecasts miss, in units of a SIM's usual error.

    table      (weeks ahead, LEVELS) quantiles of a day's error
    templates  (windows, horizon) whole windows of errors, for paths
    """

    table: FloatArray
    templates: FloatArray


def fit_spread(
    errors: FloatArray, origins: IntArray, horizon: int, noise: FloatArray | None = None, *, centred: bool = False
) -> Spread:
    """Fit the spread of errors (windows, horizon), NaN where unknown, of windows from `origins` (windows,).

    If `centred` they are taken to point nowhere (`without_direction`), and the median of every week is 0.
    A window stands for its SIM in paths, and so in means and sums, by `noise` (windows,), its SIM's usual error as a
    share of its use (all alike if None): what is many times a tiny error is little.
    """
    week, least = week_of(horizon), MIN_WINDOWS
    noise = np.ones(len(errors)) if noise is None else noise
    if centred:
        errors, least = without_direction(errors, origins, week), 2 * MIN_WINDOWS
        origins, noise = np.tile(origins, 2), np.tile(noise, 2)
    errors = _to_the_end(errors)
    table = _table(errors, _pools(origins, least), week)
    templates = _templates(errors, origins, noise, table, week, least)
    if centred:
        middle = table[:, SCORES.size // 2, None]
        table, templates = table - middle, templates - middle[week, 0]
    return Spread(table.round(4), templates.round(4))


def within_others(errors: FloatArray, sims: IntArray) -> FloatArray:
    """Errors (windows, horizon) drawn in to what a second SIM of `sims` (windows,) has missed by, up and down.

    A single SIM then tells the others nothing that none of them has shown: without that bound one wild day of one SIM
    is in the mean of every SIM whose errors are pooled with it.
    """
    _, of = np.unique(sims, return_inverse=True)
    if not of.size or of.max() < 2:  # of two SIMs nobody can say which is the odd one
        return errors
    low, high = np.full(of.max() + 1, np.inf), np.full(of.max() + 1, -np.inf)
    np.minimum.at(low, of, np.where(np.isnan(errors), np.inf, errors).min(axis=1))
    np.maximum.at(high, of, np.where(np.isnan(errors), -np.inf, errors).max(axis=1))
    low, high = low[np.isfinite(low)], high[np.isfinite(high)]
    if high.size < 3:
        return errors
    return np.clip(errors, np.partition(low, 1)[1], np.partition(high, -2)[-2])


def without_direction(errors: FloatArray, origins: IntArray, week: IntArray) -> FloatArray:
    """Every window of errors (windows, horizon) twice: as it was, and as if what its origin's windows had in common had
    gone the other way.

    SIMs move together: which way the few origins of a fleet missed on the whole is luck, however many SIMs there are.
    How far they missed is not. Where the origins are of fewer than SURE_MONTHS, an error counts at most FAR usual ones:
    a group of SIMs that ran away in the only month known says nothing of how often that happens.
    """
    if origins.size and np.ptp(origins) * STEP + week.size < SURE_MONTHS * week.size:
        errors = np.clip(errors, -FAR, FAR)
    turned = errors.copy()
    for rows in (np.flatnonzero(origins == origin) for origin in np.unique(origins)):
        for index in range(int(week[-1]) + 1):
            at = np.ix_(rows, week == index)
            known = errors[at][~np.isnan(errors[at])]
            if known.size >= MIN_WINDOWS:
                turned[at] -= 2 * np.median(known)
    return np.concatenate([errors, turned])


def quantiles_at(table: FloatArray, levels: Sequence[float]) -> FloatArray:
    """The quantiles `levels` of a table (..., LEVELS): (..., len(levels)). Raises ValueError for a level outside
    LEVELS."""
    if any(not LEVELS[0] <= level <= LEVELS[-1] for level in levels):
        raise ValueError(f"quantiles {tuple(levels)} must lie between {LEVELS[0]:.4f} and {LEVELS[-1]:.4f}")
    at = np.interp([NormalDist().inv_cdf(level) for level in levels], SCORES, np.arange(SCORES.size))
    low = np.minimum(at.astype(np.int64), SCORES.size - 2)
    part = at - low
    return np.asarray(table[..., low] + (table[..., low + 1] - table[..., low]) * part)


def week_of(horizon: int) -> IntArray:
    """The week ahead, from 0, of each day of the horizon; a last part of a week belongs to the week before it."""
    return np.minimum(np.arange(horizon) // SEASON, max(horizon // SEASON - 1, 0)).astype(np.int64)


def _to_the_end(errors: FloatArray) -> FloatArray:
    """Errors (windows, horizon), the days that no window has reached yet taken from a week before them."""
    reach = int(np.flatnonzero((~np.isnan(errors)).any(axis=0))[-1:].sum()) + 1
    days = np.arange(errors.shape[1])
    beyond = np.maximum(days - reach, 0) // SEASON * SEASON + SEASON
    return errors[:, np.where(days < reach, days, np.maximum(days - beyond, 0))]


def _pools(origins: IntArray, least: int) -> list[IntArray]:
    """Rows of each origin; one pool of all when origins have fewer than the least windows."""
    pools = [np.flatnonzero(origins == origin) for origin in np.unique(origins)]
    pools = [pool for pool in pools if pool.size >= least]
    return pools if len(pools) > 1 else [np.arange(origins.size)]


def _table(errors: FloatArray, pools: list[IntArray], week: IntArray) -> FloatArray:
    """Quantiles (weeks, LEVELS): their median over the pools, widened. A week without errors takes those of the week
    before."""
    weeks = int(week[-1]) + 1
    each = np.full((len(pools), weeks, LEVELS.size), np.nan)
    for row, pool in enumerate(pools):
        for index in range(weeks):
            part = errors[pool][:, week == index]
            known = part[~np.isnan(part)]
            if known.size >= MIN_WINDOWS:
                each[row, index] = np.quantile(known, LEVELS)
    table = np.tile(DEFAULT_TABLE, (weeks, 1))
    for index in range(weeks):
        known_rows = each[~np.isnan(each[:, index, 0]), index]
        if len(known_rows):
            table[index] = np.median(known_rows, axis=0)
        elif index:
            table[index] = table[index - 1]
    usable = [row for row in range(len(pools)) if not np.isnan(each[row]).any()]
    if len(usable) > 2:
        middle = table[:, SCORES.size // 2, None]
        wider = []
        for tail in (TAIL, FAR_TAIL):
            held = []
            for row in usable:
                others = np.median(each[[other for other in usable if other != row]], axis=0)[week]
                half = others[:, SCORES.size // 2]
                held.append((errors[pools[row]] - half, _at(others, tail) - half, _at(others, 1 - tail) - half))
            wider.append(_width_factors(held, tail))
        # Between the two tails the factor goes over from one to the other.
        known_at = [NormalDist().inv_cdf(1 - tail) for tail in (TAIL, FAR_TAIL)]
        factor = np.where(
            SCORES < 0,
            np.interp(-SCORES, known_at, [sides[0] for sides in wider]),
            np.interp(SCORES, known_at, [sides[1] for sides in wider]),
        )
        off = (table - middle) * factor
        below = SCORES.size // 2
        off[:, below:] = np.maximum.accumulate(off[:, below:], axis=1)
        off[:, : below + 1] = np.minimum.accumulate(off[:, below::-1], axis=1)[:, ::-1]
        table = middle + off
    return table


def _width_factors(held: list[tuple[FloatArray, FloatArray, FloatArray]], tail: float) -> tuple[float, float]:
    """How much wider than the others' median the two sides must be, for a share `tail` of errors outside each on
    average."""
    chosen = []
    for side in (1, 2):
        outside = np.zeros(WIDTH_FACTORS.size)
        for errors, *edges in held:
            edge = edges[side - 1]
            usable = np.abs(edge) > 1e-9
            if not usable.any():
                outside += tail
                continue
            # how many times the edge an error is, on its side; ties at the edge itself are within
            times = np.where(usable, errors / np.where(usable, edge, 1), 0)
            times = np.sort(times[~np.isnan(errors)])
            outside += 1 - np.searchsorted(times, WIDTH_FACTORS * (1 + 1e-9), side="right") / max(times.size, 1)
        enough = np.flatnonzero(outside / len(held) <= tail)
        chosen.append(float(WIDTH_FACTORS[enough[0]]) if enough.size else float(WIDTH_FACTORS[-1]))
    return chosen[0], chosen[1]


def _at(table: FloatArray, level: float) -> FloatArray:
    """The quantile `level` of each row of a table (rows, LEVELS)."""
    at = float(np.interp(NormalDist().inv_cdf(level), SCORES, np.arange(SCORES.size)))
    low = min(int(at), SCORES.size - 2)
    return np.asarray(table[:, low] + (table[:, low + 1] - table[:, low]) * (at - low))


def _ranked(sums: FloatArray, noise: FloatArray, pool: IntArray, share: FloatArray) -> IntArray:
    """The rows of a pool below which these shares (ascending) of the pool's `noise` lie in the order of `sums`."""
    ordered = pool[np.argsort(sums[pool], kind="stable")]
    below = np.cumsum(noise[ordered])
    rows: IntArray = ordered[np.minimum(np.searchsorted(below, share * below[-1]), pool.size - 1)]
    return rows


def _templates(
    errors: FloatArray, origins: IntArray, noise: FloatArray, table: FloatArray, week: IntArray, least: int
) -> FloatArray:
    """TEMPLATES whole windows that stand for all: evenly spread over the order of their sums.

    Of each rank the origins' median is taken: the window whose sum is in the middle. Then every window is shifted as a
    whole, so that sums spread as widely as, on average over origins, they had to.
    """
    whole = ~np.isnan(errors).any(axis=1)
    errors, origins, noise = np.clip(errors[whole], table[week, 0], table[week, -1]), origins[whole], noise[whole]
    if len(errors) < MIN_WINDOWS:
        # Nothing is known of windows: days of one rank each, the widest spread that the quantiles allow.
        return quantiles_at(table, ((np.arange(TEMPLATES) + 0.5) / TEMPLATES).tolist())[week].T
    sums = errors.sum(axis=1)
    pools = _pools(origins, least)
    share = (np.arange(TEMPLATES) + 0.5) / TEMPLATES
    ranked = np.array([_ranked(sums, noise, pool, share) for pool in pools])
    middle = np.argsort(sums[ranked], axis=0, kind="stable")[len(pools) // 2]
    chosen: FloatArray = errors[ranked[middle, np.arange(TEMPLATES)]]
    factors = 1.0, 1.0
    if len(pools) > 2:
        held = []
        each = np.array([np.quantile(sums[pool], (TAIL, 0.5, 1 - TAIL)) for pool in pools])
        for row, pool in enumerate(pools):
            others = np.median(np.delete(each, row, axis=0), axis=0)
            held.append(((sums[pool] - others[1])[:, None], *(np.array([others[side] - others[1]]) for side in (0, 2))))
        factors = _width_factors(held, TAIL)
    had = chosen.sum(axis=1)
    off = had - np.median(had)
    wider = WIDER_SUMS * np.where(off < 0, *factors) - 1
    return np.asarray(chosen + (off * wider / errors.shape[1])[:, None], dtype=np.float64)
