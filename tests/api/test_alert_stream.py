"""The live stream of alerts, over a real port: events come at once, once, in order, to their own organization only."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from api import alert_hub
from api.app import create_app
from api.routes import alert_stream
from api.server import Server
from resources.ports import listen
from tests.api.conftest import Seeded
from tests.conftest import LOCAL

OPEN = (
    "INSERT INTO predictions.alerts (organization_id, sim_key, kind, severity, message, opened_as_of, opened_at,"
    " seen_as_of)"
    " SELECT organization_id, sim_key, 'silent', 'warning', '{text}', date '2026-01-11', now(), date '2026-01-11'"
    " FROM core.sims WHERE iccid = '{iccid}'"
)


@pytest.fixture
def service(seeded: Seeded) -> Iterator[httpx.Client]:
    """The service with the server that `simsight serve` uses, and a fast heartbeat."""
    app = create_app(seeded.url, data_note="synthetic data")
    app.state.live.heartbeat_s = 0.3
    with listen("127.0.0.1", 0) as listener:
        server = Server(uvicorn.Config(app, log_config=None, server_header=False, timeout_graceful_shutdown=5))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=10, **LOCAL) as client:
            client.server, client.hub = server, app.state.live  # type: ignore[attr-defined]
            until(lambda: server.started)
            yield client
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


class Listener:
    """Collects the frames of a Server-Sent Events answer in a thread."""

    def __init__(self, client: httpx.Client, key: str, **headers: str) -> None:
        self.frames: list[dict[str, str]] = []
        self.comments = 0
        self.ended = False
        self._stop = False
        self._client, self._headers = client, {"X-API-Key": key, **headers}
        self._thread = threading.Thread(target=self._read)

    def _read(self) -> None:
        try:
            with self._client.stream("GET", "/v1/alerts/stream", headers=self._headers) as answer:
                assert answer.headers["content-type"].startswith("text/event-stream")
                frame: dict[str, str] = {}
                for line in answer.iter_lines():
                    if self._stop:
                        return
                    if line.startswith(":"):
                        self.comments += 1
                    elif line:
                        name, _, value = line.partition(": ")
                        frame[name] = value
                    elif frame:
                        self.frames.append(frame)
                        frame = {}
        except httpx.HTTPError:
            pass
        finally:
            self.ended = True

    @property
    def events(self) -> list[tuple[str, str]]:
        return [(frame["event"], json.loads(frame["data"])["message"]) for frame in self.frames[1:]]

    def __enter__(self) -> Listener:
        self._thread.start()
        until(lambda: self.frames or self.ended)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop = True
        self._thread.join(10)


def until(what: Callable[[], Any], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.01)


def opens(seeded: Seeded, n: int, text: str, organization: str = "default") -> None:
    seeded.run(OPEN.format(iccid=seeded.iccid(n, organization), text=text))


@contextmanager
def websocket(service: httpx.Client, key: str, query: str = "") -> Iterator[ClientConnection]:
    url = str(service.base_url).replace("http", "ws") + f"/v1/alerts/ws{query}"
    with connect(url, additional_headers={"Authorization": f"Bearer {key}"}, open_timeout=10) as opened:
        yield opened


def told(opened: ClientConnection, kind: str = "event") -> dict[str, Any]:
    while True:
        message: dict[str, Any] = json.loads(opened.recv(timeout=10))
        if message["type"] == kind:
            return message


def closed_with(opened: ClientConnection) -> int:
    """The code with which the service closes the connection."""
    try:
        while True:
            opened.recv(timeout=10)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 0


def test_what_happens_to_an_alert_comes_at_once_and_in_order(service: httpx.Client, seeded: Seeded) -> None:
    with Listener(service, seeded.keys["default"]) as listener:
        assert listener.frames[0]["event"] == "ready"
        assert json.loads(listener.frames[0]["data"])["data_note"] == "synthetic data"
        begun = time.monotonic()
        opens(seeded, 4, "first")
        until(lambda: listener.events)
        assert time.monotonic() - begun < 1
        seeded.run("UPDATE predictions.alerts SET severity = 'critical' WHERE message = 'first'")
        seeded.run("UPDATE predictions.alerts SET seen_as_of = '2026-01-12' WHERE message = 'first'")
        seeded.run(
            "UPDATE predictions.alerts SET closed_at = now(), closed_as_of = '2026-01-12' WHERE message = 'first'"
        )
        until(lambda: len(listener.events) == 3)
        assert listener.events == [("opened", "first"), ("severity", "first"), ("resolved", "first")]
        data = json.loads(listener.frames[1]["data"])
        assert data["iccid"] == seeded.iccid(4)
        assert str(data["id"]) == listener.frames[1]["id"]


def test_both_streams_show_their_own_organization_only(service: httpx.Client, seeded: Seeded) -> None:
    ours, theirs = seeded.keys["default"], seeded.keys["other"]
    with Listener(service, ours) as one, Listener(service, theirs) as two, websocket(service, theirs) as three:
        assert told(three, "ready")["data_note"] == "synthetic data"
        for n in (4, 5):
            opens(seeded, n, f"ours {n}")
            opens(seeded, n, f"theirs {n}", "other")
        until(lambda: len(one.events) == 2 and len(two.events) == 2)
        assert [text for _, text in one.events] == ["ours 4", "ours 5"]
        assert [text for _, text in two.events] == ["theirs 4", "theirs 5"]
        assert [told(three)["message"] for _ in range(2)] == ["theirs 4", "theirs 5"]


def test_who_comes_back_with_the_last_id_misses_nothing_and_sees_nothing_twice(
    service: httpx.Client, seeded: Seeded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alert_hub, "PAGE_EVENTS", 2)
    key = seeded.keys["default"]
    with Listener(service, key) as listener:
        opens(seeded, 4, "seen")
        until(lambda: listener.events)
        last = listener.frames[-1]["id"]
    for n in range(5, 11):
        opens(seeded, n, f"missed {n}")
    opens(seeded, 5, "not ours", "other")
    missed = [f"missed {n}" for n in range(5, 11)]
    with Listener(service, key, **{"Last-Event-ID": last}) as again:
        until(lambda: len(again.events) >= 6)
        assert [text for _, text in again.events] == missed
    with websocket(service, key, f"?after={last}") as opened:
        assert told(opened, "ready")["id"] == int(last)
        assert [told(opened)["message"] for _ in range(6)] == missed


def test_the_order_of_ids_is_the_order_of_commits(service: httpx.Client, seeded: Seeded) -> None:
    """A transaction that began first and commits last must not slip in behind a client's last id."""
    import psycopg

    from resources.database.server import driver_url

    with (
        Listener(service, seeded.keys["default"]) as listener,
        psycopg.connect(driver_url(seeded.url, "").render_as_string(hide_password=False)) as slow,
    ):
        slow.execute(OPEN.format(iccid=seeded.iccid(4), text="slow").encode())
        fast = threading.Thread(target=opens, args=(seeded, 5, "fast"))
        fast.start()
        time.sleep(0.3)
        assert listener.events == []
        slow.commit()
        fast.join()
        until(lambda: len(listener.events) == 2)
        assert [text for _, text in listener.events] == ["slow", "fast"]


def test_heartbeats_keep_the_connection_and_a_lost_database_is_found_again(
    service: httpx.Client, seeded: Seeded
) -> None:
    with Listener(service, seeded.keys["default"]) as listener, websocket(service, seeded.keys["default"]) as opened:
        until(lambda: listener.comments > 1)
        told(opened, "heartbeat")
        seeded.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid()"
        )
        opens(seeded, 4, "while nobody listened")
        until(lambda: listener.events)
        assert told(opened)["message"] == "while nobody listened"
        time.sleep(0.8)
        opens(seeded, 5, "afterwards")
        until(lambda: len(listener.events) == 2)


def test_a_revoked_key_ends_its_streams(service: httpx.Client, seeded: Seeded) -> None:
    with Listener(service, seeded.keys["default"]) as listener, websocket(service, seeded.keys["default"]) as opened:
        seeded.run("UPDATE ops.api_keys SET revoked_at = now()")
        until(lambda: listener.ended)
        assert closed_with(opened) == 1008


def test_a_stream_needs_a_key_and_a_place(
    service: httpx.Client, seeded: Seeded, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert service.get("/v1/alerts/stream").status_code == 401
    assert service.get("/v1/alerts/stream", headers={"X-API-Key": "ss_wrong"}).status_code == 401
    key = {"X-API-Key": seeded.keys["default"]}
    assert service.get("/v1/alerts/stream?after=-1", headers=key).status_code == 422
    assert service.get("/v1/alerts/stream", headers=key | {"Last-Event-ID": "x"}).status_code == 422
    for wrong, query, status in (("ss_wrong", "", 401), (seeded.keys["default"], "?after=x", 422)):
        with pytest.raises(InvalidStatus) as denied, websocket(service, wrong, query):
            pass
        assert denied.value.response.status_code == status
    monkeypatch.setattr(alert_hub, "MAX_STREAMS_PER_ORGANIZATION", 2)
    with Listener(service, seeded.keys["default"]), websocket(service, seeded.keys["default"]):
        full = service.get("/v1/alerts/stream", headers=key)
        assert (full.status_code, full.headers["retry-after"]) == (429, "30")
        with pytest.raises(InvalidStatus) as denied, websocket(service, seeded.keys["default"]):
            pass
        assert denied.value.response.status_code == 429
        with Listener(service, seeded.keys["other"]) as other:
            assert other.frames
    until(lambda: service.hub.streams == 0)  # type: ignore[attr-defined]


def test_a_client_that_takes_nothing_is_let_go_and_holds_up_nobody(
    service: httpx.Client, seeded: Seeded, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    monkeypatch.setattr(alert_stream, "SEND_S", 0.5)
    seeded.run(
        "INSERT INTO predictions.alerts (organization_id, sim_key, kind, severity, message, opened_as_of,"
        " opened_at, seen_as_of, closed_as_of,"
        " closed_at) SELECT organization_id, sim_key, 'silent', 'info', repeat('x', 2000), date '2026-01-11',"
        " now(), date '2026-01-11',"
        f" date '2026-01-11', now() FROM core.sims, generate_series(1, 8000) WHERE iccid = '{seeded.iccid(4)}'"
    )
    with socket.socket() as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # so that the machine takes little in its place
        lazy.connect((service.base_url.host, service.base_url.port or 80))
        lazy.sendall(
            f"GET /v1/alerts/stream?after=0 HTTP/1.1\r\nHost: x\r\nX-API-Key: {seeded.keys['default']}\r\n\r\n".encode()
        )
        until(lambda: service.hub.streams == 1)  # type: ignore[attr-defined]
        with Listener(service, seeded.keys["default"]) as listener:
            opens(seeded, 5, "for the quick")
            until(lambda: listener.events)
        until(lambda: service.hub.streams == 0)  # type: ignore[attr-defined]


def test_the_service_stops_at_once_though_streams_are_open(service: httpx.Client, seeded: Seeded) -> None:
    with Listener(service, seeded.keys["default"]) as listener, websocket(service, seeded.keys["default"]) as opened:
        told(opened, "ready")
        begun = time.monotonic()
        service.server.should_exit = True  # type: ignore[attr-defined]
        until(lambda: listener.ended)
        assert closed_with(opened) in (1001, 1012)
        assert time.monotonic() - begun < 3
