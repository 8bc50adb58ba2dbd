"""Backups day after day, and between them the log of a server of one's own, by one process until it is stopped.

The log is received as a replica would receive it (pg_receivewal), from where a slot of replication is: the server keeps
what was not received, whether this process runs or not. Beside the backups of a home are then
    wal/          finished files of the log, as the embedded server archives them
    receiving/    the file that is being received
    archived      the time up to which `wal` holds every write
"""

from __future__ import annotations

import gzip
import logging
import os
import shutil
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import psycopg

from resources.database import backup_tools
from resources.database.archive import TIMEOUT_S, WAL, line_of
from resources.database.server import Server, driver_url, only_one
from resources.errors import SimsightError, in_words
from resources.runtime import Runtime
from services.backup import BackupError, as_owner, backups_in, folder_of, make_backup

SLOT = "simsight_backup"
RECEIVING, ARCHIVED, SAID = "receiving", "archived", ".receiver.log"
BACKUP_EVERY = timedelta(days=1)
BACKUP_AGAIN_S = 900  # after one that failed
LOOK_S = 2
RESTART_S = 10
LATE = timedelta(minutes=15)  # an archive that holds less is not well
OLD = timedelta(hours=26)
STOP_S = 10

log = logging.getLogger(__name__)


def keep(runtime: Runtime, stop: Event, *, switch_s: float = TIMEOUT_S) -> None:
    """Make a backup a day and keep the log of a server of one's own, until `stop` is set.

    What fails is logged and tried again. Raises AlreadyRunningError where this runs for the home already.

    switch_s  after so many seconds a file of the log is ended though it is not full: what a lost server may cost
    """
    line = line_of(runtime.settings.home, folder_of(runtime.settings))
    line.mkdir(parents=True, exist_ok=True)
    with only_one(line / ".keeping.lock", "simsight backup keep"):
        received = None if runtime.server.embedded else LogArchive(runtime.server, line, switch_s)
        backups = _Backups(runtime, line)
        try:
            while not stop.wait(LOOK_S):
                try:
                    if received:
                        received.step()
                    backups.step()
                except (psycopg.Error, OSError, SimsightError) as error:
                    log.error("the log is not archived at the moment: %s", in_words(error))
                    stop.wait(RESTART_S)
        finally:
            if received:
                received.close()


def what_is_wrong(line: Path, now: datetime) -> str:
    """Why the backups of a home are not kept as `keep` does it; empty: they are."""
    made = [backup for backup in backups_in(line.parent) if backup.folder.parent == line]
    if not made or now - made[-1].finished_at > OLD:
        return f"no backup was finished in the last {OLD.total_seconds() / 3600:.0f} hours"
    until = archived_until(line)
    if not made[-1].embedded and (until is None or now - until > LATE):
        return f"the log of the last {LATE.total_seconds() / 60:.0f} minutes is not archived"
    return ""


def archived_until(line: Path) -> datetime | None:
    """The time up to which a received archive holds every write; None where no log is received."""
    try:
        return datetime.fromisoformat((line / ARCHIVED).read_text().strip())
    except (FileNotFoundError, ValueError):
        return None


class _Backups:
    """A backup a day, each in a thread: what keeps the log goes on meanwhile."""

    def __init__(self, runtime: Runtime, line: Path) -> None:
        self._runtime = runtime
        self._line = line
        self._running: Thread | None = None
        self._next = 0.0

    def step(self) -> None:
        if time.monotonic() < self._next or (self._running and self._running.is_alive()):
            return
        self._next = time.monotonic() + BACKUP_AGAIN_S
        made = [backup for backup in backups_in(self._line.parent) if backup.folder.parent == self._line]
        if made and datetime.now(UTC) - made[-1].finished_at < BACKUP_EVERY:
            return
        self._running = Thread(target=self._make, daemon=True)
        self._running.start()

    def _make(self) -> None:
        try:
            made = make_backup(self._runtime)
        except (psycopg.Error, OSError, SimsightError) as error:
            log.error("no backup was made: %s", in_words(error))
            return
        why = f" ({made.why_full})" if made.why_full else ""
        log.info("%s backup %s%s: %.1f MB", made.backup.kind, made.backup.name, why, made.backup.bytes / 1e6)
        for name in made.removed:
            log.info("removed %s", name)


class LogArchive:
    """The log of a server of one's own, received into a folder; call `step` every few seconds."""

    def __init__(self, server: Server, line: Path, switch_s: float) -> None:
        self._server = server
        self._line = line
        self._switch_s = switch_s
        self._url = driver_url(server.simsight, "").render_as_string(hide_password=False)
        self._receiver: subprocess.Popen[bytes] | None = None
        self._restart_at = self._switch_at = 0.0
        self._awaited: tuple[str, datetime] | None = None  # a file of the log, and until when it holds all writes
        for folder in (WAL, RECEIVING):
            (line / folder).mkdir(parents=True, exist_ok=True)

    def step(self) -> None:
        """See that the log is received, move what is finished, and end a file of it when it is time."""
        if self._receiver is None or self._receiver.poll() is not None:
            self._start()
        self._move()
        if self._awaited and (self._line / WAL / f"{self._awaited[0]}.gz").exists():
            self._note(self._awaited[1])
        elif self._awaited is None and time.monotonic() >= self._switch_at:
            self._switch()

    def close(self) -> None:
        if self._receiver and self._receiver.poll() is None:
            self._receiver.terminate()
            try:
                self._receiver.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._receiver.kill()
                self._receiver.wait()

    def _start(self) -> None:
        if time.monotonic() < self._restart_at:
            return
        self._restart_at = time.monotonic() + RESTART_S
        said = self._line / SAID
        if self._receiver is not None:
            told = said.read_text(errors="replace").strip().splitlines() if said.exists() else []
            log.warning("pg_receivewal has ended, it is started again: %s", "; ".join(told[-3:]))
        major = self._prepare()
        self._receiver = backup_tools.receive_log(self._server.simsight, self._line / RECEIVING, major, SLOT, said)

    def _prepare(self) -> int:
        """Make the slot where it is missing or has lost log; returns the server's major version."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            row = connection.execute(
                "SELECT current_setting('server_version_num')::integer / 10000,"
                " (SELECT wal_status FROM pg_replication_slots WHERE slot_name = %s),"
                " EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = %s)",
                (SLOT, SLOT),
            ).fetchone()
            assert row is not None
            major, status, there = row
            if there and status == "lost":
                log.error("the server has removed log that was not received (max_slot_wal_keep_size): it has a gap")
                connection.execute("SELECT pg_drop_replication_slot(%s)", (SLOT,))
            if not there or status == "lost":
                connection.execute("SELECT pg_create_physical_replication_slot(%s, true)", (SLOT,))
                shutil.rmtree(self._line / RECEIVING)
                (self._line / RECEIVING).mkdir()
        assert isinstance(major, int)
        return major

    def _move(self) -> None:
        """Move what is received whole into the archive; a file that is there already must hold the same."""
        for file in sorted((self._line / RECEIVING).glob("*.gz")):
            there = self._line / WAL / file.name
            if not there.exists():
                file.rename(there)
            elif _content(there) == _content(file):
                file.unlink()
            else:
                raise BackupError(f"{there} is of another server: move this folder of backups away")

    def _switch(self) -> None:
        """End the file of the log in use, after a write: a restore to a time needs a later write to stop at."""
        self._switch_at = time.monotonic() + self._switch_s
        with as_owner(self._server) as connection:
            row = connection.execute(
                "INSERT INTO ops.log_archives (slot, switched_at) VALUES (%s, clock_timestamp())"
                " ON CONFLICT (slot) DO UPDATE SET switched_at = excluded.switched_at RETURNING switched_at",
                (SLOT,),
            ).fetchone()
        assert row is not None
        with psycopg.connect(self._url, autocommit=True) as connection:
            name = connection.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone()
        assert name is not None
        self._awaited = (name[0], row[0])

    def _note(self, until: datetime) -> None:
        """Write down, here and in the database, up to when the archive holds every write."""
        part = self._line / f".{ARCHIVED}.part"
        part.write_text(f"{until.astimezone(UTC).isoformat()}\n")
        for path in (part, self._line / WAL):
            _bring_to_disk(path)
        part.rename(self._line / ARCHIVED)
        self._awaited = None
        with as_owner(self._server) as connection:
            connection.execute("UPDATE ops.log_archives SET archived_at = %s WHERE slot = %s", (until, SLOT))


def _content(file: Path) -> Any:
    with gzip.open(file) as content:
        return content.read()


def _bring_to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
