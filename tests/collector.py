"""A collector of traces, as an operator would run one: OTLP over HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import distributions
from typing import Any

import pytest

from resources import tracing

EXTRA = any(distributions(name="opentelemetry-exporter-otlp-proto-http"))
needs_extra = pytest.mark.skipif(not EXTRA, reason="needs the extra otel (requirements-otel.txt)")


@dataclass
class Collector:
    """What came: each body as it came, and the spans in them."""

    address: str
    bodies: list[bytes] = field(default_factory=list)
    answer: threading.Event = field(default_factory=threading.Event)

    @property
    def spans(self) -> list[Any]:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        return [
            span
            for body in self.bodies
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


def attributes(span: Any) -> dict[str, str | int]:
    """The attributes of a span."""
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


@contextmanager
def collecting(*, silent: bool = False) -> Iterator[Collector]:
    """A collector on a free port of this machine. silent: it takes what comes and never answers."""
    kept = Collector("")
    if not silent:
        kept.answer.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            kept.bodies.append(self.rfile.read(int(self.headers["content-length"])))
            kept.answer.wait()
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield kept
    finally:
        kept.answer.set()
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def traces_to(address: str) -> Iterator[str]:
    """Write traces to a collector while the block lasts; gives why none are written, if none are."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        why = tracing.set_up("simsight-tests")
        try:
            yield why
        finally:
            tracing.end()
