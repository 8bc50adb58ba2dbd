"""Stream records from bodies to rows: exact, in any order, however often they come, and with the broken ones set
aside."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import URL

from resources.database.session import Database
from resources.once.stream_records import AccountEvent, UsageRecord, check_sim, luhn_digit, mb_units, parse_record
from services.ingest.replay import replay
from services.ingest.stream import USAGE_SCHEMA, process_batches
from services.ingest.stream_days import split_by_day
from tests.fleet import NOW, Truth
from tests.stream_records import MINUTE, START, event, iccid, sms, stamp, usage

DAY = timedelta(days=1)
USAGE = """
SELECT u.record_id, s.iccid, u.day, u.kind, u.bytes, u.bytes_rx, u.sms, u.started_at, u.ended_at
FROM core.stream_usage AS u JOIN core.sims AS s USING (sim_key) ORDER BY 1, 3
"""
EVENTS = """
SELECT s.iccid, e.occurred_at, e.event_type, e.severity, e.alert, e.imei, e.imsi, e.country, e.operator, e.record_id
FROM core.sim_events AS e JOIN core.sims AS s USING (sim_key) ORDER BY 1, 2, 3
"""
TABLES = ["core.stream_usage", "core.sim_events", "ops.quarantine"]


class Receiver:
    """The database behind the webhook: batches are put in as a POST leaves them."""

    def __init__(self, database: Database, truth: Truth) -> None:
        self.database, self.truth = database, truth

    def list_sims(self, *numbers: int) -> None:
        for number in numbers:
            self.truth.rows(
                "INSERT INTO core.sims (organization_id, iccid, status, first_seen_at, changed_at)"
                " VALUES (ops.organization('default'), %s, 'Enabled', now(), now())",
                (iccid(number),),
            )

    def receive(self, records: Any, *, at: datetime = NOW, stream: str = "the-stream") -> None:
        self.truth.rows(
            """
            INSERT INTO raw.stream_batches (organization_id, stream_id, body_sha256, body, records, received_at)
            SELECT ops.organization('default'), %(stream)s, sha256(%(body)s), %(body)s, %(records)s, %(at)s
            ON CONFLICT DO NOTHING
            """,
            {"stream": stream, "body": orjson.dumps(records), "records": len(records), "at": at},
        )

    def process(self, **more: Any) -> Any:
        return process_batches(self.database, now=NOW, **more)

    def stored(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        return self.truth.rows(USAGE), self.truth.rows(EVENTS)

    def reasons(self) -> list[str]:
        return self.truth.column("SELECT reason FROM ops.quarantine WHERE resolved_at IS NULL ORDER BY quarantine_id")


@pytest.fixture
def receiver(database: Database, database_url: URL) -> Iterator[Receiver]:
    truth = Truth(database_url)
    made = Receiver(database, truth)
    made.list_sims(1, 2, 3)
    yield made
    truth.close()


@pytest.mark.timescaledb
def test_records_become_rows_exactly(receiver: Receiver) -> None:
    receiver.receive([usage(1, mb=0.000001), usage(2, 2, mb=435.787951), sms(3, 2, 2), event(4)])

    done = receiver.process()

    used, events = receiver.stored()
    names = ("record_id", "iccid", "day", "kind", "bytes", "bytes_rx", "sms", "started_at", "ended_at")
    day, end = START.date(), START + 15 * MINUTE
    assert [tuple(row.values()) for row in used] == [
        (1, iccid(1), day, "data", 1, 0, 0, START, end),
        (2, iccid(2), day, "data", 435787951, 145262650, 0, START, end),
        (3, iccid(2), day, "sms", 0, None, 2, START, START),
    ]
    assert tuple(used[0]) == names
    assert events == [
        {
            "iccid": iccid(1),
            "occurred_at": START,
            "event_type": "Create PDP Context",
            "severity": "INFO",
            "alert": False,
            "imei": "0123456789012345",
            "imsi": "901405000000001",
            "country": "Germany",
            "operator": "Telekom Deutschland",
            "record_id": 4,
        }
    ]
    assert (done.batches, done.records, done.usage.new, done.events.new, done.quarantined) == (1, 4, 3, 1, 0)
    assert receiver.truth.column("SELECT processed_at FROM raw.stream_batches") == [NOW]


def test_nested_objects_may_be_null_and_numbers_may_be_text(receiver: Receiver) -> None:
    bare = {"endpoint": None, "operator": None, "tariff": None, "organisation": None, "currency": None, "imsi": None}
    receiver.receive(
        [
            usage("1", volume={"total": "0.25", "rx": None}, **bare),  # type: ignore[arg-type]
            usage(2, volume={"rx": "0.1", "tx": 0.2}),
            usage(3, volume={"total": 1, "tx": 1}),
            event(4, detail=None, endpoint=None, imsi=None, event_severity=None, alert=None),
            event(5, at=START + MINUTE, imsi="901405000000009"),
            usage(6, sim=1) | {"sim": {"iccid": iccid(1) + luhn_digit(iccid(1))}},
        ]
    )

    receiver.process()

    used, events = receiver.stored()
    assert [(row["record_id"], row["bytes"], row["bytes_rx"]) for row in used] == [
        (1, 250000, None),
        (2, 300000, 100000),
        (3, 1000000, 0),
        (6, 500000, 166666),
    ]
    assert [row["imsi"] for row in events] == [None, "901405000000009"]
    assert receiver.reasons() == []


BROKEN: list[tuple[Any, str]] = [
    ("text", "record: got 'text', expected an object"),
    ({"id": 1}, "event_type, traffic_type: both missing, expected one of them"),
    (usage(1) | {"id": None}, "id: missing, expected a value"),
    (usage(1) | {"id": -4}, "id: got -4, expected a whole number that is not negative"),
    (usage(1) | {"id": 2**63}, "id: got 9223372036854775808, expected a number that fits 64 bits"),
    (usage(1) | {"id": 1.5}, "id: got 1.5, expected a decimal number with at most 0 places"),
    (usage(1) | {"sim": None, "imsi": None, "imsi_id": None, "endpoint": None}, "sim.iccid: missing, expected a value"),
    (
        usage(1) | {"sim": {"iccid": "123"}},
        "sim.iccid: got '123', expected an ICCID of 19 digits, or 20 with its check digit",
    ),
    (
        usage(1) | {"sim": {"iccid": iccid(1) + str((int(luhn_digit(iccid(1))) + 1) % 10)}},
        f"expected {luhn_digit(iccid(1))} as the check digit",
    ),
    (usage(1, traffic_type={"id": 7}), "traffic_type.id: got 7, expected 5 (data) or 6 (SMS)"),
    (usage(1, volume=None), "volume.total: missing, expected a number"),
    (usage(1, volume={"total": "much"}), "volume.total: got 'much', expected a decimal number"),
    (usage(1, volume={"total": 0.0000001}), "volume.total: got 1e-07, expected a decimal number with at most 6 places"),
    (usage(1, volume={"total": -1}), "volume: got {'total': -1}, expected nothing negative"),
    (usage(1, volume={"total": 1, "rx": 2}), "expected nothing negative"),
    (usage(1, volume={"total": 1, "rx": 1, "tx": 1}), "volume.total: got 1, expected rx + tx of the same volume"),
    (usage(1, volume={"total": 1e9}), "volume.total: got 1000000000.0, expected less than 1000000000 MB"),
    (sms(1, volume={"total": 0.5}), "volume.total: got 0.5, expected a decimal number with at most 0 places"),
    (usage(1, start_timestamp="yesterday"), "start_timestamp: got 'yesterday', expected a time like"),
    (
        usage(1, start_timestamp="1999-01-01T00:00:00Z"),
        "start_timestamp: got '1999-01-01T00:00:00Z', expected a time from 2017",
    ),
    (usage(1, end_timestamp="2035-01-01T00:00:00Z"), "was not in the future when it came"),
    (usage(1, minutes=-1), "expected at or after the start, within 100 days"),
    (usage(1, at=START - 101 * DAY, minutes=101 * 24 * 60), "expected at or after the start, within 100 days"),
    (event(1, timestamp=None), "timestamp: missing, expected a value"),
    (event(1, event_type={"name": "?"}, description=""), "event_type.description: missing, expected an id"),
]  # fmt: skip


def test_broken_records_wait_in_quarantine_with_field_and_value_and_the_good_ones_stay(receiver: Receiver) -> None:
    receiver.receive([usage(100), *(record for record, _ in BROKEN), event(101)])

    done = receiver.process()

    used, events = receiver.stored()
    assert ([row["record_id"] for row in used], [row["record_id"] for row in events]) == ([100], [101])
    assert done.quarantined == len(BROKEN)
    reasons = receiver.truth.column("SELECT reason FROM ops.quarantine WHERE source = 'stream'")
    for record, words in BROKEN:
        assert any(words in reason for reason in reasons), (record, words)
    kept = receiver.truth.rows("SELECT record, record_key FROM ops.quarantine WHERE reason LIKE 'traffic_type.id%%'")
    assert kept[0]["record"]["record"] == orjson.loads(orjson.dumps(usage(1, traffic_type={"id": 7})))
    assert kept[0]["record_key"].startswith("usage 1 ")


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 1000 + b"]" * 1000,
        b'[{"id": ' + b"[" * 900 + b"]" * 900 + b', "traffic_type": {"id": 5}}]',
        b'[{"id": "\\u0000", "event_type": "\\u0000"}, 1e300, null, [], "\\u0000"]',
    ],
    ids=range(3),
)
def test_no_body_that_the_webhook_takes_can_stop_the_others(receiver: Receiver, body: bytes) -> None:
    receiver.truth.rows(
        "INSERT INTO raw.stream_batches (organization_id, stream_id, body_sha256, body, records, received_at)"
        " VALUES (ops.organization('default'), 'the-stream', sha256(%(body)s), %(body)s, 1, now())",
        {"body": body},
    )
    receiver.receive([usage(1)])

    done = receiver.process()

    assert (done.batches, done.usage.new) == (2, 1)
    assert done.quarantined >= 1
    assert receiver.truth.one("SELECT count(*) FROM raw.stream_batches WHERE processed_at IS NULL") == 0


@pytest.mark.timescaledb
def test_records_twice_reversed_and_late_give_the_same_rows(receiver: Receiver) -> None:
    records = [usage(n, 1 + n % 3, mb=round(n / 7, 6), at=START + n * 97 * MINUTE - 3 * DAY) for n in range(60)]
    records += [event(1000 + n, 1 + n % 3, at=START - n * MINUTE) for n in range(40)]
    receiver.receive(records)
    receiver.process()
    expected, expected_events = receiver.stored()
    assert len(expected) >= 60
    assert len(expected_events) == 40
    receiver.truth.rows("TRUNCATE core.stream_usage, core.sim_events, raw.stream_batches")

    mixed = [*records, *records]
    random.Random(5).shuffle(mixed)
    for first in range(0, len(mixed), 7):
        receiver.receive(mixed[first : first + 7])
        if first % 3 == 0:
            receiver.process()
    receiver.process()
    receiver.receive(list(reversed(records)), at=NOW + DAY)
    done = receiver.process()

    assert receiver.stored() == (expected, expected_events)
    assert (done.usage.new, done.events.new, done.quarantined) == (0, 0, 0)
    assert (done.usage.unchanged, done.events.unchanged) == (len(expected), 40)


@pytest.mark.timescaledb
def test_a_second_pass_writes_nothing(receiver: Receiver) -> None:
    records = [usage(1), usage(1), sms(2), event(3), usage(4, at=START + 14 * 60 * MINUTE - MINUTE), "broken"]
    receiver.receive(records)
    receiver.process()
    before = receiver.truth.versions(TABLES)
    receiver.receive(records[:5], at=NOW + DAY)

    receiver.process()

    assert receiver.truth.versions(TABLES) == before


@pytest.mark.timescaledb
@pytest.mark.parametrize("together", [True, False])
def test_the_same_id_with_other_content_stays_as_it_came_first(receiver: Receiver, together: bool) -> None:
    first = [usage(1, mb=1), usage(2, mb=2), event(3), usage(4, mb=4)]
    second = [usage(1, mb=9), usage(2, 2, mb=2), event(3, at=START + MINUTE), usage(4, mb=4, at=START + DAY / 2)]
    if together:
        receiver.receive(first + second)
    else:
        receiver.receive(first)
        receiver.process()
        receiver.receive(second)

    done = receiver.process()

    used, events = receiver.stored()
    assert [(row["record_id"], row["iccid"], row["bytes"], row["started_at"]) for row in used] == [
        (1, iccid(1), 1_000_000, START),
        (2, iccid(1), 2_000_000, START),
        (4, iccid(1), 4_000_000, START),
    ]
    assert [(row["record_id"], row["occurred_at"]) for row in events] == [(3, START)]
    assert done.quarantined == 4
    assert sorted(receiver.reasons()) == [
        f"id: got {n} with other content than before, which stays; expected it to say the same" for n in (1, 2, 3, 4)
    ]


@pytest.mark.timescaledb
def test_an_event_that_polling_brought_stays_as_it_is(receiver: Receiver) -> None:
    receiver.truth.rows(
        "INSERT INTO core.sim_events (organization_id, sim_key, occurred_at, event_type, severity)"
        " SELECT organization_id, sim_key, %s, 'Create PDP Context', 'Info' FROM core.sims WHERE iccid = %s",
        (START, iccid(1)),
    )
    before = receiver.truth.versions(TABLES)
    receiver.receive([event(1)])

    done = receiver.process()

    assert receiver.truth.versions(TABLES) == before
    assert (done.events.unchanged, done.quarantined) == (1, 0)


@pytest.mark.timescaledb
def test_records_of_a_sim_not_listed_yet_are_taken_up_once_it_is(receiver: Receiver) -> None:
    receiver.receive([usage(1, 7, mb=1), usage(2), event(3, 7), usage(1, 7, mb=2)])
    receiver.receive([usage(1, 7, mb=1), usage(4, 8)], at=NOW + DAY)
    receiver.process()
    assert sorted(set(receiver.reasons())) == [
        f"sim.iccid: got '{iccid(n)}', which is not in the SIM list" for n in (7, 8)
    ]
    assert receiver.process().retried == 0
    receiver.list_sims(7)

    done = receiver.process()

    used, events = receiver.stored()
    assert [(row["record_id"], row["bytes"]) for row in used] == [(1, 1_000_000), (2, 500_000)]
    assert [row["record_id"] for row in events] == [3]
    assert done.retried == 2
    assert receiver.reasons() == [
        f"sim.iccid: got '{iccid(8)}', which is not in the SIM list",
        "id: got 1 with other content than before, which stays; expected it to say the same",
    ]
    assert receiver.process().retried == 0


def test_a_replay_takes_up_stream_records_too(receiver: Receiver) -> None:
    receiver.receive([usage(1, 7), usage(2, 7, traffic_type={"id": 9})])
    receiver.process()
    receiver.list_sims(7)

    done = replay(receiver.database, now=NOW)

    assert (done.tried, done.passed, done.merged.new) == (2, 1, 1)
    assert [row["record_id"] for row in receiver.stored()[0]] == [1]
    assert receiver.truth.column("SELECT resolution FROM ops.quarantine WHERE resolved_at IS NOT NULL") == ["replayed"]


def test_memory_is_bounded_by_blocks_and_a_limit_holds(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.ingest.stream.BLOCK_RECORDS", 5)
    for n in range(12):
        receiver.receive([usage(10 * n + k) for k in range(3)])

    assert receiver.process(limit=2).batches == 2
    assert receiver.process().batches == 10
    assert len(receiver.stored()[0]) == 36


def test_a_batch_that_another_process_works_on_is_left_to_it(receiver: Receiver) -> None:
    receiver.receive([usage(1)])
    receiver.receive([usage(2)])
    with receiver.database.transaction() as other:
        (taken,) = other.rows("take_stream_batches", {"records": 1, "bytes": 1})
        # it looks ahead of what it takes, and holds that as well
        assert receiver.process().batches == 0
        assert taken["batch_id"] == 1
    assert receiver.process().batches == 2


def test_a_pass_that_breaks_off_leaves_the_batch_to_the_next(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.receive([usage(1), event(2)])

    def broken(*_: Any) -> Any:
        raise RuntimeError("the plug is pulled")

    monkeypatch.setattr("services.ingest.stream._unique_events", broken)
    with pytest.raises(RuntimeError, match="plug"):
        receiver.process()
    monkeypatch.undo()
    assert receiver.stored() == ([], [])

    receiver.process()

    assert [len(rows) for rows in receiver.stored()] == [1, 1]


@pytest.mark.timescaledb
def test_the_rows_of_another_organization_are_neither_seen_nor_touched(receiver: Receiver, database_url: URL) -> None:
    receiver.receive([usage(1)])
    other = Database(database_url, "other")

    assert process_batches(other, now=NOW).batches == 0
    assert receiver.process().batches == 1

    receiver.truth.rows(
        "UPDATE raw.stream_batches SET organization_id = ops.organization('other'), processed_at = NULL"
    )
    assert process_batches(other, now=NOW).quarantined == 1  # a SIM of another's list is not in its own
    assert other.rows("sim_keys") == []
    other.close()


# --- over midnight ---------------------------------------------------------------------------------------------------

TIMES = st.datetimes(datetime(2024, 12, 25), datetime(2025, 1, 10), timezones=st.just(UTC))
AMOUNTS = st.one_of(st.integers(0, 10), st.integers(0, 10**15 - 1))


@st.composite
def spans(draw: st.DrawFn) -> UsageRecord:
    ends = sorted([draw(TIMES), draw(TIMES)])
    if draw(st.booleans()):
        ends[draw(st.integers(0, 1))] = ends[0].replace(hour=0, minute=0, second=0, microsecond=0)
        ends.sort()
    rx, tx = draw(AMOUNTS), draw(AMOUNTS)
    known = draw(st.booleans())
    kind = draw(st.sampled_from(["data", "sms"]))
    if kind == "sms":
        return UsageRecord(1, iccid(1), kind, *ends, min(rx, 10**6), None, None, None, None)
    return UsageRecord(1, iccid(1), kind, *ends, rx + tx, *((rx, tx) if known else (None, None)), None, None)


def slow_split(record: UsageRecord) -> list[tuple[date, int, int | None, int]]:
    """The obvious twin: day by day in exact fractions."""
    whole = record.ended_at - record.started_at
    last = (record.ended_at - timedelta(microseconds=1) if whole else record.ended_at).date()
    days = [record.started_at.date() + n * DAY for n in range((last - record.started_at.date()).days + 1)]

    def parts(amount: int) -> list[int]:
        shares = []
        for day in days[:-1]:
            midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
            spent = min(record.ended_at, midnight + DAY) - max(record.started_at, midnight)
            shares.append(
                int(amount * Fraction(spent // timedelta(microseconds=1), whole // timedelta(microseconds=1)))
            )
        return [*shares, amount - sum(shares)]

    if record.rx is None or record.tx is None:
        rx, amounts = [None] * len(days), parts(record.total)
    else:
        rx = parts(record.rx)  # type: ignore[assignment]
        amounts = [a + b for a, b in zip(parts(record.rx), parts(record.tx), strict=True)]
    data = record.kind == "data"
    return [
        (day, amount if data else 0, received if data else None, 0 if data else amount)
        for day, amount, received in zip(days, amounts, rx, strict=True)
    ]


def split(records: Sequence[UsageRecord]) -> pl.DataFrame:
    rows = [(*record, NOW, seq) for seq, record in enumerate(records)]
    return split_by_day(pl.DataFrame(rows, schema=USAGE_SCHEMA, orient="row").with_columns(sim_key=pl.lit(1)))


@given(st.lists(spans(), min_size=1, max_size=8))
def test_a_record_over_midnight_is_split_as_the_slow_twin_does_and_nothing_is_lost(records: list[UsageRecord]) -> None:
    records = [record._replace(record_id=n) for n, record in enumerate(records)]

    found = split(records).sort("record_id", "day")

    for n, record in enumerate(records):
        rows = found.filter(pl.col("record_id") == n).select("day", "bytes", "bytes_rx", "sms").rows()
        assert rows == slow_split(record)
        assert sum(row[1] + row[3] for row in rows) == record.total
        assert all(row[2] is None or 0 <= row[2] <= row[1] for row in rows)
        assert sum(row[2] or 0 for row in rows) == (record.rx or 0)


@pytest.mark.timescaledb
def test_a_record_over_midnight_is_a_row_a_day(receiver: Receiver) -> None:
    evening = datetime(2025, 9, 22, 18, tzinfo=UTC)
    receiver.receive(
        [usage(1, at=evening, minutes=24 * 60, volume={"total": 0.000007, "rx": 0.000003, "tx": 0.000004})]
    )
    receiver.receive([usage(2, at=evening, minutes=6 * 60, mb=1), usage(3, at=evening + DAY / 4, minutes=0, mb=1)])

    receiver.process()

    rows = [(row["record_id"], row["day"], row["bytes"], row["bytes_rx"]) for row in receiver.stored()[0]]
    first, second = date(2025, 9, 22), date(2025, 9, 23)
    assert rows == [
        (1, first, 1, 0),
        (1, second, 6, 3),
        (2, first, 1_000_000, 333_333),
        (3, second, 1_000_000, 333_333),
    ]


# --- single values ---------------------------------------------------------------------------------------------------


@given(st.integers(0, 10**15 - 1))
def test_every_volume_of_six_places_comes_through_a_json_parser_exactly(units: int) -> None:
    text = f"{units // 10**6}.{units % 10**6:06d}"
    assert mb_units(orjson.loads(text)) == units
    assert mb_units(text) == units


@given(st.integers(1, 10**14), st.integers(1, 9))
def test_a_seventh_place_is_refused(units: int, seventh: int) -> None:
    value = orjson.loads(f"{units // 10**6 % 10**6}.{units % 10**6:06d}{seventh}")
    with pytest.raises(ValueError, match="at most 6 places"):
        mb_units(value)


@given(st.from_regex(r"[0-9]{19}", fullmatch=True))
def test_a_check_digit_is_the_one_that_makes_the_luhn_sum_a_multiple_of_ten(digits: str) -> None:
    full = digits + luhn_digit(digits)
    doubled = [int(d) * (2 if n % 2 else 1) for n, d in enumerate(reversed(full))]
    assert sum(d // 10 + d % 10 for d in doubled) % 10 == 0
    assert check_sim(full) == check_sim(digits) == digits


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(["usage", "sms", "event"]), st.data())
def test_whatever_stands_in_a_field_a_record_becomes_a_row_or_a_reason(kind: str, data: st.DataObject) -> None:
    record: dict[str, Any] = {"usage": usage, "sms": sms, "event": event}[kind](1)
    field = data.draw(st.sampled_from(sorted(record)))
    inside = record[field]
    if isinstance(inside, dict) and data.draw(st.booleans()):
        record[field] = inside | {data.draw(st.sampled_from(sorted(inside))): data.draw(JSON)}
    else:
        record[field] = data.draw(JSON)

    try:
        row = parse_record(record, received_at=NOW)
    except ValueError as broken:
        said = str(broken)
    else:
        whose = "the account" if isinstance(row, AccountEvent) else row.iccid
        said = f"{whose}: {row.record_id}"
    assert ": " in said


def test_an_event_whose_sim_is_null_is_the_accounts() -> None:
    assert isinstance(parse_record(event(1) | {"sim": None}, received_at=NOW), AccountEvent)


def test_a_stamp_reads_back() -> None:
    assert stamp(START) == "2025-09-23T10:00:00.000Z"
