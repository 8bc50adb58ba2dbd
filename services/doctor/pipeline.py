"""What runs by itself: Dagster's daemon, schedules and sensors, runs, messages, the age of the data."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from resources.database.run_storage import Daemon, daemon_of, failed_runs
from resources.runtime import Runtime
from services.doctor.checks import Check, failed, ok, warning

# without these data, predictions or messages stop; the others serve what not everybody uses
ESSENTIAL = (
    "alert_outbox",
    "daily_predictions",
    "daily_tidying",
    "due_training",
    "hourly_ingest",
    "hourly_rules",
    "pipeline_watch",
    "run_failures",
    "stream_arrivals",
)
SILENT_S = 1800  # as long as the UI takes to call a daemon unhealthy
OUTBOX_LATE = timedelta(minutes=15)
DATA_LATE = timedelta(days=3)


def dagster(runtime: Runtime) -> Iterator[Check]:
    """Dagster's storage, its daemon, what is switched on, runs that hang or failed."""
    server = runtime.server
    found = daemon_of(server.dagster)
    if found is None:
        yield ok("Dagster", "its storage answers; the first run makes its tables")
        return
    yield ok("Dagster", "its storage answers")
    yield from _daemon(found, meant=runtime.settings.schedules)
    if found.heard:
        yield from _switched(found)
    if found.stuck:
        runs = "; ".join(f"{job} {run_id[:8]} {status} for {hours:.0f} h" for run_id, job, status, hours in found.stuck)
        yield warning("runs", f"stuck: {runs}", "look at them in the Dagster UI; terminate what no longer works")
    elif lost := failed_runs(server.dagster, timedelta(days=7)):
        yield warning("runs", f"{lost} failed in the last 7 days, none is stuck", "see them in the Dagster UI")
    else:
        yield ok("runs", "none is stuck, none failed in the last 7 days")


def _daemon(found: Daemon, *, meant: bool) -> Iterator[Check]:
    start = "start Dagster's daemon (`simsight dev` has one): nothing runs by itself without it"
    if not found.heard:
        level = failed if meant else warning
        yield level("daemon", "none has run", start)
        return
    silent = {kind: age for kind, (age, _) in found.heard.items() if age > SILENT_S}
    errors = {kind: error for kind, (_, error) in found.heard.items() if error}
    if silent:
        level = failed if meant or len(silent) < len(found.heard) else warning
        yield level(
            "daemon", f"not heard for {min(silent.values()) / 60:.0f} minutes: {', '.join(sorted(silent))}", start
        )
    elif errors:
        told = "; ".join(f"{kind}: {error}" for kind, error in sorted(errors.items()))
        yield warning("daemon", f"alive, with errors: {told}", "see the daemon's log and the Dagster UI, Deployment")
    else:
        yield ok("daemon", f"alive: {', '.join(sorted(found.heard))}")


def _switched(found: Daemon) -> Iterator[Check]:
    off = sorted(
        {name for name in ESSENTIAL if not found.switched.get(name)} | {n for n, on in found.switched.items() if not on}
    )
    if off:
        yield warning(
            "schedules and sensors",
            f"off: {', '.join(off)}",
            "switch on in the Dagster UI what you need, or all of them by SIMSIGHT_SCHEDULES=true",
        )
    else:
        yield ok("schedules and sensors", f"{len(found.switched)} are on")


def outbox(runtime: Runtime) -> Iterator[Check]:
    """Whether messages leave."""
    now = runtime.clock()
    found = runtime.database.row("undelivered", {"now": now}) or {}
    problems = []
    if found["disabled"]:
        problems.append(f"disabled channels: {', '.join(found['disabled'])}")
    if found["lost"]:
        problems.append(f"{found['lost']} messages of the last week did not arrive, or may not have")
    if found["due_since"] and now - found["due_since"] > OUTBOX_LATE:
        problems.append(f"messages are due since {found['due_since']:%Y-%m-%d %H:%M} UTC")
    if problems:
        yield warning(
            "messages",
            "; ".join(problems),
            "see `simsight channels problems`; `simsight channels test` tries a channel",
        )
    else:
        yield ok("messages", "none is late or lost")


def data(runtime: Runtime) -> Iterator[Check]:
    """How old the newest usage is."""
    newest = (runtime.database.row("newest_usage_day") or {})["day"]
    if newest is None:
        yield ok("data", "no usage is stored yet")
    elif runtime.last_complete_day() - newest > DATA_LATE:
        yield warning(
            "data", f"the newest day of usage is {newest}", "see the runs of `ingest`; `simsight ingest` asks now"
        )
    else:
        yield ok("data", f"the newest day of usage is {newest}")
