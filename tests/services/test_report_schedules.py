"""Reports by schedule: due when, made once, mailed once whatever fails, kept as long as is set. Real SMTP and HTTP."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pydantic import SecretStr
from sqlalchemy import URL

from assets.report import period_reports
from pipelines.schedules import due_reports
from resources.database.migrations import note_organization
from resources.runtime import Runtime
from resources.settings import Settings
from services.alerts.evaluation import AlertError
from services.notifications.messages import report_message
from services.reports import kept, schedules
from services.reports.formats import render
from services.reports.periods import ReportError, due_period, newest_period, next_due
from services.reports.schedules import ReportsFailedError, make_due
from services.reports.sections.asking import Wanted
from tests.receiver import HookServer
from tests.services.conftest import SECRET, Fleet, MailServer

SUNDAY = date(2026, 1, 11)
# a day is complete at the end of the next one, and the report is due at 07:00 in Berlin, 06:00 UTC in winter
DUE = datetime(2026, 1, 13, 6, tzinfo=UTC)
At = Callable[[datetime], Runtime]


@pytest.fixture
def at(fleet: Fleet, database_url: URL, tmp_path: Path) -> Iterator[At]:
    """The pipeline over the fleet, at any time."""
    note_organization(database_url, "default", "synthetic data")
    with ExitStack() as stack:

        def opened(now: datetime) -> Runtime:
            url = SecretStr(database_url.render_as_string(hide_password=False))
            return stack.enter_context(Runtime(Settings(home=tmp_path, now=now, database_url=url, _env_file=None)))

        yield opened


def weekly(runtime: Runtime, name: str = "weekly", **more: Any) -> None:
    options: dict[str, Any] = {"every": "weekly", "formats": ["json", "csv"], "channels": ["mail"]}
    options |= {"at": time(7), "zone": "europe/berlin", "by": "user ann"}
    schedules.add_schedule(runtime, name, **(options | more))


@pytest.mark.parametrize(
    ("every", "last_complete", "period"),
    [
        ("daily", date(2026, 1, 12), (date(2026, 1, 12), date(2026, 1, 12))),
        ("weekly", SUNDAY, (date(2026, 1, 5), SUNDAY)),
        ("weekly", date(2026, 1, 17), (date(2026, 1, 5), SUNDAY)),
        ("weekly", date(2026, 1, 18), (date(2026, 1, 12), date(2026, 1, 18))),
        ("monthly", date(2026, 1, 30), (date(2025, 12, 1), date(2025, 12, 31))),
        ("monthly", date(2026, 1, 31), (date(2026, 1, 1), date(2026, 1, 31))),
        ("monthly", date(2024, 2, 29), (date(2024, 2, 1), date(2024, 2, 29))),
    ],
)
def test_the_newest_period_is_the_one_that_is_over(every: Any, last_complete: date, period: tuple[date, date]) -> None:
    assert newest_period(every, last_complete) == period


@pytest.mark.parametrize(
    ("now", "at", "zone", "since"),
    [
        (datetime(2026, 1, 14, 9), time(7), "Europe/Berlin", datetime(2026, 1, 14, 6)),
        (datetime(2026, 7, 14, 9), time(7), "Europe/Berlin", datetime(2026, 7, 14, 5)),  # summer time
        (datetime(2026, 1, 14, 9), time(0), "UTC", datetime(2026, 1, 14, 0)),
        (datetime(2026, 1, 14, 9), time(7), "America/Los_Angeles", datetime(2026, 1, 14, 15)),
        (datetime(2026, 1, 14, 9), time(18), "America/Los_Angeles", datetime(2026, 1, 14, 2)),
        (datetime(2026, 1, 14, 9), time(12), "Pacific/Auckland", datetime(2026, 1, 14, 23)),
        (
            datetime(2026, 3, 29, 9),
            time(2, 30),
            "Europe/Berlin",
            datetime(2026, 3, 29, 1, 30),
        ),  # skipped
        # twice: the first
        (datetime(2026, 10, 25, 9), time(2, 30), "Europe/Berlin", datetime(2026, 10, 25, 0, 30)),
    ],
)
def test_a_report_is_due_at_its_local_time_once_its_last_day_is_complete(
    now: datetime, at: time, zone: str, since: datetime
) -> None:
    found = due_period("daily", at, zone, now=now.replace(tzinfo=UTC), lateness_days=1)
    assert found.last_day == now.date() - timedelta(days=2)
    assert found.since == since.replace(tzinfo=UTC)


def test_a_report_is_made_when_it_is_due_mailed_once_and_kept(at: At, fleet: Fleet, mailed: MailServer) -> None:
    weekly(at(DUE - timedelta(days=1)))
    assert make_due(at(DUE - timedelta(minutes=1)))["made"] == 0
    assert make_due(at(DUE + timedelta(hours=5)))["made"] == 0, "it waits for the predictions of the last day"
    late = at(DUE + timedelta(hours=6))
    assert make_due(late) == {"made": 1, "messages": 1}
    assert make_due(late) == {"made": 0, "messages": 0}
    (row,) = kept.kept_reports(late)
    assert (row["name"], row["first_day"], row["last_day"]) == ("weekly", date(2026, 1, 5), SUNDAY)
    assert row["formats"] == ["csv", "json"]
    name, content = kept.kept_file(late, row["report_id"], "json")
    again = kept.make(late, Wanted(date(2026, 1, 5), SUNDAY), "Weekly fleet report")
    assert (name, content) == ("simsight-default-2026-01-05-to-2026-01-11.json", render(again, "json"))
    for _ in range(2):
        fleet.notify(DUE + timedelta(hours=7))
    (mail,) = mailed.mails
    assert mail["Subject"] == "Report weekly: 2026-01-05 to 2026-01-11 (synthetic data)"
    text = mail.get_body()
    assert text is not None
    assert "No usage of the 60 SIMs is stored for the period." in text.get_content()
    attached = {part.get_filename(): part.get_payload(decode=True) for part in mail.iter_attachments()}
    assert attached[name] == content
    assert len(attached) == 2


def test_with_the_predictions_of_its_last_day_a_report_waits_for_nothing(at: At, fleet: Fleet) -> None:
    weekly(at(DUE - timedelta(days=1)), channels=[])
    fleet.run(
        "INSERT INTO predictions.aggregate_forecasts (organization_id, as_of, kind, name, day, method, sims, mean,"
        " q025, q10, q50, q90, q975, created_at)"
        " VALUES (1, %s, 'fleet', 'fleet', %s, 'x', 60, 5, 1, 2, 3, 8, 9, now())",
        (SUNDAY, SUNDAY + timedelta(days=1)),
    )
    assert make_due(at(DUE)) == {"made": 1, "messages": 0}, "without a channel it is kept only"
    assert kept.kept_reports(at(DUE))[0]["as_of"] == SUNDAY


def test_a_mail_that_fails_is_tried_again_and_one_that_may_have_arrived_is_not(
    at: At, fleet: Fleet, mailed: MailServer
) -> None:
    weekly(at(DUE - timedelta(days=1)))
    late = DUE + timedelta(hours=6)
    make_due(at(late))
    mailed.reply = "451 later"
    assert fleet.notify(late)["retried"] == 1
    mailed.reply = "250 OK"
    assert fleet.notify(late + timedelta(minutes=5))["sent"] == 1
    assert len(mailed.mails) == 1
    weekly(at(DUE + timedelta(days=6)), "second")
    week_after = late + timedelta(days=7)
    make_due(at(week_after))
    fleet.run(
        "UPDATE ops.notifications SET state = 'sending', attempts = 1, lease_until = %s WHERE state = 'pending'",
        (week_after - timedelta(minutes=1),),
    )
    assert fleet.notify(week_after)["unknown"] == 2, "their sender died: it may have mailed them"
    assert len(mailed.mails) == 1


def test_a_webhook_is_told_where_the_report_is(at: At, fleet: Fleet, hook: HookServer) -> None:
    fleet.channel("hook", hook.url, secret=SECRET)
    weekly(at(DUE - timedelta(days=1)), channels=["hook"], label="pump-1", formats=["json"])
    make_due(at(DUE + timedelta(hours=6)))
    fleet.notify(DUE + timedelta(hours=6))
    (told,) = hook.done.values()
    assert (told["type"], told["report"]["label"], told["report"]["formats"]) == ("report", "pump-1", ["json"])
    assert told["report"]["reading"].startswith("No usage of the 11 SIMs")
    assert "content" not in json.dumps(told)


def test_one_that_cannot_be_made_holds_up_no_other(
    at: At, fleet: Fleet, mailed: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = at(DUE - timedelta(days=1))
    weekly(before, "a-page", formats=["pdf"])
    weekly(before, "numbers", formats=["json"])
    monkeypatch.setitem(sys.modules, "typst", None)
    with pytest.raises(ReportsFailedError, match=r"a-page: a PDF needs the extra \[reports\]"):
        make_due(at(DUE + timedelta(hours=6)))
    assert [row["name"] for row in kept.kept_reports(before)] == ["numbers"]
    monkeypatch.undo()
    assert make_due(at(DUE + timedelta(hours=7)))["made"] == 1, "it is made as soon as it can be"


def test_two_that_make_the_same_report_keep_it_once(at: At, fleet: Fleet, mailed: MailServer) -> None:
    runtime = at(DUE)
    weekly(runtime)
    (row,) = runtime.database.rows("report_schedules")
    made = kept.make(runtime, Wanted(SUNDAY, SUNDAY))
    keys = []
    for _ in range(2):
        with runtime.database.transaction() as transaction:
            keys.append(kept.keep(transaction, made, {}, name="x", now=DUE, schedule_id=row["schedule_id"]))
    assert keys[0] is not None
    assert keys[1] is None


def test_reports_are_deleted_when_they_are_old_and_were_sent(at: At, fleet: Fleet, mailed: MailServer) -> None:
    weekly(at(DUE - timedelta(days=1)))
    make_due(at(DUE + timedelta(hours=6)))
    years_later = at(DUE + timedelta(days=401))
    assert kept.forget_old(at(DUE + timedelta(days=399))) == {"reports": 0}
    assert kept.forget_old(years_later) == {"reports": 0}, "it waits to be sent"
    assert fleet.notify(DUE + timedelta(hours=6))["sent"] == 1
    assert kept.forget_old(years_later) == {"reports": 1}
    assert fleet.run("SELECT count(*) AS files FROM predictions.report_files") == [{"files": 0}]
    assert fleet.notify(DUE + timedelta(days=401)).get("sent", 0) == 0


def test_a_schedule_is_removed_logged_and_refused_where_it_is_wrong(at: At, fleet: Fleet, mailed: MailServer) -> None:
    runtime = at(DUE)
    weekly(runtime)
    with pytest.raises(ReportError, match="there is a schedule named 'weekly'"):
        weekly(runtime)
    for wrong, message in (
        ({"zone": "Europe/Nowhere"}, "no time zone 'Europe/Nowhere'"),
        ({"formats": []}, "needs a format"),
        ({"name": "a b"}, "a schedule's name"),
    ):
        with pytest.raises(ReportError, match=message):
            weekly(runtime, **({"name": "other"} | wrong))
    with pytest.raises(AlertError, match="no channel named 'fax'"):
        weekly(runtime, "other", channels=["fax"])
    schedules.remove_schedule(runtime, "weekly", by="user bob")
    with pytest.raises(ReportError, match="there is no schedule named 'weekly'; there are: none yet"):
        schedules.remove_schedule(runtime, "weekly", by="user bob")
    assert logged(fleet) == [("made", "user ann"), ("removed", "user bob")]


def logged(fleet: Fleet) -> list[tuple[str, str]]:
    """What the log says of schedules: what was done, by whom."""
    lines = fleet.run("SELECT event, by_whom FROM ops.action_log WHERE event LIKE 'report-schedule%%' ORDER BY number")
    return [(row["event"].partition(".")[2], row["by_whom"]) for row in lines]


def test_a_paused_schedule_makes_nothing_and_goes_on_with_what_is_due_next(
    at: At, fleet: Fleet, mailed: MailServer
) -> None:
    weekly(at(DUE - timedelta(days=1)))
    late = DUE + timedelta(hours=6)
    for _ in range(2):
        schedules.pause_schedule(at(DUE - timedelta(hours=1)), "weekly", paused=True, by="user bob")
    assert make_due(at(late))["made"] == 0
    assert upcoming(at(late)) is None
    for _ in range(2):
        schedules.pause_schedule(at(late), "weekly", paused=False, by="user ann")
    assert make_due(at(late))["made"] == 0, "what was due while it was paused is not made"
    following = upcoming(at(late))
    assert following is not None
    assert (following.first_day, following.last_day) == (SUNDAY + timedelta(days=1), SUNDAY + timedelta(days=7))
    assert following.since == DUE + timedelta(days=7)
    assert make_due(at(late + timedelta(days=7)))["made"] == 1
    with pytest.raises(ReportError, match="there is no schedule named 'x'; there are: weekly"):
        schedules.pause_schedule(at(late), "x", paused=True, by="user ann")
    assert logged(fleet) == [("made", "user ann"), ("paused", "user bob"), ("resumed", "user ann")]


def upcoming(runtime: Runtime) -> Any:
    (row,) = runtime.database.rows("report_schedules")
    return next_due(row, now=runtime.clock(), lateness_days=1)


@pytest.mark.parametrize(
    ("every", "now", "made_to", "period"),
    [
        ("daily", datetime(2026, 1, 13, 7), None, (date(2026, 1, 11), date(2026, 1, 11))),
        ("daily", datetime(2026, 1, 13, 7), date(2026, 1, 11), (date(2026, 1, 12), date(2026, 1, 12))),
        ("weekly", datetime(2026, 1, 13, 7), SUNDAY, (date(2026, 1, 12), date(2026, 1, 18))),
        ("monthly", datetime(2026, 1, 13, 7), None, (date(2025, 12, 1), date(2025, 12, 31))),
        ("monthly", datetime(2026, 1, 13, 7), date(2025, 12, 31), (date(2026, 1, 1), date(2026, 1, 31))),
        ("monthly", datetime(2026, 2, 13, 7), date(2026, 1, 31), (date(2026, 2, 1), date(2026, 2, 28))),
    ],
)
def test_the_report_that_comes_next_follows_the_one_that_is_made(
    every: Any, now: datetime, made_to: date | None, period: tuple[date, date]
) -> None:
    schedule = {"every": every, "at_time": time(7), "time_zone": "UTC", "paused_at": None, "made_to": made_to}
    schedule |= {"runs_from": datetime(2026, 1, 1, tzinfo=UTC)}
    due = next_due(schedule, now=now.replace(tzinfo=UTC), lateness_days=1)
    assert due is not None
    assert (due.first_day, due.last_day) == period
    assert due.since == datetime.combine(due.last_day + timedelta(days=2), time(7), UTC)


def test_the_schedule_starts_the_asset_when_something_is_due(at: At, fleet: Fleet, mailed: MailServer) -> None:
    weekly(at(DUE - timedelta(days=1)))
    late = at(DUE + timedelta(hours=6))
    with dg.build_schedule_context(resources={"runtime": late}) as context:
        assert isinstance(due_reports(context), dg.RunRequest)
    made = dg.materialize([period_reports], resources={"runtime": late}, selection=[period_reports])
    metadata = made.asset_materializations_for_node("period_reports")[0].metadata
    assert (metadata["made"].value, metadata["messages"].value) == (1, 1)
    with dg.build_schedule_context(resources={"runtime": late}) as context:
        assert isinstance(due_reports(context), dg.SkipReason)


def test_a_mail_too_large_says_where_the_report_is() -> None:
    report = {"report_id": 7, "name": "x", "first_day": SUNDAY, "last_day": SUNDAY, "label": None, "country": "Italy"}
    report |= {"data_note": "", "reading": "It says.\x1b[31m"}
    notification = {"delivery_key": "k", "created_at": DUE}
    for size, attached in ((15_000_000, 1), (15_000_001, 0)):
        files = [{"format": "pdf", "file_name": "x.pdf", "content": b"x" * size}]
        made = report_message(notification, report, files, organization="default", api_url="https://here/")
        assert len(made.attachments) == attached
        assert "https://here/v1/reports/kept/7?format=pdf" in made.text
        assert ("too large" in made.text) == (not attached)
        assert "\x1b" not in made.text
