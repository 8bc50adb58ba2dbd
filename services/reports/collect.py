"""A report's tables, read from the database for any period and choice of SIMs; no clock is read."""

from __future__ import annotations

from services.reports.report import Report
from services.reports.sections import ends, events, money, quality, usage
from services.reports.sections.asking import Asked, Reader, Wanted


def collect(reader: Reader, wanted: Wanted, *, probability: float, title: str = "Fleet report") -> Report:
    """Read everything a report says.

    probability  from which a SIM is counted as running out
    """
    about = reader.row("report_as_of", {"last": wanted.last_day})
    assert about is not None
    sims = None
    if wanted.label is not None or wanted.country is not None:
        chosen = {"label": wanted.label, "country": wanted.country, "as_of": wanted.last_day}
        sims = (reader.row("report_sims", chosen) or {"sims": []})["sims"]
    asked = Asked(reader, wanted, about["as_of"], sims, probability)
    data = reader.row("report_data", {**asked.period, "as_of": wanted.last_day}) or {}
    grades: dict[str, int] = {}
    for row in reader.rows("report_grades", asked.predicted):
        grades[row["data_grade"] or "unknown"] = grades.get(row["data_grade"] or "unknown", 0) + row["sims"]
    sections = [
        usage.key_figures(asked, data),
        usage.usage(asked, data),
        usage.forecast(asked),
        usage.consumers(asked),
        usage.changes(asked),
        usage.places(asked),
        money.cost(asked),
        money.money(asked),
        money.recommendations(asked),
        money.realized(asked),
        ends.exhaustion(asked),
        ends.first_ends(asked),
        ends.states(asked),
        events.anomalies(asked),
        events.worst_anomalies(asked),
        events.incidents(asked),
        events.alert_days(asked),
        events.alerts(asked),
        ends.churn(asked),
        ends.churn_first(asked),
        quality.coverage(asked),
        quality.faults(asked),
        quality.models(asked),
        quality.forecast_scores(asked),
    ]
    return Report(
        title=title,
        organization=about["organization"],
        first_day=wanted.first_day,
        last_day=wanted.last_day,
        as_of=about["as_of"],
        newest_day=data.get("newest_day"),
        grades=dict(sorted(grades.items())),
        note=about["data_note"],
        label=wanted.label,
        country=wanted.country,
        sections=sections,
    )
