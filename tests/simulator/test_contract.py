"""Every answer of the simulated account against 1NCE's official OpenAPI files.

The files are 1NCE's and not part of this repository: SIMSIGHT_OPENAPI_DIR says where they are.
"""

import os
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import yaml
from openapi_schema_validator import OAS30Validator

from simulator.catalog import ARCHETYPES
from simulator.faults import Faults
from simulator.fleet import Fleet
from simulator.ledger import tick
from simulator.server import SimulatorServer
from tests.conftest import LOCAL

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("SIMSIGHT_OPENAPI_DIR", REPOSITORY.parent / "shared" / "domain" / "openapi"))
pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="1NCE's OpenAPI files are not here; set SIMSIGHT_OPENAPI_DIR to their folder"
)

SIM = "/v1/sims/{iccid}"
# every GET of the v1 files, with query strings worth asking
ROUTES = [
    ("sim-management", "/v1/sims", "?pageSize=100"),
    ("sim-management", "/v1/sims", "?page=2&pageSize=7&sort=ip_address,-imei"),
    ("sim-management", "/v1/sims/limits", ""),
    ("sim-management", "/v1/sims/{service}/limits", ""),
    ("product-information", "/v1/products", ""),
    ("order-management", "/v1/orders", "?page=2&sort=-order_date"),
    ("support-management", "/v1/support", "?pageSize=100"),
]
SIM_ROUTES = [
    (SIM, ""),
    (f"{SIM}/status", ""),
    (f"{SIM}/connectivity_info", "?subscriber=true&ussd=true"),
    (f"{SIM}/usage", "?start_dt=2026-01-01&end_dt=2026-06-30"),
    (f"{SIM}/quota/data", ""),
    (f"{SIM}/quota/sms", ""),
    (f"{SIM}/events", "?pageSize=1000"),
    (f"{SIM}/sms", "?pageSize=100"),
]


@cache
def official(name: str) -> dict[str, Any]:
    with (FOLDER / f"1nce-{name}-openapi.yml").open(encoding="utf-8") as file:
        return yaml.safe_load(file)


def schema_of(file: str, path: str, method: str = "get", status: str = "200") -> dict[str, Any]:
    """The schema of an answer, with the file's components beside it so that its references are found."""
    spec = official(file)
    content = spec["paths"][path][method]["responses"][status]["content"]
    media = content.get("application/json", content.get("*/*"))
    return {**media["schema"], "components": spec["components"]}


def walk(schema: dict[str, Any], value: Any, components: dict[str, Any], at: str = "") -> Iterator[str]:
    """What a schema validator lets pass: names the file does not know, and times that are none."""
    if "$ref" in schema:
        schema = components["schemas"][schema["$ref"].rpartition("/")[2]]
    if isinstance(value, dict):
        for name, inner in value.items():
            if name not in schema.get("properties", {}):
                yield f"{at}/{name} is not in the file"
            else:
                yield from walk(schema["properties"][name], inner, components, f"{at}/{name}")
    elif isinstance(value, list):
        for item in value:
            yield from walk(schema["items"], item, components, at)
    elif schema.get("format") == "date-time":
        try:
            datetime.fromisoformat(value)
        except ValueError:
            yield f"{at} is no date-time: {value}"


def problems(schema: dict[str, Any], answer: httpx.Response) -> list[str]:
    value = answer.json()
    found = [f"{list(error.absolute_path)}: {error.message}" for error in OAS30Validator(schema).iter_errors(value)]
    return found + list(walk(schema, value, schema["components"]))


def living(fleet: Fleet) -> np.ndarray:
    return np.flatnonzero(fleet.demand.expiry > datetime(2026, 7, 2).toordinal())


def varied(fleet: Fleet) -> list[str]:
    """One SIM of every archetype, an exhausted one, one topped up, one that left, one that sends SMS."""
    alive = living(fleet)
    alive = alive[fleet.demand.activation[alive] < fleet.start.toordinal()]
    chosen = [alive[fleet.demand.archetype[alive] == code][0] for code in range(len(ARCHETYPES))]
    ledger = fleet.ledger(alive, datetime(2026, 6, 30).toordinal())
    end = tick(datetime.fromisoformat("2026-06-29T00:00:00Z"))
    chosen.append(alive[(ledger.data.exceeded_at < end).any(axis=1)][0])
    chosen.append(alive[(ledger.data.credit_at[:, 1:] < end).any(axis=1)][0])
    chosen.append(alive[np.argmin(fleet.demand.churn_last[alive])])
    return [fleet.iccids[i] for i in chosen]


@pytest.mark.parametrize(("file", "path", "query"), ROUTES)
def test_an_account_call_answers_as_the_official_file_says(
    calm: httpx.Client, file: str, path: str, query: str
) -> None:
    for service in ("data", "smsMO", "smsMT") if "{service}" in path else ("",):
        answer = calm.get(path.replace("{service}", service) + query)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("application/json")
        assert answer.json()
        assert problems(schema_of(file, path), answer) == []


@pytest.mark.parametrize(("path", "query"), SIM_ROUTES)
def test_a_call_about_one_sim_answers_as_the_official_file_says(
    calm: httpx.Client, fleet: Fleet, path: str, query: str
) -> None:
    schema = schema_of("sim-management", path)
    for iccid in varied(fleet):
        answer = calm.get(path.replace("{iccid}", iccid) + query)
        assert answer.status_code == 200
        assert problems(schema, answer) == []


def test_every_get_of_the_official_v1_files_has_a_test_here() -> None:
    asked = {path for _, path, _ in ROUTES} | {path for path, _ in SIM_ROUTES}
    asked |= {f"{SIM}/sms/{{id}}", "/v1/orders/{order_number}"}
    files = ("sim-management", "product-information", "order-management", "support-management")
    listed = {path for file in files for path, calls in official(file)["paths"].items() if "get" in calls}
    assert listed == asked


def test_one_sms_and_one_order_answer_as_the_official_file_says(calm: httpx.Client, fleet: Fleet) -> None:
    iccid, listed = next(
        (iccid, found)
        for i in living(fleet)
        if (found := calm.get(f"/v1/sims/{(iccid := fleet.iccids[i])}/sms").json())
    )
    answer = calm.get(f"/v1/sims/{iccid}/sms/{listed[0]['id']}")
    assert answer.json() == listed[0]
    assert problems(schema_of("sim-management", f"{SIM}/sms/{{id}}"), answer) == []
    order = calm.get("/v1/orders").json()[0]
    answer = calm.get(f"/v1/orders/{order['order_number']}")
    assert answer.json() == order
    assert problems(schema_of("order-management", "/v1/orders/{order_number}"), answer) == []


def test_the_paging_headers_of_the_official_file_are_there_and_right(calm: httpx.Client, fleet: Fleet) -> None:
    for path, size in (("/v1/sims", 100), (f"{SIM}/events", 50)):
        answer = calm.get(path.replace("{iccid}", varied(fleet)[0]), params={"page": 2, "pageSize": size})
        names = official("sim-management")["paths"][path]["get"]["responses"]["200"]["headers"]
        shown, page, total, pages = (int(answer.headers[name]) for name in names)
        assert list(names) == ["X-Count-Per-Page", "X-Current-Page", "X-Total-Count", "X-Total-Pages"]
        assert (page, pages) == (2, -(-total // size))
        assert shown == len(answer.json() if path == "/v1/sims" else answer.json()["events"])


def test_the_token_call_answers_as_the_official_file_says(calm_server: SimulatorServer) -> None:
    url, body = f"{calm_server.base_url}/oauth/token", {"grant_type": "client_credentials"}
    answer = httpx.post(url, auth=("demo", "demo"), json=body, **LOCAL)
    assert answer.status_code == 200
    assert answer.json()["expires_in"] == 3600
    assert problems(schema_of("authorization", "/oauth/token", "post"), answer) == []
    refusals = [
        ("BadCredentials", httpx.post(url, auth=("demo", "wrong"), json=body, **LOCAL)),
        ("AuthValidationError", httpx.post(url, auth=("demo", ""), json=body, **LOCAL)),
        ("AuthValidationError", httpx.post(url, json=body, **LOCAL)),
        ("BodyValidationError", httpx.post(url, auth=("demo", "demo"), json={}, **LOCAL)),
        (
            "BodyValidationError",
            httpx.post(url, auth=("demo", "demo"), content=b"{", headers={"content-type": "application/json"}, **LOCAL),
        ),
        ("UnsupportedContentTypeError", httpx.post(url, auth=("demo", "demo"), data=body, **LOCAL)),
    ]
    for code, refusal in refusals:
        assert refusal.status_code == 400
        assert refusal.json()["errorCode"] == code
        assert problems(schema_of("authorization", "/oauth/token", "post", "400"), refusal) == []


def test_errors_have_the_status_of_the_official_file_and_no_body(
    calm_server: SimulatorServer, calm: httpx.Client, fleet: Fleet
) -> None:
    expired = fleet.iccids[int(np.argmin(fleet.demand.expiry))]
    cases = [(403, fleet.foreign_iccids[0]), (404, "8988228000000000000"), (404, "x"), (422, expired)]
    for path, query in SIM_ROUTES:
        documented = official("sim-management")["paths"][path]["get"]["responses"]
        for status, iccid in cases:
            answer = calm.get(path.replace("{iccid}", iccid) + query)
            assert (answer.status_code, answer.content) == (status, b"")
            assert documented[str(status)]["content"] == {}
        unknown = httpx.get(
            calm_server.base_url + path.replace("{iccid}", expired), headers={"authorization": "Bearer x"}, **LOCAL
        )
        assert (unknown.status_code, unknown.content) == (401, b"")
    for path in ("/v1/sims", "/v1/orders", "/v1/products", "/v1/support"):
        assert httpx.get(calm_server.base_url + path, **LOCAL).status_code == 401
    assert calm.get("/v1/orders/1").status_code == 404
    assert calm.get("/v1/sims/voice/limits").status_code == 404


def test_an_expired_sim_stays_in_the_list(calm: httpx.Client, fleet: Fleet) -> None:
    expired = int(np.argmin(fleet.demand.expiry))
    listed = calm.get("/v1/sims", params={"q": f"ip_address:100.64.0.{expired}"}).json()
    assert expired < 256
    assert [card["iccid"] for card in listed] == [fleet.iccids[expired]]


@pytest.mark.parametrize(
    "query",
    [
        "/v1/sims?page=0",
        "/v1/sims?pageSize=101",
        "/v1/sims?pageSize=ten",
        "/v1/sims?sort=label",
        "/v1/sims?q=label:x",
        f"{SIM}/events?pageSize=1001",
        f"{SIM}/sms?pageSize=101",
        f"{SIM}/usage?start_dt=2026-1-1",
        f"{SIM}/usage?start_dt=2026-06-02&end_dt=2026-06-01",
        f"{SIM}/connectivity_info?ussd=maybe",
        "/v1/orders?pageSize=11",
        "/v1/support?pageSize=101",
    ],
)
def test_a_bad_parameter_gets_400_though_the_official_files_name_no_answer_for_it(
    calm: httpx.Client, fleet: Fleet, query: str
) -> None:
    answer = calm.get(query.replace("{iccid}", varied(fleet)[0]))
    assert answer.status_code == 400
    assert "Parameter" in answer.json()["message"]


def test_the_official_files_contradict_themselves_about_selectable_limits() -> None:
    call = official("sim-management")["paths"]["/v1/sims/{service}/limits"]["get"]
    assert "list" in call["description"]
    assert call["responses"]["200"]["content"]["*/*"]["schema"] == {"$ref": "#/components/schemas/Values_for_Limits"}


def test_the_official_files_contradict_themselves_about_the_token_answer() -> None:
    answer = official("authorization")["paths"]["/oauth/token"]["post"]["responses"]["200"]["content"][
        "application/json"
    ]
    fields = official("authorization")["components"]["schemas"]["Bearer_Token_200"]["properties"]
    assert set(answer["examples"]["Success"]["value"]) - set(fields) == {"user_id", "score"}
    assert set(fields) - set(answer["examples"]["Success"]["value"]) == {"userId", "scope"}


def test_the_official_files_contradict_themselves_about_the_source_of_a_communication() -> None:
    source = official("support-management")["components"]["schemas"]["Communication"]["properties"]["type"]
    assert source["example"] not in source["enum"]


def test_the_official_files_contradict_themselves_about_paging_headers_of_orders_sms_and_support(
    calm: httpx.Client, fleet: Fleet
) -> None:
    for file, path in (
        ("order-management", "/v1/orders"),
        ("support-management", "/v1/support"),
        ("sim-management", f"{SIM}/sms"),
    ):
        call = official(file)["paths"][path]["get"]
        assert "listed in the response header" in call["parameters"][0 if "{" not in path else 1]["description"]
        assert "headers" not in call["responses"]["200"]
        assert "x-total-count" not in calm.get(path.replace("{iccid}", varied(fleet)[0])).headers


def test_the_official_files_contradict_themselves_about_text_in_unquoted_examples() -> None:
    iccid = official("sim-management")["paths"][SIM]["get"]["parameters"][0]
    assert iccid["schema"]["type"] == "string"
    assert isinstance(iccid["example"], int)


def test_an_answer_with_every_fault_of_content_differs_from_the_file_only_where_it_says(
    server: SimulatorServer, client: httpx.Client, fleet: Fleet
) -> None:
    server.set_faults(Faults(late_corrections=True, missing_zero_days=True, text_where_number=True))
    for iccid in varied(fleet):
        answer = client.get(f"/v1/sims/{iccid}/usage")
        assert problems(schema_of("sim-management", f"{SIM}/usage"), answer) == []  # "n/a" is text too
