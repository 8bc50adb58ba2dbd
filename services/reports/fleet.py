"""What the fleet report says, read from the database as of a day."""

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from ml.silence import silence
from resources.database.session import Row, Transaction
from resources.once.errors import problem_in_words
from resources.runtime import Runtime
from services.forecasting import fleet_forecast
from services.inputs import HISTORY_DAYS, HISTORY_SCHEMA
from services.model_specs import QUOTA_POLICY

TOP = 20
TOP_REASONS = 10
TOP_CHURN = 10
TOP_CHANGES = 5
MAX_ALERTS = 1000  # on the page; what is beyond is a file of its own
SHOWN_DAYS = 90
DAILY_SCHEMA = {"day": pl.Date, "bytes": pl.Int64}
ENDS_SCHEMA = {
    "iccid": pl.String,
    "label": pl.String,
    "status": pl.String,
    "ends_on": pl.Date,
    "p10_date": pl.Date,
    "p90_date": pl.Date,
    "p_14": pl.Float64,
    "remaining": pl.Int64,
    "cause": pl.String,
    "total": pl.Int64,
}


@dataclass(frozen=True, eq=False)
class FleetFacts:
    """What the page shows, as of a day; every list is the top of a longer one, and says of how long.

    daily       the fleet's bytes a day, the last SHOWN_DAYS days up to as_of: day, bytes
    forecast    SIMs forecast; None without a forecast of SIMs as of the day
    fleet       the one forecast of the fleet's total (services.forecasting.FLEET_SCHEMA); empty without one as of the
                day
    model       the model version that made the SIMs' forecast, with its backtest; None without
    first_ends  the SIMs that end first (ENDS_SCHEMA)
    states      SIMs in each state of their life as of the day, from the most to the fewest; empty when not evaluated
    ticket_counts, tickets  rows of the queries ticket_counts and first_tickets
    churn_counts, churn  rows of the queries churn_counts and churn_first
    money       the row of the query quota_fleet; None without recommendations as of the day
    policy      how the recommendations did on the fleet's own past, beside the plain rules (services.quota.policy);
                None where it was not replayed
    recommendations  rows of the query recommendations_list, the highest saving first
    The other lists are rows of the query report_<name>.
    """

    organization: str
    as_of: date
    note: str
    probability: float
    figures: Row
    states: list[Row]
    daily: pl.DataFrame
    forecast: Row | None
    fleet: pl.DataFrame
    model: Row | None
    first_ends: pl.DataFrame
    incidents: list[Row]
    anomalies: list[Row]
    silent: list[Row]
    top_consumers: list[Row]
    changes: list[Row]
    places: list[Row]
    costs: list[Row]
    ticket_counts: list[Row]
    tickets: list[Row]
    churn_counts: list[Row]
    churn: list[Row]
    money: Row | None
    policy: dict[str, float] | None
    recommendations: list[Row]
    alert_days: list[Row]
    alert_counts: list[Row]
    alerts: list[Row]
    alerts_as_of: date | None
    data: Row
    grades: list[Row]
    coverage: list[Row]
    quarantine: list[Row]
    poll_problems: list[Row]


def read_facts(runtime: Runtime, as_of: date) -> FleetFacts:
    """Read everything the page shows, from the database; no clock is read."""
    probability = runtime.settings.exhaustion_probability
    day = {"as_of": as_of, "sims": None}
    with runtime.database.transaction() as transaction:
        forecast = transaction.row("report_forecast", day)
        model = transaction.row("report_model", {"scoring_id": forecast["scoring_id"]}) if forecast else None
        evaluated = transaction.row("alerts_evaluated_to")
        figures = transaction.row("report_key_figures", {**day, "probability": probability})
        data = transaction.row("report_data", {**day, "days": 30})
        assert figures is not None
        assert data is not None
        facts: dict[str, Any] = {
            "figures": figures,
            "fleet": fleet_forecast(transaction, as_of),
            "states": _states(transaction, as_of),
            "data": data,
            "daily": transaction.frame("report_fleet_days", DAILY_SCHEMA, {**day, "days": SHOWN_DAYS}),
            "first_ends": transaction.frame("report_first_ends", ENDS_SCHEMA, {**day, "top": TOP}),
            "incidents": transaction.rows("report_incidents", {**day, "days": 7, "top": TOP}),
            "anomalies": transaction.rows("worst_anomalies", {**day, "top": TOP}),
            "silent": _silent(transaction, as_of),
            "top_consumers": _top_consumers(transaction, as_of),
            "changes": transaction.rows("report_changes", {**day, "days": 7, "top": TOP_CHANGES}),
            "places": transaction.rows("report_places", {**day, "days": 30, "top": TOP}),
            "costs": transaction.rows("report_costs", day),
            "ticket_counts": transaction.rows("ticket_counts", day),
            "tickets": transaction.rows("first_tickets", {**day, "top": TOP}),
            "churn_counts": transaction.rows("churn_counts", day),
            "churn": transaction.rows("churn_first", {**day, "level": None, "cause": None, "rows": TOP_CHURN}),
            "money": transaction.row("quota_fleet", day),
            "policy": _policy(transaction, as_of),
            "recommendations": transaction.rows(
                "recommendations_list", {**day, "action": None, "decision": None, "rows": TOP}
            ),
            "alert_days": transaction.rows("report_alert_days", {**day, "days": 30}),
            "alert_counts": transaction.rows("report_alert_counts", day),
            "alerts": transaction.rows("report_alerts", {**day, "kind": None, "top": MAX_ALERTS}),
            "alerts_as_of": evaluated["as_of"] if evaluated else None,
            "grades": transaction.rows("exhaustion_counts", day),
            "coverage": transaction.rows("report_coverage", {**day, "days": 30}),
            "quarantine": transaction.rows("report_quarantine", {"top": TOP_REASONS}),
            "poll_problems": [
                {**row, "problem": problem_in_words(row["problem"])} for row in transaction.rows("poll_problems")
            ],
        }
    return FleetFacts(
        organization=runtime.settings.organization,
        as_of=as_of,
        note=runtime.data_note,
        probability=probability,
        forecast=forecast if model else None,
        model=model,
        **facts,
    )


def _policy(transaction: Transaction, as_of: date) -> dict[str, float] | None:
    """The figures of the newest replay that knew no later day."""
    versions = transaction.rows("model_versions", {"model_name": QUOTA_POLICY})
    return next((row["metrics"] for row in versions if row["as_of"] <= as_of), None)


def _states(transaction: Transaction, as_of: date) -> list[Row]:
    """state, sims: the states that SIMs are in as of the day."""
    rows = transaction.rows("state_counts", {"as_of": as_of, "days": 1})
    return sorted((row for row in rows if row["sims"]), key=lambda row: (-row["sims"], row["state"]))


def _silent(transaction: Transaction, as_of: date) -> list[Row]:
    """The longest silent SIMs with an open alert, each with its last active day, days silent and usual gap."""
    alerts = transaction.rows("report_alerts", {"as_of": as_of, "sims": None, "kind": "silent", "top": TOP})
    if not alerts:
        return []
    which = {"sim_keys": [row["sim_key"] for row in alerts], "as_of": as_of, "days": HISTORY_DAYS}
    habits = silence(transaction.frame("report_usage_of_sims", HISTORY_SCHEMA, which), as_of=as_of)
    by_sim = {row["sim_key"]: row for row in habits.iter_rows(named=True)}
    unknown = {"last_active_day": None, "days_silent": None, "usual_gap_days": None}
    rows = [row | by_sim.get(row["sim_key"], unknown) for row in alerts]
    return sorted(rows, key=lambda row: (-(row["days_silent"] or 0), row["iccid"]))


def _top_consumers(transaction: Transaction, as_of: date) -> list[Row]:
    """Return the SIMs that used most in 30 days, each with its `days`: 30 daily volumes in bytes.

    A day without a row counts zero.
    """
    rows = transaction.rows("report_top_consumers", {"as_of": as_of, "sims": None, "days": 30, "top": TOP})
    which = {"sim_keys": [row["sim_key"] for row in rows], "as_of": as_of, "days": 30}
    usage = transaction.frame("report_usage_of_sims", HISTORY_SCHEMA, which)
    place = {row["sim_key"]: index for index, row in enumerate(rows)}
    volumes = np.zeros((len(rows), 30), dtype=np.int64)
    for sim_key, day, volume, _ in usage.iter_rows():
        volumes[place[sim_key], 29 - (as_of - day).days] = volume
    return [row | {"days": volumes[index].tolist()} for index, row in enumerate(rows)]
