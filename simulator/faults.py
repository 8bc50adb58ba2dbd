"""The faults that a simulated account can show, and how a call meets them; all are off until asked for."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from simulator.hashing import REPORT, draw


@dataclass(frozen=True)
class Faults:
    """What goes wrong. Shares are between 0 and 1; which call is hit follows from the seed and the call's number.

    requests_per_second          limit for /v1/sims*: one call more within the window gets 429 with retry-after
    token_lifetime_s             real seconds until a token gets 401; the token answer always says 3600, as 1NCE does,
                                 so a shorter life looks like a token revoked early
    server_error_rate            share of calls answered 500 or 503
    slow_rate, slow_seconds      share of calls held back, and for how long
    cut_body_rate                share of calls whose connection closes halfway through the promised body
    duplicate_sim_across_pages   the first pass over /v1/sims sees one SIM on two pages and misses the last one
    missing_zero_days            days without traffic are absent from the usage answer
    late_corrections             the last two complete days are reported too low, or missing, until the third day
    total_row                    a usage answer with days ends with their sum, a row whose date is TOTAL
    lost_answer_rate             share of calls that act (POST, PUT) that are carried out and whose answer is lost: 500
                                 after `slow_seconds`, unless the caller's time is out before
    text_where_number            `data.volume` is "n/a" in about one usage row of a hundred
    """

    requests_per_second: float | None = None
    token_lifetime_s: float = 3600.0
    server_error_rate: float = 0.0
    slow_rate: float = 0.0
    slow_seconds: float = 1.0
    cut_body_rate: float = 0.0
    duplicate_sim_across_pages: bool = False
    missing_zero_days: bool = False
    late_corrections: bool = False
    text_where_number: bool = False
    total_row: bool = False
    lost_answer_rate: float = 0.0

    def __post_init__(self) -> None:
        for name in ("server_error_rate", "slow_rate", "cut_body_rate", "lost_answer_rate"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"Faults.{name} is {getattr(self, name)}; give a share between 0 and 1")
        if self.requests_per_second is not None and self.requests_per_second <= 0:
            raise ValueError(
                f"Faults.requests_per_second is {self.requests_per_second}; give a positive number or None"
            )


_V2_ERRORS = {
    400: ("BadRequest", "Bad request"),
    404: ("NotFound", "Element not found"),
    500: ("InternalServerError", "Internal Server Error"),
}


def error_v2(status: int, message: str | None = None) -> dict[str, Any]:
    """The body of an error as API v2 words it."""
    token, usual = _V2_ERRORS[status]
    return {"error_code": 1000, "error_token": token, "message": message or usual}


class FaultDraws:
    """Draws, call by call, which of `faults` a call meets; the same seed draws the same."""

    def __init__(self, faults: Faults, seed: int) -> None:
        self.faults, self._seed, self._calls, self._acts = faults, seed, 0, 0
        self._accepted: deque[float] = deque()

    def draw(self) -> tuple[float, float, float, bool]:
        """Three numbers in [0, 1) and a coin for the next call."""
        self._calls += 1
        word = int(draw(self._seed, REPORT, np.array([-1]), np.array([self._calls]))[0, 0])
        failing, slow, cut = ((word >> low) % (1 << 20) / (1 << 20) for low in (0, 20, 40))
        return failing, slow, cut, word >> 60 & 1 == 1

    def loses_answer(self) -> bool:
        """Whether the answer to the next call that acts is lost."""
        self._acts += 1
        word = int(draw(self._seed, REPORT, np.array([-2]), np.array([self._acts]))[0, 0])
        return word % (1 << 20) / (1 << 20) < self.faults.lost_answer_rate

    def throttled(self) -> float | None:
        """Seconds to wait when one call more would break the rate limit, else None, and the call counts."""
        if self.faults.requests_per_second is None:
            return None
        allowed = max(1, int(self.faults.requests_per_second))
        window = max(1.0, allowed / self.faults.requests_per_second)
        now = time.monotonic()
        while self._accepted and self._accepted[0] <= now - window:
            self._accepted.popleft()
        if len(self._accepted) >= allowed:
            return self._accepted[0] + window - now
        self._accepted.append(now)
        return None


class FaultMiddleware:
    """Adds the faults that need no knowledge of a route to an application, and writes the list of requests."""

    def __init__(
        self,
        app: ASGIApp,
        prefix: str,
        draws: Callable[[], FaultDraws],
        requests: list[tuple[float, str, str, int]] | None,
    ) -> None:
        self.app, self.prefix, self.draws, self.requests = app, prefix, draws, requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(self.prefix):
            await self.app(scope, receive, send)
            return
        began, draws = time.monotonic(), self.draws()
        faults = draws.faults

        async def noted(message: Message) -> None:
            # before the answer leaves, so that a client that has it finds its request in the list
            if message["type"] == "http.response.start" and self.requests is not None:
                query = scope["query_string"].decode("ascii", "replace")
                path = scope["path"] + (f"?{query}" if query else "")
                self.requests.append((began, scope["method"], path, message["status"]))
            await send(message)

        failing, slow, cut, coin = draws.draw()
        if slow < faults.slow_rate:
            await asyncio.sleep(faults.slow_seconds)
        if failing < faults.server_error_rate:
            of_v2 = not coin and scope["path"].startswith(f"{self.prefix}/v2/")  # a 503 is not of the API's making
            broken = JSONResponse(error_v2(500), 500) if of_v2 else Response(status_code=503 if coin else 500)
            await broken(scope, receive, noted)
        elif scope["method"] in ("POST", "PUT") and not scope["path"].endswith("/oauth/token") and draws.loses_answer():
            await self.app(scope, receive, _unheard)
            await asyncio.sleep(faults.slow_seconds)
            await Response(status_code=500)(scope, receive, noted)
        elif cut < faults.cut_body_rate:
            await self.app(scope, receive, _halved(noted))
        else:
            await self.app(scope, receive, noted)


async def _unheard(message: Message) -> None:
    """Sends nothing."""


def _halved(send: Send) -> Send:
    """Sends half of the body and no end of it; the server then closes the connection."""

    async def cut(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": message["body"][: len(message["body"]) // 2], "more_body": True}
        await send(message)

    return cut
