"""Log lines as JSON, one object a line, without secrets: the one place where logging is set up.

`SIMSIGHT_LOG_FORMAT=text` leaves everything to the libraries, as people at a terminal want it.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from resources import tracing
from resources.redaction import secrets_of, without_credentials, without_secrets
from resources.settings import Settings

# what the lines written from here on are about: request_id, run_id, step, job
about: ContextVar[Mapping[str, str]] = ContextVar("about", default={})  # noqa: B039 - it is never changed in place
# libraries that write handlers of their own before or after this is set up
OWN_HANDLERS = ("dagster", "dagster-webserver", "mlflow", "uvicorn", "uvicorn.access", "uvicorn.error")
# a line a request, with its URL, or a line a table
LEFT_OUT_BELOW = dict.fromkeys(
    ("httpx", "httpcore", "alembic", "great_expectations", "matplotlib.font_manager"), logging.WARNING
)


@contextmanager
def told_about(**facts: str) -> Iterator[None]:
    """Add facts to every line that is written while the block lasts."""
    token = about.set({**about.get(), **facts})
    try:
        yield
    finally:
        about.reset(token)


class JsonLines(logging.Formatter):
    """A record as one JSON object: time (UTC), level, logger, message, what it is about, and a traceback as one field.

    JSON escapes control characters, so a text of others can begin no line of its own.
    """

    def __init__(self, secrets: set[str], organization: str) -> None:
        super().__init__()
        self._secrets, self._organization = secrets, organization

    def format(self, record: logging.LogRecord) -> str:
        meta: Mapping[str, Any] = getattr(record, "dagster_meta", {})
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": str(meta.get("orig_message") or record.getMessage()),
            "organization": self._organization,
            **about.get(),
            **tracing.ids(),
            **_of_a_run(meta),
        }
        if exception := _exception(record, meta):
            line["exception"] = exception
        return json.dumps({name: self._clean(value) for name, value in line.items()}, ensure_ascii=True)

    def _clean(self, value: Any) -> Any:
        return without_credentials(without_secrets(value, self._secrets)) if isinstance(value, str) else value


def _of_a_run(meta: Mapping[str, Any]) -> dict[str, str]:
    """What Dagster says of a line: the run, its job, the step, and the asset that the step makes."""
    found = {"run_id": meta.get("run_id"), "job": meta.get("job_name"), "step": meta.get("step_key")}
    key = getattr(meta.get("dagster_event"), "asset_key", None)
    if key is not None:
        found["asset"] = "/".join(key.path)
    return {name: str(value) for name, value in found.items() if value}


def _exception(record: logging.LogRecord, meta: Mapping[str, Any]) -> str:
    if record.exc_info and record.exc_info[0] is not None:
        return "".join(traceback.format_exception(*record.exc_info)).rstrip()
    error = getattr(getattr(meta.get("dagster_event"), "event_specific_data", None), "error", None)
    return "" if error is None else str(error.to_string()).rstrip()


def json_handler(settings: Settings) -> logging.Handler:
    """A handler that writes JSON lines to the standard error stream."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(secrets_of(settings), settings.organization))
    return handler


def set_up(settings: Settings) -> None:
    """Write all lines of this process as the settings say; again, it changes nothing."""
    root = logging.getLogger()
    if settings.log_format != "json" or writes_json():
        return
    root.handlers[:] = [json_handler(settings)]
    root.setLevel(logging.INFO)
    for name in OWN_HANDLERS:
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
    for name, level in LEFT_OUT_BELOW.items():
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(True)
    sys.excepthook = lambda kind, error, trace: logging.getLogger("simsight").critical(
        "the program ended by an error", exc_info=(kind, error, trace)
    )


def writes_json() -> bool:
    """Whether this process writes JSON lines."""
    return any(isinstance(handler.formatter, JsonLines) for handler in logging.getLogger().handlers)
