"""What the quota recommendations save: simulated fleets replayed month by month under three policies.

    python -m benchmarks.savings [--sims 600] [--seeds 901,902,903] [--months 12] [--outage-day 500] [--in-service]
                                [--budget EUR]

All data is synthetic. The simulator says what each device wants to send on each day; a ledger of the replay says what
its quota lets through, when an automatic top-up comes (below 20 % left) and when the SIM expires. All policies begin
with the same SIMs, volumes and settings, decide on the first day of each month and know what is theirs to know: usage
up to the day before, which an exhausted SIM does not have, quotas, settings and prices.

nothing   only the automatic top-ups that are switched on at the start
rules     the plain rules (`ml.quota.rules`) with what is left as the quota: who is over-used is topped up to 1.3 times
          the 95th percentile of its months; a downgrade cannot be bought and changes nothing
rules auto  the same, but who is under-used loses its automatic top-up and who is over-used gets it: the last line
          takes whichever of the two is cheaper in all
ours      `ml.quota.actions` and `ml.quota.optimiser` on the forecast's paths; what is for a later month waits for it

Cost is what is paid and, at its price, each outage day: a day on which the device would send and not all of it gets
through. Outage days by expiry, which the rules do not know, are told apart. What is left at the end is no cost and no
gain; it is shown.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl

from ml.exhaustion.extrapolation import Extrapolation, fit_extrapolation
from ml.forecasting import ForecastModel, fit, predict
from ml.history import BYTES_PER_MB, USAGE_SCHEMA, FloatArray, dense
from ml.quota.actions import ACTIONS, AUTO_AT, Evaluation, Sims, evaluate, realized_saving
from ml.quota.optimiser import optimise
from ml.quota.prices import PriceList
from ml.quota.rules import plain_rules
from ml.quota.use import MONTH_DAYS, monthly_use
from simulator.fleet import DATA_QUOTA, Fleet
from simulator.hashing import NEVER
from simulator.orders_tickets import PRODUCTS

START = date(2025, 1, 1)
FIRST_DAY = 220
HISTORY_DAYS = 330
AHEAD_MONTHS = 12
LIFETIME = 3652
SAMPLES = 100
FIT_MONTHS = 3
OUTAGE_LIMIT = 0.25
POLICIES = ("nothing", "rules", "rules auto", "ours")


def price_list(outage_day: int) -> PriceList:
    """The simulated account's own products, and the price of an outage day."""
    kinds = {1001: "sim", 5001: "top_up", 5002: "extension"}
    products = [
        {
            "kind": kinds[one["id"]],
            "name": one["product"],
            "price": round(100 * one["one_time_charges"][0]["amount_net"]),
            "volume": 0 if kinds[one["id"]] == "extension" else DATA_QUOTA,
            "validity_months": None if kinds[one["id"]] == "top_up" else one["min_contract_duration"],
        }
        for one in PRODUCTS
        if one["id"] in kinds
    ]
    return PriceList.of({"currency": "EUR", "outage_day": outage_day, "products": products, "swap_work": 5000})


class Demand:
    """What each device wants on every day of the replay, the days before it and a year after it."""

    def __init__(self, seed: int, sims: int, months: int, *, in_service: bool = False) -> None:
        self.fleet = Fleet(seed=seed, sims=sims, start=START)
        self.begin = START + timedelta(days=FIRST_DAY)
        everyone = np.arange(sims)
        first = self.begin - timedelta(days=HISTORY_DAYS)
        # A device outlives its SIM's expiry: it goes on wanting to send.
        endless = Fleet(seed=seed, sims=sims, start=START)
        endless.demand.expiry = endless.demand.expiry + LIFETIME
        days = np.arange(first.toordinal(), self.begin.toordinal() + MONTH_DAYS * (months + AHEAD_MONTHS))
        self.wanted = endless.wanted(everyone, days).volume
        self.known = self.fleet.usage(everyone, first, self.begin - timedelta(days=1)).volume.astype(np.float64)
        periods = self.fleet.ledger(everyone, self.begin.toordinal()).data
        for stop, resume in zip(periods.exhausted_from.T, periods.exhausted_until.T, strict=True):
            out = (
                (days[:HISTORY_DAYS] > stop[:, None])
                & (days[:HISTORY_DAYS] < resume[:, None])
                & (stop < NEVER)[:, None]
            )
            self.known[out] = np.nan
        self.known[days[None, :HISTORY_DAYS] < self.fleet.demand.activation[:, None]] = np.nan
        midnight = datetime(self.begin.year, self.begin.month, self.begin.day, tzinfo=UTC)
        self.left = self.fleet.remaining(everyone, midnight)[0].astype(np.float64)
        self.expiry = (self.fleet.demand.expiry - self.begin.toordinal()).astype(np.float64)
        # who waited for a SIM that expired before the replay has found another by now
        self.wanted[self.expiry <= 0] = 0
        self.activation = self.fleet.demand.activation - self.begin.toordinal()
        if in_service:
            lost = (self.left <= 0) & (self.activation < 0)
            self.wanted[lost], self.known[lost] = 0, np.nan
        self.left[self.activation >= 0] = DATA_QUOTA  # the plan's own, of who is activated later

    def future(self, month: int) -> FloatArray:
        """Wanted bytes of the months from `month` on, (sims, AHEAD_MONTHS)."""
        begin = HISTORY_DAYS + MONTH_DAYS * month
        days = self.wanted[:, begin : begin + MONTH_DAYS * AHEAD_MONTHS]
        return days.reshape(len(days), AHEAD_MONTHS, MONTH_DAYS).sum(axis=2).astype(np.float64)


@dataclass(eq=False)
class Replay:
    """One policy's SIMs as they stand, and what they have cost.

    known  (sims, days) usage up to now, NaN while exhausted or expired and before activation: nobody knows
    """

    demand: Demand
    prices: PriceList
    known: FloatArray
    left: FloatArray
    total: FloatArray
    expiry: FloatArray
    auto: np.ndarray
    paid: list[float] = field(default_factory=list)
    outage_days: list[int] = field(default_factory=list)
    expired_days: int = 0
    spent: float = 0.0
    model: tuple[ForecastModel, Extrapolation] | None = None

    @classmethod
    def begun(cls, demand: Demand, prices: PriceList) -> Replay:
        return cls(
            demand,
            prices,
            demand.known.copy(),
            demand.left.copy(),
            np.maximum(demand.left, DATA_QUOTA),
            demand.expiry.copy(),
            demand.fleet.auto_topup.copy(),
        )

    @property
    def month(self) -> int:
        return len(self.outage_days)

    @property
    def cost(self) -> float:
        """Minor units: what was paid, and the outage days."""
        return sum(self.paid) + sum(self.outage_days) * self.prices.outage_day

    @property
    def as_of(self) -> date:
        return self.demand.begin + timedelta(days=MONTH_DAYS * self.month - 1)

    @property
    def active(self) -> np.ndarray:
        """SIMs that are in the field by now."""
        return np.asarray(self.demand.activation < MONTH_DAYS * self.month)

    def history(self) -> pl.DataFrame:
        """Usage as the policies read it: null on a day that nobody can know."""
        sims, days = self.known.shape
        dates = pl.date_range(self.as_of - timedelta(days=days - 1), self.as_of, "1d", eager=True)
        frame = pl.DataFrame(
            {
                "sim_key": np.repeat(np.arange(sims, dtype=np.int32), days),
                "day": dates[np.tile(np.arange(days), sims)],
                "bytes": self.known.ravel(),
            }
        )
        begun = np.cumsum(np.nan_to_num(self.known), axis=1).ravel() > 0
        return (
            frame.with_columns(pl.col("bytes").fill_nan(None).cast(pl.Int64)).filter(begun).select(list(USAGE_SCHEMA))
        )

    def top_up(self, packs: np.ndarray) -> None:
        self.left = self.left + packs * DATA_QUOTA
        self.total = np.where(packs > 0, self.left, self.total)
        self.spent += float(packs.sum()) * self.prices.top_up.price

    def live(self) -> None:
        """One month, day by day: what gets through, what is bought automatically, who is out."""
        out = 0
        begin = HISTORY_DAYS + MONTH_DAYS * self.month
        seen = np.full((len(self.left), MONTH_DAYS), np.nan)
        for day in range(MONTH_DAYS):
            wanted = self.demand.wanted[:, begin + day].astype(np.float64)
            living = self.expiry > MONTH_DAYS * self.month + day
            usable = np.where(living, wanted, 0)
            need = np.ceil((usable - self.left + AUTO_AT * self.total) / DATA_QUOTA)
            self.top_up(np.where(self.auto & living & self.active, np.maximum(need, 0), 0))
            served = np.minimum(usable, np.maximum(self.left, 0))
            # a SIM that is exhausted all day says nothing about its device
            seen[:, day] = np.where(living & ((self.left > 0) | (wanted == 0) & self.auto), served, np.nan)
            self.left = self.left - served
            missed = (wanted > 0) & (served < wanted)
            out += int(missed.sum())
            self.expired_days += int((missed & ~living).sum())
        unborn = np.arange(MONTH_DAYS)[None, :] + MONTH_DAYS * self.month < self.demand.activation[:, None]
        seen[unborn] = np.nan
        self.known = np.concatenate([self.known[:, MONTH_DAYS:], seen], axis=1)
        self.paid.append(self.spent)
        self.outage_days.append(out)
        self.spent = 0.0


def by_rules(replay: Replay, automatic: bool = False) -> None:
    """The plain rules; `automatic` lets them switch automatic top-ups instead of buying by hand."""
    keys = np.arange(replay.left.size)
    quotas = pl.DataFrame({"sim_key": keys, "quota": np.maximum(replay.left, 0).astype(np.int64)})
    found = plain_rules(replay.history(), quotas, as_of=replay.as_of, price_per_mb=replay.prices.per_mb)
    over = (found["verdict"] == "upgrade").to_numpy() & ~replay.auto
    if automatic:
        replay.auto = (replay.auto | over) & ~(found["verdict"] == "downgrade").to_numpy()
        return
    lacking = found["proposed"].to_numpy() - replay.left
    replay.top_up(np.where(over, np.ceil(np.maximum(lacking, 0) / DATA_QUOTA), 0))


def by_cost(replay: Replay, budget: float | None = None) -> tuple[float, float]:
    """Ours. Returns what it is expected to save, and what it saves in hindsight."""
    history, as_of = replay.history(), replay.as_of
    if replay.model is None or replay.month % FIT_MONTHS == 0:
        replay.model = fit(history, as_of=as_of), fit_extrapolation(history, as_of=as_of)
    model, extrapolation = replay.model
    forecast = predict(model, history, as_of=as_of)
    values = dense(history, as_of=as_of).values
    keys = forecast.sim_keys
    recent = replay.known[:, -60:]
    known = (~np.isnan(replay.known[:, -HISTORY_DAYS:])).sum(axis=1)
    last = np.nan_to_num((recent > 0).sum(axis=1) / np.maximum((~np.isnan(recent)).sum(axis=1), 1))
    ever = (np.nan_to_num(replay.known) > 0).sum(axis=1) / np.maximum(known, 1)
    share = np.where(np.isnan(recent).all(axis=1), ever, last)
    sims = Sims(
        keys,
        replay.left[keys],
        replay.expiry[keys] - MONTH_DAYS * replay.month,
        replay.auto[keys],
        share[keys],
        AUTO_AT * replay.total[keys],
    )
    parts = []
    for block, paths in forecast.path_blocks(SAMPLES):
        later = extrapolation.extrapolate(paths, values[block])
        use = monthly_use(paths, later, extrapolation.step_days, months=AHEAD_MONTHS)
        parts.append(evaluate(use, sims.take(block), replay.prices))
    evaluation = Evaluation.stacked(parts)
    months = None if budget is None else [budget] * evaluation.spend.shape[2]
    choice = optimise(evaluation, budget=months, outage_limit=OUTAGE_LIMIT).choice
    realized = realized_saving(replay.demand.future(replay.month)[keys], sims, replay.prices, choice)
    _act(replay, keys, choice)
    return float(evaluation.saving[np.arange(choice.size), choice].sum()), float(realized.sum())


def _act(replay: Replay, keys: np.ndarray, choice: np.ndarray) -> None:
    """Do what is for this month."""
    packs = np.zeros(replay.left.size)
    for k, action in enumerate(ACTIONS):
        these = keys[choice == k]
        if action.kind == "nothing" or action.month > 1 or not these.size:
            continue
        if action.kind == "top_up":
            packs[these] = action.packs
        elif action.kind in ("auto_top_up_on", "auto_top_up_off", "retire"):
            replay.auto[these] = action.kind == "auto_top_up_on"
        else:
            product = replay.prices.product("extension" if action.kind == "extend" else "sim")
            assert product is not None
            replay.spent += these.size * product.price
            now = float(MONTH_DAYS * replay.month)
            replay.expiry[these] = np.maximum(replay.expiry[these], now) + LIFETIME
            if action.kind == "swap":
                replay.spent += these.size * replay.prices.swap_work
                replay.expiry[these] = now + LIFETIME
                replay.left[these] = replay.total[these] = DATA_QUOTA
                replay.auto[these] = False
    replay.top_up(packs)


def replayed(demand: Demand, months: int, prices: PriceList, budget: float | None) -> dict[str, Replay]:
    """Every policy on one fleet; prints ours month by month."""
    seed, sims = demand.fleet.seed, demand.fleet.sims
    ends = {name: Replay.begun(demand, prices) for name in POLICIES}
    print(f"\nfleet {seed}: {sims} SIMs, {int(demand.fleet.auto_topup.sum())} topped up automatically, EUR")
    print("month  saving of ours, predicted  realized |  outage days: nothing  rules  rules auto  ours")
    for month in range(months):
        by_rules(ends["rules"])
        by_rules(ends["rules auto"], automatic=True)
        predicted, realized = by_cost(ends["ours"], budget)
        for replay in ends.values():
            replay.live()
        days = [ends[name].outage_days[-1] for name in POLICIES]
        print(
            f"{month + 1:5} {predicted / 100:26,.0f} {realized / 100:9,.0f} | {days[0]:21} {days[1]:6} {days[2]:11} "
            f"{days[3]:5}"
        )
    print(f"{'':12} cost, EUR      paid  outage days  of these expired  left at the end, GB")
    for name, replay in ends.items():
        print(
            f"{name:12} {replay.cost / 100:9,.0f} {sum(replay.paid) / 100:9,.0f} {sum(replay.outage_days):12,} "
            f"{replay.expired_days:17,} {np.maximum(replay.left, 0).sum() / BYTES_PER_MB / 1000:20,.1f}"
        )
    return ends


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sims", type=int, default=600)
    parser.add_argument("--seeds", default="901,902,903")
    parser.add_argument("--months", type=int, default=12)
    parser.add_argument("--outage-day", type=int, default=500, help="minor units")
    parser.add_argument("--in-service", action="store_true", help="leave out SIMs that are exhausted at the start")
    parser.add_argument("--budget", type=float, help="EUR a month and fleet, for ours")
    given = parser.parse_args()
    prices = price_list(given.outage_day)
    begun = time.process_time()
    budget = None if given.budget is None else 100 * given.budget
    demands = [
        Demand(int(seed), given.sims, given.months, in_service=given.in_service) for seed in given.seeds.split(",")
    ]
    fleets = [replayed(demand, given.months, prices, budget) for demand in demands]
    print(f"\n{time.process_time() - begun:.0f} CPU seconds for {len(fleets)} fleets")
    cost = {name: sum(ends[name].cost for ends in fleets) / 100 for name in POLICIES}
    days = {name: sum(sum(ends[name].outage_days) for ends in fleets) for name in POLICIES}
    by_volume = {name: days[name] - sum(ends[name].expired_days for ends in fleets) for name in POLICIES}
    print("outage days by volume alone: " + ", ".join(f"{name} {by_volume[name]:,}" for name in POLICIES))
    alone = {name: cost[name] - (days[name] - by_volume[name]) * given.outage_day / 100 for name in POLICIES}
    print("cost without outages by expiry, EUR: " + ", ".join(f"{name} {alone[name]:,.0f}" for name in POLICIES))
    rules = min(POLICIES[1:3], key=lambda name: cost[name])
    print(
        f"savings ours={cost['ours']:.0f} rules={cost[rules]:.0f} nothing={cost['nothing']:.0f} "
        f"outages_ours={days['ours']} outages_rules={days[rules]}"
    )


if __name__ == "__main__":
    main()
