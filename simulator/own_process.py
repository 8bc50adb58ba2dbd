"""A simulated account served from a process of its own, beside the one that polls it: each has a core."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path

import httpx

from resources.errors import SimsightError
from resources.ports import listen

_ROOT = str(Path(__file__).resolve().parent.parent)
_STARTS_WITHIN_S = 60


@contextmanager
def simulator_process(
    *,
    seed: int,
    sims: int,
    start: date,
    now: datetime,
    v1_until: date | None = None,
    platform2_share: float = 0.0,
) -> Iterator[str]:
    """Base URL of a simulated account that a child process serves while the block runs, its time standing at `now`.

    v1_until, platform2_share   as of `simulator.app.create_app` and `simulator.fleet.Fleet`
    The child ends with the block, and also when this process is killed. Raises SimsightError when it does not start.
    """
    from simulator.answers import PREFIX

    listener = listen("127.0.0.1", 0)
    base_url = f"http://127.0.0.1:{listener.getsockname()[1]}{PREFIX}"
    plan: dict[str, object] = {"seed": seed, "sims": sims, "start": start.isoformat(), "now": now.isoformat()}
    plan |= {"v1_until": None if v1_until is None else v1_until.isoformat(), "platform2_share": platform2_share}
    command = [sys.executable, "-m", "simulator.own_process", str(listener.fileno()), json.dumps(plan)]
    # a session of its own: Ctrl-C at the terminal reaches the process that polls, which then ends the block
    child = subprocess.Popen(  # noqa: S603
        command, cwd=_ROOT, stdin=subprocess.PIPE, pass_fds=[listener.fileno()], start_new_session=True
    )
    listener.close()
    try:
        _wait_until_served(base_url, child)
        yield base_url
    finally:
        child.kill()  # it keeps nothing
        child.wait()
        assert child.stdin is not None
        child.stdin.close()


def _wait_until_served(base_url: str, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _STARTS_WITHIN_S
    while time.monotonic() < deadline and child.poll() is None:
        try:
            # any answer will do; connections wait in the listener until it is served
            httpx.get(base_url, timeout=_STARTS_WITHIN_S, trust_env=False)  # nor asks a proxy
            return
        except httpx.TransportError:
            time.sleep(0.05)
    raise SimsightError("the simulator did not start; run `simsight simulate` to see why")


def _serve(descriptor: int, plan: dict[str, object]) -> None:
    import uvicorn

    from simulator.app import create_app
    from simulator.fleet import Fleet
    from simulator.server import quiet_config

    threading.Thread(target=_end_with_parent, daemon=True).start()
    fleet = Fleet(
        seed=int(str(plan["seed"])),
        sims=int(str(plan["sims"])),
        start=date.fromisoformat(str(plan["start"])),
        platform2_share=float(str(plan["platform2_share"])),
    )
    v1_until = None if plan["v1_until"] is None else date.fromisoformat(str(plan["v1_until"]))
    app = create_app(fleet, now=datetime.fromisoformat(str(plan["now"])), v1_until=v1_until)
    uvicorn.Server(quiet_config(app)).run(sockets=[socket.socket(fileno=descriptor)])


def _end_with_parent() -> None:
    """Wait for the end of standard input, a pipe that nobody writes to and the parent's end closes, and leave."""
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    _serve(int(sys.argv[1]), json.loads(sys.argv[2]))
