"""The line between organizations and between roles, held by the database itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege
from sqlalchemy import URL

from resources.database.server import driver_url

pytestmark = pytest.mark.timescaledb

OURS = ["raw", "core", "predictions", "ops"]
# the owner's own rows, that the tables may hold for both organizations
SEED = """
INSERT INTO core.sims (organization_id, iccid, first_seen_at, changed_at)
SELECT organization_id, lpad(organization_id::text, 19, '8'), now(), now() FROM core.organizations;
INSERT INTO core.sim_usage (organization_id, sim_key, day, bytes, known_at)
SELECT organization_id, sim_key, d::date, 5, now() FROM core.sims, generate_series('2026-01-01'::date, '2026-03-01',
    '1 day') AS d;
INSERT INTO core.daily_totals (organization_id, day, sims, active_sims, bytes, sms)
SELECT organization_id, day, 1, 1, bytes, 0 FROM core.sim_usage;
INSERT INTO core.sim_quota (organization_id, sim_key, kind, day, observed_at, amount_left)
SELECT organization_id, sim_key, 'data', '2026-01-01', now(), 5 FROM core.sims;
INSERT INTO core.sim_events (organization_id, sim_key, occurred_at, event_type)
SELECT organization_id, sim_key, now(), 'x' FROM core.sims;
INSERT INTO core.sim_connectivity (organization_id, sim_key, day, observed_at, status)
SELECT organization_id, sim_key, '2026-01-01', now(), 'ONLINE' FROM core.sims;
INSERT INTO raw.landings (organization_id, source, request, body_sha256, body, received_at)
SELECT organization_id, 'sims', '/v1/sims', '', '', now() FROM core.organizations;
INSERT INTO ops.once_calls (organization_id, call, version, checked_at)
SELECT organization_id, 'sims', 'v2', now() FROM core.organizations;
INSERT INTO ops.streams (stream_id, organization_id, name, secret_sha256, created_at)
SELECT 'stream-of-' || slug, organization_id, 'x', 'x', now() FROM core.organizations;
INSERT INTO raw.stream_batches (organization_id, stream_id, body_sha256, body, records, received_at)
SELECT organization_id, 'stream-of-' || slug, '', '[]', 0, now() FROM core.organizations;
INSERT INTO core.stream_usage (organization_id, record_id, sim_key, day, kind, started_at, ended_at, bytes, sms,
    known_at)
SELECT organization_id, 1, sim_key, '2026-03-02', 'data', now(), now(), 5, 0, now() FROM core.sims;
INSERT INTO ops.stale_predictions (organization_id, as_of, part, sims, first_day, marked_at)
SELECT organization_id, now(), 'exhaustions', 1, now(), now() FROM core.organizations;
INSERT INTO ops.staged_values (organization_id, work_id, name, part, content, staged_at)
SELECT organization_id, 'w', 'n', 'exhaustions', '', now() FROM core.organizations;
INSERT INTO ops.incidents (organization_id, kind, opened_at, message, details)
SELECT organization_id, 'stream_outage', now(), '', '{}' FROM core.organizations;
INSERT INTO ops.quarantine (organization_id, source, record_key, reason, record, first_seen_at, last_seen_at)
SELECT organization_id, 'sims', '', '', '{}', now(), now() FROM core.organizations;
INSERT INTO predictions.scorings (organization_id, model_name, model_version, run_id, as_of, created_at)
SELECT organization_id, 'm', 1, 'r', '2026-01-01', now() FROM core.organizations;
INSERT INTO predictions.usage_forecasts (organization_id, sim_key, as_of, day, scoring_id, mean, q025, q10, q50, q90,
    q975)
SELECT organization_id, sim_key, '2026-01-01', '2026-01-02', scoring_id, 1, 1, 1, 1, 1, 1
FROM core.sims JOIN predictions.scorings USING (organization_id);
INSERT INTO predictions.churn_risks (organization_id, sim_key, as_of, scoring_id, p_30, p_60, p_90, p_180,
    p_dead_device, p_switched_off, p_swapped, p_exhausted, p_expired, any_end, risk_level, cause, reasons, action,
    worth, held_out)
SELECT organization_id, sim_key, '2026-01-01', scoring_id, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 'low', 'swapped', '', '', 0,
    false
FROM core.sims JOIN predictions.scorings USING (organization_id);
INSERT INTO predictions.churn_decisions (organization_id, sim_key, as_of, action, p_90, held_out, decision, reason,
    decided_by, decided_at)
SELECT organization_id, sim_key, '2026-01-01', '', 0, false, 'accepted', '', 'x', now() FROM core.sims;
INSERT INTO predictions.quota_recommendations (organization_id, sim_key, as_of, scoring_id, action, cost_minor,
    spend_minor, saving_minor, saving_p10_minor, saving_p90_minor, outage_days, outage_p, probability, currency, reason,
    valid_until, rule_action)
SELECT organization_id, sim_key, '2026-01-01', scoring_id, 'retire', 1, 1, 1, 1, 1, 1, 1, 1, 'EUR', '', '2026-01-02',
    'keep'
FROM core.sims JOIN predictions.scorings USING (organization_id);
INSERT INTO predictions.recommendation_decisions (organization_id, recommendation_id, decision, decided_by, decided_at)
SELECT organization_id, recommendation_id, 'accepted', 'x', now() FROM predictions.quota_recommendations;
INSERT INTO predictions.quota_fleet (organization_id, as_of, state, note, run_id, content, computed_at)
SELECT organization_id, '2026-01-01', 'ok', '', 'r', '{}', now() FROM core.organizations;
INSERT INTO predictions.realized_savings (organization_id, month, scope, sims, predicted_minor, realized_minor,
    currency, computed_at)
SELECT organization_id, '2026-01-01', 'all', 1, 1, 1, 'EUR', now() FROM core.organizations;
INSERT INTO predictions.aggregate_forecasts
    (organization_id, as_of, kind, name, day, method, sims, mean, q025, q10, q50, q90, q975, created_at)
SELECT organization_id, '2026-01-01', 'fleet', 'fleet', '2026-01-02', 'prophet', 1, 1, 1, 1, 1, 1, 1, now() FROM
    core.organizations;
INSERT INTO predictions.alerts (organization_id, sim_key, kind, severity, message, opened_as_of, opened_at, seen_as_of)
SELECT organization_id, sim_key, 'silent', 'info', '', '2026-01-01', now(), '2026-01-01' FROM core.sims;
INSERT INTO core.sim_states (organization_id, sim_key, state, since, evidence, as_of, decided_by, decided_at)
SELECT organization_id, sim_key, 'active', '2026-01-01', '', '2026-01-01', 'm', now() FROM core.sims;
INSERT INTO core.sim_lifecycle (organization_id, sim_key, occurred_on, kind, to_value, evidence, as_of, decided_by,
    decided_at)
SELECT organization_id, sim_key, '2026-01-01', 'top_up', 'data', '', '2026-01-01', 'm', now() FROM core.sims;
INSERT INTO core.sim_state_counts (organization_id, as_of, state, sims, evaluated_at)
SELECT organization_id, '2026-01-01', 'active', 1, now() FROM core.organizations;
INSERT INTO predictions.alert_rules (organization_id, name, metric, operator, threshold, for_days, scope, severity,
    enabled, created_by, created_at, changed_at)
SELECT organization_id, 'r', 'usage_day_mb', '>', 1, 1, '{}', 'info', true, 'x', now(), now() FROM core.organizations;
INSERT INTO core.tickets (organization_id, case_id, status, communications, changed_at)
SELECT organization_id, 'c', 'OPEN', '[]', now() FROM core.organizations;
INSERT INTO predictions.ticket_classes (organization_id, case_id, scoring_id, confidence, priority, to_person, reasons,
    ticket_changed_at, classified_at)
SELECT organization_id, 'c', scoring_id, 0, 'medium', true, '', now(), now() FROM predictions.scorings;
INSERT INTO predictions.ticket_corrections (organization_id, case_id, category, said_by, said_at)
SELECT organization_id, 'c', 'billing_question', 'x', now() FROM core.organizations;
INSERT INTO ops.channels (organization_id, name, kind, url_variable, min_severity, direct, resolved, time_zone,
    after_crash, created_at, tells_from)
SELECT organization_id, 'c', 'apprise', 'X', 'info', true, true, 'UTC', 'park', now(), now() FROM core.organizations;
INSERT INTO ops.notifications (organization_id, channel_id, delivery_key, stage, severity, created_at, next_attempt_at)
SELECT organization_id, channel_id, gen_random_uuid(), 'opened', 'info', now(), now() FROM ops.channels;
INSERT INTO ops.notified_alerts (organization_id, alert_id, channel_id, stage, notification_id)
SELECT organization_id, alert_id, channel_id, 'opened', notification_id FROM predictions.alerts JOIN ops.notifications
    USING (organization_id);
INSERT INTO ops.escalation_policies (organization_id, name, min_severity, steps, created_at)
SELECT organization_id, 'p', 'info', '[{}]', now() FROM core.organizations;
INSERT INTO ops.quiet_hours (organization_id, name, days, from_time, to_time, time_zone)
SELECT organization_id, 'q', '{1}', '22:00', '06:00', 'UTC' FROM core.organizations;
INSERT INTO ops.maintenance_windows (organization_id, name, scope, starts_at, ends_at, created_by)
SELECT organization_id, 'w', '{}', now(), now() + interval '1 hour', 'x' FROM core.organizations;
INSERT INTO ops.action_requests (organization_id, kind, sim_key, parameters, idempotency_key, cost_minor, requested_by,
 requested_at, changed_by, changed_at)
SELECT organization_id, 'reset', sim_key, '{}', 'k', 0, 'x', now(), 'x', now() FROM core.sims;
INSERT INTO ops.action_switches (organization_id, stopped, changed_by, changed_at)
SELECT organization_id, true, 'x', now() FROM core.organizations;
"""
SEEDED = [line.split()[2] for line in SEED.splitlines() if line.startswith("INSERT")]
FOREIGN_ROWS = [
    "INSERT INTO core.sims (organization_id, iccid, first_seen_at, changed_at) VALUES (%(other)s, repeat('7', 19), "
    "now(), now())",
    "INSERT INTO core.sim_usage (organization_id, sim_key, day, bytes, known_at) VALUES (%(other)s, 1, '2020-01-01', "
    "1, now())",
    "INSERT INTO core.sim_usage (organization_id, sim_key, day, bytes, known_at) VALUES (%(other)s, 1, '2026-01-05', "
    "1, now())",
    "UPDATE core.sim_usage SET organization_id = %(other)s",
    "UPDATE core.sims SET organization_id = %(other)s",
    "INSERT INTO raw.landings (organization_id, source, request, body_sha256, body, received_at)"
    " VALUES (%(other)s, 's', 'r', '', '', now())",
    "INSERT INTO ops.api_keys (organization_id, name, key_sha256) VALUES (%(other)s, 'n', 'h')",
    "INSERT INTO predictions.alert_rules (organization_id, name, metric, operator, threshold, for_days, scope, "
    "severity, enabled, created_by,"
    " created_at, changed_at) VALUES (%(other)s, 's', 'm', '>', 1, 1, '{}', 'info', true, 'x', now(), now())",
    "UPDATE ops.channels SET organization_id = %(other)s",
    "UPDATE predictions.alerts SET organization_id = %(other)s",
    "UPDATE predictions.churn_risks SET organization_id = %(other)s",
    "INSERT INTO predictions.churn_decisions (organization_id, sim_key, as_of, action, p_90, held_out, decision,"
    " reason, decided_by, decided_at) VALUES (%(other)s, 1, now(), '', 0, false, 'accepted', '', 'x', now())",
    "INSERT INTO ops.streams (stream_id, organization_id, name, secret_sha256, created_at)"
    " VALUES ('12345678', %(other)s, 'n', 'h', now())",
    "INSERT INTO raw.stream_batches (organization_id, stream_id, body_sha256, body, records, received_at)"
    " VALUES (%(other)s, 's', '', '', 0, now())",
    "INSERT INTO core.stream_usage (organization_id, record_id, sim_key, day, kind, started_at, ended_at, bytes, sms, "
    "known_at)"
    " VALUES (%(other)s, 2, 1, '2026-03-02', 'data', now(), now(), 5, 0, now())",
]
NOT_FOR_THE_API = [
    "INSERT INTO core.sims (organization_id, iccid, first_seen_at, changed_at) VALUES (1, repeat('7', 19), now(), "
    "now())",
    "UPDATE predictions.alerts SET closed_at = now()",
    "DELETE FROM core.sim_usage",
    "TRUNCATE core.sim_usage",
    "SELECT * FROM raw.landings",
    "SELECT * FROM ops.quarantine",
    "SELECT * FROM ops.api_keys",
    "SELECT * FROM raw.stream_batches",
    "SELECT * FROM ops.streams",
    "SELECT * FROM ops.incidents",
    "SELECT * FROM ops.channels",
    "SELECT * FROM ops.notifications",
    "INSERT INTO predictions.alert_history (organization_id, alert_id, event, at, state, severity, as_of)"
    " VALUES (1, 1, 'opened', now(), 'open', 'info', now())",
    "UPDATE predictions.alert_rules SET enabled = false",
    "INSERT INTO predictions.recommendation_decisions (organization_id, recommendation_id, decision, decided_by, "
    "decided_at) VALUES (1, 1, 'accepted', 'x', now())",
    "SELECT predictions.act_on_alerts(1::smallint, '{1}', 'resolve', NULL, NULL, 'x', now(), true)",
    "SELECT predictions.switch_alert_rule(1::smallint, 1, false, true, now())",
    "SELECT * FROM ops.action_requests",
    "SELECT * FROM ops.action_log",
    "SELECT ops.decide_action(1::smallint, 'x', 1, true, now())",
    "SELECT ops.decide_action_here('x', 1, true, now())",
    "SELECT ops.request_action_here('x', 'reset', NULL, '{}', 'k', NULL, false, 0, false, now())",
    "SELECT ops.log_action(1::smallint, now(), 1, 'done', 'x', '{}')",
    "SELECT ops.organization('other')",
    "SELECT ops.analyze_new_tables()",
    "CREATE TABLE core.mine (a integer)",
    "SET ROLE simsight_owner",
]
VIEWS = [
    "core.sims_v1",
    "core.sim_usage_v1",
    "core.sim_quota_v1",
    "core.sim_events_v1",
    "core.sim_usage_early_v1",
    "core.fleet_days_v1",
    "core.sim_states_v1",
    "core.sim_lifecycle_v1",
    "predictions.usage_forecasts_v1",
    "predictions.aggregate_forecasts_v1",
    "predictions.churn_risks_v1",
    "predictions.alerts_v1",
    "predictions.alert_history_v1",
    "predictions.alert_rules_v1",
    "predictions.quota_recommendations_v1",
]


@pytest.fixture
def admin(database_url: URL) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(
        driver_url(database_url, "").render_as_string(hide_password=False), autocommit=True
    ) as connection:
        connection.execute(SEED)
        yield connection


@pytest.fixture
def organizations(admin: psycopg.Connection[Any]) -> tuple[int, int]:
    """Keys of `default` and `other`."""
    row = admin.execute("SELECT ops.organization('default'), ops.organization('other')").fetchone()
    assert row is not None
    return row[0], row[1]


def enter(admin: psycopg.Connection[Any], organization: int | None) -> None:
    """Show the secret of an organization, as only functions of the owner do, or none."""
    secret = "coalesce((SELECT secret FROM ops.organization_secrets WHERE organization_id = %s), '')"
    admin.execute(f"SELECT set_config('simsight.organization', {secret}, false)".encode(), (organization,))


@contextmanager
def acting(admin: psycopg.Connection[Any], role: str, organization: int | None) -> Iterator[psycopg.Connection[Any]]:
    """The connection in another role, for one organization or for none."""
    enter(admin, organization)
    admin.execute(f"SET ROLE {role}".encode())
    try:
        yield admin
    finally:
        admin.execute("RESET ROLE")
        admin.execute("RESET simsight.organization")


def organizations_in(connection: psycopg.Connection[Any], table: str) -> set[int]:
    return {row[0] for row in connection.execute(f"SELECT DISTINCT organization_id FROM {table}".encode())}


def test_the_pipeline_sees_the_rows_of_its_own_organization_only(
    admin: psycopg.Connection[Any], organizations: tuple[int, int]
) -> None:
    assert all(organizations_in(admin, table) == set(organizations) for table in SEEDED)
    for own in organizations:
        with acting(admin, "simsight_pipeline", own) as pipeline:
            seen = {table: organizations_in(pipeline, table) for table in (*SEEDED, *VIEWS, "core.organizations")}
            assert [table for table, found in seen.items() if found != {own}] == []


def test_without_an_organization_nothing_is_visible(admin: psycopg.Connection[Any]) -> None:
    with acting(admin, "simsight_pipeline", None) as pipeline:
        assert all(organizations_in(pipeline, table) == set() for table in [*SEEDED, *VIEWS, "core.organizations"])
    with acting(admin, "simsight_api", None) as api:
        assert all(organizations_in(api, view) == set() for view in VIEWS)


def test_the_pipeline_changes_and_deletes_rows_of_its_own_organization_only(
    admin: psycopg.Connection[Any], organizations: tuple[int, int]
) -> None:
    own, other = organizations
    with acting(admin, "simsight_pipeline", own) as pipeline:
        pipeline.execute("UPDATE core.sim_usage SET bytes = 9")
        pipeline.execute("DELETE FROM predictions.alerts")
        pipeline.execute("DELETE FROM core.sim_quota")
    usage = "SELECT organization_id, min(bytes), max(bytes) FROM core.sim_usage GROUP BY 1 ORDER BY 1"
    assert admin.execute(usage).fetchall() == [(own, 9, 9), (other, 5, 5)]
    assert organizations_in(admin, "predictions.alerts") == organizations_in(admin, "core.sim_quota") == {other}


def test_the_rule_of_another_organization_is_not_switched_by_naming_it(
    admin: psycopg.Connection[Any], organizations: tuple[int, int]
) -> None:
    own, other = organizations
    rules = (
        "SELECT predictions.switch_alert_rule(%s::smallint, rule_id, false, true, now()) "
        "FROM generate_series(1, 2) AS rule_id"
    )
    with acting(admin, "simsight_pipeline", own) as pipeline:
        assert [row[0] for row in pipeline.execute(rules, (other,))] == [None, None]
        assert sorted(row[0] is None for row in pipeline.execute(rules, (own,))) == [False, True]
    left = admin.execute("SELECT organization_id FROM predictions.alert_rules WHERE deleted_at IS NULL")
    assert left.fetchall() == [(other,)]


def test_a_row_of_another_organization_cannot_be_written(
    admin: psycopg.Connection[Any], organizations: tuple[int, int]
) -> None:
    own, other = organizations
    with acting(admin, "simsight_pipeline", own) as pipeline:
        for statement in FOREIGN_ROWS:
            with pytest.raises(InsufficientPrivilege, match="violates row-level security"):
                pipeline.execute(statement.encode(), {"other": other})


def test_the_history_of_alerts_cannot_be_changed(
    admin: psycopg.Connection[Any], organizations: tuple[int, int]
) -> None:
    for statement in ("DELETE FROM predictions.alert_history", "UPDATE predictions.alert_history SET who = 'me'"):
        with (
            acting(admin, "simsight_pipeline", organizations[0]) as pipeline,
            pytest.raises(InsufficientPrivilege, match="permission denied"),
        ):
            pipeline.execute(statement.encode())


def test_the_pipeline_can_neither_add_nor_rename_nor_drop_an_organization(
    admin: psycopg.Connection[Any], organizations: tuple[int, int]
) -> None:
    for statement in (
        "INSERT INTO core.organizations (slug) VALUES ('third')",
        "UPDATE core.organizations SET data_note = ''",
        "DELETE FROM core.organizations",
    ):
        with (
            acting(admin, "simsight_pipeline", organizations[0]) as pipeline,
            pytest.raises(InsufficientPrivilege, match="permission denied"),
        ):
            pipeline.execute(statement)


def test_the_api_role_may_write_nothing_and_read_neither_raw_nor_ops(admin: psycopg.Connection[Any]) -> None:
    rights = admin.execute(
        "SELECT n.nspname, n.nspname || '.' || c.relname || ' ' || p.what FROM pg_class AS c"
        " JOIN pg_namespace AS n ON n.oid = c.relnamespace"
        " CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS p "
        "(what)"
        " WHERE n.nspname = ANY(%s) AND c.relkind IN ('r', 'p', 'v') AND has_table_privilege('simsight_api', c.oid, "
        "p.what)",
        (OURS,),
    ).fetchall()
    assert [right for _, right in rights if not right.endswith(" SELECT")] == []
    assert sorted(right for schema, right in rights if schema in ("raw", "ops")) == [
        "ops.schema_migrations SELECT",
        "ops.session_organization SELECT",
    ]
    assert "predictions.alerts_v1 SELECT" in {right for _, right in rights}


def test_the_api_role_is_refused_what_is_not_its_own(
    admin: psycopg.Connection[Any], organizations: tuple[int, int]
) -> None:
    # not SET ROLE: not even the right to change roles may be left from the administrator
    enter(admin, organizations[0])
    admin.execute("SET SESSION AUTHORIZATION simsight_api")
    try:
        for statement in NOT_FOR_THE_API:
            with pytest.raises(InsufficientPrivilege):
                admin.execute(statement.encode())
    finally:
        admin.execute("RESET SESSION AUTHORIZATION")


def test_an_api_key_opens_the_organization_it_was_made_for_while_it_lives(
    admin: psycopg.Connection[Any], organizations: tuple[int, int]
) -> None:
    own, other = organizations
    admin.execute(
        "INSERT INTO ops.api_keys (organization_id, name, key_sha256, expires_at, revoked_at) VALUES"
        " (%(own)s, 'a', 'a', NULL, NULL), (%(other)s, 'b', 'b', now() + interval '1 day', NULL),"
        " (%(own)s, 'c', 'c', now() - interval '1 day', NULL), (%(own)s, 'd', 'd', NULL, now())",
        {"own": own, "other": other},
    )
    with acting(admin, "simsight_api", None) as api:
        opened = [
            api.execute("SELECT ops.authenticate(%s::bytea)", (key,)).fetchone()
            for key in (b"a", b"b", b"c", b"d", b"x")
        ]
    assert opened == [(own,), (other,), (None,), (None,), (None,)]


def test_the_pieces_of_a_hypertable_are_no_way_round_the_guard(
    admin: psycopg.Connection[Any], organizations: tuple[int, int]
) -> None:
    pieces = admin.execute(
        "SELECT i.inhrelid::regclass::text FROM pg_inherits AS i WHERE i.inhparent = 'core.sim_usage'::regclass"
    ).fetchall()
    has_timescaledb = admin.execute("SELECT FROM pg_extension WHERE extname = 'timescaledb'").fetchone() is not None
    assert bool(pieces) == has_timescaledb
    for role in ("simsight_pipeline", "simsight_api"):
        for (piece,) in pieces:
            with acting(admin, role, organizations[0]) as connection, pytest.raises(InsufficientPrivilege):
                connection.execute(f"SELECT * FROM {piece}".encode())
