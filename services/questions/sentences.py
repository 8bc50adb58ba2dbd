"""Answers in a sentence, and questions in the one fixed form they were understood in; English and German."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from services.questions.compiled import Compiled
from services.questions.compiler import UNIT_OF
from services.questions.countries import shown
from services.questions.metrics import TIMES
from services.questions.question import Comparison, Filter, Question
from services.questions.spans import FIRST_DAY
from services.questions.wording import (
    ARTICLES,
    DONE,
    FIELDS,
    LIMITED,
    LIMITS,
    MADE,
    NAMES,
    ROWS,
    SEVERAL,
    SIMS,
    VALUES,
)


def amount(value: Any, unit: str | None, german: bool) -> str:
    """A number as people write it: 1,234.5 MB, 1.234,5 MB."""
    if value is None:
        return "keine Daten" if german else "no data"
    if not isinstance(value, int | float):
        return str(value)
    text = f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}"
    if german:
        text = text.translate(str.maketrans(",.", ".,"))
    unit = "SMS" if unit == "messages" else unit
    return f"{text} {unit}" if unit and unit != "currency" else text


def named(value: Any, german: bool) -> str:
    """A value of a column as people write it."""
    if value is None:
        return "unbekannt" if german else "unknown"
    text = str(value).replace("_", " ")
    return VALUES.get(text.lower(), text) if german else text


def _either(values: Sequence[str], german: bool) -> str:
    word = "oder" if german else "or"
    return values[0] if len(values) == 1 else f"{', '.join(values[:-1])} {word} {values[-1]}"


def _values(chosen: Filter, german: bool) -> str:
    if chosen.field == "country":
        names = shown(chosen.values, german=german)
        return _either([f"{ARTICLES.get(name, '')}{name}" for name in names], german)
    if chosen.field in ("label", "label_part", "operator", "iccid"):
        return _either(chosen.values, german)
    return _either([named(value.lower(), german) for value in chosen.values], german)


def told(question: Question, german: bool) -> str:
    """The question in one fixed form, from which a reader sees how it was taken."""
    parts = [f"{MADE[question.aggregation][german]}: {NAMES[question.metric][german]}"]
    unit = UNIT_OF.get(question.metric, "")
    if question.daily:
        parts.append("je SIM und Tag" if german else "a SIM and day")
    if question.peak:
        parts.append("an einem Tag" if german else "on a single day")
    parts += [f"{one.operator} {amount(one.value, unit, german)}" for one in question.comparisons]
    for chosen in question.filters:
        means = FIELDS[chosen.field][german]
        if chosen.values == ("",):
            parts.append(f"{'ohne' if german else 'without'} {means}")
            continue
        if chosen.field == "label":
            means = "Label beginnt mit" if german else "label begins with"
        no = ("nicht " if german else "not ") if chosen.negated else ""
        parts.append(f"{no}{means}: {_values(chosen, german)}")
    if question.period:
        first, last = question.period.first, question.period.last
        parts.append(
            _when(question, german).strip()
            if first in (last, FIRST_DAY)
            else f"{first} {'bis' if german else 'to'} {last}"
        )
    if question.against:
        than = "gegenüber" if german else "compared with"
        parts.append(f"{than} {question.against.first} {'bis' if german else 'to'} {question.against.last}")
    if question.horizon is not None:
        parts.append(_ahead(question, german).strip())
    if question.group:
        parts.append(f"{'nach' if german else 'by'} {_groups(question, german)}")
    if question.top:
        lowest = (
            ("lowest", "niedrigste") if question.metric not in ("exhaustion", "expiry") else ("soonest", "früheste")
        )
        parts.append(f"{(lowest if question.ascending else ('top', 'Top'))[german]} {question.top}")
    return "; ".join(parts)


def _groups(question: Question, german: bool) -> str:
    names = [FIELDS[name][german] for name in (question.group, question.also) if name]
    return (" und " if german else " and ").join(names)


def _ahead(question: Question, german: bool) -> str:
    days = question.horizon
    if days is None:
        return ""
    if days == 1:
        return " am nächsten Tag" if german else " on the next day"
    return f" in den nächsten {days} Tagen" if german else f" within the next {days} days"


def _when(question: Question, german: bool) -> str:
    if question.period is None:
        return ""
    first, last = question.period.first, question.period.last
    if first == FIRST_DAY:
        return f" bis {last}" if german else f" up to {last}"
    if first == last:
        return f" am {first}" if german else f" on {first}"
    return f" vom {first} bis {last}" if german else f" from {first} to {last}"


def _where(filters: Sequence[Filter], german: bool) -> str:
    """What was chosen by, after the noun."""
    found = ""
    for chosen in filters:
        values, field = _values(chosen, german), chosen.field
        if chosen.values == ("",):
            words = ("with a known", "mit bekanntem") if chosen.negated else ("with no", "ohne")
            found += f" {words[german]} {FIELDS[field][german]}"
            continue
        if field == "country":
            words = ("outside", "außerhalb von") if chosen.negated else ("in", "in")
            found += f" {words[german]} {values}"
            continue
        no = (" without", " ohne") if chosen.negated else (" with", " mit")
        means = {
            "label": ("a label that begins with", "Label-Anfang"),
            "label_part": ("a label that holds", "einem Label mit"),
        }
        found += f"{no[german]} {means.get(field, FIELDS[field])[german]} {values}"
    return found


def _limit(comparisons: Sequence[Comparison], unit: str | None, german: bool) -> str:
    """The limits in words."""
    signs = {one.operator: one.value for one in comparisons}
    if signs == {">": 0} and unit in ("MB", "messages"):
        return "SMS" if unit == "messages" else "Daten" if german else "data"
    if signs == {"=": 0}:
        return f"{'keine' if german else 'no'} {'SMS' if unit == 'messages' else unit}"
    if len(comparisons) == 2 and set(signs) == {">=", "<="}:
        low, high = amount(signs[">="], None, german), amount(signs["<="], unit, german)
        return f"zwischen {low} und {high}" if german else f"between {low} and {high}"
    return (" und " if german else " and ").join(
        f"{LIMITS[one.operator][german]} {amount(one.value, unit, german)}" for one in comparisons
    )


def _doing(question: Question, german: bool, several: bool) -> str | None:
    """What the SIMs of a list do; None where nothing but their choice is said of them."""
    metric = "daily" if question.daily else "peak" if question.peak else str(question.metric)
    if metric == "inactive" and question.period is None:
        metric = "never"
    if metric in ("exhaustion", "expiry") and any(chosen.field == "status" for chosen in question.filters):
        metric = "exhausted"
    if metric == "churn" and not question.comparisons and (levels := _levels(question, german)):
        metric, limit = "risk", levels
    else:
        limit = ""
    if metric not in DONE or (metric in LIMITED and not question.comparisons):
        return None
    unit = "EUR" if metric in ("savings", "recommended_cost") else UNIT_OF.get(question.metric)
    text = re.sub(r"\[(.*?)\|(.*?)\]", lambda found: found[1 + several], DONE[metric][german])
    limit = limit or _limit(question.comparisons, unit, german)
    return text.format(limit=limit, when=_when(question, german), ahead=_ahead(question, german)).strip()


def _levels(question: Question, german: bool) -> str:
    """The churn risks that were chosen by, as adjectives."""
    adjectives = {"high": "hohes", "medium": "mittleres", "low": "niedriges"}
    chosen = [value for one in question.filters if one.field == "risk_level" for value in one.values]
    return _either([adjectives.get(value, value) if german else value for value in chosen], german) if chosen else ""


def none_of(question: Question, german: bool) -> str:
    """That no SIM is chosen: `There are no SIMs in Germany.`"""
    return f"{'Es gibt keine' if german else 'There are no'} SIMs{_where(question.filters, german)}."


def _counted(question: Question, count: int, more: bool, german: bool, sims: bool, of: str = "") -> str:
    """The rows and what is said of them: `3 SIMs in Germany used more than 1,000 MB on 2026-01-10`.

    of  written instead of their number: `3 of 24`
    """
    several = count != 1 or more
    noun = (SIMS if sims else ROWS.get(question.metric, SIMS))[german][several]
    none = ("No", "Keine")[german] if count == 0 and question.metric != "inactive" else ""  # no double negative
    number = of or none or amount(count, None, german)
    if more:
        number = f"{'Mehr als' if german else 'More than'} {number}"
    said = {"exhaustion": "status", "churn": "" if question.comparisons else "risk_level"}.get(question.metric)
    filters = [one for one in question.filters if one.field != said]
    doing = _doing(question, german, several)
    if doing:
        return f"{number} {noun}{_where(filters, german)} {doing}."
    name = NAMES[question.metric][german]
    by = ""
    if noun in ("SIM", "SIMs") and question.metric not in ("sims", "recommendations", *ROWS):
        if question.top:
            best = {"savings": "der", "sms": "der"}.get(question.metric, "dem")
            name = ("number of SMS", "Zahl an SMS")[german] if question.metric == "sms" else name
            name += (" on a single day", " an einem einzigen Tag")[german] if question.peak else ""
            inflected = re.sub(
                r"^(erwartete|verbleibender|verbrauchter|prognostizierter)(?= )",
                lambda found: found[0].removesuffix("r").removesuffix("e") + "en",
                name,
            )
            by = (
                f" mit {best} {'niedrigsten' if question.ascending else 'höchsten'} {inflected}"
                if german
                else f" with the {'lowest' if question.ascending else 'highest'} {name}"
            )
        elif question.aggregation == "list":
            by = f" nach {name}" if german else f" by {name}"
    return f"{number} {noun}{_where(filters, german)}{by}{_when(question, german)}{_ahead(question, german)}."


def _measured(question: Question, german: bool) -> str:
    """What a number is of: `Total usage in Germany from ... to ...`."""
    name, made = NAMES[question.metric][german], question.aggregation
    per = question.metric not in ROWS
    if german:
        each = (" je SIM und Tag" if question.daily else " je SIM") if per else ""
        said = {
            "count": f"Anzahl: {name}",
            "sum": f"{name[:1].upper()}{name[1:]}",
            "average": f"{name[:1].upper()}{name[1:]}{each} im Durchschnitt",
            "median": f"{name[:1].upper()}{name[1:]}{each} im Median",
            "maximum": f"{name[:1].upper()}{name[1:]}{each}, höchster Wert",
            "minimum": f"{name[:1].upper()}{name[1:]}{each}, niedrigster Wert",
        }[made]
    else:
        each = " of a SIM" if per else ""
        word = {"sum": "Total", "average": "Average", "median": "Median", "maximum": "Highest", "minimum": "Lowest"}
        daily = "daily " if question.daily else ""
        said = f"Number of {name}" if made == "count" else f"{word[made]} {daily}{name}{each if made != 'sum' else ''}"
    limit = f" ({_limit(question.comparisons, UNIT_OF.get(question.metric), german)})" if question.comparisons else ""
    return f"{said}{limit}{_where(question.filters, german)}"


def _value(row: dict[str, Any], unit: str | None, german: bool) -> str:
    text = amount(row["value"], unit, german)
    if row.get("currency"):
        text += f" {row['currency']}"
    if row.get("low") is not None:
        low, high = amount(row["low"], None, german), amount(row["high"], unit, german)
        probably = "mit 80 % Wahrscheinlichkeit zwischen" if german else "with 80 % probability between"
        text += f" ({probably} {low} {'und' if german else 'and'} {high})"
    return text


def sentence(question: Question, rows: list[dict[str, Any]], more: bool, compiled: Compiled, german: bool) -> str:
    """The answer in a sentence."""
    when = _when(question, german) + _ahead(question, german)
    if question.aggregation == "list":
        text = _counted(question, len(rows), more, german, sims=False)
        return text.removesuffix(".") + _example(question, rows, compiled, german) + "."
    if question.share and not question.group:
        return _part(question, rows[0], german, when)
    unit = None if question.aggregation == "count" else compiled.unit
    if question.group is None:
        if question.against:
            return _two_periods(question, rows, compiled, german)
        return _number(question, rows, compiled, german)
    return _of_groups(question, rows, more, unit, german)


def _number(question: Question, rows: list[dict[str, Any]], compiled: Compiled, german: bool) -> str:
    if question.aggregation == "count" and rows:
        return _counted(question, int(rows[0]["value"]), False, german, sims=compiled.unit == "SIMs")
    unit = None if question.aggregation == "count" else compiled.unit
    found = ", ".join(_value(row, unit, german) for row in rows) or "0"
    return f"{_measured(question, german)}{_when(question, german)}{_ahead(question, german)}: {found}."


def _of_groups(question: Question, rows: list[dict[str, Any]], more: bool, unit: str | None, german: bool) -> str:
    assert question.group is not None
    when = _when(question, german) + _ahead(question, german)
    by = f" {'nach' if german else 'by'} {_groups(question, german)}"
    if question.against:
        earlier = question.model_copy(update={"period": question.against})
        when += f"{', gegenüber dem' if german else ', compared with that'}{_when(earlier, german)}"
    measured = _measured(question, german)
    if question.share:
        what = f"{measured[:1].lower()}{measured[1:]}"
        each = (" within each group", " innerhalb jeder Gruppe")[german] if "whole" in (rows or [{}])[0] else ""
        unit, measured = "%", f"Anteile{each}: {measured}" if german else f"Shares{each} of {what}"
    if not rows:
        return f"{measured}{by}{when}: {'nichts' if german else 'none'}."
    first = _named_group(rows[0], question.group, german)
    if question.also:
        first += f", {_named_group(rows[0], question.also, german)}"
    first += f" {'mit' if german else 'with'} {_value(rows[0], unit, german)}"
    if question.against:
        first += f" ({'zuvor' if german else 'before'} {amount(rows[0]['before'], unit, german)})"
    known = [row for row in rows if row[question.group] is not None]
    if len(rows) > 1:
        several = SEVERAL.get("" if question.also else question.group, ("groups", "Gruppen"))[german]
        over = ("mehr als " if german else "more than ") if more else ""
        order = (
            ("ab" if german else "from")
            if question.group in TIMES and not question.top
            else ("an erster Stelle" if german else "first")
        )
        rest = "" if len(known) == len(rows) else " und unbekannt" if german else " and unknown"
        first = f"{over}{len(known)} {several}{rest}, {order} {first}"
    return f"{measured}{by}{when}: {first}."


def _named_group(row: dict[str, Any], group: str, german: bool) -> str:
    value = row[group]
    return shown([value], german=german)[0] if group == "country" and value else named(value, german)


def _two_periods(question: Question, rows: list[dict[str, Any]], compiled: Compiled, german: bool) -> str:
    """The numbers of two periods: `Total usage from ... to ...: 20 MB; from ... to ...: 10 MB (+100 %).`"""
    unit = None if question.aggregation == "count" else compiled.unit
    earlier = question.model_copy(update={"period": question.against})
    measured = f"{_measured(question, german)}{_when(question, german)}: "
    counted = question.aggregation == "count" and bool(rows)
    if counted:
        numbered = _counted(question, int(rows[0]["value"]), False, german, sims=compiled.unit == "SIMs")
        measured = numbered.removesuffix(".")
    said = []
    for row in rows or [{"value": 0, "before": 0, "change_percent": None}]:
        change = row["change_percent"]
        more = "" if change is None else f" ({'+' if change > 0 else ''}{amount(round(change, 2), '%', german)})"
        before = _value({**row, "value": row["before"]}, unit, german)
        now = "" if counted else _value(row, unit, german)
        said.append(f"{now};{_when(earlier, german)}: {before}{more}")
    return f"{measured}{', '.join(said)}."


def _part(question: Question, row: dict[str, Any], german: bool, when: str) -> str:
    """A share: `3 of 24 SIMs (12.5 %) had no usage on 2026-01-10`."""
    share = amount(row["value"], "%", german)
    if question.aggregation == "sum":
        part, whole = (amount(row[name], UNIT_OF.get(question.metric), german) for name in ("part", "whole"))
        of = f"{part}, {share} von {whole}" if german else f"{part}, {share} of {whole}"
        return f"{_measured(question, german)}{when}: {of}."
    part, whole = (amount(row[name], None, german) for name in ("part", "whole"))
    of = f"{part} {'von' if german else 'of'} {whole}"
    counted = _counted(question, 2, False, german, sims=question.metric not in ROWS, of=of)
    return f"{counted.removesuffix('.')}: {share}."


def _example(question: Question, rows: list[dict[str, Any]], compiled: Compiled, german: bool) -> str:
    """The row at the head of a list that has an order, or its only row: `: 8988... (pump-7) with 12 MB`."""
    if not rows or (len(rows) > 1 and not question.top) or not rows[0].get("iccid") or "value" not in rows[0]:
        return ""
    row, label = rows[0], rows[0].get("label")
    name = f"{row['iccid']} ({label})" if label else row["iccid"]
    if label and any(one.field == "iccid" and not one.negated for one in question.filters):
        name = label  # the ICCID is said already
    if question.metric == "sims":
        seen = "zuletzt genutzt am" if german else "last used on"
        return f": {name}, {named(row['state'], german)}, {seen} {amount(row['value'], None, german)}"
    if question.metric == "recommendations":
        return f": {name}, {named(row['action'], german)}" if len(rows) == 1 else ""
    value = _value(row, compiled.unit, german)
    joins = ("on", "am") if compiled.unit == "date" else ("with", "mit")
    first = ("first ", "an erster Stelle ")[german] if len(rows) > 1 else ""
    said = f" {joins[german]} {value}" if row["value"] is not None and compiled.unit else ""
    return f": {first}{name}{said}"
