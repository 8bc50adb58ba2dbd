"""A new forecaster, the present champion and seasonal naive on the same SIMs and days, none of which either had seen.

The champion forecasts as it was saved, from origins on or after its own as-of day, with the history up to each. The new
version cannot be used as it is: it was fitted on the days that are to be forecast. What is compared is its method,
fitted again at each origin. Origins lie a week apart, and the forecasts of a window end where the history does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np
import polars as pl

from ml.forecasting import QUANTILES, ForecastModel, fit, predict, quantile_column, seasonal_naive
from ml.forecasting.backtest import known_mean, mase, naive_scale, pinball
from ml.history import FloatArray
from ml.spread import told

NEW, CHAMPION, NAIVE = "new", "champion", "seasonal-naive"
WINDOWS = 2
STEP = 7
# Ties are the rule: a version whose method is the same differs only by its last days. Worse is what is worse by more
# than this.
TOLERANCE = 0.01

COMPARISON_SCHEMA = {
    "model": pl.String,
    "window": pl.String,
    "days": pl.Int32,
    "mase": pl.Float64,
    "pinball": pl.Float64,
    "coverage_80": pl.Float64,
    "coverage_95": pl.Float64,
    "n": pl.UInt32,
}


@dataclass(frozen=True, eq=False)
class Comparison:
    """A comparison's outcome.

    frame    one row a model and window (origin day or "all"), COMPARISON_SCHEMA: mase and pinball (means over SIMs that
             have a scale), coverage_80 and coverage_95 (shares of SIM-days), days ahead, n (SIM-windows)
    summary  figures over all windows by name: rmase and champion_rmase (to seasonal naive), pinball and
             champion_pinball, coverage_80 and champion_coverage_80, windows, sim_windows; empty when no day lies after
             what the champion saw
    note     in a sentence, what was compared
    """

    frame: pl.DataFrame
    summary: dict[str, float] = field(default_factory=dict)
    note: str = ""

    @property
    def worse(self) -> str:
        """In words, by what the new version is worse than the champion; empty when it is not."""
        said = []
        for name, shown in (("rmase", "error"), ("pinball", "pinball loss")):
            new, old = self.summary.get(name, np.nan), self.summary.get(f"champion_{name}", np.nan)
            if new > old * (1 + TOLERANCE):
                said.append(f"{shown} {new:.3f} against the champion's {old:.3f}")
        return " and ".join(said)


def compare(
    history: pl.DataFrame, champion: ForecastModel, *, as_of: date, horizon: int = 30, seed: int = 7
) -> Comparison:
    """Hold the method of today's code and the saved champion against what came after the champion's as-of day.

    history  a usage history frame up to `as_of`
    With less than a week after the champion's as-of day there is nothing that neither has seen: no figures, and a note.
    Raises ValueError for a broken history.
    """
    seen = (as_of - champion.as_of).days
    panel = told(history, as_of=as_of)
    longest = panel.values.shape[1]
    # the newest windows that reach about as far as a forecast does
    backs = list(range(STEP, min(seen, horizon + STEP, longest - 1) + 1, STEP))[-WINDOWS:]
    if not backs:
        note = f"no week after {champion.as_of}, the last day the champion knew, has passed by {as_of}"
        return Comparison(pl.DataFrame(schema=COMPARISON_SCHEMA), note=note)
    parts = []
    for back in backs:
        origin, ahead = as_of - timedelta(days=back), min(back, horizon, champion.horizon)
        known = history.filter(pl.col("day") <= origin)
        forecasts = {
            NEW: predict(
                fit(known, as_of=origin, horizon=horizon, seed=seed), known, as_of=origin, horizon=ahead
            ).frame,
            CHAMPION: predict(champion, known, as_of=origin, horizon=ahead).frame,
            NAIVE: seasonal_naive(known, as_of=origin, horizon=ahead),
        }
        keys = forecasts[NEW]["sim_key"].unique().sort().to_numpy()
        values = panel.values[np.searchsorted(panel.sim_keys, keys)]
        split = longest - back
        actual, scale = values[:, split : split + ahead], naive_scale(values[:, :split])
        for name, frame in forecasts.items():
            parts.append(_scores(frame, actual, scale).with_columns(model=pl.lit(name), window=pl.lit(str(origin))))
    return _summed(pl.concat(parts), as_of)


def _scores(frame: pl.DataFrame, actual: FloatArray, scale: FloatArray) -> pl.DataFrame:
    """Figures of each SIM in one window."""
    sims, ahead = actual.shape
    names = [quantile_column(level) for level in QUANTILES]
    values = frame.sort("sim_key", "day").select(names).to_numpy().reshape(sims, ahead, len(names))
    q = {level: values[:, :, index] for index, level in enumerate(QUANTILES)}
    unknown = np.isnan(actual)
    return pl.DataFrame(
        {
            "mase": mase(actual, q[0.5], scale),
            "pinball": known_mean(pinball(actual, values, QUANTILES)) / scale,
            "coverage_80": known_mean(np.where(unknown, np.nan, (actual >= q[0.1]) & (actual <= q[0.9]))),
            "coverage_95": known_mean(np.where(unknown, np.nan, (actual >= q[0.025]) & (actual <= q[0.975]))),
        }
    ).with_columns(pl.all().fill_nan(None), days=pl.lit(ahead, pl.Int32))


def _summed(scores: pl.DataFrame, as_of: date) -> Comparison:
    everything = pl.concat([scores, scores.with_columns(window=pl.lit("all"))])
    means = pl.col("mase", "pinball", "coverage_80", "coverage_95").mean()
    frame = everything.group_by("model", "window").agg(means, pl.col("days").max(), n=pl.len())
    frame = frame.select(pl.col(name).cast(kind) for name, kind in COMPARISON_SCHEMA.items()).sort("window", "model")
    whole = {row["model"]: row for row in frame.filter(window="all").iter_rows(named=True)}
    summary: dict[str, float] = {}
    for name, prefix in ((NEW, ""), (CHAMPION, "champion_")):
        error, naive = whole[name]["mase"], whole[NAIVE]["mase"]
        summary[f"{prefix}rmase"] = error / naive if error is not None and naive else float("nan")
        summary |= {f"{prefix}{f}": _number(whole[name][f]) for f in ("pinball", "coverage_80", "coverage_95")}
    windows = sorted(scores["window"].unique())
    summary |= {"windows": float(len(windows)), "sim_windows": float(whole[NEW]["n"])}
    summary = {name: value for name, value in summary.items() if np.isfinite(value)}
    if "rmase" not in summary or "champion_rmase" not in summary:
        return Comparison(frame, note=f"no SIM has an error that could be compared up to {as_of}")
    note = f"{len(windows)} window(s) from {windows[0]} to {as_of}, {whole[NEW]['n']} SIM-windows, unseen by both"
    return Comparison(frame, summary, note)


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
