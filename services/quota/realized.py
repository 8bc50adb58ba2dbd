"""What the recommendations of a month promised, against what they came to."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl

from ml.history import FloatArray
from ml.plots.quota import plot_realized
from ml.quota.actions import ACTIONS, realized_saving
from ml.quota.use import MONTH_DAYS
from resources.runtime import Runtime
from services.quota.futures import MONTHS_AHEAD, Known, load_known, sims_of
from services.quota.prices import load_prices

# a recommendation whose outcome is known for fewer days says too little
LEAST_DAYS = 14
MADE_SCHEMA = {
    "scope": pl.String,
    "sim_key": pl.Int32,
    "as_of": pl.Date,
    "action": pl.String,
    "month": pl.Int16,
    "packs": pl.Int16,
    "saving_minor": pl.Int64,
}
REALIZED_SCHEMA = {
    "month": pl.Date,
    "scope": pl.String,
    "sims": pl.Int32,
    "predicted_minor": pl.Int64,
    "realized_minor": pl.Int64,
    "currency": pl.String,
}


def measure(runtime: Runtime, month: date) -> dict[str, Any]:
    """Hold the recommendations of a month (its first day) against the use that came; returns metadata.

    Of every SIM counts its first recommendation of the month, and, by itself, its first that was accepted. The use of
    the up to 30 days after it, going on at that rate, is put in place of the futures. A price list with holes or a
    month without recommendations is a state and no error.
    """
    prices = load_prices(runtime.database, runtime.settings)
    if prices.prices is None:
        return {"state": "no_prices", "missing": prices.problem}
    last = runtime.last_complete_day()
    made = runtime.database.frame("recommendations_of_month", MADE_SCHEMA, {"month": month})
    old_enough = made.filter(pl.col("as_of") <= last - timedelta(days=LEAST_DAYS))
    if old_enough.is_empty():
        return {"state": f"no recommendation of {month:%B %Y} has {LEAST_DAYS} days of outcome"}
    now = load_known(runtime.database, last, only=old_enough["sim_key"].unique().to_list())
    assert now is not None, "recommendations are made of usage"
    parts = []
    for (as_of,), rows in old_enough.sort("as_of", "sim_key").group_by("as_of", maintain_order=True):
        assert isinstance(as_of, date)
        then = load_known(runtime.database, as_of, only=rows["sim_key"].to_list())
        if then is None:
            continue
        one = rows.unique("sim_key", keep="first", maintain_order=True)
        keys = one["sim_key"].to_numpy().astype(np.int64)
        use = came(now, then, keys, as_of)
        choice = np.array([_place(*row) for row in one.select("action", "month", "packs").iter_rows()], dtype=np.int64)
        realized = realized_saving(use, sims_of(then, keys), prices.prices, choice)
        value = pl.DataFrame({"sim_key": one["sim_key"], "realized": realized})
        parts.append(rows.join(value, on="sim_key", maintain_order="left"))
    summed = (
        pl.concat(parts)
        .group_by("scope")
        .agg(
            sims=pl.len().cast(pl.Int32),
            predicted_minor=pl.col("saving_minor").sum(),
            realized_minor=pl.col("realized").sum().round().cast(pl.Int64),
        )
        .with_columns(pl.lit(month).alias("month"), pl.lit(prices.prices.currency).alias("currency"))
        .sort("scope")
    )
    with runtime.database.transaction() as transaction:
        merged = transaction.merge("merge_realized_savings", summed.with_columns(computed_at=pl.lit(runtime.clock())))
    past = runtime.database.frame("realized_savings", REALIZED_SCHEMA)
    currency = prices.prices.currency
    return {
        "month": month.isoformat(),
        "rows new": merged.new,
        "rows changed": merged.changed,
        "too young": made.height - old_enough.height,
        **{f"{row['scope']}: SIMs": row["sims"] for row in summed.iter_rows(named=True)},
        **{
            f"{row['scope']}: {what}, {currency}": round(row[f"{what}_minor"] / 100, 2)
            for row in summed.iter_rows(named=True)
            for what in ("predicted", "realized")
        },
        "predicted and realized": plot_realized(past, currency=currency, note=runtime.data_note),
    }


def came(now: Known, then: Known, sim_keys: Iterable[int], as_of: date) -> FloatArray:
    """Bytes of each month since `as_of`, (sims, MONTHS_AHEAD): the mean known day of the up to 30 days that came, times
    30, in every month.

    What a SIM without volume would have sent is unknown: where nothing else came, its known days of the 60 before
    count.
    """
    day = pl.col("day")
    after = now.history.filter(day > as_of, day <= as_of + timedelta(days=MONTH_DAYS))
    before = then.history.filter(day > as_of - timedelta(days=2 * MONTH_DAYS))
    last = min(now.as_of, as_of + timedelta(days=MONTH_DAYS))
    rates = [
        # a day without a record is one without use; one without bytes is unknown
        part.group_by("sim_key").agg(
            (pl.col("bytes").sum() / (days - pl.col("bytes").null_count()).clip(1)).alias(name),
            (pl.col("bytes").null_count() >= days).alias(f"{name}_unknown"),
        )
        for part, name, days in ((after, "after", (last - as_of).days), (before, "before", 2 * MONTH_DAYS))
    ]
    keys = pl.DataFrame({"sim_key": pl.Series(list(sim_keys), dtype=pl.Int32)})
    for rate in rates:
        keys = keys.join(rate, on="sim_key", how="left", maintain_order="left")
    chosen = pl.when(pl.col("after_unknown")).then("before").otherwise("after").fill_null(0.0)
    daily = keys.select(chosen.alias("rate"))["rate"].to_numpy()
    return np.repeat(np.asarray(daily, dtype=np.float64)[:, None] * MONTH_DAYS, MONTHS_AHEAD, axis=1)


def _place(kind: str, month: int | None, packs: int | None) -> int:
    """Which of ACTIONS a stored one is; 0, nothing, for one that is no more."""
    wanted = (kind, month or 1, packs or 1)
    return next((k for k, action in enumerate(ACTIONS) if (action.kind, action.month, action.packs) == wanted), 0)
