"""Fleets of the field's kinds: the same for the same seed, clean but for what is recorded, and in parts."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from simulator.field import EVENTS, FieldFleet
from simulator.field_kinds import DRAWN, FIELD_KINDS, drawn_kinds

FIRST = date(2025, 9, 1)


@pytest.mark.parametrize("half", ["A", "B", "C", "D"])
def test_what_is_recorded_is_all_that_is_done_to_a_fleet(half: str) -> None:
    faulty = FieldFleet(5, 400, half, faulty=True, first=FIRST)
    clean = replace(faulty, faulty=False)
    assert_frame_equal(faulty.history, FieldFleet(5, 400, half, faulty=True, first=FIRST).history)
    assert not clean.events_done
    assert clean.clean == set(range(400))
    done = {sim for sim, *_ in faulty.events_done}
    other = pl.col("sim_key").is_in(sorted(done)).not_()
    for name in ("history", "events"):
        assert_frame_equal(getattr(faulty, name).filter(other), getattr(clean, name).filter(other))
    assert {kind for _, kind, *_ in faulty.events_done} == {*EVENTS, "firmware_loop", "outage"}


def test_the_halves_share_no_kind_and_each_kind_is_odd_in_its_own_way() -> None:
    assert len({kind.name for kind in FIELD_KINDS}) == len(FIELD_KINDS) >= 14
    fleet = FieldFleet(5, 700, "B", faulty=False, first=FIRST)
    names = np.array([fleet.kinds[number].name for number in fleet.of_kind])
    sent = np.zeros((700, fleet.days), bool)
    day = (fleet.history["day"] - FIRST).dt.total_days().to_numpy()
    sent[fleet.history["sim_key"].to_numpy(), day] = fleet.history["bytes"].to_numpy() > 0
    christmas = (date(2025, 12, 25) - FIRST).days
    assert not sent[names == "vending_machine", christmas].any()
    assert sent[names == "gateway", christmas].mean() > 0.9
    at_sea = sent[names == "container"]
    assert np.lib.stride_tricks.sliding_window_view(~at_sea, 6, axis=1).all(axis=2).any(axis=1).mean() > 0.5
    assert sent[names == "elevator"].mean() < 0.4


def test_kinds_of_half_d_are_drawn_by_the_seed() -> None:
    assert len(drawn_kinds(5)) == DRAWN
    assert drawn_kinds(5) == drawn_kinds(5) != drawn_kinds(6)
    assert FieldFleet(5, 70, "D", faulty=False, first=FIRST).kinds == list(drawn_kinds(5))


def test_screens_of_a_company_take_its_content_together_and_machines_rest_in_bad_weather() -> None:
    fleet = FieldFleet(5, 400, "C", faulty=False, first=FIRST)
    names = np.array([fleet.kinds[number].name for number in fleet.of_kind])
    day = (fleet.history["day"] - FIRST).dt.total_days().to_numpy()
    volume = np.zeros((400, fleet.days))
    volume[fleet.history["sim_key"].to_numpy(), day] = fleet.history["bytes"].to_numpy()
    screens = volume[(names == "digital_signage") & (fleet.company == fleet.company[names == "digital_signage"][0])]
    many = (screens > 2.5 * np.median(screens, axis=1)[:, None]).mean(axis=0)
    assert 2 <= (many > 0.8).sum() <= 8, "four campaigns of two days, some of them on a day on which all are closed"
    machines = names == "construction_machine"
    still = [(volume[machines & (fleet.operator == region)] == 0).all(axis=0) for region in range(2)]
    assert (still[0] & ~still[1]).any()


def test_a_battery_that_declines_reports_ever_more_rarely() -> None:
    fleet = FieldFleet(5, 400, "A", faulty=True, first=FIRST)
    sim, _, first, last = next(
        event for event in fleet.events_done if event[1] == "battery" and fleet.of_kind[event[0]] in (0, 3)
    )
    day = (fleet.history.filter(sim_key=sim)["day"] - FIRST).dt.total_days().to_numpy()
    gaps = np.diff(day[(day >= first) & (day <= last)])
    assert gaps[0] <= 2
    assert gaps[-1] >= 4
