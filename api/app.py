"""The thin HTTP service over the prediction views: `create_app` builds it, `serve` runs it."""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from html import escape
from http import HTTPStatus
from typing import Any, cast

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from sqlalchemy import URL
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.alerts import router as alerts_router
from api.anomalies import router as anomalies_router
from api.live import Hub
from api.live import router as live_router
from api.models import FieldProblem, Problem
from api.routes import ProblemError, router, unauthorized
from api.store import Followers, InvalidKeyError, SchemaOutdatedError, Store, Streams, TooSlowError, Writers
from api.streams import limiter
from api.streams import router as streams_router
from resources.database.server import DatabaseUnavailableError
from resources.ports import listen
from resources.settings import Settings
from services.access.api_keys import PREFIX

DESCRIPTION = (
    "SIMs, usage, forecasts, exhaustion dates, alerts and reports. Volumes are exact in bytes (accounting "
    "bytes: millionths of a MB) and readable in MB; times are UTC, days are UTC days. Every prediction says which model made "
    "it and what it knew. An API key opens one organization: send it as `Authorization: Bearer ss_...` or `X-API-Key: ss_...`. "
    "A key made with --write also acknowledges, snoozes and resolves alerts and adds, switches and deletes alert rules; nothing else can be changed here. "
    "1NCE's Data Streamer alone brings records, with the secret of its stream."
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}

MOST_BODY_BYTES = 1_000_000  # of what is posted under /v1, which is read before the key is looked at
MOST_WS_BYTES = 4096  # of what a client of the WebSocket sends, which is not looked at

log = logging.getLogger(__name__)


def create_app(
    database_url: URL | str, *, data_note: str = "", clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> FastAPI:
    """The service over one database, which it uses as role simsight_api.

    clock       gives the time at which a POST of the Data Streamer is said to have come
    data_note   shown wherever the data is, such as 'synthetic data': header X-Data-Note and the description
    The database need not be there yet: until it is, answers are 503.
    """
    store, streams, writers = Store(database_url), Streams(database_url), Writers(database_url)
    live = Hub(database_url, Followers(database_url), store, data_note=data_note)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.stream_limiter = limiter()
        live.start()
        yield
        await live.stop()
        for pool in (store, streams, writers):
            pool.close()

    app = FastAPI(
        title="Simsight",
        version="1",
        description=DESCRIPTION + (f"\n\nNote on the data: {data_note}." if data_note else ""),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.store, app.state.streams, app.state.clock = store, streams, clock
    app.state.writers, app.state.live = writers, live
    app.include_router(router)
    app.include_router(live_router)  # before /v1/alerts/{alert_id}
    app.include_router(alerts_router)
    app.include_router(anomalies_router)
    app.include_router(streams_router)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    app.add_middleware(_SmallBodies)
    app.add_middleware(GZipMiddleware, minimum_size=1000)
    app.add_middleware(_Headers, headers=HEADERS | ({"X-Data-Note": _header_text(data_note)} if data_note else {}))
    _answer_problems(app)

    @app.get("/", include_in_schema=False)
    def root() -> RedirectResponse:
        return RedirectResponse("/docs")

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"
        return HTMLResponse(_docs_page(app.openapi()), headers={"Content-Security-Policy": policy})

    return app


def serve(settings: Settings, database_url: URL | str, *, data_note: str = "") -> None:
    """Run the service on settings.api_host and api_port until it is interrupted.

    database_url   Server.api of the running server
    Raises PortInUseError before anything is started when it cannot listen there.
    """
    app = create_app(database_url, data_note=data_note, clock=settings.clock)
    with listen(settings.api_host, settings.api_port, free_it="set SIMSIGHT_API_PORT to a free one") as listener:
        config = uvicorn.Config(app, server_header=False, timeout_graceful_shutdown=10, ws_max_size=MOST_WS_BYTES)
        logging.getLogger("uvicorn.access").addFilter(_hide_keys)
        Server(config).run(sockets=[listener])


class Server(uvicorn.Server):
    """Ends the live streams before it waits for the requests under way: they would never end by themselves."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        cast(FastAPI, self.config.app).state.live.close()
        await super().shutdown(sockets)


def _hide_keys(record: logging.LogRecord) -> bool:
    """Someone will put a key into a URL all the same: keep it out of the access log."""
    if isinstance(record.args, tuple):
        record.args = tuple(
            re.sub(PREFIX + r"[\w-]{20,}", PREFIX + "...", value) if isinstance(value, str) else value
            for value in record.args
        )
    return True


class _Headers:
    """Puts headers on every answer that does not set them itself."""

    def __init__(self, app: ASGIApp, headers: dict[str, str]) -> None:
        self._app, self._headers = app, headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


class _SmallBodies:
    """Stops reading a body under /v1 at its limit, whatever the headers say."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        size = 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > MOST_BODY_BYTES:
                raise HTTPException(413, f"The body is larger than {MOST_BODY_BYTES // 1_000_000} MB")
            return message

        small = scope["type"] == "http" and scope["path"].startswith("/v1/")
        await self._app(scope, counted if small else receive, send)


def _header_text(text: str) -> str:
    return " ".join(text.encode("ascii", "replace").decode().split())


def _problem(
    status: int, detail: str, *, errors: list[FieldProblem] | None = None, headers: dict[str, str] | None = None
) -> JSONResponse:
    body = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, errors=errors or [])
    return JSONResponse(
        body.model_dump(), status, media_type="application/problem+json", headers=HEADERS | (headers or {})
    )


def _answer_problems(app: FastAPI) -> None:
    """Every error becomes application/problem+json that says what to do; causes stay in the log."""

    @app.exception_handler(ProblemError)
    def _known(_request: Request, error: ProblemError) -> JSONResponse:
        return _problem(error.status, error.detail, errors=error.errors, headers=error.headers)

    @app.exception_handler(InvalidKeyError)
    def _invalid_key(request: Request, _error: InvalidKeyError) -> JSONResponse:
        problem = unauthorized(
            request.url.path, "The API key is unknown, expired or revoked: ask for a new one where you got it."
        )
        return _known(request, problem)

    @app.exception_handler(RequestValidationError)
    def _invalid_parameter(_request: Request, error: RequestValidationError) -> JSONResponse:
        wrong = [
            FieldProblem(field=".".join(str(part) for part in issue["loc"][1:]), message=issue["msg"])
            for issue in error.errors()
        ]
        return _problem(422, "; ".join(f"{item.field}: {item.message}" for item in wrong), errors=wrong)

    @app.exception_handler(HTTPException)
    def _http(request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == HTTPStatus.NOT_FOUND:
            return _problem(404, f"There is nothing at {request.url.path}. GET /docs lists what there is.")
        return _problem(error.status_code, f"{error.detail}.", headers=dict(error.headers or {}))

    @app.exception_handler(DatabaseUnavailableError)
    def _database_away(_request: Request, error: DatabaseUnavailableError) -> JSONResponse:
        log.warning("%s (%s)", error, type(error.__cause__).__name__)
        return _problem(
            503,
            "The database does not answer. Try again in a moment; if it stays so, the operator should check that it runs.",
            headers={"Retry-After": "5"},
        )

    @app.exception_handler(SchemaOutdatedError)
    def _schema_outdated(_request: Request, error: SchemaOutdatedError) -> JSONResponse:
        log.error("the database is not ready for this service: %s. Run `simsight migrate`", error)
        return _problem(
            503,
            "The database's schema or grants are older than this service: the operator should run `simsight migrate`.",
        )

    @app.exception_handler(TooSlowError)
    def _too_slow(_request: Request, error: TooSlowError) -> JSONResponse:
        return _problem(
            503,
            f"The query was stopped, at the latest after {error.seconds} seconds. Ask for less at a time (a smaller limit, "
            "fewer days, more conditions), or try again when the database is less busy.",
            headers={"Retry-After": "30"},
        )

    @app.exception_handler(Exception)
    def _unexpected(_request: Request, _error: Exception) -> JSONResponse:
        return _problem(500, "Something went wrong in the service. The operator finds the cause in its log.")


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            tags=[
                {"name": "SIMs", "description": "SIM cards and what they used"},
                {"name": "predictions", "description": "What the models and rules say"},
                {"name": "alerts", "description": "Rules, what becomes of alerts, and a live stream of it"},
                {"name": "exports", "description": "Whole tables as files"},
                {"name": "service", "description": "How the service is doing"},
            ],
        )
        problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas = document["components"]["schemas"]
        schemas |= problem.pop("$defs", {}) | {"Problem": problem}
        app.openapi_schema = document
    return app.openapi_schema


def _docs_page(document: dict[str, Any]) -> str:
    """The routes as one page without scripts or outside files, so that it works offline."""
    routes = []
    for path, verbs in document["paths"].items():
        for verb, route in verbs.items():
            parameters = "".join(
                f"<tr><td><code>{escape(item['name'])}</code></td><td>{item['in']}</td>"
                f"<td>{escape(item.get('description', ''))}</td></tr>"
                for item in route.get("parameters", [])
            )
            routes.append(
                f"<section><h2><code>{verb.upper()} {escape(path)}</code></h2><p><b>{escape(route['summary'])}.</b> "
                f"{escape(route.get('description', ''))}</p>"
                + (f"<table><tr><th>Parameter<th>In<th>Meaning</tr>{parameters}</table>" if parameters else "")
                + (f"<p>Answers: {escape(', '.join(route['responses']))}</p></section>")
            )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        "<title>Simsight API</title><style>body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;"
        "padding:0 1rem;color:#1b1f24}h2{font-size:1.05rem;border-top:1px solid #ccd;padding-top:1rem}table{border-collapse:"
        "collapse;width:100%}td,th{text-align:left;padding:.15rem .6rem .15rem 0;vertical-align:top}code{background:#f2f4f7;"
        "padding:.1rem .25rem}</style><h1>Simsight API</h1>"
        + "".join(f"<p>{escape(part)}</p>" for part in document["info"]["description"].split("\n\n"))
        + '<p>The whole description for tools: <a href="/openapi.json">openapi.json</a>. An example:</p>'
        '<pre><code>curl -H "X-API-Key: $KEY" "http://localhost:8000/v1/exhaustions?limit=10"</code></pre>'
        + "".join(routes)
        + "</html>"
    )
