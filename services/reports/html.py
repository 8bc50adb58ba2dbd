"""The fleet report as one self-contained HTML page."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from ml.plots.exhaustion import plot_exhaustion
from ml.plots.figures import date_axis, legend_above, sim_name
from ml.plots.forecasting import plot_total_forecast
from ml.words import STARTER_CHURN
from resources.database.session import Row
from services.forecasting import COLUMNS, describe_backtest, fleet_expected
from services.quota.policy import describe_policy
from services.reports.fleet import SHOWN_DAYS, TOP, FleetFacts
from services.reports.page import environment

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def svg(figure: Figure) -> str:
    """A figure as SVG text, the same bytes for the same figure."""
    import matplotlib as mpl

    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "simsight", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue().decode()
    return text[text.index("<svg") :]


CHART_INCHES = 7
PHONE_INCHES = 3.6


def render(facts: FleetFacts) -> str:
    """The page, as HTML text that needs nothing else. The same facts give the same text."""
    return (
        environment(sparkline=_sparkline)
        .get_template("fleet.html.j2")
        .render(
            facts=facts,
            fleet_chart=_charts(lambda: plot_fleet(facts)) if facts.fleet.height else None,
            ends_chart=_charts(lambda: plot_ends(facts)) if facts.first_ends.height else None,
            alerts_shown=TOP,
            first_ends=facts.first_ends.to_dicts(),
            recent=[recent_usage(facts, days) for days in (7, 30)],
            outlook=fleet_expected(facts.fleet),
            alerts_open=sum(row["alerts"] for row in facts.alert_counts),
            tickets_by=_by_category(facts.ticket_counts),
            churn_by=_by_cause(facts.churn_counts),
            starter_churn=STARTER_CHURN,
            policy=describe_policy(facts.policy) if facts.policy else "",
            by_severity=_counted(facts.alert_counts, "severity"),
            by_kind=_counted(facts.alert_counts, "kind"),
            backtest=describe_backtest(facts.model["metrics"]) if facts.model else "",
        )
    )


def plot_fleet(facts: FleetFacts) -> Figure | None:
    """The fleet's daily usage with the forecast fan; None without a forecast."""
    if facts.fleet.is_empty():
        return None
    known = facts.daily.filter(pl.col("day") >= facts.data["first_day"]) if facts.data["first_day"] else facts.daily
    ahead = facts.fleet.rename({column: name for name, column in COLUMNS.items()})
    figure = plot_total_forecast(known, ahead, of="the fleet", shown_days=SHOWN_DAYS, note=facts.note)
    figure.set_figheight(3.7)
    return figure


def plot_ends(facts: FleetFacts) -> Figure:
    """The SIMs that end first, each by its label and ICCID."""
    names = [sim_name(*pair) for pair in facts.first_ends.select("iccid", "label").iter_rows()]
    return plot_exhaustion(_plotted_ends(facts.first_ends), as_of=facts.as_of, labels=names, note=facts.note)


def _plotted_ends(ends: pl.DataFrame) -> pl.DataFrame:
    """The frame that plot_exhaustion takes; a date known only by its expiry has no spread."""
    known = pl.col("status") != "not_enough_evidence"
    return ends.select(
        "status",
        "cause",
        pl.int_range(pl.len()).alias("sim_key"),
        pl.col("ends_on").alias("p50_date"),
        *(pl.when(known).then(name).otherwise("ends_on").alias(name) for name in ("p10_date", "p90_date")),
    )


def recent_usage(facts: FleetFacts, days: int) -> dict[str, Any]:
    """Bytes of the last `days` days, and of as many before: None where the history does not reach back so far."""
    volumes = facts.daily["bytes"]
    first = facts.data["first_day"]
    reaches = first is not None and first <= facts.as_of - timedelta(days=2 * days - 1)
    before = int(volumes[-2 * days : -days].sum()) if reaches else None
    return {"days": days, "bytes": int(volumes[-days:].sum()), "before": before}


def _by_category(rows: list[Row]) -> list[Row]:
    """category, tickets, to_person, unsolved: the rows of a category added up, the most tickets first."""
    added: dict[str, Row] = {}
    for row in rows:
        of = added.setdefault(
            row["category"], {"category": row["category"], "tickets": 0, "to_person": 0, "unsolved": 0}
        )
        for name in ("tickets", "to_person", "unsolved"):
            of[name] += row[name]
    return sorted(added.values(), key=lambda row: (-row["tickets"], row["category"]))


def _by_cause(rows: list[Row]) -> list[Row]:
    """cause, high, medium, low (SIMs), expected: the rows of a cause together, the most ends first."""
    added: dict[str, Row] = {}
    for row in rows:
        of = added.setdefault(row["cause"], {"cause": row["cause"], "high": 0, "medium": 0, "low": 0, "expected": 0.0})
        of[row["risk_level"]] += row["sims"]
        of["expected"] += row["expected"]
    return sorted(added.values(), key=lambda row: (-row["expected"], row["cause"]))


def _counted(rows: list[Row], by: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in rows:
        counts[row[by]] = counts.get(row[by], 0) + row["alerts"]
    return counts


def _charts(plot: Callable[[], Figure | None]) -> dict[str, str]:
    """The same picture twice, wide and as narrow as a phone: shrunk, its letters could not be read."""
    wide, narrow = plot(), plot()
    assert wide is not None
    assert narrow is not None
    wide.set_figwidth(CHART_INCHES)
    narrow.set_size_inches(PHONE_INCHES, max(3.2, narrow.get_figheight()))
    for axes in narrow.axes:
        legend_above(axes, columns=2)
        date_axis(axes, most_ticks=5)
        names = [text.get_text() for text in axes.get_yticklabels()]
        if any("  " in name for name in names):  # a label and an ICCID: one above the other
            axes.set_yticks(axes.get_yticks(), [name.replace("  ", "\n") for name in names], fontsize=6.5)
    return {"wide": _data_url(wide), "narrow": _data_url(narrow)}


def _data_url(figure: Figure) -> str:
    """The figure as an image of its own."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg(figure).encode()).decode()}"


def _sparkline(volumes: list[int], width: int = 90, height: int = 20) -> str:
    """The points of an SVG polyline through the volumes, the largest at the top."""
    largest = max(*volumes, 1)
    step = width / max(len(volumes) - 1, 1)
    return " ".join(f"{i * step:.1f},{height - volume / largest * height:.1f}" for i, volume in enumerate(volumes))
