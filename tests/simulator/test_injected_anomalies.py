"""Clean fleets and fleets with further kinds of anomalies: in all that is not recorded they are the usual fleet."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from simulator.account import SimCards
from simulator.catalog import DEVICES
from simulator.events import sessions_of
from simulator.fleet import Fleet
from simulator.injected_anomalies import NAMES
from simulator.ledger import DAY_SECONDS
from simulator.truth import truth

START, DAYS = date(2026, 1, 1), 180


def fleet(scenario: str) -> Fleet:
    return Fleet(seed=21, sims=600, start=START, scenario=scenario)


def test_in_a_clean_fleet_nothing_was_done_and_the_usual_fleet_is_as_it_was() -> None:
    facts = truth(fleet("clean"), DAYS)["sims"]
    assert all(sim["clean"] and not sim["anomalies"] for sim in facts.values())
    usual = Fleet(seed=21, sims=600, start=START)
    rows = np.arange(600)
    used = usual.usage(rows, START, START + timedelta(days=DAYS - 1)).volume
    clean = fleet("clean").usage(rows, START, START + timedelta(days=DAYS - 1)).volume
    untouched = [i for i, sim in enumerate(truth(usual, DAYS)["sims"].values()) if sim["clean"]]
    assert len(untouched) > 300
    assert np.array_equal(used[untouched], clean[untouched])


def test_further_anomalies_are_recorded_and_touch_no_other_sim() -> None:
    usual, more = fleet("usual"), fleet("all")
    facts = truth(more, DAYS)["sims"]
    kinds = {
        i: {entry["kind"] for entry in sim["anomalies"]} & set(NAMES.values()) for i, sim in enumerate(facts.values())
    }
    assert set().union(*kinds.values()) == set(NAMES.values())
    rows, last = np.arange(600), START + timedelta(days=DAYS - 1)
    differs = (usual.usage(rows, START, last).volume != more.usage(rows, START, last).volume).any(axis=1)
    assert set(np.flatnonzero(differs)) <= {i for i, found in kinds.items() if "drift" in found}
    others = np.array([i for i, found in kinds.items() if not found])
    for one, other in zip(
        sessions_of(usual, others, START.toordinal(), last.toordinal()),
        sessions_of(more, others, START.toordinal(), last.toordinal()),
        strict=True,
    ):
        assert np.array_equal(one, other)


def test_a_changed_device_and_a_foreign_country_show_in_the_account() -> None:
    more = fleet("all")
    cards = SimCards(more)
    for i, sim in enumerate(truth(more, DAYS)["sims"].values()):
        for entry in sim["anomalies"]:
            first = date.fromisoformat(entry["first_day"]).toordinal()
            if entry["kind"] == "imei_change":
                assert cards.imei(i, first - 1) != cards.imei(i, first) == cards.imei(i, first + 30)
            if entry["kind"] == "unexpected_country":
                assert cards.location(i, first)[0][0] == "Morocco"
                assert cards.location(i, first - 1)[0][0] != "Morocco"


def test_devices_keep_their_hours_but_for_stray_days_and_unusual_hours_are_others() -> None:
    more = fleet("all")
    first, last = START.toordinal(), START.toordinal() + DAYS - 1
    which, begin, _ = sessions_of(more, np.arange(600), first, last)
    day, hour = begin // DAY_SECONDS, begin % DAY_SECONDS // 3600
    opens, hours = more.demand.opens[which], more.demand.hours[which]
    within = (hour >= opens) & (hour < opens + hours)
    odd = np.zeros(len(day), dtype=bool)
    for sim, facts in enumerate(truth(more, DAYS)["sims"].values()):
        for entry in facts["anomalies"]:
            span = [date.fromisoformat(entry[name]).toordinal() for name in ("first_day", "last_day")]
            here = (which == sim) & (day >= span[0]) & (day <= span[1])
            if entry["kind"] in ("firmware_loop", "flapping"):
                within[here] = True
            elif entry["kind"] == "unusual_hours":
                assert more.demand.hours[sim] < 24
                odd |= here
    assert 0.98 < within[~odd].mean() < 0.999
    assert 0 < within[odd].mean() < 0.5
    moved = odd & ~more.demand.always_active[which]
    assert moved.any()
    assert within[moved].mean() < 0.05


def test_in_ordinary_life_too_a_device_gives_way_to_one_of_its_type_or_to_its_successor() -> None:
    clean, everyone = fleet("clean"), np.arange(600)
    first, last = (SimCards(clean).imeis_on(everyone, np.full(600, START.toordinal() + day)) for day in (0, 2 * DAYS))
    other = first != last
    moved = other & (first // 100_000_000 != last // 100_000_000)
    assert 0 < moved.sum() < other.sum() < 60
    successors = np.array([int(tac) for _, tac, _ in DEVICES])[clean.demand.device | 1]
    assert np.array_equal((last // 100_000_000)[moved], successors[moved])


def test_another_scenario_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one of clean, usual, all"):
        fleet("odd")
