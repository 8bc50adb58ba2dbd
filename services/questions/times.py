"""Use by day, week or month in SQL: sums, SIMs with use, and averages of a SIM."""

from __future__ import annotations

from services.questions.compiled import Compiled, Writer, conditions_of, finish, where
from services.questions.question import Question, QuestionError
from services.questions.tables import LABEL_GROUP, MESSAGES, SIM_FIELDS, TIMES

VALUES = {
    "usage": ("sum(u.bytes) / 1e6::float8", "MB"),
    "sms": (f"sum({MESSAGES})::float8", "messages"),
    "active": ("count(DISTINCT u.iccid)", "SIMs"),
}


def compile_by_time(question: Question) -> Compiled:
    """Write a metric of use by day, week or month. Raises QuestionError where it cannot."""
    writer, time = Writer(), question.group
    averages = question.aggregation in ("average", "median")
    if question.metric not in VALUES or question.period is None or question.comparisons or time is None:
        raise QuestionError(f"{question.metric} cannot be laid out by {time}")
    if averages and (question.also or question.aggregation == "median" or question.metric == "active"):
        raise QuestionError(f"averages of {question.metric} are not laid out by {time}")
    value, unit = VALUES[question.metric]
    also = {**SIM_FIELDS, "label": LABEL_GROUP}[question.also] if question.also else ""
    of_sims = conditions_of(question.filters, SIM_FIELDS, writer)
    first, last = writer.put("first_day", question.period.first), writer.put("last_day", question.period.last)
    conditions = [*of_sims, f"u.day BETWEEN {first}::date AND {last}::date"]
    if question.metric == "active":
        conditions.append("u.bytes > 0")
    joined = "\nJOIN core.sims_v1 AS s ON s.iccid = u.iccid" if question.filters or also else ""
    source = f"core.sim_usage_v1 AS u{joined}{where(conditions)}"
    group = TIMES[time].format(day="u.day")
    order = f"value {'ASC' if question.ascending else 'DESC'}" if question.top else "1"
    if averages:
        # of all SIMs known then: a SIM without a row had no use
        days = "sum(t.last_day - greatest(t.first_day, s.first_usage_on) + 1)"
        known = " AND ".join(["s.first_usage_on <= t.last_day", *of_sims])
        text = f"""SELECT t.{time}, t.value / nullif({days if question.daily else "count(s.iccid)"}, 0) AS value,
    count(s.iccid) AS sims
FROM (
    SELECT {group} AS {time}, {value} AS value, min(u.day) AS first_day, max(u.day) AS last_day
    FROM {source}
    GROUP BY 1
) AS t
LEFT JOIN core.sims_v1 AS s ON {known}
GROUP BY t.{time}, t.value
ORDER BY {order}"""  # noqa: S608 - fixed fragments and placeholders
    elif also:
        text = (
            f"SELECT {group} AS {time}, {also} AS {question.also}, {value} AS value\nFROM {source}\n"
            "GROUP BY 1, 2\nORDER BY 1, value DESC, 2"
        )
    else:
        text = f"SELECT {group} AS {time}, {value} AS value\nFROM {source}\nGROUP BY 1\nORDER BY {order}"
    return finish(writer, text, question, unit)
