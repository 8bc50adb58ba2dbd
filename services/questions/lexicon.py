"""The words that rules know: expressions for limits, groups and places, and the phrases of phrases.txt."""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import cache
from importlib import resources

from services.questions.countries import NAMES
from services.questions.spans import MONTHS, WEEKDAYS
from services.questions.words import ENGLISH, GERMAN

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
          r"|topp(?:ed|ing)|surpass(?:ed|es|ing)?|cross(?:ed|es|ing)?|breach(?:ed|es|ing)?|hit"
          r"|mehr als|ueber|groesser als|hoeher als|oberhalb(?: von)?|>)"),
    ("<", r"(?:less than|under|below|fewer than|lower than|smaller than|weniger als|unter|kleiner als"
          r"|niedriger als|unterhalb(?: von)?|<)"),
    ("=", r"(?:exactly|precisely|genau|=)"),
]  # fmt: skip
EITHER = "|".join(f"(?P<o{index}>{words})" for index, (_, words) in enumerate(OPS))
COMPARE = re.compile(
    rf"(?<![\w])(?:vor )?(?:{EITHER}) (?:the |von |of )?(?:(?P<half>(?:half an? |ein(?:em)? halbe[ns]? ))|(?P<one>an? "
    rf"|one |eine[mnrs]? |ein )|(?P<n>\d+(?:[.,]\d+)*) ){UNIT}(?: ago)?(?![\w])"
)
OR_MORE = re.compile(
    rf"(?<![\w.]){NUM} {UNIT}(?: (?:marke|grenze|schwelle|mark|threshold|limit))? (ueberschritten|uebertroffen"
    r"|ueberschreiten|ueberstiegen|or more|and more|or less|and less|oder mehr|und mehr|oder weniger|und weniger)"
    r"(?! than| als)(?![\w])"
)
BETWEEN = re.compile(rf"(?<![\w])(?:between|zwischen) {NUM} (?:{UNIT} )?(?:and|und) {NUM} {UNIT}(?![\w])")
NO_SMS = re.compile(
    r"(?<![\w])(?:no|without(?: any)?|zero|keine?|ohne|0) (?:sms|text messages|messages|nachrichten|kurznachrichten)"
    r"(?![\w])"
)
HALF_OF_QUOTA = re.compile(
    r"(?<![\w])(?:(?P<less>less than|under|below|weniger als|unter) |(?P<more>more than|over|above|mehr als|ueber) "
    r"|at least |mindestens )?(?:the |die )?(?:half|haelfte)(?: of| vo[nm]| an| am)? "
    rf"(?=(?:{POSSESSIVE}){QUOTA}(?![\w]))"
)
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
    "label": r"(?:label prefix(?:es)?|label groups?|labels?|groups?|bezeichnung(?:en)?|gruppen?|labelgruppen?)",
    "state": r"(?:states?|status(?:es)?|lifecycle states?|zustand|zustaenden?|lebenszyklus(?:status)?|stages?)",
    "month": r"(?:months?|monate?n?|calendar months?)",
    "week": r"(?:weeks?|wochen?|kalenderwochen?)",
    "quarter": r"(?:quarters?|quartale?n?)",
    "year": r"(?:years?|jahre?n?)",
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
# a second group, after the first: `by country and month`
ALSO = re.compile(
    rf"(?<=\|) *(?:and|und|&|sowie)(?: then| dann)? (?:by |per |each |nach |je |pro )?(?:{GROUP_WORDS})"
    r"(?= *(?:$|\||in|of|for|please|bitte|im|fuer|this|last))"
)
ASKED_GROUP = re.compile(
    rf"(?<![\w])(?:(?:in |on |aus |von |from )?(?:which|what|welche[nmsr]?|in welche[nmrs]?)"
    r"|(?P<top>(?:top|bottom|busiest|strongest|heaviest|quietest|slowest|weakest"
    r"|staerkste[rnms]?|schwaechste[rnms]?)(?: \d+)?)) "
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
    rf"(?<![\w])(?:of )?(?:the |our |all |der |die |den |unserer? )?(?P<top>$)?(?P<n>$)?(?:{GROUP_WORDS})(?![\w])"
)
SHARED = re.compile(
    r"(?<![\w])(?:the |our |der |die |den |unserer? )?(?P<top>$)?(?P<n>$)?(?:"
    + "|".join(f"(?P<{name}>{words})" for name, words in GROUPS.items() if name not in ("sim", "day", "kind"))
    + r")(?![\w])"
)
SHARES = re.compile(
    rf"(?<![\w])(?!\w+ (?:of|am|an|vom|von) {POSSESSIVE}{QUOTA}(?![\w]))"
    r"(?:(?:what|which|welche[rn]?|how many|wie ?viel) )?(?:shares?|percentages?|percent|proportions?|fraction"
    r"|anteil(?:e|s)?|prozentsatz|prozent|prozentuale[rnms]?(?: anteile?)?)(?: (?:of|an|am|von|vom))?(?![\w])"
)
DISTINCT = re.compile(
    r"(?<![\w])(?:in |on |aus |from )?(?:how many|number of|count of|wie ?viele[nr]?|anzahl(?: der| von| an)?)"
    r"(?: different| distinct| verschiedene[nrs]?| unterschiedliche[nrs]?| of the| our)? (?P<top>$)?(?P<n>$)?(?:"
    + "|".join(f"(?P<{name}>{GROUPS[name]})" for name in ("country", "operator", "device_type", "label"))
    + r")(?![\w])"
)
COMPARES = re.compile(
    r"(?<![\w])(?:versus|vs|gegenueber|rank(?:s|ing|ed)?|rangliste|rangfolge|compar(?:e[ds]?|ing|ison)|differs?|unterscheide[nt]|vergleich\w*)(?![\w])"
)
PEAK = re.compile(
    r"(?<![\w])(?:on|in|within|at|an|innerhalb|binnen)(?: just| only| nur)? "
    r"(?:any|an?|one|1|einem|eines|irgendeinem)(?: (?:single|given|one|1|einzigen|einzelnen))? "
    r"(?:days?|tag(?:e?s)?)(?![\w])"
)
SINGLE = re.compile(r"single|einzige|einzeln")
EACH_DAY = re.compile(
    rf"(?<![\w])(?:per|pro|je) (?:{SIM_WORD}(?: and| und)?(?: per| pro| je)? (?:day|tag)|(?:day|tag)"
    rf" (?:and|und)(?: per| pro| je)?"
    rf" {SIM_WORD})(?![\w])"
)
PERIODIC = re.compile(
    rf"(?<![\w])(?:monthly|monatlich(?:e[nrsm]?)?|weekly|woechentlich(?:e[nrsm]?)?|quarterly|yearly|annual"
    rf"|jaehrlich(?:e[nrsm]?)?)(?! {QUOTA})(?![\w])"
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
# the period before, named as what another is compared with: `compared to last week`
AGAINST = re.compile(
    r"(?<![\w])(?:compared (?:to|with)|versus|vs|than|(?:im )?vergleich zu[rm]?|gegenueber|als)"
    r"(?: in| im| der| dem| den| the)*(?= (?:last|previous|prior|the previous|letzt\w+|vorig\w+|vorherig\w+|vorwoche"
    r"|vormonat|vorjahr|yesterday|gestern)\b)"
)
# where something happens, asked at the head of a question
WHERE = re.compile(
    r"^ *(?:(?:and|so|und|also) )?(?:where|wo)(?= +(?:are|is|were|do|does|did|have|has|sind|ist|waren|befind\w*"
    r"|verbrauch\w*|nutz\w*|gibt|gab|haben|hat|steh\w*|sitzen|laufen|funken)\b)"
)
# words of order that say by what, and words in another order: `ten quietest SIMs`, `which ticket category`
REWRITTEN = [
    (re.compile(r"\bwochenverbrauch(?:s|e|en)?\b"), "verbrauch pro woche"),
    (re.compile(r"\b(ticket|alarm|anomalie)(kategorien?|arten?|typ(?:en)?)\b"), r"\1s nach \2"),
    (
        re.compile(r"\b(?:but|aber)(?= (?:less|more|under|over|below|at|weniger|mehr|hoechstens|mindestens|unter)\b)"),
        "and",
    ),
    (re.compile(r"(\d (?:%|mb|gb)) (left|remaining|uebrig) (or less|or more|oder weniger|oder mehr)\b"), r"\1 \3 \2"),
    (
        re.compile(rf"\b(?:quietest|laziest|least active|ruhigsten?|am wenigsten aktiven)(?= {SIM_WORD})"),
        "least usage",
    ),
    (re.compile(rf"\b(?:busiest|hungriest|most active|aktivsten?|hungrigsten?)(?= {SIM_WORD})"), "most usage"),
    (
        re.compile(
            r"\b(which|what|welche\w*) (tickets?|alerts?|alarm|anomaly|anomalie) ?"
            r"(?=(?:category|categories|kinds?|types?|severity|priority|kategorien?|art|prioritaet)\b)"
        ),
        r"\2 \1 ",
    ),
]
# what people say around a question
COURTESY = re.compile(
    r"(?<![\w])(?:good (?:morning|afternoon|evening|day)|guten? (?:morgen|tag|abend)|dear (?:all|team|support)"
    r"|(?:hi|hello|hey|hallo)(?: (?:there|team|all|everyone|zusammen|leute))?"
    r"|(?:many |vielen |herzlichen |besten )?(?:thanks?|thank you|dank|danke)(?: you)?(?: (?:very much|so much|a lot"
    r"|schoen|dir|ihnen|euch|im voraus|in advance|again))*|cheers|kind regards|(?:viele|beste|freundliche) gruesse|mfg"
    r"|i (?:was|am|m) (?:just )?(?:wondering|curious)(?: about| if| whether)?|i wonder(?: if| whether)?"
    r"|(?:i|we) (?:would|d|should) (?:like|love|need) to (?:know|see|find out|understand|get)"
    r"|i (?:want|need) to (?:know|see)"
    r"|(?:my|our|the) (?:boss|manager|team|ceo|cfo|cto|management) (?:wants?|would like|needs?|asks?|asked)"
    r"(?: me)?(?: to (?:know|see))?(?: for| about)?"
    r"|(?:kannst|koenntest|koennen|koennten|wuerdest|wuerden) (?:du|sie|ihr)(?: (?:mir|uns|bitte|mal))*"
    r"(?= .*(?:sagen|zeigen|verraten|nennen|auflisten|geben))"
    r"|(?:can|could|would|will) you (?:please )?(?:tell|show|give|list|let|find|help)(?: me| us)?(?: know| out)*"
    r"|(?:do you|do we|can we) know|any idea|weisst du|wissen (?:sie|wir)|(?:mich|uns) (?:wuerde )?interessier(?:t|en)"
    r"|ich (?:wuerde|moechte|will|wollte|haette) (?:gerne? )?(?:mal )?(?:wissen|sehen|erfahren)"
    r"|mein(?:e)? (?:chef|chefin|team) (?:will|moechte)(?= .*wissen)|(?:quick|short) question|kurze frage"
    r"|sag mir)(?![\w])"
)
STOP = frozenset(word for line in lines_of("stop_words.txt") for word in line.split())
TOP = re.compile(
    r"(?<![\w.])(?:(?P<first>top|bottom|first|ersten) (?P<a>\d{1,4})(?! ?(?:gb|mb|kb|%|days|tage))|"
    r"(?P<b>\d{1,4}) (?P<word>(?:most|highest|biggest|largest|greatest|heaviest|top|worst|meisten|hoechsten"
    r"|groessten|staerksten|lowest|smallest|least|fewest|kleinsten|geringsten|niedrigsten)))(?![\w])"
)
LOWEST = {
    "quietest",
    "slowest",
    "weakest",
    "schwaechste",
    "schwaechster",
    "schwaechsten",
    "bottom",
    "lowest",
    "smallest",
    "least",
    "fewest",
    "kleinsten",
    "geringsten",
    "niedrigsten",
}
OUTSIDE = (
    r"(?:outside(?: of)?|not (?:in|from)|except(?: in| for| those in)?|excluding|ausserhalb(?: von)?"
    r"|nicht (?:in|aus)|ausser(?: in| aus)?|ausgenommen|other than|anywhere but|everywhere but)"
)
NOT = (
    r"(?:without|not|no|except(?: for| those)?|excluding|exclude|other than|ohne|nicht|keine?[nms]?|ausser|ausgenommen)"
)
# SIMs of which something is not known: without a label
NONE_OF = re.compile(
    r"(?<![\w])(?:(?:without|with no|with an? (?:missing|empty|unknown)|has no|have no|having no|no|missing|unknown"
    r"|ohne|fehlende[mnsr]?|unbekannte[mnsr]?|keine?[nms]?) (?:an? |any |the |ein(?:e[mnr]?)? )?"
    r"(?:(?P<label>labels?|names?|bezeichnung|namen)|(?P<country>country|land)"
    r"|(?P<operator>operator|network|betreiber|netz|netzbetreiber)|(?P<device_type>imei|device type|geraetetyp))"
    r"|(?P<unlabelled>unlabell?ed|unnamed))(?= *(?:[|]|$|sims?|cards?|karten|in|with|and|have|has|mit|und|by|per|nach"
    r"|pro|last|this|haben|hat|there|gibt))"
)
COUNTRY_BEFORE = (
    rf"(?:(?P<not>{OUTSIDE}) |(?:in|from|of|aus|located in|inside|within|for|fuer|at"
    rf"|roaming in) )?(?:the |den |der |dem |die )?"
)


@cache
def known_words() -> frozenset[str]:
    """Single words that rules know, for finding what a mistyped word was meant to be."""
    found = {word for _, _, phrase in FEATURES for word in re.findall(r"(?<![\w\\])[a-z]{5,}(?![\w?*(\[])", phrase)}
    found |= ENGLISH | GERMAN | set(MONTHS) | set(WEEKDAYS) | set(NAMES) | {word for word in STOP if len(word) > 4}
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
    if len(word) < 4 or not word.isalpha() or word in ACTIONS | ENGLISH | GERMAN:
        return None
    near = get_close_matches(word, known_words(), 1, 0.84)
    # one letter more or less, or two exchanged; the first one is right nearly always
    if not near or near[0][0] != word[0] or abs(len(near[0]) - len(word)) > 1:
        return None
    # a word that would then say nothing, or a short one, must be nearer: weather is not whether
    return near[0] if _has_one_slip(word, near[0]) or (near[0] not in STOP and len(word) > 4) else None


def _has_one_slip(word: str, meant: str) -> bool:
    """Whether one letter is too few or too many, or two that stand side by side are exchanged."""
    short, long = sorted((word, meant), key=len)
    if len(short) < len(long):
        return any(long[:place] + long[place + 1 :] == short for place in range(len(long)))
    unlike = [place for place, letter in enumerate(word) if letter != meant[place]]
    return len(unlike) == 2 and unlike[1] == unlike[0] + 1 and sorted(word) == sorted(meant)
