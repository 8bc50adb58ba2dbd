"""GitHub's workflows may do little, and run what is here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / ".github/workflows").glob("*.yml"))


def test_there_are_three() -> None:
    assert [path.stem for path in FILES] == ["ci", "release", "security"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_workflow_may_only_read_unless_a_job_says_what_else(path: Path) -> None:
    text = path.read_text()
    workflow: dict[Any, Any] = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    assert "pull_request_target" not in text
    for name, job in workflow["jobs"].items():
        assert job["timeout-minutes"] <= 45, name
        assert re.fullmatch(r"ubuntu-\d\d\.\d\d", job["runs-on"]), name
        for step in job["steps"]:
            if uses := step.get("uses"):
                assert re.fullmatch(r"[\w-]+/[\w/-]+@(v\d+(\.\d+)*|[0-9a-f]{40})", uses), uses
                if uses.startswith("actions/checkout@"):
                    assert step["with"]["persist-credentials"] is False
            # what a stranger writes into a title or a branch's name must not reach a shell
            assert "${{ github.event" not in step.get("run", ""), name


def test_what_the_workflows_run_is_there() -> None:
    runs = [
        step["run"]
        for path in FILES
        for job in yaml.safe_load(path.read_text())["jobs"].values()
        for step in job["steps"]
        if "run" in step
    ]
    text = "\n".join(runs)
    named = set(re.findall(r"(?:requirements[\w-]*\.txt|deploy/[\w-]+|\.ci/\w+|pyproject\.toml)", text))
    assert {".ci/run", "deploy/Dockerfile", "deploy/make-secrets", "requirements-runtime.txt"} <= named
    for path in named:
        assert (ROOT / path).exists(), path
    (scanned,) = re.findall(r"bandit .*? medium (.+)", text)
    assert all((ROOT / folder).is_dir() for folder in scanned.split())
