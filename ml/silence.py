"""How long SIMs have been silent, and whether that is far outside their own habits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import polars as pl

from ml.history import check_history

SILENCE_SCHEMA = {
    "sim_key": pl.Int32,
    "first_day": pl.Date,
    "last_active_day": pl.Date,
    "active_days": pl.UInt32,
    "days_silent": pl.Int32,
    "usual_gap_days": pl.Float64,
    "is_silent": pl.Boolean,
}


@dataclass(frozen=True)
class SilenceRules:
    """When a SIM is silent.

    min_days         never before so many days without use
    gap_factor       nor before so many times its usual gap
    min_active_days  active days needed before a usual gap is believed
    """

    min_days: int = 3
    gap_factor: float = 2.0
    min_active_days: int = 14


def silence(history: pl.DataFrame, *, as_of: date, rules: SilenceRules | None = None) -> pl.DataFrame:
    """How long each SIM has been silent, and whether that is far outside its own habits (SILENCE_SCHEMA).

    An active day has bytes above zero; `days_silent` counts from the last one to `as_of` (0: active on `as_of`).
    `usual_gap_days` is the 99 % quantile (the next gap up) of the days between neighbouring active days: 1 for a daily
    reporter, 3 for a machine resting at weekends. It is null with fewer than `rules.min_active_days` active days, and
    then nothing is called silent; nor is a SIM that was never active. A row without bytes is a day that is not known: a
    silence ends with the last known day. Of days whose sum alone is known (spread_from, see `ml.spread`) one at least
    was active: the last of them may have been, and they say nothing of gaps. Raises ValueError for a broken history.
    """
    rules = rules or SilenceRules()
    unknown = history.filter(pl.col("bytes").is_null()).group_by("sim_key").agg(unknown_from=pl.col("day").min())
    known = history.filter(pl.col("bytes").is_not_null())
    check_history(known, as_of=as_of)
    summed = pl.col("spread_from").is_not_null() if "spread_from" in history.columns else pl.lit(value=False)
    days = known.sort("sim_key", "day").with_columns(active=pl.col("bytes") > 0, summed=summed)
    within_a_sum = pl.col("summed") | pl.col("summed").shift(1).over("sim_key")
    gap = pl.col("day").diff().over("sim_key").dt.total_days()
    active = days.filter("active").with_columns(gap=pl.when(~within_a_sum | (gap > 1)).then(gap))
    by_sim = active.group_by("sim_key").agg(
        last_active_day=pl.col("day").max(),
        active_days=(~pl.col("summed")).sum(),
        usual_gap_days=pl.col("gap").quantile(0.99, interpolation="higher"),
    )
    until = pl.min_horizontal(pl.lit(as_of), pl.col("unknown_from") - pl.duration(days=1))
    silent = (
        days.group_by("sim_key")
        .agg(first_day=pl.col("day").min())
        .join(unknown, on="sim_key", how="left")
        .join(by_sim, on="sim_key", how="left")
        .with_columns(
            pl.col("active_days").fill_null(0),
            days_silent=(until - pl.col("last_active_day")).dt.total_days().clip(lower_bound=0),
            usual_gap_days=pl.when(pl.col("active_days") >= rules.min_active_days).then("usual_gap_days"),
        )
        .with_columns(is_silent=(pl.col("days_silent") > silent_after(rules, "usual_gap_days")).fill_null(value=False))
    )
    return silent.select(pl.col(name).cast(kind) for name, kind in SILENCE_SCHEMA.items()).sort("sim_key")


def severity(days_silent: pl.Expr, gap: str, rules: SilenceRules | None = None) -> pl.Expr:
    """How loud a silence of so many days is, of an alert and of an anomaly alike: a warning, and critical after twice
    the longest that is still usual. The usual gap is in the column `gap`; null says nothing of severity.
    """
    loud = 2 * silent_after(rules or SilenceRules(), gap)
    return pl.when(days_silent > loud).then(pl.lit("critical")).when(loud.is_not_null()).then(pl.lit("warning"))


def silent_since(last_active_day: pl.Expr) -> pl.Expr:
    """The first day without use of a silence that lasts: "since" in alerts, anomalies and the report."""
    return last_active_day + pl.duration(days=1)


def silent_after(rules: SilenceRules, gap: str) -> pl.Expr:
    """The longest silence, in days, that is still usual; null when the usual gap (the column of that name) is."""
    return pl.max_horizontal(pl.lit(float(rules.min_days)), rules.gap_factor * pl.col(gap)) + 0 * pl.col(gap)
