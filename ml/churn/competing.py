"""How causes of an end that compete with each other add up: cumulative incidence.

Source: Aalen and Johansen (1978). Without outer risks the incidence is exactly theirs, of discrete months.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ml.history import FloatArray

MONTH_DAYS = 30
HORIZONS = (30, 60, 90, 180)
MONTHS = HORIZONS[-1] // MONTH_DAYS
MOST_HAZARD = 0.999


def cumulative_incidence(learnt: FloatArray, outer: FloatArray) -> FloatArray:
    """Probability of having ended by each cause up to each month, (rows, months, causes + outer risks).

    learnt  (rows, months, causes) hazards: probability that a SIM that is there at a month's beginning ends in it by
            each cause
    outer   (rows, months, outer risks) probability up to each month's end of each outer risk alone, were there no
            other end; not falling with months
    All causes and the chance of none add up to 1, and none ever falls with months.
    """
    total = learnt.sum(axis=2)
    ends = np.minimum(total, MOST_HAZARD)
    rates = [-np.log1p(-ends)]
    staying = 1 - np.clip(outer, 0, MOST_HAZARD)
    before = np.concatenate([np.ones_like(staying[:, :1]), staying[:, :-1]], axis=1)
    rates += list(np.moveaxis(np.maximum(-np.log(np.minimum(staying / before, 1.0)), 0), 2, 0))
    rate = np.stack(rates, axis=2)
    whole = rate.sum(axis=2)
    share = rate / np.maximum(whole, 1e-300)[:, :, None]
    of_cause = learnt / np.maximum(total, 1e-300)[:, :, None]
    parts = np.concatenate([share[:, :, :1] * of_cause, share[:, :, 1:]], axis=2)
    survival = np.exp(-whole.cumsum(axis=1))
    at_start = np.concatenate([np.ones_like(survival[:, :1]), survival[:, :-1]], axis=1)
    ended = (at_start * -np.expm1(-whole))[:, :, None] * parts
    return np.asarray(ended.cumsum(axis=1), dtype=np.float64)


def by_months(at_horizons: FloatArray) -> FloatArray:
    """Probabilities at HORIZONS, (rows, horizons), at each month's end, (rows, MONTHS): the rate between two horizons
    is even. Raises ValueError for probabilities outside 0 and 1; what falls from a horizon to the next stays level."""
    if not np.all((at_horizons >= 0) & (at_horizons <= 1)):
        raise ValueError("probabilities of exhausted and expired must be within 0 and 1")
    rates = -np.log1p(-np.minimum(np.maximum.accumulate(at_horizons, axis=1), 1 - 1e-12))
    known = np.concatenate([np.zeros((len(rates), 1)), rates], axis=1)
    months = np.arange(1, MONTHS + 1) * MONTH_DAYS
    at = np.array([0, *HORIZONS])
    high = np.searchsorted(at, months)
    share = (months - at[high - 1]) / (at[high] - at[high - 1])
    return np.asarray(
        -np.expm1(-(known[:, high - 1] + share * (known[:, high] - known[:, high - 1]))), dtype=np.float64
    )


def months_of(horizons: tuple[int, ...] = HORIZONS) -> npt.NDArray[np.int64]:
    """Index of the month at whose end each horizon lies."""
    return np.array([days // MONTH_DAYS - 1 for days in horizons], dtype=np.int64)
