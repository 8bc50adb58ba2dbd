"""`simsight audit`: who wrote what."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.common import DAY, AsJson, check_target, console, opened, print_rows
from services.audit import LogFormat, Wanted, blocks, lines

audit = typer.Typer(help="List, export and check the log of writes.", no_args_is_help=True)
First = Annotated[datetime | None, typer.Option("--from", **DAY, help="First UTC day.")]
Last = Annotated[datetime | None, typer.Option("--to", **DAY, help="Last UTC day.")]
Event = Annotated[str | None, typer.Option(help="Only this event, or events of this first word: key.made, key.")]
Who = Annotated[str | None, typer.Option(help='Only what this key or person did: "API key admin".')]
Subject = Annotated[str | None, typer.Option(help="Only this kind of subject, or kind:id: key:7.")]


@audit.command("list")
def list_lines(
    first: First = None,
    last: Last = None,
    event: Event = None,
    who: Who = None,
    subject: Subject = None,
    rows: Annotated[int, typer.Option(min=1, max=100_000, help="Lines at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List lines of the log, the newest first."""
    wanted = _wanted(first, last, event, who, subject)
    with opened() as runtime, runtime.database.transaction() as transaction:
        found = lines(transaction, wanted, rows=rows)
    columns = ("number", "at", "event", "who", "subject", "subject_id")
    print_rows(found, columns, as_json=as_json, none="no line")


@audit.command("export")
def export(
    file: Annotated[Path | None, typer.Argument(help="Where to; default: standard output.")] = None,
    format: Annotated[LogFormat, typer.Option(help="ndjson or csv.")] = "ndjson",
    first: First = None,
    last: Last = None,
    event: Event = None,
    who: Who = None,
    subject: Subject = None,
) -> None:
    """Write lines of the log to a file, the newest first."""
    wanted = _wanted(first, last, event, who, subject)
    if file is not None:
        check_target(file)
    with opened() as runtime, runtime.database.transaction() as transaction:
        pieces = blocks(transaction, wanted, format)
        if file is None:
            for piece in pieces:
                sys.stdout.write(piece)
            return
        with file.open("w", encoding="utf-8", newline="") as target:
            for piece in pieces:
                target.write(piece)


@audit.command("verify")
def verify(
    head: Annotated[
        str | None, typer.Option(help="Hash that an earlier check printed: it must still be there.")
    ] = None,
) -> None:
    """Check that nobody changed the log; the first broken row comes first. Prints the hash of the last, to be noted."""
    from services.actions.requests import verify_log

    with opened() as runtime:
        problems, rows, last = verify_log(runtime.database, head)
    for problem in problems:
        console.print(problem, markup=False, style="red")
    if problems:
        raise typer.Exit(1)
    console.print(f"the log is whole: {rows} rows, last {last or '-'}", markup=False)


def _wanted(
    first: datetime | None, last: datetime | None, event: str | None, who: str | None, subject: str | None
) -> Wanted:
    return Wanted(first and first.date(), last and last.date(), event, who, subject)
