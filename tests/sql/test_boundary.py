"""A login of others reads one organization, whatever SQL it runs: each way out that is known, tried on real rows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import URL

from resources.database.server import driver_url
from services.access.downstream_logins import DownstreamError, create_login, list_logins, revoke_login

pytestmark = pytest.mark.timescaledb

NOW = datetime(2026, 1, 1, tzinfo=UTC)
# SIMs and usage of both organizations; what belongs to the other one says so
SEED = """
INSERT INTO core.sims (organization_id, iccid, label, first_seen_at, changed_at)
SELECT organization_id, lpad(organization_id::text || n, 19, '8'), slug || ' ' || n, now(), now()
FROM core.organizations, generate_series(1, 50) AS n;
INSERT INTO core.sim_usage (organization_id, sim_key, day, bytes, known_at)
SELECT organization_id, sim_key, '2026-01-05', CASE WHEN label LIKE 'other%' THEN 666 ELSE 5 END, now() FROM core.sims;
INSERT INTO core.tickets (organization_id, case_id, subject, status, communications, changed_at)
SELECT organization_id, slug || ' case', slug || ' subject', 'OPEN', '[]', now() FROM core.organizations;
ANALYZE core.sims, core.sim_usage, core.tickets;
"""
LOOK = (
    "SELECT label FROM core.sims",
    "SELECT label FROM core.sims_v1",
    "SELECT bytes FROM core.sim_usage",
    "SELECT subject FROM predictions.tickets_v1",
    "SELECT slug FROM core.organizations",
)
# each a session of its own: statements, of which any may be refused, and then all tables are looked at
ATTACKS: dict[str, tuple[str, ...]] = {
    "the setting": ("SET simsight.organization = '2'",),
    "the setting of before": ("SET simsight.organization_id = '2'",),
    "the setting inside a query": (
        "SELECT s.label FROM (SELECT set_config('simsight.organization', '2', false)) AS c, LATERAL (SELECT label FROM "
        "core.sims WHERE c IS NOT NULL) AS s",
    ),
    "all settings anew": ("RESET ALL", "DISCARD ALL"),
    "another role": ("SET ROLE simsight_pipeline", "SET ROLE simsight_api", "SET ROLE simsight_owner", "SET ROLE none"),
    "another user": ("SET SESSION AUTHORIZATION simsight_owner", "SET SESSION AUTHORIZATION postgres"),
    "row security off": ("SET row_security = off",),
    "the functions of the service": (
        "SELECT ops.enter('other')",
        "SELECT ops.enter_by_key('x'::bytea)",
        "SELECT ops.authenticate('x'::bytea)",
        "SELECT ops.organization('other')",
        "SELECT ops.data_note('other')",
        "SELECT ops.stream_secret('x')",
        "SELECT * FROM ops.writing_key('x'::bytea)",
    ),
    "the secrets": (
        "SELECT secret FROM ops.organization_secrets",
        "SELECT * FROM ops.downstream_logins",
        "SELECT * FROM ops.session_keys",
        "SELECT * FROM ops.api_keys",
        "UPDATE ops.downstream_logins SET organization_id = 2",
    ),
    "the key of another login": (
        "SET simsight.organization = 'login theirs'",
        "SET simsight.organization = 'theirs'",
        "UPDATE ops.session_keys SET organization_id = 2",
    ),
    "the view that policies ask": (
        "SET default_transaction_read_only = off",
        "UPDATE ops.session_organization SET organization_id = 2",
        "INSERT INTO ops.session_organization VALUES (2)",
        "ALTER VIEW ops.session_organization SET (security_invoker = true)",
        "CREATE OR REPLACE VIEW ops.session_organization AS SELECT 2::smallint AS organization_id",
        "CREATE TEMP VIEW session_organization AS SELECT 2::smallint AS organization_id",
        "CREATE TEMP TABLE session_keys AS SELECT 'login ' || session_user AS shown, 2::smallint AS organization_id",
        "SET search_path = pg_temp, ops, core",
    ),
    "operators and functions of its own before ours": (
        "SET default_transaction_read_only = off",
        "CREATE FUNCTION pg_temp.yes(text, text) RETURNS boolean LANGUAGE sql RETURN true",
        "CREATE OPERATOR pg_temp.= (LEFTARG = text, RIGHTARG = text, FUNCTION = pg_temp.yes)",
        "CREATE FUNCTION pg_temp.yes(smallint, smallint) RETURNS boolean LANGUAGE sql RETURN true",
        "CREATE OPERATOR pg_temp.= (LEFTARG = smallint, RIGHTARG = smallint, FUNCTION = pg_temp.yes)",
        "CREATE FUNCTION pg_temp.current_setting(text, boolean) RETURNS text LANGUAGE sql RETURN 'theirs'",
        "CREATE FUNCTION pg_temp.pg_has_role(name, name, text) RETURNS boolean LANGUAGE sql RETURN true",
        "SET search_path = pg_temp, pg_catalog, ops, core",
    ),
    "names of its own before ours": (
        "SET default_transaction_read_only = off",
        "CREATE TEMP TABLE downstream_logins AS SELECT session_user AS login, 2::smallint AS organization_id",
        "CREATE TEMP TABLE organization_secrets AS SELECT 'x'::text AS secret, 2::smallint AS organization_id",
        "SET simsight.organization = 'x'",
        "SET search_path = pg_temp, ops, core",
    ),
    "a function of its own": (
        "SET default_transaction_read_only = off",
        "CREATE FUNCTION pg_temp.enter() RETURNS void LANGUAGE sql SECURITY DEFINER AS $$ SELECT ops.enter('other') $$",
        "SELECT pg_temp.enter()",
        "CREATE FUNCTION ops.current_organization() RETURNS smallint LANGUAGE sql RETURN 2::smallint",
        "ALTER FUNCTION ops.current_organization() RENAME TO gone",
    ),
    "a leaky function": (
        "SET default_transaction_read_only = off",
        "CREATE FUNCTION pg_temp.leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$ BEGIN RAISE NOTICE "
        "'%', $1; RETURN true; END $$",
        "SELECT count(*) FROM core.sims WHERE pg_temp.leak(label)",
        "SELECT count(*) FROM core.sims_v1 WHERE pg_temp.leak(label)",
        "SELECT count(*) FROM ops.session_organization "
        "WHERE pg_temp.leak(CASE organization_id WHEN 1 THEN '' ELSE 'other ' || organization_id END)",
    ),
    "an error that tells": (
        "SELECT count(*) FROM core.sims WHERE label::integer > 0",
        "SELECT count(*) FROM core.sim_usage WHERE 1 / (bytes - 666) < 2",
        "SELECT count(*) FROM core.sims WHERE cast('other 1' || label AS integer) IS NULL AND label LIKE 'other%'",
    ),
    "a statement prepared before": (
        "PREPARE p AS SELECT label FROM core.sims",
        "EXECUTE p",
        "SET simsight.organization = 'x'",
        "EXECUTE p",
        "SET plan_cache_mode = force_generic_plan",
        "RESET simsight.organization",
        "EXECUTE p",
    ),
    "a cursor": ("DECLARE c CURSOR WITH HOLD FOR SELECT label FROM core.sims", "FETCH ALL FROM c"),
    "statistics": (
        "SELECT most_common_vals::text || histogram_bounds::text FROM pg_stats WHERE schemaname = 'core'",
        "SELECT stavalues1::text FROM pg_statistic",
        "SELECT query FROM pg_stat_activity WHERE usename <> session_user",
    ),
    "the plan": ("EXPLAIN (VERBOSE) SELECT label FROM core.sims WHERE label > 'other 1'",),
    "files and programs": (
        "COPY core.sims TO PROGRAM 'cat'",
        "COPY (SELECT pg_read_file('postgresql.conf')) TO STDOUT",
        "SELECT pg_read_file('PG_VERSION')",
        "SELECT lo_import('/etc/passwd')",
    ),
    "chunks": (
        "SELECT * FROM chunks._hyper_1_1_chunk",
        "SELECT relname FROM pg_class WHERE relnamespace = 'chunks'::regnamespace",
    ),
    "writing": (
        "SET default_transaction_read_only = off",
        "UPDATE core.sims SET organization_id = 1",
        "INSERT INTO core.sims (organization_id, iccid, first_seen_at, changed_at) VALUES (1, repeat('7', 19), now(), "
        "now())",
        "DELETE FROM core.sim_usage",
        "CREATE TABLE core.mine (n integer)",
        "SELECT predictions.act_on_alerts(1::smallint, '{1}', 'resolve', NULL, NULL, NULL, now())",
        "GRANT simsight_pipeline TO CURRENT_USER",
        "ALTER ROLE CURRENT_USER CREATEROLE",
    ),
}


@pytest.fixture
def admin(database_url: URL) -> Iterator[psycopg.Connection[Any]]:
    text = driver_url(database_url, "").render_as_string(hide_password=False)
    with psycopg.connect(text, autocommit=True) as connection:
        connection.execute(SEED)
        yield connection


@pytest.fixture
def login(admin: psycopg.Connection[Any], database_url: URL) -> Iterator[tuple[str, str]]:
    """A login for `default` and its password."""
    name = f"dashboard_{uuid4().hex[:8]}"
    yield name, create_login(database_url, "default", name, now=NOW)
    revoke_login(database_url, "default", name)


def connected(url: URL, login: tuple[str, str]) -> psycopg.Connection[Any]:
    name, password = login
    as_login = driver_url(url, "").set(username=name, password=password)
    return psycopg.connect(as_login.render_as_string(hide_password=False), autocommit=True)


def tried(connection: psycopg.Connection[Any], statement: str) -> str:
    """All that a statement tells: its rows, or its error."""
    try:
        cursor = connection.execute(statement.encode())
        return str(cursor.fetchall()) if cursor.description else ""
    except psycopg.Error as error:
        return str(error)


def told_of_others(said: str) -> list[str]:
    return [word for word in ("other 1", "other 2", "other case", "other subject", "666") if word in said]


def secrets_of(admin: psycopg.Connection[Any]) -> dict[str, str]:
    """The secret of each organization, by its slug."""
    found = "SELECT slug, secret FROM core.organizations JOIN ops.organization_secrets USING (organization_id)"
    return dict(admin.execute(found).fetchall())


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_statement_shows_another_organization(
    admin: psycopg.Connection[Any], login: tuple[str, str], database_url: URL, attack: str
) -> None:
    with connected(database_url, login) as connection:
        notices: list[str] = []
        connection.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
        before = [tried(connection, statement) for statement in LOOK]
        assert all("default" in said or "5" in said for said in before), "it reads its own"
        for statement in ATTACKS[attack]:
            said = tried(connection, statement)
            # what the statement itself says, its error repeats
            assert told_of_others(said.replace(statement, "").replace("other 1'", "")) == [], statement
        after = [tried(connection, statement) for statement in LOOK]
        assert told_of_others(" ".join(after) + " ".join(notices)) == []
    assert admin.execute("SELECT count(*), count(DISTINCT organization_id) FROM core.sims").fetchone() == (100, 2)
    assert admin.execute("SELECT count(*) FROM core.sim_usage").fetchone() == (100,)


def test_not_even_the_secret_of_another_organization_helps_a_login_of_others(
    admin: psycopg.Connection[Any], login: tuple[str, str], database_url: URL
) -> None:
    for slug, secret in secrets_of(admin).items():
        with connected(database_url, login) as connection:
            connection.execute("SELECT set_config('simsight.organization', %s, false)", (secret,))
            assert connection.execute("SELECT slug FROM core.organizations").fetchall() == [("default",)], slug
        # it is the right one: the service works for its organization by it
        with psycopg.connect(driver_url(database_url, "").render_as_string(hide_password=False)) as service:
            service.execute("SET ROLE simsight_api")
            service.execute("SELECT set_config('simsight.organization', %s, false)", (secret,))
            assert service.execute("SELECT slug FROM core.organizations").fetchall() == [(slug,)]


def test_the_name_of_a_login_is_no_secret_that_the_service_may_show(
    admin: psycopg.Connection[Any], login: tuple[str, str]
) -> None:
    admin.execute("SET ROLE simsight_api")
    for shown in (login[0], f"login {login[0]}", "", "secret "):
        admin.execute("SELECT set_config('simsight.organization', %s, false)", (shown,))
        assert admin.execute("SELECT FROM core.sims").fetchall() == []


def test_one_plan_serves_whatever_the_session_shows(admin: psycopg.Connection[Any], database_url: URL) -> None:
    """A plan that is kept asks anew: after another secret, and for an organization and a secret that came after it."""
    show = "SELECT set_config('simsight.organization', %s, false)"
    secrets = secrets_of(admin)
    with psycopg.connect(driver_url(database_url, "").render_as_string(hide_password=False), autocommit=True) as one:
        one.execute("SET ROLE simsight_api; SET plan_cache_mode = force_generic_plan")
        one.execute("PREPARE p AS SELECT slug FROM core.organizations")
        for slug in ("default", "other", "default"):
            one.execute(show, (secrets[slug],))
            assert one.execute("EXECUTE p").fetchall() == [(slug,)]
        admin.execute("UPDATE ops.organization_secrets SET secret = 'new' WHERE secret = %s", (secrets["default"],))
        assert one.execute("EXECUTE p").fetchall() == [], "the old secret is worth nothing"
        one.execute(show, ("new",))
        assert one.execute("EXECUTE p").fetchall() == [("default",)]
        admin.execute("INSERT INTO core.organizations (slug) VALUES ('third')")
        one.execute(show, (secrets_of(admin)["third"],))
        assert one.execute("EXECUTE p").fetchall() == [("third",)]
        admin.execute("DELETE FROM core.organizations WHERE slug = 'third'")
        assert one.execute("EXECUTE p").fetchall() == []
    assert admin.execute("SELECT count(*) FROM ops.session_keys").fetchone() == (2,)


def test_no_policy_calls_a_function_of_ours(admin: psycopg.Connection[Any]) -> None:
    """A function costs each policy of each statement microseconds; the view is part of the plan."""
    conditions = admin.execute(
        "SELECT DISTINCT pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid) FROM pg_policy"
    ).fetchall()
    assert [(" ".join(condition.split()), check) for condition, check in conditions] == [
        (
            "(organization_id = ( SELECT session_organization.organization_id FROM ops.session_organization))",
            None,
        )
    ]


def test_a_role_that_is_no_login_of_ours_sees_nothing(admin: psycopg.Connection[Any]) -> None:
    admin.execute("SET SESSION AUTHORIZATION simsight_downstream")
    try:
        assert [admin.execute(look.encode()).fetchall() for look in LOOK] == [[]] * len(LOOK)
    finally:
        admin.execute("RESET SESSION AUTHORIZATION")


def test_what_a_login_of_others_may_run_with_the_owners_rights_is_known(admin: psycopg.Connection[Any]) -> None:
    rights = admin.execute(
        "SELECT p.proname FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace"
        " WHERE n.nspname IN ('ops', 'core', 'predictions', 'raw') AND p.prosecdef AND p.prorettype <> "
        "'trigger'::regtype AND has_function_privilege('simsight_downstream', p.oid, 'EXECUTE') ORDER BY 1"
    )
    assert [name for (name,) in rights] == ["usage_answers", "usage_booked_to"]


def test_a_login_is_listed_and_ends_with_its_sessions(database_url: URL, admin: psycopg.Connection[Any]) -> None:
    name = f"notebook_{uuid4().hex[:8]}"
    password = create_login(database_url, "default", name, now=NOW)
    assert [(one.login, one.created_at) for one in list_logins(database_url, "default")] == [(name, NOW)]
    assert list_logins(database_url, "other") == []
    with pytest.raises(DownstreamError, match="has a login"):
        create_login(database_url, "default", name, now=NOW)
    with pytest.raises(DownstreamError, match="no login"):
        revoke_login(database_url, "other", name)
    ((hashed,),) = admin.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", (name,)).fetchall()
    assert hashed.startswith("SCRAM-SHA-256")
    with connected(database_url, (name, password)) as connection:
        revoke_login(database_url, "default", name)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        connected(database_url, (name, password))


@pytest.mark.parametrize("name", ["", "Dash", "pg_x", "simsight_api", "a b", 'x"; DROP ROLE simsight_api; --', "é"])
def test_a_name_that_is_none_is_refused(database_url: URL, name: str) -> None:
    with pytest.raises(DownstreamError, match="cannot name a login"):
        create_login(database_url, "default", name, now=NOW)
