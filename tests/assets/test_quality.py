"""The quality suites on a healthy simulated fleet and with one thing broken at a time, and what a failed one stops."""

import re
from datetime import timedelta
from typing import Any, LiteralString

import dagster as dg
import polars as pl
import pytest

from assets.quality import _table
from pipelines.definitions import code_location
from resources.runtime import Runtime
from services.quality.suites import SUITES, Suite
from services.quality.validation import Validated, as_moments, validate
from tests.fleet import AS_OF, Truth

BY_NAME = {suite.name: suite for suite in SUITES}
BLOCKING = {"sims_are_sound", "usage_is_complete", "quotas_are_sound"}
TICKETS = {"ticket_classifier", "ticket_classes"}
PREDICTIONS = {
    "usage_history",
    "usage_forecaster",
    "usage_forecasts",
    "forecast_drift",
    "aggregate_forecasts",
    "exhaustion_backtest",
    "quota_exhaustions",
    "sim_lifecycle",
    "anomaly_detector",
    "anomalies",
    "alerts",
    "alert_rules_evaluated",
    "fleet_report",
    "churn_model",
    "churn_risks",
    "quota_policy",
    "quota_recommendations",
    *TICKETS,
}
FAULTS: list[tuple[str, LiteralString, str]] = [
    ("sims_are_sound", "DELETE FROM core.sims", "there are 0 rows"),
    ("sims_are_sound", "UPDATE core.sims SET status = 'Lost' WHERE sim_key = 1", "Lost"),
    ("sims_are_sound", "UPDATE core.sims SET activated_at = '2025-10-24' WHERE sim_key = 1", "2025-10-24"),
    ("devices_are_known", "UPDATE core.sims SET imei = NULL WHERE sim_key % 4 = 0", "imei"),
    ("usage_is_complete", "UPDATE ops.polls SET covered_to = '2025-09-20' "
        "WHERE source = 'usage' AND sim_key % 4 = 0", "covered"),
    ("usage_is_complete", "DELETE FROM ops.polls WHERE source = 'usage' AND sim_key % 4 = 0", "covered"),
    ("no_day_drops_out", "UPDATE core.sim_usage SET bytes = 0, bytes_rx = 0 WHERE day = '2025-09-12' AND sim_key % 4 "
        "> 0", "share_of_median"),
    ("no_day_drops_out", "DELETE FROM core.sim_usage WHERE day = '2025-09-12'", "share_of_median"),
    ("quotas_are_sound", "DELETE FROM core.sim_quota", "there are 0 rows"),
    ("quotas_are_sound", "UPDATE core.sim_quota SET amount_total = 2 * 10::bigint ^ 12 "
        "WHERE sim_key = 2", "amount_total"),
    ("quotas_are_sound", "UPDATE ops.polls SET polled_at = polled_at - interval '3 days', problem = NULL WHERE source "
        "= 'quota'; UPDATE core.sim_quota SET day = day - 3", "seen_on"),
    ("status_is_fresh", "DELETE FROM core.sim_connectivity", "there are 0 rows"),
    ("status_is_fresh", "UPDATE ops.polls SET polled_at = polled_at - interval '3 days' WHERE source = 'status'; "
        "UPDATE core.sim_connectivity SET day = day - 3", "seen_on"),
    ("events_are_sound", "UPDATE core.sim_events SET severity = 'Odd' WHERE sim_key = 2", "Odd"),
    ("events_are_sound", "INSERT INTO core.sim_events SELECT sim_key, occurred_at + interval '60 days', event_type, "
        "organization_id FROM core.sim_events WHERE sim_key = 2", "occurred_on"),
    ("events_are_known", "UPDATE core.sim_events SET event_type = 'Something new', record_id = sim_key "
        "WHERE (sim_key, occurred_at) = (SELECT sim_key, occurred_at FROM core.sim_events "
        "ORDER BY occurred_at DESC LIMIT 1)", "Something new"),
    ("sms_are_sound", "UPDATE core.sim_sms SET direction = NULL WHERE sim_key % 2 = 0", "direction"),
    ("sms_are_sound", "UPDATE core.sim_sms SET submitted_at = '2025-10-24'", "submitted_at"),
    ("prices_are_sound", "DELETE FROM core.products", "there are 0 rows"),
    ("prices_are_sound", "UPDATE core.products SET one_time_minor = -1", "one_time_minor"),
    ("orders_are_sound", "UPDATE core.orders SET order_type = 'GIFT'", "GIFT"),
    ("orders_are_sound", "UPDATE core.orders SET ordered_at = NULL", "ordered_at"),
    ("orders_are_sound", "UPDATE core.orders SET invoice_minor = -1", "invoice_minor"),
    ("every_sim_has_a_state", "INSERT INTO core.sim_state_counts "
        "VALUES (1, '2025-09-24', 'active', 40, now())", "without_state"),
    ("tickets_are_sound", "UPDATE core.tickets SET created_at = NULL", "created_at"),
    ("tickets_are_sound", "UPDATE core.tickets SET subject = NULL", "subject"),
    ("stream_agrees_with_book", "INSERT INTO core.stream_usage (organization_id, record_id, sim_key, day, kind, "
        "started_at, ended_at, bytes, sms, known_at) SELECT organization_id, row_number() OVER (), sim_key, day, "
        "'data', day, day, bytes / 2, 0, known_at FROM core.sim_usage WHERE day > '2025-09-10'", "difference"),
    ("usage_sources_agree", "INSERT INTO core.sim_quota "
        "(organization_id, sim_key, kind, day, observed_at, amount_left) SELECT organization_id, sim_key, kind, seen, "
        "seen, (DATE '2025-09-20' - seen) * 10::bigint ^ 9 "
        "FROM core.sim_quota, (VALUES (DATE '2025-09-06'), ('2025-09-20')) AS looks (seen) WHERE kind = 'data'", "gap"),
]  # fmt: skip
QUARANTINED = """
INSERT INTO ops.quarantine (organization_id, source, record_key, reason, record, first_seen_at, last_seen_at)
SELECT ops.organization('default'), 'usage', n::text, 'broken', '{}', now(), now()
FROM generate_series(1, (SELECT count(*) / 500 FROM core.sim_usage)) AS n
"""


def outcome(runtime: Runtime, suite: Suite) -> Validated:
    frame = suite.frame(runtime)
    return validate(frame, as_moments(suite.expectations(runtime)))


def test_every_suite_holds_on_a_healthy_fleet(filled: tuple[Runtime, Truth]) -> None:
    runtime, _ = filled

    outcomes = {suite.name: outcome(runtime, suite) for suite in SUITES}

    assert {name: found.failures for name, found in outcomes.items() if not found.passed} == {}
    # there is no stream here, and one look at each quota
    assert {name for name, found in outcomes.items() if not found.rows} == {
        "stream_agrees_with_book",
        "events_are_known",
        "usage_sources_agree",
    }


@pytest.mark.parametrize(
    ("name", "fault", "said"),
    [*FAULTS, ("little_in_quarantine", QUARANTINED, "share")],
    ids=[f"{name}-{said}" for name, _, said in FAULTS] + ["little_in_quarantine"],
)
def test_a_suite_fails_when_its_fault_is_made_and_says_what_it_saw(
    filled: tuple[Runtime, Truth], name: str, fault: LiteralString, said: str
) -> None:
    runtime, truth = filled
    truth.rows("SET session_replication_role = replica")  # rows may go without those that point to them
    for statement in fault.split("; "):
        truth.rows(statement)

    found = outcome(runtime, BY_NAME[name])

    assert not found.passed
    assert any(said in failure for failure in found.failures)
    assert not any(re.search(r"exception|expect_|Timestamp|'", failure) for failure in found.failures)


def test_a_fleet_without_a_sim_is_said_in_words_a_person_knows(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    truth.rows("SET session_replication_role = replica")
    truth.rows("DELETE FROM core.sims")
    truth.rows("DELETE FROM core.sim_quota")

    run, _ = predict(runtime)

    checks = {check.check_name: check for check in run.get_asset_check_evaluations()}
    assert not checks["sims_are_sound"].passed
    assert str(checks["sims_are_sound"].description).startswith(("the 1NCE account of", "there is no SIM yet"))
    assert str(checks["quotas_are_sound"].description).startswith("no data quota is known")


def test_what_a_suite_saw_is_said_in_words(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    truth.rows("UPDATE core.orders SET order_type = 'GIFT'")
    truth.rows("DELETE FROM ops.polls WHERE source = 'usage' AND sim_key % 4 = 0")
    orders = truth.one("SELECT count(*) FROM core.orders")

    (gift,) = outcome(runtime, BY_NAME["orders_are_sound"]).failures
    (covered,) = outcome(runtime, BY_NAME["usage_is_complete"]).failures

    kinds = "FIRST_ORDER, ADDITIONAL_ORDER, TOPUP, BULK_TOPUP, TARIFF_CHANGE"
    assert gift == f"order_type is not one of {kinds} in {orders} of {orders} rows: GIFT"
    assert re.fullmatch(r"covered is not at least 0\.9 in 3 of 3 rows: 0\.\d+", covered)


def test_rows_that_cannot_be_looked_at_are_said_so_without_names_of_classes() -> None:
    (said,) = validate(pl.DataFrame({"a": [1]}), [("ExpectColumnValuesToNotBeNull", {"column": "gone"})]).failures

    assert said.startswith("gone could not be looked at: ")
    assert "Error" not in said


def test_days_are_said_as_days() -> None:
    frame = pl.DataFrame({"day": [AS_OF]})
    before = AS_OF - timedelta(days=1)
    wanted = as_moments([("ExpectColumnValuesToBeBetween", {"column": "day", "max_value": before})])

    assert validate(frame, wanted).failures == [f"day is not at most {before} in 1 of 1 rows: {AS_OF}"]


def test_every_check_says_what_to_do_when_it_is_red(filled: tuple[Runtime, Truth]) -> None:
    graph = code_location(filled[0]).resolve_asset_graph()
    said = {key.name: graph.get_check_spec(key).description or "" for key in graph.asset_check_keys}

    assert said.keys() >= {suite.name for suite in SUITES} | {"forecasts_hold", "exhaustion_dates_are_calibrated"}
    silent = [name for name, text in said.items() if not re.search(r"\.\n\nIf it is red: \S.{20,}\.$", text)]
    assert silent == []


def test_a_short_table_is_shown_by_itself_and_a_long_one_with_typed_columns() -> None:
    rows = pl.DataFrame({"day": [AS_OF, None], "bytes": [1, 2]})
    short, long = _table(rows), _table(pl.concat([rows] * 40))
    assert isinstance(short, dg.MarkdownMetadataValue)
    assert f"| {AS_OF} | 1 |" in (short.value or "")
    assert isinstance(long, dg.TableMetadataValue)
    assert [(one.name, one.type) for one in long.schema.columns] == [("day", "date"), ("bytes", "int64")]
    assert [record.data for record in long.records[:2]] == [
        {"day": AS_OF.isoformat(), "bytes": 1},
        {"day": None, "bytes": 2},
    ]


def test_every_suite_is_broken_by_one_of_the_faults_here() -> None:
    assert {name for name, _, _ in FAULTS} | {"little_in_quarantine"} == set(BY_NAME)


@pytest.mark.parametrize("kind", [pl.Int64, pl.Date, pl.Datetime("us", "UTC"), pl.String, pl.Float64])
def test_an_empty_frame_of_any_type_can_be_validated(kind: Any) -> None:
    frame = pl.DataFrame(schema={"value": kind})

    assert validate(frame, [("ExpectColumnValuesToNotBeNull", {"column": "value"})]).passed
    assert not validate(frame, [("ExpectTableRowCountToBeBetween", {"min_value": 1})]).passed


def predict(runtime: Runtime) -> tuple[dg.ExecuteInProcessResult, set[str]]:
    """A run of the job `predict`, and the prediction assets that it materialized."""
    with dg.DagsterInstance.ephemeral() as instance:
        run = (
            code_location(runtime)
            .resolve_job_def("predict")
            .execute_in_process(
                instance=instance,
                partition_key=AS_OF.isoformat(),
                raise_on_error=False,
                run_config={"loggers": {"terminal": {}}},
            )
        )
    made = {event.asset_key.to_user_string() for event in run.get_asset_materialization_events() if event.asset_key}
    return run, made


def failed(run: dg.ExecuteInProcessResult) -> dict[str, bool]:
    """The checks that failed, and whether each blocks."""
    return {check.check_name: bool(check.blocking) for check in run.get_asset_check_evaluations() if not check.passed}


def test_a_failed_blocking_check_stops_what_depends_on_its_asset_and_nothing_else(
    filled: tuple[Runtime, Truth],
) -> None:
    runtime, truth = filled
    truth.rows("DELETE FROM core.sim_quota")
    before = truth.versions(["predictions.exhaustions", "predictions.alerts", "predictions.reports"])

    run, made = predict(runtime)

    assert not run.success
    assert failed(run) == {"quotas_are_sound": True}
    assert made == PREDICTIONS - {
        "quota_exhaustions",
        "sim_lifecycle",
        "anomaly_detector",
        "anomalies",
        "alerts",
        "alert_rules_evaluated",
        "fleet_report",
        "churn_model",
        "churn_risks",
        "quota_policy",
        "quota_recommendations",
        "ticket_classes",
    }
    assert truth.versions(["predictions.exhaustions", "predictions.alerts", "predictions.reports"]) == before


def test_a_gap_in_the_usage_stops_every_prediction(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    truth.rows("UPDATE ops.polls SET covered_to = '2025-09-10' WHERE source = 'usage'")

    run, made = predict(runtime)

    assert failed(run) == {"usage_is_complete": True}
    assert made == {"usage_history", "ticket_classifier"}


def test_a_failed_check_that_does_not_block_warns_and_stops_nothing(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    truth.rows("UPDATE core.sims SET imei = NULL")
    truth.rows("UPDATE core.orders SET order_type = 'GIFT'")

    run, made = predict(runtime)

    assert run.success
    assert made == PREDICTIONS
    ran = {check.check_name for check in run.get_asset_check_evaluations()}
    assert ran == {suite.name for suite in SUITES if suite.asset != "sim_usage"} | {
        "forecasts_hold",
        "exhaustion_dates_are_calibrated",
    }
    assert failed(run) == {"devices_are_known": False, "orders_are_sound": False}  # the others passed
    severities = {check.severity for check in run.get_asset_check_evaluations() if not check.passed}
    assert severities == {dg.AssetCheckSeverity.WARN}


def test_only_what_predictions_rest_on_blocks() -> None:
    assert {suite.name for suite in SUITES if suite.blocking} == BLOCKING
    assert {suite.asset for suite in SUITES if suite.blocking} == {"sims", "usage_history", "sim_quota"}


def test_a_check_says_what_it_looked_at_in_a_unit_of_its_own(filled: tuple[Runtime, Truth]) -> None:
    runtime, _ = filled
    looked_at = {suite.name: suite.looked_at(suite.frame(runtime)) for suite in SUITES}

    assert looked_at["sims_are_sound"] == {"SIMs checked": 40}
    assert looked_at["usage_is_complete"] == {"days checked": 3}
    assert looked_at["little_in_quarantine"]["pending"] == 0
    assert looked_at["every_sim_has_a_state"].keys() == {"sims", "without_state", "difference"}
