"""What 1NCE's Data Streamer sends, as pure functions from JSON values to plain rows or to a ValueError that names the
field.

Units as in resources.once.records: data volumes are whole millionths of a MB (accounting bytes), SMS are counts, times
are UTC. Source: 1NCE help, "Data Streamer". Records come at least once and in any order; nested objects may be null.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

from resources.once.values import mb_to_bytes, parse_time, whole

DATA, SMS = 5, 6  # traffic_type.id
# a JSON number below this has at most 15 digits with its six places, all of which a float holds
MAX_MB = 10**9
MAX_SMS = 2**31 - 1
MAX_DURATION = timedelta(days=100)  # of a record; one that claims more is broken, and would be split into as many rows
MAX_CLOCK_SKEW = timedelta(days=1)  # of our clock, at most
MIN_TIME = datetime(2017, 1, 1, tzinfo=UTC)  # 1NCE is younger
_DIGITS = re.compile(r"\d{19,20}", re.ASCII)
_LUHN = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


class UsageRecord(NamedTuple):
    """One usage record. `rx` and `tx` are None where it gives only the total, and for SMS; `total` counts SMS there."""

    record_id: int
    iccid: str
    kind: str
    started_at: datetime
    ended_at: datetime
    total: int
    rx: int | None
    tx: int | None


class EventRecord(NamedTuple):
    """One event record, in the terms of core.sim_events."""

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


def parse_record(record: Any, *, received_at: datetime) -> UsageRecord | EventRecord:
    """A record as a row. ValueError 'field: got value, expected ...' when it breaks a rule."""
    if type(record) is not dict:
        raise ValueError(f"record: got {shown(record)}, expected an object")
    if record.get("event_type") is not None:
        return _event(record, received_at)
    if record.get("traffic_type") is not None:
        return _usage(record, received_at)
    raise ValueError("event_type, traffic_type: both missing, expected one of them")


def record_key(record: Any, text: str) -> str:
    """The quarantine key of a record: its id and a digest, since one id may come with several contents.

    text   the record as JSON
    """
    digest = hashlib.sha256(text.encode()).hexdigest()
    if not isinstance(record, dict) or not isinstance(record.get("id"), int | str):
        return f"record {digest[:32]}"
    kind = "event" if record.get("event_type") is not None else "usage"
    return f"{kind} {str(record['id'])[:40]} {digest[:12]}".replace("\x00", "\ufffd")


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
    return UsageRecord(_id(record), _value(record, "sim.iccid", check_sim), kind, started_at, ended_at, total, rx, tx)


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
        raise ValueError(f"volume: got {shown(record['volume'])}, expected nothing negative")
    if rx is not None and tx is not None and rx + tx != total:
        raise ValueError(
            f"volume.total: got {shown(record['volume'].get('total'))}, expected rx + tx of the same volume"
        )
    return total, rx, tx


def _event(record: dict[str, Any], received_at: datetime) -> EventRecord:
    return EventRecord(
        _id(record),
        _value(record, "sim.iccid", check_sim),
        _time(record, "timestamp", received_at),
        _value(record, "event_type.description", _words),
        _text(record, "event_severity.description"),
        _value(record, "alert", _truth, needed=False),
        _text(record, "endpoint.imei"),
        _text(record, "imsi.imsi") or _text(record, "imsi"),
        _text(record, "detail.country.name"),
        _text(record, "detail.operator.name"),
    )


def _id(record: dict[str, Any]) -> int:
    number: int = _value(record, "id", whole)
    if number < 0:
        raise ValueError(f"id: got {number}, expected a whole number that is not negative")
    return number


def _time(record: dict[str, Any], path: str, received_at: datetime) -> datetime:
    moment: datetime = _value(record, path, parse_time)
    if not MIN_TIME <= moment <= received_at + MAX_CLOCK_SKEW:
        raise ValueError(
            f"{path}: got {shown(record[path])}, expected a time from {MIN_TIME:%Y} on that was not in the "
            "future when it came"
        )
    return moment


def _at(record: dict[str, Any], path: str) -> Any:
    """The value at a dotted path; None where it, or an object on the way, is missing, null or something else."""
    value: Any = record
    for name in _steps(path):
        if type(value) is not dict:
            return None
        value = value.get(name)
    return value


@cache
def _steps(path: str) -> tuple[str, ...]:
    return tuple(path.split("."))


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


def _words(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("expected some words")
    return value.replace("\x00", "\ufffd").strip()


def _truth(value: object) -> bool:
    truths = {"true": True, "false": False}
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in truths:  # a CSV file
        return truths[value.lower()]
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
