"""Bring a database's schema to a version, one numbered migration at a time, and its views to what their files say."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from sqlalchemy import URL

from resources.database.server import driver_url
from resources.errors import SimsightError, UsageError
from sql import Migration, ViewDefinition, migrations, view_definitions

LOCK = 7_465_001  # any number, the same for everyone who migrates

LEDGER = """
CREATE SCHEMA IF NOT EXISTS ops;
CREATE TABLE IF NOT EXISTS ops.schema_migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE ops.schema_migrations IS 'One row a migration that was applied';
COMMENT ON COLUMN ops.schema_migrations.version IS 'Its number';
COMMENT ON COLUMN ops.schema_migrations.name IS 'Its file';
COMMENT ON COLUMN ops.schema_migrations.sha256 IS 'SHA-256 of the file when it was applied';
COMMENT ON COLUMN ops.schema_migrations.applied_at IS 'When (UTC)';
"""

VIEW_LEDGER = """
CREATE TABLE ops.schema_views (
    name text PRIMARY KEY,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE ops.schema_views IS 'One row a view whose file was applied';
COMMENT ON COLUMN ops.schema_views.name IS 'The view, with its schema';
COMMENT ON COLUMN ops.schema_views.sha256 IS 'SHA-256 of the file when it was last applied';
COMMENT ON COLUMN ops.schema_views.applied_at IS 'When that was (UTC)';
GRANT SELECT ON ops.schema_views TO simsight_pipeline;
"""


class MigrationError(SimsightError):
    """A migration or a view cannot be applied; nothing of it was. The message says which, why and what to do."""


class UnknownVersionError(UsageError):
    """There is no migration of a number; the message names those there are."""


@dataclass(frozen=True)
class Grade:
    """What the server offers for big tables."""

    postgres: str
    timescaledb: str | None
    license: str | None

    @property
    def name(self) -> str:
        if self.timescaledb is None:
            return "plain PostgreSQL"
        return "TimescaleDB Community" if self.license == "timescale" else "TimescaleDB Apache"

    @property
    def lacks(self) -> tuple[str, ...]:
        """What this grade cannot do, in words."""
        licensed = ("compression", "continuous aggregates", "retention policies")
        if self.timescaledb is None:
            return ("hypertables (chunk exclusion, dropping old data by chunk)", *licensed)
        return () if self.license == "timescale" else licensed


def storage_grade(connection: psycopg.Connection) -> Grade:
    """Find out what the server of this connection offers."""
    row = connection.execute(
        "SELECT current_setting('server_version'), (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'),"
        " current_setting('timescaledb.license', true)"
    ).fetchone()
    assert row is not None
    return Grade(str(row[0]).split()[0], row[1], row[2] if row[1] else None)


def migrate(url: URL, *, to: int | None = None) -> list[Migration | ViewDefinition]:
    """Apply what is missing, up to and with version `to` (default: all), and return what was applied, in order.

    Each migration is one transaction. One more makes the views that are missing or whose files changed, unless `to` is
    an older version: the views of today may read what it lacks. On TimescaleDB Community a last one moves the big
    tables behind views, which lets them be compressed. An advisory lock lets one migrator in at a time. Applying again
    does nothing.
    Raises UnknownVersionError; MigrationError when a migration or a view fails, when a migration that was applied has
    changed since, or when the database is ahead of this version of Simsight.
    """
    known = migrations()
    if to is not None:
        check_version(to)
    applied: list[Migration | ViewDefinition] = []
    with psycopg.connect(driver_url(url, "").render_as_string(hide_password=False), autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))  # let go when the connection closes
        done = _applied(connection)
        ahead = max(done, default=0)
        if ahead > known[-1].version:
            raise MigrationError(
                f"the database is at version {ahead}, this Simsight knows {known[-1].version}: install the newer "
                "Simsight"
            )
        for migration in known:
            if migration.version in done:
                if done[migration.version] != migration.sha256:
                    raise MigrationError(
                        f"{migration.name}.sql has changed since it was applied to this database: restore the file "
                        "and put the change into a new migration"
                    )
                continue
            if to is not None and migration.version > to:
                break
            _apply(connection, migration)
            applied.append(migration)
        if to is None or to == known[-1].version:
            pending = pending_views(connection)
            _apply_views(connection, pending)
            applied += pending
            put_big_tables_behind_views(connection)
    return applied


def check_version(version: int) -> None:
    """Raise UnknownVersionError where there is no migration of that number."""
    known = [migration.version for migration in migrations()]
    if version not in known:
        raise UnknownVersionError(f"there is no migration {version}; the versions are {known[0]} to {known[-1]}")


def schema_version(connection: psycopg.Connection) -> int:
    """The newest migration applied; 0 for an empty database."""
    found = connection.execute("SELECT to_regclass('ops.schema_migrations')").fetchone()
    if found is None or found[0] is None:
        return 0
    row = connection.execute("SELECT coalesce(max(version), 0) FROM ops.schema_migrations").fetchone()
    return int(row[0]) if row else 0


def pending_views(connection: psycopg.Connection) -> list[ViewDefinition]:
    """The views that are missing or that are not what their files say today, each after those it uses."""
    current: dict[str, str] = {}
    if _has_view_ledger(connection):
        current = dict(
            connection.execute(
                "SELECT name, sha256 FROM ops.schema_views WHERE to_regclass(name) IS NOT NULL"
            ).fetchall()
        )
    return [view for view in view_definitions() if current.get(view.name) != view.sha256]


def is_current(connection: psycopg.Connection) -> bool:
    """Whether `migrate` would find nothing to do in a database of this version of Simsight."""
    return schema_version(connection) == migrations()[-1].version and not pending_views(connection)


def ensure_organization(url: URL, slug: str) -> int:
    """The key of an organization, added when it is new."""
    with psycopg.connect(driver_url(url, "").render_as_string(hide_password=False)) as connection:
        connection.execute("SET ROLE simsight_owner")
        connection.execute("INSERT INTO core.organizations (slug) VALUES (%s) ON CONFLICT (slug) DO NOTHING", (slug,))
        row = connection.execute("SELECT organization_id FROM core.organizations WHERE slug = %s", (slug,)).fetchone()
        assert row is not None
        return int(row[0])


def note_organization(url: URL, slug: str, note: str) -> None:
    """Write what is to be said of an organization's data; the pipeline's own role may not."""
    with psycopg.connect(driver_url(url, "").render_as_string(hide_password=False)) as connection:
        connection.execute("SET ROLE simsight_owner")
        connection.execute("UPDATE core.organizations SET data_note = %s WHERE slug = %s", (note, slug))


def _applied(connection: psycopg.Connection) -> dict[int, str]:
    if schema_version(connection) == 0:
        try:
            use_timescaledb(connection)
            with connection.transaction():
                connection.execute(LEDGER)
        except psycopg.errors.InsufficientPrivilege as error:
            raise _needs_rights("the first step", error) from error
    return dict(connection.execute("SELECT version, sha256 FROM ops.schema_migrations").fetchall())


def use_timescaledb(connection: psycopg.Connection) -> None:
    """Switch the extension on where the server has loaded it. It is a trusted one: who may make schemas may do that,
    too.
    """
    offered = connection.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'timescaledb'").fetchone()
    # what is preloaded is shown to administrators only; a setting of its loader is shown to everyone
    preloaded = connection.execute("SELECT current_setting('timescaledb.disable_load', true) IS NOT NULL").fetchone()
    if offered and preloaded and preloaded[0]:
        connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")


def _needs_rights(what: str, error: psycopg.Error) -> MigrationError:
    return MigrationError(
        f"{what} needs more rights: {error.diag.message_primary}. Run `simsight migrate` once as an administrator "
        "of the database (roles are created there)"
    )


def _has_view_ledger(connection: psycopg.Connection) -> bool:
    row = connection.execute("SELECT to_regclass('ops.schema_views') IS NOT NULL").fetchone()
    return bool(row and row[0])


def _apply(connection: psycopg.Connection, migration: Migration) -> None:
    try:
        with connection.transaction():
            connection.execute(migration.statements.encode())
            connection.execute("RESET ROLE")
            connection.execute(
                "INSERT INTO ops.schema_migrations (version, name, sha256) VALUES (%s, %s, %s)",
                (migration.version, migration.name, migration.sha256),
            )
    except psycopg.errors.InsufficientPrivilege as error:
        raise _needs_rights(f"migration {migration.name}", error) from error
    except psycopg.Error as error:
        raise MigrationError(
            f"migration {migration.name} failed and was rolled back: {error.diag.message_primary or error}"
        ) from error


def _apply_views(connection: psycopg.Connection, views: list[ViewDefinition]) -> None:
    """Make all of the views what their files say, or none."""
    if not views:
        return
    at = views[0]
    try:
        with connection.transaction():
            connection.execute("SET LOCAL ROLE simsight_owner")
            if not _has_view_ledger(connection):
                connection.execute(VIEW_LEDGER)
            for at in views:
                connection.execute(at.statements.encode())
                connection.execute(
                    "INSERT INTO ops.schema_views (name, sha256) VALUES (%s, %s)"
                    " ON CONFLICT (name) DO UPDATE SET sha256 = excluded.sha256, applied_at = excluded.applied_at",
                    (at.name, at.sha256),
                )
            connection.execute("SELECT ops.raise_barriers()")
    except psycopg.errors.InsufficientPrivilege as error:
        raise _needs_rights(f"view {at.name}", error) from error
    except psycopg.errors.InvalidTableDefinition as error:  # CREATE OR REPLACE VIEW only adds columns at the end
        raise MigrationError(
            f"view {at.name} was not changed, nor was another: {error.diag.message_primary}. Columns are a contract: a "
            f"file may add some at the end, another change needs a new view ({_next_version(at.name)}). If a newer "
            "Simsight made the view, install that one"
        ) from error
    except psycopg.Error as error:
        raise MigrationError(
            f"view {at.name} failed and no view was changed: {error.diag.message_primary or error}"
        ) from error


def put_big_tables_behind_views(connection: psycopg.Connection) -> None:
    """Where the server compresses, put views in the place of the big tables, which lose row-level security."""
    try:
        with connection.transaction():
            connection.execute("SET LOCAL ROLE simsight_owner")
            connection.execute("SELECT ops.put_behind_views() WHERE ops.can_compress()")
    except psycopg.Error as error:
        raise MigrationError(
            f"the big tables were not moved behind views, and stay as they were: {error.diag.message_primary or error}"
        ) from error


def _next_version(view: str) -> str:
    stem, _, number = view.rpartition("_v")
    return f"{stem}_v{int(number) + 1}"
