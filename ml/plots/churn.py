"""Pictures of the risk of churn and of how it was tested."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from ml.churn.evaluation import OURS
from ml.plots.figures import BLUE, GREEN, GREY, INK, ORANGE, drawable, legend_above, new_figure, nothing_to_show

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = (BLUE, ORANGE, GREEN, GREY)


@drawable
def plot_churn_calibration(calibration: pl.DataFrame, *, horizon_days: int = 90, note: str = "") -> Figure:
    """Stated risk against the share that ended, by bins: on the diagonal, risks are honest. The size of a point is that
    of its bin.

    calibration  `ml.churn.evaluation.Evaluation.calibration`
    """
    title = f"Risk of an end within {horizon_days} days: stated and achieved"
    figure, axes = new_figure(title, note, size=(5.6, 5.4))
    rows = calibration.filter(pl.col("horizon_days") == horizon_days)
    if rows.is_empty():
        return nothing_to_show(axes, "not enough ends to test")
    top = min(1.0, 1.15 * max(float(rows[name].max() or 0) for name in ("stated", "ended")))  # type: ignore[arg-type]
    axes.plot([0, top], [0, top], color=INK, linewidth=1, linestyle="--", label="perfectly calibrated")
    names = [OURS, *sorted(set(rows["model"]) - {OURS})]
    for name, colour in zip(names, COLOURS, strict=False):
        line = rows.filter(pl.col("model") == name).sort("bin")
        size = 12 + 150 * line["n"].to_numpy() / max(line["n"].sum(), 1)
        axes.plot(line["stated"], line["ended"], color=colour, linewidth=1)
        axes.scatter(line["stated"], line["ended"], s=size, color=colour, alpha=0.7, label=name)
    axes.set_xlim(0, top)
    axes.set_ylim(0, top)
    axes.set_xlabel("risk stated")
    axes.set_ylabel("share that ended")
    legend_above(axes, columns=2)
    return figure


@drawable
def plot_churn_lift(lift: pl.DataFrame, *, horizon_days: int = 90, note: str = "") -> Figure:
    """How many of the ends are among the SIMs with the highest risk. lift: `ml.churn.evaluation.Evaluation.lift`."""
    figure, axes = new_figure(f"Ends within {horizon_days} days, found by looking at the riskiest SIMs first", note)
    rows = lift.filter(pl.col("horizon_days") == horizon_days)
    if rows.is_empty():
        return nothing_to_show(axes, "not enough ends to test")
    names = [OURS, *sorted(set(rows["model"]) - {OURS})]
    for name, colour in zip(names, COLOURS, strict=False):
        line = rows.filter(pl.col("model") == name).sort("share")
        axes.plot([0, *line["share"]], [0, *line["found"]], color=colour, label=name)
    axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle="--", label="by chance")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("share of SIMs looked at")
    axes.set_ylabel("share of ends found")
    legend_above(axes, columns=3)
    return figure


@drawable
def plot_churn_reasons(importance: pl.DataFrame, *, top: int = 10, note: str = "") -> Figure:
    """What moves the risk of each cause most. importance: `ml.churn.actions.importance`."""
    figure, axes = new_figure("What moves the risk", note, size=(8, 4.6))
    if importance.is_empty():
        return nothing_to_show(axes, "no cause has enough ends to learn from")
    whole = importance.group_by("feature").agg(pl.col("weight").sum()).sort("weight", "feature").tail(top)
    names = whole["feature"].to_list()
    left = [0.0] * len(names)
    for cause, colour in zip(importance["cause"].unique(maintain_order=True), COLOURS, strict=False):
        weights = dict(importance.filter(pl.col("cause") == cause).select("feature", "weight").iter_rows())
        widths = [float(weights.get(name, 0.0)) for name in names]
        axes.barh(range(len(names)), widths, left=left, color=colour, label=cause.replace("_", " "))
        left = [before + width for before, width in zip(left, widths, strict=True)]
    axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    axes.set_xlabel("mean change of the log odds, over the fleet")
    legend_above(axes)
    return figure
