"""How use goes on beyond the forecast's horizon: like that of SIMs of the same kind after past days.

From days in the fleet's own past (`fit_extrapolation`), each SIM's use of the months that followed is kept, in units of
its level: its mean daily use of the eight weeks before. A SIM's future borrows these trajectories from SIMs of its
segment and size, so that devices that stopped, ran away or came back do so as often as they did. Trajectories are
matched to the SIM's sampled paths by rank of the horizon's total, so that a path that begins high goes on high. Beyond
the longest trajectory that the history holds, its last rate goes on, spread ever wider: a log-normal factor whose
standard deviation is DRIFT of the one measured at the trajectory's end times the root of the time since, in lengths of
the trajectory (a random walk), for one year; then it stays. SIMs with a trend drift by TREND_DRIFT: what rises or falls
now is often a season's flank. A trajectory that ends high among its like tends to rise on: the walk's score goes along
with its rank by MOMENTUM.

A path's own recent mean would not do: it knows nothing of changes of level that come later, and on the simulated fleet
such P10 to P90 covered 64 % (benchmarks/exhaustion.py).

Sources: bootstrap of whole windows (Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 5.5); the match
by rank is the Schaake shuffle (Clark et al. 2004).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import polars as pl

from ml.forecasting import SEASON, FloatPaths
from ml.forecasting.segments import nan_mean
from ml.history import FloatArray, IntArray, dense

LEVEL_DAYS = 56
SEGMENTS = ("steady", "moderate", "variable", "wild", "falling", "rising", "sparse", "rare", "quiet", "young")
TRENDING = tuple(SEGMENTS.index(name) for name in ("falling", "rising"))
# Scatter of the last eight weeks' totals around their trend, as a share of their mean: borders from steady to wild.
NOISE_BORDERS = (0.1, 0.25, 0.6)
# A trend counts when it is this share of the mean a week, and this many standard errors.
TREND, TREND_ERRORS = 0.03, 3.0
# Shares of the fleet: borders between small, middling and heavy users. Few SIMs use most, and they behave alike.
SIZE_BORDERS = (0.5, 0.85)
# Share of the last eight weeks' days with use: below the first a SIM is rare, below the second sparse.
USE_BORDERS = (0.2, 0.6)
QUIET_DAYS = 14
# How a young SIM goes on is fitted on all SIMs, by forgetting all but three weeks of them.
YOUNG_KNOWN_DAYS = 21
# Half a year is the longest trajectory looked for; a shorter history is shared between what lies before and after.
MAX_TRAJECTORY_DAYS = 182
ORIGINS = 13
ORIGIN_STEP = 14
TRAJECTORIES = 500
MIN_TRAJECTORIES = 30
# A kind's own trajectories count half when so many SIMs took them.
SHRINKAGE_SIMS = 150
# SIMs whose past is looked at: enough for every segment, whatever the size of the fleet.
TRAINING_SIMS = 3000
# The last eight weeks of a trajectory say how it ends; a rate below a fiftieth of the level is a device that stopped.
ENDING_WEEKS = 8
STOPPED = 0.02
# Without enough past to fit on: how far levels drift in eight weeks, as a standard deviation of the logarithm.
DEFAULT_SPREAD = 0.5
# How much of the spread at a trajectory's end is drift that goes on: the remainder is noise and comes back. Chosen on
# simulated fleets of other seeds than the benchmark's, between 0 (dates too sure by far) and 1 (too vague).
DRIFT, TREND_DRIFT, MOMENTUM = 0.5, 1.5, 0.2
DRIFT_DAYS = 364
DRIFT_STEP = 28


@dataclass(frozen=True, eq=False)
class Extrapolation:
    """What the fleet's past says about the time beyond the horizon.

    trajectories     (segments x sizes, TRAJECTORIES, weeks) use a day of each week after the horizon, in units of the
                     level; in the order of the use within the horizon
    spreads          (segments x sizes,) standard deviation of the logarithm of the rate at a trajectory's end, without
                     devices that stopped
    sizes            borders of the level, in bytes a day, between small, middling and heavy users
    trajectory_days  length of a trajectory, the horizon included
    windows          (segments x sizes,) how many SIM-windows each saw
    """

    horizon: int
    trajectories: FloatArray
    spreads: FloatArray
    sizes: FloatArray
    trajectory_days: int
    windows: tuple[int, ...]
    seed: int

    @property
    def step_days(self) -> IntArray:
        """Days of each step that `extrapolate` gives: weeks of the trajectories, then four weeks each for a year."""
        drifting = DRIFT_DAYS // DRIFT_STEP
        return np.array([SEASON] * self.trajectories.shape[2] + [DRIFT_STEP] * drifting, dtype=np.int64)

    def extrapolate(self, paths: FloatPaths, values: FloatArray) -> FloatPaths:
        """Use of each step after the horizon, (sims, samples, steps) in bytes, to follow `paths`.

        paths   (sims, samples, days) sampled futures
        values  (sims, days) bytes known at the paths' as-of day, NaN for unknown days; the last eight weeks count
        """
        samples = paths.shape[1]
        segments, levels = state(values)
        kinds = _kinds(segments, levels, self.sizes)
        order = np.argsort(paths.sum(axis=2, dtype=np.float64), axis=1, kind="stable")
        rank = np.empty_like(order)
        np.put_along_axis(rank, order, np.arange(samples)[None, :], axis=1)
        trajectory = self.trajectories[kinds[:, None], rank * self.trajectories.shape[1] // samples].astype(np.float32)
        ending = trajectory[:, :, -ENDING_WEEKS:].mean(axis=2)
        # One normal score a sample, in an order of its own: later drift does not depend on how a path began.
        scores = np.array([NormalDist().inv_cdf((k + 0.5) / samples) for k in range(samples)])
        mixed = np.sqrt(1 - MOMENTUM**2) * scores[np.random.default_rng(self.seed).permutation(samples)]
        last = np.argsort(np.argsort(ending, axis=1, kind="stable"), axis=1, kind="stable")
        walk = mixed[None, :] + MOMENTUM * scores[last]
        drift = np.where(np.isin(segments, TRENDING), TREND_DRIFT, DRIFT) * self.spreads[kinds]
        later = DRIFT_STEP * (np.arange(DRIFT_DAYS // DRIFT_STEP) + 0.5)
        root = np.sqrt(later / self.trajectory_days)
        factor = np.exp(drift[:, None, None] * walk[:, :, None] * root).astype(np.float32)
        use = np.concatenate([trajectory * SEASON, ending[:, :, None] * factor * DRIFT_STEP], axis=2)
        use *= levels.astype(np.float32)[:, None, None]
        return np.asarray(use, dtype=np.float32)


def state(values: FloatArray) -> tuple[IntArray, FloatArray]:
    """What kind of SIM each is at the end of `values` (sims, days), NaN for unknown days, and how much it uses.

    Returns the segment (sims,) as an index into SEGMENTS and the level (sims,): mean bytes a day of the last eight
    weeks. "young" has less than eight weeks known, "quiet" used nothing for two weeks, "rare" and "sparse" use few
    days, "falling" and "rising" have a trend, the others differ in the scatter of their weeks.
    """
    sims, days = values.shape
    last = np.full((sims, LEVEL_DAYS), np.nan)
    width = min(days, LEVEL_DAYS)
    last[:, LEVEL_DAYS - width :] = values[:, days - width :]
    known = (~np.isnan(last)).sum(axis=1)
    level = np.nansum(last, axis=1) / np.maximum(known, 1)
    weeks = np.nansum(last.reshape(sims, -1, SEASON), axis=2)
    time = np.arange(weeks.shape[1]) - (weeks.shape[1] - 1) / 2
    mean = np.maximum(weeks.mean(axis=1), 1e-9)
    slope = (weeks @ time) / (time @ time)
    around = weeks - weeks.mean(axis=1, keepdims=True) - slope[:, None] * time
    noise = np.sqrt((around**2).sum(axis=1) / (time.size - 2))
    trending = (np.abs(slope) > TREND * mean) & (np.abs(slope) > TREND_ERRORS * noise / np.sqrt(time @ time))
    used = (last > 0).sum(axis=1) / np.maximum(known, 1)
    segment = np.digitize(noise / mean, NOISE_BORDERS)
    segment[trending] = np.where(slope < 0, SEGMENTS.index("falling"), SEGMENTS.index("rising"))[trending]
    segment[used < USE_BORDERS[1]] = SEGMENTS.index("sparse")
    segment[used < USE_BORDERS[0]] = SEGMENTS.index("rare")
    segment[np.nansum(last[:, -QUIET_DAYS:], axis=1) == 0] = SEGMENTS.index("quiet")
    segment[known < LEVEL_DAYS] = SEGMENTS.index("young")
    return segment.astype(np.int64), np.asarray(level, dtype=np.float64)


def fit_extrapolation(history: pl.DataFrame, *, as_of: date, horizon: int = 30, seed: int = 7) -> Extrapolation:
    """Fit on the fleet's own past how use goes on beyond `horizon` days. Nothing after `as_of` is read.

    Of a large fleet TRAINING_SIMS SIMs are looked at, drawn by the seed. A history too short for one trajectory of four
    weeks beyond the horizon gives trajectories that stay level, spread by DEFAULT_SPREAD.
    Raises ValueError for a broken history (see `ml.history.check_history`) or a horizon below 1.
    """
    if horizon < 1:
        raise ValueError(f"horizon is {horizon} days; it must be at least 1")
    values = dense(sample_sims(history, TRAINING_SIMS, seed), as_of=as_of).values
    days = values.shape[1]
    weeks = (min(MAX_TRAJECTORY_DAYS, max(horizon + 4 * SEASON, (days - LEVEL_DAYS) // 2)) - horizon) // SEASON
    weeks = max(weeks, 4)
    length = horizon + SEASON * weeks
    backs = [length + ORIGIN_STEP * k for k in range(ORIGINS) if days - length - ORIGIN_STEP * k >= LEVEL_DAYS // 2]
    _, now = state(values)
    sizes = np.quantile(now[now > 0], SIZE_BORDERS) if (now > 0).any() else np.zeros(len(SIZE_BORDERS))
    sims, segments, level, first, trajectories = _past_trajectories(values, backs, horizon, weeks)
    kinds = _kinds(segments, level, sizes)
    kept, spreads, windows = [], [], []
    for kind in range(len(SEGMENTS) * (len(SIZE_BORDERS) + 1)):
        pools = (segments < SEGMENTS.index("quiet"), segments == kind % len(SEGMENTS), kinds == kind)
        windows.append(int(pools[-1].sum()))
        if max(int(pool.sum()) for pool in pools[:2]) < MIN_TRAJECTORIES:
            kept.append(_level_trajectories(weeks))
            spreads.append(DEFAULT_SPREAD * np.sqrt(length / LEVEL_DAYS))
            continue
        weight = _shrunk_weights(pools, sims)
        order = np.argsort(first, kind="stable")
        reached = np.cumsum(weight[order])
        picked = order[np.searchsorted(reached, (np.arange(TRAJECTORIES) + 0.5) / TRAJECTORIES * reached[-1])]
        kept.append(trajectories[picked].round(4))
        spreads.append(_spread(kept[-1][:, -ENDING_WEEKS:].mean(axis=1)))
    return Extrapolation(horizon, np.array(kept), np.array(spreads), np.asarray(sizes), length, tuple(windows), seed)


def _shrunk_weights(pools: Sequence[npt.NDArray[np.bool_]], sims: IntArray) -> FloatArray:
    """A weight for each window, shrunk from pools that narrow down towards the wider ones.

    A pool of n SIMs counts n / (n + SHRINKAGE_SIMS), the wider ones what is left of 1.

    Windows of one SIM resemble each other: three runaway devices are no kind that one could rely on, however many
    windows they have.
    """
    weight = np.zeros(sims.size)
    for pool in pools:
        if not pool.any():
            continue
        known = np.unique(sims[pool]).size
        share = known / (known + SHRINKAGE_SIMS) if weight.any() else 1.0
        weight = (1 - share) * weight + share * pool / pool.sum()
    return weight


def _kinds(segments: IntArray, levels: FloatArray, sizes: FloatArray) -> IntArray:
    """Segment and size as one index: the segments of small users, then of middling, then of heavy ones."""
    return np.asarray(segments + len(SEGMENTS) * np.digitize(levels, sizes), dtype=np.int64)


def sample_sims(history: pl.DataFrame, limit: int, seed: int) -> pl.DataFrame:
    """The history of at most `limit` SIMs, drawn by the seed; in the same order."""
    keys = history["sim_key"].unique().sort()
    if keys.len() <= limit:
        return history
    drawn = np.random.default_rng(seed).choice(keys.to_numpy(), limit, replace=False)
    return history.filter(pl.col("sim_key").is_in(pl.Series(drawn).implode()))


def _past_trajectories(
    values: FloatArray, backs: list[int], horizon: int, weeks: int
) -> tuple[IntArray, IntArray, FloatArray, FloatArray, FloatArray]:
    """Row, segment and level of every SIM on each past day, its use within the horizon and its trajectory after it.

    Use is in units of the level; the trajectory is (windows, weeks).
    """
    sims, segments, levels = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0)]
    first, trajectories = [np.empty(0)], [np.empty((0, weeks))]
    for back in backs:
        begin = values.shape[1] - back
        known, actual = values[:, :begin], values[:, begin : begin + horizon + SEASON * weeks]
        cut = known.copy()
        cut[:, :-YOUNG_KNOWN_DAYS] = np.nan
        for seen, young in ((known, False), (cut, True)):
            segment, level = state(seen)
            there = ~np.isnan(seen[:, -QUIET_DAYS:]).any(axis=1) & (level > 0)
            there &= (segment == SEGMENTS.index("young")) == young
            # A day that nobody knows is like those of its week; what has a whole week of them is no trajectory.
            there &= ~np.isnan(_by_week(actual[:, horizon:])).any(axis=1) & ~np.isnan(actual[:, :horizon]).all(axis=1)
            per_day = actual[there] / level[there, None]
            sims.append(np.flatnonzero(there))
            segments.append(segment[there])
            levels.append(level[there])
            first.append(horizon * nan_mean(per_day[:, :horizon]))
            trajectories.append(_by_week(per_day[:, horizon:]))
    return (
        np.concatenate(sims),
        np.concatenate(segments),
        np.concatenate(levels),
        np.concatenate(first),
        np.concatenate(trajectories),
    )


def _by_week(days: FloatArray) -> FloatArray:
    """Mean a day of each week, (windows, weeks), of the days that are known; NaN where none is."""
    weeks = days.reshape(len(days), days.shape[1] // SEASON, SEASON)
    known = (~np.isnan(weeks)).sum(axis=2)
    return np.where(known > 0, np.nansum(weeks, axis=2) / np.maximum(known, 1), np.nan)


def _spread(ending: FloatArray) -> float:
    """Standard deviation of the logarithm of rates that did not stop, by the distance of their 10 and 90 %
    quantiles."""
    going = np.log(ending[ending > STOPPED])
    if going.size < MIN_TRAJECTORIES:
        return DEFAULT_SPREAD
    low, high = np.quantile(going, (0.1, 0.9))
    return float((high - low) / (NormalDist().inv_cdf(0.9) - NormalDist().inv_cdf(0.1)))


def _level_trajectories(weeks: int) -> npt.NDArray[np.float64]:
    """Trajectories that go on level, each at its own rate: log-normal around one."""
    scores = np.array([NormalDist().inv_cdf((k + 0.5) / TRAJECTORIES) for k in range(TRAJECTORIES)])
    return np.repeat(np.exp(DEFAULT_SPREAD * scores)[:, None], weeks, axis=1).round(4)
