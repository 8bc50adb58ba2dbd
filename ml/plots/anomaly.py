"""Pictures of anomalies."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from ml.plots.figures import (
    BLUE,
    INK,
    ORANGE,
    date_axis,
    drawable,
    in_mb,
    in_numbers,
    new_figure,
    nothing_to_show,
    sim_name,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


WORST_DAYS = 90


@drawable
def plot_worst(history: pl.DataFrame, worst: Sequence[dict[str, Any]], *, as_of: date, note: str = "") -> Figure:
    """The last WORST_DAYS days of the worst SIMs of a day, the day of the anomaly marked.

    history  sim_key, day, bytes
    worst    rows with sim_key, iccid, label and kind
    """
    rows = max(1, (len(worst) + 1) // 2)
    figure, axes = new_figure("", note, size=(10, 1.9 * rows + 0.5))
    if not worst:
        return nothing_to_show(axes, "no anomaly on this day")
    axes.remove()
    days = pl.DataFrame({"day": pl.date_range(as_of - timedelta(days=WORST_DAYS - 1), as_of, eager=True)})
    for place, row in enumerate(worst):
        axes = figure.add_subplot(rows, 2, place + 1)
        own = history.filter(pl.col("sim_key") == row["sim_key"])
        daily = days.join(own.select("day", "bytes"), on="day", how="left").with_columns(pl.col("bytes").fill_null(0))
        volume, x = in_mb(daily["bytes"]), in_numbers(daily["day"].to_list())
        axes.plot(x, volume, color=BLUE, linewidth=1)
        axes.plot(x[-1:], volume[-1:], "o", color=ORANGE, markersize=5)
        axes.set_title(
            f"{sim_name(row['iccid'], row['label'])}: {row['kind'].replace('_', ' ')}", fontsize=8, color=INK
        )
        axes.set_ylabel("MB", fontsize=7)
        axes.tick_params(labelsize=6)
        axes.set_ylim(bottom=0)
        date_axis(axes)
        axes.xaxis.get_offset_text().set_fontsize(6)
    return figure


@drawable
def plot_injection_test(frame: pl.DataFrame, *, note: str = "") -> Figure:
    """Bars of the share of injected anomalies found, by kind. frame:
    `ml.anomaly.injection_trial.InjectionTest.frame`."""
    figure, axes = new_figure("Injected anomalies found within the test's days", note, size=(7, 3))
    if frame.is_empty():
        return nothing_to_show(axes, "too few SIMs for a test")
    bars = axes.bar(frame["kind"].to_list(), frame["recall"].to_list(), color=BLUE)
    axes.bar_label(bars, [f"{found} of {n}" for found, n in frame.select("found", "events").iter_rows()], fontsize=7)
    axes.set_ylim(0, 1.1)
    axes.set_ylabel("share found")
    return figure
