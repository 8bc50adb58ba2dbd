"""The fleet as a whole: SIMs that cost and do nothing, groups with more than they need, expiries that come, the money
of the next year, and the ways to pay compared."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from ml.history import BYTES_PER_MB, FloatArray
from ml.quota.actions import Sims
from ml.quota.prices import Plan, PriceList, PriceListError
from ml.quota.rules import UNDER_USED
from ml.quota.use import MONTH_DAYS

ZOMBIE_DAYS = 90

ZOMBIE_SCHEMA = {
    "sim_key": pl.Int32,
    "idle_days": pl.Int64,
    "left": pl.Int64,
    "monthly_cost": pl.Float64,
    "bound": pl.Float64,
}
GROUP_SCHEMA = {
    "group": pl.String,
    "sims": pl.UInt32,
    "left": pl.Int64,
    "needed": pl.Float64,
    "used_share": pl.Float64,
    "over_provisioned": pl.Boolean,
    "bound": pl.Float64,
}
EXPIRY_SCHEMA = {"month": pl.Date, "sims": pl.UInt32, "in_use": pl.UInt32, "cost": pl.Float64}
BUDGET_SCHEMA = {
    "month": pl.Int32,
    "top_ups": pl.Float64,
    "extensions": pl.Float64,
    "recurring": pl.Float64,
    "cost": pl.Float64,
    "cost_p10": pl.Float64,
    "cost_p90": pl.Float64,
}
PLAN_SCHEMA = {
    "plan": pl.String,
    "model": pl.String,
    "cost": pl.Float64,
    "cost_p10": pl.Float64,
    "cost_p90": pl.Float64,
    "cheapest": pl.Boolean,
}


def zombies(facts: pl.DataFrame, prices: PriceList, *, idle_days: int = ZOMBIE_DAYS) -> pl.DataFrame:
    """SIMs that used nothing for `idle_days` days or more and still cost (ZOMBIE_SCHEMA), the dearest first.

    facts  one row a SIM: sim_key, idle_days (known days since its last use, or since it was activated), left (bytes),
           auto_top_up

    monthly_cost  what it costs each month; 0 under a lifetime rate
    bound         what was paid for the volume that lies idle on it
    A SIM costs when it is paid by the month, is topped up automatically or holds volume.
    """
    left = pl.col("left").fill_null(0).clip(0)
    found = facts.filter(pl.col("idle_days") >= idle_days).with_columns(
        monthly_cost=pl.lit(float(prices.recurring)), bound=left / BYTES_PER_MB * prices.per_mb
    )
    found = found.filter((pl.col("monthly_cost") > 0) | pl.col("auto_top_up") | (pl.col("bound") > 0))
    found = found.sort("monthly_cost", "bound", "sim_key", descending=[True, True, False])
    return found.select(pl.col(name).cast(kind) for name, kind in ZOMBIE_SCHEMA.items())


def over_provisioned(use: FloatArray, sims: Sims, groups: pl.Series, prices: PriceList) -> pl.DataFrame:
    """Groups of SIMs with more volume than they will use until they expire (GROUP_SCHEMA), the most money first.

    use     (sims, samples, months) as in `ml.quota.actions.evaluate`; the mean month goes on until the expiry
    groups  a name for each SIM, such as its label's prefix or device type; null: "other"

    needed            expected use until the expiry, bytes, at most what is left on the SIM itself
    over_provisioned  less than half of what is left is needed (the plain rules' border)
    bound             what the rest was paid for
    SIMs whose quota is unknown are left out; one without an expiry date is taken to last ten years.
    """
    months = np.where(np.isfinite(sims.expiry_days), sims.expiry_days / MONTH_DAYS, 120)
    left = np.maximum(sims.left, 0)
    needed = np.minimum(use.mean(axis=(1, 2)) * np.maximum(months, 0), left)
    frame = pl.DataFrame({"group": groups.fill_null("other"), "left": left, "needed": needed}).fill_nan(None)
    found = (
        frame.drop_nulls()
        .group_by("group")
        .agg(sims=pl.len(), left=pl.col("left").sum(), needed=pl.col("needed").sum())
    )
    found = found.with_columns(
        used_share=pl.when(pl.col("left") > 0).then(pl.col("needed") / pl.col("left")),
        bound=(pl.col("left") - pl.col("needed")) / BYTES_PER_MB * prices.per_mb,
    ).with_columns(over_provisioned=(pl.col("used_share") < UNDER_USED).fill_null(False))
    found = found.sort("bound", "group", descending=[True, False])
    return found.select(pl.col(name).cast(kind) for name, kind in GROUP_SCHEMA.items())


def expiries(use: FloatArray, sims: Sims, prices: PriceList, *, as_of: date, months: int = 12) -> pl.DataFrame:
    """SIMs that expire in each calendar month to come (EXPIRY_SCHEMA), months without any included.

    in_use  of these, those that most of their futures still use in the last month looked at
    cost    of extending them, minor units; null without an extension in the price list
    """
    known = np.isfinite(sims.expiry_days)
    on = [as_of + timedelta(days=int(days)) if days > 0 else None for days in np.where(known, sims.expiry_days, 0)]
    in_use = (use[:, :, -1] > 0).mean(axis=1) >= 0.5
    product = prices.product("extension")
    first = as_of.replace(day=1)
    calendar = pl.DataFrame(
        {"month": pl.date_range(first, first + timedelta(days=31 * months), "1mo", eager=True)[:months]}
    )
    expiring = pl.DataFrame({"day": pl.Series(on, dtype=pl.Date), "in_use": in_use}).with_columns(
        month=pl.col("day").dt.truncate("1mo")
    )
    counted = expiring.group_by("month").agg(sims=pl.len(), in_use=pl.col("in_use").sum())
    found = calendar.join(counted, on="month", how="left").with_columns(pl.col("sims", "in_use").fill_null(0))
    found = found.with_columns(cost=pl.col("in_use") * (None if product is None else float(product.price)))
    return found.select(pl.col(name).cast(kind) for name, kind in EXPIRY_SCHEMA.items())


def next_year(use: FloatArray, sims: Sims, prices: PriceList) -> pl.DataFrame:
    """What it costs to keep every device that sends in service, month by month (BUDGET_SCHEMA), in minor units.

    Top-ups are bought when the volume is gone, extensions when a SIM expires and is still used. The range is of the
    fleet's sum, as if SIMs were independent of each other: what strikes many at once widens it.
    """
    left = np.nan_to_num(np.maximum(sims.left, 0))[:, None, None]
    packs = np.ceil(np.maximum(use.cumsum(axis=2) - left, 0) / prices.top_up.volume)
    bought = np.diff(packs, axis=2, prepend=0.0)
    alive = np.flip(np.flip(use, axis=2).cumsum(axis=2), axis=2) > 0
    product = prices.product("extension")
    known = np.isfinite(sims.expiry_days)
    month = np.where(known, np.maximum(np.where(known, sims.expiry_days, 0), 0) // MONTH_DAYS, -1)
    expires = (month[:, None] == np.arange(use.shape[2]))[:, None, :] & alive
    parts = {
        "top_ups": bought.sum(axis=0) * prices.top_up.price,
        "extensions": expires.sum(axis=0) * (0.0 if product is None else float(product.price)),
        "recurring": np.full(use.shape[1:], float(prices.recurring * len(use))),
    }
    total = sum(parts.values(), np.zeros(use.shape[1:]))
    columns: dict[str, npt.NDArray[np.generic]] = {name: part.mean(axis=0) for name, part in parts.items()}
    columns |= {"month": np.arange(1, use.shape[2] + 1), "cost": total.mean(axis=0)}
    columns |= {f"cost_p{share}": np.quantile(total, share / 100, axis=0) for share in (10, 90)}
    return pl.DataFrame(columns).select(pl.col(name).cast(kind) for name, kind in BUDGET_SCHEMA.items())


def compare_plans(use: FloatArray, prices: PriceList) -> pl.DataFrame:
    """What the fleet's use would cost under each plan of the price list over the months of `use` (PLAN_SCHEMA), the
    cheapest first.

    A lifetime plan's price counts for its share of the lifetime, or of its volume where that is gone sooner: what is
    used up is bought again as top-ups. The range is as in `next_year`. Raises PriceListError where the list has no
    plans.
    """
    if not prices.plans:
        raise PriceListError("the price list cannot be used: plans are missing, so none can be compared")
    rows = []
    for plan in prices.plans:
        cost = _plan_cost(use, plan, prices)
        low, high = np.quantile(cost, (0.1, 0.9))
        rows.append((plan.name or plan.model, plan.model, float(cost.mean()), float(low), float(high)))
    names = [name for name in PLAN_SCHEMA if name != "cheapest"]
    frame = pl.DataFrame(rows, schema=names, orient="row").sort("cost", maintain_order=True)
    frame = frame.with_columns(cheapest=pl.int_range(pl.len()) == 0)
    return frame.select(pl.col(name).cast(kind) for name, kind in PLAN_SCHEMA.items())


def _plan_cost(use: FloatArray, plan: Plan, prices: PriceList) -> FloatArray:
    """Cost of the whole fleet on each path, (samples,)."""
    sims, _, months = use.shape
    monthly = float(plan.recurring * sims * months)
    if plan.model == "pay_as_you_go":
        return np.asarray(monthly + use.sum(axis=(0, 2)) / BYTES_PER_MB * plan.per_mb, dtype=np.float64)
    if plan.model == "pool":
        beyond = np.maximum(use.sum(axis=0) - plan.volume * sims, 0).sum(axis=1)
        return np.asarray(monthly + beyond / BYTES_PER_MB * plan.per_mb, dtype=np.float64)
    lasts = plan.validity_months or months
    share = months / lasts
    included = plan.volume * share
    beyond = np.maximum(use.sum(axis=2) - included, 0) / BYTES_PER_MB * prices.per_mb
    return np.asarray(monthly + plan.one_time * share * sims + beyond.sum(axis=0), dtype=np.float64)
