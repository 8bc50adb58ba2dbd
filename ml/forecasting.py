"""Daily usage of every SIM, up to `horizon` days ahead, with quantiles and sampled futures.

A SIM's usual week comes from `ml.expectation`. Around it lies what the whole fleet's forecasts, made the same way from earlier
days, have missed by: the errors of rolling origins, scaled by each SIM's own error per weekday and pooled over SIMs that
behave alike (`SEGMENTS`) and over weeks ahead. So young SIMs borrow from the fleet, and an interval is as wide as
forecasts were wrong, not as wide as a formula says. Of several origins the median counts, so that what once befell the
fleet as a whole is not forecast again.

Sources: split-conformal calibration over rolling origins (Vovk et al. 2005; Stankeviciute et
al. 2021) for the quantiles; bootstrap of whole residual windows for the paths (Hyndman and Athanasopoulos, Forecasting:
Principles and Practice, 5.5), which keeps the dependence between days.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from ml.expectation import SEASON, SEGMENTS, WEEKS, YOUNG_DAYS, expectation, nan_mean
from ml.history import FloatArray, IntArray, Panel, dense, known_days

QUANTILES = (0.025, 0.1, 0.5, 0.9, 0.975)
ORIGINS = 8
ORIGIN_STEP = 14
TEMPLATES = 300
MIN_WINDOWS = 20
# Quantiles are tabulated at evenly spaced normal scores: fine in the middle, and reaching 0.13 % and 99.87 %.
SCORES = np.arange(-3.0, 3.01, 0.25)
LEVELS = np.array([NormalDist().cdf(float(z)) for z in SCORES])
# With no residual to learn from at all: a wide normal error, in units of the SIM's own mean absolute error.
DEFAULT_TABLE = 2.0 * SCORES

FloatPaths = npt.NDArray[np.float32]


def quantile_column(level: float) -> str:
    """The name of a quantile's column: `q0.025`."""
    return f"q{level:g}"


@dataclass(frozen=True, eq=False)
class ForecastModel:
    """What a fit learnt from the fleet: how far forecasts miss, in units of a SIM's own mean absolute error.

    table      (segments, weeks ahead, LEVELS) quantiles of the scaled error
    templates  one (windows, horizon) array a segment: whole windows of scaled errors, for paths
    windows    (segments,) how many windows each segment learnt from; below MIN_WINDOWS it uses the whole fleet's errors
    """

    as_of: date
    horizon: int
    seed: int
    sims: int
    table: FloatArray
    templates: tuple[FloatArray, ...]
    windows: tuple[int, ...]
    season_length: int = SEASON
    name: str = "usage-forecaster"

    def to_dict(self) -> dict[str, Any]:
        """The whole model as JSON-ready values."""
        return {
            "name": self.name,
            "as_of": self.as_of.isoformat(),
            "horizon": self.horizon,
            "seed": self.seed,
            "sims": self.sims,
            "season_length": self.season_length,
            "segments": list(SEGMENTS),
            "levels": LEVELS.round(6).tolist(),
            "windows": list(self.windows),
            "table": self.table.tolist(),
            "templates": [template.tolist() for template in self.templates],
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ForecastModel:
        """The model that `to_dict` wrote. Raises ValueError when it was made for other segments or levels."""
        if values["segments"] != list(SEGMENTS) or len(values["levels"]) != LEVELS.size:
            raise ValueError("this forecast model was made by another version of ml.forecasting: fit it again")
        horizon = int(values["horizon"])
        return cls(
            as_of=date.fromisoformat(values["as_of"]),
            horizon=horizon,
            seed=int(values["seed"]),
            sims=int(values["sims"]),
            table=np.array(values["table"], dtype=np.float64),
            templates=tuple(np.array(t, dtype=np.float64).reshape(-1, horizon) for t in values["templates"]),
            windows=tuple(values["windows"]),
            season_length=int(values["season_length"]),
            name=str(values["name"]),
        )


@dataclass(frozen=True, eq=False)
class Forecast:
    """Forecasts of `sims` SIMs over `horizon` days from as_of + 1.

    frame         one row a SIM and day: sim_key, day, mean and one column a quantile, float64 bytes
    sim_keys      (sims,) ascending, the order of every array here
    segments      (sims,) index into SEGMENTS
    history_days  (sims,) known days up to `as_of`
    centre, scale (sims, horizon) bytes: a path is centre + scale * error, never below zero
    """

    frame: pl.DataFrame
    sim_keys: IntArray
    segments: IntArray
    history_days: IntArray
    centre: FloatArray
    scale: FloatArray
    templates: tuple[FloatArray, ...]
    seed: int

    @property
    def ever_used(self) -> npt.NDArray[np.bool_]:
        """(sims,) whether the SIM used any byte in its known days."""
        return np.asarray(self.segments != SEGMENTS.index("dormant"))

    def paths(self, samples: int, block: slice = slice(None)) -> FloatPaths:
        """Sampled futures, float32 bytes of shape (sims, samples, days), for questions about sums over days.

        A path is the SIM's centre plus its scale times a window of errors that a SIM of its segment really had, so
        days hang together as they did. The draw depends on the seed, the SIM and the sample alone: a SIM has the same
        paths in whatever block or fleet it is asked for. 1,000 SIMs x 500 samples x 30 days take 60 MB: ask by `block`,
        or use `path_blocks`.
        """
        keys, segments = self.sim_keys[block], self.segments[block]
        centre, scale = self.centre[block].astype(np.float32), self.scale[block].astype(np.float32)
        paths = np.empty((keys.size, samples, centre.shape[1]), dtype=np.float32)
        for segment in np.unique(segments):
            template = self.templates[segment][:, : centre.shape[1]].astype(np.float32)
            rows = np.flatnonzero(segments == segment)
            paths[rows] = template[_draws(keys[rows], samples, self.seed) % len(template)]
        paths *= scale[:, None, :]
        paths += centre[:, None, :]
        return np.maximum(paths, 0, out=paths)

    def path_blocks(self, samples: int, sims: int = 500) -> Iterator[tuple[slice, FloatPaths]]:
        """`paths` in blocks of at most `sims` SIMs: (the SIMs' slice of `sim_keys`, their paths)."""
        for start in range(0, self.sim_keys.size, sims):
            block = slice(start, start + sims)
            yield block, self.paths(samples, block)


def fit(history: pl.DataFrame, *, as_of: date, horizon: int = 30, seed: int = 7) -> ForecastModel:
    """Learn how far forecasts miss, from the fleet's own past.

    From up to ORIGINS days in the history, whole weeks before `as_of` so that weekdays line up, every SIM is forecast
    from what was known then and compared with what came. Nothing after `as_of` is read.
    Raises ValueError for a broken history (see `ml.history.check_history`) or a horizon below 1.
    """
    if horizon < 1:
        raise ValueError(f"horizon is {horizon} days; it must be at least 1")
    panel = dense(history, as_of=as_of)
    segments, origins, errors = _past_errors(panel, horizon)
    week = _week_of(horizon)
    table = np.empty((len(SEGMENTS), week[-1] + 1, LEVELS.size))
    templates, windows = [], []
    everyone = segments != SEGMENTS.index("young")
    for segment in range(len(SEGMENTS)):
        chosen = segments == segment
        windows.append(int(chosen.sum()))
        pool = chosen if windows[-1] >= MIN_WINDOWS else everyone | chosen
        table[segment] = _error_quantiles(errors[pool], origins[pool], week)
        templates.append(_spread_of_windows(errors[pool], origins[pool], table[segment], week))
    return ForecastModel(
        as_of=as_of,
        horizon=horizon,
        seed=seed,
        sims=int(panel.sim_keys.size),
        table=table,
        templates=tuple(templates),
        windows=tuple(windows),
    )


def forecast_usage(
    model: ForecastModel,
    history: pl.DataFrame,
    *,
    as_of: date,
    horizon: int = 30,
    quantiles: Sequence[float] = QUANTILES,
) -> Forecast:
    """Forecast every SIM that has at least one record, for the days as_of + 1 to as_of + horizon.

    The frame has sim_key, day, mean (of the sampled futures' distribution, right for sums) and a column a quantile
    (`q0.5` is the best single guess of a day): finite, not negative, not crossing. A SIM that never used a byte is
    forecast as zero. Raises ValueError for a broken history, for quantiles outside 0.0013 to 0.9987, or for a horizon
    beyond the one the model was fitted for.
    """
    if not 1 <= horizon <= model.horizon:
        raise ValueError(f"horizon is {horizon} days, the model was fitted for 1 to {model.horizon}: fit it for more")
    if any(not LEVELS[0] <= level <= LEVELS[-1] for level in quantiles):
        raise ValueError(f"quantiles {tuple(quantiles)} must lie between {LEVELS[0]:.4f} and {LEVELS[-1]:.4f}")
    panel = dense(history, as_of=as_of)
    segments, centre, scale = expectation(panel.values)
    centre, scale = _ahead(centre, horizon), _ahead(scale, horizon)
    week = _week_of(model.horizon)[:horizon]
    at = np.interp([NormalDist().inv_cdf(level) for level in quantiles], SCORES, np.arange(SCORES.size))
    low = np.minimum(at.astype(np.int64), SCORES.size - 2)
    part = at - low
    tables = model.table[:, :, low] * (1 - part) + model.table[:, :, low + 1] * part
    columns: dict[str, FloatArray] = {"mean": _mean_use(model.templates, segments, centre, scale)}
    for index, level in enumerate(quantiles):
        columns[quantile_column(level)] = np.maximum(centre + scale * tables[segments][:, week, index], 0)
    return Forecast(
        frame=_long_frame(panel.sim_keys, as_of, horizon, columns),
        sim_keys=panel.sim_keys,
        segments=segments,
        history_days=known_days(panel.values),
        centre=centre,
        scale=scale,
        templates=model.templates,
        seed=model.seed,
    )


def seasonal_naive(
    history: pl.DataFrame, *, as_of: date, horizon: int = 30, quantiles: Sequence[float] = QUANTILES
) -> pl.DataFrame:
    """The baseline: each day is the last same weekday again; a SIM with less than a week repeats its mean.

    The same frame as `forecast_usage`. Intervals are normal, with the standard deviation of the lag-7 differences times
    the root of the weeks ahead (Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 5.5).
    """
    panel = dense(history, as_of=as_of)
    values = panel.values
    last = np.full((values.shape[0], SEASON), np.nan)
    if values.shape[1] >= SEASON:
        last = values[:, -SEASON:].copy()
    short = np.isnan(last).any(axis=1)
    last[short] = nan_mean(values[short])[:, None]
    centre = _ahead(last, horizon)
    sigma = np.sqrt(nan_mean((values[:, SEASON:] - values[:, :-SEASON]) ** 2))
    spread = sigma[:, None] * np.sqrt(np.arange(horizon) // SEASON + 1)
    columns = {"mean": centre}
    for level in quantiles:
        columns[quantile_column(level)] = np.maximum(centre + NormalDist().inv_cdf(level) * spread, 0)
    return _long_frame(panel.sim_keys, as_of, horizon, columns)


def _past_errors(panel: Panel, horizon: int) -> tuple[IntArray, IntArray, FloatArray]:
    """Scaled errors of forecasts made in the past, (windows, horizon), NaN where unknown, after their segment and origin."""
    days = panel.values.shape[1]
    ahead = -(-horizon // SEASON) * SEASON
    backs = [ahead + ORIGIN_STEP * k for k in range(ORIGINS)]
    # Forecasts from less than the eight weeks they look at miss by more: learn from them only when there is nothing else.
    backs = [back for back in backs if days - back >= WEEKS * SEASON] or [
        back for back in backs if days - back >= YOUNG_DAYS
    ]
    # A history too short for a full horizon still teaches the first weeks of it.
    backs = backs or [back for back in (days // 2 // SEASON * SEASON,) if back]
    segments, origins, errors = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty((0, horizon))]
    for back in backs:
        known = panel.until(back)
        came = np.full((known.shape[0], horizon), np.nan)
        width = min(back, horizon)
        came[:, :width] = panel.values[:, known.shape[1] : known.shape[1] + width]
        cut = known.copy()
        # How well can a young SIM be forecast? Forget all but a week of what is known of every SIM, and see.
        cut[:, :-SEASON] = np.nan
        for seen, young in ((known, False), (cut, True)):
            there = ~np.isnan(seen).all(axis=1)
            segment, centre, scale = expectation(seen[there])
            error = (came[there] - _ahead(centre, horizon)) / np.maximum(_ahead(scale, horizon), 1e-9)
            keep = (scale.max(axis=1) > 0) & ((segment == SEGMENTS.index("young")) == young)
            segments.append(segment[keep])
            origins.append(np.full(keep.sum(), back, np.int64))
            errors.append(error[keep])
    return np.concatenate(segments), np.concatenate(origins), np.concatenate(errors)


def _error_quantiles(errors: FloatArray, origins: IntArray, week: IntArray) -> FloatArray:
    """Quantiles (weeks, LEVELS) of errors (windows, horizon): their median over the origins (windows,).

    So what once befell many SIMs together (an update, a price, an outage) is not expected to befall them every month. A
    week without errors takes the quantiles of the week before it.
    """
    table = np.tile(DEFAULT_TABLE, (week[-1] + 1, 1))
    for index in range(week[-1] + 1):
        part = errors[:, week == index]
        pools = [part[origins == origin] for origin in np.unique(origins)]
        pools = [pool for pool in pools if len(pool) >= MIN_WINDOWS] or [part]
        known = [pool[~np.isnan(pool)] for pool in pools]
        tables = [np.quantile(pool, LEVELS) for pool in known if pool.size >= MIN_WINDOWS]
        if tables:
            table[index] = np.median(tables, axis=0)
        elif index:
            table[index] = table[index - 1]
    return table.round(4)


def _spread_of_windows(errors: FloatArray, origins: IntArray, table: FloatArray, week: IntArray) -> FloatArray:
    """At most TEMPLATES whole windows that stand for all: evenly spread over the order of their sums.

    As with the quantiles, of each rank the origins' median is taken: the window whose sum is in the middle.
    """
    whole = ~np.isnan(errors).any(axis=1)
    errors, origins = np.clip(errors[whole], table[week, 0], table[week, -1]), origins[whole]
    if len(errors) < MIN_WINDOWS:
        # No window reaches the horizon: days of one rank each, the widest spread that the quantiles allow.
        return table[week].T.round(4)
    sums = errors.sum(axis=1)
    pools = [np.flatnonzero(origins == origin) for origin in np.unique(origins)]
    pools = [pool for pool in pools if pool.size >= MIN_WINDOWS] or [np.arange(len(errors))]
    share = (np.arange(min(TEMPLATES, len(errors))) + 0.5) / min(TEMPLATES, len(errors))
    ranked = np.array(
        [pool[np.argsort(sums[pool], kind="stable")][(share * pool.size).astype(np.int64)] for pool in pools]
    )
    middle = np.argsort(sums[ranked], axis=0, kind="stable")[len(pools) // 2]
    chosen: FloatArray = errors[ranked[middle, np.arange(share.size)]].round(4)
    return chosen


def _mean_use(
    templates: tuple[FloatArray, ...], segments: IntArray, centre: FloatArray, scale: FloatArray
) -> FloatArray:
    """Mean of a SIM's futures, (sims, horizon), over every template, in blocks that bound the memory."""
    mean = np.zeros_like(centre)
    for segment in np.unique(segments):
        template = templates[segment][None, :, : centre.shape[1]]
        rows = np.flatnonzero(segments == segment)
        for chosen in np.array_split(rows, rows.size // 200 + 1):
            futures = centre[chosen, None, :] + scale[chosen, None, :] * template
            mean[chosen] = np.maximum(futures, 0, out=futures).mean(axis=1)
    return mean


def _draws(sim_keys: IntArray, samples: int, seed: int) -> npt.NDArray[np.uint64]:
    """One well-mixed number a SIM and sample, (sims, samples): splitmix64 (Steele, Lea and Flood 2014) as a hash."""
    with np.errstate(over="ignore"):
        mixed = sim_keys.astype(np.uint64)[:, None] * np.uint64(0xD1342543DE82EF95) + np.uint64(seed)
        mixed = mixed + np.arange(1, samples + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11), dtype=np.uint64)


def _week_of(horizon: int) -> IntArray:
    """The week ahead, from 0, of each day of the horizon; a last part of a week belongs to the week before it."""
    return np.minimum(np.arange(horizon) // SEASON, max(horizon // SEASON - 1, 0)).astype(np.int64)


def _ahead(week: FloatArray, horizon: int) -> FloatArray:
    """A week (sims, 7) repeated to (sims, horizon)."""
    return np.tile(week, (1, -(-horizon // SEASON)))[:, :horizon]


def _long_frame(sim_keys: IntArray, as_of: date, horizon: int, columns: dict[str, FloatArray]) -> pl.DataFrame:
    days = pl.date_range(as_of + timedelta(days=1), as_of + timedelta(days=horizon), "1d", eager=True)
    keys = pl.Series("sim_key", np.repeat(sim_keys, horizon), dtype=pl.Int64).cast(pl.Int32)
    frame = pl.DataFrame({"sim_key": keys, "day": days[np.tile(np.arange(horizon), sim_keys.size)]})
    return frame.with_columns(pl.Series(name, values.ravel()) for name, values in columns.items())
