"""`simsight ask` over a real database: the answer, JSON, and the exit code for what is not understood."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import URL
from typer.testing import CliRunner

from pipelines.cli.app import app


@pytest.fixture
def run(database_url: URL, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setenv("SIMSIGHT_DATABASE_URL", database_url.render_as_string(hide_password=False))
    return CliRunner()


def test_a_question_is_answered(run: CliRunner) -> None:
    said = run.invoke(app, ["ask", "How many SIMs are there?", "--sql"])
    assert said.exit_code == 0, said.output
    assert "No SIMs." in said.output
    assert "SELECT count(*)" in said.output
    found = json.loads(run.invoke(app, ["ask", "Wie viele SIMs gibt es?", "--json"]).output)
    assert found["rows"] == [{"value": 0}]
    assert found["question"]["metric"] == "sims"


def test_what_is_not_understood_ends_with_1(run: CliRunner) -> None:
    said = run.invoke(app, ["ask", "what is the meaning of life"])
    assert said.exit_code == 1
    assert "Not understood: meaning, life." in said.output
