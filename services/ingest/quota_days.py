"""Daily use from looks at a quota: what was used between two looks, laid on the days between them."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from services.ingest.schemas import UTC_TIME, Schema

LOOKS_SCHEMA: Schema = {"sim_key": pl.Int32, "observed_at": UTC_TIME, "used": pl.Int64}
KNOWN_SCHEMA: Schema = {"sim_key": pl.Int32, "day": pl.Date, "amount": pl.Int64}
DAYS_SCHEMA: Schema = {
    "sim_key": pl.Int32,
    "day": pl.Date,
    "amount": pl.Int64,
    "grade": pl.String,
    "spread_from": pl.Date,
    "spread_to": pl.Date,
}
# looks once a day come a few hours early or late; of a longer stretch the single days are unknown
LONG = timedelta(hours=36)
# so much of a day may lie in a long stretch before the day itself counts as unknown
LITTLE = timedelta(hours=6)


def days_of_looks(
    looks: pl.DataFrame, known: pl.DataFrame | None = None, partial: pl.DataFrame | None = None
) -> pl.DataFrame:
    """The use of each SIM and UTC day between its first and its last look (DAYS_SCHEMA), by SIM and day.

    looks   LOOKS_SCHEMA in any order. used: what the SIM has used in all at that moment, counted from any origin of the
            SIM's own, in bytes or messages. Where it falls (1NCE took something back) nothing is used until it has
            risen above its highest value again.
    known   KNOWN_SCHEMA: days that a better source knows. They are left out of the result, and what they used is taken
            off the stretch they lie in, so that only the rest is laid on the other days.
    partial KNOWN_SCHEMA: days of which another source knows a part. Within a long stretch each is a lower bound: where
            the stretch used more than all of them, the excess is laid on all its days, on top of these parts. Where it
            did not, they are left out of the result and the other days of the stretch used nothing. Between looks that
            know the day they count for nothing, and on days that are in `known` too.

    Between two looks use is taken as even, so the days of a SIM add up exactly to what was used from the midnight after
    its first look to its last look. The day of the first look is left out, unless that look was at midnight: what was
    used before it is unknown. The day of the last look is given with what was used until then.

    grade   B: the day is known, at most LONG lies between the looks around it, or nothing was used. C: only the sum of
            the days spread_from to spread_to of this grade is known, and spread over them; both are null for B.
    """
    steps = (
        looks.group_by("sim_key", "observed_at")
        .agg(pl.col("used").max())
        .sort("sim_key", "observed_at")
        .with_columns(pl.col("used").cum_max().over("sim_key"))
        .with_columns(
            pl.col("observed_at").shift(-1).over("sim_key").alias("until"),
            (pl.col("used").shift(-1).over("sim_key") - pl.col("used")).alias("step"),
        )
        .filter(pl.col("until").is_not_null())
        .with_row_index("stretch")
    )
    days = (
        _pieces(steps)
        .group_by("sim_key", "day", maintain_order=True)
        .agg(
            pl.col("amount").sum(),
            pl.col("begins").min(),
            pl.col("hidden").sum(),
            pl.col("stretch").get(pl.col("hidden").arg_max()),
        )
    )
    whole = (pl.col("begins") == pl.col("begins").dt.truncate("1d")) | (
        pl.col("day") > pl.col("day").min().over("sim_key")
    )
    days = days.filter(whole).with_columns(
        pl.when(pl.col("hidden") > LITTLE).then("stretch").alias("stretch"),
    )
    known = pl.DataFrame(schema=KNOWN_SCHEMA) if known is None else known
    partial = pl.DataFrame(schema=KNOWN_SCHEMA) if partial is None else partial
    if known.height or partial.height:
        days = _less_known(days, known, partial)
    group = ["sim_key", "stretch"]
    alone = (pl.len().over(group) == 1) | (pl.col("amount").sum().over(group) == 0)
    spread = pl.col("stretch").is_not_null() & ~alone
    return days.select(
        "sim_key",
        "day",
        "amount",
        pl.when(spread).then(pl.lit("C")).otherwise(pl.lit("B")).alias("grade"),
        pl.when(spread).then(pl.col("day").min().over(group)).alias("spread_from"),
        pl.when(spread).then(pl.col("day").max().over(group)).alias("spread_to"),
    ).sort("sim_key", "day")


def _pieces(steps: pl.DataFrame) -> pl.DataFrame:
    """Each stretch cut at midnight, one row a stretch and day; hidden: for how long a long stretch hides this day."""
    last = (pl.col("until") - pl.duration(microseconds=1)).dt.date()
    pieces = steps.with_columns(pl.date_ranges(pl.col("observed_at").dt.date(), last).alias("day")).explode("day")
    midnight = pl.col("day").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    begins = pl.max_horizontal("observed_at", midnight)
    ends = pl.min_horizontal("until", midnight + pl.duration(days=1))

    def used_by(moment: pl.Expr) -> pl.Expr:
        # 128 bits: a product of bytes and microseconds may need more than 64
        passed = (moment - pl.col("observed_at")).dt.total_microseconds().cast(pl.Int128)
        length = (pl.col("until") - pl.col("observed_at")).dt.total_microseconds().cast(pl.Int128)
        return (pl.col("step").cast(pl.Int128) * passed // length).cast(pl.Int64)

    hides = (pl.col("until") - pl.col("observed_at") > LONG) & (pl.col("step") > 0)
    return pieces.select(
        "sim_key",
        "stretch",
        "day",
        begins.alias("begins"),
        (used_by(ends) - used_by(begins)).alias("amount"),
        pl.when(hides).then(ends - begins).otherwise(pl.duration(microseconds=0)).alias("hidden"),
    )


def _less_known(days: pl.DataFrame, known: pl.DataFrame, partial: pl.DataFrame) -> pl.DataFrame:
    """Only the days that `known` does not have, with what its days leave of their stretch laid on them."""
    key, group = ["sim_key", "day"], ["sim_key", "stretch"]
    hidden = pl.col("stretch").is_not_null()
    better, part, is_open = pl.col("better"), pl.col("part"), pl.col("better").is_null()
    joined = (
        days.join(known.select(*key, pl.col("amount").alias("better")), on=key, how="left")
        .join(partial.select(*key, pl.col("amount").alias("part")), on=key, how="left")
        .with_columns(pl.when(hidden & is_open).then(part).fill_null(0).alias("part"))
        .sort(key)
    )
    left = (pl.col("amount").sum() - better.sum() - part.sum()).over(group)
    rest = joined.with_columns(
        left.alias("left"), ((~is_open).any() | (part > 0).any()).over(group).alias("shared")
    ).filter(is_open & ((pl.col("left") > 0) | (part == 0)))
    # weighed by time; a stretch whose open days lie in it by nothing measurable takes them as equal
    weight = (pl.col("amount") + 1).cast(pl.Int128)
    upto, of = weight.cum_sum().over(group), weight.sum().over(group)
    whole = pl.col("left").clip(lower_bound=0).cast(pl.Int128)
    laid = (whole * upto // of - whole * (upto - weight) // of).cast(pl.Int64) + part
    return rest.with_columns(pl.when(hidden & pl.col("shared")).then(laid).otherwise("amount").alias("amount"))
