"""Where the server compresses, big tables have no row-level security: what their views let through, and to whom.

No server of the tests compresses; they ask for the views as `simsight migrate` does there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege, UndefinedTable, WithCheckOptionViolation
from sqlalchemy import URL

from resources.database.migrations import ensure_organization, migrate
from resources.database.server import driver_url
from sql import query
from tests.sql.behind_views import BIG, put_behind_views

pytestmark = pytest.mark.timescaledb

# both organizations; every number and text of the other one is 66600666
SEED = """
INSERT INTO core.sims (organization_id, iccid, label, first_seen_at, changed_at)
SELECT organization_id, lpad(organization_id::text || n, 19, '8'), slug, now(), now()
FROM core.organizations, generate_series(1, 40) AS n ORDER BY n;
CREATE TEMP TABLE own_or_other AS
SELECT organization_id, sim_key, CASE label WHEN 'other' THEN 66600666 ELSE 5 END AS n FROM core.sims;
INSERT INTO core.sim_usage (organization_id, sim_key, day, bytes, known_at)
SELECT organization_id, sim_key, d, n, d
FROM own_or_other, generate_series('2026-01-01'::date, '2026-01-20', '1 day') AS d;
INSERT INTO core.sim_quota (organization_id, sim_key, kind, day, observed_at, amount_left)
SELECT organization_id, sim_key, 'data', d, d, n
FROM own_or_other, generate_series('2026-01-01'::date, '2026-01-20', '1 day') AS d;
INSERT INTO core.sim_connectivity (organization_id, sim_key, day, observed_at, status, country, operator)
SELECT organization_id, sim_key, '2026-01-05', '2026-01-05', 'ONLINE', n::text, n::text FROM own_or_other;
INSERT INTO core.sim_events (organization_id, sim_key, occurred_at, event_type)
SELECT organization_id, sim_key, '2026-01-05', n::text FROM own_or_other;
INSERT INTO core.stream_usage
    (organization_id, record_id, sim_key, day, kind, started_at, ended_at, bytes, sms, known_at)
SELECT organization_id, sim_key, sim_key, '2026-01-21', 'data', now(), now(), n, 0, now() FROM own_or_other;
INSERT INTO predictions.scorings (organization_id, model_name, model_version, run_id, as_of, created_at)
SELECT organization_id, 'm', 1, 'r', '2026-01-20', now() FROM core.organizations;
INSERT INTO predictions.usage_forecasts
    (organization_id, sim_key, as_of, day, scoring_id, mean, q025, q10, q50, q90, q975)
SELECT organization_id, sim_key, r.as_of, r.as_of + i, scoring_id, n, n, n, n, n, n
FROM own_or_other JOIN predictions.scorings AS r USING (organization_id), generate_series(1, 30) AS i;
ANALYZE;
CREATE FUNCTION public.leak(anything) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$
BEGIN RAISE NOTICE 'leaked %', $1; RETURN true; END $$;
""".replace("leak(anything)", "leak(anyelement)")
# a column of each that says whose the row is
SHOWN = {
    "core.sim_usage": "bytes",
    "core.sim_quota": "amount_left",
    "core.sim_connectivity": "country",
    "core.sim_events": "event_type",
    "core.stream_usage": "bytes",
    "predictions.usage_forecasts": "mean",
    "core.sim_usage_v1": "bytes",
    "core.sim_quota_v1": "amount_left",
    "core.sim_events_v1": "event_type",
    "core.sim_usage_early_v1": "bytes",
    "predictions.usage_forecasts_v1": "mean",
    "core.sims_v1": "remaining_mb",
    "core.sim_newest": "usage_day",
    "core.sim_last_quota": "amount_left",
    "core.sim_last_connection": "country",
    "predictions.newest_forecasts": "as_of",
}
N = 66600666
TABLES = [name for name in SHOWN if name.split(".")[1] in BIG]
BEFORE = 51  # the last migration without the schema of the big tables
WAYS = (
    "SELECT count(*) FROM {view} WHERE public.leak({column})",
    "SELECT count(*) FROM {view} AS v WHERE public.leak(v.*)",
    "SELECT count(*) FILTER (WHERE public.leak({column})) FROM {view}",
    "SELECT * FROM {view} ORDER BY public.leak({column}) LIMIT 1",
    "SELECT count(*) FROM {view} AS v JOIN generate_series(1, 2) ON public.leak({column})",
    "SELECT count(*) FROM {view} AS v JOIN LATERAL (SELECT FROM core.organizations WHERE public.leak(v.{column})) AS w"
    " ON true",
    "SELECT count(*) FROM {view} WHERE 1 / ({column}::text::numeric - 66600666) < 2",
    "SELECT DISTINCT {column} FROM {view}",
    "SELECT v.* FROM {view} AS v TABLESAMPLE SYSTEM (100)",
    "EXPLAIN (ANALYZE, VERBOSE) SELECT * FROM {view} WHERE public.leak({column})",
)


@pytest.fixture
def admin(database_url: URL) -> Iterator[psycopg.Connection[Any]]:
    text = driver_url(database_url, "").render_as_string(hide_password=False)
    with psycopg.connect(text, autocommit=True) as connection:
        connection.execute(SEED)
        put_behind_views(connection)
        yield connection


@contextmanager
def acting(admin: psycopg.Connection[Any], role: str, slug: str | None) -> Iterator[psycopg.Connection[Any]]:
    """The connection in another role, for one organization or for none; for others' logins see test_boundary."""
    admin.execute("SELECT ops.enter(%s)", (slug,))
    admin.execute(f"SET ROLE {role}".encode())
    try:
        yield admin
    finally:
        admin.execute("RESET ROLE")
        admin.execute("RESET simsight.organization")


def told(connection: psycopg.Connection[Any], statement: str) -> str:
    """Rows, notices and error of a statement."""
    notices: list[str] = []

    def note(notice: psycopg.errors.Diagnostic) -> None:
        notices.append(notice.message_primary or "")

    connection.add_notice_handler(note)
    try:
        cursor = connection.execute(statement.encode())
        return f"{cursor.fetchall() if cursor.description else ''} {notices}"
    except psycopg.Error as error:
        return f"{error} {notices}"
    finally:
        connection.remove_notice_handler(note)


@pytest.mark.parametrize("role", ["simsight_api", "simsight_downstream"])
def test_no_way_of_asking_shows_a_row_of_another_organization(admin: psycopg.Connection[Any], role: str) -> None:
    if role == "simsight_downstream":  # a login for `default`, of which it takes the name
        admin.execute("INSERT INTO ops.downstream_logins VALUES (%s, 1, now())", (role,))
        admin.execute("SET SESSION AUTHORIZATION simsight_downstream")
    with acting(admin, role, "default") if role == "simsight_api" else as_it_is(admin) as session:
        for view, column in SHOWN.items():
            for way in WAYS:
                statement = way.format(view=view, column=column)
                said = told(session, statement)
                assert "66600666" not in said.replace("66600666)", ""), statement
                assert "division by zero" not in said, statement
            assert "leaked" in told(session, WAYS[0].format(view=view, column=column)), "it asks about rows of its own"
            assert "66600666" in told(admin, "SELECT 66600666"), "what would be told is seen"
        for place in ("big", "own", "chunks"):
            for table in BIG:
                with pytest.raises((InsufficientPrivilege, UndefinedTable, psycopg.errors.InvalidSchemaName)):
                    session.execute(f"SELECT FROM {place}.{table}".encode())
    admin.execute("RESET SESSION AUTHORIZATION")


@contextmanager
def as_it_is(admin: psycopg.Connection[Any]) -> Iterator[psycopg.Connection[Any]]:
    yield admin


@pytest.mark.parametrize("place", ["own", ""])
def test_the_pipeline_reads_and_writes_rows_of_its_own_organization_only(
    admin: psycopg.Connection[Any], place: str
) -> None:
    for table in (view for view in SHOWN if view.split(".")[1] in BIG):
        name = f"own.{table.split('.')[1]}" if place else table
        count = f"SELECT count(*), count(DISTINCT organization_id) FROM {name}"
        before = admin.execute(
            f"SELECT organization_id, count(*) FROM {table} GROUP BY 1 ORDER BY 1".encode()
        ).fetchall()
        assert [organization for organization, _ in before] == [1, 2], "an administrator sees all, as the owner does"
        with acting(admin, "simsight_pipeline", None) as pipeline:
            assert pipeline.execute(count.encode()).fetchone() == (0, 0)
            assert pipeline.execute(f"DELETE FROM {name}".encode()).rowcount == 0
        with acting(admin, "simsight_pipeline", "other") as pipeline:
            assert pipeline.execute(count.encode()).fetchone() == (before[1][1], 1)
            assert pipeline.execute(f"UPDATE {name} SET sim_key = sim_key".encode()).rowcount == before[1][1]
            with pytest.raises(InsufficientPrivilege):
                pipeline.execute(f"UPDATE {name} SET organization_id = 1".encode())
            for organization in ("1", "NULL"):
                copied = f"SELECT (t).* FROM (SELECT t FROM {name} AS t LIMIT 1) AS x"
                columns = [column.name for column in pipeline.execute(copied.encode()).description or ()]
                anew = {"organization_id": organization, "sim_key": "-1", "record_id": "-1"}
                values = [anew.get(column, column) for column in columns]
                with pytest.raises((WithCheckOptionViolation, psycopg.errors.NotNullViolation)):
                    pipeline.execute(f"INSERT INTO {name} SELECT {', '.join(values)} FROM ({copied}) AS x".encode())
            assert pipeline.execute(f"DELETE FROM {name}".encode()).rowcount == before[1][1]
        assert (
            admin.execute(f"SELECT organization_id, count(*) FROM {table} GROUP BY 1".encode()).fetchall() == before[:1]
        )


def test_an_upsert_takes_no_row_of_another_organization(admin: psycopg.Connection[Any]) -> None:
    foreign = admin.execute("SELECT min(sim_key) FROM core.sims WHERE organization_id = 1").fetchone()
    assert foreign is not None
    row = f"(organization_id, sim_key, day, bytes, known_at) VALUES (2, {foreign[0]}, '2026-01-05', 7, now())"
    for name in ("own.sim_usage", "core.sim_usage"):
        insert = f"INSERT INTO {name} {row} ON CONFLICT (sim_key, day)"
        with acting(admin, "simsight_pipeline", "other") as pipeline:
            assert pipeline.execute(f"{insert} DO NOTHING RETURNING bytes".encode()).fetchall() == []
            with pytest.raises(WithCheckOptionViolation) as refused:
                pipeline.execute(f"{insert} DO UPDATE SET bytes = excluded.bytes".encode())
            assert "(7, " in str(refused.value), "what it says are values of the statement"
            with pytest.raises(InsufficientPrivilege):
                pipeline.execute(f"{insert} DO UPDATE SET organization_id = excluded.organization_id".encode())
    kept = admin.execute(
        "SELECT organization_id, bytes FROM core.sim_usage WHERE sim_key = %s AND day = '2026-01-05'", foreign
    )
    assert kept.fetchall() == [(1, 5)]


def test_one_plan_serves_whatever_the_session_shows(admin: psycopg.Connection[Any]) -> None:
    admin.execute("SET plan_cache_mode = force_generic_plan")
    admin.execute("PREPARE p AS SELECT DISTINCT organization_id FROM core.sim_usage ORDER BY 1")
    assert admin.execute("EXECUTE p").fetchall() == [(1,), (2,)]
    for slug, seen in (("default", [(1,)]), ("other", [(2,)]), (None, [])):
        with acting(admin, "simsight_api", slug) as session:
            assert session.execute("EXECUTE p").fetchall() == seen
    assert admin.execute("EXECUTE p").fetchall() == [(1,), (2,)]


def test_a_new_column_is_shown_after_the_views_are_made_again(admin: psycopg.Connection[Any]) -> None:
    admin.execute("SET ROLE simsight_owner")
    admin.execute("ALTER TABLE big.sim_usage ADD COLUMN colour text DEFAULT 'red'")
    admin.execute("SELECT ops.show_big('core', 'sim_usage')")
    admin.execute("RESET ROLE")
    with acting(admin, "simsight_pipeline", "other") as pipeline:
        assert pipeline.execute("UPDATE own.sim_usage SET colour = 'blue'").rowcount == 800
    assert admin.execute("SELECT colour, count(*) FROM core.sim_usage GROUP BY 1 ORDER BY 1").fetchall() == [
        ("blue", 800),
        ("red", 800),
    ]


def test_published_views_stay_barriers_when_their_files_are_applied_again(
    admin: psycopg.Connection[Any], database_url: URL
) -> None:
    barriers = "SELECT oid::regclass::text FROM pg_class WHERE 'security_barrier=true' = ANY (reloptions) ORDER BY 1"
    before = {name for (name,) in admin.execute(barriers)}
    assert {view for view in SHOWN if view.endswith("_v1")} - before == {"core.sims_v1"}, "that looks up single values"
    admin.execute("DELETE FROM ops.schema_views")
    assert "core.sim_usage_v1" in {done.name for done in migrate(database_url)}
    assert {name for (name,) in admin.execute(barriers)} == before
    migrate(database_url)
    assert {name for (name,) in admin.execute(barriers)} == before


def test_a_filled_database_of_older_tables_is_moved_whole_or_not_at_all(empty_url: URL) -> None:
    migrate(empty_url, to=BEFORE)
    for slug in ("default", "other"):
        ensure_organization(empty_url, slug)
    text = driver_url(empty_url, "").render_as_string(hide_password=False)
    with psycopg.connect(text, autocommit=True) as admin:
        admin.execute(SEED)
        sums = "SELECT " + ", ".join(f"(SELECT md5(string_agg(t::text, ' ' ORDER BY t)) FROM {t} AS t)" for t in TABLES)
        before = admin.execute(sums.encode()).fetchone()
        migrate(empty_url)
        assert admin.execute(sums.encode()).fetchone() == before
        secured = "SELECT count(*) FROM pg_class WHERE relrowsecurity AND relname = ANY (%s)"
        assert admin.execute(secured, (list(BIG),)).fetchone() == (6,), "this server does not compress"

        admin.execute("CREATE TABLE big.stream_usage (n integer)")  # in the way of the last table
        with pytest.raises(psycopg.errors.DuplicateTable):
            put_behind_views(admin)
        admin.execute("RESET ROLE")
        admin.execute("DROP TABLE big.stream_usage")
        assert admin.execute(secured, (list(BIG),)).fetchone() == (6,)
        assert admin.execute("SELECT to_regclass('big.sim_usage')").fetchone() == (None,)

        put_behind_views(admin)
        assert admin.execute(sums.encode()).fetchone() == before
        with acting(admin, "simsight_api", "other") as session:
            assert session.execute("SELECT count(*), sum(bytes) FROM core.sim_usage_v1").fetchone() == (800, 800 * N)
            assert "leaked 5" not in told(session, "SELECT count(*) FROM core.sim_usage_v1 WHERE public.leak(bytes)")


# named queries of the service about one SIM or some, and their parameters
HOT: dict[str, dict[str, Any]] = {
    "api_usage": {"first_day": None, "last_day": None, "days": 7, "rows": 50},
    "api_usage_last_day": {},
    "api_forecast": {"as_of": None},
    "api_usage_forecast": {"as_of": None, "days": 7},
    "api_sim": {},
    "api_sims": {"after": "", "label": None, "status": None, "state": None, "rows": 5},
    "api_batch_usage": {},
    "api_batch_forecast": {},
    "api_volume_band": {},
    "dashboard_connection": {},
    "api_sim_events": {
        **dict.fromkeys(("type", "severity", "first", "last")),
        **{"at": "infinity", "event_type": "", "rows": 5},
    },
    "api_bulk_as_of": {"dataset": "forecasts"},
}


@pytest.mark.parametrize("name", HOT)
def test_what_asks_for_one_sim_goes_through_an_index(admin: psycopg.Connection[Any], name: str) -> None:
    iccid = "8" * 17 + "17"
    admin.execute("SET enable_seqscan = off")
    with acting(admin, "simsight_api", "default") as session:
        plan = session.execute(
            f"EXPLAIN (VERBOSE) {query(name)}".encode(), {"iccid": iccid, "iccids": [iccid], **HOT[name]}
        ).fetchall()
    text = "\n".join(line for (line,) in plan)
    whole = re.findall(r"Seq Scan on (?:big|chunks)\.\S+", text)
    assert not whole, text
    # a row by its key, not all that the organization has
    conditions = re.findall(r"Index Cond: \((.*)\)", text)
    assert any(re.search(r"sim_key|organization_id = o(_1)?\.", condition) for condition in conditions), text


def test_the_service_s_queries_do_not_name_what_is_closed_to_it() -> None:
    folders = ("actions", "alerts", "api", "bulk", "dashboard", "ops", "questions", "reports")
    files = [file for folder in folders for file in Path("sql/queries", folder).rglob("*.sql")]
    assert len(files) > 100
    assert [file for file in files if re.search(r"\bown\.\w|\bbig\.\w", file.read_text())] == []
