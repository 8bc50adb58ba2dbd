"""Kinds of devices by name, English and German, and the parts of labels that stand for them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from services.questions.lexicon import lines_of


@cache
def _kinds() -> dict[str, tuple[str, ...]]:
    """Each word with all the words for the same kind, the commonest first."""
    return {word: tuple(line.split()) for line in lines_of("devices.txt") for word in line.split()}


def names_of_device(word: str) -> tuple[str, ...]:
    """The words for the kind of device that a word means, the commonest first; none for no such kind."""
    return _kinds().get(word, ())


def part_of_label(word: str, parts: Iterable[str]) -> str | None:
    """The part of labels (small letters) that a kind of device must be: its name, or the one abbreviation of it."""
    known, names = set(parts), names_of_device(word)
    if named := [name for name in names if name in known]:
        return named[0]
    short = [part for part in known if len(part) in (3, 4) and any(_abbreviates(part, name) for name in names)]
    return short[0] if len(short) == 1 else None


def _abbreviates(part: str, name: str) -> bool:
    """Whether a name begins with the part, or has its letters, first one first, in their order: trk and tracker."""
    if name.startswith(part):
        return True
    letters = iter(name)
    return len(name) > 4 and part[0] == name[0] and not set(part) & set("aeiou") and all(one in letters for one in part)
