"""Another try for the records in quarantine."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from resources.database.session import Database, Merged
from services.ingest.endpoints import SOURCES
from services.ingest.schemas import SETTLED_SCHEMA


@dataclass(frozen=True)
class Replayed:
    """What a replay of the quarantine did."""

    tried: int
    passed: int
    merged: Merged


def replay(database: Database, *, now: datetime) -> Replayed:
    """Parse every open quarantined record again; what passes now is merged and settled, the rest stays."""
    from services.ingest.stream import SOURCE, retry  # which stands on this module

    with database.transaction() as transaction:
        waiting = transaction.rows("quarantine_open")
        keys = {row["iccid"]: row["sim_key"] for row in transaction.rows("sim_keys")}
        merged = Merged()
        passed = []
        for source in SOURCES.values():
            frames = []
            for row in waiting:
                if row["source"] != source.name:
                    continue
                items, _ = source.parse(row["record"]["record"], row["record"]["asked"])
                if items:
                    frames.append(source.frame(items, keys, row["last_seen_at"].astimezone(UTC)))
                    passed.append((source.name, row["record_key"], now, "replayed"))
            if frames:
                merged += transaction.merge(
                    source.merge, pl.concat(frames).unique(subset=source.key, keep="last", maintain_order=True)
                )
        transaction.merge("settle_quarantine", pl.DataFrame(passed, schema=SETTLED_SCHEMA, orient="row").unique())
        streamed = [row for row in waiting if row["source"] == SOURCE]
        usage, events, streamed_passed = retry(transaction, streamed, now=now)
    return Replayed(len(waiting), len(passed) + streamed_passed, merged + usage + events)
