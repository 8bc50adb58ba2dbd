"""The state machine: each state, the order among them, and a slow twin."""

from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.lifecycle import DEACTIVATED_DAYS, FACTS_SCHEMA, STATE_SCHEMA, STATES, TRANSITIONS, lifecycle

AS_OF = date(2026, 5, 10)
DAY = timedelta(days=1)
USED: dict[str, Any] = {
    "sim_key": 1,
    "status": "Enabled",
    "activated_on": AS_OF - 300 * DAY,
    "expires_on": AS_OF + 3000 * DAY,
    "refused": False,
    "quota_left": 100_000_000,
    "disabled_on": None,
    "covered_to": AS_OF,
    "first_day": AS_OF - 200 * DAY,
    "last_active_day": AS_OF - DAY,
    "days_silent": 1,
    "usual_gap_days": 2.0,
    "is_silent": False,
    "was": None,
    "was_since": None,
}
UNUSED = {"first_day": None, "last_active_day": None, "days_silent": None, "usual_gap_days": None}
SILENT = {"last_active_day": AS_OF - 9 * DAY, "days_silent": 9, "is_silent": True}


def state(**facts: Any) -> dict[str, Any]:
    return lifecycle(pl.DataFrame([USED | facts], schema=FACTS_SCHEMA), as_of=AS_OF).row(0, named=True)


@pytest.mark.parametrize(
    ("facts", "expected", "since", "evidence"),
    [
        ({}, "active", AS_OF - 200 * DAY, "last usage on 2026-05-09"),
        (SILENT, "silent", AS_OF - 8 * DAY, "no usage for 9 days since 2026-05-01, where its gaps are of 2 days"),
        ({"status": "Disabled"}, "suspended", AS_OF, "Disabled since 2026-05-10 or earlier"),
        ({"status": "Disabled", "disabled_on": AS_OF - 5 * DAY}, "suspended", AS_OF - 5 * DAY, "Disabled since 2026-05-05"),
        ({"quota_left": -2_500_000}, "suspended", AS_OF, "no data volume left (-2.5 MB)"),
        ({"status": "Disabled", "disabled_on": AS_OF - 90 * DAY}, "deactivated", AS_OF, "taken for final"),
        ({"expires_on": AS_OF}, "expired", AS_OF, "valid until 2026-05-10"),
        ({"refused": True, "expires_on": None}, "expired", AS_OF, "1NCE answers that it has expired"),
        (UNUSED, "activated", AS_OF - 300 * DAY, "no usage yet"),
        (UNUSED | {"activated_on": None}, "issued", AS_OF, "without an activation date"),
        (UNUSED | {"activated_on": AS_OF + DAY}, "issued", AS_OF, "without an activation date"),
    ],
)  # fmt: skip
def test_each_state_has_its_condition_and_evidence(
    facts: dict[str, Any], expected: str, since: date, evidence: str
) -> None:
    found = state(**facts)
    assert (found["state"], found["since"], found["held"]) == (expected, since, False)
    assert evidence in found["evidence"]


def test_an_outage_of_ours_silences_nobody_and_wakes_nobody() -> None:
    unasked = SILENT | {"covered_to": AS_OF - DAY}
    assert state(**unasked, was="active", was_since=AS_OF - 50 * DAY)["state"] == "active"
    assert state(**unasked, was="silent", was_since=AS_OF - 3 * DAY)["state"] == "silent"
    assert state(**unasked)["state"] == "active"  # judged for the first time, without knowing
    assert state(covered_to=None, was="silent", was_since=AS_OF - 3 * DAY)["state"] == "silent"


def test_a_state_that_stays_keeps_its_day() -> None:
    assert state(was="active", was_since=AS_OF - 7 * DAY)["since"] == AS_OF - 7 * DAY
    assert state(was="silent", was_since=AS_OF - 7 * DAY) == {
        "sim_key": 1, "state": "active", "since": AS_OF - DAY, "evidence": "last usage on 2026-05-09", "held": False,
    }  # fmt: skip


def test_facts_that_contradict_the_past_leave_the_state_and_say_so() -> None:
    found = state(**UNUSED | {"activated_on": None}, was="suspended", was_since=AS_OF - 7 * DAY)
    assert (found["state"], found["since"], found["held"]) == ("suspended", AS_OF - 7 * DAY, True)


def test_missing_columns_and_doubled_sims_are_refused() -> None:
    facts = pl.DataFrame([USED], schema=FACTS_SCHEMA)
    with pytest.raises(ValueError, match="lack the column\\(s\\) status"):
        lifecycle(facts.drop("status"), as_of=AS_OF)
    with pytest.raises(ValueError, match="twice"):
        lifecycle(pl.concat([facts, facts]), as_of=AS_OF)


days = st.none() | st.integers(-400, 30).map(lambda n: AS_OF + n * DAY)
fleets = st.lists(
    st.fixed_dictionaries(
        {
            "status": st.sampled_from(["Enabled", "Disabled", None]),
            "activated_on": days,
            "expires_on": days,
            "refused": st.booleans(),
            "quota_left": st.none() | st.integers(-5, 5),
            "disabled_on": days,
            "covered_to": days,
            "last_active_day": st.none() | st.integers(0, 300).map(lambda n: AS_OF - n * DAY),
            "is_silent": st.none() | st.booleans(),
            "was": st.none() | st.sampled_from([s for s in STATES if s != "ordered"]),
        }
    ),
    max_size=20,
)


def slow(sim: dict[str, Any]) -> str:
    """The table of the module's docstring, a SIM at a time."""
    used = sim["last_active_day"] is not None
    if sim["refused"] or (sim["expires_on"] and sim["expires_on"] <= AS_OF):
        found = "expired"
    elif sim["status"] == "Disabled":
        since = min(sim["disabled_on"] or AS_OF, AS_OF)
        found = "deactivated" if (AS_OF - since).days >= DEACTIVATED_DAYS else "suspended"
    elif sim["quota_left"] is not None and sim["quota_left"] <= 0:
        found = "suspended"
    elif not used:
        found = "issued" if sim["activated_on"] is None or sim["activated_on"] > AS_OF else "activated"
    elif not (sim["covered_to"] and sim["covered_to"] >= AS_OF):
        found = sim["was"] if sim["was"] in ("active", "silent") else "active"
    else:
        found = "silent" if sim["is_silent"] else "active"
    allowed = sim["was"] in (None, found) or sim["was"] in TRANSITIONS[found]
    return found if allowed else str(sim["was"])


@settings(max_examples=100, deadline=None, derandomize=True)
@given(fleets)
def test_every_sim_has_exactly_the_state_of_the_slow_twin(fleet: list[dict[str, Any]]) -> None:
    sims = [
        USED | sim | {"sim_key": n, "first_day": sim["last_active_day"], "was_since": AS_OF if sim["was"] else None}
        for n, sim in enumerate(fleet)
    ]
    found = lifecycle(pl.DataFrame(sims, schema=FACTS_SCHEMA), as_of=AS_OF)
    assert found.schema == pl.Schema(STATE_SCHEMA)
    assert found["sim_key"].to_list() == list(range(len(sims)))
    assert found["state"].to_list() == [slow(sim) for sim in sims]
    assert found["since"].null_count() == 0
    assert (found["since"] <= AS_OF).all()
    assert found["evidence"].null_count() == 0
