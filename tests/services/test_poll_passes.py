"""Passes over a fleet that is too large for its budget of requests: the planner chooses, over real HTTP and a real
database."""

from collections import Counter
from datetime import timedelta

import pytest

from resources.runtime import Runtime
from services.ingest.endpoints import ENDPOINTS, SIMS
from services.ingest.ingest_run import IngestResult, ingest_account, ingest_fleet, poll_budget
from services.ingest.poll_planner import SOURCES as POLLED
from services.ingest.poll_planner import fleet_cost
from services.status import collect
from tests.fleet import NOW, Account, at

BUDGET = 40  # of 24 SIMs, which take 144


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
    results = one_pass(listed.runtime, budget=fleet_cost(sims))
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
