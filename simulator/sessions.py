"""When the devices of a synthetic fleet are connected, and how a day's volume lies in its data sessions."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.demand import Demand
from simulator.hashing import HOURS, NEVER, SESSIONS, Ints, bits, draw
from simulator.injected_anomalies import FLAPPING, UNUSUAL_HOURS, during
from simulator.ledger import DAY_SECONDS

HOUR = 3600
NIGHT = 3  # hours that are unusual ones
KILOBYTE = 1_000  # accounting bytes: what Platform 2.0 rounds each session up to


class Sessions(NamedTuple):
    """Data sessions of many SIMs by SIM, then time: position of the SIM among those asked for, ticks created and
    deleted."""

    which: Ints
    begin: Ints
    end: Ints


def sessions_on(demand: Demand, rows: Ints, days: Ints, used: NDArray[np.bool_]) -> Sessions:
    """The PDP contexts of `rows` on consecutive `days`, none where not `used` (SIMs x days); each lies within its
    day, and a day's do not depend on other days."""
    words = draw(demand.seed, SESSIONS, rows, days)
    loops = (days >= demand.loop_first[rows, None]) & (days <= demand.loop_last[rows, None])
    loops |= during(demand, rows, days, FLAPPING)
    count = np.where(used, np.where(loops, 24, 1 + bits(words, 0, 10) % 3), 0)
    opens, hours = _hours(demand, rows, days, loops)
    width = hours * HOUR // np.maximum(count, 1)
    # one row a session: its SIM, its day, and its slot of that day
    which, day, slot = np.nonzero(np.arange(24) < count[:, :, None])
    each = draw(demand.seed, SESSIONS, NEVER + rows[which], (days[day] * 24 + slot)[:, None])[:, 0]
    half = width[which, day] // 2
    opening = days[day] * DAY_SECONDS + opens[which, day] * HOUR
    begin = opening + slot * width[which, day] + bits(each, 0, 20) * half // (1 << 20)
    return Sessions(which, begin, begin + 20 + bits(each, 20, 20) * (half - 30) // (1 << 20))


def _hours(demand: Demand, rows: Ints, days: Ints, loops: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """The UTC hour from which on each SIM may be active on each day, and how many hours long: (n, d) each.

    A SIM may be active at any time on an off-hours day and in a connection loop. Inside an anomaly of unusual hours it
    is active at any time too, or in the middle of its usual idle period.
    """
    opens, hours = demand.opens[rows, None], demand.hours[rows, None]
    idle = np.minimum((opens + hours + (24 - hours - NIGHT) // 2) % 24, 24 - NIGHT)
    unusual = during(demand, rows, days, UNUSUAL_HOURS)
    always_active = demand.always_active[rows, None]
    off_hours = bits(draw(demand.seed, HOURS, rows, days), 0, 10) < demand.off_hours[rows, None]
    anytime = loops | off_hours | (unusual & always_active)
    moved = unusual & ~always_active
    return (
        np.select([anytime, moved], [0, idle], opens),
        np.select([anytime, moved], [24, NIGHT], hours),
    )


class Shares(NamedTuple):
    """How much of its day's volume was used when each session began and when it ended, in accounting bytes."""

    low: Ints
    high: Ints


def day_openings(group: Ints) -> tuple[Ints, Ints]:
    """Where each group of equal neighbours begins, and its size."""
    opening = np.flatnonzero(np.diff(group, prepend=-1))
    return opening, np.diff(np.append(opening, len(group)))


def shares(group: Ints, sessions: Sessions, total: Ints) -> Shares:
    """Each session's share of the day's volume, by its length.

    group   number of the SIM's day that each session belongs to, ascending
    total   the volume of that day, once a session
    Each share is the difference of two running sums, cut to whole units: their sum is exact.
    """
    opening, sizes = day_openings(group)
    length = sessions.end - sessions.begin
    elapsed = np.cumsum(length)
    upto = elapsed - np.repeat(elapsed[opening] - length[opening], sizes)
    online = np.repeat(upto[opening + sizes - 1], sizes)
    return Shares(total * (upto - length) // online, total * upto // online)


def rounded_shares(group: Ints, sessions: Sessions, wanted: Ints) -> Shares:
    """The same where every session is rounded up to whole kilobytes; the last one's `high` is the day's volume."""
    low, high = shares(group, sessions, wanted)
    kilobytes = -(-(high - low) // KILOBYTE) * KILOBYTE
    opening, sizes = day_openings(group)
    summed = np.cumsum(kilobytes)
    upto = summed - np.repeat(summed[opening] - kilobytes[opening], sizes)
    return Shares(upto - kilobytes, upto)


def rounded_up(demand: Demand, rows: Ints, days: Ints, volume: Ints) -> Ints:
    """The volume (SIMs x days) that Platform 2.0 counts: of each session whole kilobytes, rounded up."""
    sessions = sessions_on(demand, rows, days, volume > 0)
    group = sessions.which * len(days) + (sessions.begin // DAY_SECONDS - days[0])
    opening, sizes = day_openings(group)
    counted = np.zeros(volume.size, dtype=np.int64)
    upto = rounded_shares(group, sessions, volume.ravel()[group]).high
    counted[group[opening]] = upto[opening + sizes - 1]
    return counted.reshape(volume.shape)
