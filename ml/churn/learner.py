"""Two simple learners of one probability, and their mean: small trees, and a logistic regression on splines.

Both are fitted to the log loss, and no class is weighted: weights gain no rank and cost calibration. How many leaves a
tree has (3 to 31), how many trees there are and how much each learner counts is what has the least log loss in an inner
cross-validation; where two are as good as the same, the simpler one is taken. The two are averaged as log odds, so that
what each column contributes adds up to the log odds exactly. A calibrator is taken only where the predictions of the
inner cross-validation, of rows that their model did not see, are off by more than chance.

Sources: gradient boosting (Friedman 2001; Ke et al. 2017, LightGBM), contributions (Lundberg et al. 2020, TreeSHAP),
splines with a penalty (Eilers and Marx 1996), calibration by intercept and slope (Cox 1958; Van Calster et al. 2019).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ml.history import FloatArray, IntArray

if TYPE_CHECKING:
    from lightgbm import Booster

LEAVES = (3, 6, 12, 31)
MOST_LEAVES_IN_ALL, LEAST_ROUNDS, ROUND_STEP = 1200, 150, 25  # trees of more leaves need fewer rounds
INNER_FOLDS = 3
# relative difference of log loss within which two settings are as good as the same
TOLERANCE = 1e-3
SHARES = (0.5, 1.0, 0.0)  # of the trees, the preferred first
KNOTS = np.linspace(0, 1, 6)  # quantiles of a number at which its curve is bent
DEGREE = 3
PENALTY = 0.1
SKEWED = 3.0
CALIBRATOR_GAIN = 9.2  # of twice the log likelihood: the 1 % point of chance for two parameters
PARAMETERS: dict[str, Any] = {
    "objective": "binary",
    "learning_rate": 0.05,
    "min_data_in_leaf": 40,
    "lambda_l2": 5.0,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "max_bin": 127,
    "verbosity": -1,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
}


def odds(logit: FloatArray) -> FloatArray:
    """Probabilities of log odds."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logit, -35, 35))), dtype=np.float64)


def log_odds(probability: FloatArray) -> FloatArray:
    """Log odds of probabilities; 0 and 1 are taken for 1e-9 and 1 - 1e-9."""
    inside = np.clip(probability, 1e-9, 1 - 1e-9)
    return np.asarray(np.log(inside / (1 - inside)), dtype=np.float64)


def log_loss(label: FloatArray, logit: FloatArray) -> float:
    """Mean log loss of log odds."""
    return float(np.mean(np.logaddexp(0.0, np.where(label > 0, -logit, logit))))


@dataclass(frozen=True, eq=False)
class Trees:
    """Boosted small trees; text is LightGBM's own."""

    text: str
    leaves: int
    rounds: int

    @cached_property
    def _booster(self) -> Booster:
        from lightgbm import Booster

        return Booster(model_str=self.text)

    def contributions(self, matrix: FloatArray) -> FloatArray:
        """What each column adds to the log odds, (rows, width + 1); the last is what all rows have."""
        return np.asarray(self._booster.predict(matrix, pred_contrib=True, num_threads=1), dtype=np.float64)

    def logit(self, matrix: FloatArray) -> FloatArray:
        return np.asarray(self._booster.predict(matrix, raw_score=True, num_threads=1), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Curves:
    """Logistic regression: each number bends at its knots, each level has its step.

    numbers   of the columns that are numbers: how each is prepared and where its knots are
    mean, scale, weights  of the columns of the basis
    owner     which column of the matrix each column of the basis comes from
    """

    numbers: dict[int, dict[str, Any]]
    owner: IntArray
    mean: FloatArray
    scale: FloatArray
    weights: FloatArray
    intercept: float

    def contributions(self, matrix: FloatArray) -> FloatArray:
        """As `Trees.contributions`."""
        parts = (_basis(matrix, self.numbers) - self.mean) / self.scale * self.weights
        added = np.zeros((len(matrix), matrix.shape[1] + 1))
        for column, owner in enumerate(self.owner):
            added[:, owner] += parts[:, column]
        added[:, -1] = self.intercept
        return added

    def logit(self, matrix: FloatArray) -> FloatArray:
        scaled = (_basis(matrix, self.numbers) - self.mean) / self.scale
        return np.asarray(scaled @ self.weights + self.intercept, dtype=np.float64)

    def to_dict(self) -> dict[str, Any]:
        kept = {"owner": self.owner, "mean": self.mean, "scale": self.scale, "weights": self.weights}
        return {name: value.tolist() for name, value in kept.items()} | {
            "numbers": {str(at): how for at, how in self.numbers.items()},
            "intercept": self.intercept,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Curves:
        arrays = {name: np.array(values[name], dtype=np.float64) for name in ("mean", "scale", "weights")}
        numbers = {int(at): dict(how) for at, how in values["numbers"].items()}
        owner = np.array(values["owner"], dtype=np.int64)
        return cls(numbers=numbers, owner=owner, intercept=float(values["intercept"]), **arrays)


@dataclass(frozen=True, eq=False)
class Learner:
    """Both learners and how they are put together.

    share        how much the trees count; the curves have the rest
    shift, slope the calibrator of the log odds: 0 and 1 where none was needed
    tried        mean log loss of the inner cross-validation by setting, for the model card
    """

    trees: Trees | None
    curves: Curves | None
    share: float
    shift: float = 0.0
    slope: float = 1.0
    tried: dict[str, float] = field(default_factory=dict)

    def logit(self, matrix: FloatArray) -> FloatArray:
        """Log odds, (rows,), of a matrix (rows, width)."""
        mixed = np.zeros(len(matrix))
        if self.trees is not None and len(matrix):
            mixed += self.share * self.trees.logit(matrix)
        if self.curves is not None and len(matrix):
            mixed += (1 - self.share) * self.curves.logit(matrix)
        return np.asarray(self.shift + self.slope * mixed, dtype=np.float64)

    def contributions(self, matrix: FloatArray) -> FloatArray:
        """What each column of the matrix adds to the log odds, (rows, width + 1); a row adds up to its log odds."""
        mixed = np.zeros((len(matrix), matrix.shape[1] + 1))
        if self.trees is not None and len(matrix):
            mixed += self.share * self.trees.contributions(matrix)
        if self.curves is not None and len(matrix):
            mixed += (1 - self.share) * self.curves.contributions(matrix)
        mixed *= self.slope
        mixed[:, -1] += self.shift
        return mixed

    def to_dict(self) -> dict[str, Any]:
        trees = self.trees and {"text": self.trees.text, "leaves": self.trees.leaves, "rounds": self.trees.rounds}
        return {
            "trees": trees,
            "curves": self.curves and self.curves.to_dict(),
            "share": self.share,
            "shift": self.shift,
            "slope": self.slope,
            "tried": self.tried,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Learner:
        return cls(
            trees=Trees(**values["trees"]) if values["trees"] else None,
            curves=Curves.from_dict(values["curves"]) if values["curves"] else None,
            share=float(values["share"]),
            shift=float(values["shift"]),
            slope=float(values["slope"]),
            tried=dict(values["tried"]),
        )


def fit_learner(
    matrix: FloatArray,
    label: FloatArray,
    *,
    is_number: Sequence[bool],
    groups: IntArray | None = None,
    leaves: Sequence[int] = LEAVES,
    seed: int,
) -> Learner:
    """Fit both learners to label (rows,) of 0 and 1, which must hold both.

    groups  (rows,) rows of one group (a SIM) are never on both sides of the inner cross-validation
    """
    parts = _folds(label, groups, seed)
    curve = np.empty(len(label))
    for part in range(INNER_FOLDS):
        held = parts == part
        curve[held] = fit_curves(matrix[~held], label[~held], is_number).logit(matrix[held])
    best: tuple[float, int, int, FloatArray] | None = None
    tried = {"curves": log_loss(label, curve)}
    for number in leaves:
        most = max(MOST_LEAVES_IN_ALL // number, LEAST_ROUNDS)
        by_round = np.empty((most // ROUND_STEP, len(label)))
        for part in range(INNER_FOLDS):
            held = parts == part
            booster = _boosted(matrix[~held], label[~held], number, most, seed)
            by_round[:, held] = _by_round(booster, matrix[held], most)
        losses = np.array([log_loss(label, logit) for logit in by_round])
        at = int(np.argmax(losses <= losses.min() * (1 + TOLERANCE / 2)))
        tried[f"{number} leaves"] = float(losses[at])
        if best is not None and losses[at] > best[0] * (1 - TOLERANCE):
            break
        best = float(losses[at]), number, ROUND_STEP * (at + 1), by_round[at]
    assert best is not None
    _, number, rounds, tree = best
    by_share = {share: log_loss(label, share * tree + (1 - share) * curve) for share in SHARES}
    share = min(SHARES, key=lambda share: by_share[share] * (1 + TOLERANCE * (share != SHARES[0])))
    tried["together"] = by_share[share]
    shift, slope = calibrator(label, share * tree + (1 - share) * curve)
    trees = Trees(_boosted(matrix, label, number, rounds, seed).model_to_string(), number, rounds) if share else None
    curves = fit_curves(matrix, label, is_number) if share < 1 else None
    return Learner(trees, curves, share, shift, slope, tried)


def calibrator(label: FloatArray, logit: FloatArray) -> tuple[float, float]:
    """Shift and slope that log odds of unseen rows need; (0, 1) where what they would gain could be chance."""
    shift, slope = 0.0, 1.0
    for _ in range(25):
        p = odds(shift + slope * logit)
        weight = np.maximum(p * (1 - p), 1e-9)
        gradient = np.array([(label - p).sum(), ((label - p) * logit).sum()])
        hessian = np.array([
            [weight.sum(), (weight * logit).sum()],
            [(weight * logit).sum(), (weight * logit**2).sum()],
        ])  # fmt: skip
        step = np.clip(np.linalg.solve(hessian + 1e-9 * np.eye(2), gradient), -1, 1)
        shift, slope = shift + step[0], slope + step[1]
        if np.abs(step).max() < 1e-8:
            break
    gain = 2 * len(label) * (log_loss(label, logit) - log_loss(label, shift + slope * logit))
    return (float(shift), float(slope)) if gain > CALIBRATOR_GAIN and slope > 0 else (0.0, 1.0)


def shift_to(label: FloatArray, logit: FloatArray) -> float:
    """The shift of log odds by which as many ends are expected as there were: Newton's method on one number."""
    shift = 0.0
    for _ in range(50):
        p = odds(logit + shift)
        step = float(np.clip((label - p).sum() / max((p * (1 - p)).sum(), 1e-9), -1, 1))
        shift += step
        if abs(step) < 1e-9:
            break
    return shift


def fit_curves(matrix: FloatArray, label: FloatArray, is_number: Sequence[bool]) -> Curves:
    """Fit the logistic regression on splines."""
    from sklearn.linear_model import LogisticRegression

    numbers = {at: _prepared(matrix[:, at]) for at, number in enumerate(is_number) if number}
    for at in set(range(matrix.shape[1])) - set(numbers):
        if np.isnan(matrix[:, at]).any():
            numbers[at] = {"fill": float(np.nanmean(matrix[:, at])), "low": 0.0, "high": 1.0, "log": False, "knots": []}
    basis, owner = _basis(matrix, numbers), _owners(matrix.shape[1], numbers)
    mean, scale = basis.mean(axis=0), basis.std(axis=0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    fitted = LogisticRegression(C=PENALTY, solver="newton-cholesky", max_iter=100).fit((basis - mean) / scale, label)
    return Curves(
        numbers, owner, mean, scale, np.asarray(fitted.coef_[0], dtype=np.float64), float(fitted.intercept_[0])
    )


def _prepared(values: FloatArray) -> dict[str, Any]:
    known = values[~np.isnan(values)]
    if not known.size:
        return {"fill": 0.0, "low": 0.0, "high": 0.0, "log": False, "knots": []}
    spread = known.std()
    skew = float(np.mean(((known - known.mean()) / spread) ** 3)) if spread > 0 else 0.0
    is_log = abs(skew) > SKEWED
    if is_log:
        known = np.sign(known) * np.log1p(np.abs(known))
    knots = np.unique(np.quantile(known, KNOTS))
    return {
        "fill": float(np.median(known)),
        "low": float(known.min()),
        "high": float(known.max()),
        "log": bool(is_log),
        "knots": knots.tolist() if knots.size >= 3 else [],
    }


def _owners(width: int, numbers: Mapping[int, Mapping[str, Any]]) -> IntArray:
    owner: list[int] = []
    for at in range(width):
        how = numbers.get(at)
        owner += [at] * (1 if how is None else 2 + _bends(how))
    return np.array(owner, dtype=np.int64)


def _bends(how: Mapping[str, Any]) -> int:
    return len(how["knots"]) + DEGREE - 2 if how["knots"] else 0


def _basis(matrix: FloatArray, numbers: Mapping[int, Mapping[str, Any]]) -> FloatArray:
    """Of a number: itself, whether it is missing, and B-splines, within what was seen; of others themselves."""
    from scipy.interpolate import BSpline

    columns: list[FloatArray] = []
    for at in range(matrix.shape[1]):
        values, how = matrix[:, at], numbers.get(at)
        if how is None:
            columns.append(np.nan_to_num(values))
            continue
        missing = np.isnan(values)
        if how["log"]:
            values = np.sign(values) * np.log1p(np.abs(values))
        values = np.clip(np.where(missing, how["fill"], values), how["low"], how["high"])
        columns += [values, missing.astype(np.float64)]
        if how["knots"]:
            knots = np.concatenate([[how["low"]] * DEGREE, how["knots"], [how["high"]] * DEGREE])
            bent = BSpline.design_matrix(values, knots, DEGREE).toarray()
            columns += list(bent[:, : _bends(how)].T)
    return np.column_stack(columns)


def _boosted(matrix: FloatArray, label: FloatArray, leaves: int, rounds: int, seed: int) -> Booster:
    import lightgbm

    parameters = PARAMETERS | {"num_leaves": leaves, "seed": seed}
    parameters["min_data_in_leaf"] = min(PARAMETERS["min_data_in_leaf"], max(len(label) // 20, 2))
    return lightgbm.train(parameters, lightgbm.Dataset(matrix, label, params=parameters), rounds)


def _by_round(booster: Booster, matrix: FloatArray, most: int) -> FloatArray:
    """Log odds after every ROUND_STEP trees, (steps, rows)."""
    logit = np.zeros(len(matrix))
    found = []
    for first in range(0, most, ROUND_STEP):
        logit = logit + np.asarray(
            booster.predict(matrix, raw_score=True, start_iteration=first, num_iteration=ROUND_STEP, num_threads=1)
        )
        found.append(logit)
    return np.array(found)


def _folds(label: FloatArray, groups: IntArray | None, seed: int) -> npt.NDArray[np.int64]:
    """Which part of the inner cross-validation a row is held in: by group, or else with as many ends in each."""
    rng = np.random.default_rng(seed)
    if groups is not None:
        names, place = np.unique(groups, return_inverse=True)
        return np.asarray((rng.permutation(names.size) % INNER_FOLDS)[place], dtype=np.int64)
    parts = np.empty(len(label), dtype=np.int64)
    for value in (0, 1):
        rows = rng.permutation(np.flatnonzero(label == value))
        parts[rows] = np.arange(rows.size) % INNER_FOLDS
    return parts
