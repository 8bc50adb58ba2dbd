"""Senders of the outbox that are killed at any moment: no message is lost, and none is sent twice unless asked for."""

from __future__ import annotations

import os
import signal
import time as clock_time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import psycopg
import pytest

from tests.forked import Forked, forked_code
from tests.receiver import HookServer
from tests.services.conftest import MINUTE, NOW, SECRET, Fleet, MailServer, mailto, server_url

SENDER = """
import os, sys
from datetime import datetime
from sqlalchemy import make_url
from services.notifications import outbox
from resources.database.session import Database
now = datetime.fromisoformat(sys.argv[1])
outbox.notify(Database(make_url(os.environ["DATABASE"]), "default"), clock=lambda: now, environ=os.environ)
"""


class Kill:
    """Kills a sender from the thread of a server that it talks to, maybe before its test knows that it has begun."""

    def __init__(self) -> None:
        self.pid: Future[int] = Future()

    def __call__(self) -> None:
        os.kill(self.pid.result(30), signal.SIGKILL)


@contextmanager
def sender(fleet: Fleet, kill: Kill | None = None, now: datetime = NOW) -> Iterator[Forked]:
    """A sender in a process of its own, to be killed with SIGKILL."""
    variables = fleet.environ | {"DATABASE": fleet.url.render_as_string(hide_password=False)}
    process = forked_code(SENDER, now.isoformat(), **variables)
    if kill:
        kill.pid.set_result(process.pid)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def until(what: Callable[[], Any], seconds: float = 30) -> None:
    end = clock_time.monotonic() + seconds
    while not what():
        assert clock_time.monotonic() < end, "it did not come to that"
        clock_time.sleep(0.02)


def waits_for_a_lock(fleet: Fleet) -> bool:
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return bool(fleet.run(waiting))


def after_the_kill(fleet: Fleet) -> None:
    """Passes while the lease still runs, when it is over, and once more."""
    for minutes in (1, 3, 4):
        fleet.notify(NOW + minutes * MINUTE)


def test_killed_before_it_took_a_message_nothing_is_lost(fleet: Fleet, mailed: MailServer) -> None:
    fleet.alert()
    with psycopg.connect(server_url(fleet.url)) as blocker:
        blocker.execute("LOCK TABLE ops.notifications")
        with sender(fleet) as process:
            until(lambda: waits_for_a_lock(fleet))
            process.kill()
    after_the_kill(fleet)
    assert (len(mailed.mails), fleet.states()) == (1, [("opened", "sent")])


@pytest.mark.parametrize(("after_crash", "mails", "state"), [("park", 1, "unknown"), ("resend", 2, "sent")])
def test_killed_while_the_mail_server_has_taken_it(
    fleet: Fleet, mail: MailServer, after_crash: str, mails: int, state: str
) -> None:
    fleet.channel("mail", mailto(mail), after_crash=after_crash)
    fleet.alert()
    mail.on_mail = kill = Kill()
    with sender(fleet, kill) as process:
        process.wait()
    mail.on_mail = lambda: None
    after_the_kill(fleet)
    assert (len(mail.mails), fleet.states()) == (mails, [("opened", state)])
    assert len({one["Message-ID"] for one in mail.mails}) == 1
    if state == "unknown":
        (problem,) = fleet.database.rows("outbox_problems", {"rows": 20})
        assert "it may have arrived" in problem["last_error"]


def test_killed_between_the_answer_and_the_commit_a_mail_is_not_sent_twice(fleet: Fleet, mailed: MailServer) -> None:
    fleet.alert()
    blocker = psycopg.connect(server_url(fleet.url))
    mailed.on_mail = lambda: blocker.execute("SELECT 1 FROM ops.notifications FOR UPDATE") and None
    with sender(fleet) as process:
        until(lambda: mailed.mails and waits_for_a_lock(fleet))
        process.kill()
        process.wait()
    blocker.close()
    mailed.on_mail = lambda: None
    after_the_kill(fleet)
    assert (len(mailed.mails), fleet.states()) == (1, [("opened", "unknown")])


@pytest.mark.parametrize("point", ["taken", "answered"])
def test_killed_while_it_posts_a_webhook_gets_the_same_key_again_and_acts_once(
    fleet: Fleet, hook: HookServer, point: str
) -> None:
    fleet.channel("hook", hook.url, secret=SECRET)
    fleet.alert()
    kill = Kill()
    with psycopg.connect(server_url(fleet.url)) as blocker:
        if point == "taken":
            hook.on_post = kill
        else:
            hook.on_post = lambda: blocker.execute("SELECT 1 FROM ops.notifications FOR UPDATE") and None
        with sender(fleet, kill) as process:
            if point == "answered":
                until(lambda: hook.posts and waits_for_a_lock(fleet))
                process.kill()
            process.wait()
    hook.on_post = lambda: None
    after_the_kill(fleet)
    assert fleet.states() == [("opened", "sent")]
    assert (len(hook.posts), len(hook.done)) == (2, 1)


def test_killed_at_the_second_message_the_first_is_not_sent_again(fleet: Fleet, mailed: MailServer) -> None:
    fleet.alert(1, "critical")
    fleet.alert(2, "warning")
    kill = Kill()
    mailed.on_mail = lambda: kill() if len(mailed.mails) > 1 else None
    with sender(fleet, kill) as process:
        process.wait()
    mailed.on_mail = lambda: None
    after_the_kill(fleet)
    assert [subject[:10] for subject in mailed.subjects] == ["[critical]", "[warning] "]
    assert fleet.states() == [("opened", "sent"), ("opened", "unknown")]
