"""Frames as the bytes that PostgreSQL's COPY takes and gives: its binary format, and CSV."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

NULL = r"\N"  # on the way in only: Polars writes NULL and the empty text alike without it, PostgreSQL does not

# SQL types of fixed width: what a Polars column must be for them, their form on the wire, and PostgreSQL's zero in
# Polars' count
BINARY: dict[str, tuple[pl.DataType, str, int]] = {
    "smallint": (pl.Int16(), ">i2", 0),
    "integer": (pl.Int32(), ">i4", 0),
    "bigint": (pl.Int64(), ">i8", 0),
    "double precision": (pl.Float64(), ">f8", 0),
    "date": (pl.Date(), ">i4", 10_957),
    "timestamptz": (pl.Datetime("us", "UTC"), ">i8", 946_684_800_000_000),
}


def to_binary(frame: pl.DataFrame, columns: Mapping[str, str]) -> bytes:
    """Rows without nulls in PostgreSQL's binary COPY format, made column by column.

    Source: PostgreSQL manual, COPY, "Binary Format": a header, then a row its number of fields and for each its length
    and value.
    """
    layout: list[tuple[str, str]] = [("fields", ">i2")]
    for name, kind in columns.items():
        layout += [(f"length of {name}", ">i4"), (name, BINARY[kind][1])]
    rows = np.empty(frame.height, dtype=layout)
    rows["fields"] = len(columns)
    for name, kind in columns.items():
        dtype, form, zero = BINARY[kind]
        rows[f"length of {name}"] = np.dtype(form).itemsize
        rows[name] = frame[name].cast(dtype).to_physical().to_numpy() - zero  # a number too large for the type raises
    return b"PGCOPY\n\xff\r\n\x00" + bytes(8) + rows.tobytes() + b"\xff\xff"


def to_csv(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_csv(
        buffer,
        include_header=False,
        quote_style="non_numeric",
        datetime_format="%Y-%m-%dT%H:%M:%S%.6fZ",
        null_value=NULL,
    )
    return buffer.getvalue()


def from_csv(buffer: io.BytesIO, schema: Mapping[str, Any]) -> pl.DataFrame:
    if buffer.tell() == 0:
        return pl.DataFrame(schema=schema)
    buffer.seek(0)
    as_text = {name: pl.String if _parsed_later(kind) else kind for name, kind in schema.items()}
    frame = pl.read_csv(buffer, has_header=False, new_columns=list(schema), schema=as_text)
    return frame.with_columns(
        *(
            pl.col(name).str.to_datetime("%Y-%m-%d %H:%M:%S%.f%#z", time_zone="UTC", time_unit="us")
            for name, kind in schema.items()
            if kind == pl.Datetime
        ),
        *(pl.col(name).str.to_date("%Y-%m-%d") for name, kind in schema.items() if kind == pl.Date),
        *((pl.col(name) == "t").alias(name) for name, kind in schema.items() if kind == pl.Boolean),
    )


def _parsed_later(kind: Any) -> bool:
    return any(kind == later for later in (pl.Date, pl.Boolean, pl.Datetime))  # a type and an instance of it are equal
