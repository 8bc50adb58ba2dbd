"""The plain rules for quotas: the baseline that the recommendations have to beat.

From the last 90 days: a SIM whose average month uses less than half of its quota is under-used, and goes down to 1.2
times the 95th percentile of its months; one whose 95th percentile is above 90 % of its quota is over-used, and goes up
to 1.3 times that percentile. A month is any 30 consecutive days: a day's 95th percentile times 30 would overstate the
month of a SIM that sends in bursts many times.
"""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl

from ml.history import BYTES_PER_MB, USAGE_SCHEMA, usable_rows

HISTORY_DAYS = 90
MONTH_DAYS = 30
UNDER_USED, OVER_USED = 0.5, 0.9
DOWN_TO, UP_TO = 1.2, 1.3
PERCENTILE = 0.95

RULES_SCHEMA = {
    "sim_key": pl.Int32,
    "quota": pl.Int64,
    "average_month": pl.Float64,
    "p95_month": pl.Float64,
    "verdict": pl.String,
    "proposed": pl.Int64,
    "saving": pl.Float64,
}


def plain_rules(history: pl.DataFrame, quotas: pl.DataFrame, *, as_of: date, price_per_mb: float) -> pl.DataFrame:
    """The plain rules for every SIM of `quotas`, in their order (RULES_SCHEMA).

    history       usage (`ml.history.USAGE_SCHEMA`); what it holds beyond the last 90 days says only since when a SIM is
                  known. An unknown day counts as the mean of the SIM's known ones.
    quotas        sim_key and quota: bytes that the SIM may use a month. Of a budget for a lifetime this is what is
                  left, or its share of a month, as the caller decides; null or negative: unknown
    price_per_mb  minor units of money a MB

    verdict  "downgrade", "upgrade", "keep", "not_enough_history" (less than 90 days known), "no_quota"
    proposed  the quota after the verdict, bytes; a downgrade is never to as much as now or more: such a SIM keeps what
              it has
    saving   minor units a month; negative where an upgrade costs
    Raises ValueError for a history or quotas of another schema.
    """
    missing = [name for name in ("sim_key", "quota") if name not in quotas.columns]
    if missing:
        raise ValueError(f"quotas lack the column(s) {', '.join(missing)}; they need sim_key and quota")
    usable, _ = usable_rows(history, as_of=as_of)
    months = _months(usable, as_of)
    quota, p95 = pl.col("quota"), pl.col("p95_month")
    down, up = (DOWN_TO * p95).ceil().cast(pl.Int64), (UP_TO * p95).ceil().cast(pl.Int64)
    over = p95 > OVER_USED * quota
    under = (pl.col("average_month") < UNDER_USED * quota) & (down < quota)
    verdict = (
        pl.when(quota.is_null() | (quota < 0))
        .then(pl.lit("no_quota"))
        .when(p95.is_null())
        .then(pl.lit("not_enough_history"))
        .when(over)
        .then(pl.lit("upgrade"))
        .when(under)
        .then(pl.lit("downgrade"))
        .otherwise(pl.lit("keep"))
    )
    found = (
        quotas.select(pl.col("sim_key").cast(pl.Int32), pl.col("quota").cast(pl.Int64))
        .join(months, on="sim_key", how="left", maintain_order="left")
        .with_columns(verdict.alias("verdict"))
    )
    proposed = (
        pl.when(pl.col("verdict") == "upgrade")
        .then(up)
        .when(pl.col("verdict") == "downgrade")
        .then(down)
        .otherwise(quota)
    )
    found = found.with_columns(proposed=proposed)
    saving = (quota - pl.col("proposed")) / BYTES_PER_MB * price_per_mb
    return found.with_columns(saving=saving).select(pl.col(name).cast(kind) for name, kind in RULES_SCHEMA.items())


def _months(usable: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """Average month and 95th percentile of the rolling months of each SIM that is known for 90 days."""
    first_day = as_of - timedelta(days=HISTORY_DAYS - 1)
    known = usable.group_by("sim_key").agg(first=pl.col("day").min()).filter(pl.col("first") <= first_day)
    days = pl.DataFrame({"day": pl.date_range(first_day, as_of, "1d", eager=True)})
    recent = usable.filter(pl.col("day") >= first_day).select(list(USAGE_SCHEMA)).with_columns(seen=pl.lit(True))
    daily = (
        known.select("sim_key")
        .join(days, how="cross")
        .join(recent, on=["sim_key", "day"], how="left")
        # no record means no use; a record without bytes means that nobody knows
        .with_columns(pl.when(pl.col("seen").is_null()).then(0).otherwise(pl.col("bytes")).alias("bytes"))
        .sort("sim_key", "day")
        .with_columns(pl.col("bytes").fill_null(pl.col("bytes").mean().over("sim_key")).fill_null(0.0))
        .with_columns(month=pl.col("bytes").rolling_sum(MONTH_DAYS).over("sim_key"))
    )
    return daily.group_by("sim_key").agg(
        average_month=pl.col("bytes").sum() * (MONTH_DAYS / HISTORY_DAYS),
        p95_month=pl.col("month").quantile(PERCENTILE, "linear"),
    )
