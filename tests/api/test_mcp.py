"""The MCP server over real HTTP, asked by a real MCP client: six tools, with a key, of its organization."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from sqlalchemy import URL

from api.app import create_app
from resources.ports import listen
from tests.api.conftest import _served
from tests.conftest import administer, copy_database
from tests.services.questions.conftest import NOW, Fleet

TOOLS = {"ask", "list_sims", "sim", "forecast", "alerts", "fleet_summary"}
FIRST = "8988280666000000001"
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}
ACCEPT = {"Accept": "application/json, text/event-stream"}


@dataclass
class Served:
    """The service with its MCP server, and the fleet behind it."""

    fleet: Fleet
    client: httpx.Client

    @property
    def url(self) -> str:
        return f"{str(self.client.base_url).rstrip('/')}/mcp"

    def with_client(self, use: Callable[[Client], Awaitable[Any]], organization: str = "default") -> Any:
        async def run() -> Any:
            headers = {"Authorization": f"Bearer {self.fleet.keys[organization]}"}
            async with (
                httpx2.AsyncClient(headers=headers, trust_env=False, timeout=30) as http,
                Client(streamable_http_client(self.url, http_client=http)) as client,
            ):
                return await use(client)

        return asyncio.run(run())

    def call(self, tool: str, organization: str = "default", **arguments: Any) -> Any:
        return self.with_client(lambda client: client.call_tool(tool, arguments), organization)


@pytest.fixture(scope="module")
def served(postgres: URL, template: str) -> Iterator[Served]:
    name = f"{template}_mcp_{uuid4().hex[:8]}"
    copy_database(postgres, template, name)
    url = postgres.set(database=name)
    fleet = Fleet(url)
    with listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    try:
        app = create_app(url, mcp_hosts=[f"127.0.0.1:{port}"], clock=lambda: NOW)
        with _served(app, port) as client:
            yield Served(fleet, client)
    finally:
        fleet.close()
        administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


def test_there_are_six_tools_that_read(served: Served) -> None:
    tools = served.with_client(lambda client: client.list_tools()).tools
    assert {tool.name for tool in tools} == TOOLS
    assert all(tool.annotations.read_only_hint and tool.description for tool in tools)
    ask = next(tool for tool in tools if tool.name == "ask")
    assert set(ask.input_schema["properties"]) == {"question", "language"}


def test_each_tool_answers_as_the_routes_do(served: Served) -> None:
    asked = served.call("ask", question="How many SIMs are there?").structured_content
    assert (asked["rows"], asked["understood_by"]) == ([{"value": 24}], "grammar")
    key = {"X-API-Key": served.fleet.keys["default"]}
    listed = served.call("list_sims", limit=2, state="active").structured_content
    assert listed == served.client.get("/v1/sims?limit=2&state=active", headers=key).json()
    assert len(listed["items"]) == 2
    second = served.call("list_sims", limit=2, state="active", after=listed["next"]).structured_content
    assert second["items"][0]["iccid"] > listed["items"][1]["iccid"]
    sim = served.call("sim", iccid=FIRST).structured_content
    assert sim["sim"]["iccid"] == FIRST
    assert len(sim["usage"]["items"]) == 30
    assert sim["lifecycle"]["state"] == "active"
    forecast = served.call("forecast", iccid=FIRST).structured_content
    assert len(forecast["forecast"]["items"]) == 30
    assert forecast["exhaustion"]["p50_date"] == "2026-01-13"
    alerts = served.call("alerts", severity="critical").structured_content
    assert [(one["iccid"], one["kind"]) for one in alerts["items"]] == [(FIRST, "exhaustion")]
    summary = served.call("fleet_summary").structured_content
    assert {row["state"]: row["value"] for row in summary["states"]["rows"]}["silent"] == 2
    assert summary["running_out"]["rows"] == [{"value": 2}]
    assert summary["usage"]["unit"] == "MB"
    assert sum(row["value"] for row in summary["open_alerts"]["rows"]) == 4


def test_each_key_sees_its_organization(served: Served) -> None:
    assert served.call("ask", "other", question="How many SIMs?").structured_content["rows"] == [{"value": 6}]
    listed = served.call("list_sims", "other").structured_content["items"]
    assert {one["iccid"][:2] for one in listed} == {"99"}
    lost = served.call("sim", "other", iccid=FIRST)
    assert lost.is_error
    assert "no SIM" in lost.content[0].text


def test_wrong_arguments_are_told(served: Served) -> None:
    for tool, arguments in (
        ("sim", {"iccid": "1; DROP TABLE core.sims"}),
        ("sim", {"iccid": "../../v1/sims/" + FIRST}),
        ("list_sims", {"limit": 10_000}),
        ("list_sims", {"after": "x"}),
        ("list_sims", {"state": "gone"}),
        ("alerts", {"kind": "none"}),
        ("ask", {"question": ""}),
    ):
        assert served.call(tool, **arguments).is_error, (tool, arguments)


def test_no_key_no_answer(served: Served) -> None:
    revoked = "ss_" + 43 * "x"
    for headers in ({}, {"Authorization": "Bearer guess"}, {"X-API-Key": revoked}, {"Authorization": "Basic eDp5"}):
        answer = served.client.post("/mcp", json=INITIALIZE, headers=ACCEPT | headers)
        assert answer.status_code == 401, headers
        assert "WWW-Authenticate" in answer.headers
        assert answer.headers["content-type"] == "application/problem+json"


def test_only_named_hosts_and_origins_and_posts(served: Served) -> None:
    key = ACCEPT | {"X-API-Key": served.fleet.keys["default"]}
    assert served.client.post("/mcp", json=INITIALIZE, headers=key).status_code == 200
    assert served.client.post("/mcp", json=INITIALIZE, headers=key | {"Host": "evil.example"}).status_code == 421
    origin = {"Origin": "https://evil.example"}
    assert served.client.post("/mcp", json=INITIALIZE, headers=key | origin).status_code == 403
    for method in ("GET", "DELETE", "PUT"):
        answer = served.client.request(method, "/mcp", headers=key)
        assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    long = served.client.post("/mcp", content=b" " * 200_000, headers=key | {"Content-Type": "application/json"})
    assert long.status_code == 413


def test_without_hosts_there_is_none(served: Served) -> None:
    with _served(create_app(served.fleet.url)) as client:
        key = ACCEPT | {"X-API-Key": served.fleet.keys["default"]}
        assert client.post("/mcp", json=INITIALIZE, headers=key).status_code == 404
