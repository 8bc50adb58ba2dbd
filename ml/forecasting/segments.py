"""What kind of SIM it is, and how far its days usually are from what is expected of it."""

from __future__ import annotations

import numpy as np

from ml.history import FloatArray, IntArray, known_days

SEASON = 7
WEEKS = 8
YOUNG_DAYS = 14
SEGMENTS = ("young", "dormant", "quiet", "rare", "sparse", "moved", "steady", "moderate", "variable")
# A SIM's mean absolute error as a share of its mean use: the borders between steady, moderate and variable.
NOISE_BORDERS = (0.2, 0.45)
# Where the last four weeks have less than this share of the eight weeks' noise, theirs counts.
CALMER = 0.5
# Share of days with use over the last eight weeks: below the first a SIM is rare, below the second sparse.
USE_BORDERS = (0.2, 0.6)
# Share of the last eight weeks in which a weekday with use had it, and one without had none, in a regular SIM.
REGULAR_SHARE = 0.85
# An error counts at most this many times the SIM's median error in its scale.
OUTLIER = 6.0
# Segments with most days at zero and no weekday to follow: their usual error is the use itself, and the centre of the
# first two is 0.
IDLE = tuple(SEGMENTS.index(name) for name in ("quiet", "rare"))
IRREGULAR = (*IDLE, SEGMENTS.index("sparse"))


def classify(values: FloatArray) -> IntArray:
    """The segment of each SIM (sims,), an index into SEGMENTS, from its values (sims, days), NaN for unknown days.

    "young" has less than 14 known days, "dormant" never used a byte, "quiet" stopped against its habit, "rare" and
    "sparse" use few days, and the others differ in noise: how far days are from their weekday's median.
    """
    recent = _recent(values)
    noise, lately = _noise(recent), _noise(recent[:, WEEKS // 2 :])
    # A level that shifted some weeks ago is no noise: the forecasts follow it by now.
    noise = np.where(lately < CALMER * noise, lately, noise)
    return _segment(values, recent.reshape(len(values), WEEKS * SEASON), noise)


def usual_error(values: FloatArray, centre: FloatArray, segments: IntArray) -> FloatArray:
    """How far the days of the last eight weeks were from `centre` (sims, 7), the week expected next: (sims, 7), by
    weekday.

    Zero only where nothing is known but zeros. For the irregular segments it is the mean use.
    """
    recent = _recent(values)
    sims = len(values)
    flat = (sims, WEEKS * SEASON)
    mean, used = nan_mean(recent.reshape(flat)), nan_mean(values)
    missed = _tamed(np.abs(recent - centre[:, None, :]), mean)
    overall = nan_mean(np.asarray(missed.reshape(flat), dtype=np.float64))
    # A weekday has at most eight errors: shrink towards the SIM's overall error as if it had eight more.
    scale = (np.nansum(missed, axis=1) + WEEKS * overall[:, None]) / ((~np.isnan(missed)).sum(axis=1) + WEEKS)
    # What is expected was made of these days: the fewer weeks they are, the closer it lies to them by itself, and the
    # further from those that come.
    weeks = np.maximum((~np.isnan(recent)).sum(axis=(1, 2)) / SEASON, 2.0)
    scale *= np.sqrt((weeks + 1) / (weeks - 1) * (WEEKS - 1) / (WEEKS + 1))[:, None]
    scale = np.maximum(scale, 0.02 * mean[:, None])
    # One to three days say little about a young SIM's own error: never trust it to be below a quarter of its use.
    young = segments == SEGMENTS.index("young")
    scale[young] = np.maximum(scale[young], 0.25 * mean[young, None])
    irregular = np.isin(segments, IRREGULAR)
    scale[irregular] = ((mean + used) / 2)[irregular, None]
    return np.asarray(scale, dtype=np.float64)


def _noise(weeks: FloatArray) -> FloatArray:
    """How far days (sims, weeks, 7) are from their weekday's median, as a share of each SIM's mean use, (sims,)."""
    days = (len(weeks), weeks.shape[1] * SEASON)
    mean = nan_mean(weeks.reshape(days))
    off = _tamed(np.abs(weeks - _weekday_median(weeks)[:, None, :]), mean)
    return np.asarray(nan_mean(off.reshape(days)) / np.maximum(mean, 1e-9), dtype=np.float64)


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


def _tamed(missed: FloatArray, mean: FloatArray) -> FloatArray:
    """Errors (sims, weeks, 7) drawn in: a few days out of all proportion widen the tails that the fleet shares, not a
    SIM's measure."""
    median = _nan_median(missed.reshape(len(missed), missed.shape[1] * SEASON))
    return np.asarray(np.minimum(missed, (OUTLIER * median + 0.1 * mean)[:, None, None]), dtype=np.float64)


def _recent(values: FloatArray) -> FloatArray:
    """The last eight weeks, (sims, 8, 7), NaN for unknown days."""
    sims, days = values.shape
    last = np.full((sims, WEEKS * SEASON), np.nan)
    width = min(days, WEEKS * SEASON)
    last[:, WEEKS * SEASON - width :] = values[:, days - width :]
    return last.reshape(sims, WEEKS, SEASON)


def _weekday_median(recent: FloatArray) -> FloatArray:
    return _nan_median(recent.swapaxes(1, 2))


def nan_mean(values: FloatArray) -> FloatArray:
    """Mean of each row's known values; zero for a row without any."""
    known = ~np.isnan(values)
    return np.asarray(np.where(known, values, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1), dtype=np.float64)


def _nan_median(values: FloatArray) -> FloatArray:
    """Median over the last axis of what is known; zero where nothing is."""
    known = (~np.isnan(values)).sum(axis=-1)
    ordered = np.sort(values, axis=-1)
    low, high = np.maximum((known - 1) // 2, 0), np.minimum(known // 2, values.shape[-1] - 1)
    ends = np.take_along_axis(ordered, np.stack([low, high], axis=-1), axis=-1)
    return np.where(known > 0, ends.mean(axis=-1), 0.0)
