"""A question as rules read it: small letters without accents, numbers as digits, values in quotes set apart."""

from __future__ import annotations

import re
import unicodedata

MAX_CHARACTERS = 500
QUOTED = re.compile("[\"“”„«»]([^\"“”„«»]{1,200})[\"“”„«»]|(?<![\\w])['‘‚]([^'’‘]{1,200})['’‘](?![\\w])")
NUMBER_WORDS = {
    word: number
    for number, words in {
        2: "two zwei",
        3: "three drei",
        4: "four vier",
        5: "five fuenf",
        6: "six sechs",
        7: "seven sieben",
        8: "eight acht",
        9: "nine neun",
        10: "ten zehn",
        12: "twelve zwoelf",
        14: "fourteen vierzehn",
        15: "fifteen fuenfzehn",
        20: "twenty zwanzig",
        25: "twenty-five",
        30: "thirty dreissig",
        50: "fifty fuenfzig",
        60: "sixty sechzig",
        80: "eighty achtzig",
        90: "ninety neunzig",
        100: "hundred hundert",
    }.items()
    for word in words.split()
}
CHOOSING = (
    r"\d|\b(?:only|just|except|without|not?|never|ignore|exclud\w*|if|mean|count|show|list|delete|drop|set|nur|ohne|ausser|nicht"
    r"|keine?[nrms]?|nie|wenn|in|from|of|with|for|aus|mit|von|bei|fuer)\b"
)
_GERMAN = """
welche welcher welches wie viele viel der die das den dem des haben hat gestern heute und oder mit ohne fuer von im
am zum ist sind wurden wurde werden nach pro je mehr als weniger zeige zeig mir liste alle letzten letzte letzter
letztem gibt es verbrauch verbraucht anzahl unter ueber seit innerhalb tagen monat woche karten land laender wir uns
unser unsere ein eine einer einem kosten ausgegeben offene auffaelligkeiten durchschnitt durchschnittlicher
durchschnittliche stumme inaktive prognose vorhersage sparen naechsten naechste bestellungen alarme
kuendigungsrisiko bald nahe kurz fast kontingent restvolumen status datenverbrauch gesamtverbrauch wer wem was
aktive laufen laeuft gehen geht ab aus bei dieses diesen dieser diese diesem jahr jahres wochen monate monaten tage
tag bis sollten sollte sollen soll muessen muss koennen koennten wuerden aufgeladen aufladen aufladungen
empfehlungen empfohlen empfohlene empfohlenen noch nie niemals nicht keine kein auf dort welchen welchem sich zur
seid ihr wann warum karte geraete geraet zaehler kameras netz netze netzen anomalien anomalie gesperrte gesperrten
stumm leer leere abgelaufen ablaufen kuendigen verbrauchen genutzt meisten wenigsten hoechsten schon aktuell
aktuelle derzeit rechnungen rechnung abrechnung ausgaben gesamtkosten anzeigen vergleiche vergleichen ersparnis
einsparung prozent euro mindestens hoechstens ausserhalb laufenden kommenden vergangenen vorigen januar februar
maerz juni juli oktober dezember durchschnittlich durchschnittsverbrauch tagesverbrauch wochenverbrauch
monatsverbrauch nachrichten verschickt gesendet stilllegen stillgelegt ueberall insgesamt deutschland frankreich
italien spanien oesterreich schweiz volumen datenvolumen einzigen
"""
GERMAN = frozenset(_GERMAN.split())
_ENGLISH = """
which what who how many much the a of and or with without for from is are were have has had yesterday today show
list all last than more less per by each month week days usage used use number our we us there do does did will run
out between since average total most highest closest near close least over under left remaining forecast to be been
should could would any my me give that this these next never not on at it its they their expected predicted months
weeks day year lowest cost costs savings save alerts devices device cards sent expire expires expiring going dry
compare trackers meters cameras within before after yet seen recommended recommendations retire topped network
networks country countries below above
"""
ENGLISH = frozenset(_ENGLISH.split())


def clean(text: str) -> str:
    """One line of composed characters, without those that are not to be seen."""
    text = unicodedata.normalize("NFKC", text)
    text = "".join(" " if unicodedata.category(letter)[0] in "CZ" else letter for letter in text)
    return " ".join(text.split())


def asked_last(text: str) -> tuple[str, str]:
    """What stands before the question that ends a text, and that question; nothing where the text before says more.

    A sentence with a number, or with a word that chooses or excludes, may change what is asked.
    """
    found = re.fullmatch(r"(.*[.!?:]) +([^.!?]{8,}\?)", text)
    if not found or re.search(CHOOSING, plain(found[1])):
        return "", text
    return found[1], found[2]


def plain(text: str) -> str:
    """Small letters, umlauts written out, accents left out."""
    text = text.casefold()
    for letter, written in (("ä", "ae"), ("ö", "oe"), ("ü", "ue"), ("ß", "ss")):
        text = text.replace(letter, written)
    return "".join(letter for letter in unicodedata.normalize("NFD", text) if unicodedata.category(letter) != "Mn")


def language_of(text: str) -> str:
    """`de` or `en`, by the words of it that belong to one language only; a letter that English has not counts too."""
    words = set(re.findall(r"[a-z]+", plain(text)))
    german, english = len(words & (GERMAN - ENGLISH)), len(words & (ENGLISH - GERMAN))
    return "de" if german + bool(re.search("[äöüß]", text.casefold())) > english else "en"


def number(text: str, language: str) -> float:
    """Read a number. Groups of three digits after the sign that is not the language's decimal one are thousands."""
    decimal = "," if language == "de" else "."
    thousands = "." if language == "de" else ","
    if re.fullmatch(rf"\d{{1,3}}(\{thousands}\d{{3}})+(\{decimal}\d+)?", text):
        text = text.replace(thousands, "")
    return float(text.replace(",", "."))


def normal(text: str) -> str:
    """What rules match: words and signs with single blanks."""
    text = plain(text)
    text = re.sub(r"n['’`]t\b", " not", text)
    text = re.sub(r"[’`'´]s\b", " s", text)
    text = re.sub(r"\b(cannot)\b", "can not", text)
    text = re.sub(r"(?<=[a-z])[-‐‑–](?=[a-z0-9])|(?<=\d)[-‐‑–](?=[a-z])", " ", text)
    text = text.replace("≥", " >= ").replace("≤", " <= ").replace("€", " eur ")
    text = re.sub(r"([<>]=?|=)", r" \1 ", text)
    text = (
        re.sub(r"[.,](?!\d)|(?<!\d)[.,](?=\d{4})", " ", text)
        if not re.search(r"\d\. [a-z]", text)
        else re.sub(r"(?<!\d)[.,](?!\d)|,(?!\d)|\.$", " ", text)
    )
    text = re.sub(r"[^\w\s.,%<>=&+/-]|_", " ", text)
    text = re.sub(r"(\d)(gb|mb|kb|tb|gigabytes?|megabytes?|%|days?|d|eur|sms)\b", r"\1 \2", text)
    text = re.sub(r"(\d)%", r"\1 %", text)
    text = re.sub(r"\b([a-z]{5,})(?=tickets?\b)", r"\1 ", text)
    text = re.sub(r"\b(tages|gesamt|durchschnitts)(?=daten|verbrauch|nutzung|volumen|kosten)", r"\1 ", text)
    text = re.sub(r"\b(\d+) d\b", r"\1 days", text)
    return " ".join(str(NUMBER_WORDS.get(word, word)) for word in text.split())
