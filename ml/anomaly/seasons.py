"""Silences that the season explains: the SIM rested in the same weeks a year before, or its peers rest in the same season.

A pump that waters in summer and a sensor of a ski lift rest for months, and nothing is wrong with them. What is dead is not explained
so: a SIM that was active in the same weeks a year before is no seasonal one, whatever its peers do; and a rest that goes on for longer
than a year before, or than its peers', is explained no more.
"""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl

from ml.anomaly.fleet import FleetStatistics
from ml.anomaly.signals import PERIOD_SCHEMA

# one row a stretch of LEAST days or more without data, closed by days with data, and when the SIM is known from; no stretch: null days
REST_SCHEMA = {"sim_key": pl.Int32, "known_from": pl.Date, "first_day": pl.Date, "last_day": pl.Date}
YEAR = 364  # days: whole weeks
LEAST = 28  # days that a rest lasts: shorter ones come about by chance
OUT = ("exhausted", "expired", "disabled", "suspended", "deactivated")  # states of a SIM that cannot be used
LONG = 14  # days of silence by which peers are taken to rest
SILENT = 2  # days without data from which on a SIM that is not active now is looked at
EITHER_WAY = 21  # days by which a season may come sooner, or end later, than a year before
PEERS = 10  # SIMs of a device type that rest, OF_PAST: SIMs of a device type or label that rested a year before, too
OF_PAST = 5
SHARE = 0.5  # of the peers
ONE_AFTER_ANOTHER = 7  # days between the first and the last quarter of those that fall silent: a fault strikes at once


def stretches(history: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """What a season may explain: sim_key, first_day, last_day of stretches without data; last_day is null while it lasts.

    history  a usage history (ml.history) up to `as_of`
    """
    day = pl.duration(days=1)
    used = history.filter(pl.col("bytes") > 0).select("sim_key", "day").sort("sim_key", "day")
    idle = used.select("sim_key", first_day=pl.col("day") + day, last_day=pl.col("day").shift(-1).over("sim_key") - day)
    days = (pl.col("last_day").fill_null(as_of) - pl.col("first_day")).dt.total_days() + 1
    return idle.filter(days >= pl.when(pl.col("last_day").is_null()).then(SILENT).otherwise(LEAST))


def resting(
    idle: pl.DataFrame,
    rests: pl.DataFrame,
    as_of: date,
    *,
    peers: pl.DataFrame,
    periods: pl.DataFrame | None = None,
    fleet: FleetStatistics | None = None,
) -> pl.DataFrame:
    """The stretches that the season explains, as periods (PERIOD_SCHEMA) of state "seasonal" or "seasonal_peers".

    idle     as of `stretches`
    rests    of the SIMs in `idle`, longer ago (REST_SCHEMA)
    peers    one row a SIM that used data lately: sim_key, device_type, label_prefix
    periods  when SIMs were out of service (PERIOD_SCHEMA): they are not counted among those that rest, nor their peers
    fleet    what was learnt of the fleet whose SIMs these are: groups that rest; without it these SIMs are the fleet
    """
    fleet = fleet or FleetStatistics()
    if periods is not None:  # who was out of service then did not rest with a season
        then = periods.filter(pl.col("state").is_in(OUT)).select("sim_key", out="first_day", back="last_day")
        meets = (pl.col("out") <= pl.col("last_day")) & (pl.col("back").fill_null(as_of) >= pl.col("first_day"))
        struck = rests.join(then, on="sim_key").filter(meets).select(rests.columns).unique()
        rests = rests.join(struck, on=rests.columns, how="anti", nulls_equal=True)
    until = pl.col("last_day").fill_null(as_of)
    year = timedelta(days=YEAR)
    tolerance = timedelta(days=EITHER_WAY)
    before = rests.drop_nulls("first_day").select(
        "sim_key", began=pl.col("first_day") + year, ended=pl.col("last_day") + year
    )
    alike = idle.join(before, on="sim_key").filter(
        pl.col("first_day") >= pl.col("began") - tolerance, until <= pl.col("ended") + tolerance
    )
    own = alike.select("sim_key", "first_day", "last_day", state=pl.lit("seasonal")).unique()
    known = rests.select("sim_key", "known_from").unique("sim_key")
    now = idle.filter(pl.col("last_day").is_null()).join(known, on="sim_key", how="left")
    young = now.filter((pl.col("known_from") > pl.col("first_day") - year).fill_null(value=True))
    if periods is not None:
        out = periods.filter(pl.col("last_day").is_null()).select("sim_key")
        now, peers = (frame.join(out, on="sim_key", how="anti") for frame in (now, peers))
    by_peers = []
    for name in ("device_type", "label_prefix"):
        of_groups = peers.select("sim_key", group=name).filter(pl.col("group") != "")
        rest = fleet.of(f"resting {name}", _resting, now, own, of_groups, as_of, of_type=name == "device_type")
        by_peers.append(of_groups.join(rest, on="group").select("sim_key", "since"))
    follow = pl.concat(by_peers).join(young, on="sim_key", suffix="_own").filter(
        pl.col("first_day") >= pl.col("since") - tolerance
    )  # fmt: skip
    follow = follow.join(own, on="sim_key", how="anti").unique("sim_key")
    told = follow.select("sim_key", "first_day", "last_day", state=pl.lit("seasonal_peers"))
    return (
        pl.concat([own, told])
        .select(pl.col(name).cast(kind) for name, kind in PERIOD_SCHEMA.items())
        .sort("sim_key", "first_day")
    )


def _resting(now: pl.DataFrame, own: pl.DataFrame, peers: pl.DataFrame, as_of: date, *, of_type: bool) -> pl.DataFrame:
    """Groups that rest, and since when they do: half of it rested a year before too or, of a device type, fell silent one after another."""
    seasonal = own.filter(pl.col("last_day").is_null()).select("sim_key", seasonal=pl.lit(value=True))
    days = (pl.lit(as_of) - pl.col("first_day")).dt.total_days() + 1
    counted = peers.join(now.select("sim_key", "first_day"), on="sim_key", how="left").join(
        seasonal, on="sim_key", how="left"
    )
    rests = counted.with_columns(
        long=(days >= LONG).fill_null(value=False), seasonal=pl.col("seasonal").fill_null(value=False)
    )
    begun = pl.col("first_day").filter("long").cast(pl.Int32)
    groups = rests.group_by("group").agg(
        sims=pl.len(),
        past=pl.col("seasonal").sum(),
        long=pl.col("long").sum(),
        spread=begun.quantile(0.75) - begun.quantile(0.25),
        since=pl.col("first_day")
        .filter(pl.col("long") | pl.col("seasonal"))
        .cast(pl.Int32)
        .quantile(0.1, "lower")
        .cast(pl.Int32),
    )
    past = (pl.col("past") >= OF_PAST) & (pl.col("past") >= SHARE * pl.col("sims"))
    lately = (
        (pl.col("long") >= PEERS) & (pl.col("long") >= SHARE * pl.col("sims")) & (pl.col("spread") >= ONE_AFTER_ANOTHER)
    )
    rest = groups.filter(past | (lately if of_type else pl.lit(value=False)))
    return rest.select("group", since=pl.col("since").cast(pl.Date))
