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

from ml.exhaustion import EXHAUSTION_SCHEMA, FARTHEST_DAYS, quota_exhaustion

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
    row: dict[str, Any] = {f"p_{d}": sum(end <= d for end in days) / len(days) for d in (7, 14, 30)}
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


@settings(max_examples=150, deadline=None)
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


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), less=st.integers(0, 500))
def test_less_volume_never_ends_later(seed: int, less: int) -> None:
    rng = np.random.default_rng(seed)
    paths = rng.integers(0, 50, (4, 20, 30)).astype(np.float32)
    remaining = rng.integers(1, 3000, 4).astype(float)
    never = np.full(4, np.nan)
    more, fewer = ends(paths, remaining, never), ends(paths, remaining - less, never)
    for column in ("p_7", "p_14", "p_30", "p_volume_30"):
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
