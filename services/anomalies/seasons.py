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
    recent = recent_days(history, as_of)
    idle, users = idle_periods(recent, as_of), recent["sim_key"].unique()
    return _seasonal(database, idle, users, as_of, peers=peers, periods=periods, fleet=fleet)


def recent_days(history: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """Return the days of a history in which a SIM must have used data."""
    return history.filter(pl.col("day") > as_of - timedelta(days=RECENT_DAYS))


def _seasonal(
    database: Database | Transaction,
    idle: pl.DataFrame,
    users: pl.Series,
    as_of: date,
    *,
    peers: pl.DataFrame,
    periods: pl.DataFrame,
    fleet: FleetStatistics | None = None,
) -> pl.DataFrame:
    if idle.is_empty():
        return pl.DataFrame(schema=PERIOD_SCHEMA)
    which = {
        "as_of": as_of,
        "days": LOOK_BACK_DAYS,
        "least": MIN_IDLE_DAYS,
        "sim_keys": idle["sim_key"].unique(maintain_order=True).to_list(),
    }
    rests = database.frame("rests_before", IDLE_SCHEMA, which)
    users_only = peers.filter(pl.col("sim_key").is_in(users.implode()))
    return seasonal_periods(idle, rests, as_of, peers=users_only, periods=periods, fleet=fleet)


def seasonally_idle_sims(
    database: Database, idle: pl.DataFrame, users: pl.Series, as_of: date, *, lateness: int
) -> pl.Series:
    """Return the keys of SIMs whose silence as of a day the season explains.

    idle   the idle periods of the whole fleet in its recent days (IDLE_SCHEMA), by SIM
    users  the SIMs with a row in these days
    """
    peers = database.frame("sim_groups", GROUP_SCHEMA)
    periods = database.frame("anomaly_periods", PERIOD_SCHEMA, {"as_of": as_of, "sim_keys": None, "lateness": lateness})
    rests = _seasonal(database, idle, users, as_of, peers=peers, periods=periods)
    return rests.filter(pl.col("last_day").is_null())["sim_key"]
