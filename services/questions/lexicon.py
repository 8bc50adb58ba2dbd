"""The words that rules know: expressions for limits, groups and places, and the phrases of phrases.txt."""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import cache
from importlib import resources

from services.questions.countries import NAMES
from services.questions.periods import MONTHS, WEEKDAYS

SIM_WORD = r"(?:sim ?cards?|sims?|sim ?karten?|karten?|cards?|devices?|geraete?n?|iccids?)"
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
    [
        "delete",
        "remove",
        "drop",
        "activate",
        "deactivate",
        "enable",
        "disable",
        "suspend",
        "cancel",
        "order",
        "create",
        "update",
        "change",
        "reset",
        "write",
        "insert",
        "loesche",
        "loeschen",
        "entferne",
        "aktiviere",
        "deaktiviere",
        "sperre",
        "kuendige",
        "bestelle",
        "aendere",
        "setze",
    ]
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
    "action": r"(?:(?:recommended |empfohlene[nr]? )?(?:actions?|aktion(?:en)?|massnahmen?))",
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
LISTED_GROUP = re.compile(
    rf"(?<![\w])(?:the|die|top) (?P<top>$)?(?P<n>$)?(?:{GROUP_WORDS})(?= (?:with|mit|that|which|die|by|nach|am)\b)"
)
COMPARED = re.compile(
    rf"(?<![\w])(?:the |our |all |der |die |den |unserer? )?(?P<top>$)?(?P<n>$)?(?:{GROUP_WORDS})(?![\w])"
)
COMPARES = re.compile(r"(?<![\w])(?:compar(?:e[ds]?|ing|ison)|differs?|unterscheide[nt]|vergleich\w*)(?![\w])")
PEAK = re.compile(
    r"(?<![\w])(?:on|in|within|at|an|innerhalb|binnen)(?: just| only| nur)? "
    r"(?:any|an?|one|1|einem|eines|irgendeinem)(?: (?:single|given|one|1|einzigen|einzelnen))? "
    r"(?:days?|tag(?:e?s)?)(?![\w])"
)
PERIODIC = re.compile(
    rf"(?<![\w])(?:monthly|monatlich(?:e[nrsm]?)?|weekly|woechentlich(?:e[nrsm]?)?)(?! {QUOTA})(?![\w])"
)


def lines_of(name: str) -> list[str]:
    text = (resources.files(__package__) / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def phrases() -> list[tuple[str, str, str]]:
    found = []
    for line in lines_of("phrases.txt"):
        name, value, phrase = line.split("\t")
        for mark, meant in (("<POSSESSIVE>", POSSESSIVE), ("<QUOTA>", QUOTA), ("<SIM>", SIM_WORD)):
            phrase = phrase.replace(mark, meant)
        found.append((name, value, phrase))
    return found


FEATURES = phrases()
COMPILED = [(name, value, re.compile(rf"(?<![\w.])(?:{phrase})(?![\w])")) for name, value, phrase in FEATURES]
STOP = frozenset(word for line in lines_of("stop_words.txt") for word in line.split())
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


@cache
def known_words() -> frozenset[str]:
    """Single words that rules know, for finding what a mistyped word was meant to be."""
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
