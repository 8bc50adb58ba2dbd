"""Pictures of support tickets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from ml.plots.figures import BLUE, GREY, drawable, legend_above, new_figure, nothing_to_show

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@drawable
def plot_tickets(counts: pl.DataFrame, *, note: str = "") -> Figure:
    """Tickets by category: those the classifier is sure of, and those that a person is to decide.

    counts  category, tickets, to_person: rows of a category are added up
    """
    figure, axes = new_figure("Tickets by category", note, size=(9, 3.2))
    if counts.is_empty():
        return nothing_to_show(axes, "there is no ticket")
    by = counts.group_by("category").agg(pl.col("tickets", "to_person").sum()).sort("tickets", "category")
    names = [str(name).replace("_", " ") for name in by["category"]]
    sure = (by["tickets"] - by["to_person"]).to_numpy()
    axes.barh(names, sure, color=BLUE, label="category by the classifier")
    axes.barh(names, by["to_person"].to_numpy(), left=sure, color=GREY, label="a person is to decide")
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x", color="#e5e5e5", linewidth=0.7)
    axes.set_xlabel("tickets")
    legend_above(axes)
    return figure
