"""The Data Streamer's webhook over real HTTP: who may send, what is refused, and that 200 means stored, once."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from sqlalchemy import URL

from api import middleware
from api.app import create_app
from api.routes import stream_webhook
from api.routes.stream_webhook import MAX_STREAM_BODY_BYTES
from resources.database.server import driver_url
from resources.database.session import Database
from services.access.stream_credentials import NewStream, StreamError, create_stream, list_streams, revoke_stream

NOW = datetime(2026, 6, 30, 6, tzinfo=UTC)
RECORDS = [{"id": n, "volume": {"total": 0.5}} for n in range(3)]
TOO_LARGE = b'["' + b"x" * MAX_STREAM_BODY_BYTES + b'"]'


class Posts:
    """A stream and the service it posts to; `client` has no credentials of its own."""

    def __init__(self, client: httpx.Client, database: Database, url: URL) -> None:
        self.client, self.database = client, database
        self.stream = create_stream(database, "usage", now=NOW)
        self._address = driver_url(url, "").render_as_string(hide_password=False)

    def post(
        self, body: Any, *, stream: NewStream | None = None, password: str | None = None, **headers: str
    ) -> httpx.Response:
        stream = stream or self.stream
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client.post(
            stream.path,
            content=content,
            auth=(stream.stream_id, stream.secret if password is None else password),
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )

    def run(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self._address, autocommit=True) as administrator:
            cursor = administrator.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def stored(self) -> list[tuple[Any, ...]]:
        return self.run(
            "SELECT o.slug, b.stream_id, b.body, b.records, b.received_at, b.processed_at FROM raw.stream_batches AS b"
            " JOIN core.organizations AS o USING (organization_id) ORDER BY b.batch_id"
        )


Serve = Callable[[Any], AbstractContextManager[httpx.Client]]


@pytest.fixture
def posts(database: Database, database_url: URL, serve_app: Serve) -> Iterator[Posts]:
    with serve_app(create_app(database_url, clock=lambda: NOW)) as client:
        yield Posts(client, database, database_url)


def test_what_is_answered_with_200_is_stored_as_it_came(posts: Posts) -> None:
    body = b' [ {"id" : 1, "volume": {"total": 0.10}} ]\n'

    answer = posts.post(body)

    assert (answer.status_code, answer.json()) == (200, {"records": 1})
    assert posts.stored() == [("default", posts.stream.stream_id, body, 1, NOW, None)]
    assert posts.run("SELECT body_sha256 FROM raw.stream_batches") == [(hashlib.sha256(body).digest(),)]


def test_a_slash_behind_the_url_is_no_redirect(posts: Posts) -> None:
    answer = posts.client.post(
        f"{posts.stream.path}/",
        json=RECORDS,
        auth=(posts.stream.stream_id, posts.stream.secret),
        follow_redirects=False,
    )
    assert (answer.status_code, answer.json()) == (200, {"records": 3})
    assert len(posts.stored()) == 1


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_the_sms_forwarder_is_told_what_belongs_here_and_leaves_nothing(posts: Posts, method: str) -> None:
    sms = {"id": 6202, "payload": "OK", "submit_date": "2026-11-27 04:10:51", "source_address": "882350123456789"}
    report = {"id": 28, "final_date": "2026-11-27 04:12:38", "submit_date": "2026-11-27 04:12:34", "status": {"id": 4}}
    for body in (sms, [sms], report):
        answer = posts.client.request(
            method, posts.stream.path, json=body, auth=(posts.stream.stream_id, posts.stream.secret)
        )
        assert answer.status_code == (400 if method == "POST" else 405)
        assert answer.headers["content-type"] == "application/problem+json"
        assert "takes usage and event records of 1NCE's Data Streamer" in answer.json()["detail"]
        assert "In 1NCE's portal" in answer.json()["detail"]
    assert posts.stored() == []


@pytest.mark.parametrize(("method", "name"), [("POST", "mo.json"), ("PATCH", "dlr.json")])
def test_what_users_sent_from_the_sms_forwarder_is_refused(posts: Posts, method: str, name: str) -> None:
    body = (Path(__file__).parent.parent / "cases" / "06-sms-forwarder-same-url" / name).read_bytes()
    login = (posts.stream.stream_id, posts.stream.secret)
    answer = posts.client.request(method, posts.stream.path, content=body, auth=login)
    assert answer.status_code in (400, 405)
    assert "SMS forwarder" in answer.text
    assert posts.stored() == []


def test_the_same_post_again_changes_nothing_and_is_answered_with_200(posts: Posts) -> None:
    plain = json.dumps(RECORDS).encode()
    posts.post(plain)
    before = posts.run("SELECT ctid::text, xmin::text FROM raw.stream_batches")

    again = posts.post(plain)
    compressed = posts.post(gzip.compress(plain), content_encoding="gzip")

    assert (again.status_code, compressed.status_code) == (200, 200)
    assert posts.run("SELECT ctid::text, xmin::text FROM raw.stream_batches") == before


def test_posts_of_the_same_body_at_the_same_time_are_one_row(posts: Posts) -> None:
    answers: list[int] = []
    senders = [threading.Thread(target=lambda: answers.append(posts.post(RECORDS).status_code)) for _ in range(12)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert answers == [200] * 12
    assert len(posts.stored()) == 1


def test_a_single_object_counts_as_an_array_of_one_and_an_empty_array_as_nothing(posts: Posts) -> None:
    assert posts.post({"id": 1}).json() == {"records": 1}
    assert posts.post([]).json() == {"records": 0}
    assert [row[3] for row in posts.stored()] == [1, 0]


def test_wrong_credentials_and_an_unknown_stream_get_the_same_answer(posts: Posts) -> None:
    unknown = NewStream("nobody-knows", posts.stream.secret)
    other = create_stream(posts.database, "events", now=NOW)
    refused = [
        posts.post(RECORDS, password="wrong"),
        posts.post(RECORDS, password=""),
        posts.post(RECORDS, stream=unknown),
        posts.post(RECORDS, password=other.secret),
        posts.client.post(posts.stream.path, json=RECORDS),
        posts.client.post(posts.stream.path, json=RECORDS, auth=(other.stream_id, other.secret)),
        posts.client.post(posts.stream.path, json=RECORDS, auth=(other.stream_id, posts.stream.secret)),
    ]
    assert {answer.status_code for answer in refused} == {401}
    assert len({answer.text.replace(answer.headers["X-Request-ID"], "") for answer in refused}) == 1
    assert {answer.headers["content-type"] for answer in refused} == {"application/problem+json"}
    assert {answer.headers["www-authenticate"] for answer in refused} == {
        'Basic realm="Simsight stream", charset="UTF-8"'
    }
    assert posts.stored() == []
    assert posts.client.post("/streams/1nce/a%00b", json=RECORDS).status_code == 422


def test_a_revoked_stream_is_refused_at_once(posts: Posts) -> None:
    assert posts.post(RECORDS).status_code == 200

    revoke_stream(posts.database, "usage", now=NOW)

    assert posts.post([{"id": 9}]).status_code == 401
    assert len(posts.stored()) == 1


def test_a_stream_revoked_while_its_body_is_on_the_way_stores_nothing(posts: Posts) -> None:
    def body() -> Iterator[bytes]:
        yield b'[{"id": 1}'
        revoke_stream(posts.database, "usage", now=NOW)
        yield b"]"

    auth = (posts.stream.stream_id, posts.stream.secret)
    answer = posts.client.post(posts.stream.path, content=body(), auth=auth)

    assert answer.status_code == 401
    assert posts.stored() == []


@pytest.mark.parametrize(
    ("body", "headers", "status", "words"),
    [
        (b"", {}, 400, "not JSON"),
        (b'[{"id": 1}', {}, 400, "not JSON"),
        (b'[{"id": NaN}]', {}, 400, "not JSON"),
        (b'"text"', {}, 400, "neither an array nor an object"),
        (b"17", {}, 400, "neither an array nor an object"),
        (b"\xff\xfe[\x00]\x00", {}, 400, "not JSON"),
        (b"[" * 100_000, {}, 400, "not JSON"),
        (b"[]", {"content_encoding": "gzip"}, 400, "not gzip"),
        (gzip.compress(b"[1, 2]")[:-9], {"content_encoding": "gzip"}, 400, "cut off"),
        (gzip.compress(b"[]") + gzip.compress(b"[]"), {"content_encoding": "gzip"}, 400, "one whole gzip"),
        (b"[]", {"content_encoding": "br"}, 415, "'br' is not understood"),
        (json.dumps([0] * 3001).encode(), {}, 413, "3001 records: send at most 3000"),
        (TOO_LARGE, {}, 413, "larger than 10 MB"),
        (gzip.compress(TOO_LARGE), {"content_encoding": "gzip"}, 413, "larger than 10 MB"),
    ],
    ids=range(14),
)
def test_what_cannot_be_taken_is_refused_with_what_to_do(
    posts: Posts, body: bytes, headers: dict[str, str], status: int, words: str
) -> None:
    answer = posts.post(body, **headers)

    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert words in answer.json()["detail"]
    assert posts.stored() == []


def test_3000_records_and_10_mb_are_taken(posts: Posts) -> None:
    assert posts.post([0] * 3000).json() == {"records": 3000}
    assert posts.post(b'["' + b"x" * (MAX_STREAM_BODY_BYTES - 4) + b'"]').status_code == 200


FIELDS = b",".join(b'"%d":0' % n for n in range(1001))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"[" + b"{}," * 3_300_000 + b"{}]", "more than 300,000 values"),
        (b"[{" + b",".join([b'"":0'] * 1_900_000) + b"}]", "more than 300,000 values"),
        (b'[{"a":[' + b"0," * 3_300_000 + b"0]}]", "more than 300,000 values"),
        (b"[{" + FIELDS + b"}]", "A record holds 1,001 values: at most 1,000"),
        (b'[{}, {"a": {' + FIELDS + b"}}]", "A record holds 1,002 values: at most 1,000"),
        (b"{" + FIELDS + b"}", "A record holds 1,001 values: at most 1,000"),
        (b'[{"a":' + b"[" * 22 + b"]" * 22 + b"}]", "A record is nested deeper than 20 levels"),
    ],
    ids=["tiny records", "fields", "a list", "fields too many", "deeper fields", "one record", "depth"],
)
def test_too_many_values_and_levels_are_refused_before_they_take_memory(posts: Posts, body: bytes, words: str) -> None:
    sent = gzip.compress(body)
    before = _peak_memory()

    answer = posts.post(sent, content_encoding="gzip")

    assert (answer.status_code, words in answer.json()["detail"]) == (413, True), answer.text
    assert _peak_memory() - before < 60_000_000
    assert posts.stored() == []


def test_commas_in_texts_are_no_values(posts: Posts) -> None:
    assert posts.post([{"note": ',[{"' * 400_000}]).status_code == 200


class Slow:
    """POSTs whose bodies never come whole."""

    def __init__(self, posts: Posts, path: str, declared: int = 100_000) -> None:
        url = posts.client.base_url
        auth = httpx.BasicAuth(posts.stream.stream_id, posts.stream.secret)
        request = next(auth.auth_flow(httpx.Request("POST", str(url))))
        self._address = url.host, url.port
        self._head = (
            f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {request.headers['authorization']}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {declared}\r\n\r\n["
        ).encode()

    def send(self, more: bytes = b"") -> socket.socket:
        raw = socket.create_connection(self._address, timeout=10)
        raw.sendall(self._head + more)
        return raw


def _status(raw: socket.socket) -> int:
    """What is answered, after which the connection is closed."""
    with raw:
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while part := raw.recv(65536):
                answer += part
    return int(answer.split(b" ")[1])


def _holding_all(slow: Slow, places: int, more: bytes = b"") -> list[socket.socket]:
    """Slow bodies that hold all places: of one more than is taken, some one is refused, whichever comes last."""
    sent = [slow.send(more) for _ in range(places + 1)]
    (refused,) = select.select(sent, [], [], 10)[0]
    assert _status(refused) == 503
    return [raw for raw in sent if raw is not refused]


def test_slow_bodies_take_their_places_only_for_a_time_and_others_are_told_to_come_again(
    posts: Posts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_webhook, "MAX_POSTS_OF_A_STREAM", 3)
    monkeypatch.setattr(stream_webhook, "READ_SECONDS", 8.0)
    waiting = _holding_all(Slow(posts, posts.stream.path), 3)
    busy = posts.post(RECORDS)
    assert (busy.status_code, busy.headers["retry-after"]) == (503, "5")
    assert "send it again in 5 seconds" in busy.json()["detail"]

    other = create_stream(posts.database, "other", now=NOW)
    assert posts.post(RECORDS, stream=other).status_code == 200  # one stream takes nothing from another
    assert [_status(raw) for raw in waiting] == [408] * 3
    assert posts.post(RECORDS).status_code == 200


def test_bodies_on_their_way_hold_no_more_memory_than_allowed(posts: Posts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_webhook, "MAX_HELD_BYTES", 100_000)
    monkeypatch.setattr(stream_webhook, "READ_SECONDS", 5.0)
    body = b"[" + b" " * 60_000 + b"]"
    (waiting,) = _holding_all(Slow(posts, posts.stream.path), 1, b" " * 60_000)
    assert posts.post(body).status_code == 503
    assert _status(waiting) == 408
    assert posts.post(body).status_code == 200


def test_slow_bodies_of_other_routes_end_as_well(posts: Posts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "READ_SECONDS", 3.0)
    monkeypatch.setattr(middleware, "MAX_BODIES", 2)
    waiting = _holding_all(Slow(posts, "/v1/alert-rules"), 2)
    assert posts.client.get("/health").status_code == 200
    assert [_status(raw) for raw in waiting] == [408] * 2
    assert posts.client.post("/v1/alert-rules", json={}).status_code in (401, 422)


def test_a_zip_bomb_is_not_inflated(posts: Posts) -> None:
    bomb = gzip.compress(bytes(600_000_000), compresslevel=9)
    assert len(bomb) < 1_000_000
    before = _peak_memory()

    answer = posts.post(bomb, content_encoding="gzip")

    assert answer.status_code == 413
    assert _peak_memory() - before < 100_000_000


def _peak_memory() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_a_body_that_ends_halfway_stores_nothing_and_harms_nobody(posts: Posts) -> None:
    host = posts.client.base_url
    auth = httpx.BasicAuth(posts.stream.stream_id, posts.stream.secret)
    request = next(auth.auth_flow(httpx.Request("POST", str(host))))
    with socket.create_connection((host.host, host.port)) as raw:
        raw.sendall(
            f"POST {posts.stream.path} HTTP/1.1\r\nHost: x\r\nAuthorization: {request.headers['authorization']}\r\n"
            'Content-Length: 1000\r\n\r\n[{"id": 1}'.encode()
        )
        time.sleep(0.2)

    assert posts.post(RECORDS).status_code == 200
    assert len(posts.stored()) == 1


def test_while_the_database_is_away_the_sender_is_told_to_repeat(posts: Posts) -> None:
    assert posts.post([{"id": 1}]).status_code == 200
    name = posts.run("SELECT current_database()")[0][0]
    elsewhere = posts._address.replace(name, "postgres")
    with psycopg.connect(elsewhere, autocommit=True) as administrator:
        administrator.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
        administrator.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        away = posts.post([{"id": 2}])
        administrator.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true".encode())

    assert (away.status_code, away.headers["content-type"]) == (503, "application/problem+json")
    assert int(away.headers["retry-after"]) > 0
    assert posts.post([{"id": 2}]).status_code == 200
    assert len(posts.stored()) == 2


def test_a_database_that_hangs_is_a_503_too_and_what_was_sent_twice_is_stored_once(
    posts: Posts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.routes.stream_webhook.STORE_SECONDS", 0.5)
    assert posts.post([{"id": 1}]).status_code == 200
    with psycopg.connect(posts._address) as blocker:
        blocker.execute("LOCK TABLE raw.stream_batches")
        assert [posts.post([{"id": 2}]).status_code for _ in range(2)] == [503, 503]
    monkeypatch.undo()

    assert posts.post([{"id": 2}]).status_code == 200
    assert len(posts.stored()) == 2


def test_a_stopped_server_process_does_not_take_the_service_with_it(
    posts: Posts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.routes.stream_webhook.STORE_SECONDS", 0.5)
    assert posts.post([{"id": 1}]).status_code == 200
    pids = [
        pid
        for (pid,) in posts.run(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    ]
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
    except (PermissionError, ProcessLookupError):
        pytest.skip("the server's processes are not ours to stop")
    try:
        assert posts.post([{"id": 2}]).status_code == 503
        assert posts.client.get("/docs").status_code == 200
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    assert posts.post([{"id": 2}]).status_code == 200
    assert len(posts.stored()) == 2


def test_readers_that_wait_for_the_database_do_not_hold_up_the_webhook(posts: Posts) -> None:
    from services.access.api_keys import create_key

    key = create_key(posts.database, "reader", now=datetime.now(UTC), valid_for=None)
    answers: list[int] = []

    def read() -> None:
        answers.append(posts.client.get("/v1/sims", headers={"X-API-Key": key}).status_code)

    with psycopg.connect(posts._address) as blocker:
        blocker.execute("LOCK TABLE core.sims")
        readers = [threading.Thread(target=read) for _ in range(60)]
        for reader in readers:
            reader.start()
        time.sleep(0.5)
        assert posts.post(RECORDS).status_code == 200
        assert answers == []
    for reader in readers:
        reader.join()


def test_a_stream_lands_for_its_own_organization_only(posts: Posts, database_url: URL) -> None:
    other_database = Database(database_url, "other")
    other = create_stream(other_database, "usage", now=NOW)

    assert posts.post(RECORDS, stream=other).status_code == 200
    assert posts.post(RECORDS).status_code == 200

    assert [row[0] for row in posts.stored()] == ["other", "default"]
    assert [stream.stream_id for stream in list_streams(other_database)] == [other.stream_id]
    create_stream(posts.database, "events", now=NOW)
    with pytest.raises(StreamError, match="no stream named 'events'"):
        revoke_stream(other_database, "events", now=NOW)
    other_database.close()


def test_the_api_role_lands_nothing_without_the_secret_and_reads_nothing_back(posts: Posts) -> None:
    with psycopg.connect(posts._address, autocommit=True) as connection:
        connection.execute("SET SESSION AUTHORIZATION simsight_api")
        land = "SELECT ops.land_stream_batch(%s, %s, %s, 1, now())"
        landed = connection.execute(land, (posts.stream.stream_id, bytes(32), b"[1]")).fetchone()
        assert landed == (False,)
        for statement in (
            "SELECT * FROM raw.stream_batches",
            "SELECT * FROM ops.streams",
            "SELECT * FROM ops.incidents",
            "INSERT INTO raw.stream_batches (organization_id, stream_id, body_sha256, body, records, received_at)"
            " VALUES (1, 'x', '', '', 0, now())",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())
    assert posts.stored() == []


def test_a_name_is_taken_while_its_stream_lives(database: Database) -> None:
    first = create_stream(database, " usage ", now=NOW)
    with pytest.raises(StreamError, match="'usage' exists: revoke it first"):
        create_stream(database, "usage", now=NOW)
    with pytest.raises(StreamError, match="needs a name"):
        create_stream(database, " ", now=NOW)
    revoke_stream(database, "usage", now=NOW)
    second = create_stream(database, "usage", now=NOW)

    assert first.secret != second.secret
    assert len(second.secret) >= 43
    listed = list_streams(database)
    assert {(stream.stream_id, stream.revoked_at) for stream in listed} == {
        (first.stream_id, NOW),
        (second.stream_id, None),
    }
    stored = database.rows("list_streams")
    assert second.secret not in str(stored)
