"""A thin asynchronous client for 1NCE's API v1 and v2: the connection pool, rate limits, retries and circuit breaker.

    async with OnceClient(base_url=..., username=..., password=SecretStr(...)) as once:
        async for page in once.sims():
            store(page.body, page.items, page.rejected)
        async with contextlib.aclosing(once.each(iccids, lambda iccid: once.usage(iccid, first, last))) as outcomes:
            async for iccid, outcome in outcomes:
                ...  # an Answer, or the OnceError of this one SIM

The client sends at most 10 requests in any second on /sims (1NCE's limit for one customer), all calls, retries and
repeated log-ins counted. The limit is the customer's, so run one client at a time for an account.
It retries what may pass (429, 500, 502, 503, 504, time-outs, lost connections, truncated bodies) and nothing else;
every call here only reads. Which versions a call is in stands in resources.once.calls; a call that turns out to be
gone from one is asked in the next. Neither the password nor a token is ever part of an error, a log line or a repr.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any, Literal, Self, TypeVar

import httpx
from pydantic import SecretStr

from resources.bounded_http import AnswerTooLargeError, BoundedTransport, no_cookies
from resources.errors import in_words
from resources.once import errors, records, responses, usage_days
from resources.once.asking import Asking, Came
from resources.once.calls import CallBook, Form
from resources.once.errors import (
    OnceCallGoneError,
    OnceCredentialsError,
    OnceError,
    OnceForbiddenError,
    OnceIncompleteError,
    OnceNotFoundError,
    OnceNotOnV1Error,
    OnceRequestError,
    OnceSimExpiredError,
    OnceUnavailableError,
)
from resources.once.responses import Answer, Rejected
from resources.once.transport import Breaker, ClientStats, Failure, Limits, RateLimiter, TokenAuth, rate_limiters
from resources.proxies import proxy_options

__all__ = [
    "Answer",
    "ClientStats",
    "Limits",
    "OnceCallGoneError",
    "OnceClient",
    "OnceCredentialsError",
    "OnceError",
    "OnceForbiddenError",
    "OnceIncompleteError",
    "OnceNotFoundError",
    "OnceNotOnV1Error",
    "OnceRequestError",
    "OnceSimExpiredError",
    "OnceUnavailableError",
    "Rejected",
]

K = TypeVar("K")
T = TypeVar("T")

ACCEPT = {"Accept": "application/json", "Accept-Encoding": "gzip"}
MAX_LIST_PASSES = 3
MAX_EMPTY_PAGES = 3  # so many in a row are believed to have more behind them, where the answer says so
MAX_WAIT_S = 300.0  # the longest of 1NCE's rate windows: asked to wait longer, the call fails and says so
MAX_BACKOFF_S = 30.0


class OnceClient:
    """1NCE's API for one account, as an asynchronous context manager in one event loop.

    requests_per_second   the limit on /sims; None lifts all limits (a simulator)
    timeout_s             for connecting, and for each wait for bytes
    limits                on what an answer and a walk over pages may hold, and how long one may take
    max_attempts          how often a call is tried before it fails
    concurrency           how many requests are under way at once, at most
    calls                 which version of each call to ask, and what is known and learnt of them; None: API v1
    transport             another httpx transport, such as one with a proxy or certificates of its own
    now, rng              the clock behind `received_at`, and the jitter of the waits; None: the machine's clock, and it
                          is not compared with 1NCE's
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
        limits: Limits | None = None,
        max_attempts: int = 5,
        concurrency: int = 16,
        calls: CallBook | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        now: Callable[[], datetime] | None = None,
        rng: random.Random | None = None,
        backoff_s: float = 0.5,
        breaker_pause_s: float = 15.0,
    ) -> None:
        url = httpx.URL(base_url.rstrip("/"))
        if url.scheme not in ("http", "https") or not url.host or url.userinfo:
            raise ValueError("ONCE_BASE_URL: expected http(s)://host/path without a user name in it")
        self.stats = ClientStats()
        self.calls = calls or CallBook()
        self._base_path, self._host = url.path.rstrip("/"), url.netloc.decode()
        self._limits = limits or Limits()
        self._concurrency, self._max_attempts, self._backoff_s = concurrency, max_attempts, backoff_s
        self._now = now or (lambda: datetime.now(UTC))
        self._rng = rng or random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._auth = TokenAuth(f"{url}/oauth/token", username, password, self.stats, now)
        self._breaker = Breaker(self._host, breaker_pause_s)
        self._rate_limiters = {} if requests_per_second is None else rate_limiters(requests_per_second)
        self._under_way = asyncio.Semaphore(concurrency)
        self._numbers = itertools.count()
        self._ask = Asking(self._get, self.calls, self._now).ask
        self._http = httpx.AsyncClient(
            base_url=url,
            auth=self._auth,
            headers=ACCEPT,
            cookies=no_cookies(),
            # The semaphore does the queueing: a request that has had its turn must not wait again for a connection.
            timeout=httpx.Timeout(timeout_s, pool=None),
            transport=BoundedTransport(
                body_bytes=self._limits.body_bytes,
                call_s=self._limits.call_s,
                limits=httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency),
                transport=transport,
                **({} if transport else proxy_options(url)),
            ),
            event_hooks={"request": [self._before_sending]},
        )

    def __repr__(self) -> str:
        return f"OnceClient({self._host}, {self.stats})"

    async def __aenter__(self) -> Self:
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
        path = ""
        for list_pass in range(1, MAX_LIST_PASSES + 1):
            here: set[str] = set()
            counts_here: set[int] = set()
            async with aclosing(self._pages("sims", 100)) as pages:
                async for form, came in pages:
                    path = came.path
                    answer, on_page = _unseen(came.answer(form), shown)
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
            f"GET {path}: {len(shown)} SIMs seen where X-Total-Count says {sorted(counts)}, after {MAX_LIST_PASSES}"
            " passes: the list keeps changing. What was seen has been delivered; read it again later."
        )

    async def look(self) -> None:
        """Ask for one SIM of the list, to see whether the account answers. Raises OnceError."""
        await self._ask("sims", size=1)

    async def sim(self, iccid: str) -> Answer[records.SimCard]:
        """One SIM card, as in the list."""
        form, came = await self._ask("sim", iccid)
        return came.answer(form, iccid=iccid)

    async def usage(
        self, iccid: str, first_day: date, last_day: date, *, listed: bool = True
    ) -> Answer[usage_days.UsageDay]:
        """Daily usage, both days included, in one request.

        listed   the account's list names the SIM: unknown to API v1, it is then one of Platform 2.0
        Days before activation, and perhaps silent ones, are missing.

        Raises ValueError for a window that is empty or longer than six months; nothing is split. OnceNotOnV1Error.
        """
        window = responses.usage_params(first_day, last_day)
        form, came = await self._ask("usage", iccid, params=window, listed=listed)
        return came.answer(form, iccid=iccid, first_day=first_day, last_day=last_day)

    async def status(self, iccid: str) -> Answer[records.Connectivity]:
        """Whether and where the SIM is attached, and its data session."""
        form, came = await self._ask("status", iccid)
        return came.answer(form, iccid=iccid)

    async def quota(self, iccid: str, kind: Literal["data", "sms"]) -> Answer[records.Quota]:
        """What is left of the SIM's data or SMS quota, of how much, and until when."""
        form, came = await self._ask("quota", iccid, kind=kind)
        return came.answer(form, iccid=iccid, kind=kind)

    async def events(self, iccid: str, since: datetime | None) -> AsyncGenerator[Answer[records.Event], None]:
        """The SIM's events from `since` on (None: all), in pages, newest first where the API sorts them.

        Stops at the first page with something older, in API v2 as long as what came was in order. Where it was not,
        it stops at a page of which all is older, unless its first event is older than its last.
        """
        size = 1000 if since is None else 100  # a look at what is new needs few
        last: datetime | None = None
        in_order = True
        async with aclosing(self._pages("events", size, iccid)) as pages:
            async for form, came in pages:
                answer: Answer[records.Event] = came.answer(form, iccid=iccid)
                for event in answer.items:
                    in_order = in_order and (last is None or event.at <= last)
                    last = event.at
                wanted = [event for event in answer.items if since is None or event.at >= since]
                yield replace(answer, items=wanted)
                if len(wanted) < len(answer.items) and (form.sorted or in_order):
                    return
                if answer.items and not wanted and answer.items[0].at >= answer.items[-1].at:
                    return

    async def sms(self, iccid: str) -> AsyncGenerator[Answer[records.Sms], None]:
        """The SMS to and from the SIM, in pages of 100."""
        async with aclosing(self._pages("sms", 100, iccid)) as pages:
            async for form, came in pages:
                yield came.answer(form, iccid=iccid)

    async def products(self) -> Answer[records.Product]:
        """What the account can buy, with prices."""
        form, came = await self._ask("products")
        return came.answer(form)

    async def orders(self) -> AsyncGenerator[Answer[records.Order], None]:
        """All orders, in pages of 10."""
        async with aclosing(self._pages("orders", 10)) as pages:
            async for form, came in pages:
                yield came.answer(form)

    async def tickets(self) -> AsyncGenerator[Answer[records.Ticket], None]:
        """All service requests, in pages of 100."""
        async with aclosing(self._pages("tickets", 100)) as pages:
            async for form, came in pages:
                yield came.answer(form)

    async def each(
        self, keys: Iterable[K], call: Callable[[K], Awaitable[T]]
    ) -> AsyncGenerator[tuple[K, T | OnceError], None]:
        """`call(key)` for every key, `concurrency` at a time, yielded as they finish: (key, result or its OnceError).

        Keys are taken, and results held, no further ahead than `concurrency` each. What would hit every call alike
        (OnceCredentialsError, OnceUnavailableError, OnceCallGoneError) and any error that is not an OnceError, an
        interrupt among them, is raised and ends it. Leaving early or cancelling stops the calls under way at once: use
        contextlib.aclosing when you may leave early.
        """
        source = iter(keys)
        finished: asyncio.Queue[tuple[K, T | OnceError] | BaseException | None] = asyncio.Queue(self._concurrency)

        async def work() -> None:
            try:
                for key in source:
                    try:
                        outcome: T | OnceError = await call(key)
                    except (OnceCredentialsError, OnceUnavailableError, OnceCallGoneError):
                        raise
                    except OnceError as error:
                        outcome = error
                    await finished.put((key, outcome))
            except asyncio.CancelledError:
                raise
            except BaseException as error:  # an interrupt too: a task would keep it to itself
                await finished.put(error)
            await finished.put(None)

        workers = [asyncio.create_task(work()) for _ in range(self._concurrency)]
        try:
            busy = len(workers)
            while busy:
                item = await finished.get()
                if item is None:
                    busy -= 1
                elif isinstance(item, BaseException):
                    raise item
                else:
                    yield item
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    # --- one call, in the version that answers it ---------------------------------------------------------------------

    async def _pages(self, call: str, size: int, iccid: str = "") -> AsyncGenerator[tuple[Form, Came], None]:
        """All pages: to the last that the answer names, or where it names none to the first short one.

        Behind the first page, empty ones are not given. More than MAX_EMPTY_PAGES of them in a row end the list.
        """
        form, came = await self._ask(call, iccid, size=size)
        most = self._limits.pages_of_a_sim if iccid else self._limits.pages
        bodies: set[bytes] = set()
        empty = 0
        for page in itertools.count(2):
            found = came.found(form)
            seen = len(bodies)
            bodies.add(hashlib.sha256(came.body).digest())
            if found and len(bodies) == seen:
                raise errors.endless_error(f"GET {came.path}", came.shown, f"page {page - 1} is one of those before it")
            if seen == most:
                raise errors.endless_error(f"GET {came.path}", came.shown, f"more than {most:,} pages")
            last = came.totals.pages
            empty = 0 if found else empty + 1
            if empty > MAX_EMPTY_PAGES:
                return
            if found or page == 2:
                yield form, came
            if (len(found) < size) if last is None else (page > last):
                return
            try:
                came = await self._get(came.path, form.page(page, size))
            except OnceNotFoundError:
                # Nothing says what 1NCE answers past the end of a list whose length it does not tell.
                return

    # --- one request -------------------------------------------------------------------------------------------------

    async def _get(self, path: str, params: dict[str, str] | None = None) -> Came:
        """A usable answer to one call, however often it has to be asked. Raises OnceError."""
        number, attempt = next(self._numbers), 0
        while True:
            attempt += 1
            probing = await self._breaker.admit()
            try:
                got = await self._try(path, params or {})
            except BaseException:  # cancelled, or rejected: says nothing about the service
                self._breaker.give_up(probing=probing)
                raise
            answered = isinstance(got, Came) or got.alive
            self._breaker.report(number, answered=answered, probing=probing)
            self.stats.breaker_open = self._breaker.is_open
            if isinstance(got, Came):
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
        if got.lasting:
            advice = "1NCE sends nothing like it: check ONCE_BASE_URL, and the proxies between here and 1NCE."
            raise OnceRequestError(got.call, got.status, got.came, advice)
        asked = f" (asks to wait {got.wait_s:.0f} s)" if got.wait_s > MAX_WAIT_S else ""
        raise errors.request_error(got.call, got.status, got.came + asked)

    async def _try(self, path: str, params: dict[str, str]) -> Came | Failure:
        """Ask once. Errors of the HTTP library end here: they hold the request, and with it the token."""
        try:
            async with self._under_way:
                response = await self._http.get(path, params=params)
        except httpx.RequestError as error:
            unreachable = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError)
            said = self._auth.scrub(in_words(error))
            call = self._call(error.request)
            return Failure(call, None, said, unreachable=unreachable, lasting=isinstance(error, AnswerTooLargeError))
        body, call = response.content, self._call(response.request)
        self.stats.bytes_received += len(body)
        status, text = response.status_code, self._auth.scrub(body[:1000].decode(errors="replace"))
        if status != httpx.codes.OK:
            wait_s = responses.parse_retry_after(response.headers.get("Retry-After"), self._now())
            if status == httpx.codes.TOO_MANY_REQUESTS:
                self.stats.throttled += 1
                if limiter := self._rate_limiter(response.request):
                    limiter.hold(min(wait_s, MAX_WAIT_S))
            return Failure(call, status, text, wait_s)
        try:
            document = responses.parse_json(body)
        except responses.TooMuchJsonError as error:
            return Failure(call, None, f"{error}: {text}", lasting=True)
        except ValueError:  # cut halfway where no length was promised, or a page of some proxy
            return Failure(call, None, f"not JSON: {text}")
        totals = responses.parse_totals(response.headers, document)
        return Came(path, params, self._now(), body, document, totals, text)

    def _call(self, request: httpx.Request) -> str:
        """The call that a request made: the one asked for, or the log-in before it."""
        return f"{request.method} {request.url.path.removeprefix(self._base_path)}"

    # --- rate limits: this sees every request on the wire, those of the token and of retries too ---------------------

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
                elif event.endswith("receive_response_headers.complete"):
                    limiter.answered(ticket)

            request.extensions["trace"] = sent
        self.stats.requests += 1


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
