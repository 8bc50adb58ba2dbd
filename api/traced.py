"""A span of every request, named by method and the template of its route."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.metrics import METHODS, route_of
from resources.tracing import is_on, span


def traced(app: ASGIApp) -> ASGIApp:
    """The application with its requests traced, where traces are written."""
    return Traced(app) if is_on() else app


class Traced:
    """Traces requests; one that a traced caller sends (header traceparent) is a part of the caller's trace."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        came_from = [value.decode("latin-1") for name, value in scope["headers"] if name == b"traceparent"][:1]
        with span(method, {"http.request.method": method}, kind="server", follows=came_from) as request:

            async def noted(message: Message) -> None:
                if message["type"] == "http.response.start":
                    route, status = route_of(scope), message["status"]
                    request.rename(f"{method} {route}")
                    request.note({"http.route": route, "http.response.status_code": status})
                    if status >= 500:
                        request.fail(str(status))
                await send(message)

            await self._app(scope, receive, noted)
