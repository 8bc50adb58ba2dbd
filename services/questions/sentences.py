"""Answers in a sentence, and questions in the one fixed form they were understood in; English and German."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from services.questions.compiler import UNIT_OF, Compiled
from services.questions.countries import shown
from services.questions.metrics import TIMES
from services.questions.question import Comparison, Filter, Question

# each pair: English, German
NAMES = {
    "usage": ("usage", "Verbrauch"),
    "sms": ("SMS", "SMS"),
    "remaining": ("remaining volume", "Restvolumen"),
    "remaining_share": ("share of the quota that is left", "verbleibender Anteil am Kontingent"),
    "used_share": ("share of the quota that is used", "verbrauchter Anteil am Kontingent"),
    "forecast": ("forecast usage", "prognostizierter Verbrauch"),
    "exhaustion": ("end of the volume", "Ende des Volumens"),
    "expiry": ("expiry", "Ablauf"),
    "inactive": ("SIMs without usage", "SIMs ohne Verbrauch"),
    "active": ("SIMs with usage", "SIMs mit Verbrauch"),
    "sims": ("SIMs", "SIMs"),
    "churn": ("churn risk within 90 days", "Abwanderungsrisiko in 90 Tagen"),
    "savings": ("expected savings", "erwartete Einsparung"),
    "recommendations": ("recommendations", "Empfehlungen"),
    "recommended_cost": ("cost of the recommendations", "Kosten der Empfehlungen"),
    "anomalies": ("anomalies", "Auffälligkeiten"),
    "alerts": ("alerts", "Alarme"),
    "tickets": ("tickets", "Tickets"),
    "incidents": ("incidents", "Vorfälle"),
    "orders": ("orders", "Bestellungen"),
    "cost": ("cost of orders", "Kosten der Bestellungen"),
}
MADE = {
    "list": ("list", "Liste"),
    "count": ("number", "Anzahl"),
    "sum": ("total", "Summe"),
    "average": ("average", "Durchschnitt"),
    "median": ("median", "Median"),
    "maximum": ("maximum", "Maximum"),
    "minimum": ("minimum", "Minimum"),
}
# one and several of the rows of a metric; of others they are SIMs
_ROWS = {
    "anomalies": (("anomaly", "anomalies"), ("Auffälligkeit", "Auffälligkeiten")),
    "alerts": (("alert", "alerts"), ("Alarm", "Alarme")),
    "tickets": (("ticket", "tickets"), ("Ticket", "Tickets")),
    "incidents": (("incident", "incidents"), ("Vorfall", "Vorfälle")),
    "orders": (("order", "orders"), ("Bestellung", "Bestellungen")),
    "cost": (("order", "orders"), ("Bestellung", "Bestellungen")),
    "recommendations": (("recommendation", "recommendations"), ("Empfehlung", "Empfehlungen")),
}
_SIMS = (("SIM", "SIMs"), ("SIM", "SIMs"))
_FIELDS = {
    "iccid": ("ICCID", "ICCID"),
    "label": ("label", "Label"),
    "label_part": ("part of the label", "Teil des Labels"),
    "country": ("country", "Land"),
    "operator": ("operator", "Netz"),
    "device_type": ("device type", "Gerätetyp"),
    "state": ("state", "Zustand"),
    "kind": ("kind", "Art"),
    "severity": ("severity", "Schweregrad"),
    "category": ("category", "Kategorie"),
    "priority": ("priority", "Priorität"),
    "status": ("status", "Status"),
    "risk_level": ("risk", "Risiko"),
    "order_type": ("order type", "Bestellart"),
    "action": ("action", "Maßnahme"),
    "month": ("month", "Monat"),
    "week": ("week", "Woche"),
    "day": ("day", "Tag"),
}
_SEVERAL = {
    "label": ("label groups", "Labelgruppen"),
    "country": ("countries", "Länder"),
    "operator": ("operators", "Netze"),
    "device_type": ("device types", "Gerätetypen"),
    "month": ("months", "Monate"),
    "week": ("weeks", "Wochen"),
    "day": ("days", "Tage"),
}
_VALUES = {
    "critical": "kritisch",
    "warning": "Warnung",
    "info": "Hinweis",
    "open": "offen",
    "closed": "geschlossen",
    "in progress": "in Bearbeitung",
    "high": "hoch",
    "medium": "mittel",
    "low": "niedrig",
    "silent": "stumm",
    "active": "aktiv",
    "suspended": "gesperrt",
    "deactivated": "deaktiviert",
    "expired": "abgelaufen",
    "exhausted": "aufgebraucht",
    "issued": "ausgegeben",
    "activated": "aktiviert",
    "top up": "aufladen",
    "retire": "stilllegen",
    "extend": "verlängern",
    "swap": "tauschen",
    "lower limit": "Limit senken",
    "billing question": "Abrechnung",
    "connectivity issue": "Verbindung",
    "quota exhausted": "Kontingent aufgebraucht",
    "topup": "Aufladung",
    "bulk topup": "Sammelaufladung",
    "spike": "Spitze",
    "silence": "Stille",
    "quota 80": "Kontingent zu 80 % verbraucht",
    "exhaustion": "Ende des Volumens",
    "anomaly": "Auffälligkeit",
}
_LIMITS = {
    ">": ("more than", "mehr als"),
    ">=": ("at least", "mindestens"),
    "<": ("less than", "weniger als"),
    "<=": ("at most", "höchstens"),
    "=": ("exactly", "genau"),
}
# what SIMs do: [of one|of several]; {limit}, {when} and {ahead} are put in
_DONE = {
    "usage": ("used {limit}{when}", "[hat|haben]{when} {limit} verbraucht"),
    "daily": (
        "used {limit} a day on average{when}",
        "[hat|haben]{when} im Durchschnitt {limit} am Tag verbraucht",
    ),
    "peak": ("used {limit} on a single day{when}", "[hat|haben]{when} an einem einzigen Tag {limit} verbraucht"),
    "sms": ("had {limit}{when}", "hatte[|n]{when} {limit}"),
    "remaining": ("[has|have] {limit} left", "[hat|haben] noch {limit} übrig"),
    "remaining_share": ("[has|have] {limit} of the quota left", "[hat|haben] noch {limit} des Kontingents übrig"),
    "used_share": ("[has|have] used {limit} of the quota", "[hat|haben] {limit} des Kontingents verbraucht"),
    "forecast": ("[is|are] expected to use {limit}{ahead}", "[wird|werden]{ahead} voraussichtlich {limit} verbrauchen"),
    "exhaustion": ("[runs|run] out{ahead}", "[ist|sind]{ahead} leer"),
    "exhausted": ("[is|are] exhausted", "[ist|sind] aufgebraucht"),
    "expiry": ("[expires|expire]{ahead}", "[läuft|laufen]{ahead} ab"),
    "inactive": ("had no usage{when}", "hatte[|n]{when} keinen Verbrauch"),
    "never": ("[was|were] never used", "[wurde|wurden] noch nie genutzt"),
    "active": ("had usage{when}", "hatte[|n]{when} Verbrauch"),
    "churn": ("[has|have] a churn risk of {limit}", "[hat|haben] ein Abwanderungsrisiko von {limit}"),
    "savings": ("would save {limit} [|each]", "[würde|würden je] {limit} sparen"),
    "recommended_cost": ("would cost {limit} [|each]", "[würde|würden je] {limit} kosten"),
}
_LIMITED = {"usage", "daily", "peak", "sms", "remaining", "remaining_share", "used_share", "forecast", "churn"} | {
    "savings",
    "recommended_cost",
}


def amount(value: Any, unit: str | None, german: bool) -> str:
    """A number as people write it: 1,234.5 MB, 1.234,5 MB."""
    if value is None:
        return "-"
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
    return _VALUES.get(text.lower(), text) if german else text


def _either(values: Sequence[str], german: bool) -> str:
    word = "oder" if german else "or"
    return values[0] if len(values) == 1 else f"{', '.join(values[:-1])} {word} {values[-1]}"


def _values(chosen: Filter, german: bool) -> str:
    if chosen.field == "country":
        return _either(shown(chosen.values, german=german), german)
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
        means = _FIELDS[chosen.field][german]
        if chosen.field == "label":
            means = "Label beginnt mit" if german else "label begins with"
        no = ("nicht " if german else "not ") if chosen.negated else ""
        parts.append(f"{no}{means}: {_values(chosen, german)}")
    if question.period:
        first, last = question.period.first, question.period.last
        parts.append(str(first) if first == last else f"{first} {'bis' if german else 'to'} {last}")
    if question.horizon is not None:
        parts.append(_ahead(question, german).strip())
    if question.group:
        parts.append(f"{'nach' if german else 'by'} {_FIELDS[question.group][german]}")
    if question.top:
        lowest = (
            ("lowest", "niedrigste") if question.metric not in ("exhaustion", "expiry") else ("soonest", "früheste")
        )
        parts.append(f"{(lowest if question.ascending else ('top', 'Top'))[german]} {question.top}")
    return "; ".join(parts)


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
    if first == last:
        return f" am {first}" if german else f" on {first}"
    return f" vom {first} bis {last}" if german else f" from {first} to {last}"


def _where(filters: Sequence[Filter], german: bool) -> str:
    """What was chosen by, after the noun."""
    found = ""
    for chosen in filters:
        values, field = _values(chosen, german), chosen.field
        if field == "country":
            words = ("outside", "außerhalb von") if chosen.negated else ("in", "in")
            found += f" {words[german]} {values}"
            continue
        no = (" without", " ohne") if chosen.negated else (" with", " mit")
        means = {
            "label": ("a label that begins with", "Label-Anfang"),
            "label_part": ("a label that holds", "einem Label mit"),
        }
        found += f"{no[german]} {means.get(field, _FIELDS[field])[german]} {values}"
    return found


def _limit(comparisons: Sequence[Comparison], unit: str | None, german: bool) -> str:
    """The limits in words."""
    signs = {one.operator: one.value for one in comparisons}
    if len(comparisons) == 2 and set(signs) == {">=", "<="}:
        low, high = amount(signs[">="], None, german), amount(signs["<="], unit, german)
        return f"zwischen {low} und {high}" if german else f"between {low} and {high}"
    return (" und " if german else " and ").join(
        f"{_LIMITS[one.operator][german]} {amount(one.value, unit, german)}" for one in comparisons
    )


def _doing(question: Question, german: bool, several: bool) -> str | None:
    """What the SIMs of a list do; None where nothing but their choice is said of them."""
    metric = "daily" if question.daily else "peak" if question.peak else str(question.metric)
    if metric == "inactive" and question.period is None:
        metric = "never"
    if metric in ("exhaustion", "expiry") and any(chosen.field == "status" for chosen in question.filters):
        metric = "exhausted"
    if metric not in _DONE or (metric in _LIMITED and not question.comparisons):
        return None
    unit = "EUR" if metric in ("savings", "recommended_cost") else UNIT_OF.get(question.metric)
    text = re.sub(r"\[(.*?)\|(.*?)\]", lambda found: found[1 + several], _DONE[metric][german])
    limit = _limit(question.comparisons, unit, german)
    return text.format(limit=limit, when=_when(question, german), ahead=_ahead(question, german)).strip()


def _counted(question: Question, count: int, more: bool, german: bool, sims: bool) -> str:
    """The rows and what is said of them: `3 SIMs in Germany used more than 1,000 MB on 2026-01-10`."""
    several = count != 1 or more
    noun = (_SIMS if sims else _ROWS.get(question.metric, _SIMS))[german][several]
    number = ("Keine" if german else "No") if count == 0 else amount(count, None, german)
    if more:
        number = f"{'Mehr als' if german else 'More than'} {number}"
    filters = [one for one in question.filters if not (one.field == "status" and question.metric == "exhaustion")]
    doing = _doing(question, german, several)
    if doing:
        return f"{number} {noun}{_where(filters, german)} {doing}."
    name = NAMES[question.metric][german]
    by = ""
    if noun in ("SIM", "SIMs") and question.metric not in ("sims", "recommendations", *_ROWS):
        if question.top:
            best = {"savings": "der", "sms": "den"}.get(question.metric, "dem")
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
    per = question.metric not in _ROWS
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
        text += f" (mit 80 % zwischen {low} und {high})" if german else f" (80 % between {low} and {high})"
    return text


def sentence(question: Question, rows: list[dict[str, Any]], more: bool, compiled: Compiled, german: bool) -> str:
    """The answer in a sentence."""
    when = _when(question, german) + _ahead(question, german)
    if question.aggregation == "list":
        return _counted(question, len(rows), more, german, sims=False)
    unit = None if question.aggregation == "count" else compiled.unit
    if question.group is None:
        if question.aggregation == "count" and rows:
            return _counted(question, int(rows[0]["value"]), False, german, sims=compiled.unit == "SIMs")
        found = ", ".join(_value(row, unit, german) for row in rows) or "0"
        return f"{_measured(question, german)}{when}: {found}."
    by = f" {'nach' if german else 'by'} {_FIELDS[question.group][german]}"
    if not rows:
        return f"{_measured(question, german)}{by}{when}: {'nichts' if german else 'none'}."
    first = f"{named(rows[0][question.group], german)} {'mit' if german else 'with'} {_value(rows[0], unit, german)}"
    if len(rows) > 1:
        several = _SEVERAL.get(question.group, ("groups", "Gruppen"))[german]
        over = ("mehr als " if german else "more than ") if more else ""
        order = (
            ("ab" if german else "from")
            if question.group in TIMES and not question.top
            else ("an erster Stelle" if german else "first")
        )
        first = f"{over}{len(rows)} {several}, {order} {first}"
    return f"{_measured(question, german)}{by}{when}: {first}."
