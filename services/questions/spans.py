"""Days and stretches of days by the calendar, relative to a day."""

from __future__ import annotations

import re
from calendar import monthrange
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


class AmbiguousDayError(ValueError):
    """A day that the English and the Americans read differently."""


FIRST_DAY = date(2000, 1, 1)  # before anything that is known


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


@dataclass(frozen=True)
class Before:
    """Up to the day before one: of what was, or ahead, where what is asked lies ahead."""

    past: date
    coming: date

    def span(self) -> Span:
        return Span(FIRST_DAY, self.past - timedelta(1))

    def ahead(self, today: date) -> Ahead:
        return Ahead((self.coming - today).days, f"{self.coming}")


def month_of(year: int, month: int) -> Span:
    return Span(date(year, month, 1), date(year, month, monthrange(year, month)[1]))


def unit_of(word: str) -> str:
    return next(unit for unit in UNIT_DAYS if word.startswith(unit))


def days_in(number: str | None, word: str) -> int:
    return (int(number) if number else 1) * UNIT_DAYS[unit_of(word)]


def calendar_span(unit: str, today: date, back: int) -> Span:
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
        return quarter_span(quarter // 4, quarter % 4 + 1)
    return Span(date(today.year - back, 1, 1), date(today.year - back, 12, 31))


def following(span: Span) -> Span | None:
    """The next day, or the next calendar week, month, quarter or year; None after another stretch."""
    day = span.last + timedelta(1)
    for unit in ("day", "week", "month", "quarter", "year"):
        if (whole := calendar_span(unit, span.first, 0)).first == span.first and whole.last == span.last:
            return calendar_span(unit, day, 0)
    return None


def two_months(span: Span) -> list[Span] | None:
    """The two whole months that a stretch consists of."""
    first, last = (month_of(day.year, day.month) for day in (span.first, span.last))
    whole = first.first == span.first and last.last == span.last and first.last + timedelta(1) == last.first
    return [first, last] if whole else None


def quarter_span(year: int, quarter: int) -> Span:
    last = month_of(year, quarter * 3)
    return Span(date(year, quarter * 3 - 2, 1), last.last)


def parse_date(text: str, today: date) -> date:
    """Read a day as DATE writes it; without a year, the latest such day up to today. Raises ValueError for no day."""
    if found := re.fullmatch(r"(\d{4})-(\d{1,2})-(\d{1,2})", text):
        return date(int(found[1]), int(found[2]), int(found[3]))
    if found := re.fullmatch(r"(\d{1,2})\.(\d{1,2})\.(\d{4})", text):
        return date(int(found[3]), int(found[2]), int(found[1]))
    if found := re.fullmatch(r"(\d{1,2})/(\d{1,2})/(\d{4})", text):
        one, other, year = int(found[1]), int(found[2]), int(found[3])
        if max(one, other) <= 12 and one != other:
            raise AmbiguousDayError(text)
        return date(year, min(one, other), max(one, other))
    named = re.search(MONTH, text)
    numbers = [int(number) for number in re.findall(r"\d+", text)]
    month = MONTHS[named[0]] if named else numbers.pop(1)
    if len(numbers) > 1:
        return date(numbers[1], month, numbers[0])
    day = numbers[0]
    found_day = date(today.year, month, day)
    return found_day if found_day <= today else date(today.year - 1, month, day)


def month_year(name: str, year: str | None, today: date) -> Span:
    month = MONTHS[name]
    if year:
        return month_of(int(year), month)
    span = month_of(today.year if month <= today.month else today.year - 1, month)
    return Span(span.first, span.last, f"{span.first:%Y-%m}")


def week_of(number: int, year: str | None, today: date) -> Span:
    """The calendar week (ISO 8601); without a year, the latest that has begun. Raises ValueError for no week."""
    monday = date.fromisocalendar(int(year) if year else today.year, number, 1)
    if not year and monday > today:
        monday = date.fromisocalendar(today.year - 1, number, 1)
    return Span(monday, monday + timedelta(6), f"{monday}")


def days_of_month(first: str, last: str, month: str, year: str | None, today: date) -> Span:
    tail = f"{month} {year}" if year else month
    return Span(parse_date(f"{first} {tail}", today), parse_date(f"{last} {tail}", today))


def before(text: str, today: date, *, included: bool) -> Before:
    """Before a day, or up to it; a day without a year is the latest one, or the next where it lies ahead."""
    past = parse_date(text, today)
    coming = past if past >= today or re.search(r"\d{4}", text) else date(past.year + 1, past.month, past.day)
    more = timedelta(1 if included else 0)
    return Before(past + more, coming + more)


def part_of_month(found: re.Match[str], today: date) -> Span:
    """The first week, ten days or half of a month, or the last."""
    month = month_year(found["month"], found["year"], today)
    word, length = found["unit"], (month.last - month.first).days + 1
    days = 7 if word[0] == "w" else 15 if word[:4] in ("half", "hael") else int(found["n"] or 1)
    if word[:4] in ("half", "hael"):
        halves = Span(month.first, month.first + timedelta(14)), Span(month.first + timedelta(15), month.last)
        return halves[0] if found["which"][:3] in ("fir", "ers") else halves[1]
    start = {"fir": 0, "ers": 0, "sec": days, "zwe": days, "thi": 2 * days, "dri": 2 * days}
    begins = start.get(found["which"][:3], length - days)
    first = month.first + timedelta(begins)
    return noted(Span(first, min(first + timedelta(days - 1), month.last)))


def third_of(word: str, month: Span) -> Span:
    """Early, middle or late in a month: ten days, the last ones to its end."""
    place = next(
        place
        for place, words in enumerate(("early begin start anfang", "mid", "late end"))
        if any(one in word for one in words.split()) or (place == 1 and "mitte" in word)
    )
    first = month.first + timedelta(10 * place)
    return noted(Span(first, month.last if place == 2 else first + timedelta(9)))


def before_end(name: str, year: str | None, today: date) -> Before:
    last = month_year(name, year, today).last
    return before(f"{last}" if year else f"{last.day} {name}", today, included=True)


def half_year(number: int, year: str | None, today: date) -> Span:
    of = int(year) if year else today.year if number == 1 or today.month > 6 else today.year - 1
    return Span(date(of, 6 * number - 5, 1), date(of, 6 * number, 30 if number == 1 else 31))


def weekend(today: date) -> Span:
    saturday = today - timedelta(today.weekday() + 2)  # of the last one that is over
    return noted(Span(saturday, saturday + timedelta(1)))


def since(text: str, today: date) -> Span:
    if text in WEEKDAYS:
        return Span(weekday(text, today).first, today)
    if text in MONTHS or re.fullmatch(rf"{MONTH} \d{{4}}", text):
        name, _, year = text.partition(" ")
        return Span(month_year(name, year, today).first, today)
    return Span(parse_date(text, today), today)


def weekday(name: str, today: date) -> Span:
    day = today - timedelta((today.weekday() - WEEKDAYS[name]) % 7 or 7)
    return Span(day, day, f"{day}")


def days_ago(days: int, today: date) -> Span:
    return Span(today - timedelta(days), today - timedelta(days))


def days_back(days: int, today: date) -> Span:
    """So many complete days."""
    first, last = today - timedelta(days), today - timedelta(1)
    return Span(first, last, f"{first} - {last}")


def until(found: Span, today: date) -> Ahead:
    return Ahead((found.last - today).days + 1, f"{found.last}")


def noted(span: Span) -> Span:
    return Span(span.first, span.last, f"{span.first} - {span.last}")


def quarter_of(number: int, year: str | None, today: date) -> Span:
    if year:
        return quarter_span(int(year), number)
    span = quarter_span(today.year, number)
    return span if span.first <= today else quarter_span(today.year - 1, number)
