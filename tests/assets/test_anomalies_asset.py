"""Anomalies over a real database: learnt, found, grouped, written once, kept quiet by people, and found live from the
stream.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import mlflow
import polars as pl
import pytest
from sqlalchemy import URL
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.definitions import code_location
from resources.runtime import Runtime
from services.alerts.builtin import alert_facts
from services.anomalies import detection
from services.anomalies.alerting import alert_anomalies
from services.anomalies.detection import ANOMALIES, train
from services.anomalies.live import detect_live
from services.lifecycle import evaluate_lifecycle
from services.model_specs import DETECTOR
from services.models import NoChampionError, RollbackError, champion_of, rollback
from services.scoring import score_day
from tests.conftest import administer, copy_database
from tests.fleet import AS_OF, Truth, at, settings_for

SIMS = 240
TABLES = ("predictions.anomalies", "predictions.incidents", "predictions.anomaly_state")
# 240 SIMs of two device types at four sites, 150 days up to AS_OF: weekly habits and a little noise. On AS_OF, SIM 7
# uses 30 times its usual; SIM 9 has been silent for five days; SIM 11 is in another device; the 30 SIMs of site S3 and
# device type 35000002 flap since the day before; SIM 13 has sessions twelve hours later than ever for three days, and
# so has SIM 17, of which usage records of the stream tell, but no events
FILL = """
INSERT INTO core.sims (organization_id, iccid, imei, label, status, activated_at, quota_status, first_seen_at,
    changed_at)
SELECT 1, lpad(n::text, 19, '0'), '3500000' || (1 + n %% 2) || lpad(n::text, 6, '0') || '00', 'S' || (n / 2 %% 4) ||
    '-' || n, 'Enabled', '2024-01-01Z',
       0, '2024-01-01Z', '2024-01-01Z'
FROM generate_series(1, 240) AS n;
INSERT INTO core.sim_usage (organization_id, sim_key, day, bytes, bytes_rx, sms_mt, sms_mo, known_at)
SELECT 1, n, d::date,
       ((200000 + 1000 * n) * CASE WHEN extract(isodow FROM d) > 5 THEN 0.4 ELSE 1 END
        * (0.85 + 0.3 * ((hashint8(n * 1000 + (d::date - date '2020-01-01')) & 1023) / 1023.0))
        * CASE WHEN n = 7 AND d::date = %(as_of)s THEN 30 ELSE 1 END)::bigint,
       0, 0, 0, d
FROM generate_series(1, 240) AS n, generate_series(%(as_of)s::date - 149, %(as_of)s::date, interval '1 day') AS d
WHERE NOT (n = 9 AND d::date > %(as_of)s::date - 5);
INSERT INTO core.sim_events (organization_id, sim_key, occurred_at, event_type, imei, country, operator)
SELECT 1, n, d + (h + CASE WHEN n = 13 AND d::date > %(as_of)s::date - 3 THEN 12 ELSE 0 END) * interval '1 hour',
    'Create PDP Context',
       CASE WHEN n = 11 AND d::date = %(as_of)s THEN '9900000100000100' ELSE s.imei END, 'Germany', 'O2'
FROM core.sims AS s, generate_series(1, 240) AS n, generate_series(%(as_of)s::date - 149, %(as_of)s::date, interval
    '1 day') AS d,
     generate_series(0, 23) AS h
WHERE s.sim_key = n AND n <> 17 AND (h < 1 + (hashint8(n * 31 + (d::date - date '2020-01-01')) & 1)
    OR (n %% 2 = 1 AND n / 2 %% 4 = 3 AND d::date >= %(as_of)s::date - 1));
INSERT INTO core.stream_usage (record_id, bytes, started_at, ended_at, known_at, sim_key, day, sms, organization_id,
    kind)
SELECT d::date - date '2000-01-01', 5, t, t + interval '9 minutes', t, 17, d::date, 0, 1, 'data'
FROM generate_series(%(as_of)s::date - 149, %(as_of)s::date, interval '1 day') AS d,
     LATERAL (SELECT d::date::timestamp AT TIME ZONE 'UTC' + CASE WHEN d::date > %(as_of)s::date - 3 THEN 12 ELSE 0
         END * interval '1 hour' AS t) AS t
"""


def fill(truth: Truth) -> None:
    for statement in FILL.split(";\n"):
        truth._connection.execute(statement.encode(), {"as_of": AS_OF})


@pytest.fixture(scope="module")
def trained_template(
    postgres: URL, template: str, mlflow_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    name, home = f"{template}_anomalies", tmp_path_factory.mktemp("anomalies")
    shutil.copy(mlflow_store, home)
    copy_database(postgres, template, name)
    truth = Truth(postgres.set(database=name))
    fill(truth)
    truth.close()
    with Runtime(settings_for(postgres.set(database=name), home, "http://127.0.0.1:9")) as runtime:
        evaluate_lifecycle(runtime, AS_OF)
        train(runtime, AS_OF - timedelta(days=1))
    yield name, home
    administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def fleet(postgres: URL, trained_template: tuple[str, Path], tmp_path: Path) -> Iterator[tuple[Runtime, Truth]]:
    template, home = trained_template
    name = f"{template}_{tmp_path.name[-20:].replace('-', '_')}"
    copy_database(postgres, template, name)
    shutil.copy(home / "mlflow.db", tmp_path)
    url = postgres.set(database=name)
    truth = Truth(url)
    with Runtime(settings_for(url, tmp_path, "http://127.0.0.1:9")) as runtime:
        yield runtime, truth
    truth.close()
    administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


def found(truth: Truth) -> dict[int, dict[str, Any]]:
    return {
        row["sim_key"]: row for row in truth.rows("SELECT * FROM predictions.anomalies WHERE NOT live ORDER BY sim_key")
    }


def test_what_was_done_to_the_fleet_is_found_named_and_grouped(fleet: tuple[Runtime, Truth]) -> None:
    runtime, truth = fleet
    said = score_day(runtime, ANOMALIES, AS_OF, run_id="test")
    rows = found(truth)
    assert (rows[7]["kind"], rows[9]["kind"], rows[11]["kind"]) == ("spike", "silence", "imei_change")
    assert "times its usual" in rows[7]["reasons"]
    assert "Nothing for 5 days" in rows[9]["reasons"]
    assert rows[9]["first_day"] == AS_OF - timedelta(days=4)
    (incident,) = truth.rows("SELECT * FROM predictions.incidents")
    assert incident["kind"] == "flapping"
    assert incident["scope"] == {"device_type": "35000002", "label_prefix": "S3"}
    members = {sim for sim, row in rows.items() if row["incident_id"] == incident["incident_id"]}
    assert members == {n for n in range(1, SIMS + 1) if n % 2 == 1 and n // 2 % 4 == 3}
    assert len(rows) - len(members) <= 6
    for sim in (13, 17):
        assert rows[sim]["kind"] == "unusual_hours"
        assert ", from 12:00 to 1" in rows[sim]["reasons"]
    assert said["dagster/row_count"] == len(rows)
    assert "worst SIMs" in said


@pytest.mark.timescaledb
def test_the_same_day_again_writes_nothing_and_the_next_day_goes_on_with_the_incident(
    fleet: tuple[Runtime, Truth],
) -> None:
    runtime, truth = fleet
    score_day(runtime, ANOMALIES, AS_OF, run_id="test")
    before = truth.versions(TABLES)
    score_day(runtime, ANOMALIES, AS_OF, run_id="test")
    assert truth.versions(TABLES) == before
    score_day(runtime, ANOMALIES, AS_OF - timedelta(days=1), run_id="test")
    (incident,) = truth.rows("SELECT * FROM predictions.incidents")
    assert (incident["first_day"], incident["last_day"], incident["sims"]) == (AS_OF - timedelta(days=1), AS_OF, 30)


# what would differ if a block were held against itself: a day on which three of four SIMs are missing, SIMs that are
# new, and a device type that moves between countries, of which one SIM is in the other country for the first time
UNLIKE = """
DELETE FROM core.sim_usage WHERE sim_key <= 180 AND day = %(as_of)s::date - 3;
DELETE FROM core.sim_usage WHERE sim_key > 180 AND day < %(as_of)s::date - 60;
UPDATE core.sim_events SET country = 'France', operator = 'SFR' WHERE sim_key <= 120 AND sim_key %% 2 = 0 AND
    occurred_at < %(as_of)s::date - 30;
UPDATE core.sim_events SET country = 'France', operator = 'SFR' WHERE sim_key IN (220, 221) AND occurred_at >= %(as_of)s
"""
FOUND = (
    "SELECT sim_key, day, kind, score, severity, reasons, value, expected, first_day, incident_id IS NULL FROM "
    "predictions.anomalies ORDER BY 1, 2, 3",
    "SELECT kind, title, scope, first_day, last_day, severity, sims FROM predictions.incidents ORDER BY 1, 2",
    "SELECT sim_key, bytes_limits, sms_limit, sessions_limit, imei, countries, operators, device_type, label_prefix, "
    "country, operator, batch "
    "FROM predictions.anomaly_state ORDER BY 1",
)


def test_blocks_find_what_the_whole_fleet_finds_and_a_failed_one_is_tried_again_alone(
    fleet: tuple[Runtime, Truth], monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, truth = fleet
    for statement in UNLIKE.split(";\n"):
        truth._connection.execute(statement.encode(), {"as_of": AS_OF})
    score_day(runtime, ANOMALIES, AS_OF, run_id="test")
    whole = [truth.rows(statement) for statement in FOUND]
    scores = {row["sim_key"]: row["score"] for row in whole[0] if row["kind"] == "unexpected_country"}
    assert 221 in scores
    assert scores.get(220, 0) < scores[221]
    for table in TABLES:
        truth.run(f"DELETE FROM {table}")
    scored: list[int] = []
    honest = detection._look

    def look(given: Runtime, as_of: Any, version: Any, context: Any, sim_keys: list[int]) -> Any:
        scored.append(len(sim_keys) // SIMS or sim_keys[0])
        assert found(truth) == {}, "nothing of a day is seen before all of it is scored"
        if sim_keys[0] == 61 and scored.count(61) == 1:
            raise ConnectionError("the machine of this block went away")
        return honest(given, as_of, version, context, sim_keys)

    monkeypatch.setattr(detection, "_look", look)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with (
        Runtime(runtime.settings.model_copy(update={"block_sims": 60})) as small,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        job = code_location(small).resolve_implicit_global_asset_job_def()
        run = job.execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey("anomalies")],
            partition_key=AS_OF.isoformat(),
            run_config={"loggers": {"terminal": {}}},
        )
    assert run.success
    assert sorted(scored) == [1, 1, 61, 61, 121, 181], (
        "all for what they have in common, then the blocks, one of them twice"
    )
    assert [truth.rows(statement) for statement in FOUND] == whole
    assert truth.one("SELECT count(*) FROM ops.staged_blocks") == 0


def test_the_statistics_of_a_large_fleet_know_rare_device_types_whole(fleet: tuple[Runtime, Truth]) -> None:
    runtime, truth = fleet
    truth.rows("UPDATE core.sims SET imei = '3500000900000000' WHERE sim_key IN (5, 77, 200)")
    sims = [row["sim_key"] for row in runtime.database.rows("sims_of_types", {"sims": 23})]
    assert {5, 77, 200} <= set(sims)
    assert sorted(sim % 2 for sim in set(sims) - {5, 77, 200}) == [0] * 10 + [1] * 10


def test_an_acknowledged_false_alarm_keeps_quiet_until_it_is_taken_back(fleet: tuple[Runtime, Truth]) -> None:
    runtime, truth = fleet
    score_day(runtime, ANOMALIES, AS_OF, run_id="test")
    score = found(truth)[9]["score"]
    about = {
        "iccid": "0" * 18 + "9",
        "label": None,
        "kind": "silence",
        "by": "somebody",
        "note": "on holiday",
        "now": runtime.clock(),
    }
    times = int(min(score - 3, 3)) + 1
    made = [runtime.database.row("add_feedback", about) for _ in range(times)]
    said = score_day(runtime, ANOMALIES, AS_OF, run_id="test")
    assert (9 in found(truth)) == (score - min(times, 3) >= 3)
    assert said["feedback that holds"] == times
    for row in made:
        assert row
        runtime.database.rows(
            "undo_feedback", {"feedback_id": row["feedback_id"], "by": "somebody", "now": runtime.clock()}
        )
    score_day(runtime, ANOMALIES, AS_OF, run_id="test")
    assert found(truth)[9]["score"] == score


def test_a_silence_that_is_explained_is_no_anomaly(fleet: tuple[Runtime, Truth]) -> None:
    runtime, truth = fleet
    truth.rows(
        """INSERT INTO core.sim_lifecycle (sim_key, occurred_on, organization_id, kind, from_value, to_value,
            evidence, as_of, decided_by, decided_at)
        VALUES (9, %s, 1, 'state', 'active', 'suspended', 'test', %s, 'test', now())""",
        (AS_OF - timedelta(days=4), AS_OF),
    )
    score_day(runtime, ANOMALIES, AS_OF, run_id="test")
    assert 9 not in found(truth)
    # the usage call ended ten days ago: the stream's days are known, and those of SIM 9 that it does not tell are not
    truth.rows("DELETE FROM core.sim_lifecycle WHERE sim_key = 9 AND to_value = 'suspended'")
    truth.rows(
        """INSERT INTO ops.polls (sim_key, source, organization_id, sweep_id, polled_at, covered_to)
        SELECT sim_key, 'usage', 1, 1, now(), %s FROM core.sims""",
        (AS_OF - timedelta(days=10),),
    )
    truth.rows("UPDATE core.sim_usage SET source = 's' WHERE day > %s", (AS_OF - timedelta(days=10),))
    score_day(runtime, ANOMALIES, AS_OF, run_id="test")
    assert {7, 11} <= found(truth).keys()
    assert 9 not in found(truth)


def test_a_silence_of_the_season_raises_nothing_and_that_of_a_dead_device_does(fleet: tuple[Runtime, Truth]) -> None:
    runtime, truth = fleet
    year_before = AS_OF - timedelta(days=364)
    fill_year = """INSERT INTO core.sim_usage (organization_id, sim_key, day, bytes, bytes_rx, sms_mt, sms_mo, known_at)
        SELECT 1, 9, d::date, 5000, 0, 0, 0, d
        FROM generate_series(%s::date - 100, %s::date + 60, interval '1 day') AS d WHERE d::date NOT BETWEEN %s AND
            %s"""
    rest = (year_before - timedelta(days=9), year_before + timedelta(days=30))
    truth.rows(fill_year, (year_before, year_before, *rest))
    score_day(runtime, ANOMALIES, AS_OF, run_id="test")
    assert 9 not in found(truth)
    facts = alert_facts(runtime, AS_OF)
    assert facts.filter(sim_key=9)["last_active_day"].item() is None
    with Runtime(runtime.settings.model_copy(update={"block_sims": 7})) as small:
        assert alert_facts(small, AS_OF).equals(facts, null_equal=True)
    truth.rows("DELETE FROM core.sim_usage WHERE sim_key = 9 AND day < %s", (AS_OF - timedelta(days=200),))
    truth.rows(fill_year, (year_before, year_before, AS_OF, AS_OF))
    score_day(runtime, ANOMALIES, AS_OF, run_id="test")
    assert found(truth)[9]["kind"] == "silence"
    assert alert_facts(runtime, AS_OF).filter(sim_key=9)["last_active_day"].item() == AS_OF - timedelta(days=5)


@pytest.mark.timescaledb
def test_the_stream_raises_live_anomalies_once_and_the_closed_day_takes_them_back(fleet: tuple[Runtime, Truth]) -> None:
    runtime, truth = fleet
    score_day(runtime, ANOMALIES, AS_OF, run_id="test")
    day = AS_OF + timedelta(days=1)
    now = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    insert = """INSERT INTO core.stream_usage (record_id, bytes, started_at, ended_at, known_at, sim_key, day, sms,
        organization_id, kind)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, 1, 'data')"""
    truth.rows(insert, (1, 250_000, now - timedelta(hours=2), now - timedelta(hours=1), now, 20, day, 0))
    truth.rows(insert, (2, 60_000_000, now - timedelta(hours=2), now - timedelta(hours=1), now, 21, day, 0))
    truth.rows(
        """INSERT INTO core.sim_events (sim_key, occurred_at, event_type, organization_id, imei, country, operator,
            record_id)
        VALUES (22, %s, 'Update location', 1, NULL, 'Morocco', 'Inwi', 5)""",
        (now - timedelta(minutes=5),),
    )
    with at(runtime, now) as later:
        assert detect_live(later) == {"live spike": 1, "live unexpected_country": 1}
        assert detect_live(later) == {}
    live = truth.rows("SELECT * FROM predictions.anomalies WHERE live ORDER BY sim_key")
    assert [(row["sim_key"], row["kind"], row["day"]) for row in live] == [
        (21, "spike", day),
        (22, "unexpected_country", day),
    ]
    assert "60.00 MB so far" in live[0]["reasons"]
    truth.rows(
        "INSERT INTO core.sim_usage SELECT bytes, bytes_rx, known_at, sim_key, %s, organization_id, sms_mt, sms_mo "
        "FROM core.sim_usage WHERE day = %s",
        (day, day - timedelta(days=7)),
    )
    score_day(runtime, ANOMALIES, day, run_id="test")
    rows = found(truth)
    assert 21 not in {
        row["sim_key"] for row in truth.rows("SELECT * FROM predictions.anomalies WHERE day = %s", (day,))
    }
    assert rows[22]["kind"] == "unexpected_country"


# 60 MB of a SIM within an hour, a hundred times what is usual
STREAMED = """
INSERT INTO core.stream_usage (record_id, bytes, started_at, ended_at, known_at, sim_key, day, sms, organization_id,
    kind)
SELECT n, 60000000, %(now)s - interval '2 hours', %(now)s - interval '1 hour', %(now)s, n, %(now)s::date, 0, 1, 'data'
FROM generate_series(%(first)s::integer, %(last)s::integer, %(step)s::integer) AS n
ON CONFLICT DO NOTHING
"""
BOOKED = """
INSERT INTO core.sim_usage
SELECT CASE WHEN sim_key <= 80 AND sim_key %% 2 = 0 OR sim_key <= 154 AND sim_key %% 8 = 2 THEN 60000000 ELSE bytes
    END, bytes_rx, known_at, sim_key, day + 7, organization_id, sms_mt, sms_mo
FROM core.sim_usage WHERE day = %s::date - 7
"""
ALERTS = """
SELECT a.alert_id, a.kind, a.sim_key, a.incident_id, a.closed_at IS NULL AS is_open, a.message FROM predictions.alerts
    AS a
WHERE a.kind = 'incident' OR a.sim_key % 2 = 0 ORDER BY a.alert_id
"""


def test_what_many_sims_do_at_once_on_a_day_under_way_is_one_incident_and_one_alert_and_the_closed_day_goes_on_with_it(
    fleet: tuple[Runtime, Truth],
) -> None:
    runtime, truth = fleet
    score_day(runtime, ANOMALIES, AS_OF, run_id="test")
    (flapping,) = truth.column("SELECT incident_id FROM predictions.incidents")
    day = AS_OF + timedelta(days=1)
    now = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    truth.rows(STREAMED, {"now": now, "first": 2, "last": 6, "step": 2})
    with at(runtime, now) as early:
        assert detect_live(early) == {"live spike": 3}
    assert [(row["kind"], row["sim_key"]) for row in truth.rows(ALERTS) if row["is_open"]] == [
        ("incident", None),
        *(("anomaly", sim) for sim in (2, 4, 6)),
    ]

    # 19 others at the site of the first of them: an incident of that site, as far as is known
    now += timedelta(minutes=20)
    truth.rows(STREAMED, {"now": now, "first": 10, "last": 154, "step": 8})
    with at(runtime, now) as meanwhile:
        assert detect_live(meanwhile) == {"live spike": 19}
    (begun,) = truth.rows("SELECT * FROM predictions.incidents WHERE incident_id <> %s", (flapping,))
    assert (begun["scope"], begun["sims"]) == ({"label_prefix": "S1"}, 20)

    # 28 more of the same device type at all sites, and one SIM that still flaps
    now += timedelta(minutes=20)
    truth.rows(STREAMED, {"now": now, "first": 8, "last": 80, "step": 2})
    truth.rows(
        "INSERT INTO core.sim_events (sim_key, occurred_at, event_type, organization_id, record_id)"
        " SELECT 15, %s::timestamptz - n * interval '1 minute', 'Create PDP Context', 1, 1000 + n FROM "
        "generate_series(1, 60) AS n",
        (now,),
    )
    with at(runtime, now) as later:
        assert detect_live(later) == {"live flapping": 1, "live spike": 28}
        assert detect_live(later) == {}
    (loop,) = truth.rows("SELECT * FROM predictions.incidents WHERE incident_id <> %s", (flapping,))
    assert (loop["kind"], loop["scope"], loop["sims"]) == ("spike", {"device_type": "35000001"}, 50)
    assert loop["incident_id"] == begun["incident_id"], "it grew"
    assert (loop["first_day"], loop["last_day"]) == (day, day)
    alerts = truth.rows(ALERTS)
    assert [(row["kind"], row["incident_id"]) for row in alerts if row["is_open"]] == [
        ("incident", flapping),
        ("incident", loop["incident_id"]),
    ]
    folded = [row for row in alerts if row["kind"] == "anomaly"]
    assert [row["sim_key"] for row in folded] == [2, 4, 6], "no others were ever opened"
    assert {row["message"].split(" in ")[0] for row in folded} == {'Part of the incident "Spike'}
    assert truth.column("SELECT incident_id FROM predictions.anomalies WHERE live AND sim_key = 15") == [flapping]
    assert truth.one("SELECT count(*) FROM predictions.alerts WHERE sim_key = 15") == 0

    truth.rows(BOOKED, (day,))
    score_day(runtime, ANOMALIES, day, run_id="test")
    (closed,) = truth.rows("SELECT * FROM predictions.incidents WHERE incident_id <> %s", (flapping,))
    assert (closed["incident_id"], closed["sims"], closed["last_day"]) == (loop["incident_id"], 50, day)
    assert truth.one("SELECT count(*) FROM predictions.anomalies WHERE live") == 0
    alert_anomalies(runtime.database, as_of=day, now=now + timedelta(days=2))
    assert [row["alert_id"] for row in truth.rows(ALERTS) if row["is_open"] and row["incident_id"] != flapping] == [
        row["alert_id"] for row in alerts if row["incident_id"] == loop["incident_id"]
    ]


def test_detectors_are_versions_with_a_record_and_an_earlier_one_finds_again_unless_todays_code_cannot_read_it(
    fleet: tuple[Runtime, Truth], monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, truth = fleet
    monkeypatch.setattr("pipelines.cli.models.load_settings", lambda: runtime.settings)
    monkeypatch.setattr("services.anomalies.detection.WORSE", float("inf"))  # the newest scores, whatever it flags
    (first,) = truth.rows("SELECT * FROM predictions.backtests WHERE model_name = %s", (DETECTOR,))
    assert first["role"] == "champion"
    assert first["metrics"]["sim_days"] > 10_000
    assert train(runtime, AS_OF - timedelta(days=1))["trained"].startswith("no"), "the same data teach nothing new"
    train(runtime, AS_OF)
    listed = json.loads(CliRunner().invoke(app, ["models", "--json"]).output)
    assert [(row["model"], row["version"], row["role"]) for row in listed] == [
        (DETECTOR, 2, "champion"),
        (DETECTOR, 1, "retired"),
    ]
    assert score_day(runtime, ANOMALIES, AS_OF, run_id="test")["model version"] == 2

    said = CliRunner().invoke(app, ["rollback", "--model", DETECTOR, "--by", "me"])
    assert f"{DETECTOR}: version 1 is champion again, in place of version 2" in said.output
    (last,) = truth.rows("SELECT * FROM predictions.promotions_v1 WHERE from_version = 2")
    assert (last["model_name"], last["model_version"], last["decided_by"]) == (DETECTOR, 1, "me")
    assert score_day(runtime, ANOMALIES, AS_OF, run_id="test")["model version"] == 1
    assert set(truth.column("SELECT model_version FROM predictions.anomalies")) == {1}

    run = runtime.mlflow.get_run(next(row["run_id"] for row in listed if row["version"] == 2))
    saved = Path(run.info.artifact_uri.removeprefix("file://")) / "model.json"
    saved.write_text(json.dumps(json.loads(saved.read_text()) | {"format": 0}))
    with pytest.raises(RollbackError, match="version 2 was made by other code and cannot score"):
        rollback(runtime, to=2, by="me", model=DETECTOR)
    assert champion_of(runtime, DETECTOR).version == 1


def test_a_champion_is_loaded_by_mlflow_finds_a_spike_and_says_what_it_is(
    fleet: tuple[Runtime, Truth], monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, truth = fleet
    monkeypatch.setenv("MLFLOW_TRACKING_URI", runtime.server.mlflow)
    rows = truth.rows("SELECT sim_key, day, bytes FROM core.sim_usage WHERE day <= %s", (AS_OF,))
    frame = pl.DataFrame(rows, schema_overrides={"sim_key": pl.Int64, "bytes": pl.Float64}).to_pandas()

    detector = mlflow.pyfunc.load_model(f"models:/{DETECTOR}@champion")
    odd = pl.from_pandas(detector.predict(frame, params={"days": 2}))

    assert odd["day"].cast(pl.Date).unique().sort().to_list() == [AS_OF - timedelta(days=1), AS_OF]
    (spike,) = odd.filter(pl.col("day") == AS_OF, sim_key=7).rows(named=True)
    assert (spike["is_anomaly"], spike["kind"]) == (True, "spike")
    card = str(runtime.mlflow.get_model_version_by_alias(DETECTOR, "champion").description)
    assert f"what was known on {AS_OF - timedelta(days=1)}, the as-of day: history: " in card
    assert "Of anomalies injected into the last 14 days" in card
    assert "as many flags thrown at random would find at most" in card
    run = runtime.mlflow.get_run(champion_of(runtime, DETECTOR).run_id)
    assert {given.dataset.name for given in run.inputs.dataset_inputs} >= {"history", "events", "peers"}


def test_without_a_detector_it_says_what_to_run(database_url: URL, mlflow_store: Path, tmp_path: Path) -> None:
    shutil.copy(mlflow_store, tmp_path)
    with Runtime(settings_for(database_url, tmp_path, "http://127.0.0.1:9")) as runtime:
        with pytest.raises(NoChampionError, match="materialize anomaly_detector first"):
            score_day(runtime, ANOMALIES, AS_OF, run_id="test")
        assert "no usage is stored" in train(runtime, AS_OF)["trained"]
