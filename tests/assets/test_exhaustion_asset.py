"""Exhaustion dates are published only when the fleet's own past bears them out; what else they rest on."""

from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

import services.exhaustion as under_test
from assets.exhaustion import CHECK, exhaustion_backtested, quota_exhaustions
from assets.scoring_ops import IO_MANAGER, StagedValues
from ml.exhaustion.backtest import ExhaustionBacktest
from resources.runtime import Runtime
from services.exhaustion import EXHAUSTIONS, load_facts
from services.scoring import score_day
from tests.fleet import AS_OF, Truth, at

DAY = timedelta(days=1)


def materialized(runtime: Runtime) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [exhaustion_backtested, quota_exhaustions],
        partition_key=AS_OF.isoformat(),
        resources={"runtime": runtime, IO_MANAGER: StagedValues(runtime)},
        raise_on_error=False,
    )


def the_check(result: dg.ExecuteInProcessResult) -> Any:
    (found,) = result.get_asset_check_evaluations()
    assert found.check_name == CHECK
    return found


def test_a_sound_backtest_is_stored_with_its_figures_and_dates_are_published(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    truth.rows("DELETE FROM predictions.exhaustion_backtests")

    result = materialized(runtime)

    assert result.success
    found = the_check(result)
    assert found.passed
    assert {"P10 to P90 covered", "SIM-windows", "stated and achieved probability"} <= found.metadata.keys()
    (row,) = truth.rows("SELECT * FROM predictions.exhaustion_backtests")
    assert (row["as_of"], row["status"]) == (AS_OF, "ok")
    assert row["lowest"] <= row["coverage_80"] <= row["highest"]
    assert row["achieved"][0] == 0
    assert row["achieved"][-1] == 1
    assert found.metadata["P10 to P90 covered"].value == pytest.approx(row["coverage_80"], abs=1e-4)


def test_dates_that_the_past_does_not_bear_out_are_not_published(
    filled: tuple[Runtime, Truth], monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, truth = filled
    truth.rows("DELETE FROM predictions.exhaustions")

    def narrow(*args: Any, **options: Any) -> ExhaustionBacktest:
        tested = real(*args, **options)
        return ExhaustionBacktest(tested.scores, tested.calibration, 0.99, 1.0, tested.status, tested.note)

    real = under_test.exhaustion_backtest
    monkeypatch.setattr(under_test, "exhaustion_backtest", narrow)
    result = materialized(runtime)

    assert not the_check(result).passed
    assert not truth.rows("SELECT FROM predictions.exhaustions")


def test_an_automatic_top_up_is_known_by_its_events_and_sms_by_their_counts(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    truth.rows("DELETE FROM core.sim_events WHERE event_type ILIKE '%%quota%%'")
    for sim, order in (
        (3, ("threshold of 20%", "topped up")),
        (4, ("threshold of 20%", "status changed to EXHAUSTED", "topped up")),
    ):
        for hour, what in enumerate(order):
            truth.rows(
                "INSERT INTO core.sim_events (organization_id, sim_key, occurred_at, event_type)"
                " SELECT organization_id, sim_key, %s::date + make_interval(hours => %s), %s FROM core.sims WHERE "
                "sim_key = %s",
                (AS_OF - DAY, hour, f"Data quota {what}", sim),
            )
    facts = {row["sim_key"]: row for row in load_facts(runtime.database, AS_OF).iter_rows(named=True)}
    assert facts[3]["topup"] > 0
    assert facts[3]["topup_at"] > 0
    assert facts[4]["topup"] is None
    counted = truth.rows(
        "SELECT sim_key, sum(sms_mt + sms_mo)::integer AS messages FROM core.sim_usage WHERE day <= %s AND day > %s "
        "GROUP BY 1",
        (AS_OF, AS_OF - 182 * DAY),
    )
    assert {row["sim_key"]: row["messages"] for row in counted}.items() <= {
        key: row["sms_messages"] for key, row in facts.items()
    }.items()
    used = truth.rows(
        "SELECT sim_key, sum(bytes)::bigint AS used FROM core.sim_usage"
        " WHERE day <= %(day)s AND day >= date_trunc('month', %(day)s::date + 1) GROUP BY 1",
        {"day": AS_OF},
    )
    assert all(facts[row["sim_key"]]["used_this_month"] == row["used"] for row in used)


def test_a_monthly_limit_by_the_settings_is_forecast(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    with at(runtime, runtime.clock(), monthly_limit_mb=2.0) as limited:
        score_day(limited, EXHAUSTIONS, AS_OF, run_id="limited")
    rows = truth.rows("SELECT p_limit, limit_date FROM predictions.exhaustions WHERE p_limit IS NOT NULL")
    assert {row["p_limit"] for row in rows} >= {0.0, 1.0}
    assert all((row["limit_date"] is not None) == (row["p_limit"] >= 0.5) for row in rows)
