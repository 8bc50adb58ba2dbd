"""Find the silences that the season explains, from stored usage."""

from datetime import date, timedelta

import polars as pl

from ml.anomaly import FleetStatistics
from ml.anomaly.seasons import IDLE_SCHEMA, MIN_IDLE_DAYS, YEAR, idle_periods, seasonal_periods
from ml.anomaly.signals import PERIOD_SCHEMA
from resources.database.session import Database, Transaction

RECENT_DAYS = 200  # days in which a SIM must have used data
LOOK_BACK_DAYS = YEAR + RECENT_DAYS + 120  # in which an idle period a year before may have begun
GROUP_SCHEMA = {"sim_key": pl.Int32, "device_type": pl.String, "label_prefix": pl.String}


def seasonal_idle_periods(
    database: Database | Transaction,
    history: pl.DataFrame,
    as_of: date,
    *,
    peers: pl.DataFrame,
    periods: pl.DataFrame,
    fleet: FleetStatistics | None = None,
) -> pl.DataFrame:
    """Return the idle periods that the season explains (PERIOD_SCHEMA).

    Reads the year before of those SIMs only that have an idle period now.

    history, peers, periods, fleet  as of `ml.anomaly.signals`
    """
    recent = history.filter(pl.col("day") > as_of - timedelta(days=RECENT_DAYS))
    idle = idle_periods(recent, as_of)
    if idle.is_empty():
        return pl.DataFrame(schema=PERIOD_SCHEMA)
    which = {
        "as_of": as_of,
        "days": LOOK_BACK_DAYS,
        "least": MIN_IDLE_DAYS,
        "sim_keys": idle["sim_key"].unique(maintain_order=True).to_list(),
    }
    rests = database.frame("rests_before", IDLE_SCHEMA, which)
    users = peers.join(recent.select("sim_key").unique(), on="sim_key", how="semi")
    return seasonal_periods(idle, rests, as_of, peers=users, periods=periods, fleet=fleet)


def seasonally_idle_sims(database: Database, history: pl.DataFrame, as_of: date, *, lateness: int) -> pl.Series:
    """Return the keys of SIMs whose silence as of a day the season explains."""
    peers = database.frame("sim_groups", GROUP_SCHEMA)
    periods = database.frame("anomaly_periods", PERIOD_SCHEMA, {"as_of": as_of, "sim_keys": None, "lateness": lateness})
    rests = seasonal_idle_periods(database, history, as_of, peers=peers, periods=periods)
    return rests.filter(pl.col("last_day").is_null())["sim_key"]
