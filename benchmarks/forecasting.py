"""How good and how fast the usage forecast is, against seasonal naive and the smoothing method with its own intervals.

    python -m benchmarks.forecasting [--sims 1000] [--windows 3]

All data here is synthetic: the simulator's fleet, and series generated below. Each method forecasts 30 days from the same
origins, 30 days apart, with up to a year of history; the table is the mean over windows. CPU seconds are for 1,000 SIMs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from datetime import date, timedelta
from statistics import NormalDist

import numpy as np
import polars as pl
from statsforecast import StatsForecast
from statsforecast.models import SeasonalExponentialSmoothingOptimized

from ml.evaluation import coverage, mase, naive_scale, pinball, rmase
from ml.forecasting import QUANTILES, Forecast, fit, forecast_usage, quantile_column, seasonal_naive
from ml.history import FloatArray, dense
from simulator.fleet import Fleet

HORIZON = 30
DAYS = 455
LAST = date(2026, 6, 30)


def simulated_fleet(sims: int, seed: int) -> pl.DataFrame:
    """The simulator's fleet as a history; leading days without use are left out, as before activation."""
    first = LAST - timedelta(days=DAYS - 1)
    volume = Fleet(seed=seed, sims=sims, start=first).usage(np.arange(sims), first, LAST).volume
    return as_history(volume)


def generated_series(sims: int, seed: int) -> pl.DataFrame:
    """Series of eight kinds: meters, trackers, cameras, rare reporters, growth, level shifts, tills, and some that die."""
    rng = np.random.default_rng(seed)
    t = np.arange(DAYS)
    kind = rng.choice(8, sims, p=[0.2, 0.2, 0.15, 0.12, 0.1, 0.08, 0.12, 0.03])[:, None]
    week = np.exp(rng.normal(0, 0.25, (sims, 7)))[:, t % 7]
    rest = np.where(t % 7 >= 5, rng.uniform(0, 0.4, (sims, 1)), 1.0)
    week = np.where((kind == 1) | (kind == 6), week * rest, week)
    sigma = np.where(kind == 0, rng.uniform(0.03, 0.3, (sims, 1)), rng.uniform(0.1, 0.9, (sims, 1)))
    noise = np.exp(sigma * rng.standard_normal((sims, DAYS)) - sigma**2 / 2)
    drift = np.exp(np.cumsum(rng.normal(0, 1, (sims, DAYS)) * rng.uniform(0, 0.04, (sims, 1)), axis=1))
    volume = np.exp(rng.normal(12, 1.5, (sims, 1))) * week * noise * drift
    bursts = np.where(rng.random((sims, DAYS)) < 0.04, rng.uniform(3, 10, (sims, DAYS)), 1.0)
    volume = np.where(kind == 2, volume * bursts, volume)
    share = np.where(kind == 3, rng.uniform(0.03, 0.4, (sims, 1)), rng.uniform(0.92, 1, (sims, 1)))
    volume *= rng.random((sims, DAYS)) < share
    volume = np.where(kind == 4, volume * np.exp(rng.uniform(-0.004, 0.006, (sims, 1)) * t), volume)
    shifted = (kind == 5) & (t > rng.integers(0, DAYS, (sims, 1)))
    volume = np.where(shifted, volume * np.exp(rng.normal(0, 0.8, (sims, 1))), volume)
    volume = np.where((kind == 7) & (t > rng.integers(DAYS // 3, DAYS, (sims, 1))), 0, volume)
    return as_history(volume.astype(np.int64))


def as_history(volume: np.ndarray) -> pl.DataFrame:
    """A history frame of volumes (sims, days) whose last day is LAST, from each SIM's first use on."""
    sims, days = volume.shape
    dates = pl.date_range(LAST - timedelta(days=days - 1), LAST, "1d", eager=True)
    frame = pl.DataFrame(
        {
            "sim_key": np.repeat(np.arange(sims, dtype=np.int32), days),
            "day": dates[np.tile(np.arange(days), sims)],
            "bytes": volume.ravel().astype(np.int64),
        }
    )
    return frame.filter((np.cumsum(volume, axis=1) > 0).ravel())


def with_fit(history: pl.DataFrame, as_of: date) -> Forecast:
    """The usage forecaster, fitted on the same history."""
    return forecast_usage(fit(history, as_of=as_of, horizon=HORIZON), history, as_of=as_of, horizon=HORIZON)


def raw_smoothing(history: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """Seasonal exponential smoothing with the normal intervals of its own formula, as in statsforecast's documentation.

    (Its `predict` cannot give them: in 2.1.1 it multiplies a horizon of days by seven smoothing weights.)
    """
    values = dense(history, as_of=as_of).values
    sims, days = values.shape
    frame = pl.DataFrame(
        {"unique_id": np.repeat(np.arange(sims), days), "ds": np.tile(np.arange(days), sims), "y": values.ravel()}
    ).filter(pl.col("y").is_not_nan())
    method = SeasonalExponentialSmoothingOptimized(season_length=7)
    models = [row[0].model_ for row in StatsForecast(models=[method], freq=1, n_jobs=1).fit(df=frame).fitted_]
    step = np.arange(HORIZON)
    mean = np.array([model["mean"] for model in models])[:, step % 7]
    alpha = np.array([model["alpha"] for model in models])[:, step % 7]
    spread = np.array([model["sigma"] for model in models])[:, None] * np.sqrt(1 + step // 7 * alpha**2)
    columns = {quantile_column(q): mean + NormalDist().inv_cdf(q) * spread for q in QUANTILES}
    return pl.DataFrame({name: np.maximum(column, 0).ravel() for name, column in columns.items()})


METHODS: dict[str, Callable[[pl.DataFrame, date], pl.DataFrame | Forecast]] = {
    "seasonal naive": lambda history, as_of: seasonal_naive(history, as_of=as_of, horizon=HORIZON),
    "smoothing, raw intervals": raw_smoothing,
    "usage forecaster": with_fit,
}


def measure(history: pl.DataFrame, origin: date) -> dict[str, dict[str, float]]:
    """The figures of every method at one origin; SIMs with fewer than 14 days by then are left out."""
    enough = history.filter((pl.lit(origin) - pl.col("day").min().over("sim_key")).dt.total_days() >= 14)
    known = enough.filter(pl.col("day") <= origin)
    values = dense(enough, as_of=LAST).values
    cut = values.shape[1] - (LAST - origin).days
    actual, scale = values[:, cut : cut + HORIZON], naive_scale(dense(known, as_of=origin).values)
    # An interval that starts at zero covers every idle day, so SIMs in use on most days are shown apart.
    busy = (actual > 0).mean(axis=1) > 0.5
    results, baseline = {}, {}
    for name, method in METHODS.items():
        began = time.process_time()
        outcome = method(known, origin)
        seconds = time.process_time() - began
        frame = outcome.frame if isinstance(outcome, Forecast) else outcome
        q = frame.select(quantile_column(level) for level in QUANTILES).to_numpy().reshape(*actual.shape, -1)
        error = mase(actual, q[:, :, 2], scale)
        loss = pinball(actual, q, QUANTILES).mean(axis=1) / scale
        baseline = baseline or {"error": error, "loss": loss}
        results[name] = {
            "rMASE": rmase(error, baseline["error"]),
            "pinball ratio": rmase(loss, baseline["loss"]),
            "covers 80 %": coverage(actual, q[:, :, 1], q[:, :, 3]),
            "of SIMs in use": coverage(actual[busy], q[busy][:, :, 1], q[busy][:, :, 3]),
            "covers 95 %": coverage(actual, q[:, :, 0], q[:, :, 4]),
            "30-day sum, 80 %": sum_coverage(outcome, actual) if isinstance(outcome, Forecast) else np.nan,
            "CPU s / 1,000": seconds / len(actual) * 1000,
        }
    return results


def sum_coverage(forecast: Forecast, actual: FloatArray) -> float:
    """Share of SIMs whose sum over the horizon lies within the paths' 10 to 90 % span."""
    total, inside = actual.sum(axis=1), []
    for block, paths in forecast.path_blocks(500):
        low, high = np.quantile(paths.sum(axis=2, dtype=np.float64), (0.1, 0.9), axis=1)
        inside.append((total[block] >= low) & (total[block] <= high))
    return float(np.concatenate(inside).mean())


def main() -> None:
    """Print one table a data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sims", type=int, default=1000)
    parser.add_argument("--windows", type=int, default=3)
    parser.add_argument("--seed", type=int, default=11)
    arguments = parser.parse_args()
    for title, make in (("simulated fleet", simulated_fleet), ("generated series", generated_series)):
        history = make(arguments.sims, arguments.seed)
        origins = [LAST - timedelta(days=HORIZON * (k + 1)) for k in range(arguments.windows)]
        runs = [measure(history, origin) for origin in origins]
        columns = list(runs[0]["usage forecaster"])
        print(f"\n{title} (synthetic), {arguments.sims} SIMs, {len(runs)} windows of {HORIZON} days\n")
        print("| method | " + " | ".join(columns) + " |\n| --- |" + " --- |" * len(columns))
        for name in METHODS:
            means = [float(np.mean([run[name][column] for run in runs])) for column in columns]
            print(f"| {name} | " + " | ".join("-" if np.isnan(m) else f"{m:.3f}" for m in means) + " |")


if __name__ == "__main__":
    main()
