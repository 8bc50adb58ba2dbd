"""Data quality: Great Expectations suites, each an asset check over what is stored.

A blocking check that fails stops, in the same run, the assets that depend on the checked one, and nothing else.
"""

from collections.abc import Iterator

import dagster as dg
import polars as pl

from assets.common import SHOWN_CHARACTERS, RuntimeParam
from ml.plain_text import markdown_cell
from services.quality.suites import SUITES, Suite
from services.quality.validation import as_moments, validate


def _check(suite: Suite) -> dg.AssetChecksDefinition:
    about = f"{suite.description}\n\nIf it is red: {suite.when_red}"

    @dg.asset_check(name=suite.name, asset=suite.asset, description=about, blocking=suite.blocking)
    def check(runtime: RuntimeParam) -> dg.AssetCheckResult:
        frame = suite.frame(runtime)
        outcome = validate(frame, as_moments(suite.expectations(runtime)))
        wanted = len(suite.expectations(runtime))
        said = [suite.empty(runtime)] if suite.empty and frame.is_empty() else outcome.failures
        return dg.AssetCheckResult(
            passed=outcome.passed,
            severity=dg.AssetCheckSeverity.ERROR if suite.blocking else dg.AssetCheckSeverity.WARN,
            description=None if outcome.passed else "; ".join(said),
            metadata={
                **suite.looked_at(frame),
                # as text: the UI draws every number as a curve
                "expectations that hold": f"{wanted - len(outcome.failures)} of {wanted}",
                **({"rows": _table(frame)} if suite.shown else {}),
            },
        )

    return check


def _table(frame: pl.DataFrame) -> dg.MarkdownMetadataValue | dg.TableMetadataValue:
    """Rows as the UI shows them: a short table by itself, a long one behind a button and with typed columns."""
    lines = [frame.columns, *frame.iter_rows()]
    head, *rows = ["| " + " | ".join(markdown_cell(str(value)) for value in line) + " |" for line in lines]
    text = "\n".join([head, "|" + " --- |" * frame.width, *rows])
    if len(text) < SHOWN_CHARACTERS:
        return dg.MetadataValue.md(text)
    columns = [dg.TableColumn(name, type=str(kind).lower()) for name, kind in frame.schema.items()]
    plain = frame.with_columns(pl.col(pl.Date, pl.Datetime).cast(pl.String))
    return dg.MetadataValue.table(
        [dg.TableRecord(row) for row in plain.iter_rows(named=True)], schema=dg.TableSchema(columns=columns)
    )


def checks() -> Iterator[dg.AssetChecksDefinition]:
    """All suites as asset checks."""
    return map(_check, SUITES)
