"""The thin HTTP service over the prediction views."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import BoundedSemaphore

from fastapi import FastAPI
from sqlalchemy import URL
from starlette.routing import Route

from api.alert_hub import Hub
from api.dashboard import pages
from api.database import Followers, Store
from api.direct import Direct, compressing
from api.docs import page as docs
from api.errors import HEADERS, answer_problems
from api.gate import Gate
from api.key_use import KeyUse
from api.limits import RateLimits
from api.metrics import Measured, Metrics, MetricsSettings
from api.middleware import Headers, Heads, SmallBodies, cross_origin, header_text
from api.openapi import DESCRIPTION, openapi_document
from api.readers import Readers
from api.replica import Replica, ReplicaSettings
from api.request_ids import Identified
from api.routes import (
    actions,
    alert_stream,
    alerts,
    anomalies,
    assistant,
    audit,
    batch,
    bulk,
    bulk_actions,
    churn,
    exports,
    free_sql,
    health,
    history,
    keys,
    metrics,
    models,
    predictions,
    questions,
    quota,
    report_schedules,
    reports,
    sims,
    stream_webhook,
    tickets,
)
from api.traced import traced
from api.writing import Streams, Writers
from services.access.tokens import OidcSettings, Tokens
from services.actions.kinds import Acting
from services.free_sql import FreeSql
from services.questions.language_model import LanguageModel


@dataclass(frozen=True)
class Guards:
    """What stands before the routes.

    key_limit, failure_limit, limit_store   as RateLimits has them
    oidc           the identity provider whose tokens are accepted
    cors_origins   whose pages may call the service from a browser
    hsts_days      for which browsers keep to https once they came by it; 0: not said
    """

    key_limit: str = "12000/minute"
    failure_limit: str = "60/minute"
    limit_store: str | None = None
    oidc: OidcSettings | None = None
    cors_origins: tuple[str, ...] = ()
    hsts_days: int = 365


def create_app(
    database_url: URL | str,
    *,
    data_note: str = "",
    mlflow_url: str = "",
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    acting: Acting = Acting(),  # noqa: B008 - a frozen value
    language_model: LanguageModel | None = None,
    mcp_hosts: Sequence[str] = (),
    free_sql_urls: Sequence[URL | str] = (),
    guards: Guards = Guards(),
    exhaustion_probability: float = 0.5,
    lateness_days: int = 1,
    measured: MetricsSettings | None = None,
    replica: ReplicaSettings | None = None,
) -> Direct:
    """The service over one database, which it uses as role simsight_api.

    acting      which actions may be requested
    clock       gives the time at which a POST of the Data Streamer is said to have come
    free_sql_urls  of downstream logins that run free SQL, one an organization; none: it is switched off
    language_model  asked to read questions that the grammar does not understand
    mcp_hosts   values of the header Host that the MCP server at /mcp answers; none: there is no MCP server
    guards      limits, tokens and what browsers are told
    measured    who may read /metrics; None: nobody, and nothing is measured
    replica     of the database, which answers what most requests read
    exhaustion_probability  from which a report counts a SIM as running out
    lateness_days  after its end until a usage day counts as complete
    data_note   shown wherever the data is, such as 'synthetic data': header X-Data-Note and the description
    mlflow_url  where people reach MLflow, for links to runs; without it answers have the runs' ids
    The database need not be there yet: until it is, answers are 503.
    """
    read_from = Replica(replica) if replica else None
    store, streams, writers = Store(database_url, read_from), Streams(database_url), Writers(database_url)
    live = Hub(database_url, Followers(database_url), store, data_note=data_note)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.stream_gate = stream_webhook.Gate()
        app.state.readers = Readers(database_url, read_from)
        live.start()
        async with app.state.key_use.flushing(), app.state.mcp.running() if app.state.mcp else nullcontext():
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
        # its spans and logs would hold paths, in which ICCIDs are, and the texts of errors: api/traced.py writes ours
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.store, app.state.streams, app.state.clock = store, streams, clock
    app.state.writers, app.state.live, app.state.acting = writers, live, acting
    app.state.data_note, app.state.key_use = data_note, KeyUse(writers.count_key_use)
    app.state.bulk_places = BoundedSemaphore(bulk.STREAMS_AT_ONCE)
    app.state.exhaustion_probability, app.state.lateness_days = exhaustion_probability, lateness_days
    app.state.language_model, app.state.mlflow_url = language_model, mlflow_url.rstrip("/")
    app.state.free_sql = FreeSql(free_sql_urls) if free_sql_urls else None
    # the live stream stands before /v1/alerts/{alert_id}
    modules = (
        health,
        batch,
        sims,
        history,
        predictions,
        alert_stream,
        alerts,
        anomalies,
        actions,
        churn,
        quota,
        tickets,
        reports,
        report_schedules,
        models,
        exports,
        bulk,
        bulk_actions,
        stream_webhook,
        questions,
        pages,
        assistant,
        free_sql,
        keys,
        audit,
        docs,
        metrics,
    )
    for module in modules:
        app.include_router(module.router)
        app.state.key_use.know(module.router)
    app.state.routers = [app.router, *(module.router for module in modules)]
    app.openapi = lambda: openapi_document(app)  # type: ignore[method-assign]
    app.add_middleware(SmallBodies)
    app.add_middleware(Heads)
    app.add_middleware(compressing)
    headers = HEADERS | ({"X-Data-Note": header_text(data_note)} if data_note else {})
    app.add_middleware(Headers, headers=headers)
    app.take_the_short_way((route for module in modules for route in module.router.routes), headers)
    answer_problems(app)
    pages.lead_to_sign_in(app)
    limits = RateLimits(per_key=guards.key_limit, wrong_keys=guards.failure_limit, store_url=guards.limit_store)
    app.state.limits = limits
    tokens = Tokens(guards.oidc) if guards.oidc else None
    secure = {"Strict-Transport-Security": f"max-age={guards.hsts_days * 86_400}"} if guards.hsts_days else {}
    app.guard(lambda either_way: Gate(either_way, limits=limits, uses=app.state.key_use, tokens=tokens, secure=secure))
    if guards.cors_origins:
        app.guard(lambda gate: cross_origin(gate, guards.cors_origins))

    app.state.metrics = Metrics(store, measured, read_from) if measured else None
    if (figures := app.state.metrics) is not None:
        app.guard(lambda guarded: Measured(guarded, figures))

    app.guard(lambda guarded: Identified(traced(guarded)))

    app.state.mcp = None
    if mcp_hosts:
        from api.mcp_server import PATH, Mcp  # a part that is installed only where it is wanted

        app.state.mcp = Mcp(app, list(mcp_hosts))
        app.router.routes.append(Route(PATH, app.state.mcp, include_in_schema=False))

    return app
