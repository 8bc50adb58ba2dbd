"""Spans by OpenTelemetry's SDK, sent by OTLP: the one file that imports it, used by resources/tracing.py alone.

Nothing is registered with OpenTelemetry for the process: what libraries trace by themselves, with paths and texts of
errors in it, goes nowhere.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import sha256
from importlib.metadata import version
from multiprocessing.util import Finalize
from time import monotonic

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator

FORM = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
TIMEOUTS = ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")
SEND_S = 2.0  # for a batch, where those variables say nothing
PAUSE_S = 30.0  # after a batch that was not taken: what ends meanwhile is lost
CLOSE_S = 0.5  # for what is left when a process ends
MAX_LINKS = 32
# each batch that is not taken would be lines of theirs; one of ours says it for all
NOISY = ("opentelemetry.exporter.otlp.proto.http.trace_exporter", "opentelemetry.sdk._shared_internal")
Facts = Mapping[str, str | int]
KINDS = {
    "internal": trace.SpanKind.INTERNAL,
    "server": trace.SpanKind.SERVER,
    "client": trace.SpanKind.CLIENT,
}

log = logging.getLogger("simsight.traces")
_trace_of_run: ContextVar[int | None] = ContextVar("trace_of_run", default=None)


class _Ids(IdGenerator):
    """Random numbers, but that the steps of a run share a trace. Python's own random numbers are left as they are."""

    def generate_span_id(self) -> int:
        return secrets.randbits(64) or 1

    def generate_trace_id(self) -> int:
        return _trace_of_run.get() or secrets.randbits(128) or 1

    def is_trace_id_random(self) -> bool:
        return True  # that of a run is a digest


class _Patient(SpanExporter):
    """Sends batches; after one that was not taken it sends none for a while."""

    def __init__(self, to: SpanExporter) -> None:
        self._to, self._again_at, self._failing = to, 0.0, False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if monotonic() < self._again_at:
            return SpanExportResult.FAILURE
        result = self._to.export(spans)
        failed = result is not SpanExportResult.SUCCESS
        if failed:
            self._again_at = monotonic() + PAUSE_S
        if failed and not self._failing:
            log.warning("traces are lost: the collector that OTEL_EXPORTER_OTLP_ENDPOINT names does not take them")
        elif self._failing and not failed:
            log.info("traces are taken again")
        self._failing = failed
        return result

    def shutdown(self) -> None:
        self._to.shutdown()


class _Traced:
    """A span that somebody reads."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def note(self, facts: Facts) -> None:
        self._span.set_attributes(facts)

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def fail(self, why: str) -> None:
        self._span.set_attribute("error.type", why)
        self._span.set_status(trace.StatusCode.ERROR)


class Recorder:
    """Writes the spans of this process, a part of `service`. A collector that does not answer delays nobody."""

    def __init__(self, service: str) -> None:
        self.pid = os.getpid()
        _quiet()
        named = os.environ.get("OTEL_SERVICE_NAME") or service
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": named, "service.version": version("simsight")}),
            shutdown_on_exit=False,
            id_generator=_Ids(),
        )
        self._provider.add_span_processor(BatchSpanProcessor(_Patient(_exporter())))
        self._tracer = self._provider.get_tracer("simsight")
        # unlike atexit's, also in processes that multiprocessing began
        self._at_exit = Finalize(None, self.close, exitpriority=0)

    @staticmethod
    def reaches() -> bool:
        """Whether the collector takes an empty batch."""
        _quiet()
        return _exporter().export([]) is SpanExportResult.SUCCESS

    @contextmanager
    def span(self, name: str, facts: Facts, kind: str, follows: Iterable[str], run: str) -> Iterator[_Traced]:
        came_from = [found for one in dict.fromkeys(follows) if (found := _context(one))]
        within, links = None, []
        if came_from:
            within = trace.set_span_in_context(trace.NonRecordingSpan(came_from[0]), Context())
            under_way = trace.get_current_span().get_span_context()
            links = [trace.Link(one) for one in (under_way, *came_from[1:]) if one.is_valid]
        elif run:
            within = Context()
        token = _trace_of_run.set(int.from_bytes(sha256(run.encode()).digest()[:16], "big") if run else None)
        span = self._tracer.start_span(name, within, KINDS[kind], facts, links[:MAX_LINKS])
        _trace_of_run.reset(token)
        told = _Traced(span)
        with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            try:
                yield told
            except Exception as error:
                told.fail(type(error).__qualname__)
                raise

    def traceparent(self) -> str:
        here = trace.get_current_span().get_span_context()
        return f"00-{here.trace_id:032x}-{here.span_id:016x}-{here.trace_flags:02x}" if here.is_valid else ""

    def close(self) -> None:
        """Send what is left, for a moment at most."""
        sending = threading.Thread(target=self._provider.shutdown, daemon=True)
        sending.start()
        sending.join(CLOSE_S)
        self._at_exit.cancel()


def _exporter() -> OTLPSpanExporter:
    return OTLPSpanExporter(timeout=None if any(map(os.environ.get, TIMEOUTS)) else SEND_S)


def _quiet() -> None:
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _context(traceparent: str) -> trace.SpanContext | None:
    found = FORM.fullmatch(traceparent)
    if found is None:
        return None
    flags = trace.TraceFlags(int(found[3], 16))
    return trace.SpanContext(int(found[1], 16), int(found[2], 16), is_remote=True, trace_flags=flags)
