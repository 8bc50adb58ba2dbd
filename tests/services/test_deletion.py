"""What is deleted for good is nowhere: every column of every table is looked through, whatever tables there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import URL

from resources.database.server import driver_url
from resources.database.session import Database
from services.actions.requests import verify_log
from services.deletion import UnknownError, delete_organization, delete_sim
from services.organizations import organizations
from tests.fleet import NOW
from tests.sql.test_isolation import SEED
from tests.sql.totals import wrong_totals

pytestmark = pytest.mark.timescaledb

ICCID = "8988280666000000077"
IMSI = "901405100000077"
# rows of every kind about one more SIM of `default`, and texts of others that name it
PLANTED = f"""
INSERT INTO core.sims (organization_id, iccid, iccid_with_luhn, imsi, first_seen_at, changed_at)
VALUES (1, '{ICCID}', '{ICCID}5', '{IMSI}', now(), now());
INSERT INTO core.sim_usage (organization_id, sim_key, day, bytes, known_at)
SELECT 1, sim_key, '2026-01-05', 5, now() FROM core.sims WHERE iccid = '{ICCID}';
INSERT INTO predictions.alerts (organization_id, sim_key, kind, severity, message, opened_as_of, opened_at, seen_as_of)
SELECT 1, sim_key, 'silent', 'info', 'SIM {ICCID}', '2026-01-01', now(), '2026-01-01' FROM core.sims
WHERE iccid = '{ICCID}';
INSERT INTO ops.action_requests (organization_id, kind, sim_key, parameters, idempotency_key, cost_minor, requested_by,
 requested_at, changed_by, changed_at)
SELECT 1, 'reset', sim_key, '{{}}', 'planted', 0, 'x', now(), 'x', now() FROM core.sims WHERE iccid = '{ICCID}';
INSERT INTO core.tickets (organization_id, case_id, subject, body, status, communications, changed_at)
VALUES (1, 'named', 'My SIM {ICCID}5 is off', 'IMSI {IMSI}', 'OPEN', '[{{"text": "see {ICCID}"}}]', now());
INSERT INTO raw.landings (organization_id, source, request, body_sha256, body, received_at)
VALUES (1, 'sims', '/v1/sims', 'named', '[{{"iccid": "{ICCID}5"}}]', now()),
    (1, 'usage', '/v1/sims/{ICCID}/usage', 'asked', '', now());
INSERT INTO raw.stream_batches (organization_id, stream_id, body_sha256, body, records, received_at)
VALUES (1, 'stream-of-default', 'named', convert_to('{{"sim": {{"iccid": "{ICCID}"}}}}', 'UTF8'), 1, now());
INSERT INTO ops.quarantine (organization_id, source, record_key, reason, record, first_seen_at, last_seen_at)
VALUES (1, 'sims', '{ICCID}', '', '{{"iccid": "{ICCID}"}}', now(), now());
INSERT INTO predictions.fleet_summaries (organization_id, as_of, content, created_at)
VALUES (1, '2026-01-09', '{{"worst": ["{ICCID}", {ICCID}], "last": {ICCID}5}}', now());
INSERT INTO predictions.reports (organization_id, as_of, html, created_at) VALUES (1, '2026-01-09', '{ICCID}', now());
INSERT INTO predictions.period_reports (organization_id, name, first_day, last_day, data_note, reading, made_at)
VALUES (1, 'x', '2026-01-01', '2026-01-07', '', '', now());
INSERT INTO predictions.report_files (report_id, format, organization_id, file_name, content)
SELECT report_id, 'json', 1, 'x.json', convert_to('{ICCID}', 'UTF8') FROM predictions.period_reports;
"""
TABLES = """
SELECT n.nspname || '.' || c.relname, array_agg(a.attname::text) FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.relkind IN ('r', 'p') AND n.nspname IN ('raw', 'core', 'predictions', 'ops') GROUP BY 1 ORDER BY 1
"""


@pytest.fixture
def admin(database_url: URL) -> Iterator[psycopg.Connection[Any]]:
    url = driver_url(database_url, "").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SEED)
        connection.execute(PLANTED.encode())
        connection.execute("SELECT ops.add_up_days()")
        yield connection


def naming(admin: psycopg.Connection[Any], *words: str) -> list[str]:
    """The tables a row of which holds one of the words anywhere, as text or as bytes."""
    found = []
    for table, _ in admin.execute(TABLES).fetchall():
        patterns = [f"%{form}%" for word in words for form in (word, word.encode().hex())]
        row = admin.execute(f"SELECT count(*) FROM {table} AS t WHERE t::text LIKE ANY (%s)".encode(), (patterns,))
        if row.fetchone() != (0,):
            found.append(table)
    return found


def counts(admin: psycopg.Connection[Any], column: str, value: int) -> dict[str, int]:
    """Rows by table where a column has a value."""
    return {
        table: row[0]
        for table, columns in admin.execute(TABLES).fetchall()
        if column in columns
        for row in admin.execute(f"SELECT count(*) FROM {table} WHERE {column} = %s".encode(), (value,))
        if row[0]
    }


def test_a_sim_that_is_forgotten_is_in_no_table_and_no_text_and_the_log_still_holds(
    admin: psycopg.Connection[Any], database_url: URL
) -> None:
    key = admin.execute("SELECT sim_key FROM core.sims WHERE iccid = %s", (ICCID,)).fetchall()[0][0]
    named, other = naming(admin, ICCID, IMSI), counts(admin, "organization_id", 2)
    assert {"core.tickets", "raw.landings", "raw.stream_batches", "ops.quarantine", "core.sims"} <= set(named)
    shown = delete_sim(database_url, "default", ICCID, by="x", dry_run=True)
    assert naming(admin, ICCID, IMSI) == named
    assert {table for table in named if table != "predictions.report_files"} <= shown.keys()

    assert delete_sim(database_url, "default", ICCID, by="user me", dry_run=False) == shown
    assert naming(admin, ICCID, IMSI) == []
    assert counts(admin, "sim_key", key) == {}
    assert wrong_totals(admin) == []
    assert counts(admin, "organization_id", 2) == other
    assert admin.execute(
        "SELECT subject, body, communications FROM core.tickets WHERE case_id = 'named'"
    ).fetchall() == [("My SIM [deleted] is off", "IMSI [deleted]", [{"text": "see [deleted]"}])]
    assert admin.execute("SELECT content FROM predictions.fleet_summaries").fetchall() == [
        ({"worst": ["[deleted]", None], "last": None},)
    ]
    assert counts(admin, "organization_id", 1)["core.sims"] == 1
    assert admin.execute("SELECT kind, gone, by_whom, rows FROM ops.deletions").fetchall() == [
        ("sim", key, "user me", sum(shown.values()))
    ]
    database = Database(database_url, "default")
    problems, _, _ = verify_log(database)
    assert not [problem for problem in problems if "gone" in problem or "row" in problem]
    database.close()
    assert admin.execute("SELECT count(*) FROM pg_trigger WHERE tgenabled = 'D'").fetchone() == (0,)
    with pytest.raises(UnknownError, match=ICCID):
        delete_sim(database_url, "default", ICCID, by="x", dry_run=True)


def test_an_organization_that_is_removed_is_in_no_table_and_the_other_is_as_it_was(
    admin: psycopg.Connection[Any], database_url: URL
) -> None:
    listed = {row["name"]: (row["sims"], str(row["newest_day"])) for row in organizations(database_url, NOW)}
    assert listed == {"default": (2, "2026-03-01"), "other": (1, "2026-03-01")}
    before, other = counts(admin, "organization_id", 1), counts(admin, "organization_id", 2)
    shown = delete_organization(database_url, "default", by="x", dry_run=True)
    assert shown == before
    assert counts(admin, "organization_id", 1) == before
    assert delete_organization(database_url, "default", by="user me", dry_run=False) == before
    assert counts(admin, "organization_id", 1) == {}
    assert [row["name"] for row in organizations(database_url, NOW)] == ["other"]
    assert counts(admin, "organization_id", 2) == other
    assert naming(admin, ICCID, IMSI) == []
    assert admin.execute("SELECT kind, gone, by_whom FROM ops.deletions").fetchall() == [("organization", 1, "user me")]
    assert admin.execute("SELECT count(*) FROM pg_trigger WHERE tgenabled = 'D'").fetchone() == (0,)
    with pytest.raises(UnknownError, match="default"):
        delete_organization(database_url, "default", by="x", dry_run=True)
