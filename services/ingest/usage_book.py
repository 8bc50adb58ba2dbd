"""The book of daily usage where the usage call does not answer: days from the Data Streamer and from looks at quotas.

Whatever the book does not know yet is on a list (ops.usage_touched): SIMs of new looks and of late stream records are
put there with them, those of a stream's ended day when it is booked. A pass takes SIMs off it, a block a transaction,
so that an interrupted one loses nothing and a fleet with a living usage call costs nothing. SIM-days that the usage
call covers are left alone; of the rest core.usage_rank says which source wins, and sources are never added.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl

from resources.database.session import Database, Merged, Transaction
from services.ingest.endpoints import USAGE
from services.ingest.quota_days import KNOWN_SCHEMA, days_of_looks
from services.ingest.quota_ledger import (
    QUOTA_LOOKS_SCHEMA,
    REACH,
    TOP_UPS_SCHEMA,
    count_used,
    with_activation,
)
from services.ingest.schemas import UTC_TIME, Schema

BLOCK_SIMS = 2_000
DAY = timedelta(days=1)
OUTAGE_REACH = timedelta(days=7)  # a stream is watched for so long after its last record
STREAM_DAYS_SCHEMA: Schema = {
    "sim_key": pl.Int32,
    "day": pl.Date,
    "bytes": pl.Int64,
    "bytes_rx": pl.Int64,
    "sms_unsplit": pl.Int16,
    "grade": pl.String,
}
TOUCHED_SCHEMA: Schema = {
    "sim_key": pl.Int32,
    "look_day": pl.Date,
    "stream_day": pl.Date,
    "covered_to": pl.Date,
    "activated_at": UTC_TIME,
}
KNOWN_DAYS_SCHEMA: Schema = {
    "sim_key": pl.Int32,
    "day": pl.Date,
    "bytes": pl.Int64,
    "sms": pl.Int64,
    "rank": pl.Int32,
}
SPREAD_SCHEMA: Schema = {"sim_key": pl.Int32, "day": pl.Date}
# core.usage_rank of a whole day of the stream, and of one that it was not up on all day
WHOLE, PARTLY = 4, 2
MAX_SMS = 32_767  # a smallint in the database


@dataclass
class Booked:
    """What a pass did.

    sims         whose usage was looked at; covered: those of them whose days the usage call covers
    rows, bytes  of days from the stream and from quotas, by source and grade, as 'quota B'; some may have been known
    """

    sims: int = 0
    covered: int = 0
    merged: Merged = field(default_factory=Merged)
    rows: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)

    def add(self, days: pl.DataFrame) -> None:
        groups = days.group_by("source", "grade").agg(pl.len(), pl.col("bytes").sum().alias("volume"))
        for source, grade, rows, volume in groups.sort("source", "grade").iter_rows():
            self.rows[f"{source} {grade}"] += rows
            self.bytes[f"{source} {grade}"] += volume

    def metadata(self) -> dict[str, Any]:
        """The figures by name, for the Dagster UI."""
        return {
            "sims looked at": self.sims,
            "sims that the usage call covers": self.covered,
            "dagster/row_count": self.merged.rows,
            "rows new": self.merged.new,
            "rows changed": self.merged.changed,
            "rows unchanged": self.merged.unchanged,
            "days by source and grade": {**self.rows} if self.rows else 0,
            "bytes by source and grade": {**self.bytes} if self.bytes else 0,
        }


def update_book(database: Database, now: datetime, *, block_sims: int = BLOCK_SIMS) -> Booked:
    """Book what stream and quotas brought since the last pass, `block_sims` SIMs a transaction.

    A day of the stream is booked when it has ended and nothing more is to be waited for; a day between looks when a
    look after its end has come.
    """
    streamed_to = _open_stream_days(database, now)
    done = Booked()
    while True:
        with database.transaction() as transaction:
            transaction.rows("lock_usage")
            touched = _taken(transaction, block_sims)
            if touched.height:
                _book_block(transaction, touched, streamed_to, now, done)
        if touched.height < block_sims:
            break
    return done


def _open_stream_days(database: Database, now: datetime) -> date | None:
    """Put the SIMs of the stream's ended days on the list; returns to which day the stream is booked."""
    yesterday = now.date() - DAY
    with database.transaction() as transaction:
        transaction.rows("lock_stream_days")
        known = transaction.row("streamed_to")
        assert known is not None
        streamed_to: date | None = known["streamed_to"]
        if known["first_day"] is None:
            return streamed_to
        first = max(known["first_day"], now.date() - REACH) if streamed_to is None else streamed_to + DAY
        settled = streamed_to
        # an outage is found hours or days after it began
        again = first if streamed_to is None else first - OUTAGE_REACH
        doubtful, is_settled = [], True
        for day in transaction.rows("stream_whole_days", {"first": again, "last": yesterday, "now": now}):
            if day["day"] < first:
                doubtful += [] if day["whole"] else [day["day"]]
            elif is_settled := is_settled and day["settled"]:
                settled = day["day"]
        if doubtful:
            transaction.execute("touch_lowered_sims", {"days": doubtful})
        if settled is not None and settled != streamed_to:
            transaction.execute("touch_streamed_sims", {"first": first, "last": settled})
    return settled


def _taken(transaction: Transaction, sims: int) -> pl.DataFrame:
    rows = transaction.rows("take_touched_sims", {"sims": sims})
    return pl.DataFrame([tuple(row.values()) for row in rows], schema=TOUCHED_SCHEMA, orient="row")


def _book_block(
    transaction: Transaction, touched: pl.DataFrame, streamed_to: date | None, now: datetime, done: Booked
) -> None:
    open_sims = touched.filter(pl.col("covered_to").is_null() | (pl.col("covered_to") < now.date() - DAY))
    done.sims += touched.height
    done.covered += touched.height - open_sims.height
    looked = open_sims
    streamed = open_sims.filter(pl.col("stream_day") <= streamed_to) if streamed_to else open_sims.clear()
    if streamed.height and streamed_to:
        days = _days_of_stream(transaction, streamed, streamed_to, now)
        # known now, such a day takes its part off the stretch it lies in
        about = {"sim_keys": streamed["sim_key"].to_list(), "first": streamed["stream_day"].min(), "last": streamed_to}
        spread = transaction.frame("spread_days", SPREAD_SCHEMA, about)
        looked = looked.join(spread, on="sim_key", how="left")
        looked = looked.with_columns(pl.min_horizontal("look_day", "day").alias("look_day")).drop("day")
        _merge(transaction, days, done)
    looked = looked.filter(pl.col("look_day").is_not_null())
    if looked.height:
        _merge(transaction, _days_of_quotas(transaction, looked, now), done)


def _merge(transaction: Transaction, days: pl.DataFrame, done: Booked) -> None:
    done.add(days)
    done.merged += transaction.merge("merge_usage", days)


def _usage_rows(days: pl.DataFrame, source: str, now: datetime) -> pl.DataFrame:
    """Days as the merge takes them; what they leave out is null."""
    missing = [pl.lit(None, kind).alias(name) for name, kind in USAGE.schema.items() if name not in days.columns]
    return days.with_columns(*missing).with_columns(
        pl.lit(source).alias("source"), pl.lit(now).cast(UTC_TIME).alias("known_at")
    ).select(list(USAGE.schema))  # fmt: skip


def _days_of_stream(transaction: Transaction, sims: pl.DataFrame, to: date, now: datetime) -> pl.DataFrame:
    first = sims["stream_day"].min()
    whole = [
        row["day"]
        for row in transaction.rows("stream_whole_days", {"first": first, "last": to, "now": now})
        if row["whole"]
    ]
    about: dict[str, Any] = {
        "sim_keys": sims["sim_key"].to_list(),
        "stream_days": sims["stream_day"].to_list(),
        "covered": sims["covered_to"].fill_null(date(1, 1, 1)).to_list(),
        "whole": whole,
        "last": to,
    }
    return _usage_rows(transaction.frame("stream_days", STREAM_DAYS_SCHEMA, about), "stream", now)


def _days_of_quotas(transaction: Transaction, sims: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """The days of SIMs between looks at their quotas, and what they used by them written beside the looks."""
    looks = counted_looks(transaction, sims)
    if looks.is_empty():
        return pl.DataFrame(schema=USAGE.schema)
    _write_used(transaction, looks)
    first: date = min(looks["day"].to_list())
    from_the_beginning = looks.select((pl.col("emit_from").is_null() & pl.col("from_activation")).any()).item()
    known = known_days(transaction, sims, first - REACH if from_the_beginning else first)
    activated = sims.filter(pl.col("activated_at").is_not_null()).select("sim_key", "activated_at")
    days = {
        kind: _laid(looks.filter(pl.col("kind") == kind), activated, known, amount, sims)
        for kind, amount in (("data", "bytes"), ("sms", "sms"))
    }
    messages = days["sms"].select("sim_key", "day", pl.col("amount").clip(upper_bound=MAX_SMS).alias("sms_unsplit"))
    rows = days["data"].rename({"amount": "bytes"}).join(messages, on=["sim_key", "day"], how="left")
    return _usage_rows(rows.with_columns(pl.col("sms_unsplit").cast(pl.Int16)), "quota", now)


def counted_looks(transaction: Transaction, sims: pl.DataFrame) -> pl.DataFrame:
    """The looks at the quotas of SIMs (sim_key, look_day) from some before their look_day on, with what was used then.

    QUOTA_LOOKS_SCHEMA, and of the SIM and kind: emit_from, the first day that may be new (null: all); begins, the day
    of the first look given; from_activation, whether that look tells all that was ever used.
    """
    keys = sims["sim_key"].to_list()
    given = transaction.frame(
        "quota_looks",
        {**QUOTA_LOOKS_SCHEMA, "emit_from": pl.Date},
        {"sim_keys": keys, "look_days": sims["look_day"].to_list()},
    )
    begins = given.group_by("sim_key", "kind").agg(
        pl.col("emit_from").first(),
        pl.col("day").min().alias("begins"),
        pl.col("amount_accumulated").sort_by("observed_at").first().is_not_null().alias("from_activation"),
    )
    top_ups = pl.DataFrame(schema=TOP_UPS_SCHEMA)
    if given.height:
        since = {"sim_keys": keys, "first": given["observed_at"].min()}
        top_ups = transaction.frame("quota_top_ups", TOP_UPS_SCHEMA, since)
    return count_used(given.drop("emit_from"), top_ups).join(begins, on=["sim_key", "kind"])


def _write_used(transaction: Transaction, looks: pl.DataFrame) -> None:
    # of the day a window begins on, only the last look was read: what stands there stays
    counted = looks.filter(pl.col("emit_from").is_null() | (pl.col("day") > pl.col("begins")))
    key = ["sim_key", "kind", "day"]
    last = counted.filter("is_last").select(*key, "used", "most_used")
    first = counted.filter(~pl.col("is_last")).select(*key, pl.col("used").alias("first_used"))
    rows = last.join(first, on=key, how="left")
    if rows.height:
        transaction.stage("write_quota_used", rows)
        transaction.execute("write_quota_used")


def known_days(transaction: Transaction, sims: pl.DataFrame, first: date) -> pl.DataFrame:
    """Days that another source knows than the quota (KNOWN_DAYS_SCHEMA); of days that the usage call covers without a
    row, that they are 0."""
    known = transaction.frame("usage_known", KNOWN_DAYS_SCHEMA, {"sim_keys": sims["sim_key"].to_list(), "first": first})
    covered = (
        sims.filter(pl.col("covered_to") >= first)
        .select("sim_key", pl.date_ranges(pl.lit(first), "covered_to").alias("day"))
        .explode("day")
        .join(known, on=["sim_key", "day"], how="anti")
        .with_columns(
            pl.lit(0, pl.Int64).alias("bytes"), pl.lit(0, pl.Int64).alias("sms"), pl.lit(6, pl.Int32).alias("rank")
        )
    )
    return pl.concat([known, covered.select(known.columns)])


def _laid(
    looks: pl.DataFrame, activated: pl.DataFrame, known: pl.DataFrame, amount: str, sims: pl.DataFrame
) -> pl.DataFrame:
    """Ended days of one kind of quota that no better source knows: DAYS_SCHEMA of days_of_looks."""
    whole_life = looks.filter(pl.col("emit_from").is_null() & pl.col("from_activation")).select("sim_key").unique()
    steps = with_activation(
        looks.select("sim_key", "observed_at", pl.col("most_used").alias("used")),
        activated.join(whole_life, on="sim_key", how="semi"),
    )
    better = known.filter(pl.col(amount).is_not_null())
    days = days_of_looks(steps, _as_known(better.filter(pl.col("rank") >= WHOLE), amount))
    partly = better.filter(pl.col("rank") == PARTLY).join(
        days.filter(pl.col("grade") == "C").select("sim_key", "day"), on=["sim_key", "day"], how="semi"
    )
    if partly.height:  # better than a share of a stretch, and worse than a look on each side
        days = days_of_looks(steps, _as_known(pl.concat([better.filter(pl.col("rank") >= WHOLE), partly]), amount))
    bounds = looks.group_by("sim_key").agg(
        pl.col("emit_from").first(), pl.col("observed_at").max().dt.date().alias("seen_on")
    )
    return (
        days.join(bounds, on="sim_key")
        .join(sims.select("sim_key", "covered_to"), on="sim_key")
        .filter(
            (pl.col("day") < pl.col("seen_on"))
            & (pl.col("emit_from").is_null() | (pl.col("day") >= pl.col("emit_from")))
            & (pl.col("covered_to").is_null() | (pl.col("day") > pl.col("covered_to")))
        )
        .select(days.columns)
    )


def _as_known(days: pl.DataFrame, amount: str) -> pl.DataFrame:
    return days.select("sim_key", "day", pl.col(amount).alias("amount")).cast(dict(KNOWN_SCHEMA.items()))
