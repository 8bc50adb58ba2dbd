"""PostgreSQL's own programs for backups: pg_basebackup, pg_verifybackup, pg_combinebackup, pg_receivewal and so on.

They are those of the server's major version: a backup of PostgreSQL 17 is none for the programs of 18. Simsight comes
with one version; others are found where the machine has them installed.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from sqlalchemy import URL

from resources.database.embedded import installed_programs
from resources.database.server import driver_url
from resources.errors import SimsightError

MANIFEST = "backup_manifest"
START = re.compile(r"START WAL LOCATION: \S+ \(file ([0-9A-F]{24})\)")
ALL = ("pg_basebackup", "pg_verifybackup", "pg_waldump", "pg_combinebackup", "pg_receivewal")
DEBIAN = "/usr/lib/postgresql/{}/bin"  # where Debian's packages put the programs of a version
SYNC: list[str] = []  # that what is written is brought to the disk; tests do without


class BackupToolError(SimsightError):
    """A program of PostgreSQL failed; the message says which, and what it said."""


@cache
def programs_of(major: int) -> Path | None:
    """Folder of the programs of a major version of PostgreSQL; None where this machine has none."""
    on_path = shutil.which("pg_basebackup")
    for folder in (installed_programs(), Path(DEBIAN.format(major)), Path(on_path).parent if on_path else None):
        # pg_combinebackup came with 17; pg_verifybackup needs pg_waldump, which Debian packs with the server
        if folder and all((folder / name).exists() for name in ALL) and _major(folder) == major:
            return folder
    return None


def base_backup(url: URL, folder: Path, major: int, *, after: Path | None) -> None:
    """Copy all databases of a server into a new folder, with the log that makes them consistent.

    url    of any database of the server, by a login that may replicate
    major  the server's major version
    after  data folder of an earlier backup: only what changed since then is copied
    """
    command, secret = _connecting(url)
    command += ["--pgdata", str(folder), "--checkpoint=fast", "--wal-method=stream", "--format=plain", *SYNC]
    if after is not None:
        command += [f"--incremental={after / MANIFEST}"]
    _run(major, "pg_basebackup", *command, more=secret)


def receive_log(url: URL, folder: Path, major: int, slot: str, said: Path) -> subprocess.Popen[bytes]:
    """Start to copy the server's log into a folder, from where a slot of replication is, until the process is ended.

    said  file for what the program says
    """
    command, secret = _connecting(url)
    command += ["--directory", str(folder), "--slot", slot, "--compress=gzip:1", "--no-loop"]
    with said.open("wb") as output:
        return subprocess.Popen(  # noqa: S603
            [_program(major, "pg_receivewal"), *command],
            env=_environment(secret),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )


def _connecting(url: URL) -> tuple[list[str], dict[str, str]]:
    """Arguments of a program that connects, and the variable with the password.

    A password on the command line would be seen by every user of the machine.
    """
    address = driver_url(url, "")
    # not by URL.set, which leaves the password where it is given None
    name = URL.create(
        address.drivername, address.username, None, address.host, address.port, "postgres", address.query
    ).render_as_string()
    return ["--dbname", name, "--no-password"], {"PGPASSWORD": str(address.password)} if address.password else {}


def verify(folder: Path) -> None:
    """Read a backup's data folder through: raises BackupToolError unless all files are those of its manifest."""
    _run(version_of(folder), "pg_verifybackup", "--quiet", str(folder))


def combine(chain: Sequence[Path], folder: Path) -> None:
    """Make one whole data folder of a full backup and those after it."""
    _run(version_of(chain[-1]), "pg_combinebackup", *SYNC, "--output", str(folder), *map(str, chain))


def first_log_file(folder: Path) -> str:
    """Name of the first file of the log that a backup's data folder needs."""
    found = START.search((folder / "backup_label").read_text())
    if found is None:
        raise BackupToolError(f"{folder / 'backup_label'} does not say where the log begins")
    return found[1]


def clean_archive(archive: Path, oldest: str) -> None:
    """Remove what the archive holds from before a file of the log."""
    _run(version(), "pg_archivecleanup", "-b", "-x", ".gz", str(archive), oldest)


def version() -> int:
    """The major version of the programs that come with Simsight."""
    return _major(installed_programs())


def version_of(folder: Path) -> int:
    """The major version whose data folder this is."""
    try:
        return int((folder / "PG_VERSION").read_text())
    except (OSError, ValueError) as error:
        raise BackupToolError(f"{folder / 'PG_VERSION'} does not say of which version it is") from error


@cache
def _major(folder: Path) -> int:
    told = subprocess.run(  # noqa: S603
        [folder / "pg_basebackup", "--version"], env=_environment({}), capture_output=True, text=True, check=True
    )
    found = re.search(r"\) (\d+)", told.stdout)
    return int(found[1]) if found else 0


def _program(major: int, name: str) -> Path:
    folder = programs_of(major)
    if folder is None:
        raise BackupToolError(f"{name} of PostgreSQL {major} is not installed (Debian: postgresql-{major})")
    return folder / name


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not re.match(r"PG|LC_|LANG", name)}
    return kept | {"LC_ALL": "C"} | dict(more)


def _run(major: int, program: str, *arguments: str, more: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(  # noqa: S603
        [_program(major, program), *arguments],
        env=_environment(more or {}),
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
