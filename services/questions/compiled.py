"""What a Question comes to in SQL, and the parts that its statements are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.questions.question import MAX_ROWS, Filter, Question, QuestionError

DEFAULT_ROWS = 100


@dataclass
class Compiled:
    """A statement with named placeholders, its parameters, the unit of its column `value`, and the rows it may give."""

    sql: str
    parameters: dict[str, Any]
    unit: str | None
    rows: int


class Writer:
    def __init__(self) -> None:
        self.parameters: dict[str, Any] = {}

    def put(self, name: str, value: Any) -> str:
        """Add a parameter and return its placeholder."""
        if name in self.parameters:
            name = f"{name}_{len(self.parameters)}"
        self.parameters[name] = value
        return f"%({name})s"


def conditions_of(filters: tuple[Filter, ...], fields: Mapping[str, str], writer: Writer) -> list[str]:
    conditions = []
    for chosen in filters:
        if chosen.field not in fields:
            raise QuestionError(f"there is no {chosen.field.replace('_', ' ')} to choose by")
        column = fields[chosen.field]
        if chosen.values == ("",):
            condition = f"coalesce({column}, '') = ''"
        elif chosen.field == "label_part":
            parts = writer.put("label_part", [value.casefold() for value in chosen.values])
            condition = f"regexp_split_to_array(lower({column}), '[-_/:. ]+') && {parts}::text[]"
        elif chosen.field == "label":
            # as it is written, case aside: no sign of it is a pattern
            beginnings = writer.put("label", [value.casefold() for value in chosen.values])
            condition = (
                f"EXISTS (SELECT FROM unnest({beginnings}::text[]) AS b (start) WHERE "
                f"starts_with(lower({column}), b.start))"
            )
        else:
            values = [value.casefold() for value in chosen.values]
            condition = f"lower({column}) = ANY ({writer.put(chosen.field, values)}::text[])"
        conditions.append(f"({condition}) IS NOT TRUE" if chosen.negated else condition)
    return conditions


def where(conditions: list[str]) -> str:
    return f"\nWHERE {' AND '.join(conditions)}" if conditions else ""


def _limit(question: Question) -> int:
    return min(question.top or DEFAULT_ROWS, MAX_ROWS)


def finish(writer: Writer, text: str, question: Question, unit: str | None) -> Compiled:
    """Add the limit: one row more than is shown tells whether there are more."""
    rows = _limit(question)
    writer.parameters["rows"] = rows if question.top else rows + 1
    return Compiled(f"{text}\nLIMIT %(rows)s", writer.parameters, unit, rows)
