"""The routes of 1NCE's v1 API over a synthetic fleet, with its paging, errors and, on request, faults.

Names, types, limits and errors follow 1NCE's official OpenAPI files. Where they leave a choice:
- an expired SIM answers 422 to every call about one SIM (each lists it) and stays in the list;
- 403, 404 and 422 have no body, as in the files; a bad parameter, for which no GET names an answer, gets 400
  {"message"};
- orders, SMS and support carry no X- headers: the files promise them in words only;
- /simulator, /simulator/clock and /simulator/stream are ours and outside 1NCE's paths.
"""

import base64
import binascii
import json
import secrets
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from simulator.account import SimCards
from simulator.faults import FaultDraws, FaultMiddleware, Faults
from simulator.fleet import Fleet
from simulator.orders_tickets import PRODUCTS, BackOffice

PREFIX = "/management-api"
USAGE_MONTHS = 6
_SERVICES = {"data": "data", "smsMO": "smsMo", "smsMT": "smsMt"}
Handler = Callable[[Request], Awaitable[Response]]


class BadParameterError(Exception):
    """A query parameter that the official file does not allow; the message says which and what is allowed."""


class NoAnswerError(Exception):
    """An error of 1NCE's that has a status and no body."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Simulation:
    """What a running simulated account remembers: the virtual time, the faults, tokens and the number of calls."""

    def __init__(
        self, fleet: Fleet, now: datetime, username: str, password: str, faults: Faults, live: bool = False
    ) -> None:
        self.fleet, self.cards = fleet, SimCards(fleet)
        self.back_office = BackOffice(self.cards)
        self.username, self.password = username, password
        self._live = live
        self.tokens: dict[str, float] = {}  # token -> when it was given, on the monotonic clock
        self.set_now(now)
        self.set_faults(faults)

    def set_now(self, now: datetime) -> None:
        """Move the virtual time. Raises ValueError without a time zone or before the fleet's start."""
        if now.tzinfo is None:
            raise ValueError(f"the virtual time {now} has no time zone; give one such as 2026-06-30T09:00:00Z")
        if now.astimezone(UTC).date() < self.fleet.start:
            raise ValueError(f"the virtual time {now} is before the fleet's start {self.fleet.start}; give a later one")
        self._moved = (now.astimezone(UTC), time.monotonic())

    @property
    def now(self) -> datetime:
        """The virtual time: where it was last moved to, and of a live account what has passed since."""
        moved_to, at = self._moved
        return moved_to + timedelta(seconds=time.monotonic() - at) if self._live else moved_to

    def set_faults(self, faults: Faults) -> None:
        """Change the faults, for tokens already given too; call numbers, list passes and the rate limit's window start
        afresh."""
        self.draws = FaultDraws(faults, self.fleet.seed)
        self.list_passes = 0

    def give_token(self) -> str:
        token = secrets.token_urlsafe(32)
        self.tokens = {known: given for known, given in self.tokens.items() if self.accepts(known)}
        self.tokens[token] = time.monotonic()
        return token

    def accepts(self, token: str) -> bool:
        given = self.tokens.get(token)
        return given is not None and time.monotonic() < given + self.draws.faults.token_lifetime_s


def create_app(
    fleet: Fleet,
    *,
    now: datetime,
    username: str = "demo",
    password: str = "demo",  # noqa: S107 - a simulated account has no secret
    faults: Faults | None = None,
    requests: list[tuple[float, str, str, int]] | None = None,
    live: bool = False,
) -> Starlette:
    """The simulated account as an ASGI application; `app.state.simulation` moves the time and the faults.

    requests   where to write (monotonic time, method, path with query, status) of each call to 1NCE's paths, or None
    live       let the virtual time go on at the speed of real time
    Raises ValueError when `now` has no time zone or lies before the fleet's start.
    """
    simulation = Simulation(fleet, now, username, password, faults or Faults(), live)
    one = f"{PREFIX}/v1/sims/{{iccid}}"
    routes = [
        Route(f"{PREFIX}/oauth/token", _token, methods=["POST"]),
        Route(f"{PREFIX}/v1/sims", _guarded(_sims), methods=["GET"]),
        Route(f"{PREFIX}/v1/sims/limits", _guarded(_limits), methods=["GET"]),
        Route(f"{PREFIX}/v1/sims/{{service}}/limits", _guarded(_service_limits), methods=["GET"]),
        Route(one, _guarded(_sim), methods=["GET"]),
        Route(f"{one}/status", _guarded(_status), methods=["GET"]),
        Route(f"{one}/connectivity_info", _guarded(_connectivity_info), methods=["GET"]),
        Route(f"{one}/usage", _guarded(_usage), methods=["GET"]),
        Route(f"{one}/quota/data", _guarded(_quota), methods=["GET"]),
        Route(f"{one}/quota/sms", _guarded(_quota), methods=["GET"]),
        Route(f"{one}/events", _guarded(_events), methods=["GET"]),
        Route(f"{one}/sms", _guarded(_sms), methods=["GET"]),
        Route(f"{one}/sms/{{id}}", _guarded(_one_sms), methods=["GET"]),
        Route(f"{PREFIX}/v1/products", _guarded(_products), methods=["GET"]),
        Route(f"{PREFIX}/v1/orders", _guarded(_orders), methods=["GET"]),
        Route(f"{PREFIX}/v1/orders/{{order_number}}", _guarded(_order), methods=["GET"]),
        Route(f"{PREFIX}/v1/support", _guarded(_support), methods=["GET"]),
        Route("/simulator", _about, methods=["GET"]),
        Route("/simulator/clock", _clock, methods=["POST"]),
    ]
    app = Starlette(routes=routes)
    app.state.simulation = simulation
    app.add_middleware(FaultMiddleware, prefix=PREFIX, draws=lambda: simulation.draws, requests=requests)
    return app


def _guarded(handler: Handler) -> Handler:
    """A route behind the token and, under /v1/sims, behind the rate limit; turns our exceptions into 1NCE's answers."""

    async def call(request: Request) -> Response:
        simulation: Simulation = request.app.state.simulation
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not simulation.accepts(token.strip()):
            return Response(status_code=401)
        if request.url.path.startswith(f"{PREFIX}/v1/sims"):
            wait = simulation.draws.throttled()
            if wait is not None:
                return Response(status_code=429, headers={"retry-after": str(max(1, int(-(-wait // 1))))})
        try:
            return await handler(request)
        except NoAnswerError as error:
            return Response(status_code=error.status)
        except BadParameterError as error:
            return _json({"message": str(error)}, status=400)

    return call


def _json(content: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return Response(body.encode("utf-8"), status_code=status, media_type="application/json", headers=headers)


async def _token(request: Request) -> Response:
    def refused(code: str, message: str) -> Response:
        return _json({"statusCode": 400, "errorCode": code, "message": message}, status=400)

    simulation: Simulation = request.app.state.simulation
    if not request.headers.get("content-type", "").startswith("application/json"):
        return refused("UnsupportedContentTypeError", "Content-Type not supported")
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    try:
        name, _, password = base64.b64decode(encoded, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        name = password = ""
    if scheme.lower() != "basic" or not name:
        return refused("AuthValidationError", "Auth header validation error: Missing attributes 'username'")
    if not password:
        return refused("AuthValidationError", "Auth header validation error: Missing attributes 'password'")
    try:
        body = await request.json()
    except ValueError:
        body = None
    if not isinstance(body, dict) or body.get("grant_type") != "client_credentials":
        return refused("BodyValidationError", "Request body validation error: Missing attributes 'grant_type'")
    right = secrets.compare_digest(name.encode(), simulation.username.encode())
    if not (right & secrets.compare_digest(password.encode(), simulation.password.encode())):
        return refused("BadCredentials", "User does not exist.")
    answer = {"status_code": 200, "access_token": simulation.give_token(), "token_type": "bearer", "expires_in": 3600}
    return _json(answer | {"userId": "user", "scope": "all"})


def _integer(request: Request, name: str, default: int, max_value: int | None = None) -> int:
    text = request.query_params.get(name)
    allowed = "an integer from 1" + (f" to {max_value}" if max_value else "")
    if text is None:
        return default
    if (
        not (text.isascii() and text.isdecimal())
        or len(text) > 9
        or int(text) < 1
        or (max_value and int(text) > max_value)
    ):
        raise BadParameterError(f"Parameter '{name}' must be {allowed}.")
    return int(text)


def _boolean(request: Request, name: str, default: bool) -> bool:
    text = request.query_params.get(name, str(default)).lower()
    if text not in ("true", "false"):
        raise BadParameterError(f"Parameter '{name}' must be true or false.")
    return text == "true"


def _page(request: Request, max_value: int, default: int = 10) -> tuple[int, int]:
    return _integer(request, "page", 1), _integer(request, "pageSize", default, max_value)


def _totals(page: int, size: int, shown: int, total: int) -> dict[str, str]:
    counts = {
        "x-count-per-page": shown,
        "x-current-page": page,
        "x-total-count": total,
        "x-total-pages": -(-total // size),
    }
    return {name: str(count) for name, count in counts.items()}


def _sorted_by(request: Request, allowed: set[str]) -> list[tuple[str, bool]]:
    """The sort parameter as (key, descending) pairs."""
    keys = [key.strip() for key in request.query_params.get("sort", "").split(",") if key.strip()]
    if any(key.removeprefix("-") not in allowed for key in keys):
        raise BadParameterError(f"Parameter 'sort' must list some of {', '.join(sorted(allowed))}.")
    return [(key.removeprefix("-"), key.startswith("-")) for key in keys]


async def _sims(request: Request) -> Response:
    simulation: Simulation = request.app.state.simulation
    page, size = _page(request, 100)
    cards = simulation.cards
    rows = cards.visible(simulation.now)
    for criterion in filter(None, request.query_params.get("q", "").split(",")):
        field, _, value = criterion.partition(":")
        if field.strip() not in ("imei", "ip_address"):
            raise BadParameterError("Parameter 'q' must list filters of the form imei:value or ip_address:value.")
        if field.strip() == "imei":
            texts = [f"{imei:016d}" for imei in cards.imeis_at(rows, simulation.now).tolist()]
        else:
            texts = [cards.ip_address(i) for i in rows.tolist()]
        rows = rows[np.array([text == value.strip() for text in texts], dtype=bool)]
    for key, descending in reversed(_sorted_by(request, {"imei", "ip_address"})):
        order = np.argsort(cards.imeis_at(rows, simulation.now) if key == "imei" else rows, kind="stable")
        rows = rows[order[::-1]] if descending else rows[order]
    if page == 1:
        simulation.list_passes += 1
    # a SIM that joins at the front during a pass over the pages moves every later page by one
    moved = simulation.draws.faults.duplicate_sim_across_pages and simulation.list_passes == 1 and page > 1
    begin = (page - 1) * size - moved
    shown = rows[begin : min(begin + size, len(rows) - moved)]
    return _json(cards.cards(shown, simulation.now), headers=_totals(page, size, len(shown), len(rows)))


def _known(request: Request) -> tuple[Simulation, int]:
    """The SIM of the path, or 403 for somebody else's, 404 for none, 422 for an expired one."""
    simulation: Simulation = request.app.state.simulation
    iccid = request.path_params["iccid"]
    i = simulation.fleet.index(iccid)
    if i is None:
        raise NoAnswerError(403 if iccid in simulation.fleet.foreign_iccids else 404)
    if simulation.fleet.demand.activation[i] > simulation.now.date().toordinal():
        raise NoAnswerError(404)
    if simulation.cards.expired(i, simulation.now):
        raise NoAnswerError(422)
    return simulation, i


async def _sim(request: Request) -> Response:
    simulation, i = _known(request)
    return _json(simulation.cards.cards(np.array([i]), simulation.now)[0])


async def _status(request: Request) -> Response:
    simulation, i = _known(request)
    return _json(simulation.cards.status(i, simulation.now))


async def _connectivity_info(request: Request) -> Response:
    simulation, i = _known(request)
    subscriber, ussd = _boolean(request, "subscriber", True), _boolean(request, "ussd", False)
    return _json(simulation.cards.connectivity_info(i, simulation.now, subscriber, ussd))


def months_before(day: date, months: int) -> date:
    """The same day of the month, `months` earlier, or the last day that month has."""
    month = day.year * 12 + day.month - 1 - months
    start = date(month // 12, month % 12 + 1, 1)
    following = date((month + 1) // 12, (month + 1) % 12 + 1, 1)
    return start.replace(day=min(day.day, (following - start).days))


def _day(request: Request, name: str, default: date) -> date:
    text = request.query_params.get(name)
    if text is None:
        return default
    try:
        if len(text) != 10:
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise BadParameterError(f"Parameter '{name}' must be a date in the format YYYY-MM-DD.") from None


async def _usage(request: Request) -> Response:
    simulation, i = _known(request)
    today = simulation.now.date()
    earliest = months_before(today, USAGE_MONTHS)
    first, last = _day(request, "start_dt", earliest), _day(request, "end_dt", today)
    if first > last:
        raise BadParameterError("Parameter 'start_dt' must not be after 'end_dt'.")
    body = simulation.cards.usage_body(
        i, max(first, earliest), min(last, today), simulation.now, simulation.draws.faults
    )
    return Response(body, media_type="application/json")


async def _quota(request: Request) -> Response:
    simulation, i = _known(request)
    return _json(simulation.cards.quota(i, request.url.path.rpartition("/")[2], simulation.now))


async def _events(request: Request) -> Response:
    simulation, i = _known(request)
    page, size = _page(request, 1000)
    keys = _sorted_by(request, {"timestamp", "id"})
    ticks, kinds = simulation.cards.events(i, simulation.now)
    if not keys or keys[0][1]:
        ticks, kinds = ticks[::-1], kinds[::-1]
    begin = (page - 1) * size
    events = simulation.cards.described(i, ticks[begin : begin + size], kinds[begin : begin + size])
    answer = {"events": events, "totalEvents": len(ticks), "totalPages": -(-len(ticks) // size)}
    return _json(answer, headers=_totals(page, size, len(events), len(ticks)))


async def _sms(request: Request) -> Response:
    simulation, i = _known(request)
    page, size = _page(request, 100)
    found = simulation.cards.messages(i, simulation.now)[::-1]
    shown = found[(page - 1) * size : page * size]
    return _json([simulation.cards.message(i, *message) for message in shown])


async def _one_sms(request: Request) -> Response:
    simulation, i = _known(request)
    for message in simulation.cards.messages(i, simulation.now):
        if str(message[1]) == request.path_params["id"]:
            return _json(simulation.cards.message(i, *message))
    raise NoAnswerError(404)


async def _limits(request: Request) -> Response:
    return _json(SimCards.limits())


async def _service_limits(request: Request) -> Response:
    service = _SERVICES.get(request.path_params["service"])
    if service is None:
        raise NoAnswerError(404)
    return _json(SimCards.limits((service,)))


async def _products(request: Request) -> Response:
    return _json(PRODUCTS)


async def _orders(request: Request) -> Response:
    simulation: Simulation = request.app.state.simulation
    page, size = _page(request, 10)
    keys = _sorted_by(request, {"order_number", "order_status", "order_date"})
    orders = await run_in_threadpool(simulation.back_office.orders, simulation.now)
    for key, descending in reversed(keys):
        orders.sort(key=lambda order: order[key], reverse=descending)
    return _json(orders[(page - 1) * size : page * size])


async def _order(request: Request) -> Response:
    simulation: Simulation = request.app.state.simulation
    orders = await run_in_threadpool(simulation.back_office.orders, simulation.now)
    for order in orders:
        if str(order["order_number"]) == request.path_params["order_number"]:
            return _json(order)
    raise NoAnswerError(404)


async def _support(request: Request) -> Response:
    simulation: Simulation = request.app.state.simulation
    page, size = _page(request, 100, default=1)
    tickets = await run_in_threadpool(simulation.back_office.tickets, simulation.now)
    return _json(tickets[(page - 1) * size : page * size])


async def _about(request: Request) -> Response:
    simulation: Simulation = request.app.state.simulation
    note = "A simulated 1NCE account. All data here is synthetic."
    facts = {"seed": simulation.fleet.seed, "sims": simulation.fleet.sims, "start": simulation.fleet.start.isoformat()}
    return _json({"note": note, **facts, "now": simulation.now.isoformat()})


async def _clock(request: Request) -> Response:
    simulation: Simulation = request.app.state.simulation
    try:
        body = await request.json()
        simulation.set_now(datetime.fromisoformat(body["now"]))
    except (ValueError, KeyError, TypeError) as error:
        reason = str(error) if isinstance(error, ValueError) and not isinstance(error, json.JSONDecodeError) else ""
        return _json({"message": f'Send {{"now": "2026-06-30T09:00:00Z"}}. {reason}'.strip()}, status=400)
    return _json({"now": simulation.now.isoformat()})
