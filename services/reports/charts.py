"""A section's chart as SVG text: the same for page and PDF, and the same bytes for the same table. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from html import escape

from ml import words
from ml.plain_text import one_line
from services.reports.report import SHOWN, Column, Section

INK, SOFT, GRID = "#1c2430", "#5a6675", "#dde3e9"
COLOURS = ("#0072b2", "#d55e00", "#009e73")
BARS = 12  # at most, the largest
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 14, 30


def draw(section: Section, *, width: int = 720, height: int = 250, clean: Callable[[str], str] = str) -> str:
    """The chart of a section that has one, on a sheet of `width` by `height` units, with letters of 12 units.

    clean   makes foreign text fit for the letters there are
    """
    assert section.chart is not None
    body = _bars(section, width, clean) if section.chart.kind == "bars" else _lines(section, width, height)
    tall = height if section.chart.kind == "line" else 20 + 22 * min(section.frame.height, BARS)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {tall}" width="{width}" height="{tall}" '
        f'font-family="Inter, system-ui, sans-serif" font-size="12" fill="{INK}">{body}</svg>'
    )


def described(section: Section) -> str:
    """The chart in words, for those who cannot see it."""
    assert section.chart is not None
    names = " and ".join(section.columns[name].heading for name in section.chart.y)
    return f"{section.title}: {names}. {section.reading}"


def _lines(section: Section, width: int, height: int) -> str:
    chart = section.chart
    assert chart is not None
    days: list[date] = section.frame[chart.x].to_list()
    series = [section.frame[name].to_list() for name in chart.y]
    band = [section.frame[name].to_list() for name in chart.band] if chart.band else []
    values = [value for line in (*series, *band) for value in line if value is not None]
    top, ticks = _scale(max(values, default=0.0))
    first = days[0]
    span = max((days[-1] - first).days, 1)
    column = section.columns[chart.y[0]]

    def x(day: date) -> float:
        return LEFT + (day - first).days / span * (width - LEFT - RIGHT)

    def y(value: float) -> float:
        return height - BOTTOM - value / top * (height - TOP - BOTTOM)

    parts = []
    for tick in ticks:
        parts.append(f'<path d="M{LEFT} {y(tick):.1f}H{width - RIGHT}" stroke="{GRID}"/>')
        parts.append(_text(LEFT - 6, y(tick) + 4, _tick(column, tick), "end"))
    parts += [
        _text(x(day), height - 10, words.day(day), "middle" if x(day) < width - 40 else "end")
        for day in _days(first, days[-1], most=max(2, width // 110))
    ]
    if len(band) == 2:
        low, high = band
        known = [n for n in range(len(days)) if low[n] is not None and high[n] is not None]
        there = [f"{x(days[n]):.1f} {y(high[n]):.1f}" for n in known]
        back = [f"{x(days[n]):.1f} {y(low[n]):.1f}" for n in reversed(known)]
        if known:
            parts.append(f'<path d="M{"L".join(there + back)}Z" fill="{COLOURS[0]}" fill-opacity="0.18"/>')
    for colour, line in zip(COLOURS, series, strict=False):
        points = [f"{x(day):.1f} {y(value):.1f}" for day, value in zip(days, line, strict=True) if value is not None]
        if len(points) == 1:
            at = points[0].split()
            parts.append(f'<circle cx="{at[0]}" cy="{at[1]}" r="3" fill="{colour}"/>')
        elif points:
            parts.append(f'<path d="M{"L".join(points)}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
    return "".join(parts)


def _bars(section: Section, width: int, clean: Callable[[str], str]) -> str:
    chart = section.chart
    assert chart is not None
    column, over = section.columns[chart.y[0]], section.columns[chart.x]
    names = [SHOWN[over.kind](name) for name in section.frame[chart.x].to_list()]
    if chart.beside:
        names = [f"{name}, {other}" for name, other in zip(names, section.frame[chart.beside].to_list(), strict=True)]
    pairs = list(zip(names, section.frame[chart.y[0]].to_list(), strict=True))[:BARS]
    top = max((value or 0 for _, value in pairs), default=0) or 1
    left, right = width * 0.26, width * 0.14
    parts = []
    for place, (name, value) in enumerate(pairs):
        at = 12 + 22 * place
        label = clean(one_line(name, max(12, int(left / 7))))
        long = (value or 0) / top * (width - left - right)
        parts.append(_text(left - 8, at + 12, label, "end"))
        parts.append(f'<rect x="{left:.1f}" y="{at}" width="{max(long, 0.5):.1f}" height="15" fill="{COLOURS[0]}"/>')
        parts.append(_text(left + long + 6, at + 12, SHOWN[column.kind](value or 0), "start"))
    return "".join(parts)


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{SOFT}">{escape(text)}</text>'


def _tick(column: Column, value: float) -> str:
    return SHOWN[column.kind](round(value) if column.kind == "count" else value)


def _scale(most: float) -> tuple[float, list[float]]:
    """The top of an axis from 0 that holds `most`, and where it is marked: round numbers, five at most."""
    if most <= 0:
        return 1.0, [0.0, 1.0]
    step = 10.0 ** math.floor(math.log10(most / 4))
    step *= next(factor for factor in (1, 2, 2.5, 5, 10) if step * factor * 4 >= most * 0.9999)
    marks = [step * n for n in range(math.ceil(most / step - 1e-9) + 1)]
    return marks[-1], marks


def _days(first: date, last: date, *, most: int) -> Sequence[date]:
    """Days to write under an axis: the first, and others at one distance."""
    step = max(1, math.ceil(((last - first).days + 1) / most))
    return [first + timedelta(days=n) for n in range(0, (last - first).days + 1, step)]
