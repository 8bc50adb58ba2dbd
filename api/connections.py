"""Connections of the event loop: named queries, prepared once each, all of one transaction and one round trip."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import DictRow, dict_row
from sqlalchemy import URL

from resources import tracing
from resources.database.server import driver_url
from sql import query

# queries with one best plan whatever their parameters, whose planning would cost more than they do
PLANNED_ONCE = frozenset({"api_exhaustions", "api_churn_risks"})
# queries whose best plan depends on their parameters: one for any days would take every choice of days for a small one,
# one for any number of rows would sort the whole fleet for a page, and one for any choice of SIMs take each for one SIM
PLANNED_EACH_TIME = frozenset(
    {
        "api_events",
        *(f"api_sims_sorted[api_places_by_{sort}]" for sort in ("remaining", "ends_on", "last_used")),
        *(f"{name}[dashboard_chosen_sims]" for name in ("dashboard_sims", "dashboard_facets")),
    }
)
CONNECT_SECONDS = 5
STATEMENT_SECONDS = 10

Row = dict[str, Any]
Query = tuple[str, Mapping[str, Any]]  # <name>.sql of sql/queries, and its parameters


class _Connection:
    """A reader's connection, and which queries it has prepared."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection
        self._prepared: set[str] = set()

    async def close(self) -> None:
        await self._connection.close()

    async def ask(self, asked: list[Query]) -> list[list[Row]]:
        """Return the rows of each named query, all of one transaction and one round trip.

        PostgreSQL takes statements that come as one text for one transaction.
        """
        with tracing.statement(", ".join(name for name, _ in asked)):
            return await self._ask(asked)

    async def _ask(self, asked: list[Query]) -> list[list[Row]]:
        new = dict.fromkeys(name for name, _ in asked if name not in self._prepared)
        if new:
            await self._connection.execute(";".join(_prepared(name)[0] for name in new).encode())
            self._prepared |= new.keys()
        texts, values = [], []
        for name, given in asked:
            _, text, names = _prepared(name)
            texts.append(text)
            values += [given[value] for value in names]
        cursor: psycopg.AsyncClientCursor[DictRow] = psycopg.AsyncClientCursor(self._connection, row_factory=dict_row)
        await cursor.execute(";".join(texts).encode(), values)
        # nfields and not description, which describes every column anew
        return [await cursor.fetchall() async for _ in cursor.results() if cursor.pgresult and cursor.pgresult.nfields]


@cache
def _prepared(name: str) -> tuple[str, str, list[str]]:
    """The statement that prepares a named query, the one that executes it, and its parameters in their order."""
    names: dict[str, int] = {}
    text = re.sub(
        r"%\((\w+)\)[sb]|%%",
        lambda found: f"${names.setdefault(found[1], len(names) + 1)}" if found[1] else "%",
        query(name),
    )
    quoted = f'"{name}"'  # a name with a part in it has brackets
    execute = f"EXECUTE {quoted} ({', '.join(['%s'] * len(names))})" if names else f"EXECUTE {quoted}"
    if name in PLANNED_ONCE:
        execute = f"SET LOCAL plan_cache_mode = force_generic_plan;{execute}"
    if name in PLANNED_EACH_TIME:
        execute = f"SET LOCAL plan_cache_mode = force_custom_plan;{execute}"
    return f"PREPARE {quoted} AS {text}", execute, list(names)


class Connections:
    """Connections to one server in role simsight_api, which read only; made when needed.

    options   of libpq, for each of them
    """

    def __init__(self, url: URL | str, **options: int) -> None:
        address = driver_url(url, "").render_as_string(hide_password=False)
        self._address = make_conninfo(address, **({"connect_timeout": CONNECT_SECONDS} | options))
        self._idle: list[_Connection] = []

    async def close(self) -> None:
        while self._idle:
            await self._idle.pop().close()

    async def ask(self, asked: list[Query]) -> list[list[Row]]:
        """Return the rows of each query, all as of one moment. Raises psycopg.Error."""
        while self._idle:
            connection = self._idle.pop()
            try:
                return await self._ask_by(connection, asked)
            except psycopg.errors.QueryCanceled:
                raise
            except psycopg.OperationalError:  # it broke while it was idle: nothing is lost by asking again
                continue
        return await self._ask_by(await self._connect(), asked)

    async def ask_once(self, asked: list[Query]) -> list[list[Row]]:
        """As `ask`, by one connection: one that broke while it was idle is not replaced."""
        return await self._ask_by(self._idle.pop() if self._idle else await self._connect(), asked)

    async def _ask_by(self, connection: _Connection, asked: list[Query]) -> list[list[Row]]:
        try:
            found = await connection.ask(asked)
        except BaseException:
            await connection.close()
            raise
        self._idle.append(connection)
        return found

    async def _connect(self) -> _Connection:
        connection = await psycopg.AsyncConnection.connect(self._address, autocommit=True, prepare_threshold=None)
        try:
            await connection.execute(
                f"SET ROLE simsight_api; SET TIME ZONE 'UTC'; SET statement_timeout = '{STATEMENT_SECONDS}s'; "
                "SET default_transaction_read_only = on; SET default_transaction_isolation = 'repeatable read'".encode()
            )
        except BaseException:
            await connection.close()
            raise
        return _Connection(connection)
