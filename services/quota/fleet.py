"""The fleet's money as a whole, added up over blocks of SIMs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from ml.quota.fleet_view import compare_plans, expiries, next_year, over_provisioned, zombies
from ml.quota.prices import PriceList
from ml.quota.rules import UNDER_USED
from services.quota.futures import Futures

SHOWN = 20
YEAR_SUMS = ("top_ups", "extensions", "recurring", "cost")


class FleetView:
    """What a block of SIMs adds to the fleet's money: zombie SIMs, over-provisioned groups, expiries to come, the money
    of the next year, and plans compared.

    SIMs are added some hundred at a time.
    """

    def __init__(self, prices: PriceList, as_of: date) -> None:
        self._prices, self._as_of = prices, as_of
        self._parts: dict[str, list[pl.DataFrame]] = {
            name: [] for name in ("zombies", "groups", "ends", "year", "plans")
        }

    def add(self, block: Futures, names: pl.DataFrame) -> None:
        """Count some SIMs in; names: NAMES_SCHEMA, in their order."""
        sims, use, prices = block.sims, block.use, self._prices
        facts = pl.DataFrame(
            {
                "sim_key": sims.sim_keys,
                "idle_days": block.idle_days,
                "left": pl.Series(sims.left).fill_nan(None).cast(pl.Int64),
                "auto_top_up": sims.auto_top_up,
            },
            schema_overrides={"sim_key": pl.Int32},
        )
        found = zombies(facts, prices).join(names, on="sim_key", how="left", maintain_order="left")
        groups = names["label"].str.replace(r"[\s_.#-]*\d[\w\s.-]*$", "").replace("", None)
        self._parts["zombies"].append(found)
        self._parts["groups"].append(over_provisioned(use, sims, groups, prices))
        self._parts["ends"].append(expiries(use, sims, prices, as_of=self._as_of, months=use.shape[2]))
        self._parts["year"].append(next_year(use, sims, prices))
        if prices.plans:
            self._parts["plans"].append(compare_plans(use, prices))

    def summary(self) -> dict[str, pl.DataFrame]:
        """The block's parts, for `fleet_view`."""
        return {name: pl.concat(frames) for name, frames in self._parts.items() if frames}


def fleet_view(summaries: Sequence[dict[str, pl.DataFrame]]) -> dict[str, Any]:
    """The whole of all blocks, JSON-ready, amounts in minor units; empty lists without any SIM.

    summaries  `FleetView.summary` of each block
    Ranges add up as those of independent sums do; a pool is one of some hundred SIMs.
    """
    names = ("zombies", "groups", "ends", "year", "plans")
    found = {name: [summary[name] for summary in summaries if name in summary] for name in names}
    parts = {name: pl.concat(frames) if frames else None for name, frames in found.items()}
    idle, groups, ends, year, plans = (parts[name] for name in names)
    if idle is None or groups is None or ends is None or year is None:
        return {"zombies": {"sims": 0, "monthly_minor": 0, "bound_minor": 0, "first": []}} | {
            name: [] for name in ("groups", "expiries", "next_year", "plans")
        }
    idle = idle.sort("monthly_cost", "bound", "sim_key", descending=[True, True, False])
    grouped = groups.group_by("group").agg(pl.col("sims", "left", "needed", "bound").sum())
    over = grouped.filter(pl.col("needed") < UNDER_USED * pl.col("left")).sort(
        "bound", "group", descending=[True, False]
    )
    months = ends.group_by("month").agg(pl.col("sims", "in_use").sum(), cost=_sum_or_null("cost")).sort("month")
    return {
        "zombies": {
            "sims": idle.height,
            "monthly_minor": round(float(idle["monthly_cost"].sum())),
            "bound_minor": round(float(idle["bound"].sum())),
            "first": [
                {
                    "iccid": row["iccid"],
                    "label": row["label"],
                    "idle_days": row["idle_days"],
                    "bound_minor": _minor(row["bound"]),
                }
                for row in idle.head(SHOWN).iter_rows(named=True)
            ],
        },
        "groups": [
            {
                "group": row["group"],
                "sims": row["sims"],
                "left_bytes": row["left"],
                "needed_bytes": _minor(row["needed"]),
                "bound_minor": _minor(row["bound"]),
            }
            for row in over.head(SHOWN).iter_rows(named=True)
        ],
        "expiries": [
            {
                "month": row["month"].isoformat(),
                "sims": row["sims"],
                "in_use": row["in_use"],
                "cost_minor": _minor(row["cost"]),
            }
            for row in months.iter_rows(named=True)
        ],
        "next_year": [
            {f"{name}_minor": _minor(row[name]) for name in (*YEAR_SUMS, "cost_p10", "cost_p90")}
            | {"month": row["month"]}
            for row in _added(year, "month", YEAR_SUMS).sort("month").iter_rows(named=True)
        ],
        "plans": []
        if plans is None
        else [
            {"plan": row["plan"]} | {f"{name}_minor": _minor(row[name]) for name in ("cost", "cost_p10", "cost_p90")}
            for row in _added(plans, "plan", ("cost",)).sort("cost", "plan").iter_rows(named=True)
        ],
    }


def _sum_or_null(name: str) -> pl.Expr:
    return pl.when(pl.col(name).is_not_null().any()).then(pl.col(name).sum())


def _added(frame: pl.DataFrame, by: str, sums: tuple[str, ...]) -> pl.DataFrame:
    """Sums of blocks; the distance of a quantile from the mean adds up in squares."""
    low, high = (((pl.col("cost") - pl.col(f"cost_p{q}")) ** 2).sum().sqrt() for q in (10, 90))
    found = frame.group_by(by).agg(*(pl.col(name).sum() for name in sums), low=low, high=high)
    return found.with_columns(
        cost_p10=(pl.col("cost") - pl.col("low")).clip(0), cost_p90=pl.col("cost") + pl.col("high")
    )


def _minor(amount: float | None) -> int | None:
    return None if amount is None or not np.isfinite(amount) else round(amount)
