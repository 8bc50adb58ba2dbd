"""Reading from a real streaming replica, and from the primary whenever the replica is not fit: each way out, done."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from signal import SIGKILL
from typing import Any

import psycopg
import pytest
from sqlalchemy import URL

import api.replica
from api.app import create_app
from api.metrics import MetricsSettings
from api.replica import ReplicaSettings
from resources.database import backup_tools
from resources.database.embedded import installed_programs
from resources.database.server import Server, driver_url
from resources.database.session import Database
from resources.settings import Settings
from services.access.api_keys import create_key
from services.doctor.database import replica as doctor
from sql import query
from tests.api.conftest import Seeded

RULE = {"name": "heavy", "metric": "usage_day_mb", "operator": ">", "threshold": 100}
FLUSHED = ("SET synchronous_commit = on", "SELECT pg_logical_emit_message(true, '', '')")
TOKEN = 32 * "t"


class Standby:
    """A standby of the tests' server, which streams its log."""

    def __init__(self, primary: URL, folder: Path) -> None:
        self._data = folder / "standby"
        socket = str(primary.query["host"])
        self.url = primary.set(query={"host": str(folder)})
        backup_tools.base_backup(primary, self._data, backup_tools.version(), after=None)
        owner = Path(socket, "PG_VERSION").stat() if Path(socket, "PG_VERSION").exists() else None
        self._as = (
            {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if owner and not os.getuid() else {}
        )
        with (self._data / "postgresql.auto.conf").open("a") as file:
            file.write(f"primary_conninfo = 'host={socket} user={primary.username}'\n")
            file.write(f"unix_socket_directories = '{folder}'\nmax_standby_streaming_delay = 0\n")
            file.write("wal_receiver_status_interval = 1\nwal_retrieve_retry_interval = 100\n")
        (self._data / "standby.signal").touch()
        if self._as:
            for path in (folder, *folder.rglob("*")):
                os.chown(path, self._as["user"], self._as["group"], follow_symlinks=False)

    def pg_ctl(self, *arguments: str) -> None:
        program = installed_programs() / "pg_ctl"
        command = [program, "-D", str(self._data), "-w", "-l", str(self._data / "log"), *arguments]
        subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL, **self._as)

    def ask(self, statement: str, database: str = "postgres") -> Any:
        address = driver_url(self.url.set(database=database), "").render_as_string(hide_password=False)
        with psycopg.connect(address, autocommit=True) as connection:
            row = connection.execute(statement.encode()).fetchone()
        return row and row[0]

    def server_of_moment(self, seeded: Seeded) -> str:
        """What a moment of this server (api_moment) says beside its snapshot; empty while it does not answer."""
        moments = query("api_moment").replace("%(keys)s", "ARRAY['']")
        try:
            moment = self.ask(f"SELECT moment FROM ({moments}) AS m", str(seeded.url.database))
        except psycopg.OperationalError:
            return ""
        return str(moment).rpartition(" ")[0]

    def catch_up(self, primary: Seeded) -> None:
        """Wait until all that the primary has is there."""
        ((position,),) = primary.run(*FLUSHED, "SELECT pg_current_wal_flush_lsn()::text")
        wait(lambda: self.ask(f"SELECT pg_last_wal_replay_lsn() >= '{position}'"))


def wait(holds: Any) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def standby(postgres: URL) -> Iterator[Standby]:
    if "host" not in postgres.query:
        pytest.skip("the server of SIMSIGHT_TEST_DATABASE_URL is not ours to copy")
    with tempfile.TemporaryDirectory(prefix="simsight-", ignore_cleanup_errors=True) as folder:
        made = Standby(postgres, Path(folder))
        made.pg_ctl("start")
        try:
            yield made
        finally:
            made.pg_ctl("stop", "-m", "immediate")


def key_of(seeded: Seeded, name: str, *scopes: Any) -> dict[str, str]:
    database = Database(seeded.url, "default")
    made = create_key(database, name, now=datetime.now(UTC), valid_for=None, scopes=("read", *scopes))
    database.close()
    return {"X-API-Key": made}


def test_a_replica_answers_while_it_is_fit_and_the_primary_whenever_it_is_not(
    seeded: Seeded, standby: Standby, serve_app: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.replica, "REST_SECONDS", 0.0)
    url = standby.url.set(database=seeded.url.database)
    settings = Settings(read_database_url=driver_url(url, "").render_as_string(hide_password=False), _env_file=None)
    server = Server(seeded.url, seeded.url, seeded.url, "", embedded=False)
    app = create_app(
        seeded.url,
        replica=ReplicaSettings(url, 60),
        measured=MetricsSettings(TOKEN, clock=iter(range(0, 10_000, 60)).__next__),
    )
    ours, theirs = ({"X-API-Key": seeded.keys[name]} for name in ("default", "other"))
    read_from: Any = None

    with serve_app(app) as client:
        client.get("/docs")  # it has started
        read_from = app.state.readers._replica

        def get(path: str, key: dict[str, str], outcome: str, status: int = 200) -> Any:
            """What is answered, and that it came from there."""
            seeded.run(*FLUSHED)  # a new moment: no answer is given again
            read_from.outcomes.clear()
            answer = client.get(path, headers=key)
            assert (answer.status_code, dict(read_from.outcomes)) == (status, {outcome: 1} if outcome else {})
            return answer.json()

        def long_work(key: dict[str, str], outcome: str) -> str:
            """An export, a whole set and the answer to a question, all made there."""
            seeded.run(*FLUSHED)
            read_from.outcomes.clear()
            export = client.get("/v1/export/sims?columns=label", headers=key)
            whole = client.get("/v1/bulk/exhaustions", headers=key)
            asked = client.post("/v1/ai/query", headers=key, json={"question": "How many SIMs are there?"})
            assert (export.status_code, whole.status_code, asked.json()["understood"]) == (200, 200, True)
            assert dict(read_from.outcomes) == {outcome: 3}
            assert len(whole.text.splitlines()) == 12
            return export.text

        # --- it answers: with what it has ---
        standby.catch_up(seeded)
        assert get("/v1/sims", ours, "replica")["items"][0]["label"] == "default-1"
        standby.ask("SELECT pg_wal_replay_pause()::text")
        wait(lambda: standby.ask("SELECT pg_get_wal_replay_pause_state()") == "paused")
        seeded.run("UPDATE core.sims SET label = 'new' WHERE iccid LIKE '8988%01'")
        assert get("/v1/sims", ours, "replica")["items"][0]["label"] == "default-1"

        # --- a write of people, a new key and a revoked one count at once ---
        writer = key_of(seeded, "writer", "alerts")
        assert client.post("/v1/alert-rules", headers=writer, json=RULE).status_code == 201
        assert [rule["name"] for rule in get("/v1/alert-rules", writer, "write_missing")["items"]] == ["heavy"]
        assert get("/v1/sims", ours, "write_missing")["items"][0]["label"] == "new"
        get("/v1/sims", theirs, "replica")
        seeded.run("UPDATE core.sims SET label = 'new' WHERE iccid LIKE '9988%01'")
        assert "other-1\n" in long_work(theirs, "replica").replace("\r", "")
        assert "new" in long_work(ours, "write_missing")
        seeded.run("UPDATE ops.api_keys SET revoked_at = now() WHERE organization_id = ops.organization('other')")
        assert client.get("/v1/sims", headers=theirs).status_code == 401

        # --- too far behind ---
        read_from.settings = replace(read_from.settings, max_lag_s=0)
        get("/v1/sims", ours, "behind")
        late = settings.model_copy(update={"read_lag_seconds": 0.0})
        assert [check.level for check in doctor(server, late)] == ["warning"]
        read_from.settings = replace(read_from.settings, max_lag_s=60)
        standby.ask("SELECT pg_wal_replay_resume()::text")
        standby.catch_up(seeded)
        assert get("/v1/sims", ours, "replica")["items"][0]["label"] == "new"
        (check,) = doctor(server, settings)
        assert check.level == "ok"
        shown = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text
        assert "simsight_replica_up 1.0\n" in shown
        assert "simsight_replica_lag_seconds " in shown
        assert 'simsight_replica_reads_total{outcome="replica"} 1.0\n' in shown

        # --- what it replays stands against a query: the primary answers that one ---
        address = driver_url(seeded.url, "").render_as_string(hide_password=False)
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%api_sims%'"
        with ThreadPoolExecutor(1) as threads, psycopg.connect(address) as administrator:
            administrator.execute("LOCK core.sims IN ACCESS EXCLUSIVE MODE")
            standby.catch_up(seeded)
            asked = threads.submit(get, "/v1/sims", ours, "cancelled")
            wait(lambda: standby.ask(waiting))
            administrator.execute("LOCK ops.organization_secrets IN ACCESS EXCLUSIVE MODE")
            standby.catch_up(seeded)
            administrator.rollback()
            assert asked.result()["items"][0]["label"] == "new"
        standby.catch_up(seeded)
        get("/v1/sims", ours, "replica")

        # --- it hangs ---
        monkeypatch.setattr(api.replica, "ANSWER_SECONDS", 0.2)
        with ThreadPoolExecutor(1) as threads, psycopg.connect(address) as administrator:
            administrator.execute("LOCK core.sims IN ACCESS EXCLUSIVE MODE")
            standby.catch_up(seeded)
            asked = threads.submit(get, "/v1/sims", ours, "unreachable")
            wait(lambda: read_from.outcomes["unreachable"])
            administrator.rollback()
            assert asked.result()["items"][0]["label"] == "new"
        monkeypatch.undo()
        monkeypatch.setattr(api.replica, "REST_SECONDS", 0.0)
        standby.catch_up(seeded)
        get("/v1/sims", ours, "replica")

        # --- it is gone, comes back, and becomes a primary of its own ---
        standby.pg_ctl("stop", "-m", "immediate")
        get("/v1/sims", ours, "unreachable")
        long_work(ours, "unreachable")
        assert [check.level for check in doctor(server, settings)] == ["failed"]
        assert "simsight_replica_up 0.0\n" in client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text
        standby.pg_ctl("start")
        standby.catch_up(seeded)
        get("/v1/sims", ours, "replica")
        standby.pg_ctl("promote")
        get("/v1/sims", ours, "not_a_replica")
        (check,) = doctor(server, settings)
        assert (check.level, "is no replica of" in check.found) == ("failed", True)

        # --- after a failure it is left alone for a while ---
        monkeypatch.setattr(api.replica, "REST_SECONDS", 1000.0)
        get("/v1/sims", ours, "not_a_replica")
        get("/v1/sims", ours, "")

        # --- a server that goes on after a crash may give numbers of transactions again: its moments are others ---
        before = standby.server_of_moment(seeded)
        os.kill(standby.ask("SELECT pid FROM pg_stat_activity WHERE backend_type = 'background writer'"), SIGKILL)
        wait(lambda: standby.server_of_moment(seeded) not in ("", before))


def test_a_replica_that_is_not_there_costs_nobody_an_answer(seeded: Seeded, serve_app: Any) -> None:
    nowhere = ReplicaSettings("postgresql://nobody@127.0.0.1:1/simsight", 60)
    with serve_app(create_app(seeded.url, replica=nowhere)) as client:
        assert client.get("/v1/sims", headers={"X-API-Key": seeded.keys["default"]}).status_code == 200
        assert client.get("/v1/sims", headers={"X-API-Key": "ss_" + 43 * "x"}).status_code == 401
    with serve_app(create_app("postgresql://nobody@127.0.0.1:1/simsight", replica=nowhere)) as client:
        assert client.get("/v1/sims", headers={"X-API-Key": seeded.keys["default"]}).status_code == 503
