"""The thin HTTP service over the prediction views."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse
from sqlalchemy import URL
from starlette.middleware.gzip import GZipMiddleware

from api.alert_hub import Hub
from api.called import called_address
from api.dashboard import pages
from api.database import Followers, Readers, Store, Streams, Writers
from api.dependencies import KnownParameters
from api.direct import COMPRESSED_BYTES, COMPRESSION, Direct
from api.errors import HEADERS, answer_problems
from api.middleware import Headers, Heads, SmallBodies, header_text
from api.openapi import DESCRIPTION, docs_page, openapi_document
from api.routes import (
    actions,
    alert_stream,
    alerts,
    anomalies,
    churn,
    exports,
    health,
    predictions,
    questions,
    quota,
    reports,
    sims,
    stream_webhook,
    tickets,
)
from services.actions.kinds import Acting


def create_app(
    database_url: URL | str,
    *,
    data_note: str = "",
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    acting: Acting = Acting(),  # noqa: B008 - a frozen value
) -> Direct:
    """The service over one database, which it uses as role simsight_api.

    acting      which actions may be requested
    clock       gives the time at which a POST of the Data Streamer is said to have come
    data_note   shown wherever the data is, such as 'synthetic data': header X-Data-Note and the description
    The database need not be there yet: until it is, answers are 503.
    """
    store, streams, writers = Store(database_url), Streams(database_url), Writers(database_url)
    live = Hub(database_url, Followers(database_url), store, data_note=data_note)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.stream_gate = stream_webhook.Gate()
        app.state.readers = Readers(database_url)
        live.start()
        yield
        await live.stop()
        await app.state.readers.close()
        for pool in (store, streams, writers):
            pool.close()

    app = Direct(
        title="Simsight",
        version="1",
        description=DESCRIPTION + (f"\n\nNote on the data: {data_note}." if data_note else ""),
        lifespan=lifespan,
        docs_url=None,
        openapi_url=None,
        redoc_url=None,
    )
    app.state.store, app.state.streams, app.state.clock = store, streams, clock
    app.state.writers, app.state.live, app.state.acting = writers, live, acting
    app.state.data_note = data_note
    # the live stream stands before /v1/alerts/{alert_id}
    modules = (
        health,
        sims,
        predictions,
        alert_stream,
        alerts,
        anomalies,
        actions,
        churn,
        quota,
        tickets,
        reports,
        exports,
        stream_webhook,
        questions,
        pages,
    )
    for module in modules:
        app.include_router(module.router)
    app.state.routers = [app.router, *(module.router for module in modules)]
    app.openapi = lambda: openapi_document(app)  # type: ignore[method-assign]
    app.add_middleware(SmallBodies)
    app.add_middleware(Heads)
    app.add_middleware(GZipMiddleware, minimum_size=COMPRESSED_BYTES, compresslevel=COMPRESSION)
    headers = HEADERS | ({"X-Data-Note": header_text(data_note)} if data_note else {})
    app.add_middleware(Headers, headers=headers)
    app.take_the_short_way((route for module in modules for route in module.router.routes), headers)
    answer_problems(app)

    @app.get("/openapi.json", include_in_schema=False, dependencies=[KnownParameters])
    def openapi(request: Request) -> JSONResponse:
        return JSONResponse(app.openapi() | {"servers": [{"url": called_address(request)}]})

    @app.get("/docs", include_in_schema=False, dependencies=[KnownParameters])
    def docs(request: Request) -> HTMLResponse:
        policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"
        page = docs_page(app.openapi(), called_address(request))
        return HTMLResponse(page, headers={"Content-Security-Policy": policy})

    return app
