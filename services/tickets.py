"""Support tickets: the classifier is trained on starter tickets and corrections, and sorts every ticket of the account."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import polars as pl

from ml.plots.tickets import plot_tickets
from ml.words import percent
from resources.runtime import Runtime
from services.model_specs import TICKETS, Champion, Log, Metric, ModelSpec, Trained, TrainingInputs, register
from services.models import champion_of, registry_of, train_and_register

CORRECTED_SCHEMA = {"case_id": pl.String, "text": pl.String, "category": pl.String}
WAITING_SCHEMA = {
    "case_id": pl.String,
    "text": pl.String,
    "opened_at": pl.Datetime("us", "UTC"),
    "changed_at": pl.Datetime("us", "UTC"),
}
NAMES_SCHEMA = {"sim_key": pl.Int32, **dict.fromkeys(("iccid", "msisdn", "imei", "ip_address", "label"), pl.String)}
COUNTS_SCHEMA = {
    "category": pl.String,
    "priority": pl.String,
    "tickets": pl.Int64,
    "to_person": pl.Int64,
    "unsolved": pl.Int64,
}
