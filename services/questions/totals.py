"""Forecasts of totals in SQL: those that are published, and the sum of the SIMs' forecasts where none is."""

from __future__ import annotations

from typing import Any

from services.questions.countries import shown
from services.questions.question import Question

# what is published of the total of a group of SIMs: the horizon's sum and its 80 % interval
_TOTAL = """SELECT name, sum_mean_bytes / 1e6::float8 AS value, sum_q10_bytes / 1e6::float8 AS low,
        sum_q90_bytes / 1e6::float8 AS high, sims::bigint AS sims
    FROM predictions.aggregate_forecasts_v1
    WHERE as_of = (SELECT max(as_of) FROM predictions.usage_forecasts_v1)
        AND day = as_of + %(days_ahead)s::integer AND kind = %(total_kind)s"""


def sql_of_total(question: Question, by_sims: str, parameters: dict[str, Any]) -> str:
    """Write the forecast of a total: as it is published where there is one, and else the sum of its SIMs' forecasts.

    by_sims     the statement for the sum, with its limit
    parameters  its parameters, to which those of this statement are added
    """
    inner, kind, names = by_sims.rpartition("\nLIMIT")[0], *_one_total(question)
    if kind is None:
        return f"SELECT x.*, true AS sum_of_sims\nFROM (\n{inner}\n) AS x\nLIMIT %(rows)s"
    parameters |= {"total_kind": kind, "total_names": names}
    if question.group:
        order = "ASC" if question.ascending else "DESC"
        return f"""WITH total AS (
    {_TOTAL}
)
SELECT x.{question.group}, coalesce(t.value, x.value) AS value, t.low, t.high, x.sims, t.name IS NULL AS sum_of_sims
FROM (
{inner}
) AS x
LEFT JOIN total AS t ON t.name = x.{question.group}
ORDER BY value {order} NULLS LAST, 1
LIMIT %(rows)s"""  # noqa: S608 - fixed fragments and placeholders
    return f"""WITH total AS (
    {_TOTAL} AND lower(name) = ANY (%(total_names)s::text[])
)
SELECT value, low, high, sims, false AS sum_of_sims FROM total
UNION ALL
SELECT x.value, NULL, NULL, x.sims, true
FROM (
{inner}
) AS x
WHERE NOT EXISTS (SELECT FROM total)
LIMIT %(rows)s"""  # noqa: S608 - fixed fragments and placeholders


def _one_total(question: Question) -> tuple[str | None, list[str]]:
    """The kind of group whose published total is asked for, and the names it may have; None for another choice."""
    if question.group:
        known = question.group in ("label", "country") and not question.filters and not question.also
        return (question.group if known else None), []
    if not question.filters:
        return "fleet", ["fleet"]
    chosen = question.filters[0]
    if len(question.filters) > 1 or chosen.negated:
        return None, []
    if chosen.field == "country" and len(shown(chosen.values)) == 1:
        return "country", [value.casefold() for value in chosen.values]
    if chosen.field == "label" and len(chosen.values) == 1:
        return "label", [chosen.values[0].casefold().rstrip("-_/:. ")]
    return None, []
