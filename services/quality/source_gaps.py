"""How far the sources of usage are apart where two of them tell the same: the stream or the quotas beside the book."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl

from resources.database.session import Database, Transaction
from resources.runtime import Runtime
from services.ingest.quota_days import days_of_looks
from services.ingest.schemas import Schema
from services.ingest.usage_book import WHOLE, counted_looks, known_days

DAYS = 30
BLOCK_SIMS = 5_000
# looks are not at midnight, and what lies between two of them is laid evenly on their hours: at both ends of the days
# that are compared some of it is another day's. Over whole weeks both ends are of the same weekday, and what is too
# much at one is too little at the other
WEEK = 7
# a SIM is apart when its sources differ by more than both
APART_SHARE, APART_BYTES = 0.05, 1_000_000
SIM_GAPS_SCHEMA: Schema = {
    "sim_key": pl.Int32,
    "source": pl.String,
    "days": pl.Int64,
    "book_bytes": pl.Int64,
    "other_bytes": pl.Int64,
}
GAPS_SCHEMA: Schema = {
    "sources": pl.String,
    "sims": pl.Int64,
    "sim_days": pl.Int64,
    "book_bytes": pl.Int64,
    "other_bytes": pl.Int64,
    "gap_bytes": pl.Int64,
    "gap": pl.Float64,
    "sims_apart": pl.Int64,
    "farthest_sim_key": pl.Int32,
    "farthest_gap_bytes": pl.Int64,
}


def source_gaps(runtime: Runtime) -> pl.DataFrame:
    """Of the last 30 complete days that two sources tell, one row a pair of sources (GAPS_SCHEMA).

    gap_bytes   other less book over all SIMs; gap is its size as a share of the book's bytes
    sims_apart  SIMs whose sums differ by more than 5 % and 1 MB; the farthest one is named
    Days of a quota count a stretch between looks at a time, when the book knows all its days without the quota, and of
    days in a row the last whole weeks.
    """
    last = runtime.last_complete_day()
    first = last - timedelta(days=DAYS - 1)
    with runtime.database.transaction() as transaction:
        about = {"first": first, "last": last, "now": runtime.clock()}
        whole = [row["day"] for row in transaction.rows("stream_whole_days", about) if row["whole"]]
        streamed = transaction.frame("check_stream_gaps", SIM_GAPS_SCHEMA, {"days": whole})
    quotas = _quota_gaps(runtime.database, first, last)
    return pl.concat(
        [
            _summed(streamed.with_columns(pl.format("stream and {}", "source").alias("sources"))),
            _summed(quotas.with_columns(pl.lit("quota and book").alias("sources"))),
        ]
    )


def _summed(sims: pl.DataFrame) -> pl.DataFrame:
    difference = pl.col("other_bytes") - pl.col("book_bytes")
    apart = (difference.abs() > APART_BYTES) & (
        difference.abs() > APART_SHARE * pl.max_horizontal("book_bytes", "other_bytes")
    )
    book, gap = pl.col("book_bytes").sum(), difference.sum()
    share = pl.when(gap == 0).then(0.0).when(book == 0).then(1.0).otherwise(gap.abs() / book)
    return (
        sims.group_by("sources")
        .agg(
            pl.col("sim_key").n_unique().alias("sims"),
            pl.col("days").sum().alias("sim_days"),
            book,
            pl.col("other_bytes").sum(),
            gap.alias("gap_bytes"),
            share.alias("gap"),
            apart.sum().alias("sims_apart"),
            pl.col("sim_key").sort_by(difference.abs()).last().alias("farthest_sim_key"),
            difference.sort_by(difference.abs()).last().alias("farthest_gap_bytes"),
        )
        .cast(dict(GAPS_SCHEMA.items()))
        .sort("sources")
        .select(list(GAPS_SCHEMA))
    )


def _quota_gaps(database: Database, first: date, last: date) -> pl.DataFrame:
    found = [pl.DataFrame(schema=SIM_GAPS_SCHEMA)]
    above = 0
    while True:
        with database.transaction() as transaction:
            rows = transaction.rows("quota_sims", {"above": above, "sims": BLOCK_SIMS})
            if not rows:
                return pl.concat(found)
            sims = pl.DataFrame(
                [tuple(row.values()) for row in rows],
                schema={"sim_key": pl.Int32, "covered_to": pl.Date},
                orient="row",
            )
            found.append(_gaps_of_block(transaction, sims, first, last))
        above = rows[-1]["sim_key"]


def _gaps_of_block(transaction: Transaction, sims: pl.DataFrame, first: date, last: date) -> pl.DataFrame:
    looks = counted_looks(transaction, sims.with_columns(pl.lit(first).alias("look_day")))
    looks = looks.filter(pl.col("kind") == "data")
    steps = looks.select("sim_key", "observed_at", pl.col("most_used").alias("used"))
    seen = looks.group_by("sim_key").agg(pl.col("observed_at").max().dt.date().alias("seen_on"))
    days = days_of_looks(steps).join(seen, on="sim_key").filter(pl.col("day") < pl.col("seen_on"))
    if days.is_empty():
        return pl.DataFrame(schema=SIM_GAPS_SCHEMA)
    known = known_days(transaction, sims, first).filter((pl.col("rank") >= WHOLE) & (pl.col("day") <= last))
    joined = days.join(known.select("sim_key", "day", "bytes"), on=["sim_key", "day"], how="left")
    stretch = ["sim_key", pl.coalesce("spread_from", "day")]
    compared = joined.filter((pl.col("bytes").is_not_null().all() & (pl.col("day") >= first).all()).over(stretch))
    return (
        _last_whole_weeks(compared.with_columns(pl.coalesce("spread_from", "day").alias("begins")))
        .group_by("sim_key")
        .agg(
            pl.lit("book").alias("source"),
            pl.len().cast(pl.Int64).alias("days"),
            pl.col("bytes").sum().alias("book_bytes"),
            pl.col("amount").sum().alias("other_bytes"),
        )
    )


def _last_whole_weeks(days: pl.DataFrame) -> pl.DataFrame:
    """Of each SIM's days in a row the most that are whole weeks and end with the last one.

    begins  the first day of the stretch that a day belongs to: none is cut
    """
    row = ["sim_key", "row"]
    is_new = (pl.col("day").diff() != timedelta(days=1)).fill_null(value=True)
    to_end = (pl.col("day").max().over(row) - pl.col("begins")).dt.total_days() + 1
    return (
        days.sort("sim_key", "day")
        .with_columns(is_new.cum_sum().over("sim_key").alias("row"))
        .with_columns(pl.when(to_end % WEEK == 0).then("begins").min().over(row).alias("from"))
        .filter(pl.col("day") >= pl.col("from"))
    )
