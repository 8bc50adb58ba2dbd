"""Which SIMs will leave, when and why: `train_churn` and `predict_churn` for any table."""

from ml.churn.model import ChurnModel, NotEnoughHistoryError, predict_churn, train_churn

__all__ = ["ChurnModel", "NotEnoughHistoryError", "predict_churn", "train_churn"]
