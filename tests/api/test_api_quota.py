"""What to do about quotas over HTTP: listed, decided on by a key that may write, in its organization; and the money."""

from __future__ import annotations

from typing import Any

import httpx


def listed(client: httpx.Client, query: str = "") -> list[str]:
    answer = client.get(f"/v1/recommendations?{query}")
    assert answer.status_code == 200, answer.text
    return [item["iccid"][-1] for item in answer.json()["items"]]


def test_recommendations_are_listed_by_their_saving_in_pages(client: httpx.Client) -> None:
    assert listed(client) == ["4", "5", "2", "3"], "the highest saving first, without those of nothing"
    assert listed(client, "action=extend") == ["4", "5", "3"]
    assert listed(client, "action=nothing") == ["1"]
    assert listed(client, "decision=open") == ["4", "5", "2", "3"]
    assert listed(client, "decision=accepted") == []
    walked, following = [], ""
    while following is not None:
        page = client.get(f"/v1/recommendations?limit=1&after={following}").json()
        walked += [item["iccid"][-1] for item in page["items"]]
        following = page["next"]
    assert walked == ["4", "5", "2", "3"]
    label = client.get("/v1/recommendations?limit=1").json()["items"][0]["label"]
    assert listed(client, f"label={label}") == ["4"]
    for query in ("after=x", "action=odd", "decision=odd", "as_of=2026-1-1"):
        assert client.get(f"/v1/recommendations?{query}").status_code == 422, query
    one = client.get("/v1/sims/8988280666000000002/quota-recommendation").json()
    assert (one["action"], one["as_of"], one["saving_minor"], one["decision"]) == ("top_up", "2026-01-10", 100, None)
    before = client.get("/v1/sims/8988280666000000002/quota-recommendation?as_of=2026-01-09").json()
    assert before["recommendation_id"] != one["recommendation_id"]
    assert client.get("/v1/sims/8988280666000000012/quota-recommendation").status_code == 404
    assert client.get("/v1/sims/7000000000000000000/quota-recommendation").status_code == 404


def test_the_money_of_the_fleet(client: httpx.Client) -> None:
    found = client.get("/v1/savings").json()
    assert (found["state"], found["note"], found["content"]["saving_minor"]) == ("ok", "default", 700)
    assert [(row["month"], row["realized_minor"]) for row in found["realized"]] == [("2025-12-01", 250)]
    assert client.get("/v1/savings?as_of=2026-01-01").status_code == 404


def test_a_decision_counts_the_newest_first(writer: httpx.Client) -> None:
    number = writer.get("/v1/recommendations?limit=1").json()["items"][0]["recommendation_id"]
    said = writer.post(f"/v1/recommendations/{number}/accept", json={"by": "ann", "reason": "ordered"}).json()
    assert (said["decision"], said["decided_by"], said["decision_reason"]) == (
        "accepted",
        "API key ops by ann",
        "ordered",
    )
    assert listed(writer, "decision=accepted") == ["4"]
    said = writer.post(f"/v1/recommendations/{number}/dismiss", json={}).json()
    assert (said["decision"], said["decided_by"], said["decision_reason"]) == ("dismissed", "API key ops", "")
    assert listed(writer, "decision=open") == ["5", "2", "3"]


def test_who_may_not_write_or_asks_for_what_is_not_there_changes_nothing(
    client: httpx.Client, writer: httpx.Client, stranger: httpx.Client, seeded: Any
) -> None:
    ((foreign,),) = seeded.run(
        "SELECT max(recommendation_id) FROM predictions.quota_recommendations WHERE organization_id = "
        "(SELECT organization_id FROM core.organizations WHERE slug <> 'default')"
    )
    number = writer.get("/v1/recommendations?limit=1").json()["items"][0]["recommendation_id"]
    for act in ("accept", "dismiss"):
        path = f"/v1/recommendations/{number}/{act}"
        assert client.post(path, json={}).status_code == 403
        assert stranger.post(path, json={}).status_code == 401
        assert writer.post(path, json={"mood": "bad"}).status_code == 422
        assert writer.post(f"/v1/recommendations/{foreign}/{act}", json={}).status_code == 404, "another organization's"
        assert writer.post(f"/v1/recommendations/999999/{act}", json={}).status_code == 404
    assert seeded.run("SELECT count(*) FROM predictions.recommendation_decisions") == [(0,)]
