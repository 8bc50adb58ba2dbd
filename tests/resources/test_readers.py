"""What is read from CSV files, workbooks and Parquet files: the text of each cell, and the number of each row."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import xlsxwriter

from resources.files import readers as tabular
from resources.files.csv_form import CsvOptions, csv_options
from resources.files.formats import ImportRejectedError
from resources.files.readers import open_table

DAY = date(2025, 9, 1)
MOMENT = datetime(2025, 9, 1, 10, 30, 5)


def workbook(sheets: dict[str, list[list[Any]]], *, top: int = 0, left: int = 0) -> bytes:
    """A workbook with these cells, dates as dates, texts as texts, beginning so many rows and columns from the
    corner."""
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer, {"in_memory": True, "strings_to_formulas": False}) as book:
        day, moment = book.add_format({"num_format": "yyyy-mm-dd"}), book.add_format({"num_format": "yyyy-mm-dd hh:mm"})
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for i, row in enumerate(rows, top):
                for j, cell in enumerate(row, left):
                    if isinstance(cell, date):
                        sheet.write_datetime(i, j, cell, moment if isinstance(cell, datetime) else day)
                    elif cell is not None:
                        sheet.write(i, j, cell)
    return buffer.getvalue()


def read(data: bytes, *columns: int, name: str = "file", sheet: str | None = None) -> list[tuple[Any, ...]]:
    """(number, cell, ...) of each row."""
    table = open_table(data, name=name, sheet=sheet)
    chosen = {f"c{place}": place for place in columns or range(len(table.header))}
    return [row for batch in table.batches(chosen) for row in batch.iter_rows()]


def test_a_row_of_a_csv_is_numbered_by_the_line_it_begins_on() -> None:
    data = b'a,b\n1,"two\nlines"\n2,x\n\n3,"three\n\nlines"\n4,y\n'

    assert read(data) == [(2, "1", "two\nlines"), (4, "2", "x"), (6, "3", "three\n\nlines"), (9, "4", "y")]


def test_lines_are_numbered_on_from_batch_to_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tabular, "BATCH_ROWS", 1000)
    data = b"a,b\n" + b"".join(b'%d,"x\ny"\n' % n for n in range(5000))

    rows = read(data)

    assert [row[0] for row in rows] == list(range(2, 10_002, 2))
    assert [row[1] for row in rows] == [str(n) for n in range(5000)]


def test_cells_of_a_workbook_are_what_a_person_reads_and_rows_what_the_sheet_counts() -> None:
    rows = [
        ["text", "day", "moment", "number", "sum"],
        ["007", DAY, MOMENT, 3, 0.1 + 0.2],
        [None] * 5,
        [" x ", "2025-09-02", "2025-09-02T10:00Z", 1.5, 0.000001],
    ]

    found = read(workbook({"Usage": rows}, top=2, left=1))

    assert found == [
        (4, "007", "2025-09-01 00:00:00", "2025-09-01 10:30:05", "3", "0.3"),
        (6, "x", "2025-09-02", "2025-09-02T10:00Z", "1.5", "0.000001"),
    ]


def test_a_number_too_long_to_be_exact_is_told_from_a_text_of_the_same_digits() -> None:
    digits = "8988228066000000000"
    cells = [["iccid"], [digits], [int(digits)], [123456789012345]]

    found = [cell for _, cell in read(workbook({"A": cells}))]

    assert found == [digits, "8988.228066e+15", "123456789012345"]


def test_another_sheet_can_be_chosen_by_name() -> None:
    data = workbook({"Notes": [["hello"], ["x"]], "Usage": [["a"], ["1"]]})

    assert read(data, sheet="Usage") == [(2, "1")]
    assert read(data) == [(2, "x")]
    with pytest.raises(ImportRejectedError, match="no sheet 'Use'; it has Notes, Usage"):
        read(data, sheet="Use")
    with pytest.raises(ImportRejectedError, match="only an Excel workbook"):
        read(b"a,b\n", sheet="Usage")


def test_typed_columns_of_parquet_are_written_as_text() -> None:
    frame = pl.DataFrame(
        {
            "whole": [8988228066000000001, None],
            "number": [8988228066000000001.0, 0.1 + 0.2],
            "small": [0.000001, -0.25],
            "decimal": [Decimal("1.500000"), Decimal("20.000000")],
            "day": [DAY, None],
            "moment": [MOMENT, None],
            "zoned": [datetime(2025, 9, 1, 10, 30, 5, 7, tzinfo=UTC), None],
            "flag": [True, False],
            "word": ["a\x00b", " "],
        }
    ).with_columns(pl.col("word").cast(pl.Categorical), pl.col("zoned").dt.convert_time_zone("Europe/Berlin"))
    buffer = io.BytesIO()
    frame.write_parquet(buffer)

    first, second = read(buffer.getvalue())

    assert first == (
        1,
        "8988228066000000001",
        "8988.228066e+15",
        "0.000001",
        "1.5",
        "2025-09-01",
        "2025-09-01T10:30:05.000000",
        "2025-09-01T10:30:05.000007Z",
        "true",
        "a\ufffdb",
    )
    assert second == (2, None, "0.3", "-0.25", "20", None, None, None, "false", None)


def test_a_parquet_column_that_holds_no_cells_is_refused_when_it_is_asked_for() -> None:
    buffer = io.BytesIO()
    pl.DataFrame({"a": [[1, 2]], "b": ["x"]}).write_parquet(buffer)

    assert read(buffer.getvalue(), 1) == [(1, "x")]
    with pytest.raises(ImportRejectedError, match=r"the column a holds List"):
        read(buffer.getvalue(), 0)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.xlsx", b"PK\x03\x04 and then nothing", "the workbook cannot be read"),
        ("a.xlsx", b"iccid,day,mb\n", "is no Excel workbook inside"),
        ("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old or a protected Excel workbook: save it as .xlsx"),
        ("a.parquet", b"PAR1 and then nothing", "the Parquet file cannot be read"),
        ("a.parquet", b"iccid\n", "is no Parquet file inside"),
        ("a.xlsx", workbook({"Empty": []}), "the sheet is empty"),
        ("a.xlsx", workbook({"Empty": [[None]]}), "the sheet is empty"),
    ],
)
def test_a_damaged_or_misnamed_file_is_refused_with_what_to_do(name: str, data: bytes, message: str) -> None:
    with pytest.raises(ImportRejectedError, match=message):
        open_table(data, name=name)


def test_a_parquet_file_cut_off_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    pl.DataFrame({"a": list(range(1000))}).write_parquet(buffer)

    with pytest.raises(ImportRejectedError, match="the Parquet file cannot be read"):
        open_table(buffer.getvalue()[:-100], name="a.parquet")


def test_a_workbook_that_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tabular, "MAX_WORKBOOK_BYTES", 1000)

    with pytest.raises(ImportRejectedError, match="unpacked; save it as CSV or Parquet"):
        open_table(workbook({"A": [["a"], ["1"]]}), name="a.xlsx")


def test_a_file_is_read_where_it_stands_as_from_memory(tmp_path: Path) -> None:
    path = tmp_path / "usage.csv"
    path.write_text("a,b\n1,2\n")
    table = open_table(path, name=path.name)

    assert [batch.rows() for batch in table.batches({"b": 1})] == [[(2, "2")]]
    path.write_bytes("a,b\n1,2\n".encode("utf-16-le"))
    with pytest.raises(ImportRejectedError, match=r"NUL bytes.*say --encoding utf-16"):
        open_table(path, name=path.name)


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize(
    ("data", "told", "read_as"),
    [
        ("a;b\n1;é\n".encode(), {}, ("UTF-8", "semicolons")),
        ("a\tb\r\n1\té\r\n".encode("utf-16"), {}, ("UTF-16", "tabs")),
        (b"\xfe\xff" + "a,b\n1,é\n".encode("utf-16-be"), {}, ("UTF-16", "commas")),
        ("a,b\n1,é\n".encode("utf-16-be"), {"encoding": "utf-16"}, ("UTF-16", "commas")),
        ("a|b\n1|é\n".encode("windows-1252"), {}, ("Windows-1252", "pipes")),
        ("a,b\r1,é\r".encode(), {}, ("UTF-8", "commas")),
        ("\ufeffsep=;\r\na;b\r\n1;é\r\n".encode(), {}, ("UTF-8", "semicolons")),
        ("a,b\n1,é,,\n".encode(), {}, ("UTF-8", "commas")),
        ("a;b,c\n1;é\n".encode(), {"separator": ";"}, ("UTF-8", "semicolons")),
    ],
)
def test_how_a_csv_is_written_is_found_or_told_and_said(
    tmp_path: Path, data: bytes, told: dict[str, Any], read_as: tuple[str, ...], in_memory: bool
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(data)

    table = open_table(data if in_memory else path, name=path.name, told=CsvOptions(**told))

    assert table.csv is not None
    assert table.csv.read_as == read_as
    line = 3 if b"sep=" in data else 2
    assert [row for batch in table.batches({"a": 0, "b": 1}) for row in batch.rows()] == [(line, "1", "é")]


def test_empty_cells_past_the_header_are_left_out_and_others_named_by_their_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tabular, "BATCH_ROWS", 1000)
    good = b"".join(b'%d,"x\ny"\n' % n for n in range(50_000))

    assert [row[1] for row in read(b"a,b\n" + good + b"50000,z,,\n50001,z\n")] == [str(n) for n in range(50_002)]
    with pytest.raises(ImportRejectedError, match="line 100003 has more fields than the header, which has 2"):
        read(b"a,b\n" + good + b"1,2,,\n1,2,5\n")


def test_lines_above_the_header_are_counted() -> None:
    assert read(b"\n\nsep=;\n\na;b\n1;2\n") == [(6, "1", "2")]


def test_columns_that_are_expected_tell_the_separator_from_a_sign_in_a_name() -> None:
    data = b"iccid,label,one;two;three;four\n1,2,3\n"

    assert open_table(data, name="a.csv", expected={"iccid", "label"}).header == [
        "iccid",
        "label",
        "one;two;three;four",
    ]


@pytest.mark.parametrize(("encoding", "separator"), [("latin-2", None), (None, ":")])
def test_what_cannot_be_said_of_a_csv_is_refused(encoding: str | None, separator: str | None) -> None:
    with pytest.raises(ImportRejectedError, match="expected"):
        csv_options(encoding, separator)
    assert csv_options("utf-16", "semicolon") == CsvOptions("utf-16", ";")
