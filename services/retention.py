"""Delete rows of days that were kept long enough: by SIMSIGHT_USAGE_DAYS and SIMSIGHT_PREDICTION_DAYS."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from resources.runtime import Runtime

BATCH_ROWS = 50_000


def purge_days(runtime: Runtime) -> dict[str, int]:
    """Delete what is kept long enough of the organization's days; returns the rows by table.

    A piece is a transaction, the oldest first: stopped, it goes on the next time. Where the server has chunks of 30
    days, a row goes with its chunk, up to 30 days later. Without a setting nothing is deleted. What the fleet used a
    day (core.daily_totals) stays.
    """
    deleted: Counter[str] = Counter()
    settings = runtime.settings
    for kind, days in (("usage", settings.usage_days), ("predictions", settings.prediction_days)):
        if days is None:
            continue
        before = (runtime.clock() - timedelta(days=days)).date()
        if kind == "usage":
            with runtime.database.transaction() as transaction:
                transaction.execute("close_totals", {"before": before})
        asked = {"kind": kind, "before": before, "most": BATCH_ROWS}
        while (piece := runtime.database.row("purge_next", asked) or {})["named"]:
            deleted[piece["named"]] += piece["rows"]
    return dict(deleted)
