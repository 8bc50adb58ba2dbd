"""The routes of 1NCE's v1 API over a synthetic fleet, with its paging, errors and, on request, faults.

The routes of v2 are those of `simulator.routes_v2`.
Names, types, limits and errors follow 1NCE's official OpenAPI files. Where they leave a choice:
- an expired SIM answers 422 to every call about one SIM (each lists it) and stays in the list;
- 403, 404 and 422 have no body, as in the files; a bad parameter, for which no GET names an answer, gets 400
  {"message"};
- a SIM on Platform 2.0 is missing in v1's list and 404 in its calls about one SIM;
- from the day that v1 is retired on every path under /v1/ answers 410, with a token or without;
- orders, SMS and support carry no X- headers: the files promise them in words only;
- /simulator, /simulator/clock and /simulator/stream are ours and outside 1NCE's paths.
"""

import base64
import binascii
import json
import secrets
from datetime import date, datetime
from email.utils import format_datetime

import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from simulator.acts import LIMITS
from simulator.answers import (
    PREFIX,
    BadParameterError,
    NoAnswerError,
    body_of,
    boolean,
    guarded,
    json_answer,
    listed_sims,
    paging,
    sim_change,
    sorted_by,
    topped_up,
    totals,
)
from simulator.faults import FaultMiddleware, Faults
from simulator.fleet import Fleet
from simulator.orders_tickets import PRODUCTS
from simulator.routes_v2 import routes_v2
from simulator.simulation import Simulation

USAGE_MONTHS = 6
_SERVICES = {"data": "data", "smsMO": "smsMo", "smsMT": "smsMt"}


def create_app(
    fleet: Fleet,
    *,
    now: datetime,
    username: str = "demo",
    password: str = "demo",  # noqa: S107 - a simulated account has no secret
    faults: Faults | None = None,
    requests: list[tuple[float, str, str, int]] | None = None,
    live: bool = False,
    v1_until: date | None = None,
) -> Starlette:
    """The simulated account as an ASGI application; `app.state.simulation` moves the time and the faults.

    requests   where to write (monotonic time, method, path with query, status) of each call to 1NCE's paths, or None
    live       let the virtual time go on at the speed of real time
    v1_until   the day from which on, in virtual time, API v1 is gone; None for never
    Raises ValueError when `now` has no time zone or lies before the fleet's start.
    """
    simulation = Simulation(fleet, now, username, password, faults or Faults(), live, v1_until)
    one = f"{PREFIX}/v1/sims/{{iccid}}"
    routes = [
        Route(f"{PREFIX}/oauth/token", _token, methods=["POST"]),
        Route(f"{PREFIX}/v1/sims", guarded(_sims), methods=["GET"]),
        Route(f"{PREFIX}/v1/sims/limits", guarded(_limits), methods=["GET"]),
        Route(f"{PREFIX}/v1/sims/{{service}}/limits", guarded(_service_limits), methods=["GET"]),
        Route(one, guarded(_sim), methods=["GET"]),
        Route(f"{one}/status", guarded(_status), methods=["GET"]),
        Route(f"{one}/connectivity_info", guarded(_connectivity_info), methods=["GET"]),
        Route(f"{one}/usage", guarded(_usage), methods=["GET"]),
        Route(f"{one}/quota/data", guarded(_quota), methods=["GET"]),
        Route(f"{one}/quota/sms", guarded(_quota), methods=["GET"]),
        Route(f"{one}/events", guarded(_events), methods=["GET"]),
        Route(f"{one}/sms", guarded(_sms), methods=["GET"]),
        Route(f"{one}/sms/{{id}}", guarded(_one_sms), methods=["GET"]),
        Route(f"{PREFIX}/v1/products", guarded(_products), methods=["GET"]),
        Route(f"{PREFIX}/v1/orders", guarded(_orders), methods=["GET"]),
        Route(f"{PREFIX}/v1/orders/{{order_number}}", guarded(_order), methods=["GET"]),
        Route(f"{PREFIX}/v1/support", guarded(_support), methods=["GET"]),
        Route(f"{PREFIX}/v1/sims/limits", guarded(_set_limits), methods=["POST"]),
        Route(f"{PREFIX}/v1/sims/autoTopup", guarded(_auto_topup), methods=["POST"]),
        Route(one, guarded(_change), methods=["PUT"]),
        Route(f"{one}/reset", guarded(_reset), methods=["POST"]),
        Route(f"{one}/topup", guarded(_top_up), methods=["POST"]),
        *routes_v2(),
        Route("/simulator", _about, methods=["GET"]),
        Route("/simulator/clock", _clock, methods=["POST"]),
    ]
    app = Starlette(routes=routes)
    app.state.simulation = simulation
    app.add_middleware(_Retired, simulation=simulation)
    app.add_middleware(FaultMiddleware, prefix=PREFIX, draws=lambda: simulation.draws, requests=requests)
    return app


class _Retired:
    """Answers 410 for API v1 once it is gone."""

    def __init__(self, app: ASGIApp, simulation: Simulation) -> None:
        self.app, self.simulation = app, simulation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone = scope["type"] == "http" and scope["path"].startswith(f"{PREFIX}/v1/") and self.simulation.is_v1_retired
        if not gone:
            await self.app(scope, receive, send)
            return
        message = f"API v1 was retired on {self.simulation.v1_until}. Use API v2."
        await json_answer({"message": message}, status=410)(scope, receive, send)


async def _token(request: Request) -> Response:
    def refused(code: str, message: str) -> Response:
        return json_answer({"statusCode": 400, "errorCode": code, "message": message}, status=400)

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
    response = json_answer(answer | {"userId": "user", "scope": "all"})
    if getattr(request.app.state, "tells_time", False):
        response.headers["Date"] = format_datetime(simulation.now, usegmt=True)
    return response


async def _sims(request: Request) -> Response:
    simulation: Simulation = request.app.state.simulation
    rows = simulation.cards.visible(simulation.now)
    return listed_sims(request, rows[~simulation.fleet.platform2[rows]])


def _known(request: Request) -> tuple[Simulation, int]:
    """The SIM of the path, or 403 for somebody else's, 404 for none, 422 for an expired one."""
    simulation: Simulation = request.app.state.simulation
    return simulation, _sim_of(simulation, request.path_params["iccid"])


def _sim_of(simulation: Simulation, iccid: str) -> int:
    i = simulation.fleet.index(iccid)
    if i is None:
        raise NoAnswerError(403 if iccid in simulation.fleet.foreign_iccids else 404)
    if simulation.fleet.platform2[i]:
        raise NoAnswerError(404)
    if simulation.fleet.demand.activation[i] > simulation.now.date().toordinal():
        raise NoAnswerError(404)
    if simulation.cards.expired(i, simulation.now):
        raise NoAnswerError(422)
    return i


async def _sim(request: Request) -> Response:
    simulation, i = _known(request)
    return json_answer(simulation.acts.listed(np.array([i]), simulation.now)[0])


async def _status(request: Request) -> Response:
    simulation, i = _known(request)
    return json_answer(simulation.acts.status(i, simulation.cards.status(i, simulation.now)))


async def _connectivity_info(request: Request) -> Response:
    simulation, i = _known(request)
    subscriber, ussd = boolean(request, "subscriber", True), boolean(request, "ussd", False)
    return json_answer(simulation.cards.connectivity_info(i, simulation.now, subscriber, ussd))


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
    service = request.url.path.rpartition("/")[2]
    return json_answer(simulation.acts.quota(i, simulation.cards.quota(i, service, simulation.now), service))


async def _events(request: Request) -> Response:
    simulation, i = _known(request)
    page, size = paging(request, 1000)
    keys = sorted_by(request, {"timestamp", "id"})
    ticks, kinds = simulation.cards.events(i, simulation.now)
    if not keys or keys[0][1]:
        ticks, kinds = ticks[::-1], kinds[::-1]
    begin = (page - 1) * size
    events = simulation.cards.described(i, ticks[begin : begin + size], kinds[begin : begin + size])
    answer = {"events": events, "totalEvents": len(ticks), "totalPages": -(-len(ticks) // size)}
    return json_answer(answer, headers=totals(page, size, len(events), len(ticks)))


async def _sms(request: Request) -> Response:
    simulation, i = _known(request)
    page, size = paging(request, 100)
    found = simulation.cards.messages(i, simulation.now)[::-1]
    shown = found[(page - 1) * size : page * size]
    return json_answer([simulation.cards.message(i, *message) for message in shown])


async def _one_sms(request: Request) -> Response:
    simulation, i = _known(request)
    for message in simulation.cards.messages(i, simulation.now):
        if str(message[1]) == request.path_params["id"]:
            return json_answer(simulation.cards.message(i, *message))
    raise NoAnswerError(404)


async def _limits(request: Request) -> Response:
    simulation: Simulation = request.app.state.simulation
    return json_answer(simulation.acts.limits())


async def _service_limits(request: Request) -> Response:
    service = _SERVICES.get(request.path_params["service"])
    if service is None:
        raise NoAnswerError(404)
    simulation: Simulation = request.app.state.simulation
    return json_answer(simulation.acts.limits((service,)))


async def _products(request: Request) -> Response:
    return json_answer(PRODUCTS)


async def _orders(request: Request) -> Response:
    simulation: Simulation = request.app.state.simulation
    page, size = paging(request, 10)
    keys = sorted_by(request, {"order_number", "order_status", "order_date"})
    orders = await run_in_threadpool(simulation.orders)
    for key, descending in reversed(keys):
        orders.sort(key=lambda order: order[key], reverse=descending)
    return json_answer(orders[(page - 1) * size : page * size])


async def _order(request: Request) -> Response:
    simulation: Simulation = request.app.state.simulation
    orders = await run_in_threadpool(simulation.orders)
    for order in orders:
        if str(order["order_number"]) == request.path_params["order_number"]:
            return json_answer(order)
    raise NoAnswerError(404)


async def _top_up(request: Request) -> Response:
    simulation, i = _known(request)
    return topped_up(request, simulation, i, "v1")


async def _reset(request: Request) -> Response:
    simulation, i = _known(request)
    simulation.acts.reset(i, simulation.now)
    return Response(status_code=201)


async def _change(request: Request) -> Response:
    """A PUT sets everything: an IMEI lock that is not named is off, as the official file's default says."""
    simulation, i = _known(request)
    simulation.acts.change(i, {"imei_lock": False} | await sim_change(request, needed=("iccid", "status")))
    return Response(status_code=200)


async def _auto_topup(request: Request) -> Response:
    simulation: Simulation = request.app.state.simulation
    body = await body_of(request)
    iccids, enabled = body.get("iccids"), body.get("enabled")
    if not isinstance(iccids, list) or not iccids or not isinstance(enabled, bool):
        raise BadParameterError("Wrong or missing: iccids, enabled.")
    simulation.acts.set_auto_topup([_sim_of(simulation, str(iccid)) for iccid in iccids], enabled)
    return Response(status_code=201)


async def _set_limits(request: Request) -> Response:
    simulation: Simulation = request.app.state.simulation
    body = await body_of(request)
    names = {"dataLimitId": "data", "smsMtLimitId": "smsMt", "smsMoLimitId": "smsMo"}
    if not body or any(name not in names or type(value) is not int for name, value in body.items()):
        raise BadParameterError(f"Give some of {', '.join(names)}.")
    if any(value not in LIMITS for value in body.values()):
        raise NoAnswerError(404)
    simulation.acts.set_limits({names[name]: value for name, value in body.items()})
    return Response(status_code=201)


async def _support(request: Request) -> Response:
    simulation: Simulation = request.app.state.simulation
    page, size = paging(request, 100, default=1)
    tickets = await run_in_threadpool(simulation.back_office.tickets, simulation.now)
    return json_answer(tickets[(page - 1) * size : page * size])


async def _about(request: Request) -> Response:
    simulation: Simulation = request.app.state.simulation
    note = "A simulated 1NCE account. All data here is synthetic."
    fleet = simulation.fleet
    facts = {
        "seed": fleet.seed,
        "sims": fleet.sims,
        "start": fleet.start.isoformat(),
        "now": simulation.now.isoformat(),
    }
    versions = {
        "platform2_share": fleet.platform2_share,
        "v1_until": None if simulation.v1_until is None else simulation.v1_until.isoformat(),
        "stream": simulation.stream,
    }
    return json_answer({"note": note} | facts | versions)


async def _clock(request: Request) -> Response:
    simulation: Simulation = request.app.state.simulation
    try:
        body = await request.json()
        simulation.set_now(datetime.fromisoformat(body["now"]))
    except (ValueError, KeyError, TypeError) as error:
        reason = str(error) if isinstance(error, ValueError) and not isinstance(error, json.JSONDecodeError) else ""
        return json_answer({"message": f'Send {{"now": "2026-06-30T09:00:00Z"}}. {reason}'.strip()}, status=400)
    return json_answer({"now": simulation.now.isoformat()})
