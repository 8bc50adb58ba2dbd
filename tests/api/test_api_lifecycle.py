"""The life of a SIM over real HTTP: its state, its history page by page, and the SIM that is only ordered."""

from __future__ import annotations

from typing import Any

import httpx

from tests.api.test_api_routes import walk


def test_a_sim_says_the_state_of_its_life_and_since_when(client: httpx.Client, seeded: Any) -> None:
    sim = client.get(f"/v1/sims/{seeded.iccid(1)}").json()
    assert (sim["state"], sim["state_since"]) == ("silent", "2026-01-05")
    not_evaluated = client.get(f"/v1/sims/{seeded.iccid(12)}").json()
    assert (not_evaluated["state"], not_evaluated["state_since"]) == (None, None)


def test_sims_can_be_chosen_by_state(client: httpx.Client, seeded: Any) -> None:
    assert [item["iccid"] for item in walk(client, "/v1/sims", state="silent")] == [seeded.iccid(1), seeded.iccid(2)]
    active = walk(client, "/v1/sims", state="active", status="Enabled", limit=2)
    assert [item["iccid"] for item in active] == [seeded.iccid(n) for n in (3, 5, 6)]
    assert walk(client, "/v1/sims", state="expired") == []


def test_the_life_of_a_sim_is_its_history_newest_last(client: httpx.Client, seeded: Any) -> None:
    answer = client.get(f"/v1/sims/{seeded.iccid(2)}/lifecycle").json()
    assert (answer["iccid"], answer["next"]) == (seeded.iccid(2), None)
    assert (answer["state"], answer["since"], answer["evidence"]) == ("silent", "2026-01-05", "seeded")
    assert [(item["occurred_on"], item["kind"], item["from_value"], item["to_value"]) for item in answer["items"]] == [
        ("2025-12-01", "state", None, "activated"),
        ("2025-12-01", "state", "activated", "active"),
        ("2025-12-10", "country_change", "Germany", "Italy"),
        ("2025-12-21", "top_up", None, "data"),
        ("2026-01-05", "state", "active", "silent"),
    ]
    assert answer["items"][-1] | {"kind": "", "occurred_on": ""} == {
        "occurred_on": "",
        "kind": "",
        "from_value": "active",
        "to_value": "silent",
        "evidence": "default-2 entry 35",
        "as_of": "2026-01-10",
        "decided_by": "state machine 1",
        "decided_at": "2026-01-12T02:00:00Z",
    }


def test_a_long_life_comes_in_pages_that_meet_every_entry_once(client: httpx.Client, seeded: Any) -> None:
    path = f"/v1/sims/{seeded.iccid(1)}/lifecycle"
    whole = client.get(path).json()["items"]
    for limit in (1, 2, 4):
        assert walk(client, path, limit=limit) == whole


def test_a_sim_that_is_not_evaluated_yet_has_no_state_and_no_history(client: httpx.Client, seeded: Any) -> None:
    answer = client.get(f"/v1/sims/{seeded.iccid(9)}/lifecycle").json()
    assert (answer["state"], answer["items"]) == (None, [])


def test_an_ordered_sim_is_answered_and_no_other_organizations(client: httpx.Client) -> None:
    ordered = "8988280666000000077"
    life = client.get(f"/v1/sims/{ordered}/lifecycle").json()
    assert (life["state"], life["since"], life["items"]) == ("ordered", "2026-01-08", [])
    assert life["evidence"] == "In order 7 of 2026-01-08, not in the SIM list yet."
    sim = client.get(f"/v1/sims/{ordered}").json()
    assert (sim["state"], sim["state_since"], sim["status"]) == ("ordered", "2026-01-08", None)
    assert walk(client, "/v1/sims", state="ordered", limit=1) == [sim]
    assert walk(client, "/v1/sims", state="ordered", label="pump") == []
    for tail in ("", "/lifecycle"):
        assert client.get(f"/v1/sims/9988280666000000077{tail}").status_code == 404
