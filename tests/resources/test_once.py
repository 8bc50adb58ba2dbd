"""The 1NCE client over real HTTP: against the simulator, and against a small server that says what a test tells it
to."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import socket
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from pydantic import SecretStr

from resources.once.client import OnceClient
from resources.once.errors import (
    OnceClockError,
    OnceCredentialsError,
    OnceError,
    OnceForbiddenError,
    OnceIncompleteError,
    OnceNotFoundError,
    OnceRequestError,
    OnceSimExpiredError,
    OnceUnavailableError,
)
from resources.once.responses import Answer
from resources.once.usage_days import UsageDay
from simulator.account import SimCards
from simulator.faults import Faults
from simulator.fleet import Fleet
from simulator.server import SimulatorServer

pytestmark = pytest.mark.anyio

PASSWORD = "correct-horse-battery"
TOKEN = "tok-0123456789-secret"
ICCIDS = [f"89882280666{n:08d}" for n in range(1, 301)]
FIRST, LAST = date(2026, 1, 1), date(2026, 1, 31)
EMPTY_USAGE = b'{"stats": []}'


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


Reply = tuple[int, dict[str, str], bytes]
Handler = Callable[[str, str], Reply | Awaitable[Reply]]


class Script:
    """A real HTTP server whose answers a test writes; it gives tokens itself and notes every request."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.requests: list[str] = []
        self.tokens_given = 0
        self.base_url = ""

    async def answer(self, method: str, target: str) -> Reply:
        path = target.removeprefix("/management-api")
        self.requests.append(f"{method} {path}")
        if path == "/oauth/token":
            self.tokens_given += 1
        said = self.handler(method, path)
        return said if isinstance(said, tuple) else await said

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode().split("\r\n")
                method, target, _ = lines[0].split(" ")
                headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:])}
                await reader.readexactly(int(headers.get("content-length", 0)))
                status, extra, body = await self.answer(method, target)
                promised = {"content-length": str(len(body))} | extra
                said = "".join(f"{k}: {v}\r\n" for k, v in promised.items())
                writer.write(f"HTTP/1.1 {status} X\r\n{said}\r\n".encode() + body)
                await writer.drain()
                if int(promised["content-length"]) != len(body):
                    return
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def script(handler: Handler) -> AsyncIterator[Script]:
    served = Script(handler)
    server = await asyncio.start_server(served.talk, "127.0.0.1", 0)
    served.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/management-api"
    try:
        yield served
    finally:
        server.close()


def ok(document: Any, **headers: str) -> Reply:
    return 200, headers, json.dumps(document).encode()


def token_or(rest: Callable[[str], Reply | Awaitable[Reply]], lifetime: int = 3600) -> Handler:
    def handler(_: str, path: str) -> Reply | Awaitable[Reply]:
        if path == "/oauth/token":
            return ok({"access_token": TOKEN, "token_type": "bearer", "expires_in": lifetime})
        return rest(path)

    return handler


def client(base_url: str, **options: Any) -> OnceClient:
    settings: dict[str, Any] = {
        "username": "demo",
        "password": SecretStr(PASSWORD),
        "requests_per_second": None,
        "rng": random.Random(1),
        "backoff_s": 0.001,
        "breaker_pause_s": 0.01,
    }
    return OnceClient(base_url=base_url, **(settings | options))


@asynccontextmanager
async def talking(handler: Handler, **options: Any) -> AsyncIterator[tuple[Script, OnceClient]]:
    """A scripted server and a client of it."""
    async with script(handler) as served, client(served.base_url, **options) as once:
        yield served, once


def asked(served: Script, what: str = "/v1/") -> list[str]:
    return [request for request in served.requests if what in request]


def sim(iccid: str) -> dict[str, Any]:
    return {"iccid": iccid, "status": "Enabled"}


# --- one call ---


async def test_a_single_sim_is_an_answer_with_its_body_and_time() -> None:
    moment = datetime(2026, 2, 1, tzinfo=UTC)
    async with talking(token_or(lambda _: ok(sim(ICCIDS[0]))), now=lambda: moment) as (_, once):
        answer = await once.sim(ICCIDS[0])
    assert (answer.path, answer.params, answer.received_at) == (f"/v1/sims/{ICCIDS[0]}", {}, moment)
    assert json.loads(answer.body) == sim(ICCIDS[0])
    assert answer.items[0].iccid == ICCIDS[0]


@pytest.mark.parametrize(
    ("hours", "date"), [(-24, None), (-2, "behind"), (-0.5, ""), (0.5, ""), (26, "ahead of"), (3, "no time")]
)
async def test_a_clock_that_is_not_that_of_1nce_asks_nothing(hours: float, date: str | None) -> None:
    now = datetime(2026, 2, 1, tzinfo=UTC)
    headers = {None: {}, "no time": {"Date": "soon"}}.get(date, {"Date": format_datetime(now, usegmt=True)})

    def handler(_: str, path: str) -> Reply:
        token = {"access_token": TOKEN, "token_type": "bearer", "expires_in": 3600}
        return ok(token, **headers) if path == "/oauth/token" else ok(sim(ICCIDS[0]))

    async with talking(handler, now=lambda: now + timedelta(hours=hours)) as (served, once):
        if date in ("behind", "ahead of"):
            with pytest.raises(OnceClockError, match=rf"{abs(hours):.1f} hours {date} 1NCE's.*NTP"):
                await once.sim(ICCIDS[0])
            assert asked(served) == []
        else:
            assert (await once.sim(ICCIDS[0])).items


async def test_usage_is_asked_for_its_window_in_one_request() -> None:
    async with talking(token_or(lambda _: (200, {}, EMPTY_USAGE))) as (served, once):
        answer = await once.usage(ICCIDS[0], FIRST, LAST)
        assert asked(served) == [f"GET /v1/sims/{ICCIDS[0]}/usage?start_dt=2026-01-01&end_dt=2026-01-31"]
    assert answer.items == []


async def test_what_is_no_iccid_never_becomes_a_path() -> None:
    async with talking(token_or(lambda _: ok({}))) as (served, once):
        with pytest.raises(ValueError, match="expected an ICCID of 19 digits"):
            await once.sim("../orders")
        assert served.requests == []


@pytest.mark.parametrize(
    ("status", "kind", "advice"),
    [
        (400, OnceRequestError, "API reference"),
        (403, OnceForbiddenError, "account that owns the SIM"),
        (404, OnceNotFoundError, "Check the ICCID"),
        (422, OnceSimExpiredError, "extend it"),
        (302, OnceRequestError, "ONCE_BASE_URL"),
    ],
)
async def test_a_refusal_is_not_repeated(status: int, kind: type[OnceRequestError], advice: str) -> None:
    def rest(path: str) -> Reply:
        return ok([sim(ICCIDS[1])]) if "?" in path else ok({}) if ICCIDS[1] in path else (status, {}, b"because")

    async with talking(token_or(rest)) as (served, once):
        with pytest.raises(kind, match=f"HTTP {status}: because.*{advice}"):
            await once.sim(ICCIDS[0])
        assert len(asked(served, ICCIDS[0])) == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_what_may_pass_is_repeated_until_it_does(status: int) -> None:
    replies: list[Reply] = [(status, {}, b"")] * 2 + [ok(sim(ICCIDS[0]))]
    async with talking(token_or(lambda _: replies.pop(0))) as (served, once):
        assert (await once.sim(ICCIDS[0])).items
        assert len(asked(served)) == 3
        assert once.stats.retries == 2
        assert once.stats.throttled == (2 if status == 429 else 0)


async def test_what_never_passes_is_tried_as_often_as_allowed() -> None:
    async with talking(token_or(lambda _: (503, {}, b"upstream\n gone")), max_attempts=3) as (served, once):
        with pytest.raises(OnceRequestError, match=r"HTTP 503: upstream gone\. 1NCE's side fails"):
            await once.sim(ICCIDS[0])
        assert len(asked(served)) == 3


@pytest.mark.parametrize(
    "reply",
    [
        (200, {"content-length": "5000"}, b'{"iccid": "89'),
        (200, {}, b'{"iccid": "89'),
        (200, {"content-encoding": "gzip"}, b"no gzip"),
    ],
    ids=["less than promised", "half a document", "broken gzip"],
)
async def test_a_body_cut_halfway_is_asked_again(reply: Reply) -> None:
    replies = [reply, ok(sim(ICCIDS[0]))]
    async with talking(token_or(lambda _: replies.pop(0))) as (served, once):
        assert (await once.sim(ICCIDS[0])).items
        assert len(asked(served)) == 2


async def test_an_answer_of_another_shape_is_an_error_that_shows_it() -> None:
    async with talking(token_or(lambda _: ok({"message": "hello"}))) as (served, once):
        with pytest.raises(OnceRequestError, match=r'"hello".*Expected a list'):
            await once.products()
        assert len(asked(served)) == 1


async def test_a_silent_server_is_left_after_the_timeout_even_at_the_log_in() -> None:
    async def hang() -> Reply:
        await asyncio.sleep(30)
        return ok({})

    async with talking(lambda _, __: hang(), timeout_s=0.3, max_attempts=2) as (served, once):
        with pytest.raises(OnceRequestError, match="no usable answer: read timeout"):
            await once.sim(ICCIDS[0])
        assert len(served.requests) == 2


async def test_retry_after_is_waited_for_by_all_calls() -> None:
    replies: list[Reply] = [(429, {"Retry-After": "0.3"}, b"")]
    times: list[float] = []

    def rest(_: str) -> Reply:
        times.append(asyncio.get_running_loop().time())
        return replies.pop() if replies else ok(sim(ICCIDS[0]))

    async with talking(token_or(rest), requests_per_second=1000.0) as (_, once):
        first = asyncio.create_task(once.sim(ICCIDS[0]))
        while not times:  # the first log-in takes as long as the machine likes
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        await asyncio.gather(first, once.sim(ICCIDS[0]))
    assert times[1] - times[0] >= 0.28
    assert times[2] - times[0] >= 0.28
    assert once.stats.throttled == 1


async def test_a_wait_beyond_all_limits_is_an_error_not_a_sleep() -> None:
    async with (
        script(token_or(lambda _: (503, {"Retry-After": "86400"}, b""))) as served,
        client(served.base_url) as once,
    ):
        with pytest.raises(OnceRequestError, match="asks to wait 86400 s"):
            await once.sim(ICCIDS[0])
        assert len(asked(served)) == 1


# --- the service away ---


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


async def test_a_refused_connection_says_where_and_what_to_check() -> None:
    port = free_port()
    async with client(f"http://127.0.0.1:{port}/management-api", max_attempts=2) as once:
        with pytest.raises(OnceUnavailableError, match=rf"127\.0\.0\.1:{port} .*check ONCE_BASE_URL"):
            await once.sim(ICCIDS[0])


async def test_the_breaker_stops_a_fleet_of_calls_soon_after_the_service_is_gone() -> None:
    async with talking(token_or(lambda _: (503, {}, b"")), max_attempts=1000, concurrency=12) as (served, once):
        with pytest.raises(OnceUnavailableError, match="check ONCE_BASE_URL"):
            async for _ in once.each(ICCIDS, once.sim):
                pass
        # those under way at the opening, and one probe
        assert len(asked(served)) <= 10 + 12 + 1


async def test_the_breaker_lets_all_go_on_when_the_probe_is_answered() -> None:
    failing = [True] * 15

    def rest(path: str) -> Reply:
        return (503, {}, b"") if failing and failing.pop() else ok(sim(path[-19:]))

    async with talking(token_or(rest), max_attempts=9, concurrency=12) as (_, once):
        outcomes = [outcome async for _, outcome in once.each(ICCIDS, once.sim)]
    assert len(outcomes) == len(ICCIDS)
    assert all(isinstance(outcome, Answer) for outcome in outcomes)


async def test_one_sim_that_always_fails_does_not_open_the_breaker() -> None:
    def rest(path: str) -> Reply:
        return (500, {}, b"") if ICCIDS[7] in path else ok(sim(path[-19:]))

    async with talking(token_or(rest), max_attempts=12, backoff_s=0.0001) as (_, once):
        outcomes = dict([pair async for pair in once.each(ICCIDS, once.sim)])
    assert [iccid for iccid, outcome in outcomes.items() if isinstance(outcome, OnceError)] == [ICCIDS[7]]


# --- the token ---


async def test_many_calls_share_one_log_in() -> None:
    async with talking(token_or(lambda path: ok(sim(path[-19:])))) as (served, once):
        async for _ in once.each(ICCIDS, once.sim):
            pass
        assert served.tokens_given == 1
        assert once.stats.requests == len(ICCIDS) + 1


async def test_a_token_about_to_expire_is_renewed_before_it_does() -> None:
    async with (
        script(token_or(lambda path: ok(sim(path[-19:])), lifetime=0)) as served,
        client(served.base_url) as once,
    ):
        await once.sim(ICCIDS[0])
        await once.sim(ICCIDS[1])
        assert served.tokens_given == 1  # 0 reads as "not said": an hour
    async with (
        script(token_or(lambda path: ok(sim(path[-19:])), lifetime=1)) as served,
        client(served.base_url) as once,
    ):
        await once.sim(ICCIDS[0])
        await asyncio.sleep(0.92)
        await once.sim(ICCIDS[1])
        assert served.tokens_given == 2
        assert once.stats.reauthentications == 0


async def test_a_token_revoked_under_many_calls_is_renewed_once() -> None:
    given = 0

    async def handler(_: str, path: str) -> Reply:
        nonlocal given
        if path == "/oauth/token":
            given += 1
            return ok({"access_token": f"{TOKEN}-{given}", "expires_in": 3600})
        await asyncio.sleep(0.02)  # all the first calls are under way with the token that turns out revoked
        return ok(sim(path[-19:])) if given > 1 else (401, {}, b"")

    async with talking(handler, concurrency=8) as (served, once):
        outcomes = [outcome async for _, outcome in once.each(ICCIDS[:40], once.sim)]
        assert all(isinstance(outcome, Answer) for outcome in outcomes)
        assert given == 2
        assert once.stats.reauthentications == 1
        assert len(asked(served)) <= 40 + 8


async def test_a_fresh_token_refused_is_an_error_not_a_loop() -> None:
    async with talking(token_or(lambda _: (401, {}, b""))) as (served, once):
        with pytest.raises(OnceCredentialsError, match="ONCE_USERNAME"):
            await once.sim(ICCIDS[0])
        assert len(asked(served)) == 2
        assert served.tokens_given == 2


async def test_a_refused_password_is_tried_once_and_says_which_setting_to_mend() -> None:
    refusal = {"statusCode": 400, "errorCode": "BadCredentials", "message": f"no {PASSWORD}"}
    async with talking(lambda _, __: (400, {}, json.dumps(refusal).encode())) as (served, once):
        with pytest.raises(OnceCredentialsError, match=r"BadCredentials.*ONCE_USERNAME and ONCE_PASSWORD"):
            async for _ in once.each(ICCIDS, once.sim):
                pass
        assert served.requests == ["POST /oauth/token"]


async def test_a_failing_log_in_is_repeated_like_any_call() -> None:
    replies: list[Reply] = [(503, {}, b""), (200, {"content-length": "900"}, b"{"), ok({"access_token": TOKEN})]

    def handler(_: str, path: str) -> Reply:
        return replies.pop(0) if path == "/oauth/token" else ok(sim(path[-19:]))

    async with talking(handler) as (served, once):
        assert (await once.sim(ICCIDS[0])).items
        assert len(asked(served, "/oauth")) == 3


async def test_an_answer_without_a_token_is_an_error_that_does_not_show_it() -> None:
    async with talking(lambda _, __: ok({"token": TOKEN})) as (_, once):
        with pytest.raises(OnceRequestError, match="holds no token") as caught:
            await once.sim(ICCIDS[0])
    assert TOKEN not in str(caught.value)


def test_an_address_with_a_user_name_or_no_host_is_refused() -> None:
    for address in ("https://user:pw@api.1nce.com", "api.1nce.com", "ftp://api.1nce.com"):
        with pytest.raises(ValueError, match="ONCE_BASE_URL") as caught:
            client(address)
        assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "quote"),
    [(200, ""), (200, '"'), (400, ""), (401, ""), (500, "")],
    ids=["not json", "another shape", "refused", "unauthorized", "failed"],
)
async def test_no_secret_is_ever_shown(status: int, quote: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="httpx")  # whatever a library has set before
    echo = f"{quote}you sent Bearer {TOKEN} and {PASSWORD}{quote}".encode()
    async with talking(token_or(lambda _: (status, {}, echo)), max_attempts=2) as (_, once):
        with pytest.raises(OnceError) as caught:
            await once.sim(ICCIDS[0])
        everything = [caplog.text, repr(once), str(vars(once)), str(vars(once._auth)), repr(caught.value)]
    error: BaseException | None = caught.value
    while error is not None:
        everything += [repr(error), str(vars(error)), *traceback.format_exception(error)]
        assert not hasattr(error, "request")
        error = error.__cause__ or error.__context__
    shown = "\n".join(everything)
    assert "HTTP Request: GET" in shown  # the HTTP library did log
    basic = "ZGVtbzpjb3JyZWN0"  # demo:correct... in base 64
    for secret in (PASSWORD, TOKEN, basic):
        assert secret not in shown


# --- pages ---


def listing(
    *passes: list[list[str]], total: Callable[[int, int], int | None] = lambda nth, page: None
) -> Callable[[str], Reply]:
    """/v1/sims that shows other pages each time it is read from page 1."""
    nth = -1

    def rest(path: str) -> Reply:
        nonlocal nth
        page = int(path.split("page=")[1].split("&", maxsplit=1)[0])
        nth += page == 1
        pages = passes[min(nth, len(passes) - 1)]
        count = total(nth, page) or len({iccid for page in pages for iccid in page})
        return ok([sim(i) for i in pages[page - 1]], **{"X-Total-Count": str(count), "X-Total-Pages": str(len(pages))})

    return rest


async def test_every_sim_comes_once_and_no_page_is_asked_twice() -> None:
    pages = [ICCIDS[:100], ICCIDS[100:200], ICCIDS[200:]]
    async with talking(token_or(listing(pages))) as (served, once):
        seen = [card.iccid async for page in once.sims() for card in page.items]
        assert seen == ICCIDS
        assert [path.split("?")[1] for path in asked(served)] == [f"page={n}&pageSize=100" for n in (1, 2, 3)]


async def test_an_empty_account_is_one_empty_page() -> None:
    async with talking(token_or(listing([[]]))) as (served, once):
        assert [page.items async for page in once.sims()] == [[]]
        assert len(asked(served)) == 1


async def test_a_sim_missed_between_moving_pages_is_found_by_a_second_pass_that_stops_there() -> None:
    moved = [ICCIDS[:100], ICCIDS[99:199], ICCIDS[200:]]  # one twice, ICCIDS[199] on no page
    still = [ICCIDS[:100], ICCIDS[100:200], ICCIDS[200:]]
    async with talking(token_or(listing(moved, still, total=lambda *_: 300))) as (served, once):
        seen = [card.iccid async for page in once.sims() for card in page.items]
        assert sorted(seen) == ICCIDS
        assert len(asked(served)) == 3 + 2


async def test_a_sim_removed_while_reading_starts_a_full_second_reading() -> None:
    before = [ICCIDS[:100], ICCIDS[101:201], ICCIDS[201:]]  # ICCIDS[0] goes after page 1, ICCIDS[100] slips through
    after = [ICCIDS[1:101], ICCIDS[101:201], ICCIDS[201:]]
    total = lambda nth, page: 300 if (nth, page) == (0, 1) else 299  # noqa: E731
    async with talking(token_or(listing(before, after, total=total))) as (served, once):
        seen = [card.iccid async for page in once.sims() for card in page.items]
        assert sorted(seen) == ICCIDS
        assert len(asked(served)) == 6


async def test_a_list_that_never_holds_still_is_delivered_and_then_flagged() -> None:
    pages = [ICCIDS[:100], ICCIDS[99:199]]
    seen: list[str] = []
    async with talking(token_or(listing(pages, total=lambda *_: 200))) as (served, once):
        with pytest.raises(
            OnceIncompleteError, match=r"199 SIMs seen where X-Total-Count says \[200\], after 3 passes"
        ):
            seen.extend([card.iccid async for page in once.sims() for card in page.items])
        assert len(asked(served)) == 6


async def test_a_broken_sim_record_is_rejected_once_and_counts_as_seen() -> None:
    records = [sim(ICCIDS[0]), sim("12"), {"status": "Enabled"}]
    async with talking(token_or(lambda _: ok(records, **{"X-Total-Count": "3", "X-Total-Pages": "1"}))) as (
        served,
        once,
    ):
        (page,) = [page async for page in once.sims()]
        assert len(asked(served)) == 1
    assert [card.iccid for card in page.items] == [ICCIDS[0]]
    assert [one.reason for one in page.rejected] == [
        "iccid: got '12', expected an ICCID of 19 digits",
        "iccid: missing, expected a value",
    ]


async def test_an_empty_page_before_the_last_one_that_is_named_does_not_end_the_orders() -> None:
    def rest(path: str) -> Reply:
        page = int(path.split("page=")[1].split("&", maxsplit=1)[0])
        numbers = {1: range(10), 3: range(20, 23)}.get(page, range(0))
        return ok([{"order_number": n, "order_type": "TOPUP"} for n in numbers], **{"X-Total-Pages": "3"})

    async with talking(token_or(rest)) as (served, once):
        seen = [order.order_number async for page in once.orders() for order in page.items]
        assert seen == [*range(10), *range(20, 23)]
        assert len(asked(served)) == 3


async def test_a_total_with_nothing_behind_it_is_not_asked_for_to_its_end() -> None:
    async with talking(token_or(lambda _: ok([], **{"X-Total-Pages": "999999999"}))) as (served, once):
        assert [page.items async for page in once.orders()] == [[]]
        assert len(asked(served)) == 4


@pytest.mark.parametrize(("orders", "requests"), [(0, 1), (7, 1), (10, 2), (23, 3)])
@pytest.mark.parametrize("past_the_end", [200, 404])
async def test_orders_are_paged_to_a_short_page(orders: int, requests: int, past_the_end: int) -> None:
    def rest(path: str) -> Reply:
        start = (int(path.split("page=")[1].split("&", maxsplit=1)[0]) - 1) * 10
        numbers = range(orders)[start : start + 10]
        if start and not numbers:
            return past_the_end, {}, b"[]"
        return ok([{"order_number": n, "order_type": "TOPUP"} for n in numbers])

    async with talking(token_or(rest)) as (served, once):
        seen = [order.order_number async for page in once.orders() for order in page.items]
        assert seen == list(range(orders))
        assert len(asked(served)) == requests


async def test_events_are_read_newest_first_and_no_further_than_asked() -> None:
    newest = datetime(2026, 1, 31, tzinfo=UTC)

    def rest(path: str) -> Reply:
        assert "sort=-timestamp" in path
        page = int(path.split("page=")[1].split("&", maxsplit=1)[0])
        times = [newest - timedelta(minutes=n) for n in range((page - 1) * 1000, page * 1000)]
        return ok({"events": [{"timestamp": f"{t:%FT%TZ}", "event_type": "x"} for t in times], "totalPages": 5})

    async with talking(token_or(rest)) as (served, once):
        since = newest - timedelta(minutes=1500)
        seen = [event.at async for page in once.events(ICCIDS[0], since) for event in page.items]
        assert len(seen) == 1501
        assert min(seen) == since
        assert len(asked(served)) == 2
        assert len([page async for page in once.events(ICCIDS[0], None)]) == 5


# --- many calls ---


async def test_each_yields_every_key_once_with_its_answer_or_its_error() -> None:
    def rest(path: str) -> Reply:
        return (422, {}, b"expired") if path.endswith("0") else ok(sim(path[-19:]))

    async with talking(token_or(rest)) as (_, once):
        outcomes = [pair async for pair in once.each(iter(ICCIDS), once.sim)]
    assert sorted(iccid for iccid, _ in outcomes) == ICCIDS
    for iccid, outcome in outcomes:
        assert isinstance(outcome, OnceSimExpiredError if iccid.endswith("0") else Answer)


async def test_each_takes_no_more_keys_than_a_slow_consumer_can_follow() -> None:
    taken = 0

    def keys() -> Iterator[str]:
        nonlocal taken
        for iccid in ICCIDS:
            taken += 1
            yield iccid

    async with (
        talking(token_or(lambda path: ok(sim(path[-19:]))), concurrency=4) as (served, once),
        aclosing(once.each(keys(), once.sim)) as outcomes,
    ):
        await anext(outcomes)
        await asyncio.sleep(0.2)
        assert taken <= 1 + 4 + 4
        assert len(asked(served)) <= 1 + 4 + 4


async def test_never_more_under_way_than_allowed() -> None:
    now = most = 0
    five = asyncio.Barrier(5)  # nobody is answered until five wait, however slow the machine is

    async def rest(path: str) -> Reply:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await five.wait()
        await asyncio.sleep(0.002)
        now -= 1
        return ok(sim(path[-19:]))

    async with talking(token_or(rest), concurrency=5) as (_, once):
        await asyncio.gather(*(once.sim(iccid) for iccid in ICCIDS[:60]))
    assert most == 5


async def test_cancelling_stops_the_calls_under_way_at_once() -> None:
    begun = asyncio.Event()

    async def hang() -> Reply:
        begun.set()
        await asyncio.sleep(30)
        return ok({})

    async with talking(token_or(lambda _: hang()), concurrency=4) as (served, once):

        async def all_of_them() -> None:
            async for _ in once.each(ICCIDS, once.sim):
                pass

        running = asyncio.create_task(all_of_them())
        await begun.wait()
        running.cancel()
        done, _ = await asyncio.wait([running], timeout=5)
        assert done
        assert running.cancelled()
        assert len(asked(served)) <= 4


async def test_calls_cancelled_by_leaving_early_do_not_open_the_breaker() -> None:
    async def rest(path: str) -> Reply:
        await asyncio.sleep(0 if path[-19:] in ICCIDS[:2] else 30)
        return ok(sim(path[-19:]))

    async with talking(token_or(rest), concurrency=16, breaker_pause_s=60.0) as (_, once):
        async with aclosing(once.each(ICCIDS, once.sim)) as outcomes:
            await anext(outcomes)
        answer = await asyncio.wait_for(once.sim(ICCIDS[0]), timeout=20)
    assert answer.items


class Interrupted(BaseException):
    """As Dagster raises it at Ctrl-C, in whatever runs then."""


@pytest.mark.parametrize("error", [ZeroDivisionError, Interrupted])
async def test_an_error_that_is_not_1nces_ends_each(error: type[BaseException]) -> None:
    async def broken(iccid: str) -> None:
        if iccid == ICCIDS[3]:
            raise error

    async with client("http://127.0.0.1:1") as once, asyncio.timeout(20):
        with pytest.raises(error):
            async for _ in once.each(ICCIDS, broken):
                pass


# --- the simulator: the whole API, with its faults ---

NOW = datetime(2026, 6, 30, 9, tzinfo=UTC)
YESTERDAY = date(2026, 6, 29)
WEEKS_AGO = date(2026, 6, 1)
DAYS = [WEEKS_AGO + timedelta(days=n) for n in range(29)]


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    return Fleet(seed=7, sims=230, start=date(2026, 1, 1))


@pytest.fixture(scope="module")
def members(fleet: Fleet) -> list[str]:
    """The SIMs that are in the account by now, the others not being activated yet."""
    return [fleet.iccids[n] for n in SimCards(fleet).visible(NOW)]


@contextmanager
def simulator(fleet: Fleet, **faults: Any) -> Iterator[SimulatorServer]:
    with SimulatorServer(fleet, now=NOW, faults=Faults(**faults)) as server:
        yield server


def demo(server: SimulatorServer, **options: Any) -> OnceClient:
    return client(server.base_url, password=SecretStr("demo"), **options)


async def all_usage(once: OnceClient, iccids: list[str]) -> tuple[dict[str, Answer[UsageDay]], set[str]]:
    """The answers, and the SIMs that have expired; any other error fails the test."""
    answers, over = {}, set()
    async for iccid, outcome in once.each(iccids, lambda iccid: once.usage(iccid, WEEKS_AGO, YESTERDAY)):
        if isinstance(outcome, OnceSimExpiredError):
            over.add(iccid)
        else:
            assert isinstance(outcome, Answer), outcome
            answers[iccid] = outcome
    return answers, over


def expected_days(fleet: Fleet, iccid: str) -> dict[date, tuple[int, ...]]:
    used = fleet.usage([fleet.iccids.index(iccid)], WEEKS_AGO, YESTERDAY)
    columns = (used.volume, used.rx, used.tx, used.sms_mt, used.sms_mo)
    return {day: tuple(int(column[0, n]) for column in columns) for n, day in enumerate(DAYS)}


@pytest.mark.parametrize(
    "faults",
    [
        {},
        {"server_error_rate": 0.2},
        {"cut_body_rate": 0.2},
        {"slow_rate": 0.05, "slow_seconds": 0.1},
        {"token_lifetime_s": 3},
        {"missing_zero_days": True},
        {"server_error_rate": 0.1, "cut_body_rate": 0.1, "duplicate_sim_across_pages": True},
    ],
    ids=lambda faults: ",".join(faults) or "none",
)
async def test_every_sim_and_every_day_arrives_exactly_and_no_request_is_wasted(
    fleet: Fleet, members: list[str], faults: dict[str, Any]
) -> None:
    with simulator(fleet, **faults) as server:
        async with demo(server, max_attempts=12) as once:
            listed = [card.iccid async for page in once.sims() for card in page.items]
            # what happens at random happens to enough of them
            asked = listed[:80] if any(name.endswith("_rate") for name in faults) else listed
            answers, over = await all_usage(once, asked)
        statuses = [status for _, _, path, status in server.requests if "/usage" in path]
    assert sorted(listed) == sorted(members)
    assert answers.keys() | over == set(asked)
    for iccid, answer in answers.items():
        assert answer.rejected == []
        came = {row.day: tuple(row[2:]) for row in answer.items}
        expected = expected_days(fleet, iccid)
        assert all(came[day] == expected[day] for day in came)
        assert all(not any(expected[day]) for day in expected.keys() - came.keys())
        if "missing_zero_days" not in faults:  # then only the days before activation are absent
            assert sorted(came) == DAYS[len(DAYS) - len(came) :]
    useful = [status for status in statuses if status in (200, 422)]
    assert len(statuses) - len(useful) <= once.stats.retries + once.stats.reauthentications * 17
    if "cut_body_rate" not in faults:
        assert len(useful) == len(asked)
    if not faults:
        assert once.stats.requests == len(server.requests) == 1 + 3 + len(members)
        assert once.stats.retries == 0


async def test_a_sim_on_two_pages_hides_none_and_comes_once() -> None:
    fleet = Fleet(seed=7, sims=200, start=date(2026, 1, 1))  # two full pages: the last SIM is pushed off the end
    later = NOW + timedelta(days=180)  # all are activated by then
    with SimulatorServer(fleet, now=later, faults=Faults(duplicate_sim_across_pages=True)) as server:
        async with demo(server) as once:
            listed = [card.iccid async for page in once.sims() for card in page.items]
        pages = [path for _, _, path, _ in server.requests if "/sims?" in path]
    assert sorted(listed) == sorted(fleet.iccids)
    assert len(pages) == 2 + 2


async def test_text_where_a_number_belongs_is_rejected_and_the_other_rows_stay(
    fleet: Fleet, members: list[str]
) -> None:
    with simulator(fleet, text_where_number=True) as server:
        async with demo(server) as once:
            answers, _ = await all_usage(once, members)
    rejected = [(iccid, one) for iccid, answer in answers.items() for one in answer.rejected]
    assert rejected
    for iccid, one in rejected:
        assert one.reason == "data.volume: got 'n/a', expected a decimal number"
        day = date.fromisoformat(one.record["date"][:10])
        assert day not in {row.day for row in answers[iccid].items}
    for iccid, answer in answers.items():
        expected = expected_days(fleet, iccid)
        assert all(tuple(row[2:]) == expected[row.day] for row in answer.items)


async def test_all_the_other_calls_give_rows_and_reject_nothing(fleet: Fleet, members: list[str]) -> None:
    with simulator(fleet) as server:
        async with demo(server) as once:
            answers: list[Answer[Any]] = [await once.products()]
            answers += [page async for page in once.orders()]
            answers += [page async for page in once.tickets()]
            orders = sum("/orders" in path for _, _, path, _ in server.requests)
            assert orders == len([1 for answer in answers if answer.path == "/v1/orders"])

            async def ask(iccid: str) -> list[Answer[Any]]:
                one: list[Answer[Any]] = [await once.sim(iccid), await once.status(iccid)]
                two = [await once.quota(iccid, "data"), await once.quota(iccid, "sms")]
                events = [page async for page in once.events(iccid, NOW - timedelta(days=7))]
                return [*one, *two, *events, *[page async for page in once.sms(iccid)]]

            async for _, outcome in once.each(members[:60], ask):
                if not isinstance(outcome, OnceSimExpiredError):
                    assert isinstance(outcome, list), outcome
                    answers += outcome
    assert [one for answer in answers for one in answer.rejected] == []
    kinds = {type(item).__name__ for answer in answers for item in answer.items}
    assert kinds == {"Product", "Order", "Ticket", "SimCard", "Connectivity", "Quota", "Event", "Sms"}


async def test_somebody_elses_sim_is_forbidden_and_an_unknown_one_not_found(fleet: Fleet) -> None:
    with simulator(fleet) as server:
        async with demo(server) as once:
            with pytest.raises(OnceForbiddenError):
                await once.sim(fleet.foreign_iccids[0])
            with pytest.raises(OnceNotFoundError):
                await once.sim("1" * 19)


async def test_wrong_credentials_say_which_setting_to_mend(fleet: Fleet) -> None:
    with simulator(fleet) as server:
        async with client(server.base_url) as once:
            with pytest.raises(OnceCredentialsError, match=r"BadCredentials.*ONCE_USERNAME and ONCE_PASSWORD"):
                await once.products()


async def test_the_limit_is_never_crossed_and_used_to_95_percent(fleet: Fleet, members: list[str]) -> None:
    rates: list[float] = []
    while (
        len(rates) < 3 and max(rates, default=0) < 9.5
    ):  # a machine that stands still for a while is not the client's fault
        with simulator(fleet, requests_per_second=10) as server:
            async with demo(server, requests_per_second=10.0) as once:
                async for _, outcome in once.each(members[:61], lambda i: once.usage(i, WEEKS_AGO, YESTERDAY)):
                    assert isinstance(outcome, Answer | OnceSimExpiredError)
            calls = [(moment, status) for moment, _, path, status in server.requests if "/sims" in path]
        assert len(calls) == 61
        assert 429 not in [status for _, status in calls]
        moments = sorted(moment for moment, _ in calls)
        assert all(later - first >= 1.0 for first, later in zip(moments, moments[10:], strict=False))
        rates.append(60 / (moments[-1] - moments[0]))
    assert max(rates) >= 9.5
