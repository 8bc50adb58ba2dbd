"""Keys, the line between organizations, and what no answer or log may tell."""

from __future__ import annotations

import hashlib
import logging
import socket
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest

from api import server
from api.database import Store
from api.server import hide_keys
from resources.database.server import driver_url
from resources.database.session import Database
from services.access.api_keys import ApiKeyError, create_key, list_keys, revoke_key

NOW = datetime.now(UTC)


def test_both_headers_open_the_api_and_each_key_its_own_organization(stranger: httpx.Client, seeded: Any) -> None:
    for organization, key in seeded.keys.items():
        for headers in ({"Authorization": f"Bearer {key}"}, {"X-API-Key": key}):
            items = stranger.get("/v1/sims", headers=headers).json()["items"]
            assert [item["iccid"] for item in items] == [seeded.iccid(n, organization) for n in range(1, 13)]


def test_without_a_valid_key_nothing_is_answered(stranger: httpx.Client) -> None:
    for headers in ({}, {"X-API-Key": "ss_wrong"}, {"Authorization": "Bearer ss_wrong"}):
        for path in ("/v1/sims", "/v1/exhaustions?limit=0", "/v1/alerts", "/v1/report", "/v1/sims/1/usage"):
            answer = stranger.get(path, headers=headers)
            assert (path, answer.status_code) == (path, 401)
            assert answer.headers["content-type"] == "application/problem+json"
            assert "Bearer" in answer.headers["www-authenticate"]
            assert "key" in answer.json()["detail"]


def test_two_keys_of_which_one_is_wrong_open_nothing(stranger: httpx.Client, seeded: Any) -> None:
    key, other = seeded.keys["default"], seeded.keys["other"]
    for wrong in ("ss_wrong", other):
        for bearer, header in ((key, wrong), (wrong, key)):
            both = {"Authorization": f"Bearer {bearer}", "X-API-Key": header}
            for path in ("/v1/sims", "/v1/report", "/v1/alerts/stream"):
                answer = stranger.get(path, headers=both)
                assert (path, answer.status_code, "two different" in answer.json()["detail"]) == (path, 401, True)
        answer = stranger.get("/v1/report", headers={"X-API-Key": wrong}, auth=("any", key))
        assert answer.status_code == 401
    twice = stranger.get("/v1/sims", headers=[("X-API-Key", key), ("X-API-Key", "ss_wrong")])
    assert twice.status_code == 401
    for foreign in ("Token x", "Basic eDp5"):  # beside a right key
        assert stranger.get("/v1/sims", headers={"Authorization": foreign, "X-API-Key": key}).status_code == 401
    same = {"Authorization": f"Bearer {key}", "X-API-Key": key}
    assert stranger.get("/v1/sims", headers=same).status_code == 200


def test_a_key_in_the_url_opens_nothing_and_stays_out_of_the_access_log(stranger: httpx.Client, seeded: Any) -> None:
    key = seeded.keys["default"]
    assert stranger.get("/v1/sims", params={"api_key": key, "key": key}).status_code == 401
    record = logging.LogRecord("uvicorn.access", logging.INFO, "", 0, "%s %s", ("GET", f"/v1/sims?key={key}"), None)
    assert hide_keys(record)
    assert record.getMessage() == "GET /v1/sims?key=ss_..."


def test_the_report_opens_in_a_browser_with_the_key_as_password(stranger: httpx.Client, seeded: Any) -> None:
    refused = stranger.get("/v1/report")
    assert refused.headers["www-authenticate"].startswith("Basic ")
    assert stranger.get("/v1/report", auth=("anyone", "wrong")).status_code == 401
    assert "other as of" in stranger.get("/v1/report", auth=("anyone", seeded.keys["other"])).text
    elsewhere = stranger.get("/v1/sims", auth=("anyone", seeded.keys["other"]))
    assert elsewhere.status_code == 401
    assert "Basic" not in elsewhere.headers["www-authenticate"]


def test_an_expired_and_a_revoked_key_stop_working(stranger: httpx.Client, seeded: Any) -> None:
    database = Database(seeded.url, "default")
    keys = {name: create_key(database, name, now=NOW, valid_for=timedelta(days=1)) for name in ("lent", "lost")}
    for key in keys.values():
        assert stranger.get("/v1/sims", headers={"X-API-Key": key}).status_code == 200
    seeded.run("UPDATE ops.api_keys SET expires_at = now() WHERE name = 'lent'")
    revoke_key(database, "lost")
    for key in keys.values():
        assert stranger.get("/v1/sims", headers={"X-API-Key": key}).status_code == 401
    assert [(key.name, key.revoked_at is None) for key in list_keys(database)] == [
        ("tests", True),
        ("lent", True),
        ("lost", False),
    ]
    database.close()


def test_a_key_is_stored_as_its_hash_only(seeded: Any) -> None:
    key = seeded.keys["default"]
    stored = seeded.run("SELECT k::text, key_sha256 FROM ops.api_keys AS k ORDER BY key_id LIMIT 1")[0]
    assert stored[1] == hashlib.sha256(key.encode()).digest()
    assert key not in stored[0]
    assert key.startswith("ss_")
    assert len(key) == 46


def test_keys_are_listed_and_revoked_for_their_own_organization_only(seeded: Any) -> None:
    other = Database(seeded.url, "other")
    create_key(other, "theirs", now=NOW, valid_for=None)
    ours = Database(seeded.url, "default")
    assert [key.name for key in list_keys(ours)] == ["tests"]
    with pytest.raises(ApiKeyError, match="no API key named 'theirs'"):
        revoke_key(ours, "theirs")
    other.close()
    ours.close()


def test_a_key_needs_a_free_name_and_time_to_live(database: Database) -> None:
    with pytest.raises(ApiKeyError, match="name"):
        create_key(database, "  ", now=NOW, valid_for=None)
    with pytest.raises(ApiKeyError, match="expired"):
        create_key(database, "app", now=NOW - timedelta(days=40), valid_for=timedelta(days=30))
    assert list_keys(database) == []
    create_key(database, "app", now=NOW, valid_for=None)
    with pytest.raises(ApiKeyError, match="exists"):
        create_key(database, "app", now=NOW, valid_for=None)
    revoke_key(database, "app")
    create_key(database, "app", now=NOW, valid_for=None)


def test_another_organizations_sim_is_as_unknown_as_one_that_never_was(client: httpx.Client, seeded: Any) -> None:
    for tail in ("", "/usage", "/forecast", "/exhaustion", "/lifecycle"):
        theirs, nobodys = (
            client.get(f"/v1/sims/{iccid}{tail}", headers={"X-Request-ID": "the-same"})
            for iccid in (seeded.iccid(1, "other"), "7000000000000000000")
        )
        assert theirs.status_code == nobodys.status_code == 404
        assert theirs.text.replace(seeded.iccid(1, "other"), "") == nobodys.text.replace("7000000000000000000", "")


def test_lists_hold_no_other_organizations_rows(client: httpx.Client) -> None:
    for path in ("/v1/exhaustions", "/v1/alerts?state=all"):
        assert all(item["iccid"].startswith("89") for item in client.get(path).json()["items"])


READABLE = [
    "core.sims_v1",
    "core.sim_usage_v1",
    "core.sim_states_v1",
    "core.sim_lifecycle_v1",
    "predictions.usage_forecasts_v1",
    "predictions.exhaustions_v1",
    "predictions.alerts_v1",
    "predictions.reports",
]


def test_the_api_role_sees_nothing_without_an_organization_and_only_its_own_with_one(seeded: Any) -> None:
    for table in READABLE:
        with psycopg.connect(driver_url(seeded.url, "").render_as_string(hide_password=False)) as connection:
            ((secret,),) = connection.execute("SELECT secret FROM ops.organization_secrets WHERE organization_id = 1")
            connection.execute("SET ROLE simsight_api")
            count = f"SELECT count(*), count(DISTINCT organization_id) FROM {table}".encode()
            assert connection.execute(count).fetchone() == (0, 0)
            connection.execute("SELECT set_config('simsight.organization', %s, true)", (secret,))
            rows, organizations = connection.execute(count).fetchone() or (0, 0)
            assert (table, rows > 0, organizations) == (table, True, 1)


def test_an_organization_does_not_outlive_its_request_on_a_pooled_connection(seeded: Any) -> None:
    store = Store(seeded.url)
    with store.session(seeded.keys["default"]) as session:
        assert (
            len(session.rows("api_sims", {"after": "", "label": None, "status": None, "state": None, "rows": 100}))
            == 12
        )
    with store._transaction() as session:
        assert session.rows("api_sims", {"after": "", "label": None, "status": None, "state": None, "rows": 100}) == []
    store.close()


FORBIDDEN = [
    "SELECT 1 FROM ops.api_keys",
    "SELECT 1 FROM raw.landings",
    "SELECT 1 FROM ops.quarantine",
    "SELECT 1 FROM ops.polls",
    "UPDATE core.sims SET label = 'mine'",
    "DELETE FROM predictions.alerts",
    "INSERT INTO core.organizations (slug) VALUES ('mine')",
    "CREATE TABLE core.mine (a integer)",
]


def test_the_api_role_can_neither_write_nor_read_keys_or_raw_data(seeded: Any) -> None:
    for statement in FORBIDDEN:
        with psycopg.connect(driver_url(seeded.url, "").render_as_string(hide_password=False)) as connection:
            connection.execute("SET ROLE simsight_api")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())


def test_every_answer_carries_security_headers_and_the_note_on_the_data(client: httpx.Client) -> None:
    for path in ("/health", "/v1/sims", "/v1/sims/1", "/v1/report", "/docs", "/openapi.json", "/nowhere"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["cache-control"] == ("private, max-age=300" if path == "/v1/sims" else "no-store")
        assert headers["x-data-note"] == "synthetic data"
        assert "server" not in headers


def test_connections_whose_headers_do_not_come_are_closed_in_time(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEAD_SECONDS", 1.0)
    whole = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    begun = [b"", b"GET /v1/sims HTTP/1.1\r\nHost: x\r\nX-API-Key: ", whole + b"GET /hea"]
    opened = [socket.create_connection((client.base_url.host, client.base_url.port), timeout=10) for _ in begun]
    for raw, sent in zip(opened, begun, strict=True):
        raw.sendall(sent)

    assert client.get("/v1/sims").status_code == 200
    said = [_until_closed(raw) for raw in opened]

    assert said[:2] == [b"", b""]
    assert said[2].startswith(b"HTTP/1.1 200")


def test_headers_without_end_are_not_collected(client: httpx.Client) -> None:
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=10) as raw:
        raw.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"X-More: x\r\n" * (server.MAX_HEAD_BYTES // 10))
        assert _until_closed(raw) == b""
    assert client.get("/v1/sims", headers={"X-More": "x" * 10_000}).status_code == 200


def _until_closed(raw: socket.socket) -> bytes:
    said = b""
    try:
        while part := raw.recv(65536):
            said += part
    except ConnectionResetError:
        pass
    raw.close()
    return said
