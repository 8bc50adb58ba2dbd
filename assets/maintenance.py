"""What keeps the database from growing without end."""

from datetime import timedelta

import dagster as dg

from assets.common import OWNERS, RuntimeParam


@dg.asset(group_name="maintenance", kinds={"postgres"}, owners=OWNERS, metadata={"dagster/table_name": "raw.landings"})
def raw_landings(runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    """Raw responses and files, kept for SIMSIGHT_RAW_DAYS; older ones are deleted here.

    What they said stays in the core tables. Quarantined records are kept until they are resolved, and as long after.
    """
    before = runtime.clock() - timedelta(days=runtime.settings.raw_days)
    gone = runtime.database.row("purge_raw", {"before": before}) or {}
    return dg.MaterializeResult(metadata={f"{name} deleted": count for name, count in gone.items()})
