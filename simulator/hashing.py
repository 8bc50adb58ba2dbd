"""Randomness by hashing: the same seed and place give the same number, whatever was drawn before.

Source of the hash: SplitMix64's finalizer (Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
2014).
"""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]

NEVER = 1 << 60  # a day, or a second, that does not come
WINDOW = 180  # days in which a SIM meets at most one passing anomaly
_ONE = 4096  # fixed-point one of all factors
_WORD = (1 << 64) - 1

# streams of the hash
DAY, WANDER, RUN, INJECT, TRAITS, IDENTITY, SITES, LIFE = range(1, 9)
MESSAGES, SESSIONS, QUOTA, PLACE, REPORT, TICKETS, STREAM = range(9, 16)
HOURS = 17
PLATFORM = 19


def _mix(x: Words) -> Words:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def draw(seed: int, stream: int, rows: Ints, columns: Ints) -> Words:
    """64 random bits for each (row, column): rows (n,), columns (d,) or (n, d); returns (n, d)."""
    key = np.array([(seed * 0x9E3779B97F4A7C15 + stream * 0xD1B54A32D192ED03) & _WORD], dtype=np.uint64)
    row_key = _mix(_mix(key) + rows.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    return _mix(row_key[:, None] + columns.astype(np.uint64) * np.uint64(0xD6E8FEB86659FD93))


def bits(words: Words, low: int, count: int) -> Ints:
    """`count` bits of each word from bit `low` upward, as numbers from 0 to 2**count - 1."""
    return ((words >> np.uint64(low)) & np.uint64((1 << count) - 1)).astype(np.int64)
