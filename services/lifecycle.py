"""The life of every SIM: states as of a day and the history of what moved them, written all or nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Any

import polars as pl

from ml.lifecycle import (
    ACTIVITY_SCHEMA,
    ENTRY_SCHEMA,
    PREVIOUS_SCHEMA,
    QUOTA_EVENT_SCHEMA,
    SIM_SCHEMA,
    STATES,
    VERSION,
    LifecycleRules,
    evaluate,
)
from ml.plots.lifecycle import plot_states
from resources.database.session import Merged, Row, Transaction
from resources.runtime import Runtime
from services.inputs import HISTORY_DAYS

# what came late is found by looking at the days before the last evaluation again
LATE_DAYS = 7
SHOWN_DAYS = 90
BEGINNING = date(1970, 1, 1)
COUNT_SCHEMA = {"as_of": pl.Date, "state": pl.String, "sims": pl.Int64}


@dataclass
class _Told:
    """What blocks came to: SIMs by state, transitions and changes by kind, rows written."""

    states: Counter[str] = field(default_factory=Counter)
    moves: Counter[tuple[str | None, str]] = field(default_factory=Counter)
    changes: Counter[str] = field(default_factory=Counter)
    merged: Merged = field(default_factory=Merged)
    entries: Merged = field(default_factory=Merged)
    refused: int = 0

    def add(self, other: _Told) -> None:
        self.states += other.states
        self.moves += other.moves
        self.changes += other.changes
        self.merged += other.merged
        self.entries += other.entries
        self.refused += other.refused


def evaluate_lifecycle(runtime: Runtime, as_of: date) -> dict[str, Any]:
    """Derive every SIM's state as of a day and write what changed, all or nothing; returns metadata.

    Blocks of SIMs follow one another in one transaction: memory grows with the block, and readers see the old day or
    the new one.
    """
    now = effective_at(as_of, runtime.clock(), runtime.settings.lateness_days)
    told = _Told()
    with runtime.database.transaction() as transaction:
        transaction.row("lifecycle_lock")
        last = transaction.row("lifecycle_evaluated_to")
        last_day: date | None = last["as_of"] if last else None
        if last_day and last_day > as_of:
            return {"evaluated": f"no: states already stand as of {last_day}"}
        blocks = transaction.rows("lifecycle_blocks", {"size": runtime.settings.block_sims})
        for block in blocks:
            step = partial(_evaluate_block, runtime, transaction, block, as_of=as_of, now=now, last_day=last_day)
            told.add(transaction.retried(step))
        ordered = transaction.row("lifecycle_ordered", {"now": now})
        counts = _counts(told.states, ordered["sims"] if ordered else 0)
        transaction.stage("merge_state_counts", counts)
        transaction.execute("merge_state_counts", {"as_of": as_of, "now": runtime.clock()})
        days = _shown(transaction, as_of)
        if told.entries.new:
            transaction.rows("analyze_new_tables")
    return {
        "as of": as_of.isoformat(),
        "dagster/row_count": told.states.total(),
        **{f"sims {state}": count for state, count in counts.iter_rows()},
        "transitions": told.moves.total(),
        "transitions by kind": {f"{before or 'new'} to {after}": n for (before, after), n in told.moves.most_common()},
        "transitions refused": told.refused,
        "device changes": told.changes["imei_change"],
        "country changes": told.changes["country_change"],
        "history entries new": told.entries.new,
        "states new": told.merged.new,
        "states changed": told.merged.changed,
        "blocks": len(blocks),
        "states of the fleet": plot_states(days, note=runtime.data_note),
    }


def _evaluate_block(
    runtime: Runtime, transaction: Transaction, block: Row, *, as_of: date, now: datetime, last_day: date | None
) -> _Told:
    """Derive the states of the SIMs with keys from first_key to last_key and write what changed."""
    rules = LifecycleRules(deactivated_days=runtime.settings.deactivated_days)
    previous = transaction.frame("lifecycle_previous", PREVIOUS_SCHEMA, block)
    known = {"as_of": as_of, "now": now, "lateness": runtime.settings.lateness_days}
    sims = transaction.frame("lifecycle_facts", SIM_SCHEMA, block | known)
    activity = transaction.frame("lifecycle_activity", ACTIVITY_SCHEMA, block | {"as_of": as_of, "days": HISTORY_DAYS})
    # a history that begins needs everything; one that goes on, what is new and what came late
    window = block | {"first": last_day - timedelta(days=LATE_DAYS) if last_day else BEGINNING, "now": now}
    quota_events = transaction.frame("lifecycle_quota_events", QUOTA_EVENT_SCHEMA, window)
    changes = transaction.frame("lifecycle_changes", ENTRY_SCHEMA, window)
    lives = evaluate(sims, activity, quota_events, previous, as_of=as_of, now=now, rules=rules)
    decided = {"as_of": as_of, "decided_by": VERSION, "decided_at": runtime.clock()}
    entries = pl.concat([lives.entries, changes, _top_ups(quota_events)]).with_row_index("place")
    news = lives.states.join(previous, on=list(PREVIOUS_SCHEMA), how="anti", nulls_equal=True)
    return _Told(
        states=Counter(dict(lives.states["state"].value_counts().iter_rows())),
        moves=Counter(lives.entries.select("from_value", "to_value").iter_rows()),
        changes=Counter(changes["kind"].to_list()),
        merged=transaction.merge("merge_sim_states", _with_decision(news, decided)),
        entries=transaction.merge("add_lifecycle_entries", _with_decision(entries, decided)),
        refused=lives.refused,
    )


def effective_at(as_of: date, now: datetime, lateness_days: int) -> datetime:
    """Return the moment at which an evaluation as of a day is effective.

    The moment is now, but not after the end of the day on which `as_of` became the last complete day.
    """
    return min(now, datetime.combine(as_of + timedelta(days=1 + lateness_days), time.max, UTC))


def _top_ups(quota_events: pl.DataFrame) -> pl.DataFrame:
    """Top-ups as entries of the history, in the order of their days."""
    return (
        quota_events.filter(pl.col("kind") == "top_up")
        .sort("sim_key", "day", "quota", "evidence")
        .select(
            "sim_key",
            "kind",
            occurred_on="day",
            from_value=pl.lit(None, dtype=pl.String),
            to_value="quota",
            evidence="evidence",
        )
    )


def _with_decision(rows: pl.DataFrame, decided: dict[str, Any]) -> pl.DataFrame:
    return rows.with_columns(pl.lit(value).alias(name) for name, value in decided.items())


def _counts(states: Counter[str], ordered: int) -> pl.DataFrame:
    """SIMs in each state, every state listed, also at zero."""
    found = dict(states) | {"ordered": ordered}
    return pl.DataFrame({"state": STATES, "sims": [found.get(state, 0) for state in STATES]})


def _shown(transaction: Transaction, as_of: date) -> pl.DataFrame:
    return transaction.frame("state_counts", COUNT_SCHEMA, {"as_of": as_of, "days": SHOWN_DAYS})
