"""Reports of periods over HTTP: made now, and kept ones as files. Service of test_read_routes."""

from __future__ import annotations

import csv
import io
import sys
import zipfile

import pytest

from tests.api.test_read_routes import Service, service  # noqa: F401 - a fixture

WEEK = {"from": "2026-01-04", "to": "2026-01-10"}


def test_kept_reports_are_listed_and_paged_the_newest_first(service: Service) -> None:  # noqa: F811
    page = service.ours.get("/v1/reports/kept").json()
    assert [item["name"] for item in page["items"]] == ["default2", "default1"]
    assert page["items"][0]["formats"] == ["json", "pdf"]
    first = service.ours.get("/v1/reports/kept", params={"limit": 1})
    assert first.links["next"]["url"].endswith(f"after={first.json()['next']}&limit=1") or first.json()["next"]
    second = service.ours.get("/v1/reports/kept", params={"limit": 1, "after": first.json()["next"]}).json()
    assert ([item["name"] for item in second["items"]], second["next"]) == (["default1"], None)


def test_a_kept_file_is_an_attachment_that_is_asked_about_without_a_body(service: Service) -> None:  # noqa: F811
    href = service.ours.get("/v1/reports/kept").json()["items"][0]["href"]
    answer = service.ours.get(href, params={"format": "json"})
    assert answer.content == b"default2 as json"
    assert answer.headers["content-disposition"] == 'attachment; filename="default2.json"'
    assert answer.headers["content-type"] == "application/json"
    again = service.ours.get(href, params={"format": "json"}, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert service.ours.get(href, params={"format": "xlsx"}).status_code == 404
    assert service.theirs.get(href).status_code == 404, "another organization's"
    assert service.stranger.get(href).status_code == 401


def test_a_report_is_made_in_every_format(service: Service) -> None:  # noqa: F811
    begins = {"pdf": b"%PDF-1.7", "xlsx": b"PK", "csv": b"PK", "html": b"<!DOCTYPE html>", "json": b"{"}
    for format, first in begins.items():
        answer = service.ours.get("/v1/reports/make", params={**WEEK, "format": format})
        assert (answer.status_code, answer.content.startswith(first)) == (200, True), answer.text[:300]
        suffix = "zip" if format == "csv" else format
        name = f"simsight-default-2026-01-04-to-2026-01-10.{suffix}"
        assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
        assert answer.headers["x-content-type-options"] == "nosniff"
        same = {"If-None-Match": answer.headers["etag"]}
        assert service.ours.get("/v1/reports/make", params={**WEEK, "format": format}, headers=same).status_code == 304


def test_its_figures_are_those_of_the_other_routes(service: Service) -> None:  # noqa: F811
    told = service.ours.get("/v1/reports/make", params={**WEEK, "format": "json"}).json()
    parts = {part["name"]: part["rows"] for part in told["sections"]}
    figures = {row["figure"]: row["value"] for row in parts["key_figures"]}
    assert (told["organization"], told["as_of"]) == ("default", "2026-01-10")
    assert figures["SIMs"] == len(service.ours.get("/v1/sims").json()["items"]) == 12
    alerts = service.ours.get("/v1/alerts", params={"limit": 1000}).json()["items"]
    assert figures["Open alerts on the last day"] == len([alert for alert in alerts if not alert["closed_at"]])
    usage = [service.ours.get(f"/v1/sims/{service.iccid(n)}/usage", params=WEEK).json()["items"] for n in range(1, 12)]
    assert figures["Usage in the period"] == pytest.approx(sum(day["total"]["mb"] for days in usage for day in days))
    saving = service.ours.get("/v1/recommendations", params={"limit": 1000}).json()["items"]
    assert len(parts["recommendations"]) == len([row for row in saving if row["action"] != "nothing"])
    document = service.stranger.get("/openapi.json").json()["paths"]["/v1/reports/make"]["get"]["responses"]["200"]
    assert document["content"]["application/json"]["schema"] == {"type": "object"}
    other = service.theirs.get("/v1/reports/make", params={**WEEK, "format": "json"}).text
    assert "8988280666" not in other
    assert "9988280666" in other


def test_a_choice_and_the_default_period(service: Service) -> None:  # noqa: F811
    answer = service.ours.get("/v1/reports/make", params={"label": "default-1", "format": "csv"})
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        about = dict(csv.reader(io.StringIO(archive.read("about.csv").decode())))
        used = list(csv.DictReader(io.StringIO(archive.read("top_consumers.csv").decode())))
    assert about["Period"] == "2025-12-12 to 2026-01-10 (UTC days)"
    assert {row["label"] for row in used} == {"default-1", "default-10", "default-11"}
    nobody = service.ours.get("/v1/reports/make", params={"country": "Atlantis", "format": "json"}).json()
    assert nobody["country"] == "Atlantis"
    assert [part["rows"] for part in nobody["sections"] if part["name"] == "top_consumers"] == [[]]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"from": "2026-01-10", "to": "2026-01-04"}, "ends before that"),
        ({"from": "2020-01-01", "to": "2026-01-04"}, "at most 731"),
        ({"format": "doc"}, "format"),
        ({"label": ""}, "label"),
        ({"since": "2026-01-10"}, "since"),
    ],
)
def test_what_cannot_be_made_is_refused(service: Service, asked: dict[str, str], said: str) -> None:  # noqa: F811
    answer = service.ours.get("/v1/reports/make", params=asked)
    assert answer.status_code == 422
    assert said in answer.text
    assert service.stranger.get("/v1/reports/make", params=asked).status_code == 401


def test_without_the_extra_a_pdf_is_not_there_and_the_rest_is(
    service: Service,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "typst", None)
    answer = service.ours.get("/v1/reports/make", params=WEEK)
    assert answer.status_code == 501
    assert "pip install 'simsight[reports]'" in answer.json()["detail"]
    assert service.ours.get("/v1/reports/make", params={**WEEK, "format": "html"}).status_code == 200
