"""Ingest over real HTTP into a real database: exact, repeatable, interruptible, and unshaken by what 1NCE sends."""

import json
import logging
from datetime import date, datetime, timedelta
from typing import Any

import dagster as dg
import numpy as np
import pytest
from pydantic import SecretStr

from pipelines.definitions import code_location
from resources.once.errors import OnceCredentialsError, OnceUnavailableError
from resources.runtime import Runtime
from resources.settings import SettingsError
from services.ingest.replay import replay
from services.organizations import pause
from simulator.faults import Faults
from simulator.fleet import Fleet
from simulator.hashing import Ints
from tests.fleet import (
    CORE,
    FIRST_DAY,
    NOW,
    PASSWORD,
    TODAY,
    Account,
    Truth,
    at,
    impatient,
    ingest,
    settings_for,
    simulated,
)

DAY = timedelta(days=1)
USAGE = """
SELECT s.iccid, u.day, u.bytes, u.bytes_rx, u.sms_mt, u.sms_mo
FROM core.sim_usage AS u JOIN core.sims AS s USING (sim_key) ORDER BY 1, 2
"""
# what an ingest run leaves behind, without keys and times of its own
CONTENT = {
    "sims": "SELECT iccid, imei, imsi, status, activated_at, label, quota_total, changed_at FROM core.sims AS t",
    "sim_usage": "SELECT iccid, day, bytes, bytes_rx, sms_mt, sms_mo, known_at FROM core.sim_usage AS t "
    "JOIN core.sims USING (sim_key)",
    "sim_quota": "SELECT iccid, kind, day, amount_left, amount_total, t.observed_at FROM core.sim_quota AS t "
    "JOIN core.sims USING (sim_key)",
    "sim_connectivity": "SELECT iccid, day, t.status, operator, observed_at FROM core.sim_connectivity AS t "
    "JOIN core.sims USING (sim_key)",
    "sim_events": "SELECT iccid, occurred_at, event_type, severity FROM core.sim_events AS t "
    "JOIN core.sims USING (sim_key)",
    "sim_sms": "SELECT iccid, sms_id, submitted_at, direction, t.status FROM core.sim_sms AS t "
    "JOIN core.sims USING (sim_key)",
    "products": "SELECT product_id, name, one_time_minor, currency FROM core.products AS t",
    "orders": "SELECT order_number, order_type, ordered_at, invoice_minor, iccids::text FROM core.orders AS t",
    "tickets": "SELECT case_id, subject, body, status, communications::text FROM core.tickets AS t",
    "landings": "SELECT source, request, body FROM raw.landings AS t",
}


@pytest.fixture(scope="module")
def small_fleet() -> Fleet:
    """14 SIMs: one of them expired, one new, one topped up; their events are of 45 days."""
    return Fleet(seed=47, sims=14, start=TODAY - 45 * DAY)


def content(truth: Truth, organization: str = "default") -> dict[str, list[tuple[Any, ...]]]:
    """Every core table and the landings of one organization, as sorted rows."""
    found = {}
    for table, statement in CONTENT.items():
        rows = truth.rows(f"{statement} WHERE t.organization_id = ops.organization(%s)", (organization,))
        found[table] = sorted((tuple(row.values()) for row in rows), key=repr)
    return found


def live(fleet: Fleet, now: datetime) -> Ints:
    """The SIMs that the account shows and that have not expired."""
    day = now.date().toordinal()
    return np.flatnonzero((fleet.demand.activation <= day) & (fleet.demand.expiry > day))


def usage_of(fleet: Fleet, first_day: date, now: datetime) -> list[dict[str, Any]]:
    """The simulated fleet's own usage from `first_day` to `now`, in the shape of USAGE."""
    rows = live(fleet, now)
    last = now.date()
    used = fleet.usage(rows, first_day, last, now)
    expected = []
    for at_row, i in enumerate(rows.tolist()):
        for column in range((last - first_day).days + 1):
            day = first_day + column * DAY
            if day.toordinal() >= fleet.demand.activation[i]:
                cells = [int(part[at_row, column]) for part in (used.volume, used.rx, used.sms_mt, used.sms_mo)]
                names = ("bytes", "bytes_rx", "sms_mt", "sms_mo")
                expected.append({"iccid": fleet.iccids[i], "day": day, **dict(zip(names, cells, strict=True))})
    return sorted(expected, key=lambda row: (row["iccid"], row["day"]))


@pytest.mark.timescaledb
@pytest.mark.parametrize("api", ["v1", "auto"])
def test_every_sim_and_day_of_the_account_is_stored_exactly(account: Account, api: str) -> None:
    with at(account.runtime, NOW, once_api=api) as runtime:
        landed = ingest(runtime, first_day=FIRST_DAY)

    usage = account.truth.rows(USAGE)
    assert usage == usage_of(account.fleet, FIRST_DAY, NOW)
    assert landed["usage"].merged.new == len(usage)
    assert account.truth.column("SELECT iccid FROM core.sims ORDER BY 1") == sorted(account.fleet.iccids)
    # API v2 goes on answering for an expired SIM
    rows = live(account.fleet, NOW) if api == "v1" else np.arange(len(account.fleet.iccids))
    data, sms = account.fleet.remaining(rows, NOW)
    quota = account.truth.rows("""
        SELECT s.iccid, q.kind, q.amount_left FROM core.sim_quota AS q JOIN core.sims AS s USING (sim_key)
    """)
    assert {(row["iccid"], row["kind"]): row["amount_left"] for row in quota} == {
        (account.fleet.iccids[i], kind): int(left[k])
        for kind, left in (("data", data), ("sms", sms))
        for k, i in enumerate(rows.tolist())
    }
    for table in ("sim_connectivity", "sim_events", "sim_sms", "products", "orders", "tickets"):
        assert content(account.truth)[table], f"nothing in core.{table}"
    assert account.truth.one("SELECT count(*) FROM ops.quarantine") == 0


@pytest.mark.timescaledb
def test_the_same_ingest_again_writes_no_row(account: Account) -> None:
    ingest(account.runtime, first_day=FIRST_DAY)
    before = account.truth.versions()

    again = ingest(account.runtime)

    assert account.truth.versions() == before
    assert all(landed.merged.new == landed.merged.changed == 0 for landed in again.values())
    assert again["usage"].merged.unchanged > 0


@pytest.mark.timescaledb
def test_the_same_answer_is_kept_once_as_it_came(account: Account) -> None:
    ingest(account.runtime, "sims", "usage", first_day=FIRST_DAY)
    ingest(account.runtime, "sims", "usage")
    bodies = account.truth.versions(["raw.landings"])
    account.server.clear_requests()

    ingest(account.runtime, "sims", "usage")

    assert account.server.requests
    assert account.truth.versions(["raw.landings"]) == bodies
    assert account.truth.one("SELECT bool_and(body_sha256 = sha256(convert_to(body, 'UTF8'))) FROM raw.landings")
    first = account.truth.rows("SELECT * FROM raw.landings WHERE source = 'usage' ORDER BY landing_id")[0]
    assert first["body"].startswith('{"stats":[')
    assert "start_dt=" in first["request"]


@pytest.mark.timescaledb
def test_a_new_day_brings_only_the_new_day(account: Account) -> None:
    ingest(account.runtime, first_day=FIRST_DAY)
    settled = "SELECT sim_key, day, xmin::text FROM core.sim_usage WHERE day < %s ORDER BY 1, 2"
    before = account.truth.rows(settled, (TODAY,))
    account.server.set_now(NOW + DAY)
    account.server.clear_requests()

    with at(account.runtime, NOW + DAY) as tomorrow:
        landed = ingest(tomorrow)

    assert account.truth.rows(settled, (TODAY,)) == before
    assert account.truth.rows(USAGE) == usage_of(account.fleet, FIRST_DAY, NOW + DAY)
    assert landed["usage"].merged.new == len(live(account.fleet, NOW + DAY))
    asked = [path for _, _, path, _ in account.server.requests if "/usage?" in path]
    assert len(asked) == len(account.fleet.iccids)
    assert all(f"start_dt={TODAY - 3 * DAY}" in path for path in asked if account.fleet.iccids[0] in path)
    # the day that was under way has grown: that is no correction
    assert account.truth.one("SELECT count(*) FROM core.sim_usage_replaced") == 0


class PlugPulled(Exception):  # noqa: N818
    """The process is stopped."""


@pytest.mark.timescaledb
@pytest.mark.parametrize(
    ("kind", "source"), [("1NCE fails", "usage"), ("the process stops", "usage"), ("1NCE fails", "events")]
)
def test_an_interrupted_ingest_goes_on_where_it_stopped_and_ends_as_an_undisturbed_one(
    account: Account, monkeypatch: pytest.MonkeyPatch, kind: str, source: str
) -> None:
    monkeypatch.setattr("services.ingest.ingest_run.BATCH_SIMS", 5)
    fleet = Fleet(seed=4, sims=60, start=TODAY - 10 * DAY)
    with simulated(fleet) as server, at(account.runtime, NOW, once_base_url=server.base_url) as runtime:
        interrupted = Account(fleet, server, runtime, account.truth)
        # slow enough to give up that ten calls have failed, and the service counts as down, before one has failed for
        # good
        once = impatient(runtime, concurrency=10, backoff_s=0.5)
        ingest(runtime, "sims")
        visible = set(account.truth.column("SELECT iccid FROM core.sims"))

        def interrupt(done: int, _of: int) -> None:
            if done >= 10 and kind == "1NCE fails":
                server.set_faults(Faults(server_error_rate=1.0))
            elif done >= 10:
                raise PlugPulled

        with pytest.raises((OnceUnavailableError, PlugPulled)):
            ingest(runtime, source, first_day=FIRST_DAY, once=once, progress=interrupt)
        server.set_faults(Faults())
        answered = set(account.truth.column("SELECT iccid FROM ops.polls JOIN core.sims USING (sim_key)"))
        assert 10 <= len(answered) < len(visible)
        server.clear_requests()
        landed = ingest(runtime, source, first_day=FIRST_DAY, once=once)[source]

        paths = [path for _, _, path, _ in server.requests if f"/{source}?" in path]
        assert len(paths) == len(set(paths))
        assert {iccid for iccid, _ in interrupted.asked(source)} == visible - answered
        assert (landed.already, landed.sims) == (len(answered), len(visible - answered))
        pause(runtime.server.simsight, "other", paused=False)
        with at(runtime, NOW, organization="other") as undisturbed:
            ingest(undisturbed, "sims", source, first_day=FIRST_DAY)
    assert content(account.truth) == content(account.truth, "other")


def test_a_finished_ingest_asks_everyone_again(account: Account) -> None:
    ingest(account.runtime, "sims", "usage")
    account.server.clear_requests()

    landed = ingest(account.runtime, "usage")["usage"]

    assert landed.already == 0
    assert len(account.asked("usage")) == len(account.fleet.iccids)


def test_an_interruption_of_more_than_a_day_ago_is_not_taken_up(account: Account) -> None:
    ingest(account.runtime, "sims", "status")
    account.truth.rows("UPDATE ops.sweeps SET finished_at = NULL, started_at = started_at - interval '25 hours'")
    account.server.clear_requests()

    ingest(account.runtime, "status")

    assert len(account.asked("status")) == len(account.fleet.iccids)


@pytest.mark.timescaledb
def test_a_late_correction_replaces_the_day_and_keeps_the_old_value(account: Account) -> None:
    account.server.set_faults(Faults(late_corrections=True))
    heard: dict[tuple[str, date], list[int]] = {}
    for days in range(5):
        now = NOW + days * DAY
        account.server.set_now(now)
        with at(account.runtime, now) as runtime:
            ingest(runtime, "sims", "usage", first_day=FIRST_DAY if days == 0 else None)
        for row in account.truth.rows("SELECT * FROM core.sim_usage JOIN core.sims USING (sim_key)"):
            values = heard.setdefault((row["iccid"], row["day"]), [])
            # what was known of a day before its end was never a value of the whole day
            if row["known_at"].date() > row["day"] and row["bytes"] not in values[-1:]:
                values.append(row["bytes"])

    settled = TODAY + DAY
    final = [row for row in account.truth.rows(USAGE) if row["day"] <= settled]
    assert final == [row for row in usage_of(account.fleet, FIRST_DAY, now) if row["day"] <= settled]
    replaced = account.truth.rows("""
        SELECT s.iccid, r.day, r.bytes, r.known_from, r.known_to, lead(r.known_from) OVER w AS next_from, u.known_at
        FROM core.sim_usage_replaced AS r JOIN core.sims AS s USING (sim_key)
            JOIN core.sim_usage AS u USING (sim_key, day)
        WINDOW w AS (PARTITION BY r.sim_key, r.day ORDER BY r.known_from) ORDER BY s.iccid, r.day, r.known_from
    """)
    kept: dict[tuple[str, date], list[int]] = {}
    for row in replaced:
        kept.setdefault((row["iccid"], row["day"]), []).append(row["bytes"])
        assert row["known_from"] < row["known_to"] == (row["next_from"] or row["known_at"])
    assert kept == {key: values[:-1] for key, values in heard.items() if len(values) > 1}
    assert len(kept) > 20


def test_a_day_without_a_record_is_not_a_zero(account: Account) -> None:
    account.server.set_faults(Faults(missing_zero_days=True))

    ingest(account.runtime, "sims", "usage", first_day=FIRST_DAY)

    everything = usage_of(account.fleet, FIRST_DAY, NOW)
    traffic = [row for row in everything if row["bytes"] or row["sms_mt"] or row["sms_mo"]]
    assert len(traffic) < len(everything)
    assert account.truth.rows(USAGE) == traffic


def test_a_broken_row_waits_in_quarantine_with_its_reason_and_stops_no_other(account: Account) -> None:
    account.server.set_faults(Faults(text_where_number=True))

    landed = ingest(account.runtime, "sims", "usage", first_day=FIRST_DAY)["usage"]

    everything = {(row["iccid"], row["day"]): row for row in usage_of(account.fleet, FIRST_DAY, NOW)}
    stored = {(row["iccid"], row["day"]): row for row in account.truth.rows(USAGE)}
    waiting = account.truth.rows("SELECT * FROM ops.quarantine ORDER BY record_key")
    broken = sorted(everything.keys() - stored.keys())
    assert len(broken) == len(waiting) == landed.rejected > 5
    assert [row["record_key"] for row in waiting] == [f"{iccid} {day}" for iccid, day in broken]
    assert all(everything[key] == row for key, row in stored.items())
    assert all(row["resolved_at"] is None for row in waiting)
    assert waiting[0]["reason"] == "data.volume: got 'n/a', expected a decimal number"
    assert waiting[0]["record"]["record"]["data"]["volume"] == "n/a"
    assert waiting[0]["record"]["asked"]["iccid"] == broken[0][0]


def test_a_broken_row_that_comes_again_is_one_row_and_a_good_one_supersedes_it(account: Account) -> None:
    account.server.set_faults(Faults(text_where_number=True))
    ingest(account.runtime, "sims", "usage", first_day=FIRST_DAY)
    broken = account.truth.one("SELECT count(*) FROM ops.quarantine")
    with at(account.runtime, NOW + timedelta(hours=1)) as later:
        ingest(later, "usage", first_day=FIRST_DAY)
    seen = account.truth.rows("SELECT first_seen_at, last_seen_at, resolution FROM ops.quarantine")
    assert len(seen) == broken
    assert {(row["first_seen_at"], row["last_seen_at"], row["resolution"]) for row in seen} == {
        (NOW, NOW + timedelta(hours=1), None)
    }

    account.server.set_faults(Faults())
    with at(account.runtime, NOW + timedelta(hours=2)) as later:
        ingest(later, "usage", first_day=FIRST_DAY)

    settled = account.truth.rows("SELECT DISTINCT resolution, resolved_at FROM ops.quarantine")
    assert settled == [{"resolution": "superseded", "resolved_at": NOW + timedelta(hours=2)}]
    assert account.truth.rows(USAGE) == usage_of(account.fleet, FIRST_DAY, NOW)


@pytest.mark.timescaledb
def test_a_replay_after_a_fix_stores_what_passes_now_and_leaves_the_rest(account: Account) -> None:
    account.server.set_faults(Faults(text_where_number=True))
    ingest(account.runtime, "sims", "usage", first_day=FIRST_DAY)
    keys = account.truth.column("SELECT record_key FROM ops.quarantine ORDER BY 1")
    assert replay(account.runtime.database, now=NOW).passed == 0
    # without the broken field, the volume follows from its two parts
    account.truth.rows(
        "UPDATE ops.quarantine SET record = record #- '{record,data,volume}' WHERE record_key <> %s", (keys[0],)
    )

    replayed = replay(account.runtime.database, now=NOW + DAY)

    assert (replayed.tried, replayed.passed, replayed.merged.new) == (len(keys), len(keys) - 1, len(keys) - 1)
    rest = account.truth.rows("SELECT record_key, resolution FROM ops.quarantine WHERE resolved_at IS NULL")
    assert rest == [{"record_key": keys[0], "resolution": None}]
    assert account.truth.column("SELECT DISTINCT resolution FROM ops.quarantine WHERE resolved_at IS NOT NULL") == [
        "replayed"
    ]
    missing = keys[0].split()
    assert account.truth.rows(USAGE) == [
        row for row in usage_of(account.fleet, FIRST_DAY, NOW) if [row["iccid"], row["day"].isoformat()] != missing
    ]
    assert replay(account.runtime.database, now=NOW + 2 * DAY).tried == 1


@pytest.mark.parametrize(
    "faults",
    [Faults(server_error_rate=0.15), Faults(cut_body_rate=0.15)],
    ids=["500 and 503", "cut bodies"],
)
def test_answers_that_fail_or_are_cut_are_asked_again_until_all_is_there(account: Account, faults: Faults) -> None:
    account.server.set_faults(faults)

    landed = ingest(account.runtime, first_day=FIRST_DAY, once=impatient(account.runtime, max_attempts=20))

    assert sum(one.retries for one in landed.values()) > 5
    account.server.set_faults(Faults())
    pause(account.runtime.server.simsight, "other", paused=False)
    with at(account.runtime, NOW, organization="other") as undisturbed:
        ingest(undisturbed, first_day=FIRST_DAY)
    assert content(account.truth) == content(account.truth, "other")


@pytest.mark.parametrize("source", ["status", "tickets"])
def test_a_value_that_no_table_takes_waits_in_quarantine_and_stops_no_other(
    account: Account, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    simulation = account.server._simulation
    runtime = at(account.runtime, NOW, once_api="v1")
    if source == "status":
        ingest(runtime, "sims")
        monkeypatch.setattr(simulation.cards, "status", lambda i, now: {"status": "LOST" if i == 3 else "OFFLINE"})
    else:
        tickets = simulation.back_office.tickets(NOW)
        tickets[0]["status"] = "WAITING"
        monkeypatch.setattr(simulation.back_office, "tickets", lambda now: tickets)

    with runtime:
        landed = ingest(runtime, source)[source]

    assert landed.rejected == 1
    assert landed.merged.new > 1
    assert account.truth.column("SELECT source FROM ops.quarantine") == [source]


def test_a_value_that_cannot_be_read_costs_no_record_and_is_counted(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulation = account.server._simulation
    cards = simulation.cards.cards(np.arange(account.fleet.sims), NOW)
    cards[3] |= {"quota_status": {"id": 7}, "activation_date": "someday"}
    monkeypatch.setattr(simulation.cards, "cards", lambda rows, now: cards)

    landed = ingest(account.runtime, "sims")["sims"]

    assert (landed.rejected, landed.merged.new) == (0, len(cards))
    assert landed.metadata()["values not understood"] == {"quota_status": 1, "activated_at": 1}
    stored = account.truth.rows(
        "SELECT quota_status, activated_at FROM core.sims WHERE iccid = %s", (cards[3]["iccid"],)
    )
    assert stored == [{"quota_status": None, "activated_at": None}]


def test_times_with_a_blank_and_sums_of_usage_are_understood(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    cards = account.server._simulation.cards
    told_quota, told_usage = cards.quota, cards.usage_body

    def quota(i: int, service: str, now: datetime) -> dict[str, Any]:
        answer = told_quota(i, service, now)
        return answer | {"expiry_date": "2035-06-01 00:00:00", "last_status_change_date": "2025-06-01 07:59:09"}

    def usage(*asked: Any) -> bytes:
        total = {"date": "TOTAL", "data": {"volume": "0.000001", "volume_rx": "0.000001", "volume_tx": "0"}}
        return json.dumps({"stats": [*json.loads(told_usage(*asked))["stats"], total]}).encode()

    monkeypatch.setattr(cards, "quota", quota)
    monkeypatch.setattr(cards, "usage_body", usage)

    with at(account.runtime, NOW, once_api="v1") as runtime:
        ingest(runtime, "sims")
        landed = ingest(runtime, "quota", "usage")

    assert (landed["quota"].rejected, landed["usage"].rejected) == (0, 0)
    assert account.truth.column("SELECT DISTINCT expires_at::text FROM core.sim_quota") == ["2035-06-01 00:00:00+00"]
    assert account.truth.rows(USAGE)
    assert set(landed["usage"].notes) == {"TOTAL.data.volume"}


def test_a_sim_whose_call_keeps_failing_is_noted_and_stops_no_other(account: Account) -> None:
    ingest(account.runtime, "sims")
    account.server.set_faults(Faults(server_error_rate=0.7))

    landed = ingest(account.runtime, "status", once=impatient(account.runtime, max_attempts=2))["status"]

    problems = account.truth.rows("SELECT problem, count(*) AS sims FROM ops.polls GROUP BY 1")
    noted = {row["problem"]: row["sims"] for row in problems if row["problem"]}
    assert noted == landed.problems
    assert noted["OnceRequestError"] > 0
    assert landed.sims == len(account.fleet.iccids)
    assert account.truth.one("SELECT count(*) FROM core.sim_connectivity") == landed.sims - sum(noted.values())


def test_what_was_asked_of_1nce_is_counted_over_all_ingest_runs_and_whether_it_answered_at_the_end(
    account: Account,
) -> None:
    def use() -> dict[str, Any]:
        (row,) = account.truth.rows("SELECT requests, retries, breaker_open, changed_at FROM ops.once_use")
        return row

    ingest(account.runtime, "sims")
    asked = use()
    assert asked == {"requests": len(account.server.requests), "retries": 0, "breaker_open": False, "changed_at": NOW}

    account.server.set_faults(Faults(server_error_rate=1.0))
    with pytest.raises(OnceUnavailableError):
        ingest(account.runtime, "status", once=impatient(account.runtime, max_attempts=2))
    down = use()
    assert (down["requests"], down["breaker_open"]) == (len(account.server.requests), True)
    assert down["retries"] > 0

    account.server.set_faults(Faults())
    ingest(account.runtime, "status")
    assert (use()["requests"], use()["breaker_open"]) == (len(account.server.requests), False)


def test_a_token_that_ends_in_the_middle_is_renewed(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.ingest.ingest_run.BATCH_SIMS", 4)
    ingest(account.runtime, "sims")
    account.server.clear_requests()
    simulation = account.server._simulation

    once = impatient(account.runtime, concurrency=2)

    ingest(
        account.runtime, "usage", first_day=FIRST_DAY, once=once, progress=lambda done, of: simulation.tokens.clear()
    )

    statuses = [status for _, status in account.asked("usage")]
    assert 401 in statuses
    assert sum(status in (200, 422) for status in statuses) == len(account.fleet.iccids)
    assert account.truth.rows(USAGE) == usage_of(account.fleet, FIRST_DAY, NOW)


def test_a_sim_on_two_pages_is_stored_once_and_the_one_on_none_is_found(account: Account) -> None:
    fleet = Fleet(seed=3, sims=130, start=TODAY - timedelta(days=10))
    with simulated(fleet) as server, at(account.runtime, NOW, once_base_url=server.base_url) as runtime:
        server.set_faults(Faults(duplicate_sim_across_pages=True))

        ingest(runtime, "sims")

        visible = [fleet.iccids[i] for i in np.flatnonzero(fleet.demand.activation <= TODAY.toordinal())]
        assert account.truth.column("SELECT iccid FROM core.sims ORDER BY 1") == sorted(visible)


def test_an_expired_sim_is_noted_and_stops_nobody(account: Account) -> None:
    expired = [account.fleet.iccids[i] for i in np.flatnonzero(account.fleet.demand.expiry <= TODAY.toordinal())]
    assert expired

    landed = ingest(account.runtime, "sims", "usage", "quota", "status")

    assert landed["usage"].problems == {"OnceSimExpiredError": len(expired)}
    noted = account.truth.rows("""
        SELECT DISTINCT s.iccid, p.problem, p.covered_to FROM ops.polls AS p JOIN core.sims AS s USING (sim_key)
        WHERE p.problem IS NOT NULL
    """)
    assert noted == [{"iccid": iccid, "problem": "OnceSimExpiredError", "covered_to": None} for iccid in expired]
    others = len(account.fleet.iccids) - len(expired)
    assert account.truth.one("SELECT count(DISTINCT sim_key) FROM core.sim_usage") == others


def test_wrong_credentials_stop_at_once_and_name_the_settings(
    account: Account, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = "a-wrong-password-of-the-tests"
    slept: list[float] = []
    monkeypatch.setattr("dagster._core.execution.plan.active.time.sleep", slept.append)
    with (
        at(account.runtime, NOW, once_password=SecretStr(wrong)) as runtime,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        with pytest.raises(OnceCredentialsError, match=r"ONCE_USERNAME.*ONCE_PASSWORD"):
            ingest(runtime, "sims")
        account.server.clear_requests()

        run = (
            code_location(runtime)
            .resolve_job_def("ingest")
            .execute_in_process(
                instance=instance,
                partition_key=TODAY.isoformat(),
                raise_on_error=False,
                run_config={"loggers": {"terminal": {}}},
            )
        )

        assert not run.success
        # products, orders, tickets and sims each try to log in once, and none of them again
        assert [status for _, _, path, status in account.server.requests if path.endswith("/oauth/token")] == [400] * 4
        assert not [event for event in run.all_events if event.is_step_up_for_retry]
        assert wrong not in "".join(str(event) for event in run.all_events)
    assert wrong not in caplog.text
    assert account.truth.one("SELECT count(*) FROM raw.landings") == 0


def test_without_an_account_the_settings_to_make_are_named(account: Account) -> None:
    with (
        at(account.runtime, NOW, once_username=None, once_password=None) as runtime,
        pytest.raises(SettingsError, match=r"ONCE_USERNAME and ONCE_PASSWORD .*simsight demo"),
    ):
        ingest(runtime, "sims")


def test_simulated_and_real_sims_never_share_an_organization(account: Account) -> None:
    ingest(account.runtime, "sims")
    real = settings_for(account.runtime.server.simsight, account.runtime.settings.home, "https://api.example.com/x")

    with Runtime(real) as runtime, pytest.raises(SettingsError, match=r"synthetic data.*SIMSIGHT_ORGANIZATION"):
        ingest(runtime, "sims")


def test_no_secret_is_stored_or_logged(account: Account, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        account.server.set_faults(Faults(server_error_rate=0.05, text_where_number=True))
        ingest(account.runtime, first_day=FIRST_DAY, once=impatient(account.runtime, max_attempts=20))

    secrets = [PASSWORD, *account.server._simulation.tokens]
    assert len(secrets) > 1
    stored = account.truth.column("""
        SELECT source || request || body FROM raw.landings UNION ALL SELECT reason || record FROM ops.quarantine
        UNION ALL SELECT to_jsonb(p)::text FROM ops.polls AS p
    """)
    text = caplog.text + "".join(stored)
    assert not [secret for secret in secrets if secret in text]


def test_the_tables_compared_here_are_all_that_ingest_fills() -> None:
    assert set(CORE) == set(CONTENT) - {"landings"}
