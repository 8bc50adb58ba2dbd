"""The fleet's money: zombies, too much volume, expiries, next year, plans; and its pictures."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl
import pytest

from ml.history import BYTES_PER_MB
from ml.plots.quota import plot_cost_outage, plot_savings
from ml.quota.actions import evaluate
from ml.quota.fleet_view import compare_plans, expiries, next_year, over_provisioned, zombies
from ml.quota.prices import PriceList, PriceListError
from ml.quota.recommendations import best, recommendations
from tests.ml.quota.cases import LIST, PACK, PRICES, sims_of, steady

AS_OF = date(2026, 6, 30)


def test_a_zombie_uses_nothing_and_costs() -> None:
    facts = pl.DataFrame(
        {
            "sim_key": [1, 2, 3, 4],
            "idle_days": [200, 89, 90, 300],
            "left": [100 * BYTES_PER_MB, PACK, -5, 400 * BYTES_PER_MB],
            "auto_top_up": [False, False, False, True],
        }
    )
    found = zombies(facts, LIST)
    assert found.select("sim_key", "bound").rows() == [(4, 800.0), (1, 200.0)]
    assert zombies(facts, replace(LIST, recurring=50))["sim_key"].to_list() == [4, 1, 3]


def test_a_group_that_needs_less_than_half_of_what_it_has_is_over_provisioned() -> None:
    sims = sims_of([500, 500, 100, np.nan], expiry=10 * 30)
    found = over_provisioned(steady([1, 1, 9, 9]), sims, pl.Series(["a", "a", None, "b"]), LIST)
    assert found.select("group", "sims", "over_provisioned").rows() == [("a", 2, True), ("other", 1, False)]
    assert found["bound"][0] == pytest.approx(980 * LIST.per_mb)


def test_expiries_are_counted_by_month_and_only_those_in_use_would_be_extended() -> None:
    sims = replace(sims_of([1, 1, 1, 1]), expiry_days=np.array([40.0, 41.0, np.inf, -3.0]))
    found = expiries(steady([5, 0, 5, 5]), sims, LIST, as_of=AS_OF)
    assert found.height == 12
    assert found.filter(pl.col("sims") > 0).rows() == [(date(2026, 8, 1), 2, 1, 1000.0)]


def test_next_year_buys_what_will_be_missing_in_its_month() -> None:
    sims = replace(sims_of([400, 50]), expiry_days=np.array([np.inf, 95.0]))
    found = next_year(steady([100, 10]), sims, replace(LIST, recurring=10))
    assert found.filter(pl.col("top_ups") > 0).select("month", "top_ups").rows() == [
        (5, 1000.0),
        (6, 1000.0),
        (10, 1000.0),
    ]
    assert found.filter(pl.col("extensions") > 0)["month"].to_list() == [4]
    assert found["cost"].sum() == 4000 + 12 * 2 * 10
    assert found["cost_p10"].to_list() == found["cost_p90"].to_list()


def test_plans_are_compared_on_the_same_use() -> None:
    plans = [
        {"model": "lifetime", "one_time": 1000, "volume": PACK, "validity_months": 120},
        {"model": "pool", "recurring": 50, "volume": 5 * BYTES_PER_MB, "per_mb": 10.0},
        {"model": "pay_as_you_go", "recurring": 20, "per_mb": 5.0},
    ]
    prices = PriceList.of(PRICES | {"plans": plans})
    found = compare_plans(steady([1, 10]), prices)
    costs = dict(found.select("model", "cost").rows())
    assert costs["pay_as_you_go"] == pytest.approx(12 * (2 * 20 + 11 * 5))
    assert costs["pool"] == pytest.approx(12 * (2 * 50 + 1 * 10))
    assert costs["lifetime"] == pytest.approx(2 * 1000 / 10 + (120 - 50) * 2)
    assert found.filter("cheapest")["model"].to_list() == ["lifetime"]
    with pytest.raises(PriceListError, match="plans are missing"):
        compare_plans(steady([1]), LIST)


def test_pictures_can_be_drawn_with_and_without_recommendations() -> None:
    use, sims = steady([10, 10, 600]), sims_of([5, 400, 100])
    evaluation = evaluate(use, sims, LIST)
    frame = recommendations(evaluation, sims, best(evaluation), as_of=AS_OF, currency="EUR")
    for rows in (frame, frame.clear()):
        for plot in (plot_savings, plot_cost_outage):
            figure = plot(rows, currency="EUR", note="synthetic data")
            figure.savefig(io.BytesIO(), format="png")
            texts = " ".join(text.get_text() for text in figure.findobj(lambda one: hasattr(one, "get_text")))
            assert "could not be drawn" not in texts
            assert "synthetic data" in texts
