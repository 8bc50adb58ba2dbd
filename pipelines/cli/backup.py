"""`simsight backup`, `simsight restore`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.common import AsJson, console, opened, print_rows
from resources.errors import UsageError
from resources.settings import load_settings

app = typer.Typer()
backup = typer.Typer(help="Make, list and check backups of the server and the home folder.")


def moment_of(text: str) -> datetime:
    """Parse a time that says its zone, or is in UTC."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r}: expected a time such as 2026-01-31T08:30 (UTC)") from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


@backup.callback(invoke_without_command=True)
def make(
    context: typer.Context,
    full: Annotated[bool, typer.Option("--full", help="Copy everything, not only what changed.")] = False,
) -> None:
    """Back all databases of the server and the home folder up into SIMSIGHT_BACKUPS, and read the backup through.

    The first backup and one a week are full, the others hold what changed. SIMSIGHT_BACKUP_CHAINS full ones are kept.
    """
    if context.invoked_subcommand is not None:
        return
    from services.backup import folder_of, make_backup

    folder_of(load_settings())  # refused at once where none is set
    with opened() as runtime:
        made = make_backup(runtime, full=full)
    found = made.backup
    why = f" ({made.why_full})" if made.why_full else ""
    console.print(
        f"{found.kind} backup {found.name}{why}: {found.bytes / 1e6:.1f} MB in {found.folder}, read through and whole",
        markup=False,
    )
    for name in made.removed:
        console.print(f"removed {name}", markup=False)


@backup.command("list")
def list_backups(as_json: AsJson = False) -> None:
    """List the backups in SIMSIGHT_BACKUPS, the oldest first; the server need not run."""
    from services.backup import backups_in, folder_of

    rows = [
        {
            "name": found.name,
            "kind": found.kind,
            "after": found.after,
            "finished_at": found.finished_at,
            "mb": round(found.bytes / 1e6, 1),
            "home": found.home,
        }
        for found in backups_in(folder_of(load_settings()))
    ]
    print_rows(rows, ("name", "kind", "after", "finished_at", "mb", "home"), as_json=as_json, none="no backup")


@backup.command("verify")
def verify() -> None:
    """Read all backups of this home through. Exit code 1 if one is damaged."""
    from services.backup import folder_of, verify_all

    folder_of(load_settings())
    with opened() as runtime:
        found = verify_all(runtime)
    for checked, wrong in found:
        console.print(f"{checked.name}: {wrong or 'whole'}", markup=False, style="red" if wrong else None)
    if any(wrong for _, wrong in found):
        raise typer.Exit(1)


@backup.command("keep")
def keep(
    check: Annotated[
        bool,
        typer.Option("--check", help="Instead: exit code 1 unless backups and the log are as new as they should be."),
    ] = False,
) -> None:
    """Make a backup a day until Ctrl-C; between them, archive the log of a server of your own."""
    from threading import Event

    from resources.database.archive import line_of
    from services.backup import folder_of
    from services.backup_keeper import keep as keep_backups
    from services.backup_keeper import what_is_wrong

    settings = load_settings()
    folder = folder_of(settings)
    if check:
        if wrong := what_is_wrong(line_of(settings.home, folder), datetime.now(UTC)):
            raise UsageError(wrong)
        return
    with opened() as runtime:
        keep_backups(runtime, Event())


@app.command()
def restore(
    target: Annotated[Path, typer.Argument(help="Folder of the new home; it must not exist, or be empty.")],
    to: Annotated[
        datetime | None,
        typer.Option(parser=moment_of, metavar="TIME", help="Last moment (UTC) whose writes are wanted; default: all."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--backup", help="Which backup to begin with; default: the newest before the time.")
    ] = None,
) -> None:
    """Make a new home folder of a backup in SIMSIGHT_BACKUPS and the log after it; nothing is overwritten."""
    from services.backup import folder_of
    from services.restore import restore as restore_home

    settings = load_settings()
    if to is not None and to > datetime.now(UTC):  # of the server, whatever SIMSIGHT_NOW says
        raise UsageError(f"--to {to:%Y-%m-%dT%H:%M:%S} is still to come")
    done = restore_home(
        folder_of(settings), target, to=to, name=name, say=lambda text: console.print(text, markup=False)
    )
    last = f"; the last write in it is of {done.last_write_at:%Y-%m-%d %H:%M:%S} UTC" if done.last_write_at else ""
    console.print(f"restored {done.backup.name} into {target}{last}", markup=False)
    console.print(
        done.note
        or f"set SIMSIGHT_HOME={target} to use it, and make a backup of it: it archives apart from the old one",
        markup=False,
    )
