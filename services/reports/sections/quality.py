"""How good the data and the models are."""

from __future__ import annotations

from ml import words
from resources.once.errors import problem_in_words
from services.forecasting import describe_backtest
from services.known_models import specs
from services.model_specs import FORECASTER
from services.reports.report import Chart, Column, Section
from services.reports.sections.asking import (
    TOP,
    Asked,
    Row,
    counted,
    section_of,
)


def coverage(asked: Asked) -> Section:
    found = asked.reader.rows("report_coverage", asked.period)
    rows = [
        row | {"share": row["reported"] / row["activated"] if row["activated"] else None}
        for row in found
        if row["activated"]
    ]
    reading = "No SIM was activated up to the last day of the period."
    if rows:
        share = sum(row["reported"] for row in rows) / sum(row["activated"] for row in rows)
        reading = (
            f"{words.percent(share, 1)} of the days of activated SIMs have a usage row. A day without traffic may have "
            "none."
        )
    columns = {
        "day": Column("Day", "day"),
        "activated": Column("Activated", "count", "SIMs"),
        "reported": Column("With a usage row", "count", "SIMs"),
        "share": Column("Share", "share"),
    }
    return section_of("coverage", "Data quality: coverage", reading, columns, rows, Chart("line", "day", ("share",)))


def faults(asked: Asked) -> Section:
    data = asked.reader.row("report_data", asked.period) or {}
    rows: list[Row] = []
    if data.get("corrections"):
        about = "values replaced by later ones in the period and since"
        rows.append({"what": "late corrections", "source": "usage", "reason": about, "records": data["corrections"]})
    if asked.sims is None:
        rows += [row | {"what": "quarantined records"} for row in asked.reader.rows("report_quarantine", {"top": TOP})]
    rows += [
        {
            "what": "SIMs whose last call gave nothing",
            "source": row["source"],
            "reason": problem_in_words(row["problem"]),
            "records": row["sims"],
        }
        for row in asked.reader.rows("report_poll_problems", asked.period)
    ]
    said = "; ".join(f"{what}: {words.count(n)}" for what, n in counted(rows, "what", "records").items())
    reading = f"Faults by kind: {said}." if rows else "No fault is known: nothing in quarantine, no call failed."
    if asked.sims is not None:
        reading += " Records in quarantine are counted for the whole organization only."
    columns = {
        "what": Column("What"),
        "source": Column("Source"),
        "reason": Column("Reason"),
        "records": Column("How many", "count"),
    }
    return section_of("faults", "Data quality: faults", reading, columns, rows)


def models(asked: Asked) -> Section:
    champions = {row["model_name"]: row for row in asked.reader.rows("report_champions")}
    rows = []
    for spec in specs():
        if (found := champions.get(spec.name)) is None:
            continue
        rows += [
            {
                "model": spec.name,
                "version": found["model_version"],
                "trained_as_of": found["trained_as_of"],
                "metric": f"{metric.heading} {metric.meaning}".strip(),
                "value": float(found["metrics"][metric.name]),
                "unit": "share" if metric.form == "%" else "number",
            }
            for metric in spec.metrics
            if found["metrics"].get(metric.name) is not None
        ]
    reading = "No model is champion yet."
    if (forecaster := champions.get(FORECASTER)) is not None:
        reading = describe_backtest(forecaster["metrics"])
    if asked.sims is not None:
        reading += " Models are those of the whole fleet."
    columns = {
        "model": Column("Model"),
        "version": Column("Version", "count"),
        "trained_as_of": Column("Trained as of", "day"),
        "metric": Column("Metric"),
        "value": Column("Value", "figure"),
        "unit": Column("Unit"),
    }
    return section_of("models", "Model quality: backtests", reading, columns, rows)


def forecast_scores(asked: Asked) -> Section:
    found = asked.reader.rows("forecast_scores", {**asked.period, "model_name": FORECASTER})
    rows = [row | {"version": row["model_version"]} for row in found]
    reading = "No forecast of a day of the period has been held against what came."
    if rows:
        mean = sum(row["coverage_80"] * row["n"] for row in found) / max(sum(row["n"] for row in found), 1)
        held = words.percent(mean)
        reading = f"Of the days of the period that forecasts were held against, their 80 % interval held {held}."
    if asked.sims is not None and rows:
        reading += " This is of the whole fleet."
    columns = {
        "day": Column("Day", "day"),
        "horizon": Column("Days ahead"),
        "version": Column("Version", "count"),
        "sims": Column("SIMs", "count"),
        "rmase": Column("Error beside seasonal naive", "number"),
        "coverage_80": Column("In the 80 % interval", "share"),
        "coverage_95": Column("In the 95 % interval", "share"),
    }
    return section_of("forecast_scores", "Model quality: forecasts against what came", reading, columns, rows)
