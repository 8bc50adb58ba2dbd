"""When a SIM ends: the fast computation agrees with walking every path day by day."""

from __future__ import annotations

import math
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.exhaustion.model import EXHAUSTION_SCHEMA, FARTHEST_DAYS, Calibration, quota_exhaustion, sms_exhaustion
from tests.conftest import examples

AS_OF = date(2026, 3, 10)


def end_of_path(path: list[float], remaining: float, expiry: float) -> tuple[float, float]:
    """(day of exhaustion, day of the end) of one path, by walking it."""
    total, volume = 0.0, math.inf
    for day, used in enumerate(path, start=1):
        total += used
        if total >= remaining:
            volume = day
            break
    else:
        tail = path[-28:]
        rate = sum(tail) / len(tail)
        if rate > 0:
            volume = len(path) + max(math.ceil((remaining - total) / rate), 1)
    clock = math.inf if math.isnan(expiry) else math.ceil(expiry)
    return volume, min(volume, clock)


def slow_exhaustion(paths: np.ndarray, remaining: float, expiry: float) -> dict[str, Any]:
    """The row of a SIM with enough evidence, volume left and time left."""
    ends = [end_of_path(path, remaining, expiry) for path in paths.tolist()]
    days = sorted(end for _, end in ends)
    volumes = sorted(volume for volume, _ in ends)
    row: dict[str, Any] = {f"p_{d}": sum(end <= d for end in days) / len(days) for d in (7, 14, 30, 90)}
    row["p_volume_30"] = sum(volume <= 30 for volume in volumes) / len(volumes)
    for share in (10, 50, 90):
        day = next(d for i, d in enumerate(days, start=1) if i * 100 >= share * len(days))
        row[f"p{share}_date"] = AS_OF + timedelta(days=day) if day <= FARTHEST_DAYS else None
    middle = next(d for i, d in enumerate(volumes, start=1) if i * 100 >= 50 * len(volumes))
    clock = math.inf if math.isnan(expiry) else math.ceil(expiry)
    row["cause"] = None if row["p50_date"] is None else "volume" if middle <= clock else "expiry"
    row["extrapolated"] = row["p50_date"] is None or row["p50_date"] > AS_OF + timedelta(days=paths.shape[1])
    row["status"] = "extrapolated" if row["extrapolated"] else "ok"
    return row


def ends(paths: np.ndarray, remaining: Any, expiry: Any, **options: Any) -> pl.DataFrame:
    sims = len(paths)
    facts = {"history_days": np.full(sims, 100), "ever_used": np.full(sims, fill_value=True), **options}
    return quota_exhaustion(paths, remaining, expiry, as_of=AS_OF, **facts).frame


@settings(max_examples=examples(150), deadline=None)
@given(st.data())
def test_it_agrees_with_walking_every_path(data: st.DataObject) -> None:
    sims, samples, days = (data.draw(st.integers(1, top)) for top in (3, 12, 40))
    seed = data.draw(st.integers(0, 10**6))
    rng = np.random.default_rng(seed)
    paths = (rng.integers(0, 40, (sims, samples, days)) * (rng.random((sims, samples, days)) < rng.random())).astype(
        np.float32
    )
    remaining = [float(data.draw(st.integers(1, 2000))) for _ in range(sims)]
    expiry = [data.draw(st.one_of(st.just(math.nan), st.floats(0.25, 60), st.floats(1000, 5000))) for _ in range(sims)]
    frame = ends(paths, remaining, expiry)
    for row, path, left, days_left in zip(frame.iter_rows(named=True), paths, remaining, expiry, strict=True):
        expected = slow_exhaustion(path, left, days_left)
        for name, value in expected.items():
            assert row[name] == (pytest.approx(value) if isinstance(value, float) else value), name


@settings(max_examples=examples(50), deadline=None)
@given(seed=st.integers(0, 10**6), less=st.integers(0, 500))
def test_less_volume_never_ends_later(seed: int, less: int) -> None:
    rng = np.random.default_rng(seed)
    paths = rng.integers(0, 50, (4, 20, 30)).astype(np.float32)
    remaining = rng.integers(1, 3000, 4).astype(float)
    never = np.full(4, np.nan)
    more, fewer = ends(paths, remaining, never), ends(paths, remaining - less, never)
    for column in ("p_7", "p_14", "p_30", "p_90", "p_volume_30"):
        assert (fewer[column] >= more[column]).all()
    for column in ("p10_date", "p50_date", "p90_date"):
        assert (fewer[column] <= more[column]).all()


def test_the_frame_keeps_its_schema_and_order() -> None:
    frame = ends(np.ones((2, 3, 30), np.float32), [5, 7], [math.nan, math.nan], sim_keys=np.array([9, 4]))
    assert dict(frame.schema) == EXHAUSTION_SCHEMA
    assert frame["sim_key"].to_list() == [9, 4]
    assert ends(np.ones((0, 3, 30), np.float32), [], []).schema == frame.schema


def test_a_sim_without_volume_is_exhausted_as_of_today() -> None:
    row = ends(np.ones((2, 3, 30), np.float32), [0, -250.0], [math.nan, -3]).row(1, named=True)
    assert (row["status"], row["cause"], row["p50_date"], row["p_7"]) == ("exhausted", "volume", AS_OF, 1.0)


def test_a_sim_past_its_expiry_date_is_expired() -> None:
    row = ends(np.ones((1, 3, 30), np.float32), [1000], [0]).row(0, named=True)
    assert (row["status"], row["cause"], row["p90_date"], row["p_14"]) == ("expired", "expiry", AS_OF, 1.0)
    assert row["p_volume_30"] == 0


def test_the_earlier_clock_names_the_cause() -> None:
    frame = ends(np.full((2, 5, 30), 10, np.float32), [100, 100], [5, 12])
    assert frame["cause"].to_list() == ["expiry", "volume"]
    assert frame["p50_date"].to_list() == [AS_OF + timedelta(days=5), AS_OF + timedelta(days=10)]


def test_beyond_the_paths_the_last_four_weeks_go_on_and_the_row_says_so() -> None:
    paths = np.full((1, 4, 30), 10, np.float32)
    paths[:, :, :2] = 1000
    row = ends(paths, [2280 + 100], [math.nan]).row(0, named=True)
    assert row["p50_date"] == AS_OF + timedelta(days=40)
    assert (row["extrapolated"], row["status"], row["p_30"]) == (True, "extrapolated", 0.0)


def test_a_sim_that_uses_nothing_more_has_no_end_date() -> None:
    row = ends(np.zeros((1, 4, 30), np.float32), [100], [math.nan]).row(0, named=True)
    assert (row["p50_date"], row["cause"], row["p_30"], row["extrapolated"]) == (None, None, 0.0, True)


@pytest.mark.parametrize(
    "weak",
    [
        {"remaining": [math.nan]},
        {"history_days": np.array([13])},
        {"ever_used": np.array([False])},
    ],
    ids=["unknown volume", "13 days known", "never used"],
)
def test_without_evidence_nothing_is_guessed_but_a_sure_expiry_is_told(weak: dict[str, Any]) -> None:
    paths = np.full((1, 4, 30), 10, np.float32)
    row = ends(paths, weak.pop("remaining", [150.0]), [10], **weak).row(0, named=True)
    assert row["status"] == "not_enough_evidence"
    assert [row[name] for name in ("p10_date", "p50_date", "p90_date", "cause", "p_volume_30", "p_7")] == [None] * 6
    assert (row["p_14"], row["p_30"]) == (1.0, 1.0)


def test_shapes_and_values_that_cannot_be_right_are_refused() -> None:
    paths = np.ones((2, 3, 30), np.float32)
    with pytest.raises(ValueError, match="remaining has the shape"):
        ends(paths, [1], [1, 1])
    with pytest.raises(ValueError, match="needed are"):
        ends(np.ones((2, 3), np.float32), [1, 1], [1, 1])
    paths[1, 0, 4] = -1
    with pytest.raises(ValueError, match="row 1 hold a negative"):
        ends(paths, [1, 1], [1, 1])


@settings(max_examples=examples(60), deadline=None)
@given(seed=st.integers(0, 10**6))
def test_steps_after_the_paths_are_days_at_an_even_rate(seed: int) -> None:
    rng = np.random.default_rng(seed)
    paths = rng.integers(0, 9, (3, 5, 10)).astype(np.float32)
    steps = np.array([7, 7, 28])
    daily = rng.integers(0, 9, (3, 5, 3)).astype(np.float32)
    walked = np.concatenate([paths, np.repeat(daily, steps, axis=2)], axis=2)
    left, never = rng.integers(1, 200, 3).astype(float), np.full(3, np.nan)
    found = quota_exhaustion(
        paths,
        left,
        never,
        as_of=AS_OF,
        history_days=[99] * 3,
        ever_used=[True] * 3,
        later=daily * steps,
        step_days=steps,
    )
    reached = 1.0 + (walked.cumsum(axis=2) < left[:, None, None]).sum(axis=2)
    inside = np.sort(np.where(reached <= walked.shape[2], reached, np.inf), axis=1)
    known = found.days <= walked.shape[2]
    assert (known == np.isfinite(inside)).all()
    assert (found.days[known] == inside[known]).all()
    row = found.frame
    assert ((row["p_7"] <= row["p_14"]) & (row["p_14"] <= row["p_30"]) & (row["p_30"] <= row["p_90"])).all()
    dates = row.drop_nulls("p90_date")
    assert ((dates["p10_date"] <= dates["p50_date"]) & (dates["p50_date"] <= dates["p90_date"])).all()


def test_a_calibration_gives_the_dates_the_share_that_they_had() -> None:
    days = np.arange(1.0, 201)[None, :]
    # what was stated as 25 and 75 % happened in 10 and 90 % of cases: the stated spans were twice too wide in the
    # middle
    narrower = Calibration((0.0, 0.1, 0.5, 0.9, 1.0)).apply(days)
    assert [int(narrower[0, k]) for k in (19, 99, 179)] == [49, 100, 150]
    assert (np.diff(narrower) >= 0).all()
    assert (Calibration((0.0, 0.5, 1.0)).apply(days) == days).all()


def test_a_top_up_re_arms_and_an_automatic_one_leaves_only_the_expiry() -> None:
    paths = np.full((1, 4, 30), 10, np.float32)
    empty, filled = ends(paths, [0.0], [400.0]), ends(paths, [150.0], [400.0])
    assert (empty["status"][0], filled["status"][0]) == ("exhausted", "ok")
    assert filled["p50_date"][0] == AS_OF + timedelta(days=15)
    automatic = ends(paths, [150.0], [400.0], topup=[100.0], topup_at=[30.0]).row(0, named=True)
    assert (automatic["cause"], automatic["p50_date"]) == ("expiry", AS_OF + timedelta(days=400))
    # 120 until the threshold, then one for every 100 of the 180 that follow
    assert (automatic["topup_date"], automatic["topups_30"]) == (AS_OF + timedelta(days=12), 2.0)
    assert (filled["topup_date"][0], filled["topups_30"][0]) == (None, None)
    assert ends(paths, [20.0], [400.0], topup=[100.0], topup_at=[30.0])["topup_date"][0] == AS_OF


def test_a_monthly_limit_stops_a_sim_until_the_month_ends() -> None:
    paths = np.full((2, 4, 30), 10, np.float32)
    limited = {"monthly_limit": 100.0, "used_this_month": [60.0, 0.0]}
    free, stopped = (
        ends(paths, [250.0, 250.0], [np.nan, np.nan]),
        ends(paths, [250.0, 250.0], [np.nan, np.nan], **limited),
    )
    # of March 21 days are left: the first has 40 left of the limit, the second 100
    assert stopped["p_limit"].to_list() == [1.0, 1.0]
    assert stopped["limit_date"].to_list() == [AS_OF + timedelta(days=4), AS_OF + timedelta(days=10)]
    assert (stopped["p50_date"] > free["p50_date"]).all()
    assert ends(paths, [250.0, 250.0], [np.nan] * 2, monthly_limit=1000.0, used_this_month=[0, 0])[
        "p_limit"
    ].to_list() == [0, 0]
    assert free["p_limit"].to_list() == [None, None]


def messages(left: list[float], sent: list[int], expiry: float = 4000, days: int = 182) -> pl.DataFrame:
    return sms_exhaustion(
        left,
        [expiry] * len(left),
        as_of=AS_OF,
        known_days=[days] * len(left),
        messages=sent,
        squares=sent,
        sim_keys=range(len(left)),
    )


def test_sms_end_sooner_the_fewer_are_left_and_the_more_are_sent() -> None:
    frame = messages([5, 50, 50, 0, math.nan], [91, 91, 182, 91, 91])
    few, many, fast = frame.rows(named=True)[:3]
    assert few["sms_p50_date"] < fast["sms_p50_date"] < many["sms_p50_date"]
    # half a message a day: five last about ten days
    assert abs((few["sms_p50_date"] - AS_OF).days - 10) <= 1
    for row in (few, many, fast):
        assert row["sms_p_7"] <= row["sms_p_14"] <= row["sms_p_30"] <= row["sms_p_90"]
        assert row["sms_p10_date"] <= row["sms_p50_date"] <= row["sms_p90_date"]
    assert frame["sms_status"].to_list() == ["ok", "ok", "ok", "exhausted", "not_enough_evidence"]
    assert (frame["sms_p_7"][3], frame["sms_p_7"][4]) == (1.0, None)


def test_sms_dates_hold_on_counts_drawn_from_known_rates() -> None:
    rng = np.random.default_rng(5)
    rate = rng.gamma(2, 0.2, 2000)
    counts = rng.poisson(rate[:, None], (2000, 182))
    frame = sms_exhaustion(
        np.full(2000, 40.0),
        np.full(2000, np.nan),
        as_of=AS_OF,
        known_days=np.full(2000, 182),
        messages=counts.sum(axis=1),
        squares=(counts**2).sum(axis=1),
        sim_keys=np.arange(2000),
    )
    true = np.ceil(rng.gamma(40, 1 / rate))
    low, high = ((frame[f"sms_p{share}_date"] - AS_OF).dt.total_days().fill_null(9999).to_numpy() for share in (10, 90))
    assert 0.77 < ((true >= low) & (true <= high)).mean() < 0.85


def test_an_expiry_before_the_sms_are_used_up_is_their_end() -> None:
    row = messages([200], [10], expiry=20).row(0, named=True)
    assert (row["sms_p90_date"], row["sms_p_30"], row["sms_status"]) == (AS_OF + timedelta(days=20), 1.0, "ok")
    assert messages([5], [10], expiry=0)["sms_status"][0] == "expired"
    assert messages([5], [0], days=5)["sms_status"][0] == "not_enough_evidence"
