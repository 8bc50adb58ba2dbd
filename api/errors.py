"""Every answer other than 200, as application/problem+json that says what to do."""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from api.database import InvalidKeyError, SchemaOutdatedError, TooSlowError
from api.request_ids import request_id
from api.schemas.common import FieldProblem, Problem
from resources.database.server import DatabaseUnavailableError
from services.access.api_keys import NotAllowedError
from services.access.tokens import ProviderUnavailableError, TokenError

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}

log = logging.getLogger(__name__)


def _problem(
    status: int, detail: str, *, errors: list[FieldProblem] | None = None, headers: dict[str, str] | None = None
) -> JSONResponse:
    body = Problem(
        title=HTTPStatus(status).phrase, status=status, detail=detail, errors=errors or [], request_id=request_id()
    )
    return JSONResponse(
        body.model_dump(), status, media_type="application/problem+json", headers=HEADERS | (headers or {})
    )


def answer_problems(app: FastAPI) -> None:
    """Every error becomes application/problem+json that says what to do; causes stay in the log."""

    async def _expected(request: Request, error: Exception) -> JSONResponse:
        return problem_of(error, request.url.path)

    for kind in EXPECTED:
        app.add_exception_handler(kind, _expected)

    @app.exception_handler(RequestValidationError)
    async def _invalid_parameter(request: Request, error: RequestValidationError) -> JSONResponse:
        routes = _routes_at(request)
        if _are_of_their_own(routes) and request.method not in (methods := _methods_of(routes)):
            return _problem(405, "Method Not Allowed.", headers={"Allow": ", ".join(methods)})
        if any(issue["type"] == "json_invalid" for issue in error.errors()):
            return _problem(400, BROKEN_BODY)
        wrong = [
            FieldProblem(
                field=".".join(str(part) for part in issue["loc"][1:]),
                message=issue["msg"].removeprefix("Value error, "),
            )
            for issue in error.errors()
        ]
        return _problem(422, "; ".join(f"{item.field}: {item.message}" for item in wrong), errors=wrong)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == HTTPStatus.NOT_FOUND:
            return _problem(404, f"There is nothing at {request.url.path}. GET /docs lists what there is.")
        if error.status_code == HTTPStatus.BAD_REQUEST:  # raised for a body alone
            return _problem(400, BROKEN_BODY)
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = ", ".join(_methods_of(_routes_at(request)))
        return _problem(error.status_code, f"{error.detail}.", headers=headers)

    @app.exception_handler(Exception)
    async def _unexpected(_request: Request, _error: Exception) -> JSONResponse:
        return _problem(500, "Something went wrong in the service. The operator finds the cause in its log.")


def _routes_at(request: Request) -> list[Route]:
    """The routes at the path of a request, whatever methods they take."""
    routes = [route for router in request.app.state.routers for route in router.routes if isinstance(route, Route)]
    matching = [route for route in routes if route.matches(request.scope)[0] != Match.NONE]
    # a hidden route beside a documented one is there to refuse with a better reason
    shown = [route for route in matching if getattr(route, "include_in_schema", True)] or matching
    # a path of its own, such as /v1/alert-rules/replay, is none of those that a pattern stands for
    return [route for route in shown if "{" not in route.path] or shown


def _are_of_their_own(routes: list[Route]) -> bool:
    return any("{" not in route.path for route in routes)


def _methods_of(routes: list[Route]) -> list[str]:
    methods = {method for route in routes for method in route.methods or ()}
    return sorted(methods | ({"HEAD"} if "GET" in methods else set()))


BROKEN_BODY = "The body is not JSON in UTF-8: send one JSON object, as /docs shows it."
KEY_NEEDED = "An API key is needed: send it as `Authorization: Bearer ss_...` or `X-API-Key: ss_...`, never in the URL."
ONE_KEY_NEEDED = (
    "The request has two different credentials: send one key, as `Authorization: Bearer ss_...` or `X-API-Key: ss_...`."
)


class ProblemError(Exception):
    """An answer other than 200, as application/problem+json."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: list[FieldProblem] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.errors, self.headers = status, detail, errors or [], headers or {}


def unauthorized(path: str, detail: str) -> ProblemError:
    """401 with the way to sign in: a browser asks for the key only where there is a page to see."""
    basic = 'Basic realm="Simsight: the API key is the password", charset="UTF-8", ' if path == "/v1/report" else ""
    return ProblemError(401, detail, headers={"WWW-Authenticate": f'{basic}Bearer realm="Simsight"'})


def wrong_parameter(field: str, message: str) -> ProblemError:
    return ProblemError(422, f"{field}: {message}", errors=[FieldProblem(field=field, message=message)])


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    words = {
        400: "The body is not JSON",
        401: "No valid API key",
        403: "The key lacks the scope, or may not be used from this address",
        404: "Not found",
        406: "None of the formats asked for can be given",
        409: "Not possible as things are",
        413: "The body is too large",
        422: "A parameter is wrong",
        429: "Too many requests, wrong keys or live streams",
        503: "The database does not answer",
    }
    content = {"application/problem+json": {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}}
    return {status: {"description": words[status], "content": content} for status in statuses}


PROBLEMS = problems(401, 422, 503)
LOST = problems(401, 404, 422, 503)


def no_sim(iccid: str) -> ProblemError:
    return ProblemError(
        404, f"There is no SIM with ICCID {iccid} in this organization. GET /v1/sims lists those there are."
    )


def problem_of(error: Exception, path: str) -> JSONResponse:
    """The answer to an error that is EXPECTED."""
    return next(answer for kind, answer in PROBLEM_OF.items() if isinstance(error, kind))(error, path)


def _said(error: ProblemError, _path: str) -> JSONResponse:
    return _problem(error.status, error.detail, errors=error.errors, headers=error.headers)


def _invalid_key(_error: InvalidKeyError, path: str) -> JSONResponse:
    detail = "The API key is unknown, expired or revoked: ask for a new one where you got it."
    return _said(unauthorized(path, detail), path)


def _invalid_token(error: TokenError, path: str) -> JSONResponse:
    return _said(unauthorized(path, f"{str(error)[0].upper()}{str(error)[1:]}."), path)


def _provider_away(error: ProviderUnavailableError, _path: str) -> JSONResponse:
    log.warning("%s", error)
    detail = (
        "The identity provider does not answer: tokens cannot be checked. Try again in a moment, or use an API key."
    )
    return _problem(503, detail, headers={"Retry-After": "10"})


def _not_allowed(error: NotAllowedError, _path: str) -> JSONResponse:
    return _problem(403, str(error))


def _database_away(error: DatabaseUnavailableError, _path: str) -> JSONResponse:
    log.warning("%s (%s)", error, type(error.__cause__).__name__)
    return _problem(
        503,
        "The database does not answer. Try again in a moment; if it stays so, the operator should check that it runs.",
        headers={"Retry-After": "5"},
    )


def _schema_outdated(error: SchemaOutdatedError, _path: str) -> JSONResponse:
    log.error("the database is not ready for this service: %s. Run `simsight migrate`", error)
    return _problem(
        503,
        "The database's schema or grants are older than this service: the operator should run `simsight migrate`.",
    )


def _too_slow(error: TooSlowError, _path: str) -> JSONResponse:
    return _problem(
        503,
        f"The query was stopped, at the latest after {error.seconds} seconds. Ask for less at a time (a smaller "
        "limit, fewer days, more conditions), or try again when the database is less busy.",
        headers={"Retry-After": "30"},
    )


PROBLEM_OF: dict[type[Exception], Callable[[Any, str], JSONResponse]] = {
    ProblemError: _said,
    InvalidKeyError: _invalid_key,
    NotAllowedError: _not_allowed,
    TokenError: _invalid_token,
    ProviderUnavailableError: _provider_away,
    DatabaseUnavailableError: _database_away,
    SchemaOutdatedError: _schema_outdated,
    TooSlowError: _too_slow,
}
EXPECTED = tuple(PROBLEM_OF)
