"""Temporary files of a process that was killed are removed by the next one; those of a living one are not."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from resources.temporary import own_temporary_folder

LEAVES = """
import subprocess, sys, tempfile
from resources.temporary import own_temporary_folder
with own_temporary_folder() as folder:
    kept = tempfile.NamedTemporaryFile()
    subprocess.run([sys.executable, "-c", "import tempfile; print(tempfile.mkstemp()[1])"], check=True)
    print(kept.name, flush=True)
    sys.stdin.read()
"""


def test_the_files_of_a_killed_process_are_removed_by_the_next_one_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)

    def begin() -> tuple[subprocess.Popen[str], list[Path]]:
        process = subprocess.Popen(
            [sys.executable, "-c", LEAVES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        return process, [Path(process.stdout.readline().strip()) for _ in range(2)]

    killed, left = begin()
    living, used = begin()
    killed.kill()
    killed.wait()
    assert all(path.exists() for path in left + used)

    base = tmp_path / f"simsight-runs-{os.getuid()}"
    (old := base / "old.lock").touch()  # killed before it had a folder, or after its folder was removed
    os.utime(old, (0, 0))
    (new := base / "new.lock").touch()  # about to make its folder

    with own_temporary_folder() as folder:
        assert not old.exists()
        assert new.exists()
        new.unlink()
        mine = Path(tempfile.mkstemp()[1])
        assert mine.parent == folder
        assert not any(path.exists() for path in left)
        assert all(path.exists() for path in used)

    living.communicate("")
    assert not any(path.exists() for path in [mine, *used])
    assert os.environ["TMPDIR"] == str(tmp_path)
    assert list(base.iterdir()) == []
