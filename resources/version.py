"""Which code runs: what a trained model is recorded with, so that a change of code trains a new one."""

from __future__ import annotations

import os
import subprocess
from hashlib import sha256
from importlib.metadata import distribution
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  # the checkout, or site-packages


def code_version() -> str:
    """The git commit of the code where it is known (SIMSIGHT_COMMIT, or a checkout).

    Elsewhere the package's version with a digest of the code that was installed: two builds of one version differ.
    """
    if commit := os.environ.get("SIMSIGHT_COMMIT"):
        return commit
    if (ROOT / ".git").exists():  # not a repository that this package merely lies in
        try:
            told = subprocess.run(  # noqa: S603
                ["git", "-C", str(ROOT), "rev-parse", "HEAD"],  # noqa: S607
                capture_output=True,
                text=True,
                check=True,
                timeout=10,
            )
        except (OSError, subprocess.SubprocessError):
            pass
        else:
            return told.stdout.strip()
    installed = distribution("simsight")
    code = sorted(
        f"{file} {file.hash.value}"
        for file in installed.files or []
        if file.hash and file.suffix in {".py", ".sql"} and not file.parts[0].startswith("__editable__")
    )
    return f"{installed.version}+{sha256(chr(10).join(code).encode()).hexdigest()[:12]}" if code else installed.version
