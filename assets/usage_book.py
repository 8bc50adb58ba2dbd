"""The book of usage: days that the usage call does not answer for, from the Data Streamer and from looks at quotas."""

import dagster as dg

from assets.common import OWNERS, RuntimeParam
from services.ingest.usage_book import update_book


@dg.asset(
    deps=["sim_usage", "sim_quota", "sim_events", "orders", "stream_records"],
    group_name="usage",
    kinds={"python", "postgres"},
    owners=OWNERS,
    metadata={"dagster/table_name": "core.sim_usage"},
)
def usage_book(runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """Daily usage of SIMs for which the usage call does not answer, in core.sim_usage beside what it did answer.

    Source: records of the Data Streamer of days that have ended, and differences between looks at the quota. Each row
    has its source and grade: A exact, B known but for an outage of the stream or the hours of a look, C spread over a
    stretch of which only the sum is known. The best source of a SIM-day wins; sources are never added.

    If it is red: days without an answer of the usage call stay open. Open the failed run; the next hourly ingest
    tries again, and no day is lost.
    """
    with runtime.turn("usage_book"):
        return dg.MaterializeResult(metadata=update_book(runtime.database, runtime.clock()).metadata())
