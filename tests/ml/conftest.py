"""Synthetic histories for the model tests, generated here and used for no tuning."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

LAST = date(2026, 3, 31)


def history_of(volumes: np.ndarray, last: date = LAST) -> pl.DataFrame:
    """A history of volumes (sims, days), one record for every value that is not NaN, ending with `last`."""
    sims, days = volumes.shape
    dates = pl.date_range(last - timedelta(days=days - 1), last, "1d", eager=True)
    frame = pl.DataFrame(
        {
            "sim_key": np.repeat(np.arange(sims, dtype=np.int32), days),
            "day": dates[np.tile(np.arange(days), sims)],
            "bytes": volumes.astype(np.float64).ravel(),
        }
    )
    return frame.filter(pl.col("bytes").is_not_nan()).with_columns(pl.col("bytes").cast(pl.Int64))


def noisy_week(sims: int, days: int, seed: int) -> np.ndarray:
    """Gamma noise around a weekday pattern that wanders slowly; a fifth of the SIMs rest at weekends, some send
    rarely."""
    rng = np.random.default_rng(seed)
    t = np.arange(days)
    level = 10 ** rng.uniform(4, 7.5, (sims, 1)) * np.exp(0.2 * np.sin(2 * np.pi * (t / 90 + rng.random((sims, 1)))))
    week = rng.uniform(0.6, 1.4, (sims, 7))
    week[: sims // 5, 5:] = 0
    shape = rng.uniform(2, 30, (sims, 1))
    volumes = level * week[:, t % 7] * rng.gamma(shape, 1 / shape, (sims, days))
    volumes[-sims // 10 :] *= rng.random((sims // 10, days)) < rng.uniform(0.05, 0.5, (sims // 10, 1))
    return np.floor(volumes)


@pytest.fixture(scope="session")
def last_day() -> date:
    """The last day of every generated history."""
    return LAST


@pytest.fixture(scope="session")
def make_history() -> Callable[..., pl.DataFrame]:
    """Makes a history frame of a matrix of volumes."""
    return history_of


@pytest.fixture(scope="session")
def weekly_volumes() -> np.ndarray:
    """300 SIMs x 230 days of noisy weekly usage."""
    return noisy_week(300, 230, seed=2024)


@pytest.fixture(scope="session")
def weekly_history(weekly_volumes: np.ndarray) -> pl.DataFrame:
    """The same as a history."""
    return history_of(weekly_volumes)
