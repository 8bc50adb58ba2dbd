"""The words for kinds, states and severities, each declared once. Imports no data library: the API types its answers
with them."""

from typing import Literal

Severity = Literal["info", "warning", "critical"]
AlertKind = Literal["exhaustion", "quota_80", "silent", "anomaly", "rule", "incident"]
AlertState = Literal["open", "acknowledged", "snoozed", "resolved"]
SimState = Literal["ordered", "issued", "activated", "active", "silent", "suspended", "expired", "deactivated"]
AnomalyKind = Literal[
    "spike",
    "runaway",
    "drift",
    "silence",
    "dead",
    "new_pattern",
    "sms_flood",
    "flapping",
    "unusual_hours",
    "imei_change",
    "unexpected_country",
    "unexpected_operator",
]
ActionKind = Literal["top_up", "auto_top_up", "reset", "disable", "enable", "limits"]
ActionState = Literal["requested", "approved", "refused", "sending", "done", "failed", "unclear"]
BulkAction = Literal[
    "acknowledge-alerts",
    "snooze-alerts",
    "resolve-alerts",
    "reopen-alerts",
    "accept-recommendations",
    "dismiss-recommendations",
    "set-labels",
    "remove-labels",
]
BulkState = Literal["pending", "expired", "done", "cancelled"]
TicketCategory = Literal[
    "connectivity_issue",
    "billing_question",
    "quota_exhausted",
    "activation_problem",
    "technical_support",
    "account_management",
]
TicketPriority = Literal["high", "medium", "low"]
ChurnCause = Literal["dead_device", "switched_off", "swapped"]
ChurnLevel = Literal["high", "medium", "low"]
QuotaAction = Literal[
    "nothing",
    "top_up",
    "auto_top_up_on",
    "auto_top_up_off",
    "lower_limit",
    "extend",
    "swap",
    "retire",
]
