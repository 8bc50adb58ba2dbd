"""The short way of a GET that reads: from the server to the route's function, past FastAPI's layers.

FastAPI documents every route and can answer every request. A request that is as it should be needs little of what
FastAPI does: its levels of dependencies and middleware cost about as much as the query. All that is not plain takes
the long way, so that no error is worded twice.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from contextlib import suppress
from copy import copy
from typing import Any, cast, get_type_hints
from urllib.parse import parse_qsl

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette_compress import CompressMiddleware, add_compress_type, remove_compress_type

from api.called import called_prefix
from api.dependencies import Asked, asked, one_key
from api.errors import EXPECTED, ProblemError, problem_of
from api.kept import is_had, is_of_moment
from api.metrics import ROUTE
from api.reuse import MAX_WANTED, Reuse
from services.access import api_keys
from services.access.api_keys import Credential

COMPRESSED_BYTES = 1000  # from which on answers are compressed
ASIDE_BYTES = 256_000  # from which on in a thread, as it takes milliseconds in which no other request would go on
ANSWER = "simsight.answer"
add_compress_type("text/csv")
add_compress_type("application/problem+json")
remove_compress_type("text/event-stream")  # an event is sent at once, and is small


def compressing(app: ASGIApp) -> ASGIApp:
    """Compress answers of an application by the best encoding that the client takes, at levels that cost little time.

    gzip's level 1 of 9: each further one costs more time than it saves in bytes. Parquet and XLSX are compressed
    already, and events must not wait for more of them: both stay as they are.
    """
    return CompressMiddleware(app, minimum_size=COMPRESSED_BYTES, zstd_level=3, brotli_quality=4, gzip_level=1)


async def _answer_made(scope: Scope, receive: Receive, send: Send) -> None:
    await scope[ANSWER](scope, receive, send)


class _Read:
    """A route whose function takes Asking and parameters of path and query, and returns a Response."""

    def __init__(self, route: APIRoute) -> None:
        dependant = route.dependant
        self.path: re.Pattern[str] = route.path_regex
        self.template = route.path
        self._function = route.endpoint
        asking = next(other for other in dependant.dependencies if other.call is asked)
        self._asking = str(asking.name)
        self.needs = cast(api_keys.Scope, (asking.own_oauth_scopes or ["read"])[0])
        self._request = dependant.request_param_name
        self._of_path = {field.alias: field for field in dependant.path_params}
        self._of_query = {field.alias: field for field in dependant.query_params}
        self._defaults = {field.name: field.get_default() for field in dependant.query_params}

    def values(self, of_path: Mapping[str, str], query: str) -> dict[str, Any] | None:
        """Return the parameters of a request, validated as FastAPI does; None where something is wrong with them."""
        given = parse_qsl(query, keep_blank_values=True)
        found = dict(given)
        if len(found) < len(given) or not found.keys() <= self._of_query.keys():
            return None
        values = dict(self._defaults)
        for fields, texts in ((self._of_path, of_path), (self._of_query, found)):
            for alias, text in texts.items():
                field = fields[alias]
                values[field.name], wrong = field.validate(text, loc=(alias,))
                if wrong:
                    return None
        return values

    async def answer(self, request: Request, asking: Asked, values: dict[str, Any]) -> Response | None:
        values[self._asking] = asking
        if self._request:
            values[self._request] = request
        try:
            response: Response = await self._function(**values)
        except ProblemError:  # raised maybe before the key was looked up, and a wrong key comes first
            return None
        return response


class Direct(FastAPI):
    """The application, with the short way in front, and before both what `guard` puts there."""

    _front: ASGIApp | None = None
    _compressed = staticmethod(compressing(_answer_made))

    def guard(self, with_front: Callable[[ASGIApp], ASGIApp]) -> None:
        """Put something before both ways; what is put there later stands before it."""
        self._front = with_front(self._front or self._either_way)

    def take_the_short_way(self, routes: Iterable[BaseRoute], headers: Mapping[str, str]) -> None:
        """Answer these routes directly where that can be; `headers` are put on every such answer."""
        self._reads = [_Read(route) for route in routes if isinstance(route, APIRoute) and _only_reads(route)]
        self._headers = headers
        self._reuse = Reuse()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or self._front is None:
            await self._either_way(scope, receive, send)
        else:
            await self._front(scope, receive, send)

    async def _either_way(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = None
        if scope["type"] == "http" and scope["method"] == "GET" and not scope.get("root_path"):
            response = await self._answer(scope)
        await (response or super().__call__)(scope, receive, send)

    async def _answer(self, scope: Scope) -> ASGIApp | None:
        """Answer a request; None where it takes the long way."""
        path = scope["path"]
        for read in self._reads:
            if found := read.path.match(path):
                break
        else:
            return None
        scope[ROUTE] = read.template
        scope["app"] = self  # as FastAPI does: functions read its state
        request = Request(scope)
        try:
            key = one_key(request, needs=read.needs)
            wanted = self._wanted(request, key)
            given = self._reuse.find(wanted) if wanted else None
            if given and await self.state.readers.is_still(given.moment, key):
                return given
            values = read.values(found.groupdict(), scope["query_string"].decode("latin-1"))
            asking = Asked(self.state.readers, key)
            response = None if values is None else await read.answer(request, asking, values)
            if response and not asking.has_asked:  # it follows from what was asked for alone
                await asking.read()
        except EXPECTED as error:
            response = problem_of(error, path)
        except Exception:  # the long way answers 500 and logs it
            return None
        if response is None:
            return None
        for name, value in self._headers.items():
            response.headers.setdefault(name, value)
        moment = asking.moment if is_of_moment(response) and wanted else None
        if len(response.body) >= COMPRESSED_BYTES and (moment or not _is_had(scope, response)):
            response = await self._compress(response, scope)
        if moment:
            self._reuse.keep(wanted, moment, response)
        return response

    def _wanted(self, request: Request, key: Credential) -> Hashable:
        """All that an answer may follow from beside the rows of its moment; None where that is too much to keep."""
        path, query, prefix = request.scope["path"], request.scope["query_string"], called_prefix(request)
        encodings = tuple(request.headers.getlist("accept-encoding"))
        if len(path) + len(query) + len(prefix) + sum(map(len, encodings)) > MAX_WANTED:
            return None
        return key.presented, key.granted, path, query, prefix, encodings, self.state.clock().date()

    async def _compress(self, response: Response, scope: Scope) -> Response:
        """An answer as the client takes it. It may be sent more than once."""
        made = copy(response)
        made.body = b""

        async def take(message: Message) -> None:
            if message["type"] == "http.response.start":
                made.raw_headers = message["headers"]
            else:
                made.body += message.get("body", b"")

        # of its headers only this: to one that asks whether an answer has changed, Kept sends none
        headers = [header for header in scope["headers"] if header[0] == b"accept-encoding"]
        work = self._compressed({**scope, "headers": headers, ANSWER: response}, _nothing, take)
        if len(response.body) >= ASIDE_BYTES:
            await run_in_threadpool(_run, work)
        else:
            await work
        return made


def _run(work: Awaitable[None]) -> None:
    """Run what waits for nothing, here and now."""
    with suppress(StopIteration):
        next(work.__await__())
        raise RuntimeError("it waits")


def _is_had(scope: Scope, response: Response) -> bool:
    """Whether 304 will be said in its place."""
    return "etag" in response.headers and is_had(scope, response.headers["etag"])


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


def _only_reads(route: APIRoute) -> bool:
    return (
        route.methods == {"GET"}
        and any(other.call is asked for other in route.dependant.dependencies)
        and get_type_hints(route.endpoint)["return"] is Response
    )
