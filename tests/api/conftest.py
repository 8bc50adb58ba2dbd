"""A database with two organizations, filled by plain SQL, and the service over it on a real port."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any

import httpx
import psycopg
import pytest
import uvicorn
from fastapi import FastAPI
from sqlalchemy import URL

from api.app import create_app
from api.server import BoundedHeads
from resources.database.server import driver_url
from resources.database.session import Database
from resources.ports import listen
from services.access.api_keys import SCOPES, create_key
from tests.conftest import LOCAL, administer, copy_database

# SIM n of `default` is 89...n and of `other` 99...n. The smaller n, the sooner it ends. n = 12 has no forecast.
SEED = """
INSERT INTO core.sims (organization_id, iccid, label, status, quota_status, quota_total, first_seen_at, changed_at)
SELECT o.organization_id, CASE o.slug WHEN 'default' THEN '8988280666' ELSE '9988280666' END || lpad(n::text, 9, '0'),
       o.slug || '-' || n, CASE WHEN n % 4 = 0 THEN 'Disabled' ELSE 'Enabled' END, 0, 123456789 - n, now(), now()
FROM core.organizations AS o, generate_series(1, 12) AS n;

INSERT INTO core.sim_usage (organization_id, sim_key, day, bytes, bytes_rx, sms_mt, sms_mo, known_at)
SELECT organization_id, sim_key, day, 1250000 + sim_key, 250000, 1, 2, day + interval '1 day'
FROM core.sims, generate_series(timestamp '2025-09-01', timestamp '2026-01-10', '1 day') AS day
WHERE NOT iccid LIKE '%12';
SELECT ops.add_up_days();

INSERT INTO predictions.scorings (organization_id, model_name, model_version, run_id, as_of, created_at)
SELECT organization_id, 'usage-forecaster', 3, 'run-' || slug || '-' || as_of, as_of, as_of + interval '30 hours'
FROM core.organizations, (VALUES (date '2026-01-09'), (date '2026-01-10')) AS days (as_of);

INSERT INTO predictions.usage_forecasts
    (organization_id, sim_key, scoring_id, as_of, day, mean, q025, q10, q50, q90, q975)
SELECT organization_id, sim_key, scoring_id, as_of, as_of + ahead, 1500000, 100, 200, 1000000, 3000000, 4000000
FROM predictions.scorings JOIN core.sims USING (organization_id), generate_series(1, 30) AS ahead
WHERE NOT iccid LIKE '%12';

INSERT INTO predictions.exhaustions (organization_id, sim_key, scoring_id, as_of, status, cause, p_7, p_14, p_30,
                                     p10_date, p50_date, p90_date, remaining, expires_on)
SELECT organization_id, sim_key, scoring_id, as_of,
       CASE WHEN n = 12 THEN 'not_enough_evidence' WHEN n = 1 THEN 'exhausted' ELSE 'ok' END,
       CASE WHEN n < 12 THEN 'volume' END,
       CASE WHEN n < 12 THEN p / 2 END, CASE WHEN n < 12 THEN p END, CASE WHEN n < 12 THEN p END,
       as_of + n, CASE WHEN n < 9 THEN as_of + 20 - n END, NULL, 5000000 - n, date '2030-01-01'
FROM predictions.scorings JOIN core.sims USING (organization_id),
     LATERAL (SELECT right(iccid, 3)::integer AS n) AS a,
     LATERAL (SELECT CASE WHEN n = 1 THEN 1 WHEN n < 4 THEN 1 / 3.0 + 0.1 WHEN n < 7 THEN 0.25 ELSE 0 END AS p) AS b;

INSERT INTO predictions.alerts (organization_id, sim_key, kind, severity, value, threshold, message, opened_as_of,
    opened_at,
                                seen_as_of, closed_as_of, closed_at, scoring_id)
SELECT organization_id, sim_key, kind, 'warning', 0.9, 0.5, label || ' ' || kind, date '2026-01-05', now(),
       date '2026-01-09', CASE WHEN kind = 'silent' THEN date '2026-01-10' END,
       CASE WHEN kind = 'silent' THEN now() END,
       CASE WHEN kind = 'exhaustion' THEN scoring_id END
FROM core.sims JOIN predictions.scorings USING (organization_id),
    (VALUES ('exhaustion'), ('quota_80'), ('silent')) AS k (kind)
WHERE as_of = date '2026-01-10' AND right(iccid, 2) IN ('01', '02', '03');

INSERT INTO predictions.reports (organization_id, as_of, html, created_at)
SELECT organization_id, as_of, '<!doctype html><style>p{color:red}</style><p>' || slug || ' as of ' || as_of || '</p>',
    now()
FROM core.organizations, (VALUES (date '2026-01-09'), (date '2026-01-10')) AS days (as_of);

INSERT INTO predictions.period_reports (organization_id, name, first_day, last_day, as_of, data_note, reading, made_at)
SELECT organization_id, slug || n, date '2026-01-04', date '2026-01-10', date '2026-01-10', '', slug || ' says', now()
FROM core.organizations, generate_series(1, 2) AS n ORDER BY organization_id, n;
INSERT INTO predictions.report_files (report_id, format, organization_id, file_name, content)
SELECT report_id, format, organization_id, name || '.' || format, convert_to(name || ' as ' || format, 'UTF8')
FROM predictions.period_reports, unnest(ARRAY['pdf', 'json']) AS format;

INSERT INTO core.sim_states (organization_id, sim_key, state, since, evidence, as_of, decided_by, decided_at)
SELECT organization_id, sim_key, CASE WHEN right(iccid, 2) < '03' THEN 'silent' ELSE 'active' END,
    date '2026-01-05', 'seeded',
       date '2026-01-10', 'state machine 1', now()
FROM core.sims WHERE right(iccid, 2) < '07';

INSERT INTO core.sim_lifecycle
    (organization_id, sim_key, occurred_on, kind, from_value, to_value, evidence, as_of, decided_by, decided_at)
SELECT organization_id, sim_key, date '2025-12-01' + n, kind, before, after, label || ' entry ' || n, date '2026-01-10',
       'state machine 1', timestamptz '2026-01-12 02:00Z'
FROM core.sims, (VALUES (0, 'state', NULL, 'activated'), (0, 'state', 'activated', 'active'),
    (9, 'country_change', 'Germany', 'Italy'), (20, 'top_up', NULL, 'data'), (35, 'state', 'active', 'silent')
) AS e (n, kind, before, after)
WHERE right(iccid, 2) < '03';

INSERT INTO core.orders (organization_id, order_number, order_type, ordered_at, products, iccids, changed_at)
SELECT organization_id, 7, 'ADDITIONAL_ORDER', '2026-01-08 12:00Z', '[]',
       ARRAY[CASE slug WHEN 'default' THEN '89' ELSE '99' END || '88280666000000077'], now()
FROM core.organizations;

INSERT INTO core.tickets (organization_id, case_id, subject, body, status, created_at, communications, changed_at)
SELECT organization_id, 'case ' || n, 'ticket ' || n, slug, CASE n WHEN 3 THEN 'CLOSED' ELSE 'OPEN' END,
    '2026-01-05Z', '[]', now()
FROM core.organizations, generate_series(1, CASE slug WHEN 'default' THEN 4 ELSE 5 END) AS n;

INSERT INTO predictions.ticket_classes (organization_id, case_id, scoring_id, category, confidence, priority, to_person,
    reasons, sim_key, ticket_changed_at, classified_at)
SELECT t.organization_id, case_id, scoring_id, CASE case_id WHEN 'case 1' THEN 'quota_exhausted' ELSE 'billing_question'
    END, 0.5 + right(case_id, 1)::integer / 10.0, CASE case_id WHEN 'case 1' THEN 'high' ELSE 'low' END,
    case_id = 'case 1', 'speaks of: volume', sim_key, t.changed_at, now()
FROM core.tickets AS t JOIN core.sims AS s USING (organization_id)
    JOIN predictions.scorings AS r USING (organization_id)
WHERE s.iccid LIKE '%01' AND r.as_of = '2026-01-10' AND case_id <> 'case 4' AND case_id <> 'case 5';

INSERT INTO predictions.churn_risks (organization_id, sim_key, as_of, scoring_id, p_30, p_60, p_90, p_180,
    p_dead_device, p_switched_off, p_swapped, p_exhausted, p_expired, any_end, risk_level, cause, reasons, action,
    worth, held_out, contributions)
SELECT organization_id, sim_key, r.as_of, scoring_id, 0.2, 0.3, 0.5, 0.6, 0.4, 0.1, 0, 0, 0, 0.5, 'medium',
    'dead_device', 'it is silent', 'call', 0, false,
    '[{"feature": "gap_share", "value": 0.8, "log_odds": 0.69},
      {"feature": "quality_30", "value": null, "log_odds": -0.4},
      {"feature": "device_type", "value": "tracker", "log_odds": 0.1}]'
FROM core.sims AS s JOIN predictions.scorings AS r USING (organization_id)
WHERE s.iccid LIKE '%01' AND r.as_of = '2026-01-10';
INSERT INTO predictions.quota_recommendations (organization_id, sim_key, as_of, scoring_id, action, month, cost_minor,
    spend_minor, saving_minor, saving_p10_minor, saving_p90_minor, outage_days, outage_p, probability, currency, reason,
    valid_until, rule_action)
SELECT organization_id, sim_key, as_of, scoring_id,
    CASE right(iccid, 1) WHEN '1' THEN 'nothing' WHEN '2' THEN 'top_up' ELSE 'extend' END,
    CASE right(iccid, 1) WHEN '1' THEN NULL ELSE 1 END, 100, 50, right(iccid, 1)::integer / 2 * 100, 0, 500, 0.5, 0.1,
    0.9, 'EUR', label || ' because', as_of + 30, 'keep'
FROM core.sims JOIN predictions.scorings USING (organization_id)
WHERE right(iccid, 2) IN ('01', '02', '03', '04', '05') AND as_of IN ('2026-01-09', '2026-01-10')
ORDER BY organization_id, as_of, iccid;
INSERT INTO predictions.quota_fleet (organization_id, as_of, state, note, run_id, content, computed_at)
SELECT organization_id, '2026-01-10', 'ok', slug, 'r', '{"currency": "EUR", "saving_minor": 700}', now()
FROM core.organizations;
INSERT INTO predictions.realized_savings (organization_id, month, scope, sims, predicted_minor, realized_minor,
    currency, computed_at)
SELECT organization_id, '2025-12-01', 'all', 2, 300, 250, 'EUR', now() FROM core.organizations;
"""


_copies = count()


@dataclass(frozen=True)
class Seeded:
    """The filled database and a key for each organization."""

    url: URL
    keys: dict[str, str]

    def iccid(self, n: int, organization: str = "default") -> str:
        return ("8988280666" if organization == "default" else "9988280666") + f"{n:09d}"

    def run(self, *statements: str, url: URL | None = None) -> list[tuple[Any, ...]]:
        """Run statements as the administrator and return the last one's rows."""
        text = driver_url(url or self.url, "").render_as_string(hide_password=False)
        with psycopg.connect(text, autocommit=True) as administrator:
            for statement in statements:
                cursor = administrator.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="session")
def seeded_template(postgres: URL, template: str) -> Iterator[Seeded]:
    """Two organizations with 12 SIMs each, predictions as of two days, alerts, reports and a key each: to be copied."""
    name = f"{template}_seeded"
    copy_database(postgres, template, name)
    keys = {}
    for organization in ("default", "other"):
        database = Database(postgres.set(database=name), organization)
        keys[organization] = create_key(database, "tests", now=datetime.now(UTC), valid_for=None)
        database.close()
    filled = Seeded(postgres.set(database=name), keys)
    filled.run(*SEED.split(";\n\n"))
    # TimescaleDB's background workers connect to every database they may, and a template in use cannot be copied
    administer(
        postgres,
        f"ALTER DATABASE {name} ALLOW_CONNECTIONS false",
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
    )
    yield filled
    administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def seeded(postgres: URL, seeded_template: Seeded) -> Iterator[Seeded]:
    """The filled database, to change at will (a copy)."""
    name = f"{seeded_template.url.database}_{next(_copies)}"
    copy_database(postgres, str(seeded_template.url.database), name)
    yield Seeded(postgres.set(database=name), seeded_template.keys)
    administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


Serve = Callable[[FastAPI], AbstractContextManager[httpx.Client]]


@pytest.fixture
def serve_app() -> Serve:
    """Serves an app on a free port of this machine and gives a client without a key."""
    return _served


@contextmanager
def _served(app: FastAPI, port: int = 0) -> Iterator[httpx.Client]:
    with listen("127.0.0.1", port) as listener:
        server = uvicorn.Server(uvicorn.Config(app, http=BoundedHeads, log_config=None, server_header=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=30, **LOCAL) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def stranger(seeded: Seeded, serve_app: Serve) -> Iterator[httpx.Client]:
    """Asks the service over the filled database without a key."""
    with serve_app(create_app(seeded.url, data_note="synthetic data")) as client:
        yield client


@pytest.fixture
def client(stranger: httpx.Client, seeded: Seeded) -> Iterator[httpx.Client]:
    """Asks the same service with the key of `default`."""
    key = {"X-API-Key": seeded.keys["default"]}
    with httpx.Client(base_url=stranger.base_url, headers=key, timeout=30, **LOCAL) as opened:
        yield opened


@pytest.fixture
def admin(stranger: httpx.Client, seeded: Any) -> Iterator[httpx.Client]:
    """Asks with a key of `default` of every scope."""
    database = Database(seeded.url, "default")
    key = create_key(database, "admin", now=datetime.now(UTC), valid_for=None, scopes=SCOPES)
    database.close()
    with httpx.Client(base_url=stranger.base_url, headers={"X-API-Key": key}, timeout=30, **LOCAL) as opened:
        yield opened


@pytest.fixture
def writer(stranger: httpx.Client, seeded: Any) -> Iterator[httpx.Client]:
    """Asks with a key of `default` that may write."""
    database = Database(seeded.url, "default")
    key = create_key(database, "ops", now=datetime.now(UTC), valid_for=None, scopes=("read", "alerts"))
    database.close()
    with httpx.Client(base_url=stranger.base_url, headers={"X-API-Key": key}, timeout=30, **LOCAL) as opened:
        yield opened
