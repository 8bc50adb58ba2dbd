"""The usage history frame: its schema, its checks, and its dense form.

A usage history has one row a SIM and day: sim_key (Int32, an opaque series id), day (Date, a complete UTC day), bytes
(Int64, accounting bytes: millionths of a MB, not negative). A day before a SIM's first record is unknown; a day after it
without a record counts as zero, up to and including `as_of`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import polars as pl

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

USAGE_SCHEMA = {"sim_key": pl.Int32, "day": pl.Date, "bytes": pl.Int64}
BYTES_PER_MB = 1_000_000
LOOKBACK_DAYS = 400


@dataclass(frozen=True)
class Panel:
    """A usage history as a matrix.

    sim_keys  (sims,) int64, ascending
    values    (sims, days) float64 bytes, the last column is `as_of`; NaN before a SIM's first record
    """

    sim_keys: IntArray
    values: FloatArray
    as_of: date

    def until(self, days_back: int) -> FloatArray:
        """The values known `days_back` days before `as_of`: the same SIMs, fewer columns."""
        return self.values[:, : max(self.values.shape[1] - days_back, 0)]


def known_days(values: FloatArray) -> IntArray:
    """How many days of each SIM are known, (sims,), counted from its first record."""
    return np.asarray((~np.isnan(values)).sum(axis=1), dtype=np.int64)


def check_history(history: pl.DataFrame, *, as_of: date) -> None:
    """Raise ValueError, naming a SIM and a day, when the history breaks a rule of its schema.

    The rules: the three columns are there and hold no null, no negative bytes, no day after `as_of`, no SIM and day twice.
    """
    missing = [name for name in USAGE_SCHEMA if name not in history.columns]
    if missing:
        raise ValueError(f"usage history lacks the column(s) {', '.join(missing)}; it needs {', '.join(USAGE_SCHEMA)}")
    wrong = [name for name, kind in USAGE_SCHEMA.items() if name != "sim_key" and history.schema[name] != kind]
    if wrong or not history.schema["sim_key"].is_integer():
        raise ValueError(f"usage history has the schema {dict(history.schema)}; it needs {USAGE_SCHEMA}")
    rules = {
        "a missing value": pl.any_horizontal(pl.col(*USAGE_SCHEMA).is_null()),
        "negative bytes": pl.col("bytes") < 0,
        f"a day after as_of {as_of}": pl.col("day") > as_of,
    }
    for what, broken in rules.items():
        _refuse(history.filter(broken), what)
    keys = history.select("sim_key", "day")
    if keys.n_unique() < keys.height:
        _refuse(keys.filter(keys.is_duplicated()), "the same day twice")


def _refuse(rows: pl.DataFrame, what: str) -> None:
    if rows.height:
        first = rows.row(0, named=True)
        raise ValueError(
            f"usage history has {what}: SIM {first['sim_key']}, day {first['day']} "
            f"({rows.height} such row(s)); mend or leave out these rows"
        )


def dense(history: pl.DataFrame, *, as_of: date, lookback_days: int = LOOKBACK_DAYS) -> Panel:
    """Check a history and lay it out as a matrix of at most `lookback_days` days that ends with `as_of`.

    A SIM whose records all lie before the look-back is kept, as zeros. Raises ValueError as `check_history` does.
    """
    check_history(history, as_of=as_of)
    if history.is_empty():
        return Panel(np.empty(0, np.int64), np.empty((0, 0)), as_of)
    keys, row = np.unique(history["sim_key"].to_numpy().astype(np.int64), return_inverse=True)
    days_back = _days_back(history["day"], as_of)
    width = int(min(days_back.max() + 1, lookback_days))
    first = np.zeros(keys.size, np.int64)
    np.maximum.at(first, row, days_back)
    values = np.zeros((keys.size, width))
    values[np.arange(width)[::-1][None, :] > first[:, None]] = np.nan
    inside = days_back < width
    values[row[inside], width - 1 - days_back[inside]] = history["bytes"].to_numpy()[inside]
    return Panel(keys, values, as_of)


def _days_back(days: pl.Series, as_of: date) -> IntArray:
    origin = np.datetime64(as_of, "D").astype(np.int64)
    return np.asarray(origin - days.cast(pl.Int32).to_numpy().astype(np.int64), dtype=np.int64)
