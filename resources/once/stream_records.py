"""What 1NCE's Data Streamer sends, as pure functions from JSON values to plain rows or to a ValueError that names the
field.

Units as in resources.once.records: data volumes are whole millionths of a MB (accounting bytes), SMS are counts, times
are UTC. Source: 1NCE help, "Data Streamer". Records come at least once and in any order; nested objects may be null.
A field of a nested object may stand in the record itself, with the path in its name: `volume.total` as `volume_total`
(Data Streamer 2.0).
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

from resources.once.event_types import event_type
from resources.once.values import mb_to_bytes, parse_time, whole

DATA, SMS = 5, 6  # traffic_type.id
# a JSON number below this has at most 15 digits with its six places, all of which a float holds
MAX_MB = 10**9
MAX_SMS = 2**31 - 1
MAX_DURATION = timedelta(days=100)  # of a record; one that claims more is broken, and would be split into as many rows
MAX_CLOCK_SKEW = timedelta(days=1)  # of our clock, at most
MIN_TIME = datetime(2017, 1, 1, tzinfo=UTC)  # 1NCE is younger
_DIGITS = re.compile(r"\d{19,20}", re.ASCII)
# what else may say which SIM it is, the surest first
_OTHER_NAMES = {"sim.id": "sim_id", "imsi_id": "imsi_id", "imsi.imsi": "imsi", "imsi": "imsi", "endpoint.imei": "imei"}
_NUMBER = re.compile(r"\d{1,18}", re.ASCII)
_LUHN = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


class UsageRecord(NamedTuple):
    """One usage record. `rx` and `tx` are None where it gives only the total, and for SMS; `total` counts SMS there.

    iccid             or, where the record has none, what else it says of its SIM: 'sim_id 7|imei 8688120300331033'
    sim_id, imsi_id   1NCE's numbers of the SIM and of its IMSI
    """

    record_id: int
    iccid: str
    kind: str
    started_at: datetime
    ended_at: datetime
    total: int
    rx: int | None
    tx: int | None
    sim_id: int | None
    imsi_id: int | None


class EventRecord(NamedTuple):
    """One event record, in the terms of core.sim_events; `iccid`, `sim_id` and `imsi_id` as of a usage record.

    country_id, operator_id   1NCE's numbers of those: flat records give no more
    is_known                  whether resources.once.event_types knows this type of event
    """

    record_id: int
    iccid: str
    occurred_at: datetime
    event_type: str
    severity: str | None
    alert: bool | None
    imei: str | None
    imsi: str | None
    country: str | None
    operator: str | None
    sim_id: int | None
    imsi_id: int | None
    country_id: int | None
    operator_id: int | None
    is_known: bool


class AccountEvent(NamedTuple):
    """One event of the account, which is about no SIM, in the terms of core.account_events."""

    record_id: int
    occurred_at: datetime
    event_type: str
    severity: str | None
    alert: bool | None
    description: str | None


def parse_record(
    record: Any, *, received_at: datetime, notes: list[str] | None = None
) -> UsageRecord | EventRecord | AccountEvent:
    """A record as a row.

    notes   takes what could not be read of a record that is kept
    ValueError 'field: got value, expected ...' when it breaks a rule.
    """
    if type(record) is not dict:
        raise ValueError(f"record: got {shown(record)}, expected an object")
    if _is_event(record):
        return (_account_event if _of_account(record) else _event)(record, received_at, notes)
    if record.get("traffic_type") is not None or record.get("traffic_type_id") is not None:
        return _usage(record, received_at)
    raise ValueError("event_type, traffic_type: both missing, expected one of them")


def record_key(record: Any, text: str) -> str:
    """The quarantine key of a record: its id and a digest, since one id may come with several contents.

    text   the record as JSON
    """
    digest = hashlib.sha256(text.encode()).hexdigest()
    if not isinstance(record, dict) or not isinstance(record.get("id"), int | str):
        return f"record {digest[:32]}"
    kind = "event" if _is_event(record) else "usage"
    return f"{kind} {str(record['id'])[:40]} {digest[:12]}".replace("\x00", "\ufffd")


def is_of_sms_forwarder(record: Any) -> bool:
    """Whether 1NCE's SMS forwarder sent it, an SMS of a device or a delivery report, and not the Data Streamer."""
    return isinstance(record, dict) and "submit_date" in record and not {"event_type", "traffic_type"} & record.keys()


def _is_event(record: dict[str, Any]) -> bool:
    return record.get("event_type") is not None or record.get("event_type_id") is not None


def _of_account(record: dict[str, Any]) -> bool:
    """A nested record says so by having no `sim`; a flat one by saying nothing of a SIM at all."""
    if type(record.get("event_type")) is dict:
        return record.get("sim") is None and _at(record, "sim.id") is None and _at(record, "iccid") is None
    return all(_at(record, path) in (None, "") for path in ("sim.iccid", "iccid", "endpoint.name", *_OTHER_NAMES))


def check_sim(value: object) -> str:
    """The ICCID as 19 digits, from 19 digits or from 20 whose last is the right Luhn digit. ValueError otherwise."""
    if not (isinstance(value, str) and _DIGITS.fullmatch(value)):
        raise ValueError("expected an ICCID of 19 digits, or 20 with its check digit")
    if len(value) == 20 and luhn_digit(value[:19]) != value[19]:
        raise ValueError(f"expected {luhn_digit(value[:19])} as the check digit of an ICCID of 20 digits")
    return value[:19]


def luhn_digit(digits: str) -> str:
    """The Luhn check digit that belongs behind these digits."""
    numbers = [int(digit) for digit in reversed(digits)]
    return str(-sum([_LUHN[n] for n in numbers[::2]] + numbers[1::2]) % 10)


def shown(value: object) -> str:
    """A value in words for a reason, at most 80 characters."""
    try:
        text = repr(value)
    except RecursionError:
        return "something nested too deeply"
    return text if len(text) <= 80 else text[:77] + "..."


def _usage(record: dict[str, Any], received_at: datetime) -> UsageRecord:
    kind_id = _value(record, "traffic_type.id", whole)
    if kind_id not in (DATA, SMS):
        raise ValueError(f"traffic_type.id: got {kind_id}, expected {DATA} (data) or {SMS} (SMS)")
    started_at = _time(record, "start_timestamp", received_at)
    ended_at = _time(record, "end_timestamp", received_at)
    if not timedelta() <= ended_at - started_at <= MAX_DURATION:
        raise ValueError(
            f"end_timestamp: got {shown(record['end_timestamp'])}, expected at or after the start, "
            f"within {MAX_DURATION.days} days"
        )
    total, rx, tx = _volumes(record, mb_units if kind_id == DATA else _messages)
    kind = "data" if kind_id == DATA else "sms"
    if kind == "sms":
        rx = tx = None
    return UsageRecord(_id(record), _sim(record), kind, started_at, ended_at, total, rx, tx, *_numbers(record))


def _sim(record: dict[str, Any]) -> str:
    """The ICCID; where there is none, the other names of the SIM. ValueError where nothing says which SIM it is."""
    for path in ("sim.iccid", "iccid"):
        if (iccid := _value(record, path, check_sim, needed=False)) is not None:
            return str(iccid)
    try:
        return check_sim(_at(record, "endpoint.name"))
    except ValueError:
        names = {path: _text(record, path) or "" for path in _OTHER_NAMES}
        found = [f"{_OTHER_NAMES[path]} {name}" for path, name in names.items() if _NUMBER.fullmatch(name)]
    if not found:
        raise ValueError("sim.iccid: missing, expected a value")
    return "|".join(found)


def _numbers(record: dict[str, Any]) -> tuple[int | None, int | None]:
    imsi_id = _number(record, "imsi_id")
    return _number(record, "sim.id"), _number(record, "imsi.id") if imsi_id is None else imsi_id


def _number(record: dict[str, Any], path: str) -> int | None:
    """1NCE's number of something; None where there is none that can be read."""
    value = _at(record, path)
    if type(value) is int:
        return value if 0 <= value < 10**18 else None
    return int(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else None


def _volumes(record: dict[str, Any], convert: Any) -> tuple[int, int | None, int | None]:
    """(total, rx, tx): of three one may be missing, it follows; with the total alone the directions are not known."""
    total = _value(record, "volume.total", convert, needed=False)
    rx = _value(record, "volume.rx", convert, needed=False)
    tx = _value(record, "volume.tx", convert, needed=False)
    if total is None and rx is not None and tx is not None:
        total = rx + tx
    if total is None:
        raise ValueError("volume.total: missing, expected a number")
    if rx is None and tx is not None:
        rx = total - tx
    elif tx is None and rx is not None:
        tx = total - rx
    if total < 0 or (rx or 0) < 0 or (tx or 0) < 0:
        raise ValueError(f"volume: got {shown(record.get('volume', total))}, expected nothing negative")
    if rx is not None and tx is not None and rx + tx != total:
        raise ValueError(f"volume.total: got {shown(_at(record, 'volume.total'))}, expected rx + tx of the same volume")
    return total, rx, tx


def _event(record: dict[str, Any], received_at: datetime, notes: list[str] | None) -> EventRecord:
    try:
        kind = event_type(
            _text(record, "event_type.description") or _text(record, "event_type"),
            _text(record, "description"),
            type_id=_number(record, "event_type.id"),
        )
    except ValueError as broken:
        raise ValueError(f"event_type.description: {broken}") from None
    operator = _text(record, "detail.operator.name")
    operator_id = _number(record, "detail.operator.id")
    if operator is None and operator_id is None:  # the detail itself is the operator
        operator, operator_id = _text(record, "detail.name"), _number(record, "detail.id")
    return EventRecord(
        _id(record),
        _sim(record),
        # to the second: REST and stream tell the same event some milliseconds apart
        _time(record, "timestamp", received_at).replace(microsecond=0),
        kind.words,
        _severity(record),
        _alert(record, notes),
        _text(record, "endpoint.imei"),
        _text(record, "imsi.imsi") or _text(record, "imsi"),
        _text(record, "detail.country.name"),
        operator,
        *_numbers(record),
        _number(record, "detail.country.id"),
        operator_id,
        kind.known,
    )


def _account_event(record: dict[str, Any], received_at: datetime, notes: list[str] | None) -> AccountEvent:
    description = _text(record, "description")
    words = _text(record, "event_type.description") or _text(record, "event_type") or description
    return AccountEvent(
        _id(record),
        _time(record, "timestamp", received_at),
        words or f"Event type {_number(record, 'event_type.id')}",
        _severity(record),
        _alert(record, notes),
        description,
    )


def _severity(record: dict[str, Any]) -> str | None:
    """INFO, WARN or CRITICAL, which 1NCE writes as Info, too."""
    text = _text(record, "event_severity.description")
    return text and text.strip().upper()


def _alert(record: dict[str, Any], notes: list[str] | None) -> bool | None:
    try:
        alert: bool | None = _value(record, "alert", _truth, needed=False)
    except ValueError as broken:
        if notes is not None:
            notes.append(str(broken))
        return None
    return alert


def _id(record: dict[str, Any]) -> int:
    number: int = _value(record, "id", whole)
    if number < 0:
        raise ValueError(f"id: got {number}, expected a whole number that is not negative")
    return number


def _time(record: dict[str, Any], path: str, received_at: datetime) -> datetime:
    moment: datetime = _value(record, path, parse_time)
    if not MIN_TIME <= moment <= received_at + MAX_CLOCK_SKEW:
        raise ValueError(
            f"{path}: got {shown(_at(record, path))}, expected a time from {MIN_TIME:%Y} on that was not in the "
            "future when it came"
        )
    return moment


def _at(record: dict[str, Any], path: str) -> Any:
    """The value at a dotted path, or under the path with underscores; None where it is missing, null or not reached."""
    value: Any = record
    steps, flat = _steps(path)
    for name in steps:
        if type(value) is not dict:
            value = None
            break
        value = value.get(name)
    return record.get(flat) if value is None else value


@cache
def _steps(path: str) -> tuple[tuple[str, ...], str]:
    return tuple(path.split(".")), path.replace(".", "_")


def _value(record: dict[str, Any], path: str, convert: Any, *, needed: bool = True) -> Any:
    value = _at(record, path)
    if value is None or value == "":
        if needed:
            raise ValueError(f"{path}: missing, expected a value")
        return None
    try:
        return convert(value)
    except ValueError as broken:
        raise ValueError(f"{path}: got {shown(value)}, {broken}") from None


def _text(record: dict[str, Any], path: str) -> str | None:
    value = _at(record, path)
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value).replace("\x00", "\ufffd").strip() or None


def _truth(value: object) -> bool:
    truth = {"true": True, "false": False, "1": True, "0": False}.get(str(value).strip().lower())
    if truth is not None:
        return truth
    raise ValueError("expected true or false")


def mb_units(value: object) -> int:
    """MB as whole millionths, exact, also from a float that a JSON parser made. ValueError otherwise."""
    if type(value) is float and -MAX_MB < value < MAX_MB:
        units = round(value * 1_000_000)
        # the nearest float of units / 10**6, which a parser makes of that decimal: equal only if it was that decimal
        if units / 1_000_000 == value:
            return units
    units = mb_to_bytes(value)
    if abs(units) >= MAX_MB * 1_000_000:
        raise ValueError(f"expected less than {MAX_MB} MB")
    return units


def _messages(value: object) -> int:
    count = whole(value)
    if abs(count) > MAX_SMS:
        raise ValueError(f"expected at most {MAX_SMS} messages")
    return count
