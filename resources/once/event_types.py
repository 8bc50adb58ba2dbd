"""What type of event an event is: 1NCE tells one type by an id and by sentences, and REST by others than the stream.

`event_type` says it in one way, in which core.sim_events keeps it and the queries look for it. An event that no entry
of the table knows keeps its own words.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, NamedTuple

SESSION_BEGAN = "Create PDP Context"
SESSION_ENDED = "Delete PDP Context"
LOCATED = "Update location"
SUSPENDED = "Status of SIM changed from 'Activated' to 'Suspended'"
THRESHOLD = "quota threshold reached"
EXHAUSTED = "quota status changed from 'ACTIVE' to 'EXHAUSTED'"
EXPIRED = "quota status changed from 'ACTIVE' to 'EXPIRED'"
TOPPED_UP = "quota topped up"
DEVICE_CHANGED = "IMEI changed"
OF_QUOTA = frozenset({THRESHOLD, EXHAUSTED, EXPIRED, TOPPED_UP})  # with "Data" or "SMS" before it

# event_type.id of the Data Streamer and of API v2; ids that are not here are known by their words
IDS = {
    1: LOCATED,
    3: SESSION_BEGAN,
    4: SESSION_ENDED,  # in the example of the file of API v2
    5: SESSION_ENDED,
    9: SUSPENDED,
    18: THRESHOLD,
    19: EXHAUSTED,
    56: TOPPED_UP,
}
# the first that is found in the words counts
PATTERNS = tuple(
    (re.compile(pattern, re.IGNORECASE), kind)
    for pattern, kind in (
        (
            r"^create pdp context|^(?!.*\b(?:not|fail|reject))(?:new )?pdp context\b.* (?:activated|created)",
            SESSION_BEGAN,
        ),
        (r"^delete pdp context|^pdp context\b.* (?:deleted|deactivated|closed)", SESSION_ENDED),
        (r"^update (?:\w+ )?location|^new location received", LOCATED),
        (r"\bquota (?:got |was |is )?(?:topped up|assigned)|\bquota top[- ]?up", TOPPED_UP),
        (r"\bquota\b.*\bthreshold\b.*\breached", THRESHOLD),
        (r"\bquota\b.*(?:\bused up|\bto '?exhausted|\bis exhausted)", EXHAUSTED),
        (r"\bquota\b.*\bexpired", EXPIRED),
        (r"^sim suspension", SUSPENDED),
        (r"\bimei\b.*\bchange|\bchange of imei", DEVICE_CHANGED),
    )
)
# every kind but the changes of a SIM's status, which are many
KINDS = frozenset(
    {SESSION_BEGAN, SESSION_ENDED, LOCATED, DEVICE_CHANGED}
    | {f"{quota} {kind}" for quota in ("Data", "SMS") for kind in OF_QUOTA}
)
# the states are part of the kind: from which a SIM came says what it was before
_STATUS = re.compile(r"\bstatus of sim (?:was |got )?changed from '?(\w+)'? to '?(\w+)'?", re.IGNORECASE)
_SMS = re.compile(r"\bsms\b", re.IGNORECASE)


class EventType(NamedTuple):
    """The kind of an event in our words, or what 1NCE said where it is not known."""

    words: str
    known: bool


@lru_cache(10_000)
def event_type(*said: str | None, type_id: int | None = None) -> EventType:
    """The kind of an event.

    said      what 1NCE says of it, the name of its type first
    type_id   event_type.id, where there is one
    Raises ValueError when nothing says what it is.
    """
    texts = [text.strip() for text in said if text and text.strip()]
    for text in texts:
        if status := _STATUS.search(text):
            return EventType(f"Status of SIM changed from '{status[1].title()}' to '{status[2].title()}'", True)
    kind = IDS.get(type_id) if type_id is not None else None
    kind = kind or next((kind for text in texts for pattern, kind in PATTERNS if pattern.search(text)), None)
    if kind in OF_QUOTA:
        kind = f"{'SMS' if any(map(_SMS.search, texts)) else 'Data'} {kind}"
    if kind is not None:
        return EventType(kind, True)
    if texts:
        return EventType(texts[0], False)
    if type_id is not None:
        return EventType(f"Event type {type_id}", False)
    raise ValueError("missing, expected an id or some words")


def flat_event(record: dict[str, Any]) -> dict[str, Any]:
    """An event of API v2, in which SIM, device and network are objects, with these beside each other as in v1."""
    sim, endpoint, imsi, detail = (_within(record, name) for name in ("sim", "endpoint", "imsi", "detail"))
    country, session = _within(detail, "country"), _within(detail, "pdp_context")
    found = {
        "imei": endpoint.get("imei"),
        "imsi": imsi.get("imsi"),
        "country": country.get("name"),
        "operator": _within(detail, "operator").get("name") or detail.get("name"),
        "mcc": session.get("mcc") or country.get("mcc"),
        "mnc": session.get("mnc"),
    }
    known = record.copy()
    if isinstance(record.get("imsi"), dict):
        del known["imsi"]
    for name, value in found.items():
        if value and name not in known:
            known[name] = value
    if iccid := sim.get("iccid"):
        # the SIM that the record names stands before the one asked for, so that a difference is found
        known["iccid"] = iccid
    return known


_NOTHING: dict[str, Any] = {}


def _within(record: dict[str, Any], name: str) -> dict[str, Any]:
    """The object that a record holds under a name; empty where it holds none."""
    found = record.get(name)
    return found if isinstance(found, dict) else _NOTHING
