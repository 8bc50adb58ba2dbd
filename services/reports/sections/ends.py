"""Which SIMs run out, leave, and where they are in their life."""

from __future__ import annotations

from ml import words
from services.reports.report import Chart, Column, Section
from services.reports.sections.asking import (
    ICCID,
    LABEL,
    TOP,
    Asked,
    Row,
    major,
    mb,
    said_of,
    section_of,
)


def exhaustion(asked: Asked) -> Section:
    found = asked.reader.rows("report_grades", asked.predicted) if asked.as_of else []
    rows = [row | {"status": said_of(row["status"]), "data_grade": row["data_grade"] or "unknown"} for row in found]
    reading = "There are no predictions up to the last day of the period."
    if asked.as_of and not rows:
        reading = "There is no prediction of these SIMs." if asked.sims is not None else reading
    if rows:
        ends = asked.reader.row("report_key_figures", asked.predicted) or {}
        within = [words.count(ends[f"ends_{days}"]) for days in (7, 14)]
        reading = (
            f"As of {words.day(asked.as_of)}, {within[0]}, {within[1]} and "
            f"{words.so_many(ends['ends_30'], 'SIM', 'runs', 'run')} out of volume or time "
            f"within 7, 14 and 30 days, with a probability of {words.percent(asked.probability)} or more; "
            f"{words.so_many(ends['exhausted'], 'SIM', 'has', 'have')} no volume left and "
            f"{words.count(ends['expired'])} expired."
        )
    columns = {
        "status": Column("Status"),
        "data_grade": Column("Grade of the data"),
        "sims": Column("SIMs", "count"),
    }
    return section_of("exhaustion", "Running out", reading, columns, rows)


def first_ends(asked: Asked) -> Section:
    found = asked.reader.rows("report_first_ends", {**asked.predicted, "top": TOP}) if asked.as_of else []
    rows = [row | {"remaining_mb": mb(row["remaining"])} for row in found]
    reading = "No SIM has an end date."
    if rows:
        reading = (
            f"{words.so_many(found[0]['total'], 'SIM', 'has', 'have')} an end date. The first is "
            f"{words.day(found[0]['ends_on'])}; a SIM ends when its volume or its validity does."
        )
    columns = {
        "iccid": ICCID,
        "label": LABEL,
        "remaining_mb": Column("Left", "mb", "MB"),
        "p_14": Column("Ends within 14 days", "share"),
        "ends_on": Column("Median date", "day"),
        "p10_date": Column("10 %", "day"),
        "p90_date": Column("90 %", "day"),
        "cause": Column("Cause"),
    }
    total = found[0]["total"] if found else None
    return section_of("first_ends", "Who runs out first", reading, columns, rows, total=total)


def states(asked: Asked) -> Section:
    if asked.sims is None:
        of_day = {"as_of": asked.as_of or asked.wanted.last_day, "days": 1}
        found = [row for row in asked.reader.rows("state_counts", of_day) if row["sims"]]
        found.sort(key=lambda row: (-row["sims"], row["state"]))
    else:
        found = asked.reader.rows("report_states", {**asked.predicted, "as_of": asked.as_of or asked.wanted.last_day})
    total = sum(row["sims"] for row in found)
    rows = [row | {"share": row["sims"] / total} for row in found]
    reading = "The states of the SIMs were not evaluated for this day."
    if rows:
        reading = f"Most SIMs, {words.percent(rows[0]['share'])}, are {rows[0]['state']}."
    columns = {"state": Column("State"), "sims": Column("SIMs", "count"), "share": Column("Of all", "share")}
    return section_of(
        "states", "Where the SIMs are in their life", reading, columns, rows, Chart("bars", "state", ("sims",))
    )


def churn(asked: Asked) -> Section:
    found = asked.reader.rows("report_churn_counts", asked.predicted) if asked.as_of else []
    added: dict[str, Row] = {}
    for row in found:
        empty = {"cause": row["cause"], "high": 0, "medium": 0, "low": 0, "expected_ends": 0.0}
        of = added.setdefault(row["cause"], empty)
        of[row["risk_level"]] += row["sims"]
        of["expected_ends"] += float(row["expected"])
    rows = sorted(added.values(), key=lambda row: (-row["expected_ends"], row["cause"]))
    reading = "No risks of churn were computed: too few SIMs have left to learn from, or none of these is in service."
    if rows:
        high = sum(row["high"] for row in rows)
        reading = (
            f"As of {words.day(asked.as_of)} {words.so_many(high, 'SIM', 'is', 'are')} at high risk of leaving "
            "within 90 days. Exhausted and expired SIMs are no churn and come from the dates above."
        )
        rows = [row | {"cause": said_of(row["cause"])} for row in rows]
    columns = {
        "cause": Column("Cause"),
        "high": Column("High risk", "count", "SIMs"),
        "medium": Column("Medium", "count", "SIMs"),
        "low": Column("Low", "count", "SIMs"),
        "expected_ends": Column("Expected ends", "number"),
    }
    return section_of("churn", "Churn", reading, columns, rows, Chart("bars", "cause", ("expected_ends",)))


def churn_first(asked: Asked) -> Section:
    found = asked.reader.rows("report_churn_first", {**asked.predicted, "top": TOP}) if asked.as_of else []
    rows = [row | {"cause": said_of(row["cause"]), "value": major(row["value_minor"])} for row in found]
    reading = "No SIM has a risk of churn."
    if rows:
        reading = (
            f"{words.so_many(found[0]['total'], 'SIM', 'has', 'have')} a risk, ordered by risk, value at stake and "
            "what can be done. No effect of an action is claimed."
        )
        if found[0]["starter"]:
            reading += f" {words.STARTER_CHURN}"
    columns = {
        "iccid": ICCID,
        "label": LABEL,
        "p_90": Column("Leaves within 90 days", "share"),
        "risk_level": Column("Level"),
        "cause": Column("Cause"),
        "value": Column("Value", "money"),
        "currency": Column("Currency"),
        "reasons": Column("Why"),
        "action": Column("Action"),
    }
    total = found[0]["total"] if found else None
    return section_of("churn_first", "Churn: what is worth an action", reading, columns, rows, total=total)
