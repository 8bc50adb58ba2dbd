"""Pictures of what quota decisions save, and of what an outage costs against its cure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from ml.plots.figures import BLUE, GREEN, GREY, INK, ORANGE, drawable, legend_above, new_figure, nothing_to_show

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MINOR_UNITS = 100


@drawable
def plot_savings(frame: pl.DataFrame, *, currency: str, note: str = "") -> Figure:
    """Expected saving of all recommendations by action, with the number of SIMs, and the sums of the 10 and 90 %
    savings.

    frame  `ml.quota.recommendations.recommendations`
    """
    acted = frame.filter(pl.col("action") != "nothing")
    totals = (
        acted.group_by("action")
        .agg(pl.len().alias("sims"), pl.col("saving", "saving_p10", "saving_p90").sum() / MINOR_UNITS)
        .sort("saving", "action", descending=[False, True])
    )
    figure, axes = new_figure("Expected savings by action", note, size=(8, 1.7 + 0.4 * max(totals.height, 3)))
    if totals.is_empty():
        return nothing_to_show(axes, "no action is recommended")
    place, saving = np.arange(totals.height), totals["saving"].to_numpy()
    axes.barh(place, saving, color=np.where(saving >= 0, BLUE, ORANGE).tolist(), label="expected")
    low, high = totals["saving_p10"].to_numpy(), totals["saving_p90"].to_numpy()
    axes.hlines(place, low, high, INK, linewidth=1.4, label="sum of each SIM's 10 to 90 %")
    words = [action.replace("_", " ") for action in totals["action"]]
    axes.set_yticks(place, [f"{word} ({sims:,} SIMs)" for word, sims in zip(words, totals["sims"], strict=True)])
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.grid(visible=True, axis="x", color="#e5e5e5", linewidth=0.7)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"{currency}, against doing nothing")
    axes.set_ylabel("action")
    legend_above(axes)
    return figure


@drawable
def plot_cost_outage(frame: pl.DataFrame, *, currency: str, note: str = "") -> Figure:
    """What each SIM's recommendation spends in the months of decision against the outage days that it leaves.

    frame  `ml.quota.recommendations.recommendations`
    """
    figure, axes = new_figure("Money spent and outage days left", note, size=(7, 4.8))
    if frame.is_empty():
        return nothing_to_show(axes, "no SIM to show")
    marks = {"top_up": (BLUE, "o"), "auto_top_up_on": (GREEN, "s"), "extend": (ORANGE, "^"), "nothing": (GREY, ".")}
    for (action,), rows in frame.sort("action").group_by("action", maintain_order=True):
        colour, marker = marks.get(str(action), (INK, "x"))
        axes.scatter(
            rows["spend"].to_numpy() / MINOR_UNITS,
            rows["outage_days"].to_numpy(),
            s=18,
            c=colour,
            marker=marker,
            alpha=0.7,
            label=str(action).replace("_", " "),
        )
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.margins(x=0.05, y=0.05)
    axes.set_xlabel(f"expected spend of a SIM, {currency}")
    axes.set_ylabel("expected outage days of a SIM")
    legend_above(axes)
    return figure


@drawable
def plot_realized(frame: pl.DataFrame, *, currency: str, note: str = "") -> Figure:
    """Predicted and realized saving of each month's recommendations, all of them.

    frame  month, scope, predicted_minor, realized_minor
    """
    figure, axes = new_figure("Predicted and realized savings", note, size=(7, 3.6))
    months = frame.filter(pl.col("scope") == "all").sort("month")
    if months.is_empty():
        return nothing_to_show(axes, "no month to show")
    place = np.arange(months.height)
    for shift, name, colour in ((-0.2, "predicted", GREY), (0.2, "realized", BLUE)):
        axes.bar(place + shift, months[f"{name}_minor"].to_numpy() / MINOR_UNITS, 0.4, color=colour, label=name)
    axes.set_xticks(place, [f"{month:%b %Y}" for month in months["month"]])
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set_ylabel(f"{currency}, against doing nothing")
    axes.set_xlabel("month of the recommendations")
    legend_above(axes)
    return figure
