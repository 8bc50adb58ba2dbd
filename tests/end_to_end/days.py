"""Days of ingest, predictions and messages on a simulated account, undisturbed or with trouble on the way.

NIGHTLY_DAYS (3 or 4) says how many days pass.
"""

from __future__ import annotations

import json
import os
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from time import monotonic
from typing import Any

import psutil
from end_to_end.conftest import Home, every_row, new_home

from resources.database.server import Server, running_server
from resources.settings import Settings
from simulator.fleet import Fleet
from simulator.server import SimulatorServer
from tests.receiver import HookServer, hook_server

ROOT = Path(__file__).resolve().parents[2]
MORNINGS = [datetime(2026, 6, day, 6, tzinfo=UTC) for day in range(27, 27 + int(os.environ.get("NIGHTLY_DAYS", "3")))]
SIMS, HISTORY_DAYS = 20, 40
COMMANDS = [(morning, command) for morning in MORNINGS for command in ("migrate", "ingest", "run", "notify")]
SET_UP = [
    ("channels", "add", "hook", "HOOK_URL", "--secret", "HOOK_SECRET"),
    ("rules", "add", "busy", "usage_day_mb > 1", "--by", "me"),  # so small a fleet has hardly an alert otherwise
]
# a message that a sender has in hand when it is killed is another's after two minutes: time goes on between attempts
BETWEEN_SENDERS = timedelta(minutes=10)
# what happens before a command: given its place in COMMANDS, it returns at what time the command is then run, if at all
Trouble = Callable[["Days", int], datetime | None]
# numbers that a transaction rolled back, or a version whose training was cut off, has used up; ids of runs
USED_UP = {"alert_id", "history_id", "scoring_id", "incident_id", "model_version", "from_version", "run_id"}
USED_UP |= {"entry_id", "promotion_id", "recommendation_id"}
# the organization is made by the first command, at its own time
OWN_TIMES = {"core.organizations": {"created_at"}}


@dataclass
class Days:
    """A home with its account and its receiver of messages, in which the days pass.

    took   seconds that each of COMMANDS took to its end
    story  what was killed, when, and how the command ended
    tracebacks  what commands said that ended with one
    """

    home: Home
    account: SimulatorServer
    hook: HookServer
    took: list[float] = field(default_factory=list)
    story: list[str] = field(default_factory=list)
    tracebacks: list[str] = field(default_factory=list)

    def run(self, command: str, now: datetime) -> tuple[int, str]:
        return self.home.run(command, SIMSIGHT_NOW=now.isoformat())

    def pass_by(self, trouble: Trouble) -> None:
        """Run all commands to their ends, each after what happens before it."""
        for place, (morning, command) in enumerate(COMMANDS):
            self.account.set_now(morning)
            if (now := trouble(self, place)) is None:
                self.took.append(0)
                continue
            begun = monotonic()
            code, said = self.run(command, now)
            self.took.append(monotonic() - begun)
            assert code == 0, (self.story, said)
            if place == 0:
                for arguments in SET_UP:
                    code, said = self.home.run(*arguments)
                    assert code == 0, said

    def run_meanwhile(self, place: int, now: datetime, seconds: float, what: Callable[[], int]) -> tuple[int, int, str]:
        """Run the command at a place and do something after some seconds, unless it has ended; returns how many
        processes that hit, the command's code and what it said.
        """
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(self.run, COMMANDS[place][1], now)
            wait([running], timeout=seconds)
            hit = 0 if running.done() else what()
            code, said = running.result()
        if "Traceback" in said:
            self.tracebacks.append(said)
        return hit, code, said

    def kill(self, kind: str, chance: random.Random) -> int:
        """Kill the command, or one of its children, or the database's server, or all of it; how many processes."""
        found = self.home.processes()
        work = str(self.home.folder.parent / "work")
        servers = [process for process in found if process.pid == self.postmaster()]
        commands = [process for process in found if process.cwd() == work and os.getsid(process.pid) == process.pid]
        children = [process for process in found if process not in [*servers, *commands]]
        chosen = {
            "command": commands,
            "child": chance.sample(children, 1) if children else [],
            "server": servers,
            "all": found,
        }[kind]
        for process in chosen:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        return len(chosen)

    def postmaster(self) -> int | None:
        with suppress(OSError, IndexError, ValueError):
            return int((self.home.folder / "postgres" / "postmaster.pid").read_text().splitlines()[0])
        return None

    @contextmanager
    def server(self) -> Iterator[Server]:
        with running_server(Settings(home=self.home.folder, _env_file=None)) as server:
            yield server

    def end(self) -> dict[str, Any]:
        """What there is in the end: rows of the tables, and messages with how often each came."""
        with self.server() as server:
            rows = every_row(server.simsight)
        kept = {table: sorted(_stable(table, row) for row in found) for table, found in rows.items()}
        messages = Counter(json.dumps(_without_ids(message), sort_keys=True) for message in self.hook.done.values())
        return {name: found for name, found in kept.items() if not name.startswith("raw.")} | {"messages": messages}


def _stable(table: str, row: str) -> str:
    """A row of `every_row` without what may differ."""
    iccid, brace, rest = row.partition("{")
    values = json.loads(brace + rest)
    if table == "predictions.reports":
        values["html"] = re.sub(r'<td class="n">\d+</td>(?=<td>\d{19}<)', "", values["html"])  # ids of recommendations
    return iccid + json.dumps(_without(values, USED_UP | OWN_TIMES.get(table, set())), sort_keys=True)


def _without(value: Any, dropped: set[str]) -> Any:
    """A value without some names, however deep."""
    if isinstance(value, dict):
        return {name: _without(inner, dropped) for name, inner in value.items() if name not in dropped}
    return [_without(inner, dropped) for inner in value] if isinstance(value, list) else value


def _without_ids(message: dict[str, Any]) -> dict[str, Any]:
    """A message without the numbers of its alerts, which its text names and its order is by."""
    kept = {name: value for name, value in message.items() if name not in ("id", "created_at", "text")}
    alerts = [{name: value for name, value in alert.items() if name not in USED_UP} for alert in message["alerts"]]
    return kept | {"alerts": sorted(alerts, key=json.dumps)}


@contextmanager
def new_days() -> Iterator[Days]:
    fleet = Fleet(seed=7, sims=SIMS, start=date(2026, 6, 27) - timedelta(days=HISTORY_DAYS))
    with (
        SimulatorServer(fleet, now=MORNINGS[0], tells_time=True) as account,
        hook_server("/hook") as hook,
        new_home(
            ONCE_BASE_URL=account.base_url,
            ONCE_USERNAME="demo",
            ONCE_PASSWORD="demo",
            ONCE_UNLIMITED="true",
            SIMSIGHT_NOW=MORNINGS[0].isoformat(),
            SIMSIGHT_COMMIT="one",  # a commit in this checkout meanwhile would train models again
            HOOK_URL=hook.url,
            HOOK_SECRET="hush",
        ) as home,
    ):
        # a folder of temporary files that no other command uses
        temporary = home.folder.parent / "tmp"
        temporary.mkdir(mode=0o1777)
        home.variables["TMPDIR"] = str(temporary)
        yield Days(home, account, hook)


def on_time(_days: Days, place: int) -> datetime:
    """No trouble: the morning of the command."""
    return COMMANDS[place][0]


@cache
def undisturbed() -> tuple[list[float], dict[str, Any]]:
    """How long each command takes, and what there is in the end."""
    with new_days() as days:
        days.run("--version", MORNINGS[0])  # the first command waits until all is imported
        days.pass_by(on_time)
        expected = days.end()
    assert all(expected[name] for name in ("core.sim_usage", "predictions.alerts", "messages"))
    return days.took, expected


def different(found: dict[str, Any], expected: dict[str, Any]) -> dict[str, tuple[list[Any], list[Any]]]:
    """Rows that should not be there and rows that lack, by table, of those where any do."""
    assert found.keys() == expected.keys()
    return {
        name: ([row for row in found[name] if row not in rows], [row for row in rows if row not in found[name]])
        for name, rows in expected.items()
        if found[name] != rows
    }
