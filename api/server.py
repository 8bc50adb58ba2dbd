"""The service as a running server."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import socket
from typing import cast

import uvicorn
from fastapi import FastAPI
from sqlalchemy import URL
from uvicorn.config import LOGGING_CONFIG
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.app import Guards, create_app
from api.metrics import MetricsSettings
from api.replica import ReplicaSettings
from resources.ports import listen
from resources.settings import Settings
from services.access.api_keys import PREFIX
from services.access.tokens import oidc_of
from services.actions.kinds import Acting
from services.questions.language_model import model_of

MAX_WEBSOCKET_BYTES = 4096  # of what a client of the WebSocket sends, which is not looked at
HEAD_SECONDS = 15.0  # from a connection, or a request's first byte, to the end of the request's headers
MAX_HEAD_BYTES = 64_000  # that come before the end of the headers


def serve(settings: Settings, database_url: URL | str, *, data_note: str = "") -> None:
    """Run the service on settings.api_host and api_port until it is interrupted.

    database_url   Server.api of the running server
    Raises PortInUseError before anything is started when it cannot listen there.
    """
    acting = Acting(settings.actions_on, settings.actions_to_approve, settings.once_api, settings.top_up_minor)
    store = settings.api_limit_store
    guards = Guards(
        key_limit=settings.api_key_limit,
        failure_limit=settings.api_failure_limit,
        limit_store=store.get_secret_value() if store else None,
        oidc=oidc_of(settings),
        cors_origins=tuple(origin.strip() for origin in settings.api_cors_origins.split(",") if origin.strip()),
        hsts_days=settings.api_hsts_days,
    )
    token, home = settings.api_metrics_token, settings.home
    replica = settings.read_database_url
    app = create_app(
        database_url,
        data_note=data_note,
        mlflow_url=settings.mlflow_url,
        clock=settings.clock,
        acting=acting,
        guards=guards,
        language_model=model_of(settings),
        mcp_hosts=settings.mcp_allowed_hosts,
        free_sql_urls=settings.free_sql_urls,
        exhaustion_probability=settings.exhaustion_probability,
        replica=ReplicaSettings(replica.get_secret_value(), settings.read_lag_seconds) if replica else None,
        lateness_days=settings.lateness_days,
        measured=MetricsSettings(token.get_secret_value(), home if home.is_dir() else None) if token else None,
    )
    with listen(settings.api_host, settings.api_port, free_it="set SIMSIGHT_API_PORT to a free one") as listener:
        config = uvicorn.Config(
            app,
            http=BoundedHeads,
            server_header=False,
            # None: what FORWARDED_ALLOW_IPS says, else this machine
            forwarded_allow_ips=settings.api_trusted_proxies or None,
            timeout_graceful_shutdown=10,
            ws_max_size=MAX_WEBSOCKET_BYTES,
            log_config=None if settings.log_format == "json" else LOGGING_CONFIG,
        )
        logging.getLogger("uvicorn.access").addFilter(hide_keys)
        Server(config).run(sockets=[listener])


class Server(uvicorn.Server):
    """Ends the live streams before it waits for the requests under way: they would never end by themselves.

    What is there when it has started stays: the garbage collector does not look at it again, which would stop all
    requests for a fifth of a second each time.
    """

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        gc.collect()
        gc.freeze()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        cast(FastAPI, self.config.app).state.live.close()
        await super().shutdown(sockets)


class BoundedHeads(HttpToolsProtocol):
    """Closes a connection whose next request's headers do not come in time, or are too many: uvicorn waits for ever."""

    _deadline: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        if self._deadline is not None:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._deadline is not None and self._head_bytes > MAX_HEAD_BYTES:
            self._close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._deadline is None:
            self._wait_for_head()

    def on_headers_complete(self) -> None:
        self._stop_waiting()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait_for_head(self) -> None:
        self._head_bytes = 0
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._close)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close(self) -> None:
        self._stop_waiting()
        self.transport.abort()


def hide_keys(record: logging.LogRecord) -> bool:
    """Someone will put a key into a URL all the same: keep it out of the access log."""
    if isinstance(record.args, tuple):
        record.args = tuple(
            re.sub(PREFIX + r"[\w-]{20,}", PREFIX + "...", value) if isinstance(value, str) else value
            for value in record.args
        )
    return True
