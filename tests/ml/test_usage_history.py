"""The usage history frame: its rules, and missing days."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from ml.history import USAGE_SCHEMA, check_history, dense, usable_rows

AS_OF = date(2026, 3, 10)


def rows(*values: tuple[int, int, int | None]) -> pl.DataFrame:
    """A history of (SIM, days before AS_OF, bytes)."""
    days = [(sim, AS_OF - timedelta(days=back), volume) for sim, back, volume in values]
    return pl.DataFrame(days, schema=USAGE_SCHEMA, orient="row")


def test_a_missing_day_is_zero_after_the_first_record_and_unknown_before() -> None:
    panel = dense(rows((4, 3, 10), (4, 1, 30), (9, 1, 5)), as_of=AS_OF)
    assert panel.sim_keys.tolist() == [4, 9]
    np.testing.assert_array_equal(panel.values, [[10, 0, 30, 0], [np.nan, np.nan, 5, 0]])


def test_a_sim_last_heard_of_before_the_look_back_is_kept_as_zeros() -> None:
    panel = dense(rows((1, 50, 10), (2, 0, 3)), as_of=AS_OF, lookback_days=4)
    np.testing.assert_array_equal(panel.values, [[0, 0, 0, 0], [np.nan, np.nan, np.nan, 3]])


@pytest.mark.parametrize(
    ("history", "what"),
    [
        (rows((3, 2, 1), (8, 1, 4), (8, 1, 5)), "the same day twice: SIM 8, day 2026-03-09"),
        (rows((3, 2, 1), (5, 4, -1)), "negative bytes: SIM 5, day 2026-03-06"),
        (rows((3, 2, 1), (6, -1, 7)), "a day after as_of 2026-03-10: SIM 6, day 2026-03-11"),
        (rows((3, 2, None)), "a missing value: SIM 3, day 2026-03-08"),
        (rows((3, 2, 1)).drop("bytes"), r"lacks the column\(s\) bytes"),
        (rows((3, 2, 1)).cast({"bytes": pl.Float64}), "has the schema"),
    ],
)
def test_a_broken_history_is_refused_by_sim_and_day(history: pl.DataFrame, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        check_history(history, as_of=AS_OF)


def test_a_refused_row_leaves_its_day_unknown_and_is_told() -> None:
    broken = rows(
        (1, 3, 10),
        (1, 2, -4),
        (1, 0, 6),
        (2, 1, 5),
        (2, 1, 7),
        (2, 4, 1),
        (3, 2, None),
        (4, 2, 8),
        (4, 2, 8),
        (4, -2, 1),
    )
    panel = dense(broken, as_of=AS_OF)
    assert panel.sim_keys.tolist() == [1, 2, 4]
    nan = np.nan
    np.testing.assert_array_equal(panel.values, [[nan, 10, nan, 0, 6], [1, 0, 0, nan, 0], [nan, nan, 8, 0, 0]])
    assert panel.problems.rows() == [
        (1, "negative bytes", 1),
        (2, "the same day twice, with different bytes", 2),
        (4, "a day after as_of", 1),
        (4, "the same row twice", 1),
    ]


def test_a_day_without_bytes_is_unknown_and_no_problem() -> None:
    panel = dense(rows((1, 3, 10), (1, 1, 4), (1, 0, None), (2, 1, 5), (2, 1, None), (3, 1, None)), as_of=AS_OF)
    assert panel.sim_keys.tolist() == [1, 2]
    np.testing.assert_array_equal(panel.values, [[10, 0, 4, np.nan], [np.nan, np.nan, 5, 0]])
    assert panel.problems.is_empty()


def test_a_history_without_problems_is_passed_on_as_it_is() -> None:
    good, problems = usable_rows(rows((1, 3, 10), (2, 0, 4)), as_of=AS_OF)
    assert good.rows() == rows((1, 3, 10), (2, 0, 4)).rows()
    assert problems.is_empty()


def test_a_frame_of_another_schema_is_refused_as_a_whole() -> None:
    with pytest.raises(ValueError, match="lacks the column"):
        dense(rows((1, 3, 10)).drop("day"), as_of=AS_OF)
