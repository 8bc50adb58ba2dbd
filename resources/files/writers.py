"""How an export is written: CSV, XLSX or Parquet, a block of rows at a time, so that memory does not grow with the
rows.

A block is a list of rows, each a line of PostgreSQL's CSV: nothing for NULL, "" for an empty text.
"""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any

import orjson
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from resources.database.catalog import Column
from resources.files.formats import ExportError, Format, StreamFormat

EXCEL_ROWS = 1_048_576  # the header counted
EXCEL_TEXT = 32_767
EXCEL_EXACT = 10**15  # Excel keeps 15 digits of a number
ARROW = {
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp with time zone": pa.timestamp("us", "UTC"),
    "timestamp without time zone": pa.timestamp("us"),
}

Blocks = Iterable[list[bytes]]


def write_csv(file: IO[bytes], columns: list[Column], blocks: Blocks) -> int:
    """Write a CSV in UTF-8 with a header; returns the number of rows."""
    header = io.StringIO()
    csv.writer(header, lineterminator="\n").writerow(column.name for column in columns)
    file.write(header.getvalue().encode())
    rows = 0
    for block in blocks:
        file.write(b"".join(block))
        rows += len(block)
    return rows


def write_parquet(file: IO[bytes], columns: list[Column], blocks: Blocks) -> int:
    """Write a Parquet file, a row group a block: text as strings, numeric as double precision, times in UTC."""
    rows = 0
    with pa.parquet.ParquetWriter(file, _schema(columns), compression="zstd") as writer:
        for block in blocks:
            writer.write_table(_table(columns, block))
            rows += len(block)
    return rows


def write_xlsx(file: IO[bytes], columns: list[Column], blocks: Blocks) -> int:
    """Write a workbook of one sheet.

    Text stays text whatever it looks like, and so does a number of more than 15 digits.

    Raises ExportError for more rows than a sheet can hold, or a text longer than a cell can.
    """
    import xlsxwriter  # type: ignore[import-untyped]

    rows = 0
    # the rows wait in a file of this folder until the workbook is closed
    with tempfile.TemporaryDirectory(prefix="simsight-") as folder:
        options = {"constant_memory": True, "tmpdir": folder, "remove_timezone": True, "nan_inf_to_errors": True}
        book = xlsxwriter.Workbook(file, options)
        sheet = book.add_worksheet()
        sheet.freeze_panes(1, 0)
        sheet.set_column(0, len(columns) - 1, 20)
        for place, column in enumerate(columns):
            sheet.write_string(0, place, column.name)
        formats = {
            "date": book.add_format({"num_format": "yyyy-mm-dd"}),
            "timestamp": book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"}),
        }
        writers = [_excel_cell(sheet, place, column, formats) for place, column in enumerate(columns)]
        for block in blocks:
            if rows + len(block) >= EXCEL_ROWS:
                raise ExportError(
                    f"an Excel sheet holds {EXCEL_ROWS - 1:,} rows and a header, and there are more: choose fewer with "
                    "conditions, or export CSV or Parquet"
                )
            cells = [column.to_pylist() for column in _table(columns, block).columns]
            for number, row in enumerate(zip(*cells, strict=True), rows + 1):
                for write, value in zip(writers, row, strict=True):
                    if value is not None:
                        write(number, value)
            rows += len(block)
        book.close()
    return rows


WRITERS: dict[Format, Callable[[IO[bytes], list[Column], Blocks], int]] = {
    "csv": write_csv,
    "xlsx": write_xlsx,
    "parquet": write_parquet,
}


def arrow_pieces(columns: list[Column], blocks: Blocks) -> Iterator[bytes]:
    """An Arrow IPC stream, a record batch a block; types as in Parquet."""
    sink = _Sink()
    with pa.ipc.new_stream(sink, _schema(columns)) as writer:
        for block in blocks:
            writer.write_table(_table(columns, block))
            yield sink.taken()
    yield sink.taken()


def parquet_pieces(columns: list[Column], blocks: Blocks) -> Iterator[bytes]:
    """A Parquet file as `write_parquet` makes it. Its end says where everything is: without it, it is no Parquet."""
    sink = _Sink()
    with pa.parquet.ParquetWriter(sink, _schema(columns), compression="zstd") as writer:
        for block in blocks:
            writer.write_table(_table(columns, block))
            yield sink.taken()
    yield sink.taken()


def ndjson_pieces(columns: list[Column], blocks: Blocks) -> Iterator[bytes]:
    """A JSON object a line: days as YYYY-MM-DD, times in UTC, JSON columns as text."""
    for block in blocks:
        rows = _table(columns, block).to_pylist()
        yield b"".join(orjson.dumps(row, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE) for row in rows)


class _Sink(io.RawIOBase):
    """A file whose bytes are taken away while it is written."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        return len(part)

    def taken(self) -> bytes:
        taken, self._parts = b"".join(self._parts), []
        return taken


STREAMS: dict[StreamFormat, Callable[[list[Column], Blocks], Iterator[bytes]]] = {
    "ndjson": ndjson_pieces,
    "arrow": arrow_pieces,
    "parquet": parquet_pieces,
}


def _schema(columns: list[Column]) -> Any:
    return pa.schema([(column.name, _arrow(column)) for column in columns])


def _excel_cell(sheet: Any, place: int, column: Column, formats: dict[str, Any]) -> Callable[[int, Any], object]:
    """Writes a value of a column into a row, by the column's type."""
    if column.is_text:

        def text(row: int, value: str) -> None:
            if len(value) > EXCEL_TEXT:
                raise ExportError(
                    f"{column.name} of row {row} has {len(value)} characters, and a cell of Excel holds {EXCEL_TEXT}: "
                    "export CSV or Parquet"
                )
            sheet.write_string(row, place, value)

        return text
    if column.base == "boolean":
        return lambda row, value: sheet.write_boolean(row, place, value)
    if column.base == "date":
        return lambda row, value: sheet.write_datetime(row, place, value, formats["date"])
    if column.base.startswith("timestamp"):
        return lambda row, value: sheet.write_datetime(row, place, value, formats["timestamp"])

    def number(row: int, value: float) -> None:
        if isinstance(value, int) and abs(value) >= EXCEL_EXACT:
            sheet.write_string(row, place, str(value))
        else:
            sheet.write_number(row, place, value)

    return number


def _arrow(column: Column) -> Any:
    return pa.string() if column.is_text else ARROW.get(column.base, pa.float64())


def _table(columns: list[Column], block: list[bytes]) -> Any:
    data = b"".join(block)
    return pa.csv.read_csv(
        pa.BufferReader(data),
        # one block: a row is not to be looked for beyond its end
        read_options=pa.csv.ReadOptions(
            column_names=[column.name for column in columns], use_threads=False, block_size=len(data) + 1
        ),
        parse_options=pa.csv.ParseOptions(newlines_in_values=True),
        convert_options=pa.csv.ConvertOptions(
            column_types={column.name: _arrow(column) for column in columns},
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["true"],
            false_values=["false"],
        ),
    )
