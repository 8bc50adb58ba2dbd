"""The fleet's facts as plain values for the dashboard, which reads them as they are: a page costs one row."""

from __future__ import annotations

from typing import Any

import orjson
import polars as pl

from services.forecasting import describe_backtest, fleet_expected
from services.quota.policy import describe_policy
from services.reports.fleet import FleetFacts
from services.reports.html import recent_usage

LISTS = ("states", "incidents", "top_consumers", "recommendations", "changes", "quarantine")


def summarize(facts: FleetFacts) -> str:
    """The content of predictions.fleet_summaries, as JSON; volumes in bytes, money in minor units, days as YYYY-MM-DD.

    daily      day, bytes: two lists, the last 90 days
    forecast   day, mean, low and high (80 %): lists; empty without a forecast
    The lists of SIMs are the first of longer ones, as in the report.
    """
    known = facts.daily
    if facts.data["first_day"]:
        known = known.filter(pl.col("day") >= facts.data["first_day"])
    content: dict[str, Any] = {
        "probability": facts.probability,
        "figures": facts.figures,
        "daily": known.to_dict(as_series=False),
        "forecast": facts.fleet.select("day", "mean", low="q10", high="q90").to_dict(as_series=False),
        "expected": [vars(one) for one in fleet_expected(facts.fleet)],
        "recent": [recent_usage(facts, days) for days in (7, 30)],
        "model": {
            "version": facts.model["model_version"],
            "backtest": describe_backtest(facts.model["metrics"]),
        }
        if facts.model
        else None,
        "first_ends": facts.first_ends.to_dicts(),
        "data": facts.data,
        "money": facts.money["content"] if facts.money else None,
        "policy": describe_policy(facts.policy) if facts.policy else "",
        "grades": facts.grades,
    } | {name: getattr(facts, name) for name in LISTS}
    return orjson.dumps(content, option=orjson.OPT_UTC_Z).decode()
