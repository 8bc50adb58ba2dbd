"""The model card of a registered version, in Markdown: what a person reads before relying on it."""

from __future__ import annotations

from datetime import date

import polars as pl

from services.model_specs import ModelSpec, Trained, TrainingInputs

BASELINE = "baseline_"
OF_CHAMPION = "champion_"


def model_card(spec: ModelSpec, as_of: date, inputs: TrainingInputs, trained: Trained, note: str) -> str:
    """The card of a version: what it predicts, what it was trained on, how good it was, its role, its limits, its data.

    note  what the data is, such as "synthetic data"; empty for a real fleet
    """
    extent = "; ".join(f"{name}: {_extent(frame)}" for name, frame in inputs.frames.items() if frame.height)
    parts = {
        "Trained on": trained.learnt_from or f"what was known on {as_of}, the as-of day: {extent}.",
        "Backtest": spec.describe(trained.metrics),
        "Role at training": f"{trained.role}: {trained.why}.",
        "Limits": spec.limits,
        "Data": f"{note}: its figures say nothing about a real fleet." if note else "of the fleet's 1NCE account.",
    }
    said = [f"**{heading}:** {text}" for heading, text in parts.items() if text]
    tables = [
        _table("backtest", "baseline", trained.metrics, BASELINE),
        _table("on days unseen by both", "champion then", dict(trained.comparison), OF_CHAMPION),
    ]
    return "\n\n".join([spec.card, *said, *filter(None, tables)]).strip()


def _extent(frame: pl.DataFrame) -> str:
    said = f"{frame.height:,} rows"
    if "sim_key" in frame.columns:
        said += f" of {frame['sim_key'].n_unique():,} SIMs"
    return f"{said}, {frame['day'].min()!s} to {frame['day'].max()!s}" if "day" in frame.columns else said


def _table(title: str, other: str, figures: dict[str, float], prefix: str) -> str:
    """A table of figures, each beside the one whose name has `prefix` before its own; empty without figures."""
    rows = [
        f"| {name.replace('_', ' ')} | {value:.4g} | {_figure(figures.get(prefix + name))} |"
        for name, value in figures.items()
        if not name.startswith(prefix)
    ]
    return "\n".join([f"| {title} | this version | {other} |", "| --- | --- | --- |", *rows]) if rows else ""


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
