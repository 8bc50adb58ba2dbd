"""Bulk actions over HTTP: prepared, confirmed once, refused when things changed; by a key of the organization."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest
from sqlalchemy import URL

from api.app import create_app
from resources.database.server import driver_url
from resources.database.session import Database
from services.access.api_keys import create_key
from services.actions.requests import verify_log
from services.bulk import MAX_PENDING
from tests.api.conftest import Seeded, _served
from tests.conftest import LOCAL, administer, copy_database

NOW = datetime(2026, 1, 12, 8, tzinfo=UTC)
ALL_ALERTS = {"action": "acknowledge-alerts", "filter": {}}
# 60 more open alerts in each organization, of SIMs 4 to 12, by a rule of which each SIM has several: one a day
MORE = """
INSERT INTO predictions.alert_rules (organization_id, name, metric, operator, threshold, for_days, scope, severity,
    enabled, created_by, created_at, changed_at)
SELECT organization_id, 'rule ' || n, 'usage_day_mb', '>', 1, 1, '{}', 'info',
    true, 'seed', now(), now()
FROM core.organizations, generate_series(1, 10) AS n;
INSERT INTO predictions.alerts (organization_id, sim_key, kind, severity, value, threshold, message, opened_as_of,
    opened_at, seen_as_of, rule_id, rule_version)
SELECT s.organization_id, s.sim_key, 'rule', 'info', 7, 1, s.label || ' is heavy', '2026-01-10',
    '2026-01-11 02:00Z', '2026-01-10', r.rule_id, 1
FROM core.sims AS s JOIN predictions.alert_rules AS r USING (organization_id)
WHERE right(s.iccid, 2)::integer BETWEEN 4 AND 9
"""


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Bulk:
    seeded: Seeded
    clock: Clock
    ours: httpx.Client  # of default, scope alerts
    reader: httpx.Client  # of default, scope read
    theirs: httpx.Client  # of other, scope alerts
    stranger: httpx.Client

    def prepared(self, **wanted: Any) -> dict[str, Any]:
        answer = self.ours.post("/v1/bulk-actions", json=wanted)
        assert answer.status_code == 200, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def confirm(self, bulk: dict[str, Any], **said: Any) -> httpx.Response:
        said = {"phrase": bulk["phrase"] or ""} | said
        return self.ours.post(f"/v1/bulk-actions/{bulk['bulk_id']}/confirm", json=said)

    def ids(self, **chosen: Any) -> list[int]:
        """Alerts of default that are open, by conditions of the list."""
        return [row["alert_id"] for row in self.ours.get("/v1/alerts", params=chosen | {"limit": 1000}).json()["items"]]


@pytest.fixture(scope="module")
def bulk(postgres: URL, seeded_template: Seeded) -> Iterator[Bulk]:
    name = f"{seeded_template.url.database}_bulk"
    copy_database(postgres, str(seeded_template.url.database), name)
    seeded, clock = Seeded(postgres.set(database=name), seeded_template.keys), Clock()
    seeded.run(*MORE.split(";\n"))
    keys = {}
    for organization in ("default", "other"):
        database = Database(seeded.url, organization)
        keys[organization] = create_key(
            database, "ops", now=datetime.now(UTC), valid_for=None, scopes=("read", "alerts")
        )
        database.close()
    with _served(create_app(seeded.url, clock=clock)) as stranger:
        clients = [
            httpx.Client(base_url=stranger.base_url, headers={"X-API-Key": key}, timeout=30, **LOCAL)
            for key in (keys["default"], seeded.keys["default"], keys["other"])
        ]
        yield Bulk(seeded, clock, clients[0], clients[1], clients[2], stranger)
        for client in clients:
            client.close()
    administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(autouse=True)
def fresh(bulk: Bulk) -> Iterator[None]:
    """Every test begins with all alerts open, nothing decided or labelled, and nothing pending."""
    bulk.clock.now = NOW
    yield
    bulk.seeded.run(
        "SET session_replication_role = replica",  # without the history of it
        "UPDATE predictions.alerts SET state = 'open', closed_at = NULL, closed_as_of = NULL, acted_by = NULL,"
        " acted_at = NULL, note = NULL, snoozed_until = NULL WHERE opened_at = '2026-01-11 02:00Z'",
        "DELETE FROM predictions.recommendation_decisions",
        "UPDATE core.sims SET own_label = NULL",
        "DELETE FROM ops.bulk_actions",
        "DELETE FROM ops.bulk_sets",
    )


def test_a_preview_changes_nothing_and_a_confirmation_changes_what_was_previewed(bulk: Bulk) -> None:
    before = bulk.ids(kind="rule")
    assert len(before) == 60
    made = bulk.prepared(
        action="resolve-alerts", filter={"kind": "rule", "label_prefix": "default-"}, note="all fine", by="ann"
    )
    assert (made["state"], made["things"], made["left_out"]) == ("pending", 60, 0)
    assert made["phrase"] == "resolve 60 alerts"
    assert made["chosen"] == {"kind": "rule", "label_prefix": "default-"}
    assert made["said"] == {"note": "all fine", "by": "ann"}
    assert made["prepared_by"] == "API key ops by ann"
    assert made["expires_at"] == "2026-01-12T08:15:00Z"
    assert [int(one["id"]) for one in made["sample"]] == before[:10]
    assert made["sample"][0]["text"].endswith(" is heavy")
    assert bulk.ids(kind="rule") == before, "nothing is changed by looking"
    (listed,) = bulk.reader.get("/v1/bulk-actions?state=pending").json()["items"]
    assert listed == {name: value for name, value in made.items() if name != "sample"}
    assert bulk.reader.get(f"/v1/bulk-actions/{made['bulk_id']}").json() == made

    done = bulk.confirm(made)
    assert done.status_code == 200, done.text
    after = done.json()
    assert (after["state"], after["ended_by"], after["sample"]) == ("done", "API key ops by ann", [])
    assert bulk.ids(kind="rule") == []
    closed = bulk.ours.get(f"/v1/alerts/{before[0]}").json()
    assert (closed["acted_by"], closed["note"], closed["closed_at"]) == (
        "API key ops by ann",
        "all fine",
        "2026-01-12T08:00:00Z",
    )
    other = "organization_id = (SELECT organization_id FROM core.organizations WHERE slug = 'other') AND kind = 'rule'"
    theirs = bulk.seeded.run(f"SELECT count(*) FROM predictions.alerts WHERE {other} AND closed_at IS NULL")
    assert theirs == [(60,)]
    # again, also with nothing typed: the first one's result, and nothing more is written
    history = "SELECT count(*) FROM predictions.alert_history"
    written = bulk.seeded.run(history)
    bulk.clock.now += timedelta(days=1)
    assert bulk.confirm(made).json() == bulk.confirm(made, phrase="").json() == after
    assert bulk.seeded.run(history) == written


def test_every_action_does_to_many_what_the_single_route_does_to_one(bulk: Bulk) -> None:
    first, second, third = bulk.ids(kind="rule")[:3]
    until = "2026-01-20T08:00:00Z"

    def done(**wanted: Any) -> dict[str, Any]:
        answer = bulk.confirm(bulk.prepared(**wanted))
        assert answer.status_code == 200, answer.text
        shown: dict[str, Any] = bulk.ours.get(f"/v1/alerts/{first}").json()
        return shown

    assert done(action="acknowledge-alerts", ids=[first, second])["state"] == "acknowledged"
    again = bulk.prepared(action="acknowledge-alerts", ids=[first, second, third, third, 10**12])
    assert (again["things"], again["left_out"], again["chosen"]) == (1, 3, {"ids": 4})
    snoozed = done(action="snooze-alerts", ids=[first], until=until)
    assert (snoozed["state"], snoozed["snoozed_until"]) == ("snoozed", until)
    assert done(action="reopen-alerts", ids=[first])["state"] == "open"
    assert done(action="resolve-alerts", ids=[first])["state"] == "resolved"
    events = [item["event"] for item in bulk.ours.get(f"/v1/alerts/{first}/history").json()["items"]]
    assert events[-4:] == ["acknowledged", "snoozed", "reopened", "resolved"]

    open_ones = bulk.ours.get("/v1/recommendations?decision=open").json()["items"]
    made = bulk.prepared(action="dismiss-recommendations", filter={"recommended": "extend"}, reason="next quarter")
    extend = [row["recommendation_id"] for row in open_ones if row["action"] == "extend"]
    assert sorted(int(one["id"]) for one in made["sample"]) == sorted(extend)
    assert bulk.confirm(made).status_code == 200
    decided = bulk.ours.get("/v1/recommendations?decision=dismissed").json()["items"]
    assert sorted(row["recommendation_id"] for row in decided) == sorted(extend)
    assert {(row["decided_by"], row["decision_reason"]) for row in decided} == {("API key ops", "next quarter")}
    accepted = bulk.prepared(action="accept-recommendations", ids=extend[:1])
    assert bulk.confirm(accepted).status_code == 200
    assert bulk.ours.get("/v1/recommendations?decision=accepted").json()["items"][0]["recommendation_id"] == extend[0]


def test_labels_are_set_and_taken_away_and_1nces_own_stay(bulk: Bulk) -> None:
    iccid = bulk.seeded.iccid(3)
    made = bulk.prepared(
        action="set-labels", ids=[iccid, bulk.seeded.iccid(4), bulk.seeded.iccid(1, "other")], label="pump"
    )
    assert (made["things"], made["left_out"]) == (2, 1)
    assert made["sample"][0] == {"id": iccid, "iccid": iccid, "label": "default-3", "text": "labelled as at 1NCE"}
    assert bulk.confirm(made).status_code == 200
    assert {row["iccid"] for row in bulk.ours.get("/v1/sims?label=pump").json()["items"]} == {
        iccid,
        bulk.seeded.iccid(4),
    }
    assert bulk.seeded.run(f"SELECT label, own_label FROM core.sims WHERE iccid = '{iccid}'") == [("default-3", "pump")]
    same = bulk.ours.post(
        "/v1/bulk-actions", json={"action": "set-labels", "filter": {"label": "pump"}, "label": "pump"}
    )
    assert (same.status_code, "nothing that this would change" in same.json()["detail"]) == (409, True)
    gone = bulk.prepared(action="remove-labels", filter={"label": "pump", "status": "Enabled"})
    assert (gone["things"], gone["sample"][0]["text"]) == (1, "labelled here; 1NCE: default-3")
    assert bulk.confirm(gone).status_code == 200
    assert bulk.ours.get(f"/v1/sims/{iccid}").json()["label"] == "default-3"
    log = "SELECT event, by_whom, facts ->> 'subject' FROM ops.action_log WHERE event LIKE 'sim.%' ORDER BY number"
    assert bulk.seeded.run(log) == [("sim.labelled", "API key ops", "sim")] * 2 + [
        ("sim.label-removed", "API key ops", "sim")
    ]


def test_above_ten_things_the_phrase_must_be_typed(bulk: Bulk) -> None:
    few = bulk.prepared(action="resolve-alerts", ids=bulk.ids(kind="rule")[:10])
    assert (few["things"], few["phrase"]) == (10, None)
    many = bulk.prepared(action="resolve-alerts", ids=bulk.ids(kind="rule")[:11])
    assert (many["things"], many["phrase"]) == (11, "resolve 11 alerts")
    for typed in ("", "resolve 10 alerts", "Resolve 11 alerts", "resolve 11 alerts please"):
        refused = bulk.confirm(many, phrase=typed)
        assert (refused.status_code, "typed exactly" in refused.json()["detail"]) == (422, True), typed
    assert bulk.ours.post(f"/v1/bulk-actions/{many['bulk_id']}/confirm").status_code == 422
    assert bulk.confirm(many, digest="0" * 64).status_code == 409
    assert len(bulk.ids(kind="rule")) == 60
    assert bulk.confirm(many, phrase=" resolve 11 alerts ", digest=many["digest"]).status_code == 200
    assert bulk.ours.post(f"/v1/bulk-actions/{few['bulk_id']}/confirm").status_code == 409, (
        "its alerts are closed since"
    )


def test_it_is_refused_when_things_changed_and_says_how_many(bulk: Bulk) -> None:
    alerts = bulk.ids(kind="rule")
    made = bulk.prepared(action="resolve-alerts", filter={"kind": "rule"})
    assert bulk.ours.post(f"/v1/alerts/{alerts[0]}/acknowledge").status_code == 200
    assert bulk.ours.post(f"/v1/alerts/{alerts[1]}/resolve").status_code == 200
    bulk.seeded.run(f"UPDATE predictions.alerts SET severity = 'critical' WHERE alert_id = {alerts[2]}")
    refused = bulk.confirm(made)
    assert (refused.status_code, refused.json()["detail"][:11]) == (409, "3 of the th")
    assert len(bulk.ids(kind="rule")) == 59, "nothing was done"
    anew = bulk.prepared(action="resolve-alerts", filter={"kind": "rule"})
    assert anew["digest"] != made["digest"]
    assert (anew["things"], anew["sample"][0]["id"]) == (59, str(alerts[2])), "the most severe first"
    bulk.seeded.run(f"UPDATE predictions.alerts SET severity = 'info' WHERE alert_id = {alerts[2]}")

    decided = bulk.prepared(action="accept-recommendations", filter={})
    which = int(decided["sample"][0]["id"])
    assert bulk.ours.post(f"/v1/recommendations/{which}/dismiss", json={"reason": "x"}).status_code == 200
    assert bulk.confirm(decided).json()["detail"][:11] == "1 of the th"
    named = bulk.prepared(action="set-labels", filter={}, label="x")
    bulk.seeded.run(f"UPDATE core.sims SET own_label = 'y' WHERE iccid = '{bulk.seeded.iccid(2)}'")
    assert bulk.confirm(named).json()["detail"][:11] == "1 of the th"
    assert bulk.seeded.run("SELECT count(*) FROM core.sims WHERE own_label = 'x'") == [(0,)]


def test_what_comes_after_the_preview_is_not_touched(bulk: Bulk) -> None:
    made = bulk.prepared(action="resolve-alerts", filter={"kind": "rule"})
    bulk.seeded.run(
        "INSERT INTO predictions.alerts (organization_id, sim_key, kind, severity, value, threshold, message,"
        " opened_as_of, opened_at, seen_as_of, rule_id, rule_version)"
        " SELECT organization_id, NULL, 'rule', 'info', 7, 1, 'new', '2026-01-10',"
        " '2026-01-12 07:59Z', '2026-01-10', rule_id, 1 FROM predictions.alert_rules WHERE name = 'rule 1'"
    )
    assert bulk.confirm(made).status_code == 200
    assert [bulk.ours.get(f"/v1/alerts/{one}").json()["message"] for one in bulk.ids(kind="rule")] == ["new"]
    bulk.seeded.run("DELETE FROM predictions.alerts WHERE message = 'new'")


def test_a_row_that_another_transaction_writes_is_no_deadlock_but_a_change(bulk: Bulk) -> None:
    made = bulk.prepared(action="resolve-alerts", filter={"kind": "rule"})
    url = driver_url(bulk.seeded.url, "").render_as_string(hide_password=False)
    with psycopg.connect(url) as writing:
        writing.execute("UPDATE predictions.alerts SET value = 8 WHERE alert_id = %s", (int(made["sample"][0]["id"]),))
        refused = bulk.confirm(made)
    assert (refused.status_code, refused.json()["detail"][:11]) == (409, "1 of the th")
    assert bulk.confirm(made).status_code == 200


def test_a_hundred_confirmations_at_once_do_it_once(bulk: Bulk) -> None:
    made = bulk.prepared(action="acknowledge-alerts", filter={"kind": "rule"})
    begin = threading.Barrier(20)

    def confirm(_: int) -> httpx.Response:
        begin.wait()
        return bulk.confirm(made)

    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(confirm, range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    acted = f"SELECT DISTINCT acts FROM predictions.alerts WHERE alert_id = {made['sample'][0]['id']}"
    before = bulk.seeded.run(acted)
    assert bulk.confirm(made).status_code == 200
    assert bulk.seeded.run(acted) == before


def test_it_expires_and_can_be_cancelled(bulk: Bulk) -> None:
    made, other = (bulk.prepared(**ALL_ALERTS) for _ in range(2))
    path = f"/v1/bulk-actions/{other['bulk_id']}"
    cancelled = bulk.ours.delete(path)
    assert (cancelled.status_code, cancelled.json()["state"], cancelled.json()["ended_by"]) == (
        200,
        "cancelled",
        "API key ops",
    )
    assert bulk.ours.delete(path).json() == cancelled.json()
    assert "was cancelled" in bulk.confirm(other).json()["detail"]
    bulk.clock.now += timedelta(minutes=14, seconds=59)
    assert bulk.ours.get(f"/v1/bulk-actions/{made['bulk_id']}").json()["state"] == "pending"
    bulk.clock.now += timedelta(seconds=1)
    expired = bulk.ours.get(f"/v1/bulk-actions/{made['bulk_id']}").json()
    assert (expired["state"], expired["sample"]) == ("expired", [])
    refused = bulk.confirm(made)
    assert (refused.status_code, "has expired" in refused.json()["detail"]) == (409, True)
    states = [row["state"] for row in bulk.ours.get("/v1/bulk-actions").json()["items"]]
    assert states == ["cancelled", "expired"]
    assert bulk.ours.get("/v1/bulk-actions?state=pending").json()["items"] == []
    assert bulk.prepared(**ALL_ALERTS)
    assert bulk.seeded.run("SELECT count(*) FROM ops.bulk_sets") == [(1,)], "a set that is over is not kept"
    page = bulk.ours.get("/v1/bulk-actions?limit=2").json()
    rest = bulk.ours.get("/v1/bulk-actions", params={"limit": 2, "after": page["next"]}).json()
    assert [len(page["items"]), len(rest["items"]), rest["next"]] == [2, 1, None]


def test_only_so_many_are_pending_at_once(bulk: Bulk) -> None:
    one = {"action": "resolve-alerts", "ids": bulk.ids(kind="rule")[:1]}
    made = [bulk.prepared(**one) for _ in range(MAX_PENDING)]
    refused = bulk.ours.post("/v1/bulk-actions", json=one)
    assert (refused.status_code, "are pending" in refused.json()["detail"]) == (409, True)
    assert bulk.theirs.post("/v1/bulk-actions", json=ALL_ALERTS).status_code == 200, "of each organization"
    assert bulk.ours.delete(f"/v1/bulk-actions/{made[0]['bulk_id']}").status_code == 200
    assert bulk.ours.post("/v1/bulk-actions", json=one).status_code == 200
    bulk.clock.now += timedelta(minutes=16)
    assert bulk.ours.post("/v1/bulk-actions", json=one).status_code == 200, "expired ones do not count"


def test_another_organization_sees_and_changes_nothing_of_it(bulk: Bulk) -> None:
    ours = bulk.ids(kind="rule")
    made = bulk.prepared(action="resolve-alerts", filter={"kind": "rule"})
    path = f"/v1/bulk-actions/{made['bulk_id']}"
    assert bulk.theirs.get(path).status_code == 404
    assert bulk.theirs.post(f"{path}/confirm", json={"phrase": made["phrase"]}).status_code == 404
    assert bulk.theirs.delete(path).status_code == 404
    assert bulk.theirs.get("/v1/bulk-actions").json() == {"items": [], "next": None}
    recommendations = [row["recommendation_id"] for row in bulk.ours.get("/v1/recommendations").json()["items"]]
    for wanted in (
        {"action": "resolve-alerts", "ids": ours},
        {"action": "accept-recommendations", "ids": recommendations},
        {"action": "set-labels", "ids": [bulk.seeded.iccid(1)], "label": "taken"},
        {"action": "set-labels", "filter": {"label": "default-1"}, "label": "taken"},
    ):
        assert bulk.theirs.post("/v1/bulk-actions", json=wanted).status_code == 409, wanted
    theirs = bulk.theirs.post("/v1/bulk-actions", json={"action": "set-labels", "filter": {}, "label": "theirs"}).json()
    assert theirs["things"] == 12
    confirmed = bulk.theirs.post(f"/v1/bulk-actions/{theirs['bulk_id']}/confirm", json={"phrase": theirs["phrase"]})
    assert confirmed.status_code == 200
    assert bulk.seeded.run("SELECT count(*) FROM core.sims WHERE own_label = 'theirs' AND iccid LIKE '89%'") == [(0,)]
    assert bulk.ids(kind="rule") == ours


def test_a_key_that_only_reads_prepares_and_confirms_nothing(bulk: Bulk) -> None:
    made = bulk.prepared(**ALL_ALERTS)
    path = f"/v1/bulk-actions/{made['bulk_id']}"
    asked = (
        ("POST", "/v1/bulk-actions", ALL_ALERTS),
        ("POST", f"{path}/confirm", {"phrase": made["phrase"]}),
        ("DELETE", path, None),
    )
    for method, to, body in asked:
        answer = bulk.reader.request(method, to, json=body)
        assert (answer.status_code, "--scope alerts" in answer.json()["detail"]) == (403, True), to
        assert bulk.stranger.request(method, to, json=body).status_code == 401
    assert bulk.reader.get(path).json()["state"] == "pending"
    assert bulk.stranger.get(path).status_code == 401


def test_what_is_wrong_with_a_request_is_said(bulk: Bulk) -> None:
    alert = bulk.ids(kind="rule")[0]
    for wrong in (
        {"action": "resolve-alerts"},
        {"action": "resolve-alerts", "ids": [alert], "filter": {}},
        {"action": "resolve-alerts", "ids": []},
        {"action": "resolve-alerts", "ids": ["1"]},
        {"action": "resolve-alerts", "ids": [alert], "until": "2026-02-01T00:00:00Z"},
        {"action": "snooze-alerts", "ids": [alert]},
        {"action": "snooze-alerts", "ids": [alert], "until": "2026-01-12T07:59:59Z"},
        {"action": "snooze-alerts", "ids": [alert], "until": 1},
        {"action": "resolve-alerts", "filter": {"label": "a\x00"}},
        {"action": "resolve-alerts", "filter": {"label": ""}},
        {"action": "resolve-alerts", "filter": {"nothing": 1}},
        {"action": "set-labels", "filter": {}},
        {"action": "set-labels", "filter": {}, "label": ""},
        {"action": "remove-labels", "filter": {}, "label": "x"},
        {"action": "remove-labels", "ids": ["123"]},
        {"action": "delete-sims", "filter": {}},
    ):
        answer = bulk.ours.post("/v1/bulk-actions", json=wrong)
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json"), wrong
    for path in ("/v1/bulk-actions/999999/confirm", "/v1/bulk-actions/x/confirm"):
        assert bulk.ours.post(path).status_code == (422 if "x" in path else 404)


def test_the_log_has_a_line_for_each_thing_and_for_the_bulk_action(bulk: Bulk) -> None:
    begun = bulk.seeded.run("SELECT coalesce(max(number), 0) FROM ops.action_log WHERE organization_id = 1")[0][0]
    made = bulk.prepared(action="resolve-alerts", filter={"kind": "rule"}, by="ann", note="SECRET NOTE")
    assert bulk.confirm(made).status_code == 200
    bulk.ours.delete(f"/v1/bulk-actions/{bulk.prepared(**ALL_ALERTS)['bulk_id']}")
    lines = bulk.seeded.run(
        "SELECT event, by_whom, facts FROM ops.action_log"
        f" WHERE number > {begun} AND organization_id = 1 ORDER BY number"
    )
    prepared, confirmed = (line[2].pop("request_id") for line in (lines[0], lines[61]))
    assert prepared != confirmed
    assert [line[0] for line in lines] == (
        ["bulk.prepared"] + ["alert.resolved"] * 60 + ["bulk.confirmed", "bulk.prepared", "bulk.cancelled"]
    )
    assert {line[1] for line in lines[:62]} == {"API key ops by ann"}
    about = {"subject": "bulk", "id": str(made["bulk_id"]), "action": "resolve-alerts", "things": 60}
    assert lines[0][2] == lines[61][2] == about
    assert "SECRET NOTE" not in str(lines)
    database = Database(bulk.seeded.url, "default")
    assert verify_log(database)[0] == []
    database.close()
