"""What the HTTP service asks of the database: one transaction a request, as role simsight_api.

`api/readers.py` answers most requests: in the event loop, read-only, for the organization of the key. `Store` does the
same in threads, for what takes long or asks step by step. Live streams (`Followers`) and what changes something
(`api/writing.py`) have connections of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from datetime import datetime
from typing import IO, Any, Literal, TypeVar

import psycopg
from psycopg.rows import dict_row
from sqlalchemy import URL, create_engine, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from api.connections import CONNECT_SECONDS, STATEMENT_SECONDS, Row
from api.replica import LIMITS, Replica, outcome_of
from resources import tracing
from resources.database.catalog import Column
from resources.database.replica import Position, lag_of, position
from resources.database.server import DatabaseUnavailableError, describe, driver_url, reason
from resources.errors import SimsightError
from resources.files.formats import StreamFormat
from services.access.api_keys import Credential, KeyFacts, key_sha256
from services.exports import Export, export, stream, write_query
from services.questions.answers import SECONDS as QUESTION_SECONDS
from services.questions.answers import Answer, answer_question
from services.questions.language_model import LanguageModel
from sql import query

# for exports, replays, the report, changes of alerts and the health check: they must not wait behind other requests
POOL_SIZE = 2
POOL_SPARE = 8
EXPORTS_AT_ONCE = 2
FOLLOWER_POOL_SIZE = 2
POOL_WAIT_SECONDS = 5
EXPORT_SECONDS = 120
STREAM_SECONDS = 900  # for all of a stream, which lasts as long as its client takes to read it
T = TypeVar("T")


class InvalidKeyError(SimsightError):
    """The key is unknown, expired or revoked."""


class TooSlowError(SimsightError):
    """A query was stopped before it finished, at the latest after `seconds`."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"stopped, at the latest after {seconds} seconds")
        self.seconds = seconds


class SchemaOutdatedError(SimsightError):
    """The database lacks something the service reads."""


class Session:
    """One request's transaction. The database itself shows it the rows of one organization only."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self.seconds = STATEMENT_SECONDS
        self.organization_id: int | None = None

    def rows(self, name: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """Run <name>.sql of sql/queries and return its rows as dictionaries."""
        with tracing.statement(name), self._connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query(name).encode(), parameters).fetchall()

    def row(self, name: str, parameters: Mapping[str, Any] | None = None) -> Row | None:
        found = self.rows(name, parameters)
        return found[0] if found else None

    def enter(self, key: Credential) -> None:
        """Work for the organization of a key for the rest of the transaction. Raises as Store.session does."""
        found = self.row("api_authenticate", {"key_sha256": key.sha256})
        if found is None or found["organization_id"] is None:
            raise InvalidKeyError
        self.organization_id = int(found["organization_id"])
        check(facts_of(self.rows("api_key_facts", {"key_sha256": key.sha256})), key)

    @contextmanager
    def in_one(self) -> Iterator[None]:
        """Make what is done inside one transaction, where each statement would be one of its own."""
        with self._connection.transaction():
            yield

    def take_longer(self) -> None:
        """Give the queries that follow more time than others have."""
        self.seconds = EXPORT_SECONDS
        self._connection.execute(f"SET LOCAL statement_timeout = '{EXPORT_SECONDS}s'".encode())

    def export(self, wanted: Export, file: IO[bytes]) -> int:
        """Write an export to a file, with more time than other queries have; returns its rows. Raises ExportError."""
        self.take_longer()
        with tracing.statement("export"):
            return export(self._connection, wanted, file)

    def write_query(
        self,
        name: str,
        parameters: Mapping[str, Any],
        columns: list[Column],
        format: Literal["csv", "parquet", "ndjson"],
        file: IO[bytes],
    ) -> int:
        """Write the rows of a named query to a file, with the time of an export; returns its size in bytes."""
        self.take_longer()
        with tracing.statement(name):
            return write_query(self._connection, name, parameters, columns, format, file)

    def stream(self, wanted: Export, format: StreamFormat) -> Generator[bytes]:
        """Give the rows of an export in pieces, with the time of a slow client. Raises ExportError."""
        self.seconds = STREAM_SECONDS
        self._connection.execute(f"SET LOCAL statement_timeout = '{STREAM_SECONDS}s'".encode())
        return stream(self._connection, wanted, format)

    def answer(self, text: str, now: datetime, language: str | None, model: LanguageModel | None = None) -> Answer:
        """Answer a question in plain language, with less time than other queries have."""
        self.seconds = QUESTION_SECONDS
        self._connection.execute(f"SET LOCAL statement_timeout = '{QUESTION_SECONDS}s'".encode())
        return answer_question(self._connection, text, now, language, model)


@contextmanager
def translated(address: str) -> Iterator[None]:
    """Raise the errors of the database as those of this module."""
    try:
        yield
    except psycopg.errors.QueryCanceled as error:
        raise TooSlowError(STATEMENT_SECONDS) from error
    except PoolTimeout as error:
        raise DatabaseUnavailableError(f"all connections to {address} are busy") from error
    except psycopg.errors.ReadOnlySqlTransaction as error:
        raise DatabaseUnavailableError(f"{address} takes no writes: it is a replica") from error
    except (OperationalError, psycopg.OperationalError) as error:
        raise DatabaseUnavailableError(f"no connection to PostgreSQL at {address}") from error
    except (
        psycopg.errors.InsufficientPrivilege,
        psycopg.errors.InvalidSchemaName,
        psycopg.errors.InvalidParameterValue,  # SET ROLE to a role that is not there
        psycopg.errors.UndefinedColumn,
        psycopg.errors.UndefinedFunction,
        psycopg.errors.UndefinedTable,
    ) as error:
        raise SchemaOutdatedError(str(error.diag.message_primary)) from error


def facts_of(rows: list[Row]) -> KeyFacts:
    if not rows:
        raise InvalidKeyError
    return KeyFacts.of(rows[0])


def check(facts: KeyFacts, key: Credential) -> None:
    """Raise InvalidKeyError for a key that stands for tokens without a token, NotAllowedError as KeyFacts.check."""
    if facts.for_tokens != bool(key.subject):
        raise InvalidKeyError
    facts.check(key)


class Pool:
    """Connections in role simsight_api. Connects when first asked and again whenever the database returns."""

    def __init__(
        self, url: URL | str, *, size: int, spare: int, read_only: bool, limits: Mapping[str, int] | None = None
    ) -> None:
        self._address = describe(url)
        self._engine = create_engine(
            driver_url(url, "psycopg"),
            pool_pre_ping=True,
            pool_size=size,
            max_overflow=spare,
            pool_timeout=POOL_WAIT_SECONDS,
            connect_args={"connect_timeout": CONNECT_SECONDS, **(limits or {})},
        )
        event.listen(self._engine, "connect", _as_api)
        event.listen(self._engine, "connect", _read_only if read_only else _read_write)

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _transaction(self) -> Iterator[Session]:
        with translated(self._address):
            pooled = self._engine.raw_connection()
            try:
                driver = pooled.driver_connection
                assert isinstance(driver, psycopg.Connection)
                session = Session(driver)
                try:
                    with nullcontext() if driver.autocommit else driver.transaction():
                        yield session
                except psycopg.errors.QueryCanceled as error:
                    raise TooSlowError(session.seconds) from error
            finally:
                pooled.close()


class Store(Pool):
    """Read-only transactions that see one moment, in the thread that asks.

    replica   does the work of `read` and `pieces` where it is fit
    """

    def __init__(self, url: URL | str, replica: Replica | None = None, limits: Mapping[str, int] | None = None) -> None:
        super().__init__(url, size=POOL_SIZE, spare=POOL_SPARE, read_only=True, limits=limits)
        self._replica = (replica, Store(replica.settings.url, limits=LIMITS)) if replica else None

    def close(self) -> None:
        super().close()
        if self._replica is not None:
            self._replica[1].close()

    @contextmanager
    def session(self, key: Credential | str) -> Iterator[Session]:
        """A transaction for the organization that the key opens; a plain key is one of this process, and reads.

        Raises InvalidKeyError and NotAllowedError. Raises DatabaseUnavailableError, TooSlowError and
        SchemaOutdatedError also from inside the block.
        """
        if isinstance(key, str):
            key = Credential(key_sha256(key))
        with self._transaction() as session:
            session.enter(key)
            yield session

    def read(self, key: Credential, work: Callable[[Session], T]) -> T:
        """Return what work returns, which is done as that of `pieces`."""
        with closing(self.pieces(key, lambda session: [work(session)])) as found:
            return next(found)

    def pieces(self, key: Credential, work: Callable[[Session], Iterable[T]]) -> Generator[T]:
        """Give what work gives of a session at the replica where that is fit, else at the primary.

        The primary looks at the key. Work that fails at the replica before its first piece is done again at the
        primary. Raises as `session` does.
        """
        if self._replica is not None and self._replica[0].is_wanted():
            replica, there = self._replica
            begun, why = False, ""
            with self.session(key) as session:
                primary = Position(**session.rows("api_position")[0])
            try:
                with there.session(key) as session:
                    outcome = replica.judged(primary, Position(**session.rows("api_position")[0]))
                    for piece in work(session) if outcome == "replica" else ():
                        if not begun:
                            replica.note(outcome)
                        begun = True
                        yield piece
            except InvalidKeyError:  # it is not there yet
                outcome = "write_missing"
            except (DatabaseUnavailableError, SchemaOutdatedError) as error:
                if begun:
                    raise
                outcome, why = outcome_of(error.__cause__), reason(error.__cause__ or error)
            if not begun:
                replica.note(outcome, why)
            if outcome == "replica":
                return
        with self.session(key) as session:
            yield from work(session)

    def allowed(self, key: Credential) -> frozenset[str]:
        """The scopes of a request, after `session` let it in."""
        with self._transaction() as session:
            return facts_of(session.rows("api_key_facts", {"key_sha256": key.sha256})).allowed(key)

    def organization(self, key: Credential) -> tuple[int, str]:
        """The organization that the key opens, and its secret (`Followers`). Raises as `session` does."""
        with self._transaction() as session:
            found = session.row("api_open_organization", {"key_sha256": key.sha256})
            if found is None or found["organization_id"] is None:
                raise InvalidKeyError
            check(facts_of(session.rows("api_key_facts", {"key_sha256": key.sha256})), key)
            return int(found["organization_id"]), str(found["secret"])

    def data_note(self, slug: str) -> str:
        """What is to be said of the data of an organization; raises as `session` does, but for the key."""
        with self._transaction() as session:
            return str((session.row("api_data_note", {"slug": slug}) or {"data_note": ""})["data_note"])

    def metrics(self) -> list[Row]:
        """Figures of all organizations for monitoring; raises as `session` does, but for the key."""
        with self._transaction() as session:
            return session.rows("api_metrics")

    def lag_of(self, replica: URL | str) -> float | None:
        """Seconds that a replica is behind; None where it does not answer, or is none of this database."""
        try:
            with self._transaction() as session:
                primary = Position(**session.rows("api_position")[0])
            own = position(replica)
        except (SimsightError, psycopg.Error):
            return None
        return lag_of(primary, own) if own.is_replica_of(primary) else None

    def schema_version(self) -> int:
        """The newest migration applied; raises as `session` does, but for the key."""
        with self._transaction() as session:
            found = session.row("api_schema_version")
            return int(found["version"] or 0) if found else 0


class Followers(Pool):
    """The live streams' connections: they read events of an organization by the secret that a key gave before."""

    def __init__(self, url: URL | str) -> None:
        super().__init__(url, size=FOLLOWER_POOL_SIZE, spare=0, read_only=True)

    def events(self, secret: str, after: int, rows: int) -> list[Row]:
        """Return events of the organization's alerts after a given one, oldest first.

        Raises as Store.session does, but for the key.
        """
        with self._transaction() as session:
            session.rows("api_choose_organization", {"secret": secret})
            return session.rows("api_alert_events", {"after": after, "rows": rows})

    def latest(self, secret: str) -> int:
        """The last event there is."""
        with self._transaction() as session:
            session.rows("api_choose_organization", {"secret": secret})
            found = session.row("api_latest_alert_event")
            return int(found["id"]) if found else 0


def _as_api(connection: psycopg.Connection[Any], _record: object) -> None:
    """Make a new connection safe: the least role, a limit on time."""
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE simsight_api")
        cursor.execute("SET TIME ZONE 'UTC'")
        cursor.execute(f"SET statement_timeout = '{STATEMENT_SECONDS}s'".encode())
    connection.commit()


def _read_only(connection: psycopg.Connection[Any], _record: object) -> None:
    """Transactions that write nothing and see one moment."""
    connection.read_only = True
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ


def _read_write(connection: psycopg.Connection[Any], _record: object) -> None:
    """Make each statement a transaction of its own, which saves two round trips; allow writing.

    The login's default may be read-only.
    """
    connection.autocommit = True
    connection.execute("SET default_transaction_read_only = off")
