"""What most requests ask of the database: in the event loop, one transaction and one round trip a request."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from sqlalchemy import URL

from api.connections import Connections, Query, Row
from api.database import InvalidKeyError, check, facts_of, translated
from api.replica import Replica
from resources.database.server import describe
from services.access.api_keys import Credential, KeyFacts

READERS = 8
MAX_FACTS = 10_000


@dataclass
class _Look:
    """A look at the database that has not begun: keys to look at, and what will be found."""

    keys: set[bytes]
    answer: asyncio.Task[dict[bytes, Row]]


class Readers:
    """Answers queries for the organization of a key, in the event loop; connects when needed.

    A text of EXECUTE statements is one transaction in one round trip: first the key is looked at, which chooses the
    organization for the rest of the transaction, then come the queries. So there is nothing to begin or to commit.
    Where there is a replica that is fit, it answers the queries while the primary looks at the key.
    """

    def __init__(self, url: URL | str, replica: Replica | None = None) -> None:
        self._address = describe(url)
        self._primary, self._replica = Connections(url), replica
        self._facts: dict[bytes, KeyFacts] = {}
        self._free = asyncio.Semaphore(READERS)
        self._looking = asyncio.Lock()
        self._next_look: _Look | None = None
        self._seen: str | None = None  # the last moment that an answer of the primary had

    async def close(self) -> None:
        await self._primary.close()
        if self._replica is not None:
            await self._replica.close()

    async def read(self, key: Credential, *asked: Query) -> list[list[Row]]:
        """Return the rows of each query (<name>.sql of sql/queries and its parameters), all as of one moment.

        Raises InvalidKeyError, NotAllowedError, DatabaseUnavailableError, TooSlowError and SchemaOutdatedError.
        """
        return (await self.read_at(key, *asked))[1]

    async def read_at(self, key: Credential, *asked: Query) -> tuple[str | None, list[list[Row]]]:
        """Return the moment of the primary (`is_still`) and the rows of each query; raises as `read` does.

        The moment is None where a replica answered: it may be behind.
        """
        which = {"key_sha256": key.sha256}
        facts = self._facts.get(key.sha256)
        known = [] if facts else [("api_key_facts", which)]  # they never change: asked once
        entering: list[Query] = [("api_authenticate", which), *known]
        own = True
        async with self._free:
            with translated(self._address):
                if asked and self._replica is not None and self._replica.is_wanted():
                    (authenticated, *found), own = await self._replica.read(self._primary, entering, list(asked))
                else:
                    (authenticated, *found) = await self._primary.ask([*entering, *asked])
        if authenticated[0]["organization_id"] is None:
            raise InvalidKeyError
        if facts is None:
            facts = facts_of(found.pop(0))
            if len(self._facts) >= MAX_FACTS:
                self._facts.clear()
            self._facts[key.sha256] = facts
        check(facts, key)
        self._seen = authenticated[0]["moment"]
        return self._seen if own else None, found

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
                (rows,) = await self._primary.ask([("api_moment", {"keys": list(look.keys)})])
        self._seen = rows[0]["moment"]
        return {row["key_sha256"]: row for row in rows}

    def allowed(self, key: Credential) -> frozenset[str]:
        """The scopes of a key that `read` let in."""
        facts = self._facts.get(key.sha256)
        return facts.allowed(key) if facts else frozenset()
