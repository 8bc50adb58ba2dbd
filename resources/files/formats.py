"""The formats that tables and reports are read from and written to."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from resources.errors import SimsightError, UsageError

Format = Literal["csv", "xlsx", "parquet"]
StreamFormat = Literal["ndjson", "arrow", "parquet"]  # what can be sent while it is being made
Source = bytes | Path
FORMATS: tuple[Format, ...] = get_args(Format)
ReportFormat = Literal["json", "csv", "xlsx", "html", "pdf"]  # csv: a zip of one file a table
REPORT_FORMATS: tuple[ReportFormat, ...] = get_args(ReportFormat)
REPORT_SUFFIXES: dict[ReportFormat, str] = {
    "json": "json",
    "csv": "zip",
    "xlsx": "xlsx",
    "html": "html",
    "pdf": "pdf",
}
REPORT_MEDIA_TYPES: dict[ReportFormat, str] = {
    "json": "application/json",
    "csv": "application/zip",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "html": "text/html; charset=utf-8",
    "pdf": "application/pdf",
}


class ImportRejectedError(SimsightError):
    """A file cannot be imported; nothing of it was. The message says what, in which line, and what to do."""


class ExportError(UsageError):
    """An export is not possible as asked; the message says why and what is."""


class ExportFileError(SimsightError):
    """The file of an export cannot be written."""


def format_of(path: Path) -> Format:
    """The format a file name asks for. Raises ExportError."""
    extension = path.suffix.lower().removeprefix(".")
    for known in FORMATS:
        if extension == known:
            return known
    raise ExportError(f"{path.name}: the name must end with .csv, .xlsx or .parquet")
