"""Where a SIM's usage is heading: what kind of SIM it is, its usual week, and how far its days stray from that.

The centre of a weekday is the median of three estimates: seasonal exponential smoothing with its weight optimised per
weekday (statsforecast), the median of the last eight same weekdays, and the weekday's usual share of the level of the last
seven days. The first follows, the second resists outliers, the third sees a new level.
Source: Holt (1957) for the smoothing; the median of several simple forecasts as in Petropoulos and Svetunkov (2020).
"""

from __future__ import annotations

import warnings

import numpy as np
import polars as pl

from ml.history import FloatArray, IntArray, known_days

SEASON = 7
WEEKS = 8
YOUNG_DAYS = 14
SEGMENTS = ("young", "dormant", "quiet", "rare", "sparse", "steady", "moderate", "variable")
# A SIM's mean absolute error as a share of its mean use: the borders between steady, moderate and variable.
NOISE_BORDERS = (0.2, 0.45)
# Share of days with use over the last eight weeks: below the first a SIM is rare, below the second sparse.
USE_BORDERS = (0.2, 0.6)
# Share of the last eight weeks in which a weekday with use had it, and one without had none, in a regular SIM.
REGULAR_SHARE = 0.85
# An error counts at most this many times the SIM's median error in its scale.
OUTLIER = 6.0


def expectation(values: FloatArray) -> tuple[IntArray, FloatArray, FloatArray]:
    """What the week after the last column should bring, from the values (sims, days) known by then, NaN for unknown days.

    Returns the segment (sims,) as an index into SEGMENTS, and (sims, 7) centre and scale in bytes. Segments: "young" has less
    than 14 known days, "dormant" never used a byte, "quiet" stopped against its habit, "rare" and "sparse" use few days, and the
    others differ in noise. A young SIM's centre is its mean; that of a quiet, rare or sparse one is 0, its scale its mean.
    """
    sims, days = values.shape
    last = np.full((sims, WEEKS * SEASON), np.nan)
    width = min(days, WEEKS * SEASON)
    last[:, WEEKS * SEASON - width :] = values[:, days - width :]
    recent = last.reshape(sims, WEEKS, SEASON)
    mean, used = nan_mean(last), nan_mean(values)
    young = known_days(values) < YOUNG_DAYS
    centre = np.repeat(mean[:, None], SEASON, axis=1)
    if not young.all():
        centre[~young] = _centre(values[~young], recent[~young])
    missed = np.abs(recent - centre[:, None, :])
    # A few days out of all proportion widen the tails that the fleet shares, not the SIM's own measure.
    missed = np.minimum(
        missed, OUTLIER * _nan_median(missed.reshape(sims, WEEKS * SEASON))[:, None, None] + 0.1 * mean[:, None, None]
    )
    overall = nan_mean(np.asarray(missed.reshape(sims, WEEKS * SEASON), dtype=np.float64))
    # A weekday has at most eight errors: lean on the SIM's overall error as if it had eight more.
    scale = (np.nansum(missed, axis=1) + WEEKS * overall[:, None]) / ((~np.isnan(missed)).sum(axis=1) + WEEKS)
    scale = np.maximum(scale, 0.02 * mean[:, None])
    # One to three days say little about a young SIM's own error: never trust it to be below a quarter of its use.
    scale[young] = np.maximum(scale[young], 0.25 * mean[young, None])

    segment = _segment(values, last, overall / np.maximum(mean, 1))
    # With most days at zero there is no weekday to follow: the error is the use itself, as a multiple of the mean.
    flat = np.isin(segment, [SEGMENTS.index(name) for name in ("quiet", "rare", "sparse")])
    centre[flat] = 0
    scale[flat] = ((mean + used) / 2)[flat, None]
    return segment, centre, scale


def _segment(values: FloatArray, last: FloatArray, noise: FloatArray) -> IntArray:
    """Index into SEGMENTS of each SIM, from all its values, the last eight weeks of them and its relative error."""
    segment = len(SEGMENTS) - 1 - len(NOISE_BORDERS) + np.digitize(noise, NOISE_BORDERS)
    in_use = nan_mean(np.where(np.isnan(last), np.nan, last > 0))
    # A weekly reporter uses few days too, but always the same weekdays: there is a week to follow.
    by_weekday = (last > 0).reshape(-1, WEEKS, SEASON).mean(axis=1)
    regular = np.maximum(by_weekday, 1 - by_weekday).mean(axis=1) >= REGULAR_SHARE
    in_use[regular & (by_weekday.max(axis=1) >= REGULAR_SHARE)] = 1
    segment[in_use < USE_BORDERS[1]] = SEGMENTS.index("sparse")
    segment[in_use < USE_BORDERS[0]] = SEGMENTS.index("rare")
    # Quiet: by its habit of the eight weeks the SIM would have reported seven times since its last use.
    since = np.argmax(np.append(last[:, ::-1] > 0, np.ones((len(last), 1), dtype=np.bool_), axis=1), axis=1)
    alive = (last > 0).sum(axis=1) / np.maximum((~np.isnan(last)).sum(axis=1) - since, 1)
    segment[(since * alive >= SEASON) | (since >= WEEKS * SEASON)] = SEGMENTS.index("quiet")
    segment[known_days(values) < YOUNG_DAYS] = SEGMENTS.index("young")
    segment[nan_mean(values) == 0] = SEGMENTS.index("dormant")
    return segment.astype(np.int64)


def _centre(values: FloatArray, recent: FloatArray) -> FloatArray:
    """The best guess for each of the next seven days, (sims, 7), of SIMs with two weeks of known days or more."""
    usual = np.nanmedian(recent, axis=1)
    week_mean = np.nansum(recent, axis=2, keepdims=True) / np.maximum((~np.isnan(recent)).sum(axis=2, keepdims=True), 1)
    share = recent / np.maximum(week_mean, 1)
    share = np.nan_to_num(np.nanmedian(share, axis=1))
    # A weekday at rest says nothing about the level.
    busy = np.where(share > 0.05, recent[:, -1] / np.maximum(share, 0.05), np.nan)
    return np.asarray(np.median([_smoothed(values), usual, _nan_median(busy)[:, None] * share], axis=0))


def _smoothed(values: FloatArray) -> FloatArray:
    """Seasonal exponential smoothing of every SIM at once: the next seven days, (sims, 7)."""
    # half of the time that a process of ours takes to start, and most of them forecast nothing
    from statsforecast import StatsForecast
    from statsforecast.models import SeasonalExponentialSmoothingOptimized

    sims, days = values.shape
    frame = pl.DataFrame(
        {"unique_id": np.repeat(np.arange(sims), days), "ds": np.tile(np.arange(days), sims), "y": values.ravel()}
    ).filter(pl.col("y").is_not_nan())
    method = SeasonalExponentialSmoothingOptimized(season_length=SEASON, alias="smoothed")
    ahead = StatsForecast(models=[method], freq=1, n_jobs=1).forecast(df=frame, h=SEASON)
    return np.asarray(ahead["smoothed"].to_numpy(), dtype=np.float64).reshape(sims, SEASON)


def nan_mean(values: FloatArray) -> FloatArray:
    """Mean of each row's known values; zero for a row without any."""
    known = (~np.isnan(values)).sum(axis=1)
    return np.asarray(np.nansum(values, axis=1) / np.maximum(known, 1), dtype=np.float64)


def _nan_median(values: FloatArray) -> FloatArray:
    """Median of each row's known values; zero for a row without any."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nan_to_num(np.nanmedian(values, axis=1))
