"""`simsight simulate`: a simulated 1NCE account."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipelines.cli.common import DAY, check_target, console
from resources.ports import listen
from resources.settings import SettingsError, load_settings

if TYPE_CHECKING:
    from simulator.stream_delivery import Opens
    from simulator.stream_feed import Shape

app = typer.Typer()


def _writable(file: Path | None) -> Path | None:
    return None if file is None else check_target(file)


@app.command()
def simulate(
    sims: Annotated[int, typer.Option(min=1, max=1_000_000, help="SIMs of the fleet.")] = 500,
    days: Annotated[int, typer.Option(min=1, help="Days the fleet has been running until today.")] = 180,
    seed: Annotated[int, typer.Option(help="The same seed gives the same fleet.")] = 7,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8800,
    rate: Annotated[
        float | None, typer.Option(min=0.1, help="Requests a second before 429; 1NCE: 10. Default: no limit.")
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(callback=_writable, help="Write what was injected into the fleet to this JSON file.")
    ] = None,
    scenario: Annotated[
        Literal["clean", "usual", "all"],
        typer.Option(help="What is done to it on purpose: nothing, the usual anomalies, or further kinds too."),
    ] = "usual",
    live: Annotated[bool, typer.Option("--live", help="Let its time go on; else it stands still until moved.")] = False,
    stream_url: Annotated[
        str | None,
        typer.Option(
            help="Post what happens to this URL, as 1NCE's Data Streamer does; secret: SIMSIGHT_STREAM_SECRET."
        ),
    ] = None,
    stream_user: Annotated[str, typer.Option(help="User name of the stream: its id.")] = "",
    stream_history: Annotated[
        int, typer.Option(min=0, max=7, help="Days of the past that the stream begins with.")
    ] = 0,
    stream_folder: Annotated[
        Path | None, typer.Option(help="Instead of posting: write what happens to files here, every 15 minutes.")
    ] = None,
    stream_shape: Annotated[
        Literal["nested", "flat", "mixed"],
        typer.Option(help="Records as Platform 1.0 sends them, as 2.0 does, or of each SIM as its platform does."),
    ] = "nested",
    v1_until: Annotated[
        datetime | None,
        typer.Option(**DAY, help="Day of its time from which on API v1 is gone (410). Default: never."),
    ] = None,
    platform2_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of SIMs on Platform 2.0, the newest ones: API v1 has them not.")
    ] = 0.0,
) -> None:
    """Serve a simulated 1NCE account (synthetic data) on this machine until Ctrl-C.

    Point Simsight at it with ONCE_BASE_URL=http://127.0.0.1:8800/management-api, ONCE_USERNAME=demo and
    ONCE_PASSWORD=demo.
    POST /simulator/clock {"now": "..."} moves its date, and a stream sends what happened meanwhile. /simulator/stream
    shows how the stream stands; POST {"restart": true} or {"replay": "..."} there.
    """
    from simulator.faults import Faults
    from simulator.fleet import Fleet
    from simulator.server import serve as serve_simulator
    from simulator.truth import write_truth

    if port:  # said before the URL is
        listen("127.0.0.1", port).close()

    now = load_settings().clock()
    stream = _stream(stream_url, stream_user, stream_folder, now - timedelta(days=stream_history), stream_shape)
    start = now.date() - timedelta(days=days)
    fleet = Fleet(seed=seed, sims=sims, start=start, scenario=scenario, platform2_share=platform2_share)
    if truth is not None:
        write_truth(fleet, truth)
        console.print(f"What was injected: {truth}")
    console.print(f"A simulated 1NCE account of {sims} SIMs (synthetic data) at http://127.0.0.1:{port}/management-api")
    serve_simulator(
        fleet,
        now=now,
        port=port,
        faults=Faults(requests_per_second=rate, total_row=True),  # real accounts send it
        live=live,
        stream=stream,
        v1_until=None if v1_until is None else v1_until.date(),
    )


def _stream(url: str | None, user: str, folder: Path | None, place: datetime, shape: Shape) -> Opens | None:
    """What sends a simulated account's records from `place` on, if anything; the secret comes from the environment."""
    from pydantic import SecretStr

    from simulator.stream_feed import TYPES, Feed
    from simulator.stream_files import Folder
    from simulator.stream_http import Streamer

    if url is None:
        return None if folder is None else lambda cards: Folder(Feed(cards, TYPES, shape), folder, place=place)
    if folder is not None:
        raise SettingsError("--stream-url and --stream-folder: give one of them")
    secret = SecretStr(os.environ.get("SIMSIGHT_STREAM_SECRET", ""))
    if not user or not secret.get_secret_value():
        raise SettingsError(
            "--stream-url: needs the stream's id in --stream-user and its secret in SIMSIGHT_STREAM_SECRET "
            "(`simsight stream create`)"
        )
    return lambda cards: Streamer(Feed(cards, TYPES, shape), url, user, secret, place=place)
