"""Fit on the fleet's own past: the candidates' records, the global model, and the errors of forecasts made the same
way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ml.forecasting import ensemble
from ml.forecasting.candidates import STEP, Float32
from ml.forecasting.expectation import (
    MOST_WEEKS,
    Past,
    centre_of,
    look_back,
    of_sims,
    origins_of,
    scale_of,
    segments_of,
    shared_growth,
    two_weeks,
)
from ml.forecasting.global_model import (
    CORRECTED,
    GlobalModel,
    ahead,
    features,
    fit_shares,
    train_booster,
    training_sample,
    unit,
)
from ml.forecasting.segments import SEASON, SEGMENTS, WEEKS, nan_mean
from ml.history import FloatArray, IntArray, known_days

# Past origins whose errors the spread is fitted to: this many, or more of a small fleet, up to the second number.
ORIGINS, MAX_ORIGINS = 8, 20
TARGET_WINDOWS, MIN_ORIGINS = 400, 3
# From less history than this nobody can tell well how a fleet grows.
GROWTH_WEEKS = 12
# What the global model is trained on: at most so many SIMs, every so manyth origin of a long history. The first is the
# one whose four weeks have just passed.
TRAINING_SIMS, TRAINING_STEP = 800, 2
YOUNG = SEGMENTS.index("young")


@dataclass(frozen=True, eq=False)
class _Origin:
    """One past origin as it looked then, and what followed.

    known     (sims, days) values up to the origin
    actual    (sims, days ahead) values after it: as many days as the horizon has, at least 28; NaN where not known yet
    segments  (sims,) at the origin
    weeks     (sims, candidates, 7) what the candidates expected
    centre    (sims, days ahead) what was expected
    """

    known: FloatArray
    actual: FloatArray
    segments: IntArray
    weeks: Float32
    centre: FloatArray

    @cached_property
    def unit(self) -> FloatArray:
        """(sims,) the global model's unit."""
        return unit(self.known)

    def features(self, rows: slice) -> Float32:
        """The global model's features of some SIMs."""
        return features(self.known[rows], self.weeks[rows], two_weeks(self.centre[rows]), self.segments[rows])

    def training_sample(self, of_some: Float32, some: slice, seed: int) -> tuple[Float32, FloatArray]:
        """The global model's training sample of some SIMs, from their features `of_some`."""
        off = (self.actual - self.centre)[:, : ensemble.AHEAD] / self.unit[:, None]
        return training_sample(of_some, off[some], self.segments[some], seed=seed)


@dataclass(frozen=True, eq=False)
class FleetFit:
    """What was fitted on a fleet's past.

    records    (parts, segments, candidates) the segments' records
    errors     (windows, horizon) scaled errors of past forecasts as they could be made at the time: with a global model
               trained on earlier origins. Origins without earlier ones are left out, unless there are hardly others.
    segments, origins  (windows,) of each window's SIM at the time, and where it began
    sims       (windows,) which SIM, its place among the values
    noise      (windows,) the SIM's usual error as a share of its use, what came after the origin included: so a SIM
               that ran away, which is the odd one, counts for less
    global_model  the global model of all origins; None where it does not pay
    past       what the candidates said and missed by
    growth     what all SIMs grow by together, see `expectation.shared_growth`
    """

    records: FloatArray
    errors: FloatArray
    segments: IntArray
    origins: IntArray
    sims: IntArray
    noise: FloatArray
    global_model: GlobalModel | None
    past: Past
    growth: float


def fit_fleet(values: FloatArray, horizon: int, seed: int) -> FleetFit:
    """Fit on values (sims, days), NaN unknown, for forecasts of `horizon` days."""
    sims, days = values.shape
    past, train_on, border = _plan(sims, days, horizon)
    back = look_back(values, max([0, *past, *train_on]) + ensemble.RECORDS + ensemble.LAG)
    weeks, missed = back.weeks, back.missed
    shifts = ensemble.level_shifts(values, weeks)
    growth, states = shared_growth(values), {}
    for k in sorted({*past, *train_on}):
        known = values[:, : days - STEP * k]
        relative, number = ensemble.relative_records(missed, k)
        now = segments_of(known, shifts[:, k])
        shared = ensemble.segment_records(missed, shifts, relative, number, now, k)
        weight = ensemble.weights(relative, number, shared, now)
        of_origin = of_sims(weeks[k])
        # Growth that is known by now is forecast: in what was missed before it could be known, it would widen the
        # intervals a second time.
        untold = known.shape[1] < GROWTH_WEEKS * SEASON and days <= MOST_WEEKS * SEASON
        then = growth if untold else shared_growth(known)
        centre = centre_of(known, of_origin, now, weight, max(horizon, ensemble.AHEAD), then)
        actual = np.full_like(centre, np.nan)
        after = values[:, known.shape[1] : known.shape[1] + centre.shape[1]]
        actual[:, : after.shape[1]] = after
        states[k] = _Origin(known, actual, now, of_origin, centre)
    global_model, centres = _train_global(states, past, train_on, border, seed)
    past = [k for k in past if k in centres] if len(centres) >= MIN_ORIGINS else past
    states |= {k: replace(states[k], centre=centre) for k, centre in centres.items()}
    use = _usual_use(values)
    segments, origins, of_sim = ([np.empty(0, np.int64)] for _ in range(3))
    errors, noise = [np.empty((0, horizon))], [np.empty(0)]
    for k in past:
        for segment, sim, error, share in _errors(states[k], use, horizon):
            noise.append(share)
            segments.append(segment)
            origins.append(np.full(segment.size, k, np.int64))
            of_sim.append(sim)
            errors.append(error)
    relative, number = ensemble.relative_records(missed, 0)
    shared = ensemble.segment_records(missed, shifts, relative, number, segments_of(values, shifts[:, 0]), 0)
    return FleetFit(
        records=shared,
        errors=np.concatenate(errors),
        segments=np.concatenate(segments),
        origins=np.concatenate(origins),
        sims=np.concatenate(of_sim),
        noise=np.concatenate(noise),
        global_model=global_model,
        past=back,
        growth=growth,
    )


def _plan(sims: int, days: int, horizon: int) -> tuple[list[int], list[int], int]:
    """Plan the origins: whose errors count, which the global model is trained on, and the first one of the validated
    model."""
    first = -(-horizon // STEP)
    most = min(max(ORIGINS, -(-TARGET_WINDOWS // max(sims, 1))), MAX_ORIGINS)
    possible = range(first, min(origins_of(days), first + most))
    # Forecasts from less than the eight weeks they look at miss by more: use them only when there is nothing else.
    past = [k for k in possible if days - STEP * k >= WEEKS * SEASON]
    half = [k for k in possible if days - STEP * k >= WEEKS // 2 * SEASON]
    if len(past) < MIN_ORIGINS <= len(half):
        # Different months say more of what all SIMs may miss by together than a full history in one month does.
        past = [*range(1, first), *half]
    elif len(past) < MIN_ORIGINS:
        # Younger origins know more, and show the first weeks of the horizon.
        younger = range(1, min(origins_of(days), first + most))
        for least in (WEEKS * SEASON, WEEKS // 2 * SEASON, 0):
            past = [k for k in younger if days - STEP * k >= least]
            if past and past[-1] * STEP >= min(horizon, ensemble.AHEAD):
                break
    oldest = (days - WEEKS * SEASON) // STEP
    train_on = list(range(ensemble.LAG, oldest + 1, TRAINING_STEP if oldest >= 6 * TRAINING_STEP else 1))
    # the validated model is trained on what is older than all errors that count, or in a short history on the older
    # half
    return past, train_on, min(max([0, *past]), (ensemble.LAG + oldest) // 2) + ensemble.LAG


def _train_global(
    states: Mapping[int, _Origin], past: list[int], train_on: list[int], border: int, seed: int
) -> tuple[GlobalModel | None, dict[int, FloatArray]]:
    """Train the global model on all origins in `train_on`, and validate it by one trained on those from `border` on.

    Returns the model and the centres of past origins as the validated one corrects them; None and nothing where the
    correction does not pay in any segment or there is too little to train on.
    """
    before = [k for k in train_on if k >= border]
    validation = [k for k in past if k <= border - ensemble.LAG and states[k].known.shape[1] >= WEEKS * SEASON]
    if len(before) < 2 or not validation:
        return None, {}
    some = slice(None, None, -(-len(states[before[0]].segments) // TRAINING_SIMS))
    samples = {k: states[k].training_sample(states[k].features(some), some, seed + k) for k in before}
    text = train_booster(list(samples.values()), seed=seed)
    if not text:
        return None, {}
    held_out, added = GlobalModel(text, np.isin(np.arange(len(SEGMENTS)), CORRECTED).astype(np.float64)), {}
    for k, then in ((k, states[k]) for k in validation):
        of_all = then.features(slice(None))
        week = held_out.correction(of_all, then.segments) * then.unit[:, None, None]
        added[k] = ahead(week, then.centre.shape[1])
        if k in train_on:
            samples[k] = then.training_sample(of_all[some], some, seed + k)
    shares = fit_shares(
        [(states[k].centre, added[k], states[k].actual, states[k].unit, states[k].segments) for k in validation]
    )
    if not shares.any():
        return None, {}
    samples |= {
        k: states[k].training_sample(states[k].features(some), some, seed + k) for k in train_on if k not in samples
    }
    global_model = GlobalModel(train_booster([samples[k] for k in train_on], seed=seed) or text, shares)
    taken = {k: states[k].centre + added[k] * shares[states[k].segments][:, None] for k in validation}
    return global_model, {k: np.maximum(centre, 0) for k, centre in taken.items()}


def _errors(then: _Origin, use: FloatArray, horizon: int) -> list[tuple[IntArray, IntArray, FloatArray, FloatArray]]:
    """Segments and SIMs (windows,), scaled errors (windows, horizon) and noise (windows,) after one origin.

    They are of SIMs as they were, and as if all were young; `use` (sims,) is each SIM's usual one."""
    actual = then.actual[:, :horizon]
    # How well can a young SIM be forecast? Forget all but a week of what is known of every SIM, and see.
    week = then.known[:, -SEASON:]
    windows = []
    for seen, segment, keep in (
        (then.known, then.segments, (~np.isnan(then.known)).any(axis=1) & (then.segments != YOUNG)),
        (week, np.full(len(actual), YOUNG), nan_mean(week) > 0),
    ):
        young = seen is week
        centre = np.repeat(nan_mean(seen[keep])[:, None], 2 * SEASON + horizon, axis=1) if young else then.centre[keep]
        scale = scale_of(seen[keep], centre, segment[keep], horizon)
        good = scale.max(axis=1) > 0
        error = (actual[keep] - centre[:, :horizon]) / np.maximum(scale, 1e-9)
        noise = scale.mean(axis=1) / use[keep]
        windows.append((segment[keep][good], np.flatnonzero(keep)[good], error[good], noise[good]))
    return windows


def _usual_use(known: FloatArray) -> FloatArray:
    """Mean use of SIMs (sims, days) without their largest day, unless that is nearly all of it: (sims,), never zero."""
    mean, days = nan_mean(known), np.maximum(known_days(known), 2)
    without = (mean * days - np.fmax.reduce(known, axis=1, initial=0.0)) / (days - 1)
    return np.asarray(np.maximum(np.maximum(without, mean / 5), 1e-9), dtype=np.float64)
