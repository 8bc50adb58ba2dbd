"""Rows of files that wait in quarantine because their SIM was not listed: stored when it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

from resources.database.session import Merged, Transaction
from services.ingest.file_schemas import FILE_SCHEMAS, LABELS, FileSchema
from services.ingest.notation import Notation
from services.ingest.schemas import RESOLVED_SCHEMA, UTC_TIME


@dataclass(frozen=True)
class Waited:
    """How many waiting rows are stored now, and what that changed."""

    stored: int
    merged: Merged


def store_waiting_rows(transaction: Transaction, *, now: datetime) -> Waited:
    """Validate the rows whose SIM is listed by now; merge and resolve those that pass, the rest stays.

    Of several rows of one key the last counts, and a label does not replace one that came after it.
    """
    waiting = transaction.rows("waiting_rows")
    merged = Merged()
    resolved: list[tuple[str, str]] = []
    for schema in FILE_SCHEMAS.values():
        rows = [row for row in waiting if row["record"]["asked"]["kind"] == schema.name]
        if not rows:
            continue
        passed = _validated(schema, rows, now).filter(pl.col("reason").is_null())
        late = pl.lit(schema is LABELS) & pl.col("own_label_now").is_not_null()
        resolution = pl.when(late).then(pl.lit("superseded")).otherwise(pl.lit("replayed"))
        resolved += passed.select("record_key", resolution).rows()
        fresh = passed.filter(~late)
        values = fresh.unique(subset=schema.key, keep="last", maintain_order=True)
        if values.height:
            merged += transaction.merge(schema.merge, values.select("line", *schema.values(), "known_at"))
    if resolved:
        keys = [("file", key, now, resolution) for key, resolution in resolved]
        transaction.merge("resolve_quarantine", pl.DataFrame(keys, schema=RESOLVED_SCHEMA, orient="row").unique())
    return Waited(sum(resolution == "replayed" for _, resolution in resolved), merged)


def _validated(schema: FileSchema, rows: list[dict[str, Any]], now: datetime) -> pl.DataFrame:
    """The rows, in order, with their values, sim_key, known_at, record_key and the SIM's label of today."""
    cells: dict[Notation, list[dict[str, Any]]] = {}
    for place, row in enumerate(rows):
        asked, record = row["record"]["asked"], row["record"]["record"]
        notation = Notation(asked.get("decimal", "point"), asked.get("dates"), asked.get("groups", True))
        texts = {column.name: record.get(column.name) for column in schema.columns}
        cells.setdefault(notation, []).append({"line": place, **texts})
    names = {"line": pl.Int64, **dict.fromkeys((column.name for column in schema.columns), pl.String)}
    validated = [
        schema.validate(pl.DataFrame(alike, schema=names), today=now.date(), notation=notation)
        for notation, alike in cells.items()
    ]
    about = pl.DataFrame(
        [(row["record_key"], row["sim_key"], row["last_seen_at"].astimezone(UTC), row["own_label"]) for row in rows],
        schema={"record_key": pl.String, "sim_key": pl.Int32, "known_at": UTC_TIME, "own_label_now": pl.String},
        orient="row",
    )
    return pl.concat([pl.concat(validated).sort("line"), about], how="horizontal")
