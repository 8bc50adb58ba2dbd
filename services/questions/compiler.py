"""The one way from a Question to SQL: fixed fragments over the published views, and every value a parameter.

Where a linter sees SQL made from strings, the strings are constants of this module, or names of placeholders.
"""

from __future__ import annotations

from datetime import date, timedelta

from services.questions.against import compile_against
from services.questions.compiled import Compiled, Writer, conditions_of, finish, where
from services.questions.metrics import OF_RECOMMENDATIONS
from services.questions.question import Comparison, Period, Question, QuestionError
from services.questions.shares import compile_share
from services.questions.tables import LABEL_GROUP, MESSAGES, ROWS, SIM_FIELDS, TIMES
from services.questions.times import compile_by_time
from services.questions.totals import sql_of_total

VIEW_OF = {
    "usage": "core.sim_usage_v1",
    "sms": "core.sim_usage_v1",
    "active": "core.sim_usage_v1",
    "inactive": "core.sim_usage_v1",
    "last_used": "core.sims_v1",
    "activations": "core.sims_v1",
    "remaining": "core.sims_v1",
    "remaining_share": "core.sims_v1",
    "used_share": "core.sims_v1",
    "sims": "core.sims_v1",
    "forecast": "predictions.usage_forecasts_v1",
    "exhaustion": "predictions.exhaustions_v1",
    "expiry": "predictions.exhaustions_v1",
    "churn": "predictions.churn_risks_v1",
    "savings": "predictions.quota_recommendations_v1",
    "recommendations": "predictions.quota_recommendations_v1",
    "recommended_cost": "predictions.quota_recommendations_v1",
    "anomalies": "predictions.anomalies_v1",
    "alerts": "predictions.alerts_v1",
    "tickets": "predictions.tickets_v1",
    "incidents": "predictions.incidents_v1",
    "orders": "core.orders_v1",
    "cost": "core.orders_v1",
}
UNIT_OF = {
    "usage": "MB",
    "sms": "messages",
    "remaining": "MB",
    "remaining_share": "%",
    "used_share": "%",
    "forecast": "MB",
    "exhaustion": "date",
    "expiry": "date",
    "churn": "%",
    "inactive": "date",
    "last_used": "date",
    "active": "MB",
}
AGGREGATES = {
    "sum": "sum(value)",
    "average": "avg(value)",
    "median": "percentile_cont(0.5) WITHIN GROUP (ORDER BY value)",
    "maximum": "max(value)",
    "minimum": "min(value)",
    "count": "count(*)",
}


def compile_question(question: Question, today: date) -> Compiled:
    """Write a Question as SQL; `today` is the day after the last one known. Raises QuestionError where it cannot."""
    if question.against:
        return compile_against(question, lambda part: compile_question(part, today))
    if question.share:
        return compile_share(question, lambda part: compile_question(part, today))
    if question.metric in ROWS:
        return _of_rows(question)
    if question.group in TIMES:
        return compile_by_time(question)
    if question.metric == "forecast" and question.aggregation == "sum" and not question.comparisons:
        by_sims = _of_sims(question, today)
        by_sims.sql = sql_of_total(question, by_sims.sql, by_sims.parameters)
        return by_sims
    return _of_sims(question, today)


def _compared(comparisons: tuple[Comparison, ...], writer: Writer) -> list[str]:
    return [f"value {one.operator} {writer.put('limit', one.value)}::float8" for one in comparisons]


def _of_rows(question: Question) -> Compiled:
    table, writer = ROWS[question.metric], Writer()
    fields = dict(table.fields)
    grouped = fields | {name: form.format(day=table.day) for name, form in TIMES.items()}
    if table.sims:
        fields |= SIM_FIELDS
        grouped |= SIM_FIELDS | {"label": LABEL_GROUP, "sim": "r.iccid"}
    conditions = conditions_of(question.filters, fields, writer)
    if question.period:
        first, last = writer.put("first_day", question.period.first), writer.put("last_day", question.period.last)
        conditions.append(f"{table.day} BETWEEN {first}::date AND {last}::date")
    elif question.metric == "activations":
        conditions.append("r.activated_at IS NOT NULL")
    if question.comparisons:
        if table.amount is None:
            raise QuestionError(f"{question.metric} have no amount to compare")
        conditions += [
            f"{table.amount} {one.operator} {writer.put('limit', one.value)}::float8" for one in question.comparisons
        ]
    asked = {chosen.field for chosen in question.filters} | {question.group, question.also}
    source = f"{VIEW_OF[question.metric]} AS r"
    if asked & SIM_FIELDS.keys():
        source += "\nLEFT JOIN core.sims_v1 AS s ON s.iccid = r.iccid"
    chosen = where(conditions)
    order = "ASC" if question.ascending else "DESC"
    if question.aggregation == "list":
        text = f"SELECT {table.shown}\nFROM {source}{chosen}\nORDER BY {table.order} {order} NULLS LAST"
        return finish(writer, text, question, None)
    if question.aggregation == "count" or table.amount is None:
        value, currency = "count(DISTINCT r.iccid)" if question.sims else "count(*)", ""
        unit = "SIMs" if question.sims or question.metric == "activations" else str(question.metric)
    else:
        # amounts in different currencies are never added
        value = AGGREGATES[question.aggregation].replace("value", table.amount)
        value, unit, currency = f"coalesce({value}, 0)", "currency", ", r.currency"
    if question.group:
        names = [name for name in (question.group, question.also) if name]
        if unknown := [name for name in names if name not in grouped]:
            raise QuestionError(f"{question.metric} cannot be grouped by {unknown[0]}")
        shown = ", ".join(f"{grouped[name]} AS {name}" for name in names)
        groups = ", ".join(grouped[name] for name in names)
        by_time = question.group in TIMES and not question.top
        sort = f"1 {'DESC' if question.ascending else 'ASC'}, value DESC" if by_time else f"value {order}, 1"
        text = (
            f"SELECT {shown}, {value} AS value{currency}\nFROM {source}{chosen}\nGROUP BY "
            f"{groups}{currency}\nORDER BY {sort}{', 2' if question.also else ''}"
        )
        return finish(writer, text, question, unit)
    tail = f"\nGROUP BY {currency[2:]}\nORDER BY value DESC" if currency else ""
    return finish(writer, f"SELECT {value} AS value{currency}\nFROM {source}{chosen}{tail}", question, unit)


# the value of a SIM: a join, the value's expression, more columns, conditions
_Measure = tuple[str, str, list[str], list[str]]


def _measure(question: Question, today: date, writer: Writer) -> _Measure:
    if question.metric in ("usage", "sms", "active", "inactive"):
        if question.period is None:
            if question.metric == "inactive":
                return "", "s.last_used_on", ["s.state"], ["s.last_used_on IS NULL"]
            raise QuestionError(f"{question.metric} needs a period")
        return _of_usage(question, question.period, today, writer)
    if question.metric == "last_used":
        conditions = ["s.last_used_on IS NOT NULL"]
        if question.period:
            first, last = writer.put("first_day", question.period.first), writer.put("last_day", question.period.last)
            conditions = [f"s.last_used_on BETWEEN {first}::date AND {last}::date"]
        return "", "s.last_used_on", ["s.state"], conditions
    if question.metric in ("sims", "remaining", "remaining_share", "used_share"):
        return _of_quota(question)
    return _of_predictions(question, writer)


def _of_usage(question: Question, period: Period, today: date, writer: Writer) -> _Measure:
    first, last = writer.put("first_day", period.first), writer.put("last_day", period.last)
    if question.metric == "inactive":
        none = (
            "NOT EXISTS (SELECT FROM core.sim_usage_v1 AS u WHERE u.iccid = s.iccid"
            f" AND u.day BETWEEN {first}::date AND {last}::date AND (bytes > 0 OR {MESSAGES} > 0))"
        )
        return "", "s.last_used_on", ["s.state"], [none]
    made = "max" if question.peak else "sum"
    amount = f"{made}({MESSAGES})::float8" if question.metric == "sms" else f"{made}(bytes) / 1e6::float8"
    join = f"""LEFT JOIN (
    SELECT iccid, {amount} AS amount
    FROM core.sim_usage_v1
    WHERE day BETWEEN {first}::date AND {last}::date
    GROUP BY iccid
) AS u ON u.iccid = s.iccid"""  # noqa: S608 - fixed fragments and placeholders
    if question.metric == "active":
        return join, "u.amount", [], ["u.amount > 0"]
    # a SIM is known from its first row on; a day without a row is zero from then on
    known_then = [f"s.first_usage_on <= {last}::date"]
    if not question.daily:
        return join, "coalesce(u.amount, 0)", [], known_then
    known = writer.put("known_to", max(min(period.last, today - timedelta(1)), period.first))
    days = f"greatest({known}::date - greatest({first}::date, s.first_usage_on) + 1, 1)"
    return join, f"coalesce(u.amount, 0) / {days}", ["coalesce(u.amount, 0) AS amount", f"{days} AS days"], known_then


def _of_quota(question: Question) -> _Measure:
    if question.metric == "sims":
        one = any(chosen.field == "iccid" for chosen in question.filters)
        return "", "s.last_used_on", ["s.state", *(["s.country", "s.operator"] if one else [])], []
    # the view looks the newest answer up each time that the column is named: here once a SIM
    join, known = "CROSS JOIN LATERAL (SELECT s.remaining_mb OFFSET 0) AS q", "q.remaining_mb IS NOT NULL"
    if question.metric == "remaining":
        return join, "q.remaining_mb::float8", ["s.quota_total_mb::float8 AS quota_total_mb"], [known]
    left = "100 * q.remaining_mb / nullif(s.quota_total_mb, 0)"
    value = left if question.metric == "remaining_share" else f"100 - {left}"
    # rounded: 80 % used is 80, whatever a division makes of it
    value = f"round({value}, 6)::float8"
    return join, value, ["q.remaining_mb::float8 AS remaining_mb"], [known, "s.quota_total_mb > 0"]


def _of_predictions(question: Question, writer: Writer) -> _Measure:
    metric, view = question.metric, VIEW_OF[question.metric]
    newest = f"(SELECT max(as_of) FROM {view})"  # noqa: S608 - a name of VIEW_OF
    if metric == "forecast":
        ahead = writer.put("days_ahead", question.horizon or 30)
        join = f"""JOIN (
    SELECT iccid, sum(mean) / 1e6::float8 AS amount
    FROM {view}
    WHERE as_of = {newest} AND day <= as_of + {ahead}::integer
    GROUP BY iccid
) AS p ON p.iccid = s.iccid"""  # noqa: S608 - fixed fragments and placeholders
        return join, "p.amount", [], []
    join = f"JOIN {view} AS p ON p.iccid = s.iccid AND p.as_of = {newest}"
    if metric == "churn":
        return join, "100 * p.p_90::float8", ["p.risk_level"], []
    if metric in OF_RECOMMENDATIONS:
        conditions = ["p.action <> 'nothing'", *(["p.saving_minor > 0"] if metric == "savings" else [])]
        amount = "p.spend_minor" if metric == "recommended_cost" else "p.saving_minor"
        return join, f"{amount} / 100.0::float8", ["p.action", "p.currency"], conditions
    value = "p.expires_on" if metric == "expiry" else "p.p50_date"
    conditions = []
    if not any(chosen.field == "status" for chosen in question.filters):
        conditions += ["p.status NOT IN ('exhausted', 'expired')", f"{value} IS NOT NULL"]
        if question.period:
            first, last = writer.put("first_day", question.period.first), writer.put("last_day", question.period.last)
            conditions.append(f"{value} BETWEEN {first}::date AND {last}::date")
        if question.horizon is not None:
            conditions.append(f"{value} <= p.as_of + {writer.put('days_ahead', question.horizon)}::integer")
    return join, value, ["p.status", "p.cause"], conditions


def _of_sims(question: Question, today: date) -> Compiled:
    writer = Writer()
    join, value, more, conditions = _measure(question, today, writer)
    fields = SIM_FIELDS | ({"status": "p.status"} if question.metric in ("exhaustion", "expiry") else {})
    fields |= {"action": "p.action"} if question.metric in OF_RECOMMENDATIONS else {}
    fields |= {"risk_level": "p.risk_level"} if question.metric == "churn" else {}
    conditions = [*conditions_of(question.filters, fields, writer), *conditions]
    columns = ["s.iccid", "s.label", f"{value} AS value", *more]
    group = None
    if question.group:
        group = {**fields, "label": LABEL_GROUP}.get(question.group)
        if group is None:
            raise QuestionError(f"{question.metric} cannot be grouped by {question.group.replace('_', ' ')}")
        columns.append(f"{group} AS asked_group")
    also = {**fields, "label": LABEL_GROUP}.get(question.also) if question.also else None
    if question.also and also is None:
        raise QuestionError(f"{question.metric} cannot be grouped by {question.also.replace('_', ' ')}")
    columns += [f"{also} AS also_group"] if also else []
    inner = f"SELECT {', '.join(columns)}\nFROM core.sims_v1 AS s" + (f"\n{join}" if join else "") + where(conditions)
    outer = where(_compared(question.comparisons, writer))
    order = "ASC" if question.ascending else "DESC"
    currency = question.metric in OF_RECOMMENDATIONS
    unit = "currency" if currency else UNIT_OF.get(question.metric)
    if question.aggregation == "list":
        shown = [
            "iccid",
            "label",
            "value",
            *(one.rsplit(" AS ", 1)[-1].split(".")[-1] for one in more if not question.daily),
        ]
        text = (
            f"SELECT {', '.join(shown)}\nFROM (\n{inner}\n) AS per_sim{outer}\nORDER BY value {order} NULLS LAST, iccid"
        )
        return finish(writer, text, question, unit)
    if question.aggregation == "count":
        made, unit = "count(*)", "recommendations" if question.metric == "recommendations" else "SIMs"
    elif unit in (None, "date") or question.metric in ("inactive", "active"):
        raise QuestionError(f"{question.metric} can be counted and listed only")
    elif question.daily and question.aggregation == "average":
        made = "sum(amount) / nullif(sum(days), 0)"
    else:
        made = AGGREGATES[question.aggregation]
    money = ", currency" if currency and question.aggregation != "count" else ""
    counted = "" if question.aggregation == "count" else ", count(*) AS sims"
    if group:
        second, by_both = (f", also_group AS {question.also}", ", also_group") if also else ("", "")
        text = (
            f"SELECT asked_group AS {question.group}{second}, {made} AS value{counted}{money}\nFROM (\n{inner}\n) AS "
            f"per_sim{outer}\nGROUP BY asked_group{by_both}{money}\nORDER BY value {order} NULLS LAST, 1"
        )
    else:
        tail = "\nGROUP BY currency\nORDER BY value DESC" if money else ""
        text = f"SELECT {made} AS value{counted}{money}\nFROM (\n{inner}\n) AS per_sim{outer}{tail}"
    return finish(writer, text, question, unit)
