"""The model registry over a real MLflow store in PostgreSQL."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy import URL

from resources.database.server import driver_url
from resources.registry import MODEL_FILE, Registry, Version
from resources.runtime import Runtime
from resources.settings import Settings
from tests.conftest import administer

MODEL = {"weights": [0.1, 1e-300, -3.5], "segments": {"meter": 2**53 + 1}, "note": "Stra\u00dfe"}
NAMES = count()


@pytest.fixture(scope="module")
def runtime(postgres: URL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """A runtime whose MLflow store is a database of its own; MLflow makes its tables once."""
    name = f"simsight_mlflow_{os.getpid()}"
    administer(postgres, f"CREATE DATABASE {name}")
    main = postgres.set(database=name)
    settings = Settings(
        _env_file=None,
        home=tmp_path_factory.mktemp("home"),
        database_url=main.render_as_string(hide_password=False),
        dagster_database_url=main.render_as_string(hide_password=False),
        mlflow_tracking_uri=driver_url(main, "psycopg2").render_as_string(hide_password=False),
    )
    with Runtime(settings) as opened:
        yield opened
    administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def model() -> str:
    return f"usage-forecaster-{next(NAMES)}"


@pytest.fixture
def registry(runtime: Runtime, model: str) -> Registry:
    return Registry(runtime.mlflow, model, "default", runtime.mlflow_artifacts)


@pytest.fixture
def fit(tmp_path: Path) -> Callable[..., Version]:
    def register(registry: Registry, *, role: str = "champion", fingerprint: str = "f1", **more: Any) -> Version:
        (tmp_path / MODEL_FILE).write_text(json.dumps(MODEL))
        (tmp_path / "backtest.html").write_text("<p>rmase 0.8</p>")
        logged = {
            "parameters": {"as_of": "2026-03-10", "seed": 7},
            "metrics": {"rmase": 0.8},
            "why": "the first",
        } | more
        version = registry.register(folder=tmp_path, fingerprint=fingerprint, role=role, **logged)
        registry.point(role, version)
        return version

    return register


def test_without_a_version_there_is_no_champion(registry: Registry) -> None:
    assert registry.champion() is None
    assert registry.with_fingerprint("f1") is None


def test_a_fit_comes_back_as_it_was_saved(registry: Registry, runtime: Runtime, fit: Callable[..., Version]) -> None:
    version = fit(registry)
    assert registry.champion() == version
    assert registry.load(version) == MODEL
    run = runtime.mlflow.get_run(version.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"as_of": "2026-03-10", "seed": "7"}
    assert run.data.metrics == {"rmase": 0.8}
    assert {file.path for file in runtime.mlflow.list_artifacts(version.run_id)} == {MODEL_FILE, "backtest.html"}
    assert str(run.info.artifact_uri).startswith(runtime.mlflow_artifacts)


def test_loading_leaves_no_copy_of_the_model_behind(
    registry: Registry,
    fit: Callable[..., Version],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    version = fit(registry)
    temporary = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    registry.load(version)
    assert list(temporary.iterdir()) == []


def test_a_better_one_takes_the_alias_and_a_worse_one_leaves_it(
    registry: Registry, runtime: Runtime, fit: Callable[..., Version]
) -> None:
    first = fit(registry)
    challenger = fit(registry, role="challenger", fingerprint="f2", why="lost by 0.1")
    assert registry.champion() == first
    better = fit(registry, fingerprint="f3")
    assert registry.champion() == better
    assert [first.version, challenger.version, better.version] == [1, 2, 3]
    kept = runtime.mlflow.get_model_version(registry.name, "2")
    assert kept.tags == {"fingerprint": "f2", "role": "challenger", "why": "lost by 0.1"}
    assert registry.load(first) == MODEL


def test_a_version_has_no_role_until_it_is_given_one_and_an_earlier_one_can_have_it_again(
    registry: Registry, runtime: Runtime, fit: Callable[..., Version]
) -> None:
    first, second = fit(registry), fit(registry, fingerprint="f2")
    registry.point("champion", first, before=second)
    assert registry.champion() == first
    roles = [runtime.mlflow.get_model_version(registry.name, str(n)).tags["role"] for n in (1, 2)]
    assert roles == ["champion", "retired"]


def test_the_same_data_and_parameters_are_found_again_by_their_fingerprint(
    registry: Registry, fit: Callable[..., Version]
) -> None:
    fit(registry, fingerprint="f1")
    fit(registry, fingerprint="f2")
    fit(registry, fingerprint="f1")
    assert [registry.with_fingerprint(known) for known in ("f1", "f2", "f3")] == [3, 2, None]


def test_each_organization_has_a_champion_of_its_own(
    registry: Registry, runtime: Runtime, model: str, fit: Callable[..., Version]
) -> None:
    other = Registry(runtime.mlflow, model, "other", runtime.mlflow_artifacts)
    version = fit(registry)
    assert (registry.name, other.name) == (model, f"{model}-other")
    assert other.champion() is None
    assert other.with_fingerprint("f1") is None
    fit(other)
    assert registry.champion() == version
    assert other.champion() != version


def test_a_model_that_has_versions_but_no_champion_says_none(registry: Registry, fit: Callable[..., Version]) -> None:
    fit(registry, role="challenger")
    assert registry.champion() is None


def test_a_fit_that_cannot_be_saved_ends_as_a_failed_run_and_no_version(
    registry: Registry, runtime: Runtime, fit: Callable[..., Version]
) -> None:
    with pytest.raises(MlflowException):
        fit(registry, parameters={"not a name!": 1})
    experiment = runtime.mlflow.get_experiment_by_name(registry.name)
    assert experiment is not None
    assert [run.info.status for run in runtime.mlflow.search_runs([experiment.experiment_id])] == ["FAILED"]
    assert registry.champion() is None
    assert registry.with_fingerprint("f1") is None


def test_a_registry_that_does_not_answer_is_not_one_without_a_champion(
    postgres: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"simsight_mlflow_{os.getpid()}_gone"
    administer(postgres, f"CREATE DATABASE {name}")
    url = driver_url(postgres, "psycopg2").set(database=name).render_as_string(hide_password=False)
    client = MlflowClient(tracking_uri=url, registry_uri=url)
    gone = Registry(client, "usage-forecaster", "default", "file:///nowhere")
    assert gone.champion() is None
    administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")
    with pytest.raises(MlflowException):
        gone.champion()


def test_a_run_whose_process_was_killed_is_marked_so_and_one_that_ended_stays(
    registry: Registry, runtime: Runtime, fit: Callable[..., Version]
) -> None:
    done = fit(registry)
    killed = runtime.mlflow.create_run(registry._experiment()).info.run_id

    assert registry.end_killed() == 1

    assert [runtime.mlflow.get_run(run_id).info.status for run_id in (done.run_id, killed)] == ["FINISHED", "KILLED"]
    assert registry.end_killed() == 0


def test_nothing_was_killed_where_nothing_was_ever_registered(registry: Registry) -> None:
    assert registry.end_killed() == 0


def test_mlflows_default_experiment_is_deleted_where_nobody_else_uses_the_store(
    mlflow_store: Path, tmp_path: Path
) -> None:
    def store(name: str) -> tuple[MlflowClient, Registry]:
        client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / name}")
        return client, Registry(client, "usage-forecaster", "default", "file:///ours")

    def shown(client: MlflowClient) -> set[str]:
        return {experiment.name for experiment in client.search_experiments()}

    untouched = mlflow_store.read_bytes()
    (tmp_path / "store.db").write_bytes(untouched)
    ours, registry = store("store.db")
    registry._experiment()
    assert registry.hide_default()
    assert shown(ours) == {"usage-forecaster"}
    assert not registry.hide_default()

    (tmp_path / "used.db").write_bytes(untouched)
    used, registry = store("used.db")
    used.create_run("0")
    assert not registry.hide_default()
    assert shown(used) == {"Default"}

    (tmp_path / "shared.db").write_bytes(untouched)
    shared, registry = store("shared.db")
    shared.create_experiment("of others", artifact_location="file:///theirs")
    assert not registry.hide_default()
    assert shown(shared) == {"Default", "of others"}


def test_an_experiment_that_another_process_deletes_meanwhile_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'store.db'}")
    registry = Registry(client, "usage-forecaster", "default", "file:///ours")
    look = client.search_runs

    def delete_meanwhile(*arguments: Any, **more: Any) -> Any:
        client.delete_experiment("0")
        return look(*arguments, **more)

    monkeypatch.setattr(client, "search_runs", delete_meanwhile)
    assert not registry.hide_default()
    assert not client.search_experiments()
