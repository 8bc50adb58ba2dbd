"""Exports: the rows of a documented view, chosen by conditions, streamed into a CSV, XLSX or Parquet file.

Which views and columns there are is read from the database, so a new view can be exported as soon as it is there. A
session sees its own organization's rows only. This module imports no data library: `resources.files.writers` does, when
an export runs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

import psycopg
from psycopg import sql

from resources.database.catalog import HIDDEN, Column, View, views
from resources.files.formats import ExportError, ExportFileError, Format, StreamFormat
from sql import query

if TYPE_CHECKING:
    from resources.database.session import Database


BLOCK_ROWS = 50_000
BLOCK_BYTES = 16_000_000
OPERATORS = {"=": "=", "!=": "<>", ">=": ">=", "<=": "<=", ">": ">", "<": "<"}
MAX_CONDITIONS = 1000


class UnknownViewError(ExportError):
    """There is no such view; the message lists those there are."""


@dataclass(frozen=True)
class Export:
    """What to export: a view by its short name (newest version) or its full one, conditions, columns (default: all).

    A condition is `column=value`, with one of = != >= <= > <. Several = of one column mean any of the values. Other
    conditions must all hold. An empty value means no value. `label=` works for every view with an iccid.
    """

    view: str
    format: Format
    where: Sequence[str] = ()
    columns: Sequence[str] = ()


def check_export(wanted: Export) -> None:
    """Check what needs no database. Raises ExportError for a column named twice, and for what is no condition."""
    if len(set(wanted.columns)) < len(wanted.columns):
        raise ExportError(f"a column is named twice: {', '.join(wanted.columns)}")
    _grouped(wanted.where)


def export(connection: psycopg.Connection[Any], wanted: Export, file: IO[bytes]) -> int:
    """Write the rows to a binary file, a block at a time, inside an open transaction; returns how many there were.

    Rows come in no particular order. Raises UnknownViewError; ExportError for unknown columns, for conditions that do
    not fit and for what the format cannot hold.
    """
    from resources.files.writers import WRITERS

    columns, statement, values = _copy(connection, wanted, guarded=wanted.format == "csv")
    # closed at once, also when writing fails: the connection must be out of the COPY before the transaction ends
    with closing(_blocks(connection, statement, values)) as blocks:
        return WRITERS[wanted.format](file, columns, blocks)


def stream(connection: psycopg.Connection[Any], wanted: Export, format: StreamFormat) -> Generator[bytes]:
    """Give the rows in pieces, as of one moment, inside an open transaction that lasts as long.

    The first piece comes with the first rows. `wanted.format` does not count.

    Raises as `export`.
    """
    from resources.files.writers import STREAMS

    columns, statement, values = _copy(connection, wanted, guarded=False)
    with closing(_blocks(connection, statement, values)) as blocks:
        yield from STREAMS[format](columns, blocks)


def write_query(
    connection: psycopg.Connection[Any],
    name: str,
    parameters: Mapping[str, Any],
    columns: list[Column],
    format: Literal["csv", "parquet", "ndjson"],
    file: IO[bytes],
) -> int:
    """Write the rows of sql/queries/<name>.sql to a binary file, a block at a time; returns its size in bytes.

    columns  of the query, those to write
    """
    from resources.files.writers import STREAMS, WRITERS

    statement = sql.SQL("COPY (SELECT {columns} FROM (\n{rows}\n) AS found) TO STDOUT (FORMAT csv)").format(
        columns=sql.SQL(", ").join(_cell(column, guarded=format == "csv") for column in columns),
        rows=sql.SQL(query(name)),
    )
    with closing(_blocks(connection, statement, parameters)) as blocks:
        if format == "ndjson":
            for piece in STREAMS[format](columns, blocks):
                file.write(piece)
        else:
            WRITERS[format](file, columns, blocks)
    return file.tell()


def _copy(
    connection: psycopg.Connection[Any], wanted: Export, *, guarded: bool
) -> tuple[list[Column], sql.Composed, list[Any]]:
    """The columns of an export, the statement that gives its rows as CSV, and the values of that.

    guarded  write text so that no spreadsheet runs it
    """
    check_export(wanted)
    known = views(connection)
    view = known.get(wanted.view)
    if view is None:
        names = sorted({view.name for view in known.values()})
        raise UnknownViewError(f"there is no view {wanted.view!r} to export; there are {', '.join(names)}")
    columns = [_column(view, name) for name in wanted.columns or [name for name in view.columns if name != HIDDEN]]
    conditions, values = _conditions(connection, view, known, wanted.where)
    statement = sql.SQL("COPY (SELECT {columns} FROM {view} WHERE {conditions}) TO STDOUT (FORMAT csv)").format(
        columns=sql.SQL(", ").join(_cell(column, guarded=guarded) for column in columns),
        view=view.identifier,
        conditions=sql.SQL(" AND ").join([sql.SQL("true"), *conditions]),
    )
    return columns, statement, values


def export_file(database: Database, wanted: Export, path: Path) -> int:
    """Export into a file, which is there as a whole or, when anything goes wrong, not at all (or as it was before).

    Returns the number of rows. Raises as `export`, and ExportFileError when the file cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            with database.transaction() as transaction:
                rows = export(transaction.connection, wanted, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise ExportFileError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)
    return rows


def _column(view: View, name: str) -> Column:
    if name not in view.columns:
        raise ExportError(f"{view.name} has no column {name!r}; it has {', '.join(view.columns)}")
    return view.columns[name]


def _cell(column: Column, *, guarded: bool) -> sql.Composable:
    """Write a column: numbers without trailing zeros, truth in words; guarded: text so that no spreadsheet runs it."""
    name = sql.Identifier(column.name)
    if column.base == "numeric":
        return sql.SQL("trim_scale({})").format(name)
    if column.base == "boolean":
        return sql.SQL("{}::text").format(name)
    if guarded and column.is_text:
        # an import takes the apostrophe off again
        return sql.SQL(
            r"CASE WHEN {name}::text ~ '^''*[=+@\t\r-]' THEN '''' || {name}::text ELSE {name}::text END"
        ).format(name=name)
    return name


def _conditions(
    connection: psycopg.Connection[Any], view: View, known: dict[str, View], where: Sequence[str]
) -> tuple[list[sql.Composable], list[Any]]:
    """The conditions as SQL with placeholders, and the values for these."""
    conditions: list[sql.Composable] = []
    given: list[Any] = []
    for (name, operator, _), values in _grouped(where).items():
        by_label = name == "label" and name not in view.columns and "iccid" in view.columns
        column = _column(known["sims"] if by_label else view, name)
        condition, parameters = _condition(connection, column, operator, values)
        if by_label:
            condition = sql.SQL("iccid IN (SELECT iccid FROM {} WHERE {})").format(known["sims"].identifier, condition)
        conditions.append(condition)
        given += parameters
    return conditions, given


def _grouped(where: Sequence[str]) -> dict[tuple[str, str, str], list[str]]:
    """The values by column, operator and what keeps conditions apart. Raises ExportError for what is no condition."""
    if len(where) > MAX_CONDITIONS:
        raise ExportError(f"{len(where)} conditions: at most {MAX_CONDITIONS}")
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for text in where:
        matched = re.fullmatch(r"\s*(\w+)\s*(!=|>=|<=|=|>|<)(.*)", text, flags=re.DOTALL)
        if matched is None:
            raise ExportError(f"{text!r} is no condition; expected column=value, with one of {' '.join(OPERATORS)}")
        name, operator, value = matched[1], matched[2], matched[3].strip()
        # several = of one column are alternatives; anything else stands for itself
        grouped.setdefault((name, operator, "" if operator == "=" and value else text), []).append(value)
    return grouped


def _condition(
    connection: psycopg.Connection[Any], column: Column, operator: str, values: list[str]
) -> tuple[sql.Composable, list[Any]]:
    name, kind = sql.Identifier(column.name), sql.SQL(column.type)  # the catalog's own words
    if values == [""]:
        if operator not in ("=", "!="):
            raise ExportError(f"{column.name}{operator}: a value is missing")
        return sql.SQL("{} IS NULL" if operator == "=" else "{} IS NOT NULL").format(name), []
    if operator == "=":
        held, parameters = sql.SQL("= ANY(%s::text[]::{}[])").format(kind), [values]
    else:
        held, parameters = sql.SQL("{} %s::text::{}").format(sql.SQL(OPERATORS[operator]), kind), values  # type: ignore[assignment]
    try:
        with connection.transaction():
            connection.execute(sql.SQL("SELECT NULL::{} {}").format(kind, held), parameters)
    except (psycopg.DataError, UnicodeEncodeError):
        shown = ", ".join(values[:3])
        raise ExportError(f"{column.name}{operator}{shown}: expected a value of the type {column.type}") from None
    except psycopg.errors.UndefinedFunction:
        raise ExportError(f"{column.name}: a {column.type} cannot be compared with {operator}") from None
    return sql.SQL("{} {}").format(name, held), parameters


def _blocks(
    connection: psycopg.Connection[Any], statement: sql.Composed, values: list[Any] | Mapping[str, Any]
) -> Generator[list[bytes]]:
    """The rows as lines of CSV, some at a time. The protocol gives one message a row."""
    rows: list[bytes] = []
    size = 0
    with connection.cursor() as cursor, cursor.copy(statement, values) as copy:
        for row in copy:
            rows.append(bytes(row))
            size += len(row)
            if len(rows) >= BLOCK_ROWS or size >= BLOCK_BYTES:
                yield rows
                rows, size = [], 0
    if rows:
        yield rows
