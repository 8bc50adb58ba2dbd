"""When a SIM ends: its volume is used up or it expires, whichever comes first. And its SMS, its monthly limit, its next
top-up.

Sources: for data the empirical distribution of the first passage time over sampled futures
(`ml.forecasting.Forecast.paths`, gone on by `ml.exhaustion.extrapolation.Extrapolation.extrapolate`); for SMS the
passage time of a Poisson process with a gamma-distributed rate, which is beta prime distributed (Johnson, Kotz and
Balakrishnan, Continuous Univariate Distributions, 25.7).
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from ml.forecasting import YOUNG_DAYS, FloatPaths
from ml.history import FloatArray

WITHIN_DAYS = (7, 14, 30, 90)
RATE_DAYS = 28
# Beyond this a date is not given: the flat rate itself lasts ten years.
FARTHEST_DAYS = 3650
MONTH_DAYS = 365.25 / 12
# How many days' worth of the fleet's scatter a SIM's own scatter of SMS is weighed against.
SCATTER_DAYS = 30

EXHAUSTION_SCHEMA = {
    "sim_key": pl.Int32,
    "as_of": pl.Date,
    "p_7": pl.Float64,
    "p_14": pl.Float64,
    "p_30": pl.Float64,
    "p_90": pl.Float64,
    "p_volume_30": pl.Float64,
    "p10_date": pl.Date,
    "p50_date": pl.Date,
    "p90_date": pl.Date,
    "cause": pl.String,
    "extrapolated": pl.Boolean,
    "status": pl.String,
    "topup_date": pl.Date,
    "topups_30": pl.Float64,
    "p_limit": pl.Float64,
    "limit_date": pl.Date,
}
SMS_SCHEMA = {
    "sim_key": pl.Int32,
    "sms_status": pl.String,
    **{f"sms_p_{days}": pl.Float64 for days in WITHIN_DAYS},
    **{f"sms_p{share}_date": pl.Date for share in (10, 50, 90)},
}


@dataclass(frozen=True)
class Calibration:
    """What stated probabilities of an end by a date turned out to be, in a backtest: at evenly spaced levels from 0 to
    1.

    achieved  the shares that had ended, ascending
    """

    achieved: tuple[float, ...]

    def apply(self, days: FloatArray) -> FloatArray:
        """Sampled ends (n, samples), ascending, so chosen anew that what they state is what was achieved."""
        samples = days.shape[1]
        rising = np.maximum.accumulate(np.array(self.achieved)) + 1e-9 * np.arange(len(self.achieved))
        stated = np.interp((np.arange(samples) + 0.5) / samples, rising, np.linspace(0, 1, rising.size))
        return np.asarray(days[:, np.minimum((stated * samples).astype(np.int64), samples - 1)], dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Exhaustion:
    """One row a SIM, in the order given (EXHAUSTION_SCHEMA).

    p_7 ... p_90          probability that volume or expiry ends the SIM by the end of day as_of + 7, 14, 30, 90
    p_volume_30           the same for the volume alone
    p10_date ... p90_date  the first day by whose end the SIM has ended with probability 10, 50, 90 %; null beyond ten
                           years
    cause                 "volume" or "expiry", whichever comes first at the median; null when neither does
    extrapolated          the median lies beyond the sampled days
    status                "ok", "exhausted" or "expired" (already), "extrapolated", "not_enough_evidence"
    topup_date, topups_30  of a SIM with automatic top-up: median day of the next one, and how many are expected in 30
                           days
    p_limit, limit_date   probability that the monthly limit stops the SIM in the month of as_of + 1, and the median day
                          of it where that is at least one half

    days  (sims, samples) the sampled days of the end, ascending, counted from `as_of`; inf for never
    """

    frame: pl.DataFrame
    days: FloatArray


def quota_exhaustion(
    paths: FloatPaths,
    remaining: npt.ArrayLike,
    expiry_in_days: npt.ArrayLike,
    *,
    as_of: date,
    history_days: npt.ArrayLike,
    ever_used: npt.ArrayLike,
    sim_keys: npt.ArrayLike | None = None,
    later: FloatPaths | None = None,
    step_days: npt.ArrayLike = (),
    calibration: Calibration | None = None,
    topup: npt.ArrayLike | None = None,
    topup_at: npt.ArrayLike | None = None,
    monthly_limit: float | None = None,
    used_this_month: npt.ArrayLike | None = None,
) -> Exhaustion:
    """When each SIM ends, from sampled futures.

    paths            (sims, samples, days) bytes a day from as_of + 1, finite and not negative, at least one sample and
                     day
    remaining        (sims,) bytes left at the end of `as_of`; zero or less: exhausted already; NaN: unknown
    expiry_in_days   (sims,) days from `as_of` to the expiry date; zero or less: expired; NaN: never, or unknown
    history_days     (sims,) known days of usage up to `as_of`
    ever_used        (sims,) whether any byte was used in those days
    sim_keys         (sims,) ids for the frame; by default 0, 1, 2 ...
    later            (sims, samples, steps) bytes of each step after the paths' last day, by `Extrapolation.extrapolate`
    step_days        (steps,) how many days each step has
    calibration      of a backtest (`ml.exhaustion.backtest`): corrects the sampled days of the volume's end
    topup, topup_at  (sims,) bytes that an automatic top-up adds, and bytes left at which it comes; NaN or 0: none
    monthly_limit    bytes after which a SIM is stopped until the calendar month ends; None: no limit
    used_this_month  (sims,) bytes used in the month of as_of + 1 up to `as_of`

    A path ends by volume on the first day whose running total reaches what is left; within a step use is spread evenly.
    After its last step a path goes on at that step's rate, or without steps at its own mean of the last 28 days; a
    median beyond the sampled days is stated as `extrapolated`. An automatic top-up comes before the volume is gone:
    such a SIM ends by its expiry. Where the volume is unknown, the history shorter than 14 days, or nothing was ever
    used, the status is "not_enough_evidence": dates are null and so are probabilities, except 1 where the expiry date
    alone makes them sure.
    Raises ValueError when shapes differ or a path is negative or not finite.
    """
    left = np.asarray(remaining, dtype=np.float64)
    expiry = np.asarray(expiry_in_days, dtype=np.float64)
    known, used = np.asarray(history_days), np.asarray(ever_used, dtype=np.bool_)
    sims = left.size
    keys = np.arange(sims) if sim_keys is None else np.asarray(sim_keys)
    added, threshold, month = (_per_sim(values, sims) for values in (topup, topup_at, used_this_month))
    _check(
        paths,
        remaining=left,
        expiry_in_days=expiry,
        history_days=known,
        ever_used=used,
        sim_keys=keys,
        topup=added,
        topup_at=threshold,
        used_this_month=month,
    )
    steps = np.asarray(step_days, dtype=np.int64)
    if later is None:
        later = np.empty((*paths.shape[:2], 0), dtype=np.float32)
    if later.shape != (*paths.shape[:2], steps.size):
        raise ValueError(f"later has the shape {later.shape}; needed is {(*paths.shape[:2], steps.size)}")

    exhausted, expired = left <= 0, expiry <= 0
    unsure = ~(exhausted | expired) & (np.isnan(left) | (known < YOUNG_DAYS) | ~used)
    columns = {"sim_key": keys, "as_of": np.full(sims, np.datetime64(as_of, "D"))}
    columns |= {"p_limit": np.full(sims, np.nan), "limit_date": np.full(sims, np.datetime64("NaT", "D"))}
    if monthly_limit is not None:
        columns |= _limit_hit(paths, as_of, monthly_limit, month, unsure)
        paths, later = _limited(paths, later, steps, as_of, monthly_limit, month)
    volume = _passage_days(paths, later, steps, left)
    automatic = (added > 0) & ~exhausted
    columns |= _topups(paths, later, steps, as_of, left, np.where(automatic & ~unsure, added, np.nan), threshold)
    volume.sort(axis=1)
    if calibration is not None:
        volume = calibration.apply(volume)
    volume[automatic] = np.inf
    clock = np.where(np.isnan(expiry), np.inf, np.ceil(expiry))
    end = np.minimum(volume, clock[:, None])
    end[exhausted | expired] = 0
    volume[exhausted] = 0

    ordered = np.sort(end, axis=1)
    dates = {f"p{share}_date": _date_of(_rank(ordered, share), as_of, unsure) for share in (10, 50, 90)}
    middle = _rank(ordered, 50)
    # At a tie the volume is named: it is the one that a top-up can fix.
    by_volume = _rank(volume, 50) <= clock
    by_volume = np.where(exhausted | expired, exhausted, by_volume)
    nothing = unsure | (middle > FARTHEST_DAYS)
    cause = np.where(by_volume, "volume", "expiry").astype(object)
    cause[nothing] = None
    extrapolated = ~unsure & (middle > paths.shape[2])
    status = np.where(extrapolated, "extrapolated", "ok").astype(object)
    status[expired], status[exhausted], status[unsure] = "expired", "exhausted", "not_enough_evidence"

    sure = np.where(unsure, np.nan, 1.0)
    columns |= {f"p_{d}": np.where(clock <= d, 1.0, sure * (end <= d).mean(axis=1)) for d in WITHIN_DAYS}
    columns["p_volume_30"] = np.where(np.isnan(left), np.nan, sure) * (volume <= 30).mean(axis=1)
    columns |= {**dates, "extrapolated": extrapolated}
    frame = pl.DataFrame(columns).with_columns(
        pl.col("^p_.*$", "topups_30").fill_nan(None),
        pl.Series("cause", cause.tolist(), dtype=pl.String),
        pl.Series("status", status.tolist(), dtype=pl.String),
    )
    return Exhaustion(frame.select(pl.col(name).cast(kind) for name, kind in EXHAUSTION_SCHEMA.items()), ordered)


def sms_exhaustion(
    remaining: npt.ArrayLike,
    expiry_in_days: npt.ArrayLike,
    *,
    as_of: date,
    known_days: npt.ArrayLike,
    messages: npt.ArrayLike,
    squares: npt.ArrayLike,
    sim_keys: npt.ArrayLike,
) -> pl.DataFrame:
    """When each SIM's SMS quota is used up or the SIM expires, whichever comes first: one row a SIM (SMS_SCHEMA), in
    their order.

    remaining         (sims,) messages left at the end of `as_of`; NaN: unknown
    expiry_in_days    (sims,) as in `quota_exhaustion`
    known_days        (sims,) days of the window of counts: the last half year, say
    messages, squares (sims,) sum of the daily counts, and of their squares, in those days

    Counts of a day are small whole numbers. A SIM's rate has a gamma distribution: the fleet's (its rates' mean and
    variance) after the SIM's own messages. Bursts count as fewer independent messages: both what was sent and what is
    left are divided by the scatter (variance over mean of daily counts, the SIM's own shrunk towards the fleet's, at
    least 1). The time until the last message is then beta prime. Status, and what is null, as in `quota_exhaustion`.
    """
    left, expiry = np.asarray(remaining, dtype=np.float64), np.asarray(expiry_in_days, dtype=np.float64)
    days, sent, squared = (np.asarray(values, dtype=np.float64) for values in (known_days, messages, squares))
    seen = days >= YOUNG_DAYS
    exhausted, expired = left <= 0, expiry <= 0
    unsure = ~(exhausted | expired) & (np.isnan(left) | ~seen)
    clock = np.where(np.isnan(expiry), np.inf, np.ceil(expiry))
    shape, days_before, scatter = _sms_fleet(days[seen], sent[seen], squared[seen])
    span = np.maximum(days, 1)
    deviance = (squared - sent**2 / span) / np.maximum(sent / span, 1 / span)
    own = np.maximum((deviance + SCATTER_DAYS * scatter) / (span - 1 + SCATTER_DAYS), 1)
    events = np.where(exhausted | np.isnan(left), 1, np.maximum(left, 1)) / own
    # The time to so many events is beta prime: this scale times the odds of a beta variate.
    from scipy.special import betainc, betaincinv  # takes half a second: only where messages are

    known, scale = shape + sent / own, days_before * own / scatter + span

    sure = np.where(unsure, np.nan, 1.0)
    over = exhausted | expired
    columns: dict[str, npt.NDArray[np.generic]] = {"sim_key": np.asarray(sim_keys)}
    for within in WITHIN_DAYS:
        columns[f"sms_p_{within}"] = np.where(
            (clock <= within) | over, 1.0, sure * betainc(events, known, within / (within + scale))
        )
    for share in (10, 50, 90):
        part = betaincinv(events, known, share / 100)
        waited = np.minimum(scale * part / np.maximum(1 - part, 1e-12), 2 * FARTHEST_DAYS)
        last = np.where(over, 0, np.minimum(np.ceil(waited), clock))
        columns[f"sms_p{share}_date"] = _date_of(last, as_of, unsure)
    status = np.full(left.size, "ok", dtype=object)
    status[expired], status[exhausted], status[unsure] = "expired", "exhausted", "not_enough_evidence"
    frame = pl.DataFrame(columns).with_columns(
        pl.col("^sms_p_.*$").fill_nan(None), pl.Series("sms_status", status.tolist(), dtype=pl.String)
    )
    return frame.select(pl.col(name).cast(kind) for name, kind in SMS_SCHEMA.items())


def _sms_fleet(days: FloatArray, sent: FloatArray, squared: FloatArray) -> tuple[float, float, float]:
    """What is expected of a SIM before its own messages: gamma shape and days of the rate, and the scatter; by
    moments."""
    total = float(sent.sum())
    if total == 0:
        return 0.5, float(max(days.mean(), 1)) if days.size else 1.0, 1.0
    mean = total / float(days.sum())
    scatter = max(float((squared - sent**2 / days).sum()) / max(float((sent * (days - 1) / days).sum()), 1e-9), 1.0)
    between = float(np.average((sent / days - mean) ** 2, weights=days)) - mean * scatter / float(days.mean())
    shape = float(np.clip(mean**2 / max(between, 1e-12), 0.1, 10))
    return shape, shape * scatter / mean, scatter


def _per_sim(values: npt.ArrayLike | None, sims: int) -> FloatArray:
    return np.zeros(sims) if values is None else np.nan_to_num(np.asarray(values, dtype=np.float64))


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


def _passage_days(
    paths: FloatPaths, later: FloatPaths, steps: npt.NDArray[np.int64], remaining: FloatArray
) -> FloatArray:
    """The day, from 1, whose running total reaches what is left, (sims, samples); inf for never or unknown."""
    sims, samples, days = paths.shape
    total = np.zeros((sims, samples))
    passage = np.ones((sims, samples))
    left = remaining[:, None]
    for day in range(days):
        total += paths[:, :, day]
        passage += total < left
    going = total < left
    rate = later[:, :, -1] / steps[-1] if steps.size else paths[:, :, -RATE_DAYS:].mean(axis=2, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        for step, width in enumerate(steps):
            use = later[:, :, step].astype(np.float64)
            into = np.clip(np.ceil((left - total) / use * width), 1, width)
            total += use
            arrived = going & (total >= left)
            passage = np.where(arrived, days + into, passage)
            going &= ~arrived
            days += int(width)
        after = days + np.maximum(np.ceil((left - total) / rate), 1)
    passage = np.where(going, np.where(rate > 0, after, np.inf), passage)
    passage[np.isnan(remaining)] = np.inf
    return passage


def _topups(
    paths: FloatPaths,
    later: FloatPaths,
    steps: npt.NDArray[np.int64],
    as_of: date,
    left: FloatArray,
    added: FloatArray,
    threshold: FloatArray,
) -> dict[str, npt.NDArray[np.generic]]:
    """Median day of the next automatic top-up, and how many are expected in 30 days; for the rows where `added` is not
    NaN."""
    none = np.isnan(added)
    date_of, count = np.full(left.size, np.datetime64("NaT", "D")), np.full(left.size, np.nan)
    rows = np.flatnonzero(~none)
    if rows.size:
        until = np.maximum(left - threshold, 0)[rows]
        day = np.sort(_passage_days(paths[rows], later[rows], steps, until), axis=1)
        date_of[rows] = _date_of(np.where(until > 0, _rank(day, 50), 0), as_of, none[rows])
        over = paths[rows, :, :30].sum(axis=2, dtype=np.float64) - until[:, None]
        count[rows] = np.where(over >= 0, np.floor(over / added[rows, None]) + 1, 0).mean(axis=1)
    return {"topup_date": date_of, "topups_30": count}


def _months(as_of: date, days: int) -> list[slice]:
    """The days ahead by calendar month."""
    parts, start = [], 0
    while start < days:
        first = as_of + timedelta(days=1 + start)
        end = min(start + calendar.monthrange(first.year, first.month)[1] - first.day + 1, days)
        parts.append(slice(start, end))
        start = end
    return parts


def _limit_hit(
    paths: FloatPaths, as_of: date, limit: float, used: FloatArray, unsure: npt.NDArray[np.bool_]
) -> dict[str, npt.NDArray[np.generic]]:
    """Probability and median day of the monthly limit in the month of as_of + 1."""
    month = paths[:, :, _months(as_of, paths.shape[2])[0]]
    hit_already = used >= limit
    total = used[:, None, None] + month.cumsum(axis=2, dtype=np.float64)
    day = np.where(hit_already[:, None], 0, 1 + (total < limit).sum(axis=2))
    p = (day <= month.shape[2]).mean(axis=1)
    middle = _rank(np.sort(day, axis=1).astype(np.float64), 50)
    dates = _date_of(middle, as_of, (unsure & ~hit_already) | (middle > month.shape[2]))
    return {"p_limit": np.where(unsure & ~hit_already, np.nan, p), "limit_date": dates}


def _limited(
    paths: FloatPaths, later: FloatPaths, steps: npt.NDArray[np.int64], as_of: date, limit: float, used: FloatArray
) -> tuple[FloatPaths, FloatPaths]:
    """The futures as far as the monthly limit lets them go; a later step has its share of a month's limit."""
    through = np.empty_like(paths)
    room = np.maximum(limit - used, 0)
    for month in _months(as_of, paths.shape[2]):
        total = np.minimum(paths[:, :, month].cumsum(axis=2, dtype=np.float64), room[:, None, None])
        through[:, :, month] = np.diff(total, axis=2, prepend=0)
        room = np.full(used.size, limit)
    largest = (limit * steps / MONTH_DAYS).astype(np.float32)
    return np.maximum(through, 0, out=through), np.minimum(later, largest)


def _rank(ordered: FloatArray, percent: int) -> FloatArray:
    """The smallest of a row's ordered values that at least `percent` % of them do not exceed."""
    return np.asarray(ordered[:, -(-percent * ordered.shape[1] // 100) - 1], dtype=np.float64)


def _date_of(days: FloatArray, as_of: date, unsure: npt.NDArray[np.bool_]) -> npt.NDArray[np.datetime64]:
    none = unsure | (days > FARTHEST_DAYS)
    ahead = np.where(none, 0, np.maximum(days, 0)).astype("timedelta64[D]")
    return np.where(none, np.datetime64("NaT", "D"), np.datetime64(as_of, "D") + ahead)
