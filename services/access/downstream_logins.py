"""Logins of PostgreSQL for programs of others: each reads one organization, with whatever SQL, and changes nothing.

The login's name binds it: the view `ops.session_organization` looks up `session_user`, which no statement changes.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import class_row
from sqlalchemy import URL

from resources.database.server import driver_url
from resources.errors import UsageError
from sql import query

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
STATEMENT_SECONDS = 60
SPILLED_MB = 512


class DownstreamError(UsageError):
    """A login cannot be made or revoked; the message says why. It never holds a password."""


@dataclass(frozen=True)
class Login:
    """A login, the organization it sees, and when it was made (UTC)."""

    login: str
    organization: str
    created_at: datetime


def create_login(administrator: URL, organization: str, name: str, *, now: datetime, by: str = "") -> str:
    """Make a login that reads the organization; returns its password, which cannot be shown again.

    administrator  URL of a login that may make roles, as the one that migrates
    name           of the login, on the whole server: lower-case letters, digits and _
    by             who makes it; empty: the administrator's login
    Raises DownstreamError for another name, one that is taken, or where roles may not be made.
    """
    if not NAME.fullmatch(name) or name.startswith(("pg_", "simsight_")):
        raise DownstreamError(
            f"{name!r} cannot name a login: use up to 63 lower-case letters, digits and _, a letter first, and neither "
            "pg_ nor simsight_ at the beginning"
        )
    password = secrets.token_urlsafe(32)
    with _as_administrator(administrator, by) as connection:
        # hashed here: neither the server's log nor its statistics see the password
        hashed = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
        try:
            connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN NOCREATEDB NOCREATEROLE NOINHERIT PASSWORD {}").format(
                    sql.Identifier(name), sql.Literal(hashed)
                )
            )
        except psycopg.errors.DuplicateObject:
            raise DownstreamError(f"the server has a login {name} already: choose another name") from None
        for setting in (
            sql.SQL("GRANT simsight_downstream TO {} WITH INHERIT TRUE, SET FALSE"),
            sql.SQL("ALTER ROLE {} SET default_transaction_read_only = on"),
            sql.SQL("ALTER ROLE {} SET statement_timeout = '" + f"{STATEMENT_SECONDS}s'"),
            sql.SQL("ALTER ROLE {} SET timezone = 'UTC'"),
        ):
            connection.execute(setting.format(sql.Identifier(name)))
        with suppress(psycopg.errors.InsufficientPrivilege), connection.transaction():  # a superuser's setting
            connection.execute(
                sql.SQL("ALTER ROLE {} SET temp_file_limit = '" + f"{SPILLED_MB}MB'").format(sql.Identifier(name))
            )
        made = connection.execute(
            "INSERT INTO ops.downstream_logins (login, organization_id, created_at) "
            "SELECT %s, organization_id, %s FROM core.organizations WHERE slug = %s",
            (name, now, organization),
        )
        if not made.rowcount:
            raise DownstreamError(f"the organization {organization!r} is not in this database: run `simsight migrate`")
    return password


def list_logins(administrator: URL, organization: str) -> list[Login]:
    """The logins of the organization, oldest first. Raises DownstreamError."""
    with _as_administrator(administrator) as connection, connection.cursor(row_factory=class_row(Login)) as cursor:
        return cursor.execute(
            "SELECT login, slug AS organization, d.created_at FROM ops.downstream_logins AS d "
            "JOIN core.organizations AS o USING (organization_id) WHERE slug = %s ORDER BY d.created_at, login",
            (organization,),
        ).fetchall()


def revoke_login(administrator: URL, organization: str, name: str, *, by: str = "") -> None:
    """End the sessions of a login and remove it. Raises DownstreamError when the organization has none of this name."""
    with _as_administrator(administrator, by) as connection:
        gone = connection.execute(
            "DELETE FROM ops.downstream_logins AS d USING core.organizations AS o "
            "WHERE o.organization_id = d.organization_id AND slug = %s AND login = %s",
            (organization, name),
        )
        if not gone.rowcount:
            raise DownstreamError(
                f"there is no login {name!r} to revoke: `simsight downstream list` shows those there are"
            )
        connection.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(name)))
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (name,))
        connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


@contextmanager
def _as_administrator(administrator: URL, by: str = "") -> Iterator[psycopg.Connection[Any]]:
    """A transaction of the login that migrates."""
    text = driver_url(administrator, "").render_as_string(hide_password=False)
    try:
        with psycopg.connect(text) as connection:
            connection.execute(query("act_as").encode(), {"by": by})
            yield connection
    except psycopg.errors.InsufficientPrivilege as error:
        raise DownstreamError(
            f"the login of SIMSIGHT_DATABASE_URL may not do this ({error.diag.message_primary}): it needs the right to "
            "make roles (ALTER ROLE ... CREATEROLE)"
        ) from error
