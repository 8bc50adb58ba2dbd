"""Pictures of usage, forecasts and their backtests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from ml.forecasting import QUANTILES, SEGMENTS, quantile_column
from ml.forecasting.backtest import BASELINE, FORECASTER
from ml.plots.figures import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    date_axis,
    draw_fan,
    draw_history,
    drawable,
    in_mb,
    legend_above,
    new_figure,
    nothing_to_show,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@drawable
def plot_total_forecast(
    history: pl.DataFrame, forecast: pl.DataFrame, *, of: str, shown_days: int = 90, note: str = ""
) -> Figure:
    """The last `shown_days` days of one total and its forecast with the 80 and 95 % intervals.

    history, forecast  day and bytes; rows of one group of `ml.forecasting.aggregates.AggregateForecast.frame`
    of  what is totalled, for the title
    """
    past = history.sort("day").tail(shown_days)
    ahead = forecast.sort("day")
    fan = {level: in_mb(ahead[quantile_column(level)]) for level in QUANTILES}
    figure, axes = new_figure(f"Daily usage of {of}, with forecast", note)
    draw_history(axes, past["day"].to_list(), in_mb(past["bytes"]), "used")
    draw_fan(axes, ahead["day"].to_list(), fan)
    return figure


@drawable
def plot_backtest(frame: pl.DataFrame, *, note: str = "") -> Figure:
    """Bars of rMASE by segment and part of the horizon, against the seasonal naive baseline at 1.

    frame  `Backtest.frame`; an empty one gives a picture that says so.
    """
    figure, axes = new_figure("Forecast error by segment, as a share of the seasonal naive baseline's", note)
    rows = frame.filter(pl.col("window") == "all", pl.col("model") == FORECASTER, pl.col("rmase").is_finite())
    if rows.is_empty():
        return nothing_to_show(axes, "not enough history for a backtest")
    order = [name for name in (*SEGMENTS, "all") if name in rows["segment"]]
    horizons = sorted(rows["horizon"].unique(), key=_part_of_horizon)
    width = 0.8 / len(horizons)
    for index, (horizon, colour) in enumerate(zip(horizons, (BLUE, ORANGE, GREEN), strict=False)):
        values = dict(rows.filter(pl.col("horizon") == horizon).select("segment", "rmase").iter_rows())
        heights = [values.get(name, np.nan) for name in order]
        place = np.arange(len(order)) + (index - (len(horizons) - 1) / 2) * width
        bars = axes.bar(place, heights, width * 0.92, color=colour, label=f"days {horizon.replace('-', ' to ')}")
        axes.bar_label(bars, fmt="%.2f", fontsize=7, color=INK, padding=1)
    axes.axhline(1, color=INK, linewidth=1, linestyle="--", label="seasonal naive")
    counts = dict(rows.filter(pl.col("horizon") == horizons[-1]).select("segment", "n").iter_rows())
    axes.set_xticks(range(len(order)), [f"{name}\nn = {counts.get(name, 0):,}" for name in order])
    axes.set_ylabel("rMASE (lower is better)")
    axes.set_xlabel("segment, n in SIM-windows")
    axes.set_ylim(0, axes.get_ylim()[1] * 1.12)
    legend_above(axes)
    return figure


@drawable
def plot_coverage(calibration: pl.DataFrame, *, note: str = "") -> Figure:
    """Nominal against achieved quantile levels: on the diagonal, the stated probabilities are honest.

    calibration  `Backtest.calibration`: SIMs that use nothing on most days are not in it, since a day of zero lies at
                 or below every quantile
    """
    title = "Stated and achieved probability,\nwithout SIMs that use nothing on most days"
    figure, axes = new_figure(title, note, size=(5.6, 5.4))
    if calibration.is_empty():
        return nothing_to_show(axes, "no SIM that uses most days, or not enough history")
    axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle="--", label="perfectly calibrated")
    for name, colour, marker in ((FORECASTER, BLUE, "o"), (BASELINE, ORANGE, "s")):
        line = calibration.filter(pl.col("model") == name).sort("level")
        axes.plot(line["level"], line["achieved"], color=colour, marker=marker, label=name.replace("-", " "))
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_aspect("equal")
    axes.set_xlabel("quantile level stated")
    axes.set_ylabel("share of days at or below it")
    legend_above(axes)
    return figure


@drawable
def plot_drift(scores: pl.DataFrame, *, note: str = "") -> Figure:
    """How forecasts did, day by day: error as a share of seasonal naive's, and how often the 80 % interval held.

    scores  rows of ml.forecasting.drift.SCORES_SCHEMA; an empty frame gives a picture that says so
    """
    figure, axes = new_figure("Forecasts against what happened", note)
    if scores.is_empty():
        return nothing_to_show(axes, "no forecast of a closed day yet")
    for horizon, colour in (("1-7", BLUE), ("8-30", ORANGE)):
        by_day = (
            scores.filter(horizon=horizon)
            .group_by("day")
            .agg((pl.col("rmase", "coverage_80") * pl.col("n")).sum() / pl.col("n").sum())
            .sort("day")
        )
        label = f"{horizon.replace('-', ' to ')} days ahead"
        axes.plot(by_day["day"], by_day["rmase"], color=colour, marker="o", markersize=3, label=f"error, {label}")
        axes.plot(
            by_day["day"],
            by_day["coverage_80"],
            color=colour,
            linestyle=":",
            marker="s",
            markersize=3,
            label=f"80 % held, {label}",
        )
    axes.axhline(1, color=INK, linewidth=1, linestyle="--", label="error of seasonal naive")
    axes.axhline(0.8, color=GREY, linewidth=1, linestyle="--")
    axes.set_ylim(0, max(1.25, min(3.0, float(scores["rmase"].max() or 0) * 1.1)))  # type: ignore[arg-type]
    axes.set_ylabel("error over seasonal naive's; share of days")
    legend_above(axes, columns=3)
    date_axis(axes)
    return figure


def _part_of_horizon(name: str) -> tuple[int, int]:
    """Order of "1-7", "8-30", "1-30": the parts, then the whole."""
    first, last = (int(day) for day in name.split("-"))
    return last - first, first
