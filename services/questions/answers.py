"""Questions asked of the database: understood, compiled, run read-only, and told in a sentence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from difflib import SequenceMatcher
from typing import Any, Literal

import psycopg
from psycopg.rows import dict_row

from services.questions.compiler import UNIT_OF, VIEW_OF, Compiled, compile_question
from services.questions.draft import NotUnderstoodError
from services.questions.grammar import Reading, read
from services.questions.language_model import LanguageModel
from services.questions.lexicon import respelled
from services.questions.question import Filter, Question, QuestionError
from services.questions.words import clean, language_of, normal
from sql import query

SECONDS = 5
MAX_UNKNOWN = 6
Chart = Literal["table", "number", "bar", "line"]
Row = dict[str, Any]

EXAMPLES = {
    "en": [
        "Which SIMs used more than 1 GB yesterday?",
        "Which SIMs are close to their quota?",
        "What is the average daily usage of SIMs in the US?",
        "Which SIMs were inactive last month?",
        "What was the total usage last month?",
        "What are the top 5 SIMs by usage last month?",
        "What is the usage by country in the last 30 days?",
        "Which SIMs have less than 50 MB left?",
        "Which SIMs run out within 14 days?",
        "How many SIMs are there by state?",
        "What is the forecast for the next 30 days?",
        "Which anomalies were there yesterday?",
        "Which SIMs have a high churn risk?",
        "What did we spend last month?",
        "How much could we save?",
        "How many open tickets are there by category?",
        "How many open alerts are there?",
    ],
    "de": [
        "Welche SIMs haben gestern mehr als 1 GB verbraucht?",
        "Welche SIMs sind nahe an ihrem Kontingent?",
        "Wie hoch ist der durchschnittliche Tagesverbrauch der SIMs in den USA?",
        "Welche SIMs waren letzten Monat inaktiv?",
        "Wie hoch war der Gesamtverbrauch im letzten Monat?",
        "Was sind die Top 5 SIMs nach Verbrauch im letzten Monat?",
        "Wie ist der Verbrauch nach Land in den letzten 30 Tagen?",
        "Welche SIMs haben weniger als 50 MB übrig?",
        "Welche SIMs sind in 14 Tagen leer?",
        "Wie viele SIMs gibt es nach Status?",
        "Wie ist die Prognose für die nächsten 30 Tage?",
        "Welche Auffälligkeiten gab es gestern?",
        "Welche SIMs haben ein hohes Kündigungsrisiko?",
        "Was haben wir letzten Monat ausgegeben?",
        "Wie viel können wir sparen?",
        "Wie viele offene Tickets gibt es nach Kategorie?",
        "Wie viele offene Alarme gibt es?",
    ],
}
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


@dataclass
class Answer:
    """What came of a question. Not understood: no rows, `sentence` says why, `examples` what can be asked."""

    understood: bool
    sentence: str
    language: str
    understood_by: Literal["grammar", "model"] | None = None
    question: Question | None = None
    as_understood: str = ""
    sql: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    columns: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    more: bool = False
    unit: str | None = None
    as_of: date | None = None
    data_age_days: int | None = None
    assumed: list[str] = field(default_factory=list)
    chart: Chart = "table"
    nearest: str | None = None
    examples: list[str] = field(default_factory=list)


def answer_question(
    connection: psycopg.Connection[Any],
    text: str,
    now: datetime,
    language: str | None = None,
    model: LanguageModel | None = None,
) -> Answer:
    """Answer a question inside an open transaction of an organization's session, which is to be read-only.

    now    the time of the question, with a zone; days are UTC
    model  asked where the grammar does not understand
    Never raises for what is asked. Raises psycopg errors of the connection, and QueryCanceled for what takes too long.
    """
    shown = language if language in EXAMPLES else language_of(clean(text))
    try:
        known = _known_to(connection, now)
        today = min(now.date(), known + timedelta(1)) if known else now.date()
        try:
            reading = _understood(connection, text, today, language)
        except NotUnderstoodError:
            by_model = _by_model(connection, model, text, today, now, shown) if model else None
            if by_model is None:
                raise
            return by_model
        if today < now.date() and known:
            reading.assumed.append(
                f"Die Daten reichen bis {known}: Zeiträume sind vom Tag danach aus gerechnet."
                if reading.language == "de"
                else f"The data ends on {known}: periods are counted from the day after it."
            )
        return _answered(connection, reading, today, now)
    except QuestionError as error:
        return _refused(text, str(error), shown)


def _by_model(
    connection: psycopg.Connection[Any], model: LanguageModel, text: str, today: date, now: datetime, language: str
) -> Answer | None:
    """The answer to the Question that a language model makes of the text; None where it makes none with an answer."""
    question = model.read(clean(text), today)
    if question is None:
        return None
    note = (
        f"Das Sprachmodell {model.name} hat die Frage gelesen, keine Regel: bitte prüfen, wie sie verstanden wurde."
        if language == "de"
        else f"The language model {model.name} read the question, no rule: check how it was understood."
    )
    try:
        with connection.transaction():
            answer = _answered(connection, Reading(question, language, [note]), today, now)
    except (QuestionError, psycopg.DataError, psycopg.ProgrammingError, OverflowError):
        return None
    answer.understood_by = "model"
    return answer


def _rows(connection: psycopg.Connection[Any], name: str, parameters: Mapping[str, Any]) -> list[Row]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query(name).encode(), parameters).fetchall()


def _known_to(connection: psycopg.Connection[Any], now: datetime) -> date | None:
    """The last complete day with usage; None without any."""
    found: date | None = _rows(connection, "question_last_day", {"today": now.date()})[0]["last_day"]
    return found


def _understood(connection: psycopg.Connection[Any], text: str, today: date, language: str | None) -> Reading:
    """Read a question; unknown words are looked up among the organization's values, then taken for mistyped ones."""
    try:
        return read(text, today, language=language)
    except NotUnderstoodError as error:
        if not error.unknown or len(error.unknown) > MAX_UNKNOWN:
            raise
        first = error
    values = _looked_up(connection, text, first.unknown)
    try:
        if values:
            return read(text, today, language=language, values=values)
    except NotUnderstoodError as error:
        first = error if error.unknown else first
        if not error.unknown:
            raise
    mended, changed = normal(clean(text)), {}
    for word in first.unknown:
        if meant := respelled(word):
            changed[word] = meant
            mended = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", meant, mended)
    if len(changed) < len(set(first.unknown)):
        raise first
    spoken = language or language_of(clean(text))
    reading = read(mended, today, language=spoken, values=values)
    for word, meant in changed.items():
        reading.assumed.append(
            f"{word!r} wurde als {meant!r} gelesen." if spoken == "de" else f"{word!r} was read as {meant!r}."
        )
    return reading


def _looked_up(connection: psycopg.Connection[Any], text: str, unknown: list[str]) -> dict[str, Filter]:
    """Filters for unknown words, alone or in a row, that are an operator or begin a label of this organization."""
    words = normal(clean(text)).split()
    runs = {word for word in unknown if len(word) > 1}
    for size in (2, 3):
        for start in range(len(words) - size + 1):
            run = words[start : start + size]
            if any(word in runs for word in run):
                runs.add(" ".join(run))
    found: dict[str, Filter] = {}
    for row in _rows(connection, "question_values", {"words": sorted(runs)}):
        found.setdefault(row["word"], Filter(field=row["field"], values=(row["value"],)))
    return dict(sorted(found.items(), key=lambda item: -len(item[0])))


def _answered(connection: psycopg.Connection[Any], reading: Reading, today: date, now: datetime) -> Answer:
    question, german = reading.question, reading.language == "de"
    view = VIEW_OF[question.metric]
    if not _rows(connection, "question_view", {"view": view})[0]["there"]:
        name = NAMES[question.metric][german]
        raise QuestionError(
            f"{name} gibt es in dieser Installation noch nicht (die Sicht {view} fehlt)."
            if german
            else f"There is no {name} in this installation yet (the view {view} is missing)."
        )
    compiled = compile_question(question, today)
    with connection.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(compiled.sql.encode(), compiled.parameters).fetchall()
        columns = [column.name for column in cursor.description or ()]
    rows = [{name: _plain(value) for name, value in row.items()} for row in found[: compiled.rows]]
    as_of = _rows(connection, "question_as_of", {})[0] if view.startswith("predictions.") else {}
    last = as_of.get("as_of") or today - timedelta(1)
    answer = Answer(
        True,
        "",
        reading.language,
        "grammar",
        question,
        _told(question, german),
        compiled.sql,
        {name: value.isoformat() if isinstance(value, date) else value for name, value in compiled.parameters.items()},
        columns,
        rows,
        len(found) > compiled.rows,
        compiled.unit,
        last,
        max((now.date() - last).days - 1, 0),
        reading.assumed,
        _chart(question),
    )
    answer.sentence = _sentence(answer, compiled, german)
    return answer


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value


def _chart(question: Question) -> Chart:
    if question.group in ("day", "week", "month"):
        return "line"
    if question.group:
        return "bar"
    if question.aggregation != "list":
        return "number"
    return "bar" if question.top and question.metric in UNIT_OF and UNIT_OF[question.metric] != "date" else "table"


def _amount(value: Any, unit: str | None, german: bool) -> str:
    """A number as people write it: 1,234.5 MB, 1.234,5 MB."""
    if value is None:
        return "-"
    if not isinstance(value, int | float):
        return str(value)
    text = f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}"
    if german:
        text = text.translate(str.maketrans(",.", ".,"))
    return f"{text} {unit}" if unit and unit != "currency" else text


def _told(question: Question, german: bool) -> str:
    """The question in one fixed form, from which a reader sees how it was taken."""
    name = NAMES[question.metric][german]
    parts = [f"{MADE[question.aggregation][german]}: {name}"]
    unit = UNIT_OF.get(question.metric, "")
    if question.daily:
        parts.append("je SIM und Tag" if german else "a SIM and day")
    parts += [f"{one.operator} {_amount(one.value, unit, german)}" for one in question.comparisons]
    for chosen in question.filters:
        means = {"label": "label begins with" if not german else "Label beginnt mit"}.get(
            chosen.field, chosen.field.replace("_", " ")
        )
        shown = chosen.values[0] if chosen.field == "country" else " / ".join(chosen.values)
        parts.append(f"{'nicht ' if german and chosen.negated else 'not ' if chosen.negated else ''}{means}: {shown}")
    if question.period:
        first, last = question.period.first, question.period.last
        parts.append(str(first) if first == last else f"{first} {'bis' if german else 'to'} {last}")
    if question.horizon is not None:
        parts.append(
            f"in den nächsten {question.horizon} Tagen" if german else f"within the next {question.horizon} days"
        )
    if question.group:
        parts.append(f"{'nach' if german else 'by'} {question.group.replace('_', ' ')}")
    if question.top:
        lowest = (
            ("lowest", "niedrigste") if question.metric not in ("exhaustion", "expiry") else ("soonest", "früheste")
        )
        parts.append(f"{(lowest if question.ascending else ('top', 'Top'))[german]} {question.top}")
    return "; ".join(parts)


def _sentence(answer: Answer, compiled: Compiled, german: bool) -> str:
    question = answer.question
    assert question is not None
    name, rows = NAMES[question.metric][german], answer.rows
    told = answer.as_understood.partition(": ")[2]
    if question.aggregation != "list" and question.group is None:
        shown = ", ".join(
            f"{_amount(row['value'], compiled.unit, german)}{' ' + str(row['currency']) if row.get('currency') else ''}"
            for row in rows
        )
        return f"{MADE[question.aggregation][german]} ({told}): {shown or '0'}."
    if not rows:
        return f"Keine Zeile ({told})." if german else f"None ({told})."
    more = ("more than ", "mehr als ")[german] if answer.more else ""
    if question.group:
        top = rows[0]
        unit = compiled.unit
        shown = f"{top[question.group]}: {_amount(top['value'], unit, german)}"
        return (
            f"{more}{len(rows)} {'Gruppen' if german else 'groups'} ({told}); "
            f"{'zuerst' if german else 'first'} {shown}."
        )
    subject = name if question.metric in ("anomalies", "alerts", "tickets", "incidents", "orders", "cost") else "SIMs"
    subject = subject[:-1] if subject == "SIMs" and len(rows) == 1 and not more else subject
    return f"{more}{len(rows)} {subject} ({told})."


def _refused(text: str, why: str, language: str) -> Answer:
    """The answer to what was not understood."""
    examples = EXAMPLES[language]
    words = set(normal(clean(text)[:500]).split())

    def near(example: str) -> float:
        other = set(normal(example).split())
        return (
            len(words & other) / len(words | other)
            + SequenceMatcher(None, clean(text)[:100].lower(), example.lower()).ratio() / 2
        )

    nearest = max(examples, key=near)
    can = (
        "Fragen gehen nach Verbrauch, SMS, Restvolumen, Prognose, Ende, Auffälligkeiten, Abwanderung, Kosten, "
        "Einsparung, Tickets, Alarmen und "
        "SIMs nach Zustand, Land, Netz, Label oder Gerätetyp."
        if language == "de"
        else "Questions may be about usage, SMS, remaining volume, forecast, exhaustion, anomalies, churn, cost, "
        "savings, tickets, alerts, and "
        "SIMs by state, country, operator, label or device type."
    )
    known = "Die nächste bekannte Frage" if language == "de" else "The nearest known question"
    return Answer(False, f"{why} {can} {known}: {nearest}", language, nearest=nearest, examples=examples)
