"""What all pictures share: an empty figure, colours, axes. Figures are matplotlib's, which the caller saves or logs.

Volumes are shown in MB. Colours are Okabe and Ito's (2008), safe for colour-blind readers. No global matplotlib state
is used. `note` is shown small below the picture: say there when the data is synthetic.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from datetime import date
from typing import TYPE_CHECKING, ParamSpec, cast

import numpy as np
import polars as pl

from ml.history import BYTES_PER_MB, FloatArray
from ml.plain_text import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ml.plots.plain_figure import PlainFigure

P = ParamSpec("P")
LONGEST_LABEL = 28
BLUE, ORANGE, GREEN, GREY, INK = "#0072B2", "#D55E00", "#009E73", "#999999", "#333333"


def new_figure(title: str, note: str, size: tuple[float, float] = (9, 4.4)) -> tuple[PlainFigure, Axes]:
    from ml.plots.plain_figure import PlainFigure

    figure = PlainFigure(figsize=size, dpi=120, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=11, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.grid(visible=True, axis="y", color="#e5e5e5", linewidth=0.7)
    axes.set_axisbelow(True)
    if note:
        figure.supxlabel(note, x=0.995, ha="right", fontsize=7, color=GREY)
    return figure, axes


def drawable(plot: Callable[P, Figure]) -> Callable[P, Figure]:
    """A function that makes a figure, so that it never fails: a picture that says so is made, and a warning logged."""

    @functools.wraps(plot)
    def drawn(*given: P.args, **named: P.kwargs) -> Figure:
        try:
            return plot(*given, **named)
        except Exception as error:  # of whatever kind: a run must not end for a picture
            logging.getLogger(__name__).warning("%s failed: %s: %s", plot.__name__, type(error).__name__, error)
            figure, _ = new_figure("", "")
            figure.say_failed()
            return figure

    return drawn


def sim_name(iccid: str | None, label: str | None) -> str:
    """How a SIM is called beside an axis: its label, short, and its ICCID."""
    short = one_line(label or "", LONGEST_LABEL)
    return f"{short}  {iccid}" if short and iccid else short or iccid or ""


def nothing_to_show(axes: Axes, why: str) -> Figure:
    axes.text(0.5, 0.5, why, transform=axes.transAxes, ha="center", va="center", color=GREY)
    axes.set_xticks([])
    axes.set_yticks([])
    return cast("Figure", axes.figure)


def draw_history(axes: Axes, days: list[date], megabytes: FloatArray, label: str) -> None:
    axes.plot(in_numbers(days), megabytes, color=INK, linewidth=1.1, label=label)


def draw_fan(axes: Axes, days: list[date], fan: dict[float, FloatArray]) -> None:
    x = in_numbers(days)
    axes.fill_between(x, fan[0.025], fan[0.975], color=BLUE, alpha=0.15, linewidth=0, label="95 %")
    axes.fill_between(x, fan[0.1], fan[0.9], color=BLUE, alpha=0.3, linewidth=0, label="80 %")
    axes.plot(x, fan[0.5], color=BLUE, linewidth=1.6, label="median forecast")
    axes.set_ylim(bottom=0)
    axes.set_ylabel("MB a day")
    axes.set_xlabel("day (UTC)")
    legend_above(axes)
    axes.margins(y=0.15)
    date_axis(axes)


def legend_above(axes: Axes, columns: int = 4) -> None:
    """Name the lines above the picture, where no line runs under the names; the note stands below."""
    handles, labels = axes.get_legend_handles_labels()
    figure = cast("Figure", axes.figure)
    for before in list(figure.legends):
        before.remove()
    figure.legend(handles, labels, loc="outside upper left", ncols=columns, frameon=False, fontsize=8)


def date_axis(axes: Axes, most_ticks: int | None = None) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=most_ticks)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    # beside ticks of days within months: the year, not the last one's month
    offsets = ["", "%Y", "%Y", "%Y-%b-%d", "%Y-%b-%d", "%Y-%b-%d %H:%M"]
    formatter = ConciseDateFormatter(locator, offset_formats=offsets)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(formatter)


def in_numbers(days: Sequence[date | None]) -> FloatArray:
    """Days as matplotlib counts them: since 1970-01-01; NaN for None."""
    stamps = np.array(days, dtype="datetime64[D]")
    return np.where(np.isnat(stamps), np.nan, stamps.astype(np.float64))


def in_mb(column: pl.Series) -> FloatArray:
    return np.asarray(column.to_numpy() / BYTES_PER_MB, dtype=np.float64)
