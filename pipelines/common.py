"""What schedules, sensors and runs share."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import dagster as dg
from dagster_shared.error import SerializableErrorInfo

from resources.errors import in_words
from resources.runtime import Runtime
from resources.settings import load_settings

# Dagster asks for these when the code location loads; all else comes from the runtime
SETTINGS = load_settings()
RUNNING = dg.DefaultScheduleStatus.RUNNING if SETTINGS.schedules else dg.DefaultScheduleStatus.STOPPED
SENSING = dg.DefaultSensorStatus.RUNNING if SETTINGS.schedules else dg.DefaultSensorStatus.STOPPED
# an error of ours says what to do about the one it was raised from
OUR_MODULES = ("api.", "assets.", "ml.", "pipelines.", "resources.", "services.", "simulator.")
UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def described(what: str) -> str:
    """What a schedule or sensor does; where they begin switched off, it says that and what to do."""
    off = "It begins switched off: switch it on here, or all of them by SIMSIGHT_SCHEDULES."
    return what if SETTINGS.schedules else f"{what} {off}"


def as_of_day(runtime: Runtime, now: datetime) -> date:
    """The last usage day that counts as complete at a time."""
    return now.date() - timedelta(days=1 + runtime.settings.lateness_days)


def day_range(first: date, last: date) -> dict[str, str]:
    """The tags that make one run of a range of daily partitions."""
    return {
        "dagster/asset_partition_range_start": first.isoformat(),
        "dagster/asset_partition_range_end": last.isoformat(),
    }


def cause(error: SerializableErrorInfo) -> str:
    """Why a step failed, in words: what our own code says of it, or else the error that began it."""
    chain = [error]
    while (before := chain[-1].cause) is not None:
        chain.append(before)
    ours = (one for one in chain if one.message.startswith(OUR_MODULES))
    return in_words(next(ours, chain[-1]).message)
