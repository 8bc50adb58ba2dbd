"""A home made of a backup and the archived log, as it was at a time: a new one, whole or not at all."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from resources.database import backup_tools
from resources.database.archive import WAL
from resources.database.embedded import PORT, SUPERUSER, StartError, shared_server
from resources.errors import in_words
from services.backup import DATA, FILES, Backup, BackupError, backups_in, chain_of, verify
from services.backup_keeper import archived_until

LOG_COPY = "restore_wal"  # in the data folder: the server reaches it there as whatever user it runs
# what a server of one's own does once the log is applied: settings that stayed would hold for replicas of it
CLEAN_UP = f'sed -i -E "/^(restore_command|recovery_)/d" postgresql.auto.conf && rm -r {LOG_COPY}'
SEGMENT = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})")
SEGMENT_BYTES = 16 << 20
PER_LOG = (1 << 32) // SEGMENT_BYTES
NOT_REACHED = "recovery ended before configured recovery target was reached"


@dataclass(frozen=True)
class Restored:
    """What was restored: from which backup, up to when, and what is left to do by hand (empty: nothing)."""

    backup: Backup
    last_write_at: datetime | None
    note: str


def choose(folder: Path, to: datetime | None, name: str | None = None) -> Backup:
    """The newest backup that ended before a time, or the one of a name. Raises BackupError."""
    found = backups_in(folder)
    if not found:
        raise BackupError(f"there is no backup in {folder}")
    if name is not None and not (found := [backup for backup in found if backup.name == name]):
        raise BackupError(f"there is no backup {name} in {folder}: `simsight backup list` lists them")
    early = [backup for backup in found if to is None or backup.finished_at <= to]
    if not early:
        raise BackupError(
            f"no backup ended before {_shown(to)}: the first time that can be restored is "
            f"{_shown(found[0].finished_at)}"
        )
    return early[-1]


def restore(
    folder: Path, target: Path, *, to: datetime | None = None, name: str | None = None, say: Callable[[str], None]
) -> Restored:
    """Make a new home of the newest backup before a time and the log after it.

    target  a folder that does not exist, or is empty
    to      the last moment whose writes are wanted; None: all that were archived
    Raises BackupError; then the target is as it was.
    """
    target = target.absolute()
    if target.is_symlink() or (target.exists() and (not target.is_dir() or any(target.iterdir()))):
        raise BackupError(f"{target} is there already: a backup is restored into a new folder, nothing is overwritten")
    backup = choose(folder, to, name)
    until = archived_until(backup.folder.parent)
    if to is not None and not backup.embedded and (until is None or to > until):
        raise BackupError(
            f"the archived log ends at {_shown(until)}: restore without --to all that there is, or to an earlier time"
            if until
            else "the log of this server is not archived (`simsight backup keep`): restore without --to"
        )
    chain = chain_of(backup)
    say(f"reading {', '.join(link.name for link in chain)} of {backup.home} through")
    for link in chain:
        verify(link)
    target.parent.mkdir(parents=True, exist_ok=True)
    for left in target.parent.glob(f".{target.name}.restoring-*"):  # of one that was killed
        if not psutil.pid_exists(int(left.name.rpartition("-")[2])):
            shutil.rmtree(left)
    part = target.with_name(f".{target.name}.restoring-{os.getpid()}")
    try:
        part.mkdir()
        data = part / DATA
        say("putting the databases together")
        backup_tools.combine([link.folder / DATA for link in chain], data)
        shutil.copytree(backup.folder / FILES, part, dirs_exist_ok=True)
        if backup.embedded:
            note = ""
            log = _copy_log(backup, data, to)
            say(f"applying {log} files of the log{'' if to is None else f', up to {_shown(to)}'}")
            last = _recover(data, to, Path(backup.home), target)
            shutil.rmtree(data / LOG_COPY)
        else:
            last = None
            log = _copy_log(backup, data, to)
            if log == 0:
                (data / LOG_COPY).rmdir()
            else:
                say(f"{log} files of the log are laid beside it{'' if to is None else f', up to {_shown(to)}'}")
                _ask_for_recovery(data, to, recovery_end_command=CLEAN_UP)
            note = (
                f"it is a backup of a server of your own (PostgreSQL {backup.postgresql}): start such a server on "
                f"{target / DATA}, with the extensions that it had; before it takes connections it "
                f"{'applies the log' if log else 'makes itself consistent'}. Then set SIMSIGHT_DATABASE_URL to it"
            )
        if target.exists():
            target.rmdir()
        part.rename(target)
    except (backup_tools.BackupToolError, StartError, OSError) as error:
        raise BackupError(f"nothing was restored: {in_words(error)}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Restored(backup, last, note)


def _copy_log(backup: Backup, data: Path, to: datetime | None) -> int:
    """Copy the archived log from the backup's beginning on into the data folder; returns how many files.

    A log with a hole or a damaged file is refused where all of it is wanted, as what came after it would be missing
    without a word; and before a time where nobody would be told that it is not reached.
    """
    archive, copies = backup.folder.parent / WAL, data / LOG_COPY
    copies.mkdir()
    files = sorted(file for file in archive.glob("*.gz") if not file.name.startswith("."))
    for history in [file for file in files if ".history." in file.name]:
        shutil.copy2(history, copies)
    segments = [file for file in files if SEGMENT.fullmatch(file.name.removesuffix(".gz"))]
    needed = [file for file in segments if file.name[:24] >= backup.first_log_file]
    usable = 0
    for usable, file in enumerate(needed):
        wrong = "" if usable == 0 or _follows(needed[usable - 1].name, file.name) else f"what comes before {file.name}"
        wrong = wrong or _damage(file)
        if wrong:
            before = datetime.fromtimestamp(needed[max(usable - 1, 0)].stat().st_mtime, UTC)
            if to is None or (not backup.embedded and to > before):
                raise BackupError(
                    f"the archived log lacks {wrong}: what was written after it cannot be restored; --to a time before "
                    f"{_shown(before)} restores what came before"
                )
            return usable
        shutil.copy2(file, copies)
    return len(needed)


def _damage(file: Path) -> str:
    """What of an archived file of the log is lost, in words; empty: nothing."""
    try:
        with gzip.open(file) as content:
            size = 0
            while block := content.read(1 << 20):
                size += len(block)
    except (OSError, EOFError, zlib.error):
        return f"{file.name}, which is damaged"
    return "" if size == SEGMENT_BYTES else f"a part of {file.name}"


def _follows(before: str, after: str) -> bool:
    """Whether one file of the log comes right after another; timelines are told apart by PostgreSQL itself."""
    one, two = SEGMENT.match(before), SEGMENT.match(after)
    assert one
    assert two
    numbers = [int(found[2], 16) * PER_LOG + int(found[3], 16) for found in (one, two)]
    return one[1] != two[1] or numbers[1] == numbers[0] + 1


def _ask_for_recovery(data: Path, to: datetime | None, **options: str) -> list[str]:
    """Let the server that is started on a data folder apply the log first; returns the names of the settings for it."""
    options |= {"restore_command": f'gzip -dc "{LOG_COPY}/%f.gz" > "%p"', "recovery_target_action": "promote"}
    if to is not None:
        options["recovery_target_time"] = to.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00")
    with (data / "postgresql.auto.conf").open("a") as conf:
        conf.writelines(f"{name} = '{value}'\n" for name, value in options.items())
    (data / "recovery.signal").touch()
    return list(options)


def _recover(data: Path, to: datetime | None, old: Path, new: Path) -> datetime | None:
    """Let a server apply the log and become one of its own; returns the time of the last write that it applied.

    old, new  the home that was backed up, and the one that is made
    """
    options = _ask_for_recovery(data, to)
    (data / "log").unlink(missing_ok=True)
    last: datetime | None = None
    try:
        with shared_server(data) as sockets:
            address = {"host": str(sockets), "port": PORT, "user": SUPERUSER, "dbname": "postgres"}
            with psycopg.connect(**address, autocommit=True) as connection:  # type: ignore[arg-type]
                while True:
                    row = connection.execute("SELECT pg_is_in_recovery(), pg_last_xact_replay_timestamp()").fetchone()
                    assert row is not None
                    last = row[1] or last
                    if not row[0]:
                        break
                    time.sleep(0.1)
                for name in options:
                    connection.execute(sql.SQL("ALTER SYSTEM RESET {}").format(sql.Identifier(name)))
                names = {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
            if "mlflow" in names:
                with psycopg.connect(**address | {"dbname": "mlflow"}) as connection:  # type: ignore[arg-type]
                    _move_artifacts(connection, f"{old.as_uri()}/", f"{new.as_uri()}/")
    except (StartError, psycopg.OperationalError) as error:
        with suppress(OSError):
            said = (data / "log").read_text(errors="replace")
            if NOT_REACHED in said:
                raise BackupError(
                    f"the archived log holds no write after {_shown(to)}, so it may end before that: restore without "
                    "--to all that there is, or to an earlier time"
                ) from error
            faults = [line.partition("FATAL: ")[2].strip() for line in said.splitlines() if "FATAL: " in line]
            raise BackupError(f"PostgreSQL did not apply the log: {'; '.join(faults[-3:]) or error}") from error
        raise
    return last


def _move_artifacts(connection: psycopg.Connection, old: str, new: str) -> None:
    """Let MLflow's database name artifacts where they are now: it holds whole paths of the home it came from."""
    columns = connection.execute(
        "SELECT table_name, column_name FROM information_schema.columns JOIN information_schema.tables"
        " USING (table_schema, table_name) WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
        " AND data_type IN ('character varying', 'text')"
    ).fetchall()
    change = sql.SQL("UPDATE {} SET {} = {} || substr({}, length({}) + 1) WHERE starts_with({}, {})")
    for table, name in columns:
        column, before, after = sql.Identifier(name), sql.Literal(old), sql.Literal(new)
        connection.execute(change.format(sql.Identifier(table), column, after, column, before, column, before))


def _shown(moment: datetime | None) -> str:
    return "-" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
