"""Free SQL over HTTP, run by a real login: what is allowed answers, and no attack gets a row or changes one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from sqlalchemy import URL
from typer.testing import CliRunner

from api.app import create_app
from pipelines.cli.app import app
from resources.database.server import driver_url
from services import free_sql
from services.access.downstream_logins import create_login, revoke_login
from services.free_sql import FreeSql, FreeSqlLoginError, FreeSqlOffError, FreeSqlTooSlowError
from services.free_sql_check import SqlRefusedError
from tests.api.conftest import _served
from tests.conftest import administer, copy_database
from tests.services.questions.conftest import NOW, Fleet

ALLOWED = {
    "SELECT count(*) FROM sims_v1": [[24]],
    "SELECT COUNT(*) AS n FROM core.sims_v1 WHERE Label ILIKE 'meter%' AND state IN ('active', 'silent')": None,
    "SELECT country, sum(mb) AS mb FROM core.sim_usage_v1 u JOIN core.sims_v1 s ON s.iccid = u.iccid GROUP BY 1 "
    "ORDER BY 2 DESC NULLS LAST LIMIT 2": None,
    "WITH daily AS (SELECT day, sum(bytes) AS total FROM sim_usage_v1 WHERE day >= date '2026-01-10' - 7 GROUP BY day) "
    "SELECT d.day, total, avg(total) OVER (ORDER BY d.day ROWS BETWEEN 6 PRECEDING AND CURRENT ROW) FROM daily d": None,
    "SELECT date_trunc('month', day), percentile_cont(0.5) WITHIN GROUP (ORDER BY mb) FROM sim_usage_v1 "
    "GROUP BY 1": None,
    "SELECT iccid FROM sims_v1 EXCEPT SELECT iccid FROM sim_usage_v1 WHERE bytes > 0": [["8988280666000000022"]],
    "SELECT s.iccid FROM sims_v1 s WHERE NOT EXISTS (SELECT 1 FROM sim_usage_v1 u WHERE u.iccid = s.iccid)": [
        ["8988280666000000022"]
    ],
    "SELECT 1 AS a, 'x; y -' AS a, NULL AS b, now() - interval '7 days' < now(), 1.5::numeric": [
        [1, "x; y -", None, True, 1.5]
    ],
    "SELECT CASE WHEN remaining_mb < 100 THEN 'low' ELSE 'ok' END AS band, count(*) FROM sims_v1 GROUP BY 1": None,
    "SELECT iccid, p50_date FROM predictions.exhaustions_v1 WHERE as_of = '2026-01-10' ORDER BY p50_date LIMIT 3": None,
}
V = "core.sims_v1"
STATEMENTS = [
    "",
    " ",
    "SELECT",
    "SELECT 1; SELECT 2",
    "SELECT 1;",
    f"SELECT 1; DROP VIEW {V}",
    "SELECT 1; DELETE FROM core.sims WHERE '1' = '1",
    "DELETE FROM core.sims",
    "UPDATE core.sims SET label = 'x'",
    "INSERT INTO core.sims (iccid) VALUES ('1')",
    "TRUNCATE core.sims",
    "DROP SCHEMA core CASCADE",
    "CREATE TABLE x AS SELECT 1",
    "CREATE TEMP TABLE x (n int)",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "ALTER ROLE CURRENT_USER CREATEROLE",
    "GRANT simsight_owner TO CURRENT_USER",
    "SET simsight.organization = 'x'",
    "SET ROLE simsight_owner",
    "RESET ALL",
    "BEGIN",
    "COMMIT",
    "ROLLBACK; SELECT 1",
    "DO 'BEGIN END'",
    "CALL x()",
    "COPY core.sims TO STDOUT",
    "COPY (SELECT 1) TO PROGRAM 'id'",
    "EXPLAIN SELECT 1",
    "EXPLAIN ANALYZE SELECT 1",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "LISTEN x",
    "NOTIFY x",
    "VACUUM",
    "LOCK TABLE core.sims",
    "SHOW ALL",
    "DECLARE c CURSOR FOR SELECT 1",
    "VALUES (1), (2)",
    "MERGE INTO core.sims USING core.sims AS s ON true WHEN MATCHED THEN DELETE",
    "WITH x AS (DELETE FROM core.sims RETURNING *) SELECT * FROM x",
    "WITH x AS (UPDATE core.sims SET label = 'x' RETURNING *) SELECT * FROM x",
    "WITH x AS (INSERT INTO core.sims (iccid) VALUES ('1') RETURNING *) SELECT * FROM x",
    f"SELECT * INTO x FROM {V}",
    f"SELECT * INTO TEMP x FROM {V}",
    f"SELECT * FROM {V} FOR UPDATE",
    f"SELECT * FROM {V} FOR SHARE NOWAIT",
    f"SELECT * FROM {V} TABLESAMPLE SYSTEM (10)",
    f"SELECT * FROM ONLY {V}",
    f"SELECT iccid FROM {V} FETCH FIRST 3 ROWS WITH TIES",
    f"SELECT iccid FROM {V} LIMIT ALL",
    f"SELECT iccid FROM {V} LIMIT (SELECT 5)",
    f"SELECT iccid FROM {V} LIMIT 1 OFFSET 999999999",
]
NAMES = [
    "SELECT * FROM core.sims",
    "SELECT * FROM sims",
    "SELECT * FROM core.organizations",
    "SELECT * FROM ops.organization_secrets",
    "SELECT * FROM ops.api_keys",
    "SELECT * FROM ops.downstream_logins",
    "SELECT * FROM pg_class",
    "SELECT * FROM pg_catalog.pg_authid",
    "SELECT * FROM pg_stats",
    "SELECT * FROM pg_stat_activity",
    "SELECT * FROM pg_settings",
    "SELECT * FROM pg_roles",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM template1.core.sims_v1",
    'SELECT * FROM "core"."sims_v1"',
    f'SELECT "iccid" FROM {V}',
    f'SELECT iccid AS "x" FROM {V}',
    f"SELECT iccid AS U&\"d!0061t\" UESCAPE '!' FROM {V}",
    "SELECT U&'d!0061t' UESCAPE '!'",
    "SELECT E'\\x41'",
    "SELECT e'a'",
    "SELECT B'1'",
    "SELECT x'1f'",
    "SELECT N'a'",
    "SELECT $$a$$",
    "SELECT $x$a$x$",
    "SELECT $1",
    "SELECT :name",
    "SELECT %s",
    "SELECT @x",
    "SELECT sіms_v1.iccid FROM sіms_v1",
    "SELECT iccid FROM ｓims_v1",
    "WITH pg_class AS (SELECT 1 AS x) SELECT * FROM pg_class",
    "SELECT a.x FROM (WITH c AS (SELECT 1 AS x) SELECT x FROM c) a JOIN pg_roles c ON a.x = c.x",
    "WITH a AS (SELECT * FROM pg_roles), pg_roles AS (SELECT 1 AS x) SELECT * FROM a",
    f"SELECT s.tableoid FROM {V} s",
    f"SELECT s.xmin FROM {V} s",
    f"SELECT s.row_to_json FROM {V} s",
    f"SELECT s.pg_typeof FROM {V} s",
    f"SELECT row_to_json AS row_to_json, s.row_to_json FROM {V} s",
    f"SELECT s FROM {V} s",
    "SELECT current_user",
    "SELECT session_user",
    "SELECT user",
    "SELECT current_catalog",
    "SELECT current_schema",
    "SELECT current_role",
]
FUNCTIONS = [
    "SELECT current_setting('simsight.organization')",
    "SELECT set_config('simsight.organization', 'x', false)",
    f"SELECT s.iccid FROM {V} s WHERE set_config('simsight.organization', 'x', true) = 'x'",
    f"SELECT iccid FROM {V} ORDER BY current_setting('is_superuser')",
    "SELECT ops.enter('other')",
    "SELECT ops.current_organization()",
    "SELECT core.usage_source('c')",
    "SELECT pg_catalog.now()",
    "SELECT pg_sleep(60)",
    f"SELECT CASE WHEN pg_sleep(60) IS NULL THEN 1 END FROM {V}",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_ls_dir('.')",
    "SELECT pg_stat_file('PG_VERSION')",
    "SELECT pg_terminate_backend(1)",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_notify('x', 'y')",
    "SELECT pg_reload_conf()",
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_export(1, '/tmp/x')",
    "SELECT lo_get(1)",
    "SELECT * FROM dblink('host=localhost', 'SELECT 1') AS t (n int)",
    "SELECT dblink_connect('x')",
    "SELECT query_to_xml('SELECT * FROM core.sims', true, true, '')",
    "SELECT database_to_xml(true, true, '')",
    "SELECT table_to_xml('core.sims', true, true, '')",
    "SELECT xpath('/a', '<a/>')",
    "SELECT version()",
    "SELECT inet_server_addr()",
    "SELECT has_table_privilege('core.sims', 'SELECT')",
    "SELECT obj_description(1)",
    "SELECT txid_current()",
    "SELECT nextval('x')",
    "SELECT gen_random_uuid()",
    "SELECT random()",
    "SELECT to_regclass('core.sims')",
    "SELECT ts_stat('SELECT label FROM core.sims')",
    "SELECT json_agg(s) FROM core.sims_v1 s",
    "SELECT to_jsonb(s) FROM core.sims_v1 s",
    "SELECT array_agg(iccid) FROM core.sims_v1",
    "SELECT 'core.sims'::regclass",
    "SELECT CAST('core.sims' AS regclass)",
    "SELECT 'x'::regproc",
    "SELECT 'simsight_owner'::regrole::oid",
    "SELECT 'a'::xml",
    "SELECT '{}'::jsonb",
    "SELECT '{}'::int[]",
    "SELECT 'x'::core.sims_v1",
    "SELECT 'a'::name",
    "SELECT 1::bit(3)",
    "SELECT 1 OPERATOR(pg_catalog.+) 1",
    "SELECT 1 <-> 2",
    f"SELECT iccid FROM {V} WHERE label COLLATE pg_catalog.default = 'x'",
    f"SELECT iccid FROM {V} WHERE label COLLATE \"C\" = 'x'",
    "SELECT date 'epoch' AT TIME ZONE current_setting('x')",
    f"SELECT (s).* FROM {V} s",
    f"SELECT (SELECT s).iccid FROM {V} s",
    "SELECT ROW(1, 2)",
    "SELECT ARRAY[1, 2]",
    "SELECT ARRAY(SELECT 1)",
    "SELECT 1 -- comment",
    "SELECT /*+ SeqScan(x) */ 1",
    "SELECT /* x */ 1",
    "SELECT 1 /*",
    "SELECT 'open",
    "SELECT 1\x00",
    "SELECT 1\u202e",
]
BOMBS = [
    f"SELECT 1 FROM {V} a, {V} b",
    f"SELECT 1 FROM {V} a CROSS JOIN {V} b",
    f"SELECT 1 FROM {V} a NATURAL JOIN {V} b",
    f"SELECT 1 FROM {V} a JOIN {V} b ON true",
    f"SELECT 1 FROM {V} a JOIN {V} b ON 1 = 1",
    f"SELECT 1 FROM {V} a JOIN {V} b ON a.iccid = a.iccid",
    f"SELECT 1 FROM {V} a JOIN {V} b ON a.iccid = b.iccid OR true",
    f"SELECT 1 FROM {V} a JOIN {V} b ON a.iccid <> b.iccid",
    f"SELECT 1 FROM {V} a LEFT JOIN LATERAL (SELECT 1) b ON true",
    f"SELECT 1 FROM {V} a CROSS JOIN LATERAL (SELECT 1) b",
    f"SELECT 1 FROM ({V} a CROSS JOIN {V} b)",
    "SELECT generate_series(1, 1000000000)",
    "SELECT * FROM generate_series(1, 1000000000)",
    "SELECT unnest(string_to_array('a,b', ','))",
    "SELECT * FROM unnest(ARRAY[1, 2])",
    "SELECT regexp_split_to_table('a,b', ',')",
    "SELECT * FROM json_each('{}')",
    "SELECT * FROM ROWS FROM (generate_series(1, 2)) WITH ORDINALITY",
    "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT * FROM r",
    "WITH RECURSIVE r(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM r) SELECT * FROM r",
    "SELECT * FROM (VALUES (1), (2)) AS v (n)",
    f"SELECT iccid FROM {V} WHERE iccid IN ({', '.join(['1'] * 300)})",
    f"SELECT iccid FROM {V} WHERE iccid IN (VALUES ('1'), ('2'))",
    f"SELECT iccid FROM {V} WHERE iccid = ANY ('{{1,2}}')",
    f"SELECT string_agg(label, ',') FROM {V}",
    "SELECT repeat('x', 1000000000)",
    "SELECT lpad('x', 1000000000)",
    "SELECT rpad('x', 1000000000, 'y')",
    "SELECT replace(replace('aaaaaaaa', 'a', 'aaaaaaaa'), 'a', 'aaaaaaaa')",
    "SELECT format('%1000000000s', 'x')",
    "SELECT " + " || ".join(["'x'"] * 20),
    "SELECT concat(" + ", ".join(["'x'"] * 20) + ")",
    f"SELECT iccid FROM {V} WHERE label ~ '(a+)+b'",
    f"SELECT iccid FROM {V} WHERE label ~* '(a+)+b'",
    f"SELECT iccid FROM {V} WHERE label SIMILAR TO '(a+)+b'",
    f"SELECT regexp_replace(label, '(a+)+b', '') FROM {V}",
    f"SELECT substring(label FROM '(a+)+b') FROM {V}",
    f"SELECT substring(label, label) FROM {V}",
    f"SELECT substring(label SIMILAR 'a#\"b#\"c' ESCAPE '#') FROM {V}",
    f"SELECT overlay(label placing 'x' from 1) FROM {V}",
    f"SELECT trim(BOTH 'x' FROM label), sum(remaining_mb ORDER BY iccid) FROM {V} GROUP BY iccid, 1 WINDOW w AS (w2)",
    f"SELECT count(*) OVER (ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING EXCLUDE TIES) FROM {V}",
    f"SELECT count(*) OVER (GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM {V}",
    f"SELECT iccid FROM {V} WHERE label LIKE '{'%a' * 20}'",
    f"SELECT iccid FROM {V} WHERE label LIKE label",
    "SELECT 10 ^ 100000",
    "SELECT factorial(100000)",
    "SELECT 1e999999",
    "SELECT " + "9" * 400,
    "SELECT 1::numeric(1000, 500)",
    "SELECT " + "(" * 500 + "1" + ")" * 500,
    "SELECT " + " + ".join(["1"] * 1500),
    "SELECT " + "NOT " * 900 + "true",
    "SELECT " + "- " * 900 + "1",
    " UNION ALL ".join([f"SELECT iccid FROM {V}"] * 20),
    "x" * 10_001,
    f"SELECT iccid FROM {V} GROUP BY CUBE (iccid, label, imei, state)",
    f"SELECT iccid FROM {V} GROUP BY GROUPING SETS ((iccid), ())",
]
ATTACKS = [*STATEMENTS, *NAMES, *FUNCTIONS, *BOMBS]


@dataclass
class Door:
    """The service with free SQL for `default` alone, a client with its key, and the login itself."""

    fleet: Fleet
    login: URL
    client: httpx.Client

    def post(self, text: str, organization: str = "default") -> httpx.Response:
        key = {"X-API-Key": self.fleet.keys[organization]}
        return self.client.post("/v1/sql", json={"sql": text}, headers=key)


@pytest.fixture(scope="module")
def door(postgres: URL, template: str) -> Iterator[Door]:
    name, login = f"{template}_sql_{uuid4().hex[:8]}", f"reader_{uuid4().hex[:8]}"
    copy_database(postgres, template, name)
    url = postgres.set(database=name)
    fleet = Fleet(url)
    password = create_login(url, "default", login, now=NOW)
    as_login = url.set(username=login, password=password)
    try:
        with _served(create_app(url, free_sql_urls=[as_login], clock=lambda: NOW)) as client:
            yield Door(fleet, as_login, client)
    finally:
        fleet.close()
        revoke_login(url, "default", login)
        administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("text", ALLOWED)
def test_a_query_is_answered(door: Door, text: str) -> None:
    answer = door.post(text)
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert said["rows"]
    assert ALLOWED[text] in (None, said["rows"])
    assert all(len(row) == len(said["columns"]) for row in said["rows"])
    assert (said["as_of"], said["data_age_days"], said["truncated"]) == ("2026-01-10", 0, False)
    assert said["cost"] > 0


def test_types_and_too_many_rows_are_said(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    said = door.post("SELECT iccid, day, mb, bytes FROM sim_usage_v1 ORDER BY 2, 1").json()
    assert [(one["name"], one["type"]) for one in said["columns"]] == [
        ("iccid", "text"),
        ("day", "date"),
        ("mb", "numeric"),
        ("bytes", "int8"),
    ]
    assert (len(said["rows"]), said["truncated"]) == (1000, True)
    assert said["rows"][0][:2] == ["8988280666000000001", "2025-10-01"]
    monkeypatch.setattr(free_sql, "MAX_BYTES", 1000)
    said = door.post("SELECT iccid FROM sim_usage_v1").json()
    assert (len(said["rows"]), said["truncated"]) == (52, True)


def test_at_least_100_attacks_get_nothing(door: Door) -> None:
    assert len(ATTACKS) >= 200
    before = door.fleet.rows("SELECT count(*), max(label) FROM core.sims")
    passed = []
    for text in ATTACKS:
        answer = door.post(text)
        if answer.status_code != 422 or "rows" in answer.json():
            passed.append((text[:100], answer.status_code, answer.text[:200]))
    assert passed == []
    assert door.fleet.rows("SELECT count(*), max(label) FROM core.sims") == before


def test_an_attack_that_slipped_through_gets_nothing_of_others(door: Door) -> None:
    """The second fence alone: texts as they came, in the very session that runs free SQL."""
    others = [row["iccid"] for row in door.fleet.rows("SELECT iccid FROM core.sims WHERE iccid LIKE '99%'")]
    secrets = [row["secret"] for row in door.fleet.rows("SELECT secret FROM ops.organization_secrets")]
    before = door.fleet.rows("SELECT count(*), max(label) FROM core.sims")
    told = ""
    for text in (*STATEMENTS, *NAMES, *FUNCTIONS):
        if "pg_sleep" in text or "\x00" in text:
            continue
        with suppress(Exception), free_sql._opened(door.login) as connection:
            found: Any = connection.execute(text.encode())
            told += str(found.fetchall()) if found.description else ""
            told += str(connection.execute("SELECT iccid FROM core.sims").fetchall())
            told += str(connection.execute("SELECT current_setting('simsight.organization', true)").fetchall())
    assert "8988280666000000001" in told
    assert [word for word in [*others, *secrets] if word in told] == []
    assert door.fleet.rows("SELECT count(*), max(label) FROM core.sims") == before


def test_another_organization_has_no_login_and_gets_nothing(door: Door) -> None:
    answer = door.post("SELECT count(*) FROM sims_v1", "other")
    assert answer.status_code == 404
    assert "simsight downstream create" in answer.json()["detail"]
    assert door.client.post("/v1/sql", json={"sql": "SELECT 1"}).status_code == 401


def test_off_unless_switched_on(door: Door) -> None:
    with _served(create_app(door.fleet.url)) as client:
        key = {"X-API-Key": door.fleet.keys["default"]}
        answer = client.post("/v1/sql", json={"sql": "SELECT 1"}, headers=key)
    assert answer.status_code == 404
    assert "SIMSIGHT_FREE_SQL" in answer.json()["detail"]


def test_only_a_login_bound_by_the_boundary_runs_it(door: Door) -> None:
    """A superuser and a login of the service, whose session could show another organization, are refused."""
    with pytest.raises(FreeSqlLoginError, match="simsight downstream create"):
        FreeSql([door.fleet.url]).run("SELECT 1", "default", NOW)
    name = str(door.login.username)
    door.fleet.administrator.execute(f"GRANT simsight_api TO {name}".encode())
    try:
        with pytest.raises(FreeSqlLoginError):
            FreeSql([door.login]).run("SELECT 1", "default", NOW)
    finally:
        door.fleet.administrator.execute(f"REVOKE simsight_api FROM {name}".encode())
    shown = door.fleet.rows("SELECT secret FROM ops.organization_secrets ORDER BY organization_id")[1]["secret"]
    door.fleet.administrator.execute(f"ALTER ROLE {name} SET simsight.organization = '{shown}'".encode())
    try:
        with pytest.raises(FreeSqlLoginError):
            FreeSql([door.login]).run("SELECT 1", "other", NOW)
    finally:
        door.fleet.administrator.execute(f"ALTER ROLE {name} RESET simsight.organization".encode())
    door.fleet.administrator.execute(f"ALTER ROLE {name} RESET temp_file_limit".encode())
    try:
        with pytest.raises(FreeSqlLoginError, match="temp_file_limit"):
            FreeSql([door.login]).run("SELECT 1", "default", NOW)
    finally:
        door.fleet.administrator.execute(f"ALTER ROLE {name} SET temp_file_limit = '512MB'".encode())
    with pytest.raises(FreeSqlOffError):
        FreeSql([door.login]).run("SELECT 1", "other", NOW)


def test_what_costs_too_much_is_not_tried(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(free_sql, "MAX_COST", 10)
    answer = door.post("SELECT sum(mb) FROM sim_usage_v1")
    assert answer.status_code == 422
    assert "would cost too much" in answer.json()["detail"]


def test_what_takes_too_long_is_stopped(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(free_sql, "SETTINGS", free_sql.SETTINGS + "; SET statement_timeout = '1ms'")
    slow = "SELECT count(*) FROM sim_usage_v1 a JOIN sim_usage_v1 b ON a.day = b.day AND a.mb < b.mb"
    with pytest.raises(FreeSqlTooSlowError):
        FreeSql([door.login]).run(slow, "default", NOW)
    assert door.post(slow).status_code == 503


def test_errors_of_postgresql_are_told_and_tell_nothing_else(door: Door) -> None:
    for text in ("SELECT 1 / 0", "SELECT label::integer FROM sims_v1", "SELECT iccid FROM sims_v1 GROUP BY label"):
        answer = door.post(text)
        assert answer.status_code == 422
        assert answer.json()["detail"].startswith("PostgreSQL: ")
        assert str(door.login.username) not in answer.text


def test_the_session_is_bounded(door: Door) -> None:
    with free_sql._opened(door.login) as connection:
        shown = {
            name: connection.execute(f"SHOW {name}".encode()).fetchone()[0]  # type: ignore[index]
            for name in ("transaction_read_only", "statement_timeout", "temp_file_limit", "work_mem", "search_path")
        }
    assert shown == {
        "transaction_read_only": "on",
        "statement_timeout": "10s",
        "temp_file_limit": "512MB",
        "work_mem": "16MB",
        "search_path": "pg_catalog",
    }


def test_the_command_line_runs_it(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMSIGHT_DATABASE_URL", door.fleet.url.render_as_string(hide_password=False))
    run = CliRunner()
    off = run.invoke(app, ["sql", "SELECT 1"])
    assert isinstance(off.exception, FreeSqlOffError)
    monkeypatch.setenv("SIMSIGHT_FREE_SQL", door.login.render_as_string(hide_password=False))
    said = run.invoke(app, ["sql", "SELECT count(*) AS sims FROM sims_v1"])
    assert said.exit_code == 0, said.output
    assert "24" in said.output
    refused = run.invoke(app, ["sql", "SELECT * FROM core.sims"])
    assert isinstance(refused.exception, SqlRefusedError)


def test_a_wrong_password_is_no_secret_told(door: Door) -> None:
    away = driver_url(door.login, "").set(host="127.0.0.1", port=1)
    with pytest.raises(Exception, match="free SQL") as raised:
        FreeSql([away]).run("SELECT 1", "default", NOW)
    assert str(door.login.password) not in str(raised.value)
    assert not isinstance(raised.value, psycopg.Error)
