"""How the answer to a question is laid out: a list, a number, or groups; in which order, how many."""

from __future__ import annotations

from typing import Any

from services.questions.draft import Draft, NotUnderstoodError
from services.questions.metrics import (
    AMOUNTS,
    BY_SIM,
    COMMON_BY,
    COMPARABLE,
    DATED,
    DEFAULT_TOP,
    GROUPS_OF,
    OF_RECOMMENDATIONS,
    ONE,
    PER_SIM,
    SHARES,
    SOMEWHERE,
    TIMES,
)
from services.questions.question import Comparison, Filter
from services.questions.spans import Span

DAYS_SHOWN = 45  # a trend of so many days is shown by day, a longer one by week or month


class Layout:
    """The layout of one question, whose metric is settled."""

    def __init__(
        self,
        draft: Draft,
        metric: str,
        comparisons: list[Comparison],
        filters: list[Filter],
        span: Span | None,
        against: Span | None = None,
    ) -> None:
        self.draft, self.metric, self.comparisons, self.filters = draft, metric, comparisons, filters
        self.span, self.against = span, against

    def _fail(self, english: str, german: str) -> NotUnderstoodError:
        return self.draft.fail(english, german)

    def _name(self) -> str:
        return self.metric.replace("_", " ")

    def fields(self) -> dict[str, Any]:
        """The fields of a Question that say how it is laid out. Raises NotUnderstoodError."""
        draft, metric = self.draft, self.metric
        aggregations, tops, ranks = draft.all("aggregation"), draft.all("top"), draft.all("rank")
        if len(tops) > 1 or len(aggregations) > 1:
            raise self._fail(
                "It asks for several sums at once: ask for one.",
                "Es fragt nach mehreren Größen zugleich: fragen Sie nach einer.",
            )
        aggregation = aggregations[0] if aggregations else None
        group, daily = self._group(aggregation)
        also = self._also(group, aggregation)
        if group == "sim" and aggregation in ("average", "median") and not self.comparisons:
            group = None  # an average is over SIMs anyway
        of_each = group == "sim" and metric not in BY_SIM
        made = "list" if of_each else self._grouped(aggregation) if group else self._made(aggregation)
        group = None if of_each else group
        if self.against:
            made = self._against(made, group)
        if draft.has("share"):
            made = self._part(made, group)
        elif (tops or ranks) and made != "list" and not group:
            raise self._fail(
                "A number of the first or largest alone is not offered: ask for the list.",
                "Eine Zahl über nur die ersten oder größten gibt es nicht: fragen Sie nach der Liste.",
            )
        if "first" in ranks and metric not in ("exhaustion", "expiry") and not tops:
            raise self._fail(
                f"First is known of the end of SIMs, not of {self._name()}.",
                f"Zuerst ist bekannt vom Ende der SIMs, nicht von {self._name()}.",
            )
        if metric == "sims" and {"top", "bottom"} & set(ranks) and not group:
            raise self._fail(
                "It does not say by what the SIMs are ordered: name it, as in `by usage`.",
                "Es sagt nicht, wonach die SIMs geordnet sind: nennen Sie es, wie in `nach Verbrauch`.",
            )
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
            "peak": draft.has("peak"),
            "share": draft.has("share"),
            "comparisons": self.comparisons,
            "group": group,
            "also": also,
            "sims": made == "count" and group != "sim" and draft.has("subject") and metric in ("anomalies", "alerts"),
            "top": top,
            "ascending": "bottom" in ranks
            or draft.has("order", "up")
            or (small_first and not draft.has("order"))
            or (ends and bool(ranks) and made == "list"),
        }

    def _part(self, made: str, group: str | None) -> str:
        """What a share is of: a sum or a number. Raises NotUnderstoodError where it is not said."""
        chosen = bool(self.filters or self.comparisons)
        if made == "list" or (made == "sum" and not (group or chosen) and self.draft.has("subject")):
            made = "count"
        if group and self.comparisons and self.draft.has("subject"):
            made = "count"
        of_something = {"sims", "used_share", "remaining_share", "churn", *DATED}
        whole = not (group or chosen) and (made == "sum" or self.metric in of_something)
        if whole or made not in ("sum", "count") or self.draft.has("daily"):
            raise self._fail(
                "It does not say which share: name a part, or what to divide by, as in `by country`.",
                "Es sagt nicht, welcher Anteil: nennen Sie einen Teil oder wonach geteilt wird, wie in `nach Land`.",
            )
        return made

    def _asks_for_one(self) -> bool:
        asked = self.draft.all("asked")
        return self.draft.all("subject") == ["sim"] or bool(asked and ONE.search(asked[0]))

    def _unnamed_groups(self) -> list[str]:
        """What to group by where no word says it: by kind what is the most common, by country what is somewhere."""
        draft, metric = self.draft, self.metric
        if draft.has("common") and metric in COMMON_BY:
            return [COMMON_BY[metric]]
        if metric in BY_SIM and draft.has("subject") and draft.has("rank"):
            return ["sim"]  # which of them has the most
        placed = bool({"country", "iccid"} & {chosen.field for chosen in self.filters}) or draft.has("daily")
        return ["country"] if draft.has("where") and metric in SOMEWHERE and not placed else []

    def _group(self, aggregation: str | None) -> tuple[str | None, bool]:
        """What to group by, and whether the value is a day's average."""
        metric, groups, daily = self.metric, self.draft.all("group"), self.draft.has("daily")
        if len(groups) > 1 and "sim" in groups:
            groups.remove("sim")
        groups = groups or self._unnamed_groups()
        if not groups and self.draft.has("compare") and not self.against:
            several = [chosen.field for chosen in joined(self.filters) if len(chosen.values) > 1]
            groups = ["country"] if several == ["country"] else groups
            if not groups and not daily:
                raise self._fail(
                    "It compares without saying by what: name it, as in `by country`.",
                    "Es vergleicht, ohne zu sagen wonach: nennen Sie es, wie in `nach Land`.",
                )
        if len(groups) == 2 and TIMES & set(groups[1:]):
            groups.reverse()  # time first
        if not groups and self.draft.has("trend") and not daily and self.span:
            days = (self.span.last - self.span.first).days + 1
            groups = ["day" if days <= DAYS_SHOWN else "week" if days <= 7 * DAYS_SHOWN else "month"]
        group = self._grouping(groups[0]) if groups else None
        averaged = metric in ("usage", "sms") and (
            aggregation in ("average", "median") or bool(self.comparisons) or bool(group)
        )
        if daily and not averaged:
            if group or metric not in (*DATED, "usage", "sms", "active"):
                raise self._fail(
                    f"{self._name()} by day is not known.", f"{self._name()} nach Tagen ist nicht bekannt."
                )
            group = "day"
        if group and group not in GROUPS_OF.get(metric, PER_SIM):
            raise self._fail(
                f"{self._name()} cannot be grouped by {group.replace('_', ' ')}.",
                f"{self._name()} lässt sich nicht nach {group.replace('_', ' ')} gruppieren.",
            )
        averages = metric in ("usage", "sms") and aggregation == "average"
        if group in TIMES and aggregation in ("average", "median") and not averages:
            raise self._fail(
                "Averages by day, week or month are known of usage only: ask for the sums.",
                "Durchschnitte nach Tag, Woche oder Monat gibt es nur vom Verbrauch: fragen Sie nach den Summen.",
            )
        if group == "sim" and metric in DATED and metric not in BY_SIM:
            raise self._fail(
                f"{self._name()} by SIM are not offered: ask for the list.",
                f"{self._name()} je SIM gibt es nicht: fragen Sie nach der Liste.",
            )
        return group, daily and averaged

    def _grouping(self, group: str) -> str:
        """The group that a word means with this metric."""
        if group == "kind" and self.metric in ("cost", "orders"):
            return "order_type"
        if group == "kind" and self.metric in OF_RECOMMENDATIONS:
            return "action"
        return "status" if group == "state" and self.metric in ("alerts", "tickets") else group

    def _also(self, group: str | None, aggregation: str | None) -> str | None:
        """The second group. Raises NotUnderstoodError where there are more, or what does not go with two."""
        draft, groups = self.draft, [self._grouping(name) for name in self.draft.all("group")]
        if "sim" in groups and len(groups) > 1 and not draft.has("also"):
            groups.remove("sim")
        if len(groups) < 2:
            return None
        others = [name for name in groups if name != group]
        one_number = any(draft.has(name) for name in ("share", "rank", "top")) or self.against or "sim" in groups
        averages = group in TIMES and (aggregation is not None and aggregation != "sum")
        if len(others) != 1 or one_number or averages or others[0] in TIMES or (group in TIMES and draft.has("daily")):
            raise self._fail(
                "It groups by several things: group by one.", "Es gruppiert nach mehrerem: gruppieren Sie nach einem."
            )
        if others[0] not in GROUPS_OF.get(self.metric, PER_SIM):
            raise self._fail(
                f"{self._name()} cannot be grouped by {others[0].replace('_', ' ')}.",
                f"{self._name()} lässt sich nicht nach {others[0].replace('_', ' ')} gruppieren.",
            )
        return others[0]

    def _against(self, made: str, group: str | None) -> str:
        """What is compared of two periods: a sum, a number or an average. Raises NotUnderstoodError for all else."""
        draft = self.draft
        of_sims = draft.has("subject") and (draft.has("list") or draft.has("rank")) and self.metric in AMOUNTS
        if made == "list" and not of_sims:
            made = "sum" if self.metric in AMOUNTS and not self.comparisons else "count"
        one_number = any(draft.has(name) for name in ("share", "rank", "top"))
        if made == "list" or one_number or group in TIMES or self.metric not in COMPARABLE:
            raise self._fail(
                "Two periods are compared by totals, numbers and averages of usage, SMS, cost, tickets, alerts and "
                "the like, not by single SIMs.",
                "Zwei Zeiträume werden nach Summen, Anzahlen und Durchschnitten verglichen, nicht nach einzelnen SIMs.",
            )
        return made

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
            if metric in AMOUNTS and draft.has("subject") and draft.all("rank") and not draft.has("share"):
                return "list"  # the number of something decides their order
            of_data = metric == "sms" or (metric == "usage" and draft.has("weak", "data")) or not draft.has("subject")
            of_data = of_data and not draft.has("count", "sims") and metric in AMOUNTS and not self.comparisons
            made = aggregation if aggregation in ("average", "median") else "sum"
            return made if of_data else "count"
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
        listed = listed or (metric == "savings" and draft.has("list") and draft.has("metric", "recommendations"))
        return "list" if listed and not draft.has("much") and metric != "cost" else "sum"


def joined(filters: list[Filter]) -> list[Filter]:
    """One filter a field: what is said of it twice means either."""
    joined: dict[tuple[str, bool], Filter] = {}
    for chosen in filters:
        key = chosen.field, chosen.negated
        before = joined[key].values if key in joined else ()
        joined[key] = chosen.model_copy(update={"values": tuple(dict.fromkeys([*before, *chosen.values]))})
    return list(joined.values())
