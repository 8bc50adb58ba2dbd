"""What the routes of API v1 and v2 share: parameters, the token and the rate limit, and the list of SIMs."""

from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import orjson
from starlette.requests import Request
from starlette.responses import Response

from simulator.faults import error_v2
from simulator.hashing import Ints
from simulator.simulation import Simulation

PREFIX = "/management-api"
Handler = Callable[[Request], Awaitable[Response]]


class BadParameterError(Exception):
    """A query parameter that the official file does not allow; the message says which and what is allowed."""


class NoAnswerError(Exception):
    """An error of 1NCE's that has a status and no body."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def guarded(handler: Handler) -> Handler:
    """A route behind the token and, for SIMs, behind the rate limit that v1 and v2 have together; turns our exceptions
    into 1NCE's answers."""

    async def call(request: Request) -> Response:
        simulation: Simulation = request.app.state.simulation
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not simulation.accepts(token.strip()):
            return Response(status_code=401)
        if request.url.path.startswith((f"{PREFIX}/v1/sims", f"{PREFIX}/v2/sims")):
            wait = simulation.draws.throttled()
            if wait is not None:
                return Response(status_code=429, headers={"retry-after": str(max(1, int(-(-wait // 1))))})
        of_v2 = request.url.path.startswith(f"{PREFIX}/v2/")
        try:
            return await handler(request)
        except NoAnswerError as error:
            return (
                json_answer(error_v2(error.status), status=error.status)
                if of_v2
                else Response(status_code=error.status)
            )
        except BadParameterError as error:
            body = error_v2(400, str(error)) if of_v2 else {"message": str(error)}
            return json_answer(body, status=400)

    return call


def json_answer(content: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(content), status_code=status, media_type="application/json", headers=headers)


def integer(request: Request, name: str, default: int, max_value: int | None = None) -> int:
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


def boolean(request: Request, name: str, default: bool) -> bool:
    text = request.query_params.get(name, str(default)).lower()
    if text not in ("true", "false"):
        raise BadParameterError(f"Parameter '{name}' must be true or false.")
    return text == "true"


def paging(request: Request, max_value: int, default: int = 10) -> tuple[int, int]:
    return integer(request, "page", 1), integer(request, "pageSize", default, max_value)


def totals(page: int, size: int, shown: int, total: int) -> dict[str, str]:
    counts = {
        "x-count-per-page": shown,
        "x-current-page": page,
        "x-total-count": total,
        "x-total-pages": -(-total // size),
    }
    return {name: str(count) for name, count in counts.items()}


def sorted_by(request: Request, allowed: set[str]) -> list[tuple[str, bool]]:
    """The sort parameter as (key, descending) pairs."""
    keys = [key.strip() for key in request.query_params.get("sort", "").split(",") if key.strip()]
    if any(key.removeprefix("-") not in allowed for key in keys):
        raise BadParameterError(f"Parameter 'sort' must list some of {', '.join(sorted(allowed))}.")
    return [(key.removeprefix("-"), key.startswith("-")) for key in keys]


def listed_sims(request: Request, rows: Ints) -> Response:
    """The page of the account's SIM cards that was asked for, out of `rows`."""
    simulation: Simulation = request.app.state.simulation
    page, size = paging(request, 100)
    cards = simulation.cards
    for criterion in filter(None, request.query_params.get("q", "").split(",")):
        field, _, value = criterion.partition(":")
        if field.strip() not in ("imei", "ip_address"):
            raise BadParameterError("Parameter 'q' must list filters of the form imei:value or ip_address:value.")
        if field.strip() == "imei":
            texts = [f"{imei:016d}" for imei in cards.imeis_at(rows, simulation.now).tolist()]
        else:
            texts = [cards.ip_address(i) for i in rows.tolist()]
        rows = rows[np.array([text == value.strip() for text in texts], dtype=bool)]
    for key, descending in reversed(sorted_by(request, {"imei", "ip_address"})):
        order = np.argsort(cards.imeis_at(rows, simulation.now) if key == "imei" else rows, kind="stable")
        rows = rows[order[::-1]] if descending else rows[order]
    if page == 1:
        simulation.list_passes += 1
    # a SIM that joins at the front during a pass over the pages moves every later page by one
    moved = simulation.draws.faults.duplicate_sim_across_pages and simulation.list_passes == 1 and page > 1
    begin = (page - 1) * size - moved
    shown = rows[begin : min(begin + size, len(rows) - moved)]
    return json_answer(simulation.acts.listed(shown, simulation.now), headers=totals(page, size, len(shown), len(rows)))


PAYMENT_METHODS = ("banktransfer", "creditcard", "monthlyinvoice", "boleto")


def topped_up(request: Request, simulation: Simulation, i: int, version: str) -> Response:
    """Book a top-up of a SIM, and say where its order is."""
    if request.query_params.get("payment_method", "banktransfer") not in PAYMENT_METHODS:
        return json_answer({"message": "Payment method used is not valid."}, status=400)
    number = simulation.acts.top_up(i, simulation.now)
    where = f"https://api.1nce.com{PREFIX}/{version}/orders/{number}"
    return Response(status_code=201, headers={"location": where})


async def body_of(request: Request) -> dict[str, Any]:
    """The JSON object of a request. Raises BadParameterError."""
    try:
        body = orjson.loads(await request.body())
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise BadParameterError("The body must be a JSON object.")
    return body


async def sim_change(request: Request, *, needed: tuple[str, ...]) -> dict[str, Any]:
    """What a PUT of a SIM sets. Raises BadParameterError."""
    body = await body_of(request)
    kinds = {"iccid": str, "status": str, "label": str, "imei_lock": bool}
    wrong = [name for name in needed if name not in body]
    wrong += [name for name, value in body.items() if not isinstance(value, kinds.get(name, ()))]
    if wrong or body.get("status", "Enabled") not in ("Enabled", "Disabled"):
        raise BadParameterError(f"Wrong or missing: {', '.join(wrong or ['status'])}.")
    return {name: value for name, value in body.items() if name != "iccid"}
