"""What 1NCE's API says, as pure functions from bytes and headers to typed values: no network, no clock, no waiting.

Units: data volumes are whole millionths of a MB (accounting bytes, 1 MB = 1_000_000, exact), SMS are counts, money is
integer minor units, times carry their UTC offset. Rules for records: new fields are ignored; numbers may come as text
or as numbers; an optional field that cannot be read is None with a note; what breaks another rule goes to `Rejected`
with the reason and takes no other record with it.

A record may have the shape of API v1 or of v2: one that comes again from quarantine does not say its version.

Source: 1NCE's OpenAPI files for SIM management (v1 and v2), order, product and support management (v1), and 1NCE help,
"API Rate Limits".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal, TypeVar

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

from resources.once.event_types import event_type, flat_event
from resources.once.responses import Rejected
from resources.once.values import check_iccid, mb_to_bytes, minor_units, parse_time, whole

M = TypeVar("M", bound=BaseModel)


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
        notes.append(f"{name}: got {shown(value)}, {why}")


def _seconds(value: object) -> int:
    match = re.fullmatch(r"(?:(\d{1,5}):)?(\d{1,2}):(\d\d)", str(value), re.ASCII)
    if match is None:
        raise ValueError("expected a duration like 02:39:10")
    return int(match[1] or 0) * 3600 + int(match[2]) * 60 + int(match[3])


def _capitals(value: object) -> object:
    return value.strip().upper() if isinstance(value, str) else value


Iccid = Annotated[str, BeforeValidator(check_iccid)]
# what is as it should be is taken without a call of Python's, which an account's many events would feel
_FilledText = Annotated[str, Field(strict=True, pattern=r"\S")]
Text = Annotated[_FilledText | Annotated[str | None, _optional(lambda value: value)], Field(union_mode="left_to_right")]
# of an enumeration that 1NCE writes in several ways, as INFO and Info
Word = Annotated[str | None, _optional(_capitals)]
Flag = Annotated[
    Annotated[bool, Field(strict=True)] | Annotated[bool | None, _optional(lambda value: value)],
    Field(union_mode="left_to_right"),
]
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
    status: Annotated[str, BeforeValidator(lambda value: value.strip().capitalize() if type(value) is str else value)]
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
    """Where a SIM is now: its status, the network it was last seen on and its data session (of several the newest)."""

    iccid: Iccid
    status: Annotated[Literal["OFFLINE", "ATTACHED", "ONLINE", "BLOCKED"], BeforeValidator(_capitals)]
    located_at: MaybeTime = _at("location", "last_updated")
    operator: Text = _at("location", "operator", "name")
    country: Text = _at("location", "country", "name")
    country_iso: Text = Field(
        None,
        validation_alias=AliasChoices(
            AliasPath("location", "country", "iso-code"), AliasPath("location", "country", "iso_code")
        ),
    )
    mcc: Text = _at("location", "country", "mcc")
    session_started_at: MaybeTime = _at("pdp_context", "created")
    session_seconds: MaybeSeconds = _at("pdp_context", "duration")
    rat_type: Text = _at("pdp_context", "rat_type", "description")
    session_mcc: Text = _at("pdp_context", "mcc")
    session_mnc: Text = _at("pdp_context", "mnc")
    imeisv: Text = _at("pdp_context", "imeisv")
    services: Annotated[list[str] | None, _optional(lambda value: value)] = None

    @model_validator(mode="before")
    @classmethod
    def _of_any_version(cls, record: dict[str, Any]) -> dict[str, Any]:
        if isinstance(status := record.get("status"), dict):
            record = {**record, "status": status.get("description")}
        if isinstance(sessions := record.get("pdp_contexts"), list) and "pdp_context" not in record:
            newest = max(
                (session for session in sessions if isinstance(session, dict)),
                key=lambda session: str(session.get("created") or ""),
                default=None,
            )
            record = {**record, "pdp_context": newest}
        location = record.get("location")
        operator = location.get("operator") if isinstance(location, dict) else None
        if isinstance(location, dict) and isinstance(operator, dict) and location.get("country") is None:
            record = {**record, "location": {**location, "country": operator.get("country")}}
        return record


QUOTA_AMOUNTS = ("volume", "total_volume", "last_volume_added", "accumulated_total_volume")


class Quota(_Record):
    """A SIM's data or SMS quota: bytes for data, counts for SMS. `left` may be negative.

    After a top-up `total` is what was left plus the top-up, so total minus left is not what was used. `accumulated` is
    all that was ever provisioned or topped up, so accumulated minus left is; None from API v1, which does not say it.
    """

    iccid: Iccid
    kind: Literal["data", "sms"]
    left: int = _at("volume", default=...)
    total: int | None = _at("total_volume")
    last_added: int | None = _at("last_volume_added")
    accumulated: int | None = _at("accumulated_total_volume")
    expires_at: MaybeTime = _at("expiry_date")
    changed_at: MaybeTime = _at("last_status_change_date")
    threshold_percentage: MaybeCount = None
    peak_throughput: MaybeCount = None

    @model_validator(mode="before")
    @classmethod
    def _in_units_of_the_kind(cls, record: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        convert = mb_to_bytes if record.get("kind") == "data" else whole
        amounts = {}
        for name in QUOTA_AMOUNTS:
            if _blank_is_none(value := record.get(name)) is None:
                continue
            try:
                amounts[name] = convert(value)
            except ValueError as broken:
                if name == "volume":
                    raise ValueError(f"{name}: got {shown(value)}, {broken}") from None
                _note(info, name, value, broken)
        return {
            **{k: v for k, v in record.items() if k not in QUOTA_AMOUNTS},
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
    severity: Word = Field(
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
        record = flat_event(record)
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
    direction: Annotated[Literal["MT", "MO"] | None, _optional(_capitals)] = _at("sms_type", "description")
    status: Word = _at("status", "description")
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
        return {**record, "amount_minor": converted(record, "amount_net", convert)}


def _readable(charges: object, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> list[Charge]:
    """The charges of a product; none of them, with a note, where one cannot be read: a part is not the price."""
    try:
        read: list[Charge] = handler([] if charges is None else charges)
    except ValidationError as broken:
        error = broken.errors()[0]
        place = ".".join(map(str, error["loc"]))
        _note(info, str(info.field_name), charges, f"{place}: {error['msg']}" if place else error["msg"])
        return []
    return read


class Product(_Record):
    """A product of 1NCE's catalogue with its prices; a price that cannot be read is as if none were given."""

    id: Annotated[int, Field(ge=0, lt=2**31), BeforeValidator(whole)]
    product: Text = None
    material: Text = None
    package_size: MaybeInt32 = None
    min_contract_duration: MaybeCount = None  # months
    one_time_charges: Annotated[list[Charge], WrapValidator(_readable)] = []
    recurring_charges: Annotated[list[Charge], WrapValidator(_readable)] = []


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
    status: Annotated[Literal["OPEN", "IN_PROGRESS", "CLOSED"], BeforeValidator(_capitals)]
    subject: Text = None
    text: Text = None
    created_at: MaybeTime = _at("createDate")
    solved_at: MaybeTime = _at("solvedDate")
    communications: list[Communication] = []


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
            rejected.append(Rejected(f"record: got {shown(record)}, expected an object", {"value": record}))
            continue
        try:
            noted: list[str] = []
            known = {**defaults, **{k: v for k, v in record.items() if v is not None}}
            item = model.model_validate(known, context={"notes": noted})
            for name, asked in defaults.items():
                if (came := getattr(item, name)) != asked:
                    raise ValueError(f"{name}: got {shown(came)}, expected {asked}, which was asked for")
        except ValidationError as broken:
            rejected.append(Rejected(_reason(broken), record))
        except ValueError as broken:
            rejected.append(Rejected(str(broken), record))
        else:
            items.append(item)
            if notes is not None:
                notes += noted
    return items, rejected


def converted(record: dict[str, Any], name: str, convert: Any, within: str = "") -> Any:
    try:
        return convert(record.get(name))
    except ValueError as broken:
        raise ValueError(f"{within}{name}: got {shown(record.get(name))}, {broken}") from None


def shown(value: object) -> str:
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
            parts.append(f"{field}: got {shown(error['input'])}, {message}")
        else:
            parts.append(message)
    return "; ".join(parts)
