"""What can be asked of 1NCE, one `Endpoint` a kind of answer: how to ask, how items become rows, how broken records
are named.

An endpoint holds the schema of its frames; the tables with the units are in sql/migrations.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl

from resources.once import records as protocol
from resources.once import usage_days
from resources.once.client import OnceClient
from resources.once.responses import Answer, Rejected
from services.ingest.schemas import UTC_TIME, Schema


@dataclass(frozen=True)
class Sim:
    """A SIM to ask about, and the usage days to ask for.

    listed     the account's list names it
    sms_quota  its SMS quota is asked for beside its data quota
    """

    iccid: str
    sim_key: int
    first_day: date
    last_day: date
    polled_at: datetime | None
    listed: bool = True
    sms_quota: bool = True


@dataclass(frozen=True)
class Endpoint:
    """One kind of answer: how its items become rows, and how a broken record is named and parsed again."""

    name: str
    merge: str
    schema: Schema
    row: Callable[[Any, dict[str, int], datetime], tuple[Any, ...]]
    key: tuple[str, ...]
    parse: Callable[[dict[str, Any], dict[str, Any]], tuple[list[Any], list[Rejected]]]
    record_key: Callable[[dict[str, Any], dict[str, Any]], str]
    item_key: Callable[[Any], str]
    ask: Callable[[OnceClient, Sim], Awaitable[list[Answer[Any]]]] | None = None

    def frame(self, items: Iterable[Any], keys: dict[str, int], now: datetime) -> pl.DataFrame:
        rows = [self.row(item, keys, now) for item in items]
        return pl.DataFrame(rows, schema=self.schema, orient="row").unique(
            subset=self.key, keep="last", maintain_order=True
        )


def _model(kind: type[Any]) -> Callable[[dict[str, Any], dict[str, Any]], tuple[list[Any], list[Rejected]]]:
    def parse(record: dict[str, Any], asked: dict[str, Any]) -> tuple[list[Any], list[Rejected]]:
        return protocol.parse_records(kind, [record], **asked)

    return parse


def _named(*fields: str) -> Callable[[dict[str, Any], dict[str, Any]], str]:
    """What a record is about: these fields, from the record or from what was asked; a digest where they are missing."""

    def record_key(record: dict[str, Any], asked: dict[str, Any]) -> str:
        values = [asked.get(name, record.get(name)) for name in fields]
        if all(isinstance(value, str | int) and value != "" for value in values):
            return " ".join(str(value) for value in values)
        return hashlib.sha256(json.dumps([record, asked], sort_keys=True, default=str).encode()).hexdigest()[:32]

    return record_key


async def _usage(once: OnceClient, sim: Sim) -> list[Answer[Any]]:
    return [await once.usage(sim.iccid, sim.first_day, sim.last_day, listed=sim.listed)]


async def _quota(once: OnceClient, sim: Sim) -> list[Answer[Any]]:
    data = await once.quota(sim.iccid, "data")
    return [data, await once.quota(sim.iccid, "sms")] if sim.sms_quota else [data]


async def _status(once: OnceClient, sim: Sim) -> list[Answer[Any]]:
    return [await once.status(sim.iccid)]


async def _events(once: OnceClient, sim: Sim) -> list[Answer[Any]]:
    # an event may be written late: look back a day before the last call
    since = sim.polled_at - timedelta(days=1) if sim.polled_at else None
    return [page async for page in once.events(sim.iccid, since)]


async def _sms(once: OnceClient, sim: Sim) -> list[Answer[Any]]:
    return [page async for page in once.sms(sim.iccid)]


def _parse_usage(record: dict[str, Any], asked: dict[str, Any]) -> tuple[list[Any], list[Rejected]]:
    first, last = date.fromisoformat(asked["first_day"]), date.fromisoformat(asked["last_day"])
    return usage_days.parse_usage([record], asked["iccid"], first, last)


def _usage_record_key(record: dict[str, Any], asked: dict[str, Any]) -> str:
    day = str(record.get("date", ""))[:10]
    return f"{asked['iccid']} {day}" if day else _named("iccid", "date")(record, asked)


SIMS = Endpoint(
    "sims",
    "merge_sims",
    {
        "iccid": pl.String,
        "iccid_with_luhn": pl.String,
        "imsi": pl.String,
        "msisdn": pl.String,
        "imei": pl.String,
        "imei_lock": pl.Boolean,
        "status": pl.String,
        "activated_at": UTC_TIME,
        "ip_address": pl.String,
        "label": pl.String,
        "quota_status": pl.Int16,
        "quota_total": pl.Int64,
        "sms_quota_status": pl.Int16,
        "sms_quota_total": pl.Int32,
        "first_seen_at": UTC_TIME,
        "changed_at": UTC_TIME,
    },
    lambda s, _keys, now: (
        s.iccid,
        s.iccid_with_luhn,
        s.current_imsi or s.imsi,
        s.msisdn,
        s.imei,
        s.imei_lock,
        s.status,
        s.activated_at,
        s.ip_address,
        s.label,
        s.quota_status,
        s.quota_bytes,
        s.sms_quota_status,
        s.quota_sms,
        now,
        now,
    ),
    ("iccid",),
    _model(protocol.SimCard),
    _named("iccid"),
    lambda s: str(s.iccid),
)
USAGE = Endpoint(
    "usage",
    "merge_usage",
    {
        "sim_key": pl.Int32,
        "day": pl.Date,
        "bytes": pl.Int64,
        "bytes_rx": pl.Int64,
        "sms_mt": pl.Int16,
        "sms_mo": pl.Int16,
        "known_at": UTC_TIME,
        "source": pl.String,
        "grade": pl.String,
        "spread_from": pl.Date,
        "spread_to": pl.Date,
        "sms_unsplit": pl.Int16,
    },
    lambda u, keys, now: (
        keys[u.iccid],
        u.day,
        u.bytes,
        u.bytes_rx,
        u.sms_mt,
        u.sms_mo,
        now,
        *("call", "A", None, None, None),
    ),
    ("sim_key", "day"),
    _parse_usage,
    _usage_record_key,
    lambda u: f"{u.iccid} {u.day}",
    _usage,
)
QUOTA = Endpoint(
    "quota",
    "merge_quota",
    {
        "sim_key": pl.Int32,
        "kind": pl.String,
        "day": pl.Date,
        "observed_at": UTC_TIME,
        "amount_left": pl.Int64,
        "amount_total": pl.Int64,
        "expires_at": UTC_TIME,
        "last_added": pl.Int64,
        "status_changed_at": UTC_TIME,
        "amount_accumulated": pl.Int64,
    },
    lambda q, keys, now: (
        keys[q.iccid],
        q.kind,
        now.date(),
        now,
        q.left,
        q.total,
        q.expires_at,
        q.last_added,
        q.changed_at,
        q.accumulated,
    ),
    ("sim_key", "kind", "day"),
    _model(protocol.Quota),
    _named("iccid", "kind"),
    lambda q: f"{q.iccid} {q.kind}",
    _quota,
)
STATUS = Endpoint(
    "status",
    "merge_connectivity",
    {
        "sim_key": pl.Int32,
        "day": pl.Date,
        "observed_at": UTC_TIME,
        "status": pl.String,
        "operator": pl.String,
        "country": pl.String,
        "rat_type": pl.String,
        "located_at": UTC_TIME,
    },
    lambda c, keys, now: (keys[c.iccid], now.date(), now, c.status, c.operator, c.country, c.rat_type, c.located_at),
    ("sim_key", "day"),
    _model(protocol.Connectivity),
    _named("iccid"),
    lambda c: str(c.iccid),
    _status,
)
EVENTS = Endpoint(
    "events",
    "merge_events",
    {
        "sim_key": pl.Int32,
        "occurred_at": UTC_TIME,
        "event_type": pl.String,
        "severity": pl.String,
        "alert": pl.Boolean,
        "imei": pl.String,
        "imsi": pl.String,
        "country": pl.String,
        "operator": pl.String,
    },
    lambda e, keys, _now: (
        keys[e.iccid],
        e.at,
        e.event_type,
        e.severity,
        e.alert,
        e.imei,
        e.imsi,
        e.country,
        e.operator,
    ),
    ("sim_key", "occurred_at", "event_type"),
    _model(protocol.Event),
    _named("iccid", "timestamp", "event_type"),
    lambda e: f"{e.iccid} {e.at.isoformat()} {e.event_type}",
    _events,
)
SMS = Endpoint(
    "sms",
    "merge_sms",
    {
        "sim_key": pl.Int32,
        "sms_id": pl.Int64,
        "submitted_at": UTC_TIME,
        "delivered_at": UTC_TIME,
        "final_at": UTC_TIME,
        "direction": pl.String,
        "status": pl.String,
    },
    lambda m, keys, _now: (keys[m.iccid], m.id, m.submitted_at, m.delivered_at, m.final_at, m.direction, m.status),
    ("sim_key", "sms_id"),
    _model(protocol.Sms),
    _named("iccid", "id"),
    lambda m: f"{m.iccid} {m.id}",
    _sms,
)


def _charges(charges: Sequence[Any]) -> int | None:
    return sum(charge.amount_minor for charge in charges) if charges else None


PRODUCTS = Endpoint(
    "products",
    "merge_products",
    {
        "product_id": pl.Int32,
        "name": pl.String,
        "package_size": pl.Int32,
        "one_time_minor": pl.Int64,
        "recurring_minor": pl.Int64,
        "currency": pl.String,
        "changed_at": UTC_TIME,
    },
    lambda p, _keys, now: (
        p.id,
        p.product or p.material or str(p.id),
        p.package_size,
        _charges(p.one_time_charges),
        _charges(p.recurring_charges),
        next((charge.currency for charge in [*p.one_time_charges, *p.recurring_charges]), None),
        now,
    ),
    ("product_id",),
    _model(protocol.Product),
    _named("id"),
    lambda p: str(p.id),
)
ORDERS = Endpoint(
    "orders",
    "merge_orders",
    {
        "order_number": pl.Int64,
        "order_type": pl.String,
        "ordered_at": UTC_TIME,
        "status": pl.String,
        "invoice_minor": pl.Int64,
        "currency": pl.String,
        "products": pl.String,
        "iccids": pl.String,
        "changed_at": UTC_TIME,
    },
    lambda o, _keys, now: (
        o.order_number,
        o.order_type,
        o.ordered_at,
        o.order_status,
        o.invoice_amount_minor,
        o.currency,
        json.dumps([product.model_dump() for product in o.products]),
        "{" + ",".join(o.iccids) + "}",
        now,
    ),
    ("order_number",),
    _model(protocol.Order),
    _named("order_number"),
    lambda o: str(o.order_number),
)
TICKETS = Endpoint(
    "tickets",
    "merge_tickets",
    {
        "case_id": pl.String,
        "subject": pl.String,
        "body": pl.String,
        "status": pl.String,
        "created_at": UTC_TIME,
        "solved_at": UTC_TIME,
        "communications": pl.String,
        "changed_at": UTC_TIME,
    },
    lambda t, _keys, now: (
        t.case_id,
        t.subject,
        t.text,
        t.status,
        t.created_at,
        t.solved_at,
        json.dumps([message.model_dump(mode="json") for message in t.communications]),
        now,
    ),
    ("case_id",),
    _model(protocol.Ticket),
    _named("caseId"),
    lambda t: str(t.case_id),
)
ENDPOINTS = {
    endpoint.name: endpoint for endpoint in (SIMS, USAGE, QUOTA, STATUS, EVENTS, SMS, PRODUCTS, ORDERS, TICKETS)
}
