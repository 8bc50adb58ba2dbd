"""How good forecasts are: error and coverage measures, and a rolling-origin backtest against the seasonal naive
baseline.

Sources: MASE (Hyndman and Koehler 2006), scaled by the mean absolute lag-7 difference of the days before the origin;
rMASE is the ratio of two methods' mean MASE on the same SIMs and days; pinball loss (Koenker and Bassett 1978), in the
same units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from ml.forecasting import QUANTILES, SEASON, SEGMENTS, fit_predict, quantile_column, seasonal_naive
from ml.forecasting.ensemble import CANDIDATES_SCHEMA
from ml.history import FloatArray
from ml.spread import told

FORECASTER = "usage-forecaster"
BASELINE = "seasonal-naive"
# A window counts when the history begins at least this many days before its origin.
TRAINING_DAYS = 28
PATH_SAMPLES = 300
# Where most days have use. An interval of volumes that starts at 0 can't help but cover an idle SIM's zeros.
IN_USE = ("steady", "moderate", "variable")

BACKTEST_SCHEMA = {
    "model": pl.String,
    "window": pl.String,
    "segment": pl.String,
    "horizon": pl.String,
    "mase": pl.Float64,
    "rmase": pl.Float64,
    "pinball": pl.Float64,
    "coverage_80": pl.Float64,
    "coverage_95": pl.Float64,
    "n": pl.UInt32,
}
CALIBRATION_SCHEMA = {"model": pl.String, "level": pl.Float64, "achieved": pl.Float64}


@dataclass(frozen=True, eq=False)
class Backtest:
    """A backtest's outcome.

    frame        one row a model, window (origin day or "all"), segment (or "all") and horizon ("1-7", "8-30", "1-30"):
                 mase and pinball (means over SIMs, null where no SIM has a scale), rmase (mase over the baseline's),
                 coverage_80 and coverage_95 (shares of SIM-days), n (SIM-windows)
    calibration  one row a model and quantile level: the share of days at or below that quantile, of SIMs that used most
                 days up to the origin (IN_USE): a day of zero lies at or below every quantile. Empty where no SIM did
    candidates   which candidates the forecaster weighs most by segment, and why, as of the latest origin
                 (`ml.forecasting.ensemble.CANDIDATES_SCHEMA`)
    summary      the forecaster's overall figures by name, for a tracking server; empty unless status is "ok". Besides
                 the frame's: coverage_80_in_use (SIMs that use most days), sum_coverage_80 (of the sum over the
                 horizon, from paths), pinball_ratio (to the baseline's), baseline_*, windows, sim_windows
    status       "ok" or "not_enough_history"; `note` says in a sentence what was tested or what is missing
    """

    frame: pl.DataFrame
    calibration: pl.DataFrame
    candidates: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=CANDIDATES_SCHEMA))
    summary: dict[str, float] = field(default_factory=dict)
    status: str = "ok"
    note: str = ""


def naive_scale(values: FloatArray) -> FloatArray:
    """Mean absolute lag-7 difference of each row (sims, days), NaN for unknown days; NaN where there is none or it is
    0."""
    difference = np.abs(values[:, SEASON:] - values[:, :-SEASON])
    count = (~np.isnan(difference)).sum(axis=1)
    total = np.nansum(difference, axis=1)
    return np.where(total > 0, total / np.maximum(count, 1), np.nan)


def mase(actual: FloatArray, predicted: FloatArray, scale: FloatArray) -> FloatArray:
    """Mean absolute error of each row's known days (sims, days) over its scale (sims,); NaN where the scale is NaN."""
    return np.asarray(known_mean(np.abs(actual - predicted)) / scale, dtype=np.float64)


def rmase(model: FloatArray, baseline: FloatArray) -> float:
    """Mean MASE of a model over the mean MASE of a baseline, both (sims,), over the rows that have a scale."""
    both = ~(np.isnan(model) | np.isnan(baseline))
    return float(model[both].mean() / baseline[both].mean()) if both.any() else float("nan")


def pinball(actual: FloatArray, quantiles: FloatArray, levels: Sequence[float]) -> FloatArray:
    """Pinball loss (sims, days), mean over levels, of quantiles (sims, days, levels), in the units of `actual`."""
    error = actual[:, :, None] - quantiles
    level = np.asarray(levels)
    return np.asarray(np.maximum(level * error, (level - 1) * error).mean(axis=2), dtype=np.float64)


def coverage(actual: FloatArray, low: FloatArray, high: FloatArray) -> float:
    """Share of known days within [low, high], all of one shape."""
    known = ~np.isnan(actual)
    return float(((actual >= low) & (actual <= high))[known].mean())


def known_mean(values: FloatArray) -> FloatArray:
    """Mean of each row over what is not NaN; NaN where nothing is."""
    known = (~np.isnan(values)).sum(axis=1)
    return np.where(known > 0, np.nansum(values, axis=1) / np.maximum(known, 1), np.nan)


def backtest(
    history: pl.DataFrame,
    *,
    as_of: date,
    horizon: int = 30,
    windows: int = 3,
    step: int = 14,
    seed: int = 7,
) -> Backtest:
    """Forecast from `windows` past days, as if each were today, and compare with what came.

    The origins are as_of - horizon, then `step` days apart backwards (as_of - 30, - 44, - 58 by default, so that 180
    days of history leave at least 122 to fit on). At each, model and forecast see nothing after the origin. The point
    forecast is the median. A SIM is scored in a window when it had a record by then; MASE and pinball leave out SIMs
    without a scale (constant or unused before the origin), coverage does not.
    With too short a history for one window the status says so and no figure is given.
    Broken rows are left out (see `ml.history`); raises ValueError for another schema.
    """
    panel = told(history, as_of=as_of)
    longest = panel.values.shape[1]
    backs = [horizon + step * k for k in range(windows) if longest - horizon - step * k >= TRAINING_DAYS]
    if not backs:
        need = horizon + TRAINING_DAYS
        return Backtest(
            frame=pl.DataFrame(schema=BACKTEST_SCHEMA),
            calibration=pl.DataFrame(schema=CALIBRATION_SCHEMA),
            status="not_enough_history",
            note=f"The longest history has {longest} days; a backtest of {horizon} days ahead needs {need}.",
        )
    scores, levels, sums = [], [], []
    candidates: pl.DataFrame | None = None
    for back in backs:
        origin = as_of - timedelta(days=back)
        known = history.filter(pl.col("day") <= origin)
        model, forecast = fit_predict(known, as_of=origin, horizon=horizon, seed=seed)
        candidates = model.candidates if candidates is None else candidates
        naive = seasonal_naive(known, as_of=origin, horizon=horizon)
        row = np.searchsorted(panel.sim_keys, forecast.sim_keys)
        values = panel.values[row]
        split = longest - back
        actual, scale = values[:, split : split + horizon], naive_scale(values[:, :split])
        segment = np.array(SEGMENTS)[forecast.segments]
        for name, frame in ((FORECASTER, forecast.frame), (BASELINE, naive)):
            score, level = _scores(frame, actual, scale, np.isin(segment, IN_USE))
            labels = pl.DataFrame({"model": name, "window": origin.isoformat(), "segment": segment})
            scores.append(pl.concat([labels.with_columns(horizon=pl.lit(h)).hstack(part) for h, part in score.items()]))
            levels.append(level.with_columns(model=pl.lit(name)))
        for block, paths in forecast.path_blocks(PATH_SAMPLES):
            low, high = np.quantile(paths.sum(axis=2, dtype=np.float64), (0.1, 0.9), axis=1)
            total = actual[block].sum(axis=1)
            sums.append(((total >= low) & (total <= high))[~np.isnan(total)])
    frame = _aggregate(pl.concat(scores))
    counts = pl.concat(levels).filter(pl.col("days") > 0).group_by("model", "level").agg(pl.col("below", "days").sum())
    calibration = counts.with_columns(achieved=pl.col("below") / pl.col("days")).sort("model", "level")
    summary = _summary(frame, horizon) | {
        "sum_coverage_80": float(np.concatenate(sums).mean()),
        "windows": float(len(backs)),
    }
    return Backtest(
        frame=frame,
        calibration=calibration.select(list(CALIBRATION_SCHEMA)),
        candidates=pl.DataFrame(schema=CANDIDATES_SCHEMA) if candidates is None else candidates,
        summary={name: value for name, value in summary.items() if np.isfinite(value)},
        note=f"{len(backs)} window(s) of {horizon} days up to {as_of}, {panel.sim_keys.size} SIMs.",
    )


def _scores(
    frame: pl.DataFrame, actual: FloatArray, scale: FloatArray, in_use: npt.NDArray[np.bool_]
) -> tuple[dict[str, pl.DataFrame], pl.DataFrame]:
    """Per-SIM figures by part of the horizon, and, of the SIMs `in_use` (sims,), how many days lie at or below each
    quantile (level, below) of how many (days).
    """
    sims, horizon = actual.shape
    names = [quantile_column(level) for level in QUANTILES]
    quantiles = frame.select(names).to_numpy().reshape(sims, horizon, len(names))
    q = {level: quantiles[:, :, i] for i, level in enumerate(QUANTILES)}
    loss = pinball(actual, quantiles, QUANTILES)
    parts = {f"1-{horizon}": slice(None)}
    if horizon > SEASON:
        parts = {f"1-{SEASON}": slice(0, SEASON), f"{SEASON + 1}-{horizon}": slice(SEASON, None), **parts}
    scores = {}
    for name, part in parts.items():
        y = actual[:, part]
        figures: dict[str, FloatArray] = {
            "mase": mase(y, q[0.5][:, part], scale),
            "pinball": known_mean(loss[:, part]) / scale,
            "coverage_80": known_mean(np.where(np.isnan(y), y, (y >= q[0.1][:, part]) & (y <= q[0.9][:, part]))),
            "coverage_95": known_mean(np.where(np.isnan(y), y, (y >= q[0.025][:, part]) & (y <= q[0.975][:, part]))),
        }
        scores[name] = pl.DataFrame(figures).with_columns(pl.all().fill_nan(None))
    known = ~np.isnan(actual) & in_use[:, None]
    below = (actual[:, :, None] <= quantiles)[known].sum(axis=0)
    return scores, pl.DataFrame({"level": list(QUANTILES), "below": below, "days": int(known.sum())})


def _aggregate(scores: pl.DataFrame) -> pl.DataFrame:
    """Per-SIM figures averaged by model, window, segment and horizon, and over all windows and all segments."""
    for column in ("window", "segment"):
        scores = pl.concat([scores, scores.with_columns(pl.lit("all").alias(column))])
    keys = ["window", "segment", "horizon"]
    means = pl.col("mase", "pinball", "coverage_80", "coverage_95").mean()
    frame = scores.group_by("model", *keys).agg(means, n=pl.len())
    baseline = frame.filter(pl.col("model") == BASELINE).select(*keys, baseline="mase")
    frame = frame.join(baseline, on=keys, how="left").with_columns(rmase=pl.col("mase") / pl.col("baseline"))
    return frame.select(pl.col(name).cast(kind) for name, kind in BACKTEST_SCHEMA.items()).sort("model", *keys)


def _summary(frame: pl.DataFrame, horizon: int) -> dict[str, float]:
    whole = frame.filter(window="all", segment="all", horizon=f"1-{horizon}")
    ours, naive = (whole.filter(model=name).row(0, named=True) for name in (FORECASTER, BASELINE))
    names = ("mase", "rmase", "pinball", "coverage_80", "coverage_95")
    summary = {name: _number(ours[name]) for name in names}
    summary |= {f"baseline_{name}": _number(naive[name]) for name in names if name != "rmase"}
    in_use = frame.filter(pl.col("segment").is_in(IN_USE), window="all", horizon=f"1-{horizon}", model=FORECASTER)
    if in_use.height:
        summary["coverage_80_in_use"] = float(np.average(in_use["coverage_80"], weights=in_use["n"]))
    summary["pinball_ratio"] = summary["pinball"] / summary["baseline_pinball"]
    summary["sim_windows"] = float(ours["n"])
    return summary


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
