"""Scores of exhaustion dates, the extrapolation beyond the horizon, and the backtest that says whether dates may be
published."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from ml.exhaustion.backtest import ExhaustionBacktest, exhaustion_backtest, score_dates, share_below, transform_bounds
from ml.exhaustion.extrapolation import SEGMENTS, Extrapolation, fit_extrapolation, state


@pytest.fixture(scope="module")
def tested(weekly_history: pl.DataFrame, last_day: date) -> ExhaustionBacktest:
    return exhaustion_backtest(weekly_history, as_of=last_day)


@pytest.fixture(scope="module")
def extrapolation(weekly_history: pl.DataFrame, last_day: date) -> Extrapolation:
    return fit_extrapolation(weekly_history, as_of=last_day)


def test_dates_drawn_from_the_truth_are_covered_as_stated_also_where_the_future_is_cut_off() -> None:
    rng = np.random.default_rng(1)
    mean = rng.uniform(5, 300, (4000, 1))
    days, true = np.ceil(rng.gamma(4, mean / 4, (4000, 400))), np.ceil(rng.gamma(4, mean[:, 0] / 4))
    for known in (np.inf, 60.0):
        scores = score_dates(days, true, groups=["a"] * 4000, known=np.full(4000, known))
        assert scores.coverage == pytest.approx(0.8, abs=0.02)
        achieved = scores.calibration.filter(group="all")
        assert np.abs(achieved["level"] - achieved["achieved"]).max() < 0.03


def test_spans_too_narrow_are_told_from_honest_ones_and_a_certain_end_is_not_open() -> None:
    rng = np.random.default_rng(2)
    days, true = 100 + rng.normal(0, 10, (1000, 200)), 100 + rng.normal(0, 30, 1000)
    days = np.vstack([days, np.full((500, 200), 50.0)])
    scores = score_dates(
        days,
        np.append(true, np.full(500, 50.0)),
        groups=["open"] * 1000 + ["sure"] * 500,
        known=np.full(1500, np.inf),
        certain=np.full(1500, 50.0 + 1e6 * (np.arange(1500) < 1000)),
    )
    assert scores.coverage < 0.4
    assert dict(scores.frame.select("group", "open").iter_rows()) == {"all": 1000, "open": 1000, "sure": 0}


def test_brier_scores_and_errors_are_those_of_the_definition() -> None:
    days = np.array([[3.0, 5, 10, 40], [100, 200, 300, np.inf]])
    row = score_dates(days, [6.0, 20.0], groups=["x", "x"], known=[90.0, 90.0]).frame.row(0, named=True)
    assert row["brier_7"] == pytest.approx((0.5**2 + 0) / 2)
    assert row["brier_30"] == pytest.approx((0.25**2 + 1) / 2)
    assert row["brier_180"] is None
    assert (row["soon"], row["error_days"]) == (1, 1.0)
    low, high = transform_bounds(days, np.array([5.0, np.inf]), np.array([90.0, 150.0]))
    assert (low.tolist(), high.tolist()) == ([0.25, 0.25], [0.5, 1.0])
    assert share_below(low, high, 0.4).tolist() == pytest.approx([0.6, 0.2])


def test_the_backtest_of_a_sound_fleet_is_within_bounds_and_sees_nothing_later(
    tested: ExhaustionBacktest, weekly_history: pl.DataFrame, last_day: date
) -> None:
    assert (tested.status, tested.calibrated) == ("ok", True)
    assert tested.scores is not None
    assert tested.low < tested.scores.coverage < tested.high
    assert tested.calibration is not None
    assert list(tested.calibration.achieved) == sorted(tested.calibration.achieved)
    later = weekly_history.tail(1).with_columns(pl.lit(last_day + timedelta(days=1)).alias("day"))
    again = exhaustion_backtest(pl.concat([weekly_history, later]), as_of=last_day)
    assert (again.calibration, again.note) == (tested.calibration, tested.note)


def test_a_fleet_that_does_not_go_on_as_it_did_is_refused(
    make_history: Callable[..., pl.DataFrame], weekly_volumes: np.ndarray, last_day: date
) -> None:
    broken = weekly_volumes.copy()
    broken[:, -28:] = 0
    tested = exhaustion_backtest(make_history(broken), as_of=last_day)
    assert not tested.calibrated
    assert "lay between P10 and P90" in tested.note


def test_a_short_history_is_not_judged(weekly_history: pl.DataFrame, last_day: date) -> None:
    short = weekly_history.filter(pl.col("day") > last_day - timedelta(days=80))
    tested = exhaustion_backtest(short, as_of=last_day)
    assert (tested.status, tested.calibrated, tested.calibration) == ("not_enough_history", True, None)
    assert "80 days" in tested.note


def test_trajectories_follow_the_rank_of_the_paths_and_grow_vaguer(
    extrapolation: Extrapolation, weekly_volumes: np.ndarray
) -> None:
    values = weekly_volumes[100:110]
    level = values[:, -56:].mean(axis=1)
    paths = np.repeat(level[:, None, None] * np.linspace(0.5, 1.5, 50)[None, :, None], 30, axis=2).astype(np.float32)
    later = extrapolation.extrapolate(paths, values)
    assert later.shape == (10, 50, extrapolation.step_days.size)
    assert np.isfinite(later).all()
    assert (later >= 0).all()
    rate = later / extrapolation.step_days
    assert np.median(rate[:, :, -1] / level[:, None]) == pytest.approx(1, abs=0.25)
    spread = np.quantile(rate, 0.9, axis=1) - np.quantile(rate, 0.1, axis=1)
    # a single week is noisier than a month: compared are the first and the last month after the courses
    first_month = int((extrapolation.step_days == 7).sum())
    assert (spread[:, -1] > spread[:, first_month]).mean() > 0.8


def test_segments_say_what_kind_of_sim_it_is() -> None:
    flat = np.full((6, 80), 100.0)
    flat[1] *= np.linspace(0.2, 2, 80)
    flat[2] *= np.linspace(2, 0.2, 80)
    flat[3, -20:] = 0
    flat[4, :40] = np.nan
    flat[5] *= np.arange(80) % 8 == 0
    segments, levels = state(flat)
    assert [SEGMENTS[index] for index in segments] == ["steady", "rising", "falling", "quiet", "young", "rare"]
    assert levels[[0, 4]].tolist() == [100, 100]


def test_with_too_little_past_courses_stay_level_and_spread(
    make_history: Callable[..., pl.DataFrame], last_day: date
) -> None:
    short = make_history(np.full((5, 30), 1000.0))
    extrapolation = fit_extrapolation(short, as_of=last_day)
    assert set(extrapolation.windows) == {0}
    assert np.median(extrapolation.trajectories) == pytest.approx(1, abs=0.01)
    assert extrapolation.trajectories.std() > 0.2


def test_days_that_nobody_knows_leave_no_hole_in_what_the_past_says(
    make_history: Callable[..., pl.DataFrame], last_day: date
) -> None:
    history = make_history(np.full((60, 300), 1000.0))
    gaps = ((pl.col("day").dt.ordinal_day() + pl.col("sim_key")) % 31 == 0) | (
        (pl.col("sim_key") < 20) & (pl.col("day") > date(2026, 1, 31))
    )
    known = history.with_columns(pl.when(~gaps | (pl.col("day") == last_day)).then("bytes").alias("bytes"))
    extrapolation = fit_extrapolation(known, as_of=last_day)
    assert np.isfinite(extrapolation.trajectories).all()
    assert sum(extrapolation.windows) > 0
    seen = extrapolation.trajectories[np.argmax(extrapolation.windows)]
    np.testing.assert_allclose(seen, 1, atol=0.01)
