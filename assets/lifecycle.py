"""The life of every SIM: which state it is in, and the history of states, devices, countries and top-ups."""

from datetime import date, timedelta
from typing import Any

import dagster as dg
import polars as pl

from assets.common import DAYS, OWNERS, RuntimeParam, as_of_days, picture
from assets.forecast import load_history, load_quotas
from assets.sources import UTC_TIME
from ml.alerts import silence
from ml.lifecycle import FACTS_SCHEMA, MACHINE, STATES, lifecycle
from ml.plots import plot_states
from resources.runtime import Runtime

FIRST_LOOK_DAYS = 400
# events and quotas may come late: look at the days before the last evaluation again
OVERLAP_DAYS = 7
KNOWN_SCHEMA = {
    name: FACTS_SCHEMA[name]
    for name in ("sim_key", "status", "activated_on", "refused", "disabled_on", "covered_to", "was", "was_since")
}


@dg.asset(
    deps=["usage_history", "sim_quota", "sim_events"],
    partitions_def=DAYS,
    group_name="alerts",
    kinds={"python", "postgres"},
    owners=OWNERS,
    metadata={"dagster/table_name": "core.sim_states"},
)
def sim_lifecycle(context: dg.AssetExecutionContext, runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """The state of every SIM as of a day (the partition), by one state machine, with its history and evidence.

    States: issued, activated, active, silent, suspended, expired, deactivated (docs/lifecycle.md). Changes of device and
    country and top-ups are in the same history. A day before the last evaluated one changes nothing.
    """
    metadata: dict[str, Any] = {}
    for as_of in as_of_days(context):
        metadata = evaluate_lifecycle(runtime, as_of)
    return dg.MaterializeResult(metadata=metadata)


def evaluate_lifecycle(runtime: Runtime, as_of: date) -> dict[str, Any]:
    """Run the state machine as of a day and store what changed, all or nothing; returns metadata."""
    last = (runtime.database.row("lifecycle_evaluated_to") or {"as_of": None})["as_of"]
    if last and last > as_of:
        return {"evaluated": f"no: states already stand as of {last}"}
    now = runtime.clock()
    facts = lifecycle_facts(runtime, as_of)
    states = lifecycle(facts, as_of=as_of)
    decided = states.with_columns(
        pl.lit(as_of).alias("decided_as_of"),
        pl.lit(MACHINE).alias("decided_by"),
        pl.lit(now).cast(UTC_TIME).alias("decided_at"),
    )
    since = last - timedelta(days=OVERLAP_DAYS) if last else as_of - timedelta(days=FIRST_LOOK_DAYS)
    with runtime.database.transaction() as transaction:
        begun = transaction.row(
            "begin_sweep", {"source": "lifecycle", "first_day": as_of, "last_day": as_of, "now": now}
        )
        assert begun is not None
        merged = transaction.merge("merge_sim_states", decided)
        added = transaction.rows(
            "add_lifecycle_events", {"since": since, "as_of": as_of, "now": now, "decided_by": MACHINE}
        )
        transaction.execute("finish_sweep", {"sweep_id": begun["sweep_id"], "now": now})
    counts = dict(states["state"].value_counts().iter_rows())
    return {
        "as of": as_of.isoformat(),
        **{f"SIMs {state}": counts[state] for state in STATES if state in counts},
        "SIMs new": merged.new,
        "SIMs in another state": merged.changed,
        "SIMs whose facts contradict their state": int(states["held"].sum()),
        **{f"new {row['kind']}": row["added"] for row in added},
        "dagster/row_count": states.height,
        "states": picture(plot_states(counts, as_of=as_of, note=runtime.data_note)),
    }


def lifecycle_facts(runtime: Runtime, as_of: date) -> pl.DataFrame:
    """One row a SIM with what the state machine looks at (ml.lifecycle.FACTS_SCHEMA)."""
    database = runtime.database
    known = database.frame("lifecycle_facts", KNOWN_SCHEMA, {"as_of": as_of})
    habits = silence(load_history(database, as_of), as_of=as_of)
    return known.join(load_quotas(database, as_of), on="sim_key", how="left", maintain_order="left").join(
        habits, on="sim_key", how="left", maintain_order="left"
    )
