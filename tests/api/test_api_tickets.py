"""Support tickets over HTTP: listed, corrected by a key that may write, in its organization."""

from __future__ import annotations

from typing import Any

import httpx

CORRECTION = "/v1/tickets/case%202/correction"


def cases(client: httpx.Client, query: str = "") -> list[str]:
    return [item["case_id"].removeprefix("case ") for item in client.get(f"/v1/tickets?{query}").json()["items"]]


def test_tickets_are_listed_by_what_they_are_about_in_pages(client: httpx.Client) -> None:
    assert cases(client) == ["1", "2", "3", "4"]
    assert cases(client, "category=billing_question") == ["2", "3"]
    assert cases(client, "priority=high") == ["1"]
    assert cases(client, "to_person=true") == ["1", "4"], "one that is not sorted yet is a person's"
    assert cases(client, "status=CLOSED") == ["3"]
    assert cases(client, "iccid=8988280666000000001") == ["1", "2", "3"]
    page = client.get("/v1/tickets?limit=3")
    assert page.json()["next"] == "case 3"
    assert cases(client, "limit=3&after=case%203") == ["4"]
    assert client.get("/v1/tickets?category=odd").status_code == 422
    one = client.get("/v1/tickets/case%201").json()
    assert (one["category"], one["decided_by"]) == ("quota_exhausted", "model")
    assert (one["model_name"], one["model_version"]) == ("usage-forecaster", 3)
    assert client.get("/v1/tickets/case%205").status_code == 404


def test_a_correction_holds_at_once_and_the_newest_counts(writer: httpx.Client) -> None:
    first = writer.post(CORRECTION, json={"category": "technical_support", "by": "ann", "note": "an API question"})
    assert first.status_code == 200
    said = first.json()
    assert (said["category"], said["confidence"], said["decided_by"]) == ("technical_support", 1, "person")
    assert (said["corrected_by"], said["priority"], said["to_person"]) == ("API key ops by ann", "low", False)
    writer.post(CORRECTION, json={"category": "connectivity_issue"})
    now = writer.get("/v1/tickets/case%202").json()
    assert (now["category"], now["priority"], now["corrected_by"]) == ("connectivity_issue", "high", "API key ops")
    unsorted = writer.post("/v1/tickets/case%204/correction", json={"category": "billing_question"}).json()
    assert (unsorted["category"], unsorted["to_person"], unsorted["model_version"]) == ("billing_question", False, None)


def test_who_may_not_write_or_asks_for_what_is_not_there_changes_nothing(
    client: httpx.Client, writer: httpx.Client, stranger: httpx.Client, seeded: Any
) -> None:
    right = {"category": "technical_support"}
    assert client.post(CORRECTION, json=right).status_code == 403
    assert stranger.post(CORRECTION, json=right).status_code == 401
    assert writer.post("/v1/tickets/case%205/correction", json=right).status_code == 404, "another organization's"
    assert writer.post(CORRECTION, json={"category": "odd"}).status_code == 422
    assert writer.post(CORRECTION, json=right | {"mood": "bad"}).status_code == 422
    assert seeded.run("SELECT count(*) FROM predictions.ticket_corrections") == [(0,)]
