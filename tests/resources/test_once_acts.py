"""Calls that change something: how they look, and what an answer says about their effect."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from resources.errors import UsageError
from resources.once.acting import ActingClient
from resources.once.acts import Act, act, outcome_of
from resources.once.client import OnceClient

ICCID = "8988280666000000001"
TOP_UP = Act("POST", f"/v2/sims/{ICCID}/topup")


class Body(httpx.AsyncByteStream):
    def __init__(self, content: bytes) -> None:
        self.content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.content


def test_the_client_that_ingests_cannot_act() -> None:
    assert not hasattr(OnceClient, "act")


@pytest.mark.parametrize(
    ("status", "effect"),
    [
        (200, "yes"),
        (201, "yes"),
        (302, "no"),
        (400, "no"),
        (404, "no"),
        (422, "no"),
        (429, "not sent"),
        (408, "unknown"),
        (500, "unknown"),
        (502, "unknown"),
        (504, "unknown"),
    ],
)
def test_an_answer_says_whether_it_had_its_effect(status: int, effect: str) -> None:
    assert outcome_of(status, "", "").effect == effect
    assert outcome_of(201, "https://api.1nce.com/management-api/v1/orders/1234", "").order == 1234
    assert outcome_of(201, "https://elsewhere/", "").order is None


def test_the_setting_chooses_the_version_and_a_call_that_is_in_none_is_refused() -> None:
    assert act("top_up", "auto", ICCID, {}) == TOP_UP
    assert act("top_up", "v1", ICCID, {}).path == f"/v1/sims/{ICCID}/topup"
    assert act("limits", "auto", None, {"data_limit_id": 2}).body == {"dataLimitId": 2}
    with pytest.raises(UsageError, match="ONCE_API=auto"):
        act("auto_top_up", "v2", ICCID, {"enabled": True})
    with pytest.raises(ValueError, match="digits"):
        act("reset", "auto", "../8988", {})


@pytest.mark.parametrize(
    ("failure", "effect"),
    [
        (httpx.ConnectError("refused"), "not sent"),
        (httpx.ReadTimeout("slow"), "unknown"),
        (httpx.RemoteProtocolError("cut"), "unknown"),
        (429, "not sent"),
        (503, "unknown"),
    ],
)
def test_whatever_happens_an_act_is_sent_once(failure: Any, effect: str) -> None:
    sent = []

    class Answers(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("/oauth/token"):
                return httpx.Response(200, stream=Body(b'{"access_token": "t0ken", "expires_in": 3600}'))
            sent.append(request.url.path)
            if isinstance(failure, Exception):
                raise failure
            return httpx.Response(failure, stream=Body(b"said t0ken"))

    async def one() -> Any:
        options: dict[str, Any] = {"username": "u", "password": SecretStr("p"), "requests_per_second": None}
        async with ActingClient(base_url="http://127.0.0.1/x", transport=Answers(), backoff_s=0.0, **options) as once:
            return await once.act(TOP_UP)

    outcome = asyncio.run(one())
    assert (outcome.effect, len(sent)) == (effect, 1)
    assert "t0ken" not in outcome.said
