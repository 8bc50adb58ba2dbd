"""Answers are made straight from rows: what every route writes is held against its documented model."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
import pytest
from fastapi import Response
from pydantic import BaseModel
from sqlalchemy import URL
from starlette.types import Receive, Scope, Send

from api.app import Guards, create_app
from api.database import InvalidKeyError
from api.direct import ASIDE_BYTES
from api.readers import Readers
from api.reuse import MAX_ANSWER_BYTES, MAX_BYTES, Reuse
from api.schemas.alerts import Alert, AlertHistory, AlertPage
from api.schemas.anomalies import AnomalyPage, IncidentPage
from api.schemas.predictions import ExhaustionOfSim, ExhaustionPage, Forecast
from api.schemas.quota import RecommendationOfSim, RecommendationPage, Savings
from api.schemas.sims import Lifecycle, Sim, SimPage, Usage
from api.schemas.tickets import Ticket, TicketPage
from resources.database.server import driver_url
from services.access.api_keys import Credential, key_sha256

# what SEED leaves out: values in every field, an anomaly and its incident, an event of an alert
FULL = """
UPDATE core.sims SET activated_at = '2025-01-02 03:04:05.678901Z', imei = '353500720000001' WHERE iccid LIKE '%01';
INSERT INTO core.sim_quota (organization_id, sim_key, kind, day, observed_at, amount_left)
SELECT organization_id, sim_key, 'data', day, day, -1234567 FROM core.sims, (VALUES (date '2026-01-10')) AS d (day);
UPDATE predictions.exhaustions SET topup_date = as_of + 3, topups_30 = 1, p_limit = 1e-7, limit_date = as_of,
    sms_remaining = 3, sms_status = 'ok', sms_p_7 = 0, sms_p_14 = 0, sms_p_30 = 0.01, sms_p_90 = 1,
    sms_p10_date = as_of, sms_p50_date = as_of, sms_p90_date = as_of, p_90 = 1, data_grade = 1, data_age_hours = 0
WHERE status = 'ok'
"""
# whatever may be unknown is
UNKNOWN = """
DO $$
DECLARE
    c record;
BEGIN
    FOR c IN SELECT table_schema AS s, table_name AS t, column_name AS n
             FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
             WHERE table_type = 'BASE TABLE' AND table_schema IN ('core', 'predictions', 'big')
                 AND is_nullable = 'YES' AND is_generated = 'NEVER' LOOP
        BEGIN
            EXECUTE format('UPDATE %I.%I SET %I = NULL', c.s, c.t, c.n);
        EXCEPTION WHEN check_violation THEN  -- known where something else is
        END;
    END LOOP;
END $$
"""
PATHS: dict[str, type[BaseModel]] = {
    "/v1/sims": SimPage,
    "/v1/sims?limit=2": SimPage,
    "/v1/sims?state=ordered": SimPage,
    "/v1/sims?state=ordered&country=Germany": SimPage,
    "/v1/sims/8988280666000000001": Sim,
    "/v1/sims/8988280666000000077": Sim,
    "/v1/sims/8988280666000000001/lifecycle": Lifecycle,
    "/v1/sims/8988280666000000077/lifecycle": Lifecycle,
    "/v1/sims/8988280666000000001/usage": Usage,
    "/v1/sims/8988280666000000012/usage": Usage,
    "/v1/sims/8988280666000000012/usage?from=2026-01-01": Usage,
    "/v1/sims/8988280666000000001/forecast": Forecast,
    "/v1/sims/8988280666000000001/exhaustion": ExhaustionOfSim,
    "/v1/sims/8988280666000000002/exhaustion": ExhaustionOfSim,
    "/v1/exhaustions?status=all": ExhaustionPage,
    "/v1/exhaustions?status=all&limit=2": ExhaustionPage,
    "/v1/alerts?state=all": AlertPage,
    "/v1/alerts/1": Alert,
    "/v1/alerts/1/history": AlertHistory,
    "/v1/anomalies": AnomalyPage,
    "/v1/incidents": IncidentPage,
    "/v1/tickets": TicketPage,
    "/v1/tickets?limit=2": TicketPage,
    "/v1/tickets/case%201": Ticket,
    "/v1/sims/8988280666000000001/quota-recommendation": RecommendationOfSim,
    "/v1/recommendations": RecommendationPage,
    "/v1/recommendations?limit=2": RecommendationPage,
    "/v1/savings": Savings,
}


def _keys(value: Any) -> Any:
    """The keys of an answer at all its levels, in their order."""
    if isinstance(value, list):
        return [_keys(part) for part in value]
    return [(key, _keys(part)) for key, part in value.items()] if isinstance(value, dict) else None


def test_every_answer_is_what_its_documented_model_would_write(client: httpx.Client, seeded: Any) -> None:
    for statements in (FULL.split(";\n"), [UNKNOWN]):
        seeded.run(*statements)
        for path, model in PATHS.items():
            answer = client.get(path)
            if answer.status_code == 404 and statements == [UNKNOWN]:  # by what it is found is unknown too
                continue
            assert (path, answer.status_code, answer.headers["content-type"]) == (path, 200, "application/json")
            written = json.loads(model.model_validate_json(answer.content).model_dump_json(by_alias=True))
            assert (path, answer.json()) == (path, written)
            assert (path, _keys(answer.json())) == (path, _keys(written))


def test_models_of_the_test_are_those_of_the_documentation(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    for path, model in PATHS.items():
        parts = path.partition("?")[0].split("/")
        names = {"1": "{alert_id}", "case%201": "{case_id}"}
        template = "/".join("{iccid}" if len(part) == 19 else names.get(part, part) for part in parts)
        schema = document["paths"][template]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        assert (path, schema) == (path, {"$ref": f"#/components/schemas/{model.__name__}"})


UNLIKE = [
    "/v1/sims?limit=0",
    "/v1/sims?limit=2&limit=3",
    "/v1/sims?lable=x",
    "/v1/sims?label=",
    "/v1/sims/1",
    "/v1/sims/7000000000000000000",
    "/v1/sims/89882806660000000010/exhaustion",
    "/v1/sims/8988280666000000001/usage?from=2026-01-05&to=2026-01-01",
    "/v1/exhaustions?after=x",
    "/v1/alerts/1_0",
]


def test_the_short_way_answers_every_request_as_the_long_way_does(serve_app: Any, seeded: Any) -> None:
    """Status, headers and body are the same, whatever is asked with whatever key and encoding."""
    seeded.run(*FULL.split(";\n"))
    guards = Guards(key_limit="none", failure_limit="none")
    short, long = (create_app(seeded.url, data_note="synthetic data", guards=guards) for _ in range(2))
    long.take_the_short_way([], {})
    keys = [{"X-API-Key": key} for key in (*seeded.keys.values(), "ss_short", "ss_" + 43 * "x")]
    keys += [{}, {"Authorization": f"Bearer {seeded.keys['default']}"}, {**keys[0], "Authorization": "Token x"}]
    asked = [(path, {**key, "Accept-Encoding": "gzip"}) for path in [*PATHS, *UNLIKE] for key in keys]
    asked += [(path, {**keys[0], "Accept-Encoding": ""}) for path in [*PATHS, *UNLIKE]]
    with serve_app(short) as by_short, serve_app(long) as by_long:
        for path, headers in asked:
            headers |= {"X-Request-ID": "the-same-of-both"}
            first, second = by_short.get(path, headers=headers), by_long.get(path, headers=headers)
            assert (path, first.status_code, first.content) == (path, second.status_code, second.content)
            heads = [{**answer.headers, "date": ""} for answer in (first, second)]
            assert (path, heads[0]) == (path, heads[1])


def test_an_unexpected_error_on_the_short_way_is_answered_by_the_long_way(serve_app: Any, seeded: Any) -> None:
    app = create_app(seeded.url)
    with serve_app(app) as client:
        assert client.get("/docs").status_code == 200  # it has started
        readers = app.state.readers
        del app.state.readers
        answer = client.get("/v1/sims", headers={"X-API-Key": seeded.keys["default"]})
        app.state.readers = readers
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")


def test_a_text_that_is_no_key_is_refused_without_the_database(serve_app: Any) -> None:
    with serve_app(create_app("postgresql://nobody@127.0.0.1:1/simsight")) as client:
        password = base64.b64encode(b"any:ss_short").decode()
        for headers in ({"X-API-Key": "ss_short"}, {"Authorization": f"Bearer ss_{43 * '.'}"}):
            assert client.get("/v1/sims", headers=headers).status_code == 401
        assert client.get("/v1/report", headers={"Authorization": f"Basic {password}"}).status_code == 401
        assert client.get("/v1/sims", headers={"X-API-Key": "ss_" + 43 * "x"}).status_code == 503


def test_a_revoked_key_opens_nothing_from_the_next_request_on(client: httpx.Client, seeded: Any) -> None:
    assert client.get("/v1/sims").status_code == 200
    seeded.run("UPDATE ops.api_keys SET revoked_at = now()")
    assert client.get("/v1/sims").status_code == 401
    assert client.get("/v1/sims?limit=x").status_code == 401  # also before a wrong parameter is named


async def _read_twice(url: URL, key: str) -> None:
    readers, shown = Readers(url), Credential(key_sha256(key))
    chosen = {"after": "", "label": None, "status": None, "state": None, "rows": 100}
    first, again = await readers.read(shown, ("api_sims", chosen), ("api_sims", chosen))
    assert (len(first), again) == (12, first)
    (connection,) = readers._primary._idle
    assert await connection.ask([("api_sims", chosen)]) == [[]]  # the organization ended with the transaction
    for statement in ("UPDATE core.sims SET label = 'x'", "CREATE TEMP TABLE a (b int)"):
        with pytest.raises(psycopg.Error):
            await connection._connection.execute(statement.encode())
    with pytest.raises(InvalidKeyError):
        await readers.read(Credential(key_sha256("ss_" + 43 * "x")), ("api_sims", chosen))
    assert await connection.ask([("api_sims", chosen)]) == [[]]
    # text that would end a statement is a value like any other
    hostile = chosen | {"label": "'); DROP TABLE core.sims; --\\'"}
    assert await readers.read(shown, ("api_sims", hostile)) == [[]]
    await readers.close()


def test_queries_of_a_request_are_one_read_only_transaction_of_one_organization(seeded: Any) -> None:
    asyncio.run(_read_twice(seeded.url, seeded.keys["default"]))


async def _moments(url: URL, key: str) -> None:
    readers, shown = Readers(url), Credential(key_sha256(key))
    text = driver_url(url, "").render_as_string(hide_password=False)
    label = "UPDATE core.sims SET label = label WHERE sim_key = 1"

    async def quiet() -> str:
        """A moment since which nothing was committed, also in other databases of the server."""
        for _ in range(100):
            moment, _ = await readers.read_at(shown)
            if moment and all(await asyncio.gather(*(readers.is_still(moment, shown) for _ in range(5)))):
                return moment
        raise AssertionError("something is committed all the time")

    async with await psycopg.AsyncConnection.connect(text) as other:
        moment = await quiet()
        await other.execute(label)
        await other.commit()
        assert not await readers.is_still(moment, shown)
        # one that began to write before the moment, and is not over
        await other.execute(label)
        moment = await quiet()
        await other.commit()
        assert not await readers.is_still(moment, shown)
        moment = await quiet()
        await other.execute("UPDATE ops.api_keys SET expires_at = now() + interval '0.2 seconds'")
        await other.commit()
        moment = await quiet()
        await asyncio.sleep(0.3)
        with pytest.raises(InvalidKeyError):  # nothing was committed since, and the key is over
            await readers.is_still(moment, shown)
    assert not await readers.is_still(moment, Credential(key_sha256("ss_" + 43 * "x"))), "a key never read with"
    await readers.close()


def test_a_moment_ends_with_the_next_commit_and_does_not_outlast_the_key(seeded: Any) -> None:
    asyncio.run(_moments(seeded.url, seeded.keys["default"]))


def test_answers_that_are_given_again_are_few_and_those_of_their_moment() -> None:
    reuse, large = Reuse(), Response(MAX_ANSWER_BYTES * b"x")

    def held(wanted: object) -> tuple[str, bytes] | None:
        return (given.moment, bytes(given.body)) if (given := reuse.find(wanted)) else None

    reuse.keep("a", "moment 1", Response(b"1"))
    reuse.keep("too large", "moment 1", Response(large.body + b"x"))
    assert (held("a"), held("too large")) == (("moment 1", b"1"), None)
    for n in range(MAX_BYTES // MAX_ANSWER_BYTES):
        reuse.keep(n, "moment 1", large)
        reuse.keep(n, "moment 2", large)  # in place of it
    assert [held("a"), held(0)] == [None, None], "the first make room"
    assert held(1) == held(n) == ("moment 2", large.body)


def test_others_are_answered_while_a_large_answer_is_compressed(serve_app: Any, seeded: Any) -> None:
    app, waits, go_on = create_app(seeded.url), threading.Event(), threading.Event()
    compress = app._compressed

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        waits.set()
        assert go_on.wait(60)
        await compress(scope, receive, send)

    app._compressed = slow  # type: ignore[method-assign]
    seeded.run(f"UPDATE core.sims SET msisdn = repeat('7', {ASIDE_BYTES})")
    key = {"X-API-Key": seeded.keys["default"]}
    with serve_app(app) as client, ThreadPoolExecutor(1) as threads:
        large = threads.submit(client.get, f"/v1/sims/{seeded.iccid(1)}", headers=key)
        assert waits.wait(60)
        try:
            assert client.get(f"/v1/sims/{seeded.iccid(2)}/volume-band", headers=key).status_code == 200
        finally:
            go_on.set()
        answer = large.result()
        assert ("content-encoding" in answer.headers, len(answer.json()["msisdn"])) == (True, ASIDE_BYTES)


def test_the_documentation_says_the_limits_of_numbers(client: httpx.Client) -> None:
    """Beside Query or Path they were enforced and not documented."""
    for path, verbs in client.get("/openapi.json").json()["paths"].items():
        for verb, route in verbs.items():
            for parameter in route.get("parameters", []):
                for schema in parameter["schema"].get("anyOf", [parameter["schema"]]):
                    if schema.get("type") == "integer":
                        assert {"minimum", "maximum"} <= schema.keys(), (verb, path, parameter["name"])


# what is told of these is read by rules of their own; `after` is decoded first
READ_BY_RULES = {"after", "view", "columns", "where", "kinds", "question", "threshold", "networks", "sql"}


def test_every_text_that_is_sent_has_a_form_without_nul(client: httpx.Client) -> None:
    """PostgreSQL refuses it, which would be an error of the service."""
    document = client.get("/openapi.json").json()

    def texts(schema: dict[str, Any], outer: tuple[str, ...] = ()) -> Iterator[dict[str, Any]]:
        if named := schema.get("$ref"):
            if named in outer:
                return
            schema, outer = document["components"]["schemas"][named.rpartition("/")[2]], (*outer, named)
        if schema.get("type") == "string" and not schema.keys() & {"enum", "const", "format"}:
            yield schema
        parts = [schema[name] for name in ("items",) if name in schema]
        for part in [*parts, *schema.get("anyOf", []), *schema.get("oneOf", [])]:
            yield from texts(part, outer)
        for field, part in schema.get("properties", {}).items():
            yield from texts(part, outer) if field not in READ_BY_RULES else ()

    for path, verbs in document["paths"].items():
        for verb, route in verbs.items():
            sent = [(one["name"], one["schema"]) for one in route.get("parameters", [])]
            sent += [("body", kind["schema"]) for kind in route.get("requestBody", {}).get("content", {}).values()]
            for name, schema in sent:
                for text in texts(schema) if name not in READ_BY_RULES else ():
                    form = re.compile(text.get("pattern", ""))
                    assert not any(map(form.search, ("\0", "a\0"))), (verb, path, name, text)


def test_a_path_of_its_own_does_not_allow_what_a_pattern_beside_it_does(client: httpx.Client) -> None:
    assert client.options("/v1/alert-rules/replay").headers["allow"] == "POST"
    assert client.options("/v1/alert-rules/3").headers["allow"] == "DELETE, PATCH"
