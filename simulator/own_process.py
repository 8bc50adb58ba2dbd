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
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from resources.errors import SimsightError
from resources.ports import listen

if TYPE_CHECKING:
    from simulator.stream_delivery import Opens

_ROOT = str(Path(__file__).resolve().parent.parent)
_STARTS_WITHIN_S = 60
QUARTER = timedelta(minutes=15)  # the stream tells of each quarter of an hour once it is over


@contextmanager
def simulator_process(
    *,
    seed: int,
    sims: int,
    start: date,
    now: datetime,
    live: bool = False,
    v1_until: date | None = None,
    platform2_share: float = 0.0,
    stream_folder: Path | None = None,
    stream_from: datetime | None = None,
) -> Iterator[str]:
    """Base URL of a simulated account that a child process serves while the block runs, its time standing at `now`.

    live, v1_until, platform2_share   as of `simulator.app.create_app` and `simulator.fleet.Fleet`
    stream_folder, stream_from        where to write what the stream tells, as files, and from which moment on
    The child ends with the block, and also when this process is killed. Raises SimsightError when it does not start.
    """
    from simulator.answers import PREFIX

    listener = listen("127.0.0.1", 0)
    base_url = f"http://127.0.0.1:{listener.getsockname()[1]}{PREFIX}"
    plan: dict[str, object] = {"seed": seed, "sims": sims, "start": start.isoformat(), "now": now.isoformat()}
    plan |= {"v1_until": None if v1_until is None else v1_until.isoformat(), "platform2_share": platform2_share}
    plan |= {"live": live, "stream_folder": None if stream_folder is None else str(stream_folder.resolve())}
    plan |= {"stream_from": (stream_from or now).isoformat()}
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


def move_clock(base_url: str, now: datetime) -> None:
    """Move the time of a simulated account that `simulator_process` serves, and wait until its stream has followed."""
    from simulator.answers import PREFIX

    root = base_url.removesuffix(PREFIX)
    with httpx.Client(base_url=root, trust_env=False, timeout=_STARTS_WITHIN_S) as http:
        http.post("/simulator/clock", json={"now": now.isoformat()}).raise_for_status()
        while (told := http.get("/simulator/stream")).is_success:
            if datetime.fromisoformat(told.json()["place"]) + QUARTER > now:
                return
            time.sleep(0.05)


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
    from simulator.faults import Faults
    from simulator.fleet import Fleet
    from simulator.server import delivery, quiet_config

    threading.Thread(target=_end_with_parent, daemon=True).start()
    fleet = Fleet(
        seed=int(str(plan["seed"])),
        sims=int(str(plan["sims"])),
        start=date.fromisoformat(str(plan["start"])),
        platform2_share=float(str(plan["platform2_share"])),
    )
    v1_until = None if plan["v1_until"] is None else date.fromisoformat(str(plan["v1_until"]))
    now, live = datetime.fromisoformat(str(plan["now"])), bool(plan["live"])
    usual = Faults(total_row=True)  # real accounts send it
    app = create_app(fleet, now=now, faults=usual, live=live, v1_until=v1_until)
    with delivery(app, _stream(plan)):
        uvicorn.Server(quiet_config(app)).run(sockets=[socket.socket(fileno=descriptor)])


def _stream(plan: dict[str, object]) -> Opens | None:
    if plan["stream_folder"] is None:
        return None
    from simulator.stream_feed import TYPES, Feed
    from simulator.stream_files import Folder

    folder, place = Path(str(plan["stream_folder"])), datetime.fromisoformat(str(plan["stream_from"]))
    return lambda cards: Folder(Feed(cards, TYPES, "mixed"), folder, place=place)


def _end_with_parent() -> None:
    """Wait for the end of standard input, a pipe that nobody writes to and the parent's end closes, and leave."""
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    _serve(int(sys.argv[1]), json.loads(sys.argv[2]))
