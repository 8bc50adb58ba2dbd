"""A Dagster logger that tells a person at a terminal what a run is doing, in a line a step."""

import logging
import time
from typing import Any

import dagster as dg
from rich.console import Console

console = Console(stderr=True, highlight=False)


class _StepLines(logging.Handler):
    """Prints a line when a step ends, and the log lines steps write themselves."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)  # Dagster tells of its steps at this level
        self._started: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        meta: dict[str, Any] = getattr(record, "dagster_meta", {})
        event = meta.get("dagster_event")
        step = str(meta.get("step_key") or "")
        if event is None and record.levelno >= logging.INFO:
            console.print(f"  [dim]{step}: {meta.get('orig_message', record.getMessage())}[/dim]")
        elif event is None:
            return
        elif event.event_type_value == "STEP_START":
            self._started[step] = time.monotonic()
        elif event.event_type_value in ("STEP_SUCCESS", "STEP_FAILURE"):
            took = time.monotonic() - self._started.pop(step, time.monotonic())
            mark = "[green]done[/green]" if event.event_type_value == "STEP_SUCCESS" else "[red]failed[/red]"
            console.print(f"  {mark} {step} [dim]{took:.1f} s[/dim]")
        elif event.event_type_value == "STEP_SKIPPED":
            console.print(f"  [yellow]skipped[/yellow] {step}")


@dg.logger({}, description="A line a step, for a person at a terminal; used by the command line.")
def terminal(_context: dg.InitLoggerContext) -> logging.Logger:
    """The logger `terminal`; runs choose it with run_config {"loggers": {"terminal": {}}}."""
    logger = logging.Logger("simsight.terminal", logging.DEBUG)
    logger.addHandler(_StepLines())
    return logger
