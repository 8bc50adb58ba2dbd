"""One period against another in SQL: the same numbers twice, side by side."""

from __future__ import annotations

from collections.abc import Callable

from services.questions.compiled import Compiled
from services.questions.metrics import COMPARABLE, TIMES
from services.questions.question import MAX_ROWS, Question, QuestionError


def compile_against(question: Question, compiled: Callable[[Question], Compiled]) -> Compiled:
    """Write the numbers of a period beside those of an earlier one. Raises QuestionError for what has no two."""
    unfit = question.share or question.also or question.group in TIMES or question.aggregation == "list"
    if unfit or question.metric not in COMPARABLE or question.period is None:
        raise QuestionError("two periods are compared by sums, numbers and averages only")
    once = question.model_copy(
        update={"against": None, "top": MAX_ROWS if question.group else None, "ascending": False}
    )
    now = compiled(once)
    then = compiled(once.model_copy(update={"period": question.against}))
    keys = [*([question.group] if question.group else []), *(["currency"] if "currency" in now.sql else [])]
    same = " AND ".join(f"coalesce(a.{key}::text, '') = coalesce(b.{key}::text, '')" for key in keys) or "true"
    named = "".join(f"coalesce(a.{key}, b.{key}) AS {key}, " for key in keys)
    shown = "".join(f"{key}, " for key in keys)
    order, rows = "ASC" if question.ascending else "DESC", question.top or 100
    none = "NULL" if question.aggregation in ("average", "median") else "0"
    sql = f"""SELECT {shown}value, before, value - before AS change,
    100 * (value - before) / nullif(before, 0)::float8 AS change_percent
FROM (
SELECT {named}coalesce(a.value, {none}) AS value,
    coalesce(b.value, {none}) AS before
FROM (
{now.sql}
) AS a
FULL JOIN (
{then.sql.replace("%(", "%(then_")}
) AS b ON {same}
) AS x
ORDER BY value {order} NULLS LAST
LIMIT %(shown)s"""  # noqa: S608 - statements of the compiler
    parameters = now.parameters | {f"then_{name}": value for name, value in then.parameters.items()}
    return Compiled(sql, parameters | {"shown": rows if question.top else rows + 1}, now.unit, rows)
