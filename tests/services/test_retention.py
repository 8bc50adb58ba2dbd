"""Days that are kept long enough are deleted, of one organization and no other, on whatever server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest
from sqlalchemy import URL

from resources.database.migrations import storage_grade
from resources.database.server import driver_url
from resources.database.session import staged_columns
from resources.runtime import Runtime
from resources.setting_types import LONGEST_HISTORY_DAYS
from resources.settings import SettingsError, load_settings
from services import retention
from services.inputs import HISTORY_DAYS
from services.retention import purge_days
from tests.fleet import settings_for
from tests.sql.behind_views import put_behind_views

pytestmark = pytest.mark.timescaledb

NOW = datetime(2026, 3, 1, 6, tzinfo=UTC)
# both organizations have days of four months beginning with 2023-11-01, and a day of 2026
SEED = """
INSERT INTO core.sims (organization_id, iccid, first_seen_at, changed_at)
SELECT organization_id, lpad(organization_id::text || n, 19, '8'), now(), now()
FROM core.organizations, generate_series(1, 3) AS n;
CREATE TEMP TABLE days AS
SELECT organization_id, sim_key, d::date AS day FROM core.sims,
    (SELECT generate_series('2023-11-01', '2024-02-29', '1 day'::interval) UNION ALL SELECT '2026-02-01') AS x (d);
INSERT INTO core.sim_usage (organization_id, sim_key, day, bytes, known_at)
SELECT organization_id, sim_key, day, 5, day FROM days;
INSERT INTO core.sim_usage_replaced (organization_id, sim_key, day, bytes, known_from, known_to)
SELECT organization_id, sim_key, day, 5, day, day FROM days;
INSERT INTO core.sim_quota (organization_id, sim_key, kind, day, observed_at, amount_left)
SELECT organization_id, sim_key, 'data', day, day, 5 FROM days;
INSERT INTO core.sim_events (organization_id, sim_key, occurred_at, event_type)
SELECT organization_id, sim_key, day::timestamp AT TIME ZONE 'UTC' + interval '23 hours', 'x' FROM days;
INSERT INTO core.sim_sms (organization_id, sim_key, sms_id, submitted_at)
SELECT organization_id, sim_key, day - '2020-01-01'::date, day::timestamp AT TIME ZONE 'UTC' FROM days;
INSERT INTO predictions.scorings (organization_id, model_name, model_version, run_id, as_of, created_at)
SELECT organization_id, 'm', 1, 'r', '2024-01-20', now() FROM core.organizations;
INSERT INTO predictions.usage_forecasts
    (organization_id, sim_key, as_of, day, scoring_id, mean, q025, q10, q50, q90, q975)
SELECT organization_id, sim_key, day, day + 1, 1, 1, 1, 1, 1, 1, 1 FROM days;
"""
DAYS = {
    "core.sim_usage": "day",
    "core.sim_usage_replaced": "day",
    "core.sim_quota": "day",
    "core.sim_events": "occurred_at",
    "core.sim_sms": "submitted_at",
    "predictions.usage_forecasts": "as_of",
}
TOTALS = (
    "SELECT organization_id, day, sims, active_sims, bytes, sms FROM core.fleet_days_v1 ORDER BY organization_id, day"
)
WHOLE = 3 * 122  # rows of an organization in each table


@pytest.fixture
def admin(database_url: URL, monkeypatch: pytest.MonkeyPatch) -> Iterator[psycopg.Connection[Any]]:
    monkeypatch.setattr(retention, "BATCH_ROWS", 50)
    address = driver_url(database_url, "").render_as_string(hide_password=False)
    # days are those of UTC whatever the session's time zone
    with psycopg.connect(address, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE {name} SET timezone = 'America/Los_Angeles'".encode())
        connection.execute("SET timezone = 'UTC'")
        connection.execute(SEED)
        connection.execute("SELECT ops.add_up_days()")
        yield connection


def purge(url: URL, home: Path, organization: str, **more: Any) -> dict[str, int]:
    with Runtime(settings_for(url, home, "http://127.0.0.1:9", NOW, organization=organization, **more)) as runtime:
        return purge_days(runtime)


def rows(admin: psycopg.Connection[Any], slug: str) -> dict[str, tuple[int, str]]:
    """How many rows an organization has in each table, and the oldest day but for that of 2026."""
    found = {}
    for table, column in DAYS.items():
        statement = (
            f"SELECT count(*), min({column})::date::text FROM {table} JOIN core.organizations USING (organization_id)"
            " WHERE slug = %s"
        )
        found[table] = admin.execute(statement.encode(), (slug,)).fetchall()[0]
    return found


def chunks(admin: psycopg.Connection[Any]) -> int:
    if storage_grade(admin).timescaledb is None:
        return 0
    row = admin.execute(
        "SELECT count(*) FROM timescaledb_information.chunks WHERE hypertable_name = 'sim_usage'"
    ).fetchone()
    return int(row[0]) if row else 0


def test_by_default_nothing_is_deleted(admin: psycopg.Connection[Any], database_url: URL, tmp_path: Path) -> None:
    assert purge(database_url, tmp_path, "default") == {}
    assert set(rows(admin, "default").values()) == {(WHOLE, "2023-11-01")}


@pytest.mark.parametrize("behind_views", [False, True])
def test_old_days_of_one_organization_go_and_the_other_keeps_its_own(
    admin: psycopg.Connection[Any], database_url: URL, tmp_path: Path, behind_views: bool
) -> None:
    if behind_views:
        put_behind_views(admin)
    has_chunks, before = storage_grade(admin).timescaledb is not None, chunks(admin)
    done = purge(database_url, tmp_path, "default", usage_days=760)  # before 2024-01-31
    assert rows(admin, "other") == dict.fromkeys(DAYS, (WHOLE, "2023-11-01"))
    ours = rows(admin, "default")
    place = "big" if behind_views else "core"
    assert done[f"{place}.sim_usage"] == WHOLE - ours["core.sim_usage"][0]
    assert done["core.sim_sms"] == 3 * 91
    assert ours["core.sim_sms"] == ours["core.sim_usage_replaced"] == (3 * 31, "2024-01-31")
    for table in ("core.sim_usage", "core.sim_quota", "core.sim_events"):
        # whole chunks: what shares one with a later day stays
        kept, oldest = ours[table]
        assert (3 * 31 < kept <= 3 * 61 and "2024-01-01" < oldest < "2024-01-31") if has_chunks else kept == 3 * 31
    assert ours["predictions.usage_forecasts"] == (WHOLE, "2023-11-01"), "each setting is about its own tables"
    assert chunks(admin) == before, "the other organization has rows in them"
    assert purge(database_url, tmp_path, "default", usage_days=760) == {}

    purge(database_url, tmp_path, "other", usage_days=760, prediction_days=400)
    theirs = rows(admin, "other")
    assert theirs.pop("predictions.usage_forecasts") == (3, "2026-02-01")
    assert theirs.items() <= ours.items()
    assert rows(admin, "default") == ours
    if has_chunks:
        assert 0 < chunks(admin) < before


def test_what_the_fleet_used_a_day_stays_and_what_comes_for_such_a_day_again_is_not_added(
    admin: psycopg.Connection[Any], database_url: URL, tmp_path: Path
) -> None:
    totals = admin.execute(TOTALS).fetchall()
    assert len(totals) == 2 * 122
    purge(database_url, tmp_path, "default", usage_days=760)
    assert admin.execute(TOTALS).fetchall() == totals
    key = admin.execute("SELECT min(sim_key) FROM core.sims WHERE organization_id = 1").fetchall()[0][0]
    days = (date(2023, 11, 2), date(2024, 2, 2))  # deleted, and kept with another value
    rows_again = pl.DataFrame(
        [
            {"sim_key": key, "day": day, "bytes": 7, "known_at": NOW, "source": "call", "grade": "A"}
            | dict.fromkeys(("bytes_rx", "sms_mt", "sms_mo", "spread_from", "spread_to", "sms_unsplit"))
            for day in days
        ],
        schema_overrides={"sim_key": pl.Int32},
    ).select(list(staged_columns("merge_usage")))
    with (
        Runtime(settings_for(database_url, tmp_path, "http://127.0.0.1:9", NOW)) as runtime,
        runtime.database.transaction() as transaction,
    ):
        merged = transaction.merge("merge_usage", rows_again)
    assert merged.new + merged.changed == 2
    changed = [row for row in admin.execute(TOTALS).fetchall() if row not in totals]
    assert changed == [(1, days[1], 3, 3, 17, 0)]


def test_a_history_that_models_read_is_not_to_be_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert LONGEST_HISTORY_DAYS == HISTORY_DAYS
    monkeypatch.setenv("SIMSIGHT_USAGE_DAYS", "365")
    with pytest.raises(SettingsError, match=r"SIMSIGHT_USAGE_DAYS: .*must be 730 or more: models read"):
        load_settings()
    monkeypatch.setenv("SIMSIGHT_USAGE_DAYS", "730")
    assert load_settings().usage_days == 730
    monkeypatch.setenv("SIMSIGHT_PREDICTION_DAYS", "99")
    with pytest.raises(SettingsError, match="must be 100 or more"):
        load_settings()
