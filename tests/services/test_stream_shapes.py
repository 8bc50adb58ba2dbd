"""Stream records in the shapes that 1NCE really sends: its times and words, flat records, events of the account."""

from datetime import UTC, datetime
from typing import Any

from resources.database.session import Database
from resources.once.records import Event, parse_records
from services.ingest.endpoints import EVENTS as REST_EVENTS
from services.ingest.replay import replay
from services.ingest.stream import process_batches
from tests.fleet import NOW
from tests.services.test_stream import Receiver, receiver
from tests.stream_records import MINUTE, START, event, iccid, stamp, usage

__all__ = ["receiver"]
AT = "2025-09-23 10:00:00"
FLAT_USAGE = {
    "id": 9001,
    "start_timestamp": AT,
    "end_timestamp": "2025-09-23 10:15:00",
    "endpoint_imei": "8688122901668500",
    "endpoint_name": iccid(1),
    "sim_id": 10034892,
    "imsi_id": 100034892,
    "traffic_type_id": 5,
    "volume_total": 2.5,
    "volume_tx": 0.5,
    "volume_rx": 2,
}
FLAT_EVENT = {
    "id": 9002,
    "timestamp": AT,
    "alert": 0,
    "description": "New PDP Context successfully activated",
    "endpoint_name": iccid(1),
    "sim_id": 10034892,
    "event_type_id": 3,
    "detail_country_name": "Germany",
    "detail_name": "Telefonica",
}


def test_flat_records_are_stored_as_nested_ones(receiver: Receiver) -> None:
    receiver.receive([FLAT_USAGE, FLAT_EVENT])
    receiver.process()
    used, events = receiver.stored()
    assert receiver.reasons() == []
    assert [(row["iccid"], row["bytes"], row["bytes_rx"], row["started_at"]) for row in used] == [
        (iccid(1), 2_500_000, 2_000_000, START)
    ]
    assert [(row["iccid"], row["occurred_at"], row["event_type"], row["alert"]) for row in events] == [
        (iccid(1), START, "Create PDP Context", False)
    ]
    assert (events[0]["country"], events[0]["operator"]) == ("Germany", "Telefonica")


def test_a_record_without_iccid_is_of_the_sim_that_was_known_by_its_other_names(receiver: Receiver) -> None:
    receiver.truth.run(f"UPDATE core.sims SET imsi = '901405180005433' WHERE iccid = '{iccid(2)}'")
    receiver.truth.run(f"UPDATE core.sims SET imei = '868812290166850' WHERE iccid = '{iccid(3)}'")
    named = FLAT_USAGE | {"endpoint_name": "pump 7", "sim_id": None, "imsi_id": None, "endpoint_imei": None}
    receiver.receive([usage(1), named | {"id": 11, "sim_id": 1}, named | {"id": 12, "imsi_id": 1}])
    receiver.receive([named | {"id": 13, "imsi": "901405180005433"}])
    receiver.receive([named | {"id": 14, "endpoint_imei": "8688122901668500"}, named | {"id": 15, "sim_id": 77}])

    done = receiver.process()

    assert done.quarantined == 1
    assert receiver.reasons() == ["sim.iccid: missing, and the SIM list knows no 'sim_id 77'"]
    used, _ = receiver.stored()
    assert {row["record_id"]: row["iccid"] for row in used} == {
        1: iccid(1), 11: iccid(1), 12: iccid(1), 13: iccid(2), 14: iccid(3),
    }  # fmt: skip

    taught = usage(16, 3) | {"sim": {"id": 77, "iccid": iccid(3)}}
    receiver.receive([taught])
    receiver.process()
    assert receiver.process().retried == 1
    used, _ = receiver.stored()
    assert {row["record_id"]: row["iccid"] for row in used}[15] == iccid(3)
    assert receiver.reasons() == []


def test_an_event_of_no_sim_is_the_accounts_and_never_in_quarantine(receiver: Receiver) -> None:
    enabled = {"id": 52, "description": "Data quota enabled"}
    without = event(1, event_type=enabled)
    del without["sim"], without["endpoint"]
    receiver.receive([without, event(2, sim=1) | {"sim": None, "imsi": None, "endpoint": {"name": iccid(1)}}])
    done = receiver.process()
    assert (done.of_account, done.quarantined) == (2, 0)
    assert done.metadata()["events of the account"] == 2
    receiver.receive([without, event(3, sim=1) | {"sim": None, "endpoint": None, "alert": 1}])
    receiver.process()
    stored = receiver.truth.rows(
        "SELECT record_id, occurred_at, event_type, alert, severity, description FROM core.account_events_v1 ORDER BY 1"
    )
    assert [(row["record_id"], row["event_type"], row["alert"]) for row in stored] == [
        (1, "Data quota enabled", False),
        (2, "Create PDP Context", False),
        (3, "Create PDP Context", True),
    ]
    assert stored[0]["occurred_at"] == START
    receiver.truth.rows(
        "INSERT INTO ops.quarantine (organization_id, source, record_key, reason, record, first_seen_at, last_seen_at)"
        " VALUES (ops.organization('default'), 'stream', 'event 1', 'sim.iccid: missing', %s, %s, %s)",
        (
            '{"record": {"id": 1, "timestamp": "2025-09-23T10:00:00Z", "event_type": {"id": 52}},'
            ' "asked": {"received_at": "2025-09-23T11:00:00+00:00", "batch": 1, "at": 0}}',
            NOW,
            NOW,
        ),
    )
    replay(receiver.database, now=NOW)
    assert receiver.reasons() == []


def test_times_with_a_blank_and_alerts_as_numbers_are_taken_and_the_operator_from_the_detail(
    receiver: Receiver,
) -> None:
    detail = {"id": 10, "name": "EE", "country": {"id": 205, "name": "United Kingdom"}}
    receiver.receive([event(1, timestamp=AT, alert=1, detail=detail), event(2, at=START + MINUTE, alert="perhaps")])
    done = receiver.process()
    _, events = receiver.stored()
    assert [(row["occurred_at"], row["alert"], row["operator"]) for row in events] == [
        (START, True, "EE"),
        (START + MINUTE, None, "Telekom Deutschland"),
    ]
    assert done.metadata()["values not understood"] == {"alert": 1}


def test_a_flat_event_takes_the_names_that_others_said_of_the_same_numbers(receiver: Receiver) -> None:
    flat = {k: v for k, v in FLAT_EVENT.items() if not k.startswith("detail")} | {"detail_id": 10}
    flat |= {"detail_country_id": 205, "detail_mnc": "20"}
    receiver.receive([flat | {"id": 1}])
    receiver.process()
    detail = {"id": 10, "name": "EE", "country": {"id": 205, "name": "United Kingdom"}}
    receiver.receive([event(2, at=START + MINUTE, detail=detail)])
    receiver.process()
    receiver.receive([flat | {"id": 3, "timestamp": stamp(START + 2 * MINUTE)}])
    receiver.process()
    _, events = receiver.stored()
    assert [(row["country"], row["operator"]) for row in events] == [
        (None, None),
        ("United Kingdom", "EE"),
        ("United Kingdom", "EE"),
    ]


def told(number: int, kind: dict[str, Any], sentence: str, minute: int) -> dict[str, Any]:
    return event(number, at=START + minute * MINUTE, event_type=kind, description=sentence, detail=None)


WORDS = [
    (3, "Create PDP Context", "New PDP Context successfully activated with SGSN CP=192.0.2.1.", "Create PDP Context"),
    (5, "Delete PDP Context", "PDP Context deleted.", "Delete PDP Context"),
    (1, "Update location", "New location received from VLR for IMSI='9', now attached to VLR='4'.", "Update location"),
    (
        9,
        "SIM suspension",
        "Status of SIM changed from 'Activated' to 'Suspended'",
        "Status of SIM changed from 'Activated' to 'Suspended'",
    ),
    (
        18,
        "Quota threshold reached",
        "Endpoint quota threshold reached, volume is below 20%.",
        "Data quota threshold reached",
    ),
    (
        19,
        "Quota used up",
        "Quota volume is completely used up and data access denied for endpoint.",
        "Data quota status changed from 'ACTIVE' to 'EXHAUSTED'",
    ),
    (
        56,
        "Data quota assigned",
        "Data quota got assigned with volume of 500.000000 MB. On exhaustion, the data service will be blocked.",
        "Data quota topped up",
    ),
    (57, "SMS quota assigned", "SMS quota got assigned with volume of 250 SMS.", "SMS quota topped up"),
]


def test_the_same_events_from_rest_and_stream_are_each_one_event(receiver: Receiver) -> None:
    receiver.receive([told(n, {"id": i, "description": d}, s, n) for n, (i, d, s, _) in enumerate(WORDS)])
    receiver.process()
    records = [
        {"timestamp": stamp(START + n * MINUTE).replace(".000Z", ".301+0000"), "event_type": sentence}
        for n, (_, _, sentence, _) in enumerate(WORDS)
    ]
    items, rejected = parse_records(Event, records, iccid=iccid(1))
    assert rejected == []
    key = receiver.truth.one("SELECT sim_key FROM core.sims WHERE iccid = %s", (iccid(1),))
    with receiver.database.transaction() as transaction:
        transaction.merge("merge_events", REST_EVENTS.frame(items, {iccid(1): key}, NOW))
    _, events = receiver.stored()
    assert [(row["occurred_at"], row["event_type"]) for row in events] == [
        (START + n * MINUTE, words) for n, (_, _, _, words) in enumerate(WORDS)
    ]
    # by the id alone, as flat records may tell it, and by the name of the type alone
    for i, name, _, words in WORDS:
        for record in ({"event_type_id": i, "event_type": name}, {"event_type": {"id": i}}, {"event_type": name}):
            (item,), _ = parse_records(Event, [{"timestamp": AT} | record], iccid=iccid(1))
            assert item.event_type in (words, f"Event type {i}"), record
            assert item.at == datetime(2025, 9, 23, 10, tzinfo=UTC)


def test_an_event_of_an_unknown_type_is_kept_as_told_and_counted(receiver: Receiver) -> None:
    receiver.receive([told(1, {"id": 99, "description": "VPN went down"}, "Tunnel 7 is down.", 0)])
    done = receiver.process()
    assert [row["event_type"] for row in receiver.stored()[1]] == ["VPN went down"]
    assert done.metadata()["events of unknown types"] == {"VPN went down": 1}
    notes: list[str] = []
    (item,), _ = parse_records(Event, [{"timestamp": AT, "event_type": "Tunnel 7 is down."}], notes, iccid=iccid(1))
    assert item.event_type == "Tunnel 7 is down."
    assert notes == ["event_type 'Tunnel # is down.': got 'Tunnel 7 is down.', which is kept as it came"]


def test_processing_without_records_says_nothing_is_unknown(database: Database) -> None:
    assert process_batches(database, now=NOW).metadata()["events of unknown types"] == 0
