"""Proxies of the environment: never for this machine, for the rest as they are, and a wrong one is named."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, date, datetime

import httpx
import pytest
from pydantic import SecretStr

from resources.once.client import OnceClient
from resources.proxies import ProxyUnusableError, is_loopback, proxy_options
from simulator.fleet import Fleet
from simulator.server import SimulatorServer

ELSEWHERE = "https://api.1nce.com/management-api"
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("localhost", True), ("LOCALHOST.", True), ("127.0.0.1", True), ("127.8.9.10", True), ("::1", True),
        ("api.1nce.com", False), ("128.0.0.1", False), ("localhost.example", False), ("10.0.0.1", False),
    ],
)  # fmt: skip
def test_the_addresses_of_this_machine_are_known(host: str, own: bool) -> None:
    assert is_loopback(host) == own


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("proxy", [NOWHERE, "socks5://127.0.0.1:9", "nonsense://x"])
def test_a_simulator_is_asked_directly(variable: str, proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def products(url: str) -> int:
        async with OnceClient(base_url=url, username="demo", password=SecretStr("demo")) as once:
            return len((await once.products()).items)

    monkeypatch.setenv(variable, proxy)
    with SimulatorServer(Fleet(sims=2, start=date(2026, 6, 1)), now=datetime(2026, 6, 30, 6, tzinfo=UTC)) as server:
        assert asyncio.run(products(server.base_url))


def test_1nce_is_asked_through_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", NOWHERE)
    with httpx.Client(**proxy_options(ELSEWHERE)) as client:
        assert any(client._mounts.values())


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("socks5://me:hush@127.0.0.1:9", "socksio"),
        ("ftp://127.0.0.1:9", "http://host:port"),
        ("http://", "http://host:port"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_named_by_its_variable(
    value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", value)
    with pytest.raises(ProxyUnusableError, match="ALL_PROXY") as error:
        OnceClient(base_url=ELSEWHERE, username="demo", password=SecretStr("demo"))
    assert said in str(error.value)
    assert "hush" not in str(error.value)
