"""At which hours of the UTC day and on which weekdays SIMs are active, and how surprising that is: night activity, or a
new pattern.

The hours of a SIM-day are one number, a bit for each hour (bit 0: 00:00 to 01:00 UTC). An hour is held against the days
of the SIM's own past on which it was active then or in a neighbouring hour, so that a clock put forward is no surprise,
and a day against the same weekdays; these shares are shrunk to those of its device type. A week is scored as a whole:
one off-hours event happens to every device.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from ml.anomaly.fleet import FleetStatistics
from ml.anomaly.places import Bools, Floats, Types, rows_of
from ml.history import IntArray, Panel

Hours = npt.NDArray[np.int32]
Counts = npt.NDArray[np.int16]

PAST = 56  # days that a SIM's own hours are known from
LAG = 7  # days before a day that do not speak for it yet: what is new must not make itself usual at once
MIN_DAYS = 21  # days on which its hours must be known
SHRINK = 3.0  # days that the device type counts for
PEERS = 10  # SIMs of a device type that are peers enough, else the fleet is
SELDOM = 0.1  # an hour at which it is active on more days than that is usual
RARELY = 0.002  # least share that an hour or a weekday is taken to have among peers
MAX_DAY_DECADES = 4.0  # decades that a day adds at most: the hours of a day are anomalous together
ALL_HOURS = (1 << 24) - 1
WEEKS = PAST // 7
WEEKDAY = 24  # after the 24 hours
BLOCK = 4096
EXTRA = ("active_hours", "unusual_hours", "hour_days", "days_at_hours", "unusual_weekday", "off_hours_rate")


def hours_of(events: pl.DataFrame | None, panel: Panel, known: Bools, days: int) -> Hours:
    """The hours of the days that `unusual_hours` looks at to score the last `days`, 0 on days that are not `known` (as
    the panel)."""
    span = days + 2 * (PAST + LAG)
    found = np.zeros((len(panel.sim_keys), span), np.int32)
    if events is None or "hours" not in events.columns:
        return found
    row, column, here = rows_of(events, panel)
    place = column - (panel.values.shape[1] - span)
    here &= place >= 0
    row, place, hours = row[here], place[here], events["hours"].fill_null(0).to_numpy()[here]
    np.bitwise_or.at(found, (row, place), np.where(known[row, column[here]], hours & ALL_HOURS, 0).astype(np.int32))
    return found


def unusual_hours(
    hours: Hours, active: Bools, types: Types, days: int, fleet: FleetStatistics
) -> tuple[Floats, dict[str, Floats]]:
    """Decades of surprise of the week that ends with each of the last `days` days; 0 where the day itself is as usual.

    hours   as of `hours_of`
    active  (SIMs, days) where a SIM used data, as the panel
    types   device type of each SIM
    fleet   what was fitted on the fleet whose SIMs these are
    The second value has, by name: active_hours of the day; unusual_hours, those that are unusual, as bits; hour_days,
    the days that the SIM's hours are known from; days_at_hours, on how many of these it was active at the least unusual
    of them; unusual_weekday, 1 on an unusual weekday; and off_hours_rate, the mean surprise of a day of its past.
    """
    sims, span = hours.shape
    scored_days = days + LAG + PAST
    used = np.pad(active, ((0, 0), (max(span - active.shape[1], 0), 0)))[:, -span:]
    names, group, sizes = np.unique(types, return_inverse=True, return_counts=True)
    order = np.argsort(group, kind="stable")
    known = _past(hours != 0)
    by_type, of_type = np.zeros((2, WEEKDAY + 1, len(names), scored_days), np.float32)
    found: list[tuple[npt.NDArray[Any], ...]] = []
    for rows in np.array_split(order, max(1, sims // BLOCK)) if sims else ():
        opening = np.flatnonzero(np.diff(group[rows], prepend=-1))  # those of a type stand together
        first = group[rows[opening]]
        for which, today, active_days, all_days in _counts(hours[rows], used[rows], known[rows], scored_days):
            by_type[which, first] += np.add.reduceat(active_days, opening, axis=0, dtype=np.int32)
            of_type[which, first] += np.add.reduceat(all_days, opening, axis=0, dtype=np.int32)
            at = np.nonzero(today & (active_days < SELDOM * (all_days + SHRINK)))
            found.append((rows[at[0]], at[1], np.full(len(at[0]), which), active_days[at], all_days[at]))
    shares = fleet.of("hours", _shares, names, sizes, by_type, of_type)
    share = np.stack([shares.get(str(name), shares[""]) for name in names], axis=1) if sims else by_type
    none = np.empty(0, np.int64)
    sim, place, what, count, size = (np.concatenate([none, *(part[k] for part in found)]) for k in range(5))
    usual = (count + SHRINK * np.clip(share[what, group[sim], place], RARELY, 1)) / (size + SHRINK)
    unusual = usual < SELDOM
    sim, place, what, count, usual = (values[unusual] for values in (sim, place, what, count, usual))

    surprise, days_at_hours = np.zeros((2, sims, scored_days), np.float32)
    bits = np.zeros((sims, scored_days), np.int32)
    np.add.at(surprise, (sim, place), np.log10(SELDOM / usual).astype(np.float32))
    np.bitwise_or.at(bits, (sim, place), (1 << what).astype(np.int32))
    hourly = what < WEEKDAY
    np.maximum.at(days_at_hours, (sim[hourly], place[hourly]), count[hourly].astype(np.float32))
    daily = _sums(np.minimum(surprise, MAX_DAY_DECADES), np.float64)
    week = daily[:, -days:] - daily[:, -days - 7 : -7]
    off_hours_rate = (daily[:, PAST + 1 : -LAG] - daily[:, 1 : days + 1]) / np.maximum(_past(used)[:, -days:], 1)
    number, bits = np.bitwise_count(hours[:, -days:]), bits[:, -days:]
    extra = (number, bits & ALL_HOURS, known[:, -days:], days_at_hours[:, -days:], bits >> WEEKDAY, off_hours_rate)
    return (
        np.where(surprise[:, -days:] > 0, week, 0).astype(np.float32),
        {name: values.astype(np.float32) for name, values in zip(EXTRA, extra, strict=True)},
    )


def _counts(hours: Hours, used: Bools, known: Counts, scored_days: int) -> Iterator[tuple[int, Bools, Counts, Counts]]:
    """For each hour, and WEEKDAY: where a SIM is active then on a scored day, on how many days before it was, of how
    many."""
    span = hours.shape[1]
    enough = known >= MIN_DAYS
    # active in this hour or in a neighbouring one
    wide = (hours | hours << 1 | hours >> 1 | hours >> 23 | hours << 23) & ALL_HOURS
    for hour in range(24) if hours.any() else ():
        today = (hours[:, -scored_days:] >> hour & 1).astype(bool)
        yield hour, today & enough, _past((wide >> hour & 1).astype(bool)), known
    often = _past(used) >= MIN_DAYS
    same = sum(
        (used[:, span - scored_days - 7 * k : span - 7 * k] * often for k in range(1, WEEKS + 1)), np.zeros_like(known)
    )
    yield WEEKDAY, used[:, -scored_days:] & often, same.astype(np.int16), (WEEKS * often).astype(np.int16)


def _past(where: Bools) -> Counts:
    """Of the PAST days that end LAG before each scored day, those on which it is so."""
    sums = _sums(where)
    return np.asarray(sums[:, PAST + 1 : -LAG] - sums[:, 1 : -PAST - LAG], np.int16)


def _shares(names: npt.NDArray[np.str_], sizes: IntArray, active_days: Floats, all_days: Floats) -> dict[str, Floats]:
    """Of each device type with peers enough, and of the fleet as "", the share of days, (WEEKDAY + 1, scored days)."""
    found = {"": active_days.sum(axis=1) / np.maximum(all_days.sum(axis=1), 1)}
    for place in np.flatnonzero((sizes >= PEERS) & (names != "")):
        found[str(names[place])] = active_days[:, place] / np.maximum(all_days[:, place], 1)
    return found


def _sums(values: npt.NDArray[Any], kind: type[Any] = np.int16) -> npt.NDArray[Any]:
    """Running sums over days, from 0 before the first."""
    return np.pad(np.cumsum(values, axis=1, dtype=kind), ((0, 0), (1, 0)))


def spans(hours: IntArray) -> tuple[IntArray, IntArray]:
    """The shortest span of the day that holds all hours of each number (n,): its first hour, and the hour it ends
    with."""
    bits = hours[:, None] >> np.arange(24) & 1
    after = (np.arange(24)[None, :] - np.arange(24)[:, None]) % 24  # from each hour to each
    length = np.where(bits[:, None, :] > 0, after[None], -1).max(axis=2)
    length = np.where(bits > 0, length, 24)
    first = length.argmin(axis=1)
    return first, (first + length[np.arange(len(hours)), first] + 1) % 24
