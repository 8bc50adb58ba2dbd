"""What the tables hold and take, on every storage grade: for `simsight storage`, scripts and support bundles."""

from __future__ import annotations

from datetime import date
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from sqlalchemy import URL

from resources.database.migrations import storage_grade
from resources.database.server import driver_url

# rows are those of the last ANALYZE, unknown before it: counting all of a large table would take minutes
TABLES = """
SELECT n.nspname || '.' || c.relname AS name, c.oid, nullif(c.reltuples, -1)::bigint AS rows,
    pg_total_relation_size(c.oid) AS bytes, pg_indexes_size(c.oid) AS index_bytes,
    (SELECT a.attname::text FROM pg_attribute AS a
     WHERE a.attrelid = c.oid AND NOT a.attisdropped AND a.attname = ANY (%(days)s)
     ORDER BY array_position(%(days)s, a.attname::text) LIMIT 1) AS day_column
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname IN ('raw', 'core', 'predictions', 'ops', 'big')
"""
# the column that says of which day a row is; the first that a table has
DAYS = ["as_of", "day", "occurred_at", "received_at", "opened_at", "started_at"]
# the same for hypertables, whose rows stand in chunks; chunks_detailed_size counts what is compressed too
CHUNKS = """
SELECT format('%I.%I', h.hypertable_schema, h.hypertable_name) AS name, h.compression_enabled,
    h.num_chunks AS chunks, k.rows, s.bytes, s.index_bytes, k.first_end, k.last_start
FROM timescaledb_information.hypertables AS h
CROSS JOIN LATERAL (SELECT format('%I.%I', h.hypertable_schema, h.hypertable_name)::regclass AS oid) AS r
CROSS JOIN LATERAL (
    SELECT coalesce(sum(total_bytes), 0)::bigint AS bytes, coalesce(sum(index_bytes), 0)::bigint AS index_bytes
    FROM chunks_detailed_size(r.oid)
) AS s
CROSS JOIN LATERAL (
    SELECT min(c.range_end) AS first_end, max(c.range_start) AS last_start,
        coalesce(sum(coalesce(z.numrows_pre_compression, greatest(p.reltuples, 0))), 0)::bigint AS rows
    FROM timescaledb_information.chunks AS c
    JOIN pg_class AS p ON p.oid = format('%I.%I', c.chunk_schema, c.chunk_name)::regclass
    JOIN _timescaledb_catalog.chunk AS i ON ops.chunk_table(to_jsonb(i)) = p.oid
    LEFT JOIN _timescaledb_catalog.compression_chunk_size AS z ON z.chunk_id = i.id
    WHERE c.hypertable_schema = h.hypertable_schema AND c.hypertable_name = h.hypertable_name
) AS k
WHERE h.hypertable_schema IN ('core', 'predictions', 'big')
"""
COMPRESSED = """
SELECT number_compressed_chunks AS compressed_chunks, before_compression_total_bytes AS before_bytes,
    after_compression_total_bytes AS compressed_bytes
FROM hypertable_compression_stats(%s::regclass)
"""


def storage(url: URL) -> list[dict[str, Any]]:
    """Each table that takes room, the largest first.

    rows is an estimate, None where a table is too new for one; bytes count indexes and what is compressed; ratio says
    how many times smaller compressed chunks are than they were. chunks and what follows of compression is None where
    there is none.
    """
    address = driver_url(url, "").render_as_string(hide_password=False)
    with (
        psycopg.connect(address, options="-c role=simsight_owner") as connection,
        connection.cursor(row_factory=dict_row) as cursor,
    ):
        tables = {row["name"]: row for row in cursor.execute(TABLES.encode(), {"days": DAYS}).fetchall()}
        hyper = cursor.execute(CHUNKS.encode()).fetchall() if storage_grade(connection).timescaledb else []
        for row in hyper:
            tables[row["name"]] |= row
        return sorted(
            (_described(cursor, table) for table in tables.values() if table["bytes"] > 0),
            key=lambda row: (-row["bytes"], row["table"]),
        )


def _described(cursor: psycopg.Cursor[dict[str, Any]], table: dict[str, Any]) -> dict[str, Any]:
    compressed: dict[str, Any] = {}
    if table.get("compression_enabled"):
        compressed = cursor.execute(COMPRESSED.encode(), (table["name"],)).fetchone() or {}
    before, after = compressed.get("before_bytes"), compressed.get("compressed_bytes")
    oldest, newest = _days(cursor, table)
    return {
        "table": table["name"],
        "rows": table["rows"],
        "bytes": table["bytes"],
        "index_bytes": table["index_bytes"],
        "chunks": table.get("chunks"),
        "compressed_chunks": compressed.get("compressed_chunks"),
        "compressed_bytes": after,
        "ratio": round(float(before / after), 1) if before and after else None,
        "oldest": oldest,
        "newest": newest,
    }


def _days(cursor: psycopg.Cursor[dict[str, Any]], table: dict[str, Any]) -> tuple[date | None, date | None]:
    """The days of the oldest and the newest row; of a hypertable only the first and the last chunk are read."""
    column = table["day_column"]
    if column is None or table.get("chunks") == 0:
        return None, None
    at, name = sql.Identifier(column), sql.Identifier(*table["name"].split("."))
    first: sql.Composable = sql.SQL("true")
    last: sql.Composable = sql.SQL("true")
    if table.get("chunks"):
        first = sql.SQL("{} < {}").format(at, table["first_end"])
        last = sql.SQL("{} >= {}").format(at, table["last_start"])
    statement = (
        "SELECT (SELECT min({0}) FROM {1} WHERE {2})::date AS low, (SELECT max({0}) FROM {1} WHERE {3})::date AS high"
    )
    found = cursor.execute(sql.SQL(statement).format(at, name, first, last)).fetchone()
    assert found is not None
    return found["low"], found["high"]
