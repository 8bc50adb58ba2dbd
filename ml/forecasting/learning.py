"""What the fleet's own past teaches: the candidates' records, the global model, and how far forecasts made the same way missed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ml.forecasting import router
from ml.forecasting.candidates import STEP, Float32, forecast_weeks
from ml.forecasting.expectation import centre_of, corrected, origins_of, scale_of, segments_of, two_weeks
from ml.forecasting.global_model import GlobalModel, Window, features, learn_shares, train, unit
from ml.forecasting.segments import SEASON, SEGMENTS, WEEKS, classify, nan_mean
from ml.history import FloatArray, IntArray

# Past origins whose errors are learnt from: this many, or more of a small fleet, up to the second number.
ORIGINS, MOST_ORIGINS = 8, 20
ENOUGH_WINDOWS, LEAST_ORIGINS = 400, 3
# What the global model learns from: at most so many SIMs, every so manyth origin of a long history, the first whose four weeks have passed.
TEACH_SIMS, TEACH_STEP = 800, 2
YOUNG = SEGMENTS.index("young")


@dataclass(frozen=True, eq=False)
class _Origin:
    """One past origin as it looked then: values (sims, days) up to it, segments (sims,), weeks (sims, candidates, 7), centre (sims, days)."""

    known: FloatArray
    segments: IntArray
    weeks: Float32
    centre: FloatArray


def learn(
    values: FloatArray, horizon: int, seed: int
) -> tuple[FloatArray, IntArray, IntArray, FloatArray, GlobalModel | None]:
    """The segments' records, scaled errors of past forecasts (windows, horizon) after each window's segment and origin, and the
    global model, from values (sims, days).

    The errors are those of forecasts as they could be made at the time: with what a global model learnt from origins before them.
    Origins so old that nothing was before them tell nothing then, unless there are hardly any others.
    """
    sims, days = values.shape
    past, teach, border = _plan(sims, days, horizon)
    depth = min(max([0, *past, *teach]) + router.RECORDS + router.LAG, origins_of(days))
    weeks = forecast_weeks(values, depth)
    missed = router.records(values, weeks)
    moves = router.moved(values, weeks)
    states = {}
    for k in sorted({*past, *teach}):
        known = values[:, : days - STEP * k]
        relative, number = router.relative_records(missed, k)
        now = segments_of(known, moves[:, k])
        shared = router.segment_records(missed, moves, relative, number, now, k)
        weight = router.weights(relative, number, shared, now)
        centre = centre_of(known, weeks[:, k], now, weight, max(horizon, router.AHEAD))
        states[k] = _Origin(known, now, weeks[:, k], centre)
    learned, earlier = _teach(values, states, past, teach, border, seed)
    if earlier:
        judged = [k for k in past if k <= border - router.LAG]
        past = judged if len(judged) >= LEAST_ORIGINS else past
        for k in judged:
            was = states[k]
            centre = corrected(earlier, was.known, was.weeks, was.segments, was.centre)
            states[k] = _Origin(was.known, was.segments, was.weeks, centre)
    segments, origins, errors = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty((0, horizon))]
    for k in past:
        for segment, error in _errors(values, states[k], horizon):
            segments.append(segment)
            origins.append(np.full(segment.size, k, np.int64))
            errors.append(error)
    relative, number = router.relative_records(missed, 0)
    shared = router.segment_records(missed, moves, relative, number, segments_of(values, moves[:, 0]), 0)
    return shared, np.concatenate(segments), np.concatenate(origins), np.concatenate(errors), learned


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
    values: FloatArray, states: Mapping[int, _Origin], past: list[int], teach: list[int], border: int, seed: int
) -> tuple[GlobalModel | None, GlobalModel | None]:
    """The global model of all origins in `teach`, and the one of those from `border` on, by which it is judged; None where it does
    not pay in any segment or there is too little to learn from."""
    before = [k for k in teach if k >= border]
    judged = [k for k in past if k <= border - router.LAG and states[k].known.shape[1] >= WEEKS * SEASON]
    if len(before) < 2 or not judged:
        return None, None
    some = slice(None, None, -(-len(values) // TEACH_SIMS))
    windows = {}
    for k in sorted({*teach, *judged}):
        known, segments, weeks, centre = (part[some] for part in vars(states[k]).values())
        came = values[some, known.shape[1] : known.shape[1] + router.AHEAD]
        told = features(known, weeks, two_weeks(centre), segments)
        windows[k] = Window(told, centre[:, : came.shape[1]], came, unit(known), segments)
    text = train([windows[k] for k in before], seed=seed)
    shares = learn_shares(text, [windows[k] for k in judged]) if text else np.zeros(0)
    if not text or not shares.any():
        return None, None
    return GlobalModel(train([windows[k] for k in teach], seed=seed) or text, shares), GlobalModel(text, shares)


def _errors(values: FloatArray, then: _Origin, horizon: int) -> list[tuple[IntArray, FloatArray]]:
    """Segments (windows,) and scaled errors (windows, horizon) after one origin: of SIMs as they were, and as if all were young."""
    begun = then.known.shape[1]
    came = np.full((len(values), horizon), np.nan)
    width = min(values.shape[1] - begun, horizon)
    came[:, :width] = values[:, begun : begun + width]
    cut = then.known.copy()
    # How well can a young SIM be forecast? Forget all but a week of what is known of every SIM, and see.
    cut[:, :-SEASON] = np.nan
    told = []
    for seen, young in ((then.known, False), (cut, True)):
        segment = classify(seen) if young else then.segments
        keep = (~np.isnan(seen).all(axis=1)) & ((segment == YOUNG) == young)
        centre = np.repeat(nan_mean(seen[keep])[:, None], 2 * SEASON + horizon, axis=1) if young else then.centre[keep]
        scale = scale_of(seen[keep], centre, segment[keep], horizon)
        good = scale.max(axis=1) > 0
        error = (came[keep] - centre[:, :horizon]) / np.maximum(scale, 1e-9)
        told.append((segment[keep][good], error[good]))
    return told
