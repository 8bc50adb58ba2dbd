"""Actions over HTTP: a key that may act requests, another approves, and nothing is sent here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from api.app import create_app
from resources.database.session import Database
from services.access.api_keys import create_key
from services.actions.kinds import Acting
from tests.api.conftest import Seeded, Serve
from tests.conftest import LOCAL

ACTING = Acting(frozenset({"top_up", "reset"}), frozenset({"top_up"}), "auto", 950)


@pytest.fixture
def people(seeded: Seeded, serve_app: Serve) -> Iterator[dict[str, httpx.Client]]:
    """Two keys of `default` that may act, and one that may only write."""
    database = Database(seeded.url, "default")
    with ExitStack() as stack:
        base = stack.enter_context(serve_app(create_app(seeded.url, acting=ACTING))).base_url
        clients = {}
        for name, scope in (("planner", "actions"), ("boss", "actions"), ("ops", "alerts")):
            key = create_key(database, name, now=datetime.now(UTC), valid_for=None, scopes=("read", scope))
            client = httpx.Client(base_url=base, headers={"X-API-Key": key}, timeout=30, **LOCAL)
            clients[name] = stack.enter_context(client)
        database.close()
        yield clients


def test_an_action_is_shown_requested_once_and_approved_by_another_key(people: dict[str, httpx.Client]) -> None:
    planner, boss, ops = people["planner"], people["boss"], people["ops"]
    iccid = planner.get("/v1/sims").json()["items"][0]["iccid"]
    wanted = {"kind": "top_up", "iccid": iccid, "idempotency_key": "k1"}
    dry = planner.post("/v1/actions", json=wanted)
    assert (dry.status_code, dry.json()["path"], dry.json()["cost_minor"]) == (200, f"/v2/sims/{iccid}/topup", 950)
    assert (dry.json()["dry_run"], dry.json()["action_id"], dry.json()["needs_approval"]) == (True, None, True)
    assert planner.get("/v1/actions").json()["items"] == []
    assert ops.post("/v1/actions", json=wanted).status_code == 403  # a key that may write cannot spend money
    made = [planner.post("/v1/actions", json=wanted | {"dry_run": False}) for _ in range(2)]
    assert [answer.status_code for answer in made] == [200, 200]
    number = made[0].json()["action_id"]
    assert made[1].json()["action_id"] == number
    (action,) = ops.get("/v1/actions", params={"state": "requested"}).json()["items"]
    assert (action["action_id"], action["requested_by"]) == (number, "API key planner")
    path = f"/v1/actions/{number}/approve"
    assert [ops.post(path).status_code, planner.post(path).status_code] == [403, 403]
    approved = boss.post(path)
    assert (approved.status_code, approved.json()["state"]) == (200, "approved")
    assert approved.json()["decided_by"] == "API key boss"
    assert boss.post(path).status_code == 409
    assert boss.post("/v1/actions/999999/approve").status_code == 404
    other = planner.post("/v1/actions", json=wanted | {"kind": "reset", "dry_run": False})
    assert other.status_code == 409
    assert "another request" in other.json()["detail"]


@pytest.mark.parametrize(
    ("wrong", "status", "said"),
    [
        ({"kind": "disable", "dry_run": False}, 409, "switched off"),
        ({"kind": "top_up", "iccid": "8988280666000999999"}, 404, "no SIM"),
        ({"kind": "top_up", "iccid": None}, 422, "one SIM"),
        ({"kind": "top_up", "parameters": {"payment_method": "shells"}}, 422, "payment_method"),
        ({"kind": "reboot"}, 422, "kind"),
        ({"idempotency_key": ""}, 422, "idempotency_key"),
        ({"dry_run": "no"}, 422, "dry_run"),
    ],
)
def test_a_wrong_request_says_what_is_wrong(
    people: dict[str, httpx.Client], wrong: dict[str, Any], status: int, said: str
) -> None:
    planner = people["planner"]
    iccid = planner.get("/v1/sims").json()["items"][0]["iccid"]
    answer = planner.post("/v1/actions", json={"kind": "top_up", "iccid": iccid, "idempotency_key": "k"} | wrong)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert said in answer.json()["detail"]
