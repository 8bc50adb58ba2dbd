"""Days on which something around Simsight fails for a while end as undisturbed ones: each fault done for real.

`make nightly` runs it. Kills of what runs are in test_killed.py, single faults without the days around in other rooms.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from end_to_end.conftest import connect, until
from end_to_end.days import COMMANDS, MORNINGS, Days, different, new_days, undisturbed

from simulator.faults import Faults
from sql import migrations

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(3600)]

DAY = timedelta(days=1)
DISK_MB = 700
BOOKS = ("predictions.backtests", "predictions.promotions")  # of versions of models and why they score
NOWHERE = "http://127.0.0.1:9"


def at(day: int, command: str) -> int:
    """The place of a command on a day (0, 1 ...)."""
    return COMMANDS.index((MORNINGS[day], command))


def failed(
    days: Days, place: int, *codes: int, now: datetime | None = None, command: str = "", **variables: str
) -> str:
    """Run a command, that at a place if none is given, which is to fail in good order; returns what it said.

    codes   with which it may end, if not with 1
    """
    morning, usual = COMMANDS[place]
    code, said = days.home.run(command or usual, SIMSIGHT_NOW=(now or morning).isoformat(), **variables)
    days.story.append(f"{morning:%m-%d} {command or usual}: code {code}")
    assert code in (codes or (1,)), (code, said)
    assert "Traceback" not in said, said
    return said


def ended_alike(days: Days, but: tuple[str, ...] = ()) -> dict[str, tuple[list[str], list[str]]]:
    """What there is in the end is what there is after undisturbed days, but for some tables; returns what differs."""
    sys.stdout.write("\n".join(["", *days.story, ""]))
    until(lambda: not days.home.processes(), "the server has stopped with its last user", 60)
    wrong = different(days.end(), undisturbed()[1])
    unlike = {name: rows for name, rows in wrong.items() if name not in but}
    # the rows of a table are many
    assert not unlike, json.dumps({name: [side[:3] for side in rows] for name, rows in unlike.items()}, indent=1)
    assert not days.tracebacks, "\n".join(days.tracebacks)
    return wrong


def test_a_full_disk_stops_commands_and_costs_nothing_once_there_is_room() -> None:
    mount, unmount = shutil.which("mount"), shutil.which("umount")
    if os.geteuid() != 0 or not mount or not unmount:
        pytest.skip("only root can mount a small disk")
    with new_days() as days:
        disk = days.home.folder / "postgres"
        disk.mkdir(parents=True)
        command = [mount, "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(disk)]
        if subprocess.run(command, check=False).returncode:
            pytest.skip("this machine does not let root mount a small disk")

        def trouble(_: Days, place: int) -> datetime:
            if place in (at(0, "run"), at(1, "ingest"), at(1, "run"), at(2, "run")):
                ballast = disk / "ballast"
                # without any room from the beginning, and with some that is used up on the way
                for left in (0, 1_000_000):
                    ballast.write_bytes(bytes(max(shutil.disk_usage(disk).free - left, 0)))
                    code, said = days.run(COMMANDS[place][1], COMMANDS[place][0])
                    days.story.append(f"{COMMANDS[place]}: {left} bytes left, code {code}: {said[-300:]}")
                    assert code in (0, 1, 3), said
                    assert "Traceback" not in said, said
                    ballast.unlink()
            return COMMANDS[place][0]

        try:
            days.pass_by(trouble)
            assert any("code 1" in line for line in days.story), days.story
            ended_alike(days)
        finally:
            days.home.close()
            until(lambda: not days.home.processes(), "all is ended", 60)
            subprocess.run([unmount, "-l", str(disk)], check=True)


def test_a_database_that_is_restarted_while_commands_run_loses_and_doubles_nothing() -> None:
    took, _ = undisturbed()

    def stopped(days: Days) -> int:
        """Have the server stop in good order: it ends all connections."""
        if (pid := days.postmaster()) is None:
            return 0
        os.kill(pid, signal.SIGINT)
        return 1

    def trouble(days: Days, place: int) -> datetime:
        for share in {at(0, "run"): (0.7,), at(1, "ingest"): (0.6,), at(1, "run"): (0.3, 0.8)}.get(place, ()):
            hit, code, said = days.run_meanwhile(place, COMMANDS[place][0], share * took[place], lambda: stopped(days))
            days.story.append(f"{COMMANDS[place]}: {hit} stopped at {share} of its time, code {code}")
            assert code in (0, 1, 3), said
        return COMMANDS[place][0]

    with new_days() as days:
        days.pass_by(trouble)
        ended_alike(days)


def test_migrations_that_are_killed_go_on_where_they_stopped() -> None:
    took, _ = undisturbed()

    def trouble(days: Days, place: int) -> datetime:
        if place == 0:
            half = str(migrations()[len(migrations()) // 2].version)
            code, said = days.home.run("migrate", "--to", half)
            assert code == 0, said
            for number, share in enumerate((0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4)):
                kind = ("command", "all")[number % 2]
                hit, code, said = days.run_meanwhile(
                    place, COMMANDS[place][0], share * took[place], partial(days.kill, kind, random.Random(number))
                )
                days.story.append(f"migrate: {hit} killed ({kind}) at {share} of its time, code {code}")
                assert code in (0, -signal.SIGKILL), said
        return COMMANDS[place][0]

    with new_days() as days:
        days.pass_by(trouble)
        ended_alike(days)


def test_a_model_store_that_is_gone_or_read_only_and_broken_models_cost_nothing_once_they_are_back() -> None:
    def in_mlflow(days: Days, statement: str) -> None:
        with days.server() as server, connect(server.simsight) as connection:
            if "ALLOW_CONNECTIONS false" in statement:
                connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'mlflow'")
            connection.execute(statement.encode())

    def artifacts(days: Days) -> list[Path]:
        return [path for path in (days.home.folder / "mlflow").rglob("*") if path.is_file() and path.stat().st_size]

    def trouble(days: Days, place: int) -> datetime:
        if place in (at(0, "run"), at(1, "run")):
            for off, on in (
                ("ALTER DATABASE mlflow ALLOW_CONNECTIONS false", "ALTER DATABASE mlflow ALLOW_CONNECTIONS true"),
                (
                    "ALTER DATABASE mlflow SET default_transaction_read_only = on",
                    "ALTER DATABASE mlflow RESET default_transaction_read_only",
                ),
            ):
                in_mlflow(days, off)
                failed(days, place)
                in_mlflow(days, on)
        if place == at(1, "run"):
            kept = {path: path.read_bytes() for path in artifacts(days)}
            assert kept
            for path, content in kept.items():
                path.write_bytes(content[: len(content) // 2])
            failed(days, place, 0)  # models are trained anew where the champion cannot be read
            for path, content in kept.items():
                path.write_bytes(content)
            folder = days.home.folder / "mlflow"
            folder.rename(folder.with_name("elsewhere"))
            failed(days, place)
            shutil.copytree(
                folder.with_name("elsewhere"), folder, dirs_exist_ok=True
            )  # beside what was trained meanwhile
        return COMMANDS[place][0]

    with new_days() as days:
        days.pass_by(trouble)
        ended_alike(days, but=BOOKS)  # another version took the place of the broken one, and its book says so


def test_a_clock_that_jumps_changes_nothing() -> None:
    def trouble(days: Days, place: int) -> datetime:
        if place in (at(1, "run"), at(2, "ingest")):
            for jump, word in ((-DAY, "behind"), (DAY, "ahead of")):
                said = failed(days, place, now=COMMANDS[place][0] + jump, command="ingest")
                assert f"24.0 hours {word} 1NCE's" in " ".join(said.split()), said
            for command in ("run", "notify"):  # what is as of an earlier day is there already
                failed(days, place, 0, now=COMMANDS[place][0] - DAY, command=command)
        return COMMANDS[place][0]

    with new_days() as days:
        days.pass_by(trouble)
        ended_alike(days)


def test_1nce_away_for_a_day_is_made_up_for_on_the_next() -> None:
    def trouble(days: Days, place: int) -> datetime | None:
        if place != at(1, "ingest"):
            return COMMANDS[place][0]
        for hours in range(0, 24, 8):
            failed(days, place, now=COMMANDS[place][0] + timedelta(hours=hours), ONCE_BASE_URL=NOWHERE)
        days.account.set_faults(Faults(server_error_rate=1))
        failed(days, place)
        days.account.set_faults(Faults())
        return None

    with new_days() as days:
        days.pass_by(trouble)
        # how a SIM was on that day nobody can ask later, usage became known later, and the detector was trained without
        wrong = ended_alike(days, but=("core.sim_connectivity", "core.sim_quota", "core.sim_usage", *BOOKS))
    that_day = f'"day": "{MORNINGS[1]:%Y-%m-%d}"'
    for table in ("core.sim_connectivity", "core.sim_quota"):
        found, lacks = wrong[table]
        assert (found, all(that_day in row for row in lacks)) == ([], True), table
    found, lacks = ([_without_time(row) for row in rows] for rows in wrong["core.sim_usage"])
    assert found == lacks


def _without_time(row: str) -> str:
    """A row of usage without when it became known."""
    return re.sub(r'"known_at": "[^"]*"', "", row)
