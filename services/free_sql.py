"""Free SQL: one checked query, run by a login that PostgreSQL itself binds to one organization.

The check (`services/free_sql_check.py`) is the first fence, and none is trusted alone. The login is made by `simsight
downstream create`: its session holds no secret, and no setting of it changes what it sees. Each query has a connection
of its own, so nothing that one leaves behind meets the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from math import isfinite
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import dict_row
from sqlalchemy import URL

from resources.database.server import DatabaseUnavailableError, describe, driver_url
from resources.errors import SimsightError, UsageError
from sql import query, view_definitions

if TYPE_CHECKING:
    from services.free_sql_check import Checked

SECONDS = 10
CONNECT_SECONDS = 5
MAX_COST = 5_000_000  # as PostgreSQL estimates: a page read in order costs 1
MAX_BYTES = 5_000_000  # of an answer's values
ROWS_AT_ONCE = 50
SETTINGS = f"""
SET statement_timeout = '{SECONDS}s'; SET lock_timeout = '2s';
SET idle_in_transaction_session_timeout = '{2 * SECONDS}s';
SET work_mem = '16MB'; SET max_parallel_workers_per_gather = 0; SET jit = off; SET cursor_tuple_fraction = 1;
SET search_path = pg_catalog; SET timezone = 'UTC'; SET default_transaction_read_only = on
"""
SPILLED = "SET temp_file_limit = '512MB'"


class FreeSqlOffError(UsageError):
    """Free SQL is not switched on, or not for this organization."""


class FreeSqlLoginError(SimsightError):
    """A login of SIMSIGHT_FREE_SQL must not run SQL of others; the message says why."""


class FreeSqlTooSlowError(SimsightError):
    """A query was stopped after SECONDS."""


class FreeSqlFailedError(UsageError):
    """PostgreSQL refused a query that had passed the check, or it would cost too much; the message says why."""


@dataclass(frozen=True)
class SqlColumn:
    """A column of an answer: its name, which may not be the only one of it, and its type in PostgreSQL."""

    name: str
    type: str


@dataclass(frozen=True)
class SqlAnswer:
    """Rows of a query, in the order of `columns`; `cost` is PostgreSQL's estimate before it ran."""

    columns: list[SqlColumn]
    rows: list[list[Any]]
    truncated: bool
    sql: str
    cost: float
    as_of: date | None
    data_age_days: int | None


class FreeSql:
    """Runs queries of organizations that a login was set for."""

    def __init__(self, urls: Sequence[URL | str]) -> None:
        """`urls` are of downstream logins, one an organization. Raises UsageError without the extra [sql]."""
        from services.free_sql_check import check  # a part that is installed only where it is wanted

        self._check = check
        self._urls = list(urls)
        self._url_of: dict[int | str, URL | str] = {}
        self._views: dict[str, frozenset[str]] = {}  # views change with the service's version alone

    def run(self, text: str, organization: int | str, now: datetime) -> SqlAnswer:
        """Check a query and run it.

        organization  its number or its slug
        now           the time of the question, for the data's age
        Raises SqlRefusedError, FreeSqlFailedError, FreeSqlOffError, FreeSqlLoginError, FreeSqlTooSlowError and
        DatabaseUnavailableError.
        """
        checked = self._check(text, self._views) if self._views else None  # what is refused costs no connection
        known = self._url_of.get(organization)
        for url in [known] if known is not None else self._urls:
            with _opened(url) as connection:
                if organization in _organization_of(connection, url):
                    self._url_of[organization] = url
                    self._views = self._views or _views(connection)
                    return _run(connection, checked or self._check(text, self._views), now)
        self._url_of.pop(organization, None)
        raise FreeSqlOffError(
            "free SQL is not switched on for this organization: the operator makes a login with `simsight downstream "
            "create` and puts its URL into SIMSIGHT_FREE_SQL"
        )


@contextmanager
def _opened(url: URL | str) -> Iterator[psycopg.Connection[Any]]:
    """A connection of the login in a read-only transaction, with errors translated."""
    try:
        connection = psycopg.connect(
            driver_url(url, "").render_as_string(hide_password=False),
            connect_timeout=CONNECT_SECONDS,
            autocommit=True,
            prepare_threshold=None,
        )
    except psycopg.Error as error:
        raise DatabaseUnavailableError(f"no connection to PostgreSQL at {describe(url)} for free SQL") from error
    try:
        connection.execute(SETTINGS.encode())
        with suppress(
            psycopg.errors.InsufficientPrivilege
        ):  # then its own setting counts, which `_organization_of` looks at
            connection.execute(SPILLED.encode())
        connection.autocommit = False
        connection.read_only = True
        yield connection
    except psycopg.errors.QueryCanceled as error:
        raise FreeSqlTooSlowError(f"the query was stopped after {SECONDS} seconds: ask for less at a time") from error
    except psycopg.OperationalError as error:
        if error.sqlstate and error.sqlstate[:2] in ("53", "54"):
            raise FreeSqlFailedError(f"PostgreSQL: {error.diag.message_primary}") from error
        raise DatabaseUnavailableError(f"the connection to PostgreSQL at {describe(url)} broke") from error
    except psycopg.Error as error:
        raise FreeSqlFailedError(f"PostgreSQL: {error.diag.message_primary or 'the query failed'}") from error
    finally:
        connection.close()


def _organization_of(connection: psycopg.Connection[Any], url: URL | str) -> tuple[int, str]:
    """Number and slug of the organization that the login is bound to. Raises FreeSqlLoginError for another login."""
    try:
        found = _rows(connection, "sql_login")
    except psycopg.errors.InsufficientPrivilege:
        found = []
    if len(found) != 1 or not found[0]["bound"]:
        raise FreeSqlLoginError(
            f"the login of SIMSIGHT_FREE_SQL at {describe(url)} is not bound to one organization: make one with "
            "`simsight downstream create`, and give it no other role"
        )
    if not found[0]["spills_bounded"]:
        raise FreeSqlLoginError(
            "a login of SIMSIGHT_FREE_SQL may fill the disk: as an administrator, ALTER ROLE ... SET temp_file_limit = "
            "'512MB'"
        )
    return found[0]["organization_id"], found[0]["slug"]


def _rows(
    connection: psycopg.Connection[Any], name: str, parameters: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query(name).encode(), parameters).fetchall()


def _views(connection: psycopg.Connection[Any]) -> dict[str, frozenset[str]]:
    """The published views and their columns."""
    names = [view.name for view in view_definitions()]
    return {row["name"]: frozenset(row["columns"]) for row in _rows(connection, "sql_columns", {"views": names})}


def _run(connection: psycopg.Connection[Any], checked: Checked, now: datetime) -> SqlAnswer:
    last = _rows(connection, "question_last_day", {"today": now.date()})[0]["last_day"]
    cost = _cost(connection, checked.sql)
    # a cursor on the server is declared by the extended protocol: one statement, and a query at that
    with connection.cursor("free_sql") as cursor:
        cursor.itersize = ROWS_AT_ONCE
        cursor.execute(checked.sql.encode())
        columns = [SqlColumn(column.name, column.type_display) for column in cursor.description or ()]
        rows: list[list[Any]] = []
        size, truncated = 0, False
        for row in cursor:
            values = [_plain(value) for value in row]
            size += sum(len(value) if isinstance(value, str) else 8 for value in values)
            if len(rows) == checked.rows or size > MAX_BYTES:
                truncated = True
                break
            rows.append(values)
    age = max((now.date() - last).days - 1, 0) if last else None
    return SqlAnswer(columns, rows, truncated, checked.sql, cost, last, age)


def _cost(connection: psycopg.Connection[Any], text: str) -> float:
    """What PostgreSQL estimates. Raises FreeSqlFailedError where that is too much to be tried."""
    # prepared, and so by the extended protocol
    found = connection.execute(b"EXPLAIN (FORMAT JSON) " + text.encode(), prepare=True).fetchone()
    assert found is not None
    cost = float(found[0][0]["Plan"]["Total Cost"])
    if cost > MAX_COST:
        raise FreeSqlFailedError(
            f"the query would cost too much (PostgreSQL estimates {cost:,.0f}, {MAX_COST:,} is the limit): choose "
            "fewer SIMs or days, or join on more columns"
        )
    return cost


def _plain(value: Any) -> Any:
    """A value as JSON has it; a number that JSON lacks is a text."""
    if isinstance(value, Decimal):
        value = float(value)
    if isinstance(value, float):
        return value if isfinite(value) else str(value)
    if isinstance(value, bool | int | str) or value is None:
        return value
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value)
    return str(value)
