"""The executor of a run's steps, chosen by setting; steps and blocks of SIMs are the same with every executor."""

import importlib
from importlib.util import find_spec

import dagster as dg

from resources.settings import Settings, SettingsError

# a step is a process: forked from one that has imported everything, it need not import it again
PRELOADED = ["pipelines.definitions", "mlflow", "matplotlib.figure", "lightgbm", "services.quality.engine"]
EXTRAS = {"celery": "dagster_celery", "k8s": "dagster_k8s"}


def executor(settings: Settings) -> dg.ExecutorDefinition:
    """The executor of all jobs that do not name one of their own. Raises SettingsError when it
    lacks something.
    """
    need(settings.executor)
    match settings.executor:
        case "in_process":
            return dg.in_process_executor
        case "celery":
            from pipelines.celery_steps import celery_executor_of

            return celery_executor_of(settings)
        case "k8s":
            from dagster_k8s import k8s_job_executor

            # its pods are as those of the runs: image, secrets, resources and limits are the run launcher's
            pods: dg.ExecutorDefinition = k8s_job_executor
            return pods
        case _:
            return dg.multiprocess_executor.configured({"start_method": {"forkserver": {"preload_modules": PRELOADED}}})


def preload() -> None:
    """Import what steps need, in a process that those of steps are forked from."""
    for module in PRELOADED:
        importlib.import_module(module)


def need(extra: str) -> None:
    """Raise SettingsError when the packages of an executor are not installed."""
    package = EXTRAS.get(extra)
    if package and find_spec(package) is None:
        raise SettingsError(f"this needs more packages: pip install 'simsight[{extra}]'")
