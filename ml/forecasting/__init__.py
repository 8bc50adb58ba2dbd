"""Forecasts of daily usage for a whole fleet: `fit` once and `predict` every day, or both in one call by
`forecast_usage`."""

from ml.forecasting.model import (
    QUANTILES,
    FloatPaths,
    Forecast,
    ForecastModel,
    Sampler,
    fit,
    fit_predict,
    predict,
    predict_panel,
    quantile_column,
    sampler,
    seasonal_naive,
)
from ml.forecasting.segments import SEASON, SEGMENTS, YOUNG_DAYS
from ml.forecasting.series import forecast_usage

__all__ = [
    "QUANTILES",
    "SEASON",
    "SEGMENTS",
    "YOUNG_DAYS",
    "FloatPaths",
    "Forecast",
    "ForecastModel",
    "Sampler",
    "fit",
    "fit_predict",
    "forecast_usage",
    "predict",
    "predict_panel",
    "quantile_column",
    "sampler",
    "seasonal_naive",
]
