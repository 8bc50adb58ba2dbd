"""Another try for the records in quarantine."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from resources.database.session import Database, Merged
from services.ingest.endpoints import ENDPOINTS
from services.ingest.schemas import RESOLVED_SCHEMA
from services.ingest.waiting_rows import store_waiting_rows


@dataclass(frozen=True)
class Replayed:
    """What a replay of the quarantine did."""

    tried: int
    passed: int
    merged: Merged


def replay(database: Database, *, now: datetime) -> Replayed:
    """Parse every open quarantined record again; what passes now is merged and resolved, the rest stays.

    Of files, the rows that waited for their SIM are tried: others pass when their file is corrected and imported again.
    """
    from services.ingest.stream import SOURCE, retry  # which stands on this module

    with database.transaction() as transaction:
        pending = transaction.rows("quarantine_open")
        keys = {row["iccid"]: row["sim_key"] for row in transaction.rows("sim_keys")}
        merged = Merged()
        passed = []
        for endpoint in ENDPOINTS.values():
            frames = []
            for row in pending:
                if row["source"] != endpoint.name:
                    continue
                items, rejected = endpoint.parse(row["record"]["record"], row["record"]["asked"])
                if items:
                    frames.append(endpoint.frame(items, keys, row["last_seen_at"].astimezone(UTC)))
                if not rejected:  # a record that is none after all, such as a sum, passes without an item
                    passed.append((endpoint.name, row["record_key"], now, "replayed"))
            if frames:
                merged += transaction.merge(
                    endpoint.merge, pl.concat(frames).unique(subset=endpoint.key, keep="last", maintain_order=True)
                )
        transaction.merge("resolve_quarantine", pl.DataFrame(passed, schema=RESOLVED_SCHEMA, orient="row").unique())
        streamed = [row for row in pending if row["source"] == SOURCE]
        usage, events, streamed_passed = retry(transaction, streamed, now=now)
        waited = store_waiting_rows(transaction, now=now)
    stored = len(passed) + streamed_passed + waited.stored
    return Replayed(len(pending), stored, merged + usage + events + waited.merged)
