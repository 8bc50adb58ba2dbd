"""`simsight api-key`, `simsight stream`: keys of the HTTP service and credentials of streams."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from pipelines.cli.common import console, runtime_of
from resources.settings import load_settings

keys = typer.Typer(help="Make, list and revoke keys of the HTTP service.", no_args_is_help=True)
streams = typer.Typer(help="Make, list and revoke streams of 1NCE's Data Streamer.", no_args_is_help=True)


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    days: Annotated[int | None, typer.Option(min=1, help="Valid for so many days; default: until revoked.")] = None,
    write: Annotated[bool, typer.Option("--write", help="May also act on alerts and write alert rules.")] = False,
    act: Annotated[
        bool, typer.Option("--act", help="May also request and approve actions at 1NCE, which spend money.")
    ] = False,
) -> None:
    """Make a key for the organization and print it: it is shown this once."""
    from services.access import api_keys

    with runtime_of(load_settings()) as runtime:
        runtime.check_schema()
        valid_for = timedelta(days=days) if days else None
        now = datetime.now(UTC)
        key = api_keys.create_key(runtime.database, name, now=now, valid_for=valid_for, can_write=write, may_act=act)
        typer.echo(key)


@keys.command("list")
def list_keys() -> None:
    """List the organization's keys (never the keys themselves)."""
    from services.access import api_keys

    with runtime_of(load_settings()) as runtime:
        runtime.check_schema()
        for key in api_keys.list_keys(runtime.database):
            state = f"revoked {key.revoked_at:%Y-%m-%d}" if key.revoked_at else ""
            state = state or (f"expires {key.expires_at:%Y-%m-%d}" if key.expires_at else "valid")
            rights = (", may write" if key.can_write else "") + (", may act" if key.may_act else "")
            console.print(f"{key.name}: made {key.created_at:%Y-%m-%d}, {state}{rights}", markup=False)


@keys.command("revoke")
def revoke_key(name: Annotated[str, typer.Argument(help="Name of the key.")]) -> None:
    """Make a key stop working at once."""
    from services.access import api_keys

    with runtime_of(load_settings()) as runtime:
        runtime.check_schema()
        api_keys.revoke_key(runtime.database, name)
        console.print(f"{name} is revoked", markup=False)


@streams.command("create")
def create_stream(name: Annotated[str, typer.Argument(help="What the stream is for.")]) -> None:
    """Make a stream for the organization and print what 1NCE's portal asks for: the secret is shown this once."""
    from services.access import stream_credentials as known

    with runtime_of(load_settings()) as runtime:
        runtime.check_schema()
        made = known.create_stream(runtime.database, name, now=runtime.clock())
    typer.echo(f"URL path:  {made.path}\nuser name: {made.stream_id}\npassword:  {made.secret}")


@streams.command("list")
def list_streams() -> None:
    """List the organization's streams (never their secrets) and when each last brought something."""
    from services.access import stream_credentials as known

    with runtime_of(load_settings()) as runtime:
        runtime.check_schema()
        for stream in known.list_streams(runtime.database):
            state = f"revoked {stream.revoked_at:%Y-%m-%d}" if stream.revoked_at else "valid"
            last = f"last records {stream.last_at:%Y-%m-%d %H:%M}" if stream.last_at else "no records yet"
            console.print(
                f"{stream.name}: {stream.stream_id}, made {stream.created_at:%Y-%m-%d}, {state}, {last}", markup=False
            )


@streams.command("revoke")
def revoke_stream(name: Annotated[str, typer.Argument(help="Name of the stream.")]) -> None:
    """Make a stream stop working at once; what it brought stays."""
    from services.access import stream_credentials as known

    with runtime_of(load_settings()) as runtime:
        runtime.check_schema()
        known.revoke_stream(runtime.database, name, now=runtime.clock())
        console.print(f"{name} is revoked", markup=False)
