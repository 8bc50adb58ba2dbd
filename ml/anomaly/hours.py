"""At which hours of the UTC day SIMs are active, and how surprising that is: night activity, or a new pattern of the day.

The hours of a SIM-day are one number, a bit for each hour (bit 0: 00:00 to 01:00 UTC). An hour is held against the days of the SIM's
own past on which it was active then or in a neighbouring hour, so that a clock put forward is no surprise; that share is shrunk
to the share of its device type. What is judged is a week together: one stray hour happens to every device.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from ml.anomaly.places import Bools, Floats, of_sims, rows_of
from ml.history import IntArray, Panel

Hours = npt.NDArray[np.int32]

PAST = 56  # days that a SIM's own hours are known from
LAG = 7  # days before a day that do not speak for it yet: what is new must not make itself usual at once
MIN_DAYS = 21  # days on which its hours must be known
SHRINK = 3.0  # days that the device type counts for
PEERS = 10  # SIMs of a device type that are peers enough, else the fleet is
SELDOM = 0.1  # an hour at which it is active on more days than that is usual
MOST = 4.0  # decades that a day adds at most: the hours of a day are odd together
ALL_HOURS = (1 << 24) - 1
EXTRA = ("active_hours", "odd_hours", "hour_days", "odd_days", "stray")


def hours_of(events: pl.DataFrame | None, panel: Panel, span: int) -> Hours:
    """The hours of the last `span` days of a panel, (SIMs, span); 0 where none is known."""
    found = np.zeros((len(panel.sim_keys), span), np.int32)
    if events is None or "hours" not in events.columns:
        return found
    row, column, here = rows_of(events, panel)
    column = column - (panel.values.shape[1] - span)
    here &= column >= 0
    hours = events["hours"].fill_null(0).to_numpy().astype(np.int32)
    np.bitwise_or.at(found, (row[here], column[here]), hours[here] & ALL_HOURS)
    return found


def unusual_hours(
    hours: Hours, panel: Panel, peers: pl.DataFrame | None, days: int
) -> tuple[Floats, dict[str, Floats]]:
    """Decades of surprise of the week that ends with each of the last `days` days; 0 where the day itself is as usual.

    hours  as of `hours_of`, of at least `days` + 2 * (PAST + LAG) days where so many are there; 0 on days that are not looked at
    The second value has, by name: active_hours of the day; odd_hours, those that are unusual, as bits; hour_days, the days that
    the SIM's hours are known from; odd_days, on how many of these it was active at the least unusual of the odd hours; and
    stray, the mean surprise of a day of its past.
    """
    sims, span = hours.shape
    if not hours.any():
        none = np.zeros((sims, days), np.float32)
        return none, dict.fromkeys(EXTRA, none)
    judged = max(min(span, days + LAG + PAST), 1)
    until = np.maximum(np.arange(span - judged, span) - LAG + 1, 0)  # days before which count, for each day judged
    since = np.maximum(until - PAST, 0)
    order, starts, group, enough = _grouped(peers, panel)
    seen = _sums(hours != 0)
    known = (seen[:, until] - seen[:, since]).astype(np.float32)
    of_type, of_fleet = np.add.reduceat(known[order], starts, axis=0), known.sum(axis=0)
    # active in this hour or in a neighbouring one
    wide = (hours | hours << 1 | hours >> 1 | hours >> 23 | hours << 23) & ALL_HOURS
    surprise, most = np.zeros((sims, judged), np.float32), np.zeros((sims, judged), np.float32)
    odd = np.zeros((sims, judged), np.int32)
    for hour in range(24):
        sums = _sums((wide >> hour & 1).astype(bool))
        count = (sums[:, until] - sums[:, since]).astype(np.float32)
        share = np.add.reduceat(count[order], starts, axis=0) / np.maximum(of_type, 1)
        share[~enough] = count.sum(axis=0) / np.maximum(of_fleet, 1)
        usual = (count + SHRINK * np.clip(share, 0.002, 1)[group]) / (known + SHRINK)
        strange = (hours[:, -judged:] >> hour & 1).astype(bool) & (usual < SELDOM) & (known >= MIN_DAYS)
        surprise[strange] += np.log10(SELDOM / usual[strange])
        odd |= strange.astype(np.int32) << hour
        most = np.where(strange, np.maximum(most, count), most)
    daily = _sums(np.minimum(surprise, MOST), np.float32)
    at = np.arange(judged - days, judged) + 1
    week = daily[:, at] - daily[:, np.maximum(at - 7, 0)]
    past = np.maximum(at - LAG, 0)
    stray = (daily[:, past] - daily[:, np.maximum(past - PAST, 0)]) / np.maximum(known[:, -days:], 1)
    active = sum((hours[:, -days:] >> hour & 1 for hour in range(24)), np.zeros((sims, days), np.int32))
    extra = (active, odd[:, -days:], known[:, -days:], most[:, -days:], stray)
    found = np.where(surprise[:, -days:] > 0, week, 0).astype(np.float32)
    return found, {name: values.astype(np.float32) for name, values in zip(EXTRA, extra, strict=True)}


def _grouped(peers: pl.DataFrame | None, panel: Panel) -> tuple[IntArray, IntArray, IntArray, Bools]:
    """SIMs in the order of their device types, where each type begins there, the type of each SIM, and whether a type has PEERS."""
    types = of_sims(peers, panel, "device_type") if peers is not None else np.full(len(panel.sim_keys), "")
    names, group, counts = np.unique(types, return_inverse=True, return_counts=True)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return np.argsort(group, kind="stable"), starts, group, (counts >= PEERS) & (names != "")


def _sums(values: npt.NDArray[Any], kind: type[Any] = np.int16) -> npt.NDArray[Any]:
    """Running sums over days, from 0 before the first."""
    return np.pad(np.cumsum(values, axis=1, dtype=kind), ((0, 0), (1, 0)))


def spans(hours: IntArray) -> tuple[IntArray, IntArray]:
    """The shortest stretch of the day that holds all hours of each number (n,): its first hour, and the hour it ends with."""
    bits = hours[:, None] >> np.arange(24) & 1
    after = (np.arange(24)[None, :] - np.arange(24)[:, None]) % 24  # from each hour to each
    length = np.where(bits[:, None, :] > 0, after[None], -1).max(axis=2)
    length = np.where(bits > 0, length, 24)
    first = length.argmin(axis=1)
    return first, (first + length[np.arange(len(hours)), first] + 1) % 24
