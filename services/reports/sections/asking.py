"""What the sections share: what is asked for, who reads it, and how rows become a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

import polars as pl

from ml import words
from services.reports.periods import ReportError
from services.reports.report import Chart, Column, Section

MAX_DAYS = 731
TOP = 100  # rows of a list; how many there are in all is said
MAX_ALERTS = 300

Row = dict[str, Any]
ICCID, LABEL = Column("ICCID"), Column("Label")
TYPES = {
    "text": pl.String,
    "day": pl.Date,
    "count": pl.Int64,
    "number": pl.Float64,
    "mb": pl.Float64,
    "money": pl.Float64,
    "share": pl.Float64,
    "figure": pl.Float64,
}


class Reader(Protocol):
    """A transaction of any part of the program: it sees one organization and one moment."""

    def rows(self, name: str, parameters: Mapping[str, Any] | None = None) -> list[Row]: ...

    def row(self, name: str, parameters: Mapping[str, Any] | None = None) -> Row | None: ...


@dataclass(frozen=True)
class Wanted:
    """What a report is to be about.

    first_day, last_day  UTC days, both counted
    label                only SIMs whose label begins so
    country              only SIMs that were last seen there, by the country's name as 1NCE writes it
    """

    first_day: date
    last_day: date
    label: str | None = None
    country: str | None = None

    def __post_init__(self) -> None:
        if self.first_day > self.last_day:
            raise ReportError(f"the period begins on {self.first_day} and ends before that, on {self.last_day}")
        if self.days > MAX_DAYS:
            raise ReportError(f"the period has {self.days} days: a report has at most {MAX_DAYS}")

    @property
    def days(self) -> int:
        return (self.last_day - self.first_day).days + 1


@dataclass(frozen=True)
class Asked:
    """What the sections read from, and the parameters of their queries."""

    reader: Reader
    wanted: Wanted
    as_of: date | None
    sims: list[int] | None
    probability: float

    @property
    def period(self) -> Row:
        return {
            "first": self.wanted.first_day,
            "last": self.wanted.last_day,
            "as_of": self.wanted.last_day,
            "days": self.wanted.days,
            "sims": self.sims,
        }

    @property
    def predicted(self) -> Row:
        return {"as_of": self.as_of, "sims": self.sims, "probability": self.probability}


def section_of(
    name: str,
    title: str,
    reading: str,
    columns: Mapping[str, Column],
    rows: Sequence[Mapping[str, Any]],
    chart: Chart | None = None,
    total: int | None = None,
) -> Section:
    """A section of rows that have more keys than columns, or the same."""
    schema = {column: TYPES[about.kind] for column, about in columns.items()}
    frame = pl.DataFrame({column: [row[column] for row in rows] for column in columns}, schema=schema, strict=False)
    return Section(name, title, reading, columns, frame, chart if rows else None, total)


def mb(volume: float | None) -> float | None:
    return None if volume is None else float(volume) / words.BYTES_PER_MB


def major(minor: float | None) -> float | None:
    return None if minor is None else float(minor) / 100


def said_of(name: str) -> str:
    return name.replace("_", " ")


def counted(rows: Sequence[Row], by: str, what: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in rows:
        counts[row[by]] = counts.get(row[by], 0) + row[what]
    return counts
