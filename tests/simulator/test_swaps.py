"""Devices that move to another SIM, in fleets of the scenario "ends" alone."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np

from simulator.account import SimCards
from simulator.fleet import Fleet
from simulator.hashing import NEVER
from simulator.truth import truth

START = date(2025, 1, 1)


def test_a_swapped_device_goes_on_with_another_sim_and_its_first_one_falls_silent() -> None:
    fleet, usual = (Fleet(seed=3, sims=300, start=START, scenario=name) for name in ("ends", "usual"))
    swap = fleet.demand.swap
    assert np.all(usual.demand.swap == NEVER)
    taken = np.flatnonzero(fleet.demand.given < NEVER)
    assert taken.size > 5
    cards = SimCards(fleet)
    for sim in taken[:5].tolist():
        giver, day = int(fleet.demand.giver[sim]), int(fleet.demand.given[sim])
        assert cards.imei(sim, day) == cards.imei(giver, day - 200) != cards.imei(sim, day - 1)
    gone = np.flatnonzero(swap < START.toordinal() + 300)
    after = date.fromordinal(int(swap[gone].max()))
    assert not fleet.usage(gone, after, after + timedelta(days=20)).volume.any()
    told = truth(fleet, 300)["sims"]
    assert {fleet.iccids[sim] for sim in gone} == {iccid for iccid, sim in told.items() if "swap" in sim}
    kept = np.flatnonzero(swap == NEVER)
    some = (kept[:80], START, START + timedelta(days=60))
    assert np.array_equal(fleet.usage(*some).volume, usual.usage(*some).volume)
