"""What runs write where JSON lines are set."""

from __future__ import annotations

import logging

import dagster as dg
import dagster._loggers

from resources import tracing
from resources.log_lines import json_handler, set_up
from resources.settings import Settings


def write_lines_as_set(settings: Settings) -> None:
    """Set up logging and traces in a process of the code location: its own lines, and what Dagster writes of runs."""
    set_up(settings)
    if why := tracing.set_up("simsight-pipeline"):
        logging.getLogger("simsight").warning(why)
    if settings.log_format != "json":
        return

    @dg.logger({"name": dg.Field(str, is_required=False), "log_level": dg.Field(str, is_required=False)})
    def json_console(context: dg.InitLoggerContext) -> logging.Logger:
        logger = logging.Logger("dagster", context.logger_config.get("log_level", "DEBUG"))
        logger.addHandler(json_handler(settings))
        return logger

    # what a run that names no logger writes to: Dagster has no setting for it
    dagster._loggers.colored_console_logger = json_console
