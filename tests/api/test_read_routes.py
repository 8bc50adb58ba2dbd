"""The routes that read, over one filled database and one service for all tests of this file: nothing here writes."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import httpx
import polars as pl
import pytest
from pydantic import BaseModel
from sqlalchemy import URL

from api.app import create_app
from api.routes import bulk
from api.schemas.anomalies import AnomalyScore
from api.schemas.assistant import (
    AssistantAnomaly,
    AssistantChurn,
    AssistantForecast,
    AssistantRecommendation,
    AssistantTicket,
)
from api.schemas.batch import BatchAnswer
from api.schemas.churn import ChurnRiskOfSim
from api.schemas.history import FleetEventPage, SimEventPage, Timeline
from api.schemas.models import BacktestPage, Freshness, ModelList, ReportPage
from api.schemas.predictions import ExhaustionOfSim, UsageForecast
from api.schemas.quota import RecommendationOfSim
from api.schemas.sims import SimPage, VolumeBand
from resources.database.session import Database
from services.access.api_keys import create_key
from tests.api.conftest import SEED, Seeded, _served
from tests.conftest import LOCAL, administer, copy_database

# beside SEED, for both organizations: trainings, anomalies, events, quotas, an action and an order for SIM 1 and 2
MORE = """
INSERT INTO predictions.backtests (organization_id, model_name, model_version, run_id, as_of, role, metrics,
    created_at, why, comparison)
SELECT organization_id, m, v, 'mlflow-' || slug || '-' || m || '-' || v, '2026-01-01',
    CASE v WHEN 3 THEN 'champion' WHEN 4 THEN 'challenger' ELSE 'retired' END, '{"rmase": 0.8}', '2026-01-02Z',
    'because',
    CASE v WHEN 3 THEN '{"rmase": 0.9}'::jsonb END
FROM core.organizations, (VALUES ('usage-forecaster'), ('anomaly-detector')) AS n (m), (VALUES (2), (3),
    (4)) AS w (v);

INSERT INTO predictions.promotions (organization_id, model_name, model_version, from_version, decided_by,
    decided_at, why)
SELECT organization_id, 'usage-forecaster', 3, 2, 'training', '2026-01-02Z', 'better' FROM core.organizations;

INSERT INTO predictions.anomaly_state (sim_key, organization_id, as_of, model_version, bytes_limits, bytes_usual,
    sms_limit,
    sessions_limit, countries, operators, prepared_at)
SELECT sim_key, organization_id, '2026-01-10', 3, array_fill(1, ARRAY[7]), array_fill(1, ARRAY[7]), 1, 1, '{}', '{}',
    '2026-01-11 06:00Z'
FROM core.sims WHERE right(iccid, 2) < '04';

INSERT INTO predictions.anomalies (sim_key, day, kind, organization_id, score, severity, reasons, value, expected,
    unit, first_day,
    model_version, as_of, detected_at, live)
SELECT sim_key, day, kind, organization_id, score, severity, label || ' ' || kind, 7, 1, 'bytes', day, 3,
    '2026-01-10',
    '2026-01-11 06:00Z', day > '2026-01-10'
FROM core.sims, (VALUES (date '2026-01-05', 'spike', 9, 'critical'), ('2026-01-10', 'spike', 4.5, 'warning'),
    ('2026-01-11', 'sms_flood', 3.5, 'critical')) AS a (day, kind, score, severity)
WHERE right(iccid, 2) = '01';

INSERT INTO core.sim_events (sim_key, occurred_at, event_type, organization_id, severity, alert, imei, country,
    operator)
SELECT sim_key, timestamptz '2026-01-10Z' - n / 3 * interval '1 hour', 'event ' || lpad(n::text, 2, '0'),
    organization_id,
    CASE n % 2 WHEN 0 THEN 'INFO' ELSE 'WARN' END, false, NULL, 'Germany', label
FROM core.sims, generate_series(1, 20) AS n WHERE right(iccid, 2) < '03';

INSERT INTO core.sim_connectivity (sim_key, day, organization_id, observed_at, status, operator, country)
SELECT sim_key, '2026-01-10', organization_id, '2026-01-10Z', 'ONLINE', CASE WHEN right(iccid,
    2) < '06' THEN 'Telekom' ELSE 'TIM' END,
    CASE WHEN right(iccid, 2) < '06' THEN 'Germany' ELSE 'Italy' END
FROM core.sims WHERE right(iccid, 2) < '12';

INSERT INTO core.sim_quota (organization_id, sim_key, kind, day, observed_at, amount_left, amount_total)
SELECT organization_id, sim_key, 'data', day, day, CASE WHEN day < '2026-01-09' THEN 990 ELSE a.left_over END, 1000
FROM core.sims JOIN (VALUES ('01', 0), ('02', 200), ('03', 600), ('04', 601)) AS a (n,
    left_over) ON n = right(iccid, 2),
    (VALUES (date '2026-01-08'), (date '2026-01-09')) AS d (day);

UPDATE core.sims SET quota_status = 1, imei = '353500720000001' WHERE right(iccid, 2) = '06';

INSERT INTO ops.action_requests (organization_id, kind, sim_key, parameters, idempotency_key, cost_minor,
    requested_by, requested_at,
    state, changed_by, changed_at)
SELECT organization_id, 'reset', sim_key, '{}', 'k', 0, 'ann', '2026-01-07Z', 'requested', 'ann', '2026-01-07Z'
FROM core.sims WHERE right(iccid, 2) = '01';

INSERT INTO ops.bulk_actions (organization_id, action, chosen, said, things, left_out, digest, prepared_by,
    prepared_at, expires_at)
SELECT organization_id, 'remove-labels', jsonb_build_object('label', slug || '-1'), '{}', 1, 0, sha256('x'), 'ann',
    '2026-01-11 11:55Z', '2026-01-11 12:10Z'
FROM core.organizations ORDER BY slug;

INSERT INTO ops.bulk_sets (bulk_id, organization_id, things, marks)
SELECT bulk_id, organization_id, ARRAY[sim_key], ARRAY[1] FROM ops.bulk_actions JOIN core.sims USING (organization_id)
WHERE right(iccid, 2) = '01';

INSERT INTO core.orders (organization_id, order_number, order_type, ordered_at, products, iccids, changed_at, status)
SELECT organization_id, 8, 'TOPUP', '2026-01-06 12:00Z', '[]', ARRAY[iccid], now(), 'done' FROM core.sims
WHERE right(iccid, 2) = '01';

UPDATE predictions.exhaustions SET p50_date = p50_date - 9
WHERE as_of = '2026-01-10' AND sim_key IN (SELECT sim_key FROM core.sims WHERE right(iccid, 2) = '01');

UPDATE predictions.exhaustions SET status = 'not_enough_evidence'
WHERE as_of < '2026-01-10' AND sim_key IN (SELECT sim_key FROM core.sims WHERE right(iccid, 2) = '07');

INSERT INTO ops.sweeps (organization_id, source, first_day, last_day, started_at, finished_at)
SELECT organization_id, 'usage', '2026-01-09', '2026-01-10', '2026-01-11 02:00Z',
    '2026-01-11 03:00Z' FROM core.organizations;

INSERT INTO ops.sweeps (organization_id, source, first_day, last_day, started_at)
VALUES (1, 'tickets', '2026-01-10', '2026-01-10', '2026-01-11 03:00+00');

INSERT INTO ops.once_calls (organization_id, call, version, gone_since, checked_at)
VALUES (1, 'tickets', 'v1', '2026-01-09 00:00+00', '2026-01-11 03:00+00'),
       (1, 'usage', 'v1', NULL, '2026-01-11 03:00+00');
"""
MLFLOW = "https://mlflow.example.com"


@dataclass
class Service:
    """The service, asked with the key of `default` (ours), of `other` (theirs), or without one."""

    seeded: Seeded
    ours: httpx.Client
    theirs: httpx.Client
    stranger: httpx.Client

    def iccid(self, n: int, organization: str = "default") -> str:
        return self.seeded.iccid(n, organization)

    def read(self, path: str, model: type[BaseModel] | None = None, **parameters: Any) -> Any:
        """The JSON at a path, which is what its documented model would write."""
        answer = self.ours.get(path, params=parameters)
        assert (path, answer.status_code) == (path, 200), answer.text
        found = answer.json()
        if model is not None:
            written = json.loads(model.model_validate_json(answer.content).model_dump_json(by_alias=True))
            assert found == written
            assert _keys(found) == _keys(written)
        return found

    def walk(self, path: str, **parameters: Any) -> list[dict[str, Any]]:
        """All items of a list, page by page, by its Link headers."""
        page = self.ours.get(path, params=parameters)
        items = []
        while True:
            assert page.status_code == 200, page.text
            items += page.json()["items"]
            if page.json()["next"] is None:
                return items
            page = self.ours.get(page.links["next"]["url"])


def _keys(value: Any) -> Any:
    if isinstance(value, list):
        return [_keys(part) for part in value]
    return [(key, _keys(part)) for key, part in value.items()] if isinstance(value, dict) else None


@pytest.fixture(scope="module")
def service(postgres: URL, template: str) -> Iterator[Service]:
    name = f"simsight_routes_{os.getpid()}"
    copy_database(postgres, template, name)
    url = postgres.set(database=name)
    keys = {}
    for organization in ("default", "other"):
        database = Database(url, organization)
        keys[organization] = create_key(database, "tests", now=datetime.now(UTC), valid_for=None)
        database.close()
    seeded = Seeded(url, keys)
    seeded.run(*SEED.split(";\n\n"), *MORE.split(";\n\n"))
    _place(url)
    app = create_app(url, mlflow_url=MLFLOW + "/", clock=lambda: datetime(2026, 1, 11, 12, tzinfo=UTC))
    with _served(app) as stranger:
        clients = [
            httpx.Client(base_url=stranger.base_url, headers={"X-API-Key": key}, timeout=30, **LOCAL)
            for key in keys.values()
        ]
        yield Service(seeded, clients[0], clients[1], stranger)
        for client in clients:
            client.close()
    administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


def _place(url: URL) -> None:
    """Keep the orders of SIMs as the daily report does."""
    for organization in ("default", "other"):
        database = Database(url, organization)
        with database.transaction() as transaction:
            transaction.execute("save_sim_summaries", {"as_of": date(2026, 1, 10)})
            transaction.execute("save_sim_places")
        database.close()


def run_of(model: str, version: int = 3) -> str:
    return f"{MLFLOW}/#/runs/mlflow-default-{model}-{version}"


def test_what_is_said_of_one_sim_names_day_model_and_training(service: Service) -> None:
    path = f"/v1/sims/{service.iccid(2)}"
    week = service.read(f"{path}/usage-forecast", UsageForecast, days=7)
    assert (week["days"], week["total_mean"]["bytes"], week["items"][0]["day"]) == (7, 10_500_000, "2026-01-11")
    assert (week["as_of"], week["model_version"], week["mlflow_run"]) == ("2026-01-10", 3, run_of("usage-forecaster"))
    assert service.read(f"{path}/usage-forecast", UsageForecast)["days"] == 30
    assert service.read(f"{path}/usage-forecast", as_of="2026-01-09")["as_of"] == "2026-01-09"
    for days in (0, 31, "x"):
        assert service.ours.get(f"{path}/usage-forecast?days={days}").status_code == 422
    for tail, model in {
        "exhaustion": ExhaustionOfSim,
        "churn-risk": ChurnRiskOfSim,
        "quota-recommendation": RecommendationOfSim,
    }.items():
        found = service.read(f"/v1/sims/{service.iccid(1)}/{tail}", model)
        assert (found["as_of"], found["mlflow_run"]) == ("2026-01-10", run_of("usage-forecaster")), tail
    assert service.ours.get(f"/v1/sims/{service.iccid(12)}/usage-forecast").status_code == 404


def test_without_an_address_of_mlflow_answers_have_the_id_of_the_run(service: Service) -> None:
    with _served(create_app(service.seeded.url)) as client:
        key = {"X-API-Key": service.seeded.keys["default"]}
        found = client.get(f"/v1/sims/{service.iccid(2)}/exhaustion", headers=key).json()
        assert found["mlflow_run"] == "mlflow-default-usage-forecaster-3"


def test_the_anomaly_score_is_of_the_last_closed_day_and_days_under_way(service: Service) -> None:
    found = service.read(f"/v1/sims/{service.iccid(1)}/anomaly-score", AnomalyScore)
    assert (found["is_anomaly"], found["score"], found["severity"]) == (True, 4.5, "critical")
    assert [(item["day"], item["kind"]) for item in found["items"]] == [
        ("2026-01-10", "spike"),
        ("2026-01-11", "sms_flood"),
    ]
    assert found["mlflow_run"] == run_of("anomaly-detector")
    calm = service.read(f"/v1/sims/{service.iccid(2)}/anomaly-score", AnomalyScore)
    assert (calm["is_anomaly"], calm["score"], calm["severity"], calm["items"]) == (False, 0.0, None, [])
    never = service.ours.get(f"/v1/sims/{service.iccid(9)}/anomaly-score")
    assert (never.status_code, "has not looked" in never.json()["detail"]) == (404, True)


def test_a_band_of_what_is_left_has_no_number(service: Service) -> None:
    bands = []
    for n in (1, 2, 3, 4, 5, 6):
        found = service.read(f"/v1/sims/{service.iccid(n)}/volume-band", VolumeBand)
        assert set(found) == {"iccid", "as_of", "band"}
        bands.append((found["band"], found["as_of"]))
    day = "2026-01-09"
    assert bands == [("empty", day), ("low", day), ("half", day), ("plenty", day), ("unknown", None), ("low", None)]


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({"country": "Germany"}, [1, 2, 3, 4, 5]),
        ({"operator": "TIM", "status": "Enabled"}, [6, 7, 9, 10, 11]),
        ({"operator": "TIM", "country": "Germany"}, []),
        ({"device": "35350072"}, [6]),
        ({"device": "353500720000002"}, []),
        ({"ends_within": 11}, [1, 8]),  # until 2026-01-22, on which SIM 8 ends
        ({"ends_within": 15, "country": "Germany"}, [1, 4, 5]),
        ({"risk": "medium"}, [1]),
        ({"risk": "high"}, []),
        ({"state": "active", "country": "Germany"}, [3, 4, 5]),
        ({"state": "ordered", "country": "Germany"}, []),
        ({"label": "default-3", "country": "Germany", "sort": "ends_on"}, [3]),
        ({"sort": "remaining"}, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
        ({"sort": "ends_on"}, [1, 8, 7, 6, 5, 4, 3, 2, 9, 10, 11, 12]),
        ({"sort": "ends_on", "country": "Italy"}, [8, 7, 6, 9, 10, 11]),
        ({"sort": "last_used", "device": "3"}, [6]),
    ],
)
def test_sims_are_chosen_and_sorted_and_a_walk_meets_each_once(
    service: Service, chosen: dict[str, Any], expected: list[int]
) -> None:
    whole = service.read("/v1/sims", SimPage, **chosen)["items"]
    assert [item["iccid"] for item in whole] == [service.iccid(n) for n in expected]
    for limit in (1, 5):
        assert service.walk("/v1/sims", limit=limit, **chosen) == whole
    plain = {item["iccid"]: item for item in service.read("/v1/sims")["items"]}
    assert whole == [plain[item["iccid"]] for item in whole]


def test_orders_are_those_of_the_last_report_and_what_it_does_not_know_comes_last(service: Service) -> None:
    change = (
        f"WHERE sim_key = (SELECT sim_key FROM core.sims WHERE iccid = '{service.iccid(9)}') AND day > '2026-01-01'"
    )
    added = "9" * 19

    def walked() -> list[str]:
        return [item["iccid"] for item in service.walk("/v1/sims", limit=5, sort="last_used")]

    service.seeded.run(
        f"UPDATE core.sim_usage SET bytes = 0, bytes_rx = 0, sms_mt = 0, sms_mo = 0 {change}",
        "INSERT INTO core.sims (organization_id, iccid, first_seen_at, changed_at) "
        f"SELECT organization_id, '{added}', now(), now() FROM core.organizations WHERE slug = 'default'",
    )
    try:
        assert walked() == [*(service.iccid(n) for n in range(1, 13)), added]
        _place(service.seeded.url)
        assert walked() == [*(service.iccid(n) for n in (9, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12)), added]
        # a report between two pages: SIM 9 moves behind SIM 8, and nothing is left out
        first = service.ours.get("/v1/sims", params={"limit": 1, "sort": "last_used"})
        assert [item["iccid"] for item in first.json()["items"]] == [service.iccid(9)]
        service.seeded.run(
            f"UPDATE core.sim_usage SET bytes = 1250000 + sim_key, bytes_rx = 250000, sms_mt = 1, sms_mo = 2 {change}"
        )
        _place(service.seeded.url)
        after = service.walk("/v1/sims", sort="last_used", after=first.json()["next"])
        assert [item["iccid"] for item in after] == [*(service.iccid(n) for n in range(1, 13)), added]
    finally:
        service.seeded.run(
            f"UPDATE core.sim_usage SET bytes = 1250000 + sim_key, bytes_rx = 250000, sms_mt = 1, sms_mo = 2 {change}",
            "DELETE FROM predictions.sim_summaries WHERE sim_key IN "
            f"(SELECT sim_key FROM core.sims WHERE iccid = '{added}')",
            f"DELETE FROM core.sims WHERE iccid = '{added}'",
        )
        _place(service.seeded.url)


def test_a_cursor_belongs_to_its_order(service: Service) -> None:
    cursor = service.read("/v1/sims", sort="remaining", limit=1)["next"]
    for wrong in (
        {"sort": "ends_on", "after": cursor},
        {"after": cursor},
        {"sort": "ends_on", "after": service.iccid(1)},
    ):
        answer = service.ours.get("/v1/sims", params=wrong)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "after")
    assert service.read("/v1/sims", state="ordered", sort="remaining")["items"][0]["state"] == "ordered"


def test_events_of_the_fleet_come_newest_first_each_once(service: Service) -> None:
    whole = service.read("/v1/events", FleetEventPage)["items"]
    order = sorted(whole, key=lambda item: (item["event_type"], item["iccid"]))
    assert (len(whole), whole) == (40, sorted(order, key=lambda item: item["occurred_at"], reverse=True))
    for limit in (1, 5, 39):  # six events share each moment
        assert service.walk("/v1/events", limit=limit) == whole
    for chosen, expected in (
        ({"type": "event 07"}, [item for item in whole if item["event_type"] == "event 07"]),
        ({"severity": "WARN"}, [item for item in whole if item["severity"] == "WARN"]),
        ({"iccid": service.iccid(2)}, [item for item in whole if item["iccid"] == service.iccid(2)]),
        (
            {"iccid": service.iccid(2), "type": "event 07"},
            [item for item in whole if item["event_type"] == "event 07"][1:],
        ),
        ({"from": "2026-01-10"}, [item for item in whole if item["occurred_at"] >= "2026-01-10"]),
        ({"to": "2026-01-09"}, [item for item in whole if item["occurred_at"] < "2026-01-10"]),
        ({"iccid": service.iccid(1), "from": "2026-01-10", "to": "2026-01-10"}, whole[:4:2]),
        ({"iccid": service.iccid(1, "other")}, []),
        ({"to": "9999-12-31", "from": "0001-01-01"}, whole),
    ):
        assert service.walk("/v1/events", limit=3, **chosen) == expected, chosen
    assert service.ours.get("/v1/events", params={"from": "2026-01-10", "to": "2026-01-09"}).status_code == 422


def test_events_of_a_sim_come_newest_first_each_once(service: Service) -> None:
    path = f"/v1/sims/{service.iccid(1)}/events"
    whole = service.read(path, SimEventPage)["items"]
    times = [item["occurred_at"] for item in whole]
    assert (len(whole), times) == (20, sorted(times, reverse=True))
    for limit in (1, 2, 7):  # three events share each moment
        assert service.walk(path, limit=limit) == whole
    warnings = service.walk(path, limit=3, severity="WARN")
    assert (len(warnings), {item["severity"] for item in warnings}) == (10, {"WARN"})
    assert service.read(f"/v1/sims/{service.iccid(9)}/events")["items"] == []


def test_a_timeline_has_all_that_happened_in_one_list(service: Service) -> None:
    path = f"/v1/sims/{service.iccid(1)}/timeline"
    whole = service.read(path, Timeline, limit=1000)
    items = whole["items"]
    times = [item["at"] for item in items]
    assert (times, whole["as_of"]) == (sorted(times, reverse=True), "2026-01-10")
    counts = {kind: sum(item["kind"] == kind for item in items) for kind in {item["kind"] for item in items}}
    assert counts == {
        "event": 20,
        "anomaly": 3,
        "alert": 3,
        "top_up": 1,
        "order": 1,
        "ticket": 3,
        "action": 1,
        "exhaustion": 1,
        "state": 4,
    }
    for limit in (1, 4, 9):
        assert service.walk(path, limit=limit) == items
    moved = next(item for item in items if item["kind"] == "exhaustion")
    assert moved["title"] == "Its median end moved from 2026-01-28 to 2026-01-20"
    (changed,) = service.walk(f"/v1/sims/{service.iccid(7)}/timeline", kinds="exhaustion")
    assert changed["title"] == "End: predicted (before: too little known)"
    some = service.walk(path, limit=1, kinds="anomaly,order")
    assert [item["kind"] for item in some] == ["anomaly", "anomaly", "order", "anomaly"]
    assert service.ours.get(path, params={"kinds": "anomaly,oddity"}).status_code == 422
    assert service.ours.get(path, params={"after": "x"}).status_code == 422
    cursor = service.read(f"/v1/sims/{service.iccid(1)}/events", limit=1)["next"]
    assert service.ours.get(path, params={"after": cursor}).status_code == 422, "a cursor of another list"


def test_short_answers_have_the_fields_of_their_paths(service: Service) -> None:
    path = f"/ai/sims/{service.iccid(2)}"
    forecast = service.read(f"{path}/usage-forecast", AssistantForecast, days=7)
    assert (forecast["quota_exhaustion_date"], forecast["total_predicted_mb"]) == ("2026-01-28", 10.5)
    assert forecast["predictions"][0] == {
        "date": "2026-01-11",
        "predicted_mb": 1.5,
        "lower_mb": 0.0002,
        "upper_mb": 3.0,
    }
    calm = service.read(f"{path}/anomaly-score", AssistantAnomaly)
    assert (calm["is_anomaly"], calm["anomaly_score"], calm["severity"]) == (False, 0.0, None)
    advice = service.read(f"{path}/quota-recommendation", AssistantRecommendation)
    assert (advice["recommended_action"], advice["estimated_savings"], advice["currency"]) == ("top_up", 1.0, "EUR")
    path = f"/ai/sims/{service.iccid(1)}"
    odd = service.read(f"{path}/anomaly-score", AssistantAnomaly)
    assert (odd["is_anomaly"], odd["severity"], odd["anomaly_types"]) == (True, "critical", ["spike", "sms_flood"])
    churn = service.read(f"{path}/churn-risk", AssistantChurn)
    assert (churn["churn_probability"], churn["risk_level"], churn["recommended_actions"]) == (0.5, "medium", ["call"])
    assert {forecast["mlflow_run"], advice["mlflow_run"], churn["mlflow_run"]} == {run_of("usage-forecaster")}


def test_a_ticket_is_classified_as_the_pipeline_said(service: Service) -> None:
    said = service.ours.post("/ai/tickets/case 1/classify")
    found = AssistantTicket.model_validate(said.json())
    assert (found.category, found.priority, found.needs_human) == ("quota_exhausted", "high", True)
    assert found.mlflow_run == run_of("usage-forecaster")
    assert service.ours.post("/ai/tickets/case 4/classify").status_code == 409
    assert service.ours.post("/ai/tickets/case 9/classify").status_code == 404
    assert service.stranger.post("/ai/tickets/case 1/classify").status_code == 401


def test_a_batch_gives_the_parts_asked_for_and_lists_what_is_unknown(service: Service) -> None:
    parts = ["state", "usage", "forecast", "exhaustion", "anomaly", "churn", "recommendation"]
    theirs, nobodys = service.iccid(1, "other"), "7000000000000000000"
    asked = [service.iccid(2), theirs, service.iccid(12), "89882806660000000029", nobodys, service.iccid(2)]
    wrong = service.ours.post("/v1/sims/batch", json={"iccids": asked})
    assert wrong.status_code == 422, "a wrong check digit"
    asked[3] = "89882806660000000028"  # SIM 2 again, with its check digit
    said = service.ours.post("/v1/sims/batch", json={"iccids": [*asked, service.iccid(1)], "include": parts})
    assert said.status_code == 200, said.text
    found = said.json()
    BatchAnswer.model_validate(found)
    assert found["unknown"] == [theirs, nobodys]
    assert [item["iccid"] for item in found["items"]] == [service.iccid(n) for n in (2, 12, 1)]
    second, last, first = found["items"]
    assert second["state"] == service.read(f"/v1/sims/{service.iccid(2)}")
    for item, n in ((first, 1), (second, 2)):
        end = service.read(f"/v1/sims/{service.iccid(n)}/exhaustion")
        del end["mlflow_run"]
        assert item["exhaustion"] == end
        assert list(item["exhaustion"]) == list(end)
    assert (second["usage"]["last_day"], second["forecast"]["next_7_days"]["bytes"]) == ("2026-01-10", 10_500_000)
    day = second["usage"]["of_last_day"]["bytes"]
    assert (second["usage"]["of_7_days"]["bytes"], second["usage"]["of_30_days"]["bytes"]) == (7 * day, 30 * day)
    assert (first["anomaly"]["score"], first["anomaly"]["severity"]) == (4.5, "critical")
    assert (first["anomaly"]["kinds"], second["anomaly"]["is_anomaly"]) == (["sms_flood", "spike"], False)
    assert (first["churn"]["p_90"], second["churn"]) == (0.5, None)
    assert (second["recommendation"]["action"], second["recommendation"]["as_of"]) == ("top_up", "2026-01-10")
    assert {part: last[part] is None for part in parts} == {part: part not in ("state", "exhaustion") for part in parts}
    only = service.ours.post("/v1/sims/batch", json={"iccids": [service.iccid(1)]}).json()
    assert list(only["items"][0]) == ["iccid", "state"]


def test_a_batch_has_its_limits(service: Service) -> None:
    many = [f"8988280666{n:09d}" for n in range(1, 1002)]
    assert service.ours.post("/v1/sims/batch", json={"iccids": many}).status_code == 422
    found = service.ours.post("/v1/sims/batch", json={"iccids": many[:1000]}).json()
    assert (len(found["items"]), len(found["unknown"])) == (12, 988)
    for body in (
        {"iccids": []},
        {"iccids": ["1"]},
        {"iccids": many[:1], "include": ["mood"]},
        {"iccids": many[:1], "x": 1},
    ):
        assert service.ours.post("/v1/sims/batch", json=body).status_code == 422, body
    assert (
        service.ours.post("/v1/sims/batch", content=b"{", headers={"Content-Type": "application/json"}).status_code
        == 400
    )
    assert service.stranger.post("/v1/sims/batch", json={"iccids": many[:1]}).status_code == 401


def test_a_whole_set_comes_in_each_format_with_the_same_rows(service: Service) -> None:
    for dataset, height, chosen in (
        ("forecasts", 330, {}),
        ("exhaustions", 12, {}),
        ("exhaustions", 1, {"label": "default-3"}),
        ("anomalies", 3, {}),
        ("anomalies", 1, {"from": "2026-01-11"}),
        ("churn-risks", 1, {}),
        ("recommendations", 5, {"as_of": "2026-01-09"}),
        ("usage", 330, {}),
        ("usage", 22, {"from": "2026-01-01", "to": "2026-01-02"}),
        ("churn-risks", 0, {"as_of": "2020-01-01"}),
    ):
        path = f"/v1/bulk/{dataset}"
        arrow = service.ours.get(path, params={"format": "arrow", **chosen})
        parquet = service.ours.get(path, params=chosen, headers={"Accept": "text/html, application/vnd.apache.parquet"})
        lines = service.ours.get(path, params=chosen)
        frame = pl.read_ipc_stream(arrow.content)
        assert (dataset, frame.height) == (dataset, height)
        assert frame.equals(pl.read_parquet(parquet.content))
        rows = [json.loads(line) for line in lines.text.splitlines()]
        assert [row["iccid"] for row in rows] == frame["iccid"].to_list()
        assert len(rows) == height
        assert all(row["iccid"].startswith("89") for row in rows)
        if rows and dataset not in ("anomalies", "usage"):
            assert {row["as_of"] for row in rows} == {lines.headers["x-as-of"]}
        types = [answer.headers["content-type"] for answer in (arrow, parquet, lines)]
        assert types == [bulk.MEDIA_TYPES[name] for name in ("arrow", "parquet", "ndjson")]


@pytest.mark.parametrize(
    ("query", "accept", "status"),
    [
        ("nothing", "*/*", 422),
        ("usage?as_of=2026-01-10", "*/*", 422),
        ("forecasts?from=2026-01-10", "*/*", 422),
        ("usage?from=2026-01-10&to=2026-01-09", "*/*", 422),
        ("usage?format=csv", "*/*", 422),
        ("usage", "text/html, image/png;q=0.5", 406),
        ("usage", "application/x-ndjson;q=0", 406),
        ("usage?format=arrow", "text/html", 200),
        ("usage", "text/html, */*;q=0.1", 200),
    ],
)
def test_what_cannot_be_streamed_is_a_problem(service: Service, query: str, accept: str, status: int) -> None:
    answer = service.ours.get(f"/v1/bulk/{query}", headers={"Accept": accept})
    assert answer.status_code == status
    assert service.stranger.get(f"/v1/bulk/{query}", headers={"Accept": accept}).status_code in (401, 422)


def test_a_stream_is_of_one_moment_and_one_that_breaks_off_has_no_end(service: Service) -> None:
    run = service.seeded.run
    days = "FROM core.sims, generate_series(timestamp '1600-01-01', timestamp '1990-01-01', '1 day') AS day"
    run(
        "INSERT INTO core.sim_usage (organization_id, sim_key, day, bytes, bytes_rx, sms_mt, sms_mo, known_at)"
        f" SELECT organization_id, sim_key, day, 1, 1, 0, 0, now() {days} WHERE iccid = '{service.iccid(11)}'"
    )
    old = "DELETE FROM core.sim_usage WHERE day < '1995-01-01'"
    path, plain = "/v1/bulk/usage?from=1500-01-01&to=1995-01-01", {"Accept-Encoding": "identity"}
    try:
        with (
            service.ours.stream("GET", path, headers=plain) as first,
            service.ours.stream("GET", path, headers=plain) as second,
        ):
            third = service.ours.get(path)
            assert (third.status_code, third.headers["retry-after"]) == (503, "30")
            assert service.read("/v1/sims")["items"], "other requests go on"
            pieces, rest = first.iter_raw(), second.iter_raw()
            begun = next(pieces)
            run(old)
            assert (begun + b"".join(pieces)).count(b"\n") == 142_446
            next(rest)
            run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY %' AND state = 'active'")
            with pytest.raises(httpx.RemoteProtocolError):
                list(rest)
        until = time.monotonic() + 10
        while (answer := service.ours.get(path)).status_code == 503 and time.monotonic() < until:
            time.sleep(0.05)
        assert (answer.status_code, answer.content) == (200, b""), "both places are free again"
    finally:
        run(old)


def test_models_have_a_champion_challengers_and_cards(service: Service) -> None:
    items = service.read("/v1/models", ModelList)["items"]
    assert [item["model_name"] for item in items] == ["anomaly-detector", "usage-forecaster"]
    champion = items[1]["champion"]
    assert (champion["model_version"], champion["metrics"], champion["decided_by"]) == (3, {"rmase": 0.8}, "training")
    assert champion["mlflow_run"] == run_of("usage-forecaster")
    assert champion["card"] == f"{MLFLOW}/#/models/usage-forecaster/versions/3"
    assert [row["model_version"] for row in items[1]["challengers"]] == [4]
    theirs = service.theirs.get("/v1/models").json()["items"][1]["champion"]
    assert theirs["card"] == f"{MLFLOW}/#/models/usage-forecaster-other/versions/3"
    whole = service.read("/v1/backtests", BacktestPage)["items"]
    assert [row["model_version"] for row in whole] == [4, 3, 2] * 2
    assert service.walk("/v1/backtests", limit=1) == whole
    assert [row["role"] for row in service.walk("/v1/backtests", limit=1, role="retired")] == ["retired"] * 2
    assert len(service.walk("/v1/backtests", model="usage-forecaster")) == 3


def test_freshness_says_age_and_grade_by_source(service: Service) -> None:
    found = service.read("/v1/freshness", Freshness)
    assert (found["as_of"], found["age_hours"]) == ("2026-01-10", 12.0)
    assert found["usage"] == [{"source": "call", "grade": "A", "sims": 11}]
    assert found["sources"] == [
        {
            "source": "tickets",
            "asked_at": None,
            "age_hours": None,
            "under_way_since": None,  # 1NCE has ended the call, and nothing will end this pass
            "gone_since": "2026-01-09T00:00:00Z",
        },
        {
            "source": "usage",
            "asked_at": "2026-01-11T03:00:00Z",
            "age_hours": 9.0,
            "under_way_since": None,
            "gone_since": None,
        },
    ]


def test_reports_are_listed_newest_first(service: Service) -> None:
    items = service.read("/v1/reports", ReportPage)["items"]
    assert [item["as_of"] for item in items] == ["2026-01-10", "2026-01-09"]
    assert service.walk("/v1/reports", limit=1) == items
    assert "as of 2026-01-09" in service.ours.get(items[1]["href"]).text
