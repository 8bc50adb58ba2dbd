"""What each SIM may use in the months ahead: the forecast's sampled paths by month."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ml.history import FloatArray

MONTH_DAYS = 30
# The churn risk that is handed in is that of 90 days.
RISK_MONTHS = 3


def monthly_use(
    paths: npt.ArrayLike, later: npt.ArrayLike, step_days: npt.ArrayLike, *, months: int = 12
) -> FloatArray:
    """Bytes of each month ahead, (sims, samples, months); a month is 30 days.

    paths      (sims, samples, days) sampled futures, `ml.forecasting.Forecast.paths`
    later      (sims, samples, steps) bytes of each step that follows, `ml.exhaustion.extrapolation.Extrapolation`
    step_days  (steps,) days of each step

    Within a step use is spread evenly; after the last one it goes on at the last step's rate, without steps at the
    paths' mean. Raises ValueError when shapes do not fit.
    """
    first, more = np.asarray(paths, dtype=np.float64), np.asarray(later, dtype=np.float64)
    steps = np.asarray(step_days, dtype=np.float64)
    if first.ndim != 3 or 0 in first.shape[1:] or more.shape != (*first.shape[:2], steps.size):
        raise ValueError(
            f"paths have the shape {first.shape}, later {more.shape} for {steps.size} step(s); needed are (sims, "
            "samples, days) with one of each or more, and (sims, samples, steps)"
        )
    lengths = np.concatenate([np.ones(first.shape[2]), steps])
    missing = months * MONTH_DAYS - lengths.sum()
    if missing > 0:
        rate = more[:, :, -1] / steps[-1] if steps.size else first.mean(axis=2)
        more = np.concatenate([more, rate[:, :, None] * missing], axis=2)
        lengths = np.append(lengths, missing)
    ends = lengths.cumsum()
    starts = ends - lengths
    border = MONTH_DAYS * np.arange(months)
    inside = np.minimum(ends[:, None], border + MONTH_DAYS) - np.maximum(starts[:, None], border)
    share = np.maximum(inside, 0) / lengths[:, None]
    days = first.shape[2]
    return np.asarray(first @ share[:days] + more @ share[days:], dtype=np.float64)


def with_churn(use: FloatArray, risk: npt.ArrayLike, *, seed: int = 7) -> FloatArray:
    """The same futures, of which some end: by month 3 as many as the risk of 90 days says, then on at the same rate.

    use   (sims, samples, months) bytes, of `monthly_use`
    risk  (sims,) probability that the device sends no more within 90 days; NaN: unknown, nothing is changed

    Paths that have stopped by themselves count: only what the risk says beyond them is ended. Which paths end is drawn
    by the seed, evenly. Raises ValueError for a risk outside 0 to 1.
    """
    chance = np.nan_to_num(np.asarray(risk, dtype=np.float64))
    if chance.shape != use.shape[:1] or (chance < 0).any() or (chance > 1).any():
        raise ValueError(f"risk has the shape {chance.shape}; needed is one probability for each of {len(use)} SIMs")
    months = np.arange(1, use.shape[2] + 1)
    ended = 1 - (1 - np.minimum(chance, 1 - 1e-9)[:, None]) ** (months / RISK_MONTHS)
    stopped = (np.flip(np.flip(use, axis=2).cumsum(axis=2), axis=2) == 0).mean(axis=1)
    more = np.maximum.accumulate(np.maximum(ended - stopped, 0) / np.maximum(1 - stopped, 1e-9), axis=1)
    samples = use.shape[1]
    place = (np.random.default_rng(seed).permutation(samples) + 0.5) / samples
    return np.asarray(np.where(place[None, :, None] < more[:, None, :], 0.0, use), dtype=np.float64)
