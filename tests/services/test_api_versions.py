"""Ingest of an account with SIMs of both platforms, over real HTTP and a real database: calls and SIMs that go."""

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import URL
from typer.testing import CliRunner

from pipelines.cli.app import app
from pipelines.definitions import code_location
from pipelines.demo import log_in
from resources.once.errors import OnceCallGoneError
from resources.runtime import Runtime
from services.status import collect
from tests.fleet import Truth, at, ingest, settings_for

NOW = datetime(2026, 11, 27, 9, tzinfo=UTC)
DAY = timedelta(days=1)
OLD = [f"898822806660000{n:04d}" for n in range(24)]  # of Platform 1.0; more than are asked at once
NEW = [f"898822806670000{n:04d}" for n in range(6)]  # of Platform 2.0
ERROR = {"error_code": 1000, "error_token": "NotFound", "message": "Element not found"}


@dataclass
class Hybrid:
    """An account of both platforms; `gone` maps the beginning of a path to the status it answers."""

    base_url: str = ""
    gone: dict[str, int] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def answer(self, path: str) -> tuple[int, Any]:
        parts = path.split("?", maxsplit=1)[0].split("/")
        for pattern, status in self.gone.items():
            if re.match(pattern, path):
                return status, ERROR
        known = OLD if parts[1] == "v1" else OLD + NEW
        if parts[2:] == ["sims"]:
            return 200, [{"iccid": iccid, "status": "Enabled"} for iccid in known]
        if parts[2] != "sims":
            return (200, []) if parts[1] == "v1" else (404, ERROR)
        if parts[3] not in known:
            return 404, ERROR
        if parts[4] == "usage":
            return (200, {"stats": []}) if parts[1] == "v1" else (404, ERROR)
        if parts[4] == "quota":
            more = {"accumulated_total_volume": 1500} if parts[1] == "v2" else {}
            return 200, {"volume": -2 if parts[5] == "sms" else "-0.5", "total_volume": 500} | more
        if parts[4] == "status":
            return 200, {"status": {"description": "BLOCKED"} if parts[1] == "v2" else "OFFLINE"}
        return 200, [] if parts[1] == "v2" or parts[4] == "sms" else {"events": []}

    def asked(self, beginning: str) -> list[str]:
        return [path for path in self.requests if re.match(beginning, path)]


@pytest.fixture
def hybrid() -> Iterator[Hybrid]:
    served = Hybrid()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.say(200, {"access_token": "tok", "expires_in": 3600})

        def do_GET(self) -> None:
            path = self.path.removeprefix("/management-api")
            served.requests.append(path)
            self.say(*served.answer(path))

        def say(self, status: int, document: Any) -> None:
            body = json.dumps(document).encode()
            self.send_response_only(status)  # without the time: it is not that of the tests
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served.base_url = f"http://127.0.0.1:{server.server_address[1]}/management-api"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield served
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def runtime(hybrid: Hybrid, database_url: URL, tmp_path: Path) -> Iterator[Runtime]:
    with Runtime(settings_for(database_url, tmp_path, hybrid.base_url, NOW)) as opened:
        yield opened


@pytest.fixture
def truth(database_url: URL) -> Iterator[Truth]:
    opened = Truth(database_url)
    yield opened
    opened.close()


def later(runtime: Runtime, by: timedelta) -> Runtime:
    return at(runtime, NOW + by)


def test_all_that_v2_says_is_stored(runtime: Runtime, hybrid: Hybrid, truth: Truth) -> None:
    ingest(runtime, "sims", "quota", "status")
    assert truth.one("SELECT count(*) FROM core.sims") == 30
    assert truth.rows("SELECT DISTINCT kind, amount_left, amount_accumulated FROM core.sim_quota ORDER BY 1") == [
        {"kind": "data", "amount_left": -500_000, "amount_accumulated": 1_500_000_000},
        {"kind": "sms", "amount_left": -2, "amount_accumulated": 1500},
    ]
    assert truth.column("SELECT DISTINCT status FROM core.sim_connectivity") == ["BLOCKED"]
    assert hybrid.asked("/v1") == []


def test_a_top_up_that_shows_in_the_accumulated_volume_alone_is_a_change(runtime: Runtime, truth: Truth) -> None:
    ingest(runtime, "sims", "quota")
    truth.run("UPDATE core.sim_quota SET amount_accumulated = 7")
    assert ingest(later(runtime, timedelta(hours=1)), "quota")["quota"].merged.changed == 60
    assert truth.one("SELECT min(amount_accumulated) FROM core.sim_quota WHERE kind = 'data'") == 1_500_000_000


def test_a_day_that_the_usage_call_covers_without_a_row_is_corrected_to_zero(
    runtime: Runtime, hybrid: Hybrid, truth: Truth
) -> None:
    ingest(runtime, "sims")
    truth.rows(
        "INSERT INTO core.sim_usage (organization_id, sim_key, day, bytes, known_at, source, grade)"
        " SELECT 1, sim_key, %s::date - n, 7, %s, source, 'B' FROM core.sims"
        " JOIN (VALUES (2, 's'), (3, 's'), (4, 'q'), (5, 'f')) AS days (n, source) ON iccid = %s",
        (NOW.date(), NOW - DAY, OLD[0]),
    )
    assert ingest(runtime, "usage")["usage"].merged.changed == 2
    days = "SELECT bytes::text || core.usage_source(source) FROM core.sim_usage ORDER BY day DESC"
    assert truth.column(days) == ["7stream", "0call", "0call", "7file"], "of the last days a row may still come"
    assert truth.column("SELECT source FROM core.sim_usage_replaced ORDER BY day") == ["quota", "stream"]
    assert ingest(later(runtime, timedelta(hours=2)), "usage")["usage"].merged.rows == 0


def test_a_sim_of_platform_2_is_noted_and_asked_for_usage_once_a_week(
    runtime: Runtime, hybrid: Hybrid, truth: Truth
) -> None:
    done = ingest(runtime, "sims", "usage")["usage"]
    assert done.problems == {"OnceNotOnV1Error": 6}
    assert done.gone == ""
    noted = "SELECT iccid FROM ops.polls JOIN core.sims USING (sim_key) WHERE problem = 'OnceNotOnV1Error' ORDER BY 1"
    assert truth.column(noted) == NEW

    hybrid.requests.clear()
    done = ingest(later(runtime, timedelta(hours=1)), "usage")["usage"]
    assert (done.sims, done.beyond, done.problems) == (24, 6, {})
    assert done.metadata()["sims not asked, unknown to API v1"] == 6
    assert {path.split("/")[3] for path in hybrid.requests} == set(OLD)

    hybrid.requests.clear()
    assert ingest(later(runtime, timedelta(hours=25)), "usage")["usage"].sims == 24
    assert ingest(later(runtime, timedelta(days=8)), "usage")["usage"].sims == 30


@pytest.mark.parametrize("status", [404, 410])
def test_when_v1_is_turned_off_everything_else_goes_on(
    runtime: Runtime, hybrid: Hybrid, truth: Truth, status: int
) -> None:
    ingest(runtime)
    hybrid.gone["/v1/"] = status
    hybrid.requests.clear()
    done = ingest(later(runtime, timedelta(hours=2)))

    assert {name for name, result in done.items() if result.gone} == {"usage", "products", "orders", "tickets"}
    assert f"usage of API v1 is gone (GET /v1/sims/{{iccid}}/usage answers {status})" in done["usage"].gone
    assert done["usage"].metadata()["the call is gone"] == done["usage"].gone
    assert done["quota"].sims == 30
    assert len(hybrid.asked("/v1/")) <= 16 + 3 + 3
    assert truth.rows("SELECT DISTINCT problem FROM ops.polls WHERE problem <> 'OnceNotOnV1Error'") == []

    hybrid.requests.clear()  # a new client, whose book comes from the database
    ingest(later(runtime, timedelta(hours=3)))
    assert hybrid.asked("/v1/") == []
    hybrid.requests.clear()
    del hybrid.gone["/v1/"]
    done = ingest(later(runtime, timedelta(hours=30)))
    assert [name for name, result in done.items() if result.gone] == []
    assert truth.column("SELECT call FROM ops.once_calls WHERE gone_since IS NOT NULL AND call <> 'sims'") == []


def test_a_list_of_v1_marks_no_sim_as_gone_that_v2_had_named(runtime: Runtime, hybrid: Hybrid, truth: Truth) -> None:
    ingest(runtime, "sims")
    hybrid.gone["/v2/"] = 404
    ingest(later(runtime, 2 * DAY), "sims")
    assert truth.one("SELECT count(*) FROM core.sims WHERE unlisted_at IS NOT NULL") == 0
    assert hybrid.asked("/v1/sims") != []


def test_with_v2_alone_usage_is_never_asked(hybrid: Hybrid, database_url: URL, tmp_path: Path) -> None:
    with Runtime(settings_for(database_url, tmp_path, hybrid.base_url, NOW, once_api="v2")) as runtime:
        done = ingest(runtime)
    assert "ONCE_API=v2: API v2 has no call for usage" in done["usage"].gone
    assert done["quota"].sims == 30
    assert hybrid.asked("/v1/") == []


def test_the_assets_of_gone_calls_succeed_and_say_so(runtime: Runtime, hybrid: Hybrid) -> None:
    hybrid.gone["/v1/"] = 410
    location = code_location(runtime)
    with dg.DagsterInstance.ephemeral() as instance:
        job = location.get_repository_def().get_job("ingest")
        done = job.execute_in_process(instance=instance, partition_key=str(NOW.date()), raise_on_error=False)
        assert done.success
        (usage,) = done.asset_materializations_for_node("sim_usage")
    assert "usage of API v1 is gone" in str(usage.metadata["the call is gone"].value)


@pytest.mark.parametrize("status", [404, 410])
def test_v1_alone_and_v1_gone_is_said_at_the_log_in_and_by_the_list(
    hybrid: Hybrid, database_url: URL, tmp_path: Path, status: int
) -> None:
    hybrid.gone["/v1/"] = status
    said = rf"API v1 is gone \(GET /v1/sims answers {status}\)\. Set ONCE_API=auto.*Data Streamer.*quota looks"
    with Runtime(settings_for(database_url, tmp_path, hybrid.base_url, NOW, once_api="v1")) as runtime:
        with pytest.raises(OnceCallGoneError, match=said):
            log_in(runtime.settings)
        for _ in range(2):
            with pytest.raises(OnceCallGoneError, match=said):
                ingest(runtime, "sims")


def test_the_log_in_needs_no_call_that_v2_lacks(runtime: Runtime, hybrid: Hybrid) -> None:
    hybrid.gone["/v1/"] = 404
    log_in(runtime.settings)
    assert hybrid.requests == ["/v2/sims?page=1&pageSize=1"]


def test_status_and_doctor_list_the_calls_and_warn(
    runtime: Runtime, hybrid: Hybrid, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ingest(runtime)
    status = collect(runtime)
    assert status["calls"]["usage"] == {"version": "v1", "last_success_at": NOW.isoformat()}
    assert status["calls"]["sims"]["version"] == "v2"
    assert "in 34 days, and is in use for usage, products, orders, tickets" in status["warnings"]["API v1"]

    hybrid.gone["/v1/"] = 410
    gone_at = NOW + timedelta(hours=2)
    after = later(runtime, timedelta(hours=2))
    ingest(after)
    status = collect(after)
    assert status["calls"]["usage"] == {
        "version": None,
        "last_success_at": NOW.isoformat(),
        "v1_gone_since": gone_at.isoformat(),
    }
    assert "API v1" not in status["warnings"]

    settings = runtime.settings
    assert settings.database_url
    for name, value in {
        "SIMSIGHT_HOME": str(tmp_path),
        "SIMSIGHT_DATABASE_URL": settings.database_url.get_secret_value(),
        "SIMSIGHT_NOW": gone_at.isoformat(),
        "ONCE_BASE_URL": hybrid.base_url,
        "ONCE_USERNAME": "demo",
        "ONCE_PASSWORD": "demo",
        "ONCE_UNLIMITED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    doctor = CliRunner().invoke(app, ["doctor"])
    said = " ".join(doctor.output.split())
    assert doctor.exit_code == 0, doctor.output
    assert "usage: gone; last answer 2026-11-27 09:00 UTC; gone from v1 since 2026-11-27 11:00 UTC" in said
    assert "sims: API v2; last answer 2026-11-27 11:00 UTC" in said
    assert "warning calls to 1NCE" not in said
    monkeypatch.setenv("SIMSIGHT_NOW", (NOW + 3 * DAY).isoformat())
    assert "to do: API v1 retires on 2026-12-31, in 31 days" in " ".join(
        CliRunner().invoke(app, ["doctor"]).output.split()
    )
