"""Every picture can be drawn, says its units and its note, and leaves no global state behind."""

from __future__ import annotations

import io
from datetime import date

import numpy as np
import polars as pl
import pytest
from matplotlib.figure import Figure

from ml.exhaustion.model import quota_exhaustion
from ml.forecasting import QUANTILES, fit, predict, quantile_column
from ml.forecasting.backtest import backtest
from ml.plots import anomaly, exhaustion, forecasting, lifecycle
from ml.plots.figures import sim_name
from ml.plots.plain_figure import FAILED

NOTE = "synthetic data"
STATES = pl.DataFrame(
    {
        "as_of": [date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 2)],
        "state": ["active", "active", "silent"],
        "sims": [40, 38, 2],
    }
)
INJECTION_TEST = pl.DataFrame({"kind": ["spike", "silence"], "events": [4, 5], "found": [4, 3], "recall": [1.0, 0.6]})
WORST = [
    {"sim_key": 3, "iccid": "8988280666000000003", "label": None, "kind": "sms_flood"},
    {"sim_key": 4, "iccid": "8988280666000000004", "label": "pump-4", "kind": "spike"},
    {"sim_key": 5, "iccid": "8988280666000000005", "label": "pump-5", "kind": "drift"},
]


def texts(figure: Figure) -> str:
    axes = figure.axes[0]
    return "\n".join([axes.get_title(loc="left"), axes.get_xlabel(), axes.get_ylabel(), figure.get_supxlabel()])


@pytest.fixture(scope="module")
def figures(weekly_history: pl.DataFrame, last_day: date) -> dict[str, Figure]:
    history = weekly_history.filter(pl.col("sim_key") < 40)
    forecast = predict(fit(history, as_of=last_day), history, as_of=last_day)
    paths, tested = forecast.paths(50), backtest(history, as_of=last_day, windows=1)
    left = paths.mean(axis=(1, 2)) * np.linspace(0, 60, len(paths))
    ends = quota_exhaustion(
        paths,
        left,
        np.where(np.arange(len(paths)) % 3, np.nan, 20.0),
        as_of=last_day,
        history_days=forecast.history_days,
        ever_used=forecast.ever_used,
    )
    return {
        "total": forecasting.plot_total_forecast(
            history.filter(sim_key=3), forecast.frame.filter(sim_key=3), of="a label", note=NOTE
        ),
        "backtest": forecasting.plot_backtest(tested.frame, note=NOTE),
        "coverage": forecasting.plot_coverage(tested.calibration, note=NOTE),
        "exhaustion": exhaustion.plot_exhaustion(ends.frame, as_of=last_day, note=NOTE),
        "states": lifecycle.plot_states(STATES, note=NOTE),
        "injection test": anomaly.plot_injection_test(INJECTION_TEST, note=NOTE),
        "no injection test": anomaly.plot_injection_test(INJECTION_TEST.clear(), note=NOTE),
        "worst": anomaly.plot_worst(history, WORST, as_of=last_day, note=NOTE),
        "nothing anomalous": anomaly.plot_worst(history, [], as_of=last_day, note=NOTE),
        "nothing evaluated": lifecycle.plot_states(STATES.clear(), note=NOTE),
        "nothing tested": forecasting.plot_backtest(tested.frame.clear(), note=NOTE),
        "nothing covered": forecasting.plot_coverage(tested.calibration.clear(), note=NOTE),
        "nothing ends": exhaustion.plot_exhaustion(ends.frame.clear(), as_of=last_day, note=NOTE),
    }


def test_every_picture_renders_with_its_note(figures: dict[str, Figure]) -> None:
    for name, figure in figures.items():
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
        assert buffer.getvalue().startswith(b"\x89PNG"), name
        assert NOTE in texts(figure), name


def test_the_picture_of_coverage_says_that_idle_sims_are_left_out(figures: dict[str, Figure]) -> None:
    assert "without SIMs that use nothing on most days" in figures["coverage"].axes[0].get_title(loc="left")


def test_volumes_are_labelled_in_megabytes(figures: dict[str, Figure]) -> None:
    assert "MB a day" in texts(figures["total"])


def test_no_picture_belongs_to_global_plotting_state(figures: dict[str, Figure]) -> None:
    assert all(figure.canvas.manager is None for figure in figures.values())


def test_the_worst_sims_are_named_by_label_and_iccid(figures: dict[str, Figure]) -> None:
    titles = [axes.get_title() for axes in figures["worst"].axes]
    assert titles == [
        "8988280666000000003: sms flood",
        "pump-4  8988280666000000004: spike",
        "pump-5  8988280666000000005: drift",
    ]


def test_reliability_is_drawn_bold_for_all_and_thin_by_group() -> None:
    level = [0.25, 0.5, 0.75]
    calibration = pl.DataFrame(
        {"group": ["all"] * 3 + ["steady"] * 3, "level": level * 2, "achieved": [0.2, 0.5, 0.8, 0.1, 0.4, 0.9]}
    )
    figure = exhaustion.plot_reliability(calibration, note=NOTE)
    assert len(figure.axes[0].lines) == 3
    assert NOTE in texts(figure)
    assert "not enough history" in exhaustion.plot_reliability(calibration.clear()).axes[0].texts[0].get_text()


HOSTILE = ["pump $x_{$", "$\\frac{$", "a\n\tb", "\x1b[31mred", "_hidden", "$", "%s {0}", "\\", "x" * 300]


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_a_label_is_drawn_as_it_is_written(weekly_history: pl.DataFrame, last_day: date, kind: str) -> None:
    worst = [{"sim_key": 3, "iccid": "8988", "label": label, "kind": "spike"} for label in HOSTILE]
    ends = pl.DataFrame(
        {
            "sim_key": range(len(HOSTILE)),
            "status": "ok",
            "cause": "volume",
            **dict.fromkeys(("p10_date", "p50_date", "p90_date"), last_day),
        }
    )
    history = weekly_history.filter(sim_key=3)
    drawn = [
        anomaly.plot_worst(history, worst, as_of=last_day),
        exhaustion.plot_exhaustion(ends, as_of=last_day, labels=[sim_name(None, label) for label in HOSTILE]),
        forecasting.plot_total_forecast(
            history,
            history.with_columns(pl.col("bytes").alias(quantile_column(level)) for level in QUANTILES),
            of=HOSTILE[0],
        ),
    ]
    for figure in drawn:
        figure.savefig(io.BytesIO(), format=kind)
        assert FAILED not in [text.get_text() for text in figure.texts]
    assert drawn[0].axes[0].get_title() == "pump $x_{$  8988: spike"
    assert next(text.get_text() for text in drawn[1].axes[0].get_yticklabels()) == "pump $x_{$"


def test_a_picture_that_cannot_be_drawn_is_a_warning(
    caplog: pytest.LogCaptureFixture, last_day: date, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = anomaly.plot_worst(pl.DataFrame(), [{"sim_key": 1}], as_of=last_day)
    assert [text.get_text() for text in made.texts] == [FAILED]
    assert "plot_worst failed" in caplog.text

    late = lifecycle.plot_states(STATES)
    late.axes[0].xaxis.set_major_formatter(lambda value, place: 1 / 0)
    kept = io.BytesIO()
    late.savefig(kept, format="svg")
    assert kept.getvalue().startswith(b"<?xml")
    assert kept.getvalue().rstrip().endswith(b"</svg>")
    assert "ZeroDivisionError" in caplog.text
