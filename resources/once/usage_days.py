"""1NCE's usage answer as days, and the summary row that may end it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any, NamedTuple

from resources.once.records import converted, shown
from resources.once.responses import Rejected
from resources.once.values import mb_to_bytes, parse_day, whole

MAX_SMS_A_DAY = 32_767  # a smallint in the database; a SIM that sends more is a broken record


class UsageDay(NamedTuple):
    """One SIM's usage on one UTC day: bytes = bytes_rx + bytes_tx, all non-negative; SMS to and from the device."""

    iccid: str
    day: date
    bytes: int
    bytes_rx: int
    bytes_tx: int
    sms_mt: int
    sms_mo: int


def parse_usage(
    stats: Iterable[Any], iccid: str, first_day: date, last_day: date, notes: list[str] | None = None
) -> tuple[list[UsageDay], list[Rejected]]:
    """The `stats` of a usage answer, one row a day. A day outside the window asked, or there twice, is rejected.

    A summary row whose date is TOTAL is no day: `notes` takes in which amount it differs from the days' sum.
    """
    rows: list[UsageDay] = []
    rejected: list[Rejected] = []
    seen: set[date] = set()
    summaries: list[dict[str, Any]] = []
    for record in stats:
        if is_summary(record):
            summaries.append(record)
            continue
        try:
            row = _usage_day(record, iccid)
            if not first_day <= row.day <= last_day:
                raise ValueError(f"date: got {row.day}, expected a day from {first_day} to {last_day}, as asked")
            if row.day in seen:
                raise ValueError(f"date: got {row.day} a second time, expected each day once")
        except ValueError as broken:
            rejected.append(Rejected(str(broken), record if isinstance(record, dict) else {"value": record}))
        else:
            seen.add(row.day)
            rows.append(row)
    if notes is not None and not rejected:
        notes += [note for record in summaries for note in _differences(record, rows)]
    return rows, rejected


def is_summary(record: Any) -> bool:
    """Whether a row of `stats` sums up the days instead of being one."""
    return isinstance(record, dict) and str(record.get("date")).strip().upper() == "TOTAL"


def _differences(summary: dict[str, Any], rows: list[UsageDay]) -> list[str]:
    notes = []
    for part, convert, days in (
        ("data", mb_to_bytes, sum(row.bytes for row in rows)),
        ("sms", whole, sum(row.sms_mt + row.sms_mo for row in rows)),
    ):
        try:
            total = _volumes(summary.get(part), f"{part}.", convert)[0]
        except ValueError as broken:
            notes.append(f"TOTAL.{broken}")
        else:
            if summary.get(part) is not None and total != days:
                notes.append(f"TOTAL.{part}.volume: got {total}, expected the sum of the days, {days}")
    return notes


def _usage_day(record: Any, iccid: str) -> UsageDay:
    if type(record) is not dict:
        raise ValueError(f"record: got {shown(record)}, expected an object")
    day = converted(record, "date", parse_day)
    data, sms = record.get("data"), record.get("sms")
    if data is None and sms is None:
        raise ValueError("data, sms: both missing, expected at least one")
    volume, rx, tx = _volumes(data, "data.", mb_to_bytes)
    # For SMS, 1NCE's file counts from the network's side: volume_rx is MO (from the device), volume_tx is MT (to it).
    count, mo, mt = _volumes(sms, "sms.", whole)
    if count > MAX_SMS_A_DAY:
        raise ValueError(f"sms.volume: got {count}, expected at most {MAX_SMS_A_DAY} a day")
    return UsageDay(iccid, day, volume, rx, tx, mt, mo)


def _volumes(part: Any, within: str, convert: Any) -> tuple[int, int, int]:
    """(volume, volume_rx, volume_tx) of one part of a usage row; one of the three may be missing, it follows."""
    if part is None:
        return 0, 0, 0
    if type(part) is not dict:
        raise ValueError(f"{within[:-1]}: got {shown(part)}, expected an object")
    volume = None if part.get("volume") is None else converted(part, "volume", convert, within)
    rx = None if part.get("volume_rx") is None else converted(part, "volume_rx", convert, within)
    tx = None if part.get("volume_tx") is None else converted(part, "volume_tx", convert, within)
    if volume is None and rx is not None and tx is not None:
        volume = rx + tx
    elif volume is not None and rx is None and tx is not None:
        rx = volume - tx
    elif volume is not None and tx is None and rx is not None:
        tx = volume - rx
    elif volume == 0 and rx is None:
        rx = tx = 0
    if volume is None or rx is None or tx is None:
        raise ValueError(f"{within}volume, volume_rx, volume_tx: got {shown(part)}, expected at least two of them")
    if volume < 0 or rx < 0 or tx < 0:
        raise ValueError(f"{within}volume: got {volume} = {rx} + {tx}, expected nothing negative")
    if rx + tx != volume:
        raise ValueError(f"{within}volume: got {volume}, expected volume_rx + volume_tx = {rx} + {tx} = {rx + tx}")
    return volume, rx, tx
