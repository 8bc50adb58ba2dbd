"""The state of a running simulated account."""

import secrets
import time
from datetime import UTC, date, datetime, timedelta
from typing import Any

from simulator.account import SimCards
from simulator.acts import Acts
from simulator.faults import FaultDraws, Faults
from simulator.fleet import Fleet
from simulator.ledger import tick
from simulator.orders_tickets import BackOffice


class Simulation:
    """What a running simulated account remembers: the virtual time, the faults, tokens and the number of calls."""

    def __init__(
        self,
        fleet: Fleet,
        now: datetime,
        username: str,
        password: str,
        faults: Faults,
        live: bool = False,
        v1_until: date | None = None,
    ) -> None:
        self.fleet, self.cards = fleet, SimCards(fleet)
        self.back_office = BackOffice(self.cards)
        self.acts = Acts(self.cards)
        self.username, self.password = username, password
        self._live, self.v1_until = live, v1_until
        self.stream: str | None = None  # the shape of the stream that follows the account, if one does
        self.tokens: dict[str, float] = {}  # token -> when it was given, on the monotonic clock
        self.set_now(now)
        self.set_faults(faults)

    def set_now(self, now: datetime) -> None:
        """Move the virtual time. Raises ValueError without a time zone or before the fleet's start."""
        if now.tzinfo is None:
            raise ValueError(f"the virtual time {now} has no time zone; give one such as 2026-06-30T09:00:00Z")
        if now.astimezone(UTC).date() < self.fleet.start:
            raise ValueError(f"the virtual time {now} is before the fleet's start {self.fleet.start}; give a later one")
        self._moved = (now.astimezone(UTC), time.monotonic())

    @property
    def now(self) -> datetime:
        """The virtual time: where it was last moved to, and of a live account what has passed since."""
        moved_to, at = self._moved
        return moved_to + timedelta(seconds=time.monotonic() - at) if self._live else moved_to

    def orders(self) -> list[dict[str, Any]]:
        """All orders up to now, oldest first, with those placed by the API."""
        placed = [order for at, order in self.acts.orders if at <= tick(self.now)]
        return sorted([*self.back_office.orders(self.now), *placed], key=lambda order: str(order["order_date"]))

    @property
    def is_v1_retired(self) -> bool:
        """Whether the virtual time has come to the day from which on API v1 is gone."""
        return self.v1_until is not None and self.now.date() >= self.v1_until

    def set_faults(self, faults: Faults) -> None:
        """Change the faults, for tokens already given too; call numbers, list passes and the rate limit's window start
        afresh."""
        self.draws = FaultDraws(faults, self.fleet.seed)
        self.list_passes = 0

    def give_token(self) -> str:
        token = secrets.token_urlsafe(32)
        self.tokens = {known: given for known, given in self.tokens.items() if self.accepts(known)}
        self.tokens[token] = time.monotonic()
        return token

    def accepts(self, token: str) -> bool:
        given = self.tokens.get(token)
        return given is not None and time.monotonic() < given + self.draws.faults.token_lifetime_s
