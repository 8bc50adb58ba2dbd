"""Passes over a fleet that is too large for its budget of requests: the planner chooses, over real HTTP and a real
database."""

from collections import Counter
from datetime import datetime, timedelta

import pytest

from resources.runtime import Runtime
from services.ingest.endpoints import ENDPOINTS, SIMS
from services.ingest.ingest_run import IngestResult, ingest_account, ingest_fleet, poll_budget
from services.ingest.poll_planner import LEARN_DAYS, fleet_cost
from services.ingest.poll_planner import SOURCES as POLLED
from services.status import collect, sim_resolutions
from simulator.fleet import Fleet
from tests.fleet import NOW, TODAY, Account, at

BUDGET = 40  # of 24 SIMs, which take 144
EXPIRED = 1  # of these: 1NCE answers for it no more


@pytest.fixture(scope="module")
def small_fleet() -> Fleet:
    """24 SIMs, one of them expired; their events are of 25 days."""
    return Fleet(seed=47, sims=24, start=TODAY - timedelta(days=25))


def asked(account: Account) -> Counter[str]:
    """Requests about single SIMs by kind, since the list of requests was last cleared."""
    return Counter(
        path.split("?")[0].rsplit("/", 1)[-1] for _, _, path, _ in account.server.requests if path.count("/") > 3
    )


def one_pass(runtime: Runtime, budget: int | None = BUDGET) -> dict[str, IngestResult]:
    today = runtime.clock().date()
    return {
        name: ingest_fleet(
            runtime.database,
            runtime.once,
            ENDPOINTS[name],
            first_day=today,
            last_day=today,
            clock=runtime.clock,
            budget=budget,
        )
        for name in POLLED
    }


@pytest.fixture
def listed(account: Account) -> Account:
    ingest_account(account.runtime.database, account.runtime.once, SIMS, clock=account.runtime.clock)
    account.server.clear_requests()
    return account


def test_a_pass_keeps_to_its_budget_and_says_who_waits(listed: Account) -> None:
    sims = len(listed.fleet.iccids)
    one_pass(listed.runtime, budget=None)
    listed.server.clear_requests()
    with at(listed.runtime, NOW + timedelta(hours=1)) as later:
        results = one_pass(later)

    events = listed.truth.one("SELECT count(*) FROM ops.polls WHERE source = 'events' AND polled_at > %s", (NOW,))
    requests = asked(listed)
    # an answer of events or SMS may be of several pages: what is planned is the first
    assert requests["usage"] + requests["data"] + requests["sms"] + requests["status"] + events <= BUDGET
    for name, outcome in results.items():
        assert outcome.sims + outcome.pending == sims, name
        assert outcome.sims > 0, name
        assert outcome.metadata()["sims left for a later pass"] == outcome.pending > 0, name


def test_nobody_is_left_out_for_long(listed: Account) -> None:
    for hour in range(1, 13):
        with at(listed.runtime, NOW + timedelta(hours=hour)) as runtime:
            listed.server.set_now(NOW + timedelta(hours=hour))
            one_pass(runtime)
    for name in POLLED:
        polled = listed.truth.one("SELECT count(*) FROM ops.polls WHERE source = %s", (name,))
        assert polled == len(listed.fleet.iccids), name


def test_a_sim_that_is_likely_to_run_out_is_asked_in_every_pass(listed: Account) -> None:
    one_pass(listed.runtime, budget=None)
    urgent = listed.truth.one("SELECT min(sim_key) FROM core.sims WHERE quota_status = 0")
    listed.truth.rows("UPDATE core.sims SET quota_status = 1 WHERE sim_key = %s", (urgent,))
    for hour in range(1, 4):
        now = NOW + timedelta(hours=hour)
        with at(listed.runtime, now) as runtime:
            one_pass(runtime)
        polled = "SELECT min(polled_at) FROM ops.polls WHERE sim_key = %s AND source IN ('usage', 'quota')"
        assert listed.truth.one(polled, (urgent,)) == now


def test_a_fleet_that_fits_is_asked_whole(listed: Account) -> None:
    sims = len(listed.fleet.iccids)
    results = one_pass(listed.runtime, budget=fleet_cost(sims, sims))
    assert {(outcome.sims, outcome.pending) for outcome in results.values()} == {(sims, 0)}


def test_the_budget_is_that_of_the_minutes_and_the_pace(listed: Account) -> None:
    assert poll_budget(listed.runtime) is None  # this simulator's limit is lifted
    with at(listed.runtime, NOW, once_unlimited=False, ingest_minutes=2.0) as paced:
        assert poll_budget(paced) == 2 * 60 * 10 - 1  # one request for the list


def test_status_shows_how_old_the_answers_are(listed: Account) -> None:
    one_pass(listed.runtime, budget=None)
    with at(listed.runtime, NOW + timedelta(hours=5)) as later:
        ages = collect(later)["hours_since_usage_and_quota"]
    assert ages["all"]["max"] == pytest.approx(5.0)
    assert ages["all"]["never"] == 0


def retire_the_usage_call(account: Account, checked_at: datetime) -> None:
    account.truth.rows(
        "INSERT INTO ops.once_calls (organization_id, call, version, gone_since, checked_at)"
        " SELECT min(organization_id), 'usage', 'v1', %s, %s FROM core.sims"
        " ON CONFLICT (organization_id, call, version)"
        " DO UPDATE SET gone_since = excluded.gone_since, checked_at = excluded.checked_at",
        (checked_at, checked_at),
    )


def test_usage_calls_that_nobody_answers_leave_their_requests_to_the_rest(listed: Account) -> None:
    size = listed.runtime.database.row("fleet_size")
    sims = len(listed.fleet.iccids)
    assert size == {"sims": sims, "usage_calls": sims}
    retire_the_usage_call(listed, NOW)
    assert listed.runtime.database.row("fleet_size") == {"sims": sims, "usage_calls": 0}
    # enough for all but the usage calls: nobody is left for a later pass
    results = one_pass(listed.runtime, budget=fleet_cost(sims, 0))
    assert {outcome.pending for outcome in results.values()} == {0}


def test_a_usage_call_that_is_gone_takes_no_request_whether_the_fleet_fits_or_not(listed: Account) -> None:
    retire_the_usage_call(listed, NOW)
    sims = len(listed.fleet.iccids)
    for hours, budget in ((0, None), (1, BUDGET), (2, 1000)):
        with at(listed.runtime, NOW + timedelta(hours=hours)) as runtime:
            listed.server.clear_requests()
            usage = one_pass(runtime, budget)["usage"]
        assert asked(listed)["usage"] == 0
        assert (usage.sims, usage.pending) == (0, 0)
    assert listed.truth.one("SELECT count(*) FROM core.sim_quota WHERE kind = 'data'") == sims


def test_where_only_v2_may_be_asked_no_usage_call_answers(listed: Account) -> None:
    with at(listed.runtime, NOW, once_api="v2") as runtime:
        found = {row["usage_resolution"] for row in sim_resolutions(runtime)}
        assert found == {"none"}
        ingest_fleet(
            runtime.database,
            runtime.once,
            ENDPOINTS["quota"],
            first_day=NOW.date(),
            last_day=NOW.date(),
            clock=runtime.clock,
        )
        assert "call" not in collect(runtime)["usage_resolution"]


def test_one_sim_learns_after_a_day_whether_the_usage_call_answers_again(listed: Account) -> None:
    one_pass(listed.runtime, budget=None)
    retire_the_usage_call(listed, NOW)
    listed.server.clear_requests()
    with at(listed.runtime, NOW + timedelta(days=1)) as later:
        one_pass(later, budget=None)
    assert asked(listed)["usage"] == 1


def test_a_look_in_between_asks_for_the_data_quota_alone(listed: Account) -> None:
    one_pass(listed.runtime, budget=None)
    retire_the_usage_call(listed, NOW)
    listed.server.clear_requests()
    with at(listed.runtime, NOW + timedelta(hours=5)) as later:
        looked = one_pass(later)["quota"]
    # the week of a SIM begins at a midnight: none has passed
    assert looked.sims > 0
    paths = [path for _, _, path, _ in listed.server.requests]
    assert sum("/quota/data" in path for path in paths) == looked.sims
    assert not any("/quota/sms" in path for path in paths)


def test_a_sim_that_v1_does_not_know_is_looked_at_and_its_usage_call_tried_again_after_a_week(listed: Account) -> None:
    one_pass(listed.runtime, budget=None)
    unknown = listed.truth.one("SELECT min(sim_key) FROM core.sims")
    listed.truth.rows(
        "UPDATE ops.polls SET problem = CASE source WHEN 'usage' THEN 'OnceNotOnV1Error' END WHERE sim_key = %s",
        (unknown,),
    )
    asked_again = {}
    for days in (1, 7):
        with at(listed.runtime, NOW + timedelta(days=days)) as runtime:
            one_pass(runtime, budget=None)
        polled = "SELECT polled_at FROM ops.polls WHERE sim_key = %s AND source = 'usage'"
        asked_again[days] = listed.truth.one(polled, (unknown,)) > NOW
    assert asked_again == {1: False, 7: True}


def test_a_refusal_of_the_usage_call_is_not_held_against_a_sim_once_the_call_is_gone(listed: Account) -> None:
    one_pass(listed.runtime, budget=None)
    listed.truth.rows("UPDATE ops.polls SET problem = 'OnceSimExpiredError' WHERE source = 'usage'")
    assert collect(listed.runtime)["usage_resolution"] == {"none": len(listed.fleet.iccids)}
    retire_the_usage_call(listed, NOW)
    assert "none" not in collect(listed.runtime)["usage_resolution"]


def test_status_says_how_closely_each_sim_is_followed(listed: Account) -> None:
    sims = len(listed.fleet.iccids)
    assert collect(listed.runtime)["usage_resolution"] == {"none": sims}
    one_pass(listed.runtime, budget=None)
    assert collect(listed.runtime)["usage_resolution"] == {"call": sims - EXPIRED, "none": EXPIRED}

    retire_the_usage_call(listed, NOW)
    answering = (
        "FROM core.sims JOIN ops.polls USING (sim_key) WHERE source = 'quota' AND problem IS NULL ORDER BY sim_key"
    )
    keys = listed.truth.column(f"SELECT sim_key {answering}")
    # one is likely to end, one is steady and far from its end, one has not been seen in use, one was online
    listed.truth.rows("UPDATE core.sims SET quota_status = 0")
    listed.truth.rows("DELETE FROM core.sim_usage")
    listed.truth.rows("DELETE FROM core.sim_connectivity")
    listed.truth.rows("UPDATE core.sims SET quota_status = 1 WHERE sim_key = %s", (keys[0],))
    organization = listed.truth.one("SELECT min(organization_id) FROM core.sims")
    for key, wild in ((keys[1], 1), (keys[2], 30)):
        listed.truth.rows(
            "INSERT INTO core.sim_usage (sim_key, day, organization_id, bytes, known_at)"
            " SELECT %s, %s::date - n, %s, 1000 * CASE n WHEN 3 THEN %s ELSE 1 END, now()"
            " FROM (SELECT * FROM generate_series(1, 9) UNION SELECT %s) AS days (n)",
            (key, NOW, organization, wild, LEARN_DAYS),
        )
    listed.truth.rows(
        "INSERT INTO core.sim_connectivity (sim_key, day, organization_id, observed_at, status)"
        " VALUES (%s, %s::date, %s, %s, 'ONLINE'), (%s, %s::date, %s, %s, 'OFFLINE')",
        (keys[3], NOW, organization, NOW, keys[4], NOW, organization, NOW),
    )
    listed.truth.rows("SET session_replication_role = replica")
    listed.truth.rows(
        "INSERT INTO predictions.exhaustions (sim_key, as_of, organization_id, scoring_id, status, p_14, p_30)"
        " SELECT sim_key, %s::date, %s, 1, 'ok', 0, 0 FROM core.sims WHERE sim_key <> %s",
        (NOW, organization, keys[0]),
    )
    listed.truth.rows("SET session_replication_role = origin")

    found = {row["iccid"]: row["usage_resolution"] for row in sim_resolutions(listed.runtime)}
    iccids = dict(zip(keys, listed.truth.column(f"SELECT iccid {answering}"), strict=True))
    assert [found[iccids[key]] for key in keys[:5]] == ["several a day", "weekly", "daily", "daily", "weekly"]
    assert collect(listed.runtime)["usage_resolution"] == {
        "several a day": 1,
        "daily": 2,
        "weekly": sims - 3,
    }
