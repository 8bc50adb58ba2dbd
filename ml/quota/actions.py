"""What each action costs, for every SIM, from its futures.

A SIM's quota is a budget for years, with top-ups of a fixed size and an expiry. An action is done at the start of one
of the next MONTHS months and is judged over the whole horizon of the futures: what is paid, and what the days cost on
which the device would send and cannot. In the months of decision each path is played month by month. Of the time after
them one thing is assumed for every action, since it will be decided anew: on each path, whichever is cheaper is done,
to go on buying whole top-ups (or the extension), or to be out of service. So volume that is bought early counts in
full where it would be needed later, and nothing where the device stops.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml.enums import QuotaAction
from ml.history import FloatArray, IntArray
from ml.quota.prices import PriceList
from ml.quota.use import MONTH_DAYS

BoolArray = npt.NDArray[np.bool_]

# Months in which something can be done: the budget has so many.
MONTHS = 3
# An automatic top-up comes when less than this share of a top-up is left, unless the SIM says otherwise.
AUTO_AT = 0.2


@dataclass(frozen=True)
class Action:
    """Something that can be done for a SIM, at the start of month 1 to MONTHS."""

    kind: QuotaAction
    month: int = 1
    packs: int = 1


# Of equal ones the first is chosen: later is better, since then more is known.
LATER_FIRST = range(MONTHS, 0, -1)
ACTIONS = (
    Action("nothing"),
    *(Action("top_up", month) for month in LATER_FIRST),
    Action("top_up", 1, 2),
    Action("auto_top_up_on"),
    Action("auto_top_up_off"),
    Action("lower_limit"),
    *(Action("extend", month) for month in LATER_FIRST),
    Action("swap"),
    Action("retire"),
)


@dataclass(frozen=True, eq=False)
class Sims:
    """What is known of SIMs beside their futures; one value a SIM.

    sim_keys      ids, for the frames
    left          bytes left; zero or less: exhausted; NaN: unknown, and nothing is recommended
    expiry_days   days until the expiry date; zero or less: expired; inf or NaN: never, or unknown
    auto_top_up   whether it is topped up automatically now
    active_share  share of days on which the device sends, 0 to 1: only such a day can be an outage
    auto_at       bytes left at which an automatic top-up comes; NaN: AUTO_AT of a top-up
    limit         bytes a month to which its limit could be lowered; NaN: it cannot. 1NCE has one limit for the whole
                  account: give it only where a SIM can have its own
    """

    sim_keys: npt.NDArray[np.int64]
    left: FloatArray
    expiry_days: FloatArray
    auto_top_up: BoolArray
    active_share: FloatArray
    auto_at: FloatArray | None = None
    limit: FloatArray | None = None

    def __post_init__(self) -> None:
        sims = self.sim_keys.shape
        for name, values in vars(self).items():
            if values is not None and values.shape != sims:
                raise ValueError(f"{name} has the shape {values.shape}, sim_keys {sims}: one value a SIM")

    def take(self, rows: npt.NDArray[np.int64] | BoolArray | slice) -> Sims:
        """Some of the SIMs."""
        return Sims(
            self.sim_keys[rows],
            self.left[rows],
            self.expiry_days[rows],
            self.auto_top_up[rows],
            self.active_share[rows],
            None if self.auto_at is None else self.auto_at[rows],
            None if self.limit is None else self.limit[rows],
        )


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What each action comes to; arrays (sims, actions), money in minor units, means over the futures.

    cost         money paid and outage days at their price, over the whole horizon
    saving       mean of what it costs less than "nothing", with the 10 and 90 % quantiles over paths (`saving_p10`,
                 `saving_p90`) and the share of paths on which it saves (`saves`)
    outage_days, outage_p  expected outage days, and the probability of any, in the months of decision
    spend        (sims, actions, MONTHS) money paid in each month of decision
    possible     whether it can be done at all; the figures of what cannot are those of "nothing"
    first_outage_p  (sims,) probability of an outage in the first month if nothing is done
    """

    actions: tuple[Action, ...]
    cost: FloatArray
    saving: FloatArray
    saving_p10: FloatArray
    saving_p90: FloatArray
    saves: FloatArray
    outage_days: FloatArray
    outage_p: FloatArray
    spend: FloatArray
    possible: BoolArray
    first_outage_p: FloatArray

    @classmethod
    def stacked(cls, parts: Sequence[Evaluation]) -> Evaluation:
        """Evaluations of blocks of SIMs under each other. Raises ValueError without any, or with other actions."""
        if not parts or any(part.actions != parts[0].actions for part in parts):
            raise ValueError("evaluations can be stacked when there is one or more and all have the same actions")
        names = [name for name in vars(parts[0]) if name != "actions"]
        return cls(
            parts[0].actions, **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        )


@dataclass(frozen=True, eq=False)
class Wanted:
    """The use of futures as every action looks at it.

    months      (MONTHS, sims, samples) bytes in the months of decision
    later       (sims, samples, more) bytes in those after them
    total       (sims, samples) their sum
    used        (sims, samples) in how many of them something is used
    """

    months: FloatArray
    later: FloatArray
    total: FloatArray
    used: IntArray

    @classmethod
    def of(cls, use: FloatArray) -> Wanted:
        """use: (sims, samples, months)."""
        later = use[:, :, MONTHS:]
        months = np.ascontiguousarray(np.moveaxis(use[:, :, :MONTHS], 2, 0))
        return cls(months, later, later.sum(axis=2), (later > 0).sum(axis=2))

    def take(self, rows: npt.NDArray[np.int64]) -> Wanted:
        """That of some of the SIMs."""
        return Wanted(self.months[:, rows], self.later[rows], self.total[rows], self.used[rows])


@dataclass(frozen=True, eq=False)
class Outcome:
    """One action on every path: cost (sims, samples), outage days of each month (MONTHS, sims, samples) and money paid
    in each (MONTHS, sims, samples)."""

    cost: FloatArray
    outage_days: FloatArray
    spend: FloatArray


def evaluate(use: FloatArray, sims: Sims, prices: PriceList, *, actions: Sequence[Action] = ACTIONS) -> Evaluation:
    """What each action comes to for every SIM.

    use      (sims, samples, months) bytes of each month ahead, `ml.quota.use.monthly_use`; MONTHS months or more
    actions  the first is "nothing"

    Memory is some twenty times that of `use`: hand in blocks of some hundred SIMs.
    Raises ValueError when shapes differ, use is negative or not finite, or the first action is another.
    """
    chosen = tuple(actions)
    if not chosen or chosen[0].kind != "nothing":
        raise ValueError("the first action must be 'nothing': all others are compared with it")
    _check(use, sims)
    count, kinds = len(use), len(chosen)
    possible = _possible(chosen, use, sims, prices)
    wanted = Wanted.of(use)
    base = play(wanted, sims, prices, chosen[0])
    # what cannot be done has the figures of "nothing", and saves nothing
    cost, outage_days, outage_p, spend = (np.repeat(part[:, None], kinds, axis=1) for part in _means(base))
    saving, saving_p10, saving_p90, saves = np.zeros((4, count, kinds))
    for k, action in enumerate(chosen):
        rows = np.flatnonzero(possible[:, k])
        if action.kind == "nothing" or not rows.size:
            continue
        outcome = play(wanted.take(rows), sims.take(rows), prices, action)
        cost[rows, k], outage_days[rows, k], outage_p[rows, k], spend[rows, k] = _means(outcome)
        saved = base.cost[rows] - outcome.cost
        saving[rows, k], saves[rows, k] = saved.mean(axis=1), (saved > 0).mean(axis=1)
        saving_p10[rows, k], saving_p90[rows, k] = np.quantile(saved, (0.1, 0.9), axis=1)
    first = (base.outage_days[0] > 0).mean(axis=1)
    return Evaluation(
        chosen,
        cost=cost,
        saving=saving,
        saving_p10=saving_p10,
        saving_p90=saving_p90,
        saves=saves,
        outage_days=outage_days,
        outage_p=outage_p,
        spend=spend,
        possible=possible,
        first_outage_p=first,
    )


def realized_saving(
    use: FloatArray,
    sims: Sims,
    prices: PriceList,
    choice: npt.NDArray[np.int64],
    *,
    actions: Sequence[Action] = ACTIONS,
) -> FloatArray:
    """What the chosen actions saved against doing nothing, (sims,), once the months have passed.

    use     (sims, months) bytes that each device wanted in the months since; what an exhausted SIM would have sent is
            unknown, and has to be estimated
    choice  (sims,) index of the action that was chosen
    The same measure as `Evaluation.saving`, on the one path that came.
    """
    saved = np.zeros(len(use))
    for k, action in enumerate(actions):
        rows = np.flatnonzero(choice == k)
        if rows.size and action.kind != "nothing":
            came, these = Wanted.of(use[rows, None, :]), sims.take(rows)
            done, left_alone = (play(came, these, prices, one).cost[:, 0] for one in (action, actions[0]))
            saved[rows] = left_alone - done
    return saved


def play(wanted: Wanted, sims: Sims, prices: PriceList, action: Action) -> Outcome:
    """One action for every SIM, on each of its paths."""
    kind, pack = action.kind, prices.top_up
    count, samples = wanted.total.shape
    left = np.repeat(np.nan_to_num(sims.left)[:, None], samples, axis=1)
    expiry = np.where(np.isnan(sims.expiry_days), np.inf, sims.expiry_days)
    automatic = sims.auto_top_up & (kind not in ("auto_top_up_off", "retire", "swap")) | (kind == "auto_top_up_on")
    at = np.full(count, AUTO_AT * pack.volume) if sims.auto_at is None else sims.auto_at
    at = np.where(np.isnan(at), AUTO_AT * pack.volume, at)[:, None]
    active = np.clip(sims.active_share, 1 / MONTH_DAYS, 1)[:, None] * MONTH_DAYS
    lost, spend = np.zeros((2, MONTHS, count, samples))
    for month, use in enumerate(wanted.months):
        if action.month == month + 1 and kind != "nothing":
            paid, left, expiry = _bought(action, prices, left, expiry, month)
            spend[month] += paid
        if kind == "retire":
            lost[month] = active * (use > 0)
            continue
        living = np.clip((expiry - MONTH_DAYS * month) / MONTH_DAYS, 0, 1)[:, None]
        usable = use * living
        if kind == "lower_limit" and sims.limit is not None:
            usable = np.minimum(usable, sims.limit[:, None])
        spend[month] += prices.recurring
        if automatic.any():
            packs = np.where(automatic[:, None] & (living > 0), np.ceil((usable - left + at) / pack.volume), 0)
            packs = np.maximum(packs, 0)
            left = left + packs * pack.volume
            spend[month] += packs * pack.price
        served = np.minimum(usable, np.maximum(left, 0))
        left = left - served
        missed = np.where(use > 0, 1 - served / np.maximum(use, 1e-9), 0)
        # a millionth of a month is the rounding of sums, and no outage
        lost[month] = np.where(missed > 1e-6, missed, 0) * active
    cost = spend.sum(axis=0) + lost.sum(axis=0) * prices.outage_day
    return Outcome(cost + _afterwards(wanted, left, expiry, active, prices, kind), lost, spend)


def _bought(
    action: Action, prices: PriceList, left: FloatArray, expiry: FloatArray, month: int
) -> tuple[float, FloatArray, FloatArray]:
    """What an action costs at the start of its month, and the volume and expiry after it."""
    paid = float(prices.handling)
    if action.kind == "top_up":
        return paid + action.packs * prices.top_up.price, left + action.packs * prices.top_up.volume, expiry
    product = prices.product("extension" if action.kind == "extend" else "sim")
    if action.kind == "extend" and product is not None:
        added = (product.validity_months or 0) * MONTH_DAYS
        return paid + product.price, left, np.maximum(expiry, MONTH_DAYS * month) + added
    if action.kind == "swap" and product is not None:
        lasts = np.inf if product.validity_months is None else product.validity_months * MONTH_DAYS
        new = np.full_like(expiry, MONTH_DAYS * month + lasts)
        return paid + product.price + prices.swap_work, np.full_like(left, product.volume), new
    return paid, left, expiry


def _afterwards(
    use: Wanted, left: FloatArray, expiry: FloatArray, active: FloatArray, prices: PriceList, kind: QuotaAction
) -> FloatArray:
    """Cost of the months after those of decision: the cheaper of buying on and of being out of service."""
    months, wanted = use.later.shape[2], use.total
    outage = prices.outage_day * active * use.used
    pack, card = prices.top_up, prices.product("sim")
    if kind == "retire":
        if card is None:
            return np.asarray(outage, dtype=np.float64)
        more = np.ceil(np.maximum(wanted - card.volume, 0) / pack.volume) * pack.price
        anew = np.where(wanted > 0, card.price + prices.swap_work + more, 0)
        return np.asarray(np.minimum(outage, anew), dtype=np.float64)
    missing = np.maximum(wanted - np.maximum(left, 0), 0)
    buying = np.ceil(missing / pack.volume) * pack.price
    cost = np.minimum(buying, outage * missing / np.maximum(wanted, 1e-9))
    begins = MONTH_DAYS * (MONTHS + np.arange(months))
    gone = 1 - np.clip((expiry[:, None] - begins) / MONTH_DAYS, 0, 1)
    ends = np.flatnonzero(gone.any(axis=1))
    after = (use.later[ends] > 0) * gone[ends, None, :]
    renewals = [product.price for product in (prices.product("extension"),) if product]
    renewals += [card.price + prices.swap_work] if card else []
    renewal = np.where(after.any(axis=2), min(renewals, default=np.inf), 0.0)
    cost[ends] += np.minimum(renewal, prices.outage_day * active[ends] * after.sum(axis=2))
    return np.asarray(cost + prices.recurring * months, dtype=np.float64)


def _possible(actions: Sequence[Action], use: FloatArray, sims: Sims, prices: PriceList) -> BoolArray:
    """Which action can be done for which SIM, (sims, actions), and is not pointless from the outset.

    Of a SIM that cannot end in the months of decision, on any path, and costs nothing by the month, nothing can be
    saved: whatever is bought later is then as good.
    """
    known = ~np.isnan(sims.left)
    ends = sims.expiry_days <= use.shape[2] * MONTH_DAYS
    short = use[:, :, :MONTHS].sum(axis=2).max(axis=1) > sims.left
    limited = np.zeros(known.size, dtype=bool) if sims.limit is None else ~np.isnan(sims.limit)
    matters = known & (ends | short | sims.auto_top_up | limited | (prices.recurring > 0))
    by_kind = {
        "top_up": ~sims.auto_top_up & short,
        "auto_top_up_on": ~sims.auto_top_up & short,
        "auto_top_up_off": sims.auto_top_up,
        "lower_limit": limited,
        "extend": ends & (prices.product("extension") is not None),
        "swap": np.full(known.size, prices.product("sim") is not None),
    }
    columns = []
    for action in actions:
        living = ~(sims.expiry_days <= MONTH_DAYS * (action.month - 1))
        buys = action.kind in ("top_up", "auto_top_up_on")
        column = matters & by_kind.get(action.kind, True) & (living | (not buys))
        columns.append(column | (action.kind == "nothing"))
    return np.stack(columns, axis=1)


def _means(outcome: Outcome) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Over the paths of each SIM: cost, outage days, probability of any, and the money paid in each month."""
    lost = outcome.outage_days.sum(axis=0)
    return outcome.cost.mean(axis=1), lost.mean(axis=1), (lost > 0).mean(axis=1), outcome.spend.mean(axis=2).T


def _check(use: FloatArray, sims: Sims) -> None:
    if use.ndim != 3 or use.shape[0] != sims.sim_keys.size or use.shape[1] < 1 or use.shape[2] < MONTHS:
        raise ValueError(
            f"use has the shape {use.shape}; needed is (sims, samples, months) for {sims.sim_keys.size} SIMs and "
            f"{MONTHS} months or more"
        )
    if not np.isfinite(use).all() or (use < 0).any():
        row = int(np.argmax((~(np.isfinite(use) & (use >= 0))).any(axis=(1, 2))))
        raise ValueError(f"use of SIM {sims.sim_keys[row]} is negative, infinite or NaN in a month")
