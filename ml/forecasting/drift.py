"""Whether forecasts still hold, from how the last days' forecasts did.

A model goes bad in three ways, and each shows in a figure of its own within the first days: what happens leaves its
intervals (coverage), it is worse than repeating last week (error, as a share of seasonal naive's on the same SIMs and
days), or what happens lies on one side of its medians (a common shift, in which seasonal naive errs as much). The
limits leave room for what chance does to a fleet of that size: errors of one SIM hang together over days, so SIMs are
counted, not SIM-days.
"""

from __future__ import annotations

import math
from datetime import date, timedelta

import numpy as np
import polars as pl

from ml.words import percent

DAYS = 3
SHORT = "1-7"
COVERAGE_SLACK = 0.1
MAX_ERROR_RATIO = 1.1
MEDIAN_SLACK = 0.2
# Chance is allowed for with so many standard errors.
STANDARD_ERRORS = 2.5

SCORES_SCHEMA = {
    "day": pl.Date,
    "horizon": pl.String,
    "model_version": pl.Int32,
    "sims": pl.Int32,
    "n": pl.Int32,
    "error": pl.Float64,
    "baseline_error": pl.Float64,
    "rmase": pl.Float64,
    "coverage_80": pl.Float64,
    "coverage_95": pl.Float64,
    "bias": pl.Float64,
    "above_median": pl.Float64,
    "promised_80": pl.Float64,
}


def drift(scores: pl.DataFrame, *, as_of: date) -> list[str]:
    """What no longer holds of the forecasts 1 to 7 days ahead over the last three scored days, in sentences; nothing:
    all is well.

    scores  one row a day, horizon and model version (SCORES_SCHEMA); promised_80 is the coverage in the version's
            backtest, null if unknown. Days before the last three up to `as_of` are not looked at.
    """
    recent = scores.filter(
        pl.col("horizon") == SHORT, pl.col("day") > as_of - timedelta(days=DAYS), pl.col("day") <= as_of
    )
    if recent.is_empty():
        return []
    sims = min(recent.group_by("day").agg(pl.col("sims").max())["sims"].to_list())

    def mean(name: str) -> float:
        known = recent.filter(pl.col(name).is_not_null())
        weights = known["n"].to_numpy()
        return float(np.average(known[name].to_numpy(), weights=weights)) if known.height else math.nan

    said = []
    chance = STANDARD_ERRORS / math.sqrt(sims)
    promised = mean("promised_80")
    promised = 0.8 if math.isnan(promised) else promised
    covered, lowest = mean("coverage_80"), promised - COVERAGE_SLACK - chance * math.sqrt(promised * (1 - promised))
    days = sorted(recent["day"].unique().to_list())
    over = f"over {len(days)} day(s) up to {days[-1]} ({recent['n'].sum():,} forecasts of {sims:,} SIMs)"
    if covered < lowest:
        said.append(f"the 80 % interval held {percent(covered)} {over}; at least {percent(lowest)} were to be expected")
    baseline = mean("baseline_error")
    error = mean("error") / baseline if baseline > 0 else math.nan
    highest = MAX_ERROR_RATIO + chance / 2
    if error > highest:
        said.append(
            f"the error was {error:.2f} times that of repeating last week {over}; at most {highest:.2f} is tolerated"
        )
    above, slack = mean("above_median"), MEDIAN_SLACK + chance / 2
    if abs(above - 0.5) > slack:
        side = "above" if above > 0.5 else "below"
        share = above if above > 0.5 else 1 - above
        said.append(
            f"{percent(share)} of usages lay {side} the median {over}; at most {percent(0.5 + slack)} is tolerated"
        )
    return said
