"""Reports that are kept in the database: made, listed, read, and deleted when they are old."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from resources.database.session import Row, Transaction
from resources.files.formats import REPORT_SUFFIXES, ReportFormat
from resources.runtime import Runtime
from services.reports.formats import render
from services.reports.periods import ReportError
from services.reports.report import Report
from services.reports.sections.asking import Wanted

MAX_REPORTS = 1000


def make(runtime: Runtime, wanted: Wanted, title: str = "Fleet report") -> Report:
    """Read a report, all as of one moment."""
    from services.reports.collect import collect

    with runtime.database.transaction() as transaction:
        transaction.connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        return collect(transaction, wanted, probability=runtime.settings.exhaustion_probability, title=title)


def files_of(report: Report, formats: Sequence[ReportFormat]) -> dict[ReportFormat, bytes]:
    """The report in each of the formats."""
    return {format: render(report, format) for format in dict.fromkeys(formats)}


def file_name(report: Report, format: ReportFormat) -> str:
    return f"{report.file_stem}.{REPORT_SUFFIXES[format]}"


def keep(
    transaction: Transaction,
    report: Report,
    files: Mapping[ReportFormat, bytes],
    *,
    name: str,
    now: datetime,
    schedule_id: int | None = None,
) -> int | None:
    """Keep a report with its files, all or nothing; None where its schedule made one of the period already."""
    values = {
        "schedule_id": schedule_id,
        "name": name,
        "first": report.first_day,
        "last": report.last_day,
        "as_of": report.as_of,
        "label": report.label,
        "country": report.country,
        "data_note": report.note,
        "reading": report.sections[0].reading,
        "now": now,
    }
    kept = transaction.row("keep_report", values)
    if kept is None:
        return None
    for format, content in files.items():
        about = {"report_id": kept["report_id"], "format": format, "file_name": file_name(report, format)}
        transaction.execute("keep_report_file", about | {"content": content})
    return int(kept["report_id"])


def kept_reports(runtime: Runtime) -> list[Row]:
    """The reports that are kept, the newest first."""
    return runtime.database.rows("kept_reports", {"before": None, "rows": MAX_REPORTS})


def kept_file(runtime: Runtime, report_id: int, format: ReportFormat) -> tuple[str, bytes]:
    """The name and the content of a file that is kept. Raises ReportError."""
    found = runtime.database.row("kept_file", {"report_id": report_id, "format": format})
    if found is None:
        raise ReportError(f"no report {report_id} is kept as {format}: `simsight reports list` shows those there are")
    return found["file_name"], bytes(found["content"])


def write(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all. Raises ReportError."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        raise ReportError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)


def forget_old(runtime: Runtime) -> dict[str, Any]:
    """Delete reports older than SIMSIGHT_REPORT_DAYS; returns how many."""
    before = runtime.clock() - timedelta(days=runtime.settings.report_days)
    with runtime.database.transaction() as transaction:
        return {"reports": transaction.execute("forget_reports", {"before": before})}
