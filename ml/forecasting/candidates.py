"""Many simple forecasts of every SIM at once, from now and from past origins: what the ensemble chooses from.

A candidate is a week of daily volumes that repeats: a weekday pattern times a level, or a typical value of each
weekday. They differ in how they resist outliers and how fast they follow, which is what distinguishes SIMs. All are
closed forms (sums with fixed weights, medians over fixed windows), so that a whole panel and all its origins take one
pass and no loop over SIMs, and each origin sees nothing after itself.

Sources: seasonal naive, exponential smoothing and classical decomposition as in Hyndman and Athanasopoulos,
Forecasting: Principles and Practice; the level on deseasonalised values as in the theta method (Assimakopoulos and
Nikolopoulos 2000), without its drift; weekday factors shrunk towards 1 by their noise as in Miller and Williams (2003).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from ml.forecasting.segments import SEASON
from ml.history import FloatArray

WEEKS = 26
STEP = 14
# Smoothing weights a day, of volumes and of their logarithms, and windows of days for medians.
SMOOTHING = (0.04, 0.1, 0.25)
LOG_SMOOTHING = (0.06, 0.2)
MEDIAN_DAYS = (7, 14, 28, 56)
MEDIAN_WEEKS = (4, 8, 13)
# Half of a week's weight in the weekday pattern after this many weeks.
HALF_LIFE = 13.0
# A weekday below this share of the mean day says nothing about the level.
MIN_WEEKDAY_SHARE = 0.1
# SIMs worked on at once: few enough that what is made of them stays in the processor's cache.
BLOCK = 512

Float32 = npt.NDArray[np.float32]


class Candidate(Protocol):
    """A family of forecasts: their names, and a week ahead of each for a block of SIMs.

    The SIMs are the last axis of every array: sums and medians over days then go over whole rows of SIMs, and what a
    SIM gets does not depend on how many others are worked on with it.
    """

    names: tuple[str, ...]

    def __call__(self, weeks: Float32, cleaned: Float32) -> Float32:
        """Forecasts (names, 7, sims) from the last weeks of raw and cleaned values (WEEKS, 7, sims), NaN unknown."""


class SameWeekday:
    """The last same weekday again (seasonal naive), medians of the last ones, and nothing at all."""

    names = ("last week", *(f"median of {weeks} weeks" for weeks in MEDIAN_WEEKS), "zero")

    def __call__(self, weeks: Float32, cleaned: Float32) -> Float32:
        last = weeks[-1]
        repeated = np.where(np.isnan(last), _mean(_days(weeks[-8:])), last)
        return np.stack([repeated, *(nan_median(weeks[-n:]) for n in MEDIAN_WEEKS), np.zeros_like(last)])


class RecentShares:
    """A level times the median share of each weekday in the last eight weeks: follows a pattern that changes."""

    names: tuple[str, ...]

    def __init__(self) -> None:
        self.names = ("recent pattern, last week", *(f"recent pattern, {name}" for name in LEVELS))

    def __call__(self, weeks: Float32, cleaned: Float32) -> Float32:
        recent = weeks[-8:]
        usual = _mean(recent.swapaxes(0, 1))[:, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            share = nan_median(np.where(usual > 0, recent / usual, np.float32(np.nan)))
            busy = nan_median(np.where(share > MIN_WEEKDAY_SHARE / 2, weeks[-1] / share, np.float32(np.nan)))
        levels = np.concatenate([busy[None], _levels(weeks, cleaned, share)])
        return np.asarray(levels[:, None] * share, dtype=np.float32)


class LongShares:
    """A level times each weekday's mean share of the last half year, shrunk towards 1: calm where weekdays say
    little."""

    names: tuple[str, ...]

    def __init__(self) -> None:
        self.names = tuple(f"long pattern, {name}" for name in LEVELS)

    def __call__(self, weeks: Float32, cleaned: Float32) -> Float32:
        share = _shrunk_shares(cleaned)
        return np.asarray(_levels(weeks, cleaned, share)[:, None] * share, dtype=np.float32)


LEVELS = (
    *(f"smoothing {weight}" for weight in SMOOTHING),
    *(f"log smoothing {weight}" for weight in LOG_SMOOTHING),
    *(f"median of {days} days" for days in MEDIAN_DAYS),
)
FAMILIES: tuple[Candidate, ...] = (SameWeekday(), RecentShares(), LongShares())
NAMES = tuple(name for family in FAMILIES for name in family.names)


def forecast_weeks(values: FloatArray, origins: int) -> Float32:
    """Every candidate's week ahead, (origins, candidates, 7, sims), from values (sims, days), NaN for unknown days.

    Origin k is k * STEP days before the end: it sees values[:, : days - k * STEP] only. Any scale of values is fine.
    """
    sims, days = values.shape
    width = WEEKS * SEASON
    ahead = np.empty((origins, len(NAMES), SEASON, sims), dtype=np.float32)
    for start in range(0, sims, BLOCK):
        block = slice(start, min(start + BLOCK, sims))
        # Two columns at least: NumPy adds up a single one in another order.
        columns = max(block.stop - start, 2)
        history = np.full((max(days, width + STEP * (origins - 1)), columns), np.nan, dtype=np.float32)
        history[len(history) - days :, : block.stop - start] = values[block].T
        for origin in range(origins):
            end = len(history) - STEP * origin
            weeks = history[end - width : end].reshape(WEEKS, SEASON, -1)
            cleaned = _cleaned(weeks)
            made = np.concatenate([family(weeks, cleaned) for family in FAMILIES])
            ahead[origin, :, :, block] = made[:, :, : block.stop - start]
    return ahead


def _days(weeks: Float32) -> Float32:
    """Weeks (n, 7, sims) as days (n * 7, sims)."""
    return weeks.reshape(-1, weeks.shape[2])


def _cleaned(weeks: Float32) -> Float32:
    """Values drawn to within three typical deviations of the median of five same weekdays around them."""
    filled = np.where(np.isnan(weeks), _mean(weeks), weeks)
    # The first week counts again before the beginning; the last two weeks, which have no future, look further back.
    padded = np.concatenate([filled[:1], filled[:1], filled])
    inner = _median_of_five(*[padded[shift : WEEKS - 2 + shift] for shift in range(5)])
    base = np.concatenate([inner, inner[-1:], inner[-1:]])
    off = weeks - base
    size = _days(np.abs(off))
    limit = 3.75 * _mean(np.minimum(size, 3 * _mean(size)))
    return np.asarray(np.maximum(base + np.clip(off, -limit, limit), 0), dtype=np.float32)


def _shrunk_shares(cleaned: Float32) -> Float32:
    """Each weekday's mean share, (7, sims), recent weeks weighing more, shrunk by how noisy the shares are."""
    whole: npt.NDArray[np.bool_] = np.asarray(~np.isnan(cleaned).any(axis=1))
    weight = whole * (0.5 ** (np.arange(WEEKS)[::-1] / HALF_LIFE)).astype(np.float32)[:, None]
    known = np.where(whole[:, None], cleaned, 0)
    sums = known.sum(axis=1)
    weeks, total = weight.sum(axis=0), (sums * weight).sum(axis=0)
    usable = total > 0
    total, weeks = np.where(usable, total, 1), np.where(usable, weeks, 1)
    share = (known * weight[:, None]).sum(axis=0) * SEASON / total
    off = (known - (sums / SEASON)[:, None] * share) ** 2
    effective = np.maximum(weeks**2 / np.maximum((weight**2).sum(axis=0), 1e-6), 1)
    freedom = (SEASON - 1) * np.maximum(1 - 1 / effective, 0.1)
    noise = (off.sum(axis=1) * weight).sum(axis=0) / (weeks * freedom) / effective / (total / weeks / SEASON) ** 2
    signal = ((share - 1) ** 2).sum(axis=0) / (SEASON - 1)
    kept = np.clip(1 - noise / np.maximum(signal, 1e-9), 0, 1)
    return np.where(usable, 1 + kept * (share - 1), 1).astype(np.float32)


def _levels(weeks: Float32, cleaned: Float32, share: Float32) -> Float32:
    """Levels (LEVELS, sims) of values freed of their weekday share: smoothed over cleaned, medians over raw ones."""
    divisor = np.where(share > MIN_WEEKDAY_SHARE, share, np.float32(np.nan)).astype(np.float32)
    calm: Float32 = cleaned / divisor
    recent: Float32 = weeks[-MEDIAN_DAYS[-1] // SEASON :] / divisor
    raw = _days(recent)
    known = ~np.isnan(calm)
    offset = np.float32(0.05) * _mean(_days(calm[-8:])) + np.float32(1e-9)
    filled = np.where(known, calm, 0)
    logs = np.where(known, np.log(filled + offset), 0)
    levels = [_smoothed(filled, known, weight) for weight in SMOOTHING]
    levels += [np.maximum(np.exp(_smoothed(logs, known, weight)) - offset, 0) for weight in LOG_SMOOTHING]
    levels += [nan_median(raw[-n:]) for n in MEDIAN_DAYS]
    return np.stack(levels)


def _smoothed(values: Float32, known: npt.NDArray[np.bool_], fading: float) -> Float32:
    """Mean of values (WEEKS, 7, sims) that are known, with weights that fall by `fading` a day, (sims,)."""
    weights = ((1 - fading) ** np.arange(WEEKS * SEASON)[::-1]).astype(np.float32).reshape(WEEKS, SEASON, 1)
    total, weight = (values * weights).sum(axis=(0, 1)), (known * weights).sum(axis=(0, 1))
    return np.asarray(total / np.maximum(weight, np.float32(1e-12)), dtype=np.float32)


def nan_median(values: Float32) -> Float32:
    """Median over the first axis of what is known; zero where nothing is."""
    known = len(values) - np.isnan(values).sum(axis=0)
    ordered = np.sort(np.moveaxis(values, 0, -1).reshape(-1, len(values)), axis=1)
    low, high = np.maximum(known - 1, 0) // 2, np.minimum(known // 2, len(values) - 1)
    rows = np.arange(len(ordered))
    middle = (ordered[rows, low.ravel()] + ordered[rows, high.ravel()]) / 2
    return np.where(known > 0, middle.reshape(known.shape), np.float32(0))


def _mean(values: Float32) -> Float32:
    """Mean over the first axis of what is known; zero where nothing is."""
    known = ~np.isnan(values)
    return np.asarray(np.where(known, values, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1), dtype=np.float32)


def _median_of_five(a: Float32, b: Float32, c: Float32, d: Float32, e: Float32) -> Float32:
    low = np.maximum(np.minimum(a, b), np.minimum(c, d))
    high = np.minimum(np.maximum(a, b), np.maximum(c, d))
    return np.asarray(np.maximum(np.minimum(low, high), np.minimum(np.maximum(low, high), e)), dtype=np.float32)
