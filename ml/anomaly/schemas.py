"""The frames that the detector gives and takes beside its signals."""

from __future__ import annotations

import polars as pl

ANOMALY_SCHEMA = {
    "sim_key": pl.Int32,
    "day": pl.Date,
    "score": pl.Float64,
    "is_anomaly": pl.Boolean,
    "severity": pl.String,
    "kind": pl.String,
    "reasons": pl.String,
    "value": pl.Float64,
    "expected": pl.Float64,
    "unit": pl.String,
    "first_day": pl.Date,
}
FEEDBACK_SCHEMA = {"sim_key": pl.Int32, "label": pl.String, "kind": pl.String}
