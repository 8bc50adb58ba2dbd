"""Asks a call in the version that answers it, and finds out by what answers that a call or a SIM is gone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, NamedTuple, NoReturn

from resources.once import responses, values
from resources.once.calls import CALLS, CallBook, Form, Version
from resources.once.errors import OnceNotOnV1Error, OnceRequestError
from resources.once.responses import Answer
from resources.tracing import span

log = logging.getLogger(__name__)

# so many SIMs one after the other unknown to a call, and it is looked again whether the call answers anybody
MAX_UNKNOWN_IN_A_ROW = 20


class Came(NamedTuple):
    """A 200 answer as JSON, before it is typed."""

    path: str
    params: dict[str, str]
    received_at: datetime
    body: bytes
    document: Any
    totals: responses.Totals
    shown: str  # how the body begins, without secrets

    def records(self, key: str | None = None) -> list[Any]:
        """The list that the answer is, or that stands in it under `key` (an absent one is empty)."""
        found = self.document if key is None else (self.record().get(key) or [])
        return found if isinstance(found, list) else self._unlike("a list" + (f" under {key!r}" if key else ""))

    def record(self) -> dict[str, Any]:
        """The object that the answer is."""
        return self.document if isinstance(self.document, dict) else self._unlike("an object")

    def found(self, form: Form) -> list[Any]:
        """The records of the answer."""
        return [self.record()] if form.single else self.records(form.key)

    def answer(self, form: Form, **asked: Any) -> Answer[Any]:
        notes: list[str] = []
        items, rejected = form.parse(self.found(form), notes, **asked)
        return Answer(self.path, self.params, self.received_at, self.body, items, rejected, notes)

    def _unlike(self, expected: str) -> NoReturn:
        raise OnceRequestError(
            f"GET {self.path}", 200, self.shown, f"Expected {expected}: 1NCE's API may have changed."
        )


Get = Callable[[str, dict[str, str]], Awaitable[Came]]


class Asking:
    """The calls of one client, by version.

    get   the answer to one request, by path and query; raises OnceError
    book  which version of each call to ask; it notes what is learnt
    """

    def __init__(self, get: Get, book: CallBook, now: Callable[[], datetime]) -> None:
        self._get, self._book, self._now = get, book, now
        self._unknown: dict[tuple[str, Version], int] = {}  # SIMs in a row that an answering call did not know
        self._deciding = asyncio.Lock()

    async def ask(
        self,
        call: str,
        iccid: str = "",
        *,
        kind: str = "",
        size: int = 0,
        params: dict[str, str] | None = None,
        listed: bool = True,
    ) -> tuple[Form, Came]:
        """The answer to a call, its first page of `size` records, and the form it was asked in.

        A call of a SIM that answers 404 is looked into: it is the call that is gone, or the SIM that is not known.
        Raises OnceCallGoneError when the call is gone from all versions that may be asked, without a request when that
        is known; OnceNotOnV1Error for a SIM of the account that API v1 does not know.
        """
        while (version := self._book.in_use(call, self._now())) is not None:
            form = CALLS[call][version]
            path, query = path_of(form, iccid, kind), form.page(1, size) if size else (params or {})
            try:
                with span(f"1NCE {call}", {"url.template": form.path}):
                    came = await self._get(path, query)
            except OnceRequestError as error:
                if error.status not in (403, 404, 410, 422):
                    raise
                if await self._is_gone(call, version, iccid, kind, query, error.status):
                    continue
                on_v2 = listed and not self._book.list_is_whole("v1")
                if error.status == 404 and version == "v1" and on_v2:
                    raise OnceNotOnV1Error(error.call, error.status, error.came) from None
                raise
            self._unknown[call, version] = 0
            self._book.answered(call, version, self._now())
            return form, came
        raise self._book.gone_error(call, self._now())

    async def _is_gone(
        self, call: str, version: Version, iccid: str, kind: str, query: dict[str, str], status: int
    ) -> bool:
        """Whether a refusal is the call's and not the SIM's; the call is then noted as gone."""
        key = call, version
        if status == 422 or (status == 403 and (iccid or self._book.versions(call)[-1] == version)):
            self._unknown[key] = 0  # it says no to this SIM, or to this account, which has no other version to ask
            return False
        if status == 404 and iccid:
            async with self._deciding:
                if self._book.is_gone(call, version, self._now()):
                    return True
                unknown = self._unknown.get(key, MAX_UNKNOWN_IN_A_ROW)
                if unknown >= MAX_UNKNOWN_IN_A_ROW:
                    unknown = 0
                    if not await self._answers_anybody(version, CALLS[call][version], iccid, kind, query):
                        self._note_gone(call, version, status)
                        return True
                self._unknown[key] = unknown + 1
                return False
        self._note_gone(call, version, status)
        return True

    async def _answers_anybody(
        self, version: Version, form: Form, iccid: str, kind: str, query: dict[str, str]
    ) -> bool:
        """Whether a call that does not know one SIM knows another that this version's list names."""
        if self._book.is_gone("sims", version, self._now()):
            return False
        every = CALLS["sims"][version]
        try:
            came = await self._get(every.path, every.page(1, 3))
        except OnceRequestError as error:
            if error.status not in (404, 410):
                raise
            self._note_gone("sims", version, error.status)
            return False
        self._book.answered("sims", version, self._now())
        named: list[str] = [card.iccid for card in came.answer(every).items if card.iccid != iccid]
        for other in named[:2]:
            try:
                await self._get(path_of(form, other, kind), query)
            except OnceRequestError as error:
                if error.status == 404:
                    continue
                if error.status in (403, 422):
                    return True
                if error.status == 410:
                    return False
                raise
            return True
        return False

    def _note_gone(self, call: str, version: Version, status: int) -> None:
        if not self._book.is_gone(call, version, self._now()):
            log.warning("1NCE: the call for %s of API %s is gone (HTTP %s)", call, version, status)
        self._book.gone(call, version, self._now(), status)


def path_of(form: Form, iccid: str, kind: str) -> str:
    if "{iccid}" not in form.path:
        return form.path
    try:
        return form.path.format(iccid=values.check_iccid(iccid), kind=kind)
    except ValueError as broken:
        raise ValueError(f"iccid: got {iccid!r}, {broken}") from None
