"""Free SQL and its answers."""

from __future__ import annotations

from datetime import date
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class SqlToRun(BaseModel):
    """One query over the published views."""

    model_config = ConfigDict(extra="forbid", strict=True)

    sql: str = Field(
        min_length=1, max_length=10_000, examples=["SELECT state, count(*) FROM core.sims_v1 GROUP BY state"]
    )


class SqlColumnOut(BaseModel):
    """A column of the answer."""

    name: str
    type: str = Field(description="Its type in PostgreSQL", examples=["int8"])


class SqlRows(BaseModel):
    """The rows of a query."""

    columns: list[SqlColumnOut] = Field(description="Columns in the order of the values of a row; names may repeat")
    rows: list[list[Any]] = Field(description="At most 1,000 rows and 5 MB")
    truncated: bool = Field(description="There are more rows than these")
    sql: str = Field(description="The query as it was run: written anew from what was understood of it")
    cost: float = Field(description="PostgreSQL's estimate of its cost before it ran")
    as_of: date | None = Field(description="The last complete day with usage")
    data_age_days: int | None = Field(description="Complete UTC days since then")
