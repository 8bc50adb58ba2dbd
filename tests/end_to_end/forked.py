"""The command line in processes forked from one that has imported it: importing takes most of a short command's time.

Run as a program it is that process. It takes orders, one JSON object a line, from its standard input, and answers each,
when its command has ended, with a line on its standard output: [number of the order, exit code].
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import select
import subprocess
import sys
import tempfile
import threading
import traceback
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, NoReturn

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


@cache
def _forking_process() -> subprocess.Popen[str]:
    """The process that commands are forked from; it ends with this one, whose end closes its standard input."""
    quiet = {"GX_ANALYTICS_ENABLED": "false", "MLFLOW_DISABLE_TELEMETRY": "true", "DAGSTER_DISABLE_TELEMETRY": "true"}
    return subprocess.Popen(
        [sys.executable, Path(__file__)],
        env=clean_environment() | quiet,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def forked_commands(commands: list[tuple[list[str], dict[str, str], Path]]) -> list[tuple[int, str]]:
    """Run commands, each with its environment in its folder, at the same time: exit codes and what they said."""
    process = _forking_process()
    assert process.stdin is not None
    assert process.stdout is not None
    with tempfile.TemporaryDirectory() as outputs:
        files, codes = {next(_orders): Path(outputs) / str(place) for place in range(len(commands))}, {}
        for (number, file), (command, environment, folder) in zip(files.items(), commands, strict=True):
            order = {"number": number, "command": command, "environment": environment, "folder": str(folder)}
            process.stdin.write(json.dumps(order | {"output": str(file)}) + "\n")
        process.stdin.flush()
        while not files.keys() <= codes.keys():  # an earlier test that ran out of time may have left an answer
            answer = process.stdout.readline()
            assert answer, "the process that commands are forked from has ended"
            number, codes[number] = json.loads(answer)
        return [(codes[number], file.read_text()) for number, file in files.items()]


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
        for child in list(running):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                answer = [running.pop(child), os.waitstatus_to_exitcode(status)]
                os.write(answers, json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    del sys.path[0]  # this folder
    main()
