"""SIMs and a price list for the tests of decisions."""

from __future__ import annotations

import numpy as np

from ml.history import BYTES_PER_MB
from ml.quota.actions import Sims
from ml.quota.prices import PriceList

PACK = 500 * BYTES_PER_MB
PRICES = {
    "currency": "EUR",
    "outage_day": 200,
    "products": [
        {"kind": "sim", "price": 1000, "volume": PACK, "validity_months": 120},
        {"kind": "top_up", "price": 1000, "volume": PACK},
        {"kind": "extension", "price": 1000, "validity_months": 120},
    ],
    "swap_work": 2500,
}
LIST = PriceList.of(PRICES)


def sims_of(left_mb: list[float], *, expiry: float = np.inf, auto: bool = False, active: float = 1.0) -> Sims:
    """SIMs with so many MB left, alike in the rest."""
    count = len(left_mb)
    return Sims(
        np.arange(count),
        np.array(left_mb) * BYTES_PER_MB,
        np.full(count, expiry),
        np.full(count, auto),
        np.full(count, active),
    )


def steady(mb_a_month: list[float], samples: int = 4, months: int = 12) -> np.ndarray:
    """Futures in which each SIM uses so many MB every month."""
    use = np.array(mb_a_month)[:, None, None] * BYTES_PER_MB
    return np.tile(use, (1, samples, months)).astype(np.float64)
