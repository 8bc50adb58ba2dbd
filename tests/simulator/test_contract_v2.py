"""Every answer of the simulated account to API v2 against 1NCE's official OpenAPI file."""

from collections.abc import Iterator
from copy import deepcopy
from datetime import date, datetime
from functools import cache
from typing import Any

import httpx
import numpy as np
import pytest
from openapi_schema_validator import OAS30Validator

from simulator.events import EVENT_KINDS
from simulator.faults import Faults
from simulator.fleet import Fleet
from simulator.server import SimulatorServer
from tests.simulator import test_contract as v1

pytestmark = v1.pytestmark
FILE = "sim-management-v2"
SIM = "/v2/sims/{iccid}"
SIM_ROUTES = [
    (SIM, ""),
    (f"{SIM}/status", ""),
    (f"{SIM}/quota/data", ""),
    (f"{SIM}/quota/sms", ""),
    (f"{SIM}/events", "?pageSize=1000"),
    (f"{SIM}/sms", "?per_page=1000"),
]


@cache
def components() -> dict[str, Any]:
    """The file's components, where one of several shapes is enough: its own oneOf refuses what fits two of them, and
    most of them take any object."""
    found = deepcopy(v1.official(FILE)["components"])
    detail = found["schemas"]["Event"]["properties"]["detail"]
    detail["anyOf"] = detail.pop("oneOf")
    quota = found["schemas"]["EventQuotaDetail"]["properties"]["quota"]
    quota["anyOf"] = quota.pop("oneOf")
    return found


def schema_of(path: str, status: str = "200") -> dict[str, Any]:
    answer = v1.official(FILE)["paths"][path]["get"]["responses"][status]
    if "$ref" in answer:
        answer = v1.official(FILE)["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    return {**answer["content"]["application/json"]["schema"], "components": components()}


def walk(schema: dict[str, Any], value: Any, at: str = "") -> list[str]:
    """What a schema validator lets pass: names that no shape of the file knows, and times that are none."""
    if "$ref" in schema:
        schema = components()["schemas"][schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        return min((walk(shape, value, at) for shape in schema["anyOf"]), key=len)
    if isinstance(value, dict):
        known = schema.get("properties", {})
        strange = [f"{at}/{name} is not in the file" for name in value if name not in known]
        inner = [walk(known[name], each, f"{at}/{name}") for name, each in value.items() if name in known]
        return strange + [problem for problems in inner for problem in problems]
    if isinstance(value, list):
        return [problem for item in value for problem in walk(schema["items"], item, at)]
    if schema.get("format") == "date-time" and value is not None:
        try:
            datetime.fromisoformat(value)
        except ValueError:
            return [f"{at} is no date-time: {value}"]
    return []


def problems(schema: dict[str, Any], answer: httpx.Response) -> list[str]:
    value = answer.json()
    found = [f"{list(error.absolute_path)}: {error.message}" for error in OAS30Validator(schema).iter_errors(value)]
    return found + walk(schema, value)


@pytest.fixture(scope="module")
def hybrid() -> Fleet:
    return Fleet(seed=11, sims=260, start=date(2026, 1, 1), platform2_share=0.4)


@pytest.fixture(scope="module")
def hybrid_server(hybrid: Fleet) -> Iterator[SimulatorServer]:
    with SimulatorServer(hybrid, now=datetime.fromisoformat("2026-06-30T09:00:00Z")) as running:
        yield running


@pytest.fixture(scope="module")
def asked(hybrid_server: SimulatorServer) -> Iterator[httpx.Client]:
    answer = httpx.post(
        f"{hybrid_server.base_url}/oauth/token", auth=("demo", "demo"), json={"grant_type": "client_credentials"}
    )
    headers = {"authorization": f"Bearer {answer.json()['access_token']}"}
    with httpx.Client(base_url=hybrid_server.base_url, headers=headers, timeout=30) as client:
        yield client


def varied(fleet: Fleet) -> list[str]:
    """SIMs of every kind as for v1, an expired one, and some on Platform 2.0."""
    newer = np.flatnonzero(fleet.platform2 & (fleet.demand.activation < date(2026, 6, 1).toordinal()))
    return [*v1.varied(fleet), fleet.iccids[int(np.argmin(fleet.demand.expiry))], *(fleet.iccids[i] for i in newer[:8])]


@pytest.mark.parametrize("query", ["?pageSize=100", "?page=2&pageSize=7&sort=ip_address,-imei"])
def test_the_list_answers_as_the_official_file_says(asked: httpx.Client, query: str) -> None:
    answer = asked.get(f"/v2/sims{query}")
    assert answer.json()
    assert problems(schema_of("/v2/sims"), answer) == []
    headers = v1.official(FILE)["paths"]["/v2/sims"]["get"]["responses"]["200"]["headers"]
    assert all(answer.headers[name].isdecimal() for name in headers)


@pytest.mark.parametrize(("path", "query"), SIM_ROUTES)
def test_a_call_about_one_sim_answers_as_the_official_file_says(
    asked: httpx.Client, hybrid: Fleet, path: str, query: str
) -> None:
    for iccid in varied(hybrid):
        answer = asked.get(path.replace("{iccid}", iccid) + query)
        assert answer.status_code == 200
        assert problems(schema_of(path), answer) == []


def test_events_of_every_kind_answer_as_the_official_file_says(asked: httpx.Client, hybrid: Fleet) -> None:
    said: set[str] = set()
    kinds_told = {kind.type_name for kind in EVENT_KINDS} - {"SIM activation"}  # nobody joined in the last 90 days
    for i in np.flatnonzero(hybrid.demand.activation < date(2026, 6, 30).toordinal()).tolist():
        answer = asked.get(f"/v2/sims/{hybrid.iccids[i]}/events?pageSize=1000")
        kinds = {event["event_type"]["description"] for event in answer.json()}
        if kinds - said:
            assert problems(schema_of(f"{SIM}/events"), answer) == []
        said |= kinds
        if len(said) == len(kinds_told):
            break
    assert said == kinds_told


def test_every_get_of_the_official_v2_file_has_a_test_here() -> None:
    listed = {path for path, calls in v1.official(FILE)["paths"].items() if "get" in calls}
    assert listed == {"/v2/sims", f"{SIM}/sms/{{id}}"} | {path for path, _ in SIM_ROUTES}


def test_one_sms_answers_as_the_official_file_says(asked: httpx.Client, hybrid: Fleet) -> None:
    iccid, listed = next(
        (iccid, found)
        for iccid in hybrid.iccids
        if (found := asked.get(f"/v2/sims/{iccid}/sms").json()) and isinstance(found, list)
    )
    answer = asked.get(f"/v2/sims/{iccid}/sms/{listed[0]['id']}")
    assert answer.json() == listed[0]
    assert problems(schema_of(f"{SIM}/sms/{{id}}"), answer) == []


def test_errors_have_the_status_and_the_body_of_the_official_file(
    hybrid_server: SimulatorServer, asked: httpx.Client, hybrid: Fleet
) -> None:
    for path, _ in [*SIM_ROUTES, (f"{SIM}/sms/1", "")]:
        schema = schema_of(path.removesuffix("/1") + ("/{id}" if path.endswith("/1") else ""), "404")
        iccids = ["8988228000000000000", hybrid.foreign_iccids[0], "x"]
        for iccid in iccids if not path.endswith("/1") else [*iccids, hybrid.iccids[0]]:
            answer = asked.get(path.replace("{iccid}", iccid))
            assert answer.status_code == 404
            assert answer.json()["error_token"] == "NotFound"
            assert problems(schema, answer) == []
        assert httpx.get(hybrid_server.base_url + path.replace("{iccid}", hybrid.iccids[0])).status_code == 401
    for path, name in ((f"{SIM}/sms?per_page=1001", "per_page"), ("/v2/sims?pageSize=101", "pageSize")):
        answer = asked.get(path.replace("{iccid}", varied(hybrid)[0]))
        assert answer.status_code == 400
        assert name in answer.json()["message"]
        assert problems(schema_of(f"{SIM}/status", "400"), answer) == []


def test_a_broken_server_answers_500_as_the_official_file_says(
    asked: httpx.Client, hybrid_server: SimulatorServer
) -> None:
    hybrid_server.set_faults(Faults(server_error_rate=1.0))
    try:
        answers = [asked.get("/v2/sims") for _ in range(12)]
    finally:
        hybrid_server.set_faults(Faults())
    assert {answer.status_code for answer in answers} == {500, 503}
    for answer in answers:
        if answer.status_code == 500:
            assert problems(schema_of("/v2/sims", "500"), answer) == []


def test_v2_has_no_usage_and_no_limits(asked: httpx.Client, hybrid: Fleet) -> None:
    paths = v1.official(FILE)["paths"]
    assert not [path for path in paths if "usage" in path or "limits" in path]
    for path in (f"/v2/sims/{hybrid.iccids[0]}/usage", "/v2/sims/limits", "/v2/products", "/v2/orders", "/v2/support"):
        assert asked.get(path).status_code == 404


def test_the_official_file_contradicts_itself_about_the_detail_of_an_event() -> None:
    schema = {**v1.official(FILE)["components"]["schemas"]["Event"], "components": v1.official(FILE)["components"]}
    place = {"id": 74, "name": "T-Mobile", "country": {"id": 74, "name": "Germany"}}
    assert not OAS30Validator(schema).is_valid({"detail": place})  # a LocationDetail, and just as well a VpnDetail
