"""The fleet report made, stored and written to the report folder."""

import os
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

from resources.runtime import Runtime
from services.reports.fleet import read_facts
from services.reports.html import plot_fleet, render
from services.reports.summary import summarize


def make_report(runtime: Runtime, as_of: date) -> dict[str, Any]:
    """Read, render, store and write the report as of a day; returns what was done, with its path and a figure."""
    facts = read_facts(runtime, as_of)
    page = render(facts)
    with runtime.database.transaction() as transaction:
        changed = transaction.execute("save_report", {"as_of": as_of, "html": page, "now": runtime.clock()})
        transaction.execute("save_fleet_summary", {"as_of": as_of, "content": summarize(facts), "now": runtime.clock()})
        transaction.execute("save_sim_summaries", {"as_of": as_of})
        transaction.execute("save_sim_places")
    path = write_report(runtime.settings.report_folder, as_of, page)
    metadata: dict[str, Any] = {
        "report": path,
        "as of": as_of.isoformat(),
        "changed": bool(changed),
        "size in kB": round(len(page.encode()) / 1000, 1),
        "sims": facts.figures["sims"],
        "open alerts": sum(row["alerts"] for row in facts.alert_counts),
    }
    figure = plot_fleet(facts)
    return metadata | ({"fleet": figure} if figure else {})


def write_report(folder: Path, as_of: date, page: str) -> Path:
    """Write fleet-<as_of>.html and, unless a later day is there, fleet-latest.html; each is old or new, never half."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"fleet-{as_of}.html"
    _replace(path, page)
    newest = max(folder.glob("fleet-[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9].html"))
    if newest == path:
        _replace(folder / "fleet-latest.html", page)
    return path


def _replace(path: Path, text: str) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        os.chmod(temporary, 0o644)  # mkstemp's 0600 would hide the page from a web server
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
