"""The database as the pipeline sees it: frames there and back, transactions, and what it says when it cannot."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from sqlalchemy import URL

import resources.database.session
from resources.database.server import DatabaseUnavailableError, driver_url
from resources.database.session import Database, Merged, Transaction, UnknownOrganizationError
from sql import query
from tests.conftest import administer, examples

SECRET = "hunter2-%2F"
NUMBERS = count()
SCHEMA: dict[str, Any] = {
    "number": pl.Int64,
    "small": pl.Int16,
    "words": pl.String,
    "flag": pl.Boolean,
    "day": pl.Date,
    "moment": pl.Datetime("us", "UTC"),
    "share": pl.Float64,
}
STATEMENTS = {
    "echo": "-- staged: number bigint, small smallint, words text, flag boolean, day date, "
    "moment timestamptz, share double precision\n"
    "SELECT * FROM staged; ",
    "words": "-- staged: words text\nSELECT words FROM staged",
    "numbers": "-- staged: number bigint, small smallint, day date, moment timestamptz, share double precision\n"
    "SELECT * FROM staged ORDER BY number",
    "nothing": "SELECT * FROM (VALUES (1::bigint, 'a', now())) AS v WHERE false",
    "wait": "SELECT pg_sleep(60)",
    "divide": "SELECT 1 / 0",
    "divide late": "SELECT 1000000 / (30000 - n) AS number FROM generate_series(1, 40000) AS n",
    "some, then none": "SELECT n AS number FROM generate_series(1, 40000) AS n WHERE n < 30000 OR pg_sleep(60) IS NULL",
    "many": "SELECT n AS number FROM generate_series(1, 40000) AS n",
}
ODD = [
    "",
    " ",
    r"\N",
    r"\.",
    r"\\N",
    "NULL",
    '"',
    '""',
    "a\nb",
    "\r",
    "\r\n",
    "\n",
    "\t",
    ",",
    ";",
    "'",
    "#",
    "\u2028",
    "\U0001f600",
]
ODD += ["Stra\u00dfe", "\ufeff", "\\x00", "1", "t", "true", "2026-01-01", "nan", "e\u0301", "\x01", "\x7f", "\uffff"]
USAGE: dict[str, Any] = {
    "sim_key": pl.Int32,
    "day": pl.Date,
    "bytes": pl.Int64,
    "bytes_rx": pl.Int64,
    "sms_mt": pl.Int16,
    "sms_mo": pl.Int16,
    "known_at": pl.Datetime("us", "UTC"),
    "source": pl.String,
    "grade": pl.String,
    "spread_from": pl.Date,
    "spread_to": pl.Date,
    "sms_unsplit": pl.Int16,
}
DAY = date(2026, 3, 10)
NOW = datetime(2026, 3, 12, tzinfo=UTC)


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' own statements beside those of sql/queries."""
    monkeypatch.setattr(resources.database.session, "query", lambda name: STATEMENTS.get(name) or query(name))


def there_and_back(database: Database, name: str, frame: pl.DataFrame) -> pl.DataFrame:
    with database.transaction() as transaction:
        transaction.stage(name, frame)
        return transaction.frame(name, frame.schema)


def usage(rows: int) -> pl.DataFrame:
    """One SIM, `rows` days."""
    said = (1, None, None, None, NOW, "call", "A", None, None, None)
    return pl.DataFrame([(1, DAY + timedelta(days=n), *said) for n in range(rows)], schema=USAGE, orient="row")


def landing(body: str) -> pl.DataFrame:
    schema = {"source": pl.String, "request": pl.String, "body": pl.String, "received_at": pl.Datetime("us", "UTC")}
    return pl.DataFrame([("file", "a.csv", body, NOW)], schema=schema, orient="row")


# --- frames
# ------------------------------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20)
moments = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
records = st.tuples(
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.integers(-(2**15), 2**15 - 1),
    st.none() | st.sampled_from(ODD) | texts,
    st.none() | st.booleans(),
    st.none() | st.dates(date(1, 1, 1), date(9999, 12, 31)),
    st.none() | moments,
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
)


@pytest.mark.usefixtures("statements")
@given(rows=st.lists(records, max_size=8))
@example(rows=[])
@example(rows=[(None,) * 7])
@settings(
    max_examples=examples(80),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_a_frame_comes_back_exactly_as_it_went_in(database: Database, rows: list[tuple[Any, ...]]) -> None:
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    assert_frame_equal(there_and_back(database, "echo", frame), frame, check_exact=True)


@pytest.mark.usefixtures("statements")
@given(rows=st.lists(records, max_size=8, unique_by=lambda row: row[0]))
@settings(
    max_examples=examples(80),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_numbers_come_back_exactly_too_with_and_without_gaps(database: Database, rows: list[tuple[Any, ...]]) -> None:
    # columns of fixed width go another way
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row").drop("words", "flag")
    assert_frame_equal(
        there_and_back(database, "numbers", frame), frame.sort("number", nulls_last=True), check_exact=True
    )


@pytest.mark.usefixtures("statements")
def test_a_number_too_large_for_its_column_is_refused_not_cut(database: Database) -> None:
    frame = pl.DataFrame([(1, 40_000, None, None, DAY, NOW, 0.5)], schema=SCHEMA | {"small": pl.Int64}, orient="row")
    with pytest.raises(pl.exceptions.InvalidOperationError, match="40000"):
        there_and_back(database, "numbers", frame)


@pytest.mark.usefixtures("statements")
def test_odd_text_and_missing_text_stay_apart_even_in_a_column_of_its_own(database: Database) -> None:
    frame = pl.DataFrame({"words": [None, *ODD, None, ""]}, schema={"words": pl.String})
    assert there_and_back(database, "words", frame)["words"].to_list() == frame["words"].to_list()


@pytest.mark.usefixtures("statements")
def test_text_with_line_breaks_survives_in_a_large_frame(database: Database) -> None:
    # large enough for the reader to split it among threads
    frame = pl.DataFrame({"words": [f'{n}\n"{n}",\r\n' for n in range(50_000)]})
    assert_frame_equal(there_and_back(database, "words", frame), frame)


@pytest.mark.usefixtures("statements")
def test_a_query_that_fails_after_many_rows_says_why_and_leaves_the_connection_usable(database: Database) -> None:
    with database.transaction() as transaction:
        for _ in range(2):
            with pytest.raises(psycopg.errors.DivisionByZero), transaction.connection.transaction():
                transaction.frame("divide late", {"number": pl.Int64})
            assert transaction.frame("many", {"number": pl.Int64})["number"].to_list() == list(range(1, 40_001))


@pytest.mark.usefixtures("statements")
def test_a_connection_that_breaks_while_rows_come_says_so(database: Database, postgres: URL) -> None:
    def read_and_break() -> None:
        with database.transaction() as transaction:
            end = f"SELECT pg_terminate_backend({transaction.connection.info.backend_pid})"
            threading.Timer(0.3, administer, (postgres, end)).start()
            transaction.frame("some, then none", {"number": pl.Int64})

    with pytest.raises(DatabaseUnavailableError, match="broke"):
        read_and_break()
    assert database.frame("many", {"number": pl.Int64}).height == 40_000


@pytest.mark.usefixtures("statements")
def test_no_rows_still_have_their_types(database: Database) -> None:
    schema = {"number": pl.Int64, "words": pl.String, "moment": pl.Datetime("us", "UTC")}
    assert_frame_equal(database.frame("nothing", schema), pl.DataFrame(schema=schema))


def test_text_with_a_zero_byte_is_refused_and_nothing_of_it_stored(database: Database) -> None:
    with pytest.raises(psycopg.DataError), database.transaction() as transaction:
        transaction.merge("merge_raw_responses", landing("a\x00b"))
    with database.transaction() as transaction:
        assert transaction.merge("merge_raw_responses", landing("a\ufffdb")) == Merged(new=1)


def test_a_query_without_a_staged_line_says_so(database: Database) -> None:
    with (
        pytest.raises(ValueError, match=r"the query sim_keys has no line '-- staged"),
        database.transaction() as t,
    ):
        t.stage("sim_keys", pl.DataFrame({"a": [1]}))


# --- transactions
# ------------------------------------------------------------------------------------------------------


@pytest.mark.timescaledb
@pytest.mark.usefixtures("statements")
def test_an_error_in_the_middle_takes_everything_back(database: Database) -> None:
    def fail(how: Callable[[Transaction], object]) -> None:
        with database.transaction() as transaction:
            transaction.merge("merge_raw_responses", landing("first"))
            transaction.merge("merge_usage", usage(3))
            how(transaction)

    with pytest.raises(psycopg.errors.DivisionByZero):
        fail(lambda transaction: transaction.rows("divide"))
    with pytest.raises(KeyError, match="of the caller's own"):
        fail(lambda _: {}["of the caller's own"])
    found = database.row("status", {"now": NOW})
    assert found is not None
    assert found["usage_rows"] == 0
    with database.transaction() as transaction:
        assert transaction.merge("merge_raw_responses", landing("first")) == Merged(new=1)


def test_what_one_transaction_writes_is_seen_by_others_when_it_is_done(database: Database) -> None:
    def days() -> int:
        found = database.row("status", {"now": NOW})
        assert found is not None
        return int(found["usage_rows"])

    with database.transaction() as transaction:
        transaction.merge("merge_usage", usage(2))
        assert days() == 0
    assert days() == 2


def test_one_transaction_can_stage_one_frame_after_another(database: Database) -> None:
    with database.transaction() as transaction:
        assert transaction.merge("merge_usage", usage(1)) == Merged(new=1)
        assert transaction.merge("merge_raw_responses", landing("x")) == Merged(new=1)
        assert transaction.merge("merge_usage", usage(2)) == Merged(new=1, unchanged=1)


@pytest.mark.usefixtures("statements")
def test_a_connection_lost_in_the_middle_is_told_and_the_next_transaction_works(
    database: Database, postgres: URL, database_url: URL, caplog: pytest.LogCaptureFixture
) -> None:
    def lose(error: Exception | None = None) -> None:
        with database.transaction() as transaction:
            transaction.merge("merge_usage", usage(3))
            administer(
                postgres,
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
                f" WHERE datname = '{database_url.database}' AND state = 'idle in transaction'",
            )
            if error:
                raise error
            transaction.rows("sim_keys")

    with pytest.raises(DatabaseUnavailableError, match=r"broke .*rolled back") as told:
        lose()
    assert str(database_url.database) in str(told.value)
    assert caplog.records == []  # no traceback of the pool beside the message
    with pytest.raises(KeyError):
        lose(KeyError("of something else that broke"))
    assert [record for record in caplog.records if record.exc_info] == []
    with database.transaction() as transaction:
        assert transaction.merge("merge_usage", usage(3)) == Merged(new=3)


# --- what it says when it cannot work
# ----------------------------------------------------------------------------------


def failure(url: URL, organization: str = "default") -> str:
    """What a person reads, traceback and all, when the database cannot be used."""
    database = Database(url, organization)
    try:
        with pytest.raises(DatabaseUnavailableError) as told, database.transaction():
            pass
    finally:
        database.close()
    assert SECRET not in "".join(traceback.format_exception(told.value))
    return str(told.value)


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_server_that_does_not_answer_is_named_without_its_password() -> None:
    port = closed_port()
    url = URL.create("postgresql+psycopg", "someone", SECRET, "127.0.0.1", port, "fleet")
    message = failure(url)
    assert f"127.0.0.1:{port}/fleet" in message
    assert "refused" in message
    assert "SIMSIGHT_DATABASE_URL" in message


def test_an_unknown_organization_is_told_how_to_be_added(database_url: URL) -> None:
    nobody = Database(database_url, "nobody")
    try:
        with (
            pytest.raises(UnknownOrganizationError, match=r"'nobody' is not in .*simsight migrate"),
            nobody.transaction(),
        ):
            pass
    finally:
        nobody.close()


@pytest.mark.timescaledb
def test_a_database_that_was_never_migrated_is_told_to_be(empty_url: URL, template: str) -> None:
    message = failure(empty_url)
    assert str(empty_url.database) in message
    assert "simsight migrate" in message


@pytest.mark.timescaledb
def test_a_login_without_the_role_is_told_which_grant_it_needs(database_url: URL, postgres: URL) -> None:
    name = f"simsight_stranger_{os.getpid()}_{next(NUMBERS)}"
    administer(postgres, f"CREATE ROLE {name} LOGIN PASSWORD '{SECRET}'")
    try:
        message = failure(database_url.set(username=name, password=SECRET))
    finally:
        administer(postgres, f"DROP ROLE {name}")
    assert str(database_url.database) in message
    assert "GRANT simsight_pipeline" in message


@pytest.fixture
def small_disk(postgres: URL, database_url: URL) -> Iterator[Path]:
    """A disk of 2 MB that holds the usage table; the folder on it."""
    if os.environ.get("SIMSIGHT_TEST_DATABASE_URL"):
        pytest.skip("the server is not ours: its disk cannot be made small")
    mount, unmount = shutil.which("mount"), shutil.which("umount")
    if os.name != "posix" or os.geteuid() != 0 or not mount or not unmount:
        pytest.skip("only root can mount a small disk")
    with (
        tempfile.TemporaryDirectory(prefix="simsight-") as folder,
        psycopg.connect(driver_url(database_url, "").render_as_string(hide_password=False), autocommit=True) as admin,
    ):
        disk = Path(folder)
        if subprocess.run([mount, "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], check=False).returncode:
            pytest.skip("this machine does not let root mount a small disk")
        try:
            data = admin.execute("SHOW data_directory").fetchone()
            assert data is not None
            server = Path(data[0]).stat()
            (disk / "space").mkdir()
            for path in (disk, disk / "space"):
                os.chown(path, server.st_uid, server.st_gid)
            admin.execute(f"CREATE TABLESPACE simsight_small LOCATION '{disk / 'space'}'".encode())
            try:
                admin.execute("ALTER TABLE core.sim_usage SET TABLESPACE simsight_small")
                yield disk
            finally:
                admin.execute("ALTER TABLE core.sim_usage SET TABLESPACE pg_default")
                admin.execute("DROP TABLESPACE simsight_small")
        finally:
            subprocess.run([unmount, folder], check=True)


def test_a_full_disk_is_told_as_such_nothing_is_half_written_and_it_goes_on_when_there_is_space(
    database: Database, small_disk: Path
) -> None:
    with database.transaction() as transaction:
        transaction.merge("merge_usage", usage(10))
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"\x00" * (shutil.disk_usage(small_disk).free - 200_000))

    def load() -> Merged:
        with database.transaction() as transaction:
            assert transaction.merge("merge_raw_responses", landing("of the step that fails")) == Merged(new=1)
            return transaction.merge("merge_usage", usage(10_000))

    with pytest.raises(DatabaseUnavailableError, match=r"disk of .* is full .*Free space") as told:
        load()
    assert isinstance(told.value.__cause__, psycopg.errors.DiskFull)
    found = database.row("status", {"now": NOW})
    assert found is not None
    assert (found["usage_rows"], found["replaced_usage_rows"]) == (10, 0)

    ballast.unlink()
    assert load() == Merged(new=9_990, unchanged=10)
