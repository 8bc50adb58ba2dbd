"""What 1NCE's API v1 says, as pure functions from bytes and headers to typed values: no network, no clock, no waiting.

Units: data volumes are whole millionths of a MB (accounting bytes, 1 MB = 1_000_000, exact), SMS are counts, money is
integer minor units, times carry their UTC offset. Rules for records: new fields are ignored; numbers may come as text
or as numbers; an optional field that cannot be read is None with a note; what breaks another rule goes to `Rejected`
with the reason and takes no other record with it.

Source: 1NCE's OpenAPI files for SIM, order, product and support management (v1), and 1NCE help, "API Rate Limits".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, datetime
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from resources.once.event_types import event_type
from resources.once.responses import Rejected
from resources.once.values import check_iccid, mb_to_bytes, minor_units, parse_day, parse_time, whole

M = TypeVar("M", bound=BaseModel)

MAX_SMS_A_DAY = 32_767  # a smallint in the database; a SIM that sends more is a broken record


# --- records ---------------------------------------------------------------------------------------------------------


def _blank_is_none(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


def _optional(parse: Any) -> WrapValidator:
    """A field that is None where it is blank, and None with a note where it cannot be read."""

    def read(value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        if _blank_is_none(value) is None:
            return None
        try:
            return handler(parse(value))
        except ValidationError as broken:  # a ValueError, too
            _note(info, str(info.field_name), value, broken.errors()[0]["msg"])
        except ValueError as broken:
            _note(info, str(info.field_name), value, broken)
        return None

    return WrapValidator(read)


def _note(info: ValidationInfo, name: str, value: object, why: object) -> None:
    notes = (info.context or {}).get("notes")
    if notes is not None:
        notes.append(f"{name}: got {_shown(value)}, {why}")


def _seconds(value: object) -> int:
    match = re.fullmatch(r"(?:(\d{1,5}):)?(\d{1,2}):(\d\d)", str(value), re.ASCII)
    if match is None:
        raise ValueError("expected a duration like 02:39:10")
    return int(match[1] or 0) * 3600 + int(match[2]) * 60 + int(match[3])


Iccid = Annotated[str, BeforeValidator(check_iccid)]
Text = Annotated[str | None, _optional(lambda value: value)]
Flag = Annotated[bool | None, _optional(lambda value: value)]
MaybeTime = Annotated[datetime | None, _optional(parse_time)]
MaybeBytes = Annotated[int | None, _optional(mb_to_bytes)]
MaybeCount = Annotated[int | None, _optional(whole)]
MaybeSeconds = Annotated[int | None, _optional(_seconds)]


# what the tables take: a value outside is a broken record, not a broken batch
MaybeInt32 = Annotated[int | None, Field(ge=-(2**31), lt=2**31), _optional(whole)]
MaybeQuotaStatus = Annotated[int | None, Field(ge=0, le=2), _optional(whole)]


def _at(*path: str, default: Any = None) -> Any:
    return Field(default, validation_alias=AliasPath(*path))


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True, populate_by_name=True)


class SimCard(_Record):
    """A SIM as the list and the single call show it. Quotas are those bought (bytes, SMS), not what is left.

    quota_status: 0 more than 20 % left, 1 less than 20 %, 2 nothing left; the same for SMS.
    """

    iccid: Iccid
    iccid_with_luhn: Text = None
    imsi: Text = None
    imsi_2: Text = None
    current_imsi: Text = None
    msisdn: Text = None
    imei: Text = None
    imei_lock: Flag = None
    status: str
    activated_at: MaybeTime = _at("activation_date")
    ip_address: Text = None
    label: Text = None
    quota_bytes: MaybeBytes = _at("current_quota")
    quota_status: MaybeQuotaStatus = _at("quota_status", "id")
    quota_threshold_at: MaybeTime = _at("quota_status", "threshold_reached_date")
    quota_exceeded_at: MaybeTime = _at("quota_status", "quota_exceeded_date")
    quota_sms: MaybeInt32 = _at("current_quota_SMS")
    sms_quota_status: MaybeQuotaStatus = _at("quota_status_SMS", "id")
    sms_quota_threshold_at: MaybeTime = _at("quota_status_SMS", "threshold_reached_date")
    sms_quota_exceeded_at: MaybeTime = _at("quota_status_SMS", "quota_exceeded_date")


class Connectivity(_Record):
    """Where a SIM is now: status OFFLINE, ATTACHED or ONLINE, the network it was last seen on and its data session."""

    iccid: Iccid
    status: Literal["OFFLINE", "ATTACHED", "ONLINE"]
    located_at: MaybeTime = _at("location", "last_updated")
    operator: Text = _at("location", "operator", "name")
    country: Text = _at("location", "country", "name")
    country_iso: Text = _at("location", "country", "iso-code")
    mcc: Text = _at("location", "country", "mcc")
    session_started_at: MaybeTime = _at("pdp_context", "created")
    session_seconds: MaybeSeconds = _at("pdp_context", "duration")
    rat_type: Text = _at("pdp_context", "rat_type", "description")
    session_mcc: Text = _at("pdp_context", "mcc")
    session_mnc: Text = _at("pdp_context", "mnc")
    imeisv: Text = _at("pdp_context", "imeisv")
    services: Annotated[list[str] | None, _optional(lambda value: value)] = None


class Quota(_Record):
    """A SIM's data or SMS quota: bytes for data, counts for SMS. `left` may be negative.

    After a top-up `total` is what was left plus the top-up, so total minus left is not what was used.
    """

    iccid: Iccid
    kind: Literal["data", "sms"]
    left: int = _at("volume", default=...)
    total: int | None = _at("total_volume")
    last_added: int | None = _at("last_volume_added")
    expires_at: MaybeTime = _at("expiry_date")
    changed_at: MaybeTime = _at("last_status_change_date")
    threshold_percentage: MaybeCount = None
    peak_throughput: MaybeCount = None

    @model_validator(mode="before")
    @classmethod
    def _in_units_of_the_kind(cls, record: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        convert = mb_to_bytes if record.get("kind") == "data" else whole
        amounts = {}
        for name in ("volume", "total_volume", "last_volume_added"):
            if _blank_is_none(value := record.get(name)) is None:
                continue
            try:
                amounts[name] = convert(value)
            except ValueError as broken:
                if name == "volume":
                    raise ValueError(f"{name}: got {_shown(value)}, {broken}") from None
                _note(info, name, value, broken)
        return {
            **{k: v for k, v in record.items() if k not in ("volume", "total_volume", "last_volume_added")},
            **amounts,
        }


class Event(_Record):
    """One diagnostic event; 1NCE promises only the time, kept to the second, and a sentence in `event_type`.

    event_type   in the words of resources.once.event_types; a type that is not known there keeps its own, with a note
    """

    iccid: Iccid
    at: Annotated[datetime, BeforeValidator(lambda value: parse_time(value).replace(microsecond=0))] = _at(
        "timestamp", default=...
    )
    event_type: str
    severity: Text = Field(
        None, validation_alias=AliasChoices(AliasPath("event_severity", "description"), "event_severity")
    )
    alert: Flag = None
    imei: Text = None
    imsi: Text = None
    country: Text = None
    operator: Text = None
    mcc: Text = None
    mnc: Text = None

    @model_validator(mode="before")
    @classmethod
    def _of_a_known_type(cls, record: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        said: Any = record.get("event_type")
        type_id: Any = record.get("event_type_id")
        if isinstance(said, dict):
            said, type_id = said.get("description"), said.get("id")
        words = [text for text in (said, record.get("description")) if isinstance(text, str)]
        number = type_id if isinstance(type_id, int) else None
        if number is None and not (isinstance(said, str) and said.strip()):
            return record
        kind = event_type(*words, type_id=number)
        if not kind.known:
            _note(info, f"event_type {re.sub('[0-9]+', '#', kind.words[:60])!r}", said, "which is kept as it came")
        return {**record, "event_type": kind.words}


class Sms(_Record):
    """One SMS to (`direction` MT) or from (MO) a device."""

    iccid: Iccid
    id: Annotated[int, BeforeValidator(whole)]
    direction: Annotated[Literal["MT", "MO"] | None, _optional(lambda value: value)] = _at("sms_type", "description")
    status: Text = _at("status", "description")
    submitted_at: MaybeTime = _at("submit_date")
    delivered_at: MaybeTime = _at("delivery_date")
    expires_at: MaybeTime = _at("expiry_date")
    final_at: MaybeTime = _at("final_date")
    retry_count: MaybeCount = None
    source_address: Text = None
    payload: Text = None
    msisdn: Text = None
    imsi: Text = None


class Charge(_Record):
    """A price of a product, net, in minor units of its currency."""

    name: Text = None
    amount_minor: int
    currency: str

    @model_validator(mode="before")
    @classmethod
    def _as_minor_units(cls, record: Any) -> Any:
        if not isinstance(record, dict):
            return record
        convert = partial(minor_units, currency=record.get("currency"))
        return {**record, "amount_minor": _number(record, "amount_net", convert)}


class Product(_Record):
    """A product of 1NCE's catalogue with its prices."""

    id: Annotated[int, Field(ge=0, lt=2**31), BeforeValidator(whole)]
    product: Text = None
    material: Text = None
    package_size: MaybeInt32 = None
    min_contract_duration: MaybeCount = None  # months
    one_time_charges: list[Charge] = []
    recurring_charges: list[Charge] = []


class OrderedProduct(_Record):
    """How many of a product an order holds."""

    product_id: Annotated[int, BeforeValidator(whole)]
    quantity: Annotated[int, BeforeValidator(whole)]


class Order(_Record):
    """An order: SIMs, top-ups or a change of tariff.

    The amount is gross, as on the invoice; None before one is made and where it cannot be read.
    """

    order_number: Annotated[int, BeforeValidator(whole)]
    order_type: str
    ordered_at: MaybeTime = _at("order_date")
    order_status: Text = None
    invoice_number: Text = None
    invoice_amount_minor: int | None = None
    currency: Text = None
    iccids: list[Iccid] = _at("sims", default=[])
    products: list[OrderedProduct] = []

    @model_validator(mode="before")
    @classmethod
    def _flatten(cls, record: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        amount, sims = _blank_is_none(record.get("invoice_amount")), record.get("sims", [])
        try:
            minor = None if amount is None else minor_units(amount, record.get("currency"))
        except ValueError as broken:
            _note(info, "invoice_amount", amount, broken)
            minor = None
        if isinstance(sims, list):
            sims = [sim.get("iccid") if isinstance(sim, dict) else sim for sim in sims]
        return {**record, "invoice_amount_minor": minor, "sims": sims}


class Communication(_Record):
    """One message of a ticket; direction IN is from the customer."""

    id: Text = None
    at: MaybeTime = _at("communicationDate")
    direction: Text = None
    originator: Text = None
    subject: Text = None
    text: Text = None
    type: Text = None


class Ticket(_Record):
    """A service request: OPEN, IN_PROGRESS or CLOSED. It names its SIM only in its words, if at all."""

    case_id: str = _at("caseId", default=...)
    status: Literal["OPEN", "IN_PROGRESS", "CLOSED"]
    subject: Text = None
    text: Text = None
    created_at: MaybeTime = _at("createDate")
    solved_at: MaybeTime = _at("solvedDate")
    communications: list[Communication] = []


class UsageDay(NamedTuple):
    """One SIM's usage on one UTC day: bytes = bytes_rx + bytes_tx, all non-negative; SMS to and from the device."""

    iccid: str
    day: date
    bytes: int
    bytes_rx: int
    bytes_tx: int
    sms_mt: int
    sms_mo: int


def parse_records(
    model: type[M], records: Iterable[Any], notes: list[str] | None = None, **defaults: str
) -> tuple[list[M], list[Rejected]]:
    """Each record as `model`, or rejected.

    notes      takes what could not be read of records kept, as 'field: got value, expected ...'
    defaults   fill what a record leaves out, such as the ICCID asked for; a record that contradicts one is rejected
    """
    items: list[M] = []
    rejected: list[Rejected] = []
    for record in records:
        if not isinstance(record, dict):
            rejected.append(Rejected(f"record: got {_shown(record)}, expected an object", {"value": record}))
            continue
        try:
            noted: list[str] = []
            known = {**defaults, **{k: v for k, v in record.items() if v is not None}}
            item = model.model_validate(known, context={"notes": noted})
            for name, asked in defaults.items():
                if (came := getattr(item, name)) != asked:
                    raise ValueError(f"{name}: got {_shown(came)}, expected {asked}, which was asked for")
        except ValidationError as broken:
            rejected.append(Rejected(_reason(broken), record))
        except ValueError as broken:
            rejected.append(Rejected(str(broken), record))
        else:
            items.append(item)
            if notes is not None:
                notes += noted
    return items, rejected


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
        raise ValueError(f"record: got {_shown(record)}, expected an object")
    day = _number(record, "date", parse_day)
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
        raise ValueError(f"{within[:-1]}: got {_shown(part)}, expected an object")
    volume = None if part.get("volume") is None else _number(part, "volume", convert, within)
    rx = None if part.get("volume_rx") is None else _number(part, "volume_rx", convert, within)
    tx = None if part.get("volume_tx") is None else _number(part, "volume_tx", convert, within)
    if volume is None and rx is not None and tx is not None:
        volume = rx + tx
    elif volume is not None and rx is None and tx is not None:
        rx = volume - tx
    elif volume is not None and tx is None and rx is not None:
        tx = volume - rx
    elif volume == 0 and rx is None:
        rx = tx = 0
    if volume is None or rx is None or tx is None:
        raise ValueError(f"{within}volume, volume_rx, volume_tx: got {_shown(part)}, expected at least two of them")
    if volume < 0 or rx < 0 or tx < 0:
        raise ValueError(f"{within}volume: got {volume} = {rx} + {tx}, expected nothing negative")
    if rx + tx != volume:
        raise ValueError(f"{within}volume: got {volume}, expected volume_rx + volume_tx = {rx} + {tx} = {rx + tx}")
    return volume, rx, tx


def _number(record: dict[str, Any], name: str, convert: Any, within: str = "") -> Any:
    try:
        return convert(record.get(name))
    except ValueError as broken:
        raise ValueError(f"{within}{name}: got {_shown(record.get(name))}, {broken}") from None


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _reason(broken: ValidationError) -> str:
    """What pydantic found, as 'field: got value, expected ...'."""
    parts = []
    for error in broken.errors(include_url=False, include_context=False):
        field = ".".join(str(part) for part in error["loc"])
        message = error["msg"].removeprefix("Value error, ")
        if error["type"] == "missing":
            parts.append(f"{field}: missing, expected a value")
        elif field and not message.startswith("currency:"):
            parts.append(f"{field}: got {_shown(error['input'])}, {message}")
        else:
            parts.append(message)
    return "; ".join(parts)
