"""When a SIM ends: its volume is used up or it expires, whichever comes first.

Source: the empirical distribution of the first passage time over sampled futures (`ml.forecasting.Forecast.paths`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import polars as pl

from ml.forecasting import YOUNG_DAYS, FloatPaths
from ml.history import FloatArray

WITHIN_DAYS = (7, 14, 30)
RATE_DAYS = 28
# Beyond this a date is not given: the flat rate itself lasts ten years.
FARTHEST_DAYS = 3650

EXHAUSTION_SCHEMA = {
    "sim_key": pl.Int32,
    "as_of": pl.Date,
    "p_7": pl.Float64,
    "p_14": pl.Float64,
    "p_30": pl.Float64,
    "p_volume_30": pl.Float64,
    "p10_date": pl.Date,
    "p50_date": pl.Date,
    "p90_date": pl.Date,
    "cause": pl.String,
    "extrapolated": pl.Boolean,
    "status": pl.String,
}


@dataclass(frozen=True, eq=False)
class Exhaustion:
    """One row a SIM, in the order given (EXHAUSTION_SCHEMA).

    p_7, p_14, p_30       probability that volume or expiry ends the SIM by the end of day as_of + 7, 14, 30
    p_volume_30           the same for the volume alone
    p10_date ... p90_date  the first day by whose end the SIM has ended with probability 10, 50, 90 %; null beyond ten years
    cause                 "volume" or "expiry", whichever comes first at the median; null when neither does
    extrapolated          the median lies beyond the sampled days
    status                "ok", "exhausted" or "expired" (already), "extrapolated", "not_enough_evidence"
    """

    frame: pl.DataFrame


def quota_exhaustion(
    paths: FloatPaths,
    remaining: npt.ArrayLike,
    expiry_in_days: npt.ArrayLike,
    *,
    as_of: date,
    history_days: npt.ArrayLike,
    ever_used: npt.ArrayLike,
    sim_keys: npt.ArrayLike | None = None,
) -> Exhaustion:
    """When each SIM ends, from sampled futures.

    paths           (sims, samples, days) bytes a day from as_of + 1, finite and not negative, at least one sample and day
    remaining       (sims,) bytes left at the end of `as_of`; zero or less: exhausted already; NaN: unknown
    expiry_in_days  (sims,) days from `as_of` to the expiry date; zero or less: expired; NaN: never, or unknown
    history_days    (sims,) known days of usage up to `as_of`
    ever_used       (sims,) whether any byte was used in those days
    sim_keys        (sims,) ids for the frame; by default 0, 1, 2 ...

    A path ends by volume on the first day whose running total reaches what is left. Beyond its last day a path goes on
    linearly, at its own mean daily use of its last 28 days; that is stated as `extrapolated`.
    Where the volume is unknown, the history shorter than 14 days, or nothing was ever used, the status is
    "not_enough_evidence": dates are null and so are probabilities, except 1 where the expiry date alone makes them sure.
    Raises ValueError when shapes differ or a path is negative or not finite.
    """
    rest = np.asarray(remaining, dtype=np.float64)
    expiry = np.asarray(expiry_in_days, dtype=np.float64)
    known, used = np.asarray(history_days), np.asarray(ever_used, dtype=np.bool_)
    sims = rest.size
    keys = np.arange(sims) if sim_keys is None else np.asarray(sim_keys)
    _check(paths, remaining=rest, expiry_in_days=expiry, history_days=known, ever_used=used, sim_keys=keys)

    volume = _passage_days(paths, rest)
    clock = np.where(np.isnan(expiry), np.inf, np.ceil(expiry))
    end = np.minimum(volume, clock[:, None])
    exhausted, expired = rest <= 0, expiry <= 0
    unsure = ~(exhausted | expired) & (np.isnan(rest) | (known < YOUNG_DAYS) | ~used)
    end[exhausted | expired] = 0
    volume[exhausted] = 0

    ordered = np.sort(end, axis=1)
    dates = {f"p{share}_date": _date_of(ordered, share, as_of, unsure) for share in (10, 50, 90)}
    middle = _rank(ordered, 50)
    # At a tie the volume is named: it is the one that a top-up can mend.
    by_volume = _rank(np.sort(volume, axis=1), 50) <= clock
    by_volume = np.where(exhausted | expired, exhausted, by_volume)
    nothing = unsure | (middle > FARTHEST_DAYS)
    cause = np.where(by_volume, "volume", "expiry").astype(object)
    cause[nothing] = None
    extrapolated = ~unsure & (middle > paths.shape[2])
    status = np.where(extrapolated, "extrapolated", "ok").astype(object)
    status[expired], status[exhausted], status[unsure] = "expired", "exhausted", "not_enough_evidence"

    sure = np.where(unsure, np.nan, 1.0)
    columns = {"sim_key": keys, "as_of": np.full(sims, np.datetime64(as_of, "D"))}
    columns |= {f"p_{d}": np.where(clock <= d, 1.0, sure * (end <= d).mean(axis=1)) for d in WITHIN_DAYS}
    columns["p_volume_30"] = np.where(np.isnan(rest), np.nan, sure) * (volume <= 30).mean(axis=1)
    columns |= {**dates, "extrapolated": extrapolated}
    frame = pl.DataFrame(columns).with_columns(
        pl.col("^p_.*$").fill_nan(None),
        pl.Series("cause", cause.tolist(), dtype=pl.String),
        pl.Series("status", status.tolist(), dtype=pl.String),
    )
    return Exhaustion(frame.select(pl.col(name).cast(kind) for name, kind in EXHAUSTION_SCHEMA.items()))


def _check(paths: FloatPaths, **per_sim: npt.NDArray[np.generic]) -> None:
    if paths.ndim != 3 or 0 in paths.shape[1:]:
        raise ValueError(
            f"paths have the shape {paths.shape}; needed are (sims, samples, days) with one of each or more"
        )
    for name, values in per_sim.items():
        if values.shape != paths.shape[:1]:
            raise ValueError(f"{name} has the shape {values.shape}, paths have {paths.shape[0]} SIMs: one value a SIM")
    if not np.isfinite(paths).all() or (paths < 0).any():
        row = int(np.argmax((~(np.isfinite(paths) & (paths >= 0))).any(axis=(1, 2))))
        raise ValueError(f"paths of row {row} hold a negative or infinite volume or NaN; sample them again")


def _passage_days(paths: FloatPaths, remaining: FloatArray) -> FloatArray:
    """The day, from 1, whose running total reaches what is left, (sims, samples); inf for never or unknown."""
    sims, samples, days = paths.shape
    total = np.zeros((sims, samples))
    passage = np.ones((sims, samples))
    rest = remaining[:, None]
    for day in range(days):
        total += paths[:, :, day]
        passage += total < rest
    rate = paths[:, :, -RATE_DAYS:].mean(axis=2, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        later = days + np.maximum(np.ceil((rest - total) / rate), 1)
    passage = np.where(total < rest, np.where(rate > 0, later, np.inf), passage)
    passage[np.isnan(remaining)] = np.inf
    return passage


def _rank(ordered: FloatArray, percent: int) -> FloatArray:
    """The smallest of a row's ordered values that at least `percent` % of them do not exceed."""
    return np.asarray(ordered[:, -(-percent * ordered.shape[1] // 100) - 1], dtype=np.float64)


def _date_of(
    ordered: FloatArray, percent: int, as_of: date, unsure: npt.NDArray[np.bool_]
) -> npt.NDArray[np.datetime64]:
    days = _rank(ordered, percent)
    none = unsure | (days > FARTHEST_DAYS)
    ahead = np.where(none, 0, np.maximum(days, 0)).astype("timedelta64[D]")
    return np.where(none, np.datetime64("NaT", "D"), np.datetime64(as_of, "D") + ahead)
