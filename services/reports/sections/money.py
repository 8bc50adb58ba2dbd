"""Cost, what is at stake, and savings: promised and real."""

from __future__ import annotations

from ml import words
from services.reports.report import Chart, Column, Section
from services.reports.sections.asking import (
    ICCID,
    LABEL,
    TOP,
    Asked,
    Row,
    counted,
    major,
    said_of,
    section_of,
)


def cost(asked: Asked) -> Section:
    found = asked.reader.rows("report_orders", asked.period)
    rows = [
        row
        | {
            "currency": row["currency"] or "unknown",
            "order_type": said_of(row["order_type"]).lower(),
            "invoiced": major(row["invoiced_minor"]),
        }
        for row in found
    ]
    reading = "No order of the period is stored."
    if rows:
        sums = counted(rows, "currency", "invoiced_minor")
        said = " and ".join(words.money(minor, currency) for currency, minor in sums.items())
        reading = (
            f"1NCE invoiced {said} for {words.so_many(sum(row['orders'] for row in found), 'order')} of the period."
        )
        if asked.sims is not None:
            reading += " An order of several SIMs counts by the share of them that this report is about."
    columns = {
        "order_type": Column("What was ordered"),
        "orders": Column("Orders", "count"),
        "invoiced": Column("Invoiced", "money"),
        "currency": Column("Currency"),
        "unknown": Column("Orders with unknown amount", "count"),
    }
    return section_of("cost", "Cost", reading, columns, rows)


def fleet_money(asked: Asked) -> Row | None:
    """What is at stake and what is saved: of the whole fleet as it is stored, of some SIMs as their sum."""
    if asked.as_of is None:
        return None
    if asked.sims is not None:
        return asked.reader.row("report_savings", asked.predicted)
    found = asked.reader.row("quota_fleet", {"as_of": asked.as_of})
    known = found is not None and found["state"] != "no_prices" and "at_stake_minor" in found["content"]
    return found["content"] if found and known else None


def money(asked: Asked) -> Section:
    money = fleet_money(asked)
    rows: list[Row] = []
    reading = "Nothing is recommended as of the last day: no prices are known, or nothing was computed."
    if asked.sims is not None and asked.as_of:
        reading = "Nothing is recommended for these SIMs."
    months = []
    if money:
        reading = (
            "If nothing is done about quotas, outages and purchases of the next year are expected to cost "
            f"{words.money(money['at_stake_minor'], money['currency'])}. The recommended actions are expected to save "
            f"{words.money(money['saving_minor'], money['currency'])} of that."
        )
        months = money.get("next_year", [])
        rows = [
            {
                "month": row["month"],
                "top_ups": major(row["top_ups_minor"]),
                "extensions": major(row["extensions_minor"]),
                "recurring": major(row["recurring_minor"]),
                "cost": major(row["cost_minor"]),
                "currency": money["currency"],
            }
            for row in months
        ]
        if rows:
            total = words.money(sum(row["cost_minor"] for row in months), money["currency"])
            reading += f" To keep every device that sends in service takes {total} in the next twelve months."
        elif asked.sims is not None:
            reading += " The money of each month is known for the whole fleet only."
    columns = {
        "month": Column("Month from now", "count"),
        "top_ups": Column("Top-ups", "money"),
        "extensions": Column("Extensions", "money"),
        "recurring": Column("Recurring", "money"),
        "cost": Column("Together", "money"),
        "currency": Column("Currency"),
    }
    return section_of("money", "Money of the next year", reading, columns, rows, Chart("bars", "month", ("cost",)))


def recommendations(asked: Asked) -> Section:
    found = asked.reader.rows("report_recommendations", {**asked.predicted, "top": TOP}) if asked.as_of else []
    rows = [
        row
        | {
            "action": said_of(row["action"]),
            "spend": major(row["spend_minor"]),
            "saving": major(row["saving_minor"]),
        }
        for row in found
    ]
    reading = "No action is cheaper than none."
    if rows:
        reading = (
            f"{words.so_many(found[0]['total'], 'action', 'is', 'are')} recommended as of {words.day(asked.as_of)}; "
            f"the best saves {words.money(found[0]['saving_minor'], found[0]['currency'])} in a year."
        )
    columns = {
        "recommendation_id": Column("No.", "count"),
        "iccid": ICCID,
        "label": LABEL,
        "action": Column("Action"),
        "saving": Column("Saves", "money"),
        "spend": Column("Takes", "money"),
        "currency": Column("Currency"),
        "valid_until": Column("Until", "day"),
        "decision": Column("Decided"),
        "reason": Column("Why"),
    }
    total = found[0]["total"] if found else None
    return section_of("recommendations", "What saves money", reading, columns, rows, total=total)


def realized(asked: Asked) -> Section:
    found = [] if asked.sims is not None else asked.reader.rows("realized_savings")
    within = [row for row in found if asked.wanted.first_day.replace(day=1) <= row["month"] <= asked.wanted.last_day]
    rows = [
        row
        | {
            "scope": "accepted" if row["scope"] == "accepted" else "all recommended",
            "predicted": major(row["predicted_minor"]),
            "realized": major(row["realized_minor"]),
        }
        for row in within
    ]
    reading = (
        "No month of the period was measured yet: savings are held against what came on the 2nd of the month after."
    )
    if asked.sims is not None:
        reading = "Realized savings are measured for the whole fleet only."
    elif rows:
        last = rows[-1]
        reading = (
            f"Of {words.day(last['month'])[:7]} {words.money(last['predicted_minor'], last['currency'])} were promised "
            f"and {words.money(last['realized_minor'], last['currency'])} came ({last['scope']})."
        )
    columns = {
        "month": Column("Month", "day"),
        "scope": Column("Of which"),
        "sims": Column("SIMs", "count"),
        "predicted": Column("Promised", "money"),
        "realized": Column("Came", "money"),
        "currency": Column("Currency"),
    }
    return section_of("realized_savings", "Savings: promised and real", reading, columns, rows)
