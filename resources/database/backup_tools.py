"""PostgreSQL's own programs for backups: pg_basebackup, pg_verifybackup, pg_combinebackup, pg_archivecleanup."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from sqlalchemy import URL

from resources.database.embedded import installed_programs
from resources.database.server import driver_url
from resources.errors import SimsightError

MANIFEST = "backup_manifest"
START = re.compile(r"START WAL LOCATION: \S+ \(file ([0-9A-F]{24})\)")
SYNC: list[str] = []  # that what is written is brought to the disk; tests do without


class BackupToolError(SimsightError):
    """A program of PostgreSQL failed; the message says which, and what it said."""


def base_backup(url: URL, folder: Path, *, after: Path | None) -> None:
    """Copy all databases of a server into a new folder, with the log that makes them consistent.

    url    of any database of the server, by a login that may replicate
    after  data folder of an earlier backup: only what changed since then is copied
    """
    address = driver_url(url, "")
    command = ["--pgdata", str(folder), "--dbname", address.set(password=None, database="postgres").render_as_string()]
    command += ["--checkpoint=fast", "--wal-method=stream", "--no-password", "--format=plain", *SYNC]
    if after is not None:
        command += [f"--incremental={after / MANIFEST}"]
    # a password on the command line would be seen by every user of the machine
    secret = {"PGPASSWORD": str(address.password)} if address.password else {}
    _run("pg_basebackup", *command, more=secret)


def verify(folder: Path) -> None:
    """Read a backup's data folder through: raises BackupToolError unless all files are those of its manifest."""
    _run("pg_verifybackup", "--quiet", str(folder))


def combine(chain: Sequence[Path], folder: Path) -> None:
    """Make one whole data folder of a full backup and those after it."""
    _run("pg_combinebackup", *SYNC, "--output", str(folder), *map(str, chain))


def first_log_file(folder: Path) -> str:
    """Name of the first file of the log that a backup's data folder needs."""
    found = START.search((folder / "backup_label").read_text())
    if found is None:
        raise BackupToolError(f"{folder / 'backup_label'} does not say where the log begins")
    return found[1]


def clean_archive(archive: Path, oldest: str) -> None:
    """Remove what the archive holds from before a file of the log."""
    _run("pg_archivecleanup", "-b", "-x", ".gz", str(archive), oldest)


def version() -> int:
    """The major version of these programs."""
    return int(_run("pg_basebackup", "--version").rpartition(") ")[2].partition(".")[0])


def _run(program: str, *arguments: str, more: Mapping[str, str] | None = None) -> str:
    kept = {name: value for name, value in os.environ.items() if not re.match(r"PG|LC_|LANG", name)}
    done = subprocess.run(  # noqa: S603
        [installed_programs() / program, *arguments],
        env=kept | {"LC_ALL": "C"} | dict(more or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        lines = [line.removeprefix(f"{program}: ").strip() for line in done.stderr.splitlines() if line.strip()]
        told = [line for line in lines if line.startswith("error: ")] or lines[-3:]
        if done.returncode < 0:
            told.append(f"it was ended by {signal.Signals(-done.returncode).name}")
        said = "; ".join(line.removeprefix("error: ") for line in told[:5])
        raise BackupToolError(f"{program} failed: {said or f'exit code {done.returncode}'}")
    return done.stdout.strip()
