"""What schedules and sensors share: settings, whether they begin switched on, the as-of day, and what is under way."""

from datetime import date, datetime, timedelta

import dagster as dg

from resources.settings import load_settings

SETTINGS = load_settings()
RUNNING = dg.DefaultScheduleStatus.RUNNING if SETTINGS.schedules else dg.DefaultScheduleStatus.STOPPED
SENSING = dg.DefaultSensorStatus.RUNNING if SETTINGS.schedules else dg.DefaultSensorStatus.STOPPED
UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def as_of_day(now: datetime) -> date:
    """The last complete day at a time."""
    return now.date() - timedelta(days=1 + SETTINGS.lateness_days)


def under_way(context: dg.SensorEvaluationContext, job: str) -> bool:
    """Whether a run of a job waits or runs."""
    return context.instance.get_runs_count(dg.RunsFilter(job_name=job, statuses=UNDER_WAY)) > 0
