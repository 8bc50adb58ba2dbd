"""What `simsight storage` says of tables, on whatever server."""

from __future__ import annotations

import json
from datetime import date

import psycopg
import pytest
from sqlalchemy import URL
from typer.testing import CliRunner

from pipelines.cli.app import app
from resources.database.migrations import storage_grade
from resources.database.server import driver_url
from services.storage import storage
from tests.sql.behind_views import put_behind_views
from tests.sql.test_big_tables import SEED

pytestmark = pytest.mark.timescaledb


@pytest.mark.parametrize("behind_views", [False, True])
def test_the_storage_report_tells_rows_room_chunks_and_days_of_each_table(
    database_url: URL, behind_views: bool
) -> None:
    with psycopg.connect(
        driver_url(database_url, "").render_as_string(hide_password=False), autocommit=True
    ) as connection:
        has_chunks = storage_grade(connection).timescaledb is not None
        # a chunk in TimescaleDB's catalog: as it was, and since 2.29
        for row in ({"schema_name": "core", "table_name": "sims"}, {"relid": "core.sims"}):
            told = connection.execute("SELECT ops.chunk_table(%s)::text", (json.dumps(row),)).fetchone()
            assert told == ("core.sims",)
        connection.execute(SEED)
        connection.execute("UPDATE pg_class SET reltuples = -1 WHERE oid = 'ops.channels'::regclass")
        if behind_views:
            put_behind_views(connection)
    rows = storage(database_url)
    assert [row["bytes"] for row in rows] == sorted((row["bytes"] for row in rows), reverse=True)
    found = {row["table"]: row for row in rows}
    place = "big" if behind_views else "core"
    usage, sims = found[f"{place}.sim_usage"], found["core.sims"]
    assert (usage["rows"], usage["oldest"], usage["newest"]) == (1600, date(2026, 1, 1), date(2026, 1, 20))
    assert (sims["rows"], sims["oldest"], sims["newest"], sims["chunks"]) == (80, None, None, None)
    assert usage["bytes"] > usage["index_bytes"] > 8192
    assert usage["chunks"] == (2 if has_chunks else None)
    assert usage["compressed_bytes"] is None
    assert found["ops.channels"]["rows"] is None, "nobody counted it yet"
    assert usage["ratio"] is None
    assert f"{place}.sim_events" in found
    assert {table.partition(".")[0] for table in found} <= {"raw", "core", "predictions", "ops", "big"}


def test_the_command_line_lists_tables(database_url: URL) -> None:
    environment = {"SIMSIGHT_DATABASE_URL": database_url.render_as_string(hide_password=False)}
    environment["SIMSIGHT_DAGSTER_DATABASE_URL"] = environment["SIMSIGHT_DATABASE_URL"]
    done = CliRunner().invoke(app, ["storage", "--json"], env=environment)
    assert done.exit_code == 0, done.output
    tables = {row["table"]: row for row in json.loads(done.stdout)}
    assert tables["core.organizations"]["bytes"] > 0
    done = CliRunner().invoke(app, ["storage"], env=environment)
    assert "core.organizations" in done.output
