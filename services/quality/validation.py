"""Rows held against a suite, with Great Expectations."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from typing import Any

import polars as pl

from services.quality.suites import Expectations


@dataclass(frozen=True)
class Validated:
    """A suite's outcome; `failures` says in words what did not hold, with examples."""

    passed: bool
    rows: int
    failures: list[str]


def validate(frame: pl.DataFrame, expectations: Expectations) -> Validated:
    """Hold a frame against expectations with Great Expectations."""
    from services.quality.engine import gx  # takes seconds: only where a check runs

    batch = _rows().get_batch(batch_parameters={"dataframe": _to_pandas(frame)})
    suite = gx.ExpectationSuite(
        "suite", [getattr(gx.expectations, name)(**arguments) for name, arguments in expectations]
    )
    outcome = batch.validate(suite)
    failures = [_said(result) for result in outcome.results if not result.success]
    return Validated(bool(outcome.success), frame.height, failures)


@cache
def _rows() -> Any:
    """What makes a batch of a frame: one a process, since it writes its whole configuration down at each step of its
    making.
    """
    from services.quality.engine import gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    asset = context.data_sources.add_pandas("stored").add_dataframe_asset("rows")
    return asset.add_batch_definition_whole_dataframe("all")


def _to_pandas(frame: pl.DataFrame) -> Any:
    """Dates as timestamps, without zone: Great Expectations compares them with such limits."""
    times = [pl.col(n).dt.replace_time_zone(None) for n, kind in frame.schema.items() if isinstance(kind, pl.Datetime)]
    return frame.with_columns(*times, pl.selectors.date().cast(pl.Datetime("us"))).to_pandas()


def _said(result: Any) -> str:
    settings = {k: v for k, v in result.expectation_config.kwargs.items() if k != "batch_id" and v is not None}
    if result.exception_info and result.exception_info.get("raised_exception"):
        return f"{result.expectation_config.type} {settings}: {result.exception_info.get('exception_message')}"
    if result.expectation_config.type == "expect_table_row_count_to_be_between":
        return f"there are {result.result['observed_value']} rows where at least {settings['min_value']} is expected"
    seen = result.result.get("partial_unexpected_list") or result.result.get("observed_value")
    return f"{result.expectation_config.type} {settings}: got {seen}"


def as_moments(expectations: Expectations) -> Expectations:
    """Days as moments: the frames' dates are compared as timestamps."""

    def moment(value: Any) -> Any:
        if isinstance(value, date) and not isinstance(value, datetime):
            return datetime(value.year, value.month, value.day, tzinfo=UTC).replace(tzinfo=None)
        return value

    return [(name, {key: moment(value) for key, value in arguments.items()}) for name, arguments in expectations]
