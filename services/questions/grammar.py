"""The front end for English and German: rules that read phrases wherever they stand.

People order and inflect words in more ways than a grammar of sentences can list. So each rule here reads one phrase (a
limit, a period, a country, a metric) and takes its words away; word order does not matter. What remains must be words
without meaning of their own. Any other word left over means that the question was not understood, for it could change
the meaning. Then the phrases must fit together: each must have a place in the Question.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from typing import Any

from pydantic import ValidationError

from services.questions.countries import ADJECTIVES, CODES, NAMES
from services.questions.devices import names_of_device
from services.questions.draft import Draft
from services.questions.lexicon import (
    AGAINST,
    ALSO,
    ASKED_GROUP,
    BARE_OF_QUOTA,
    BETWEEN,
    COMPARE,
    COMPARED,
    COMPARES,
    COMPILED,
    COUNTED_GROUP,
    COUNTRY_BEFORE,
    COURTESY,
    DISTINCT,
    EACH_DAY,
    GROUP,
    GROUPS,
    HALF_OF_QUOTA,
    LISTED_GROUP,
    LOWEST,
    NO_SMS,
    NONE_OF,
    NOT,
    OPS,
    OR_MORE,
    OUTSIDE,
    PEAK,
    PERIODIC,
    REWRITTEN,
    SHARED,
    SHARES,
    SINGLE,
    STOP,
    TOP,
    UNITS,
    WHERE,
)
from services.questions.meaning import meant
from services.questions.periods import IN_DAYS, RULES, Found, in_days
from services.questions.question import Filter, Question
from services.questions.spans import AmbiguousDayError
from services.questions.words import MAX_CHARACTERS, QUOTED, clean, language_of, normal, number

PERIODS = {"m": "month", "w": "week", "q": "quarter", "y": "year", "a": "year", "j": "year"}


@dataclass
class Reading:
    """A question as understood, and what was assumed for it."""

    question: Question
    language: str
    assumed: list[str] = field(default_factory=list)


@cache
def _country_rules() -> list[tuple[re.Pattern[str], Mapping[str, tuple[str, ...]]]]:
    rules: list[tuple[re.Pattern[str], Mapping[str, tuple[str, ...]]]] = []
    names = "|".join(sorted((re.escape(name) for name in NAMES), key=len, reverse=True))
    rules.append((re.compile(rf"(?<![\w]){COUNTRY_BEFORE}(?P<name>{names})s?(?![\w])"), NAMES))
    us = {"us": NAMES["usa"], "u.s.": NAMES["usa"], "u.s": NAMES["usa"], "u s": NAMES["usa"]}
    rules.append(
        (re.compile(rf"(?<![\w])(?:(?P<not>{OUTSIDE})|in|from|of|for)(?: the)? (?P<name>us|u\.s\.?|u s)(?![\w])"), us)
    )
    rules.append((re.compile(r"(?<![\w])(?P<not>$)?(?:the )?(?P<name>us)(?= (?:sims?|devices?|cards?))"), us))
    words = "|".join(sorted((re.escape(word) for word in ADJECTIVES), key=len, reverse=True))
    rules.append(
        (re.compile(rf"(?<![\w])(?P<not>non |not |nicht )?(?P<name>{words})[nrs]?(?: (?=\w)|(?![\w]))"), ADJECTIVES)
    )
    return rules


def read(text: str, today: date, *, language: str | None = None, values: Mapping[str, Filter] | None = None) -> Reading:
    """Understand a question asked on a day.

    values   filters that words of the organization's own stand for (an operator, the beginning of a label)
    Raises NotUnderstoodError.
    """
    text = clean(text)
    language = language or language_of(text)
    draft = Draft("", language)
    if not text:
        raise draft.fail("There is no question.", "Es ist keine Frage.")
    if len(text) > MAX_CHARACTERS:
        raise draft.fail(
            f"A question has at most {MAX_CHARACTERS} characters.",
            f"Eine Frage hat höchstens {MAX_CHARACTERS} Zeichen.",
        )
    _read_values(draft, text, values or {})
    draft.text = COURTESY.sub(" ", draft.text)
    for pattern, written in REWRITTEN:
        draft.text = pattern.sub(written, draft.text)
    try:
        _read_limits(draft)
        _read_places(draft)
        limited = any(unit in ("mb", "sms") for _, _, unit in draft.all("limit"))
        if limited or ((found := PEAK.search(draft.text)) and SINGLE.search(found[0])):
            draft.take(PEAK, lambda _: draft.found.append(("peak", True)))
        _read_periods(draft, today)
        _read_layout(draft)
    except AmbiguousDayError as error:
        raise draft.fail(
            f"{error} may be read as two days: write it as in 2026-05-11 or 11 May 2026.",
            f"{error} lässt sich als zwei Tage lesen: schreiben Sie ihn wie 2026-05-11 oder 11. Mai 2026.",
        ) from None
    except (ValueError, KeyError, OverflowError):
        raise draft.fail(
            "A day or number in it does not exist.", "Einen Tag oder eine Zahl darin gibt es nicht."
        ) from None
    for name, value, pattern in COMPILED:
        draft.take(pattern, _adding(draft, name, value))
    left = [word for word in re.findall(r"[^\s|]+", draft.text) if word not in STOP and word.strip(".,-/&+<>=%")]
    if _chooses_several(draft):
        left = [word for word in left if word not in ("or", "oder")]
    left += re.findall(r"[<>=%]+", draft.text)
    if left:
        shown = ", ".join(dict.fromkeys(left))
        raise draft.fail(f"Not understood: {shown}.", f"Nicht verstanden: {shown}.", left)
    try:
        return Reading(meant(draft, today), language, draft.assumed)
    except (ValidationError, ValueError, OverflowError):
        raise draft.fail("A number in it is too large.", "Eine Zahl darin ist zu groß.") from None


def _chooses_several(draft: Draft) -> bool:
    """Whether there are two values of one field, which an `or` may join."""
    fields = [(chosen.field, chosen.negated) for chosen in draft.filters]
    names = ("kind", "severity", "category", "level", "status")
    if len(draft.all("state")) + len({"silent", "active"} & set(draft.all("metric"))) > 1:
        return True
    return len(set(fields)) < len(fields) or any(len(draft.all(name)) > 1 for name in names)


def _adding(draft: Draft, name: str, value: Any) -> Callable[[re.Match[str]], None]:
    also = [("rank", "top")] if name == "common" else []
    return lambda _: None if name == "strip" else draft.found.extend([(name, value), *also])


def _read_values(draft: Draft, text: str, values: Mapping[str, Filter]) -> None:
    """Set apart what stands for itself: ICCIDs, quoted names, labels and operators named as such, country codes."""
    found_filters = draft.filters

    def label(found: re.Match[str]) -> str:
        name = next(part for part in reversed(found.groups()) if part is not None)
        found_filters.append(Filter(field="label", values=(name.strip(),), negated=bool(found["not"])))
        return " | "

    def operator(found: re.Match[str]) -> str:
        name = next(part for part in reversed(found.groups()) if part is not None)
        found_filters.append(Filter(field="operator", values=(name.strip(),), negated=bool(found["not"])))
        return " | "

    quoted = r"[\"“”„«»'‘‚]([^\"“”„«»'‘’]{1,200})[\"“”«»'’‘]"
    no = rf"(?P<not>\b{NOT} (?:the |a |those |dem |das |der )?)?"
    text = re.sub(
        rf"(?i){no}\b(?:operator|network|carrier|provider|netz|netzbetreiber|betreiber|anbieter)(?: is| ist| ="
        rf"| namens| called)? {quoted}",
        operator,
        text,
    )
    text = re.sub(
        rf"(?i){no}\b(?:(?:whose |with |mit |having )?(?:the |dem |das |deren )?(?:labels?|labell?ed|names?|named"
        rf"|called|namens|bezeichnung)(?: is| are| of| ist)?"
        rf"(?: (?:starting with|starts with|beginning with|begins with|start with|begin with|like|beginnt mit"
        rf"|das mit|beginnend mit|anfangend mit))?[:=]? ?){quoted}(?: (?:beginnt|anfaengt|anfängt|starts))?",
        label,
        text,
    )
    text = re.sub(rf"(?i){no}(?:{QUOTED.pattern})", label, text)
    text = re.sub(
        rf"(?i){no}\b(?:labels?|labell?ed|named|called|namens)(?: is| ist| =)?(?: (?:starting with|beginning with|like"
        r"|begins with|beginnend mit))? ([\w-]*(?:\d|-)[\w./-]*)",
        label,
        text,
    )

    text = re.sub(
        rf"(?i){no}\b(?:that |which |die )?(?:start|begin|beginn|anfang)(?:s|ing|ning|end|t|en)? (?:with|mit) "
        r"([\w./-]*[a-zA-Z][\w./-]*)",
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
    normalised = re.sub(r"\b(?:neither|weder)\b", "not", f" {normal(text)} ")
    if " not " in normalised:
        normalised = re.sub(r"\bnor\b|\bnoch(?= (?:in|aus|auf|bei) )", "and not", normalised)
    for word, chosen in values.items():
        # a kind of device stands for SIMs, any other value for itself
        left = " sims " if chosen.field == "label_part" or names_of_device(word) else " | "
        pattern = re.compile(
            rf"(?<![\w])(?P<before>(?:(?:{NOT}|on|via|with|using|bei|ueber|mit|im|in|by|from|of|von|the|der|dem|den|des|operator|carrier|provider|anbieter|group|gruppe|labelgruppe|network|netz"
            rf"|netzbetreiber|betreiber|label|labelled|labeled|named|called|namens"
            rf"|label is) )*){re.escape(word)}(?: (?:network|netz|operator))?(?![\w])"
        )
        for found in pattern.finditer(normalised):
            negated = bool(re.search(rf"\b{NOT}\b", found["before"]))
            draft.filters.append(chosen.model_copy(update={"negated": negated}))
        normalised = pattern.sub(left, normalised)
    draft.text = f" {' '.join(normalised.split())} "


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


def _read_limits(draft: Draft) -> None:
    def compare(found: re.Match[str]) -> None:
        operator = next(OPS[index][0] for index in range(len(OPS)) if found[f"o{index}"])
        amount = 0.5 if found["half"] else 1.0 if found["one"] else number(found["n"], draft.language)
        unit, times = _unit_of(
            found[found.lastindex or 0] if not found.group(found.re.groups) else found.group(found.re.groups)
        )
        draft.found.append(("limit", (operator, amount * times, unit)))

    def or_more(found: re.Match[str]) -> None:
        unit, times = _unit_of(found[2])
        more = "less" not in found[3] and "weniger" not in found[3]
        draft.found.append(("limit", (">=" if more else "<=", number(found[1], draft.language) * times, unit)))

    def between(found: re.Match[str]) -> None:
        unit, times = _unit_of(found[4])
        low_times = _unit_of(found[2])[1] if found[2] else times
        draft.found.append(("limit", (">=", number(found[1], draft.language) * low_times, unit)))
        draft.found.append(("limit", ("<=", number(found[3], draft.language) * times, unit)))

    draft.take(
        HALF_OF_QUOTA,
        lambda found: draft.found.append(
            ("limit", ("<" if found["less"] else ">" if found["more"] else ">=", 50.0, "%"))
        ),
        " ",
    )
    draft.take(NO_SMS, lambda _: draft.found.append(("limit", ("=", 0.0, "sms"))))
    draft.take(BETWEEN, between)
    draft.take(OR_MORE, or_more)
    draft.take(COMPARE, compare)
    draft.take(
        BARE_OF_QUOTA, lambda found: draft.found.append(("limit", (">=", number(found[1], draft.language), "%")))
    )


def _read_places(draft: Draft) -> None:
    def nothing(found: re.Match[str]) -> None:
        name = next(name for name, text in found.groupdict().items() if text)
        draft.filters.append(Filter(field="label" if name == "unlabelled" else name, values=("",)))

    draft.take(NONE_OF, nothing, " ")
    for pattern, names in _country_rules():

        def country(found: re.Match[str], names: Mapping[str, tuple[str, ...]] = names) -> None:
            draft.filters.append(Filter(field="country", values=names[found["name"]], negated=bool(found["not"])))

        draft.take(pattern, country, "" if names is ADJECTIVES else " | ")


def _read_periods(draft: Draft, today: date) -> None:
    if AGAINST.search(draft.text):
        draft.found.append(("against", True))
    draft.text = re.sub(r"(?<=\s)may (?=run|be|leave|churn|exceed|expire|go|have|need)", "", draft.text)
    for pattern, made in RULES:

        def period(found: re.Match[str], made: Callable[[re.Match[str], date], Found] = made) -> None:
            draft.found.append(("period", made(found, today)))

        draft.take(pattern, period)
    draft.take(IN_DAYS, lambda found: draft.found.append(("period", in_days(found))))


def _read_layout(draft: Draft) -> None:
    def top(found: re.Match[str]) -> None:
        draft.found.append(("top", int(found["a"] or found["b"])))
        draft.found.append(("rank", "bottom" if (found["word"] or found["first"]) in LOWEST else "top"))

    def group(found: re.Match[str]) -> None:
        name = next(name for name in GROUPS if found[name])
        if name == "day":
            draft.found += [("daily", True), ("by_day", True)]
        else:
            draft.found.append(("group", name))

    def also(found: re.Match[str]) -> None:
        if draft.has("by_day"):
            draft.found = [one for one in draft.found if one[0] not in ("daily", "by_day")] + [("group", "day")]
        name = next(name for name in GROUPS if found[name])
        draft.found.append(("also", True))
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
            lowest = found["top"].split()[0] in LOWEST
            draft.found.append(("rank", "bottom" if lowest else "top"))
        for digits in re.findall(r"\d+", found[0]):
            draft.found.append(("top", int(digits)))

    draft.take(
        re.compile(r"(?<![\w])(?:sorted|ordered|sortiert|ranked|geordnet)(?= by| nach| asc| desc| auf| ab|[ |]*$)"),
        lambda _: draft.found.append(("order", "down")),
    )
    draft.take(WHERE, lambda _: draft.found.append(("where", True)))
    draft.take(SHARES, lambda _: draft.found.append(("share", True)))
    draft.take(
        re.compile(r"(?<![\w])(?:day by day|tag fuer tag)(?![\w])"), lambda _: draft.found.append(("daily", True))
    )
    draft.take(EACH_DAY, lambda _: draft.found.append(("daily", True)))
    draft.take(PERIODIC, lambda found: draft.found.append(("group", PERIODS[found[0][0]])))

    def counted(found: re.Match[str]) -> None:
        asked(found)
        draft.found.append(("distinct", True))

    draft.take(DISTINCT, counted)
    draft.take(ASKED_GROUP, asked)
    draft.take(COUNTED_GROUP, asked)
    draft.take(LISTED_GROUP, asked)
    draft.take(TOP, top)
    draft.take(GROUP, group)
    if draft.has("group") or draft.has("by_day"):
        draft.take(ALSO, also)
    if COMPARES.search(draft.text) and not (draft.has("group") or draft.has("daily")):
        draft.take(COMPARED, asked)
    if (draft.has("share") or draft.has("top") or draft.has("rank")) and not (draft.has("group") or draft.has("daily")):
        draft.take(SHARED, asked)
