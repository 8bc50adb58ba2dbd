"""Signing in and out, the language, and the files of pages."""

from __future__ import annotations

import re
from typing import Literal

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from api.called import called_address, called_prefix
from api.dashboard.routing import fields, router
from api.dashboard.signing import (
    COOKIE,
    SESSION_HOURS,
    SignedOutError,
    count_use,
    credential,
    new_session,
    session_token,
)
from api.dashboard.web import LANGUAGE_COOKIE, STATIC, page
from api.database import InvalidKeyError
from api.errors import ProblemError
from services.access.api_keys import Credential, NotAllowedError, has_form

FILES = {
    "app.css": "text/css",
    "uplot.min.css": "text/css",
    "app.js": "text/javascript",
    "htmx.min.js": "text/javascript",
    "hx-sse.min.js": "text/javascript",
    "uplot.min.js": "text/javascript",
    "LICENSES.txt": "text/plain",
}


def lead_to_sign_in(app: FastAPI) -> None:
    """Who is not signed in is led to the page for it: a browser by itself, htmx by a header of its own."""

    @app.exception_handler(SignedOutError)
    async def _signed_out(request: Request, _error: Exception) -> Response:
        where = f"{called_prefix(request)}/sign-in"
        if request.headers.get("hx-request"):
            return Response(headers={"HX-Redirect": where, "Cache-Control": "no-store"})
        if request.method == "GET" and (wanted := _own_path(request.url.path)) != "/":
            where += f"?to={wanted}"
        return RedirectResponse(where, 303, headers={"Cache-Control": "no-store"})


def _own_path(text: str) -> str:
    """A path of this service; / for what could lead elsewhere."""
    return text if re.fullmatch(r"(/[A-Za-z0-9-]+)+", text) else "/"


@router.get("/sign-in")
def sign_in_page(request: Request, to: str = "/") -> Response:
    """The page for it; `to`: the page that was asked for, which is shown after it."""
    return page(request, "sign_in.html", wrong=False, to=_own_path(to))


@router.post("/sign-in")
async def sign_in(request: Request) -> Response:
    """Open a session with an API key."""
    sent = await fields(request)
    key, to = sent.get("key", "").strip(), _own_path(sent.get("to", "/"))
    shown, session, limits = credential(request, key), new_session(), request.app.state.limits
    address = shown.address or "?"
    if wait := limits.blocked_s(address, shown.sha256):
        raise ProblemError(429, f"Too many wrong keys came from your address: wait {wait} seconds.")
    opened = has_form(key) and await run_in_threadpool(_open_session, request, shown, credential(request, session))
    count_use(request, shown, refused=not opened)
    if not opened:
        await limits.failed(address, shown.sha256)
        return page(request, "sign_in.html", status=401, wrong=True, to=to)
    answer = RedirectResponse(called_prefix(request) + to, 303)
    _set_cookie(request, answer, COOKIE, session, SESSION_HOURS * 3600)
    return answer


def _open_session(request: Request, key: Credential, session: Credential) -> bool:
    try:
        with request.app.state.store.session(key):  # looks at its networks, too
            pass
    except (InvalidKeyError, NotAllowedError):
        return False
    return bool(request.app.state.writers.open_session(key, session, SESSION_HOURS))


@router.post("/sign-out")
async def sign_out(request: Request) -> Response:
    """End the session, in this browser and in the database."""
    answer = RedirectResponse(f"{called_prefix(request)}/sign-in", 303)
    answer.delete_cookie(COOKIE, path=f"{called_prefix(request)}/")
    try:
        token = session_token(request)
    except SignedOutError:
        return answer
    await run_in_threadpool(request.app.state.writers.close_session, credential(request, token))
    return answer


@router.post("/language/{chosen}")
async def choose_language(request: Request, chosen: Literal["en", "de"]) -> Response:
    """Show the page that asked, from now on in another language."""
    answer = RedirectResponse(called_prefix(request) + _own_path((await fields(request)).get("path", "/")), 303)
    _set_cookie(request, answer, LANGUAGE_COOKIE, chosen, 365 * 86_400)
    return answer


def _set_cookie(request: Request, answer: Response, name: str, value: str, seconds: int) -> None:
    secure = called_address(request).startswith("https:")
    path = f"{called_prefix(request)}/"
    # lax: a link in a message opens what it names; what changes anything needs a page's header besides
    answer.set_cookie(name, value, seconds, path=path, secure=secure, httponly=True, samesite="lax")


@router.get("/static/{name}")
def static(name: str, v: str = "") -> Response:
    """A file of the pages; v: a mark of its content, so that a browser may keep it."""
    if name not in FILES:
        raise ProblemError(404, f"There is no file {name[:100]}.")
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return FileResponse(STATIC / name, media_type=FILES[name], headers=headers)
