"""From a POST of the Data Streamer to live anomalies, alerts, live events and signed messages, over real HTTP."""

from __future__ import annotations

import json
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from sqlalchemy import URL

from api.app import create_app
from assets.stream import stream_records
from resources.database.server import driver_url
from resources.runtime import Runtime
from services.access.api_keys import create_key
from services.access.stream_credentials import create_stream
from services.notifications import oncall, outbox
from tests.api.conftest import Serve
from tests.api.test_alert_stream import Listener, until
from tests.collector import EXTRA, Collector, attributes, collecting, traces_to
from tests.fleet import settings_for
from tests.receiver import hook_server, signature
from tests.stream_records import START, event, iccid, sms, usage

NOW = START + timedelta(hours=1)
SIMS, RUNAWAY, CHATTY, ABROAD = 30, 7, 11, 23
SECRET = "correct-horse-battery"
# limits from the closed days of each SIM: 1 MB a day is usual, 3 MB and 5 SMS are not anomalous yet, it is in Germany
FLEET = """
INSERT INTO core.sims (organization_id, iccid, label, first_seen_at, changed_at)
SELECT organization_id, '89882806660' || lpad(n::text, 8, '0'), slug || '-' || n, now(), now()
FROM core.organizations, generate_series(1, 30) AS n WHERE slug = 'default';
INSERT INTO predictions.anomaly_state (sim_key, organization_id, as_of, model_version, bytes_limits, bytes_usual,
    sms_limit, sessions_limit,
                                       countries, operators, prepared_at)
SELECT sim_key, organization_id, '2025-09-21', 1, array_fill(3000000::bigint, ARRAY[7]),
    array_fill(1000000::bigint, ARRAY[7]), 5, 50,
       '{Germany}', '{}', now() FROM core.sims
"""


def test_what_the_stream_brings_is_told_live_and_by_a_signed_message_once(
    database_url: URL, tmp_path: Path, serve_app: Serve
) -> None:
    with psycopg.connect(driver_url(database_url, "").render_as_string(hide_password=False)) as administrator:
        for statement in FLEET.split(";\n"):
            administrator.execute(statement.encode())
    morocco = {"country": {"id": 1, "name": "Morocco", "iso_code": "ma"}, "operator": {"id": 9, "name": "Inwi"}}
    sent = [usage(n, n, 0.5) for n in range(1, SIMS + 1)] + [event(100 + n, n) for n in range(1, SIMS + 1)]
    sent += [usage(200, RUNAWAY, 60), sms(201, CHATTY, 40), event(202, ABROAD, at=NOW, detail=morocco)]
    with (
        collecting() as collector,
        traces_to(collector.address) if EXTRA else nullcontext(),
        Runtime(settings_for(database_url, tmp_path, "http://127.0.0.1:9", NOW)) as runtime,
        serve_app(app := create_app(database_url, clock=lambda: NOW)) as client,
        hook_server("/hook-token-7781") as hook,
    ):
        app.state.live.heartbeat_s = 0.2
        stream = create_stream(runtime.database, "fleet", now=NOW)
        key = create_key(runtime.database, "live", now=datetime.now(UTC), valid_for=None)
        oncall.add_channel(
            runtime.database,
            "hook",
            url_variable="HOOK_URL",
            secret_variable="HOOK_SECRET",
            now=NOW - timedelta(days=1),
        )
        environ = {"HOOK_URL": hook.url, "HOOK_SECRET": SECRET}
        with Listener(client, key) as listener:
            for _ in range(2):  # what the stream sends twice is one message
                posted = client.post(stream.path, json=sent, auth=(stream.stream_id, stream.secret))
                assert (posted.status_code, posted.json()) == (200, {"records": len(sent)})
                stream_records(runtime=runtime)
                outbox.notify(runtime.database, clock=lambda: NOW, environ=environ)
            until(lambda: len(listener.frames) > 3)
        events = [json.loads(frame["data"]) for frame in listener.frames[1:]]

    anomalous = {iccid(RUNAWAY): "60.50 MB so far", iccid(CHATTY): "40 SMS so far", iccid(ABROAD): "it is in Morocco"}
    assert {(one["event"], one["kind"], one["iccid"]) for one in events} == {
        ("opened", "anomaly", sim) for sim in anomalous
    }
    assert len(events) == 3
    assert [one["message"] for one in events if anomalous[one["iccid"]] not in one["message"]] == []
    assert {one["severity"]: one["count"] for one in hook.done.values()} == {"critical": 2, "warning": 1}
    for headers, body in hook.posts:
        assert headers["x-simsight-signature"] == signature(SECRET, headers, body)
    told = [alert for one in hook.done.values() for alert in one["alerts"]]
    assert sorted(alert["alert_id"] for alert in told) == sorted(one["alert_id"] for one in events)
    assert len(hook.posts) == 2

    if EXTRA:
        planted = [
            iccid(1)[:10],
            SECRET,
            stream.secret,
            stream.stream_id,
            key,
            "hook-token-7781",
            "default-",
            "Morocco",
            "60.50",
        ]
        _is_one_trace_without(planted, collector, [headers["traceparent"] for headers, _ in hook.posts])


def _is_one_trace_without(planted: list[str], collector: Collector, delivered: list[str]) -> None:
    """From the POST of the stream to those of the webhook, and nothing in it that is nobody else's business."""
    posts = [span for span in collector.spans if span.name == "POST /streams/1nce/{stream_id}"]
    assert [attributes(post)["http.response.status_code"] for post in posts] == [200, 200]
    of_first = [span for span in collector.spans if span.trace_id == posts[0].trace_id]
    spans = {span.span_id: span for span in of_first}

    def way_to(span_id: bytes) -> list[str]:
        return [*way_to(spans[span_id].parent_span_id), spans[span_id].name] if span_id in spans else []

    root = posts[0].name
    ways = [way_to(span.span_id) for span in of_first]
    assert [root, "api_land_stream_batch"] in ways
    assert [root, "process stream batches", "staged for merge_stream_usage"] in ways
    assert [root, "detect live anomalies", "anomaly_alerts"] in ways
    last = [way_to(bytes.fromhex(parent.split("-")[2])) for parent in delivered]
    assert last == [[root, "detect live anomalies", "deliver message", "POST"]] * 2
    assert [text for text in planted if any(text.encode() in body for body in collector.bodies)] == []
