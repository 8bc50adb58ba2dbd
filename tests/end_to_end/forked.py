"""The command line in processes forked from one that has imported it: importing takes most of a short command's time.

Run as a program it is that process. It takes orders, one JSON object a line, from its standard input, and answers each
with two lines on its standard output: [number of the order, "pid", process number] when the command has begun, and
[number of the order, "code", exit code] when it has ended.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Sequence
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, NoReturn, Protocol, TextIO

# what every command and the steps of its jobs import (see pipelines/executors.py)
IMPORTS = (
    "pipelines.cli",
    "pipelines.demo",
    "pipelines.definitions",
    "resources.once.client",
    "services.quality.engine",
    "mlflow",
    "lightgbm",
    "matplotlib.figure",
)


_orders = count()


def clean_environment() -> dict[str, str]:
    # one HOME for all tests: Matplotlib looks through the machine's fonts once in each
    user = Path(tempfile.gettempdir()) / f"simsight-tests-{os.getuid()}"
    user.mkdir(exist_ok=True)
    return {"PATH": os.environ["PATH"], "HOME": str(user)}


class Process(Protocol):
    """What a test does with a running command: the part of subprocess.Popen that `Forked` has too."""

    stdout: Any

    @property
    def pid(self) -> int: ...
    @property
    def returncode(self) -> Any: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int) -> None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...
    def communicate(self, input: str | None = None, timeout: float | None = None) -> tuple[str, Any]: ...


class _Forker:
    """The process that commands are forked from; it ends with this one, whose end closes its standard input."""

    def __init__(self) -> None:
        quiet = {
            "GX_ANALYTICS_ENABLED": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DAGSTER_DISABLE_TELEMETRY": "true",
        }
        self._process = subprocess.Popen(
            [sys.executable, Path(__file__)],
            env=clean_environment() | quiet,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._told: dict[tuple[int, str], int] = {}
        self._news = threading.Condition()
        threading.Thread(target=self._listen, daemon=True).start()

    def order(self, command: Sequence[str], environment: dict[str, str], folder: Path, output: Path) -> int:
        assert self._process.stdin is not None
        number = next(_orders)
        order = {"number": number, "command": list(command), "environment": environment, "folder": str(folder)}
        self._process.stdin.write(json.dumps(order | {"output": str(output)}) + "\n")
        self._process.stdin.flush()
        return number

    def answer(self, number: int, what: str, timeout: float | None = None) -> int | None:
        """The process number ("pid") or exit code ("code") of an order; None when there is none in time."""
        with self._news:
            self._news.wait_for(lambda: (number, what) in self._told or self._process.poll() is not None, timeout)
            found = self._told.get((number, what))
        assert found is not None or self._process.poll() is None, "the process that commands are forked from has ended"
        return found

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            number, what, value = json.loads(line)
            with self._news:
                self._told[number, what] = value
                self._news.notify_all()
        with self._news:
            self._process.wait()
            self._news.notify_all()


@cache
def _forker() -> _Forker:
    return _Forker()


class Forked:
    """A command in a process forked from one that has imported what it needs; it leads a session of its own."""

    def __init__(self, command: Sequence[str], environment: dict[str, str], folder: Path) -> None:
        self.args = command
        with tempfile.TemporaryDirectory() as pipes:
            output = Path(pipes) / "output"
            os.mkfifo(output)
            self._number = _forker().order(command, environment, folder, output)
            self.stdout: TextIO = output.open()  # waits for the process to open its end
        pid = _forker().answer(self._number, "pid")
        assert pid is not None
        self.pid = pid

    @property
    def returncode(self) -> int | None:
        return self.poll()

    def poll(self) -> int | None:
        return _forker().answer(self._number, "code", 0)

    def wait(self, timeout: float | None = None) -> int:
        code = _forker().answer(self._number, "code", timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, input: str | None = None, timeout: float | None = None) -> tuple[str, None]:
        said = self.stdout.read()
        self.wait(timeout)
        return said, None


def forked_commands(commands: list[tuple[list[str], dict[str, str], Path]]) -> list[tuple[int, str]]:
    """Run commands, each with its environment in its folder, at the same time: exit codes and what they said."""
    with tempfile.TemporaryDirectory() as outputs:
        files = [Path(outputs) / str(place) for place in range(len(commands))]
        numbers = [_forker().order(*command, file) for command, file in zip(commands, files, strict=True)]
        codes = [_forker().answer(number, "code") for number in numbers]
        return [(int(code or 0), file.read_text()) for code, file in zip(codes, files, strict=True)]


def become(order: dict[str, Any]) -> None:
    """Turn this fresh child into a process of the ordered command, as it is after an exec."""
    os.setsid()
    with open(order["output"], "wb") as output, open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv = order["command"]


def run_to_its_end() -> NoReturn:
    """Run the command and end as an interpreter does, but without taking all that was imported to pieces."""
    from pipelines.cli import main as command

    code: object = 1
    try:
        command()
        code = 0
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    threading._shutdown()  # type: ignore[attr-defined]  # threads that are no daemons end by themselves
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


def main() -> None:
    orders, answers = os.fdopen(os.dup(0), "rb", buffering=0), os.dup(1)
    os.set_inheritable(answers, False)
    os.dup2(2, 1)  # what an import says is no answer
    for name in IMPORTS:
        importlib.import_module(name)
    gc.freeze()  # children need not look through it again
    running: dict[int, int] = {}
    while True:
        if select.select([orders], [], [], 0.02 if running else None)[0]:
            line = orders.readline()
            if not line:
                return
            order = json.loads(line)
            child = os.fork()
            if child == 0:
                orders.close()
                os.close(answers)
                become(order)
                run_to_its_end()
            running[child] = order["number"]
            os.write(answers, json.dumps([order["number"], "pid", child]).encode() + b"\n")
        for child in list(running):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                answer = [running.pop(child), "code", os.waitstatus_to_exitcode(status)]
                os.write(answers, json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    del sys.path[0]  # this folder
    main()
