"""Pictures of usage, forecasts, backtests and anomalies, as matplotlib figures that the caller saves or logs.

Volumes are shown in MB. Colours are Okabe and Ito's (2008), safe for colour-blind readers. No global matplotlib state is used.
`note` is shown small below the picture: say there when the data is synthetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import polars as pl

from ml.evaluation import BASELINE, FORECASTER
from ml.forecasting import QUANTILES, SEGMENTS, FloatPaths, quantile_column
from ml.history import BYTES_PER_MB, FloatArray

if TYPE_CHECKING:  # a second to import: only where something is drawn
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, GREY, INK = "#0072B2", "#D55E00", "#009E73", "#999999", "#333333"
WORST_DAYS = 90
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


def plot_sim_forecast(
    history: pl.DataFrame, forecast: pl.DataFrame, *, sim_key: int, shown_days: int = 90, note: str = ""
) -> Figure:
    """One SIM's last `shown_days` days and its forecast with the 80 and 95 % intervals.

    history, forecast  a usage history frame and `Forecast.frame`; only rows of `sim_key` are read
    Raises ValueError when the forecast has no such SIM.
    """
    ahead = forecast.filter(pl.col("sim_key") == sim_key).sort("day")
    if ahead.is_empty():
        raise ValueError(f"the forecast has no SIM {sim_key}")
    past = history.filter(pl.col("sim_key") == sim_key).sort("day")
    if past.height:
        # Within a SIM's known days a missing day is zero, and is drawn so.
        past = past.upsample("day", every="1d").with_columns(pl.col("bytes").fill_null(0))
    fan = {level: _mb(ahead[quantile_column(level)]) for level in (0.025, 0.1, 0.5, 0.9, 0.975)}
    figure, axes = _figure(f"Daily usage of SIM {sim_key}, with forecast", note)
    _draw_history(axes, past["day"].to_list()[-shown_days:], _mb(past["bytes"])[-shown_days:], "used")
    _draw_fan(axes, ahead["day"].to_list(), fan)
    return figure


def plot_fleet_forecast(
    history: pl.DataFrame,
    fleet_paths: FloatPaths | FloatArray,
    *,
    as_of: date,
    shown_days: int = 90,
    note: str = "",
) -> Figure:
    """The fleet's daily sum and the distribution of its future sum.

    fleet_paths  (samples, days) bytes: sampled futures summed over SIMs, days from as_of + 1. Its spread takes SIMs as
                 independent of each other; a common shock is not in it.
    """
    daily = history.group_by("day").agg(pl.col("bytes").sum()).sort("day").tail(shown_days)
    sums = np.quantile(fleet_paths.astype(np.float64), (0.025, 0.1, 0.5, 0.9, 0.975), axis=0) / BYTES_PER_MB
    fan = dict(zip((0.025, 0.1, 0.5, 0.9, 0.975), sums, strict=True))
    first = np.datetime64(as_of, "D") + 1
    days = (first + np.arange(fleet_paths.shape[1])).astype(object).tolist()
    figure, axes = _figure("Daily usage of the fleet, with forecast", note)
    _draw_history(axes, daily["day"].to_list(), _mb(daily["bytes"]), "used")
    _draw_fan(axes, days, fan)
    return figure


def plot_total_forecast(
    history: pl.DataFrame, forecast: pl.DataFrame, *, of: str, shown_days: int = 90, note: str = ""
) -> Figure:
    """The last `shown_days` days of one total and its forecast with the 80 and 95 % intervals.

    history, forecast  day and bytes; rows of one group of `ml.forecasting.aggregates.AggregateForecast.frame`
    of  what is totalled, for the title
    """
    past = history.sort("day").tail(shown_days)
    ahead = forecast.sort("day")
    fan = {level: _mb(ahead[quantile_column(level)]) for level in QUANTILES}
    figure, axes = _figure(f"Daily usage of {of}, with forecast", note)
    _draw_history(axes, past["day"].to_list(), _mb(past["bytes"]), "used")
    _draw_fan(axes, ahead["day"].to_list(), fan)
    return figure


def plot_backtest(frame: pl.DataFrame, *, note: str = "") -> Figure:
    """Bars of rMASE by segment and part of the horizon, against the seasonal naive baseline at 1.

    frame  `Backtest.frame`; an empty one gives a picture that says so.
    """
    figure, axes = _figure("Forecast error by segment, as a share of the seasonal naive baseline's", note)
    rows = frame.filter(pl.col("window") == "all", pl.col("model") == FORECASTER, pl.col("rmase").is_finite())
    if rows.is_empty():
        return _nothing(axes, "not enough history for a backtest")
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
    axes.legend(loc="upper center", ncols=4, frameon=False, fontsize=8)
    return figure


def plot_coverage(calibration: pl.DataFrame, *, note: str = "") -> Figure:
    """Nominal against achieved quantile levels: on the diagonal, the stated probabilities are honest.

    calibration  `Backtest.calibration`. Days of zero use lie at or below every quantile, so idle SIMs lift the low levels.
    """
    figure, axes = _figure("Stated and achieved probability", note, size=(5.6, 5.4))
    if calibration.is_empty():
        return _nothing(axes, "not enough history for a backtest")
    axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle="--", label="perfectly calibrated")
    for name, colour, marker in ((FORECASTER, BLUE, "o"), (BASELINE, ORANGE, "s")):
        line = calibration.filter(pl.col("model") == name).sort("level")
        axes.plot(line["level"], line["achieved"], color=colour, marker=marker, label=name.replace("-", " "))
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_aspect("equal")
    axes.set_xlabel("quantile level stated (a day of zero lies at or below every quantile)")
    axes.set_ylabel("share of days at or below it")
    axes.legend(loc="lower right", frameon=False, fontsize=8)
    return figure


def plot_reliability(calibration: pl.DataFrame, *, note: str = "") -> Figure:
    """Stated probability of the end by a date against the share that had ended by it: on the diagonal, dates are honest.

    calibration  `ml.exhaustion_scores.Scores.calibration`; "all" is drawn bold, each group of SIMs thin
    """
    figure, axes = _figure("Exhaustion dates: stated and achieved probability", note, size=(5.6, 5.4))
    if calibration.is_empty():
        return _nothing(axes, "not enough history for a backtest")
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
    axes.legend(loc="lower right", frameon=False, fontsize=8)
    return figure


def plot_exhaustion(
    frame: pl.DataFrame, *, as_of: date, labels: Sequence[str] | None = None, top: int = 20, note: str = ""
) -> Figure:
    """The `top` SIMs that end first: the median date and the span from the 10 to the 90 % date, an arrow where that lies far off.

    frame   `Exhaustion.frame`; SIMs without a median date, exhausted or expired already are left out
    labels  one name a row of the frame; by default the SIM's key
    """
    names = pl.Series("label", labels if labels is not None else frame["sim_key"].cast(pl.String))
    rows = frame.with_columns(names).filter(
        pl.col("p50_date").is_not_null(), ~pl.col("status").is_in(["exhausted", "expired"])
    )
    rows = rows.sort("p50_date", "sim_key").head(top)
    figure, axes = _figure("SIMs that end first", note, size=(8, 1.9 + 0.27 * max(rows.height, 4)))
    if rows.is_empty():
        return _nothing(axes, "no SIM has an end date")
    place = np.arange(rows.height)
    (today,) = _numbers([as_of])
    low, middle, high = (_numbers(rows[f"p{share}_date"].to_list()) for share in (10, 50, 90))
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
    axes.set_xlabel("median date; the line spans 10 to 90 % probability")
    axes.legend(loc="upper right", fontsize=8)
    _date_axis(axes)
    return figure


def plot_drift(scores: pl.DataFrame, *, note: str = "") -> Figure:
    """How forecasts did, day by day: error as a share of seasonal naive's, and how often the 80 % interval held.

    scores  rows of ml.drift.SCORES_SCHEMA; an empty frame gives a picture that says so
    """
    figure, axes = _figure("Forecasts against what happened", note)
    if scores.is_empty():
        return _nothing(axes, "no forecast of a closed day yet")
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
    axes.legend(loc="lower left", ncols=2, frameon=False, fontsize=8)
    _date_axis(axes)
    return figure


def plot_states(counts: pl.DataFrame, *, note: str = "") -> Figure:
    """The fleet by state of its SIMs, a column a day, the newest day's figures in the legend.

    counts  as_of, state, sims: one row an evaluated day and state; states that no SIM was in on any day are left out
    """
    figure, axes = _figure("States of the fleet", note)
    if counts.is_empty():
        return _nothing(axes, "no day has been evaluated")
    days = counts["as_of"].unique().sort()
    place = _numbers(days.to_list())
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
    _date_axis(axes)
    return figure


def plot_worst(history: pl.DataFrame, worst: Sequence[dict[str, Any]], *, as_of: date, note: str = "") -> Figure:
    """The last WORST_DAYS days of the worst SIMs of a day, the day of the anomaly marked.

    history  sim_key, day, bytes
    worst    rows with sim_key, iccid, label and kind
    """
    rows = max(1, (len(worst) + 1) // 2)
    figure, axes = _figure("", note, size=(10, 1.9 * rows + 0.5))
    if not worst:
        return _nothing(axes, "no anomaly on this day")
    axes.remove()
    days = pl.DataFrame({"day": pl.date_range(as_of - timedelta(days=WORST_DAYS - 1), as_of, eager=True)})
    for place, row in enumerate(worst):
        axes = figure.add_subplot(rows, 2, place + 1)
        own = history.filter(pl.col("sim_key") == row["sim_key"])
        daily = days.join(own.select("day", "bytes"), on="day", how="left").with_columns(pl.col("bytes").fill_null(0))
        volume, x = _mb(daily["bytes"]), _numbers(daily["day"].to_list())
        axes.plot(x, volume, color=BLUE, linewidth=1)
        axes.plot(x[-1:], volume[-1:], "o", color=ORANGE, markersize=5)
        axes.set_title(f"{row['label'] or row['iccid']}: {row['kind'].replace('_', ' ')}", fontsize=8, color=INK)
        axes.set_ylabel("MB", fontsize=7)
        axes.tick_params(labelsize=6)
        axes.set_ylim(bottom=0)
        _date_axis(axes)
        axes.xaxis.get_offset_text().set_fontsize(6)
    return figure


def plot_trial(frame: pl.DataFrame, *, note: str = "") -> Figure:
    """Bars of the share of injected anomalies found, by kind. frame: `ml.anomaly.trial.Trial.frame`."""
    figure, axes = _figure("Injected anomalies found within the test's days", note, size=(7, 3))
    if frame.is_empty():
        return _nothing(axes, "too few SIMs for a test")
    bars = axes.bar(frame["kind"].to_list(), frame["recall"].to_list(), color=BLUE)
    axes.bar_label(bars, [f"{found} of {n}" for found, n in frame.select("found", "events").iter_rows()], fontsize=7)
    axes.set_ylim(0, 1.1)
    axes.set_ylabel("share found")
    return figure


def _figure(title: str, note: str, size: tuple[float, float] = (9, 4.4)) -> tuple[Figure, Axes]:
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


def _nothing(axes: Axes, why: str) -> Figure:
    axes.text(0.5, 0.5, why, transform=axes.transAxes, ha="center", va="center", color=GREY)
    axes.set_xticks([])
    axes.set_yticks([])
    return cast("Figure", axes.figure)


def _draw_history(axes: Axes, days: list[date], megabytes: FloatArray, label: str) -> None:
    axes.plot(_numbers(days), megabytes, color=INK, linewidth=1.1, label=label)


def _draw_fan(axes: Axes, days: list[date], fan: dict[float, FloatArray]) -> None:
    x = _numbers(days)
    axes.fill_between(x, fan[0.025], fan[0.975], color=BLUE, alpha=0.15, linewidth=0, label="95 %")
    axes.fill_between(x, fan[0.1], fan[0.9], color=BLUE, alpha=0.3, linewidth=0, label="80 %")
    axes.plot(x, fan[0.5], color=BLUE, linewidth=1.6, label="median forecast")
    axes.set_ylim(bottom=0)
    axes.set_ylabel("MB a day")
    axes.set_xlabel("day (UTC)")
    axes.legend(loc="upper left", ncols=4, frameon=False, fontsize=8)
    axes.margins(y=0.15)
    _date_axis(axes)


def _part_of_horizon(name: str) -> tuple[int, int]:
    """Order of "1-7", "8-30", "1-30": the parts, then the whole."""
    first, last = (int(day) for day in name.split("-"))
    return last - first, first


def _date_axis(axes: Axes) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    # beside ticks of days within months: the year, not the last one's month
    offsets = ["", "%Y", "%Y", "%Y-%b-%d", "%Y-%b-%d", "%Y-%b-%d %H:%M"]
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, offset_formats=offsets))  # type: ignore[no-untyped-call]


def _numbers(days: Sequence[date | None]) -> FloatArray:
    """Days as matplotlib counts them: since 1970-01-01; NaN for None."""
    stamps = np.array(days, dtype="datetime64[D]")
    return np.where(np.isnat(stamps), np.nan, stamps.astype(np.float64))


def _mb(column: pl.Series) -> FloatArray:
    return np.asarray(column.to_numpy() / BYTES_PER_MB, dtype=np.float64)
