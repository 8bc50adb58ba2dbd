"""The organizations of a database, for its administrator."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.rows import dict_row
from sqlalchemy import URL

from resources.database.server import driver_url

LIST = """
SELECT o.slug AS name, (SELECT count(*) FROM core.sims AS s WHERE s.organization_id = o.organization_id) AS sims,
    (SELECT max(u.day) FROM core.sim_usage AS u WHERE u.organization_id = o.organization_id) AS newest_day,
    (SELECT count(*) FROM core.sim_usage AS u WHERE u.organization_id = o.organization_id) AS rows_of_usage,
    o.data_note, o.created_at
FROM core.organizations AS o ORDER BY o.slug
"""


def organizations(url: URL) -> list[dict[str, Any]]:
    """Each organization by name: SIMs, newest usage day, rows of usage, note on its data, and when it was added."""
    address = driver_url(url, "").render_as_string(hide_password=False)
    with (
        psycopg.connect(address, options="-c role=simsight_owner") as connection,
        connection.cursor(row_factory=dict_row) as cursor,
    ):
        return cursor.execute(LIST.encode()).fetchall()
