"""The gate before both ways of an answer (api/direct.py): limits and tokens."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.dependencies import TOKEN, shown_key
from api.errors import ProblemError, problem_of
from api.key_use import KeyUse
from api.limits import RateLimits, Taken
from services.access.api_keys import Credential, has_form, key_sha256
from services.access.tokens import ProviderUnavailableError, TokenError, Tokens, looks_like_token

GUARDED = ("/v1/", "/ai/", "/mcp")  # where keys are needed
REFUSED = 401


class Gate:
    """Lets requests with a key through within the limits, counts them, and adds what a proxy that says https needs.

    uses     counts the use of keys
    secure   headers of every answer to a request by https
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        limits: RateLimits,
        uses: KeyUse,
        tokens: Tokens | None = None,
        secure: Mapping[str, str] | None = None,
    ) -> None:
        self._app, self._limits, self._uses, self._tokens = app, limits, uses, tokens
        self._secure = [(name.lower().encode(), value.encode()) for name, value in (secure or {}).items()]
        self._amount = (b"ratelimit-limit", str(limits.amount).encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        secure = self._secure if scope["scheme"] in ("https", "wss") else []
        text = _shown(scope) if scope["path"].startswith(GUARDED) else ""
        if not text:
            await self._app(scope, receive, _with(send, secure) if secure else send)
            return
        address = scope["client"][0] if scope["client"] else "?"
        shown = key_sha256(text)
        if wait := self._limits.blocked_s(address, shown):
            await _refuse(wait, "wrong keys came from your address", secure, scope, receive, send)
            return
        taken = await self._limits.take(await self._counted_as(scope, text, shown, address))
        extra = secure if taken is None else [*secure, *self._headers(taken)]
        if taken is not None and not taken.allowed:
            await _refuse(taken.reset_s, "requests came with this key", extra, scope, receive, send)
            return
        begun = False

        async def noted(message: Message) -> None:
            nonlocal begun
            if not begun:
                begun = True
                status = message.get("status", 101)  # a WebSocket that is accepted has none
                known = scope.get(TOKEN)  # the key that a token stands for
                key = known.sha256 if isinstance(known, Credential) else shown
                self._uses.count(key, address, scope["path"], refused=status == REFUSED)
                if status == REFUSED:
                    await self._limits.failed(address, shown)
                elif status < 500:
                    self._limits.worked(shown)
                if "headers" in message:
                    message["headers"] = [*message["headers"], *extra]
            await send(message)

        await self._app(scope, receive, noted)

    async def _counted_as(self, scope: Scope, text: str, shown: bytes, address: str) -> bytes:
        """Return by what a request is counted: its key, or the subject of its token, which is looked at here."""
        if self._tokens is None or has_form(text) or not looks_like_token(text):
            return shown
        try:
            found: Credential = await self._tokens.credential(text, address)
        except (TokenError, ProviderUnavailableError) as error:
            scope[TOKEN] = error
            return shown
        scope[TOKEN] = found
        return key_sha256(found.presented.hex())

    def _headers(self, taken: Taken) -> list[tuple[bytes, bytes]]:
        return [
            self._amount,
            (b"ratelimit-remaining", b"%d" % taken.remaining),
            (b"ratelimit-reset", b"%d" % taken.reset_s),
        ]


def _shown(scope: Scope) -> str:
    """The key that a request shows; empty where the routes refuse it without a look at the database."""
    try:
        return shown_key(HTTPConnection(scope), password=scope["path"] == "/v1/report")
    except ProblemError:
        return ""


def _with(send: Send, headers: list[tuple[bytes, bytes]]) -> Send:
    async def added(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *headers]
        await send(message)

    return added


async def _refuse(
    wait: int, what: str, headers: list[tuple[bytes, bytes]], scope: Scope, receive: Receive, send: Send
) -> None:
    """Answer 429, also to a WebSocket, which is then not opened."""
    error = ProblemError(429, f"Too many {what}: wait {wait} seconds.", headers={"Retry-After": str(wait)})
    response = problem_of(error, scope["path"])
    response.raw_headers += headers
    await response(scope, receive, send)
