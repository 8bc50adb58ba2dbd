"""Records as 1NCE's Data Streamer sends them (1NCE help, "Data Streamer"), for the tests of what receives them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

START = datetime(2025, 9, 23, 10, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def iccid(n: int) -> str:
    return f"89882806660{n:08d}"


def stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def usage(
    number: int, sim: int = 1, mb: float | str = 0.5, *, at: datetime = START, minutes: float = 15, **more: Any
) -> dict[str, Any]:
    """A usage record of data; `more` replaces whole fields. A third, rounded down, was received."""
    units = round(float(mb) * 1_000_000)
    rx = units // 3
    return {
        "id": number,
        "start_timestamp": stamp(at),
        "end_timestamp": stamp(at + minutes * MINUTE),
        "volume": {"total": mb, "rx": rx / 1_000_000, "tx": (units - rx) / 1_000_000},
        "traffic_type": {"id": 5, "description": "Data"},
        "sim": {
            "id": sim,
            "iccid": iccid(sim),
            "msisdn": f"88227000{sim:07d}",
            "production_date": "2024-01-15T00:00:00.000Z",
        },
        "imsi": f"90140500{sim:07d}",
        "imsi_id": sim,
        "endpoint": {
            "id": sim,
            "name": "meter",
            "imei": "0123456789012345",
            "ip_address": "10.0.0.1",
            "balance": None,
            "tags": None,
        },
        "operator": {"id": 4, "name": "Telekom", "mnc": "01", "country": {"id": 74, "mcc": "262", "name": "Germany"}},
        "tariff": {"id": 398, "name": "1NCE Lifetime", "ratezone": {"id": 1, "name": "Zone 1"}},
        "organisation": {"id": 1, "name": "Meters"},
        "cost": 0.0,
        "currency": {"id": 1, "code": "EUR", "symbol": "€"},
    } | more


def sms(number: int, sim: int = 1, count: int = 1, *, at: datetime = START, **more: Any) -> dict[str, Any]:
    volume = {"total": count, "rx": 0, "tx": count}
    kind = {"id": 6, "description": "SMS"}
    return usage(number, sim, at=at, minutes=0, **({"volume": volume, "traffic_type": kind} | more))


def event(
    number: int, sim: int = 1, *, at: datetime = START, kind: str = "Create PDP Context", **more: Any
) -> dict[str, Any]:
    begins = kind == "Create PDP Context"
    return {
        "id": number,
        "timestamp": stamp(at),
        "event_type": {"id": 3 if begins else 0, "description": kind},
        "event_severity": {"id": 0, "description": "INFO"},
        "event_source": {"id": 0, "description": "Network"},
        "organisation": {"id": 1, "name": "Meters"},
        "alert": False,
        "description": "New PDP Context successfully activated." if begins else kind,
        "sim": {"id": sim, "iccid": iccid(sim), "msisdn": f"88227000{sim:07d}"},
        "imsi": {"id": sim, "imsi": f"90140500{sim:07d}"},
        "endpoint": {"id": sim, "name": "meter", "imei": "0123456789012345", "ip_address": "10.0.0.1", "tags": None},
        "detail": {
            "id": sim,
            "name": "Telekom",
            "country": {"id": 74, "name": "Germany", "mcc": "262", "iso_code": "de"},
            "operator": {"id": 4, "name": "Telekom Deutschland"},
            "pdp_context": {"pdp_context_id": number, "apn": "iot.1nce.net", "rat_type": 6},
        },
        "user": None,
    } | more
