"""What all pictures share: an empty figure, colours, axes. Figures are matplotlib's, which the caller saves or logs.

Volumes are shown in MB. Colours are Okabe and Ito's (2008), safe for colour-blind readers. No global matplotlib state
is used. `note` is shown small below the picture: say there when the data is synthetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, cast

import numpy as np
import polars as pl

from ml.history import BYTES_PER_MB, FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


BLUE, ORANGE, GREEN, GREY, INK = "#0072B2", "#D55E00", "#009E73", "#999999", "#333333"


def new_figure(title: str, note: str, size: tuple[float, float] = (9, 4.4)) -> tuple[Figure, Axes]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=11, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.grid(visible=True, axis="y", color="#e5e5e5", linewidth=0.7)
    axes.set_axisbelow(True)
    if note:
        figure.supxlabel(note, x=0.995, ha="right", fontsize=7, color=GREY)
    return figure, axes


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
    axes.legend(loc="upper left", ncols=4, frameon=False, fontsize=8)
    axes.margins(y=0.15)
    date_axis(axes)


def date_axis(axes: Axes) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
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
