"""The whole pipeline once, from HTTP to report: over a simulated fleet, or over the 1NCE account that is set."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from ml.plain_text import one_line
from ml.words import STARTER_CHURN, count, day, percent, so_many
from pipelines.console import print_table
from pipelines.runs import RunOutcome, run_job
from resources.database.migrations import ensure_organization, migrate
from resources.runtime import Runtime
from resources.settings import Settings, SettingsError
from services.status import collect

# what is asked of 1NCE, and what of it on the last day of API v1: the rest comes by API v2 as well
BY_API = (
    "sims",
    "sim_usage",
    "sim_quota",
    "sim_connectivity",
    "sim_events",
    "sim_sms",
    "products",
    "orders",
    "tickets",
)
LAST_OF_V1 = ("sims", "sim_usage", "products", "orders", "tickets")
SIMULATED_CLOCK = time(
    6, tzinfo=UTC
)  # a simulated day is looked at in the morning, so that looking again changes nothing


# the simulated account is a hybrid one: this share of its SIMs, the newest, is on Platform 2.0, unknown to API v1
PLATFORM2_SHARE = 0.1
# the demo's day is so long after the end of API v1; 1NCE's stream can be replayed for longer
V1_ENDED_DAYS = 5
REPLAYED_DAYS = 7
V1_ENDS_DAYS = 35


@dataclass(frozen=True)
class Simulated:
    """The simulated account of this home folder: where it is served, and the file that says what its fleet is.

    v1_until  the day from which on API v1 is gone; None: never
    is_asked  whether API v1 was asked for the past while it answered
    """

    base_url: str
    plan: Path
    v1_until: date | None
    is_asked: bool

    def note_asked(self) -> None:
        """Write down that API v1 was asked for the past."""
        self.plan.write_text(json.dumps(json.loads(self.plan.read_text()) | {"asked_v1": True}))


@contextmanager
def account(
    settings: Settings, console: Console, *, sims: int, days: int, live: bool = False
) -> Iterator[tuple[Settings, Simulated | None]]:
    """Yield the settings with an account to poll: the 1NCE account that is set, else a simulated one.

    The simulator runs in a process of its own as long as the block. It is a hybrid account whose API v1 has ended some
    days before a demo, and has some weeks left when the fleet is first used live. Its Data Streamer writes files.

    live   the simulated fleet lives by the present time; else its day stands at six in the morning, and before API v1
           was asked for the past, on the last morning that it answers
    """
    if settings.account_problem:
        raise SettingsError(settings.account_problem)
    if settings.once_username and settings.once_password:
        console.print(f"Polling the 1NCE account of {settings.once_username} at {settings.once_base_url}.")
        yield settings, None
        return
    from pydantic import SecretStr

    from simulator.own_process import simulator_process

    today = settings.clock().date()
    path = settings.home / "simulated-fleet.json"
    plan = _plan(
        path,
        sims=sims,
        start=today - timedelta(days=days),
        seed=settings.seed,
        v1_until=today + timedelta(days=V1_ENDS_DAYS if live else -V1_ENDED_DAYS),
    )
    now = settings.clock() if live else datetime.combine(today, SIMULATED_CLOCK)
    stream = settings.home / "simulated-stream"
    v1_until = date.fromisoformat(plan["v1_until"]) if "v1_until" in plan else None
    is_asked = live or plan.get("asked_v1", False) or v1_until is None or v1_until > today
    if not is_asked and v1_until:
        now = datetime.combine(v1_until - timedelta(days=1), SIMULATED_CLOCK)
    replayed = min(now.date(), today - timedelta(days=REPLAYED_DAYS))
    with simulator_process(
        seed=plan["seed"],
        sims=plan["sims"],
        start=date.fromisoformat(plan["start"]),
        now=now,
        live=live,
        v1_until=v1_until,
        platform2_share=plan.get("platform2_share", 0.0),
        stream_folder=stream if v1_until else None,
        stream_from=datetime.combine(replayed, time(tzinfo=UTC)),
    ) as base_url:
        ends = f"whose API v1 is gone since {v1_until}" if v1_until and v1_until <= today else "with API v1 and v2"
        console.print(
            "No ONCE_USERNAME and ONCE_PASSWORD are set: polling a [bold]simulator[/bold] of the 1NCE API at "
            f"{base_url}, {ends}, a fleet of {plan['sims']} SIMs since {plan['start']}. "
            "Its data is [bold]synthetic[/bold]; its rate limit is lifted."
        )
        polled = settings.model_copy(
            update={
                "once_base_url": base_url,
                "once_username": "demo",
                "once_password": SecretStr("demo"),
                "once_unlimited": True,
                "now": None if live else now,
                "stream_files": settings.stream_files or (str(stream.resolve()) if v1_until else None),
            }
        )
        yield polled, Simulated(base_url, path, v1_until, is_asked)


def _plan(path: Path, *, sims: int, start: date, seed: int, v1_until: date) -> dict[str, Any]:
    """The simulated fleet of this home folder: fixed when it is first used, so that later days continue it."""
    if path.exists():
        plan: dict[str, Any] = json.loads(path.read_text())
        return plan
    path.parent.mkdir(parents=True, exist_ok=True)
    plan = {
        "seed": seed,
        "sims": sims,
        "start": start.isoformat(),
        "v1_until": v1_until.isoformat(),
        "platform2_share": PLATFORM2_SHARE,
    }
    path.write_text(json.dumps(plan))
    return plan


def called_as() -> str:
    """How this command was called, to be written before a subcommand: a name on the PATH, a path or a module."""
    program = sys.argv[0]
    if program.endswith("__main__.py"):
        return f"{Path(sys.executable).name} -m pipelines.cli"
    return Path(program).name if shutil.which(Path(program).name) == program else program


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
    """Ingest, predict and sum up; returns the exit code.

    A simulated fleet that is new is asked twice: on the last morning of API v1 for the usage of its past, which API v2
    does not give, and today, when usage comes from the Data Streamer and from looks at the quotas.
    """
    with account(settings, console, sims=sims, days=days) as (polled, simulated), Runtime(polled) as runtime:
        console.print(f"Database: {'embedded PostgreSQL' if runtime.server.embedded else 'PostgreSQL'}, migrating.")
        prepare(runtime)
        runtime.once()  # says at once when the database holds the data of another kind of account
        log_in(polled)
        if simulated is None or simulated.is_asked:
            return _ingest_and_predict(runtime, console, [], days)
        today, last = settings.clock().date(), runtime.clock().date()
        first = today - timedelta(days=days - 1)
        console.print(f"Ingest on the last day of API v1, usage from {first} to {last}:")
        asked = run_job(runtime, "ingest", first=first, last=last, assets=LAST_OF_V1)
        if not asked.success:
            return summarize(runtime, console, [asked])
        simulated.note_asked()
        with Runtime(_moved(polled, simulated, today)) as later:
            return _ingest_and_predict(later, console, [asked], days)


def _moved(polled: Settings, simulated: Simulated, today: date) -> Settings:
    """The settings on another simulated day, to which the simulator moves."""
    from simulator.own_process import move_clock

    now = datetime.combine(today, SIMULATED_CLOCK)
    move_clock(simulated.base_url, now)
    return polled.model_copy(update={"now": now})


def _ingest_and_predict(runtime: Runtime, console: Console, runs: list[RunOutcome], days: int) -> int:
    today = runtime.clock().date()
    booked_to = (runtime.database.row("newest_usage_day") or {})["day"]
    streamed = runtime.settings.stream_files is not None
    first = min(booked_to, today) if booked_to else today - timedelta(days=days - 1)
    console.print(f"Ingest, usage from {first} to {today}:")
    # records of the stream are processed when their SIMs are listed, and usage is booked when both are there
    runs.append(run_job(runtime, "ingest", first=first, last=today, assets=BY_API if streamed else None))
    if streamed:
        console.print("Records of the Data Streamer:")
        runs += [run_job(runtime, "read_stream_files"), run_job(runtime, "process_stream")]
    as_of = runtime.last_complete_day()
    if all(run.success for run in runs):
        console.print(f"Predictions as of {as_of}, the last complete day:")
        runs.append(run_job(runtime, "predict", first=as_of))
    return summarize(runtime, console, runs)


def summarize(runtime: Runtime, console: Console, runs: list[RunOutcome]) -> int:
    """Say what there is now, and what did not go well; returns the exit code (0, 1 failed, 3 stopped by a check)."""
    from services.forecasting import describe_backtest, fleet_expected, fleet_forecast

    status = collect(runtime)
    console.print()
    note = f" ({runtime.data_note})" if runtime.data_note else ""
    console.print(
        f"[bold]{so_many(status['sims'], 'SIM')}[/bold]{note}, "
        f"{count(status['usage_rows'])} usage rows up to {status['newest_usage_day']}"
    )
    if status["champion"]:
        tested = status["champion"]["backtest"]
        console.print(
            f"{count(status['forecasts'])} forecasts; "
            f"model {status['champion']['model_name']} version {status['champion']['model_version']}. "
            f"{describe_backtest(tested)}"
        )
    for of in fleet_expected(fleet_forecast(runtime.database)):
        console.print(f"Expected of the fleet in the next {of.days} days: {of.text}")
    first = runtime.database.rows("first_to_end", {"top": 5})
    if first:
        _print_first_to_end(console, first)
    kinds = ", ".join(f"{count(alerts)} {kind}" for kind, alerts in status["open_alerts_by_kind"].items()) or "none"
    console.print(f"Open alerts: {kinds}. Quarantined rows: {count(status['quarantined_rows'])}.")
    if sorted_out := runtime.database.row("ticket_summary"):
        console.print(
            f"Support tickets: {count(sorted_out['tickets'])}, of high priority and unsolved "
            f"{count(sorted_out['urgent'])}, for a person to decide {count(sorted_out['to_person'])}."
        )
    if leaving := runtime.database.row("churn_summary"):
        console.print(
            f"Churn: of {so_many(leaving['sims'], 'SIM')} {leaving['expected']:.1f} are expected to leave within "
            f"90 days; at high risk {count(leaving['high'])}, at medium risk {count(leaving['medium'])}."
            + (f" {STARTER_CHURN}" if leaving["starter"] else "")
        )
    else:
        console.print(
            "Churn: no model yet: too few SIMs have left to learn from; the line churn_model above says how many."
        )
    if (money := runtime.database.row("quota_fleet", {"as_of": None})) and money["state"] != "no_prices":
        content = money["content"]
        stake, saving = (f"{content[name] / 100:,.0f}" for name in ("at_stake_minor", "saving_minor"))
        console.print(
            f"Money: {content['currency']} {stake} at stake in a year, of which recommendations are expected "
            f"to save {saving} on {so_many(sum(action['sims'] for action in content['actions']), 'SIM')}; "
            f"{so_many(content['zombies']['sims'], 'SIM', 'does nothing and costs', 'do nothing and cost')}."
        )
    failed = [check for run in runs for check in run.failed_checks]
    console.print(f"Checks: {sum(run.checks for run in runs) - len(failed)} passed, {len(failed)} did not.")
    for name, found, blocking in failed:
        console.print(f"  [{'red' if blocking else 'yellow'}]{name}[/]: {escape(found)}")
    for run in runs:
        for error in run.errors:
            console.print(f"  [red]{escape(error)}[/red]")
    report = runtime.settings.report_folder.resolve() / "fleet-latest.html"
    if report.exists():
        console.print(f"Report: {report}")
    console.print(f"Dashboard: {called_as()} serve --sign-in")
    console.print(f"Dagster UI: {called_as()} dev    API: {called_as()} serve    Figures: {called_as()} status")
    if any(run.blocked for run in runs):
        return 3
    return 0 if all(run.success for run in runs) else 1


def _print_first_to_end(console: Console, first: list[dict[str, Any]]) -> None:
    """Print the rows of the query first_to_end."""
    headings = ["ICCID", "label", "by", "in 14 days", "likely"]
    rows = [(row, escape(one_line(row["label"] or ""))) for row in first]
    cells = [[row["iccid"], label, row["cause"], percent(row["p_14"]), day(row["p50_date"])] for row, label in rows]
    print_table(console, headings, cells, title="Who runs out first")
