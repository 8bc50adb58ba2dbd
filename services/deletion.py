"""Delete a SIM or an organization for good: from every table, found in the catalog and not in a list that could age.

Both are one transaction as the tables' owner; a dry run does the same and takes it back. What stays: ops.deletions
says that something was deleted, and the log of writes (ops.action_log) of an organization whose SIM was deleted keeps
its lines, which are hashed together and hold the SIM's number here and no ICCID.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import URL

from resources.database.server import driver_url
from resources.errors import UsageError

SCHEMAS = ["raw", "core", "predictions", "ops", "big"]
LOG = "ops.action_log"
MARK = "[deleted]"
# rows that name a SIM are deleted here: answers as they came, and reports, which can be made again; elsewhere its
# numbers are replaced by MARK
WHOLE_ROWS = {"raw.landings", "raw.stream_batches", "ops.quarantine", "predictions.reports"}
# files of reports are packed and cannot be searched: all of the organization's are deleted
UNSEARCHABLE = ("predictions.period_reports",)
SHORTEST = 8  # digits of a number that is looked for in texts
# a deletion from compressed chunks decompresses what it looks at, and TimescaleDB refuses more than 100,000 rows; other
# servers take the setting for one of nobody
SESSION = "-c role=simsight_owner -c timescaledb.max_tuples_decompressed_per_dml_transaction=0"


class UnknownError(UsageError):
    """There is no such SIM or organization."""


@dataclass(frozen=True)
class _Reference:
    """A foreign key: columns of `child` that name a row of `parent`."""

    child: str
    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]


# a SIM's days are taken out of the fleet's totals
WITHOUT_IT = """
UPDATE core.daily_totals AS d SET sims = d.sims - 1, active_sims = d.active_sims - (u.bytes > 0)::integer,
    bytes = d.bytes - u.bytes,
    sms = d.sms - (coalesce(u.sms_mt, 0) + coalesce(u.sms_mo, 0) + coalesce(u.sms_unsplit, 0))
FROM core.sim_usage AS u
WHERE u.organization_id = %s AND u.sim_key = %s AND d.organization_id = u.organization_id AND d.day = u.day
"""
NO_KEY = [_Reference("predictions.alert_history", ("alert_id",), "predictions.alerts", ("alert_id",))]  # by name only


class _Catalog:
    """The tables of ours, with columns and foreign keys."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.columns: dict[str, dict[str, str]] = {}
        for table, column, kind in connection.execute(
            "SELECT n.nspname || '.' || c.relname, a.attname::text, format_type(a.atttypid, NULL) FROM pg_class AS c"
            " JOIN pg_namespace AS n ON n.oid = c.relnamespace JOIN pg_attribute AS a ON a.attrelid = c.oid"
            " WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname = ANY (%s) AND a.attnum > 0"
            " AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY 1, a.attnum",
            (SCHEMAS,),
        ):
            self.columns.setdefault(table, {})[column] = kind
        self.references = [
            _Reference(child, tuple(columns), parent, tuple(parent_columns))
            for child, columns, parent, parent_columns in connection.execute(
                "SELECT c.conrelid::regclass::text, "
                " (SELECT array_agg(attname::text ORDER BY k.n) FROM unnest(c.conkey) WITH ORDINALITY AS k (a, n)"
                "  JOIN pg_attribute ON attrelid = c.conrelid AND attnum = k.a), c.confrelid::regclass::text,"
                " (SELECT array_agg(attname::text ORDER BY k.n) FROM unnest(c.confkey) WITH ORDINALITY AS k (a, n)"
                "  JOIN pg_attribute ON attrelid = c.confrelid AND attnum = k.a)"
                " FROM pg_constraint AS c WHERE c.contype = 'f' AND c.confdeltype IN ('a', 'r', 'c')"
                " AND c.conparentid = 0"
            )
            if child in self.columns and parent in self.columns and child != parent
        ]
        self.references += NO_KEY
        graph: dict[str, set[str]] = {table: set() for table in self.columns}
        for reference in self.references:
            graph[reference.child].add(reference.parent)
        self.parents_first = list(TopologicalSorter(graph).static_order())


def delete_organization(url: URL, slug: str, *, by: str, dry_run: bool) -> dict[str, int]:
    """Delete an organization with all its rows; returns the rows by table. Raises UnknownError."""
    with _transaction(url, dry_run=dry_run) as connection:
        number = _organization(connection, slug)
        catalog = _Catalog(connection)
        _without_triggers(connection, catalog)
        deleted: dict[str, int] = {}
        for table in reversed(catalog.parents_first):
            if "organization_id" in catalog.columns[table]:
                deleted[table] = _delete(connection, table, sql.SQL("organization_id = {}").format(number))
        _with_triggers(connection, catalog)
        _note(connection, "organization", number, by, sum(deleted.values()))
        return {table: rows for table, rows in sorted(deleted.items()) if rows}


def delete_sim(url: URL, slug: str, iccid: str, *, by: str, dry_run: bool) -> dict[str, int]:
    """Delete all that is known of a SIM; returns the rows by table, those where it was made unreadable too.

    In texts of others its ICCID, IMSI and MSISDN are looked for; an IMEI is that of a device, which may have another
    SIM by now. Raises UnknownError. A SIM that 1NCE still lists comes back, without its past, with the next ingest.
    """
    with _transaction(url, dry_run=dry_run) as connection:
        number = _organization(connection, slug)
        row = connection.execute(
            "SELECT sim_key, iccid, iccid_with_luhn, imsi, msisdn FROM core.sims"
            " WHERE organization_id = %s AND iccid = %s FOR UPDATE",
            (number, iccid),
        ).fetchone()
        if row is None:
            raise UnknownError(f"the organization {slug!r} has no SIM {iccid}")
        key, *names = row
        catalog = _Catalog(connection)
        conditions = _of_sim(catalog, number, key)
        _without_triggers(connection, catalog)
        connection.execute(WITHOUT_IT, (number, key))
        connection.execute("DELETE FROM core.daily_totals WHERE sims <= 0")
        touched: dict[str, int] = {}
        for table in reversed(catalog.parents_first):
            if table in conditions and table != LOG:
                touched[table] = _delete(connection, table, conditions[table])
        for table in UNSEARCHABLE:
            touched[table] = _delete(connection, table, sql.SQL("organization_id = {}").format(number))
        found = sorted({str(name) for name in names if name and len(str(name)) >= SHORTEST}, key=len, reverse=True)
        for table, columns in catalog.columns.items():
            if table != LOG and "organization_id" in columns:
                touched[table] = touched.get(table, 0) + _erase(connection, table, columns, number, found)
        _with_triggers(connection, catalog)
        _note(connection, "sim", key, by, sum(touched.values()))
        connection.execute(
            "SELECT ops.log_action(%s::smallint, clock_timestamp(), NULL, 'sim.deleted', %s,"
            " jsonb_build_object('subject', 'sim', 'id', %s::text))",
            (number, by, str(key)),
        )
        return {table: rows for table, rows in sorted(touched.items()) if rows}


def _of_sim(catalog: _Catalog, organization: int, key: int) -> dict[str, sql.Composable]:
    """Which rows of each table are of a SIM: those with its key, and those that name such rows."""
    found: dict[str, sql.Composable] = {}
    for table in catalog.parents_first:
        parts: list[sql.Composable] = []
        if "sim_key" in catalog.columns[table]:
            parts.append(sql.SQL("sim_key = {} AND organization_id = {}").format(key, organization))
        parts += [
            _naming(reference, found[reference.parent])
            for reference in catalog.references
            if reference.child == table and reference.parent in found
        ]
        if parts:
            found[table] = sql.SQL(" OR ").join(sql.SQL("({})").format(part) for part in parts)
    return found


def _naming(reference: _Reference, condition: sql.Composable) -> sql.Composable:
    return sql.SQL("({}) IN (SELECT {} FROM {} WHERE {})").format(
        sql.SQL(", ").join(map(sql.Identifier, reference.columns)),
        sql.SQL(", ").join(map(sql.Identifier, reference.parent_columns)),
        sql.SQL(reference.parent),
        condition,
    )


def _erase(
    connection: psycopg.Connection[Any], table: str, columns: dict[str, str], organization: int, names: Sequence[str]
) -> int:
    """Make a SIM's numbers unreadable in all texts of a table, or delete the rows; returns how many rows it were."""
    touched = 0
    ours = sql.SQL("organization_id = {} AND ").format(organization)
    for column, kind in columns.items():
        at = sql.Identifier(column)
        for name in names:
            if kind == "bytea":
                holds = sql.SQL("position(convert_to({}, 'UTF8') IN {}) > 0").format(name, at)
            elif kind in ("text", "character varying", "jsonb", "json", "text[]"):
                holds = sql.SQL("strpos({}::text, {}) > 0").format(at, name)
            else:
                continue
            # asked first: of a compressed table, a change decompresses all that it looks through
            seen = sql.SQL("SELECT FROM {} WHERE {} LIMIT 1").format(sql.SQL(table), ours + holds)
            if connection.execute(seen).fetchone() is None:
                continue
            if table in WHOLE_ROWS:
                touched += _delete(connection, table, ours + holds)
            elif kind != "bytea":
                text = sql.SQL("{}::text").format(at)
                if kind.startswith("json"):  # a number without quotes would be no JSON any more
                    number = rf"([:\[,]\s*)\d*{name}\d*(?=\s*[,}}\]])"
                    text = sql.SQL("regexp_replace({}, {}, {}, 'g')").format(text, number, r"\1null")
                change = sql.SQL("UPDATE {} SET {} = replace({}, {}, {})::{} WHERE {}")
                names_of = (sql.SQL(table), at, text, name, MARK, sql.SQL(kind))
                touched += connection.execute(change.format(*names_of, ours + holds)).rowcount
    return touched


def _delete(connection: psycopg.Connection[Any], table: str, condition: sql.Composable) -> int:
    statement = sql.SQL("DELETE FROM {} WHERE {}")
    return connection.execute(statement.format(sql.SQL(table), condition)).rowcount


def _triggers(connection: psycopg.Connection[Any], catalog: _Catalog) -> list[tuple[str, str]]:
    """Triggers of deletions and updates: they would write what is deleted into the log, or refuse."""
    rows = connection.execute(
        "SELECT tgrelid::regclass::text, tgname::text FROM pg_trigger"
        " WHERE NOT tgisinternal AND tgtype::integer & 24 <> 0 AND tgname NOT LIKE 'ts%%' AND tgparentid = 0"
    ).fetchall()
    return [(table, name) for table, name in rows if table in catalog.columns]


def _without_triggers(connection: psycopg.Connection[Any], catalog: _Catalog) -> None:
    """Switch them off for this transaction; whoever else writes to these tables waits for its end."""
    for table, name in _triggers(connection, catalog):
        connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER {name}".encode())


def _with_triggers(connection: psycopg.Connection[Any], catalog: _Catalog) -> None:
    for table, name in _triggers(connection, catalog):
        connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER {name}".encode())


def _organization(connection: psycopg.Connection[Any], slug: str) -> int:
    row = connection.execute("SELECT organization_id FROM core.organizations WHERE slug = %s", (slug,)).fetchone()
    if row is None:
        raise UnknownError(f"there is no organization {slug!r} in this database")
    return int(row[0])


def _note(connection: psycopg.Connection[Any], kind: str, gone: int, by: str, rows: int) -> None:
    connection.execute(
        "INSERT INTO ops.deletions (kind, gone, by_whom, rows) VALUES (%s, %s, %s, %s)", (kind, gone, by, rows)
    )


@contextmanager
def _transaction(url: URL, *, dry_run: bool) -> Iterator[psycopg.Connection[Any]]:
    address = driver_url(url, "").render_as_string(hide_password=False)
    with psycopg.connect(address, options=SESSION) as connection:
        yield connection
        # foreign keys that are checked at the end are checked in a dry run, too
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        if dry_run:
            connection.rollback()
