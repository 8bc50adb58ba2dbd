"""What stands between a call to 1NCE and the wire: the token, the rate limiters and the circuit breaker of all
calls."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import httpx
from pydantic import SecretStr

from resources.once import responses
from resources.once.errors import (
    RETRY_STATUS,
    OnceClockError,
    OnceCredentialsError,
    OnceRequestError,
    OnceUnavailableError,
)
from resources.text import escaped

MAX_FAILING_CALLS = 10
MAX_CLOCK_ERROR = timedelta(hours=1)
JITTER_S = 0.035  # by how much a request may be late on its way without our seeing it; costs at most 3.5 % of the rate
MAX_LATE_S = 0.3  # of lateness that we see by the answer, how much is heeded


@dataclass
class ClientStats:
    """What a client has done so far; requests are those on the wire, log-ins and retries included."""

    requests: int = 0
    retries: int = 0
    throttled: int = 0
    reauthentications: int = 0
    bytes_received: int = 0
    seconds_rate_limited: float = 0.0
    seconds_backed_off: float = 0.0
    breaker_open: bool = False


@dataclass(frozen=True)
class Limits:
    """How much an answer may be; all far above what 1NCE sends.

    body_bytes               of one answer, unpacked; a page of 1,000 events has about 1 MB
    call_s                   for one request, from its first byte to the last of its answer
    pages, pages_of_a_sim    of one list of the account (5 million SIMs), and of one of a SIM
    """

    body_bytes: int = 20_000_000
    call_s: float = 120.0
    pages: int = 50_000
    pages_of_a_sim: int = 1_000


class Failure(NamedTuple):
    """An attempt without a usable answer; status None when none came. call: which, such as POST /oauth/token."""

    call: str
    status: int | None
    came: str
    wait_s: float = 0.0
    unreachable: bool = False
    lasting: bool = False  # the same again would be no better

    @property
    def may_pass(self) -> bool:
        return (self.status is None and not self.lasting) or self.status in RETRY_STATUS

    @property
    def alive(self) -> bool:
        """The service answered, if only to say no or not so fast."""
        return self.lasting or (self.status is not None and self.status < httpx.codes.INTERNAL_SERVER_ERROR)


# --- the token -------------------------------------------------------------------------------------------------------


class TokenAuth(httpx.Auth):
    """The bearer token: fetched once for all calls, renewed before it expires, and once more when 1NCE answers 401."""

    def __init__(
        self,
        url: str,
        username: str,
        password: SecretStr,
        stats: ClientStats,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self._url, self._username, self._password, self._stats = url, username, password, stats
        self._now = now
        self._token: SecretStr | None = None
        self._renew_at = 0.0
        self._lock = asyncio.Lock()
        self._refusal: str | None = None

    def scrub(self, text: str) -> str:
        """`text` without the password and the token, should 1NCE or a proxy have echoed them."""
        for secret in (self._password, self._token):
            if secret is not None and secret.get_secret_value():
                text = text.replace(secret.get_secret_value(), "***")
        return text

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        for _ in range(2):
            async with self._lock:
                if self._token is None or time.monotonic() >= self._renew_at:
                    response = yield self.token_request(request)
                    await response.aread()
                    if response.status_code in RETRY_STATUS:
                        return  # the caller sees this answer, and tries again later
                    self.accept(response)
                token = self._token
            assert token is not None
            request.headers["Authorization"] = f"Bearer {token.get_secret_value()}"
            response = yield request
            if response.status_code != httpx.codes.UNAUTHORIZED:
                return
            if token is self._token:  # else another call has renewed it meanwhile
                self._token = None
                self._stats.reauthentications += 1
        raise OnceCredentialsError(
            "1NCE refuses a token that it has just given: check that the API user of ONCE_USERNAME still has its "
            "rights."
        )

    def token_request(self, request: httpx.Request) -> httpx.Request:
        if self._refusal:  # not asked again: repeated failures may lock the user out
            raise OnceCredentialsError(self._refusal)
        basic = httpx.BasicAuth(self._username, self._password.get_secret_value())
        fresh = httpx.Request(
            "POST",
            self._url,
            headers={"Accept": "application/json"},
            json={"grant_type": "client_credentials"},
            extensions={"timeout": request.extensions.get("timeout")},
        )
        return next(basic.auth_flow(fresh))

    def accept(self, response: httpx.Response) -> None:
        if self._now is not None:
            _check_clock(response, self._now())
        if response.status_code == httpx.codes.OK:
            token = responses.parse_token(response.content)
            if token is None:
                raise OnceRequestError(
                    "POST /oauth/token", 200, "(not shown)", "It holds no token: check ONCE_BASE_URL."
                )
            self._token = SecretStr(token.value)
            self._renew_at = time.monotonic() + token.lifetime_s - min(60.0, token.lifetime_s / 10)
        elif response.status_code in (400, 401, 403):
            self._refusal = (
                f"1NCE refuses the user name and password (HTTP {response.status_code}{_error_code(response.content)}):"
                " check ONCE_USERNAME and ONCE_PASSWORD."
            )
            raise OnceCredentialsError(self._refusal)
        else:
            raise OnceRequestError(
                "POST /oauth/token",
                response.status_code,
                "(not shown)",
                "No token is given there: check ONCE_BASE_URL.",
            )


def _check_clock(response: httpx.Response, now: datetime) -> None:
    """Raise OnceClockError where the time of an answer says that our clock is wrong.

    What 1NCE answers now would be stored as of another day, over what is known of that day.
    """
    try:
        theirs = parsedate_to_datetime(response.headers["Date"])
        error = now - theirs
    except (KeyError, ValueError, TypeError):  # no time, or none that can be read or compared
        return
    if abs(error) > MAX_CLOCK_ERROR:
        apart = f"{abs(error) / timedelta(hours=1):.1f} hours {'behind' if error < timedelta() else 'ahead of'} 1NCE's"
        raise OnceClockError(
            f"the clock here says {now:%Y-%m-%d %H:%M} UTC, {apart}: "
            "nothing is asked, as it would be stored under wrong days. Let this machine keep time by NTP, and unset "
            "SIMSIGHT_NOW"
        )


def _error_code(body: bytes) -> str:
    """1NCE's own name for a refused log-in, when it is one that it documents (anything else might echo a secret)."""
    known = ("BadCredentials", "AuthValidationError", "BodyValidationError", "UnsupportedContentTypeError")
    return next((f", {code}" for code in known if code.encode() in body), "")


# --- the rate limiters and the breaker
# ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class Ticket:
    sent_at: float
    arrives_by: float


def rate_limiters(requests_per_second: float) -> dict[str, RateLimiter]:
    rate_limiters = {name: RateLimiter(limit, seconds) for name, (limit, seconds) in responses.RATE_LIMITS.items()}
    limit = max(1, int(requests_per_second))
    seconds = limit / requests_per_second
    rate_limiters["sims"] = RateLimiter(limit, seconds, spacing_s=seconds / limit)
    return rate_limiters


class RateLimiter:
    """Lets at most `limit` requests reach 1NCE within any `seconds`, however unevenly the network carries them.

    1NCE counts a request when it arrives. The client does not see that moment; it is at the latest when the answer is
    here. A request that took longer than the quickest recent ones may have been that much longer on its way, so it
    stays in the window for so much longer. Turns are evenly spaced besides, and a late one lets the next make up for
    it.
    """

    def __init__(self, limit: int, seconds: float, spacing_s: float = 0.0) -> None:
        self._limit, self._seconds, self._spacing_s = limit, seconds, spacing_s
        self._tickets: list[Ticket] = []
        self._round_trips: deque[float] = deque(maxlen=32)
        self._next = self._held_until = 0.0
        self._turns = asyncio.Lock()  # first come, first served

    async def enter(self) -> Ticket:
        """Wait for a turn."""
        async with self._turns:
            while (wait := self._ready_at() - (now := time.monotonic())) > 0:
                await asyncio.sleep(wait)
            self._next = max(self._next, now - self._spacing_s) + self._spacing_s
            if len(self._tickets) == self._limit:
                self._tickets.remove(min(self._tickets, key=lambda ticket: ticket.arrives_by))
            ticket = Ticket(now, now + MAX_LATE_S)
            self._tickets.append(ticket)
            return ticket

    def sent(self, ticket: Ticket) -> None:
        """The request has left only now."""
        ticket.sent_at = time.monotonic()
        ticket.arrives_by = ticket.sent_at + MAX_LATE_S

    def answered(self, ticket: Ticket) -> None:
        """The request has arrived: its answer is here."""
        now = time.monotonic()
        self._round_trips.append(now - ticket.sent_at)
        if len(self._round_trips) < min(self._limit, 32):
            ticket.arrives_by = now  # nothing known yet to compare with
        else:
            late = self._round_trips[-1] - min(self._round_trips)
            # the quickest of late was not quite without delay itself
            late += JITTER_S / 2
            ticket.arrives_by = min(now, ticket.sent_at + min(max(late, JITTER_S), MAX_LATE_S))

    def hold(self, seconds: float) -> None:
        """Give nobody a turn for so long: 1NCE asked for it."""
        self._held_until = max(self._held_until, time.monotonic() + seconds)

    def _ready_at(self) -> float:
        full = len(self._tickets) == self._limit
        out = min(ticket.arrives_by for ticket in self._tickets) + self._seconds if full else 0.0
        return max(self._next, self._held_until, out)


class Breaker:
    """Stops asking a service that is down: opens when ten calls in a row have failed, none succeeding in between.

    Open, everything waits for a pause, then one call probes: if it gets an answer all go on, else they end with
    OnceUnavailableError, and the next to come waits and probes again.
    """

    def __init__(self, host: str, pause_s: float) -> None:
        self._host, self._pause_s = host, pause_s
        self._failing: set[int] = set()
        self._open = False
        self._probe: asyncio.Future[bool] | None = None

    @property
    def is_open(self) -> bool:
        """Whether the service counts as down."""
        return self._open

    def error(self, last: str) -> OnceUnavailableError:
        return OnceUnavailableError(
            f"1NCE cannot be reached at {self._host} ({escaped(last[:200])}): check ONCE_BASE_URL, the network,"
            " proxies and name resolution from this machine, and 1NCE's status page; then run again."
        )

    async def admit(self) -> bool:
        """Waits until asking makes sense; True when this call is the probe. Raises when the probe waited for failed."""
        while self._open:
            if self._probe is None:
                self._probe = asyncio.get_running_loop().create_future()
                try:
                    await asyncio.sleep(self._pause_s)
                except asyncio.CancelledError:
                    self.give_up(probing=True)
                    raise
                return True
            if not await asyncio.shield(self._probe):
                raise self.error("the call that tried again failed as well")
        return False

    def report(self, call: int, *, answered: bool, probing: bool) -> None:
        """Whether the service answered this call's attempt at all."""
        if answered:
            self._failing.clear()
            self._open = False
        else:
            self._failing.add(call)
            self._open = self._open or len(self._failing) >= MAX_FAILING_CALLS
        if probing:
            self._resolve_probe(answered)

    def give_up(self, *, probing: bool) -> None:
        """An attempt ended without an outcome; a probe that was waited for has then failed."""
        if probing:
            self._resolve_probe(False)

    def _resolve_probe(self, answered: bool) -> None:
        if self._probe is not None:
            self._probe.set_result(answered)
            self._probe = None
