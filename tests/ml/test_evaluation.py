"""The measures agree with their definitions, and a backtest sees nothing after its origin."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ml.forecasting import fit, predict, seasonal_naive
from ml.forecasting.backtest import (
    BACKTEST_SCHEMA,
    BASELINE,
    FORECASTER,
    Backtest,
    backtest,
    coverage,
    mase,
    naive_scale,
    pinball,
    rmase,
)

MakeHistory = Callable[..., pl.DataFrame]


@pytest.fixture(scope="module")
def outcome(weekly_history: pl.DataFrame, last_day: date) -> Backtest:
    return backtest(weekly_history, as_of=last_day)


def test_the_measures_agree_with_their_definitions() -> None:
    rng = np.random.default_rng(1)
    past, actual = rng.integers(0, 50, (3, 20)).astype(float), rng.integers(0, 50, (3, 4)).astype(float)
    past[1, :5] = np.nan
    guess, levels = rng.random((3, 4)) * 50, (0.1, 0.5, 0.9)
    quantiles = np.sort(rng.random((3, 4, 3)) * 50, axis=2)
    scale, error, loss = naive_scale(past), mase(actual, guess, naive_scale(past)), pinball(actual, quantiles, levels)
    for i in range(3):
        known = [x for x in past[i] if not np.isnan(x)]
        expected = np.mean([abs(known[t] - known[t - 7]) for t in range(7, len(known))])
        assert scale[i] == pytest.approx(expected)
        assert error[i] == pytest.approx(np.mean(np.abs(actual[i] - guess[i])) / expected)
        for t in range(4):
            losses = [
                max(p * (actual[i, t] - x), (p - 1) * (actual[i, t] - x))
                for p, x in zip(levels, quantiles[i, t], strict=True)
            ]
            assert loss[i, t] == pytest.approx(np.mean(losses))
    assert coverage(np.array([1.0, 2, 3, 4]), np.full(4, 2.0), np.full(4, 3.0)) == 0.5
    assert rmase(np.array([1.0, 3, np.nan]), np.array([2.0, 6, 1])) == 0.5


def test_a_constant_or_short_series_has_no_scale() -> None:
    flat, short = np.full(20, 3.0), np.append(np.full(14, np.nan), [1.0, 2, 3, 4, 5, 6])
    assert np.isnan(naive_scale(np.array([flat, short]))).all()


def test_a_backtest_tells_the_figures_by_model_window_segment_and_horizon(outcome: Backtest, last_day: date) -> None:
    frame = outcome.frame
    assert outcome.status == "ok"
    assert dict(frame.schema) == BACKTEST_SCHEMA
    origins = {(last_day - timedelta(days=back)).isoformat() for back in (30, 44, 58)}
    assert set(frame["window"]) == {"all", *origins}
    assert set(frame["horizon"]) == {"1-7", "8-30", "1-30"}
    assert set(frame["model"]) == {FORECASTER, BASELINE}
    assert frame.filter(model=BASELINE)["rmase"].drop_nulls().unique().to_list() == [1.0]
    whole = frame.filter(model=FORECASTER, window="all", segment="all", horizon="1-30").row(0, named=True)
    assert whole["n"] == 900
    assert whole["rmase"] < 0.9
    parts = frame.filter(pl.col("segment") != "all", model=FORECASTER, window="all", horizon="1-30")
    assert parts["n"].sum() == 900
    assert np.average(parts["coverage_80"], weights=parts["n"]) == pytest.approx(whole["coverage_80"])


def test_the_summary_is_plain_numbers_for_a_tracking_server(outcome: Backtest) -> None:
    assert all(isinstance(value, float) and np.isfinite(value) for value in outcome.summary.values())
    assert outcome.summary["rmase"] == pytest.approx(outcome.summary["mase"] / outcome.summary["baseline_mase"])
    assert 0.77 <= outcome.summary["coverage_80_in_use"] <= 0.84
    assert 0.7 <= outcome.summary["sum_coverage_80"] <= 0.9
    assert outcome.summary["pinball_ratio"] < 0.9


def test_a_backtest_tells_the_candidates_of_every_segment(outcome: Backtest) -> None:
    table = outcome.candidates
    assert set(table.columns) == {"segment", "days", "candidate", "error", "weight", "n"}
    assert table.group_by("segment", "days").agg(pl.col("weight").sum())["weight"].to_numpy() == pytest.approx(1)


def test_the_figures_agree_with_scoring_one_window_by_hand(
    weekly_volumes: np.ndarray, make_history: MakeHistory, last_day: date
) -> None:
    volumes, origin = weekly_volumes[:40, -120:], last_day - timedelta(days=10)
    history = make_history(volumes)
    frame = backtest(history, as_of=last_day, horizon=10, windows=1).frame.filter(
        segment="all", window="all", horizon="1-10"
    )
    known = history.filter(pl.col("day") <= origin)
    ours = predict(fit(known, as_of=origin, horizon=10), known, as_of=origin, horizon=10).frame
    naive = seasonal_naive(known, as_of=origin, horizon=10)
    for name, forecast in ((FORECASTER, ours), (BASELINE, naive)):
        scored = history.join(forecast, on=["sim_key", "day"], how="inner")
        within = scored.select(pl.col("bytes").is_between("q0.1", "q0.9").mean()).item()
        errors = (
            scored.with_columns(error=(pl.col("bytes") - pl.col("q0.5")).abs())
            .group_by("sim_key")
            .agg(pl.col("error").mean())
        )
        per_sim = errors.sort("sim_key")["error"].to_numpy() / naive_scale(volumes[:, :-10])
        row = frame.filter(model=name).row(0, named=True)
        assert row["coverage_80"] == pytest.approx(within)
        assert row["mase"] == pytest.approx(np.nanmean(per_sim))


def test_days_after_the_origin_change_no_forecast(
    weekly_volumes: np.ndarray, make_history: MakeHistory, last_day: date
) -> None:
    origin = last_day - timedelta(days=30)
    changed = weekly_volumes.copy()
    changed[:, -30:] = changed[::-1, -30:] * 3 + 17
    frames = []
    for volumes in (weekly_volumes, changed):
        known = make_history(volumes).filter(pl.col("day") <= origin)
        forecast = predict(fit(known, as_of=origin), known, as_of=origin)
        frames.append(forecast.frame)
    assert_frame_equal(*frames)


def test_a_backtest_window_ignores_what_came_after_its_horizon(
    weekly_volumes: np.ndarray, make_history: MakeHistory, last_day: date
) -> None:
    changed = weekly_volumes[:80].copy()
    changed[:, -14:] = 5_000_000
    windows = [backtest(make_history(v), as_of=last_day).frame for v in (weekly_volumes[:80], changed)]
    second = (last_day - timedelta(days=44)).isoformat()
    assert_frame_equal(*(frame.filter(window=second) for frame in windows))
    first = (last_day - timedelta(days=30)).isoformat()
    assert not windows[0].filter(window=first).equals(windows[1].filter(window=first))


def test_too_short_a_history_gives_no_figures_and_says_so(make_history: MakeHistory, last_day: date) -> None:
    for days in (0, 20, 57):
        outcome = backtest(make_history(np.ones((3, days or 1))).head(3 * days), as_of=last_day)
        assert outcome.status == "not_enough_history"
        assert outcome.frame.is_empty()
        assert outcome.summary == {}
        assert "needs 58" in outcome.note


def test_a_fleet_of_constant_sims_is_tested_without_inventing_an_error(
    make_history: MakeHistory, last_day: date
) -> None:
    outcome = backtest(make_history(np.full((5, 100), 4000.0)), as_of=last_day)
    assert outcome.frame["mase"].null_count() == outcome.frame.height
    assert "rmase" not in outcome.summary
    assert outcome.summary["coverage_80"] == 1.0


def test_sims_that_use_nothing_on_most_days_are_not_in_the_calibration(
    weekly_volumes: np.ndarray, make_history: MakeHistory, last_day: date
) -> None:
    busy = weekly_volumes[80:110]
    idle = np.zeros((60, busy.shape[1]))
    idle[:, ::9] = 5000.0

    alone, among_idle, without = (
        backtest(make_history(volumes), as_of=last_day, windows=1, horizon=10).calibration
        for volumes in (busy, np.vstack([busy, idle]), idle)
    )

    assert without.is_empty()
    low = pl.col("model") == BASELINE, pl.col("level") == 0.1
    # most days of the idle SIMs are zero: they would lift the lowest level above a half
    assert among_idle.filter(*low)["achieved"].item() == pytest.approx(alone.filter(*low)["achieved"].item())
    assert among_idle.filter(*low)["achieved"].item() < 0.3
