"""What is known of each SIM at a day's end: one row a SIM, of histories cut at that day.

Every column is made of rows up to and including the day, whatever else the frames hold: what comes later moves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import date, timedelta
from typing import Any

import polars as pl

from ml.churn.ends import FACT_SCHEMA, checked, out_of_sight_on, silent_after, usual_gaps
from ml.history import USAGE_SCHEMA

WINDOW_DAYS = 180  # of use that features look back at
TICKET_DAYS = 90
SIM_SCHEMA = {
    "sim_key": pl.Int32,
    "activated_on": pl.Date,
    "device_type": pl.String,
    "peer_group": pl.String,
    "label_group": pl.String,
}
QUOTA_SCHEMA = {
    "sim_key": pl.Int32,
    "day": pl.Date,
    "amount_left": pl.Int64,
    "amount_total": pl.Int64,
    "expires_on": pl.Date,
}
CONNECTION_SCHEMA = {
    "sim_key": pl.Int32,
    "day": pl.Date,
    "sessions": pl.Int64,
    "empty_sessions": pl.Int64,
    "quality": pl.Float64,
}
TICKET_SCHEMA = {"sim_key": pl.Int32, "day": pl.Date}
ANOMALY_SCHEMA = {"sim_key": pl.Int32, "day": pl.Date, "kind": pl.String}
SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "sims": SIM_SCHEMA,
    "usage": USAGE_SCHEMA,
    "facts": FACT_SCHEMA,
    "quota": QUOTA_SCHEMA,
    "connection": CONNECTION_SCHEMA,
    "tickets": TICKET_SCHEMA,
    "anomalies": ANOMALY_SCHEMA,
}


@dataclass(frozen=True, eq=False)
class Histories:
    """What was recorded of a fleet. Frames that are None say nothing, and their features are left out.

    sims        SIM_SCHEMA, one row a SIM: null where a thing is not known; label_group is what SIMs of one place or
                customer share of their labels
    usage       `ml.history.USAGE_SCHEMA`; a day without a row was without use
    facts       `ml.churn.ends.FACT_SCHEMA`: what was said of a SIM, on which day
    quota       QUOTA_SCHEMA: looks at the data quota, bytes
    connection  CONNECTION_SCHEMA: sessions of a day, those of them that carried nothing, and how good the connection
                was, from 0 to 1; null where not known
    tickets     TICKET_SCHEMA: a ticket about the SIM was opened on a day
    anomalies   ANOMALY_SCHEMA: flagged SIM-days
    """

    sims: pl.DataFrame
    usage: pl.DataFrame
    facts: pl.DataFrame
    quota: pl.DataFrame | None = None
    connection: pl.DataFrame | None = None
    tickets: pl.DataFrame | None = None
    anomalies: pl.DataFrame | None = None

    def checked(self) -> Histories:
        """The same with the schemas' columns and types. Raises ValueError for a column that is not there or a SIM that
        comes twice in `sims`."""
        made = {name: checked(frame, SCHEMAS[name], name) for name, frame in self._frames().items()}
        # in order, so that sums are the same to the last bit whatever came beside
        for name in set(made) - {"sims"}:
            made[name] = made[name].sort("sim_key", "day", maintain_order=True)
        twice = made["sims"].filter(pl.col("sim_key").is_duplicated())
        if twice.height:
            raise ValueError(f"sims hold SIM {twice['sim_key'][0]} twice; give one row a SIM")
        return replace(self, **made)

    def until(self, day: date) -> Histories:
        """What was known at a day's end."""
        cut = {name: frame.filter(pl.col("day") <= day) for name, frame in self._frames().items() if name != "sims"}
        return replace(self, **cut)

    def of(self, sim_keys: pl.Series) -> Histories:
        """Of some SIMs alone."""
        chosen = pl.col("sim_key").is_in(sim_keys.implode())
        return replace(self, **{name: frame.filter(chosen) for name, frame in self._frames().items()})

    def _frames(self) -> dict[str, pl.DataFrame]:
        given = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: frame for name, frame in given.items() if frame is not None}


def snapshot(histories: Histories, day: date, *, everyone: bool = False) -> pl.DataFrame:
    """The features of each SIM that is at risk at a day's end, by SIM: it was heard of within its usual gap, and is
    neither off, nor exhausted, nor expired.

    Columns: sim_key, and what is known; counts and shares over the last 30 or 90 days, volumes as logarithms.
    everyone  silent SIMs, too
    """
    return _known(histories, day).drop("silent_after") if everyone else heard_and_silent(histories, day)[0]


def heard_and_silent(histories: Histories, day: date) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The snapshot of a day, and sim_key, days_since_activity of the SIMs in service that are silent for longer than is
    usual for them."""
    found = _known(histories, day)
    heard = pl.col("days_since_activity") <= pl.col("silent_after")
    return found.filter(heard).drop("silent_after"), found.filter(~heard).select("sim_key", "days_since_activity")


def _known(histories: Histories, day: date) -> pl.DataFrame:
    out = out_of_sight_on(histories.facts, day)
    everyone = _use(histories, day).join(histories.sims, on="sim_key", how="left").sort("sim_key")
    everyone = everyone.with_columns(
        age_days=(pl.lit(day) - pl.coalesce("activated_on", "first")).dt.total_days().cast(pl.Float64),
        gone=pl.col("sim_key").is_in(out["sim_key"].implode()),
    )
    everyone = _of_group(everyone)
    found = everyone.filter(~pl.col("gone")).drop("activated_on", "first", "gone", "label_group")
    for known in (_quota, _connection, _tickets, _anomalies):
        frame = known(histories, day)
        if frame is not None:
            found = found.join(frame, on="sim_key", how="left")
    counts = [name for name in ("tickets_90", "anomaly_days_30", "anomaly_days_90") if name in found.columns]
    return found.with_columns(pl.col(counts).fill_null(0)).sort("sim_key")


def _use(histories: Histories, day: date) -> pl.DataFrame:
    usage = histories.usage.filter(
        pl.col("day").is_between(day - timedelta(days=WINDOW_DAYS - 1), day), pl.col("bytes") > 0
    )
    ago = (pl.lit(day) - pl.col("day")).dt.total_days()
    usage = usage.with_columns(ago=ago)

    def total(first: int, last: int) -> pl.Expr:
        return pl.col("bytes").filter(pl.col("ago").is_between(first, last - 1)).sum() / (last - first)

    def active(first: int, last: int) -> pl.Expr:
        return pl.col("ago").is_between(first, last - 1).sum() / (last - first)

    by_sim = usage.group_by("sim_key", maintain_order=True).agg(
        first=pl.col("day").min(),
        days_since_activity=pl.col("ago").min().cast(pl.Int64),
        active_7=active(0, 7),
        active_30=active(0, 30),
        active_before=active(30, 90),
        mean_7=total(0, 7),
        mean_30=total(0, 30),
        mean_before=total(30, 90),
        mean_day=pl.col("bytes").filter(pl.col("ago") < 30).mean(),
        spread_30=pl.col("bytes").filter(pl.col("ago") < 30).std() / pl.col("bytes").filter(pl.col("ago") < 30).mean(),
    )
    by_sim = by_sim.join(usual_gaps(usage), on="sim_key", how="left").with_columns(silent_after=silent_after())
    least = 1000.0
    known_before = (pl.lit(day) - pl.col("first")).dt.total_days() >= 45
    return by_sim.with_columns(
        use_30=(pl.col("mean_30") + 1).log10(),
        trend_7=((pl.col("mean_7") + least) / (pl.col("mean_30") + least)).log(),
        trend_30=pl.when(known_before).then(((pl.col("mean_30") + least) / (pl.col("mean_before") + least)).log()),
        active_change=pl.when(known_before).then(pl.col("active_30") - pl.col("active_before")),
        gap_share=pl.col("days_since_activity") / pl.col("silent_after"),
    ).drop("mean_7", "mean_30", "mean_before", "mean_day", "active_before")


def _of_group(everyone: pl.DataFrame) -> pl.DataFrame:
    """Of the other SIMs of its label group: how many are gone or silent, and how their use changes."""
    gone = (pl.col("gone") | (pl.col("days_since_activity") > pl.col("silent_after"))).cast(pl.Float64)
    others = pl.len().over("label_group") - 1
    known = pl.col("label_group").is_not_null() & (others > 0)
    trend = pl.col("trend_7").fill_null(0.0)
    return everyone.with_columns(
        group_gone=pl.when(known).then((gone.sum().over("label_group") - gone) / others),
        group_trend=pl.when(known).then((trend.sum().over("label_group") - trend) / others),
        group_size=pl.when(known).then(others.cast(pl.Float64)),
    )


def _quota(histories: Histories, day: date) -> pl.DataFrame | None:
    if histories.quota is None:
        return None
    last = histories.quota.filter(pl.col("day") <= day).sort("sim_key", "day").group_by("sim_key").last()
    return last.select(
        "sim_key",
        quota_used=pl.when(pl.col("amount_total") > 0).then(1 - pl.col("amount_left") / pl.col("amount_total")),
        days_to_expiry=(pl.col("expires_on") - pl.lit(day)).dt.total_days().cast(pl.Float64),
    )


def _connection(histories: Histories, day: date) -> pl.DataFrame | None:
    if histories.connection is None:
        return None
    last = histories.connection.filter(pl.col("day").is_between(day - timedelta(days=89), day))
    recent = pl.col("day") > day - timedelta(days=30)
    sessions, empty = pl.col("sessions").filter(recent).sum(), pl.col("empty_sessions").filter(recent).sum()
    return last.group_by("sim_key", maintain_order=True).agg(
        sessions_30=sessions / 30,
        empty_share_30=pl.when(sessions > 0).then(empty / sessions),
        quality_30=pl.col("quality").filter(recent).mean(),
        quality_change=pl.col("quality").filter(recent).mean() - pl.col("quality").filter(~recent).mean(),
    )


def _tickets(histories: Histories, day: date) -> pl.DataFrame | None:
    if histories.tickets is None:
        return None
    last = histories.tickets.filter(pl.col("day").is_between(day - timedelta(days=TICKET_DAYS - 1), day))
    return last.group_by("sim_key").agg(tickets_90=pl.len())


def _anomalies(histories: Histories, day: date) -> pl.DataFrame | None:
    if histories.anomalies is None:
        return None
    last = histories.anomalies.filter(pl.col("day").is_between(day - timedelta(days=89), day))
    recent = pl.col("day") > day - timedelta(days=30)
    return last.group_by("sim_key").agg(
        anomaly_days_30=pl.col("day").filter(recent).n_unique(), anomaly_days_90=pl.col("day").n_unique()
    )
