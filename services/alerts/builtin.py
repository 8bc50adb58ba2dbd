"""The alerts that need no rule of the user's: exhaustion, quota, silence."""

from datetime import date
from typing import Any

import polars as pl

from ml.alerts import AlertRules, alert_candidates
from ml.anomaly.seasons import idle_periods
from ml.silence import silence
from resources.runtime import Runtime
from services.alerts.evaluation import past
from services.anomalies.seasons import recent_days, seasonally_idle_sims
from services.inputs import load_quotas, usage_in_blocks

SIMS_AT_ONCE = 5_000  # on the way, how long they were silent takes seven times the memory of their usage
FACTS_SCHEMA = {
    "sim_key": pl.Int32,
    "status": pl.String,
    "scoring_id": pl.Int32,
    "exhaustion_status": pl.String,
    "p_14": pl.Float64,
    "p50_date": pl.Date,
}


def evaluate_alerts(runtime: Runtime, as_of: date) -> dict[str, Any]:
    """Open, keep and close alerts as of a day; returns metadata. A past day changes nothing."""
    if why := past(runtime, as_of):
        return {"evaluated": why}
    database, settings = runtime.database, runtime.settings
    last = database.row("alerts_evaluated_to")
    if last and last["as_of"] and last["as_of"] > as_of:
        return {"evaluated": f"no: alerts already stand as of {last['as_of']}"}
    facts = alert_facts(runtime, as_of)
    rules = AlertRules(
        exhaustion_info=settings.exhaustion_probability,
        exhaustion_warning=max(settings.exhaustion_probability, 0.75),
        exhaustion_critical=max(settings.exhaustion_probability, 0.9),
        quota_warning=settings.quota_share,
    )
    holding = alert_candidates(facts, rules).join(facts.select("sim_key", "scoring_id"), on="sim_key", how="left")
    with database.transaction() as transaction:
        transaction.stage("update_alerts", holding)
        counts = transaction.row("update_alerts", {"as_of": as_of, "now": runtime.clock()}) or {}
    by_kind = {f"holding {kind}": n for kind, n in holding["kind"].value_counts(sort=True).iter_rows()}
    return {"as of": as_of.isoformat(), **counts, **by_kind, "dagster/row_count": holding.height}


def alert_facts(runtime: Runtime, as_of: date) -> pl.DataFrame:
    """Return one row for each SIM with what the built-in alerts look at.

    A SIM that has ended already has no probability of the end. The silence of a SIM that has ended, is disabled or is
    idle in its season is explained: such a SIM has no last active day.
    """
    database = runtime.database
    facts = database.frame("alert_facts", FACTS_SCHEMA, {"as_of": as_of})
    ended = pl.col("exhaustion_status").is_in(["exhausted", "expired"]).fill_null(False)
    habits, resting, users = _habits(runtime, as_of)
    idle = seasonally_idle_sims(database, resting, users, as_of, lateness=runtime.settings.lateness_days)
    explained = ended | (pl.col("status") == "Disabled").fill_null(False) | pl.col("sim_key").is_in(idle.implode())
    return (
        facts.join(load_quotas(database, as_of), on="sim_key", how="left")
        .join(habits, on="sim_key", how="left")
        .with_columns(
            pl.lit(as_of).alias("as_of"),
            pl.when(~ended).then(pl.col("p_14")).alias("p_14"),
            pl.when(~explained).then(pl.col("last_active_day")).alias("last_active_day"),
            pl.col("usual_gap_days").alias("active_gap_p99_days"),
        )
    )


def _habits(runtime: Runtime, as_of: date) -> tuple[pl.DataFrame, pl.DataFrame, pl.Series]:
    """Return how long SIMs have been silent, their idle periods, and which SIMs have usage of recent days.

    Usage is read a block of SIMs at a time: memory grows with the block. Raises NoUsageError when there is none.
    """
    silences, resting, users = [], [], []
    for history in usage_in_blocks(runtime.database, as_of, min(runtime.settings.block_sims, SIMS_AT_ONCE)):
        recent = recent_days(history, as_of)
        silences.append(silence(history, as_of=as_of))
        resting.append(idle_periods(recent, as_of))
        users.append(recent["sim_key"].unique())
        del history, recent  # else they would be held while the next block is read
    return pl.concat(silences), pl.concat(resting), pl.concat(users)
