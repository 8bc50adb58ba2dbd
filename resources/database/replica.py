"""How far a replica is behind its primary."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row
from sqlalchemy import URL

from resources.database.server import driver_url
from sql import query

CONNECT_SECONDS = 5


@dataclass(frozen=True)
class Position:
    """How far a server is in the log of its cluster (sql/queries/api/api_position.sql).

    cluster      which cluster it is of: a replica has its primary's
    replica      whether it replays another server's log
    position     bytes of the log that it wrote or replayed
    replayed_at  of a replica, by the primary's clock: when the last transaction that it replayed was committed
    last_write   number of the last write of people in the organization of the transaction
    """

    cluster: int
    replica: bool
    position: int | None
    now: datetime
    replayed_at: datetime | None
    last_write: int | None

    def is_replica_of(self, primary: Position) -> bool:
        return self.replica and not primary.replica and self.cluster == primary.cluster


def lag_of(primary: Position, replica: Position, level_at: datetime | None = None) -> float | None:
    """Seconds that a replica is behind at most; None where that cannot be known.

    A quiet primary commits nothing, so that an old last transaction alone says little.

    level_at   by the primary's clock: when the replica last had all that the primary had
    """
    if primary.position is not None and replica.position is not None and replica.position >= primary.position:
        return 0.0
    known = [moment for moment in (replica.replayed_at, level_at) if moment is not None]
    return max((primary.now - max(known)).total_seconds(), 0.001) if known else None


def position(url: URL | str) -> Position:
    """How far a server is; the primary is asked before its replica. Raises psycopg.Error."""
    address = driver_url(url, "").render_as_string(hide_password=False)
    with psycopg.connect(address, connect_timeout=CONNECT_SECONDS, row_factory=dict_row) as connection:
        connection.execute("SET ROLE simsight_api")
        found: dict[str, Any] | None = connection.execute(query("api_position").encode()).fetchone()
    assert found is not None
    return Position(**found)
