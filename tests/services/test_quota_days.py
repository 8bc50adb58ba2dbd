"""Days laid out from looks at a quota."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.quota_days import DAYS_SCHEMA, KNOWN_SCHEMA, LOOKS_SCHEMA, days_of_looks

START = datetime(2026, 6, 1, tzinfo=UTC)
DAY = START.date()


def looks(*seen: tuple[float, int], sim: int = 1) -> pl.DataFrame:
    """Looks at so many days after the start, with so much used."""
    rows = [(sim, START + timedelta(days=days), used) for days, used in seen]
    return pl.DataFrame(rows, schema=LOOKS_SCHEMA, orient="row")


def told(days: dict[int, int] | None) -> pl.DataFrame:
    rows = [(1, DAY + timedelta(days=day), amount) for day, amount in (days or {}).items()]
    return pl.DataFrame(rows, schema=KNOWN_SCHEMA, orient="row")


def laid(
    frame: pl.DataFrame, known: dict[int, int] | None = None, partial: dict[int, int] | None = None
) -> list[tuple[Any, ...]]:
    found = days_of_looks(frame, told(known), told(partial))
    assert found.schema == DAYS_SCHEMA
    number = [(row["day"] - DAY).days for row in found.iter_rows(named=True)]
    spread = [
        None if row["spread_from"] is None else ((row["spread_from"] - DAY).days, (row["spread_to"] - DAY).days)
        for row in found.iter_rows(named=True)
    ]
    return list(zip(number, found["amount"], found["grade"], spread, strict=True))


def test_looks_at_midnight_know_each_day() -> None:
    assert laid(looks((0, 500), (1, 510), (2, 540))) == [(0, 10, "B", None), (1, 30, "B", None)]


def test_looks_at_noon_share_their_use_among_the_two_days_and_leave_the_first_out() -> None:
    assert laid(looks((0.5, 0), (1.5, 10), (2.5, 30))) == [(1, 15, "B", None), (2, 10, "B", None)]


def test_of_a_long_stretch_only_the_sum_is_known() -> None:
    assert laid(looks((0, 0), (4, 402))) == [
        (0, 100, "C", (0, 3)),
        (1, 101, "C", (0, 3)),
        (2, 100, "C", (0, 3)),
        (3, 101, "C", (0, 3)),
    ]


def test_a_long_stretch_without_use_is_known_day_by_day() -> None:
    assert laid(looks((0, 7), (3, 7))) == [(day, 0, "B", None) for day in range(3)]


def test_days_known_better_are_left_out_and_taken_off_the_stretch() -> None:
    assert laid(looks((0, 0), (4, 400)), {1: 250, 2: 50}) == [(0, 50, "C", (0, 3)), (3, 50, "C", (0, 3))]
    # one day is left: it is known then; and a better source that says more than the quota leaves nothing
    assert laid(looks((0, 0), (4, 400)), {0: 100, 1: 100, 2: 50}) == [(3, 150, "B", None)]
    assert laid(looks((0, 0), (3, 300)), {0: 400}) == [(1, 0, "B", None), (2, 0, "B", None)]


def test_days_known_in_part_are_lower_bounds_of_their_stretch() -> None:
    all_three = [(0, 43, "C", (0, 2)), (1, 33, "C", (0, 2)), (2, 24, "C", (0, 2))]
    assert laid(looks((0, 0), (3, 100)), partial={0: 40, 1: 30, 2: 20}) == all_three
    # beside days that are exact, and days that nobody told
    assert laid(looks((0, 0), (3, 100)), {0: 40}, {1: 30}) == [(1, 44, "C", (1, 2)), (2, 16, "C", (1, 2))]
    # the only day left is known by the others
    assert laid(looks((0, 0), (3, 100)), {0: 40, 1: 20}, {0: 7, 2: 30}) == [(2, 40, "B", None)]
    # the parts are the whole sum, or more than it: they stay, and nothing is left for the other days
    assert laid(looks((0, 0), (3, 70)), partial={0: 40, 1: 30}) == [(2, 0, "B", None)]
    assert laid(looks((0, 0), (3, 60)), partial={0: 40, 1: 30, 2: 20}) == []
    # looks that know the day know it better
    assert laid(looks((0, 0), (1, 10), (2, 40)), partial={0: 9, 1: 90}) == [(0, 10, "B", None), (1, 30, "B", None)]


def test_what_was_taken_back_is_used_again_before_it_counts() -> None:
    assert [row[1] for row in laid(looks((0, 100), (1, 80), (2, 90), (3, 130)))] == [0, 0, 30]


def test_the_rest_of_a_day_after_a_long_stretch_keeps_it_known() -> None:
    rows = laid(looks((0, 0), (3.1, 310), (4, 400)))
    assert rows[:3] == [(0, 100, "C", (0, 2)), (1, 100, "C", (0, 2)), (2, 100, "C", (0, 2))]
    assert rows[3] == (3, 100, "B", None)


def test_a_weeks_looks_meet_within_a_day_that_belongs_to_one_of_them() -> None:
    rows = laid(looks((0, 0), (7.25, 725), (14, 725 + 675)))
    assert [row[1] for row in rows] == [100] * 14
    assert {row[3] for row in rows} == {(0, 6), (7, 13)}


@given(
    st.lists(st.tuples(st.integers(1, 40 * 24 * 60), st.integers(0, 10**12)), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(0, 45), st.integers(0, 10**9)), max_size=10),
)
def test_the_days_add_up_to_what_was_used(steps: list[tuple[int, int]], known: list[tuple[int, int]]) -> None:
    seen, minutes, used = [(0.0, 0)], 0, 0
    for passed, step in steps:
        minutes, used = minutes + passed, used + step
        seen.append((minutes / 1440, used))
    other = looks((0, 0), (2, 10), sim=2)
    both = pl.concat([looks(*seen), other])
    found = days_of_looks(both).filter(pl.col("sim_key") == 1)
    assert found["amount"].sum() == used
    assert (found["amount"] >= 0).all()
    assert found["day"].to_list() == sorted(set(found["day"]))
    assert found.filter(pl.col("grade") == "C")["spread_from"].null_count() == 0
    days = [(1, DAY + timedelta(days=day), amount) for day, amount in dict(known).items()]
    rest = days_of_looks(both, pl.DataFrame(days, schema=KNOWN_SCHEMA, orient="row"))
    assert rest.join(pl.DataFrame(days, schema=KNOWN_SCHEMA, orient="row"), on=["sim_key", "day"]).is_empty()
    assert (rest["amount"] >= 0).all()


@given(
    st.integers(2, 9),
    st.integers(1, 10**13),
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 10**12), st.booleans()), max_size=9),
)
def test_a_stretch_adds_up_with_what_is_known_of_its_days_and_no_day_is_below_its_part(
    length: int, used: int, others: list[tuple[int, int, bool]]
) -> None:
    exact = {day: amount for day, amount, is_exact in others if is_exact and day < length}
    parts = {day: amount for day, amount, is_exact in others if not is_exact and day < length}
    found = {row[0]: row for row in laid(looks((0, 0), (length, used)), exact, parts)}
    parts = {day: amount for day, amount in parts.items() if day not in exact}
    left = used - sum(exact.values())
    assert not found.keys() & exact.keys()
    assert found.keys() | exact.keys() | parts.keys() == set(range(length)), "every day is told"
    assert all(found[day][1] >= amount for day, amount in parts.items() if day in found)
    if left > sum(parts.values()):
        assert sum(row[1] for row in found.values()) == left
        assert found.keys() == set(range(length)) - exact.keys()
    else:
        assert found.keys().isdisjoint(day for day, amount in parts.items() if amount)
        assert all(row[1:3] == (0, "B") for row in found.values())


def test_no_looks_no_days() -> None:
    assert days_of_looks(pl.DataFrame(schema=LOOKS_SCHEMA)).schema == DAYS_SCHEMA
    assert days_of_looks(looks((0, 5))).is_empty()
    assert days_of_looks(looks((0, 5), (0.2, 6)))["day"].to_list() == [date(2026, 6, 1)]
