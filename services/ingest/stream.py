"""What 1NCE's Data Streamer brought, from bodies as they came to checked rows, and the watch over the stream as a whole.

Records come at least once and in any order. A record that came before changes nothing; one that breaks a rule waits in
quarantine with the reason and takes no other with it; one of a SIM not listed yet is taken up as soon as it is.
"""

import gc
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import orjson
import polars as pl

from resources.database.session import Database, Merged, Transaction
from resources.once.stream_records import EventRecord, UsageRecord, parse_record, record_key
from services.ingest.schemas import QUARANTINE_SCHEMA, SETTLED_SCHEMA, UTC_TIME, Schema

SOURCE = "stream"
BLOCK_RECORDS = 20_000
BLOCK_BYTES = 16_000_000
EPOCH, MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)

# seq: which incoming record a row was made from
USAGE_SCHEMA: Schema = {
    "record_id": pl.Int64,
    "iccid": pl.String,
    "kind": pl.String,
    "started_at": UTC_TIME,
    "ended_at": UTC_TIME,
    "total": pl.Int64,
    "rx": pl.Int64,
    "tx": pl.Int64,
    "known_at": UTC_TIME,
    "seq": pl.Int64,
}
EVENT_SCHEMA: Schema = {
    "record_id": pl.Int64,
    "iccid": pl.String,
    "occurred_at": UTC_TIME,
    "event_type": pl.String,
    "severity": pl.String,
    "alert": pl.Boolean,
    "imei": pl.String,
    "imsi": pl.String,
    "country": pl.String,
    "operator": pl.String,
    "known_at": UTC_TIME,
    "seq": pl.Int64,
}
# what must be the same in every record of one id
USAGE_CONTENT = ("record_id", "sim_key", "kind", "started_at", "ended_at", "total", "rx", "tx")
EVENT_CONTENT = ("record_id", "sim_key", "occurred_at", "event_type")


class Incoming(NamedTuple):
    """A record as it came, when, and where it stood: its batch and place there. `key` is its name in quarantine, if it has one."""

    record: Any
    received_at: datetime
    batch: int
    at: int
    key: str | None = None


class Refused(NamedTuple):
    """An incoming record (by its place among those given) that was not stored, and why; the ICCID when only its SIM is missing."""

    seq: int
    reason: str
    iccid: str | None = None


@dataclass
class Processed:
    """What a pass over the waiting batches did."""

    batches: int = 0
    records: int = 0
    usage: Merged = field(default_factory=Merged)
    events: Merged = field(default_factory=Merged)
    quarantined: int = 0
    retried: int = 0

    def metadata(self) -> dict[str, Any]:
        """The figures by name, for the Dagster UI."""
        return {
            "batches": self.batches,
            "records": self.records,
            "dagster/row_count": self.usage.new + self.events.new,
            "usage rows new": self.usage.new,
            "usage rows known already": self.usage.unchanged,
            "events new": self.events.new,
            "events known already": self.events.unchanged,
            "records quarantined": self.quarantined,
            "records whose SIM is listed now": self.retried,
        }


def process_batches(database: Database, *, now: datetime, limit: int | None = None) -> Processed:
    """Merge what waits, a block of batches a transaction, until nothing waits or `limit` batches are done.

    Quarantined records whose SIM is listed by now go first. A batch is marked as processed in the transaction that merges it.
    """
    done, analyzed = Processed(), False
    while _retry_block(database, done, now):
        pass
    while limit is None or done.batches < limit:
        if not _process_block(database, done, now):
            break
        if done.batches and not analyzed:
            database.rows("analyze_new_tables")
            analyzed = True
    return done


def _process_block(database: Database, done: Processed, now: datetime) -> int:
    with database.transaction() as transaction:
        batches = transaction.rows("take_stream_batches", {"records": BLOCK_RECORDS, "bytes": BLOCK_BYTES})
        if not batches:
            return 0
        with _collector_at_rest():
            incoming = [
                Incoming(record, batch["received_at"], batch["batch_id"], at)
                for batch in batches
                for at, record in enumerate(_records(batch["body"]))
            ]
            usage, events, refused = store(transaction, incoming)
        transaction.merge("merge_quarantine", _quarantined(incoming, refused))
        ids = [batch["batch_id"] for batch in batches]
        transaction.execute("finish_stream_batches", {"batch_ids": ids, "now": now})
    done.batches += len(batches)
    done.records += len(incoming)
    done.usage += usage
    done.events += events
    done.quarantined += len(refused)
    return len(batches)


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    """No search for cycles meanwhile: parsed JSON has none, and its many objects would be walked again and again."""
    active = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if active:
            gc.enable()


def _records(body: bytes) -> list[Any]:
    document = orjson.loads(body)
    return document if isinstance(document, list) else [document]


def _retry_block(database: Database, done: Processed, now: datetime) -> int:
    """Take up quarantined records whose SIM is listed by now; returns how many."""
    with database.transaction() as transaction:
        waiting = transaction.rows("stream_records_now_known", {"rows": BLOCK_RECORDS})
        usage, events, passed = retry(transaction, waiting, now=now)
    done.usage += usage
    done.events += events
    done.retried += passed
    return len(waiting)


def retry(transaction: Transaction, waiting: Sequence[dict[str, Any]], *, now: datetime) -> tuple[Merged, Merged, int]:
    """Store quarantined records (record_key, reason, record) again, in the order given; returns usage, events, how many passed.

    What passes is settled. What breaks another rule than before waits on with that one.
    """
    if not waiting:
        return Merged(), Merged(), 0
    incoming = [_as_it_came(row["record_key"], row["record"]) for row in waiting]
    usage, events, refused = store(transaction, incoming)
    still = {why.seq: why.reason for why in refused}
    settled = [
        (SOURCE, row["record_key"], now, "superseded" if seq in still else "replayed")
        for seq, row in enumerate(waiting)
        if still.get(seq) != row["reason"]
    ]
    transaction.merge("settle_quarantine", pl.DataFrame(settled, schema=SETTLED_SCHEMA, orient="row").unique())
    changed = [why for why in refused if why.reason != waiting[why.seq]["reason"]]
    transaction.merge("merge_quarantine", _quarantined(incoming, changed))
    return usage, events, len(waiting) - len(refused)


def _as_it_came(key: str, kept: dict[str, Any]) -> Incoming:
    asked = kept["asked"]
    return Incoming(kept["record"], datetime.fromisoformat(asked["received_at"]), asked["batch"], asked["at"], key)


def store(transaction: Transaction, incoming: Sequence[Incoming]) -> tuple[Merged, Merged, list[Refused]]:
    """Check records and merge the good ones: what changed in usage and events, and which were refused.

    Of several contents under one id the first stays: the one stored, else the one that stands first here.
    """
    usage, events, refused = _parse(incoming)
    iccids = pl.concat([usage["iccid"], events["iccid"]]).unique()
    transaction.stage("known_sims", iccids.to_frame())
    sims = transaction.frame("known_sims", {"iccid": pl.String, "sim_key": pl.Int32})
    usage, events = (rows.join(sims, on="iccid", how="left", maintain_order="left") for rows in (usage, events))
    merged = []
    for rows, content, merge, shape in (
        (usage, USAGE_CONTENT, "merge_stream_usage", split_by_day),
        (events, EVENT_CONTENT, "merge_stream_events", _once_an_event),
    ):
        listed = pl.col("sim_key").is_not_null()
        refused += [
            Refused(seq, f"sim.iccid: got '{iccid}', which is not in the SIM list", iccid)
            for seq, iccid in rows.filter(~listed).select("seq", "iccid").iter_rows()
        ]
        distinct = rows.filter(listed).unique(subset=content, keep="first", maintain_order=True)
        first = distinct.unique(subset="record_id", keep="first", maintain_order=True)
        changes, differing = _merge(transaction, merge, shape(first))
        others = pl.concat(
            [distinct.join(first, on="seq", how="anti"), first.filter(pl.col("record_id").is_in(differing))]
        )
        refused += [
            Refused(
                seq, f"id: got {record_id} with other content than before, which stays; expected it to say the same"
            )
            for seq, record_id in others.select("seq", "record_id").iter_rows()
        ]
        repeated = rows.filter(listed).height - distinct.height
        merged.append(changes + Merged(unchanged=repeated))
    return merged[0], merged[1], refused


def _parse(incoming: Iterable[Incoming]) -> tuple[pl.DataFrame, pl.DataFrame, list[Refused]]:
    """Usage records, event records, and what is neither."""
    usage: list[tuple[Any, ...]] = []
    events: list[tuple[Any, ...]] = []
    refused = []
    for seq, came in enumerate(incoming):
        try:
            row: UsageRecord | EventRecord = parse_record(came.record, received_at=came.received_at)
        except ValueError as broken:
            refused.append(Refused(seq, str(broken)))
        else:
            rows = usage if type(row) is UsageRecord else events
            rows.append((*row, came.received_at, seq))
    return _frame(usage, USAGE_SCHEMA), _frame(events, EVENT_SCHEMA), refused


def _frame(rows: list[tuple[Any, ...]], schema: Schema) -> pl.DataFrame:
    """Rows as a frame. Times go in as whole microseconds, which is several times as fast as handing over datetimes."""
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    return pl.DataFrame(
        [
            pl.Series(name, [(moment - EPOCH) // MICROSECOND for moment in column], pl.Int64).cast(kind)
            if kind == UTC_TIME
            else pl.Series(name, column, kind)
            for (name, kind), column in zip(schema.items(), columns, strict=True)
        ]
    )


def _merge(transaction: Transaction, name: str, rows: pl.DataFrame) -> tuple[Merged, list[int]]:
    """Run a merge that says which ids it left alone because they are stored with other content."""
    if rows.is_empty():
        return Merged(), []
    transaction.stage(name, rows)
    counts = transaction.row(name)
    assert counts is not None
    return Merged(new=counts["new"], unchanged=counts["unchanged"]), counts["differing"]


def _once_an_event(events: pl.DataFrame) -> pl.DataFrame:
    return events.unique(subset=("sim_key", "occurred_at", "event_type"), keep="first", maintain_order=True)


def split_by_day(records: pl.DataFrame) -> pl.DataFrame:
    """Usage records as rows of core.stream_usage, one a record and UTC day.

    A record over midnight is split by its share of time on each day, received and sent volume each in whole units (where only
    the total is known, that), and what the rounding leaves goes to the last day: the parts always sum up to the record.
    A record that ends at midnight has no part in the day that begins then.
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


def _quarantined(incoming: Sequence[Incoming], refused: Iterable[Refused]) -> pl.DataFrame:
    """Refused records as the quarantine keeps them, each content once."""
    rows = []
    for seq, reason, iccid in refused:
        record, received_at, batch, at, key = incoming[seq]
        asked = {"received_at": received_at.isoformat(), "batch": batch, "at": at} | ({"iccid": iccid} if iccid else {})
        text = _as_json(record)
        kept = f'{{"record": {text}, "asked": {json.dumps(asked)}}}'
        rows.append((SOURCE, key or record_key(record, text), reason.replace("\x00", "\ufffd"), kept, received_at))
    frame = pl.DataFrame(rows, schema=QUARANTINE_SCHEMA, orient="row")
    return frame.unique(subset=("record_key", "reason"), keep="first", maintain_order=True)


def _as_json(record: Any) -> str:
    try:
        return json.dumps(record, sort_keys=True).replace("\\u0000", "\\ufffd")
    except RecursionError:
        return '"nested too deeply to be kept here: see its batch in raw.stream_batches"'


def watch_stream(database: Database, *, now: datetime) -> str | None:
    """Open or close the incident `stream_outage` as of a time; what is wrong in words, or None when nothing is.

    An outage of the stream is one incident, however many SIMs it leaves unheard.
    """
    with database.transaction() as transaction:
        found = transaction.row("watch_stream", {"now": now})
    assert found is not None
    message: str | None = found["message"]
    return message
