"""What the fleet's own past teaches: the candidates' records, the global model, and how far forecasts made the same way missed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ml.forecasting import ensemble as router
from ml.forecasting.candidates import STEP, Float32
from ml.forecasting.expectation import (
    Past,
    centre_of,
    look_back,
    of_sims,
    origins_of,
    scale_of,
    segments_of,
    two_weeks,
)
from ml.forecasting.global_model import CORRECTED, GlobalModel, ahead, features, learn_shares, lesson, train, unit
from ml.forecasting.segments import SEASON, SEGMENTS, WEEKS, nan_mean
from ml.history import FloatArray, IntArray

# Past origins whose errors are learnt from: this many, or more of a small fleet, up to the second number.
ORIGINS, MOST_ORIGINS = 8, 20
ENOUGH_WINDOWS, LEAST_ORIGINS = 400, 3
# What the global model learns from: at most so many SIMs, every so manyth origin of a long history, the first whose four weeks have passed.
TEACH_SIMS, TEACH_STEP = 800, 2
YOUNG = SEGMENTS.index("young")


@dataclass(frozen=True, eq=False)
class _Origin:
    """One past origin as it looked then, and what came: values up to it and after it, segments (sims,), weeks (sims, candidates, 7),
    centre. After it are so many days as the horizon has, 28 at least, NaN where they are not known yet."""

    known: FloatArray
    came: FloatArray
    segments: IntArray
    weeks: Float32
    centre: FloatArray

    @cached_property
    def unit(self) -> FloatArray:
        """(sims,) the global model's unit."""
        return unit(self.known)

    def features(self, rows: slice) -> Float32:
        """What the global model sees of some SIMs."""
        return features(self.known[rows], self.weeks[rows], two_weeks(self.centre[rows]), self.segments[rows])

    def lesson(self, of_some: Float32, some: slice, seed: int) -> tuple[Float32, FloatArray]:
        """What the global model learns from some SIMs, by their features."""
        off = (self.came - self.centre)[:, : router.AHEAD] / self.unit[:, None]
        return lesson(of_some, off[some], self.segments[some], seed=seed)


@dataclass(frozen=True, eq=False)
class Learnt:
    """What a fleet's past taught.

    records    (parts, segments, candidates) the segments' records
    errors     (windows, horizon) scaled errors of past forecasts as they could be made at the time: with what a global model learnt
               from origins before them. Origins so old that nothing was before them tell nothing then, unless there are hardly others.
    segments, origins  (windows,) of each window's SIM at the time, and where it began
    learned    the global model
    past       what the candidates said and missed by
    """

    records: FloatArray
    errors: FloatArray
    segments: IntArray
    origins: IntArray
    learned: GlobalModel | None
    past: Past


def learn(values: FloatArray, horizon: int, seed: int) -> Learnt:
    """Learn from values (sims, days), NaN unknown."""
    sims, days = values.shape
    past, teach, border = _plan(sims, days, horizon)
    back = look_back(values, max([0, *past, *teach]) + router.RECORDS + router.LAG)
    weeks, missed = back.weeks, back.missed
    moves = router.moved(values, weeks)
    states = {}
    for k in sorted({*past, *teach}):
        known = values[:, : days - STEP * k]
        relative, number = router.relative_records(missed, k)
        now = segments_of(known, moves[:, k])
        shared = router.segment_records(missed, moves, relative, number, now, k)
        weight = router.weights(relative, number, shared, now)
        of_origin = of_sims(weeks[k])
        centre = centre_of(known, of_origin, now, weight, max(horizon, router.AHEAD))
        came = np.full_like(centre, np.nan)
        after = values[:, known.shape[1] : known.shape[1] + centre.shape[1]]
        came[:, : after.shape[1]] = after
        states[k] = _Origin(known, came, now, of_origin, centre)
    learned, centres = _teach(states, past, teach, border, seed)
    past = [k for k in past if k in centres] if len(centres) >= LEAST_ORIGINS else past
    states |= {k: replace(states[k], centre=centre) for k, centre in centres.items()}
    segments, origins, errors = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty((0, horizon))]
    for k in past:
        for segment, error in _errors(states[k], horizon):
            segments.append(segment)
            origins.append(np.full(segment.size, k, np.int64))
            errors.append(error)
    relative, number = router.relative_records(missed, 0)
    shared = router.segment_records(missed, moves, relative, number, segments_of(values, moves[:, 0]), 0)
    return Learnt(shared, np.concatenate(errors), np.concatenate(segments), np.concatenate(origins), learned, back)


def _plan(sims: int, days: int, horizon: int) -> tuple[list[int], list[int], int]:
    """Origins whose errors are told, origins that the global model learns from, and the first of these for a model that is judged."""
    first = -(-horizon // STEP)
    most = min(max(ORIGINS, -(-ENOUGH_WINDOWS // max(sims, 1))), MOST_ORIGINS)
    possible = range(first, min(origins_of(days), first + most))
    # Forecasts from less than the eight weeks they look at miss by more: learn from them only when there is nothing else.
    past = [k for k in possible if days - STEP * k >= WEEKS * SEASON] or list(possible)
    # A history too short for a full horizon still teaches the first weeks of it.
    past = past or [k for k in (max(origins_of(days) - 1, 0),) if k]
    oldest = (days - WEEKS * SEASON) // STEP
    teach = list(range(router.LAG, oldest + 1, TEACH_STEP if oldest >= 6 * TEACH_STEP else 1))
    # the judged model learns from what is older than all errors to be told, or in a short history from the older half
    return past, teach, min(max([0, *past]), (router.LAG + oldest) // 2) + router.LAG


def _teach(
    states: Mapping[int, _Origin], past: list[int], teach: list[int], border: int, seed: int
) -> tuple[GlobalModel | None, dict[int, FloatArray]]:
    """The global model of all origins in `teach`, and the centres of past origins as the one of those from `border` on, by which it
    is judged, corrects them; nothing where it does not pay in any segment or there is too little to learn from."""
    before = [k for k in teach if k >= border]
    judged = [k for k in past if k <= border - router.LAG and states[k].known.shape[1] >= WEEKS * SEASON]
    if len(before) < 2 or not judged:
        return None, {}
    some = slice(None, None, -(-len(states[before[0]].segments) // TEACH_SIMS))
    lessons = {k: states[k].lesson(states[k].features(some), some, seed + k) for k in before}
    text = train(list(lessons.values()), seed=seed)
    if not text:
        return None, {}
    judge, said = GlobalModel(text, np.isin(np.arange(len(SEGMENTS)), CORRECTED).astype(np.float64)), {}
    for k, then in ((k, states[k]) for k in judged):
        of_all = then.features(slice(None))
        week = judge.correction(of_all, then.segments) * then.unit[:, None, None]
        said[k] = ahead(week, then.centre.shape[1])
        if k in teach:
            lessons[k] = then.lesson(of_all[some], some, seed + k)
    shares = learn_shares(
        [(states[k].centre, said[k], states[k].came, states[k].unit, states[k].segments) for k in judged]
    )
    if not shares.any():
        return None, {}
    lessons |= {k: states[k].lesson(states[k].features(some), some, seed + k) for k in teach if k not in lessons}
    learned = GlobalModel(train([lessons[k] for k in teach], seed=seed) or text, shares)
    taken = {k: states[k].centre + said[k] * shares[states[k].segments][:, None] for k in judged}
    return learned, {k: np.maximum(centre, 0) for k, centre in taken.items()}


def _errors(then: _Origin, horizon: int) -> list[tuple[IntArray, FloatArray]]:
    """Segments (windows,) and scaled errors (windows, horizon) after one origin: of SIMs as they were, and as if all were young."""
    came = then.came[:, :horizon]
    # How well can a young SIM be forecast? Forget all but a week of what is known of every SIM, and see.
    week = then.known[:, -SEASON:]
    told = []
    for seen, segment, keep in (
        (then.known, then.segments, (~np.isnan(then.known)).any(axis=1) & (then.segments != YOUNG)),
        (week, np.full(len(came), YOUNG), nan_mean(week) > 0),
    ):
        young = seen is week
        centre = np.repeat(nan_mean(seen[keep])[:, None], 2 * SEASON + horizon, axis=1) if young else then.centre[keep]
        scale = scale_of(seen[keep], centre, segment[keep], horizon)
        good = scale.max(axis=1) > 0
        error = (came[keep] - centre[:, :horizon]) / np.maximum(scale, 1e-9)
        told.append((segment[keep][good], error[good]))
    return told
