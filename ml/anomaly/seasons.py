"""Silences that the season explains: the SIM was idle in the same weeks a year before, or its peers are idle in the
same season.

A pump that waters in summer and a sensor of a ski lift are idle for months, and nothing is wrong with them. What is
permanently inactive is not explained so: a SIM that was active in the same weeks a year before is no seasonal one,
whatever its peers do; and an idle period that goes on for longer than a year before, or than its peers', is explained
no more.
"""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl

from ml.anomaly.fleet import FleetStatistics
from ml.anomaly.signals import PERIOD_SCHEMA

# one row an idle period of MIN_IDLE_DAYS days or more, closed by days with data, and when the SIM is known from;
# without any: null days
IDLE_SCHEMA = {"sim_key": pl.Int32, "known_from": pl.Date, "first_day": pl.Date, "last_day": pl.Date}
YEAR = 364  # days: whole weeks
MIN_IDLE_DAYS = 28  # days that an idle period lasts: shorter ones come about by chance
OUT = ("exhausted", "expired", "disabled", "suspended", "deactivated")  # states of a SIM that cannot be used
LONG_SILENCE_DAYS = 14  # days of silence by which peers are taken to be idle
MIN_SILENT_DAYS = 2  # days without data from which on a SIM that is not active now is looked at
TOLERANCE_DAYS = 21  # days by which a season may come sooner, or end later, than a year before
# SIMs of a device type that are idle, MIN_PAST_PEERS: SIMs of a device type or label that were idle a year before, too
MIN_PEERS = 10
MIN_PAST_PEERS = 5
MIN_PEER_SHARE = 0.5  # of the peers
MIN_SPREAD_DAYS = 7  # days between the first and the last quarter of those that fall silent: a fault strikes at once


def idle_periods(history: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """What a season may explain: sim_key, first_day, last_day of idle periods; last_day is null while one lasts.

    history  a usage history (ml.history) up to `as_of`
    """
    day = pl.duration(days=1)
    used = history.filter(pl.col("bytes") > 0).select("sim_key", "day").sort("sim_key", "day")
    idle = used.select("sim_key", first_day=pl.col("day") + day, last_day=pl.col("day").shift(-1).over("sim_key") - day)
    days = (pl.col("last_day").fill_null(as_of) - pl.col("first_day")).dt.total_days() + 1
    return idle.filter(days >= pl.when(pl.col("last_day").is_null()).then(MIN_SILENT_DAYS).otherwise(MIN_IDLE_DAYS))


def seasonal_periods(
    idle: pl.DataFrame,
    past_idle: pl.DataFrame,
    as_of: date,
    *,
    peers: pl.DataFrame,
    periods: pl.DataFrame | None = None,
    fleet: FleetStatistics | None = None,
) -> pl.DataFrame:
    """The idle periods that the season explains, as periods (PERIOD_SCHEMA) of state "seasonal" or "seasonal_peers".

    idle     as of `idle_periods`
    rests    of the SIMs in `idle`, longer ago (IDLE_SCHEMA)
    peers    one row a SIM that used data lately: sim_key, device_type, label_prefix
    periods  when SIMs were out of service (PERIOD_SCHEMA): they are not counted among those that are idle, nor their
             peers
    fleet    what was fitted on the fleet whose SIMs these are: groups that are idle; without it these SIMs are the
             fleet
    """
    fleet = fleet or FleetStatistics()
    if periods is not None:  # who was out of service then was not idle with a season
        then = periods.filter(pl.col("state").is_in(OUT)).select("sim_key", out="first_day", back="last_day")
        meets = (pl.col("out") <= pl.col("last_day")) & (pl.col("back").fill_null(as_of) >= pl.col("first_day"))
        out_of_service = past_idle.join(then, on="sim_key").filter(meets).select(past_idle.columns).unique()
        past_idle = past_idle.join(out_of_service, on=past_idle.columns, how="anti", nulls_equal=True)
    until = pl.col("last_day").fill_null(as_of)
    year = timedelta(days=YEAR)
    tolerance = timedelta(days=TOLERANCE_DAYS)
    before = past_idle.drop_nulls("first_day").select(
        "sim_key", began=pl.col("first_day") + year, ended=pl.col("last_day") + year
    )
    alike = idle.join(before, on="sim_key").filter(
        pl.col("first_day") >= pl.col("began") - tolerance, until <= pl.col("ended") + tolerance
    )
    own = alike.select("sim_key", "first_day", "last_day", state=pl.lit("seasonal")).unique()
    known = past_idle.select("sim_key", "known_from").unique("sim_key")
    now = idle.filter(pl.col("last_day").is_null()).join(known, on="sim_key", how="left")
    young = now.filter((pl.col("known_from") > pl.col("first_day") - year).fill_null(value=True))
    if periods is not None:
        out = periods.filter(pl.col("last_day").is_null()).select("sim_key")
        now, peers = (frame.join(out, on="sim_key", how="anti") for frame in (now, peers))
    by_peers = []
    for name in ("device_type", "label_prefix"):
        of_groups = peers.select("sim_key", group=name).filter(pl.col("group") != "")
        seasonal = fleet.of(
            f"resting {name}", _seasonal_groups, now, own, of_groups, as_of, of_type=name == "device_type"
        )
        by_peers.append(of_groups.join(seasonal, on="group").select("sim_key", "since"))
    follow = pl.concat(by_peers).join(young, on="sim_key", suffix="_own").filter(
        pl.col("first_day") >= pl.col("since") - tolerance
    )  # fmt: skip
    follow = follow.join(own, on="sim_key", how="anti").unique("sim_key")
    by_groups = follow.select("sim_key", "first_day", "last_day", state=pl.lit("seasonal_peers"))
    return (
        pl.concat([own, by_groups])
        .select(pl.col(name).cast(kind) for name, kind in PERIOD_SCHEMA.items())
        .sort("sim_key", "first_day")
    )


def _seasonal_groups(
    now: pl.DataFrame, own: pl.DataFrame, peers: pl.DataFrame, as_of: date, *, of_type: bool
) -> pl.DataFrame:
    """Idle groups, and since when: half was idle a year before too or, of a device type, fell silent one after
    another."""
    seasonal = own.filter(pl.col("last_day").is_null()).select("sim_key", seasonal=pl.lit(value=True))
    days = (pl.lit(as_of) - pl.col("first_day")).dt.total_days() + 1
    counted = peers.join(now.select("sim_key", "first_day"), on="sim_key", how="left").join(
        seasonal, on="sim_key", how="left"
    )
    past_idle = counted.with_columns(
        long=(days >= LONG_SILENCE_DAYS).fill_null(value=False), seasonal=pl.col("seasonal").fill_null(value=False)
    )
    begun = pl.col("first_day").filter("long").cast(pl.Int32)
    groups = past_idle.group_by("group").agg(
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
    past = (pl.col("past") >= MIN_PAST_PEERS) & (pl.col("past") >= MIN_PEER_SHARE * pl.col("sims"))
    lately = (
        (pl.col("long") >= MIN_PEERS)
        & (pl.col("long") >= MIN_PEER_SHARE * pl.col("sims"))
        & (pl.col("spread") >= MIN_SPREAD_DAYS)
    )
    seasonal = groups.filter(past | (lately if of_type else pl.lit(value=False)))
    return seasonal.select("group", since=pl.col("since").cast(pl.Date))
