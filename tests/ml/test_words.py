"""Numbers, shares and dates for people: one way each, and none that claims what is not known."""

from datetime import UTC, date, datetime

import pytest

from ml.words import change, churn_fact, count, day, megabytes, percent, so_many, span

AS_OF = date(2026, 6, 28)


@pytest.mark.parametrize(
    ("share", "digits", "text"),
    [
        (0.0, 0, "0 %"),
        (1.6e-281, 0, "under 1 %"),
        (0.004, 0, "under 1 %"),
        (0.005, 0, "1 %"),
        (0.934, 0, "93 %"),
        (0.935, 0, "94 %"),
        (0.975308644, 0, "98 %"),
        (0.996, 0, "over 99 %"),
        (1.0, 0, "100 %"),
        (1.2, 0, "120 %"),
        (0.1234, 1, "12.3 %"),
        (0.0004, 1, "under 0.1 %"),
        (0.9996, 1, "over 99.9 %"),
        (None, 0, "unknown"),
        (float("nan"), 0, "unknown"),
    ],
)
def test_a_share_is_rounded_and_never_to_certainty(share: float | None, digits: int, text: str) -> None:
    assert percent(share, digits) == text


@pytest.mark.parametrize(
    ("value", "before", "text"),
    [(112, 100, "+12 %"), (88, 100, "-12 %"), (998, 1000, "unchanged"), (1002, 1000, "unchanged"), (5, 0, "")],
)
def test_a_change_that_rounds_to_nothing_has_no_sign(value: float, before: float, text: str) -> None:
    assert change(value, before) == text


def test_volumes_have_about_three_figures() -> None:
    volumes = [None, 0, 100, 123_456, 1_234_567, 12_345_678, 123_456_789, 1_234_567_890, -5_000_000]
    assert [megabytes(volume) for volume in volumes] == [
        "unknown", "0", "under 0.001", "0.123", "1.23", "12.3", "123", "1,235", "-5.00",
    ]  # fmt: skip
    assert count(1_234_567) == "1,234,567"


@pytest.mark.parametrize(
    ("first", "last", "text"),
    [
        (date(2026, 7, 1), date(2026, 7, 9), "2026-07-01 to 2026-07-09"),
        (date(2026, 7, 1), date(2026, 7, 1), "2026-07-01"),
        (date(2026, 12, 27), date(2035, 8, 18), "from 2026-12-27, perhaps not before 2035"),
        (date(2026, 12, 27), None, "from 2026-12-27, perhaps not within ten years"),
        (date(2031, 1, 1), None, "not before 2031"),
        (None, None, "unknown"),
    ],
)
def test_a_span_says_what_a_person_can_use(first: date | None, last: date | None, text: str) -> None:
    assert span(first, last, as_of=AS_OF) == text


def test_a_day_is_a_day_whatever_it_comes_as() -> None:
    assert day(datetime(2026, 6, 28, 23, tzinfo=UTC)) == day(AS_OF) == "2026-06-28"
    assert day(None) == "unknown"


def test_one_is_not_said_as_many() -> None:
    assert [so_many(n, "SIM", "has", "have") for n in (0, 1, 2, 1001)] == [
        "0 SIMs have",
        "1 SIM has",
        "2 SIMs have",
        "1,001 SIMs have",
    ]
    assert so_many(1, "day") == "1 day"
    said = [("days_since_activity", 1.0), ("usual_gap", 1.0), ("usual_gap", 21.0), ("group_size", 1.0)]
    assert [churn_fact(name, value) for name, value in said] == [
        "nothing was heard of it for 1 day",
        "it reports every 1 day at the longest",
        "it reports every 21 days at the longest",
        "its place has 1 other SIM",
    ]
    assert churn_fact("tickets_90", 1.0) == "1 ticket about it in 90 days"
    assert churn_fact("anomaly_days_30", 1.0) == "1 anomalous day in 30 days"
