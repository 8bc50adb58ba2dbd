"""Stretches of days in words, English and German, relative to a day."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january jan januar jaenner",
            "february feb februar",
            "march mar maerz mrz",
            "april apr",
            "may mai",
            "june jun juni",
            "july jul juli",
            "august aug",
            "september sep sept",
            "october oct oktober okt",
            "november nov",
            "december dec dezember dez",
        ),
        1,
    )
    for name in names.split()
}
WEEKDAYS = {
    name: number
    for number, names in enumerate(
        (
            "monday montag",
            "tuesday dienstag",
            "wednesday mittwoch",
            "thursday donnerstag",
            "friday freitag",
            "saturday samstag sonnabend",
            "sunday sonntag",
        )
    )
    for name in names.split()
}
UNIT_DAYS = {
    "day": 1,
    "tag": 1,
    "week": 7,
    "woche": 7,
    "month": 30,
    "monat": 30,
    "year": 365,
    "jahr": 365,
    "quarter": 91,
}
ORDINALS = {
    "1st": 1,
    "fir": 1,
    "ers": 1,
    "2nd": 2,
    "sec": 2,
    "zwe": 2,
    "3rd": 3,
    "thi": 3,
    "dri": 3,
    "4th": 4,
    "fou": 4,
    "vie": 4,
}
MONTH = "(?:" + "|".join(sorted(MONTHS, key=len, reverse=True)) + ")"
DAY = "(?:" + "|".join(sorted(WEEKDAYS, key=len, reverse=True)) + ")"
UNIT = r"(days?|tage?n?|weeks?|wochen?|months?|monate?n?|monats|years?|jahre?n?)"
LAST = r"(?:last|previous|prior|letzt(?:e[nmrs]?)?|vergangen(?:e[nmrs]?)?|vorig(?:e[nmrs]?)?|vorherig(?:e[nmrs]?)?)"
PAST = r"(?:past|trailing)"
THIS = r"(?:this|current|the current|the present|dies(?:e[nmrs]?)?|aktuell(?:e[nmrs]?)?|laufend(?:e[nmrs]?)?)"
NEXT = r"(?:next|coming|upcoming|following|naechst(?:e[nmrs]?)?|kommend(?:e[nmrs]?)?)"
DATE = (
    rf"(?:\d{{4}}-\d{{1,2}}-\d{{1,2}}|\d{{1,2}}\.\d{{1,2}}\.\d{{4}}|\d{{1,2}}(?:st|nd|rd|th"
    rf"|\.)?(?: of)? {MONTH}(?: \d{{4}})?"
    rf"|{MONTH} \d{{1,2}}(?:st|nd|rd|th)?(?:,? \d{{4}})?(?! ?(?:gb|mb|kb|%)))"
)
IN = (
    r"(?:(?:in|im|during|over|for|within|from|of|on|waehrend|innerhalb|ueber|seit|am|vom|von|fuer"
    r"|aus)\s+)?(?:(?:the|den|dem|der|des|die|das)\s+)?"
)


@dataclass(frozen=True)
class Span:
    """A stretch of days; `note` says in words what was assumed, if anything."""

    first: date
    last: date
    note: str = ""


@dataclass(frozen=True)
class Ahead:
    """So many days ahead."""

    days: int
    note: str = ""


Found = Span | Ahead
Rule = tuple[re.Pattern[str], Callable[[re.Match[str], date], Found]]


def month_of(year: int, month: int) -> Span:
    return Span(date(year, month, 1), date(year, month, monthrange(year, month)[1]))


def _unit(word: str) -> str:
    return next(unit for unit in UNIT_DAYS if word.startswith(unit))


def _days(number: str | None, word: str) -> int:
    return (int(number) if number else 1) * UNIT_DAYS[_unit(word)]


def _calendar(unit: str, today: date, back: int) -> Span:
    """The calendar week, month, quarter or year that lies `back` before that of today."""
    if unit in ("day", "tag"):
        return Span(today - timedelta(back), today - timedelta(back))
    if unit in ("week", "woche"):
        monday = today - timedelta(today.weekday() + 7 * back)
        return Span(monday, monday + timedelta(6))
    if unit in ("month", "monat"):
        months = today.year * 12 + today.month - 1 - back
        return month_of(months // 12, months % 12 + 1)
    if unit in ("quarter", "quartal"):
        quarter = today.year * 4 + (today.month - 1) // 3 - back
        return _quarter(quarter // 4, quarter % 4 + 1)
    return Span(date(today.year - back, 1, 1), date(today.year - back, 12, 31))


def _quarter(year: int, quarter: int) -> Span:
    last = month_of(year, quarter * 3)
    return Span(date(year, quarter * 3 - 2, 1), last.last)


def parse_date(text: str, today: date) -> date:
    """Read a day as DATE writes it; without a year, the latest such day up to today. Raises ValueError for no day."""
    if found := re.fullmatch(r"(\d{4})-(\d{1,2})-(\d{1,2})", text):
        return date(int(found[1]), int(found[2]), int(found[3]))
    if found := re.fullmatch(r"(\d{1,2})\.(\d{1,2})\.(\d{4})", text):
        return date(int(found[3]), int(found[2]), int(found[1]))
    month = MONTHS[re.search(MONTH, text)[0]]  # type: ignore[index]
    numbers = [int(number) for number in re.findall(r"\d+", text)]
    day, year = numbers[0], numbers[1] if len(numbers) > 1 else None
    if year is not None:
        return date(year, month, day)
    found_day = date(today.year, month, day)
    return found_day if found_day <= today else date(today.year - 1, month, day)


def _month_year(name: str, year: str | None, today: date) -> Span:
    month = MONTHS[name]
    if year:
        return month_of(int(year), month)
    span = month_of(today.year if month <= today.month else today.year - 1, month)
    return Span(span.first, span.last, f"{span.first:%Y-%m}")


def _since(text: str, today: date) -> Span:
    if text in MONTHS or re.fullmatch(rf"{MONTH} \d{{4}}", text):
        name, _, year = text.partition(" ")
        return Span(_month_year(name, year, today).first, today)
    return Span(parse_date(text, today), today)


def _weekday(name: str, today: date) -> Span:
    day = today - timedelta((today.weekday() - WEEKDAYS[name]) % 7 or 7)
    return Span(day, day, f"{day}")


def _ago(days: int, today: date) -> Span:
    return Span(today - timedelta(days), today - timedelta(days))


def _back(days: int, today: date) -> Span:
    """So many complete days."""
    first, last = today - timedelta(days), today - timedelta(1)
    return Span(first, last, f"{first} - {last}")


def _rule(pattern: str, made: Callable[[re.Match[str], date], Found]) -> Rule:
    return re.compile(rf"(?<![\w.]){pattern}(?![\w])"), made


def _until(found: Span, today: date) -> Ahead:
    return Ahead((found.last - today).days + 1, f"{found.last}")


RULES: list[Rule] = [
    # from one day to another
    _rule(
        rf"(?:from|between|vom|von|zwischen)(?: the| dem)? ({DATE})(?: (?:to|until|till|and|through|bis|bis zum"
        rf"|und)(?: the| dem)?) ({DATE})",
        lambda m, t: Span(parse_date(m[1], t), parse_date(m[2], t)),
    ),
    _rule(
        rf"({DATE}) (?:to|until|till|through|bis|bis zum) ({DATE})",
        lambda m, t: Span(parse_date(m[1], t), parse_date(m[2], t)),
    ),
    _rule(
        rf"(?:from|between|von|zwischen) ({MONTH})(?: (\d{{4}}))? (?:to|until|till|and|through|bis"
        rf"|und) ({MONTH})(?: (\d{{4}}))?",
        lambda m, t: Span(_month_year(m[1], m[2] or m[4], t).first, _month_year(m[3], m[4], t).last),
    ),
    # since
    _rule(
        rf"(?:since|seit|starting|starting from|from(?= [\w. ]* on(?:wards?)?\b)|ab)(?: the| dem| der"
        rf"| beginning of| start of| anfang| beginn)* ({DATE}|{MONTH} \d{{4}}|{MONTH})(?: on(?:wards?)?)?",
        lambda m, t: _since(m[1], t),
    ),
    _rule(r"(?:since|seit) (?:yesterday|gestern)", lambda _, t: Span(t - timedelta(1), t)),
    _rule(
        r"(?:since|seit) (?:the )?(?:beginning|start|beginn|anfang) (?:of )?(?:this |the |des |dieses )?(week"
        r"|month|year|quarter|monats|jahres|quartals)",
        lambda m, t: Span(_calendar("quartal" if m[1].startswith("quartal") else _unit(m[1]), t, 0).first, t),
    ),
    _rule(
        r"(?:since|seit) (?:(?:the )?last|letzte[rmns]?) (week|month|year|woche|monat|jahr)",
        lambda m, t: Span(_calendar(_unit(m[1]), t, 1).first, t),
    ),
    # ahead
    _rule(
        rf"(?:in |within |over |during |for |innerhalb |fuer |binnen )?(?:the |den |der |die |das "
        rf"|von )?{NEXT} (?:(\d{{1,4}}) )?{UNIT}",
        lambda m, _: Ahead(_days(m[1], m[2])),
    ),
    _rule(
        r"(?:by|until|before|bis|vor)(?: the| zum)? (?:end of|ende)(?: the| this| des| dieses| of)* (week|month"
        r"|year|monats|woche|monat|jahres|jahr)s?",
        lambda m, t: _until(_calendar(_unit(m[1]), t, 0), t),
    ),
    _rule(
        r"(\d{1,3}) (days?|tage?|weeks?|wochen?|months?|monate?)(?= (?:forecast|outlook|prognose|vorhersage"
        r"|projection))",
        lambda m, _: Ahead(_days(m[1], m[2])),
    ),
    _rule(r"(?:tomorrow|morgen)", lambda _, __: Ahead(1)),
    _rule(
        rf"(?:within|inside|innerhalb(?: von)?|binnen|in less than|in weniger als) (?:the |einer |eines |einem "
        rf"|a |an |one |den )?(?:(\d{{1,4}}) )?{UNIT}",
        lambda m, _: Ahead(_days(m[1], m[2])),
    ),
    # days
    _rule(r"(?:the )?(?:day before yesterday|vorgestern)", lambda _, t: _ago(2, t)),
    _rule(r"(?:yesterday|gestern|gestrigen?|yesterday s)(?: tags?)?", lambda _, t: _ago(1, t)),
    _rule(r"(?:today|heute|heutigen?)(?: tags?)?", lambda _, t: Span(t, t, "not over")),
    _rule(rf"(?:a|one|(\d{{1,4}})) {UNIT} ago", lambda m, t: _ago(_days(m[1], m[2]), t)),
    _rule(rf"vor (?:einem|einer|(\d{{1,4}})) {UNIT}", lambda m, t: _ago(_days(m[1], m[2]), t)),
    # so many days back
    _rule(rf"{IN}(?:{LAST}|{PAST}) (\d{{1,4}}) {UNIT}", lambda m, t: _back(_days(m[1], m[2]), t)),
    _rule(rf"(?:for|seit) (\d{{1,4}}) {UNIT}", lambda m, t: _back(_days(m[1], m[2]), t)),
    _rule(rf"(?:for|seit) (?:a|an|one|einer|einem) {UNIT}", lambda m, t: _back(_days(None, m[1]), t)),
    _rule(rf"{IN}{PAST} {UNIT}", lambda m, t: _back(_days(None, m[1]), t)),
    # calendar stretches
    _rule(
        rf"{IN}{THIS} (day|week|month|year|quarter|tag|woche|monat|jahr|quartal)s?(?: so far| bisher)?",
        lambda m, t: _calendar(m[1], t, 0),
    ),
    _rule(
        rf"{IN}{LAST} (week|month|year|quarter|woche|monats?|jahr(?:es)?|quartal)(?: s)?",
        lambda m, t: _noted(
            _calendar("quartal" if m[1] == "quartal" else "quarter" if m[1] == "quarter" else _unit(m[1]), t, 1)
        ),
    ),
    _rule(r"(?:vormonat|vormonats)", lambda _, t: _noted(_calendar("month", t, 1))),
    _rule(r"(?:vorwoche)", lambda _, t: _noted(_calendar("week", t, 1))),
    _rule(r"(?:vorjahr)", lambda _, t: _noted(_calendar("year", t, 1))),
    _rule(r"(?:im )?(?:vormonat)", lambda _, t: _noted(_calendar("month", t, 1))),
    _rule(r"(?:month to date|mtd|seit monatsanfang)", lambda _, t: Span(t.replace(day=1), t)),
    _rule(r"(?:year to date|ytd|seit jahresanfang|seit jahresbeginn)", lambda _, t: Span(t.replace(month=1, day=1), t)),
    _rule(rf"{IN}q([1-4])(?: (?:of |in )?(\d{{4}}))?", lambda m, t: _noted(_quarter_of(int(m[1]), m[2], t))),
    _rule(
        rf"{IN}(1st|first|erste[nsm]?|2nd|second|zweite[nsm]?|3rd|third|dritte[nsm]?|4th|fourth|vierte[nsm]?) "
        r"(?:quarter|quartals?)(?: (?:of |in )?(\d{4}))?",
        lambda m, t: _noted(_quarter_of(ORDINALS[m[1][:3]], m[2], t)),
    ),
    _rule(rf"{IN}{LAST} ({DAY})s?", lambda m, t: _weekday(m[1], t)),
    _rule(rf"{IN}({DAY})", lambda m, t: _weekday(m[1], t)),
    _rule(rf"{IN}({DATE})", lambda m, t: Span(parse_date(m[1], t), parse_date(m[1], t))),
    _rule(rf"{IN}(?:month of |monat )?({MONTH})(?:,? (?:of )?(\d{{4}}))?", lambda m, t: _month_year(m[1], m[2], t)),
    _rule(r"(\d{4})-(\d{2})", lambda m, _: month_of(int(m[1]), int(m[2]))),
    _rule(
        r"(?:in|im|during|for|of|from)(?: the year| jahr| jahre)? (20\d{2})",
        lambda m, _: Span(date(int(m[1]), 1, 1), date(int(m[1]), 12, 31)),
    ),
    _rule(r"(20\d{2})", lambda m, _: Span(date(int(m[1]), 1, 1), date(int(m[1]), 12, 31))),
]
IN_DAYS = re.compile(rf"(?<![\w.])in (?:(\d{{1,4}}|a|an|one|einer|einem) ){UNIT}(?![\w])")


def in_days(found: re.Match[str]) -> Ahead:
    """`in 7 days`: ahead, where what is asked lies ahead."""
    return Ahead(_days(found[1] if found[1].isdigit() else None, found[2]), "in")


def _noted(span: Span) -> Span:
    return Span(span.first, span.last, f"{span.first} - {span.last}")


def _quarter_of(number: int, year: str | None, today: date) -> Span:
    if year:
        return _quarter(int(year), number)
    span = _quarter(today.year, number)
    return span if span.first <= today else _quarter(today.year - 1, number)
