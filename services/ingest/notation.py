"""How a file writes its numbers and dates, found in all of its cells or told by the user, and the cells as plain text.

Plain numbers have a point and no groups (1234.5), plain dates are YYYY-MM-DD. A cell that can be read in two ways is
never guessed: it is read when other cells of the file settle the question, otherwise its row is rejected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, get_args

import polars as pl

from resources.files.formats import ImportRejectedError

DecimalSign = Literal["point", "comma"]
DateOrder = Literal["day-first", "month-first"]
Form = Literal["text", "volume", "date"]

# a blank or an apostrophe between groups of three digits decides nothing
_LOOSE_GROUPS = r"^([0-9]{1,3}(?:[\x20\x{a0}\x{202f}'\x{2019}][0-9]{3})+)([.,][0-9]*)?$"
USUAL_NUMBER = r"^[0-9]+(?:\.[0-9]*)?$"
_UNIT = r"(?i)\s*([kmg]?b)$"
_POWER = {"b": "e-6", "kb": "e-3", "mb": "", "gb": "e3"}  # 1NCE's MB are millions of bytes
_POINT = r"^(?:[0-9]+\.[0-9]*|[1-9][0-9]{0,2}(?:,[0-9]{3})+\.[0-9]*|[1-9][0-9]{0,2}(?:,[0-9]{3}){2,})(?:[eE].*)?$"
_COMMA = r"^(?:[0-9]+,[0-9]*|[1-9][0-9]{0,2}(?:\.[0-9]{3})+,[0-9]*|[1-9][0-9]{0,2}(?:\.[0-9]{3}){2,})(?:[eE].*)?$"
_EITHER = r"^[1-9][0-9]{0,2}[.,][0-9]{3}$"
_DATE = r"^([0-9]{1,2})([./-])([0-9]{1,2})[./-]([0-9]{4})([T ].*)?$"
_SLASHED = r"^[0-9]{1,2}[/-][0-9]{1,2}[/-][0-9]{4}"


@dataclass(frozen=True)
class Notation:
    """How numbers and dates are written; None: not settled, so cells that can be read in two ways are rejected.

    groups   whether the other sign stands between groups of three digits; not in a file that writes decimals both ways
    """

    decimal: DecimalSign | None = None
    dates: DateOrder | None = None
    groups: bool = True

    def plain(self, form: Form, text: pl.Expr) -> pl.Expr:
        """Cells as plain text; null what is malformed or can be read in two ways, for dates the cell as it was."""
        if form == "volume":
            return unless(USUAL_NUMBER if self.decimal == "point" else r"^[0-9]+$", text, self._plain_number)
        return unless(r"^[0-9]{4}-", text, self._plain_date) if form == "date" else text

    def doubts(self, form: Form, name: str, text: pl.Expr, shown: pl.Expr) -> list[pl.Expr]:
        """Why a cell is not read though it is well formed, in words, or null."""
        if form == "volume" and self.decimal is None:
            number = text.str.replace(_UNIT, "")
            said = pl.format(
                f"{name}: got '{{}}', and nothing in the file says whether it is {{}} or {{}}; say --decimal point or "
                "--decimal comma",
                shown,
                number.str.replace(",", ".", literal=True),
                number.str.replace(r"[.,]", ""),
            )
            return [pl.when(number.str.contains(_EITHER)).then(said)]
        if form == "date" and self.dates is None:
            parts = text.str.extract_groups(_DATE).struct
            day_first = pl.format("{}-{}-{}", parts.field("4"), *(parts.field(n).str.zfill(2) for n in ("3", "1")))
            month_first = pl.format("{}-{}-{}", parts.field("4"), *(parts.field(n).str.zfill(2) for n in ("1", "3")))
            said = pl.format(
                f"{name}: got '{{}}', and nothing in the file says whether it is {{}} or {{}}; say --dates "
                "day-first or --dates month-first",
                shown,
                day_first,
                month_first,
            )
            return [pl.when(text.str.contains(_SLASHED)).then(said)]
        return []

    def _plain_number(self, text: pl.Expr) -> pl.Expr:
        unit = text.str.extract(_UNIT).str.to_lowercase()
        bare = text.str.replace(_UNIT, "")
        loose = bare.str.contains(_LOOSE_GROUPS)
        bare = pl.when(loose).then(bare.str.replace_all(r"[\x20\x{a0}\x{202f}'\x{2019}]", "")).otherwise(bare)
        if self.decimal is None:
            bare = pl.when(~bare.str.contains(r"[.,]")).then(bare)
        else:
            sign, between = (".", ",") if self.decimal == "point" else (",", ".")
            if self.groups:
                grouped = rf"^[1-9][0-9]{{0,2}}(?:[{between}][0-9]{{3}})+(?:[{sign}][0-9]*)?$"
                ungrouped = bare.str.replace_all(between, "", literal=True)
                bare = pl.when(bare.str.contains(grouped)).then(ungrouped).otherwise(bare)
            bare = pl.when(~bare.str.contains(between, literal=True)).then(bare.str.replace(sign, ".", literal=True))
        power = unit.replace_strict(_POWER, default="", return_dtype=pl.String).fill_null("")
        written = pl.concat_str(bare, power)
        simple = written.str.extract(r"^([0-9]+(?:\.[0-9]*)?)$")
        powered = written.str.extract(r"^([0-9]{1,30}(?:\.[0-9]{0,40})?[eE][+-]?[0-9]{1,2})$")
        return pl.coalesce(simple, powered.map_batches(_without_power, return_dtype=pl.String))

    def _plain_date(self, text: pl.Expr) -> pl.Expr:
        parts = text.str.extract_groups(_DATE).struct
        dotted = parts.field("2") == "."
        order = pl.lit(self.dates, pl.String)
        month_first = ~dotted & (order == "month-first")
        day = pl.when(month_first).then(parts.field("3")).otherwise(parts.field("1")).str.zfill(2)
        month = pl.when(month_first).then(parts.field("1")).otherwise(parts.field("3")).str.zfill(2)
        written = pl.concat_str(parts.field("4"), pl.lit("-"), month, pl.lit("-"), day, parts.field("5").fill_null(""))
        other = text.str.replace(r"^([0-9]{4})/([0-9]{2})/([0-9]{2})", "$1-$2-$3")
        read = dotted | order.is_not_null()
        return pl.when(parts.field("1").is_not_null()).then(pl.when(read).then(written)).otherwise(other)


def unless(
    usual: str,
    text: pl.Expr,
    read: Callable[[pl.Expr], pl.Expr],
    *,
    fast: Callable[[pl.Expr], pl.Expr] = lambda cells: cells,
    of: pl.DataType | type[pl.DataType] = pl.String,
) -> pl.Expr:
    """Cells as `read` makes them, of the type `of`; by `fast`, which makes the same, those that match `usual`: nearly
    all of most files, which then take a tenth of the time."""

    def read_cells(cells: pl.Series) -> pl.Series:
        matches = cells.str.contains(usual)
        odd = (~matches).arg_true()  # an empty cell is neither
        known = cells if odd.is_empty() else cells.zip_with(matches.fill_null(False), cells.clear(cells.len()))
        values = pl.select(fast(pl.lit(known)).cast(of)).to_series()
        if odd.is_empty():
            return values
        return values.clone().scatter(odd, pl.select(read(pl.lit(cells.gather(odd))).cast(of)).to_series())

    return text.map_batches(read_cells, return_dtype=of)


SETTLED_BY_CELLS = Notation()


def told_notation(decimal: str | None, dates: str | None) -> Notation:
    """What a user says in words. Raises ImportRejectedError naming what can be said."""
    signs: tuple[DecimalSign, ...] = get_args(DecimalSign)
    orders: tuple[DateOrder, ...] = get_args(DateOrder)
    sign = next((known for known in signs if known == decimal), None)
    order = next((known for known in orders if known == dates), None)
    if decimal is not None and sign is None:
        raise ImportRejectedError(f"decimal {decimal!r}: expected {' or '.join(signs)}")
    if dates is not None and order is None:
        raise ImportRejectedError(f"dates {dates!r}: expected {' or '.join(orders)}")
    return Notation(sign, order)


def _without_power(powered: pl.Series) -> pl.Series:
    """1.2e-05 as 0.000012: exact."""
    return pl.Series([None if text is None else format(Decimal(text), "f") for text in powered], dtype=pl.String)


@dataclass
class Evidence:
    """What the cells of a file say about its notation. Rows are added as they are read; then `notation` settles it.

    usual_point   whether 1.234 alone is a decimal: a file in the documented form
    """

    forms: dict[str, Form]
    told: Notation
    usual_point: bool
    points: int = 0
    commas: int = 0
    either_points: int = 0
    dotted: int = 0
    day_first: int = 0
    month_first: int = 0
    slashed: int = 0

    def add(self, rows: pl.DataFrame) -> None:
        """Count the telling cells of the columns with a form."""
        volumes, dates = self._cells(rows, "volume"), self._cells(rows, "date")
        for cells in volumes:
            usual = cells.str.contains(r"^[0-9]*\.(?:[0-9]{0,2}|[0-9]{4,})$")
            self.points += _count(usual)
            number = cells.filter(~usual).str.replace(_UNIT, "")
            either = number.str.contains(_EITHER)
            self.points += _count(number.str.contains(_POINT) & ~either)
            self.commas += _count(number.str.contains(_COMMA) & ~either)
            self.either_points += _count(either & number.str.contains(".", literal=True))
        for cells in dates:
            odd = cells.filter(~cells.str.contains("^[0-9]{4}-"))
            if odd.is_empty():
                continue
            parts = odd.str.extract_groups(_DATE).struct.unnest()
            first, second = (parts[name].cast(pl.Int32, strict=False) for name in ("1", "3"))
            dots = parts["2"] == "."
            self.dotted += _count(dots)
            self.slashed += _count(~dots)
            self.day_first += _count(~dots & (first > 12) & (second <= 12))
            self.month_first += _count(~dots & (second > 12) & (first <= 12))

    def _cells(self, rows: pl.DataFrame, form: Form) -> Iterable[pl.Series]:
        return [rows[name].drop_nulls() for name, found in self.forms.items() if found == form]

    def notation(self) -> Notation:
        """What the cells settle, where the user says nothing."""
        decimal, groups = self.told.decimal, True
        usual = self.usual_point and not self.dotted
        if decimal is None:
            points = self.points + (self.either_points if usual and not self.commas else 0)
            if points and self.commas:
                decimal, groups = ("point" if points >= self.commas else "comma"), False
            elif points or self.commas:
                decimal = "point" if points else "comma"
        dates = self.told.dates
        if dates is None and bool(self.day_first) != bool(self.month_first):
            dates = "day-first" if self.day_first else "month-first"
        return Notation(decimal, dates, groups)

    def read_as(self, notation: Notation) -> list[str]:
        """The notation in words, as far as the file has cells that need it."""
        said = []
        if notation.decimal is not None and (self.points or self.commas or self.either_points):
            said.append(f"decimal {notation.decimal}")
        if self.dotted or (self.slashed and notation.dates == "day-first"):
            said.append("dates day first")
        if self.slashed and notation.dates == "month-first":
            said.append("dates month first")
        return said


def _count(holds: pl.Series) -> int:
    return int(holds.sum() or 0)
