"""Records of 1NCE's Data Streamer, from raw bodies to validated rows, and the watch over the stream as a whole.

Records come at least once and in any order. A repeated record changes nothing. A record that breaks a rule goes to
quarantine with the reason and rejects no other. A record of a SIM that is not listed yet is retried as soon as the SIM
is listed.
"""

import gc
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import orjson
import polars as pl

from resources.database.session import Database, Merged, Transaction
from resources.once.stream_records import AccountEvent, UsageRecord, parse_record, record_key
from resources.tracing import span
from services.ingest.schemas import QUARANTINE_SCHEMA, RESOLVED_SCHEMA, UTC_TIME, Schema
from services.ingest.stream_days import split_by_day

SOURCE = "stream"
BLOCK_RECORDS = 20_000
BLOCK_BYTES = 16_000_000
MAX_TRACES = 32
EPOCH, MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)

# seq: position of the record that a row was made from, among those given
USAGE_SCHEMA: Schema = {
    "record_id": pl.Int64,
    "iccid": pl.String,
    "kind": pl.String,
    "started_at": UTC_TIME,
    "ended_at": UTC_TIME,
    "total": pl.Int64,
    "rx": pl.Int64,
    "tx": pl.Int64,
    "sim_id": pl.Int64,
    "imsi_id": pl.Int64,
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
    "sim_id": pl.Int64,
    "imsi_id": pl.Int64,
    "country_id": pl.Int64,
    "operator_id": pl.Int64,
    "is_known": pl.Boolean,
    "known_at": UTC_TIME,
    "seq": pl.Int64,
}
ACCOUNT_EVENT_SCHEMA: Schema = {
    "record_id": pl.Int64,
    "occurred_at": UTC_TIME,
    "event_type": pl.String,
    "severity": pl.String,
    "alert": pl.Boolean,
    "description": pl.String,
    "known_at": UTC_TIME,
    "seq": pl.Int64,
}
NETWORK_NAMES_SCHEMA: Schema = {"kind": pl.String, "number": pl.Int64, "name": pl.String}
SIMS_SCHEMA: Schema = {"iccid": pl.String, "sim_key": pl.Int32}
# what must be the same in every record of one id
USAGE_CONTENT = ("record_id", "sim_key", "kind", "started_at", "ended_at", "total", "rx", "tx")
EVENT_CONTENT = ("record_id", "sim_key", "occurred_at", "event_type")


class StreamRecord(NamedTuple):
    """A raw record, when it came, its batch and its place there; `key` is its quarantine key, if it has one."""

    record: Any
    received_at: datetime
    batch: int
    at: int
    key: str | None = None


class RejectedRecord(NamedTuple):
    """A record (by its place among those given) that was not stored, and why; the ICCID, or what else names its SIM,
    when only its SIM is missing."""

    seq: int
    reason: str
    iccid: str | None = None


@dataclass
class Processed:
    """What processing the pending batches did.

    of_account       events that are about no SIM
    unknown_events   how many events of each type that resources.once.event_types does not know; they are kept as told
    notes            how often each field could not be read of a record that was kept
    traces           of the POSTs that brought the first batches
    """

    batches: int = 0
    records: int = 0
    usage: Merged = field(default_factory=Merged)
    events: Merged = field(default_factory=Merged)
    quarantined: int = 0
    retried: int = 0
    of_account: int = 0
    unknown_events: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    traces: list[str] = field(default_factory=list)

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
            "events of the account": self.of_account,
            "events of unknown types": dict(self.unknown_events.most_common(20)) if self.unknown_events else 0,
            "values not understood": {**self.notes} if self.notes else 0,
        }


def process_batches(database: Database, *, now: datetime, limit: int | None = None) -> Processed:
    """Merge pending batches, a block a transaction, until none is left or `limit` batches are done.

    Quarantined records whose SIM is listed by now go first. The transaction that merges a batch marks it as processed.
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
        traces = [batch["traceparent"] for batch in batches if batch["traceparent"]]
        done.traces += traces[: MAX_TRACES - len(done.traces)]
        with span("process stream batches", {"simsight.batches": len(batches)}, follows=traces):
            with _garbage_collector_paused():
                records = [
                    StreamRecord(record, batch["received_at"], batch["batch_id"], at)
                    for batch in batches
                    for at, record in enumerate(_records(batch["body"]))
                ]
                usage, events, rejected = store(transaction, records, done)
            transaction.merge("merge_quarantine", _quarantined(records, rejected))
            ids = [batch["batch_id"] for batch in batches]
            transaction.execute("finish_stream_batches", {"batch_ids": ids, "now": now})
    done.batches += len(batches)
    done.records += len(records)
    done.usage += usage
    done.events += events
    done.quarantined += len(rejected)
    return len(batches)


@contextmanager
def _garbage_collector_paused() -> Iterator[None]:
    """Pause the search for cycles: parsed JSON has none, and each search would visit its many objects again."""
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
    """Retry quarantined records whose SIM is listed by now; returns how many."""
    with database.transaction() as transaction:
        pending = transaction.rows("stream_records_now_known", {"rows": BLOCK_RECORDS})
        usage, events, passed = retry(transaction, pending, now=now)
    done.usage += usage
    done.events += events
    done.retried += passed
    return len(pending)


def retry(transaction: Transaction, pending: Sequence[dict[str, Any]], *, now: datetime) -> tuple[Merged, Merged, int]:
    """Retry quarantined records (record_key, reason, record) in the order given; returns usage, events, how many
    passed.

    A record that passes is resolved. A record that breaks another rule than before stays in quarantine with the new
    reason.
    """
    if not pending:
        return Merged(), Merged(), 0
    records = [_stored_record(row["record_key"], row["record"]) for row in pending]
    usage, events, rejected = store(transaction, records)
    still = {why.seq: why.reason for why in rejected}
    resolved = [
        (SOURCE, row["record_key"], now, "superseded" if seq in still else "replayed")
        for seq, row in enumerate(pending)
        if still.get(seq) != row["reason"]
    ]
    transaction.merge("resolve_quarantine", pl.DataFrame(resolved, schema=RESOLVED_SCHEMA, orient="row").unique())
    changed = [why for why in rejected if why.reason != pending[why.seq]["reason"]]
    transaction.merge("merge_quarantine", _quarantined(records, changed))
    return usage, events, len(pending) - len(rejected)


def _stored_record(key: str, kept: dict[str, Any]) -> StreamRecord:
    asked = kept["asked"]
    return StreamRecord(kept["record"], datetime.fromisoformat(asked["received_at"]), asked["batch"], asked["at"], key)


def store(
    transaction: Transaction, records: Sequence[StreamRecord], done: Processed | None = None
) -> tuple[Merged, Merged, list[RejectedRecord]]:
    """Validate records and merge the valid ones: what changed in usage and events, and which were rejected.

    Of several contents under one id the first stays: the one stored, else the one that stands first here. `done` takes
    the counts of what was not understood.
    """
    usage, events, of_account, rejected = _parse(records, done)
    if of_account.height:
        transaction.merge("merge_account_events", of_account.drop("seq").unique("record_id", keep="first"))
    events = _with_names(transaction, events)
    transaction.rows("share_stream_days")
    sims = _known_sims(transaction, usage, events)
    usage, events = (rows.join(sims, on="iccid", how="left", maintain_order="left") for rows in (usage, events))
    merged = []
    for rows, content, merge, shape in (
        (usage, USAGE_CONTENT, "merge_stream_usage", split_by_day),
        (events, EVENT_CONTENT, "merge_stream_events", _unique_events),
    ):
        listed = pl.col("sim_key").is_not_null()
        rejected += [
            RejectedRecord(seq, f"sim.iccid: got '{iccid}', which is not in the SIM list", iccid)
            if " " not in iccid
            else RejectedRecord(seq, f"sim.iccid: missing, and the SIM list knows no '{iccid}'", iccid)
            for seq, iccid in rows.filter(~listed).select("seq", "iccid").iter_rows()
        ]
        distinct = rows.filter(listed).unique(subset=content, keep="first", maintain_order=True)
        first = distinct.unique(subset="record_id", keep="first", maintain_order=True)
        changes, differing = _merge(transaction, merge, shape(first))
        others = pl.concat(
            [distinct.join(first, on="seq", how="anti"), first.filter(pl.col("record_id").is_in(differing))]
        )
        rejected += [
            RejectedRecord(
                seq, f"id: got {record_id} with other content than before, which stays; expected it to say the same"
            )
            for seq, record_id in others.select("seq", "record_id").iter_rows()
        ]
        repeated = rows.filter(listed).height - distinct.height
        merged.append(changes + Merged(unchanged=repeated))
    return merged[0], merged[1], rejected


def _with_names(transaction: Transaction, events: pl.DataFrame) -> pl.DataFrame:
    """Events with the names of operators and countries that they give by number alone, as far as others have said them.

    A name that is not known stays empty: a number in its place would look like a network where the SIM has not been.
    """
    kinds = ("operator", "country")
    said = pl.concat(
        events.select(pl.lit(kind).alias("kind"), pl.col(f"{kind}_id").alias("number"), pl.col(kind).alias("name"))
        for kind in kinds
    ).drop_nulls("number")
    named = said.drop_nulls("name").unique(("kind", "number"), keep="last")
    if named.height:
        transaction.merge("merge_network_names", named)
    if not said["name"].null_count():
        return events
    known = transaction.frame("network_names", NETWORK_NAMES_SCHEMA)
    for kind in kinds:
        names = known.filter(kind=kind).select(pl.col("number").alias(f"{kind}_id"), pl.col("name").alias("learnt"))
        events = events.join(names, on=f"{kind}_id", how="left", maintain_order="left")
        events = events.with_columns(pl.coalesce(kind, "learnt").alias(kind)).drop("learnt")
    return events


def _known_sims(transaction: Transaction, usage: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """Small keys of the SIMs that records name, by ICCID or otherwise; what else names a SIM is learnt on the way."""
    columns = ("iccid", "sim_id", "imsi_id")
    named = pl.concat([usage.select(columns), events.select(columns)])
    transaction.stage("known_sims", named.select("iccid").unique())
    sims = transaction.frame("known_sims", SIMS_SCHEMA)
    numbered = named.filter(pl.col("sim_id").is_not_null() | pl.col("imsi_id").is_not_null())
    transaction.merge(
        "merge_sim_ids",
        numbered.join(sims, on="iccid").select("sim_key", "sim_id", "imsi_id").unique("sim_key", keep="last"),
    )
    others = named.select("iccid").unique().filter(pl.col("iccid").str.contains(" ", literal=True))
    if others.is_empty():
        return sims
    transaction.stage("sims_by_other_names", others)
    return pl.concat([sims, transaction.frame("sims_by_other_names", SIMS_SCHEMA)])


def _parse(
    records: Iterable[StreamRecord], done: Processed | None
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, list[RejectedRecord]]:
    """Usage records, event records, events of the account, and rejected ones."""
    usage: list[tuple[Any, ...]] = []
    events: list[tuple[Any, ...]] = []
    rejected = []
    notes: list[str] = []
    of_account: list[tuple[Any, ...]] = []
    for seq, came in enumerate(records):
        try:
            row = parse_record(came.record, received_at=came.received_at, notes=notes)
        except ValueError as broken:
            rejected.append(RejectedRecord(seq, str(broken)))
            continue
        rows = usage if type(row) is UsageRecord else of_account if type(row) is AccountEvent else events
        rows.append((*row, came.received_at, seq))
    found = _frame(events, EVENT_SCHEMA)
    if done is not None:
        done.of_account += len(of_account)
        done.notes.update(note.partition(":")[0] for note in notes)
        done.unknown_events.update(found.filter(~pl.col("is_known"))["event_type"].str.slice(0, 80).to_list())
    return _frame(usage, USAGE_SCHEMA), found, _frame(of_account, ACCOUNT_EVENT_SCHEMA), rejected


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


def _unique_events(events: pl.DataFrame) -> pl.DataFrame:
    return events.unique(subset=("sim_key", "occurred_at", "event_type"), keep="first", maintain_order=True)


def _quarantined(records: Sequence[StreamRecord], rejected: Iterable[RejectedRecord]) -> pl.DataFrame:
    """Rejected records as quarantine rows, each content once."""
    rows = []
    for seq, reason, iccid in rejected:
        record, received_at, batch, at, key = records[seq]
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

    An outage of the stream is one incident, however many SIMs it silences.
    """
    with database.transaction() as transaction:
        found = transaction.row("watch_stream", {"now": now})
    assert found is not None
    message: str | None = found["message"]
    return message
