"""How honest exhaustion dates are: coverage, reliability, Brier and ranked probability scores, and a backtest on any
fleet.

An end that has not come by the last known day counts for what it says: that it comes later. Every SIM is scored,
whether it ended or not, so that nothing is chosen by the outcome.

Sources: non-randomized probability integral transform for distributions with steps, such as whole days and the certain
expiry (Czado, Gneiting and Held 2009); Brier (1950); ranked probability score (Epstein 1969).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from ml.exhaustion.extrapolation import SEGMENTS, fit_extrapolation, sample_sims, state
from ml.exhaustion.model import Calibration, quota_exhaustion
from ml.forecasting import fit_predict
from ml.history import FloatArray, dense
from ml.words import percent

HORIZONS = (7, 14, 30, 90, 180, 365)
LEVELS = np.arange(0.05, 1, 0.05).round(2)
# Origins of the backtest, in days before as_of, and for how many days of use the volume left is made to last.
BACKS = (30, 58, 86, 182)
LASTS = (7, 14, 28, 42, 84)
MIN_KNOWN_DAYS = 86
TESTED_SIMS = 600
SAMPLES = 200
# Bounds of the share of dates within P10 and P90, before the room that chance gets.
PROMISED, ROOM = 0.8, 0.08
# A calibration is shrunk towards the stated probabilities as if so many SIM-windows had met them exactly.
TRUSTED_WINDOWS = 200

SCORE_SCHEMA = {
    "group": pl.String,
    "n": pl.UInt32,
    "open": pl.UInt32,
    "coverage_80": pl.Float64,
    "early": pl.Float64,
    "late": pl.Float64,
    **{f"brier_{days}": pl.Float64 for days in HORIZONS},
    "rps": pl.Float64,
    "soon": pl.UInt32,
    "error_days": pl.Float64,
}
CALIBRATION_SCHEMA = {"group": pl.String, "level": pl.Float64, "achieved": pl.Float64}


@dataclass(frozen=True, eq=False)
class Scores:
    """How good the dates of some SIMs were.

    frame        one row a group of SIMs and "all" (SCORE_SCHEMA): n SIM-windows; open, those of them whose P10 comes
                 before anything certain ends them; of these coverage_80 (share within P10 and P90), early and late
                 (before P10, after P90; the three add up to 1); of all brier_* by days ahead and rps, their mean; soon,
                 how many have a median within 30 days, and error_days, the median error of these in days
    calibration  one row a group and level: the share of open SIM-windows that had ended by the date of that level
    """

    frame: pl.DataFrame
    calibration: pl.DataFrame

    @property
    def coverage(self) -> float:
        """Share of all open SIM-windows within P10 and P90; NaN without any."""
        value = self.frame.row(by_predicate=pl.col("group") == "all", named=True)["coverage_80"]
        return float("nan") if value is None else float(value)


def transform_bounds(days: FloatArray, ended: FloatArray, known: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Stated probability of an end before the true one, and of one by it: the bounds of the probability integral
    transform.

    days   (n, samples) sampled days of the end
    ended  (n,) true day of the end
    known  (n,) last day of which the outcome is known; of an end after it only that is used: the upper bound is 1
    """
    seen = ended <= known
    before = np.where(seen[:, None], days < ended[:, None], days <= known[:, None]).mean(axis=1)
    return before, np.where(seen, (days <= ended[:, None]).mean(axis=1), 1.0)


def share_below(low: FloatArray, high: FloatArray, level: float) -> FloatArray:
    """How much of each interval from `low` to `high` lies below a level, 0 to 1."""
    width = high - low
    return np.where(width > 1e-9, np.clip((level - low) / np.maximum(width, 1e-9), 0, 1), low < level)


def score_dates(
    days: FloatArray,
    ended: npt.ArrayLike,
    *,
    groups: Sequence[str],
    known: npt.ArrayLike,
    certain: npt.ArrayLike | None = None,
) -> Scores:
    """Score sampled ends against true ones.

    days     (n, samples) sampled days of the end from the as-of day, inf for never (`Exhaustion.days`)
    ended    (n,) true day of the end; inf where it has not come
    groups   (n,) names to score by, beside all together
    known    (n,) last day of which the outcome is known
    certain  (n,) day on which the SIM ends in any case, its expiry; inf for none
    """
    true, until = np.asarray(ended, dtype=np.float64), np.asarray(known, dtype=np.float64)
    sure = np.full(true.size, np.inf) if certain is None else np.asarray(certain, dtype=np.float64)
    low, high = transform_bounds(days, true, until)
    ordered = np.sort(days, axis=1)
    p10, p50 = (ordered[:, -(-share * days.shape[1] // 100) - 1] for share in (10, 50))
    is_open = p10 < sure
    below = {level: np.where(is_open, share_below(low, high, level), np.nan) for level in (0.1, 0.9, *LEVELS.tolist())}
    columns: dict[str, FloatArray] = {"open": is_open.astype(np.float64)}
    columns |= {"early": below[0.1], "late": 1 - below[0.9], "coverage_80": below[0.9] - below[0.1]}
    for within in HORIZONS:
        miss = ((days <= within).mean(axis=1) - (true <= within)) ** 2
        columns[f"brier_{within}"] = np.where(until >= within, miss, np.nan)
    soon = (p50 > 0) & (p50 <= 30)
    # An end beyond the known days is at least that far off.
    columns["error_days"] = np.where(soon, np.abs(np.minimum(true, until) - np.where(soon, p50, 0)), np.nan)
    table = pl.DataFrame(
        {"group": list(groups), **columns, **{f"at {level}": below[level] for level in LEVELS.tolist()}}
    )
    table = pl.concat([table, table.with_columns(pl.lit("all").alias("group"))]).fill_nan(None)
    frame = table.group_by("group").agg(
        pl.len().alias("n"),
        pl.col("open").sum(),
        pl.col("coverage_80", "early", "late", "^brier_.*$").mean(),
        pl.col("error_days").count().alias("soon"),
        pl.col("error_days").median(),
    )
    frame = frame.with_columns(rps=pl.mean_horizontal("^brier_.*$")).sort("group")
    achieved = table.group_by("group").agg(pl.col("^at .*$").mean()).unpivot(index="group", value_name="achieved")
    achieved = achieved.with_columns(level=pl.col("variable").str.strip_prefix("at ").cast(pl.Float64))
    return Scores(
        frame.select(pl.col(name).cast(kind) for name, kind in SCORE_SCHEMA.items()),
        achieved.select(list(CALIBRATION_SCHEMA)).sort("group", "level"),
    )


def calibration_of(days: FloatArray, ended: FloatArray, known: FloatArray) -> Calibration:
    """What stated probabilities turned out to be; arguments as `score_dates` takes them."""
    low, high = transform_bounds(days, ended, known)
    trust = low.size / (low.size + TRUSTED_WINDOWS)
    achieved = [trust * float(share_below(low, high, level).mean()) + (1 - trust) * level for level in LEVELS.tolist()]
    return Calibration((0.0, *(round(share, 4) for share in achieved), 1.0))


@dataclass(frozen=True, eq=False)
class ExhaustionBacktest:
    """A backtest's outcome: `scores` by segment of `ml.exhaustion.extrapolation` and a `calibration`; both None unless
    status is "ok".

    scores       of dates calibrated by the other origins of the backtest; with one origin only they are as they come
    calibration  fitted on all origins, for dates from `as_of` on
    low, high    bounds within which the overall coverage is as promised, with room for chance
    status       "ok" or "not_enough_history"; `note` says in a sentence what was tested or what is missing
    """

    scores: Scores | None
    calibration: Calibration | None
    low: float
    high: float
    status: str
    note: str

    @property
    def calibrated(self) -> bool:
        """Whether dates may be trusted; true as well when there is nothing to tell."""
        return self.scores is None or np.isnan(self.scores.coverage) or self.low <= self.scores.coverage <= self.high


def exhaustion_backtest(history: pl.DataFrame, *, as_of: date, horizon: int = 30, seed: int = 7) -> ExhaustionBacktest:
    """Test when each SIM would have run out, had it had a volume left that lasts some days, against when use reached
    it.

    From past days (BACKS before `as_of`), with all that was known then and nothing later, the volume left is set to
    LASTS days of the SIM's level (mean use of its last eight weeks), the longest at most half of the days known since.
    So coverage is measured on every fleet, whether or not any SIM ran out. Of a large fleet TESTED_SIMS SIMs are
    tested, drawn by the seed.

    Sums over days miss by more than days do: how often dates of each stated probability were right is fitted as a
    calibration, and tested on the origins that it was not fitted on. The bounds are 72 to 88 %, widened by 2.6 standard
    errors of as many draws as there are SIMs: windows of one SIM hang together.
    Raises ValueError for a broken history (see `ml.history.check_history`).
    """
    sampled = sample_sims(history, TESTED_SIMS, seed)
    panel = dense(sampled, as_of=as_of, lookback_days=730)
    longest = panel.values.shape[1]
    backs = [back for back in BACKS if longest - back >= MIN_KNOWN_DAYS and back >= horizon]
    parts: list[FloatArray] = []
    ends: list[FloatArray] = []
    until: list[FloatArray] = []
    groups: list[str] = []
    for back in backs:
        origin = as_of - timedelta(days=back)
        known = sampled.filter(pl.col("day") <= origin)
        if known.is_empty():
            continue
        _, forecast = fit_predict(known, as_of=origin, horizon=horizon, seed=seed)
        extrapolation = fit_extrapolation(known, as_of=origin, horizon=horizon, seed=seed)
        values = panel.values[np.searchsorted(panel.sim_keys, forecast.sim_keys)]
        values, actual = values[:, : longest - back], values[:, longest - back :]
        segments, levels = state(values)
        used = np.nancumsum(actual, axis=1)
        tested = (levels > 0) & (forecast.history_days >= MIN_KNOWN_DAYS - horizon)
        for block, sampled_paths in forecast.path_blocks(SAMPLES):
            there = tested[block]
            paths, level, segment = sampled_paths[there], levels[block][there], segments[block][there]
            later = extrapolation.extrapolate(paths, values[block][there])
            for days in (days for days in LASTS if 2 * days <= back):
                remaining = level * days
                found = quota_exhaustion(
                    paths,
                    remaining,
                    np.full(remaining.size, np.nan),
                    as_of=origin,
                    history_days=forecast.history_days[block][there],
                    ever_used=np.ones(remaining.size, np.bool_),
                    later=later,
                    step_days=extrapolation.step_days,
                )
                reached = 1.0 + (used[block][there] < remaining[:, None]).sum(axis=1)
                parts.append(found.days)
                ends.append(np.where(reached <= back, reached, np.inf))
                until.append(np.full(remaining.size, float(back)))
                groups += [SEGMENTS[index] for index in segment]
    sims = int(panel.sim_keys.size)
    room = ROOM + 2.6 * float(np.sqrt(PROMISED * (1 - PROMISED) / max(sims, 1)))
    low, high = PROMISED - room, min(PROMISED + room, 1.0)
    if not groups:
        need = MIN_KNOWN_DAYS + min(BACKS)
        note = f"The longest history has {longest} days with use; a backtest of exhaustion dates needs {need}."
        return ExhaustionBacktest(None, None, low, high, "not_enough_history", note)
    days_ended, ended, last = np.concatenate(parts), np.concatenate(ends), np.concatenate(until)
    tried = days_ended.copy()
    for origin_back in np.unique(last):
        others = last != origin_back
        if others.any():
            fitted = calibration_of(days_ended[others], ended[others], last[others])
            tried[~others] = fitted.apply(days_ended[~others])
    scores = score_dates(tried, ended, groups=groups, known=last)
    note = (
        f"{percent(scores.coverage, 1)} of {len(groups)} hypothetical dates of {sims} SIMs, from {len(backs)} day(s) "
        f"up to {as_of}, lay between P10 and P90; expected are 80 %, allowed {percent(low)} to {percent(high)}."
    )
    return ExhaustionBacktest(scores, calibration_of(days_ended, ended, last), low, high, "ok", note)
