"""The house as docs/architecture.md draws it: arrows between rooms, what the HTTP service loads, sizes."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("api", "assets", "ml", "pipelines", "resources", "services", "simulator", "sql")
MAX_LINES = 450
MAX_ASSET_LINES = 180  # of which a third are descriptions that the Dagster UI shows
# assets are thin: numbers are worked out in services and ml
ASSETS_WITH_NUMBERS = {
    "quality.py": "shows the checked rows as a table",
    "exhaustion.py": "takes the figures of the whole fleet out of the backtest's frame",
}


def modules(*rooms: str) -> list[Path]:
    return [path for room in rooms or ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def imported(path: Path) -> set[str]:
    """The top-level packages that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def test_no_module_of_the_product_is_named_like_a_test() -> None:
    assert not [path for path in modules() if path.name.startswith("test_") or path.stem.endswith("_test")]


def test_imports_keep_to_the_arrows() -> None:
    pytest.importorskip("importlinter")
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_only_the_demo_and_the_command_line_know_the_simulator() -> None:
    others = [path for path in modules() if path.is_relative_to(ROOT / "simulator") is False]
    knowing = {path.relative_to(ROOT).as_posix() for path in others if "simulator" in imported(path)}
    assert knowing == {"pipelines/demo.py", "pipelines/cli/simulate.py"}


def test_the_http_service_starts_without_the_data_libraries() -> None:
    code = "import json, sys, api.app; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    loaded = set(json.loads(done.stdout))
    heavy = {"polars", "pandas", "numpy", "scipy", "pyarrow", "sklearn", "lightgbm", "matplotlib", "dagster", "mlflow"}
    heavy |= {"great_expectations", "statsforecast", "xlsxwriter"}
    assert not loaded & heavy
    assert {name for name in loaded if name.startswith("ml.")} == {"ml.enums", "ml.words"}
    assert not {name.partition(".")[0] for name in loaded} & {"assets", "pipelines", "simulator"}


def test_models_read_no_clock() -> None:
    clock = re.compile(
        r"datetime\.(now|utcnow|today)\(|date\.today\(|\btime\.(time|monotonic|perf_counter)\(|^(from|import) time\b",
        re.M,
    )
    assert not [path.name for path in modules("ml") if clock.search(path.read_text())]


def test_assets_are_thin() -> None:
    long = {
        path.name: lines
        for path in modules("assets")
        if (lines := len(path.read_text().splitlines())) > MAX_ASSET_LINES
    }
    assert not long
    assert {path.name for path in modules("assets") if imported(path) & {"polars", "numpy"}} <= set(ASSETS_WITH_NUMBERS)


def test_no_file_is_too_long_to_read() -> None:
    files = [*modules(*ROOMS, "benchmarks"), *(ROOT / "sql" / "queries").rglob("*.sql")]
    sizes = {path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines()) for path in files}
    assert not {name: lines for name, lines in sizes.items() if lines > MAX_LINES}
