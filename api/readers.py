"""What most requests ask of the database: in the event loop, one transaction and one round trip a request."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import psycopg
from psycopg.rows import DictRow, dict_row
from sqlalchemy import URL

from api.database import CONNECT_SECONDS, STATEMENT_SECONDS, InvalidKeyError, Row, check, facts_of, translated
from resources.database.server import describe, driver_url
from services.access.api_keys import Credential, KeyFacts
from sql import query

READERS = 8
# queries with one best plan whatever their parameters, whose planning would cost more than they do
PLANNED_ONCE = frozenset({"api_exhaustions"})
# queries whose best plan depends on their parameters: one for any days would take every choice of days for a small one,
# one for any number of rows would sort the whole fleet for a page
PLANNED_EACH_TIME = frozenset(
    {"api_events", *(f"api_sims_sorted[api_places_by_{sort}]" for sort in ("remaining", "ends_on", "last_used"))}
)
MAX_FACTS = 10_000


class _Connection:
    """A reader's connection, and which queries it has prepared."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection
        self._prepared: set[str] = set()

    @property
    def closed(self) -> bool:
        return self._connection.closed

    async def close(self) -> None:
        await self._connection.close()

    async def ask(self, asked: list[tuple[str, Mapping[str, Any]]]) -> list[list[Row]]:
        """Return the rows of each named query, all of one transaction and one round trip.

        PostgreSQL takes statements that come as one text for one transaction.
        """
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


@dataclass
class _Look:
    """A look at the database that has not begun: keys to look at, and what will be found."""

    keys: set[bytes]
    answer: asyncio.Task[dict[bytes, Row]]


class Readers:
    """Answers queries for the organization of a key, in the event loop; connects when needed.

    A text of EXECUTE statements is one transaction in one round trip: first the key is looked at, which chooses the
    organization for the rest of the transaction, then come the queries. So there is nothing to begin or to commit.
    """

    def __init__(self, url: URL | str) -> None:
        self._url = driver_url(url, "").render_as_string(hide_password=False)
        self._address = describe(url)
        self._idle: list[_Connection] = []
        self._facts: dict[bytes, KeyFacts] = {}
        self._free = asyncio.Semaphore(READERS)
        self._looking = asyncio.Lock()
        self._next_look: _Look | None = None
        self._seen: str | None = None  # the last moment that an answer of the database had

    async def close(self) -> None:
        while self._idle:
            await self._idle.pop().close()

    async def read(self, key: Credential, *asked: tuple[str, Mapping[str, Any]]) -> list[list[Row]]:
        """Return the rows of each query (<name>.sql of sql/queries and its parameters), all as of one moment.

        Raises InvalidKeyError, NotAllowedError, DatabaseUnavailableError, TooSlowError and SchemaOutdatedError.
        """
        return (await self.read_at(key, *asked))[1]

    async def read_at(
        self, key: Credential, *asked: tuple[str, Mapping[str, Any]]
    ) -> tuple[str | None, list[list[Row]]]:
        """Return the moment of the database (`is_still`) and the rows of each query; raises as `read` does."""
        which = {"key_sha256": key.sha256}
        facts = self._facts.get(key.sha256)
        known = [] if facts else [("api_key_facts", which)]  # they never change: asked once
        async with self._free:
            with translated(self._address):
                (authenticated, *found) = await self._ask([("api_authenticate", which), *known, *asked])
        if authenticated[0]["organization_id"] is None:
            raise InvalidKeyError
        if facts is None:
            facts = facts_of(found.pop(0))
            if len(self._facts) >= MAX_FACTS:
                self._facts.clear()
            self._facts[key.sha256] = facts
        check(facts, key)
        self._seen = authenticated[0]["moment"]
        return self._seen, found

    async def is_still(self, moment: str, key: Credential) -> bool:
        """Whether nothing was committed since a moment that `read_at` gave; raises as `read` does.

        The database is asked after the call, once for all that ask meanwhile.
        """
        facts = self._facts.get(key.sha256)
        if facts is None or moment != self._seen:  # it moved on, as another request saw
            return False
        if (look := self._next_look) is None:
            look = self._next_look = _Look(set(), asyncio.create_task(self._look()))
        look.keys.add(key.sha256)
        found = (await asyncio.shield(look.answer))[key.sha256]
        if found["organization_id"] is None:
            raise InvalidKeyError
        check(facts, key)
        return bool(found["moment"] == moment)

    async def _look(self) -> dict[bytes, Row]:
        """Ask for the moment and for the keys that gathered, one look at a time: who comes later shares the next."""
        async with self._looking:
            look, self._next_look = self._next_look, None
            assert look is not None
            with translated(self._address):
                (rows,) = await self._ask([("api_moment", {"keys": list(look.keys)})])
        self._seen = rows[0]["moment"]
        return {row["key_sha256"]: row for row in rows}

    def allowed(self, key: Credential) -> frozenset[str]:
        """The scopes of a key that `read` let in."""
        facts = self._facts.get(key.sha256)
        return facts.allowed(key) if facts else frozenset()

    async def _ask(self, asked: list[tuple[str, Mapping[str, Any]]]) -> list[list[Row]]:
        while self._idle:
            connection = self._idle.pop()
            try:
                return await self._ask_by(connection, asked)
            except psycopg.errors.QueryCanceled:
                raise
            except psycopg.OperationalError:  # it broke while it was idle: nothing is lost by asking again
                continue
        return await self._ask_by(await self._connect(), asked)

    async def _ask_by(self, connection: _Connection, asked: list[tuple[str, Mapping[str, Any]]]) -> list[list[Row]]:
        try:
            found = await connection.ask(asked)
        except BaseException:
            await connection.close()
            raise
        self._idle.append(connection)
        return found

    async def _connect(self) -> _Connection:
        connection = await psycopg.AsyncConnection.connect(
            self._url, autocommit=True, connect_timeout=CONNECT_SECONDS, prepare_threshold=None
        )
        try:
            await connection.execute(
                f"SET ROLE simsight_api; SET TIME ZONE 'UTC'; SET statement_timeout = '{STATEMENT_SECONDS}s'; "
                "SET default_transaction_read_only = on; SET default_transaction_isolation = 'repeatable read'".encode()
            )
        except BaseException:
            await connection.close()
            raise
        return _Connection(connection)
