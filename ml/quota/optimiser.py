"""What to do for the whole fleet, at least cost within each month's budget and each SIM's limit of risk.

A SIM's limit of risk leaves it some of its actions; of these one is chosen, so that the months' budgets suffice: a
multiple-choice knapsack with a constraint a month. Its linear relaxation splits at most as many SIMs as there are
budgets, and its dual has one price a budget: found by cutting planes, each a small linear program for HiGHS, it gives
the relaxation's value without a column for every SIM and action. At these prices each SIM decides for itself; an
integer program settles the split SIMs and those that are nearly undecided. A small fleet is solved as a whole.

Sources: linear relaxation and bound of the multiple-choice knapsack (Sinha and Zoltners 1979); cutting planes of the
dual (Kelley 1960), within a box (Marsten, Hogan and Blankenship 1975); HiGHS by `scipy.optimize` (Huangfu and Hall
2018).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ml.history import FloatArray, IntArray
from ml.quota.actions import Evaluation
from ml.quota.recommendations import with_limit

EXACT_SIMS = 5_000
# Below so many SIMs the integer program is solved to the end whatever the bound says.
SMALL = 200
# SIMs that the integer program of a large fleet may decide anew.
FREE_SIMS = 60
MOST_CUTS = 500
# How far from the best an integer program may end, as a share of the fleet's cost, and how long it may take.
GAP, NEAR = 1e-4, 1e-4
EXACT_SECONDS, REPAIR_SECONDS = 5.0, 2.0
# The highest price of a minor unit that is looked at.
OVER_BUDGET = 1e5


@dataclass(frozen=True, eq=False)
class FleetChoice:
    """One action a SIM, and what the budgets did.

    status         "ok"; "over_budget": within the budgets not every SIM can keep its limit of risk, or not even the
                   cheapest of everything is within them
    note           the same in words: what is bought first, which SIMs stay above their limit, or what is lacking
    choice         (sims,) index of the action
    cost           expected cost of the fleet, minor units
    bound          no choice within the budgets and limits costs less; `gap` is how far the cost is above, as a share
    spend          (months,) expected money in each month
    shadow_price   (months,) what one minor unit more of a month's budget would save; 0 where it is not used up
    above_limit    (sims,) whether the chosen action has a higher risk of an outage than the limit
    bought_first   indices of SIMs for which money is spent, those first that gain most by it
    """

    status: str
    note: str
    choice: IntArray
    cost: float
    bound: float
    spend: FloatArray
    shadow_price: FloatArray
    above_limit: npt.NDArray[np.bool_]
    bought_first: IntArray

    @property
    def gap(self) -> float:
        """Cost above the bound, as a share of it; at least 0."""
        return max(self.cost - self.bound, 0.0) / max(abs(self.bound), 1.0)


def optimise(
    evaluation: Evaluation,
    *,
    budget: Sequence[float | None] | None = None,
    outage_limit: float = 1.0,
) -> FleetChoice:
    """The cheapest choice for the fleet.

    budget        expected money that each month of decision may take, minor units; None: as much as it needs
    outage_limit  largest accepted probability of an outage of a SIM in the months of decision; a SIM that no action
                  brings so low takes the one with the least

    A budget that cannot hold every limit is an answer and no error: limits give way, where that spares the most money
    for the risk that it leaves, and the note says so. Raises ValueError for a budget of another length or below zero.
    """
    months = evaluation.spend.shape[2]
    limits = np.array([math.inf if one is None else one for one in budget or [None] * months], dtype=np.float64)
    if limits.size != months or np.isnan(limits).any() or (limits < 0).any():
        raise ValueError(
            f"the budget is {budget}; needed is an amount of 0 or more for each of {months} months, or None"
        )
    kept = with_limit(evaluation, outage_limit)
    choice, bound, price = solve(kept, evaluation.spend, limits)
    if choice is not None:
        return _answer(evaluation, choice, "ok", kept, bound, price, limits, outage_limit)
    # Limits give way: risk beyond them costs more than any money could save, so as little of it as possible is left.
    excess = np.maximum(evaluation.outage_p - outage_limit, 0)
    worth = 10 * float(np.abs(evaluation.cost[evaluation.possible]).max()) + 1
    soft = np.where(evaluation.possible, evaluation.cost + worth * excess, np.inf)
    choice, bound, price = solve(soft, evaluation.spend, limits)
    if choice is None:
        paid = np.where(evaluation.possible, evaluation.spend.sum(axis=2), np.inf)
        choice, bound, price = np.argmin(paid, axis=1), math.nan, np.full(months, math.nan)
    else:
        # The price of the softened problem weighs risk, not money: it is no saving that anybody would see.
        bound, price = math.nan, np.full(months, math.nan)
    return _answer(evaluation, choice, "over_budget", soft, bound, price, limits, outage_limit)


def solve(cost: FloatArray, spend: FloatArray, budget: FloatArray) -> tuple[IntArray | None, float, FloatArray]:
    """The cheapest choice of one action a SIM within the budgets, a lower bound of its cost, and the budgets' prices.

    cost    (sims, actions) infinite for what may not be chosen; each SIM has one finite
    spend   (sims, actions, months); budget (months,), inf for none
    The choice is None where the budgets hold none.
    """
    rows = np.arange(len(cost))
    free = np.argmin(cost, axis=1)
    binding = np.flatnonzero(np.isfinite(budget))
    if (spend[rows, free].sum(axis=0) <= budget + 1e-6).all():
        return free, float(cost[rows, free].sum()), np.zeros(budget.size)
    paid = spend[:, :, binding].astype(np.float64)
    held = budget[binding]
    prices, bound = _prices(cost, paid, held)
    price = np.zeros(budget.size)
    price[binding] = prices
    # No choice costs more than the dearest of everything: a higher bound says that the budgets hold none.
    if bound > float(np.where(np.isfinite(cost), cost, -np.inf).max(axis=1).sum()) + 1.0:
        return None, math.nan, price
    choice = _repaired(cost, paid, held, prices)
    near = choice is not None and float(cost[rows, choice].sum()) - bound <= NEAR * abs(bound)
    if len(cost) < EXACT_SIMS and (len(cost) < SMALL or not near):
        exact = _integer(cost, paid, held, EXACT_SECONDS, min(GAP, len(cost) / 1e7))
        found = [one for one in (choice, exact) if one is not None]
        choice = min(found, key=lambda one: float(cost[rows, one].sum()), default=None)
    return choice, bound, price


def _prices(cost: FloatArray, paid: FloatArray, held: FloatArray) -> tuple[FloatArray, float]:
    """The budgets' prices in the linear relaxation, and its value: the highest Lagrangian bound.

    Each bound found cuts off prices that cannot be better; a linear program of a few rows says where to look next,
    within a box around the best so far.
    """
    from scipy.optimize import linprog

    rows, months = np.arange(len(cost)), held.size
    centre, width, best = np.zeros(months), np.ones(months), -math.inf
    slopes: list[FloatArray] = []
    heights: list[float] = []
    at = centre
    for _ in range(MOST_CUTS):
        reduced = cost + paid @ at
        chosen = np.argmin(reduced, axis=1)
        value = float(reduced[rows, chosen].sum() - at @ held)
        slopes.append(paid[rows, chosen].sum(axis=0) - held)
        heights.append(value - float(slopes[-1] @ at))
        if value > best:
            best, centre = value, at
        low, high = np.maximum(centre - width, 0), np.minimum(centre + width, OVER_BUDGET)
        rules = np.column_stack([-np.array(slopes), np.ones(len(slopes))])
        bounds = [*zip(low, high, strict=True), (None, None)]
        found = linprog(np.append(np.zeros(months), -1.0), A_ub=rules, b_ub=heights, bounds=bounds, method="highs")
        if found.x is None:
            break
        at = np.asarray(found.x[:-1], dtype=np.float64)
        touched = (at >= high - 1e-9) & (high < OVER_BUDGET) | (at <= low + 1e-9) & (low > 0)
        if found.x[-1] - best <= 1e-9 * max(abs(best), 1.0) and not touched.any():
            break
        width = np.where(touched, 2 * width, width)
    return centre, best


def _repaired(cost: FloatArray, paid: FloatArray, held: FloatArray, prices: FloatArray) -> IntArray | None:
    """A choice within the budgets: each SIM's best at the prices, the nearly undecided by an integer program."""
    reduced = cost + paid @ prices
    choice = np.asarray(np.argmin(reduced, axis=1), dtype=np.int64)
    rows = np.arange(len(cost))
    two = np.partition(reduced, 1, axis=1)
    nearest = np.argsort(two[:, 1] - two[:, 0], kind="stable")
    size = FREE_SIMS
    while size < 8 * EXACT_SIMS:
        free = nearest[:size]
        others = np.ones(len(cost), dtype=bool)
        others[free] = False
        rest = held - paid[rows[others], choice[others]].sum(axis=0)
        if (rest >= 0).all() or size > EXACT_SIMS:
            whole, part = (abs(float(reduced[some].min(axis=1).sum())) for some in (rows, free))
            found = _integer(cost[free], paid[free], rest, REPAIR_SECONDS, min(GAP * whole / max(part, 1.0), 0.1))
            if found is not None:
                choice[free] = found
                return choice
        size *= 4
    return None


def _integer(cost: FloatArray, paid: FloatArray, held: FloatArray, seconds: float, gap: float) -> IntArray | None:
    """One action a SIM, by an integer program; None where the budgets hold none, or none was found in the time."""
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_matrix

    sims, actions = np.nonzero(np.isfinite(cost))
    count = sims.size
    one = csr_matrix((np.ones(count), (sims, np.arange(count))), shape=(len(cost), count))
    rules: list[Any] = [LinearConstraint(one, 1, 1)]
    rules.append(LinearConstraint(csr_matrix(paid[sims, actions].T), -np.inf, held))
    found = milp(
        cost[sims, actions],
        constraints=rules,
        integrality=np.ones(count),
        bounds=Bounds(0, 1),
        options={"mip_rel_gap": gap, "time_limit": seconds},
    )
    if found.x is None:
        return None
    share = np.zeros_like(cost)
    share[sims, actions] = found.x
    return np.asarray(np.argmax(share, axis=1), dtype=np.int64)


def _answer(
    evaluation: Evaluation,
    choice: IntArray,
    status: str,
    weighed: FloatArray,
    bound: float,
    price: FloatArray,
    budget: FloatArray,
    outage_limit: float,
) -> FleetChoice:
    rows = np.arange(choice.size)
    paid = evaluation.spend[rows, choice]
    above = evaluation.outage_p[rows, choice] > outage_limit + 1e-9
    # What money does for a SIM: cost (or risk, where limits gave way) without any, against that with it.
    unpaid = np.where(evaluation.spend.sum(axis=2) <= 1e-9, weighed, np.inf).min(axis=1)
    gain = np.where(np.isfinite(unpaid), unpaid, 1e18) - weighed[rows, choice]
    bought = np.flatnonzero(paid.sum(axis=1) > 1e-9)
    first = bought[np.argsort(-gain[bought] / paid[bought].sum(axis=1), kind="stable")]
    total, spent = float(evaluation.cost[rows, choice].sum()), paid.sum(axis=0)
    over = np.flatnonzero(spent > budget + 1e-6)
    held = int(above.sum())
    if status == "ok":
        note = f"Each SIM's cheapest choice within its limit of risk fits the budget; {held} stay above the limit."
        if price.any():
            note = (
                f"The budget is used up; {held} SIM(s) stay above the limit of risk since no action brings them lower."
            )
    elif over.size:
        lacking = ", ".join(f"{(spent - budget)[m] / 100:,.2f} in month {m + 1}" for m in over)
        note = f"Even the cheapest choice for every SIM is over the budget, by {lacking}; nothing more can be bought."
    else:
        note = (
            f"The budget does not hold every SIM's limit of risk: {held} SIM(s) stay above it. Bought is first what "
            f"lowers the risk most for its money: for {first.size} SIM(s)."
        )
    return FleetChoice(status, note, choice, total, bound, spent, price, above, first)
