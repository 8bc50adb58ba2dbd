"""Policies on past months: what is paid and how many days are lost, counted by hand."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from ml.quota.actions import ACTIONS, Action, Sims
from ml.quota.prices import PriceList
from ml.quota.replay import nothing, replay

PRICES = PriceList.of(
    {
        "currency": "EUR",
        "outage_day": 7,
        "handling": 1,
        "products": [
            {"kind": "top_up", "price": 100, "volume": 50},
            {"kind": "extension", "price": 30, "validity_months": 12},
        ],
    }
)


def sims(left: list[float], expiry: list[float], auto: list[bool]) -> Sims:
    count = len(left)
    return Sims(np.arange(count), np.array(left), np.array(expiry), np.array(auto), np.ones(count))


def test_what_runs_out_or_expires_is_out_and_automatic_top_ups_are_paid() -> None:
    wanted = np.ones((3, 30))
    done = replay(wanted, sims([20, 5, 100], [np.inf, np.inf, 25], [False, True, False]), PRICES, nothing)
    # the second is bought 50 at once, since less than a fifth of a top-up is left, and once more never
    assert (done.paid, done.outage_days) == (100, 10 + 0 + 5)
    assert done.kept == 25 * 100 / 50, "half of the 50 is left, and will be used"
    assert done.cost(PRICES) == 100 - 50 + 15 * 7


@pytest.mark.parametrize(("action", "paid", "out"), [("top_up", 101, 5), ("extend", 31, 10)])
def test_an_action_is_done_at_its_month_and_paid(action: str, paid: int, out: int) -> None:
    place = next(k for k, one in enumerate(ACTIONS) if one.kind == action and one == Action(one.kind))

    def once(month: int, now: Sims) -> npt.NDArray[np.int64]:
        return np.array([place if month == 0 else 0])

    done = replay(np.ones((1, 30)), sims([20], [25], [False]), PRICES, once)
    assert (done.paid, done.outage_days) == (paid, out)


def test_less_than_a_month_cannot_be_replayed() -> None:
    with pytest.raises(ValueError, match="30 days or more"):
        replay(np.ones((1, 29)), sims([20], [25], [False]), PRICES, nothing)


def test_volume_that_is_left_is_worth_nothing_to_a_sim_that_is_idle_or_expired() -> None:
    top_up = next(k for k, one in enumerate(ACTIONS) if one == Action("top_up"))
    wanted = np.array([[1.0] * 30, [0.0] * 30, [1.0] * 30])
    done = replay(wanted, sims([0, 0, 0], [np.inf, np.inf, 20], [False] * 3), PRICES, lambda *_: np.full(3, top_up))
    assert (done.paid, done.kept) == (3 * 101, 20 * 100 / 50)
