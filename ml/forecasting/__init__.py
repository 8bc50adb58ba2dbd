"""Forecasts of daily usage for a whole fleet: `fit` once, `forecast_usage` every day."""

from ml.forecasting.model import (
    QUANTILES,
    FloatPaths,
    Forecast,
    ForecastModel,
    fit,
    forecast_usage,
    quantile_column,
    seasonal_naive,
)
from ml.forecasting.segments import SEASON, SEGMENTS, YOUNG_DAYS
from ml.forecasting.series import forecast_series

__all__ = [
    "QUANTILES",
    "SEASON",
    "SEGMENTS",
    "YOUNG_DAYS",
    "FloatPaths",
    "Forecast",
    "ForecastModel",
    "fit",
    "forecast_series",
    "forecast_usage",
    "quantile_column",
    "seasonal_naive",
]
