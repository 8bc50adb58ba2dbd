"""`simsight organization`: the customers of a deployment, for its administrator."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated

import typer

from pipelines.cli.common import AsJson, By, console, moment, opened, print_rows, show_deleted, who
from resources.errors import UsageError

organization = typer.Typer(
    help="Add, list, pause, resume, set and remove organizations of the database.",
    no_args_is_help=True,
)
Name = Annotated[str, typer.Argument(help="Short name of the organization.")]


@organization.command("add")
def add(name: Annotated[str, typer.Argument(help="Short name: a to z, 0 to 9 and -.")]) -> None:
    """Add an organization; schedules and sensors work for it from then on. Adding again does nothing."""
    from resources.database.migrations import ensure_organization

    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", name):
        raise UsageError(f"{name!r} cannot name an organization: use up to 63 of a to z, 0 to 9 and -, no - first")
    with opened() as runtime:
        ensure_organization(runtime.server.simsight, name)
    console.print(
        f"the organization {name} is there: `simsight organization set {name}` gives it a 1NCE account", markup=False
    )


@organization.command("list")
def list_organizations(as_json: AsJson = False) -> None:
    """List the organizations: paused or active, SIMs, newest day, last ingest and failure, requests to 1NCE."""
    from services import organizations

    with opened() as runtime:
        rows = organizations.organizations(runtime.server.simsight, runtime.clock())
    columns = (
        "name",
        "state",
        "account",
        "sims",
        "newest_day",
        "last_ingest",
        "requests_this_month",
        "requests_per_hour",
    )
    print_rows(rows, (*columns, "last_failure", "failure"), as_json=as_json, none="no organization")


@organization.command("pause")
def pause(name: Name) -> None:
    """Let nothing run for an organization and ask 1NCE nothing for it; its data can still be read."""
    from services import organizations

    with opened() as runtime:
        since = organizations.pause(runtime.server.simsight, name, paused=True)
    console.print(f"{name} is paused since {since:%Y-%m-%d %H:%M} UTC; what runs now goes on to its end", markup=False)


@organization.command("resume")
def resume(name: Name) -> None:
    """Let the schedules and sensors work for an organization again."""
    from services import organizations

    with opened() as runtime:
        organizations.pause(runtime.server.simsight, name, paused=False)
    console.print(f"{name} is active", markup=False)


@organization.command("set")
def set_settings(
    name: Name,
    values: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME=VALUE]...", help="Settings; an empty value takes one away.")
    ] = None,
    as_json: AsJson = False,
    by: By = None,
) -> None:
    """Give an organization settings of its own, by the names of .env.example; without any, show those it has.

    ONCE_USERNAME and ONCE_PASSWORD are said by reference: env:NAME of a variable, or file:/path of a file.
    """
    from services import organizations

    given = dict(text.partition("=")[::2] for text in values or ())
    if wrong := [text for text in values or () if "=" not in text]:
        raise UsageError(f"{wrong[0]}: write NAME=VALUE")
    with opened() as runtime:
        if given:
            organizations.set_settings(runtime.server.simsight, runtime.settings, name, given, by=who(by))
        rows = organizations.settings_of(runtime.server.simsight, name)
    print_rows(rows, ("name", "value", "changed_at", "changed_by"), as_json=as_json, none="none of its own")


@organization.command("bill")
def bill(
    month: Annotated[
        datetime | None, typer.Option(parser=moment("%Y-%m", "YYYY-MM"), metavar="YYYY-MM", help="Default: this month.")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="As CSV.")] = False,
    as_json: AsJson = False,
) -> None:
    """What each organization used in a month: SIMs with usage, rows of usage, requests to 1NCE and to the HTTP service.

    SIMs and rows are counted as they are kept now.
    """
    from services import organizations

    with opened() as runtime:
        rows = organizations.bills(runtime.server.simsight, (month or runtime.clock()).date())
    columns = ("organization", "sims", "usage_rows", "once_requests", "api_requests")
    if as_csv:
        typer.echo(
            "\n".join(",".join(map(str, line)) for line in [columns, *([row[c] for c in columns] for row in rows)])
        )
        return
    print_rows(rows, columns, as_json=as_json, none="no organization")


@organization.command("remove")
def remove(
    name: Name,
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
            revoke_login(runtime.server.simsight, name, login.login, by=who(by))
        rows = delete_organization(runtime.server.simsight, name, by=who(by), dry_run=confirm is None)
        if confirm:
            shutil.rmtree(runtime.settings.home / "reports" / name, ignore_errors=True)
    show_deleted(rows, done=confirm is not None)
