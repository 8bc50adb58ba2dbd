"""Foreign text, such as a SIM's label, as plain text: where it is drawn, printed or mailed it is letters only."""

from __future__ import annotations

import unicodedata

# they turn the direction of what follows: a text could be read as another one
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_CONTROLS = frozenset({"Cc", "Cs", "Zl", "Zp"})


def printable(text: str) -> str:
    """Return the text with a replacement character for each that steers a terminal; line feeds and tabs stay."""
    if text.isprintable():
        return text
    return "".join("\ufffd" if _steers(letter) else letter for letter in text)


def one_line(text: str, longest: int | None = None) -> str:
    """Return the text printable, its white space as single spaces, cut to `longest` characters with an ellipsis."""
    joined = printable(" ".join(text.split()))
    return joined if longest is None or len(joined) <= longest else joined[: longest - 1].rstrip() + "…"


def markdown_cell(text: str) -> str:
    """Return the text for a cell of a Markdown table, where it means nothing but itself."""
    escaped = "".join("\\" + letter if letter in "\\`*_[]|~$" else letter for letter in one_line(text))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _steers(letter: str) -> bool:
    return (unicodedata.category(letter) in _CONTROLS and letter not in "\n\t") or letter in _TURNING
