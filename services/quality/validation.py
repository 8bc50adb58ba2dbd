"""Rows held against a suite, with Great Expectations."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from typing import Any

import polars as pl

from ml.words import percent
from resources.errors import in_words
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
    """What an expectation wanted and what was there instead, or why it could not be looked at.

    Such as "covered is not at least 0.9 in 1 of 3 rows: 0.75".
    """
    wanted: dict[str, Any] = result.expectation_config.kwargs
    kind: str = result.expectation_config.type
    if causes := _causes(result.exception_info or {}):
        return f"{wanted.get('column', 'the rows')} could not be looked at: {'; '.join(causes)}"
    if kind == "expect_table_row_count_to_be_between":
        return f"there are {result.result['observed_value']} rows where at least {wanted['min_value']} is expected"
    found = result.result
    unexpected = found.get("partial_unexpected_list") or []
    seen = [_shown(value) for value in unexpected if str(value) not in ("None", "nan", "NaT")]
    examples = ", ".join(dict.fromkeys(seen))
    most = wanted.get("mostly", 1)
    allowed = "" if most == 1 else f", where at most {percent(1 - most)} may be so"
    return (
        f"{wanted['column']} is not {_wanted(kind, wanted)} in {found['unexpected_count']} of "
        f"{found['element_count']} rows{allowed}{f': {examples}' if examples else ''}"
    )


def _wanted(kind: str, wanted: dict[str, Any]) -> str:
    """What the values of a column are to be, in words."""
    if kind == "expect_column_values_to_be_between":
        low, high = wanted.get("min_value"), wanted.get("max_value")
        if low is None or high is None:
            return f"at most {_shown(high)}" if low is None else f"at least {_shown(low)}"
        return _shown(low) if low == high else f"between {_shown(low)} and {_shown(high)}"
    return {
        "expect_column_values_to_not_be_null": "filled",
        "expect_column_values_to_be_null": "empty",
        "expect_column_values_to_be_unique": "a value of its own",
        "expect_column_values_to_be_in_set": f"one of {', '.join(map(_shown, wanted.get('value_set', ())))}",
        "expect_column_values_to_match_regex": f"of the form {wanted.get('regex')}",
    }[kind]


def _shown(value: Any) -> str:
    """A value as people write it: a day without its midnight, a number without a long tail."""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}".removesuffix(" 00:00")
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _causes(info: dict[str, Any]) -> list[str]:
    """Why an expectation raised an error; Great Expectations tells it alone, or by the name of each metric."""
    told = [info] if "raised_exception" in info else [one for one in info.values() if isinstance(one, dict)]
    said = [in_words(str(one.get("exception_message"))) for one in told if one.get("raised_exception")]
    return list(dict.fromkeys(said))


def as_moments(expectations: Expectations) -> Expectations:
    """Days as moments: the frames' dates are compared as timestamps."""

    def moment(value: Any) -> Any:
        if isinstance(value, date) and not isinstance(value, datetime):
            return datetime(value.year, value.month, value.day, tzinfo=UTC).replace(tzinfo=None)
        return value

    return [(name, {key: moment(value) for key, value in arguments.items()}) for name, arguments in expectations]
