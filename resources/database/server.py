"""The PostgreSQL server in use: the one of SIMSIGHT_DATABASE_URL, or an embedded one under the home folder."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy import URL, make_url

from resources.errors import SimsightError, in_words
from resources.settings import Settings

FREE_BYTES_NEEDED = 500_000_000
# PGHOST, PGPORT, PGSERVICE ...: libpq lets them fill what a URL leaves out, and another server is not the embedded one
LIBPQ_VARIABLES = re.compile(r"PG[A-Z]+")
# how a session reads and writes values is ours to choose on any server
FORMAT_VARIABLES = re.compile(r"PGTZ|PGDATESTYLE|PGCLIENTENCODING")


class AlreadyRunningError(SimsightError):
    """Something that may run once in a home folder runs there already."""


class DatabaseUnavailableError(SimsightError):
    """The server cannot be reached, started or written to; the message says which, why and what to check."""


@dataclass(frozen=True)
class Server:
    """URLs of the three databases: Simsight's own, Dagster's and MLflow's."""

    simsight: URL
    api: URL
    dagster: URL
    mlflow: str
    embedded: bool

    def environment(self) -> dict[str, str]:
        """Variables that dagster.yaml and child processes read. Holds secrets: never print it."""
        return {
            "SIMSIGHT_DATABASE_URL": self.simsight.render_as_string(hide_password=False),
            "SIMSIGHT_API_DATABASE_URL": self.api.render_as_string(hide_password=False),
            "SIMSIGHT_DAGSTER_DATABASE_URL": self.dagster.render_as_string(hide_password=False),
            "SIMSIGHT_MLFLOW_TRACKING_URI": self.mlflow,
        }


def driver_url(url: URL | str, driver: str) -> URL:
    """The same database through another driver ("psycopg", "psycopg2" or "" for libpq)."""
    name = "postgresql" + (f"+{driver}" if driver else "")
    return make_url(url).set(drivername=name)


def describe(url: URL | str) -> str:
    """host:port/database, for messages: no user, no password."""
    parsed = make_url(url)
    host = parsed.host or parsed.query.get("host") or "local socket"
    return f"{host}{f':{parsed.port}' if parsed.port else ''}/{parsed.database or ''}"


def reason(error: BaseException) -> str:
    """What a driver's error says in one line: the last line that is not a hint.

    Drivers name users and hosts, no passwords.
    """
    lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("\t")]
    return lines[-1].strip() if lines else in_words(error)


def lost_connection(error: BaseException) -> str | None:
    """What to tell when a driver's error, or one it caused, says that the server went away; None of other errors."""
    from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, DBAPIError):
            # psycopg2 calls an answer that broke off a DatabaseError; a wrong statement has a class of its own
            lost = isinstance(cause, OperationalError) or type(cause) is DatabaseError or cause.connection_invalidated
        else:
            lost = isinstance(cause, psycopg.OperationalError)
        if lost:
            why = reason(getattr(cause, "orig", None) or cause)
            return (
                f"the connection to PostgreSQL broke ({why}); what was stored stays. Check that the server runs, then "
                "run again"
            )
        cause = cause.__cause__
    return None


@contextmanager
def running_server(settings: Settings) -> Iterator[Server]:
    """The server, with its three databases in place, for as long as the block lasts.

    An embedded server is shared by all processes of one home folder and stops when the last of them leaves.
    PG* variables are taken from this process and its later children (_unset). Raises DatabaseUnavailableError.
    """
    if settings.database_url is not None:
        _unset(FORMAT_VARIABLES)
        main = driver_url(settings.database_url.get_secret_value(), "psycopg")
        yield _with_databases(settings, main, embedded=False)
        return
    _unset(LIBPQ_VARIABLES)
    with _embedded(settings.home, settings.backups) as main:
        yield _with_databases(settings, main, embedded=True)


def service_login(settings: Settings) -> URL | None:
    """The URL of a login that may serve and not administer; None where the login in use may migrate the database.

    That is SIMSIGHT_API_DATABASE_URL alone, or a login of SIMSIGHT_DATABASE_URL without role simsight_owner.
    Raises DatabaseUnavailableError.
    """
    given = settings.api_database_url or settings.database_url
    if given is None:
        return None
    service = driver_url(given.get_secret_value(), "psycopg")
    if settings.database_url is None:
        return service
    main = driver_url(settings.database_url.get_secret_value(), "")
    try:
        with psycopg.connect(_text(main), connect_timeout=10) as connection:
            # a server without our roles is a new one, which only an administrator can have in mind
            may = connection.execute(
                "SELECT pg_has_role(oid, 'MEMBER') FROM pg_roles WHERE rolname = 'simsight_owner'"
            ).fetchone()
    except psycopg.OperationalError:
        return None  # a database that is still to be made, or an error that is said where it is opened
    return service if may == (False,) else None


def _unset(names: re.Pattern[str]) -> None:
    """Take variables from this process and its later children: no driver, nor Dagster's or MLflow's, can be told to
    ignore them.
    """
    for name in [name for name in os.environ if names.fullmatch(name)]:
        del os.environ[name]


@contextmanager
def _embedded(home: Path, backups: Path | None) -> Iterator[URL]:
    from resources.database.archive import archive_of
    from resources.database.embedded import SUPERUSER, StartError, shared_server

    data = home.resolve() / "postgres"
    with ExitStack() as stack:
        try:
            data.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(data.parent).free
            if free < FREE_BYTES_NEEDED:
                raise DatabaseUnavailableError(
                    f"the disk of {data.parent} has {free / 1e6:.0f} MB free and PostgreSQL needs "
                    f"{FREE_BYTES_NEEDED / 1e6:.0f}; free some space, or set SIMSIGHT_HOME to a folder on another disk"
                )
            archive = archive_of(home, backups) if backups else None
            sockets = stack.enter_context(shared_server(data, archive))
        except (StartError, OSError) as error:
            log = data / "log"
            raise DatabaseUnavailableError(
                f"the embedded PostgreSQL under {data} did not start: {in_words(error)}. "
                f"{f'Read {log}, or set' if log.is_file() else 'Set'} SIMSIGHT_DATABASE_URL to use another server"
            ) from error
        yield URL.create("postgresql+psycopg", SUPERUSER, database="simsight", query={"host": str(sockets)})


def _with_databases(settings: Settings, main: URL, *, embedded: bool) -> Server:
    dagster = settings.dagster_database_url
    tracking = settings.mlflow_tracking_uri
    server = Server(
        simsight=main,
        api=driver_url(settings.api_database_url.get_secret_value(), "psycopg") if settings.api_database_url else main,
        dagster=driver_url(dagster.get_secret_value() if dagster else main.set(database="dagster"), "psycopg2"),
        mlflow=tracking.get_secret_value()
        if tracking
        else driver_url(main.set(database="mlflow"), "psycopg2").render_as_string(hide_password=False),
        embedded=embedded,
    )
    needed = [main.database or "simsight"]
    needed += [] if dagster else ["dagster"]
    needed += [] if tracking else ["mlflow"]
    create_databases(main, needed)
    return server


def create_databases(main: URL, names: list[str]) -> None:
    """Create the databases that are missing on the server of `main`. Raises DatabaseUnavailableError."""
    address = driver_url(main, "")
    try:
        try:
            admin = psycopg.connect(_text(address.set(database="postgres")), autocommit=True, connect_timeout=10)
        except psycopg.OperationalError:
            # a managed server may not offer "postgres": the database asked for must then be there
            admin = psycopg.connect(_text(address), autocommit=True, connect_timeout=10)
        with admin:
            have = {row[0] for row in admin.execute("SELECT datname FROM pg_database")}
            for name in names:
                if name not in have:
                    try:
                        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
                    except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
                        continue  # another process was faster
    except psycopg.errors.InsufficientPrivilege as error:
        raise DatabaseUnavailableError(
            f"the login may not create the databases {', '.join(names)} at {describe(main)}; "
            "create them as an administrator or grant it CREATEDB"
        ) from error
    except psycopg.OperationalError as error:
        raise DatabaseUnavailableError(
            f"no connection to PostgreSQL at {describe(main)}: {reason(error)}. Check that the server "
            "runs and that SIMSIGHT_DATABASE_URL has the right host, port, user and password"
        ) from error


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)


@contextmanager
def only_one(lock: Path, what: str) -> Iterator[None]:
    """Hold a lock file while the block lasts. Raises AlreadyRunningError when another process holds it."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise AlreadyRunningError(
            f"{what} is already running with the same home folder; wait for it or stop it"
        ) from error
    try:
        yield
    finally:
        os.close(handle)
