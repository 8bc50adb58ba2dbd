"""Whether the fleet's totals of days are what the rows of its SIMs say."""

from typing import Any

import psycopg

DIFFERENT = """
SELECT * FROM (
    SELECT organization_id, day, count(*) AS sims, count(*) FILTER (WHERE bytes > 0) AS active_sims,
        sum(bytes) AS bytes, sum(coalesce(sms_mt, 0) + coalesce(sms_mo, 0) + coalesce(sms_unsplit, 0)) AS sms
    FROM core.sim_usage GROUP BY organization_id, day
) AS s FULL JOIN core.fleet_days_v1 AS t USING (organization_id, day)
WHERE (s.sims, s.active_sims, s.bytes, s.sms) IS DISTINCT FROM (t.sims, t.active_sims, t.bytes, t.sms)
"""


def wrong_totals(connection: psycopg.Connection[Any]) -> list[Any]:
    """Days whose totals are not what the rows say."""
    return connection.execute(DIFFERENT).fetchall()
