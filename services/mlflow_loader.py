"""A registered version as MLflow loads it.

`mlflow.pyfunc.load_model("models:/usage-forecaster@champion").predict(frame)` forecasts the SIMs of a frame. A version
is its model.json; this module reads it with the spec of its model. Whoever loads a version has Simsight installed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from services.known_models import spec_of

if TYPE_CHECKING:
    import pandas as pd

# as our models take them; other columns stay as they come
COLUMNS = {"sim_key": pl.Int32, "day": pl.Date, "bytes": pl.Int64, "sms": pl.Int32}


class Predictor:
    """A version that predicts from a pandas frame, by the `predict` of its spec."""

    def __init__(self, model: str, saved: dict[str, Any]) -> None:
        self._spec = spec_of(model)
        self._model = self._spec.read(saved)

    def predict(self, frame: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """What the model says of each SIM of a frame of usage; a day without bytes (NaN) is unknown."""
        assert self._spec.predict is not None
        given = pl.DataFrame({str(name): frame[name].to_numpy() for name in frame.columns}, nan_to_null=True)
        typed = given.with_columns(pl.col(name).cast(kind) for name, kind in COLUMNS.items() if name in given.columns)
        found = self._spec.predict(self._model, typed, params or {})
        return found.with_columns(pl.selectors.date().cast(pl.Datetime("ns"))).to_pandas()


def _load_pyfunc(path: str, model_config: dict[str, Any]) -> Predictor:
    """What MLflow calls with the path of a version's model.json and the name of its model."""
    return Predictor(model_config["model"], json.loads(Path(path).read_text()))
