"""Dagster's storage, read as the tables it is: loading Dagster would take seconds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg
from sqlalchemy import URL

from resources.database.server import driver_url

CONNECT_TIMEOUT_S = 5
STUCK_AFTER, QUEUED_AFTER = timedelta(hours=4), timedelta(hours=1)


def failed_runs(url: URL, within: timedelta) -> int | None:
    """Count the runs that failed in the last `within` (by the server's clock), however they were started.

    url   Dagster's database. 0 before Dagster has made its tables; None where the database does not answer
    """
    try:
        with _connected(url) as connection:
            if not _has_tables(connection):
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


@dataclass(frozen=True)
class Daemon:
    """What Dagster's storage says of the daemon and of what it starts.

    heard      by kind of daemon: seconds since it was last heard, and the first line of an error it had
    switched   schedules and sensors by name: whether they are on; only those that somebody or the daemon has noted
    stuck      runs that have been under way or queued for too long: id, job, status, hours
    """

    heard: dict[str, tuple[float, str]]
    switched: dict[str, bool]
    stuck: list[tuple[str, str, str, float]]


def daemon_of(url: URL) -> Daemon | None:
    """What Dagster's database knows; None before Dagster has made its tables. Raises psycopg.OperationalError."""
    with _connected(url) as connection:
        if not _has_tables(connection):
            return None
        heard = connection.execute(
            "SELECT daemon_type, extract(epoch FROM now())::float - (body::json ->> 'timestamp')::float,"
            " coalesce(split_part(body::json #>> '{errors,0,message}', E'\\n', 1), '') FROM daemon_heartbeats"
        ).fetchall()
        switched = connection.execute(
            "SELECT instigator_body::json #>> '{origin,job_name}', bool_or(status <> 'STOPPED') FROM instigators"
            " GROUP BY 1"
        ).fetchall()
        stuck = connection.execute(
            "SELECT run_id, pipeline_name, status, hours FROM (SELECT run_id, pipeline_name, status,"
            " (extract(epoch FROM now()) - coalesce(start_time, extract(epoch FROM create_timestamp)))::float / 3600"
            " AS hours FROM runs WHERE status IN ('QUEUED', 'NOT_STARTED', 'STARTING', 'STARTED', 'CANCELING')) AS r"
            " WHERE hours > CASE WHEN status IN ('QUEUED', 'NOT_STARTED') THEN %s ELSE %s END"
            " ORDER BY hours DESC LIMIT 20",
            (QUEUED_AFTER / timedelta(hours=1), STUCK_AFTER / timedelta(hours=1)),
        ).fetchall()
    return Daemon({kind: (age, error) for kind, age, error in heard}, dict(switched), stuck)


def _connected(url: URL) -> psycopg.Connection[Any]:
    address = driver_url(url, "").render_as_string(hide_password=False)
    # Dagster writes times without a zone, in UTC
    return psycopg.connect(address, connect_timeout=CONNECT_TIMEOUT_S, options="-c timezone=UTC")


def _has_tables(connection: psycopg.Connection[Any]) -> bool:
    made = connection.execute(
        "SELECT to_regclass('runs') IS NOT NULL AND to_regclass('instigators') IS NOT NULL"
    ).fetchone()
    return bool(made and made[0])
