"""Questions over HTTP: with a key, of its organization, at both addresses."""

from __future__ import annotations

import httpx


def test_a_question_is_answered_at_both_addresses(client: httpx.Client) -> None:
    for path in ("/v1/ai/query", "/ai/query"):
        said = client.post(path, json={"question": "How many SIMs are there?"}).json()
        assert said["understood"]
        assert said["rows"] == [{"value": 12}]
        assert said["question"]["metric"] == "sims"
        assert said["chart"] == "number"
    german = client.post("/ai/query", json={"question": "SIMs nach Status", "language": "de"}).json()
    assert {row["state"]: row["value"] for row in german["rows"]} == {"active": 4, "silent": 2, None: 6}


def test_what_is_not_understood_is_an_answer(client: httpx.Client) -> None:
    answer = client.post("/v1/ai/query", json={"question": "what is the meaning of life"})
    assert answer.status_code == 200
    assert not answer.json()["understood"]
    assert answer.json()["rows"] == []
    assert answer.json()["examples"]


def test_only_keys_ask_and_only_questions(client: httpx.Client, stranger: httpx.Client) -> None:
    assert stranger.post("/ai/query", json={"question": "How many SIMs?"}).status_code == 401
    assert client.post("/ai/query", json={"question": ""}).status_code == 422
    assert client.post("/ai/query", json={"question": "How many SIMs?", "sql": "SELECT 1"}).status_code == 422
    assert client.post("/ai/query", json={"question": "x" * 2001}).status_code == 422
    assert client.post("/ai/query", content=b"{", headers={"Content-Type": "application/json"}).status_code == 400
    assert client.post("/ai/query", content=b"x" * 1_100_000).status_code == 413
    odd = client.post(
        "/ai/query", content=b'{"question": "\\u0000 \\ud800 SIMs"}', headers={"Content-Type": "application/json"}
    )
    assert odd.status_code in (200, 400, 422)
