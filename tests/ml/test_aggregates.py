"""Totals forecast as series: the better of two forecasters, honest intervals, calm about short and odd ones."""

from __future__ import annotations

import logging
import subprocess
import sys
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ml.forecasting import QUANTILES, quantile_column
from ml.forecasting.aggregates import BOTH, METHODS, OWN, PROPHET, AggregateForecast, forecast_aggregate

LAST, HORIZON = date(2026, 3, 31), 30
NAMES = [quantile_column(level) for level in QUANTILES]
SUMS = [f"sum_{name}" for name in NAMES]


def totals_of(series: dict[str, np.ndarray]) -> pl.DataFrame:
    parts = [
        pl.DataFrame(
            {
                "day": pl.date_range(LAST - timedelta(days=len(v) - 1), LAST, "1d", eager=True),
                "bytes": v.astype(np.int64),
            }
        ).select(pl.lit(name).alias("group"), "day", "bytes")
        for name, v in series.items()
    ]
    return pl.concat(parts)


def week(days: int, seed: int, growth: float = 0.0, noise: float = 0.05) -> np.ndarray:
    rng = np.random.default_rng(seed)
    t = np.arange(days)
    shape = np.array([1, 1, 1.1, 1, 1.2, 0.5, 0.4])[t % 7]
    return np.floor(1e9 * shape * (1 + growth * t) * np.exp(noise * rng.standard_normal(days)))


@pytest.fixture(scope="module")
def series() -> dict[str, np.ndarray]:
    made = {f"label {k}": week(270 + HORIZON, k) for k in range(4)}
    made |= {f"growing {k}": week(270 + HORIZON, 10 + k, growth=0.03) for k in range(2)}
    return made | {"new": week(10 + HORIZON, 20), "nothing": np.zeros(200)}


@pytest.fixture(scope="module")
def totals(series: dict[str, np.ndarray]) -> pl.DataFrame:
    return totals_of(series).filter(pl.col("day") <= LAST - timedelta(days=HORIZON))


@pytest.fixture(scope="module")
def forecast(totals: pl.DataFrame) -> AggregateForecast:
    return forecast_aggregate(totals, LAST - timedelta(days=HORIZON))


def test_every_group_is_forecast_with_ordered_quantiles(
    forecast: AggregateForecast, series: dict[str, np.ndarray]
) -> None:
    frame = forecast.frame
    assert frame.columns == ["group", "day", "method", "mean", *NAMES, "sum_mean", *SUMS]
    assert sorted(frame["group"].unique()) == sorted(series)
    assert frame.height == len(series) * HORIZON
    assert (frame["day"].min(), frame["day"].max()) == (LAST - timedelta(days=HORIZON - 1), LAST)
    values = frame.select("mean", *NAMES).to_numpy()
    assert np.isfinite(values).all()
    assert (values >= 0).all()
    assert (np.diff(values[:, 1:], axis=1) >= 0).all()
    assert frame.filter(group="nothing")["q0.975"].max() == 0


def test_totals_with_history_are_covered_and_close(forecast: AggregateForecast, series: dict[str, np.ndarray]) -> None:
    inside, off = [], []
    for name, values in series.items():
        if name not in ("new", "nothing"):
            q = forecast.frame.filter(group=name).sort("day").select(NAMES).to_numpy()
            came = values[-HORIZON:]
            inside.append((came >= q[:, 1]) & (came <= q[:, 3]))
            off.append(np.abs(came - q[:, 2]).sum() / came.sum())
    assert 0.68 <= np.mean(inside) <= 0.92
    assert np.mean(off) < 0.08


def test_sums_have_intervals_of_their_own(forecast: AggregateForecast, series: dict[str, np.ndarray]) -> None:
    narrower, inside = [], []
    for name, values in series.items():
        days = forecast.frame.filter(group=name).sort("day")
        sums = days.select(SUMS).to_numpy()
        assert np.isfinite(sums).all()
        assert (np.diff(sums, axis=1) >= 0).all()
        np.testing.assert_allclose(days["sum_mean"].to_numpy(), days["mean"].to_numpy().cumsum())
        if name not in ("new", "nothing"):
            np.testing.assert_allclose(sums[0, 1:4], days.select(NAMES).to_numpy()[0, 1:4], rtol=0.1)
            total = sums[-1]
            assert total[1] < days["sum_mean"][-1] < total[3]
            added = days.select(NAMES).to_numpy().sum(axis=0)
            narrower.append((total[3] - total[1]) / (added[3] - added[1]))
            inside.append(sums[-1, 0] <= values[-HORIZON:].sum() <= sums[-1, 4])
    assert max(narrower) < 1, "days do not all err alike, so the sum's interval is narrower than the days' added up"
    assert min(narrower) > 1 / np.sqrt(HORIZON) / 2, "nor do they err each by itself"
    assert all(inside)


def test_a_trend_is_for_prophet_and_the_choice_says_why(forecast: AggregateForecast) -> None:
    choices = {row["group"]: row for row in forecast.choices.iter_rows(named=True)}
    assert {row["method"] for row in choices.values()} <= set(METHODS)
    assert choices["growing 0"]["method"] in (PROPHET, BOTH)
    assert choices["growing 0"][PROPHET] < 1
    assert choices["growing 0"]["windows"] == 6
    assert choices["new"]["method"] == OWN
    assert choices["new"][PROPHET] is None
    assert choices["new"]["windows"] == 0
    used = dict(forecast.frame.select("group", "method").unique().iter_rows())
    assert used == {name: row["method"] for name, row in choices.items()}


def test_the_same_totals_in_any_order_give_the_same_forecast(totals: pl.DataFrame, forecast: AggregateForecast) -> None:
    again = forecast_aggregate(totals.sample(fraction=1.0, shuffle=True, seed=1), LAST - timedelta(days=HORIZON))
    assert_frame_equal(again.frame, forecast.frame)
    assert_frame_equal(again.choices, forecast.choices)


def test_short_histories_and_no_totals_at_all() -> None:
    short = forecast_aggregate(totals_of({"a": week(40, 1), "b": np.array([5.0])}), LAST, 14, (0.1, 0.5, 0.9))
    assert short.frame.columns == [
        *("group", "day", "method"),
        *(f"{of}{name}" for of in ("", "sum_") for name in ("mean", "q0.1", "q0.5", "q0.9")),
    ]
    assert short.frame.height == 2 * 14
    assert short.choices["method"].to_list() == [OWN, OWN]
    half_a_year = forecast_aggregate(totals_of({"a": week(180, 1)}), LAST)
    assert half_a_year.choices.row(0) == ("a", OWN, 6, None, None)
    nothing = forecast_aggregate(totals_of({"a": week(40, 1)}).clear(), LAST)
    assert nothing.frame.is_empty()
    assert nothing.choices.is_empty()


def test_a_frame_without_its_columns_is_refused() -> None:
    with pytest.raises(ValueError, match="they need group, day and bytes"):
        forecast_aggregate(totals_of({"a": week(40, 1)}).drop("group"), LAST)


def test_prophet_is_quiet(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    with caplog.at_level(logging.DEBUG):
        forecast_aggregate(totals_of({"a": week(230, 1)}), LAST)
    assert [record for record in caplog.records if record.name.startswith(("cmdstanpy", "prophet"))] == []
    assert "Chain" not in "".join(capfd.readouterr())


def test_heavy_libraries_are_imported_where_they_are_used() -> None:
    heavy = "{'prophet', 'lightgbm'}"
    code = f"import sys, ml.forecasting, ml.forecasting.aggregates; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_total_that_has_just_grown_many_times_leaves_every_mean_within_its_interval() -> None:
    days = np.arange(185)
    quiet = 95_000.0 + np.where(days % 14 == 4, 40_000, 0) + 3_000 * (days % 5 == 0)
    started = np.append(np.zeros(179), [146_000, 79_000, 1_471_000, 1_108_000, 3_196_000, 1_643_000])
    rare, seldom = np.where(days % 13 == 0, 60_000, 0), np.where(days % 17 == 0, 10_000, 0)
    series = {"fleet": quiet + started + rare, "country": started + rare, "rest": quiet, "other": seldom}
    sums = forecast_aggregate(totals_of(series), LAST).frame.filter(pl.col("day") == LAST + timedelta(days=HORIZON))
    within = pl.col("sum_mean").is_between("sum_q0.1", "sum_q0.9")
    assert sums.select(within.all()).item(), sums
