"""Policies for quotas on a fleet's own past months: what each would have paid, and its outage days.

A hypothesis, since quotas of long ago are seldom known: every SIM begins the first month with what it has now, and
wants what it used in those months. An automatic top-up comes when less than AUTO_AT of a top-up is left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml.history import FloatArray
from ml.quota.actions import ACTIONS, AUTO_AT, Action, BoolArray, Sims
from ml.quota.prices import PriceList
from ml.quota.use import MONTH_DAYS


@dataclass(frozen=True)
class Replayed:
    """What a policy came to.

    paid         minor units
    kept         minor units of it that are still of use: volume bought and left at the end, at its price, as far as the
                 SIM would use it within WORTH_DAYS at its rate of the replayed months
    outage_days  days on which a device would have sent and could not
    """

    paid: float
    kept: float
    outage_days: int

    def cost(self, prices: PriceList) -> float:
        """Minor units: what was paid for the months replayed, and the outage days at their price."""
        return self.paid - self.kept + self.outage_days * prices.outage_day


WORTH_DAYS = 365
# (month from 0, the SIMs as they then are) -> an index into ACTIONS for each
Policy = Callable[[int, Sims], npt.NDArray[np.int64]]


def nothing(month: int, sims: Sims) -> npt.NDArray[np.int64]:
    """Leave everything as it is."""
    return np.zeros(sims.sim_keys.size, dtype=np.int64)


def replay(wanted: FloatArray, sims: Sims, prices: PriceList, policy: Policy) -> Replayed:
    """Live through whole months of 30 days under a policy that decides on the first day of each.

    wanted  (sims, days) bytes, without NaN; days beyond the last whole month are left out
    What a policy wants for a later month waits: it is asked again then. Raises ValueError when shapes differ or less
    than a month is given.
    """
    if wanted.ndim != 2 or len(wanted) != sims.sim_keys.size or wanted.shape[1] < MONTH_DAYS:
        raise ValueError(
            f"wanted has the shape {wanted.shape}; needed is ({sims.sim_keys.size} SIMs, {MONTH_DAYS} days or more)"
        )
    pack = prices.top_up
    left, auto = np.maximum(np.nan_to_num(sims.left), 0), sims.auto_top_up.copy()
    expiry = np.where(np.isnan(sims.expiry_days), np.inf, sims.expiry_days)
    paid, out, bought = 0.0, 0, np.zeros(len(wanted))
    for month in range(wanted.shape[1] // MONTH_DAYS):
        now = Sims(sims.sim_keys, left, expiry - MONTH_DAYS * month, auto, sims.active_share)
        choice = policy(month, now)
        for k, action in enumerate(ACTIONS):
            these = (choice == k) & (action.month == 1)
            if action.kind != "nothing" and these.any():
                bought[these] += action.packs * pack.volume if action.kind == "top_up" else 0
                paid += _done(action, prices, these, left, expiry, auto, float(MONTH_DAYS * month))
        for day in range(MONTH_DAYS * month, MONTH_DAYS * (month + 1)):
            living = expiry > day
            usable = np.where(living, wanted[:, day], 0)
            need = np.ceil((usable - left) / pack.volume + AUTO_AT)
            packs = np.where(auto & living, np.maximum(need, 0), 0)
            paid += float(packs.sum()) * pack.price
            bought += packs * pack.volume
            left = left + packs * pack.volume
            served = np.minimum(usable, left)
            left = left - served
            out += int((served < wanted[:, day]).sum())
        paid += float(prices.recurring) * len(wanted)
    days = wanted.shape[1] // MONTH_DAYS * MONTH_DAYS
    worth = np.minimum(np.minimum(bought, left), wanted[:, :days].mean(axis=1) * WORTH_DAYS)
    kept = float(np.where(expiry > days, worth, 0).sum()) * pack.price / pack.volume
    return Replayed(paid, kept, out)


def _done(
    action: Action,
    prices: PriceList,
    these: BoolArray,
    left: FloatArray,
    expiry: FloatArray,
    auto: BoolArray,
    day: float,
) -> float:
    """Do an action for some SIMs, in place; returns what it costs."""
    count, work = int(these.sum()), float(prices.handling)
    if action.kind == "top_up":
        left[these] += action.packs * prices.top_up.volume
        return count * (work + action.packs * prices.top_up.price)
    if action.kind in ("auto_top_up_on", "auto_top_up_off", "retire"):
        auto[these] = action.kind == "auto_top_up_on"
        return count * work
    product = prices.product("extension" if action.kind == "extend" else "sim")
    if product is None or action.kind not in ("extend", "swap"):
        return count * work
    lasts = np.inf if product.validity_months is None else product.validity_months * MONTH_DAYS
    if action.kind == "extend":
        expiry[these] = np.maximum(expiry[these], day) + lasts
        return count * (work + product.price)
    expiry[these], left[these], auto[these] = day + lasts, product.volume, False
    return count * (work + product.price + prices.swap_work)
