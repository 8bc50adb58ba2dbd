"""The life of every SIM: its present state and the history of what moved it there."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import dagster as dg
import polars as pl

from assets.common import DAYS, OWNERS, RuntimeParam, picture
from assets.forecast import HISTORY_DAYS
from ml.lifecycle import (
    ACTIVITY_SCHEMA,
    KNOWN_SCHEMA,
    PREVIOUS_SCHEMA,
    QUOTA_EVENT_SCHEMA,
    RUN_SCHEMA,
    SIM_SCHEMA,
    STATES,
    VERSION,
    LifecycleRules,
    evaluate,
    value_changes,
)
from ml.plots import plot_states
from resources.database import Transaction
from resources.runtime import Runtime

# what came late is found by looking at the days before the last evaluation again
LATE_DAYS = 7
SHOWN_DAYS = 90
BEGINNING = date(1970, 1, 1)
STORED_SCHEMA = PREVIOUS_SCHEMA | {
    "imei": pl.String,
    "imei_since": pl.Date,
    "country": pl.String,
    "country_since": pl.Date,
}
COUNT_SCHEMA = {"as_of": pl.Date, "state": pl.String, "sims": pl.Int64}


@dg.asset(
    deps=["usage_history", "sim_quota", "sim_events", "sim_connectivity", "orders"],
    partitions_def=DAYS,
    group_name="alerts",
    kinds={"python", "postgres"},
    owners=OWNERS,
    metadata={"dagster/table_name": "core.sim_states"},
)
def sim_lifecycle(context: dg.AssetExecutionContext, runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """The state of every SIM as of a day (the partition): ordered, issued, activated, active, silent, suspended, expired or
    deactivated, by one state machine, with its history: when, from what evidence, who decided.

    Changes of device and of visited country and top-ups are in the history too. A day before the last evaluated one changes
    nothing: states move forward in time only. Read it through `core.sim_states_v1` and `core.sim_lifecycle_v1`.
    """
    return dg.MaterializeResult(metadata=evaluate_lifecycle(runtime, date.fromisoformat(context.partition_key)))


def evaluate_lifecycle(runtime: Runtime, as_of: date) -> dict[str, Any]:
    """Derive every SIM's state as of a day and write what changed, all or nothing; returns metadata."""
    now = stands_for(as_of, runtime.clock(), runtime.settings.lateness_days)
    rules = LifecycleRules(deactivated_days=runtime.settings.deactivated_days)
    with runtime.database.transaction() as transaction:
        transaction.row("lifecycle_lock")
        last = transaction.row("lifecycle_evaluated_to")
        last_day: date | None = last["as_of"] if last else None
        if last_day and last_day > as_of:
            return {"evaluated": f"no: states already stand as of {last_day}"}
        stored = transaction.frame("lifecycle_states", STORED_SCHEMA)
        sims = transaction.frame(
            "lifecycle_facts",
            SIM_SCHEMA,
            {"as_of": as_of, "now": now, "lateness": runtime.settings.lateness_days},
        )
        activity = transaction.frame("lifecycle_activity", ACTIVITY_SCHEMA, {"as_of": as_of, "days": HISTORY_DAYS})
        # a history that begins needs everything; one that goes on, what is new and what came late
        window = {"first": last_day - timedelta(days=LATE_DAYS) if last_day else BEGINNING, "now": now}
        quota_events = transaction.frame("lifecycle_quota_events", QUOTA_EVENT_SCHEMA, window)
        runs = transaction.frame("lifecycle_runs", RUN_SCHEMA, window)
        lives = evaluate(sims, activity, quota_events, stored, as_of=as_of, now=now, rules=rules)
        changes, noted = value_changes(runs, _known(stored))
        decided = {"as_of": as_of, "decided_by": VERSION, "decided_at": runtime.clock()}
        entries = pl.concat(
            [lives.entries, _in_words(changes), _top_ups(quota_events)],
        ).with_row_index("place")
        merged = transaction.merge("merge_sim_states", _said(_changed(lives.states, stored, noted), decided))
        added = transaction.merge("add_lifecycle_entries", _said(entries, decided))
        ordered = transaction.row("lifecycle_ordered", {"now": now})
        counts = _counts(lives.states, ordered["sims"] if ordered else 0)
        transaction.stage("merge_state_counts", counts)
        transaction.execute("merge_state_counts", {"as_of": as_of, "now": runtime.clock()})
        days = _shown(transaction, as_of)
        if added.new:
            transaction.rows("analyze_new_tables")
    moved = lives.entries.group_by("from_value", "to_value").len().sort("len", descending=True)
    return {
        "as of": as_of.isoformat(),
        "dagster/row_count": lives.states.height,
        **{f"sims {state}": count for state, count in counts.iter_rows()},
        "transitions": lives.entries.height,
        "transitions by kind": {f"{before or 'new'} to {after}": n for before, after, n in moved.iter_rows()},
        "transitions refused": lives.refused,
        "device changes": changes.filter(pl.col("kind") == "imei").height,
        "country changes": changes.filter(pl.col("kind") == "country").height,
        "history entries new": added.new,
        "states new": merged.new,
        "states changed": merged.changed,
        "states of the fleet": picture(plot_states(days, note=runtime.data_note)),
    }


def stands_for(as_of: date, now: datetime, lateness_days: int) -> datetime:
    """The moment an evaluation as of a day stands for: now, or the end of the day on which `as_of` became the last complete day."""
    return min(now, datetime.combine(as_of + timedelta(days=1 + lateness_days), time.max, UTC))


def _known(stored: pl.DataFrame) -> pl.DataFrame:
    """Device and country as remembered, one row a SIM and kind (KNOWN_SCHEMA)."""
    kinds = [
        stored.filter(pl.col(kind).is_not_null()).select(
            "sim_key", kind=pl.lit(kind), value=pl.col(kind), since=pl.col(f"{kind}_since")
        )
        for kind in ("imei", "country")
    ]
    return pl.concat(kinds).select(pl.col(name).cast(kind) for name, kind in KNOWN_SCHEMA.items())


def _changed(states: pl.DataFrame, stored: pl.DataFrame, noted: pl.DataFrame) -> pl.DataFrame:
    """The rows of core.sim_states that are new or differ from what is stored."""
    wide = states.join(stored.select("sim_key", "^(imei|country).*$"), on="sim_key", how="left")
    for kind in ("imei", "country"):
        news = noted.filter(pl.col("kind") == kind).select("sim_key", news="value", news_since="since")
        wide = (
            wide.join(news, on="sim_key", how="left")
            .with_columns(
                pl.coalesce("news", kind).alias(kind), pl.coalesce("news_since", f"{kind}_since").alias(f"{kind}_since")
            )
            .drop("news", "news_since")
        )
    return wide.join(stored, on=list(STORED_SCHEMA), how="anti", nulls_equal=True)


def _in_words(changes: pl.DataFrame) -> pl.DataFrame:
    return changes.with_columns(kind=pl.col("kind") + "_change")


def _top_ups(quota_events: pl.DataFrame) -> pl.DataFrame:
    """Top-ups as entries of the history."""
    nothing = pl.lit(None, dtype=pl.String)
    return quota_events.filter(pl.col("kind") == "top_up").select(
        "sim_key", "kind", occurred_on="day", from_value=nothing, to_value=nothing, evidence="evidence"
    )


def _said(rows: pl.DataFrame, decided: dict[str, Any]) -> pl.DataFrame:
    return rows.with_columns(pl.lit(value).alias(name) for name, value in decided.items())


def _counts(states: pl.DataFrame, ordered: int) -> pl.DataFrame:
    """SIMs in each state, every state listed, also at zero."""
    found = dict(states["state"].value_counts().iter_rows()) | {"ordered": ordered}
    return pl.DataFrame({"state": STATES, "sims": [found.get(state, 0) for state in STATES]})


def _shown(transaction: Transaction, as_of: date) -> pl.DataFrame:
    return transaction.frame("state_counts", COUNT_SCHEMA, {"as_of": as_of, "days": SHOWN_DAYS})
