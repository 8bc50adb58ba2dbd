"""Many simple forecasts of every SIM at once, from now and from past origins: what the router chooses from.

A candidate is a week of daily volumes that repeats: a weekday pattern times a level, or a typical value of each weekday.
They differ in how they resist outliers and how fast they follow, which is what tells SIMs apart. All are closed forms
(sums with fixed weights, medians over fixed windows), so that a whole panel and all its origins take one pass and no loop
over SIMs, and each origin sees nothing after itself.

Sources: seasonal naive, exponential smoothing and classical decomposition as in Hyndman and Athanasopoulos, Forecasting:
Principles and Practice; the level on deseasonalised values as in the theta method (Assimakopoulos and Nikolopoulos 2000),
without its drift; weekday factors shrunk towards 1 by their noise as in Miller and Williams (2003).
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
REST = 0.1
# SIMs worked on at once: bounds the memory, about 50 MB, and stays near the processor's caches.
BLOCK = 96

Float32 = npt.NDArray[np.float32]


class Candidate(Protocol):
    """A family of forecasts: their names, and a week ahead of each for a block of windows."""

    names: tuple[str, ...]

    def __call__(self, windows: Float32, cleaned: Float32) -> Float32:
        """Forecasts (windows, names, 7) from the last weeks of raw and cleaned values (windows, WEEKS, 7), NaN unknown."""


class SameWeekday:
    """The last same weekday again (seasonal naive), medians of the last ones, and nothing at all."""

    names = ("last week", *(f"median of {weeks} weeks" for weeks in MEDIAN_WEEKS), "zero")

    def __call__(self, windows: Float32, cleaned: Float32) -> Float32:
        last = windows[:, -1]
        usual = _mean(windows[:, -8:].reshape(len(windows), -1))
        weeks = [np.where(np.isnan(last), usual[:, None], last)]
        weeks += [nan_median(windows[:, -n:].swapaxes(1, 2)) for n in MEDIAN_WEEKS]
        return np.stack([*weeks, np.zeros_like(last)], axis=1)


class RecentShares:
    """A level times the median share of each weekday in the last eight weeks: follows a pattern that changes."""

    names: tuple[str, ...]

    def __init__(self) -> None:
        self.names = ("recent pattern, last week", *(f"recent pattern, {name}" for name in LEVELS))

    def __call__(self, windows: Float32, cleaned: Float32) -> Float32:
        recent = windows[:, -8:]
        week = _mean(recent)[..., None]
        with np.errstate(invalid="ignore", divide="ignore"):
            share = nan_median(np.where(week > 0, recent / week, np.nan).swapaxes(1, 2))
            busy = nan_median(np.where(share > REST / 2, windows[:, -1] / share, np.nan))
        levels = np.concatenate([busy[:, None], _levels(windows, cleaned, share)], axis=1)
        return np.asarray(levels[:, :, None] * share[:, None, :], dtype=np.float32)


class LongShares:
    """A level times each weekday's mean share of the last half year, shrunk towards 1: calm where weekdays say little."""

    names: tuple[str, ...]

    def __init__(self) -> None:
        self.names = tuple(f"long pattern, {name}" for name in LEVELS)

    def __call__(self, windows: Float32, cleaned: Float32) -> Float32:
        share = _shrunk_shares(cleaned)
        return np.asarray(_levels(windows, cleaned, share)[:, :, None] * share[:, None, :], dtype=np.float32)


LEVELS = (
    *(f"smoothing {weight}" for weight in SMOOTHING),
    *(f"log smoothing {weight}" for weight in LOG_SMOOTHING),
    *(f"median of {days} days" for days in MEDIAN_DAYS),
)
FAMILIES: tuple[Candidate, ...] = (SameWeekday(), RecentShares(), LongShares())
NAMES = tuple(name for family in FAMILIES for name in family.names)


def forecast_weeks(values: FloatArray, origins: int) -> Float32:
    """Every candidate's week ahead, (sims, origins, candidates, 7), from values (sims, days), NaN for unknown days.

    Origin k is k * STEP days before the end: it sees values[:, : days - k * STEP] only. Any scale of values is fine.
    """
    weeks = np.empty((len(values), origins, len(NAMES), SEASON), dtype=np.float32)
    for start in range(0, len(values), BLOCK):
        part = slice(start, start + BLOCK)
        windows = _windows(values[part], origins)
        flat = windows.reshape(-1, WEEKS, SEASON)
        cleaned = _cleaned(flat)
        made = np.concatenate([family(flat, cleaned) for family in FAMILIES], axis=1)
        weeks[part] = made.reshape(windows.shape[0], origins, len(NAMES), SEASON)
    return weeks


def _windows(values: FloatArray, origins: int) -> Float32:
    """The last WEEKS weeks before each origin, (sims, origins, WEEKS, 7)."""
    sims, days = values.shape
    width = WEEKS * SEASON
    padded = np.full((sims, max(days, width + STEP * (origins - 1))), np.nan, dtype=np.float32)
    padded[:, padded.shape[1] - days :] = values
    ends = [padded.shape[1] - STEP * k for k in range(origins)]
    return np.stack([padded[:, end - width : end] for end in ends], axis=1).reshape(sims, origins, WEEKS, SEASON)


def _cleaned(windows: Float32) -> Float32:
    """Values drawn to within three typical deviations of the median of five same weekdays around them."""
    weekday = _mean(windows.swapaxes(1, 2))
    filled = np.where(np.isnan(windows), weekday[:, None, :], windows)
    at = np.arange(WEEKS)
    near = [np.clip(at + shift, 0, WEEKS - 1) for shift in (-2, -1, 0, 1, 2)]
    # At the end there is no future: look further back instead.
    near[3][-1], near[4][-1], near[4][-2] = WEEKS - 4, WEEKS - 5, WEEKS - 5
    base = _median_of_five(*[filled[:, index] for index in near])
    off = windows - base
    size = np.abs(off).reshape(len(off), -1)
    typical = _mean(np.minimum(size, 3 * _mean(size)[:, None]))
    limit = 3.75 * typical[:, None, None]
    return np.asarray(np.maximum(base + np.clip(off, -limit, limit), 0), dtype=np.float32)


def _shrunk_shares(cleaned: Float32) -> Float32:
    """Each weekday's mean share, (windows, 7), recent weeks weighing more, shrunk by how noisy the shares are."""
    whole: npt.NDArray[np.bool_] = np.asarray(~np.isnan(cleaned).any(axis=2))
    weight = whole * (0.5 ** (np.arange(WEEKS)[::-1] / HALF_LIFE)).astype(np.float32)
    known = np.where(whole[..., None], cleaned, 0)
    weeks, total = weight.sum(axis=1), (known.sum(axis=2) * weight).sum(axis=1)
    usable = total > 0
    total, weeks = np.where(usable, total, 1), np.where(usable, weeks, 1)
    share = (known * weight[..., None]).sum(axis=1) * SEASON / total[:, None]
    off = (known - known.mean(axis=2)[..., None] * share[:, None, :]) ** 2
    effective = np.maximum(weeks**2 / np.maximum((weight**2).sum(axis=1), 1e-6), 1)
    freedom = (SEASON - 1) * np.maximum(1 - 1 / effective, 0.1)
    noise = (off.sum(axis=2) * weight).sum(axis=1) / (weeks * freedom) / effective / (total / weeks / SEASON) ** 2
    signal = ((share - 1) ** 2).sum(axis=1) / (SEASON - 1)
    kept = np.clip(1 - noise / np.maximum(signal, 1e-9), 0, 1)
    return np.where(usable[:, None], 1 + kept[:, None] * (share - 1), 1).astype(np.float32)


def _levels(windows: Float32, cleaned: Float32, share: Float32) -> Float32:
    """Levels (windows, LEVELS) of values freed of their weekday share: smoothed over cleaned, medians over raw ones."""
    count, days = len(windows), WEEKS * SEASON
    divisor = np.where(share > REST, share, np.float32(np.nan))[:, None, :].astype(np.float32)
    calm: Float32 = (cleaned / divisor).reshape(count, days)
    raw: Float32 = (windows / divisor).reshape(count, days)
    known = ~np.isnan(calm)
    filled = np.where(known, calm, 0)
    offset = 0.05 * _mean(calm[:, -56:]) + 1e-9
    logs = np.where(known, np.log(filled + offset[:, None]), 0)
    age = np.arange(days)[::-1]
    levels = []
    # Row by row sums, not a matrix product: a SIM's figures must not depend on how many others are worked on with it.
    for values, fading in ((filled, SMOOTHING), (logs, LOG_SMOOTHING)):
        for weight in fading:
            weights = ((1 - weight) ** age).astype(np.float32)
            level = (values * weights).sum(axis=1) / np.maximum((known * weights).sum(axis=1), 1e-12)
            levels.append(level if values is filled else np.maximum(np.exp(level) - offset, 0))
    levels += [nan_median(raw[:, -n:]) for n in MEDIAN_DAYS]
    return np.stack(levels, axis=1)


def nan_median(values: Float32) -> Float32:
    """Median over the last axis of what is known; zero where nothing is."""
    known = (~np.isnan(values)).sum(axis=-1)
    ordered = np.sort(values, axis=-1)
    low, high = np.maximum((known - 1) // 2, 0), np.minimum(known // 2, values.shape[-1] - 1)
    ends = np.take_along_axis(ordered, np.stack([low, high], axis=-1), axis=-1)
    return np.where(known > 0, ends.mean(axis=-1), 0).astype(np.float32)


def _mean(values: Float32) -> Float32:
    """Mean over the last axis of what is known; zero where nothing is."""
    known = ~np.isnan(values)
    total = np.where(known, values, 0).sum(axis=-1) / np.maximum(known.sum(axis=-1), 1)
    return np.asarray(total, dtype=np.float32)


def _median_of_five(a: Float32, b: Float32, c: Float32, d: Float32, e: Float32) -> Float32:
    low = np.maximum(np.minimum(a, b), np.minimum(c, d))
    high = np.minimum(np.maximum(a, b), np.maximum(c, d))
    return np.asarray(np.maximum(np.minimum(low, high), np.minimum(np.maximum(low, high), e)), dtype=np.float32)
