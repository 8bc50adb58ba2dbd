"""How good forecasts of totals are: the chosen method against our forecaster, Prophet and the mean of both on every
series.

    python -m benchmarks.totals [--seed 901] [--sims 800]

The simulated fleet's total and those of its eleven largest sites, with a year and with half a year of history, and sums
of five cash machines, 30 days ahead from three origins (all synthetic). Errors are mean absolute scaled errors as a
ratio to seasonal naive.
"""

from __future__ import annotations

import argparse
import time
from datetime import timedelta

import numpy as np
import polars as pl

from benchmarks.series import (
    DAYS,
    HORIZON,
    LAST,
    YEAR,
    Panels,
    as_history,
    cash_machines,
    cut,
    last_origins,
    simulated_fleet,
)
from ml.forecasting import QUANTILES, quantile_column, seasonal_naive
from ml.forecasting.aggregates import METHODS, forecast_aggregate, forecast_points
from ml.forecasting.backtest import mase, naive_scale
from simulator.fleet import Fleet

COLUMNS = ("chosen", *METHODS, "covers 80 %", "covers 95 %", "30-day sum, 80 %", "CPU s a series")
SPAN = (quantile_column(0.1), quantile_column(0.9))
NAMES = [quantile_column(level) for level in QUANTILES]


def sites(sims: int, seed: int, days: int) -> Panels:
    """Totals of the simulated fleet and of its eleven largest sites."""
    volume = simulated_fleet(sims, seed)
    site = Fleet(seed=seed, sims=sims, start=LAST - timedelta(days=DAYS - 1)).demand.site
    largest = np.argsort(-np.bincount(site), kind="stable")[:11]
    return cut(
        np.stack([volume.sum(axis=0), *(volume[site == s].sum(axis=0) for s in largest)]), last_origins(DAYS, 3), days
    )


def cash(seed: int) -> Panels:
    """Sums of five cash machines each."""
    volume = cash_machines(60, seed).reshape(12, 5, DAYS).sum(axis=1)
    return cut(volume, last_origins(DAYS, 3))


def measure(data: Panels) -> tuple[list[float], dict[str, int]]:
    """COLUMNS over all series and origins, and how often each method was chosen."""
    parts, chosen, seconds = [], dict.fromkeys(METHODS, 0), 0.0
    for known, actual in data:
        history = as_history(known)
        totals = history.select(pl.format("{}", pl.col("sim_key") + 100).alias("group"), "day", "bytes")
        began = time.process_time()
        forecast = forecast_aggregate(totals, LAST, HORIZON)
        seconds += time.process_time() - began
        for method in forecast.choices["method"]:
            chosen[method] += 1
        q = forecast.frame.select(NAMES).to_numpy().reshape(-1, HORIZON, len(NAMES))
        naive = seasonal_naive(history, as_of=LAST, horizon=HORIZON)["q0.5"].to_numpy().reshape(-1, HORIZON)
        points = forecast_points(history, known, np.arange(len(known)), LAST, HORIZON, 7)
        scale = naive_scale(known)
        errors = [mase(actual, made, scale) for made in (naive, q[:, :, 2], *points)]
        inside = [((actual >= q[:, :, low]) & (actual <= q[:, :, high])).mean(axis=1) for low, high in ((1, 3), (0, 4))]
        low, high = (forecast.frame[f"sum_{name}"].to_numpy().reshape(-1, HORIZON)[:, -1] for name in SPAN)
        total = actual.sum(axis=1)
        parts.append(np.stack([*errors, *inside, (low <= total) & (total <= high)], axis=1))
    every = np.concatenate(parts)
    mean = every[~np.isnan(every).any(axis=1)].mean(axis=0)
    return [*(mean[1:5] / mean[0]), *mean[5:], seconds / len(every)], chosen


def main() -> None:
    """Print one row a data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=901)
    parser.add_argument("--sims", type=int, default=800)
    arguments = parser.parse_args()
    sets = {
        "fleet and sites, 365 days": sites(arguments.sims, arguments.seed, YEAR),
        "fleet and sites, 180 days": sites(arguments.sims, arguments.seed, 180),
        "sums of cash machines": cash(arguments.seed),
    }
    print("| totals | " + " | ".join(COLUMNS) + " | chosen |\n| --- |" + " --- |" * (len(COLUMNS) + 1))
    for title, data in sets.items():
        values, chosen = measure(data)
        often = ", ".join(f"{method} {count}" for method, count in chosen.items() if count)
        print(f"| {title} | " + " | ".join(f"{value:.3f}" for value in values) + f" | {often} |", flush=True)


if __name__ == "__main__":
    main()
