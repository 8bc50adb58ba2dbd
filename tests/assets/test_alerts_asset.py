"""Alerts over a simulated fleet: opened once, kept while they hold, closed when over, and never moved backwards."""

import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL

from resources.runtime import Runtime
from services.alerts.builtin import alert_facts, evaluate_alerts
from services.exhaustion import EXHAUSTIONS
from services.forecasting import train
from services.scoring import score_day
from simulator.fleet import Fleet
from tests.fleet import AS_OF, NOW, Account, Truth, at, ingest, settings_for, simulated

DAY = timedelta(days=1)
ALERTS = ["predictions.alerts"]
# a SIM of the small fleet that runs out on 27 August and is topped up by hand on 6 September
BEFORE, DRY, TOPPED_UP = (
    datetime(2025, 8, 26, 6, tzinfo=UTC),
    datetime(2025, 9, 1, 6, tzinfo=UTC),
    datetime(2025, 9, 9, 6, tzinfo=UTC),
)
RUNS_OUT = 11
QUOTA_LEFT = "UPDATE core.sim_quota SET amount_left = %s, amount_total = 500000000 WHERE kind = 'data' AND sim_key = %s"


def alerts(truth: Truth, sim_key: int | None = None) -> list[dict[str, Any]]:
    return truth.rows(
        "SELECT * FROM predictions.alerts WHERE %(sim)s::integer IS NULL OR sim_key = %(sim)s ORDER BY alert_id",
        {"sim": sim_key},
    )


def open_kinds(truth: Truth, sim_key: int) -> dict[str, str]:
    return {row["kind"]: row["severity"] for row in alerts(truth, sim_key) if row["closed_at"] is None}


@pytest.fixture
def story(small_fleet: Fleet, database_url: URL, mlflow_store: Path, tmp_path: Path) -> Iterator[Account]:
    """The small fleet in August, trained before its SIM runs out."""
    shutil.copy(mlflow_store, tmp_path)
    with (
        simulated(small_fleet, BEFORE) as server,
        Runtime(settings_for(database_url, tmp_path, server.base_url, BEFORE)) as runtime,
    ):
        ingest(runtime, "sims", "usage", "quota", first_day=BEFORE.date() - timedelta(days=140))
        train(runtime, runtime.last_complete_day())
        truth = Truth(database_url)
        yield Account(small_fleet, server, runtime, truth)
        truth.close()


def days_pass(story: Account, now: datetime) -> dict[str, Any]:
    """Ingest, score and evaluate at a time, as the jobs do."""
    story.server.set_now(now)
    with at(story.runtime, now) as runtime:
        as_of = runtime.last_complete_day()
        ingest(runtime, "sims", "usage", "quota")
        score_day(runtime, EXHAUSTIONS, as_of, run_id=now.isoformat())
        return evaluate_alerts(runtime, as_of)


def test_a_sim_that_runs_out_is_announced_and_after_the_top_up_its_alerts_are_over(story: Account) -> None:
    iccid = story.fleet.iccids[RUNS_OUT]
    sim = story.truth.one("SELECT sim_key FROM core.sims WHERE iccid = %s", (iccid,))

    days_pass(story, BEFORE)
    announced = {row["kind"]: row for row in alerts(story.truth, sim)}
    assert set(announced) == {"exhaustion", "quota_80"}
    assert announced["exhaustion"]["value"] > 0.5
    assert announced["exhaustion"]["opened_as_of"] == date(2025, 8, 24)
    assert "most likely by 2025-08-2" in announced["exhaustion"]["message"]

    # dry: it has ended, so it will not run out, and its silence is explained
    days_pass(story, DRY)
    assert open_kinds(story.truth, sim) == {"quota_80": "critical"}
    (ended,) = [row for row in alerts(story.truth, sim) if row["kind"] == "exhaustion"]
    assert (ended["closed_as_of"], ended["closed_at"]) == (date(2025, 8, 30), DRY)
    (kept,) = [row for row in alerts(story.truth, sim) if row["kind"] == "quota_80"]
    assert (kept["alert_id"], kept["opened_as_of"]) == (announced["quota_80"]["alert_id"], date(2025, 8, 24))

    days_pass(story, TOPPED_UP)
    assert open_kinds(story.truth, sim) == {}
    assert {row["kind"]: row["closed_as_of"] for row in alerts(story.truth, sim)} == {
        "exhaustion": date(2025, 8, 30),
        "quota_80": date(2025, 9, 7),
    }


def test_an_alert_that_goes_on_is_one_row_and_is_not_opened_again(story: Account) -> None:
    first = days_pass(story, BEFORE)
    opened = {row["alert_id"]: row for row in alerts(story.truth)}
    assert first["opened"] == len(opened) > 0

    second = days_pass(story, BEFORE + DAY)

    rows = alerts(story.truth)
    assert len(rows) == len({(row["sim_key"], row["kind"]) for row in rows})
    kept = [row for row in rows if row["alert_id"] in opened and row["closed_at"] is None]
    assert second["updated"] == len(kept) > 0
    assert {row["opened_as_of"] for row in kept} == {date(2025, 8, 24)}
    assert {row["seen_as_of"] for row in kept} == {date(2025, 8, 25)}


def test_evaluating_a_day_again_or_in_blocks_changes_nothing(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    first = evaluate_alerts(runtime, AS_OF)
    before = truth.versions(ALERTS)

    again = evaluate_alerts(runtime, AS_OF)

    assert first["opened"] == len(alerts(truth)) > 0
    assert (again["opened"], again["updated"], again["closed"]) == (0, 0, 0)
    assert again["holding"] == first["opened"]
    assert truth.versions(ALERTS) == before
    with Runtime(runtime.settings.model_copy(update={"block_sims": 7})) as small:
        in_blocks, at_once = (alert_facts(one, AS_OF).sort("sim_key") for one in (small, runtime))
    assert in_blocks.equals(at_once)


def test_a_day_before_the_last_one_changes_nothing(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    truth.rows(QUOTA_LEFT, (10_000_000, 2))
    evaluate_alerts(runtime, AS_OF)
    truth.rows(QUOTA_LEFT, (400_000_000, 2))
    evaluate_alerts(runtime, AS_OF + DAY)
    assert "quota_80" not in open_kinds(truth, 2)
    before = truth.versions(ALERTS)
    truth.rows(QUOTA_LEFT, (10_000_000, 2))

    said = evaluate_alerts(runtime, AS_OF)

    assert said == {"evaluated": f"no: alerts already stand as of {AS_OF + DAY}"}
    assert truth.versions(ALERTS) == before


def test_an_alert_that_is_over_is_not_opened_by_evaluating_again_and_a_new_one_is_a_new_row(
    filled: tuple[Runtime, Truth],
) -> None:
    runtime, truth = filled
    for days, left in enumerate((10_000_000, 400_000_000, 400_000_000, 10_000_000)):
        truth.rows(QUOTA_LEFT, (left, 2))
        evaluate_alerts(runtime, AS_OF + days * DAY)
        evaluate_alerts(runtime, AS_OF + days * DAY)

    rows = [row for row in alerts(truth, 2) if row["kind"] == "quota_80"]

    assert [(row["opened_as_of"], row["closed_as_of"]) for row in rows] == [
        (AS_OF, AS_OF + DAY),
        (AS_OF + 3 * DAY, None),
    ]


def test_an_alert_that_grows_louder_stays_the_same_alert(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    truth.rows(QUOTA_LEFT, (50_000_000, 2))
    evaluate_alerts(runtime, AS_OF)
    (quiet,) = [row for row in alerts(truth, 2) if row["kind"] == "quota_80"]
    truth.rows(QUOTA_LEFT, (-5_000_000, 2))

    evaluate_alerts(runtime, AS_OF + DAY)

    (loud,) = [row for row in alerts(truth, 2) if row["kind"] == "quota_80"]
    assert (quiet["severity"], loud["severity"]) == ("warning", "critical")
    assert (loud["alert_id"], loud["opened_at"]) == (quiet["alert_id"], quiet["opened_at"])
    assert loud["message"] != quiet["message"]


def silenced(truth: Truth) -> int:
    """A SIM that used to send nearly every day is made silent for its last 30 days."""
    sim: int = truth.one(
        """
        SELECT u.sim_key FROM core.sim_usage AS u JOIN predictions.exhaustions AS e USING (sim_key)
        WHERE u.bytes > 0 AND e.status = 'extrapolated' GROUP BY u.sim_key ORDER BY count(*) DESC, u.sim_key LIMIT 1
        """
    )
    truth.rows(
        "UPDATE core.sim_usage SET bytes = 0, bytes_rx = 0 WHERE sim_key = %s AND day > %s", (sim, AS_OF - 30 * DAY)
    )
    return sim


def test_a_sim_that_falls_silent_is_announced(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    sim = silenced(truth)

    evaluate_alerts(runtime, AS_OF)

    (row,) = [row for row in alerts(truth, sim) if row["kind"] == "silent"]
    assert row["value"] == 30
    assert f"since {AS_OF - 29 * DAY}" in row["message"]


@pytest.mark.parametrize(
    "reason",
    [
        "UPDATE predictions.exhaustions SET status = 'exhausted' WHERE sim_key = %s",
        "UPDATE predictions.exhaustions SET status = 'expired' WHERE sim_key = %s",
        "UPDATE core.sims SET status = 'Disabled' WHERE sim_key = %s",
    ],
    ids=["exhausted", "expired", "disabled"],
)
def test_an_ended_or_disabled_sim_is_not_called_silent(filled: tuple[Runtime, Truth], reason: str) -> None:
    runtime, truth = filled
    sim = silenced(truth)
    truth.rows(reason, (sim,))

    evaluate_alerts(runtime, AS_OF)

    assert "silent" not in open_kinds(truth, sim)


def test_a_sim_that_has_ended_will_not_run_out(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled

    evaluate_alerts(runtime, AS_OF)

    ended = truth.column("SELECT sim_key FROM predictions.exhaustions WHERE status IN ('exhausted', 'expired')")
    assert len(ended) > 1
    assert not [row for row in alerts(truth) if row["sim_key"] in ended and row["kind"] == "exhaustion"]


def test_the_thresholds_are_those_of_the_settings(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    truth.rows(QUOTA_LEFT, (200_000_000, 2))
    evaluate_alerts(runtime, AS_OF)
    assert "quota_80" not in open_kinds(truth, 2)

    with at(runtime, NOW, quota_share=0.5) as stricter:
        evaluate_alerts(stricter, AS_OF)

    (row,) = [row for row in alerts(truth, 2) if row["kind"] == "quota_80"]
    assert (row["severity"], row["threshold"]) == ("warning", 0.5)
    assert row["value"] > 0.5


def test_the_view_names_the_sim_and_the_model_behind_an_alert(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    evaluate_alerts(runtime, AS_OF)

    rows = truth.rows("SELECT * FROM predictions.alerts_v1")

    assert len(rows) == len(alerts(truth))
    assert {row["iccid"] for row in rows} <= set(truth.column("SELECT iccid FROM core.sims"))
    assert {(row["model_name"], row["model_version"], row["run_id"]) for row in rows} == {
        ("usage-forecaster", 1, "first")
    }


def test_alerts_of_one_organization_do_not_touch_anothers(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    evaluate_alerts(runtime, AS_OF)
    before = truth.versions(ALERTS)
    truth.rows("""
        INSERT INTO core.sims (organization_id, iccid, first_seen_at, changed_at)
        VALUES (ops.organization('other'), '8988228066999999999', now(), now());
    """)
    truth.rows("""
        INSERT INTO core.sim_usage (organization_id, sim_key, day, bytes, known_at)
        SELECT organization_id, sim_key, '2025-09-01', 1, now() FROM core.sims WHERE iccid = '8988228066999999999'
    """)

    with at(runtime, NOW, organization="other") as other:
        counts = evaluate_alerts(other, AS_OF + DAY)

    assert (counts["opened"], counts["closed"], counts["updated"]) == (0, 0, 0)
    assert truth.versions(ALERTS) == before
