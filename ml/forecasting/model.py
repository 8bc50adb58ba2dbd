"""Daily usage of every SIM, up to `horizon` days ahead, with quantiles and sampled futures.

What a SIM will use is the weighted median of many simple forecasts (`candidates`), weighted by their record in its own
past and in that of SIMs that behave alike (`ensemble`), and corrected by one LightGBM for the fleet where that paid
(`global_model`). Around it lies what the whole fleet's forecasts, made the same way from earlier days, have missed by
(`calibration`). So young SIMs borrow from the fleet, and an interval is as wide as forecasts were wrong, not as wide as
a formula says.

A SIM's forecast depends on the model and its own history alone: a fleet can be scored in blocks, in any order.
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

from ml.forecasting import ensemble
from ml.forecasting.calibration import (
    LEVELS,
    MIN_WINDOWS,
    Spread,
    fit_spread,
    quantiles_at,
    week_of,
    within_others,
    without_direction,
)
from ml.forecasting.candidates import NAMES
from ml.forecasting.expectation import Past, expect, look_back, normal, repeated
from ml.forecasting.global_model import GlobalModel
from ml.forecasting.segments import IDLE, SEASON, SEGMENTS, nan_mean
from ml.forecasting.training import FleetFit, fit_fleet
from ml.history import FloatArray, IntArray, Panel, dense, known_days

QUANTILES = (0.025, 0.1, 0.5, 0.9, 0.975)
# More SIMs add nothing to a fit: a fixed choice of so many by key.
FIT_SIMS = 3000
SCORE_SIMS = 2000

FloatPaths = npt.NDArray[np.float32]


def quantile_column(level: float) -> str:
    """The name of a quantile's column: `q0.025`."""
    return f"q{level:g}"


@dataclass(frozen=True, eq=False)
class ForecastModel:
    """What was fitted on the fleet: how far forecasts miss, in units of a SIM's own mean absolute error.

    records    (parts, segments, candidates) what each candidate missed by in SIMs of a segment, relative to the mean
               one
    table      (segments, weeks ahead, LEVELS) quantiles of the scaled error
    templates  one (windows, horizon) array a segment: whole windows of scaled errors, for paths
    windows    (segments,) how many windows each segment was fitted to; below MIN_WINDOWS it uses the whole fleet's
               errors
    global_model  what corrects the weighted median; None where it would not pay or there is too little to train on
    growth     logarithm of the factor by which all SIMs grow a day; 0 where they do not, or it could be luck
    """

    as_of: date
    horizon: int
    seed: int
    sims: int
    records: FloatArray
    table: FloatArray
    templates: tuple[FloatArray, ...]
    windows: tuple[int, ...]
    global_model: GlobalModel | None = None
    growth: float = 0.0
    season_length: int = SEASON
    name: str = "usage-forecaster"

    @property
    def candidates(self) -> pl.DataFrame:
        """Which candidate each segment weighs most and why (`ensemble.CANDIDATES_SCHEMA`)."""
        return ensemble.choices(self.records, self.windows)

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
            "candidates": list(NAMES),
            "records": self.records.tolist(),
            "table": self.table.tolist(),
            "templates": [template.tolist() for template in self.templates],
            "growth": self.growth,
            "learned": self.global_model
            and {"lightgbm": self.global_model.text, "shares": self.global_model.shares.tolist()},
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ForecastModel:
        """The model that `to_dict` wrote. Raises ValueError when it was made for other segments, candidates or
        levels."""
        known = (list(SEGMENTS), list(NAMES), LEVELS.size)
        if (values["segments"], values.get("candidates"), len(values["levels"])) != known:
            raise ValueError("this forecast model was made by another version of ml.forecasting: fit it again")
        horizon, global_model = int(values["horizon"]), values.get("learned")
        return cls(
            as_of=date.fromisoformat(values["as_of"]),
            horizon=horizon,
            seed=int(values["seed"]),
            sims=int(values["sims"]),
            records=np.array(values["records"], dtype=np.float64),
            table=np.array(values["table"], dtype=np.float64),
            templates=tuple(np.array(t, dtype=np.float64).reshape(-1, horizon) for t in values["templates"]),
            windows=tuple(values["windows"]),
            global_model=GlobalModel(global_model["lightgbm"], np.array(global_model["shares"]))
            if global_model
            else None,
            growth=float(values.get("growth", 0.0)),
            season_length=int(values["season_length"]),
            name=str(values["name"]),
        )


@dataclass(frozen=True, eq=False)
class Sampler:
    """Draws futures of `sims` SIMs over `horizon` days from as_of + 1.

    sim_keys      (sims,) ascending, the order of every array here
    segments      (sims,) index into SEGMENTS
    history_days  (sims,) known days up to `as_of`
    centre, scale (sims, horizon) bytes: a path is centre + scale * error, never below zero
    templates     the model's, and its seed
    """

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


@dataclass(frozen=True, eq=False, kw_only=True)
class Forecast(Sampler):
    """Forecasts of SIMs, and the futures around them.

    frame         one row a SIM and day: sim_key, day, mean and one column a quantile, float64 bytes
    problems      what was wrong with which SIM's rows (`ml.history.PROBLEMS_SCHEMA`); only a SIM without a good row has
                  no forecast
    """

    frame: pl.DataFrame
    problems: pl.DataFrame


def fit(history: pl.DataFrame, *, as_of: date, horizon: int = 30, seed: int = 7) -> ForecastModel:
    """Fit which candidates to trust, and how far forecasts miss, from the fleet's own past.

    From up to ORIGINS days in the history, whole weeks before `as_of` so that weekdays line up, every SIM is forecast
    from what was known then and compared with what came. Nothing after `as_of` is read.
    Broken rows are left out (see `ml.history`). Raises ValueError for another schema or a horizon below 1.
    """
    return _fit(dense(history, as_of=as_of), horizon, seed)[0]


def fit_predict(
    history: pl.DataFrame,
    *,
    as_of: date,
    horizon: int = 30,
    quantiles: Sequence[float] = QUANTILES,
    seed: int = 7,
) -> tuple[ForecastModel, Forecast]:
    """`fit` and then `predict` on the same history and day: the same outcome, with less to compute. Raises ValueError
    as they do."""
    panel = dense(history, as_of=as_of)
    model, past = _fit(panel, horizon, seed)
    return model, predict_panel(model, panel, horizon=horizon, quantiles=quantiles, past=past)


def _fit(panel: Panel, horizon: int, seed: int) -> tuple[ForecastModel, Past | None]:
    """The model, and the past of the panel's SIMs if it was fitted on all of them."""
    if horizon < 1:
        raise ValueError(f"horizon is {horizon} days; it must be at least 1")
    chosen = np.argsort(_draws(panel.sim_keys, 1, seed)[:, 0], kind="stable")[:FIT_SIMS]
    values, _ = normal(panel.values[np.sort(chosen)])
    fleet_fit = fit_fleet(values, horizon, seed)
    spreads = _spreads(fleet_fit, horizon)
    model = ForecastModel(
        as_of=panel.as_of,
        horizon=horizon,
        seed=seed,
        sims=int(panel.sim_keys.size),
        records=fleet_fit.records.round(4),
        table=np.array([spread.table for spread in spreads]),
        templates=tuple(spread.templates for spread in spreads),
        windows=tuple(np.bincount(fleet_fit.segments, minlength=len(SEGMENTS)).tolist()),
        global_model=fleet_fit.global_model,
        growth=round(fleet_fit.growth, 6),
    )
    return model, fleet_fit.past if len(values) == panel.sim_keys.size else None


def _spreads(fleet_fit: FleetFit, horizon: int) -> list[Spread]:
    """How far forecasts of each segment missed; those of the whole fleet where a segment has too few of its own."""
    spreads = []
    everyone = fleet_fit.segments != SEGMENTS.index("young")
    of_fleet = None
    for segment in range(len(SEGMENTS)):
        own = fleet_fit.segments == segment
        pool = own if own.sum() >= MIN_WINDOWS else everyone | own
        usual = segment != ensemble.LEVEL_SHIFT and np.array_equal(pool, everyone)
        if usual and of_fleet:
            spreads.append(of_fleet)
            continue
        missed = within_others(fleet_fit.errors[pool], fleet_fit.sims[pool])
        when = fleet_fit.origins[pool]
        noise, centred = fleet_fit.noise[pool], segment not in IDLE or pool is not own
        if segment == ensemble.LEVEL_SHIFT:
            # Level shifts come together, from one cause: what the last ones had in common says nothing about the next.
            ahead, turned = np.split(without_direction(missed, when, week_of(horizon)), 2)
            missed = np.concatenate([ahead + turned, -ahead - turned]) / 2
            when, noise, centred = np.tile(when, 2), np.tile(noise, 2), False
        spreads.append(fit_spread(missed, when, horizon, noise, centred=centred))
        of_fleet = spreads[-1] if usual else of_fleet
    return spreads


def predict(
    model: ForecastModel,
    history: pl.DataFrame,
    *,
    as_of: date,
    horizon: int = 30,
    quantiles: Sequence[float] = QUANTILES,
) -> Forecast:
    """Forecast every SIM that has at least one usable row, for the days as_of + 1 to as_of + horizon.

    The frame has sim_key, day, mean (of the sampled futures' distribution, right for sums) and a column a quantile
    (`q0.5` is the best single guess of a day): finite, not negative, not crossing. A SIM that never used a byte is
    forecast as zero. Broken rows are left out and listed in `problems`. Raises ValueError for another schema, for
    quantiles outside 0.0013 to 0.9987, or for a horizon longer than the one the model was fitted for.
    """
    return predict_panel(model, dense(history, as_of=as_of), horizon=horizon, quantiles=quantiles)


def predict_panel(
    model: ForecastModel,
    panel: Panel,
    *,
    horizon: int = 30,
    quantiles: Sequence[float] = QUANTILES,
    past: Past | None = None,
) -> Forecast:
    """`predict` of a history that is laid out already; its past is looked up block by block unless it is known."""
    tables = quantiles_at(model.table, quantiles)
    drawn = sampler(model, panel, horizon=horizon, past=past)
    segments, centre, scale = drawn.segments, drawn.centre, drawn.scale
    week = week_of(model.horizon)[:horizon]
    columns: dict[str, FloatArray] = {"mean": _mean_use(model.templates, segments, centre, scale)}
    for index, level in enumerate(quantiles):
        columns[quantile_column(level)] = np.maximum(centre + scale * tables[segments][:, week, index], 0)
    frame = _long_frame(panel.sim_keys, panel.as_of, horizon, columns)
    return Forecast(**vars(drawn), frame=frame, problems=panel.problems)


def sampler(model: ForecastModel, panel: Panel, *, horizon: int = 30, past: Past | None = None) -> Sampler:
    """The futures of `predict_panel` without its frame: for those who ask about paths only. Raises ValueError for a
    horizon longer than the one the model was fitted for."""
    if not 1 <= horizon <= model.horizon:
        raise ValueError(f"horizon is {horizon} days, the model was fitted for 1 to {model.horizon}: fit it for more")
    sims = panel.sim_keys.size
    segments = np.empty(sims, np.int64)
    centre, scale = np.empty((2, sims, horizon))
    for block in [slice(0, sims)] if past else [slice(k, k + SCORE_SIMS) for k in range(0, sims, SCORE_SIMS)]:
        values, size = normal(panel.values[block])
        known = past or look_back(values)
        segments[block], centre[block], scale[block] = expect(
            values, known, model.records, model.global_model, horizon, model.growth
        )
        centre[block] *= size[:, None]
        scale[block] *= size[:, None]
    return Sampler(panel.sim_keys, segments, known_days(panel.values), centre, scale, model.templates, model.seed)


def seasonal_naive(
    history: pl.DataFrame, *, as_of: date, horizon: int = 30, quantiles: Sequence[float] = QUANTILES
) -> pl.DataFrame:
    """The baseline: each day is the last same weekday again; a SIM with less than a week repeats its mean.

    The same frame as `predict`. Intervals are normal, with the standard deviation of the lag-7 differences times
    the root of the weeks ahead (Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 5.5).
    """
    panel = dense(history, as_of=as_of)
    values = panel.values
    last = np.full((values.shape[0], SEASON), np.nan)
    if values.shape[1] >= SEASON:
        last = values[:, -SEASON:].copy()
    short = np.isnan(last).any(axis=1)
    last[short] = nan_mean(values[short])[:, None]
    centre = repeated(last, horizon)
    sigma = np.sqrt(nan_mean((values[:, SEASON:] - values[:, :-SEASON]) ** 2))
    spread = sigma[:, None] * np.sqrt(np.arange(horizon) // SEASON + 1)
    columns = {"mean": centre}
    for level in quantiles:
        columns[quantile_column(level)] = np.maximum(centre + NormalDist().inv_cdf(level) * spread, 0)
    return _long_frame(panel.sim_keys, as_of, horizon, columns)


def _mean_use(
    templates: tuple[FloatArray, ...], segments: IntArray, centre: FloatArray, scale: FloatArray
) -> FloatArray:
    """Mean of a SIM's futures, (sims, horizon), over every template, in blocks that bound the memory."""
    mean = np.zeros_like(centre)
    for segment in np.unique(segments):
        template = templates[segment][None, :, : centre.shape[1]]
        rows = np.flatnonzero(segments == segment)
        for chosen in np.array_split(rows, rows.size // 20 + 1):
            futures = scale[chosen, None, :] * template
            futures += centre[chosen, None, :]
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


def _long_frame(sim_keys: IntArray, as_of: date, horizon: int, columns: dict[str, FloatArray]) -> pl.DataFrame:
    days = pl.date_range(as_of + timedelta(days=1), as_of + timedelta(days=horizon), "1d", eager=True)
    keys = pl.Series("sim_key", np.repeat(sim_keys, horizon), dtype=pl.Int64).cast(pl.Int32)
    frame = pl.DataFrame({"sim_key": keys, "day": days[np.tile(np.arange(horizon), sim_keys.size)]})
    return frame.with_columns(pl.Series(name, values.ravel()) for name, values in columns.items())
