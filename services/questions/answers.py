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

from services.questions.compiler import UNIT_OF, VIEW_OF, compile_question
from services.questions.countries import NAMES as NAMES_OF_COUNTRIES
from services.questions.devices import names_of_device, part_of_label
from services.questions.draft import NotUnderstoodError
from services.questions.grammar import Reading, read
from services.questions.language_model import LanguageModel
from services.questions.lexicon import respelled
from services.questions.metrics import TIMES
from services.questions.question import Filter, Question, QuestionError
from services.questions.sentences import none_of, sentence, told
from services.questions.shares import PLACES
from services.questions.wording import NAMES
from services.questions.words import asked_last, clean, language_of, normal
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
            reading = _understood_alone(connection, text, today, language)
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


def _understood_alone(connection: psycopg.Connection[Any], text: str, today: date, language: str | None) -> Reading:
    """Read a text; where it is not understood, the question that ends it, after sentences that choose nothing."""
    try:
        return _understood(connection, text, today, language)
    except NotUnderstoodError as error:
        before, question = asked_last(clean(text))
        said = normal(before).split()
        if not before or not error.unknown or set(said) & set(NAMES_OF_COUNTRIES):
            raise
        if _looked_up(connection, before, said, language or language_of(clean(text))):
            raise  # it names an operator, a label or a kind of device
        try:
            reading = _understood(connection, question, today, language or language_of(clean(text)))
        except NotUnderstoodError:
            raise error from None
    german = reading.language == "de"
    reading.assumed.append(f"Nicht gelesen: {before}" if german else f"Not read: {before}")
    return reading


def _understood(connection: psycopg.Connection[Any], text: str, today: date, language: str | None) -> Reading:
    """Read a question; unknown words are looked up among the organization's values, then taken for mistyped ones."""
    try:
        return read(text, today, language=language)
    except NotUnderstoodError as error:
        if not error.unknown or len(error.unknown) > MAX_UNKNOWN:
            raise
        first = error
    spoken = language or language_of(clean(text))
    values = _looked_up(connection, text, first.unknown, spoken)
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
    try:
        reading = read(mended, today, language=spoken, values=values)
    except NotUnderstoodError as error:
        raise (_with_operators(connection, text, first, spoken) if error.unknown else error) from None
    for word, meant in changed.items():
        reading.assumed.append(
            f"{word!r} wurde als {meant!r} gelesen." if spoken == "de" else f"{word!r} was read as {meant!r}."
        )
    return reading


def _with_operators(
    connection: psycopg.Connection[Any], text: str, error: NotUnderstoodError, language: str
) -> NotUnderstoodError:
    """The error, with the operators there are where an unknown word stands for one."""
    words = "|".join(map(re.escape, error.unknown))
    if not re.search(rf"\b(?:operator|network|carrier|provider|netz|betreiber|anbieter) (?:{words})\b", normal(text)):
        return error
    known = ", ".join(row["operator"] for row in _rows(connection, "question_operators", {}))
    said = f"{error} Netze hier: {known}." if language == "de" else f"{error} Operators here: {known}."
    return NotUnderstoodError(said, error.unknown)


def _no_such_device(word: str, parts: list[str], language: str) -> str:
    known = ", ".join(parts[:12])
    if language == "de":
        return f"Kein Label steht für {word!r}. " + (f"Teile von Labels sind: {known}." if parts else "")
    return f"No label stands for {word!r}. " + (f"Parts of labels are: {known}." if parts else "")


def _looked_up(connection: psycopg.Connection[Any], text: str, unknown: list[str], language: str) -> dict[str, Filter]:
    """Filters for unknown words, alone or in a row, that are an operator, a kind of device or begin a label here."""
    words = normal(clean(text)).split()
    runs = {word for word in unknown if len(word) > 1}
    for size in (2, 3):
        for start in range(len(words) - size + 1):
            run = words[start : start + size]
            if any(word in runs for word in run):
                runs.add(" ".join(run))
    devices = {word: names for word in runs if (names := names_of_device(word))}
    asked = runs.union(*devices.values())
    found: dict[str, Filter] = {}
    for row in _rows(connection, "question_values", {"words": sorted(asked)}):
        known = found.setdefault(row["word"], Filter(field=row["field"], values=(row["value"],)))
        if row["field"] == known.field == "operator" and row["value"] not in known.values:
            found[row["word"]] = known.model_copy(update={"values": (*known.values, row["value"])})
    parts: list[str] | None = None
    for word, names in devices.items():
        same = next((found[name] for name in (word, *names) if name in found), None)
        if same is None:
            if parts is None:
                parts = [row["part"] for row in _rows(connection, "question_label_parts", {})]
            part = part_of_label(word, parts)
            if part is None:
                raise NotUnderstoodError(_no_such_device(word, parts, language))
            same = Filter(field="label_part", values=(part,))
        found[word] = same
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
        told(question, german),
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
    if any(row.get("sum_of_sims") for row in rows):
        answer.assumed.append(
            "Es ist die Summe der Prognosen der einzelnen SIMs: als Ganzes ist es nicht vorhergesagt."
            if german
            else "It is the sum of the forecasts of its SIMs: it is not forecast as a whole."
        )
    answer.sentence = sentence(question, rows, answer.more, compiled, german)
    chosen = tuple(one for one in question.filters if one.field in PLACES and not one.negated and any(one.values))
    if chosen and not any(row.get("value", row) for row in rows):
        whose = Question(metric="sims", aggregation="count", filters=chosen)
        counted = compile_question(whose, today)
        with connection.cursor(row_factory=dict_row) as cursor:
            if cursor.execute(counted.sql.encode(), counted.parameters).fetchall() == [{"value": 0}]:
                answer.sentence = none_of(whose, german)
    return answer


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value


def _chart(question: Question) -> Chart:
    if question.also:
        return "table"
    if question.group in TIMES:
        return "line"
    if question.group:
        return "bar"
    if question.aggregation != "list":
        return "number"
    return "bar" if question.top and question.metric in UNIT_OF and UNIT_OF[question.metric] != "date" else "table"


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
