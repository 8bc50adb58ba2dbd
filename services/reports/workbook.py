"""A report as an Excel workbook: one sheet a section, typed cells, number formats, a frozen heading, charts."""

from __future__ import annotations

import io
from datetime import datetime
from typing import Any

from services.reports.report import NUMBER_FORMATS, Column, Report, Section

EXCEL_TEXT = 32_767
EXCEL_EXACT = 10**15  # Excel keeps 15 digits of a number
MADE = datetime(2000, 1, 1)  # noqa: DTZ001 - says nothing: the same report has the same bytes
WIDTHS = {"text": 24, "day": 12, "count": 12, "figure": 16}


def as_xlsx(report: Report) -> bytes:
    """The workbook. Text stays text, whatever it looks like."""
    import xlsxwriter  # type: ignore[import-untyped]

    buffer = io.BytesIO()
    options = {
        "in_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
        "nan_inf_to_errors": True,
    }
    book = xlsxwriter.Workbook(buffer, options)
    note = f" ({report.note})" if report.note else ""
    book.set_properties({"title": f"{report.title}{note}", "author": "Simsight", "created": MADE})
    formats = {
        kind: book.add_format({"num_format": written, "align": "right"}) for kind, written in NUMBER_FORMATS.items()
    }
    bold = book.add_format({"bold": True, "text_wrap": True, "valign": "top", "bottom": 1})
    names = {section.name: _sheet_name(section) for section in report.sections}
    _about(book, report, names)
    for section in report.sections:
        sheet = book.add_worksheet(names[section.name])
        sheet.freeze_panes(1, 0)
        sheet.set_landscape()
        sheet.fit_to_pages(1, 0)
        sheet.repeat_rows(0)
        sheet.set_footer(f"&L{_printed(report.title)}, {report.period}{_printed(note)}&R&P / &N")
        for place, column in enumerate(section.columns.values()):
            sheet.set_column(place, place, WIDTHS.get(column.kind, 14))
            sheet.write_string(0, place, column.heading, bold)
        for number, row in enumerate(section.rows(), 1):
            for place, (column, value) in enumerate(zip(section.columns.values(), row, strict=True)):
                _write(sheet, number, place, column, value, formats)
        if section.frame.height:
            sheet.autofilter(0, 0, section.frame.height, len(section.columns) - 1)
        if section.chart:
            sheet.insert_chart(1, len(section.columns) + 1, _chart(book, section, names[section.name]))
    book.close()
    return buffer.getvalue()


def _about(book: Any, report: Report, names: dict[str, str]) -> None:
    """The first sheet: what the report is about, and what each sheet says."""
    sheet = book.add_worksheet("About")
    title = book.add_format({"bold": True, "font_size": 16})
    bold, wrapped = (
        book.add_format({"bold": True, "valign": "top"}),
        book.add_format({"text_wrap": True, "valign": "top"}),
    )
    link = book.add_format({"font_color": "#0072b2", "underline": 1, "valign": "top"})
    sheet.set_column(0, 0, 34)
    sheet.set_column(1, 1, 100)
    sheet.write_string(0, 0, report.title, title)
    row = 2
    for name, value in report.about:
        sheet.write_string(row, 0, name, bold)
        sheet.write_string(row, 1, value[:EXCEL_TEXT], wrapped)
        row += 1
    row += 1
    for section in report.sections:
        sheet.write_url(row, 0, f"internal:'{names[section.name]}'!A1", link, section.title)
        sheet.write_string(row, 1, f"{section.reading} {section.shortened}".strip(), wrapped)
        row += 1


def _write(sheet: Any, row: int, place: int, column: Column, value: Any, formats: dict[Any, Any]) -> None:
    if value is None:
        return
    if column.is_text:
        sheet.write_string(row, place, value[:EXCEL_TEXT])
    elif column.kind == "day":
        sheet.write_datetime(row, place, value, formats["day"])
    elif isinstance(value, int) and abs(value) >= EXCEL_EXACT:
        sheet.write_string(row, place, str(value))
    else:
        sheet.write_number(row, place, value, formats[column.kind])


def _chart(book: Any, section: Section, sheet: str) -> Any:
    about = section.chart
    assert about is not None
    chart = book.add_chart({"type": "line" if about.kind == "line" else "bar"})
    columns = list(section.columns)
    last = section.frame.height
    for name in (*about.y, *(about.band or ())):
        at = columns.index(name)
        chart.add_series(
            {
                "name": [sheet, 0, at],
                "categories": [sheet, 1, columns.index(about.x), last, columns.index(about.x)],
                "values": [sheet, 1, at, last, at],
            }
        )
    chart.set_title({"name": section.title})
    if about.kind == "line":
        chart.set_x_axis({"date_axis": True, "num_format": "yyyy-mm-dd"})
    else:
        chart.set_y_axis({"reverse": True})
    chart.set_size({"width": 760, "height": 340})
    return chart


def _sheet_name(section: Section) -> str:
    """A sheet's name is at most 31 characters long and has none of []:*?/\\."""
    return section.name.replace("_", " ").capitalize()[:31]


def _printed(text: str) -> str:
    """Text in a footer, where & begins a code."""
    return text.replace("&", "&&")
