"""A home folder a test, and the command run in it as a process of its own with a clean environment."""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg
import pytest
from sqlalchemy import URL

from resources.database.server import driver_url
from tests.forked import Forked, Process, clean_environment, forked_commands

COMMAND = Path(sys.executable).with_name("simsight")
SCHEMAS = ("core", "raw", "predictions")


@dataclass
class Home:
    """A home folder with what the command needs to run in it: an empty working folder and nothing but `variables`."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    started: list[Process] = field(default_factory=list)

    def environment(self, **more: str) -> dict[str, str]:
        return clean_environment() | {"SIMSIGHT_HOME": str(self.folder)} | self.variables | more

    def _work(self) -> Path:
        work = self.folder.parent / "work"
        work.mkdir(exist_ok=True)
        return work

    def start(self, *arguments: str, code: str | None = None, **more: str) -> Process:
        """Start the command in a session of its own; what it says goes to the process's stdout.

        code   Python code that runs it otherwise than it runs itself
        It is forked from a process that has imported what it needs.
        """
        process = Forked([str(COMMAND), *arguments], self.environment(**more), self._work(), code=code)
        self.started.append(process)
        return process

    def run(self, *arguments: str, **more: str) -> tuple[int, str]:
        """Run the command to its end: exit code and everything it said."""
        return self.run_together((arguments, more))[0]

    def run_together(self, *commands: tuple[tuple[str, ...], dict[str, str]]) -> list[tuple[int, str]]:
        """Run several commands, each with variables of its own, at the same time.

        Their processes are forked from one that has imported what they need.
        """
        return forked_commands(
            [([str(COMMAND), *arguments], self.environment(**more), self._work()) for arguments, more in commands]
        )

    def processes(self) -> list[psutil.Process]:
        """Every process that works in this home folder or beside it, by its arguments, its environment or its folder.

        The environment of a forked process shows as that of the one it was forked from, but its folder is its own.
        """
        found = []
        for process in psutil.process_iter():
            try:
                words = [*process.cmdline(), process.cwd()]
                home = process.environ().get("SIMSIGHT_HOME") if process.uids().real == os.getuid() else None
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            if home == str(self.folder) or any(str(self.folder.parent) in word for word in words):
                found.append(process)
        return found

    def close(self) -> None:
        for process in self.started:
            process.kill()
            process.wait()
        for left in self.processes():
            left.kill()


@contextmanager
def new_home(**variables: str) -> Iterator[Home]:
    # a short path: a Unix socket's path may have about 100 characters
    with tempfile.TemporaryDirectory(prefix="ss-", ignore_cleanup_errors=True) as folder:
        home = Home(Path(folder) / "home", variables)
        try:
            yield home
        finally:
            home.close()


@pytest.fixture
def home() -> Iterator[Home]:
    """An empty home: the embedded PostgreSQL, no account."""
    with new_home() as made:
        yield made


def said_by(process: Process, seconds: float = 120) -> Callable[[str], str]:
    """Read what a process says in the background; the returned function waits until it has said something, and gives
    all.
    """
    lines: list[str] = []
    grown = threading.Condition()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            with grown:
                lines.append(line)
                grown.notify_all()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()

    def wait_for(text: str) -> str:
        with grown:
            seen = grown.wait_for(
                lambda: text in "".join(lines) or (process.poll() is not None and not reader.is_alive()), seconds
            )
        assert seen, f"nothing with {text!r} within {seconds} s: {''.join(lines)}"
        assert text in "".join(lines), f"ended without saying {text!r}: {''.join(lines)}"
        return "".join(lines)

    return wait_for


def until(condition: Callable[[], bool], what: str, seconds: float = 120) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.05)


def interrupt(process: Process) -> None:
    """What Ctrl-C at a terminal does: SIGINT to the whole process group."""
    os.killpg(process.pid, signal.SIGINT)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def connect(url: URL | str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(driver_url(url, "").render_as_string(hide_password=False), autocommit=True)


def every_row(url: URL | str, *, versions: bool = False) -> dict[str, list[str]]:
    """All rows of core, raw and predictions as JSON text by table, a SIM's number replaced by its ICCID, without a
    landing's number.

    versions   with the transaction that last wrote the row, so that a row rewritten with the same values shows
    """
    rows = {}
    with connect(url) as connection:
        tables = connection.execute(
            "SELECT table_schema, table_name, bool_or(column_name = 'sim_key') FROM information_schema.columns "
            "JOIN information_schema.tables USING (table_schema, table_name) "
            "WHERE table_schema = ANY(%s) AND table_type = 'BASE TABLE' GROUP BY 1, 2 ORDER BY 1, 2",
            (list(SCHEMAS),),
        ).fetchall()
        for schema, table, of_sims in tables:
            version = "t.xmin::text || ' ' || " if versions else ""
            sims = "LEFT JOIN core.sims AS s USING (sim_key)" if of_sims and table != "sims" else ""
            iccid = "coalesce(s.iccid, '') || ' ' || " if sims else ""
            found = connection.execute(
                f"SELECT {version}{iccid}(to_jsonb(t) - '{{sim_key,landing_id}}'::text[])::text FROM {schema}.{table} "
                f"AS t {sims} ORDER BY 1".encode()
            )
            rows[f"{schema}.{table}"] = [str(row[0]) for row in found]
    return rows
