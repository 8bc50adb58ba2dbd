"""/metrics: who may read it, what it says, and that rules and dashboards ask for nothing else. One service for all."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import URL

from api.app import Guards, create_app
from api.metrics import FIGURES, KEPT_SECONDS, MetricsSettings
from tests.api.conftest import Seeded, _served
from tests.conftest import administer, copy_database

ROOT = Path(__file__).parents[2]
TOKEN = "t" * 40
NEVER_ARCHIVED = {"simsight_wal_archived_timestamp_seconds"}  # the tests' server archives nothing
OF_A_REPLICA = {"simsight_replica_up", "simsight_replica_lag_seconds"}  # there is none (test_replica.py)
STATE = """
INSERT INTO ops.pipeline_watch SELECT organization_id, '2026-01-11 12:00Z', '2026-01-10', 30000, 2, 1,
    '{"ingest": [1, 1768046400], "score": [2, 1768043000]}' FROM core.organizations WHERE slug = 'default';
INSERT INTO ops.once_use SELECT organization_id, 500, 20, 3, 1, true, now()
FROM core.organizations WHERE slug = 'default';
INSERT INTO ops.run_failures SELECT organization_id, 'run', 'score', now(), 'no' FROM core.organizations;
INSERT INTO ops.once_calls SELECT organization_id, 'usage', 'v1', now(), NULL, now() FROM core.organizations;
INSERT INTO ops.sweeps (organization_id, source, first_day, last_day, started_at, finished_at)
SELECT organization_id, 'usage', '2026-01-10', '2026-01-10', t, t + interval '5 minutes'
FROM core.organizations, (VALUES (timestamptz '2026-01-10Z'), ('2026-01-11Z')) AS s (t);
UPDATE core.organizations SET paused_at = NULL;
INSERT INTO ops.incidents (organization_id, kind, opened_at, message, details)
SELECT organization_id, 'stream_outage', now(), 'silent', '{}' FROM core.organizations WHERE slug = 'other';
INSERT INTO ops.streams SELECT 'stream_00' || organization_id, organization_id, 's', 'x', now(), NULL
FROM core.organizations;
INSERT INTO raw.stream_batches (organization_id, stream_id, body_sha256, body, records, received_at)
SELECT organization_id, stream_id, sha256('x'), '[]', 0, '2026-01-11Z' FROM ops.streams;
INSERT INTO predictions.forecast_scores
SELECT organization_id, day, '1-7', 'usage-forecaster', 3, 10, n, error, 2, NULL, coverage, 0.9, 0, 0.5, now()
FROM core.organizations, (VALUES
    (date '2026-01-05', 1, 100.0, 0.0), ('2026-01-09', 10, 1.0, 0.8), ('2026-01-10', 30, 3.0, 0.4)
) AS s (day, n, error, coverage) WHERE slug = 'default';
INSERT INTO predictions.backtests
    (organization_id, model_name, model_version, run_id, as_of, role, metrics, created_at)
SELECT organization_id, 'usage-forecaster', 3, 'r', '2026-01-01', 'champion', '{}', '2026-01-02Z'
FROM core.organizations;
INSERT INTO ops.channels (organization_id, name, kind, url_variable, secret_variable, min_severity, direct, resolved,
    time_zone, after_crash, created_at, parked_at, tells_from)
SELECT organization_id, 'ops', 'webhook', 'HOOK_URL', 'HOOK_SECRET', 'info', true, true, 'UTC', 'park', now(), now(),
    now()
FROM core.organizations;
INSERT INTO ops.notifications
    (organization_id, channel_id, delivery_key, stage, severity, created_at, state, next_attempt_at)
SELECT organization_id, channel_id, gen_random_uuid(), 'opened', 'info', now() - s.ago, s.state,
    now() - interval '1 minute'
FROM ops.channels,
    (VALUES ('dead', interval '1 hour'), ('dead', '2 days'), ('pending', '2 days'), ('pending', '1 day')) AS s (state,
        ago);
INSERT INTO ops.quarantine (organization_id, source, record_key, reason, record, first_seen_at, last_seen_at)
SELECT organization_id, 'usage', 'k', 'bad', '{}', now(), now() FROM core.organizations;
INSERT INTO ops.backups (name, kind, started_at, finished_at, bytes, verified, removed_at) VALUES
    ('a', 'full', '2026-01-10Z', '2026-01-10Z', 7, true, NULL),
    ('b', 'full', '2026-01-11Z', '2026-01-11Z', 7, true, NULL),
    ('c', 'full', '2026-01-12Z', '2026-01-12Z', 7, false, NULL),
    ('d', 'full', '2026-01-13Z', '2026-01-13Z', 7, true, '2026-01-14Z')
"""


@dataclass(frozen=True)
class Service:
    """The service whose figures are read, with a clock that the test moves."""

    seeded: Seeded
    client: httpx.Client
    clock: list[float]

    def read(self) -> str:
        """The figures as of now, as text."""
        self.clock[0] += KEPT_SECONDS
        answer = self.client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("text/plain; version=")
        return answer.text

    def values(self) -> dict[tuple[str, ...], float]:
        """Each figure by its name, its organization if it has one, and the values of its other labels."""
        return {
            (sample.name, *(value for _, value in sorted(sample.labels.items(), key=_organization_first))): sample.value
            for family in text_string_to_metric_families(self.read())
            for sample in family.samples
        }


def _organization_first(label: tuple[str, str]) -> bool:
    return label[0] != "organization"


@pytest.fixture(scope="module")
def service(postgres: URL, seeded_template: Seeded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    name = f"metrics_{os.getpid()}"
    copy_database(postgres, str(seeded_template.url.database), name)
    seeded = Seeded(postgres.set(database=name), seeded_template.keys)
    seeded.run(*STATE.split(";\n"))
    clock = [0.0]
    measured = MetricsSettings(TOKEN, tmp_path_factory.mktemp("home"), lambda: clock[0])
    app = create_app(seeded.url, measured=measured, guards=Guards(key_limit="5/minute"))
    with _served(app) as client:
        yield Service(seeded, client, clock)
    administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


def test_only_who_shows_the_token_reads_it(service: Service) -> None:
    for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}, {"X-API-Key": TOKEN}):
        answer = service.client.get("/metrics", headers=header)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert "simsight_" not in answer.text
    assert "/metrics" not in service.client.get("/openapi.json").json()["paths"]


def test_without_a_token_there_is_none(service: Service) -> None:
    with _served(create_app(service.seeded.url)) as client:
        assert client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 404


def test_every_figure_of_the_database_is_told_by_organization(service: Service) -> None:
    found = service.values()

    names = {name for name, *_ in found}
    assert {figure.name for figure in FIGURES.values()} - names == NEVER_ARCHIVED
    assert found["simsight_database_up",] == 1
    assert found["simsight_sims", "default"] == 12
    assert found["simsight_usage_newest_timestamp_seconds", "default"] == 1768089600  # the end of 2026-01-10
    assert found["simsight_once_budget_requests_per_hour", "default"] == 30_000
    assert [found["simsight_checks_failed", "default", blocking] for blocking in ("true", "false")] == [1, 2]
    assert found["simsight_runs_under_way", "default", "score"] == 2
    assert found["simsight_run_oldest_timestamp_seconds", "default", "ingest"] == 1768046400
    assert found["simsight_ingest_finished_timestamp_seconds", "other", "usage"] == 1768089600 + 300
    assert found["simsight_once_throttled_total", "default"] == 3
    assert ("simsight_once_throttled_total", "other") not in found
    assert found["simsight_once_breaker_open", "default"] == 1
    assert found["simsight_incidents_open", "other", "stream_outage"] == 1
    # of the last three days with scores, by how many forecasts they rest on
    assert found["simsight_forecast_error_ratio", "default"] == pytest.approx((10 * 1 + 30 * 3) / (40 * 2))
    assert found["simsight_forecast_coverage_ratio", "default"] == pytest.approx((10 * 0.8 + 30 * 0.4) / 40)
    assert found["simsight_alerts_open", "default", "warning"] == 6
    assert found["simsight_messages_undelivered_last_day", "default", "dead"] == 1
    assert found["simsight_backup_timestamp_seconds", "full"] == 1768089600
    assert found["simsight_disk_bytes",] > found["simsight_disk_free_bytes",] > 0
    assert found["simsight_database_connections",] >= 1


def test_requests_are_counted_by_route_and_never_by_what_they_ask_for(service: Service) -> None:
    key = {"X-API-Key": service.seeded.keys["default"]}
    before = service.values()
    for path, header, status in (
        (f"/v1/sims/{service.seeded.iccid(1)}", key, 200),
        (f"/v1/sims/{service.seeded.iccid(99)}", key, 404),
        ("/v1/sims", {"X-API-Key": "wrong"}, 401),
        ("/nowhere/8988280666000000001", {}, 404),
        *[("/v1/alerts", key, status) for status in (200, 200, 200, 429)],
    ):
        answer = service.client.get(path, headers=header)
        assert (path, answer.status_code) == (path, status), answer.text
    after = service.values()

    def grown(*labels: str, name: str = "simsight_http_request_seconds_count") -> float:
        return after.get((name, *labels), 0) - before.get((name, *labels), 0)

    assert grown("GET", "/v1/sims/{iccid}", "2xx") == 1
    assert grown("GET", "/v1/sims/{iccid}", "4xx") == 1
    assert grown("GET", "/v1/sims", "4xx") == 1
    assert grown("GET", "/v1/alerts", "2xx") == 3
    assert grown("GET", "other", "4xx") == 2
    assert grown(name="simsight_http_keys_refused_total") == 1
    assert grown(name="simsight_http_requests_limited_total") == 1
    assert after["simsight_http_requests_under_way",] == 1  # that which reads them


def test_no_sim_no_key_and_no_channel_is_in_it(service: Service) -> None:
    text = service.read()
    for word in ("8988280666", "9988280666", "default-1", "HOOK_URL", TOKEN, *service.seeded.keys.values()):
        assert word not in text, word


def test_the_database_is_asked_once_in_some_seconds_and_what_the_service_counts_is_told_without_it(
    service: Service,
) -> None:
    token = {"Authorization": f"Bearer {TOKEN}"}
    first = service.values()
    service.seeded.run("UPDATE ops.once_use SET throttled = 9")
    kept = service.client.get("/metrics", headers=token).text
    assert (
        f'simsight_once_throttled_total{{organization="default"}} {first["simsight_once_throttled_total", "default"]}'
        in kept
    )
    assert service.values()["simsight_once_throttled_total", "default"] == 9

    service.seeded.run("REVOKE EXECUTE ON FUNCTION ops.metrics() FROM simsight_api")
    try:
        away = service.values()
    finally:
        service.seeded.run("GRANT EXECUTE ON FUNCTION ops.metrics() TO simsight_api")
    assert away["simsight_database_up",] == 0
    assert ("simsight_sims", "default") not in away
    assert away["simsight_http_request_seconds_count", "GET", "/metrics", "2xx"] > 1


RULES = yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text())
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"] if "alert" in rule]
RECORDS = {rule["record"] for group in RULES["groups"] for rule in group["rules"] if "record" in rule}
BOARDS = {path.stem: json.loads(path.read_text()) for path in (ROOT / "deploy/grafana/dashboards").glob("*.json")}


def test_rules_and_dashboards_ask_for_nothing_that_is_not_told(service: Service) -> None:
    expressions = {rule.get("alert", rule.get("record")): rule["expr"] for g in RULES["groups"] for rule in g["rules"]}
    for name, board in BOARDS.items():
        for panel in board["panels"]:
            for target in panel["targets"]:
                expressions[f"{name}: {panel['title']} {target['refId']}"] = target["expr"]
    told: dict[str, set[str]] = {name: set() for name in (*NEVER_ARCHIVED, *OF_A_REPLICA, *RECORDS)}
    for family in text_string_to_metric_families(service.read()):
        for sample in family.samples:
            told.setdefault(sample.name, set()).update(sample.labels)

    asked = set()
    for where, expression in expressions.items():
        for name, _, matchers in re.findall(r"\b(simsight[\w:]+)(\{([^}]*)\})?", expression):
            assert name in told, f"{where}: {name}"
            asked.add(name)
            for label in re.findall(r"(\w+) ?=", matchers):
                assert label in told[name], f"{where}: {name} has no label {label}"

    shown = {re.sub("_(bucket|count|sum)$", "", name) for name in asked}
    everything = {re.sub("_(bucket|count|sum)$", "", name) for name in told}
    assert everything - shown == set(), "no rule and no dashboard shows these"


def test_every_alert_says_how_bad_it_is_and_what_to_do_and_is_tried() -> None:
    runbook = (ROOT / "docs/runbook.md").read_text()
    anchors = {title.lower() for title in re.findall(r"^### (\w+)$", runbook, re.MULTILINE)}
    tried = yaml.safe_load((ROOT / "deploy/prometheus/rules_test.yml").read_text())["tests"]
    fired = {check["alertname"] for test in tried for check in test["alert_rule_test"] if check["exp_alerts"]}

    names = [rule["alert"] for rule in ALERTS]
    assert len(names) == len(set(names)) >= 19
    for rule in ALERTS:
        assert rule["labels"]["severity"] in ("critical", "warning", "none"), rule["alert"]
        assert re.fullmatch(r"\d+[mh]", rule["for"]), rule["alert"]
        assert len(rule["annotations"]["summary"]) > 10, rule["alert"]
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"
    assert anchors == {name.lower() for name in names}
    assert fired == set(names)


def test_dashboards_have_fixed_names_and_the_data_source_that_is_provided() -> None:
    sources = yaml.safe_load((ROOT / "deploy/grafana/provisioning/datasources/datasources.yml").read_text())
    uids = {source["uid"] for source in sources["datasources"]}

    assert {name: board["uid"] for name, board in BOARDS.items()} == {
        name: f"simsight-{name}" for name in ("api", "fleet", "models", "pipeline")
    }
    for name, board in BOARDS.items():
        panels = board["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels) > 5, name
        cells = [
            (x, y)
            for p in panels
            for x in range(p["gridPos"]["x"], p["gridPos"]["x"] + p["gridPos"]["w"])
            for y in range(p["gridPos"]["y"], p["gridPos"]["y"] + p["gridPos"]["h"])
        ]
        assert len(cells) == len(set(cells)), f"{name}: panels overlap"
        assert max(x for x, _ in cells) < 24, name
        for panel in panels:
            assert panel["title"], name
            assert {panel["datasource"]["uid"], *(t["datasource"]["uid"] for t in panel["targets"])} <= uids


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian's prometheus)")
def test_promtool_takes_the_rules_and_the_settings(tmp_path: Path) -> None:
    folder = tmp_path / "prometheus"
    shutil.copytree(ROOT / "deploy/prometheus", folder)
    token = folder / "metrics_token"
    token.write_text(TOKEN)
    settings = (folder / "prometheus.yml").read_text()
    (folder / "prometheus.yml").write_text(settings.replace("/run/secrets/metrics_token", str(token)))
    for command in (("check", "config", "prometheus.yml"), ("test", "rules", "rules_test.yml")):
        done = subprocess.run(["promtool", *command], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
