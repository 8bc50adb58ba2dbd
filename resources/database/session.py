"""The database, for one organization: frames in by COPY and one merge, frames out by COPY, small queries as rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import polars as pl
import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from sqlalchemy import URL, Engine, PoolProxiedConnection, create_engine, event
from sqlalchemy.exc import OperationalError

from resources import tracing
from resources.database.copy import BINARY, NULL, all_of, from_csv, to_binary, to_csv
from resources.database.server import DatabaseUnavailableError, describe, reason
from resources.errors import SimsightError
from sql import query

Row = dict[str, Any]
Parameters = Mapping[str, Any]
T = TypeVar("T")


class UnknownOrganizationError(SimsightError):
    """The organization is not in this database; the message says how to add it."""


@dataclass(frozen=True)
class Merged:
    """What a merge did, in rows."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0

    def __add__(self, other: Merged) -> Merged:
        return Merged(self.new + other.new, self.changed + other.changed, self.unchanged + other.unchanged)

    @property
    def rows(self) -> int:
        return self.new + self.changed + self.unchanged


class Transaction:
    """One open transaction; everything done with it is committed together or not at all."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    @property
    def connection(self) -> psycopg.Connection[Any]:
        """The connection itself, for what streams through it."""
        return self._connection

    def retried(self, step: Callable[[], T]) -> T:
        """Return what a step of this transaction gives.

        Where PostgreSQL refuses it (no memory, no disk, cancelled), what it wrote is undone and it is tried once more.
        """
        try:
            with self._connection.transaction():
                return step()
        except psycopg.OperationalError:
            if self._connection.closed:
                raise
        with self._connection.transaction():
            return step()

    def rows(self, name: str, parameters: Parameters | None = None) -> list[Row]:
        """Run the query <name>.sql of sql/queries and return its rows as dictionaries; for few rows."""
        with tracing.statement(name), self._connection.cursor(row_factory=dict_row) as cursor:
            cursor.execute(query(name).encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def row(self, name: str, parameters: Parameters | None = None) -> Row | None:
        found = self.rows(name, parameters)
        return found[0] if found else None

    def execute(self, name: str, parameters: Parameters | None = None) -> int:
        """Run a named statement and return the number of rows it touched."""
        with tracing.statement(name):
            return self._connection.execute(query(name).encode(), parameters).rowcount

    def frame(self, name: str, schema: Mapping[str, Any], parameters: Parameters | None = None) -> pl.DataFrame:
        """Run a named query and return its rows as a frame of the given schema, whose order is the query's."""
        statement = b"COPY (" + query(name).strip().rstrip(";").encode() + b"\n) TO STDOUT (FORMAT csv)"
        with (
            tracing.statement(name),
            self._connection.cursor() as cursor,
            cursor.copy(statement, parameters) as copy,
        ):
            return from_csv(all_of(copy), schema)

    def stage(self, name: str, rows: pl.DataFrame) -> None:
        """COPY a frame into a temporary table `staged`, which lasts until the next one or the end of the transaction.

        The file <name>.sql of sql/queries, which is to be run next, names the columns in a line `-- staged: column
        type, ...`.
        """
        with tracing.statement(f"staged for {name}"):
            self._stage(name, rows)

    def _stage(self, name: str, rows: pl.DataFrame) -> None:
        columns = staged_columns(name)
        self._connection.execute("DROP TABLE IF EXISTS pg_temp.staged")
        definition = ", ".join(f"{column} {kind}" for column, kind in columns.items())
        self._connection.execute(f"CREATE TEMPORARY TABLE staged ({definition}) ON COMMIT DROP".encode())
        rows = rows.select(list(columns))
        same = {column for column in list(columns)[1:] if _is_same(rows[column])}
        if BINARY.keys() >= {kind for column, kind in columns.items() if column not in same}:
            # what is the same text, or missing, in every row need not be copied: the rest goes the fast way
            for column in same:
                default = sql.SQL("ALTER TABLE staged ALTER {} SET DEFAULT {}")
                value = sql.Literal(rows.item(0, column))
                self._connection.execute(default.format(sql.Identifier(column), value))
            columns = {column: kind for column, kind in columns.items() if column not in same}
        into = f"COPY staged ({', '.join(columns)}) FROM STDIN"
        rows = rows.select(list(columns))
        if BINARY.keys() >= set(columns.values()):  # twice as fast as text, but a NULL would make a row shorter
            filled = rows.drop_nulls()
            self._copy(f"{into} (FORMAT binary)", to_binary(filled, columns))
            rows = rows.filter(pl.any_horizontal(pl.all().is_null())) if filled.height < rows.height else rows.clear()
        if rows.height:
            self._copy(f"{into} (FORMAT csv, NULL '{NULL}')", to_csv(rows))
        if not header(name, "by"):  # the planner has no other way to know what it joins
            self._connection.execute("ANALYZE staged")

    def _copy(self, statement: str, content: bytes) -> None:
        with self._connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
            copy.write(content)

    def merge(self, name: str, rows: pl.DataFrame) -> Merged:
        """Load a frame: stage it, then run the merge <name>.sql of sql/queries, which counts new, changed and
        unchanged rows.

        A line `-- lock: word` there lets one such merge of an organization in at a time. One that says `-- by:
        sim_key, day` is staged in that order and told what it is about: parameters sim_keys, first_day, last_day and
        staged (rows).
        """
        if rows.is_empty():
            return Merged()
        about: Row = {}
        if header(name, "by"):
            rows = rows.sort("sim_key", "day")
            about = {"sim_keys": rows["sim_key"].unique().to_list(), "staged": rows.height}
            about |= {"first_day": rows["day"].min(), "last_day": rows["day"].max()}
        self.stage(name, rows)
        if lock := header(name, "lock"):
            self._connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s), ops.current_organization())", (lock,))
        counts = self.row(name, about)
        assert counts is not None, f"{name}.sql must return new, changed, unchanged"
        return Merged(**counts)


class Database:
    """The database as the pipeline sees it: role simsight_pipeline, one organization.

    Raises DatabaseUnavailableError when there is no connection, it breaks, the schema or the right to use it is
    missing, or the server's disk is full; UnknownOrganizationError for an unknown organization.
    """

    def __init__(self, url: URL, organization: str) -> None:
        self.organization = organization
        self._url = url
        self._engine: Engine = create_engine(url, pool_pre_ping=True, pool_size=5, max_overflow=5)

        @event.listens_for(self._engine, "connect")
        def _as_pipeline(connection: Any, _record: Any) -> None:
            with connection.cursor() as cursor:
                cursor.execute("SET ROLE simsight_pipeline")
                cursor.execute("SET TIME ZONE 'UTC'")
                cursor.execute("SET work_mem = '32MB'")  # a block of usage is joined with the book in memory
                # late corrections of compressed days have no limit; other servers do not ask for it
                cursor.execute("SET timescaledb.max_tuples_decompressed_per_dml_transaction = 0")
                cursor.execute("SELECT ops.enter(%s)", (organization,))
                if cursor.fetchone() in (None, (None,)):
                    raise UnknownOrganizationError(
                        f"the organization {organization!r} is not in {describe(url)}; run `simsight migrate` with "
                        "SIMSIGHT_ORGANIZATION set to it"
                    )
            connection.commit()

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """A transaction: committed at the end of the block, rolled back when it raises."""
        where = describe(self._url)
        pooled = self._connect(where)
        driver = pooled.driver_connection
        assert isinstance(driver, psycopg.Connection)
        try:
            try:
                with driver.transaction():
                    if traceparent := tracing.traceparent():  # kept with batches and alerts that are new
                        driver.execute("SELECT set_config('simsight.traceparent', %s, true)", (traceparent,))
                    yield Transaction(driver)
            except psycopg.errors.DiskFull as error:
                raise DatabaseUnavailableError(
                    f"the disk of the PostgreSQL server at {where} is full ({error.diag.message_primary}); this "
                    "step was rolled back and nothing of it is stored. Free space on that disk or give it more, then "
                    "run again"
                ) from error
            except psycopg.OperationalError as error:
                if not driver.closed:
                    raise
                raise DatabaseUnavailableError(
                    f"the connection to PostgreSQL at {where} broke ({reason(error)}); this step was rolled back "
                    "and nothing of it is stored. Check that the server runs, then run again"
                ) from error
        finally:
            if driver.closed:  # whatever was raised meanwhile
                pooled.invalidate()  # or the pool would try to reset it, and log that it cannot
            pooled.close()

    def _connect(self, where: str) -> PoolProxiedConnection:
        try:
            return self._engine.raw_connection()
        except (psycopg.OperationalError, OperationalError) as error:
            raise DatabaseUnavailableError(
                f"no connection to PostgreSQL at {where}: {reason(getattr(error, 'orig', None) or error)}. Check "
                "that it runs and SIMSIGHT_DATABASE_URL"
            ) from error
        except psycopg.ProgrammingError as error:
            raise DatabaseUnavailableError(
                f"the login cannot work in {where}: {error.diag.message_primary}. Run `simsight migrate`; a login "
                "other than the one that migrated needs GRANT simsight_pipeline"
            ) from error

    def rows(self, name: str, parameters: Parameters | None = None) -> list[Row]:
        with self.transaction() as transaction:
            return transaction.rows(name, parameters)

    def row(self, name: str, parameters: Parameters | None = None) -> Row | None:
        with self.transaction() as transaction:
            return transaction.row(name, parameters)

    def frame(self, name: str, schema: Mapping[str, Any], parameters: Parameters | None = None) -> pl.DataFrame:
        with self.transaction() as transaction:
            return transaction.frame(name, schema, parameters)

    def close(self) -> None:
        self._engine.dispose()


def _is_same(column: pl.Series) -> bool:
    """Whether a column holds one text in all rows, or nothing in any."""
    return column.n_unique() == 1 and (column.dtype == pl.String or column.null_count() > 0)


def header(name: str, word: str) -> str | None:
    """What the line `-- word: ...` of <name>.sql of sql/queries says; None where there is no such line."""
    begin = f"-- {word}: "
    return next((line.removeprefix(begin) for line in query(name).splitlines() if line.startswith(begin)), None)


def staged_columns(name: str) -> dict[str, str]:
    """The columns that the merge <name>.sql takes, with their SQL types: its line `-- staged: a integer, b text`."""
    columns = header(name, "staged")
    if columns is None:
        raise ValueError(f"the query {name} has no line '-- staged: ...'")
    return dict(column.split(maxsplit=1) for column in columns.split(", "))
