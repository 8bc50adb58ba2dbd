"""A late correction marks the as-of days whose predictions it makes stale, and only those are computed again."""

from datetime import date, timedelta
from typing import Any

import dagster as dg
import polars as pl
import pytest

from pipelines.common import day_range
from pipelines.customers import ORGANIZATION
from pipelines.definitions import code_location
from pipelines.sensors import stale_predictions
from resources.runtime import Runtime
from services.anomalies.detection import train
from services.exhaustion import EXHAUSTIONS
from services.forecasting import USAGE_FORECASTS
from services.ingest.endpoints import USAGE
from services.scoring import invalidated_days, plan, publish, score_block, score_day
from tests.fleet import AS_OF, Truth

DAY = timedelta(days=1)


@pytest.fixture
def scored(filled: tuple[Runtime, Truth]) -> tuple[Runtime, Truth]:
    """Scored as of AS_OF and, with the same figures, the four days before."""
    runtime, truth = filled
    for table, moved in (("usage_forecasts", "as_of, day"), ("exhaustions", "as_of")):
        columns = truth.column(
            "SELECT column_name FROM information_schema.columns WHERE (table_schema, table_name) = ('predictions', %s)",
            (table,),
        )
        copied = ", ".join(f"{name} - back" if name in moved.split(", ") else name for name in columns)
        into = f"INSERT INTO predictions.{table} ({', '.join(columns)})"
        truth.run(f"{into} SELECT {copied} FROM predictions.{table}, generate_series(1, 4) AS back")
    assert invalidated_days(runtime) == []
    return runtime, truth


def busiest(truth: Truth) -> int:
    return int(truth.one("SELECT sim_key FROM core.sim_usage GROUP BY sim_key ORDER BY sum(bytes) DESC LIMIT 1"))


def correct(runtime: Runtime, sim_key: int, day: date, volume: int | None = 5_000_000, **more: Any) -> None:
    """Usage of a day as a later answer gives it."""
    row = {"sim_key": sim_key, "day": day, "bytes": volume, "bytes_rx": None, "sms_mt": None, "sms_mo": None}
    row |= {"source": "call", "grade": "A", "spread_from": None, "spread_to": None, "sms_unsplit": None}
    frame = pl.DataFrame([row | {"known_at": runtime.clock()} | more], schema=USAGE.schema)
    with runtime.database.transaction() as transaction:
        transaction.merge("merge_usage", frame)


def days(runtime: Runtime) -> list[tuple[date, date]]:
    return [(first, last) for first, last, _ in invalidated_days(runtime)]


@pytest.mark.timescaledb
def test_a_correction_marks_the_days_from_it_on_and_none_before(scored: tuple[Runtime, Truth]) -> None:
    runtime, truth = scored
    correct(runtime, busiest(truth), AS_OF - 2 * DAY)
    assert days(runtime) == [(AS_OF - 2 * DAY, AS_OF)]
    assert truth.column("SELECT DISTINCT sims FROM ops.stale_predictions") == [1]


def test_what_changes_no_prediction_marks_nothing(scored: tuple[Runtime, Truth]) -> None:
    runtime, truth = scored
    sim = busiest(truth)
    known = truth.rows("SELECT * FROM core.sim_usage WHERE sim_key = %s AND day = %s", (sim, AS_OF))[0]
    correct(runtime, sim, AS_OF, known["bytes"], sms_mt=9)  # only SMS differ
    correct(runtime, sim, AS_OF + DAY)  # a day that no prediction knew
    truth.rows("DELETE FROM core.sim_usage WHERE sim_key = %s AND day = %s", (sim, AS_OF - DAY))
    correct(runtime, sim, AS_OF - DAY, 0)  # a missing day counted as zero already
    assert days(runtime) == []


def test_a_new_sim_with_its_past_makes_no_prediction_stale(scored: tuple[Runtime, Truth]) -> None:
    runtime, truth = scored
    sim = truth.one(
        "INSERT INTO core.sims (organization_id, iccid, first_seen_at, changed_at)"
        " VALUES (1, '8988280666999999999', now(), now()) RETURNING sim_key"
    )
    for back in range(5):
        correct(runtime, sim, AS_OF - back * DAY)
    assert days(runtime) == []


def test_days_that_are_not_in_a_row_are_runs_of_their_own(scored: tuple[Runtime, Truth]) -> None:
    runtime, truth = scored
    truth.rows("DELETE FROM predictions.exhaustions WHERE as_of = %s", (AS_OF - DAY,))
    correct(runtime, busiest(truth), AS_OF - 3 * DAY)
    assert days(runtime) == [(AS_OF - 3 * DAY, AS_OF - 2 * DAY), (AS_OF, AS_OF)]


@pytest.mark.timescaledb
def test_only_the_stale_days_are_computed_again_in_one_run(scored: tuple[Runtime, Truth]) -> None:
    runtime, truth = scored
    train(runtime, AS_OF)
    sim = busiest(truth)
    rows = (
        "SELECT as_of, ctid::text, xmin::text FROM predictions.usage_forecasts "
        "WHERE sim_key = %s AND as_of < %s ORDER BY as_of, day"
    )
    untouched = truth.rows(rows, (sim, AS_OF - DAY))
    before = truth.one("SELECT sum(mean) FROM predictions.usage_forecasts WHERE as_of >= %s", (AS_OF - DAY,))
    correct(runtime, sim, AS_OF - DAY, 250_000_000)

    location = code_location(runtime)
    (request,) = stale_predictions(dg.build_sensor_context(resources={"runtime": runtime}))
    assert request.tags == day_range(AS_OF - DAY, AS_OF) | {ORGANIZATION: "default"}
    with dg.DagsterInstance.ephemeral() as instance:
        job = location.resolve_job_def("rescore")
        assert job.execute_in_process(instance=instance, tags=request.tags).success

    assert days(runtime) == []
    assert truth.rows(rows, (sim, AS_OF - DAY)) == untouched
    assert truth.one("SELECT sum(mean) FROM predictions.usage_forecasts WHERE as_of >= %s", (AS_OF - DAY,)) != before
    (skipped,) = stale_predictions(dg.build_sensor_context(resources={"runtime": runtime}))
    assert isinstance(skipped, dg.SkipReason)


@pytest.mark.timescaledb
def test_a_correction_that_comes_while_a_day_is_scored_stays_marked(scored: tuple[Runtime, Truth]) -> None:
    runtime, truth = scored
    sim = busiest(truth)
    correct(runtime, sim, AS_OF)
    staged = [
        score_block(runtime, USAGE_FORECASTS, block) for block in plan(runtime, USAGE_FORECASTS, AS_OF, work_id="first")
    ]
    correct(runtime, sim, AS_OF, 6_000_000)
    publish(runtime, USAGE_FORECASTS, AS_OF, staged, run_id="first")
    score_day(runtime, EXHAUSTIONS, AS_OF, run_id="first")
    assert truth.column("SELECT part FROM ops.stale_predictions") == ["usage_forecasts"]
    assert days(runtime) == [(AS_OF, AS_OF)]
    assert score_day(runtime, USAGE_FORECASTS, AS_OF, run_id="second")["SIMs scored"] == 1
    assert days(runtime) == []


def test_a_scoring_that_lacks_a_block_publishes_nothing_and_leaves_the_mark(scored: tuple[Runtime, Truth]) -> None:
    runtime, truth = scored
    correct(runtime, busiest(truth), AS_OF)
    before = truth.versions(["predictions.usage_forecasts", "predictions.scorings", "ops.scored_sims"])
    small = Runtime(runtime.settings.model_copy(update={"block_sims": 20}))
    truth.rows("DELETE FROM ops.scored_sims")  # all is to be scored again
    with small:
        staged = [
            score_block(small, USAGE_FORECASTS, block)
            for block in plan(small, USAGE_FORECASTS, AS_OF, work_id="cut off")
        ]
        assert len(staged) == 2
        truth.rows("DELETE FROM ops.staged_blocks WHERE block = 1")

        with pytest.raises(RuntimeError, match="block 1 is not staged"):
            publish(small, USAGE_FORECASTS, AS_OF, staged, run_id="cut off")

    after = truth.versions(["predictions.usage_forecasts", "predictions.scorings", "ops.scored_sims"])
    assert after == before | {"ops.scored_sims": set()}
    assert days(runtime) == [(AS_OF, AS_OF)]


def test_days_too_far_back_wait_for_a_person(scored: tuple[Runtime, Truth]) -> None:
    runtime, truth = scored
    correct(runtime, busiest(truth), AS_OF - 2 * DAY)
    near = Runtime(runtime.settings.model_copy(update={"recompute_days": 3}))  # two days of lateness, and one
    with near:
        assert days(near) == [(AS_OF - DAY, AS_OF)]
    assert truth.one("SELECT count(DISTINCT as_of) FROM ops.stale_predictions") == 3


@pytest.mark.timescaledb
def test_a_correction_shows_what_was_believed_and_until_when(scored: tuple[Runtime, Truth]) -> None:
    runtime, truth = scored
    sim = busiest(truth)
    known = truth.one("SELECT bytes FROM core.sim_usage WHERE sim_key = %s AND day = %s", (sim, AS_OF - 9 * DAY))
    correct(runtime, sim, AS_OF - 9 * DAY)
    (shown,) = truth.rows("SELECT * FROM core.sim_usage_corrections_v1")
    assert (shown["day"], shown["bytes"], shown["known_to"]) == (AS_OF - 9 * DAY, known, runtime.clock())
