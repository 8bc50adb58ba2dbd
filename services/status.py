"""What the pipeline holds and how fresh it is, as plain values: for `simsight status`, scripts and tests."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
import psycopg

from resources.database.migrations import schema_version, storage_grade
from resources.database.run_storage import failed_runs
from resources.database.server import describe, driver_url
from resources.database.session import Transaction
from resources.once.calls import CallBook, v1_warning
from resources.once.errors import problem_in_words
from resources.runtime import Runtime
from services.backup import newest_verified
from services.ingest.call_states import call_states
from services.ingest.poll_planner import LEARN_DAYS, RESOLUTIONS, STATE_SCHEMA, resolution
from services.ingest.staleness import staleness
from services.known_models import specs
from services.model_specs import FORECASTER


def collect(runtime: Runtime) -> dict[str, Any]:
    """Return counts, champion, storage grade and freshness of the organization for JSON (times as ISO 8601, UTC)."""
    server = runtime.server
    with psycopg.connect(driver_url(server.simsight, "").render_as_string(hide_password=False)) as connection:
        grade, version = storage_grade(connection), schema_version(connection)
        backup = newest_verified(connection)
    calls, book = call_states(runtime.database, runtime.settings.once_api, runtime.clock())
    with runtime.database.transaction() as transaction:
        counts = transaction.row("status", {"now": runtime.clock()}) or {}
        champion = transaction.row("champion", {"model_name": FORECASTER})
        alerts = transaction.rows("alerts_by_kind")
        fresh = transaction.rows("freshness")
        problems = transaction.rows("poll_problems")
        polled = _polled(transaction, runtime.clock(), book)
        incidents = transaction.rows("open_incidents")
    failed = failed_runs(server.dagster, timedelta(days=7))
    warnings = {"API v1": warning} if (warning := v1_warning(book, runtime.clock())) else {}
    if failed is None:
        warnings["runs"] = "Dagster's database does not answer: whether runs failed is not known"
    followed = resolution(polled, now=runtime.clock()).value_counts(name="sims")
    sims_followed = dict(followed.iter_rows())
    status = {
        "organization": runtime.settings.organization,
        "data": runtime.data_note or "1NCE account",
        "now": runtime.clock(),
        **counts,
        "failed_runs_last_week": failed,
        "open_alerts_by_kind": _by(alerts, "kind", "alerts"),
        "open_incidents": {
            row["kind"]: f"since {row['opened_at']:%Y-%m-%d %H:%M} UTC: {row['message']}" for row in incidents
        },
        "champion": champion
        and {
            "model_name": champion["model_name"],
            "model_version": champion["model_version"],
            "run_id": champion["run_id"],
            "as_of": champion["as_of"],
            "trained_at": champion["created_at"],
            "backtest": champion["metrics"],
        },
        "sims_without_an_answer": {
            f"{row['source']}: {problem_in_words(row['problem'])}": row["sims"] for row in problems
        },
        "calls": calls,
        "warnings": warnings,
        "hours_since_usage_and_quota": {
            row["class"]: {
                "sims": row["sims"],
                "never": row["never_answered"],
                "median": row["median_hours"],
                "max": row["max_hours"],
            }
            for row in staleness(polled, now=runtime.clock()).iter_rows(named=True)
        },
        "usage_resolution": {name: sims_followed[name] for name in RESOLUTIONS if name in sims_followed},
        "storage": {
            "grade": grade.name,
            "postgresql": grade.postgres,
            "timescaledb": grade.timescaledb,
            "embedded": server.embedded,
            "database": describe(server.simsight),
            "schema_version": version,
        },
        "backup": backup,
        "freshness": {row["name"]: {"changed_at": row["changed_at"], "asked_at": row["asked_at"]} for row in fresh},
    }
    plain = _plain(status)
    assert isinstance(plain, dict)
    return plain


def _polled(transaction: Transaction, now: datetime, book: CallBook) -> pl.DataFrame:
    """What the poll planner knows of each SIM (STATE_SCHEMA)."""
    no_usage_call = book.in_use("usage", now) is None
    return transaction.frame(
        "poll_state", STATE_SCHEMA, {"now": now, "no_usage_call": no_usage_call, "learn_days": LEARN_DAYS}
    )


def sim_resolutions(runtime: Runtime) -> list[dict[str, Any]]:
    """Return for each SIM, by ICCID, how closely its usage is followed: iccid, usage_resolution, and answered_at, when
    usage was last answered, or where the usage call does not answer its quota (ISO 8601, UTC; None: never).
    """
    now = runtime.clock()
    _, book = call_states(runtime.database, runtime.settings.once_api, now)
    with runtime.database.transaction() as transaction:
        polled = _polled(transaction, now, book)
        iccids = {row["sim_key"]: row["iccid"] for row in transaction.rows("sim_keys")}
    found = polled.select(
        "sim_key",
        resolution(polled, now=now).alias("usage_resolution"),
        pl.when("call_gone").then("looked_at").otherwise("usage_at").alias("answered_at"),
    )
    rows = [
        {"iccid": iccids[key], "usage_resolution": how, "answered_at": _plain(at)}
        for key, how, at in found.iter_rows()
        if key in iccids
    ]
    return sorted(rows, key=lambda row: row["iccid"])


def model_versions(runtime: Runtime) -> list[dict[str, Any]]:
    """Return the versions of each model for JSON, newest first: version, role, metrics, and who decided what when."""
    found = _plain(
        [
            {
                "model": spec.name,
                "version": row["model_version"],
                "role": row["role"],
                "as_of": row["as_of"],
                "trained_at": row["created_at"],
                "run_id": row["run_id"],
                "backtest": row["metrics"],
                "comparison": row["comparison"],
                "why": _why_role(row),
                "why_at_training": row["why"],
                "champion_since": row["champion_since"],
                "decided_by": row["decided_by"],
            }
            for spec in specs()
            for row in runtime.database.rows("model_versions", {"model_name": spec.name})
        ]
    )
    assert isinstance(found, list)
    return found


def _why_role(row: dict[str, Any]) -> str | None:
    """Say why a version has its present role: a rollback or another version may have changed what training decided."""
    if row["role"] == "champion":
        why = row["promoted_why"] or row["why"]
    elif row["role"] == "retired" and row["successor"]:
        why = f"version {row['successor']} took its place: {row['successor_why']}"
    else:
        why = row["why"]
    return None if why is None else str(why)


def _by(rows: list[dict[str, Any]], key: str, count: str) -> dict[str, int]:
    sums: dict[str, int] = {}
    for row in rows:
        sums[row[key]] = sums.get(row[key], 0) + row[count]
    return sums


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, datetime | date):
        return value.isoformat()
    return value
