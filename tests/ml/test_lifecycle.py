"""The state machine of a SIM's life: one state each, by the table, with reasons; and the changes that go into its
history."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.lifecycle import (
    ACTIVITY_SCHEMA,
    ALLOWED,
    ENTRY_SCHEMA,
    MACHINE,
    OUT_OF_SERVICE,
    PREVIOUS_SCHEMA,
    QUOTA_EVENT_SCHEMA,
    SIM_SCHEMA,
    STATE_SCHEMA,
    STATES,
    Lifecycle,
    evaluate,
)
from tests.conftest import examples

AS_OF = date(2026, 3, 31)
NOW = datetime(2026, 4, 2, 2, tzinfo=UTC)
ON = NOW.date()
DAY = timedelta(days=1)
ALLOWED_PAIRS = set(ALLOWED.iter_rows())


@dataclass
class Life:
    """What is known of one SIM, days as dates."""

    facts: dict[str, Any] = field(default_factory=dict)
    used: list[date] = field(default_factory=list)
    quota_events: list[tuple[date, str]] = field(default_factory=list)
    previous: dict[str, Any] | None = None


def life(used: list[date] | None = None, previous: dict[str, Any] | None = None, **facts: Any) -> Life:
    """A SIM activated in December, covered up to AS_OF, changed by `facts`."""
    usual = {"listed_on": date(2025, 12, 1), "activated_on": date(2025, 12, 1), "usage_known_to": AS_OF}
    return Life(usual | facts, used or [], previous=previous)


def daily(last: date, days: int = 60) -> list[date]:
    return [last - n * DAY for n in range(days)]


def before(state: str, since: date, **more: Any) -> dict[str, Any]:
    return {"state": state, "since": since, "cause": None, "off_on": None, "resumed_on": None} | more


def judged(*lives: Life, now: datetime = NOW, as_of: date = AS_OF) -> Lifecycle:
    rows = list(enumerate(lives, start=1))
    return evaluate(
        pl.DataFrame([dict.fromkeys(SIM_SCHEMA) | one.facts | {"sim_key": n} for n, one in rows], schema=SIM_SCHEMA),
        pl.DataFrame(
            [(n, day, 9, 0, None) for n, one in rows for day in one.used], schema=ACTIVITY_SCHEMA, orient="row"
        ),
        pl.DataFrame(
            [(n, day, "data", kind, kind) for n, one in rows for day, kind in one.quota_events],
            schema=QUOTA_EVENT_SCHEMA,
            orient="row",
        ),
        pl.DataFrame([{"sim_key": n} | one.previous for n, one in rows if one.previous], schema=PREVIOUS_SCHEMA),
        as_of=as_of,
        now=now,
    )


def state_of(one: Life) -> dict[str, Any]:
    return judged(one).states.row(0, named=True)


def history_of(one: Life) -> list[tuple[Any, ...]]:
    return judged(one).entries.select("occurred_on", "from_value", "to_value").rows()


# ---- a slow, obvious twin ----


def slow_state(one: Life) -> tuple[str, str | None, date, date | None, date | None]:
    """(state, cause, since, off_on, resumed_on) of one SIM, walking its facts."""
    get = one.facts.get
    previous = one.previous or {}
    dry = sorted(day for day, kind in one.quota_events if kind == "exhausted" and day <= ON)
    topped = sorted(day for day, kind in one.quota_events if kind == "top_up" and day <= ON)
    signs = [*one.used, *(d for d in (get("network_first_on"), get("network_last_on")) if d), *dry]
    gone = [get("unlisted_on"), get("last_word_on") if get("last_word") == "unknown" else None]
    off = get("disabled_on") or min(filter(None, gone), default=None)
    if off and previous.get("off_on"):
        off = min(off, previous["off_on"])
    is_off = off is not None and off <= ON
    dry_now = get("exhausted_on") is not None and get("exhausted_on") <= ON
    by_date = get("expires_at") is not None and get("expires_at") <= NOW
    refused = get("last_word") == "expired" or (get("last_word") is None and previous.get("state") == "expired")
    resumed = previous.get("resumed_on")
    ends_dry = bool(dry) and (not topped or max(dry) > max(topped))
    if previous.get("state") in OUT_OF_SERVICE and not (is_off or dry_now or by_date or refused):
        since_then = [day for day in topped if day >= previous["since"]]
        resumed = max(since_then) if since_then else ON
    elif not previous:
        kinds = sorted((day, ["exhausted", "top_up"].index(kind), kind) for day, kind in one.quota_events if day <= ON)
        for earlier, later in pairwise(kinds):
            if (earlier[2], later[2]) == ("exhausted", "top_up"):
                resumed = max(later[0], resumed or later[0])
    lived = bool(signs) or previous.get("state") in ("active", "silent")

    def found() -> tuple[str, str | None, date | None]:
        if by_date:
            return "expired", "expiry_date", get("expires_at").date()
        if refused:
            return "expired", "refused", get("last_word_on")
        if is_off:
            assert off
            if (ON - off).days > 30:
                return "deactivated", "off", off + 31 * DAY
            return (
                "suspended",
                "disabled" if get("disabled_on") else "unlisted" if get("unlisted_on") else "unknown",
                off,
            )
        if dry_now:
            ran_out = min(day for day in dry if not topped or day > max(topped)) if ends_dry else get("exhausted_on")
            return "suspended", "exhausted", min(get("exhausted_on"), ran_out)
        if not lived:
            if get("activated_on") is None or get("activated_on") > ON:
                return "issued", None, get("listed_on")
            return "activated", None, get("activated_on")
        heard = max([*signs, *([resumed] if resumed else [])], default=None)
        used = sorted(set(one.used))
        if len(used) >= 14 and heard and get("usage_known_to"):
            gaps = sorted((b - a).days for a, b in pairwise(used))
            after = max(3, 2 * gaps[math.ceil(0.99 * (len(gaps) - 1))])
            if (get("usage_known_to") - heard).days > after:
                return "silent", None, heard + (after + 1) * DAY
        elif previous.get("state") == "silent" and not (signs and max(signs) > previous["since"]):
            return "silent", None, previous["since"]
        if previous.get("state") in OUT_OF_SERVICE and resumed:
            return "active", None, resumed
        if previous.get("state") == "silent" and signs:
            return "active", None, max(signs)
        return "active", None, max(filter(None, [min(signs, default=None), resumed]), default=ON)

    state, cause, since = found()
    if not previous:
        return state, cause, since or ON, off, resumed
    if state == previous["state"]:
        return state, cause, previous["since"], off, resumed
    if (previous["state"], state) not in ALLOWED_PAIRS:
        return previous["state"], previous["cause"], previous["since"], off, resumed
    return state, cause, max(since or ON, previous["since"]), off, resumed


days = st.integers(-150, 3).map(lambda n: AS_OF + n * DAY)
maybe = st.none() | days


@st.composite
def lives(draw: st.DrawFn) -> Life:
    last_used = draw(st.integers(-60, 0)) if draw(st.booleans()) else None
    step, count = draw(st.sampled_from([1, 1, 2, 7])), draw(st.sampled_from([1, 5, 13, 14, 15, 40]))
    used = [] if last_used is None else [AS_OF + last_used * DAY - n * step * DAY for n in range(count)]
    seen = draw(st.none() | st.tuples(days, days).map(sorted))
    previous = draw(
        st.none()
        | st.fixed_dictionaries(
            {
                "state": st.sampled_from([s for s in STATES if s != "ordered"]),
                "since": st.integers(-100, 1).map(lambda n: AS_OF + n * DAY),
                "cause": st.none(),
                "off_on": st.none() | days,
                "resumed_on": st.none() | days,
            }
        )
    )
    activated = draw(maybe)
    expires = draw(st.none() | st.integers(-40, 400))
    facts = {
        "listed_on": draw(days.filter(lambda d: d <= ON)),
        "activated_on": activated,
        "order_number": 7,
        "ordered_on": draw(maybe.filter(lambda d: d is None or d <= ON)),
        "disabled_on": draw(st.none() | st.none() | days),
        "unlisted_on": draw(st.none() | st.none() | st.none() | days),
        "exhausted_on": draw(st.none() | st.none() | days),
        "expires_at": None if expires is None else NOW + expires * DAY,
        "last_word": draw(st.sampled_from([None, "answered", "answered", "answered", "expired", "unknown"])),
        "last_word_on": draw(days.filter(lambda d: d <= ON)),
        "usage_known_to": draw(st.none() | st.integers(-9, 0).map(lambda n: AS_OF + n * DAY)),
        "network_first_on": min(seen[0], ON) if seen else None,
        "network_last_on": min(seen[1], ON) if seen else None,
        "quota_left": draw(st.none() | st.integers(-5_000_000, 500_000_000)),
        "quota_total": 500_000_000,
    }
    if facts["last_word"] is None:
        facts["last_word_on"] = None
    events = draw(st.lists(st.tuples(days, st.sampled_from(["exhausted", "top_up"])), max_size=4, unique=True))
    return Life(facts, used, events, previous)


fleets = st.lists(lives(), min_size=1, max_size=40)


@settings(max_examples=examples(20), deadline=None)
@given(fleets)
def test_the_machine_agrees_with_walking_each_sim_and_its_history_leads_there_by_the_table(fleet: list[Life]) -> None:
    found = judged(*fleet)
    assert (dict(found.states.schema), dict(found.entries.schema)) == (STATE_SCHEMA, ENTRY_SCHEMA)
    assert found.states["sim_key"].to_list() == list(range(1, len(fleet) + 1))
    assert found.states.select("state", "since", "evidence").null_count().row(0) == (0, 0, 0)
    for one, row in zip(fleet, found.states.iter_rows(named=True), strict=True):
        state, cause, since, off_on, resumed_on = slow_state(one)
        assert (row["state"], row["cause"], row["off_on"], row["resumed_on"]) == (state, cause, off_on, resumed_on)
        if one.previous:  # the day of a life that begins comes from its whole history
            assert row["since"] == since
        steps = found.entries.filter(pl.col("sim_key") == row["sim_key"]).rows(named=True)
        assert all((step["from_value"], step["to_value"]) in ALLOWED_PAIRS for step in steps if step["from_value"])
        assert [step["from_value"] for step in steps[1:]] == [step["to_value"] for step in steps[:-1]]
        assert [step["occurred_on"] for step in steps] == sorted(step["occurred_on"] for step in steps)
        assert all(step["evidence"] for step in steps)
        start = one.previous["state"] if one.previous else None
        assert (steps[-1]["to_value"] if steps else start) == row["state"]
        assert (steps[0]["from_value"] if steps else start) == start
        if steps:
            assert steps[-1]["occurred_on"] == row["since"]


@settings(max_examples=10, deadline=None)
@given(fleets)
def test_the_same_facts_again_change_nothing(fleet: list[Life]) -> None:
    first = judged(*fleet)
    told = [replace(one, previous=row) for one, row in zip(fleet, first.states.rows(named=True), strict=True)]
    for one in told:
        assert one.previous
        one.previous = {name: one.previous[name] for name in PREVIOUS_SCHEMA}
    again = judged(*told)
    assert again.entries.is_empty()
    assert again.states.select(*PREVIOUS_SCHEMA).equals(first.states.select(*PREVIOUS_SCHEMA))


# ---- the states, one by one ----

REACHED = {
    "issued": life(activated_on=None),
    "activated": life(),
    "active": life(daily(AS_OF - 3 * DAY)),
    "silent": life(daily(AS_OF - 4 * DAY)),
    "suspended": life(daily(AS_OF), exhausted_on=AS_OF),
    "expired": life(daily(AS_OF), expires_at=NOW),
    "deactivated": life(daily(AS_OF - 40 * DAY), disabled_on=ON - 31 * DAY),
}


@pytest.mark.parametrize("state", REACHED)
def test_every_state_of_a_listed_sim_is_reached(state: str) -> None:
    assert state_of(REACHED[state])["state"] == state


def test_the_table_names_each_state_once_and_leads_to_states_that_there_are() -> None:
    assert len(set(STATES)) == len(STATES) == 8
    assert set(REACHED) | {"ordered"} == set(STATES)
    assert {following for state in MACHINE for following in state.followed_by} == set(REACHED)
    assert all(before != after for before, after in ALLOWED_PAIRS)


def test_the_page_draws_the_same_machine() -> None:
    page = (Path(__file__).parents[2] / "docs" / "lifecycle.md").read_text()
    drawn = {(a, b) for a, b in re.findall(r"^ +(\w+) --> (\w+)", page, re.MULTILINE)}
    assert drawn == ALLOWED_PAIRS
    for place, state in enumerate(MACHINE, start=1):
        assert f"| {place} | `{state.name}` | {state.guard} |" in page


@pytest.mark.parametrize(
    ("facts", "state", "cause"),
    [
        ({"expires_at": NOW, "disabled_on": date(2026, 1, 1), "exhausted_on": AS_OF}, "expired", "expiry_date"),
        ({"last_word": "expired", "last_word_on": AS_OF, "disabled_on": date(2026, 1, 1)}, "expired", "refused"),
        ({"disabled_on": ON - 31 * DAY, "exhausted_on": AS_OF}, "deactivated", "off"),
        ({"disabled_on": ON - 30 * DAY, "exhausted_on": AS_OF}, "suspended", "disabled"),
        ({"unlisted_on": ON - 31 * DAY}, "deactivated", "off"),
        ({"unlisted_on": AS_OF, "last_word": "unknown", "last_word_on": AS_OF}, "suspended", "unlisted"),
        ({"last_word": "unknown", "last_word_on": AS_OF}, "suspended", "unknown"),
        ({"last_word": "answered", "last_word_on": AS_OF, "exhausted_on": AS_OF}, "suspended", "exhausted"),
        ({"exhausted_on": ON + DAY}, "active", None),
        ({"disabled_on": ON + DAY}, "active", None),
        ({"expires_at": NOW + timedelta(seconds=1)}, "active", None),
    ],
)
def test_the_more_decisive_cause_counts(facts: dict[str, Any], state: str, cause: str | None) -> None:
    found = state_of(life(daily(AS_OF), **facts))
    assert (found["state"], found["cause"]) == (state, cause)


def test_the_evidence_says_what_how_much_and_since_when() -> None:
    cases = {
        "issued": "In the SIM list since 2025-12-01, never activated.",
        "activated": "Activated on 2025-12-01; no data, sent SMS or network event since.",
        "active": "Last sign of life on 2026-03-28; its longest usual gap is 1 d.",
        "silent": "Last sign of life on 2026-03-27, 4 days up to 2026-03-31; its longest usual gap is 1 d: "
        "silent after 3 days.",
        "suspended": "Its data quota is used up since 2026-03-31: nothing is left by the SIM list.",
        "expired": "Its expiry date, 2026-04-02, has passed.",
        "deactivated": "Disabled in the SIM list for 31 days, since 2026-03-02: more than 30. 1NCE has no state "
        "'deactivated', this is inferred.",
    }
    assert {state: state_of(one)["evidence"] for state, one in REACHED.items()} == cases
    dry = state_of(life(daily(AS_OF), exhausted_on=AS_OF, quota_left=-226_000, quota_total=500_000_000))
    assert dry["evidence"] == "Its data quota is used up since 2026-03-31: -0.2 MB of 500.0 MB are left."


def test_an_exhaustion_is_dated_by_its_event_and_not_by_the_look_that_found_it() -> None:
    dry = life(daily(AS_OF - 5 * DAY), before("active", date(2026, 1, 1)), exhausted_on=ON)
    dry.quota_events = [(AS_OF - 20 * DAY, "exhausted"), (AS_OF - 9 * DAY, "top_up"), (AS_OF - 4 * DAY, "exhausted")]
    assert (state_of(dry)["state"], state_of(dry)["since"]) == ("suspended", AS_OF - 4 * DAY)


def test_an_sms_quota_decides_nothing() -> None:
    one = pl.DataFrame([dict.fromkeys(SIM_SCHEMA) | life().facts | {"sim_key": 1}], schema=SIM_SCHEMA)
    used_up = pl.DataFrame([(1, AS_OF, "sms", "exhausted", "")], schema=QUOTA_EVENT_SCHEMA, orient="row")
    nothing = pl.DataFrame(schema=ACTIVITY_SCHEMA), pl.DataFrame(schema=PREVIOUS_SCHEMA)
    found = evaluate(one, nothing[0], used_up, nothing[1], as_of=AS_OF, now=NOW)
    assert found.states["state"].to_list() == ["activated"]


def test_an_outage_of_ours_makes_nobody_silent() -> None:
    """A daily SIM of which nothing is known since the poll stopped, however long ago that is."""
    stopped = AS_OF - 20 * DAY
    one = life(daily(stopped), before("active", date(2026, 1, 1)), usage_known_to=stopped + 2 * DAY)
    assert state_of(one)["state"] == "active"
    never_asked = life(daily(stopped), usage_known_to=None)
    assert state_of(never_asked)["state"] == "active"
    asked_again = life(daily(stopped), before("active", date(2026, 1, 1)), usage_known_to=AS_OF)
    assert state_of(asked_again)["state"] == "silent"


def test_a_silent_sim_stays_silent_while_nobody_asks_and_wakes_by_a_network_event() -> None:
    quiet = daily(AS_OF - 20 * DAY)
    silent = before("silent", AS_OF - 16 * DAY)
    assert state_of(life(quiet, silent, usage_known_to=AS_OF - 10 * DAY))["state"] == "silent"
    assert state_of(life(quiet, silent, usage_known_to=None))["state"] == "silent"
    heard = state_of(life(quiet, silent, usage_known_to=AS_OF - 10 * DAY, network_last_on=AS_OF - DAY))
    assert (heard["state"], heard["since"]) == ("active", AS_OF - DAY)


def test_a_message_sent_is_a_sign_of_life_and_one_received_is_not() -> None:
    facts = pl.DataFrame([dict.fromkeys(SIM_SCHEMA) | life().facts | {"sim_key": 1}], schema=SIM_SCHEMA)
    nothing = pl.DataFrame(schema=QUOTA_EVENT_SCHEMA), pl.DataFrame(schema=PREVIOUS_SCHEMA)
    for sent, state in ((1, "active"), (0, "activated")):
        activity = pl.DataFrame([(1, AS_OF, 0, sent, None)], schema=ACTIVITY_SCHEMA, orient="row")
        assert evaluate(facts, activity, *nothing, as_of=AS_OF, now=NOW).states["state"].to_list() == [state]


def test_a_rare_reporter_is_not_called_silent_before_its_habits_are_known() -> None:
    rare = [AS_OF - 30 * n * DAY for n in range(3, 10)]
    found = state_of(life(rare))
    assert found["state"] == "active"
    assert "too few active days (7)" in found["evidence"]


def test_a_topped_up_sim_is_given_its_usual_gap_before_it_is_called_silent() -> None:
    """It was dry for forty days: its silence counts from the top-up, not from its last usage."""
    dry = daily(AS_OF - 40 * DAY)
    back = life(dry, before("suspended", AS_OF - 40 * DAY, cause="exhausted"))
    back.quota_events = [(AS_OF - 2 * DAY, "top_up")]
    found = state_of(back)
    assert (found["state"], found["since"], found["resumed_on"]) == ("active", AS_OF - 2 * DAY, AS_OF - 2 * DAY)
    assert found["evidence"].startswith("Back in service since 2026-03-29; last sign of life on 2026-02-19")
    # a week later it has still said nothing
    later = judged(
        life(dry, before("active", AS_OF - 2 * DAY, resumed_on=AS_OF - 2 * DAY), usage_known_to=AS_OF + 7 * DAY),
        as_of=AS_OF + 7 * DAY,
        now=NOW + 7 * DAY,
    )
    assert later.states.row(0, named=True)["state"] == "silent"


def test_an_expired_sim_stays_expired_while_1nce_says_nothing_and_leaves_when_it_answers() -> None:
    gone = before("expired", date(2026, 2, 1), cause="refused")
    assert state_of(life(daily(date(2026, 1, 31)), gone))["state"] == "expired"
    extended = state_of(life(daily(AS_OF), gone, last_word="answered", last_word_on=ON))
    assert (extended["state"], extended["resumed_on"]) == ("active", ON)


def test_an_activation_that_is_taken_back_is_refused_and_counted() -> None:
    found = judged(life(activated_on=None, previous=before("activated", date(2025, 12, 1))))
    assert found.refused == 1
    assert found.entries.is_empty()
    row = found.states.row(0, named=True)
    assert (row["state"], row["since"]) == ("activated", date(2025, 12, 1))
    assert row["evidence"] == "It stays activated: the facts call for issued, which cannot follow it."


def test_the_first_evaluation_tells_the_history_that_the_dates_hold() -> None:
    one = life(daily(AS_OF), ordered_on=date(2025, 11, 10), order_number=41, disabled_on=ON)
    one.quota_events = [
        (date(2026, 1, 2), "top_up"),  # in good time: it ends nothing
        (date(2026, 2, 20), "exhausted"),
        (date(2026, 2, 25), "top_up"),
        (date(2026, 3, 1), "top_up"),
    ]
    assert history_of(one) == [
        (date(2025, 11, 10), None, "ordered"),
        (date(2025, 12, 1), "ordered", "activated"),
        (min(one.used), "activated", "active"),
        (date(2026, 2, 20), "active", "suspended"),
        (date(2026, 2, 25), "suspended", "active"),
        (ON, "active", "suspended"),
    ]
    waiting = life(listed_on=date(2025, 12, 1), activated_on=date(2026, 1, 5))
    assert history_of(waiting) == [
        (date(2025, 12, 1), None, "issued"),
        (date(2026, 1, 5), "issued", "activated"),
    ]
    off = life([date(2025, 12, 9)], disabled_on=date(2026, 2, 1))
    assert history_of(off)[-2:] == [
        (date(2026, 2, 1), "active", "suspended"),
        (date(2026, 3, 4), "suspended", "deactivated"),
    ]


def test_facts_that_cannot_be_right_are_refused() -> None:
    one = pl.DataFrame([dict.fromkeys(SIM_SCHEMA) | {"sim_key": 1}], schema=SIM_SCHEMA)
    empty = [pl.DataFrame(schema=schema) for schema in (ACTIVITY_SCHEMA, QUOTA_EVENT_SCHEMA, PREVIOUS_SCHEMA)]
    with pytest.raises(ValueError, match="SIM facts hold SIM 1 twice"):
        evaluate(pl.concat([one, one]), *empty, as_of=AS_OF, now=NOW)
    with pytest.raises(ValueError, match="lack the column"):
        evaluate(one.drop("expires_at"), *empty, as_of=AS_OF, now=NOW)


def test_an_empty_fleet_has_no_states() -> None:
    assert judged().states.is_empty()
    assert judged().entries.is_empty()


def test_the_moment_is_a_parameter() -> None:
    """The same facts, two moments: the later one is past the expiry."""
    one = life(daily(AS_OF), expires_at=datetime.combine(ON, time(12), UTC))
    assert judged(one, now=NOW).states["state"].to_list() == ["active"]
    assert judged(one, now=NOW + timedelta(hours=12)).states["state"].to_list() == ["expired"]
