"""What the pipeline says of itself once a minute, for monitoring (`ops.pipeline_watch`)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime

from resources.runtime import Runtime

Under = tuple[str, datetime]  # the job of a run under way, and since when


def note_pipeline(runtime: Runtime, runs: Iterable[Under], failed_checks: int, failed_blocking_checks: int) -> None:
    """Write what was seen now.

    runs   under way; what waits in the queue counts too
    failed_checks, failed_blocking_checks   asset checks whose last execution failed, without and with an effect on
           what follows
    """
    settings = runtime.settings
    rate = None if settings.once_unlimited else settings.once_requests_per_second
    by_job: dict[str, list[float]] = {}
    for job, since in runs:
        count, oldest = by_job.get(job, [0, since.timestamp()])
        by_job[job] = [count + 1, min(oldest, since.timestamp())]
    runtime.database.rows(
        "watch_pipeline",
        {
            "now": runtime.clock(),
            "requests_per_hour": None if rate is None else rate * 60 * settings.ingest_minutes,
            "failed_checks": failed_checks,
            "failed_blocking_checks": failed_blocking_checks,
            "runs": json.dumps(by_job),
        },
    )
