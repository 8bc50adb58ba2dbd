"""Actions at 1NCE over real HTTP and a real database: with lost answers, doubled runs and kill -9 each is done once."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import URL

from resources.database.session import Database
from resources.once.acting import ActingClient
from resources.once.calls import CallBook
from resources.runtime import Runtime
from resources.settings import Settings
from services.actions.kinds import ActionError
from services.actions.requests import decide, list_actions, request_action, settle, switch, verify_log
from services.actions.sending import send, waits
from services.status import collect
from simulator.faults import Faults
from simulator.fleet import Fleet
from simulator.server import SimulatorServer
from tests.fleet import NOW, PASSWORD, USERNAME, Truth, ingest, settings_for, simulated
from tests.forked import forked_code

ON = "top_up,auto_top_up,reset,disable,enable,limits"
LATER = timedelta(minutes=20)
LOST = Faults(lost_answer_rate=1.0, slow_seconds=0.0)
# what `simsight actions send` does, without loading the command line; with "before" it is killed when it has committed
# `sending` and has not called yet
SENDER = """
import os, signal, sys
from resources.once.acting import ActingClient
from resources.once.calls import CallBook
from resources.runtime import Runtime
from resources.settings import load_settings
from services.actions.sending import send
async def die(self, act):
    os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[1] == "before":
    ActingClient.act = die
with Runtime(load_settings()) as runtime:
    send(runtime.database, runtime.acting, runtime.settings, runtime.clock)
"""


def acting_client(runtime: Runtime, timeout_s: float = 5.0) -> Callable[[], ActingClient]:
    """A client that waits for an answer that long, and repeats what only reads at once."""
    return lambda: ActingClient(
        base_url=runtime.settings.once_base_url,
        username=USERNAME,
        password=SecretStr(PASSWORD),
        requests_per_second=None,
        calls=CallBook("auto"),
        now=runtime.clock,
        timeout_s=timeout_s,
        max_attempts=2,
        backoff_s=0.001,
    )


@dataclass
class Acted:
    """A simulated account and the pipeline that acts on it."""

    server: SimulatorServer
    runtime: Runtime
    truth: Truth
    sims: list[str]

    def settings(self, **more: Any) -> Settings:
        return self.runtime.settings.model_copy(update={"actions": ON} | more)

    def request(self, kind: str = "top_up", sim: int | None = 0, key: str = "k", **more: Any) -> int:
        given = {"parameters": {}, "by": "user ann", "dry_run": False, "settings": self.settings()} | more
        iccid = None if sim is None else self.sims[sim]
        settings, parameters = given.pop("settings"), given.pop("parameters")
        planned = request_action(
            self.runtime.database, settings, kind, iccid, parameters, now=NOW, idempotency_key=key, **given
        )
        assert planned.action_id is not None
        return planned.action_id

    def send(self, after: timedelta = timedelta(0), timeout_s: float = 5.0, **more: Any) -> dict[str, int]:
        """One pass, some time after NOW; 1NCE's time moves along."""
        now = NOW + after
        self.server.set_now(now)
        once = acting_client(self.runtime, timeout_s)
        return send(self.runtime.database, once, self.settings(**more), lambda: now)

    def states(self) -> list[tuple[str, int]]:
        found = list_actions(self.runtime.database)
        return [(row["state"], row["attempts"]) for row in reversed(found)]

    def booked(self) -> list[str]:
        return [what for what, _ in self.server.booked]


@pytest.fixture
def acted(small_fleet: Fleet, database_url: URL, tmp_path: Path) -> Iterator[Acted]:
    with simulated(small_fleet) as server, Runtime(settings_for(database_url, tmp_path, server.base_url)) as runtime:
        ingest(runtime, "sims", "products")
        truth = Truth(database_url)
        sims = truth.column("SELECT iccid FROM core.sims ORDER BY activated_at DESC, iccid")
        yield Acted(server, runtime, truth, sims)
        truth.close()


def test_nothing_is_sent_unless_switched_on_approved_and_not_stopped(acted: Acted) -> None:
    database = acted.runtime.database
    dry = request_action(
        database,
        acted.runtime.settings,
        "top_up",
        acted.sims[0],
        {"payment_method": "creditcard"},
        by="user ann",
        now=NOW,
    )
    assert (dry.act.path, dry.act.query) == (f"/v2/sims/{acted.sims[0]}/topup", {"payment_method": "creditcard"})
    assert (dry.cost_minor, dry.currency, dry.action_id) == (1000, "EUR", None)
    assert list_actions(database) == []
    with pytest.raises(ActionError, match="switched off"):
        acted.request(settings=acted.runtime.settings)
    number = acted.request()
    assert acted.request() == number  # the same key is the same request
    with pytest.raises(ActionError, match="another request"):
        acted.request("reset")
    approval = {"actions_approval": "top_up"}
    assert acted.send(actions="reset") == {}
    assert acted.send(actions_stop=True) == {}
    assert acted.send(**approval) == {}
    with pytest.raises(ActionError, match="your own"):
        decide(database, number, approve=True, by="user ann", now=NOW)
    decide(database, number, approve=True, by="user bob", now=NOW)
    switch(database, stopped=True, by="user bob", now=NOW)
    assert acted.send(**approval) == {}
    assert not waits(database, acted.settings(**approval), NOW)
    assert acted.server.booked == []
    switch(database, stopped=False, by="user bob", now=NOW)
    assert acted.send(**approval) == {"done": 1}
    assert acted.send(LATER, **approval) == {}
    assert acted.server.booked == [("top_up", acted.sims[0])]
    (row,) = list_actions(database)
    assert (row["order_number"], row["decided_by"]) == (3_000_000_001, "user bob")
    assert verify_log(database)[:2] == ([], 6)


def test_every_kind_has_its_effect_at_1nce(acted: Acted) -> None:
    card = acted.truth.rows("SELECT label, imei_lock FROM core.sims WHERE iccid = %s", (acted.sims[0],))[0]
    acted.request("auto_top_up", key="a", parameters={"enabled": True})
    acted.request("reset", key="b")
    acted.request("disable", key="c")
    acted.request("limits", None, key="d", parameters={"data_limit_id": 2})
    assert acted.send() == {"done": 4}
    assert acted.booked() == ["auto_topup True", "reset", "Disabled", "limits"]
    ingest(acted.runtime, "sims")
    after = acted.truth.rows("SELECT label, imei_lock, status FROM core.sims WHERE iccid = %s", (acted.sims[0],))[0]
    assert after == card | {"status": "Disabled"}  # the call sets label and lock too: they stay as they were
    acted.request("enable", key="e")
    assert acted.send(once_api="v1") == {"done": 1}
    ingest(acted.runtime, "sims")
    after = acted.truth.rows("SELECT label, imei_lock, status FROM core.sims WHERE iccid = %s", (acted.sims[0],))[0]
    assert after == card | {"status": "Enabled"}


@pytest.mark.parametrize("api", ["auto", "v1"])
def test_an_answer_lost_after_the_booking_is_found_and_not_sent_again(acted: Acted, api: str) -> None:
    acted.request()
    # a real time-out: 1NCE has booked it, and says nothing
    acted.server.set_faults(Faults(lost_answer_rate=1.0, slow_seconds=1.0))
    assert acted.send(timeout_s=0.3, once_api=api) == {"answer lost": 1}
    acted.server.set_faults(Faults())
    assert acted.send(timedelta(minutes=5)) == {}  # something of it may still be under way
    assert acted.states() == [("sending", 1)]
    assert acted.send(LATER, once_api=api) == {"done": 1}
    (row,) = list_actions(acted.runtime.database)
    assert (row["state"], row["attempts"], row["order_number"]) == ("done", 1, 3_000_000_001)
    assert acted.booked() == ["top_up"]


def test_lost_answers_of_what_sets_a_state_are_settled_by_the_state(acted: Acted) -> None:
    acted.request("disable", key="a")
    acted.request("limits", None, key="b", parameters={"data_limit_id": 3})
    acted.server.set_faults(LOST)
    assert acted.send() == {"answer lost": 2}
    acted.server.set_faults(Faults())
    assert acted.send(LATER) == {"done": 2}
    assert acted.booked() == ["Disabled", "limits"]


def test_what_had_no_effect_is_sent_again_and_what_nobody_can_know_is_for_a_person(acted: Acted) -> None:
    first, second = acted.request(key="a"), acted.request("auto_top_up", key="b", parameters={"enabled": True})
    before = acted.runtime.database
    # the call fails before anything is booked; what is read before it must not
    original = ActingClient.act
    dropped: list[str] = []

    async def drop(self: Any, act: Any) -> Any:
        dropped.append(act.path)
        acted.server.set_faults(Faults(server_error_rate=1.0))
        try:
            return await original(self, act)
        finally:
            acted.server.set_faults(Faults())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ActingClient, "act", drop)
        assert acted.send() == {"answer lost": 2}
    assert (len(dropped), acted.server.booked) == (2, [])
    assert acted.send(LATER) == {"to be sent again": 1, "unclear": 1, "done": 1}
    assert acted.booked() == ["top_up"]
    assert acted.states() == [("done", 2), ("unclear", 1)]
    (incident,) = collect(acted.runtime)["open_incidents"].values()
    assert f"{second} (auto_top_up)" in incident
    acted.request("auto_top_up", key="c", parameters={"enabled": True})
    assert acted.send(LATER) == {}  # waits until the one before is settled
    settle(before, second, done=False, by="user ann", note="portal says off", now=NOW)
    assert collect(acted.runtime)["open_incidents"] == {}
    assert acted.send(LATER) == {"done": 1}
    assert first < second
    assert verify_log(before)[0] == []


def test_two_orders_that_may_be_ours_are_for_a_person(acted: Acted) -> None:
    acted.request()
    acted.server.set_faults(LOST)
    acted.send()
    acted.server.set_faults(Faults())
    simulation = acted.server._simulation
    ours, other = (simulation.fleet.index(acted.sims[place]) for place in (0, 1))
    assert ours is not None
    assert other is not None
    simulation.acts.top_up(other, NOW)  # an order of another SIM is none of ours
    simulation.acts.top_up(ours, NOW + timedelta(minutes=1))
    assert acted.send(LATER) == {"unclear": 1}
    assert acted.send(2 * LATER) == {}


def test_doubled_runs_send_each_once_and_keep_the_caps(acted: Acted) -> None:
    for number in range(6):
        acted.request(sim=number, key=str(number))
    caps = {"actions_sims_per_hour": 4, "actions_money_per_day": 30.0}
    acted.server.set_faults(Faults(slow_rate=1.0, slow_seconds=0.02))
    databases = [Database(acted.runtime.server.simsight, "default") for _ in range(3)]
    runs = [
        threading.Thread(
            target=send, args=(database, acting_client(acted.runtime), acted.settings(**caps), lambda: NOW)
        )
        for database in databases
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    for database in databases:
        database.close()
    assert len(acted.server.booked) == len(set(acted.server.booked)) == 3  # 30 euros
    assert acted.send(actions_sims_per_hour=4)["done"] == 1
    assert acted.send(actions_sims_per_hour=4) == {"held back": 2}
    assert acted.send(timedelta(minutes=61), actions_sims_per_hour=4) == {"done": 2}
    assert len(set(acted.server.booked)) == len(acted.server.booked) == 6


@pytest.mark.parametrize("moment", ["booked", "before"])
def test_killed_halfway_it_is_done_once(acted: Acted, database_url: URL, tmp_path: Path, moment: str) -> None:
    acted.request()
    acted.server.set_faults(Faults(lost_answer_rate=1.0, slow_seconds=60.0))
    variables = {
        "SIMSIGHT_HOME": str(tmp_path),
        "SIMSIGHT_NOW": NOW.isoformat(),
        "SIMSIGHT_DATABASE_URL": database_url.render_as_string(hide_password=False),
        "SIMSIGHT_ACTIONS": "top_up",
        "ONCE_BASE_URL": acted.server.base_url,
        "ONCE_USERNAME": USERNAME,
        "ONCE_PASSWORD": PASSWORD,
        "ONCE_UNLIMITED": "true",
    }
    process = forked_code(SENDER, moment, **variables)
    end = time.monotonic() + 60
    while process.poll() is None:
        assert time.monotonic() < end
        if acted.server.booked:
            process.send_signal(signal.SIGKILL)
        time.sleep(0.02)
    assert process.returncode == -signal.SIGKILL
    assert acted.states() == [("sending", 1)]
    acted.server.set_faults(Faults())
    assert acted.send() == {}
    assert acted.send(LATER) == ({"done": 1} if moment == "booked" else {"to be sent again": 1, "done": 1})
    assert acted.booked() == ["top_up"]


def test_the_log_shows_every_change_of_it(acted: Acted) -> None:
    database = acted.runtime.database
    acted.request()
    acted.send()
    problems, rows, head = verify_log(database)
    assert (problems, rows) == ([], 3)
    for statement in ("UPDATE ops.action_log SET event = 'x'", "DELETE FROM ops.action_log"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            acted.truth.run(statement)  # even the owner, unless the trigger is taken away
        with pytest.raises(psycopg.errors.InsufficientPrivilege), database.transaction() as transaction:
            transaction.connection.execute(statement.encode())
    with pytest.raises(psycopg.errors.InsufficientPrivilege), database.transaction() as transaction:
        transaction.connection.execute("UPDATE ops.action_requests SET decided_by = 'user eve'")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        acted.truth.run("UPDATE ops.action_requests SET cost_minor = 0")

    acted.truth.run("CREATE TABLE kept AS SELECT * FROM ops.action_log")
    acted.truth.run("ALTER TABLE ops.action_log DISABLE TRIGGER stays")
    for tampering in (
        "UPDATE ops.action_log SET facts = facts || '{\"cost_minor\": 1}' WHERE number = 1",
        "UPDATE ops.action_log SET at = at + interval '1 second' WHERE number = 2",
        "UPDATE ops.action_log SET by_whom = 'user eve' WHERE number = 3",
        "DELETE FROM ops.action_log WHERE number = 1",
        "DELETE FROM ops.action_log WHERE number = 2",
        "DELETE FROM ops.action_log WHERE number = 3",
        "UPDATE ops.action_log AS l SET event = 'failed', sha256 = ops.action_log_sha256("
        "(l.organization_id, l.number, l.at, l.action_id, 'failed', l.by_whom, l.facts, l.previous_sha256, l.sha256))"
        " WHERE number = 2",
        "INSERT INTO ops.action_log SELECT organization_id, 4, at, action_id, event, by_whom, facts, sha256, sha256 "
        "FROM ops.action_log WHERE number = 3",
    ):
        acted.truth.run(tampering)
        assert verify_log(database)[0], tampering
        acted.truth.run("DELETE FROM ops.action_log; INSERT INTO ops.action_log SELECT * FROM kept")
    assert verify_log(database, head)[0] == []
    # all of it gone, with the request
    acted.truth.run("DELETE FROM ops.action_log; DELETE FROM ops.action_requests")
    assert verify_log(database)[0] == []
    assert verify_log(database, head)[0] == ["the hash noted earlier is not in the log"]


def test_1nce_refusing_is_told_and_the_refusal_holds_nothing_up(acted: Acted) -> None:
    fleet = acted.server._simulation
    expired = next(i for i in range(fleet.fleet.sims) if fleet.cards.expired(i, NOW))
    number = acted.sims.index(fleet.fleet.iccids[expired])
    acted.request("auto_top_up", sim=number, key="a", parameters={"enabled": True})
    acted.request(sim=0 if number else 1, key="b")
    assert acted.send() == {"failed": 1, "done": 1}
    assert "HTTP 422" in list_actions(acted.runtime.database, state="failed")[0]["message"]


def test_a_price_nobody_knows_and_a_sim_nobody_knows_are_refused(acted: Acted) -> None:
    acted.truth.run("DELETE FROM core.products")
    with pytest.raises(ActionError, match="SIMSIGHT_TOP_UP_PRICE"):
        acted.request()
    with pytest.raises(ActionError, match="no SIM"):
        request_action(
            acted.runtime.database, acted.settings(), "reset", "8988280666000000000", {}, by="user ann", now=NOW
        )
    with pytest.raises(ActionError, match="all SIMs"):
        acted.request("limits", parameters={"data_limit_id": 1})
    with pytest.raises(ActionError, match="payment_method"):
        acted.request(parameters={"payment_method": "shells"})
    acted.request(settings=acted.settings(top_up_price=9.5))
    assert list_actions(acted.runtime.database)[0]["cost_minor"] == 950
