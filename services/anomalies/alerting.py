"""Alerts of anomalies and incidents."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resources.database.session import Database


def alert_anomalies(database: Database, *, as_of: date, now: datetime) -> dict[str, int]:
    """Open, keep and close the alerts of incidents, then those of anomalies that belong to none; counts by name.

    Each kind is a transaction of its own: two statements on alerts in one transaction could deadlock with another run.
    """
    done: dict[str, int] = {}
    for kind in ("incident", "anomaly"):
        with database.transaction() as transaction:
            transaction.rows("anomaly_lock")
            counts = transaction.row(f"{kind}_alerts", {"as_of": as_of, "now": now}) or {}
        done |= {f"{kind} alerts {name}": counts[name] for name in ("opened", "updated", "closed")}
    return done
