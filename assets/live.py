"""Anomalies of the days under way: what the Data Streamer just brought, held against limits prepared with the closed days."""

from datetime import datetime, timedelta
from math import log10
from typing import Any

from resources.runtime import Runtime

# a batch that a run left behind is looked at by the next
LOOK_BACK = timedelta(minutes=30)


def detect_live(runtime: Runtime, *, now: datetime | None = None) -> dict[str, Any]:
    """Hold the days under way of all SIMs heard of in the last half hour against their limits, in one statement, and open their alerts; anomalies by kind.

    No model is asked. What it finds is marked `live` until its day is closed and looked at again.
    """
    now = now or runtime.clock()
    score = 3 - log10(runtime.settings.false_alarms)
    with runtime.database.transaction() as transaction:
        rows = transaction.rows("live_anomalies", {"since": now - LOOK_BACK, "now": now, "score": score})
        if rows:
            transaction.row("anomaly_alerts", {"as_of": runtime.last_complete_day(), "now": now})
    return {f"live {row['kind']}": row["new"] for row in rows if row["new"]}
