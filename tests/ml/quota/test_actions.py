"""What actions cost: known cases, a slow twin, and the futures by month."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from ml.history import BYTES_PER_MB
from ml.quota.actions import ACTIONS, MONTHS, Action, Evaluation, Sims, Wanted, evaluate, play, realized_saving
from ml.quota.recommendations import RECOMMENDATION_SCHEMA, best, recommendations
from ml.quota.use import monthly_use, with_churn
from tests.ml.quota.cases import LIST, PACK, sims_of, steady

AS_OF = date(2026, 6, 30)


def chosen(use: np.ndarray, sims: Sims, **how: float) -> list[Action]:
    evaluation = evaluate(use, sims, LIST)
    return [ACTIONS[k] for k in best(evaluation, **how)]


def test_each_sim_gets_the_action_that_its_future_asks_for() -> None:
    use = steady([10, 10, 10, 10, 10])
    sims = sims_of([500, 5, 15, 25, -1])
    # runs out never, in month 1, 2, 3, has run out
    found = chosen(use, sims)
    assert found[0] == Action("nothing")
    assert [action.month for action in found[1:]] == [1, 2, 3, 1]
    assert {action.kind for action in found[1:4]} == {"top_up"}


def test_a_device_that_sends_no_more_gets_nothing_and_loses_its_automatic_top_up_only_if_that_costs() -> None:
    use = steady([0, 0])
    assert chosen(use, sims_of([1, -5])) == [Action("nothing")] * 2
    assert chosen(use, sims_of([50, 50], auto=True))[0].kind == "auto_top_up_off"
    assert chosen(use, sims_of([400, 400], auto=True))[0].kind == "nothing"


def test_an_outage_that_is_cheaper_than_its_cure_is_left_unless_the_risk_is_limited() -> None:
    use = steady([1])
    use[:, :, 2:] = 0  # two more months, one message a month
    sims = sims_of([0.5], active=1 / 30)
    assert chosen(use, sims)[0].kind == "nothing"
    assert chosen(use, sims, outage_limit=0.2)[0].kind != "nothing"


def test_a_sim_is_extended_in_the_month_of_its_expiry_and_a_dead_one_is_not() -> None:
    use = steady([10, 0])
    found = chosen(use, sims_of([400, 400], expiry=45))
    assert found == [Action("extend", 2), Action("nothing")]
    # both over: one card is cheaper than a top-up and an extension only where the work costs little
    cheap = replace(LIST, swap_work=100)
    evaluation = evaluate(steady([10]), sims_of([1], expiry=10), cheap)
    assert ACTIONS[int(best(evaluation)[0])].kind == "swap"


def test_a_price_by_the_month_retires_what_sends_no_more() -> None:
    monthly = replace(LIST, recurring=100)
    evaluation = evaluate(steady([0, 10]), sims_of([100, 400]), monthly)
    assert [ACTIONS[k].kind for k in best(evaluation)] == ["retire", "nothing"]
    assert evaluation.saving[0, len(ACTIONS) - 1] == 1200


def test_a_lower_limit_is_offered_only_where_a_sim_can_have_one() -> None:
    use, sims = steady([900]), sims_of([400], auto=True)
    k = [action.kind for action in ACTIONS].index("lower_limit")
    assert not evaluate(use, sims, LIST).possible[0, k]
    limited = replace(sims, limit=np.array([90.0 * BYTES_PER_MB]))
    found = evaluate(use, limited, replace(LIST, outage_day=1))
    assert found.possible[0, k]
    assert found.saving[0, k] > 0


def test_an_unknown_quota_gets_nothing_but_the_word() -> None:
    sims = sims_of([np.nan])
    evaluation = evaluate(steady([10]), sims, LIST)
    frame = recommendations(evaluation, sims, best(evaluation), as_of=AS_OF, currency="EUR")
    assert frame["action"].to_list() == ["nothing"]
    assert "unknown" in frame["reason"][0]


def test_a_recommendation_says_what_why_and_until_when() -> None:
    use = steady([10, 10, 10], samples=10)
    use[1, 5:] = 0
    sims = sims_of([5, 5, 400])
    evaluation = evaluate(use, sims, LIST)
    frame = recommendations(evaluation, sims, best(evaluation), as_of=AS_OF, currency="EUR")
    assert dict(frame.schema) == RECOMMENDATION_SCHEMA
    assert frame["action"].to_list() == ["top_up", "top_up", "nothing"]
    assert frame["probability"].to_list() == [1.0, 0.5, 0.0]
    assert frame["saving_p10"][1] < 0 < frame["saving_p90"][1]
    assert frame["valid_until"][0] > AS_OF
    assert "probability of 100 %" in frame["reason"][0]
    assert "saves" in frame["reason"][0]
    assert frame["month"].to_list() == [1, 1, None]


def slow_cost(use: np.ndarray, left: float, auto: bool, action: Action) -> tuple[float, float]:
    """One path of a SIM that never expires, month by month, as a person would reckon it."""
    paid = outage = 0.0
    auto = (auto or action.kind == "auto_top_up_on") and action.kind != "auto_top_up_off"
    for month in range(MONTHS):
        if action.kind == "top_up" and action.month == month + 1:
            paid += 1000 * action.packs
            left += PACK * action.packs
        while auto and left - use[month] < 0.2 * PACK:
            left += PACK
            paid += 1000
        if use[month] > max(left, 0):
            outage += 30 * (1 - max(left, 0) / use[month])
        left -= min(use[month], max(left, 0))
    later, months = use[MONTHS:].sum(), (use[MONTHS:] > 0).sum()
    missing = max(later - max(left, 0), 0)
    packs = -(-missing // PACK)
    tail = min(packs * 1000, 200 * 30 * months * missing / later) if later else 0
    return paid + 200 * outage + tail, outage


def test_all_paths_at_once_cost_what_one_costs_reckoned_by_hand() -> None:
    rng = np.random.default_rng(5)
    use = np.floor(rng.gamma(0.7, 150, (12, 9, 12)) * (rng.random((12, 9, 12)) < 0.8)) * BYTES_PER_MB
    left = rng.uniform(-20, 900, 12).round(1)
    for auto in (False, True):
        sims = sims_of(left.tolist(), auto=auto)
        for action in (a for a in ACTIONS if a.kind in ("nothing", "top_up", "auto_top_up_on", "auto_top_up_off")):
            found = play(Wanted.of(use), sims, LIST, action)
            for row in range(12):
                for path in range(9):
                    cost, outage = slow_cost(use[row, path], left[row] * BYTES_PER_MB, auto, action)
                    assert found.cost[row, path] == pytest.approx(cost)
                    assert found.outage_days[:, row, path].sum() == pytest.approx(outage, abs=1e-4)


def test_blocks_of_sims_give_what_all_together_give() -> None:
    use, sims = steady([10, 20, 600, 0]), sims_of([5, 30, 100, 1])
    whole = evaluate(use, sims, LIST)
    parts = [evaluate(use[rows], sims.take(rows), LIST) for rows in (slice(0, 1), slice(1, 4))]
    stacked = Evaluation.stacked(parts)
    for name in ("cost", "spend", "possible", "saving_p10", "outage_p"):
        np.testing.assert_array_equal(getattr(stacked, name), getattr(whole, name))


def test_where_the_future_is_certain_the_saving_comes_true() -> None:
    use, sims = steady([10, 50, 10]), sims_of([5, 100, 400])
    evaluation = evaluate(use, sims, LIST)
    choice = best(evaluation)
    realized = realized_saving(use[:, 0], sims, LIST, choice)
    np.testing.assert_allclose(realized, evaluation.saving[np.arange(3), choice])
    assert realized[0] > 0


def test_months_are_sums_of_days_and_of_shares_of_steps() -> None:
    paths, later = np.ones((1, 1, 30)), np.array([[[28.0, 28.0]]])
    months = monthly_use(paths, later, [14, 14], months=4)
    np.testing.assert_allclose(months[0, 0], [30, 56 + 2 * 2, 60, 60])
    np.testing.assert_allclose(monthly_use(paths, np.empty((1, 1, 0)), [], months=3)[0, 0], [30, 30, 30])
    with pytest.raises(ValueError, match="later"):
        monthly_use(paths, later, [14])


def test_churn_ends_as_many_futures_as_its_risk_says_and_not_those_that_stopped_anyway_twice() -> None:
    use = steady([10, 10, 10], samples=100)
    use[1, :20] = 0
    ended = (with_churn(use, [0.3, 0.3, np.nan])[:, :, 2] == 0).mean(axis=1)
    assert ended == pytest.approx([0.3, 0.3, 0], abs=0.03)
    with pytest.raises(ValueError, match="probability"):
        with_churn(use, [0.3, 2, 0])


def test_futures_that_cannot_be_are_refused_by_name() -> None:
    use = steady([10, 10])
    use[1, 0, 0] = np.nan
    with pytest.raises(ValueError, match="use of SIM 1 is negative, infinite or NaN"):
        evaluate(use, sims_of([1, 1]), LIST)
    with pytest.raises(ValueError, match="one value a SIM"):
        replace(sims_of([1, 1]), left=np.ones(3))
