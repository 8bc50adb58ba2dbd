"""What a SIM's days are expected to be: the candidates' weighted median, corrected by the global model, and its usual
error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml.forecasting import ensemble
from ml.forecasting.candidates import STEP, Float32, forecast_weeks
from ml.forecasting.global_model import GlobalModel, ahead, features, unit
from ml.forecasting.segments import IDLE, SEASON, SEGMENTS, YOUNG_DAYS, classify, nan_mean, usual_error
from ml.history import FloatArray, IntArray

# What SIMs grow by together is looked for in six to 26 weeks of at least so many SIMs, of which this share must go the
# same way. The fewer steps there are, the less is known of how unsure their mean is: of so many, half.
LEAST_WEEKS, MOST_WEEKS, GROWTH_SIMS, DOUBT_STEPS, AGREE = 6, 26, 10, 5, 0.75
# How many days the level of the candidates lies behind.
BEHIND = 7


def normal(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Values in units of each SIM's mean use, and the unit (sims,): so that single precision is enough for any
    volume."""
    level = nan_mean(values)
    level = np.where(level > 0, level, 1.0)
    return values / level[:, None], level


@dataclass(frozen=True, eq=False)
class Past:
    """What the candidates said of a block of SIMs at each origin, the youngest first, and missed by.

    weeks (origins, candidates, 7, sims), missed (parts, origins, candidates, sims)
    """

    weeks: Float32
    missed: Float32


def look_back(values: FloatArray, origins: int = ensemble.RECORDS + ensemble.LAG) -> Past:
    """The past of values (sims, days) from so many origins, or as many as there are."""
    weeks = forecast_weeks(values, min(origins, origins_of(values.shape[1])))
    return Past(weeks, ensemble.records(values, weeks))


def expect(
    values: FloatArray, past: Past, shared: FloatArray, global_model: GlobalModel | None, horizon: int, growth: float
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Segment (sims,), centre and scale (sims, horizon) of the days after the last column."""
    relative, number = ensemble.relative_records(past.missed, 0)
    segments = segments_of(values, ensemble.level_shifts(values, past.weeks[:2])[:, 0])
    weeks = of_sims(past.weeks[0])
    weight = ensemble.weights(relative, number, shared, segments)
    centre = centre_of(values, weeks, segments, weight, horizon, growth)
    if global_model:
        centre = corrected(global_model, values, weeks, segments, centre)
    return segments, centre[:, :horizon], scale_of(values, centre, segments, horizon)


def of_sims(weeks: Float32) -> Float32:
    """The candidates' weeks at one origin, (candidates, 7, sims), as (sims, candidates, 7)."""
    return np.ascontiguousarray(weeks.transpose(2, 0, 1))


def segments_of(values: FloatArray, shifted: npt.NDArray[np.bool_]) -> IntArray:
    """Segments of SIMs (sims,), those in regular use with a recent level shift set apart."""
    segments = classify(values)
    segments[shifted & (segments > ensemble.LEVEL_SHIFT)] = ensemble.LEVEL_SHIFT
    return segments


def shared_growth(values: FloatArray) -> float:
    """How much all SIMs of values (sims, days) grow together, as the logarithm of a day's factor; 0 where that could be
    luck, or less than three of four SIMs go that way.

    Of every week the median over SIMs of its volume relative to the SIM's own mean; of these medians the mean step from
    a week to the next, drawn to 0 by how much the steps differ (the positive-part shrinkage of James and Stein 1961).
    """
    weeks = min(values.shape[1] // SEASON, MOST_WEEKS)
    if weeks < LEAST_WEEKS:
        return 0.0
    volume = values[:, -weeks * SEASON :].reshape(len(values), weeks, SEASON).sum(axis=2)
    volume = volume[(volume > 0).all(axis=1)]
    if len(volume) < GROWTH_SIMS:
        return 0.0
    level = np.log(volume / volume.mean(axis=1, keepdims=True))
    steps = np.diff(np.median(level, axis=0))
    mean, unsure = float(steps.mean()), float(steps.var(ddof=1)) / steps.size * (1 + DOUBT_STEPS / steps.size)
    if ((level[:, -1] - level[:, 0]) * mean > 0).mean() < AGREE:
        return 0.0
    kept = max(1 - unsure / max(mean**2, 1e-12), 0.0)
    return float(mean / SEASON * kept)


def centre_of(
    values: FloatArray, weeks: Float32, segments: IntArray, weight: FloatArray, horizon: int, growth: float
) -> FloatArray:
    """Centre at one origin, (sims, days), of the candidates' weeks (sims, candidates, 7) and their weights there.

    It grows by `growth` a day as `shared_growth` says, from where the candidates, which look back, are behind.

    Two weeks at least: the second is what the later days repeat, and what the usual error is measured against.
    """
    centre = ensemble.combine(weeks, weight, max(horizon, 2 * SEASON))
    centre *= np.exp(growth * (np.arange(centre.shape[1]) + BEHIND))
    young = segments == SEGMENTS.index("young")
    centre[young] = nan_mean(values[young])[:, None]
    centre[np.isin(segments, IDLE)] = 0
    return centre


def corrected(
    global_model: GlobalModel, values: FloatArray, weeks: Float32, segments: IntArray, centre: FloatArray
) -> FloatArray:
    """The centre (sims, days) with what the global model adds to it."""
    centre = centre.copy()
    for rows in np.array_split(np.flatnonzero(global_model.shares[segments] > 0), max(len(values) // 1000, 1)):
        if rows.size:
            known = values[rows]
            inputs = features(known, weeks[rows], two_weeks(centre[rows]), segments[rows])
            added = global_model.correction(inputs, segments[rows]) * unit(known)[:, None, None]
            centre[rows] = np.maximum(centre[rows] + ahead(added, centre.shape[1]), 0)
    return centre


def two_weeks(centre: FloatArray) -> FloatArray:
    """The first week ahead and the second, which is that of all later days, (sims, 2, 7)."""
    return centre[:, : 2 * SEASON].reshape(-1, 2, SEASON)


def scale_of(values: FloatArray, centre: FloatArray, segments: IntArray, horizon: int) -> FloatArray:
    """A SIM's usual error on each day ahead, (sims, horizon)."""
    return repeated(usual_error(values, centre[:, SEASON : 2 * SEASON], segments), horizon)


def origins_of(days: int) -> int:
    """How many origins have two weeks or more before them; at least one."""
    return max((days - YOUNG_DAYS) // STEP + 1, 1)


def repeated(week: FloatArray, horizon: int) -> FloatArray:
    """A week (sims, 7) repeated to (sims, horizon)."""
    return np.tile(week, (1, -(-horizon // SEASON)))[:, :horizon]
