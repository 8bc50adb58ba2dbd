"""Who will leave, of any table: `train_churn` on rows whose end is known, `predict_churn` for others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from ml.churn.columns import Columns, as_frame, as_label, learn_columns
from ml.churn.learner import LEAVES, Learner, fit_learner, odds
from ml.history import FloatArray

VERSION = 1
MIN_ENDS = 100


class NotEnoughHistoryError(ValueError):
    """What is known cannot train a model; the message says what is there and what is needed."""


def enough(ends: int, others: int, needed: int) -> None:
    """Raise NotEnoughHistoryError unless there are `needed` ends, and as many that did not end."""
    for found, what in ((ends, "ends"), (others, "without an end")):
        if found < needed or not found:
            raise NotEnoughHistoryError(f"not enough history to train: {found} {what}, {max(needed, 1)} needed")


@dataclass(frozen=True, eq=False)
class ChurnModel:
    """A trained model of one table.

    columns  how the table becomes numbers
    learner  how numbers become a probability
    rows, ends  what it was trained on
    """

    columns: Columns
    learner: Learner
    rows: int
    ends: int
    seed: int

    def reasons(self, features: Any) -> pl.DataFrame:
        """What each column adds to the log odds of each row: one Float64 column each, and "all rows" for the rest."""
        added = self.learner.contributions(self.columns.matrix(features))
        owner = np.array([*self.columns.owner, len(self.columns.columns)])
        names = [column.name for column in self.columns.columns]
        return pl.DataFrame({name: added[:, owner == at].sum(axis=1) for at, name in enumerate([*names, "all rows"])})

    def to_dict(self) -> dict[str, Any]:
        """The whole model as JSON-ready values."""
        return {
            "name": "churn-table",
            "format": VERSION,
            "columns": self.columns.to_dict(),
            "learner": self.learner.to_dict(),
            "rows": self.rows,
            "ends": self.ends,
            "seed": self.seed,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ChurnModel:
        """The model that `to_dict` wrote. Raises ValueError for a model of another format."""
        if values.get("format") != VERSION or values.get("name") != "churn-table":
            raise ValueError(
                f"the churn model has format {values.get('format')} of {values.get('name')}; this code reads {VERSION}"
            )
        return cls(
            Columns.from_dict(values["columns"]),
            Learner.from_dict(values["learner"]),
            int(values["rows"]),
            int(values["ends"]),
            int(values["seed"]),
        )


def train_churn(
    features: Any, label: Any, *, seed: int = 17, min_ends: int = MIN_ENDS, leaves: Sequence[int] = LEAVES
) -> ChurnModel:
    """Train on a table.

    features  Polars or pandas frame, one row a customer or SIM: numbers, truth values, categories, dates, missing
              values, numbers in columns of text
    label     whether each row ended, in the rows' order: truth values, 0 and 1, Yes and No; rows without one are left
              out. Or the name of the column that says so
    min_ends  ends that there must be at least, and rows without
    leaves    leaves of the trees that are tried, ascending
    Raises NotEnoughHistoryError (a ValueError) for too few ends or one class only, ValueError for a label that is
    neither, other lengths, or features that say nothing.
    """
    frame = as_frame(features)
    if isinstance(label, str):
        if label not in frame.columns:
            raise ValueError(f"the features lack the column(s) {label}")
        frame, label = frame.drop(label), frame[label]
    truth = as_label(label, frame.height)
    known = ~np.isnan(truth)
    frame, truth = frame.filter(pl.Series(known)), truth[known]
    ends = int(truth.sum())
    enough(ends, len(truth) - ends, min_ends)
    columns = learn_columns(frame)
    learner = fit_learner(columns.matrix(frame), truth, is_number=columns.is_number, leaves=leaves, seed=seed)
    return ChurnModel(columns, learner, len(truth), ends, seed)


def predict_churn(model: ChurnModel, features: Any) -> FloatArray:
    """Probability that each row ends, (rows,). Columns may come in any order, further ones are not looked at; a level
    never seen counts as none, a number that cannot be read as missing. Raises ValueError when a column is not there.
    """
    return odds(model.learner.logit(model.columns.matrix(features)))
