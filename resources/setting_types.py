"""Types of settings that are checked when they are read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, SecretStr

from resources.once.acts import ACTS

LONGEST_HISTORY_DAYS = 730  # services.inputs.HISTORY_DAYS; a test holds them together
SHORTEST_PREDICTION_DAYS = 100


def _in_utc(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _postgres(value: SecretStr) -> SecretStr:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        driver = make_url(value.get_secret_value()).drivername
    except (ArgumentError, ValueError):
        driver = ""
    if driver.partition("+")[0] not in ("postgresql", "postgres"):
        raise ValueError(
            "must look like postgresql://user:password@host:port/database, with the password percent-encoded"
        )
    return value


def names_of(value: str) -> frozenset[str]:
    """The names in a list with commas."""
    return frozenset(name.strip() for name in value.split(",")) - {""}


def _actions(value: str) -> str:
    if unknown := names_of(value) - ACTS.keys():
        raise ValueError(f"{', '.join(sorted(unknown))}: there are {', '.join(ACTS)}")
    return value


def _all_postgres(value: SecretStr) -> SecretStr:
    for url in value.get_secret_value().split():
        _postgres(SecretStr(url))
    return value


def _usage_days(value: int) -> int:
    if value < LONGEST_HISTORY_DAYS:
        raise ValueError(
            f"must be {LONGEST_HISTORY_DAYS} or more: models read so many days of usage; leave it out to keep all"
        )
    return value


def _prediction_days(value: int) -> int:
    if value < SHORTEST_PREDICTION_DAYS:
        raise ValueError(
            f"must be {SHORTEST_PREDICTION_DAYS} or more: forecasts are held against what happened, and days are "
            "computed again after corrections; leave it out to keep all"
        )
    return value


def _redis(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().startswith(("redis://", "rediss://")):
        raise ValueError("must look like redis://:password@host:6379/0, or rediss:// for TLS")
    return value


PostgresUrl = Annotated[SecretStr, AfterValidator(_postgres)]
Actions = Annotated[str, AfterValidator(_actions)]
PostgresUrls = Annotated[SecretStr, AfterValidator(_all_postgres)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis)]
InUtc = Annotated[datetime, AfterValidator(_in_utc)]
UsageDays = Annotated[int, AfterValidator(_usage_days)]
PredictionDays = Annotated[int, AfterValidator(_prediction_days)]
