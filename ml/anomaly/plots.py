"""Pictures of anomalies: the worst SIMs of a day, and how a detector did on injected ones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import polars as pl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ml.history import BYTES_PER_MB
from ml.plots import BLUE, INK, ORANGE

SHOWN_DAYS = 90


def plot_worst(history: pl.DataFrame, worst: Sequence[dict[str, Any]], *, as_of: date, note: str = "") -> Figure:
    """The last 90 days of the worst SIMs of a day, the day of the anomaly marked. worst: rows with sim_key, label, kind and iccid."""
    rows = max(1, (len(worst) + 1) // 2)
    figure = Figure(figsize=(10, 1.9 * rows + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    if not worst:
        figure.text(0.5, 0.5, "no anomaly on this day", ha="center", va="center", color=INK)
        return figure
    first = as_of - timedelta(days=SHOWN_DAYS - 1)
    days = pl.DataFrame({"day": pl.date_range(first, as_of, eager=True)})
    for place, row in enumerate(worst):
        axes = figure.add_subplot(rows, 2, place + 1)
        own = history.filter(pl.col("sim_key") == row["sim_key"])
        daily = days.join(own.select("day", "bytes"), on="day", how="left").with_columns(pl.col("bytes").fill_null(0))
        volume = (daily["bytes"] / BYTES_PER_MB).to_list()
        axes.plot(daily["day"].to_numpy(), volume, color=BLUE, linewidth=1)
        axes.plot(daily["day"].to_numpy()[-1:], volume[-1:], "o", color=ORANGE, markersize=5)
        axes.set_title(f"{row['label'] or row['iccid']}: {row['kind'].replace('_', ' ')}", fontsize=8, color=INK)
        axes.set_ylabel("MB", fontsize=7)
        axes.tick_params(labelsize=6)
        axes.set_ylim(bottom=0)
    if note:
        figure.supxlabel(note, fontsize=7)
    return figure


def plot_trial(frame: pl.DataFrame, *, note: str = "") -> Figure:
    """Bars of the share of injected anomalies found, by kind. frame: `Trial.frame`."""
    figure = Figure(figsize=(7, 3), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if frame.is_empty():
        axes.text(0.5, 0.5, "too few SIMs for a test", ha="center", va="center", color=INK)
        axes.set_axis_off()
    else:
        bars = axes.bar(frame["kind"].to_list(), frame["recall"].to_list(), color=BLUE)
        axes.bar_label(
            bars, [f"{found} of {n}" for found, n in frame.select("found", "events").iter_rows()], fontsize=7
        )
        axes.set_ylim(0, 1.1)
        axes.set_ylabel("share found")
        axes.tick_params(labelsize=7)
        axes.set_title("Injected anomalies found within the test's days", fontsize=9)
    if note:
        figure.supxlabel(note, fontsize=7)
    return figure
