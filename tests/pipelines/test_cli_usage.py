"""The command line refuses wrong input before it starts a database, and what it prints fits the terminal."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import psycopg
import pytest
from rich.console import Console
from sqlalchemy import URL, create_engine, text
from sqlalchemy.exc import OperationalError
from typer.testing import CliRunner

from pipelines.cli import app, common, main
from pipelines.demo import called_as
from resources.database.server import driver_url
from resources.errors import UsageError
from resources.ports import listen
from services.alerts.evaluation import AlertError
from services.alerts.rules import RuleError
from services.exports import ExportError, ExportFileError

ICCID = "8988280666000000001"
FUTURE = (datetime.now(UTC) + timedelta(days=40)).isoformat()


@pytest.fixture(autouse=True)
def empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder that is not the project's, without any setting."""
    import os

    for name in os.environ:
        if name.startswith(("SIMSIGHT_", "ONCE_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Run the command as its entry point does: exit code and all it said, on one line."""
    monkeypatch.setattr(sys, "argv", ["simsight", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    written = capsys.readouterr()
    text = " ".join((written.out + written.err).replace("│", " ").split())
    assert "Traceback" not in text
    return int(ended.value.code or 0), text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["import", "missing.csv"], ["missing.csv", "does not exist"]),
        (["import", "."], ["is a directory"]),
        (["export", "sims", "--to", "x.pdf"], [".csv, .xlsx or .parquet"]),
        (["export", "sims", "--to", "nowhere/x.csv"], ["there is no folder nowhere"]),
        (["ingest", "--from", "2026-13-01"], ["2026-13-01", "YYYY-MM-DD"]),
        (["ingest", "--from", "2999-01-01"], ["expected days in order"]),
        (["run", "--as-of", "2999-01-01"], ["expected a day from"]),
        (["oncall", "quiet", "x", "--from", "25:00", "--to", "07:00"], ["25:00", "HH:MM"]),
        (["oncall", "maintenance", "x", "--from", "1", "--to", "2"], ["YYYY-MM-DDTHH:MM"]),
        (["alerts", "list", "--kind", "foo"], ["foo", "exhaustion", "incident"]),
        (["feedback", "add", "--kind", "foo"], ["foo", "spike", "silence"]),
        (["rules", "add", "x", "usage_day >"], ["is no condition"]),
        (["rules", "add", "x", "usage_year_mb > 1"], ["there is no metric 'usage_year_mb'"]),
        (["rules", "test", "usage_day_mb > -1"], ["-1 is outside what usage_day_mb can be"]),
        (["rules", "test", "usage_day_mb > 1", "--sim", "8" * 18], ["--sim", "ICCID of 19 digits"]),
        (["rules", "test", "usage_day_mb > 1", "--sim", ICCID + "1"], ["--sim", "check digit"]),
        (["feedback", "add", "--iccid", "pump-7"], ["--iccid", "ICCID of 19 digits"]),
        (["alerts", "list", "--severity", "loud"], ["loud", "info", "warning", "critical"]),
        (["alerts", "snooze", "1", "--for", "0h"], ["'0h': expected a time such as 30m"]),
        (["channels", "add", "mail", "mailto://u:hush@h"], ["name of an environment variable"]),
        (["channels", "add", "my mail", "MAIL_URL"], ["a channel's name is"]),
        (["channels", "add", "mail", "MAIL_URL", "--zone", "Mars/Olympus"], ["no time zone 'Mars/Olympus'"]),
        (["oncall", "quiet", "x", "--from", "22:00", "--to", "06:00", "--zone", "Berlin"], ["no time zone 'Berlin'"]),
        (["oncall", "quiet", "x", "--from", "22:00", "--to", "22:00"], ["two different times"]),
        (["oncall", "escalate", "x", "99999:mail"], ["steps of 0 to 43200 minutes"]),
        (
            ["oncall", "maintenance", "x", "--from", "2026-02-01T00:00", "--to", "2026-01-01T00:00"],
            ["the end must come later"],
        ),
        (["export", "sims", "--to", "x.csv", "--where", "label"], ["'label' is no condition"]),
        (["export", "sims", "--to", "x.csv", "--columns", "iccid,iccid"], ["a column is named twice"]),
        (["migrate", "--to", "9999"], ["there is no migration 9999", "1 to"]),
        (["ingest"], ["no 1NCE account is set", "ONCE_USERNAME"]),
        (["simulate", "--truth", "nowhere/x.json"], ["there is no folder nowhere"]),
    ],
)
def test_wrong_input_is_refused_with_code_2_and_nothing_is_started(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    empty_folder: Path,
    arguments: list[str],
    words: list[str],
) -> None:
    monkeypatch.setattr("resources.runtime.running_server", None)  # a start of the database would fail
    code, text = _said(monkeypatch, capsys, *arguments)
    assert code == 2, text
    assert [word for word in words if word not in text] == [], text
    assert "%" not in text
    assert "hush" not in text
    assert list(empty_folder.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "text", "arguments", "words"),
    [
        ("x.xlsx", "iccid,day,mb\n", [], "x.xlsx is no Excel workbook inside"),
        ("x.csv", "iccid,day,mb\n", ["--sheet", "A"], "x.csv has no sheets"),
        ("x.csv", "iccid,day\n", [], "the header lacks mb"),
        ("x.csv", "iccid,day,mb\n", ["--map", "Card=iccid"], "the file has no column Card"),
        ("x.pdf", "%PDF-1.7\0\0", [], "it is no text"),
    ],
)
def test_a_file_that_cannot_be_imported_is_refused_before_anything_is_started(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    empty_folder: Path,
    name: str,
    text: str,
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.setattr("resources.runtime.running_server", None)
    (empty_folder / name).write_text(text)
    code, said = _said(monkeypatch, capsys, "import", name, *arguments)
    assert (code, words in said) == (1, True), said
    assert [file.name for file in empty_folder.iterdir()] == [name]


@pytest.mark.parametrize("spelled", [ICCID, ICCID + "0"])
def test_a_sim_is_named_with_or_without_its_check_digit(spelled: str) -> None:
    assert common.iccid(spelled) == ICCID


@pytest.mark.parametrize("arguments", [["demo"], ["run"], ["ingest"], ["dev"]])
def test_a_pretended_time_to_come_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.setenv("SIMSIGHT_NOW", FUTURE)
    code, text = _said(monkeypatch, capsys, *arguments)
    assert code == 2
    assert "SIMSIGHT_NOW" in text
    assert "a day to come" in text


@pytest.mark.parametrize("arguments", [["demo"], ["ingest"]])
def test_half_an_account_is_refused_and_not_taken_for_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.setenv("ONCE_USERNAME", "somebody")
    code, text = _said(monkeypatch, capsys, *arguments)
    assert code == 2
    assert "ONCE_PASSWORD is not" in text


def test_a_misspelt_variable_is_said_without_its_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ONCE_PASWORD", "hunter2")
    code, text = _said(monkeypatch, capsys, "--version")
    assert code == 0
    assert f"simsight {version('simsight')}" in text
    assert "ONCE_PASWORD is no setting" in text
    assert "did you mean ONCE_PASSWORD?" in text
    assert "hunter2" not in text


@pytest.mark.parametrize("command", ["serve", "simulate"])
def test_a_port_in_use_is_said_before_any_address(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        monkeypatch.setenv("SIMSIGHT_API_PORT", port)
        code, text = _said(monkeypatch, capsys, command, *(["--port", port] if command == "simulate" else []))
    assert code == 1
    assert "cannot listen" in text
    assert "http://" not in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rules", "delete", "nobody"], "there is no rule named 'nobody'"),
        (["alerts", "ack", "999"], "with number 999"),
        (["channels", "test", "nobody"], "there is no channel named 'nobody'"),
        (["oncall", "delete", "quiet", "nobody"], "there is no quiet named 'nobody'"),
    ],
)
def test_what_is_not_there_is_wrong_usage(
    database_url: URL,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    url = database_url.render_as_string(hide_password=False)
    for name in ("SIMSIGHT_DATABASE_URL", "SIMSIGHT_DAGSTER_DATABASE_URL", "SIMSIGHT_MLFLOW_TRACKING_URI"):
        monkeypatch.setenv(name, url)
    code, text = _said(monkeypatch, capsys, *arguments)
    assert (code, words in text) == (2, True), text


def test_what_is_asked_wrongly_is_told_from_what_fails() -> None:
    assert issubclass(ExportError, UsageError)
    assert issubclass(RuleError, UsageError)
    assert issubclass(AlertError, UsageError)
    assert not issubclass(ExportFileError, UsageError)


def test_a_table_too_wide_for_the_terminal_becomes_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(common, "console", Console(highlight=False, soft_wrap=True))
    row = {f"column_{number}": f"{number}" * 19 for number in range(8)}
    common.print_rows([row], list(row), as_json=False, none="")
    wide = capsys.readouterr().out
    assert "column 7: 7777777777777777777" in wide
    common.print_rows([{"name": "x", "is": "many short words " * 12}], ["name", "is"], as_json=False, none="")
    folded = capsys.readouterr().out
    for line in (wide + folded).splitlines():
        assert len(line) <= 80
    assert "─" in folded
    monkeypatch.delenv("COLUMNS")
    common.print_rows([row], list(row), as_json=False, none="")
    assert "0000000000000000000" + "   " + "1111111111111111111" in capsys.readouterr().out


def test_the_command_is_named_as_it_was_called(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "simsight"
    program.touch(mode=0o755)
    monkeypatch.setattr(sys, "argv", [str(program)])
    assert called_as() == str(program)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert called_as() == "simsight"
    monkeypatch.setattr(sys, "argv", ["/x/pipelines/cli/__main__.py"])
    assert called_as().endswith(" -m pipelines.cli")


def test_help_says_how_a_day_is_written() -> None:
    assert "YYYY-MM-DD" in CliRunner().invoke(app, ["ingest", "--help"]).output


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "wrapped"])
def test_a_connection_that_breaks_is_told_in_a_line(
    postgres: URL, driver: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def break_it() -> None:
        end = "SELECT pg_terminate_backend(pg_backend_pid())"
        if driver == "psycopg":
            with psycopg.connect(driver_url(postgres, "").render_as_string(hide_password=False)) as connection:
                connection.execute(end)
            return
        try:  # as Dagster and MLflow do
            with create_engine(driver_url(postgres, "psycopg2")).connect() as opened:
                opened.execute(text(end))
        except OperationalError as error:
            if driver == "wrapped":
                raise RuntimeError("too many retries") from error
            raise

    monkeypatch.setitem(main.__globals__, "app", break_it)
    code, said = _said(monkeypatch, capsys)
    assert code == 1
    assert said.startswith("simsight: the connection to PostgreSQL broke (")
    assert "Check that the server runs, then run again" in said


def test_an_error_in_a_statement_is_no_broken_connection(postgres: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong() -> None:
        with psycopg.connect(driver_url(postgres, "").render_as_string(hide_password=False)) as connection:
            connection.execute("SELECT nothing")

    monkeypatch.setitem(main.__globals__, "app", wrong)
    with pytest.raises(psycopg.errors.UndefinedColumn):
        main()
