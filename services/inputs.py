"""What models rest on, read from the database: usage histories, samples of a fleet, quotas."""

from collections.abc import Iterator
from datetime import date

import polars as pl

from ml.spread import relaid
from resources.database.session import Database, Transaction
from resources.errors import SimsightError
from resources.runtime import Runtime

LAST_KEY = 2**31 - 1


class NoUsageError(SimsightError):
    """There is nothing to train on or nothing to score; the message says what to run first."""


HORIZON = 30
HISTORY_DAYS = 730
PATH_SAMPLES = 500
# So many SIMs say of a fleet what there is to know; more take memory and time.
TRAINING_SIMS = 20_000
HISTORY_SCHEMA = {"sim_key": pl.Int32, "day": pl.Date, "bytes": pl.Int64, "spread_from": pl.Date}
UNKNOWN_SCHEMA = {"sim_key": pl.Int32, "unknown_from": pl.Date}
QUOTA_SCHEMA = {"sim_key": pl.Int32, "quota_left": pl.Int64, "quota_total": pl.Int64, "expires_on": pl.Date}


def load_history(database: Database, as_of: date, sim_keys: list[int] | None = None) -> pl.DataFrame:
    """Daily usage up to `as_of` of every SIM, or of those given, as models take it: sim_key, day, bytes.

    Days of which only the sum is known are laid out as the SIM used its days (`ml.spread`); bytes are null on days that
    nobody was asked about yet. Raises NoUsageError when there is none.
    """
    return relaid(load_usage(database, as_of, sim_keys))


def load_usage(database: Database, as_of: date, sim_keys: list[int] | None = None) -> pl.DataFrame:
    """The same as stored: sim_key, day, bytes, and spread_from where only a sum is known (see `ml.spread`)."""
    history = _stored(database, as_of, sim_keys)
    if history.is_empty():
        raise _no_usage(as_of)
    return with_unknown_days(database, history, as_of, sim_keys)


def usage_in_blocks(database: Database, as_of: date, sims: int) -> Iterator[pl.DataFrame]:
    """The same as `load_usage` of the whole fleet, so many SIMs at a time; blocks without usage are left out.

    Let go of a block before the next one is asked for: two would be held.
    Raises NoUsageError at the end when there is none.
    """
    keys, is_empty = sims_between(database).to_list(), True
    for start in range(0, len(keys), sims):
        block = keys[start : start + sims]
        history = with_unknown_days(database, _stored(database, as_of, block), as_of, block)
        if not history.is_empty():
            is_empty = False
            yield history
        del history  # else it would be held while the next one is read
    if is_empty:
        raise _no_usage(as_of)


def _stored(database: Database, as_of: date, sim_keys: list[int] | None) -> pl.DataFrame:
    which = {"as_of": as_of, "days": HISTORY_DAYS, "sim_keys": sim_keys}
    return database.frame("usage_history", HISTORY_SCHEMA, which)


def _no_usage(as_of: date) -> NoUsageError:
    return NoUsageError(f"no usage is stored up to {as_of}: run `simsight ingest` first, or choose a later as-of day")


def with_unknown_days(
    database: Database | Transaction, history: pl.DataFrame, as_of: date, sim_keys: list[int] | None
) -> pl.DataFrame:
    """The history with a row without bytes a day up to `as_of` that no source of a SIM's usage has told of yet.

    So a SIM that is looked at once a week is not taken for silent in between. Only SIMs whose usage call does not
    answer have such days.
    """
    unknown = database.frame("usage_unknown_days", UNKNOWN_SCHEMA, {"as_of": as_of, "sim_keys": sim_keys})
    if unknown.is_empty():
        return history
    days = unknown.select("sim_key", pl.date_ranges("unknown_from", pl.lit(as_of)).alias("day")).explode("day")
    return pl.concat([history, days], how="diagonal").sort("sim_key", "day")


def load_sample(runtime: Runtime, as_of: date) -> pl.DataFrame:
    """The usage history of the fleet, of a large one that of TRAINING_SIMS SIMs evenly spread over it: what models are
    trained on.
    """
    with runtime.database.transaction() as transaction:
        chosen = training_sims(transaction)
    return load_history(runtime.database, as_of, chosen)


def training_sims(transaction: Transaction) -> list[int] | None:
    """The SIMs that models are trained on: TRAINING_SIMS, evenly spread over the fleet; None where all are no more."""
    keys = sims_between(transaction)
    return evenly(keys, TRAINING_SIMS).to_list() if len(keys) > TRAINING_SIMS else None


def sims_between(database: Database | Transaction, first_key: int = 0, last_key: int = LAST_KEY) -> pl.Series:
    """The keys of the SIMs there are, ascending."""
    which = {"first_key": first_key, "last_key": last_key}
    return database.frame("block_keys", {"sim_key": pl.Int32}, which)["sim_key"]


def evenly(keys: pl.Series, most: int) -> pl.Series:
    """At most so many of the keys, evenly spread over them."""
    return keys.gather_every(max(-(-len(keys) // most), 1))


def load_quotas(database: Database, as_of: date, first_key: int = 0, last_key: int = LAST_KEY) -> pl.DataFrame:
    """Data quota of SIMs at the end of `as_of`: sim_key, quota_left and quota_total in bytes, expires_on."""
    which = {"as_of": as_of, "first_key": first_key, "last_key": last_key}
    return database.frame("quota_as_of", QUOTA_SCHEMA, which)
