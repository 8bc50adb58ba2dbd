"""How devices usually are: what a fleet is held against as far as its own past is too short, or too few SIMs have one.

Taken from fleets with nothing wrong, half of them `simulator.field_kinds` of half A and half the simulator's own, days
of 84 that SIMs with half a year of history have. Kinds of devices differ: the rarer shares are those of the most
restless kinds.
"""

from __future__ import annotations

import numpy as np

from ml.history import FloatArray

SHARES = np.array([1e-1, 5e-2, 2e-2, 1e-2, 5e-3, 2e-3, 1e-3, 5e-4, 2e-4, 1e-4])  # of days, of which TAILS tells
# the statistic of a channel, as the model counts it, above which each of SHARES lies
TAILS = {
    "high": (0.0, 0.0, 0.58, 1.15, 1.86, 2.82, 5.06, 9.76, 15.04, 16.89),
    "silence": (0.0, 0.53, 1.0, 1.0, 1.0, 1.5, 1.79, 2.0, 2.16, 2.46),
    "missed": (0.0, 0.27, 0.92, 1.91, 2.55, 2.77, 2.85, 2.95, 3.35, 3.58),
    "rarer": (0.0, 0.8, 1.2, 1.5, 1.8, 2.4, 2.9, 3.5, 4.2, 4.9),
    "growth": (0.3, 0.9, 1.4, 1.8, 2.2, 2.9, 3.4, 3.9, 4.6, 5.2),
    "turns": (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.6, 2.1, 2.6, 3.0),
    "messages": (0.0, 0.0, 0.0, 0.0, 0.0, 1.06, 1.35, 1.76, 1.83, 1.87),
    "sessions": (0.64, 0.73, 1.14, 1.46, 1.73, 2.12, 2.48, 3.05, 3.54, 3.78),
    "hours": (0.0, 0.0, 0.0, 0.0, 0.33, 2.46, 3.42, 4.0, 4.92, 6.06),
    "device": (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0),
    "country": (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.04, 1.15, 1.23),
    "operator": (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.28),
}
TAILS |= {"busy": TAILS["high"], "fall": TAILS["growth"]}
KNOWN_DAYS = 56.0  # days that a SIM must be known for to say how rare a statistic is
ENOUGH_SIM_DAYS = 10_000  # of such SIMs: more need no others' days


def weight(own_sim_days: float) -> float:
    """How much what is typical counts, 0 to 1, beside so many SIM-days of SIMs known for KNOWN_DAYS."""
    return max(1.0 - own_sim_days / ENOUGH_SIM_DAYS, 0.0)


def drawn_to(own: FloatArray, name: str, share: float) -> FloatArray:
    """The statistic of a channel at each of SHARES, where typical devices' is larger drawn to it by `share`.

    own  the fleet's own, as long as SHARES
    """
    return np.asarray(own + share * np.maximum(np.array(TAILS[name]) - own, 0))
