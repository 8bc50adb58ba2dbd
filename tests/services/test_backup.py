"""Backups by doing: times restored to the row, chains, damage, killed and failed backups, and the archive's command."""

from __future__ import annotations

import gzip
import json
import os
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread

import psutil
import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import make_url
from typer.testing import CliRunner

from pipelines.cli import app
from resources.database import backup_tools
from resources.database.archive import WAL, archive_command, line_of
from resources.database.embedded import PORT, SUPERUSER, shared_server
from resources.database.migrations import ensure_organization, migrate
from resources.database.server import driver_url, running_server
from resources.runtime import Runtime
from resources.settings import Settings
from services.backup import BackupError, backups_in, make_backup, newest_verified, verify, verify_all
from services.backup_keeper import SLOT, LogArchive, archived_until, keep, what_is_wrong
from services.restore import restore
from tests.forked import forked_code

MAKE = """
import sys
from pathlib import Path
from resources.runtime import Runtime
from resources.settings import Settings
from services.backup import make_backup
settings = Settings(home=Path(sys.argv[1]), backups=Path(sys.argv[2]), database_url=None, _env_file=None)
with Runtime(settings) as runtime:
    print("begin", flush=True)
    make_backup(runtime, full=True)
"""


@dataclass
class Home:
    """A home with a small database, its backups, and the rows that a test writes."""

    runtime: Runtime
    backups: Path

    @property
    def settings(self) -> Settings:
        return self.runtime.settings

    @property
    def line(self) -> Path:
        return line_of(self.settings.home, self.backups)

    def connect(self) -> psycopg.Connection:
        url = driver_url(self.runtime.server.simsight, "").render_as_string(hide_password=False)
        return psycopg.connect(url, autocommit=True)

    def write(self, *rows: str) -> datetime:
        """Add rows; returns the server's time after them."""
        with self.connect() as connection:
            for row in rows:
                connection.execute("INSERT INTO public.notes VALUES (%s)", (row,))
            found = connection.execute("SELECT clock_timestamp()").fetchone()
        assert found
        time.sleep(0.01)
        return found[0]

    def archive(self) -> None:
        """Have all of the log archived."""
        with self.connect() as connection:
            row = connection.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone()
        assert row
        deadline = time.monotonic() + 60
        while not (self.line / WAL / f"{row[0]}.gz").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def restored(self, name: str, to: datetime | None = None) -> list[str]:
        """Restore into a new home, and read the notes there through the settings that a command would use."""
        target = self.backups.parent / name
        restore(self.backups, target, to=to, say=lambda _: None)
        with (
            running_server(Settings(home=target, database_url=None, _env_file=None)) as server,
            psycopg.connect(driver_url(server.simsight, "").render_as_string(hide_password=False)) as connection,
        ):
            return [row[0] for row in connection.execute("SELECT note FROM public.notes ORDER BY note")]


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    folder = Path(tempfile.mkdtemp(prefix="simsight-backup-"))
    folder.chmod(0o755)  # the server of root runs as a user of its own
    settings = Settings(home=folder / "home", backups=folder / "backups", database_url=None, _env_file=None)
    try:
        with Runtime(settings) as runtime:
            migrate(runtime.server.simsight)
            ensure_organization(runtime.server.simsight, "default")
            made = Home(runtime, folder / "backups")
            with made.connect() as connection:
                # it need not survive a power cut, nor do the servers that are restored from it
                connection.execute("ALTER SYSTEM SET fsync = off")
                connection.execute("SELECT pg_reload_conf()")
                connection.execute("CREATE TABLE public.notes (note text)")
            backup_tools.SYNC.append("--no-sync")
            yield made
            backup_tools.SYNC.clear()
    finally:
        shutil.rmtree(folder)


def test_any_time_is_restored_to_the_row_from_a_chain_of_backups(home: Home) -> None:
    artifacts = home.settings.home / "mlflow" / "1" / "artifacts"
    artifacts.mkdir(parents=True)
    (artifacts / "model.json").write_text("{}")
    _mlflow(home, artifacts)
    home.write("1 before the full")
    full = make_backup(home.runtime)
    assert (full.backup.kind, full.why_full) == ("full", "it is the first")
    after_full = home.write("2 after the full")
    home.write("3 before the incremental")
    (artifacts / "second.json").write_text("[]")
    incremental = make_backup(home.runtime)
    assert (incremental.backup.kind, incremental.backup.after) == ("incremental", full.backup.name)
    assert incremental.backup.bytes < full.backup.bytes / 2
    wanted = home.write("4 after the incremental")
    home.write("5 too late")
    home.archive()

    assert home.restored("early", after_full) == ["1 before the full", "2 after the full"]
    assert not (home.backups.parent / "early/mlflow/1/artifacts/second.json").exists()
    assert home.restored("late", wanted)[-2:] == ["3 before the incremental", "4 after the incremental"]
    late = home.backups.parent / "late"
    assert (late / "mlflow/1/artifacts/second.json").read_text() == "[]"
    with (
        running_server(Settings(home=late, database_url=None, _env_file=None)) as server,
        psycopg.connect(driver_url(server.mlflow, "").render_as_string(hide_password=False)) as connection,
    ):
        assert connection.execute("SELECT artifact_uri FROM runs ORDER BY 1").fetchall() == [
            ((late / "mlflow/1/artifacts").as_uri(),),
            ("s3://bucket/kept",),
        ]
    variables = {"SIMSIGHT_HOME": str(late), "SIMSIGHT_BACKUPS": ""}
    told = CliRunner().invoke(app, ["status", "--json"], env=variables)
    assert told.exit_code == 0, told.output
    status = json.loads(told.output)
    assert status["backup"]["name"] == incremental.backup.name
    assert home.restored("all")[-1] == "5 too late"
    for target, words in (("all", "is there already"), ("none", "holds no write after")):
        with pytest.raises(BackupError, match=words):
            home.restored(target, datetime.now(UTC))
    with pytest.raises(BackupError, match="no backup ended before"):
        home.restored("none", datetime(2020, 1, 1, tzinfo=UTC))
    assert not list(home.backups.parent.glob("*none*"))
    with home.connect() as connection:
        found = newest_verified(connection)
    assert found
    assert found["name"] == incremental.backup.name


def _mlflow(home: Home, artifacts: Path) -> None:
    url = driver_url(home.runtime.server.mlflow, "").render_as_string(hide_password=False)
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE runs (artifact_uri varchar(200))")
        connection.execute("INSERT INTO runs VALUES (%s), ('s3://bucket/kept')", (artifacts.as_uri(),))


def test_a_damaged_file_is_found_and_told_and_nothing_goes_on_from_it(home: Home) -> None:
    base = make_backup(home.runtime, full=True).backup
    after = make_backup(home.runtime).backup
    assert [wrong for _, wrong in verify_all(home.runtime)[-2:]] == ["", ""]
    file = max((base.folder / "postgres" / "base").rglob("[0-9]*"), key=lambda path: path.stat().st_size)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    found = {backup.name: wrong for backup, wrong in verify_all(home.runtime)}
    assert file.name in found[base.name]
    assert found[after.name] == f"it goes on from {base.name}, which is damaged"
    with home.connect() as connection:
        known = newest_verified(connection)
    assert known is None or known["name"] not in (base.name, after.name)
    with pytest.raises(BackupError, match="is damaged"):
        home.restored("damaged")
    assert not list(home.backups.parent.glob("*damaged*"))
    shutil.rmtree(after.folder)
    made = make_backup(home.runtime)  # the newest is damaged: the next begins anew
    assert made.backup.kind == "full"
    assert "damaged" in made.why_full


def test_a_hole_or_a_damaged_file_in_the_log_is_told_and_what_came_before_can_be_had(home: Home) -> None:
    make_backup(home.runtime, full=True)
    early = home.write("6 early")
    home.write("7")
    home.archive()
    home.write("8 late")
    home.archive()
    last = sorted((home.line / WAL).glob("0*.gz"))[-1]
    content = last.read_bytes()
    last.write_bytes(content[: len(content) // 2])
    with pytest.raises(BackupError, match="which is damaged"):
        home.restored("hole")
    assert home.restored("before-hole", early)[-1] == "6 early"
    last.write_bytes(content)


def test_a_backup_that_is_killed_leaves_nothing_half_and_the_next_one_works(home: Home) -> None:
    before = backups_in(home.backups)
    child = forked_code(MAKE, str(home.settings.home), str(home.backups))
    deadline = time.monotonic() + 60
    while not list(home.line.glob(".part-*/postgres/base")):
        assert time.monotonic() < deadline
        time.sleep(0.001)
    child.kill()
    child.wait()
    assert backups_in(home.backups) == before
    made = make_backup(home.runtime, full=True)
    assert backups_in(home.backups)[-1] == made.backup
    assert not list(home.line.glob(".part-*"))
    names = [process.info["name"] for process in psutil.process_iter(["name"])]
    assert "pg_basebackup" not in names


def test_a_full_disk_is_told_and_leaves_nothing(home: Home) -> None:
    before = backups_in(home.backups)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
    try:
        with pytest.raises(BackupError, match=r"pg_basebackup failed: .*Nothing of it is left; the disk of .* MB free"):
            make_backup(home.runtime, full=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert backups_in(home.backups) == before
    assert not list(home.line.glob(".part-*"))


def test_old_chains_and_the_log_before_them_are_removed(home: Home) -> None:
    settings = home.settings.model_copy(update={"backup_chains": 2})
    with Runtime(settings) as runtime:
        make_backup(runtime, full=True)
        kept = make_backup(runtime, full=True).backup
        made = make_backup(runtime, full=True)
    left = backups_in(home.backups)
    assert [backup.name for backup in left] == [kept.name, made.backup.name]
    for backup in left:
        verify(backup)
    assert min(path.name for path in (home.line / WAL).glob("0*.gz")) >= f"{kept.first_log_file}"
    with home.connect() as connection:
        rows = connection.execute("SELECT name FROM ops.backups WHERE removed_at IS NULL ORDER BY 1").fetchall()
    assert [row[0] for row in rows] == [backup.name for backup in left]
    with suppress(BackupError):
        home.restored("oldest", kept.started_at)


def test_the_archive_takes_a_file_whole_or_not_at_all_and_never_another_of_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "it's 100 % odd"
    folder.mkdir()
    source = tmp_path / "1"
    source.write_bytes(os.urandom(100_000))

    def run(limit_kb: str = "unlimited") -> int:
        command = archive_command(folder).replace("%p", source.name).replace("%f", "F").replace("%%", "%")
        shell = ["/bin/sh", "-c", f"ulimit -f {limit_kb}; {command}"]
        return subprocess.run(shell, cwd=tmp_path, stderr=subprocess.DEVNULL, check=False).returncode

    assert run("10") != 0  # the disk is full
    assert not (folder / "F.gz").exists()
    assert run() == 0
    assert gzip.decompress((folder / "F.gz").read_bytes()) == source.read_bytes()
    assert run() == 0  # the same again, after a crash
    whole = (folder / "F.gz").read_bytes()
    source.write_bytes(os.urandom(100_000))
    assert run() != 0
    assert (folder / "F.gz").read_bytes() == whole
    assert [path.name for path in folder.iterdir() if not path.name.startswith(".")] == ["F.gz"]


def test_a_copied_home_archives_apart_from_the_one_it_is_a_copy_of(tmp_path: Path) -> None:
    first = line_of(tmp_path / "home", tmp_path / "backups")
    assert line_of(tmp_path / "home", tmp_path / "backups") == first
    shutil.copytree(tmp_path / "home", tmp_path / "copy")
    assert line_of(tmp_path / "copy", tmp_path / "backups") != first


def test_the_log_of_a_server_of_ones_own_is_received_and_restored_to_a_time_by_that_server(home: Home) -> None:
    folder = home.backups.parent / "own"
    own = Settings(
        home=folder / "home",
        backups=folder / "backups",
        database_url=SecretStr(home.runtime.server.simsight.render_as_string(hide_password=False)),
        _env_file=None,
    )
    line = line_of(own.home, folder / "backups")
    stop, begun = Event(), datetime.now(UTC)
    with Runtime(own) as runtime:
        keeper = Thread(target=keep, args=(runtime, stop), kwargs={"switch_s": 0.5})
        keeper.start()
        try:
            _wait(lambda: backups_in(folder / "backups") and _archived_since(line, begun))
            assert what_is_wrong(line, datetime.now(UTC)) == ""
            wanted = home.write("9 received")
            home.write("91 too late")
            _wait(lambda: _archived_since(line, wanted))
            with home.connect() as connection:
                figures = {
                    row[0]: row[3] for row in connection.execute("SELECT * FROM ops.metrics() WHERE label IS NULL")
                }
            assert figures["wal_archiving"] == 1
            assert figures["wal_archived"] >= wanted.timestamp()
        finally:
            stop.set()
            keeper.join()
        assert "archived" in what_is_wrong(line, datetime.now(UTC) + timedelta(hours=1))
        assert "no backup" in what_is_wrong(line, datetime.now(UTC) + timedelta(hours=27))
        # what is received again after a kill does no harm; another server's log is refused
        newest = sorted((line / WAL).glob("0*.gz"))[-1]
        shutil.copy(newest, line / "receiving")
        again = LogArchive(runtime.server, line, 300)
        again.step()
        again.close()
        assert not (line / "receiving" / newest.name).exists()
        (line / "receiving" / newest.name).write_bytes(gzip.compress(b"another"))
        with pytest.raises(BackupError, match="of another server"):
            again.step()
        again.close()
    with home.connect() as connection:
        connection.execute("SELECT pg_drop_replication_slot(%s)", (SLOT,))

    with pytest.raises(BackupError, match="the archived log ends at"):
        restore(folder / "backups", folder / "later", to=datetime.now(UTC), say=lambda _: None)
    done = restore(folder / "backups", folder / "restored", to=wanted, say=lambda _: None)
    assert "applies the log" in done.note
    data = folder / "restored" / "postgres"
    with shared_server(data) as sockets:
        address = {"host": str(sockets), "port": PORT, "user": SUPERUSER, "dbname": "simsight"}
        with psycopg.connect(**address, autocommit=True) as connection:  # type: ignore[arg-type]
            _wait(lambda: connection.execute("SELECT pg_is_in_recovery()").fetchone() == (False,))
            notes = [row[0] for row in connection.execute("SELECT note FROM public.notes ORDER BY note")]
    assert "9 received" in notes
    assert "91 too late" not in notes
    # nothing stays that would hold for the next recovery, or for a replica
    assert "recovery" not in (data / "postgresql.auto.conf").read_text()
    assert not (data / "restore_wal").exists()


def _archived_since(line: Path, moment: datetime) -> bool:
    until = archived_until(line)
    return until is not None and until > moment


def _wait(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_password_is_given_to_postgresqls_programs_and_seen_by_nobody(tmp_path: Path) -> None:
    for name in backup_tools.ALL:
        (tmp_path / name).write_text('#!/bin/sh\necho "$PGPASSWORD $@"; echo "x (PostgreSQL) 99.1"\n')
        (tmp_path / name).chmod(0o755)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(backup_tools, "DEBIAN", str(tmp_path))
        url = make_url("postgresql+psycopg://ann:se%40cret@db.example:5433/simsight?sslmode=require")
        backup_tools.receive_log(url, tmp_path, 99, SLOT, tmp_path / "said").wait()
    said = (tmp_path / "said").read_text()
    assert said.startswith("se@cret --dbname postgresql://ann@db.example:5433/postgres?sslmode=require ")
