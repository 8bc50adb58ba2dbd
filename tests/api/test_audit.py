"""The log of writes and the use of keys: over HTTP, on the command line's functions and in the database itself."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from time import sleep
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from sqlalchemy import URL
from typer.testing import CliRunner

from api.app import create_app
from api.dashboard.signing import COOKIE, CSRF_HEADER, csrf_token
from api.key_use import MAX_COUNTS, KeyUse
from pipelines.cli.app import app as cli
from resources.database.server import driver_url
from resources.database.session import Database
from resources.errors import SimsightError
from services.access.api_keys import SCOPES, create_key
from services.access.downstream_logins import create_login, revoke_login
from services.access.stream_credentials import create_stream, revoke_stream
from services.actions.requests import verify_log
from services.alerts.evaluation import disable_rule
from services.audit import written
from services.notifications import oncall
from services.notifications.outbox import disable_channel, enable_channel
from tests.api.conftest import Seeded, _served
from tests.conftest import LOCAL, administer, copy_database

NOW = datetime.now(UTC)
RULE = {"name": "heavy", "metric": "usage_day_mb", "operator": ">", "threshold": 100}
SAID = "a text that nobody else is to read"


@dataclass
class Audited:
    """A service that was written to in every way."""

    seeded: Seeded
    database: Database
    app: Any
    admin: httpx.Client
    theirs: httpx.Client
    stranger: httpx.Client
    secrets: list[str]

    def lines(self, *, with_requests: bool = False, **chosen: Any) -> list[dict[str, Any]]:
        """All lines chosen, oldest first, page by page; without the ids of requests, which are new each time."""
        found: list[dict[str, Any]] = []
        after = None
        while True:
            page = self.admin.get("/v1/audit", params=chosen | ({"after": after} if after else {}))
            assert page.status_code == 200, page.text
            found += page.json()["items"]
            if (after := page.json()["next"]) is None:
                for line in found if not with_requests else ():
                    line["facts"].pop("request_id", None)
                return found[::-1]

    def tampered(self, statement: str) -> list[str]:
        """What the check finds after the owner did this; the log is mended afterwards."""
        self.seeded.run(
            "CREATE TABLE kept AS SELECT * FROM ops.action_log", "ALTER TABLE ops.action_log DISABLE TRIGGER stays"
        )
        try:
            self.seeded.run(statement)
            return verify_log(self.database)[0]
        finally:
            self.seeded.run(
                "DELETE FROM ops.action_log",
                "INSERT INTO ops.action_log SELECT * FROM kept",
                "DROP TABLE kept",
                "ALTER TABLE ops.action_log ENABLE TRIGGER stays",
                "ALTER TABLE ops.action_log DROP CONSTRAINT IF EXISTS action_log_pkey",
                "ALTER TABLE ops.action_log ADD PRIMARY KEY (organization_id, number)",
            )


@pytest.fixture(scope="module")
def audited(postgres: URL, seeded_template: Seeded) -> Iterator[Audited]:
    name = f"{seeded_template.url.database}_audit"
    copy_database(postgres, str(seeded_template.url.database), name)
    seeded = Seeded(postgres.set(database=name), seeded_template.keys)
    databases = [Database(seeded.url, organization) for organization in ("default", "other")]
    keys = [create_key(one, "admin", now=NOW, valid_for=None, scopes=SCOPES, by="user ann") for one in databases]
    app = create_app(seeded.url)
    with _served(app) as stranger:
        clients = [
            httpx.Client(base_url=stranger.base_url, headers={"X-API-Key": key}, timeout=30, **LOCAL) for key in keys
        ]
        filled = Audited(seeded, databases[0], app, clients[0], clients[1], stranger, keys)
        write(filled)
        yield filled
        for client in clients:
            client.close()
    for database in databases:
        database.close()
    administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


def write(audited: Audited) -> None:
    """Write in every way there is, over HTTP where there is a route."""
    admin, seeded = audited.admin, audited.seeded
    alert = admin.get("/v1/alerts").json()["items"][0]["alert_id"]
    note = {"note": SAID, "by": "bob"}
    added = admin.post("/v1/alert-rules", json=RULE)
    rule = added.json()["rule_id"]
    iccid = seeded.iccid(1)
    recommendation = admin.get("/v1/recommendations").json()["items"][0]["recommendation_id"]
    made = admin.post("/v1/keys", json={"name": "app"})
    rotated = admin.post("/v1/keys/app/rotate")
    audited.secrets += [made.json()["key"], rotated.json()["key"]]
    answers = [
        admin.post(f"/v1/alerts/{alert}/acknowledge", json=note),
        admin.post(f"/v1/alerts/{alert}/snooze", json={"until": "2099-01-01T00:00:00Z"}),
        admin.post(f"/v1/alerts/{alert}/reopen"),
        admin.post(f"/v1/alerts/{alert}/resolve", json=note),
        admin.patch(f"/v1/alert-rules/{rule}", json={"enabled": False}),
        admin.patch(f"/v1/alert-rules/{rule}", json={"enabled": True}),
        admin.delete(f"/v1/alert-rules/{rule}"),
        admin.post("/v1/alert-rules", json=RULE | {"name": "second"}),
        admin.post("/v1/tickets/case 1/correction", json={"category": "billing_question", "note": SAID}),
        admin.post(f"/v1/sims/{iccid}/churn-actions", json={"decision": "accepted", "reason": SAID}),
        admin.post(f"/v1/recommendations/{recommendation}/accept", json={"reason": SAID}),
        admin.post(f"/v1/recommendations/{recommendation}/dismiss", json={"reason": SAID}),
        admin.post("/v1/keys/app/revoke"),
        made,
        rotated,
    ]
    assert [answer.status_code for answer in answers if answer.status_code > 204] == [], [
        (str(answer.url), answer.text) for answer in answers
    ]
    disable_rule(audited.database, "second", now=NOW, by="ann")
    with audited.app.state.writers._transaction() as session:
        token = {"presented": seeded.run("SELECT key_sha256 FROM ops.api_keys WHERE name = 'admin' LIMIT 1")[0][0]}
        session.row("dashboard_open_session", token | {"session_sha256": b"s" * 32, "hours": 1})
        session.row("dashboard_close_session", {"session_sha256": b"s" * 32})
    write_by_page(audited, alert)
    label = {"action": "set-labels", "ids": [iccid], "label": SAID}
    bulk = admin.post("/v1/bulk-actions", json=label | {"by": "bob"}).json()["bulk_id"]
    assert admin.post(f"/v1/bulk-actions/{bulk}/confirm").status_code == 200
    write_on_call(audited.database)
    with audited.database.transaction() as transaction:
        about = {"model_name": "usage-forecaster", "now": NOW, "why": SAID}
        for version in (1, 2):
            record = {"model_version": version, "run_id": "r", "as_of": date(2026, 1, 1), "metrics": "{}"}
            transaction.execute("record_backtest", about | record | {"role": "challenger", "comparison": None})
        for version, before, by in ((2, 1, "training"), (1, 2, "ann")):
            chosen = {"model_version": version, "from_version": before, "decided_by": by}
            transaction.execute("retire_champion", {"model_name": "usage-forecaster"})
            transaction.execute("promote_version", about | chosen)
    stream = create_stream(audited.database, "usage", now=NOW, by="user ann")
    revoke_stream(audited.database, "usage", now=NOW)
    login = f"audited_{uuid4().hex[:8]}"
    audited.secrets += [stream.secret, create_login(seeded.url, "default", login, now=NOW, by="user ann")]
    revoke_login(seeded.url, "default", login, by="user ann")


def write_by_page(audited: Audited, alert: int) -> None:
    """Sign in to the dashboard, read, acknowledge, and sign out; once with a wrong key."""
    with httpx.Client(base_url=audited.stranger.base_url, timeout=30, **LOCAL) as browser:
        assert browser.post("/sign-in", data={"key": "ss_wrong"}).status_code == 401
        assert browser.post("/sign-in", data={"key": audited.secrets[0]}).status_code == 303
        session = browser.cookies[COOKIE]
        audited.secrets.append(session)
        other = audited.admin.get("/v1/alerts").json()["items"][0]["alert_id"]
        headers = {CSRF_HEADER: csrf_token(session)}
        assert browser.post(f"/alerts/{other}/acknowledge", headers=headers).status_code == 200
        for _ in range(3):
            assert browser.get(f"/sims/{audited.seeded.iccid(1)}").status_code == 200
        assert browser.post("/sign-out", headers=headers).status_code == 303
        assert browser.get("/sims", headers={"Cookie": f"{COOKIE}={session}"}).status_code == 303


def write_on_call(database: Database) -> None:
    """Set up channels and who is told when, and take all of it back."""
    oncall.add_channel(database, "mail", url_variable="MAIL_URL", now=NOW, by="ann")
    channel = oncall.channel_named(database, "mail")
    for _ in range(2):  # the second trial that fails changes nothing
        disable_channel(database, channel, SAID, NOW)
    enable_channel(database, channel, NOW)
    oncall.add_policy(database, "night", [(30, "mail")], now=NOW, by="ann")
    oncall.add_policy(database, "night", [(60, "mail")], now=NOW, by="bob")
    oncall.add_quiet_hours(database, "lunch", time(12), time(13), time_zone="UTC", days=[1], by="ann")
    oncall.add_maintenance(database, "works", NOW, NOW + timedelta(hours=1), scope={}, by="ann")
    for what, name in (("escalation", "night"), ("quiet", "lunch"), ("maintenance", "works")):
        oncall.delete_oncall(database, what, name, by="bob")
    oncall.delete_channel(database, "mail", now=NOW)
    said = {"iccid": None, "label": SAID, "kind": "spike", "note": SAID, "by": "ann", "now": NOW}
    given = (database.row("add_feedback", said) or {})["feedback_id"]
    with database.transaction() as transaction:
        transaction.execute("undo_feedback", {"feedback_id": given, "by": "bob", "now": NOW})


def test_every_kind_of_write_has_its_line_with_who_and_what(audited: Audited) -> None:
    login = audited.seeded.run("SELECT session_user")[0][0]
    found = [(line["event"], line["who"], line["subject"]) for line in audited.lines()]
    key = "API key admin"
    assert found == [
        ("key.made", "command line", "key"),  # by the fixture, which says nobody
        ("key.made", "user ann", "key"),
        ("rule.added", key, "rule"),
        ("key.made", key, "key"),
        ("key.rotated", key, "key"),
        ("key.made", key, "key"),
        ("alert.acknowledged", f"{key} by bob", "alert"),
        ("alert.snoozed", key, "alert"),
        ("alert.reopened", key, "alert"),
        ("alert.resolved", f"{key} by bob", "alert"),
        ("rule.switched-off", key, "rule"),
        ("rule.switched-on", key, "rule"),
        ("rule.deleted", key, "rule"),
        ("rule.added", key, "rule"),
        ("ticket.corrected", key, "ticket"),
        ("churn-action.accepted", key, "churn-action"),
        ("recommendation.accepted", key, "recommendation"),
        ("recommendation.dismissed", key, "recommendation"),
        ("key.revoked", key, "key"),
        ("key.revoked", key, "key"),
        ("rule.switched-off", "ann", "rule"),
        ("session.opened", key, "session"),
        ("session.closed", key, "session"),
        ("session.opened", key, "session"),
        ("alert.acknowledged", key, "alert"),
        ("session.closed", key, "session"),
        ("bulk.prepared", f"{key} by bob", "bulk"),
        ("sim.labelled", f"{key} by bob", "sim"),
        ("bulk.confirmed", f"{key} by bob", "bulk"),
        ("channel.added", "ann", "channel"),
        ("channel.disabled", "sender", "channel"),
        ("channel.enabled", "sender", "channel"),
        ("escalation.made", "ann", "escalation"),
        ("escalation.changed", "bob", "escalation"),
        ("quiet-hours.made", "ann", "quiet-hours"),
        ("maintenance.made", "ann", "maintenance"),
        ("escalation.removed", "bob", "escalation"),
        ("quiet-hours.removed", "bob", "quiet-hours"),
        ("maintenance.removed", "bob", "maintenance"),
        ("channel.deleted", f"login {login}", "channel"),
        ("feedback.given", "ann", "feedback"),
        ("feedback.taken-back", "bob", "feedback"),
        ("model.promoted", "ann", "model"),
        ("stream.made", "user ann", "stream"),
        ("stream.revoked", f"login {login}", "stream"),
        ("login.made", "user ann", "login"),
        ("login.revoked", "user ann", "login"),
    ]
    first = audited.lines()[0]
    assert audited.seeded.run("SELECT min(key_id) FROM ops.api_keys")[0][0] == int(first["subject_id"])
    (labelled,) = audited.lines(subject=f"sim:{audited.seeded.iccid(1)}")
    assert (labelled["event"], labelled["facts"]) == ("sim.labelled", {})
    (promoted,) = audited.lines(event="model")
    assert (promoted["subject_id"], promoted["facts"]) == ("usage-forecaster", {"from_version": 2, "model_version": 1})


def test_no_secret_and_no_text_of_anybody_is_in_the_log(audited: Audited) -> None:
    logged = str(audited.seeded.run("SELECT l::text FROM ops.action_log AS l, ops.key_use AS u"))
    logged += str(audited.seeded.run("SELECT l::text FROM ops.action_log AS l"))
    logged += audited.admin.get("/v1/audit/export").text + audited.admin.get("/v1/key-use").text
    hashes = audited.seeded.run("SELECT encode(key_sha256, 'hex') FROM ops.api_keys")
    for secret in [*audited.secrets, *(one for (one,) in hashes), SAID, (b"s" * 32).hex()]:
        assert secret not in logged
    assert "billing_question" in logged


def test_lines_are_searched_and_exported(audited: Audited) -> None:
    everything = audited.lines()
    assert audited.lines(limit=4) == everything
    assert [line["event"] for line in audited.lines(event="rule.deleted")] == ["rule.deleted"]
    assert {line["event"] for line in audited.lines(event="alert")} == {
        f"alert.{what}" for what in ("acknowledged", "snoozed", "reopened", "resolved")
    }
    assert len(audited.lines(who="API key admin", event="alert")) == 5
    assert len(audited.lines(who="API key admin by bob")) == 5
    (churn,) = audited.lines(subject=f"churn-action:{audited.seeded.iccid(1)}")
    assert (churn["event"], churn["facts"]) == ("churn-action.accepted", {"action": "call"})
    assert len(audited.lines(subject="session")) == 4
    today, yesterday = NOW.date(), NOW.date() - timedelta(1)
    assert audited.lines(**{"from": yesterday, "to": today + timedelta(1)}) == everything
    assert audited.lines(to=yesterday) == []
    assert audited.admin.get("/v1/audit", params={"from": today, "to": yesterday}).status_code == 422

    exported = audited.admin.get("/v1/audit/export")
    assert [json.loads(line) for line in exported.text.splitlines()] == audited.lines(with_requests=True)[::-1]
    rows = list(csv.DictReader(io.StringIO(audited.admin.get("/v1/audit/export?format=csv&event=key").text)))
    assert [int(row["number"]) for row in rows] == [line["number"] for line in audited.lines(event="key")][::-1]
    assert rows[-1]["who"] == "command line"


def test_a_name_that_is_a_formula_is_written_as_text() -> None:
    line = {"number": 1, "at": NOW, "event": "key.made", "who": "=1+1", "subject": "ticket", "subject_id": "@x"}
    assert ",'=1+1,ticket,'@x," in written([line | {"facts": {}, "sha256": ""}], "csv")


def test_only_an_administrator_reads_it_and_of_the_own_organization(audited: Audited) -> None:
    reader = {"X-API-Key": audited.seeded.keys["default"]}
    for path in ("/v1/audit", "/v1/audit/export", "/v1/key-use"):
        answers = [audited.stranger.get(path, headers=key).status_code for key in ({}, reader)]
        assert (path, answers) == (path, [401, 403])
    theirs = audited.theirs.get("/v1/audit").json()["items"]
    assert [line["number"] for line in theirs] == [2, 1]
    assert len(audited.theirs.get("/v1/audit/export").text.splitlines()) == 2
    ours = audited.lines()[-1]["number"]
    assert audited.theirs.get("/v1/audit", params={"after": ours}).json()["items"] == theirs


@pytest.mark.parametrize("role", ["simsight_api", "simsight_pipeline", "simsight_downstream"])
def test_nobody_but_the_owner_may_change_it(audited: Audited, role: str) -> None:
    for table in ("ops.action_log", "ops.key_use"):
        for statement in (
            f"UPDATE {table} SET organization_id = 1",
            f"DELETE FROM {table}",
            f"TRUNCATE {table}",
            f"INSERT INTO {table} DEFAULT VALUES",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                audited.seeded.run(f"SET ROLE {role}", statement)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        audited.seeded.run(f"SET ROLE {role}", "SELECT ops.log_action(1::smallint, now(), NULL, 'x', 'x', '{}')")
    for statement in ("UPDATE ops.action_log SET event = 'x'", "DELETE FROM ops.action_log", "TRUNCATE ops.action_log"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            audited.seeded.run(statement)  # even the owner, unless the trigger is taken away


def test_what_the_owner_changes_is_found_and_the_row_named(audited: Audited) -> None:
    assert verify_log(audited.database)[0] == []
    ours = "WHERE organization_id = (SELECT organization_id FROM core.organizations WHERE slug = 'default')"
    for statement, found in [
        (f"UPDATE ops.action_log SET by_whom = 'user eve' {ours} AND number = 5", "row 5: it was changed"),
        (f"DELETE FROM ops.action_log {ours} AND number = 7", "row 8: rows 7 to 7 are missing"),
        (
            f"ALTER TABLE ops.action_log DROP CONSTRAINT action_log_pkey; "
            f"INSERT INTO ops.action_log SELECT organization_id, number, at, action_id, 'key.made', by_whom, facts, "
            f"previous_sha256, sha256 FROM ops.action_log {ours} AND number = 9",
            "row 9: ",
        ),
    ]:
        problems = audited.tampered(statement)
        assert problems[0].startswith(found), (statement, problems)
    assert verify_log(audited.database)[0] == []


def test_a_write_that_is_taken_back_leaves_no_line(audited: Audited) -> None:
    before = len(audited.lines())
    audited.seeded.run("BEGIN; UPDATE ops.api_keys SET revoked_at = now() WHERE name = 'tests'; ROLLBACK")
    assert len(audited.lines()) == before
    audited.seeded.run("UPDATE predictions.alert_rules SET evaluated_at = now(), holding = 3")  # of an evaluation
    assert len(audited.lines()) == before


def test_whoever_waits_for_another_lock_holds_up_no_other_write(audited: Audited) -> None:
    """Alerts take the lock of their history, then that of the chain: a rule that is switched does so too."""
    audited.admin.post("/v1/alert-rules", json=RULE | {"name": "third"})
    (rule,) = (one for one in audited.admin.get("/v1/alert-rules").json()["items"] if one["name"] == "third")
    url = driver_url(audited.seeded.url, "").render_as_string(hide_password=False)
    waiting = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'"
    with ThreadPoolExecutor(1) as pool, psycopg.connect(url) as other:
        other.execute(
            "SELECT pg_advisory_xact_lock(7465003, organization_id) FROM core.organizations WHERE slug = 'default'"
        )
        switched = pool.submit(audited.admin.delete, f"/v1/alert-rules/{rule['rule_id']}")
        while not audited.seeded.run(waiting):
            assert not switched.done()
            sleep(0.02)
        path = "/v1/tickets/case 2/correction"
        assert audited.admin.post(path, json={"category": "billing_question"}).status_code < 300
        other.rollback()
        assert switched.result().status_code == 204


def test_the_command_line_lists_exports_and_checks(
    audited: Audited, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SIMSIGHT_DATABASE_URL", audited.seeded.url.render_as_string(hide_password=False))
    monkeypatch.setenv("SIMSIGHT_HOME", str(tmp_path))

    def said(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(cli, ["audit", *arguments])
        assert result.exit_code == code, result.output
        return result.output

    listed = json.loads(said("list", "--json", "--event", "login", "--who", "user ann"))
    assert [line["event"] for line in listed] == ["login.revoked", "login.made"]
    said("export", str(tmp_path / "audit.ndjson"))
    exported = (tmp_path / "audit.ndjson").read_text().splitlines()
    assert [json.loads(line) for line in exported] == audited.lines(with_requests=True)[::-1]
    assert said("export", "--format", "csv", "--event", "stream").count("stream.made") == 1
    assert said("export", "--from", "2020-01-01", "--to", "2020-01-02") == ""
    assert f"{len(exported)} rows, last {audited.lines()[-1]['sha256']}" in said("verify").replace("\n", " ")
    said("verify", "--head", "00", code=1)


def test_the_use_of_keys_is_counted_and_sealed(audited: Audited) -> None:
    audited.stranger.get("/v1/sims", headers={"X-API-Key": audited.secrets[-4]})  # of a key that was revoked
    audited.stranger.get("/v1/sims", headers={"X-API-Key": "ss_" + "x" * 43})
    audited.admin.get("/v1/organizations")
    audited.theirs.get("/v1/organizations")
    audited.admin.get("/v1/nowhere/at/all")
    asyncio.run(audited.app.state.key_use.flush())
    audited.admin.get("/v1/organizations")
    audited.admin.get("/v1/organizations")
    asyncio.run(audited.app.state.key_use.flush())
    admin = audited.admin.get("/v1/key-use?key=admin").json()["items"]
    counted = {(use["routes"], use["failed"]): use["uses"] for use in admin}
    asked = {use["address"] for use in admin}
    assert (asked, {use["day"] for use in admin}) == ({"127.0.0.1"}, {str(datetime.now(UTC).date())})
    assert (counted["/v1/organizations", False], counted["*", False]) == (3, 1)
    (revoked,) = audited.admin.get("/v1/key-use?key=app").json()["items"]
    assert (revoked["failed"], revoked["uses"], revoked["sealed"]) == (True, 1, False)
    assert {use["key"] for use in audited.theirs.get("/v1/key-use").json()["items"]} == {"admin"}
    unknown = "SELECT address, routes, failed, uses FROM ops.key_use WHERE key_id IS NULL AND routes = '/v1/sims'"
    assert audited.seeded.run(unknown) == [("127.0.0.1", "/v1/sims", True, 1)]
    # pages of the dashboard count for the key they were opened with, also after the session has ended
    assert {path: counted[path, False] for path in ("/sign-in", "/sims", "/alerts")} == {
        "/sign-in": 1,
        "/sims": 3,
        "/alerts": 1,
    }
    wrong = "SELECT failed, uses FROM ops.key_use WHERE key_id IS NULL AND routes = '/sign-in'"
    assert audited.seeded.run(wrong) == [(True, 1)]
    page = audited.admin.get("/v1/key-use?limit=1").json()
    assert audited.admin.get(f"/v1/key-use?limit=1&after={page['next']}").json()["items"] != page["items"]

    audited.seeded.run("UPDATE ops.key_use SET day = '2026-01-05'")
    asyncio.run(audited.app.state.key_use.flush())  # also without counts
    (sealed,) = audited.lines(event="key-use")
    assert (sealed["event"], sealed["subject_id"]) == ("key-use.sealed", "2026-01-05")
    assert verify_log(audited.database)[0] == []
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        audited.seeded.run("UPDATE ops.key_use SET uses = 1")
    # what a service brings too late counts for the present day
    late = ("days", "keys", "addresses", "routes", "failed", "uses")
    values: list[Any] = [[date(2026, 1, 5)], [b"x" * 32], ["1.2.3.4"], ["/v1/sims"], [True], [7]]
    audited.app.state.writers.count_key_use(dict(zip(late, values, strict=True)))
    today = "SELECT day = (now() AT TIME ZONE 'UTC')::date FROM ops.key_use WHERE address = '1.2.3.4'"
    assert audited.seeded.run(today) == [(True,)]
    try:
        audited.seeded.run(
            "ALTER TABLE ops.key_use DISABLE TRIGGER sealed_stays",
            "UPDATE ops.key_use SET uses = uses + 1 WHERE routes = '/v1/organizations'",
        )
        assert verify_log(audited.database)[0] == ["the use of keys of 2026-01-05 is not as it was sealed"]
    finally:
        audited.seeded.run(
            "UPDATE ops.key_use SET uses = uses - 1 WHERE routes = '/v1/organizations'",
            "ALTER TABLE ops.key_use ENABLE TRIGGER sealed_stays",
        )


def test_what_the_database_does_not_take_is_kept_and_many_addresses_are_counted_as_one() -> None:
    taken: list[dict[str, Any]] = []
    down = [True]

    def store(counts: dict[str, Any]) -> None:
        if down[0]:
            raise SimsightError("no database")
        taken.append(counts)

    uses = KeyUse(store)
    uses.count(b"k", "1.1.1.1", "/mcp", refused=False)
    asyncio.run(uses.flush())
    uses.count(b"k", "1.1.1.1", "/mcp", refused=False)
    for n in range(MAX_COUNTS + 5):
        uses.count(b"w%d" % n, f"a{n}", "/mcp", refused=True)
    down[0] = False
    asyncio.run(uses.flush())
    (counts,) = taken
    assert (len(counts["uses"]), sum(counts["uses"])) == (MAX_COUNTS + 1, MAX_COUNTS + 7)
    assert dict(zip(counts["addresses"], counts["uses"], strict=True)) | {"1.1.1.1": 2, "*": 6} == dict(
        zip(counts["addresses"], counts["uses"], strict=True)
    )


def test_a_request_has_an_id_in_its_answer_and_in_the_line_that_it_wrote(audited: Audited) -> None:
    given = {"X-Request-ID": "caller-0815.7"}
    added = audited.admin.post("/v1/alert-rules", json=RULE | {"name": "third"}, headers=given)
    assert added.headers["X-Request-ID"] == "caller-0815.7"
    line = audited.lines(event="rule.added", with_requests=True)[-1]
    assert line["facts"]["request_id"] == "caller-0815.7"

    disable_rule(audited.database, "third", now=NOW, by="ann")
    assert "request_id" not in audited.lines(event="rule.switched-off", with_requests=True)[-1]["facts"], (
        "no request did it"
    )

    for unfit in ("short", "two words", "ss_" + "k" * 43, "x" * 65, "line\tbreak"):
        lost = audited.admin.get("/v1/nothing", headers={"X-Request-ID": unfit})
        made = lost.headers["X-Request-ID"]
        assert (len(made), lost.json()["request_id"]) == (32, made)
    ids = {audited.admin.get("/v1/sims").headers["X-Request-ID"] for _ in range(3)}
    assert len(ids) == 3
