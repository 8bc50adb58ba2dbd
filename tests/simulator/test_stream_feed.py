"""What the simulated account streams: the shape of records, sums that agree with the daily usage call, and ids that
never change."""

import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.once.stream_records import parse_record
from simulator.account import SimCards
from simulator.events import EVENT_KINDS, sessions_of
from simulator.fleet import Fleet
from simulator.ledger import DAY_SECONDS, moment
from simulator.stream_feed import Feed, records
from simulator.stream_http import BROKEN_ID, Disturbance, batches
from simulator.truth import daily_usage
from tests.conftest import examples

FIRST, LAST = date(2026, 6, 20), date(2026, 6, 22)
BEGIN = datetime(2026, 6, 19, 23, 59, 59, tzinfo=UTC)
END = BEGIN + timedelta(days=3)
LOOPS = date(2026, 6, 26)  # some SIMs are in the firmware loop, whose sessions are many


@pytest.fixture(scope="module")
def cards() -> SimCards:
    return SimCards(Fleet(seed=12, sims=60, start=date(2026, 3, 1)))


@pytest.fixture(scope="module")
def sent(cards: SimCards) -> list[dict[str, Any]]:
    return records(cards, BEGIN, END)


def sums(found: list[dict[str, Any]]) -> pl.DataFrame:
    """Usage records added up the way `daily_usage` shows the daily call's numbers; each must lie within one day."""
    total: Counter[tuple[str, date, str]] = Counter()
    for record in found:
        if "volume" not in record:
            continue
        begun, ended = (datetime.fromisoformat(record[name]) for name in ("start_timestamp", "end_timestamp"))
        assert begun.date() == ended.date()
        volume, key = record["volume"], (record["sim"]["iccid"], ended.date())
        if record["traffic_type"] == {"id": 5, "description": "Data"}:
            total[*key, "bytes"] += round(volume["total"] * 1_000_000)
            total[*key, "bytes_rx"] += round(volume["rx"] * 1_000_000)
        else:
            assert record["traffic_type"] == {"id": 6, "description": "SMS"}
            total[*key, "sms_mo"] += volume["rx"]
            total[*key, "sms_mt"] += volume["tx"]
    keys = sorted({key[:2] for key in total})
    rows = [(*key, *(total[*key, name] for name in ("bytes", "bytes_rx", "sms_mt", "sms_mo"))) for key in keys]
    return pl.DataFrame(rows, schema=book_schema(), orient="row")


def book_schema() -> dict[str, Any]:
    amounts = dict.fromkeys(("bytes", "bytes_rx", "sms_mt", "sms_mo"), pl.Int64)
    return {"iccid": pl.String, "day": pl.Date, **amounts}


# --- agreement with the account
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [FIRST, LOOPS])
def test_the_usage_records_of_closed_days_add_up_to_the_book_of_every_sim(first: date) -> None:
    cards, days = SimCards(Fleet(seed=12, sims=400, start=date(2026, 3, 1))), 3
    begin = datetime(first.year, first.month, first.day, tzinfo=UTC) - timedelta(seconds=1)
    expected = daily_usage(cards.fleet, first, first + timedelta(days=days - 1))
    assert sums(records(cards, begin, begin + timedelta(days=days))).equals(expected)
    assert expected["bytes"].sum() > 10**8
    assert expected["sms_mo"].sum() > 0


def test_the_book_is_what_the_fleet_used(cards: SimCards) -> None:
    used = cards.fleet.usage(range(60), FIRST, LAST)
    found = daily_usage(cards.fleet, FIRST, LAST)
    assert found.schema == book_schema()
    for name, column in (
        ("bytes", used.volume),
        ("bytes_rx", used.rx),
        ("sms_mt", used.sms_mt),
        ("sms_mo", used.sms_mo),
    ):
        assert found[name].sum() == column.sum()
    row = found.row(5, named=True)
    i, day = cards.fleet.index(row["iccid"]), (row["day"] - FIRST).days
    assert row["bytes"] == used.volume[i, day]


def test_a_day_with_bytes_has_a_session_and_sessions_lie_within_their_day(cards: SimCards) -> None:
    rows, first, last = np.arange(60), date(2026, 5, 1).toordinal(), date(2026, 7, 10).toordinal()
    used = cards.fleet.usage(rows, date.fromordinal(first), date.fromordinal(last)).volume > 0
    sessions = sessions_of(cards.fleet, rows, first, last)
    have = np.zeros_like(used)
    have[sessions.which, sessions.begin // DAY_SECONDS - first] = True
    assert (have == used).all()
    assert (sessions.begin // DAY_SECONDS == sessions.end // DAY_SECONDS).all()
    for i in rows.tolist():
        begin, end = cards.sessions(i, first, last)
        assert (sessions.begin[sessions.which == i] == begin).all()
        assert (sessions.end[sessions.which == i] == end).all()


def test_events_are_those_of_the_events_call(cards: SimCards, sent: list[dict[str, Any]]) -> None:
    streamed = Counter(
        (r["sim"]["iccid"], datetime.fromisoformat(r["timestamp"]), r["event_type"]["description"])
        for r in sent
        if "event_type" in r
    )
    listed: Counter[tuple[str, datetime, str]] = Counter()
    for i in range(cards.fleet.sims):
        ticks, kinds = cards.events(i, END)
        listed.update(
            (cards.fleet.iccids[i], moment(t), EVENT_KINDS[k].type_name) for t, k in zip(ticks, kinds, strict=True)
        )
    assert streamed == Counter({event: n for event, n in listed.items() if BEGIN < event[1] <= END})


def test_a_long_session_reports_every_quarter_of_an_hour_and_a_small_one_only_at_its_end(
    cards: SimCards, sent: list[dict[str, Any]]
) -> None:
    begin, end = [], []
    for record in sent:
        if record.get("traffic_type", {}).get("id") == 5:
            begin.append((record["sim"]["iccid"], datetime.fromisoformat(record["start_timestamp"])))
            end.append((record["sim"]["iccid"], datetime.fromisoformat(record["end_timestamp"])))
            if record["volume"]["total"] > 0.1:
                assert end[-1][1] - begin[-1][1] <= timedelta(minutes=15)
    rows = np.arange(60)
    which, opened, closed = sessions_of(cards.fleet, rows, FIRST.toordinal(), LAST.toordinal())
    sessions = {(cards.fleet.iccids[i], moment(t)) for i, t in zip(which.tolist(), opened.tolist(), strict=True)}
    closes = {(cards.fleet.iccids[i], moment(t)) for i, t in zip(which.tolist(), closed.tolist(), strict=True)}
    assert set(begin) - set(end) == sessions  # every record but the first of a session begins where another ends
    assert set(end) - set(begin) == closes
    assert len(begin) > len(sessions) > 0


# --- shape
# -----------------------------------------------------------------------------------------------------------------

USAGE = {
    "id": int,
    "start_timestamp": str,
    "end_timestamp": str,
    "volume": {"total": (int, float), "rx": (int, float), "tx": (int, float)},
    "traffic_type": {"id": int, "description": str},
    "sim": {"id": int, "iccid": str, "msisdn": str, "production_date": str},
    "imsi": str,
    "imsi_id": int,
    "endpoint": {
        **{"id": int, "name": str, "imei": str, "ip_address": str},
        **{"balance": type(None), "tags": type(None)},
    },
    "operator": {"id": int, "name": str, "mnc": str, "country": {"id": int, "mcc": str, "name": str}},
    "tariff": {"id": int, "name": str, "ratezone": {"id": int, "name": str}},
    "organisation": {"id": int, "name": str},
    "cost": (int, float),
    "currency": {"id": int, "code": str, "symbol": str},
}
EVENT = {
    "id": int,
    "timestamp": str,
    "event_type": {"id": int, "description": str},
    "event_severity": {"id": int, "description": str},
    "event_source": {"id": int, "description": str},
    "organisation": {"id": int, "name": str},
    "alert": bool,
    "description": str,
    "sim": USAGE["sim"],
    "imsi": {"id": int, "imsi": str},
    "endpoint": USAGE["endpoint"],
    "detail": {
        "id": int,
        "name": str,
        "country": {"id": int, "name": str, "mcc": str, "iso_code": str},
        "pdp_context": {"pdp_context_id": int, "apn": str},
    },
    "user": type(None),
}
NULLABLE = {"endpoint", "imsi", "detail", "pdp_context"}


def check_shape(value: Any, shape: Any, name: str = "record") -> None:
    if value is None and name in NULLABLE:
        return
    if not isinstance(shape, dict):
        assert isinstance(value, shape), name
        return
    assert list(value) == list(shape), name
    for inner in shape:
        check_shape(value[inner], shape[inner], inner)


def test_records_have_the_shape_of_1nces(sent: list[dict[str, Any]]) -> None:
    for record in sent:
        check_shape(record, EVENT if "event_type" in record else USAGE)
    usage = [record for record in sent if "volume" in record]
    events = [record for record in sent if "event_type" in record]
    assert 0 < sum(record["endpoint"] is None for record in usage) < len(usage) / 20
    assert any(record["detail"] is None and record["endpoint"] for record in events)
    assert {record["event_severity"]["description"] for record in events} <= {"INFO", "WARN", "CRITICAL"}


def test_every_record_is_one_that_the_pipeline_takes(sent: list[dict[str, Any]]) -> None:
    for record in sent:
        parse_record(json.loads(json.dumps(record)), received_at=END)
        if "volume" in record:
            amounts = {name: round(value * 1_000_000) for name, value in record["volume"].items()}
            assert amounts["rx"] + amounts["tx"] == amounts["total"]
            assert min(amounts.values()) >= 0


def test_ids_are_unique_over_a_year_and_exact_in_every_json_parser() -> None:
    cards = SimCards(Fleet(seed=12, sims=30, start=date(2026, 1, 1)))
    found = Feed(cards).between(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 12, 31, tzinfo=UTC))
    assert len(np.unique(found.id)) == len(found) > 30_000
    assert found.id.min() > 0
    assert (999_999 << 24 | 2**24 - 1) < 2**53  # the last id of a million SIMs


# --- intervals of time
# -----------------------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 3 * DAY_SECONDS - 1), min_size=1, max_size=4, unique=True), st.booleans())
def test_however_time_is_cut_each_record_is_made_once_and_is_the_same(cuts: list[int], ahead: bool) -> None:
    def few() -> SimCards:
        return SimCards(Fleet(seed=3, sims=12, start=date(2026, 3, 1)))

    whole, cut = records(few(), BEGIN, END), few()
    if ahead:  # what is known of the future must not change the past
        cut.fleet.ledger(np.arange(12), date(2028, 1, 1).toordinal())
    borders = [BEGIN, *(BEGIN + timedelta(seconds=at) for at in sorted(cuts)), END]
    assert [record for a, b in pairwise(borders) for record in records(cut, a, b)] == whole


@settings(max_examples=examples(20), deadline=None, derandomize=True)
@given(st.integers(0, 2 * DAY_SECONDS), st.integers(1, DAY_SECONDS))
def test_a_stretch_begins_after_its_start_and_includes_its_end(cards: SimCards, begin: int, length: int) -> None:
    after = BEGIN + timedelta(seconds=begin)
    until = after + timedelta(seconds=length)
    times = [datetime.fromisoformat(r.get("timestamp") or r["end_timestamp"]) for r in records(cards, after, until)]
    assert times == sorted(times)
    assert all(after < time <= until for time in times)
    if times:
        assert records(cards, times[-1] - timedelta(seconds=1), times[-1])
        assert not any(r.get("end_timestamp") == times[-1] for r in records(cards, times[-1], until))


def test_one_type_alone_is_the_same_as_among_both(cards: SimCards, sent: list[dict[str, Any]]) -> None:
    assert records(cards, BEGIN, END, ("usage",)) == [record for record in sent if "volume" in record]
    assert records(cards, BEGIN, END, ("events",)) == [record for record in sent if "event_type" in record]
    for wrong in ((), ("usage", "weather")):
        with pytest.raises(ValueError, match="usage, events"):
            Feed(cards, wrong)


def test_a_stretch_that_ends_before_it_begins_is_empty_and_one_without_a_zone_is_refused(cards: SimCards) -> None:
    assert records(cards, END, BEGIN) == []
    with pytest.raises(ValueError, match="no time zone"):
        records(cards, BEGIN.replace(tzinfo=None), END)


# --- disturbances
# ----------------------------------------------------------------------------------------------------------


def disturbed(cards: SimCards, how: Disturbance) -> list[dict[str, Any]]:
    feed = Feed(cards)
    return [record for batch in batches(feed, feed.between(BEGIN, END), how, 100) for record in batch]


def test_without_disturbance_records_go_as_they_are(cards: SimCards, sent: list[dict[str, Any]]) -> None:
    assert disturbed(cards, Disturbance()) == sent


def test_duplicates_come_again_unchanged(cards: SimCards, sent: list[dict[str, Any]]) -> None:
    found = disturbed(cards, Disturbance(duplicates=0.3))
    assert found[: len(sent)] == sent
    again = found[len(sent) :]
    assert 0.25 < len(again) / len(sent) < 0.35
    assert all(record in sent for record in again[:50])
    assert disturbed(cards, Disturbance(duplicates=0.3)) == found


def test_late_records_come_last_and_none_is_lost(cards: SimCards, sent: list[dict[str, Any]]) -> None:
    found = disturbed(cards, Disturbance(late=0.2))
    assert found != sent
    assert sorted(r["id"] for r in found) == sorted(r["id"] for r in sent)
    on_time = round(len(sent) * 0.75)
    assert [r["id"] for r in found[:on_time]] == [r["id"] for r in sent if r in found[:on_time]]


def test_shuffled_records_move_by_so_many_places_at_most(cards: SimCards, sent: list[dict[str, Any]]) -> None:
    found = disturbed(cards, Disturbance(shuffled=20))
    place = {record["id"]: n for n, record in enumerate(sent)}
    moves = [abs(place[record["id"]] - n) for n, record in enumerate(found)]
    assert 10 < max(moves) <= 20
    assert len(found) == len(sent)
    assert disturbed(cards, Disturbance(reversed=True)) == sent[::-1]


def test_broken_records_have_ids_of_their_own_and_are_refused(cards: SimCards, sent: list[dict[str, Any]]) -> None:
    found = disturbed(cards, Disturbance(broken=0.2, late=0.1, duplicates=0.1, shuffled=5, reversed=True))
    good = [r for r in found if r["id"] is not None and r["id"] < BROKEN_ID]
    assert {r["id"] for r in good} == {r["id"] for r in sent}
    reasons = set()
    for record in found:
        if record["id"] is None or record["id"] >= BROKEN_ID:
            with pytest.raises(ValueError, match=r"missing|got") as refused:
                parse_record(record, received_at=END)
            reasons.add(str(refused.value).partition(":")[0])
        else:
            parse_record(record, received_at=END)
    fields = {"sim.iccid", "id", "timestamp", "start_timestamp", "event_type.description", "volume.total"}
    assert reasons == fields


@pytest.mark.parametrize("wrong", [{"duplicates": 1.5}, {"late": -0.1}, {"broken": 2}, {"shuffled": -1}])
def test_a_disturbance_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="give a"):
        Disturbance(**wrong)
