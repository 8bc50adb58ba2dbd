"""What the day's predictions have in common: computed once a run, the same as if each computed it, and never stale."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from polars.testing import assert_frame_equal

from ml.forecasting import ForecastModel, fit, predict
from ml.history import USAGE_SCHEMA
from ml.quota.rules import plain_rules
from resources.runtime import Runtime
from services import outlooks
from services.exhaustion import EXHAUSTIONS, load_facts
from services.forecasting import USAGE_FORECASTS, load_model
from services.inputs import HORIZON, LAST_KEY, load_history
from services.models import champion_of
from services.outlooks import Outlook, outlook_of
from services.quota import futures
from services.quota.recommending import RECOMMENDATIONS
from services.scoring import score_day
from tests.conftest import examples
from tests.fleet import AS_OF, Truth

DAY = timedelta(days=1)
TABLES = ("usage_forecasts", "exhaustions", "quota_recommendations")
LATER = (EXHAUSTIONS, RECOMMENDATIONS)


def usage(sims: int, days: int, seed: int, as_of: date) -> pl.DataFrame:
    """Usage of SIMs that begin at any time, with idle days, days without a record and days that nobody knows."""
    rng = np.random.default_rng(seed)
    rows = []
    for key in range(1, sims + 1):
        known = int(rng.choice([1, 5, 13, 30, 60, 89, 90, 91, 92, 100, days]))
        volume = rng.gamma(1.0, 3e6, known) * (rng.random(known) < rng.choice([0.1, 0.5, 1.0]))
        for back, value in enumerate(volume):
            if back == known - 1 or rng.random() > 0.05:  # the first is there, of the others some are not
                unknown = back < known - 1 and rng.random() < 0.05
                rows.append((key, as_of - back * DAY, None if unknown else int(value)))
    return pl.DataFrame(rows, schema=USAGE_SCHEMA, orient="row").sort("sim_key", "day")


@pytest.fixture(scope="module")
def model() -> ForecastModel:
    return fit(usage(60, 150, 1, AS_OF), as_of=AS_OF, horizon=HORIZON)


@settings(max_examples=examples(25), deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**31), days=st.sampled_from([20, 90, 150, 500]))
def test_an_outlook_says_what_the_whole_history_says(model: ForecastModel, seed: int, days: int) -> None:
    history = usage(12, days, seed, AS_OF)
    outlook, forecast = outlook_of(model, history, AS_OF), predict(model, history, as_of=AS_OF, horizon=HORIZON)

    assert_array_equal(outlook.ahead.paths(20), forecast.paths(20))
    keys = pl.Series("sim_key", forecast.sim_keys).cast(pl.Int32)
    for left in (0, 20_000_000, 200_000_000):  # so that every verdict comes up
        quotas = pl.DataFrame({"sim_key": keys, "quota": pl.Series([left] * len(keys), dtype=pl.Int64)})
        said = [
            plain_rules(known, quotas, as_of=AS_OF, price_per_mb=1.5)
            for known in (history, outlook.recent_history(AS_OF))
        ]
        assert_frame_equal(said[1], said[0], check_exact=True)

    # as it is staged, divided and put together again
    halves = [outlook_of(model, history.filter((pl.col("sim_key") % 2) == odd), AS_OF).to_frame() for odd in (0, 1)]
    # a sum over more columns may be rounded another way
    assert_frame_equal(pl.concat(halves).sort("sim_key"), outlook.to_frame(), rel_tol=1e-9)
    again = Outlook.from_frame(pl.concat([outlook.to_frame()[6:], outlook.to_frame()[:6]]).sort("sim_key"), model)
    assert_frame_equal(again.to_frame(), outlook.to_frame(), check_exact=True)
    assert_array_equal(again.ahead.paths(20), forecast.paths(20))


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The keys of the SIMs whose history is read for other predictions than forecasts."""
    keys: list[int] = []

    def noted(database: Any, as_of: date, sim_keys: list[int]) -> pl.DataFrame:
        keys.extend(sim_keys)
        return load_history(database, as_of, sim_keys)

    monkeypatch.setattr(outlooks, "load_history", noted)
    monkeypatch.setattr(futures, "load_history", noted)
    return keys


def stored(truth: Truth) -> dict[str, list[dict[str, Any]]]:
    """All that was predicted, but for when and by which scoring."""
    hidden = {"scoring_id", "recommendation_id", "created_at"}
    rows = {name: truth.rows(f"SELECT * FROM predictions.{name} ORDER BY sim_key, as_of") for name in TABLES[1:]}
    return {name: [{k: v for k, v in row.items() if k not in hidden} for row in of] for name, of in rows.items()} | {
        "fleet": truth.rows("SELECT content FROM predictions.quota_fleet")
    }


def begin(truth: Truth) -> None:
    truth.run("DELETE FROM ops.scored_sims")
    for name in (*TABLES, "quota_fleet"):
        truth.run(f"DELETE FROM predictions.{name}")


@pytest.mark.timescaledb
def test_a_run_reads_and_forecasts_a_sim_once_unless_its_data_change(
    filled: tuple[Runtime, Truth], read: list[int]
) -> None:
    runtime, truth = filled
    waiting = "SELECT count(*) FROM ops.staged_values WHERE name LIKE 'outlook of %' AND work_id = 'day'"
    spent = set(truth.column("SELECT sim_key FROM predictions.exhaustions WHERE status IN ('exhausted', 'expired')"))
    sims = set(truth.column("SELECT DISTINCT sim_key FROM predictions.usage_forecasts"))
    begin(truth)
    # both tasks say the same of automatic top-ups, each by its own query
    which = {"as_of": AS_OF, "first_key": 0, "last_key": LAST_KEY}
    topups = runtime.database.frame("topups[topup_habit]", futures.TOPUP_SCHEMA, which)
    assert_frame_equal(topups, load_facts(runtime.database, AS_OF).select(topups.columns))
    assert topups["topup"].count() > 0

    score_day(runtime, USAGE_FORECASTS, AS_OF, run_id="day")
    assert truth.one(waiting) == 1
    # a correction that comes in between
    busy = min(sims - spent)
    truth.rows("UPDATE core.sim_usage SET bytes = bytes + 9000000 WHERE sim_key = %s AND day = %s", (busy, AS_OF - DAY))
    score_day(runtime, EXHAUSTIONS, AS_OF, run_id="day")
    assert read == [busy]
    read.clear()
    score_day(runtime, RECOMMENDATIONS, AS_OF, run_id="day")
    assert busy in read
    assert set(read) <= {busy} | spent, "of SIMs without volume the history counts as it would have been"
    assert truth.one(waiting) == 0, "nothing looks at it any more"
    together = stored(truth)

    begin(truth)
    read.clear()
    for task in LATER:
        score_day(runtime, task, AS_OF, run_id=f"{task.name} alone")
    assert set(read) == sims
    assert stored(truth) == together


def test_what_another_version_forecast_is_not_taken(filled: tuple[Runtime, Truth], read: list[int]) -> None:
    runtime, truth = filled
    begin(truth)
    score_day(runtime, USAGE_FORECASTS, AS_OF, run_id="day")
    truth.run(
        "UPDATE ops.staged_values SET name = replace(name, 'version 1', 'version 2') WHERE name LIKE 'outlook of %'"
    )

    score_day(runtime, EXHAUSTIONS, AS_OF, run_id="day")

    assert set(read) == set(load_history(runtime.database, AS_OF)["sim_key"])
    assert load_model(runtime, champion_of(runtime)).horizon == HORIZON
