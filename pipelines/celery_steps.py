"""Steps on Celery workers: one set of settings for the run that hands steps out and the workers that take them.

A broker hands a step out again when its worker is lost, or has not said for a while that it is done. So a step may come
twice: the second waits while the first is at work, and what has ended is not begun again.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import celery
import dagster as dg
import psycopg
from celery.exceptions import Ignore
from celery.signals import worker_ready
from dagster._grpc.types import ExecuteStepArgs
from dagster._serdes import serialize_value, unpack_value
from dagster_celery import celery_executor
from dagster_celery.executor import CeleryExecutor
from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_task

from resources.database.server import driver_url
from resources.settings import Settings, SettingsError

if TYPE_CHECKING:
    from celery.apps.worker import Worker

ALL, BLOCKS = "dagster", "blocks"  # queues: the op that scores a block names the second
LOOK_AGAIN_S = 10
MOST_WORKERS = 3  # that may be lost with the same step before the run fails: it is the step that kills them
STARTS = {dg.DagsterEventType.STEP_START, dg.DagsterEventType.STEP_RESTARTED}
ENDS = {
    dg.DagsterEventType.STEP_SUCCESS,
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.STEP_UP_FOR_RETRY,
    dg.DagsterEventType.STEP_SKIPPED,
}
# a machine that is gone loses its lock within a minute
KEEPALIVE = "-c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3"


def broker_url(settings: Settings) -> str:
    """Where runs and workers meet; it may hold a password. Raises SettingsError."""
    if settings.celery_broker_url is None:
        raise SettingsError("SIMSIGHT_EXECUTOR=celery needs a Redis: set SIMSIGHT_CELERY_BROKER_URL")
    return settings.celery_broker_url.get_secret_value()


def executor_config(settings: Settings) -> dict[str, Any]:
    """The configuration of Dagster's executor, and of the workers."""
    url = broker_url(settings)
    return {
        "broker": url,
        "backend": url,
        "config_source": {
            # a step counts as taken once it is done: a worker that is lost loses nothing
            "task_acks_late": True,
            "task_reject_on_worker_lost": True,
            "worker_prefetch_multiplier": 1,
            "broker_transport_options": {"visibility_timeout": settings.celery_visibility_seconds},
            "worker_cancel_long_running_tasks_on_connection_loss": False,
            # Redis may be away for a quarter of an hour
            "broker_connection_retry_on_startup": True,
            "broker_connection_max_retries": None,
            "task_publish_retry_policy": {"max_retries": 100, "interval_step": 1, "interval_max": 10},
            "result_backend_always_retry": True,
            "result_backend_max_retries": 100,
            # a step is a process, as with the multiprocess executor: what it took of memory is given back
            "worker_max_tasks_per_child": 1,
            "worker_redirect_stdouts": False,  # steps log by themselves
        },
    }


def celery_executor_of(settings: Settings) -> dg.ExecutorDefinition:
    """Dagster's Celery executor with these settings."""
    config = executor_config(settings)

    @dg.configured(celery_executor, config_schema={})
    def celery_workers(_: Any) -> dict[str, Any]:
        return config

    return celery_workers  # type: ignore[no-any-return]


class Step(celery.Task):  # type: ignore[misc]
    """Dagster's task that executes a step, for a broker that may hand it out twice."""

    def __call__(self, execute_step_args_packed: Any, executable_dict: Any) -> list[str]:
        step = unpack_value(execute_step_args_packed, as_type=ExecuteStepArgs)
        (key,) = step.step_keys_to_execute or []
        assert step.instance_ref is not None
        with dg.DagsterInstance.from_ref(step.instance_ref) as instance, _alone(step.run_id, key) as is_alone:
            run = instance.get_run_by_id(step.run_id)
            if run is None or run.is_finished:
                raise Ignore
            if not is_alone:
                raise self.retry(countdown=LOOK_AGAIN_S, max_retries=None)
            if self.request.delivery_info.get("redelivered") or self.request.retries:
                retries = step.known_state.get_retry_state().get_attempt_count(key) if step.known_state else 0
                if (ended := _ended(_events(instance, step.run_id, key), retries)) is not None:
                    return [serialize_value(event) for event in ended]
            return self.run(execute_step_args_packed, executable_dict)  # type: ignore[no-any-return]


@contextmanager
def _alone(run_id: str, key: str) -> Iterator[bool]:
    """Whether no other process is at this step; none will be while the block lasts. The lock ends with the process."""
    url = driver_url(os.environ["SIMSIGHT_DAGSTER_DATABASE_URL"], "").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True, options=KEEPALIVE) as connection:
        statement = "SELECT pg_try_advisory_lock(hashtext(%s), hashtext(%s))"
        found = connection.execute(statement, (run_id, key)).fetchone()
        yield bool(found and found[0])


def _events(instance: dg.DagsterInstance, run_id: str, key: str) -> list[dg.DagsterEvent]:
    """What the step has told so far."""
    told = [entry.dagster_event for entry in instance.all_logs(run_id) if entry.step_key == key]
    return [event for event in told if event is not None]


def _ended(told: Sequence[dg.DagsterEvent], retries: int) -> list[dg.DagsterEvent] | None:
    """The events of an attempt at a step, if it has ended; its worker was lost before it could say so to the run.

    retries  attempts before this one
    Raises RuntimeError when the attempt was begun too often.
    """
    ends = [place for place, event in enumerate(told) if event.event_type in ENDS]
    first = ends[retries - 1] + 1 if 0 < retries <= len(ends) else 0
    last = ends[retries] + 1 if retries < len(ends) else len(told)
    starts = [place for place in range(first, last) if told[place].event_type in STARTS]
    if retries < len(ends):
        return list(told[starts[-1] if starts else first : last])
    if len(starts) >= MOST_WORKERS:
        raise RuntimeError(
            f"{len(starts)} workers were lost at this step; if they lack memory, make blocks smaller "
            "(SIMSIGHT_BLOCK_SIMS)"
        )
    return None


def nodename(name: str) -> str:
    """What a worker of this machine is called."""
    return f"{name}@{socket.gethostname()}"


def worker_of(settings: Settings, name: str, *, steps: int, only_blocks: bool, ready: Callable[[], None]) -> Worker:
    """A worker, to be started; the processes of its steps are forked from it.

    steps  how many it works at at once
    ready  called when it has reached the broker
    """
    app = make_app(CeleryExecutor.for_cli(**executor_config(settings)).app_args())
    create_task(app, base=Step)
    worker_ready.connect(lambda **_: ready(), weak=False)
    queues = [BLOCKS] if only_blocks else [ALL, BLOCKS]
    return app.Worker(hostname=nodename(name), concurrency=steps, queues=queues, loglevel="WARNING", quiet=True)


def answers(settings: Settings, name: str) -> bool:
    """Whether a worker of this machine answers by way of the broker."""
    with celery.Celery(broker=broker_url(settings)) as app:
        return bool(app.control.ping(destination=[nodename(name)], timeout=5))
