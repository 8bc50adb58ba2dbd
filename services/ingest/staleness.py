"""How old what is known of the fleet's usage and quotas is."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from services.ingest.poll_planner import CLASSES, Schema, classify

STALENESS_SCHEMA: Schema = {
    "class": pl.String,
    "sims": pl.Int64,
    "never_answered": pl.Int64,
    "median_hours": pl.Float64,
    "max_hours": pl.Float64,
}
"""Age of the older of usage and quota, by class, then "all"; hours are null where no SIM of the class has had both
answers."""


def staleness(state: pl.DataFrame, *, now: datetime) -> pl.DataFrame:
    """How old the fleet's usage and quota are, by class and in all (STALENESS_SCHEMA).

    Where the usage call does not answer, a look at the quota tells both. SIMs that 1NCE refuses don't count.
    """
    answered = pl.when("call_gone").then("looked_at").otherwise("answered_at")
    ages = state.select(
        classify(state).cast(pl.String).alias("class"),
        "refused",
        (pl.lit(now).dt.cast_time_unit("us") - answered).dt.total_seconds().alias("seconds"),
    ).filter(~pl.col("refused"))
    hours = pl.col("seconds").clip(lower_bound=0) / 3600
    of_class = ages.group_by("class").agg(
        pl.len().cast(pl.Int64).alias("sims"),
        pl.col("seconds").null_count().cast(pl.Int64).alias("never_answered"),
        hours.median().alias("median_hours"),
        hours.max().alias("max_hours"),
    )
    in_all = ages.select(
        pl.lit("all").alias("class"),
        pl.len().cast(pl.Int64).alias("sims"),
        pl.col("seconds").null_count().cast(pl.Int64).alias("never_answered"),
        hours.median().alias("median_hours"),
        hours.max().alias("max_hours"),
    )
    order = {name: place for place, name in enumerate((*CLASSES, "all"))}
    both = pl.concat([of_class, in_all]).sort(pl.col("class").replace_strict(order, return_dtype=pl.Int8))
    return both.select(pl.col(name).cast(kind) for name, kind in STALENESS_SCHEMA.items())
