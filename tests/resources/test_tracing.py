"""Traces: to a real collector, around one that is dead, and not at all where nobody asked for them."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import socket
import sys
import time
from collections.abc import Iterator

import dagster as dg
import httpx
import pytest
from pydantic import SecretStr

from pipelines.steps import watch
from resources import tracing
from resources.log_lines import JsonLines
from resources.once.client import OnceClient
from resources.once.errors import OnceError
from services.doctor.surroundings import traces
from tests.collector import Collector, attributes, collecting, needs_extra, traces_to
from tests.forked import run_code

ICCID = "8988280666000000007"
OUTSIDE = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"
# a process that ends, and one that it began, as steps are; neither has time for the exporter's next turn
PROGRAM = """
import multiprocessing
from resources import tracing

def work(name):
    assert tracing.set_up("simsight-tests") == ""
    with tracing.span(name):
        pass

work("of the process")
child = multiprocessing.get_context("fork").Process(target=work, args=("of its child",))
child.start()
child.join()
"""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


def closed_port() -> str:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_nothing_is_traced_where_the_environment_says_nothing() -> None:
    assert tracing.set_up("simsight-tests") == ""
    assert not tracing.is_on()
    with tracing.span("a", follows=[OUTSIDE]) as span, tracing.request("GET", "host") as sent:
        span.note({"n": 1})
        tracing.answered(sent, 500)
        assert (tracing.traceparent(), tracing.ids(), tracing.headers()) == ("", {}, {})
    assert list(traces()) == []


@pytest.mark.parametrize("variable", ["OTEL_SDK_DISABLED=true", "OTEL_TRACES_EXPORTER=none"])
def test_the_standard_variables_switch_it_off(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(*variable.split("="))
    with traces_to("http://127.0.0.1:9") as why:
        assert (why, tracing.is_on()) == ("", False)


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resources.spans", None)
    monkeypatch.delattr("resources.spans", raising=False)
    with traces_to("http://someone:hush@collector.example:4318") as why:
        assert not tracing.is_on()
        (check,) = traces()
    assert why.endswith("this needs pip install 'simsight[otel]'")
    assert (check.level, check.found) == ("warning", f"none come to collector.example: {why}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with traces_to("http://127.0.0.1:4317") as why:
        assert "only http/protobuf" in why
        assert not tracing.is_on()


@needs_extra
def test_a_span_has_names_and_numbers_and_no_text_of_an_error(collector: Collector) -> None:
    with traces_to(collector.address):
        with (
            pytest.raises(ValueError, match=ICCID),
            tracing.span("fails", {"n": 3}, follows=["", "00-junk", OUTSIDE]),
            tracing.span("within"),
        ):
            raise ValueError(f"a text with {ICCID}")
        with tracing.span("alone", follows=["junk"]):
            pass
        with tracing.statement("a query of nothing that is traced"):
            pass
        (check,) = traces()
    spans = {span.name: span for span in collector.spans}
    assert spans.keys() == {"fails", "within", "alone"}
    fails, within, alone = spans["fails"], spans["within"], spans["alone"]
    assert attributes(fails) == {"n": 3, "error.type": "ValueError"}
    assert (fails.trace_id.hex(), fails.parent_span_id.hex()) == ("ab" * 16, "cd" * 8)
    assert (within.trace_id, within.parent_span_id) == (fails.trace_id, fails.span_id)
    assert alone.trace_id != fails.trace_id
    assert (alone.parent_span_id, alone.links) == (b"", [])
    assert not any(ICCID.encode() in body for body in collector.bodies)
    assert check.level == "ok"


@needs_extra
def test_what_follows_several_continues_the_first_and_links_the_others(collector: Collector) -> None:
    other = OUTSIDE.replace("ab", "12")
    with (
        traces_to(collector.address),
        tracing.span("step"),
        tracing.span("takes both", follows=[OUTSIDE, other, OUTSIDE]),
    ):
        pass
    step, both = (next(span for span in collector.spans if span.name == name) for name in ("step", "takes both"))
    assert both.trace_id.hex() == "ab" * 16
    assert {link.trace_id.hex() for link in both.links} == {step.trace_id.hex(), "12" * 16}


@needs_extra
def test_a_line_of_the_log_says_of_which_span_it_is(collector: Collector) -> None:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonLines(set(), "acme"))
    logger = logging.Logger("simsight.test")
    logger.addHandler(handler)
    with traces_to(collector.address):
        with tracing.span("work"):
            logger.warning("meanwhile")
        logger.warning("later")
    meanwhile, later = (json.loads(line) for line in written.getvalue().splitlines())
    (work,) = collector.spans
    assert (meanwhile["trace_id"], meanwhile["span_id"]) == (work.trace_id.hex(), work.span_id.hex())
    assert "trace_id" not in later


@needs_extra
def test_the_steps_of_a_run_are_one_trace(collector: Collector, caplog: pytest.LogCaptureFixture) -> None:
    @dg.op(out=dg.Out(int))
    def first() -> Iterator[dg.Output[int]]:
        with tracing.statement("a_query"):
            yield dg.Output(1)

    @dg.op
    def second(number: int) -> None:
        raise ValueError(f"no text of {ICCID}")

    @dg.job
    def both() -> None:
        second(first())

    watch([both.graph])
    with traces_to(collector.address), dg.DagsterInstance.ephemeral() as instance:
        done = both.execute_in_process(instance=instance, raise_on_error=False)
    spans = {span.name: span for span in collector.spans}
    assert spans.keys() == {"step first", "a_query", "step second"}
    assert len({span.trace_id for span in spans.values()}) == 1
    assert {span.parent_span_id for span in spans.values()} == {b"", spans["step first"].span_id}
    assert not [record for record in caplog.records if record.name.startswith("opentelemetry")]
    facts = {"simsight.run_id": done.run_id, "simsight.job": "both", "simsight.step": "second"}
    assert attributes(spans["step second"]) == facts | {"error.type": "ValueError"}
    assert not any(ICCID.encode() in body for body in collector.bodies)


async def _ask_once() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/oauth/token"):
            return httpx.Response(200, stream=httpx.ByteStream(b'{"access_token": "the-token", "expires_in": 3600}'))
        return httpx.Response(404, stream=httpx.ByteStream(ICCID.encode()))

    async with OnceClient(
        base_url="http://once.example/api",
        username="me",
        password=SecretStr("hush"),
        transport=httpx.MockTransport(answer),
    ) as once:
        await once.quota(ICCID, "data")


@needs_extra
def test_a_call_of_1nce_is_shown_by_its_template(collector: Collector) -> None:
    with traces_to(collector.address), pytest.raises(OnceError):
        asyncio.run(_ask_once())
    calls = [span for span in collector.spans if span.name == "1NCE quota"]
    assert attributes(calls[0])["url.template"] == "/v1/sims/{iccid}/quota/{kind}"
    sent = [attributes(span) for span in collector.spans if span.parent_span_id == calls[0].span_id]
    assert {(one["http.request.method"], one["http.response.status_code"]) for one in sent} >= {
        ("POST", 200),
        ("GET", 404),
    }
    assert {one["server.address"] for one in sent} == {"once.example"}
    for secret in (ICCID, "the-token", "hush", "me:"):
        assert not any(secret.encode() in body for body in collector.bodies), secret


@needs_extra
@pytest.mark.parametrize("silent", [True, False], ids=["never answers", "refuses connections"])
def test_a_dead_collector_holds_up_nothing(silent: bool, caplog: pytest.LogCaptureFixture) -> None:
    with collecting(silent=True) as collector:
        with traces_to(collector.address if silent else closed_port()) as why:
            assert why == ""
            for _ in range(5_000):  # more than wait to be sent
                with tracing.span("work"):
                    pass
            while not silent and "traces are lost" not in caplog.text:
                time.sleep(0.01)
        # all spans ended, and so did writing them, while the collector had answered nothing
        assert not collector.answer.is_set()
    assert {record.name for record in caplog.records} <= {"simsight.traces"}, "one line of ours, none of the library's"


@needs_extra
def test_a_variable_that_cannot_be_used_breaks_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-1")
    with traces_to(closed_port()), tracing.span("work") as span:
        span.note({"n": 1})
        assert (tracing.is_on(), tracing.ids()) == (False, {})
    assert "a variable OTEL_... holds what cannot be used (ValueError)" in caplog.text


@needs_extra
def test_what_a_process_has_traced_is_sent_when_it_ends(collector: Collector) -> None:
    done = run_code(PROGRAM, OTEL_EXPORTER_OTLP_ENDPOINT=collector.address)
    assert (done.code, done.errors) == (0, "")
    assert sorted(span.name for span in collector.spans) == ["of its child", "of the process"]
