"""Every route of the OpenAPI document, asked with another organization's key and ids, gives nothing of them.

A new route without a case here fails. The fixture `service` is that of test_read_routes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from resources.database.session import Database
from services.access.api_keys import SCOPES, create_key
from tests.api.test_read_routes import Service, service  # noqa: F401 - a fixture
from tests.conftest import LOCAL

NO_ORGANIZATION = {("get", "/health"), ("post", "/streams/1nce/{stream_id}")}  # no key opens these
ENDLESS = {("get", "/v1/alerts/stream")}  # test_alert_stream tries it with two organizations
# what is sent to a route with a body; {iccid} is a SIM of the other organization
BODIES: dict[str, Any] = {
    "/v1/sims/batch": {
        "iccids": ["{iccid}"],
        "include": ["state", "usage", "forecast", "exhaustion", "anomaly", "churn", "recommendation"],
    },
    "/v1/alerts/{alert_id}/acknowledge": {},
    "/v1/alerts/{alert_id}/snooze": {"until": "2099-01-12T08:00:00Z"},
    "/v1/alerts/{alert_id}/resolve": {},
    "/v1/alerts/{alert_id}/reopen": {},
    "/v1/alert-rules": {"name": "x", "metric": "usage_day_mb", "operator": ">", "threshold": 1},
    "/v1/alert-rules/replay": {"name": "x", "metric": "usage_day_mb", "operator": ">", "threshold": 1},
    "/v1/alert-rules/{rule_id}": {"enabled": False},
    "/v1/actions": {"kind": "reset", "iccid": "{iccid}", "idempotency_key": "x"},
    "/v1/bulk-actions": {"action": "set-labels", "ids": ["{iccid}"], "label": "x"},
    "/v1/bulk-actions/{bulk_id}/confirm": {},
    "/v1/sims/{iccid}/churn-actions": {"decision": "accepted", "reason": "x"},
    "/v1/recommendations/{recommendation_id}/accept": {},
    "/v1/recommendations/{recommendation_id}/dismiss": {},
    "/v1/tickets/{case_id}/correction": {"category": "billing_question"},
    "/v1/sql": {"sql": "SELECT iccid FROM core.sims_v1 WHERE iccid = '{iccid}'"},
    "/v1/report-schedules": {"name": "x", "every": "daily"},
    "/v1/report-schedules/{name}": {"paused": True},
    "/v1/keys": {"name": "x"},
    "/v1/keys/{name}/rotate": {},
    "/v1/ai/query": {"question": "usage of {iccid} yesterday"},
}
ALL_VIEWS = ("sims", "sim_usage", "usage_forecasts", "exhaustions", "anomalies", "churn_risks", "alerts", "tickets")
ALL_SETS = ("forecasts", "exhaustions", "anomalies", "churn-risks", "recommendations", "usage")
OTHERS = ("9988280666", "other-", "mlflow-other", "run-other", '"other"')


@pytest.fixture(scope="module")
def full(service: Service) -> Iterator[dict[str, httpx.Client]]:  # noqa: F811
    """A client of each organization whose key has every scope: no route is refused for want of one."""
    clients = {}
    for organization in ("default", "other"):
        database = Database(service.seeded.url, organization)
        key = create_key(database, "full", now=datetime.now(UTC), valid_for=None, scopes=SCOPES)
        database.close()
        base, headers = service.stranger.base_url, {"X-API-Key": key}
        clients[organization] = httpx.Client(base_url=base, headers=headers, timeout=30, **LOCAL)
    yield clients
    for client in clients.values():
        client.close()


# what only the other organization has: made by its own key
THEIRS = {
    "/v1/keys": {"name": "theirs"},
    "/v1/report-schedules": {"name": "theirs", "every": "daily"},
    "/v1/alert-rules": {"name": "theirs", "metric": "usage_day_mb", "operator": ">", "threshold": 100},
}


@pytest.fixture(scope="module")
def ids(service: Service, full: dict[str, httpx.Client]) -> dict[str, list[str]]:  # noqa: F811
    """Ids of the other organization by the name of the path parameter."""
    made = {path: full["other"].post(path, json=body) for path, body in THEIRS.items()}
    assert {answer.status_code for answer in made.values()} == {201}
    label = {"action": "set-labels", "ids": [service.iccid(1, "other")], "label": "new"}
    assert full["other"].post("/v1/bulk-actions", json=label).status_code == 200
    of = "WHERE organization_id = (SELECT organization_id FROM core.organizations WHERE slug = 'other') LIMIT 3"
    found = {
        "alert_id": "SELECT alert_id FROM predictions.alerts",
        "action_id": "SELECT action_id FROM ops.action_requests",
        "bulk_id": "SELECT bulk_id FROM ops.bulk_actions",
        "report_id": "SELECT report_id FROM predictions.period_reports",
        "recommendation_id": "SELECT recommendation_id FROM predictions.quota_recommendations",
    }
    stored = {name: [str(row[0]) for row in service.seeded.run(f"{query} {of}")] for name, query in found.items()}
    assert all(stored.values()), stored
    return stored | {
        "iccid": [service.iccid(1, "other")],
        "rule_id": [str(made["/v1/alert-rules"].json()["rule_id"])],
        "case_id": ["case 5"],
        "name": ["theirs"],
        "view": list(ALL_VIEWS),
        "dataset": list(ALL_SETS),
    }


def paths_of(path: str, ids: dict[str, list[str]]) -> list[str]:
    """A path with each id of the other organization in it. KeyError: say in `ids` what its parameter is."""
    if "{" not in path:
        return [path]
    before, _, rest = path.partition("{")
    name, _, after = rest.partition("}")
    return [before + value + after for value in ids[name]]


def test_every_route_gives_nothing_of_another_organization(
    service: Service,  # noqa: F811
    full: dict[str, httpx.Client],
    ids: dict[str, list[str]],
) -> None:
    before = {path: full["other"].get(path).json() for path in (*THEIRS, "/v1/bulk-actions", "/v1/sims", "/v1/alerts")}
    document = service.stranger.get("/openapi.json").json()["paths"]
    for path, verbs in document.items():
        for verb, route in verbs.items():
            if (verb, path) in NO_ORGANIZATION | ENDLESS:
                continue
            body = None
            if route.get("requestBody"):
                assert path in BODIES, f"{verb} {path}: say in BODIES what is sent to it"
                body = json.loads(json.dumps(BODIES[path]).replace("{iccid}", ids["iccid"][0]))
            parameters = {item["name"] for item in route.get("parameters", []) if item["in"] == "query"}
            queries: list[dict[str, Any]] = [{}]
            queries += [{"iccid": ids["iccid"][0]}] if "iccid" in parameters else []
            queries += [{"label": "other-1"}] if "label" in parameters else []
            for asked in paths_of(path, ids):
                assert service.stranger.request(verb, asked, json=body).status_code == 401, (verb, path)
                for query in queries:
                    answer = full["default"].request(verb, asked, json=body, params=query)
                    said = (verb, asked, query, answer.status_code, answer.text[:300])
                    assert answer.status_code < 500, said
                    if "{" in path and "{view}" not in path and "{dataset}" not in path:
                        assert answer.status_code in (403, 404, 422), said
                    text = answer.text.replace(ids["iccid"][0], "") if _echoes(answer) else answer.text
                    assert not [word for word in OTHERS if word in text], said
                    if answer.status_code == 200 and query:
                        assert answer.json()["items"] == [] if "items" in answer.text else True, said
    assert {path: full["other"].get(path).json() for path in before} == before, "nothing of theirs was changed"


def test_every_cursor_of_another_organization_gives_nothing_of_it(service: Service) -> None:  # noqa: F811
    document = service.stranger.get("/openapi.json").json()["paths"]
    walked = []
    for path, verbs in document.items():
        parameters = {item["name"] for item in verbs.get("get", {}).get("parameters", []) if item["in"] == "query"}
        if not {"after", "limit"} <= parameters:
            continue
        theirs, ours = (path.replace("{iccid}", service.iccid(1, name)) for name in ("other", "default"))
        page = service.theirs.get(theirs, params={"limit": 1})
        if page.status_code == 403:  # for administrators: test_audit tries these
            continue
        cursor = page.json()["next"]
        if cursor is None:
            continue
        walked.append(path)
        answer = service.ours.get(ours, params={"after": cursor})
        assert answer.status_code == 200, (path, answer.text)
        assert not [word for word in OTHERS if word in answer.text], path
    assert len(walked) > 9, walked


def _echoes(answer: httpx.Response) -> bool:
    """Whether the answer may name the ICCID asked for: as unknown, or in a sentence that there is no such SIM."""
    return answer.status_code != 200 or "unknown" in answer.text or "understood" in answer.text
