"""`simsight run`, `simsight demo`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from pipelines.cli.common import DAY, console, end_with, runtime_of
from resources.errors import SimsightError
from resources.settings import SettingsError, load_settings

app = typer.Typer()


@app.command()
def demo(
    sims: Annotated[int, typer.Option(min=1, max=100_000, help="SIMs of the simulated fleet.")] = 500,
    days: Annotated[int, typer.Option(min=30, max=180, help="Days of history to ingest.")] = 180,
) -> None:
    """Run the whole pipeline once and sum up; on a simulated fleet unless a 1NCE account is set.

    Run again, it continues the same fleet: only what a new day brings changes.
    """
    from pipelines.demo import run_demo
    from pipelines.runs import refuse_future
    from resources.database.server import only_one

    settings = load_settings()
    refuse_future(settings)
    with only_one(settings.home / "demo.lock", "a demo"):
        raise typer.Exit(run_demo(settings, console, sims=sims, days=days))


@app.command()
def run(
    as_of: Annotated[datetime | None, typer.Option(**DAY, help="As-of day; default: the last complete day.")] = None,
    stale: Annotated[
        bool, typer.Option("--stale", help="Instead: score again the days whose usage was corrected since.")
    ] = False,
) -> None:
    """Check the data, train, forecast, alert and report as of a day."""
    from pipelines.demo import prepare
    from pipelines.runs import refuse_future, run_job

    settings = load_settings()
    refuse_future(settings)
    with runtime_of(settings) as runtime:
        newest = runtime.last_complete_day()
        day = as_of.date() if as_of else newest
        if not settings.first_day <= day <= newest:
            raise SettingsError(
                f"--as-of {day}: expected a day from {settings.first_day} to {newest}, the last complete day"
            )
        prepare(runtime)
        if stale:
            from services.scoring import invalidated_days

            stretches = invalidated_days(runtime)
            for begun, end, _ in stretches:
                console.print(f"as of {begun}" + (f" to {end}" if end != begun else ""))
                end_with(run_job(runtime, "rescore", first=begun, last=end))
            if not stretches:
                console.print("no prediction is stale")
            return
        if not (runtime.database.row("fleet_size") or {}).get("sims"):
            raise SimsightError(
                "there is no SIM in the database yet: run `simsight ingest` first (where it finds none, the 1NCE "
                "account has none yet: order SIMs there), or `simsight demo` to try it on simulated SIMs"
            )
        end_with(run_job(runtime, "predict", first=day))
