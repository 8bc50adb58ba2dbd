"""Anomalies over a whole fleet: `fit` once a week, `detect` every day, `group` what shares a cause, `limits` for the
days under way."""

from ml.anomaly.detection import KINDS, Detection, detect
from ml.anomaly.fleet import FleetStatistics
from ml.anomaly.incidents import ATTRIBUTES, INCIDENT_SCHEMA, MEMBER_SCHEMA, Grouped, group
from ml.anomaly.live_limits import STATE_SCHEMA, limits
from ml.anomaly.model import AnomalyModel, fit
from ml.anomaly.schemas import ANOMALY_SCHEMA, FEEDBACK_SCHEMA
from ml.anomaly.signals import EVENT_SCHEMA, PEER_SCHEMA, PERIOD_SCHEMA, Signals, signals

__all__ = [
    "ANOMALY_SCHEMA",
    "ATTRIBUTES",
    "EVENT_SCHEMA",
    "FEEDBACK_SCHEMA",
    "INCIDENT_SCHEMA",
    "KINDS",
    "MEMBER_SCHEMA",
    "PEER_SCHEMA",
    "PERIOD_SCHEMA",
    "STATE_SCHEMA",
    "AnomalyModel",
    "Detection",
    "FleetStatistics",
    "Grouped",
    "Signals",
    "detect",
    "fit",
    "group",
    "limits",
    "signals",
]
