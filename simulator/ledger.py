"""Quotas over time: when a SIM's volume ran low, was exhausted and was bought again, computed for many SIMs at once."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np

from simulator.hashing import NEVER, Ints

DAY_SECONDS = 86_400


def tick(moment: datetime) -> int:
    """Seconds since day 0 of the proleptic calendar, in UTC; the fleet's clock.

    Raises ValueError without a time zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"the virtual time {moment} has no time zone; give an aware datetime, in UTC")
    moment = moment.astimezone(UTC)
    return moment.toordinal() * DAY_SECONDS + moment.hour * 3600 + moment.minute * 60 + moment.second


def moment(ticks: int) -> datetime:
    """The inverse of `tick`."""
    day, second = divmod(int(ticks), DAY_SECONDS)
    return datetime.combine(date.fromordinal(day), datetime.min.time(), UTC) + timedelta(seconds=second)


@dataclass(frozen=True)
class Periods:
    """One quota's history: SIMs x periods (the plan, then each top-up), NEVER where a thing did not happen.

    credit_at, threshold_at, exceeded_at   ticks: bought; under 20 % left; nothing left
    bought, total                          all bought up to here; what was left plus what was added
    exhausted_from, exhausted_until        days: the day service stopped, the day it resumed
    exhausted_day_units                    what still went through on the day service stopped
    """

    credit_at: Ints
    bought: Ints
    total: Ints
    threshold_at: Ints
    exceeded_at: Ints
    exhausted_from: Ints
    exhausted_day_units: Ints
    exhausted_until: Ints

    def take(self, rows: Ints) -> "Periods":
        return Periods(**{name: column[rows] for name, column in vars(self).items()})

    def cut(self, demand: Ints, days: Ints) -> Ints:
        """Demand (SIMs x days) as far as the quota let it through."""
        served = demand
        for k in np.flatnonzero((self.exhausted_from < NEVER).any(axis=0)):
            stop, resume = self.exhausted_from[:, k, None], self.exhausted_until[:, k, None]
            served = np.where((days > stop) & (days < resume), 0, served)
            served = np.where(days == stop, self.exhausted_day_units[:, k, None], served)
        return served

    def at(self, now: int) -> Ints:
        """Index of each SIM's period at tick `now`; -1 before activation."""
        begun: Ints = (self.credit_at <= now).sum(axis=1)
        return begun - 1


@dataclass(frozen=True)
class Ledger:
    """Both quotas of some SIMs, known up to and including day `through`."""

    data: Periods
    sms: Periods
    through: int


class DailyDemand:
    """Demand of SIMs on consecutive days, and how it spreads over the seconds of a day.

    daily           (sims, days) units wanted
    first_day       ordinal of the first column
    message_seconds for SMS: the seconds of the messages of given rows, days and counts; None spreads a day evenly
    unit            (sims,) units that a SIM's volume is counted in: it grows in steps of so many
    """

    def __init__(
        self,
        daily: Ints,
        first_day: int,
        message_seconds: Callable[[Ints, Ints, Ints], Ints] | None = None,
        unit: Ints | None = None,
    ) -> None:
        self.daily, self.first_day, self._message_seconds = daily, first_day, message_seconds
        self._unit = np.ones(len(daily), dtype=np.int64) if unit is None else unit
        self.sum = np.concatenate([np.zeros((len(daily), 1), dtype=np.int64), daily.cumsum(axis=1)], axis=1)
        self.days = daily.shape[1]

    def day_of(self, need: Ints) -> Ints:
        """Column of the day on which each row's sum reaches `need`; the number of days where it does not."""
        day: Ints = (self.sum[:, 1:] < need[:, None]).sum(axis=1)
        return day

    def second_of(self, need: Ints, exhausted_day: Ints, exhausted_day_units: Ints) -> Ints:
        """Tick at which each row's sum reaches `need`, NEVER where it does not; on `exhausted_day` only
        `exhausted_day_units` pass."""
        when = np.full(len(need), NEVER)
        day = self.day_of(need)
        rows = np.flatnonzero(day < self.days)
        day = day[rows]
        inside = need[rows] - self.sum[rows, day]
        if self._message_seconds is None:
            units = np.where(day == exhausted_day[rows], exhausted_day_units[rows], self.daily[rows, day])
            steps = -(-inside // self._unit[rows]) * self._unit[rows]
            second = -(-steps * DAY_SECONDS // units)
        else:
            seconds = self._message_seconds(rows, self.first_day + day, self.daily[rows, day])
            second = seconds[np.arange(len(rows)), inside - 1]
        when[rows] = (self.first_day + day) * DAY_SECONDS + second
        return when

    def used_by(self, column: Ints, second: Ints) -> Ints:
        """Sum of each row up to a second of the day `column` (ticks NEVER give anything: the caller masks them)."""
        rows = np.arange(len(column))
        today = self.daily[rows, column]
        if self._message_seconds is None:
            sent = today * second // DAY_SECONDS // self._unit * self._unit
        else:
            seconds = self._message_seconds(rows, self.first_day + column, today)
            sent = (seconds <= second[:, None]).sum(axis=1)
        used: Ints = self.sum[rows, column] + sent
        return used


def quota_periods(
    demand: DailyDemand, activated: Ints, amount: int, overshoot: Ints, next_credit: Callable[[int, Ints, Ints], Ints]
) -> Periods:
    """The history of one quota of `amount` units, bought at tick `activated` and again at `next_credit`.

    overshoot    units that still pass when nothing is left; then service stops until the day after the next credit
    next_credit  (period, threshold ticks, day service stops) -> tick of the purchase that opens the period, or NEVER
    Every step works on all SIMs; there are as many steps as the busiest SIM has top-ups.
    """
    rows = np.arange(len(activated))
    credit, lost = activated, np.zeros(len(rows), dtype=np.int64)
    bought = np.full(len(rows), amount)
    total = bought.copy()
    periods: list[tuple[Ints, ...]] = []
    while True:
        end = bought + overshoot + lost
        exhausted_day = demand.day_of(end)
        exhausted_day_units = end - demand.sum[rows, exhausted_day]
        threshold_at = demand.second_of((5 * bought - total) // 5 + 1 + lost, exhausted_day, exhausted_day_units)
        exceeded_at = demand.second_of(bought + lost, exhausted_day, exhausted_day_units)
        exhausted_from = np.where(exhausted_day < demand.days, demand.first_day + exhausted_day, NEVER)
        following = next_credit(len(periods) + 1, threshold_at, exhausted_from)
        known = (credit < NEVER) & (following < (demand.first_day + demand.days) * DAY_SECONDS)
        following = np.where(known, following, NEVER)
        day = following // DAY_SECONDS
        stops = exhausted_from < day
        columns = (
            np.where(threshold_at <= following, threshold_at, NEVER),
            np.where(exceeded_at < following, exceeded_at, NEVER),
            np.where(stops, exhausted_from, NEVER),
            exhausted_day_units,
            np.where(stops & known, day + 1, NEVER),
        )
        masked = [np.where(credit < NEVER, column, NEVER) for column in columns]
        periods.append((credit, bought, total, *masked))
        if not known.any():
            return Periods(*(np.stack(column, axis=1) for column in zip(*periods, strict=True)))
        column = np.clip(day - demand.first_day, 0, demand.days - 1)
        used = np.where(stops, bought + overshoot, demand.used_by(column, following % DAY_SECONDS) - lost)
        lost = np.where(stops, demand.sum[rows, column + 1] - (bought + overshoot), lost)
        credit, bought, total = following, bought + amount, bought + amount - used
