"""What an answer says beside its rows; periods and numbers in words; what is missing or old."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from services.questions.answers import EXAMPLES
from services.questions.grammar import read
from tests.services.questions.conftest import Fleet

TODAY = date(2026, 1, 11)  # a Sunday


@pytest.mark.parametrize(
    ("words", "first", "last"),
    [
        ("yesterday", "2026-01-10", "2026-01-10"),
        ("vorgestern", "2026-01-09", "2026-01-09"),
        ("in den letzten 30 Tagen", "2025-12-12", "2026-01-10"),
        ("over the past two weeks", "2025-12-28", "2026-01-10"),
        ("last week", "2025-12-29", "2026-01-04"),
        ("this month", "2026-01-01", "2026-01-31"),
        ("diese Woche", "2026-01-05", "2026-01-11"),
        ("last quarter", "2025-10-01", "2025-12-31"),
        ("im letzten Jahr", "2025-01-01", "2025-12-31"),
        ("in Q3 2025", "2025-07-01", "2025-09-30"),
        ("since May", "2025-05-01", "2026-01-11"),
        ("seit dem 3. Januar", "2026-01-03", "2026-01-11"),
        ("in March 2026", "2026-03-01", "2026-03-31"),
        ("im März", "2025-03-01", "2025-03-31"),
        ("from December 1 to December 24", "2025-12-01", "2025-12-24"),
        ("vom 01.12.2025 bis 24.12.2025", "2025-12-01", "2025-12-24"),
        ("on Friday", "2026-01-09", "2026-01-09"),
        ("3 days ago", "2026-01-08", "2026-01-08"),
        ("vor einer Woche", "2026-01-04", "2026-01-04"),
        ("in 2025", "2025-01-01", "2025-12-31"),
        ("between November and December", "2025-11-01", "2025-12-31"),
        ("month to date", "2026-01-01", "2026-01-11"),
        ("in KW 1", "2025-12-29", "2026-01-04"),
        ("week 45 of 2025", "2025-11-03", "2025-11-09"),
        ("since Monday", "2026-01-05", "2026-01-11"),
        ("vom 24.12. bis 6.1.", "2025-12-24", "2026-01-06"),
        ("1 Dec - 7 Dec", "2025-12-01", "2025-12-07"),
        ("in the second half of December", "2025-12-16", "2025-12-31"),
        ("Ende Dezember", "2025-12-21", "2025-12-31"),
        ("in the last week of November", "2025-11-24", "2025-11-30"),
        ("in the last 48 hours", "2026-01-09", "2026-01-10"),
        ("last weekend", "2026-01-03", "2026-01-04"),
        ("vorletzten Monat", "2025-11-01", "2025-11-30"),
        ("im 2. Halbjahr", "2025-07-01", "2025-12-31"),
        ("before 1 January 2026", "2000-01-01", "2025-12-31"),
    ],
)
def test_periods(words: str, first: str, last: str) -> None:
    period = read(f"usage {words}", TODAY).question.period
    assert period is not None
    assert (str(period.first), str(period.last)) == (first, last)


@pytest.mark.parametrize(
    ("words", "mb"),
    [
        ("1 GB", 1000),
        ("1.5 GB", 1500),
        ("1,500 MB", 1500),
        ("500kb", 0.5),
        ("half a GB", 500),
        ("2 TB", 2_000_000),
        ("100 megabytes", 100),
    ],
)
def test_units(words: str, mb: float) -> None:
    (limit,) = read(f"SIMs that used more than {words} yesterday", TODAY).question.comparisons
    assert limit.value == mb


@pytest.mark.parametrize(
    ("words", "mb"), [("1,5 GB", 1500), ("1.500 MB", 1500), ("ein halbes GB", 500), ("0,5 MB", 0.5)]
)
def test_units_in_german(words: str, mb: float) -> None:
    (limit,) = read(f"Welche SIMs haben gestern mehr als {words} verbraucht?", TODAY).question.comparisons
    assert limit.value == mb


def test_an_answer_says_what_it_rests_on(fleet: Fleet) -> None:
    answer = fleet.ask("Which SIMs used more than 1 GB?")
    assert answer.as_of == date(2026, 1, 10)
    assert answer.data_age_days == 0
    assert answer.assumed == ["Without a period it is the last 30 days."]
    assert "%(limit)s" in answer.sql
    assert answer.parameters["limit"] == 1000
    assert answer.unit == "MB"
    assert answer.sentence.startswith("3 SIMs used more than 1,000 MB from 2025-12-12 to 2026-01-10.")
    german = fleet.ask("Welche SIMs haben mehr als 1,5 GB verbraucht?")
    assert german.sentence.startswith("1 SIM hat vom 2025-12-12 bis 2026-01-10 mehr als 1.500 MB verbraucht: ")
    assert german.assumed == ["Ohne Zeitraum sind es die letzten 30 Tage."]


def test_charts_fit_what_is_asked(fleet: Fleet) -> None:
    assert fleet.ask("usage per day last week").chart == "line"
    assert fleet.ask("usage by country last week").chart == "bar"
    assert fleet.ask("How many SIMs?").chart == "number"
    assert fleet.ask("silent SIMs").chart == "table"


def test_yesterday_is_the_last_day_there_is_when_data_is_old_and_that_is_said(fleet: Fleet) -> None:
    answer = fleet.ask("more than 1 GB yesterday", now=datetime(2026, 2, 1, tzinfo=UTC))
    assert len(answer.rows) == 2
    assert any("2026-01-10" in note for note in answer.assumed)
    assert answer.data_age_days == 21


def test_what_has_no_sim_is_said_and_lists_name_their_first_row(fleet: Fleet) -> None:
    assert fleet.ask("usage of 8988280666000000099").sentence == "There are no SIMs with ICCID 8988280666000000099."
    assert fleet.ask("Verbrauch in Polen gestern").sentence == "Es gibt keine SIMs in Polen."
    top = fleet.ask("top 3 SIMs by usage yesterday").sentence
    assert top.endswith("on 2026-01-10: first 8988280666000000008 (alarm-08) with 2,500 MB.")
    share = fleet.ask("what share of our SIMs was inactive last month?").sentence
    assert share == "2 of 24 SIMs had no usage from 2025-12-01 to 2025-12-31: 8.33 %."
    assert "Operators here: AT&T, Orange, TIM, Telekom." in fleet.ask("usage on operator Verizon yesterday").sentence


def test_more_rows_than_are_shown_are_said(fleet: Fleet) -> None:
    assert not fleet.ask("list all SIMs").more
    assert len(fleet.ask("top 3 SIMs by usage yesterday").rows) == 3


def test_a_mistyped_word_is_mended_and_that_is_said(fleet: Fleet) -> None:
    answer = fleet.ask("more than 1 GB yesteday")
    assert len(answer.rows) == 2
    assert answer.assumed == ["'yesteday' was read as 'yesterday'."]


@pytest.mark.parametrize("language", ["en", "de"])
def test_every_example_is_understood(fleet: Fleet, language: str) -> None:
    for text in EXAMPLES[language]:
        answer = fleet.ask(text)
        assert answer.understood, (text, answer.sentence)
        assert answer.language == language, text


def test_a_missing_view_is_a_clear_answer(fleet: Fleet) -> None:
    fleet.administrator.execute("ALTER VIEW predictions.churn_risks_v1 RENAME TO away")
    try:
        answer = fleet.ask("SIMs with high churn risk")
        assert not answer.understood
        assert "predictions.churn_risks_v1 is missing" in answer.sentence
    finally:
        fleet.administrator.execute("ALTER VIEW predictions.away RENAME TO churn_risks_v1")


def test_a_total_forecast_is_the_published_one_and_a_sum_of_sims_is_said(fleet: Fleet) -> None:
    whole = fleet.ask("Was verbraucht die Flotte in den nächsten 30 Tagen?")
    assert whole.rows == [{"value": 1800, "low": 1440, "high": 2160, "sims": 8, "sum_of_sims": False}]
    assert whole.sentence == (
        "Prognostizierter Verbrauch in den nächsten 30 Tagen: 1.800 MB "
        "(mit 80 % Wahrscheinlichkeit zwischen 1.440 und 2.160 MB)."
    )
    assert whole.assumed == []
    summed = fleet.ask("forecast for Germany or France for the next 7 days")
    assert summed.rows[0]["sum_of_sims"]
    assert summed.assumed == ["It is the sum of the forecasts of its SIMs: it is not forecast as a whole."]
    assert "in Germany or France within the next 7 days" in summed.sentence
