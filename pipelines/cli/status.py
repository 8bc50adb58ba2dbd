"""`simsight status`, `simsight doctor`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from pipelines.cli.common import AsJson, check_target, console, runtime_of
from resources.settings import load_settings

if TYPE_CHECKING:
    from services.doctor.checks import Check

app = typer.Typer()


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for scripts.")] = False,
    sims: Annotated[
        bool, typer.Option("--sims", help="How closely the usage of each SIM is followed, as CSV.")
    ] = False,
) -> None:
    """What is stored, how fresh it is, which model is champion and how good it was."""
    from services.status import collect, sim_resolutions

    with runtime_of(load_settings()) as runtime:
        runtime.check_schema()
        collected: Any = sim_resolutions(runtime) if sims else collect(runtime)
    if sims and not as_json:
        columns = ("iccid", "usage_resolution", "answered_at")
        typer.echo(
            "\n".join(",".join(row) for row in [columns, *([row[c] or "" for c in columns] for row in collected)])
        )
        return
    if as_json:
        typer.echo(json.dumps(collected, indent=2))
        return
    _print_tree(collected)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check settings, database, 1NCE, MLflow, Dagster, messages and files, and say what to do. Exit code 1 if something
    must be fixed.
    """
    from services.doctor.examine import examine

    checks = examine()
    if as_json:
        typer.echo(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        for check in checks:
            _print_check(check)
    raise typer.Exit(1 if any(check.level == "failed" for check in checks) else 0)


@app.command("support-bundle")
def support_bundle(
    file: Annotated[Path, typer.Argument(callback=check_target, help="Zip file to write; it must not exist.")],
) -> None:
    """Pack what a support engineer asks for: doctor's checks, versions, settings, storage, runs and failures.

    Secrets, numbers of SIMs and names of logins are left out; look through it before you send it.
    """
    from services.doctor.examine import examine
    from services.support import bundle

    names = bundle(load_settings(), file, doctor=examine())
    console.print(f"{', '.join(names)} in {file}", markup=False)


def _print_check(check: Check) -> None:
    colour = {"ok": "green", "warning": "yellow", "failed": "red"}[check.level]
    for line in check.lines():
        head, rest = line[:9], line[9:]
        console.print(f"[{colour}]{head}[/{colour}]{escape(rest)}")


def _print_tree(values: dict[str, Any], indent: int = 0) -> None:
    for key, value in values.items():
        name = key.replace("_", " ") if indent == 0 else key
        if isinstance(value, dict):
            console.print(f"{'  ' * indent}{name}:", markup=False)
            _print_tree(value, indent + 1)
        else:
            shown = f"{value:.4g}" if isinstance(value, float) else "-" if value is None else value
            console.print(f"{'  ' * indent}{name}: {shown}", markup=False)
