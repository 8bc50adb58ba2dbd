"""Questions in plain language and their answers."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.questions.question import Question


class QuestionToAsk(BaseModel):
    """A question in English or German."""

    model_config = ConfigDict(extra="forbid", strict=True)

    question: str = Field(min_length=1, max_length=2000, examples=["Which SIMs used more than 1 GB yesterday?"])
    language: Literal["en", "de"] | None = Field(None, description="Default: that of the question")


class QuestionAnswer(BaseModel):
    """The answer. When it was not understood, there are no rows, and `examples` can be asked."""

    understood: bool
    sentence: str = Field(
        description="The answer in a sentence; if not understood, why not", examples=["3 SIMs (...)."]
    )
    language: Literal["en", "de"]
    understood_by: Literal["grammar", "model"] | None = Field(
        description="Who understood it: rules of the grammar, or a language model that the operator has set"
    )
    question: Question | None = Field(description="The question as it was understood; null: it was not")
    as_understood: str = Field(description="The same in words", examples=["list: usage; > 1,000 MB; 2026-01-10"])
    sql: str = Field(description="The statement that was run, with named parameters; empty: none")
    parameters: dict[str, Any] = Field(description="Its parameters")
    columns: list[str] = Field(description="Columns of the rows", examples=[["iccid", "label", "value"]])
    rows: list[dict[str, Any]] = Field(description="At most 100 rows, or as many as were asked for, up to 1,000")
    more: bool = Field(description="There are more rows than these")
    unit: str | None = Field(
        description="Unit of the column `value`; currency: that of the column `currency`, in whole units",
        examples=["MB"],
    )
    as_of: date | None = Field(description="The last day that the data behind it knows")
    data_age_days: int | None = Field(description="Complete UTC days since then")
    assumed: list[str] = Field(description="What was assumed where the question does not say it")
    chart: Literal["table", "number", "bar", "line"] = Field(description="How the rows are best shown")
    nearest: str | None = Field(description="If not understood: the nearest question that is", examples=[None])
    examples: list[str] = Field(description="If not understood: questions that are")
