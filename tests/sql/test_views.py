"""The files of sql/views on a real server: the views the migrations made, applied when they changed and only then."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from graphlib import CycleError
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import URL
from typer.testing import CliRunner

from pipelines.cli.app import app
from resources.database import catalog
from resources.database.migrations import MigrationError, is_current, migrate, pending_views
from resources.database.server import driver_url
from resources.runtime import Runtime
from resources.settings import Settings
from sql import ViewDefinition, in_order_of_use, view_definitions

LAST_WITH_VIEWS = 24  # the last migration before views had files
# since usage has several sources, a SIM shows what was seen of it last, sums and units have names, and big tables may
# stand elsewhere
CHANGED_SINCE = {
    "core.sims_v1",
    "core.sim_events_v1",
    "core.sim_quota_v1",
    "core.sim_usage_corrections_v1",
    "core.sim_usage_v1",
    "core.sim_usage_early_v1",
    "predictions.aggregate_forecasts_v1",
    "predictions.exhaustions_v1",
    "predictions.usage_forecasts_v1",
}
SCHEMAS = ["core", "ops", "predictions", "raw"]
SIMS, HISTORY, ALERTS = "core.sims_v1", "predictions.alert_history_v1", "predictions.alerts_v1"

CATALOG = """
SELECT
    n.nspname || '.' || c.relname,
    jsonb_build_object(
        'definition', pg_get_viewdef(c.oid),
        'options', to_jsonb(c.reloptions),
        'owner', c.relowner::regrole::text,
        'grants', (SELECT jsonb_agg(g::text ORDER BY g::text) FROM unnest(c.relacl) AS g),
        'comment', obj_description(c.oid, 'pg_class'),
        'columns', (
            SELECT jsonb_agg(
                jsonb_build_array(
                    a.attname, format_type(a.atttypid, a.atttypmod), a.attcollation::regcollation::text, a.attacl::text,
                    col_description(c.oid, a.attnum)
                ) ORDER BY a.attnum
            )
            FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0
        )
    )
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'v' AND n.nspname = ANY(%s)
"""
# a row version of its own for whatever is written anew
TOUCHED = """
SELECT c.relname, c.xmin::text, r.xmin::text, d.xmin::text
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_rewrite AS r ON r.ev_class = c.oid
JOIN pg_description AS d ON d.objoid = c.oid AND d.objsubid = 0
WHERE c.relkind = 'v' AND n.nspname = ANY(%s)
ORDER BY 1
"""

Files = Callable[..., tuple[ViewDefinition, ...]]


@contextmanager
def connected(url: URL) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(driver_url(url, "").render_as_string(hide_password=False), autocommit=True) as connection:
        yield connection


def dumped(url: URL) -> dict[str, Any]:
    """All that the catalog says of our documented views, by name."""
    with connected(url) as connection:
        found = dict(connection.execute(CATALOG, (SCHEMAS,)).fetchall())
    return {name: view for name, view in found.items() if re.search(r"_v[1-9]\d*$", name)}


def touched(url: URL) -> list[Any]:
    with connected(url) as connection:
        ledger = connection.execute("SELECT name, sha256, applied_at FROM ops.schema_views ORDER BY 1").fetchall()
        return [*connection.execute(TOUCHED, (SCHEMAS,)).fetchall(), *ledger]


def run(url: URL, statement: str) -> None:
    with connected(url) as connection:
        connection.execute(statement.encode())


def view(name: str) -> ViewDefinition:
    return next(view for view in view_definitions() if view.name == name)


def edited(name: str, old: str, new: str) -> ViewDefinition:
    """The file of a view with one text replaced."""
    assert view(name).statements.count(old) == 1
    return replace(view(name), statements=view(name).statements.replace(old, new))


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> Files:
    """Sets the files that migrate finds: those of sql/views, with some put in their place or added."""

    def put(*changed: ViewDefinition) -> tuple[ViewDefinition, ...]:
        found = in_order_of_use({view.name: view for view in (*view_definitions(), *changed)}.values())
        monkeypatch.setattr("resources.database.migrations.view_definitions", lambda: found)
        return found

    return put


@pytest.mark.timescaledb
def test_each_file_is_one_view_of_its_name_readable_by_both_roles() -> None:
    for found in view_definitions():
        statements = re.sub(r"^--.*\n", "", found.statements, flags=re.MULTILINE)
        assert statements.startswith(f"CREATE OR REPLACE VIEW {found.name} WITH (security_invoker = true) AS\nSELECT\n")
        assert f"\nCOMMENT ON VIEW {found.name} IS" in statements
        assert statements.endswith(f"\nGRANT SELECT ON {found.name} TO simsight_pipeline, simsight_api;\n")
        assert "CREATE" not in statements[1:]
        assert re.search(r"_v[1-9]\d*$", found.name)


def test_a_view_comes_after_those_it_uses() -> None:
    names = [view.name for view in view_definitions()]
    assert names.index(HISTORY) > names.index(ALERTS)
    last = ViewDefinition("core.a_v1", "SELECT FROM core.b_v1 JOIN core.c_v1; COMMENT ON VIEW core.a_v1")
    middle = ViewDefinition("core.b_v1", "SELECT FROM core.c_v1")
    first = ViewDefinition("core.c_v1", "SELECT FROM core.sims")
    assert in_order_of_use([last, middle, first]) == (first, middle, last)
    with pytest.raises(CycleError):
        in_order_of_use([last, replace(first, statements="SELECT FROM core.a_v1")])


@pytest.mark.timescaledb
def test_the_files_say_what_the_migrations_made(empty_url: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as no_files:
        no_files.setattr("resources.database.migrations.view_definitions", lambda: ())
        migrate(empty_url, to=LAST_WITH_VIEWS)
    before = dumped(empty_url)
    assert len(before) == 18
    migrate(empty_url)
    replaced = dumped(empty_url)
    run(empty_url, f"DROP VIEW {', '.join(replaced)}")
    assert [made.name for made in migrate(empty_url)] == [view.name for view in view_definitions()]
    assert dumped(empty_url) == replaced
    for name, was in before.items():
        grants = [grant for grant in replaced[name]["grants"] if not grant.startswith("simsight_downstream=")]
        columns = [column[:-1] for column in replaced[name]["columns"]]  # their comments came with the files
        was["columns"] = [column[:-1] for column in was["columns"]]
        assert replaced[name] | {"grants": grants, "columns": columns} == was or name in CHANGED_SINCE
        # columns are a contract, also of a view that was changed
        assert columns[: len(was["columns"])] == was["columns"]


@pytest.mark.timescaledb
def test_every_documented_view_has_a_file(database_url: URL) -> None:
    with connected(database_url) as connection:
        connection.execute("SET ROLE simsight_pipeline")
        documented = {f"{view.schema}.{view.relation}" for view in catalog.views(connection).values()}
    assert documented == {view.name for view in view_definitions()} == set(dumped(database_url))


def test_what_is_unchanged_is_not_touched(database_url: URL, files: Files) -> None:
    before = touched(database_url)
    assert migrate(database_url) == []
    assert touched(database_url) == before
    changed = edited(SIMS, "One row a SIM. ", "One row a SIM card. ")
    files(changed)
    assert migrate(database_url) == [changed]
    after = touched(database_url)
    assert {new[0] for new, old in zip(after, before, strict=True) if new != old} == {"sims_v1", SIMS}
    assert migrate(database_url) == []
    assert touched(database_url) == after


@pytest.mark.timescaledb
def test_a_column_at_the_end_is_added_and_the_rest_stays(database_url: URL, files: Files) -> None:
    before = dumped(database_url)
    run(database_url, f"GRANT SELECT ON {SIMS} TO pg_monitor")  # by hand, to somebody's own role
    files(edited(SIMS, ") AS first_usage_on\n", ") AS first_usage_on,\n    t.cause AS state_cause\n"))
    migrate(database_url)
    after = dumped(database_url)
    assert after[SIMS]["columns"] == [*before[SIMS]["columns"], ["state_cause", "text", '"default"', None, None]]
    assert [grant for grant in after[SIMS]["grants"] if grant not in before[SIMS]["grants"]] == [
        "pg_monitor=r/simsight_owner"
    ]
    assert {name: view for name, view in after.items() if name != SIMS} == {
        name: view for name, view in before.items() if name != SIMS
    }


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    s.imei,\n", ""),
        ("    s.imei,\n    s.msisdn,\n", "    s.msisdn,\n    s.imei,\n"),
        ("t.since AS state_since", "t.since AS state_from"),
        ("    s.imei,\n", "    s.imei::varchar(20) AS imei,\n"),
    ],
    ids=["dropped", "moved", "renamed", "of another type"],
)
def test_another_change_of_columns_is_refused_and_leaves_all_views_as_they_were(
    database_url: URL, files: Files, old: str, new: str
) -> None:
    before = dumped(database_url), touched(database_url)
    files(edited("core.sim_events_v1", "One row an event", "One row one event"), edited(SIMS, old, new))
    with pytest.raises(MigrationError, match=r"view core\.sims_v1 was not changed.*needs a new view \(core\.sims_v2\)"):
        migrate(database_url)
    assert (dumped(database_url), touched(database_url)) == before


def test_a_broken_file_leaves_all_views_as_they_were(database_url: URL, files: Files) -> None:
    before = dumped(database_url), touched(database_url)
    files(
        edited("core.sim_events_v1", "One row an event", "One row one event"),
        edited(SIMS, "core.sim_states", "core.no"),
    )
    with pytest.raises(
        MigrationError, match=r'view core\.sims_v1 failed and no view was changed: .*"core\.no" does not'
    ):
        migrate(database_url)
    assert (dumped(database_url), touched(database_url)) == before


def test_a_new_view_may_use_a_new_column_of_another(database_url: URL, files: Files) -> None:
    name = "core.a_view_v1"  # by name the first
    files(
        edited(SIMS, ") AS first_usage_on\n", ") AS first_usage_on,\n    t.cause AS state_cause\n"),
        ViewDefinition(name, f"CREATE OR REPLACE VIEW {name} AS SELECT state_cause FROM {SIMS}"),
    )
    assert [view.name for view in migrate(database_url)] == [SIMS, name]
    assert migrate(database_url) == []


@pytest.mark.timescaledb
def test_a_view_that_a_migration_dropped_is_made_again(database_url: URL) -> None:
    before = dumped(database_url)
    run(database_url, f"DROP VIEW {HISTORY}, {ALERTS}; ALTER TABLE predictions.alerts ALTER COLUMN threshold TYPE real")
    assert migrate(database_url) == [view(ALERTS), view(HISTORY)]
    after = dumped(database_url)
    assert after.keys() == before.keys()
    assert ["threshold", "real"] in [column[:2] for column in after[ALERTS]["columns"]]
    assert (after[ALERTS]["grants"], after[ALERTS]["owner"]) == (before[ALERTS]["grants"], before[ALERTS]["owner"])


def test_an_older_version_does_not_get_the_views_of_today(database_url: URL, empty_url: URL, files: Files) -> None:
    files(edited(SIMS, "One row a SIM. ", "One row a SIM card. "))
    before = touched(database_url)
    assert migrate(database_url, to=LAST_WITH_VIEWS - 1) == []
    assert touched(database_url) == before
    migrate(empty_url, to=LAST_WITH_VIEWS - 1)
    with connected(empty_url) as connection:
        assert connection.execute("SELECT to_regclass('ops.schema_views')").fetchone() == (None,)


def test_a_changed_file_and_a_missing_view_call_for_migrate(
    database_url: URL, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(database_url=database_url.render_as_string(hide_password=False))
    with Runtime(settings) as runtime, connected(database_url) as connection:
        connection.execute("SET ROLE simsight_pipeline")  # who works with the database may look
        assert is_current(connection)
        runtime.check_schema()
        found = files(edited(SIMS, "One row a SIM. ", "One row a SIM card. "))
        assert [view.name for view in pending_views(connection)] == [SIMS]
        with pytest.raises(MigrationError, match="run `simsight migrate`"):
            runtime.check_schema()
        migrate(database_url)
        runtime.check_schema()
        run(database_url, f"DROP VIEW {HISTORY}")
        assert [view.name for view in pending_views(connection)] == [HISTORY]
        assert not is_current(connection)
        migrate(database_url)
        run(database_url, "DROP TABLE ops.schema_views")  # as it is before files are applied for the first time
        assert pending_views(connection) == list(found)


def test_doctor_names_the_views_that_wait(
    database_url: URL, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIMSIGHT_HOME", str(tmp_path))
    monkeypatch.setenv("SIMSIGHT_DATABASE_URL", database_url.render_as_string(hide_password=False))
    waiting = f"views are missing or not up to date ({SIMS}): run `simsight migrate`"
    assert "up to date" not in CliRunner().invoke(app, ["doctor"]).output
    files(edited(SIMS, "One row a SIM. ", "One row a SIM card. "))
    found = CliRunner().invoke(app, ["doctor"])
    assert (found.exit_code, waiting in found.output) == (1, True)
    assert f"applied {SIMS}\n" in CliRunner().invoke(app, ["migrate"]).output
    assert "up to date" not in CliRunner().invoke(app, ["doctor"]).output
