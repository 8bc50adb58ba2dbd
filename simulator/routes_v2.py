"""The routes of 1NCE's v2 API over a synthetic fleet: SIMs of both platforms, without usage and without limits.

Names, types and errors follow 1NCE's official OpenAPI file. Where it leaves a choice:
- somebody else's SIM is 404, as one that is not there;
- an expired SIM goes on answering; its quotas are EXPIRED;
- events and SMS come newest first, and carry no X- headers: a page that is not full is the last one.
"""

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from simulator import account_v2
from simulator.answers import (
    PREFIX,
    NoAnswerError,
    guarded,
    integer,
    json_answer,
    listed_sims,
    paging,
    sim_change,
    topped_up,
)
from simulator.simulation import Simulation


def routes_v2() -> list[Route]:
    one = f"{PREFIX}/v2/sims/{{iccid}}"
    handlers = {
        f"{PREFIX}/v2/sims": _sims,
        one: _sim,
        f"{one}/status": _status,
        f"{one}/quota/data": _quota,
        f"{one}/quota/sms": _quota,
        f"{one}/events": _events,
        f"{one}/sms": _sms,
        f"{one}/sms/{{id}}": _one_sms,
    }
    acts = [
        Route(one, guarded(_change), methods=["PUT"]),
        Route(f"{one}/reset", guarded(_reset), methods=["POST"]),
        Route(f"{one}/topup", guarded(_top_up), methods=["POST"]),
    ]
    return [*(Route(path, guarded(handler), methods=["GET"]) for path, handler in handlers.items()), *acts]


async def _sims(request: Request) -> Response:
    simulation: Simulation = request.app.state.simulation
    return listed_sims(request, simulation.cards.visible(simulation.now))


def _known(request: Request) -> tuple[Simulation, int]:
    """The SIM of the path, or 404."""
    simulation: Simulation = request.app.state.simulation
    i = simulation.fleet.index(request.path_params["iccid"])
    if i is None or simulation.fleet.demand.activation[i] > simulation.now.date().toordinal():
        raise NoAnswerError(404)
    return simulation, i


async def _sim(request: Request) -> Response:
    simulation, i = _known(request)
    return json_answer(simulation.acts.listed(np.array([i]), simulation.now)[0])


async def _status(request: Request) -> Response:
    simulation, i = _known(request)
    return json_answer(simulation.acts.status(i, account_v2.status(simulation.cards, i, simulation.now)))


async def _quota(request: Request) -> Response:
    simulation, i = _known(request)
    service = request.url.path.rpartition("/")[2]
    known = account_v2.quota(simulation.cards, i, service, simulation.now)
    return json_answer(simulation.acts.quota(i, known, service))


async def _events(request: Request) -> Response:
    simulation, i = _known(request)
    page, size = paging(request, 1000)
    return json_answer(account_v2.events(simulation.cards, i, simulation.now, (page - 1) * size, size))


async def _sms(request: Request) -> Response:
    simulation, i = _known(request)
    page, size = integer(request, "page", 1), integer(request, "per_page", 20, 1000)
    shown = simulation.cards.messages(i, simulation.now)[::-1][(page - 1) * size : page * size]
    return json_answer([account_v2.message(simulation.cards, i, *found) for found in shown])


async def _one_sms(request: Request) -> Response:
    simulation, i = _known(request)
    for found in simulation.cards.messages(i, simulation.now):
        if str(found[1]) == request.path_params["id"]:
            return json_answer(account_v2.message(simulation.cards, i, *found))
    raise NoAnswerError(404)


async def _top_up(request: Request) -> Response:
    simulation, i = _known(request)
    return topped_up(request, simulation, i, "v2")


async def _reset(request: Request) -> Response:
    simulation, i = _known(request)
    simulation.acts.reset(i, simulation.now)
    return Response(status_code=201)


async def _change(request: Request) -> Response:
    simulation, i = _known(request)
    simulation.acts.change(i, await sim_change(request, needed=()))
    return Response(status_code=200)
