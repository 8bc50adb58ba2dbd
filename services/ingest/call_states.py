"""What is known of the calls to 1NCE, kept in the database between one process and the next."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import polars as pl

from resources.database.session import Database
from resources.once.calls import CALLS, VERSIONS, Api, CallBook, CallState
from resources.once.client import OnceClient
from services.ingest.schemas import UTC_TIME, Schema

SCHEMA: Schema = {
    "call": pl.String,
    "version": pl.String,
    "last_success_at": UTC_TIME,
    "gone_since": UTC_TIME,
    "checked_at": UTC_TIME,
}


def load(database: Database, book: CallBook) -> CallBook:
    """Fill a client's book with what is known."""
    for row in database.rows("once_calls"):
        if row["call"] in CALLS and row["version"] in VERSIONS:
            state = CallState(row["last_success_at"], row["gone_since"], row["checked_at"])
            book.learn(row["call"], row["version"], state)
    return book


def save(database: Database, once: OnceClient, now: datetime) -> None:
    """Keep what a client has learnt of calls, and add what it asked to the figures of the organization."""
    book, rows = once.calls, []
    for call, version in sorted(book.changed):
        state = book.states[call, version]
        rows.append((call, version, state.last_success_at, state.gone_since, state.checked_at))
    if rows:
        with database.transaction() as transaction:
            transaction.merge("merge_once_calls", pl.DataFrame(rows, schema=SCHEMA, orient="row"))
    book.changed.clear()
    if once.stats.requests:
        figures = ("requests", "retries", "throttled", "reauthentications", "breaker_open")
        database.rows("add_once_use", {name: getattr(once.stats, name) for name in figures} | {"now": now})


def call_states(database: Database, api: Api, now: datetime) -> tuple[dict[str, dict[str, Any]], CallBook]:
    """Return each call with the version in use (None: gone), its last success and since when which version is gone."""
    book = load(database, CallBook(api))
    states: dict[str, dict[str, Any]] = {}
    for call in CALLS:
        if call == "sim":  # nothing asks for one SIM
            continue
        version = book.in_use(call, now)
        known = {v: book.states[call, v] for v in VERSIONS if (call, v) in book.states}
        states[call] = {
            "version": version,
            "last_success_at": max((s.last_success_at for s in known.values() if s.last_success_at), default=None),
            **{f"{v}_gone_since": state.gone_since for v, state in known.items() if state.gone_since},
        }
        if not book.versions(call):
            states[call]["note"] = f"not in API {api}"
    return states, book
