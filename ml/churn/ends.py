"""When and why SIMs ended, from what was heard of them and said of them: the labels of `ml.churn.hazard`.

Three causes are learnt: the device is dead (silent for good), the customer switched the SIM off, or swapped it (its
device turned up with another SIM). 1NCE knows none of them: a SIM ends on the day on which its last silence was longer
than is usual for it (as `ml.silence` counts), or on which it was disabled or left the SIM list, whichever is first, and
the cause is what was said around that day. Exhausted and expired are no such ends: from that day on the SIM is out of
sight, until it is topped up.

A silence is for good only after so many days that hardly any silence of so many days ended, counted on the fleet's own
past: the closing lag. What began less than a closing lag ago is open, and labels of days in it are used for nobody,
neither for SIMs that are silent nor for those that are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from ml.history import USAGE_SCHEMA, FloatArray
from ml.silence import SilenceRules

DEAD_DEVICE, SWITCHED_OFF, SWAPPED = CAUSES = ("dead_device", "switched_off", "swapped")
FACTS = ("disabled", "enabled", "exhausted", "topped_up", "expired", "swapped")
FACT_SCHEMA = {"sim_key": pl.Int32, "day": pl.Date, "fact": pl.String}
END_SCHEMA = {"sim_key": pl.Int32, "ended_on": pl.Date, "cause": pl.String}
LAG_SCHEMA = {"rhythm": pl.Int8, "sims": pl.UInt32, "closing_days": pl.Int32}
# usual gaps, in days, that part rhythms: daily, weekly, rarer
RHYTHMS = (2.0, 8.0)
LAGS = (14, 21, 30, 45, 60, 90)
RETURNS = 0.05  # of silences of so many days that may end: longer ones are for good
MIN_SILENCES = 20  # that a closing lag is counted on
UNKNOWN_GAP = 7.0  # usual gap of a SIM of which too little is known
AROUND_DAYS = 60  # after the last sign of life in which a fact still says why


def usual_gaps(usage: pl.DataFrame) -> pl.DataFrame:
    """sim_key, usual_gap: the 95 % quantile of days between neighbouring active days, null with fewer than five."""
    active = usage.filter(pl.col("bytes") > 0).sort("sim_key", "day")
    gap = active.with_columns(gap=pl.col("day").diff().over("sim_key").dt.total_days())
    many = pl.col("gap").count() >= 5
    return gap.group_by("sim_key").agg(usual_gap=pl.when(many).then(pl.col("gap").quantile(0.95, "higher")))


def rhythm(gap: str = "usual_gap") -> pl.Expr:
    """0 daily, 1 weekly, 2 rarer or not known."""
    return pl.when(pl.col(gap) <= RHYTHMS[0]).then(0).when(pl.col(gap) <= RHYTHMS[1]).then(1).otherwise(2).cast(pl.Int8)


def silent_after(gap: str = "usual_gap") -> pl.Expr:
    """After how many days a silence is longer than usual: an integer of days."""
    rules = SilenceRules()
    usual = rules.gap_factor * pl.col(gap).fill_null(UNKNOWN_GAP)
    return pl.max_horizontal(pl.lit(float(rules.min_days)), usual).ceil().cast(pl.Int64)


def closing_lags(usage: pl.DataFrame, facts: pl.DataFrame, *, as_of: date) -> pl.DataFrame:
    """After how many days a silence is for good, by rhythm (LAG_SCHEMA): the least of LAGS such that of the silences
    that lasted so long, and began 90 days or more before `as_of`, at most RETURNS ended; the longest where there are
    too few to say. Silences of SIMs that could not send (exhausted, disabled, expired) do not count.
    """
    silences = _silences(usage, as_of=as_of).join(usual_gaps(usage), on="sim_key", how="left")
    silences = silences.with_columns(rhythm=rhythm())
    why = facts.filter(pl.col("fact").is_in(["exhausted", "disabled", "expired", "swapped"])).select(
        "sim_key", at="day"
    )
    told = silences.join(why, on="sim_key").filter(
        pl.col("at").is_between(pl.col("from_day") - pl.duration(days=1), pl.col("to_day"))
    )
    silences = silences.join(told.select("sim_key", "from_day").unique(), on=["sim_key", "from_day"], how="anti")
    old = silences.filter((pl.lit(as_of) - pl.col("from_day")).dt.total_days() >= LAGS[-1])
    rows = []
    for number in range(len(RHYTHMS) + 1):
        of_rhythm = old.filter(pl.col("rhythm") == number)
        found = LAGS[-1]
        for lag in LAGS:
            long = of_rhythm.filter(pl.col("days") >= lag)
            if long.height >= MIN_SILENCES and long["returned"].mean() <= RETURNS:  # type: ignore[operator]
                found = lag
                break
        rows.append((number, silences.filter(pl.col("rhythm") == number)["sim_key"].n_unique(), found))
    return pl.DataFrame(rows, schema=LAG_SCHEMA, orient="row")


def chance_of_return(usage: pl.DataFrame, *, as_of: date, days: int) -> FloatArray:
    """P(returns | silent for g days) for g of 1 to `days`, from silences that began `days` or more before `as_of`; NaN
    where no silence was so long."""
    old = _silences(usage, as_of=as_of).filter((pl.lit(as_of) - pl.col("from_day")).dt.total_days() >= days)
    length, returned = old["days"].to_numpy(), old["returned"].to_numpy()
    found = np.full(days, np.nan)
    for gap in range(1, days + 1):
        long = length >= gap
        if long.any():
            found[gap - 1] = returned[long].mean()
    return found


def _silences(usage: pl.DataFrame, *, as_of: date) -> pl.DataFrame:
    """Runs of days without use up to `as_of`: sim_key, from_day (the first without), to_day, days, returned."""
    active = usage.filter(pl.col("bytes") > 0, pl.col("day") <= as_of).select("sim_key", "day").sort("sim_key", "day")
    following = pl.col("day").shift(-1).over("sim_key")
    runs = active.with_columns(next=following).with_columns(
        returned=pl.col("next").is_not_null(),
        from_day=pl.col("day") + pl.duration(days=1),
        to_day=pl.coalesce(pl.col("next") - pl.duration(days=1), pl.lit(as_of)),
    )
    runs = runs.with_columns(days=(pl.col("to_day") - pl.col("from_day")).dt.total_days() + 1)
    return runs.filter(pl.col("days") > 0).select("sim_key", "from_day", "to_day", "days", "returned")


def ends_of(usage: pl.DataFrame, facts: pl.DataFrame, *, as_of: date, lags: pl.DataFrame) -> pl.DataFrame:
    """The learnt ends that are closed at `as_of` (END_SCHEMA), one a SIM at most: ended_on is the first day without
    life.

    usage  USAGE_SCHEMA up to `as_of`; facts  FACT_SCHEMA, one row a change: "disabled" (or gone from the SIM list),
    "enabled", "exhausted", "topped_up", "expired", and "swapped": on that day its device was first seen with another
    SIM; lags  as `closing_lags` makes them. Raises ValueError for a fact that is none of these.
    """
    checked(usage, USAGE_SCHEMA, "usage history")
    strange = checked(facts, FACT_SCHEMA, "facts").filter(~pl.col("fact").is_in(FACTS))["fact"]
    if strange.len():
        raise ValueError(f"the facts hold {strange[0]!r}; they may be {', '.join(FACTS)}")
    facts = facts.filter(pl.col("day") <= as_of)
    heard = usage.filter(pl.col("bytes") > 0, pl.col("day") <= as_of).group_by("sim_key").agg(last=pl.col("day").max())
    off = _off(facts).rename({"out_on": "off_on"})
    out = _out_of_sight(facts)
    swapped = facts.filter(pl.col("fact") == "swapped").group_by("sim_key").agg(swapped_on=pl.col("day").max())
    sims = heard.join(usual_gaps(usage.filter(pl.col("day") <= as_of)), on="sim_key", how="left")
    sims = sims.with_columns(rhythm=rhythm()).join(lags.select("rhythm", "closing_days"), on="rhythm", how="left")
    for frame in (off, out, swapped):
        sims = sims.join(frame, on="sim_key", how="left")
    day = pl.duration(days=1)
    silent_on = pl.col("last") + (1 + silent_after()) * day
    quiet = (pl.lit(as_of) - pl.col("last")).dt.total_days()
    sims = sims.with_columns(ended_on=pl.min_horizontal(silent_on, "off_on"), closed=quiet >= pl.col("closing_days"))
    near = pl.duration(days=AROUND_DAYS)
    cause = (
        pl.when(pl.col("swapped_on").is_between(pl.col("ended_on") - near, pl.col("ended_on") + near))
        .then(pl.lit(SWAPPED))
        .when(pl.col("off_on") <= pl.col("ended_on") + near)
        .then(pl.lit(SWITCHED_OFF))
        .when("closed")
        .then(pl.lit(DEAD_DEVICE))
    )
    dry = (pl.col("out_on") <= pl.col("last") + 2 * day).fill_null(value=False)
    found = sims.with_columns(cause=cause).filter("closed", ~dry, pl.col("cause").is_not_null())
    return found.select(pl.col(name).cast(kind) for name, kind in END_SCHEMA.items()).sort("sim_key")


def _off(facts: pl.DataFrame) -> pl.DataFrame:
    """sim_key, out_on: since when a SIM is off, of those that still are."""
    turns = facts.filter(pl.col("fact").is_in(["disabled", "enabled"])).sort("sim_key", "day", maintain_order=True)
    turns = turns.filter(pl.col("fact") != pl.col("fact").shift(1).over("sim_key").fill_null("enabled"))
    last = turns.group_by("sim_key", maintain_order=True).agg(pl.col("fact").last(), out_on=pl.col("day").last())
    return last.filter(pl.col("fact") == "disabled").select("sim_key", "out_on")


def _out_of_sight(facts: pl.DataFrame) -> pl.DataFrame:
    """sim_key, out_on: since when a SIM is exhausted or expired, and still is."""
    turns = facts.filter(pl.col("fact").is_in(["exhausted", "topped_up", "expired"])).sort("sim_key", "day")
    out = pl.col("fact") != "topped_up"
    back = pl.col("day").filter(~out).max()
    since = pl.col("day").filter(out & (pl.col("day") > back).fill_null(value=True)).min()
    found = turns.group_by("sim_key").agg(out_on=since)
    return found.filter(pl.col("out_on").is_not_null())


def out_of_sight_on(facts: pl.DataFrame, day: date) -> pl.DataFrame:
    """sim_key, out_on of the SIMs that were exhausted, expired or off at a day's end, by what was said up to it."""
    known = facts.filter(pl.col("day") <= day)
    return pl.concat([_out_of_sight(known), _off(known)]).group_by("sim_key").agg(pl.col("out_on").min())


def checked(frame: pl.DataFrame, schema: Mapping[str, Any], what: str) -> pl.DataFrame:
    """The frame with the schema's columns. Raises ValueError when one is not there."""
    missing = [name for name in schema if name not in frame.columns]
    if missing:
        raise ValueError(f"{what} lacks the column(s) {', '.join(missing)}; it needs {', '.join(schema)}")
    return frame.select(pl.col(name).cast(kind) for name, kind in schema.items())
