"""Sums over windows of days, calendar weeks, and how far counts of a day lie above a SIM's usual ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ml.anomaly.fleet import FleetStatistics
from ml.anomaly.gaps import LONG_DAYS
from ml.anomaly.places import Bools, Floats, Types, of_type
from ml.anomaly.together import LAG
from ml.history import IntArray

UNIX_MONDAY = 3  # days from a Monday to 1 January 1970: weeks are those of the calendar, whichever days are asked for
SAME_WEEKDAY = 20.0  # SIM-days for which the mean of all weekdays counts beside those of the same
MIN_DAYS = 14  # known days before counts of sessions and messages are held against their usual
FEW_DAYS = 5  # the same where its whole group is looked at, of a SIM that reports rarely


def last(values: Floats, days: int) -> Floats:
    """Sum over the `days` days before each day."""
    sums = np.cumsum(np.pad(values, ((0, 0), (1, 0))), axis=1, dtype=np.float64)[:, :-1]
    found = sums.astype(np.float32)
    found[:, days:] = sums[:, days:] - sums[:, :-days]
    return found


def within(values: Floats, window: int, days: int) -> Floats:
    """Sum over the `window` days up to each of the last `days`."""
    sums = np.cumsum(np.pad(values, ((0, 0), (max(window + days - values.shape[1], 1), 0))), axis=1, dtype=np.float64)
    return np.asarray(sums[:, -days:] - sums[:, -days - window : -window])


def largest_sum(values: Floats, days: int, window: int, least: int = 0) -> Floats:
    """The largest sum of days in a row that ends on each of the last `days`, of `least` to `window` of them (Page,
    "Continuous inspection schemes", 1954); days before the first count nothing."""
    values = values[:, -days - window :]
    sums = np.pad(np.cumsum(values, axis=1), ((0, 0), (days + window - values.shape[1] + 1, 0)))
    lowest = np.lib.stride_tricks.sliding_window_view(sums, window - least + 1, axis=1).min(axis=2)
    return np.asarray(sums[:, -days:] - lowest[:, 1 : days + 1])


def weeks_of(width: int, days: int, last_day: int, together: int = 1) -> Iterator[tuple[int, IntArray]]:
    """The calendar weeks, or so many of them together, that the last `days` of `width` lie in: the place of the first
    Monday among all, and which of the last `days` are in them.

    last_day  of them, days since 1970
    """
    length = 7 * together
    number = (last_day - np.arange(days)[::-1] + UNIX_MONDAY) // length
    for each in np.unique(number):
        yield int(each * length - UNIX_MONDAY - last_day + width - 1), np.flatnonzero(number == each)


def _mean_so_far(counts: Floats, known: Bools, days: int) -> Floats:
    """The fleet's mean count of all days before each of the last `days`, (days,)."""
    total, number = (np.cumsum(values.sum(axis=0, dtype=np.float64)) for values in (np.where(known, counts, 0), known))
    mean = np.pad(total / np.maximum(number, 1), (1, 0))[:-1]
    return np.asarray(mean[-days:], np.float32)


def on_weekdays(counts: Floats, known: Bools, types: Types, days: int) -> dict[str, Floats]:
    """The share of its mean count that each device type has on the weekday of each of the last `days`, (days,), at
    most 1: by the LONG_DAYS days that end LAG days before."""
    span = days + LONG_DAYS + LAG
    pad = ((0, 0), (max(span - counts.shape[1], 0), 0))
    counts, known = np.pad(counts[:, -span:], pad), np.pad(known[:, -span:], pad)
    weeks = range(LAG // 7, (LONG_DAYS + LAG) // 7)
    found = {}
    for name, rows in of_type(types):
        total, number = np.where(known[rows], counts[rows], 0).sum(axis=0), known[rows].sum(axis=0)
        mean = (last(total[None], LONG_DAYS) / np.maximum(last(number[None], LONG_DAYS), 1))[0, -days - LAG : -LAG]
        same, of_same = (sum(values[span - days - 7 * k : span - 7 * k] for k in weeks) for values in (total, number))
        times = (same + SAME_WEEKDAY * mean) / (of_same + SAME_WEEKDAY) / np.maximum(mean, 1e-6)
        found[name] = np.where(mean > 0, np.minimum(times, 1), 1).astype(np.float32)
    return found


def unusual(
    counts: Floats,
    known: Bools,
    days: int,
    fleet: FleetStatistics,
    name: str,
    types: Types | None = None,
    least_days: int = MIN_DAYS,
) -> tuple[Floats, Floats, Floats, Bools]:
    """How far counts lie above the SIM's usual of LONG_DAYS days, on the Anscombe scale, with the counts, the usual,
    and where enough is known to say; given device types, the usual is less on weekdays on which they have less.

    least_days  known days that are enough of a SIM known for longer than LONG_DAYS; of others MIN_DAYS
    """
    whole = counts, known
    mean = fleet.of(name, _mean_so_far, counts, known, days)
    span = days + LONG_DAYS + LAG
    pad = ((0, 0), (max(span - counts.shape[1], 0), 0))
    counts, known = np.pad(counts[:, -span:], pad), np.pad(known[:, -span:], pad)
    clipped = np.where(known, counts, 0)
    here = counts[:, -days:]

    def before(values: Floats) -> Floats:
        """Over LONG_DAYS days that end LAG days before, so that what lasts does not become usual; of a young SIM, over
        all."""
        sums = last(values, LONG_DAYS)
        return np.asarray(np.where(enough, sums[:, -days - LAG : -LAG], sums[:, -days:]))

    long_ago = np.cumsum(known, axis=1)[:, :days] > 0  # known LONG_DAYS and LAG days before each
    needed = np.where(long_ago, least_days, MIN_DAYS)
    enough = last(known.astype(np.float32), LONG_DAYS)[:, -days - LAG : -LAG] >= needed
    number, total, squares = (before(values) for values in (known.astype(np.float32), clipped, clipped**2))
    usual = (total + 5 * mean) / (number + 5)
    extra = np.maximum((squares / np.maximum(number, 1) - usual**2) / np.maximum(usual, 0.05), 1)
    if types is not None:
        times = fleet.of(f"{name} on weekdays", on_weekdays, *whole, types, days)
        for kind, rows in of_type(types, times):
            usual[rows] *= times[kind]
    far = 2 * (np.sqrt(here + 0.375) - np.sqrt(usual + 0.375)) / np.sqrt(extra)
    judged = (number >= needed) & known[:, -days:]
    far = np.where(judged & (here > 1), np.maximum(far, 0), 0)
    return far.astype(np.float32), here, usual.astype(np.float32), judged
