"""A report as one self-contained HTML page, and what it shares with the fleet page."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ml import words
from services.reports.charts import described, draw
from services.reports.report import Report, Section, long_texts, shown_rows

PHONE_UNITS = 360


def as_html(report: Report) -> str:
    """The page, as HTML text that needs nothing else. The same report gives the same text."""
    charts = {section.name: _pictures(section) for section in report.sections if section.chart}
    rows = {section.name: shown_rows(section) for section in report.sections}
    long = {name: long_texts(cells) for name, cells in rows.items()}
    return environment().get_template("report.html.j2").render(report=report, charts=charts, rows=rows, long=long)


def environment(**filters: Callable[..., Any]) -> Environment:
    """The templates, with the words for numbers and days as filters, and others."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,  # labels and messages are foreign text
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "money": words.money,
        "mb": words.megabytes,
        "percent": words.percent,
        "change": words.change,
        "count": words.count,
        "so_many": words.so_many,
    } | filters
    made.globals["span"] = words.span
    return made


def _pictures(section: Section) -> dict[str, str]:
    """The chart twice, wide and as narrow as a phone: shrunk, its letters could not be read."""
    return {
        "words": described(section),
        "wide": _data_url(draw(section)),
        "narrow": _data_url(draw(section, width=PHONE_UNITS)),
    }


def _data_url(svg: str) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"
