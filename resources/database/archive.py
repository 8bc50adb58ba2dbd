"""The archive of the embedded server's write-ahead log: where it is, and the command that fills it."""

from __future__ import annotations

import shlex
import uuid
from contextlib import suppress
from pathlib import Path

TIMEOUT_S = 300  # a log that is not full is archived after this time: what a lost disk may cost
WAL = "wal"
MARK = "backups.id"
# %p is the file to archive, from the data folder, and %f its name. A file is seen whole or not at all: it is written
# under another name, brought to the disk and renamed. One that is there already must hold the same, else the log of
# another server would be lost: the command fails then, and PostgreSQL keeps its file and tries again.
COMMAND = """to={folder}/%f.gz && part={folder}/.%f.part && \
if [ -e "$to" ]; then gzip -dc "$to" | cmp -s - %p; \
else gzip -1 -c %p > "$part" && sync "$part" && mv "$part" "$to" && sync {folder}; fi"""


def archive_of(home: Path, backups: Path) -> Path:
    """The folder below `backups` where the server of a home folder archives: no other home's server does.

    A home is told from its copies and from homes that were restored from its backups by a mark that goes along with
    neither: their logs part ways, and would overwrite each other.
    """
    return line_of(home, backups) / WAL


def line_of(home: Path, backups: Path) -> Path:
    """The folder of one home's backups."""
    home = home.resolve()
    home.mkdir(parents=True, exist_ok=True)
    mark = home / MARK
    while not (text := _mark_of(home)):
        mark.unlink(missing_ok=True)  # that of the home this one is a copy of
        part = home / f"{MARK}.{uuid.uuid4().hex[:12]}"
        part.write_text(f"{part.suffix[1:]} {home}\n")
        with suppress(FileExistsError):  # another process was faster
            mark.hardlink_to(part)
        part.unlink()
    return backups.resolve() / text


def _mark_of(home: Path) -> str:
    with suppress(FileNotFoundError):
        text, _, where = (home / MARK).read_text().strip().partition(" ")
        if where == str(home) and text.isalnum():
            return text
    return ""


def archive_command(archive: Path) -> str:
    """The shell command that copies one finished file of the log into a folder, which may have any name."""
    return COMMAND.format(folder=shlex.quote(str(archive)).replace("%", "%%"))


def archive_options(archive: Path) -> list[str]:
    """Options of a server that archives its log there, and that can be backed up incrementally."""
    values = {
        "archive_mode": "on",
        "archive_command": archive_command(archive),
        "archive_timeout": str(TIMEOUT_S),
        "summarize_wal": "on",
    }
    return [part for name, value in values.items() for part in ("-c", f"{name}={value}")]
