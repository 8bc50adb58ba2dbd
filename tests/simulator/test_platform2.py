"""A hybrid account: SIMs on both platforms, API v1 until a day, API v2, and streams in both shapes."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest

from resources.once.stream_records import EventRecord, UsageRecord, mb_units, parse_record
from resources.once.usage_days import parse_usage
from simulator.account import SimCards
from simulator.faults import Faults
from simulator.fleet import Fleet
from simulator.ledger import tick
from simulator.own_process import move_clock, simulator_process
from simulator.server import SimulatorServer
from simulator.stream_feed import Feed, records
from simulator.stream_files import Folder, write_files
from simulator.stream_http import Disturbance, batches
from simulator.truth import daily_usage, truth

START = date(2026, 1, 1)
NOW = datetime(2026, 6, 30, 9, 0, tzinfo=UTC)
BEGIN, END = datetime(2026, 6, 20, tzinfo=UTC), datetime(2026, 6, 22, tzinfo=UTC)
Connect = Callable[[SimulatorServer], httpx.Client]


@pytest.fixture(scope="module")
def hybrid() -> Fleet:
    return Fleet(seed=11, sims=260, start=START, platform2_share=0.4)


@pytest.fixture(scope="module")
def cards(hybrid: Fleet) -> SimCards:
    return SimCards(hybrid)


@pytest.fixture
def served(hybrid: Fleet) -> Iterator[SimulatorServer]:
    with SimulatorServer(hybrid, now=NOW) as running:
        yield running


def seen(fleet: Fleet, newer: bool) -> list[str]:
    """ICCIDs of SIMs that are in the account and not expired."""
    today = NOW.date().toordinal()
    there = (fleet.demand.activation <= today) & (fleet.demand.expiry > today)
    return [fleet.iccids[i] for i in np.flatnonzero(there & (fleet.platform2 == newer))]


# --- the fleet


def test_the_newest_sims_are_on_platform_2(hybrid: Fleet) -> None:
    newer = hybrid.demand.activation[hybrid.platform2]
    assert hybrid.platform2.sum() == round(0.4 * 260)
    assert newer.min() >= hybrid.demand.activation[~hybrid.platform2].max()
    again = Fleet(seed=11, sims=260, start=START, platform2_share=0.4)
    assert (again.platform2 == hybrid.platform2).all()
    with pytest.raises(ValueError, match="between 0 and 1"):
        Fleet(start=START, platform2_share=1.5)


def test_sims_on_platform_1_use_what_they_use_without_platform_2(hybrid: Fleet, fleet: Fleet) -> None:
    mixed, old = (daily_usage(each, START, NOW.date()) for each in (hybrid, fleet))
    older = [iccid for iccid, newer in zip(hybrid.iccids, hybrid.platform2, strict=True) if not newer]
    assert mixed.filter(pl.col("iccid").is_in(older)).equals(old.filter(pl.col("iccid").is_in(older)))
    assert not Fleet(seed=11, sims=260, start=START).platform2.any()


def test_sims_on_platform_2_use_whole_kilobytes_a_session_in_book_quota_and_stream() -> None:
    fleet = Fleet(seed=12, sims=200, start=START, platform2_share=1.0)
    book = daily_usage(fleet, START, NOW.date())
    assert (book["bytes"] % 1_000 == 0).all()
    assert (fleet.remaining(np.arange(200), NOW)[0] % 1_000 == 0).all()
    # days on which a quota ends among them
    ends = fleet.ledger(np.arange(200), NOW.date().toordinal()).data.exhausted_from.ravel()
    day = date.fromordinal(int(ends[(ends > START.toordinal()) & (ends < NOW.date().toordinal())][0]))
    begin = datetime.combine(day, datetime.min.time(), UTC) - timedelta(seconds=1)
    sessions: dict[tuple[str, str], int] = defaultdict(int)
    days: dict[tuple[str, date], int] = defaultdict(int)
    for record in records(SimCards(fleet), begin, begin + timedelta(days=2), ("usage",), "flat"):
        if record["traffic_type_id"] == 5:
            units = mb_units(record["volume_total"])
            sessions[record["endpoint_name"], record["ipcan_session_id"]] += units
            days[record["endpoint_name"], date.fromisoformat(record["end_timestamp"][:10])] += units
    assert all(units % 1_000 == 0 for units in sessions.values())
    told = book.filter(pl.col("day").is_between(day, day + timedelta(days=1)) & (pl.col("bytes") > 0))
    assert days == {(iccid, of): units for iccid, of, units in told.select("iccid", "day", "bytes").rows()}


def test_rounding_up_adds_less_than_a_kilobyte_a_session() -> None:
    plain, rounded = (Fleet(seed=12, sims=100, start=START, scenario="clean", platform2_share=s) for s in (0, 1))
    days = np.arange(START.toordinal(), START.toordinal() + 60)
    exact, counted = plain.wanted(np.arange(100), days).volume, rounded.wanted(np.arange(100), days).volume
    more = counted - exact
    assert ((more >= 0) & (more < 3 * 1_000)).all()  # at most three sessions a day
    assert (more > 0).mean() > 0.5
    assert ((counted > 0) == (exact > 0)).all()


def test_the_truth_says_which_sims_are_on_platform_2(hybrid: Fleet) -> None:
    told = truth(hybrid, 181)["sims"]
    assert [told[iccid]["platform2"] for iccid in hybrid.iccids] == hybrid.platform2.tolist()


# --- API v1 and v2


def test_v1_does_not_know_a_sim_on_platform_2_and_v2_does(
    served: SimulatorServer, hybrid: Fleet, connect: Connect
) -> None:
    newer, older = seen(hybrid, True)[0], seen(hybrid, False)[0]
    with connect(served) as client:
        lists: dict[str, set[str]] = {}
        for version in ("v1", "v2"):
            pages = [client.get(f"/{version}/sims?pageSize=100&page={page}") for page in (1, 2, 3)]
            lists[version] = {card["iccid"] for page in pages for card in page.json()}
            assert int(pages[0].headers["x-total-count"]) == len(lists[version])
        on_2 = {iccid for iccid, is_newer in zip(hybrid.iccids, hybrid.platform2, strict=True) if is_newer}
        assert lists["v1"] == lists["v2"] - on_2
        assert lists["v2"] & on_2
        for call in ("", "/status", "/quota/data", "/quota/sms", "/events", "/sms", "/usage", "/connectivity_info"):
            answer = client.get(f"/v1/sims/{newer}{call}")
            assert (answer.status_code, answer.content) == (404, b"")
            assert client.get(f"/v1/sims/{older}{call}").status_code == 200
        for call in ("", "/status", "/quota/data", "/quota/sms", "/events", "/sms"):
            assert client.get(f"/v2/sims/{newer}{call}").status_code == 200
            assert client.get(f"/v2/sims/{older}{call}").status_code == 200


def test_a_quota_of_v2_says_exactly_what_was_used(served: SimulatorServer, hybrid: Fleet, connect: Connect) -> None:
    overdrawn = topped_up = 0
    with connect(served) as client:
        for iccid in [*seen(hybrid, False)[:40], *seen(hybrid, True)]:
            i = hybrid.index(iccid)
            assert i is not None
            first = date.fromordinal(int(hybrid.demand.activation[i]))
            used = hybrid.usage([i], first, NOW.date(), NOW)
            data, sms = (client.get(f"/v2/sims/{iccid}/quota/{service}").json() for service in ("data", "sms"))
            spent = mb_units(data["accumulated_total_volume"]) - mb_units(data["volume"])
            assert spent == used.volume.sum()
            assert sms["accumulated_total_volume"] - sms["volume"] == (used.sms_mo + used.sms_mt).sum()
            assert data["status"]["description"] == ("ACTIVE" if data["volume"] > 0 else "EXHAUSTED")
            overdrawn += data["volume"] < 0
            topped_up += data["accumulated_total_volume"] > 500
            assert datetime.strptime(data["expiry_date"], "%Y-%m-%d %H:%M:%S")
    assert overdrawn
    assert topped_up


def test_an_expired_sim_answers_on_v2_and_is_refused_on_v1(
    served: SimulatorServer, hybrid: Fleet, connect: Connect
) -> None:
    iccid = hybrid.iccids[int(np.argmin(hybrid.demand.expiry))]
    with connect(served) as client:
        assert client.get(f"/v1/sims/{iccid}/quota/data").status_code == 422
        assert client.get(f"/v2/sims/{iccid}/quota/data").json()["status"] == {"id": 2, "description": "EXPIRED"}


def test_a_disabled_sim_is_blocked_on_v2(served: SimulatorServer, hybrid: Fleet, connect: Connect) -> None:
    with connect(served) as client:
        cards = client.get("/v2/sims?pageSize=100").json()
        iccid = next(card["iccid"] for card in cards if card["status"] == "Disabled")
        assert client.get(f"/v2/sims/{iccid}/status").json()["status"] == {"description": "BLOCKED"}
        states = {client.get(f"/v2/sims/{card['iccid']}/status").json()["status"]["description"] for card in cards}
    assert {"ONLINE", "ATTACHED", "BLOCKED"} <= states


def test_events_of_v2_come_newest_first_and_have_the_ids_and_times_of_the_stream(
    served: SimulatorServer, hybrid: Fleet, cards: SimCards, connect: Connect
) -> None:
    streamed: dict[str, dict[int, Any]] = defaultdict(dict)
    for record in records(cards, BEGIN, END, ("events",), "flat"):
        streamed[record["endpoint_name"]][record["id"]] = record
    compared = 0
    with connect(served) as client:
        for iccid in [*seen(hybrid, True)[:15], *seen(hybrid, False)[:15]]:
            told = client.get(f"/v2/sims/{iccid}/events?pageSize=1000").json()
            paged = [client.get(f"/v2/sims/{iccid}/events?pageSize=3&page={page}").json() for page in (1, 2)]
            assert told[:6] == paged[0] + paged[1]
            times = [datetime.fromisoformat(event["timestamp"]) for event in told]
            assert times == sorted(times, reverse=True)
            inside = {event["id"]: event for event, at in zip(told, times, strict=True) if BEGIN < at <= END}
            assert inside.keys() == streamed[iccid].keys()
            for number, event in inside.items():
                other = streamed[iccid][number]
                assert datetime.fromisoformat(event["timestamp"]) == datetime.fromisoformat(other["timestamp"])
                assert event["event_type"]["id"] == other["event_type_id"]
                assert event["description"] == other["description"]
                session = event.get("detail", {}).get("pdp_context", {}).get("ipcan_session_id")
                assert other.get("detail_pdp_context_ipcan_session_id", session) == session
                compared += 1
    assert compared > 50


def test_v1_is_gone_from_its_day_on_and_the_token_call_and_v2_stay(hybrid: Fleet, connect: Connect) -> None:
    with SimulatorServer(hybrid, now=NOW, v1_until=date(2026, 7, 2)) as server, connect(server) as client:
        calls = [f"/v1/sims/{seen(hybrid, False)[0]}{call}" for call in ("", "/usage", "/quota/data")]
        calls += ["/v1/sims", "/v1/sims/limits", "/v1/products", "/v1/orders", "/v1/support"]
        server.set_now(datetime(2026, 7, 1, 23, 59, 59, tzinfo=UTC))
        assert {client.get(call).status_code for call in calls} == {200}
        server.set_now(datetime(2026, 7, 2, tzinfo=UTC))
        assert {client.get(call).status_code for call in [*calls, "/v1/whatever"]} == {410}
        assert server.requests[-1][2:] == ("/management-api/v1/whatever", 410)
        assert httpx.get(f"{server.base_url}/v1/sims").status_code == 410
        with connect(server) as newcomer:
            assert newcomer.get("/v2/sims").status_code == 200


def test_v1_and_v2_share_one_rate_limit(served: SimulatorServer, connect: Connect) -> None:
    with connect(served) as client:
        served.set_faults(Faults(requests_per_second=4))
        answers = [client.get(f"/{version}/sims?pageSize=1") for version in ("v1", "v2", "v1", "v2", "v2", "v1")]
        assert [answer.status_code for answer in answers] == [200] * 4 + [429] * 2
        assert answers[4].headers["retry-after"] == "1"


def test_a_process_of_its_own_serves_a_hybrid_account() -> None:
    plan = {"v1_until": date(2026, 6, 1), "platform2_share": 0.5}
    with simulator_process(seed=11, sims=20, start=START, now=NOW, **plan) as base_url:  # type: ignore[arg-type]
        assert httpx.get(f"{base_url}/v1/sims").status_code == 410
        told = httpx.get(base_url.replace("/management-api", "/simulator")).json()
        assert (told["v1_until"], told["platform2_share"], told["stream"]) == ("2026-06-01", 0.5, None)
        move_clock(base_url, datetime(2026, 5, 31, 6, tzinfo=UTC))
        with httpx.Client(base_url=base_url, trust_env=False) as http:
            given = http.post("/oauth/token", auth=("demo", "demo"), json={"grant_type": "client_credentials"}).json()
            http.headers["Authorization"] = f"Bearer {given['access_token']}"
            iccid = http.get("/v1/sims").json()[0]["iccid"]
            stats = http.get(f"/v1/sims/{iccid}/usage?start_dt=2026-05-20&end_dt=2026-05-29").json()["stats"]
            assert stats[-1]["date"] == "TOTAL", "as real accounts send it"


def test_a_usage_answer_may_end_with_the_sum_of_its_days(
    served: SimulatorServer, hybrid: Fleet, connect: Connect
) -> None:
    iccid = seen(hybrid, False)[0]
    asked = {"start_dt": "2026-06-01", "end_dt": "2026-06-29"}
    with connect(served) as client:
        days = client.get(f"/v1/sims/{iccid}/usage", params=asked).json()["stats"]
        served.set_faults(Faults(total_row=True))
        answer = client.get(f"/v1/sims/{iccid}/usage", params=asked).json()["stats"]
        assert client.get(f"/v1/sims/{iccid}/usage?start_dt=2030-01-01&end_dt=2030-01-02").json()["stats"] == []
    assert (answer[:-1], answer[-1]["date"]) == (days, "TOTAL")
    notes: list[str] = []
    rows, rejected = parse_usage(answer, iccid, date(2026, 6, 1), date(2026, 6, 29), notes)
    assert (len(rows), rejected, notes) == (29, [], [])
    assert sum(row.bytes for row in rows) > 0


# --- streams


def parsed(sent: list[dict[str, Any]]) -> list[Any]:
    notes: list[str] = []
    found = [parse_record(record, received_at=END + timedelta(days=1), notes=notes) for record in sent]
    assert notes == []
    return found


def test_a_mixed_stream_is_flat_for_platform_2_and_nested_for_platform_1(hybrid: Fleet, cards: SimCards) -> None:
    nested, flat, mixed = (records(cards, BEGIN, END, stream=shape) for shape in ("nested", "flat", "mixed"))
    newer = {iccid for iccid, is_newer in zip(hybrid.iccids, hybrid.platform2, strict=True) if is_newer}
    assert [
        one if one["sim"]["iccid"] not in newer else other for one, other in zip(nested, flat, strict=True)
    ] == mixed
    assert 0 < sum("endpoint_name" in record for record in mixed) < len(mixed)
    assert not any(isinstance(value, dict) for record in flat for value in record.values())
    with pytest.raises(ValueError, match="nested, flat, mixed"):
        Feed(cards, stream="round")  # type: ignore[arg-type]


def test_flat_and_nested_records_are_read_as_the_same_usage_and_events(cards: SimCards) -> None:
    nested, flat = (parsed(records(cards, BEGIN, END, stream=shape)) for shape in ("nested", "flat"))
    assert {type(record) for record in flat} == {UsageRecord, EventRecord}
    for one, other in zip(nested, flat, strict=True):
        if isinstance(one, UsageRecord):
            assert one == other
        else:
            # what a flat record gives as numbers alone, or not at all
            silent = dict.fromkeys(("severity", "imei", "imsi", "country", "operator", "imsi_id"))
            assert one._replace(**silent) == other._replace(**silent)


@pytest.mark.parametrize("form", ["json", "csv"])
def test_files_of_a_mixed_stream_hold_what_it_sends(cards: SimCards, tmp_path: Path, form: Any) -> None:
    from tests.simulator.test_stream_http import read

    written = write_files(Feed(cards, stream="mixed"), tmp_path, BEGIN, END, form=form)
    found = parsed([record for path in written for record in read(path)])
    assert sorted(map(repr, found)) == sorted(map(repr, parsed(records(cards, BEGIN, END, stream="mixed"))))


def test_a_broken_flat_record_is_not_counted(cards: SimCards) -> None:
    feed = Feed(cards, stream="flat")
    found = feed.between(BEGIN, END)
    sent = [record for batch in batches(feed, found, Disturbance(broken=0.2), 3_000) for record in batch]
    good = 0
    for record in sent:
        try:
            parse_record(record, received_at=END + timedelta(days=1))
            good += 1
        except ValueError:
            pass
    assert good == len(found) < len(sent) * 0.9


def test_the_simulator_tells_the_shape_of_its_stream(hybrid: Fleet, tmp_path: Path) -> None:
    def opened(of: SimCards) -> Folder:
        return Folder(Feed(of, stream="mixed"), tmp_path, place=NOW)

    with SimulatorServer(hybrid, now=NOW, stream=opened) as server:
        told = httpx.get(server.base_url.replace("/management-api", "/simulator")).json()
    assert told["stream"] == "mixed"
    assert tick(datetime.fromisoformat(told["now"])) == tick(NOW)
