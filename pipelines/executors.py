"""The executor of a run's steps, chosen by setting; steps and blocks of SIMs are the same with every executor."""

import dagster as dg

from resources.settings import Settings

# a step is a process: forked from one that has imported everything, it need not import it again
PRELOADED = ["pipelines.definitions", "mlflow", "matplotlib.figure", "lightgbm", "services.quality.engine"]


def executor(settings: Settings) -> dg.ExecutorDefinition:
    """The executor of all jobs that do not name one of their own."""
    if settings.executor == "in_process":
        return dg.in_process_executor
    return dg.multiprocess_executor.configured({"start_method": {"forkserver": {"preload_modules": PRELOADED}}})
