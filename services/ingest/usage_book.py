"""The book of daily usage where the usage call does not answer: days from the Data Streamer and from looks at quotas.

Whatever the book does not know yet is on a list (ops.usage_touched): SIMs of new looks and of late stream records are
put there with them, those of a stream's ended day when it is booked. A pass takes SIMs off it, a block a transaction,
so that an interrupted one loses nothing and a fleet with a living usage call costs nothing. SIM-days that the usage
call covers are left alone; of the rest core.usage_rank says which source wins, and sources are never added. Between
stream and quota a pass decides, which lays both out together, from their records and looks and not from what the book
made of them: days that the stream told in part may be laid out from the quota (`days_of_looks`), and go back to the
stream when its late records say more.
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
KEY = ["sim_key", "day"]
WHOLE = 4  # core.usage_rank of a whole day of the stream
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
    sims = touched.filter(pl.col("covered_to").is_null() | (pl.col("covered_to") < now.date() - DAY))
    done.sims += touched.height
    done.covered += touched.height - sims.height
    # what the stream tells of a day changes what is left of the stretch it lies in
    sims = (
        sims.with_columns(
            pl.when(pl.col("stream_day") <= pl.lit(streamed_to, pl.Date)).then("stream_day").alias("stream_day")
        )
        .with_columns(pl.min_horizontal("look_day", "stream_day").alias("look_day"))
        .filter(pl.col("look_day").is_not_null())
    )
    if sims.height:
        days = _laid_out(transaction, sims, streamed_to, now)
        done.add(days)
        done.merged += transaction.merge("merge_usage", days)


def _laid_out(transaction: Transaction, sims: pl.DataFrame, streamed_to: date | None, now: datetime) -> pl.DataFrame:
    """The days of SIMs by stream and quota as they are known now, one row a SIM and day (USAGE).

    sims   TOUCHED_SCHEMA; stream_day is null where the stream brought nothing new
    What the SIMs had used at their looks is written beside these.
    """
    looks = counted_looks(transaction, sims)
    _write_used(transaction, looks)
    sims = sims.join(_windows(looks, sims), on="sim_key", how="left")
    stream = _days_of_stream(transaction, sims, streamed_to, now)
    if looks.is_empty():
        return stream.select(list(USAGE.schema))
    known = _exact_days(transaction, sims, stream)
    partial = stream.filter(pl.col("grade") == "B")
    told = partial.select(*KEY, "bytes", pl.col("sms_unsplit").cast(pl.Int64).alias("sms"))
    data, sms = (
        _laid(looks.filter(pl.col("kind") == kind), known, told, amount, sims)
        for kind, amount in (("data", "bytes"), ("sms", "sms"))
    )
    messages = sms.select(*KEY, pl.col("amount").clip(upper_bound=MAX_SMS).cast(pl.Int16).alias("messages"))
    quota = data.rename({"amount": "bytes"}).join(stream.select(*KEY, "sms_unsplit"), on=KEY, how="left")
    is_due = pl.col("is_new") | pl.col("emit_from").is_null() | (pl.col("day") >= pl.col("emit_from"))
    before = partial.filter(~pl.col("is_new")).join(known, on=KEY, how="anti")
    left = pl.concat([stream.filter("is_new"), before]).filter(is_due)
    left = left.join(quota, on=KEY, how="anti").select(list(USAGE.schema))
    return (
        pl.concat([_usage_rows(quota, "quota", now), left])
        .join(messages, on=KEY, how="left")
        .with_columns(pl.coalesce("messages", "sms_unsplit").alias("sms_unsplit"))
        .select(list(USAGE.schema))
    )


def _windows(looks: pl.DataFrame, sims: pl.DataFrame) -> pl.DataFrame:
    """Of each SIM with looks: begins, the first day they may tell of, and emit_from, the first one that may be new."""
    first = pl.col("observed_at").min()
    is_whole = (pl.col("emit_from").is_null() & pl.col("from_activation")).any()
    return (
        looks.group_by("sim_key")
        .agg(
            pl.col("day").min().alias("begins"),
            pl.col("emit_from").filter(pl.col("kind") == "data").first(),
            pl.when(is_whole).then(first - REACH).alias("reach"),
        )
        .join(sims.select("sim_key", "activated_at"), on="sim_key")
        .with_columns(
            pl.when(pl.col("activated_at") >= pl.col("reach")).then(pl.col("activated_at").dt.date()).alias("since")
        )
        .select("sim_key", pl.min_horizontal("begins", "since").alias("begins"), "emit_from")
    )


def _exact_days(transaction: Transaction, sims: pl.DataFrame, stream: pl.DataFrame) -> pl.DataFrame:
    """Days that a better source than the quota knows (KNOWN_DAYS_SCHEMA), of the stream by their grades of now."""
    first: date = sims["begins"].min()  # type: ignore[assignment]
    known = known_days(transaction, sims, first).filter(pl.col("rank") >= WHOLE)
    graded = known.join(sims.select("sim_key", "stream_day"), on="sim_key").filter(
        (pl.col("rank") == WHOLE) & (pl.col("day") >= pl.col("stream_day"))
    )
    whole = stream.filter(pl.col("is_new") & (pl.col("grade") == "A")).select(
        *KEY, "bytes", pl.col("sms_unsplit").cast(pl.Int64).alias("sms"), pl.lit(WHOLE, pl.Int32).alias("rank")
    )
    return pl.concat([known.join(graded, on=KEY, how="anti"), whole])


def _usage_rows(days: pl.DataFrame, source: str, now: datetime, *more: str) -> pl.DataFrame:
    """Days as the merge takes them, and the columns `more`; what they leave out is null."""
    missing = [pl.lit(None, kind).alias(name) for name, kind in USAGE.schema.items() if name not in days.columns]
    return days.with_columns(*missing).with_columns(
        pl.lit(source).alias("source"), pl.lit(now).cast(UTC_TIME).alias("known_at")
    ).select(*USAGE.schema, *more)  # fmt: skip


def _days_of_stream(transaction: Transaction, sims: pl.DataFrame, to: date | None, now: datetime) -> pl.DataFrame:
    """The stream's days up to `to` (USAGE), and of each is_new and emit_from.

    is_new   from the SIM's stream_day on: the day is graded as the outages say that are known now. Before that, from
             where its looks begin, come days with records; their grade is B, and the book knows which of them is A.
    """
    asked = sims.filter(pl.min_horizontal("stream_day", "begins") <= pl.lit(to, pl.Date))
    if asked.is_empty():
        return pl.DataFrame(schema={**USAGE.schema, "is_new": pl.Boolean, "emit_from": pl.Date})
    about = {"first": asked["stream_day"].min() or to, "last": to, "now": now}
    given: dict[str, Any] = {
        "sim_keys": asked["sim_key"].to_list(),
        "first_days": asked.select(pl.min_horizontal("stream_day", "begins")).to_series().to_list(),
        "covered": asked["covered_to"].fill_null(date(1, 1, 1)).to_list(),
        "whole": [row["day"] for row in transaction.rows("stream_whole_days", about) if row["whole"]],
        "last": to,
    }
    days = transaction.frame("stream_days", STREAM_DAYS_SCHEMA, given).join(
        asked.select("sim_key", "stream_day", "emit_from"), on="sim_key"
    )
    is_new = (pl.col("day") >= pl.col("stream_day")).fill_null(value=False)
    days = days.with_columns(
        is_new.alias("is_new"), pl.when(is_new).then("grade").otherwise(pl.lit("B")).alias("grade")
    ).filter(is_new | (pl.col("bytes") > 0) | (pl.col("sms_unsplit") > 0))
    return _usage_rows(days, "stream", now, "is_new", "emit_from")


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
    looks: pl.DataFrame, known: pl.DataFrame, told: pl.DataFrame, amount: str, sims: pl.DataFrame
) -> pl.DataFrame:
    """Ended days of one kind of quota that no better source knows: DAYS_SCHEMA of days_of_looks.

    known, told   sim_key, day, bytes, sms, and of known its rank: days that are exact, and days the stream told in part
    """
    whole_life = looks.filter(pl.col("emit_from").is_null() & pl.col("from_activation")).select("sim_key").unique()
    steps = with_activation(
        looks.select("sim_key", "observed_at", pl.col("most_used").alias("used")),
        sims.filter(pl.col("activated_at").is_not_null())
        .select("sim_key", "activated_at")
        .join(whole_life, on="sim_key", how="semi"),
    )
    # a file may know a day's data without its messages, which the stream then knows
    best = known.filter(pl.col(amount).is_not_null()).sort("rank", descending=True)
    best = best.unique(KEY, keep="first", maintain_order=True)
    seen = looks.group_by("sim_key").agg(pl.col("observed_at").max().dt.date().alias("seen_on"))
    # the day of the last look is not in the stretch as a whole
    ended = told.join(seen, on="sim_key").filter(pl.col("day") < pl.col("seen_on"))
    days = days_of_looks(steps, _as_known(best, amount), _as_known(ended, amount))
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
