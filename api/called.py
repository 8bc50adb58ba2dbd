"""Under which address the service was called, also behind a proxy that gives it a name and a path of its own."""

from __future__ import annotations

import re

from fastapi import Request

HOST = re.compile(r"[A-Za-z0-9._-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?")
PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)+")


def called_prefix(request: Request) -> str:
    """The path that a proxy puts before ours (X-Forwarded-Prefix), without a slash at its end; empty without one."""
    prefix = _first(request, "x-forwarded-prefix").rstrip("/")
    return prefix if PREFIX.fullmatch(prefix) else ""


def called_address(request: Request) -> str:
    """The URL of the service as the caller wrote it, such as https://fleet.example/simsight.

    A proxy says it in X-Forwarded-Proto, -Host and -Prefix. The answer goes to the caller alone: one who sends other
    words there misleads nobody else. An address that is none becomes a relative one.
    """
    host = _first(request, "x-forwarded-host") or request.headers.get("host", "")
    scheme = _first(request, "x-forwarded-proto") or request.url.scheme
    prefix = called_prefix(request)
    if not HOST.fullmatch(host) or scheme not in ("http", "https"):
        return prefix or "/"
    return f"{scheme}://{host}{prefix}"


def _first(request: Request, name: str) -> str:
    """What the proxy nearest to the caller wrote: each further one appends its own."""
    return request.headers.get(name, "").partition(",")[0].strip()
