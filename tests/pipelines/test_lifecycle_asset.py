"""The life of a simulated fleet: states and history from what the pipeline has ingested, held against the recorded truth."""

from datetime import UTC, date, datetime, timedelta

import pytest

from assets.lifecycle import evaluate_lifecycle
from resources.runtime import Runtime
from tests.pipelines.conftest import AS_OF, NOW, Account, Truth, at, land

DAY = timedelta(days=1)
TABLES = ("core.sim_states", "core.sim_lifecycle")


def states(truth: Truth) -> dict[str, str]:
    return {row["iccid"]: row["state"] for row in truth.rows("SELECT iccid, state FROM core.sim_states_v1")}


def test_every_sim_gets_a_state_and_the_same_day_again_changes_nothing(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    first = evaluate_lifecycle(runtime, AS_OF)
    assert (
        first["SIMs new"]
        == truth.one("SELECT count(*) FROM core.sims")
        == truth.one("SELECT count(*) FROM core.sim_states")
    )
    assert first["SIMs whose facts contradict their state"] == 0
    before = truth.versions(TABLES)

    again = evaluate_lifecycle(runtime, AS_OF)
    assert (again["SIMs new"], again["SIMs in another state"]) == (0, 0)
    assert truth.versions(TABLES) == before
    assert evaluate_lifecycle(runtime, AS_OF - DAY)["evaluated"].startswith("no: states already stand")


def test_states_agree_with_what_was_done_to_the_fleet(account: Account) -> None:
    land(account.runtime, first_day=AS_OF - 170 * DAY)
    evaluate_lifecycle(account.runtime, AS_OF)
    found, fleet = states(account.truth), account.fleet
    left, _ = fleet.remaining(range(fleet.sims), NOW)
    today = NOW.date().toordinal()
    wrong = {}
    for i, iccid in enumerate(fleet.iccids):
        if iccid not in found:
            continue
        if fleet.demand.expiry[i] <= today - 2:
            expected = {"expired"}
        elif fleet.demand.churn_last[i] + 14 <= today:
            expected = {"suspended", "deactivated"}
        elif left[i] <= 0:
            expected = {"suspended"}
        else:
            expected = {"active", "silent", "activated", "suspended"}
        if found[iccid] not in expected:
            wrong[iccid] = (found[iccid], expected)
    assert wrong == {}
    assert {"expired", "active"} <= set(found.values())


def test_a_device_that_stops_becomes_silent_and_one_that_comes_back_active(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    evaluate_lifecycle(runtime, AS_OF - 20 * DAY)
    sim = truth.one(
        "SELECT sim_key FROM core.sim_usage JOIN core.sim_states USING (sim_key) WHERE bytes > 0 AND state = 'active'"
        " GROUP BY sim_key ORDER BY count(*) DESC, sim_key LIMIT 1"
    )
    truth.rows(
        "UPDATE core.sim_usage SET bytes = 0, bytes_rx = 0 WHERE sim_key = %s AND day > %s", (sim, AS_OF - 15 * DAY)
    )
    evaluate_lifecycle(runtime, AS_OF - DAY)
    truth.rows("UPDATE core.sim_usage SET bytes = 9 WHERE sim_key = %s AND day = %s", (sim, AS_OF))
    evaluate_lifecycle(runtime, AS_OF)
    life = truth.rows(
        "SELECT occurred_on, from_value, to_value, decided_by FROM core.sim_lifecycle WHERE sim_key = %s AND kind = 'state'"
        " ORDER BY lifecycle_id",
        (sim,),
    )
    assert [(row["from_value"], row["to_value"]) for row in life] == [
        (None, "active"),
        ("active", "silent"),
        ("silent", "active"),
    ]
    assert [row["occurred_on"] for row in life[1:]] == [AS_OF - 14 * DAY, AS_OF]
    assert {row["decided_by"] for row in life} == {"state machine 1"}


def test_an_outage_of_ours_makes_nobody_silent(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    evaluate_lifecycle(runtime, AS_OF - 30 * DAY)
    silent = "SELECT count(*) FROM core.sim_states WHERE state = 'silent'"
    before = truth.one(silent)
    truth.rows("DELETE FROM core.sim_usage WHERE day > %s", (AS_OF - 20 * DAY,))
    truth.rows("UPDATE ops.polls SET covered_to = %s WHERE source = 'usage'", (AS_OF - 20 * DAY,))
    evaluate_lifecycle(runtime, AS_OF)
    assert truth.one(silent) == before


def event(
    truth: Truth, sim: int, when: datetime, kind: str, imei: str | None = None, country: str | None = None
) -> None:
    truth.rows(
        "INSERT INTO core.sim_events (organization_id, sim_key, occurred_at, event_type, imei, country)"
        " VALUES (1, %s, %s, %s, %s, %s)",
        (sim, when, kind, imei, country),
    )


@pytest.fixture
def quiet(filled: tuple[Runtime, Truth]) -> tuple[Runtime, Truth, int]:
    """A fleet without events and with one quota observation a SIM, and one SIM of it."""
    runtime, truth = filled
    truth.rows("DELETE FROM core.sim_events")
    return runtime, truth, int(truth.one("SELECT min(sim_key) FROM core.sims"))


def happened(truth: Truth, sim: int) -> list[tuple[str, date, str | None, str]]:
    rows = truth.rows(
        "SELECT kind, occurred_on, from_value, to_value FROM core.sim_lifecycle WHERE sim_key = %s AND kind <> 'state'"
        " ORDER BY occurred_on, kind",
        (sim,),
    )
    return [tuple(row.values()) for row in rows]


def test_another_device_and_another_country_are_in_the_history_once(quiet: tuple[Runtime, Truth, int]) -> None:
    runtime, truth, sim = quiet
    begin = datetime(2025, 9, 1, 8, tzinfo=UTC)
    old, newer, other = "3529811000000101", "3529811000000102", "8649230500000101"
    event(truth, sim, begin, "Create PDP Context", old, "Germany")
    event(truth, sim, begin + DAY, "Create PDP Context", newer, "Germany")  # only its software is newer
    evaluate_lifecycle(runtime, begin.date() + DAY)
    assert happened(truth, sim) == []
    event(truth, sim, begin + 9 * DAY, "Delete PDP Context", other, "Austria")
    event(truth, sim, begin + 10 * DAY, "Create PDP Context", other, "Germany")
    for _ in range(2):
        evaluate_lifecycle(runtime, begin.date() + 12 * DAY)
    assert happened(truth, sim) == [
        ("country_change", date(2025, 9, 10), "Germany", "Austria"),
        ("imei_change", date(2025, 9, 10), newer, other),
        ("country_change", date(2025, 9, 11), "Austria", "Germany"),
    ]


def test_a_top_up_counts_once_by_its_event_or_by_the_quota_that_rose(quiet: tuple[Runtime, Truth, int]) -> None:
    runtime, truth, sim = quiet
    truth.rows("DELETE FROM core.sim_quota WHERE sim_key = %s", (sim,))
    seen = [(1, 90), (2, 80), (4, 570), (6, 500), (8, 990)]
    for day, left in seen:
        truth.rows(
            "INSERT INTO core.sim_quota (organization_id, sim_key, kind, day, observed_at, amount_left)"
            " VALUES (1, %s, 'data', %s, %s, %s)",
            (sim, date(2025, 9, day), datetime(2025, 9, day, 6, tzinfo=UTC), left * 1_000_000),
        )
    event(truth, sim, datetime(2025, 9, 3, 9, tzinfo=UTC), "Data quota topped up")
    for until in (5, 8, 10):
        evaluate_lifecycle(runtime, date(2025, 9, until))
    assert happened(truth, sim) == [
        ("top_up", date(2025, 9, 3), None, "data"),
        ("top_up", date(2025, 9, 8), None, "data"),
    ]
    evidence = truth.one(
        "SELECT evidence FROM core.sim_lifecycle WHERE sim_key = %s AND occurred_on = '2025-09-08'", (sim,)
    )
    assert evidence == "volume left rose from 500 MB on 2025-09-06 to 990 MB"


def test_a_sim_that_only_stands_in_an_order_is_ordered(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    evaluate_lifecycle(runtime, AS_OF)
    truth.rows(
        "UPDATE core.orders SET iccids = iccids || '{8988280666999999999}' WHERE order_number = (SELECT min(order_number) FROM core.orders)"
    )
    assert states(truth)["8988280666999999999"] == "ordered"


def test_later_runs_see_the_life_go_on(account: Account) -> None:
    land(account.runtime, first_day=AS_OF - 170 * DAY)
    evaluate_lifecycle(account.runtime, AS_OF)
    for days in (10, 40):
        later = NOW + days * DAY
        account.server.set_now(later)
        with at(account.runtime, later) as runtime:
            land(runtime)
            evaluated = evaluate_lifecycle(runtime, later.date() - 2 * DAY)
            assert evaluated["SIMs whose facts contradict their state"] == 0
    present = "SELECT sim_key, to_value FROM (SELECT DISTINCT ON (sim_key) * FROM core.sim_lifecycle WHERE kind = 'state' ORDER BY sim_key, lifecycle_id DESC) AS l"
    assert account.truth.rows(present + " ORDER BY sim_key") == account.truth.rows(
        "SELECT sim_key, state AS to_value FROM core.sim_states ORDER BY sim_key"
    )
