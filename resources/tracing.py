"""Traces by OpenTelemetry: off, and free of cost, unless the environment says where they go.

What stands in a span was named in this program (routes, queries, jobs, steps, calls of 1NCE), is a number, or is the
name of a channel or a host. Paths, query strings, parameters of SQL, headers, bodies and the texts of
errors never do. `resources/spans.py` alone knows OpenTelemetry, and is imported where traces are written.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Literal, Protocol
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from resources.spans import Recorder

Facts = Mapping[str, str | int]
Kind = Literal["internal", "server", "client"]
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
SPOKEN = "http/protobuf"


class Span(Protocol):
    """A piece of work under way."""

    def note(self, facts: Facts) -> None:
        """Add facts."""

    def rename(self, name: str) -> None:
        """Give another name."""

    def fail(self, why: str) -> None:
        """Say that the work failed, by the name of an error or a status."""


class _Untraced:
    """Forgets what it is told."""

    def note(self, facts: Facts) -> None:
        pass

    def rename(self, name: str) -> None:
        pass

    def fail(self, why: str) -> None:
        pass


_NOBODY: AbstractContextManager[Span] = nullcontext(_Untraced())
_make: Callable[[], Recorder] | None = None  # None: off
_recorder: Recorder | None = None
_making = Lock()


def set_up(service: str) -> str:
    """Write traces from here on if the environment says where; again, it changes nothing.

    Returns why they are not written although it does; empty where nothing is wrong.
    """
    global _make  # noqa: PLW0603 - one for the process
    if _make is not None or not endpoint():
        return ""
    why, recorder = _missing()
    if recorder is not None:
        _make = partial(recorder, service)  # made where the first span is: a process that forks has no thread
    return why


def _missing() -> tuple[str, type[Recorder] | None]:
    variable = next(name for name in ENDPOINTS if os.environ.get(name))
    spoken = next((found for name in PROTOCOLS if (found := os.environ.get(name))), SPOKEN)
    if spoken != SPOKEN:
        return f"{variable} is set, but no traces are written: of OTLP's protocols only {SPOKEN} is spoken", None
    try:
        from resources.spans import Recorder
    except ImportError:
        return f"{variable} is set, but no traces are written: this needs pip install 'simsight[otel]'", None
    return "", Recorder


def endpoint() -> str:
    """Where traces go, as OpenTelemetry's standard variables say; empty: nowhere."""
    off = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if off or os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none":
        return ""
    return next((found for name in ENDPOINTS if (found := os.environ.get(name, "").strip())), "")


def found() -> tuple[str, str]:
    """Where traces go (a host), and why none come there: both empty where none are to be written."""
    if not endpoint():
        return "", ""
    host = urlsplit(endpoint()).hostname or "an address that is none"
    why, recorder = _missing()
    if recorder is not None and not recorder.reaches():
        why = "it does not take them"
    return host, why


def is_on() -> bool:
    """Whether traces are written."""
    return _make is not None


def end() -> None:
    """Send what is left, for a moment at most, and write no more."""
    global _make, _recorder  # noqa: PLW0603
    if _recorder is not None:
        _recorder.close()
    _make = _recorder = None


def _writing() -> Recorder | None:
    """Who writes the spans of this process."""
    global _make, _recorder  # noqa: PLW0603
    if _make is None:
        return None
    if _recorder is None or _recorder.pid != os.getpid():
        with _making:
            if _make is not None and (_recorder is None or _recorder.pid != os.getpid()):
                try:
                    _recorder = _make()
                except Exception as error:  # its text may hold what stands in the variable
                    said = "no traces are written: a variable OTEL_... holds what cannot be used (%s)"
                    logging.getLogger("simsight.traces").warning(said, type(error).__name__)
                    _make = None
    return None if _make is None else _recorder


def span(
    name: str, facts: Facts | None = None, *, kind: Kind = "internal", follows: Iterable[str] = (), run: str = ""
) -> AbstractContextManager[Span]:
    """Trace what is done inside the block, as a part of what is under way.

    follows  where the work comes from, as `traceparent` gave it: the first is continued, the others are linked
    run      a run of Dagster, whose steps are one trace in whatever process they are
    """
    recorder = _writing()
    return _NOBODY if recorder is None else recorder.span(name, facts or {}, kind, follows, run)


def statement(name: str) -> AbstractContextManager[Span]:
    """Trace a query of sql/queries, by its name, as a part of what is under way: by itself it is not worth a trace."""
    if not traceparent():
        return _NOBODY
    return span(name, {"db.system.name": "postgresql", "db.query.summary": name}, kind="client")


def request(method: str, host: str, template: str = "") -> AbstractContextManager[Span]:
    """Trace a request to another server. template: its path without what is put into it."""
    if _make is None:
        return _NOBODY
    facts = {"http.request.method": method, "server.address": host}
    if template:
        facts["url.template"] = template
    return span(f"{method} {template}".rstrip(), facts, kind="client")


def answered(span: Span, status: int) -> None:
    """Note the status of an answer to `request`."""
    if _make is not None:
        span.note({"http.response.status_code": status})
        if status >= 400:
            span.fail(str(status))


def traceparent() -> str:
    """The span under way, as W3C's Trace Context writes it; empty where nothing is traced."""
    return "" if _make is None or (recorder := _writing()) is None else recorder.traceparent()


def headers() -> dict[str, str]:
    """What a request carries so that its receiver can continue the trace."""
    parent = traceparent()
    return {"traceparent": parent} if parent else {}


def ids() -> dict[str, str]:
    """trace_id and span_id of the span under way, for lines of the log."""
    parent = traceparent()
    return {"trace_id": parent[3:35], "span_id": parent[36:52]} if parent else {}
