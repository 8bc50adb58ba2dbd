"""The command line.

Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 stopped by a failed check, 130 interrupted.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import warnings
from contextlib import suppress
from typing import Annotated

import typer

from pipelines.cli import (
    actions,
    alerts,
    ask,
    audit,
    backup,
    channels,
    churn,
    data,
    deletion,
    downstream,
    feedback,
    keys,
    models,
    organizations,
    recommendations,
    reports,
    runs,
    servers,
    sim,
    simulate,
    sql,
    status,
    storage,
    tickets,
)
from pipelines.console import PlainConsole
from resources import tracing
from resources.errors import SimsightError, UsageError
from resources.log_lines import set_up, writes_json
from resources.settings import SettingsError, load_settings
from resources.temporary import own_temporary_folder
from resources.variables import unknown_variables

app = typer.Typer(
    name="simsight",
    help="Watch a fleet of 1NCE IoT SIM cards: ingest, forecast, alert, report.\n\n"
    "Settings come from the environment or .env; see .env.example. Without any, an embedded PostgreSQL under "
    "./.simsight is used.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _module in (runs, simulate, data, servers, models, status, backup, sim, ask, sql, reports):
    app.add_typer(_module.app)
for _name, _group in (
    ("api-key", keys.keys),
    ("stream", keys.streams),
    ("downstream", downstream.downstream),
    ("feedback", feedback.feedback),
    ("rules", alerts.rules),
    ("alerts", alerts.alerts),
    ("channels", channels.channels),
    ("oncall", channels.oncall),
    ("tickets", tickets.tickets),
    ("churn", churn.churn),
    ("actions", actions.actions),
    ("audit", audit.audit),
    ("backup", backup.backup),
    ("forget", deletion.forget),
    ("organization", organizations.organization),
    ("recommendations", recommendations.recommendations),
    ("reports", reports.reports),
    ("storage", storage.storage),
):
    app.add_typer(_group, name=_name)
app.command()(channels.notify)
INTERRUPTED = 130


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"simsight {version('simsight')}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    with suppress(SettingsError):  # a command says it, where it needs the settings
        set_up(load_settings())
    service = "simsight-api" if context.invoked_subcommand == "serve" else "simsight-pipeline"
    if why := tracing.set_up(service):
        _say(why, "yellow")


def main() -> None:
    """Run the command line; every expected error becomes one line that says how to fix it, and an exit code."""
    warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(143)
    )  # leave in good order: servers and child processes are stopped
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell started this in the background
    for name, nearest in unknown_variables(os.environ).items():
        said = f"did you mean {nearest}?" if nearest else "settings are listed in .env.example"
        _say(f"{name} is no setting of Simsight and has no effect here: {said}", "yellow")
    try:
        with own_temporary_folder():
            app()
    except UsageError as error:
        _fail(error, 2)
    except SystemExit as end:
        if end.code == INTERRUPTED:  # Typer makes this of Ctrl-C, without a word
            _fail("interrupted; what was stored stays, and the next run goes on from there", INTERRUPTED)
        raise
    except (SimsightError, OSError) as error:
        _fail(error, 1)
    except Exception as error:
        from resources.database.server import lost_connection

        told = lost_connection(error)
        if told is None:
            raise
        _fail(told, 1)


def _fail(error: object, code: int) -> None:
    _say(error, "red")
    sys.exit(code)


def _say(what: object, style: str) -> None:
    if writes_json():
        logging.getLogger("simsight").log(logging.ERROR if style == "red" else logging.WARNING, "%s", what)
        return
    PlainConsole(stderr=True, highlight=False).print(f"simsight: {what}", markup=False, style=style, soft_wrap=True)
