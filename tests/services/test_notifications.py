"""The outbox over real database, SMTP and HTTP servers: each alert is sent once, whatever fails or is killed."""

from __future__ import annotations

import hmac
import json
import logging
import threading
from datetime import UTC, datetime, time, timedelta

import pytest
from sqlalchemy import URL

from resources.channels import ChannelBrokenError, redact, sign
from resources.database.session import Database
from services.alerts.evaluation import AlertError, act
from services.notifications import oncall, outbox
from services.notifications.messages import MAX_ATTEMPTS, retry_after
from tests.receiver import HookServer, signature
from tests.services.conftest import DAY, HOUR, MINUTE, NOW, PASSWORD, SECRET, Fleet, MailServer, mailto


def test_an_alert_is_mailed_once_and_its_end_is_told(fleet: Fleet, mailed: MailServer) -> None:
    alert = fleet.alert()
    fleet.notify()
    fleet.notify(NOW + MINUTE)
    assert mailed.subjects == ["[warning] pump-1 (8888888888888888881): No usage for 4 days."]
    (first,) = mailed.mails
    (row,) = fleet.run("SELECT delivery_key, state, attempts, sent_at FROM ops.notifications")
    assert first["Message-ID"] == f"<{row['delivery_key']}@simsight>"
    assert (row["state"], row["attempts"], row["sent_at"]) == ("sent", 1, NOW)
    assert (first["To"], "simsight@example.org" in str(first["From"])) == ("ann@example.org", True)

    act(fleet.database, [alert], "resolve", by="ann", now=NOW + HOUR)
    fleet.notify(NOW + HOUR)
    fleet.notify(NOW + HOUR)
    assert [subject.startswith("[warning] resolved: pump-1") for subject in mailed.subjects] == [False, True]


def test_a_label_with_line_feeds_does_not_break_a_mail(fleet: Fleet, mailed: MailServer) -> None:
    fleet.run("UPDATE core.sims SET own_label = E'a\\nBcc: eve@example.org\\r\\n' WHERE label = 'pump-1'")
    fleet.alert(1, "critical")
    fleet.alert(2, "warning")
    assert fleet.notify()["sent"] == 2
    assert mailed.mails[0]["Bcc"] is None
    assert "a Bcc: eve@example.org" in mailed.subjects[0]


def test_many_sims_of_one_day_are_one_message(fleet: Fleet, mailed: MailServer) -> None:
    for sim in range(1, 51):
        fleet.alert(sim)
    fleet.notify()
    assert mailed.subjects == ["[warning] 50 alerts: silent"]
    text = mailed.mails[0].get_content()
    assert text.count("No usage for 4 days.") == 20
    assert "and 30 more" in text
    fleet.alert(51)
    fleet.notify(NOW + MINUTE)
    assert len(mailed.mails) == 2, "what came later is told later, alone"


def test_a_webhook_is_signed_and_carries_the_alert(fleet: Fleet, hook: HookServer) -> None:
    fleet.channel("hook", hook.url, secret=SECRET)
    alert = fleet.alert(severity="critical")
    fleet.notify()
    ((headers, body),) = hook.posts
    assert headers["x-simsight-signature"] == signature(SECRET, headers, body)
    assert int(headers["x-simsight-timestamp"]) == NOW.timestamp()
    told = json.loads(body)
    assert told["id"] == headers["idempotency-key"]
    assert (told["type"], told["organization"], told["count"]) == ("alert.opened", "default", 1)
    assert told["alerts"][0]["alert_id"] == alert
    assert told["alerts"][0]["iccid"] == "8888888888888888881"


def test_a_channel_gets_its_severities_and_nothing_from_before_it_was_there(fleet: Fleet, mail: MailServer) -> None:
    fleet.alert(1, "critical", NOW - 2 * DAY)
    fleet.channel("loud", mailto(mail), min_severity="critical")
    fleet.alert(2, "warning")
    third = fleet.alert(3, "info")
    fleet.notify()
    assert mail.subjects == []
    fleet.run("UPDATE predictions.alerts SET severity = 'critical' WHERE alert_id = %s", (third,))
    fleet.notify()
    assert mail.subjects == ["[critical] pump-3 (8888888888888888883): No usage for 4 days."]


def test_an_alert_that_grows_louder_is_told_again(fleet: Fleet, mailed: MailServer) -> None:
    alert = fleet.alert()
    fleet.notify()
    fleet.run("UPDATE predictions.alerts SET severity = 'critical' WHERE alert_id = %s", (alert,))
    fleet.notify()
    fleet.notify()
    assert [subject.partition("pump")[0] for subject in mailed.subjects] == [
        "[warning] ",
        "[critical] raised to critical: ",
    ]


def test_a_snooze_that_is_over_is_told_and_an_acknowledged_alert_is_not(fleet: Fleet, mailed: MailServer) -> None:
    alert, seen = fleet.alert(1), fleet.alert(2, "critical")
    fleet.notify()
    act(fleet.database, [alert], "snooze", by="ann", now=NOW, until=NOW + HOUR)
    act(fleet.database, [seen], "acknowledge", by="ann", now=NOW)
    fleet.notify(NOW + 59 * MINUTE)
    assert len(mailed.mails) == 2
    for minutes in (60, 61, 62):
        fleet.notify(NOW + minutes * MINUTE)
    assert mailed.subjects[2:] == ["[warning] open again: pump-1 (8888888888888888881): No usage for 4 days."]


def test_what_nobody_acknowledges_goes_to_the_next_channel(fleet: Fleet, mail: MailServer, hook: HookServer) -> None:
    fleet.channel("first", mailto(mail), direct=False)
    fleet.channel("boss", hook.url, secret=SECRET, direct=False)
    oncall.add_policy(fleet.database, "night", [(30, "boss"), (0, "first")], now=NOW - DAY)
    ignored, seen = fleet.alert(1, "critical"), fleet.alert(2, "critical", kind="exhaustion")
    fleet.alert(3, "warning")
    fleet.notify()
    assert len(mail.mails) == 2
    act(fleet.database, [seen], "acknowledge", by="ann", now=NOW + 5 * MINUTE)
    fleet.notify(NOW + 29 * MINUTE)
    assert hook.posts == []
    fleet.notify(NOW + 30 * MINUTE)
    fleet.notify(NOW + 31 * MINUTE)
    (told,) = hook.done.values()
    assert [one["alert_id"] for one in told["alerts"]] == [ignored]
    assert told["type"] == "alert.escalation"
    assert len(mail.mails) == 2


def test_in_quiet_hours_only_what_is_critical_is_sent_and_the_rest_follows(fleet: Fleet, mailed: MailServer) -> None:
    # 22:00 to 06:00 in Berlin, on nights that begin on Wednesday: 21:00 to 05:00 UTC
    oncall.add_quiet_hours(fleet.database, "nights", time(22), time(6), time_zone="Europe/Berlin", days=[3])
    night = datetime(2026, 1, 14, 23, tzinfo=UTC)
    fleet.alert(1, "warning", night)
    fleet.alert(2, "critical", night)
    fleet.notify(night)
    fleet.notify(night + 5 * HOUR)
    assert [subject[:10] for subject in mailed.subjects] == ["[critical]"]
    fleet.notify(night + 6 * HOUR)
    assert len(mailed.mails) == 2
    assert "pump-1" in mailed.subjects[1]
    fleet.alert(3, "warning", night + DAY)
    fleet.notify(night + DAY)
    assert "pump-3" in mailed.subjects[2], "the night that begins on Thursday is not quiet"


def test_an_alert_that_ends_before_it_could_be_told_is_not_told(fleet: Fleet, mailed: MailServer) -> None:
    oncall.add_quiet_hours(fleet.database, "noon", time(11), time(14), time_zone="UTC", days=range(1, 8))
    alert = fleet.alert()
    fleet.notify()
    act(fleet.database, [alert], "resolve", by="ann", now=NOW + HOUR)
    fleet.notify(NOW + 3 * HOUR)
    assert (mailed.mails, fleet.states()) == ([], [("opened", "dropped")])


def test_during_maintenance_nobody_is_told_and_what_is_left_is_told_after_it(fleet: Fleet, mailed: MailServer) -> None:
    oncall.add_maintenance(fleet.database, "move", NOW - HOUR, NOW + HOUR, scope={"label_prefix": "pump-1"}, by="ann")
    for sim in (1, 2, 10):
        fleet.alert(sim)
    fleet.notify()
    assert mailed.subjects == ["[warning] pump-2 (8888888888888888882): No usage for 4 days."]
    fleet.notify(NOW + HOUR)
    assert mailed.subjects[1:] == ["[warning] 2 alerts: silent"]


def test_a_digest_is_one_message_a_day_at_its_time(fleet: Fleet, mail: MailServer) -> None:
    fleet.channel("daily", mailto(mail), digest_at=time(8), time_zone="Europe/Berlin")
    fleet.alert(1, "critical", NOW)
    fleet.alert(2, "warning", NOW)
    fleet.notify(NOW)
    assert [state for _, state in fleet.states()] == ["sent"]
    assert mail.subjects == ["Alerts: 2 open, 2 new, 0 resolved"]
    fleet.notify(NOW + 2 * HOUR)
    fleet.notify(datetime(2026, 1, 15, 6, 59, tzinfo=UTC))
    assert len(mail.mails) == 1
    fleet.alert(3, at=NOW + HOUR)
    fleet.notify(datetime(2026, 1, 15, 7, tzinfo=UTC))
    assert mail.subjects[1:] == ["Alerts: 3 open, 1 new, 0 resolved"]


def test_a_digest_comes_once_on_the_nights_on_which_clocks_change(fleet: Fleet, mail: MailServer) -> None:
    fleet.channel("nights", mailto(mail), digest_at=time(2, 30), time_zone="Europe/Berlin")
    # 02:30 is left out in spring, and comes twice in autumn
    spring, autumn = datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)
    for night, minutes in ((spring, (30, 59, 60, 90)), (autumn, (15, 30, 70, 100))):
        for minute in minutes:
            fleet.notify(night + minute * MINUTE)
    found = fleet.run("SELECT created_at FROM ops.notifications WHERE digest_day IS NOT NULL ORDER BY 1")
    assert [row["created_at"] for row in found] == [spring + HOUR, autumn + 30 * MINUTE]


def test_what_fails_is_tried_again_later_and_given_up_with_the_reason(fleet: Fleet, hook: HookServer) -> None:
    fleet.channel("hook", hook.url, secret=SECRET)
    fleet.alert()
    hook.status = 503
    now = NOW
    for attempt in range(1, MAX_ATTEMPTS + 1):
        fleet.notify(now)
        (row,) = fleet.run("SELECT * FROM ops.notifications")
        assert (row["attempts"], row["last_error"].endswith("it answered 503")) == (attempt, True)
        fleet.notify(now + timedelta(seconds=10))
        assert len(hook.posts) == attempt, "not before its time"
        now = row["next_attempt_at"]
    assert row["state"] == "dead"
    assert row["last_error"] == f"given up after {MAX_ATTEMPTS} attempts: it answered 503"
    assert timedelta(minutes=30) < now - NOW < timedelta(hours=3)
    assert "attempts in a row failed" in oncall.channel_named(fleet.database, "hook")["parked_reason"]
    # an hour later it is tried with what came since, and works
    hook.status = 200
    fleet.alert(2)
    fleet.notify(now + MINUTE)
    assert len(hook.posts) == MAX_ATTEMPTS
    fleet.notify(now + HOUR + MINUTE)
    assert len(hook.posts) == MAX_ATTEMPTS + 1
    assert oncall.channel_named(fleet.database, "hook")["parked_reason"] is None


def test_a_message_that_is_refused_is_dead_and_the_next_goes_through(fleet: Fleet, mailed: MailServer) -> None:
    mailed.reply = "554 no"
    fleet.alert(1)
    fleet.notify()
    mailed.reply = "250 OK"
    fleet.alert(2)
    fleet.notify()
    assert fleet.states() == [("opened", "dead"), ("opened", "sent")]
    assert oncall.channel_named(fleet.database, "mail")["parked_reason"] is None


def test_wrong_secrets_and_dead_servers_are_parked_with_the_reason_and_hold_nobody_up(
    fleet: Fleet, mail: MailServer, hook: HookServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    hook.status = 403
    fleet.channel("a-wrong-password", mailto(mail, "a-wrong-password"))
    fleet.channel("b-forbidden", hook.url, secret=SECRET)
    fleet.channel("c-nobody-there", "mailto://ops:some-password@127.0.0.1:9?from=a@example.org&to=ann@example.org")
    fleet.channel("d-no-url", "what is this?")
    fleet.channel("e-not-set", "")
    fleet.channel("f-slack", f"json://127.0.0.1:9/{PASSWORD}")
    fleet.channel("z-good", mailto(mail))
    fleet.alert()

    fleet.notify()
    fleet.notify(NOW + MINUTE)

    channels = {row["name"]: row for row in fleet.database.rows("channels_list")}
    reasons = {name: row["parked_reason"] for name, row in channels.items()}
    assert mail.subjects == ["[warning] pump-1 (8888888888888888881): No usage for 4 days."]
    assert "refused the login" in reasons["a-wrong-password"]
    assert reasons["b-forbidden"] == "it answered 403"
    assert "no URL that Apprise understands" in reasons["d-no-url"]
    assert "CHANNEL_E_NOT_SET is not set" in reasons["e-not-set"]
    assert reasons["c-nobody-there"] is reasons["f-slack"] is reasons["z-good"] is None
    assert len(hook.posts) == 1, "a disabled channel is left alone"
    waiting = {row["channel"]: row["last_error"] for row in fleet.database.rows("outbox_problems", {"rows": 20})}
    assert waiting["c-nobody-there"].startswith("no mail server")
    assert waiting["f-slack"]
    assert all(channels[name]["pending"] == (name != "z-good") for name in channels)

    everything = json.dumps(
        [fleet.run(f"SELECT * FROM ops.{table}") for table in ("channels", "notifications")], default=str
    )
    for secret in (SECRET, PASSWORD, "a-wrong-password@", ":some-password", "ops:"):
        assert secret not in everything
        assert secret not in caplog.text


def test_a_test_send_says_what_is_wrong_and_makes_a_parked_channel_work_again(fleet: Fleet, mail: MailServer) -> None:
    fleet.channel("mail", mailto(mail, "wrong-password"))
    fleet.alert()
    fleet.notify()
    with pytest.raises(ChannelBrokenError, match="refused the login"):
        oncall.try_channel(fleet.database, "mail", now=NOW, environ=fleet.environ)
    fleet.environ["CHANNEL_MAIL"] = mailto(mail)
    fleet.notify(NOW + MINUTE)
    assert mail.mails == []
    oncall.try_channel(fleet.database, "mail", now=NOW + MINUTE, environ=fleet.environ)
    fleet.notify(NOW + MINUTE)
    assert [subject.partition(":")[0] for subject in mail.subjects] == [
        "Simsight",
        "[warning] pump-1 (8888888888888888881)",
    ]
    with pytest.raises(AlertError, match="no channel named 'post'; there are: mail"):
        oncall.try_channel(fleet.database, "post", now=NOW, environ={})


def test_what_makes_no_sense_is_refused_when_it_is_written(fleet: Fleet) -> None:
    for wrong, words in [
        (lambda: fleet.channel("x y", "u"), "a channel's name is"),
        (lambda: fleet.channel("x", "u", digest_at=time(8), time_zone="Mars/Olympus"), "no time zone 'Mars/Olympus'"),
        (lambda: oncall.add_channel(fleet.database, "x", url_variable="mailto://a:b@c", now=NOW), "^expected the name"),
        (lambda: oncall.add_policy(fleet.database, "x", [(30, "nobody")], now=NOW), "no channel named"),
        (lambda: oncall.add_policy(fleet.database, "x", [], now=NOW), "needs steps"),
        (
            lambda: oncall.add_quiet_hours(fleet.database, "x", time(1), time(1), time_zone="UTC", days=[1]),
            "two different",
        ),
        (
            lambda: oncall.add_quiet_hours(fleet.database, "x", time(1), time(2), time_zone="UTC", days=[8]),
            "days from 1",
        ),
        (lambda: oncall.add_maintenance(fleet.database, "x", NOW, NOW, scope={}, by="a"), "the end must come later"),
        (lambda: oncall.add_maintenance(fleet.database, "x", NOW, NOW + DAY, scope={"a": 1}, by="a"), "expected"),
    ]:
        with pytest.raises(AlertError, match=words):
            wrong()
    assert fleet.run("SELECT (SELECT count(*) FROM ops.channels) + (SELECT count(*) FROM ops.quiet_hours) AS n") == [
        {"n": 0}
    ]


def test_two_organizations_do_not_see_each_other_s_alerts_or_channels(
    fleet: Fleet, mailed: MailServer, database_url: URL
) -> None:
    other = Database(database_url, "other")
    fleet.alert()
    assert other.rows("channels_list") == []
    assert outbox.notify(other, clock=lambda: NOW, environ=fleet.environ)["planned"] == 0
    assert mailed.mails == []
    other.close()


def test_many_senders_at_once_send_each_message_once(fleet: Fleet, hook: HookServer, database_url: URL) -> None:
    fleet.channel("hook", hook.url, secret=SECRET)
    for sim in range(1, 41):
        fleet.alert(sim, at=NOW - timedelta(minutes=sim * 30), kind="silent" if sim % 2 else "exhaustion")
    fleet.run("UPDATE predictions.alerts SET opened_as_of = opened_as_of - alert_id::integer")
    senders = [Database(database_url, "default") for _ in range(4)]
    threads = [
        threading.Thread(target=lambda one=one: outbox.notify(one, clock=lambda: NOW, environ=fleet.environ))  # type: ignore[misc]
        for one in senders
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(hook.posts), len(hook.done)) == (40, 40)
    for one in senders:
        one.close()


# --- pure -----------------------------------------------------------------------------------------------------------


def test_retries_wait_longer_and_longer_up_to_an_hour_with_jitter() -> None:
    assert [retry_after(n, 1).total_seconds() for n in (1, 2, 3, 7, 8, 20)] == [30, 60, 120, 1920, 3600, 3600]
    assert retry_after(3, 0) == retry_after(3, 1) / 2


def test_signatures_are_hmac_sha256_of_timestamp_and_body() -> None:
    assert sign("key", 1700000000, b"{}") == hmac.new(b"key", b"1700000000.{}", "sha256").hexdigest()


def test_no_part_of_a_secret_url_but_its_host_is_repeated() -> None:
    url = "slack://tokenA/tokenB/tokenC@hooks.example.org/path-part?to=channel%20x&key=abcdef"
    said = redact(f"failed {url} hooks.example.org tokenB path-part abcdef\nnext channel x", [url])
    assert said.endswith("next ***")
    for part in ("tokenB", "path-part", "abcdef", "channel x"):
        assert part not in said


def test_a_channel_that_is_new_gets_the_alerts_that_were_open_only_if_asked_and_in_one_message(
    fleet: Fleet, mail: MailServer
) -> None:
    for sim in range(1, 6):
        fleet.alert(sim, at=NOW - sim * DAY)
    fleet.alert(6, "info", at=NOW - DAY)
    act(fleet.database, [fleet.alert(7, at=NOW - DAY)], "acknowledge", by="ann", now=NOW)
    assert oncall.open_alerts(fleet.database, "warning") == 5
    fleet.channel("mail", mailto(mail), min_severity="warning", now=NOW)
    assert fleet.notify() == {**fleet.notify(), "planned": 0}
    assert mail.mails == []
    fleet.channel("all", mailto(mail), min_severity="warning", now=NOW, open_too=True)
    fleet.notify(NOW + MINUTE)
    assert [subject for subject in mail.subjects if "5 alerts" in subject] == mail.subjects
    assert len(mail.mails) == 1, "alerts of many days are one message"
    fleet.alert(8, at=NOW + MINUTE)
    fleet.notify(NOW + 2 * MINUTE)
    assert len(mail.mails) == 3, "and from now on it is a channel as any"


def test_what_waits_for_a_disabled_channel_is_a_problem(fleet: Fleet) -> None:
    fleet.channel("chat", "no-such-service://x")
    for sim in (1, 2, 3):
        fleet.alert(sim, kind=("silent", "quota_80", "exhaustion")[sim - 1])
    fleet.notify()
    problems = fleet.database.rows("outbox_problems", {"rows": 50})
    assert [(row["channel"], row["state"]) for row in problems] == [("chat", "pending")] * 3
    assert all("the channel is disabled: " in row["last_error"] for row in problems)


def test_a_mail_says_what_to_do_next_and_links_to_what_it_is_about(fleet: Fleet, mailed: MailServer) -> None:
    alert = fleet.alert()
    outbox.notify(
        fleet.database,
        clock=lambda: NOW,
        environ=fleet.environ,
        data_note="synthetic data",
        api_url="https://sims.example.org/",
    )
    text = mailed.mails[0].get_content()
    assert "whether the device has power and a network" in text
    assert f"simsight alerts ack {alert}" in text
    assert "Report: https://sims.example.org/v1/report" in text.splitlines()
    assert "Alerts: https://sims.example.org/alerts" in text.splitlines()
    assert "SIM: https://sims.example.org/sims/8888888888888888881" in text.splitlines()
    assert "open since" in text
    assert "synthetic data" in text
    several = [fleet.alert(sim) for sim in (2, 3)]
    fleet.notify(NOW + MINUTE)
    commands = next(line for line in mailed.mails[1].get_content().splitlines() if "simsight alerts ack" in line)
    assert {int(number) for number in commands.split("alerts ack ")[1].split(";")[0].split()} == set(several)


def test_a_label_cannot_steer_the_terminal_of_who_reads_the_mail(fleet: Fleet, mailed: MailServer) -> None:
    fleet.run("UPDATE core.sims SET own_label = E'\\x1b[31mred' WHERE label = 'pump-1'")
    fleet.alert()
    fleet.notify()
    assert "\x1b" not in mailed.mails[0].get_content() + mailed.subjects[0]
    assert "[31mred" in mailed.subjects[0]
