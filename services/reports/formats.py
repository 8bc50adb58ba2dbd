"""The formats a report is written in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from services.reports.report import Report

ReportFormat = Literal["json", "csv", "xlsx", "html", "pdf"]
FORMATS: tuple[ReportFormat, ...] = get_args(ReportFormat)


@dataclass(frozen=True)
class Kind:
    """How a file of a format is named and sent."""

    suffix: str
    media_type: str


KINDS: dict[ReportFormat, Kind] = {
    "json": Kind("json", "application/json"),
    "csv": Kind("zip", "application/zip"),
    "xlsx": Kind("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    "html": Kind("html", "text/html; charset=utf-8"),
    "pdf": Kind("pdf", "application/pdf"),
}


def render(report: Report, format: ReportFormat) -> bytes:
    """A report in a format: the same report has the same bytes. Raises MissingPartError (pdf)."""
    return _renderer(format)(report)


def check_formats(formats: Sequence[ReportFormat]) -> None:
    """Raise MissingPartError where a format needs what is not installed."""
    if "pdf" in formats:
        from services.reports.pdf import load_typst

        load_typst()


def _renderer(format: ReportFormat) -> Callable[[Report], bytes]:
    match format:
        case "json":
            from services.reports.data_files import as_json

            return as_json
        case "csv":
            from services.reports.data_files import as_csv

            return as_csv
        case "xlsx":
            from services.reports.workbook import as_xlsx

            return as_xlsx
        case "html":
            from services.reports.page import as_html

            return lambda report: as_html(report).encode()
        case "pdf":
            from services.reports.pdf import as_pdf

            return as_pdf
