"""Frames as the bytes that PostgreSQL's COPY takes and gives: its binary format, and CSV."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
import psycopg
from psycopg.abc import PQGen
from psycopg.generators import fetch_many
from psycopg.pq import ExecStatus
from psycopg.waiting import Wait

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


def all_of(copy: psycopg.Copy) -> io.BytesIO:
    """Everything that a COPY TO STDOUT gives. Raises psycopg's errors, as `Copy.read` does.

    PostgreSQL sends a message a row, and `Copy.read` takes a generator and a wait for each. Here one generator takes
    all that has arrived, and waits only when nothing has: a third of the time.
    """
    connection = copy.connection.pgconn

    def received() -> PQGen[io.BytesIO]:
        content = io.BytesIO()
        while True:
            size, row = connection.get_copy_data(1)
            if size > 0:
                content.write(row)
            elif size == 0:
                while not (yield Wait.R):
                    pass
                connection.consume_input()
            else:
                break
        # what `Copy` does itself when it has read the last row
        (result,) = yield from fetch_many(connection)
        if result.status != ExecStatus.COMMAND_OK:
            raise psycopg.errors.error_from_result(result)
        copy._finished = True
        return content

    return copy.connection.wait(received())


def from_csv(content: io.BytesIO, schema: Mapping[str, Any]) -> pl.DataFrame:
    if content.tell() == 0:
        return pl.DataFrame(schema=schema)
    content.seek(0)
    as_text = {name: pl.String if _parsed_later(kind) else kind for name, kind in schema.items()}
    frame = pl.read_csv(content, has_header=False, new_columns=list(schema), schema=as_text)
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
