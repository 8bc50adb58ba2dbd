"""The usage history frame: its schema, its checks, and its dense form.

A usage history has one row a SIM and day: sim_key (Int32, an opaque series id), day (Date, a complete UTC day), bytes
(Int64, accounting bytes: millionths of a MB, not negative). A day before a SIM's first record is unknown; a day after
it without a record counts as zero, up to and including `as_of`.

A row without bytes (null) says that the day is unknown: nobody was asked about it yet.

A broken row harms its own SIM and day alone. It is left out and listed in a `problems` frame, and its day counts as
unknown, not as zero: bytes that are negative, a day given twice with different bytes. Rows after `as_of` are left out,
a row that is given twice counts once. A SIM without any usable row is in `problems` only, or nowhere when its days are
unknown.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

import numpy as np
import numpy.typing as npt
import polars as pl

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

USAGE_SCHEMA = {"sim_key": pl.Int32, "day": pl.Date, "bytes": pl.Int64}
BYTES_PER_MB = 1_000_000
LOOKBACK_DAYS = 400
PROBLEMS_SCHEMA = {"sim_key": pl.Int64, "problem": pl.String, "rows": pl.UInt32}


@dataclass(frozen=True)
class Panel:
    """A usage history as a matrix.

    sim_keys  (sims,) int64, ascending
    values    (sims, days) float64 bytes, the last column is `as_of`; NaN before a SIM's first record and where a row
              was refused
    problems  one row a SIM and problem (PROBLEMS_SCHEMA): what was refused, and how many rows of it
    span      (sims,) days from a SIM's first usable record to `as_of`, both included; the columns may be fewer
    """

    sim_keys: IntArray
    values: FloatArray
    as_of: date
    problems: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=PROBLEMS_SCHEMA))
    span: IntArray = field(default_factory=lambda: np.empty(0, np.int64))


def known_days(values: FloatArray) -> IntArray:
    """How many days of each SIM are known, (sims,), from its first record on."""
    return np.asarray((~np.isnan(values)).sum(axis=1), dtype=np.int64)


def check_history(history: pl.DataFrame, *, as_of: date) -> None:
    """Raise ValueError, naming a SIM and a day, when the history breaks a rule of its schema.

    The rules: the three columns are there and hold no null, no negative bytes, no day after `as_of`, no SIM and day
    twice.
    """
    _check_schema(history)
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


def _check_schema(history: pl.DataFrame) -> None:
    missing = [name for name in USAGE_SCHEMA if name not in history.columns]
    if missing:
        raise ValueError(f"usage history lacks the column(s) {', '.join(missing)}; it needs {', '.join(USAGE_SCHEMA)}")
    wrong = [name for name, kind in USAGE_SCHEMA.items() if name != "sim_key" and history.schema[name] != kind]
    if wrong or not history.schema["sim_key"].is_integer():
        raise ValueError(f"usage history has the schema {dict(history.schema)}; it needs {USAGE_SCHEMA}")


def _refuse(rows: pl.DataFrame, what: str) -> None:
    if rows.height:
        first = rows.row(0, named=True)
        raise ValueError(
            f"usage history has {what}: SIM {first['sim_key']}, day {first['day']} "
            f"({rows.height} such row(s)); fix or leave out these rows"
        )


def usable_rows(history: pl.DataFrame, *, as_of: date) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows that can be used, and what was wrong with the others (PROBLEMS_SCHEMA).

    A day that is unknown, for itself or because its row was refused, is in the first frame with null bytes.
    Raises ValueError when the whole frame lacks a column or has another schema.
    """
    _check_schema(history)
    given = history.select(list(USAGE_SCHEMA))
    plain = given.filter(pl.col("bytes").is_not_null())
    empty = given.filter(pl.col("bytes").is_null(), pl.col("day") <= as_of) if plain.height < given.height else None
    sound = plain.select(
        no_null=~pl.any_horizontal(pl.all().is_null().any()),
        positive=(pl.col("bytes") >= 0).all(),
        past=(pl.col("day") <= as_of).all(),
        # one number a SIM and day: a tenth of the cost of counting pairs
        once=(pl.col("sim_key").cast(pl.Int64) * 1_000_000 + pl.col("day").cast(pl.Int32)).n_unique() == pl.len(),
    )
    if all(sound.row(0)):
        return _with_unknown(plain, empty), pl.DataFrame(schema=PROBLEMS_SCHEMA)
    # A row that is refused for itself does not speak against a good one of the same day.
    valid = pl.when(pl.col("bytes") >= 0).then(pl.col("bytes"))
    rows = plain.sort(valid.is_null(), maintain_order=True)
    twice = valid.is_not_null() & (valid.count().over("sim_key", "day") > 1)
    problem = (
        pl.when(pl.col("sim_key").is_null() | pl.col("day").is_null())
        .then(pl.lit("no SIM or no day"))
        .when(pl.col("day") > as_of)
        .then(pl.lit("a day after as_of"))
        .when(pl.col("bytes") < 0)
        .then(pl.lit("negative bytes"))
        .when(twice & (valid.drop_nulls().n_unique().over("sim_key", "day") > 1))
        .then(pl.lit("the same day twice, with different bytes"))
        .when(twice & (pl.int_range(pl.len()).over("sim_key", "day") > 0))
        .then(pl.lit("the same row twice"))
    )
    rows = rows.with_columns(problem.alias("problem"))
    wrong = rows.filter(pl.col("problem").is_not_null())
    problems = wrong.group_by("sim_key", "problem").agg(rows=pl.len()).sort("sim_key", "problem")
    refused = wrong.filter(~pl.col("problem").is_in(["no SIM or no day", "a day after as_of", "the same row twice"]))
    refused = refused.select(list(USAGE_SCHEMA))
    good = rows.filter(pl.col("problem").is_null()).drop("problem")
    unknown = refused if empty is None else pl.concat([refused, empty.cast(refused.schema)])
    return _with_unknown(good, unknown), problems.select(
        pl.col(name).cast(kind) for name, kind in PROBLEMS_SCHEMA.items()
    )


def _with_unknown(good: pl.DataFrame, unknown: pl.DataFrame | None) -> pl.DataFrame:
    """Usable rows, and rows of days that are unknown: after a SIM's first usable row, where there is no usable one."""
    if unknown is None or unknown.is_empty():
        return good
    # A SIM is known from its first usable row on, and not at all without one.
    first = good.group_by("sim_key").agg(first=pl.col("day").min())
    unknown = unknown.unique(["sim_key", "day"]).join(first, on="sim_key").filter(pl.col("day") > pl.col("first"))
    blank = unknown.with_columns(pl.lit(None, pl.Int64).alias("bytes")).select(list(USAGE_SCHEMA))
    return pl.concat([good, blank.join(good, on=["sim_key", "day"], how="anti")])


def dense(history: pl.DataFrame, *, as_of: date, lookback_days: int = LOOKBACK_DAYS) -> Panel:
    """Lay a history out as a matrix of at most `lookback_days` days that ends with `as_of`, leaving out what is broken.

    A SIM whose records all lie before the look-back is kept, as zeros. Raises ValueError as `usable_rows` does.
    """
    history, problems = usable_rows(history, as_of=as_of)
    if history.is_empty():
        return Panel(np.empty(0, np.int64), np.empty((0, 0)), as_of, problems)
    keys, row = np.unique(history["sim_key"].to_numpy().astype(np.int64), return_inverse=True)
    days_back = _days_back(history["day"], as_of)
    width = int(min(days_back.max() + 1, lookback_days))
    first = np.zeros(keys.size, np.int64)
    np.maximum.at(first, row, days_back)
    values = np.zeros((keys.size, width))
    values[np.arange(width)[::-1][None, :] > first[:, None]] = np.nan
    inside = days_back < width
    volume = history["bytes"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    values[row[inside], width - 1 - days_back[inside]] = volume[inside]
    return Panel(keys, values, as_of, problems, first + 1)


def _days_back(days: pl.Series, as_of: date) -> IntArray:
    origin = np.datetime64(as_of, "D").astype(np.int64)
    return np.asarray(origin - days.cast(pl.Int32).to_numpy().astype(np.int64), dtype=np.int64)
