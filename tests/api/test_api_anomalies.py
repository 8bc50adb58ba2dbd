"""Anomalies and incidents over real HTTP: filtered, page by page, and those of the own organization only."""

from __future__ import annotations

from typing import Any

import httpx
import psycopg
import pytest

from resources.database.server import driver_url
from tests.api.test_api_routes import walk

SEED = """
INSERT INTO predictions.incidents (organization_id, kind, title, scope, first_day, last_day, severity, sims,
    model_version, created_at, updated_at)
SELECT organization_id, 'flapping', slug || ' flaps', '{"device_type": "35000001"}',
       '2026-01-08', '2026-01-10', 'critical', 5, 2,
       '2026-01-11T02:00Z', '2026-01-11T02:00Z' FROM core.organizations;
INSERT INTO predictions.anomalies (organization_id, sim_key, day, kind, score, severity, reasons, value, expected,
    unit, first_day, incident_id,
                                   model_version, as_of, detected_at, live)
SELECT s.organization_id, s.sim_key, date '2026-01-10',
    CASE WHEN right(s.iccid, 3)::integer < 6 THEN 'flapping' ELSE 'spike' END, 4.5,
       'warning', s.label || ' is odd', 24, 3, 'sessions', '2026-01-09',
       CASE WHEN right(s.iccid, 3)::integer < 6 THEN i.incident_id END, 2, '2026-01-10', '2026-01-12T02:00Z', false
FROM core.sims AS s JOIN predictions.incidents AS i USING (organization_id) ORDER BY s.iccid
"""


@pytest.fixture
def odd(client: httpx.Client, seeded: Any) -> Any:
    with psycopg.connect(driver_url(seeded.url, "").render_as_string(hide_password=False), autocommit=True) as admin:
        admin.execute(SEED.encode())
    return seeded


def test_anomalies_come_in_pages_with_the_reason_and_can_be_chosen(client: httpx.Client, odd: Any) -> None:
    whole = walk(client, "/v1/anomalies")
    assert [item["iccid"] for item in whole] == [odd.iccid(n) for n in range(1, 13)]
    assert walk(client, "/v1/anomalies", limit=5) == whole
    assert [item["iccid"] for item in walk(client, "/v1/anomalies", kind="spike", limit=2)] == [
        odd.iccid(n) for n in range(6, 13)
    ]
    assert walk(client, "/v1/anomalies", iccid=odd.iccid(3)) == [whole[2]]
    assert walk(client, "/v1/anomalies", day="2026-01-09") == []
    assert walk(client, "/v1/anomalies", severity="critical") == []
    first = whole[0] | {"anomaly_id": 0, "incident_id": 0}
    assert first == {
        "anomaly_id": 0,
        "iccid": odd.iccid(1),
        "label": "default-1",
        "day": "2026-01-10",
        "kind": "flapping",
        "score": 4.5,
        "severity": "warning",
        "reasons": "default-1 is odd",
        "value": 24,
        "expected": 3,
        "unit": "sessions",
        "first_day": "2026-01-09",
        "incident_id": 0,
        "model_version": 2,
        "as_of": "2026-01-10",
        "detected_at": "2026-01-12T02:00:00Z",
        "live": False,
    }
    assert client.get("/v1/anomalies", params={"kind": "odd"}).status_code == 422


def test_an_incident_names_its_scope_and_its_members_are_anomalies(client: httpx.Client, odd: Any) -> None:
    (incident,) = walk(client, "/v1/incidents")
    assert (incident["title"], incident["scope"], incident["sims"]) == ("default flaps", {"device_type": "35000001"}, 5)
    members = walk(client, "/v1/anomalies", incident=incident["incident_id"])
    assert [item["iccid"] for item in members] == [odd.iccid(n) for n in range(1, 6)]
    assert walk(client, "/v1/incidents", since="2026-01-11") == []
