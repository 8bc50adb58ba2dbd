"""The SIM side of a synthetic 1NCE account as API v2 tells it: each function gives the JSON of one answer, as the
official file shapes it.

SIM cards are those of v1. Times are spelled as the file's examples and real answers spell each: with a blank and
without a zone, with milliseconds, or without them. `now` is the virtual time, aware and in UTC.
"""

from datetime import datetime
from typing import NamedTuple

import numpy as np

from simulator.account import Json, SimCards, stamp, stamps
from simulator.catalog import COUNTRIES
from simulator.events import EVENT_KINDS
from simulator.fleet import DATA_QUOTA, SMS_QUOTA
from simulator.hashing import Ints
from simulator.ledger import DAY_SECONDS, moment, tick
from simulator.record_ids import EVENT, record_ids, session_ids
from simulator.stream_json import SEVERITIES, Who, who_is

_QUOTA_STATES = ("EXHAUSTED", "ACTIVE", "EXPIRED")
_THRESHOLD = 20  # percent
_CREATED, _DELETED, _LOCATED = range(3)  # positions in EVENT_KINDS of what the network tells
_FIRST_OF_DATA, _FIRST_OF_SMS = 5, 8  # and of what befalls quotas


def blank_stamp(ticks: int) -> str:
    """A time as v2's quotas and locations write it: 2035-06-01 00:00:00, in UTC."""
    return moment(ticks).strftime("%Y-%m-%d %H:%M:%S")


def quota(cards: SimCards, i: int, service: str, now: datetime) -> Json:
    """What is left of `service` ("data" in MB, "sms" in messages), as /v2/sims/{iccid}/quota/{service} gives it.

    `accumulated_total_volume` less `volume` is exactly what was used since activation.
    """
    fleet, time, row = cards.fleet, tick(now), np.array([i])
    ledger = fleet.ledger(row, time // DAY_SECONDS)
    periods = ledger.data if service == "data" else ledger.sms
    left = int(fleet.remaining(row, now)[0 if service == "data" else 1][0])
    k = int(periods.at(time)[0])
    state = 2 if cards.expired(i, now) else int(left > 0)

    def volume(units: int) -> float | int:
        return units / 1_000_000 if service == "data" else units

    total = int(periods.total[0, k])
    return {
        "id": cards.quota_id(i, service),
        "status": {"id": state, "description": _QUOTA_STATES[state]},
        "volume": volume(left),
        "total_volume": volume(total),
        "accumulated_total_volume": volume(int(periods.bought[0, k])),
        "last_volume_added": volume(DATA_QUOTA if service == "data" else SMS_QUOTA),
        "service": service,
        "threshold_percentage": _THRESHOLD,
        "threshold_volume": volume(total * _THRESHOLD // 100),
        "expiry_date": blank_stamp(int(fleet.demand.expiry[i]) * DAY_SECONDS),
        "created_at": _second_stamp(int(periods.credit_at[0, 0])),
    }


def status(cards: SimCards, i: int, now: datetime) -> Json:
    """As v1 gives it, in v2's shape; a SIM that somebody has disabled is BLOCKED."""
    known = cards.status(i, now)
    blocked = bool(cards.fleet.demand.churn_last[i] + 14 <= tick(now) // DAY_SECONDS)
    answer: Json = {
        "status": {"description": "BLOCKED" if blocked else known["status"]},
        "data_traffic_limit_state": {"description": "NOT_REACHED"},
        "services": [] if blocked else known["services"],
    }
    if "location" in known:
        answer["location"] = _location(known["location"], cards, i)
    if "pdp_context" in known and not blocked:
        answer["pdp_contexts"] = [_pdp_context(known["pdp_context"], cards, i)]
    return answer


def events(cards: SimCards, i: int, now: datetime, begin: int, size: int) -> list[Json]:
    """`size` events of a SIM from the `begin`-th on, the newest first, with the ids that the stream gives them.

    What events of one kind, place and device have in common is worked out once, and they share those objects.
    """
    ticks, kinds = cards.events(i, now)
    who = np.full(len(ticks), i)
    columns = np.stack([ticks, kinds, record_ids(EVENT, who, ticks), _sessions(who, ticks, kinds)], axis=1)
    some = columns[::-1][begin : begin + size]
    days = some[:, 0] // DAY_SECONDS
    who = who[: len(some)]
    where = [ints.tolist() for ints in (*cards.locations(who, days), cards.imeis_on(who, days))]
    same = {imei: who_is(cards, i, imei) for imei in set(where[2])}
    context = {"apn": "iot.1nce.net", "imsi": cards.imsi(i), "rat_type": int(cards.rat(i)[0])}
    context["ue_ip_address"] = cards.ip_address(i)
    common: dict[tuple[int, ...], _Common] = {}
    told = []
    rows = zip(*some.T.tolist(), stamps(some[:, 0]), *where, strict=True)
    for at, kind, number, session, time, country, operator, imei in rows:
        key = kind, country, operator, imei
        if key not in common:
            common[key] = _common(kind, (country, operator), same[imei], context)
        told.append(_event(cards, i, (at, kind, number, session), time, common[key]))
    return told


def message(cards: SimCards, i: int, sent: int, number: int, originated: bool) -> Json:
    """One SMS as v2 lists it: with numbers where v1 has text, and the endpoint and SIM it belongs to."""
    told = cards.message(i, sent, number, originated)
    who = who_is(cards, i, 0)
    return told | {
        "retry_count": 0,
        "retry_date": None,
        "gsm_map_error": None,
        "pid": 0,
        "udh": "",
        "msc": int(told["msc"]),
        "endpoint": {"id": who.endpoint["id"], "name": who.sim["iccid"]},
        "sim_id": who.sim["id"],
        "source_address_type": {"id": 145, "description": "International"},
    }


def _second_stamp(ticks: int) -> str:
    return moment(ticks).strftime("%Y-%m-%dT%H:%M:%SZ")


def _location(known: Json, cards: SimCards, i: int) -> Json:
    operator, country = known["operator"], known["country"]
    seen = datetime.fromisoformat(known["last_updated"])
    networks = next(row[7] for row in COUNTRIES if row[2] == country["country_id"])
    mnc = next(network[2] for network in networks if network[0] == operator["id"])
    return {
        "iccid": known["iccid"],
        "imsi": known["imsi"],
        "last_updated": blank_stamp(tick(seen)),
        "sgsn_number": known["sgsn_number"],
        "vlr_number": known["vlr_number"],
        "operator_id": known["operator_id"],
        "msc": known["msc"],
        "operator": {
            "id": int(operator["id"]),
            "name": operator["name"],
            "mnc": mnc,
            "country": {
                "id": int(operator["country"]["id"]),
                "name": operator["country"]["name"],
                "iso_code": operator["country"]["iso-code"],
            },
        },
        "country": {
            "country_id": country["country_id"],
            "name": country["name"],
            "country_code": country["country_code"],
            "mcc": country["mcc"],
            "iso_code": country["iso-code"],
        },
    }


def _pdp_context(known: Json, cards: SimCards, i: int) -> Json:
    number = str(int(cards.fleet.serial[i]))
    begun = tick(datetime.fromisoformat(known["created"]))
    kept = {name: value for name, value in known.items() if name not in ("duration", "tariff_profile_id")}
    tunnels = ("tx_teid_data_plane", "tx_teid_control_plane", "rx_teid", "rx_teid_data_plane", "rx_teid_control_plane")
    addresses = ("sgsn_control_plane_ip_address", "sgsn_data_plane_ip_address")
    ours = ("ggsn_control_plane_ip_address", "ggsn_data_plane_ip_address")
    cell = {"lac": known["lac"], "ci": known["ci"], "sac": "7", "rac": "8"}
    of_day = cards.sessions(i, begun // DAY_SECONDS, begun // DAY_SECONDS)[0]
    session = session_ids(np.full(len(of_day), i), of_day)[np.searchsorted(of_day, begun)]
    return (
        kept
        | dict.fromkeys(tunnels, number)
        | dict.fromkeys(addresses, "192.0.2.1")
        | dict.fromkeys(ours, "198.51.100.1")
        | cell
        | {"gtp_v1_uli": cell, "region": "eu-central-1", "apn": "iot.1nce.net", "ipcan_session_id": str(session)}
    )


def _sessions(who: Ints, ticks: Ints, kinds: Ints) -> Ints:
    """The session of each event of a SIM, oldest first: 0 for events of none."""
    created = kinds == _CREATED
    session = np.append(0, session_ids(who[created], ticks[created]))
    return np.where(created | (kinds == _DELETED), session[np.cumsum(created)], 0)


class _Common(NamedTuple):
    """What events of one kind, place and device have in common: what stands before and after the time, and the detail;
    of a data session's detail its context, which lacks the ids."""

    event_type: Json
    rest: Json
    detail: Json | None
    context: Json | None


def _common(kind: int, place: tuple[int, int], who: Who, context: Json) -> _Common:
    """What events of a kind (position in `EVENT_KINDS`) of the SIM `who` have in common.

    place     positions of the country and of the operator in it
    context   what its data sessions have in common
    """
    told = EVENT_KINDS[kind]
    level, word = SEVERITIES[told.severity]
    network = kind <= _LOCATED
    endpoint = {name: who.endpoint[name] for name in ("id", "imei", "ip_address")} | {"name": who.sim["iccid"]}
    rest = {
        "alert": told.alert,
        "user": None,
        "description": told.sentence.format(imsi=who.imsi),
        "event_source": {"id": 0, "description": "Network"} if network else {"id": 1, "description": "System"},
        "event_severity": {"id": level, "description": word},
        "organisation": who.organisation,
        "endpoint": endpoint,
        "sim": {name: who.sim[name] for name in ("id", "iccid", "msisdn")},
        "imsi": {"id": who.imsi_id, "imsi": who.imsi},
    }
    event_type = {"id": told.type_id, "description": told.type_name}
    if not network:
        return _Common(event_type, rest, None, None)
    name, iso, country_id, code, mcc, _, _, operators = COUNTRIES[place[0]]
    operator_id, network_name, mnc = operators[place[1]]
    country = {"id": int(country_id), "name": name, "country_code": code, "mcc": mcc, "iso_code": iso}
    detail: Json = {"id": int(operator_id), "name": network_name, "country": country}
    if kind == _LOCATED:
        return _Common(event_type, rest, detail | {"mnc": [{"id": int(operator_id), "mnc": mnc}]}, None)
    return _Common(event_type, rest, detail, context | {"mcc": mcc, "mnc": mnc, "operator_id": operator_id})


def _event(cards: SimCards, i: int, happened: tuple[int, int, int, int], time: str, common: _Common) -> Json:
    """One event of a SIM: its tick, its kind, its id and that of its session; `time` is the tick as text."""
    at, kind, number, session = happened
    event: Json = {"id": number, "event_type": common.event_type, "timestamp": time, **common.rest}
    if common.context is not None:
        ids = {"pdp_context_id": number, "ipcan_session_id": str(session)}
        event["detail"] = {**common.detail, "pdp_context": {**common.context, **ids}}  # type: ignore[dict-item]
    elif common.detail is not None:
        event["detail"] = common.detail
    elif kind >= _FIRST_OF_DATA:
        event["detail"] = {"quota": _quota_then(cards, i, "data" if kind < _FIRST_OF_SMS else "sms", at)}
    return event


def _quota_then(cards: SimCards, i: int, service: str, at: int) -> Json:
    """The quota of a SIM at the tick of an event about it."""
    ledger = cards.fleet.ledger(np.array([i]), at // DAY_SECONDS)
    periods = ledger.data if service == "data" else ledger.sms
    total = int(periods.total[0, int(periods.at(at)[0])]) / (1_000_000 if service == "data" else 1)
    threshold = {"percentage": _THRESHOLD, "volume": total * _THRESHOLD / 100}
    known = {"id": cards.quota_id(i, service), "total_volume": total, "threshold": threshold}
    return known | {"expiry_date": stamp(int(cards.fleet.demand.expiry[i]) * DAY_SECONDS)}
