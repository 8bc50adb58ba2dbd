"""The synthetic fleet itself: the same every time, and its books balance."""

import json
import tracemalloc
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.account import SimCards, megabytes
from simulator.catalog import ARCHETYPES
from simulator.fleet import DATA_QUOTA, SMS_QUOTA, Fleet
from simulator.hashing import NEVER, draw
from simulator.ledger import DAY_SECONDS, moment, tick
from simulator.orders_tickets import BackOffice
from simulator.truth import truth as truth_of
from simulator.truth import write_truth
from tests.conftest import examples

START = date(2026, 1, 1)
NOW = datetime(2026, 6, 30, 9, 0, tzinfo=UTC)
HASHED = [0x2AE956313E327578, 0xD2B716841CF20366, 0x2AD108CE30F8E19E, 0x0B168F8483645739]
TOTALS = [457965824, 132259960, 325705864, 31, 19]


def test_the_hash_gives_these_words_on_every_platform() -> None:
    words = draw(7, 1, np.array([0, 499]), np.array([1, 739_432]))
    assert words.tolist() == [[HASHED[0], HASHED[1]], [HASHED[2], HASHED[3]]]


def test_the_fleet_of_seed_7_is_the_one_it_always_was() -> None:
    used = Fleet(seed=7, sims=50, start=START).usage(range(50), START, date(2026, 1, 31))
    totals = [int(part.sum()) for part in (used.volume, used.rx, used.tx, used.sms_mt, used.sms_mo)]
    assert totals == TOTALS


def test_another_seed_is_another_fleet() -> None:
    one, two = (Fleet(seed=seed, sims=20, start=START) for seed in (1, 2))
    assert not set(one.iccids) & set(two.iccids)
    assert (one.usage(range(20), START, NOW.date()).volume != two.usage(range(20), START, NOW.date()).volume).any()


def test_iccids_are_19_digits_and_unique_and_nobody_elses() -> None:
    fleet = Fleet(sims=1000, start=START)
    assert len(set(fleet.iccids + fleet.foreign_iccids)) == 1003
    assert all(len(iccid) == 19 and iccid.isdigit() and iccid.startswith("8988228") for iccid in fleet.iccids)
    assert [fleet.index(iccid) for iccid in fleet.iccids] == list(range(1000))
    assert len(set(SimCards(fleet).imeis_on(np.arange(1000), np.full(1000, START.toordinal())).tolist())) == 1000


@settings(max_examples=examples(25), deadline=None)
@given(sim=st.integers(0, 259), offset=st.integers(-200, 400), before=st.integers(0, 90), after=st.integers(0, 200))
def test_no_day_depends_on_what_else_is_asked(fleet: Fleet, sim: int, offset: int, before: int, after: int) -> None:
    day = START + timedelta(days=offset)
    alone = Fleet(seed=11, sims=260, start=START).usage([sim], day, day)
    among = fleet.usage(range(260), day - timedelta(days=before), day + timedelta(days=after))
    for name, column in vars(alone).items():
        assert column[0, 0] == getattr(among, name)[sim, before], name


def test_a_complete_day_is_the_same_seen_from_any_later_moment(fleet: Fleet) -> None:
    whole = fleet.usage(range(260), START, date(2026, 3, 1))
    for later in (datetime(2026, 3, 2, 0, 0, tzinfo=UTC), datetime(2026, 12, 24, 18, 0, tzinfo=UTC)):
        assert (fleet.usage(range(260), START, date(2026, 3, 1), later).volume == whole.volume).all()


def test_today_grows_to_the_whole_day_and_tomorrow_is_empty(fleet: Fleet) -> None:
    day = date(2026, 3, 4)
    hours = [datetime(2026, 3, 4, hour, tzinfo=UTC) for hour in (0, 6, 12, 23)]
    seen = [fleet.usage(range(260), day, day + timedelta(days=1), hour) for hour in hours]
    whole = fleet.usage(range(260), day, day)
    assert seen[0].volume.sum() == 0
    steps = np.stack([part.volume[:, 0] for part in seen] + [whole.volume[:, 0]])
    messages = np.stack([(part.sms_mo + part.sms_mt)[:, 0] for part in seen] + [(whole.sms_mo + whole.sms_mt)[:, 0]])
    assert (np.diff(steps, axis=0) >= 0).all()
    assert (np.diff(messages, axis=0) >= 0).all()
    assert steps[2].sum() == pytest.approx(steps[-1].sum() / 2, rel=0.01)
    assert all(part.volume[:, 1].sum() == 0 for part in seen)


@pytest.mark.parametrize("hour", [0, 9, 23])
def test_what_is_left_is_all_that_was_bought_minus_all_that_was_used(fleet: Fleet, hour: int) -> None:
    everyone, now = np.arange(260), NOW.replace(hour=hour)
    data, sms = fleet.remaining(everyone, now)
    first = date.fromordinal(int(fleet.demand.activation.min()))
    used = fleet.usage(everyone, first, now.date(), now)
    ledger = fleet.ledger(everyone, now.toordinal())
    bought = (ledger.data.credit_at <= tick(now)).sum(axis=1)
    assert (data == bought * DATA_QUOTA - used.volume.sum(axis=1)).all()
    assert (sms == bought * SMS_QUOTA - used.sms_mo.sum(axis=1) - used.sms_mt.sum(axis=1)).all()


@settings(max_examples=examples(30), deadline=None)
@given(minutes=st.integers(0, 400 * 1440))
def test_the_quota_status_says_what_the_quota_call_says(fleet: Fleet, minutes: int) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    everyone = SimCards(fleet).visible(now)
    for left, periods in zip(
        fleet.remaining(everyone, now),
        (fleet.ledger(everyone, now.toordinal()).data, fleet.ledger(everyone, now.toordinal()).sms),
        strict=True,
    ):
        rows, k = np.arange(len(everyone)), periods.at(tick(now))
        assert ((periods.exceeded_at[rows, k] <= tick(now)) == (left <= 0)).all()
        low = (periods.threshold_at[rows, k] <= tick(now)) | (left <= 0)
        assert (low == (5 * left < periods.total[rows, k])).all()


def test_a_topup_adds_500_mb_to_what_was_left(fleet: Fleet) -> None:
    data = fleet.ledger(np.arange(260), NOW.toordinal()).data
    rows, periods = np.nonzero((data.credit_at < tick(NOW)) & (np.arange(data.credit_at.shape[1]) > 0))
    assert len(rows) > 10
    for i, k in zip(rows.tolist(), periods.tolist(), strict=True):
        before, _ = fleet.remaining([i], moment(int(data.credit_at[i, k]) - 1))
        after, _ = fleet.remaining([i], moment(int(data.credit_at[i, k])))
        assert after[0] == data.total[i, k]
        assert 0 <= before[0] + DATA_QUOTA - after[0] <= 10_000  # one second's bytes


def test_an_exhausted_sim_sends_nothing_until_it_is_topped_up(fleet: Fleet) -> None:
    through = date(2026, 12, 31)
    data = fleet.ledger(np.arange(260), through.toordinal()).data
    used = fleet.usage(range(260), START, through).volume
    days = np.arange(START.toordinal(), through.toordinal() + 1)
    for k in range(data.exhausted_from.shape[1]):
        without = (days > data.exhausted_from[:, k, None]) & (days < data.exhausted_until[:, k, None])
        assert used[without].sum() == 0
    left, _ = fleet.remaining(range(260), NOW)
    assert left.min() < 0
    assert left.min() > -300_000


def test_a_fleet_has_its_share_of_every_kind_of_trouble_and_most_of_it_is_clean() -> None:
    fleet = Fleet(sims=2000, start=START)
    truth = truth_of(fleet, 180)
    sims = truth["sims"].values()
    kinds = [{entry["kind"] for entry in sim["anomalies"]} for sim in sims]
    for kind in ("spike", "silence", "runaway", "firmware_loop"):
        assert sum(kind in found for found in kinds) >= 5, kind
    assert {sim["archetype"] for sim in sims} == {archetype.name for archetype in ARCHETYPES}
    assert len({sim["device_type"] for sim, found in zip(sims, kinds, strict=True) if "firmware_loop" in found}) == 1
    assert 0.75 < sum(sim["clean"] for sim in sims) / 2000 < 0.95
    assert sum(sim["churn"] is not None for sim in sims) > 40
    assert sum(sim["death"] is not None for sim in sims) > 15
    at = datetime(2026, 6, 29, 12, tzinfo=UTC)
    everyone = SimCards(fleet).visible(at)
    data, _ = fleet.remaining(everyone, at)
    ledger = fleet.ledger(everyone, at.toordinal()).data
    low = 5 * data < ledger.total[np.arange(len(everyone)), ledger.at(tick(at))]
    assert 0.04 <= low.mean() <= 0.08
    gone = fleet.demand.expiry - at.toordinal()
    assert (gone <= 0).sum() >= 10
    assert ((gone > 0) & (gone < 365)).sum() >= 10
    assert (fleet.demand.activation < START.toordinal() - 90).mean() > 0.7
    assert (fleet.demand.activation > START.toordinal()).any()


def test_the_truth_is_in_the_usage() -> None:
    fleet = Fleet(sims=1500, start=START)
    checked = dict.fromkeys(("spike", "silence", "runaway", "death", "churn"), 0)
    for i, sim in enumerate(truth_of(fleet, 180)["sims"].values()):
        cases = [(a["kind"], a["first_day"], a["last_day"]) for a in sim["anomalies"] if a["visible"]]
        cases += [("death", sim["death"], "2026-12-31")] if sim["death"] else []
        cases += [("churn", sim["churn"]["last_day"], "2026-12-31")] if sim["churn"] else []
        for kind, first, last in cases:
            used = fleet.usage([i], date.fromisoformat(first), date.fromisoformat(last)).volume[0]
            base = int(fleet.demand.base[i])
            if kind in ("silence", "death", "churn"):
                assert used.sum() == 0
            elif kind == "spike":
                assert used.max() > 3.9 * base or sim["exhausted"]
            elif kind == "runaway" and not sim["exhausted"]:
                assert used[-10:].sum() > 3 * used[:10].sum()
            checked[kind] = checked.get(kind, 0) + 1
    assert min(checked.values()) >= 5


def test_the_truth_file_says_it_is_synthetic_and_is_the_same_each_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_truth(Fleet(sims=60, start=START), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    truth = json.loads((tmp_path / "one").read_text(encoding="utf-8"))
    assert truth["synthetic"] is True
    assert len(truth["sims"]) == 60


def test_every_topup_of_the_ledger_is_in_one_order_at_its_time(fleet: Fleet) -> None:
    orders = BackOffice(SimCards(fleet)).orders(NOW)
    ordered = sorted(
        (entry["iccid"], order["order_date"])
        for order in orders
        if "TOPUP" in order["order_type"]
        for entry in order["sims"]
    )
    credits = fleet.ledger(np.arange(260), NOW.toordinal()).data.credit_at[:, 1:]
    rows, periods = np.nonzero(credits <= tick(NOW))
    bought = sorted(
        (fleet.iccids[i], moment(int(credits[i, k])).strftime("%Y-%m-%dT%H:%M:%S.000Z"))
        for i, k in zip(rows.tolist(), periods.tolist(), strict=True)
    )
    assert ordered == bought
    assert bought
    delivered = [entry["iccid"] for order in orders if "TOPUP" not in order["order_type"] for entry in order["sims"]]
    assert len(delivered) == len(set(delivered))


def test_orders_and_tickets_keep_their_numbers_as_time_passes(fleet: Fleet) -> None:
    early, late = NOW - timedelta(days=45), NOW + timedelta(days=90)
    forward, backward = BackOffice(SimCards(fleet)), BackOffice(SimCards(fleet))
    first, _ = forward.orders(early), forward.orders(late)
    later, again = backward.orders(late), backward.orders(early)
    assert first == again == later[: len(first)]
    assert [t["caseId"] for t in forward.tickets(early)] == [t["caseId"] for t in backward.tickets(late)][
        : len(forward.tickets(early))
    ]
    states = {ticket["status"] for ticket in forward.tickets(late)}
    assert "CLOSED" in states


def test_sms_records_are_the_messages_that_the_usage_counts(fleet: Fleet) -> None:
    cards = SimCards(fleet)
    first = NOW.date() - timedelta(days=90)
    used = fleet.usage(range(260), first, NOW.date(), NOW)
    for i in np.flatnonzero((used.sms_mo + used.sms_mt).sum(axis=1) > 0)[:40].tolist():
        if fleet.demand.activation[i] > first.toordinal():
            continue
        found = cards.messages(i, NOW)
        assert sum(originated for _, _, originated in found) == used.sms_mo[i].sum()
        assert sum(not originated for _, _, originated in found) == used.sms_mt[i].sum()
        days = np.bincount([at // DAY_SECONDS - first.toordinal() for at, _, _ in found], minlength=91)
        assert (days == (used.sms_mo + used.sms_mt)[i]).all()


def test_data_sessions_fall_on_the_days_that_have_bytes(fleet: Fleet) -> None:
    cards = SimCards(fleet)
    first, last = date(2026, 5, 1), date(2026, 5, 31)
    used = fleet.usage(range(260), first, last).volume
    for i in range(0, 260, 7):
        begin, end = cards.sessions(i, first.toordinal(), last.toordinal())
        assert set((begin // DAY_SECONDS - first.toordinal()).tolist()) == set(np.flatnonzero(used[i]).tolist())
        assert (end > begin).all()
        assert (end[:-1] < begin[1:]).all()


def test_ten_thousand_sims_over_a_year_stay_lean() -> None:
    tracemalloc.start()
    try:
        fleet = Fleet(sims=10_000, start=date(2025, 1, 1))
        used = fleet.usage(range(1000, 3000), date(2025, 1, 1), date(2025, 12, 31))
        asked = sum(column.nbytes for column in vars(used).values())
        del used
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 15e6
    assert peak < asked + 60e6


def test_days_in_the_wrong_order_and_an_empty_fleet_are_refused(fleet: Fleet) -> None:
    with pytest.raises(ValueError, match="first day must not be after"):
        fleet.usage([0], date(2026, 2, 2), date(2026, 2, 1))
    with pytest.raises(ValueError, match="at least 1"):
        Fleet(sims=0, start=START)
    with pytest.raises(ValueError, match="no time zone"):
        fleet.remaining([0], datetime(2026, 2, 2))


def test_volumes_are_text_in_mb_with_six_places() -> None:
    assert [megabytes(units) for units in (0, 2803, 500_000_000, -123_456)] == [
        "0.000000",
        "0.002803",
        "500.000000",
        "-0.123456",
    ]


def test_ticks_and_moments_are_inverse() -> None:
    assert moment(tick(NOW)) == NOW
    assert tick(datetime(9999, 12, 31, tzinfo=UTC)) < NEVER
