"""What the phrases of a question come to together: one Question, or the reason why they do not fit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, timedelta

from services.questions.draft import Draft, NotUnderstoodError
from services.questions.layout import Layout, joined
from services.questions.metrics import (
    ALLOWED,
    ANOMALY_DAYS,
    DATED,
    DAYS_OF_GROUP,
    DEFAULT_DAYS,
    KIND_OF_ALERT,
    NEAR_QUOTA,
    OF_RECOMMENDATIONS,
    PER_SIM,
    PRECEDENCE,
    STATUS_OF_TICKET,
    TIMES,
    UNIT_OF,
    WHEN,
)
from services.questions.pairs import two_periods
from services.questions.question import Comparison, Filter, Period, Question
from services.questions.spans import FIRST_DAY, Ahead, Before, Span, month_of


def meant(draft: Draft, today: date) -> Question:
    """Put together what was found in a question asked on a day. Raises NotUnderstoodError for what does not fit."""
    return _Meaning(draft, today).question()


class _Meaning:
    """The parts of a Question, each settled in turn."""

    def __init__(self, draft: Draft, today: date) -> None:
        self.draft, self.today, self.yesterday = draft, today, today - timedelta(1)
        self.named: list[str] = draft.all("metric")
        if "use" in self.named:
            of_sims = self._asks_what_is_in_use()
            self.named = [name if name != "use" else "usage" for name in self.named if name != "use" or not of_sims]
        self.limits: list[tuple[str, float, str]] = draft.all("limit")
        self.units = {unit for _, _, unit in self.limits}
        self.states: list[str] = draft.all("state")
        self.filters: list[Filter] = list(draft.filters)
        self.comparisons: list[Comparison] = []
        self.span: Span | None = None
        self.against: Span | None = None  # the earlier of two periods
        self.ahead: Ahead | None = None
        self.horizon: int | None = None
        self.metric = ""
        self.never = False  # without use in any period

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
                "filters": joined(self.filters),
                "period": Period(first=self.span.first, last=self.span.last) if self.span else None,
                "horizon": self.horizon,
                "against": Period(first=self.against.first, last=self.against.last) if self.against else None,
                **Layout(self.draft, self.metric, self.comparisons, self.filters, self.span, self.against).fields(),
            }
        )

    def _fail(self, english: str, german: str) -> NotUnderstoodError:
        return self.draft.fail(english, german)

    def _name(self) -> str:
        return self.metric.replace("_", " ")

    def _asks_what_is_in_use(self) -> bool:
        """Whether networks or the like are asked for, and not how much they are used: `which networks do we use`."""
        draft = self.draft
        amounts = ("rank", "top", "limit", "period", "aggregation", "share", "daily", "count", "weak", "compare")
        asked = draft.has("asked") and set(draft.all("group")) < PER_SIM
        return asked and self.named == ["use"] and not any(draft.has(name) for name in amounts)

    def _read_periods(self) -> None:
        periods = self.draft.all("period")
        periods, self.against = two_periods(self.draft, periods, self.today)
        if len(periods) > 1:
            raise self._fail(
                "There are several periods in it: ask for one.", "Darin sind mehrere Zeiträume: fragen Sie nach einem."
            )
        ahead = self.draft.has("future") or bool({"exhaustion", "expiry", "forecast", "ended"} & set(self.named))
        for period in periods:
            if isinstance(period, Before):
                self.span, self.ahead = (None, period.ahead(self.today)) if ahead else (period.span(), None)
                continue
            if isinstance(period, Ahead):
                self.ahead = period
                continue
            if ahead and period.last < self.today and re.fullmatch(r"\d{4}-\d{2}", period.note):
                coming = month_of(period.first.year + 1, period.first.month)  # a month without a year
                period = Span(coming.first, coming.last, period.note)  # noqa: PLW2901
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
        if self._is_recommended():
            named = ["recommendations", *named]
        if not named and draft.has("order_type"):
            named = ["orders"]
        if not named and draft.has("severity"):
            named = ["alerts"]
        if not named and draft.has("new") and (self.span or draft.has("subject")):
            named = ["activations"]
            draft.note("New means that they were activated then.", "Neu heißt, dass sie da aktiviert wurden.")
        if "activated" in self.states and not named and self._asks_for_a_day():
            self.states.remove("activated")
            named = ["activations"]
        metric = next((name for name in PRECEDENCE if name in named), None)
        if metric is None:
            return self._unnamed_metric()
        others = [name for name in named if name != metric and name not in ALLOWED[metric]]
        if draft.has("distinct"):
            raise self._fail(
                f"Countries, operators, labels and device types are counted of all SIMs, not of {metric}.",
                f"Länder, Netze, Labels und Gerätetypen werden bei allen SIMs gezählt, nicht bei {metric}.",
            )
        if others:
            both = f"{metric} + {', '.join(others)}".replace("_", " ")
            raise self._fail(
                f"It asks for two things at once ({both}).", f"Es fragt nach zwei Dingen zugleich ({both})."
            )
        return metric

    def _asks_for_a_day(self) -> bool:
        """Whether a state is meant as what happened some day, and not as it is now."""
        return bool(self.span) or self.draft.has("when") or bool(TIMES & set(self.draft.all("group")))

    def _is_recommended(self) -> bool:
        """Whether actions are meant that are recommended, not those that were done: `should be topped up`."""
        draft, others = self.draft, set(self.named) - {"orders", "cost"}
        if draft.has("action"):
            return not others or "recommendations" in self.named
        return draft.has("should") and draft.has("order_type")

    def _unnamed_metric(self) -> str:
        draft = self.draft
        if draft.has("daily") and draft.has("aggregation", "average"):
            return "usage"
        if "mb" in self.units or draft.has("weak", "data"):
            return "usage"
        if "sms" in self.units:
            return "sms"
        if draft.has("weak", "risk"):
            return "churn"
        if draft.has("rank") and TIMES & set(draft.all("group")):
            return "usage"
        of_sims = any(chosen.field == "iccid" for chosen in self.filters) or set(draft.all("group")) & PER_SIM
        if draft.has("subject") or draft.has("whole") or self.states or of_sims:
            return "sims"
        raise self._fail("It names nothing that can be measured.", "Es wird nichts genannt, das gemessen werden kann.")

    def _renamed(self) -> str:
        """The metric, where the words for it name another one in this company."""
        metric, named = self.metric, self.named
        if metric == "recommendations" and "cost" in named:
            return "recommended_cost"
        if metric == "quota" and "usage" in named and (self.span or self.ahead or "mb" in self.units):
            return "usage"  # the volume that was used
        if metric == "never_used":
            self.never = not self.span and not self.ahead
            return "inactive"
        return metric

    def _settle_metric(self) -> None:
        """Tell apart what the same words mean in different company."""
        metric, share = self._renamed(), "%" in self.units
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
        if metric == "active" and self.span and "mb" in self.units:
            metric = "usage"
            if all(operator in ("<", "<=") for operator, _, _ in self.limits):
                self.comparisons.append(Comparison(operator=">", value=0))
        asked_when = self.span or "forecast" in self.named or self.draft.has("when") or self.draft.has("rank")
        if metric == "ended" and (coming or asked_when):
            metric = "exhaustion"
        self.metric = metric

    def _settle_silence(self) -> None:
        """Silent and active are states of a SIM, and with a period whether it had usage."""
        if self.metric == "active" and {"top", "bottom"} & set(self.draft.all("rank")):
            self.metric = "usage"
        if self.metric == "silent" and (self.span or "days" in self.units):
            self.metric = "inactive"
        elif self.metric == "silent" or (self.metric == "active" and not self.span and not self._is_by_time()):
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

    def _is_by_time(self) -> bool:
        return self.draft.has("daily") or bool(TIMES & set(self.draft.all("group")))

    def _put_limits(self) -> None:
        """Bring the limits into the metric's unit; limits of days are periods."""
        for operator, value, unit in self.limits:
            if unit == UNIT_OF.get(self.metric):
                self.comparisons.append(Comparison.model_validate({"operator": operator, "value": value}))
            elif unit == "days" and self.metric == "inactive" and operator in (">", ">=") and not self.span:
                self.span = Span(self.today - timedelta(int(value)), self.yesterday)
            elif unit == "days" and self.metric == "last_used" and not self.span:
                day = self.today - timedelta(int(value))
                longer = operator in (">", ">=")
                self.span = Span(FIRST_DAY, day - timedelta(1)) if longer else Span(day, self.yesterday)
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
        if self.draft.has("when") and metric not in WHEN:
            raise self._fail(
                f"When is known of the end, the last use and the activation of SIMs, not of {self._name()}.",
                f"Wann ist bekannt vom Ende, von der letzten Nutzung und der Aktivierung, nicht von {self._name()}.",
            )
        if metric in ("usage", "sms", "active", "inactive") or metric in DATED:
            if self.ahead and self.ahead.note == "in" and metric == "inactive":
                self.span, self.ahead = Span(self.today - timedelta(self.ahead.days), self.yesterday), None
            if self.ahead:
                raise self._fail(
                    f"{self._name()} of the future: only forecasts look ahead.",
                    f"{self._name()} der Zukunft: nur Prognosen blicken voraus.",
                )
            if self.span is None and metric not in DATED and not self.never:
                groups = [DAYS_OF_GROUP.get(group, 0) for group in self.draft.all("group")]
                self._assume_back(max([DEFAULT_DAYS, *groups]))
            elif self.span is None and metric == "anomalies" and not self.draft.has("aggregation"):
                self._assume_back(ANOMALY_DAYS)
        elif metric in ("exhaustion", "expiry", "forecast"):
            self._settle_horizon()
        elif metric == "last_used" and not self.ahead:
            self.draft.note("A SIM is seen on days with data or SMS.", "Gesehen heißt: Tage mit Daten oder SMS.")
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
        if self.span and self.span.first > self.today and self.metric != "forecast":
            return  # from a day that lies ahead to another
        if self.span and self.span.first > self.today:
            raise self._fail(
                "Forecasts begin with the next day: ask for so many days ahead.",
                "Prognosen beginnen mit dem nächsten Tag: fragen Sie nach den nächsten so vielen Tagen.",
            )
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
            if name == "risk_level" and self.metric in ("alerts", "anomalies"):
                raise self._fail(
                    "Severities are critical, warning and info.", "Schweregrade sind kritisch, Warnung und Hinweis."
                )
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
        severities = draft.all("severity")
        if severities == ["warning"] and "alerts" not in self.named and draft.has("group", "severity"):
            severities = []  # warnings by severity are alerts of any
        self._put("severity", severities, {"alerts", "anomalies", "incidents"})
        statuses = draft.all("status")
        if metric in ("alerts", "tickets") and "active" in self.named and not statuses:
            statuses = ["open"]
        if metric == "tickets":
            statuses = [status for name in statuses for status in STATUS_OF_TICKET[name]]
        elif metric == "alerts" and not statuses and not self.span:
            statuses = ["open"]
            draft.note("Without a period it is the open alerts.", "Ohne Zeitraum sind es die offenen Alarme.")
        self._put("status", statuses, {"tickets", "alerts"})
        topics = {"quota": "quota_exhausted", "cost": "billing_question"} if metric == "tickets" else {}
        categories = draft.all("category") + [topic for name, topic in topics.items() if name in self.named]
        self._put("category", categories, {"tickets"})

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
        topped = ["top_up"] if draft.has("order_type") and metric in OF_RECOMMENDATIONS else []
        self._put("action", [*topped, *draft.all("action")], OF_RECOMMENDATIONS)
        if draft.has("order_type") and not topped:
            self._put("order_type", ["TOPUP", "BULK_TOPUP"], {"orders", "cost"})
        self._check_words_with_conditions("country" in fields)
        of_sims = draft.has("subject") and (self.comparisons or draft.has("rank") or draft.has("top"))
        of_sims = metric == "cost" and bool(of_sims)  # the most expensive SIMs
        if of_sims or (metric in ("cost", "orders", "incidents") and fields & (PER_SIM | {"iccid"})):
            raise self._fail(
                f"{self._name()} is not known by SIM, country or label.",
                f"{self._name()} ist nicht nach SIM, Land oder Label bekannt.",
            )

    def _check_words_with_conditions(self, in_country: bool) -> None:
        """Refuse words that mean something only together with others."""
        draft, metric = self.draft, self.metric
        if draft.has("roam") and not in_country and not draft.has("group", "country"):
            raise self._fail(
                "Roaming is known by country only: name one, as in `outside Germany`.",
                "Roaming ist nur nach Land bekannt: nennen Sie eines, wie in `außerhalb von Deutschland`.",
            )
        if draft.has("new") and metric not in DATED:
            raise self._fail(
                f"New is known of what has a day, not of {self._name()}.",
                f"Neu ist bekannt von dem, was einen Tag hat, nicht von {self._name()}.",
            )
        if draft.has("should") and metric not in OF_RECOMMENDATIONS:
            raise self._fail(
                "What should be done is known as recommendations: top up, retire, extend, swap, lower the limit.",
                "Was getan werden sollte, sagen Empfehlungen: aufladen, stilllegen, verlängern, tauschen.",
            )
        if metric == "recommended_cost":
            draft.note(
                "The cost is what the actions take in three months.", "Die Kosten sind die der ersten drei Monate."
            )
