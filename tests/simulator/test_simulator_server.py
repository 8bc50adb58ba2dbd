"""The simulated account over HTTP: paging, the clock, and each fault doing what it says."""

import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pytest

from resources.ports import PortInUseError
from simulator.app import months_before
from simulator.faults import Faults
from simulator.fleet import Fleet
from simulator.ledger import DAY_SECONDS, tick
from simulator.server import SimulatorServer, serve
from tests.conftest import LOCAL

NOW = datetime(2026, 6, 30, 9, 0, tzinfo=UTC)
LATER = date(2027, 1, 1).toordinal()
Connect = Callable[[SimulatorServer], httpx.Client]


def walked(client: httpx.Client, size: int = 50) -> list[str]:
    """ICCIDs of one walk through the list."""
    seen, page = [], 1
    while True:
        answer = client.get("/v1/sims", params={"page": page, "pageSize": size})
        seen += [card["iccid"] for card in answer.json()]
        if page >= int(answer.headers["x-total-pages"]):
            return seen
        page += 1


def a_sim(fleet: Fleet, archetype: int = 1) -> str:
    """A SIM that sends on most days and was active all year, without trouble or top-ups of its own."""
    demand = fleet.demand
    fits = (demand.archetype == archetype) & (demand.activation < fleet.start.toordinal()) & (demand.ends > LATER)
    return fleet.iccids[int(np.flatnonzero(fits)[0])]


def usage(client: httpx.Client, iccid: str, **asked: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = client.get(f"/v1/sims/{iccid}/usage", params=asked).json()["stats"]
    return rows


def volumes(rows: list[dict[str, Any]]) -> dict[str, float]:
    return {row["date"][:10]: float(row["data"]["volume"]) for row in rows}


def test_two_servers_of_the_same_seed_give_the_same_bytes(connect: Connect) -> None:
    answers = []
    for _ in range(2):
        fleet = Fleet(seed=3, sims=40, start=date(2026, 1, 1))
        with SimulatorServer(fleet, now=NOW) as server, connect(server) as client:
            paths = ["/v1/sims?pageSize=100", "/v1/orders", "/v1/support?pageSize=100", "/v1/products"]
            for iccid in fleet.iccids[:10]:
                one = f"/v1/sims/{iccid}"
                paths += [one, *(f"{one}/{x}" for x in ("usage", "status", "quota/data", "quota/sms", "events", "sms"))]
            answers.append([(answer.status_code, answer.content) for answer in map(client.get, paths)])
    assert answers[0] == answers[1]


def test_paging_shows_every_sim_once_and_a_page_after_the_last_is_empty(calm: httpx.Client, fleet: Fleet) -> None:
    visible = [
        iccid for iccid, day in zip(fleet.iccids, fleet.demand.activation, strict=True) if day <= NOW.toordinal()
    ]
    assert walked(calm, 37) == visible
    beyond = calm.get("/v1/sims", params={"page": 99})
    assert beyond.json() == []
    assert beyond.headers["x-total-count"] == str(len(visible))
    assert len(calm.get("/v1/sims").json()) == 10


def test_a_filter_and_a_sort_do_what_they_say(calm: httpx.Client) -> None:
    cards = calm.get("/v1/sims", params={"pageSize": 100, "sort": "-imei"}).json()
    assert [card["imei"] for card in cards] == sorted((card["imei"] for card in cards), reverse=True)
    card = cards[0]
    for asked in (f"imei:{card['imei']}", f"ip_address:{card['ip_address']},imei:{card['imei']}"):
        assert calm.get("/v1/sims", params={"q": asked}).json() == [card]


def test_events_are_paged_newest_first_or_as_asked(calm: httpx.Client, fleet: Fleet) -> None:
    path = f"/v1/sims/{a_sim(fleet)}/events"
    whole = calm.get(path, params={"pageSize": 1000}).json()
    times = [event["timestamp"] for event in whole["events"]]
    assert times == sorted(times, reverse=True)
    assert whole["totalEvents"] == len(times)
    pages = [
        calm.get(path, params={"page": page, "pageSize": 50}).json() for page in range(1, -(-len(times) // 50) + 1)
    ]
    assert [event for page in pages for event in page["events"]] == whole["events"]
    assert pages[0]["totalPages"] == len(pages)
    upward = calm.get(path, params={"pageSize": 1000, "sort": "timestamp"}).json()["events"]
    assert upward == whole["events"][::-1]


def test_usage_reaches_back_six_months_and_not_a_day_more(calm: httpx.Client, fleet: Fleet) -> None:
    rows = usage(calm, a_sim(fleet), start_dt="2025-01-01", end_dt="2027-01-01")
    assert [rows[0]["date"][:10], rows[-1]["date"][:10]] == ["2025-12-30", "2026-06-30"]
    assert len(rows) == 183
    assert usage(calm, a_sim(fleet), start_dt="2025-01-01", end_dt="2025-06-01") == []
    assert months_before(date(2026, 8, 31), 6) == date(2026, 2, 28)


def test_days_before_activation_are_absent(calm: httpx.Client, fleet: Fleet) -> None:
    day = fleet.demand.activation
    young = int(np.flatnonzero((day > fleet.start.toordinal()) & (day < NOW.toordinal()))[0])
    rows = usage(calm, fleet.iccids[young], start_dt="2026-01-01", end_dt="2026-06-30")
    assert rows[0]["date"][:10] == date.fromordinal(int(day[young])).isoformat()


def test_usage_and_quota_over_http_are_the_fleets_own_numbers(calm: httpx.Client, fleet: Fleet) -> None:
    iccid = a_sim(fleet)
    i = fleet.iccids.index(iccid)
    truth = fleet.usage([i], date(2026, 6, 1), date(2026, 6, 30), NOW)
    rows = usage(calm, iccid, start_dt="2026-06-01", end_dt="2026-06-30")
    for field, expected in (("volume", truth.volume), ("volume_rx", truth.rx), ("volume_tx", truth.tx)):
        assert [int(row["data"][field].replace(".", "")) for row in rows] == expected[0].tolist()
    assert [int(row["sms"]["volume_rx"]) for row in rows] == truth.sms_mo[0].tolist()
    left, _ = fleet.remaining([i], NOW)
    assert round(calm.get(f"/v1/sims/{iccid}/quota/data").json()["volume"] * 1_000_000) == left[0]


def test_the_list_grows_and_today_grows_as_the_virtual_time_moves(
    server: SimulatorServer, client: httpx.Client, fleet: Fleet
) -> None:
    server.set_now(datetime(2026, 1, 2, tzinfo=UTC))
    early = walked(client)
    clock = httpx.post(
        server.base_url.replace("/management-api", "/simulator/clock"),
        json={"now": "2026-06-30T12:00:00+02:00"},
        **LOCAL,
    )
    assert clock.json() == {"now": "2026-06-30T10:00:00+00:00"}
    assert len(walked(client)) > len(early)
    before = volumes(usage(client, a_sim(fleet)))
    server.set_now(datetime(2026, 6, 30, 20, tzinfo=UTC))
    after = volumes(usage(client, a_sim(fleet)))
    assert after.pop("2026-06-30") > before.pop("2026-06-30")
    assert before == after


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"now": 3}',
        b'{"now": "yesterday"}',
        b'{"now": "2026-06-30T09:00:00"}',
        b'{"now": "2020-01-01T00:00:00Z"}',
    ],
)
def test_a_bad_virtual_time_is_refused_and_changes_nothing(server: SimulatorServer, body: bytes) -> None:
    root = server.base_url.removesuffix("/management-api")
    answer = httpx.post(f"{root}/simulator/clock", content=body, **LOCAL)
    assert answer.status_code == 400
    assert "now" in answer.json()["message"]
    assert httpx.get(f"{root}/simulator", **LOCAL).json()["now"] == NOW.isoformat()


def test_no_route_shows_the_truth_and_the_front_page_says_synthetic(
    calm_server: SimulatorServer, calm: httpx.Client
) -> None:
    root = calm_server.base_url.removesuffix("/management-api")
    page = httpx.get(f"{root}/simulator", **LOCAL).json()
    assert set(page) == {"note", "seed", "sims", "start", "now", "platform2_share", "v1_until", "stream"}
    assert "synthetic" in page["note"]
    for path in ("/simulator/truth", "/truth", "/management-api/v1/truth", "/simulator/fleet"):
        assert httpx.get(root + path, **LOCAL).status_code == 404
    answers = [calm.get(path).text for path in ("/v1/sims?pageSize=100", "/v1/support?pageSize=100", "/v1/orders")]
    for word in ("archetype", "runaway", "anomal", "churn", "priority", "category", "firmware_loop"):
        assert all(word not in answer for answer in answers)


def test_one_call_more_than_the_limit_within_a_second_gets_429(
    server: SimulatorServer, client: httpx.Client, fleet: Fleet
) -> None:
    server.set_faults(Faults(requests_per_second=5))
    answers = [client.get(f"/v1/sims/{a_sim(fleet)}/quota/sms") for _ in range(8)]
    taken = [moment for moment, _, path, status in server.requests if "/v1/sims" in path and status == 200]
    assert all(later - earlier > 0.99 for earlier, later in zip(taken, taken[5:], strict=False))
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    assert client.get("/v1/products").status_code == 200
    time.sleep(1.05)
    assert client.get("/v1/sims").status_code == 200


def test_a_token_that_dies_early_gets_401_and_a_new_one_works(
    server: SimulatorServer, client: httpx.Client, connect: Connect
) -> None:
    assert client.get("/v1/sims").status_code == 200
    server.set_faults(Faults(token_lifetime_s=0))
    refused = client.get("/v1/sims")
    assert (refused.status_code, refused.content) == (401, b"")
    server.set_faults(Faults(token_lifetime_s=30))
    with connect(server) as again:
        assert again.get("/v1/sims").status_code == 200


def test_server_errors_come_at_their_rate_and_on_the_same_calls_each_time(
    server: SimulatorServer, client: httpx.Client
) -> None:
    runs = []
    for _ in range(2):
        server.set_faults(Faults(server_error_rate=0.3))
        runs.append([client.get("/v1/products").status_code for _ in range(200)])
    assert runs[0] == runs[1]
    assert set(runs[0]) == {200, 500, 503}
    assert 0.2 < sum(status != 200 for status in runs[0]) / 200 < 0.4


def test_slow_answers_are_slow_and_hold_up_nobody_else(server: SimulatorServer, client: httpx.Client) -> None:
    server.set_faults(Faults(slow_rate=1.0, slow_seconds=0.2))
    with pytest.raises(httpx.ReadTimeout):
        client.get("/v1/products", timeout=0.1)
    began = time.monotonic()
    assert client.get("/v1/products").status_code == 200
    assert time.monotonic() - began >= 0.2
    server.set_faults(Faults(slow_rate=1.0, slow_seconds=1.5))
    late: list[int] = []
    waiting = threading.Thread(target=lambda: late.append(client.get("/v1/products").status_code))
    waiting.start()
    assert httpx.get(server.base_url.replace("/management-api", "/simulator"), **LOCAL).status_code == 200
    assert late == []
    waiting.join()
    assert late == [200]


def test_a_cut_body_breaks_off_halfway_of_its_promised_length(server: SimulatorServer, client: httpx.Client) -> None:
    server.set_faults(Faults(cut_body_rate=1.0))
    pieces: list[bytes] = []
    with client.stream("GET", "/v1/sims") as answer, pytest.raises(httpx.RemoteProtocolError):
        pieces.extend(answer.iter_raw())
    promised = int(answer.headers["content-length"])
    assert sum(map(len, pieces)) == promised // 2 > 0
    server.set_faults(Faults())
    assert client.get("/v1/sims").status_code == 200


def test_a_moving_list_shows_one_sim_twice_and_hides_one_for_one_pass(
    server: SimulatorServer, client: httpx.Client
) -> None:
    whole = walked(client)
    server.set_faults(Faults(duplicate_sim_across_pages=True))
    first, second = walked(client), walked(client)
    assert len(first) == len(whole)
    assert len(set(whole) - set(first)) == 1
    assert max(Counter(first).values()) == 2
    assert second == whole


def test_days_without_traffic_are_zero_rows_or_absent_as_asked(
    server: SimulatorServer, client: httpx.Client, fleet: Fleet
) -> None:
    iccid = a_sim(fleet, archetype=6)
    whole = usage(client, iccid)
    server.set_faults(Faults(missing_zero_days=True))
    sparse = usage(client, iccid)
    empty = [row for row in whole if row["data"]["volume"] == "0.000000" and row["sms"]["volume"] == "0"]
    assert len(empty) > 100
    assert sparse == [row for row in whole if row not in empty]


def test_late_corrections_raise_the_last_two_days_until_they_are_final(
    server: SimulatorServer, client: httpx.Client, fleet: Fleet
) -> None:
    final = fleet.usage(range(fleet.sims), date(2026, 6, 28), date(2026, 6, 28)).volume[:, 0]
    active = np.flatnonzero((final > 1000) & (fleet.demand.expiry > LATER))[:40].tolist()
    server.set_faults(Faults(late_corrections=True))
    reported = []
    for day in (29, 30, 31):
        server.set_now(datetime(2026, 6, 1, 6, tzinfo=UTC) + timedelta(days=day - 1))
        rows = [usage(client, fleet.iccids[i], start_dt="2026-06-28", end_dt="2026-06-28") for i in active]
        reported.append([round(float(row[0]["data"]["volume"]) * 1e6) if row else None for row in rows])
    fresh, older, settled = reported
    assert settled == final[active].tolist()
    assert None in fresh
    assert None not in older
    assert all(one is None or one < two <= three for one, two, three in zip(fresh, older, settled, strict=True))
    assert sum(older) < sum(settled)
    row = usage(client, fleet.iccids[active[0]], start_dt="2026-06-29", end_dt="2026-06-30")[0]["data"]
    parts = [int(row[field].replace(".", "")) for field in ("volume", "volume_rx", "volume_tx")]
    assert parts[0] == parts[1] + parts[2]


def test_text_stands_where_a_number_belongs_on_the_same_few_rows_each_time(
    server: SimulatorServer, client: httpx.Client, fleet: Fleet
) -> None:
    server.set_faults(Faults(text_where_number=True))
    alive = [fleet.iccids[i] for i in np.flatnonzero(fleet.demand.expiry > NOW.toordinal())[:20]]
    runs = [[row["data"]["volume"] == "n/a" for iccid in alive for row in usage(client, iccid)] for _ in range(2)]
    assert runs[0] == runs[1]
    assert 0.002 < sum(runs[0]) / len(runs[0]) < 0.03


def test_the_request_list_shows_each_call_with_its_query_and_status(
    server: SimulatorServer, client: httpx.Client
) -> None:
    server.clear_requests()
    client.get("/v1/sims?page=2&pageSize=5")
    client.get("/v1/sims/1")
    assert [request[1:] for request in server.requests] == [
        ("GET", "/management-api/v1/sims?page=2&pageSize=5", 200),
        ("GET", "/management-api/v1/sims/1", 404),
    ]


def test_status_agrees_with_the_sessions(calm: httpx.Client, fleet: Fleet) -> None:
    seen = Counter()
    for i in np.flatnonzero(fleet.demand.expiry > NOW.toordinal())[:120].tolist():
        answer = calm.get(f"/v1/sims/{fleet.iccids[i]}/status")
        if answer.status_code == 404:
            continue
        events = calm.get(f"/v1/sims/{fleet.iccids[i]}/events").json()["events"]
        seen[answer.json()["status"]] += 1
        network = [event for event in events if "PDP" in event["event_type"]]
        online = bool(network) and network[0]["event_type"].startswith("New PDP Context")
        assert (answer.json()["status"] == "ONLINE") == online == ("pdp_context" in answer.json())
    assert set(seen) == {"ONLINE", "ATTACHED", "OFFLINE"}
    assert tick(NOW) // DAY_SECONDS == NOW.toordinal()


def test_a_taken_port_is_named_with_advice(fleet: Fleet) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortInUseError, match=f"127.0.0.1:{port}.*choose another one"):
            SimulatorServer(fleet, now=NOW, port=port)
        with pytest.raises(PortInUseError, match=f"127.0.0.1:{port}.*choose another one"):
            serve(fleet, now=NOW, host="127.0.0.1", port=port)


def test_a_time_before_the_fleet_and_a_share_above_one_are_refused(fleet: Fleet) -> None:
    with pytest.raises(ValueError, match="before the fleet's start"):
        SimulatorServer(fleet, now=datetime(2025, 12, 31, tzinfo=UTC))
    with pytest.raises(ValueError, match="server_error_rate is 5"):
        Faults(server_error_rate=5)
    with pytest.raises(ValueError, match="positive"):
        Faults(requests_per_second=0)


def test_a_blocking_server_answers_and_stops_cleanly_on_ctrl_c() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = (
        "from datetime import UTC, date, datetime; from simulator.fleet import Fleet; from simulator.server import "
        "serve; serve(Fleet(sims=5, start=date(2026, 1, 1)), now=datetime(2026, 2, 1, tzinfo=UTC), port="
        + str(port)
        + "); print('stopped')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        page = None
        while page is None and process.poll() is None:
            try:
                page = httpx.get(f"http://127.0.0.1:{port}/simulator", timeout=5, **LOCAL).json()
            except httpx.TransportError:
                time.sleep(0.05)
        assert page is not None, process.communicate()
        assert page["sims"] == 5
        process.send_signal(2)
        output, errors = process.communicate(timeout=20)
    finally:
        process.kill()
    assert (output.strip(), errors, process.returncode) == ("stopped", "", 0)
