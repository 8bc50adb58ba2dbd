"""Acting on alerts and writing rules over HTTP: with a key that may write, in its organization, with clear errors."""

from __future__ import annotations

from typing import Any

import httpx

RULE = {"name": "heavy", "metric": "usage_day_mb", "operator": ">", "threshold": 100}


def first_open(client: httpx.Client) -> int:
    return int(client.get("/v1/alerts").json()["items"][0]["alert_id"])


def test_an_alert_is_acknowledged_snoozed_reopened_and_resolved(writer: httpx.Client) -> None:
    alert = first_open(writer)
    answers = [
        writer.post(f"/v1/alerts/{alert}/acknowledge", json={"note": "on it", "by": "ann"}),
        writer.post(f"/v1/alerts/{alert}/snooze", json={"until": "2099-01-01T00:00:00Z"}),
        writer.post(f"/v1/alerts/{alert}/reopen"),
        writer.post(f"/v1/alerts/{alert}/resolve", json={"note": "done"}),
    ]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert [answer.json()["state"] for answer in answers] == ["acknowledged", "snoozed", "open", "resolved"]
    assert answers[0].json()["acted_by"] == "API key ops by ann"
    assert answers[1].json()["snoozed_until"] == "2099-01-01T00:00:00Z"
    again = writer.post(f"/v1/alerts/{alert}/acknowledge")
    assert (again.status_code, again.headers["content-type"]) == (409, "application/problem+json")
    history = writer.get(f"/v1/alerts/{alert}/history").json()["items"]
    assert [item["event"] for item in history][-4:] == ["acknowledged", "snoozed", "reopened", "resolved"]
    assert history[-1]["note"] == "done"
    assert writer.get(f"/v1/alerts/{alert}").json()["closed_at"]


def test_the_same_act_again_keeps_who_did_it_and_why_and_the_history_has_both(writer: httpx.Client) -> None:
    alert = first_open(writer)
    path = f"/v1/alerts/{alert}/acknowledge"
    shown = ("state", "acted_by", "acted_at", "note")
    first = writer.post(path, json={"note": "on it", "by": "ann"}).json()
    again = writer.post(path).json()
    assert {name: again[name] for name in shown} == {name: first[name] for name in shown}
    assert (first["acted_by"], first["note"]) == ("API key ops by ann", "on it")
    taken_over = writer.post(path, json={"by": "bob"}).json()
    assert (taken_over["acted_by"], taken_over["note"]) == ("API key ops by bob", "on it")
    said = writer.post(path, json={"note": "bob is ill"}).json()
    assert (said["acted_by"], said["note"]) == ("API key ops", "bob is ill")
    until = {"until": "2099-01-01T00:00:00Z"}
    snoozed = writer.post(f"/v1/alerts/{alert}/snooze", json=until | {"note": "next year"}).json()
    longer = writer.post(f"/v1/alerts/{alert}/snooze", json={"until": "2099-02-01T00:00:00Z"}).json()
    assert longer == snoozed | {"snoozed_until": "2099-02-01T00:00:00Z"}
    history = writer.get(f"/v1/alerts/{alert}/history").json()["items"]
    assert [(item["event"], item["who"], item["note"]) for item in history][-6:] == [
        ("acknowledged", "API key ops by ann", "on it"),
        ("acknowledged", "API key ops", None),
        ("acknowledged", "API key ops by bob", None),
        ("acknowledged", "API key ops", "bob is ill"),
        ("snoozed", "API key ops", "next year"),
        ("snoozed", "API key ops", None),
    ]


def test_open_means_all_that_are_not_over_and_each_state_can_be_asked_for(writer: httpx.Client, seeded: Any) -> None:
    one, two, three = (item["alert_id"] for item in writer.get("/v1/alerts").json()["items"][:3])
    writer.post(f"/v1/alerts/{one}/acknowledge")
    writer.post(f"/v1/alerts/{two}/snooze", json={"until": "2099-01-01T00:00:00Z"})
    writer.post(f"/v1/alerts/{three}/resolve")

    def states(state: str) -> dict[int, str]:
        items = writer.get("/v1/alerts", params={"state": state, "limit": 1000}).json()["items"]
        return {item["alert_id"]: item["state"] for item in items}

    not_over = states("open")
    assert (not_over[one], not_over[two], three in not_over) == ("acknowledged", "snoozed", False)
    assert set(not_over.values()) == {"open", "acknowledged", "snoozed"}
    assert states("acknowledged") == {one: "acknowledged"}
    assert states("snoozed") == {two: "snoozed"}
    assert states("resolved") == states("closed")
    assert three in states("resolved")
    assert states("all") == not_over | states("resolved")


def test_a_threshold_is_read_in_the_unit_of_its_metric(writer: httpx.Client, seeded: Any) -> None:
    share = {"name": "used", "metric": "quota_used_share", "operator": ">"}
    for threshold, said in [
        (80, "80 is outside what quota_used_share can be: 0 to 1 (0 % to 100 %); for 80 percent write 0.8 or"),
        ("80 MB", "'MB' is not the unit of quota_used_share, which is a share"),
        ("much", "'much' is no number"),
        (1, "holds for no value there can be"),
    ]:
        answer = writer.post("/v1/alert-rules", json=share | {"threshold": threshold})
        assert (answer.status_code, [item["field"] for item in answer.json()["errors"]]) == (422, ["threshold"])
        assert said in answer.json()["detail"]
    assert writer.post("/v1/alert-rules", json=share | {"threshold": "80 %"}).status_code == 201
    (listed,) = writer.get("/v1/alert-rules").json()["items"]
    assert listed["threshold"] == 0.8
    assert writer.post("/v1/alert-rules/replay", json=RULE | {"threshold": "100 MB"}).status_code == 200
    assert writer.post("/v1/alert-rules/replay", json=RULE | {"threshold": "80 %"}).status_code == 422


def test_a_key_that_only_reads_changes_nothing(client: httpx.Client, seeded: Any) -> None:
    alert = first_open(client)
    for path, body in [
        (f"/v1/alerts/{alert}/acknowledge", None),
        (f"/v1/alerts/{alert}/snooze", {"until": "2099-01-01T00:00:00Z"}),
        (f"/v1/alerts/{alert}/resolve", {}),
        ("/v1/alert-rules", RULE),
    ]:
        answer = client.post(path, json=body)
        assert (path, answer.status_code) == (path, 403)
        assert "--scope alerts" in answer.json()["detail"]
    assert client.get(f"/v1/alerts/{alert}").json()["state"] == "open"
    assert client.get("/v1/alert-rules").json() == {"items": []}
    assert client.post("/v1/alert-rules/replay", json=RULE).status_code == 200
    assert seeded.run("SELECT count(*) FROM predictions.alert_rules") == [(0,)]


def test_without_a_key_or_with_a_wrong_one_it_is_401(stranger: httpx.Client) -> None:
    for headers in ({}, {"X-API-Key": "ss_wrong"}):
        for path, body in (("/v1/alerts/1/resolve", None), ("/v1/alert-rules", RULE), ("/v1/alert-rules/replay", RULE)):
            assert stranger.post(path, json=body, headers=headers).status_code == 401, path


def test_an_alert_of_another_organization_is_not_there(writer: httpx.Client, seeded: Any) -> None:
    ((theirs,),) = seeded.run(
        "SELECT min(alert_id) FROM predictions.alerts JOIN core.organizations USING (organization_id)"
        " WHERE slug = 'other'"
        " AND closed_at IS NULL"
    )
    for answer in (
        writer.post(f"/v1/alerts/{theirs}/resolve"),
        writer.get(f"/v1/alerts/{theirs}"),
        writer.get(f"/v1/alerts/{theirs}/history"),
    ):
        assert answer.status_code == 404
    assert seeded.run(f"SELECT state FROM predictions.alerts WHERE alert_id = {theirs}") == [("open",)]


def test_what_is_wrong_with_an_act_is_said(writer: httpx.Client) -> None:
    alert = first_open(writer)
    for path, body, field in [
        (f"/v1/alerts/{alert}/snooze", {"until": "2020-01-01T00:00:00Z"}, "until"),
        (f"/v1/alerts/{alert}/snooze", {}, "until"),
        (f"/v1/alerts/{alert}/snooze", {"until": 4070908800}, "until"),
        (f"/v1/alerts/{alert}/snooze", {"until": "4070908800"}, "until"),
        (f"/v1/alerts/{alert}/resolve", {"why": "x"}, "why"),
        (f"/v1/alerts/{alert}/resolve", {"note": "a\x00b"}, "note"),
    ]:
        answer = writer.post(path, json=body)
        assert (answer.status_code, [item["field"] for item in answer.json()["errors"]]) == (422, [field])
    assert writer.post("/v1/alerts/999999/resolve").status_code == 404


def test_a_broken_body_is_a_documented_400(writer: httpx.Client) -> None:
    document = writer.get("/openapi.json").json()["paths"]
    for verb, path in (("post", "/v1/alert-rules"), ("post", "/v1/alert-rules/replay"), ("patch", "/v1/alert-rules/1")):
        for body in (b"{", b"\xff\xfe{}", b"[" * 100_000):
            answer = writer.request(verb, path, content=body, headers={"Content-Type": "application/json"})
            assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
            assert "JSON" in answer.json()["detail"]
        assert "400" in document[path.replace("rules/1", "rules/{rule_id}")][verb]["responses"]


OTHER_KEYS = ("/v1/report-schedules", "/streams", "/v1/actions", "/v1/keys")  # open these
IN_DOCS = "/v1/bulk-actions"  # its examples run in test_docs, one after the other


def test_the_examples_of_the_documentation_are_accepted(writer: httpx.Client, seeded: Any) -> None:
    document = writer.get("/openapi.json").json()
    alert, rule = first_open(writer), rule_named(seeded)
    for path, verbs in document["paths"].items():
        for verb, route in verbs.items():
            if "requestBody" not in route or path.startswith(
                (*OTHER_KEYS, IN_DOCS, "/v1/sql")
            ):  # free SQL is switched off
                continue
            schema = route["requestBody"]["content"]["application/json"]["schema"]
            name = next(part["$ref"] for part in [schema, *schema.get("anyOf", [])] if "$ref" in part)
            fields = document["components"]["schemas"][name.rpartition("/")[2]]["properties"]
            body = {field: part["examples"][0] for field, part in fields.items() if part.get("examples")}
            if path.endswith("/resolve"):
                continue  # nothing could follow
            ids = {"alert_id": alert, "rule_id": rule, "case_id": "case 1", "recommendation_id": 1}
            answer = writer.request(verb, path.format(**ids, iccid=seeded.iccid(1)), json=body)
            assert (path, answer.status_code) in ((path, 200), (path, 201)), answer.text


def test_the_scope_of_a_rule_may_have_check_digits(writer: httpx.Client, seeded: Any) -> None:
    tried = writer.post("/v1/alert-rules/replay", json=RULE | {"scope": {"iccids": ["89882806660000000010"]}})
    assert (tried.status_code, tried.json()["sims"]) == (200, 1)


def test_a_rule_is_added_after_a_replay_and_listed(writer: httpx.Client, client: httpx.Client, seeded: Any) -> None:
    seeded.run(f"UPDATE core.sims SET activated_at = '2025-09-01'")  # noqa: F541
    seeded.run(
        "UPDATE core.sim_usage SET bytes = 200000000 WHERE sim_key = 3 AND day"
        " IN ('2026-01-02', '2026-01-03', '2026-01-08')"
    )
    iccid = seeded.run("SELECT iccid FROM core.sims WHERE sim_key = 3")[0][0]
    tried = client.post("/v1/alert-rules/replay", json=RULE).json()
    assert (tried["fired"], tried["most"], tried["sims"], tried["days"]) == (2, 1, 12, 30)
    assert [(one["day"], one["iccid"], one["value"]) for one in tried["examples"]] == [
        ("2026-01-02", iccid, 200),
        ("2026-01-08", iccid, 200),
    ]
    added = writer.post("/v1/alert-rules", json=RULE | {"enabled": True})
    assert (added.status_code, added.json()["replay"]) == (201, tried)
    assert writer.post("/v1/alert-rules", json=RULE).status_code == 409
    (listed,) = client.get("/v1/alert-rules").json()["items"]
    assert {name: listed[name] for name in RULE} == RULE
    assert (listed["enabled"], listed["created_by"], listed["version"]) == (True, "API key ops", 1)


def test_a_rule_that_makes_no_sense_or_pages_for_everyone_is_refused(writer: httpx.Client, seeded: Any) -> None:
    seeded.run("UPDATE core.sims SET activated_at = '2025-09-01'")
    for change, field in [
        ({"metric": "noise"}, "metric"),
        ({"operator": "=="}, "operator"),
        ({"threshold": -5}, "threshold"),
        ({"threshold": 0.5}, "threshold"),  # every SIM of the fleet uses more than half a MB a day
        ({"scope": {"label_prefix": "nobody"}}, "scope"),
        ({"scope": {"iccids": [seeded.iccid(1, "other")]}}, "scope"),
        ({"severity": "loud"}, "severity"),
        ({"for_days": 0}, "for_days"),
        ({"colour": "red"}, "colour"),
        ({"force": 0}, "force"),
        ({"enabled": "yes"}, "enabled"),
        ({"threshold": "100"}, "threshold"),
        ({"for_days": True}, "for_days"),
    ]:
        answer = writer.post("/v1/alert-rules", json=RULE | change)
        assert (change, answer.status_code) == (change, 422)
        assert [item["field"] for item in answer.json()["errors"]] == [field]
    forced = writer.post("/v1/alert-rules", json=RULE | {"threshold": 0.5, "force": True})
    assert (forced.status_code, forced.json()["replay"]["most"]) == (201, 11)


def rule_named(seeded: Any, organization: str = "default", metric_over: float = 100) -> int:
    """A rule that is switched off and has an alert open."""
    ((rule,),) = seeded.run(
        "INSERT INTO predictions.alert_rules (organization_id, name, metric, operator, threshold, for_days,"
        " scope, severity, enabled, created_by,"
        f" created_at, changed_at) VALUES (ops.organization('{organization}'), 'heavy', 'usage_day_mb', '>',"
        f" {metric_over}, 1, '{{}}', 'warning',"
        " false, 'x', now(), now()) RETURNING rule_id"
    )
    seeded.run(
        "INSERT INTO predictions.alerts (organization_id, kind, rule_id, severity, message, opened_as_of,"
        " opened_at, seen_as_of)"
        f" VALUES (ops.organization('{organization}'), 'rule', {rule}, 'warning', 'm', '2026-01-09', now(),"
        " '2026-01-09')"
    )
    return int(rule)


def test_a_rule_is_switched_on_after_a_replay_off_again_and_deleted(
    writer: httpx.Client, client: httpx.Client, seeded: Any
) -> None:
    seeded.run("UPDATE core.sims SET activated_at = '2025-09-01'")
    rule = rule_named(seeded)
    path = f"/v1/alert-rules/{rule}"
    on = writer.patch(path, json={"enabled": True}).json()
    assert (on["rule"]["enabled"], on["closed_alerts"], on["rule"]["open_alerts"]) == (True, 0, 1)
    assert {name: on["replay"][name] for name in ("sims", "days", "fired")} == {"sims": 12, "days": 30, "fired": 0}
    off = writer.patch(path, json={"enabled": False}).json()
    assert (off["rule"]["enabled"], off["closed_alerts"], off["rule"]["open_alerts"]) == (False, 1, 0)
    assert off["replay"] is None
    deleted = writer.delete(path)
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert client.get("/v1/alert-rules").json() == {"items": []}
    assert [call.status_code for call in (writer.delete(path), writer.patch(path, json={"enabled": True}))] == [404] * 2
    (alert,) = writer.get("/v1/alerts", params={"state": "closed", "kind": "rule"}).json()["items"]
    assert (alert["rule_id"], alert["state"]) == (rule, "resolved"), "its alerts stay"


def test_a_rule_that_would_page_for_everyone_is_switched_on_by_force_only(writer: httpx.Client, seeded: Any) -> None:
    seeded.run("UPDATE core.sims SET activated_at = '2025-09-01'")
    path = f"/v1/alert-rules/{rule_named(seeded, metric_over=0.5)}"
    refused = writer.patch(path, json={"enabled": True})
    assert (refused.status_code, [one["field"] for one in refused.json()["errors"]]) == (422, ["threshold"])
    assert "refused unless forced" in refused.json()["detail"]
    assert seeded.run("SELECT enabled FROM predictions.alert_rules") == [(False,)]
    assert writer.patch(path, json={"enabled": True, "force": True}).json()["replay"]["most"] == 11
    assert writer.patch(path, json={"name": "other"}).status_code == 422


def test_a_rule_is_switched_with_a_key_that_may_in_its_own_organization_only(
    writer: httpx.Client, client: httpx.Client, stranger: httpx.Client, seeded: Any
) -> None:
    ours, theirs = rule_named(seeded), rule_named(seeded, "other")
    for caller, rule, status in (
        (writer, theirs, 404),
        (client, ours, 403),
        (client, theirs, 403),
        (stranger, ours, 401),
    ):
        path = f"/v1/alert-rules/{rule}"
        answers = [caller.patch(path, json={"enabled": on}) for on in (True, False)] + [caller.delete(path)]
        assert [answer.status_code for answer in answers] == [status] * 3
    untouched = seeded.run("SELECT enabled, deleted_at, changed_at = created_at FROM predictions.alert_rules")
    assert untouched == [(False, None, True)] * 2
    assert seeded.run("SELECT count(*) FROM predictions.alerts WHERE kind = 'rule' AND closed_at IS NULL") == [(2,)]


def test_the_api_role_writes_through_its_functions_only(seeded: Any) -> None:
    rights = seeded.run(
        "SELECT p.proname FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace"
        " WHERE n.nspname IN ('ops', 'predictions') AND p.prosecdef"
        " AND has_function_privilege('simsight_api', p.oid, 'EXECUTE')"
        " AND p.provolatile = 'v' AND p.prorettype <> 'trigger'::regtype ORDER BY 1"
    )
    assert [name for (name,) in rights] == [
        "act_on_alert",
        "add_alert_rule",
        "add_api_key_by",
        "add_report_schedule",
        "approve_action",
        "cancel_bulk",
        "change_report_schedule",
        "close_session",
        "confirm_bulk",
        "correct_ticket",
        "count_key_use",
        "decide_churn_action",
        "decide_recommendation",
        "drop_list",
        "end_api_key_by",
        "enter_by_key",
        "land_stream_batch",
        "open_session",
        "prepare_bulk",
        "replace_api_key_by",
        "request_action",
        "save_list",
        "switch_alert_rule",
    ]


def test_a_body_is_read_up_to_its_limit_only(stranger: httpx.Client) -> None:
    for path in ("/v1/alert-rules", "/sign-in"):
        answer = stranger.post(path, content=(b" " * 100_000 for _ in range(20)))
        assert (path, answer.status_code, answer.headers["content-type"]) == (path, 413, "application/problem+json")
