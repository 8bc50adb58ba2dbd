"""The whole pipeline once, from HTTP to report: over a simulated fleet, or over the 1NCE account that is set."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from pipelines.runs import RunOutcome, run_job
from resources.database.migrations import ensure_organization, migrate
from resources.runtime import Runtime
from resources.settings import Settings
from services.status import collect

SIMULATED_CLOCK = time(
    6, tzinfo=UTC
)  # a simulated day is looked at in the morning, so that looking again changes nothing


@contextmanager
def account(settings: Settings, console: Console, *, sims: int, days: int, live: bool = False) -> Iterator[Settings]:
    """Yield the settings with an account to poll: the 1NCE account that is set, else a simulated one.

    The simulator runs in a process of its own as long as the block.

    live   the simulated fleet lives by the present time; else its day stands at six in the morning
    """
    if settings.once_username and settings.once_password:
        console.print(f"Polling the 1NCE account of {settings.once_username} at {settings.once_base_url}.")
        yield settings
        return
    from pydantic import SecretStr

    from simulator.own_process import simulator_process

    today = settings.clock().date()
    plan = _plan(
        settings.home / "simulated-fleet.json", sims=sims, start=today - timedelta(days=days), seed=settings.seed
    )
    now = settings.clock() if live else datetime.combine(today, SIMULATED_CLOCK)
    start = date.fromisoformat(plan["start"])
    with simulator_process(seed=plan["seed"], sims=plan["sims"], start=start, now=now) as base_url:
        console.print(
            "No ONCE_USERNAME and ONCE_PASSWORD are set: polling a [bold]simulator[/bold] of the 1NCE API at "
            f"{base_url}, a fleet of {plan['sims']} SIMs since {plan['start']}. "
            "Its data is [bold]synthetic[/bold]; its rate limit is lifted."
        )
        yield settings.model_copy(
            update={
                "once_base_url": base_url,
                "once_username": "demo",
                "once_password": SecretStr("demo"),
                "once_unlimited": True,
                "now": None if live else now,
            }
        )


def _plan(path: Path, *, sims: int, start: date, seed: int) -> dict[str, Any]:
    """The simulated fleet of this home folder: fixed when it is first used, so that later days continue it."""
    if path.exists():
        plan: dict[str, Any] = json.loads(path.read_text())
        return plan
    path.parent.mkdir(parents=True, exist_ok=True)
    plan = {"seed": seed, "sims": sims, "start": start.isoformat()}
    path.write_text(json.dumps(plan))
    return plan


def prepare(runtime: Runtime) -> None:
    """Bring the database to the newest schema and add the organization if it is new."""
    migrate(runtime.server.simsight)
    ensure_organization(runtime.server.simsight, runtime.settings.organization)


def log_in(settings: Settings) -> None:
    """Log in to the 1NCE account and read one SIM, so that a wrong account is found at once. Raises OnceError."""
    import asyncio

    from resources.once.calls import CallBook
    from resources.once.client import OnceClient

    async def look() -> None:
        assert settings.once_username is not None
        assert settings.once_password is not None
        async with OnceClient(
            base_url=settings.once_base_url,
            username=settings.once_username,
            password=settings.once_password,
            max_attempts=2,
            calls=CallBook(settings.once_api),
            now=settings.clock,
        ) as once:
            await once.look()

    asyncio.run(look())


def run_demo(settings: Settings, console: Console, *, sims: int, days: int) -> int:
    """Ingest, predict and sum up; returns the exit code."""
    with account(settings, console, sims=sims, days=days) as polled, Runtime(polled) as runtime:
        console.print(f"Database: {'embedded PostgreSQL' if runtime.server.embedded else 'PostgreSQL'}, migrating.")
        prepare(runtime)
        runtime.once()  # says at once when the database holds the data of another kind of account
        log_in(polled)
        today = runtime.clock().date()
        had = (runtime.database.row("status", {"now": runtime.clock()}) or {})["newest_usage_day"]
        first = min(had, today) if had else today - timedelta(days=days - 1)
        console.print(f"Ingest, usage from {first} to {today}:")
        ingested = run_job(runtime, "ingest", first=first, last=today)
        as_of = runtime.last_complete_day()
        predicted = None
        if ingested.success:
            console.print(f"Predictions as of {as_of}, the last complete day:")
            predicted = run_job(runtime, "predict", first=as_of)
        return summarize(runtime, console, [run for run in (ingested, predicted) if run])


def summarize(runtime: Runtime, console: Console, runs: list[RunOutcome]) -> int:
    """Say what there is now, and what did not go well; returns the exit code (0, 1 failed, 3 stopped by a check)."""
    status = collect(runtime)
    console.print()
    note = f" ({runtime.data_note})" if runtime.data_note else ""
    console.print(
        f"[bold]{status['sims']} SIMs[/bold]{note}, "
        f"{status['usage_rows']} usage rows up to {status['newest_usage_day']}"
    )
    if status["champion"]:
        tested = status["champion"]["backtest"]
        console.print(
            f"{status['forecasts']} forecasts; "
            f"model {status['champion']['model_name']} version {status['champion']['model_version']}: "
            f"error {tested.get('rmase', float('nan')):.2f} of repeating last week's, its 80 % interval covered "
            f"{tested.get('coverage_80', float('nan')):.0%} of unseen days"
        )
    first = runtime.database.rows("first_to_end", {"top": 5})
    if first:
        table = Table(title="Who runs out first", title_justify="left", box=SIMPLE)
        for heading in ("ICCID", "label", "by", "in 14 days", "likely"):
            table.add_column(heading, no_wrap=True)
        for row in first:
            table.add_row(row["iccid"], row["label"], row["cause"], f"{row['p_14']:.0%}", str(row["p50_date"]))
        console.print(table)
    kinds = ", ".join(f"{count} {kind}" for kind, count in status["open_alerts_by_kind"].items()) or "none"
    console.print(f"Open alerts: {kinds}. Quarantined rows: {status['quarantined_rows']}.")
    failed = [check for run in runs for check in run.failed_checks]
    console.print(f"Checks: {sum(run.checks for run in runs) - len(failed)} passed, {len(failed)} did not.")
    for name, found, blocking in failed:
        console.print(f"  [{'red' if blocking else 'yellow'}]{name}[/]: {found}", markup=True)
    for run in runs:
        for error in run.errors:
            console.print(f"  [red]{error}[/red]")
    report = runtime.settings.report_folder.resolve() / "fleet-latest.html"
    if report.exists():
        console.print(f"Report: {report}")
    console.print("Dagster UI: make dev    API: make serve    Figures: .venv/bin/simsight status")
    if any(run.blocked for run in runs):
        return 3
    return 0 if all(run.success for run in runs) else 1
