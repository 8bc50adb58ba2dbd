"""The proxies of the environment: used for what is elsewhere, never for this machine's own addresses."""

from __future__ import annotations

import os
import ssl
from functools import cache
from importlib.util import find_spec
from ipaddress import ip_address
from typing import TypedDict

import httpx

from resources.errors import SimsightError


class ProxyUnusableError(SimsightError):
    """A variable names a proxy that cannot be used; the message names the variable, not its value."""


class ProxyOptions(TypedDict, total=False):
    """Options of httpx.Client and httpx.AsyncClient."""

    trust_env: bool
    verify: ssl.SSLContext


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine itself: localhost, 127.0.0.0/8 or ::1."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def proxy_options(url: str | httpx.URL) -> ProxyOptions:
    """How a client of `url` is to be made: without proxies for this machine, else with those of the environment.

    Raises ProxyUnusableError.
    """
    if is_loopback(httpx.URL(url).host):
        # without the environment httpx does not read SSL_CERT_FILE either, which this context does
        return {"trust_env": False, "verify": _tls(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))}
    for kind in ("http_proxy", "https_proxy", "all_proxy"):
        variable = kind if kind in os.environ else kind.upper()
        if value := os.environ.get(variable, "").strip():
            _check(variable, value)
    return {"verify": _tls(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))}


@cache
def _tls(*_: str | None) -> ssl.SSLContext:
    """What connections are encrypted with: reading all authorities' certificates takes 40 ms, so once for the same
    variables of the environment.
    """
    return httpx.create_ssl_context()


def _check(variable: str, value: str) -> None:
    scheme = value.partition("://")[0].lower() if "://" in value else "http"
    if scheme in ("socks5", "socks5h") and not find_spec("socksio"):
        raise ProxyUnusableError(
            f"{variable} names a proxy of the kind {scheme}://, which needs the package socksio: install it "
            "(pip install socksio), or set the variable to an http:// proxy, or unset it"
        )
    try:
        usable = bool(httpx.Proxy(value if "://" in value else f"http://{value}").url.host)
    except (ValueError, httpx.InvalidURL):
        usable = False
    if not usable:
        raise ProxyUnusableError(
            f"{variable} names no proxy that can be used: it must look like http://host:port; correct or unset it"
        )
