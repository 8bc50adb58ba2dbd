"""Answers that are given again, without being made again, while nothing was committed in the database since.

What an answer that `is_of_moment` says follows from what was asked, the day and the rows of one moment of the database
(`api/readers.py`). So the same is asked, on the same day and at the same moment, with the same answer: nothing has to
be told when something changes. The key is looked at in the database each time, as the moment is.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from fastapi import Response
from starlette.types import Receive, Scope, Send

from api.kept import is_had, unchanged

MAX_BYTES = 32_000_000  # of all answers together
MAX_ANSWER_BYTES = 1_000_000
OVERHEAD_BYTES = 4_000  # what an answer takes at most beside its body, with what was asked
MAX_WANTED = 2_000  # characters of what is asked


class Given:
    """An answer that was given, to be sent once more: one object for each, as the collector looks at all of them."""

    __slots__ = ("_etag", "_headers", "body", "moment")

    def __init__(self, moment: str, response: Response) -> None:
        self.moment, self.body, self._headers = moment, response.body, tuple(response.raw_headers)
        self._etag = response.headers.get("etag")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._etag and is_had(scope, self._etag):
            await unchanged(self._headers)(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": list(self._headers)})
        await send({"type": "http.response.body", "body": self.body})


class Reuse:
    """The answers that were given last, each with its moment."""

    def __init__(self) -> None:
        self._given: OrderedDict[Hashable, Given] = OrderedDict()
        self._bytes = 0

    def find(self, wanted: Hashable) -> Given | None:
        """The last answer to what is wanted, whatever its moment."""
        return self._given.get(wanted)

    def keep(self, wanted: Hashable, moment: str, response: Response) -> None:
        """Keep an answer in place of an older one; those that were kept first make room."""
        if len(response.body) > MAX_ANSWER_BYTES:
            return
        self._drop(wanted)
        self._given[wanted] = Given(moment, response)
        self._bytes += len(response.body) + OVERHEAD_BYTES
        while self._bytes > MAX_BYTES:
            self._drop(next(iter(self._given)))

    def _drop(self, wanted: Hashable) -> None:
        if given := self._given.pop(wanted, None):
            self._bytes -= len(given.body) + OVERHEAD_BYTES
