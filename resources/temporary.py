"""A folder for the temporary files of a process and its children, removed when it ends, or by the next one to begin."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MAKING_S = 60  # far longer than a process takes from its lock to its folder


@contextmanager
def own_temporary_folder() -> Iterator[Path]:
    """Where `tempfile`, here and in child processes, puts files while the block lasts.

    Folders of processes that were killed are removed on the way in: each living one holds a lock on its own, which ends
    with it. The folder lies in the machine's own folder for such files, so that names of sockets in it stay short.
    """
    outside, before = Path(tempfile.gettempdir()), os.environ.get("TMPDIR")
    base = outside / f"simsight-runs-{os.getuid()}"
    with suppress(FileExistsError):
        base.mkdir(mode=0o700)
    if base.is_symlink() or base.stat().st_uid != os.getuid():
        yield outside  # somebody else's: nothing is put there, and nothing removed
        return
    remove_left(base)
    # a lock is held before the folder can be seen: nobody takes it for one that was left
    handle, name = tempfile.mkstemp(dir=base, suffix=".lock")
    fcntl.flock(handle, fcntl.LOCK_EX)
    folder = Path(name).with_suffix("")
    folder.mkdir(mode=0o700)
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    try:
        yield folder
    finally:
        tempfile.tempdir = str(outside)
        if before is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = before
        shutil.rmtree(folder, ignore_errors=True)
        Path(name).unlink(missing_ok=True)
        os.close(handle)


def remove_left(base: Path) -> int:
    """Remove the folders whose process is dead; returns how many."""
    removed = 0
    for lock in base.glob("*.lock"):
        with suppress(OSError), lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: its process lives
            folder = lock.with_suffix("")
            if not folder.exists() and time.time() - lock.stat().st_mtime < MAKING_S:
                continue  # being made, or removed just now
            removed += folder.exists()
            shutil.rmtree(folder, ignore_errors=True)
            lock.unlink(missing_ok=True)
    return removed
