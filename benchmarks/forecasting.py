"""How good and how fast the usage forecast is, against seasonal naive, AutoETS, AutoCES, theta and one Prophet model a
series.

    python -m benchmarks.forecasting [--sims 1000] [--windows 3] [--seed 500] [--costly 60] [--short | --long]

Each method forecasts 30 days from the same origins with up to a year of history; a table's row is the mean over all
series and origins. "Without LightGBM" is the same fitted forecaster without the global model's correction, and the line
below the table says how much of that is taken in each segment. What fits a model a series takes minutes, so it
forecasts the first `--costly` series of the first two origins; the same series by our forecast and by seasonal naive
stand beside them. CPU seconds are for 1,000 series.

With 45 to 180 days of history, which is what a new account has, a last table holds the forecaster against theta as
well, among others on base stations whose levels move together: generators and seeds that no setting was chosen on.
"""

from __future__ import annotations

import argparse
import logging
import resource
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl

from benchmarks.series import HORIZON, LAST, Panels, as_history, panels, short_panels, theta
from ml.forecasting import (
    QUANTILES,
    SEGMENTS,
    Forecast,
    fit_predict,
    predict,
    quantile_column,
    seasonal_naive,
)
from ml.forecasting.backtest import mase, naive_scale, pinball, rmase
from ml.history import FloatArray

NAMES = [quantile_column(level) for level in QUANTILES]
COLUMNS = (
    "rMASE",
    "pinball ratio",
    "covers 80 %",
    "of series in use",
    "covers 95 %",
    "30-day sum, 80 %",
    "CPU s / 1,000",
)
SHORT_DAYS = (45, 60, 90, 107, 180)
SHORT_COLUMNS = (
    "rMASE",
    "theta's",
    "pinball ratio",
    "covers 80 %",
    "covers 95 %",
    "30-day sum, 80 %",
    "total, mean off",
    "total, error",
    "theta's",
    "naive's",
    "CPU s / 1,000",
)

Scored = dict[str, FloatArray | float]


def naive(history: pl.DataFrame, as_of: date) -> FloatArray:
    """Seasonal naive's quantiles (series, days, levels)."""
    frame = seasonal_naive(history, as_of=as_of, horizon=HORIZON)
    return frame.select(NAMES).to_numpy().reshape(-1, HORIZON, len(NAMES))


def statistical(name: str) -> Callable[[FloatArray], FloatArray]:
    """A model a series by statsforecast, with its own intervals."""

    def forecast(known: FloatArray) -> FloatArray:
        import statsforecast.models

        quantiles = np.empty((len(known), HORIZON, len(NAMES)))
        for row, values in enumerate(known):
            model = getattr(statsforecast.models, name)(season_length=7)
            ahead = model.forecast(filled(values), h=HORIZON, level=[80, 95])
            quantiles[row] = np.stack([ahead[q] for q in ("lo-95", "lo-80", "mean", "hi-80", "hi-95")], axis=1)
        return np.maximum(quantiles, 0)

    return forecast


def prophet(known: FloatArray) -> FloatArray:
    """One Prophet model a series, weekly and automatic yearly seasonality, its own intervals."""
    import pandas as pd

    for name in ("cmdstanpy", "prophet", "prophet.plot"):
        logging.getLogger(name).disabled = True
    from prophet import Prophet

    quantiles = np.empty((len(known), HORIZON, len(NAMES)))
    for row, values in enumerate(known):
        y = filled(values)
        days = pd.date_range(LAST - timedelta(days=len(y) - 1), periods=len(y) + HORIZON)
        model = Prophet(uncertainty_samples=300, daily_seasonality=False)
        model.fit(pd.DataFrame({"ds": days[: len(y)], "y": y}))
        futures = model.predictive_samples(pd.DataFrame({"ds": days[len(y) :]}))["yhat"]
        quantiles[row] = np.quantile(futures, QUANTILES, axis=1).T
    return np.maximum(quantiles, 0)


def filled(values: FloatArray) -> FloatArray:
    """A series from its first known day on, with zero for unknown days."""
    return np.nan_to_num(values[int(np.argmax(~np.isnan(values))) :])


def score(quantiles: FloatArray, known: FloatArray, actual: FloatArray, seconds: float) -> Scored:
    """Per-series figures of one method at one origin; NaN days of `actual` (series, days) count nowhere."""
    scale, y = naive_scale(known), actual
    loss = np.nanmean(pinball(y, quantiles, QUANTILES), axis=1) / scale
    inside = [
        np.where(np.isnan(y), np.nan, (y >= quantiles[:, :, low]) & (y <= quantiles[:, :, high]))
        for low, high in ((1, 3), (0, 4))
    ]
    busy = (np.nan_to_num(y) > 0).mean(axis=1) > 0.5
    return {
        "error": mase(y, quantiles[:, :, 2], scale),
        "loss": loss,
        "inside 80": np.nanmean(inside[0], axis=1),
        "inside 95": np.nanmean(inside[1], axis=1),
        "in use": np.nanmean(inside[0][busy], axis=1),
        "sums": np.empty(0),
        "seconds": seconds,
    }


def sums_covered(forecast: Forecast, actual: FloatArray) -> FloatArray:
    """Whether each series' sum over the horizon lies within the paths' 10 to 90 % span, as 0 and 1."""
    total, inside = actual.sum(axis=1), []
    for block, paths in forecast.path_blocks(500):
        low, high = np.quantile(paths.sum(axis=2, dtype=np.float64), (0.1, 0.9), axis=1)
        inside.append((total[block] >= low) & (total[block] <= high))
    return np.concatenate(inside)[~np.isnan(total)].astype(np.float64)


def timed(method: Callable[[], Any]) -> tuple[Any, float]:
    """What a method gives, and the CPU seconds it took."""
    began = time.process_time()
    outcome = method()
    return outcome, time.process_time() - began


def measure(data: Panels, costly: int) -> tuple[dict[str, list[Scored]], FloatArray]:
    """The figures of every method at every origin; "..., the same" is on the series that the costly methods forecast.

    And how much of the global model's correction is taken, (segments,), the mean over origins.
    """
    slow = {name: statistical(name) for name in ("AutoETS", "AutoCES", "DynamicOptimizedTheta")} | {
        "Prophet a series": prophet
    }
    runs: dict[str, list[Scored]] = {}
    shares = []
    for number, (known, actual) in enumerate(data):
        history = as_history(known)
        # A series that is unknown on every day ahead can't be scored.
        told = ~np.isnan(actual).all(axis=1)
        few = np.flatnonzero(told)[: costly if number < 2 else 0]
        (model, outcome), seconds = timed(lambda h=history: fit_predict(h, as_of=LAST, horizon=HORIZON))
        plain = (
            predict(replace(model, global_model=None), history, as_of=LAST, horizon=HORIZON)
            if model.global_model
            else outcome
        )
        shares.append(model.global_model.shares if model.global_model else np.zeros(len(SEGMENTS)))
        repeated, naive_seconds = timed(lambda h=history: naive(h, LAST))
        ours = outcome.frame.select(NAMES).to_numpy().reshape(-1, HORIZON, len(NAMES))
        both = {
            "seasonal naive": (repeated, naive_seconds),
            "usage forecaster": (ours, seconds),
            "without LightGBM": (plain.frame.select(NAMES).to_numpy().reshape(ours.shape), np.nan),
        }
        for name, (quantiles, spent) in both.items():
            scored = score(quantiles[told], known[told], actual[told], spent)
            runs.setdefault(name, []).append(scored)
            if few.size and name != "without LightGBM":
                part = score(quantiles[few], known[few], actual[few], np.nan)
                runs.setdefault(f"{name}, the same", []).append(part)
        runs["usage forecaster"][-1]["sums"] = sums_covered(outcome, actual)
        for name, by_series in slow.items() if few.size else ():
            quantiles, spent = timed(lambda method=by_series, values=known[few]: method(values))
            runs.setdefault(name, []).append(score(quantiles, known[few], actual[few], spent))
    return runs, np.mean(shares, axis=0)


def short(data: Panels) -> list[float]:
    """SHORT_COLUMNS of one set."""
    scored: dict[str, list[Scored]] = {"ours": [], "naive": [], "theta": []}
    away: dict[str, list[float]] = {name: [] for name in scored}
    sums, spent = [], 0.0
    for known, actual in data:
        history, told = as_history(known), ~np.isnan(actual).all(axis=1)
        (_, outcome), seconds = timed(lambda h=history: fit_predict(h, as_of=LAST, horizon=HORIZON))
        spent += seconds
        ours = outcome.frame.select(NAMES).to_numpy().reshape(-1, HORIZON, len(NAMES))
        mean = outcome.frame["mean"].to_numpy().reshape(-1, HORIZON)
        line = theta(known)
        repeated = naive(history, LAST)
        whole = ~np.isnan(actual).any(axis=1)
        for name, quantiles, point in (
            ("ours", ours, mean),
            ("naive", repeated, repeated[:, :, 2]),
            ("theta", np.repeat(line[:, :, None], len(NAMES), axis=2), line),
        ):
            scored[name].append(score(quantiles[told], known[told], actual[told], seconds))
            if whole.any():
                away[name].append(float(point[whole].sum() / actual[whole].sum() - 1))
        sums.append(sums_covered(outcome, actual))

    def joined(name: str, figure: str) -> FloatArray:
        return np.concatenate([np.atleast_1d(part[figure]) for part in scored[name]])

    naive_error = joined("naive", "error")
    return [
        rmase(joined("ours", "error"), naive_error),
        rmase(joined("theta", "error"), naive_error),
        rmase(joined("ours", "loss"), joined("naive", "loss")),
        float(np.nanmean(joined("ours", "in use"))),
        float(np.nanmean(joined("ours", "inside 95"))),
        float(np.concatenate(sums).mean()),
        float(np.mean(away["ours"])),
        *(float(np.abs(away[name]).mean()) for name in ("ours", "theta", "naive")),
        spent / naive_error.size * 1000,
    ]


def print_short(sims: int, seed: int, only: str) -> None:
    """Print the table of short histories, and one line of the rMASE on base stations with 60 and 107 days."""
    print("\n| set | days | " + " | ".join(SHORT_COLUMNS) + " |\n| --- | --- |" + " --- |" * len(SHORT_COLUMNS))
    of_stations: dict[int, list[float]] = {}
    for title, make in short_panels(sims, seed).items():
        if only not in title:
            continue
        for days in SHORT_DAYS:
            data = make(days)
            if not data:
                continue
            values = short(data)
            if title.startswith("base stations"):
                of_stations.setdefault(days, []).append(values[0])
            print(f"| {title} | {days} | " + " | ".join(f"{v:.3f}" for v in values) + " |", flush=True)
    if of_stations:
        print(f"\nforecast short60={np.mean(of_stations[60]):.3f} short107={np.mean(of_stations[107]):.3f}")


def figures(runs: list[Scored], baseline: list[Scored]) -> list[float]:
    """COLUMNS of one method, from its and the baseline's figures at the same origins."""

    def joined(scores: list[Scored], name: str) -> FloatArray:
        return np.concatenate([np.atleast_1d(scored[name]) for scored in scores])

    count = joined(runs, "error").size
    sums = joined(runs, "sums")
    return [
        rmase(joined(runs, "error"), joined(baseline, "error")),
        rmase(joined(runs, "loss"), joined(baseline, "loss")),
        float(joined(runs, "inside 80").mean()),
        float(joined(runs, "in use").mean()),
        float(joined(runs, "inside 95").mean()),
        float(sums.mean()) if sums.size else np.nan,
        float(joined(runs, "seconds").sum()) / count * 1000,
    ]


def main() -> None:
    """Print one table a data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sims", type=int, default=1000)
    parser.add_argument("--windows", type=int, default=3)
    parser.add_argument("--seed", type=int, default=500)
    parser.add_argument("--costly", type=int, default=60)
    parser.add_argument("--only", default="", help="only data sets whose title has this in it")
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--short", action="store_true", help="only the table of short histories")
    part.add_argument("--long", action="store_true", help="all but that table")
    arguments = parser.parse_args()
    for title, make in panels(arguments.sims, arguments.windows, arguments.seed).items():
        if arguments.short or arguments.only not in title:
            continue
        runs, shares = measure(make(), arguments.costly)
        print(f"\n{title}\n\n| method | " + " | ".join(COLUMNS) + " |\n| --- |" + " --- |" * len(COLUMNS))
        few = runs.pop("seasonal naive, the same", [])
        for name, scores in runs.items():
            everywhere = name in ("seasonal naive", "usage forecaster", "without LightGBM")
            values = figures(scores, runs["seasonal naive"] if everywhere else few)
            print(f"| {name} | " + " | ".join("-" if np.isnan(v) else f"{v:.3f}" for v in values) + " |", flush=True)
        taken = [f"{name} {share:.2f}" for name, share in zip(SEGMENTS, shares, strict=True) if share]
        print(f"\nLightGBM, share taken: {', '.join(taken) or 'none'}", flush=True)
    print(f"\npeak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    if not arguments.long:
        print_short(arguments.sims, arguments.seed, arguments.only)


if __name__ == "__main__":
    main()
