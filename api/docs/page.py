"""The routes of the documentation: /docs (Swagger UI), /docs/plain, the files of both, and /openapi.json."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from html import escape
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response

from api.called import called_address, called_prefix
from api.dependencies import KnownParameters
from api.docs.plain import plain_page
from api.docs.samples import with_samples
from api.errors import ProblemError

STATIC = Path(__file__).parent / "static"
FILES = {
    "swagger-ui-bundle.js": "text/javascript",
    "init.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "docs.css": "text/css",
    "LICENSES.txt": "text/plain",
}
# data: pictures that stand in the style sheet of Swagger UI
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PLAIN_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"

router = APIRouter(include_in_schema=False, dependencies=[KnownParameters])


@router.get("/openapi.json")
def openapi(request: Request) -> JSONResponse:
    return JSONResponse(with_samples(request.app.openapi(), called_address(request)))


@router.get("/docs")
def docs(request: Request) -> HTMLResponse:
    """Every route, to be read and tried out with a key."""
    prefix = escape(called_prefix(request))
    head = "".join(
        f'<link rel="stylesheet" href="{prefix}{asset(name)}">' for name in ("swagger-ui.css", "docs.css")
    ) + "".join(f'<script src="{prefix}{asset(name)}" defer></script>' for name in ("swagger-ui-bundle.js", "init.js"))
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<title>Simsight API</title><link rel="icon" href="data:,">{head}</head><body>'
        f'<noscript><p>Without scripts there is <a href="{prefix}/docs/plain">the same on one page</a>, and '
        f'<a href="{prefix}/openapi.json">the description for tools</a>.</p></noscript>'
        f'<div id="swagger-ui" data-document="{prefix}/openapi.json"></div></body></html>'
    )
    return HTMLResponse(page, headers={"Content-Security-Policy": POLICY})


@router.get("/docs/plain")
def plain(request: Request) -> HTMLResponse:
    """The same on one page without scripts."""
    page = plain_page(with_samples(request.app.openapi(), called_address(request)))
    return HTMLResponse(page, headers={"Content-Security-Policy": PLAIN_POLICY})


@router.get("/docs/static/{name}")
def static(name: str, v: str = "") -> Response:
    """A file of the page; v: a mark of its content, so that a browser may keep it."""
    if name not in FILES:
        raise ProblemError(404, f"There is no file {name[:100]}.")
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return FileResponse(STATIC / name, media_type=FILES[name], headers=headers)


def asset(name: str) -> str:
    """The path of a file with a mark of its content, so that a browser may keep it."""
    return f"/docs/static/{name}?v={_mark(name)}"


@cache
def _mark(name: str) -> str:
    return sha256((STATIC / name).read_bytes()).hexdigest()[:12]
