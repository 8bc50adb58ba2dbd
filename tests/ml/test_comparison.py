"""Champion and new version on the same SIMs and days, unseen by both."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from ml.forecasting import fit, predict, quantile_column
from ml.forecasting.comparison import CHAMPION, NAIVE, NEW, compare

AS_OF = date(2026, 3, 10)
DAYS = 150


@pytest.fixture(scope="module")
def history() -> pl.DataFrame:
    """60 SIMs with a weekly rhythm and noise."""
    generator = np.random.default_rng(3)
    week = generator.uniform(0.5, 1.5, (60, 7))
    level = generator.lognormal(14, 1, (60, 1))
    values = level * np.tile(week, (1, -(-DAYS // 7)))[:, :DAYS] * generator.lognormal(0, 0.3, (60, DAYS))
    days = [AS_OF - timedelta(days=DAYS - 1 - k) for k in range(DAYS)]
    return pl.DataFrame(
        {
            "sim_key": pl.Series(np.repeat(np.arange(1, 61), DAYS), dtype=pl.Int32),
            "day": days * 60,
            "bytes": pl.Series(values.ravel().round(), dtype=pl.Int64),
        }
    )


def champion_as_of(history: pl.DataFrame, day: date):  # type: ignore[no-untyped-def]
    return fit(history.filter(pl.col("day") <= day), as_of=day, horizon=30, seed=7)


def test_only_days_after_what_the_champion_knew_are_compared(history: pl.DataFrame) -> None:
    found = compare(history, champion_as_of(history, AS_OF - timedelta(days=16)), as_of=AS_OF)

    windows = found.frame.filter(pl.col("window") != "all")
    assert windows["window"].unique().sort().to_list() == [str(AS_OF - timedelta(days=back)) for back in (14, 7)]
    assert set(windows["model"]) == {NEW, CHAMPION, NAIVE}
    assert dict(windows.select("window", "days").unique().iter_rows()) == {
        str(AS_OF - timedelta(days=14)): 14,
        str(AS_OF - timedelta(days=7)): 7,
    }
    assert windows["n"].unique().to_list() == [60]
    assert found.worse == ""
    assert found.summary["rmase"] < 1


def test_the_same_method_that_learnt_the_same_ties(history: pl.DataFrame) -> None:
    found = compare(history, champion_as_of(history, AS_OF - timedelta(days=7)), as_of=AS_OF)

    for name in ("rmase", "pinball", "coverage_80"):
        assert found.summary[name] == pytest.approx(found.summary[f"champion_{name}"])


def test_a_window_is_scored_as_it_would_be_by_hand(history: pl.DataFrame) -> None:
    origin = AS_OF - timedelta(days=7)
    champion = champion_as_of(history, origin)
    found = compare(history, champion, as_of=AS_OF)

    known, came = history.filter(pl.col("day") <= origin), history.filter(pl.col("day") > origin)
    frame = predict(champion, known, as_of=origin, horizon=7).frame.join(came, on=["sim_key", "day"])
    held = frame.select(
        ((pl.col("bytes") >= pl.col(quantile_column(0.1))) & (pl.col("bytes") <= pl.col(quantile_column(0.9)))).mean()
    )
    assert found.summary["champion_coverage_80"] == pytest.approx(held.item())


def test_a_champion_that_knows_all_days_leaves_nothing_to_compare(history: pl.DataFrame) -> None:
    for back in (0, 6):
        found = compare(history, champion_as_of(history, AS_OF - timedelta(days=back)), as_of=AS_OF)
        assert found.summary == {}
        assert "no week after" in found.note
        assert found.worse == ""


def test_a_champion_whose_intervals_are_broken_loses_by_pinball_loss(history: pl.DataFrame) -> None:
    champion = champion_as_of(history, AS_OF - timedelta(days=14))
    found = compare(history, replace(champion, table=champion.table * 8), as_of=AS_OF)

    assert found.summary["pinball"] < found.summary["champion_pinball"]
    assert found.worse == ""
