"""Forecasts held against what then happened: a level that jumps is seen within three days, a healthy fleet gives no
warning.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import URL

from assets.forecasting import forecasts_hold
from ml.forecasting.drift import SCORES_SCHEMA
from resources.runtime import Runtime
from services.forecasting import LEADS, USAGE_FORECASTS, score_drift, train
from services.models import rollback
from services.scoring import score_day
from tests.fleet import AS_OF, NOW, Filled, Truth, copied

DAY = timedelta(days=1)
TRAINED = AS_OF - 14 * DAY
BROKEN = AS_OF - 4 * DAY  # the first day on which everything is different


@pytest.fixture(scope="module")
def lived(postgres: URL, filled_template: Filled, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    """The fleet with a version trained two weeks ago, which has scored every day since."""
    home = tmp_path_factory.mktemp("lived")
    with copied(postgres, filled_template, home) as (runtime, truth):
        train(runtime, TRAINED)
        rollback(runtime, to=2, by="the tests")
        for back in range(14, 0, -1):
            score_day(runtime, USAGE_FORECASTS, AS_OF - back * DAY, run_id="daily")
        name = truth.one("SELECT current_database()")
        runtime.close()
        truth.close()
        yield Filled(name, filled_template.fleet, filled_template.base_url, home)


@pytest.fixture
def drifting(postgres: URL, lived: Filled, tmp_path: Path) -> Iterator[tuple[Runtime, Truth]]:
    with copied(postgres, lived, tmp_path) as pair:
        yield pair


def on(runtime: Runtime, day: date) -> Runtime:
    """The pipeline at two in the morning of the first day on which `day` counts as complete."""
    now = datetime.combine(day + 2 * DAY, time(2), UTC)
    return Runtime(runtime.settings.model_copy(update={"now": now}))


def check(runtime: Runtime, day: date) -> dg.AssetCheckResult:
    with on(runtime, day) as then:
        score_drift(then, day)
        found = forecasts_hold(then)
    assert isinstance(found, dg.AssetCheckResult)
    return found


def test_a_healthy_fleet_is_scored_every_day_and_gives_no_warning(drifting: tuple[Runtime, Truth]) -> None:
    runtime, truth = drifting
    for back in range(12, -1, -1):
        found = check(runtime, AS_OF - back * DAY)
        assert found.passed, (back, found.description)

    rows = truth.rows("SELECT * FROM predictions.forecast_scores_v1 WHERE horizon = '1-7' ORDER BY day")
    assert [row["day"] for row in rows] == [TRAINED + k * DAY for k in range(1, 15)]
    assert {row["model_version"] for row in rows} == {2}
    assert 0.6 < sum(row["coverage_80"] for row in rows) / len(rows) < 0.95
    assert 0.5 < sum(row["rmase"] for row in rows) / len(rows) < 1.1
    # version 1 knew AS_OF, and so its forecasts of the days before it do not count
    assert truth.one("SELECT count(DISTINCT as_of) FROM predictions.scorings WHERE model_version = 1") == 1


@pytest.mark.timescaledb
def test_a_day_is_held_against_what_was_forecast_for_it(drifting: tuple[Runtime, Truth]) -> None:
    runtime, truth = drifting
    day = AS_OF - DAY
    check(runtime, day)

    (row,) = truth.rows("SELECT * FROM predictions.forecast_scores WHERE day = %s AND horizon = '1-7'", (day,))

    held = truth.rows(
        "SELECT f.*, u.bytes, w.bytes AS naive, (SELECT sum(bytes) / 28.0 FROM core.sim_usage AS s WHERE s.sim_key = "
        "f.sim_key"
        " AND s.day >= f.day - 28 AND s.day < f.day) AS scale FROM predictions.usage_forecasts AS f"
        " JOIN core.sim_usage AS u USING (sim_key, day) LEFT JOIN core.sim_usage AS w ON w.sim_key = f.sim_key AND "
        "w.day = f.day - 7"
        " WHERE f.day = %s AND f.day - f.as_of = ANY(%s)",
        (day, [lead for lead in LEADS if lead <= 7]),
    )
    used = [one for one in held if one["scale"]]
    error = sum(abs(one["bytes"] - one["q50"]) / float(one["scale"]) for one in used) / len(used)
    naive = sum(abs(one["bytes"] - (one["naive"] or 0)) / float(one["scale"]) for one in used) / len(used)
    assert row["n"] == len(held)
    assert row["sims"] == len({one["sim_key"] for one in held})
    assert row["rmase"] == pytest.approx(error / naive)
    assert row["coverage_80"] == pytest.approx(sum(o["q10"] <= o["bytes"] <= o["q90"] for o in held) / len(held))
    assert row["bias"] == pytest.approx(sum(o["mean"] for o in held) / sum(o["bytes"] for o in held) - 1)


@pytest.mark.parametrize("factor", ["4", "0.25"])
def test_a_level_that_jumps_is_seen_within_three_days(drifting: tuple[Runtime, Truth], factor: str) -> None:
    runtime, truth = drifting
    assert check(runtime, BROKEN - DAY).passed
    truth.run(
        f"UPDATE core.sim_usage SET bytes = (bytes * {factor})::bigint, bytes_rx = NULL WHERE day >= '{BROKEN}'::date"
    )

    seen = []
    for days in range(3):
        score_day(runtime, USAGE_FORECASTS, BROKEN + days * DAY, run_id="after")  # the forecasts go on, and learn of it
        found = check(runtime, BROKEN + days * DAY)
        assert found.severity == dg.AssetCheckSeverity.WARN
        seen.append(found.passed)

    assert not all(seen), "unseen for three days"
    assert truth.one("SELECT count(*) FROM predictions.forecast_scores WHERE day >= %s", (BROKEN,)) >= 3


@pytest.mark.timescaledb
def test_days_that_are_not_closed_wait_and_a_correction_is_scored_again(drifting: tuple[Runtime, Truth]) -> None:
    runtime, truth = drifting
    later = runtime.settings.model_copy(update={"lateness_days": 3})
    with Runtime(later) as then:
        first = score_drift(then, AS_OF)
        again = score_drift(then, AS_OF)
    assert truth.one("SELECT max(day) FROM predictions.forecast_scores") == AS_OF - 2 * DAY
    assert first["days scored"] > 0
    assert again["days scored"] == 0
    frame = runtime.database.frame(
        "forecast_scores", SCORES_SCHEMA, {"model_name": "usage-forecaster", "as_of": AS_OF, "days": 30}
    )
    assert frame["promised_80"].null_count() == 0

    truth.rows(
        "UPDATE core.sim_usage SET bytes = bytes + 1, known_at = %s WHERE sim_key = 2 AND day = %s",
        (NOW + timedelta(hours=1), AS_OF - 3 * DAY),
    )
    with Runtime(later) as then:
        assert score_drift(then, AS_OF)["days scored"] == 1
