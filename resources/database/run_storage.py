"""Dagster's run storage, read as the table it is: loading Dagster would take seconds."""

from __future__ import annotations

from datetime import timedelta

import psycopg
from sqlalchemy import URL

from resources.database.server import driver_url

CONNECT_TIMEOUT_S = 5


def failed_runs(url: URL, within: timedelta) -> int | None:
    """Count the runs that failed in the last `within` (by the server's clock), however they were started.

    url   Dagster's database. 0 before Dagster has made its tables; None where the database does not answer
    """
    address = driver_url(url, "").render_as_string(hide_password=False)
    try:
        with psycopg.connect(address, connect_timeout=CONNECT_TIMEOUT_S) as connection:
            made = connection.execute("SELECT to_regclass('runs') IS NOT NULL").fetchone()
            if not (made and made[0]):
                return 0
            row = connection.execute(
                "SELECT count(*) FROM runs WHERE status = 'FAILURE'"
                " AND coalesce(end_time, extract(epoch FROM update_timestamp)) > extract(epoch FROM now() - %s)",
                (within,),
            ).fetchone()
    except psycopg.OperationalError:
        return None
    assert row is not None
    return int(row[0])
