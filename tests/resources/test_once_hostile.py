"""The 1NCE client against a server that means harm or is badly broken: every answer ends, and every end is an OnceError
that says which call and what to do."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import logging
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from pydantic import SecretStr

from resources.once.client import Limits, OnceClient
from resources.once.errors import OnceError, OnceRequestError
from resources.once.responses import parse_retry_after

pytestmark = pytest.mark.anyio

ICCID = "8988228066600000001"
SMALL = Limits(body_bytes=200_000, call_s=0.3, pages=20, pages_of_a_sim=5)
JSON = "content-type: application/json\r\n"
Answer = Callable[[str, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def whole(body: bytes, headers: str = "", status: int = 200) -> bytes:
    return f"HTTP/1.1 {status} X\r\n{JSON}{headers}content-length: {len(body)}\r\n\r\n".encode() + body


TOKEN = whole(json.dumps({"access_token": "tok-0123456789", "expires_in": 3600}).encode())


@asynccontextmanager
async def hostile(answer: Answer, *, also_login: bool = False, **options: Any) -> AsyncIterator[OnceClient]:
    """A client of a server that logs in properly, unless `also_login`, and leaves what follows to `answer`."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                target = head.split(b" ")[1].decode()
                for line in head.decode().lower().split("\r\n"):
                    if line.startswith("content-length: "):
                        await reader.readexactly(int(line.split(": ")[1]))
                if target.endswith("/oauth/token") and not also_login:
                    writer.write(TOKEN)
                else:
                    await answer(target, writer)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/management-api"
    settings: dict[str, Any] = {"limits": SMALL, "requests_per_second": None, "backoff_s": 0.001, "max_attempts": 2}
    try:
        async with OnceClient(base_url=url, username="u", password=SecretStr("hush"), **settings | options) as once:
            yield once
    finally:
        server.close()


def gives(*answers: bytes) -> Answer:
    async def answer(_: str, writer: asyncio.StreamWriter) -> None:
        for part in answers:
            writer.write(part)

    return answer


async def endless(_: str, writer: asyncio.StreamWriter) -> None:
    writer.write(f"HTTP/1.1 200 X\r\n{JSON}transfer-encoding: chunked\r\n\r\n".encode())
    while True:
        writer.write(b"10000\r\n" + b" " * 65536 + b"\r\n")
        await writer.drain()


async def dripping(_: str, writer: asyncio.StreamWriter) -> None:
    writer.write(f"HTTP/1.1 200 X\r\n{JSON}content-length: 1000000\r\n\r\n".encode())
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


async def dripping_headers(_: str, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 X\r\nx-a: ")
    while True:
        writer.write(b"a")
        await writer.drain()
        await asyncio.sleep(0.02)


def bomb(megabytes: int = 64) -> bytes:
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=9) as file:
        for _ in range(megabytes):
            file.write(b" " * 1_000_000)
    return packed.getvalue()


BOMB = whole(bomb(), "content-encoding: gzip\r\n")
NESTED = whole(b"[" * 90_000 + b"]" * 90_000)
DEEP = whole(b"[" * 60 + b"]" * 60)
LARGE, SLOW = "more than 0.2 MB", "not whole after 0.3 s"


@pytest.mark.parametrize("also_login", [False, True], ids=["the call", "the log-in"])
@pytest.mark.parametrize(
    ("answer", "said", "advice"),
    [
        pytest.param(endless, LARGE, "check ONCE_BASE_URL", id="a body without end"),
        pytest.param(gives(BOMB), LARGE, "check ONCE_BASE_URL", id="a gzip bomb"),
        pytest.param(
            gives(whole(b"x", "content-encoding: gzip, gzip\r\n")), "asked for gzip", "Try again", id="gzip of gzip"
        ),
        pytest.param(
            gives(whole(b"no gzip at all", "content-encoding: gzip\r\n")),
            "not gzip",
            "Try again",
            id="no gzip",
        ),
        pytest.param(dripping, SLOW, "Try again", id="a byte now and then"),
        pytest.param(dripping_headers, SLOW, "Try again", id="headers a byte now and then"),
    ],
)
async def test_no_answer_takes_more_bytes_or_time_than_allowed(
    answer: Answer, said: str, advice: str, also_login: bool
) -> None:
    tracemalloc.start()
    began = time.monotonic()
    try:
        async with hostile(answer, also_login=also_login) as once:
            with pytest.raises(OnceRequestError) as error:
                await once.sim(ICCID)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert said in str(error.value)
    assert advice in str(error.value)
    assert error.value.call == ("POST /oauth/token" if also_login else f"GET /v1/sims/{ICCID}")
    assert time.monotonic() - began < 5
    assert peak < 5_000_000


@pytest.mark.parametrize("answer", [NESTED, DEEP, whole(b"[" + b"{}," * 65_000 + b"{}]")], ids=len)
async def test_json_too_deep_or_of_too_many_values_is_an_error_of_the_call(
    answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resources.once.responses.MAX_JSON_VALUES", 100_000)
    async with hostile(gives(answer)) as once:
        with pytest.raises(OnceRequestError, match=r"GET /v1/sims/.*JSON (nested deeper|of more).*check ONCE_BASE_URL"):
            await once.sim(ICCID)
        assert once.stats.requests == 2  # the log-in and one call: the same again would be no better


@pytest.mark.parametrize("status", [200, 400])
async def test_an_error_of_an_error_nested_too_deep_is_shown_as_it_came(status: int) -> None:
    async with hostile(gives(whole(b"[" * 90_000, status=status))) as once:
        with pytest.raises(OnceRequestError, match=r"\[\[\[\["):
            await once.sim(ICCID)


@pytest.mark.parametrize("answer", [NESTED, whole(b'{"access_token": "' + b"x" * 100_000 + b'"}')], ids=len)
async def test_a_log_in_that_gives_no_token_that_could_be_one_is_an_error(answer: bytes) -> None:
    async with hostile(gives(answer), also_login=True) as once:
        with pytest.raises(OnceRequestError, match=r"POST /oauth/token: .*It holds no token: check ONCE_BASE_URL"):
            await once.sim(ICCID)


async def test_a_token_that_would_hold_for_ages_is_taken() -> None:
    token = whole(b'{"access_token": "abc", "expires_in": 9223372036854775807}')

    async def answer(target: str, writer: asyncio.StreamWriter) -> None:
        writer.write(token if target.endswith("/oauth/token") else whole(json.dumps({"iccid": ICCID}).encode()))

    async with hostile(answer, also_login=True) as once:
        assert (await once.sim(ICCID)).body


def order(number: int) -> dict[str, Any]:
    return {"order_number": number, "order_date": "2026-01-01T00:00:00Z"}


def paged(page_of: Callable[[int], list[dict[str, Any]]], headers: str = "") -> Answer:
    async def answer(target: str, writer: asyncio.StreamWriter) -> None:
        page = int(target.split("page=")[1].split("&", maxsplit=1)[0])
        writer.write(whole(json.dumps(page_of(page)).encode(), headers))

    return answer


@pytest.mark.parametrize("headers", ["", "x-total-pages: 999999999999\r\n"], ids=["no total", "a huge total"])
@pytest.mark.parametrize(
    ("call", "page_of", "why", "read"),
    [
        ("orders", lambda page: [order(n) for n in range(10 * page, 10 * page + 10)], "more than 20 pages", 20),
        ("orders", lambda page: [order(n) for n in range(10)], "page 2 is one of those before it", 1),
        ("orders", lambda page: [order(n + page % 3) for n in range(10)], "page 4 is one of those before it", 3),
        ("sims", lambda page: [{"iccid": ICCID}] * 100, "page 2 is one of those before it", 1),
        ("sms", lambda page: [{"id": n + page} for n in range(100)], "more than 5 pages", 5),
    ],
)
async def test_pages_without_end_end(
    call: str, page_of: Callable[[int], list[dict[str, Any]]], why: str, read: int, headers: str
) -> None:
    pages = []
    async with hostile(paged(page_of, headers)) as once:

        async def walk() -> None:
            async for _ in once.sms(ICCID) if call == "sms" else getattr(once, call)():
                pages.append(1)  # noqa: PERF401 - what came before the error counts

        with pytest.raises(OnceRequestError, match=rf"GET /v1/.*The list does not end: {why}.*support"):
            await walk()
    assert len(pages) == read


async def test_what_a_terminal_would_obey_is_escaped_in_every_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    evil = "\x1b]0;owned\x07\x1b[2J\u202egnp\x9b31m\x00"
    tells = json.dumps({"error_token": "T", "error_code": 1, "message": evil + "\ud800"})
    bodies = [evil.encode(), tells.encode(), json.dumps([evil]).encode(), b"\xff\x1b[31m"]
    texts = []
    for status in (200, 400, 403, 404, 422, 500):
        for body in bodies:
            if status == 200 and body.startswith(b"{"):
                continue  # a record that is rejected, no error
            async with hostile(gives(whole(body, status=status))) as once:
                with pytest.raises(OnceError) as error:
                    await once.sim(ICCID)
            texts.append(str(error.value))
    texts.append(str(caplog.text.replace("\n", "")))
    for text in texts:
        assert text.isprintable(), ascii(text)
    assert any(r"\x1b[2J" in text for text in texts)


async def test_cookies_are_not_collected() -> None:
    sent = 0

    async def answer(_: str, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        sent += 1
        writer.write(whole(json.dumps({"iccid": ICCID}).encode(), f"set-cookie: c{sent}=x; path=/\r\n"))

    async with hostile(answer) as once:
        await once.sim(ICCID)
        await once.sim(ICCID)
        assert len(once._http.cookies.jar) == 0


@pytest.mark.parametrize("value", ["Mon, 01 Jan 99999999999999999999 00:00:00 GMT", "9" * 400, "\u0663", "nan", "-1"])
def test_a_retry_after_of_any_form_is_no_crash(value: str) -> None:
    from datetime import UTC, datetime

    assert parse_retry_after(value, datetime(2026, 1, 1, tzinfo=UTC)) == 0.0
