"""Anomalies, incidents and alerts of a period."""

from __future__ import annotations

from ml import words
from services.reports.report import Chart, Column, Section
from services.reports.sections.asking import (
    ICCID,
    LABEL,
    MAX_ALERTS,
    TOP,
    Asked,
    counted,
    said_of,
    section_of,
)


def anomalies(asked: Asked) -> Section:
    found = asked.reader.rows("report_anomaly_counts", asked.period)
    rows = [row | {"kind": said_of(row["kind"])} for row in found]
    reading = "No anomaly was found in the period."
    if rows:
        by = ", ".join(f"{words.count(n)} {severity}" for severity, n in counted(found, "severity", "sim_days").items())
        reading = f"Anomalies on SIM-days of the period: {by}."
    columns = {
        "kind": Column("Kind"),
        "severity": Column("Severity"),
        "sims": Column("SIMs", "count"),
        "sim_days": Column("SIM-days", "count"),
    }
    return section_of("anomalies", "Anomalies", reading, columns, rows)


def worst_anomalies(asked: Asked) -> Section:
    found = asked.reader.rows("report_anomalies", {**asked.period, "top": TOP})
    rows = [row | {"kind": said_of(row["kind"])} for row in found]
    reading = "No SIM has an anomaly in the period."
    if rows:
        reading = words.so_many(found[0]["total"], "SIM", "has an anomaly", "have anomalies")
        reading += " in the period; each is here with its worst."
    columns = {
        "iccid": ICCID,
        "label": LABEL,
        "day": Column("Day", "day"),
        "kind": Column("Kind"),
        "severity": Column("Severity"),
        "reasons": Column("Why"),
    }
    total = found[0]["total"] if found else None
    return section_of("worst_anomalies", "The worst anomaly of each SIM", reading, columns, rows, total=total)


def incidents(asked: Asked) -> Section:
    found = asked.reader.rows("report_incidents", {**asked.period, "top": TOP})
    rows = [row | {"kind": said_of(row["kind"])} for row in found]
    reading = "No incident, many SIMs with one cause, was under way in the period."
    if rows:
        was = words.so_many(found[0]["total"], "incident", "was", "were")
        reading = f"{was} under way in the period: many SIMs with one cause each."
    columns = {
        "incident_id": Column("No.", "count"),
        "kind": Column("Kind"),
        "severity": Column("Severity"),
        "sims": Column("SIMs", "count"),
        "first_day": Column("From", "day"),
        "last_day": Column("To", "day"),
        "title": Column("What"),
    }
    total = found[0]["total"] if found else None
    return section_of("incidents", "Incidents", reading, columns, rows, total=total)


def alert_days(asked: Asked) -> Section:
    rows = asked.reader.rows("report_alert_days", asked.period)
    rows = rows if any(row["open"] or row["opened"] or row["closed"] for row in rows) else []
    reading = "No alert was open in the period."
    if rows:
        reading = (
            f"In the period {words.so_many(sum(row['opened'] for row in rows), 'alert', 'was', 'were')} opened and "
            f"{words.count(sum(row['closed'] for row in rows))} closed; "
            f"{words.so_many(rows[-1]['open'], 'alert', 'is', 'are')} open on its last day."
        )
    columns = {
        "day": Column("Day", "day"),
        "open": Column("Open", "count"),
        "opened": Column("Opened", "count"),
        "closed": Column("Closed", "count"),
    }
    return section_of("alert_days", "Alerts a day", reading, columns, rows, Chart("line", "day", ("open",)))


def alerts(asked: Asked) -> Section:
    counts = asked.reader.rows("report_alert_counts", asked.period)
    total = sum(row["alerts"] for row in counts)
    found = asked.reader.rows("report_alerts", {**asked.period, "kind": None, "top": MAX_ALERTS})
    rows = [row | {"kind": said_of(row["kind"])} for row in found]
    reading = "No alert is open on the last day of the period."
    if total:
        by = ", ".join(f"{words.count(n)} {severity}" for severity, n in counted(counts, "severity", "alerts").items())
        reading = f"{words.so_many(total, 'alert', 'is', 'are')} open on {words.day(asked.wanted.last_day)}: {by}."
    columns = {
        "severity": Column("Severity"),
        "kind": Column("Kind"),
        "iccid": ICCID,
        "label": LABEL,
        "message": Column("What"),
        "opened_as_of": Column("Open since", "day"),
    }
    return section_of("alerts", "Open alerts", reading, columns, rows, total=total)
