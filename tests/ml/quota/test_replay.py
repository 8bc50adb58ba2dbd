"""The ledger that the savings benchmark replays fleets with agrees with the simulator's own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from benchmarks.savings import DATA_QUOTA, Demand, Replay, by_rules, price_list


def test_the_replay_s_ledger_ends_where_the_simulator_s_ends() -> None:
    demand = Demand(seed=11, sims=150, months=3)
    replay = Replay.begun(demand, price_list(500))
    for _ in range(3):
        replay.live()
    end = replay.as_of + timedelta(days=1)
    left, _ = demand.fleet.remaining(np.arange(150), datetime(end.year, end.month, end.day, tzinfo=UTC))
    automatic = demand.fleet.auto_topup & replay.active & (demand.expiry > 90)
    assert automatic.sum() >= 5
    # the simulator tops up in the middle of a day, so on the last one it may be one top-up behind
    off = np.abs(replay.left - left)[automatic]
    assert np.isin(off, [0, DATA_QUOTA]).all()
    assert (off == 0).mean() > 0.7
    by_hand = ~demand.fleet.auto_topup & replay.active & (left > 0) & (demand.expiry > 90) & (replay.left > 0)
    same = replay.left[by_hand] == left[by_hand]
    assert same.mean() > 0.95
    assert sum(replay.paid) % price_list(500).top_up.price == 0


def test_an_exhausted_sim_s_days_are_unknown_and_outage_days_are_days_on_which_it_wanted_to_send() -> None:
    demand = Demand(seed=11, sims=40, months=1)
    demand.left[:] = 0
    demand.fleet.auto_topup[:] = False
    demand.expiry[:] = 9_999
    replay = Replay.begun(demand, price_list(500))
    replay.live()
    assert np.isnan(replay.known[replay.active, -30:]).all()
    assert replay.outage_days == [int((demand.wanted[:, 330:360] > 0).sum())]
    assert replay.history().filter(pl.col("day") > replay.as_of - timedelta(days=30))["bytes"].null_count() > 0
    before = replay.left.copy()
    by_rules(replay)
    bought = replay.left > before
    assert bought.any()
    assert replay.spent == bought.sum() * replay.prices.top_up.price
