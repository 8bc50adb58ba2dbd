"""Alert rules as a customer writes them: their metrics and the checks of a rule. Pure: no database, no clock."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from ml.enums import Severity
from ml.words import percent
from resources.errors import UsageError

Operator = Literal[">", ">=", "<", "<="]
OPERATORS: tuple[str, ...] = get_args(Operator)
SEVERITIES: tuple[str, ...] = get_args(Severity)
MAX_FOR_DAYS = 90
MAX_ICCIDS = 10_000
# a rule that holds for a greater share of its scope on some day of the replay is refused unless forced
MAX_FIRING_SHARE = 0.25
MIN_SIMS_FOR_SHARE = 10  # below that many SIMs in scope a share says nothing


class RuleError(UsageError):
    """A rule is refused; `problems` says why, one sentence each, by the field that is wrong.

    Also a rule that would alert for too many SIMs: its threshold is wrong unless it is forced.
    """

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {text}" for name, text in problems.items()))
        self.problems = dict(problems)


@dataclass(frozen=True)
class Metric:
    """A figure that a rule looks at. The query metric_<name> gives (sim_key, day, value), day being the as-of day.

    words, unit   how an alert speaks of it: "<words> is <value> <unit>"
    low, high     least and greatest value it can have
    share         a part of a whole: 0.8 and "80 %" are the same threshold
    fleet         one value a day for the whole fleet, sim_key NULL
    """

    words: str
    unit: str
    low: float
    high: float
    fleet: bool = False
    share: bool = False

    @property
    def range(self) -> str:
        """Return the values it can have, in words: "0 to 1 (0 % to 100 %)"."""
        span = f"{self.low:g} to {self.high:g}{f' {self.unit}' if self.unit else ''}"
        return f"{span} ({self.low:.0%} to {self.high:.0%})".replace("%", " %") if self.share else span


METRICS: dict[str, Metric] = {
    "usage_day_mb": Metric("usage of the day", "MB", 0, 1e9),
    "usage_7d_mb": Metric("usage of the last 7 days", "MB", 0, 1e9),
    "usage_month_mb": Metric("usage of the calendar month so far", "MB", 0, 1e9),
    "quota_used_share": Metric("used share of the data volume", "", 0, 1, share=True),
    "forecast_30d_mb": Metric("usage expected in the next 30 days", "MB", 0, 1e9),
    "exhaustion_p7": Metric("probability of the end within 7 days", "", 0, 1, share=True),
    "exhaustion_p14": Metric("probability of the end within 14 days", "", 0, 1, share=True),
    "exhaustion_p30": Metric("probability of the end within 30 days", "", 0, 1, share=True),
    "exhaustion_p90": Metric("probability of the end within 90 days", "", 0, 1, share=True),
    "silence_days": Metric("time without usage", "days", 0, 120),
    "freshness_hours": Metric("age of the last usage answer", "hours", 0, 24 * 365),
    "anomaly_score": Metric("anomaly score", "", 0, 20),
    "churn_risk": Metric("churn risk", "", 0, 1, share=True),
    "forecast_error": Metric("forecast error as a share of repeating last week", "", 0, 100, fleet=True),
    "forecast_coverage_80": Metric("share of usage within the 80 % interval", "", 0, 1, fleet=True, share=True),
}


@dataclass(frozen=True)
class Rule:
    """Alert when `metric operator threshold` holds on `for_days` as-of days in a row, for each SIM in the scope.

    scope   {} the organization; {"label_prefix": "pump-"}; {"iccids": ["8988...", ...]}
    """

    name: str
    metric: str
    operator: str
    threshold: float
    for_days: int = 1
    scope: dict[str, Any] = field(default_factory=dict)
    severity: str = "warning"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def about(self) -> Metric:
        return METRICS[self.metric]

    @property
    def written(self) -> str:
        """Return the condition as people write it: "usage_day_mb > 100 for 3 days"."""
        days = f" for {self.for_days} days" if self.for_days > 1 else ""
        return f"{self.metric} {self.operator} {self.threshold:g}{days}"

    @property
    def condition(self) -> str:
        """Return the condition in words: "usage of the day > 100 MB for 3 days"."""
        days = f" for {self.for_days} days" if self.for_days > 1 else ""
        return f"{self.about.words} {self.operator} {self.threshold:g} {self.about.unit}".rstrip() + days


def parse_condition(text: str) -> tuple[str, str, float]:
    """Return metric, operator and threshold of a text such as "usage_day_mb > 100" or "exhaustion_p14 > 80 %".

    Raises RuleError.
    """
    found = re.fullmatch(r"\s*(\w+)\s*(>=|<=|>|<)\s*([-+.0-9].*?)\s*", text)
    if found is None:
        raise RuleError({"condition": f'{text!r} is no condition: write it as "usage_day_mb > 100"'})
    return found[1], found[2], parse_threshold(found[1], found[3])


def parse_threshold(name: str, text: str) -> float:
    """Return the threshold for the metric of that name, written with its unit or without: "0.8", "80 %", "100 MB".

    Raises RuleError for what is no number, and for a unit that is not the metric's.
    """
    found = re.fullmatch(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([^\d\s].*?)?\s*", text)
    metric = METRICS.get(name)
    if found is None:
        raise RuleError({"threshold": f"{text!r} is no number"})
    value, unit = float(found[1]), found[2]
    if unit is None or metric is None:  # the metric that there is not is refused by check_rule
        return value
    if metric.share and unit == "%":
        return value / 100
    if metric.unit and unit.casefold().rstrip("s") == metric.unit.casefold().rstrip("s"):
        return value
    known = f"in {metric.unit}" if metric.unit else "a plain number"
    if metric.share:
        known = 'a share: write 0.8 or "80 %"'
    raise RuleError({"threshold": f"{text!r}: {unit!r} is not the unit of {name}, which is {known}"})


def check_rule(rule: Rule) -> None:
    """Check a rule in itself. Raises RuleError that names everything that is wrong."""
    wrong: dict[str, str] = {}
    if not rule.name.strip() or rule.name != rule.name.strip() or len(rule.name) > 100:
        wrong["name"] = "give it a name of 1 to 100 characters, without spaces at its ends"
    metric = METRICS.get(rule.metric)
    if metric is None:
        wrong["metric"] = f"there is no metric {rule.metric!r}; there are {', '.join(METRICS)}"
    if rule.operator not in OPERATORS:
        wrong["operator"] = f"{rule.operator!r} is none of {' '.join(OPERATORS)}"
    if metric is not None and not (math.isfinite(rule.threshold) and metric.low <= rule.threshold <= metric.high):
        wrong["threshold"] = f"{rule.threshold:g} is outside what {rule.metric} can be: {metric.range}"
        if metric.share and metric.high < rule.threshold <= 100 * metric.high:
            percent = f"{rule.threshold:g}"
            wrong["threshold"] += f'; for {percent} percent write {rule.threshold / 100:g} or "{percent} %"'
    elif metric is not None and rule.operator in OPERATORS and always(rule):
        wrong["threshold"] = f"{rule.written} holds for every value there can be: {metric.range}"
    elif metric is not None and rule.operator in OPERATORS and never(rule):
        wrong["threshold"] = f"{rule.written} holds for no value there can be: {metric.range}"
    if not 1 <= rule.for_days <= MAX_FOR_DAYS:
        wrong["for_days"] = f"{rule.for_days} is outside 1 to {MAX_FOR_DAYS} days"
    if rule.severity not in SEVERITIES:
        wrong["severity"] = f"{rule.severity!r} is none of {', '.join(SEVERITIES)}"
    if problem := scope_problem(rule.scope):
        wrong["scope"] = problem
    elif metric is not None and metric.fleet and rule.scope:
        wrong["scope"] = f"{rule.metric} is one figure for the whole fleet: leave the scope out"
    if wrong:
        raise RuleError(wrong)


def always(rule: Rule) -> bool:
    """Return whether the condition holds for every possible value: a slip that would alert for every SIM."""
    metric = METRICS[rule.metric]
    return (rule.operator == ">=" and rule.threshold <= metric.low) or (
        rule.operator == "<=" and rule.threshold >= metric.high
    )


def never(rule: Rule) -> bool:
    """Return whether the condition holds for no possible value: a slip that would never alert."""
    metric = METRICS[rule.metric]
    return (rule.operator == ">" and rule.threshold >= metric.high) or (
        rule.operator == "<" and rule.threshold <= metric.low
    )


def scope_problem(scope: Any) -> str:
    """Return what is wrong with the form of a scope; empty: nothing."""
    if not isinstance(scope, dict) or len(scope) > 1 or scope.keys() - {"label_prefix", "iccids"}:
        return 'expected {} (all SIMs), {"label_prefix": "..."} or {"iccids": ["...", ...]}'
    if "label_prefix" in scope:
        prefix = scope["label_prefix"]
        if not isinstance(prefix, str) or not 1 <= len(prefix) <= 200 or "\x00" in prefix:
            return "label_prefix must be a text of 1 to 200 characters"
    if "iccids" in scope:
        iccids = scope["iccids"]
        if not isinstance(iccids, list) or not 1 <= len(iccids) <= MAX_ICCIDS:
            return f"iccids must be a list of 1 to {MAX_ICCIDS} ICCIDs"
        wrong = next((one for one in iccids if not isinstance(one, str) or not re.fullmatch("[0-9]{19}", one)), None)
        if wrong is not None:
            return f"{wrong!r} is no ICCID: 19 digits, without the Luhn digit"
    return ""


@dataclass(frozen=True)
class Replay:
    """What a rule would have done on past days.

    sims       SIMs in the scope (1 for a metric of the fleet)
    days       as-of days on which the metric is known, of those asked for
    fired      alerts it would have opened
    most       most SIMs for which it held on one day
    examples   the first of the alerts: day, iccid, label, value
    by_day     of each of these days: day, holding (SIMs for which it held), begins (alerts it would have opened)
    """

    sims: int
    days: int
    fired: int
    most: int
    examples: list[dict[str, Any]]
    by_day: list[dict[str, Any]] = field(default_factory=list)

    @property
    def share(self) -> float:
        return self.most / self.sims if self.sims else 0.0


def check_replay(rule: Rule, replay: Replay) -> None:
    """Check a replay. Raises RuleError for a rule that would have held for too great a share of its scope."""
    if not rule.about.fleet and replay.sims > MIN_SIMS_FOR_SHARE and replay.share > MAX_FIRING_SHARE:
        raise RuleError(
            {
                "threshold": f"on one of the {replay.days} days looked at it would have held for {replay.most} of "
                f"{replay.sims} SIMs ({percent(replay.share)}); more than {percent(MAX_FIRING_SHARE)} is refused "
                "unless forced"
            }
        )
