"""Which SIMs will end, when and why: `train_hazard` and `predict_hazard` for a fleet, `evaluate_churn` for what that is
worth, `reasons_of` and `retention_actions` for people; `train_churn` and `predict_churn` for any table."""

from ml.churn.actions import RiskRules, reasons_of, retention_actions, risk_level
from ml.churn.ends import CAUSES, FACT_SCHEMA
from ml.churn.evaluation import Evaluation, evaluate_churn
from ml.churn.features import Histories, snapshot
from ml.churn.hazard import OUTER_SCHEMA, RISK_SCHEMA, Hazard, predict_hazard, risks_of, train_hazard
from ml.churn.model import ChurnModel, NotEnoughHistoryError, predict_churn, train_churn

__all__ = [
    "CAUSES",
    "FACT_SCHEMA",
    "OUTER_SCHEMA",
    "RISK_SCHEMA",
    "ChurnModel",
    "Evaluation",
    "Hazard",
    "Histories",
    "NotEnoughHistoryError",
    "RiskRules",
    "evaluate_churn",
    "predict_churn",
    "predict_hazard",
    "reasons_of",
    "retention_actions",
    "risk_level",
    "risks_of",
    "snapshot",
    "train_churn",
    "train_hazard",
]
