"""What a SIM has used in all at each look at its quota, from what was left then and what was topped up in between."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from services.ingest.schemas import UTC_TIME, Schema

QUOTA_LOOKS_SCHEMA: Schema = {
    "sim_key": pl.Int32,
    "kind": pl.String,
    "day": pl.Date,
    "is_last": pl.Boolean,
    "observed_at": UTC_TIME,
    "amount_left": pl.Int64,
    "amount_total": pl.Int64,
    "last_added": pl.Int64,
    "status_changed_at": UTC_TIME,
    "amount_accumulated": pl.Int64,
    "used": pl.Int64,
    "most_used": pl.Int64,
}
TOP_UPS_SCHEMA: Schema = {"sim_key": pl.Int32, "kind": pl.String, "at": UTC_TIME, "is_order": pl.Boolean}
# 1NCE's usage answers reach so far back: what was used before that is of no use to the models
REACH = timedelta(days=184)
GROUP = ["sim_key", "kind"]


def count_used(looks: pl.DataFrame, top_ups: pl.DataFrame) -> pl.DataFrame:
    """The looks (QUOTA_LOOKS_SCHEMA) by SIM, kind and time, with `used` and `most_used` counted anew.

    looks    used and most_used of the first look of a SIM and kind are taken over where they are known; else it begins
             with all that was ever provisioned less what is left, or with 0 where that is not told. Those of the others
             are not read. Amounts in bytes or messages.
    top_ups  TOP_UPS_SCHEMA: events and orders of top-ups

    Where all that was ever provisioned is told at both looks, the use between them is exact, whatever was topped up.
    Else it is what was left less what is left, and the last top-up once for each top-up in between. A top-up shows in
    the total, in the volume last added, or in a new status with more left. Events say it too, unless the quota says
    that nothing has changed; there may be more events or orders than the one that shows. More left without a top-up is
    a correction: used falls, most_used does not.
    """
    looks = looks.sort(*GROUP, "observed_at", "is_last")

    def before(name: str) -> pl.Expr:
        return pl.col(name).shift(1).over(GROUP)

    looks = looks.with_columns(
        _until(looks, top_ups.filter(~pl.col("is_order"))).alias("events"),
        _until(looks, top_ups.filter("is_order")).alias("orders"),
    )
    told = ("amount_total", "last_added", "status_changed_at")
    differ = {name: (pl.col(name) != before(name)).fill_null(value=False) for name in told}
    more = pl.col("amount_left") > before("amount_left")
    total_unknown = pl.col("amount_total").is_null() | before("amount_total").is_null()
    shows = (
        differ["amount_total"]
        | differ["last_added"]
        | (differ["status_changed_at"] & more)
        | (total_unknown & more & pl.col("last_added").is_not_null())
    ).fill_null(value=False)
    nothing_changed = pl.all_horizontal(*(pl.col(name) == before(name) for name in told)).fill_null(value=False)
    events, orders = pl.col("events") - before("events"), pl.col("orders") - before("orders")
    times = pl.when(nothing_changed).then(0).when(shows).then(pl.max_horizontal(events, orders, 1)).otherwise(events)
    # a top-up of unknown volume: nothing but the rise itself says how much it was
    added = pl.coalesce("last_added", (pl.col("amount_left") - before("amount_left")).clip(lower_bound=0))
    net = pl.col("amount_accumulated") - pl.col("amount_left")
    step = pl.coalesce(net - net.shift(1).over(GROUP), before("amount_left") - pl.col("amount_left") + times * added)
    start = pl.coalesce("used", net, 0)
    is_start = pl.int_range(pl.len()).over(GROUP) == 0
    used = pl.when(is_start).then(start).otherwise(step).cum_sum().over(GROUP)
    return (
        looks.with_columns(pl.when(is_start).then("most_used").alias("most_used"), used.alias("used"))
        .with_columns(pl.max_horizontal("used", "most_used").cum_max().over(GROUP).alias("most_used"))
        .select(list(QUOTA_LOOKS_SCHEMA))
    )


def _until(looks: pl.DataFrame, top_ups: pl.DataFrame) -> pl.Series:
    """How many top-ups there were up to each look, in the order of the looks."""
    counted = top_ups.sort("at").select(
        *GROUP, "at", (pl.int_range(pl.len()).over(GROUP) + 1).cast(pl.Int64).alias("number")
    )
    asked = looks.select(*GROUP, "observed_at").with_row_index("place").sort("observed_at")
    found = asked.join_asof(
        counted, left_on="observed_at", right_on="at", by=GROUP, strategy="backward", check_sortedness=False
    )
    return found.sort("place")["number"].fill_null(0)


def with_activation(looks: pl.DataFrame, activated: pl.DataFrame) -> pl.DataFrame:
    """The looks (sim_key, observed_at, used), and before the first of each of these SIMs that it had used nothing.

    activated   sim_key, activated_at of SIMs whose `used` counts from their activation. The day of the activation is
                known from its beginning. An activation longer before the first look than REACH adds nothing.
    """
    first = looks.group_by("sim_key").agg(pl.col("observed_at").min().alias("first_at"))
    near = activated.join(first, on="sim_key").filter(
        (pl.col("activated_at") < pl.col("first_at")) & (pl.col("activated_at") >= pl.col("first_at") - REACH)
    )
    nothing = pl.lit(0, pl.Int64).alias("used")
    columns = looks.columns
    return pl.concat(
        [
            looks,
            *(
                near.select("sim_key", moment.alias("observed_at"), nothing).select(columns)
                for moment in (pl.col("activated_at").dt.truncate("1d"), pl.col("activated_at"))
            ),
        ]
    )
