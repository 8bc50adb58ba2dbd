"""A report as JSON and as CSV files, for programs: every value as it is, with the unit in the name or beside it."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from datetime import date
from typing import Any

import orjson

from services.reports.report import Report

EPOCH = (1980, 1, 1, 0, 0, 0)  # the time of each file in an archive: the same report has the same bytes
FORMULA = re.compile("'*[=+@\t\r-]")


def as_json(report: Report) -> bytes:
    """The report as JSON: what it is about, and its sections with their columns and rows.

    A day is written YYYY-MM-DD, a share as a number from 0 to 1, a volume in MB, money in whole units.
    """
    content = {
        "title": report.title,
        "organization": report.organization,
        "first_day": report.first_day,
        "last_day": report.last_day,
        "as_of": report.as_of,
        "newest_usage_day": report.newest_day,
        "data_grades": dict(report.grades),
        "data_note": report.note,
        "label": report.label,
        "country": report.country,
        "sections": [
            {
                "name": section.name,
                "title": section.title,
                "reading": section.reading,
                "rows_in_all": section.frame.height if section.total is None else section.total,
                "columns": [
                    {"name": name, "title": column.title, "kind": column.kind, "unit": column.unit}
                    for name, column in section.columns.items()
                ],
                "rows": section.frame.to_dicts(),
            }
            for section in report.sections
        ],
    }
    return orjson.dumps(content, option=orjson.OPT_INDENT_2)


def as_csv(report: Report) -> bytes:
    """A zip of CSV files: about.csv, and one a section; in UTF-8, text guarded against spreadsheets as in exports."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        facts = [("Title", report.title), *report.about]
        readings = [(section.title, f"{section.reading} {section.shortened}".strip()) for section in report.sections]
        _add(archive, "about", ["name", "value"], [*facts, *readings])
        for section in report.sections:
            _add(archive, section.name, list(section.columns), section.rows())
    return buffer.getvalue()


def _add(archive: zipfile.ZipFile, name: str, heading: list[str], rows: list[Any]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(heading)
    writer.writerows([_cell(value) for value in row] for row in rows)
    about = zipfile.ZipInfo(f"{name}.csv", EPOCH)
    about.compress_type = zipfile.ZIP_DEFLATED
    about.external_attr = 0o644 << 16
    archive.writestr(about, text.getvalue())


def _cell(value: Any) -> Any:
    """A value as CSV has it: text that a spreadsheet would run as a formula has an apostrophe before it."""
    if isinstance(value, date):
        return value.isoformat()
    return f"'{value}" if isinstance(value, str) and FORMULA.match(value) else value
