"""The figures of the last days say when forecasts no longer hold, and chance alone does not."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from ml.forecasting.drift import SCORES_SCHEMA, drift

AS_OF = date(2026, 3, 10)


def scores(days: int = 3, *, sims: int = 1000, **figures: float) -> pl.DataFrame:
    """Scored days up to AS_OF, all alike; a healthy model unless a figure says otherwise."""
    healthy = {
        "error": 0.4,
        "baseline_error": 0.5,
        "rmase": 0.8,
        "coverage_80": 0.81,
        "coverage_95": 0.95,
        "bias": 0.0,
        "above_median": 0.5,
        "promised_80": 0.8,
    }
    row = {"horizon": "1-7", "model_version": 1, "sims": sims, "n": 7 * sims} | healthy | figures
    return pl.DataFrame([{"day": AS_OF - timedelta(days=k)} | row for k in range(days)], schema=SCORES_SCHEMA)


def test_a_healthy_model_gives_no_warning() -> None:
    assert drift(scores(), as_of=AS_OF) == []
    assert drift(scores(sims=10_000, coverage_80=0.77, error=0.5), as_of=AS_OF) == []


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({"coverage_80": 0.6}, "the 80 % interval held 60 %"),
        ({"error": 0.7, "rmase": 1.4}, "the error was 1.40 times that of repeating last week"),
        ({"above_median": 0.9}, "90 % of usages lay above the median"),
        ({"above_median": 0.1}, "90 % of usages lay below the median"),
    ],
)
def test_each_way_to_go_bad_is_named_with_its_figures(figures: dict[str, float], said: str) -> None:
    (found,) = drift(scores(**figures), as_of=AS_OF)
    assert found.startswith(said)
    assert "over 3 day(s) up to 2026-03-10 (21,000 forecasts of 1,000 SIMs)" in found


def test_two_bad_days_of_three_are_enough_and_days_long_past_do_not_count() -> None:
    mixed = pl.concat([scores(2, coverage_80=0.3), scores(3).tail(1)])
    assert len(drift(mixed, as_of=AS_OF)) == 1
    assert drift(scores(coverage_80=0.1), as_of=AS_OF + timedelta(days=3)) == []


def test_nothing_scored_is_no_warning() -> None:
    assert drift(pl.DataFrame(schema=SCORES_SCHEMA), as_of=AS_OF) == []
    unknown = scores().with_columns(pl.lit(None, pl.Float64).alias(name) for name in ("error", "above_median"))
    assert drift(unknown, as_of=AS_OF) == []


@pytest.mark.parametrize("sims", [30, 300, 3000])
def test_chance_alone_warns_at_most_once_in_a_hundred_days(sims: int) -> None:
    """Each SIM misses on all of its days or on none, as badly as chance can gather."""
    generator = np.random.default_rng(7)
    warned = 0
    for _ in range(500):
        covered, above = generator.random(sims) < 0.8, generator.random(sims) < 0.5
        missed = generator.exponential(0.4, sims)  # where one forecast misses by much, the other does too
        error, naive = missed.mean(), (missed * generator.uniform(0.4, 2.1, sims)).mean()
        frame = scores(
            sims=sims,
            coverage_80=float(covered.mean()),
            above_median=float(above.mean()),
            error=error,
            baseline_error=naive,
        )
        warned += bool(drift(frame, as_of=AS_OF))
    assert warned <= 5
