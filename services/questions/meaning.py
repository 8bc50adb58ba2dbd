"""What the phrases of a question come to together: one Question, or the reason why they do not fit."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from services.questions.draft import Draft, NotUnderstoodError
from services.questions.metrics import (
    ALLOWED,
    AMOUNTS,
    ANOMALY_DAYS,
    DATED,
    DEFAULT_DAYS,
    DEFAULT_TOP,
    GROUPS_OF,
    KIND_OF_ALERT,
    NEAR_QUOTA,
    ONE,
    PER_SIM,
    PRECEDENCE,
    SHARES,
    STATUS_OF_TICKET,
    TIMES,
    UNIT_OF,
)
from services.questions.periods import Ahead, Span
from services.questions.question import Comparison, Filter, Period, Question


def meant(draft: Draft, today: date) -> Question:
    """Put together what was found in a question asked on a day. Raises NotUnderstoodError for what does not fit."""
    return _Meaning(draft, today).question()


class _Meaning:
    """The parts of a Question, each settled in turn."""

    def __init__(self, draft: Draft, today: date) -> None:
        self.draft, self.today, self.yesterday = draft, today, today - timedelta(1)
        self.named: list[str] = draft.all("metric")
        self.limits: list[tuple[str, float, str]] = draft.all("limit")
        self.units = {unit for _, _, unit in self.limits}
        self.states: list[str] = draft.all("state")
        self.filters: list[Filter] = list(draft.filters)
        self.comparisons: list[Comparison] = []
        self.span: Span | None = None
        self.ahead: Ahead | None = None
        self.horizon: int | None = None
        self.metric = ""

    def question(self) -> Question:
        self._read_periods()
        self.metric = self._named_metric()
        self._settle_metric()
        self._settle_silence()
        self._put_limits()
        self._settle_days()
        self._put_filters()
        self._put_words_of_filters()
        return Question.model_validate(
            {
                "metric": self.metric,
                "comparisons": self.comparisons,
                "filters": _joined(self.filters),
                "period": Period(first=self.span.first, last=self.span.last) if self.span else None,
                "horizon": self.horizon,
                **self._layout(),
            }
        )

    def _fail(self, english: str, german: str) -> NotUnderstoodError:
        return self.draft.fail(english, german)

    def _name(self) -> str:
        return self.metric.replace("_", " ")

    def _read_periods(self) -> None:
        periods = self.draft.all("period")
        if len(periods) > 1:
            raise self._fail(
                "There are several periods in it: ask for one.", "Darin sind mehrere Zeiträume: fragen Sie nach einem."
            )
        for period in periods:
            if isinstance(period, Ahead):
                self.ahead = period
                continue
            self.span = period
            if period.last < period.first:
                raise self._fail("The period ends before it begins.", "Der Zeitraum endet, bevor er beginnt.")
            if period.note and period.note != "not over":
                self.draft.note(
                    f"The period is {period.first} to {period.last}.",
                    f"Der Zeitraum ist {period.first} bis {period.last}.",
                )

    def _named_metric(self) -> str:
        """The metric that the words name, of those that may stand together the one that says most."""
        draft, named = self.draft, self.named
        if draft.all("kind") and not set(named) & {"alerts", "anomalies", "incidents"}:
            named = ["anomalies", *named]
        if not named and draft.has("group", "risk_level"):
            named = ["churn"]
        if not named and draft.has("order_type"):
            named = ["orders"]
        metric = next((name for name in PRECEDENCE if name in named), None)
        if metric is None:
            return self._unnamed_metric()
        others = [name for name in named if name != metric and name not in ALLOWED[metric]]
        if others:
            both = f"{metric} + {', '.join(others)}".replace("_", " ")
            raise self._fail(
                f"It asks for two things at once ({both}).", f"Es fragt nach zwei Dingen zugleich ({both})."
            )
        return metric

    def _unnamed_metric(self) -> str:
        draft = self.draft
        if "mb" in self.units or draft.has("weak", "data"):
            return "usage"
        if "sms" in self.units:
            return "sms"
        if draft.has("weak", "risk"):
            return "churn"
        if draft.has("subject") or self.states:
            return "sims"
        raise self._fail("It names nothing that can be measured.", "Es wird nichts genannt, das gemessen werden kann.")

    def _settle_metric(self) -> None:
        """Tell apart what the same words mean in different company."""
        metric, share = self.metric, "%" in self.units
        coming = bool(self.ahead) or self.draft.has("future") or self.draft.has("soon")
        if metric == "usage" and (self.ahead or (self.draft.has("future") and not self.span)):
            metric = "forecast"
        if metric == "near_quota":
            metric = "used_share"
            if not share:
                self.limits = [*self.limits, (">=", NEAR_QUOTA, "%")]
                self.draft.note(
                    f"Close to the quota means that {NEAR_QUOTA} % of it are used.",
                    f"Nahe am Kontingent heißt, dass {NEAR_QUOTA} % davon verbraucht sind.",
                )
        elif metric in ("quota", "ended", "usage", "exhaustion") and share:
            metric = "used_share"
        elif metric == "remaining" and share:
            metric = "remaining_share"
        elif metric == "quota":
            metric = "used_share" if "usage" in self.named else "remaining"
        elif metric == "exhaustion" and "ended" in self.named and not coming:
            metric = "ended"
        elif metric == "usage" and "active" in self.named:
            self.states.append("active")
        if metric == "usage" and self.units == {"sms"}:
            metric = "sms"
        asked_when = self.span or "forecast" in self.named or self.draft.has("when") or self.draft.has("rank")
        if metric == "ended" and (coming or asked_when):
            metric = "exhaustion"
        self.metric = metric

    def _settle_silence(self) -> None:
        """Silent and active are states of a SIM, and with a period whether it had usage."""
        if self.metric == "silent" and (self.span or "days" in self.units):
            self.metric = "inactive"
        elif self.metric == "silent" or (self.metric == "active" and not self.span):
            self.states.append(self.metric)
            self.metric = "sims"
            if "active" in self.states:
                self.draft.note(
                    "Active is the state of the SIM's life; with a period it means that the SIM had usage.",
                    "Aktiv ist der Zustand der SIM; mit einem Zeitraum heißt es, dass sie Verbrauch hatte.",
                )
        if self.span and set(self.states) - {"active", "silent"}:
            raise self._fail(
                "States are known as of now only, without a period.",
                "Zustände sind nur mit dem jetzigen Stand bekannt, ohne Zeitraum.",
            )

    def _put_limits(self) -> None:
        """Bring the limits into the metric's unit; limits of days are periods."""
        for operator, value, unit in self.limits:
            if unit == UNIT_OF.get(self.metric):
                self.comparisons.append(Comparison.model_validate({"operator": operator, "value": value}))
            elif unit == "days" and self.metric == "inactive" and operator in (">", ">=") and not self.span:
                self.span = Span(self.today - timedelta(int(value)), self.yesterday)
            elif (
                unit == "days"
                and self.metric in ("exhaustion", "expiry")
                and operator in ("<", "<=")
                and not self.ahead
            ):
                self.ahead = Ahead(int(value))
            else:
                raise self._fail(
                    f"A limit in {unit} does not fit to {self._name()}.",
                    f"Eine Grenze in {unit} passt nicht zu {self._name()}.",
                )

    def _settle_days(self) -> None:
        metric = self.metric
        if metric in ("usage", "sms", "active", "inactive") or metric in DATED:
            if self.ahead:
                raise self._fail(
                    f"{self._name()} of the future: only forecasts look ahead.",
                    f"{self._name()} der Zukunft: nur Prognosen blicken voraus.",
                )
            if self.span is None and metric not in DATED:
                self._assume_back(DEFAULT_DAYS)
            elif self.span is None and metric == "anomalies" and not self.draft.has("aggregation"):
                self._assume_back(ANOMALY_DAYS)
        elif metric in ("exhaustion", "expiry", "forecast"):
            self._settle_horizon()
        elif self.span or self.ahead:
            if not (metric == "sims" and self.span and self.span.first == self.today):
                raise self._fail(
                    f"{self._name()} is known as of now only.",
                    f"{self._name()} ist nur mit dem jetzigen Stand bekannt.",
                )
            self.span = None
        if metric == "ended":
            self.metric = "exhaustion"
            self.filters.append(Filter(field="status", values=("exhausted",)))

    def _assume_back(self, days: int) -> None:
        self.span = Span(self.today - timedelta(days), self.yesterday)
        self.draft.note(
            f"Without a period it is the last {days} days.", f"Ohne Zeitraum sind es die letzten {days} Tage."
        )

    def _settle_horizon(self) -> None:
        if self.span and self.span.last >= self.today:
            self.ahead, self.span = Ahead((self.span.last - self.yesterday).days), None
        elif self.span:
            raise self._fail(
                f"{self._name()} looks ahead, and the period lies in the past.",
                f"{self._name()} blickt voraus, und der Zeitraum liegt in der Vergangenheit.",
            )
        one = (
            self.draft.has("when") or self.draft.has("rank") or any(chosen.field == "iccid" for chosen in self.filters)
        )
        if self.ahead:
            self.horizon = self.ahead.days
        elif self.metric == "forecast" or not one:
            self.horizon = DEFAULT_DAYS
            self.draft.note(
                f"Without a time it is the next {DEFAULT_DAYS} days.",
                f"Ohne Zeitangabe sind es die nächsten {DEFAULT_DAYS} Tage.",
            )
        if self.metric == "forecast" and (self.horizon or 0) > DEFAULT_DAYS:
            raise self._fail(
                f"Forecasts reach {DEFAULT_DAYS} days ahead.", f"Prognosen reichen {DEFAULT_DAYS} Tage weit."
            )

    def _put(self, name: str, chosen: Sequence[str], metrics: set[str]) -> None:
        """Add a filter, which must fit to the metric."""
        if not chosen:
            return
        if self.metric not in metrics:
            shown = ", ".join(chosen).replace("_", " ").lower()
            raise self._fail(f"{shown} does not fit to {self._name()}.", f"{shown} passt nicht zu {self._name()}.")
        self.filters.append(Filter.model_validate({"field": name, "values": tuple(dict.fromkeys(chosen))}))

    def _put_filters(self) -> None:
        draft, metric = self.draft, self.metric
        not_of_sims = {"tickets", "incidents", "cost", "orders"}
        self._put("state", self.states, {metric} - not_of_sims)
        self._put("kind", draft.all("kind"), {"alerts", "anomalies", "incidents"})
        if metric == "alerts":
            self._put("kind", [KIND_OF_ALERT[name] for name in self.named if name in KIND_OF_ALERT], {"alerts"})
        self._put("severity", draft.all("severity"), {"alerts", "anomalies", "incidents"})
        statuses = draft.all("status")
        if metric == "tickets":
            statuses = [status for name in statuses for status in STATUS_OF_TICKET[name]]
        elif metric == "alerts" and not statuses and not self.span:
            statuses = ["open"]
            draft.note("Without a period it is the open alerts.", "Ohne Zeitraum sind es die offenen Alarme.")
        self._put("status", statuses, {"tickets", "alerts"})
        quota = ["quota_exhausted"] if metric == "tickets" and "quota" in self.named else []
        self._put("category", draft.all("category") + quota, {"tickets"})

    def _put_words_of_filters(self) -> None:
        """Filters by words whose meaning depends on the metric, and what a metric has no SIMs for."""
        draft, metric, fields = self.draft, self.metric, {chosen.field for chosen in self.filters}
        levels = draft.all("level")
        self._put("priority" if metric == "tickets" else "risk_level", levels, {"tickets", "churn"})
        asked_otherwise = (
            self.comparisons or "iccid" in fields or any(draft.has(name) for name in ("rank", "group", "aggregation"))
        )
        if metric == "churn" and not levels and not asked_otherwise:
            self._put("risk_level", ["high"], {"churn"})
            draft.note(
                "Likely to leave means a high churn risk.", "Wahrscheinlich heißt: ein hohes Abwanderungsrisiko."
            )
        if draft.has("order_type"):
            self._put("order_type", ["TOPUP", "BULK_TOPUP"], {"orders", "cost"})
        if metric in ("cost", "orders", "incidents") and fields & (PER_SIM | {"iccid"}):
            raise self._fail(
                f"{self._name()} is not known by SIM, country or label.",
                f"{self._name()} ist nicht nach SIM, Land oder Label bekannt.",
            )

    def _layout(self) -> dict[str, Any]:
        """How the answer is laid out: a list, a number, or groups; in which order, how many."""
        draft, metric = self.draft, self.metric
        aggregations, tops, ranks = draft.all("aggregation"), draft.all("top"), draft.all("rank")
        if len(tops) > 1 or len(aggregations) > 1:
            raise self._fail(
                "It asks for several sums at once: ask for one.",
                "Es fragt nach mehreren Größen zugleich: fragen Sie nach einer.",
            )
        aggregation = aggregations[0] if aggregations else None
        group, daily = self._group(aggregation)
        if group == "sim" and aggregation in ("average", "median") and not self.comparisons:
            group = None  # an average is over SIMs anyway
        made = "list" if group == "sim" else self._grouped(aggregation) if group else self._made(aggregation)
        group = None if group == "sim" else group
        if metric == "usage" and made == "count" and not self.comparisons:
            self.comparisons.append(Comparison(operator=">", value=0))
        top = tops[0] if tops else None
        ends = metric in ("exhaustion", "expiry")
        if top is None and ranks and (made == "list" or group) and ("first" not in ranks or ends):
            top = 1 if self._asks_for_one() and not ends else DEFAULT_TOP
        small_first = (
            metric in ("exhaustion", "expiry", "remaining", "remaining_share") and made == "list" and "top" not in ranks
        )
        return {
            "aggregation": made,
            "daily": daily,
            "comparisons": self.comparisons,
            "group": group,
            "sims": made == "count" and draft.has("subject") and metric in ("anomalies", "alerts"),
            "top": top,
            "ascending": "bottom" in ranks or small_first or (ends and bool(ranks) and made == "list"),
        }

    def _asks_for_one(self) -> bool:
        asked = self.draft.all("asked")
        return self.draft.all("subject") == ["sim"] or bool(asked and ONE.search(asked[0]))

    def _group(self, aggregation: str | None) -> tuple[str | None, bool]:
        """What to group by, and whether the value is a day's average."""
        metric, groups, daily = self.metric, self.draft.all("group"), self.draft.has("daily")
        if len(groups) > 1 and "sim" in groups:
            groups.remove("sim")
        if len(groups) > 1:
            raise self._fail(
                "It groups by several things: group by one.", "Es gruppiert nach mehrerem: gruppieren Sie nach einem."
            )
        group = groups[0] if groups else None
        group = "order_type" if group == "kind" and metric in ("cost", "orders") else group
        group = "status" if group == "state" and metric in ("alerts", "tickets") else group
        averaged = metric in ("usage", "sms") and (
            aggregation in ("average", "median") or bool(self.comparisons) or bool(group)
        )
        if daily and not averaged:
            if group or metric not in (*DATED, "usage", "sms"):
                raise self._fail(
                    f"{self._name()} by day is not known.", f"{self._name()} nach Tagen ist nicht bekannt."
                )
            group = "day"
        if group and group not in GROUPS_OF.get(metric, PER_SIM):
            raise self._fail(
                f"{self._name()} cannot be grouped by {group.replace('_', ' ')}.",
                f"{self._name()} lässt sich nicht nach {group.replace('_', ' ')} gruppieren.",
            )
        if group in TIMES and aggregation in ("average", "median"):
            raise self._fail(
                "Averages by day, week or month are not offered: ask for the sums.",
                "Durchschnitte nach Tag, Woche oder Monat gibt es nicht: fragen Sie nach den Summen.",
            )
        if group == "sim" and metric in DATED:
            raise self._fail(
                f"{self._name()} by SIM are not offered: ask for the list.",
                f"{self._name()} je SIM gibt es nicht: fragen Sie nach der Liste.",
            )
        return group, daily and averaged

    def _grouped(self, aggregation: str | None) -> str:
        """What is said of each group."""
        counted = self.draft.has("count")
        if self.metric in AMOUNTS and not (counted and self.comparisons):
            return aggregation or "sum"
        if self.metric in SHARES and not counted and not self.comparisons:
            return aggregation if aggregation in ("average", "median") else "average"
        return "count"

    def _made(self, aggregation: str | None) -> str:
        """What is said where nothing is grouped."""
        draft, metric = self.draft, self.metric
        if draft.has("count"):
            of_data = metric == "sms" or (metric == "usage" and draft.has("weak", "data")) or not draft.has("subject")
            return "sum" if metric in AMOUNTS and of_data and not self.comparisons else "count"
        if aggregation and not (self.comparisons and aggregation in ("average", "median")):
            if metric in AMOUNTS | SHARES:
                return aggregation
            if aggregation != "sum":
                raise self._fail(
                    f"There is no average of {self._name()}.", f"Es gibt keinen Durchschnitt von {self._name()}."
                )
            return "count"
        if metric not in AMOUNTS or self.comparisons or draft.all("rank"):
            return "list"
        listed = draft.has("subject") and (draft.has("list") or metric in ("remaining", "savings"))
        return "list" if listed and not draft.has("much") and metric != "cost" else "sum"


def _joined(filters: list[Filter]) -> list[Filter]:
    """One filter a field: what is said of it twice means either."""
    joined: dict[tuple[str, bool], Filter] = {}
    for chosen in filters:
        key = chosen.field, chosen.negated
        before = joined[key].values if key in joined else ()
        joined[key] = chosen.model_copy(update={"values": tuple(dict.fromkeys([*before, *chosen.values]))})
    return list(joined.values())
