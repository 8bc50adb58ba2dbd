"""The life of SIMs over a simulated fleet, day after day: idempotent, late, isolated, unmoved by outages of ours."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL

from resources.database.session import Database, Transaction
from resources.runtime import Runtime
from services.inputs import LAST_KEY
from services.lifecycle import effective_at, evaluate_lifecycle
from simulator.fleet import Fleet
from tests.fleet import AS_OF, NOW, Account, Truth, at, ingest, settings_for, simulated

DAY = timedelta(days=1)
TABLES = ["core.sim_states", "core.sim_lifecycle", "core.sim_state_counts"]
# a SIM of the small fleet that runs out on 27 August and is topped up by hand on 6 September
RUNS_OUT = 11
START = datetime(2025, 8, 26, 6, tzinfo=UTC)
SOURCES = ("sims", "usage", "quota", "events", "orders")


def states(truth: Truth) -> dict[int, dict[str, Any]]:
    return {row["sim_key"]: row for row in truth.rows("SELECT * FROM core.sim_states")}


def history(truth: Truth, sim: int, kind: str = "state") -> list[tuple[date, str, str]]:
    rows = truth.rows(
        """
        SELECT occurred_on, from_value, to_value FROM core.sim_lifecycle
        WHERE sim_key = %s AND kind = %s ORDER BY occurred_on, entry_id
        """,
        (sim, kind),
    )
    return [(row["occurred_on"], row["from_value"], row["to_value"]) for row in rows]


@pytest.fixture
def story(small_fleet: Fleet, database_url: URL, tmp_path: Path) -> Iterator[Account]:
    """The small fleet in August, before one of its SIMs runs out."""
    with (
        simulated(small_fleet, START) as server,
        Runtime(settings_for(database_url, tmp_path, server.base_url, START)) as runtime,
    ):
        truth = Truth(database_url)
        yield Account(small_fleet, server, runtime, truth)
        truth.close()


def days_pass(story: Account, now: datetime, *sources: str) -> dict[str, Any]:
    """Ingest and evaluate at a time, as the jobs do."""
    story.server.set_now(now)
    with at(story.runtime, now) as runtime:
        if sources:
            ingest(runtime, *sources)
        return evaluate_lifecycle(runtime, runtime.last_complete_day())


def test_a_sim_that_runs_out_is_suspended_and_active_again_after_its_top_up(story: Account) -> None:
    days_pass(story, START, *SOURCES)
    sim = story.truth.one("SELECT sim_key FROM core.sims WHERE iccid = %s", (story.fleet.iccids[RUNS_OUT],))
    assert states(story.truth)[sim]["state"] == "active"

    days_pass(story, START + 3 * DAY, *SOURCES)
    dry = states(story.truth)[sim]
    assert (dry["state"], dry["since"], dry["cause"]) == ("suspended", date(2025, 8, 27), "exhausted")
    assert "-0.2 MB of 499.8 MB are left" in dry["evidence"]

    said = days_pass(story, START + 13 * DAY, *SOURCES)
    back = states(story.truth)[sim]
    assert (back["state"], back["since"], back["resumed_on"]) == ("active", date(2025, 9, 6), date(2025, 9, 6))
    assert said["transitions by kind"]["suspended to active"] == 1
    assert history(story.truth, sim)[-2:] == [
        (date(2025, 8, 27), "active", "suspended"),
        (date(2025, 9, 6), "suspended", "active"),
    ]
    # seen as an order, as an event and as a rise of the quota, and told once
    data = [entry for entry in history(story.truth, sim, "top_up") if entry[2] == "data"]
    assert data[-1] == (date(2025, 9, 6), None, "data")
    assert len([day for day, _, _ in data if day > date(2025, 8, 1)]) == 1


@pytest.mark.timescaledb
def test_evaluating_a_day_again_writes_nothing(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    first = evaluate_lifecycle(runtime, AS_OF)
    before = truth.versions(TABLES)

    again = evaluate_lifecycle(runtime, AS_OF)

    assert first["states new"] == first["dagster/row_count"] == 40
    assert sum(first[f"sims {state}"] for state in ("active", "silent", "suspended", "expired", "deactivated")) == 40
    assert (again["states new"], again["states changed"], again["history entries new"]) == (0, 0, 0)
    assert truth.versions(TABLES) == before


def test_blocks_of_sims_tell_the_same_as_one_and_one_that_fails_is_tried_again(
    filled: tuple[Runtime, Truth], monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, truth = filled
    rows = (
        "SELECT sim_key, state, since, cause, evidence, as_of, off_on, resumed_on FROM core.sim_states"
        " ORDER BY sim_key",
        "SELECT sim_key, kind, occurred_on, from_value, to_value, evidence, as_of FROM core.sim_lifecycle"
        " ORDER BY sim_key, entry_id",
        "SELECT as_of, state, sims FROM core.sim_state_counts ORDER BY as_of, state",
    )

    def two_days(block_sims: int) -> list[Any]:
        with Runtime(runtime.settings.model_copy(update={"block_sims": block_sims})) as parted:
            said = [evaluate_lifecycle(parted, AS_OF - days * DAY) for days in (9, 0)]
        numbers = [{name: n for name, n in one.items() if isinstance(n, int | dict)} for one in said]
        assert [one.pop("blocks") for one in numbers] == [-(-40 // block_sims)] * 2
        return [numbers, *(truth.rows(query) for query in rows)]

    whole = two_days(40)
    for table in TABLES:
        truth.rows(f"DELETE FROM {table}")
    asked = []

    def once_out_of_memory(transaction: Transaction, name: str, *args: Any) -> Any:
        asked.append(name)
        if name == "add_lifecycle_entries" and asked.count(name) == 2:
            transaction.connection.execute("DO $$BEGIN RAISE 'too little memory' USING ERRCODE = '53200'; END$$")
        return merge(transaction, name, *args)

    merge = Transaction.merge
    monkeypatch.setattr(Transaction, "merge", once_out_of_memory)
    assert two_days(7) == whole
    assert asked.count("merge_sim_states") > 6


def test_a_day_before_the_last_one_changes_nothing(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    evaluate_lifecycle(runtime, AS_OF)
    before = truth.versions(TABLES)
    truth.rows("UPDATE core.sims SET status = 'Disabled'")

    assert evaluate_lifecycle(runtime, AS_OF - DAY) == {"evaluated": f"no: states already stand as of {AS_OF}"}
    assert truth.versions(TABLES) == before


@pytest.mark.timescaledb
def test_days_in_order_build_the_history(filled: tuple[Runtime, Truth]) -> None:
    """A past day knows no more than that day: the history of a backfill grows day by day."""
    runtime, truth = filled
    for days in range(60, -1, -12):
        evaluate_lifecycle(runtime, AS_OF - days * DAY)
        assert truth.one("SELECT max(occurred_on) FROM core.sim_lifecycle") <= AS_OF - (days - 2) * DAY
    days = truth.rows(
        "SELECT as_of, sum(sims)::integer AS sims FROM core.sim_state_counts GROUP BY as_of ORDER BY as_of"
    )
    assert len(days) == 6
    assert days[-1]["sims"] == 40
    broken = truth.one(
        """
        SELECT count(*) FROM (
            SELECT from_value, lag(to_value) OVER (PARTITION BY sim_key ORDER BY occurred_on, entry_id) AS before
            FROM core.sim_lifecycle WHERE kind = 'state'
        ) AS chain WHERE from_value IS DISTINCT FROM before
        """
    )
    assert broken == 0


def test_the_present_state_is_the_last_of_the_history(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    evaluate_lifecycle(runtime, AS_OF)
    for sim, row in states(truth).items():
        last = history(truth, sim)[-1]
        assert (last[0], last[2]) == (row["since"], row["state"])


def quiet(truth: Truth, days: int) -> int:
    """A SIM that used to send every day is made silent for its last days; its SIM key."""
    sim: int = truth.one(
        """
        SELECT u.sim_key FROM core.sim_usage AS u JOIN predictions.exhaustions AS e USING (sim_key)
        WHERE u.bytes > 0 AND e.status = 'extrapolated' GROUP BY u.sim_key ORDER BY count(*) DESC, u.sim_key LIMIT 1
        """
    )
    since = AS_OF - days * DAY
    truth.rows(
        "UPDATE core.sim_usage SET bytes = 0, bytes_rx = 0, sms_mo = 0 WHERE sim_key = %s AND day > %s", (sim, since)
    )
    truth.rows("DELETE FROM core.sim_events WHERE sim_key = %s AND occurred_at >= %s::date + 1", (sim, since))
    truth.rows("UPDATE core.sim_connectivity SET located_at = NULL WHERE sim_key = %s", (sim,))
    return sim


@pytest.mark.timescaledb
def test_usage_that_comes_late_wakes_a_silent_sim_and_the_history_keeps_both(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    sim = quiet(truth, 10)
    evaluate_lifecycle(runtime, AS_OF)
    silent = states(truth)[sim]
    assert (silent["state"], silent["since"]) == ("silent", AS_OF - 6 * DAY)
    assert f"Last sign of life on {AS_OF - 10 * DAY}, 10 days up to {AS_OF}" in silent["evidence"]

    truth.rows("UPDATE core.sim_usage SET bytes = 5 WHERE sim_key = %s AND day = %s", (sim, AS_OF - DAY))
    evaluate_lifecycle(runtime, AS_OF)

    assert states(truth)[sim]["state"] == "active"
    assert history(truth, sim)[-2:] == [
        (AS_OF - 6 * DAY, "active", "silent"),
        (AS_OF - DAY, "silent", "active"),
    ]


def test_an_outage_of_ours_makes_nobody_silent(filled: tuple[Runtime, Truth]) -> None:
    """Polling stops for three weeks: no SIM is judged by days that nobody asked for."""
    runtime, truth = filled
    evaluate_lifecycle(runtime, AS_OF)
    before = {sim: row["state"] for sim, row in states(truth).items()}

    for days in (7, 14, 21):
        with at(runtime, NOW + days * DAY) as later:
            said = evaluate_lifecycle(later, later.last_complete_day())
            assert said["transitions by kind"].get("active to silent", 0) == 0

    now = {sim: row["state"] for sim, row in states(truth).items()}
    assert {sim for sim in now if now[sim] == "silent" != before[sim]} == set()
    assert sum(state == "active" for state in now.values()) == sum(state == "active" for state in before.values()) > 20


def test_a_failed_evaluation_leaves_nothing(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    truth.rows("ALTER TABLE core.sim_state_counts ADD CONSTRAINT broken CHECK (sims < 0)")
    with pytest.raises(Exception, match="broken"):
        evaluate_lifecycle(runtime, AS_OF)
    assert truth.versions(TABLES) == {table: set() for table in TABLES}


@pytest.mark.timescaledb
def test_another_organizations_sims_stay_as_they_are(filled: tuple[Runtime, Truth], database_url: URL) -> None:
    runtime, truth = filled
    truth.rows(
        """
        INSERT INTO core.sims (organization_id, iccid, first_seen_at, changed_at, activated_at)
        SELECT ops.organization('other'), iccid, first_seen_at, changed_at, activated_at FROM core.sims
        """
    )
    evaluate_lifecycle(runtime, AS_OF)
    strangers = truth.rows(
        """
        SELECT 1 FROM core.sim_states WHERE organization_id <> 1 UNION ALL
        SELECT 1 FROM core.sim_lifecycle WHERE organization_id <> 1 UNION ALL
        SELECT 1 FROM core.sim_state_counts WHERE organization_id <> 1
        """
    )
    assert strangers == []
    assert len(states(truth)) == 40
    other = Database(runtime.server.simsight, "other")
    assert other.rows("lifecycle_previous", {"first_key": 0, "last_key": LAST_KEY}) == []
    other.close()


def test_ordered_sims_are_those_of_an_order_that_are_not_listed(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    listed, ordered = truth.one("SELECT min(iccid) FROM core.sims"), "8988228066999999999"
    truth.rows(
        """
        INSERT INTO core.orders (organization_id, order_number, order_type, ordered_at, products, iccids, changed_at)
        VALUES (1, 99, 'ADDITIONAL_ORDER', '2025-09-20 10:00Z', '[]', %s, now())
        """,
        ([listed, ordered],),
    )
    assert evaluate_lifecycle(runtime, AS_OF)["sims ordered"] == 1
    (row,) = truth.rows("SELECT * FROM core.sim_states_v1 WHERE state = 'ordered'")
    assert (row["iccid"], row["since"], row["decided_by"]) == (ordered, date(2025, 9, 20), "order 99")


def seen(truth: Truth, sim: int, at: datetime, imei: str | None, country: str | None) -> None:
    truth.rows(
        """
        INSERT INTO core.sim_events (organization_id, sim_key, occurred_at, event_type, imei, country, operator)
        VALUES (1, %s, %s, 'Create PDP Context', %s, %s, 'Telenor')
        """,
        (sim, at, imei, country),
    )


@pytest.mark.timescaledb
def test_another_device_and_another_country_are_told_once_and_new_software_is_not(
    filled: tuple[Runtime, Truth],
) -> None:
    runtime, truth = filled
    sim = truth.one("SELECT min(sim_key) FROM core.sim_events")
    truth.rows("DELETE FROM core.sim_events WHERE sim_key = %s", (sim,))
    june, yesterday = datetime(2025, 6, 1, tzinfo=UTC), NOW - DAY
    seen(truth, sim, june, "3535007200000101", "Germany")
    seen(truth, sim, june + DAY, "3535007200000102", "Germany")
    seen(truth, sim, june + 2 * DAY, "8665007200000101", "France")
    seen(truth, sim, june + 3 * DAY, None, None)
    seen(truth, sim, june + 4 * DAY, None, "Italy")
    seen(truth, sim, june + 4 * DAY + timedelta(hours=1), None, "France")  # there and back within a day
    evaluate_lifecycle(runtime, AS_OF - 2 * DAY)
    # quiet for longer than the days looked at again: held against the last event before them
    seen(truth, sim, yesterday, "1111111111111101", "Norway")
    for _ in range(2):
        evaluate_lifecycle(runtime, AS_OF)

    assert history(truth, sim, "imei_change") == [
        (date(2025, 6, 3), "3535007200000102", "8665007200000101"),
        (yesterday.date(), "8665007200000101", "1111111111111101"),
    ]
    assert history(truth, sim, "country_change") == [
        (date(2025, 6, 3), "Germany", "France"),
        (yesterday.date(), "France", "Norway"),
    ]


@pytest.mark.timescaledb
def test_a_top_up_that_only_the_quota_tells_is_not_told_again_when_its_event_comes(
    filled: tuple[Runtime, Truth],
) -> None:
    runtime, truth = filled
    evaluate_lifecycle(runtime, AS_OF - DAY)
    sim = truth.one(
        """
        SELECT min(sim_key) FROM core.sims
        WHERE sim_key NOT IN (SELECT sim_key FROM core.sim_lifecycle WHERE kind = 'top_up')
        """
    )
    truth.rows("DELETE FROM core.sim_quota WHERE sim_key = %s", (sim,))
    for day, left in ((AS_OF - DAY, 1_000_000), (AS_OF + DAY, 400_000_000)):
        truth.rows(
            """
            INSERT INTO core.sim_quota (organization_id, sim_key, kind, day, observed_at, amount_left, amount_total)
            VALUES (1, %(sim)s, 'data', %(day)s, %(day)s, %(left)s, %(left)s)
            """,
            {"sim": sim, "day": day, "left": left},
        )
    evaluate_lifecycle(runtime, AS_OF)
    truth.rows(
        """
        INSERT INTO core.sim_events (organization_id, sim_key, occurred_at, event_type)
        VALUES (1, %s, %s, 'Data quota topped up')
        """,
        (sim, AS_OF),
    )
    evaluate_lifecycle(runtime, AS_OF)

    told = truth.rows(
        "SELECT to_value, evidence FROM core.sim_lifecycle WHERE kind = 'top_up' AND sim_key = %s", (sim,)
    )
    assert told == [
        {"to_value": "data", "evidence": "The quota rose from 1.0 to 400.0 MB between 2025-09-21 and 2025-09-23."}
    ]


def test_the_quota_of_a_sims_first_day_is_no_top_up(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    sim, day = truth.column("SELECT sim_key FROM core.sims ORDER BY sim_key LIMIT 1")[0], AS_OF - 20 * DAY
    truth.rows("UPDATE core.sims SET activated_at = %s WHERE sim_key = %s", (day, sim))
    for moment in (day, day + 3 * DAY):
        truth.rows(
            "INSERT INTO core.sim_events (organization_id, sim_key, occurred_at, event_type)"
            " VALUES (1, %s, %s, 'Data quota topped up')",
            (sim, moment),
        )
    evaluate_lifecycle(runtime, AS_OF)
    told = truth.column(
        "SELECT evidence FROM core.sim_lifecycle WHERE kind = 'top_up' AND sim_key = %s AND evidence LIKE 'Event%%'",
        (sim,),
    )
    assert told == [f"Event of {day + 3 * DAY}: Data quota topped up."]


def test_a_status_that_changed_later_does_not_judge_an_earlier_day(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    active = "SELECT s.sim_key FROM core.sims AS s WHERE s.status = 'Enabled' ORDER BY s.sim_key LIMIT 2"
    disabled_since, enabled_since = truth.column(active)
    change = "INSERT INTO core.sim_events (organization_id, sim_key, occurred_at, event_type) VALUES (1, %s, %s, %s)"
    past = AS_OF - 20 * DAY
    truth.rows(change, (disabled_since, past + 5 * DAY, "Status of SIM changed from 'Activated' to 'Suspended'"))
    truth.rows("UPDATE core.sims SET status = 'Disabled' WHERE sim_key = %s", (disabled_since,))
    truth.rows(change, (enabled_since, past - 3 * DAY, "Status of SIM changed from 'Activated' to 'Suspended'"))
    truth.rows(change, (enabled_since, past + 5 * DAY, "Status of SIM changed from 'Suspended' to 'Activated'"))

    evaluate_lifecycle(runtime, past)
    then = states(truth)
    assert then[disabled_since]["cause"] != "disabled"
    assert (then[enabled_since]["cause"], then[enabled_since]["since"]) == ("disabled", past - 3 * DAY)

    evaluate_lifecycle(runtime, AS_OF)
    now = states(truth)
    assert (now[disabled_since]["cause"], now[disabled_since]["since"]) == ("disabled", past + 5 * DAY)
    assert now[enabled_since]["state"] in ("active", "silent")


def test_a_sim_that_left_the_list_is_suspended_and_back_when_it_is_listed_again(account: Account) -> None:
    ingest(account.runtime, "sims")
    stranger = account.truth.one(
        """
        INSERT INTO core.sims (organization_id, iccid, status, activated_at, first_seen_at, changed_at)
        VALUES (1, '8988228066999999999', 'Enabled', '2025-01-01', '2025-01-01', '2025-01-01') RETURNING sim_key
        """
    )
    unlisted = "SELECT count(unlisted_at) FROM core.sims"
    assert account.truth.one(unlisted) == 0

    ingest(account.runtime, "sims")
    assert account.truth.one(unlisted) == 1
    evaluate_lifecycle(account.runtime, AS_OF)
    assert states(account.truth)[stranger]["state"] == "activated"  # missing in one reading of the list proves nothing

    with at(account.runtime, NOW + 2 * DAY) as later:
        evaluate_lifecycle(later, later.last_complete_day())
    gone = states(account.truth)[stranger]
    assert (gone["state"], gone["cause"], gone["since"]) == ("suspended", "unlisted", NOW.date())
    assert gone["evidence"] == "Not in the SIM list since 2025-09-24."

    account.truth.rows("UPDATE core.sims SET unlisted_at = now() WHERE sim_key <> %s", (stranger,))
    ingest(account.runtime, "sims")
    assert account.truth.column("SELECT sim_key FROM core.sims WHERE unlisted_at IS NOT NULL") == [stranger]


def test_a_sim_that_1nce_no_longer_knows_is_suspended_and_later_deactivated(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    evaluate_lifecycle(runtime, AS_OF)
    sim = truth.one("SELECT min(sim_key) FROM core.sim_states WHERE state = 'active'")
    gone = "UPDATE ops.polls SET problem = 'OnceNotFoundError', polled_at = %s WHERE sim_key = %s"
    for days, state in ((1, "suspended"), (20, "suspended"), (33, "deactivated")):
        truth.rows(gone, (NOW + days * DAY, sim))
        with at(runtime, NOW + days * DAY) as later:
            evaluate_lifecycle(later, later.last_complete_day())
        assert states(truth)[sim]["state"] == state
    assert "Unknown to 1NCE for 32 days" in states(truth)[sim]["evidence"]


@pytest.mark.parametrize(
    ("now", "moment"),
    [
        (datetime(2025, 9, 24, 2, tzinfo=UTC), datetime(2025, 9, 24, 2, tzinfo=UTC)),
        (datetime(2025, 9, 30, 2, tzinfo=UTC), datetime(2025, 9, 24, 23, 59, 59, 999999, UTC)),
    ],
)
def test_an_evaluation_stands_for_the_day_its_as_of_day_became_complete(now: datetime, moment: datetime) -> None:
    assert effective_at(date(2025, 9, 22), now, 1) == moment
