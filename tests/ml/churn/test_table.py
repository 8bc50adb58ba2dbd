"""Training on any table: what a column is, what is refused, and what a prediction and its reasons are."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import polars as pl
import pytest

from ml.churn import ChurnModel, NotEnoughHistoryError, predict_churn, train_churn
from ml.churn.columns import learn_columns
from ml.churn.learner import calibrator, log_odds, odds, shift_to


def table(rows: int = 1500, seed: int = 1) -> tuple[pl.DataFrame, pl.Series]:
    """Customers whose end depends on months, contract and a truth value."""
    rng = np.random.default_rng(seed)
    months = rng.integers(0, 72, rows)
    contract = rng.choice(["Month-to-month", "One year", "Two year"], rows, p=[0.5, 0.25, 0.25])
    paperless = rng.random(rows) < 0.6
    charges = np.round(rng.gamma(3, 25, rows), 2)
    logit = 0.3 - 0.05 * months + 1.2 * (contract == "Month-to-month") + 0.5 * paperless
    ended = rng.random(rows) < 1 / (1 + np.exp(-logit))
    total = [" " if month == 0 else f"{month * charge:.2f}" for month, charge in zip(months, charges, strict=True)]
    frame = pl.DataFrame(
        {
            "customer": [f"{n:04d}-ABC" for n in range(rows)],
            "months": months,
            "contract": contract,
            "paperless": paperless,
            "charges": charges,
            "total": total,
            "constant": "same",
        }
    )
    return frame, pl.Series("ended", ended)


@pytest.fixture(scope="module")
def data() -> tuple[pl.DataFrame, pl.Series]:
    return table()


@pytest.fixture(scope="module")
def model(data: tuple[pl.DataFrame, pl.Series]) -> ChurnModel:
    return train_churn(*data, leaves=(3,))


def test_columns_are_what_they_hold(data: tuple[pl.DataFrame, pl.Series]) -> None:
    columns = learn_columns(data[0])
    assert {column.name: column.kind for column in columns.columns} == {
        "months": "number", "contract": "category", "paperless": "truth", "charges": "number", "total": "number",
    }  # fmt: skip
    assert columns.left_out == ("customer", "constant")
    types = data[0].select(device_type=pl.col("months").cast(pl.String))
    assert learn_columns(types).columns[0].kind == "number"
    assert learn_columns(types, categories=["device_type"]).columns[0].kind == "category"
    blank = columns.matrix(data[0])[:, columns.names.index("total")]
    assert np.isnan(blank).sum() == (data[0]["months"] == 0).sum() > 0


def test_probabilities_rank_and_are_calibrated_on_rows_never_seen(model: ChurnModel) -> None:
    frame, ended = table(rows=4000, seed=2)
    p, y = predict_churn(model, frame), ended.to_numpy()
    ranks = np.argsort(np.argsort(p))
    auc = (ranks[y].mean() - (y.sum() - 1) / 2) / (~y).sum()
    assert auc > 0.77
    assert abs(p.mean() - y.mean()) < 0.03


def test_pandas_and_polars_say_the_same_in_any_order(model: ChurnModel, data: tuple[pl.DataFrame, pl.Series]) -> None:
    frame, ended = data
    as_pandas = pd.DataFrame({name: frame[name].to_list() for name in reversed(frame.columns)})
    as_pandas["contract"] = as_pandas["contract"].astype("category")
    as_pandas.index = as_pandas.index + 7
    assert np.array_equal(predict_churn(model, as_pandas), predict_churn(model, frame))
    words = pd.Series(["Yes" if end else "No" for end in ended], index=as_pandas.index)
    again = train_churn(as_pandas[frame.columns], words, leaves=(3,))
    assert np.array_equal(predict_churn(again, frame), predict_churn(model, frame))


def test_levels_never_seen_and_unreadable_numbers_are_taken(
    model: ChurnModel, data: tuple[pl.DataFrame, pl.Series]
) -> None:
    odd = (
        data[0]
        .head(3)
        .with_columns(
            contract=pl.Series(["Ten years", None, ""]), total=pl.Series(["n/a", "much", "1e999"]), charges=None
        )
    )
    p = predict_churn(model, odd)
    assert np.all((p > 0) & (p < 1))
    assert predict_churn(model, odd.clear()).shape == (0,)


def test_reasons_add_up_to_the_log_odds(model: ChurnModel, data: tuple[pl.DataFrame, pl.Series]) -> None:
    some = data[0].head(50)
    reasons = model.reasons(some)
    assert np.allclose(reasons.sum_horizontal().to_numpy(), log_odds(predict_churn(model, some)))
    assert reasons.columns == ["months", "contract", "paperless", "charges", "total", "all rows"]
    spread = {name: float(np.std(reasons[name].to_numpy())) for name in reasons.columns}
    assert max(spread, key=lambda name: spread[name]) in ("months", "contract")


def test_the_same_data_and_seed_predict_the_same_after_json(
    model: ChurnModel, data: tuple[pl.DataFrame, pl.Series]
) -> None:
    kept = ChurnModel.from_dict(json.loads(json.dumps(model.to_dict())))
    assert np.array_equal(predict_churn(kept, data[0]), predict_churn(model, data[0]))
    with pytest.raises(ValueError, match="format 99"):
        ChurnModel.from_dict(model.to_dict() | {"format": 99})


def test_the_label_may_be_a_column_and_may_be_unknown(data: tuple[pl.DataFrame, pl.Series]) -> None:
    frame, ended = data
    label = ended.cast(pl.Int8).to_list()
    label[:5] = [None] * 5
    model = train_churn(frame.with_columns(ended=pl.Series(label)), "ended", leaves=(3,))
    assert model.rows == frame.height - 5


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ([1] * 41 + [0] * 1459, "not enough history to train: 41 ends, 100 needed"),
        ([0] * 1500, "not enough history to train: 0 ends, 100 needed"),
        ([True] * 1500, "not enough history to train: 0 without an end, 100 needed"),
    ],
)
def test_too_few_ends_and_one_class_are_said(data: tuple[pl.DataFrame, pl.Series], label: list[int], said: str) -> None:
    with pytest.raises(NotEnoughHistoryError, match=said):
        train_churn(data[0], label)


def test_what_is_no_table_or_no_label_is_refused(model: ChurnModel, data: tuple[pl.DataFrame, pl.Series]) -> None:
    frame, ended = data
    with pytest.raises(ValueError, match="the label holds 'perhaps'"):
        train_churn(frame, ["perhaps"] * frame.height)
    with pytest.raises(ValueError, match="the label has 2 rows and the features have 1500"):
        train_churn(frame, [1, 0])
    with pytest.raises(ValueError, match="no column that says anything"):
        train_churn(frame.select("customer", "constant"), ended)
    with pytest.raises(ValueError, match=r"lack the column\(s\) months"):
        predict_churn(model, frame.drop("months"))
    with pytest.raises(ValueError, match="must be a Polars or pandas frame, not list"):
        train_churn([[1]], [1])


def test_a_calibrator_is_taken_only_where_one_is_needed() -> None:
    rng = np.random.default_rng(3)
    logit = rng.normal(-1, 1.5, 5000)
    label = (rng.random(5000) < odds(logit)).astype(float)
    assert calibrator(label, logit) == (0.0, 1.0)
    shift, slope = calibrator(label, 2 * logit + 1)
    assert shift == pytest.approx(-0.5, abs=0.15)
    assert slope == pytest.approx(0.5, abs=0.06)
    assert odds(logit + shift_to(label, logit - 3) - 3).sum() == pytest.approx(label.sum())
