"""The one-call entry: forecasts of any long frame of daily series, fitted on the frame itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import polars as pl

from ml.forecasting.model import QUANTILES, fit_predict

IDS = ("iccid", "sim_key")
# A larger value is no number of bytes: that day is unknown. Series that stay below MAX_DECIMAL_VALUE keep six decimals.
MAX_VALUE, MAX_DECIMAL_VALUE = 9.0e17, 1.0e9


def forecast_usage(
    history: pl.DataFrame,
    as_of: date,
    horizon: int = 30,
    quantiles: Sequence[float] = QUANTILES,
    *,
    seed: int = 7,
) -> pl.DataFrame:
    """Forecast every series of a long frame for `horizon` days after `as_of`, fitted on these series alone.

    history  iccid (or sim_key; text or whole numbers), day (date), bytes (numbers, not negative; null is unknown, a day
             without a row after the first one is zero), in any order
    Returns the id under its own name, day, mean and a column a quantile, sorted by id and day. A series without a
    usable row has no forecast; broken rows are treated as `ml.history` says.
    For a fleet that is scored every day, `fit` once and call `predict` with the model: this does both each time.
    Raises ValueError when a column is missing or of another kind, or a quantile or the horizon is out of range.

        forecast_usage(pl.DataFrame({"iccid": ids, "day": days, "bytes": volumes}), date(2026, 6, 30), 30)
    """
    name = next((name for name in IDS if name in history.columns), None)
    missing = [column for column in ("day", "bytes") if column not in history.columns]
    if name is None or missing:
        raise ValueError(f"the frame has the columns {history.columns}; it needs iccid (or sim_key), day and bytes")
    if history.schema["day"] != pl.Date or not history.schema["bytes"].is_numeric():
        raise ValueError("the frame needs days as dates and bytes as numbers")
    values = pl.col("bytes").cast(pl.Float64).fill_nan(None)
    values = pl.when(values.abs() <= MAX_VALUE).then(values)
    rows = history.filter(pl.col(name).is_not_null()).select(name, "day", values.alias("bytes"))
    # Whole units inside, so small series are counted in millionths.
    unit = pl.when(pl.col("bytes").max() > MAX_DECIMAL_VALUE).then(1.0).otherwise(1e6)
    ids = rows.group_by(name).agg(unit=unit).sort(name).with_row_index("sim_key")
    known = rows.join(ids, on=name).select(
        pl.col("sim_key").cast(pl.Int32), "day", (pl.col("bytes") * pl.col("unit")).round().cast(pl.Int64)
    )
    _, forecast = fit_predict(known, as_of=as_of, horizon=horizon, quantiles=quantiles, seed=seed)
    frame = forecast.frame.with_columns(pl.col("sim_key").cast(ids.schema["sim_key"]))
    frame = frame.join(ids, on="sim_key", maintain_order="left")
    return frame.select(name, "day", pl.exclude("sim_key", "unit", name, "day") / pl.col("unit"))
