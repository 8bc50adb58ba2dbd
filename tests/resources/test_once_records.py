"""The pure half of the 1NCE client: single values, headers, errors and records."""

from __future__ import annotations

import contextlib
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.once import errors, responses
from resources.once.errors import OnceForbiddenError, OnceNotFoundError, OnceRequestError, OnceSimExpiredError
from resources.once.records import Connectivity, Event, Order, Product, Quota, SimCard, Sms, Ticket, parse_records
from resources.once.usage_days import parse_usage
from resources.once.values import mb_to_bytes, minor_units, parse_day, parse_time, whole

ICCID = "8988228066600000001"
FIRST, LAST = date(2026, 1, 1), date(2026, 1, 31)


def usage_record(**data: object) -> dict[str, object]:
    full = {"volume": "0.002803", "volume_rx": "0.001482", "volume_tx": "0.001321"} | data
    sms = {"volume": "3", "volume_rx": "2", "volume_tx": "1"}
    return {"date": "2026-01-02T00:00:00.000Z", "data": full, "sms": sms}


# --- numbers, against decimal.Decimal ---


@given(st.integers(-(2**63) + 1, 2**63 - 1))
def test_six_places_come_back_exactly(micro: int) -> None:
    assert mb_to_bytes(f"{Decimal(micro).scaleb(-6):f}") == micro


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=None))
def test_any_decimal_text_is_exact_or_refused(value: Decimal) -> None:
    text = str(value)
    exact = value.as_tuple()
    shift = int(exact.exponent) + 6
    units = int("".join(map(str, exact.digits)) or "0") * (-1 if exact.sign else 1)
    expected = units * 10**shift if shift >= 0 else None
    if shift < 0 and units % 10**-shift == 0:
        expected = units // 10**-shift
    if expected is None or len(text) > 25 or abs(shift) > 50:
        return
    assert mb_to_bytes(text) == expected


@given(st.text(alphabet="0123456789.-+eE _,٣n/a", max_size=14))
def test_text_is_parsed_as_decimal_would_or_refused(text: str) -> None:
    try:
        parsed = mb_to_bytes(text)
    except ValueError:
        return
    assert parsed == Decimal(text.strip()) * 1_000_000


@pytest.mark.parametrize("value", [435.787951, 0.1, 500.0, 1e-06, 123456.789012])
def test_a_number_in_json_keeps_its_digits(value: float) -> None:
    assert mb_to_bytes(value) == Decimal(repr(value)) * 1_000_000


@pytest.mark.parametrize(
    "value", ["n/a", "", None, True, "0.0000001", "1,5", "NaN", "Infinity", [], "1_0.000000", "9" * 19, "1e99", "0x10"]
)
def test_what_is_not_an_exact_volume_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="expected"):
        mb_to_bytes(value)


@pytest.mark.parametrize(("value", "count"), [("3", 3), (3, 3), ("3.0", 3), (3.0, 3), ("-1", -1), (" 7 ", 7)])
def test_counts_come_as_text_or_number(value: object, count: int) -> None:
    assert whole(value) == count


def test_half_an_sms_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 0 places"):
        whole("2.5")


def test_money_is_in_minor_units_of_its_currency() -> None:
    assert minor_units("19.99", "EUR") == minor_units("19,99", "EUR") == 1999
    assert minor_units("1.234,5", "EUR") == minor_units("1234,50", "EUR") == 123450
    with pytest.raises(ValueError, match="expected a decimal number"):  # a thousand and more, or one and a bit?
        minor_units("1,999", "EUR")
    assert minor_units(10, "USD") == 1000
    assert minor_units("1200", "JPY") == 1200
    with pytest.raises(ValueError, match="at most 2 places"):
        minor_units("0.125", "EUR")
    with pytest.raises(ValueError, match="three capital letters"):
        minor_units("1", "euro")


# --- times ---


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2199, 12, 31)), st.integers(-14 * 60, 14 * 60))
def test_every_spelling_of_a_moment_is_that_moment(naive: datetime, offset: int) -> None:
    moment = naive.replace(microsecond=naive.microsecond // 1000 * 1000, tzinfo=timezone(timedelta(minutes=offset)))
    milliseconds = moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}"
    assert parse_time(milliseconds + moment.strftime("%z")) == moment
    utc = moment.astimezone(UTC)
    assert parse_time(utc.strftime("%Y-%m-%dT%H:%M:%S.") + f"{utc.microsecond // 1000:03d}Z") == utc
    assert parse_time(utc.strftime("%Y-%m-%dT%H:%M:%SZ")) == utc.replace(microsecond=0)
    assert parse_time(utc.strftime("%Y-%m-%dT%H:%M:%S+00:00")).tzinfo is UTC


@given(st.text(max_size=30) | st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.Z+-]{0,15}", fullmatch=True))
def test_any_other_text_is_no_time_and_never_crashes(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert parse_time(text).tzinfo is UTC


@pytest.mark.parametrize(
    "value",
    ["2018", 1520582349, None, "2018-13-09T07:59:09Z", "0000-00-00 00:00:00", "0001-01-01T00:00:00+0100", "TOTAL"],
)
def test_a_time_without_sense_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_time(value)


@pytest.mark.parametrize("separator", ["T", " "])
@pytest.mark.parametrize("seconds", ["", ":00", ":00.000", ":00.000000000"])
@pytest.mark.parametrize("zone", ["", "Z", " Z", "UTC", " UTC", "+00", "+0000", "+00:00", " +00:00"])
def test_a_time_is_utc_where_it_names_no_zone(separator: str, seconds: str, zone: str) -> None:
    parsed = parse_time(f"2035-06-01{separator}07:30{seconds}{zone}")
    assert (parsed, parsed.tzinfo) == (datetime(2035, 6, 1, 7, 30, tzinfo=UTC), UTC)


def test_a_date_alone_is_its_midnight() -> None:
    assert parse_time("2035-06-01") == parse_time(" 2035-06-01 00:00 ") == datetime(2035, 6, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-02 00:00:00",
        "2026-01-02",
        "2026-01-02T00:00:00.000Z",
        "2026-01-02T00:00:00.000+0000",
        "2026-01-02T17:00:00Z",
    ],
)
def test_a_usage_day_is_the_utc_day_in_every_spelling(text: str) -> None:
    assert parse_day(text) == date(2026, 1, 2)


# --- headers, tokens, errors ---


def test_retry_after_is_read_as_seconds_and_as_a_date() -> None:
    now = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
    assert responses.parse_retry_after("7", now) == 7.0
    assert responses.parse_retry_after("0.25", now) == 0.25
    assert responses.parse_retry_after("Thu, 01 Jan 2026 12:00:30 GMT", now) == 30.0
    assert responses.parse_retry_after("Thu, 01 Jan 2026 11:00:00 GMT", now) == 0.0
    for unreadable in (None, "", "soon", "-3", "Thu, 99 Jan 2026 12:00:30 GMT"):
        assert responses.parse_retry_after(unreadable, now) == 0.0


@pytest.mark.parametrize(
    ("path", "limit"),
    [
        ("/oauth/token", "oauth"),
        ("/v1/sims", "sims"),
        ("/v1/sims/8988228066600000001/usage", "sims"),
        ("/v1/orders", "orders"),
        ("/v1/products", "products"),
        ("/v1/support", "support"),
    ],
)
def test_every_path_counts_against_its_own_limit(path: str, limit: str) -> None:
    assert responses.family(path) == limit
    assert limit in responses.RATE_LIMITS


def test_totals_come_from_headers_or_body_or_not_at_all() -> None:
    assert responses.parse_totals({"X-Total-Count": "501", "X-Total-Pages": "6"}) == (501, 6)
    assert responses.parse_totals({}, {"totalEvents": 10, "totalPages": "5"}) == (10, 5)
    assert responses.parse_totals({"X-Total-Pages": "many"}, []) == (None, None)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"access_token": 5}', b'{"access_token": "a\\nb"}', b'{"access'])
def test_an_answer_without_usable_token_is_none_not_an_error_that_shows_it(body: bytes) -> None:
    assert responses.parse_token(body) is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [(403, OnceForbiddenError), (404, OnceNotFoundError), (422, OnceSimExpiredError), (400, OnceRequestError)],
)
def test_an_error_says_which_call_what_came_and_what_to_do(status: int, kind: type[OnceRequestError]) -> None:
    error = errors.request_error("GET /v1/sims/1/usage", status, "x" * 1000)
    assert type(error) is kind
    assert f"GET /v1/sims/1/usage: HTTP {status}: " in str(error)
    assert str(error).count("x") <= 205
    assert str(error).endswith(".")


# --- usage rows ---


def test_a_usage_row_is_flattened_into_exact_units() -> None:
    rows, rejected = parse_usage([usage_record()], ICCID, FIRST, LAST)
    assert rejected == []
    (row,) = rows
    assert row == (ICCID, date(2026, 1, 2), 2803, 1482, 1321, 1, 2)
    assert (row.sms_mt, row.sms_mo) == (1, 2)  # 1NCE's file: volume_rx is MO, volume_tx is MT


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (usage_record(volume="n/a"), "data.volume: got 'n/a', expected a decimal number"),
        (usage_record(volume="-1.000000", volume_rx="-1.000000", volume_tx="0.000000"), "nothing negative"),
        (usage_record(volume="0.002804"), "data.volume: got 2804, expected volume_rx + volume_tx = 1482 + 1321 = 2803"),
        (
            usage_record() | {"date": "2026-02-01T00:00:00.000Z"},
            "expected a day from 2026-01-01 to 2026-01-31, as asked",
        ),
        (usage_record() | {"date": "yesterday"}, "date: got 'yesterday'"),
        (usage_record() | {"date": None}, "date: got None, expected a date"),
        (
            usage_record() | {"sms": {"volume": "40000", "volume_rx": "40000", "volume_tx": "0"}},
            "sms.volume: got 40000",
        ),
        (usage_record() | {"sms": {"volume": "1.5"}}, "sms.volume: got '1.5'"),
        (usage_record() | {"data": "none"}, "data: got 'none', expected an object"),
        ({"date": "2026-01-02"}, "data, sms: both missing"),
        (usage_record() | {"data": {"volume": "1.000000"}}, "expected at least two of them"),
        ("row", "record: got 'row', expected an object"),
    ],
)
def test_a_broken_usage_row_is_rejected_with_its_reason_and_the_others_stay(record: object, reason: str) -> None:
    good = usage_record() | {"date": "2026-01-03T00:00:00.000Z"}
    rows, rejected = parse_usage([record, good], ICCID, FIRST, LAST)
    assert [row.day for row in rows] == [date(2026, 1, 3)]
    (one,) = rejected
    assert reason in one.reason
    assert one.record == (record if isinstance(record, dict) else {"value": record})


def test_a_day_that_comes_twice_is_rejected_the_second_time() -> None:
    rows, rejected = parse_usage(
        [usage_record(), usage_record(volume="0.0", volume_rx="0", volume_tx=0)], ICCID, FIRST, LAST
    )
    assert len(rows) == 1
    assert "a second time" in rejected[0].reason


@pytest.mark.parametrize("missing", ["volume", "volume_rx", "volume_tx"])
def test_a_missing_part_of_a_volume_follows_from_the_other_two(missing: str) -> None:
    rows, _ = parse_usage([usage_record(**{missing: None})], ICCID, FIRST, LAST)
    assert (rows[0].bytes, rows[0].bytes_rx, rows[0].bytes_tx) == (2803, 1482, 1321)


def test_a_row_without_sms_is_a_day_without_sms() -> None:
    record = usage_record()
    del record["sms"]
    rows, rejected = parse_usage([record], ICCID, FIRST, LAST)
    assert rejected == []
    assert (rows[0].sms_mt, rows[0].sms_mo) == (0, 0)


@given(st.integers(0, 10**15), st.integers(0, 10**15), st.sampled_from(["text", "number", "short"]))
def test_the_fast_road_agrees_with_decimal_arithmetic(rx: int, tx: int, spelling: str) -> None:
    def spell(micro: int) -> object:
        text = f"{Decimal(micro).scaleb(-6):.6f}"
        return {"text": text, "number": responses.parse_json(text.encode()), "short": text.rstrip("0").rstrip(".")}[
            spelling
        ]

    record = usage_record(volume=spell(rx + tx), volume_rx=spell(rx), volume_tx=spell(tx))
    rows, rejected = parse_usage([record], ICCID, FIRST, LAST)
    assert rejected == []
    assert rows[0][2:5] == (rx + tx, rx, tx)


def test_a_window_longer_than_six_months_or_empty_is_refused() -> None:
    assert responses.usage_params(FIRST, LAST) == {"start_dt": "2026-01-01", "end_dt": "2026-01-31"}
    with pytest.raises(ValueError, match="six months"):
        responses.usage_params(FIRST, FIRST + timedelta(days=184))
    with pytest.raises(ValueError, match="six months"):
        responses.usage_params(LAST, FIRST)


# --- other records ---

SIM = {
    "iccid": ICCID,
    "iccid_with_luhn": ICCID + "4",
    "imei": "0000000000000018",
    "imei_lock": True,
    "status": "Enabled",
    "activation_date": "2018-03-09T07:59:09.000+0000",
    "ip_address": "100.100.100.18",
    "current_quota": 500,
    "quota_status": {"id": 1, "description": "Less than 20%", "threshold_reached_date": "2026-01-02T03:04:05Z"},
    "current_quota_SMS": "250",
    "quota_status_SMS": None,
    "label": "",
    "a_new_field": {"of": "tomorrow"},
}


def test_a_sim_card_is_flat_and_tolerates_new_fields() -> None:
    (sim,), rejected = parse_records(SimCard, [SIM])
    assert rejected == []
    assert (sim.iccid, sim.imei, sim.status, sim.imei_lock) == (ICCID, "0000000000000018", "Enabled", True)
    assert sim.activated_at == datetime(2018, 3, 9, 7, 59, 9, tzinfo=UTC)
    assert (sim.quota_bytes, sim.quota_sms) == (500_000_000, 250)
    assert (sim.quota_status, sim.sms_quota_status) == (1, None)
    assert sim.quota_threshold_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert sim.label is None


@pytest.mark.parametrize("iccid", ["", "898822806660000000", ICCID + "4", "89882280666000000a1", None, "٨" * 19])
def test_an_iccid_that_is_not_19_digits_rejects_its_record_only(iccid: object) -> None:
    items, rejected = parse_records(SimCard, [SIM | {"iccid": iccid}, SIM])
    assert len(items) == len(rejected) == 1
    assert rejected[0].reason.startswith("iccid: ")


def test_several_faults_of_a_record_are_all_named() -> None:
    _, (one,) = parse_records(SimCard, [SIM | {"iccid": "1", "status": None}])
    assert "iccid: got '1', expected an ICCID of 19 digits" in one.reason
    assert "status: missing" in one.reason


def test_an_optional_value_that_cannot_be_read_is_none_and_noted() -> None:
    odd = {"current_quota": "n/a", "activation_date": "soon", "imei_lock": "perhaps", "label": {"text": "pump"}}
    notes: list[str] = []
    (sim,), rejected = parse_records(SimCard, [SIM | odd | {"quota_status": {"id": 7}}], notes)
    assert rejected == []
    assert (sim.quota_bytes, sim.activated_at, sim.imei_lock, sim.label, sim.quota_status) == (None,) * 5
    assert (sim.iccid, sim.imei, sim.quota_sms) == (ICCID, "0000000000000018", 250)
    assert notes[0] == "imei_lock: got 'perhaps', Input should be a valid boolean, unable to interpret input"
    assert [note.partition(":")[0] for note in notes] == [
        "imei_lock", "activated_at", "label", "quota_bytes", "quota_status",
    ]  # fmt: skip
    assert "quota_bytes: got 'n/a', expected a decimal number" in notes


def test_a_quota_is_kept_without_what_cannot_be_read() -> None:
    notes: list[str] = []
    record = {"volume": "435.787951", "total_volume": "many", "expiry_date": "never", "peak_throughput": "fast"}
    (quota,), rejected = parse_records(Quota, [record], notes, iccid=ICCID, kind="data")
    assert (quota.left, quota.total, quota.expires_at, quota.peak_throughput, rejected) == (
        435787951, None, None, None, [],
    )  # fmt: skip
    assert [note.partition(":")[0] for note in notes] == ["total_volume", "expires_at", "peak_throughput"]
    (quota,), _ = parse_records(Quota, [{"volume": 1, "expiry_date": "2035-06-01 00:00:00"}], iccid=ICCID, kind="data")
    assert quota.expires_at == datetime(2035, 6, 1, tzinfo=UTC)


def test_a_summary_row_is_no_day_and_says_where_it_differs() -> None:
    days = [usage_record(), usage_record() | {"date": "TOTAL"}]
    notes: list[str] = []
    rows, rejected = parse_usage(days, ICCID, FIRST, LAST, notes)
    assert (len(rows), rejected, notes) == (1, [], [])
    odd = usage_record(volume="99.000000", volume_rx="99.000000", volume_tx="0") | {"date": " Total"}
    rows, rejected = parse_usage([usage_record(), odd], ICCID, FIRST, LAST, notes)
    assert (len(rows), rejected) == (1, [])
    assert notes == [f"TOTAL.data.volume: got 99000000, expected the sum of the days, {rows[0].bytes}"]


def test_a_record_of_another_sim_than_asked_is_rejected() -> None:
    _, (one,) = parse_records(SimCard, [SIM], iccid="8988228066600000002")
    assert "8988228066600000002, which was asked for" in one.reason


def test_a_quota_is_in_bytes_for_data_and_in_counts_for_sms() -> None:
    record = {
        "volume": -0.5,
        "total_volume": "500",
        "expiry_date": "2029-01-01T00:00:00.000Z",
        "threshold_percentage": 20,
    }
    (quota,), _ = parse_records(Quota, [record], iccid=ICCID, kind="data")
    assert (quota.left, quota.total, quota.last_added) == (-500_000, 500_000_000, None)
    assert quota.expires_at == datetime(2029, 1, 1, tzinfo=UTC)
    (quota,), _ = parse_records(Quota, [{"volume": "249", "total_volume": 250.0}], iccid=ICCID, kind="sms")
    assert (quota.left, quota.total) == (249, 250)
    _, rejected = parse_records(Quota, [{"volume": "n/a"}, {"total_volume": 500}], iccid=ICCID, kind="data")
    assert "volume: got 'n/a', expected a decimal number" in rejected[0].reason
    assert "volume: missing" in rejected[1].reason


def test_connectivity_is_flat_and_may_lack_everything_but_the_status() -> None:
    (offline,), _ = parse_records(Connectivity, [{"status": "OFFLINE", "location": None}], iccid=ICCID)
    assert (offline.iccid, offline.status, offline.operator) == (ICCID, "OFFLINE", None)
    record = {
        "status": "ONLINE",
        "location": {
            "last_updated": "2026-01-02T03:04:05.000+0000",
            "operator": {"name": "T-Mobile"},
            "country": {"name": "Germany", "iso-code": "de", "mcc": 262},
        },
        "pdp_context": {
            "created": "2026-01-02T00:00:00Z",
            "duration": "26:39:10",
            "mnc": "01",
            "rat_type": {"description": "4G"},
        },
        "services": ["GPRS"],
    }
    (online,), rejected = parse_records(Connectivity, [record], iccid=ICCID)
    assert rejected == []
    assert (online.operator, online.country_iso, online.mcc, online.session_mnc) == ("T-Mobile", "de", "262", "01")
    assert (online.rat_type, online.session_seconds) == ("4G", 26 * 3600 + 39 * 60 + 10)


def test_an_event_needs_only_its_time_and_sentence() -> None:
    record = {"timestamp": "2018-05-07T14:08:05.000+0000", "event_type": "Status of SIM changed"}
    (event,), rejected = parse_records(Event, [record, {"event_type": "no time"}], iccid=ICCID)
    assert (event.iccid, event.at, event.alert) == (ICCID, datetime(2018, 5, 7, 14, 8, 5, tzinfo=UTC), None)
    assert rejected[0].reason == "timestamp: missing, expected a value"


def test_words_of_an_enumeration_are_one_however_1nce_writes_them() -> None:
    at = {"iccid": ICCID, "timestamp": "2026-11-27T04:11:18Z", "event_type": "Create PDP Context"}
    severities = [{"event_severity": "Info"}, {"event_severity": {"description": "INFO"}}, {"event_severity": " info "}]
    events, _ = parse_records(Event, [at | severity for severity in severities])
    assert {event.severity for event in events} == {"INFO"}
    states, rejected = parse_records(Connectivity, [{"iccid": ICCID, "status": s} for s in ("Online", "ONLINE", "on")])
    assert [state.status for state in states] == ["ONLINE", "ONLINE"]
    assert len(rejected) == 1
    cards, _ = parse_records(SimCard, [{"iccid": ICCID, "status": s} for s in ("ENABLED", "Enabled", "enabled")])
    assert {card.status for card in cards} == {"Enabled"}


def test_an_sms_knows_its_direction_and_status() -> None:
    record = {
        "id": 590,
        "sms_type": {"id": 1, "description": "MT"},
        "status": {"id": 4, "description": "DELIVERED"},
        "submit_date": "2015-10-05T13:56:59.000Z",
        "retry_count": "1",
    }
    (sms,), _ = parse_records(Sms, [record], iccid=ICCID)
    assert (sms.id, sms.direction, sms.status, sms.retry_count) == (590, "MT", "DELIVERED", 1)


def test_products_and_orders_carry_money_in_minor_units() -> None:
    product = {
        "id": 1001,
        "product": "FlexSIM",
        "one_time_charges": [{"name": "p", "amount_net": 10, "currency": "EUR"}],
    }
    (parsed,), _ = parse_records(Product, [product])
    assert parsed.one_time_charges[0].amount_minor == 1000
    order = {
        "order_number": 2000000001,
        "order_type": "TOPUP",
        "order_date": "2026-01-02T03:04:05.000+0000",
        "invoice_amount": "19.99",
        "currency": "EUR",
        "sims": [{"iccid": ICCID, "_links": []}],
        "products": [{"product_id": 1001, "quantity": 1}],
    }
    notes: list[str] = []
    odd = [{"invoice_amount": None}, {"invoice_amount": "19,99"}, {"currency": "e"}, {"invoice_amount": "1,999"}]
    (sold, *others), rejected = parse_records(Order, [order, *(order | change for change in odd)], notes)
    assert (sold.invoice_amount_minor, sold.iccids, sold.products[0].quantity) == (1999, [ICCID], 1)
    assert [other.invoice_amount_minor for other in others] == [None, 1999, None, None]
    assert [other.iccids for other in others] == [[ICCID]] * 4
    assert rejected == []
    assert notes == [
        "invoice_amount: got '19.99', currency: got 'e', expected three capital letters",
        "invoice_amount: got '1,999', expected a decimal number",
    ]
    charge = {"name": "p", "amount_net": "ten", "currency": "EUR"}
    notes.clear()
    good, nothing = product["one_time_charges"], None
    changes = [{"one_time_charges": [*good, charge]}, {"recurring_charges": nothing}, {"recurring_charges": "much"}]
    read, rejected = parse_records(Product, [product | change for change in changes], notes)
    assert rejected == []
    assert [(item.product, len(item.one_time_charges), item.recurring_charges) for item in read] == [
        ("FlexSIM", 0, []),  # a part of the price is not the price
        ("FlexSIM", 1, []),
        ("FlexSIM", 1, []),
    ]
    assert len(notes) == 2
    assert "amount_net: got 'ten', expected a decimal number" in notes[0]


def test_a_ticket_keeps_its_words_and_its_messages() -> None:
    ticket = {
        "caseId": 12,
        "status": "CLOSED",
        "subject": "No data",
        "text": "since Monday",
        "createDate": "2026-01-02T03:04:05Z",
        "solvedDate": "",
        "communications": [{"id": "1", "direction": "IN", "communicationDate": "2026-01-02T03:04:05Z"}],
    }
    (parsed,), rejected = parse_records(Ticket, [ticket])
    assert rejected == []
    assert (parsed.case_id, parsed.subject, parsed.solved_at) == ("12", "No data", None)
    assert parsed.communications[0].direction == "IN"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda j: (
            st.lists(j, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "date",
                        "data",
                        "sms",
                        "volume",
                        "iccid",
                        "status",
                        "quota_status",
                        "sims",
                        "invoice_amount",
                        "communications",
                        "currency",
                    ]
                ),
                j,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_no_json_whatever_crashes_a_parser(record: object) -> None:
    for model in (SimCard, Connectivity, Event, Sms, Product, Order, Ticket):
        items, rejected = parse_records(model, [record])
        assert len(items) + len(rejected) == 1
    for kind in ("data", "sms"):
        items, rejected = parse_records(Quota, [record], iccid=ICCID, kind=kind)
        assert len(items) + len(rejected) == 1
    rows, rejected = parse_usage([record], ICCID, FIRST, LAST)
    assert len(rows) + len(rejected) == 1
