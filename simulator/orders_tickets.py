"""The back office of a synthetic 1NCE account: products, orders and support tickets, all following from the fleet.

Orders are the deliveries of each site's SIMs and one line for every top-up in the ledger. Tickets are routine
questions and complaints about what was really done to a SIM; what a ticket is about stands in its text only, as at
1NCE.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from simulator.account import SimCards, stamp
from simulator.hashing import NEVER, SITES, TICKETS, WINDOW, bits, draw
from simulator.ledger import DAY_SECONDS, tick

Json = dict[str, Any]

_SIM, _TOPUP = 1001, 5001
_NET = {_SIM: 1000, _TOPUP: 1000}  # cents


def _product(number: int, name: str, material: str, charge: str, net: int, months: int) -> Json:
    return {
        "id": number,
        "product": name,
        "material": material,
        "package_size": 1,
        "minQuantity": 1,
        "maxQuantity": 10_000,
        "maxQuantityPerCustomer": 100_000,
        "min_contract_duration": months,
        "one_time_charges": [{"name": charge, "amount_net": net / 100, "currency": "EUR"}],
        "recurring_charges": [],
    }


PRODUCTS = [
    _product(_SIM, "1NCE IoT FlexSIM - Standard", "1NCE FlexSIM", "provisionCharge", _NET[_SIM], 120),
    _product(1002, "1NCE IoT FlexSIM - Industrial", "1NCE FlexSIM", "provisionCharge", 1200, 120),
    _product(1003, "1NCE IoT SIM Chip Industrial", "1NCE eSIM MFF2", "provisionCharge", 1300, 120),
    _product(_TOPUP, "Top Up 500 MB and 250 SMS", "Top Up", "topupCharge", _NET[_TOPUP], 1),
    _product(5002, "SIM Extension 10 years", "Extension", "extensionCharge", 1000, 120),
]


@dataclass(frozen=True)
class Order:
    """One order: when (ticks), what kind, which SIMs (positions in the fleet)."""

    at: int
    kind: str
    sims: tuple[int, ...]


@dataclass(frozen=True)
class Ticket:
    """One support case with its truth: category and priority never leave by HTTP."""

    at: int
    category: str
    priority: str
    sim: int
    subject: str
    text: str
    answer: str
    solved_after: int


# category, priority, subject, text, answer
_ROUTINE = (
    (
        "billing",
        "low",
        "Question about invoice",
        "Hello, our last invoice shows a top up for {label} that we cannot match. Can you send the details?",
        "The invoice details were sent by mail.",
    ),
    (
        "billing",
        "normal",
        "Wrong VAT number",
        "Please correct the VAT number on our invoices, accounting refuses the last one.",
        "We corrected your master data.",
    ),
    (
        "activation",
        "normal",
        "SIM not active after delivery",
        "The SIM {iccid} from the last box is still not active, the installer waits on site.",
        "The SIM is active now, please restart the device.",
    ),
    (
        "sms",
        "normal",
        "MT SMS not delivered",
        "SMS sent to {msisdn} stay in status buffered since this morning.",
        "The device was not reachable; the messages are delivered now.",
    ),
    (
        "api",
        "normal",
        "429 from the API",
        "We get 429 Too Many Requests on /v1/sims although we poll only once an hour. User agent is our own.",
        "The limit is 10 requests a second for one customer.",
    ),
    ("api", "low", "Which date format?", "Is the date in the usage call UTC or our local time?", "All dates are UTC."),
    (
        "connectivity",
        "normal",
        "Roaming in France",
        "Our tracker {label} (IMSI {imsi}) does not change the network after the border, it stays without service "
        "for an hour.",
        "Please clear the list of forbidden networks of the module.",
    ),
    (
        "connectivity",
        "high",
        "Kein Netz",
        "Guten Tag, das Geraet {label} mit der ICCID {iccid} bekommt seit gestern kein Netz mehr. Bitte dringend "
        "pruefen.",
        "Ein Reset der Verbindung wurde ausgeloest.",
    ),
    (
        "order",
        "low",
        "More SIM cards",
        "We need 50 more FlexSIM for our next site, is the delivery within a week possible?",
        "Please place an order in the portal, delivery takes 3 to 5 days.",
    ),
    (
        "device",
        "low",
        "IMEI lock",
        "We changed the modem behind {ip}, the SIM is locked to the old IMEI. How do we release it?",
        "Please disable the IMEI lock in the portal.",
    ),
)
_CAUSED = {
    "silence": (
        "connectivity",
        "high",
        "Device offline",
        "Device {label} is offline since yesterday. ICCID {iccid}. Other devices at the site work.",
        "We see no attach from the device; please check its power and antenna.",
    ),
    "death": (
        "connectivity",
        "normal",
        "Device does not come back",
        "No data from IMSI {imsi} any more, a power cycle did not help.",
        "We see no signalling at all; the modem seems defective.",
    ),
    "spike": (
        "usage",
        "normal",
        "Unexpected data usage",
        "SIM {iccid} used many times its normal volume in one day. What happened?",
        "The traffic went to your own server; please check the device.",
    ),
    "runaway": (
        "usage",
        "high",
        "Data usage keeps rising",
        "The usage of {label} rises every day and nobody changed anything, we are afraid the quota will be gone "
        "soon. ICCID {iccid}",
        "Please check the device's software; limits can be set in the portal.",
    ),
    "firmware_loop": (
        "device",
        "urgent",
        "Sessions every few minutes",
        "Since the last firmware update {label} ({iccid}) opens a new PDP context all day and uses four times the "
        "data. More trackers show it.",
        "The device restarts its modem; please contact the manufacturer.",
    ),
    "exhausted": (
        "quota",
        "urgent",
        "No data since today",
        "SIM {iccid} has no data connection any more, the portal shows 0 MB left. We need it back today.",
        "The data volume is exhausted; a top up restores the service.",
    ),
}


class BackOffice:
    """Orders and tickets of one account, as of a virtual time. Numbers never change once given."""

    def __init__(self, cards: SimCards) -> None:
        self.cards, self.fleet = cards, cards.fleet
        self._known: tuple[int, list[tuple[int, Json]], list[Ticket]] = (0, [], [])  # through this day

    def orders(self, now: datetime) -> list[Json]:
        """All orders up to `now`, oldest first."""
        return [order for at, order in self._through(now)[0] if at <= tick(now)]

    def tickets(self, now: datetime) -> list[Json]:
        """All service requests up to `now`, oldest first."""
        return [
            self._ticket(k, ticket, now) for k, ticket in enumerate(self._through(now)[1]) if ticket.at <= tick(now)
        ]

    def ticket_truth(self, now: datetime) -> list[Json]:
        """Case, category, priority and SIM of each ticket up to `now`."""
        return [
            {
                "caseId": str(10_001 + k),
                "category": t.category,
                "priority": t.priority,
                "iccid": self.fleet.iccids[t.sim],
            }
            for k, t in enumerate(self._through(now)[1])
            if t.at <= tick(now)
        ]

    def _through(self, now: datetime) -> tuple[list[tuple[int, Json]], list[Ticket]]:
        day = tick(now) // DAY_SECONDS
        if self._known[0] < day:
            through = (day // 32 + 1) * 32
            orders = [(order.at, self._order(k, order)) for k, order in enumerate(self._all_orders(through))]
            self._known = (through, orders, self._all_tickets(through))
        return self._known[1], self._known[2]

    def _all_orders(self, through: int) -> list[Order]:
        demand = self.fleet.demand
        everyone = np.arange(self.fleet.sims)
        found = []
        for group in (demand.site, np.where(demand.old, -2 - demand.site, -1)):
            chosen = ~demand.old if group is demand.site else demand.old
            for site in np.unique(group[chosen]).tolist():
                sims = np.flatnonzero(chosen & (group == site))
                found.append(((int(demand.activation[sims].min()) - 21) * DAY_SECONDS + 36_000, tuple(sims.tolist())))
        found.sort()
        orders = [Order(at, "ADDITIONAL_ORDER" if k else "FIRST_ORDER", sims) for k, (at, sims) in enumerate(found)]
        credits = self.fleet.ledger(everyone, through).data.credit_at[:, 1:]
        rows, columns = np.nonzero(credits < NEVER)
        at = credits[rows, columns]
        order = np.lexsort((rows, at))
        together: dict[tuple[int, int], list[int]] = {}
        for time, i in zip(at[order].tolist(), rows[order].tolist(), strict=True):
            alone = -1 - i if self.fleet.auto_topup[i] else int(demand.site[i])
            together.setdefault((time, alone), []).append(i)
        orders += [Order(time, "BULK_TOPUP" if len(s) > 1 else "TOPUP", tuple(s)) for (time, _), s in together.items()]
        return sorted(orders, key=lambda order: (order.at, order.sims))

    def _all_tickets(self, through: int) -> list[Ticket]:
        """Routine questions by the week, and complaints about a third of what happened to SIMs, a day or two later."""
        fleet, demand = self.fleet, self.fleet.demand
        everyone = np.arange(fleet.sims)
        tickets = []
        weeks = np.arange(demand.start // 7 - 12, through // 7 + 1)
        words = draw(fleet.seed, TICKETS, np.arange(max(2, fleet.sims // 200)), weeks)
        for i, w in zip(*np.nonzero(bits(words, 0, 10) < 360), strict=True):
            word = words[i : i + 1, w]
            time = int(weeks[w]) * 7 * DAY_SECONDS + int(bits(word, 10, 20)[0]) * 7 * DAY_SECONDS // (1 << 20)
            sim = int(bits(word, 30, 24)[0]) % fleet.sims
            if demand.activation[sim] * DAY_SECONDS < time:
                tickets.append(self._written(_ROUTINE[int(bits(word, 54, 8)[0]) % len(_ROUTINE)], time, sim))
        caused = [("death", everyone, demand.death), ("firmware_loop", everyone, demand.loop_first + 2)]
        for window in range((through - demand.start) // WINDOW + 1):
            injected = demand.injections(everyone, window)
            for kind, name in ((1, "spike"), (2, "silence"), (3, "runaway")):
                hit = np.flatnonzero(injected.kind == kind)
                caused.append((name, hit, injected.first[hit] + (14 if kind == 3 else 0)))
        exceeded = fleet.ledger(everyone, through).data.exceeded_at
        rows, columns = np.nonzero(exceeded < NEVER)
        caused.append(("exhausted", rows, exceeded[rows, columns] // DAY_SECONDS))
        for name, sims, days in caused:
            words = draw(fleet.seed, SITES, NEVER + sims, np.array([list(_CAUSED).index(name)]))[:, 0]
            times = (days + 1) * DAY_SECONDS + 25_000 + bits(words, 10, 16)
            reported = (bits(words, 0, 10) < 340) & (days <= through) & (days < demand.expiry[sims])
            tickets += [self._written(_CAUSED[name], int(times[at]), int(sims[at])) for at in np.flatnonzero(reported)]
        return sorted(tickets, key=lambda ticket: (ticket.at, ticket.sim))

    def _written(self, case: tuple[str, str, str, str, str], time: int, sim: int) -> Ticket:
        category, priority, subject, text, answer = case
        cards = self.cards
        known = {"iccid": self.fleet.iccids[sim], "imsi": cards.imsi(sim), "msisdn": cards.msisdn(sim)}
        text = text.format(label=cards.label(sim), ip=cards.ip_address(sim), **known)
        hours = {"urgent": 6, "high": 20, "normal": 60, "low": 130}[priority] + sim % 24
        return Ticket(time, category, priority, sim, subject, text, answer, hours * 3600)

    def _order(self, k: int, order: Order) -> Json:
        sims = [self.fleet.iccids[i] for i in order.sims]
        return _order(2_000_000_001 + k, str(20_000_001 + k), order.kind, order.at, sims)

    def _ticket(self, k: int, ticket: Ticket, now: datetime) -> Json:
        time, answered, solved = tick(now), ticket.at + ticket.solved_after // 2, ticket.at + ticket.solved_after
        said = [("IN", ticket.at, ticket.text, "PORTAL")]
        if answered <= time:
            said.append(("OUT", answered, ticket.answer, "MAIL_OUT"))
        case: Json = {
            "caseId": str(10_001 + k),
            "communications": [
                {
                    "communicationDate": stamp(at),
                    "direction": direction,
                    "id": str(number),
                    "originator": "customer" if direction == "IN" else "1NCE Support",
                    "subject": ticket.subject,
                    "text": text,
                    "type": source,
                }
                for number, (direction, at, text, source) in enumerate(said, start=1)
            ],
            "createDate": stamp(ticket.at),
            "status": "CLOSED" if solved <= time else "IN_PROGRESS" if answered <= time else "OPEN",
            "subject": ticket.subject,
            "text": ticket.text,
        }
        return case | {"solvedDate": stamp(solved)} if solved <= time else case


def topup_order(number: int, at: int, iccid: str) -> Json:
    """The order of one top-up that was placed by the API."""
    return _order(number, str(number - 2_900_000_000), "TOPUP", at, [iccid])


def _order(number: int, invoice: str, kind: str, at: int, iccids: list[str]) -> Json:
    product = _TOPUP if "TOPUP" in kind else _SIM
    gross = _NET[product] * len(iccids) * 119 // 100
    base = "https://api.1nce.com/management-api/v1/sims/"
    return {
        "order_number": number,
        "order_type": kind,
        "order_date": stamp(at),
        "order_status": "COMPLETED",
        "invoice_number": invoice,
        "invoice_amount": f"{gross // 100}.{gross % 100:02d}",
        "currency": "EUR",
        "sims": [{"iccid": iccid, "_links": [{"rel": "self", "href": base + iccid}]} for iccid in iccids],
        "products": [{"product_id": product, "quantity": len(iccids)}],
    }
