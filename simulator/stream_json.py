"""The records of 1NCE's Data Streamer as JSON: nested, as Platform 1.0 sends them, and flat, as Data Streamer 2.0."""

from typing import Any, NamedTuple

from simulator.account import Json, SimCards
from simulator.events import EVENT_KINDS
from simulator.record_ids import DATA, SMS

SEVERITIES = {"Info": (0, "INFO"), "Warn": (1, "WARN"), "Critical": (2, "CRITICAL")}


class Who(NamedTuple):
    """A SIM as its records name it."""

    sim: Json
    imsi: str
    imsi_id: int
    endpoint: Json
    organisation: Json
    rat: int
    quotas: tuple[int, int]  # ids, of data and of SMS


def who_is(cards: SimCards, i: int, imei: int) -> Who:
    sim = {
        "id": 901_000 + i,
        "iccid": cards.fleet.iccids[i],
        "msisdn": cards.msisdn(i),
        "production_date": "2019-05-01T00:00:00.000Z",
    }
    endpoint = {
        "id": 10_000_000 + int(cards.fleet.serial[i]),
        "name": cards.label(i),
        "imei": f"{imei:016d}",
        "ip_address": cards.ip_address(i),
        "balance": None,
        "tags": None,
    }
    organisation = {"id": 26_000 + cards.fleet.seed % 1000, "name": "A synthetic fleet"}
    quotas = (cards.quota_id(i, "data"), cards.quota_id(i, "sms"))
    return Who(sim, cards.imsi(i), 1_610_000 + i, endpoint, organisation, int(cards.rat(i)[0]), quotas)


def nested_usage(
    who: Who,
    number: int,
    times: tuple[str, str],
    used: tuple[int, int, int],
    place: tuple[Any, tuple[str, str, str]],
    bare: bool,
) -> Json:
    kind, amount, rx = used
    country, operator = place
    volume: Json = {"total": amount, "rx": rx, "tx": amount - rx}
    if kind == DATA:
        volume = {name: units / 1e6 for name, units in volume.items()}
    return {
        "id": number,
        "start_timestamp": times[0],
        "end_timestamp": times[1],
        "volume": volume,
        "traffic_type": {"id": 5, "description": "Data"} if kind == DATA else {"id": 6, "description": "SMS"},
        "sim": who.sim,
        "imsi": who.imsi,
        "imsi_id": who.imsi_id,
        "endpoint": None if bare else who.endpoint,
        "operator": {
            "id": int(operator[0]),
            "name": operator[1],
            "mnc": operator[2],
            "country": {"id": int(country[2]), "mcc": country[4], "name": country[0]},
        },
        "tariff": {"id": 442, "name": "1NCE Lifetime", "ratezone": {"id": 2171, "name": "Zone 1"}},
        "organisation": who.organisation,
        "cost": volume["total"],
        "currency": {"id": 1, "code": "EUR", "symbol": "€"},
    }


def nested_event(
    who: Who, number: int, at: str, event: int, place: tuple[Any, tuple[str, str, str]], bare: bool
) -> Json:
    told = EVENT_KINDS[event]
    level, word = SEVERITIES[told.severity]
    record: Json = {
        "id": number,
        "timestamp": at,
        "event_type": {"id": told.type_id, "description": told.type_name},
        "event_severity": {"id": level, "description": word},
        "event_source": {"id": 1, "description": "System"},
        "organisation": who.organisation,
        "alert": told.alert,
        "description": told.sentence.format(imsi=who.imsi),
        "sim": who.sim,
        "imsi": None,
        "endpoint": None,
        "detail": None,
        "user": None,
    }
    if event < 3:  # what the network tells, it tells with the place and the device
        country, operator = place
        detail = {
            "id": int(operator[0]),
            "name": operator[1],
            "country": {"id": int(country[2]), "name": country[0], "mcc": country[4], "iso_code": country[1]},
            "pdp_context": {"pdp_context_id": number, "apn": "iot.1nce.net"} if event < 2 else None,
        }
        record["event_source"] = {"id": 0, "description": "Network"}
        record["imsi"] = {"id": who.imsi_id, "imsi": who.imsi}
        record["endpoint"] = who.endpoint
        record["detail"] = None if bare else detail
    return record


def _flat_who(who: Who, device: bool) -> Json:
    """A SIM as flat records name it; with the device it is in, if `device`."""
    named = {
        "endpoint_id": who.endpoint["id"],
        "endpoint_name": who.sim["iccid"],
        "endpoint_tags": None,
        "sim_id": who.sim["id"],
        "imsi_id": who.imsi_id,
        "organisation_id": who.organisation["id"],
    }
    if device:
        named |= {"endpoint_imei": who.endpoint["imei"], "endpoint_ip_address": who.endpoint["ip_address"]}
    return named


def flat_usage(
    who: Who,
    number: int,
    times: tuple[str, str],
    used: tuple[int, int, int],
    session: int,
    place: tuple[Any, tuple[str, str, str]],
    bare: bool,
) -> Json:
    kind, amount, rx = used
    country, operator = place
    volumes = (amount, rx, amount - rx)
    total, received, sent = (units / 1e6 for units in volumes) if kind == DATA else volumes
    return {
        "id": number,
        "ingestion_timestamp": _whole_seconds(times[1]),
        "start_timestamp": _whole_seconds(times[0]),
        "end_timestamp": _whole_seconds(times[1]),
        **_flat_who(who, not bare),
        "operator_id": int(operator[0]),
        "operator_country_id": int(country[2]),
        "operator_mnc": operator[2],
        "tariff_id": 442,
        "tariff_ratezone_id": 2171,
        "traffic_type_id": 5 if kind == DATA else 6,
        "quota_id": who.quotas[kind == SMS],
        "rat_type": who.rat if kind == DATA else None,
        "ipcan_session_id": str(session) if kind == DATA else None,
        "volume_rx": received,
        "volume_tx": sent,
        "volume_total": total,
        "cost": total,
    }


def flat_event(
    who: Who, number: int, at: str, event: int, session: int, place: tuple[Any, tuple[str, str, str]], bare: bool
) -> Json:
    told = EVENT_KINDS[event]
    network = event < 3
    country, operator = place
    record: Json = {
        "id": number,
        "timestamp": _whole_seconds(at),
        "ingestion_timestamp": _whole_seconds(at),
        "alert": told.alert,
        "description": told.sentence.format(imsi=who.imsi),
        "event_severity_id": SEVERITIES[told.severity][0],
        "event_source_id": 0 if network else 1,
        "event_type_id": told.type_id,
        **_flat_who(who, network),
    }
    if network and not bare:
        record |= {
            "detail_id": int(operator[0]),
            "detail_country_id": int(country[2]),
            "detail_mnc": operator[2],
            "detail_tapcode": None,
        }
    if event < 2 and not bare:
        record |= {
            "detail_pdp_context_pdp_context_id": number,
            "detail_pdp_context_apn": "iot.1nce.net",
            "detail_pdp_context_rat_type": who.rat,
            "detail_pdp_context_ipcan_session_id": str(session),
        }
    return record


def _whole_seconds(text: str) -> str:
    """2029-01-01T00:00:00.000Z as flat records write it: without milliseconds."""
    return text[:19] + "Z"
