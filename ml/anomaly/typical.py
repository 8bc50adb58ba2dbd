"""How devices usually are: what a fleet is held against as far as its own past is too short, or too few SIMs have one.

Taken from fleets with nothing wrong, half of them `simulator.field_kinds` of half A and half the simulator's own, days
of 84 that SIMs with half a year of history have. Kinds of devices differ: the rarer shares are those of the most
restless kinds.
"""

from __future__ import annotations

import numpy as np

from ml.history import FloatArray

# for the least, the middle and the largest noise (`ml.anomaly.model.NOISY`): where the body of a slow channel ends, and
# how wide it is
BODIES = {
    "rise_7": ((0.0, 0.043), (0.0, 0.079), (0.0, 0.24)),
    "rise_28": ((0.0, 0.03), (0.0, 0.05), (0.0, 0.164)),
    "fall_7": ((0.0, 0.03), (0.0, 0.05), (0.0, 0.343)),
    "fall_28": ((0.0, 0.03), (0.0, 0.03), (0.0, 0.183)),
}
SHARES = np.array([1e-1, 5e-2, 2e-2, 1e-2, 5e-3, 2e-3, 1e-3, 5e-4, 2e-4, 1e-4])  # of days, of which TAILS tells
# the statistic of a channel, as the model counts it, above which each of SHARES lies
TAILS = {
    "high": (0.0, 0.0, 0.58, 1.15, 1.86, 2.82, 5.06, 9.76, 15.04, 16.89),
    "rise_7": (0.92, 1.88, 3.24, 4.26, 5.31, 6.73, 7.4, 7.81, 9.21, 10.57),
    "rise_28": (0.83, 1.83, 3.42, 4.8, 6.36, 7.78, 8.78, 9.67, 10.59, 17.97),
    "fall_7": (0.5, 1.5, 3.16, 4.32, 5.17, 6.39, 7.76, 10.01, 18.4, 24.47),
    "fall_28": (0.24, 1.06, 2.65, 3.85, 4.92, 6.42, 7.47, 10.43, 28.76, 38.87),
    "silence": (0.0, 0.53, 1.0, 1.0, 1.0, 1.5, 1.79, 2.0, 2.16, 2.46),
    "missed": (0.0, 0.27, 0.92, 1.91, 2.55, 2.77, 2.85, 2.95, 3.35, 3.58),
    "rarer": (0.0, 0.0, 0.0, 0.49, 1.2, 2.35, 3.42, 6.44, 10.76, 14.34),
    "turns": (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.6, 2.1, 2.6, 3.0),
    "messages": (0.0, 0.0, 0.0, 0.0, 0.0, 1.06, 1.35, 1.76, 1.83, 1.87),
    "sessions": (0.64, 0.73, 1.14, 1.46, 1.73, 2.12, 2.48, 3.05, 3.54, 3.78),
    "hours": (0.0, 0.0, 0.0, 0.0, 0.33, 2.46, 3.42, 4.0, 4.92, 6.06),
    "device": (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0),
    "country": (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.04, 1.15, 1.23),
    "operator": (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.28),
}
TAILS["busy"] = TAILS["high"]
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
