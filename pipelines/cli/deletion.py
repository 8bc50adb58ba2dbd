"""`simsight forget sim`."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.cli.common import ICCID, By, console, opened, show_deleted, who

forget = typer.Typer(help="Delete for good what is known of a SIM.", no_args_is_help=True)


@forget.command("sim")
def forget_sim(
    iccid: Annotated[str, typer.Argument(**ICCID)],
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it only show what would be deleted.")] = False,
    by: By = None,
) -> None:
    """Delete a SIM from every table, and its numbers from all texts: without --yes only show how many rows."""
    from services.deletion import delete_sim

    with opened() as runtime:
        rows = delete_sim(runtime.server.simsight, runtime.settings.organization, iccid, by=who(by), dry_run=not yes)
    show_deleted(rows, done=yes)
    if yes:
        console.print("If 1NCE still lists it, it comes back, without its past. Backups hold it until they go.")
