"""Days of which only the sum is known: laid out as the SIM uses its days, so that a smooth line is not read as calm.

A usage history may have a column spread_from (Date): the rows of a SIM with the same day there hold one total, spread
evenly over them because no source told the days apart; null where the day itself is known.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import numpy.typing as npt
import polars as pl

from ml.history import FloatArray, IntArray, Panel, dense

LAGS = 52  # weeks that are looked back for a pattern
MIN_DAYS = 4  # known days of a weekday before it has a mean of its own
_MIX = np.uint64(0x9E3779B97F4A7C15)


def relaid(history: pl.DataFrame) -> pl.DataFrame:
    """The history as models take it: each total laid on its days as the SIM used the same weekdays before.

    The time before is drawn from the last LAGS weeks, among those of which the SIM's every day is known and that had
    any use; the draw depends on the SIM and the days alone. Without such a time the last day takes the mean of the
    days and the others stay unknown (null): a smooth line would tell of a calm that nobody saw. Sums that are laid out
    are kept exactly, known days are left as they are, and nothing later than a day is used for it. In place of
    spread_from stands `laid` (Boolean), which is true on days that no source told; a history without sums has neither.
    """
    if "spread_from" not in history.columns:
        return history
    if history["spread_from"].null_count() == history.height:
        return history.drop("spread_from")
    plain = history.drop("spread_from")
    keys, row = np.unique(history["sim_key"].to_numpy(), return_inverse=True)
    ordinal = history["day"].cast(pl.Int32).to_numpy().astype(np.int64)
    column = ordinal - ordinal.min()
    spread = history["spread_from"].is_not_null().to_numpy()
    volume = history["bytes"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    first = np.full(keys.size, column.max() + 1)
    np.minimum.at(first, row, column)
    days = np.zeros((keys.size, column.max() + 1))
    days[np.arange(days.shape[1]) < first[:, None]] = np.nan
    days[row, column] = np.where(spread, np.nan, volume)

    begun = history["spread_from"].cast(pl.Int32).fill_null(0).to_numpy().astype(np.int64)[spread]
    of_stretch, stretch = np.unique(np.stack([row[spread], begun]), axis=1, return_inverse=True)
    stretch = stretch.ravel()
    count = of_stretch.shape[1]
    low, high = np.full(count, days.shape[1]), np.zeros(count, np.int64)
    np.minimum.at(low, stretch, column[spread])
    np.maximum.at(high, stretch, column[spread])
    back = 7 * _weeks_back(days, of_stretch[0], low, high, keys)
    source = column[spread] - back[stretch]
    like = np.where(back[stretch] > 0, days[row[spread], np.maximum(source, 0)], 0.0)
    laid = _shared_out(volume[spread], like, stretch, column[spread], count)
    alone = np.bincount(stretch, like, count)[stretch] == 0
    mean = np.bincount(stretch, volume[spread], count) / np.bincount(stretch, minlength=count)
    laid[alone] = np.round(mean[stretch[alone]]).astype(np.int64)
    unknown = alone & (column[spread] != high[stretch])
    values = history["bytes"].scatter(np.flatnonzero(spread), laid)
    return plain.with_columns(values.scatter(np.flatnonzero(spread)[unknown], None), pl.Series("laid", spread))


def told(history: pl.DataFrame, *, as_of: date) -> Panel:
    """`ml.history.dense` of a history that `relaid` gives, with NaN on days that no source told.

    So a model is judged on what happened and not on what was laid out.
    """
    panel = dense(history, as_of=as_of)
    if "laid" in history.columns:
        marked = history.with_columns(
            pl.when(pl.col("bytes").is_not_null()).then(pl.col("laid").cast(pl.Int64)).alias("bytes")
        )
        panel.values[dense(marked, as_of=as_of).values == 1] = np.nan
    return panel


def stretches_as_days(history: pl.DataFrame) -> pl.DataFrame:
    """The history without spread_from: each total as one day, the last of its days; the days before it are unknown.

    That day has what the SIM uses on an active day of that weekday, times the total, over what it uses on such days
    as a rule: twice the usual total is a day of twice the usual use. Where the SIM has no known days, it is the
    mean of its days.
    """
    if "spread_from" not in history.columns:
        return history
    summed = history["spread_from"].is_not_null().to_numpy()
    if not summed.any():
        return history.drop("spread_from")
    keys, row = np.unique(history["sim_key"].to_numpy(), return_inverse=True)
    ordinal = history["day"].cast(pl.Int32).to_numpy().astype(np.int64)
    weekday = ordinal % 7
    volume = history["bytes"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    known = ~summed & ~np.isnan(volume)
    first = np.full(keys.size, ordinal.max() + 1)
    np.minimum.at(first, row, ordinal)

    def by_weekday(rows: npt.NDArray[np.bool_], weights: FloatArray | None = None) -> FloatArray:
        place = row[rows] * 7 + weekday[rows]
        sums = np.bincount(place, None if weights is None else weights[rows], keys.size * 7)
        return sums.reshape(-1, 7).astype(np.float64)

    used, active = by_weekday(known, volume), by_weekday(known & (volume > 0))
    # a day after the first without a row is a day without use
    span = (ordinal.max() - first + 1)[:, None]
    number = (span + (first[:, None] - np.arange(7) - 1) % 7) // 7 - by_weekday(~known)
    mean, at_work = _mean(used, number), _mean(used, active)
    rows = history.with_columns(pl.Series("_expected", mean[row, weekday]), pl.Series("_active", at_work[row, weekday]))
    of_stretch = ["sim_key", "spread_from"]
    expected, total = pl.col("_expected").sum().over(of_stretch), pl.col("bytes").sum().over(of_stretch)
    as_a_day = (
        pl.when((expected > 0) & (pl.col("_active") > 0))
        .then(total * pl.col("_active") / expected)
        .otherwise(total / pl.len().over(of_stretch))
    )
    last = pl.col("day") == pl.col("day").max().over(of_stretch)
    return rows.with_columns(
        pl.when(pl.col("spread_from").is_null())
        .then("bytes")
        .when(last)
        .then(as_a_day.round().cast(pl.Int64))
        .alias("bytes")
    ).drop("spread_from", "_expected", "_active")


def _mean(total: FloatArray, number: FloatArray) -> FloatArray:
    """The mean of each weekday, (sims, 7); of all days where a weekday has fewer than MIN_DAYS."""
    of_all = total.sum(axis=1, keepdims=True) / np.maximum(number.sum(axis=1, keepdims=True), 1)
    return np.where(number >= MIN_DAYS, total / np.maximum(number, 1), of_all)


def _weeks_back(days: FloatArray, row: IntArray, low: IntArray, high: IntArray, keys: IntArray) -> IntArray:
    """How many weeks before each stretch (row, columns low to high) its pattern lies; 0: there is none."""
    padded = np.pad(days, ((0, 0), (1, 0)))
    known = np.cumsum(~np.isnan(padded), axis=1)
    used = np.cumsum(np.nan_to_num(padded), axis=1)
    fits = np.zeros((LAGS, row.size), bool)
    length = high - low + 1
    for week in range(1, LAGS + 1):
        begin = np.maximum(low - 7 * week, 0)
        end = begin + length
        inside = (low - 7 * week >= 0) & (end <= low)
        end = np.minimum(end, days.shape[1])
        whole = known[row, end] - known[row, begin] == length
        fits[week - 1] = inside & whole & (used[row, end] > used[row, begin])
    number = fits.sum(axis=0)
    with np.errstate(over="ignore"):
        mixed = (keys[row].astype(np.uint64) * np.uint64(0xD1342543DE82EF95) + low.astype(np.uint64)) * _MIX
    wanted = ((mixed >> np.uint64(33)) % np.maximum(number, 1).astype(np.uint64)).astype(np.int64)
    place = np.cumsum(fits, axis=0) == wanted + 1
    return np.where(number > 0, np.argmax(place & fits, axis=0) + 1, 0)


def _shared_out(volume: FloatArray, like: FloatArray, stretch: IntArray, column: IntArray, count: int) -> IntArray:
    """Each stretch's total on its days in proportion to `like`, in whole bytes; even where there is nothing alike."""
    total, weight = np.bincount(stretch, volume, count), np.bincount(stretch, like, count)
    order = np.lexsort((column, stretch))
    sorted_stretch = stretch[order]
    passed = np.cumsum(like[order])
    begins = np.flatnonzero(np.diff(sorted_stretch, prepend=-1))
    before = np.repeat(passed[begins] - like[order][begins], np.diff(np.append(begins, order.size)))
    last = np.append(begins[1:], order.size) - 1
    share = (passed - before) / np.maximum(weight[sorted_stretch], 1)
    upto = np.floor(total[sorted_stretch] * np.minimum(share, 1)).astype(np.int64)
    upto[last] = total[sorted_stretch[last]].astype(np.int64)
    parts = np.diff(upto, prepend=0)
    parts[begins] = upto[begins]
    laid = np.empty(order.size, np.int64)
    laid[order] = parts
    return np.where(weight[stretch] > 0, laid, volume.astype(np.int64))
