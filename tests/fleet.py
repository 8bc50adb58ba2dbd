"""A simulated account over real HTTP, and the pipeline over a real database: empty, or filled once and copied a
test."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, LiteralString
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import dict_row
from pydantic import SecretStr
from sqlalchemy import URL

from resources.database.server import driver_url
from resources.once.calls import CallBook
from resources.once.client import OnceClient
from resources.runtime import Runtime
from resources.settings import Settings
from services.exhaustion import EXHAUSTIONS
from services.forecasting import USAGE_FORECASTS, train
from services.ingest.endpoints import ENDPOINTS, Endpoint
from services.ingest.ingest_run import IngestResult, MakeClient, ingest_account, ingest_fleet
from services.scoring import score_day
from simulator.fleet import Fleet
from simulator.server import SimulatorServer
from tests.conftest import administer, copy_database

# long past, so that every partition exists whatever day the tests run on
NOW = datetime(2025, 9, 24, 6, tzinfo=UTC)
TODAY = NOW.date()
AS_OF = TODAY - timedelta(days=2)
FIRST_DAY = TODAY - timedelta(days=180)
USERNAME, PASSWORD = "api-user-of-the-tests", "correct-horse-battery-staple"
CORE = ("sims", "sim_usage", "sim_quota", "sim_connectivity", "sim_events", "sim_sms", "products", "orders", "tickets")
CORE_TABLES = tuple(f"core.{name}" for name in CORE)


def settings_for(url: URL, home: Path, base_url: str, now: datetime = NOW, **more: Any) -> Settings:
    """Settings for one database and one simulated account; MLflow in a file of `home`."""
    values: dict[str, Any] = {
        "home": home,
        "now": now,
        "database_url": SecretStr(url.render_as_string(hide_password=False)),
        "dagster_database_url": SecretStr("postgresql://nobody@localhost/unused"),
        "mlflow_tracking_uri": SecretStr(f"sqlite:///{home}/mlflow.db"),
        "once_base_url": base_url,
        "once_username": USERNAME,
        "once_password": SecretStr(PASSWORD),
        "once_unlimited": True,
        "_env_file": None,
    }
    return Settings(**(values | more))


def at(runtime: Runtime, now: datetime, **more: Any) -> Runtime:
    """The same pipeline at another time."""
    return Runtime(runtime.settings.model_copy(update={"now": now} | more))


def impatient(runtime: Runtime, **more: Any) -> MakeClient:
    """A client that repeats at once, for tests in which much goes wrong."""
    settings = runtime.settings
    assert settings.once_username
    assert settings.once_password
    options: dict[str, Any] = {
        "base_url": settings.once_base_url,
        "username": settings.once_username,
        "password": settings.once_password,
        "requests_per_second": None,
        "now": runtime.clock,
        "backoff_s": 0.001,
        "breaker_pause_s": 0.01,
    }
    return lambda: OnceClient(**({"calls": CallBook(settings.once_api)} | options | more))


def ingest(
    runtime: Runtime,
    *names: str,
    first_day: date | None = None,
    once: MakeClient | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> dict[str, IngestResult]:
    """Ask for the named endpoints (all of them by default) as the ingest assets do, today's partition by default."""
    today = runtime.clock().date()

    def of(endpoint: Endpoint) -> IngestResult:
        if endpoint.ask is None:
            return ingest_account(runtime.database, once or runtime.once, endpoint, clock=runtime.clock)
        return ingest_fleet(
            runtime.database,
            once or runtime.once,
            endpoint,
            first_day=first_day or today,
            last_day=today,
            clock=runtime.clock,
            progress=progress,
        )

    return {name: of(ENDPOINTS[name]) for name in names or ENDPOINTS}


class Truth:
    """The database as an administrator sees it: past row-level security, and able to break things."""

    def __init__(self, url: URL) -> None:
        self._connection = psycopg.connect(
            driver_url(url, "").render_as_string(hide_password=False), autocommit=True, row_factory=dict_row
        )

    def rows(self, statement: LiteralString, parameters: Any = None) -> list[dict[str, Any]]:
        cursor = self._connection.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else []

    def column(self, statement: LiteralString, parameters: Any = None) -> list[Any]:
        return [next(iter(row.values())) for row in self.rows(statement, parameters)]

    def one(self, statement: LiteralString, parameters: Any = None) -> Any:
        (value,) = self.column(statement, parameters)
        return value

    def run(self, statement: str) -> None:
        """Run a statement made by the test itself."""
        self._connection.execute(statement.encode())

    def versions(self, tables: Sequence[str] = CORE_TABLES) -> dict[str, set[tuple[str, str]]]:
        """The place and version of every row: the same when nothing was written."""
        found = {}
        for table in tables:
            rows = self._connection.execute(f"SELECT ctid::text AS place, xmin::text AS version FROM {table}".encode())
            found[table] = {(row["place"], row["version"]) for row in rows}
        return found

    def close(self) -> None:
        self._connection.close()


@dataclass
class Account:
    """A simulated account under test, with the pipeline that polls it."""

    fleet: Fleet
    server: SimulatorServer
    runtime: Runtime
    truth: Truth

    def asked(self, tail: str) -> list[tuple[str, int]]:
        """(ICCID, status) of each request about one SIM whose path ends with `tail`, in order."""
        paths = [(path.split("?")[0].split("/"), status) for _, _, path, status in self.server.requests]
        return [(parts[4], status) for parts, status in paths if parts[3:4] == ["sims"] and parts[-1] == tail]


def simulated(fleet: Fleet, now: datetime = NOW) -> SimulatorServer:
    return SimulatorServer(fleet, now=now, username=USERNAME, password=PASSWORD)


@pytest.fixture(scope="session")
def small_fleet() -> Fleet:
    """24 SIMs, one of them expired, some topped up."""
    return Fleet(seed=4, sims=24, start=TODAY - timedelta(days=180))


@pytest.fixture
def account(small_fleet: Fleet, database_url: URL, tmp_path: Path) -> Iterator[Account]:
    """An account nobody has polled yet, over an empty database."""
    with simulated(small_fleet) as server, Runtime(settings_for(database_url, tmp_path, server.base_url)) as runtime:
        truth = Truth(database_url)
        yield Account(small_fleet, server, runtime, truth)
        truth.close()


@dataclass(frozen=True)
class Filled:
    """A database that has been filled once, and what filled it."""

    name: str
    fleet: Fleet
    base_url: str
    home: Path


@pytest.fixture(scope="session")
def mlflow_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow store to copy into a home: its tables come from fifty migrations, which take two seconds."""
    from mlflow import MlflowClient

    file = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def filled_template(
    postgres: URL, template: str, mlflow_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Filled]:
    """40 SIMs with half a year of usage: one expired, one exhausted, some topped up; trained and scored as of AS_OF."""
    name, home = f"{template}_filled", tmp_path_factory.mktemp("filled")
    copy_database(postgres, template, name)
    shutil.copy(mlflow_store, home)
    fleet = Fleet(seed=11, sims=40, start=TODAY - timedelta(days=180))
    with simulated(fleet) as server:
        with Runtime(settings_for(postgres.set(database=name), home, server.base_url)) as runtime:
            ingest(runtime, first_day=FIRST_DAY)
            train(runtime, AS_OF)
            score_day(runtime, USAGE_FORECASTS, AS_OF, run_id="first")
            score_day(runtime, EXHAUSTIONS, AS_OF, run_id="first")
        yield Filled(name, fleet, server.base_url, home)
    administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def copied(postgres: URL, filled: Filled, home: Path) -> Iterator[tuple[Runtime, Truth]]:
    """A copy of the filled database and of its model registry, to change at will."""
    name = f"{filled.name}_{uuid4().hex[:8]}"  # no counter: a test module that imports this has one of its own
    copy_database(postgres, filled.name, name)
    shutil.copy(filled.home / "mlflow.db", home)
    url = postgres.set(database=name)
    truth = Truth(url)
    with Runtime(settings_for(url, home, filled.base_url)) as runtime:
        yield runtime, truth
    truth.close()
    administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def filled(postgres: URL, filled_template: Filled, tmp_path: Path) -> Iterator[tuple[Runtime, Truth]]:
    """The pipeline over a healthy, trained and scored fleet, and the database behind it."""
    with copied(postgres, filled_template, tmp_path) as pair:
        yield pair
