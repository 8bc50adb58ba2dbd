"""`simsight forget sim`, `simsight organization`."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from pipelines.cli.common import ICCID, AsJson, By, console, opened, print_rows
from resources.errors import UsageError

forget = typer.Typer(help="Delete for good what is known of a SIM.", no_args_is_help=True)
organization = typer.Typer(help="Add, list and remove organizations of the database.", no_args_is_help=True)


@forget.command("sim")
def forget_sim(
    iccid: Annotated[str, typer.Argument(**ICCID)],
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it only show what would be deleted.")] = False,
    by: By = None,
) -> None:
    """Delete a SIM from every table, and its numbers from all texts: without --yes only show how many rows."""
    from services.deletion import delete_sim

    with opened() as runtime:
        rows = delete_sim(runtime.server.simsight, runtime.settings.organization, iccid, by=_who(by), dry_run=not yes)
    _show(rows, done=yes)
    if yes:
        console.print("If 1NCE still lists it, it comes back, without its past. Backups hold it until they go.")


@organization.command("add")
def add(name: Annotated[str, typer.Argument(help="Short name: a to z, 0 to 9 and -.")]) -> None:
    """Add an organization; work for it with SIMSIGHT_ORGANIZATION set to its name. Adding again does nothing."""
    from resources.database.migrations import ensure_organization

    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", name):
        raise UsageError(f"{name!r} cannot name an organization: use up to 63 of a to z, 0 to 9 and -, no - first")
    with opened() as runtime:
        ensure_organization(runtime.server.simsight, name)
    console.print(f"the organization {name} is there: set SIMSIGHT_ORGANIZATION={name} to work for it", markup=False)


@organization.command("list")
def list_organizations(as_json: AsJson = False) -> None:
    """List the organizations of the database, with their SIMs and the newest day of usage."""
    from services.organizations import organizations

    with opened() as runtime:
        rows = organizations(runtime.server.simsight)
    columns = ("name", "sims", "newest_day", "rows_of_usage", "data_note", "created_at")
    print_rows(rows, columns, as_json=as_json, none="no organization")


@organization.command("remove")
def remove(
    name: Annotated[str, typer.Argument(help="Short name of the organization.")],
    confirm: Annotated[
        str | None, typer.Option(help="The name again: delete; without it only show what would be deleted.")
    ] = None,
    by: By = None,
) -> None:
    """Delete an organization with all its rows and its folder of reports: without --confirm only show how many rows."""
    import shutil

    from services.access.downstream_logins import list_logins, revoke_login
    from services.deletion import delete_organization

    if confirm is not None and confirm != name:
        raise UsageError(f"--confirm {confirm}: to delete the organization, type its name, {name}")
    with opened() as runtime:
        for login in list_logins(runtime.server.simsight, name) if confirm else ():
            revoke_login(runtime.server.simsight, name, login.login, by=_who(by))
        rows = delete_organization(runtime.server.simsight, name, by=_who(by), dry_run=confirm is None)
        if confirm:
            shutil.rmtree(runtime.settings.home / "reports" / name, ignore_errors=True)
    _show(rows, done=confirm is not None)


def _who(by: str | None) -> str:
    import getpass

    return by or f"user {getpass.getuser()}"


def _show(rows: dict[str, int], *, done: bool) -> None:
    for table, number in rows.items():
        console.print(f"{table}: {number}", markup=False)
    total = sum(rows.values())
    console.print(f"{total} rows deleted or erased" if done else f"{total} rows would be deleted or erased")
