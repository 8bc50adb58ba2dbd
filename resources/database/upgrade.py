"""Move a database that was filled on plain PostgreSQL into TimescaleDB's hypertables."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
from sqlalchemy import URL

from resources.database.migrations import (
    LOCK,
    MigrationError,
    put_big_tables_behind_views,
    storage_grade,
    use_timescaledb,
)
from resources.database.server import driver_url

PLAIN = "SELECT named FROM ops.plain_tables()"
TABLES = "SELECT format('%I.%I', place, named) FROM ops.hypertables()"


class NoTimescaleError(MigrationError):
    """The server has no TimescaleDB; the message says how it comes to one."""


def plain_tables(connection: psycopg.Connection) -> list[str]:
    """The tables that could be hypertables and are none; empty where the server has no TimescaleDB."""
    if storage_grade(connection).timescaledb is None:
        return []
    with connection.transaction():
        connection.execute("SET LOCAL ROLE simsight_owner")
        return [name for (name,) in connection.execute(PLAIN).fetchall()]


def upgrade(url: URL, say: Callable[[str], None]) -> list[str]:
    """Make hypertables of what could be some, and return their names; where the server compresses, put views in place.

    Each table is one transaction, in which nobody else reads or writes it: interrupted, a table is as it was or done,
    and the next call goes on with the rest. The database must be at the newest version.
    Raises NoTimescaleError, MigrationError.
    """
    done = []
    with psycopg.connect(driver_url(url, "").render_as_string(hide_password=False), autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))  # nobody migrates meanwhile
        if storage_grade(connection).timescaledb is None:
            use_timescaledb(connection)
        if storage_grade(connection).timescaledb is None:
            raise NoTimescaleError(
                "the server has no TimescaleDB: install it, name it in shared_preload_libraries, restart the server, "
                "run this again"
            )
        for table in plain_tables(connection):
            say(f"{table}: its rows move into chunks")
            try:
                with connection.transaction():
                    connection.execute("SET LOCAL ROLE simsight_owner")
                    connection.execute("SELECT ops.upgrade_table(%s::regclass)", (table,))
            except psycopg.Error as error:
                raise MigrationError(
                    f"{table} was not moved and is as it was: {error.diag.message_primary or error}. Tables named "
                    "before it are done; run this again for the rest"
                ) from error
            done.append(table)
        if not done:
            return done
        put_big_tables_behind_views(connection)
        connection.execute("SET ROLE simsight_owner")
        for (table,) in connection.execute(TABLES).fetchall():
            connection.execute(f"ANALYZE {table}".encode())  # without statistics of the chunks each plan is a guess
    return done
