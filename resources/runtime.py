"""What an asset or a command works with: settings, clock, database, 1NCE client, MLflow. Opened on first use."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import psycopg

from resources.database.migrations import MigrationError, is_current, note_organization
from resources.database.server import Server, driver_url, running_server
from resources.database.session import Database
from resources.once.acting import ActingClient
from resources.once.calls import CallBook
from resources.once.client import OnceClient
from resources.organization_settings import own_settings
from resources.settings import Settings, SettingsError

if TYPE_CHECKING:
    from mlflow import MlflowClient

Client = TypeVar("Client", bound=OnceClient)
TURN_LOCK = 7_465_004  # the first half of the advisory locks of turns
MLFLOW_LOCK = 7_465_003  # any number: the advisory lock of who may be making MLflow's tables


class Runtime:
    """One process's hold on the world outside; close it, or use it as a context manager, to let go."""

    def __init__(self, settings: Settings, server: Server | None = None) -> None:
        """server  that of a runtime which outlives this one; its own, opened on first use, if None"""
        self.settings = settings
        self._open = ExitStack()
        self._made: set[Runtime] = set()  # runtimes that work with the server of this one
        if server is not None:
            self.__dict__["server"] = server

    def __enter__(self) -> Runtime:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for made in tuple(self._made):
            made.close()
        self._open.close()
        for opened in ("server", "database", "data_note", "mlflow"):
            self.__dict__.pop(opened, None)

    def clock(self) -> datetime:
        """The present moment in UTC."""
        return self.settings.clock()

    def last_complete_day(self) -> date:
        """The last usage day that counts as complete now: the as-of date of what is computed now."""
        return self.clock().date() - timedelta(days=1 + self.settings.lateness_days)

    @cached_property
    def server(self) -> Server:
        return self._open.enter_context(running_server(self.settings))

    @cached_property
    def database(self) -> Database:
        database = Database(self.server.simsight, self.settings.organization)
        self._open.callback(database.close)
        return database

    def for_organization(self, organization: str | None = None) -> Runtime:
        """A runtime that works for an organization, by default that of the settings, with the settings of its own.

        It may be this one; another one is closed with this one, if not before. Raises SettingsError.
        """
        name = organization or self.settings.organization
        made = self.plain_for(name)
        own = {row["name"]: row["value"] for row in made.database.rows("organization_settings")}
        if own and made is self:
            made = self._beside(self.settings)
        if made is not self:
            made.settings = own_settings(self.settings, name, own)
        return made

    def plain_for(self, organization: str) -> Runtime:
        """The same with the settings of the deployment alone, for what must work whatever the organization's say."""
        if organization == self.settings.organization:
            return self
        return self._beside(own_settings(self.settings, organization, {}))

    def _beside(self, settings: Settings) -> Runtime:
        made = Runtime(settings, self.server)
        self._made.add(made)
        made._open.callback(self._made.discard, made)
        return made

    @contextmanager
    def turn(self, name: str, whose: str | None = None) -> Iterator[None]:
        """Let one process at a time of an organization in, or of `whose`, while the block lasts; others wait.

        A process that dies lets the next one in.
        """
        address = driver_url(self.server.simsight, "").render_as_string(hide_password=False)
        key = f"{name} {whose or self.settings.organization}"
        with psycopg.connect(address, autocommit=True, keepalives_idle=60) as connection:
            connection.execute("SELECT pg_advisory_lock(%s, hashtext(%s))", (TURN_LOCK, key))
            yield

    def account_turn(self) -> AbstractContextManager[None]:
        """A turn at the 1NCE account, whose requests a second all that ask it share."""
        settings = self.settings
        account = f"{settings.once_username} at {settings.once_base_url}" if settings.once_username else None
        return self.turn("once_api", account)

    def once(self) -> OnceClient:
        """A new client of the 1NCE API, to be used as an async context manager. Raises SettingsError."""
        return self._client(OnceClient)

    def acting(self) -> ActingClient:
        """The same, which can also act. Raises SettingsError."""
        return self._client(ActingClient)

    def _client(self, kind: type[Client]) -> Client:
        settings = self.settings
        username, password = settings.account()
        self._claim(settings.account_note)
        return kind(
            base_url=settings.once_base_url,
            username=username,
            password=password,
            requests_per_second=None if settings.once_unlimited else settings.once_requests_per_second,
            calls=CallBook(settings.once_api),
            now=self.clock,
        )

    def check_schema(self) -> None:
        """Raise MigrationError when the database is empty or not up to date."""
        url = driver_url(self.server.simsight, "").render_as_string(hide_password=False)
        with psycopg.connect(url) as connection:
            if not is_current(connection):
                raise MigrationError(
                    "the database is empty or not up to date: run `simsight migrate` (or `simsight demo`) first"
                )

    def _claim(self, note: str) -> None:
        """Keep a real fleet and a simulated one apart: an organization belongs to the kind of account it began with."""
        found = self.database.row("organization")
        assert found is not None
        if found["paused_at"]:
            raise SettingsError(
                f"the organization {self.settings.organization!r} is paused, and 1NCE is not asked for it: "
                f"`simsight organization resume {self.settings.organization}` lets it go on"
            )
        if found["data_note"] == note:
            return
        if found["sims"]:
            raise SettingsError(
                f"the organization {self.settings.organization!r} of this database holds "
                f"{found['data_note'] or 'real data'}, and "
                f"ONCE_BASE_URL gives {note or 'real data'}: set SIMSIGHT_ORGANIZATION (then `simsight migrate`) "
                "or SIMSIGHT_HOME to keep them apart"
            )
        note_organization(self.server.simsight, self.settings.organization, note)
        self.__dict__.pop("data_note", None)

    @cached_property
    def data_note(self) -> str:
        """Shown wherever the data is shown: "synthetic data" for a simulated fleet, empty for a real one."""
        found = self.database.row("organization")
        return str(found["data_note"]) if found else ""

    @cached_property
    def mlflow(self) -> MlflowClient:
        """A client of the tracking and registry store, whose tables are there: the first client makes them."""
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        from mlflow import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of every table it creates
        logging.getLogger("alembic").setLevel(logging.WARNING)
        # tracebacks of errors that it raises as well
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
        with _making_tables(self.server.mlflow, self.settings.home):
            return MlflowClient(tracking_uri=self.server.mlflow, registry_uri=self.server.mlflow)

    @property
    def mlflow_ui(self) -> str:
        """Where the MLflow UI is: the tracking server that is set, else `simsight mlflow` on this machine."""
        uri = urlsplit(
            self.settings.mlflow_tracking_uri.get_secret_value() if self.settings.mlflow_tracking_uri else ""
        )
        if uri.scheme in ("http", "https"):
            return f"{uri.scheme}://{uri.netloc.rpartition('@')[2]}{uri.path.rstrip('/')}"
        return f"http://127.0.0.1:{self.settings.mlflow_port}"

    @property
    def mlflow_artifacts(self) -> str:
        """Where new MLflow experiments keep their artifacts."""
        return self.settings.mlflow_artifacts or (self.settings.home.resolve() / "mlflow").as_uri()


@contextmanager
def _making_tables(store: str, home: Path) -> Iterator[None]:
    """Let one process in at a time, while the block lasts: two that make the tables of a store at once fail.

    MLflow's own guard is a file in the folder for temporary files, and each command has a folder of its own. A store in
    PostgreSQL holds the lock itself, for another a file in the home folder does. A tracking server makes its
    own tables.
    """
    kind = urlsplit(store).scheme.partition("+")[0]
    if kind in ("http", "https"):
        yield
    elif kind == "postgresql":
        address = driver_url(store, "").render_as_string(hide_password=False)
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute("SELECT pg_advisory_lock(%s)", (MLFLOW_LOCK,))  # let go when the connection closes
            yield
    else:
        home.mkdir(parents=True, exist_ok=True)
        with (home / "mlflow.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # let go when the file closes
            yield
