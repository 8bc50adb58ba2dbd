"""Store incidents: the daily run and the live detection begin or continue them."""

import json
from datetime import datetime

import polars as pl

from ml.anomaly import Grouped
from ml.anomaly.incidents import FAMILIES
from resources.database.session import Transaction


def save_incidents(transaction: Transaction, grouped: Grouped, *, model_version: int, now: datetime) -> pl.DataFrame:
    """Begin or continue incidents, of which there are few; returns their members: sim_key, day, kind, incident_id.

    To be called under anomaly_lock.
    """
    keys: dict[int, int] = {}
    for row in grouped.incidents.iter_rows(named=True):
        of_it = grouped.members.filter(pl.col("number") == row["number"])
        family = next(kinds for kinds in FAMILIES.values() if of_it["kind"][0] in kinds)
        saved = transaction.row(
            "save_incident",
            {
                "kinds": [*family, "fleet_event"],
                "kind": row["kind"],
                "title": row["title"],
                "scope": json.dumps({name: value for name, value in row["scope"].items() if value is not None}),
                "severity": row["severity"],
                "sim_keys": of_it["sim_key"].unique().to_list(),
                "last_day": row["last_day"],
                "model_version": model_version,
                "now": now,
            },
        )
        assert saved is not None
        keys[row["number"]] = saved["incident_id"]
    named = pl.DataFrame(
        {"number": list(keys), "incident_id": list(keys.values())}, schema={"number": pl.Int32, "incident_id": pl.Int64}
    )
    return grouped.members.join(named, on="number").drop("number")
