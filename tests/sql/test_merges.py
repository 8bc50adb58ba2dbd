"""The merges on a real server: what is counted, what is written, what is kept, and what is left alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import psycopg
import pytest
from sqlalchemy import URL

from resources.database.server import driver_url
from resources.database.session import Database, Merged, staged_columns
from tests.sql.totals import wrong_totals

pytestmark = pytest.mark.timescaledb

DAY = date(2026, 3, 10)
MIDDAY = datetime(2026, 3, 10, 12, tzinfo=UTC)  # within the day
LATER = datetime(2026, 3, 12, 9, tzinfo=UTC)  # the day has ended
LATEST = LATER + timedelta(days=1)
TYPES: dict[str, Any] = {
    '"char"': pl.String,
    "integer": pl.Int32,
    "smallint": pl.Int16,
    "bigint": pl.Int64,
    "text": pl.String,
    "jsonb": pl.String,
    "text[]": pl.String,
    "boolean": pl.Boolean,
    "date": pl.Date,
    "timestamptz": pl.Datetime("us", "UTC"),
    "double precision": pl.Float64,
}


def rows(merge: str, *records: dict[str, Any]) -> pl.DataFrame:
    """A frame as the merge takes it; what a record leaves out is NULL."""
    columns = staged_columns(merge)
    assert all(record.keys() <= columns.keys() for record in records), "a record has a column the merge does not take"
    return pl.DataFrame(
        [{name: record.get(name) for name in columns} for record in records],
        schema={name: TYPES[kind] for name, kind in columns.items()},
    )


def merge(database: Database, name: str, *records: dict[str, Any]) -> Merged:
    with database.transaction() as transaction:
        return transaction.merge(name, rows(name, *records))


@pytest.fixture
def admin(database_url: URL) -> Iterator[psycopg.Connection[Any]]:
    """Sees every organization and every system column; whatever a test merged, totals of days are what rows say."""
    with psycopg.connect(
        driver_url(database_url, "").render_as_string(hide_password=False), autocommit=True
    ) as connection:
        yield connection
        assert wrong_totals(connection) == []


@pytest.fixture
def sims(database: Database) -> dict[str, int]:
    """Small keys of three SIMs by ICCID."""
    cards = [f"89882806660000000{n:02d}" for n in (1, 2, 3)]
    seen = {"status": "Enabled", "first_seen_at": MIDDAY, "changed_at": MIDDAY}
    merge(database, "merge_sims", *({"iccid": iccid, **seen} for iccid in cards))
    return {row["iccid"]: row["sim_key"] for row in database.rows("sim_keys")}


@pytest.fixture
def sim(sims: dict[str, int]) -> int:
    return min(sims.values())


def used(sim: int, volume: int, known_at: datetime, day: date = DAY, **more: Any) -> dict[str, Any]:
    known = {"sim_key": sim, "day": day, "bytes": volume, "bytes_rx": 0, "known_at": known_at}
    return {**known, "source": "call", "grade": "A", **more}


def stored(admin: psycopg.Connection[Any], table: str, columns: str = "t.*") -> list[Any]:
    return admin.execute(f"SELECT {columns} FROM {table} AS t ORDER BY 1".encode()).fetchall()


# --- usage -----------------------------------------------------------------------------------------------------------


def test_new_changed_and_unchanged_days_are_counted_apart(database: Database, sim: int) -> None:
    days = [DAY + timedelta(days=n) for n in range(3)]
    assert merge(database, "merge_usage", *(used(sim, 100, LATER, day) for day in days[:2])) == Merged(new=2)
    again = [used(sim, 100, LATEST, days[0]), used(sim, 150, LATEST, days[1]), used(sim, 100, LATEST, days[2])]
    assert merge(database, "merge_usage", *again) == Merged(new=1, changed=1, unchanged=1)


def test_an_empty_frame_is_no_work(database: Database) -> None:
    assert merge(database, "merge_usage") == Merged()


def test_the_same_rows_again_touch_nothing(database: Database, admin: psycopg.Connection[Any], sim: int) -> None:
    records = [used(sim, n, LATER, DAY + timedelta(days=n), sms_mt=n, bytes_rx=None) for n in range(40)]
    merge(database, "merge_usage", *records)
    before = stored(admin, "core.sim_usage", "t.ctid::text, t.xmin::text, t.tableoid, t.*")
    assert merge(database, "merge_usage", *records) == Merged(unchanged=40)
    assert merge(database, "merge_usage", *(record | {"known_at": LATEST} for record in records)) == Merged(
        unchanged=40
    )
    assert stored(admin, "core.sim_usage", "t.ctid::text, t.xmin::text, t.tableoid, t.*") == before


def test_a_late_correction_replaces_the_day_and_keeps_what_it_replaced_with_its_time(
    database: Database, admin: psycopg.Connection[Any], sim: int
) -> None:
    merge(database, "merge_usage", used(sim, 100, LATER, bytes_rx=40, sms_mt=1, sms_mo=2))
    assert merge(database, "merge_usage", used(sim, 130, LATEST, bytes_rx=60, sms_mt=1)) == Merged(changed=1)
    assert stored(admin, "core.sim_usage", "bytes, bytes_rx, sms_mt, sms_mo, known_at") == [(130, 60, 1, None, LATEST)]
    kept = stored(admin, "core.sim_usage_replaced", "day, bytes, bytes_rx, sms_mt, sms_mo, known_from, known_to")
    assert kept == [(DAY, 100, 40, 1, 2, LATER, LATEST)]


def test_each_of_several_corrections_is_kept_without_a_gap(
    database: Database, admin: psycopg.Connection[Any], sim: int
) -> None:
    times = [LATER + timedelta(hours=n) for n in range(4)]
    for n, time in enumerate(times):
        merge(database, "merge_usage", used(sim, 100 + n, time))
    kept = stored(admin, "core.sim_usage_replaced", "known_from, known_to, bytes")
    assert kept == [(times[n], times[n + 1], 100 + n) for n in range(3)]
    assert stored(admin, "core.sim_usage", "known_at, bytes") == [(times[3], 103)]


def test_the_growth_of_a_day_that_has_not_ended_is_no_correction(
    database: Database, admin: psycopg.Connection[Any], sim: int
) -> None:
    for hour, volume in ((0, 10), (6, 20), (11, 30)):
        merge(database, "merge_usage", used(sim, volume, MIDDAY + timedelta(hours=hour)))
    assert merge(database, "merge_usage", used(sim, 55, LATER)) == Merged(changed=1)
    assert stored(admin, "core.sim_usage", "bytes, known_at") == [(55, LATER)]
    assert stored(admin, "core.sim_usage_replaced") == []


def test_a_value_known_at_the_very_end_of_its_day_counts_as_final(
    database: Database, admin: psycopg.Connection[Any], sim: int
) -> None:
    midnight = datetime(2026, 3, 11, tzinfo=UTC)
    merge(database, "merge_usage", used(sim, 10, midnight))
    merge(database, "merge_usage", used(sim, 20, LATER))
    assert stored(admin, "core.sim_usage_replaced", "bytes, known_from, known_to") == [(10, midnight, LATER)]


def test_an_older_answer_does_not_overwrite_a_newer_one(
    database: Database, admin: psycopg.Connection[Any], sim: int
) -> None:
    merge(database, "merge_usage", used(sim, 130, LATEST))
    assert merge(database, "merge_usage", used(sim, 100, LATER)) == Merged(unchanged=1)
    assert stored(admin, "core.sim_usage", "bytes, known_at") == [(130, LATEST)]
    assert stored(admin, "core.sim_usage_replaced") == []


def test_an_impossible_volume_is_refused_by_the_table_itself(
    database: Database, admin: psycopg.Connection[Any], sim: int
) -> None:
    good = used(sim, 5, LATER, DAY + timedelta(days=1))
    for wrong in ({"bytes": -1, "bytes_rx": None}, {"bytes": 10, "bytes_rx": 11}, {"bytes": 1, "sms_mt": -1}):
        with pytest.raises(psycopg.errors.CheckViolation):
            merge(database, "merge_usage", good, used(sim, 0, LATER) | wrong)
    assert stored(admin, "core.sim_usage") == []


# --- the other tables ------------------------------------------------------------------------------------------------


def other_merges(sim: int) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """For each remaining merge, a record and what changes it."""
    key = {"sim_key": sim}
    seen = {"first_seen_at": MIDDAY, "changed_at": MIDDAY}
    forecast = {
        "as_of": DAY,
        "day": DAY,
        "scoring_id": 1,
        "mean": 5,
        "q025": 1,
        "q10": 2,
        "q50": 3,
        "q90": 8,
        "q975": 9,
    }
    return {
        "merge_sims": ({"iccid": "8988280666000000009", "label": "a", **seen}, {"label": None}),
        "merge_quota": (
            {**key, "kind": "data", "day": DAY, "observed_at": MIDDAY, "amount_left": -5, "expires_at": LATER},
            {"amount_left": 10**15},
        ),
        "merge_connectivity": ({**key, "day": DAY, "observed_at": MIDDAY, "status": "ONLINE"}, {"operator": "O2"}),
        "merge_events": ({**key, "occurred_at": MIDDAY, "event_type": "Update location"}, {"alert": True}),
        "merge_sms": ({**key, "sms_id": 2**40, "submitted_at": MIDDAY, "direction": "MT"}, {"delivered_at": LATER}),
        "merge_products": ({"product_id": 1, "name": "SIM", "changed_at": MIDDAY}, {"one_time_minor": 1_000}),
        "merge_orders": (
            {"order_number": 7, "order_type": "TOPUP", "products": "[]", "iccids": "{}", "changed_at": MIDDAY},
            {"iccids": '{"8988280666000000001"}', "products": '[{"quantity": 2, "product_id": 1}]'},
        ),
        "merge_tickets": (
            {"case_id": "c", "status": "OPEN", "communications": "[]", "changed_at": MIDDAY},
            {"status": "CLOSED", "solved_at": LATER},
        ),
        "merge_usage_forecasts": ({**key, **forecast}, {"mean": 6}),
        "merge_exhaustions": (
            {**key, "as_of": DAY, "scoring_id": 1, "status": "ok", "p_7": 0.1, "p50_date": DAY},
            {"p_7": 0.1 + 0.2, "cause": "volume"},
        ),
        "merge_churn_risks": (
            {
                **key,
                **dict.fromkeys(("p_30", "p_60", "p_90", "p_180", "any_end", "worth"), 0.1),
                **dict.fromkeys(("p_dead_device", "p_switched_off", "p_swapped", "p_exhausted", "p_expired"), 0.0),
                **{"as_of": DAY, "scoring_id": 1, "risk_level": "low", "cause": "swapped", "held_out": False},
                **{"reasons": "it is silent", "action": "watch", "contributions": "[]"},
            },
            {"p_90": 0.1 + 0.2, "value_minor": 1000, "currency": "EUR"},
        ),
        "merge_quota_recommendations": (
            {
                **key,
                "as_of": DAY,
                "scoring_id": 1,
                "action": "nothing",
                "outage_days": 0.0,
                "outage_p": 0.1,
                "probability": 0.0,
                "currency": "EUR",
                "reason": "No action is cheaper.",
                "valid_until": LATER.date(),
                "rule_action": "keep",
                **{f"{name}_minor": 5 for name in ("cost", "spend", "saving", "saving_p10", "saving_p90")},
            },
            {"action": "top_up", "month": 1, "packs": 1, "saving_minor": 700},
        ),
        "merge_realized_savings": (
            {
                "month": DAY.replace(day=1),
                "scope": "all",
                "sims": 2,
                "predicted_minor": 100,
                "realized_minor": 90,
                "currency": "EUR",
                "computed_at": MIDDAY,
            },
            {"realized_minor": 95},
        ),
    }


TABLES = {
    "merge_sims": "core.sims",
    "merge_quota": "core.sim_quota",
    "merge_connectivity": "core.sim_connectivity",
    "merge_events": "core.sim_events",
    "merge_sms": "core.sim_sms",
    "merge_products": "core.products",
    "merge_orders": "core.orders",
    "merge_tickets": "core.tickets",
    "merge_usage_forecasts": "predictions.usage_forecasts",
    "merge_exhaustions": "predictions.exhaustions",
    "merge_churn_risks": "predictions.churn_risks",
    "merge_quota_recommendations": "predictions.quota_recommendations",
    "merge_realized_savings": "predictions.realized_savings",
}


def test_every_merge_writes_new_and_changed_rows_only(
    database: Database, admin: psycopg.Connection[Any], sim: int
) -> None:
    versions = "t.tableoid, t.ctid::text, t.xmin::text"
    made_by = {"model_name": "m", "model_version": 1, "run_id": "r", "as_of": DAY, "now": MIDDAY}
    assert database.row("new_scoring", made_by) == {"scoring_id": 1}
    for name, (record, change) in other_merges(sim).items():
        assert (name, merge(database, name, record)) == (name, Merged(new=1))
        before = stored(admin, TABLES[name], versions)
        again = record | ({"changed_at": LATER} if "changed_at" in record else {})
        assert (name, merge(database, name, again)) == (name, Merged(unchanged=1))
        assert stored(admin, TABLES[name], versions) == before, name
        assert (name, merge(database, name, again | change)) == (name, Merged(changed=1))
        assert stored(admin, TABLES[name], versions) != before, name
        assert (name, merge(database, name, again | change)) == (name, Merged(unchanged=1))


def test_an_earlier_observation_of_a_day_does_not_replace_a_later_one(database: Database, sim: int) -> None:
    for name in ("merge_quota", "merge_connectivity"):
        record, change = other_merges(sim)[name]
        merge(database, name, record)
        earlier, later = (record | change | {"observed_at": MIDDAY + timedelta(hours=h)} for h in (-1, 1))
        assert (name, merge(database, name, earlier)) == (name, Merged(unchanged=1))
        assert (name, merge(database, name, later)) == (name, Merged(changed=1))


def test_the_same_answer_lands_once_however_often_it_comes(database: Database, admin: psycopg.Connection[Any]) -> None:
    answer = {"source": "usage", "request": "/v1/sims/1/usage", "body": '{"stats": []}', "received_at": MIDDAY}
    other = answer | {"body": "Straße \\N \U0001f600"}
    assert merge(database, "merge_raw_responses", answer, answer, other) == Merged(new=2, unchanged=1)
    assert merge(database, "merge_raw_responses", answer | {"received_at": LATER}) == Merged(unchanged=1)
    kept = stored(admin, "raw.landings", "body, received_at, body_sha256 = sha256(convert_to(body, 'UTF8'))")
    assert set(kept) == {(answer["body"], MIDDAY, True), (other["body"], MIDDAY, True)}


@pytest.fixture
def other(database_url: URL) -> Iterator[Database]:
    """The same database, for the organization `other`."""
    opened = Database(database_url, "other")
    yield opened
    opened.close()


def test_two_organizations_keep_the_same_iccid_apart(
    database: Database, other: Database, admin: psycopg.Connection[Any]
) -> None:
    card = {"iccid": "8988280666000000001", "first_seen_at": MIDDAY, "changed_at": MIDDAY}
    assert merge(database, "merge_sims", card | {"label": "ours"}) == Merged(new=1)
    assert merge(other, "merge_sims", card | {"label": "theirs"}) == Merged(new=1)
    assert merge(database, "merge_sims", card | {"label": "ours"}) == Merged(unchanged=1)
    assert {row[1] for row in stored(admin, "core.sims", "organization_id, label")} == {"ours", "theirs"}


def test_two_loads_of_the_same_days_at_once_wait_for_each_other_and_lose_nothing(
    database: Database, admin: psycopg.Connection[Any], sim: int
) -> None:
    records = [used(sim, 100 + n, LATER, DAY - timedelta(days=n)) for n in range(200)]
    with ThreadPoolExecutor(4) as threads:
        outcomes = list(threads.map(lambda _: merge(database, "merge_usage", *records), range(4)))
    assert sum(outcomes, Merged()) == Merged(new=200, unchanged=600)
    assert len(stored(admin, "core.sim_usage", "bytes")) == 200


def test_a_merge_cannot_take_over_a_day_of_another_organization(
    database: Database, other: Database, admin: psycopg.Connection[Any], sim: int
) -> None:
    merge(database, "merge_usage", used(sim, 5, LATER))
    with pytest.raises(psycopg.errors.UniqueViolation):  # it does not see the row, and may not write over it
        merge(other, "merge_usage", used(sim, 7, LATEST))
    assert stored(admin, "core.sim_usage", "bytes") == [(5,)]


# --- quarantine ------------------------------------------------------------------------------------------------------


def bad(seen_at: datetime, reason: str = "volume: not a number", **more: Any) -> dict[str, Any]:
    record = json.dumps({"record": {"volume": "n/a"}, "asked": {}})
    return {
        "source": "usage",
        "record_key": "1 2026-03-10",
        "reason": reason,
        "record": record,
        "seen_at": seen_at,
        **more,
    }


def settled(seen_at: datetime, record_key: str = "1 2026-03-10") -> dict[str, Any]:
    return {"source": "usage", "record_key": record_key, "seen_at": seen_at, "resolution": "superseded"}


def test_a_broken_record_is_quarantined_once_however_often_it_comes(
    database: Database, admin: psycopg.Connection[Any]
) -> None:
    assert merge(database, "merge_quarantine", bad(MIDDAY), bad(MIDDAY)) == Merged(new=1)
    assert merge(database, "merge_quarantine", bad(MIDDAY)) == Merged(changed=1)
    assert merge(database, "merge_quarantine", bad(LATER)) == Merged(changed=1)
    assert merge(database, "merge_quarantine", bad(MIDDAY)) == Merged(changed=1)
    assert stored(admin, "ops.quarantine", "first_seen_at, last_seen_at, resolved_at") == [(MIDDAY, LATER, None)]


def test_a_good_record_settles_all_that_was_wrong_with_its_key(
    database: Database, admin: psycopg.Connection[Any]
) -> None:
    merge(
        database, "merge_quarantine", bad(MIDDAY), bad(MIDDAY, "day: missing"), bad(MIDDAY, record_key="2 2026-03-10")
    )
    assert merge(database, "resolve_quarantine", settled(LATER), settled(LATER, "unknown")) == Merged(
        changed=2, unchanged=1
    )
    assert [row["record_key"] for row in database.rows("quarantine_open")] == ["2 2026-03-10"]
    assert set(stored(admin, "ops.quarantine", "resolved_at, resolution")) == {(LATER, "superseded"), (None, None)}
    assert merge(database, "resolve_quarantine", settled(LATEST)) == Merged(unchanged=1)


def test_a_settled_record_that_breaks_the_rule_again_is_open_again(
    database: Database, admin: psycopg.Connection[Any]
) -> None:
    merge(database, "merge_quarantine", bad(MIDDAY))
    merge(database, "resolve_quarantine", settled(LATER))
    assert database.rows("quarantine_open") == []
    assert merge(database, "merge_quarantine", bad(LATEST)) == Merged(changed=1)
    found = stored(admin, "ops.quarantine", "first_seen_at, last_seen_at, resolved_at, resolution")
    assert found == [(MIDDAY, LATEST, None, None)]


# --- alerts ----------------------------------------------------------------------------------------------------------


def evaluate(database: Database, as_of: date, *holding: dict[str, Any]) -> dict[str, Any]:
    now = datetime(as_of.year, as_of.month, as_of.day, 6, tzinfo=UTC) + timedelta(days=2)
    with database.transaction() as transaction:
        transaction.stage("update_alerts", rows("update_alerts", *holding))
        counts = transaction.row("update_alerts", {"as_of": as_of, "now": now})
    assert counts is not None
    return counts


def alert(sim: int, kind: str = "exhaustion", **more: Any) -> dict[str, Any]:
    return {
        "sim_key": sim,
        "kind": kind,
        "severity": "warning",
        "value": 0.8,
        "threshold": 0.5,
        "message": "soon",
        **more,
    }


DAYS = [DAY + timedelta(days=n) for n in range(5)]


def test_an_alert_is_opened_once_and_kept_without_a_new_row(
    database: Database, admin: psycopg.Connection[Any], sim: int
) -> None:
    assert evaluate(database, DAYS[0], alert(sim)) == {"opened": 1, "updated": 0, "closed": 0, "holding": 1}
    first = stored(admin, "predictions.alerts", "alert_id, opened_as_of, opened_at")
    assert evaluate(database, DAYS[1], alert(sim, severity="critical"))["updated"] == 1
    assert stored(admin, "predictions.alerts", "alert_id, opened_as_of, opened_at") == first
    assert stored(admin, "predictions.alerts", "severity, seen_as_of, closed_at") == [("critical", DAYS[1], None)]


def test_the_same_evaluation_again_writes_nothing(
    database: Database, admin: psycopg.Connection[Any], sims: dict[str, int]
) -> None:
    holding = [alert(sim) for sim in sims.values()]
    evaluate(database, DAYS[0], *holding)
    before = stored(admin, "predictions.alerts", "ctid::text, xmin::text")
    again = evaluate(database, DAYS[0], *holding)
    assert again == {"opened": 0, "updated": 0, "closed": 0, "holding": 3}
    assert stored(admin, "predictions.alerts", "ctid::text, xmin::text") == before


def test_an_alert_is_closed_when_over_and_a_new_one_opened_when_it_comes_back(
    database: Database, admin: psycopg.Connection[Any], sim: int
) -> None:
    evaluate(database, DAYS[0], alert(sim))
    assert evaluate(database, DAYS[1])["closed"] == 1
    assert evaluate(database, DAYS[2])["closed"] == 0
    assert evaluate(database, DAYS[3], alert(sim))["opened"] == 1
    assert stored(admin, "predictions.alerts", "alert_id > 1, opened_as_of, seen_as_of, closed_as_of") == [
        (False, DAYS[0], DAYS[0], DAYS[1]),
        (True, DAYS[3], DAYS[3], None),
    ]


def test_alerts_of_other_kinds_and_sims_live_their_own_lives(
    database: Database, admin: psycopg.Connection[Any], sims: dict[str, int]
) -> None:
    first, second, _ = sims.values()
    evaluate(database, DAYS[0], alert(first), alert(first, "silent"), alert(second))
    counts = evaluate(database, DAYS[1], alert(first, "silent"), alert(second), alert(second, "quota_80"))
    assert counts == {"opened": 1, "updated": 2, "closed": 1, "holding": 3}
    still = admin.execute(
        "SELECT sim_key, kind FROM predictions.alerts WHERE closed_at IS NULL ORDER BY 1, 2"
    ).fetchall()
    assert still == sorted([(first, "silent"), (second, "exhaustion"), (second, "quota_80")])


def test_a_sim_can_have_one_open_alert_of_a_kind_only(
    database: Database, admin: psycopg.Connection[Any], sim: int
) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation):
        evaluate(database, DAYS[0], alert(sim), alert(sim, severity="info"))
    assert stored(admin, "predictions.alerts") == []


def test_one_organization_s_evaluation_leaves_the_alerts_of_another_open(
    database: Database, other: Database, admin: psycopg.Connection[Any], sim: int
) -> None:
    evaluate(database, DAYS[0], alert(sim))
    assert evaluate(other, DAYS[1])["closed"] == 0
    assert stored(admin, "predictions.alerts", "closed_at") == [(None,)]
