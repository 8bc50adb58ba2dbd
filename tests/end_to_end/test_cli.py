"""The command line as a person or a script meets it: exit codes, what errors say, help, doctor, keys and service."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from end_to_end.conftest import Home, connect, every_row, free_port, new_home, said_by
from sqlalchemy import URL

from simulator.fleet import Fleet
from simulator.server import SimulatorServer

NOW = "2026-06-30T06:00:00+00:00"
ICCID = "8988228066000000001"
HEAVY = (
    "dagster",
    "polars",
    "pandas",
    "mlflow",
    "sklearn",
    "statsforecast",
    "great_expectations",
    "matplotlib",
    "fastapi",
)
COMMANDS = (
    "demo",
    "simulate",
    "migrate",
    "ingest",
    "run",
    "import",
    "export",
    "serve",
    "dev",
    "models",
    "rollback",
    "mlflow",
    "status",
    "sim",
    "doctor",
    "api-key",
    "stream",
    "feedback",
    "rules",
    "alerts",
    "channels",
    "oncall",
    "notify",
    "actions",
)


@pytest.fixture
def served(database_url: URL) -> Iterator[Home]:
    """A home whose database is a fresh one of the tests' server, migrated and empty."""
    with new_home(SIMSIGHT_DATABASE_URL=database_url.render_as_string(hide_password=False), SIMSIGHT_NOW=NOW) as home:
        yield home


@pytest.fixture
def taken_port() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield str(listener.getsockname()[1])


def _add_sim(url: URL) -> None:
    with connect(url) as connection:
        connection.execute(
            "INSERT INTO core.sims (organization_id, iccid, first_seen_at, changed_at) "
            "SELECT organization_id, %s, %s, %s FROM core.organizations WHERE slug = 'default'",
            (ICCID, NOW, NOW),
        )


def _refused(outcome: tuple[int, str], code: int, *words: str) -> str:
    """The command ended with this code, said these words, and showed no traceback and no password."""
    ended, said = outcome
    assert ended == code, said
    assert "Traceback" not in said, said
    assert "hush" not in said
    for word in words:
        assert word in said, said
    return said


def test_every_command_explains_itself_without_loading_heavy_libraries() -> None:
    program = f"""
import json, sys
from typer.testing import CliRunner
from pipelines.cli import app
groups = [[group, name] for group in ("api-key", "stream") for name in ("create", "list", "revoke")]
commands = [[], *([name] for name in {COMMANDS!r}), *groups]
pages = [(command, CliRunner().invoke(app, [*command, "--help"])) for command in commands]
helped = {{" ".join(command): [page.exit_code, page.output] for command, page in pages}}
print(json.dumps([helped, [name for name in {HEAVY!r} if name in sys.modules]]))
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    helped, loaded = json.loads(ended.stdout.splitlines()[-1])
    assert loaded == []
    for command, (code, page) in helped.items():
        assert code == 0, command
        assert f"Usage: simsight {command}".rstrip() in page.replace("root ", "simsight "), page
    assert all(name in helped[""][1] for name in COMMANDS)


def test_wrong_usage_ends_with_code_2_and_names_what_is_wrong(home: Home) -> None:
    wrong = {"ingset": ("ingset",), "--jsno": ("status", "--jsno"), "--days": ("demo", "--days", "7")}
    outcomes = home.run_together(*((arguments, {}) for arguments in wrong.values()))
    for word, outcome in zip(wrong, outcomes, strict=True):
        _refused(outcome, 2, word)


def test_a_wrong_setting_ends_with_code_2_and_its_name(home: Home) -> None:
    wrong = {
        "SIMSIGHT_API_PORT": "eighty",
        "SIMSIGHT_ORGANIZATION": "Not A Slug",
        "SIMSIGHT_NOW": "yesterday",
        "ONCE_REQUESTS_PER_SECOND": "-1",
    }
    outcomes = home.run_together(*((("status",), {name: value}) for name, value in wrong.items()))
    for name, outcome in zip(wrong, outcomes, strict=True):
        _refused(outcome, 2, f"{name}: ", ".env")


def test_a_database_out_of_reach_is_named_without_its_password(home: Home) -> None:
    url = {"SIMSIGHT_DATABASE_URL": "postgresql://somebody:hush-hush@127.0.0.1:1/simsight"}
    for outcome in home.run_together(*(((name,), url) for name in ("migrate", "status", "doctor", "demo", "run"))):
        _refused(outcome, 1, "no connection to PostgreSQL at 127.0.0.1:1/simsight", "SIMSIGHT_DATABASE_URL")


def test_a_home_that_is_a_file_is_said_to_be_one(home: Home) -> None:
    home.folder.write_text("not a folder")
    _refused(home.run("status"), 1, str(home.folder))


@pytest.mark.skipif(os.getuid() == 0, reason="the superuser may write everywhere")
def test_a_home_that_cannot_be_written_is_named(home: Home) -> None:
    home.folder.mkdir()
    home.folder.chmod(0o500)
    _refused(home.run("status"), 1, str(home.folder))


def test_ingest_without_an_account_says_which_settings_are_needed(served: Home) -> None:
    _refused(served.run("ingest"), 2, "ONCE_USERNAME", "ONCE_PASSWORD", "simsight demo")


def test_wrong_credentials_are_said_once_and_do_not_show_the_password(served: Home) -> None:
    fleet = Fleet(sims=2, start=date(2026, 6, 1))
    with SimulatorServer(fleet, now=datetime(2026, 6, 30, 6, tzinfo=UTC)) as server:
        account = {"ONCE_BASE_URL": server.base_url, "ONCE_USERNAME": "demo", "ONCE_PASSWORD": "hush"}
        ingest, doctor = served.run_together((("ingest",), account), (("doctor",), account))
    said = _refused(ingest, 1, "refuses the user name and password")
    assert said.count("ONCE_PASSWORD") == 1
    _refused(doctor, 1, "refuses the user name and password")


def test_1nce_out_of_reach_is_said_at_once(served: Home) -> None:
    account = {
        "ONCE_BASE_URL": "http://127.0.0.1:1/management-api",
        "ONCE_USERNAME": "demo",
        "ONCE_PASSWORD": "hush",
    }
    for outcome in served.run_together((("ingest",), account), (("demo",), account)):
        _refused(outcome, 1, "cannot be reached at 127.0.0.1:1", "ONCE_BASE_URL")


@pytest.fixture
def empty_account() -> Iterator[dict[str, str]]:
    """The variables of an account without a SIM, in surroundings whose proxies answer nothing."""

    class Account(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self._answer(b'{"access_token": "t", "token_type": "bearer", "expires_in": 3600}')

        def do_GET(self) -> None:
            self._answer(b"[]")

        def _answer(self, body: bytes) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response_only(200)  # without the time: it is not that of the tests
            for name, value in (("Content-Type", "application/json"), ("Content-Length", str(len(body)))):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Account) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield {
            "ONCE_BASE_URL": f"http://127.0.0.1:{server.server_port}/management-api",
            "ONCE_USERNAME": "demo",
            "ONCE_PASSWORD": "hush",
            "HTTP_PROXY": "http://127.0.0.1:9",
            "ALL_PROXY": "socks5://127.0.0.1:9",
        }
        server.shutdown()


def test_an_account_without_a_sim_is_said_to_have_none(served: Home, empty_account: dict[str, str]) -> None:
    url = empty_account["ONCE_BASE_URL"]
    said = _refused(
        served.run("ingest", **empty_account), 3, f"the 1NCE account of demo at {url} has no SIM yet: order SIMs"
    )
    assert "expect_" not in said
    _refused(served.run("run", **empty_account), 1, "the 1NCE account has none yet: order SIMs there")


def test_days_in_the_wrong_order_or_not_yet_come_are_refused(served: Home) -> None:
    account = {"ONCE_USERNAME": "demo", "ONCE_PASSWORD": "hush"}
    backwards, too_late, incomplete = served.run_together(
        (("ingest", "--from", "2026-06-20", "--to", "2026-06-10"), account),
        (("ingest", "--from", "2026-06-20", "--to", "2026-07-20"), account),
        (("run", "--as-of", "2026-06-29"), {}),
    )
    for outcome in (backwards, too_late):
        _refused(outcome, 2, "--from 2026-06-20", "2026-06-30")
    _refused(incomplete, 2, "--as-of 2026-06-29", "2026-06-28")


def test_the_demo_keeps_away_from_the_data_of_a_real_account(served: Home, database_url: URL) -> None:
    _add_sim(database_url)
    before = every_row(database_url)
    _refused(served.run("demo", "--sims", "5"), 2, "holds real data", "SIMSIGHT_ORGANIZATION", "SIMSIGHT_HOME")
    assert every_row(database_url) == before


def test_status_of_an_empty_database_says_how_to_fill_it(home: Home, empty_url: URL) -> None:
    url = empty_url.render_as_string(hide_password=False)
    for command in (("status",), ("api-key", "list")):
        _refused(home.run(*command, SIMSIGHT_DATABASE_URL=url), 1, "simsight migrate")


def test_a_run_without_data_says_that_there_is_none(served: Home) -> None:
    _refused(served.run("run"), 1, "no SIM in the database yet", "simsight ingest", "simsight demo")


def test_an_import_with_bad_rows_lists_them_and_writes_nothing_or_the_good_ones(
    served: Home, database_url: URL, tmp_path: Path
) -> None:
    _add_sim(database_url)
    before = every_row(database_url)
    file = tmp_path / "usage.csv"
    file.write_text(
        "iccid,day,mb\n"
        f"{ICCID},2026-06-01,1.250000\n"
        f"{ICCID},2026-06-02,lots\n"
        "8988228066999999999,2026-06-01,1\n"
        f"{ICCID},2026-13-01,1\n"
    )
    lines = ("line 3: mb: got 'lots'", "line 4: iccid: 8988228066999999999 is not in the SIM list", "line 5: day: ")
    _refused(
        served.run("import", str(file)), 1, "3 of 4 rows are rejected, nothing was imported", "--good-rows", *lines
    )
    assert every_row(database_url) == before

    code, said = served.run("import", str(file), "--good-rows")
    assert code == 0, said
    assert "1 row: 1 new, 0 changed, 0 known already; 3 bad ones in quarantine" in said
    assert len(every_row(database_url)["core.sim_usage"]) == 1
    with connect(database_url) as connection:
        waiting = connection.execute("SELECT count(*) FROM ops.quarantine WHERE resolved_at IS NULL").fetchone()
    assert waiting == (3,)
    _refused(served.run("import", str(tmp_path / "no.csv")), 2, "Invalid value for")


def test_labels_come_in_under_other_names_and_go_out_with_the_sims(
    served: Home, database_url: URL, tmp_path: Path
) -> None:
    _add_sim(database_url)
    labels, mapping, sims = tmp_path / "labels.csv", tmp_path / "mapping.json", tmp_path / "sims.csv"
    labels.write_text(f"Card,Site,Floor\n{ICCID},Bridge 7,2\n")
    mapping.write_text('{"Card": "iccid"}')
    how = ("import", str(labels), "--kind", "labels", "--mapping", str(mapping), "--map", "site=label")

    assert "labels.csv can be imported" in served.run(*how, "--dry-run")[1]
    code, said = served.run(*how)
    assert code == 0, said
    assert "columns not used: Floor" in said
    assert "1 row: 1 new, 0 changed" in said

    export = ("export", "sims", "--to", str(sims), "--columns", "iccid,label", "--where", "label=Bridge 7")
    assert served.run(*export) == (0, f"1 row in {sims}\n")
    assert sims.read_text() == f"iccid,label\n{ICCID},Bridge 7\n"
    _refused(
        served.run("export", "sim", "--to", str(sims)),
        2,
        "there is no view 'sim' to export; there are account_events, aggregate_forecasts",
    )
    _refused(served.run("export", "sims", "--to", "a.pdf"), 2, "a.pdf: the name must end with .csv, .xlsx or .parquet")
    _refused(served.run(*how[:4], "--map", "Card"), 2, "--map Card: expected THEIRS=OURS")
    assert sims.read_text() == f"iccid,label\n{ICCID},Bridge 7\n"


def test_a_port_in_use_is_named_with_the_setting_that_moves_it(served: Home, taken_port: str) -> None:
    serve, dev, simulate = served.run_together(
        (("serve",), {"SIMSIGHT_API_PORT": taken_port}),
        (("dev",), {"SIMSIGHT_UI_PORT": taken_port}),
        (("simulate", "--sims", "2", "--port", taken_port), {}),
    )
    _refused(serve, 1, f":{taken_port}", "SIMSIGHT_API_PORT")
    _refused(dev, 1, f":{taken_port}", "SIMSIGHT_UI_PORT")
    _refused(simulate, 1, f":{taken_port}", "choose another one")


def test_doctor_names_grade_and_what_is_missing_and_fails_until_it_is_mended(home: Home, empty_url: URL) -> None:
    url = empty_url.render_as_string(hide_password=False)
    said = _refused(
        home.run("doctor", SIMSIGHT_DATABASE_URL=url), 1, "schema: version 0", "to fix: ", "simsight migrate"
    )
    assert "storage grade: " in said
    assert home.run("migrate", SIMSIGHT_DATABASE_URL=url)[0] == 0
    said = _refused(home.run("doctor", SIMSIGHT_DATABASE_URL=url), 0, "1NCE account: none set", "Python 3.", "GB free")
    assert "it lacks: " in said or "TimescaleDB Community" in said
    assert "to fix" not in said
    assert "nothing to apply" in home.run("migrate", SIMSIGHT_DATABASE_URL=url)[1]


def test_the_service_answers_with_a_key_of_the_command_line_until_it_is_revoked(served: Home) -> None:
    code, said = served.run("api-key", "create", "dashboard")
    assert code == 0
    key = said.strip()
    port = free_port()
    service = served.start("serve", SIMSIGHT_API_PORT=str(port))
    said_by(service)("Application startup complete")
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        assert client.get("/health").status_code == 200
        assert client.get("/v1/sims").status_code == 401
        for path in ("/v1/sims", "/v1/report"):
            assert client.get(path, headers={"X-API-Key": key}).status_code == (404 if path == "/v1/report" else 200)
        _, listed = served.run("api-key", "list")
        assert "dashboard: made" in listed
        assert key not in listed
        assert served.run("api-key", "revoke", "dashboard")[0] == 0
        assert client.get("/v1/sims", headers={"X-API-Key": key}).status_code == 401
    _refused(served.run("api-key", "revoke", "dashboard"), 2, "no API key named 'dashboard'")
    service.terminate()
    assert service.wait(20) in (0, 143)
    assert not served.processes()


def test_a_false_alarm_is_acknowledged_listed_and_taken_back(served: Home, database_url: URL) -> None:
    _add_sim(database_url)
    code, said = served.run("feedback", "add", "--iccid", ICCID, "--kind", "silence", "--note", "on holiday")
    assert (code, "feedback 1 holds" in said) == (0, True), said
    _, listed = served.run("feedback", "list")
    assert f"1: iccid {ICCID}, kind silence;" in listed
    assert "; holds; on holiday" in listed
    assert served.run("feedback", "undo", "1")[0] == 0
    assert "taken back by" in served.run("feedback", "list")[1]
    _refused(served.run("feedback", "undo", "1"), 2, "there is none that holds")
    _refused(served.run("feedback", "add", "--kind", "odd"), 2, "--kind", "odd", "spike")
    _refused(served.run("feedback", "add"), 2, "give --iccid, --label or --kind")
    _refused(served.run("feedback", "add", "--iccid", "8" * 19), 2, "no such SIM is stored")
    _refused(served.run("sim", "8" * 19), 2, "8" * 19)
    _refused(served.run("rollback"), 2, "no champion")
    _refused(served.run("rollback", "--model", "oracle"), 2, "there is no model oracle")


def test_the_service_takes_records_for_a_stream_of_the_command_line_until_it_is_revoked(
    served: Home, database_url: URL
) -> None:
    code, said = served.run("stream", "create", "usage")
    assert code == 0
    path, user, password = (line.split(":")[1].strip() for line in said.splitlines()[-3:])
    _refused(served.run("stream", "create", "usage"), 2, "a live stream named 'usage' exists")
    port = free_port()
    service = served.start("serve", SIMSIGHT_API_PORT=str(port))
    said_by_service = said_by(service)
    said_by_service("Application startup complete")
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        assert client.post(path, json=[{"id": 1}], auth=(user, "wrong")).status_code == 401
        assert client.post(path, json=[{"id": 1}], auth=(user, password)).json() == {"records": 1}
        _, listed = served.run("stream", "list")
        assert f"usage: {user}, made 2026-06-30, valid, last records 2026-06-30 06:00" in listed
        assert served.run("stream", "revoke", "usage")[0] == 0
        assert client.post(path, json=[{"id": 2}], auth=(user, password)).status_code == 401
    _refused(served.run("stream", "revoke", "usage"), 2, "no stream named 'usage'")
    assert password not in listed + said_by_service("401")
    _, status = served.run("status", "--json")
    assert json.loads(status)["stream_batches_waiting"] == 1
    assert json.loads(status)["open_incidents"] == {}
    with connect(database_url) as connection:
        stored = connection.execute("SELECT to_jsonb(s)::text FROM ops.streams AS s").fetchall()
    assert password not in str(stored)
