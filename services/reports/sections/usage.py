"""What was used, where and by whom, and what is expected."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import polars as pl

from ml import words
from services.forecasting import FLEET_SCHEMA, fleet_expected
from services.reports.report import Chart, Column, Section
from services.reports.sections.asking import (
    ICCID,
    LABEL,
    TOP,
    Asked,
    Row,
    counted,
    major,
    mb,
    section_of,
)
from services.reports.sections.money import fleet_money


def _before(asked: Asked, data: Row) -> float | None:
    """MB of as many days before the period; None where the history does not reach back so far."""
    wanted = asked.wanted
    first = wanted.first_day - timedelta(days=wanted.days)
    if data.get("first_day") is None or data["first_day"] > first:
        return None
    day = {**asked.period, "as_of": wanted.first_day - timedelta(days=1)}
    return mb(sum(row["bytes"] for row in asked.reader.rows("report_fleet_days", day)))


def _megabytes(rows: Sequence[Row]) -> str:
    return words.megabytes(sum(row["bytes"] for row in rows))


def known_days(asked: Asked, data: Row) -> list[Row]:
    """The days of the period from the first to the newest that is stored: of others nothing is known."""
    fleet = data if asked.sims is None else asked.reader.row("report_data", {**asked.period, "sims": None})
    newest = (fleet or {}).get("newest_day")
    if newest is None or data.get("first_day") is None:
        return []
    days = asked.reader.rows("report_fleet_days", asked.period)
    return [row for row in days if data["first_day"] <= row["day"] <= newest]


def key_figures(asked: Asked, data: Row) -> Section:
    """The figures of the fleet page, and of terminal, dashboard and API of the same day."""
    reader, period = asked.reader, asked.period
    fleet = reader.row("report_key_figures", {**period, "probability": asked.probability}) or {}
    ends = (reader.row("report_key_figures", asked.predicted) or {}) if asked.as_of else {}
    alerts = reader.rows("report_alert_counts", period)
    days = known_days(asked, data)
    figures: list[tuple[str, float | None, str]] = [
        ("SIMs", fleet["sims"], "SIMs"),
        ("Activated by the last day", fleet["activated"], "SIMs"),
        ("Active in the last 7 days of the period", fleet["active_7"] if days else None, "SIMs"),
        ("Usage in the period", mb(sum(row["bytes"] for row in days)) if days else None, "MB"),
        ("Usage in as many days before", _before(asked, data), "MB"),
    ]
    expected = fleet_expected(_fleet_frame(asked)) if asked.sims is None else []
    figures += [(f"Usage expected in the next {one.days} days", mb(one.expected), "MB") for one in expected]
    if ends.get("scored"):
        figures += [(f"End within {within} days", ends[f"ends_{within}"], "SIMs") for within in (7, 14, 30)]
        figures += [("Exhausted", ends["exhausted"], "SIMs"), ("Expired", ends["expired"], "SIMs")]
    figures += [("Open alerts on the last day", sum(row["alerts"] for row in alerts), "alerts")]
    figures += [
        (f"Open alerts, {severity}", count, "alerts")
        for severity, count in counted(alerts, "severity", "alerts").items()
    ]
    money = fleet_money(asked)
    if money:
        figures += [
            ("At stake in a year if nothing is done", major(money["at_stake_minor"]), money["currency"]),
            ("Saved in a year by what is recommended", major(money["saving_minor"]), money["currency"]),
        ]
    figures += [("Usage rows up to the last day", data.get("usage_rows", 0), "rows")]
    reading = f"No usage of the {words.so_many(fleet['sims'], 'SIM')} is stored for the period."
    if days:
        reading = f"{words.so_many(fleet['sims'], 'SIM')} used {_megabytes(days)} MB in the period."
    if 0 < len(days) < asked.wanted.days:
        reading += f" Usage of {words.count(len(days))} of its {words.count(asked.wanted.days)} days is known."
    if not fleet["sims"]:
        reading = (
            "No SIM is chosen: nothing is stored for this choice." if asked.sims == [] else "No SIM is stored yet."
        )
    elif ends.get("scored"):
        reading += (
            f" SIMs that end within 14 days with a probability of {words.percent(asked.probability)} or more: "
            f"{words.count(ends['ends_14'])}; the predictions are as of {words.day(asked.as_of)}."
        )
    rows = [{"figure": name, "value": value, "unit": unit} for name, value, unit in figures if value is not None]
    columns = {"figure": Column("Figure"), "value": Column("Value", "figure"), "unit": Column("Unit")}
    return section_of("key_figures", "Key figures", reading, columns, rows)


def usage(asked: Asked, data: Row) -> Section:
    rows = [{"day": row["day"], "usage_mb": mb(row["bytes"])} for row in known_days(asked, data)]
    reading = "No usage is stored for the period."
    if rows:
        total = sum(row["usage_mb"] for row in rows)
        most = max(rows, key=lambda row: row["usage_mb"])
        reading = (
            f"{words.megabytes(total * 1e6)} MB in {words.so_many(len(rows), 'day')}, "
            f"{words.megabytes(total / len(rows) * 1e6)} MB a day on average; the most was "
            f"{words.megabytes(most['usage_mb'] * 1e6)} MB on {words.day(most['day'])}."
        )
    columns = {"day": Column("Day", "day"), "usage_mb": Column("Usage", "mb", "MB")}
    return section_of("usage", "Usage a day", reading, columns, rows, Chart("line", "day", ("usage_mb",)))


def _fleet_frame(asked: Asked) -> pl.DataFrame:
    found = asked.reader.rows("fleet_forecast", {"as_of": asked.as_of}) if asked.as_of else []
    return pl.DataFrame(found, schema=FLEET_SCHEMA, orient="row")


def forecast(asked: Asked) -> Section:
    columns = {
        "day": Column("Day", "day"),
        "expected_mb": Column("Expected", "mb", "MB"),
        "low_mb": Column("Lower end of the 80 % interval", "mb", "MB"),
        "high_mb": Column("Upper end of the 80 % interval", "mb", "MB"),
    }
    title = "Forecast"
    reading = "There is no forecast up to the last day of the period."
    rows: list[Row] = []
    if asked.sims is None:
        frame = _fleet_frame(asked)
        rows = [
            {"day": row["day"], "expected_mb": mb(row["mean"]), "low_mb": mb(row["q10"]), "high_mb": mb(row["q90"])}
            for row in frame.iter_rows(named=True)
        ]
        if rows:
            said = "; ".join(f"in the next {one.days} days {one.text}" for one in fleet_expected(frame))
            reading = f"Expected after {words.day(asked.as_of)}: {said}."
    elif asked.as_of and asked.sims:
        found = asked.reader.rows("report_sims_forecast", asked.predicted)
        rows = [{"day": row["day"], "expected_mb": mb(row["mean"]), "low_mb": None, "high_mb": None} for row in found]
        if rows:
            total = sum(row["mean"] for row in found)
            reading = (
                f"Expected in the {len(rows)} days after {words.day(asked.as_of)}: {words.megabytes(total)} MB, the "
                "sum of the SIMs' own forecasts; an interval is known for the whole fleet only."
            )
    band = ("low_mb", "high_mb") if asked.sims is None else None
    return section_of("forecast", title, reading, columns, rows, Chart("line", "day", ("expected_mb",), band))


def consumers(asked: Asked) -> Section:
    found = asked.reader.rows("report_top_consumers", {**asked.period, "top": TOP})
    rows = [row | {"usage_mb": mb(row["bytes"]), "share": float(row["bytes"] / row["fleet_bytes"])} for row in found]
    reading = "No SIM used data in the period."
    if rows:
        first = rows[0]
        reading = (
            f"{words.count(first['total'])} SIMs used data; the one that used most had "
            f"{words.percent(first['share'], 1)} of it."
        )
    columns = {
        "iccid": ICCID,
        "label": LABEL,
        "usage_mb": Column("Usage", "mb", "MB"),
        "share": Column("Of all", "share"),
    }
    total = found[0]["total"] if found else None
    return section_of("top_consumers", "Who used most", reading, columns, rows, total=total)


def changes(asked: Asked) -> Section:
    found = asked.reader.rows("report_changes", {**asked.period, "top": TOP // 5})
    rows = [
        row
        | {
            "usage_mb": mb(row["bytes"]),
            "before_mb": mb(row["before"]),
            "change_mb": mb(row["bytes"] - row["before"]),
        }
        for row in found
    ]
    reading = "No SIM that was active in as many days before used another volume in the period."
    if rows:
        reading = (
            f"Beside the {asked.wanted.days} days before, the use of {words.count(len(rows))} SIMs changed most; "
            f"the largest change is {words.megabytes(abs(found[0]['bytes'] - found[0]['before']))} MB."
        )
    columns = {
        "iccid": ICCID,
        "label": LABEL,
        "usage_mb": Column("In the period", "mb", "MB"),
        "before_mb": Column("In as many days before", "mb", "MB"),
        "change_mb": Column("Change", "mb", "MB"),
    }
    return section_of("changes", "Whose use changed most", reading, columns, rows)


def places(asked: Asked) -> Section:
    found = asked.reader.rows("report_places", {**asked.period, "top": TOP})
    rows = [
        {
            "country": row["country"] or "never seen",
            "operator": row["operator"] or "unknown",
            "sims": row["sims"],
            "usage_mb": mb(row["bytes"]),
        }
        for row in found
    ]
    reading = "No SIM is there to be seen anywhere."
    if rows:
        countries = {row["country"] for row in found if row["country"]}
        reading = (
            f"The SIMs were last seen in {words.count(len(countries))} countries. A SIM counts where it was last seen, "
            "with all it used in the period."
        )
    columns = {
        "country": Column("Country"),
        "operator": Column("Operator"),
        "sims": Column("SIMs", "count"),
        "usage_mb": Column("Usage", "mb", "MB"),
    }
    total = found[0]["total"] if found else None
    return section_of(
        "places",
        "Countries and operators",
        reading,
        columns,
        rows,
        Chart("bars", "country", ("sims",), beside="operator"),
        total,
    )
