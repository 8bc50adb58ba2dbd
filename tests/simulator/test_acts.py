"""What acting calls do to the simulated account: as 1NCE's OpenAPI files have them, and never idempotent."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from resources.once.acts import ACTS, act
from simulator.faults import Faults
from simulator.fleet import Fleet
from simulator.server import SimulatorServer
from tests.conftest import LOCAL
from tests.simulator import test_contract as v1

NOW = datetime(2025, 9, 24, 6, tzinfo=UTC)
PARAMETERS: dict[str, dict[str, Any]] = {"auto_top_up": {"enabled": True}, "limits": {"data_limit_id": 2}}


@pytest.fixture(scope="module")
def server() -> Iterator[SimulatorServer]:
    fleet = Fleet(seed=4, sims=24, start=(NOW - timedelta(days=180)).date())
    with SimulatorServer(fleet, now=NOW) as opened:
        yield opened


@pytest.fixture
def client(server: SimulatorServer) -> Iterator[httpx.Client]:
    body = {"grant_type": "client_credentials"}
    token = httpx.post(f"{server.base_url}/oauth/token", auth=("demo", "demo"), json=body, **LOCAL).json()
    headers = {"Authorization": f"Bearer {token['access_token']}"}
    with httpx.Client(base_url=server.base_url, headers=headers, **LOCAL) as opened:
        yield opened


@v1.pytestmark
@pytest.mark.parametrize(("kind", "version"), [(kind, version) for kind, forms in ACTS.items() for version in forms])
def test_each_call_is_in_the_official_file_and_answered_as_it_says(
    client: httpx.Client, server: SimulatorServer, kind: str, version: Any
) -> None:
    method, path = ACTS[kind][version]
    official = v1.official("sim-management" if version == "v1" else "sim-management-v2")["paths"][path]
    iccid = None if kind == "limits" else client.get(f"/{version}/sims").json()[0]["iccid"]
    call = act(kind, version, iccid, PARAMETERS.get(kind, {}))
    before = len(server.booked)
    answer = client.request(call.method, call.path, params=call.query, json=call.body)
    assert str(answer.status_code) in official[method.lower()]["responses"]
    assert (answer.is_success, len(server.booked)) == (True, before + 1)


def test_a_top_up_twice_is_two_orders_and_twice_the_volume(client: httpx.Client) -> None:
    iccid = client.get("/v2/sims").json()[1]["iccid"]
    before = client.get(f"/v2/sims/{iccid}/quota/data").json()
    where = [client.post(f"/v2/sims/{iccid}/topup").headers["location"] for _ in range(2)]
    after = client.get(f"/v2/sims/{iccid}/quota/data").json()
    assert after["volume"] == pytest.approx(before["volume"] + 1000)
    assert after["accumulated_total_volume"] == before["accumulated_total_volume"] + 1000
    assert after["total_volume"] == pytest.approx(after["volume"])  # what was left, and the top-up
    numbers = [int(one.rpartition("/")[2]) for one in where]
    orders = [client.get(f"/v1/orders/{number}").json() for number in numbers]
    assert [(order["order_type"], order["sims"][0]["iccid"]) for order in orders] == [("TOPUP", iccid)] * 2
    assert numbers[0] != numbers[1]
    assert client.post(f"/v2/sims/{iccid}/topup?payment_method=shells").status_code == 400


def test_an_answer_can_be_lost_after_the_booking(client: httpx.Client, server: SimulatorServer) -> None:
    iccid = client.get("/v2/sims").json()[2]["iccid"]
    before = len(server.booked)
    server.set_faults(Faults(lost_answer_rate=1.0, slow_seconds=0.5))
    with pytest.raises(httpx.ReadTimeout):
        client.post(f"/v2/sims/{iccid}/topup", timeout=0.1)
    assert server.booked[before:] == [("top_up", iccid)]
    assert client.get("/v2/sims").status_code == 200  # what only reads is heard
    server.set_faults(Faults())
