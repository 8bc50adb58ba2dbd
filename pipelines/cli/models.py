"""`simsight models`, `simsight rollback`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from pipelines.cli.common import console, runtime_of
from pipelines.console import print_table
from resources.settings import load_settings

app = typer.Typer()


@app.command()
def models(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for scripts.")] = False,
) -> None:
    """List the versions of every model, newest first: role, what each was trained on, how good it was, and why it has
    its role.
    """
    from rich.markup import escape

    from services.known_models import specs
    from services.status import model_versions

    with runtime_of(load_settings()) as runtime:
        runtime.check_schema()
        versions = model_versions(runtime)
    if as_json:
        typer.echo(json.dumps(versions, indent=2))
        return
    if not versions:
        console.print("no version is registered yet: `simsight run` trains the first")
        return
    for spec in specs():
        headings = [
            *("version", "role", "trained as of"),
            *(metric.heading for metric in spec.metrics),
            "in use since",
        ]
        rows = []
        of_model = [row for row in versions if row["model"] == spec.name]
        for row in of_model:
            tested, since = row["backtest"], row["champion_since"]
            rows.append(
                [
                    str(row["version"]),
                    row["role"],
                    row["as_of"],
                    *(shown.write(tested[shown.name]) if shown.name in tested else "-" for shown in spec.metrics),
                    f"{since[:10]}, {escape(row['decided_by'])}" if since else "-",
                ]
            )
        print_table(console, headings, rows, title=spec.name)
        for row in of_model:
            console.print(f"{row['version']}: {row['why'] or '-'}", markup=False)
        console.print()
    for spec in specs():
        if meanings := [f"{metric.heading}: {metric.meaning}" for metric in spec.metrics if metric.meaning]:
            console.print("; ".join(meanings), markup=False)


def _known(model: str) -> str:
    from services.known_models import UnknownModelError, spec_of

    try:
        return spec_of(model).name
    except UnknownModelError as error:
        raise typer.BadParameter(str(error)) from error


@app.command()
def rollback(
    model: Annotated[
        str, typer.Option(help="Which model goes back, as `simsight models` names it.", callback=_known)
    ] = "usage-forecaster",
    to: Annotated[
        int | None, typer.Option(min=1, help="Version to go back to; default: the champion before the present one.")
    ] = None,
    why: Annotated[str, typer.Option(help="Kept with who did it and when.")] = "rolled back by hand",
    by: Annotated[str | None, typer.Option(help="Who decides it; default: the user of this machine.")] = None,
) -> None:
    """Make an earlier version of a model champion again, in the registry and in the database."""
    from getpass import getuser

    from services.models import rollback as roll_back

    with runtime_of(load_settings()) as runtime:
        runtime.check_schema()
        done = roll_back(runtime, model=model, to=to, by=by or getuser(), why=why)
    console.print(f"{model}: version {done.version} is champion again, in place of version {done.before}")
    console.print("what is stored was made by the version before: `simsight run` scores the last complete day anew")
