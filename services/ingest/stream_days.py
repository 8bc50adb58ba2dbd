"""Usage records of the stream as rows of days."""

import polars as pl


def split_by_day(records: pl.DataFrame) -> pl.DataFrame:
    """Usage records as rows of core.stream_usage, one a record and UTC day.

    A record over midnight is split by its share of time on each day. Received and sent volume (or the total, where
    only that is known) are split in whole units; the last day takes what the rounding leaves, so that the parts sum up
    to the record. A record that ends at midnight has no part in the day that begins then.
    """
    day = pl.col("started_at").dt.date()
    last = (
        pl.when(pl.col("ended_at") > pl.col("started_at"))
        .then(pl.col("ended_at") - pl.duration(microseconds=1))
        .otherwise(pl.col("ended_at"))
        .dt.date()
    )
    records = records.with_columns(
        pl.when(pl.col("rx").is_null()).then("total").otherwise(0).alias("total"), day=day, last=last
    )
    within = records.filter(pl.col("day") == pl.col("last"))
    over = (
        records.filter(pl.col("day") < pl.col("last"))
        .with_columns(pl.date_ranges("day", "last").alias("day"))
        .explode("day")
    )
    midnight = pl.col("day").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    begins = pl.max_horizontal("started_at", midnight)
    ends = pl.min_horizontal("ended_at", midnight + pl.duration(days=1))
    # 128 bits: a product of volume and microseconds may need more than 64
    share = (ends - begins).dt.total_microseconds().cast(pl.Int128)
    whole = (pl.col("ended_at") - pl.col("started_at")).dt.total_microseconds().cast(pl.Int128)
    parts = ("total", "rx", "tx")
    is_last = pl.col("day") == pl.col("last")
    before = {
        name: pl.when(~is_last).then((pl.col(name).cast(pl.Int128) * share // whole).cast(pl.Int64)) for name in parts
    }
    split = over.with_columns(**{f"{name}_before": part for name, part in before.items()}).with_columns(
        pl.when(is_last)
        .then(pl.col(name) - pl.col(f"{name}_before").sum().over("record_id"))
        .otherwise(f"{name}_before")
        .alias(name)
        for name in parts
    )
    amount = pl.col("total") + pl.col("rx").fill_null(0) + pl.col("tx").fill_null(0)
    is_data = pl.col("kind") == "data"
    return pl.concat([within, split.select(within.columns)]).with_columns(
        pl.when(is_data).then(amount).otherwise(0).alias("bytes"),
        pl.when(is_data).then("rx").alias("bytes_rx"),
        pl.when(is_data).then(0).otherwise(amount).cast(pl.Int32).alias("sms"),
    )
