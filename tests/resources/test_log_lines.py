"""JSON lines: one object a line, whatever is logged, with a traceback as one field and without secrets."""

import io
import json
import logging
from pathlib import Path

import dagster as dg
import pytest
from pydantic import SecretStr

from pipelines.run_logs import write_lines_as_set
from pipelines.steps import watch
from resources.log_lines import JsonLines, told_about
from resources.redaction import secrets_of
from resources.settings import Settings

HUSH = "hunter2-planted"


@pytest.fixture
def lines(tmp_path: Path) -> tuple[logging.Logger, io.StringIO]:
    settings = Settings(
        home=tmp_path,
        database_url=SecretStr(f"postgresql://me:{HUSH}@db.example/simsight"),
        organization="acme",
        log_format="json",
    )
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonLines(secrets_of(settings), settings.organization))
    logger = logging.Logger("simsight.test", logging.DEBUG)
    logger.addHandler(handler)
    return logger, written


def test_a_line_is_one_object_with_what_it_is_about(lines: tuple[logging.Logger, io.StringIO]) -> None:
    logger, written = lines
    with told_about(request_id="r-1"):
        logger.warning("a label\nwith %s", "\x1b[31mred\x1b[0m\u2028")
    logger.info("later")
    first, second = written.getvalue().splitlines()
    found = json.loads(first)
    assert "\x1b" not in first
    assert found.pop("time").endswith("+00:00")
    assert found == {
        "level": "warning",
        "logger": "simsight.test",
        "message": "a label\nwith \x1b[31mred\x1b[0m\u2028",
        "organization": "acme",
        "request_id": "r-1",
    }
    assert "request_id" not in json.loads(second)


def test_a_traceback_is_one_field(lines: tuple[logging.Logger, io.StringIO]) -> None:
    logger, written = lines
    try:
        raise ValueError(f"no connection to postgresql://me:{HUSH}@db.example/simsight")
    except ValueError:
        logger.exception("it failed")
    (line,) = written.getvalue().splitlines()
    found = json.loads(line)
    assert found["exception"].startswith("Traceback (most recent call last):\n")
    assert found["exception"].endswith("ValueError: no connection to [secret]")


@pytest.mark.parametrize(
    "said",
    [
        HUSH,
        f"GET https://someone:{HUSH}-url@host/path",
        f"GET /v1/sims?key=ss_{'k' * 43}&token={HUSH}-query HTTP/1.1",
        f"Authorization: Bearer {HUSH}.header.x",
        "Authorization: Basic aHVudGVyMi1wbGFudGVk",
        f'{{"password": "{HUSH}-json", "user": "me"}}',
        f"X-API-Key: ss_{'k' * 43}",
    ],
)
def test_no_secret_is_written(lines: tuple[logging.Logger, io.StringIO], said: str) -> None:
    logger, written = lines
    logger.error("%s", said)
    text = written.getvalue()
    assert "[secret]" in text
    for secret in (HUSH, "kkkk", "aHVudGVy"):
        assert secret not in text


def test_lines_of_a_run_and_of_its_steps_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import dagster._loggers

    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr("sys.excepthook", None)
    monkeypatch.setattr(dagster._loggers, "colored_console_logger", None)
    write_lines_as_set(Settings(home=tmp_path, organization="acme", log_format="json"))

    @dg.asset
    def fails(context: dg.AssetExecutionContext) -> None:
        context.log.info("begun")
        logging.getLogger("services.x").warning("said by a service")
        raise RuntimeError("as asked")

    watch([fails.node_def])
    try:
        with dg.DagsterInstance.ephemeral() as instance:
            done = dg.materialize([fails], instance=instance, raise_on_error=False)
    finally:
        logging.captureWarnings(False)
    found = [json.loads(line) for line in capfd.readouterr().err.splitlines() if line.startswith("{")]
    said = {line["message"]: line for line in found}
    for message in ("begun", "said by a service"):
        assert said[message]["run_id"] == done.run_id
        assert said[message]["step"] == "fails"
    assert said["said by a service"]["asset"] == "fails"
    failure = next(line for line in found if "exception" in line)
    assert "RuntimeError: as asked" in failure["exception"]
    assert failure["level"] == "error"
