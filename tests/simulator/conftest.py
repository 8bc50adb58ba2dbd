"""A small synthetic account over real HTTP."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime

import httpx
import pytest

from simulator.fleet import Fleet
from simulator.server import SimulatorServer
from tests.conftest import LOCAL

START = date(2026, 1, 1)
NOW = datetime(2026, 6, 30, 9, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def fleet() -> Fleet:
    return Fleet(seed=11, sims=260, start=START)


def log_in(server: SimulatorServer) -> httpx.Client:
    """A client of one server that carries a token."""
    answer = httpx.post(
        f"{server.base_url}/oauth/token", auth=("demo", "demo"), json={"grant_type": "client_credentials"}, **LOCAL
    )
    token = answer.json()["access_token"]
    return httpx.Client(base_url=server.base_url, headers={"authorization": f"Bearer {token}"}, timeout=10, **LOCAL)


@pytest.fixture
def connect() -> Callable[[SimulatorServer], httpx.Client]:
    return log_in


@pytest.fixture(scope="session")
def calm_server(fleet: Fleet) -> Iterator[SimulatorServer]:
    """A server without faults whose time nobody moves."""
    with SimulatorServer(fleet, now=NOW) as running:
        yield running


@pytest.fixture(scope="session")
def calm(calm_server: SimulatorServer) -> Iterator[httpx.Client]:
    with log_in(calm_server) as client:
        yield client


@pytest.fixture
def server(fleet: Fleet) -> Iterator[SimulatorServer]:
    """A server of a test's own, to move and to break."""
    with SimulatorServer(fleet, now=NOW) as running:
        yield running


@pytest.fixture
def client(server: SimulatorServer) -> Iterator[httpx.Client]:
    with log_in(server) as connected:
        yield connected
