"""What the routes answer, over real HTTP and a real database."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from pipelines.cli.app import app
from resources.database.session import Database
from services.sim_overview import UnknownSimError, sim_overview


def walk(client: httpx.Client, path: str, **parameters: Any) -> list[dict[str, Any]]:
    """All items of a list, page by page, by its Link headers."""
    page = client.get(path, params=parameters)
    items = []
    while True:
        assert page.status_code == 200, page.text
        items += page.json()["items"]
        if page.json()["next"] is None:
            assert "next" not in page.links
            return items
        page = client.get(page.links["next"]["url"])


def test_health_says_ok_and_the_schema_version_without_a_key(stranger: httpx.Client, seeded: Any) -> None:
    answer = stranger.get("/health")
    newest = seeded.run("SELECT max(version) FROM ops.schema_migrations")[0][0]
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "schema_version": newest})


def test_the_list_of_sims_gives_label_status_and_exact_volume(client: httpx.Client, seeded: Any) -> None:
    page = client.get("/v1/sims").json()
    assert [item["iccid"] for item in page["items"]] == [seeded.iccid(n) for n in range(1, 13)]
    assert page["next"] is None
    first = page["items"][0]
    assert (first["label"], first["status"]) == ("default-1", "Enabled")
    assert first["quota_total"] == {"bytes": 123_456_788, "mb": 123.456788}


def test_a_sim_says_what_is_left_its_last_use_country_and_end(client: httpx.Client, seeded: Any) -> None:
    seeded.run(
        "INSERT INTO core.sim_quota (organization_id, sim_key, kind, day, observed_at, amount_left)"
        " SELECT organization_id, sim_key, kind, day, now(), left_over FROM core.sims, (VALUES"
        " ('data', date '2026-01-08', 9), ('data', date '2026-01-09', 41500000), ('sms', date '2026-01-10', 7))"
        " AS q (kind, day, left_over)",
        "INSERT INTO core.sim_connectivity (organization_id, sim_key, day, observed_at, status, country)"
        " SELECT organization_id, sim_key, day, now(), 'ONLINE', country FROM core.sims, (VALUES"
        " (date '2026-01-08', 'Italy'), (date '2026-01-09', 'Austria'), (date '2026-01-10', NULL)) AS c (day, country)",
        "UPDATE core.sim_usage SET bytes = 0, bytes_rx = 0, sms_mt = 0, sms_mo = 0 WHERE day > '2026-01-06'",
    )
    one = client.get(f"/v1/sims/{seeded.iccid(2)}").json()
    assert one["remaining"] == {"bytes": 41_500_000, "mb": 41.5}
    assert (one["last_used_on"], one["country"], one["ends_on"]) == ("2026-01-06", "Austria", "2026-01-28")
    assert client.get("/v1/sims").json()["items"][1] == one
    seeded.run(  # as the Data Streamer and looks at the quota say it
        "UPDATE core.sim_usage SET bytes = 7, bytes_rx = NULL, sms_mt = NULL, sms_mo = NULL WHERE day = '2026-01-09'"
    )
    assert client.get(f"/v1/sims/{seeded.iccid(2)}").json()["last_used_on"] == "2026-01-09"
    ordered = client.get("/v1/sims?state=ordered").json()["items"][0]
    assert (ordered["remaining"], ordered["last_used_on"], ordered["ends_on"]) == (None, None, None)


def test_a_sim_is_found_by_label_or_iccid_with_all_that_is_known(seeded: Any) -> None:
    database = Database(seeded.url, "default")
    found = sim_overview(database, "default-2")
    assert found == sim_overview(database, seeded.iccid(2)) == sim_overview(database, "89882806660000000028")
    assert found["prediction"]["p50_date"] == found["ends_on"] == date(2026, 1, 28)
    assert [(row["source"], row["grade"], row["days"]) for row in found["usage_sources"]] == [("call", "A", 30)]
    assert {row["kind"] for row in found["open_alerts"]} == {"exhaustion", "quota_80"}
    assert (found["anomalies"], found["churn"]) == ([], None)
    assert sim_overview(database, "default-1")["churn"]["p_90"] == 0.5
    with pytest.raises(UnknownSimError, match="no SIM with ICCID or label 'other-2'"):
        sim_overview(database, "other-2")
    seeded.run("UPDATE core.sims SET label = 'default-2' WHERE label = 'default-3'")
    with pytest.raises(UnknownSimError, match=f"{seeded.iccid(2)}, {seeded.iccid(3)}"):
        sim_overview(database, "default-2")
    database.close()


def test_the_command_shows_one_sim(seeded: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMSIGHT_DATABASE_URL", seeded.url.render_as_string(hide_password=False))
    monkeypatch.setenv("SIMSIGHT_DAGSTER_DATABASE_URL", "postgresql://nobody@localhost/unused")
    monkeypatch.setenv("SIMSIGHT_MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("SIMSIGHT_HOME", str(tmp_path))
    seeded.run("UPDATE core.sims SET label = '[red]2[/red]' WHERE label = 'default-2'")
    said = CliRunner().invoke(app, ["sim", seeded.iccid(2)])
    assert said.exit_code == 0, said.output
    for text in ("label: [red]2[/red]", "last used on: 2026-01-10", "end: 2026-01-28 by volume", "quota_80", "call"):
        assert text in said.output
    assert "leaves: no risk is known" in said.output
    leaves = "leaves: within 90 days with 50 % (medium), likeliest dead device: it is silent (as of 2026-01-10, "
    assert leaves in CliRunner().invoke(app, ["sim", seeded.iccid(1)]).output
    assert json.loads(CliRunner().invoke(app, ["sim", seeded.iccid(2), "--json"]).output)["ends_on"] == "2026-01-28"


def test_paging_meets_every_sim_once_while_sims_are_added(client: httpx.Client, seeded: Any) -> None:
    seen: list[str] = []
    url, added = "/v1/sims?limit=5", iter((0, 7_500, 20))
    while url:
        page = client.get(url)
        seen += [item["iccid"] for item in page.json()["items"]]
        seeded.run(
            "INSERT INTO core.sims (organization_id, iccid, first_seen_at, changed_at)"
            f" VALUES (ops.organization('default'), '{seeded.iccid(next(added))}', now(), now())"
        )
        url = page.links["next"]["url"] if page.links else ""
    assert len(seen) == len(set(seen))
    assert {seeded.iccid(n) for n in range(1, 13)} <= set(seen)
    assert seeded.iccid(7_500) in seen  # added ahead of the walk


def test_sims_can_be_chosen_by_label_and_status(client: httpx.Client, seeded: Any) -> None:
    assert [item["iccid"] for item in walk(client, "/v1/sims", label="default-3")] == [seeded.iccid(3)]
    disabled = walk(client, "/v1/sims", status="Disabled", limit=2)
    assert [item["iccid"] for item in disabled] == [seeded.iccid(n) for n in (4, 8, 12)]


def test_usage_is_the_last_90_known_days_oldest_first(client: httpx.Client, seeded: Any) -> None:
    usage = client.get(f"/v1/sims/{seeded.iccid(1)}/usage").json()
    assert (usage["from"], usage["to"]) == ("2025-10-13", "2026-01-10")
    days = [item["day"] for item in usage["items"]]
    assert (len(days), days[0], days[-1]) == (90, "2025-10-13", "2026-01-10")
    last = usage["items"][-1]
    assert last["total"]["bytes"] == last["received"]["bytes"] + last["sent"]["bytes"]
    assert (last["sms_mt"], last["sms_mo"]) == (1, 2)


def test_usage_of_chosen_days_has_both_ends(client: httpx.Client, seeded: Any) -> None:
    path = f"/v1/sims/{seeded.iccid(1)}/usage"
    chosen = client.get(path, params={"from": "2025-12-30", "to": "2026-01-02"}).json()
    assert [item["day"] for item in chosen["items"]] == ["2025-12-30", "2025-12-31", "2026-01-01", "2026-01-02"]


def test_a_sim_without_usage_has_an_empty_list(client: httpx.Client, seeded: Any) -> None:
    answer = client.get(f"/v1/sims/{seeded.iccid(12)}/usage")
    assert answer.json() == {"iccid": seeded.iccid(12), "from": None, "to": None, "items": []}


def test_the_forecast_is_the_latest_with_its_model_and_quantiles(client: httpx.Client, seeded: Any) -> None:
    items = client.get(f"/v1/sims/{seeded.iccid(2)}/forecast").json()["items"]
    assert [items[0]["day"], items[-1]["day"], len(items)] == ["2026-01-11", "2026-02-09", 30]
    assert items[0] | {"created_at": ""} == {
        "model_name": "usage-forecaster",
        "model_version": 3,
        "run_id": "run-default-2026-01-10",
        "as_of": "2026-01-10",
        "created_at": "",
        "data_age_hours": None,
        "data_grade": None,
        "day": "2026-01-11",
        "mean": {"bytes": 1_500_000, "mb": 1.5},
        "q025": {"bytes": 100, "mb": 0.0001},
        "q10": {"bytes": 200, "mb": 0.0002},
        "q50": {"bytes": 1_000_000, "mb": 1.0},
        "q90": {"bytes": 3_000_000, "mb": 3.0},
        "q975": {"bytes": 4_000_000, "mb": 4.0},
    }
    assert items[0]["created_at"] == "2026-01-11T06:00:00Z"


def test_an_older_prediction_can_be_asked_for(client: httpx.Client, seeded: Any) -> None:
    forecast = client.get(f"/v1/sims/{seeded.iccid(2)}/forecast?as_of=2026-01-09").json()["items"]
    assert {(item["as_of"], item["run_id"]) for item in forecast} == {("2026-01-09", "run-default-2026-01-09")}
    exhaustion = client.get(f"/v1/sims/{seeded.iccid(2)}/exhaustion?as_of=2026-01-09").json()
    assert (exhaustion["as_of"], exhaustion["p50_date"]) == ("2026-01-09", "2026-01-27")


def test_the_exhaustion_of_a_sim_gives_probabilities_dates_and_what_is_left(client: httpx.Client, seeded: Any) -> None:
    found = client.get(f"/v1/sims/{seeded.iccid(1)}/exhaustion").json()
    assert (found["status"], found["cause"], found["p_14"], found["as_of"]) == (
        "exhausted",
        "volume",
        1.0,
        "2026-01-10",
    )
    assert (found["p50_date"], found["p90_date"], found["expires_on"]) == ("2026-01-29", None, "2030-01-01")
    assert found["remaining"] == {"bytes": 4_999_999, "mb": 4.999999}


def exhausted(client: httpx.Client, **parameters: Any) -> list[int]:
    """The numbers of the SIMs of the list, in its order."""
    return [int(item["iccid"][-3:]) for item in walk(client, "/v1/exhaustions", **parameters)]


def test_exhaustions_are_the_live_sims_soonest_end_first_and_each_comes_once(client: httpx.Client, seeded: Any) -> None:
    # 10 and 11 end on one day of which 11 is surer; 12 has no evidence but that it expires on a day
    seeded.run(
        "UPDATE predictions.exhaustions AS e SET p50_date = '2026-01-15',"
        " p_14 = CASE right(iccid, 2) WHEN '11' THEN 0.8"
        " ELSE 0.7 END FROM core.sims AS s WHERE s.sim_key = e.sim_key AND right(iccid, 2) IN ('10', '11')",
        "UPDATE predictions.exhaustions AS e SET p_30 = 1, expires_on = '2026-01-20' FROM core.sims AS s"
        " WHERE s.sim_key = e.sim_key AND right(iccid, 2) = '12'",
    )
    for limit in (1, 2, 5, 100):
        assert exhausted(client, limit=limit) == [11, 10, 12, 8, 7, 6, 5, 4, 3, 2, 9]
        assert exhausted(client, limit=limit, status="all") == [11, 10, 12, 8, 7, 6, 5, 4, 3, 2, 9, 1]
    assert {item["as_of"] for item in walk(client, "/v1/exhaustions", status="all")} == {"2026-01-10"}


def test_exhaustions_are_chosen_by_status_cause_label_and_day(client: httpx.Client, seeded: Any) -> None:
    seeded.run(
        "UPDATE predictions.exhaustions AS e SET cause = 'expiry' FROM core.sims AS s"
        " WHERE s.sim_key = e.sim_key AND right(iccid, 2) IN ('01', '08')"
    )
    assert exhausted(client, status="ended") == exhausted(client, status="exhausted") == [1]
    assert exhausted(client, status="expired") == []
    assert exhausted(client, status="not_enough_evidence") == [12]
    assert exhausted(client, cause="expiry") == [8]
    assert exhausted(client, cause="expiry", status="all", limit=1) == [8, 1]
    assert exhausted(client, label="default-3") == [3]
    earlier = walk(client, "/v1/exhaustions", as_of="2026-01-09", limit=4)
    assert (len(earlier), {item["as_of"] for item in earlier}) == (11, {"2026-01-09"})
    assert walk(client, "/v1/exhaustions", as_of="2025-01-09") == []
    cursor = client.get("/v1/exhaustions?limit=1").json()["next"]
    other_day = client.get("/v1/exhaustions", params={"after": cursor, "as_of": "2026-01-09"})
    assert (other_day.status_code, "2026-01-10" in other_day.json()["detail"]) == (422, True)


def test_pages_within_sims_of_one_place_meet_each_once(client: httpx.Client, seeded: Any) -> None:
    seeded.run(
        "UPDATE predictions.exhaustions SET p_14 = CASE sim_key % 3 WHEN 0 THEN 0.5 WHEN 1 THEN 0.25 END,"
        " p50_date = CASE WHEN sim_key % 2 = 0 THEN date '2026-02-01' END",
        "INSERT INTO predictions.churn_risks"
        " SELECT (jsonb_populate_record(c, jsonb_build_object('sim_key', s.sim_key))).* FROM core.sims AS s"
        " JOIN predictions.churn_risks AS c USING (organization_id) WHERE s.iccid NOT LIKE '%01'",
    )
    for path, chosen in (("/v1/exhaustions", {"status": "all"}), ("/v1/churn-risks", {})):
        whole = walk(client, path, **chosen)
        assert (path, len(whole), len({item["iccid"] for item in whole})) == (path, 12, 12)
        for limit in (1, 2, 5):
            assert walk(client, path, limit=limit, **chosen) == whole


def test_an_exhaustion_tells_of_ninety_days_sms_limit_and_top_ups(client: httpx.Client, seeded: Any) -> None:
    seeded.run(
        "UPDATE predictions.exhaustions SET p_90 = 0.9, topup_date = '2026-02-01', topups_30 = 0.5, p_limit = 0.25,"
        " sms_status = 'ok', sms_remaining = 12, sms_p_90 = 0.75, sms_p50_date = '2026-03-01'"
    )
    found = client.get(f"/v1/sims/{seeded.iccid(2)}/exhaustion").json()
    given = ("p_90", "topup_date", "topups_30", "p_limit", "sms_status", "sms_remaining", "sms_p_90", "sms_p50_date")
    assert [found[name] for name in given] == [0.9, "2026-02-01", 0.5, 0.25, "ok", 12, 0.75, "2026-03-01"]
    assert (found["limit_date"], found["sms_p_7"], found["sms_p10_date"]) == (None, None, None)
    listed = walk(client, "/v1/exhaustions", limit=5)
    assert {item["sms_remaining"] for item in listed} == {12}


def test_a_walk_over_exhaustions_stays_on_its_day_when_a_newer_scoring_arrives(
    client: httpx.Client, seeded: Any
) -> None:
    first = client.get("/v1/exhaustions?limit=7").json()
    seeded.run(
        "INSERT INTO predictions.exhaustions (organization_id, sim_key, scoring_id, as_of, status, p_14)"
        " SELECT organization_id, sim_key, scoring_id, date '2026-01-11', 'ok', 0.9 FROM predictions.exhaustions"
        " WHERE as_of = date '2026-01-10'"
    )
    rest = walk(client, "/v1/exhaustions", limit=7, after=first["next"])
    assert len({item["iccid"] for item in first["items"] + rest}) == 11
    assert {item["as_of"] for item in rest} == {"2026-01-10"}
    assert {item["as_of"] for item in walk(client, "/v1/exhaustions")} == {"2026-01-11"}


def test_alerts_are_the_open_ones_unless_asked_otherwise(client: httpx.Client, seeded: Any) -> None:
    opened = walk(client, "/v1/alerts", limit=2)
    assert len(opened) == 6
    assert all(item["closed_at"] is None for item in opened)
    assert [item["alert_id"] for item in opened] == sorted(item["alert_id"] for item in opened)
    assert {item["kind"] for item in walk(client, "/v1/alerts", state="closed")} == {"silent"}
    assert len(walk(client, "/v1/alerts", state="all", limit=4)) == 9
    by_kind = walk(client, "/v1/alerts", kind="quota_80")
    assert {(item["kind"], item["model_name"]) for item in by_kind} == {("quota_80", None)}
    loud = [item["alert_id"] for item in opened[:2]]
    seeded.run(f"UPDATE predictions.alerts SET severity = 'critical' WHERE alert_id IN ({loud[0]}, {loud[1]})")
    assert [item["alert_id"] for item in walk(client, "/v1/alerts", severity="critical", limit=1)] == loud
    assert len(walk(client, "/v1/alerts", severity=opened[2]["severity"])) == len(opened) - len(loud)
    assert client.get("/v1/alerts", params={"severity": "loud"}).status_code == 422


def test_new_alerts_are_those_after_the_last_one_seen(client: httpx.Client, seeded: Any) -> None:
    last = max(item["alert_id"] for item in walk(client, "/v1/alerts", state="all"))
    assert walk(client, "/v1/alerts", after=last) == []
    seeded.run(
        "INSERT INTO predictions.alerts (organization_id, sim_key, kind, severity, message, opened_as_of,"
        " opened_at, seen_as_of)"
        " SELECT organization_id, sim_key, 'silent', 'info', 'silent again', date '2026-01-11', now(),"
        " date '2026-01-11'"
        f" FROM core.sims WHERE iccid = '{seeded.iccid(1)}'"
    )
    assert [item["message"] for item in walk(client, "/v1/alerts", after=last)] == ["silent again"]


def test_the_report_is_a_page_that_may_not_load_anything(client: httpx.Client) -> None:
    latest = client.get("/v1/report")
    assert latest.headers["content-type"] == "text/html; charset=utf-8"
    assert "default as of 2026-01-10" in latest.text
    policy = latest.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "style-src 'unsafe-inline'" in policy
    assert "img-src data:" in policy
    assert "script-src" not in policy
    assert "default as of 2026-01-09" in client.get("/v1/report?as_of=2026-01-09").text


def test_a_new_organization_has_empty_lists_and_no_report(client: httpx.Client, seeded: Any) -> None:
    seeded.run(
        "DELETE FROM predictions.exhaustions", "DELETE FROM predictions.alerts", "DELETE FROM predictions.reports"
    )
    assert client.get("/v1/exhaustions").json() == {"items": [], "next": None}
    assert client.get("/v1/alerts").json() == {"items": [], "next": None}
    assert client.get("/v1/report").status_code == 404


def test_a_hundred_requests_at_once_are_all_answered(client: httpx.Client) -> None:
    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(client.get, ["/v1/sims"] * 100))
    assert {answer.status_code for answer in answers} == {200}


def test_large_answers_are_compressed(client: httpx.Client, seeded: Any) -> None:
    for encoding in ("zstd", "br", "gzip"):
        answer = client.get("/v1/sims", headers={"Accept-Encoding": encoding})
        assert answer.headers.get("content-encoding") == encoding
    assert "content-encoding" not in client.get(f"/v1/sims/{seeded.iccid(1)}").headers
