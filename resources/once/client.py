"""A thin asynchronous client for 1NCE's API v1: the connection pool, rate limits, retries and circuit breaker.

    async with OnceClient(base_url=..., username=..., password=SecretStr(...)) as once:
        async for page in once.sims():
            store(page.body, page.items, page.rejected)
        async with contextlib.aclosing(once.each(iccids, lambda iccid: once.usage(iccid, first, last))) as outcomes:
            async for iccid, outcome in outcomes:
                ...  # an Answer, or the OnceError of this one SIM

The client sends at most 10 requests in any second on /sims (1NCE's limit for one customer), all calls, retries and
repeated log-ins counted. The limit is the customer's, so run one client at a time for an account.
It retries what may pass (429, 500, 502, 503, 504, time-outs, lost connections, truncated bodies) and nothing else;
every call here only reads. Neither the password nor a token is ever part of an error, a log line or a repr.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any, Literal, NamedTuple, NoReturn, TypeVar

import httpx
from pydantic import BaseModel, SecretStr

from resources.once import errors, records, responses, usage_days, values
from resources.once.errors import (
    RETRY_STATUS,
    OnceCredentialsError,
    OnceError,
    OnceForbiddenError,
    OnceIncompleteError,
    OnceNotFoundError,
    OnceRequestError,
    OnceSimExpiredError,
    OnceUnavailableError,
)
from resources.once.responses import Answer, Rejected
from resources.once.transport import Breaker, ClientStats, RateLimiter, TokenAuth, rate_limiters
from resources.proxies import proxy_options

__all__ = [
    "Answer",
    "ClientStats",
    "OnceClient",
    "OnceCredentialsError",
    "OnceError",
    "OnceForbiddenError",
    "OnceIncompleteError",
    "OnceNotFoundError",
    "OnceRequestError",
    "OnceSimExpiredError",
    "OnceUnavailableError",
    "Rejected",
]

K = TypeVar("K")
T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

MAX_LIST_PASSES = 3
MAX_WAIT_S = 300.0  # the longest of 1NCE's rate windows: asked to wait longer, the call fails and says so
MAX_BACKOFF_S = 30.0


class OnceClient:
    """1NCE's API v1 for one account, as an asynchronous context manager in one event loop.

    requests_per_second   the limit on /sims; None lifts all limits (a simulator)
    timeout_s             for connecting, and for each wait for bytes
    max_attempts          how often a call is tried before it fails
    concurrency           how many requests are under way at once, at most
    transport             another httpx transport, such as one with a proxy or certificates of its own
    now, rng              the clock behind `received_at`, and the jitter of the waits
    backoff_s             the first retry waits 0 to this long, each later one up to twice as long, up to 30 s
    breaker_pause_s       how long everything waits after ten calls in a row have failed, before one probe
    A proxy of the environment is used for 1NCE, not for an address of this machine (a simulator).
    Raises ValueError when `base_url` is no http(s) address, or holds a user name; ProxyUnusableError.
    """

    def __init__(
        self,
        *,
        base_url: str,
        username: str,
        password: SecretStr,
        requests_per_second: float | None = 10.0,
        timeout_s: float = 30.0,
        max_attempts: int = 5,
        concurrency: int = 16,
        transport: httpx.AsyncBaseTransport | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        rng: random.Random | None = None,
        backoff_s: float = 0.5,
        breaker_pause_s: float = 15.0,
    ) -> None:
        url = httpx.URL(base_url.rstrip("/"))
        if url.scheme not in ("http", "https") or not url.host or url.userinfo:
            raise ValueError("ONCE_BASE_URL: expected http(s)://host/path without a user name in it")
        self.stats = ClientStats()
        self._base_path, self._host = url.path.rstrip("/"), url.netloc.decode()
        self._concurrency, self._max_attempts, self._backoff_s = concurrency, max_attempts, backoff_s
        self._now, self._rng = now, rng or random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._auth = TokenAuth(f"{url}/oauth/token", username, password, self.stats)
        self._breaker = Breaker(self._host, breaker_pause_s)
        self._rate_limiters = {} if requests_per_second is None else rate_limiters(requests_per_second)
        self._under_way = asyncio.Semaphore(concurrency)
        self._calls = itertools.count()
        self._http = httpx.AsyncClient(
            base_url=url,
            auth=self._auth,
            headers={"Accept": "application/json"},
            # The semaphore does the queueing: a request that has had its turn must not wait again for a connection.
            timeout=httpx.Timeout(timeout_s, pool=None),
            limits=httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency),
            transport=transport,
            **({} if transport else proxy_options(url)),
            event_hooks={"request": [self._before_sending], "response": [self._after_headers]},
        )

    def __repr__(self) -> str:
        return f"OnceClient({self._host}, {self.stats})"

    async def __aenter__(self) -> OnceClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    # --- what can be asked -------------------------------------------------------------------------------------------

    async def sims(self) -> AsyncGenerator[Answer[records.SimCard], None]:
        """Every SIM of the account, each once, in pages of 100.

        The list can change during a pass over its pages: one SIM then stands on two pages, another on none. The client
        repeats the pass, up to three in all, until there are as many distinct ICCIDs as X-Total-Count says; a later
        pass yields only SIMs not yet yielded. Raises OnceIncompleteError, after all pages, when the list keeps
        changing.
        """
        shown: set[str] = set()
        counts: set[int] = set()
        for list_pass in range(1, MAX_LIST_PASSES + 1):
            here: set[str] = set()
            counts_here: set[int] = set()
            async with aclosing(self._pages("/v1/sims", 100)) as pages:
                async for came in pages:
                    answer, on_page = _unseen(came.answer(records.SimCard, came.records()), shown)
                    here |= on_page
                    if list_pass == 1 or answer.items or answer.rejected:
                        yield answer
                    if came.totals.records is not None:
                        counts_here.add(came.totals.records)
                        counts.add(came.totals.records)
                    if list_pass > 1 and len(counts) == 1 and len(shown) >= max(counts):
                        return
            if not counts_here or (len(counts_here) == 1 and len(here) >= max(counts_here)):
                return
        raise OnceIncompleteError(
            f"GET /v1/sims: {len(shown)} SIMs seen where X-Total-Count says {sorted(counts)}, after {MAX_LIST_PASSES}"
            " passes: the list keeps changing. What was seen has been delivered; read it again later."
        )

    async def sim(self, iccid: str) -> Answer[records.SimCard]:
        """One SIM card, as in the list."""
        came = await self._get(_sim_path(iccid))
        return came.answer(records.SimCard, [came.record()], iccid=iccid)

    async def usage(self, iccid: str, first_day: date, last_day: date) -> Answer[usage_days.UsageDay]:
        """Daily usage, both days included, in one request.

        Days before activation, and perhaps silent ones, are missing.

        Raises ValueError for a window that is empty or longer than six months; nothing is split.
        """
        came = await self._get(_sim_path(iccid, "/usage"), responses.usage_params(first_day, last_day))
        notes: list[str] = []
        return came.typed(*usage_days.parse_usage(came.records("stats"), iccid, first_day, last_day, notes), notes)

    async def status(self, iccid: str) -> Answer[records.Connectivity]:
        """Whether and where the SIM is attached, and its data session."""
        came = await self._get(_sim_path(iccid, "/status"))
        return came.answer(records.Connectivity, [came.record()], iccid=iccid)

    async def quota(self, iccid: str, kind: Literal["data", "sms"]) -> Answer[records.Quota]:
        """What is left of the SIM's data or SMS quota, of how much, and until when."""
        came = await self._get(_sim_path(iccid, f"/quota/{kind}"))
        return came.answer(records.Quota, [came.record()], iccid=iccid, kind=kind)

    async def events(self, iccid: str, since: datetime | None) -> AsyncGenerator[Answer[records.Event], None]:
        """The SIM's events from `since` on (None: all), newest first, in pages; stops at the first older page."""
        path = _sim_path(iccid, "/events")
        size = 1000 if since is None else 100  # a look at what is new needs few
        async with aclosing(self._pages(path, size, key="events", sort="-timestamp")) as pages:
            async for came in pages:
                answer = came.answer(records.Event, came.records("events"), iccid=iccid)
                wanted = [event for event in answer.items if since is None or event.at >= since]
                yield replace(answer, items=wanted)
                if len(wanted) < len(answer.items):
                    return

    async def sms(self, iccid: str) -> AsyncGenerator[Answer[records.Sms], None]:
        """The SMS to and from the SIM, in pages of 100."""
        async with aclosing(self._pages(_sim_path(iccid, "/sms"), 100)) as pages:
            async for came in pages:
                yield came.answer(records.Sms, came.records(), iccid=iccid)

    async def products(self) -> Answer[records.Product]:
        """What the account can buy, with prices."""
        came = await self._get("/v1/products")
        return came.answer(records.Product, came.records())

    async def orders(self) -> AsyncGenerator[Answer[records.Order], None]:
        """All orders, in pages of 10."""
        async with aclosing(self._pages("/v1/orders", 10)) as pages:
            async for came in pages:
                yield came.answer(records.Order, came.records())

    async def tickets(self) -> AsyncGenerator[Answer[records.Ticket], None]:
        """All service requests, in pages of 100."""
        async with aclosing(self._pages("/v1/support", 100)) as pages:
            async for came in pages:
                yield came.answer(records.Ticket, came.records())

    async def each(
        self, keys: Iterable[K], call: Callable[[K], Awaitable[T]]
    ) -> AsyncGenerator[tuple[K, T | OnceError], None]:
        """`call(key)` for every key, `concurrency` at a time, yielded as they finish: (key, result or its OnceError).

        Keys are taken, and results held, no further ahead than `concurrency` each. What would hit every call alike
        (OnceCredentialsError, OnceUnavailableError) and any error that is not an OnceError is raised and ends it.
        Leaving early or cancelling stops the calls under way at once: use contextlib.aclosing when you may leave
        early.
        """
        source = iter(keys)
        finished: asyncio.Queue[tuple[K, T | OnceError] | Exception | None] = asyncio.Queue(self._concurrency)

        async def work() -> None:
            try:
                for key in source:
                    try:
                        outcome: T | OnceError = await call(key)
                    except (OnceCredentialsError, OnceUnavailableError):
                        raise
                    except OnceError as error:
                        outcome = error
                    await finished.put((key, outcome))
            except Exception as error:
                await finished.put(error)
            await finished.put(None)

        workers = [asyncio.create_task(work()) for _ in range(self._concurrency)]
        try:
            busy = len(workers)
            while busy:
                item = await finished.get()
                if item is None:
                    busy -= 1
                elif isinstance(item, Exception):
                    raise item
                else:
                    yield item
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    # --- one request -------------------------------------------------------------------------------------------------

    async def _pages(self, path: str, size: int, key: str | None = None, **params: str) -> AsyncGenerator[_Came, None]:
        """All pages: to the last that the answer names, or where it names none to the first short one."""
        for page in itertools.count(1):
            try:
                came = await self._get(path, {**params, "page": str(page), "pageSize": str(size)})
            except OnceNotFoundError:
                # Nothing says what 1NCE answers past the end of a list whose length it does not tell.
                if page == 1:
                    raise
                return
            records = came.records(key)
            if page > 1 and not records:
                return
            yield came
            last = came.totals.pages
            if (len(records) < size) if last is None else (page >= last):
                return

    async def _get(self, path: str, params: dict[str, str] | None = None) -> _Came:
        """A usable answer to one call, however often it has to be asked. Raises OnceError."""
        number, attempt = next(self._calls), 0
        while True:
            attempt += 1
            probing = await self._breaker.admit()
            try:
                got = await self._try(path, params or {})
            except BaseException:  # cancelled, or rejected: says nothing about the service
                self._breaker.give_up(probing=probing)
                raise
            answered = isinstance(got, _Came) or got.alive
            self._breaker.report(number, answered=answered, probing=probing)
            if isinstance(got, _Came):
                return got
            if probing and not answered:
                raise self._breaker.error(got.came)
            if not got.may_pass or attempt == self._max_attempts or got.wait_s > MAX_WAIT_S:
                break
            self.stats.retries += 1
            wait = got.wait_s + self._rng.uniform(0, min(MAX_BACKOFF_S, self._backoff_s * 2 ** (attempt - 1)))
            self.stats.seconds_backed_off += wait
            await asyncio.sleep(wait)
        if got.unreachable:
            raise self._breaker.error(got.came)
        asked = f" (asks to wait {got.wait_s:.0f} s)" if got.wait_s > MAX_WAIT_S else ""
        raise errors.request_error(f"GET {path}", got.status, got.came + asked)

    async def _try(self, path: str, params: dict[str, str]) -> _Came | _Failure:
        """Ask once. Errors of the HTTP library end here: they hold the request, and with it the token."""
        try:
            async with self._under_way:
                response = await self._http.get(path, params=params)
        except httpx.RequestError as error:
            unreachable = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError)
            return _Failure(None, self._auth.scrub(f"{type(error).__name__}: {error}"), unreachable=unreachable)
        body = response.content
        self.stats.bytes_received += len(body)
        status, text = response.status_code, self._auth.scrub(body[:1000].decode(errors="replace"))
        if status != httpx.codes.OK:
            wait_s = responses.parse_retry_after(response.headers.get("Retry-After"), self._now())
            if status == httpx.codes.TOO_MANY_REQUESTS:
                self.stats.throttled += 1
                if limiter := self._rate_limiter(response.request):
                    limiter.hold(min(wait_s, MAX_WAIT_S))
            return _Failure(status, text, wait_s)
        try:
            document = responses.parse_json(body)
        except ValueError:  # cut halfway where no length was promised, or a page of some proxy
            return _Failure(None, f"not JSON: {text}")
        totals = responses.parse_totals(response.headers, document)
        return _Came(path, params, self._now(), body, document, totals, text)

    # --- rate limits: these two see every request on the wire, those of the token and of retries too
    # -------------------

    def _rate_limiter(self, request: httpx.Request) -> RateLimiter | None:
        return self._rate_limiters.get(responses.family(request.url.path.removeprefix(self._base_path)))

    async def _before_sending(self, request: httpx.Request) -> None:
        if limiter := self._rate_limiter(request):
            started = time.monotonic()
            ticket = await limiter.enter()
            self.stats.seconds_rate_limited += time.monotonic() - started

            async def sent(event: str, _: dict[str, Any]) -> None:
                if event.endswith("send_request_headers.complete"):  # later than the turn when a connection was opened
                    limiter.sent(ticket)

            request.extensions["trace"], request.extensions["ticket"] = sent, ticket
        self.stats.requests += 1

    async def _after_headers(self, response: httpx.Response) -> None:
        request = response.request
        if (limiter := self._rate_limiter(request)) and (ticket := request.extensions.get("ticket")):
            limiter.answered(ticket)


class _Came(NamedTuple):
    """A 200 answer as JSON, before it is typed."""

    path: str
    params: dict[str, str]
    received_at: datetime
    body: bytes
    document: Any
    totals: responses.Totals
    shown: str  # how the body begins, without secrets

    def records(self, key: str | None = None) -> list[Any]:
        """The list that the answer is, or that stands in it under `key` (an absent one is empty)."""
        found = self.document if key is None else (self.record().get(key) or [])
        return found if isinstance(found, list) else self._unlike("a list" + (f" under {key!r}" if key else ""))

    def record(self) -> dict[str, Any]:
        """The object that the answer is."""
        return self.document if isinstance(self.document, dict) else self._unlike("an object")

    def answer(self, model: type[M], found: Iterable[Any], **defaults: str) -> Answer[M]:
        notes: list[str] = []
        return self.typed(*records.parse_records(model, found, notes, **defaults), notes)

    def typed(self, items: list[T], rejected: list[Rejected], notes: list[str]) -> Answer[T]:
        return Answer(self.path, self.params, self.received_at, self.body, items, rejected, notes)

    def _unlike(self, expected: str) -> NoReturn:
        raise OnceRequestError(
            f"GET {self.path}", 200, self.shown, f"Expected {expected}: 1NCE's API may have changed."
        )


class _Failure(NamedTuple):
    """An attempt without a usable answer; status None when none came."""

    status: int | None
    came: str
    wait_s: float = 0.0
    unreachable: bool = False

    @property
    def may_pass(self) -> bool:
        return self.status is None or self.status in RETRY_STATUS

    @property
    def alive(self) -> bool:
        """The service answered, if only to say no or not so fast."""
        return self.status is not None and self.status < httpx.codes.INTERNAL_SERVER_ERROR


def _sim_path(iccid: str, tail: str = "") -> str:
    try:
        return f"/v1/sims/{values.check_iccid(iccid)}{tail}"
    except ValueError as broken:
        raise ValueError(f"iccid: got {iccid!r}, {broken}") from None


def _unseen(answer: Answer[records.SimCard], shown: set[str]) -> tuple[Answer[records.SimCard], set[str]]:
    """The answer without SIMs already shown (now added to them), and who is on its page."""
    items = {sim.iccid: sim for sim in answer.items}
    rejected = {str(r.record.get("iccid", r.reason)): r for r in answer.rejected}
    on_page = items.keys() | rejected.keys()
    fresh = replace(
        answer,
        items=[sim for iccid, sim in items.items() if iccid not in shown],
        rejected=[r for iccid, r in rejected.items() if iccid not in shown],
    )
    shown |= on_page
    return fresh, on_page
