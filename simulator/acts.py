"""What was done to a synthetic 1NCE account by its API: top-ups, resets, SIMs switched off and limits set.

The fleet's own history follows from its seed; what is done here is laid over its answers. As at 1NCE nothing is
idempotent: the same POST twice books twice. Devices do not react: a SIM that had run out stays silent after a top-up.
"""

from datetime import datetime
from typing import Any

from simulator.account import SimCards, stamp
from simulator.fleet import DATA_QUOTA, SMS_QUOTA
from simulator.hashing import Ints
from simulator.ledger import tick
from simulator.orders_tickets import topup_order

Json = dict[str, Any]

_FIRST_ORDER = 3_000_000_001
_ADDED = {"data": DATA_QUOTA, "sms": SMS_QUOTA}
_UNIT = {"data": 1_000_000, "sms": 1}
_STATES = ("More than 20% available", "Less than 20% available", "No volume available")
# the limits that an account may choose from: id -> MB or SMS
LIMITS = {1: "16", 2: "64", 3: "256"}
_SMS_LIMITS = {1: "10", 2: "50", 3: "250"}


class Acts:
    """What the account's owner did by the API.

    booked   every call that had its effect, in order: (what, ICCID or None)
    """

    def __init__(self, cards: SimCards) -> None:
        self.cards = cards
        self.booked: list[tuple[str, str | None]] = []
        self.orders: list[tuple[int, Json]] = []
        self.auto_topup: dict[int, bool] = {}
        self._topups: dict[int, list[tuple[int, dict[str, int]]]] = {}  # SIM -> when, and the totals from then on
        self._changed: dict[int, Json] = {}
        self._resets: dict[int, int] = {}
        self._limits: dict[str, int] = {}

    def top_up(self, i: int, now: datetime) -> int:
        """Order data and SMS for a SIM; returns the order's number."""
        left = {
            service: round(self.quota(i, self.cards.quota(i, service, now), service)["volume"] * _UNIT[service])
            for service in _ADDED
        }
        totals = {service: left[service] + added for service, added in _ADDED.items()}
        number = _FIRST_ORDER + len(self.orders)
        self._topups.setdefault(i, []).append((tick(now), totals))
        self.orders.append((tick(now), topup_order(number, tick(now), self.cards.fleet.iccids[i])))
        self._note("top_up", i)
        return number

    def reset(self, i: int, now: datetime) -> None:
        self._resets[i] = tick(now)
        self._note("reset", i)

    def set_auto_topup(self, sims: list[int], enabled: bool) -> None:
        for i in sims:
            self.auto_topup[i] = enabled
            self._note(f"auto_topup {enabled}", i)

    def change(self, i: int, values: Json) -> None:
        """Set the status, label and IMEI lock of a SIM."""
        self._changed[i] = self._changed.get(i, {}) | values
        self._note(str(values.get("status", "change")), i)

    def set_limits(self, limits: dict[str, int]) -> None:
        self._limits |= limits
        self._note("limits", None)

    def _note(self, what: str, i: int | None) -> None:
        self.booked.append((what, None if i is None else self.cards.fleet.iccids[i]))

    # --- laid over the answers ---------------------------------------------------------------------------------------

    def listed(self, rows: Ints, now: datetime) -> list[Json]:
        """SIM cards as /v1/sims lists them."""
        cards = self.cards.cards(rows, now)
        for i, card in zip(rows.tolist(), cards, strict=True):
            card.update(self._changed.get(i, {}))
            if i not in self._topups:
                continue
            for service, total, status in (
                ("data", "current_quota", "quota_status"),
                ("sms", "current_quota_SMS", "quota_status_SMS"),
            ):
                quota = self.quota(i, self.cards.quota(i, service, now), service)
                card[total] = quota["total_volume"]
                level = 2 if quota["volume"] <= 0 else int(quota["volume"] < quota["total_volume"] * 0.2)
                card[status] = {"id": level, "description": _STATES[level]}
        return cards

    def quota(self, i: int, known: Json, service: str) -> Json:
        """A quota of either version, with what was bought."""
        bought = self._topups.get(i, [])
        if not bought:
            return known
        unit, added = _UNIT[service], len(bought) * _ADDED[service]
        total = bought[-1][1][service] / unit if service == "data" else bought[-1][1][service]
        more = added / unit if service == "data" else added
        quota = known | {"volume": known["volume"] + more, "total_volume": total}
        if "accumulated_total_volume" in known:
            quota["accumulated_total_volume"] += more
            quota["threshold_volume"] = total * 20 / 100 if service == "data" else total * 20 // 100
            if known["status"]["description"] == "EXHAUSTED" and quota["volume"] > 0:
                quota["status"] = {"id": 1, "description": "ACTIVE"}
        else:
            quota["last_status_change_date"] = stamp(bought[-1][0])
        return quota

    def status(self, i: int, known: Json) -> Json:
        """The status of either version: a session that a reset made anew, none of a SIM that is switched off."""
        of_v2 = isinstance(known["status"], dict)
        if self._changed.get(i, {}).get("status") == "Disabled":
            kept = {name: value for name, value in known.items() if name not in ("pdp_context", "pdp_contexts")}
            return kept | {"status": {"description": "BLOCKED"} if of_v2 else "OFFLINE", "services": []}
        at = self._resets.get(i)
        contexts = known.get("pdp_contexts") if of_v2 else [known["pdp_context"]] if "pdp_context" in known else None
        if at is None or not contexts:
            return known
        made = [context | {"created": max(context["created"], stamp(at))} for context in contexts]
        return known | ({"pdp_contexts": made} if of_v2 else {"pdp_context": made[0]})

    def limits(self, services: tuple[str, ...] = ("data", "smsMt", "smsMo")) -> Json:
        """The monthly limits set for the whole account."""
        answer = SimCards.limits(services)
        for service in services:
            if number := self._limits.get(service):
                values = LIMITS if service == "data" else _SMS_LIMITS
                answer[service] |= {"id": number, "limit": values[number]}
        return answer
