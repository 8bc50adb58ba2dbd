"""Commands, sensors and jobs of alerts over a simulated account: from a rule to the message; data of critical SIMs."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import dagster as dg
import pytest
from sqlalchemy import URL
from typer.testing import CliRunner, Result

from ml.enums import AlertKind
from pipelines.cli import app
from pipelines.definitions import code_location
from pipelines.schedules import hourly_rules
from pipelines.sensors import alert_outbox, critical_alerts
from resources.database.server import driver_url
from resources.once.stream_records import luhn_digit
from resources.runtime import Runtime
from services.notifications import outbox
from tests.fleet import AS_OF, NOW, Account, Truth, at, ingest

Command = Callable[..., Result]


@pytest.fixture
def simsight(filled: tuple[Runtime, Truth], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """The command over the filled database."""
    settings = filled[0].settings
    assert settings.database_url is not None
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "SIMSIGHT_HOME": str(tmp_path),
        "SIMSIGHT_NOW": NOW.isoformat(),
        "SIMSIGHT_DATABASE_URL": settings.database_url.get_secret_value(),
        "SIMSIGHT_DAGSTER_DATABASE_URL": "postgresql://nobody@localhost/unused",
        "SIMSIGHT_MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
        "COLUMNS": "200",
    }.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str, fails: bool = False) -> Result:
        done = CliRunner().invoke(app, list(arguments))
        assert (done.exit_code != 0) == fails, done.output + repr(done.exception)
        return done

    return run


def heavy(truth: Truth, sim: int, days: range) -> None:
    for back in days:
        truth.rows(
            "UPDATE core.sim_usage SET bytes = 900000000, bytes_rx = 0 WHERE sim_key = %s AND day = %s",
            (sim, AS_OF - timedelta(days=back)),
        )


def test_from_a_rule_to_its_message_on_the_command_line(
    simsight: Command, filled: tuple[Runtime, Truth], monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, truth = filled
    truth.run("UPDATE core.sim_usage SET bytes = 1000000, bytes_rx = 0 WHERE bytes > 1000000")
    heavy(truth, 3, range(3))
    assert "quota_used_share" in simsight("rules", "metrics").output
    tried = simsight("rules", "test", "usage_day_mb > 800", "--for", "2")
    assert "it would have fired 1 time on 30 days, for at most 1 of 40 at once" in tried.output
    iccid = truth.one("SELECT iccid FROM core.sims WHERE sim_key = 3")
    for spelled in (iccid, iccid + luhn_digit(iccid)):
        tried = simsight("rules", "test", "usage_day_mb > 800", "--for", "2", "--sim", spelled)
        assert "it would have fired 1 time on 30 days, for at most 1 of 1 at once" in tried.output
    assert "refused unless forced" in str(
        simsight("rules", "add", "all", "usage_day_mb >= 0.000001", fails=True).exception
    )
    added = simsight("rules", "add", "heavy", "usage_day_mb > 800", "--severity", "critical", "--by", "ann")
    assert "heavy: stored as version 1, switched on" in added.output
    simsight("rules", "disable", "heavy")
    assert "heavy is on; it would have fired" in simsight("rules", "enable", "heavy").output

    location = code_location(runtime)
    with dg.DagsterInstance.ephemeral() as instance:
        done = location.resolve_job_def("alert_rules").execute_in_process(
            instance=instance, partition_key=AS_OF.isoformat(), run_config={"loggers": {"terminal": {}}}
        )
        assert done.success
        (rule,) = json.loads(simsight("rules", "list", "--json").output)
        assert (rule["holding"], rule["error"], rule["created_by"]) == (1, None, "ann")
        (alert,) = json.loads(simsight("alerts", "list", "--json").output)
        assert (alert["severity"], alert["rule"]) == ("critical", "heavy")
        assert "usage of the day is 900 MB" in simsight("alerts", "list").output
        assert "1 open alert" in simsight("alerts", "list", "--severity", "critical").output
        assert "no alert" in simsight("alerts", "list", "--severity", "info").output

        monkeypatch.setenv("HOOK_URL", "http://127.0.0.1:9/secret-path")
        monkeypatch.setenv("HOOK_SECRET", "s3cret")
        added = simsight("channels", "add", "other", "HOOK_URL", "--secret", "HOOK_SECRET").output
        assert "1 alert is open already and not sent to it (--send-open sends them)" in added
        added = simsight("channels", "add", "hook", "HOOK_URL", "--secret", "HOOK_SECRET", "--send-open").output
        assert "1 alert is open already: the next `simsight notify` sends it" in added
        simsight("channels", "delete", "other")
        assert "no answer" in str(simsight("channels", "test", "hook", fails=True).exception)
        simsight("oncall", "escalate", "night", "0:hook", "30:hook")
        simsight("oncall", "quiet", "nights", "--from", "22:00", "--to", "06:00", "--zone", "Europe/Berlin")
        simsight(
            "oncall", "maintenance", "move", "--from", "2025-01-01T00:00", "--to", "2025-01-02T00:00", "--label", "x"
        )
        assert [row["what"] for row in json.loads(simsight("oncall", "list", "--json").output)] == [
            "escalation",
            "maintenance",
            "quiet",
        ]
        for what, name in (("quiet", "nights"), ("maintenance", "move")):
            simsight("oncall", "delete", what, name)

        context = dg.build_sensor_context(instance=instance, resources={"runtime": runtime})
        assert isinstance(alert_outbox(context), dg.RunRequest)
        sent = location.resolve_job_def("notify").execute_in_process(
            instance=instance, run_config={"loggers": {"terminal": {}}}
        )
        assert sent.success
        assert isinstance(alert_outbox(context), dg.SkipReason), "it waits for its next attempt"
    (problem,) = json.loads(simsight("channels", "problems", "--json").output)
    assert problem["last_error"].startswith("no answer: ")
    assert "secret-path" not in json.dumps(problem)
    truth.run("UPDATE ops.notifications SET last_error = NULL")
    assert "no message failed; 1 waits to be sent" in simsight("channels", "problems").output
    truth.run("UPDATE ops.channels SET parked_at = now(), parked_reason = 'wrong secret' WHERE deleted_at IS NULL")
    said = simsight("channels", "problems").output
    assert ("all messages arrived" in said, "wrong secret; 1 waits for it, `simsight channels test hook`" in said) == (
        False,
        True,
    )
    assert "nothing to send" in simsight("notify").output

    number = str(alert["alert_id"])
    simsight("alerts", "ack", number, "--note", "on it", "--by", "ann")
    simsight("alerts", "ack", number)
    listed = simsight("alerts", "list").output
    assert "[critical] acknowledged by ann" in listed
    assert "1 open alert, 1 acknowledged among them" in listed
    (alert,) = json.loads(simsight("alerts", "list", "--json").output)
    assert (alert["acted_by"], alert["note"], alert["state"]) == ("ann", "on it", "acknowledged")
    simsight("alerts", "snooze", number, "--for", "4h", "--by", "ann")
    assert "snoozed until 2025-09-24 10:00 UTC by ann" in simsight("alerts", "list").output
    assert "expected a time such as 30m" in str(
        simsight("alerts", "snooze", number, "--for", "soon", fails=True).exception
    )
    simsight("alerts", "resolve", number)
    assert "no alert that is not resolved" in str(simsight("alerts", "ack", number, fails=True).exception)
    events = [row["event"] for row in json.loads(simsight("alerts", "history", number, "--json").output)]
    assert events == ["opened", "acknowledged", "acknowledged", "snoozed", "resolved"]
    assert "1 message dropped" in simsight("channels", "delete", "hook").output
    assert "0 alerts closed" in simsight("rules", "delete", "heavy").output
    assert re.search("no rule yet", simsight("rules", "list").output)


# what each kind of alert rests on, as of a day: SIMs of one incident, one with an anomaly of its own, a silent one,
# and one whose volume is nearly used up
EVERY_KIND = """
INSERT INTO predictions.incidents
    (organization_id, kind, title, scope, first_day, last_day, severity, sims, model_version, created_at, updated_at)
VALUES (1, 'spike', 'Spike in 2 SIMs', '{}', %(as_of)s, %(as_of)s, 'critical', 2, 1, now(), now());
INSERT INTO predictions.anomalies
    (organization_id, sim_key, day, kind, score, severity, reasons, first_day, incident_id, model_version, as_of,
     detected_at, live)
SELECT 1, n, %(as_of)s, 'spike', 9, 'critical', 'Far more than usual.', %(as_of)s, i.incident_id, 1, %(as_of)s, now(),
       false
FROM generate_series(10, 12) AS n LEFT JOIN predictions.incidents AS i ON n < 12;
DELETE FROM core.sim_usage WHERE sim_key = 13 AND day > %(as_of)s::date - 30;
UPDATE core.sim_quota SET amount_left = 1000, amount_total = 500000000 WHERE sim_key = 14 AND kind = 'data';
UPDATE predictions.exhaustions SET p_7 = 0.99, p_14 = 0.99, status = 'ok' WHERE sim_key = 14
"""


def test_a_day_that_is_past_opens_changes_closes_and_sends_no_alert_of_any_kind(
    simsight: Command, filled: tuple[Runtime, Truth], monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, truth = filled
    monkeypatch.setenv("HOOK_URL", "http://127.0.0.1:9/")
    simsight("channels", "add", "hook", "HOOK_URL", "--secret", "HOOK_URL")
    simsight("rules", "add", "used", "usage_day_mb > 0.000001", "--force")
    for statement in EVERY_KIND.split(";\n"):
        truth.rows(statement, {"as_of": AS_OF})

    def evaluate(now: datetime) -> dict[str, int]:
        """Run the alerts as of AS_OF at a time, as every job that scores a day does; returns the alerts there are."""
        with at(runtime, now) as then, dg.DagsterInstance.ephemeral() as instance:
            done = (
                code_location(then)
                .get_implicit_global_asset_job_def()
                .execute_in_process(
                    instance=instance,
                    partition_key=AS_OF.isoformat(),
                    asset_selection=[dg.AssetKey("alerts"), dg.AssetKey("alert_rules_evaluated")],
                    run_config={"loggers": {"terminal": {}}},
                )
            )
        assert done.success
        return {
            row["kind"]: row["n"] for row in truth.rows("SELECT kind, count(*) AS n FROM predictions.alerts GROUP BY 1")
        }

    assert evaluate(NOW + timedelta(days=1)) == {}
    assert evaluate(NOW + timedelta(days=7)) == {}
    assert outbox.plan(runtime.database, now=NOW)["planned"] == 0
    assert truth.one("SELECT evaluated_as_of FROM predictions.alert_rules") is None

    opened = evaluate(NOW)
    assert set(opened) == set(get_args(AlertKind)), "the day before, each of them was news"
    assert outbox.plan(runtime.database, now=NOW)["planned"] > 0
    # what is open is neither changed nor closed by a day that is past
    before = truth.versions(["predictions.alerts", "predictions.alert_rules"])
    truth.run("DELETE FROM predictions.anomalies")
    truth.run("UPDATE core.sim_usage SET bytes = 0, bytes_rx = 0")
    assert evaluate(NOW + timedelta(days=7)) == opened
    assert truth.versions(["predictions.alerts", "predictions.alert_rules"]) == before


@pytest.fixture
def sensing(account: Account) -> Iterator[tuple[Account, dg.DagsterInstance]]:
    ingest(account.runtime, "sims")
    with dg.DagsterInstance.ephemeral() as instance:
        yield account, instance


def critical(truth: Truth, sim: int) -> None:
    truth.rows(
        "INSERT INTO predictions.alerts (organization_id, sim_key, kind, severity, message, opened_as_of,"
        " opened_at, seen_as_of)"
        " VALUES (1, %s, 'quota_80', 'critical', 'used up', %s, %s, %s)",
        (sim, AS_OF, NOW, AS_OF),
    )


def test_the_sim_of_a_new_critical_alert_is_asked_about_at_once_and_once(
    sensing: tuple[Account, dg.DagsterInstance],
) -> None:
    account, instance = sensing
    location = code_location(account.runtime)

    def sense(cursor: str | None) -> Any:
        resources = {"runtime": account.runtime}
        return critical_alerts(dg.build_sensor_context(instance=instance, cursor=cursor, resources=resources))

    assert sense(None).run_requests == []
    critical(account.truth, 5)
    critical(account.truth, 7)
    found = sense("0")
    (request,) = found.run_requests
    assert request.run_config["ops"]["ask_now"]["config"] == {"sim_keys": [5, 7]}
    done = location.resolve_job_def("refresh_sims").execute_in_process(
        instance=instance, run_config=request.run_config | {"loggers": {"terminal": {}}}
    )
    assert done.success
    iccids = {account.truth.one("SELECT iccid FROM core.sims WHERE sim_key = %s", (sim,)) for sim in (5, 7)}
    assert {iccid for iccid, _ in account.asked("usage")} == iccids
    assert sense(found.cursor).run_requests == []
    # the next whole pass asks the others, and has then asked everyone
    ingest(account.runtime, "usage")
    assert len(account.asked("usage")) == 24
    critical(account.truth, 9)
    assert sense(found.cursor).run_requests == [], "its data is fresh"


def test_without_an_account_nothing_is_asked(database_url: URL, account: Account) -> None:
    settings = account.runtime.settings.model_copy(update={"once_username": None})
    with Runtime(settings) as runtime:
        said = critical_alerts(dg.build_sensor_context(resources={"runtime": runtime}))
    assert isinstance(said, dg.SkipReason)
    assert driver_url(database_url, "psycopg").database


def test_rules_are_evaluated_every_hour_as_of_the_last_complete_day(account: Account) -> None:
    context = dg.build_schedule_context(scheduled_execution_time=NOW, resources={"runtime": account.runtime})
    asked = hourly_rules(context)
    assert isinstance(asked, dg.RunRequest)
    assert asked.partition_key == AS_OF.isoformat()
