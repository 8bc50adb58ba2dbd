"""A new model is one spec beside its pure code: a toy one is trained by an asset, listed, trained again on other data
and taken back.
"""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import dagster as dg
import pytest
from typer.testing import CliRunner

from assets.common import DAYS, RuntimeParam, as_metadata
from pipelines.cli import app
from resources.runtime import Runtime
from services import model_specs
from services.inputs import load_sample
from services.known_models import spec_of, specs
from services.model_specs import Champion, Log, Metric, ModelSpec, Trained, TrainingInputs, register
from services.models import champion_of, registry_of, train_and_register
from tests.fleet import AS_OF, Truth

TOY = "toy"


def read(values: dict[str, Any]) -> float:
    return float(values["mean"])


def inputs(runtime: Runtime, as_of: date) -> TrainingInputs:
    return TrainingInputs({"history": load_sample(runtime, as_of)}, {"unit": "bytes"})


def mean_bytes(runtime: Runtime, as_of: date, given: TrainingInputs, champion: Champion | None, log: Log) -> Trained:
    """The mean bytes of a SIM-day."""
    per_sim = given.frames["history"].group_by("sim_key").mean().select("sim_key", "bytes")
    mean = float(per_sim["bytes"].to_numpy().mean())
    log(f"mean of {per_sim.height} SIMs")
    before = champion.read() if champion else None
    return Trained(
        model={"mean": mean},
        metrics={"mean_mb": mean / 1e6},
        role="champion",
        why="the first" if before is None else f"it was {before:.0f}",
        comparison={} if before is None else {"before_mb": before / 1e6},
        frames={"means.csv": per_sim},
        metadata={"SIMs": per_sim.height},
    )


@dg.asset(partitions_def=DAYS)
def toy_model(context: dg.AssetExecutionContext, runtime: RuntimeParam) -> dg.MaterializeResult[None]:
    as_of = date.fromisoformat(context.partition_key)
    return dg.MaterializeResult(
        metadata=as_metadata(context, train_and_register(runtime, spec_of(TOY), as_of, log=context.log.info))
    )


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> ModelSpec:
    monkeypatch.setattr(model_specs, "_SPECS", dict(model_specs._SPECS))
    return register(
        ModelSpec(
            name=TOY,
            asset="toy_model",
            read=read,
            inputs=inputs,
            train=mean_bytes,
            metrics=(Metric("mean MB", "mean_mb", ".3f", "of a SIM's day"),),
            card="The mean of a SIM's day.",
        )
    )


def materialized(runtime: Runtime) -> dict[str, Any]:
    """The metadata of a Dagster run of the toy's asset."""
    with dg.DagsterInstance.ephemeral() as instance:
        run = dg.materialize(
            [toy_model], instance=instance, partition_key=AS_OF.isoformat(), resources={"runtime": runtime}
        )
        (made,) = run.asset_materializations_for_node("toy_model")
    return {name: value.value for name, value in made.metadata.items()}


def test_a_toy_model_is_trained_listed_and_taken_back(
    filled: tuple[Runtime, Truth], toy: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, truth = filled
    monkeypatch.setattr("pipelines.cli.models.load_settings", lambda: runtime.settings)
    assert {spec.asset for spec in specs()} == {
        "usage_forecaster",
        "anomaly_detector",
        "churn_model",
        "quota_policy",
        "ticket_classifier",
        "toy_model",
    }

    first = materialized(runtime)
    assert (first["model version"], first["role"], first["SIMs"]) == (1, "champion: the first", 39)
    assert materialized(runtime)["trained"] == "no: this version was trained on the same data"
    assert first["MLflow run"].startswith("http://127.0.0.1:5000/#/experiments/")
    run_id = first["MLflow run"].rpartition("/")[2]
    run = runtime.mlflow.get_run(run_id)
    assert run.data.params["unit"] == "bytes"
    assert {file.path for file in runtime.mlflow.list_artifacts(run_id)} == {
        "model.json",
        "means.csv",
    }
    assert str(runtime.mlflow.get_model_version(TOY, "1").description).startswith(toy.card)
    assert runtime.mlflow.get_registered_model(TOY).description == toy.card

    truth.rows("UPDATE core.sim_usage SET bytes = bytes + 1000000 WHERE sim_key = 2")
    second = materialized(runtime)
    assert second["model version"] == 2
    assert second["mean_mb"] > first["mean_mb"]
    assert second["compared before_mb"] == first["mean_mb"]
    assert champion_of(runtime, TOY).version == 2

    shown = CliRunner().invoke(app, ["models"]).output
    assert "mean MB: of a SIM's day" in shown
    assert f"{second['mean_mb']:.3f}" in shown
    listed = json.loads(CliRunner().invoke(app, ["models", "--json"]).output)
    assert [(row["version"], row["role"]) for row in listed if row["model"] == TOY] == [(2, "champion"), (1, "retired")]

    said = CliRunner().invoke(app, ["rollback", "--model", TOY, "--by", "me"])
    assert "toy: version 1 is champion again, in place of version 2" in said.output
    champion = champion_of(runtime, TOY)
    assert champion.version == 1
    assert read(registry_of(runtime, TOY).load(champion)) / 1e6 == pytest.approx(first["mean_mb"], abs=1e-4)
    (kept,) = truth.rows("SELECT * FROM predictions.promotions_v1 WHERE model_name = 'toy' AND from_version = 2")
    assert (kept["model_version"], kept["decided_by"]) == (1, "me")


def test_a_version_is_registered_while_no_other_is_and_then_ends_the_runs_of_killed_processes(
    filled: tuple[Runtime, Truth], toy: ModelSpec
) -> None:
    runtime, truth = filled
    run_id = runtime.mlflow.create_run(registry_of(runtime, TOY)._experiment()).info.run_id
    waiting = (
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = ("
        "SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    with ThreadPoolExecutor(1) as pool:
        with runtime.database.transaction() as other:
            other.rows("lock_registering", {"model_name": TOY})
            training = pool.submit(train_and_register, runtime, toy, AS_OF)
            while truth.one(waiting) == 0:
                assert not training.done(), training.result()
                time.sleep(0.05)
            assert runtime.mlflow.get_run(run_id).info.status == "RUNNING"
        assert training.result()["model version"] == 1
    assert runtime.mlflow.get_run(run_id).info.status == "KILLED"


def test_a_model_that_there_is_not_is_named_with_those_there_are() -> None:
    said = CliRunner().invoke(app, ["rollback", "--model", "toy"])
    assert said.exit_code == 2
    assert "there is no model toy" in said.output
