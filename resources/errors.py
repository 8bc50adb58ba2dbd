"""The one ancestor of every error that a user may meet, and the cause of any error in words."""

from __future__ import annotations

import re


class SimsightError(Exception):
    """Something expected went wrong; the message says what, where and what to do.

    The command line prints it without a traceback.
    """


class UsageError(SimsightError):
    """What was asked for cannot be: a name or a value in it is wrong. The command line ends with 2."""


# errors whose text alone says nothing; {} is the text
MEANING = {
    "KeyError": "{} is missing where it is needed",
    "MemoryError": "the memory of this machine ran out",
    "TimeoutError": "it took longer than it may",
    "RecursionError": "the data is nested too deeply",
}
# how a traceback names an error: its class, with the modules before it or by its ending, and its text where it has one
WRITTEN = re.compile(r"((?:\w+\.)+[A-Z]\w*|\w*(?:Error|Exception))(?::\s+(.*)|:?\s*)", re.DOTALL)
PART_OF_A_NAME = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def in_words(error: BaseException | str) -> str:
    """The cause of an error for people: what its text says, without the name of its class.

    error  an error, or what a traceback says of one, such as "psycopg.errors.DiskFull: no space left"
    An error without a text gives its name as words: "ReadTimeout" gives "read timeout".
    """
    if isinstance(error, BaseException):
        kind, text = type(error).__name__, str(error)
    elif found := WRITTEN.fullmatch(error.strip()):
        kind, text = found[1].rpartition(".")[2], found[2] or ""
    else:
        return error.strip()
    text, meaning = text.strip(), MEANING.get(kind, "")
    if meaning and ("{}" in meaning or not text):
        return meaning.format(text or "a value")
    return text or PART_OF_A_NAME.sub(" ", kind).lower()
