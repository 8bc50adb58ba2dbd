"""What `simsight migrate` does on a server that compresses, done on the servers of the tests."""

from typing import Any

import psycopg

BIG = ("sim_usage", "sim_quota", "sim_connectivity", "sim_events", "stream_usage", "usage_forecasts")


def put_behind_views(connection: psycopg.Connection[Any]) -> None:
    """Take row-level security from the big tables and put views in their place."""
    connection.execute("SET ROLE simsight_owner")
    moved = connection.execute("SELECT ops.put_behind_views()").fetchone()
    connection.execute("RESET ROLE")
    assert moved == (True,)
