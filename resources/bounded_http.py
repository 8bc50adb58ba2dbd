"""HTTP answers within limits, whoever sends them: of bytes once unpacked, and of the time until the last byte."""

from __future__ import annotations

import asyncio
import zlib
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx

from resources import tracing


class AnswerTooLargeError(httpx.TransportError):
    """An answer has more bytes than allowed; what is left of it is not read."""


class AnswerTooSlowError(httpx.TimeoutException):
    """An answer was not whole when its time was up, however steadily its bytes came."""


class BoundedTransport(httpx.AsyncBaseTransport):
    """Reads each answer to its end, within limits, before it hands it on.

    body_bytes   how large an answer may be, unpacked
    call_s       seconds from the first byte of the request (the wait for a connection included) to the last of the
                 answer
    options      those of httpx.AsyncClient that concern the connection: proxies, certificates, limits, transport
    Raises httpx.RequestError: AnswerTooLargeError, AnswerTooSlowError, DecodingError and what httpx raises itself.
    """

    def __init__(self, *, body_bytes: int, call_s: float, **options: Any) -> None:
        self._body_bytes, self._call_s = body_bytes, call_s
        # a client, for it alone finds the proxies of the environment
        self._http = httpx.AsyncClient(cookies=no_cookies(), follow_redirects=False, **options)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        with tracing.request(request.method, request.url.host) as sent:
            answer = await self._answer(request)
            tracing.answered(sent, answer.status_code)
            return answer

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        try:
            async with asyncio.timeout(self._call_s) as allowed:
                came = await self._http.send(request, stream=True, auth=None)
                try:
                    body = await self._read(came)
                finally:
                    await came.aclose()
        except TimeoutError:
            if not allowed.expired():
                raise
            raise AnswerTooSlowError(f"not whole after {self._call_s:g} s", request=request) from None
        packing = ("content-encoding", "content-length", "transfer-encoding")
        headers = [(name, value) for name, value in came.headers.raw if name.decode("latin-1").lower() not in packing]
        return httpx.Response(came.status_code, headers=headers, content=body, extensions=came.extensions)

    async def _read(self, came: httpx.Response) -> bytes:
        encoding = came.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", "gzip"):
            raise httpx.DecodingError(f"Content-Encoding {encoding[:40]!r}, asked for gzip", request=came.request)
        inflater = zlib.decompressobj(wbits=31) if encoding == "gzip" else None
        parts: list[bytes] = []
        left = self._body_bytes
        try:
            async for part in came.aiter_raw():
                # one byte more than allowed is enough to know
                unpacked = inflater.decompress(part, left + 1) if inflater else part
                left -= len(unpacked)
                if left < 0:
                    size = f"{self._body_bytes / 1e6:g} MB"
                    raise AnswerTooLargeError(f"more than {size}; the rest was not read", request=came.request)
                parts.append(unpacked)
        except zlib.error:
            raise httpx.DecodingError("not gzip, though Content-Encoding says so", request=came.request) from None
        if inflater and parts and not inflater.eof:
            raise httpx.DecodingError("the gzip is cut off", request=came.request)
        return b"".join(parts)

    async def aclose(self) -> None:
        await self._http.aclose()


def no_cookies() -> CookieJar:
    """A jar that takes no cookie: whoever answers could fill it without end."""
    return CookieJar(policy=DefaultCookiePolicy(allowed_domains=[]))
