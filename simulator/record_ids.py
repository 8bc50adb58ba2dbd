"""The numbers of what an account records, the same whether the stream or API v2 tells them."""

from datetime import date

import numpy as np

from simulator.hashing import Ints
from simulator.ledger import DAY_SECONDS

DATA, SMS, EVENT = range(3)
_EPOCH = date(1999, 1, 1).toordinal()  # ids hold 14 bits of days from here: until 2043


def record_ids(kind: int, sims: Ints, ticks: Ints) -> Ints:
    """Ids below 2**53 of records of one kind, given by SIM (position in the fleet), then day, each day whole and in
    order."""
    sim_day = _sim_day(sims, ticks)
    return (sim_day << 2 | kind) << 8 | _nth(sim_day)


def session_ids(sims: Ints, ticks: Ints) -> Ints:
    """Ids of data sessions, given as for `record_ids`."""
    sim_day = _sim_day(sims, ticks)
    return sim_day << 8 | _nth(sim_day)


def _sim_day(sims: Ints, ticks: Ints) -> Ints:
    return sims << 14 | (ticks // DAY_SECONDS - _EPOCH)


def _nth(group: Ints) -> Ints:
    """The place of each within its group of equal neighbours, from 0."""
    size = np.diff(np.flatnonzero(np.append(np.diff(group, prepend=-1), 1)))
    nth: Ints = np.arange(len(group)) - np.repeat(np.cumsum(size) - size, size)
    return nth
