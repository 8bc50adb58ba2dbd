"""What the rows of the published views have: columns shown, days, and what filters and groups mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# the state of a SIM; ordered ones are not in the list of SIMs
SIM_FIELDS = {
    "iccid": "s.iccid",
    "label": "s.label",
    "label_part": "s.label",
    "country": "s.country",
    "operator": "s.operator",
    "device_type": "left(s.imei, 8)",
    "state": "s.state",
}
# the beginning of a label, as for the totals of forecasts
LABEL_GROUP = r"substring(s.label FROM '^[^-_/:. ]+')"
MESSAGES = "coalesce(sms_mt, 0) + coalesce(sms_mo, 0) + coalesce(sms_unsplit, 0)"


# the rows of metrics that are lists of their own: columns shown, the day of a row, what filters mean, the amount
@dataclass(frozen=True)
class RowsOf:
    shown: str
    day: str
    fields: Mapping[str, str]
    order: str
    amount: str | None = None
    sims: bool = True


ROWS = {
    "anomalies": RowsOf(
        "r.iccid, r.label, r.day, r.kind, r.severity, r.score AS value, r.reasons",
        "r.day",
        {"kind": "r.kind", "severity": "r.severity"},
        "r.score",
    ),
    "alerts": RowsOf(
        "r.alert_id, r.iccid, r.label, r.kind, r.severity, r.opened_as_of, r.message",
        "r.opened_as_of",
        {
            "kind": "r.kind",
            "severity": "r.severity",
            "status": "CASE WHEN r.closed_at IS NULL THEN 'open' ELSE 'closed' END",
        },
        "r.alert_id",
    ),
    "activations": RowsOf(
        "r.iccid, r.label, r.activated_at, r.state",
        "(r.activated_at AT TIME ZONE 'UTC')::date",
        {},
        "r.activated_at",
    ),
    "tickets": RowsOf(
        "r.case_id, r.subject, r.status, r.opened_at, r.category, r.priority, r.iccid",
        "(r.opened_at AT TIME ZONE 'UTC')::date",
        {"category": "r.category", "priority": "r.priority", "status": "r.status"},
        "r.opened_at",
    ),
    "incidents": RowsOf(
        "r.incident_id, r.kind, r.title, r.first_day, r.last_day, r.severity, r.sims",
        "r.first_day",
        {"kind": "r.kind", "severity": "r.severity"},
        "r.first_day",
        sims=False,
    ),
    "orders": RowsOf(
        "r.order_number, r.order_type, r.ordered_at, r.status, r.invoice_minor / 100.0 AS value, r.currency",
        "(r.ordered_at AT TIME ZONE 'UTC')::date",
        {"order_type": "r.order_type"},
        "r.ordered_at",
        sims=False,
    ),
    "cost": RowsOf(
        "r.order_number, r.order_type, r.ordered_at, r.status, r.invoice_minor / 100.0 AS value, r.currency",
        "(r.ordered_at AT TIME ZONE 'UTC')::date",
        {"order_type": "r.order_type"},
        "r.invoice_minor",
        amount="r.invoice_minor / 100.0",
        sims=False,
    ),
}
TIMES = {
    "year": "to_char({day}, 'YYYY')",
    "quarter": "to_char({day}, 'YYYY-\"Q\"Q')",
    "month": "to_char({day}, 'YYYY-MM')",
    "week": "to_char({day}, 'IYYY-\"W\"IW')",
    "day": "{day}",
}
