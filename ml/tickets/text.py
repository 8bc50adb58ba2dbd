"""What a ticket says, from what was sent: bounded, without signature, identifiers as words, quoted mail last."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

MAX_CHARACTERS = 4_000  # of a ticket that are read; a request stands at its beginning
MAX_QUOTED = 300  # of quoted mail: it says what 'see below' is about
_QUOTE = r"(?m)^[ \t]*>[^\n]*$"
_FORWARDED = r"(?is)\n\s*-{3,}\s*(?:original|urspr|forwarded|weitergeleitet)[^\n]*\n.*$"
_SIGNATURE = (
    r"(?ims)^\s*(?:--|(?:kind|best|warm|many)?\s*regards|best wishes|kind wishes|sincerely|"
    r"yours (?:sincerely|faithfully)|many thanks|thanks|thank you|cheers|"
    r"mit (?:freundlichen|besten|vielen) grü(?:ß|ss)en|"
    r"(?:freundliche|viele|beste|liebe) grü(?:ß|ss)e|gru(?:ß|ss)|mfg|danke)[ ,.!]*(?:i\.\s?a\.)?[ ,]*$.*"
)
_NAMED = r"(?i)\b(?:(?:iccid|imsi|msisdn|imei)s?\b[ :#]*)?\b(?:89(?:[ \-./]?\d){17,18}F?|\d{14,16})\b"
_GREETING = (
    r"(?i)^\s*(?:hello|hi|dear|hallo|guten (?:tag|morgen)|sehr geehrte[rs]?|moin|liebe[rs]?)"
    r"(?: (?:there|all|team|support|sir or madam|accounting team|damen und herren|[a-zäöüß. ]{1,30}))?\s*[,!]\s"
)


def texts_series(texts: Sequence[object] | pl.Series) -> pl.Series:
    """The tickets as strings, null what is none, each cut at MAX_CHARACTERS. Never raises for what a ticket holds."""
    if isinstance(texts, str | bytes):
        raise TypeError("texts is a list of tickets; got one string")
    values = [value[:MAX_CHARACTERS] if isinstance(value, str) else None for value in texts]
    # lone surrogates cannot be stored as UTF-8
    return pl.Series("text", [v and v.encode("utf-8", "replace").decode() for v in values], dtype=pl.String)


def normalized(texts: pl.Series) -> pl.Series:
    """The words of tickets on one line: what the customer wrote, then the beginning of what is quoted; "" for null."""
    text = texts.fill_null("").str.replace_all("\r\n?", "\n")
    quoted = text.str.extract_all(_QUOTE).list.join(" ").str.replace_all(r">+", " ").str.slice(0, MAX_QUOTED)
    own = text.str.replace_all(_QUOTE, "").str.replace(_FORWARDED, "").str.replace(_GREETING, "")
    signed = own.str.replace(_SIGNATURE, "")
    own = pl.select(
        pl.when(pl.lit(signed).str.strip_chars().str.len_chars() > 0).then(signed).otherwise(own)
    ).to_series()
    joined = (own + " " + quoted).str.replace_all(_NAMED, " ")
    joined = joined.str.replace_all(r"\S+@\S+", " mail ").str.replace_all(r"\b\d{1,3}(?:\.\d{1,3}){3}\b", " ip ")
    return joined.str.replace_all(r"\+?\b\d{8,}\b", " number ").str.replace_all(r"\s+", " ").str.strip_chars()
