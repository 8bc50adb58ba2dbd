"""The client over API v1 and v2: 1NCE's own examples of v2, which version is asked, and what a 404 means."""

import os
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from resources.once import calls
from resources.once.calls import CALLS, CallBook, CallState
from resources.once.client import (
    OnceCallGoneError,
    OnceClient,
    OnceForbiddenError,
    OnceNotFoundError,
    OnceNotOnV1Error,
    OnceSimExpiredError,
)
from resources.once.records import Connectivity, Event, Quota, parse_records
from resources.once.responses import Answer, family
from tests.resources.test_once import FIRST, ICCIDS, LAST, Handler, Reply, asked, ok, sim, talking, token_or

pytestmark = pytest.mark.anyio

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("SIMSIGHT_OPENAPI_DIR", REPOSITORY.parent / "shared" / "domain" / "openapi"))
official = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="1NCE's OpenAPI files are not here; set SIMSIGHT_OPENAPI_DIR to their folder"
)
NOW = datetime(2026, 11, 27, 9, tzinfo=UTC)
ICCID = "8988280666000000000"
KNOWN, LATER = ICCIDS[0], ICCIDS[1]  # of Platform 1.0 and 2.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


# --- the official file's own examples ---


def spec() -> dict[str, Any]:
    with (FOLDER / "1nce-sim-management-v2-openapi.yml").open(encoding="utf-8") as file:
        return yaml.safe_load(file)  # type: ignore[no-any-return]


def example(schema: dict[str, Any], components: dict[str, Any]) -> Any:
    """What a schema's examples say, put together; the first of several shapes."""
    if "$ref" in schema:
        return example(components["schemas"][schema["$ref"].rpartition("/")[2]], components)
    if "example" in schema:
        return schema["example"]
    if "enum" in schema:
        return schema["enum"][0]
    if "oneOf" in schema:
        return example(schema["oneOf"][0], components)
    if schema.get("type") == "array":
        return [example(schema["items"], components)]
    if "properties" in schema:
        return {name: example(inner, components) for name, inner in schema["properties"].items()}
    return {"string": "x", "integer": 1, "number": 1.5, "boolean": True}.get(schema.get("type", ""))


def answer_to(path: str) -> Any:
    whole = spec()
    content = whole["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]
    return example(content["schema"], whole["components"])


def by_the_file(path: str) -> Reply:
    """The answer to a GET, as the official file's examples have it, about the SIM asked for."""
    asked_path = path.partition("?")[0]
    template = "/v2/sims" + "/".join(["", "{iccid}", *asked_path.split("/")[4:]] if asked_path != "/v2/sims" else [])
    assert template in spec()["paths"], asked_path
    known = spec()["paths"][template]["get"]["parameters"] if "?" in path else []
    names = {
        one.get("name") or spec()["components"]["parameters"][one["$ref"].rpartition("/")[2]]["name"] for one in known
    }
    sent = {part.partition("=")[0] for part in path.partition("?")[2].split("&") if part}
    assert sent <= names
    document = answer_to(template)
    if template.endswith("events"):
        document[0]["sim"]["iccid"] = ICCID
    if template.endswith("sms") and "quota" not in template:
        document[0]["iccid"] = ICCID
    if template == "/v2/sims/{iccid}":
        document["iccid"] = ICCID
    if template.endswith("quota/sms"):  # its example is one of data
        document |= {"volume": 249, "service": "sms"}
    return ok(document)


@official
async def test_the_official_examples_of_v2_are_understood() -> None:
    async with talking(token_or(by_the_file), calls=CallBook("v2"), now=lambda: NOW) as (served, once):
        answers: list[Answer[Any]] = [page async for page in once.sims()]
        answers += [await once.sim(ICCID), await once.status(ICCID)]
        answers += [await once.quota(ICCID, "data"), await once.quota(ICCID, "sms")]
        answers += [page async for page in once.events(ICCID, None)]
        answers += [page async for page in once.events(ICCID, NOW)]
        answers += [page async for page in once.sms(ICCID)]
        paths = asked(served, "GET")
    assert [one for answer in answers for one in answer.rejected] == []
    assert all(path.startswith("GET /v2/sims") for path in paths)
    card, _, status, data, sms, event, _, message = [item for answer in answers for item in answer.items or [None]]
    assert (card.iccid, card.status, card.quota_bytes, card.quota_sms) == (
        "8988303000123456789", "Disabled", 500_000_000, 250,
    )  # fmt: skip
    assert (status.status, status.operator, status.country, status.country_iso) == (
        "ONLINE", "T-Mobile", "Germany", "de",
    )  # fmt: skip
    assert status.located_at == datetime(2023, 8, 6, 9, 59, 5, tzinfo=UTC)
    assert status.session_started_at == datetime(2019, 12, 4, 8, 12, 2, tzinfo=UTC)
    assert (status.rat_type, status.session_mcc, status.imeisv) == ("NB-IoT", "262", "3526510721968301")
    assert (data.left, data.total, data.accumulated, data.last_added) == (
        435_787_951, 500_000_000, 100_000_000, 500_000_000,
    )  # fmt: skip
    assert data.expires_at == datetime(2029, 1, 1, tzinfo=UTC)
    assert (sms.kind, sms.left, sms.accumulated) == ("sms", 249, 100)
    assert (event.event_type, event.severity, event.imei, event.imsi) == (
        "Delete PDP Context", "INFO", "869951030000000", "901430000000114",
    )  # fmt: skip
    assert (event.operator, event.country, event.mcc) == ("x", "Germany", "262")
    assert (message.id, message.direction, message.status) == (589, "MT", "DELIVERED")


@official
def test_every_get_of_the_official_v2_file_is_a_call_or_known_as_none() -> None:
    listed = {path for path, methods in spec()["paths"].items() if "get" in methods}
    ours = {form.path for forms in CALLS.values() for version, form in forms.items() if version == "v2"}
    ours = {path.replace("{kind}", kind) for path in ours for kind in ("data", "sms")}
    assert listed - ours == {"/v2/sims/{iccid}/sms/{id}"}
    assert ours <= listed
    assert "v2" not in CALLS["usage"]


def test_a_quota_overdrawn_and_topped_up_says_all_that_was_used() -> None:
    record = {"volume": "-0.000003", "total_volume": 500, "accumulated_total_volume": "1500.500000", "service": "data"}
    (quota,), _ = parse_records(Quota, [record], iccid=ICCID, kind="data")
    assert (quota.left, quota.accumulated) == (-3, 1_500_500_000)
    (quota,), _ = parse_records(Quota, [record | {"accumulated_total_volume": "many"}], iccid=ICCID, kind="data")
    assert quota.accumulated is None
    (quota,), _ = parse_records(Quota, [{"volume": "-1.0", "accumulated_total_volume": 250.0}], iccid=ICCID, kind="sms")
    assert (quota.left, quota.accumulated) == (-1, 250)


def test_a_blocked_sim_and_the_newest_of_several_sessions() -> None:
    sessions = [{"created": "2026-01-02T00:00:00.000Z", "mnc": "02"}, {"created": "2026-01-01T00:00:00.000Z"}, None]
    record = {
        "status": {"description": "BLOCKED"},
        "pdp_contexts": sessions,
        "location": {"operator": {"name": "A1", "country": {"name": "Austria", "iso_code": "at"}}},
    }
    (blocked,), rejected = parse_records(Connectivity, [record], iccid=ICCID)
    assert rejected == []
    assert (blocked.status, blocked.session_mnc, blocked.country, blocked.country_iso) == (
        "BLOCKED", "02", "Austria", "at",
    )  # fmt: skip


def test_an_event_of_v2_that_names_another_sim_is_rejected() -> None:
    record = {"timestamp": "2026-01-01T00:00:00Z", "event_type": {"id": 3}, "sim": {"iccid": ICCIDS[5]}}
    _, (one,) = parse_records(Event, [record], iccid=ICCID)
    assert "which was asked for" in one.reason


def test_both_versions_count_against_one_limit() -> None:
    of_sims = [form.path for call in ("sims", "sim", "usage", "quota", "events") for form in CALLS[call].values()]
    assert {family(path) for path in of_sims} == {"sims"}


# --- events without an order ---


@pytest.mark.parametrize("newest_first", [True, False])
async def test_events_of_v2_are_read_to_the_end_unless_they_come_in_order(newest_first: bool) -> None:
    times = [NOW - timedelta(minutes=n) for n in range(350)]
    times = times if newest_first else times[::-1]

    def rest(path: str) -> Reply:
        assert "sort" not in path
        page = int(path.split("page=")[1].split("&", maxsplit=1)[0])
        return ok([{"timestamp": f"{t:%FT%TZ}", "event_type": {"id": 3}} for t in times[(page - 1) * 100 : page * 100]])

    async with talking(token_or(rest), calls=CallBook("v2")) as (served, once):
        since = NOW - timedelta(minutes=120)
        seen = [event.at async for page in once.events(ICCID, since) for event in page.items]
        assert sorted(seen) == sorted(t for t in times if t >= since)
        assert len(asked(served, "/v2/")) == (2 if newest_first else 4)


async def test_events_of_v2_that_are_roughly_in_order_are_read_to_what_is_known() -> None:
    times = [NOW - timedelta(minutes=n ^ 1) for n in range(1000)]  # neighbours changed places

    def rest(path: str) -> Reply:
        page = int(path.split("page=")[1].split("&", maxsplit=1)[0])
        return ok([{"timestamp": f"{t:%FT%TZ}", "event_type": {"id": 3}} for t in times[(page - 1) * 100 : page * 100]])

    async with talking(token_or(rest), calls=CallBook("v2")) as (served, once):
        since = NOW - timedelta(minutes=120)
        seen = [event.at async for page in once.events(ICCID, since) for event in page.items]
        assert sorted(seen) == sorted(t for t in times if t >= since)
        assert len(asked(served, "/v2/")) == 3


# --- which version is asked ---

MISSING: Reply = (404, {}, b'{"error_code": 1000, "error_token": "NotFound", "message": "Element not found"}')


def hybrid(
    v1: Callable[[str], Reply | None] = lambda path: None, v2: Callable[[str], Reply | None] = lambda _: None
) -> Any:
    """An account of one SIM of each platform; `v1` and `v2` answer otherwise where they answer."""

    def rest(path: str) -> Reply:
        if said := (v1 if path.startswith("/v1") else v2)(path):
            return said
        known = [KNOWN] if path.startswith("/v1") else [KNOWN, LATER]
        if path.startswith(("/v1/sims?", "/v2/sims?")):
            return ok([sim(iccid) for iccid in known])
        if not any(iccid in path for iccid in known):
            return MISSING
        return ok({"stats": []} if "/usage" in path else {"volume": 1, "status": "ONLINE"})

    return token_or(rest)


def hybrid_client(handler: Handler, api: calls.Api = "auto", **options: Any) -> Any:
    return talking(handler, **({"calls": CallBook(api), "now": lambda: NOW} | options))


async def listed(once: OnceClient) -> list[str]:
    return [card.iccid async for page in once.sims() for card in page.items]


async def test_auto_asks_v2_for_what_it_has_and_v1_for_usage() -> None:
    async with hybrid_client(hybrid()) as (served, once):
        assert await listed(once) == [KNOWN, LATER]
        await once.quota(LATER, "data")
        await once.usage(KNOWN, FIRST, LAST)
        assert [request.split("?")[0] for request in asked(served, "GET")] == [
            "GET /v2/sims", f"GET /v2/sims/{LATER}/quota/data", f"GET /v1/sims/{KNOWN}/usage",
        ]  # fmt: skip
        assert set(once.calls.states) == {("sims", "v2"), ("quota", "v2"), ("usage", "v1")}


@pytest.mark.parametrize("status", [403, 404, 410])
async def test_an_account_without_v2_goes_on_with_v1_and_v2_is_not_asked_for_a_day(status: int) -> None:
    moment = NOW
    async with hybrid_client(hybrid(v2=lambda _: (status, {}, b"")), now=lambda: moment) as (served, once):
        assert await listed(once) == [KNOWN]
        await once.status(KNOWN)
        await listed(once)
        assert len(asked(served, "/v2/")) == 1
        moment += timedelta(hours=23, minutes=59)
        await listed(once)
        assert len(asked(served, "/v2/")) == 1
        moment += timedelta(minutes=2)
        await listed(once)
        assert len(asked(served, "/v2/")) == 2
        assert once.calls.states["sims", "v2"].gone_since == NOW
        assert once.calls.states["sims", "v1"].last_success_at == moment


async def test_a_sim_that_v1_does_not_know_is_of_platform_2_where_v2_lists_it() -> None:
    async with hybrid_client(hybrid()) as (served, once):
        await listed(once)
        with pytest.raises(OnceNotOnV1Error, match=r"NotFound \(1000\): Element not found.*Platform 2\.0"):
            await once.usage(LATER, FIRST, LAST)
        with pytest.raises(OnceNotFoundError, match="Check the ICCID"):
            await once.usage(ICCIDS[9], FIRST, LAST, listed=False)
        assert once.calls.in_use("usage", NOW) == "v1"
        assert len(asked(served, "/v1/")) == 2 + 2  # the list and another SIM are asked once


async def test_a_usage_call_that_knows_nobody_is_gone_and_is_not_asked_again() -> None:
    async with hybrid_client(hybrid(v1=lambda path: MISSING if "/usage" in path else None)) as (served, once):
        await listed(once)
        with pytest.raises(OnceCallGoneError) as caught:
            async for _ in once.each([LATER, KNOWN, *ICCIDS] * 10, lambda iccid: once.usage(iccid, FIRST, LAST)):
                pass
        said = str(caught.value)
        assert said.startswith("The call for usage of API v1 is gone (GET /v1/sims/{iccid}/usage answers 404)")
        assert "simsight stream create" in said
        assert "ICCID (" not in said
        spent = len(asked(served, "/v1/"))
        assert spent <= 16 + 3
        with pytest.raises(OnceCallGoneError):
            await once.usage(KNOWN, FIRST, LAST)
        assert len(asked(served, "/v1/")) == spent
        await once.quota(KNOWN, "data")


@pytest.mark.parametrize("status", [404, 410])
async def test_v1_retired_says_so_and_never_to_check_the_iccid(status: int) -> None:
    async with hybrid_client(hybrid(v1=lambda _: (status, {}, b"gone")), "v1") as (served, once):
        for call in (once.look(), listed(once)):
            with pytest.raises(OnceCallGoneError, match=rf"API v1 is gone \(GET /v1/sims answers {status}\)") as caught:
                await call
            assert "ONCE_API=auto" in str(caught.value)
            assert "Data Streamer" in str(caught.value)
            assert "quota looks" in str(caught.value)
        for call in (once.usage(KNOWN, FIRST, LAST), once.status(KNOWN), once.products()):
            with pytest.raises(OnceCallGoneError, match="is gone") as caught:
                await call
            assert "ICCID (" not in str(caught.value)
        assert len(asked(served)) <= 5


async def test_a_call_that_ends_under_way_is_noticed() -> None:
    left = [50]

    def v1(path: str) -> Reply | None:
        left[0] -= "/usage" in path
        return MISSING if left[0] < 0 else ok({"stats": []}) if "/usage" in path else None

    async with hybrid_client(hybrid(v1=v1)) as (served, once):
        await listed(once)
        with pytest.raises(OnceCallGoneError):
            async for _ in once.each(ICCIDS, lambda iccid: once.usage(iccid, FIRST, LAST)):
                pass
        assert len(asked(served, "/usage")) <= 50 + 20 + 16 + 2


async def test_v2_has_no_usage_and_v1_is_not_asked_instead() -> None:
    async with hybrid_client(hybrid(), "v2") as (served, once):
        with pytest.raises(OnceCallGoneError, match=r"ONCE_API=v2: API v2 has no call for usage"):
            await once.usage(KNOWN, FIRST, LAST)
        with pytest.raises(OnceCallGoneError, match="products"):
            await once.products()
        assert served.requests == []


@pytest.mark.parametrize(("status", "kind"), [(403, OnceForbiddenError), (422, OnceSimExpiredError)])
async def test_a_no_to_one_sim_is_no_end_of_the_call(status: int, kind: type[Exception]) -> None:
    async with hybrid_client(hybrid(v1=lambda path: (status, {}, b"") if "/usage" in path else None)) as (_, once):
        with pytest.raises(kind):
            await once.usage(KNOWN, FIRST, LAST)
        assert once.calls.in_use("usage", NOW) == "v1"


def test_what_was_learnt_is_taken_over_and_what_is_known_better_is_kept() -> None:
    book = CallBook("auto")
    book.learn("sims", "v2", CallState(None, NOW - timedelta(hours=30), NOW - timedelta(hours=2), 404))
    assert book.in_use("sims", NOW) == book.in_use("quota", NOW) == "v1"
    book.gone("sims", "v1", NOW, 410)
    assert str(book.gone_error("sims", NOW)).startswith(
        "API v2 is gone (GET /v2/sims is gone since 2026-11-26 03:00 UTC); API v1 is gone (GET /v1/sims answers 410). "
    )
    book.answered("sims", "v2", NOW)
    book.learn("sims", "v2", CallState(None, NOW, NOW))
    assert book.in_use("sims", NOW) == "v2"
    assert book.changed == {("sims", "v1"), ("sims", "v2")}
    assert not book.list_is_whole("v1")


@pytest.mark.parametrize(
    ("day", "api", "warned"),
    [
        (date(2026, 10, 31), "auto", None),
        (date(2026, 11, 1), "auto", "in 60 days"),
        (date(2026, 12, 31), "v1", "in 0 days, and is in use for sims"),
        (date(2027, 1, 2), "auto", "was to retire on 2026-12-31, and is in use for usage"),
        (date(2026, 12, 1), "v2", None),
    ],
)
def test_the_end_of_v1_is_announced_from_60_days_before(day: date, api: calls.Api, warned: str | None) -> None:
    said = calls.v1_warning(CallBook(api), datetime(day.year, day.month, day.day, tzinfo=UTC))
    assert (said is None) if warned is None else (warned in str(said) and "Data Streamer" in str(said))
