"""What may be anomalous about a SIM on a day, as numbers: control charts over the whole fleet at once.

Each channel is a statistic (SIMs x days, 0 where nothing can be said) that grows with how anomalous it is. It rests on
the SIM's own past and on its peers, never on later days. Kept apart from any judgement: how rare a statistic is,
`ml.anomaly.model` fits on the fleet.

Sources: lasting changes by cumulative sums (see Basseville and Nikiforov, "Detection of abrupt changes", 1993); counts
by the Anscombe transform (1948).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

import numpy as np
import polars as pl

from ml.anomaly.counts import FEW_DAYS, last, unusual
from ml.anomaly.fleet import FleetStatistics
from ml.anomaly.gaps import LONG_DAYS, gaps_of, usual_gaps
from ml.anomaly.hours import hours_of, unusual_hours
from ml.anomaly.own_past import missed, record, turns
from ml.anomaly.places import Bools, Floats, Types, both, counts_of, middle_of_peers, of_sims, of_type, places
from ml.anomaly.reports import rarer
from ml.anomaly.shifts import States, shifts, states_of
from ml.anomaly.together import (
    LAG,
    MOST_RESTLESS,
    OF_MEAN,
    OF_OPERATOR,
    PAST,
    outages,
    resting,
    shared,
    until_next_report,
)
from ml.history import PROBLEMS_SCHEMA, IntArray, Panel, dense
from ml.spread import stretches_as_days

EVENT_SCHEMA = {
    "sim_key": pl.Int32,
    "day": pl.Date,
    "imei": pl.String,
    "country": pl.String,
    "operator": pl.String,
    "sessions": pl.Int32,
    "hours": pl.Int32,
}
PERIOD_SCHEMA = {"sim_key": pl.Int32, "first_day": pl.Date, "last_day": pl.Date, "state": pl.String}
PEER_SCHEMA = {
    "sim_key": pl.Int32,
    "device_type": pl.String,
    "label_prefix": pl.String,
    "country": pl.String,
    "operator": pl.String,
    "batch": pl.String,
}
CHANNELS = (
    *("high", "busy", "growth", "fall", "silence", "missed", "rarer", "turns", "messages", "sessions", "hours"),
    *("device", "country", "operator", "pattern"),
)
FEATURES = ("z", "week", "trend", "spread", "activity", "silence", "messages", "sessions", "peers")

WEEKS = 8  # same weekdays that a day is held against
MIN_VALUES = 4  # of them, or of the last 28 active days, that are needed
MEMORY = 42  # days that the spread looks back
LOOK_BACK = 400  # days of gaps
MIN_SPREAD = 0.2  # a change by less than a fifth is not anomalous, however steady the SIM
LOG_OFFSET_BYTES = 100.0  # bytes; below about this size differences do not count
MAX_SHIFT_PER_DAY = 0.2  # log units a day by which peers may shift together without being a cause
JUMP = 3.0  # standard deviations: so high a day may be an update of its device type
MOST_UPDATE = 4.5  # log units, 90 times the usual, that an update may take: more costs too much to be passed over
MOST_UPDATE_DAYS = 2  # in a row on which a SIM may take an update: what lasts longer is none
UPDATED = 0.05, 2.5  # share of a device type's SIMs above the usual, and evidence, of an update
LASTS = 3  # days that the last SIMs may take part after one on which many did
STILL = 0.6, 6.0  # the same of the SIMs of a type and an operator: so many are silent that they stand still
RESTLESS = 1.0  # on the Anscombe scale: so many sessions more than usual that it may take part in what its type does
STILL_RESTLESS = 0.3  # the same of one that did so in the days before, or whose type does so in the mean
LESS_USE, SURPRISED = 0.25, 0.9  # log units, decades: so little use, or such a silence, that it may be its operator's
MOST_STILL_DAYS = 7  # days: who is silent for longer does not wait for the weather


@dataclass(frozen=True, eq=False)
class Signals:
    """Statistics of the last days of a fleet.

    sim_keys  (sims,) ascending; days ends with as_of
    channels  by name (CHANNELS but "pattern"), (sims, days) float32, 0: nothing anomalous or nothing to say
    features  by name (FEATURES), the same shape: what the Isolation Forest sees
    bytes     used; usual, what was usual for SIM and weekday, and spread (log units); NaN: not known
    calm      the lesser of the spread and that of MEMORY days before: an anomaly widens its own spread
    age       days known of the SIM up to each
    silent    days without a sign of life; gap, the longest usual ones (0: not known); gaps, how many there were
    extra     by name: sms, usual_sms, sessions, usual_sessions, and what `unusual_hours` adds
    explained (sims, days) out of service or not asked for: nothing is anomalous then
    resting   (sims, days) silent with most others of its label: no anomaly of its own
    still     (sims, days) silent with most others of its device type and operator, alone among the operator's
    updates   (sims, days) much use with many of its device type, for a day or two: an update of them
    shared    by channel, (sims, days): decades of evidence that the group has a fault in which the SIM takes part
    outage    (days,) hardly any SIM was heard of: an outage of ours
    type_shifts  by device type, (days,): how far it as a whole is from its usual, in log units
    types     device type of each SIM, "": not known
    fleet     the statistics of the fleet that it rests on
    """

    sim_keys: IntArray
    as_of: date
    channels: dict[str, Floats]
    features: dict[str, Floats]
    bytes: Floats
    usual: Floats
    spread: Floats
    calm: Floats
    age: Floats
    silent: Floats
    gap: Floats
    gaps: Floats
    extra: dict[str, Floats]
    explained: Bools
    resting: Bools
    still: Bools
    updates: Bools
    shared: dict[str, Floats]
    outage: Bools
    type_shifts: dict[str, Floats]
    types: Types
    problems: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=PROBLEMS_SCHEMA))
    fleet: FleetStatistics = field(default_factory=FleetStatistics)

    @property
    def days(self) -> int:
        return int(self.bytes.shape[1])


def signals(
    history: pl.DataFrame,
    events: pl.DataFrame | None,
    as_of: date,
    *,
    days: int,
    peers: pl.DataFrame | None = None,
    periods: pl.DataFrame | None = None,
    fleet: FleetStatistics | None = None,
) -> Signals:
    """Statistics of the last `days` days up to `as_of`.

    history  a usage history (ml.history), optionally with sms (Int, messages both ways); broken rows harm their SIM
             alone. Days whose sum alone is known (ml.spread) are looked at together, on the last of them
    events   one row a SIM, day and place (EVENT_SCHEMA): where and in which device it was seen, data sessions begun
             there, and, optionally, the UTC hours of the day at which they were, a bit for each (bit 0: 00:00 to 01:00)
    peers    one row a SIM (PEER_SCHEMA); without it every SIM stands alone
    periods  when a SIM was out of service, or its usage was not asked for (PERIOD_SCHEMA; last_day null: still);
             `state` is why
    fleet    what was fitted on the fleet whose SIMs these are; without it these SIMs are the fleet
    """
    fleet = fleet or FleetStatistics()
    history = stretches_as_days(history)
    panel = dense(history.select("sim_key", "day", "bytes"), as_of=as_of, lookback_days=LOOK_BACK)
    if not len(panel.sim_keys):
        panel = Panel(panel.sim_keys, np.empty((0, days)), as_of, panel.problems)
    panel = _as_wide(panel, fleet.of("days", lambda: panel.values.shape[1]))
    sims, width = panel.values.shape
    days = min(days, width)
    volume = panel.values.astype(np.float32)
    explained = _explained(panel, periods)
    volume[explained] = np.nan
    outage = fleet.of("outage", outages, _heard(volume, panel, explained))
    volume[:, outage] = np.nan
    types, labels, operators = (
        of_sims(peers, panel, name) if peers is not None and name in peers.columns else np.full(sims, "")
        for name in ("device_type", "label_prefix", "operator")
    )
    at_operator = np.where((types == "") | (operators == ""), "", np.char.add(np.char.add(operators, " "), types))
    at_rest = resting(volume, labels, fleet)
    volume[at_rest] = np.nan
    last_day = int(np.datetime64(as_of, "D").astype(np.int64))
    logs, usual, spread, own, relative, type_shifts = _residuals(volume, types, min(width, days + 2 * MEMORY), fleet)
    apart = (both(own, relative) / spread)[:, -(days + MEMORY) :]  # NaN on days without use
    z = np.nan_to_num(apart)
    silent, gap, gaps = gaps_of(volume, days)
    gap = usual_gaps(gap, gaps, volume, types, fleet)
    age = np.cumsum(known := ~np.isnan(volume), axis=1, dtype=np.float32)
    calm = _calm(spread, days)
    channels = {
        "high": np.minimum(np.clip(z[:, -days:], 0, 50), 2 * record(volume, logs, days, last_day)),
        "turns": turns(volume, days),
        "silence": np.where((gap > 0) & (silent > 0), (silent + 1) / np.maximum(gap, 1), 0).astype(np.float32),
    }
    long = min(days + PAST + LAG, width)
    channels["growth"], channels["fall"], shifted = shifts(
        states := states_of(logs, types, long, last_day, fleet), types, (labels, at_operator), days, fleet
    )
    surprise, quiet = missed(volume, types, long, fleet)
    channels["missed"], quiet = surprise[:, -days:], quiet[:, -days:]
    channels["rarer"], reports, due = rarer(volume, types, days, last_day, fleet)
    sms = counts_of(history, panel, "sms") if "sms" in history.columns else np.zeros_like(volume)
    extra: dict[str, Floats] = {
        **{"quiet": quiet, "reports": reports, "reports_due": due},
        "shifted": shifted,
        "above": np.nan_to_num(np.minimum(own, relative)[:, -days:]),
        "rising": _rising(apart * spread[:, -(days + MEMORY) :], days),
    }
    channels["messages"], extra["sms"], extra["usual_sms"], _ = unusual(sms, known, days, fleet, "sms")
    begun = counts_of(events, panel, "sessions") if events is not None else np.zeros_like(volume)
    seen = (volume > 0) & (np.cumsum(begun, axis=1) > 0)  # a day without data has no session
    channels["sessions"], extra["sessions"], extra["usual_sessions"], _ = unusual(
        begun, seen, days, fleet, "sessions", types
    )
    restless, _, _, judged = unusual(begun, seen, long, fleet, "restless", types, FEW_DAYS)
    channels |= _by_sessions(channels["high"], channels["sessions"])
    hours = hours_of(events, panel, known, days)
    channels["hours"], of_hours = unusual_hours(hours, volume > 0, types, days, fleet)
    extra |= of_hours
    channels |= places(events, panel, types, days, fleet)
    together, updates, still = _taken_part(
        volume, surprise, own[:, -long:], usual[:, -long:], spread[:, -long:],
        states, restless, seen[:, -long:], judged, types, operators, at_operator, days, fleet,
    )  # fmt: skip
    channels["high"][updates] = channels["busy"][updates] = 0
    still &= silent <= MOST_STILL_DAYS
    silenced = explained[:, -days:] | at_rest[:, -days:] | outage[None, -days:] | still
    for name, values in channels.items():
        channels[name] = np.where(silenced & (name not in ("device", "country", "operator")), 0, values).astype(
            np.float32
        )
    features = _features(volume, z, spread, channels, relative, days)
    return Signals(
        panel.sim_keys,
        as_of,
        channels,
        features,
        np.where(silenced, np.nan, panel.values[:, -days:]).astype(np.float32),
        (np.exp(usual[:, -days:]) - LOG_OFFSET_BYTES).astype(np.float32),
        spread[:, -days:],
        calm,
        age[:, -days:],
        silent,
        gap,
        gaps,
        extra,
        explained[:, -days:],
        at_rest[:, -days:],
        still,
        updates,
        together,
        outage[-days:],
        {name: shift[-days:] for name, shift in type_shifts.items()},
        types,
        panel.problems,
        fleet,
    )


def _taken_part(
    volume: Floats,
    surprise: Floats,
    own: Floats,
    usual: Floats,
    spread: Floats,
    states: States,
    restless: Floats,
    seen: Bools,
    counted: Bools,
    types: Types,
    operators: Types,
    at_operator: Types,
    days: int,
    fleet: FleetStatistics,
) -> tuple[dict[str, Floats], Bools, Bools]:
    """Evidence of faults that SIMs share, by channel (Signals.shared); where an update of the whole device type
    explains high use: many of the type jump, for a day or two each, and none is restless; and where SIMs are silent
    with most others of their type and operator, while the operator's other SIMs are not: bad weather, say. All but
    volume: of the days that `shared` needs."""
    long = own.shape[1]
    in_use = (~np.isnan(volume) & (np.cumsum(volume > 0, axis=1) > 0))[:, -long:]
    idle = volume[:, -long:] == 0
    lacking = idle & (surprise > SURPRISED)
    lacking &= ~np.pad(lacking, ((0, 0), (1, 0)))[:, :-1]  # the day on which it fell silent
    lacking |= own < -np.maximum(LESS_USE, spread)
    judged = in_use & (idle | ~np.isnan(own))  # of whom nothing is usual cannot send less
    part = restless > RESTLESS
    before = np.logical_or.reduce([np.pad(part, ((0, 0), (back, 0)))[:, :long] for back in range(1, LASTS + 2)])
    many = until_next_report(part, idle, LASTS) | (before & (restless > STILL_RESTLESS))
    share = np.minimum(restless / MOST_RESTLESS, 1)
    some = until_next_report(restless > STILL_RESTLESS, idle, LASTS)
    of_many = shared(part, seen, types, days, fleet, "sessions", lasting=LASTS, members=many[:, -days:])
    # or each is so little restless that only their mean tells, of rare reporters only over some days
    of_mean = shared(
        share, counted, types, days, fleet, "restless",
        limits=OF_MEAN, lasting=LASTS, window=LASTS, members=some[:, -days:], unless="sessions",
    )  # fmt: skip
    together = {
        "sessions": np.maximum(of_many, of_mean),
        "missed": shared(lacking, judged, operators, days, fleet, "operator", kinds=types, limits=OF_OPERATOR),
    }
    still = shared(idle, in_use, at_operator, days, fleet, "still", limits=STILL) > 0
    # who is at rest jumps, too, if it lies above what it uses on the move
    jump = (own > JUMP * spread) | (states.values - states.high > JUMP * np.maximum(states.deviation, MIN_SPREAD))
    top = np.fmax(usual, states.high)
    jumps = shared(jump, ~np.isnan(own), types, days, fleet, "jumps", limits=UPDATED, lasting=LASTS, window=LASTS) > 0
    jump = np.pad(jump, ((0, 0), (max(days + MOST_UPDATE_DAYS - long, 0), 0)))
    none = np.logical_and.reduce(
        [jump[:, jump.shape[1] - days - back : jump.shape[1] - back] for back in range(MOST_UPDATE_DAYS + 1)]
    )
    padded = np.pad(top, ((0, 0), (max(days + 6 - long, 0), 0)), constant_values=np.nan)[:, -days - 6 :]
    of_week = np.fmax.reduce([padded[:, 6 - back : 6 - back + days] for back in range(7)])
    none |= np.nan_to_num((own + usual)[:, -days:] - of_week) > MOST_UPDATE
    return together, jumps & (together["sessions"] == 0) & ~none, still & (together["missed"] == 0)


def _by_sessions(high: Floats, restless: Floats) -> dict[str, Floats]:
    """High use with as many sessions as usual, and with more: of a device type, either may be rare alone."""
    more = restless > RESTLESS
    return {"high": np.where(more, 0, high), "busy": np.where(more, high, 0)}


def _as_wide(panel: Panel, width: int) -> Panel:
    """The panel with `width` days: those before its first are not known."""
    if panel.values.shape[1] == width:
        return panel
    values = panel.values[:, -width:]
    wide = np.pad(values, ((0, 0), (width - values.shape[1], 0)), constant_values=np.nan)
    return Panel(panel.sim_keys, wide, panel.as_of, panel.problems)


def _explained(panel: Panel, periods: pl.DataFrame | None) -> Bools:
    sims, width = panel.values.shape
    change = np.zeros((sims, width + 1), dtype=np.int32)
    if periods is not None and periods.height and sims:
        origin = np.datetime64(panel.as_of, "D") - (width - 1)
        row = np.searchsorted(panel.sim_keys, periods["sim_key"].to_numpy())
        row = np.minimum(row, sims - 1)
        here = panel.sim_keys[row] == periods["sim_key"].to_numpy()
        first = (periods["first_day"].to_numpy().astype("M8[D]") - origin).astype(np.int64)
        last = periods["last_day"].fill_null(panel.as_of).to_numpy().astype("M8[D]")
        until = (last - origin).astype(np.int64) + 1
        first, until = np.clip(first, 0, width), np.clip(until, 0, width)
        here &= until > first
        np.add.at(change, (row[here], first[here]), 1)
        np.add.at(change, (row[here], until[here]), -1)
    return np.asarray(np.cumsum(change[:, :-1], axis=1) > 0)


def _heard(volume: Floats, panel: Panel, explained: Bools) -> Floats:
    """The volume, with 1 on days that nobody was asked about yet: they speak for no outage."""
    unknown = np.isnan(panel.values)
    unknown &= ~explained & (np.cumsum(~unknown, axis=1) > 0)
    return np.where(unknown, 1, volume).astype(np.float32) if unknown.any() else volume


def _residuals(
    volume: Floats, types: Types, span: int, fleet: FleetStatistics
) -> tuple[Floats, Floats, Floats, Floats, Floats, dict[str, Floats]]:
    """The log volume of all days; of the last `span` days: usual log volume, spread, the day's distance from the usual,
    the same without what the peers did."""
    sims = len(volume)
    usual = np.full((sims, span), np.nan, np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(volume > 0, np.log(volume + LOG_OFFSET_BYTES), np.nan).astype(np.float32)
    padded = np.pad(logs, ((0, 0), (7 * WEEKS, 0)), constant_values=np.nan)
    for low in range(0, sims, 4096):
        block = padded[low : low + 4096]
        end = block.shape[1]
        same = np.stack([block[:, end - span - 7 * k : end - 7 * k] for k in range(1, WEEKS + 1)], axis=-1)
        centre = _median(same)
        lacking = np.flatnonzero((np.isnan(centre) & ~np.isnan(block[:, end - span :])).any(axis=1))
        for rows in np.array_split(lacking, max(1, len(lacking) // 512)):
            recent = np.lib.stride_tricks.sliding_window_view(block[rows, end - span - 28 : end - 1], 28, axis=1)
            centre[rows] = np.where(np.isnan(centre[rows]), _median(recent), centre[rows])
        usual[low : low + 4096] = centre
    own = logs[:, -span:] - usual
    type_shifts = fleet.of("type shifts", _type_shifts, own, types)
    relative = own.copy()
    for name, rows in of_type(types, type_shifts):
        relative[rows] -= type_shifts[name]
    seen = ~np.isnan(own)
    size = np.where(seen, np.minimum(np.minimum(np.abs(own), np.abs(relative)), 1.2), 0)
    total, count = (last(values, MEMORY) for values in (size, seen.astype(np.float32)))
    spread = np.maximum(1.25 * (total + 7 * 0.28) / (count + 7), MIN_SPREAD).astype(np.float32)
    return logs, usual, spread, own, relative, type_shifts


def _median(values: Floats) -> Floats:
    """Median over the last axis of what is not NaN; NaN with fewer than MIN_VALUES values."""
    ordered = np.sort(values, axis=-1)  # NaN last
    count = (~np.isnan(ordered)).sum(axis=-1)
    low = np.maximum((count - 1) // 2, 0)[..., None]
    high = np.minimum(count // 2, ordered.shape[-1] - 1)[..., None]
    middle = (np.take_along_axis(ordered, low, -1) + np.take_along_axis(ordered, high, -1))[..., 0] / 2
    return np.where(count >= MIN_VALUES, middle, np.nan).astype(np.float32)


def _type_shifts(own: Floats, types: Types) -> dict[str, Floats]:
    """How far each device type as a whole is from its usual, followed by at most MAX_SHIFT_PER_DAY a day: a season is
    followed, a fault is not."""
    type_shifts = {}
    for name, rows in of_type(types):
        middle = middle_of_peers(own[rows])
        known = middle[~np.isnan(middle)]
        followed, at = np.zeros(own.shape[1], np.float32), known[0] if len(known) else np.float32(0)
        for day, value in enumerate(middle):
            if not np.isnan(value):
                at = at + np.clip(value - at, -MAX_SHIFT_PER_DAY, MAX_SHIFT_PER_DAY)
            followed[day] = at
        type_shifts[name] = followed
    return type_shifts


def _calm(spread: Floats, days: int) -> Floats:
    before = np.pad(spread, ((0, 0), (MEMORY, 0)), mode="edge")[:, :-MEMORY]
    return np.minimum(spread, before)[:, -days:]


def _rising(apart: Floats, days: int) -> Floats:
    """1 where the mean of three days lies above that of the three before, and that one above the one before that."""
    padded = np.pad(np.nan_to_num(apart), ((0, 0), (9, 1)))
    now, before, first = (
        last(padded, 3)[:, padded.shape[1] - days - back : padded.shape[1] - back] / 3 for back in (0, 3, 6)
    )
    return ((now - first > 0.2) & (now - before > 0.05) & (before - first > 0.05)).astype(np.float32)


def _features(
    volume: Floats, z: Floats, spread: Floats, channels: dict[str, Floats], relative: Floats, days: int
) -> dict[str, Floats]:
    """What the Isolation Forest sees, all on a scale of about one."""
    active = (volume > 0).astype(np.float32)
    span = days + MEMORY
    part = active[:, -min(span + LONG_DAYS, active.shape[1]) :]
    week, long = (last(np.pad(part, ((0, 0), (0, 1))), n)[:, -days:] for n in (7, LONG_DAYS))
    known = (~np.isnan(volume)).astype(np.float32)[:, -part.shape[1] :]
    week_known, long_known = (last(np.pad(known, ((0, 0), (0, 1))), n)[:, -days:] for n in (7, LONG_DAYS))
    of_week = last(np.pad(np.clip(z, -6, 6), ((0, 0), (0, 1))), 7)[:, -days:] / 7
    of_month = last(np.pad(np.clip(z, -6, 6), ((0, 0), (0, 1))), 28)[:, -days:] / 28
    return {
        "z": np.clip(z[:, -days:], -8, 8),
        "week": of_week,
        "trend": of_week - of_month,
        "spread": np.log(spread[:, -days:] / MIN_SPREAD),
        "activity": week / np.maximum(week_known, 1) - long / np.maximum(long_known, 1),
        "silence": np.minimum(channels["silence"], 6),
        "messages": np.minimum(channels["messages"], 8),
        "sessions": np.minimum(channels["sessions"], 8),
        "peers": np.clip(np.nan_to_num(relative[:, -days:] / spread[:, -days:]), -8, 8),
    }
