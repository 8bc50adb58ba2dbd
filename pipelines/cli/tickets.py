"""`simsight tickets`: support tickets, what they are about, and corrections."""

from __future__ import annotations

import json
import sys
from datetime import date
from typing import Annotated, Any

import typer

from ml.enums import TicketCategory
from pipelines.cli.common import AsJson, By, console, opened, print_rows
from resources.errors import UsageError

tickets = typer.Typer(help="List support tickets by what they are about, and correct that.", no_args_is_help=True)


@tickets.command("list")
def list_tickets(
    category: Annotated[TicketCategory | None, typer.Option(help="Only tickets of this category.")] = None,
    to_person: Annotated[bool, typer.Option("--to-person", help="Only tickets that a person is to decide.")] = False,
    closed: Annotated[bool, typer.Option("--closed", help="Also tickets that are solved.")] = False,
    rows: Annotated[int, typer.Option(min=1, max=100_000, help="Tickets at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List tickets, the most urgent first."""
    chosen = {"category": category, "to_person": to_person or None, "unsolved": None if closed else True, "rows": rows}
    with opened() as runtime:
        found = runtime.database.rows("tickets_list", chosen)
    columns = ("case_id", "priority", "category", "confidence", "to_person", "iccid", "subject")
    print_rows(found, columns, as_json=as_json, none="no ticket")


@tickets.command("correct")
def correct(
    case_id: Annotated[str, typer.Argument(help="Its id, as the list gives it.")],
    category: Annotated[TicketCategory, typer.Argument(help="What it is about.")],
    note: Annotated[str, typer.Option(help="Why.")] = "",
    by: By = None,
) -> None:
    """Say what a ticket is about: it holds at once, and the next training of the classifier learns from it."""
    import getpass

    said = {"case_id": case_id, "category": category, "note": note, "by": by or getpass.getuser()}
    with opened() as runtime:
        made = runtime.database.row("correct_ticket", said | {"now": runtime.clock()})
    if made is None:
        raise UsageError(f"there is no ticket {case_id}: `simsight tickets list` shows those there are")
    console.print(f"ticket {case_id} is about {category.replace('_', ' ')}")


@tickets.command("classify")
def classify_text(
    text: Annotated[str, typer.Argument(help="The text of a ticket, or - for standard input.")], as_json: AsJson = False
) -> None:
    """Say what a text is about, with the classifier there is; nothing is stored."""
    from services.tickets import classify_texts

    with opened() as runtime:
        (found,) = classify_texts(runtime, [sys.stdin.read() if text == "-" else text]).to_dicts()
    if as_json:
        typer.echo(json.dumps(found, indent=2, default=_plain))
        return
    for name, value in found.items():
        console.print(f"{name.replace('_', ' ')}: {'-' if value is None else value}", markup=False)


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)
