"""Programs in processes forked from one that has imported what they need: importing takes most of a short one's time.

Run as a program, with the path of a Unix socket, it is the process that others are forked from. All workers of a test
session share it: it ends when the last of them has left. It takes orders, one JSON object a line, and answers each with
two lines: [number of the order, "pid", process number] when the program has begun, and [number of the order, "code",
exit code] when it has ended.
"""

from __future__ import annotations

import atexit
import fcntl
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, NoReturn, Protocol, TextIO

ROOT = Path(__file__).resolve().parents[1]
# what commands and the steps of their jobs import (see pipelines/executors.py), also late and by others' hands
IMPORTS = (
    "pipelines.cli",
    "pipelines.demo",
    "pipelines.definitions",
    "resources.once.client",
    "resources.database.embedded",
    "services.quality.engine",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_store",
    "alembic.command",
    "anyio._backends._asyncio",
    "dagster_postgres",
    "dagster._core.executor.in_process",
    "dagster._core.instance.factory",
    "dagster._core.workspace.load",
    "httpcore",
    "lightgbm",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "pyarrow.pandas_compat",
    "uvicorn",
)
STARTS_WITHIN_S = 60


_orders = count()


def clean_environment() -> dict[str, str]:
    # one HOME for all tests: Matplotlib looks through the machine's fonts once in each
    user = Path(tempfile.gettempdir()) / f"simsight-tests-{os.getuid()}"
    user.mkdir(exist_ok=True)
    return {"PATH": os.environ["PATH"], "HOME": str(user)}


class Process(Protocol):
    """What a test does with a running program: the part of subprocess.Popen that `Forked` has too."""

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


@dataclass(frozen=True)
class Program:
    """A program to run: the command line with its arguments, or Python code.

    arguments  as in sys.argv: the command's name or "-c" comes first
    code       run as `python -c` does; None: `simsight`
    output     where all that it says goes
    errors     where what it says on stderr goes instead
    """

    arguments: Sequence[str]
    environment: dict[str, str]
    folder: Path
    output: Path
    errors: Path | None = None
    code: str | None = None

    def order(self, number: int) -> str:
        errors = None if self.errors is None else str(self.errors)
        order = {"number": number, "arguments": list(self.arguments), "environment": self.environment}
        order |= {"folder": str(self.folder), "output": str(self.output), "errors": errors, "code": self.code}
        return json.dumps(order) + "\n"


class _Forker:
    """The way to the process that programs are forked from."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._socket = self._reach()
        self._has_ended = False
        self._told: dict[tuple[int, str], int] = {}
        self._news = threading.Condition()
        threading.Thread(target=self._listen, daemon=True).start()

    def _reach(self) -> socket.socket:
        """Connect to the session's process that programs are forked from, which the first to need it starts."""
        session = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
        path = f"{clean_environment()['HOME']}/forker-{session[:12]}"
        with _locked(path):
            if (reached := _connected(path)) is None:
                self._process = _started(path)
                deadline = time.monotonic() + STARTS_WITHIN_S
                while (reached := _connected(path)) is None:
                    assert time.monotonic() < deadline, "the process that programs are forked from did not start"
                    code = self._process.poll()
                    assert code is None, f"the process that programs are forked from ended with {code}"
                    time.sleep(0.02)
        return reached

    def order(self, program: Program) -> int:
        number = next(_orders)
        self._socket.sendall(program.order(number).encode())
        return number

    def answer(self, number: int, what: str, timeout: float | None = None) -> int | None:
        """The process number ("pid") or exit code ("code") of an order; None when there is none in time."""
        with self._news:
            self._news.wait_for(lambda: (number, what) in self._told or self._has_ended, timeout)
            found = self._told.get((number, what))
            assert found is not None or not self._has_ended, "the process that programs are forked from has ended"
        return found

    def _listen(self) -> None:
        with self._socket.makefile("r") as answers:
            for line in answers:
                number, what, value = json.loads(line)
                with self._news:
                    self._told[number, what] = value
                    self._news.notify_all()
        with self._news:
            self._has_ended = True
            self._news.notify_all()


def _connected(path: str) -> socket.socket | None:
    reached = socket.socket(socket.AF_UNIX)
    try:
        reached.connect(path)
    except OSError:
        reached.close()
        return None
    return reached


def _started(path: str) -> subprocess.Popen[bytes]:
    quiet = {
        "GX_ANALYTICS_ENABLED": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DAGSTER_DISABLE_TELEMETRY": "true",
    }
    return subprocess.Popen(
        [sys.executable, Path(__file__), path],
        env=clean_environment() | quiet,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )


@contextmanager
def _locked(path: str) -> Iterator[None]:
    """Hold the lock of starting and ending the process at a socket's path."""
    with open(Path(path).parent / "forkers.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@cache
def _forker() -> _Forker:
    return _Forker()


class Forked:
    """A command in a process forked from one that has imported what it needs; it leads a session of its own."""

    def __init__(
        self, arguments: Sequence[str], environment: dict[str, str], folder: Path, *, code: str | None = None
    ) -> None:
        self.args = arguments
        with tempfile.TemporaryDirectory() as pipes:
            output = Path(pipes) / "output"
            os.mkfifo(output)
            self._number = _forker().order(Program(arguments, environment, folder, output, code=code))
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
            with suppress(ProcessLookupError):  # it has ended, and the word of it is on its way
                os.kill(self.pid, sig)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, input: str | None = None, timeout: float | None = None) -> tuple[str, None]:
        said = self.stdout.read()
        self.wait(timeout)
        return said, None


def forked_code(code: str, *arguments: str, **variables: str) -> Forked:
    """Start `python -c code arguments` in the checkout, in the environment of the tests and these variables."""
    return Forked(["-c", *arguments], os.environ | variables, ROOT, code=code)


@dataclass(frozen=True)
class Ended:
    """How a program ended: its exit code, and what it said."""

    code: int
    output: str
    errors: str


def run_code(code: str, *arguments: str, **variables: str) -> Ended:
    """Run `python -c code arguments` in the checkout to its end, in the environment of the tests and these
    variables.
    """
    with tempfile.TemporaryDirectory() as folder:
        output, errors = Path(folder) / "output", Path(folder) / "errors"
        program = Program(["-c", *arguments], os.environ | variables, ROOT, output, errors, code)
        ended = _forker().answer(_forker().order(program), "code")
        return Ended(int(ended or 0), output.read_text(), errors.read_text())


def forked_commands(commands: list[tuple[list[str], dict[str, str], Path]]) -> list[tuple[int, str]]:
    """Run commands, each with its environment in its folder, at the same time: exit codes and what they said."""
    with tempfile.TemporaryDirectory() as outputs:
        files = [Path(outputs) / str(place) for place in range(len(commands))]
        numbers = [_forker().order(Program(*command, file)) for command, file in zip(commands, files, strict=True)]
        codes = [_forker().answer(number, "code") for number in numbers]
        return [(int(code or 0), file.read_text()) for code, file in zip(codes, files, strict=True)]


def become(order: dict[str, Any]) -> None:
    """Turn this fresh child into a process of the ordered program, as it is after an exec."""
    os.setsid()
    with open(order["output"], "wb") as output, open(order["errors"] or os.devnull, "wb") as errors:
        os.dup2(output.fileno(), 1)
        os.dup2((errors if order["errors"] else output).fileno(), 2)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    tempfile.tempdir = None  # of TMPDIR
    sys.argv = order["arguments"]


def run_to_its_end(code: str | None) -> NoReturn:
    """Run the program and end as an interpreter does, but without taking all that was imported to pieces."""
    program: Callable[[], object]
    if code is None:
        from pipelines.cli import main as program
    else:
        text, names = code, {"__name__": "__main__"}

        def program() -> None:
            exec(compile(text, "<string>", "exec"), names)

    exit_code: object = 1
    try:
        program()
        exit_code = 0
    except SystemExit as end:
        exit_code = end.code
    except BaseException:
        traceback.print_exc()
    threading._shutdown()  # type: ignore[attr-defined]  # threads that are no daemons end by themselves
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code if isinstance(exit_code, int) else 0 if exit_code is None else 1)


@dataclass
class _Client:
    """A test worker that gives orders; begun is what it has sent of an order that is not whole."""

    socket: socket.socket
    begun: bytes = b""

    def orders(self) -> list[bytes] | None:
        """The orders that have come; None when the worker has left."""
        more = self.socket.recv(1 << 20)
        *whole, self.begun = (self.begun + more).split(b"\n")
        return whole if more else None

    def tell(self, *answer: object) -> None:
        with suppress(OSError):  # it has left
            self.socket.sendall(json.dumps(answer).encode() + b"\n")


@dataclass
class _Server:
    """Forks the programs that its clients order."""

    path: str
    listener: socket.socket
    clients: list[_Client] = field(default_factory=list)
    running: dict[int, tuple[_Client, int]] = field(default_factory=dict)

    def serve(self) -> None:
        """Serve until the last client has left."""
        while True:
            readable, _, _ = select.select(
                [self.listener, *(client.socket for client in self.clients)], [], [], 0.02 if self.running else None
            )
            for client in [client for client in self.clients if client.socket in readable]:
                if (orders := client.orders()) is None:
                    self.clients.remove(client)
                    client.socket.close()
                for order in orders or []:
                    self.fork(client, json.loads(order))
            if self.listener in readable:
                self.clients.append(_Client(self.listener.accept()[0]))
            self.tell_ends()
            if not self.clients and self.may_end():
                return

    def may_end(self) -> bool:
        """Whether nobody is about to connect; then nobody will: the path is gone."""
        with _locked(self.path):
            if select.select([self.listener], [], [], 0)[0]:
                return False
            os.unlink(self.path)
            return True

    def fork(self, client: _Client, order: dict[str, Any]) -> None:
        child = os.fork()
        if child == 0:
            self.listener.close()
            for other in self.clients:
                other.socket.close()
            become(order)
            run_to_its_end(order["code"])
        self.running[child] = client, order["number"]
        client.tell(order["number"], "pid", child)

    def tell_ends(self) -> None:
        for child, (client, number) in list(self.running.items()):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                del self.running[child]
                client.tell(number, "code", os.waitstatus_to_exitcode(status))


def main(path: str) -> None:
    new = f"{path}.new"
    Path(new).unlink(missing_ok=True)  # of one that was killed
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(new)
    listener.listen()
    os.rename(new, path)  # who finds it can connect
    os.dup2(2, 1)  # what an import says is no answer
    gc.disable()
    for name in IMPORTS:
        importlib.import_module(name)
    gc.freeze()  # children need not look through it again
    gc.enable()
    _Server(path, listener).serve()


if __name__ == "__main__":
    del sys.path[0]  # this folder
    main(sys.argv[1])
