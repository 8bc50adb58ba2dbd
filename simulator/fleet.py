"""A synthetic fleet of SIM cards: what each used, what was bought for it, and what was done to it on purpose.

The quota ledger is the same data seen from the other side: what is left is always everything bought minus everything
used since activation. An exhausted SIM sends nothing until it is topped up, so usage is demand cut by the ledger.
"""

from dataclasses import dataclass, replace
from datetime import date, datetime

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simulator.catalog import ARCHETYPES, SMS_SLOTS
from simulator.demand import Demand, Wanted
from simulator.hashing import IDENTITY, MESSAGES, NEVER, PLATFORM, QUOTA, Ints, bits, draw
from simulator.injected_anomalies import SCENARIOS, USUAL, disturbed
from simulator.ledger import DAY_SECONDS, DailyDemand, Ledger, Periods, quota_periods, tick
from simulator.sessions import KILOBYTE, rounded_up

DATA_QUOTA = 500_000_000  # accounting bytes of the plan and of each top-up
SMS_QUOTA = 250
_BLOCK = 128  # SIMs whose ledgers are worked out together
_STEP = 128  # days by which a ledger is extended
_ROWS = 256  # SIMs whose usage is worked out at once: the bound on working memory


@dataclass(frozen=True)
class Usage:
    """Usage of SIMs x days (int64): volume = rx + tx in accounting bytes, SMS as counts."""

    volume: Ints
    rx: Ints
    tx: Ints
    sms_mt: Ints
    sms_mo: Ints


class Fleet:
    """A synthetic fleet, the same for the same (seed, sims, start, scenario, platform2_share).

    start    first day of the fleet's run; most SIMs were activated months before it
    iccids   19 digits each, in the order of the account's list
    scenario what is done to it on purpose: "clean" nothing, "usual", or "all" further kinds of anomalies too
    (simulator.injected_anomalies), "ends" the usual and devices that move to other SIMs (simulator.swaps), "signs" the
    usual with ends that give signs before (simulator.signs)
    platform2_share  share of SIMs, the newest ones, on 1NCE's Platform 2.0: API v1 does not know them, and each of
    their data sessions counts whole kilobytes, rounded up
    demand   the traits of each SIM, as arrays in that order
    Raises ValueError when there are no SIMs, for another scenario, or for a share that is not between 0 and 1.
    """

    def __init__(
        self, *, seed: int = 7, sims: int = 500, start: date, scenario: str = USUAL, platform2_share: float = 0.0
    ) -> None:
        if scenario not in SCENARIOS:
            raise ValueError(f"a fleet of scenario {scenario!r}: expected one of {', '.join(SCENARIOS)}")
        if sims < 1:
            raise ValueError(f"a fleet of {sims} SIMs cannot be simulated; give at least 1")
        if not 0 <= platform2_share <= 1:
            raise ValueError(f"a fleet with a share of {platform2_share} on Platform 2.0; give one between 0 and 1")
        self.seed, self.sims, self.start, self.platform2_share = seed, sims, start, platform2_share
        self.demand = Demand(seed, sims, start, scenario, disturbed)
        everyone = np.arange(sims, dtype=np.int64)
        offset = int(bits(draw(seed, IDENTITY, everyone[:1], everyone[:1]), 0, 25)[0, 0]) + 1_000_000
        self.platform2 = self._newest(round(platform2_share * sims))
        self._unit = np.where(self.platform2, KILOBYTE, 1)  # what a SIM's volume is counted in
        self.serial = offset + everyone  # one running number behind ICCID, IMSI and MSISDN
        self.iccids = [f"8988228066{number:09d}" for number in self.serial.tolist()]
        self.foreign_iccids = [f"8988228066{offset - k:09d}" for k in (1, 2, 3)]  # SIMs of somebody else: 403
        self._index = {iccid: i for i, iccid in enumerate(self.iccids)}
        quota = draw(seed, QUOTA, everyone, np.arange(1))[:, 0]
        traits = np.array([(a.auto_topup, a.refill) for a in ARCHETYPES])[self.demand.archetype]
        self.auto_topup = bits(quota, 0, 10) * 1000 >> 10 < traits[:, 0]
        self._refills = bits(quota, 10, 10) * 1000 >> 10 < traits[:, 1]
        overshoot = 1 + bits(quota, 20, 18)  # what still slips through when the quota is gone, up to 0.26 MB
        self._overshoot = -(-overshoot // self._unit) * self._unit
        self._lag = 3 + bits(quota, 38, 4)
        at_site = draw(seed, QUOTA, NEVER + self.demand.site, np.arange(1))[:, 0]
        self._office = 28_800 + bits(at_site, 0, 15)  # a site's people top up at their hour, between 8:00 and 17:06
        # SIMs of similar age share a block, so that no block is as wide as the oldest SIM's life for all of them
        old, young = np.flatnonzero(self.demand.old), np.flatnonzero(~self.demand.old)
        self._members = [group[i : i + _BLOCK] for group in (young, old) for i in range(0, len(group), _BLOCK)]
        self._block, self._slot = np.empty((2, sims), dtype=np.int64)
        for block, members in enumerate(self._members):
            self._block[members], self._slot[members] = block, np.arange(len(members))
        self._ledgers: dict[int, Ledger] = {}

    def index(self, iccid: str) -> int | None:
        """Position of a SIM in the account's list, or None."""
        return self._index.get(iccid)

    def _newest(self, count: int) -> NDArray[np.bool_]:
        """Whether each SIM is one of the `count` that were activated last; a hash decides between equals."""
        word = draw(self.seed, PLATFORM, np.arange(self.sims), np.arange(1))[:, 0]
        newest = np.zeros(self.sims, dtype=bool)
        newest[np.lexsort((word, -self.demand.activation))[:count]] = True
        return newest

    def wanted(self, rows: Ints, days: Ints) -> Wanted:
        """Demand as the fleet's platforms count it, before any quota stops it; see `Demand.wanted`."""
        wanted = self.demand.wanted(rows, days)
        newer = np.flatnonzero(self.platform2[rows])
        if not len(newer):
            return wanted
        volume = wanted.volume.copy()
        volume[newer] = rounded_up(self.demand, rows[newer], days, volume[newer])
        return replace(wanted, volume=volume)

    def usage(self, indices: ArrayLike, first_day: date, last_day: date, now: datetime | None = None) -> Usage:
        """Usage of `indices` on the days from `first_day` to `last_day` inclusive: whole days, or as far as `now` has
        come.

        Zero before activation, after expiry and while exhausted. Raises ValueError when the days are in the wrong
        order.
        """
        if last_day < first_day:
            raise ValueError(
                f"usage was asked from {first_day} to {last_day}; the first day must not be after the last"
            )
        rows = np.atleast_1d(np.asarray(indices, dtype=np.int64))
        days = np.arange(first_day.toordinal(), last_day.toordinal() + 1)
        time = None if now is None else tick(now)
        some = np.split(rows, range(_ROWS, len(rows), _ROWS))
        parts = [vars(self._used(part, days, self.ledger(part, int(days[-1])), time)) for part in some]
        return Usage(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})

    def remaining(self, indices: ArrayLike, now: datetime) -> tuple[Ints, Ints]:
        """What is left at `now` (accounting bytes, SMS), one number a SIM: everything bought minus everything used; 0
        before activation."""
        rows = np.atleast_1d(np.asarray(indices, dtype=np.int64))
        time, today = tick(now), tick(now) // DAY_SECONDS
        left = np.empty((2, len(rows)), dtype=np.int64)
        for group in np.unique(self._block[rows]):
            at = np.flatnonzero(self._block[rows] == group)
            ledger = self.ledger(rows[at], today)
            days = np.arange(min(int(self.demand.activation[rows[at]].min()), today), today + 1)
            used = self._used(rows[at], days, ledger, time)
            spent = used.volume.sum(axis=1), (used.sms_mt + used.sms_mo).sum(axis=1)
            for k, periods in enumerate((ledger.data, ledger.sms)):
                period = periods.at(time)
                bought = periods.bought[np.arange(len(at)), np.maximum(period, 0)]
                left[k, at] = np.where(period < 0, 0, bought - spent[k])
        return left[0], left[1]

    def message_seconds(self, rows: Ints, days: Ints, wanted: Ints) -> Ints:
        """Second of the day of each SMS, ascending: rows (n,), each with its own day and number of wanted SMS (n,).

        Returns (n, SMS_SLOTS); unused slots lie after the day's end.
        """
        slots = days[:, None] * SMS_SLOTS + np.arange(SMS_SLOTS)
        seconds = 1 + bits(draw(self.seed, MESSAGES, rows, slots), 0, 30) % (DAY_SECONDS - 1)
        return np.sort(np.where(np.arange(SMS_SLOTS) < wanted[:, None], seconds, 2 * DAY_SECONDS), axis=1)

    def ledger(self, indices: Ints, through: int) -> Ledger:
        """Both quotas' history of `indices` (n,), known at least up to day `through` (an ordinal)."""
        blocks = np.unique(self._block[indices])
        parts = [self._block_ledger(int(block), through) for block in blocks]
        if len(parts) == 1:
            slots = self._slot[indices]
            return Ledger(parts[0].data.take(slots), parts[0].sms.take(slots), parts[0].through)
        first_slot = np.cumsum([0] + [len(part.data.bought) for part in parts])
        slots = first_slot[np.searchsorted(blocks, self._block[indices])] + self._slot[indices]
        data, sms = _stack([part.data for part in parts]), _stack([part.sms for part in parts])
        return Ledger(data.take(slots), sms.take(slots), min(part.through for part in parts))

    def _block_ledger(self, block: int, through: int) -> Ledger:
        known = self._ledgers.get(block)
        if known is None or known.through < through:
            known = self._ledgers[block] = self._work_out_block(self._members[block], (through // _STEP + 1) * _STEP)
        return known

    def _work_out_block(self, rows: Ints, through: int) -> Ledger:
        first = min(int(self.demand.activation[rows].min()), through)
        wanted = self.wanted(rows, np.arange(first, through + 1))
        auto, refills, lag, office = self.auto_topup[rows], self._refills[rows], self._lag[rows], self._office[rows]

        def topup(_: int, threshold_at: Ints, exhausted_from: Ints) -> Ints:
            by_hand = np.where(
                refills & (exhausted_from < NEVER), (exhausted_from + lag - 1) * DAY_SECONDS + office, NEVER
            )
            return np.where(auto, threshold_at, by_hand)

        steady = DailyDemand(wanted.volume, first, unit=self._unit[rows])
        activated = self.demand.activation[rows] * DAY_SECONDS
        data = quota_periods(steady, activated, DATA_QUOTA, self._overshoot[rows], topup)

        def with_data(k: int, _: Ints, __: Ints) -> Ints:
            return data.credit_at[:, k] if k < data.credit_at.shape[1] else np.full(len(rows), NEVER)

        counted = DailyDemand(
            wanted.sms_mo + wanted.sms_mt, first, lambda at, days, count: self.message_seconds(rows[at], days, count)
        )
        sms = quota_periods(counted, activated, SMS_QUOTA, np.zeros(len(rows), dtype=np.int64), with_data)
        return Ledger(data, sms, through)

    def _used(self, rows: Ints, days: Ints, ledger: Ledger, now: int | None) -> Usage:
        wanted = self.wanted(rows, days)
        volume = ledger.data.cut(wanted.volume, days)
        messages = ledger.sms.cut(wanted.sms_mo + wanted.sms_mt, days)
        if now is not None and now < (int(days[-1]) + 1) * DAY_SECONDS:
            volume, messages = self._so_far(rows, days, volume, messages, wanted, now)
        rx = volume * wanted.rx_share // 1000
        mo = np.minimum(wanted.sms_mo, messages)
        return Usage(volume, rx, volume - rx, messages - mo, mo)

    def _so_far(
        self, rows: Ints, days: Ints, volume: Ints, messages: Ints, wanted: Wanted, now: int
    ) -> tuple[Ints, Ints]:
        """The same with the future taken away: today's bytes grow evenly, a message counts from its second on."""
        today, second = divmod(now, DAY_SECONDS)
        volume, messages = np.where(days > today, 0, volume), np.where(days > today, 0, messages)
        if days[0] <= today:
            at = today - int(days[0])
            volume[:, at] = volume[:, at] * second // DAY_SECONDS // self._unit[rows] * self._unit[rows]
            count = wanted.sms_mo[:, at] + wanted.sms_mt[:, at]
            sent = (self.message_seconds(rows, np.full(len(rows), today), count) <= second).sum(axis=1)
            messages[:, at] = np.minimum(messages[:, at], sent)
        return volume, messages


def _stack(parts: list[Periods]) -> Periods:
    """Histories of several blocks under each other, filled up with NEVER to the longest one's number of periods."""
    width = max(part.credit_at.shape[1] for part in parts)

    def padded(column: Ints) -> Ints:
        return np.pad(column, ((0, 0), (0, width - column.shape[1])), constant_values=NEVER)

    return Periods(**{name: np.concatenate([padded(vars(part)[name]) for part in parts]) for name in vars(parts[0])})
