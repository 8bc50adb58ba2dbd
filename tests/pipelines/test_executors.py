"""Where steps are executed is a setting; of steps on Celery, none is lost with its worker or done twice."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
import yaml

from pipelines import executors
from pipelines.executors import executor
from resources.settings import Settings, SettingsError

SECRET = "kept-to-ourselves"
BROKER = f"redis://:{SECRET}@broker.example:6379/0"


def settings(**values: Any) -> Settings:
    return Settings(_env_file=None, **values)


@pytest.mark.parametrize("name", ["multiprocess", "in_process"])
def test_the_executor_is_a_setting(name: str) -> None:
    assert executor(settings(executor=name)).name == name


def test_an_executor_whose_packages_are_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "find_spec", lambda package: None)
    for name in ("celery", "k8s"):
        with pytest.raises(SettingsError, match=rf"pip install 'simsight\[{name}\]'"):
            executor(settings(executor=name))


def test_steps_may_be_pods() -> None:
    kubernetes = pytest.importorskip("dagster_k8s", reason="needs the extra k8s (requirements-k8s.txt)")
    assert executor(settings(executor="k8s")) is kubernetes.k8s_job_executor


@pytest.fixture
def celery_steps() -> Any:
    pytest.importorskip("dagster_celery", reason="needs the extra celery (requirements-celery.txt)")
    from pipelines import celery_steps

    return celery_steps


def test_steps_on_celery_need_a_broker(celery_steps: Any) -> None:
    with pytest.raises(SettingsError, match="set SIMSIGHT_CELERY_BROKER_URL"):
        executor(settings(executor="celery"))
    made = executor(settings(executor="celery", celery_broker_url=BROKER))
    assert made.name == "celery_workers"
    assert SECRET not in str(vars(made))


def test_a_worker_that_is_lost_loses_no_step(celery_steps: Any) -> None:
    given = settings(executor="celery", celery_broker_url=BROKER, celery_visibility_seconds=70)
    worker = celery_steps.worker_of(given, "one", steps=2, only_blocks=False, ready=lambda: None)
    task, conf = worker.app.tasks["execute_plan"], worker.app.conf

    assert task.acks_late
    assert task.reject_on_worker_lost
    assert isinstance(task, celery_steps.Step)
    assert conf.worker_prefetch_multiplier == 1
    assert conf.broker_transport_options["visibility_timeout"] == 70
    assert (conf.broker_url, conf.result_backend) == (BROKER, BROKER)
    assert set(worker.app.amqp.queues.consume_from) == {"dagster", "blocks"}
    assert worker.concurrency == 2
    only = celery_steps.worker_of(given, "two", steps=1, only_blocks=True, ready=lambda: None)
    assert set(only.app.amqp.queues.consume_from) == {"blocks"}


def test_the_ops_that_score_blocks_are_for_workers_of_blocks() -> None:
    from assets.scoring_ops import BLOCKS
    from pipelines.definitions import defs

    job = defs.resolve_job_def("score")
    queued = {op.name for op in job.all_node_defs if op.tags.get("dagster-celery/queue") == BLOCKS}
    assert {"score_usage_forecasts", "score_exhaustions", "score_anomalies", "score_churn_risks"} <= queued
    assert all(name.startswith("score_") for name in queued)


START, RESTARTED, SUCCESS, FAILURE, RETRY = (
    getattr(dg.DagsterEventType, f"STEP_{name}")
    for name in ("START", "RESTARTED", "SUCCESS", "FAILURE", "UP_FOR_RETRY")
)
OUTPUT = dg.DagsterEventType.STEP_OUTPUT


def told(*kinds: dg.DagsterEventType) -> list[Any]:
    """Events of a step, as far as they are looked at, each with its place."""
    return [SimpleNamespace(event_type=kind, place=place) for place, kind in enumerate(kinds)]


@pytest.mark.parametrize(
    ("kinds", "retries", "expected"),
    [
        ([], 0, None),
        ([START], 0, None),
        ([START, OUTPUT, SUCCESS], 0, [0, 1, 2]),
        # outputs of an attempt that was cut off are not told twice
        ([START, OUTPUT, START, OUTPUT, SUCCESS], 0, [2, 3, 4]),
        ([START, RETRY], 0, [0, 1]),
        ([START, RETRY], 1, None),
        ([START, RETRY, RESTARTED, START], 1, None),
        ([START, RETRY, RESTARTED, START, OUTPUT, SUCCESS], 1, [3, 4, 5]),
        ([START, RETRY, RESTARTED, FAILURE], 0, [0, 1]),
    ],
)
def test_an_attempt_that_has_ended_is_told_and_not_begun_again(
    celery_steps: Any, kinds: list[dg.DagsterEventType], retries: int, expected: list[int] | None
) -> None:
    events = celery_steps._ended(told(*kinds), retries)
    assert (None if events is None else [event.place for event in events]) == expected


def test_a_step_that_took_three_workers_along_gets_no_fourth(celery_steps: Any) -> None:
    with pytest.raises(RuntimeError, match="3 workers were lost at this step"):
        celery_steps._ended(told(START, START, START), 0)
    with pytest.raises(RuntimeError, match="3 workers"):
        celery_steps._ended(told(START, RETRY, RESTARTED, RESTARTED, RESTARTED), 1)
    assert celery_steps._ended(told(START, START, RETRY, RESTARTED, RESTARTED), 1) is None


def test_dagster_ends_a_run_that_waits_in_vain() -> None:
    monitoring = yaml.safe_load((Path(__file__).parents[2] / "dagster.yaml").read_text())["run_monitoring"]
    assert monitoring["enabled"]
    assert monitoring["max_runtime_seconds"] > 0
