"""One LightGBM for the whole fleet: how far, and to which side, the weighted median of the candidates will miss.

The model sees at an origin what the ensemble's forecast leaves out: how the candidates differ, which way the last days
went, how noisy, how trending, how busy and how old a SIM is. All is in units of the SIM's own week-to-week change, so
that one model serves every volume. The share of the correction that is taken is chosen by segment: a model trained on
older origins only is validated on what came after younger ones. Where the correction does not pay, its share is 0 and
the forecast is the ensemble's.

Sources: gradient boosting of the absolute error (Friedman 2001; Ke et al. 2017, LightGBM), global models over many
series (Montero-Manso and Hyndman 2021), boosting started from a combination of forecasts as in Montero-Manso et al.
2020 (FFORMA).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ml.forecasting.candidates import NAMES, Float32
from ml.forecasting.segments import SEASON, SEGMENTS, WEEKS, nan_mean
from ml.history import FloatArray, IntArray, known_days

if TYPE_CHECKING:
    from lightgbm import Booster

# Segments whose centre the model may correct: the others are forecast by a rule.
CORRECTED = tuple(SEGMENTS.index(name) for name in ("sparse", "steady", "moderate", "variable"))
# The first week ahead and the later ones are distinguished.
PARTS = 2
USED = np.array([index for index, name in enumerate(NAMES) if name != "zero"])
RECENT_DAYS = (1, 2, 3, 7, 14, 28, 56)
LIMIT = 30.0
# Days ahead that each window contributes to the training sample, of its four weeks; rows at most and at least.
DAYS_A_WINDOW = 6
MAX_TRAINING_ROWS, MIN_TRAINING_ROWS = 25_000, 4_000
ROUNDS = 40
PARAMETERS: dict[str, Any] = {
    "objective": "l1",
    "learning_rate": 0.17,
    "num_leaves": 15,
    "min_data_in_leaf": 60,
    "feature_fraction": 0.6,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 1.0,
    "max_bin": 63,
    "bin_construct_sample_cnt": 5_000,
    "verbosity": -1,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
}
# How much of the correction is taken: what pays best in a segment's validation windows, shrunk towards none as if this
# many windows more had gained nothing from it.
CORRECTION_SHARES = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
SHRINKAGE_WINDOWS, SHRINKAGE_ERROR = 300.0, 0.02


@dataclass(frozen=True, eq=False)
class GlobalModel:
    """A trained model.

    text    LightGBM's own text of it
    shares  (segments,) how much of the correction is taken
    """

    text: str
    shares: FloatArray

    @cached_property
    def _booster(self) -> Booster:
        from lightgbm import Booster

        return Booster(model_str=self.text)

    def correction(self, features: Float32, segments: IntArray) -> FloatArray:
        """What to add to the centre, (sims, PARTS, 7), in units of `unit`; zero where its share is 0.

        features  (sims, PARTS, 7, n) as `features` makes them
        """
        added = np.zeros(features.shape[:3])
        rows = np.flatnonzero(self.shares[segments] > 0)
        if rows.size:
            flat = features[rows].reshape(-1, features.shape[3])
            predicted = np.asarray(self._booster.predict(flat, num_threads=1), dtype=np.float64)
            added[rows] = predicted.reshape(rows.size, PARTS, SEASON) * self.shares[segments[rows], None, None]
        return added


def unit(values: FloatArray) -> FloatArray:
    """How much each SIM changes from a week to the next, (sims,): mean absolute lag-7 difference; never zero."""
    change = nan_mean(np.abs(values[:, SEASON:] - values[:, :-SEASON])) if values.shape[1] > SEASON else 0.0
    return np.maximum(change, 0.02 * nan_mean(values[:, -WEEKS * SEASON :]) + 1e-9)


def features(values: FloatArray, weeks: Float32, base: FloatArray, segments: IntArray) -> Float32:
    """What is known at an origin of each weekday of both parts, (sims, PARTS, 7, n).

    values  (sims, days) up to the origin, NaN unknown
    weeks   (sims, candidates, 7) the candidates' weeks
    base    (sims, PARTS, 7) the week that the ensemble expects, of each part
    """
    sims, days = values.shape
    scale = unit(values)
    last = np.full((sims, WEEKS * SEASON), np.nan)
    last[:, max(WEEKS * SEASON - days, 0) :] = values[:, -WEEKS * SEASON :]
    used = np.nan_to_num(last) > 0
    off = ((last.reshape(sims, WEEKS, SEASON) - base[:, 1][:, None, :]) / scale[:, None, None]).reshape(sims, -1)
    columns = [nan_mean(off[:, -n:]) for n in RECENT_DAYS]
    columns += [np.median(np.nan_to_num(off[:, -n:]), axis=1) for n in (7, 14, 28)]
    columns += [nan_mean(values) / scale, nan_mean(values[:, -26 * SEASON :]) / scale, nan_mean(last) / scale]
    columns += [used[:, -n:].mean(axis=1) for n in (7, 14, 56)]
    columns += [np.nan_to_num(last).max(axis=1) / scale, nan_mean(np.abs(off))]
    since = np.argmax(np.append(used[:, ::-1], np.ones((sims, 1), dtype=np.bool_), axis=1), axis=1)
    columns.append(since.astype(np.float64))
    columns += [known_days(values).astype(np.float64), segments.astype(np.float64)]
    level = [nan_mean(values[:, max(days - a, 0) : max(days - b, 0)]) for a, b in ((7, 0), (14, 7), (28, 0), (56, 28))]
    columns += [(level[0] - level[1]) / scale, (level[2] - level[3]) / scale]
    columns += [(nan_mean(values[:, -56:]) - nan_mean(values[:, max(days - 112, 0) : max(days - 56, 0)])) / scale]
    calm = np.nan_to_num(off - nan_mean(off)[:, None])
    power = np.maximum((calm**2).sum(axis=1), 1e-9)
    columns += [(calm[:, lag:] * calm[:, :-lag]).sum(axis=1) / power for lag in (1, 7)]
    of_sim = np.stack(columns, axis=1)
    # by weekday: how each candidate differs from the ensemble's week, and that week's size and shape
    apart = (weeks[:, USED][:, None] - base[:, :, None].astype(np.float32)) / scale[:, None, None, None].astype(
        np.float32
    )
    shape = base / np.maximum(base.mean(axis=2), 1e-9)[..., None]
    parts = np.broadcast_to(np.arange(PARTS)[None, :, None], base.shape)
    busy = np.broadcast_to(used.reshape(sims, WEEKS, SEASON).mean(axis=1)[:, None], base.shape)
    by_day = np.stack([base / scale[:, None, None], shape, parts, busy], axis=3)
    wide = np.broadcast_to(of_sim[:, None, None], (*base.shape, of_sim.shape[1]))
    everything = np.concatenate([apart.swapaxes(2, 3), by_day, wide], axis=3, dtype=np.float32, casting="same_kind")
    return np.clip(everything, -1e6, 1e6, out=everything)


def training_sample(features: Float32, off: FloatArray, segments: IntArray, *, seed: int) -> tuple[Float32, FloatArray]:
    """The training sample of one origin, a few days of each SIM: rows of features, and what to add to the centre there.

    features (sims, PARTS, 7, n), off (sims, days) what came less the centre, in units of `unit`, NaN unknown, segments
    (sims,)
    """
    sims, days = off.shape
    some = np.argsort(np.random.default_rng(seed).random((sims, days)), axis=1)[:, :DAYS_A_WINDOW]
    sim, day = np.repeat(np.arange(sims), DAYS_A_WINDOW), some.ravel()
    good = np.isfinite(off[sim, day]) & np.isin(segments[sim], CORRECTED)
    sim, day = sim[good], day[good]
    return features[sim, (day >= SEASON).astype(np.int64), day % SEASON], np.clip(off[sim, day], -LIMIT, LIMIT)


def train_booster(samples: Sequence[tuple[Float32, FloatArray]], *, seed: int) -> str | None:
    """Train on samples (rows of features, errors of the ensemble): LightGBM's text; None below MIN_TRAINING_ROWS
    rows."""
    x, y = (np.concatenate(part) for part in zip(*samples, strict=True))
    if len(y) < MIN_TRAINING_ROWS:
        return None
    import lightgbm

    if len(y) > MAX_TRAINING_ROWS:
        kept = np.sort(np.random.default_rng(seed).permutation(len(y))[:MAX_TRAINING_ROWS])
        x, y = x[kept], y[kept]
    parameters = PARAMETERS | {"seed": seed}
    return str(lightgbm.train(parameters, lightgbm.Dataset(x, y, params=parameters), ROUNDS).model_to_string())


def fit_shares(origins: Sequence[tuple[FloatArray, FloatArray, FloatArray, FloatArray, IntArray]]) -> FloatArray:
    """Fit how much of a model's correction is to be taken, (segments,), on origins that the model was not trained on.

    origins  of each one the centre, the correction and the actual use, (sims, days), NaN unknown; unit and segments
             (sims,)
    """
    centre, added, actual, unit, segments = (np.concatenate(part) for part in zip(*origins, strict=True))
    rows = np.isin(segments, CORRECTED) & (np.isfinite(actual).sum(axis=1) >= SEASON)
    centre, added, actual, unit, segments = centre[rows], added[rows], actual[rows], unit[rows], segments[rows]
    tried = [nan_mean(np.abs(actual - np.maximum(centre + share * added, 0))) / unit for share in CORRECTION_SHARES]
    # no single SIM that stopped or ran away decides
    error = np.minimum(np.stack(tried, axis=1), 5.0)
    usual = error[:, 0].mean() if len(error) else 1.0
    prior = SHRINKAGE_WINDOWS * usual * (1 + SHRINKAGE_ERROR * CORRECTION_SHARES)
    taken = np.zeros(len(SEGMENTS))
    for index in CORRECTED:
        taken[index] = CORRECTION_SHARES[np.argmin(error[segments == index].sum(axis=0) + prior)]
    return taken


def ahead(week: FloatArray, horizon: int) -> FloatArray:
    """The first part's week and then the second's again and again, (sims, horizon), of (sims, PARTS, 7)."""
    later = np.tile(week[:, 1], (1, -(-horizon // SEASON)))
    return np.concatenate([week[:, 0], later], axis=1)[:, :horizon]
