"""What the commands share."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE
from rich.table import Table

from pipelines.console import PlainConsole
from resources.settings import Settings, SettingsError, load_settings

if TYPE_CHECKING:
    from resources.runtime import Runtime


console = PlainConsole(highlight=False, soft_wrap=True)


def runtime_of(settings: Settings) -> Runtime:
    from resources.runtime import Runtime

    return Runtime(settings)


def end_with(outcome: Any) -> None:
    """Say what went wrong in a run and leave with its exit code."""
    for name, found, blocking in outcome.failed_checks:
        console.print(f"{'stopped by' if blocking else 'warning from'} {name}: {found}", markup=False)
    for error in outcome.errors:
        console.print(error, markup=False, style="red")
    if outcome.blocked:
        raise typer.Exit(3)
    if not outcome.success:
        raise typer.Exit(1)
    console.print(
        f"done, run {outcome.run_id}; {outcome.checks - len(outcome.failed_checks)} of {outcome.checks} checks passed"
    )


AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for scripts.")]
By = Annotated[str | None, typer.Option(help="Who does it; default: the user of this machine.")]
Label = Annotated[str | None, typer.Option("--label", help="Only SIMs whose label begins so.")]
Sims = Annotated[list[str] | None, typer.Option("--sim", help="Only this ICCID; repeatable.")]


@contextmanager
def opened() -> Iterator[Runtime]:
    """The runtime of a command; its database must be up to date."""
    from resources.runtime import Runtime

    with Runtime(load_settings()) as runtime:
        runtime.check_schema()
        yield runtime


def scope(label: str | None, sims: Sequence[str] | None) -> dict[str, Any]:
    """Whom --label and --sim are about."""
    if label is not None and sims:
        raise SettingsError("--label and --sim: give one of them")
    return {"label_prefix": label} if label is not None else {"iccids": list(sims)} if sims else {}


def print_rows(rows: Sequence[dict[str, Any]], columns: Sequence[str], *, as_json: bool, none: str) -> None:
    """Rows as a table of some of their columns, or whole as JSON; `none` where there are none."""
    if as_json:
        typer.echo(json.dumps(list(rows), indent=2, default=str))
        return
    if not rows:
        console.print(none, markup=False)
        return
    table = Table(box=SIMPLE)
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(_shown(row[column]) for column in columns))
    console.print(table)


def _shown(value: Any) -> str:
    from rich.markup import escape

    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "-" if value is None or value in ("", {}) else escape(str(value))
