"""What happens to the SIMs of a synthetic fleet, worked out for many at once: data sessions, and the events they
bring."""

from datetime import date
from typing import NamedTuple

import numpy as np

from simulator.fleet import Fleet
from simulator.hashing import NEVER, Ints
from simulator.ledger import DAY_SECONDS
from simulator.sessions import Sessions, sessions_on


class EventKind(NamedTuple):
    """An event as 1NCE tells it: REST gives the sentence alone, the stream the id and name of its type as well."""

    sentence: str
    severity: str
    alert: bool
    type_id: int
    type_name: str


_BLOCKS = "On exhaustion, the {} service will be blocked."
_DENIED = "Quota volume is completely used up and {} access denied for endpoint."
EVENT_KINDS = (
    EventKind(
        "New PDP Context successfully activated with SGSN CP=192.0.2.1, DP=192.0.2.2.",
        "Info",
        False,
        3,
        "Create PDP Context",
    ),
    EventKind("PDP Context deleted.", "Info", False, 5, "Delete PDP Context"),
    EventKind(
        "New location received from VLR for IMSI='{imsi}', now attached to VLR='491700000000'.",
        "Info",
        False,
        1,
        "Update location",
    ),
    EventKind("Status of SIM changed from 'Issued' to 'Activated'", "Info", False, 8, "SIM activation"),
    EventKind("Status of SIM changed from 'Activated' to 'Suspended'", "Info", False, 9, "SIM suspension"),
    EventKind("Endpoint quota threshold reached, volume is below 20%.", "Warn", True, 18, "Quota threshold reached"),
    EventKind(_DENIED.format("data"), "Warn", True, 19, "Quota used up"),
    EventKind(
        f"Data quota got assigned with volume of 500.000000 MB. {_BLOCKS.format('data')}",
        "Info",
        False,
        56,
        "Data quota assigned",
    ),
    EventKind(
        "Endpoint SMS quota threshold reached, volume is below 20%.", "Warn", True, 18, "Quota threshold reached"
    ),
    EventKind(_DENIED.format("SMS"), "Warn", True, 19, "Quota used up"),
    EventKind(
        f"SMS quota got assigned with volume of 250 SMS. {_BLOCKS.format('SMS')}",
        "Info",
        False,
        57,
        "SMS quota assigned",
    ),
)


def sessions_of(fleet: Fleet, rows: Ints, first: int, last: int) -> Sessions:
    """The PDP contexts of many SIMs, none on days without bytes; each lies within its day."""
    used = fleet.usage(rows, date.fromordinal(first), date.fromordinal(last)).volume > 0
    return sessions_on(fleet.demand, rows, np.arange(first, last + 1), used)


def events_of(fleet: Fleet, rows: Ints, sessions: Sessions, through: int) -> tuple[Ints, Ints, Ints]:
    """What happened to many SIMs: (position in `rows`, ticks, kinds), by SIM, time and kind.

    That is what their `sessions` brought, and all changes of the SIMs and their quotas known through day `through`.
    """
    demand = fleet.demand
    ledger = fleet.ledger(rows, through)
    everyone = np.arange(len(rows))
    disabled = np.where(demand.churn_last[rows] < NEVER, (demand.churn_last[rows] + 14) * DAY_SECONDS, NEVER)
    parts = [(sessions.which, sessions.begin, 0), (sessions.which, sessions.end, 1)]
    parts += [(everyone, demand.activation[rows] * DAY_SECONDS, 3), (everyone, disabled, 4)]
    for periods, kind in ((ledger.data, 5), (ledger.sms, 8)):
        changes = (periods.threshold_at, periods.exceeded_at, periods.credit_at[:, 1:])
        for k, ticks in enumerate(changes):
            sims, nth = np.nonzero(ticks < NEVER)
            parts.append((sims, ticks[sims, nth], kind + k))
    # a network tells where a device is when its first session of the day begins
    new_sim = np.diff(sessions.which, prepend=-1) > 0
    opening = new_sim | (np.diff(sessions.begin // DAY_SECONDS, prepend=0) != 0)
    parts.append((sessions.which[opening], sessions.begin[opening] - 2, 2))
    who, when = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
    kinds = np.concatenate([np.full(len(part[1]), part[2]) for part in parts])
    happens = when < NEVER
    who, when, kinds = who[happens], when[happens], kinds[happens]
    order = np.lexsort((kinds, when, who))
    return who[order], when[order], kinds[order]
