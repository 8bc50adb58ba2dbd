"""The fleet report as one self-contained HTML page."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ml.history import BYTES_PER_MB
from ml.plots.exhaustion import plot_exhaustion
from ml.plots.figures import date_axis, legend_above, sim_name
from ml.plots.forecasting import plot_fleet_forecast
from resources.database.session import Row
from services.reports.fleet import SHOWN_DAYS, TOP, FleetFacts

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
        _environment()
        .get_template("fleet.html.j2")
        .render(
            facts=facts,
            fleet_chart=_charts(lambda: plot_fleet(facts)) if facts.futures is not None else None,
            ends_chart=_charts(lambda: plot_ends(facts)) if facts.first_ends.height else None,
            alerts_shown=TOP,
            first_ends=facts.first_ends.to_dicts(),
            recent=[_recent(facts, days) for days in (7, 30)],
            outlook=[_outlook(facts, days) for days in (7, 30)],
            alerts_open=sum(row["alerts"] for row in facts.alert_counts),
            by_severity=_counted(facts.alert_counts, "severity"),
            by_kind=_counted(facts.alert_counts, "kind"),
            backtest=describe_backtest(facts.model["metrics"]) if facts.model else "",
        )
    )


def plot_fleet(facts: FleetFacts) -> Figure | None:
    """The fleet's daily usage with the forecast fan; None without a forecast."""
    if facts.futures is None:
        return None
    known = facts.daily.filter(pl.col("day") >= facts.data["first_day"]) if facts.data["first_day"] else facts.daily
    figure = plot_fleet_forecast(known, facts.futures, as_of=facts.as_of, shown_days=SHOWN_DAYS, note=facts.note)
    figure.set_figheight(3.7)
    return figure


def plot_ends(facts: FleetFacts) -> Figure:
    """The SIMs that end first, each by its label and ICCID."""
    names = [sim_name(*pair) for pair in facts.first_ends.select("iccid", "label").iter_rows()]
    return plot_exhaustion(_plotted_ends(facts.first_ends), as_of=facts.as_of, labels=names, note=facts.note)


def describe_backtest(metrics: dict[str, float]) -> str:
    """How good a model was on days it had not seen, in a sentence for everyone.

    metrics  backtest figures by name: rmase (error over seasonal naive's), coverage_80 and coverage_95 (shares)
    """
    if not {"rmase", "coverage_80", "coverage_95"} <= metrics.keys():
        return "It could not be tested on past days yet: the history is too short."
    gain = round(100 * (1 - metrics["rmase"]))
    compared = f"{abs(gain)} % {'smaller' if gain > 0 else 'larger'} than" if gain else "as large as"
    covered = {level: round(100 * metrics[f"coverage_{level}"]) for level in (80, 95)}
    return (
        f"On past days it had not seen, its error was {compared} that of simply repeating last week; its 80 % interval "
        f"held the true value {covered[80]} % of the time, its 95 % interval {covered[95]} %."
    )


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


def _recent(facts: FleetFacts, days: int) -> dict[str, Any]:
    """Bytes of the last `days` days, and of as many before: None where the history does not reach back so far."""
    volumes = facts.daily["bytes"]
    first = facts.data["first_day"]
    reaches = first is not None and first <= facts.as_of - timedelta(days=2 * days - 1)
    before = int(volumes[-2 * days : -days].sum()) if reaches else None
    return {"days": days, "bytes": int(volumes[-days:].sum()), "before": before}


def _outlook(facts: FleetFacts, days: int) -> dict[str, Any] | None:
    """Expected bytes of the next `days` days with the 80 % interval of their sum."""
    if facts.forecast is None or facts.futures is None:
        return None
    low, high = np.quantile(facts.futures[:, :days].sum(axis=1), (0.1, 0.9))
    return {"days": days, "expected": facts.forecast[f"expected_{days}"], "low": low, "high": high}


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


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,  # labels and messages are foreign text
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"money": _money, "mb": _mb, "chance": _chance, "change": _change, "sparkline": _sparkline}
    return environment


def _mb(volume: float | None) -> str:
    """Bytes in MB, to about three figures."""
    if volume is None:
        return "unknown"
    megabytes = volume / BYTES_PER_MB
    digits = 0 if abs(megabytes) >= 100 else 1 if abs(megabytes) >= 10 else 2 if abs(megabytes) >= 1 else 3
    return f"{megabytes:,.{digits}f}"


def _money(minor: int, currency: str | None) -> str:
    """An amount in minor units (hundredths) as text, such as "1,234.50 EUR"."""
    return f"{minor / 100:,.2f} {currency or ''}".rstrip()


def _chance(probability: float | None) -> str:
    """A probability from some hundred samples, in words that do not claim certainty."""
    if probability is None:
        return "unknown"
    if probability < 0.005:
        return "under 1 %"
    return "over 99 %" if probability >= 0.995 else f"{probability * 100:.0f} %"


def _change(volume: int, before: int | None) -> str:
    """A change in words, such as "+12 %"; no share of nothing."""
    return f"{(volume / before - 1) * 100:+.0f} %" if before else ""


def _sparkline(volumes: list[int], width: int = 90, height: int = 20) -> str:
    """The points of an SVG polyline through the volumes, the largest at the top."""
    largest = max(*volumes, 1)
    step = width / max(len(volumes) - 1, 1)
    return " ".join(f"{i * step:.1f},{height - volume / largest * height:.1f}" for i, volume in enumerate(volumes))
