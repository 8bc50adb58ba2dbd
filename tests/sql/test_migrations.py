"""Migrations on a real server: from nothing to the newest, one at a time, side by side, refused and rolled back."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from typing import Any

import psycopg
import pytest
from sqlalchemy import URL

from resources.database.migrations import (
    MigrationError,
    UnknownVersionError,
    ensure_organization,
    migrate,
    schema_version,
    storage_grade,
)
from resources.database.server import driver_url
from resources.database.session import Database
from sql import Migration, migrations, view_definitions
from tests.conftest import administer

pytestmark = pytest.mark.timescaledb

OURS = ("raw", "core", "predictions", "ops")
NEWEST = migrations()[-1].version
LOGINS = count()


@contextmanager
def connected(url: URL) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(driver_url(url, "").render_as_string(hide_password=False), autocommit=True) as connection:
        yield connection


def tables(connection: psycopg.Connection[Any]) -> set[str]:
    """Our tables, as schema.table."""
    found = connection.execute(
        "SELECT n.nspname || '.' || c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
        " WHERE n.nspname = ANY(%s) AND c.relkind IN ('r', 'p')",
        (list(OURS),),
    )
    return {row[0] for row in found}


def test_the_numbers_run_from_one_without_a_gap() -> None:
    assert [migration.version for migration in migrations()] == list(range(1, NEWEST + 1))
    assert all(migration.name.startswith(f"{migration.version:04d}_") for migration in migrations())


def test_an_empty_database_gets_every_migration_and_a_second_run_does_nothing(empty_url: URL) -> None:
    assert migrate(empty_url) == [*migrations(), *view_definitions()]
    with connected(empty_url) as connection:
        applied = connection.execute("SELECT version, name, sha256, applied_at FROM ops.schema_migrations").fetchall()
        assert migrate(empty_url) == []
        again = connection.execute("SELECT version, name, sha256, applied_at FROM ops.schema_migrations").fetchall()
        assert applied == again
        assert schema_version(connection) == NEWEST
        assert {"core.sims", "core.sim_usage", "raw.landings", "ops.quarantine", "predictions.alerts"} <= tables(
            connection
        )


def test_one_version_at_a_time_gives_the_same_tables_as_all_at_once(empty_url: URL, database_url: URL) -> None:
    for migration in migrations():
        views = view_definitions() if migration.version == NEWEST else ()
        assert migrate(empty_url, to=migration.version) == [migration, *views]
        with connected(empty_url) as connection:
            assert schema_version(connection) == migration.version
    columns = (
        "SELECT table_schema, table_name, column_name, data_type, is_nullable FROM information_schema.columns"
        " WHERE table_schema = ANY(%s) ORDER BY 1, 2, 3"
    )
    with connected(empty_url) as stepwise, connected(database_url) as at_once:
        ours = (list(OURS),)
        assert stepwise.execute(columns, ours).fetchall() == at_once.execute(columns, ours).fetchall()


def test_a_given_version_is_where_it_stops_and_an_older_one_takes_nothing_back(empty_url: URL) -> None:
    assert migrate(empty_url, to=2) == [*migrations()[:2]]
    assert migrate(empty_url, to=1) == []
    with connected(empty_url) as connection:
        assert schema_version(connection) == 2
        assert "core.sims" not in tables(connection)
    assert migrate(empty_url) == [*migrations()[2:], *view_definitions()]


def test_a_version_that_does_not_exist_is_refused(empty_url: URL) -> None:
    with pytest.raises(
        UnknownVersionError, match=f"there is no migration {NEWEST + 1}; the versions are 1 to {NEWEST}"
    ):
        migrate(empty_url, to=NEWEST + 1)
    with connected(empty_url) as connection:
        assert schema_version(connection) == 0


def test_migrators_at_the_same_time_apply_each_migration_and_view_once(empty_url: URL) -> None:
    with ThreadPoolExecutor(3) as pool:
        shares = list(pool.map(migrate, [empty_url] * 3))
    applied = [item for share in shares for item in share]
    assert sorted(item.version for item in applied if isinstance(item, Migration)) == list(range(1, NEWEST + 1))
    assert [item for item in applied if not isinstance(item, Migration)] == list(view_definitions())


def test_a_migration_changed_after_it_was_applied_is_refused(empty_url: URL) -> None:
    migrate(empty_url, to=3)
    with connected(empty_url) as connection:
        connection.execute("UPDATE ops.schema_migrations SET sha256 = 'another' WHERE version = 2")
        with pytest.raises(MigrationError, match=r"0002_\w+\.sql has changed since it was applied"):
            migrate(empty_url)
        assert schema_version(connection) == 3


def test_a_database_ahead_of_this_simsight_is_refused_untouched(empty_url: URL) -> None:
    migrate(empty_url, to=3)
    with connected(empty_url) as connection:
        connection.execute("INSERT INTO ops.schema_migrations (version, name, sha256) VALUES (9000, 'later', 'x')")
        before = tables(connection)
        with pytest.raises(MigrationError, match=f"at version 9000, this Simsight knows {NEWEST}: install the newer"):
            migrate(empty_url)
        assert tables(connection) == before


def test_a_failing_migration_leaves_nothing_behind_and_succeeds_once_the_obstacle_is_gone(empty_url: URL) -> None:
    migrate(empty_url, to=2)
    with connected(empty_url) as connection:
        connection.execute("CREATE TABLE ops.polls (in_the_way integer)")  # the last table that migration 3 makes
        before = tables(connection)
        with pytest.raises(
            MigrationError, match=r"0003_\w+ failed and was rolled back: relation \"polls\" already exists"
        ):
            migrate(empty_url)
        assert tables(connection) == before
        assert schema_version(connection) == 2
        connection.execute("DROP TABLE ops.polls")
        migrate(empty_url)
        assert schema_version(connection) == NEWEST


@pytest.mark.parametrize(
    ("table", "columns", "values"),
    [
        ("ops.stale_predictions", "as_of, sims, first_day, marked_at", "now(), 1, now(), now()"),
        ("ops.scored_sims", "as_of, sim_key, scoring_id, input_hash", "now(), 1, 1, 1"),
        ("ops.staged_blocks", "as_of, work_id, block, rows, content, staged_at", "now(), 'w', 0, 0, '', now()"),
        ("ops.staged_values", "work_id, name, content, staged_at", "'w', 'n', '', now()"),
    ],
)
def test_a_scoring_task_of_a_new_name_needs_no_migration(
    database_url: URL, table: str, columns: str, values: str
) -> None:
    insert = f"INSERT INTO {table} (organization_id, part, {columns}) VALUES (1, %s, {values})".encode()
    with connected(database_url) as connection:
        assert connection.execute(insert, ("churn_risks",)).rowcount == 1
        with pytest.raises(psycopg.errors.CheckViolation):
            connection.execute(insert, ("Churn risks",))


@pytest.fixture
def plain_login(postgres: URL) -> Iterator[URL]:
    """An ordinary login that owns a database: it may make databases and roles, and is no superuser."""
    name = f"simsight_plain_{next(LOGINS)}"
    administer(
        postgres,
        f"CREATE ROLE {name} LOGIN CREATEDB CREATEROLE PASSWORD 'plain'",
        # another database of this server may have made the roles already, as somebody else
        *(
            f"DO $$ BEGIN IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN GRANT {role} TO {name}; END "
            f"IF; END $$"
            for role in ("simsight_owner", "simsight_pipeline", "simsight_api")
        ),
        f"CREATE DATABASE {name} OWNER {name}",
    )
    yield postgres.set(database=name, username=name, password="plain")
    administer(
        postgres,
        f"DROP DATABASE {name} WITH (FORCE)",
        "DO $$ DECLARE g record; BEGIN FOR g IN SELECT r.rolname AS given FROM pg_auth_members AS m"
        f" JOIN pg_roles AS r ON r.oid = m.roleid WHERE m.member = '{name}'::regrole LOOP"
        f" EXECUTE format('REVOKE %I FROM {name} CASCADE', g.given); END LOOP; END $$",
        f"DROP OWNED BY {name}",
        f"DROP ROLE {name}",
    )


def test_a_login_without_superuser_rights_can_migrate_and_work(plain_login: URL, template: str) -> None:
    assert migrate(plain_login) == [*migrations(), *view_definitions()]
    ensure_organization(plain_login, "default")
    database = Database(plain_login, "default")
    try:
        assert database.row("organization") == {"slug": "default", "data_note": "", "sims": False, "paused_at": None}
    finally:
        database.close()


def test_a_login_that_lacks_rights_is_told_to_have_an_administrator_migrate(plain_login: URL, postgres: URL) -> None:
    name = plain_login.username
    administer(postgres.set(database=plain_login.database), f"ALTER DATABASE {name} OWNER TO CURRENT_USER")
    administer(postgres, f"ALTER ROLE {name} NOCREATEROLE")
    with pytest.raises(MigrationError, match="as an administrator"):
        migrate(plain_login)
    with connected(postgres.set(database=plain_login.database)) as connection:
        assert tables(connection) <= {"ops.schema_migrations"}


def test_the_same_organization_is_added_once(database_url: URL) -> None:
    with ThreadPoolExecutor(3) as pool:
        keys = set(pool.map(lambda _: ensure_organization(database_url, "a-third"), range(3)))
    assert len(keys) == 1


def test_a_fresh_database_uses_hypertables_exactly_where_the_server_has_them(database_url: URL) -> None:
    with connected(database_url) as connection:
        grade = storage_grade(connection)
        if grade.timescaledb is None:
            assert grade.name == "plain PostgreSQL"
            assert any("hypertables" in lack for lack in grade.lacks)
            return
        assert grade.name.startswith("TimescaleDB")
        big = connection.execute(
            "SELECT hypertable_schema || '.' || hypertable_name FROM timescaledb_information.hypertables"
        )
        assert {row[0] for row in big} == {
            "core.sim_usage",
            "core.sim_quota",
            "core.sim_connectivity",
            "core.sim_events",
            "core.stream_usage",
            "predictions.churn_risks",
            "predictions.usage_forecasts",
        }


def test_every_table_column_and_view_says_what_it_is(database_url: URL) -> None:
    undocumented = (
        "SELECT n.nspname || '.' || c.relname || coalesce('.' || a.attname, '') FROM pg_class AS c"
        " JOIN pg_namespace AS n ON n.oid = c.relnamespace"
        " JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
        " WHERE n.nspname = ANY(%s) AND c.relkind IN ('r', 'p', 'v') AND (obj_description(c.oid, 'pg_class') IS NULL"
        # of views, the published ones: the others are parts of our own queries
        " OR (c.relkind <> 'v' OR c.relname ~ '_v[0-9]+$') AND col_description(c.oid, a.attnum) IS NULL)"
    )
    with connected(database_url) as connection:
        assert [row[0] for row in connection.execute(undocumented, (list(OURS),))] == []


def test_every_table_that_carries_an_organization_is_guarded(database_url: URL) -> None:
    guarded = (
        "SELECT n.nspname || '.' || c.relname, c.relrowsecurity,"
        " (SELECT count(*) FROM pg_policy AS p WHERE p.polrelid = c.oid AND p.polcmd = '*' AND p.polpermissive)"
        " FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
        " JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'organization_id'"
        " WHERE n.nspname = ANY(%s) AND c.relkind IN ('r', 'p')"
    )
    with connected(database_url) as connection:
        found = connection.execute(guarded, (list(OURS),)).fetchall()
        assert [name for name, enabled, policies in found if not enabled or policies != 1] == []
        of_the_server = {
            "ops.schema_migrations",
            "ops.schema_views",
            "ops.backups",
            "ops.log_archives",
            "ops.deletions",
        }
        assert tables(connection) - {name for name, _, _ in found} == of_the_server


def test_every_view_looks_with_the_eyes_of_who_asks(database_url: URL) -> None:
    with connected(database_url) as connection:
        views = connection.execute(
            "SELECT n.nspname || '.' || c.relname, 'security_invoker=true' = ANY(c.reloptions) FROM pg_class AS c"
            " JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = ANY(%s) AND c.relkind = 'v'",
            (list(OURS),),
        ).fetchall()
        assert views
        # but for the one that says to each who it is
        assert [name for name, invoker in views if not invoker] == ["ops.session_organization"]


def test_no_table_belongs_to_the_roles_that_work_with_it(database_url: URL) -> None:
    with connected(database_url) as connection:
        owners = connection.execute(
            "SELECT DISTINCT c.relowner::regrole::text FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = "
            "c.relnamespace"
            " WHERE n.nspname IN ('raw', 'core', 'predictions') AND c.relkind IN ('r', 'p', 'v')"
        ).fetchall()
        assert owners == [("simsight_owner",)]
