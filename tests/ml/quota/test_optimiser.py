"""The fleet's choice: against brute force, against the bound, in time, and where the budget does not suffice."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.sparse import csr_matrix

from ml.quota import optimiser
from ml.quota.actions import Action, Evaluation
from ml.quota.optimiser import optimise
from ml.quota.recommendations import with_limit


def made(sims: int, seed: int, actions: int = 6, months: int = 3) -> Evaluation:
    """Random figures in which what costs money lowers risk and cost, as buying does."""
    rng = np.random.default_rng(seed)
    spend = rng.integers(0, 2000, (sims, actions, months)) * (rng.random((sims, actions, months)) < 0.5)
    spend = spend.astype(np.float64)
    spend[:, 0] = 0
    cost = 4000 - spend.sum(axis=2) * rng.uniform(0, 2, (sims, actions)) + rng.uniform(0, 1000, (sims, actions))
    risk = rng.uniform(0, 0.6, (sims, actions))
    risk[:, 0] = rng.uniform(0, 1, sims)
    zero = np.zeros_like(cost)
    kinds = (Action("nothing"), *(Action("top_up", 1, k) for k in range(1, actions)))
    possible = np.ones(cost.shape, dtype=bool)
    return Evaluation(kinds, cost, zero, zero, zero, zero, zero, risk, spend, possible, risk[:, 0])


def brute_force(evaluation: Evaluation, budget: list[float], limit: float) -> float:
    """The least cost of all choices there are; inf where none is allowed."""
    best = np.inf
    sims, actions = evaluation.cost.shape
    for choice in itertools.product(range(actions), repeat=sims):
        rows = np.arange(sims)
        risk = evaluation.outage_p[rows, choice]
        allowed = risk <= np.maximum(limit, evaluation.outage_p.min(axis=1))
        if allowed.all() and (evaluation.spend[rows, choice].sum(axis=0) <= budget).all():
            best = min(best, evaluation.cost[rows, choice].sum())
    return float(best)


@pytest.mark.parametrize("seed", range(6))
def test_a_tiny_fleet_gets_the_very_best_choice(seed: int) -> None:
    evaluation = made(5, seed, actions=4, months=2)
    for budget in ([1500.0, 1500.0], [4000.0, 300.0], [0.0, 0.0]):
        best = brute_force(evaluation, budget, 0.4)
        found = optimise(evaluation, budget=budget, outage_limit=0.4)
        assert (found.status == "ok") == np.isfinite(best)
        if found.status == "ok":
            assert found.cost == pytest.approx(best)
            assert found.bound <= best + 1e-6
        assert (found.spend <= np.array(budget) + 1e-6).all()


def test_a_budget_that_nobody_needs_has_no_price() -> None:
    evaluation = made(300, 1)
    found = optimise(evaluation, budget=[None, 1e9, 1e9])
    assert found.status == "ok"
    assert found.cost == pytest.approx(float(evaluation.cost.min(axis=1).sum()))
    assert not found.shadow_price.any()


def test_the_shadow_price_is_what_more_budget_saves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimiser, "EXACT_SIMS", 1000)
    evaluation = made(1500, 2)
    free = optimise(evaluation).spend
    budget = free * 0.6
    found = optimise(evaluation, budget=budget.tolist())
    more = optimise(evaluation, budget=[budget[0] + 5_000, budget[1], budget[2]])
    assert found.gap < 1e-3
    assert found.shadow_price[0] > 0
    assert (found.bound - more.bound) / 5_000 == pytest.approx(found.shadow_price[0], rel=0.15)


def relaxation(cost: np.ndarray, spend: np.ndarray, budget: list[float]) -> float:
    """Value of the linear relaxation, with a column for every SIM and action that is allowed."""
    sims, actions = np.nonzero(np.isfinite(cost))
    one = csr_matrix((np.ones(sims.size), (sims, np.arange(sims.size))))
    paid = csr_matrix(spend[sims, actions].T)
    found = linprog(cost[sims, actions], A_ub=paid, b_ub=budget, A_eq=one, b_eq=np.ones(len(cost)), method="highs")
    return float(found.fun)


def test_a_large_fleet_is_within_a_thousandth_of_the_bound_which_is_the_relaxation_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(optimiser, "EXACT_SIMS", 1000)
    evaluation = made(1500, 3)
    budget = (optimise(evaluation, outage_limit=0.25).spend * [0.8, 0.7, 0.9]).tolist()
    found = optimise(evaluation, budget=budget, outage_limit=0.25)
    assert found.status == "ok"
    assert found.gap < 1e-3
    assert (found.spend <= np.array(budget) + 1e-6).all()
    allowed = with_limit(evaluation, 0.25)
    assert found.bound == pytest.approx(relaxation(allowed, evaluation.spend, budget), rel=1e-7)


def test_a_budget_too_small_for_the_limits_says_who_stays_above_and_buys_what_helps_most() -> None:
    evaluation = made(200, 4)
    spend, risk = evaluation.spend.copy(), evaluation.outage_p.copy()
    risk[:, 0], risk[:, 1:] = 0.9, 0.1
    spend[:, 1:, 0] = np.arange(1, 201)[:, None] * 10
    evaluation = Evaluation(**vars(evaluation) | {"spend": spend, "outage_p": risk})
    found = optimise(evaluation, budget=[5000.0, 1e9, 1e9], outage_limit=0.25)
    assert found.status == "over_budget"
    assert "does not hold every SIM's limit" in found.note
    assert found.spend[0] <= 5000
    assert 0 < found.above_limit.sum() < 200
    # the cheapest to save are saved
    assert found.above_limit[100:].all()
    assert not found.above_limit[:25].any()
    assert set(found.bought_first.tolist()) == set(np.flatnonzero(~found.above_limit).tolist())


def test_a_budget_below_what_cannot_be_avoided_is_said_in_words() -> None:
    evaluation = made(20, 5)
    evaluation = Evaluation(**vars(evaluation) | {"spend": evaluation.spend + 500.0})
    found = optimise(evaluation, budget=[100.0, 1e9, 1e9])
    assert found.status == "over_budget"
    assert "in month 1" in found.note


def test_a_budget_of_another_length_or_below_zero_is_refused() -> None:
    for budget in ([1.0], [1.0, -1.0, 1.0], [float("nan")] * 3):
        with pytest.raises(ValueError, match="the budget is"):
            optimise(made(3, 0), budget=budget)
    with pytest.raises(ValueError, match="outage limit"):
        optimise(made(3, 0), outage_limit=1.5)


def test_an_empty_fleet_needs_nothing() -> None:
    found = optimise(made(0, 0), budget=[0.0, 0.0, 0.0])
    assert found.cost == 0
    assert found.choice.size == 0


def test_a_hundred_thousand_sims_take_less_than_ten_seconds() -> None:
    evaluation = made(100_000, 6)
    budget = (optimise(evaluation, outage_limit=0.25).spend * [0.6, 0.8, 0.7]).tolist()
    begun = time.process_time()
    found = optimise(evaluation, budget=budget, outage_limit=0.25)
    assert time.process_time() - begun < 10  # 1.7 s on a machine with other work
    assert found.status == "ok"
    assert found.gap < 1e-3
