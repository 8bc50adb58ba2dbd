"""Pictures of exhaustion dates and of how they were tested."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from ml.plots.figures import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    date_axis,
    drawable,
    in_numbers,
    legend_above,
    new_figure,
    nothing_to_show,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@drawable
def plot_reliability(calibration: pl.DataFrame, *, note: str = "") -> Figure:
    """Stated probability of the end by a date against the share that had ended by it: on the diagonal, dates are
    honest.

    calibration  `ml.exhaustion.backtest.Scores.calibration`; "all" is drawn bold, each group of SIMs thin
    """
    figure, axes = new_figure("Exhaustion dates: stated and achieved probability", note, size=(5.6, 5.4))
    if calibration.is_empty():
        return nothing_to_show(axes, "not enough history for a backtest")
    axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle="--", label="perfectly calibrated")
    for (name,), line in calibration.sort("level").group_by("group", maintain_order=True):
        if name != "all":
            axes.plot(line["level"], line["achieved"], color=GREY, linewidth=0.8, alpha=0.7)
            axes.annotate(str(name), (line["level"][-1], line["achieved"][-1]), fontsize=6, color=GREY)
    whole = calibration.filter(pl.col("group") == "all").sort("level")
    axes.plot(whole["level"], whole["achieved"], color=BLUE, marker="o", markersize=4, label="all SIMs")
    axes.set_xlim(0, 1.12)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("probability stated")
    axes.set_ylabel("share that had ended")
    legend_above(axes)
    return figure


@drawable
def plot_exhaustion(
    frame: pl.DataFrame, *, as_of: date, labels: Sequence[str] | None = None, top: int = 20, note: str = ""
) -> Figure:
    """The `top` SIMs that end first: the median date and the span from the 10 to the 90 % date, an arrow where that
    lies far off.

    frame   `Exhaustion.frame`; SIMs without a median date, exhausted or expired already are left out
    labels  one name a row of the frame; by default the SIM's key
    """
    names = pl.Series("label", labels if labels is not None else frame["sim_key"].cast(pl.String))
    rows = frame.with_columns(names).filter(
        pl.col("p50_date").is_not_null(), ~pl.col("status").is_in(["exhausted", "expired"])
    )
    rows = rows.sort("p50_date", "sim_key").head(top)
    figure, axes = new_figure("SIMs that end first", note, size=(8, 1.9 + 0.27 * max(rows.height, 4)))
    if rows.is_empty():
        return nothing_to_show(axes, "no SIM has an end date")
    place = np.arange(rows.height)
    (today,) = in_numbers([as_of])
    low, middle, high = (in_numbers(rows[f"p{share}_date"].to_list()) for share in (10, 50, 90))
    # A span of years would press everything else into one point.
    edge = today + max(1.5 * float((middle - today).max()), 30.0)
    far = ~(high <= edge)
    shown = np.where(np.isnan(high), middle, np.minimum(high, edge))
    for cause, colour, marker in (("volume", BLUE, "o"), ("expiry", ORANGE, "s")):
        chosen = (rows["cause"] == cause).to_numpy()
        if chosen.any():
            axes.hlines(place[chosen], low[chosen], shown[chosen], colour, linewidth=2)
            axes.plot(middle[chosen], place[chosen], marker, color=colour, markersize=5, label=f"by {cause}")
    axes.plot(shown[far], place[far], ">", color=GREY, markersize=7, label="goes on" if far.any() else None)
    axes.set_yticks(place, rows["label"].to_list())
    axes.invert_yaxis()
    axes.axvline(today, color=INK, linewidth=1, linestyle=":", label=f"as of {as_of}")
    axes.set_ylabel("SIM")
    axes.set_xlabel("median date; the line spans\n10 to 90 % probability")
    legend_above(axes)
    date_axis(axes)
    return figure
