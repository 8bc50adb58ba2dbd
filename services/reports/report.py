"""A report: typed tables, each with what it says in a sentence. Every format is made of it and of nothing else.

Pure and light: no database, no clock; Polars is loaded by whoever makes the tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

from ml import words

if TYPE_CHECKING:
    import polars as pl

Kind = Literal["text", "day", "count", "number", "mb", "money", "share", "figure"]
# how XLSX writes a number of a kind; what is not here is text
NUMBER_FORMATS: dict[Kind, str] = {
    "day": "yyyy-mm-dd",
    "count": "#,##0",
    "number": "#,##0.00",
    "mb": "#,##0.000",
    "money": "#,##0.00",
    "share": "0.0%",
    "figure": "#,##0.00",
}
LINE = 36  # characters
MAX_CHARACTERS = 300  # of foreign text in a cell that people read; the files for programs have all of it


@dataclass(frozen=True)
class Column:
    """What a column is: its heading for people, how its values are written, and their unit.

    kind   text; day; count (whole number); number; mb (MB, a float); money (major units, a float); share (0 to 1);
           figure: a number whose unit stands in the column `unit` beside it
    """

    title: str
    kind: Kind = "text"
    unit: str = ""

    @property
    def heading(self) -> str:
        """The heading with the unit."""
        return f"{self.title}, {self.unit}" if self.unit else self.title

    @property
    def is_text(self) -> bool:
        return self.kind == "text"

    @property
    def is_number(self) -> bool:
        return self.kind not in ("text", "day")


@dataclass(frozen=True)
class Chart:
    """A picture of a section's table.

    kind   line over the days of the column x, or bars that bear its values
    beside  a column whose values stand beside those of x
    y      columns of numbers, drawn in one unit
    band   columns of the lower and the upper end of an interval around the last line
    """

    kind: Literal["line", "bars"]
    x: str
    y: tuple[str, ...]
    band: tuple[str, str] | None = None
    beside: str | None = None


@dataclass(frozen=True, eq=False)
class Section:
    """A table with what it says.

    name      of the CSV file and of the sheet: small letters and underscores
    reading   one sentence, or a few, that a person understands without the table; says so where nothing is there
    total     how many rows there are where the table has only the first of them
    """

    name: str
    title: str
    reading: str
    columns: Mapping[str, Column]
    frame: pl.DataFrame
    chart: Chart | None = None
    total: int | None = None

    def __post_init__(self) -> None:
        assert list(self.columns) == self.frame.columns, (self.name, list(self.columns), self.frame.columns)

    @property
    def shortened(self) -> str:
        """That these are the first of more, where they are."""
        if self.total is None or self.total <= self.frame.height:
            return ""
        return f"{words.count(self.frame.height)} of {words.count(self.total)} rows."

    def rows(self) -> list[tuple[Any, ...]]:
        return self.frame.rows()


@dataclass(frozen=True, eq=False)
class Report:
    """Everything of a report.

    first_day, last_day  UTC days, both counted
    as_of                of the predictions; None where there are none up to last_day
    label, country       whom it is about: SIMs whose label begins so, that were last seen there; None: all
    grades               SIMs by grade of the data that the predictions stand on, A to D
    note                 what is to be said of the data, such as "synthetic data"; empty for a real fleet
    """

    title: str
    organization: str
    first_day: date
    last_day: date
    as_of: date | None
    newest_day: date | None
    grades: Mapping[str, int]
    note: str
    label: str | None
    country: str | None
    sections: Sequence[Section]

    @property
    def period(self) -> str:
        first, last = words.day(self.first_day), words.day(self.last_day)
        return first if first == last else f"{first} to {last}"

    @property
    def scope(self) -> str:
        """Whom it is about, in words."""
        chosen = []
        if self.label is not None:
            chosen.append(f"label beginning with {self.label}")
        if self.country is not None:
            chosen.append(f"last seen in {self.country}")
        return (
            f"SIMs with {' and '.join(chosen)}"
            if self.label is not None
            else f"SIMs {chosen[0]}"
            if chosen
            else ("all SIMs")
        )

    @property
    def about(self) -> list[tuple[str, str]]:
        """What stands on the first page and the first sheet: name and value."""
        facts = [
            ("Organization", self.organization),
            ("Period", f"{self.period} (UTC days)"),
            ("SIMs", self.scope),
            ("Newest usage day", words.day(self.newest_day) if self.newest_day else "none"),
            ("Predictions as of", words.day(self.as_of) if self.as_of else "none: nothing is predicted yet"),
        ]
        if self.grades:
            grades = ", ".join(f"{grade}: {words.so_many(sims, 'SIM')}" for grade, sims in self.grades.items())
            facts.append(("Grade of the data", grades))
        if self.note:
            facts.append(("Data", self.note))
        return facts

    @property
    def file_stem(self) -> str:
        """The name of its files, without what is foreign text."""
        return f"simsight-{self.organization}-{self.first_day}-to-{self.last_day}"


SHOWN: dict[Kind, Callable[[Any], str]] = {
    "text": str,
    "day": words.day,
    "count": words.count,
    "number": lambda value: f"{value:,.2f}",
    "mb": lambda value: words.megabytes(value * words.BYTES_PER_MB),
    "money": lambda value: words.money(round(value * 100)),
    "share": lambda value: words.percent(value, 1),
}
COUNTED = frozenset({"SIMs", "alerts", "rows"})


def shown(column: Column, value: Any, unit: str = "") -> str:
    """A value as people read it: as terminal, dashboard and messages write it; empty for none.

    unit   of a figure
    """
    if value is None:
        return ""
    return _figure(value, unit) if column.kind == "figure" else SHOWN[column.kind](value)


def _figure(value: float, unit: str) -> str:
    if unit == "MB":
        return SHOWN["mb"](value)
    if unit == "share":
        return SHOWN["share"](value)
    return words.count(round(value)) if unit in COUNTED else SHOWN["money"](value)


def shown_rows(section: Section) -> list[list[str]]:
    """The table as people read it; foreign text on one line and not too long."""
    from ml.plain_text import one_line

    columns = list(section.columns.values())
    unit_at = list(section.columns).index("unit") if "unit" in section.columns else None
    return [
        [
            one_line(str(value), MAX_CHARACTERS)
            if column.is_text and value is not None
            else shown(column, value, row[unit_at] if unit_at is not None else "")
            for column, value in zip(columns, row, strict=True)
        ]
        for row in section.rows()
    ]


def long_texts(rows: Sequence[Sequence[str]]) -> set[int]:
    """The places of columns whose texts need more than a line of their own."""
    return {place for row in rows for place, cell in enumerate(row) if len(cell) > LINE}
