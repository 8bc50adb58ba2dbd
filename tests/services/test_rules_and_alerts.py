"""A customer's rules over a simulated fleet: checked, replayed, evaluated in one query each; none stops another."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL

from resources.runtime import Runtime
from services.alerts.builtin import evaluate_alerts
from services.alerts.evaluation import AlertError, act, add_rule, disable_rule, enable_rule, evaluate_rules, replay
from services.alerts.rules import METRICS, Rule, RuleError, check_rule, parse_condition
from tests.fleet import AS_OF, NOW, Filled, Truth, copied

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def fleet(
    postgres: URL, filled_template: Filled, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Runtime, Truth]]:
    """The trained and scored fleet, for tests that only read it."""
    with copied(postgres, filled_template, tmp_path_factory.mktemp("rules")) as pair:
        yield pair


def add(runtime: Runtime, name: str, metric: str, operator: str, threshold: float, **more: Any) -> int:
    how = {key: more.pop(key) for key in ("force", "replace", "enabled") if key in more}
    saved, _ = add_rule(
        runtime.database,
        Rule(name, metric, operator, threshold, **more),
        last=AS_OF,
        by="tester",
        now=NOW,
        **({"enabled": True, "force": True} | how),
    )
    return int(saved["rule_id"])


def evaluate(runtime: Runtime, as_of: date = AS_OF) -> dict[str, Any]:
    return evaluate_rules(runtime, as_of)


@pytest.mark.parametrize(
    ("text", "threshold"),
    [
        ("quota_used_share > 80 %", 0.8),
        ("quota_used_share>=0.8", 0.8),
        ("exhaustion_p14 > 62.5%", 0.625),
        ("usage_day_mb > 100 MB", 100),
        ("usage_day_mb > 1.5e2", 150),
        ("silence_days >= 1 day", 1),
        ("freshness_hours > 12 hours", 12),
        ("usage_day_mb > 1 GB", "'GB' is not the unit of usage_day_mb, which is in MB"),
        ("usage_day_mb > 80 %", "'%' is not the unit of usage_day_mb"),
        ("anomaly_score > 3 MB", "'MB' is not the unit of anomaly_score, which is a plain number"),
        ("exhaustion_p14 > 80 MB", 'which is a share: write 0.8 or "80 %"'),
        ("usage_day_mb > 1,5", "is no number|is not the unit"),
        ("usage_day_mb = 5", "is no condition"),
    ],
)
def test_a_condition_is_read_with_the_unit_of_its_metric(text: str, threshold: float | str) -> None:
    if isinstance(threshold, str):
        with pytest.raises(RuleError, match=threshold):
            parse_condition(text)
    else:
        assert parse_condition(text)[2] == pytest.approx(threshold)


def test_a_stored_rule_that_can_never_fire_says_so(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    rule = add(runtime, "used", "quota_used_share", ">", 0.8)
    truth.rows("UPDATE predictions.alert_rules SET threshold = 80 WHERE rule_id = %s", (rule,))
    said = evaluate(runtime)["rules that failed"]["used"]
    assert 'for 80 percent write 0.8 or "80 %"' in said
    assert truth.one("SELECT error FROM predictions.alert_rules WHERE rule_id = %s", (rule,)) == said


def holding(truth: Truth, rule_id: int) -> dict[int | None, float]:
    rows = truth.rows(
        "SELECT sim_key, value FROM predictions.alerts WHERE rule_id = %s AND closed_at IS NULL", (rule_id,)
    )
    return {row["sim_key"]: row["value"] for row in rows}


def usage(truth: Truth, sim: int, day: date, mb: float) -> None:
    truth.rows(
        "INSERT INTO core.sim_usage (organization_id, sim_key, day, bytes, known_at) VALUES (1, %s, %s, %s, now())"
        " ON CONFLICT (sim_key, day) DO UPDATE SET bytes = excluded.bytes",
        (sim, day, round(mb * 1e6)),
    )


# the same figures the slow way, from the tables, as of AS_OF
SLOW = {
    "usage_day_mb": "SELECT sim_key, bytes / 1e6 FROM core.sim_usage WHERE day = %(as_of)s",
    "usage_7d_mb": "SELECT sim_key, sum(bytes) / 1e6 FROM core.sim_usage WHERE day BETWEEN %(as_of)s::date - 6"
    " AND %(as_of)s GROUP BY 1",
    "usage_month_mb": "SELECT sim_key, sum(bytes) / 1e6 FROM core.sim_usage"
    " WHERE day BETWEEN date_trunc('month', %(as_of)s::date) AND %(as_of)s GROUP BY 1",
    "exhaustion_p14": "SELECT sim_key, p_14 FROM predictions.exhaustions WHERE as_of = %(as_of)s AND status IN"
    " ('ok', 'extrapolated')",
    "forecast_30d_mb": "SELECT sim_key, sum(mean) / 1e6 FROM predictions.usage_forecasts WHERE as_of = %(as_of)s"
    " GROUP BY 1",
    "quota_used_share": "SELECT sim_key, 1 - remaining / (SELECT amount_total::float FROM core.sim_quota AS q"
    " WHERE q.sim_key = e.sim_key"
    " AND kind = 'data' ORDER BY day LIMIT 1) FROM predictions.exhaustions AS e WHERE as_of = %(as_of)s",
    "silence_days": "SELECT sim_key, %(as_of)s::date - max(day) FROM core.sim_usage JOIN core.sims USING (sim_key)"
    " WHERE bytes > 0 AND day <= %(as_of)s AND status <> 'Disabled' GROUP BY 1",
}


@pytest.mark.timescaledb
@pytest.mark.parametrize("metric", SLOW)
def test_a_metric_is_what_the_tables_say(fleet: tuple[Runtime, Truth], metric: str) -> None:
    runtime, truth = fleet
    slow = {
        row["sim_key"]: float(row["value"])
        for row in truth.rows(
            f"SELECT * FROM ({SLOW[metric]}) AS s (sim_key, value) WHERE value IS NOT NULL", {"as_of": AS_OF}
        )  # type: ignore[arg-type]
    }
    days = {"first": AS_OF, "last": AS_OF}
    fast = {
        row["sim_key"]: row["value"]
        for row in runtime.database.rows(f"metric_{metric}", days)
        if row["value"] is not None
    }
    assert len(slow) > 20
    assert {key: fast[key] for key in slow} == pytest.approx(slow)
    assert {value for key, value in fast.items() if key not in slow} <= {0.0, 120.0}


@pytest.mark.timescaledb
def test_every_metric_runs_over_a_stretch_of_days_and_gives_each_sim_one_value_a_day(
    fleet: tuple[Runtime, Truth],
) -> None:
    runtime, _ = fleet
    for name, metric in METRICS.items():
        rows = runtime.database.rows(f"metric_{name}", {"first": AS_OF - 9 * DAY, "last": AS_OF})
        keys = [(row["sim_key"], row["day"]) for row in rows]
        assert len(keys) == len(set(keys)), name
        assert all(AS_OF - 9 * DAY <= day <= AS_OF for _, day in keys), name
        # nobody looked for anomalies in this fleet, and it is too young for a risk of churn
        assert rows or metric.fleet or name in ("anomaly_score", "churn_risk"), name


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        (Rule("r", "usage", ">", 1), "metric"),
        (Rule("r", "usage_day_mb", "=", 1), "operator"),
        (Rule("r", "usage_day_mb", ">", -1), "threshold"),
        (Rule("r", "usage_day_mb", ">", float("nan")), "threshold"),
        (Rule("r", "exhaustion_p14", ">", 1.5), "threshold"),
        (Rule("r", "exhaustion_p14", ">=", 0), "threshold"),
        (Rule("r", "quota_used_share", ">", 80), "threshold"),
        (Rule("r", "quota_used_share", ">", 1), "threshold"),
        (Rule("r", "silence_days", ">", 120), "threshold"),
        (Rule("r", "usage_day_mb", "<", 0), "threshold"),
        (Rule("r", "usage_day_mb", ">", 1, for_days=0), "for_days"),
        (Rule("r", "usage_day_mb", ">", 1, scope={"label": "x"}), "scope"),
        (Rule("r", "usage_day_mb", ">", 1, scope={"label_prefix": ""}), "scope"),
        (Rule("r", "usage_day_mb", ">", 1, scope={"iccids": ["12"]}), "scope"),
        (Rule("r", "forecast_error", ">", 1, scope={"label_prefix": "a"}), "scope"),
        (Rule("r", "usage_day_mb", ">", 1, severity="loud"), "severity"),
        (Rule(" ", "usage_day_mb", ">", 1), "name"),
    ],
)
def test_a_broken_rule_is_refused_and_says_which_part_is_wrong(rule: Rule, field: str) -> None:
    with pytest.raises(RuleError) as refused:
        check_rule(rule)
    assert list(refused.value.problems) == [field]


def test_a_rule_is_refused_for_unknown_sims_an_empty_scope_and_a_metric_that_is_not_there(
    fleet: tuple[Runtime, Truth],
) -> None:
    runtime, _ = fleet
    for rule, words in [
        (Rule("r", "usage_day_mb", ">", 1, scope={"iccids": ["1" * 19]}), "no SIM with ICCID 1111111111111111111"),
        (Rule("r", "usage_day_mb", ">", 1, scope={"label_prefix": "no such"}), "no SIM's label begins with"),
    ]:
        with pytest.raises(RuleError, match=words), runtime.database.transaction() as transaction:
            replay(transaction, rule, last=AS_OF)


def test_a_rule_that_would_page_for_every_sim_is_refused_unless_forced(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    with pytest.raises(RuleError, match=r"would have held for \d+ of 40 SIMs"):
        add(runtime, "all", "usage_day_mb", ">=", 0.000001, force=False)
    assert truth.one("SELECT count(*) FROM predictions.alert_rules") == 0
    assert add(runtime, "all", "usage_day_mb", ">=", 0.000001)


def test_a_replay_says_how_often_a_rule_would_have_fired_and_for_whom(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    for back, mb in ((20, 900), (19, 900), (18, 900), (12, 900), (5, 900), (4, 900)):
        usage(truth, 3, AS_OF - back * DAY, mb)
    iccid = truth.one("SELECT iccid FROM core.sims WHERE sim_key = 3")

    def replayed(for_days: int) -> tuple[int, int, list[tuple[date, str]]]:
        with runtime.database.transaction() as transaction:
            found = replay(transaction, Rule("r", "usage_day_mb", ">", 800, for_days), last=AS_OF)
        assert (found.sims, found.days) == (40, 30)
        return found.fired, found.most, [(one["day"], one["iccid"]) for one in found.examples]

    assert replayed(1) == (3, 1, [(AS_OF - back * DAY, iccid) for back in (20, 12, 5)])
    assert replayed(2) == (2, 1, [(AS_OF - back * DAY, iccid) for back in (19, 4)])
    assert replayed(4) == (0, 0, [])


def test_an_alert_opens_when_the_rule_has_held_for_its_days_is_kept_and_closed(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    rule = add(runtime, "heavy 100 %", "usage_day_mb", ">", 800, for_days=2, severity="critical")
    for ahead in (-1, 0, 1):
        usage(truth, 3, AS_OF + ahead * DAY, 900)
    usage(truth, 4, AS_OF, 900)
    usage(truth, 3, AS_OF + 2 * DAY, 1)

    assert evaluate(runtime, AS_OF)["opened"] == 1
    first = truth.rows("SELECT * FROM predictions.alerts")
    assert evaluate(runtime, AS_OF)["opened"] == 0
    assert truth.rows("SELECT * FROM predictions.alerts") == first
    evaluate(runtime, AS_OF + DAY)
    (kept,) = truth.rows("SELECT * FROM predictions.alerts")
    assert kept["message"] == "heavy 100 %: usage of the day is 900 MB (rule: > 800 for 2 days)."
    assert (kept["alert_id"], kept["seen_as_of"], kept["severity"]) == (first[0]["alert_id"], AS_OF + DAY, "critical")
    evaluate(runtime, AS_OF + 2 * DAY)
    assert holding(truth, rule) == {}
    history = truth.rows("SELECT event, who, state FROM predictions.alert_history ORDER BY history_id")
    assert history == [
        {"event": "opened", "who": None, "state": "open"},
        {"event": "resolved", "who": None, "state": "resolved"},
    ]
    evaluate(runtime, AS_OF)
    assert holding(truth, rule) == {}, "alerts move forward only"


def test_a_scope_keeps_a_rule_to_its_sims(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    truth.run("UPDATE core.sims SET own_label = 'pump-' || sim_key WHERE sim_key IN (3, 5)")
    for sim in (3, 4, 5):
        usage(truth, sim, AS_OF, 900)
    iccid = truth.one("SELECT iccid FROM core.sims WHERE sim_key = 4")
    everyone = add(runtime, "everyone", "usage_day_mb", ">", 800)
    pumps = add(runtime, "pumps", "usage_day_mb", ">", 800, scope={"label_prefix": "pump-"})
    one = add(runtime, "one", "usage_day_mb", ">", 800, scope={"iccids": [iccid]})
    evaluate(runtime)
    assert set(holding(truth, everyone)) == {3, 4, 5}
    assert set(holding(truth, pumps)) == {3, 5}
    assert set(holding(truth, one)) == {4}


def test_one_broken_rule_says_why_and_stops_no_other(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    usage(truth, 3, AS_OF, 900)
    broken = [add(runtime, f"{n} broken", "usage_day_mb", ">", 800) for n in range(3)]
    good = add(runtime, "9 good", "usage_day_mb", ">", 800)
    truth.rows("UPDATE predictions.alert_rules SET metric = 'no such' WHERE rule_id = %s", (broken[0],))
    truth.rows("UPDATE predictions.alert_rules SET metric = 'nonsense' WHERE rule_id = %s", (broken[1],))
    truth.rows("UPDATE predictions.alert_rules SET scope = '{\"label_prefix\": 5}' WHERE rule_id = %s", (broken[2],))

    done = evaluate(runtime)

    assert set(holding(truth, good)) == {3}
    assert set(done["rules that failed"]) == {"0 broken", "1 broken", "2 broken"}
    errors = truth.rows("SELECT name, error FROM predictions.alert_rules ORDER BY name")
    assert [row["error"] is not None for row in errors] == [True, True, True, False]


def test_a_query_that_fails_in_the_database_is_the_rule_s_own_error(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    usage(truth, 3, AS_OF, 900)
    add(runtime, "a", "forecast_30d_mb", ">", 1)
    good = add(runtime, "b", "usage_day_mb", ">", 800)
    truth.run("ALTER TABLE predictions.usage_forecasts RENAME TO gone")
    done = evaluate(runtime)
    assert "does not exist" in done["rules that failed"]["a"]
    assert set(holding(truth, good)) == {3}


def test_a_day_without_the_metric_leaves_the_alerts_as_they_are(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    rule = add(runtime, "used", "quota_used_share", ">=", 0.1)
    evaluate(runtime, AS_OF)
    held = holding(truth, rule)
    assert held
    evaluate(runtime, AS_OF + DAY)
    assert holding(truth, rule) == held
    assert "no value as of" in truth.one("SELECT error FROM predictions.alert_rules")
    assert truth.one("SELECT evaluated_as_of FROM predictions.alert_rules") == AS_OF


def test_a_figure_of_the_fleet_is_one_alert_without_a_sim(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    rule = add(runtime, "drift", "forecast_error", ">", 1.1)
    truth.rows(
        "INSERT INTO predictions.forecast_scores (organization_id, day, horizon, model_name, model_version,"
        " sims, n, rmase, coverage_80,"
        " coverage_95, scored_at) VALUES (1, %s, '1-7', 'usage-forecaster', 1, 40, 280, 1.4, 0.5, 0.6, now())",
        (AS_OF,),
    )
    evaluate(runtime)
    evaluate(runtime)
    assert holding(truth, rule) == {None: 1.4}


def test_what_a_person_resolved_stays_resolved_until_it_has_not_held_for_a_day(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    add(runtime, "heavy", "usage_day_mb", ">", 800)
    for ahead, mb in enumerate((900, 900, 900, 1, 900)):
        usage(truth, 3, AS_OF + ahead * DAY, mb)
    evaluate(runtime, AS_OF)
    (alert,) = truth.column("SELECT alert_id FROM predictions.alerts")
    assert act(runtime.database, [alert], "resolve", by="ann", now=NOW, note="new firmware") == [alert]
    for ahead in (0, 1, 2, 3):
        evaluate(runtime, AS_OF + ahead * DAY)
        assert truth.one("SELECT count(*) FROM predictions.alerts") == 1
    evaluate(runtime, AS_OF + 4 * DAY)
    assert truth.one("SELECT count(*) FROM predictions.alerts WHERE closed_at IS NULL") == 1


def test_a_built_in_alert_that_a_person_resolved_is_not_opened_again_at_once(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    evaluate_alerts(runtime, AS_OF)
    count = truth.one("SELECT count(*) FROM predictions.alerts")
    ids = truth.column("SELECT alert_id FROM predictions.alerts")
    assert len(act(runtime.database, ids, "resolve", by="ann", now=NOW)) == count > 0
    evaluate_alerts(runtime, AS_OF)
    evaluate_alerts(runtime, AS_OF)
    assert truth.one("SELECT count(*) FROM predictions.alerts") == count


def test_an_alert_is_acknowledged_snoozed_reopened_and_resolved_with_who_and_why(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    usage(truth, 3, AS_OF, 900)
    add(runtime, "heavy", "usage_day_mb", ">", 800)
    evaluate(runtime)
    (alert,) = truth.column("SELECT alert_id FROM predictions.alerts")

    def do(what: Any, hour: int, **more: Any) -> list[int]:
        return act(runtime.database, [alert, alert + 999], what, by="ann", now=NOW + timedelta(hours=hour), **more)

    assert do("acknowledge", 1, note="on it") == [alert]
    with pytest.raises(AlertError, match="in the future"):
        do("snooze", 2, until=NOW)
    assert do("snooze", 2, until=NOW + DAY) == [alert]
    assert do("reopen", 3) == [alert]
    assert do("resolve", 4, note="done") == [alert]
    assert do("acknowledge", 5) == [], "what is closed stays closed"
    history = truth.rows("SELECT event, who, note, at FROM predictions.alert_history ORDER BY history_id OFFSET 1")
    assert [(row["event"], row["who"], row["note"], (row["at"] - NOW) // timedelta(hours=1)) for row in history] == [
        ("acknowledged", "ann", "on it", 1),
        ("snoozed", "ann", None, 2),
        ("reopened", "ann", None, 3),
        ("resolved", "ann", "done", 4),
    ]


def test_a_rule_is_replaced_switched_off_and_deleted(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    usage(truth, 3, AS_OF, 900)
    rule = add(runtime, "heavy", "usage_day_mb", ">", 800)
    with pytest.raises(AlertError, match="there is a rule named 'heavy'"):
        add(runtime, "heavy", "usage_day_mb", ">", 700)
    assert add(runtime, "heavy", "usage_day_mb", ">", 700, replace=True) == rule
    assert truth.one("SELECT version FROM predictions.alert_rules") == 2
    evaluate(runtime)
    assert disable_rule(runtime.database, "heavy", now=NOW) == 1
    assert evaluate(runtime)["rules"] == 0
    enable_rule(runtime.database, "heavy", last=AS_OF, now=NOW, force=True)
    evaluate(runtime)
    assert len(holding(truth, rule)) == 1
    assert disable_rule(runtime.database, "heavy", now=NOW, delete=True) == 1
    with pytest.raises(AlertError, match="no rule named"):
        enable_rule(runtime.database, "heavy", last=AS_OF, now=NOW)
    assert add(runtime, "heavy", "usage_day_mb", ">", 800) != rule


def test_an_anomaly_counts_by_its_score_unless_it_belongs_to_an_incident(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    rule = add(runtime, "odd", "anomaly_score", ">=", 3)
    incident = truth.one(
        "INSERT INTO predictions.incidents (organization_id, kind, title, scope, first_day, last_day, severity,"
        " sims, model_version,"
        " created_at, updated_at) VALUES (1, 'spike', 't', '{}', %(d)s, %(d)s, 'info', 1, 1, now(), now())"
        " RETURNING incident_id",
        {"d": AS_OF},
    )
    for sim, kind, score, of in (
        (3, "spike", 2.5, None),
        (3, "silence", 3.5, None),
        (4, "spike", 2.9, None),
        (5, "spike", 9, incident),
    ):
        truth.rows(
            "INSERT INTO predictions.anomalies (sim_key, day, kind, organization_id, score, severity, reasons,"
            " first_day, incident_id,"
            " model_version, as_of, detected_at, live) VALUES (%s, %s, %s, 1, %s, 'info', '', %s, %s, 1, %s,"
            " now(), false)",
            (sim, AS_OF, kind, score, AS_OF, of, AS_OF),
        )
    evaluate(runtime)
    assert holding(truth, rule) == {3: 3.5}


def test_an_incident_is_one_alert_for_as_long_as_it_goes_on(filled: tuple[Runtime, Truth], tmp_path: Path) -> None:
    runtime, truth = filled
    truth.rows(
        "INSERT INTO predictions.incidents (organization_id, kind, title, scope, first_day, last_day, severity,"
        " sims, model_version,"
        " created_at, updated_at) VALUES (1, 'runaway', '38 SIMs', '{}', %(d)s, %(d)s, 'critical', 38, 1, now(),"
        " now())",
        {"d": AS_OF},
    )
    for ahead in range(3):
        evaluate(runtime, AS_OF + ahead * DAY)
        assert truth.column("SELECT closed_at IS NULL FROM predictions.alerts WHERE kind = 'incident'") == [True]
    evaluate(runtime, AS_OF + 3 * DAY)
    assert truth.column("SELECT closed_at IS NULL FROM predictions.alerts WHERE kind = 'incident'") == [False]
    truth.rows("UPDATE predictions.incidents SET last_day = %s", (AS_OF + 4 * DAY,))
    evaluate(runtime, AS_OF + 4 * DAY)
    found = "SELECT closed_at IS NULL FROM predictions.alerts WHERE kind = 'incident' ORDER BY alert_id"
    assert truth.column(found) == [False, True], "it comes back: another alert"
    truth.rows("UPDATE predictions.incidents SET kind = 'dead'")
    truth.rows(
        "INSERT INTO predictions.anomalies (organization_id, sim_key, day, kind, score, severity, reasons,"
        " first_day, incident_id,"
        " model_version, as_of, detected_at, live) SELECT 1, 3, %(d)s, 'dead', 4, 'critical', '', %(d)s,"
        " incident_id, 1, %(d)s, now(), false"
        " FROM predictions.incidents",
        {"d": AS_OF},
    )
    truth.rows(
        "INSERT INTO predictions.alerts (organization_id, sim_key, kind, severity, value, message, opened_as_of,"
        " opened_at, seen_as_of)"
        " VALUES (1, 3, 'silent', 'warning', 9, '', %(d)s, now(), %(d)s)",
        {"d": AS_OF},
    )
    evaluate(runtime, AS_OF + 9 * DAY)
    assert truth.column(found) == [False, True], "a SIM of it is silent still"
    truth.rows("UPDATE predictions.alerts SET closed_at = now(), closed_as_of = %s WHERE kind = 'silent'", (AS_OF,))
    evaluate(runtime, AS_OF + 10 * DAY)
    assert truth.column(found) == [False, False]


def test_an_anomaly_that_no_incident_explains_is_one_alert_of_its_sim(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    for sim, kind, severity in (
        (3, "spike", "critical"),
        (3, "sms_flood", "warning"),
        (4, "spike", "info"),
        (5, "dead", "critical"),
    ):
        truth.rows(
            "INSERT INTO predictions.anomalies (sim_key, day, kind, organization_id, score, severity, reasons,"
            " first_day, model_version,"
            " as_of, detected_at, live) VALUES (%s, %s, %s, 1, %s, %s, 'much', %s, 1, %s, now(), false)",
            (sim, AS_OF, kind, 9 if kind == "spike" else 4, severity, AS_OF, AS_OF),
        )
    found = (
        "SELECT sim_key, severity, value, closed_at IS NULL AS is_open FROM predictions.alerts WHERE kind = 'anomaly'"
    )
    for ahead in range(3):
        evaluate(runtime, AS_OF + ahead * DAY)
        assert truth.rows(found) == [{"sim_key": 3, "severity": "critical", "value": 9, "is_open": True}]
    for ahead in (3, 4):
        evaluate(runtime, AS_OF + ahead * DAY)
        assert [row["is_open"] for row in truth.rows(found)] == [False]
