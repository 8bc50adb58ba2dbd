"""Stretches of days in words, English and German, relative to a day."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta

from services.questions.spans import (
    FIRST_DAY,
    MONTH,
    ORDINALS,
    WEEKDAYS,
    Ahead,
    Before,
    Span,
    before,
    before_end,
    calendar_span,
    days_ago,
    days_back,
    days_in,
    days_of_month,
    half_year,
    month_of,
    month_year,
    noted,
    parse_date,
    part_of_month,
    quarter_of,
    since,
    third_of,
    unit_of,
    until,
    week_of,
    weekday,
    weekend,
)

DAY = "(?:" + "|".join(sorted(WEEKDAYS, key=len, reverse=True)) + ")"
UNIT = r"(days?|tage?n?|weeks?|wochen?|months?|monate?n?|monats|years?|jahre?n?)"
LAST = r"(?:last|previous|prior|letzt(?:e[nmrs]?)?|vergangen(?:e[nmrs]?)?|vorig(?:e[nmrs]?)?|vorherig(?:e[nmrs]?)?)"
PAST = r"(?:past|trailing)"
THIS = r"(?:this|current|the current|the present|dies(?:e[nmrs]?)?|aktuell(?:e[nmrs]?)?|laufend(?:e[nmrs]?)?)"
NEXT = r"(?:next|coming|upcoming|following|naechst(?:e[nmrs]?)?|kommend(?:e[nmrs]?)?)"
DATE = (
    rf"(?:\d{{4}}-\d{{1,2}}-\d{{1,2}}|\d{{1,2}}/\d{{1,2}}/\d{{4}}|\d{{1,2}}\.\d{{1,2}}\.\d{{4}}|\d{{1,2}}(?:st|nd|rd|th"
    rf"|\.)?(?: of)? {MONTH}(?: \d{{4}})?"
    rf"|{MONTH} \d{{1,2}}(?:st|nd|rd|th)?(?:,? \d{{4}})?(?! ?(?:gb|mb|kb|%)))"
)
# a day and month in figures, as Germans write them; only where a word before says that it is a day
SHORT = rf"(?:{DATE}|(?:0?[1-9]|[12]\d|3[01])\.(?:0?[1-9]|1[0-2])\.?(?![\w]))"
NTH = r"(\d{1,2})(?:st|nd|rd|th|\.)?"
TO = r"(?:to|until|till|and|through|bis zum|bis|und|-)(?: the| dem)?"
IN = (
    r"(?:(?:in|im|during|over|for|within|from|of|on|waehrend|innerhalb|ueber|am|vom|von|fuer"
    r"|aus)\s+)?(?:(?:the|den|dem|der|des|die|das)\s+)?"
)


Found = Span | Ahead | Before
Rule = tuple[re.Pattern[str], Callable[[re.Match[str], date], Found]]


def _rule(pattern: str, made: Callable[[re.Match[str], date], Found]) -> Rule:
    return re.compile(rf"(?<![\w.]){pattern}(?![\w])"), made


RULES: list[Rule] = [
    # from one day to another
    _rule(
        rf"(?:from|between|vom|von|zwischen)(?: the| dem)? ({SHORT}) {TO} ({SHORT})",
        lambda m, t: Span(parse_date(m[1], t), parse_date(m[2], t)),
    ),
    _rule(
        rf"({DATE}) (?:to|until|till|through|bis zum|bis|-) ({DATE})",
        lambda m, t: Span(parse_date(m[1], t), parse_date(m[2], t)),
    ),
    _rule(
        rf"(?:(?:from|between|vom|von|zwischen)(?: the| dem)? )?{NTH} ?{TO} ?{NTH}(?: of)? ({MONTH})(?: (\d{{4}}))?",
        lambda m, t: days_of_month(m[1], m[2], m[3], m[4], t),
    ),
    _rule(
        rf"(?:from|between|von|zwischen) ({MONTH})(?: (\d{{4}}))? (?:to|until|till|and|through|bis"
        rf"|und) ({MONTH})(?: (\d{{4}}))?",
        lambda m, t: Span(month_year(m[1], m[2] or m[4], t).first, month_year(m[3], m[4], t).last),
    ),
    # since
    _rule(
        rf"(?:since|seit|starting|starting from|from(?= [\w. ]* on(?:wards?)?\b)|ab)(?: the| dem| der"
        rf"| beginning of| start of| anfang| beginn| last| letzte[mn])* ({SHORT}|{MONTH} \d{{4}}|{MONTH}|{DAY})"
        r"(?: on(?:wards?)?)?",
        lambda m, t: since(m[1], t),
    ),
    _rule(r"(?:since|seit) (?:yesterday|gestern)", lambda _, t: Span(t - timedelta(1), t)),
    _rule(
        r"(?:since|seit) (?:the )?(?:beginning|start|beginn|anfang) (?:of )?(?:this |the |des |dieses )?(week"
        r"|month|year|quarter|monats|jahres|quartals)",
        lambda m, t: Span(calendar_span("quartal" if m[1].startswith("quartal") else unit_of(m[1]), t, 0).first, t),
    ),
    _rule(
        r"(?:since|seit) (?:(?:the )?last|letzte[rmns]?) (week|month|year|woche|monat|jahr)",
        lambda m, t: Span(calendar_span(unit_of(m[1]), t, 1).first, t),
    ),
    _rule(
        r"(?:of all time|all time|so far ever|since (?:the )?(?:beginning|start)|seit beginn|seit anfang|von anfang an)"
        r"(?! (?:of|des|der|dieses))",
        lambda _, t: Span(FIRST_DAY, t),
    ),
    # a part of a month or year
    _rule(
        rf"{IN}(?P<which>first|second|third|last|erste[nrsm]?|zweite[nrsm]?|dritte[nrsm]?|letzte[nrsm]?) "
        rf"(?:(?P<n>\d+) )?(?P<unit>week|woche|half|haelfte|days|tage) (?:of |in |im |des |vom )?(?:the )?"
        rf"(?P<month>{MONTH})s?(?: (?P<year>20\d{{2}}))?",
        part_of_month,
    ),
    _rule(
        rf"{IN}(?:h([12])|([12])\.? halbjahr"
        r"|(1st|first|erste[nsm]?|2nd|second|zweite[nsm]?) (?:half(?: of the)? year|half year|halbjahr))"
        r"(?: (?:of |in )?(20\d{2}))?",
        lambda m, t: half_year(int(m[1] or m[2] or ORDINALS[m[3][:3]]), m[4], t),
    ),
    _rule(
        rf"(?:before|prior to|vor)(?: the| dem)? ({SHORT})",
        lambda m, t: before(m[1], t, included=False),
    ),
    _rule(
        rf"(?:before|by|until|till|up to|bis|vor)(?: the)? (?:end of|ende)(?: of)? ({MONTH})(?: (\d{{4}}))?",
        lambda m, t: before_end(m[1], m[2], t),
    ),
    _rule(
        rf"{IN}(early|the beginning of|beginning of|start of|anfang|mid|the middle of|middle of|mitte|late"
        rf"|the end of|end of"
        rf"|ende) ({MONTH})(?: (\d{{4}}))?",
        lambda m, t: third_of(m[1], month_year(m[2], m[3], t)),
    ),
    _rule(
        rf"(?:by|until|till|up to|bis zum|bis)(?: the| dem)? ({SHORT})",
        lambda m, t: before(m[1], t, included=True),
    ),
    _rule(
        r"(?:by|until|till|before|bis|vor|zu) (?:christmas|weihnachten)",
        lambda _, t: before("december 25", t, included=False),
    ),
    _rule(
        r"(?:by|until|till|before|bis|vor|zum) (?:the )?(?:(year|month|quarter)s? end|"
        r"(jahr|monat|quartal)(?:e?s)?ende)",
        lambda m, t: until(calendar_span(m[1] or m[2], t, 0), t),
    ),
    # ahead
    _rule(
        rf"(?:in |within |over |during |for |innerhalb |fuer |binnen )?(?:the |den |der |die |das "
        rf"|von )?{NEXT} (?:(\d{{1,4}}) )?{UNIT}",
        lambda m, _: Ahead(days_in(m[1], m[2])),
    ),
    _rule(
        r"(?:by|until|before|bis|vor)(?: the| zum)? (?:end of|ende)(?: the| this| des| dieses| of)* (week|month"
        r"|year|monats|woche|monat|jahres|jahr)s?",
        lambda m, t: until(calendar_span(unit_of(m[1]), t, 0), t),
    ),
    _rule(
        r"(\d{1,3}) (days?|tage?|weeks?|wochen?|months?|monate?)(?= (?:forecast|outlook|prognose|vorhersage"
        r"|projection))",
        lambda m, _: Ahead(days_in(m[1], m[2])),
    ),
    _rule(r"(?:tomorrow|morgen)", lambda _, __: Ahead(1)),
    _rule(
        rf"(?:within|inside|innerhalb(?: von)?|binnen|in less than|in weniger als) (?:the |einer |eines |einem "
        rf"|a |an |one |den )?(?:(\d{{1,4}}) )?{UNIT}",
        lambda m, _: Ahead(days_in(m[1], m[2])),
    ),
    # days
    _rule(r"(?:the )?(?:day before yesterday|vorgestern)", lambda _, t: days_ago(2, t)),
    _rule(r"(?:yesterday|gestern|gestrigen?|yesterday s)(?: tags?)?", lambda _, t: days_ago(1, t)),
    _rule(r"(?:today|heute|heutigen?)(?: tags?)?", lambda _, t: Span(t, t, "not over")),
    _rule(rf"(?:a|one|(\d{{1,4}})) {UNIT} ago", lambda m, t: days_ago(days_in(m[1], m[2]), t)),
    _rule(rf"vor (?:einem|einer|(\d{{1,4}})) {UNIT}", lambda m, t: days_ago(days_in(m[1], m[2]), t)),
    # so many days back
    _rule(rf"{IN}(?:{LAST}|{PAST}) (\d{{1,4}}) {UNIT}", lambda m, t: days_back(days_in(m[1], m[2]), t)),
    _rule(rf"(?:for|seit) (\d{{1,4}}) {UNIT}", lambda m, t: days_back(days_in(m[1], m[2]), t)),
    _rule(rf"(?:for|seit) (?:a|an|one|einer|einem) {UNIT}", lambda m, t: days_back(days_in(None, m[1]), t)),
    _rule(rf"{IN}{PAST} {UNIT}", lambda m, t: days_back(days_in(None, m[1]), t)),
    # calendar stretches
    _rule(
        rf"{IN}{THIS} (day|week|month|year|quarter|tag|woche|monat|jahr|quartal)s?(?: so far| bisher)?",
        lambda m, t: calendar_span(m[1], t, 0),
    ),
    _rule(
        rf"{IN}{LAST} (week|month|year|quarter|woche|monats?|jahr(?:es)?|quartal)(?: s)?",
        lambda m, t: noted(
            calendar_span("quartal" if m[1] == "quartal" else "quarter" if m[1] == "quarter" else unit_of(m[1]), t, 1)
        ),
    ),
    _rule(
        r"(?:the )?(week|month|year|quarter) before last|(?:im |in der )?vorletzte[nrsm]? (woche|monat|jahr|quartal)",
        lambda m, t: noted(calendar_span(m[1] or m[2], t, 2)),
    ),
    _rule(
        rf"{IN}(?:(?:{LAST}|{PAST}) (24|48|72|96) (?:hours|h|stunden)|(?:{PAST}|{LAST}) (day|tage?s?))",
        lambda m, t: days_back(int(m[1]) // 24 if m[1] else 1, t),
    ),
    _rule(rf"{IN}(?:{LAST}|{PAST}) fortnight", lambda _, t: days_back(14, t)),
    _rule(rf"(?:on |at |over |am )?(?:the )?(?:{LAST} )?(?:weekend|wochenende)", lambda _, t: weekend(t)),
    _rule(r"(?:heuer|heuriges jahr)", lambda _, t: calendar_span("year", t, 0)),
    _rule(r"(?:vormonat|vormonats)", lambda _, t: noted(calendar_span("month", t, 1))),
    _rule(r"(?:vorwoche)", lambda _, t: noted(calendar_span("week", t, 1))),
    _rule(r"(?:vorjahr)", lambda _, t: noted(calendar_span("year", t, 1))),
    _rule(r"(?:im )?(?:vormonat)", lambda _, t: noted(calendar_span("month", t, 1))),
    _rule(r"(?:month to date|mtd|seit monatsanfang)", lambda _, t: Span(t.replace(day=1), t)),
    _rule(r"(?:year to date|ytd|seit jahresanfang|seit jahresbeginn)", lambda _, t: Span(t.replace(month=1, day=1), t)),
    _rule(
        rf"{IN}(?:q|quarter |quartal )([1-4])(?: (?:of |in )?(\d{{4}}))?",
        lambda m, t: noted(quarter_of(int(m[1]), m[2], t)),
    ),
    _rule(rf"{IN}([1-4])\.? quartals?(?: (\d{{4}}))?", lambda m, t: noted(quarter_of(int(m[1]), m[2], t))),
    _rule(
        rf"{IN}(1st|first|erste[nsm]?|2nd|second|zweite[nsm]?|3rd|third|dritte[nsm]?|4th|fourth|vierte[nsm]?) "
        r"(?:quarter|quartals?)(?: (?:of |in )?(\d{4}))?",
        lambda m, t: noted(quarter_of(ORDINALS[m[1][:3]], m[2], t)),
    ),
    _rule(
        r"(?:in |of |for |der |die )?(?:calendar week|kalenderwoche|week|woche|kw|cw) ?(\d{1,2})"
        r"(?:[ /](?:of |in )?(20\d{2}))?",
        lambda m, t: week_of(int(m[1]), m[2], t),
    ),
    _rule(rf"{IN}{LAST} ({DAY})s?", lambda m, t: weekday(m[1], t)),
    _rule(rf"{IN}({DAY})", lambda m, t: weekday(m[1], t)),
    _rule(rf"{IN}({DATE})", lambda m, t: Span(parse_date(m[1], t), parse_date(m[1], t))),
    _rule(rf"(?:on|am|vom) ({SHORT})", lambda m, t: Span(parse_date(m[1], t), parse_date(m[1], t))),
    _rule(rf"{IN}(?:month of |monat )?({MONTH})(?:,? (?:of )?(\d{{4}}))?", lambda m, t: month_year(m[1], m[2], t)),
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
    return Ahead(days_in(found[1] if found[1].isdigit() else None, found[2]), "in")
