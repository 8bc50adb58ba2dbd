"""Problems, the database going away, the OpenAPI document, and starting up."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import psycopg
import pytest

from api.app import create_app
from api.schemas.predictions import ExhaustionCursor
from api.server import serve
from resources.database.server import driver_url
from resources.ports import PortInUseError
from resources.settings import Settings
from tests.forked import Forked, Process

BAD_PARAMETERS = [
    ("/v1/sims?limit=0", "limit"),
    ("/v1/sims?limit=1001", "limit"),
    ("/v1/sims?after=12", "after"),
    ("/v1/sims?status=enabled", "status"),
    ("/v1/sims?label=%00", "label"),
    ("/v1/sims?state=lost", "state"),
    ("/v1/sims/8988280666000000001/lifecycle?after=2026-01-10", "after"),
    ("/v1/sims/8988280666000000001/lifecycle?after=2026-02-30.1", "after"),
    ("/v1/sims/123", "iccid"),
    ("/v1/sims/8988280666000000001/usage?from=yesterday", "from"),
    ("/v1/sims/8988280666000000001/usage?from=2020-01-01", "from"),
    ("/v1/sims/8988280666000000001/usage?from=2026-01-05&to=2026-01-01", "from"),
    ("/v1/sims/8988280666000000001/forecast?as_of=2026-02-30", "as_of"),
    ("/v1/exhaustions?after=page2", "after"),
    ("/v1/exhaustions?after=eyJhIjoxfQ", "after"),
    ("/v1/exhaustions?after=%C3%A9", "after"),
    ("/v1/exhaustions?status=dead", "status"),
    ("/v1/exhaustions?cause=sms", "cause"),
    ("/v1/alerts?after=-1", "after"),
    ("/v1/alerts?after=9223372036854775808", "after"),
    ("/v1/alerts?state=new", "state"),
    ("/v1/alerts?kind=loud", "kind"),
]


def test_a_bad_parameter_is_named_with_what_is_wrong(client: httpx.Client) -> None:
    for path, field in BAD_PARAMETERS:
        answer = client.get(path)
        assert (path, answer.status_code) == (path, 422)
        assert answer.headers["content-type"] == "application/problem+json"
        assert [item["field"] for item in answer.json()["errors"]] == [field]
        assert field in answer.json()["detail"]


UNKNOWN_PARAMETERS = [
    ("/v1/alerts?serverity=critical", "serverity", "there are"),
    ("/v1/sims?lable=pump", "lable", "did you mean label?"),
    ("/v1/exhaustions?asof=2026-01-09", "asof", "did you mean as_of?"),
    ("/v1/anomalies?limit=5&limit=6", "limit", "more than once"),
]


def test_a_parameter_that_is_not_there_is_refused_with_the_nearest_one_that_is(client: httpx.Client) -> None:
    for path, field, said in UNKNOWN_PARAMETERS:
        answer = client.get(path)
        assert (path, answer.status_code, answer.headers["content-type"]) == (path, 422, "application/problem+json")
        assert [item["field"] for item in answer.json()["errors"]] == [field]
        assert said.lower() in answer.json()["detail"].lower()


def test_no_route_ignores_a_parameter(admin: httpx.Client, seeded: Any) -> None:
    document = admin.get("/openapi.json").json()
    asked = [("get", path) for path in ("/", "/docs", "/openapi.json")]
    asked += [(verb, path) for path, verbs in document["paths"].items() for verb in verbs]
    for verb, template in asked:
        if template.startswith("/streams/"):  # a record of 1NCE is never lost for what a URL has behind it
            continue
        path = template.replace("{iccid}", seeded.iccid(1)).replace("{view}", "sims").replace("{alert_id}", "1")
        answer = admin.request(verb, path.replace("{rule_id}", "1"), params={"surely_unknown": "1"})
        assert (path, answer.status_code, "surely_unknown" in answer.text) == (path, 422, True)
    assert admin.get("/v1/export/sims?where=label=default-1&where=label=default-2").status_code == 200


def test_values_of_another_form_than_the_documented_one_are_refused(client: httpx.Client, seeded: Any) -> None:
    for query, field in {"day=0": "day", "day=1767225600": "day", "limit=1_0": "limit", "limit=5.0": "limit"}.items():
        answer = client.get(f"/v1/anomalies?{query}")
        assert (query, answer.status_code, [e["field"] for e in answer.json()["errors"]]) == (query, 422, [field])
    assert client.get(f"/v1/sims/{seeded.iccid(1)}/exhaustion?as_of=0").status_code == 422
    assert client.get("/v1/alerts/1_0").status_code == 422


def test_an_iccid_may_have_its_check_digit(client: httpx.Client, seeded: Any) -> None:
    short, long = "8988280666000000001", "89882806660000000010"
    for tail in ("", "/usage", "/forecast", "/exhaustion", "/lifecycle"):
        assert client.get(f"/v1/sims/{long}{tail}").json() == client.get(f"/v1/sims/{short}{tail}").json()
    assert client.get(f"/v1/anomalies?iccid={long}").status_code == 200
    wrong = client.get("/v1/sims/89882806660000000011")
    assert (wrong.status_code, "check digit" in wrong.json()["detail"]) == (422, True)


def test_head_answers_as_get_does_without_a_body(client: httpx.Client, stranger: httpx.Client, seeded: Any) -> None:
    paths = ["/docs", "/openapi.json", "/health", "/v1/sims", "/v1/report", "/v1/export/sims", "/nowhere"]
    for path in [*paths, f"/v1/sims/{seeded.iccid(1)}"]:
        got, head = client.get(path), client.head(path)
        assert (path, head.status_code, head.content) == (path, got.status_code, b"")
        assert head.headers["content-type"] == got.headers["content-type"]
    for _ in range(25):  # more than there are places for live streams
        assert client.head("/v1/alerts/stream").headers["content-type"].startswith("text/event-stream")
    assert stranger.head("/v1/sims").status_code == 401


def test_a_method_that_is_not_there_is_answered_with_all_that_are(client: httpx.Client, seeded: Any) -> None:
    for method, path, allowed in (
        ("PUT", "/v1/sims", "GET, HEAD"),
        ("PUT", "/v1/alert-rules", "GET, HEAD, POST"),
        ("GET", "/v1/alert-rules/1", "DELETE, PATCH"),
        ("OPTIONS", "/v1/alerts/1", "GET, HEAD"),
        ("GET", "/v1/sims/batch", "POST"),  # and not a SIM with a wrong ICCID
    ):
        answer = client.request(method, path)
        assert (path, answer.status_code, answer.headers["allow"]) == (path, 405, allowed)


def test_the_address_in_the_documentation_is_the_one_that_was_called(client: httpx.Client) -> None:
    here = str(client.base_url).rstrip("/")
    assert client.get("/openapi.json").json()["servers"] == [{"url": here}]
    assert f"{here}/v1/exhaustions" in client.get("/docs/plain").text
    proxy = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "fleet.example", "X-Forwarded-Prefix": "/simsight"}
    assert client.get("/openapi.json", headers=proxy).json()["servers"] == [{"url": "https://fleet.example/simsight"}]
    assert "https://fleet.example/simsight/v1/exhaustions" in client.get("/docs/plain", headers=proxy).text
    assert 'src="/simsight/docs/static/init.js' in client.get("/docs", headers=proxy).text
    assert client.get("/", headers=proxy).headers["location"] == "/simsight/sign-in"
    page = client.get("/v1/sims?limit=5", headers=proxy)
    assert page.links["next"]["url"].startswith("/simsight/v1/sims?limit=5&after=")
    hostile = {"X-Forwarded-Host": "<script>", "X-Forwarded-Prefix": '//evil.example/"'}
    assert client.get("/openapi.json", headers=hostile).json()["servers"] == [{"url": "/"}]
    for page in ("/docs", "/docs/plain"):
        assert "evil.example" not in client.get(page, headers=hostile).text


def test_the_documentation_shows_bodies_and_answers(stranger: httpx.Client) -> None:
    page = stranger.get("/docs/plain").text
    document = stranger.get("/openapi.json").json()
    for name, schema in document["components"]["schemas"].items():
        assert f'id="{name}"' in page
        for field in schema.get("properties", {}):
            assert f"<code>{field}</code>" in page
    assert 'Body: <a href="#RuleToAdd">' in page
    assert 'href="#ExhaustionPage"' in page
    for name in re.findall(r'href="#([^"]+)"', page):
        assert f'id="{name}"' in page


def test_days_before_and_after_all_known_ones_are_an_empty_list(client: httpx.Client, seeded: Any) -> None:
    for days in ({"to": "0001-01-01"}, {"from": "9999-12-31"}, {"from": "9999-12-31", "to": "9999-12-31"}):
        answer = client.get(f"/v1/sims/{seeded.iccid(1)}/usage", params=days)
        assert (answer.status_code, answer.json()["items"]) == (200, [])


def test_what_is_not_there_is_a_problem_that_says_where_to_look(client: httpx.Client, seeded: Any) -> None:
    no_forecast = client.get(f"/v1/sims/{seeded.iccid(12)}/forecast")
    assert (no_forecast.status_code, "no forecast" in no_forecast.json()["detail"]) == (404, True)
    too_old = client.get(f"/v1/sims/{seeded.iccid(1)}/exhaustion?as_of=2025-01-01")
    assert (too_old.status_code, "leave out as_of" in too_old.json()["detail"]) == (404, True)
    nowhere = client.get("/v2/sims")
    assert (nowhere.status_code, "/docs" in nowhere.json()["detail"]) == (404, True)
    posted = client.post("/v1/sims")
    assert (posted.status_code, posted.headers["content-type"]) == (405, "application/problem+json")


def test_cursors_come_back_as_they_went() -> None:
    cursor = ExhaustionCursor(
        as_of="2026-01-10", ended=False, ends_on="infinity", p_14=0.1 + 0.2, iccid="8988280666000000001"
    )
    assert ExhaustionCursor.decode(cursor.encode()) == cursor


def test_killed_connections_are_replaced_without_a_failed_request(client: httpx.Client, seeded: Any) -> None:
    assert client.get("/v1/sims").status_code == 200
    seeded.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid()"
    )
    assert client.get("/v1/sims").status_code == 200


def test_while_the_database_is_away_answers_are_503_and_then_good_again(client: httpx.Client, seeded: Any) -> None:
    assert client.get("/v1/sims").status_code == 200
    elsewhere, name = seeded.url.set(database="postgres"), seeded.url.database
    seeded.run(
        f"ALTER DATABASE {name} ALLOW_CONNECTIONS false",
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
        url=elsewhere,
    )
    for path in ("/health", "/v1/sims", "/v1/report"):
        answer = client.get(path)
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["retry-after"]
        assert str(name) not in answer.text
    seeded.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true", url=elsewhere)
    assert client.get("/health").status_code == 200
    assert client.get("/v1/sims").status_code == 200


@pytest.mark.parametrize(
    ("stop", "words"), [("pg_terminate_backend", "does not answer"), ("pg_cancel_backend", "was stopped")]
)
def test_a_query_cut_off_halfway_is_a_503(client: httpx.Client, seeded: Any, stop: str, words: str) -> None:
    text = driver_url(seeded.url, "").render_as_string(hide_password=False)
    answers: list[httpx.Response] = []
    with psycopg.connect(text) as blocker:
        blocker.execute("LOCK TABLE core.sims")
        asking = threading.Thread(target=lambda: answers.append(client.get("/v1/sims")))
        asking.start()
        cut = (
            f"SELECT {stop}(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        while asking.is_alive():
            seeded.run(cut)
            asking.join(0.05)
    assert answers[0].status_code == 503
    assert words in answers[0].json()["detail"]
    assert client.get("/v1/sims").status_code == 200


def test_a_service_started_before_its_database_answers_503(serve_app: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with serve_app(create_app(f"postgresql://someone:secret-word@127.0.0.1:{port}/simsight")) as client:
        for path in ("/health", "/v1/sims"):
            answer = client.get(path, headers={"X-API-Key": "ss_" + 43 * "x"})
            assert answer.status_code == 503
            assert "secret-word" not in answer.text
        assert client.get("/docs").status_code == 200


def test_a_schema_older_than_the_service_is_a_503_that_names_the_command(serve_app: Any, empty_url: Any) -> None:
    with serve_app(create_app(empty_url)) as client:
        answer = client.get("/health")
    assert (answer.status_code, "simsight migrate" in answer.json()["detail"]) == (503, True)


def test_an_unexpected_error_tells_nothing_of_its_cause(serve_app: Any) -> None:
    app = create_app("postgresql://localhost/simsight")

    @app.get("/broken")
    def broken() -> None:
        raise RuntimeError("SELECT secret FROM somewhere")

    with serve_app(app) as client:
        answer = client.get("/broken")
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "secret" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_openapi_document_holds_together(stranger: httpx.Client, admin: httpx.Client, seeded: Any) -> None:
    document = stranger.get("/openapi.json").json()
    text = json.dumps(document)
    assert document["openapi"].startswith("3.1")
    for reference in re.findall(r'"\$ref": "#/components/schemas/([^"]+)"', text):
        assert reference in document["components"]["schemas"]
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    assert {"Bearer", "X-API-Key", "Basic", "Stream"} == set(document["components"]["securitySchemes"])
    assert "synthetic data" in document["info"]["description"]
    operations = [operation for verbs in document["paths"].values() for operation in verbs.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations) >= 26
    assert all(operation["summary"] and operation["tags"] for operation in operations)
    assert "HTTPValidationError" not in text

    for path, verbs in document["paths"].items():
        content = verbs["get"]["responses"]["200"]["content"] if "get" in verbs else {"text/event-stream": {}}
        if "text/event-stream" in content:  # it would never end
            continue
        named = path.replace("{iccid}", seeded.iccid(1)).replace("{alert_id}", "1").replace("{case_id}", "case 1")
        named = named.replace("{dataset}", "exhaustions").replace("{view}", "sims_v1")
        answer = admin.get(named.replace("{report_id}", "1").replace("{bulk_id}", "1"))
        documented = verbs["get"]["responses"]  # 404 is right where the seed has nothing of the kind
        assert answer.status_code in (200, 404), (path, answer.text)
        media = answer.headers["content-type"].partition(";")[0]
        said = {name.partition(";")[0]: kind for name, kind in documented[str(answer.status_code)]["content"].items()}
        assert (path, media in said) == (path, True)
        if media.endswith(("/json", "+json")):
            jsonschema.validate(answer.json(), {**said[media]["schema"], "components": document["components"]})


def test_the_documentation_needs_nothing_from_outside(stranger: httpx.Client) -> None:
    page = stranger.get("/docs/plain").text
    assert "<script" not in page
    assert not re.findall(r'(?:src|href)="https?:', page)
    for path in stranger.get("/openapi.json").json()["paths"]:
        assert path in page
    tried = stranger.get("/docs")
    assert "script-src 'self'; style-src 'self'; " in tried.headers["content-security-policy"]
    files = re.findall(r'(?:src|href)="(/docs/static/[^"]+)"', tried.text)
    assert len(files) == 4
    assert not re.findall(r"<script[^>]*>[^<]|<style| style=| on[a-z]+=", tried.text), "nothing inline"
    for file in [*files, "/docs/static/LICENSES.txt"]:
        answer = stranger.get(file)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
    assert stranger.get("/docs/static/samples.py").status_code == 404
    assert stranger.get("/docs/static/..%2Fpage.py").status_code == 404


def test_a_taken_port_is_told_with_the_setting_that_mends_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = Settings(home=tmp_path, api_port=port)
        with pytest.raises(PortInUseError, match=f"127.0.0.1:{port}.*SIMSIGHT_API_PORT"):
            serve(settings, "postgresql://localhost/simsight")


@pytest.mark.parametrize("variable", ["SIMSIGHT_API_DATABASE_URL", "SIMSIGHT_DATABASE_URL"])
def test_a_login_of_the_service_s_role_alone_serves(seeded: Any, tmp_path: Path, variable: str) -> None:
    login, password = f"service_{os.getpid()}_{variable.lower()}", "only-serves"
    seeded.run(
        f"CREATE ROLE {login} LOGIN PASSWORD '{password}' NOSUPERUSER NOCREATEDB NOCREATEROLE IN ROLE simsight_api",
        "UPDATE core.organizations SET data_note = 'synthetic data' WHERE slug = 'default'",
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = seeded.url.set(drivername="postgresql", username=login, password=password)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SIMSIGHT_")}
    given = {variable: url.render_as_string(hide_password=False), "SIMSIGHT_API_PORT": str(port)}
    environment = kept | given | {"SIMSIGHT_HOME": str(tmp_path / "home"), "PYTHONPATH": str(Path.cwd())}
    process: Process
    if variable == "SIMSIGHT_DATABASE_URL":
        process = Forked(["simsight", "serve"], environment, tmp_path)
    else:  # a wholly new process
        process = subprocess.Popen(
            [sys.executable, "-m", "pipelines.cli", "serve"],
            env=environment,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"X-API-Key": seeded.keys["default"]}) as served:
            for _ in range(300):
                with suppress(httpx.TransportError):
                    served.get("/health")
                    break
                assert process.poll() is None, process.stdout.read() if process.stdout else ""
                time.sleep(0.2)
            assert served.get("/health").json()["status"] == "ok"
            sims = served.get("/v1/sims")
            assert (len(sims.json()["items"]), sims.headers["x-data-note"]) == (12, "synthetic data")
            assert served.post("/v1/alerts/1/resolve").status_code == 403
        assert not (tmp_path / "home").exists()  # no embedded server beside it
    finally:
        process.terminate()
        process.communicate(timeout=30)
        seeded.run(f"DROP ROLE {login}")
