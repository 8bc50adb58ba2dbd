"""Days of which only the sum is known: laid out, looked at for anomalies, and in silences."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.silence import silence
from ml.spread import relaid, stretches_as_days, told
from tests.conftest import examples

START = date(2026, 1, 5)  # a Monday
SCHEMA = {"sim_key": pl.Int32, "day": pl.Date, "bytes": pl.Int64, "spread_from": pl.Date}


def weekly(volume: np.ndarray, daily_days: int) -> pl.DataFrame:
    """A history (sims, days) whose days from `daily_days` on are known by their week's sum alone."""
    rows = []
    for sim, values in enumerate(volume.tolist()):
        for day, value in enumerate(values):
            used = value
            begin = None if day < daily_days else day - (day - daily_days) % 7
            if begin is not None:
                week = values[begin : begin + 7]
                upto = sum(week) * (day - begin + 1) // len(week) - sum(week) * (day - begin) // len(week)
                used = upto if sum(week) else 0
                begin = begin if sum(week) else None
            spread_from = None if begin is None else START + timedelta(days=begin)
            rows.append((sim, START + timedelta(days=day), used, spread_from))
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def test_a_sum_is_laid_on_the_days_as_the_sim_used_them_before() -> None:
    workdays = np.tile([100, 200, 100, 100, 100, 0, 0], 12)[None, :]
    history = weekly(workdays, 28)
    assert history.filter(pl.col("spread_from").is_not_null())["bytes"].min() == 85
    laid = relaid(history)
    assert laid["bytes"].to_list() == workdays[0].tolist()
    assert laid["laid"].to_list() == [False] * 28 + [True] * 56
    # a model is judged on days that were told alone
    panel = told(laid, as_of=START + timedelta(days=83))
    assert panel.values[0, :28].tolist() == workdays[0, :28].tolist()
    assert np.isnan(panel.values[0, 28:]).all()


def test_a_sum_without_a_time_like_it_is_no_calm_week_but_one_mean_day() -> None:
    history = weekly(np.array([[10, 0, 0, 0, 0, 0, 4] * 3]), 7)
    later = history.filter(pl.col("day") >= START + timedelta(days=7))
    assert relaid(later)["bytes"].to_list() == [None] * 6 + [2] + [None] * 6 + [2]
    assert relaid(history.drop("spread_from")).equals(history.drop("spread_from"))


@given(st.lists(st.lists(st.integers(0, 10**9), min_size=63, max_size=63), min_size=1, max_size=4), st.integers(0, 56))
@settings(max_examples=examples(30))
def test_sums_are_kept_and_the_order_of_rows_does_not_matter(volume: list[list[int]], daily_days: int) -> None:
    history = weekly(np.array(volume), daily_days)
    laid = relaid(history)
    by = ["sim_key", "spread_from"]
    both = history.with_columns(laid=laid["bytes"], unknown=laid["bytes"].is_null())
    both = both.group_by(by).agg(pl.col("bytes", "laid").sum(), pl.col("unknown").any()).filter(~pl.col("unknown"))
    assert (both["bytes"] == both["laid"]).all()
    assert (laid["bytes"].drop_nulls() >= 0).all()
    known = history["spread_from"].is_null()
    assert laid.filter(known)["bytes"].equals(history.filter(known)["bytes"])
    mixed = history.sample(fraction=1.0, shuffle=True, seed=1)
    assert relaid(mixed).sort("sim_key", "day").equals(laid)


def test_a_sum_is_one_day_of_so_much_more_than_usual() -> None:
    volume = np.tile([100, 200, 100, 100, 100, 0, 0], 12)[None, :]
    volume[0, -7:] *= 3
    as_days = stretches_as_days(weekly(volume, 28)).filter(pl.col("day") >= START + timedelta(days=70))
    # weeks end on a Sunday, on which it rests: an active day of any weekday stands for it
    assert as_days["bytes"].to_list() == [*[None] * 6, 120, *[None] * 6, 360]


def test_a_smooth_week_is_no_week_without_a_gap() -> None:
    resting = np.tile([100, 0, 0, 100, 0, 0, 100], 12)[None, :]
    as_of = START + timedelta(days=83)
    known = silence(weekly(resting, 84).drop("spread_from"), as_of=as_of)
    summed = silence(weekly(resting, 42), as_of=as_of)
    assert known["usual_gap_days"].to_list() == summed["usual_gap_days"].to_list() == [3.0]
    assert summed["last_active_day"].to_list() == [as_of]
    assert summed["active_days"].to_list() == [18]


def test_a_silence_ends_with_the_last_day_that_is_known() -> None:
    used = np.tile([100], 40)[None, :]
    used[0, 30:] = 0
    history = weekly(used, 40).drop("spread_from")
    later = pl.DataFrame(
        [(0, START + timedelta(days=day), None) for day in range(40, 60)], schema=history.schema, orient="row"
    )
    as_of = START + timedelta(days=59)
    assert silence(pl.concat([history, later]), as_of=as_of)["days_silent"].to_list() == [10]
    assert silence(history, as_of=as_of)["days_silent"].to_list() == [30]
