"""A Dagster logger that tells a person at a terminal what a run is doing, in a line a step."""

import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

import dagster as dg
from rich.markup import escape

from pipelines.console import PlainConsole

console = PlainConsole(stderr=True, highlight=False, soft_wrap=True)

_pressed: ContextVar[Callable[[], bool]] = ContextVar("pressed", default=bool)


@contextmanager
def noting_ctrl_c() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether Ctrl-C was pressed since the block began; the terminal's runs ask it, too.

    What Python raises for Ctrl-C is lost where it hits a callback that C code has called or an object that is being
    deleted: Python prints and ignores it. The signal's number is written to a socket besides, whatever becomes of that.
    """
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield _pressed.get()
        return
    heard, told = socket.socketpair()
    heard.setblocking(False)
    told.setblocking(False)
    numbers = bytearray()

    def pressed() -> bool:
        with suppress(BlockingIOError):
            numbers.extend(heard.recv(4096))
        return signal.SIGINT in numbers

    before = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    token = _pressed.set(pressed)
    try:
        yield pressed
    finally:
        _pressed.reset(token)
        signal.set_wakeup_fd(before)
        heard.close()
        told.close()


class _StepLines(logging.Handler):
    """Prints a line when a step ends, and the log lines steps write themselves."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)  # Dagster tells of its steps at this level
        self._started: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        meta: dict[str, Any] = getattr(record, "dagster_meta", {})
        event = meta.get("dagster_event")
        step = escape(str(meta.get("step_key") or ""))
        said = str(meta.get("orig_message", record.getMessage()))
        if event is None and said.startswith("Dependencies for step"):
            console.print(f"  [yellow]skipped[/yellow] {step}")
        elif event is None and record.levelno >= logging.INFO:
            console.print(f"  [dim]{step}: {escape(said)}[/dim]")
        elif event is None:
            return
        elif event.event_type_value == "STEP_START":
            if _pressed.get()():
                raise KeyboardInterrupt  # something in the step before has swallowed it
            self._started[step] = time.monotonic()
        elif event.event_type_value in ("STEP_SUCCESS", "STEP_FAILURE"):
            took = time.monotonic() - self._started.pop(step, time.monotonic())
            mark = "[green]done[/green]" if event.event_type_value == "STEP_SUCCESS" else "[red]failed[/red]"
            console.print(f"  {mark} {step} [dim]{took:.1f} s[/dim]")
        elif event.event_type_value == "STEP_SKIPPED":
            console.print(f"  [yellow]skipped[/yellow] {step}")
        elif event.event_type_value == "STEP_UP_FOR_RETRY":
            causes = _causes(event.step_retry_data.error)
            if "DagsterExecutionInterruptedError" in [cause.cls_name for cause in causes]:
                raise KeyboardInterrupt  # Dagster would try again what Ctrl-C was to stop
            seconds = event.step_retry_data.seconds_to_wait or 0
            why = escape(causes[-1].message.strip())
            console.print(f"  [yellow]again in {seconds:.0f} s[/yellow] {step}: {why}")
            _listen_to_ctrl_c()
        elif event.event_type_value == "ENGINE_EVENT" and "blocked by limit for pool" in said:
            console.print(f"  [yellow]waiting[/yellow] {step}: another run holds the only place in its pool")
            _listen_to_ctrl_c()


def _causes(error: Any) -> list[Any]:
    """An error and what it came from, the first cause last."""
    chain = [error]
    while chain[-1].cause is not None:
        chain.append(chain[-1].cause)
    return chain


def _listen_to_ctrl_c() -> None:
    """Between steps Dagster only notes an interrupt for the next step, and so would sleep on."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)


@dg.logger({}, description="A line a step, for a person at a terminal; used by the command line.")
def terminal(_context: dg.InitLoggerContext) -> logging.Logger:
    """The logger `terminal`; runs choose it with run_config {"loggers": {"terminal": {}}}."""
    logger = logging.Logger("simsight.terminal", logging.DEBUG)
    logger.addHandler(_StepLines())
    return logger
