"""Which device each SIM is in: the one it began in, one that took its place in ordinary life, or one that nobody
ordered.

In ordinary life a broken device gives way to another of its type, and now and then a site moves from one model to its
successor. That befalls clean fleets too, and is not recorded as an anomaly. Hash streams of their own keep all else as
it is.
"""

import numpy as np

from simulator.catalog import ARCHETYPES, DEVICES
from simulator.demand import Demand
from simulator.hashing import NEVER, WINDOW, Ints, bits, draw
from simulator.injected_anomalies import changed_device

STREAM = 18
REPAIRED = 60  # of 4096 SIMs in 180 days: 3 % a year
RENEWED = 160  # of 4096 sites in 180 days, one kind of device each, over two weeks
OTHER_TYPE = 7_770_000_000_00  # what a device that nobody ordered differs by: its type is no other device's
_TYPES: Ints = np.array([int(tac) for _, tac, _ in DEVICES])


def first_imeis(demand: Demand, serials: Ints) -> Ints:
    """The IMEI (16 digits with the software version) that each SIM began in."""
    imeis: Ints = (_TYPES[demand.device] * 1_000_000 + serials % 1_000_000) * 100
    return imeis


def imeis_on(demand: Demand, first: Ints, rows: Ints, days: Ints) -> Ints:
    """The IMEI of each SIM on its own day: rows (n,), days (n,), first as `first_imeis` gives them for the whole
    fleet."""
    imeis: Ints = first[rows]
    if not len(rows):
        return imeis
    last = (days - demand.start) // WINDOW
    for window in range(int(last.max()) + 1):
        h = draw(demand.seed, STREAM, rows, np.array([window]))[:, 0]
        begun = demand.start + window * WINDOW + 25 + bits(h, 12, 16) % 145
        repaired = (bits(h, 0, 12) < REPAIRED) & (begun <= days)
        imeis = np.where(repaired, _with_serial(imeis, bits(h, 28, 20)), imeis)
        site = draw(demand.seed, STREAM, NEVER + demand.site[rows], np.array([window]))[:, 0]
        begun = demand.start + window * WINDOW + 25 + bits(site, 12, 16) % 130 + bits(h, 48, 4) % 14
        renewed = (bits(site, 0, 12) < RENEWED) & (bits(site, 28, 10) % len(ARCHETYPES) == demand.archetype[rows])
        renewed &= (demand.device[rows] % 2 == 0) & (begun <= days)  # the second type of two is the newer one
        successor = _with_serial(_TYPES[demand.device[rows] | 1] * 100_000_000, bits(h, 28, 20))
        imeis = np.where(renewed, successor, imeis)
    imeis = np.where(changed_device(demand, rows, days), first[rows] + OTHER_TYPE, imeis)
    return np.where(days >= demand.given[rows], first[demand.giver[rows]], imeis)


def _with_serial(imeis: Ints, serials: Ints) -> Ints:
    return (imeis // 100_000_000 * 1_000_000 + serials % 1_000_000) * 100
