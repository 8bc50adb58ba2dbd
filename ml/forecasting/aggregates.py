"""Forecasts of a few long series, such as the totals of a fleet, its labels and its countries: by Prophet or our own
forecaster.

Which of the two, or the mean of both, is chosen series by series, by what each missed by from earlier days; the choice
of a series with few such days is shrunk towards what the others say. The intervals are as wide as the chosen forecasts
were wrong, as in `calibration`: a total is not the sum of its SIMs' intervals, since what hits all SIMs at once shows
in it.

Sources: Prophet (Taylor and Letham 2018); the mean of two forecasts as in Bates and Granger (1969).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl

from ml.forecasting.calibration import FAR, fit_spread, quantiles_at, week_of
from ml.forecasting.model import QUANTILES, fit_predict, quantile_column
from ml.forecasting.segments import SEASON, nan_mean
from ml.history import FloatArray, IntArray, dense

OWN, PROPHET, BOTH = "usage-forecaster", "prophet", "mean of both"
METHODS = (OWN, PROPHET, BOTH)
# Past days to forecast from, whole weeks apart, at most so many; before each of them at least this much history.
# Prophet, tried with less, was chosen by luck and lost.
ORIGINS, MAX_STEP_WEEKS = 6, 4
TRAINING_DAYS, PROPHET_DAYS = 56, 168
LOOKBACK_DAYS = 1100
SUM_SAMPLES = 1000
# What the other series say counts as much as this many windows of a series' own. A few windows flatter whatever
# differs: another method than our own must have missed by a twentieth less.
SHRINKAGE_WINDOWS, MAX_ERROR_RATIO = 3.0, 0.95
CHOICES_SCHEMA = {
    "group": pl.String,
    "method": pl.String,
    "windows": pl.UInt32,
    PROPHET: pl.Float64,
    BOTH: pl.Float64,
}


@dataclass(frozen=True, eq=False)
class AggregateForecast:
    """Forecasts of the series over `horizon` days from as_of + 1.

    frame    one row a group and day: group, day, method, mean and a column a quantile, float64 bytes; and the same of
             the sum from as_of + 1 to that day (sum_mean, sum_q0.1 ...), which is not the sum of the days' quantiles
    choices  one row a group (CHOICES_SCHEMA): the method chosen, how many windows it was tested on, and the mean
             absolute error of Prophet and of the mean of both in them as a ratio to our own forecaster's; null where it
             was not tested
    """

    frame: pl.DataFrame
    choices: pl.DataFrame


def forecast_aggregate(
    totals: pl.DataFrame, as_of: date, horizon: int = 30, quantiles: Sequence[float] = QUANTILES, *, seed: int = 7
) -> AggregateForecast:
    """Forecast each total for `horizon` days after `as_of`; meant for tens of series, each costs about a CPU second.

    totals  group (text), day (date), bytes (whole numbers, not negative), in any order; a day without a row after a
            group's first is zero, broken rows are treated as `ml.history` says
    With too little history to test on (8 weeks and a horizon, for Prophet 24 weeks) our own forecaster is taken, with
    its own intervals where it was not tested either.
    Raises ValueError when a column is missing or of another kind, or a quantile or the horizon is out of range.
    """
    missing = [name for name in ("group", "day", "bytes") if name not in totals.columns]
    if missing:
        raise ValueError(f"the totals have the columns {totals.columns}; they need group, day and bytes")
    groups = totals.select(pl.col("group").drop_nulls().unique().sort()).with_row_index("sim_key")
    rows = totals.join(groups, on="group").select(pl.col("sim_key").cast(pl.Int32), "day", "bytes")
    panel = dense(rows, as_of=as_of, lookback_days=LOOKBACK_DAYS)
    values, keys = panel.values, panel.sim_keys
    names = [groups["group"][int(key)] for key in keys]
    _, own = fit_predict(rows, as_of=as_of, horizon=horizon, quantiles=quantiles, seed=seed)
    columns = {name: own.frame[name].to_numpy().reshape(-1, horizon).copy() for name in own.frame.columns[2:]}
    columns |= _sums(
        columns["mean"], (paths for _, paths in own.path_blocks(SUM_SAMPLES)), quantiles, (keys.size, horizon)
    )
    chosen, windows = np.zeros((2, keys.size), np.int64)
    ratios = np.full((len(METHODS), keys.size), np.nan)
    backs = _backs(values.shape[1], horizon) if keys.size else []
    if backs:
        ends = [values.shape[1] - back for back in backs]
        past = [
            forecast_points(rows, values[:, :end], keys, as_of - timedelta(days=back), horizon, seed)
            for end, back in zip(ends, backs, strict=True)
        ]
        actual = np.stack([values[:, end : end + horizon] for end in ends])
        scale = np.stack([_scale(values[:, :end]) for end in ends])
        errors = actual[:, None] - np.stack(past)
        chosen, ratios, windows = _choose(errors)
        now = forecast_points(rows, values, keys, as_of, horizon, seed, prophet=chosen > 0)
        chosen = np.where(np.isnan(now[chosen, np.arange(keys.size), 0]), 0, chosen)
        centre = now[chosen, np.arange(keys.size)]
        missed = errors[:, chosen, np.arange(keys.size)] / scale[..., None]
        usable = (windows > 1) & (np.nansum(values, axis=1) > 0)
        for name, bound in _intervals(centre, _scale(values), missed, quantiles, horizon).items():
            columns[name][usable] = bound[usable]
    days = pl.date_range(as_of + timedelta(days=1), as_of + timedelta(days=horizon), "1d", eager=True)
    frame = pl.DataFrame(
        {
            "group": pl.Series(names, dtype=pl.String)[np.repeat(np.arange(keys.size), horizon)],
            "day": days[np.tile(np.arange(horizon), keys.size)],
            "method": pl.Series([METHODS[m] for m in chosen], dtype=pl.String)[
                np.repeat(np.arange(keys.size), horizon)
            ],
        }
    ).with_columns(pl.Series(name, bound.ravel()) for name, bound in columns.items())
    choices = pl.DataFrame(
        [names, [METHODS[m] for m in chosen], windows, ratios[1], ratios[2]], schema=CHOICES_SCHEMA
    ).with_columns(pl.col(PROPHET, BOTH).fill_nan(None))
    return AggregateForecast(frame, choices)


def _backs(days: int, horizon: int) -> list[int]:
    """How many days before the end each past origin lies, the youngest first."""
    room = days - horizon - TRAINING_DAYS
    if room < 0:
        return []
    step = SEASON * int(np.clip(room // (ORIGINS - 1) // SEASON, 1, MAX_STEP_WEEKS))
    return [horizon + step * k for k in range(min(ORIGINS, room // step + 1))]


def forecast_points(
    rows: pl.DataFrame,
    known: FloatArray,
    keys: IntArray,
    as_of: date,
    horizon: int,
    seed: int,
    prophet: np.ndarray | None = None,
) -> FloatArray:
    """Points (METHODS, series, horizon) of every method, NaN where it can say nothing; Prophet of the series marked
    (all of them)."""
    ahead = np.full((len(METHODS), keys.size, horizon), np.nan)
    past = rows.filter(pl.col("day") <= as_of)
    _, own = fit_predict(past, as_of=as_of, horizon=horizon, quantiles=(0.5,), seed=seed)
    enough = own.history_days >= 2 * SEASON
    points = own.frame[quantile_column(0.5)].to_numpy().reshape(-1, horizon)
    ahead[0, np.searchsorted(keys, own.sim_keys[enough])] = points[enough]
    for row in range(keys.size):
        usable = ~np.isnan(known[row])
        if usable.sum() >= PROPHET_DAYS and np.nansum(known[row]) > 0 and (prophet is None or prophet[row]):
            ahead[1, row] = _prophet(known[row, int(np.argmax(usable)) :], as_of, horizon, seed)
    ahead[2] = (ahead[0] + ahead[1]) / 2
    return ahead


def _prophet(values: FloatArray, as_of: date, horizon: int, seed: int) -> FloatArray:
    """One Prophet model's point forecast (horizon,) of values (days,) that end with `as_of`, NaN for unknown days."""
    import pandas as pd

    # it says on every fit that it fits, by loggers that it sets up itself
    for name in ("cmdstanpy", "prophet", "prophet.plot"):
        logging.getLogger(name).disabled = True
    from prophet import Prophet

    days = pd.date_range(as_of - timedelta(days=len(values) - 1), periods=len(values) + horizon)
    # a week swings with the level it has grown to
    model = Prophet(seasonality_mode="multiplicative", daily_seasonality=False, uncertainty_samples=0)
    model.fit(pd.DataFrame({"ds": days[: len(values)], "y": values}), seed=seed)
    ahead = model.predict(pd.DataFrame({"ds": days[len(values) :]}))["yhat"]
    return np.maximum(np.asarray(ahead, dtype=np.float64), 0)


def _choose(errors: FloatArray) -> tuple[IntArray, FloatArray, IntArray]:
    """Method of each series, each method's error in it as a ratio to our own's (METHODS, series), and windows tested
    on.

    errors  (origins, METHODS, series, days) of past forecasts, NaN unknown
    """
    origins, methods, series, days = errors.shape
    by_window = nan_mean(np.abs(errors).reshape(-1, days)).reshape(origins, methods, series)
    some = np.asarray(~np.isnan(errors).all(axis=3), dtype=np.bool_)
    both = np.asarray(some.all(axis=1))
    total = np.where(both[:, None], by_window, 0).sum(axis=0)
    count = both.sum(axis=0)
    tested = (count > 0) & (total[0] > 0)
    ratios = np.full((methods, series), np.nan)
    ratios[:, tested] = total[:, tested] / total[0, tested]
    chosen = np.zeros(series, np.int64)
    if tested.any():
        pooled = np.median(ratios[:, tested], axis=1)[:, None]
        shrunk = (count[tested] * ratios[:, tested] + SHRINKAGE_WINDOWS * pooled) / (count[tested] + SHRINKAGE_WINDOWS)
        shrunk[1:] /= MAX_ERROR_RATIO
        chosen[tested] = np.argmin(shrunk, axis=0)
    return chosen, ratios, some[:, 0].sum(axis=0).astype(np.int64)


def _intervals(
    centre: FloatArray, scale: FloatArray, missed: FloatArray, quantiles: Sequence[float], horizon: int
) -> dict[str, FloatArray]:
    """Mean and quantiles (series, horizon) around the centre, from scaled errors (origins, series, horizon), NaN
    unknown."""
    origins, series, _ = missed.shape
    some = np.asarray(~np.isnan(missed).all(axis=2), dtype=np.bool_)
    size = nan_mean(np.abs(missed).reshape(-1, horizon)).reshape(origins, series)
    usual = float(size[some].mean()) if some.any() else 1.0
    total, count = size.sum(axis=0), some.sum(axis=0)
    # each window is held against what the others say of the series, as the days ahead will be
    others = (total - size + SHRINKAGE_WINDOWS * usual) / (count - some + SHRINKAGE_WINDOWS)
    errors = (missed / np.maximum(others, 1e-9)[..., None]).reshape(-1, horizon)
    # one total that ran away in one of a few windows says nothing of how often that happens, and would be in every mean
    errors = np.clip(errors, -FAR, FAR)
    known = some.ravel()
    spread = fit_spread(errors[known], np.repeat(np.arange(origins), series)[known], horizon)
    width = (scale * (total + SHRINKAGE_WINDOWS * usual) / (count + SHRINKAGE_WINDOWS))[:, None]
    # Which way a few windows missed on the whole is luck: the point stays where it is.
    middle, week = quantiles_at(spread.table, (0.5,)), week_of(horizon)
    bounds = quantiles_at(spread.table - middle, quantiles)[week]
    futures = np.maximum(centre[:, None] + width[..., None] * (spread.templates - middle[week, 0]), 0)
    mean = futures.mean(axis=1)
    days = {
        quantile_column(level): np.maximum(centre + width * bounds[:, index], 0)
        for index, level in enumerate(quantiles)
    }
    return {"mean": mean} | days | _sums(mean, [futures], quantiles, mean.shape)


def _sums(
    mean: FloatArray, futures: Iterable[np.ndarray], quantiles: Sequence[float], shape: tuple[int, ...]
) -> dict[str, FloatArray]:
    """Mean and quantiles (series, horizon) of the sum up to each day, from whole futures (series, samples, horizon) in
    blocks: their days hang together as the errors of the past did."""
    blocks = [
        np.quantile(np.cumsum(block, axis=2, dtype=np.float64), tuple(quantiles), axis=1) for block in futures
    ] or [np.empty((len(quantiles), *shape))]
    whole = np.concatenate(blocks, axis=1)
    names = [f"sum_{quantile_column(level)}" for level in quantiles]
    return {"sum_mean": np.cumsum(mean, axis=1)} | dict(zip(names, whole, strict=True))


def _scale(values: FloatArray) -> FloatArray:
    """How much each series (series, days) changes from a week to the next, of its last half year; never zero."""
    last = values[:, -26 * SEASON :]
    change = nan_mean(np.abs(last[:, SEASON:] - last[:, :-SEASON])) if last.shape[1] > SEASON else nan_mean(last)
    return np.maximum(change, 0.01 * nan_mean(last) + 1e-9)
