"""The service as a running server."""

from __future__ import annotations

import logging
import re
import socket
from typing import cast

import uvicorn
from fastapi import FastAPI
from sqlalchemy import URL

from api.app import create_app
from resources.ports import listen
from resources.settings import Settings
from services.access.api_keys import PREFIX

MAX_WEBSOCKET_BYTES = 4096  # of what a client of the WebSocket sends, which is not looked at


def serve(settings: Settings, database_url: URL | str, *, data_note: str = "") -> None:
    """Run the service on settings.api_host and api_port until it is interrupted.

    database_url   Server.api of the running server
    Raises PortInUseError before anything is started when it cannot listen there.
    """
    app = create_app(database_url, data_note=data_note, clock=settings.clock)
    with listen(settings.api_host, settings.api_port, free_it="set SIMSIGHT_API_PORT to a free one") as listener:
        config = uvicorn.Config(app, server_header=False, timeout_graceful_shutdown=10, ws_max_size=MAX_WEBSOCKET_BYTES)
        logging.getLogger("uvicorn.access").addFilter(hide_keys)
        Server(config).run(sockets=[listener])


class Server(uvicorn.Server):
    """Ends the live streams before it waits for the requests under way: they would never end by themselves."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        cast(FastAPI, self.config.app).state.live.close()
        await super().shutdown(sockets)


def hide_keys(record: logging.LogRecord) -> bool:
    """Someone will put a key into a URL all the same: keep it out of the access log."""
    if isinstance(record.args, tuple):
        record.args = tuple(
            re.sub(PREFIX + r"[\w-]{20,}", PREFIX + "...", value) if isinstance(value, str) else value
            for value in record.args
        )
    return True
