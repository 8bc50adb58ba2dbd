"""The Dagster code location: what it lists, when it runs what, and that its jobs and sensors do what they say."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._utils.error import serializable_error_info_from_exc_info
from dagster_shared.error import SerializableErrorInfo
from sqlalchemy import URL

from assets.common import AS_OF_DAYS, DAYS, SHOWN_WIDTH, as_metadata
from ml.plots.figures import new_figure
from pipelines import definitions
from pipelines.common import as_of_day, cause
from pipelines.definitions import code_location
from pipelines.runs import days_shown
from pipelines.schedules import daily_predictions, due_training, hourly_ingest, timed_trainings
from pipelines.sensors import landing_folder, pipeline_watch
from resources.database.server import DatabaseUnavailableError
from resources.runtime import Runtime
from resources.settings import Settings
from services.known_models import specs
from services.quality.suites import SUITES
from tests.fleet import AS_OF, CORE, NOW, TODAY, Account, Truth, ingest, settings_for

GROUPS = {
    *("from_1nce", "files_and_stream", "usage", "sim_states", "usage_forecasts", "running_out", "anomalies", "churn"),
    *("recommendations", "support_tickets", "alerts", "reports", "maintenance"),
}
GOOD = "iccid,day,mb\n{iccid},2025-09-01,1.5\n{iccid},2025-09-02,much\n"


@pytest.fixture
def runtime(database_url: URL, tmp_path: Path) -> Iterator[Runtime]:
    with Runtime(settings_for(database_url, tmp_path, "http://127.0.0.1:9")) as opened:
        yield opened


@pytest.fixture
def location(runtime: Runtime) -> dg.Definitions:
    return code_location(runtime)


@contextmanager
def run(
    location: dg.Definitions, job: str, **how: Any
) -> Iterator[tuple[dg.ExecuteInProcessResult, dg.DagsterInstance]]:
    config = {"loggers": {"terminal": {}}} | how.pop("run_config", {})
    with dg.DagsterInstance.ephemeral() as instance:
        job_def = location.resolve_job_def(job)
        yield job_def.execute_in_process(instance=instance, raise_on_error=False, run_config=config, **how), instance


def test_the_code_location_loads(location: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(location)
    dg.Definitions.validate_loadable(definitions.defs)


def test_every_asset_says_what_it_is_whose_it_is_and_what_it_is_made_with(location: dg.Definitions) -> None:
    specs = list(location.resolve_all_asset_specs())

    assert len(specs) > 10
    for spec in specs:
        name = spec.key.to_user_string()
        said, red, then = (spec.description or "").partition("\n\nIf it is red: ")
        assert len(said) > 20, name
        assert red, f"{name} does not say what to do when it is red"
        assert re.search(r"\S.{40,}\.$", then, re.DOTALL), name
        assert spec.group_name in GROUPS, name
        assert spec.owners, name
        assert spec.kinds, name
        table = spec.metadata.get("dagster/table_name")
        assert table is None or "." in table, name


def test_an_asset_shows_the_columns_of_its_table_as_the_database_has_them(
    location: dg.Definitions, database_url: URL
) -> None:
    truth = Truth(database_url)
    for spec in location.resolve_all_asset_specs():
        table = spec.metadata.get("dagster/table_name")
        if table is None:
            continue
        shown = spec.metadata["dagster/column_schema"]
        assert isinstance(shown, dg.TableSchema)
        known = truth.rows(
            "SELECT attname, atttypid::regtype::text AS kind, col_description(attrelid, attnum) AS said"
            " FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
            (table,),
        )
        assert [one.name for one in shown.columns] == [row["attname"] for row in known], table
        kinds = [truth.one("SELECT %s::regtype::text", (one.type,)) for one in shown.columns]
        assert kinds == [row["kind"] for row in known], table
        assert [one.description for one in shown.columns] == [row["said"] for row in known], table
        assert all(one.description for one in shown.columns), table
    truth.close()


def test_every_core_table_is_an_asset(location: dg.Definitions) -> None:
    tables = {spec.metadata.get("dagster/table_name") for spec in location.resolve_all_asset_specs()}

    assert {f"core.{name}" for name in CORE} <= tables


def test_every_job_schedule_and_sensor_has_a_description(location: dg.Definitions) -> None:
    repository = location.get_repository_def()

    jobs = [job for job in repository.get_all_jobs() if not job.name.startswith("__")]
    assert {job.name for job in jobs} == {
        "ingest",
        "predict",
        "train",
        "score",
        "rescore",
        "import_file",
        "process_stream",
        "read_stream_files",
        "tidy",
        "measure_savings",
        "make_reports",
        "alert_rules",
        "notify",
        "refresh_sims",
        "send_actions",
    }
    described = {one.name: one.description for one in jobs}
    described |= {one.name: one.description for one in repository.schedule_defs}
    described |= {one.name: one.description for one in repository.sensor_defs}
    assert {name for name, description in described.items() if not description} == set()


def test_predict_checks_the_data_before_it_works_with_it(location: dg.Definitions) -> None:
    dependencies = location.resolve_job_def("predict").graph.dependencies
    upstream = {
        node.name: {one.node for dependency in inputs.values() for one in dependency.get_node_dependencies()}
        for node, inputs in dependencies.items()
    }

    assert "usage_history_usage_is_complete" in upstream["usage_forecaster"]
    assert "sim_quota_quotas_are_sound" in upstream["quota_exhaustions"]
    assert "sim_quota_quotas_are_sound" not in upstream["usage_forecasts"]
    assert not {"sims", "sim_usage", "sim_quota"} & set(upstream), "predict asks 1NCE nothing"


def test_what_alerts_wait_for_runs_in_one_process(location: dg.Definitions) -> None:
    for job in ("process_stream", "notify"):
        assert location.resolve_job_def(job).executor_def.name == "in_process"


def test_the_daily_scoring_uses_the_champion_there_is(location: dg.Definitions) -> None:
    nodes = {node.name for node in location.resolve_job_def("score").graph.nodes}

    assert {
        "usage_forecasts",
        "quota_exhaustions",
        "forecast_drift",
        "anomalies",
        "alerts",
        "alert_rules_evaluated",
        "fleet_report",
    } <= nodes
    assert "aggregate_forecasts" in nodes
    assert not {"usage_forecaster", "anomaly_detector"} & nodes
    again = {node.name for node in location.resolve_job_def("rescore").graph.nodes}
    assert not {"aggregate_forecasts", "usage_forecaster", "anomaly_detector"} & again, (
        "a correction is not worth these again"
    )
    assert {node.name for node in location.resolve_job_def("train").graph.nodes} == {
        "usage_history",
        "usage_history_usage_is_complete",
        "usage_forecaster",
        "anomaly_detector",
        "churn_model",
        "quota_policy",
        "ticket_classifier",
    }


def due(request: Any) -> set[str]:
    """The models that a request trains."""
    assert isinstance(request, dg.RunRequest)
    return {key.to_user_string() for key in request.asset_selection or []} - {"usage_history"}


def test_a_training_is_due_without_a_version_and_a_week_after_the_newest(runtime: Runtime, database_url: URL) -> None:
    def asked(day: int) -> dg.RunRequest | dg.SkipReason:
        at = datetime(2025, 9, day, 1, tzinfo=UTC)
        context = dg.build_schedule_context(scheduled_execution_time=at, resources={"runtime": runtime})
        found = due_training(context)
        assert isinstance(found, dg.RunRequest | dg.SkipReason)
        return found

    first = asked(10)
    assert isinstance(first, dg.RunRequest)
    assert first.partition_key == "2025-09-08"
    truth = Truth(database_url)
    assert due(first) == {spec.asset for spec in specs()}
    waiting = {spec.name: spec.asset for spec in specs()}
    for model in list(waiting):
        assert due(asked(15)) == set(waiting.values())
        del waiting[model]
        truth.rows(
            "INSERT INTO predictions.backtests (organization_id, model_name, model_version, run_id, as_of, role, "
            "metrics, created_at)"
            " VALUES (1, %s, 1, 'r', '2025-09-08', 'champion', '{}', now())",
            (model,),
        )
    truth.close()
    assert isinstance(asked(16), dg.SkipReason)
    assert "usage_forecaster" in due(asked(17))
    assert "anomaly_detector" not in due(asked(17)), "it has its Monday, and a day more"
    assert "anomaly_detector" in due(asked(18))


def test_the_detector_is_trained_alone_on_mondays_at_three(runtime: Runtime) -> None:
    (monday,) = [one for one in timed_trainings if one.cron_schedule == "0 3 * * 1"]
    at = datetime(2025, 9, 15, 3, tzinfo=UTC)
    request = monday(dg.build_schedule_context(scheduled_execution_time=at, resources={"runtime": runtime}))

    assert isinstance(request, dg.RunRequest)
    assert (request.partition_key, due(request)) == ("2025-09-13", {"anomaly_detector"})


@pytest.mark.parametrize(
    ("at", "partition"),
    [
        (datetime(2025, 9, 24, 0, 5, tzinfo=UTC), "2025-09-24"),
        (datetime(2025, 9, 24, 23, 5, tzinfo=UTC), "2025-09-24"),
        (datetime(2025, 12, 31, 23, 5, tzinfo=UTC), "2025-12-31"),
    ],
)
def test_the_hourly_ingest_asks_for_the_day_that_it_runs_on(runtime: Runtime, at: datetime, partition: str) -> None:
    context = dg.build_schedule_context(scheduled_execution_time=at, resources={"runtime": runtime})

    request = hourly_ingest(context)

    assert isinstance(request, dg.RunRequest)
    assert request.partition_key == partition
    assert hourly_ingest.cron_schedule == "5 * * * *"
    assert hourly_ingest.execution_timezone == "UTC"


@pytest.mark.parametrize(("lateness_days", "partition"), [(0, "2025-09-23"), (1, "2025-09-22"), (3, "2025-09-20")])
def test_the_daily_predictions_are_as_of_the_last_complete_day(
    runtime: Runtime, lateness_days: int, partition: str
) -> None:
    runtime.settings.lateness_days = lateness_days
    at = datetime(2025, 9, 24, 2, tzinfo=UTC)

    resources = {"runtime": runtime}
    request = daily_predictions(dg.build_schedule_context(scheduled_execution_time=at, resources=resources))

    assert isinstance(request, dg.RunRequest)
    assert request.partition_key == partition
    assert Runtime(runtime.settings.model_copy(update={"now": at})).last_complete_day() == date.fromisoformat(partition)
    assert daily_predictions.cron_schedule == "0 2 * * *"


def test_the_as_of_day_is_the_one_the_runtime_knows() -> None:
    runtime = Runtime(Settings(now=NOW, _env_file=None))
    assert as_of_day(runtime, NOW) == runtime.last_complete_day() == AS_OF


def test_the_days_a_schedule_asks_for_are_partitions() -> None:
    assert DAYS.has_partition_key(TODAY.isoformat())
    assert DAYS.has_partition_key(datetime.now(UTC).date().isoformat()), "the present day is one, before it ends"


def requests(runtime: Runtime) -> list[dg.RunRequest | dg.SkipReason]:
    return list(landing_folder(dg.build_sensor_context(resources={"runtime": runtime})))  # type: ignore[arg-type]


def test_a_file_that_arrives_is_imported_once_and_again_when_it_changes(runtime: Runtime) -> None:
    folder = runtime.settings.landing_folder
    (nothing,) = requests(runtime)
    assert isinstance(nothing, dg.SkipReason)
    assert "no CSV, XLSX or Parquet file in" in str(nothing.skip_message)
    folder.mkdir()
    (folder / "usage.csv").write_text("iccid,day,mb\n")
    (folder / "notes.txt").write_text("not a usage file")

    (first,) = requests(runtime)
    (same,) = requests(runtime)
    (folder / "usage.csv").write_text("iccid,day,mb\n8988228066000000001,2025-09-01,1\n")
    (folder / "more.csv").write_text("iccid,day,mb\n")
    more, changed = requests(runtime)

    # Dagster starts one run a run key
    keys = [request.run_key for request in (first, same, more, changed) if isinstance(request, dg.RunRequest)]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
    assert isinstance(changed, dg.RunRequest)
    assert {"ops": changed.run_config["ops"]} == {"ops": {"imported_files": {"config": {"path": "usage.csv"}}}}


def test_a_file_that_a_user_named_in_capitals_is_imported(runtime: Runtime) -> None:
    case = Path(__file__).parent.parent / "cases" / "27-landing-uppercase" / "LABELS-Nov.CSV"
    runtime.settings.landing_folder.mkdir()
    shutil.copy(case, runtime.settings.landing_folder)
    (request,) = requests(runtime)
    assert isinstance(request, dg.RunRequest)
    assert request.run_config["ops"] == {"imported_files": {"config": {"path": case.name}}}


def test_a_table_is_found_by_its_ending_in_any_capitals_and_what_is_not_imported_is_said_once(runtime: Runtime) -> None:
    folder = runtime.settings.landing_folder
    folder.mkdir()
    (folder / "notes.txt").write_text("x")
    context = dg.build_sensor_context(resources={"runtime": runtime})
    (nothing,) = landing_folder(context)  # type: ignore[misc]
    assert isinstance(nothing, dg.SkipReason)
    assert "notes.txt is not imported: its name does not end with .csv, .xlsx or .parquet" in str(nothing.skip_message)

    for name in ("LABELS-Nov.CSV", "Sims.XLSX", "usage.Parquet", "may.csv", "~$Sims.XLSX", ".hidden.csv"):
        (folder / name).write_text("x")
    found = list(landing_folder(context))  # type: ignore[call-overload]

    paths = [
        request.run_config["ops"]["imported_files"]["config"]["path"]
        for request in found
        if isinstance(request, dg.RunRequest)
    ]
    assert sorted(paths) == ["LABELS-Nov.CSV", "Sims.XLSX", "may.csv", "usage.Parquet"]
    assert len(found) == 4
    assert json.loads(context.cursor or "") == [
        "notes.txt is not imported: its name does not end with .csv, .xlsx or .parquet",
        "may.csv is imported as usage: its name begins with none of usage, sims, labels, tickets",
    ]


def test_the_import_job_lands_the_file_that_the_sensor_found(account: Account) -> None:
    runtime, truth = account.runtime, account.truth
    iccid = account.fleet.iccids[0]
    truth.rows(
        """
        INSERT INTO core.sims (organization_id, iccid, first_seen_at, changed_at)
        VALUES (ops.organization('default'), %s, now(), now())
        """,
        (iccid,),
    )
    runtime.settings.landing_folder.mkdir()
    (runtime.settings.landing_folder / "usage.csv").write_text(GOOD.format(iccid=iccid))
    (request,) = requests(runtime)
    assert isinstance(request, dg.RunRequest)

    with run(code_location(runtime), "import_file", run_config=request.run_config) as (result, _):
        (made,) = result.asset_materializations_for_node("imported_files")

    figures = {name: made.metadata[name].value for name in ("file", "rows new", "rows changed", "rows quarantined")}
    assert figures == {"file": "usage.csv", "rows new": 1, "rows changed": 0, "rows quarantined": 1}
    assert truth.column("SELECT bytes FROM core.sim_usage") == [1_500_000]


def test_the_ingest_job_brings_everything_and_its_checks_hold(account: Account) -> None:
    with run(code_location(account.runtime), "ingest", partition_key=TODAY.isoformat()) as (result, _):
        made = {
            event.asset_key.to_user_string() for event in result.get_asset_materialization_events() if event.asset_key
        }
        failed = [check.check_name for check in result.get_asset_check_evaluations() if not check.passed]

    assert result.success
    assert made == {*CORE, "usage_book"}
    assert failed == []
    for table in CORE:
        assert account.truth.one(f"SELECT count(*) FROM core.{table}") > 0, table


def test_a_range_of_days_is_one_run_and_one_request_a_sim(account: Account) -> None:
    tags = {"dagster/asset_partition_range_start": "2025-09-01", "dagster/asset_partition_range_end": TODAY.isoformat()}

    with run(code_location(account.runtime), "ingest", tags=tags) as (result, _):
        assert result.success
        made = result.asset_materializations_for_node("sim_usage")

    assert len(made) >= 1
    assert len(account.asked("usage")) == len(account.fleet.iccids)


def test_a_failed_run_is_written_down_with_what_went_wrong(runtime: Runtime, database_url: URL) -> None:
    truth = Truth(database_url)
    location = code_location(runtime)
    sensor = location.get_repository_def().get_sensor_def("run_failures")
    with run(location, "import_file", run_config={"ops": {"imported_files": {"config": {"path": "gone.csv"}}}}) as (
        result,
        instance,
    ):
        assert not result.success
        context = dg.build_run_status_sensor_context(
            sensor_name="run_failures",
            dagster_instance=instance,
            dagster_run=result.dagster_run,
            dagster_event=result.get_run_failure_event(),
            resources={"runtime": runtime},
        ).for_run_failure()

        sensor(context)
        sensor(context)

    rows = truth.rows(
        "SELECT f.*, o.slug FROM ops.run_failures AS f JOIN core.organizations AS o USING (organization_id)"
    )
    truth.close()
    (row,) = rows
    assert (row["slug"], row["run_id"], row["job"], row["failed_at"]) == ("default", result.run_id, "import_file", NOW)
    assert row["message"].startswith("imported_files: ")
    assert "gone.csv cannot be read" in row["message"]
    assert "Error" not in row["message"]


def test_the_watch_writes_down_what_runs_and_which_checks_failed(
    runtime: Runtime, location: dg.Definitions, database_url: URL
) -> None:
    repository = location.get_repository_def()
    stops, warns, good = sorted(repository.asset_graph.asset_check_keys)[:3]
    with dg.DagsterInstance.ephemeral() as instance:
        for key, passed, blocking in (
            (stops, False, True),
            (warns, False, False),
            (good, False, True),
            (good, True, True),
        ):
            instance.report_runless_asset_event(
                dg.AssetCheckEvaluation(asset_key=key.asset_key, check_name=key.name, passed=passed, blocking=blocking)
            )
        for job, status in (("score", "STARTED"), ("ingest", "STARTING"), ("ingest", "STARTED"), ("notify", "SUCCESS")):
            instance.add_run(dg.DagsterRun(job_name=job, status=dg.DagsterRunStatus[status]))
        began = datetime.now(UTC).timestamp()
        context = dg.build_sensor_context(instance, repository_def=repository, resources={"runtime": runtime})

        pipeline_watch(context)
        pipeline_watch(context)

    truth = Truth(database_url)
    (row,) = truth.rows("SELECT * FROM ops.pipeline_watch")
    truth.close()
    assert (row["seen_at"], row["failed_blocking_checks"], row["failed_checks"]) == (NOW, 1, 1)
    assert {job: count for job, (count, _) in row["runs"].items()} == {"score": 1, "ingest": 2}
    assert all(abs(since - began) < 60 for _, since in row["runs"].values())
    assert (row["newest_usage_day"], row["requests_per_hour"]) == (None, None)


def test_the_cause_of_a_failed_step_is_what_our_own_code_says_of_it_or_else_where_it_began() -> None:
    def raised(error: Exception, began: Exception) -> SerializableErrorInfo:
        try:
            raise error from began
        except Exception:
            return serializable_error_info_from_exc_info(sys.exc_info())

    ours = raised(DatabaseUnavailableError("the database is away: start it"), OSError("connection refused"))
    other = raised(RuntimeError("a step failed"), ZeroDivisionError("division by zero"))

    assert (cause(ours), cause(other)) == ("the database is away: start it", "division by zero")


def test_what_is_slow_to_load_is_loaded_only_where_it_runs(tmp_path: Path) -> None:
    slow = ["great_expectations", "mlflow", "matplotlib", "sklearn", "lightgbm", "prophet", "statsforecast", "scipy"]
    program = f"import sys, pipelines.definitions; print([name for name in {slow} if name in sys.modules])"

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "SIMSIGHT_HOME": str(tmp_path)},
    )

    assert done.stdout.strip() == "[]"
    assert list(tmp_path.iterdir()) == [], "loading the code location starts no server and makes no folder"


def test_only_predictions_have_as_of_partitions_and_a_model_has_none(location: dg.Definitions) -> None:
    partitions = {spec.key.to_user_string(): spec.partitions_def for spec in location.resolve_all_asset_specs()}

    assert {name for name, days in partitions.items() if days == DAYS} == {"sim_usage"}
    assert partitions["usage_forecaster"] is None
    assert partitions["anomaly_detector"] is None
    last = datetime.now(UTC).date() - timedelta(days=1 + Settings(_env_file=None).lateness_days)
    assert partitions["usage_forecasts"] == AS_OF_DAYS
    assert AS_OF_DAYS.get_last_partition_key() == last.isoformat(), "no day that is not complete counts as missing"


def test_the_uis_partitions_begin_where_the_data_begins(account: Account) -> None:
    runtime, truth = account.runtime, account.truth
    assert days_shown(runtime) == {
        "SIMSIGHT_FIRST_DAY": (TODAY - timedelta(days=180)).isoformat(),
        "SIMSIGHT_FIRST_AS_OF": AS_OF.isoformat(),
    }
    ingest(runtime, "sims", "usage", first_day=TODAY - timedelta(days=20))
    truth.rows(
        "INSERT INTO predictions.reports (organization_id, as_of, html, created_at) VALUES (1, '2025-09-15', '', now())"
    )
    assert days_shown(runtime) == {"SIMSIGHT_FIRST_DAY": "2025-09-04", "SIMSIGHT_FIRST_AS_OF": "2025-09-15"}
    chosen = Runtime(Settings(**runtime.settings.model_dump() | {"first_day": date(2025, 6, 1), "_env_file": None}))
    assert days_shown(chosen) == {}, "what is set stays"


def test_what_is_brought_by_the_clock_is_late_when_its_run_is_missing(location: dg.Definitions) -> None:
    policies = {spec.key.to_user_string(): spec.freshness_policy for spec in location.resolve_all_asset_specs()}

    def watched(policy: dg.FreshnessPolicy) -> set[str]:
        return {name for name, one in policies.items() if one == policy}

    def brought(job: str) -> set[str]:
        return {key.to_user_string() for key in location.resolve_job_def(job).asset_layer.selected_asset_keys}

    tidied = {"raw_landings", "kept_days", "compressed_days", "run_history"}
    assert watched(definitions.DAILY) == brought("score") | tidied
    assert watched(definitions.HOURLY) == brought("ingest")
    assert watched(definitions.MONTHLY) == {"realized_savings"}
    assert all(policies[spec.asset] == definitions.RETRAINED[spec.asset] for spec in specs())
    assert {name for name, policy in policies.items() if policy is None} == {
        *("imported_files", "stream_records", "stream_file_batches", "period_reports")
    }, "what somebody sends or asks for is never late"


def test_no_description_holds_what_the_ui_takes_for_html(location: dg.Definitions) -> None:
    repository = location.get_repository_def()
    texts = [spec.description for spec in location.resolve_all_asset_specs()]
    texts += [
        one.description for one in (*repository.get_all_jobs(), *repository.schedule_defs, *repository.sensor_defs)
    ]
    texts += [f"{suite.description} {suite.when_red}" for suite in SUITES]

    assert [text for text in texts if re.search(r"<\w+>", re.sub(r"`[^`]*`", "", text or ""))] == []


def test_a_plot_is_a_file_beside_the_logs_that_the_ui_shows_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dg.asset
    def plotted(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        figure, _ = new_figure("a plot", "")
        shown = {"days ahead": figure, "run": "http://127.0.0.1:5000/#/runs/1"}
        return dg.MaterializeResult(metadata=as_metadata(context, shown))

    monkeypatch.setenv("SIMSIGHT_DAGSTER_FOLDER", str(tmp_path))
    result = dg.materialize([plotted])
    (made,) = result.asset_materializations_for_node("plotted")

    text = made.metadata["days ahead"].value
    assert isinstance(text, str)
    found = re.fullmatch(r"\[!\[days ahead\]\(/logs/(.+)/png\)\]\(/logs/(.+)/png\)", text)
    assert found
    assert len(text) < 1000, "the UI hides longer Markdown behind a button"
    logs = LocalComputeLogManager(str(tmp_path))  # as the UI's server finds it
    shown, whole = (Path(logs.get_captured_local_path(found[n].split("/"), "png")).read_bytes() for n in (1, 2))
    assert shown.startswith(b"\x89PNG")
    assert int.from_bytes(shown[16:20]) <= SHOWN_WIDTH < int.from_bytes(whole[16:20]), "pixels of width"
    assert isinstance(made.metadata["run"], dg.UrlMetadataValue)
