"""A report written in any of its formats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from resources.files.formats import ReportFormat

if TYPE_CHECKING:
    from services.reports.report import Report


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
