"""The typed Question that every front end fills and the compiler reads: names from fixed lists, and plain values."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from resources.errors import SimsightError

Metric = Literal[
    "usage",  # MB in a period
    "sms",  # messages in a period
    "remaining",  # MB left of the data quota
    "remaining_share",  # the same in % of the quota
    "used_share",  # what is used of it, in %
    "forecast",  # MB expected from the day after as_of, horizon days
    "exhaustion",  # median day of the end of volume or time
    "expiry",  # day on which the quota ends whatever is used
    "inactive",  # SIMs without use in a period; without a period: never used
    "active",  # SIMs with use in a period
    "last_used",  # last day with use
    "activations",  # SIMs by the day they were activated
    "sims",  # SIMs
    "churn",  # probability to leave within 90 days, in %
    "savings",  # what the recommended actions would save
    "recommendations",  # SIMs that something is recommended for
    "recommended_cost",  # what the recommended actions would cost in three months
    "anomalies",
    "alerts",
    "tickets",
    "incidents",
    "orders",
    "cost",  # invoice amounts of orders
]
Aggregation = Literal["list", "count", "sum", "average", "median", "maximum", "minimum"]
Operator = Literal[">", ">=", "<", "<=", "="]
Field_ = Literal[
    "iccid",
    "label",
    "label_part",
    "country",
    "operator",
    "device_type",
    "state",
    "kind",
    "severity",
    "category",
    "priority",
    "status",
    "risk_level",
    "order_type",
    "action",
]
Group = Literal[
    "sim",
    "label",
    "country",
    "operator",
    "device_type",
    "state",
    "year",
    "quarter",
    "month",
    "week",
    "day",
    "kind",
    "severity",
    "category",
    "priority",
    "status",
    "risk_level",
    "order_type",
    "action",
]
Value = Annotated[str, Field(max_length=200)]
MAX_ROWS = 1000


class QuestionError(SimsightError):
    """The question makes sense and cannot be answered from the views; the message says why."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Comparison(_Part):
    """A limit on the metric's value, in the metric's own unit (MB, messages, %, whole currency)."""

    operator: Operator
    value: float


class Filter(_Part):
    """Any of the values, or none of them. Of a label: any of these beginnings; of its parts: any between separators.

    An empty value stands for none at all: SIMs without a label.
    """

    field: Field_
    values: tuple[Value, ...] = Field(min_length=1, max_length=50)
    negated: bool = False


class Period(_Part):
    """UTC days, both included."""

    first: date
    last: date


class Question(_Part):
    """What is asked: a metric, of which SIMs or rows, when, and how the answer is laid out."""

    metric: Metric
    aggregation: Aggregation = "list"
    daily: bool = Field(False, description="usage and sms: a day's average instead of the period's sum")
    peak: bool = Field(False, description="usage and sms of SIMs: the largest day instead of the period's sum")
    comparisons: tuple[Comparison, ...] = Field((), max_length=4)
    filters: tuple[Filter, ...] = Field((), max_length=10)
    period: Period | None = None
    against: Period | None = Field(None, description="An earlier period, whose numbers stand beside")
    horizon: int | None = Field(None, ge=0, le=3650, description="Days ahead of the as-of day")
    group: Group | None = None
    also: Group | None = Field(None, description="a second group, inside the first")
    sims: bool = Field(False, description="count SIMs and not rows (anomalies, alerts, tickets)")
    share: bool = Field(False, description="in % of all groups; of a number, in % of what it is a part of")
    top: int | None = Field(None, ge=1, le=MAX_ROWS)
    ascending: bool = False
