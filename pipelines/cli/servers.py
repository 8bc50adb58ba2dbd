"""`simsight serve`, `dev`, `mlflow`, `worker`: servers that run until Ctrl-C."""

from __future__ import annotations

import multiprocessing.util
import os
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.common import console, runtime_of
from resources.errors import UsageError
from resources.settings import load_settings
from services.access.api_keys import create_key

app = typer.Typer()


@app.command()
def serve(
    sign_in: Annotated[
        bool, typer.Option("--sign-in", help="Print a link that signs in to the dashboard, for 12 hours.")
    ] = False,
) -> None:
    """Serve the dashboard and the HTTP API (SIMSIGHT_API_HOST, SIMSIGHT_API_PORT) until Ctrl-C. Sign in with a key of
    `simsight api-key create`.
    """
    from api.database import Store
    from api.server import serve as serve_api
    from pipelines.demo import prepare
    from resources.database.server import service_login
    from resources.ports import listen

    settings = load_settings()
    listen(settings.api_host, settings.api_port, free_it="set SIMSIGHT_API_PORT to a free one").close()
    base = f"http://{settings.api_host}:{settings.api_port}"
    at = f"Dashboard: {base}/    API: {base}/docs"
    if (login := service_login(settings)) is not None:  # it can neither migrate nor read what the pipeline does
        store = Store(login)
        note = store.data_note(settings.organization)
        store.close()
        if sign_in:
            raise UsageError("--sign-in makes a key, which this login cannot: leave it out")
        console.print(at)
        serve_api(settings, login, data_note=note)
        return
    with runtime_of(settings) as runtime:
        prepare(runtime)
        console.print(at)
        if sign_in:
            now = datetime.now(UTC)
            name, hours = f"dashboard {now:%Y-%m-%d %H:%M:%S}", timedelta(hours=12)
            key = create_key(runtime.database, name, now=now, valid_for=hours, scopes=("read", "alerts"))
            # after the #: a browser sends it to nobody, and no log has it
            console.print(f"Sign in: {base}/sign-in#{key}", soft_wrap=True)
        serve_api(settings, runtime.server.api, data_note=runtime.data_note)


@app.command()
def dev() -> None:
    """Run the Dagster UI (SIMSIGHT_UI_PORT) and its daemon until Ctrl-C; on a simulated account unless one is set."""
    from pipelines.demo import account, prepare
    from pipelines.runs import WORKSPACE, days_shown, environment, refuse_future
    from resources.ports import listen

    settings = load_settings()
    refuse_future(settings)
    listen("127.0.0.1", settings.ui_port, free_it="set SIMSIGHT_UI_PORT to a free one").close()
    with account(settings, console, sims=500, days=180, live=True) as (polled, _), runtime_of(polled) as runtime:
        prepare(runtime)
        settings.landing_folder.mkdir(parents=True, exist_ok=True)
        at = f"Dagster UI: http://127.0.0.1:{settings.ui_port}    landing folder: {settings.landing_folder.resolve()}"
        command = [str(Path(sys.executable).parent / "dagster"), "dev", "-w", str(WORKSPACE)]
        command += ["-h", "127.0.0.1", "-p", str(settings.ui_port)]
        code = _run_child(command, environment(runtime) | days_shown(runtime), port=settings.ui_port, at=at)
    raise typer.Exit(code)


@app.command("mlflow")
def mlflow_ui() -> None:
    """Run the MLflow UI (SIMSIGHT_MLFLOW_PORT) until Ctrl-C: trainings, backtests with plots, registered versions."""
    from pipelines.demo import prepare
    from pipelines.runs import environment
    from resources.ports import listen
    from services.models import registry_of

    settings = load_settings()
    listen("127.0.0.1", settings.mlflow_port, free_it="set SIMSIGHT_MLFLOW_PORT to a free one").close()
    with runtime_of(settings) as runtime:
        prepare(runtime)
        if not runtime.server.mlflow.startswith("http"):  # the list of experiments of a new store begins empty
            registry_of(runtime).hide_default()
        command = [str(Path(sys.executable).parent / "mlflow"), "server", "--host", "127.0.0.1", "--workers", "1"]
        command += ["--port", str(settings.mlflow_port), "--default-artifact-root", runtime.mlflow_artifacts]
        # the store's URL may hold a password: the environment, not the command line that every user of the machine sees
        variables = environment(runtime) | {"MLFLOW_BACKEND_STORE_URI": runtime.server.mlflow}
        # nothing here uses MLflow's jobs, and the processes that run them outlive the server
        variables["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
        at = f"MLflow UI: http://127.0.0.1:{settings.mlflow_port}"
        code = _run_child(command, variables, port=settings.mlflow_port, at=at)
    raise typer.Exit(code)


@app.command()
def worker(
    name: Annotated[str, typer.Option(help="Its name; a second one on this machine needs another.")] = "simsight",
    steps: Annotated[int | None, typer.Option(min=1, help="Steps it works at at once; default: one a core.")] = None,
    only_blocks: Annotated[
        bool,
        typer.Option("--only-blocks", help="Only score blocks of SIMs: nothing that needs the home folder's files."),
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Instead: ask the one that runs on this machine whether it is well.")
    ] = False,
) -> None:
    """Work at the steps of runs, with others on any machines, until Ctrl-C (SIMSIGHT_EXECUTOR=celery)."""
    from pipelines.executors import need, preload
    from pipelines.runs import environment

    settings = load_settings()
    need("celery")
    from pipelines.celery_steps import answers, worker_of

    if check:
        if not answers(settings, name):
            raise UsageError(f"no worker {name} of this machine answers")
        console.print(f"worker {name}: it answers")
        return
    with runtime_of(settings) as runtime:
        runtime.check_schema()
        os.environ.update(environment(runtime))
        preload()
        made = worker_of(
            settings,
            name,
            steps=steps or os.cpu_count() or 1,
            only_blocks=only_blocks,
            ready=lambda: console.print(f"worker {name}: ready for steps"),
        )
        made.start()
        # libraries remove what they have in this command's temporary folder, before that goes
        multiprocessing.util._exit_function()  # type: ignore[attr-defined]
    raise typer.Exit(made.exitcode or 0)


def _run_child(command: list[str], variables: dict[str, str], *, port: int, at: str) -> int:
    """Run a server until it ends or this process is told to; returns its exit code.

    at   what to print when the server answers on its port: where it is
    It runs in a session of its own: Ctrl-C reaches this process, which then stops the child in good order.
    """
    child = subprocess.Popen(command, env=os.environ | variables, start_new_session=True)  # noqa: S603
    told = False
    try:
        # in short waits: when another thread takes the signal of Ctrl-C, a long wait does not end
        while (code := child.poll()) is None:
            if not told and _answers(port):
                console.print(at)
                told = True
            time.sleep(0.2)
    finally:
        if child.poll() is None:
            child.terminate()
            child.wait(60)
    return code


def _answers(port: int) -> bool:
    """Whether a server on this machine answers HTTP there, whatever it says; a port alone may be open before that."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=1)) as connection:
        try:
            connection.request("GET", "/")
            connection.getresponse()
        except (OSError, HTTPException):
            return False
        return True
