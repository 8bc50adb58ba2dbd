"""Pictures of the states of a fleet's SIMs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from ml.plots.figures import BLUE, GREEN, GREY, ORANGE, date_axis, drawable, in_numbers, new_figure, nothing_to_show

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# from the bottom of a column to its top
STATE_COLOURS = {
    "active": GREEN,
    "activated": "#56B4E9",
    "issued": BLUE,
    "ordered": "#F0E442",
    "silent": "#E69F00",
    "suspended": ORANGE,
    "expired": "#CC79A7",
    "deactivated": GREY,
}


@drawable
def plot_states(counts: pl.DataFrame, *, note: str = "") -> Figure:
    """The fleet by state of its SIMs, a column a day, the newest day's figures in the legend.

    counts  as_of, state, sims: one row an evaluated day and state; states that no SIM was in on any day are left out
    """
    figure, axes = new_figure("States of the fleet", note)
    if counts.is_empty():
        return nothing_to_show(axes, "no day has been evaluated")
    days = counts["as_of"].unique().sort()
    place = in_numbers(days.to_list())
    below = np.zeros(len(days))
    for state, colour in STATE_COLOURS.items():
        sims = days.to_frame().join(
            counts.filter(pl.col("state") == state), on="as_of", how="left", maintain_order="left"
        )
        height = sims["sims"].fill_null(0).cast(pl.Float64).to_numpy()
        if height.any():
            axes.bar(place, height, width=0.9, bottom=below, color=colour, label=f"{state} {int(height[-1]):,}")
            below = below + height
    axes.set_xlim(min(place[0], place[-1] - 13) - 0.7, place[-1] + 0.7)
    axes.set_ylabel("SIMs")
    axes.set_xlabel("as-of day (UTC)")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles[::-1], labels[::-1], loc="outside right upper", frameon=False, fontsize=8, title=f"{days[-1]}"
    )
    date_axis(axes)
    return figure
