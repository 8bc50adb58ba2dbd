"""Devices whose owner moved them to another SIM: in fleets of the scenario "ends" alone, so that all others stay as
they are.

The SIM sends nothing from that day on. Its device goes on with the next SIM of the same kind at the same site.
"""

import numpy as np

from simulator.hashing import NEVER, Ints, bits, draw

ENDS = "ends"
STREAM = 20
SWAPPED = 70  # of 1024 SIMs, in about two years


def swap_days(seed: int, start: int, ready: Ints, stays: np.ndarray) -> Ints:
    """The day on which each SIM loses its device (an ordinal), NEVER for most.

    ready  the first day on which a SIM may; stays  SIMs that neither leave nor die
    """
    word = draw(seed, STREAM, np.arange(len(ready), dtype=np.int64), np.arange(1))[:, 0]
    swapped = stays & (bits(word, 0, 10) < SWAPPED)
    return np.where(swapped, np.maximum(start + 20 + bits(word, 10, 12) % 640, ready), NEVER)


def givers(site: Ints, archetype: Ints, swap: Ints) -> tuple[Ints, Ints]:
    """The SIM whose device each SIM goes on with, and from which day, (sims,) each; itself and NEVER for most. It is
    the next SIM of its kind and site that keeps its own."""
    giver, since = np.arange(len(site)), np.full(len(site), NEVER)
    for sim in np.flatnonzero(swap < NEVER):
        alike = np.flatnonzero((site == site[sim]) & (archetype == archetype[sim]) & (swap == NEVER))
        if alike.size:
            taker = alike[np.searchsorted(alike, sim) % alike.size]
            giver[taker], since[taker] = sim, swap[sim] + 1
    return giver, since
