"""Shares in SQL: of groups in all groups, and of a part in the whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from services.questions.compiled import Compiled
from services.questions.metrics import AMOUNTS, DATED
from services.questions.question import MAX_ROWS, Question, QuestionError

# what says of which SIMs a share is, where something else says which part of them
PLACES = {"iccid", "label", "label_part", "country", "operator", "device_type"}


def compile_share(question: Question, compiled: Callable[[Question], Compiled]) -> Compiled:
    """Write a share with the statements of its numbers. Raises QuestionError where there is no whole."""
    if question.also:
        raise QuestionError("shares are known by one group")
    if question.group:
        chosen = question.metric != "sims" or any(one.field not in PLACES for one in question.filters)
        of_sims = question.metric not in DATED and question.aggregation == "count" and chosen
        return _in_groups(question, whole_of(question), compiled) if of_sims else _of_groups(question, compiled)
    part, all_of_it = compiled(question.model_copy(update={"share": False})), compiled(whole_of(question))
    if "currency" in part.sql:
        raise QuestionError("shares of money are known by groups only")
    whole = all_of_it.sql.replace("%(", "%(whole_")
    sql = f"""SELECT 100 * p.value / nullif(w.value, 0)::float8 AS value, p.value AS part, w.value AS whole
FROM (
{part.sql}
) AS p, (
{whole}
) AS w"""  # noqa: S608 - statements of the compiler
    parameters = part.parameters | {f"whole_{name}": value for name, value in all_of_it.parameters.items()}
    return Compiled(sql, parameters, "%", 1)


def whole_of(question: Question) -> Question:
    """The question for what a share is a part of. Raises QuestionError where that is the same."""
    places = tuple(chosen for chosen in question.filters if chosen.field in PLACES)
    whole = question.model_copy(update={"share": False, "comparisons": (), "filters": ()})
    if question.metric in DATED or (question.metric in AMOUNTS and question.aggregation == "sum"):
        if question.metric in DATED and len(question.filters) > 1:  # a part of the open ones
            whole = whole.model_copy(
                update={"filters": tuple(one for one in question.filters if one.field == "status")}
            )
        same = not question.filters
    else:
        others = len(places) < len(question.filters) or question.metric != "sims"
        update = {"metric": "sims", "period": None, "horizon": None, "daily": False, "peak": False}
        whole = whole.model_copy(update=update | {"filters": places if others else ()})
        same = not others and not places
    if same:
        raise QuestionError("the question does not say of what it is a share")
    return whole


def _in_groups(question: Question, whole: Question, compiled: Callable[[Question], Compiled]) -> Compiled:
    """The part in each group: of the SIMs in each country, how many are silent."""
    whole = whole.model_copy(update={"group": question.group, "aggregation": "count", "top": MAX_ROWS})
    part = compiled(question.model_copy(update={"share": False, "top": MAX_ROWS, "ascending": False}))
    all_of_it = compiled(whole.model_copy(update={"ascending": False}))
    order, rows = "ASC" if question.ascending else "DESC", question.top or 100
    sql = f"""SELECT w.{question.group}, 100 * coalesce(p.value, 0) / nullif(w.value, 0)::float8 AS value,
    coalesce(p.value, 0) AS part, w.value AS whole
FROM (
{all_of_it.sql.replace("%(", "%(whole_")}
) AS w
LEFT JOIN (
{part.sql}
) AS p ON p.{question.group} IS NOT DISTINCT FROM w.{question.group}
ORDER BY value {order} NULLS LAST, 1
LIMIT %(shown)s"""  # noqa: S608 - statements of the compiler
    parameters = part.parameters | {f"whole_{name}": value for name, value in all_of_it.parameters.items()}
    return Compiled(sql, parameters | {"shown": rows if question.top else rows + 1}, "%", rows)


def _of_groups(question: Question, compiled: Callable[[Question], Compiled]) -> Compiled:
    everything = compiled(question.model_copy(update={"share": False, "top": MAX_ROWS, "ascending": False}))
    over = "PARTITION BY currency" if "currency" in everything.sql else ""
    order = "ASC" if question.ascending else "DESC"
    shown = f"{question.group}, 100 * value / nullif(sum(value) OVER ({over}), 0)::float8 AS value, value AS part"
    sql = f"""SELECT {shown}{", currency" if over else ""}
FROM (
{everything.sql}
) AS g
ORDER BY value {order} NULLS LAST, 1
LIMIT %(shown)s"""  # noqa: S608 - statements of the compiler
    rows = question.top or 100
    return replace(
        everything,
        sql=sql,
        parameters=everything.parameters | {"shown": rows if question.top else rows + 1},
        unit="%",
        rows=rows,
    )
