"""Tables in files, read as text: CSV, Excel workbooks (.xlsx) and Parquet, batch by batch, each row with its number.

Whatever the format, a cell becomes the text a person would write: dates as YYYY-MM-DD, times in ISO 8601, numbers as
decimals. A number of 16 digits or more in a format that keeps numbers as floating point has been rounded: it is
written with an exponent (8988.228066e+15), so that nobody takes it for an identifier.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from resources.files.csv_form import FOUND, CsvForm, CsvOptions, csv_form
from resources.files.formats import Format, ImportRejectedError, Source

BATCH_ROWS = 500_000
MAX_WORKBOOK_BYTES = 2_000_000_000  # unpacked: a workbook is read at once
EXACT = 1e15  # floating point numbers hold 15 decimal digits; spreadsheets show no more


@dataclass(frozen=True)
class Table:
    """A file opened for reading.

    header   as it stands there
    unit     how its rows are counted for a person
    csv      how a CSV is written; None for other formats
    """

    format: Format
    header: list[str]
    unit: Literal["line", "row"]
    _frames: Callable[[dict[str, int]], Iterator[pl.DataFrame]]
    csv: CsvForm | None = None

    def batches(self, columns: Mapping[str, int]) -> Iterator[pl.DataFrame]:
        """Some columns by their place in the header, under new names, as text without blanks around it.

        Yields frames of `line` (Int64: of a CSV the line the row begins on, of a workbook its row, the header counted;
        of Parquet the row from 1) and the columns (String, null where empty), without empty rows. Raises
        ImportRejectedError when the rest of the file turns out to be broken.
        """
        for frame in self._frames(dict(columns)):
            text = frame.select("line", pl.col(list(columns)).str.strip_chars().replace("", None))
            yield text.filter(~pl.all_horizontal(pl.col(list(columns)).is_null()))


def open_table(
    source: Source,
    *,
    name: str,
    sheet: str | None = None,
    told: CsvOptions = FOUND,
    expected: Collection[str] = (),
) -> Table:
    """Open a file by what it holds, not by its name alone.

    sheet      for workbooks; by default the first one is read
    told       for CSV: what the user says of it
    expected   names of columns, in small letters, that help to find the separator of a CSV
    Raises ImportRejectedError, saying what to save it as, for what is no table or is named after another format.
    """
    found = _format(source)
    claimed = Path(name).suffix.lower()
    if found == "csv" and claimed in (".xlsx", ".parquet"):
        kind = "Excel workbook" if claimed == ".xlsx" else "Parquet file"
        raise ImportRejectedError(f"{name} is no {kind} inside, or is damaged; save it again")
    if sheet is not None and found != "xlsx":
        raise ImportRejectedError(f"{name} has no sheets: only an Excel workbook does")
    if found == "xlsx":
        return _open_workbook(source, sheet)
    return _open_parquet(source) if found == "parquet" else _open_csv(source, told, expected)


def _format(source: Source) -> Format:
    if isinstance(source, Path):
        with source.open("rb") as file:
            begin = file.read(8)
    else:
        begin = source[:8]
    if begin.startswith(b"PK\x03\x04"):
        return "xlsx"
    if begin.startswith(b"PAR1"):
        return "parquet"
    if begin.startswith(b"\xd0\xcf\x11\xe0"):
        raise ImportRejectedError("this is an old or a protected Excel workbook: save it as .xlsx, without a password")
    return "csv"


def _open_csv(source: Source, told: CsvOptions, expected: Collection[str]) -> Table:
    if source == b"" or (isinstance(source, Path) and source.stat().st_size == 0):
        raise ImportRejectedError("the file is empty; it needs a header line")
    form = csv_form(source, told, expected=expected)

    def scan(*, cut: bool = False) -> pl.LazyFrame:
        return pl.scan_csv(
            form.text,
            infer_schema=False,
            null_values="",
            encoding="utf8",
            separator=form.separator,
            eol_char=form.line_end,
            skip_lines=form.above,
            truncate_ragged_lines=cut,
        )

    try:
        names = scan().collect_schema().names()
    except pl.exceptions.PolarsError as error:
        raise _broken_csv(error, form) from None
    header = [re.sub(r"_duplicated_[0-9]+$", "", name) for name in names]
    first = form.above + 2 + sum(name.count(form.line_end) for name in header)

    def read(columns: dict[str, int], *, cut: bool) -> Iterator[pl.DataFrame]:
        breaks = pl.sum_horizontal(pl.all().str.count_matches(form.line_end, literal=True)).cast(pl.Int64).alias("line")
        wanted = scan(cut=cut).select(breaks, *(pl.col(names[place]).alias(ours) for ours, place in columns.items()))
        line = first
        for batch in wanted.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True):
            # a quoted cell may hold line breaks: the rows after it stand so much lower
            above = pl.col("line").cum_sum() - pl.col("line")
            begun = pl.int_range(pl.len(), dtype=pl.Int64) + line + above
            line += batch.height + int(batch["line"].sum())
            yield batch.with_columns(begun.alias("line"))

    def frames(columns: dict[str, int]) -> Iterator[pl.DataFrame]:
        last = 0
        try:
            for batch in read(columns, cut=False):
                yield batch
                last = int(batch["line"].max() or last)  # type: ignore[arg-type]
        except pl.exceptions.PolarsError as error:
            if "more fields" not in str(error):
                raise _broken_csv(error, form) from None
            _refuse_more_cells(form, len(header))
            # the cells past the header are all empty: what stands before them is read on from where it stopped
            for batch in read(columns, cut=True):
                yield batch.filter(pl.col("line") > last)

    return Table("csv", header, "line", frames, form)


def _refuse_more_cells(form: CsvForm, width: int) -> None:
    """Name the first line with more cells than the header. Raises ImportRejectedError unless those are empty."""
    try:
        for line, row in form.rows():
            if any(cell.strip() for cell in row[width:]):
                raise ImportRejectedError(
                    f"line {line} has more fields than the header, which has {width}: write decimals with a point, or "
                    "quote text that holds a separator"
                )
    except csv.Error as error:
        raise ImportRejectedError(f"a line has more fields than the header; {error}") from None


def _broken_csv(error: pl.exceptions.PolarsError, form: CsvForm) -> ImportRejectedError:
    said, encoding = str(error), form.read_as[0]
    if isinstance(error, pl.exceptions.NoDataError):
        return ImportRejectedError("the file is empty; it needs a header line")
    if "not properly escaped" in said or "CSV malformed" in said:
        return ImportRejectedError(f"the file is not a CSV in {encoding}: a quote is opened and not closed")
    return ImportRejectedError(f"the file is not a CSV in {encoding}: {said.splitlines()[0]}")


def _open_workbook(source: Source, sheet: str | None) -> Table:
    import fastexcel

    data = source if isinstance(source, bytes) else source.read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            size = sum(part.file_size for part in packed.infolist())
        if size > MAX_WORKBOOK_BYTES:
            raise ImportRejectedError(
                f"the workbook is larger than {MAX_WORKBOOK_BYTES // 1_000_000} MB unpacked; save it as CSV or Parquet"
            )
        book = fastexcel.read_excel(data)
        if sheet is not None and sheet not in book.sheet_names:
            raise ImportRejectedError(f"the workbook has no sheet {sheet!r}; it has {', '.join(book.sheet_names)}")
        # every row of the sheet from its very first, as text, and once more as booleans, which tell a number from a
        # text
        chosen = sheet if sheet is not None else 0
        texts = book.load_sheet(chosen, header_row=None, skip_rows=0, dtypes="string").to_polars()
        truths = book.load_sheet(chosen, header_row=None, skip_rows=0, dtypes="boolean").to_polars()
    except (fastexcel.FastExcelError, zipfile.BadZipFile) as error:
        raise ImportRejectedError(f"the workbook cannot be read: {str(error).splitlines()[0]}; save it again") from None
    filled = texts.select(~pl.all_horizontal(pl.all().is_null())).to_series() if texts.width else pl.Series([False])
    first = filled.arg_max() if filled.any() else None
    if first is None:
        raise ImportRejectedError("the sheet is empty; it needs a row of column names")
    header = [cell or "" for cell in texts.row(first)]

    def frames(columns: dict[str, int]) -> Iterator[pl.DataFrame]:
        cells = [
            pl.when(truths.to_series(place).is_not_null() & pl.nth(place).str.contains(r"^-?[0-9]{16,}"))
            .then(_decimal(pl.nth(place).cast(pl.Float64, strict=False)))
            .otherwise(_clean(pl.nth(place)))
            .alias(ours)
            for ours, place in columns.items()
        ]
        row = pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("line")
        yield from texts.select(row, *cells).slice(first + 1).iter_slices(BATCH_ROWS)

    return Table("xlsx", header, "row", frames)


def _open_parquet(source: Source) -> Table:
    try:
        rows = pl.scan_parquet(source)
        schema = rows.collect_schema()
    except pl.exceptions.PolarsError as error:
        raise _broken_parquet(error) from None
    header = schema.names()

    def frames(columns: dict[str, int]) -> Iterator[pl.DataFrame]:
        cells = [_text(header[place], schema[header[place]]).alias(ours) for ours, place in columns.items()]
        row = 1
        try:
            for batch in rows.select(cells).collect_batches(chunk_size=BATCH_ROWS, maintain_order=True):
                yield batch.with_row_index("line", offset=row).with_columns(pl.col("line").cast(pl.Int64))
                row += batch.height
        except pl.exceptions.PolarsError as error:
            raise _broken_parquet(error) from None

    return Table("parquet", header, "row", frames)


def _broken_parquet(error: pl.exceptions.PolarsError) -> ImportRejectedError:
    return ImportRejectedError(f"the Parquet file cannot be read: {str(error).splitlines()[0]}; write it again")


def _text(name: str, dtype: pl.DataType) -> pl.Expr:
    """A typed column as the text a person would write."""
    column = pl.col(name)
    if dtype == pl.Datetime:
        zone = getattr(dtype, "time_zone", None)
        moment = column.dt.convert_time_zone("UTC") if zone else column
        return moment.dt.strftime("%Y-%m-%dT%H:%M:%S%.6f" + ("Z" if zone else ""))
    if dtype.is_float():
        return _decimal(column.cast(pl.Float64))
    if dtype == pl.Decimal:
        # zeros at the end are no places
        return column.cast(pl.String).str.replace(r"^(-?[0-9]+\.[0-9]*?)0+$", "$1").str.strip_chars_end(".")
    if dtype.is_nested() or dtype in (pl.Binary, pl.Object):
        raise ImportRejectedError(f"the column {name} holds {dtype}; it must hold text, numbers, dates or times")
    return _clean(column.cast(pl.String))


def _decimal(number: pl.Expr) -> pl.Expr:
    """Floating point numbers as decimals of at most 15 digits, which undoes the binary rounding of a sum such as 0.1 +
    0.2."""
    size = number.abs()
    small = number.cast(pl.Decimal(38, 12), strict=False).cast(pl.String).str.strip_chars_end("0")
    return (
        pl.when(size >= EXACT)
        .then(pl.format("{}e+15", (number / EXACT).round_sig_figs(15)))
        .when(number == number.round(0))
        .then(number.cast(pl.Int64, strict=False).cast(pl.String))
        .when(size < 1e-3)
        .then(small)
        .otherwise(number.round_sig_figs(15).cast(pl.String))
    )


def _clean(text: pl.Expr) -> pl.Expr:
    return text.str.replace_all("\x00", "\ufffd", literal=True)  # PostgreSQL keeps no NUL
