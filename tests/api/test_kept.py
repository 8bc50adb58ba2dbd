"""For how long each answer may be kept, and what a client that kept one is told. Service of test_read_routes."""

from __future__ import annotations

import pytest

from tests.api.test_read_routes import Service, service  # noqa: F401 - a fixture

NOTHING = "no-store"
# every GET of the OpenAPI document; {iccid} is SIM 1. A new route without a line here fails
KEPT = {
    "/health": NOTHING,
    "/v1/sims": "private, max-age=300",
    "/v1/sims/{iccid}": "private, max-age=120",
    "/v1/sims/{iccid}/lifecycle": "private, max-age=120",
    "/v1/sims/{iccid}/usage": "private, max-age=600",
    "/v1/sims/{iccid}/volume-band": "private, max-age=60",
    "/v1/sims/{iccid}/events": "private, max-age=120",
    "/v1/sims/{iccid}/timeline": "private, max-age=120",
    "/v1/sims/{iccid}/forecast": "private, max-age=120",
    "/v1/sims/{iccid}/usage-forecast": "private, max-age=120",
    "/v1/sims/{iccid}/exhaustion": "private, max-age=60",
    "/v1/events": "private, max-age=300",
    "/v1/exhaustions": "private, max-age=300",
    "/v1/alerts": NOTHING,
    "/v1/alerts/{alert_id}": NOTHING,
    "/v1/alerts/{alert_id}/history": NOTHING,
    "/v1/alert-rules": NOTHING,
    "/v1/anomalies": "private, max-age=300",
    "/v1/sims/{iccid}/anomaly-score": "private, max-age=120",
    "/v1/incidents": "private, max-age=300",
    "/v1/actions": "private, no-cache",
    "/v1/bulk-actions": "private, no-cache",
    "/v1/bulk-actions/{bulk_id}": NOTHING,
    "/v1/sims/{iccid}/churn-risk": "private, no-cache",
    "/v1/churn-risks": "private, no-cache",
    "/v1/sims/{iccid}/quota-recommendation": "private, no-cache",
    "/v1/recommendations": "private, no-cache",
    "/v1/savings": "private, max-age=300",
    "/v1/tickets": "private, no-cache",
    "/v1/tickets/{case_id}": "private, no-cache",
    "/v1/reports": "private, max-age=300",
    "/v1/reports/kept": "private, no-cache",
    "/v1/reports/kept/{report_id}": "private, max-age=300",
    "/v1/reports/make": "private, no-cache",
    "/v1/report": NOTHING,
    "/v1/models": "private, max-age=300",
    "/v1/backtests": "private, max-age=300",
    "/v1/freshness": NOTHING,
    "/v1/export/{view}": NOTHING,
    "/v1/bulk/{dataset}": NOTHING,
    "/ai/sims/{iccid}/usage-forecast": "private, max-age=60",
    "/ai/sims/{iccid}/anomaly-score": "private, max-age=120",
    "/ai/sims/{iccid}/churn-risk": "private, max-age=120",
    "/ai/sims/{iccid}/quota-recommendation": "private, max-age=120",
}
ADMINISTERED = {
    "/v1/keys",
    "/v1/organizations",
    "/v1/audit",
    "/v1/audit/export",
    "/v1/key-use",
    "/v1/report-schedules",
}  # a key that reads gets 403
ENDLESS = {"/v1/alerts/stream"}
FORMS = ("{}", "W/{}", '"other", {}', "*")


def test_every_answer_says_how_long_it_may_be_kept_and_is_asked_about_without_a_body(service: Service) -> None:  # noqa: F811
    document = service.stranger.get("/openapi.json").json()["paths"]
    gets = {path for path, verbs in document.items() if "get" in verbs}
    assert gets == KEPT.keys() | ENDLESS | ADMINISTERED
    for template, kept in KEPT.items():
        named = {
            "iccid": service.iccid(1),
            "alert_id": "1",
            "bulk_id": "1",
            "case_id": "case 1",
            "view": "sims",
            "dataset": "anomalies",
            "report_id": "1",
        }
        path = template.format(**named)
        answer = service.ours.get(path)
        assert (template, answer.status_code, answer.headers["cache-control"]) == (template, 200, kept)
        if kept == NOTHING:
            assert "etag" not in answer.headers
            assert service.ours.get(path, headers={"If-None-Match": "*"}).status_code == 200
            continue
        assert {"Authorization", "X-API-Key"} <= set(answer.headers["vary"].split(", "))
        etag = answer.headers["etag"]
        assert etag.startswith('W/"')
        for method in ("GET", "HEAD"):  # the short way and the long one
            for form in FORMS:
                asked = form.format(etag.removeprefix("W/"))
                again = service.ours.request(method, path, headers={"If-None-Match": asked})
                assert (path, asked, again.status_code, again.content) == (path, asked, 304, b"")
                same = {name: again.headers.get(name) for name in ("etag", "cache-control", "x-data-note")}
                assert same == {name: answer.headers.get(name) for name in same}
                assert "content-type" not in again.headers
        for other in ('"x"', etag[:-2] + '"', ""):
            assert service.ours.get(path, headers={"If-None-Match": other}).status_code == 200


def test_an_error_is_never_kept(service: Service) -> None:  # noqa: F811
    for path in ("/v1/sims/7000000000000000000", "/v1/sims?limit=0", "/v1/sims/1", "/v1/nowhere"):
        answer = service.ours.get(path, headers={"If-None-Match": "*"})
        assert (answer.status_code >= 400, answer.headers["cache-control"]) == (True, NOTHING)
        assert "etag" not in answer.headers
    assert service.stranger.get("/v1/sims", headers={"If-None-Match": "*"}).status_code == 401


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_a_changed_answer_has_another_etag_in_any_encoding(service: Service, encoding: str) -> None:  # noqa: F811
    path, plain = "/v1/sims", {"Accept-Encoding": encoding}
    before = service.ours.get(path, headers=plain)
    asked = {**plain, "If-None-Match": before.headers["etag"]}
    assert service.ours.get(path, headers=asked).status_code == 304
    assert service.theirs.get(path, headers=asked).status_code == 200, "another organization's answer"
    service.seeded.run(f"UPDATE core.sims SET imei = '353500720000001' WHERE iccid = '{service.iccid(12)}'")
    try:
        after = service.ours.get(path, headers=asked)
        assert (after.status_code, after.headers["etag"] == before.headers["etag"]) == (200, False)
    finally:
        service.seeded.run(f"UPDATE core.sims SET imei = NULL WHERE iccid = '{service.iccid(12)}'")


def test_the_same_is_answered_alike_whoever_asks_in_between(service: Service) -> None:  # noqa: F811
    path = "/v1/sims?limit=3&status=Enabled"
    asked = [
        {"Accept-Encoding": encoding, "X-Forwarded-Prefix": prefix}
        for encoding in ("identity", "gzip", "br", "zstd")
        for prefix in ("/one", "/two")
    ]
    first = [service.ours.get(path, headers=headers) for headers in asked]
    for client in (service.ours, service.theirs):
        again = [client.get(path, headers=headers) for headers in asked]
        for headers, one in zip(asked, again, strict=True):
            assert one.headers.get("content-encoding", "identity") == headers["Accept-Encoding"]
            assert one.links["next"]["url"].startswith(headers["X-Forwarded-Prefix"] + "/v1/sims?")
        same = [one.content for one in again] == [one.content for one in first]
        assert same == (client is service.ours)
    assert len({one.headers["x-request-id"] for one in (*first, *again)}) == 16
    assert service.stranger.get(path).status_code == 401
