"""Text of others, made fit to be shown."""

from __future__ import annotations


def escaped(text: str) -> str:
    r"""`text` with everything escaped that a terminal or a log would obey instead of show.

    That is line breaks, colours, bells, marks that turn the direction of writing, and halves of characters: an escape
    character becomes \x1b. What can be shown stays as it is.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
