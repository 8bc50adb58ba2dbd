"""Days of ingest, predictions and messages, killed at random moments and started again, end as undisturbed ones do.

`make nightly` runs it. NIGHTLY_KILLS says how often something is killed, NIGHTLY_SEEDS are the seeds of the moments
("1 2"): each is a run of its own.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from datetime import datetime, timedelta
from functools import partial

import pytest
from end_to_end.conftest import connect, until
from end_to_end.days import BETWEEN_SENDERS, COMMANDS, ROOT, Days, different, new_days, undisturbed

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(3600)]

KILLS = int(os.environ.get("NIGHTLY_KILLS", "6"))
SEEDS = [int(seed) for seed in os.environ.get("NIGHTLY_SEEDS", "1").split()]
KINDS = ("command", "child", "server", "all")
TIDY = """
from pipelines.runs import run_job
from resources.runtime import Runtime
from resources.settings import load_settings
with Runtime(load_settings()) as runtime:
    assert run_job(runtime, "tidy").success
"""


def killed(days: Days, place: int, *, kills: dict[int, list[tuple[str, float]]], chance: random.Random) -> datetime:
    """Kill attempts at a command; kills: (kind, seconds after the start) by the command's place, one for each."""
    morning, command = COMMANDS[place]
    now = morning
    for kind, seconds in kills.get(place, []):
        days.story.append(f"{morning:%m-%d} {command}, {kind} after {seconds:.1f} s: ")
        hit, code, said = days.run_meanwhile(place, now, seconds, partial(days.kill, kind, chance))
        days.story[-1] += f"{hit} killed, code {code}"
        assert code == (0 if not hit else -signal.SIGKILL if kind in ("command", "all") else code), said
        assert code in (0, 1, 3, -signal.SIGKILL), said
        now += BETWEEN_SENDERS if command == "notify" else timedelta()
    return now


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_days_end_as_undisturbed_ones_and_leave_nothing_behind(seed: int) -> None:
    took, expected = undisturbed()
    chance = random.Random(seed)
    kills: dict[int, list[tuple[str, float]]] = {}
    for number in range(KILLS):
        # the longer a command takes the more often it is hit
        (place,) = chance.choices(range(len(COMMANDS)), took)
        kills.setdefault(place, []).append((KINDS[number % len(KINDS)], chance.uniform(0.02, 1) * took[place]))
    with new_days() as days:
        days.pass_by(partial(killed, kills=kills, chance=chance))
        sys.stdout.write("\n".join([f"seed {seed}", *days.story, ""]))
        home = days.home
        until(lambda: not home.processes(), "the server has stopped with its last user", 20)
        left = home.folder.parent / "tmp" / f"simsight-runs-{os.getuid()}"
        assert not [path for path in left.iterdir() if path.is_dir()]
        found = days.end()
        wrong = different(found, expected)
        assert not wrong, json.dumps(wrong, indent=1, default=str)
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
