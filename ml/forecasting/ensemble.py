"""Which candidates count for which SIM: weights from what they missed by, and their weighted median.

Every candidate has a record in every SIM's own past: how far it missed in the four weeks after each past origin,
relative to the mean candidate. A SIM's record is shrunk towards its segment's, the more so the shorter it is, a
segment's towards the fleet's, and that towards none at all. A weight falls off exponentially with the record, so that a
candidate which misses by a tenth more than another counts a seventh of it. The first week and the later ones have
weights of their own: what follows fast is good for a few days.

Sources: exponentially weighted forecasters (Vovk 1990; Cesa-Bianchi and Lugosi 2006, chapter 2); the median of
forecasts as in Petropoulos and Svetunkov (2020).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from ml.forecasting.candidates import NAMES, STEP, Float32
from ml.forecasting.segments import SEASON, SEGMENTS, nan_mean
from ml.history import FloatArray, IntArray

AHEAD = 28
# A record of origin k is known at origin k - LAG: its four weeks have passed by then.
LAG = AHEAD // STEP
RECORDS = 13
# Days of each part of the horizon that has weights of its own.
PARTS = (slice(0, SEASON), slice(SEASON, None))
PART_NAMES = ("1-7", "8+")
# error: what the candidate missed by in the segment's past, relative to the mean candidate; weight: its share before a
# SIM's own record is known; n: windows that the segment's intervals were fitted to
CANDIDATES_SCHEMA = {
    "segment": pl.String,
    "days": pl.String,
    "candidate": pl.String,
    "error": pl.Float64,
    "weight": pl.Float64,
    "n": pl.UInt32,
}
SHARPNESS = 20.0
# A record counts this share of the next younger one.
FADING = 0.93
# A segment's record counts as much as this many of a SIM's own, and the fleet's as this many SIM records of a
# segment's.
SEGMENT_WEIGHT, FLEET_WEIGHT = 15.0, 200.0
# What to expect where no record is: these two forecast badly nearly everywhere.
HANDICAP = np.where(np.isin(NAMES, ("last week", "zero")), 0.3, 1.0)

LEVEL_SHIFT = SEGMENTS.index("moved")
USUAL = NAMES.index("median of 8 weeks")
# A day is far from its weekday's usual value when it is more than this many typical deviations off.
FAR_DEVIATIONS = 3.0
# How many times the second smallest or largest record of a fleet the last one may count.
FAR_RECORD = 1.1
# After a level shift what is new counts, until the fleet's own shifts say otherwise: this many of them weigh as much.
FAST = np.array([name.endswith(("last week", "median of 7 days", "smoothing 0.25")) for name in NAMES])
AFTER_SHIFT_PRIOR = np.where(FAST, 0.85, 1.05)
SHIFT_PRIOR_COUNT = 500.0


def records(values: FloatArray, weeks: Float32) -> Float32:
    """Mean absolute error of every candidate after every origin, (parts, origins, candidates, sims), NaN where unknown.

    values  (sims, days), NaN unknown
    weeks   (origins, candidates, 7, sims) as `candidates.forecast_weeks` makes them
    A SIM has no record at an origin before which fewer than two weeks are known.
    """
    origins, _, _, sims = weeks.shape
    days = values.shape[1]
    missed = np.full((len(PARTS), origins, len(NAMES), sims), np.nan, dtype=np.float32)
    by_day = np.ascontiguousarray(values.T, dtype=np.float32)
    seen = np.cumsum(~np.isnan(by_day), axis=0)
    for origin in range(1, origins):
        end = days - STEP * origin
        if end < 1:
            break
        for part, ahead in enumerate((slice(end, end + SEASON), slice(end + SEASON, end + AHEAD))):
            if origin * STEP < (SEASON, AHEAD)[part]:
                continue
            off, count = np.zeros((len(NAMES), sims), np.float32), np.zeros(sims, np.float32)
            for week in by_day[ahead].reshape(-1, SEASON, sims):
                known = ~np.isnan(week)
                off += np.where(known, np.abs(week - weeks[origin]), 0).sum(axis=1)
                count += known.sum(axis=0)
            usable = (count > 0) & (seen[end - 1] >= 2 * SEASON)
            missed[part, origin] = np.where(usable, off / np.maximum(count, 1), np.nan)
    return missed


def level_shifts(values: FloatArray, weeks: Float32) -> npt.NDArray[np.bool_]:
    """Whether the week before each origin was unlike the eight weeks that ended a week earlier, (sims, origins).

    True where nearly every day lies far from its weekday's median, all to one side: the level is new, or the week is
    unusual.
    """
    sims, days = values.shape
    origins = len(weeks)
    result = np.zeros((sims, origins), dtype=np.bool_)
    for origin in range(origins - 1):
        end, before = days - STEP * origin, days - STEP * (origin + 1)
        past = np.full((sims, 8 * SEASON), np.nan)
        past[:, max(8 * SEASON - before, 0) :] = values[:, max(before - 8 * SEASON, 0) : before]
        usual = weeks[origin + 1, USUAL].T.astype(np.float64)
        off = np.abs(past.reshape(sims, 8, SEASON) - usual[:, None, :]).reshape(sims, -1)
        typical = nan_mean(np.minimum(off, 3 * nan_mean(off)[:, None]))[:, None]
        away = values[:, end - SEASON : end] - usual
        far = np.maximum(
            ((away > FAR_DEVIATIONS * typical).sum(axis=1)), (away < -FAR_DEVIATIONS * typical).sum(axis=1)
        )
        result[:, origin] = (
            (far >= SEASON - 1) & (usual.sum(axis=1) > 0) & (np.isfinite(past).sum(axis=1) >= 2 * SEASON)
        )
    return result


def relative_records(missed: Float32, origin: int) -> tuple[FloatArray, FloatArray]:
    """Each SIM's records known at `origin`, and their number: error relative to the mean candidate's, (parts, sims,
    candidates).

    Younger records count more. The number, (parts, sims), counts them with their weight; without any the records are 1.
    """
    relative = np.ones((len(PARTS), missed.shape[3], missed.shape[2]))
    number = np.zeros(relative.shape[:2])
    for part in range(len(PARTS)):
        past = missed[part, origin + LAG - (part == 0) :][:RECORDS]
        fading = FADING ** np.arange(len(past), dtype=np.float32)
        weight = ~np.isnan(past[:, 0]) * fading[:, None]
        total = (np.nan_to_num(past) * weight[:, None]).sum(axis=0).T.astype(np.float64)
        middle = total.mean(axis=1)
        some = middle > 0
        relative[part, some] = total[some] / middle[some, None]
        number[part] = np.where(some, weight.sum(axis=0), 0)
    return relative, number


def segment_records(
    missed: Float32,
    shifts: npt.NDArray[np.bool_],
    relative: FloatArray,
    number: FloatArray,
    segments: IntArray,
    origin: int,
) -> FloatArray:
    """What the SIMs of each segment have in common, (parts, segments, candidates), shrunk towards the whole fleet's.

    For "moved" it is what was missed after every level shift of the fleet (shifts: sims, origins) that is known at
    `origin`.
    """
    shared = np.ones((len(PARTS), len(SEGMENTS), len(NAMES)))
    relative = np.stack([_within_others(relative[part], number[part] > 0) for part in range(len(PARTS))])
    for part in range(len(PARTS)):
        fleet = number[part] @ relative[part]
        fleet = (fleet + FLEET_WEIGHT / 10) / (number[part].sum() + FLEET_WEIGHT / 10)
        for segment in range(len(SEGMENTS)):
            of = segments == segment
            own, count = number[part, of] @ relative[part, of], number[part, of].sum()
            shared[part, segment] = (own + FLEET_WEIGHT * fleet) / (count + FLEET_WEIGHT)
        first = origin + LAG - (part == 0)
        errors = missed[part, first:].swapaxes(1, 2)[shifts[:, first:].T].astype(np.float64)
        middle = errors.mean(axis=1)
        errors = errors[middle > 0] / middle[middle > 0, None]
        shared[part, LEVEL_SHIFT] = (errors.sum(axis=0) + SHIFT_PRIOR_COUNT * AFTER_SHIFT_PRIOR) / (
            len(errors) + SHIFT_PRIOR_COUNT
        )
    return shared


def _within_others(relative: FloatArray, known: npt.NDArray[np.bool_]) -> FloatArray:
    """Records (sims, candidates) drawn in to near what a second of the known SIMs (sims,) has: one SIM alone, whose one
    wild day is nearly all that it missed by, does not choose for the others."""
    count = int(known.sum())
    if count < 3:  # of two SIMs nobody can say which is the odd one
        return relative
    ordered = np.partition(relative[known], (1, count - 2), axis=0)
    return np.clip(relative, ordered[1] / FAR_RECORD, ordered[count - 2] * FAR_RECORD)


def weights(relative: FloatArray, number: FloatArray, shared: FloatArray, segments: IntArray) -> FloatArray:
    """The weight of every candidate, (parts, sims, candidates), adding up to 1 a SIM."""
    # What a SIM's calm past says does not count after a level shift.
    count = np.where(segments == LEVEL_SHIFT, 0, number)[..., None]
    shrunk = (count * relative + SEGMENT_WEIGHT * shared[:, segments]) / (count + SEGMENT_WEIGHT)
    best = shrunk.min(axis=2, keepdims=True)
    weight = np.exp(-SHARPNESS * (shrunk - best)) * HANDICAP
    return np.asarray(weight / weight.sum(axis=2, keepdims=True), dtype=np.float64)


def combine(weeks: Float32, weight: FloatArray, horizon: int) -> FloatArray:
    """The weighted median of the candidates for each day ahead, (sims, horizon).

    weeks (sims, candidates, 7), weight (parts, sims, candidates)
    """
    by_day = np.ascontiguousarray(weeks.swapaxes(1, 2))
    order = np.argsort(by_day, axis=2, kind="stable")
    sim, day = np.arange(len(weeks))[:, None], np.arange(SEASON)
    ahead = np.empty((len(weeks), horizon))
    for part, days in enumerate(PARTS):
        width = len(range(horizon)[days])
        if not width:
            continue
        share = weight[part][sim[..., None], order]
        middle = np.argmax(np.cumsum(share, axis=2) >= 0.5 - 1e-9, axis=2)
        week = by_day[sim, day, order[sim, day, middle]]
        ahead[:, days] = np.tile(week, (1, -(-width // SEASON)))[:, :width]
    return ahead


def choices(shared: FloatArray, windows: Sequence[int]) -> pl.DataFrame:
    """Which candidate each segment weighs most and why, from the segments' records and windows (CANDIDATES_SCHEMA)."""
    nothing = np.ones((len(PARTS), len(SEGMENTS), len(NAMES)))
    weight = weights(nothing, np.zeros(nothing.shape[:2]), shared, np.arange(len(SEGMENTS)))
    columns = [
        {
            "segment": segment,
            "days": PART_NAMES[part],
            "candidate": name,
            "error": error,
            "weight": share,
            "n": windows[i],
        }
        for part in range(len(PARTS))
        for i, segment in enumerate(SEGMENTS)
        for name, error, share in zip(NAMES, shared[part, i].tolist(), weight[part, i].tolist(), strict=True)
    ]
    frame = pl.DataFrame(columns, schema=CANDIDATES_SCHEMA)
    return frame.sort("segment", "days", "weight", descending=[False, False, True], maintain_order=True)
