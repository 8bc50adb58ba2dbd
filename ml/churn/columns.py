"""Any table of numbers and words as a matrix of numbers, the same way at training and at prediction.

A column is a number, a truth value or a category. Text whose every word is a number is a number: a CSV's ' ' in a
column of charges is a missing number, not a category. Categories become one column a frequent level; rare levels, and
those never seen at training, share none. A column that says nothing (constant, or as good as every row its own word,
such as an identifier) is left out and named.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from ml.history import FloatArray

NUMBER, TRUTH, CATEGORY = "number", "truth", "category"
MISSING_WORDS = ("", "na", "n/a", "nan", "null", "none", "nat", "<na>", "?", "-")
TRUE_WORDS, FALSE_WORDS = ("true", "yes", "1", "1.0", "y", "t"), ("false", "no", "0", "0.0", "n", "f")
# levels of a category that get a column of their own: so many rows each, and so many levels at most
MIN_LEVEL_ROWS, MAX_LEVELS = 10, 30
NONE = "(none)"  # the level of rows without a word


@dataclass(frozen=True)
class Column:
    """One column of the table. levels: the words of a category that count, the most frequent first."""

    name: str
    kind: str
    levels: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        return len(self.levels) if self.kind == CATEGORY else 1


@dataclass(frozen=True)
class Columns:
    """How a table becomes a matrix.

    columns   those that are used, in the order of the matrix
    left_out  names of those that say nothing
    """

    columns: tuple[Column, ...]
    left_out: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        return sum(column.width for column in self.columns)

    @property
    def names(self) -> list[str]:
        """The names of the matrix's columns: `Contract = One year` for a level."""
        return [
            f"{column.name} = {level}" if column.kind == CATEGORY else column.name
            for column in self.columns
            for level in (column.levels or ("",))
        ]

    @property
    def owner(self) -> list[int]:
        """Which column of the table each column of the matrix comes from."""
        return [index for index, column in enumerate(self.columns) for _ in range(column.width)]

    @property
    def is_number(self) -> list[bool]:
        """Whether each column of the matrix is a number, not a level or a truth value."""
        return [column.kind == NUMBER for column in self.columns for _ in range(column.width)]

    def matrix(self, features: Any) -> FloatArray:
        """The matrix (rows, width), NaN where a number is missing. Raises ValueError when a column is not there."""
        frame = as_frame(features)
        missing = [column.name for column in self.columns if column.name not in frame.columns]
        if missing:
            raise ValueError(f"the features lack the column(s) {', '.join(missing)}")
        made = np.empty((frame.height, self.width))
        at = 0
        for column in self.columns:
            made[:, at : at + column.width] = _encoded(frame[column.name], column)
            at += column.width
        return made

    def to_dict(self) -> dict[str, Any]:
        used = [{"name": column.name, "kind": column.kind, "levels": list(column.levels)} for column in self.columns]
        return {"columns": used, "left_out": list(self.left_out)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Columns:
        used = tuple(Column(one["name"], one["kind"], tuple(one["levels"])) for one in values["columns"])
        return cls(used, tuple(values["left_out"]))


def learn_columns(features: Any, *, categories: Collection[str] = ()) -> Columns:
    """Learn what each column of a table is. Raises ValueError when none of them says anything.

    categories  names of columns that are none of numbers, though their words may be digits
    """
    frame = as_frame(features)
    used, left_out = [], []
    for name in frame.columns:
        column = _category(_words(frame[name])) if name in categories else _column(frame[name])
        if column is None:
            left_out.append(name)
        else:
            used.append(column)
    if not used:
        raise ValueError("the features have no column that says anything: all are constant, empty or identifiers")
    return Columns(tuple(used), tuple(left_out))


def as_frame(features: Any) -> pl.DataFrame:
    """A Polars frame of a Polars or pandas one; other kinds raise ValueError."""
    if isinstance(features, pl.DataFrame):
        return features
    if not (hasattr(features, "columns") and hasattr(features, "iloc")):
        raise ValueError(f"features must be a Polars or pandas frame, not {type(features).__name__}")
    names = [str(name) for name in features.columns]
    if len(set(names)) < len(names):
        raise ValueError("the features have two columns of one name")
    return pl.DataFrame([_series(name, features.iloc[:, at]) for at, name in enumerate(names)])


def _series(name: str, column: Any) -> pl.Series:
    if getattr(column.dtype, "kind", "O") in "iufb" and isinstance(column.dtype, np.dtype):
        return pl.Series(name, column.to_numpy())
    values = [None if _is_nothing(value) else value for value in column.astype(object).tolist()]
    if all(value is None or isinstance(value, bool | np.bool_) for value in values):
        return pl.Series(name, values, dtype=pl.Boolean)
    if all(value is None or isinstance(value, int | float | np.number) for value in values):
        return pl.Series(name, values, dtype=pl.Float64, strict=False)
    if all(value is None or hasattr(value, "isoformat") for value in values):
        return pl.Series(name, values)
    return pl.Series(name, [None if value is None else str(value) for value in values], dtype=pl.String)


def _is_nothing(value: Any) -> bool:
    """None, NaN, and what pandas writes for a missing value or time."""
    return value is None or str(value) in ("nan", "<NA>", "NaT")


def _words(series: pl.Series) -> pl.Series:
    """A column as words without blanks around them, null where nothing is said."""
    words = series.cast(pl.String).str.strip_chars()
    return pl.select(pl.when(~words.str.to_lowercase().is_in(MISSING_WORDS)).then(words)).to_series()


def _numbers(series: pl.Series) -> pl.Series:
    if series.dtype.is_temporal() and series.dtype != pl.Duration:
        return series.cast(pl.Datetime("us"), strict=False).dt.epoch("us").cast(pl.Float64) / 86_400e6
    if series.dtype.is_numeric() or series.dtype == pl.Boolean:
        return series.cast(pl.Float64, strict=False)
    return _words(series).cast(pl.Float64, strict=False)


def _column(series: pl.Series) -> Column | None:
    kind = series.dtype
    if kind.is_nested() or kind in (pl.Null, pl.Binary, pl.Object, pl.Duration, pl.Time):
        return None
    if kind == pl.Boolean:
        return Column(series.name, TRUTH) if series.n_unique() > 1 else None
    if kind.is_numeric() or kind.is_temporal():
        return Column(series.name, NUMBER) if _says_something(_numbers(series)) else None
    words = _words(series)
    numbers = words.cast(pl.Float64, strict=False)
    if numbers.count() and numbers.count() == words.count():
        return Column(series.name, NUMBER) if _says_something(numbers) else None
    return _category(words)


def _category(words: pl.Series) -> Column | None:
    counts = words.fill_null(NONE).value_counts(name="rows").rename({words.name: "word"})
    counts = counts.filter(pl.col("rows") >= MIN_LEVEL_ROWS).sort(["rows", "word"], descending=[True, False])
    levels = counts["word"].head(MAX_LEVELS).to_list()
    if not levels or counts["rows"][0] == words.len():
        return None
    # of two levels one is enough
    return Column(words.name, CATEGORY, tuple(levels))


def _says_something(numbers: pl.Series) -> bool:
    finite = numbers.filter(numbers.is_finite().fill_null(value=False))
    return finite.n_unique() > 1 or 0 < finite.len() < numbers.len()


def _encoded(series: pl.Series, column: Column) -> FloatArray:
    if column.kind == NUMBER:
        values = np.array(_numbers(series).fill_null(np.nan).to_numpy(), dtype=np.float64)
        values[~np.isfinite(values)] = np.nan
        return values[:, None]
    if column.kind == TRUTH:
        words = _words(series).str.to_lowercase()
        truth = words.replace_strict(_TRUTHS, default=None, return_dtype=pl.Float64)
        return np.asarray(truth.fill_null(np.nan).to_numpy(), dtype=np.float64)[:, None]
    place = {level: index for index, level in enumerate(column.levels)}
    at = _words(series).fill_null(NONE).replace_strict(place, default=-1, return_dtype=pl.Int64).to_numpy()
    return np.asarray(at[:, None] == np.arange(len(column.levels)), dtype=np.float64)


_TRUTHS = dict.fromkeys(TRUE_WORDS, 1.0) | dict.fromkeys(FALSE_WORDS, 0.0)


def as_label(label: Any, rows: int) -> FloatArray:
    """The label (rows,) as 1 (it ended), 0 and NaN where it is not known.

    label  truth values, 0 and 1, or words such as Yes and No. Raises ValueError for another number of rows or other
           values.
    """
    series = label if isinstance(label, pl.Series) else _of_anything(label)
    if series.len() != rows:
        raise ValueError(f"the label has {series.len()} rows and the features have {rows}")
    words = _words(series).str.to_lowercase()
    known = words.replace_strict(_TRUTHS, default=None, return_dtype=pl.Float64)
    strange = words.filter(words.is_not_null() & known.is_null())
    if strange.len():
        raise ValueError(f"the label holds {strange[0]!r}; it needs true or false, 1 or 0, yes or no")
    return np.asarray(known.fill_null(np.nan).to_numpy(), dtype=np.float64)


def _of_anything(label: Any) -> pl.Series:
    if hasattr(label, "iloc"):
        return _series("label", label)
    values: Sequence[Any] = label.tolist() if isinstance(label, np.ndarray) else list(label)
    return pl.Series("label", [None if _is_nothing(value) else str(value) for value in values])
