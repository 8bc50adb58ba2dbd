"""The stream as a whole: its outage is one incident, its volume agrees with the system of record, and its jobs start
when there is
work."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import URL

from assets import maintenance
from assets.quality import _check
from pipelines.definitions import code_location
from resources.runtime import Runtime
from services.access.stream_credentials import create_stream, revoke_stream
from services.alerts.builtin import evaluate_alerts
from services.ingest.stream import process_batches, watch_stream
from services.quality.suites import SUITES
from services.scoring import stage_value
from services.status import collect
from tests.fleet import AS_OF, NOW, TODAY, Truth, at, settings_for
from tests.services.test_stream import Receiver
from tests.stream_records import iccid, usage

# what needs no MLflow
TIDIED = [dg.AssetKey(name) for name in ("raw_landings", "kept_days", "compressed_days")]
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
FLEET = 300
LISTED = """
INSERT INTO core.sims (organization_id, iccid, status, activated_at, first_seen_at, changed_at)
SELECT ops.organization('default'), '89882806660' || lpad(n::text, 8, '0'), 'Enabled', '2025-01-01', now(), now()
FROM generate_series(1, %s) AS n
"""
BOOKED = """
INSERT INTO core.sim_usage (organization_id, sim_key, day, bytes, known_at)
SELECT organization_id, sim_key, day::date, 1000000, day + interval '2 days'
FROM core.sims, generate_series(%s::date, %s::date, interval '1 day') AS day
"""
COVERED = """
INSERT INTO ops.polls (sim_key, source, organization_id, sweep_id, polled_at, covered_to)
SELECT sim_key, 'usage', organization_id, 1, now(), %s FROM core.sims
"""
STREAMED = """
INSERT INTO core.stream_usage (
    organization_id, record_id, sim_key, day, kind, started_at, ended_at, bytes, sms, known_at
)
SELECT organization_id, row_number() OVER (), sim_key, day::date, 'data', day, day + interval '1 hour', %s, 0,
       day + interval '1 hour'
FROM core.sims, generate_series(%s::date, %s::date, interval '1 day') AS day
"""
ARRIVED = """
INSERT INTO raw.stream_batches (organization_id, stream_id, body_sha256, body, records, received_at, processed_at)
SELECT ops.organization('default'), %(stream)s, sha256(convert_to(%(stream)s || at::text, 'UTF8')), '[]', 0, at, at
FROM unnest(%(times)s::timestamptz[]) AS at
"""


@pytest.fixture
def runtime(database_url: URL, tmp_path: Path) -> Iterator[Runtime]:
    with Runtime(settings_for(database_url, tmp_path, "http://127.0.0.1:9")) as opened:
        yield opened


@pytest.fixture
def truth(database_url: URL) -> Iterator[Truth]:
    opened = Truth(database_url)
    yield opened
    opened.close()


def arrive(truth: Truth, stream: str, first: datetime, last: datetime, every: timedelta) -> None:
    count = (last - first) // every + 1
    truth.rows(ARRIVED, {"stream": stream, "times": [first + n * every for n in range(count)]})
    truth.rows("ANALYZE raw.stream_batches")


def incidents(truth: Truth) -> list[dict[str, Any]]:
    return truth.rows("SELECT * FROM ops.incidents ORDER BY incident_id")


# --- outage ----------------------------------------------------------------------------------------------------------


def test_an_outage_over_a_big_fleet_is_one_incident_and_no_silent_sim_and_it_ends(
    runtime: Runtime, truth: Truth
) -> None:
    truth.rows(LISTED, (FLEET,))
    truth.rows(BOOKED, (AS_OF - 60 * DAY, TODAY + 6 * DAY))  # the system of record goes on, whatever the stream does
    stream = create_stream(runtime.database, "usage", now=NOW - 30 * DAY)
    arrive(truth, stream.stream_id, NOW - 8 * DAY, NOW, timedelta(minutes=5))
    receiver = Receiver(runtime.database, truth)
    receiver.receive([usage(n, n) for n in range(1, FLEET + 1)], at=NOW, stream=stream.stream_id)
    process_batches(runtime.database, now=NOW)
    assert watch_stream(runtime.database, now=NOW) is None

    said = []
    for hour in range(1, 5 * 24, 3):
        said.append(watch_stream(runtime.database, now=NOW + hour * HOUR))
        if hour % 24 == 1:
            with at(runtime, NOW + hour * HOUR) as later:
                evaluate_alerts(later, later.last_complete_day())

    (incident,) = incidents(truth)
    assert said[0] is None, "an hour is no outage"
    assert all(message and "usage" in message for message in said[1:])
    assert (incident["kind"], incident["opened_at"], incident["closed_at"]) == ("stream_outage", NOW + 4 * HOUR, None)
    assert incident["message"] == (
        f"usage ({stream.stream_id}) brought nothing since 2025-09-24 06:00 UTC. Look at the stream in 1NCE's "
        "portal (FAILED: restart it) and at the way here"
    )
    assert truth.one("SELECT count(*) FROM predictions.alerts WHERE kind = 'silent'") == 0
    assert collect(runtime)["open_incidents"] == {"stream_outage": f"since 2025-09-24 10:00 UTC: {incident['message']}"}

    arrive(truth, stream.stream_id, NOW + 5 * DAY, NOW + 5 * DAY, HOUR)
    assert watch_stream(runtime.database, now=NOW + 5 * DAY + HOUR / 2) is None
    (incident,) = incidents(truth)
    assert incident["closed_at"] == NOW + 5 * DAY + HOUR / 2
    assert collect(runtime)["open_incidents"] == {}


def test_an_outage_lasts_until_something_comes_even_for_weeks_and_the_next_is_another(
    runtime: Runtime, truth: Truth
) -> None:
    stream = create_stream(runtime.database, "usage", now=NOW)
    arrive(truth, stream.stream_id, NOW - DAY, NOW, HOUR / 2)
    for hours in (6, 24, 24 * 20):
        watch_stream(runtime.database, now=NOW + hours * HOUR)
    truth.rows("DELETE FROM raw.stream_batches WHERE received_at < %s", (NOW,))
    watch_stream(runtime.database, now=NOW + 40 * DAY)
    assert [row["closed_at"] for row in incidents(truth)] == [None]

    arrive(truth, stream.stream_id, NOW + 41 * DAY, NOW + 42 * DAY, HOUR / 2)
    watch_stream(runtime.database, now=NOW + 42 * DAY)
    watch_stream(runtime.database, now=NOW + 43 * DAY)

    assert [row["closed_at"] for row in incidents(truth)] == [NOW + 42 * DAY, None]


def test_two_streams_that_are_out_are_one_incident_that_names_both_and_ends_with_the_second(
    runtime: Runtime, truth: Truth
) -> None:
    streams = [create_stream(runtime.database, name, now=NOW) for name in ("usage", "events")]
    arrive(truth, streams[0].stream_id, NOW - DAY, NOW, HOUR / 4)
    arrive(truth, streams[1].stream_id, NOW - DAY, NOW + 3 * HOUR, HOUR / 4)
    watch_stream(runtime.database, now=NOW + 3 * HOUR)
    assert set(incidents(truth)[0]["details"]) == {streams[0].stream_id}
    watch_stream(runtime.database, now=NOW + 9 * HOUR)
    (both,) = incidents(truth)
    assert set(both["details"]) == {stream.stream_id for stream in streams}
    assert "usage" in both["message"]
    assert "events" in both["message"]

    arrive(truth, streams[0].stream_id, NOW + 10 * HOUR, NOW + 10 * HOUR, HOUR)
    watch_stream(runtime.database, now=NOW + 10 * HOUR)
    (one,) = incidents(truth)
    assert (set(one["details"]), one["closed_at"]) == ({streams[1].stream_id}, None)

    revoke_stream(runtime.database, "events", now=NOW + 11 * HOUR)
    watch_stream(runtime.database, now=NOW + 11 * HOUR)
    assert [row["closed_at"] for row in incidents(truth)] == [NOW + 11 * HOUR]


@pytest.mark.parametrize(
    ("every", "calm", "out"),
    [
        (timedelta(seconds=20), timedelta(minutes=59), timedelta(minutes=61)),
        (timedelta(minutes=12), timedelta(minutes=119), timedelta(minutes=121)),
        (timedelta(hours=3), timedelta(hours=29), timedelta(hours=31)),
        (timedelta(hours=24), timedelta(hours=71), timedelta(hours=73)),
    ],
)
def test_what_counts_as_silence_follows_from_the_streams_own_gaps(
    runtime: Runtime, truth: Truth, every: timedelta, calm: timedelta, out: timedelta
) -> None:
    stream = create_stream(runtime.database, "usage", now=NOW)
    arrive(truth, stream.stream_id, NOW - 7 * DAY, NOW, every)

    assert watch_stream(runtime.database, now=NOW + calm) is None
    assert watch_stream(runtime.database, now=NOW + out) is not None


def test_one_earlier_outage_in_the_week_does_not_make_the_next_one_usual(runtime: Runtime, truth: Truth) -> None:
    stream = create_stream(runtime.database, "usage", now=NOW)
    arrive(truth, stream.stream_id, NOW - 7 * DAY, NOW - 3 * DAY, HOUR / 4)
    arrive(truth, stream.stream_id, NOW - 2 * DAY, NOW, HOUR / 4)

    assert watch_stream(runtime.database, now=NOW + 3 * HOUR) is not None


def test_a_stream_that_never_delivered_or_only_once_is_not_out(runtime: Runtime, truth: Truth) -> None:
    create_stream(runtime.database, "unused", now=NOW)
    once = create_stream(runtime.database, "tried", now=NOW)
    arrive(truth, once.stream_id, NOW, NOW, HOUR)

    assert watch_stream(runtime.database, now=NOW + 3 * DAY) is None
    assert incidents(truth) == []


def test_an_outage_of_one_organization_is_not_anothers(runtime: Runtime, truth: Truth) -> None:
    stream = create_stream(runtime.database, "usage", now=NOW)
    arrive(truth, stream.stream_id, NOW - DAY, NOW, HOUR / 4)

    with at(runtime, NOW, organization="other") as other:
        assert watch_stream(other.database, now=NOW + 9 * HOUR) is None
    assert incidents(truth) == []


# --- stream and system of record -------------------------------------------------------------------------------------


def early(truth: Truth) -> dict[tuple[str, date], tuple[int, str]]:
    rows = truth.rows("SELECT iccid, day, bytes, source FROM core.sim_usage_early_v1 ORDER BY 1, 2")
    return {(row["iccid"], row["day"]): (row["bytes"], row["source"]) for row in rows}


def test_the_early_view_is_the_book_for_closed_days_and_the_greater_of_both_after(
    runtime: Runtime, truth: Truth
) -> None:
    # the view sees the organization of its session, an administrator's too
    truth.rows("SELECT ops.enter('default')")
    truth.rows(LISTED, (2,))
    closed, yesterday = TODAY - 2 * DAY, TODAY - DAY
    truth.rows("UPDATE core.sims SET changed_at = now()")
    for day, sim, booked in ((closed, 1, 100), (yesterday, 1, 100), (TODAY, 1, 100), (TODAY, 2, 7)):
        truth.rows(
            "INSERT INTO core.sim_usage (organization_id, sim_key, day, bytes, known_at)"
            " SELECT organization_id, sim_key, %s, %s, now() FROM core.sims WHERE iccid = %s",
            (day, booked, iccid(sim)),
        )
    for number, (day, sim, streamed) in enumerate(
        [
            (closed, 1, 60),
            (closed, 1, 70),
            (closed, 2, 5),
            (yesterday, 1, 60),
            (yesterday, 1, 70),
            (TODAY, 1, 99),
            (TODAY, 2, 9),
        ]
    ):
        truth.rows(
            "INSERT INTO core.stream_usage (organization_id, record_id, sim_key, day, kind, started_at, ended_at, "
            "bytes, sms, known_at)"
            " SELECT organization_id, %s, sim_key, %s, 'data', now(), now(), %s, 0, now() FROM core.sims WHERE "
            "iccid = %s",
            (number, day, streamed, iccid(sim)),
        )
    unbooked = early(truth)
    truth.rows(COVERED, (yesterday,))

    assert early(truth) == {
        (iccid(1), closed): (100, "book"),
        (iccid(1), yesterday): (130, "stream"),
        (iccid(1), TODAY): (100, "book"),
        (iccid(2), closed): (0, "book"),
        (iccid(2), TODAY): (9, "stream"),
    }
    # where the system of record has not covered a SIM, none of its days is closed
    assert (unbooked[iccid(1), closed], unbooked[iccid(2), closed]) == ((130, "stream"), (5, "stream"))
    # what readers see is the same
    truth.rows("SET ROLE simsight_api")
    assert len(early(truth)) == 5
    truth.rows("RESET ROLE")


def check(runtime: Runtime) -> dg.AssetCheckResult:
    (suite,) = [suite for suite in SUITES if suite.name == "stream_agrees_with_book"]
    result = _check(suite)(runtime=runtime)
    assert isinstance(result, dg.AssetCheckResult)
    return result


def test_the_check_passes_without_a_stream_and_when_both_agree_and_shows_the_figures(
    runtime: Runtime, truth: Truth
) -> None:
    assert check(runtime).passed
    truth.rows(LISTED, (10,))
    truth.rows(BOOKED, (AS_OF - 30 * DAY, AS_OF))
    truth.rows(COVERED, (AS_OF,))
    truth.rows(STREAMED, (995_000, AS_OF - 9 * DAY, AS_OF + DAY))

    found = check(runtime)

    assert found.passed
    assert found.metadata["days checked"].value == 7
    assert f"| {AS_OF} | 10 | 9950000 | 10000000 | 0.005 |" in found.metadata["rows"].value


@pytest.mark.parametrize(
    "fault",
    [
        "DELETE FROM core.stream_usage WHERE sim_key % 2 = 0 AND day = '2025-09-20'",
        "UPDATE core.sim_usage SET bytes = 990000 WHERE day = '2025-09-20'",
        "UPDATE core.sim_usage SET bytes = 0 WHERE day = '2025-09-20'",
    ],
)
def test_the_check_warns_when_a_day_differs(runtime: Runtime, truth: Truth, fault: Any) -> None:
    truth.rows(LISTED, (10,))
    truth.rows(BOOKED, (AS_OF - 30 * DAY, AS_OF))
    truth.rows(COVERED, (AS_OF,))
    truth.rows(STREAMED, (1_000_000, AS_OF - 9 * DAY, AS_OF))
    truth.rows(fault)

    found = check(runtime)

    assert not found.passed
    assert found.severity == dg.AssetCheckSeverity.WARN
    assert "difference" in str(found.description)


def test_sims_the_stream_does_not_bring_and_days_not_booked_are_not_compared(runtime: Runtime, truth: Truth) -> None:
    truth.rows(LISTED, (10,))
    truth.rows(BOOKED, (AS_OF - 30 * DAY, AS_OF))
    truth.rows(COVERED, (AS_OF - 2 * DAY,))
    truth.rows(STREAMED, (1_000_000, AS_OF - 9 * DAY, AS_OF))
    truth.rows("DELETE FROM core.stream_usage WHERE sim_key > 4")
    truth.rows("UPDATE core.sim_usage SET bytes = 1 WHERE day > %s", (AS_OF - 2 * DAY,))

    found = check(runtime)

    assert found.passed
    assert found.metadata["days checked"].value == 5


# --- jobs and sensors ------------------------------------------------------------------------------------------------


def test_arrivals_start_one_run_at_a_time(runtime: Runtime, truth: Truth) -> None:
    location = code_location(runtime)
    sensor = location.get_repository_def().get_sensor_def("stream_arrivals")
    job = location.resolve_job_def("process_stream")
    receiver = Receiver(runtime.database, truth)
    receiver.list_sims(1)
    with dg.DagsterInstance.ephemeral() as instance:

        def ask() -> Any:
            return sensor(dg.build_sensor_context(instance=instance, resources={"runtime": runtime}))

        assert ask().skip_message == "nothing is pending"
        receiver.receive([usage(1), usage(2, 7)])
        request = ask()
        assert isinstance(request, dg.RunRequest)
        assert request.run_key is None
        waiting = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
        assert ask().skip_message == "a run is under way"
        instance.delete_run(waiting.run_id)

        ran = job.execute_in_process(instance=instance, run_config={"loggers": {"terminal": {}}})
        (made,) = ran.asset_materializations_for_node("stream_records")
        assert (made.metadata["usage rows new"].value, made.metadata["records quarantined"].value) == (1, 1)
        assert ask().skip_message == "nothing is pending"

        receiver.list_sims(7)  # a SIM that a record waited for
        assert isinstance(ask(), dg.RunRequest)
        job.execute_in_process(instance=instance, run_config={"loggers": {"terminal": {}}})
        assert ask().skip_message == "nothing is pending"
    assert [row["record_id"] for row in receiver.stored()[0]] == [1, 2]


def test_the_outage_sensor_opens_the_incident_by_itself(runtime: Runtime, truth: Truth) -> None:
    stream = create_stream(runtime.database, "usage", now=NOW)
    arrive(truth, stream.stream_id, NOW - 2 * DAY, NOW - DAY, HOUR / 4)
    sensor = code_location(runtime).get_repository_def().get_sensor_def("stream_outage")

    with dg.DagsterInstance.ephemeral() as instance:
        said = sensor(dg.build_sensor_context(instance=instance, resources={"runtime": runtime}))

    assert "brought nothing since" in said.skip_message  # type: ignore[union-attr]
    assert len(incidents(truth)) == 1


def test_processed_batches_are_forgotten_and_waiting_ones_are_not(runtime: Runtime, truth: Truth) -> None:
    receiver = Receiver(runtime.database, truth)
    receiver.list_sims(1)
    receiver.receive([usage(1)], at=NOW - 31 * DAY)
    receiver.receive([usage(2)], at=NOW - 29 * DAY)
    process_batches(runtime.database, now=NOW)
    receiver.receive([usage(3)], at=NOW - 40 * DAY)

    with dg.DagsterInstance.ephemeral() as instance:
        ran = (
            code_location(runtime)
            .resolve_job_def("tidy")
            .execute_in_process(instance=instance, run_config={"loggers": {"terminal": {}}}, asset_selection=TIDIED)
        )

    (made,) = ran.asset_materializations_for_node("raw_landings")
    assert made.metadata["stream batches deleted"].value == 1
    (old,) = ran.asset_materializations_for_node("kept_days")
    assert not any("deleted" in name for name in old.metadata), "all is kept where no setting says how long"
    (kept,) = ran.asset_materializations_for_node("compressed_days")
    assert kept.metadata["chunks compressed"].value == 0  # no server of the tests can
    assert sorted(truth.column("SELECT received_at FROM raw.stream_batches")) == [NOW - 40 * DAY, NOW - 29 * DAY]
    assert process_batches(runtime.database, now=NOW).batches == 1


def test_what_runs_left_staged_is_deleted_a_day_after_they_ended(runtime: Runtime, truth: Truth) -> None:
    status = dg.DagsterRunStatus
    with dg.DagsterInstance.ephemeral() as instance:

        def begun(state: dg.DagsterRunStatus, **tags: str) -> str:
            named = {f"dagster/{name}": value for name, value in tags.items()}
            run = instance.create_run_for_job(noop, run_id=str(uuid.uuid4()), status=status.STARTED, tags=named)
            if state == status.FAILURE:
                instance.report_run_failed(run)
            return run.run_id

        going, failed, retried = begun(status.STARTED), begun(status.FAILURE), begun(status.FAILURE)
        begun(status.STARTED, root_run_id=retried, parent_run_id=retried)
        for work_id in (going, failed, retried, "wiped"):
            stage_value(runtime, "usage_forecasts", {"work_id": work_id, "name": "shared"}, 1)

        def tidy() -> set[str]:
            job = code_location(runtime).resolve_job_def("tidy")
            job.execute_in_process(instance=instance, run_config={"loggers": {"terminal": {}}}, asset_selection=TIDIED)
            return set(truth.column("SELECT work_id FROM ops.staged_values"))

        assert tidy() == {going, failed, retried}
        with pytest.MonkeyPatch.context() as later:
            later.setattr(maintenance, "RETRIED_WITHIN_S", -60)
            assert tidy() == {going, retried}


@dg.job
def noop() -> None:
    pass
