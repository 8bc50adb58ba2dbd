"""Servers that run as child processes of a command: their address is said when they answer, and they end with it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from end_to_end.conftest import connect, free_port, interrupt, new_home, said_by
from sqlalchemy import URL

from pipelines.cli import servers
from resources.database.server import driver_url

# listens at once, as a server that is still loading may, and answers the second time it is asked
SLOW = """
import pathlib, socket, sys, time
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
listener.accept()[0].close()
asked, _ = listener.accept()
pathlib.Path(sys.argv[2]).touch()
asked.sendall(b"HTTP/1.1 404 Not Found\\r\\nContent-Length: 0\\r\\n\\r\\n")
time.sleep(1)
sys.exit(5)
"""


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], list[Any]]:
    """What is printed meanwhile is noted with what a function says at that moment."""

    def note(now: Callable[[], Any]) -> list[Any]:
        said: list[Any] = []
        monkeypatch.setattr(servers.console, "print", lambda text: said.append((text, now())))
        return said

    return note


def test_the_address_is_said_once_when_the_server_answers(
    tmp_path: Path, printed: Callable[[Callable[[], Any]], list[Any]]
) -> None:
    ready, port = tmp_path / "ready", free_port()
    said = printed(ready.exists)
    assert servers._run_child([sys.executable, "-c", SLOW, str(port), str(ready)], {}, port=port, at="here") == 5
    assert said == [("here", True)]


def test_the_address_of_a_server_that_fails_is_not_said(printed: Callable[[Callable[[], Any]], list[Any]]) -> None:
    said = printed(lambda: None)
    assert servers._run_child([sys.executable, "-c", "import sys; sys.exit(3)"], {}, port=free_port(), at="here") == 3
    assert said == []


def test_ctrl_c_ends_a_server_that_does_not_answer_yet(
    tmp_path: Path, printed: Callable[[Callable[[], Any]], list[Any]]
) -> None:
    said, port, mute = printed(lambda: None), free_port(), tmp_path / "mute"
    listens = (
        "import pathlib, socket, sys, time; listener = socket.create_server(('127.0.0.1', int(sys.argv[1]))); "
        "listener.accept(); pathlib.Path(sys.argv[2]).touch(); time.sleep(60)"
    )

    def press() -> None:  # while the answer of the server is waited for
        while not mute.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        servers._run_child([sys.executable, "-c", listens, str(port), str(mute)], {}, port=port, at="here")
    assert said == []
    assert not [child for child in psutil.Process().children() if str(mute) in child.cmdline()]


def test_mlflows_ui_shows_no_empty_experiment_and_answers_when_its_address_is_said(
    database_url: URL, empty_url: URL
) -> None:
    port = free_port()
    variables = {
        "SIMSIGHT_DATABASE_URL": database_url.render_as_string(hide_password=False),
        "SIMSIGHT_MLFLOW_TRACKING_URI": driver_url(empty_url, "psycopg2").render_as_string(hide_password=False),
        "SIMSIGHT_DAGSTER_DATABASE_URL": database_url.render_as_string(hide_password=False),
        "SIMSIGHT_MLFLOW_PORT": str(port),
    }
    with new_home(**variables) as home:
        ui = home.start("mlflow")
        said = said_by(ui)
        said(f"MLflow UI: http://127.0.0.1:{port}")
        found = httpx.post(
            f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/search", json={"max_results": 5}, trust_env=False
        )
        assert (found.status_code, found.json()) == (200, {})
        interrupt(ui)
        assert ui.wait(60) == 130
        assert "Traceback" not in said("simsight: interrupted")
        assert not home.processes()
    with connect(empty_url) as store:
        assert store.execute("SELECT name, lifecycle_stage FROM experiments").fetchall() == [("Default", "deleted")]
