"""Daily usage of every SIM, up to `horizon` days ahead, with quantiles and sampled futures.

What a SIM will use is the weighted median of many simple forecasts (`candidates`), weighted by their record in its own past and
in that of SIMs that behave alike (`router`). Around it lies what the whole fleet's forecasts, made the same way from earlier
days, have missed by (`calibration`). So young SIMs borrow from the fleet, and an interval is as wide as forecasts were
wrong, not as wide as a formula says.

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

from ml.forecasting import router
from ml.forecasting.calibration import LEVELS, MIN_WINDOWS, learn_spread, quantiles_at, week_of
from ml.forecasting.candidates import NAMES, STEP, Float32, forecast_weeks
from ml.forecasting.global_model import GlobalModel, Window, ahead, features, learn_shares, train, unit
from ml.forecasting.segments import IDLE, SEASON, SEGMENTS, WEEKS, YOUNG_DAYS, classify, nan_mean, usual_error
from ml.history import FloatArray, IntArray, dense, known_days

QUANTILES = (0.025, 0.1, 0.5, 0.9, 0.975)
# Past origins whose errors are learnt from: this many, or more of a small fleet, up to the second number.
ORIGINS, MOST_ORIGINS = 8, 20
ENOUGH_WINDOWS = 400
# Beyond so many SIMs more teach nothing new: a fixed choice of them by key.
FIT_SIMS = 3000
SCORE_SIMS = 2000
# What the global model learns from: at most so many SIMs, every so manyth origin of a long history, from the first that can be told.
TEACH_SIMS, TEACH_STEP, TEACH_FIRST = 1000, 2, 2

FloatPaths = npt.NDArray[np.float32]


def quantile_column(level: float) -> str:
    """The name of a quantile's column: `q0.025`."""
    return f"q{level:g}"


@dataclass(frozen=True, eq=False)
class ForecastModel:
    """What a fit learnt from the fleet: how far forecasts miss, in units of a SIM's own mean absolute error.

    records    (parts, segments, candidates) what each candidate missed by in SIMs of a segment, relative to the mean one
    table      (segments, weeks ahead, LEVELS) quantiles of the scaled error
    templates  one (windows, horizon) array a segment: whole windows of scaled errors, for paths
    windows    (segments,) how many windows each segment learnt from; below MIN_WINDOWS it uses the whole fleet's errors
    learned    the global model that corrects the weighted median; None where it would not pay or there is too little to learn from
    """

    as_of: date
    horizon: int
    seed: int
    sims: int
    records: FloatArray
    table: FloatArray
    templates: tuple[FloatArray, ...]
    windows: tuple[int, ...]
    learned: GlobalModel | None = None
    season_length: int = SEASON
    name: str = "usage-forecaster"

    @property
    def candidates(self) -> pl.DataFrame:
        """Which candidate each segment leans on and why (`router.CANDIDATES_SCHEMA`)."""
        return router.choices(self.records, self.windows)

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
            "learned": self.learned and {"lightgbm": self.learned.text, "shares": self.learned.shares.tolist()},
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ForecastModel:
        """The model that `to_dict` wrote. Raises ValueError when it was made for other segments, candidates or levels."""
        known = (list(SEGMENTS), list(NAMES), LEVELS.size)
        if (values["segments"], values.get("candidates"), len(values["levels"])) != known:
            raise ValueError("this forecast model was made by another version of ml.forecasting: fit it again")
        horizon, learned = int(values["horizon"]), values.get("learned")
        return cls(
            as_of=date.fromisoformat(values["as_of"]),
            horizon=horizon,
            seed=int(values["seed"]),
            sims=int(values["sims"]),
            records=np.array(values["records"], dtype=np.float64),
            table=np.array(values["table"], dtype=np.float64),
            templates=tuple(np.array(t, dtype=np.float64).reshape(-1, horizon) for t in values["templates"]),
            windows=tuple(values["windows"]),
            learned=GlobalModel(learned["lightgbm"], np.array(learned["shares"])) if learned else None,
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
    problems      what was wrong with which SIM's rows (`ml.history.PROBLEMS_SCHEMA`); only a SIM without a good row has no forecast
    """

    frame: pl.DataFrame
    sim_keys: IntArray
    segments: IntArray
    history_days: IntArray
    centre: FloatArray
    scale: FloatArray
    templates: tuple[FloatArray, ...]
    seed: int
    problems: pl.DataFrame

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
    """Learn which candidates to trust, and how far forecasts miss, from the fleet's own past.

    From up to ORIGINS days in the history, whole weeks before `as_of` so that weekdays line up, every SIM is forecast
    from what was known then and compared with what came. Nothing after `as_of` is read.
    Broken rows are left out (see `ml.history`). Raises ValueError for another schema or a horizon below 1.
    """
    if horizon < 1:
        raise ValueError(f"horizon is {horizon} days; it must be at least 1")
    panel = dense(history, as_of=as_of)
    chosen = np.argsort(_draws(panel.sim_keys, 1, seed)[:, 0], kind="stable")[:FIT_SIMS]
    values, _ = _normal(panel.values[np.sort(chosen)])
    records, segments, origins, errors, learned = _learn(values, horizon, seed)
    spreads, windows = [], []
    everyone = segments != SEGMENTS.index("young")
    for segment in range(len(SEGMENTS)):
        own = segments == segment
        windows.append(int(own.sum()))
        pool = own if windows[-1] >= MIN_WINDOWS else everyone | own
        missed, when = errors[pool], origins[pool]
        if segment == router.MOVED:
            # Moves come together, from one cause: which way the last ones went on says nothing about the next.
            missed, when = np.concatenate([missed, -missed]), np.concatenate([when, when])
        spreads.append(learn_spread(missed, when, horizon))
    return ForecastModel(
        as_of=as_of,
        horizon=horizon,
        seed=seed,
        sims=int(panel.sim_keys.size),
        records=records.round(4),
        table=np.array([spread.table for spread in spreads]),
        templates=tuple(spread.templates for spread in spreads),
        windows=tuple(windows),
        learned=learned,
    )


def forecast_usage(
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
    forecast as zero. Broken rows are left out and told in `problems`. Raises ValueError for another schema, for quantiles outside 0.0013 to 0.9987, or for a horizon
    beyond the one the model was fitted for.
    """
    if not 1 <= horizon <= model.horizon:
        raise ValueError(f"horizon is {horizon} days, the model was fitted for 1 to {model.horizon}: fit it for more")
    tables = quantiles_at(model.table, quantiles)
    panel = dense(history, as_of=as_of)
    sims = panel.sim_keys.size
    segments = np.empty(sims, np.int64)
    centre, scale = np.empty((2, sims, horizon))
    for start in range(0, sims, SCORE_SIMS):
        block = slice(start, start + SCORE_SIMS)
        values, size = _normal(panel.values[block])
        segments[block], centre[block], scale[block] = _expect(values, model.records, model.learned, horizon)
        centre[block] *= size[:, None]
        scale[block] *= size[:, None]
    week = week_of(model.horizon)[:horizon]
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
        problems=panel.problems,
    )


def _normal(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Values in units of each SIM's mean use, and the unit (sims,): so that single precision is enough for any volume."""
    level = nan_mean(values)
    level = np.where(level > 0, level, 1.0)
    return values / level[:, None], level


def _expect(
    values: FloatArray, shared: FloatArray, learned: GlobalModel | None, horizon: int
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Segment (sims,), centre and scale (sims, horizon) of the days after the last column."""
    origins = min(router.RECORDS + router.LAG, _origins(values.shape[1]))
    weeks = forecast_weeks(values, origins)
    missed = router.records(values, weeks)
    relative, number = router.relative_records(missed, 0)
    segments = _segments(values, router.moved(values, weeks[:, :2])[:, 0])
    centre = _centre(values, weeks[:, 0], segments, router.weights(relative, number, shared, segments), horizon)
    if learned:
        centre = _corrected(learned, values, weeks[:, 0], segments, centre)
    return segments, centre[:, :horizon], _scale(values, centre, segments, horizon)


def _segments(values: FloatArray, moved: npt.NDArray[np.bool_]) -> IntArray:
    """Segments of SIMs (sims,), those in regular use that have just moved apart."""
    segments = classify(values)
    segments[moved & (segments > router.MOVED)] = router.MOVED
    return segments


def _centre(values: FloatArray, weeks: Float32, segments: IntArray, weight: FloatArray, horizon: int) -> FloatArray:
    """Centre at one origin, (sims, days), of the candidates' weeks (sims, candidates, 7) and their weights there.

    Two weeks at least: the second is what the later days repeat, and what the usual error is measured against.
    """
    centre = router.combine(weeks, weight, max(horizon, 2 * SEASON))
    young = segments == SEGMENTS.index("young")
    centre[young] = nan_mean(values[young])[:, None]
    centre[np.isin(segments, IDLE)] = 0
    return centre


def _corrected(
    learned: GlobalModel, values: FloatArray, weeks: Float32, segments: IntArray, centre: FloatArray
) -> FloatArray:
    """The centre (sims, days) with what the global model adds to it."""
    centre = centre.copy()
    for rows in np.array_split(np.flatnonzero(learned.shares[segments] > 0), max(len(values) // 1000, 1)):
        if rows.size:
            known = values[rows]
            told = features(known, weeks[rows], _two_weeks(centre[rows]), segments[rows])
            added = learned.correction(told, segments[rows]) * unit(known)[:, None, None]
            centre[rows] = np.maximum(centre[rows] + ahead(added, centre.shape[1]), 0)
    return centre


def _two_weeks(centre: FloatArray) -> FloatArray:
    """The first week ahead and the second, which is that of all later days, (sims, 2, 7)."""
    return centre[:, : 2 * SEASON].reshape(-1, 2, SEASON)


def _scale(values: FloatArray, centre: FloatArray, segments: IntArray, horizon: int) -> FloatArray:
    return _ahead(usual_error(values, centre[:, SEASON : 2 * SEASON], segments), horizon)


def _origins(days: int) -> int:
    """How many origins have two weeks or more before them; at least one."""
    return max((days - YOUNG_DAYS) // STEP + 1, 1)


def _learn(
    values: FloatArray, horizon: int, seed: int
) -> tuple[FloatArray, IntArray, IntArray, FloatArray, GlobalModel | None]:
    """The segments' records, scaled errors of past forecasts (windows, horizon) after each window's segment and origin, and the
    global model.

    The errors are those of forecasts as they could be made at the time: with what a global model learnt from origins before, and
    from origins so old that nothing was before them without one.
    """
    sims, days = values.shape
    first = -(-horizon // STEP)
    most = min(max(ORIGINS, -(-ENOUGH_WINDOWS // max(sims, 1))), MOST_ORIGINS)
    possible = range(first, min(_origins(days), first + most))
    # Forecasts from less than the eight weeks they look at miss by more: learn from them only when there is nothing else.
    past = [k for k in possible if days - STEP * k >= WEEKS * SEASON] or list(possible)
    # A history too short for a full horizon still teaches the first weeks of it.
    past = past or [k for k in (max(_origins(days) - 1, 0),) if k]
    oldest = (days - WEEKS * SEASON) // STEP
    teach = list(range(TEACH_FIRST, oldest + 1, TEACH_STEP if oldest >= 6 * TEACH_STEP else 1))
    # what is older than the errors to be told, or the older half
    border = min(max([0, *past]), (TEACH_FIRST + oldest) // 2) + router.LAG
    depth = min(max([0, *past, *teach]) + router.RECORDS + router.LAG, _origins(days))
    weeks = forecast_weeks(values, depth)
    missed = router.records(values, weeks)
    moves = router.moved(values, weeks)
    some = slice(None, None, max(sims // TEACH_SIMS, 1))
    states, windows = {}, {}
    for k in sorted({*past, *teach}):
        known = values[:, : days - STEP * k]
        relative, number = router.relative_records(missed, k)
        now = _segments(known, moves[:, k])
        shared = router.segment_records(missed, moves, relative, number, now, k)
        centre = _centre(
            known, weeks[:, k], now, router.weights(relative, number, shared, now), max(horizon, router.AHEAD)
        )
        states[k] = (now, centre, relative, number, shared)
        if known.shape[1] >= WEEKS * SEASON:
            told = features(known[some], weeks[some, k], _two_weeks(centre[some]), now[some])
            came = values[some, known.shape[1] : known.shape[1] + router.AHEAD]
            windows[k] = Window(told, centre[some, : came.shape[1]], came, unit(known[some]), now[some])
    before = [windows[k] for k in teach if k >= border]
    judged = [k for k in past if k in windows and k <= border - router.LAG]
    text = train(before, seed=seed) if len(before) > 1 and judged else None
    shares = learn_shares(text, [windows[k] for k in judged]) if text else np.zeros(len(SEGMENTS))
    learned = None
    if text and shares.any():
        earlier = GlobalModel(text, shares)
        for k in judged:
            now, centre, *rest = states[k]
            known = values[:, : days - STEP * k]
            states[k] = (now, _corrected(earlier, known, weeks[:, k], now, centre), *rest)
        learned = GlobalModel(train([windows[k] for k in teach], seed=seed) or text, shares)
    segments, origins, errors = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty((0, horizon))]
    for k in past:
        known = values[:, : days - STEP * k]
        now, centre, relative, number, shared = states[k]
        came = np.full((sims, horizon), np.nan)
        width = min(STEP * k, horizon)
        came[:, :width] = values[:, known.shape[1] : known.shape[1] + width]
        cut = known.copy()
        # How well can a young SIM be forecast? Forget all but a week of what is known of every SIM, and see.
        cut[:, :-SEASON] = np.nan
        for seen, young in ((known, False), (cut, True)):
            segment = classify(seen) if young else now
            keep = (~np.isnan(seen).all(axis=1)) & ((segment == SEGMENTS.index("young")) == young)
            expected = centre[keep]
            if young:
                weight = router.weights(relative[:, keep], number[:, keep], shared, segment[keep])
                expected = _centre(seen[keep], weeks[keep, k], segment[keep], weight, max(horizon, router.AHEAD))
            scale = _scale(seen[keep], expected, segment[keep], horizon)
            told = scale.max(axis=1) > 0
            segments.append(segment[keep][told])
            origins.append(np.full(int(told.sum()), k, np.int64))
            errors.append(((came[keep] - expected[:, :horizon]) / np.maximum(scale, 1e-9))[told])
    relative, number = router.relative_records(missed, 0)
    shared = router.segment_records(missed, moves, relative, number, _segments(values, moves[:, 0]), 0)
    return shared, np.concatenate(segments), np.concatenate(origins), np.concatenate(errors), learned


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


def _ahead(week: FloatArray, horizon: int) -> FloatArray:
    """A week (sims, 7) repeated to (sims, horizon)."""
    return np.tile(week, (1, -(-horizon // SEASON)))[:, :horizon]


def _long_frame(sim_keys: IntArray, as_of: date, horizon: int, columns: dict[str, FloatArray]) -> pl.DataFrame:
    days = pl.date_range(as_of + timedelta(days=1), as_of + timedelta(days=horizon), "1d", eager=True)
    keys = pl.Series("sim_key", np.repeat(sim_keys, horizon), dtype=pl.Int64).cast(pl.Int32)
    frame = pl.DataFrame({"sim_key": keys, "day": days[np.tile(np.arange(horizon), sim_keys.size)]})
    return frame.with_columns(pl.Series(name, values.ravel()) for name, values in columns.items())
