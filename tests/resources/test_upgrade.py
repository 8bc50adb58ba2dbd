"""A database that was filled on plain PostgreSQL becomes one of hypertables, whole, or a table at a time."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import URL

from resources.database.migrations import LEDGER, MigrationError, _apply, migrate, storage_grade
from resources.database.server import driver_url
from resources.database.upgrade import NoTimescaleError, plain_tables, upgrade
from resources.runtime import Runtime
from services.exhaustion import EXHAUSTIONS
from services.forecasting import USAGE_FORECASTS
from services.scoring import score_day
from sql import migrations
from tests.fleet import AS_OF, NOW, Filled, Truth, at, ingest, settings_for, simulated

pytestmark = pytest.mark.timescaledb

TABLES = """
SELECT c.oid::regclass::text,
    (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute AS a
     WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '')
FROM pg_class AS c WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
    AND c.relnamespace::regnamespace::text IN ('raw', 'core', 'predictions', 'ops', 'big') ORDER BY 1
"""
COUNTERS = """
SELECT quote_ident(schemaname) || '.' || quote_ident(sequencename), last_value FROM pg_sequences
WHERE last_value IS NOT NULL AND schemaname IN ('raw', 'core', 'predictions', 'ops')
"""
# everything that is to stay: comments, grants, row-level security, policies, keys, indexes, checks, triggers
SHAPE = """
SELECT c.oid::regclass::text, obj_description(c.oid, 'pg_class'), c.relacl::text, c.relrowsecurity,
    (SELECT array_agg((p.polname, p.polcmd, pg_get_expr(p.polqual, p.polrelid))::text) FROM pg_policy AS p
     WHERE p.polrelid = c.oid),
    (SELECT array_agg((a.attname, a.atttypid, a.attnotnull, a.attacl, col_description(c.oid, a.attnum))::text
                      ORDER BY a.attnum) FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0),
    (SELECT array_agg(pg_get_constraintdef(k.oid) ORDER BY k.conname) FROM pg_constraint AS k WHERE k.conrelid = c.oid),
    (SELECT array_agg(pg_get_indexdef(i.indexrelid) ORDER BY pg_get_indexdef(i.indexrelid))
     FROM pg_index AS i WHERE i.indrelid = c.oid),
    (SELECT array_agg(t.tgname ORDER BY t.tgname) FROM pg_trigger AS t
     WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgname NOT LIKE 'ts_%')
FROM pg_class AS c WHERE c.relkind IN ('r', 'p', 'v')
    AND c.relnamespace::regnamespace::text IN ('raw', 'core', 'predictions', 'ops', 'big', 'own') ORDER BY 1
"""


def connected(url: URL) -> psycopg.Connection[Any]:
    return psycopg.connect(driver_url(url, "").render_as_string(hide_password=False), autocommit=True)


@pytest.fixture
def plain(empty_url: URL) -> URL:
    """A migrated database without the extension, on whatever server."""
    with connected(empty_url) as connection:
        connection.execute(LEDGER)
        _apply(connection, migrations()[0])
    migrate(empty_url)
    return empty_url


def fill(filled: URL, plain: URL) -> None:
    """Copy all rows and counters of a filled database."""
    with connected(filled) as source, connected(plain) as target:
        target.execute("SET session_replication_role = replica")  # rows come in any order
        for table, columns in source.execute(TABLES).fetchall():
            target.execute(f"DELETE FROM {table}".encode())
            named = f"{table} ({columns})"
            with (
                source.cursor().copy(f"COPY (SELECT {columns} FROM {table}) TO STDOUT".encode()) as rows,
                target.cursor().copy(f"COPY {named} FROM STDIN".encode()) as copied,
            ):
                for block in rows:
                    copied.write(block)
        for name, last in source.execute(COUNTERS).fetchall():
            target.execute("SELECT setval(%s, %s)", (name, last))


def rows_of(connection: psycopg.Connection[Any]) -> dict[str, tuple[int, str]]:
    """Of each table how many rows it has, and a sum of all they say."""
    found = {}
    for table, _ in connection.execute(TABLES).fetchall():
        summed = f"SELECT count(*), md5(string_agg(md5(t::text), '' ORDER BY md5(t::text))) FROM {table} AS t"
        found[table] = connection.execute(summed.encode()).fetchall()[0]
    return found


def test_a_filled_plain_database_is_upgraded_halfway_and_then_whole_and_works_on(
    plain: URL, postgres: URL, filled_template: Filled, tmp_path: Path
) -> None:
    if not has_timescaledb(postgres):
        pytest.skip("needs a server with TimescaleDB")
    fill(postgres.set(database=filled_template.name), plain)
    said: list[str] = []
    with connected(plain) as connection:
        assert storage_grade(connection).name == "plain PostgreSQL"
        rows, shape = rows_of(connection), connection.execute(SHAPE).fetchall()
        assert rows["core.sim_usage"][0] > 4000
        assert rows["predictions.usage_forecasts"][0] > 1000

        # an index that no hypertable may have stands for whatever stops it halfway
        connection.execute("CREATE UNIQUE INDEX in_the_way ON core.sim_connectivity (sim_key) WHERE status IS NULL")
        with pytest.raises(MigrationError, match=r"core\.sim_connectivity was not moved and is as it was: .*run this"):
            upgrade(plain, said.append)
        connection.execute("DROP INDEX core.in_the_way")
        assert len(said) == 3
        assert len(plain_tables(connection)) == 5
        assert rows_of(connection) == rows

        assert len(upgrade(plain, said.append)) == 5
        assert upgrade(plain, said.append) == []
        assert plain_tables(connection) == []
        assert rows_of(connection) == rows
        assert connection.execute(SHAPE).fetchall() == shape
        pieces = connection.execute(
            "SELECT count(*), count(*) FILTER (WHERE chunk_schema = 'chunks') FROM timescaledb_information.chunks"
            " WHERE hypertable_name = 'sim_usage'"
        ).fetchone()
        assert pieces == (7, 7)
        assert connection.execute("SELECT count(*) FROM ONLY core.sim_usage").fetchone() == (0,)
    assert migrate(plain) == []

    shutil.copy(filled_template.home / "mlflow.db", tmp_path)
    day, truth = NOW + timedelta(days=1), Truth(plain)
    with (
        simulated(filled_template.fleet, day) as server,
        Runtime(settings_for(plain, tmp_path, server.base_url)) as runtime,
    ):
        tomorrow = at(runtime, day)
        ingest(tomorrow)
        for task in (USAGE_FORECASTS, EXHAUSTIONS):
            score_day(tomorrow, task, AS_OF + timedelta(days=1), run_id="second")
    assert truth.one("SELECT count(*) FROM core.sim_usage") > rows["core.sim_usage"][0]
    assert truth.one("SELECT count(DISTINCT as_of) FROM predictions.usage_forecasts") == 2
    truth.close()


def test_where_the_server_has_no_timescaledb_an_upgrade_says_what_to_install(plain: URL, postgres: URL) -> None:
    if has_timescaledb(postgres):
        pytest.skip("needs a server without TimescaleDB")
    with pytest.raises(NoTimescaleError, match="shared_preload_libraries"):
        upgrade(plain, print)


def has_timescaledb(postgres: URL) -> bool:
    with connected(postgres) as connection:
        found = "SELECT count(*) FROM pg_available_extensions WHERE name = 'timescaledb'"
        return connection.execute(found).fetchone() == (1,)
