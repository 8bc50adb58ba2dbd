"""The poll planner against a slow, obvious twin, and what it promises whatever the fleet."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest.poll_planner import (
    CLASSES,
    COST,
    INTERVAL_HOURS,
    PLAN_SCHEMA,
    PROMISED_HOURS,
    SOURCES,
    STALENESS_SCHEMA,
    STATE_SCHEMA,
    STREAMED_USAGE_HOURS,
    URGENT_SHARE,
    WEIGHT,
    classify,
    cost,
    fleet_cost,
    plan,
    staleness,
)

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ALL = sum(COST.values())
QUIET_SIM: dict[str, Any] = {
    **{f"{source}_at": NOW - HOUR for source in SOURCES},
    "answered_at": NOW - HOUR,
    "changed_at": NOW - 100 * HOUR,
    "streamed_at": None,
    "quota_status": 0,
    "p_14": 0.0,
    "exhausted": False,
    "refused": False,
    "alerting": False,
    "active": False,
}


def fleet(*sims: dict[str, Any]) -> pl.DataFrame:
    """A state of quiet SIMs asked an hour ago, each changed by the values given; numbered from 1."""
    rows = [{"sim_key": number, **QUIET_SIM, **sim} for number, sim in enumerate(sims, 1)]
    return pl.DataFrame(rows, schema=STATE_SCHEMA)


def asked(hours: float, **more: Any) -> dict[str, Any]:
    return {f"{source}_at": NOW - hours * HOUR for source in SOURCES} | more


# few distinct ages, so that equally late SIMs are common
known_moments = st.sampled_from([0.0, 0.5, 1, 2, 20, 40, 47, 60, 400]).map(lambda hours: NOW - hours * HOUR)
moments = st.none() | known_moments
states = st.lists(
    st.fixed_dictionaries(
        {
            **{f"{source}_at": moments for source in SOURCES},
            "answered_at": moments,
            "changed_at": known_moments,
            "streamed_at": moments,
            "quota_status": st.sampled_from([None, 0, 1, 2]),
            "p_14": st.sampled_from([None, 0.0, 0.09, 0.1, 0.5, 1.0]),
            "exhausted": st.sampled_from([None, False, True]),
            "refused": st.booleans(),
            "alerting": st.booleans(),
            "active": st.booleans(),
        }
    ),
    max_size=30,
).map(lambda sims: fleet(*sims))
budgets = st.integers(0, 400)


# --- the slow twin ---------------------------------------------------------------------------------------------------


def slow_class(sim: dict[str, Any]) -> str:
    ended = sim["exhausted"] if sim["quota_status"] is None else sim["quota_status"] == 2
    if sim["refused"] or ended:
        return "ended"
    likely = sim["quota_status"] == 1 if sim["p_14"] is None else sim["p_14"] >= 0.1
    if likely:
        return "urgent"
    if sim["alerting"] or sim["quota_status"] == 1:
        return "watched"
    return "active" if sim["active"] else "quiet"


def slow_class_for(sim: dict[str, Any], source: str) -> str:
    found = slow_class(sim)
    if sim[f"{source}_at"] is None or sim["changed_at"] > sim[f"{source}_at"]:
        found = "urgent"
    if source == "usage" and slow_streamed(sim):
        found = CLASSES[max(CLASSES.index(found), CLASSES.index("quiet"))]
    return found


def slow_streamed(sim: dict[str, Any]) -> bool:
    return sim["streamed_at"] is not None and sim["streamed_at"] >= NOW - 24 * HOUR


def slow_interval(sim: dict[str, Any], source: str) -> float:
    hours = INTERVAL_HOURS[slow_class_for(sim, source)][source]
    return max(hours, STREAMED_USAGE_HOURS) if source == "usage" and slow_streamed(sim) else hours


def slow_called_for(sim: dict[str, Any], source: str) -> float:
    """The interval that the division of the budget counts with: whether the SIM was asked does not matter there."""
    hours = INTERVAL_HOURS[slow_class(sim)][source]
    return max(hours, STREAMED_USAGE_HOURS) if source == "usage" and slow_streamed(sim) else hours


def slow_lateness(sim: dict[str, Any], source: str) -> float:
    last = sim[f"{source}_at"]
    return float("inf") if last is None else max((NOW - last) / HOUR, 0.0) / slow_interval(sim, source)


def slow_counts(sims: list[dict[str, Any]], budget: int) -> dict[str, int]:
    """Water poured into the sources' glasses a drop at a time: first up to what is called for, then up to everyone."""
    if budget >= len(sims) * ALL:
        return dict.fromkeys(SOURCES, len(sims))
    given: dict[str, float] = {}
    for source in SOURCES:
        given[source] = COST[source] if sum(COST[s] for s in (*given, source)) <= budget else 0
    left = budget - sum(given.values())
    called = {s: COST[s] * min(sum(1 / slow_called_for(sim, s) for sim in sims), len(sims)) for s in SOURCES}
    for wanted in (called, {s: COST[s] * len(sims) for s in SOURCES}):
        while left > 1e-6 and (thirsty := [s for s in SOURCES if given[s] < wanted[s] - 1e-6]):
            # the drop that fills the first glass, or takes the last of the water
            drop = min([left / sum(WEIGHT[s] for s in thirsty), *((wanted[s] - given[s]) / WEIGHT[s] for s in thirsty)])
            for s in thirsty:
                given[s] += drop * WEIGHT[s]
                left -= drop * WEIGHT[s]
    return {s: int(given[s] / COST[s] + 1e-6) for s in SOURCES}


def slow_plan(state: pl.DataFrame, budget: int) -> list[tuple[str, int]]:
    sims = state.to_dicts()
    counts = slow_counts(sims, budget)
    planned = []
    for source in SOURCES:
        count = min(counts[source], len(sims))
        queue = sorted(sims, key=lambda sim: (-slow_lateness(sim, source), sim["sim_key"]))
        urgent = [sim for sim in queue if slow_class_for(sim, source) == "urgent"]
        first = urgent[: int(counts[source] * URGENT_SHARE.get(source, 0.0))]
        rest = [sim for sim in queue if sim not in first][: count - len(first)]
        rest.sort(key=lambda sim: slow_class_for(sim, source) != "urgent")
        planned += [(source, sim["sim_key"]) for sim in first + rest]
    return planned


def rows(planned: pl.DataFrame) -> list[tuple[str, int]]:
    return list(planned.select("source", "sim_key").iter_rows())


@settings(max_examples=60, deadline=None)
@given(states, budgets)
def test_the_plan_is_the_one_of_the_slow_twin(state: pl.DataFrame, budget: int) -> None:
    assert rows(plan(state, now=NOW, budget=budget)) == slow_plan(state, budget)


@settings(max_examples=30, deadline=None)
@given(states)
def test_the_classes_are_those_of_the_slow_twin(state: pl.DataFrame) -> None:
    assert classify(state).to_list() == [slow_class(sim) for sim in state.to_dicts()]


# --- what holds for every fleet --------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(states, budgets)
def test_no_plan_goes_over_its_budget_and_nobody_stands_in_it_twice(state: pl.DataFrame, budget: int) -> None:
    planned = plan(state, now=NOW, budget=budget)

    assert cost(planned) <= budget
    assert not planned.select("source", "sim_key").is_duplicated().any()
    assert planned.schema == pl.Schema(PLAN_SCHEMA)
    # and nearly nothing of it is left over while somebody is not asked: less than one SIM's price a source
    assert cost(planned) > min(budget, fleet_cost(state.height)) - ALL


@settings(max_examples=30, deadline=None)
@given(states, budgets, st.randoms(use_true_random=False))
def test_the_plan_does_not_depend_on_the_order_of_the_rows(state: pl.DataFrame, budget: int, random: Any) -> None:
    places = list(range(state.height))
    random.shuffle(places)

    shuffled = plan(state[places] if places else state, now=NOW, budget=budget)

    assert shuffled.equals(plan(state, now=NOW, budget=budget))


@settings(max_examples=30, deadline=None)
@given(states, budgets, st.sampled_from(SOURCES))
def test_the_part_of_one_source_is_the_same_asked_for_alone(state: pl.DataFrame, budget: int, source: str) -> None:
    whole = plan(state, now=NOW, budget=budget)

    assert plan(state, now=NOW, budget=budget, sources=(source,)).equals(whole.filter(pl.col("source") == source))


@settings(max_examples=30, deadline=None)
@given(states, budgets)
def test_urgent_sims_are_asked_before_all_others(state: pl.DataFrame, budget: int) -> None:
    planned = plan(state, now=NOW, budget=budget)

    for source in SOURCES:
        urgent = planned.filter(pl.col("source") == source)["class"].to_numpy() == "urgent"
        assert not np.any(np.diff(urgent.astype(int)) > 0)


@settings(max_examples=30, deadline=None)
@given(states, st.integers(0, 30))
def test_where_everyone_fits_everyone_is_asked(state: pl.DataFrame, spare: int) -> None:
    everyone = sorted((source, key) for source in SOURCES for key in state["sim_key"])

    assert sorted(rows(plan(state, now=NOW, budget=fleet_cost(state.height) + spare))) == everyone
    assert sorted(rows(plan(state, now=NOW, budget=None))) == everyone


# --- over time -------------------------------------------------------------------------------------------------------


def oldest(state: pl.DataFrame, budget: int, passes: int, *, measured_from: int) -> dict[str, float]:
    """The greatest age in hours by source that hourly passes let anybody reach, once they have run for a while."""
    asked_at = {f"{source}_at": state[f"{source}_at"].to_list() for source in SOURCES}
    worst = dict.fromkeys(SOURCES, 0.0)
    for number in range(passes):
        now = NOW + number * HOUR
        state = state.with_columns(pl.Series(name, at, dtype=STATE_SCHEMA[name]) for name, at in asked_at.items())
        if number >= measured_from:
            for source in SOURCES:
                last = min(at or NOW for at in asked_at[f"{source}_at"])
                worst[source] = max(worst[source], (now - last) / HOUR)
        for source, key in rows(plan(state, now=now, budget=budget)):
            asked_at[f"{source}_at"][key - 1] = now
    return worst


@pytest.mark.parametrize(("budget", "urgent"), [(ALL, 7), (ALL + 3, 1)])
def test_nobody_is_starved_however_overloaded_the_fleet(budget: int, urgent: int) -> None:
    sims = [asked(1, p_14=1.0)] * urgent + [asked(1)] * (8 - urgent)

    worst = oldest(fleet(*sims), budget, 8 * 45, measured_from=0)

    # Whoever is asked needs lateness times its interval to be as late again: a SIM of lateness (others / slots) /
    # shortest interval sees everybody else asked at most once before it
    for source in SOURCES:
        count = plan(fleet(*sims), now=NOW, budget=budget, sources=(source,)).height
        passes = len(sims) / (count - int(count * URGENT_SHARE.get(source, 0.0)))
        hours = [by_source[source] for by_source in INTERVAL_HOURS.values()]
        assert worst[source] <= passes * (max(hours) / min(hours) + 1) + 1


def test_a_fleet_that_the_budget_can_carry_keeps_every_promise() -> None:
    # 6 % urgent, 10 % watched, 60 % active: what they call for fits
    sims = [asked(n % 40, p_14=1.0 if n % 50 < 3 else 0.0, alerting=n % 10 == 4, active=n % 10 < 6) for n in range(300)]
    called_for = sum(COST[s] / INTERVAL_HOURS[name][s] for s in SOURCES for name in classify(fleet(*sims)))

    worst = oldest(fleet(*sims), int(called_for) + ALL, 150, measured_from=50)

    assert max(worst["usage"], worst["quota"]) <= PROMISED_HOURS
    urgent = [sim for sim in sims if sim["p_14"] == 1.0]
    assert oldest(fleet(*urgent), len(urgent) * 4, 100, measured_from=50)["usage"] <= 2


def test_an_overload_of_urgent_sims_leaves_most_of_each_source_to_the_others() -> None:
    sims = [asked(1.5, p_14=1.0)] * 500 + [asked(100, active=True)] * 500

    planned = plan(fleet(*sims), now=NOW, budget=600)

    for source in ("usage", "quota"):
        of_source = planned.filter(pl.col("source") == source)["class"]
        assert (of_source == "urgent").sum() == int(of_source.len() * URGENT_SHARE[source])


# --- single rules ----------------------------------------------------------------------------------------------------


def first(state: pl.DataFrame, source: str = "usage") -> int:
    """Who is asked first for a source."""
    return int(plan(state, now=NOW, budget=None, sources=(source,))["sim_key"][0])


@pytest.mark.parametrize(
    ("what", "sim"),
    [
        ("likely to end", {"p_14": 0.1}),
        ("little left and no prediction", {"p_14": None, "quota_status": 1}),
        ("never asked", {"usage_at": None}),
        ("changed in the SIM list since it was asked", {"changed_at": NOW - 0.5 * HOUR}),
    ],
)
def test_a_sim_is_urgent_when_it_is(what: str, sim: dict[str, Any]) -> None:
    state = fleet(asked(30, active=True), {}, sim)

    assert first(state) == 3, what


def test_a_prediction_that_little_will_last_is_heeded() -> None:
    state = fleet({"quota_status": 1, "p_14": 0.01}, {"quota_status": 1, "p_14": None}, {"quota_status": 2})

    assert classify(state).to_list() == ["watched", "urgent", "ended"]


def test_a_topped_up_sim_is_no_longer_ended_whatever_yesterdays_prediction_says() -> None:
    state = fleet({"quota_status": 0, "exhausted": True, "active": True}, {"quota_status": None, "exhausted": True})

    assert classify(state).to_list() == ["active", "ended"]


def test_what_the_stream_shows_is_asked_for_rarely_and_its_quota_as_before() -> None:
    state = fleet({"p_14": 1.0, "streamed_at": NOW - HOUR}, {"p_14": 0.2}, asked(3))

    assert plan(state, now=NOW, budget=None, sources=("usage",))["sim_key"].to_list() == [2, 3, 1]
    assert first(state, "quota") == 1


def test_an_empty_fleet_has_an_empty_plan_and_a_single_sim_is_asked() -> None:
    assert rows(plan(fleet(), now=NOW, budget=100)) == []
    assert rows(plan(fleet({}), now=NOW, budget=ALL)) == [(source, 1) for source in SOURCES]
    assert rows(plan(fleet({}), now=NOW, budget=0)) == []


def test_a_negative_budget_is_refused() -> None:
    with pytest.raises(ValueError, match="budget of -1"):
        plan(fleet({}), now=NOW, budget=-1)


def test_a_million_sims_are_planned_within_seconds() -> None:
    sims = 1_000_000
    random = np.random.default_rng(3)

    def within(hours: float) -> pl.Series:
        microseconds = NOW.timestamp() * 1e6 - random.random(sims) * hours * 3.6e9
        return pl.Series(microseconds.astype(np.int64)).cast(STATE_SCHEMA["usage_at"])

    state = pl.DataFrame(
        {
            "sim_key": np.arange(sims, dtype=np.int32),
            **{f"{source}_at": within(48) for source in SOURCES},
            "answered_at": within(48),
            "changed_at": within(5000),
            "streamed_at": pl.repeat(None, sims, dtype=STATE_SCHEMA["streamed_at"], eager=True),
            "quota_status": pl.repeat(0, sims, dtype=pl.Int16, eager=True),
            "p_14": random.random(sims) ** 20,
            "exhausted": np.zeros(sims, dtype=bool),
            "refused": np.zeros(sims, dtype=bool),
            "alerting": random.random(sims) < 0.05,
            "active": random.random(sims) < 0.8,
        }
    )

    began = time.perf_counter()
    planned = plan(state, now=NOW, budget=30_000)

    assert time.perf_counter() - began < 10
    assert 30_000 - ALL < cost(planned) <= 30_000


# --- staleness -------------------------------------------------------------------------------------------------------


def test_staleness_is_the_age_of_the_older_of_usage_and_quota_by_class() -> None:
    state = fleet(
        {"p_14": 1.0, "answered_at": NOW - HOUR},
        {"p_14": 1.0, "answered_at": NOW - 3 * HOUR},
        {"active": True, "answered_at": None},
        {"refused": True, "answered_at": NOW - 900 * HOUR},
        {"answered_at": NOW + HOUR},
    )

    found = staleness(state, now=NOW)

    assert found.schema == pl.Schema(STALENESS_SCHEMA)
    assert found.rows() == [
        ("urgent", 2, 0, 2.0, 3.0),
        ("active", 1, 1, None, None),
        ("quiet", 1, 0, 0.0, 0.0),
        ("all", 4, 1, 1.0, 3.0),
    ]


def test_the_longest_interval_lies_within_the_promise() -> None:
    assert all(hours < PROMISED_HOURS for by_source in INTERVAL_HOURS.values() for hours in by_source.values())
    assert set(INTERVAL_HOURS) == set(CLASSES)
