"""The wheel in an environment of its own, with the runtime lock and nothing else: it is whole, it imports, it runs.

About 45 CPU seconds, so these tests run on request alone: pytest -m packaging.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("api", "assets", "ml", "pipelines", "resources", "services", "simulator", "sql")
UV = Path(sys.executable).with_name("uv")
IMPORT_ALL_AND_RUN = """
import importlib, sys
for name in sys.argv[1].split():
    importlib.import_module(name)
from pipelines.cli import main
del sys.argv[1]
main()
"""

pytestmark = [
    pytest.mark.packaging,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not (UV.exists() and (ROOT / ".git").exists()), reason="needs uv and a checkout"),
]


def tracked(*paths: str) -> list[str]:
    """The checkout's files, as git knows them."""
    listed = subprocess.run(["git", "ls-files", "--", *paths], cwd=ROOT, capture_output=True, text=True, check=True)
    return [file for file in listed.stdout.splitlines() if os.path.lexists(ROOT / file)]


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    """Run a command to its good end; returns all that it said. All but uv, which may need a proxy, gets no other
    variable.
    """
    kept = {name: value for name, value in os.environ.items() if command[0] == UV or name in {"PATH", "HOME"}}
    ran = subprocess.run(
        command, cwd=cwd, env=kept | variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert ran.returncode == 0, f"{command}: {ran.stdout}"
    return ran.stdout


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel, the wheel's files, and an empty folder to work in."""

    bin: Path
    files: list[str]
    empty: Path
    home: Path

    def simsight(self, *arguments: str) -> str:
        return run(self.bin / "simsight", *arguments, cwd=self.empty, SIMSIGHT_HOME=str(self.home))


@pytest.fixture(scope="module")
def installed() -> Iterator[Installed]:
    # a short path: a Unix socket's path may have about 100 characters
    with tempfile.TemporaryDirectory(prefix="sw-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        source, empty = folder / "source", folder / "empty"
        empty.mkdir()
        # a copy: an old build folder in the checkout would add what is no longer there
        for file in tracked(*ROOMS, "pyproject.toml", "README.md", "LICENSE", "*.yaml"):
            (source / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / file, source / file, follow_symlinks=False)
        # by way of a source distribution
        run(UV, "build", "--no-build-isolation", "--python", sys.executable, "--out-dir", folder, source, cwd=empty)
        (wheel,) = folder.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            files = [file for file in archive.namelist() if ".dist-info/" not in file]
        environment = folder / "venv"
        python = environment / "bin" / "python"
        install = (UV, "pip", "install", "--python", python, "--no-deps")
        run(UV, "venv", "--python", sys.executable, environment, cwd=empty)
        run(*install, "--require-hashes", "--requirement", ROOT / "requirements-runtime.txt", cwd=empty)
        run(*install, wheel, cwd=empty)
        run(UV, "pip", "check", "--python", python, cwd=empty)
        yield Installed(environment / "bin", files, empty, folder / "home")


def test_the_wheel_holds_the_packages_files_and_no_others(installed: Installed) -> None:
    assert sorted(installed.files) == sorted(tracked(*ROOMS))


def test_every_module_is_imported_with_the_runtime_lock_alone_and_the_demo_and_the_doctor_run(
    installed: Installed,
) -> None:
    paths = [Path(file).with_suffix("") for file in installed.files if file.endswith(".py")]
    modules = sorted({".".join(path.parts).removesuffix(".__init__") for path in paths if path.name != "__main__"})
    for module in ("pipelines.celery_steps", "resources.spans"):  # the extras celery and otel
        modules.remove(module)
    # in one process, as importing takes as long as the demo
    demo = ("-c", IMPORT_ALL_AND_RUN, " ".join(modules), "demo", "--sims", "6", "--days", "30")
    said = run(installed.bin / "python", "-I", *demo, cwd=installed.empty, SIMSIGHT_HOME=str(installed.home))
    assert "Checks: " in said
    assert "Traceback" not in said
    assert "schema: version" in installed.simsight("doctor")
    assert list(installed.empty.iterdir()) == []


def test_another_build_is_another_version_of_the_code(installed: Installed) -> None:
    code = "from resources.version import code_version; print(code_version())"
    version = run(installed.bin / "python", "-I", "-c", code, cwd=installed.empty).strip()
    assert "+" in version
