"""Training, promotion and scoring over a simulated fleet: what is stored is what the models return, and only once."""

import json
import shutil
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import mlflow
import numpy as np
import polars as pl
import pytest
from sqlalchemy import URL

from ml.exhaustion.extrapolation import LEVEL_DAYS
from ml.exhaustion.fleet import exhaustion
from ml.forecasting import Forecast, ForecastModel, fit, predict
from ml.forecasting.backtest import Backtest
from ml.forecasting.promotion import acceptance
from ml.history import dense
from pipelines.definitions import code_location
from resources.registry import Registry, Version
from resources.runtime import Runtime
from services.exhaustion import EXHAUSTIONS, load_context, load_facts
from services.forecasting import USAGE_FORECASTS, load_model, train
from services.inputs import HORIZON, PATH_SAMPLES, NoUsageError, load_history, load_quotas
from services.model_specs import FORECASTER
from services.models import NoChampionError, champion_of
from services.scoring import score_day
from tests.fleet import AS_OF, FIRST_DAY, NOW, TODAY, Filled, Truth, at, ingest, settings_for, simulated

DAY = timedelta(days=1)
PREDICTIONS = [
    "predictions.usage_forecasts",
    "predictions.exhaustions",
    "predictions.scorings",
    "predictions.backtests",
]
FORECAST_COLUMNS = ("mean", "q025", "q10", "q50", "q90", "q975")


def registry(runtime: Runtime) -> Registry:
    return Registry(runtime.mlflow, FORECASTER, runtime.settings.organization, runtime.mlflow_artifacts)


def versions(runtime: Runtime) -> dict[int, str]:
    """Role of every registered version, as its tag says."""
    found = runtime.mlflow.search_model_versions(f"name = '{FORECASTER}'")
    return {int(version.version): version.tags["role"] for version in found}


def test_the_first_version_becomes_the_champion(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    champion = registry(runtime).champion()
    assert champion is not None

    (row,) = truth.rows("SELECT * FROM predictions.backtests")

    assert (row["model_version"], row["run_id"], row["role"]) == (champion.version, champion.run_id, "champion")
    assert (row["as_of"], row["created_at"]) == (AS_OF, NOW)
    assert 0 < row["metrics"]["rmase"] < 1
    run = runtime.mlflow.get_run(champion.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["data"] == "synthetic data"
    assert run.data.params["as_of"] == AS_OF.isoformat()
    assert run.data.metrics["rmase"] == pytest.approx(row["metrics"]["rmase"])
    files = {file.path for file in runtime.mlflow.list_artifacts(champion.run_id)}
    assert files == {"MLmodel", "model.json", "backtest.csv", "calibration.csv", "backtest.png", "coverage.png"}


def test_a_version_says_what_it_is_and_what_it_was_trained_on(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    champion = registry(runtime).champion()
    assert champion is not None
    rows, sims = truth.one("SELECT count(*) FROM core.sim_usage WHERE day <= %s", (AS_OF,)), 39

    card = str(runtime.mlflow.get_model_version(FORECASTER, str(champion.version)).description)
    (logged,) = runtime.mlflow.get_run(champion.run_id).inputs.dataset_inputs

    assert card.startswith("Forecasts the daily bytes of every SIM")
    assert f"what was known on {AS_OF}, the as-of day: history: {rows:,} rows of {sims} SIMs" in card
    assert "its 80 % interval held" in card
    assert "**Limits:** Quotas, expiry dates" in card
    assert "**Data:** synthetic data: its figures say nothing about a real fleet." in card
    (row,) = truth.rows("SELECT metrics FROM predictions.backtests WHERE model_version = %s", (champion.version,))
    assert f"| mase | {row['metrics']['mase']:.4g} | {row['metrics']['baseline_mase']:.4g} |" in card
    assert (logged.dataset.name, json.loads(str(logged.dataset.profile))) == ("history", {"num_rows": rows})
    columns = json.loads(str(logged.dataset.schema))["mlflow_colspec"]
    assert {column["name"]: column["type"] for column in columns} == {
        "sim_key": "integer",
        "day": "datetime",
        "bytes": "long",
    }
    assert [(tag.key, tag.value) for tag in logged.tags] == [("mlflow.data.context", "training")]


def test_a_champion_is_loaded_by_mlflow_and_predicts_what_is_published(
    filled: tuple[Runtime, Truth], monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, truth = filled
    monkeypatch.setenv("MLFLOW_TRACKING_URI", runtime.server.mlflow)
    usage = load_history(runtime.database, AS_OF).filter(pl.col("sim_key") < 6)
    frame = usage.with_columns(pl.col("sim_key").cast(pl.Int64), pl.col("bytes").cast(pl.Float64)).to_pandas()

    forecaster = mlflow.pyfunc.load_model(f"models:/{FORECASTER}@champion")
    forecast = pl.from_pandas(forecaster.predict(frame))

    published = truth.rows(
        "SELECT sim_key, day, mean, q50, q975 FROM predictions.usage_forecasts WHERE as_of = %s AND sim_key < 6 "
        "ORDER BY sim_key, day",
        (AS_OF,),
    )
    found = forecast.sort("sim_key", "day").select(
        "sim_key", pl.col("day").cast(pl.Date), pl.col("mean", "q0.5", "q0.975").round().cast(pl.Int64)
    )
    assert found.rows() == [tuple(row.values()) for row in published]


def test_there_is_no_empty_experiment_of_mlflows_own(filled: tuple[Runtime, Truth]) -> None:
    shown = {experiment.name for experiment in filled[0].mlflow.search_experiments()}

    assert shown == {FORECASTER}


def test_training_twice_on_the_same_data_makes_one_version(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    before = truth.versions(PREDICTIONS)

    again = train(runtime, AS_OF)

    assert again == {"model version": 1, "trained": "no: this version was trained on the same data"}
    assert versions(runtime) == {1: "champion"}
    assert truth.versions(PREDICTIONS) == before


def test_a_correction_of_one_day_makes_a_new_version_and_retires_the_champion(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    truth.rows("UPDATE core.sim_usage SET bytes = bytes + 1 WHERE sim_key = 2 AND day = %s", (AS_OF - 40 * DAY,))

    train(runtime, AS_OF)

    champion = registry(runtime).champion()
    assert champion is not None
    assert champion.version == 2
    roles = truth.rows("SELECT model_version, role FROM predictions.backtests ORDER BY 1")
    assert [(row["model_version"], row["role"]) for row in roles] == [(1, "retired"), (2, "champion")]


def test_data_after_the_as_of_day_does_not_change_a_model(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    truth.rows("UPDATE core.sim_usage SET bytes = bytes + 1000000 WHERE day > %s", (AS_OF,))

    assert "no" in train(runtime, AS_OF)["trained"]


def test_a_version_that_cannot_be_tested_is_a_challenger_and_the_champion_goes_on_scoring(
    filled: tuple[Runtime, Truth],
) -> None:
    runtime, truth = filled
    truth.rows("DELETE FROM core.sim_usage WHERE day < %s", (AS_OF - 20 * DAY,))

    trained = train(runtime, AS_OF)
    scored = score_day(runtime, USAGE_FORECASTS, AS_OF, run_id="after")

    assert trained["role"].startswith("challenger: it could not be tested")
    assert versions(runtime) == {1: "champion", 2: "challenger"}
    assert scored["model version"] == 1
    assert truth.column("SELECT role FROM predictions.backtests ORDER BY model_version") == ["champion", "challenger"]


def backtested(rmase: float, covered: float) -> Backtest:
    summary = {"rmase": rmase, "coverage_80": covered}
    return Backtest(frame=pl.DataFrame(), calibration=pl.DataFrame(), summary=summary, note="two windows")


@pytest.mark.parametrize(
    ("rmase", "covered", "role", "why"),
    [
        (0.9, 0.8, "champion", "error 0.90 times the baseline's, 80 % interval covered 80 % of unseen days"),
        (0.99, 0.7, "champion", "0.99"),
        (0.99, 0.9, "champion", "0.99"),
        (1.0, 0.8, "challenger", "its error is 1.00 times the seasonal naive baseline's"),
        (0.9, 0.69, "challenger", "covered 69 % of unseen days"),
        (0.9, 0.91, "challenger", "covered 91 % of unseen days"),
        (float("nan"), 0.8, "challenger", "nan"),
        (0.9, float("nan"), "challenger", "how many unseen days its 80 % interval covered is unknown"),
    ],
)
def test_only_a_version_that_beats_the_baseline_with_honest_intervals_may_score(
    rmase: float, covered: float, role: str, why: str
) -> None:
    found, said = acceptance(backtested(rmase, covered))

    assert found == role
    assert why in said


def test_what_could_not_be_tested_may_not_score() -> None:
    untested = replace(backtested(0.5, 0.8), summary={}, status="not_enough_history", note="no window")

    assert acceptance(untested) == ("challenger", "it could not be tested: no window")


def champion_forecast(runtime: Runtime, as_of: date) -> tuple[Version, pl.DataFrame, Forecast]:
    """The champion, the history of all SIMs and their forecast in one piece."""
    champion, history = champion_of(runtime), load_history(runtime.database, as_of)
    return champion, history, predict(load_model(runtime, champion), history, as_of=as_of, horizon=HORIZON)


@pytest.mark.timescaledb
def test_stored_forecasts_are_what_the_model_returns(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    champion, history, forecast = champion_forecast(runtime, AS_OF)

    stored = truth.rows("SELECT * FROM predictions.usage_forecasts ORDER BY sim_key, day")

    columns = ["mean", "q0.025", "q0.1", "q0.5", "q0.9", "q0.975"]
    expected = forecast.frame.sort("sim_key", "day").select("sim_key", "day", pl.col(columns).round().cast(pl.Int64))
    assert [tuple(row[name] for name in ("sim_key", "day", *FORECAST_COLUMNS)) for row in stored] == expected.rows()
    assert len(stored) == history["sim_key"].n_unique() * HORIZON
    assert {row["day"] for row in stored} == {AS_OF + k * DAY for k in range(1, HORIZON + 1)}
    again = fit(history, as_of=AS_OF, horizon=HORIZON, seed=runtime.settings.seed)
    registered = ForecastModel.from_dict(registry(runtime).load(champion))
    assert json.dumps(registered.to_dict()) == json.dumps(again.to_dict())
    assert predict(again, history, as_of=AS_OF, horizon=HORIZON).frame.equals(forecast.frame)


@pytest.mark.timescaledb
def test_stored_exhaustions_are_what_the_model_returns(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    _, history, forecast = champion_forecast(runtime, AS_OF)
    quotas = load_quotas(runtime.database, AS_OF)
    known = quotas.join(load_facts(runtime.database, AS_OF), on="sim_key", how="full", coalesce=True)
    recent = dense(history, as_of=AS_OF, lookback_days=LEVEL_DAYS).values
    expected = exhaustion(
        forecast, recent, known, AS_OF, context=load_context(runtime, AS_OF, history), samples=PATH_SAMPLES
    ).sort("sim_key")
    # published with four places
    chances = pl.col("^(sms_)?p_(7|14|30|90|limit)$")
    expected = expected.with_columns(pl.when(chances < 1).then(chances.round(4).clip(0, 0.9999)).otherwise(chances))

    stored = truth.rows("SELECT * FROM predictions.exhaustions ORDER BY sim_key")
    without_forecast = [row for row in stored if row["sim_key"] not in forecast.sim_keys]
    stored = [row for row in stored if row["sim_key"] in forecast.sim_keys]

    names = [name for name in expected.columns if name not in ("as_of", "p_volume_30", "extrapolated")]
    assert [tuple(row[name] for name in names) for row in stored] == expected.select(names).rows()
    left = dict(quotas.select("sim_key", "quota_left").iter_rows())
    assert {row["sim_key"]: row["remaining"] for row in stored} == {
        key: left.get(key) for key in forecast.sim_keys.tolist()
    }
    assert {"ok", "extrapolated", "exhausted"} <= {row["status"] for row in stored}
    assert {row["p_limit"] for row in stored} == {None}
    assert any(row["sms_p50_date"] for row in stored)
    # 1NCE no longer answers for the expired SIM: there is nothing to forecast from
    sure = [(row["status"], row["cause"], row["p_90"], row["sms_status"], row["sms_p_7"]) for row in without_forecast]
    assert sure == [("expired", "expiry", 1.0, "expired", 1.0)]


def test_a_sim_that_expired_long_ago_is_expired_whatever_usage_is_stored(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    truth.rows("DELETE FROM core.sim_quota WHERE sim_key = 2")
    truth.rows("UPDATE ops.polls SET problem = 'OnceSimExpiredError' WHERE sim_key = 2")

    score_day(runtime, EXHAUSTIONS, AS_OF, run_id="expired")

    (row,) = truth.rows("SELECT * FROM predictions.exhaustions WHERE sim_key = 2")
    assert (row["status"], row["cause"], row["p_7"], row["remaining"]) == ("expired", "expiry", 1.0, None)


@pytest.mark.timescaledb
def test_scoring_again_changes_nothing(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    before = truth.versions(PREDICTIONS)

    usage = score_day(runtime, USAGE_FORECASTS, AS_OF, run_id="second")
    ends = score_day(runtime, EXHAUSTIONS, AS_OF, run_id="second")

    assert truth.versions(PREDICTIONS) == before
    assert (usage["rows new"], usage["rows changed"], ends["rows new"], ends["rows changed"]) == (0, 0, 0, 0)


@pytest.mark.timescaledb
def test_another_day_is_scored_beside_and_leaves_the_first_as_it_was(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    before = truth.versions(["predictions.usage_forecasts", "predictions.exhaustions"])

    score_day(runtime, USAGE_FORECASTS, AS_OF - DAY, run_id="earlier")
    score_day(runtime, EXHAUSTIONS, AS_OF - DAY, run_id="earlier")

    after = truth.versions(["predictions.usage_forecasts", "predictions.exhaustions"])
    assert all(before[table] < after[table] for table in before)
    scorings = truth.rows("SELECT DISTINCT as_of, run_id FROM predictions.scorings ORDER BY as_of")
    assert [(row["as_of"], row["run_id"]) for row in scorings] == [(AS_OF - DAY, "earlier"), (AS_OF, "first")]


@pytest.mark.timescaledb
def test_a_corrected_sim_is_of_a_new_scoring_and_readers_of_changes_see_it(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    truth.rows("UPDATE core.sim_usage SET bytes = bytes + 5000000 WHERE sim_key = 2 AND day > %s", (AS_OF - 7 * DAY,))
    before = {
        task: truth.one(f"SELECT count(*) FROM predictions.{task}") for task in ("usage_forecasts", "exhaustions")
    }

    with at(runtime, NOW + timedelta(hours=3)) as later:
        scored = score_day(later, USAGE_FORECASTS, AS_OF, run_id="corrected")
        score_day(later, EXHAUSTIONS, AS_OF, run_id="corrected")

    assert scored["rows changed"] == 30, "a forecast is of one scoring, whichever of its days changed"
    for task, count in before.items():
        changed = truth.rows(
            f"SELECT iccid, run_id, created_at, count(*) AS rows FROM predictions.{task}_v1 WHERE created_at > %s "
            "GROUP BY 1, 2, 3",
            (NOW,),
        )
        (sim,) = changed
        assert sim["iccid"] == truth.one("SELECT iccid FROM core.sims WHERE sim_key = 2")
        assert (sim["run_id"], sim["created_at"]) == ("corrected", NOW + timedelta(hours=3))
        others = "SELECT count(*) FROM predictions.{}_v1 WHERE run_id = 'first' AND created_at = %s"
        assert truth.one(others.format(task), (NOW,)) == count - sim["rows"]


@pytest.mark.timescaledb
def test_the_same_values_once_more_keep_their_scoring(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled
    before = truth.versions(PREDICTIONS)
    truth.rows("UPDATE ops.scored_sims SET input_hash = input_hash + 1 WHERE input_hash < 0")
    truth.rows("UPDATE ops.scored_sims SET input_hash = input_hash - 1 WHERE input_hash > 0")

    for again, scored in (("second", True), ("third", False)):
        with at(runtime, NOW + timedelta(hours=3)) as later:
            usage = score_day(later, USAGE_FORECASTS, AS_OF, run_id=again)
            ends = score_day(later, EXHAUSTIONS, AS_OF, run_id=again)
        assert (usage["SIMs scored"] > 0, ends["SIMs scored"] > 0) == (scored, scored)
        assert truth.versions(PREDICTIONS) == before


@pytest.mark.timescaledb
def test_the_views_say_which_model_made_a_row_and_from_data_as_of_when(filled: tuple[Runtime, Truth]) -> None:
    _, truth = filled

    for view in ("usage_forecasts_v1", "exhaustions_v1"):
        rows = truth.rows(
            f"SELECT DISTINCT model_name, model_version, run_id, as_of, created_at FROM predictions.{view}"
        )
        assert [tuple(row.values()) for row in rows] == [(FORECASTER, 1, "first", AS_OF, NOW)]
    for view, table in (("usage_forecasts_v1", "usage_forecasts"), ("exhaustions_v1", "exhaustions")):
        counts = [truth.one(f"SELECT count(*) FROM predictions.{name}") for name in (view, table)]
        assert counts[0] == counts[1] > 0


def left_by_ledger(filled: Filled, runtime: Runtime, as_of: date) -> dict[int, int]:
    """What the simulated ledger says was left at the end of a day, by SIM."""
    keys = {row["sim_key"]: filled.fleet.index(row["iccid"]) for row in runtime.database.rows("sim_keys")}
    end = datetime.combine(as_of + DAY, datetime.min.time(), UTC)
    left, _ = filled.fleet.remaining(np.array(list(keys.values())), end)
    return dict(zip(keys, left.tolist(), strict=True))


@pytest.mark.timescaledb
@pytest.mark.parametrize("days_ago", [1, 2, 6])
def test_the_quota_at_a_past_day_is_what_the_ledger_says(
    filled: tuple[Runtime, Truth], filled_template: Filled, days_ago: int
) -> None:
    runtime, _ = filled
    as_of = TODAY - days_ago * DAY

    quotas = load_quotas(runtime.database, as_of)

    ledger = left_by_ledger(filled_template, runtime, as_of)
    assert quotas.height == len(ledger)
    assert dict(quotas.select("sim_key", "quota_left").iter_rows()) == {key: ledger[key] for key in quotas["sim_key"]}


def test_the_quota_at_a_past_day_is_what_the_ledger_says_when_every_day_was_observed(
    filled_template: Filled, database_url: URL, tmp_path: Path
) -> None:
    with (
        simulated(filled_template.fleet) as server,
        Runtime(settings_for(database_url, tmp_path, server.base_url)) as runtime,
    ):
        for days in range(3):
            server.set_now(NOW + days * DAY)
            with at(runtime, NOW + days * DAY) as on_that_day:
                ingest(on_that_day, "sims", "usage", "quota", first_day=FIRST_DAY)
        for as_of in (TODAY - DAY, TODAY, TODAY + DAY):
            quotas = load_quotas(runtime.database, as_of)
            ledger = left_by_ledger(filled_template, runtime, as_of)
            assert dict(quotas.select("sim_key", "quota_left").iter_rows()) == {
                key: ledger[key] for key in quotas["sim_key"]
            }


def test_without_usage_the_message_says_what_to_run(filled: tuple[Runtime, Truth]) -> None:
    runtime, truth = filled

    with pytest.raises(NoUsageError, match=r"no usage is stored up to 2020-01-01: run `simsight ingest`"):
        train(runtime, date(2020, 1, 1))
    truth.rows("DELETE FROM core.sim_usage")
    with pytest.raises(NoUsageError):
        load_history(runtime.database, AS_OF)


def test_without_a_champion_the_message_says_what_to_run(database_url: URL, mlflow_store: Path, tmp_path: Path) -> None:
    shutil.copy(mlflow_store, tmp_path)
    with (
        Runtime(settings_for(database_url, tmp_path, "http://127.0.0.1:9")) as runtime,
        pytest.raises(
            NoChampionError, match="no champion of usage-forecaster is registered: materialize usage_forecaster first"
        ),
    ):
        score_day(runtime, USAGE_FORECASTS, AS_OF, run_id="none")


def test_the_assets_report_what_they_did(filled: tuple[Runtime, Truth]) -> None:
    runtime, _ = filled
    with dg.DagsterInstance.ephemeral() as instance:
        run = (
            code_location(runtime)
            .get_implicit_global_asset_job_def()
            .execute_in_process(
                instance=instance,
                asset_selection=[dg.AssetKey("usage_forecasts"), dg.AssetKey("quota_exhaustions")],
                partition_key=AS_OF.isoformat(),
                run_config={"loggers": {"terminal": {}}},
            )
        )

    for asset in ("usage_forecasts", "quota_exhaustions"):
        (made,) = run.asset_materializations_for_node(asset)
        assert made.metadata["model version"].value == 1
        assert made.metadata["as of"].value == AS_OF.isoformat()
        assert made.metadata["rows new"].value == 0
        pictures = [value for value in made.metadata.values() if isinstance(value, dg.MarkdownMetadataValue)]
        # the picture of the fleet is that of its total, of the asset aggregate_forecasts
        plots = [] if asset == "usage_forecasts" else ["data:image/png;base64,"]
        assert [picture.value.split("(")[1][:22] for picture in pictures] == plots
