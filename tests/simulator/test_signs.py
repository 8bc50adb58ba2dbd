"""Fleets of the scenario "signs": ends with signs before, ends by chance, and the risk that the simulator states."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from simulator.fleet import Fleet
from simulator.hashing import NEVER
from simulator.signs import BATTERY, EPISODES, SEASON, Signs

START = date(2025, 1, 1)
DAY = START.toordinal()


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    return Fleet(seed=5, sims=3000, start=START, scenario="signs")


@pytest.fixture(scope="module")
def signs(fleet: Fleet) -> Signs:
    assert fleet.demand.signs is not None
    return fleet.demand.signs


def test_a_sim_ends_once_and_sends_nothing_after(fleet: Fleet, signs: Signs) -> None:
    days = np.stack([signs.death, signs.off, signs.swap])
    assert np.all((days < NEVER).sum(axis=0) <= 1)
    assert np.array_equal(days.min(axis=0), signs.gone)
    ended = np.flatnonzero(signs.gone < DAY + 300)
    assert 200 < ended.size < 900
    after = np.arange(DAY + 300, DAY + 310)
    assert not fleet.wanted(ended, after).volume.any()


def test_declining_batteries_report_rarer_and_open_empty_sessions(fleet: Fleet, signs: Signs) -> None:
    first, last = signs.first["battery"], signs.last["battery"]
    rows, episode = np.nonzero((first > DAY + 60) & (last < DAY + 700))
    rows, at = rows[:40], episode[:40]
    daily = fleet.demand.period[rows] == 1
    heard, empty = np.empty((2, len(rows), 2))
    for k, sim in enumerate(rows.tolist()):
        until = int(min(last[sim, at[k]], signs.gone[sim]))
        for part, days in enumerate((np.arange(-40, 0) + first[sim, at[k]], np.arange(until - 20, until))):
            used = fleet.wanted(np.array([sim]), days).volume > 0
            sessions, none, _ = signs.connection(np.array([sim]), days, used, np.zeros_like(used))
            heard[k, part], empty[k, part] = used.mean(), none.sum() / max(sessions.sum(), 1)
    assert heard[daily, 1].mean() < 0.75 * heard[daily, 0].mean()
    assert empty[:, 1].mean() > empty[:, 0].mean() + 0.15


def test_a_season_ends_for_a_whole_site_within_two_weeks_or_goes_by(fleet: Fleet, signs: Signs) -> None:
    site = fleet.demand.site
    first, last = signs.first["season"], signs.last["season"]
    closed = [sim for sim in range(fleet.sims) if (signs.off[sim] == last[sim] + signs.jitter[sim]).any()]
    assert len(closed) > 50
    for sim in closed[:20]:
        there = (site == site[sim]) & (signs.gone > signs.off[sim] - SEASON.spread)
        there &= signs.ready <= signs.off[sim] - SEASON.spread
        ended = signs.gone[there]
        assert np.all(ended < signs.off[sim] + SEASON.spread)
    went_by = (last < DAY + 600) & (signs.gone[:, None] > last + SEASON.spread) & (first > DAY)
    assert went_by.any()


def test_about_half_of_the_ends_give_no_sign(signs: Signs) -> None:
    ended = np.flatnonzero((signs.gone > DAY) & (signs.gone < DAY + 700))
    told = np.zeros(ended.size, dtype=bool)
    for name in ("battery", "fade", "season"):
        until = signs.last[name][ended] + (signs.jitter[ended, None] if name == "season" else 0)
        told |= (until == signs.gone[ended, None]).any(axis=1)
    swapped = signs.swap[ended] < NEVER
    assert 0.35 < told[~swapped].mean() < 0.65


def test_the_true_risk_is_what_comes_and_knows_nothing_of_the_future(signs: Signs) -> None:
    stated, came = [], []
    for day in range(DAY, DAY + 600, 100):
        rows = np.flatnonzero((signs.gone > day) & (signs.ready < day))
        ahead = np.tile([30, 90, 180], (rows.size, 1))
        stated.append(signs.true_risks(rows, np.full(rows.size, day), ahead))
        came.append(np.stack([end[rows, None] <= day + ahead for end in (signs.death, signs.off, signs.swap)], axis=2))
    risk, ended = np.concatenate(stated), np.concatenate(came)
    assert np.all((risk >= 0) & (risk <= 1))
    assert np.all(np.diff(risk, axis=1) >= -1e-12)
    # sites that close together make off-switches vary most
    for cause, most in enumerate((0.2, 0.4, 0.25)):
        assert ended[:, 2, cause].mean() == pytest.approx(risk[:, 2, cause].mean(), rel=most)
    high = risk[:, 2, 0] > 0.4
    assert ended[high, 2, 0].mean() > 0.4
    # of two batteries that have declined for as long, neither is known to last longer
    day = DAY + 200
    first, last = signs.first["battery"][:, 0], signs.last["battery"][:, 0]
    lasting = (first <= day) & (last > day) & (signs.gone > day) & ~signs.bad
    rows = np.flatnonzero(lasting)
    course = 1 - signs._of_course("battery", BATTERY, rows, np.full(rows.size, day), np.full((rows.size, 90), day))
    for lasted in np.unique(day - first[rows]):
        alike = course[day - first[rows] == lasted]
        assert np.ptp(alike, axis=0).max() < 1e-12
    assert np.all(
        signs.true_risks(
            np.flatnonzero(signs.gone <= day),
            np.full((signs.gone <= day).sum(), day),
            np.full(((signs.gone <= day).sum(), 1), 30),
        ).sum(axis=2)
        == 1
    )


def test_fleets_of_other_scenarios_have_no_signs(fleet: Fleet) -> None:
    assert EPISODES > 1
    for scenario in ("usual", "ends", "clean", "all"):
        assert Fleet(seed=5, sims=50, start=START, scenario=scenario).demand.signs is None
