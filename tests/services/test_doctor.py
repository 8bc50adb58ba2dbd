"""`simsight doctor` over real faults: each is a failed check or a warning that says what to do, and hides no other."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import URL
from typer.testing import CliRunner

from pipelines import schedules, sensors
from pipelines.cli import app
from resources.database.server import driver_url
from services.doctor.database import SSL_REQUEST, certificate_end
from services.doctor.pipeline import ESSENTIAL
from tests.receiver import hook_server
from tests.tls import Authority

HUSH = "hush-hush-planted"
Doctor = Callable[[], tuple[int, dict[str, dict[str, str]]]]


@pytest.fixture
def doctor(database_url: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Doctor:
    """Runs the doctor over a whole installation; gives its exit code and its checks by name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIMSIGHT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SIMSIGHT_DATABASE_URL", text(database_url))

    def run() -> tuple[int, dict[str, dict[str, str]]]:
        done = CliRunner().invoke(app, ["doctor", "--json"])
        assert HUSH not in done.output
        return done.exit_code, {check["name"]: check for check in json.loads(done.stdout)}

    return run


def text(url: URL) -> str:
    return driver_url(url, "").render_as_string(hide_password=False)


def run(url: URL, *statements: str) -> None:
    with psycopg.connect(text(url), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def test_a_whole_installation_has_nothing_to_fix(doctor: Doctor) -> None:
    code, checks = doctor()
    assert code == 0, checks
    assert {check["level"] for check in checks.values()} <= {"ok", "warning"}
    names = {"settings", "home", "disk", "secrets", "database", "storage grade", "schema", "rights", "backup", "clock"}
    names |= {"link to the database", "Dagster", "messages", "data", "MLflow", "1NCE account"}
    # a server that other tests have used has Dagster's tables and models too
    assert names <= checks.keys() <= names | {"daemon", "runs", "champions"}
    assert all(check["to_do"] for check in checks.values() if check["level"] != "ok")


def test_faults_of_the_database_are_named_with_what_to_do(
    doctor: Doctor, database_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(database_url, "DELETE FROM ops.schema_migrations WHERE version = 40")
    code, checks = doctor()
    assert (code, checks["schema"]["level"]) == (1, "failed")
    assert checks["schema"]["found"].endswith("; missing: 40")
    assert "simsight migrate" in checks["schema"]["to_do"]

    run(database_url, "UPDATE ops.schema_migrations SET sha256 = 'x' WHERE version = 2")
    assert "; missing: 40; changed since they were applied: 0002_" in doctor()[1]["schema"]["found"]

    monkeypatch.setenv("SIMSIGHT_DATABASE_URL", text(database_url.set(username="nobody-here", password=HUSH)))
    code, checks = doctor()
    assert (code, checks["database"]["level"]) == (1, "failed")
    assert "SIMSIGHT_DATABASE_URL has the right host, port, user and password" in checks["database"]["to_do"]
    assert {"home", "1NCE account"} <= checks.keys(), "the rest is looked at all the same"


def test_the_login_of_the_service_may_what_it_needs_and_no_more(
    doctor: Doctor, database_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = f"doctor_{database_url.database}"
    run(database_url, f"CREATE ROLE {login} LOGIN")
    monkeypatch.setenv("SIMSIGHT_API_DATABASE_URL", text(database_url.set(username=login)))
    try:
        assert doctor()[1]["rights of the API"]["level"] == "failed"
        run(database_url, f"GRANT simsight_api TO {login}")
        assert doctor()[1]["rights of the API"]["level"] == "ok"
        run(database_url, f"GRANT simsight_owner TO {login}")
        assert doctor()[1]["rights of the API"]["level"] == "warning"
    finally:
        run(database_url, f"DROP ROLE {login}")


def test_faults_around_the_database_are_named(doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text(f"SIMSIGHT_LLM_API_KEY={HUSH}\n")
    Path(".env").chmod(0o644)
    (tmp_path / "a file").touch()
    away = "http://127.0.0.1:1"
    for name, value in {
        "SIMSIGHT_HOME": str(tmp_path / "a file" / "home"),
        "SIMSIGHT_MLFLOW_TRACKING_URI": f"http://me:{HUSH}@127.0.0.1:1",
        "SIMSIGHT_API_URL": away,
        "SIMSIGHT_SCEDULES": "true",
        "ONCE_BASE_URL": f"{away}/management-api",
        "ONCE_USERNAME": "demo",
        "ONCE_PASSWORD": HUSH,
    }.items():
        monkeypatch.setenv(name, value)
    code, checks = doctor()
    assert code == 1
    failed = {name for name, check in checks.items() if check["level"] == "failed"}
    assert failed == {"home", "MLflow", "HTTP service", "1NCE account"}
    assert (checks["secrets"]["level"], checks["secrets"]["to_do"]) == ("warning", "chmod 600 .env")
    assert "SIMSIGHT_SCEDULES (SIMSIGHT_SCHEDULES?)" in checks["settings"]["found"]
    assert "does not answer" in checks["1NCE account"]["to_do"]

    monkeypatch.delenv("ONCE_USERNAME")
    assert doctor()[1]["1NCE account"]["found"] == "only half of it is set"
    monkeypatch.setenv("SIMSIGHT_API_PORT", "eighty")
    code, checks = doctor()
    assert (code, list(checks)) == (1, ["settings"])
    assert "SIMSIGHT_API_PORT" in checks["settings"]["to_do"]


def test_1nce_is_asked_for_a_token_and_nothing_else(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    with hook_server("/management-api") as once:
        once.status = 401
        for name, value in {"BASE_URL": once.url, "USERNAME": "demo", "PASSWORD": HUSH}.items():
            monkeypatch.setenv(f"ONCE_{name}", value)
        code, checks = doctor()
    assert code == 1
    assert "refuses the user name and password (HTTP 401)" in checks["1NCE account"]["to_do"]
    assert [json.loads(body) for _, body in once.posts] == [{"grant_type": "client_credentials"}]


def test_messages_that_do_not_leave_are_told(doctor: Doctor, database_url: URL) -> None:
    run(
        database_url,
        "INSERT INTO ops.channels (organization_id, name, kind, url_variable, min_severity, direct, resolved,"
        " tells_from, time_zone, after_crash, parked_at, parked_reason, created_at)"
        " VALUES (1, 'ops-mail', 'apprise', 'X_URL', 'info', true, true, now(), 'UTC', 'resend',"
        " now(), 'HTTP 410', now())",
    )
    code, checks = doctor()
    assert (code, checks["messages"]["level"]) == (0, "warning")
    assert "ops-mail (HTTP 410)" in checks["messages"]["found"]


def test_what_is_called_essential_exists() -> None:
    assert all(hasattr(schedules, name) or hasattr(sensors, name) for name in ESSENTIAL)


def test_the_certificate_of_the_database_link_is_read_until_when_it_holds(tmp_path: Path) -> None:
    with postgres_with_tls(Authority(tmp_path).server("127.0.0.1")) as port:
        ends = certificate_end("127.0.0.1", port)
    assert timedelta(hours=23) < ends - datetime.now(UTC) <= timedelta(days=1)


@contextmanager
def postgres_with_tls(context: ssl.SSLContext) -> Iterator[int]:
    """The first words of a PostgreSQL server that takes TLS, once."""

    def answer() -> None:
        client, _ = listener.accept()
        with client:
            assert client.recv(8) == SSL_REQUEST
            client.sendall(b"S")
            with context.wrap_socket(client, server_side=True) as wrapped:
                wrapped.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()
