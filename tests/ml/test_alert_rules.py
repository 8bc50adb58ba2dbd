"""Alerts: the right kind, loudness and sentence, and nobody called silent for keeping to its habits."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.alerts import ALERT_SCHEMA, FACTS_SCHEMA, AlertRules, alert_candidates
from ml.history import USAGE_SCHEMA
from ml.silence import SILENCE_SCHEMA, severity, silence, silent_since
from tests.conftest import examples

MakeHistory = Callable[..., pl.DataFrame]
AS_OF = date(2026, 3, 31)


def facts(**values: Any) -> pl.DataFrame:
    return pl.DataFrame([dict.fromkeys(FACTS_SCHEMA) | {"sim_key": 1, "as_of": AS_OF} | values], schema=FACTS_SCHEMA)


def slow_silence(active: list[int], days: int) -> tuple[int | None, float | None, bool]:
    """(days silent, usual gap, silent?) of one SIM whose active days are these, of `days` days."""
    if not active:
        return None, None, False
    since = days - 1 - active[-1]
    if len(active) < 14:
        return since, None, False
    gaps = sorted(b - a for a, b in pairwise(active))
    usual = gaps[int(np.ceil(0.99 * (len(gaps) - 1)))]
    return since, usual, since > max(3, 2 * usual)


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(st.lists(st.sampled_from([0, 0, 7]), min_size=70, max_size=70), min_size=1, max_size=4))
def test_silence_agrees_with_walking_each_sim(volumes: list[list[int]]) -> None:
    rows = [
        (sim, AS_OF - timedelta(days=69 - t), v) for sim, values in enumerate(volumes) for t, v in enumerate(values)
    ]
    found = silence(
        pl.DataFrame(rows, schema=USAGE_SCHEMA, orient="row").sample(fraction=1, shuffle=True, seed=1), as_of=AS_OF
    )
    assert dict(found.schema) == SILENCE_SCHEMA
    for values, row in zip(volumes, found.iter_rows(named=True), strict=True):
        expected = slow_silence([t for t, v in enumerate(values) if v], 70)
        assert (row["days_silent"], row["usual_gap_days"], row["is_silent"]) == expected


def test_only_a_break_of_habit_is_silence(make_history: MakeHistory) -> None:
    t = np.arange(140)
    stopped = np.ones(140)
    stopped[-4:] = 0
    late = np.ones(140)
    late[-3:] = 0
    weekend = (AS_OF.weekday() - (139 - t)) % 7 < 5
    sims = {
        "daily, stopped 4 days ago": stopped,
        "daily, 3 days late": late,
        "rests at weekends": weekend & (t < 138),
        "reports every 9 days": t % 9 == 0,
        "never active": np.zeros(140),
        "new and quiet": np.where(t > 120, (t < 126) * 1.0, np.nan),
    }
    found = silence(make_history(np.array(list(sims.values()), dtype=float) * 100), as_of=AS_OF)
    assert dict(zip(sims, found["is_silent"], strict=True)) == {name: name.endswith("4 days ago") for name in sims}


def test_missing_days_count_as_silent_days(make_history: MakeHistory) -> None:
    history = make_history(np.ones((1, 60))).filter(pl.col("day") <= AS_OF - timedelta(days=10))
    assert silence(history, as_of=AS_OF).row(0, named=True)["days_silent"] == 10


@pytest.mark.parametrize(
    ("p_14", "severity"),
    [(None, None), (0.19, None), (0.2, "info"), (0.5, "warning"), (0.9, "critical"), (1.0, "critical")],
)
def test_the_likelier_the_end_the_louder_the_alert(p_14: float | None, severity: str | None) -> None:
    found = alert_candidates(facts(p_14=p_14, p50_date=date(2026, 4, 9)))
    assert found["severity"].to_list() == ([severity] if severity else [])


def test_an_alert_says_what_how_much_and_when() -> None:
    found = alert_candidates(
        facts(
            p_14=0.934,
            p50_date=date(2026, 4, 9),
            quota_total=500_000_000,
            quota_left=12_345_678,
            last_active_day=date(2026, 3, 22),
            active_gap_p99_days=1.0,
        )
    )
    assert dict(found.schema) == ALERT_SCHEMA
    assert found.select("kind", "severity", "threshold", "message").rows() == [
        (
            "exhaustion",
            "critical",
            0.9,
            "Volume or validity ends within 14 days with a probability of 93 %; most likely by 2026-04-09.",
        ),
        ("quota_80", "warning", 0.8, "98 % of the volume is used: 12.3 MB of 500 MB are left."),
        ("silent", "critical", 7.0, "No usage for 9 days, since 2026-03-23; its longest usual gap is 1 day."),
    ]
    assert found["value"].to_list() == pytest.approx([0.934, 1 - 12_345_678 / 500_000_000, 9])


def test_an_end_without_a_date_still_has_a_sentence() -> None:
    assert alert_candidates(facts(p_14=0.3))["message"][0].endswith("a probability of 30 %.")


@pytest.mark.parametrize(
    ("left", "severity"), [(100_000_001, None), (100_000_000, "warning"), (0, "critical"), (-5_000_000, "critical")]
)
def test_eighty_per_cent_used_is_told_and_all_used_is_critical(left: int, severity: str | None) -> None:
    found = alert_candidates(facts(quota_total=500_000_000, quota_left=left))
    assert found["severity"].to_list() == ([severity] if severity else [])


@pytest.mark.parametrize(("days", "severity"), [(3, None), (4, "warning"), (6, "warning"), (7, "critical")])
def test_silence_is_told_when_it_is_longer_than_usual(days: int, severity: str | None) -> None:
    found = alert_candidates(facts(last_active_day=AS_OF - timedelta(days=days), active_gap_p99_days=1.0))
    assert found["severity"].to_list() == ([severity] if severity else [])


def test_missing_facts_raise_no_alert_and_no_error() -> None:
    found = alert_candidates(facts(quota_total=0, quota_left=0, last_active_day=date(2025, 1, 1)))
    assert found.is_empty()
    assert dict(found.schema) == ALERT_SCHEMA


def test_thresholds_are_rules_not_code() -> None:
    strict = AlertRules(quota_warning=0.5)
    assert alert_candidates(facts(quota_total=100, quota_left=40), strict)["threshold"].to_list() == [0.5]


def test_facts_that_cannot_be_right_are_refused() -> None:
    with pytest.raises(ValueError, match="SIM 1 twice"):
        alert_candidates(pl.concat([facts(), facts()]))
    with pytest.raises(ValueError, match="lack the column"):
        alert_candidates(facts().drop("p_14"))


def test_an_alert_and_an_anomaly_of_one_silence_have_the_same_since_and_severity() -> None:
    for silent_days in range(1, 12):
        last = AS_OF - timedelta(days=silent_days)
        alert = alert_candidates(facts(last_active_day=last, active_gap_p99_days=2.0))
        found = pl.DataFrame({"days": [silent_days], "last": [last], "gap": [2.0]}).select(
            loud=severity(pl.col("days"), "gap"), since=silent_since(pl.col("last"))
        )
        if alert.height:
            assert alert["severity"].to_list() == found["loud"].to_list()
            assert f"for {silent_days} days, since {found['since'][0]};" in alert["message"][0]
    assert alert.height, "the longest is an alert"
