"""`simsight api-key`, `simsight stream`: keys of the HTTP service and credentials of streams."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from pipelines.cli.common import console, runtime_of
from resources.settings import load_settings

keys = typer.Typer(help="Make, list, rotate and revoke keys of the HTTP service.", no_args_is_help=True)
streams = typer.Typer(help="Make, list and revoke streams of 1NCE's Data Streamer.", no_args_is_help=True)


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    days: Annotated[int | None, typer.Option(min=1, help="Valid for so many days; default: until revoked.")] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option(help="What it may do: read, alerts, actions, admin; repeatable. Default: read."),
    ] = None,
    role: Annotated[
        list[str] | None,
        typer.Option(help="What it is: viewer, operator, approver, administrator; each has its scopes; repeatable."),
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Scopes read and alerts.")] = False,
    act: Annotated[bool, typer.Option("--act", help="Scopes read and actions: it may spend money at 1NCE.")] = False,
    network: Annotated[
        list[str] | None, typer.Option("--from", help="Where it may be used from, such as 203.0.113.0/24; repeatable.")
    ] = None,
    for_tokens: Annotated[
        bool,
        typer.Option("--for-tokens", help="Let tokens of the identity provider in, with these scopes at most."),
    ] = False,
) -> None:
    """Make a key for the organization and print it: it is shown this once."""
    from services.access import api_keys
    from services.access.tokens import oidc_of

    if unknown := set(role or ()) - api_keys.ROLES.keys():
        raise api_keys.ApiKeyError(f"there is no role {min(unknown)}; there are {', '.join(api_keys.ROLES)}")
    scopes = {
        *(scope or []),
        *api_keys.scopes_in(role or ()),
        *(["read"] if write or act or not (scope or role) else []),
    }
    scopes |= ({"alerts"} if write else set()) | ({"actions"} if act else set())
    settings = load_settings()
    oidc = oidc_of(settings) if for_tokens else None
    if for_tokens and oidc is None:
        raise api_keys.ApiKeyError("--for-tokens needs an identity provider: set SIMSIGHT_OIDC_ISSUER")
    with runtime_of(settings) as runtime:
        runtime.check_schema()
        key = api_keys.new_key() if oidc is None else oidc.key_of(settings.organization)
        api_keys.store_key(
            runtime.database,
            name,
            key,
            now=datetime.now(UTC),
            valid_for=timedelta(days=days) if days else None,
            scopes=scopes,
            networks=network or [],
            by=_me(),
            for_tokens=for_tokens,
        )
        typer.echo(f"tokens of {settings.organization} are accepted" if for_tokens else key)


@keys.command("list")
def list_keys() -> None:
    """List the organization's keys (never the keys themselves)."""
    from services.access import api_keys

    with runtime_of(load_settings()) as runtime:
        runtime.check_schema()
        for key in api_keys.list_keys(runtime.database):
            state = f"revoked {key.revoked_at:%Y-%m-%d}" if key.revoked_at else ""
            if not state and key.expires_at:
                state = f"{'expires' if key.live else 'expired'} {key.expires_at:%Y-%m-%d %H:%M}"
            parts = [f"made {key.created_at:%Y-%m-%d}", state or "valid", "may " + ", ".join(key.scopes)]
            parts += [f"rotated {key.rotated_at:%Y-%m-%d}"] if key.rotated_at else []
            parts += [f"from {' '.join(key.networks)}"] if key.networks else []
            parts += ["for tokens"] if key.for_tokens else []
            console.print(f"{key.name}: {', '.join(parts)}", markup=False)


@keys.command("rotate")
def rotate_key(
    name: Annotated[str, typer.Argument(help="Name of the key.")],
    hours: Annotated[float, typer.Option("--overlap", min=0, help="Hours that the old key works on.")] = 24.0,
) -> None:
    """Make a successor of a key, of the same rights, and print it: it is shown this once."""
    from services.access import api_keys

    with runtime_of(load_settings()) as runtime:
        runtime.check_schema()
        made = api_keys.rotate_key(
            runtime.database, name, now=datetime.now(UTC), overlap=timedelta(hours=hours), by=_me()
        )
        typer.echo(made.key)
        typer.echo(f"the old key works until {made.old_until:%Y-%m-%d %H:%M} UTC", err=True)


@keys.command("revoke")
def revoke_key(name: Annotated[str, typer.Argument(help="Name of the key.")]) -> None:
    """Make a key stop working at once, and old ones of its name that still work."""
    from services.access import api_keys

    with runtime_of(load_settings()) as runtime:
        runtime.check_schema()
        api_keys.revoke_key(runtime.database, name, by=_me())
        console.print(f"{name} is revoked", markup=False)


def _me() -> str:
    return f"user {getpass.getuser()}"


@streams.command("create")
def create_stream(name: Annotated[str, typer.Argument(help="What the stream is for.")]) -> None:
    """Make a stream for the organization and print what 1NCE's portal asks for: the secret is shown this once."""
    from services.access import stream_credentials as known

    with runtime_of(load_settings()) as runtime:
        runtime.check_schema()
        made = known.create_stream(runtime.database, name, now=runtime.clock(), by=_me())
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
        known.revoke_stream(runtime.database, name, now=runtime.clock(), by=_me())
        console.print(f"{name} is revoked", markup=False)
