"""Reports that get rarer: each day with and without one, held against how often the SIM reported so many days after its
last, and against what it would be if most of its reports got lost.

A device that is due every third day, rests, or closes on Sundays has its own chances: they are counted by the days
since its last report (the hazard of a renewal process), on days before, and drawn to those of its device type, or to
its own chance on any day. The evidence of days in a row adds up (`ml.anomaly.counts.largest_sum`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ml.anomaly.counts import largest_sum, weeks_of, within
from ml.anomaly.fleet import FleetStatistics
from ml.anomaly.places import Bools, Floats, Types, of_type

KEPT = 0.4  # of the reports arrive if it is as is looked for
WINDOW = 42  # days that evidence is summed over, at most
FORTNIGHT = 2  # calendar weeks for which the chances are counted together
LAG, PAST_DAYS = 14, 112  # days before a fortnight that are not in the chances, and how many are
MIN_KNOWN_DAYS = 21  # of a SIM
LONGEST = 20  # days since a report: more are as good as so many
OF_TYPE_DAYS = 16.0  # days for which the device type's chance counts beside the SIM's own
FEW_DAYS = 4.0  # the same of the chance on any day beside that so many days after a report
LEAST_CHANCE = 0.02  # of a silent day, and of a report: less cannot be known from weeks
SEASON, SEASON_REPORTS = 7, 5.0  # days that tell of a device type's season, and reports that count for none
WEEKLY, WEEKS, MIN_WEEKS = 0.78, 8, 3  # share of silent weekdays from which on a weekday is none to report on


def rarer(
    volume: Floats, types: Types, days: int, last_day: int, fleet: FleetStatistics
) -> tuple[Floats, Floats, Floats]:
    """Decades of evidence on each of the last `days` that reports are KEPT times as likely as they were, 0 on a day
    with one; the reports of the WINDOW days up to it; and how many were to be expected.

    volume  (sims, days known), NaN unknown; last_day  of them, days since 1970
    """
    sims, width = volume.shape
    span = min(width, days + WINDOW + SEASON)
    used = volume > 0
    since, due = _since_report(volume, used)
    chance, share = np.full((2, sims, span), np.nan, np.float32)
    fortnights = list(weeks_of(width, span, last_day, FORTNIGHT))
    of_types = fleet.of("reports due", _of_types, since, due, used, types, [monday for monday, _ in fortnights])
    for number, (monday, here) in enumerate(fortnights):
        until = max(monday - LAG, 0)
        past = slice(max(until - PAST_DAYS, 0), until)
        tried, reported = _counts(since[:, past], due[:, past], used[:, past])
        share[:, here] = of_all = _share(reported, tried)
        own = (reported + FEW_DAYS * of_all) / (tried + FEW_DAYS)
        for name, rows in of_type(types, of_types):
            own[rows] = (reported[rows] + OF_TYPE_DAYS * of_types[name][number]) / (tried[rows] + OF_TYPE_DAYS)
        chance[:, here] = np.take_along_axis(own, since[:, -span:][:, here].astype(np.int64) - 1, axis=1)
    judged = due[:, -span:] & (np.cumsum(~np.isnan(volume), axis=1, dtype=np.int32)[:, -span:] >= MIN_KNOWN_DAYS)
    judged &= ~np.isnan(chance)
    of_season = fleet.of(
        "reports of the season", _of_season, np.where(judged, chance, 0), judged & used[:, -span:], types
    )
    for name, rows in of_type(types, of_season):
        chance[rows] *= of_season[name]
    chance = np.clip(chance, LEAST_CHANCE, 1 - LEAST_CHANCE)
    says = np.where(used[:, -span:], np.log10(KEPT), np.log10((1 - KEPT * chance) / (1 - chance)))
    each = np.where(judged, says, 0)
    found = np.where(used[:, -days:], 0, largest_sum(each, days, WINDOW))
    reports, expected = (
        within(np.where(judged, values, np.float32(0)), WINDOW, days).astype(np.float32)
        for values in (used[:, -span:], share)
    )
    return found.astype(np.float32), reports, expected


def _of_season(chance: Floats, reported: Bools, types: Types) -> dict[str, Floats]:
    """What share of the reports that were to be expected came on the SEASON days up to each, (days,), of each device
    type: with the season or an outage all of it may report less often, and that says nothing of a SIM."""
    found = {}
    for name, rows in of_type(types):
        came, expected = (
            within(values[rows].sum(axis=0, dtype=np.float32)[None], SEASON, chance.shape[1])[0]
            for values in (reported, chance)
        )
        found[name] = np.minimum((came + SEASON_REPORTS) / (expected + SEASON_REPORTS), 1).astype(np.float32)
    return found


def _since_report(volume: Floats, used: Bools) -> tuple[Any, Bools]:
    """Days since the last report, 1 to LONGEST, and whether the SIM may report on a day: it is known, has reported
    before, and does so on this weekday. Other days are not counted."""
    sims, width = volume.shape
    known = ~np.isnan(volume)
    idle = known & ~used & (np.cumsum(used, axis=1, dtype=np.int32) > 0)
    silent, tried = np.zeros((2, sims, width), np.int8)
    for back in range(7, min(7 * WEEKS, width - 1) + 1, 7):
        silent[:, back:] += idle[:, :-back]
        tried[:, back:] += (idle | used)[:, :-back]
    off = (silent >= WEEKLY * tried) & (tried >= MIN_WEEKS)
    since, run, begun = np.ones((sims, width), np.int8), np.ones(sims, np.int8), np.zeros(sims, bool)
    due = known & ~off
    for day in range(width):
        since[:, day] = run
        due[:, day] &= begun
        run = np.where(used[:, day], 1, np.where(due[:, day], np.minimum(run + 1, LONGEST), run)).astype(np.int8)
        begun |= used[:, day]
    return since, due


def _counts(since: Any, due: Bools, used: Bools) -> tuple[Floats, Floats]:
    """On how many days each SIM was due so many days after its last report, and reported, (sims, LONGEST)."""
    sims = len(since)
    place = since.astype(np.int64) - 1 + LONGEST * np.arange(sims)[:, None]
    tried, reported = (
        np.bincount(place[where], minlength=sims * LONGEST).reshape(sims, LONGEST) for where in (due, due & used)
    )
    return tried.astype(np.float32), reported.astype(np.float32)


def _share(reported: Floats, tried: Floats) -> Floats:
    """The chance of a report on any day that one is due on."""
    return np.asarray((reported.sum(axis=-1, keepdims=True) + 1) / (tried.sum(axis=-1, keepdims=True) + 2), np.float32)


def _of_types(since: Any, due: Bools, used: Bools, types: Types, mondays: list[int]) -> dict[str, Floats]:
    """The chance of a report of each device type by the days since the last, on all days before each Monday,
    (fortnights, LONGEST)."""
    numbers = dict(of_type(types))
    found = {name: np.zeros((len(mondays), LONGEST), np.float32) for name in numbers}
    tried, reported = np.zeros((2, len(since), LONGEST), np.float32)
    done = 0
    for week, monday in enumerate(mondays):
        part = slice(done, max(monday, 0))
        more = _counts(since[:, part], due[:, part], used[:, part])
        tried, reported, done = tried + more[0], reported + more[1], max(monday, 0)
        for name, rows in numbers.items():
            came, days = reported[rows].sum(axis=0), tried[rows].sum(axis=0)
            found[name][week] = (came + FEW_DAYS * _share(came, days)) / (days + FEW_DAYS)
    return found
