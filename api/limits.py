"""How many requests a key may send, and how many wrong keys may come from one address.

The library `limits` counts, in fixed windows: in the memory of this process, or in a Redis that several processes
share. A key's requests are taken from the count in small lots, so that most requests ask nobody.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from math import ceil
from time import monotonic, time
from typing import Any

import limits
from limits.aio.storage import Storage
from limits.aio.strategies import FixedWindowRateLimiter
from limits.storage import storage_from_string

from resources.errors import UsageError

LOTS = 200  # in which a limit is taken at most; a limit below that is counted one by one
MAX_KEPT = 10_000
STORE_SECONDS = 1.0  # that Redis may take
STORE_PAUSE_SECONDS = 10.0  # for which it is not asked again after it failed

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Lot:
    """Requests taken from the count and not yet sent, what the count has left beside them, and when its window ends."""

    left: int
    beyond: int
    until: float


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one request: whether it may go on, what is left then, and seconds until all is there again."""

    allowed: bool
    remaining: int
    reset_s: int


class RateLimits:
    """Counts of this process, or of all that share a store."""

    def __init__(
        self, *, per_key: str = "12000/minute", wrong_keys: str = "60/minute", store_url: str | None = None
    ) -> None:
        self._per_key, self._wrong_keys = _parsed(per_key), _parsed(wrong_keys)
        self._memory = FixedWindowRateLimiter(_store("async+memory://"))
        self._shared = FixedWindowRateLimiter(_redis(store_url)) if store_url else None
        self._paused_until = 0.0
        self._lots: dict[bytes, _Lot] = {}
        self._blocked: dict[str, float] = {}
        self._good: set[bytes] = set()
        self._lot_size = _lot_size(self._per_key.amount) if self._per_key else 1

    @property
    def amount(self) -> int | None:
        """The requests that a key may send in a window; None: there is no limit."""
        return self._per_key.amount if self._per_key else None

    async def take(self, key: bytes) -> Taken | None:
        """Take one request of a key; None where there is no limit."""
        if self._per_key is None:
            return None
        now = time()
        lot = self._lots.get(key)
        if lot is None or lot.until <= now or (lot.left == 0 and lot.beyond > 0):
            lot = await self._take_lot(self._per_key, key)
        allowed = lot.left > 0
        lot.left -= allowed
        return Taken(allowed, lot.left + lot.beyond, max(1, ceil(lot.until - now)))

    async def _take_lot(self, limit: limits.RateLimitItem, key: bytes) -> _Lot:
        granted, beyond, until = await self._count(limit, "key", key.hex(), self._lot_size)
        if len(self._lots) >= MAX_KEPT:
            now = time()
            self._lots = {name: lot for name, lot in self._lots.items() if lot.until > now}
            if len(self._lots) >= MAX_KEPT:
                self._lots.clear()
        lot = self._lots[key] = _Lot(self._lot_size if granted else 0, beyond if granted else 0, until)
        return lot

    def blocked_s(self, address: str, key: bytes) -> int | None:
        """Seconds for which an address must wait that sent too many wrong keys; None where it need not.

        A key that worked in this process a moment ago need never wait: others may share its address.
        """
        if not self._blocked or key in self._good:
            return None
        address = _neighbourhood(address)
        until = self._blocked.get(address)
        if until is None:
            return None
        if until <= time():
            del self._blocked[address]
            return None
        return max(1, ceil(until - time()))

    def worked(self, key: bytes) -> None:
        """Say that a key was accepted."""
        if key not in self._good:
            if len(self._good) >= MAX_KEPT:
                self._good.clear()
            self._good.add(key)

    async def failed(self, address: str, key: bytes) -> None:
        """Say that a key was not accepted."""
        self._good.discard(key)
        if self._wrong_keys is None:
            return
        address = _neighbourhood(address)
        granted, beyond, until = await self._count(self._wrong_keys, "wrong", address, 1)
        if not granted or beyond == 0:
            if len(self._blocked) >= MAX_KEPT:
                self._blocked.clear()
            self._blocked[address] = until

    async def _count(self, limit: limits.RateLimitItem, what: str, who: str, cost: int) -> tuple[bool, int, float]:
        """Count; returns whether it is within the limit, what is left of that, and when the window ends (Unix time)."""
        if self._shared is not None and monotonic() >= self._paused_until:
            try:
                return await _counted(self._shared, limit, what, who, cost)
            except Exception as error:  # of whatever kind: requests are answered without Redis too
                self._paused_until = monotonic() + STORE_PAUSE_SECONDS
                log.warning(
                    "requests are counted in this process: the store does not answer (%s)", type(error).__name__
                )
        return await _counted(self._memory, limit, what, who, cost)


async def _counted(
    counter: FixedWindowRateLimiter, limit: limits.RateLimitItem, what: str, who: str, cost: int
) -> tuple[bool, int, float]:
    granted = await counter.hit(limit, what, who, cost=cost)
    stats = await counter.get_window_stats(limit, what, who)
    return granted, stats.remaining, stats.reset_time


def _parsed(text: str) -> limits.RateLimitItem | None:
    if text.strip().lower() == "none":
        return None
    try:
        return limits.parse(text)
    except ValueError:
        raise UsageError(
            f"{text!r} is no rate limit: write 12000/minute, 100/second, 5 per 10 seconds, or none"
        ) from None


def _lot_size(amount: int) -> int:
    """The greatest lot that divides a limit, so that none of it is lost."""
    return next(size for size in range(max(1, amount // LOTS), 0, -1) if amount % size == 0)


def _store(url: str, **options: Any) -> Storage:
    made = storage_from_string(url, **options)
    assert isinstance(made, Storage)
    return made


def _redis(url: str) -> Storage:
    try:
        return _store(
            f"async+{url}",
            implementation="redispy",
            socket_timeout=STORE_SECONDS,
            socket_connect_timeout=STORE_SECONDS,
        )
    except limits.errors.ConfigurationError as error:
        raise UsageError(
            f"SIMSIGHT_API_LIMIT_STORE must be a redis:// URL and needs the extra redis ({error})"
        ) from None


def _neighbourhood(address: str) -> str:
    """An address, of IPv6 the network of 64 bits that one customer has."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return str(IPv6Address(int(found) >> 64 << 64)) if isinstance(found, IPv6Address) else str(found)
