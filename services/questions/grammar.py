"""The front end for English and German: rules that read phrases wherever they stand.

People order and inflect words in more ways than a grammar of sentences can list. So each rule here reads one phrase (a
limit, a period, a country, a metric) and takes its words away; word order does not matter. What remains must be words
without meaning of their own. Any other word left over means that the question was not understood, for it could change
the meaning. Then the phrases must fit together: each must have a place in the Question.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from difflib import get_close_matches
from functools import cache
from importlib import resources
from typing import Any

from pydantic import ValidationError

from services.questions.countries import ADJECTIVES, CODES, NAMES
from services.questions.periods import IN_DAYS, RULES, Ahead, Span, in_days
from services.questions.question import Comparison, Filter, Period, Question, QuestionError
from services.questions.words import MAX_CHARACTERS, QUOTED, clean, language_of, normal, number

DEFAULT_DAYS = 30
ANOMALY_DAYS = 7
DEFAULT_TOP = 10
NEAR_QUOTA = 80


class NotUnderstoodError(QuestionError):
    """The question was not understood; `unknown` are the words that nothing is known of."""

    def __init__(self, message: str, unknown: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.unknown = list(unknown)


@dataclass
class Reading:
    """A question as understood, and what was assumed for it."""

    question: Question
    language: str
    assumed: list[str] = field(default_factory=list)


Note = Callable[[str, str], None]
SIM_WORD = r"(?:sim ?cards?|sims?|sim ?karten?|karten?|cards?|devices?|geraete?n?|fleet|flotte|iccids?)"
QUOTA = (
    r"(?:data |monthly |daten)?(?:quotas?|limits?|allowances?|caps?|kontingente?s?|volumengrenze|datenlimits?"
    r"|datenvolumens?|inklusivvolumens?|datenkontingents?|obergrenze|volumens?|plan)"
)
POSSESSIVE = r"(?:their |its |the |his |ihre[rnms]? |ihres |ihr |dem |den |der |das |die |ein(?:e[mnrs])? )?"
NUM = r"(\d+(?:[.,]\d+)*)"
UNITS = {
    "kb": 0.001,
    "kilobyte": 0.001,
    "mb": 1.0,
    "meg": 1.0,
    "megabyte": 1.0,
    "gb": 1000.0,
    "gig": 1000.0,
    "gigabyte": 1000.0,
    "tb": 1_000_000.0,
    "terabyte": 1_000_000.0,
}
UNIT = (
    r"(kb|kilobytes?|mb|megs?|megabytes?|gb|gigs?|gigabytes?|tb|terabytes?|%|percent|per cent|prozent|eur|euros?"
    r"|sms|messages|nachrichten|"
    r"days?|tage?n?|weeks?|wochen?|months?|monate?n?)"
)
OPS = [
    (">=", r"(?:at least|no less than|not less than|minimum(?: of)?|mindestens|wenigstens|>=)"),
    ("<=", r"(?:at most|up to|no more than|not more than|maximum(?: of)?|hoechstens|maximal|bis zu|nicht mehr als|<=)"),
    (">", r"(?:more than|over|above|greater than|higher than|larger than|exceed(?:s|ed|ing)?|beyond|upwards of"
          r"|mehr als|ueber|groesser als|hoeher als|oberhalb(?: von)?|>)"),
    ("<", r"(?:less than|under|below|fewer than|lower than|smaller than|weniger als|unter|kleiner als"
          r"|niedriger als|unterhalb(?: von)?|<)"),
    ("=", r"(?:exactly|precisely|genau|=)"),
]  # fmt: skip
EITHER = "|".join(f"(?P<o{index}>{words})" for index, (_, words) in enumerate(OPS))
COMPARE = re.compile(
    rf"(?<![\w])(?:{EITHER}) (?:the |von |of )?(?:(?P<half>(?:half an? |ein(?:em)? halbe[ns]? ))|(?P<one>an? "
    rf"|one |eine[mnrs]? |ein )|(?P<n>\d+(?:[.,]\d+)*) ){UNIT}(?![\w])"
)
OR_MORE = re.compile(
    rf"(?<![\w.]){NUM} {UNIT} (or more|and more|or less|and less|oder mehr|und mehr|oder weniger|und weniger)(?![\w])"
)
BETWEEN = re.compile(rf"(?<![\w])(?:between|zwischen) {NUM} (?:{UNIT} )?(?:and|und) {NUM} {UNIT}(?![\w])")
BARE_OF_QUOTA = re.compile(rf"(?<![\w.]){NUM} (%|percent|prozent)(?![\w])")

# what asks for a deed is no mistyped question
ACTIONS = frozenset(
    ["delete", "remove", "drop", "activate", "deactivate", "enable", "disable", "suspend", "cancel", "order", "create", "update", "change", "reset", "write", "insert", "loesche", "loeschen", "entferne", "aktiviere", "deaktiviere", "sperre", "kuendige", "bestelle", "aendere", "setze"]
)
GROUPS = {
    "country": r"(?:countr(?:y|ies)|laendern?|land)",
    "operator": r"(?:operators?|networks?|carriers?|providers?|network operators?|netze?n?|netzbetreibern?"
    r"|betreibern?|anbietern?|mobilfunkanbietern?|netzwerke?n?)",
    "device_type": r"(?:device ?types?|types? of devices?|device models?|models?|hardware(?: types?)?"
    r"|geraetetyp(?:en)?s?|geraetearten?|geraetemodelle?n?|modelle?n?)",
    "label": r"(?:labels?|label prefix(?:es)?|label groups?|groups?|bezeichnung(?:en)?|gruppen?|labelgruppen?)",
    "state": r"(?:states?|status(?:es)?|lifecycle states?|zustand|zustaenden?|lebenszyklus(?:status)?|stages?)",
    "month": r"(?:months?|monate?n?|calendar months?)",
    "week": r"(?:weeks?|wochen?|kalenderwochen?)",
    "day": r"(?:days?|tage?n?|date)",
    "severity": r"(?:severit(?:y|ies)|schwere|schweregrade?n?)",
    "category": r"(?:categor(?:y|ies)|topics?|subject areas?|kategorien?|themen?)",
    "priority": r"(?:priorit(?:y|ies)|prioritaet(?:en)?|dringlichkeit)",
    "risk_level": r"(?:(?:churn |abwanderungs|kuendigungs)?(?:risk levels?|risk class(?:es)?|risikostufen?"
    r"|risikoklassen?))",
    "order_type": r"(?:order types?|bestellarten?|bestelltyp(?:en)?)",
    "kind": r"(?:kinds?|types?|art(?:en)?|typ(?:en)?)",
    "sim": SIM_WORD,
}
GROUP_WORDS = "|".join(f"(?P<{name}>{words})" for name, words in GROUPS.items())
BY = (
    r"(?:(?:grouped|group|broken down|break down|split|breakdown|aggregated|summarised|summarized|gruppiert"
    r"|aufgeteilt|aufgeschluesselt|verteilt|sorted|sortiert) )?"
    r"(?:by|per|for each|for every|in each|in every|of each|of every|on each|each|every|across(?: all)?|nach|pro"
    r"|je|auf(?: die| alle)?|jeder?|jedes|in jedem|fuer jedes|fuer jede[nr]?|in jeder|jedem)"
)
GROUP = re.compile(rf"(?<![\w])(?:{BY}) (?:the |single |individual |einzelnen? )?(?:{GROUP_WORDS})(?![\w])")
ASKED_GROUP = re.compile(
    rf"(?<![\w])(?:(?:in |on |aus |von |from )?(?:which|what|welche[nmsr]?|in welche[nmrs]?)|(?P<top>top(?: \d+)?)) "
    rf"(?:(?P<n>\d+) )?(?:{GROUP_WORDS})(?![\w])"
)
COUNTED_GROUP = re.compile(
    rf"(?<![\w.])(?P<top>$)?(?P<n>\d{{1,4}}) (?:{GROUP_WORDS})(?= (?:with|by|that|which|who|having|mit|nach|die"
    rf"|am|used|use|consum\w*|verbrauch\w*|in|on|from|closest|using|nearest)\b)"
)
PERIODIC = re.compile(
    rf"(?<![\w])(?:monthly|monatlich(?:e[nrsm]?)?|weekly|woechentlich(?:e[nrsm]?)?)(?! {QUOTA})(?![\w])"
)


def _lines(name: str) -> list[str]:
    text = (resources.files(__package__) / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def _phrases() -> list[tuple[str, str, str]]:
    found = []
    for line in _lines("phrases.txt"):
        name, value, phrase = line.split("\t")
        for mark, meant in (("<POSSESSIVE>", POSSESSIVE), ("<QUOTA>", QUOTA), ("<SIM>", SIM_WORD)):
            phrase = phrase.replace(mark, meant)
        found.append((name, value, phrase))
    return found


FEATURES = _phrases()
COMPILED = [(name, value, re.compile(rf"(?<![\w.])(?:{phrase})(?![\w])")) for name, value, phrase in FEATURES]
STOP = frozenset(word for line in _lines("stop_words.txt") for word in line.split())
TOP = re.compile(
    r"(?<![\w.])(?:(?:top|first|ersten) (?P<a>\d{1,4})(?! ?(?:gb|mb|kb|%|days|tage))|"
    r"(?P<b>\d{1,4}) (?P<word>(?:most|highest|biggest|largest|greatest|heaviest|top|worst|meisten|hoechsten"
    r"|groessten|staerksten|lowest|smallest|least|fewest|kleinsten|geringsten|niedrigsten)))(?![\w])"
)
LOWEST = {"lowest", "smallest", "least", "fewest", "kleinsten", "geringsten", "niedrigsten"}
OUTSIDE = (
    r"(?:outside(?: of)?|not (?:in|from)|except(?: in| for| those in)?|excluding|ausserhalb(?: von)?"
    r"|nicht (?:in|aus)|ausser (?:in|aus)?|other than)"
)
COUNTRY_BEFORE = (
    rf"(?:(?P<not>{OUTSIDE}) |(?:in|from|of|aus|located in|inside|within|for|fuer|at"
    rf"|roaming in) )?(?:the |den |der |dem |die )?"
)


@dataclass
class _Draft:
    """A question being read: what is left of its text, and what was found."""

    text: str
    language: str
    found: list[tuple[str, Any]] = field(default_factory=list)
    filters: list[Filter] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)

    def take(self, pattern: re.Pattern[str], read: Callable[[re.Match[str]], object], left: str = " | ") -> None:
        """Read and take away every match; `left` is put in its place, a bar that no phrase goes across."""

        def taken(found: re.Match[str]) -> str:
            if not found[0].strip():
                return found[0]
            read(found)
            return left

        self.text = pattern.sub(taken, self.text)

    def note(self, english: str, german: str) -> None:
        text = german if self.language == "de" else english
        if text not in self.assumed:
            self.assumed.append(text)

    def all(self, name: str) -> list[Any]:
        return list(dict.fromkeys(value for kind, value in self.found if kind == name))

    def has(self, name: str, value: Any = None) -> bool:
        return any(kind == name and (value is None or known == value) for kind, known in self.found)

    def fail(self, english: str, german: str, unknown: Sequence[str] = ()) -> NotUnderstoodError:
        return NotUnderstoodError(german if self.language == "de" else english, unknown)


@cache
def _country_rules() -> list[tuple[re.Pattern[str], Mapping[str, tuple[str, ...]]]]:
    rules: list[tuple[re.Pattern[str], Mapping[str, tuple[str, ...]]]] = []
    names = "|".join(sorted((re.escape(name) for name in NAMES), key=len, reverse=True))
    rules.append((re.compile(rf"(?<![\w]){COUNTRY_BEFORE}(?P<name>{names})(?![\w])"), NAMES))
    us = {"us": NAMES["usa"], "u.s.": NAMES["usa"], "u.s": NAMES["usa"], "u s": NAMES["usa"]}
    rules.append(
        (re.compile(rf"(?<![\w])(?:(?P<not>{OUTSIDE})|in|from|of|for)(?: the)? (?P<name>us|u\.s\.?|u s)(?![\w])"), us)
    )
    rules.append((re.compile(r"(?<![\w])(?P<not>$)?(?:the )?(?P<name>us)(?= (?:sims?|devices?|cards?))"), us))
    words = "|".join(sorted((re.escape(word) for word in ADJECTIVES), key=len, reverse=True))
    rules.append((re.compile(rf"(?<![\w])(?P<not>$)?(?P<name>{words})[nrs]?(?: (?=\w)|(?![\w]))"), ADJECTIVES))
    return rules


def read(text: str, today: date, *, language: str | None = None, values: Mapping[str, Filter] | None = None) -> Reading:
    """Understand a question asked on a day.

    values   filters that words of the organization's own stand for (an operator, the beginning of a label)
    Raises NotUnderstoodError.
    """
    text = clean(text)
    language = language or language_of(text)
    draft = _Draft("", language)
    if not text:
        raise draft.fail("There is no question.", "Es ist keine Frage.")
    if len(text) > MAX_CHARACTERS:
        raise draft.fail(
            f"A question has at most {MAX_CHARACTERS} characters.",
            f"Eine Frage hat höchstens {MAX_CHARACTERS} Zeichen.",
        )
    _read_values(draft, text, values or {})
    try:
        _read_limits(draft)
        _read_places(draft)
        _read_periods(draft, today)
        _read_layout(draft)
    except (ValueError, KeyError, OverflowError):
        raise draft.fail(
            "A day or number in it does not exist.", "Einen Tag oder eine Zahl darin gibt es nicht."
        ) from None
    for name, value, pattern in COMPILED:
        draft.take(pattern, _adding(draft, name, value))
    left = [word for word in re.findall(r"[^\s|]+", draft.text) if word not in STOP and word.strip(".,-/&+<>=%")]
    if _chooses_several(draft):
        left = [word for word in left if word not in ("or", "oder")]
    left += [word for word in re.findall(r"[<>=%]+", draft.text)]
    if left:
        shown = ", ".join(dict.fromkeys(left))
        raise draft.fail(f"Not understood: {shown}.", f"Nicht verstanden: {shown}.", left)
    try:
        return Reading(_interpreted(draft, today), language, draft.assumed)
    except (ValidationError, ValueError, OverflowError):
        raise draft.fail("A number in it is too large.", "Eine Zahl darin ist zu groß.") from None


def _chooses_several(draft: _Draft) -> bool:
    """Whether there are two values of one field, which an `or` may join."""
    fields = [(chosen.field, chosen.negated) for chosen in draft.filters]
    names = ("kind", "severity", "category", "level", "status")
    if len(draft.all("state")) + len({"silent", "active"} & set(draft.all("metric"))) > 1:
        return True
    return len(set(fields)) < len(fields) or any(len(draft.all(name)) > 1 for name in names)


def _adding(draft: _Draft, name: str, value: Any) -> Callable[[re.Match[str]], None]:
    return lambda _: None if name == "strip" else draft.found.append((name, value))


def _read_values(draft: _Draft, text: str, values: Mapping[str, Filter]) -> None:
    """Set apart what stands for itself: ICCIDs, quoted names, labels and operators that are named as such, country codes."""
    found_filters = draft.filters

    def label(found: re.Match[str]) -> str:
        name = next(part for part in found.groups() if part is not None)
        found_filters.append(Filter(field="label", values=(name.strip(),)))
        return " | "

    def operator(found: re.Match[str]) -> str:
        name = next(part for part in found.groups() if part is not None)
        found_filters.append(Filter(field="operator", values=(name.strip(),)))
        return " | "

    quoted = r"[\"“”„«»'‘‚]([^\"“”„«»'‘’]{1,200})[\"“”«»'’‘]"
    text = re.sub(
        rf"(?i)\b(?:operator|network|carrier|provider|netz|netzbetreiber|betreiber|anbieter)(?: is| ist| ="
        rf"| namens| called)? {quoted}",
        operator,
        text,
    )
    text = re.sub(
        rf"(?i)\b(?:(?:whose |with |mit |having )?(?:the |dem |das |deren )?(?:labels?|labell?ed|names?|named"
        rf"|called|namens|bezeichnung)(?: is| are| of| ist)?"
        rf"(?: (?:starting with|starts with|beginning with|begins with|start with|begin with|like|beginnt mit"
        rf"|das mit|beginnend mit|anfangend mit))?[:=]? ?){quoted}(?: (?:beginnt|anfaengt|anfängt|starts))?",
        label,
        text,
    )
    text = QUOTED.sub(label, text)
    text = re.sub(
        r"(?i)\b(?:labels?|labell?ed|named|called|namens)(?: is| ist| =)?(?: (?:starting with|beginning with|like"
        r"|begins with|beginnend mit))? ([\w-]*(?:\d|-)[\w./-]*)",
        label,
        text,
    )

    def iccid(found: re.Match[str]) -> str:
        found_filters.append(Filter(field="iccid", values=(found[1][:19],)))
        return " | "

    text = re.sub(r"(?<!\d)(?:(?:SIM|ICCID|sim|iccid|Karte|card) )?(\d{19,20})(?!\d)", iccid, text)
    if not text.isupper():
        before = (
            r"\b(?:(?P<not>[Nn]ot in|[Oo]utside(?: of)?|[Aa]usserhalb von) |(?:in|from|aus|of|for|the|den|In"
            r"|From) )(?:the |den )?"
        )

        def code(found: re.Match[str]) -> str:
            if found["code"] not in CODES:
                return found[0]
            found_filters.append(Filter(field="country", values=CODES[found["code"]], negated=bool(found["not"])))
            return " | "

        text = re.sub(before + r"(?P<code>[A-Z]{2,3})\b(?!&)", code, text)
        text = re.sub(r"\b(?P<not>$)?(?P<code>US|USA|UK|DE|FR|ES|IT|NL|PL|AT|CH)[ -](?=SIM|sim|devices)", code, text)
    normalised = f" {normal(text)} "
    for word, chosen in values.items():
        pattern = re.compile(
            rf"(?<![\w])(?:(?:on|via|with|using|bei|ueber|mit|im|in|by|from|the|der|dem|den|operator|network|netz"
            rf"|netzbetreiber|betreiber|label|labelled|labeled|named|called|namens"
            rf"|label is) )*{re.escape(word)}(?: (?:network|netz|operator))?(?![\w])"
        )
        normalised, times = pattern.subn(" | ", normalised)
        if times:
            draft.filters.append(chosen)
    draft.text = normalised


def _unit_of(word: str) -> tuple[str, float]:
    """The unit a number is in, and by how much it is multiplied: MB, %, days."""
    if word in ("%", "percent", "per cent", "prozent"):
        return "%", 1
    if word.startswith("eur"):
        return "eur", 1
    if word in ("sms", "messages", "nachrichten"):
        return "sms", 1
    for name, days in (("day", 1), ("tag", 1), ("week", 7), ("woche", 7), ("month", 30), ("monat", 30)):
        if word.startswith(name):
            return "days", days
    return "mb", UNITS[word] if word in UNITS else UNITS[word.rstrip("s")]


def _read_limits(draft: _Draft) -> None:
    def compare(found: re.Match[str]) -> None:
        operator = next(OPS[index][0] for index in range(len(OPS)) if found[f"o{index}"])
        amount = 0.5 if found["half"] else 1.0 if found["one"] else number(found["n"], draft.language)
        unit, times = _unit_of(
            found[found.lastindex or 0] if not found.group(found.re.groups) else found.group(found.re.groups)
        )
        draft.found.append(("limit", (operator, amount * times, unit)))

    def or_more(found: re.Match[str]) -> None:
        unit, times = _unit_of(found[2])
        more = "more" in found[3] or "mehr" in found[3]
        draft.found.append(("limit", (">=" if more else "<=", number(found[1], draft.language) * times, unit)))

    def between(found: re.Match[str]) -> None:
        unit, times = _unit_of(found[4])
        low_times = _unit_of(found[2])[1] if found[2] else times
        draft.found.append(("limit", (">=", number(found[1], draft.language) * low_times, unit)))
        draft.found.append(("limit", ("<=", number(found[3], draft.language) * times, unit)))

    draft.take(BETWEEN, between)
    draft.take(OR_MORE, or_more)
    draft.take(COMPARE, compare)
    draft.take(
        BARE_OF_QUOTA, lambda found: draft.found.append(("limit", (">=", number(found[1], draft.language), "%")))
    )


def _read_places(draft: _Draft) -> None:
    for pattern, names in _country_rules():

        def country(found: re.Match[str], names: Mapping[str, tuple[str, ...]] = names) -> None:
            draft.filters.append(Filter(field="country", values=names[found["name"]], negated=bool(found["not"])))

        draft.take(pattern, country, "" if names is ADJECTIVES else " | ")


def _read_periods(draft: _Draft, today: date) -> None:
    draft.text = re.sub(r"(?<=\s)may (?=run|be|leave|churn|exceed|expire|go|have|need)", "", draft.text)
    for pattern, made in RULES:

        def period(found: re.Match[str], made: Callable[[re.Match[str], date], Span | Ahead] = made) -> None:
            draft.found.append(("period", made(found, today)))

        draft.take(pattern, period)
    draft.take(IN_DAYS, lambda found: draft.found.append(("period", in_days(found))))


def _read_layout(draft: _Draft) -> None:
    def top(found: re.Match[str]) -> None:
        draft.found.append(("top", int(found["a"] or found["b"])))
        draft.found.append(("rank", "bottom" if found["word"] in LOWEST else "top"))

    def group(found: re.Match[str]) -> None:
        name = next(name for name in GROUPS if found[name])
        if name == "day":
            draft.found.append(("daily", True))
        else:
            draft.found.append(("group", name))

    def asked(found: re.Match[str]) -> None:
        name = next(name for name in GROUPS if found[name])
        if name == "sim":
            draft.found.append(("list", True))
            draft.found.append(
                ("subject", "sim" if re.search(r"(?:sim|card|karte|device|geraet)$", found[0]) else "sims")
            )
        else:
            draft.found.append(("group", name))
            draft.found.append(("asked", found[0].split()[-1]))
        if found["top"]:
            draft.found.append(("rank", "top"))
        for digits in re.findall(r"\d+", found[0]):
            draft.found.append(("top", int(digits)))

    draft.take(
        re.compile(r"(?<![\w])(?:sorted|ordered|sortiert|ranked|geordnet) (?=by|nach)"),
        lambda _: draft.found.append(("rank", "top")),
    )
    draft.take(PERIODIC, lambda found: draft.found.append(("group", "month" if found[0].startswith("mon") else "week")))
    draft.take(ASKED_GROUP, asked)
    draft.take(COUNTED_GROUP, asked)
    draft.take(TOP, top)
    draft.take(GROUP, group)


ALLOWED: dict[str, set[str]] = {
    "tickets": {"quota", "usage", "sims"},
    "alerts": {"quota", "silent", "inactive", "exhaustion", "ended", "anomalies", "usage", "near_quota"},
    "incidents": set(),
    "anomalies": {"usage", "sms", "silent"},
    "churn": {"active"},
    "savings": {"cost"},
    "cost": {"orders"},
    "orders": set(),
    "expiry": {"quota", "exhaustion"},
    "near_quota": {"quota", "usage", "remaining", "ended", "exhaustion"},
    "exhaustion": {"quota", "ended", "usage", "forecast", "remaining"},
    "remaining": {"quota", "usage"},
    "forecast": {"usage"},
    "silent": {"inactive"},
    "inactive": {"usage", "silent"},
    "sms": {"usage"},
    "quota": {"usage", "ended"},
    "usage": {"active"},
    "active": set(),
    "ended": {"quota", "usage", "exhaustion", "forecast"},
}
PRECEDENCE = [
    "tickets", "alerts", "incidents", "churn", "savings", "anomalies", "cost", "orders", "expiry", "near_quota", "exhaustion", "ended",
    "remaining", "forecast", "silent", "inactive", "sms", "quota", "usage", "active",
]  # fmt: skip
DATED = {"tickets", "alerts", "incidents", "anomalies", "cost", "orders"}
ROWS = DATED
PER_SIM = {"label", "country", "operator", "device_type", "state", "sim"}
GROUPS_OF: dict[str, set[str]] = {
    "tickets": {"month", "week", "day", "category", "priority", "status", "state"},
    "alerts": {"month", "week", "day", "kind", "severity", "status", "state"} | PER_SIM,
    "incidents": {"month", "week", "kind", "severity"},
    "anomalies": {"month", "week", "day", "kind", "severity"} | PER_SIM,
    "churn": {"risk_level"} | PER_SIM,
    "cost": {"month", "week", "day", "order_type", "kind"},
    "orders": {"month", "week", "day", "order_type", "kind"},
    "usage": {"month", "week", "day"} | PER_SIM,
    "sms": {"month", "week", "day"} | PER_SIM,
}


def _interpreted(draft: _Draft, today: date) -> Question:
    """Put what was found together. Raises NotUnderstoodError for what does not fit."""
    metrics = draft.all("metric")
    limits: list[tuple[str, float, str]] = draft.all("limit")
    units = {unit for _, _, unit in limits}
    metric = _metric(draft, metrics, units)
    spans = [period for period in draft.all("period") if isinstance(period, Span)]
    aheads = [period for period in draft.all("period") if isinstance(period, Ahead)]
    if len(spans) > 1 or len(aheads) > 1 or (spans and aheads):
        raise draft.fail(
            "There are several periods in it: ask for one.", "Darin sind mehrere Zeiträume: fragen Sie nach einem."
        )
    if metric == "usage" and (aheads or (draft.has("future") and not spans)):
        metric = "forecast"
    return _built(draft, metric, limits, spans[0] if spans else None, aheads[0] if aheads else None, today)


def _metric(draft: _Draft, metrics: list[str], units: set[str]) -> str:
    kinds = draft.all("kind")
    if not metrics and kinds:
        metrics = ["anomalies"]
    if kinds and not set(metrics) & {"alerts", "anomalies", "incidents"}:
        metrics = ["anomalies", *metrics]
    if not metrics and draft.has("group", "risk_level"):
        metrics = ["churn"]
    if not metrics and draft.has("order_type"):
        metrics = ["orders"]
    metric = next((name for name in PRECEDENCE if name in metrics), None)
    if metric in ("active", "silent") and len(metrics) > 1 and "usage" in metrics:
        metric = "usage" if metric == "active" else metric
    if metric is None:
        if "mb" in units or draft.has("weak", "data"):
            return "usage"
        if "sms" in units:
            return "sms"
        if draft.has("weak", "risk"):
            return "churn"
        if draft.has("subject") or draft.has("state"):
            return "sims"
        raise draft.fail("It names nothing that can be measured.", "Es wird nichts genannt, das gemessen werden kann.")
    others = [name for name in metrics if name != metric and name not in ALLOWED[metric]]
    if others:
        both = f"{metric.replace('_', ' ')} + {', '.join(name.replace('_', ' ') for name in others)}"
        raise draft.fail(f"It asks for two things at once ({both}).", f"Es fragt nach zwei Dingen zugleich ({both}).")
    return metric


def _built(
    draft: _Draft,
    metric: str,
    limits: list[tuple[str, float, str]],
    span: Span | None,
    ahead: Ahead | None,
    today: date,
) -> Question:
    """Fill the Question of a metric."""
    values: dict[str, Any] = {"filters": list(draft.filters)}
    metrics = draft.all("metric")
    yesterday = today - timedelta(1)
    back = Span(today - timedelta(DEFAULT_DAYS), yesterday)
    span_note = span and (span.note and span.note != "not over")
    if span and span_note:
        draft.note(f"The period is {span.first} to {span.last}.", f"Der Zeitraum ist {span.first} bis {span.last}.")
    if span and span.last < span.first:
        raise draft.fail("The period ends before it begins.", "Der Zeitraum endet, bevor er beginnt.")
    states = draft.all("state")
    groups = draft.all("group")
    daily = draft.has("daily")
    if len(groups) > 1 and "sim" in groups:
        groups.remove("sim")
    if len(groups) > 1:
        raise draft.fail(
            "It groups by several things: group by one.", "Es gruppiert nach mehrerem: gruppieren Sie nach einem."
        )
    group = groups[0] if groups else None

    # metrics that are other metrics under some conditions
    units = {unit for _, _, unit in limits}
    if metric in ("quota", "ended", "usage", "exhaustion") and "%" in units:
        metric = "used_share"
    elif metric == "near_quota":
        metric = "used_share"
        if "%" not in units:
            limits = [*limits, (">=", NEAR_QUOTA, "%")]
            draft.note(
                f"Close to the quota means that {NEAR_QUOTA} % of it are used.",
                f"Nahe am Kontingent heißt, dass {NEAR_QUOTA} % davon verbraucht sind.",
            )
    elif metric == "remaining" and "%" in units:
        metric = "remaining_share"
    elif metric == "quota":
        metric = "used_share" if "usage" in metrics else "remaining"
    elif metric == "exhaustion" and "ended" in metrics and not (ahead or draft.has("future") or draft.has("soon")):
        metric = "ended"
    if metric == "ended" and (
        ahead or span or draft.has("future") or draft.has("soon") or draft.has("when") or draft.has("rank")
    ):
        metric = "exhaustion"
    if metric == "silent":
        if span or "days" in units:
            metric = "inactive"
        else:
            metric = "sims"
            states = [*states, "silent"]
    if metric == "active":
        if span:
            pass
        else:
            metric = "sims"
            states = [*states, "active"]
            draft.note(
                "Active is the state of the SIM's life; with a period it means that the SIM had usage.",
                "Aktiv ist der Zustand der SIM; mit einem Zeitraum heißt es, dass sie Verbrauch hatte.",
            )
    if metric == "usage" and "active" in metrics:
        states = [*states, "active"]
    if metric == "usage" and units == {"sms"}:
        metric = "sms"

    if span and set(states) - {"active", "silent"}:
        raise draft.fail(
            "States are known as of now only, without a period.",
            "Zustände sind nur mit dem jetzigen Stand bekannt, ohne Zeitraum.",
        )

    # limits in the metric's unit
    unit_of = {
        "usage": "mb",
        "remaining": "mb",
        "forecast": "mb",
        "sms": "sms",
        "used_share": "%",
        "remaining_share": "%",
        "churn": "%",
        "cost": "eur",
        "savings": "eur",
    }
    comparisons = []
    for operator, value, unit in limits:
        if unit == unit_of.get(metric):
            comparisons.append(Comparison(operator=operator, value=value))  # type: ignore[arg-type]
        elif unit == "days" and metric == "inactive" and operator in (">", ">=") and span is None:
            span = Span(today - timedelta(int(value)), yesterday)
        elif unit == "days" and metric in ("exhaustion", "expiry") and operator in ("<", "<=") and ahead is None:
            ahead = Ahead(int(value))
        else:
            raise draft.fail(
                f"A limit in {unit} does not fit to {metric.replace('_', ' ')}.",
                f"Eine Grenze in {unit} passt nicht zu {metric.replace('_', ' ')}.",
            )
    values["comparisons"] = comparisons

    # days
    if metric in ("usage", "sms", "active", "inactive"):
        if ahead:
            raise draft.fail(
                f"{metric} lies in the past: ask for a forecast.",
                f"{metric} liegt in der Vergangenheit: fragen Sie nach einer Prognose.",
            )
        if span is None:
            span = back
            draft.note(
                f"Without a period it is the last {DEFAULT_DAYS} days.",
                f"Ohne Zeitraum sind es die letzten {DEFAULT_DAYS} Tage.",
            )
    elif metric in DATED:
        if ahead:
            raise draft.fail(f"{metric} of the future are not known.", f"{metric} der Zukunft sind nicht bekannt.")
        if metric == "anomalies" and span is None and not draft.has("aggregation"):
            span = Span(today - timedelta(ANOMALY_DAYS), yesterday)
            draft.note(
                f"Without a period it is the last {ANOMALY_DAYS} days.",
                f"Ohne Zeitraum sind es die letzten {ANOMALY_DAYS} Tage.",
            )
    elif metric in ("exhaustion", "expiry", "forecast"):
        if span and span.last >= today:
            ahead, span = Ahead((span.last - yesterday).days), None
        elif span:
            raise draft.fail(
                f"{metric} looks ahead, and the period lies in the past.",
                f"{metric} blickt voraus, und der Zeitraum liegt in der Vergangenheit.",
            )
        if metric == "forecast":
            values["horizon"] = ahead.days if ahead else DEFAULT_DAYS
            if ahead is None:
                draft.note(f"The forecast is of {DEFAULT_DAYS} days.", f"Die Prognose gilt für {DEFAULT_DAYS} Tage.")
            elif ahead.days > DEFAULT_DAYS:
                raise draft.fail(
                    f"Forecasts reach {DEFAULT_DAYS} days ahead.", f"Prognosen reichen {DEFAULT_DAYS} Tage weit."
                )
        elif ahead:
            values["horizon"] = ahead.days
        elif not (draft.has("when") or draft.has("rank") or any(chosen.field == "iccid" for chosen in draft.filters)):
            values["horizon"] = DEFAULT_DAYS
            draft.note(
                f"Without a time it is the next {DEFAULT_DAYS} days.",
                f"Ohne Zeitangabe sind es die nächsten {DEFAULT_DAYS} Tage.",
            )
    elif span or ahead:
        if span and metric in ("sims",) and span.first == today:
            span = None
        elif metric == "ended" or span or ahead:
            raise draft.fail(
                f"{metric.replace('_', ' ')} is known as of now only.",
                f"{metric.replace('_', ' ')} ist nur mit dem jetzigen Stand bekannt.",
            )
    if metric == "ended":
        metric = "exhaustion"
        values["filters"].append(Filter(field="status", values=("exhausted",)))
    if span:
        values["period"] = Period(first=span.first, last=span.last)

    _put_filters(draft, metric, states, values)
    values["filters"] = _joined(values["filters"])
    _put_layout(draft, metric, group, daily, values)
    return Question(metric=metric, **values)  # type: ignore[arg-type]


def _put_filters(draft: _Draft, metric: str, states: list[str], values: dict[str, Any]) -> None:
    filters: list[Filter] = values["filters"]

    def put(name: str, chosen: Sequence[str]) -> None:
        filters.append(Filter(field=name, values=tuple(dict.fromkeys(chosen))))  # type: ignore[arg-type]

    def misplaced(words: Sequence[str]) -> NotUnderstoodError:
        shown = ", ".join(word.replace("_", " ") for word in words)
        return draft.fail(
            f"{shown} does not fit to {metric.replace('_', ' ')}.",
            f"{shown} passt nicht zu {metric.replace('_', ' ')}.",
        )

    metrics = draft.all("metric")
    if states:
        if metric in ("tickets", "incidents", "cost", "orders"):
            raise misplaced(states)
        put("state", states)
    if kinds := draft.all("kind"):
        put("kind", kinds)
    if metric == "alerts":
        named = {"silent": "silent", "inactive": "silent", "quota": "quota_80", "near_quota": "quota_80", "exhaustion": "exhaustion",
                 "ended": "exhaustion", "anomalies": "anomaly"}  # fmt: skip
        if chosen := [named[name] for name in metrics if name in named]:
            put("kind", chosen)
    if severities := draft.all("severity"):
        if metric not in ("alerts", "anomalies", "incidents"):
            raise misplaced(severities)
        put("severity", severities)
    statuses = draft.all("status")
    if statuses:
        if metric == "tickets":
            meant = {"open": ("OPEN", "IN_PROGRESS"), "closed": ("CLOSED",), "IN_PROGRESS": ("IN_PROGRESS",)}
            put("status", [status for name in statuses for status in meant[name]])
        elif metric == "alerts":
            put("status", statuses)
        else:
            raise misplaced(statuses)
    elif metric == "alerts" and "period" not in values:
        put("status", ["open"])
        draft.note("Without a period it is the open alerts.", "Ohne Zeitraum sind es die offenen Alarme.")
    categories = draft.all("category")
    if metric == "tickets" and "quota" in metrics:
        categories.append("quota_exhausted")
    if categories:
        if metric != "tickets":
            raise misplaced(categories)
        put("category", categories)
    levels = draft.all("level")
    if levels:
        if metric == "tickets":
            put("priority", levels)
        elif metric == "churn":
            put("risk_level", levels)
        else:
            raise misplaced(levels)
    elif (
        metric == "churn"
        and not values["comparisons"]
        and not draft.has("rank")
        and not draft.has("group")
        and not draft.has("aggregation")
        and not any(chosen.field == "iccid" for chosen in filters)
    ):
        put("risk_level", ["high"])
        draft.note("Likely to leave means a high churn risk.", "Wahrscheinlich heißt: ein hohes Abwanderungsrisiko.")
    if draft.has("order_type"):
        if metric not in ("orders", "cost"):
            raise misplaced(["top-up"])
        put("order_type", ["TOPUP", "BULK_TOPUP"])
    if metric in ("cost", "orders", "incidents"):
        if any(chosen.field in PER_SIM | {"iccid"} for chosen in filters):
            raise draft.fail(
                f"{metric} is not known by SIM, country or label.",
                f"{metric} ist nicht nach SIM, Land oder Label bekannt.",
            )


def _joined(filters: list[Filter]) -> list[Filter]:
    """One filter a field: what is said of it twice means either."""
    joined: dict[tuple[str, bool], Filter] = {}
    for chosen in filters:
        key = chosen.field, chosen.negated
        before = joined[key].values if key in joined else ()
        joined[key] = chosen.model_copy(update={"values": tuple(dict.fromkeys([*before, *chosen.values]))})
    return list(joined.values())


def _put_layout(draft: _Draft, metric: str, group: str | None, daily: bool, values: dict[str, Any]) -> None:
    """How the answer is laid out: a list, a number, or groups; in which order, how many."""
    counted, aggregations = draft.has("count"), draft.all("aggregation")
    ranks, tops = draft.all("rank"), draft.all("top")
    if len(set(tops)) > 1 or len(set(aggregations)) > 1:
        raise draft.fail(
            "It asks for several sums at once: ask for one.",
            "Es fragt nach mehreren Größen zugleich: fragen Sie nach einer.",
        )
    aggregation = aggregations[0] if aggregations else None
    amounts = metric in ("usage", "sms", "forecast", "remaining", "cost", "savings")
    per_sim = draft.has("subject") or bool(values["comparisons"])
    if group == "kind" and metric in ("cost", "orders"):
        group = "order_type"
    if group == "state" and metric in ("alerts", "tickets"):
        group = "status"
    if metric in ("usage", "sms"):
        if (
            (daily and aggregation in ("average", "median"))
            or (daily and values["comparisons"])
            or (daily and group is None and draft.has("much") and False)
        ):
            values["daily"] = True
        elif daily and group is None:
            group = "day"
        elif daily:
            values["daily"] = True
    elif daily:
        if group is not None or metric not in DATED:
            raise draft.fail(
                f"{metric.replace('_', ' ')} by day is not known.",
                f"{metric.replace('_', ' ')} nach Tagen ist nicht bekannt.",
            )
        group = "day"
    if group is not None and group not in GROUPS_OF.get(metric, PER_SIM):
        raise draft.fail(
            f"{metric.replace('_', ' ')} cannot be grouped by {group.replace('_', ' ')}.",
            f"{metric.replace('_', ' ')} lässt sich nicht nach {group.replace('_', ' ')} gruppieren.",
        )
    if group in ("month", "week", "day") and aggregation in ("average", "median"):
        raise draft.fail(
            "Averages by day, week or month are not offered: ask for the sums.",
            "Durchschnitte nach Tag, Woche oder Monat gibt es nicht: fragen Sie nach den Summen.",
        )

    if group == "sim":
        made, group = "list", None
        if metric in DATED:
            raise draft.fail(
                f"{metric} by SIM are not offered: ask for the list.",
                f"{metric} je SIM gibt es nicht: fragen Sie nach der Liste.",
            )
    elif group is not None:
        if amounts and not (counted and values["comparisons"]):
            made = aggregation or "sum"
        elif metric in ("used_share", "remaining_share", "churn") and not counted and not values["comparisons"]:
            made = aggregation if aggregation in ("average", "median") else "average"
        else:
            made = "count"
        if counted and metric == "usage" and not values["comparisons"]:
            made = "sum"
    elif counted:
        made = "sum" if amounts and not draft.has("subject") and not values["comparisons"] else "count"
        if metric in ("usage", "sms") and not values["comparisons"] and draft.has("weak", "data"):
            made = "sum"
        if metric == "sms" and not values["comparisons"]:
            made = "sum"
        if metric in ("usage", "remaining", "forecast") and made == "count" and not values["comparisons"]:
            if metric == "usage":
                values["comparisons"] = [Comparison(operator=">", value=0)]
    elif aggregation and not (values["comparisons"] and aggregation in ("average", "median")):
        made = aggregation
        if metric not in (
            *("usage", "sms", "forecast", "remaining", "cost", "savings"),
            "used_share",
            "remaining_share",
            "churn",
        ):
            if aggregation != "sum":
                raise draft.fail(f"There is no average of {metric}.", f"Es gibt keinen Durchschnitt von {metric}.")
            made = "count"
    elif (
        amounts
        and not ranks
        and not values["comparisons"]
        and (
            draft.has("much")
            or not per_sim
            or (metric in ("usage", "sms", "forecast", "cost") and not draft.has("list"))
        )
    ):
        made = "sum"
    else:
        made = "list"
    if metric == "cost" and made == "list":
        made = "list" if ranks else "sum"
    values["aggregation"] = made
    values["group"] = group
    values["sims"] = metric in DATED and made == "count" and draft.has("subject") and metric in ("anomalies", "alerts")
    if tops:
        values["top"] = tops[0]
    elif ranks and "first" not in ranks and (made == "list" or group):
        asked = draft.all("asked")
        one = draft.all("subject") == ["sim"] or (
            asked
            and re.search(
                r"(?:country|land|operator|network|carrier|provider|netz|betreiber|netzbetreiber|anbieter|label"
                r"|month|monat|week|woche|model|type|geraetetyp|modell|category|kategorie|kind)$",
                asked[0],
            )
        )
        values["top"] = 1 if one else DEFAULT_TOP
    values["ascending"] = "bottom" in ranks or (
        metric in ("exhaustion", "expiry", "remaining", "remaining_share") and made == "list" and "top" not in ranks
    )
    if metric in ("exhaustion", "expiry") and ranks and made == "list":
        values["ascending"] = True
        values.setdefault("top", DEFAULT_TOP)
    if metric in ("remaining", "remaining_share") and ranks and made == "list" and "bottom" not in ranks:
        values["ascending"] = False


@cache
def known_words() -> frozenset[str]:
    """Single words that rules know, for finding what a mistyped word was meant to be."""
    from services.questions.periods import MONTHS, WEEKDAYS

    found = {word for _, _, phrase in FEATURES for word in re.findall(r"(?<![\w\\])[a-z]{5,}(?![\w?*(\[])", phrase)}
    found |= set(MONTHS) | set(WEEKDAYS) | set(NAMES) | {word for word in STOP if len(word) > 4}
    found |= {
        "yesterday",
        "gestern",
        "letzten",
        "last",
        "previous",
        "countries",
        "country",
        "laender",
        "usage",
        "verbrauch",
        "quota",
        "limit",
        "month",
        "monat",
        "operator",
        "inactive",
        "inaktiv",
        "inaktive",
        "tagen",
        "average",
        "durchschnitt",
        "gigabyte",
        "megabyte",
    }
    return frozenset(word for word in found if len(word) > 4 and " " not in word)


def respelled(word: str) -> str | None:
    """The known word that a mistyped one must be; None where it is not clear."""
    if len(word) < 5 or not word.isalpha() or word in ACTIONS:
        return None
    near = get_close_matches(word, known_words(), 1, 0.84)
    # one letter more or less, or two exchanged; the first one is right nearly always
    return near[0] if near and near[0][0] == word[0] and abs(len(near[0]) - len(word)) < 2 else None
