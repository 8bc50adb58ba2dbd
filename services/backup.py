"""Backups: made whole or not at all, read through, listed, and removed when newer ones are enough.

A folder of backups holds one folder a home (resources/database/archive.py), and in it one a backup:
    20261128T083000.123Z-full/backup.json   what it is (Backup)
                              postgres/     all databases of the server, as pg_basebackup copies them
                              files/        what else the home holds: MLflow's artifacts, Dagster's logs, reports, files
beside `wal`, the archived log. The files are copied after the databases: what a row of MLflow names is there.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import psycopg

from resources.database import backup_tools
from resources.database.archive import MARK, WAL, archive_command, line_of
from resources.database.server import Server, driver_url, only_one
from resources.errors import SimsightError, in_words
from resources.runtime import Runtime
from resources.settings import Settings, SettingsError

ABOUT, DATA, FILES = "backup.json", "postgres", "files"
FULL_EVERY = timedelta(days=7)
MAX_AGE = timedelta(days=2)
ORPHANS_END_S = 60
BLOCK = 1 << 20
OTHER_WAY = "use a tool made for it, such as pgBackRest (docs/operating.md)"


class BackupError(SimsightError):
    """A backup cannot be made, is damaged or cannot be restored; the message says why and what to do."""


@dataclass(frozen=True)
class Backup:
    """What is known of a backup.

    folder          where it is
    after           name of the backup that an incremental one goes on from
    finished_at     the server's time from which on it can be restored
    embedded        whether the server was the embedded one of the home
    first_log_file  name of the first file of the log that it needs
    files           of the files beside the databases: size, time of change (ns) and SHA-256, by path
    """

    folder: Path
    name: str
    kind: str
    after: str | None
    started_at: datetime
    finished_at: datetime
    bytes: int
    home: str
    embedded: bool
    postgresql: str
    first_log_file: str
    files: Mapping[str, tuple[int, int, str]] = field(repr=False)

    @classmethod
    def read(cls, folder: Path) -> Backup:
        try:
            about = json.loads((folder / ABOUT).read_text())
            for name in ("started_at", "finished_at"):
                about[name] = datetime.fromisoformat(about[name])
            about["files"] = {path: tuple(what) for path, what in about["files"].items()}
            return cls(folder=folder, **about)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BackupError(f"{folder / ABOUT} cannot be read ({in_words(error)}): move this backup away") from error

    def write(self) -> None:
        about = asdict(self)
        del about["folder"]
        (self.folder / ABOUT).write_text(json.dumps(about, default=lambda time: time.isoformat(), indent=1))


def folder_of(settings: Settings) -> Path:
    """The folder of backups that is set. Raises SettingsError."""
    if settings.backups is None:
        raise SettingsError("SIMSIGHT_BACKUPS is not set: the folder of backups, best on another disk")
    return settings.backups.resolve()


def backups_in(folder: Path) -> list[Backup]:
    """All backups of all homes in a folder of backups, the oldest first."""
    found = [Backup.read(about.parent) for about in folder.glob(f"[!.]*/[!.]*/{ABOUT}")]
    return sorted(found, key=lambda backup: (backup.finished_at, backup.name))


def chain_of(backup: Backup) -> list[Backup]:
    """The full backup that an incremental one rests on, those between, and itself. Raises BackupError."""
    chain = [backup]
    while chain[0].after is not None:
        chain.insert(0, Backup.read(backup.folder.with_name(chain[0].after)))
    return chain


def verify(backup: Backup) -> None:
    """Read one backup through. Raises BackupError where a file is missing or is not what was written."""
    try:
        backup_tools.verify(backup.folder / DATA)
    except backup_tools.BackupToolError as error:
        raise BackupError(f"the backup {backup.name} is damaged: {error}") from error
    for path, (_, _, sha256) in backup.files.items():
        try:
            found = _copied(backup.folder / FILES / path, None)
        except OSError as error:
            raise BackupError(f"the backup {backup.name} is damaged: {in_words(error)}") from error
        if found != sha256:
            raise BackupError(f"the backup {backup.name} is damaged: its file {path} is not what was written")


def verify_all(runtime: Runtime) -> list[tuple[Backup, str]]:
    """Read the backups of this home through and write down which are whole; returns each with what is wrong."""
    line = line_of(runtime.settings.home, folder_of(runtime.settings))
    found: list[tuple[Backup, str]] = []
    damaged: set[str] = set()
    for backup in [backup for backup in backups_in(line.parent) if backup.folder.parent == line]:
        try:
            verify(backup)
            wrong = f"it goes on from {backup.after}, which is damaged" if backup.after in damaged else ""
        except BackupError as error:
            wrong = str(error)
        if wrong:
            damaged.add(backup.name)
        found.append((backup, wrong))
    with as_owner(runtime.server) as connection:
        for backup, wrong in found:
            connection.execute("UPDATE ops.backups SET verified = %s WHERE name = %s", (not wrong, backup.name))
    return found


def newest_verified(connection: psycopg.Connection[Any]) -> dict[str, Any] | None:
    """The newest backup that was found whole and is there: its name, kind, bytes and when it ended."""
    row = connection.execute(
        "SELECT name, kind, bytes, finished_at FROM ops.backups WHERE verified AND removed_at IS NULL"
        " ORDER BY finished_at DESC LIMIT 1"
    ).fetchone()
    return None if row is None else dict(zip(("name", "kind", "bytes", "finished_at"), row, strict=True))


def age_in_words(newest: Mapping[str, Any] | None, settings: Settings, now: datetime) -> tuple[str, str]:
    """How old the newest verified backup is, and what is to be fixed about it (empty: nothing)."""
    set_up = (
        "run `simsight backup` every day" if settings.backups else "set SIMSIGHT_BACKUPS, then run `simsight backup`"
    )
    if newest is None:
        return "none that was read through", f"there is no verified backup: {set_up}" if settings.backups else ""
    age = now - newest["finished_at"]
    told = f"{newest['name']}, {age.total_seconds() / 3600:.1f} hours old"
    return told, f"the newest verified backup is {age.days} days old: {set_up}" if age > MAX_AGE else ""


@dataclass(frozen=True)
class Made:
    """A backup that was made: what it is, why it is a full one where it was not asked for, and which were removed."""

    backup: Backup
    why_full: str
    removed: Sequence[str]


def make_backup(runtime: Runtime, *, full: bool = False) -> Made:
    """Back the server and the home up, read the backup through, write it down and remove what is too old.

    full  copy everything; else what changed since the newest backup, when that rests on a full one of FULL_EVERY
    Raises BackupError, BackupToolError; nothing of a backup that failed is left.
    """
    settings, server = runtime.settings, runtime.server
    line = line_of(settings.home, folder_of(settings))
    line.mkdir(parents=True, exist_ok=True)
    with only_one(line / ".lock", "a backup"):
        _remove_left(line)
        with as_owner(server) as connection:
            version, major, started = _check_server(connection, server, line)
        earlier = [backup for backup in backups_in(line.parent) if backup.folder.parent == line]
        base, why_full = (None, "") if full else _base(earlier, started, server)
        part = line / f".part-{os.getpid()}"
        try:
            part.mkdir(mode=0o700)
            base, why_full = _copy_server(server, part / DATA, major, base, why_full)
            with as_owner(server) as connection:
                finished = _now(connection)
            files = _copy_files(settings, part / FILES, earlier[-1] if earlier else None)
            kind = "full" if base is None else "incremental"
            backup = Backup(
                folder=part,
                name=f"{finished:%Y%m%dT%H%M%S}.{finished.microsecond // 1000:03}Z-{kind}",
                kind=kind,
                after=base.name if base else None,
                started_at=started,
                finished_at=finished,
                bytes=_bytes(part),
                home=str(settings.home.resolve()),
                embedded=server.embedded,
                postgresql=version,
                first_log_file=backup_tools.first_log_file(part / DATA),
                files=files,
            )
            backup.write()
            verify(backup)
            part.rename(line / backup.name)
        except OSError as error:
            raise BackupError(
                f"the backup was not made: {in_words(error)}. Nothing of it is left; check the disk of {line.parent}"
            ) from error
        except backup_tools.BackupToolError as error:
            raise BackupError(f"the backup was not made: {error}. Nothing of it is left; {_free(line)}") from error
        finally:
            shutil.rmtree(part, ignore_errors=True)
        backup = Backup.read(line / backup.name)
        _write_down(server, backup)
        removed = _remove_old([*earlier, backup], settings.backup_chains, line)
        there = [found.name for found in backups_in(line.parent)]  # a person may have removed some
        with as_owner(server) as connection:
            connection.execute(
                "UPDATE ops.backups SET removed_at = now() WHERE removed_at IS NULL AND name <> ALL (%s)", (there,)
            )
        return Made(backup, why_full, removed)


def _remove_left(line: Path) -> None:
    """Remove what a backup whose process was killed has left; its programs go on until somebody ends them."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.name() == "pg_basebackup" and any(f"{line}/.part-" in part for part in process.cmdline()):
                process.kill()
                process.wait(ORPHANS_END_S)
    for left in [*line.glob(".part-*"), *line.glob(".gone-*")]:
        shutil.rmtree(left)


def _base(earlier: Sequence[Backup], now: datetime, server: Server) -> tuple[Backup | None, str]:
    """The backup to go on from, or why there is none."""
    if not earlier:
        return None, "it is the first"
    if now - chain_of(earlier[-1])[0].finished_at >= FULL_EVERY:
        return None, f"the last full one is {FULL_EVERY.days} days old"
    try:
        verify(earlier[-1])
    except BackupError as error:
        return None, str(error)
    with as_owner(server) as connection:
        row = connection.execute("SELECT current_setting('summarize_wal', true)").fetchone()
    if row != ("on",):
        return None, "summarize_wal is off at the server"
    return earlier[-1], ""


def _copy_server(
    server: Server, folder: Path, major: int, base: Backup | None, why_full: str
) -> tuple[Backup | None, str]:
    """Copy what changed since a backup, or everything where the server cannot tell; returns what it goes on from."""
    try:
        backup_tools.base_backup(server.simsight, folder, major, after=base.folder / DATA if base else None)
    except backup_tools.BackupToolError as error:
        if base is None or not _lacks_summaries(error):
            raise
        shutil.rmtree(folder, ignore_errors=True)
        backup_tools.base_backup(server.simsight, folder, major, after=None)
        return None, "the server did not keep what an incremental one needs"
    return base, why_full


def _lacks_summaries(error: backup_tools.BackupToolError) -> bool:
    return any(
        word in str(error) for word in ("WAL summar", "system identifier", "timeline", "manifest", "is not an ancestor")
    )


def _check_server(connection: psycopg.Connection[Any], server: Server, line: Path) -> tuple[str, int, datetime]:
    """The server's version, its major version and time. Raises BackupError where it cannot be backed up."""
    row = connection.execute(
        "SELECT current_setting('server_version'), current_setting('server_version_num')::integer / 10000,"
        " (SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = session_user),"
        " (SELECT count(*) FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global')),"
        " (SELECT sum(pg_database_size(oid)) FROM pg_database), current_setting('archive_mode')"
    ).fetchone()
    assert row is not None
    version, major, may, tablespaces, size, archives = row
    if backup_tools.programs_of(major) is None:
        raise BackupError(
            f"the server is PostgreSQL {version}, and this machine has no programs of that version that make backups, "
            f"of 17 or newer: install them (Debian: postgresql-{major}), or {OTHER_WAY}"
        )
    if not may:
        raise BackupError(
            "the login of SIMSIGHT_DATABASE_URL may not copy the server: ALTER ROLE ... REPLICATION and a line "
            f"`replication` in pg_hba.conf let it, or {OTHER_WAY}"
        )
    if tablespaces:
        raise BackupError(f"the server has tablespaces of its own, which this does not back up: {OTHER_WAY}")
    if server.embedded:
        command = connection.execute("SELECT current_setting('archive_command')").fetchone()
        if archives != "on" or command != (archive_command(line / WAL),):
            raise BackupError(
                "the embedded server was started without SIMSIGHT_BACKUPS, or with another folder, and archives "
                "nothing there: stop what uses this home (`simsight dev`, `serve`), and start it with the setting"
            )
    free = shutil.disk_usage(line).free
    if free < size // 10:
        raise BackupError(f"the databases hold {size / 1e6:.0f} MB, and {_free(line)}: free some space")
    return version, major, _now(connection)


def _free(folder: Path) -> str:
    return f"the disk of {folder.parent} has {shutil.disk_usage(folder).free / 1e6:.0f} MB free"


def _now(connection: psycopg.Connection[Any]) -> datetime:
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    assert isinstance(row[0], datetime)
    return row[0]


@contextmanager
def as_owner(server: Server) -> Iterator[psycopg.Connection[Any]]:
    """A connection whose statements are committed at the end of the block, as the tables' owner."""
    url = driver_url(server.simsight, "").render_as_string(hide_password=False)
    with psycopg.connect(url, options="-c TimeZone=UTC -c role=simsight_owner") as connection:
        yield connection


def _write_down(server: Server, backup: Backup) -> None:
    with as_owner(server) as connection:
        connection.execute(
            "INSERT INTO ops.backups (name, kind, after, started_at, finished_at, bytes, verified)"
            " VALUES (%s, %s, %s, %s, %s, %s, true)",
            (backup.name, backup.kind, backup.after, backup.started_at, backup.finished_at, backup.bytes),
        )


def _remove_old(backups: Sequence[Backup], chains: int, line: Path) -> list[str]:
    """Remove all but the newest chains of backups of one home, and the log from before them; returns their names."""
    fulls = [place for place, backup in enumerate(backups) if backup.kind == "full"]
    first = fulls[-chains] if len(fulls) > chains else fulls[0]
    for backup in reversed(backups[:first]):  # at no time is there an incremental one without what it rests on
        gone = line / f".gone-{backup.name}"
        backup.folder.rename(gone)
        shutil.rmtree(gone)
    if (line / WAL).is_dir():
        backup_tools.clean_archive(line / WAL, backups[first].first_log_file)
    return [backup.name for backup in backups[:first]]


# --- the files of the home -------------------------------------------------------------------------------------------


def _home_files(settings: Settings) -> Iterator[Path]:
    """Paths in the home, from it, of what is no part of the server, no lock and no backup."""
    home = settings.home.resolve()
    backups = folder_of(settings)
    for folder, folders, names in os.walk(home):
        at = Path(folder)
        folders[:] = [
            name for name in folders if at / name != backups and not (at == home and name.startswith("postgres"))
        ]
        for name in names:
            is_ours = at == home and name.startswith(("postgres.", MARK))
            if not is_ours and not name.endswith(".lock"):
                yield (at / name).relative_to(home)


def _copy_files(settings: Settings, target: Path, before: Backup | None) -> dict[str, tuple[int, int, str]]:
    """Copy the home's files; one that has not changed since a backup is linked to its copy there."""
    home = settings.home.resolve()
    copied: dict[str, tuple[int, int, str]] = {}
    target.mkdir()
    for path in _home_files(settings):
        try:
            found = (home / path).lstat()
            if not stat.S_ISREG(found.st_mode):
                continue
            to, name = target / path, path.as_posix()
            to.parent.mkdir(parents=True, exist_ok=True)
            known = before.files.get(name) if before else None
            if before and known and known[:2] == (found.st_size, found.st_mtime_ns):
                try:
                    to.hardlink_to(before.folder / FILES / path)
                    copied[name] = known
                    continue
                except OSError:
                    pass  # a file system without links
            sha256 = _copied(home / path, to)
        except FileNotFoundError:
            continue  # removed just now
        copied[name] = (found.st_size, found.st_mtime_ns, sha256)
    return copied


def _copied(source: Path, target: Path | None) -> str:
    """Read a file, and copy it where there is a target; returns the SHA-256 of what was read."""
    digest = hashlib.sha256()
    with source.open("rb") as reading:
        writing = target.open("wb") if target else None
        try:
            while block := reading.read(BLOCK):
                digest.update(block)
                if writing:
                    writing.write(block)
            if writing:
                writing.flush()
                os.fsync(writing.fileno())
        finally:
            if writing:
                writing.close()
    return digest.hexdigest()


def _bytes(folder: Path) -> int:
    """Bytes that a folder takes; a file that is linked to another backup's takes none."""
    found = [path.lstat() for path in folder.rglob("*")]
    return sum(file.st_size for file in found if stat.S_ISREG(file.st_mode) and file.st_nlink == 1)
