"""Forecasts of SIMs that have a month or three of history and move together."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import numpy as np
import polars as pl
import pytest

from ml.forecasting import QUANTILES, SEGMENTS, Forecast, fit_predict, quantile_column, seasonal_naive
from ml.forecasting.backtest import mase, naive_scale, rmase
from ml.forecasting.expectation import shared_growth
from ml.forecasting.training import _plan

MakeHistory = Callable[..., pl.DataFrame]
NAMES = [quantile_column(level) for level in QUANTILES]
HORIZON = 30


def quantiles_of(frame: pl.DataFrame) -> np.ndarray:
    return frame.select(NAMES).to_numpy().reshape(-1, HORIZON, len(NAMES))


def stations(sims: int, seed: int, swings: np.ndarray) -> np.ndarray:
    """Volumes of SIMs that all follow the same swings, logarithms a day, each with a week and noise of its own."""
    rng, days = np.random.default_rng(seed), np.arange(swings.size)
    week = rng.normal(np.log([1.1, 1.1, 1.1, 1.1, 1.2, 0.8, 0.7]), 0.1, (sims, 7))[:, days % 7]
    noise = rng.normal(0, 0.15, (sims, swings.size))
    return np.floor(np.exp(rng.normal(14, 1, (sims, 1)) + rng.normal(1, 0.2, (sims, 1)) * swings + week + noise))


def errors_of(volumes: np.ndarray, make_history: MakeHistory, last: date) -> tuple[float, float, Forecast]:
    """Error in the last 30 days relative to seasonal naive's, that of the total by the mean, and the forecast."""
    known, unseen = volumes[:, :-HORIZON], volumes[:, -HORIZON:]
    history = make_history(known)
    _, forecast = fit_predict(history, as_of=last)
    naive = quantiles_of(seasonal_naive(history, as_of=last, horizon=HORIZON))[:, :, 2]
    ours, scale = quantiles_of(forecast.frame)[:, :, 2], naive_scale(known)
    relative = rmase(mase(unseen, ours, scale), mase(unseen, naive, scale))
    return relative, forecast.frame["mean"].sum() / unseen.sum() - 1, forecast


def covered(unseen: np.ndarray, forecast: Forecast) -> float:
    """Share of unseen days within the 80 % interval."""
    q = quantiles_of(forecast.frame)
    return float(((unseen >= q[:, :, 1]) & (unseen <= q[:, :, 3])).mean())


@pytest.mark.parametrize("days", [45, 60, 107])
@pytest.mark.parametrize("drop", [-0.4, 0.4])
def test_which_way_the_only_month_known_went_is_not_expected_again(
    make_history: MakeHistory, last_day: date, days: int, drop: float
) -> None:
    """All SIMs move to a new level four weeks before the end, and stay there."""
    swings = np.where(np.arange(days + HORIZON) >= days - 28, drop, 0.0)
    relative, total, forecast = errors_of(stations(200, days, swings), make_history, last_day)
    assert relative < 0.85
    assert abs(total) < 0.13
    moved = forecast.segments >= SEGMENTS.index("moved")
    np.testing.assert_allclose(quantiles_of(forecast.frame)[moved, :, 2], forecast.centre[moved])


@pytest.mark.parametrize("growth", [-0.006, 0.006])
def test_what_all_sims_grow_by_together_goes_on(make_history: MakeHistory, last_day: date, growth: float) -> None:
    volumes = stations(200, 3, growth * np.arange(60.0 + HORIZON))
    relative, total, forecast = errors_of(volumes, make_history, last_day)
    assert relative < 0.8
    assert abs(total) < 0.05
    # what is in the forecast is not in its intervals once more
    assert covered(volumes[:, -HORIZON:], forecast) < 0.92


def test_three_months_of_history_show_more_than_one_month_of_errors() -> None:
    assert _plan(200, 107, HORIZON)[0] == [1, 2, 3, 4, 5]
    assert _plan(200, 90, HORIZON)[0] == [1, 2]
    assert _plan(200, 140, HORIZON)[0] == [3, 4, 5, 6]


def test_what_half_of_the_sims_grow_by_is_not_expected_of_all() -> None:
    rng = np.random.default_rng(2)
    growth = rng.choice([0.0, 0.01], (100, 1))
    noise = rng.normal(0, 0.05, (100, 91))
    assert shared_growth(np.exp(growth * np.arange(91) + noise)) == 0
    assert shared_growth(np.exp(0.01 * np.arange(91) + noise)) == pytest.approx(0.01, rel=0.1)
    assert shared_growth(np.exp(noise)) == pytest.approx(0, abs=0.001)


@pytest.mark.parametrize("days", [45, 60, 107])
def test_a_short_history_is_covered_as_often_as_it_says(make_history: MakeHistory, last_day: date, days: int) -> None:
    volumes = stations(400, 5, np.zeros(days + HORIZON))
    _, total, forecast = errors_of(volumes, make_history, last_day)
    assert 0.76 <= covered(volumes[:, -HORIZON:], forecast) <= 0.84
    assert abs(total) < 0.02


@pytest.mark.parametrize("days", [16, 24, 30, 45])
def test_a_few_weeks_of_history_have_no_mean_far_above_the_median(
    make_history: MakeHistory, last_day: date, days: int
) -> None:
    """Where no window of thirty days is known, nothing may stand for one that makes means several times too large."""
    _, total, _ = errors_of(stations(100, 6, np.zeros(days + HORIZON)), make_history, last_day)
    assert abs(total) < 0.1
