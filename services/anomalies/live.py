"""Anomalies of the days under way: fresh usage of the Data Streamer against limits prepared from the closed days."""

from datetime import datetime, timedelta
from math import log10
from typing import Any

import polars as pl

from ml.anomaly import PEER_SCHEMA, group
from ml.anomaly.incidents import FAMILIES, MIN_INCIDENT_SIMS
from resources.database.session import Transaction
from resources.runtime import Runtime
from services.anomalies.alerting import alert_anomalies
from services.anomalies.incidents import save_incidents

# a batch that a run left behind is looked at by the next
LOOK_BACK = timedelta(minutes=30)
DAYS_UNDER_WAY = timedelta(days=2)
LIVE_SCHEMA = {
    "sim_key": pl.Int32,
    "day": pl.Date,
    "kind": pl.String,
    "severity": pl.String,
    "first_day": pl.Date,
    "model_version": pl.Int32,
}
FAMILY_OF = {kind: family for family, kinds in FAMILIES.items() for kind in kinds}


def detect_live(runtime: Runtime, *, now: datetime | None = None) -> dict[str, Any]:
    """Find anomalies of the days under way, group them into incidents and open alerts; returns new anomalies by kind.

    One statement compares all SIMs heard of in the last half hour with their limits. No model is asked. An anomaly
    found here is marked `live` until its day is closed and evaluated. The daily run continues an incident that begins
    here.
    """
    now = now or runtime.clock()
    score = 3 - log10(runtime.settings.false_alarms)
    with runtime.database.transaction() as transaction:
        transaction.rows("anomaly_lock")
        rows = transaction.rows("live_anomalies", {"since": now - LOOK_BACK, "now": now, "score": score})
        if any(row["new"] for row in rows):
            _group_live(transaction, now)
    # always: a run that was cut off here left anomalies without alerts
    alert_anomalies(runtime.database, as_of=runtime.last_complete_day(), now=now)
    return {f"live {row['kind']}": row["new"] for row in rows if row["new"]}


def _group_live(transaction: Transaction, now: datetime) -> None:
    """Let live anomalies join the incidents that they continue, or begin one where many share a cause."""
    since = {"first": now.date() - DAYS_UNDER_WAY}
    transaction.execute("join_incidents", since | {"kinds": list(FAMILY_OF), "families": list(FAMILY_OF.values())})
    live = transaction.frame("live_members", LIVE_SCHEMA, since)
    if live["sim_key"].n_unique() >= MIN_INCIDENT_SIMS:
        grouped = group(live, transaction.frame("live_attributes", PEER_SCHEMA | {"sims": pl.Int64}, since))
        newest = max(live["model_version"].to_list())
        members = save_incidents(transaction, grouped, model_version=newest, now=now)
        transaction.stage("name_incidents", members)
        transaction.execute("name_incidents")
    transaction.execute("settle_incidents", {"as_of": now.date(), "now": now})
