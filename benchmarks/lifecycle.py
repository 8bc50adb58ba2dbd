"""How long an evaluation of the SIM lifecycle takes over a whole fleet: the first one, the same day again, and the next
day.

    python -m benchmarks.lifecycle [--sims 100000] [--days 60] [--database-url postgresql://...]

Daily usage, ten network events a SIM, a quota and a connectivity row on each of the last three days, all synthetic and
made by SQL. The time is that of the asset's function: reading, deriving, writing. The memory is the most this process
held. SIMSIGHT_BLOCK_SIMS is the size of a block. Uses a database of its own, which it drops.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import psycopg
from pydantic import SecretStr

from benchmarks.ingest import _text, server
from resources.database.migrations import ensure_organization, migrate, storage_grade
from resources.runtime import Runtime
from resources.settings import Settings
from services.lifecycle import evaluate_lifecycle

TODAY = date(2026, 6, 1)
FILL = """
INSERT INTO core.sims (organization_id, iccid, status, activated_at, quota_status, first_seen_at, changed_at)
SELECT 1, lpad(n::text, 19, '0'), CASE WHEN n %% 50 = 0 THEN 'Disabled' ELSE 'Enabled' END, '2025-01-01Z', 0,
    '2025-01-01Z',
       '2026-05-20Z'
FROM generate_series(1, %(sims)s) AS n;
INSERT INTO core.sim_usage (organization_id, sim_key, day, bytes, bytes_rx, sms_mt, sms_mo, known_at)
SELECT 1, n, d::date, CASE WHEN n %% 20 = 0 AND d > '2026-05-10' THEN 0 ELSE 150000 END, 50000 * (n %% 20 >
    0)::integer, 0, 0, d
FROM generate_series(1, %(sims)s) AS n, generate_series(%(first)s::date, %(last)s::date, interval '1 day') AS d;
INSERT INTO core.sim_events (organization_id, sim_key, occurred_at, event_type, imei, country, operator)
SELECT 1, n, %(last)s::date - e * interval '5 days' + interval '3 hours', 'Create PDP Context', lpad(n::text, 14, '0')
    || '00',
       CASE WHEN n %% 30 = 0 AND e %% 3 = 0 THEN 'Austria' ELSE 'Germany' END, 'A1'
FROM generate_series(1, %(sims)s) AS n, generate_series(0, 9) AS e WHERE n %% 20 > 0;
INSERT INTO core.sim_quota (organization_id, sim_key, kind, day, observed_at, amount_left, amount_total, expires_at)
SELECT 1, n, 'data', d::date, d + interval '1 hour', CASE WHEN n %% 40 = 1 THEN -5 ELSE 300000000 END, 500000000,
    '2034-01-01Z'
FROM generate_series(1, %(sims)s) AS n, generate_series(%(last)s::date - 1, %(last)s::date + 1, interval '1 day') AS d;
INSERT INTO core.sim_connectivity (organization_id, sim_key, day, observed_at, status, located_at)
SELECT 1, n, d::date, d + interval '1 hour', 'OFFLINE', CASE WHEN n %% 20 > 0 THEN d END
FROM generate_series(1, %(sims)s) AS n, generate_series(%(last)s::date - 1, %(last)s::date + 1, interval '1 day') AS d;
INSERT INTO ops.polls (organization_id, sim_key, source, sweep_id, polled_at, covered_to)
SELECT 1, n, s, 1, %(last)s::date + interval '30 hours', CASE WHEN s = 'usage' THEN %(last)s::date + 1 END
FROM generate_series(1, %(sims)s) AS n, unnest(ARRAY['usage', 'quota', 'status', 'events']) AS s
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sims", type=int, default=100_000)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--database-url", help="a server where databases can be made")
    arguments = parser.parse_args()
    as_of = TODAY - timedelta(days=3)
    span = {"sims": arguments.sims, "first": as_of - timedelta(days=arguments.days - 1), "last": as_of}
    with server(arguments.database_url) as url, tempfile.TemporaryDirectory() as home:
        migrate(url)
        ensure_organization(url, "default")
        with psycopg.connect(_text(url), autocommit=True) as connection:
            print(f"{arguments.sims} SIMs, {arguments.days} days, {storage_grade(connection).name}")
            for statement in FILL.split(";\n"):
                psycopg.ClientCursor(connection).execute(statement.encode(), span)
            connection.execute("VACUUM ANALYZE")
        for what, day in (("first", as_of), ("the same day again", as_of), ("the next day", as_of + timedelta(days=1))):
            now = datetime(day.year, day.month, day.day, 2, tzinfo=UTC) + timedelta(days=2)
            settings = Settings(home=Path(home), now=now, database_url=SecretStr(_text(url)), _env_file=None)
            with Runtime(settings) as runtime:
                began = time.perf_counter()
                said = evaluate_lifecycle(runtime, day)
                took = time.perf_counter() - began
            print(
                f"{what}: {took:.1f} s, {said['states new']} states new, {said['states changed']} changed, "
                f"{said['history entries new']} entries, {said['transitions by kind']}, "
                f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB so far"
            )


if __name__ == "__main__":
    main()
