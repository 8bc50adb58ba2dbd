"""What goes with which metric: words, groups, units, and what is assumed where a question does not say it."""

from __future__ import annotations

import re

DEFAULT_DAYS = 30
ANOMALY_DAYS = 7
DAYS_OF_GROUP = {"year": 730, "quarter": 365, "month": 365, "week": 91}  # without a period, where these are asked for
DEFAULT_TOP = 10
NEAR_QUOTA = 80
ALLOWED: dict[str, set[str]] = {
    "tickets": {"active", "quota", "usage", "sims", "cost"},
    "alerts": {"active", "quota", "silent", "inactive", "exhaustion", "ended", "anomalies", "usage", "near_quota"},
    "incidents": set(),
    "anomalies": {"usage", "sms", "silent"},
    "churn": {"active", "forecast"},
    "savings": {"cost", "recommendations", "forecast"},
    "recommendations": {"cost"},
    "cost": {"orders"},
    "orders": set(),
    "expiry": {"quota", "exhaustion"},
    "near_quota": {"quota", "usage", "remaining", "ended", "exhaustion"},
    "exhaustion": {"quota", "ended", "usage", "forecast", "remaining"},
    "remaining": {"quota", "usage"},
    "forecast": {"usage", "quota"},
    "never_used": {"inactive", "usage"},
    "silent": {"inactive"},
    "last_used": {"usage", "active", "inactive"},
    "activations": set(),
    "inactive": {"usage", "silent"},
    "sms": {"usage"},
    "quota": {"usage", "ended"},
    "usage": {"active"},
    "active": set(),
    "ended": {"quota", "remaining", "usage", "exhaustion", "forecast"},
}
PRECEDENCE = [
    "tickets",
    "alerts",
    "incidents",
    "churn",
    "savings",
    "anomalies",
    "recommendations",
    "cost",
    "orders",
    "expiry",
    "near_quota",
    "exhaustion",
    "ended",
    "remaining",
    "forecast",
    "never_used",
    "last_used",
    "activations",
    "silent",
    "inactive",
    "sms",
    "quota",
    "usage",
    "active",
]
DATED = {"activations", "tickets", "alerts", "incidents", "anomalies", "cost", "orders"}
COMPARABLE = {"usage", "sms", "active", "inactive", *DATED}  # in two periods
PER_SIM = {"label", "country", "operator", "device_type", "state", "sim"}
GROUPS_OF: dict[str, set[str]] = {
    "tickets": {"sim", "year", "quarter", "month", "week", "day", "category", "priority", "status", "state"},
    "alerts": {"year", "quarter", "month", "week", "day", "kind", "severity", "status", "state"} | PER_SIM,
    "incidents": {"year", "quarter", "month", "week", "kind", "severity"},
    "anomalies": {"year", "quarter", "month", "week", "day", "kind", "severity"} | PER_SIM,
    "churn": {"risk_level"} | PER_SIM,
    "savings": {"action"} | PER_SIM,
    "recommendations": {"action"} | PER_SIM,
    "recommended_cost": {"action"} | PER_SIM,
    "activations": {"year", "quarter", "month", "week", "day"} | PER_SIM,
    "cost": {"year", "quarter", "month", "week", "day", "order_type", "kind"},
    "orders": {"year", "quarter", "month", "week", "day", "order_type", "kind"},
    "active": {"year", "quarter", "month", "week", "day"} | PER_SIM,
    "usage": {"year", "quarter", "month", "week", "day"} | PER_SIM,
    "sms": {"year", "quarter", "month", "week", "day"} | PER_SIM,
}


UNIT_OF = {
    "usage": "mb",
    "remaining": "mb",
    "forecast": "mb",
    "sms": "sms",
    "used_share": "%",
    "remaining_share": "%",
    "churn": "%",
    "cost": "eur",
    "savings": "eur",
    "recommended_cost": "eur",
}
AMOUNTS = {"usage", "sms", "forecast", "remaining", "cost", "savings", "recommended_cost"}
OF_RECOMMENDATIONS = {"savings", "recommendations", "recommended_cost"}
SHARES = {"used_share", "remaining_share", "churn"}
# where the answer has a day for what is asked
WHEN = {
    "exhaustion",
    "expiry",
    "ended",
    "last_used",
    "activations",
    "alerts",
    "anomalies",
    "tickets",
    "incidents",
    "orders",
}
TIMES = {"year", "quarter", "month", "week", "day"}
COMMON_BY = {"anomalies": "kind", "alerts": "kind", "incidents": "kind", "tickets": "category"}  # the most common
BY_SIM = {"alerts", "anomalies", "tickets"}  # rows that are counted by SIM
# what SIMs do somewhere
SOMEWHERE = {"sims", "usage", "sms", "forecast", "active", "inactive", "alerts", "anomalies"}
KIND_OF_ALERT = {
    "silent": "silent",
    "inactive": "silent",
    "quota": "quota_80",
    "near_quota": "quota_80",
    "exhaustion": "exhaustion",
    "ended": "exhaustion",
    "anomalies": "anomaly",
}
STATUS_OF_TICKET = {"open": ("OPEN", "IN_PROGRESS"), "closed": ("CLOSED",), "IN_PROGRESS": ("IN_PROGRESS",)}
ONE = re.compile(
    r"(?:country|land|quarter|quartal|year|jahr|operator|network|carrier|provider|netz|betreiber|netzbetreiber|anbieter|label|month|monat"
    r"|week|woche|day|tag|"
    r"model|type|geraetetyp|modell|category|kategorie|kind)$"
)
