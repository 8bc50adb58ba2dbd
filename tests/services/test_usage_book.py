"""The book of usage from stream, quota, files and the usage call, through the database: who wins, and what adds up."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import URL

from resources.database.session import Database, staged_columns
from resources.runtime import Runtime
from services.ingest.endpoints import QUOTA, USAGE
from services.ingest.quota_days import days_of_looks
from services.ingest.quota_ledger import QUOTA_LOOKS_SCHEMA, TOP_UPS_SCHEMA, count_used
from services.ingest.stream import process_batches
from services.ingest.usage_book import Booked, update_book
from services.quality.source_gaps import source_gaps
from services.quality.suites import SUITES
from services.quality.validation import as_moments, validate
from tests.fleet import Truth, settings_for
from tests.services.test_stream import Receiver
from tests.stream_records import sms, usage

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
START = datetime(2025, 9, 10, tzinfo=UTC)
FIRST = START.date()
STREAM = "the-stream-0001"


class Book:
    """A database under test: looks, stream records and answers are put in, days are read."""

    def __init__(self, database: Database, truth: Truth) -> None:
        self.database, self.truth = database, truth
        self.receiver = Receiver(database, truth)
        self.receiver.list_sims(1, 2, 3)
        self.numbers = iter(range(1, 10_000))

    def look(self, days: float, left: int, sim: int = 1, **more: Any) -> None:
        """A look at the quota so many days after the start; more: columns of merge_quota."""
        at = START + timedelta(days=days)
        row = dict.fromkeys(staged_columns("merge_quota"))
        row |= {"sim_key": sim, "kind": "data", "day": at.date(), "observed_at": at, "amount_left": left} | more
        with self.database.transaction() as transaction:
            transaction.merge("merge_quota", pl.DataFrame([row], schema=QUOTA.schema))

    def answer(self, days: int, volume: int, sim: int = 1, *, at: float | None = None, **more: Any) -> None:
        """A usage row of a day; by default the call's, known a day and a bit later."""
        known_at = START + timedelta(days=days + 1.2 if at is None else at)
        row: dict[str, Any] = dict.fromkeys(USAGE.schema)
        row |= {"sim_key": sim, "day": FIRST + timedelta(days=days), "bytes": volume, "known_at": known_at}
        with self.database.transaction() as transaction:
            frame = pl.DataFrame([row | {"source": "call", "grade": "A"} | more], schema=USAGE.schema)
            transaction.merge("merge_usage", frame)

    def cover(self, days: int, sim: int = 1) -> None:
        self.truth.rows(
            "INSERT INTO ops.polls (sim_key, source, organization_id, sweep_id, polled_at, covered_to)"
            " VALUES (%s, 'usage', 1, 1, now(), %s)"
            " ON CONFLICT (sim_key, source) DO UPDATE SET covered_to = excluded.covered_to",
            (sim, FIRST + timedelta(days=days)),
        )

    def activate(self, days: float, sim: int = 1) -> None:
        at = START + timedelta(days=days)
        self.truth.rows("UPDATE core.sims SET activated_at = %s WHERE sim_key = %s", (at, sim))

    def stream(self, days: float, mb: float, sim: int = 1, *, arrives: float | None = None) -> None:
        """A session of ten minutes; it arrives a quarter of an hour after it began."""
        at = START + timedelta(days=days)
        record = usage(next(self.numbers), sim, mb, at=at, minutes=10)
        self.arrive([record], days + 0.01 if arrives is None else arrives)

    def arrive(self, records: list[dict[str, Any]], days: float) -> None:
        self.receiver.receive(records, at=START + timedelta(days=days), stream=STREAM)
        process_batches(self.database, now=START + timedelta(days=days))

    def outage(self, first: float, last: float | None) -> None:
        self.truth.rows(
            "INSERT INTO ops.incidents (organization_id, kind, opened_at, closed_at, message, details)"
            " VALUES (1, 'stream_outage', %s, %s, 'x', '{}')",
            (START + timedelta(days=first), None if last is None else START + timedelta(days=last)),
        )

    def update(self, days: float, **more: Any) -> Booked:
        return update_book(self.database, START + timedelta(days=days), **more)

    def days(self, sim: int = 1, columns: str = "bytes, source, grade") -> list[tuple[Any, ...]]:
        columns = columns.replace("source", "core.usage_source(source)")
        rows = self.truth.rows(
            f"SELECT day - DATE '{FIRST}' AS number, {columns} FROM core.sim_usage WHERE sim_key = {sim} ORDER BY day"  # type: ignore[arg-type]
        )
        return [tuple(row.values()) for row in rows]


@pytest.fixture
def book(database: Database, database_url: URL) -> Iterator[Book]:
    truth = Truth(database_url)
    truth.rows(
        "INSERT INTO ops.streams (stream_id, organization_id, name, secret_sha256, created_at)"
        " VALUES (%s, 1, 'usage', '', now())",
        (STREAM,),
    )
    yield Book(database, truth)
    truth.close()


# --- which source wins -----------------------------------------------------------------------------------------------

RANKED = [("call", "A"), ("file", "A"), ("stream", "A"), ("quota", "B"), ("stream", "B"), ("quota", "C")]


def known_by(source: str, grade: str) -> dict[str, Any]:
    spread = {"spread_from": FIRST, "spread_to": FIRST + DAY} if grade == "C" else {}
    return {"source": source, "grade": grade, **spread}


@pytest.mark.parametrize(("better", "worse"), combinations(range(len(RANKED)), 2))
def test_the_better_source_wins_whichever_comes_first(book: Book, better: int, worse: int) -> None:
    book.answer(0, 10, at=2, **known_by(*RANKED[better]))
    book.answer(0, 99, at=3, **known_by(*RANKED[worse]))
    book.answer(0, 99, 2, at=2, **known_by(*RANKED[worse]))
    book.answer(0, 10, 2, at=1.5, **known_by(*RANKED[better]))
    # of stream and quota the latest layout counts: it knew both
    same = {RANKED[better][0], RANKED[worse][0]} <= {"stream", "quota"}
    assert book.days() == ([(0, 99, *RANKED[worse])] if same else [(0, 10, *RANKED[better])])
    assert book.days(2) == [(0, 10, *RANKED[better])]
    kept = book.truth.rows("SELECT bytes, source, grade FROM core.sim_usage_replaced WHERE sim_key = 2")
    assert [tuple(row.values()) for row in kept] == [(99, *RANKED[worse])]


def test_the_calls_answer_for_a_day_under_way_yields_to_one_that_knows_more_unless_the_call_covers_it(
    book: Book,
) -> None:
    for sim in (1, 2, 3, 4):
        book.answer(0, 10, sim, at=0.5)
    book.cover(0, sim=3)
    book.answer(0, 9, 4, at=1.5, **known_by("stream", "B"))
    book.answer(0, 40, 1, at=1.5, **known_by("quota", "B"))
    book.answer(0, 40, 2, at=1.5, **known_by("stream", "B"))
    book.answer(0, 40, 3, at=1.5, **known_by("stream", "A"))
    assert [book.days(sim)[0][1:] for sim in (1, 2)] == [(40, "quota", "B"), (40, "stream", "B")]
    assert [book.days(sim)[0][1:] for sim in (3, 4)] == [(10, "call", "A"), (10, "call", "A")]
    book.answer(0, 42, 1)
    assert book.days() == [(0, 42, "call", "A")]


# --- quotas ----------------------------------------------------------------------------------------------------------


def test_looks_with_all_that_was_provisioned_give_days_exact_in_sum_whatever_was_topped_up(book: Book) -> None:
    for day, left, accumulated in ((0, 500, 500), (1, 470, 500), (2, 900, 1000), (3, -2, 1000)):
        book.look(day, left, amount_accumulated=accumulated)
    done = book.update(3.1)
    assert book.days() == [(0, 30, "quota", "B"), (1, 70, "quota", "B"), (2, 902, "quota", "B")]
    assert (done.rows, done.bytes) == ({"quota B": 3}, {"quota B": 1002})
    assert book.update(3.2) == Booked(), "and nothing is to be done twice"


def test_a_sim_that_was_activated_lately_is_known_from_its_activation_on(book: Book) -> None:
    book.activate(-1.5)
    book.activate(-400, sim=2)
    for sim in (1, 2):
        book.look(0, 460, sim, amount_accumulated=500)
        book.look(1, 450, sim, amount_accumulated=500)
    book.update(1.1)
    assert [row[:2] for row in book.days()] == [(-2, 13), (-1, 27), (0, 10)]
    assert book.days(2) == [(0, 10, "quota", "B")]


def test_without_it_a_top_up_shows_in_the_quota_itself(book: Book) -> None:
    book.look(0, 100, amount_total=500, last_added=500)
    book.look(1, 560, amount_total=580, last_added=500)  # 20 before the top-up and 20 after it
    book.look(2, 550, amount_total=580, last_added=500)
    book.look(3, 555, amount_total=580, last_added=500)  # a correction: 5 were taken back
    book.look(4, 550, amount_total=580, last_added=500)
    book.look(5, 540, amount_total=580, last_added=500)
    book.update(5.1)
    assert [row[1] for row in book.days()] == [40, 10, 0, 0, 10]


def test_several_top_ups_between_two_looks_are_counted_by_their_events(book: Book) -> None:
    book.look(0, 100, amount_total=500, last_added=500)
    for hour in (3, 9):
        book.truth.rows(
            "INSERT INTO core.sim_events (organization_id, sim_key, occurred_at, event_type)"
            " VALUES (1, 1, %s, 'Data quota topped up')",
            (START + hour * HOUR,),
        )
    book.look(1, 450, amount_total=510, last_added=500)
    # the event of a top-up that the quota has shown already is written a little late
    book.truth.rows(
        "INSERT INTO core.sim_events (organization_id, sim_key, occurred_at, event_type)"
        " VALUES (1, 1, %s, 'Data quota topped up')",
        (START + 25 * HOUR,),
    )
    same = {"amount_total": 510, "last_added": 500, "status_changed_at": START}
    book.look(1.02, 450, **same)
    book.look(2, 440, **same)
    book.update(2.1)
    assert [row[1] for row in book.days()] == [650, 10]


def test_from_version_one_to_version_two_the_count_goes_on(book: Book) -> None:
    book.look(0, 100, amount_total=500, last_added=500)
    book.look(1, 90, amount_total=500, last_added=500)
    book.look(2, 70, amount_total=500, last_added=500, amount_accumulated=1000)
    book.look(3, 40, amount_total=500, last_added=500, amount_accumulated=1000)
    book.update(3.1)
    assert [row[1] for row in book.days()] == [10, 20, 30]


def test_an_exhausted_sim_uses_nothing_while_looks_go_on(book: Book) -> None:
    for day, left in enumerate((50, -3, -3, -3)):
        book.look(day, left, amount_accumulated=500)
    book.update(3.1)
    assert [row[1:] for row in book.days()] == [(53, "quota", "B"), (0, "quota", "B"), (0, "quota", "B")]


def test_messages_are_counted_alike_and_without_a_direction(book: Book) -> None:
    for day, left, messages in ((0, 500, 250), (1, 490, 247), (2, 480, 240)):
        book.look(day, left, amount_accumulated=500)
        book.look(day, messages, kind="sms", amount_accumulated=250)
    book.update(2.1)
    assert book.days(columns="bytes, sms_mt, sms_mo, sms_unsplit") == [(0, 10, None, None, 3), (1, 10, None, None, 7)]


def test_weeks_without_a_look_are_spread_and_marked(book: Book) -> None:
    book.look(0, 1000, amount_accumulated=1000)
    book.look(21, 1000 - 210, amount_accumulated=1000)
    book.update(21.1)
    marked = book.days(columns="bytes, grade, spread_from, spread_to")
    assert marked == [(day, 10, "C", FIRST, FIRST + 20 * DAY) for day in range(21)]


def test_a_day_that_becomes_known_takes_its_part_off_its_stretch(book: Book) -> None:
    book.look(0, 1000, amount_accumulated=1000)
    book.look(4, 600, amount_accumulated=1000)
    book.update(4.1)
    book.answer(1, 250, at=4.2, source="file")
    book.answer(2, 50, at=4.2, source="file")
    book.update(4.3)
    assert book.days() == [(0, 50, "quota", "C"), (1, 250, "file", "A"), (2, 50, "file", "A"), (3, 50, "quota", "C")]


def test_the_first_and_the_last_look_of_a_day_are_kept(book: Book) -> None:
    book.look(0, 100, amount_accumulated=100)
    for day, left in ((1.0, 90), (1.5, 80), (1.25, 85), (1.75, 70), (2.0, 60)):
        book.look(day, left, amount_accumulated=100)
    book.look(0.9, 95, amount_accumulated=100)
    book.update(2.1)
    kept = book.truth.rows(
        "SELECT first_left, first_used, amount_left, used FROM core.sim_quota WHERE sim_key = 1 ORDER BY day"
    )
    assert [tuple(row.values()) for row in kept] == [(100, 0, 95, 5), (90, 10, 70, 30), (None, None, 60, 40)]
    assert [row[1] for row in book.days()] == [10, 30]


def test_looks_a_day_and_a_pass_after_each_give_what_one_pass_over_all_gives(book: Book) -> None:
    left = [1000, 990, 990, 950, 700, 690, 700, 660, 610, 600, 590, 100]
    at = [0.3, 1.2, 2.9, 3.3, 9.4, 10.1, 11.8, 12.2, 20.6, 21.5, 22.0, 31.0]
    for day, amount in zip(at, left, strict=True):
        book.look(day, amount, 1, amount_accumulated=1000)
        book.look(day, amount, 2, amount_accumulated=1000)
        book.truth.rows("DELETE FROM ops.usage_touched WHERE sim_key = 2")
        book.update(day + 0.01)
    book.truth.rows("INSERT INTO ops.usage_touched (organization_id, sim_key, look_day) VALUES (1, 2, %s)", (FIRST,))
    book.update(32)
    columns = "bytes, grade, spread_from, spread_to"
    assert book.days(1, columns) == book.days(2, columns)
    assert len(book.days()) == 30


@given(
    st.lists(
        st.tuples(st.integers(1, 3000), st.integers(0, 400), st.integers(0, 2), st.booleans()), min_size=1, max_size=15
    )
)
def test_whatever_is_used_and_topped_up_the_days_add_up_to_it(steps: list[tuple[int, int, int, bool]]) -> None:
    left, total, accumulated, minutes, used = 10_000, 10_000, 10_000, 0, 0
    looks: list[tuple[Any, ...]] = []
    top_ups: list[tuple[Any, ...]] = []

    def look(version: bool) -> None:
        at = START + timedelta(minutes=minutes)
        told = (left, total, 500, at, accumulated if version else None)
        looks.append((1, "data", at.date(), True, at, *told, None, None))

    look(steps[0][3])
    for passed, step, bought, version in steps:
        for n in range(bought):
            at = START + timedelta(minutes=minutes, seconds=n + 1)
            top_ups.append((1, "data", at, False))
            total, left, accumulated = left + 500, left + 500, accumulated + 500
        left, used, minutes = left - step, used + step, minutes + passed
        look(version)
    counted = count_used(
        pl.DataFrame(looks, schema=QUOTA_LOOKS_SCHEMA, orient="row"),
        pl.DataFrame(top_ups, schema=TOP_UPS_SCHEMA, orient="row"),
    )
    found = days_of_looks(counted.select("sim_key", "observed_at", pl.col("most_used").alias("used")))
    assert found["amount"].sum() == used


# --- how far the sources are apart, and what predictions stand on ----------------------------------------------------


MB = 1_000_000


@pytest.fixture
def runtime(book: Book, database_url: URL, tmp_path: Path) -> Iterator[Runtime]:
    """Eight days that the usage call covers, of 10 MB each, told by stream and quota alike."""
    for day in range(9):
        book.stream(day + 0.1, 10)
        book.answer(day, 10 * MB)
        book.look(day, (500 - 10 * day) * MB, amount_accumulated=500 * MB)
    book.cover(8)
    with Runtime(settings_for(database_url, tmp_path, "http://127.0.0.1:9", now=START + 8.5 * DAY)) as opened:
        yield opened


def gaps(runtime: Runtime) -> list[tuple[Any, ...]]:
    shown = source_gaps(runtime).select("sources", "sims", "sim_days", "gap_bytes", "sims_apart", "farthest_sim_key")
    return shown.rows()


def verdict(runtime: Runtime) -> bool:
    (suite,) = (suite for suite in SUITES if suite.name == "usage_sources_agree")
    assert not suite.blocking
    return validate(suite.frame(runtime), as_moments(suite.expectations(runtime))).passed


def test_sources_that_agree_pass_the_check_and_a_sim_that_is_apart_is_named(book: Book, runtime: Runtime) -> None:
    assert gaps(runtime) == [("stream and call", 1, 6, 0, 0, 1), ("quota and book", 1, 7, 0, 0, 1)]
    assert verdict(runtime)
    book.truth.rows("UPDATE core.sim_usage SET bytes = bytes + 1000000 WHERE day <> %s", (FIRST,))
    assert gaps(runtime) == [("stream and call", 1, 6, -6 * MB, 1, 1), ("quota and book", 1, 7, -6 * MB, 1, 1)]
    assert not verdict(runtime)


def test_a_stretch_between_looks_is_compared_as_a_whole_and_only_when_it_is_known(
    book: Book, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    book.truth.rows("DELETE FROM core.sim_quota WHERE day BETWEEN %s AND %s", (FIRST + DAY, FIRST + 3 * DAY))
    book.truth.rows("UPDATE core.sim_usage SET bytes = bytes * 2 WHERE day = %s", (FIRST,))
    book.truth.rows("UPDATE core.sim_usage SET bytes = 0, bytes_rx = 0 WHERE day = %s", (FIRST + DAY,))
    assert gaps(runtime)[1] == ("quota and book", 1, 7, 0, 0, 1)
    book.cover(-1)
    book.truth.rows("DELETE FROM core.sim_usage WHERE day = %s", (FIRST + 2 * DAY,))
    assert len(gaps(runtime)) == 1, "three days are too few to compare sums"
    monkeypatch.setattr("services.quality.source_gaps.WEEK", 3)
    assert gaps(runtime)[1] == ("quota and book", 1, 3, 0, 0, 1)


@pytest.mark.parametrize(("without", "compared"), [(None, 14), (10, 14), (12, 7)])
def test_looks_in_the_morning_are_compared_over_whole_weeks(
    book: Book, database_url: URL, tmp_path: Path, without: int | None, compared: int
) -> None:
    used = 0
    for day in range(20):
        volume = (10 if (FIRST + timedelta(days=day)).weekday() >= 5 else 80) * MB
        if day != without:
            book.answer(day, volume)
        # a quarter of a day's use before its look at 6:00
        book.look(day + 0.25, 2000 * MB - used - volume // 4, amount_accumulated=2000 * MB)
        used += volume
    book.cover(-1)
    with Runtime(settings_for(database_url, tmp_path, "http://127.0.0.1:9", now=START + 19.5 * DAY)) as runtime:
        ((*_, days, gap, apart, _),) = gaps(runtime)
        assert (days, apart) == (compared, 0)
        assert abs(gap) <= 1, "a byte is rounded"
        assert verdict(runtime)


def graded(book: Book, day: int) -> int:
    found = book.database.rows("data_quality", {"as_of": FIRST + timedelta(days=day), "first_key": 1, "last_key": 1})
    return int(found[0]["data_grade"])


def test_a_day_of_a_quota_is_known_and_a_spread_one_is_not(book: Book) -> None:
    for day in (0, 1, 8):
        book.look(day, 500 - 10 * day, amount_accumulated=500)
    book.update(8.1)
    assert [graded(book, day) for day in (0, 4, 7)] == [1, 3, 3]
    about = {"as_of": FIRST + timedelta(days=9), "first_key": 1, "last_key": 1}
    # booked 8.1 days after the start, of 10
    assert book.database.rows("data_quality", about)[0]["data_age_hours"] == 46
    book.answer(9, 5, at=9.5)
    assert graded(book, 9) == 4, "the call's answer for a day under way"


# --- the stream ------------------------------------------------------------------------------------------------------


def test_a_day_of_a_stream_that_was_up_is_exact_and_a_silent_sim_used_nothing(book: Book) -> None:
    for day, mb in ((0.5, 1), (1.5, 2), (3.5, 4)):
        book.stream(day, mb)
    book.stream(1.6, 8, sim=2)
    book.stream(2.5, 9, sim=2)
    book.arrive([sms(9000, 2, 3, at=START + 2.7 * DAY)], 2.8)
    book.update(4.1)
    assert book.days()[-1] == (2, 0, "stream", "A"), "of the fourth day nothing says that the stream went on"
    book.stream(4.1, 1, sim=2)
    book.update(4.2)
    assert book.days() == [
        (0, 1_000_000, "stream", "B"),
        (1, 2_000_000, "stream", "A"),
        (2, 0, "stream", "A"),
        (3, 4_000_000, "stream", "A"),
    ]
    assert book.days(2, "bytes, grade, sms_mt, sms_unsplit") == [
        (1, 8_000_000, "B", None, 0),
        (2, 9_000_000, "A", None, 3),
        (3, 0, "A", None, 0),
    ]
    assert book.days(3) == [], "a SIM that the stream never brought"


def test_days_of_an_outage_are_not_exact_and_have_no_zeros_and_quotas_fill_them(book: Book) -> None:
    for day in (0.5, 1.2, 3.9, 4.5):
        book.stream(day, 1)
    book.outage(1.5, 3.8)
    book.update(4.6)
    assert [(row[0], *row[2:]) for row in book.days()] == [(0, "stream", "B"), (1, "stream", "B"), (3, "stream", "B")]
    book.look(1, 10_000_000, amount_accumulated=10_000_000)
    book.look(4, 1_000_000, amount_accumulated=10_000_000)
    book.update(4.7)
    # the records of the days on which the outage began and ended are a part of them
    assert book.days()[1:] == [
        (1, 3_333_333, "quota", "C"),
        (2, 2_333_333, "quota", "C"),
        (3, 3_333_334, "quota", "C"),
    ]


def test_what_the_stream_lacks_of_a_stretch_is_kept_and_goes_when_late_records_bring_it(book: Book) -> None:
    for day in (0.5, 1.5, 2.5, 3.5, 4.1):
        book.stream(day, 1)
    book.arrive([sms(9000, 1, 3, at=START + 2.7 * DAY)], 4.11)
    book.outage(1, 4)
    book.look(1, 100_000_000, amount_accumulated=100_000_000)
    book.look(4, 91_000_000, amount_accumulated=100_000_000)
    book.update(4.2)
    columns = "bytes, source, grade, sms_unsplit, spread_from, spread_to"
    stretch = (FIRST + DAY, FIRST + 3 * DAY)
    assert book.days(columns=columns)[1:] == [
        (1, 3_000_000, "quota", "C", 0, *stretch),
        (2, 3_000_000, "quota", "C", 3, *stretch),
        (3, 3_000_000, "quota", "C", 0, *stretch),
    ]
    again = "INSERT INTO ops.usage_touched (organization_id, sim_key, look_day, stream_day) VALUES (1, 1, %s, %s)"
    book.truth.rows(again, (FIRST, FIRST))
    done = book.update(4.3).merged
    assert (done.new, done.changed) == (0, 0), "laying out again changes nothing"
    book.stream(2.6, 2, arrives=4.4)
    book.update(4.5)
    assert [row[1:4] for row in book.days()][1:] == [(mb, "quota", "C") for mb in (2_333_333, 4_333_333, 2_333_334)]
    book.stream(3.6, 5, arrives=4.6)
    book.update(4.7)
    assert book.days(columns=columns)[1:] == [
        (1, 1_000_000, "stream", "B", 0, None, None),
        (2, 3_000_000, "stream", "B", 3, None, None),
        (3, 6_000_000, "stream", "B", 0, None, None),
    ]


@pytest.fixture
def six(book: Book) -> Book:
    book.receiver.list_sims(4, 5, 6)
    return book


AMOUNTS = st.dictionaries(st.integers(0, 4), st.integers(0, 60), max_size=5)


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 200), AMOUNTS, AMOUNTS, st.integers(0, 5), st.integers(0, 3))
def test_in_whatever_order_sources_come_the_days_are_the_same_and_add_up(
    six: Book, used: int, streamed: dict[int, int], filed: dict[int, int], since: int, found: int
) -> None:
    """An outage of the stream from day `since` to the end is found before step `found`."""
    book = six
    for table in ("core.sim_usage", "core.sim_quota", "core.stream_usage", "ops.usage_touched", "ops.usage_book",
                  "ops.incidents"):  # fmt: skip
        book.truth.rows(f"DELETE FROM {table}")  # type: ignore[arg-type]
    orders = list(permutations(("looks", "stream", "file")))
    sims = range(1, len(orders) + 1)
    for step in range(4):
        if step == found:
            book.outage(since, 5)
        records = []
        for sim, order in zip(sims, orders, strict=True) if step < 3 else ():
            if order[step] == "looks":
                book.look(0, 1_000 * MB, sim, amount_accumulated=1_000 * MB)
                book.look(5, (1_000 - used) * MB, sim, amount_accumulated=1_000 * MB)
            for day, mb in streamed.items() if order[step] == "stream" else ():
                records.append(usage(next(book.numbers), sim, mb, at=START + (day + 0.4) * DAY, minutes=10))
            for day, mb in filed.items() if order[step] == "file" else ():
                book.answer(day, mb * MB, sim, at=5, source="file")
        if records:
            book.arrive(records, 5.1 + step / 10)
        book.update(5.11 + step / 10)
    columns = "bytes, source, grade, spread_from, spread_to"
    first = book.days(1, columns)
    assert [book.days(sim, columns) for sim in sims] == [first] * len(orders)
    days = {row[0]: row for row in first}
    assert days.keys() == set(range(5))
    assert all(days[day][1:3] == (mb * MB, "file") for day, mb in filed.items())
    parts = {day: mb for day, mb in streamed.items() if day not in filed}
    assert all(days[day][1] >= mb * MB for day, mb in parts.items())
    whole = set(range(min(streamed, default=5) + 1, since))
    assert all(days[day][1:4] == (parts.get(day, 0) * MB, "stream", "A") for day in whole - filed.keys())
    told = sum(filed.values()) + sum(parts.values())
    assert sum(row[1] for row in first) == (max(used, told) if len(filed.keys() | whole) < 5 else told) * MB


def test_an_outage_found_afterwards_lowers_the_days_and_looks_at_the_quota_may_win(book: Book) -> None:
    for day in (0.5, 1.2, 3.5, 4.1):
        book.stream(day, 1)
        book.stream(day + 0.01, 1, sim=2)
    book.cover(3, sim=3)
    book.update(4.2)
    assert [row[2:] for row in book.days()] == [("stream", "B"), *[("stream", "A")] * 3]
    for day, left in enumerate((100, 99, 60, 50)):
        book.look(day, left * 1_000_000, amount_accumulated=100_000_000)
    book.update(4.3)
    assert [row[2:] for row in book.days()][1:] == [("stream", "A")] * 3, "whole days of the stream are better"
    book.outage(1.3, 2.9)
    assert book.update(4.4).sims == 2
    assert book.days() == [
        (0, 1_000_000, "quota", "B"),
        (1, 39_000_000, "quota", "B"),
        (2, 10_000_000, "quota", "B"),
        (3, 1_000_000, "stream", "A"),
    ]
    assert book.days(2) == [
        (0, 1_000_000, "stream", "B"),
        (1, 1_000_000, "stream", "B"),
        (2, 0, "stream", "B"),
        (3, 1_000_000, "stream", "A"),
    ]
    assert book.update(4.5).sims == 0


def test_a_record_that_comes_late_corrects_its_day(book: Book) -> None:
    for day in (0.5, 1.5, 2.1):
        book.stream(day, 1)
    book.update(2.2)
    book.stream(1.7, 5, arrives=2.3)
    book.update(2.4)
    assert book.days() == [(0, 1_000_000, "stream", "B"), (1, 6_000_000, "stream", "A")]


def test_days_that_the_usage_call_covers_are_left_alone(book: Book) -> None:
    for day in (0.5, 1.5, 2.5, 3.1):
        book.stream(day, 1)
    for day in range(4):
        book.look(day, 100 - 10 * day, amount_accumulated=100)
    book.answer(1, 7)
    book.cover(2)
    assert book.update(3.2).rows == {}
    assert book.days() == [(1, 7, "call", "A")]
    for day in (4.5, 5.1):
        book.stream(day, 1)
    book.update(5.2)
    assert book.days() == [(1, 7, "call", "A"), (3, 1_000_000, "stream", "A"), (4, 1_000_000, "stream", "A")]


def test_an_interrupted_pass_loses_nothing(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    for sim in (1, 2, 3):
        book.look(0, 100, sim, amount_accumulated=100)
        book.look(1, 90, sim, amount_accumulated=100)
    calls = []

    def fail(*given: Any) -> Any:
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return laid(*given)

    from services.ingest import usage_book

    laid = usage_book._laid_out
    monkeypatch.setattr(usage_book, "_laid_out", fail)
    with pytest.raises(KeyboardInterrupt):
        book.update(1.1, block_sims=1)
    assert [len(book.days(sim)) for sim in (1, 2, 3)] == [1, 0, 0]
    assert book.update(1.2, block_sims=1).sims == 2
    assert [len(book.days(sim)) for sim in (1, 2, 3)] == [1, 1, 1]


def test_the_view_says_where_a_day_is_from(book: Book) -> None:
    book.answer(0, 10, **known_by("quota", "C"))
    rows = book.truth.rows("SELECT source, grade, spread_from, spread_to FROM core.sim_usage_v1")
    assert [tuple(row.values()) for row in rows] == [("quota", "C", FIRST, FIRST + DAY)]
