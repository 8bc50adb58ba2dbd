"""What a SIM never did before: use beyond its own days, silence against its own heartbeat."""

from __future__ import annotations

import numpy as np

from ml.anomaly.counts import weeks_of
from ml.anomaly.fleet import FleetStatistics
from ml.anomaly.places import Bools, Floats, Types, of_type
from ml.history import IntArray

RECORD_DAYS = 84  # days that a day's use is held against
MIN_RECORD_DAYS = 14  # days with use among them that are needed
LEAST_SCALE, MOST_SCALE = 0.15, 1.2  # log units
HEARTBEAT_DAYS = 84
MIN_HEARTBEAT_DAYS = 21
SILENT_DAYS = 1.0  # silent days for which the device type's rate counts beside the SIM's own
LEAST_RATE, MOST_RATE = 5e-3, 0.9  # of silent days, that a device type is taken to have: a day gets lost for anybody
LEAST_CHANCE = 5e-3  # of a silent day: what it is beyond cannot be known from weeks
STAYS = 0.2  # chance that a silent device is silent the day after as well, before the fleet's past says more
WEEKLY = 0.78  # chance of a silent weekday from which on it is a habit: it says whether a silence goes on
STAYS_DAYS = 5.0  # silent days for which what is more widely known counts
LENGTHS = 4  # silences of one day, of two, of three, and longer ones go on with chances of their own
LONGEST = 14  # days: a longer silence says nothing of usual ones
# days that the chance of falling silent ends before a day, silent days that make a turn, chances that count
TURN_LAG, MIN_TURNS, LEAST_TURN, MOST_TURN = 14, 3, 0.02, 0.5


def record(volume: Floats, logs: Floats, days: int, last_day: int) -> Floats:
    """How far each of the last `days` lies above the second largest of the SIM's RECORD_DAYS days before its calendar
    week, in units of how its larger days spread; 0 where it does not, or too little is known.

    last_day  of the panel, days since 1970
    """
    sims, width = volume.shape
    found = np.zeros((sims, days), np.float32)
    column = np.arange(width - days, width)
    for monday, here in weeks_of(width, days, last_day):
        past = np.sort(logs[:, max(monday - RECORD_DAYS, 0) : max(monday, 0)], axis=1)  # NaN last
        count = (~np.isnan(past)).sum(axis=1)
        enough = np.flatnonzero(count >= MIN_RECORD_DAYS)
        if not len(enough):
            continue
        past, count = past[enough], count[enough]
        at = np.arange(len(enough))
        top, upper, middle = (past[at, place] for place in (count - 2, (count * 9) // 10, count // 2))
        scale = np.clip((upper - middle) / 1.28, LEAST_SCALE, MOST_SCALE)
        far = (logs[enough][:, column[here]] - top[:, None]) / scale[:, None]
        found[np.ix_(enough, here)] = np.maximum(np.nan_to_num(far), 0)
    return found


def missed(volume: Floats, types: Types, days: int, fleet: FleetStatistics) -> tuple[Floats, Floats]:
    """Decades of surprise at the silence that each of the last `days` belongs to, by the SIM's own reports on the same
    weekdays and on all days before, and by how long silences of its device type last; and the share of days on which
    it was silent."""
    sims, width = volume.shape
    span = min(width, days + 42)
    known = ~np.isnan(volume)
    begun = np.cumsum(volume > 0, axis=1) > 0
    known &= begun
    idle = (volume == 0) & known
    silent, seen = (_before(values, HEARTBEAT_DAYS, span) for values in (idle, known))
    rates = fleet.of("silent days", _silent_share, idle, known, types)
    usual = np.broadcast_to(rates[""][-span:], seen.shape).copy()
    for name, rows in of_type(types, rates):
        usual[rows] = rates[name][-span:]
    share = (silent + SILENT_DAYS) / (seen + SILENT_DAYS / usual)
    pad = max(span + 56 - width, 0)
    idle_wide, known_wide = (np.pad(values, ((0, 0), (pad, 0)))[:, -span - 56 :] for values in (idle, known))
    same_idle, same_known = (
        sum(
            (values[:, 56 - 7 * k : 56 - 7 * k + span].astype(np.float32) for k in range(1, 9)),
            np.zeros((sims, span), np.float32),
        )
        for values in (idle_wide, known_wide)
    )
    on_weekday = (same_idle + 2 * share) / (same_known + 2)
    run = _days_silent(idle, known)
    lengths = np.minimum(run, LENGTHS).astype(np.int8)
    again, tried = np.zeros((2, sims, span), np.float32)
    for nth in range(1, LENGTHS + 1):
        so_long = known & (lengths == nth)
        now = so_long[:, -span:]
        tried[now] = _before(so_long, HEARTBEAT_DAYS, span)[now]
        again[now] = _before(so_long & idle, HEARTBEAT_DAYS, span)[now]
    length = np.maximum(lengths[:, -span:], 1).astype(np.int64) - 1
    goes_on = fleet.of("silences go on", _goes_on, idle, known, types)
    usually = np.take_along_axis(goes_on[""][-span:], length.T, axis=1).T
    for name, rows in of_type(types, goes_on):
        usually[rows] = np.take_along_axis(goes_on[name][-span:], length[rows].T, axis=1).T
    stays = (again + 3 * usually) / (tried + 3)
    surprise, running = np.zeros((sims, span), np.float32), np.zeros(sims, np.float32)
    for day in range(span):
        here, place = idle[:, width - span + day], width - span + day
        weekly = np.where(on_weekday[:, day] >= WEEKLY, on_weekday[:, day], 0)
        chance = np.where(running > 0, np.maximum(weekly, stays[:, day]), on_weekday[:, day])
        step = -np.log10(np.clip(chance, LEAST_CHANCE, 1))
        running = np.where(here, running + step, np.where(known[:, place], 0, running))
        surprise[:, day] = np.where(here & (seen[:, day] >= MIN_HEARTBEAT_DAYS), running, 0)
    return surprise[:, -days:], share[:, -days:].astype(np.float32)


def turns(volume: Floats, days: int) -> Floats:
    """Decades of surprise at silences that begin on every second day: how unlikely so many in a row are, by how often
    the SIM fell silent after a day of use in the HEARTBEAT_DAYS that ended TURN_LAG days before; 0 with fewer than
    MIN_TURNS, and on other days than those on which it falls silent."""
    sims, width = volume.shape
    span = min(width, days + 42)
    used = volume > 0
    known = ~np.isnan(volume) & (np.cumsum(used, axis=1) > 0)
    after = np.pad(used, ((0, 0), (1, 0)))[:, :width] & known
    fell = after & (volume == 0)
    fallen, tried = (
        _before(np.pad(values, ((0, 0), (TURN_LAG, 0)))[:, :width], HEARTBEAT_DAYS, span) for values in (fell, after)
    )
    chance = (fallen + 0.2) / (tried + 4)
    enough = (tried >= MIN_HEARTBEAT_DAYS) & (chance < MOST_TURN)
    step = np.where(enough, -np.log10(np.maximum(chance, LEAST_TURN)), 0)
    found, total, number = np.zeros((sims, span), np.float32), np.zeros((2, sims)), np.zeros((2, sims), np.int32)
    for day in range(span):
        turn, now, reports = day % 2, fell[:, width - span + day], used[:, width - span + day]
        total[turn] = np.where(now, total[turn] + step[:, day], np.where(reports, 0, total[turn]))
        number[turn] = np.where(now, number[turn] + 1, np.where(reports, 0, number[turn]))
        found[:, day] = np.where(now & (number[turn] >= MIN_TURNS), total[turn], 0)
    return found[:, -days:]


def _days_silent(idle: Bools, known: Bools) -> Floats:
    """Silent days up to the day before each; one that is not known neither lengthens a silence nor ends it."""
    found, run = np.zeros(idle.shape, np.float32), np.zeros(len(idle), np.float32)
    for day in range(idle.shape[1]):
        found[:, day] = run
        run = np.where(idle[:, day], run + 1, np.where(known[:, day], 0, run))
    return found


def _silent_share(idle: Bools, known: Bools, types: Types) -> dict[str, Floats]:
    """The share of silent days, on all days before each, (days,): of each device type, and of the fleet as ""."""

    def so_far(where: Bools) -> Floats:
        return np.asarray(np.cumsum(np.pad(where.sum(axis=0), (1, 0))[:-1]), np.float32)

    found = {"": (so_far(idle) + 1) / (so_far(known) + 20)}
    for name, rows in of_type(types):
        found[name] = (so_far(idle[rows]) + 20 * found[""]) / (so_far(known[rows]) + 20)
    return {name: np.clip(share, LEAST_RATE, MOST_RATE) for name, share in found.items()}


def _goes_on(idle: Bools, known: Bools, types: Types) -> dict[str, Floats]:
    """The chance that a silence goes on, by the silences that had ended before each day, (days, LENGTHS) by its days so
    far: of each device type, and of the fleet as "". One that has not ended may be a fault."""
    run = _days_silent(idle, known)
    run = np.where(known & ~idle & (run <= LONGEST), run, 0)

    def so_far(longer: int, rows: IntArray | slice) -> Floats:
        """How many silences had lasted for a length and were `longer` days longer, on all days before each."""
        nth = [np.clip(run[rows] - length - longer + 1, 0, 1).sum(axis=0) for length in range(1, LENGTHS)]
        nth.append(np.maximum(run[rows] - LENGTHS - longer + 1, 0).sum(axis=0))
        return np.asarray(np.cumsum(np.pad(np.stack(nth, axis=1), ((1, 0), (0, 0)))[:-1], axis=0), np.float32)

    everyone = slice(None)
    of_fleet = (so_far(1, everyone) + STAYS_DAYS * STAYS) / (so_far(0, everyone) + STAYS_DAYS)
    found = {"": of_fleet}
    for name, rows in of_type(types):
        found[name] = (so_far(1, rows) + STAYS_DAYS * of_fleet) / (so_far(0, rows) + STAYS_DAYS)
    return found


def _before(values: Bools, days: int, span: int) -> Floats:
    """How many of the `days` days before each of the last `span` are so."""
    sums = np.pad(np.cumsum(values, axis=1, dtype=np.int32), ((0, 0), (1, 0)))
    width = values.shape[1]
    at = np.arange(width - span, width)
    return np.asarray(sums[:, at] - sums[:, np.maximum(at - days, 0)], np.float32)
