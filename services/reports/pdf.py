"""A report as a PDF by Typst: title page, contents, page numbers, charts; tagged as PDF/UA-1 asks.

The report goes in as JSON alone, never as markup, so a label such as `#eval(1)` is text. What the fonts here cannot
show, which PDF/UA-1 forbids, is written as its code point.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from resources.errors import UsageError
from services.reports.charts import described, draw
from services.reports.report import Column, Report, Section, long_texts, shown_rows

FOLDER = Path(__file__).parent
FONTS = FOLDER / "fonts"
NARROW = 6  # columns that fit beside each other


class MissingPartError(UsageError):
    """What makes PDF files is not installed."""


def load_typst() -> Any:
    """Typst. Raises MissingPartError."""
    try:
        import typst
    except ImportError as missing:
        raise MissingPartError("a PDF needs the extra [reports]: pip install 'simsight[reports]'") from missing
    return typst


def as_pdf(report: Report) -> bytes:
    """The PDF: the same report gives the same bytes. Raises MissingPartError."""
    typst = load_typst()
    content = {
        "title": _clean(report.title),
        "organization": _clean(report.organization),
        "period": report.period,
        "note": _clean(report.note),
        "about": [[name, _clean(value)] for name, value in report.about],
        "sections": [_section(section) for section in report.sections],
    }
    made = typst.compile(
        (FOLDER / "templates" / "report.typ").read_bytes(),
        font_paths=[str(FONTS)],
        ignore_system_fonts=True,
        sys_inputs={"report": orjson.dumps(content).decode()},
        format="pdf",
        pdf_standards=["ua-1"],
    )
    assert isinstance(made, bytes)
    return made


def _section(section: Section) -> dict[str, Any]:
    columns = list(section.columns.values())
    rows = [[_clean(cell) for cell in row] for row in shown_rows(section)]
    # a column of nothing would be an empty strip
    full = [place for place in range(len(columns)) if not rows or any(row[place] for row in rows)]
    columns, rows = [columns[place] for place in full], [[row[place] for place in full] for row in rows]
    long = {columns[place].title for place in long_texts(rows)}
    titles = [column.title for column in columns]
    if long and len(titles) > NARROW and "ICCID" in titles:
        at = titles.index("ICCID")  # the label stands below it: a page is narrow
        columns[at : at + 2] = [Column("SIM")]
        rows = [[*row[:at], "\n".join(filter(None, row[at : at + 2])), *row[at + 2 :]] for row in rows]
    return {
        "title": section.title,
        "reading": _clean(section.reading),
        "shortened": section.shortened,
        "chart": draw(section, clean=_clean) if section.chart else None,
        "alt": _clean(described(section)) if section.chart else None,
        "headings": [column.heading for column in columns],
        "right": [column.is_number for column in columns],
        "long": [column.title in long for column in columns],
        # so many narrow tables stand beside each other
        "beside": {1: 4, 2: 4, 3: 3, 4: 2}.get(len(columns), 1) if columns[0].kind == "day" else 1,
        "rows": rows,
    }


def _clean(text: str) -> str:
    r"""Text with each character that no font here shows written as its code point, such as \u6c34."""
    return _unknown().sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


@cache
def _unknown() -> re.Pattern[str]:
    """What the fonts do not show: all but what Inter here and DejaVu Sans Mono, which is in Typst, have together."""
    ranges = (line.split("-") for line in (FONTS / "covered.txt").read_text().split())
    known = "".join(f"\\U{int(first, 16):08x}-\\U{int(last, 16):08x}" for first, last in ranges)
    return re.compile(f"[^{known}]")
