"""`simsight downstream`: logins of PostgreSQL for dashboards and notebooks."""

from __future__ import annotations

from datetime import UTC, datetime
from getpass import getuser
from typing import Annotated

import typer

from pipelines.cli.common import console, opened

downstream = typer.Typer(
    help="Make, list and revoke logins of PostgreSQL that read this organization with SQL of their own.",
    no_args_is_help=True,
)
Name = Annotated[str, typer.Argument(help="Name of the login.")]


@downstream.command("create")
def create(name: Name) -> None:
    """Make a login for the organization and print what a client needs: the password is shown this once."""
    from services.access.downstream_logins import create_login

    with opened() as runtime:
        url = runtime.server.simsight
        password = create_login(url, runtime.settings.organization, name, now=datetime.now(UTC), by=f"user {getuser()}")
        server = url.host or url.query.get("host")
        typer.echo(f"database: {url.database} at {server}\nlogin:    {name}\npassword: {password}")


@downstream.command("list")
def list_all() -> None:
    """List the logins of the organization (never their passwords)."""
    from services.access.downstream_logins import list_logins

    with opened() as runtime:
        found = list_logins(runtime.server.simsight, runtime.settings.organization)
    for one in found:
        console.print(f"{one.login}: made {one.created_at:%Y-%m-%d}", markup=False)
    if not found:
        console.print("no login")


@downstream.command("revoke")
def revoke(name: Name) -> None:
    """End a login and its sessions at once."""
    from services.access.downstream_logins import revoke_login

    with opened() as runtime:
        revoke_login(runtime.server.simsight, runtime.settings.organization, name, by=f"user {getuser()}")
        console.print(f"{name} is revoked", markup=False)
