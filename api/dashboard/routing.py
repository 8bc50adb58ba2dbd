"""The router of the dashboard's pages: what goes wrong is a page for people, and a problem for scripts."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from urllib.parse import parse_qs, parse_qsl

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from api.dashboard.web import page
from api.dependencies import KnownParameters, WriteAccess
from api.errors import EXPECTED, problem_of
from services.access.api_keys import Credential, Scope

PAGE = 50  # rows of a list
SHOWN: tuple[type[Exception], ...] = (RequestValidationError, *EXPECTED)
STALE_AFTER = timedelta(days=2)


class PageRoute(APIRoute):
    """A route whose errors a browser shows as a page. What htmx asks for it hears as a problem, which app.js tells."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()

        async def shown(request: Request) -> Response:
            try:
                return await answer(request)
            except SHOWN as error:
                if request.headers.get("hx-request") or "text/html" not in request.headers.get("accept", ""):
                    raise
                if isinstance(error, RequestValidationError):
                    wrong = "; ".join(f"{issue['loc'][-1]}: {issue['msg']}" for issue in error.errors())
                    return page(request, "problem.html", status=422, detail=wrong)
                problem = problem_of(error, request.url.path)
                told = orjson.loads(problem.body)["detail"]
                return page(request, "problem.html", status=problem.status_code, detail=told)

        return shown


router = APIRouter(include_in_schema=False, dependencies=[KnownParameters], route_class=PageRoute)


async def fields(request: Request) -> dict[str, str]:
    """The fields of a form, the last of each name."""
    return dict(parse_qsl((await request.body()).decode("latin-1"), encoding="utf-8"))


async def all_fields(request: Request) -> dict[str, list[str]]:
    """The fields of a form, each with all its values."""
    return parse_qs((await request.body()).decode("latin-1"), encoding="utf-8")


def write_access(request: Request, session: Credential, needs: Scope) -> WriteAccess:
    """What a session may change, as routes of the API are given it.

    Raises as Store.session does, NotAllowedError where its key lacks the scope.
    """
    access = WriteAccess(request, replace(session, needs=needs))
    with access.store.session(access.key):
        pass
    return access


def days_behind(request: Request, as_of: date) -> int:
    """Days since the last day that is known, where it is older than it should be; else 0."""
    age: timedelta = request.app.state.clock().date() - as_of
    return age.days if age > STALE_AFTER else 0
