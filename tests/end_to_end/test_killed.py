"""Days of ingest, predictions and messages, killed at random moments and started again, end as undisturbed ones do.

`make nightly` runs it. NIGHTLY_KILLS says how often something is killed, NIGHTLY_DAYS (at most 4) how many days pass,
NIGHTLY_SEEDS are the seeds of the moments ("1 2"): each is a run of its own.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import psutil
import pytest
from end_to_end.conftest import Home, connect, every_row, new_home, until

from resources.database.server import Server, running_server
from resources.settings import Settings
from simulator.fleet import Fleet
from simulator.server import SimulatorServer
from tests.receiver import HookServer, hook_server

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(3600)]

ROOT = Path(__file__).resolve().parents[2]
KILLS = int(os.environ.get("NIGHTLY_KILLS", "6"))
SEEDS = [int(seed) for seed in os.environ.get("NIGHTLY_SEEDS", "1").split()]
MORNINGS = [datetime(2026, 6, day, 6, tzinfo=UTC) for day in range(27, 27 + int(os.environ.get("NIGHTLY_DAYS", "3")))]
SIMS, HISTORY_DAYS = 20, 40
COMMANDS = [(morning, command) for morning in MORNINGS for command in ("migrate", "ingest", "run", "notify")]
SET_UP = [
    ("channels", "add", "hook", "HOOK_URL", "--secret", "HOOK_SECRET"),
    ("rules", "add", "busy", "usage_day_mb > 1", "--by", "me"),  # so small a fleet has hardly an alert otherwise
]
# a message that a sender has in hand when it is killed is another's after two minutes: time goes on between attempts
BETWEEN_SENDERS = timedelta(minutes=10)
KINDS = ("command", "child", "server", "all")
# numbers that a transaction rolled back, or a version whose training was cut off, has used up; ids of runs
USED_UP = {"alert_id", "history_id", "scoring_id", "incident_id", "model_version", "from_version", "run_id"}
USED_UP |= {"entry_id", "promotion_id", "recommendation_id"}
# the organization is made by the first command, at its own time
OWN_TIMES = {"core.organizations": {"created_at"}}
TIDY = """
from pipelines.runs import run_job
from resources.runtime import Runtime
from resources.settings import load_settings
with Runtime(load_settings()) as runtime:
    assert run_job(runtime, "tidy").success
"""


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

    def pass_by(self, kills: dict[int, list[tuple[str, float]]], chance: random.Random) -> None:
        """Run all commands; kills: (kind, seconds after the start) by the command's place, one for each attempt."""
        for place, (morning, command) in enumerate(COMMANDS):
            self.account.set_now(morning)
            now = morning
            for kind, seconds in kills.get(place, []):
                self.story.append(f"{morning:%m-%d} {command}, {kind} after {seconds:.1f} s: ")
                with ThreadPoolExecutor(1) as pool:
                    running = pool.submit(self.run, command, now)
                    wait([running], timeout=seconds)
                    hit = 0 if running.done() else self.kill(kind, chance)
                    code, said = running.result()
                self.story[-1] += f"{hit} killed, code {code}"
                assert code == (0 if not hit else -signal.SIGKILL if kind in ("command", "all") else code), said
                assert code in (0, 1, 3, -signal.SIGKILL), said
                if "Traceback" in said:
                    self.tracebacks.append(said)
                now += BETWEEN_SENDERS if command == "notify" else timedelta()
            begun = monotonic()
            code, said = self.run(command, now)
            self.took.append(monotonic() - begun)
            assert code == 0, (self.story, said)
            if place == 0:
                for arguments in SET_UP:
                    code, said = self.home.run(*arguments)
                    assert code == 0, said

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
        SimulatorServer(fleet, now=MORNINGS[0]) as account,
        hook_server("/hook") as hook,
        new_home(
            ONCE_BASE_URL=account.base_url,
            ONCE_USERNAME="demo",
            ONCE_PASSWORD="demo",
            ONCE_UNLIMITED="true",
            SIMSIGHT_NOW=MORNINGS[0].isoformat(),
            HOOK_URL=hook.url,
            HOOK_SECRET="hush",
        ) as home,
    ):
        # a folder of temporary files that no other command uses
        temporary = home.folder.parent / "tmp"
        temporary.mkdir(mode=0o1777)
        home.variables["TMPDIR"] = str(temporary)
        yield Days(home, account, hook)


@pytest.fixture(scope="module")
def undisturbed() -> Iterator[tuple[list[float], dict[str, Any]]]:
    """How long each command takes, and what there is in the end."""
    with new_days() as days:
        days.run("--version", MORNINGS[0])  # the first command waits until all is imported
        days.pass_by({}, random.Random(0))
        expected = days.end()
        assert all(expected[name] for name in ("core.sim_usage", "predictions.alerts", "messages"))
        yield days.took, expected


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_days_end_as_undisturbed_ones_and_leave_nothing_behind(
    undisturbed: tuple[list[float], dict[str, Any]], seed: int
) -> None:
    took, expected = undisturbed
    chance = random.Random(seed)
    kills: dict[int, list[tuple[str, float]]] = {}
    for number in range(KILLS):
        # the longer a command takes the more often it is hit
        (place,) = chance.choices(range(len(COMMANDS)), took)
        kills.setdefault(place, []).append((KINDS[number % len(KINDS)], chance.uniform(0.02, 1) * took[place]))
    with new_days() as days:
        days.pass_by(kills, chance)
        sys.stdout.write("\n".join([f"seed {seed}", *days.story, ""]))
        home = days.home
        until(lambda: not home.processes(), "the server has stopped with its last user", 20)
        left = home.folder.parent / "tmp" / f"simsight-runs-{os.getuid()}"
        assert not [path for path in left.iterdir() if path.is_dir()]
        found = days.end()
        assert found.keys() == expected.keys()
        different = {
            name: ([row for row in found[name] if row not in rows], [row for row in rows if row not in found[name]])
            for name, rows in expected.items()
            if found[name] != rows
        }
        assert not different, json.dumps(different, indent=1, default=str)
        with days.server() as server:
            with connect(server.mlflow) as mlflow:
                assert mlflow.execute("SELECT count(*) FROM runs WHERE status = 'RUNNING'").fetchone() == (0,)
            with connect(server.dagster) as dagster:
                states = dagster.execute("SELECT status, count(*) FROM runs GROUP BY 1").fetchall()
                assert {state for state, _ in states} <= {"SUCCESS", "FAILURE"}, states
                # what scoring left can be retried for a day
                dagster.execute("UPDATE runs SET end_time = end_time - 2 * 86400")
            subprocess.run([sys.executable, "-c", TIDY], env=home.environment(), cwd=ROOT, check=True)
            with connect(server.simsight) as simsight:
                staged = "SELECT work_id FROM ops.staged_blocks UNION SELECT work_id FROM ops.staged_values"
                assert simsight.execute(staged).fetchall() == []
        until(lambda: not home.processes(), "the server has stopped with its last user", 20)
    assert not days.tracebacks, "\n".join(days.tracebacks)
